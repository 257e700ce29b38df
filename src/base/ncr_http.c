
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_http.h"
#include "ncr_str.h"


#define NCR_HTTP_LF         '\n'
#define NCR_HTTP_CR         '\r'

#define NCR_HTTP_VERSION    "HTTP/1."
#define NCR_HTTP_LINE_LEN   (sizeof("HTTP/1.1 200") - 1)


typedef enum {
    NCR_HTTP_ST_STATUS = 0,
    NCR_HTTP_ST_HEADER,
    NCR_HTTP_ST_LENGTH,                 /* a body of known length */
    NCR_HTTP_ST_CLOSE,                  /* a body until the end */
    NCR_HTTP_ST_SIZE,                   /* in the size of a chunk */
    NCR_HTTP_ST_EXTENSION,
    NCR_HTTP_ST_SIZE_LF,
    NCR_HTTP_ST_DATA,
    NCR_HTTP_ST_DATA_CR,
    NCR_HTTP_ST_DATA_LF,
    NCR_HTTP_ST_TRAILER,
    NCR_HTTP_ST_DONE
} ncr_http_state_e;


static ncr_int_t ncr_http_line(ncr_http_t *http, ncr_char_t **pp,
    ncr_char_t *last);
static ncr_int_t ncr_http_status(ncr_http_t *http, ncr_str_t *line);
static ncr_int_t ncr_http_field(ncr_http_t *http, ncr_str_t *line);
static ncr_int_t ncr_http_known(ncr_http_t *http, ncr_str_t *name,
    ncr_str_t *value);
static ncr_int_t ncr_http_head_end(ncr_http_t *http);
static ncr_int_t ncr_http_data(ncr_http_t *http, ncr_char_t **pp,
    ncr_char_t *last);
static ncr_int_t ncr_http_chunk(ncr_http_t *http, ncr_char_t c);
static ncr_int_t ncr_http_size(ncr_http_t *http, ncr_char_t c);
static ncr_int_t ncr_http_size_end(ncr_http_t *http);
static void ncr_http_done(ncr_http_t *http);
static ncr_int_t ncr_http_bad(ncr_http_t *http, const char *what);
static ncr_uint_t ncr_http_text(ncr_char_t *p, ncr_char_t *last);
static ncr_uint_t ncr_http_lists(ncr_str_t *list, const char *token);


/* the characters of a name, in lower case, and 0 for all others */

static const ncr_char_t  ncr_http_names[256] =

    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0!\0#$%&'\0\0*+\0-.\0" "0123456789\0\0\0\0\0\0"
    "\0abcdefghijklmnopqrstuvwxyz\0\0\0^_"
    "`abcdefghijklmnopqrstuvwxyz\0|\0~";


void
ncr_http_init(ncr_http_t *http)
{
    memset(http, 0, sizeof(ncr_http_t));
}


ncr_int_t
ncr_http_feed(ncr_http_t *http, ncr_char_t *p, size_t len, size_t *used)
{
    ncr_char_t  *start, *last;

    start = p;
    last = p + len;

    while (p < last && http->rc == NCR_OK && http->state != NCR_HTTP_ST_DONE) {

        switch (http->state) {

        case NCR_HTTP_ST_STATUS:
        case NCR_HTTP_ST_HEADER:
        case NCR_HTTP_ST_TRAILER:
            http->rc = ncr_http_line(http, &p, last);
            break;

        case NCR_HTTP_ST_LENGTH:
        case NCR_HTTP_ST_CLOSE:
        case NCR_HTTP_ST_DATA:
            http->rc = ncr_http_data(http, &p, last);
            break;

        default: /* SIZE, EXTENSION, SIZE_LF, DATA_CR, DATA_LF */
            http->rc = ncr_http_chunk(http, *p++);
            break;
        }
    }

    *used = (size_t) (p - start);

    if (http->rc != NCR_OK) {
        return http->rc;
    }

    return (http->state == NCR_HTTP_ST_DONE) ? NCR_DONE : NCR_AGAIN;
}


ncr_int_t
ncr_http_eof(ncr_http_t *http)
{
    if (http->rc != NCR_OK) {
        return http->rc;
    }

    if (http->state == NCR_HTTP_ST_CLOSE) {
        ncr_http_done(http);
    }

    return (http->state == NCR_HTTP_ST_DONE) ? NCR_DONE : NCR_DECLINED;
}


/* lines are collected in buf, so that they are whole and may be kept */

static ncr_int_t
ncr_http_line(ncr_http_t *http, ncr_char_t **pp, ncr_char_t *last)
{
    size_t       n;
    ncr_str_t    line;
    ncr_char_t  *p, *lf;

    p = *pp;
    lf = memchr(p, NCR_HTTP_LF, (size_t) (last - p));
    n = (size_t) ((lf ? lf + 1 : last) - p);

    if (n > http->size - http->len) {
        return ncr_http_bad(http, "header: it is too large");
    }

    memcpy(http->buf + http->len, p, n);

    http->len += n;
    *pp += n;

    line.data = http->buf + http->line;
    line.len = http->len - http->line;

    /* what is not HTTP at all need not have lines */

    if (http->state == NCR_HTTP_ST_STATUS
        && memcmp(line.data, NCR_HTTP_VERSION,
                  ncr_min(line.len, sizeof(NCR_HTTP_VERSION) - 1))
           != 0)
    {
        return ncr_http_bad(http, "status line");
    }

    if (lf == NULL) {
        return NCR_OK;
    }

    http->line = http->len;

    line.len--;

    if (line.len && line.data[line.len - 1] == NCR_HTTP_CR) {
        line.len--;
    }

    if (http->state == NCR_HTTP_ST_STATUS) {
        return ncr_http_status(http, &line);
    }

    if (line.len) {
        return ncr_http_field(http, &line);
    }

    if (http->state == NCR_HTTP_ST_TRAILER) {
        ncr_http_done(http);
        return NCR_OK;
    }

    return ncr_http_head_end(http);
}


static ncr_int_t
ncr_http_status(ncr_http_t *http, ncr_str_t *line)
{
    size_t       i;
    ncr_uint_t   status;
    ncr_char_t  *p;

    p = line->data;

    if (line->len < NCR_HTTP_LINE_LEN
        || p[7] < '0' || p[7] > '9' || p[8] != ' '
        || (line->len > NCR_HTTP_LINE_LEN && p[NCR_HTTP_LINE_LEN] != ' ')
        || !ncr_http_text(p + NCR_HTTP_LINE_LEN, p + line->len))
    {
        return ncr_http_bad(http, "status line");
    }

    status = 0;

    for (i = 9; i < NCR_HTTP_LINE_LEN; i++) {

        if (p[i] < '0' || p[i] > '9') {
            return ncr_http_bad(http, "status line");
        }

        status = status * 10 + (ncr_uint_t) (p[i] - '0');
    }

    /* 101: nobody asked for another protocol */

    if (status < 100 || status > 599 || status == 101) {
        return ncr_http_bad(http, "status");
    }

    http->status = status;
    http->minor = (p[7] != '0');
    http->close = 0;
    http->chunked = 0;
    http->has_length = 0;
    http->state = NCR_HTTP_ST_HEADER;

    return NCR_OK;
}


static ncr_int_t
ncr_http_field(ncr_http_t *http, ncr_str_t *line)
{
    ncr_int_t    rc;
    ncr_str_t    name, value;
    ncr_char_t  *p, *last;

    p = line->data;
    last = p + line->len;

    name.data = p;

    while (p < last && ncr_http_names[*p]) {
        *p = ncr_http_names[*p];
        p++;
    }

    name.len = (size_t) (p - name.data);

    if (name.len == 0 || p == last || *p != ':'
        || !ncr_http_text(p + 1, last)
        || ++http->nheaders > NCR_HTTP_HEADERS)
    {
        return ncr_http_bad(http, "header");
    }

    *p++ = '\0';

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (last > p && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    *last = '\0';                       /* at the latest the end of the line */

    if (http->state == NCR_HTTP_ST_TRAILER || http->status < 200) {
        return NCR_OK;
    }

    value.data = p;
    value.len = (size_t) (last - p);

    rc = ncr_http_known(http, &name, &value);

    if (rc != NCR_OK || http->header == NULL) {
        return rc;
    }

    return http->header(http, &name, &value);
}


/* what tells where the answer ends */

static ncr_int_t
ncr_http_known(ncr_http_t *http, ncr_str_t *name, ncr_str_t *value)
{
    int64_t  length;

    if (ncr_str_eq(name, "content-length")) {

        if (http->has_length || value->len == 0
            || value->data[0] < '0' || value->data[0] > '9'
            || ncr_str_int(value, &length) != NCR_OK)
        {
            return ncr_http_bad(http, "content-length");
        }

        http->length = (uint64_t) length;
        http->has_length = 1;

        return NCR_OK;
    }

    if (ncr_str_eq(name, "transfer-encoding")) {

        /* RFC 9112, 6.1: HTTP/1.0 has no such thing */

        if (http->chunked || !http->minor
            || !ncr_str_caseeq(value, "chunked"))
        {
            return ncr_http_bad(http, "transfer-encoding");
        }

        http->chunked = 1;

        return NCR_OK;
    }

    if (ncr_str_eq(name, "connection") && ncr_http_lists(value, "close")) {
        http->close = 1;
    }

    return NCR_OK;
}


/* RFC 9112, 6.3 */

static ncr_int_t
ncr_http_head_end(ncr_http_t *http)
{
    if (http->status < 200) {
        http->state = NCR_HTTP_ST_STATUS;
        return NCR_OK;
    }

    if (http->chunked && http->has_length) {
        return ncr_http_bad(http, "header: a length and chunks");
    }

    http->head_done = 1;

    if (http->head || http->status == 204 || http->status == 304) {

        /* should there be a body all the same, it must not be the next one's
         * answer */

        if (http->status == 204
            && (http->chunked || (http->has_length && http->length)))
        {
            http->close = 1;
        }

        ncr_http_done(http);

    } else if (http->chunked) {
        http->state = NCR_HTTP_ST_SIZE;

    } else if (!http->has_length) {
        http->close = 1;
        http->state = NCR_HTTP_ST_CLOSE;

    } else if (http->length) {
        http->left = http->length;
        http->state = NCR_HTTP_ST_LENGTH;

    } else {
        ncr_http_done(http);
    }

    return NCR_OK;
}


static ncr_int_t
ncr_http_data(ncr_http_t *http, ncr_char_t **pp, ncr_char_t *last)
{
    size_t       n;
    ncr_char_t  *p;

    p = *pp;
    n = (size_t) (last - p);

    if (http->state != NCR_HTTP_ST_CLOSE) {

        if (n > http->left) {
            n = (size_t) http->left;
        }

        http->left -= n;

        if (http->left == 0 && http->state == NCR_HTTP_ST_LENGTH) {
            ncr_http_done(http);

        } else if (http->left == 0) {
            http->state = NCR_HTTP_ST_DATA_CR;
        }
    }

    *pp += n;

    return http->body(http, p, n);
}


static ncr_int_t
ncr_http_chunk(ncr_http_t *http, ncr_char_t c)
{
    switch (http->state) {

    case NCR_HTTP_ST_SIZE:
        return ncr_http_size(http, c);

    case NCR_HTTP_ST_EXTENSION:

        if (c == NCR_HTTP_LF) {
            return ncr_http_size_end(http);
        }

        if (c == NCR_HTTP_CR) {
            http->state = NCR_HTTP_ST_SIZE_LF;
            return NCR_OK;
        }

        if (++http->nline > NCR_HTTP_CHUNK_LINE || !ncr_http_text(&c, &c + 1))
        {
            break;
        }

        return NCR_OK;

    case NCR_HTTP_ST_SIZE_LF:

        if (c != NCR_HTTP_LF) {
            break;
        }

        return ncr_http_size_end(http);

    case NCR_HTTP_ST_DATA_CR:

        if (c == NCR_HTTP_CR) {
            http->state = NCR_HTTP_ST_DATA_LF;
            return NCR_OK;
        }

        /* fall through */

    default: /* DATA_LF */

        if (c != NCR_HTTP_LF) {
            break;
        }

        http->state = NCR_HTTP_ST_SIZE;
        http->has_digit = 0;
        http->nline = 0;

        return NCR_OK;
    }

    return ncr_http_bad(http, "chunk");
}


static ncr_int_t
ncr_http_size(ncr_http_t *http, ncr_char_t c)
{
    ncr_char_t  lower;
    ncr_uint_t  digit;

    lower = (ncr_char_t) (c | 0x20);

    if (c >= '0' && c <= '9') {
        digit = (ncr_uint_t) (c - '0');

    } else if (lower >= 'a' && lower <= 'f') {
        digit = (ncr_uint_t) (lower - 'a') + 10;

    } else {

        if (!http->has_digit) {
            return ncr_http_bad(http, "chunk");
        }

        if (c == NCR_HTTP_LF) {
            return ncr_http_size_end(http);
        }

        if (c == NCR_HTTP_CR) {
            http->state = NCR_HTTP_ST_SIZE_LF;
            return NCR_OK;
        }

        if (c == ';' || c == ' ' || c == '\t') {
            http->state = NCR_HTTP_ST_EXTENSION;
            return NCR_OK;
        }

        return ncr_http_bad(http, "chunk");
    }

    if (http->left > (uint64_t) INT64_MAX >> 4
        || ++http->nline > NCR_HTTP_CHUNK_LINE)
    {
        return ncr_http_bad(http, "chunk");
    }

    http->left = http->left << 4 | digit;
    http->has_digit = 1;

    return NCR_OK;
}


static ncr_int_t
ncr_http_size_end(ncr_http_t *http)
{
    http->state = http->left ? NCR_HTTP_ST_DATA : NCR_HTTP_ST_TRAILER;

    return NCR_OK;
}


static void
ncr_http_done(ncr_http_t *http)
{
    http->state = NCR_HTTP_ST_DONE;
    http->keep = (http->minor && !http->close);
}


static ncr_int_t
ncr_http_bad(ncr_http_t *http, const char *what)
{
    http->what = what;

    return NCR_BAD;
}


/* 1 if there are no control characters; a tab is none */

static ncr_uint_t
ncr_http_text(ncr_char_t *p, ncr_char_t *last)
{
    while (p < last) {

        if ((*p < ' ' && *p != '\t') || *p == 0x7f) {
            return 0;
        }

        p++;
    }

    return 1;
}


/* 1 if the token is one of a list that has commas */

static ncr_uint_t
ncr_http_lists(ncr_str_t *list, const char *token)
{
    ncr_str_t    item;
    ncr_char_t  *p, *last, *end;

    p = list->data;
    last = p + list->len;

    while (p < last) {

        end = memchr(p, ',', (size_t) (last - p));

        if (end == NULL) {
            end = last;
        }

        item.data = p;
        item.len = (size_t) (end - p);

        while (item.len && (*item.data == ' ' || *item.data == '\t')) {
            item.data++;
            item.len--;
        }

        while (item.len && (item.data[item.len - 1] == ' '
                            || item.data[item.len - 1] == '\t'))
        {
            item.len--;
        }

        if (ncr_str_caseeq(&item, token)) {
            return 1;
        }

        p = (end < last) ? end + 1 : last;
    }

    return 0;
}
