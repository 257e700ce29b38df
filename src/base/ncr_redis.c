
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_redis.h"
#include "ncr_str.h"


static ncr_int_t ncr_redis_type(ncr_redis_frame_t *frame, ncr_char_t ch);
static ncr_int_t ncr_redis_number(ncr_redis_frame_t *frame, ncr_char_t ch);
static ncr_int_t ncr_redis_lf(ncr_redis_frame_t *frame, ncr_uint_t *replies);
static void ncr_redis_value(ncr_redis_frame_t *frame, ncr_uint_t *replies);
static ncr_int_t ncr_redis_bad(ncr_redis_frame_t *frame, const char *wrong);
static const ncr_char_t *ncr_redis_find(ncr_str_t *text, const ncr_char_t *p,
    size_t len);


typedef struct {
    const char         *word;
    const char         *text;
    ncr_redis_error_e   error;
} ncr_redis_word_t;


static const ncr_redis_word_t  ncr_redis_words[] = {

    { "NOSCRIPT ", NULL, NCR_REDIS_NOSCRIPT },
    { "MOVED ", NULL, NCR_REDIS_MOVED },
    { "ASK ", NULL, NCR_REDIS_ASK },
    { "TRYAGAIN ", NULL, NCR_REDIS_TRYAGAIN },
    { "READONLY ", "it is a replica and cannot be written",
      NCR_REDIS_READONLY },
    { "LOADING ", "it is loading its data", NCR_REDIS_LOADING },
    { "MASTERDOWN ", "it is a replica without its master",
      NCR_REDIS_MASTERDOWN },
    { "CLUSTERDOWN ", "the cluster is down", NCR_REDIS_CLUSTERDOWN },
    { "NOREPLICAS ", "it has too few replicas to be written",
      NCR_REDIS_NOREPLICAS },
    { "OOM ", "it is full (maxmemory)", NCR_REDIS_OOM },
    { "MISCONF ", "it cannot write to its disk", NCR_REDIS_MISCONF },
    { "NOAUTH ", "it wants a password", NCR_REDIS_NOAUTH },
    { "WRONGPASS ", "it refuses the user or the password",
      NCR_REDIS_WRONGPASS },
    { "NOPERM ", "its user may not do this (ACL)", NCR_REDIS_NOPERM },

    { NULL, NULL, NCR_REDIS_OTHER }
};


ncr_int_t
ncr_redis_frame(ncr_redis_frame_t *frame, const ncr_char_t *p, size_t len,
    ncr_uint_t *replies)
{
    size_t             n;
    ncr_int_t          rc;
    const ncr_char_t  *last;

    if (frame->wrong) {
        return NCR_BAD;
    }

    last = p + len;

    while (p < last) {

        n = 1;

        if (frame->state == NCR_REDIS_BULK) {
            n = ncr_min(frame->bulk, (size_t) (last - p));
        }

        frame->size += n;

        if (frame->size > NCR_REDIS_REPLY) {
            return ncr_redis_bad(frame, "is too large");
        }

        rc = NCR_OK;

        switch (frame->state) {

        case NCR_REDIS_TYPE:
            rc = ncr_redis_type(frame, *p);
            break;

        case NCR_REDIS_NUMBER:
            rc = ncr_redis_number(frame, *p);
            break;

        case NCR_REDIS_TEXT:

            if (*p == '\r') {
                frame->state = NCR_REDIS_LF;

            } else if (++frame->line > NCR_REDIS_LINE) {
                rc = ncr_redis_bad(frame, "has a line that is too long");
            }

            break;

        case NCR_REDIS_LF:
        case NCR_REDIS_BULK_LF:
            rc = (*p == '\n')
                 ? ncr_redis_lf(frame, replies)
                 : ncr_redis_bad(frame, "has a line without its end");
            break;

        case NCR_REDIS_BULK:
            frame->bulk -= n;

            if (frame->bulk == 0) {
                frame->state = NCR_REDIS_BULK_CR;
            }

            break;

        case NCR_REDIS_BULK_CR:

            if (*p != '\r') {
                rc = ncr_redis_bad(frame, "has a text of another length");
                break;
            }

            frame->state = NCR_REDIS_BULK_LF;
            break;
        }

        if (rc != NCR_OK) {
            return rc;
        }

        p += n;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_redis_type(ncr_redis_frame_t *frame, ncr_char_t ch)
{
    frame->type = ch;
    frame->negative = 0;
    frame->digits = 0;
    frame->number = 0;
    frame->line = 0;

    switch (ch) {

    case '+':
    case '-':
        frame->state = NCR_REDIS_TEXT;
        return NCR_OK;

    case ':':
    case '$':
    case '*':
        frame->state = NCR_REDIS_NUMBER;
        return NCR_OK;

    default:
        return ncr_redis_bad(frame, "has a type that was not asked for");
    }
}


static ncr_int_t
ncr_redis_number(ncr_redis_frame_t *frame, ncr_char_t ch)
{
    if (ch == '-' && frame->digits == 0 && !frame->negative) {
        frame->negative = 1;
        return NCR_OK;
    }

    if (ch >= '0' && ch <= '9' && frame->digits < 19) {
        frame->digits++;
        frame->number = frame->number * 10 + (ch - '0');
        return NCR_OK;
    }

    if (ch != '\r' || frame->digits == 0) {
        return ncr_redis_bad(frame, "has an invalid number");
    }

    if (frame->type != ':'
        && frame->negative && (frame->number != 1 || frame->digits != 1))
    {
        return ncr_redis_bad(frame, "has a negative length");
    }

    frame->state = NCR_REDIS_LF;

    return NCR_OK;
}


static ncr_int_t
ncr_redis_lf(ncr_redis_frame_t *frame, ncr_uint_t *replies)
{
    ncr_uint_t  nested;

    nested = (frame->state == NCR_REDIS_LF
              && (frame->type == '$' || frame->type == '*')
              && !frame->negative);

    if (!nested || (frame->type == '*' && frame->number == 0)) {
        ncr_redis_value(frame, replies);
        return NCR_OK;
    }

    if (frame->type == '$') {

        if (frame->number > NCR_REDIS_REPLY) {
            return ncr_redis_bad(frame, "is too large");
        }

        frame->bulk = (size_t) frame->number;
        frame->state = frame->bulk ? NCR_REDIS_BULK : NCR_REDIS_BULK_CR;

        return NCR_OK;
    }

    if (frame->number > NCR_REDIS_ELEMENTS) {
        return ncr_redis_bad(frame, "has too many elements");
    }

    if (frame->depth == NCR_REDIS_DEPTH) {
        return ncr_redis_bad(frame, "is nested too deeply");
    }

    frame->left[frame->depth++] = (uint32_t) frame->number;
    frame->state = NCR_REDIS_TYPE;

    return NCR_OK;
}


/* a value has ended, and with it arrays whose last one it was */

static void
ncr_redis_value(ncr_redis_frame_t *frame, ncr_uint_t *replies)
{
    frame->state = NCR_REDIS_TYPE;

    while (frame->depth) {

        if (--frame->left[frame->depth - 1]) {
            return;
        }

        frame->depth--;
    }

    frame->size = 0;

    if (replies) {
        (*replies)++;
    }
}


static ncr_int_t
ncr_redis_bad(ncr_redis_frame_t *frame, const char *wrong)
{
    frame->wrong = wrong;

    return NCR_BAD;
}


ncr_redis_error_e
ncr_redis_error(ncr_str_t *text)
{
    ncr_str_t                s;
    const ncr_char_t        *p;
    const ncr_redis_word_t  *w;

    s = *text;

    /* of a command in a script, as Redis 6 tells it */

    if (ncr_str_prefix(&s, "ERR Error running script")) {

        p = ncr_redis_find(&s, (const ncr_char_t *) ": -", 3);

        if (p) {
            s.len -= (size_t) (p + 3 - s.data);
            s.data += p + 3 - s.data;
        }
    }

    for (w = ncr_redis_words; w->word; w++) {
        if (ncr_str_prefix(&s, w->word)) {
            return w->error;
        }
    }

    return NCR_REDIS_OTHER;
}


const char *
ncr_redis_error_text(ncr_redis_error_e error)
{
    const ncr_redis_word_t  *w;

    for (w = ncr_redis_words; w->word; w++) {
        if (w->error == error) {
            return w->text;
        }
    }

    return NULL;
}


ncr_int_t
ncr_redis_moved(ncr_str_t *text, ncr_redis_place_t *place)
{
    size_t       i, from, to;
    int64_t      n;
    ncr_str_t    slot, host, port;
    ncr_char_t  *p;

    p = text->data;

    if (ncr_str_prefix(text, "MOVED ")) {
        from = sizeof("MOVED ") - 1;

    } else if (ncr_str_prefix(text, "ASK ")) {
        from = sizeof("ASK ") - 1;

    } else {
        return NCR_BAD;
    }

    for (to = from; to < text->len && p[to] != ' '; to++) { /* void */ }

    slot.data = p + from;
    slot.len = to - from;

    if (to == text->len || ncr_str_int(&slot, &n) != NCR_OK
        || n < 0 || n > 16383)
    {
        return NCR_BAD;
    }

    /* an IPv6 address has colons and no brackets */

    host.data = p + to + 1;
    host.len = 0;
    port.len = 0;

    for (i = text->len; i > to + 1; i--) {

        if (p[i - 1] == ':') {
            host.len = i - 1 - (to + 1);
            port.data = p + i;
            port.len = text->len - i;
            break;
        }
    }

    return port.len ? ncr_redis_place(place, &host, &port, 1) : NCR_BAD;
}


ncr_int_t
ncr_redis_place(ncr_redis_place_t *place, ncr_str_t *host, ncr_str_t *port,
    ncr_uint_t may)
{
    int64_t  n;

    if (ncr_str_int(port, &n) != NCR_OK || n < 1 || n > 65535) {
        return NCR_BAD;
    }

    if (!ncr_redis_host(host) && !(may && host->len == 0)) {
        return NCR_BAD;
    }

    place->port = (ncr_uint_t) n;
    ncr_str_copy(place->host, sizeof(place->host), host);

    return NCR_OK;
}


ncr_uint_t
ncr_redis_host(ncr_str_t *host)
{
    size_t      i;
    ncr_char_t  ch;

    if (host->len == 0 || host->len >= NCR_REDIS_HOST) {
        return 0;
    }

    for (i = 0; i < host->len; i++) {

        ch = host->data[i];

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z')
            && !(ch >= '0' && ch <= '9')
            && ch != '.' && ch != '-' && ch != '_' && ch != ':')
        {
            return 0;
        }
    }

    return 1;
}


ncr_int_t
ncr_redis_info(ncr_str_t *text, const char *name, ncr_str_t *value)
{
    size_t       len, i, end;
    ncr_char_t  *p;

    p = text->data;
    len = strlen(name);

    for (i = 0; i < text->len; i = end + 1) {

        for (end = i; end < text->len && p[end] != '\n'; end++) { /* void */ }

        if (end - i <= len || p[i + len] != ':'
            || memcmp(p + i, name, len) != 0)
        {
            continue;
        }

        value->data = p + i + len + 1;
        value->len = end - i - len - 1;

        if (value->len && value->data[value->len - 1] == '\r') {
            value->len--;
        }

        return NCR_OK;
    }

    return NCR_DECLINED;
}


ncr_uint_t
ncr_redis_shown(char *dst, size_t size, ncr_str_t *text, ncr_str_t *secret)
{
    size_t      i, n;
    ncr_char_t  ch;

    dst[0] = '\0';

    /* servers cut what they repeat: four characters of it are too many */

    if (secret->len) {

        n = ncr_min(secret->len, 4);

        if (ncr_redis_find(text, secret->data, n)) {
            return 0;
        }
    }

    n = ncr_min(text->len, size - 1);

    for (i = 0; i < n; i++) {
        ch = text->data[i];
        dst[i] = (ch < ' ' || ch >= 0x7f || ch == '"' || ch == '\\')
                 ? '.' : (char) ch;
    }

    dst[n] = '\0';

    return 1;
}


static const ncr_char_t *
ncr_redis_find(ncr_str_t *text, const ncr_char_t *p, size_t len)
{
    size_t  i;

    for (i = 0; i + len <= text->len; i++) {
        if (memcmp(text->data + i, p, len) == 0) {
            return text->data + i;
        }
    }

    return NULL;
}
