
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_toml.h"
#include "ncr_str.h"


static ncr_int_t ncr_toml_line(ncr_toml_t *toml, size_t *table);
static ncr_int_t ncr_toml_table(ncr_toml_t *toml);
static ncr_int_t ncr_toml_pair(ncr_toml_t *toml);
static ncr_int_t ncr_toml_keys(ncr_toml_t *toml);
static ncr_int_t ncr_toml_key(ncr_toml_t *toml, ncr_str_t *key);
static ncr_int_t ncr_toml_path_add(ncr_toml_t *toml, ncr_str_t *key);
static ncr_int_t ncr_toml_value(ncr_toml_t *toml);
static ncr_int_t ncr_toml_array(ncr_toml_t *toml);
static ncr_int_t ncr_toml_inline(ncr_toml_t *toml);
static ncr_int_t ncr_toml_string(ncr_toml_t *toml);
static ncr_int_t ncr_toml_escape(ncr_toml_t *toml);
static ncr_int_t ncr_toml_unicode(ncr_toml_t *toml, ncr_uint_t digits);
static ncr_int_t ncr_toml_put(ncr_toml_t *toml, ncr_char_t c);
static ncr_int_t ncr_toml_bare(ncr_toml_t *toml);
static ncr_toml_type_e ncr_toml_number(ncr_toml_t *toml, ncr_str_t *word);
static ncr_int_t ncr_toml_end_of_line(ncr_toml_t *toml);
static ncr_int_t ncr_toml_comment(ncr_toml_t *toml);
static ncr_int_t ncr_toml_gap(ncr_toml_t *toml);
static void ncr_toml_blanks(ncr_toml_t *toml);
static ncr_char_t ncr_toml_peek(ncr_toml_t *toml);
static ncr_uint_t ncr_toml_is_key(ncr_char_t c);
static ncr_int_t ncr_toml_bad(ncr_toml_t *toml, const char *error);


ncr_int_t
ncr_toml_read(ncr_toml_t *toml, ncr_str_t *text)
{
    size_t     table;
    ncr_int_t  rc;

    toml->error = NULL;
    toml->p = text->data;
    toml->last = text->data;
    toml->depth = 0;
    toml->element = 0;
    toml->tables = 0;

    if (text->len) {

        /* so that the end can be told by a NUL */

        if (memchr(text->data, '\0', text->len) != NULL) {
            return ncr_toml_bad(toml, "control character");
        }

        toml->last += text->len;
    }

    table = 0;

    while (toml->p < toml->last) {
        toml->len = table;
        rc = ncr_toml_line(toml, &table);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return NCR_OK;
}


static ncr_int_t
ncr_toml_line(ncr_toml_t *toml, size_t *table)
{
    ncr_int_t  rc;

    ncr_toml_blanks(toml);

    switch (ncr_toml_peek(toml)) {

    case '\0':
    case '\r':
    case '\n':
    case '#':
        break;

    case '[':
        rc = ncr_toml_table(toml);

        if (rc != NCR_OK) {
            return rc;
        }

        *table = toml->len;
        break;

    default:
        rc = ncr_toml_pair(toml);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    return ncr_toml_end_of_line(toml);
}


static ncr_int_t
ncr_toml_table(ncr_toml_t *toml)
{
    ncr_str_t   opaque;
    ncr_uint_t  array;

    toml->len = 0;
    toml->p++;

    array = (ncr_toml_peek(toml) == '[');

    if (array) {
        toml->p++;
    }

    if (ncr_toml_keys(toml) != NCR_OK) {
        return NCR_BAD;
    }

    if (ncr_toml_peek(toml) != ']') {
        return ncr_toml_bad(toml, "\"]\" expected");
    }

    toml->p++;

    if (!array) {
        return NCR_OK;
    }

    if (ncr_toml_peek(toml) != ']') {
        return ncr_toml_bad(toml, "\"]\" expected");
    }

    toml->p++;
    toml->tables++;

    /* one of several tables is not the table of this name */

    ncr_str_set(&opaque, "?");

    return ncr_toml_path_add(toml, &opaque);
}


static ncr_int_t
ncr_toml_pair(ncr_toml_t *toml)
{
    if (ncr_toml_keys(toml) != NCR_OK) {
        return NCR_BAD;
    }

    if (ncr_toml_peek(toml) != '=') {
        return ncr_toml_bad(toml, "\"=\" expected");
    }

    toml->p++;
    ncr_toml_blanks(toml);

    return ncr_toml_value(toml);
}


/* "a.b.c" with the blanks around it, appended to the path */

static ncr_int_t
ncr_toml_keys(ncr_toml_t *toml)
{
    ncr_str_t  key;

    for ( ;; ) {
        ncr_toml_blanks(toml);

        if (ncr_toml_key(toml, &key) != NCR_OK
            || ncr_toml_path_add(toml, &key) != NCR_OK)
        {
            return NCR_BAD;
        }

        ncr_toml_blanks(toml);

        if (ncr_toml_peek(toml) != '.') {
            return NCR_OK;
        }

        toml->p++;
    }
}


static ncr_int_t
ncr_toml_key(ncr_toml_t *toml, ncr_str_t *key)
{
    size_t      i;
    ncr_char_t  c;

    c = ncr_toml_peek(toml);

    if (c == '"' || c == '\'') {

        if (ncr_toml_string(toml) != NCR_OK) {
            return NCR_BAD;
        }

        key->data = toml->text;
        key->len = toml->ntext;

        for (i = 0; i < key->len; i++) {
            if (!ncr_toml_is_key(key->data[i])) {
                break;
            }
        }

        if (i < key->len || i == 0) {
            ncr_str_set(key, "?");
        }

        return NCR_OK;
    }

    key->data = toml->p;

    while (ncr_toml_is_key(ncr_toml_peek(toml))) {
        toml->p++;
    }

    key->len = (size_t) (toml->p - key->data);

    return key->len ? NCR_OK : ncr_toml_bad(toml, "key expected");
}


static ncr_int_t
ncr_toml_path_add(ncr_toml_t *toml, ncr_str_t *key)
{
    if (key->len + 2 > NCR_TOML_PATH - toml->len) {
        return ncr_toml_bad(toml, "key is too long");
    }

    if (toml->len) {
        toml->path[toml->len++] = '.';
    }

    memcpy(toml->path + toml->len, key->data, key->len);
    toml->len += key->len;

    return NCR_OK;
}


static ncr_int_t
ncr_toml_value(ncr_toml_t *toml)
{
    ncr_int_t  rc;
    ncr_str_t  value;

    switch (ncr_toml_peek(toml)) {

    case '"':
    case '\'':

        if (ncr_toml_string(toml) != NCR_OK) {
            return NCR_BAD;
        }

        value.data = toml->text;
        value.len = toml->ntext;

        toml->path[toml->len] = '\0';

        return toml->value(toml, toml->path, NCR_TOML_STRING, &value);

    case '[':
    case '{':

        if (toml->depth == NCR_TOML_DEPTH) {
            return ncr_toml_bad(toml, "nesting too deep");
        }

        toml->depth++;

        rc = (*toml->p == '[') ? ncr_toml_array(toml)
                               : ncr_toml_inline(toml);
        toml->depth--;

        return rc;

    default:
        return ncr_toml_bare(toml);
    }
}


static ncr_int_t
ncr_toml_array(ncr_toml_t *toml)
{
    ncr_int_t   rc;
    ncr_char_t  c;
    ncr_uint_t  outer;

    outer = toml->element;
    toml->element = 1;
    toml->p++;

    for ( ;; ) {

        if (ncr_toml_gap(toml) != NCR_OK) {
            return NCR_BAD;
        }

        if (ncr_toml_peek(toml) == ']') {
            break;
        }

        rc = ncr_toml_value(toml);

        if (rc != NCR_OK) {
            return rc;
        }

        if (ncr_toml_gap(toml) != NCR_OK) {
            return NCR_BAD;
        }

        c = ncr_toml_peek(toml);

        if (c == ']') {
            break;
        }

        if (c != ',') {
            return ncr_toml_bad(toml, "\",\" or \"]\" expected");
        }

        toml->p++;
    }

    toml->p++;
    toml->element = outer;

    return NCR_OK;
}


static ncr_int_t
ncr_toml_inline(ncr_toml_t *toml)
{
    size_t      len;
    ncr_int_t   rc;
    ncr_char_t  c;

    len = toml->len;
    toml->p++;
    ncr_toml_blanks(toml);

    if (ncr_toml_peek(toml) == '}') {
        toml->p++;
        return NCR_OK;
    }

    for ( ;; ) {
        rc = ncr_toml_pair(toml);
        toml->len = len;

        if (rc != NCR_OK) {
            return rc;
        }

        ncr_toml_blanks(toml);
        c = ncr_toml_peek(toml);

        if (c != ',' && c != '}') {
            return ncr_toml_bad(toml, "\",\" or \"}\" expected");
        }

        toml->p++;

        if (c == '}') {
            return NCR_OK;
        }
    }
}


/* "with escapes" or 'without', into text */

static ncr_int_t
ncr_toml_string(ncr_toml_t *toml)
{
    ncr_char_t  c, quote;

    toml->ntext = 0;
    quote = *toml->p++;

    if (toml->last - toml->p >= 2
        && toml->p[0] == quote && toml->p[1] == quote)
    {
        return ncr_toml_bad(toml, "string of several lines");
    }

    for ( ;; ) {
        c = ncr_toml_peek(toml);

        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return ncr_toml_bad(toml, "string without an end");
        }

        toml->p++;

        if (c == quote) {
            return NCR_OK;
        }

        if (c == '\\' && quote == '"') {

            if (ncr_toml_escape(toml) != NCR_OK) {
                return NCR_BAD;
            }

            continue;
        }

        if (ncr_toml_put(toml, c) != NCR_OK) {
            return NCR_BAD;
        }
    }
}


static ncr_int_t
ncr_toml_escape(ncr_toml_t *toml)
{
    ncr_char_t   c;
    const char  *s;

    static const char  from[] = "btnfr\"\\";
    static const char  to[] = "\b\t\n\f\r\"\\";

    c = ncr_toml_peek(toml);

    if (c == 'u' || c == 'U') {
        toml->p++;
        return ncr_toml_unicode(toml, (c == 'u') ? 4 : 8);
    }

    s = c ? strchr(from, c) : NULL;

    if (s == NULL) {
        return ncr_toml_bad(toml, "unknown escape");
    }

    toml->p++;

    return ncr_toml_put(toml, (ncr_char_t) to[s - from]);
}


static ncr_int_t
ncr_toml_unicode(ncr_toml_t *toml, ncr_uint_t digits)
{
    int         shift;
    uint32_t    code;
    ncr_char_t  c;

    code = 0;

    while (digits--) {
        c = ncr_toml_peek(toml);

        if (c >= '0' && c <= '9') {
            c = (ncr_char_t) (c - '0');

        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            c = (ncr_char_t) ((c | 0x20) - 'a' + 10);

        } else {
            return ncr_toml_bad(toml, "unknown escape");
        }

        code = code << 4 | c;
        toml->p++;
    }

    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return ncr_toml_bad(toml, "unknown escape");
    }

    if (code < 0x80) {
        return ncr_toml_put(toml, (ncr_char_t) code);
    }

    shift = (code < 0x800) ? 6 : (code < 0x10000) ? 12 : 18;

    c = (ncr_char_t) ((shift == 6) ? 0xc0 : (shift == 12) ? 0xe0 : 0xf0);
    c = (ncr_char_t) (c | code >> shift);

    while (ncr_toml_put(toml, c) == NCR_OK) {

        if (shift == 0) {
            return NCR_OK;
        }

        shift -= 6;
        c = (ncr_char_t) (0x80 | (code >> shift & 0x3f));
    }

    return NCR_BAD;
}


static ncr_int_t
ncr_toml_put(ncr_toml_t *toml, ncr_char_t c)
{
    if (toml->ntext == NCR_TOML_TEXT) {
        return ncr_toml_bad(toml, "string is too long");
    }

    toml->text[toml->ntext++] = c;

    return NCR_OK;
}


/* numbers, booleans, times */

static ncr_int_t
ncr_toml_bare(ncr_toml_t *toml)
{
    ncr_char_t       c;
    ncr_str_t        word;
    ncr_toml_type_e  type;

    word.data = toml->p;

    for ( ;; ) {
        c = ncr_toml_peek(toml);

        if (!ncr_toml_is_key(c) && c != '+' && c != '.' && c != ':') {
            break;
        }

        toml->p++;
    }

    word.len = (size_t) (toml->p - word.data);

    if (word.len == 0) {
        return ncr_toml_bad(toml, "value expected");
    }

    c = word.data[0];

    if ((c < '0' || c > '9') && c != '+' && c != '-'
        && !ncr_str_eq(&word, "true") && !ncr_str_eq(&word, "false")
        && !ncr_str_eq(&word, "inf") && !ncr_str_eq(&word, "nan"))
    {
        return ncr_toml_bad(toml, "value expected");
    }

    type = ncr_toml_number(toml, &word);

    toml->path[toml->len] = '\0';

    return toml->value(toml, toml->path, type, &word);
}


/* an integer is one with digits only, and single "_" between them */

static ncr_toml_type_e
ncr_toml_number(ncr_toml_t *toml, ncr_str_t *word)
{
    size_t      i;
    ncr_char_t  c, before;

    toml->ntext = 0;
    before = '_';

    for (i = 0; i < word->len; i++) {
        c = word->data[i];

        if (i == 0 && (c == '+' || c == '-') && word->len > 1) {

            if (c == '-') {
                toml->text[toml->ntext++] = c;
            }

            continue;
        }

        if (c == '_' ? before == '_' : (c < '0' || c > '9')) {
            return NCR_TOML_OTHER;
        }

        before = c;

        if (c == '_') {
            continue;
        }

        if (toml->ntext == NCR_TOML_TEXT) {
            return NCR_TOML_OTHER;
        }

        toml->text[toml->ntext++] = c;
    }

    if (before == '_') {
        return NCR_TOML_OTHER;
    }

    word->data = toml->text;
    word->len = toml->ntext;

    return NCR_TOML_INTEGER;
}


static ncr_int_t
ncr_toml_end_of_line(ncr_toml_t *toml)
{
    ncr_toml_blanks(toml);

    if (ncr_toml_comment(toml) != NCR_OK) {
        return NCR_BAD;
    }

    if (toml->p == toml->last) {
        return NCR_OK;
    }

    if (*toml->p == '\r' && toml->last - toml->p > 1) {
        toml->p++;
    }

    if (*toml->p != '\n') {
        return ncr_toml_bad(toml, "end of line expected");
    }

    toml->p++;

    return NCR_OK;
}


static ncr_int_t
ncr_toml_comment(ncr_toml_t *toml)
{
    ncr_char_t  c;

    if (ncr_toml_peek(toml) != '#') {
        return NCR_OK;
    }

    for ( ;; ) {
        c = ncr_toml_peek(toml);

        if (c == '\0' || c == '\r' || c == '\n') {
            return NCR_OK;
        }

        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return ncr_toml_bad(toml, "control character");
        }

        toml->p++;
    }
}


/* blanks, comments and ends of lines, inside of an array */

static ncr_int_t
ncr_toml_gap(ncr_toml_t *toml)
{
    ncr_char_t  c;

    for ( ;; ) {
        ncr_toml_blanks(toml);
        c = ncr_toml_peek(toml);

        if (c != '#' && c != '\r' && c != '\n') {
            return NCR_OK;
        }

        if (ncr_toml_end_of_line(toml) != NCR_OK) {
            return NCR_BAD;
        }
    }
}


static void
ncr_toml_blanks(ncr_toml_t *toml)
{
    while (ncr_toml_peek(toml) == ' ' || ncr_toml_peek(toml) == '\t') {
        toml->p++;
    }
}


static ncr_char_t
ncr_toml_peek(ncr_toml_t *toml)
{
    return (ncr_char_t) ((toml->p < toml->last) ? *toml->p : '\0');
}


static ncr_uint_t
ncr_toml_is_key(ncr_char_t c)
{
    return (c >= '0' && c <= '9')
           || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
           || c == '_' || c == '-';
}


static ncr_int_t
ncr_toml_bad(ncr_toml_t *toml, const char *error)
{
    toml->error = error;

    return NCR_BAD;
}
