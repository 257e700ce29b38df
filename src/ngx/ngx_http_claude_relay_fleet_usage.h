
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Sums of all nodes: a hash for each day, "u:YYYYMMDD", with a field
 * "NODE\tKEY" (no key: "") and in it "REQUESTS INPUT OUTPUT CACHE_READ
 * CACHE_WRITE COST", the last in micro-dollars.
 */


#ifndef _NGX_HTTP_CLAUDE_RELAY_FLEET_USAGE_H_INCLUDED_
#define _NGX_HTTP_CLAUDE_RELAY_FLEET_USAGE_H_INCLUDED_


/* "20261121" */
#define NGX_HTTP_CLAUDE_RELAY_DAY       8

#define NGX_HTTP_CLAUDE_RELAY_NUMBERS   6

/* the longest value */
#define NGX_HTTP_CLAUDE_RELAY_TOTAL                                           \
    (NGX_HTTP_CLAUDE_RELAY_NUMBERS * (NGX_INT64_LEN + 1))


#endif /* _NGX_HTTP_CLAUDE_RELAY_FLEET_USAGE_H_INCLUDED_ */
