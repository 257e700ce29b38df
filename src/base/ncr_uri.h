
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Percent-encoding (RFC 3986, section 2.1) and queries made of it. */


#ifndef _NCR_URI_H_INCLUDED_
#define _NCR_URI_H_INCLUDED_


#include "ncr_out.h"


/* all but unreserved characters become %XX, so it fits everywhere */
void ncr_uri_escape(ncr_out_t *out, ncr_str_t *s);

/*
 * The value of an element of a query: %XX decoded, "+" is a space.  *value
 * becomes a slice of itself if there is nothing to decode, else of buf, which
 * has room for value->len bytes.  NCR_BAD: a broken escape.
 */
ncr_int_t ncr_uri_unescape(ncr_str_t *value, ncr_char_t *buf);

/* the first "name=" of a query "a=b&c=d", as it stands; NCR_DECLINED: none */
ncr_int_t ncr_uri_arg(ncr_str_t *query, const char *name, ncr_str_t *value);


#endif /* _NCR_URI_H_INCLUDED_ */
