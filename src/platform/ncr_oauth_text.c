
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_oauth_text.h"
#include "ncr_base64.h"
#include "ncr_json.h"
#include "ncr_str.h"


/* the longest text that is looked at for a log, the longest fact kept */
#define NCR_OAUTH_WORDS  1024
#define NCR_OAUTH_FACT   128

/* the longest id_token that is looked into */
#define NCR_OAUTH_JWT    (16 * 1024)

/* up to here an instant is one in seconds (A.4); the last one in ms */
#define NCR_OAUTH_SECONDS  1e11
#define NCR_OAUTH_INSTANT  253402300799000.0


static ncr_uint_t ncr_oauth_has_nul(ncr_str_t *text);
static ncr_uint_t ncr_oauth_is_token(const char *p, size_t len,
    ncr_uint_t cut);
static ncr_uint_t ncr_oauth_is_run(char c);
static void ncr_oauth_meta_member(ncr_out_t *out, const char *name,
    ncr_str_t *value);
static ncr_str_t ncr_oauth_fact(ncr_str_t *value, ncr_char_t *buf);
static void ncr_oauth_meta_rest(ncr_out_t *out, cJSON *old);


static const char *const  ncr_oauth_facts[NCR_OAUTH_FACTS] = {
    "account_uuid", "email", "organization_uuid", "organization", "plan",
    "tier", "name"
};


cJSON *
ncr_oauth_json(ncr_str_t *text)
{
    return ncr_oauth_json_large(text, NCR_OAUTH_BODY);
}


cJSON *
ncr_oauth_json_large(ncr_str_t *text, size_t max)
{
    cJSON       *root;
    ncr_json_t   json;

    if (text->len == 0 || text->len > max
        || ncr_oauth_has_nul(text))
    {
        return NULL;
    }

    ncr_json_init(&json);
    json.max_depth = NCR_OAUTH_DEPTH;

    if (ncr_json_feed(&json, text->data, text->len) == NCR_BAD
        || ncr_json_final(&json) != NCR_OK)
    {
        return NULL;
    }

    root = cJSON_ParseWithLength((const char *) text->data, text->len);

    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return NULL;
    }

    return root;
}


/* cJSON ends a string at "\u0000", and what follows it would be lost */

static ncr_uint_t
ncr_oauth_has_nul(ncr_str_t *text)
{
    ncr_char_t  *p, *last;

    p = text->data;
    last = p + text->len;

    if (memchr(p, '\0', text->len) != NULL) {
        return 1;
    }

    for ( ;; ) {
        p = memchr(p, '\\', (size_t) (last - p));

        if (p == NULL || last - p < 6) {
            return 0;
        }

        if (memcmp(p + 1, "u0000", 5) == 0) {
            return 1;
        }

        p += 2;
    }
}


cJSON *
ncr_oauth_member(cJSON *object, const char *name)
{
    cJSON  *item;

    /* of an array cJSON would look at the elements' names, which are NULL */

    if (!cJSON_IsObject(object)) {
        return NULL;
    }

    item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsNull(item) ? NULL : item;
}


ncr_str_t
ncr_oauth_string(cJSON *object, const char *name)
{
    cJSON      *item;
    ncr_str_t   s;

    ncr_str_null(&s);

    item = ncr_oauth_member(object, name);

    if (cJSON_IsString(item)) {
        s.data = (ncr_char_t *) item->valuestring;
        s.len = strlen(item->valuestring);
    }

    return s;
}


ncr_str_t
ncr_oauth_either(cJSON *object, const char *name, const char *other)
{
    ncr_str_t  s;

    s = ncr_oauth_string(object, name);

    return s.len ? s : ncr_oauth_string(object, other);
}


ncr_uint_t
ncr_oauth_visible(ncr_str_t *s)
{
    size_t  i;

    for (i = 0; i < s->len; i++) {
        if (s->data[i] <= ' ' || s->data[i] >= 0x7f) {
            return 0;
        }
    }

    return s->len != 0;
}


const char *
ncr_oauth_tokens_check(ncr_str_t *access, ncr_str_t *refresh)
{
    if (!ncr_oauth_visible(access)) {
        return "the access token has characters that no token has";
    }

    if (access->len >= NCR_OAUTH_TOKEN) {
        return "the access token is too long";
    }

    if (ncr_str_prefix(access, "sk-ant-ort")) {
        return "a refresh token stands where the access token belongs";
    }

    if (refresh->len == 0) {
        return NULL;
    }

    if (!ncr_oauth_visible(refresh)) {
        return "the refresh token has characters that no token has";
    }

    if (refresh->len >= NCR_OAUTH_TOKEN) {
        return "the refresh token is too long";
    }

    if (ncr_str_prefix(refresh, "sk-ant-oat")) {
        return "an access token stands where the refresh token belongs";
    }

    return NULL;
}


void
ncr_oauth_scope(cJSON *item, char *dst, size_t size)
{
    cJSON       *one;
    size_t       i;
    ncr_out_t    out;
    ncr_char_t   c;

    ncr_out_init(&out, (ncr_char_t *) dst, size - 1);

    one = cJSON_IsArray(item) ? item->child : item;

    while (one != NULL) {

        if (!cJSON_IsString(one)) {
            out.overflow = 1;
            break;
        }

        if (out.last > out.start) {
            ncr_out_text(&out, " ");
        }

        ncr_out_text(&out, one->valuestring);

        one = (one == item) ? NULL : one->next;
    }

    for (i = 0; i < (size_t) (out.last - out.start); i++) {
        c = out.start[i];

        /* RFC 6749, section 3.3 */

        if (c < ' ' || c >= 0x7f || c == '"' || c == '\\') {
            out.overflow = 1;
        }
    }

    if (out.overflow) {
        out.last = out.start;
    }

    *out.last = '\0';
}


void
ncr_oauth_words(char *dst, size_t size, ncr_str_t *text)
{
    char         buf[NCR_OAUTH_WORDS];
    size_t       i, n, len;
    ncr_out_t    out;
    ncr_char_t   c;
    const char  *p;

    n = 0;

    for (i = 0; i < text->len && n < sizeof(buf); i++) {
        c = text->data[i];

        if (c >= ' ' && c != 0x7f) {
            buf[n++] = (char) (c < 0x80 ? c : '?');
        }
    }

    ncr_out_init(&out, (ncr_char_t *) dst, size - 1);

    for (p = buf; p < buf + n; p += len) {
        len = 0;

        while (p + len < buf + n && ncr_oauth_is_run(p[len])) {
            len++;
        }

        if (len && ncr_oauth_is_token(p, len, i < text->len
                                              && p + len == buf + n))
        {
            ncr_out_text(&out, "***");

        } else {
            len = ncr_max(len, 1);
            ncr_out_bytes(&out, p,
                          ncr_min(len, (size_t) (out.end - out.last)));
        }

        if (out.last == out.end) {
            break;
        }
    }

    *out.last = '\0';
}


/*
 * What begins as the provider's tokens do; a long word with digits; a longer
 * one without; one whose end was cut off.
 */

static ncr_uint_t
ncr_oauth_is_token(const char *p, size_t len, ncr_uint_t cut)
{
    size_t      i;
    ncr_str_t   s;
    ncr_uint_t  digits;

    s.data = (ncr_char_t *) (uintptr_t) p;
    s.len = len;

    if (cut || len >= 40 || ncr_str_prefix(&s, "sk-")
        || ncr_str_contains(&s, "sk-ant-"))
    {
        return 1;
    }

    digits = 0;

    for (i = 0; i < len; i++) {
        digits += (p[i] >= '0' && p[i] <= '9');
    }

    return len >= 20 && digits;
}


/* without "/" and ".", so that addresses can still be read */

static ncr_uint_t
ncr_oauth_is_run(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
           || (c >= 'A' && c <= 'Z')
           || c == '-' || c == '_' || c == '+' || c == '=';
}


ncr_str_t
ncr_oauth_plan(ncr_str_t name)
{
    if (ncr_str_prefix(&name, "claude_")) {
        name.data += sizeof("claude_") - 1;
        name.len -= sizeof("claude_") - 1;
    }

    return name;
}


ncr_int_t
ncr_oauth_instant(cJSON *item, ncr_msec_t *value)
{
    double     n;
    ncr_str_t  s;

    if (cJSON_IsString(item)) {
        s.data = (ncr_char_t *) item->valuestring;
        s.len = strlen(item->valuestring);

        return ncr_oauth_instant_text(&s, value);
    }

    if (!cJSON_IsNumber(item)) {
        return NCR_BAD;
    }

    n = item->valuedouble;

    if (n <= NCR_OAUTH_SECONDS) {
        n *= 1000;
    }

    if (!(n >= 0 && n <= NCR_OAUTH_INSTANT)) {
        return NCR_BAD;
    }

    *value = (ncr_msec_t) n;

    return NCR_OK;
}


ncr_int_t
ncr_oauth_instant_text(ncr_str_t *text, ncr_msec_t *value)
{
    int64_t  n;

    if (text->len == 0) {
        return NCR_BAD;
    }

    if (ncr_str_int(text, &n) != NCR_OK) {
        return (ncr_str_time(text, value) == NCR_OK && *value >= 0)
               ? NCR_OK : NCR_BAD;
    }

    if (n <= (int64_t) NCR_OAUTH_SECONDS) {
        n *= 1000;
    }

    if (n > (int64_t) NCR_OAUTH_INSTANT) {
        return NCR_BAD;
    }

    *value = n;

    return NCR_OK;
}


void
ncr_oauth_meta_read(cJSON *meta, ncr_str_t *facts)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_OAUTH_FACTS; i++) {
        facts[i] = ncr_oauth_string(meta, ncr_oauth_facts[i]);
    }
}


ncr_uint_t
ncr_oauth_is_fact(const char *name)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_OAUTH_FACTS; i++) {
        if (strcmp(name, ncr_oauth_facts[i]) == 0) {
            return 1;
        }
    }

    return 0;
}


void
ncr_oauth_meta_write(ncr_str_t *facts, cJSON *old, char *meta, size_t size)
{
    ncr_str_t   value;
    ncr_out_t   out;
    ncr_uint_t  i;

    /* room for "}" and a NUL */

    ncr_out_init(&out, (ncr_char_t *) meta, size - 2);

    for (i = 0; i < NCR_OAUTH_FACTS; i++) {
        value = facts[i];

        if (value.len == 0) {
            value = ncr_oauth_string(old, ncr_oauth_facts[i]);
        }

        ncr_oauth_meta_member(&out, ncr_oauth_facts[i], &value);
    }

    ncr_oauth_meta_rest(&out, old);

    if (out.last > out.start) {
        *out.last++ = '}';
    }

    *out.last = '\0';
}


static void
ncr_oauth_meta_member(ncr_out_t *out, const char *name, ncr_str_t *value)
{
    ncr_str_t    fact;
    ncr_char_t   buf[NCR_OAUTH_FACT], *last;

    fact = ncr_oauth_fact(value, buf);

    if (fact.len == 0) {
        return;
    }

    last = out->last;

    ncr_out_text(out, (last == out->start) ? "{\"" : ",\"");
    ncr_out_text(out, name);
    ncr_out_text(out, "\":");
    ncr_out_json_string(out, &fact);

    if (out->overflow) {
        out->overflow = 0;
        out->last = last;
    }
}


/* no control characters: it will be shown on a terminal */

static ncr_str_t
ncr_oauth_fact(ncr_str_t *value, ncr_char_t *buf)
{
    size_t       i;
    ncr_str_t    fact;
    ncr_char_t   c;

    fact.data = buf;
    fact.len = 0;

    for (i = 0; i < value->len && fact.len < NCR_OAUTH_FACT; i++) {
        c = value->data[i];

        if (c == 0xC2 && value->len - i > 1 && value->data[i + 1] >= 0x80
            && value->data[i + 1] < 0xA0)
        {
            i++;
            continue;
        }

        if (c >= ' ' && c != 0x7f) {
            buf[fact.len++] = c;
        }
    }

    if (i < value->len) {

        /* not in the middle of a character */

        while (fact.len && (value->data[i] & 0xC0) == 0x80) {
            i--;
            fact.len--;
        }
    }

    return fact;
}


static void
ncr_oauth_meta_rest(ncr_out_t *out, cJSON *old)
{
    char        *text;
    cJSON       *item;
    ncr_str_t    name;
    ncr_char_t  *last;

    if (!cJSON_IsObject(old)) {
        return;
    }

    for (item = old->child; item != NULL; item = item->next) {

        if (ncr_oauth_is_fact(item->string)) {
            continue;
        }

        text = cJSON_PrintUnformatted(item);

        if (text == NULL) {
            continue;
        }

        name.data = (ncr_char_t *) item->string;
        name.len = strlen(item->string);

        last = out->last;

        ncr_out_text(out, (last == out->start) ? "{" : ",");
        ncr_out_json_string(out, &name);
        ncr_out_text(out, ":");
        ncr_out_text(out, text);

        if (out->overflow) {
            out->overflow = 0;
            out->last = last;
        }

        cJSON_free(text);
    }
}


void
ncr_oauth_copy(cJSON *to, cJSON *from, const char *const *names)
{
    char        text[NCR_OAUTH_FACT + 1];
    ncr_str_t   value, fact;
    ncr_char_t  buf[NCR_OAUTH_FACT];

    for ( /* void */ ; *names; names++) {
        value = ncr_oauth_string(from, *names);
        fact = ncr_oauth_fact(&value, buf);

        if (fact.len) {
            ncr_str_copy(text, sizeof(text), &fact);
            (void) cJSON_AddStringToObject(to, *names, text);
        }
    }
}


void
ncr_oauth_meta_put(ncr_oauth_talk_t *talk, cJSON *more)
{
    char       *text, meta[NCR_OAUTH_META];
    ncr_str_t   old;

    text = cJSON_PrintUnformatted(more);

    if (text == NULL) {
        return;
    }

    old = talk->meta;

    if (talk->told[0]) {
        old.data = (ncr_char_t *) talk->told;
        old.len = strlen(talk->told);
    }

    ncr_oauth_meta(text, &old, meta, sizeof(meta));

    cJSON_free(text);

    memcpy(talk->told, meta, strlen(meta) + 1);
}


/* RFC 7519, section 3; the part between the dots is JSON in base64url */

cJSON *
ncr_oauth_claims(ncr_str_t *jwt)
{
    size_t       n;
    cJSON       *json;
    ncr_str_t    s;
    ncr_char_t  *p, *last, *end, *buf;

    if (jwt->len == 0 || jwt->len > NCR_OAUTH_JWT) {
        return NULL;
    }

    last = jwt->data + jwt->len;

    p = memchr(jwt->data, '.', jwt->len);

    if (p == NULL) {
        return NULL;
    }

    p++;

    end = memchr(p, '.', (size_t) (last - p));

    if (end == NULL || end == p) {
        return NULL;
    }

    /* the tree of it is cJSON's, and so is this */

    buf = cJSON_malloc((size_t) (end - p));

    if (buf == NULL) {
        return NULL;
    }

    json = NULL;

    if (ncr_base64url_decode(buf, &n, (char *) p, (size_t) (end - p))
        == NCR_OK)
    {
        s.data = buf;
        s.len = n;
        json = ncr_oauth_json(&s);
    }

    cJSON_free(buf);

    return json;
}
