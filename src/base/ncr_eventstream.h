
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A reader of application/vnd.amazon.eventstream (anthropic.md I.6) that is
 * fed in pieces, and the way back.  Nothing of a message is kept but the
 * headers that say what it is; its payload is shown as it passes by, before
 * its checksum is known, and message() is called only if that was right.
 */


#ifndef _NCR_EVENTSTREAM_H_INCLUDED_
#define _NCR_EVENTSTREAM_H_INCLUDED_


#include "ncr_out.h"


/* what AWS's own codecs take (I.6) */

#define NCR_EVENTSTREAM_HEADERS   (128 * 1024)
#define NCR_EVENTSTREAM_PAYLOAD   (24 * 1024 * 1024)

/* around headers and payload */
#define NCR_EVENTSTREAM_FRAME     16

#define NCR_EVENTSTREAM_NAME      64    /* longer names are nobody's */
#define NCR_EVENTSTREAM_VALUE     64    /* longer values are cut */
#define NCR_EVENTSTREAM_TEXT      256


/* types of headers */

typedef enum {
    NCR_EVENTSTREAM_TRUE = 0,
    NCR_EVENTSTREAM_FALSE,
    NCR_EVENTSTREAM_BYTE,
    NCR_EVENTSTREAM_INT16,
    NCR_EVENTSTREAM_INT32,
    NCR_EVENTSTREAM_INT64,
    NCR_EVENTSTREAM_BYTES,              /* 16 bits of length in front */
    NCR_EVENTSTREAM_STRING,             /* the same */
    NCR_EVENTSTREAM_TIMESTAMP,
    NCR_EVENTSTREAM_UUID,
    NCR_EVENTSTREAM_TYPES
} ncr_eventstream_type_e;


typedef struct ncr_eventstream_s  ncr_eventstream_t;


struct ncr_eventstream_s {

    /* set by the caller after ncr_eventstream_init(); each may be NULL, and
     * anything but NCR_OK stops this feed */

    void          *data;

    /* the headers were read */
    ncr_int_t    (*head)(ncr_eventstream_t *es);

    /* some of the payload */
    ncr_int_t    (*payload)(ncr_eventstream_t *es, ncr_char_t *p, size_t len);

    /* the message is complete, and as it was made */
    ncr_int_t    (*message)(ncr_eventstream_t *es);

    /* any header, its value cut; type is one of the above */
    ncr_int_t    (*header)(ncr_eventstream_t *es, ncr_str_t *name,
                           ncr_uint_t type, ncr_str_t *value);

    /* read only: what the message says of itself, "" if it does not */

    char           message_type[NCR_EVENTSTREAM_VALUE];
    char           event_type[NCR_EVENTSTREAM_VALUE];
    char           exception_type[NCR_EVENTSTREAM_VALUE];
    char           error_code[NCR_EVENTSTREAM_VALUE];
    char           error_message[NCR_EVENTSTREAM_TEXT];
    uint32_t       size;                /* of the payload */
    uint64_t       messages;            /* complete ones */
    const char    *error;               /* after NCR_BAD */

    /* private */

    ncr_int_t      rc;
    ncr_uint_t     state;
    uint32_t       crc;                 /* of the message so far */
    uint32_t       headers;             /* bytes of them that are left */
    uint32_t       left;                /* of the payload */
    uint32_t       need;                /* of the field at hand */
    uint32_t       type;
    uint32_t       nname;
    uint32_t       nfield;
    ncr_char_t     field[NCR_EVENTSTREAM_TEXT];
    ncr_char_t     name[NCR_EVENTSTREAM_NAME];
};


void ncr_eventstream_init(ncr_eventstream_t *es);

/* NCR_OK; NCR_BAD: it is broken, for ever; or what a function returned */
ncr_int_t ncr_eventstream_feed(ncr_eventstream_t *es, ncr_char_t *p,
    size_t len);

/* 1 between two messages */
ncr_uint_t ncr_eventstream_boundary(ncr_eventstream_t *es);


/*
 * The way back.  Headers are appended to out one by one, begin() before them
 * and end() after the payload: it fills in the lengths and the checksums of
 * what begin() returned the place of.
 */
size_t ncr_eventstream_begin(ncr_out_t *out);
void ncr_eventstream_string(ncr_out_t *out, const char *name,
    ncr_str_t *value);
void ncr_eventstream_end(ncr_out_t *out, size_t begin, ncr_str_t *payload);


#endif /* _NCR_EVENTSTREAM_H_INCLUDED_ */
