
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What is read of Redis' answers before, and beside, a reader of values: the
 * frames of RESP2, fed in pieces, with bounds; errors by their first word;
 * redirections of a Cluster; lines of INFO.  All of it is untrusted.
 */


#ifndef _NCR_REDIS_H_INCLUDED_
#define _NCR_REDIS_H_INCLUDED_


#include "ncr_base.h"


#define NCR_REDIS_DEPTH     7           /* of arrays within arrays */
#define NCR_REDIS_ELEMENTS  (1 << 20)   /* of one array */
#define NCR_REDIS_LINE      65536
#define NCR_REDIS_REPLY     (64 * 1024 * 1024)

#define NCR_REDIS_HOST      256         /* with its NUL */


typedef enum {
    NCR_REDIS_TYPE = 0,
    NCR_REDIS_NUMBER,                   /* of "$" and "*" */
    NCR_REDIS_TEXT,                     /* a line that is not a number's */
    NCR_REDIS_LF,
    NCR_REDIS_BULK,
    NCR_REDIS_BULK_CR,
    NCR_REDIS_BULK_LF
} ncr_redis_state_e;


/* zeroed before its first use */

typedef struct {
    ncr_redis_state_e  state;
    ncr_char_t         type;
    ncr_uint_t         negative;
    ncr_uint_t         digits;
    uint64_t           number;
    size_t             line;            /* bytes of it */
    size_t             bulk;            /* bytes that are to come */
    size_t             size;            /* of this reply */
    ncr_uint_t         depth;
    uint32_t           left[NCR_REDIS_DEPTH];   /* elements to come */
    const char        *wrong;
} ncr_redis_frame_t;


/*
 * NCR_OK: all of it may be given to a reader; replies, if not NULL, is raised
 * by those that have ended in it.  NCR_BAD: frame->wrong says why, for good.
 */
ncr_int_t ncr_redis_frame(ncr_redis_frame_t *frame, const ncr_char_t *p,
    size_t len, ncr_uint_t *replies);


/* an error by its first word, whose meaning is the same for all commands */

typedef enum {
    NCR_REDIS_OTHER = 0,
    NCR_REDIS_NOSCRIPT,
    NCR_REDIS_MOVED,
    NCR_REDIS_ASK,
    NCR_REDIS_TRYAGAIN,
    NCR_REDIS_READONLY,
    NCR_REDIS_LOADING,
    NCR_REDIS_MASTERDOWN,
    NCR_REDIS_CLUSTERDOWN,
    NCR_REDIS_NOREPLICAS,
    NCR_REDIS_OOM,
    NCR_REDIS_MISCONF,
    NCR_REDIS_NOAUTH,
    NCR_REDIS_WRONGPASS,
    NCR_REDIS_NOPERM
} ncr_redis_error_e;

ncr_redis_error_e ncr_redis_error(ncr_str_t *text);

/* in words for an operator; NULL for NCR_REDIS_OTHER and those that are
 * followed, not shown */
const char *ncr_redis_error_text(ncr_redis_error_e error);


/* a server by host and port; host is empty where the answer had none: that of
 * who has answered */

typedef struct {
    ncr_uint_t         port;
    char               host[NCR_REDIS_HOST];
} ncr_redis_place_t;

/* of a "MOVED slot host:port" or "ASK slot host:port"; NCR_BAD if it is none */
ncr_int_t ncr_redis_moved(ncr_str_t *text, ncr_redis_place_t *place);

/* of two texts; NCR_BAD: no host, or no port.  An empty host is one if "may"
 * is set */
ncr_int_t ncr_redis_place(ncr_redis_place_t *place, ncr_str_t *host,
    ncr_str_t *port, ncr_uint_t may);

/* "127.0.0.1", "::1" */
ncr_uint_t ncr_redis_host(ncr_str_t *host);


/* the value of a line "name:value" of INFO; NCR_DECLINED: there is none */
ncr_int_t ncr_redis_info(ncr_str_t *text, const char *name,
    ncr_str_t *value);


/* up to size - 1 characters that may be shown, NUL behind them, and 1; 0 and
 * an empty text if it has the secret's first characters */
ncr_uint_t ncr_redis_shown(char *dst, size_t size, ncr_str_t *text,
    ncr_str_t *secret);


#endif /* _NCR_REDIS_H_INCLUDED_ */
