
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * An observing reader of server-sent events: it is shown the bytes that pass
 * by and tells which events they are made of.  LF, CRLF and CR end a line;
 * one space after the colon is optional; comments, "id" and "retry" are
 * skipped; several "data" lines are joined by LF.  The bytes of an event
 * nobody wants are skipped at the speed of memchr() and never copied, so a
 * line may be as long as it likes.
 */


#ifndef _NCR_SSE_H_INCLUDED_
#define _NCR_SSE_H_INCLUDED_


#include "ncr_base.h"


#define NCR_SSE_NAME   64               /* longer event names are cut */
#define NCR_SSE_HEAD   48               /* what want() is shown of the data */


/* the answers of want() */

#define NCR_SSE_NO     0
#define NCR_SSE_YES    1
#define NCR_SSE_NEVER  2                /* nor any other event of this name */


typedef struct ncr_sse_s  ncr_sse_t;


struct ncr_sse_s {

    /* set by the caller after ncr_sse_init() */

    void          *data;

    /*
     * Asked once per event, when the first NCR_SSE_HEAD bytes of its data
     * are there, or its first data line has ended: shall it be collected?
     * name is empty when the event has no "event" line before its data.
     * The last name that NCR_SSE_NEVER was said of is not asked for again,
     * and its events are passed over as a whole where they lie in a chunk.
     */
    ncr_uint_t   (*want)(ncr_sse_t *sse, ncr_str_t *name, ncr_str_t *head);

    /*
     * A wanted event is complete (its blank line was seen).  sse->cut tells
     * that payload is only the beginning.  The slices live until it returns.
     * Anything but NCR_OK stops this feed.
     */
    ncr_int_t    (*event)(ncr_sse_t *sse, ncr_str_t *name,
                          ncr_str_t *payload);

    /*
     * Room for the data of a wanted event that spans chunks or lines; or who
     * takes it bit by bit, in which case the payload of event() is empty.
     */
    ncr_char_t    *buf;
    size_t         size;
    void         (*part)(ncr_sse_t *sse, ncr_char_t *p, size_t len);

    /* public, read only */

    uint64_t       events;              /* events with data, wanted or not */
    unsigned       cut:1;
    unsigned       comment:1;           /* there was one */

    /* private */

    unsigned       state:4;
    unsigned       asked:1;
    unsigned       wanted:1;
    unsigned       has_data:1;
    unsigned       cr:1;                /* the last byte was a CR */
    unsigned       line_start:1;        /* no field since a blank line */
    unsigned       joined:1;            /* a second data line has begun */
    unsigned       matched:3;           /* bytes of "data" or "event" */
    ncr_char_t    *line;                /* the only data line, in the chunk */
    size_t         nline;
    size_t         len;                 /* of buf */
    size_t         nname;
    size_t         nhead;
    size_t         nskip;
    ncr_char_t     name[NCR_SSE_NAME];
    ncr_char_t     head[NCR_SSE_HEAD];
    ncr_char_t     skip[NCR_SSE_NAME + 16];     /* "event: NAME\ndata:" */
};


void ncr_sse_init(ncr_sse_t *sse);

/* NCR_OK, or what event() returned; the rest of the chunk is then unread */
ncr_int_t ncr_sse_feed(ncr_sse_t *sse, ncr_char_t *p, size_t len);

/* 1 between events: after a blank line, or before the first byte */
ncr_uint_t ncr_sse_boundary(ncr_sse_t *sse);


#endif /* _NCR_SSE_H_INCLUDED_ */
