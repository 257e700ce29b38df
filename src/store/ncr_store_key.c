
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The envelope.  A random data key seals the secrets, the operator's key
 * seals the data key.  Rows of "meta":
 *
 *   kdf    "file", or "scrypt" for a passphrase
 *   salt   of the latter
 *   key    the data key, sealed
 *   check  a known text, sealed under the data key
 *
 * A handle remembers "key" as it was; it is compared in each transaction.
 */


#include "ncr_store_int.h"


#define NCR_STORE_CHECK  "claude-relay store"

#define NCR_STORE_KDF    16


typedef struct {
    char        kdf[NCR_STORE_KDF];
    ncr_char_t  salt[NCR_SEAL_SALT];
    ncr_char_t  key[NCR_STORE_SEALED_KEY];
    ncr_char_t  check[sizeof(NCR_STORE_CHECK) - 1 + NCR_SEAL_EXTRA];
} ncr_store_seal_t;


static ncr_seal_place_t  ncr_store_key_place = { "meta", "key", "value" };
static ncr_seal_place_t  ncr_store_check_place = { "meta", "check", "value" };


static ncr_int_t ncr_store_key_operator(ncr_store_t *store, ncr_str_t *key,
    ncr_str_t *passphrase, const ncr_char_t *salt, ncr_char_t *result);
static ncr_int_t ncr_store_key_read(ncr_store_t *store,
    ncr_store_seal_t *seal);
static ncr_int_t ncr_store_key_unseal(ncr_store_t *store,
    const ncr_char_t *operator, ncr_char_t *check);
static ncr_int_t ncr_store_meta_get(ncr_store_t *store, const char *name,
    void *buf, size_t size, size_t *len);
static ncr_int_t ncr_store_meta_put(ncr_store_t *store, const char *name,
    const void *value, size_t len);
static ncr_int_t ncr_store_reseal(ncr_store_t *store, const ncr_char_t *old);


ncr_int_t
ncr_store_key_make(ncr_store_t *store, ncr_str_t *key, ncr_str_t *passphrase)
{
    ncr_str_t    plain;
    ncr_int_t    rc;
    const char  *kdf;
    ncr_char_t   salt[NCR_SEAL_SALT], operator[NCR_SEAL_KEY];
    ncr_char_t   check[sizeof(NCR_STORE_CHECK) - 1 + NCR_SEAL_EXTRA];

    if (ncr_seal_random(salt, NCR_SEAL_SALT) != NCR_OK
        || ncr_seal_random(store->key, NCR_SEAL_KEY) != NCR_OK)
    {
        return ncr_store_say(store, "cannot be sealed: no random numbers");
    }

    rc = ncr_store_key_operator(store, key, passphrase, salt, operator);

    if (rc != NCR_OK) {
        return rc;
    }

    plain.data = store->key;
    plain.len = NCR_SEAL_KEY;

    rc = ncr_seal(operator, &ncr_store_key_place, &plain, store->sealed);

    ncr_seal_forget(operator, sizeof(operator));

    ncr_str_set(&plain, NCR_STORE_CHECK);

    if (rc != NCR_OK
        || ncr_seal(store->key, &ncr_store_check_place, &plain, check)
           != NCR_OK)
    {
        return ncr_store_say(store, "cannot be sealed");
    }

    kdf = key->data ? "file" : "scrypt";

    if (ncr_store_meta_put(store, "kdf", kdf, strlen(kdf)) != NCR_OK
        || ncr_store_meta_put(store, "salt", salt, sizeof(salt)) != NCR_OK
        || ncr_store_meta_put(store, "check", check, sizeof(check)) != NCR_OK)
    {
        return NCR_ERROR;
    }

    return ncr_store_meta_put(store, "key", store->sealed,
                              NCR_STORE_SEALED_KEY);
}


/* what the operator gave, as 32 bytes */

static ncr_int_t
ncr_store_key_operator(ncr_store_t *store, ncr_str_t *key,
    ncr_str_t *passphrase, const ncr_char_t *salt, ncr_char_t *result)
{
    char         text[NCR_STORE_ERROR];
    const char  *err;

    if (key->data) {
        err = ncr_seal_key_parse(key, result);

        if (err) {
            snprintf(text, sizeof(text), "cannot be used with this key file:"
                     " %s", err);

            return ncr_store_say(store, text);
        }

        return NCR_OK;
    }

    if (passphrase->data == NULL || passphrase->len == 0) {
        return ncr_store_say(store, "needs a key file or a passphrase");
    }

    if (ncr_seal_key_scrypt(passphrase, salt, result) != NCR_OK) {
        return ncr_store_say(store, "cannot be used: no memory for scrypt");
    }

    return NCR_OK;
}


ncr_int_t
ncr_store_key_open(ncr_store_t *store, ncr_store_options_t *options)
{
    ncr_int_t         rc;
    ncr_char_t        operator[NCR_SEAL_KEY];
    ncr_store_seal_t  seal;

    rc = ncr_store_key_read(store, &seal);

    if (rc != NCR_OK) {
        return rc;
    }

    memcpy(store->sealed, seal.key, NCR_STORE_SEALED_KEY);

    if (options->key.data == NULL && options->passphrase.len
        && strcmp(seal.kdf, "file") == 0)
    {
        (void) ncr_store_say(store, "is sealed under a key file, not under a"
                             " passphrase");
        return NCR_STORE_KEY;
    }

    if (options->key.data && strcmp(seal.kdf, "scrypt") == 0) {
        (void) ncr_store_say(store, "is sealed under a passphrase, not under"
                             " a key file");
        return NCR_STORE_KEY;
    }

    rc = ncr_store_key_operator(store, &options->key, &options->passphrase,
                                seal.salt, operator);

    if (rc == NCR_OK) {
        rc = ncr_store_key_unseal(store, operator, seal.check);

        ncr_seal_forget(operator, sizeof(operator));
    }

    return rc;
}


/* in a transaction, or another process's rekey might come between them */

static ncr_int_t
ncr_store_key_read(ncr_store_t *store, ncr_store_seal_t *seal)
{
    size_t     kdf, salt, check, key;
    ncr_int_t  rc;

    rc = ncr_store_exec(store, "BEGIN");

    if (rc != NCR_OK) {
        return rc;
    }

    memset(seal, 0, sizeof(ncr_store_seal_t));

    if (ncr_store_meta_get(store, "kdf", seal->kdf, sizeof(seal->kdf) - 1,
                           &kdf)
        != NCR_OK
        || ncr_store_meta_get(store, "salt", seal->salt, sizeof(seal->salt),
                              &salt)
           != NCR_OK
        || ncr_store_meta_get(store, "key", seal->key, sizeof(seal->key),
                              &key)
           != NCR_OK
        || ncr_store_meta_get(store, "check", seal->check,
                              sizeof(seal->check), &check)
           != NCR_OK)
    {
        return ncr_store_read_end(store, NCR_ERROR);
    }

    if (salt != sizeof(seal->salt) || key != sizeof(seal->key)
        || check != sizeof(seal->check))
    {
        rc = ncr_store_say(store, "is corrupt: its key is damaged");
    }

    return ncr_store_read_end(store, rc);
}


static ncr_int_t
ncr_store_key_unseal(ncr_store_t *store, const ncr_char_t *operator,
    ncr_char_t *check)
{
    ncr_str_t   sealed;
    ncr_char_t  text[sizeof(NCR_STORE_CHECK) - 1];

    sealed.data = store->sealed;
    sealed.len = NCR_STORE_SEALED_KEY;

    if (ncr_seal_open(operator, &ncr_store_key_place, &sealed, store->key)
        != NCR_OK)
    {
        (void) ncr_store_say(store, "is sealed under another key");
        return NCR_STORE_KEY;
    }

    sealed.data = check;
    sealed.len = sizeof(text) + NCR_SEAL_EXTRA;

    if (ncr_seal_open(store->key, &ncr_store_check_place, &sealed, text)
        != NCR_OK
        || memcmp(text, NCR_STORE_CHECK, sizeof(text)) != 0)
    {
        (void) ncr_store_say(store, "has a data key that is not the one its"
                             " secrets are sealed under");
        return NCR_STORE_KEY;
    }

    return NCR_OK;
}


ncr_int_t
ncr_store_key_same(ncr_store_t *store)
{
    size_t      len;
    ncr_int_t   rc;
    ncr_char_t  sealed[NCR_STORE_SEALED_KEY];

    rc = ncr_store_meta_get(store, "key", sealed, sizeof(sealed), &len);

    if (rc != NCR_OK) {
        return rc;
    }

    if (len != sizeof(sealed)
        || memcmp(sealed, store->sealed, sizeof(sealed)) != 0)
    {
        (void) ncr_store_say(store, "was sealed under another key meanwhile");
        return NCR_STORE_KEY;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_store_meta_get(ncr_store_t *store, const char *name, void *buf,
    size_t size, size_t *len)
{
    ncr_int_t      rc;
    const void    *p;
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_META);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);

    switch (sqlite3_step(stmt)) {

    case SQLITE_ROW:
        p = sqlite3_column_blob(stmt, 0);
        *len = (size_t) sqlite3_column_bytes(stmt, 0);

        if (p == NULL || *len > size) {
            rc = ncr_store_say(store, "is corrupt: its key is damaged");
            break;
        }

        memcpy(buf, p, *len);
        rc = NCR_OK;
        break;

    case SQLITE_DONE:
        rc = ncr_store_say(store, "is corrupt: its key is missing");
        break;

    default:
        rc = ncr_store_fail(store);
        break;
    }

    sqlite3_reset(stmt);

    return rc;
}


static ncr_int_t
ncr_store_meta_put(ncr_store_t *store, const char *name, const void *value,
    size_t len)
{
    sqlite3_stmt  *stmt;

    stmt = ncr_store_stmt(store, NCR_STORE_SQL_META_PUT);

    if (stmt == NULL) {
        return ncr_store_fail(store);
    }

    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_blob64(stmt, 2, value, len, SQLITE_STATIC);

    return ncr_store_run(store, stmt);
}


ncr_int_t
ncr_store_seal(ncr_store_t *store, sqlite3_stmt *stmt, int column,
    ncr_seal_place_t *place, const char *text)
{
    ncr_str_t    plain;
    ncr_char_t  *sealed;

    if (text == NULL || text[0] == '\0') {
        sqlite3_bind_null(stmt, column);
        return NCR_OK;
    }

    plain.len = strlen(text);
    plain.data = (ncr_char_t *) (uintptr_t) text;

    sealed = malloc(plain.len + NCR_SEAL_EXTRA);

    if (sealed == NULL) {
        return ncr_store_say(store, "cannot be written: out of memory");
    }

    if (ncr_seal(store->key, place, &plain, sealed) != NCR_OK) {
        free(sealed);
        return ncr_store_say(store, "cannot be written: a secret cannot be"
                             " sealed");
    }

    /* frees it in any case */

    if (sqlite3_bind_blob64(stmt, column, sealed, plain.len + NCR_SEAL_EXTRA,
                            free)
        != SQLITE_OK)
    {
        return ncr_store_fail(store);
    }

    return NCR_OK;
}


ncr_int_t
ncr_store_unseal(ncr_store_t *store, sqlite3_stmt *stmt, int column,
    ncr_seal_place_t *place, char **text)
{
    char        message[NCR_STORE_ERROR];
    size_t      len;
    ncr_str_t   sealed;
    const void *p;

    if (sqlite3_column_type(stmt, column) == SQLITE_NULL) {
        *text = ncr_store_dup("", 0);

        return *text ? NCR_OK
                     : ncr_store_say(store, "cannot be read: out of memory");
    }

    p = sqlite3_column_blob(stmt, column);

    sealed.data = (ncr_char_t *) (uintptr_t) p;
    sealed.len = (size_t) sqlite3_column_bytes(stmt, column);

    if (p == NULL || sealed.len < NCR_SEAL_EXTRA) {
        goto bad;
    }

    len = sealed.len - NCR_SEAL_EXTRA;
    *text = malloc(len + 1);

    if (*text == NULL) {
        return ncr_store_say(store, "cannot be read: out of memory");
    }

    if (ncr_seal_open(store->key, place, &sealed, (ncr_char_t *) *text)
        == NCR_OK)
    {
        (*text)[len] = '\0';
        return NCR_OK;
    }

    free(*text);
    *text = NULL;

bad:

    snprintf(message, sizeof(message), "has a secret that was changed or"
             " moved: \"%s\" of row %.40s of \"%s\"",
             place->column, place->row, place->table);

    return ncr_store_say(store, message);
}


ncr_int_t
ncr_store_rekey(ncr_store_t *store, ncr_str_t *key, ncr_str_t *passphrase)
{
    ncr_int_t    rc;
    ncr_str_t    none;
    ncr_char_t   old[NCR_SEAL_KEY], sealed[NCR_STORE_SEALED_KEY];

    ncr_str_null(&none);

    rc = ncr_store_write(store);

    if (rc != NCR_OK) {
        return rc;
    }

    memcpy(old, store->key, sizeof(old));
    memcpy(sealed, store->sealed, sizeof(sealed));

    rc = ncr_store_key_make(store, key ? key : &none,
                            passphrase ? passphrase : &none);

    if (rc == NCR_OK) {
        rc = ncr_store_reseal(store, old);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_login_reseal(store, old);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_person_reseal(store, old);
    }

    if (rc == NCR_OK) {
        rc = ncr_store_hook_reseal(store, old);
    }

    rc = ncr_store_write_end(store, rc);

    if (rc != NCR_OK) {
        memcpy(store->key, old, sizeof(old));
        memcpy(store->sealed, sealed, sizeof(sealed));
    }

    ncr_seal_forget(old, sizeof(old));

    return rc;
}


/* each row is read under the old key and written under the new one */

static ncr_int_t
ncr_store_reseal(ncr_store_t *store, const ncr_char_t *old)
{
    ncr_int_t            rc;
    uint64_t             id;
    ncr_char_t           key[NCR_SEAL_KEY];
    ncr_store_account_t  row;

    memcpy(key, store->key, sizeof(key));

    id = 0;

    do {
        memcpy(store->key, old, sizeof(key));

        rc = ncr_store_row_id(store, NCR_STORE_SQL_AFTER_ID, id, &row);

        memcpy(store->key, key, sizeof(key));

        if (rc == NCR_OK) {
            id = row.id;
            rc = ncr_store_row_write(store, &row);

            ncr_store_row_free(&row);
        }

    } while (rc == NCR_OK);

    ncr_seal_forget(key, sizeof(key));

    return (rc == NCR_DECLINED) ? NCR_OK : rc;
}
