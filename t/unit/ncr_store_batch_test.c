
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/store/ncr_store_copy.c"
#include "ncr_store_test.h"


static ncr_int_t
ncr_test_put(ncr_store_t *store, const char *name, int digest)
{
    uint64_t            version;
    ncr_store_object_t  row;

    memset(&row, 0, sizeof(row));
    snprintf(row.kind, sizeof(row.kind), "key");
    snprintf(row.name, sizeof(row.name), "%s", name);

    row.data = (char *) (uintptr_t) "{}";
    row.has_digest = 1;
    memset(row.digest, digest, sizeof(row.digest));

    version = 0;

    return ncr_store_object_put(store, &row, &version, 1000);
}


static ncr_int_t
ncr_test_has(ncr_store_t *store, const char *name)
{
    ncr_int_t           rc;
    ncr_store_object_t  row;

    rc = ncr_store_object_find(store, "key", name, &row);
    ncr_store_object_free(&row);

    return rc == NCR_OK;
}


static ncr_int_t
ncr_test_account(ncr_store_t *store)
{
    uint64_t             version;
    ncr_store_account_t  row;

    memset(&row, 0, sizeof(row));
    snprintf(row.name, sizeof(row.name), "acc");

    row.settings = (char *) (uintptr_t) "{}";
    row.secret = (char *) (uintptr_t) "";
    row.proxy = row.secret;
    version = 0;

    if (ncr_store_put(store, &row, &version, 1000) != NCR_OK) {
        return NCR_ERROR;
    }

    row.access = (char *) (uintptr_t) "a";
    row.refresh = (char *) (uintptr_t) "r";
    row.scopes = (char *) (uintptr_t) "";
    row.meta = row.scopes;

    return ncr_store_tokens(store, &row, UINT64_MAX, 1000);
}


static void
ncr_test_batch(void)
{
    ncr_store_t          *store;
    ncr_store_account_t   row;

    store = ncr_test_open();

    ncr_test(ncr_store_batch(store) == NCR_OK, "a batch begins");
    ncr_test(ncr_test_put(store, "one", 1) == NCR_OK, "one");
    ncr_test(ncr_test_put(store, "one", 2) == NCR_DECLINED, "a name again");
    ncr_test(strstr(ncr_store_error(store), "has a key") != NULL, "why not");
    ncr_test(ncr_test_put(store, "two", 1) == NCR_DECLINED, "a secret again");
    ncr_test(ncr_test_put(store, "three", 3) == NCR_OK, "another one");
    ncr_test(ncr_test_account(store) == NCR_OK, "an account and its tokens");
    ncr_test(ncr_store_batch_end(store, NCR_OK) == NCR_OK, "it ends");

    ncr_test(ncr_test_has(store, "one") && ncr_test_has(store, "three"),
             "what was good is there");
    ncr_test(!ncr_test_has(store, "two"), "what was declined is not");

    ncr_test(ncr_store_find(store, "acc", &row) == NCR_OK
             && strcmp(row.access, "a") == 0, "nor is the account");
    ncr_store_row_free(&row);

    ncr_test(ncr_store_batch(store) == NCR_OK
             && ncr_test_put(store, "four", 4) == NCR_OK
             && ncr_store_batch_end(store, NCR_ERROR) == NCR_ERROR,
             "a batch that fails");
    ncr_test(!ncr_test_has(store, "four"), "has done nothing");
    ncr_test(ncr_test_put(store, "four", 4) == NCR_OK, "and is over");

    ncr_store_close(store);
}


/* while the file is open, and written to */

static void
ncr_test_copy(void)
{
    int           fd;
    char          copy[160];
    ncr_store_t  *store;

    store = ncr_test_open();

    snprintf(copy, sizeof(copy), "%s/copy.db", ncr_test_dir);

    fd = open(copy, O_RDWR|O_CREAT|O_EXCL, 0600);
    close(fd);

    ncr_test(ncr_store_copy(ncr_test_path, copy, ncr_test_error) == NCR_OK,
             "a copy");
    ncr_test(ncr_test_put(store, "later", 9) == NCR_OK, "a change after it");
    ncr_store_close(store);

    ncr_test(rename(copy, ncr_test_path) == 0, "in place of the file");

    store = ncr_test_open();
    ncr_test(store && ncr_test_has(store, "one"), "it is a store");
    ncr_test(store && !ncr_test_has(store, "later"), "as it was then");
    ncr_store_close(store);

    ncr_test(ncr_store_copy("/nonexistent/x", copy, ncr_test_error)
             == NCR_ERROR && ncr_test_error[0], "of a file that is not there");
}


int
main(void)
{
    ncr_test_begin();

    ncr_test_batch();
    ncr_test_copy();

    ncr_test_end();

    return ncr_test_done();
}
