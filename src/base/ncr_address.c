
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_address.h"
#include "ncr_str.h"


/* RFC 1035, 3.1, without the root's dot; IPv6 in text is shorter */
#define NCR_ADDRESS_HOST  253

/* of an address without "::"; bytes of one are 16 */
#define NCR_ADDRESS_NO_GAP  17


typedef struct {
    ncr_char_t     net[4];
    ncr_uint_t     bits;
    ncr_address_e  class;
} ncr_address_net4_t;


typedef struct {
    ncr_char_t     net[8];              /* none of these is longer than 64 */
    ncr_uint_t     bits;
    ncr_address_e  class;
} ncr_address_net6_t;


static ncr_uint_t ncr_address_within(const ncr_char_t *p,
    const ncr_char_t *net, ncr_uint_t bits);
static ncr_uint_t ncr_address_zeros(const ncr_char_t *p, size_t n);
static ncr_uint_t ncr_address_numeric(ncr_str_t *host);
static ncr_int_t ncr_address_aton(ncr_str_t *host, ncr_char_t *dst);
static ncr_int_t ncr_address_part(ncr_char_t *p, ncr_char_t *last,
    uint64_t *value);
static ncr_address_e ncr_address_name(ncr_str_t *host);
static ncr_uint_t ncr_address_below(ncr_str_t *host, const char *domain);
static ncr_int_t ncr_address_digit(ncr_char_t c);
static ncr_char_t *ncr_address_until(ncr_char_t *p, ncr_char_t *last,
    ncr_char_t c);


/*
 * The first that matches.  168.63.129.16 is a public address on which Azure
 * answers every virtual machine, and only them; 100.100.100.200 is Alibaba's,
 * 192.0.0.192 Oracle's.
 */

static const ncr_address_net4_t  ncr_address_nets4[] = {
    { { 0,   0,   0,   0 },    8, NCR_ADDRESS_UNSPECIFIED },
    { { 10,  0,   0,   0 },    8, NCR_ADDRESS_PRIVATE },
    { { 100, 100, 100, 200 }, 32, NCR_ADDRESS_METADATA },
    { { 100, 64,  0,   0 },   10, NCR_ADDRESS_SHARED },
    { { 127, 0,   0,   0 },    8, NCR_ADDRESS_LOOPBACK },
    { { 168, 63,  129, 16 },  32, NCR_ADDRESS_METADATA },
    { { 169, 254, 169, 254 }, 32, NCR_ADDRESS_METADATA },
    { { 169, 254, 0,   0 },   16, NCR_ADDRESS_LINK_LOCAL },
    { { 172, 16,  0,   0 },   12, NCR_ADDRESS_PRIVATE },
    { { 192, 0,   0,   192 }, 32, NCR_ADDRESS_METADATA },
    { { 192, 0,   0,   0 },   24, NCR_ADDRESS_PROTOCOL },
    { { 192, 0,   2,   0 },   24, NCR_ADDRESS_DOCUMENTATION },
    { { 192, 88,  99,  0 },   24, NCR_ADDRESS_RESERVED },   /* RFC 7526 */
    { { 192, 168, 0,   0 },   16, NCR_ADDRESS_PRIVATE },
    { { 198, 18,  0,   0 },   15, NCR_ADDRESS_BENCHMARK },
    { { 198, 51,  100, 0 },   24, NCR_ADDRESS_DOCUMENTATION },
    { { 203, 0,   113, 0 },   24, NCR_ADDRESS_DOCUMENTATION },
    { { 224, 0,   0,   0 },    4, NCR_ADDRESS_MULTICAST },
    { { 255, 255, 255, 255 }, 32, NCR_ADDRESS_BROADCAST },
    { { 240, 0,   0,   0 },    4, NCR_ADDRESS_RESERVED }
};


/*
 * What is not in 2000::/3 is nobody's yet.  2001::/23 is the IETF's, Teredo
 * (2001::/32) among it, whose addresses hide one of IPv4.
 */

static const ncr_address_net6_t  ncr_address_nets6[] = {
    { { 0xfc },                                7, NCR_ADDRESS_PRIVATE },
    { { 0xfe, 0x80 },                         10, NCR_ADDRESS_LINK_LOCAL },
    { { 0xfe, 0xc0 },                         10, NCR_ADDRESS_PRIVATE },
    { { 0xff },                                8, NCR_ADDRESS_MULTICAST },
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, NCR_ADDRESS_PRIVATE },
    { { 0x20, 0x01, 0x00, 0x02, 0x00, 0x00 }, 48, NCR_ADDRESS_BENCHMARK },
    { { 0x20, 0x01, 0x00, 0x00 },             23, NCR_ADDRESS_PROTOCOL },
    { { 0x20, 0x01, 0x0d, 0xb8 },             32, NCR_ADDRESS_DOCUMENTATION },
    { { 0x3f, 0xff, 0x00 },                   20, NCR_ADDRESS_DOCUMENTATION }
};


/* in the order of ncr_address_e */

static const char *const  ncr_address_texts[] = {
    "a public address",
    "a name",
    "no valid host",
    "a name of this machine or its network",
    "an unspecified address",
    "a loopback address",
    "a private address",
    "a shared address (carrier-grade NAT)",
    "a link-local address",
    "an address of a cloud's metadata",
    "an address of the IETF's protocols",
    "an address of documentation",
    "an address of benchmarks",
    "a multicast address",
    "a broadcast address",
    "a reserved address"
};


const char *
ncr_address_text(ncr_address_e e)
{
    return ncr_address_texts[e];
}


ncr_address_e
ncr_address_ipv4(const ncr_char_t *p)
{
    ncr_uint_t  i;

    for (i = 0;
         i < sizeof(ncr_address_nets4) / sizeof(ncr_address_nets4[0]);
         i++)
    {
        if (ncr_address_within(p, ncr_address_nets4[i].net,
                               ncr_address_nets4[i].bits))
        {
            return ncr_address_nets4[i].class;
        }
    }

    return NCR_ADDRESS_PUBLIC;
}


ncr_address_e
ncr_address_ipv6(const ncr_char_t *p)
{
    ncr_uint_t     i;
    ncr_address_e  class;

    static const ncr_char_t  nat64[] = { 0x00, 0x64, 0xff, 0x9b };
    static const ncr_char_t  isatap[] = { 0x00, 0x00, 0x5e, 0xfe };

    if (ncr_address_zeros(p, 15) && p[15] < 2) {
        return p[15] ? NCR_ADDRESS_LOOPBACK : NCR_ADDRESS_UNSPECIFIED;
    }

    /* RFC 4291, 2.5.5.2: it is that one of IPv4 */

    if (ncr_address_zeros(p, 10) && p[10] == 0xff && p[11] == 0xff) {
        return ncr_address_ipv4(p + 12);
    }

    /* RFC 4291, 2.5.5.1 and RFC 2765: of old, nobody is reached so */

    if (ncr_address_zeros(p, 8)) {
        class = ncr_address_ipv4(p + 12);
        return (class == NCR_ADDRESS_PUBLIC) ? NCR_ADDRESS_RESERVED : class;
    }

    /* RFC 6052, 2.1: a network without IPv4 reaches it by way of these */

    if (memcmp(p, nat64, 4) == 0 && ncr_address_zeros(p + 4, 8)) {
        return ncr_address_ipv4(p + 12);
    }

    for (i = 0;
         i < sizeof(ncr_address_nets6) / sizeof(ncr_address_nets6[0]);
         i++)
    {
        if (ncr_address_within(p, ncr_address_nets6[i].net,
                               ncr_address_nets6[i].bits))
        {
            return ncr_address_nets6[i].class;
        }
    }

    if ((p[0] & 0xe0) != 0x20) {
        return NCR_ADDRESS_RESERVED;
    }

    /* RFC 3056, 2: a tunnel to an address of IPv4 */

    if (p[0] == 0x20 && p[1] == 0x02) {
        class = ncr_address_ipv4(p + 2);

        if (class != NCR_ADDRESS_PUBLIC) {
            return class;
        }
    }

    /* RFC 5214, 6.1: another one */

    if ((p[8] & 0xfd) == isatap[0] && memcmp(p + 9, isatap + 1, 3) == 0) {
        return ncr_address_ipv4(p + 12);
    }

    return NCR_ADDRESS_PUBLIC;
}


static ncr_uint_t
ncr_address_within(const ncr_char_t *p, const ncr_char_t *net,
    ncr_uint_t bits)
{
    ncr_uint_t  n, mask;

    n = bits / 8;

    if (memcmp(p, net, n) != 0) {
        return 0;
    }

    mask = 0xff & ~((ncr_uint_t) 0xff >> (bits % 8));

    return mask == 0 || (p[n] & mask) == (net[n] & mask);
}


static ncr_uint_t
ncr_address_zeros(const ncr_char_t *p, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        if (p[i]) {
            return 0;
        }
    }

    return 1;
}


ncr_address_e
ncr_address_host(ncr_str_t *host)
{
    ncr_str_t   s;
    ncr_char_t  addr[16];

    s = *host;

    if (s.len >= 2 && s.data[0] == '[' && s.data[s.len - 1] == ']') {
        s.data++;
        s.len -= 2;

        return (ncr_address_pton6(&s, addr) == NCR_OK)
               ? ncr_address_ipv6(addr) : NCR_ADDRESS_INVALID;
    }

    if (s.len && ncr_address_until(s.data, s.data + s.len, ':')
                 != s.data + s.len)
    {
        return (ncr_address_pton6(&s, addr) == NCR_OK)
               ? ncr_address_ipv6(addr) : NCR_ADDRESS_INVALID;
    }

    /* the root's: a resolver takes it off, and so may whoever reads on */

    if (s.len && s.data[s.len - 1] == '.') {
        s.len--;
    }

    if (s.len == 0 || s.len > NCR_ADDRESS_HOST) {
        return NCR_ADDRESS_INVALID;
    }

    if (ncr_address_numeric(&s)) {
        return (ncr_address_aton(&s, addr) == NCR_OK)
               ? ncr_address_ipv4(addr) : NCR_ADDRESS_INVALID;
    }

    return ncr_address_name(&s);
}


/*
 * Does it end in a number?  No top-level domain does (RFC 3696, 2), so it is
 * an address or nothing, whoever reads it; the URL Standard of WHATWG, 3.5,
 * has the same rule.
 */

static ncr_uint_t
ncr_address_numeric(ncr_str_t *host)
{
    ncr_char_t  *p, *q, *last;

    last = host->data + host->len;

    for (p = last; p > host->data && p[-1] != '.'; p--) { /* void */ }

    for (q = p; q < last && *q >= '0' && *q <= '9'; q++) { /* void */ }

    if (q == last) {
        return p < last;
    }

    return q == p + 1 && p[0] == '0' && (*q == 'x' || *q == 'X');
}


/* what is too large is no address: others would cut it off */

static ncr_int_t
ncr_address_aton(ncr_str_t *host, ncr_char_t *dst)
{
    uint64_t     addr, part;
    ncr_char_t  *p, *dot, *last;
    ncr_uint_t   n;

    p = host->data;
    last = p + host->len;
    addr = 0;

    for (n = 0; n < 4; n++) {

        dot = ncr_address_until(p, last, '.');

        if (ncr_address_part(p, dot, &part) != NCR_OK) {
            return NCR_BAD;
        }

        if (dot == last) {

            /* the last one fills what is left */

            if (part >> (32 - 8 * n)) {
                return NCR_BAD;
            }

            addr |= part;

            dst[0] = (ncr_char_t) (addr >> 24);
            dst[1] = (ncr_char_t) (addr >> 16);
            dst[2] = (ncr_char_t) (addr >> 8);
            dst[3] = (ncr_char_t) addr;

            return NCR_OK;
        }

        if (part > 255) {
            return NCR_BAD;
        }

        addr |= part << (24 - 8 * n);
        p = dot + 1;
    }

    return NCR_BAD;
}


static ncr_int_t
ncr_address_part(ncr_char_t *p, ncr_char_t *last, uint64_t *value)
{
    ncr_int_t   digit;
    ncr_uint_t  base;

    base = 10;

    if (last - p > 1 && p[0] == '0') {
        base = 8;
        p++;

        if (*p == 'x' || *p == 'X') {
            base = 16;
            p++;
        }
    }

    if (p == last) {
        return NCR_BAD;
    }

    *value = 0;

    for ( /* void */ ; p < last; p++) {

        digit = ncr_address_digit(*p);

        if (digit < 0 || (ncr_uint_t) digit >= base) {
            return NCR_BAD;
        }

        *value = *value * base + (ncr_uint_t) digit;

        if (*value > UINT32_MAX) {
            return NCR_BAD;
        }
    }

    return NCR_OK;
}


/*
 * RFC 4291, 2.2.  Groups from the front; those behind "::" are moved to the
 * end then.  A zone (RFC 4007, 11) has no place in it: it names an interface.
 */

ncr_int_t
ncr_address_pton6(ncr_str_t *host, ncr_char_t *dst)
{
    ncr_int_t    digit;
    ncr_char_t  *p, *end, *last;
    ncr_uint_t   n, gap, group, digits;

    p = host->data;
    last = p + host->len;
    n = 0;
    gap = NCR_ADDRESS_NO_GAP;

    memset(dst, 0, 16);

    if (last - p >= 2 && p[0] == ':' && p[1] == ':') {
        gap = 0;
        p += 2;
    }

    while (p < last) {

        end = ncr_address_until(p, last, ':');

        if (end == last && ncr_address_until(p, end, '.') != end) {

            if (n > 12 || ncr_address_quad(p, end, dst + n) != NCR_OK) {
                return NCR_BAD;
            }

            n += 4;
            break;
        }

        if (n == 16) {
            return NCR_BAD;
        }

        group = 0;

        for (digits = 0; p < end; digits++, p++) {

            digit = ncr_address_digit(*p);

            if (digit < 0 || digits == 4) {
                return NCR_BAD;
            }

            group = group * 16 + (ncr_uint_t) digit;
        }

        if (digits == 0) {
            return NCR_BAD;
        }

        dst[n++] = (ncr_char_t) (group >> 8);
        dst[n++] = (ncr_char_t) (group & 0xff);

        if (end == last) {
            break;
        }

        p = end + 1;

        if (p == last) {
            return NCR_BAD;             /* a colon alone at the end */
        }

        if (*p == ':') {

            if (gap != NCR_ADDRESS_NO_GAP) {
                return NCR_BAD;
            }

            gap = n;
            p++;
        }
    }

    if (gap == NCR_ADDRESS_NO_GAP) {
        return (n == 16) ? NCR_OK : NCR_BAD;
    }

    /* "::" stands for one group at least */

    if (n > 14) {
        return NCR_BAD;
    }

    memmove(dst + 16 - (n - gap), dst + gap, n - gap);
    memset(dst + gap, 0, 16 - n);

    return NCR_OK;
}


/* within IPv6 readers agree on one notation: 0177 is refused, not 127 */

ncr_int_t
ncr_address_quad(ncr_char_t *p, ncr_char_t *last, ncr_char_t *dst)
{
    uint64_t     part;
    ncr_char_t  *dot;
    ncr_uint_t   i;

    for (i = 0; i < 4; i++) {

        dot = ncr_address_until(p, last, '.');

        if ((i == 3) != (dot == last)
            || (dot - p > 1 && *p == '0')
            || ncr_address_part(p, dot, &part) != NCR_OK
            || part > 255)
        {
            return NCR_BAD;
        }

        dst[i] = (ncr_char_t) part;
        p = dot + 1;
    }

    return NCR_OK;
}


/*
 * Letters, digits, "-" and "_"; nothing that another reader might decode
 * first, as "%31" or a fullwidth digit.  Names that are never public ones by
 * RFC 6761, 6762, 8375, or by ICANN's word on "internal", are told at once.
 */

static ncr_address_e
ncr_address_name(ncr_str_t *host)
{
    size_t       i, label;
    ncr_char_t   c;
    ncr_uint_t   n;

    static const char *const  domains[] = {
        "localhost", "localdomain", "local", "internal", "home.arpa",
        "ip6-localhost", "ip6-loopback", "metadata"
    };

    label = 0;

    for (i = 0; i < host->len; i++) {

        c = host->data[i];

        if (c == '.') {

            if (label == 0) {
                return NCR_ADDRESS_INVALID;
            }

            label = 0;
            continue;
        }

        if (!((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
              || c == '-' || c == '_')
            || ++label > 63)
        {
            return NCR_ADDRESS_INVALID;
        }
    }

    if (label == 0) {
        return NCR_ADDRESS_INVALID;
    }

    for (n = 0; n < sizeof(domains) / sizeof(domains[0]); n++) {
        if (ncr_address_below(host, domains[n])) {
            return NCR_ADDRESS_LOCAL_NAME;
        }
    }

    return NCR_ADDRESS_NAME;
}


static ncr_uint_t
ncr_address_below(ncr_str_t *host, const char *domain)
{
    size_t     len;
    ncr_str_t  s;

    len = strlen(domain);

    if (host->len < len) {
        return 0;
    }

    s.data = host->data + host->len - len;
    s.len = len;

    return ncr_str_caseeq(&s, domain)
           && (host->len == len || s.data[-1] == '.');
}


static ncr_int_t
ncr_address_digit(ncr_char_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    c |= 0x20;

    return (c >= 'a' && c <= 'f') ? c - 'a' + 10 : -1;
}


static ncr_char_t *
ncr_address_until(ncr_char_t *p, ncr_char_t *last, ncr_char_t c)
{
    while (p < last && *p != c) {
        p++;
    }

    return p;
}
