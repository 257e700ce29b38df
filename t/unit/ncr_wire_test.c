
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_store_test.h"
#include "../../src/store/ncr_wire.c"


static const ncr_char_t  ncr_test_key[NCR_SEAL_KEY] = { 1, 2, 3 };
static const ncr_char_t  ncr_test_other[NCR_SEAL_KEY] = { 3, 2, 1 };

static const char  *ncr_test_why;


static ncr_int_t
ncr_test_read(const ncr_char_t *key, const char *name, const char *text,
    ncr_wire_t *wire)
{
    ncr_str_t  n, t;

    n = ncr_test_s(name);
    t = ncr_test_s(text);

    return ncr_wire_read(key, &n, &t, wire, &ncr_test_why);
}


static ncr_uint_t
ncr_test_bad(const char *name, const char *text)
{
    ncr_int_t   rc;
    ncr_wire_t  wire;

    ncr_test_why = NULL;

    rc = ncr_test_read(ncr_test_key, name, text, &wire);
    ncr_wire_free(&wire);

    return rc == NCR_BAD && ncr_test_why;
}


static void
ncr_test_names(void)
{
    char        text[NCR_STORE_ROW + 8];
    ncr_str_t   s;
    ncr_uint_t  i, good;
    ncr_wire_t  wire;

    static const char *const  bad[] = {
        "", "a", "a/", "b/x", "t/", "ax", "o/", "o/key", "o/key/", "o//x",
        "o/card/x", "o/hook/x", "o/keykeykeykeykeykey/x", "a/x\n", "a/\x7f",
        "A/x", "/a/x",
        "a/0123456789012345678901234567890123456789012345678901234567890123"
    };

    good = 0;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s = ncr_test_s(bad[i]);
        good += (ncr_wire_name(&wire, &s) == NCR_OK);
    }

    ncr_test(good == 0, "names of no rows");

    s = ncr_test_s("a/x y");
    ncr_test(ncr_wire_name(&wire, &s) == NCR_OK && wire.type == 'a'
             && strcmp(wire.account.name, "x y") == 0, "an account");

    s = ncr_test_s("o/limit/per/day");
    ncr_test(ncr_wire_name(&wire, &s) == NCR_OK && wire.type == 'o'
             && strcmp(wire.object.kind, "limit") == 0
             && strcmp(wire.object.name, "per/day") == 0, "a limit");

    memset(text, 'x', sizeof(text));
    memcpy(text, "o/setting/", 10);
    s.data = (ncr_char_t *) text;
    s.len = 10 + 63;
    ncr_test(ncr_wire_name(&wire, &s) == NCR_OK, "a long name");
    s.len++;
    ncr_test(ncr_wire_name(&wire, &s) == NCR_BAD, "one that is too long");
}


static void
ncr_test_orders(void)
{
    ncr_str_t          s, blob;
    ncr_uint_t         i, good;
    ncr_store_order_t  a, b;

    static const char *const  bad[] = {
        "", " ", "1", "1 ", "1 2", "1  2 x", " 1 2 x", "-1 2 x", "1 +2 x",
        "01 2 x", "1 02 x", "99999999999999999999 1 x", "1.5 2 x", "x y z",
        "9223372036854775808 1 x"
    };

    good = 0;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        s = ncr_test_s(bad[i]);

        if (ncr_wire_order(&s, &a, &blob) == NCR_OK) {
            printf("# \"%s\"\n", bad[i]);
            good++;
        }
    }

    ncr_test(good == 0, "orders that are none");

    s = ncr_test_s("3 4611686018427387904 blob of it");
    ncr_test(ncr_wire_order(&s, &a, &blob) == NCR_OK && a.version == 3
             && a.tie == (uint64_t) 1 << 62 && ncr_test_str(blob, "blob of it"),
             "an order");
    b = a;
    ncr_test(!ncr_wire_newer(&a, &b), "the same is not newer");
    b.tie--;
    ncr_test(ncr_wire_newer(&a, &b) && !ncr_wire_newer(&b, &a), "a tie");
    b.version++;
    ncr_test(!ncr_wire_newer(&a, &b) && ncr_wire_newer(&b, &a), "a version");
}


static void
ncr_test_account(ncr_store_t *store)
{
    char                 *text, *other;
    size_t                len;
    uint64_t              version;
    ncr_wire_t            wire, got;
    ncr_store_account_t   row;

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "alice");
    row.settings = (char *) (uintptr_t) "{\"pool\":[\"a\"],\"x\":\"\\u00fc\"}";
    row.secret = (char *) (uintptr_t) "sk-secret\"\\\n\x01\xc3\xbc";
    row.proxy = (char *) (uintptr_t) "http://u:p@h:1";
    version = 0;
    (void) ncr_store_put(store, &row, &version, 1700000000123);

    row.access = (char *) (uintptr_t) "at";
    row.refresh = (char *) (uintptr_t) "rt";
    row.scopes = (char *) (uintptr_t) "a b";
    row.meta = (char *) (uintptr_t) "{\"email\":\"x@y\"}";
    row.granted = 1700000000456;
    row.expires = 1700000009999;
    (void) ncr_store_tokens(store, &row, UINT64_MAX, 1700000000456);

    ncr_test(ncr_wire_find(store, "a/alice", &wire) == NCR_OK
             && wire.order.version == 1, "find");
    text = ncr_wire_write(ncr_test_key, &wire, "n1", &len);
    ncr_test(text && strlen(text) == len && strncmp(text, "1 ", 2) == 0
             && strstr(text, "secret") == NULL, "write");

    ncr_test(ncr_test_read(ncr_test_key, "a/alice", text, &got) == NCR_OK
             && strcmp(got.account.secret, row.secret) == 0
             && strcmp(got.account.settings, row.settings) == 0
             && strcmp(got.account.proxy, row.proxy) == 0
             && got.account.created == 1700000000123
             && got.account.updated == 1700000000123
             && got.account.version == 1
             && got.order.tie == wire.order.tie, "and read");
    ncr_test(got.account.access == NULL && got.account.meta == NULL,
             "without tokens");
    ncr_wire_free(&got);

    ncr_test(ncr_test_bad("a/bob", text), "as another's");
    ncr_test(ncr_test_bad("t/alice", text), "as tokens");
    ncr_test(ncr_test_read(ncr_test_other, "a/alice", text, &got) == NCR_BAD,
             "with another key");
    ncr_wire_free(&got);

    text[0] = '2';
    ncr_test(ncr_test_bad("a/alice", text)
             && strstr(ncr_test_why, "not the one that was sealed"),
             "as another version");
    text[0] = '1';
    text[2] = (text[2] == '1') ? '2' : '1';
    ncr_test(ncr_test_bad("a/alice", text), "with another tie");

    other = strrchr(text, ' ') + 5;
    *other = (*other == 'A') ? 'B' : 'A';
    ncr_test(ncr_test_bad("a/alice", text)
             && strstr(ncr_test_why, "damaged"), "damaged");
    ncr_test(ncr_test_bad("a/alice", "1 1 ****"), "no base64url");
    ncr_test(ncr_test_bad("a/alice", "1 1 "), "no blob");
    free(text);
    ncr_wire_free(&wire);

    ncr_test(ncr_wire_find(store, "t/alice", &wire) == NCR_OK, "its tokens");
    text = ncr_wire_write(ncr_test_key, &wire, "n1", &len);
    ncr_test(ncr_test_read(ncr_test_key, "t/alice", text, &got) == NCR_OK
             && strcmp(got.account.access, "at") == 0
             && strcmp(got.account.refresh, "rt") == 0
             && strcmp(got.account.scopes, "a b") == 0
             && strcmp(got.account.meta, row.meta) == 0
             && strcmp(got.account.holder, "n1") == 0
             && strcmp(got.account.settings, "") == 0
             && got.account.granted == 1700000000456
             && got.account.secret == NULL && !got.account.conf,
             "and nothing of its settings");
    ncr_test(ncr_wire_merge(store, &got) == NCR_DECLINED, "no news");
    ncr_wire_free(&got);
    ncr_wire_free(&wire);
    free(text);

    (void) ncr_store_remove(store, "alice", UINT64_MAX, 1700000001000);
    (void) ncr_wire_find(store, "a/alice", &wire);
    text = ncr_wire_write(ncr_test_key, &wire, "n1", &len);
    ncr_test(ncr_test_read(ncr_test_key, "a/alice", text, &got) == NCR_OK
             && got.account.removed && got.account.version == 2
             && got.account.tokens == 2, "a tombstone");
    ncr_wire_free(&got);
    ncr_wire_free(&wire);
    free(text);

    (void) ncr_wire_find(store, "t/alice", &wire);
    text = ncr_wire_write(ncr_test_key, &wire, "n1", &len);
    ncr_test(ncr_test_read(ncr_test_key, "t/alice", text, &got) == NCR_OK
             && got.account.tokens == 2 && ncr_store_bare(&got.account),
             "tokens that are gone");
    ncr_wire_free(&got);
    ncr_wire_free(&wire);
    free(text);
}


static void
ncr_test_conf(ncr_store_t *store)
{
    char                 *text;
    size_t                len;
    uint64_t              id, version;
    ncr_wire_t            wire, got;
    ncr_store_account_t   row;

    (void) ncr_store_adopt(store, "c", &id, 1000);

    ncr_test(ncr_wire_find(store, "a/c", &wire) == NCR_DECLINED
             && ncr_wire_find(store, "t/c", &wire) == NCR_DECLINED,
             "an account of nginx.conf is not told");

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "c");
    row.conf = 1;
    row.settings = (char *) (uintptr_t) "{\"seed\":\"x\"}";
    row.access = (char *) (uintptr_t) "at";
    row.refresh = (char *) (uintptr_t) "";
    row.holder = (char *) (uintptr_t) "n9";
    (void) ncr_store_tokens(store, &row, UINT64_MAX, 1000);
    version = UINT64_MAX;
    (void) ncr_store_put(store, &row, &version, 1000);

    (void) ncr_wire_find(store, "t/c", &wire);
    text = ncr_wire_write(ncr_test_key, &wire, "n1", &len);
    ncr_test(ncr_test_read(ncr_test_key, "t/c", text, &got) == NCR_OK
             && got.account.conf && strcmp(got.account.holder, "n9") == 0
             && strcmp(got.account.settings, row.settings) == 0,
             "but its tokens are, with what they began with");
    ncr_wire_free(&got);
    ncr_wire_free(&wire);
    free(text);
}


static void
ncr_test_object(ncr_store_t *store)
{
    char                *text;
    size_t               len;
    uint64_t             version, seq;
    ncr_wire_t           wire, got;
    ncr_store_object_t   row;

    memset(&row, 0, sizeof(row));
    snprintf(row.kind, sizeof(row.kind), "key");
    snprintf(row.name, sizeof(row.name), "k");
    snprintf(row.prefix, sizeof(row.prefix), "cr_abc");
    memset(row.digest, 0xa7, 32);
    row.digest[31] = 0x0f;
    row.has_digest = 1;
    row.data = (char *) (uintptr_t) "{\"enabled\":true}";
    version = 0;
    (void) ncr_store_object_put(store, &row, &version, 1000);

    (void) ncr_wire_find(store, "o/key/k", &wire);
    text = ncr_wire_write(ncr_test_key, &wire, "n1", &len);
    ncr_test(ncr_test_read(ncr_test_key, "o/key/k", text, &got) == NCR_OK
             && memcmp(got.object.digest, row.digest, 32) == 0
             && got.object.has_digest
             && strcmp(got.object.prefix, "cr_abc") == 0
             && strcmp(got.object.data, row.data) == 0, "a key");
    ncr_test(ncr_wire_merge(store, &got) == NCR_DECLINED, "is no news");
    got.object.version = 2;
    ncr_test(ncr_wire_merge(store, &got) == NCR_OK, "a newer one is");
    ncr_wire_free(&got);
    ncr_wire_free(&wire);
    free(text);

    (void) ncr_store_object_remove(store, "key", "k", UINT64_MAX, 2000, &seq);
    (void) ncr_wire_find(store, "o/key/k", &wire);
    text = ncr_wire_write(ncr_test_key, &wire, "n1", &len);
    ncr_test(ncr_test_read(ncr_test_key, "o/key/k", text, &got) == NCR_OK
             && got.object.removed && !got.object.has_digest
             && got.object.version == 3, "its tombstone");
    ncr_wire_free(&got);
    ncr_wire_free(&wire);
    free(text);

    ncr_test(ncr_wire_find(store, "o/key/none", &wire) == NCR_DECLINED,
             "none");
}


/* what was sealed under the right key may still be wrong */

static void
ncr_test_hostile(void)
{
    char        *text;
    size_t       i, len, good;
    ncr_str_t    name;
    ncr_wire_t   wire;

    static const char *const  bad[] = {
        "", "[]", "{}", "1", "{\"version\":1}",
        "{\"version\":0,\"created\":1,\"updated\":1,\"activated\":0}",
        "{\"version\":-1,\"created\":1,\"updated\":1,\"activated\":0}",
        "{\"version\":1e300,\"created\":1,\"updated\":1,\"activated\":0}",
        "{\"version\":\"1\",\"created\":1,\"updated\":1,\"activated\":0}",
        "{\"version\":1,\"created\":1,\"updated\":1}",
        "{\"version\":1,\"created\":1,\"updated\":1,\"activated\":0,"
            "\"data\":{}}",
        "{\"version\":1,\"created\":1,\"updated\":1,\"activated\":0,"
            "\"digest\":\"00\",\"prefix\":\"\"}",
        "{\"version\":1,\"created\":1,\"updated\":1,\"activated\":0,"
            "\"digest\":\"zz00000000000000000000000000000000000000000000000000"
            "000000000000\",\"prefix\":\"\"}",
        "{\"version\":1,\"created\":1,\"updated\":1,\"activated\":0,"
            "\"digest\":\"0000000000000000000000000000000000000000000000000000"
            "000000000000\",\"prefix\":\"0123456789ab\"}",
        "{\"version\":1,\"created\":1,\"updated\":1,\"activated\":0,"
            "\"digest\":\"0000000000000000000000000000000000000000000000000000"
            "000000000000\",\"prefix\":7}"
    };

    good = 0;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        name = ncr_test_s("o/key/k");
        (void) ncr_wire_name(&wire, &name);
        wire.order.version = 1;

        text = ncr_wire_seal(ncr_test_key, &wire, bad[i], &len);
        good += !ncr_test_bad("o/key/k", text);
        free(text);
    }

    ncr_test(good == 0, "what is not a row, in a blob that can be opened");
}


int
main(void)
{
    ncr_store_t  *store;

    ncr_test_begin();

    store = ncr_test_open();

    ncr_test_names();
    ncr_test_orders();
    ncr_test_account(store);
    ncr_test_conf(store);
    ncr_test_object(store);
    ncr_test_hostile();

    ncr_store_close(store);
    ncr_test_end();

    return ncr_test_done();
}
