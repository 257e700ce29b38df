
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_sigv4.c"
#include "ncr_test.h"


/* anthropic.md I.4: cases A to E, which two other programs agree upon */

#define NCR_TEST_BODY                                                         \
    "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":16,"        \
    "\"messages\":[{\"role\":\"user\",\"content\":\"ping\"}]}"

#define NCR_TEST_PATH(colon)                                                  \
    "/model/us.anthropic.claude-sonnet-4-5-20250929-v1" colon                 \
    "0/invoke-with-response-stream"

#define NCR_TEST_RUNTIME  "bedrock-runtime.us-east-1.amazonaws.com"
#define NCR_TEST_TOKEN    "IQoJb3JpZ2luX2VjEXAMPLETOKEN/abc+def=="
#define NCR_TEST_HASH                                                         \
    "08a96b006bcc6da5138fd1f01e0a509fff044d555fe96675970de1686f6c9a67"


typedef struct {
    const char  *name;
    const char  *path;
    const char  *host;
    const char  *service;
    const char  *other;
    const char  *value;
    const char  *request;
    const char  *signature;
    const char  *signed_headers;
} ncr_test_case_t;


static const ncr_test_case_t  ncr_test_cases[] = {

    { "F082: case A, a session's token", NCR_TEST_PATH("%3A"),
      NCR_TEST_RUNTIME, "bedrock", "x-amz-security-token", NCR_TEST_TOKEN,
      "264003ad2f781d3ea8d40c61cfe3cc409a82de6d554d0b80e571da255a7809ef",
      "fedc1ce5803f9deb3729eb07ebf4f870fa0a19c0d8e5cc9e94bafbfc4033b232",
      "content-type;host;x-amz-date;x-amz-security-token" },

    { "F082: case B, a key", NCR_TEST_PATH("%3A"),
      NCR_TEST_RUNTIME, "bedrock", NULL, NULL,
      "e7b9ed40ff8fc4b25c16057e1207b32c984c24bd8199e86cad26a58fc8cf021f",
      "87e7ac4c38ac31edfe7b4fec151f45bae093e74a05e677e8456a133f99b4389d",
      "content-type;host;x-amz-date" },

    { "F082: case C, a colon on the wire", NCR_TEST_PATH(":"),
      NCR_TEST_RUNTIME, "bedrock", NULL, NULL,
      "06d35608eee478e86f41625bfdcd94a3e37e448885ad41dab77e8f51e231913b",
      "00587aaa1b01eeab8ba9a96532ce5ac990bad4905315c4a1a8125ed2e8130427",
      "content-type;host;x-amz-date" },

    { "F082: case D, the body's hash is signed", NCR_TEST_PATH("%3A"),
      NCR_TEST_RUNTIME, "bedrock", "x-amz-content-sha256", NCR_TEST_HASH,
      "86a2d0072942d5291b4e2082ac0c48595ad3234e25ebd35c780de7ab1aa1f028",
      "4da9ee642eded3123ca3e24bc59fdf47d6fdb3fb0a34dde114aaf49dcdebd1fd",
      "content-type;host;x-amz-content-sha256;x-amz-date" },

    { "F082: case E, the other service", "/anthropic/v1/messages",
      "bedrock-mantle.us-east-1.api.aws", "bedrock-mantle",
      "anthropic-version", "2023-06-01",
      "999b3794db4c8513299564266c124a77be006669e401bf472a5eae6d425a9511",
      "ab756f669868c6da5c6b8b3adbe6000d0ba7f782ee3815ae89b29991520079b4",
      "anthropic-version;content-type;host;x-amz-date" },

    { NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }
};


static ncr_sha256_t       ncr_test_sha;
static ncr_sigv4_cache_t  ncr_test_cache;
static ncr_sigv4_t        ncr_test_sig;
static ncr_char_t         ncr_test_digest[NCR_SHA256_LEN];
static char               ncr_test_date[NCR_SIGV4_DATE];


static void
ncr_test_add(const char *name, const char *value)
{
    ncr_sigv4_header_t  *h;

    h = &ncr_test_sig.headers[ncr_test_sig.nheaders++];
    h->name = ncr_test_s(name);
    h->value = ncr_test_s(value);
}


/* headers in a wrong order, and with spaces */

static void
ncr_test_set(const ncr_test_case_t *c)
{
    memset(&ncr_test_sig, 0, sizeof(ncr_test_sig));

    ncr_sigv4_date(ncr_test_date, (ncr_msec_t) 1795262400 * 1000);

    ncr_sha256_init(&ncr_test_sha);
    ncr_sha256_update(&ncr_test_sha, NCR_TEST_BODY,
                      sizeof(NCR_TEST_BODY) - 1);
    ncr_sha256_final(&ncr_test_sha, ncr_test_digest);

    ncr_test_sig.method = ncr_test_s("POST");
    ncr_test_sig.path = ncr_test_s(c->path);
    ncr_test_sig.query = ncr_test_s("");
    ncr_test_sig.id = ncr_test_s("AKIDEXAMPLE");
    ncr_test_sig.secret =
        ncr_test_s("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    ncr_test_sig.region = ncr_test_s("us-east-1");
    ncr_test_sig.service = ncr_test_s(c->service);
    ncr_test_sig.date = ncr_test_date;
    ncr_test_sig.digest = ncr_test_digest;

    ncr_test_add("x-amz-date", ncr_test_date);
    ncr_test_add("host", c->host);
    ncr_test_add("content-type", "  application/json ");

    if (c->other) {
        ncr_test_add(c->other, c->value);
    }
}


static ncr_uint_t
ncr_test_hex(const ncr_char_t *digest, const char *text)
{
    ncr_char_t  hex[2 * NCR_SHA256_LEN];

    ncr_hash_hex(hex, digest, NCR_SHA256_LEN);

    return memcmp(hex, text, sizeof(hex)) == 0;
}


static ncr_uint_t
ncr_test_signed(const ncr_test_case_t *c, ncr_sigv4_cache_t *cache)
{
    char        text[512];
    ncr_out_t   out;
    ncr_char_t  buf[512];

    ncr_test_set(c);
    ncr_out_init(&out, buf, sizeof(buf));
    ncr_sigv4_sign(&ncr_test_sig, cache, &ncr_test_sha, &out);

    snprintf(text, sizeof(text), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"
             "20261121/us-east-1/%s/aws4_request, SignedHeaders=%s, "
             "Signature=%s", c->service, c->signed_headers, c->signature);

    return !out.overflow && (size_t) (out.last - buf) == strlen(text)
           && memcmp(buf, text, strlen(text)) == 0;
}


static void
ncr_test_vectors(void)
{
    ncr_char_t              digest[NCR_SHA256_LEN];
    const ncr_test_case_t  *c;

    for (c = ncr_test_cases; c->name; c++) {

        ncr_test_set(c);
        ncr_sigv4_sort(&ncr_test_sig);
        ncr_sigv4_request(&ncr_test_sig, &ncr_test_sha, digest);
        ncr_test(ncr_test_hex(digest, c->request), c->name);

        ncr_test(ncr_test_signed(c, NULL), "its signature");
        ncr_test(ncr_test_signed(c, &ncr_test_cache),
                 "with keys that are kept");
    }

    ncr_test(strcmp(ncr_test_date, "20261121T120000Z") == 0, "the date");
    ncr_test(ncr_test_hex(ncr_test_digest, NCR_TEST_HASH), "the body");

    /* one for each service */

    ncr_test(ncr_test_cache.next == 2, "two keys were made");
}


static void
ncr_test_keys(void)
{
    char                    region[16];
    ncr_uint_t              i;
    ncr_char_t              key[NCR_SHA256_LEN], again[NCR_SHA256_LEN];
    const ncr_test_case_t  *c;

    c = ncr_test_cases;

    ncr_test_set(c);
    ncr_sigv4_derive(&ncr_test_sig, &ncr_test_sha, key);
    ncr_test(ncr_test_hex(key, "dd446040b702e1f7420d49f03a7dcc22af738ce8eff3"
                               "ecfc5fea10eea60fe1d6"), "kSigning of case A");

    ncr_test_sig.secret = ncr_test_s("another");
    ncr_sigv4_key(&ncr_test_sig, &ncr_test_cache, &ncr_test_sha, again);
    ncr_test(memcmp(key, again, sizeof(key)) != 0,
             "another secret of the same id has another key");

    for (i = 0; i < 40; i++) {
        snprintf(region, sizeof(region), "r-%d", (int) i);
        ncr_test_sig.region = ncr_test_s(region);
        ncr_sigv4_key(&ncr_test_sig, &ncr_test_cache, &ncr_test_sha, again);
    }

    ncr_test(ncr_test_signed(c, &ncr_test_cache),
             "after more keys than are kept");
}


/* published by AWS for IAM: a query, a parameter in a type */

static void
ncr_test_published(void)
{
    ncr_char_t  digest[NCR_SHA256_LEN], hex[2 * NCR_SHA256_LEN];

    ncr_test_set(&ncr_test_cases[1]);

    ncr_sha256_init(&ncr_test_sha);
    ncr_sha256_final(&ncr_test_sha, ncr_test_digest);

    ncr_sigv4_date(ncr_test_date, (ncr_msec_t) 1440938160 * 1000);
    ncr_test_sig.method = ncr_test_s("GET");
    ncr_test_sig.path = ncr_test_s("//");
    ncr_test_sig.query =
        ncr_test_s("Action=ListUsers&Version=2010-05-08");
    ncr_test_sig.service = ncr_test_s("iam");
    ncr_test_sig.nheaders = 0;
    ncr_test_add("content-type",
                 "application/x-www-form-urlencoded;   charset=utf-8  ");
    ncr_test_add("host", "iam.amazonaws.com");
    ncr_test_add("x-amz-date", ncr_test_date);

    ncr_sigv4_request(&ncr_test_sig, &ncr_test_sha, digest);
    ncr_test(ncr_test_hex(digest, "f536975d06c0309214f805bb90ccff089219ecd68"
                                  "b2577efef23edd43b7e1a59"),
             "AWS's example: the request, spaces and slashes in runs");

    ncr_sigv4_signature(&ncr_test_sig, NULL, &ncr_test_sha, hex);
    ncr_test(memcmp(hex, "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e0"
                         "6b5924a6f2b5d7", sizeof(hex)) == 0,
             "and its signature");
}


int
main(void)
{
    if (ncr_sha256_create(&ncr_test_sha) != NCR_OK) {
        return 1;
    }

    ncr_test_vectors();
    ncr_test_keys();
    ncr_test_published();

    ncr_sha256_free(&ncr_test_sha);

    return ncr_test_done();
}
