
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A reader of one HTTP/1.1 answer, fed in pieces: status line, headers, and
 * where the body ends (RFC 9112).  Answers 1xx are passed over.  What could
 * be read in two ways is refused: folded headers, two lengths, a length and
 * chunks, another coding than "chunked", control characters.  LF alone ends a
 * line, too (RFC 9112, 2.2).
 */


#ifndef _NCR_HTTP_H_INCLUDED_
#define _NCR_HTTP_H_INCLUDED_


#include "ncr_base.h"


#define NCR_HTTP_HEADERS     256        /* more are refused */
#define NCR_HTTP_CHUNK_LINE  256        /* of a chunk: its size, extensions */


typedef struct ncr_http_s  ncr_http_t;


struct ncr_http_s {

    /* set by the caller after ncr_http_init() */

    void          *data;

    /*
     * A header of the answer itself.  The name is in lower case; behind both
     * there is a NUL; they live as long as buf.  May be NULL.  Anything but
     * NCR_OK stops the reader for good.
     */
    ncr_int_t    (*header)(ncr_http_t *http, ncr_str_t *name,
                           ncr_str_t *value);

    /* a piece of the body, free of chunks; the same rules */
    ncr_int_t    (*body)(ncr_http_t *http, ncr_char_t *p, size_t len);

    /* room for all heads, those of 1xx and the trailers included */
    ncr_char_t    *buf;
    size_t         size;

    unsigned       head:1;              /* it answers a HEAD */

    /* public, read only */

    ncr_uint_t     status;              /* 0 before the status line */
    const char    *what;                /* is invalid, after NCR_BAD */
    unsigned       head_done:1;         /* and it is not 1xx */
    unsigned       keep:1;              /* after NCR_DONE: another may follow */

    /* private */

    unsigned       state:4;
    unsigned       minor:1;             /* HTTP/1.1 and later */
    unsigned       close:1;
    unsigned       chunked:1;
    unsigned       has_length:1;
    unsigned       has_digit:1;
    ncr_int_t      rc;
    ncr_uint_t     nheaders;
    ncr_uint_t     nline;               /* bytes of a chunk's line */
    uint64_t       length;
    uint64_t       left;
    size_t         len;                 /* of buf */
    size_t         line;                /* where the line begins in buf */
};


void ncr_http_init(ncr_http_t *http);

/*
 * NCR_AGAIN: feed more; NCR_DONE: the answer has ended, and *used bytes of
 * the piece belong to it; NCR_BAD: this is not HTTP; or what a callback
 * returned.
 */
ncr_int_t ncr_http_feed(ncr_http_t *http, ncr_char_t *p, size_t len,
    size_t *used);

/*
 * The connection is closed.  NCR_DONE: the answer is complete; NCR_DECLINED:
 * it was cut; or what ncr_http_feed() has failed with.
 */
ncr_int_t ncr_http_eof(ncr_http_t *http);


#endif /* _NCR_HTTP_H_INCLUDED_ */
