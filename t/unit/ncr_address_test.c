
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_address.c"
#include "ncr_test.h"

#include <stdlib.h>


typedef struct {
    const char     *host;
    ncr_address_e   class;
} ncr_test_host_t;


#define PUBLIC        NCR_ADDRESS_PUBLIC
#define NAME          NCR_ADDRESS_NAME
#define INVALID       NCR_ADDRESS_INVALID
#define LOCAL_NAME    NCR_ADDRESS_LOCAL_NAME
#define UNSPECIFIED   NCR_ADDRESS_UNSPECIFIED
#define LOOPBACK      NCR_ADDRESS_LOOPBACK
#define PRIVATE       NCR_ADDRESS_PRIVATE
#define SHARED        NCR_ADDRESS_SHARED
#define LINK_LOCAL    NCR_ADDRESS_LINK_LOCAL
#define METADATA      NCR_ADDRESS_METADATA
#define PROTOCOL      NCR_ADDRESS_PROTOCOL
#define DOCUMENTATION NCR_ADDRESS_DOCUMENTATION
#define BENCHMARK     NCR_ADDRESS_BENCHMARK
#define MULTICAST     NCR_ADDRESS_MULTICAST
#define BROADCAST     NCR_ADDRESS_BROADCAST
#define RESERVED      NCR_ADDRESS_RESERVED


static const ncr_test_host_t  ncr_test_hosts[] = {

    /* both ends of each network of IPv4, and who stands beside it */

    { "0.0.0.0", UNSPECIFIED },         { "0.255.255.255", UNSPECIFIED },
    { "1.0.0.0", PUBLIC },              { "9.255.255.255", PUBLIC },
    { "10.0.0.0", PRIVATE },            { "10.255.255.255", PRIVATE },
    { "11.0.0.0", PUBLIC },             { "100.63.255.255", PUBLIC },
    { "100.64.0.0", SHARED },           { "100.127.255.255", SHARED },
    { "100.100.100.200", METADATA },    { "100.128.0.0", PUBLIC },
    { "126.255.255.255", PUBLIC },      { "127.0.0.0", LOOPBACK },
    { "127.0.0.1", LOOPBACK },          { "127.255.255.255", LOOPBACK },
    { "128.0.0.0", PUBLIC },            { "168.63.129.15", PUBLIC },
    { "168.63.129.16", METADATA },      { "169.253.255.255", PUBLIC },
    { "169.254.0.0", LINK_LOCAL },      { "169.254.169.254", METADATA },
    { "169.254.170.2", LINK_LOCAL },    { "169.254.255.255", LINK_LOCAL },
    { "169.255.0.0", PUBLIC },          { "172.15.255.255", PUBLIC },
    { "172.16.0.0", PRIVATE },          { "172.31.255.255", PRIVATE },
    { "172.32.0.0", PUBLIC },           { "191.255.255.255", PUBLIC },
    { "192.0.0.0", PROTOCOL },          { "192.0.0.192", METADATA },
    { "192.0.0.255", PROTOCOL },        { "192.0.1.0", PUBLIC },
    { "192.0.2.0", DOCUMENTATION },     { "192.0.2.255", DOCUMENTATION },
    { "192.0.3.0", PUBLIC },            { "192.88.99.1", RESERVED },
    { "192.88.100.0", PUBLIC },         { "192.167.255.255", PUBLIC },
    { "192.168.0.0", PRIVATE },         { "192.168.255.255", PRIVATE },
    { "192.169.0.0", PUBLIC },          { "198.17.255.255", PUBLIC },
    { "198.18.0.0", BENCHMARK },        { "198.19.255.255", BENCHMARK },
    { "198.20.0.0", PUBLIC },           { "198.51.100.7", DOCUMENTATION },
    { "198.51.101.0", PUBLIC },         { "203.0.113.255", DOCUMENTATION },
    { "203.0.114.0", PUBLIC },          { "223.255.255.255", PUBLIC },
    { "224.0.0.0", MULTICAST },         { "239.255.255.255", MULTICAST },
    { "240.0.0.0", RESERVED },          { "255.255.255.254", RESERVED },
    { "255.255.255.255", BROADCAST },   { "8.8.8.8", PUBLIC },

    /* as inet_aton() reads them */

    { "127.1", LOOPBACK },              { "127.0.1", LOOPBACK },
    { "127.0.257", LOOPBACK },          { "127.16777215", LOOPBACK },
    { "127.16777216", INVALID },        { "127.0.65536", INVALID },
    { "127.0.0.256", INVALID },         { "127.256.1", INVALID },
    { "2130706433", LOOPBACK },         { "0x7f000001", LOOPBACK },
    { "0X7F000001", LOOPBACK },         { "0x7f.0x0.0x0.0x1", LOOPBACK },
    { "0x7f.1", LOOPBACK },             { "0177.0.0.1", LOOPBACK },
    { "0177.0.0.01", LOOPBACK },        { "017700000001", LOOPBACK },
    { "00000177.0.0.1", LOOPBACK },     { "0x000000007f.1", LOOPBACK },
    { "0177.0x0.0.1", LOOPBACK },       { "0", UNSPECIFIED },
    { "00", UNSPECIFIED },              { "0x0", UNSPECIFIED },
    { "0.0", UNSPECIFIED },             { "10.1", PRIVATE },
    { "167772161", PRIVATE },           { "012.0.0.1", PRIVATE },
    { "010.0.0.1", PUBLIC },            { "0xa.1", PRIVATE },
    { "0xc0.0xa8.1.1", PRIVATE },       { "0300.0250.1.1", PRIVATE },
    { "3232235777", PRIVATE },          { "2852039166", METADATA },
    { "0xA9FEA9FE", METADATA },         { "0251.0376.0251.0376", METADATA },
    { "0xa9.0xfe.43518", METADATA },    { "169.254.43518", METADATA },
    { "169.16689662", METADATA },       { "4294967295", BROADCAST },
    { "4294967296", INVALID },          { "4294967297", INVALID },
    { "6442450945", INVALID },          { "18446744073709551617", INVALID },
    { "99999999999999999999999", INVALID },
    { "0x100000000", INVALID },         { "0x17f000001", INVALID },
    { "040000000000", INVALID },        { "134744072", PUBLIC },
    { "0x08080808", PUBLIC },

    /* what some read so and others so, and what is none */

    { "08.0.0.1", INVALID },            { "127.0.0.09", INVALID },
    { "0x", INVALID },                  { "0x.1", INVALID },
    { "127.0.0.0x", INVALID },          { "0xg", INVALID },
    { "1.2.3.4.5", INVALID },           { "127..1", INVALID },
    { ".127.0.0.1", INVALID },          { "256.1.1.1", INVALID },
    { "a.1", INVALID },                 { "example.com.1", INVALID },
    { "foo.0x7f", INVALID },            { "127.0.0.1.", LOOPBACK },
    { "2130706433.", LOOPBACK },        { "127.0.0.1..", INVALID },
    { "8.8.8.8.", PUBLIC },             { "127.0.0.1 ", INVALID },
    { " 127.0.0.1", INVALID },          { "127.0.0.1\t", INVALID },
    { "+127.0.0.1", INVALID },          { "-1", NAME },
    { "1e3", NAME },                    { "127.0.0.-1", NAME },

    /* encoded anew: whoever decodes it reads another host */

    { "%31%32%37.0.0.1", INVALID },     { "127%2e0%2e0%2e1", INVALID },
    { "%6cocalhost", INVALID },         { "127.0.0.1%00.com", INVALID },
    { "127.0.0.1%0d%0a", INVALID },     { "a@127.0.0.1", INVALID },
    { "a/b", INVALID },                 { "a\\b", INVALID },
    { "a?b", INVALID },                 { "a#b", INVALID },

    /* fullwidth and circled digits, an ideographic full stop, a soft hyphen */

    { "\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1", INVALID },
    { "127.0.0.\xe2\x91\xa0", INVALID },
    { "127\xe3\x80\x82" "0\xe3\x80\x82" "0\xe3\x80\x82" "1", INVALID },
    { "local\xc2\xadhost", INVALID },   { "\xe2\x93\x9bocalhost", INVALID },
    { "b\xc3\xbc" "cher.example", INVALID },
    { "\x7f", INVALID },                { "a\x01.com", INVALID },

    /* IPv6 */

    { "::", UNSPECIFIED },              { "[::]", UNSPECIFIED },
    { "::1", LOOPBACK },                { "[::1]", LOOPBACK },
    { "[0:0:0:0:0:0:0:1]", LOOPBACK },
    { "[0000:0000:0000:0000:0000:0000:0000:0001]", LOOPBACK },
    { "[::0.0.0.1]", LOOPBACK },        { "[::0001]", LOOPBACK },
    { "[::2]", UNSPECIFIED },           { "[::127.0.0.1]", LOOPBACK },
    { "[::7f00:1]", LOOPBACK },         { "[::10.0.0.1]", PRIVATE },
    { "[::8.8.8.8]", RESERVED },        { "[::ffff:127.0.0.1]", LOOPBACK },
    { "[::FFFF:7F00:1]", LOOPBACK },    { "[::ffff:8.8.8.8]", PUBLIC },
    { "[::ffff:a9fe:a9fe]", METADATA }, { "[::ffff:192.168.1.1]", PRIVATE },
    { "[0:0:0:0:0:ffff:10.1.2.3]", PRIVATE },
    { "[::ffff:0:127.0.0.1]", LOOPBACK },
    { "[::ffff:0:8.8.8.8]", RESERVED },
    { "[64:ff9b::127.0.0.1]", LOOPBACK },
    { "[64:ff9b::a9fe:a9fe]", METADATA },
    { "[64:ff9b::10.0.0.1]", PRIVATE }, { "[64:ff9b::8.8.8.8]", PUBLIC },
    { "[64:ff9b:1::8.8.8.8]", PRIVATE },
    { "[64:ff9b:1:ffff::1]", PRIVATE }, { "[64:ff9b:2::1]", RESERVED },
    { "[64:ff9b::1:8.8.8.8]", RESERVED },
    { "[2002:7f00:1::]", LOOPBACK },    { "[2002:7f00:1::1]", LOOPBACK },
    { "[2002:a00:1::1]", PRIVATE },     { "[2002:c0a8:101::]", PRIVATE },
    { "[2002:a9fe:a9fe::]", METADATA }, { "[2002:808:808::1]", PUBLIC },
    { "[2001::1]", PROTOCOL },          { "[2001:0:7f00:1::]", PROTOCOL },
    { "[2001:1::1]", PROTOCOL },        { "[2001:2::1]", BENCHMARK },
    { "[2001:2:1::1]", PROTOCOL },      { "[2001:10::1]", PROTOCOL },
    { "[2001:1ff::1]", PROTOCOL },      { "[2001:200::1]", PUBLIC },
    { "[2001:db7::1]", PUBLIC },        { "[2001:db8::1]", DOCUMENTATION },
    { "[2001:db8:ffff::]", DOCUMENTATION },
    { "[2001:db9::1]", PUBLIC },        { "[3ffe::1]", PUBLIC },
    { "[3fff::1]", DOCUMENTATION },     { "[3fff:fff::1]", DOCUMENTATION },
    { "[3fff:1000::1]", PUBLIC },       { "[4000::1]", RESERVED },
    { "[1fff::1]", RESERVED },          { "[100::1]", RESERVED },
    { "[5f00::1]", RESERVED },          { "[fbff::1]", RESERVED },
    { "[fc00::1]", PRIVATE },           { "[fd00:ec2::254]", PRIVATE },
    { "[fdff::1]", PRIVATE },           { "[fe00::1]", RESERVED },
    { "[fe80::1]", LINK_LOCAL },        { "[febf::1]", LINK_LOCAL },
    { "[fec0::1]", PRIVATE },           { "[feff::1]", PRIVATE },
    { "[ff00::1]", MULTICAST },         { "[ff02::1]", MULTICAST },
    { "[2607:6bc0::10]", PUBLIC },      { "2607:6bc0::10", PUBLIC },
    { "[2600::5efe:10.0.0.1]", PRIVATE },
    { "[2600::200:5efe:127.0.0.1]", LOOPBACK },
    { "[2600::5efe:8.8.8.8]", PUBLIC },

    { "[fe80::1%eth0]", INVALID },      { "[fe80::1%25eth0]", INVALID },
    { "fe80::1%1", INVALID },           { "[::1%]", INVALID },
    { "[]", INVALID },                  { "[", INVALID },
    { "]", INVALID },                   { "[::1", INVALID },
    { "::1]", INVALID },                { "[[::1]]", INVALID },
    { "[127.0.0.1]", INVALID },         { "[localhost]", INVALID },
    { "[::1].", INVALID },              { ":", INVALID },
    { ":::", INVALID },                 { "1::2::3", INVALID },
    { "[1:2:3:4:5:6:7]", INVALID },     { "[1:2:3:4:5:6:7:8:9]", INVALID },
    { "[::1:2:3:4:5:6:7:8]", INVALID }, { "[1:2:3:4:5:6:7:8::]", INVALID },
    { "[1:2:3:4:5:6:7::]", RESERVED },  { "[12345::1]", INVALID },
    { "[::g]", INVALID },               { "[1:]", INVALID },
    { "[:1]", INVALID },                { "[::1:]", INVALID },
    { "[::ffff:0177.0.0.1]", INVALID }, { "[::ffff:127.1]", INVALID },
    { "[::ffff:0x7f.0.0.1]", INVALID }, { "[::ffff:1.2.3.256]", INVALID },
    { "[::ffff:1.2.3.4.5]", INVALID },  { "[::ffff:1.2.3.4:5]", INVALID },
    { "[1:2:3:4:5:6:7:1.2.3.4]", INVALID },
    { "127.0.0.1:80", INVALID },        { "localhost:80", INVALID },

    /* names */

    { "api.anthropic.com", NAME },      { "API.Anthropic.COM.", NAME },
    { "localhost", LOCAL_NAME },        { "LOCALHOST", LOCAL_NAME },
    { "localhost.", LOCAL_NAME },       { "a.localhost", LOCAL_NAME },
    { "a.b.LocalHost.", LOCAL_NAME },   { "localhost.localdomain", LOCAL_NAME },
    { "ip6-localhost", LOCAL_NAME },    { "ip6-loopback", LOCAL_NAME },
    { "printer.local", LOCAL_NAME },    { "nas.home.arpa", LOCAL_NAME },
    { "metadata.google.internal", LOCAL_NAME },
    { "metadata.google.internal.", LOCAL_NAME },
    { "instance-data.ec2.internal", LOCAL_NAME },
    { "internal", LOCAL_NAME },         { "metadata", LOCAL_NAME },
    { "host.docker.internal", LOCAL_NAME },
    { "api.svc.cluster.local", LOCAL_NAME },
    { "notlocalhost", NAME },           { "localhost.example.com", NAME },
    { "internal.example.com", NAME },   { "xinternal", NAME },
    { "127.0.0.1.nip.io", NAME },       { "xn--bcher-kva.example", NAME },
    { "a_b.example", NAME },            { "0x7f.example", NAME },
    { "0xyz", INVALID },                { "1.2.3.4a", NAME },
    { "", INVALID },                    { ".", INVALID },
    { "..", INVALID },                  { "a..b", INVALID },
    { ".a", INVALID },                  { "a.b..", INVALID },
    { "a b", INVALID },                 { "a,b", INVALID }
};


static ncr_address_e
ncr_test_class(const char *text)
{
    size_t         len;
    ncr_str_t      s;
    ncr_address_e  class;

    /* of its own size, so that the sanitizer sees who reads beyond */

    len = strlen(text);

    s.len = len;
    s.data = malloc(len + !len);
    memcpy(s.data, text, len);

    class = ncr_address_host(&s);

    free(s.data);

    return class;
}


static void
ncr_test_sizes(void)
{
    char       text[300];
    size_t     i;
    ncr_str_t  s;

    memset(text, 'a', sizeof(text));

    for (i = 60; i < sizeof(text); i += 60) {
        text[i] = '.';
    }

    s.data = (ncr_char_t *) text;

    s.len = 253;
    ncr_test(ncr_address_host(&s) == NCR_ADDRESS_NAME, "a name of 253");

    s.len = 254;
    ncr_test(ncr_address_host(&s) == NCR_ADDRESS_INVALID, "a name of 254");

    text[60] = 'a';
    s.len = 200;
    ncr_test(ncr_address_host(&s) == NCR_ADDRESS_INVALID, "a long label");

    s.data = (ncr_char_t *) "a\0.com";
    s.len = 6;
    ncr_test(ncr_address_host(&s) == NCR_ADDRESS_INVALID, "a NUL inside");

    s.data = (ncr_char_t *) "127.0.0.1\0.com";
    s.len = 14;
    ncr_test(ncr_address_host(&s) == NCR_ADDRESS_INVALID,
             "a NUL behind an address");

    memset(text, '0', sizeof(text));
    memcpy(text + 200, "177.1", 5);
    s.data = (ncr_char_t *) text;
    s.len = 205;
    ncr_test(ncr_address_host(&s) == NCR_ADDRESS_LOOPBACK,
             "a long row of zeros");
}


int
main(void)
{
    char           name[128];
    size_t         i;
    ncr_address_e  class;

    for (i = 0; i < sizeof(ncr_test_hosts) / sizeof(ncr_test_hosts[0]); i++) {

        class = ncr_test_class(ncr_test_hosts[i].host);

        (void) snprintf(name, sizeof(name), "\"%s\" is %s",
                        ncr_test_hosts[i].host,
                        ncr_address_text(ncr_test_hosts[i].class));

        if (class != ncr_test_hosts[i].class) {
            printf("# but it is said to be %s\n", ncr_address_text(class));
        }

        ncr_test(class == ncr_test_hosts[i].class, name);
    }

    ncr_test_sizes();

    ncr_test(ncr_address_allowed(NCR_ADDRESS_PUBLIC)
             && ncr_address_allowed(NCR_ADDRESS_NAME)
             && !ncr_address_allowed(NCR_ADDRESS_INVALID)
             && !ncr_address_allowed(NCR_ADDRESS_LOCAL_NAME)
             && !ncr_address_allowed(NCR_ADDRESS_RESERVED),
             "what is allowed");

    return ncr_test_done();
}
