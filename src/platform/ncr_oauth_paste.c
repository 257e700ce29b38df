
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What comes back by way of the operator's browser: anthropic.md A.3.  It is
 * shown to nobody before it was looked at, and is no secret after its use.
 */


#include "ncr_oauth_text.h"
#include "ncr_str.h"
#include "ncr_uri.h"


#define NCR_OAUTH_PASTE  8192           /* more is no callback */
#define NCR_OAUTH_CODE   2048
#define NCR_OAUTH_SAYS   "the authorization server says "


/* what is left of the caller's buffer */

typedef struct {
    ncr_char_t  *buf;
    size_t       size;
} ncr_oauth_paste_t;


static ncr_str_t ncr_oauth_trim(ncr_str_t *text);
static ncr_uint_t ncr_oauth_is_query(ncr_str_t *text);
static const char *ncr_oauth_paste_url(ncr_str_t *text,
    ncr_oauth_paste_t *paste, ncr_str_t *code, ncr_str_t *state);
static const char *ncr_oauth_paste_args(ncr_str_t *query,
    ncr_oauth_paste_t *paste, ncr_str_t *code, ncr_str_t *state);
static ncr_int_t ncr_oauth_paste_arg(ncr_str_t *query, const char *name,
    ncr_oauth_paste_t *paste, ncr_str_t *value);
static const char *ncr_oauth_paste_refusal(ncr_str_t *query,
    ncr_oauth_paste_t *paste, ncr_str_t *error);
static const char *ncr_oauth_paste_check(ncr_str_t *code, ncr_str_t *state);


static ncr_str_t  ncr_oauth_paste_starts[] = {
    ncr_string("/"),                    /* a request's target */
    ncr_string("kiro://"),              /* others.md D1 */
    ncr_string("?"),
    ncr_string("code="),
    ncr_string("state="),
    ncr_string("error=")
};


const char *
ncr_oauth_paste(ncr_str_t *text, ncr_char_t *buf, size_t size,
    ncr_str_t *code, ncr_str_t *state)
{
    ncr_str_t           s;
    ncr_char_t         *hash;
    const char         *err;
    ncr_oauth_paste_t   paste;

    ncr_str_null(code);
    ncr_str_null(state);

    s = ncr_oauth_trim(text);

    if (s.len == 0) {
        return "nothing was entered";
    }

    if (s.len > NCR_OAUTH_PASTE) {
        return "this is too long for a code";
    }

    if (!ncr_oauth_visible(&s)) {
        return "there are blanks or other characters in it that neither a "
               "code nor a URL has";
    }

    if (ncr_oauth_is_query(&s)) {
        paste.buf = buf;
        paste.size = size;

        err = ncr_oauth_paste_url(&s, &paste, code, state);

    } else {
        *code = s;
        hash = memchr(s.data, '#', s.len);

        if (hash != NULL) {
            code->len = (size_t) (hash - s.data);
            state->data = hash + 1;
            state->len = s.len - code->len - 1;
        }

        hash = code->len ? memchr(s.data, '&', code->len) : NULL;

        if (hash != NULL) {
            code->len = (size_t) (hash - s.data);
        }

        err = NULL;
    }

    if (err == NULL) {
        err = ncr_oauth_paste_check(code, state);
    }

    if (err != NULL) {
        ncr_str_null(code);
        ncr_str_null(state);
    }

    return err;
}


static ncr_str_t
ncr_oauth_trim(ncr_str_t *text)
{
    ncr_str_t  s;

    s = *text;

    while (s.len && (s.data[0] == ' ' || (s.data[0] >= '\t'
                                          && s.data[0] <= '\r')))
    {
        s.data++;
        s.len--;
    }

    while (s.len && (s.data[s.len - 1] == ' '
                     || (s.data[s.len - 1] >= '\t'
                         && s.data[s.len - 1] <= '\r')))
    {
        s.len--;
    }

    return s;
}


static ncr_uint_t
ncr_oauth_is_query(ncr_str_t *text)
{
    ncr_str_t   scheme;
    ncr_uint_t  i;

    scheme = *text;

    scheme.len = ncr_min(text->len, sizeof("https://") - 1);

    if (ncr_str_caseeq(&scheme, "https://")) {
        return 1;
    }

    scheme.len = ncr_min(text->len, sizeof("http://") - 1);

    if (ncr_str_caseeq(&scheme, "http://")) {
        return 1;
    }

    for (i = 0; i < sizeof(ncr_oauth_paste_starts) / sizeof(ncr_str_t); i++) {
        if (ncr_str_prefix(text, (char *) ncr_oauth_paste_starts[i].data)) {
            return 1;
        }
    }

    return 0;
}


/* the query, then the fragment for what is not there */

static const char *
ncr_oauth_paste_url(ncr_str_t *text, ncr_oauth_paste_t *paste,
    ncr_str_t *code, ncr_str_t *state)
{
    ncr_str_t    query, fragment;
    const char  *err;
    ncr_char_t  *p;

    query = *text;
    ncr_str_null(&fragment);

    p = memchr(query.data, '#', query.len);

    if (p != NULL) {
        query.len = (size_t) (p - query.data);
        fragment.data = p + 1;
        fragment.len = text->len - query.len - 1;
    }

    p = query.len ? memchr(query.data, '?', query.len) : NULL;

    if (p != NULL) {
        query.len -= (size_t) (p - query.data) + 1;
        query.data = p + 1;

    } else if (query.len && (memchr(query.data, '/', query.len) != NULL)) {
        ncr_str_null(&query);
    }

    err = ncr_oauth_paste_args(&query, paste, code, state);

    if (err != NULL || fragment.len == 0) {
        return err;
    }

    if (memchr(fragment.data, '=', fragment.len) != NULL) {
        return ncr_oauth_paste_args(&fragment, paste, code, state);
    }

    if (state->len == 0) {
        *state = fragment;
    }

    return NULL;
}


static const char *
ncr_oauth_paste_args(ncr_str_t *query, ncr_oauth_paste_t *paste,
    ncr_str_t *code, ncr_str_t *state)
{
    ncr_str_t  error;

    ncr_str_null(&error);

    if (ncr_oauth_paste_arg(query, "error", paste, &error) != NCR_OK) {
        return "the URL is broken";
    }

    if (error.len) {
        return ncr_oauth_paste_refusal(query, paste, &error);
    }

    if (code->len == 0
        && ncr_oauth_paste_arg(query, "code", paste, code) != NCR_OK)
    {
        return "the URL is broken";
    }

    if (state->len == 0
        && ncr_oauth_paste_arg(query, "state", paste, state) != NCR_OK)
    {
        return "the URL is broken";
    }

    return NULL;
}


/* NCR_OK: value is it, or as it was */

static ncr_int_t
ncr_oauth_paste_arg(ncr_str_t *query, const char *name,
    ncr_oauth_paste_t *paste, ncr_str_t *value)
{
    ncr_str_t  v;

    if (ncr_uri_arg(query, name, &v) != NCR_OK) {
        return NCR_OK;
    }

    if (v.len > paste->size || ncr_uri_unescape(&v, paste->buf) != NCR_OK) {
        return NCR_BAD;
    }

    if (v.data == paste->buf) {
        paste->buf += v.len;
        paste->size -= v.len;
    }

    *value = v;

    return NCR_OK;
}


/* RFC 6749, section 4.1.2.1; the message goes to what is left of the buffer */

static const char *
ncr_oauth_paste_refusal(ncr_str_t *query, ncr_oauth_paste_t *paste,
    ncr_str_t *error)
{
    char        words[256];
    ncr_str_t   text;
    ncr_out_t   out;

    ncr_str_null(&text);

    if (ncr_oauth_paste_arg(query, "error_description", paste, &text)
        != NCR_OK)
    {
        ncr_str_null(&text);
    }

    if (paste->size < 2) {
        return "the authorization server refused it";
    }

    ncr_out_init(&out, paste->buf, paste->size - 1);

    ncr_out_text(&out, NCR_OAUTH_SAYS);
    ncr_oauth_words(words, sizeof(words), error);
    ncr_out_text(&out, words);

    if (text.len) {
        ncr_out_text(&out, ": ");
        ncr_oauth_words(words, sizeof(words), &text);
        ncr_out_text(&out, words);
    }

    *out.last = '\0';

    if (out.overflow) {
        return "the authorization server refused it";
    }

    return (char *) out.start;
}


static const char *
ncr_oauth_paste_check(ncr_str_t *code, ncr_str_t *state)
{
    if (code->len == 0) {
        return "there is no code in it";
    }

    if (ncr_str_prefix(code, "sk-ant-")) {
        return "this is a token or a key, not a code: import it";
    }

    if (code->len > NCR_OAUTH_CODE || state->len > NCR_OAUTH_CODE) {
        return "this is too long for a code";
    }

    if (!ncr_oauth_visible(code)
        || memchr(code->data, '#', code->len) != NULL
        || (state->len && !ncr_oauth_visible(state)))
    {
        return "the code or the state has characters that none has";
    }

    return NULL;
}
