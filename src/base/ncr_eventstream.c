
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_eventstream.h"

#include <zlib.h>


typedef enum {
    NCR_EVENTSTREAM_ST_PRELUDE = 0,
    NCR_EVENTSTREAM_ST_NAME_LEN,
    NCR_EVENTSTREAM_ST_NAME,
    NCR_EVENTSTREAM_ST_TYPE,
    NCR_EVENTSTREAM_ST_VALUE_LEN,
    NCR_EVENTSTREAM_ST_VALUE,
    NCR_EVENTSTREAM_ST_PAYLOAD,
    NCR_EVENTSTREAM_ST_CRC
} ncr_eventstream_state_e;


#define NCR_EVENTSTREAM_PRELUDE   12


static ncr_int_t ncr_eventstream_step(ncr_eventstream_t *es, ncr_char_t **p,
    ncr_char_t *last);
static size_t ncr_eventstream_take(ncr_eventstream_t *es, ncr_char_t **p,
    ncr_char_t *last);
static ncr_int_t ncr_eventstream_field(ncr_eventstream_t *es);
static ncr_int_t ncr_eventstream_prelude(ncr_eventstream_t *es);
static ncr_int_t ncr_eventstream_value_type(ncr_eventstream_t *es);
static ncr_int_t ncr_eventstream_value(ncr_eventstream_t *es, uint32_t need);
static ncr_int_t ncr_eventstream_header(ncr_eventstream_t *es);
static ncr_int_t ncr_eventstream_known(ncr_eventstream_t *es,
    ncr_str_t *value);
static ncr_int_t ncr_eventstream_next(ncr_eventstream_t *es);
static ncr_int_t ncr_eventstream_body(ncr_eventstream_t *es, ncr_char_t **p,
    ncr_char_t *last);
static ncr_int_t ncr_eventstream_crc(ncr_eventstream_t *es);
static void ncr_eventstream_want(ncr_eventstream_t *es, ncr_uint_t state,
    uint32_t need);
static ncr_int_t ncr_eventstream_bad(ncr_eventstream_t *es,
    const char *error);
static uint32_t ncr_eventstream_int(const ncr_char_t *p);
static void ncr_eventstream_put(ncr_char_t *p, uint32_t n);


/* bytes of a value by its type; those with a length of their own: 0 */

static const uint32_t  ncr_eventstream_sizes[NCR_EVENTSTREAM_TYPES] = {
    0, 0, 1, 2, 4, 8, 0, 0, 8, 16
};


void
ncr_eventstream_init(ncr_eventstream_t *es)
{
    memset(es, 0, offsetof(ncr_eventstream_t, field));

    ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_PRELUDE,
                         NCR_EVENTSTREAM_PRELUDE);
}


ncr_int_t
ncr_eventstream_feed(ncr_eventstream_t *es, ncr_char_t *p, size_t len)
{
    ncr_int_t    rc;
    ncr_char_t  *last;

    last = p + len;

    while (p < last && es->rc == NCR_OK) {

        rc = ncr_eventstream_step(es, &p, last);

        if (rc != NCR_OK) {
            es->rc = rc;
        }
    }

    return es->rc;
}


ncr_uint_t
ncr_eventstream_boundary(ncr_eventstream_t *es)
{
    return es->state == NCR_EVENTSTREAM_ST_PRELUDE && es->nfield == 0;
}


static ncr_int_t
ncr_eventstream_step(ncr_eventstream_t *es, ncr_char_t **p, ncr_char_t *last)
{
    size_t      n;
    ncr_char_t  *from;

    if (es->state == NCR_EVENTSTREAM_ST_PAYLOAD) {
        return ncr_eventstream_body(es, p, last);
    }

    from = *p;
    n = ncr_eventstream_take(es, p, last);

    if (es->state != NCR_EVENTSTREAM_ST_CRC) {
        es->crc = (uint32_t) crc32(es->crc, from, (uInt) n);
    }

    return es->need ? NCR_OK : ncr_eventstream_field(es);
}


/* what is longer than the field is passed over */

static size_t
ncr_eventstream_take(ncr_eventstream_t *es, ncr_char_t **p, ncr_char_t *last)
{
    size_t  n, keep;

    n = ncr_min((size_t) (last - *p), es->need);
    keep = ncr_min(n, sizeof(es->field) - es->nfield);

    memcpy(es->field + es->nfield, *p, keep);

    es->nfield += (uint32_t) keep;
    es->need -= (uint32_t) n;
    *p += n;

    return n;
}


/* all of a field is there */

static ncr_int_t
ncr_eventstream_field(ncr_eventstream_t *es)
{
    switch (es->state) {

    case NCR_EVENTSTREAM_ST_PRELUDE:
        return ncr_eventstream_prelude(es);

    case NCR_EVENTSTREAM_ST_NAME_LEN:

        if (es->field[0] == 0) {
            return ncr_eventstream_bad(es, "a header without a name");
        }

        /* a type follows at least */

        if (es->headers < (uint32_t) es->field[0] + 1) {
            return ncr_eventstream_bad(es, "a header beyond the headers");
        }

        es->headers -= es->field[0];
        ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_NAME, es->field[0]);
        return NCR_OK;

    case NCR_EVENTSTREAM_ST_NAME:
        es->nname = (es->nfield <= sizeof(es->name)) ? es->nfield : 0;
        memcpy(es->name, es->field, es->nname);

        es->headers--;
        ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_TYPE, 1);
        return NCR_OK;

    case NCR_EVENTSTREAM_ST_TYPE:
        return ncr_eventstream_value_type(es);

    case NCR_EVENTSTREAM_ST_VALUE_LEN:
        return ncr_eventstream_value(es, (uint32_t) es->field[0] << 8
                                         | es->field[1]);

    case NCR_EVENTSTREAM_ST_VALUE:
        return ncr_eventstream_header(es);

    default: /* NCR_EVENTSTREAM_ST_CRC */
        return ncr_eventstream_crc(es);
    }
}


static ncr_int_t
ncr_eventstream_prelude(ncr_eventstream_t *es)
{
    uint32_t  total, headers;

    if (ncr_eventstream_int(es->field + 8)
        != (uint32_t) crc32(0, es->field, 8))
    {
        return ncr_eventstream_bad(es, "the checksum of a prelude is wrong");
    }

    total = ncr_eventstream_int(es->field);
    headers = ncr_eventstream_int(es->field + 4);

    if (total < NCR_EVENTSTREAM_FRAME
        || headers > total - NCR_EVENTSTREAM_FRAME)
    {
        return ncr_eventstream_bad(es, "lengths that contradict each other");
    }

    if (headers > NCR_EVENTSTREAM_HEADERS
        || total - NCR_EVENTSTREAM_FRAME - headers > NCR_EVENTSTREAM_PAYLOAD)
    {
        return ncr_eventstream_bad(es, "a message that is too long");
    }

    es->headers = headers;
    es->left = total - NCR_EVENTSTREAM_FRAME - headers;
    es->size = es->left;

    es->message_type[0] = '\0';
    es->event_type[0] = '\0';
    es->exception_type[0] = '\0';
    es->error_code[0] = '\0';
    es->error_message[0] = '\0';

    return ncr_eventstream_next(es);
}


static ncr_int_t
ncr_eventstream_value_type(ncr_eventstream_t *es)
{
    es->type = es->field[0];

    if (es->type >= NCR_EVENTSTREAM_TYPES) {
        return ncr_eventstream_bad(es, "a header of an unknown type");
    }

    if (es->type != NCR_EVENTSTREAM_BYTES
        && es->type != NCR_EVENTSTREAM_STRING)
    {
        return ncr_eventstream_value(es, ncr_eventstream_sizes[es->type]);
    }

    if (es->headers < 2) {
        return ncr_eventstream_bad(es, "a header beyond the headers");
    }

    es->headers -= 2;
    ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_VALUE_LEN, 2);

    return NCR_OK;
}


static ncr_int_t
ncr_eventstream_value(ncr_eventstream_t *es, uint32_t need)
{
    if (es->headers < need) {
        return ncr_eventstream_bad(es, "a header beyond the headers");
    }

    es->headers -= need;
    ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_VALUE, need);

    return need ? NCR_OK : ncr_eventstream_header(es);
}


static ncr_int_t
ncr_eventstream_header(ncr_eventstream_t *es)
{
    ncr_int_t  rc;
    ncr_str_t  name, value;

    value.data = es->field;
    value.len = es->nfield;

    if (es->type == NCR_EVENTSTREAM_STRING
        && ncr_eventstream_known(es, &value) != NCR_OK)
    {
        return ncr_eventstream_bad(es, "a header that is there twice");
    }

    if (es->header) {
        name.data = es->name;
        name.len = es->nname;

        rc = es->header(es, &name, es->type, &value);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return ncr_eventstream_next(es);
}


/* who says two things of one message says nothing */

static ncr_int_t
ncr_eventstream_known(ncr_eventstream_t *es, ncr_str_t *value)
{
    char        *dst;
    size_t       size, len;
    ncr_uint_t   i;

    struct {
        const char  *name;
        char        *dst;
        size_t       size;
    } known[] = {
        { ":message-type", es->message_type, sizeof(es->message_type) },
        { ":event-type", es->event_type, sizeof(es->event_type) },
        { ":exception-type", es->exception_type,
          sizeof(es->exception_type) },
        { ":error-code", es->error_code, sizeof(es->error_code) },
        { ":error-message", es->error_message, sizeof(es->error_message) },
        { NULL, NULL, 0 }
    };

    for (i = 0; known[i].name; i++) {

        len = strlen(known[i].name);

        if (es->nname != len || memcmp(es->name, known[i].name, len) != 0) {
            continue;
        }

        dst = known[i].dst;
        size = known[i].size;

        if (dst[0] != '\0') {
            return NCR_BAD;
        }

        len = ncr_min(value->len, size - 1);
        memcpy(dst, value->data, len);
        dst[len] = '\0';

        break;
    }

    return NCR_OK;
}


/* another header, or what follows them */

static ncr_int_t
ncr_eventstream_next(ncr_eventstream_t *es)
{
    if (es->headers) {
        es->headers--;
        ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_NAME_LEN, 1);
        return NCR_OK;
    }

    if (es->left) {
        ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_PAYLOAD, 0);

    } else {
        ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_CRC, 4);
    }

    return es->head ? es->head(es) : NCR_OK;
}


static ncr_int_t
ncr_eventstream_body(ncr_eventstream_t *es, ncr_char_t **p, ncr_char_t *last)
{
    size_t       n;
    ncr_char_t  *from;

    from = *p;
    n = ncr_min((size_t) (last - from), es->left);

    es->crc = (uint32_t) crc32(es->crc, from, (uInt) n);
    es->left -= (uint32_t) n;
    *p += n;

    if (es->left == 0) {
        ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_CRC, 4);
    }

    return es->payload ? es->payload(es, from, n) : NCR_OK;
}


static ncr_int_t
ncr_eventstream_crc(ncr_eventstream_t *es)
{
    if (ncr_eventstream_int(es->field) != es->crc) {
        return ncr_eventstream_bad(es, "the checksum of a message is wrong");
    }

    es->crc = 0;
    es->messages++;

    ncr_eventstream_want(es, NCR_EVENTSTREAM_ST_PRELUDE,
                         NCR_EVENTSTREAM_PRELUDE);

    return es->message ? es->message(es) : NCR_OK;
}


static void
ncr_eventstream_want(ncr_eventstream_t *es, ncr_uint_t state, uint32_t need)
{
    es->state = state;
    es->need = need;
    es->nfield = 0;
}


static ncr_int_t
ncr_eventstream_bad(ncr_eventstream_t *es, const char *error)
{
    es->error = error;

    return NCR_BAD;
}


static uint32_t
ncr_eventstream_int(const ncr_char_t *p)
{
    return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16
           | (uint32_t) p[2] << 8 | p[3];
}


static void
ncr_eventstream_put(ncr_char_t *p, uint32_t n)
{
    p[0] = (ncr_char_t) (n >> 24);
    p[1] = (ncr_char_t) (n >> 16);
    p[2] = (ncr_char_t) (n >> 8);
    p[3] = (ncr_char_t) n;
}


size_t
ncr_eventstream_begin(ncr_out_t *out)
{
    size_t  begin;

    static const ncr_char_t  zeroes[NCR_EVENTSTREAM_PRELUDE];

    begin = (size_t) (out->last - out->start);
    ncr_out_bytes(out, zeroes, sizeof(zeroes));

    return begin;
}


void
ncr_eventstream_string(ncr_out_t *out, const char *name, ncr_str_t *value)
{
    ncr_char_t  head[4];

    head[0] = (ncr_char_t) strlen(name);
    ncr_out_bytes(out, head, 1);
    ncr_out_text(out, name);

    head[0] = NCR_EVENTSTREAM_STRING;
    head[1] = (ncr_char_t) (value->len >> 8);
    head[2] = (ncr_char_t) value->len;
    ncr_out_bytes(out, head, 3);
    ncr_out_str(out, value);
}


void
ncr_eventstream_end(ncr_out_t *out, size_t begin, ncr_str_t *payload)
{
    size_t       headers;
    ncr_char_t  *p, crc[4];

    headers = (size_t) (out->last - out->start) - begin
              - NCR_EVENTSTREAM_PRELUDE;

    ncr_out_str(out, payload);

    if (out->overflow) {
        return;
    }

    p = out->start + begin;

    ncr_eventstream_put(p, (uint32_t) (headers + payload->len
                                       + NCR_EVENTSTREAM_FRAME));
    ncr_eventstream_put(p + 4, (uint32_t) headers);
    ncr_eventstream_put(p + 8, (uint32_t) crc32(0, p, 8));

    ncr_eventstream_put(crc, (uint32_t) crc32(0, p,
                                              (uInt) (out->last - p)));
    ncr_out_bytes(out, crc, 4);
}
