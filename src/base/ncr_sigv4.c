
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_sigv4.h"
#include "ncr_uri.h"
#include "ncr_str.h"

#include <openssl/crypto.h>


#define NCR_SIGV4_DAY        8          /* bytes of the date */
#define NCR_SIGV4_ALGORITHM  "AWS4-HMAC-SHA256"
#define NCR_SIGV4_END        "aws4_request"


static void ncr_sigv4_sort(ncr_sigv4_t *sig);
static void ncr_sigv4_path(ncr_sigv4_t *sig, ncr_sha256_t *sha);
static void ncr_sigv4_header(ncr_sigv4_header_t *h, ncr_sha256_t *sha);
static void ncr_sigv4_text(ncr_sha256_t *sha, const char *text);
static void ncr_sigv4_str(ncr_sha256_t *sha, ncr_str_t *s);
static void ncr_sigv4_key(ncr_sigv4_t *sig, ncr_sigv4_cache_t *cache,
    ncr_sha256_t *sha, ncr_char_t *key);
static void ncr_sigv4_derive(ncr_sigv4_t *sig, ncr_sha256_t *sha,
    ncr_char_t *key);
static ncr_str_t ncr_sigv4_day(ncr_sigv4_t *sig);


void
ncr_sigv4_date(char *buf, ncr_msec_t now)
{
    char  *p, text[NCR_STR_RFC3339];

    ncr_str_rfc3339(text, now);

    for (p = text; *p; p++) {
        if (*p != '-' && *p != ':') {
            *buf++ = *p;
        }
    }

    *buf = '\0';
}


void
ncr_sigv4_sign(ncr_sigv4_t *sig, ncr_sigv4_cache_t *cache, ncr_sha256_t *sha,
    ncr_out_t *out)
{
    ncr_str_t   day;
    ncr_uint_t  i;
    ncr_char_t  hex[2 * NCR_SHA256_LEN];

    ncr_sigv4_sort(sig);
    ncr_sigv4_signature(sig, cache, sha, hex);

    day = ncr_sigv4_day(sig);

    ncr_out_text(out, NCR_SIGV4_ALGORITHM " Credential=");
    ncr_out_str(out, &sig->id);
    ncr_out_text(out, "/");
    ncr_out_str(out, &day);
    ncr_out_text(out, "/");
    ncr_out_str(out, &sig->region);
    ncr_out_text(out, "/");
    ncr_out_str(out, &sig->service);
    ncr_out_text(out, "/" NCR_SIGV4_END ", SignedHeaders=");

    for (i = 0; i < sig->nheaders; i++) {
        ncr_out_text(out, i ? ";" : "");
        ncr_out_str(out, &sig->headers[i].name);
    }

    ncr_out_text(out, ", Signature=");
    ncr_out_bytes(out, hex, sizeof(hex));
}


static void
ncr_sigv4_sort(ncr_sigv4_t *sig)
{
    int                 rc;
    size_t              n;
    ncr_uint_t          i, j;
    ncr_sigv4_header_t  h;

    for (i = 1; i < sig->nheaders; i++) {

        h = sig->headers[i];

        for (j = i; j > 0; j--) {

            n = ncr_min(sig->headers[j - 1].name.len, h.name.len);
            rc = memcmp(sig->headers[j - 1].name.data, h.name.data, n);

            if (rc < 0 || (rc == 0 && sig->headers[j - 1].name.len <= n)) {
                break;
            }

            sig->headers[j] = sig->headers[j - 1];
        }

        sig->headers[j] = h;
    }
}


/* I.4, 3 to 7: hashed as it is made, so it needs no room */

void
ncr_sigv4_request(ncr_sigv4_t *sig, ncr_sha256_t *sha, ncr_char_t *digest)
{
    ncr_uint_t  i;
    ncr_char_t  hex[2 * NCR_SHA256_LEN];

    ncr_sha256_init(sha);

    ncr_sigv4_str(sha, &sig->method);
    ncr_sigv4_text(sha, "\n");
    ncr_sigv4_path(sig, sha);
    ncr_sigv4_text(sha, "\n");
    ncr_sigv4_str(sha, &sig->query);
    ncr_sigv4_text(sha, "\n");

    for (i = 0; i < sig->nheaders; i++) {
        ncr_sigv4_header(&sig->headers[i], sha);
    }

    ncr_sigv4_text(sha, "\n");

    for (i = 0; i < sig->nheaders; i++) {
        ncr_sigv4_text(sha, i ? ";" : "");
        ncr_sigv4_str(sha, &sig->headers[i].name);
    }

    ncr_hash_hex(hex, sig->digest, NCR_SHA256_LEN);

    ncr_sigv4_text(sha, "\n");
    ncr_sha256_update(sha, hex, sizeof(hex));

    ncr_sha256_final(sha, digest);
}


/* what is escaped on the wire is escaped once more (I.4, 3) */

static void
ncr_sigv4_path(ncr_sigv4_t *sig, ncr_sha256_t *sha)
{
    size_t      i;
    ncr_out_t   out;
    ncr_str_t   one;
    ncr_char_t  c, escape[3];

    for (i = 0; i < sig->path.len; i++) {
        c = sig->path.data[i];

        if (c == '/' && i && sig->path.data[i - 1] == '/') {
            continue;
        }

        if (c == '/') {
            ncr_sha256_update(sha, &c, 1);
            continue;
        }

        one.data = &c;
        one.len = 1;

        ncr_out_init(&out, escape, sizeof(escape));
        ncr_uri_escape(&out, &one);

        ncr_sha256_update(sha, out.start, (size_t) (out.last - out.start));
    }
}


/* without spaces around its value, and one where there are several */

static void
ncr_sigv4_header(ncr_sigv4_header_t *h, ncr_sha256_t *sha)
{
    size_t       len;
    ncr_char_t  *p, *from, *last;

    ncr_sigv4_str(sha, &h->name);
    ncr_sigv4_text(sha, ":");

    p = h->value.data;
    len = h->value.len;

    while (len && (*p == ' ' || *p == '\t')) {
        p++;
        len--;
    }

    while (len && (p[len - 1] == ' ' || p[len - 1] == '\t')) {
        len--;
    }

    last = p + len;

    for (from = p; p < last; p++) {

        if (*p == ' ' && p + 1 < last && p[1] == ' ') {

            ncr_sha256_update(sha, from, (size_t) (p + 1 - from));

            while (*p == ' ') {
                p++;
            }

            from = p;
        }
    }

    ncr_sha256_update(sha, from, (size_t) (last - from));
    ncr_sigv4_text(sha, "\n");
}


static void
ncr_sigv4_text(ncr_sha256_t *sha, const char *text)
{
    ncr_sha256_update(sha, text, strlen(text));
}


static void
ncr_sigv4_str(ncr_sha256_t *sha, ncr_str_t *s)
{
    ncr_sha256_update(sha, s->data, s->len);
}


/* I.4, 8 to 10 */

void
ncr_sigv4_signature(ncr_sigv4_t *sig, ncr_sigv4_cache_t *cache,
    ncr_sha256_t *sha, ncr_char_t *hex)
{
    ncr_str_t   k, parts[10];
    ncr_char_t  request[2 * NCR_SHA256_LEN], digest[NCR_SHA256_LEN];
    ncr_char_t  key[NCR_SHA256_LEN];

    ncr_sigv4_request(sig, sha, digest);
    ncr_hash_hex(request, digest, NCR_SHA256_LEN);

    ncr_sigv4_key(sig, cache, sha, key);

    k.data = key;
    k.len = sizeof(key);

    ncr_str_set(&parts[0], NCR_SIGV4_ALGORITHM "\n");
    parts[1].data = (ncr_char_t *) (uintptr_t) sig->date;
    parts[1].len = strlen(sig->date);
    ncr_str_set(&parts[2], "\n");
    parts[3] = ncr_sigv4_day(sig);
    ncr_str_set(&parts[4], "/");
    parts[5] = sig->region;
    parts[6] = parts[4];
    parts[7] = sig->service;
    ncr_str_set(&parts[8], "/" NCR_SIGV4_END "\n");

    parts[9].data = request;
    parts[9].len = sizeof(request);

    ncr_hmac_sha256(sha, &k, parts, 10, digest);
    ncr_hash_hex(hex, digest, NCR_SHA256_LEN);

    OPENSSL_cleanse(key, sizeof(key));
}


static void
ncr_sigv4_key(ncr_sigv4_t *sig, ncr_sigv4_cache_t *cache, ncr_sha256_t *sha,
    ncr_char_t *key)
{
    ncr_str_t   day;
    ncr_uint_t  i;
    ncr_char_t  from[NCR_SHA256_LEN];

    if (cache == NULL) {
        ncr_sigv4_derive(sig, sha, key);
        return;
    }

    day = ncr_sigv4_day(sig);

    ncr_sha256_init(sha);
    ncr_sigv4_str(sha, &day);
    ncr_sigv4_str(sha, &sig->region);
    ncr_sigv4_text(sha, "/");
    ncr_sigv4_str(sha, &sig->service);
    ncr_sigv4_text(sha, "/");
    ncr_sigv4_str(sha, &sig->secret);
    ncr_sha256_final(sha, from);

    for (i = 0; i < NCR_SIGV4_KEYS; i++) {
        if (memcmp(cache->keys[i].from, from, sizeof(from)) == 0) {
            memcpy(key, cache->keys[i].key, NCR_SHA256_LEN);
            return;
        }
    }

    ncr_sigv4_derive(sig, sha, key);

    i = cache->next++ % NCR_SIGV4_KEYS;
    memcpy(cache->keys[i].from, from, sizeof(from));
    memcpy(cache->keys[i].key, key, NCR_SHA256_LEN);
}


static void
ncr_sigv4_derive(ncr_sigv4_t *sig, ncr_sha256_t *sha, ncr_char_t *key)
{
    ncr_str_t   k, parts[4];
    ncr_out_t   out;
    ncr_uint_t  i;
    ncr_char_t  first[NCR_SIGV4_SECRET + 4];

    ncr_out_init(&out, first, sizeof(first));
    ncr_out_text(&out, "AWS4");
    ncr_out_str(&out, &sig->secret);

    k.data = first;
    k.len = (size_t) (out.last - out.start);

    parts[0] = ncr_sigv4_day(sig);
    parts[1] = sig->region;
    parts[2] = sig->service;
    ncr_str_set(&parts[3], NCR_SIGV4_END);

    for (i = 0; i < 4; i++) {
        ncr_hmac_sha256(sha, &k, &parts[i], 1, key);

        k.data = key;
        k.len = NCR_SHA256_LEN;
    }

    OPENSSL_cleanse(first, sizeof(first));
}


static ncr_str_t
ncr_sigv4_day(ncr_sigv4_t *sig)
{
    ncr_str_t  day;

    day.data = (ncr_char_t *) (uintptr_t) sig->date;
    day.len = NCR_SIGV4_DAY;

    return day;
}
