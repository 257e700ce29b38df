
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Frames of AWS's event stream as events of a text/event-stream (anthropic.md
 * I.6).  The payload of a frame is {"bytes":"<base64>","p":"<padding>"}, in
 * any order; what the bytes are is an event of the Messages API.
 */


#include "ncr_bedrock.h"
#include "ncr_platform.h"
#include "ncr_anthropic.h"
#include "ncr_str.h"


#define NCR_BEDROCK_METRICS  "amazon-bedrock-invocationMetrics"


typedef enum {
    NCR_BEDROCK_ST_START = 0,
    NCR_BEDROCK_ST_KEY,                 /* or "}", or "," */
    NCR_BEDROCK_ST_NAME,
    NCR_BEDROCK_ST_COLON,
    NCR_BEDROCK_ST_VALUE,
    NCR_BEDROCK_ST_BYTES,
    NCR_BEDROCK_ST_SKIP,                /* a value that is nobody's */
    NCR_BEDROCK_ST_END
} ncr_bedrock_state_e;


static ncr_int_t ncr_bedrock_head(ncr_eventstream_t *es);
static ncr_int_t ncr_bedrock_payload(ncr_eventstream_t *es, ncr_char_t *p,
    size_t len);
static ncr_int_t ncr_bedrock_message(ncr_eventstream_t *es);
static ncr_int_t ncr_bedrock_outer(ncr_bedrock_events_t *ev, ncr_char_t c);
static ncr_int_t ncr_bedrock_value(ncr_bedrock_events_t *ev, ncr_char_t c);
static ncr_int_t ncr_bedrock_skip(ncr_bedrock_events_t *ev, ncr_char_t c);
static ncr_int_t ncr_bedrock_bytes(ncr_bedrock_events_t *ev, ncr_char_t **p,
    ncr_char_t *last);
static ncr_int_t ncr_bedrock_digit(ncr_bedrock_events_t *ev, ncr_char_t c);
static ncr_int_t ncr_bedrock_spill(ncr_bedrock_events_t *ev);
static ncr_int_t ncr_bedrock_emit(ncr_bedrock_events_t *ev);
static void ncr_bedrock_plain(ncr_bedrock_events_t *ev);
static ncr_int_t ncr_bedrock_close(ncr_bedrock_events_t *ev);
static void ncr_bedrock_type(ncr_bedrock_events_t *ev);
static void ncr_bedrock_strip(ncr_bedrock_events_t *ev);
static void ncr_bedrock_read(ncr_bedrock_events_t *ev);
static ncr_int_t ncr_bedrock_member(ncr_json_t *json, ncr_json_token_e token);
static void ncr_bedrock_named(ncr_bedrock_events_t *ev, ncr_str_t *type);
static ncr_char_t *ncr_bedrock_lead(ncr_bedrock_events_t *ev);
static ncr_int_t ncr_bedrock_error(ncr_bedrock_events_t *ev,
    ncr_eventstream_t *es);


/* digits of base64: their values; 64 is none, 65 the padding */

static const ncr_char_t  ncr_bedrock_digits[256] = {
#define N  64
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, 62, N, N, N, 63,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, N, N, N, 65, N, N,
    N, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, N, N, N, N, N,
    N, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
    N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N
#undef N
};


void
ncr_bedrock_events_init(ncr_bedrock_events_t *ev, ncr_char_t *buf,
    size_t size, ncr_translate_pt write, void *data)
{
    memset(ev, 0, offsetof(ncr_bedrock_events_t, name));

    ev->write = write;
    ev->data = data;
    ev->buf = buf + NCR_BEDROCK_LEAD;

    /* a blank line is put behind an event */
    ev->size = size - NCR_BEDROCK_LEAD - 2;

    ncr_eventstream_init(&ev->es);

    ev->es.data = ev;
    ev->es.head = ncr_bedrock_head;
    ev->es.payload = ncr_bedrock_payload;
    ev->es.message = ncr_bedrock_message;
}


ncr_int_t
ncr_bedrock_events_feed(ncr_bedrock_events_t *ev, ncr_char_t *p, size_t len)
{
    return ncr_eventstream_feed(&ev->es, p, len);
}


static ncr_int_t
ncr_bedrock_head(ncr_eventstream_t *es)
{
    ncr_bedrock_events_t  *ev;

    ev = es->data;

    ev->chunk = (strcmp(es->message_type, "event") == 0
                 && strcmp(es->event_type, "chunk") == 0);
    ev->state = NCR_BEDROCK_ST_START;
    ev->n = 0;
    ev->bits = 0;
    ev->nbits = 0;
    ev->told = 0;
    ev->padded = 0;
    ev->open = 0;

    return NCR_OK;
}


static ncr_int_t
ncr_bedrock_payload(ncr_eventstream_t *es, ncr_char_t *p, size_t len)
{
    size_t                 n;
    ncr_int_t              rc;
    ncr_char_t            *last;
    ncr_bedrock_events_t  *ev;

    ev = es->data;

    if (ev->done) {
        return NCR_OK;
    }

    if (!ev->chunk) {

        /* an exception's words: the beginning of them does */

        n = ncr_min(len, ev->size - ev->n);
        memcpy(ev->buf + ev->n, p, n);
        ev->n += n;

        return NCR_OK;
    }

    last = p + len;

    while (p < last) {

        rc = (ev->state == NCR_BEDROCK_ST_BYTES)
             ? ncr_bedrock_bytes(ev, &p, last)
             : ncr_bedrock_outer(ev, *p++);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


/* a byte of the payload's object outside of the value that is wanted */

static ncr_int_t
ncr_bedrock_outer(ncr_bedrock_events_t *ev, ncr_char_t c)
{
    if (ev->state == NCR_BEDROCK_ST_NAME) {

        if (c == '"') {
            ev->state = NCR_BEDROCK_ST_COLON;

        } else if (ev->nname < sizeof(ev->name)) {
            ev->name[ev->nname++] = (char) c;
        }

        return (c == '\\') ? NCR_BAD : NCR_OK;
    }

    if (ev->state == NCR_BEDROCK_ST_SKIP) {
        return ncr_bedrock_skip(ev, c);
    }

    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        return NCR_OK;
    }

    switch (ev->state) {

    case NCR_BEDROCK_ST_START:
        ev->state = NCR_BEDROCK_ST_KEY;
        return (c == '{') ? NCR_OK : NCR_BAD;

    case NCR_BEDROCK_ST_KEY:

        if (c == '"') {
            ev->nname = 0;
            ev->state = NCR_BEDROCK_ST_NAME;
            return NCR_OK;
        }

        if (c == '}') {
            ev->state = NCR_BEDROCK_ST_END;
            return NCR_OK;
        }

        return (c == ',') ? NCR_OK : NCR_BAD;

    case NCR_BEDROCK_ST_COLON:
        ev->state = NCR_BEDROCK_ST_VALUE;
        return (c == ':') ? NCR_OK : NCR_BAD;

    case NCR_BEDROCK_ST_VALUE:
        return ncr_bedrock_value(ev, c);

    default: /* NCR_BEDROCK_ST_END */
        return NCR_BAD;
    }
}


static ncr_int_t
ncr_bedrock_value(ncr_bedrock_events_t *ev, ncr_char_t c)
{
    if (ev->nname == 5 && memcmp(ev->name, "bytes", 5) == 0) {

        if (c != '"' || ev->told) {
            return NCR_BAD;
        }

        ev->told = 1;
        ev->state = NCR_BEDROCK_ST_BYTES;

        return NCR_OK;
    }

    ev->state = NCR_BEDROCK_ST_SKIP;
    ev->depth = 0;
    ev->quoted = 0;
    ev->escaped = 0;

    return ncr_bedrock_skip(ev, c);
}


static ncr_int_t
ncr_bedrock_skip(ncr_bedrock_events_t *ev, ncr_char_t c)
{
    if (ev->quoted) {

        if (ev->escaped) {
            ev->escaped = 0;

        } else if (c == '\\') {
            ev->escaped = 1;

        } else if (c == '"') {
            ev->quoted = 0;
        }

        return NCR_OK;
    }

    switch (c) {

    case '"':
        ev->quoted = 1;
        break;

    case '{':
    case '[':
        ev->depth++;
        break;

    case '}':
    case ']':
        if (ev->depth == 0) {
            ev->state = NCR_BEDROCK_ST_END;
            return (c == '}') ? NCR_OK : NCR_BAD;
        }

        ev->depth--;
        break;

    case ',':
        if (ev->depth == 0) {
            ev->state = NCR_BEDROCK_ST_KEY;
        }

        break;

    default:
        break;
    }

    return NCR_OK;
}


/*
 * The value that is wanted: four digits at once where they lie together.  A
 * line's end, which JSON has between its tokens only, would end the event.
 */

static ncr_int_t
ncr_bedrock_bytes(ncr_bedrock_events_t *ev, ncr_char_t **from,
    ncr_char_t *last)
{
    ncr_int_t    rc;
    ncr_char_t  *p, *dst, a, b, c, d;

    p = *from;

    for ( ;; ) {

        if (ev->nbits == 0 && !ev->padded) {

            dst = ev->buf + ev->n;

            while (last - p >= 4 && ev->size - ev->n >= 3) {

                a = ncr_bedrock_digits[p[0]];
                b = ncr_bedrock_digits[p[1]];
                c = ncr_bedrock_digits[p[2]];
                d = ncr_bedrock_digits[p[3]];

                if ((a | b | c | d) & 64) {
                    break;
                }

                dst[0] = (ncr_char_t) (a << 2 | b >> 4);
                dst[1] = (ncr_char_t) (b << 4 | c >> 2);
                dst[2] = (ncr_char_t) (c << 6 | d);

                dst += 3;
                p += 4;
                ev->n += 3;
            }
        }

        if (p == last) {
            break;
        }

        if (*p == '"') {
            p++;
            ev->state = NCR_BEDROCK_ST_KEY;

            /* six bits that are left over are no byte */

            if (ev->nbits >= 6) {
                return NCR_BAD;
            }

            break;
        }

        rc = ncr_bedrock_digit(ev, *p++);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    *from = p;

    return NCR_OK;
}


static ncr_int_t
ncr_bedrock_digit(ncr_bedrock_events_t *ev, ncr_char_t c)
{
    ncr_int_t   rc;
    ncr_char_t  value;

    if (c == '\\') {

        /* some write "/" so */

        return NCR_OK;
    }

    value = ncr_bedrock_digits[c];

    if (value == 65) {
        ev->padded = 1;
        ev->nbits = 0;
        return NCR_OK;
    }

    if (value == 64 || ev->padded) {
        return NCR_BAD;
    }

    ev->bits = (ev->bits << 6 | value) & 0xffff;
    ev->nbits += 6;

    if (ev->nbits < 8) {
        return NCR_OK;
    }

    ev->nbits -= 8;

    if (ev->n == ev->size) {
        rc = ncr_bedrock_spill(ev);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    ev->buf[ev->n++] = (ncr_char_t) (ev->bits >> ev->nbits);

    return NCR_OK;
}


/* an event that is too long to be held: its beginning goes out */

static ncr_int_t
ncr_bedrock_spill(ncr_bedrock_events_t *ev)
{
    ncr_int_t    rc;
    ncr_char_t  *p;

    if (!ev->open) {
        ncr_bedrock_type(ev);
        ev->named = (ev->type_len != 0);
        ncr_bedrock_plain(ev);

        p = ncr_bedrock_lead(ev);
        ev->open = 1;

        if (!ev->named) {
            ncr_bedrock_read(ev);
        }

    } else {
        ncr_bedrock_plain(ev);
        p = ev->buf;
    }

    if (!ev->named && ev->type_len == 0) {
        (void) ncr_json_feed(&ev->json, ev->buf, ev->n);
    }

    rc = ev->write(ev->data, p, (size_t) (ev->buf + ev->n - p));

    ev->n = 0;

    return rc;
}


/* the checksum was right */

static ncr_int_t
ncr_bedrock_message(ncr_eventstream_t *es)
{
    ncr_bedrock_events_t  *ev;

    ev = es->data;

    if (ev->done) {
        return NCR_OK;
    }

    if (!ev->chunk) {

        if (strcmp(es->message_type, "exception") == 0
            || strcmp(es->message_type, "error") == 0)
        {
            return ncr_bedrock_error(ev, es);
        }

        /* events of another type are none that a client knows */

        return NCR_OK;
    }

    if (ev->state != NCR_BEDROCK_ST_END || !ev->told) {
        es->error = "a payload that cannot be read";
        return NCR_BAD;
    }

    return ev->open ? ncr_bedrock_close(ev) : ncr_bedrock_emit(ev);
}


static ncr_int_t
ncr_bedrock_emit(ncr_bedrock_events_t *ev)
{
    ncr_char_t  *p;

    ncr_bedrock_type(ev);

    if (ev->type_len == sizeof("message_stop") - 1
        && memcmp(ev->type, "message_stop", ev->type_len) == 0)
    {
        ncr_bedrock_strip(ev);
    }

    ncr_bedrock_plain(ev);

    p = ncr_bedrock_lead(ev);

    ev->buf[ev->n] = '\n';
    ev->buf[ev->n + 1] = '\n';

    return ev->write(ev->data, p, (size_t) (ev->buf + ev->n + 2 - p));
}


/* the end of one that went out as it came */

static ncr_int_t
ncr_bedrock_close(ncr_bedrock_events_t *ev)
{
    ncr_int_t   rc;
    ncr_out_t   out;
    ncr_char_t  buf[NCR_BEDROCK_LEAD + 8];

    rc = ncr_bedrock_spill(ev);

    if (rc != NCR_OK) {
        return rc;
    }

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_out_text(&out, "\n");

    if (!ev->named && ev->type_len) {
        ncr_out_text(&out, "event: ");
        ncr_out_bytes(&out, ev->type, ev->type_len);
        ncr_out_text(&out, "\n");
    }

    ncr_out_text(&out, "\n");

    return ev->write(ev->data, buf, (size_t) (out.last - out.start));
}


/* an event is one line: what ends one becomes a space */

static void
ncr_bedrock_plain(ncr_bedrock_events_t *ev)
{
    ncr_char_t  *p, *last;
    const char  *end;

    static const char  ends[] = "\n\r";

    last = ev->buf + ev->n;

    for (end = ends; *end; end++) {

        for (p = ev->buf; p < last; p++) {
            p = memchr(p, *end, (size_t) (last - p));

            if (p == NULL) {
                break;
            }

            *p = ' ';
        }
    }
}


/* most events begin with it */

static void
ncr_bedrock_type(ncr_bedrock_events_t *ev)
{
    size_t       len;
    ncr_str_t    type;
    ncr_char_t  *p;

    static const char  first[] = "{\"type\":\"";

    ev->type_len = 0;
    len = sizeof(first) - 1;

    if (ev->n > len && memcmp(ev->buf, first, len) == 0) {

        type.data = ev->buf + len;
        type.len = ncr_min(ev->n - len, NCR_BEDROCK_TYPE + 1);
        p = memchr(type.data, '"', type.len);

        if (p) {
            type.len = (size_t) (p - type.data);
            ncr_bedrock_named(ev, &type);
            return;
        }
    }

    ncr_bedrock_read(ev);
    (void) ncr_json_feed(&ev->json, ev->buf, ev->n);
}


/* I.6: nobody but AWS's clients knows what these are */

static void
ncr_bedrock_strip(ncr_bedrock_events_t *ev)
{
    ncr_bedrock_read(ev);

    if (ncr_json_feed(&ev->json, ev->buf, ev->n) != NCR_OK || ev->end == 0) {
        return;
    }

    memmove(ev->buf + ev->start, ev->buf + ev->end,
            (size_t) (ev->n - ev->end));
    ev->n -= (size_t) (ev->end - ev->start);
}


static void
ncr_bedrock_read(ncr_bedrock_events_t *ev)
{
    ncr_json_begin(&ev->json, ev, ncr_bedrock_member, 1,
                   ev->keep, sizeof(ev->keep));

    ev->last = 0;
    ev->key = 0;
    ev->start = 0;
    ev->end = 0;
    ev->is_type = 0;
    ev->is_metrics = 0;
}


static ncr_int_t
ncr_bedrock_member(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_bedrock_events_t  *ev;

    ev = json->data;

    if (json->depth != 1) {
        return NCR_OK;
    }

    if (token == NCR_JSON_KEY) {

        /* metrics in front go with the comma behind them */

        if (ev->is_metrics && ev->end && ev->start == ev->key) {
            ev->end = json->start;
        }

        ev->key = json->start;
        ev->is_type = ncr_str_eq(&json->text, "type");
        ev->is_metrics = ncr_str_eq(&json->text, NCR_BEDROCK_METRICS);

        return NCR_OK;
    }

    if (ev->is_type && token == NCR_JSON_STRING && !json->cut) {
        ncr_bedrock_named(ev, &json->text);
        ev->is_type = 0;
    }

    if (token == NCR_JSON_OBJECT || token == NCR_JSON_ARRAY) {
        return NCR_OK;
    }

    if (ev->is_metrics) {
        ev->start = ev->last ? ev->last : ev->key;
        ev->end = json->end;
    }

    ev->last = json->end;

    return NCR_OK;
}


/* a name that could break a line is none */

static void
ncr_bedrock_named(ncr_bedrock_events_t *ev, ncr_str_t *type)
{
    size_t  i;

    if (type->len > sizeof(ev->type)) {
        return;
    }

    for (i = 0; i < type->len; i++) {
        if (!((type->data[i] >= 'a' && type->data[i] <= 'z')
              || type->data[i] == '_'))
        {
            return;
        }
    }

    memcpy(ev->type, type->data, type->len);
    ev->type_len = type->len;
}


/* "event: TYPE\ndata: " right in front of the event */

static ncr_char_t *
ncr_bedrock_lead(ncr_bedrock_events_t *ev)
{
    ncr_char_t  *p;

    p = ev->buf - 6;
    memcpy(p, "data: ", 6);

    if (ev->type_len) {
        *--p = '\n';
        p -= ev->type_len;
        memcpy(p, ev->type, ev->type_len);
        p -= 7;
        memcpy(p, "event: ", 7);
    }

    return p;
}


/* an exception, or an error that has no model: the last word of a stream */

static ncr_int_t
ncr_bedrock_error(ncr_bedrock_events_t *ev, ncr_eventstream_t *es)
{
    ncr_out_t    out;
    ncr_str_t    name, body, message, none;
    ncr_uint_t   status;
    ncr_char_t   text[NCR_EVENTSTREAM_TEXT], buf[1024];

    ev->done = 1;

    name.data = (ncr_char_t *) (es->exception_type[0] ? es->exception_type
                                                      : es->error_code);
    name.len = strlen((char *) name.data);

    body.data = ev->buf;
    body.len = ev->n;

    message = es->size ? ncr_reply_message(&body) : body;

    if (message.len == 0) {
        message.data = (ncr_char_t *) es->error_message;
        message.len = strlen(es->error_message);

    } else {
        message.len = ncr_min(message.len, sizeof(text));
        memcpy(text, message.data, message.len);
        message.data = text;

        if (ncr_json_unescape(&message, &message) != NCR_OK) {
            message.len = 0;
        }
    }

    if (message.len == 0) {
        message = name;
    }

    ncr_str_set(&none, "");
    status = ncr_bedrock_exception(&name);

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_anthropic_error_event(&out, status ? status : 500, &message, &none);

    if (out.overflow) {
        ncr_out_init(&out, buf, sizeof(buf));
        ncr_anthropic_error_event(&out, status ? status : 500, &name, &none);
    }

    return ev->write(ev->data, buf, (size_t) (out.last - out.start));
}


ncr_uint_t
ncr_bedrock_exception(ncr_str_t *name)
{
    ncr_uint_t  i;

    static const struct {
        const char  *name;
        ncr_uint_t   status;
    } exceptions[] = {
        { "throttlingexception", 429 },
        { "serviceunavailableexception", 529 },
        { "internalserverexception", 500 },
        { "modeltimeoutexception", 504 },
        { "modelstreamerrorexception", 500 },
        { "modelerrorexception", 500 },
        { "validationexception", 400 },
        { "accessdeniedexception", 403 },
        { "resourcenotfoundexception", 404 },
        { "servicequotaexceededexception", 400 },
        { "modelnotreadyexception", 529 },
        { "expiredtokenexception", 401 },
        { "invalidsignatureexception", 401 },
        { "unrecognizedclientexception", 401 },
        { "signaturedoesnotmatch", 401 }
    };

    for (i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
        if (ncr_str_caseeq(name, exceptions[i].name)) {
            return exceptions[i].status;
        }
    }

    return 0;
}


ncr_char_t *
ncr_bedrock_base64(ncr_char_t *dst, const ncr_char_t *src, size_t len)
{
    uint32_t  bits;

    static const char  digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for ( /* void */ ; len; src += 3) {

        bits = (uint32_t) src[0] << 16;
        bits |= (len > 1) ? (uint32_t) src[1] << 8 : 0;
        bits |= (len > 2) ? src[2] : 0;

        *dst++ = (ncr_char_t) digits[bits >> 18];
        *dst++ = (ncr_char_t) digits[bits >> 12 & 63];
        *dst++ = (ncr_char_t) ((len > 1) ? digits[bits >> 6 & 63] : '=');
        *dst++ = (ncr_char_t) ((len > 2) ? digits[bits & 63] : '=');

        len -= ncr_min(len, 3);
    }

    return dst;
}
