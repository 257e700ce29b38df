
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/pool/ncr_key_cidr.c"
#include "ncr_test.h"

#include <arpa/inet.h>


static ncr_char_t  ncr_test_cidr[NCR_KEY_CIDR];


static ncr_int_t
ncr_test_parse(const char *text)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) (uintptr_t) text;
    s.len = strlen(text);

    memset(ncr_test_cidr, 0xa5, NCR_KEY_CIDR);

    return ncr_key_cidr(&s, ncr_test_cidr);
}


static void
ncr_test_good(const char *text, const char *address, int bits)
{
    ncr_char_t  want[16];

    ncr_test(inet_pton(AF_INET6, address, want) == 1
             && ncr_test_parse(text) == NCR_OK
             && memcmp(ncr_test_cidr, want, 16) == 0
             && ncr_test_cidr[16] == bits, text);
}


int
main(void)
{
    size_t  i;

    static const char *const  bad[] = {
        "", "/", "/8", "x", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3",
        "1..2.3", "256.1.1.1", "01.2.3.4", "1.2.3.4/33", "1.2.3.4/",
        "1.2.3.4/-1", "1.2.3.4/08", "1.2.3.4/8/8", "1.2.3.4 ", " 1.2.3.4",
        "1.2.3.0x4", "1.2.3.4444", ":", ":::", "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::8", "::1::", "1::2::3", "12345::",
        "g::", "1:", ":1", "1:2:3:4:5:6:7:", ":1:2:3:4:5:6:7", "::/129",
        "::1/", "::1/x", "::1.2.3", "::1.2.3.4.5", "1.2.3.4::", "::1.2.3.4:1",
        "1:2:3:4:5:6:7:1.2.3.4", "fe80::1%eth0", "[::1]", "::ffff:256.1.1.1",
        "localhost", "10.0.0.0-10.0.0.1", "::1/1280", "1:2:3:4::5:6:7:8",
        "1:2:3:4:5:6:7:8::", "1:2:3:4:5:6:1.2.3.4::"
    };

    ncr_test_good("1.2.3.4", "::ffff:1.2.3.4", 128);
    ncr_test_good("0.0.0.0", "::ffff:0.0.0.0", 128);
    ncr_test_good("255.255.255.255/32", "::ffff:255.255.255.255", 128);
    ncr_test_good("10.11.12.13/8", "::ffff:10.0.0.0", 104);
    ncr_test_good("10.255.12.13/9", "::ffff:10.128.0.0", 105);
    ncr_test_good("1.2.3.4/0", "::ffff:0.0.0.0", 96);
    ncr_test_good("::", "::", 128);
    ncr_test_good("::/0", "::", 0);
    ncr_test_good("::1", "::1", 128);
    ncr_test_good("1::", "1::", 128);
    ncr_test_good("ABCD:ef01::9/128", "abcd:ef01::9", 128);
    ncr_test_good("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", 128);
    ncr_test_good("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8", 128);
    ncr_test_good("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", 128);
    ncr_test_good("2001:db8:ffff::1/33", "2001:db8:8000::", 33);
    ncr_test_good("::ffff:1.2.3.4/104", "::ffff:1.0.0.0", 104);
    ncr_test_good("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304", 128);
    ncr_test_good("64:ff9b::1.2.3.4/96", "64:ff9b::", 96);

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ncr_test(ncr_test_parse(bad[i]) == NCR_BAD, bad[i]);
    }

    return ncr_test_done();
}
