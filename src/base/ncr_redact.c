
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_redact.h"


/* of "user:password@", to be looked ahead for */
#define NCR_REDACT_USERINFO  512

/* classes of bytes */
#define NCR_REDACT_ALNUM     0x01
#define NCR_REDACT_BODY      0x02       /* of a token */
#define NCR_REDACT_NAME      0x04       /* of a field */
#define NCR_REDACT_PEM       0x08
#define NCR_REDACT_PLAIN     0x10       /* of a value without quotes */
#define NCR_REDACT_HEX       0x20


typedef struct {
    ncr_redact_t  *redact;
    ncr_str_t     *known;
    ncr_uint_t     nknown;
    ncr_char_t    *p;                   /* what is read next */
    ncr_char_t    *last;
    ncr_char_t    *dst;                 /* never ahead of p */
    ncr_uint_t     cut;
} ncr_redact_text_t;


typedef struct {
    const char    *prefix;
    size_t         min;                 /* of what follows */
    ncr_uint_t     class;               /* and consists of */
} ncr_redact_shape_t;


static ncr_uint_t ncr_redact_word(ncr_redact_text_t *t);
static ncr_uint_t ncr_redact_shape(ncr_redact_text_t *t, const char *prefix,
    size_t min, ncr_uint_t class);
static ncr_uint_t ncr_redact_operator(ncr_redact_text_t *t);
static ncr_uint_t ncr_redact_is_known(ncr_redact_text_t *t);
static ncr_uint_t ncr_redact_scheme(ncr_redact_text_t *t);
static ncr_uint_t ncr_redact_scheme_value(ncr_char_t *p, size_t len);
static ncr_uint_t ncr_redact_pem(ncr_redact_text_t *t);
static ncr_uint_t ncr_redact_userinfo(ncr_redact_text_t *t);
static ncr_uint_t ncr_redact_assigned(ncr_redact_text_t *t);
static void ncr_redact_quote(ncr_redact_text_t *t, size_t slashes);
static ncr_uint_t ncr_redact_values(ncr_redact_text_t *t, ncr_char_t *p,
    size_t slashes);
static ncr_char_t *ncr_redact_string(ncr_redact_text_t *t, ncr_char_t *p,
    size_t slashes);
static ncr_char_t *ncr_redact_space(ncr_redact_text_t *t, ncr_char_t *p);
static size_t ncr_redact_slashes(ncr_redact_text_t *t, ncr_char_t *p);
static void ncr_redact_copy(ncr_redact_text_t *t, ncr_char_t *to);
static void ncr_redact_mark(ncr_redact_text_t *t, ncr_char_t *to);
static size_t ncr_redact_run(ncr_redact_text_t *t, ncr_char_t *p,
    ncr_uint_t class);
static ncr_uint_t ncr_redact_is_prefix(ncr_redact_text_t *t, ncr_char_t *p,
    const char *text);


/*
 * The lengths keep words of everyday texts out; a token that was cut off at
 * the end of a text has none.
 */

static const ncr_redact_shape_t  ncr_redact_shapes[] = {
    { "sk-ant-", 4, NCR_REDACT_BODY },
    { "sk-", 16, NCR_REDACT_BODY },
    { "cr_", 16, NCR_REDACT_HEX },
    { "AIza", 20, NCR_REDACT_BODY },
    { "ya29.", 8, NCR_REDACT_BODY },
    { "1//0", 20, NCR_REDACT_BODY },
    { "eyJ", 20, NCR_REDACT_BODY },
    { "AKIA", 12, NCR_REDACT_ALNUM },
    { "ASIA", 12, NCR_REDACT_ALNUM },
    { "ghp_", 16, NCR_REDACT_BODY },
    { "gho_", 16, NCR_REDACT_BODY },
    { "ghu_", 16, NCR_REDACT_BODY },
    { "ghs_", 16, NCR_REDACT_BODY },
    { "ghr_", 16, NCR_REDACT_BODY },
    { "github_pat_", 16, NCR_REDACT_BODY },
    { "glpat-", 16, NCR_REDACT_BODY },
    { "xoxa-", 8, NCR_REDACT_BODY },
    { "xoxb-", 8, NCR_REDACT_BODY },
    { "xoxe-", 8, NCR_REDACT_BODY },
    { "xoxo-", 8, NCR_REDACT_BODY },
    { "xoxp-", 8, NCR_REDACT_BODY },
    { "xoxr-", 8, NCR_REDACT_BODY },
    { "xoxs-", 8, NCR_REDACT_BODY },
    { NULL, 0, 0 }
};


/* without "_" and "-", in lower case */

static const char *const  ncr_redact_names[] = {
    "password", "passwd", "passphrase",
    "apikey", "xapikey", "xgoogapikey",
    "accesstoken", "refreshtoken", "idtoken", "authtoken", "sessiontoken",
    "clientsecret", "secret", "secretkey", "secretaccesskey", "privatekey",
    "sessionkey", "codeverifier",
    "authorization", "proxyauthorization", "cookie", "setcookie",
    NULL
};


/* bits of the classes by byte */

static const unsigned char  ncr_redact_class[256] = {
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x08, 0x08, 0x00, 0x00, 0x08, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x08, 0x10, 0x00, 0x10, 0x10, 0x10, 0x00, 0x00,
    0x10, 0x10, 0x10, 0x1a, 0x08, 0x1e, 0x1e, 0x1a,
    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
    0x3f, 0x3f, 0x18, 0x00, 0x10, 0x1a, 0x10, 0x10,
    0x10, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x1f,
    0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f,
    0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f,
    0x1f, 0x1f, 0x1f, 0x10, 0x08, 0x10, 0x10, 0x16,
    0x10, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x1f,
    0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f,
    0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f, 0x1f,
    0x1f, 0x1f, 0x1f, 0x10, 0x10, 0x10, 0x12, 0x00,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10,
    0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10
};


ncr_int_t
ncr_redact_field(ncr_str_t *dst, ncr_str_t *name)
{
    size_t      i;
    ncr_char_t  c;

    dst->len = 0;

    if (name->len == 0 || name->len > NCR_REDACT_FIELD) {
        return NCR_BAD;
    }

    for (i = 0; i < name->len; i++) {
        c = name->data[i];

        if (!(ncr_redact_class[c] & NCR_REDACT_NAME)) {
            return NCR_BAD;
        }

        if (c == '_' || c == '-') {
            continue;
        }

        dst->data[dst->len++] = (c >= 'A' && c <= 'Z')
                                ? (ncr_char_t) (c | 0x20) : c;
    }

    return dst->len ? NCR_OK : NCR_BAD;
}


ncr_uint_t
ncr_redact_secret(ncr_redact_t *redact, ncr_str_t *name)
{
    size_t       len;
    ncr_str_t    s;
    ncr_uint_t   i;
    ncr_char_t   buf[NCR_REDACT_FIELD];
    const char  *builtin;

    s.data = buf;

    if (ncr_redact_field(&s, name) != NCR_OK) {
        return 0;
    }

    for (i = 0; ncr_redact_names[i]; i++) {
        builtin = ncr_redact_names[i];

        len = strlen(builtin);

        /* "db_password", too */

        if (len <= s.len && memcmp(builtin, buf + s.len - len, len) == 0) {
            return 1;
        }
    }

    for (i = 0; i < redact->nfields; i++) {

        if (redact->fields[i].len == s.len
            && memcmp(redact->fields[i].data, buf, s.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


size_t
ncr_redact(ncr_redact_t *redact, ncr_str_t *known, ncr_uint_t nknown,
    ncr_char_t *p, size_t len, ncr_uint_t cut)
{
    size_t              n;
    ncr_char_t          c;
    ncr_uint_t          begin;
    ncr_redact_text_t   t;

    t.redact = redact;
    t.known = known;
    t.nknown = nknown;
    t.p = p;
    t.last = p + len;
    t.dst = p;
    t.cut = cut;

    begin = 1;

    while (t.p < t.last) {

        c = *t.p;

        if (begin && ncr_redact_word(&t)) {

            /* "]" was written, no part of a word */
            continue;
        }

        if ((c == ':' && ncr_redact_userinfo(&t))
            || (c == '-' && ncr_redact_pem(&t)))
        {
            begin = 1;
            continue;
        }

        if (c == '"') {
            ncr_redact_quote(&t, 0);
            begin = 1;
            continue;
        }

        if (c == '\\') {
            n = ncr_redact_slashes(&t, t.p);

            if (t.p + n < t.last && t.p[n] == '"') {
                ncr_redact_copy(&t, t.p + n);
                ncr_redact_quote(&t, n);

            } else {

                /* "\n" and the like stand between words */

                n += (t.p + n < t.last && memchr("nrtbf/", t.p[n], 6) != NULL);
                ncr_redact_copy(&t, t.p + n);
            }

            begin = 1;
            continue;
        }

        if (c == '%' && t.last - t.p > 2
            && (ncr_redact_class[t.p[1]] & ncr_redact_class[t.p[2]]
                & NCR_REDACT_HEX))
        {
            ncr_redact_copy(&t, t.p + 3);
            begin = 1;
            continue;
        }

        begin = !(ncr_redact_class[c] & NCR_REDACT_ALNUM);
        ncr_redact_copy(&t, t.p + 1);
    }

    return (size_t) (t.dst - p);
}


/* a word may begin here; 1: it was taken out */

static ncr_uint_t
ncr_redact_word(ncr_redact_text_t *t)
{
    ncr_char_t                 c;
    const ncr_redact_shape_t  *shape;

    c = *t->p;

    if (t->nknown && ncr_redact_is_known(t)) {
        return 1;
    }

    if (t->redact->ntokens && ncr_redact_operator(t)) {
        return 1;
    }

    for (shape = ncr_redact_shapes; shape->prefix; shape++) {

        if (shape->prefix[0] == (char) c
            && ncr_redact_shape(t, shape->prefix, shape->min, shape->class))
        {
            return 1;
        }
    }

    if ((c | 0x20) == 'b' && ncr_redact_scheme(t)) {
        return 1;
    }

    return ncr_redact_assigned(t);
}


static ncr_uint_t
ncr_redact_shape(ncr_redact_text_t *t, const char *prefix, size_t min,
    ncr_uint_t class)
{
    size_t       n;
    ncr_char_t  *p;

    if (!ncr_redact_is_prefix(t, t->p, prefix)) {
        return 0;
    }

    p = t->p + strlen(prefix);
    n = ncr_redact_run(t, p, class);

    if (n < min && !(t->cut && p + n == t->last)) {
        return 0;
    }

    /* to the end of the word, so that no tail of it is left */

    ncr_redact_mark(t, p + n + ncr_redact_run(t, p + n, NCR_REDACT_BODY));

    return 1;
}


static ncr_uint_t
ncr_redact_operator(ncr_redact_text_t *t)
{
    ncr_str_t   *s;
    ncr_uint_t   i;
    ncr_char_t  *p;

    s = t->redact->tokens;

    for (i = 0; i < t->redact->ntokens; i++) {

        if (s[i].data[0] != *t->p || s[i].len > (size_t) (t->last - t->p)
            || memcmp(s[i].data, t->p, s[i].len) != 0)
        {
            continue;
        }

        p = t->p + s[i].len;
        ncr_redact_mark(t, p + ncr_redact_run(t, p, NCR_REDACT_BODY));

        return 1;
    }

    return 0;
}


/* compared from where a word may begin, so each byte is seen that often at
 * most as a known string has places where a word may begin */

static ncr_uint_t
ncr_redact_is_known(ncr_redact_text_t *t)
{
    size_t       n, left;
    ncr_str_t   *s;
    ncr_uint_t   i;

    left = (size_t) (t->last - t->p);

    for (i = 0; i < t->nknown; i++) {
        s = &t->known[i];

        if (s->len < NCR_REDACT_KNOWN || s->data[0] != *t->p) {
            continue;
        }

        n = ncr_min(s->len, left);

        if ((n == s->len || (t->cut && n >= NCR_REDACT_KNOWN))
            && memcmp(s->data, t->p, n) == 0)
        {
            ncr_redact_mark(t, t->p + n);
            return 1;
        }
    }

    return 0;
}


/* "Bearer x" and "Basic x": what follows */

static ncr_uint_t
ncr_redact_scheme(ncr_redact_text_t *t)
{
    size_t       n;
    ncr_str_t    s;
    ncr_char_t  *p;

    s.data = t->p;
    s.len = (size_t) (t->last - t->p);

    if (s.len > 7 && (s.data[0] | 0x20) == 'b'
        && ((s.data[1] == 'e' && memcmp(s.data + 1, "earer ", 6) == 0)
            || memcmp(s.data + 1, "EARER ", 6) == 0))
    {
        p = t->p + 7;

    } else if (s.len > 6 && (s.data[0] | 0x20) == 'b'
               && (memcmp(s.data + 1, "asic ", 5) == 0
                   || memcmp(s.data + 1, "ASIC ", 5) == 0))
    {
        p = t->p + 6;

    } else {
        return 0;
    }

    while (p < t->last && *p == ' ') {
        p++;
    }

    n = ncr_redact_run(t, p, NCR_REDACT_BODY);

    if (!ncr_redact_scheme_value(p, n) && !(t->cut && n && p + n == t->last)) {
        return 0;
    }

    ncr_redact_copy(t, p);
    ncr_redact_mark(t, p + n);

    return 1;
}


/* "bearer authentication" is not one */

static ncr_uint_t
ncr_redact_scheme_value(ncr_char_t *p, size_t len)
{
    size_t  i;

    if (len >= 24) {
        return 1;
    }

    if (len < 6) {
        return 0;
    }

    /* a comma or full stop may end the sentence */

    for (i = 0; i < len - 1; i++) {
        if (p[i] < 'a' || p[i] > 'z') {
            return 1;
        }
    }

    return 0;
}


/* what is between the lines of a private key, and these */

static ncr_uint_t
ncr_redact_pem(ncr_redact_text_t *t)
{
    ncr_char_t  *p, *end, *dash;

    if (!ncr_redact_is_prefix(t, t->p, "-----BEGIN ")) {
        return 0;
    }

    p = t->p + sizeof("-----BEGIN ") - 1;
    end = p + ncr_min((size_t) (t->last - p), 64);

    /* "RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK" */

    for (dash = p; dash < end && *dash != '-'; dash++) {

        if (ncr_redact_is_prefix(t, dash, "PRIVATE KEY")) {
            p = dash;
            break;
        }
    }

    if (dash == end || *dash == '-') {
        return 0;
    }

    while (p < t->last && (ncr_redact_class[*p] & NCR_REDACT_PEM)) {

        if (*p == '-' && ncr_redact_is_prefix(t, p, "-----END ")) {

            for (p += sizeof("-----END ") - 1; p < t->last; p++) {
                if (*p != ' ' && (*p < 'A' || *p > 'Z')) {
                    break;
                }
            }

            while (p < t->last && *p == '-') {
                p++;
            }

            break;
        }

        p++;
    }

    /* not in the middle of a word, whose tail could not be told */

    p += ncr_redact_run(t, p, NCR_REDACT_BODY);

    /* a quote that ends a string here must not lose its backslashes */

    if (p < t->last && *p == '"') {
        while (p[-1] == '\\') {
            p--;
        }
    }

    ncr_redact_mark(t, p);

    return 1;
}


/* "scheme://user:password@host" */

static ncr_uint_t
ncr_redact_userinfo(ncr_redact_text_t *t)
{
    ncr_char_t  *p, *colon, *end;

    if (!ncr_redact_is_prefix(t, t->p, "://")) {
        return 0;
    }

    p = t->p + 3;
    end = p + ncr_min((size_t) (t->last - p), NCR_REDACT_USERINFO);
    colon = NULL;

    for ( /* void */ ; p < end; p++) {

        if (*p == '@' || *p <= ' ' || *p == '/' || *p == '"' || *p == '\\'
            || *p == '?' || *p == '#')
        {
            break;
        }

        if (*p == ':' && colon == NULL) {
            colon = p;
        }
    }

    if (colon == NULL || p - colon < 2) {
        return 0;
    }

    if (p == t->last ? !t->cut : (p == end || *p != '@')) {
        return 0;
    }

    ncr_redact_copy(t, colon + 1);
    ncr_redact_mark(t, p);

    return 1;
}


/* "name=value", and "x-name: value" of what looks like a header */

static ncr_uint_t
ncr_redact_assigned(ncr_redact_text_t *t)
{
    size_t       n;
    ncr_str_t    name;
    ncr_uint_t   header;
    ncr_char_t  *p, *end;

    if (!(ncr_redact_class[*t->p] & NCR_REDACT_ALNUM)) {
        return 0;
    }

    name.data = t->p;
    end = t->p + ncr_min((size_t) (t->last - t->p), NCR_REDACT_FIELD + 1);

    for (p = t->p; p < end && (ncr_redact_class[*p] & NCR_REDACT_NAME); p++) {
        /* void */
    }

    if (p == end || (*p != '=' && *p != ':')) {
        return 0;
    }

    name.len = (size_t) (p - name.data);
    header = (*p == ':');

    if ((header && memchr(name.data, '-', name.len) == NULL)
        || !ncr_redact_secret(t->redact, &name))
    {
        return 0;
    }

    p++;

    while (header && p < t->last && *p == ' ') {
        p++;
    }

    n = ncr_redact_run(t, p, NCR_REDACT_PLAIN);

    if (n == 0) {
        return 0;
    }

    ncr_redact_copy(t, p);
    ncr_redact_mark(t, p + n);

    return 1;
}


/*
 * At a quote with so many backslashes before it: does a member begin whose
 * value is to be taken out?  If not, only the quote is passed.
 */

static void
ncr_redact_quote(ncr_redact_text_t *t, size_t slashes)
{
    ncr_str_t    name;
    ncr_char_t  *p, *end;

    name.data = t->p + 1;
    end = name.data + ncr_min((size_t) (t->last - name.data),
                              NCR_REDACT_FIELD + 1);

    for (p = name.data; p < end && (ncr_redact_class[*p] & NCR_REDACT_NAME);
         p++)
    {
        /* void */
    }

    name.len = (size_t) (p - name.data);

    if (name.len && p < end) {
        p += ncr_redact_slashes(t, p);

        if (p < t->last && *p == '"'
            && (size_t) (p - name.data) == name.len + slashes
            && ncr_redact_secret(t->redact, &name)
            && ncr_redact_values(t, p + 1, slashes))
        {
            return;
        }
    }

    ncr_redact_copy(t, t->p + 1);
}


/* ": value", a string or a list of them; 1: something was passed */

static ncr_uint_t
ncr_redact_values(ncr_redact_text_t *t, ncr_char_t *p, size_t slashes)
{
    ncr_char_t  *end;
    ncr_uint_t   list;

    p = ncr_redact_space(t, p);

    if (p == t->last || *p != ':') {
        return 0;
    }

    p = ncr_redact_space(t, p + 1);
    list = (p < t->last && *p == '[');

    if (list) {
        p = ncr_redact_space(t, p + 1);
    }

    for ( ;; ) {

        if (ncr_redact_slashes(t, p) != slashes || p + slashes >= t->last
            || p[slashes] != '"')
        {
            break;
        }

        p += slashes + 1;
        end = ncr_redact_string(t, p, slashes);

        ncr_redact_copy(t, p);

        if (end > p) {
            ncr_redact_mark(t, end);
        }

        /* the closing quote, if the text was not cut, and its backslashes */

        p = end + ncr_redact_slashes(t, end);
        p += (p < t->last);

        ncr_redact_copy(t, p);

        if (!list) {
            return 1;
        }

        p = ncr_redact_space(t, p);

        if (p == t->last || *p != ',') {
            break;
        }

        p = ncr_redact_space(t, p + 1);
    }

    /* what was only white space is copied by the next turn, once more */

    if (p > t->p) {
        ncr_redact_copy(t, p);
    }

    return 1;
}


/*
 * The end of a string whose quotes have so many backslashes, 2^depth - 1: in
 * a text of this depth a quote inside of it has an odd number of backslashes
 * of its own, each of them written as 2^depth.
 */

static ncr_char_t *
ncr_redact_string(ncr_redact_text_t *t, ncr_char_t *p, size_t slashes)
{
    size_t  n;

    while (p < t->last) {

        if (*p != '"' && *p != '\\') {
            p++;
            continue;
        }

        n = ncr_redact_slashes(t, p);

        if (p + n == t->last) {
            return t->last;
        }

        if (p[n] != '"') {
            p += n + 1;
            continue;
        }

        if (n < slashes) {

            /* a string around this one ends */
            return p;
        }

        if (((n - slashes) / (slashes + 1)) % 2 == 0) {
            return p + n - slashes;
        }

        p += n + 1;
    }

    return p;
}


/* white space between tokens, that of JSON in strings too */

static ncr_char_t *
ncr_redact_space(ncr_redact_text_t *t, ncr_char_t *p)
{
    size_t  n;

    while (p < t->last) {

        if (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t') {
            p++;
            continue;
        }

        n = ncr_redact_slashes(t, p);

        if (n == 0 || p + n == t->last || memchr("nrt", p[n], 3) == NULL) {
            break;
        }

        p += n + 1;
    }

    return p;
}


static size_t
ncr_redact_slashes(ncr_redact_text_t *t, ncr_char_t *p)
{
    size_t  n;

    n = 0;

    while (p + n < t->last && p[n] == '\\') {
        n++;
    }

    return n;
}


static void
ncr_redact_copy(ncr_redact_text_t *t, ncr_char_t *to)
{
    size_t  n;

    n = (size_t) (to - t->p);

    if (t->dst != t->p) {
        memmove(t->dst, t->p, n);
    }

    t->dst += n;
    t->p = to;
}


/* the mark in place of what stands there, and never longer than that */

static void
ncr_redact_mark(ncr_redact_text_t *t, ncr_char_t *to)
{
    size_t       n;
    const char  *mark;

    n = (size_t) (to - t->p);

    mark = (n >= sizeof(NCR_REDACTED) - 1) ? NCR_REDACTED : "***";
    n = ncr_min(n, strlen(mark));

    memcpy(t->dst, mark, n);

    t->dst += n;
    t->p = to;
}


static size_t
ncr_redact_run(ncr_redact_text_t *t, ncr_char_t *p, ncr_uint_t class)
{
    size_t  n;

    n = 0;

    while (p + n < t->last && (ncr_redact_class[p[n]] & class)) {
        n++;
    }

    return n;
}


static ncr_uint_t
ncr_redact_is_prefix(ncr_redact_text_t *t, ncr_char_t *p, const char *text)
{
    size_t  len;

    len = strlen(text);

    return (size_t) (t->last - p) >= len && memcmp(p, text, len) == 0;
}
