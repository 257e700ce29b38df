
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What an address is good for: the registries of special-purpose addresses
 * (RFC 6890, and those that came after it), and what a host may mean to any of
 * the readers it may be shown to.  It is what keeps a URL of somebody who may
 * not log in to the machine from naming what only the machine can reach.
 */


#ifndef _NCR_ADDRESS_H_INCLUDED_
#define _NCR_ADDRESS_H_INCLUDED_


#include "ncr_base.h"


typedef enum {
    NCR_ADDRESS_PUBLIC = 0,
    NCR_ADDRESS_NAME,                   /* of a host: must be looked up */

    /* whatever follows is not to be connected to */

    NCR_ADDRESS_INVALID,                /* of a host: no two agree on it */
    NCR_ADDRESS_LOCAL_NAME,             /* of a host: never a public one */
    NCR_ADDRESS_UNSPECIFIED,            /* 0/8, :: */
    NCR_ADDRESS_LOOPBACK,
    NCR_ADDRESS_PRIVATE,                /* RFC 1918, fc00::/7, fec0::/10 */
    NCR_ADDRESS_SHARED,                 /* 100.64/10 */
    NCR_ADDRESS_LINK_LOCAL,
    NCR_ADDRESS_METADATA,               /* of a cloud, by which it is ruled */
    NCR_ADDRESS_PROTOCOL,               /* 192.0.0/24, 2001::/23: Teredo */
    NCR_ADDRESS_DOCUMENTATION,
    NCR_ADDRESS_BENCHMARK,
    NCR_ADDRESS_MULTICAST,
    NCR_ADDRESS_BROADCAST,
    NCR_ADDRESS_RESERVED
} ncr_address_e;


/* 4 bytes, 16 bytes, as they are sent */
ncr_address_e ncr_address_ipv4(const ncr_char_t *p);
ncr_address_e ncr_address_ipv6(const ncr_char_t *p);

/*
 * The host of a URL, with or without brackets.  Addresses are read in every
 * way in which inet_aton() may do it: one to four parts, decimal, octal or
 * hexadecimal.  NCR_ADDRESS_NAME is no promise: its addresses are to be asked
 * for when they are known.
 */
ncr_address_e ncr_address_host(ncr_str_t *host);

/* in words: "is " and this */
const char *ncr_address_text(ncr_address_e e);

static inline ncr_uint_t
ncr_address_allowed(ncr_address_e e)
{
    return e == NCR_ADDRESS_PUBLIC || e == NCR_ADDRESS_NAME;
}


/*
 * Addresses in the one notation that all readers agree on, into 4 and 16
 * bytes: "127.0.0.1" without leading zeros, RFC 4291, 2.2, without a zone.
 * NCR_OK or NCR_BAD.
 */
ncr_int_t ncr_address_quad(ncr_char_t *p, ncr_char_t *last, ncr_char_t *dst);
ncr_int_t ncr_address_pton6(ncr_str_t *host, ncr_char_t *dst);


#endif /* _NCR_ADDRESS_H_INCLUDED_ */
