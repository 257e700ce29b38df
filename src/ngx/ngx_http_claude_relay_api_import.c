
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The course of an import.  Nothing of it is done in one go: the loop, and
 * the store's thread, see to others in between.
 */


#include "ngx_http_claude_relay_import.h"


/* items of one job, of one transaction, of one turn of the loop */
#define NGX_HTTP_CLAUDE_RELAY_IMPORT_LOOKS   100
#define NGX_HTTP_CLAUDE_RELAY_IMPORT_WRITES  50
#define NGX_HTTP_CLAUDE_RELAY_IMPORT_CHECKS  16


static void ngx_http_claude_relay_import_free(void *data);
static void ngx_http_claude_relay_import_work(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ngx_int_t ngx_http_claude_relay_import_body(
    ngx_http_claude_relay_import_t *im);
static ngx_int_t ngx_http_claude_relay_import_options(
    ngx_http_claude_relay_import_t *im, cJSON **values);
static ngx_int_t ngx_http_claude_relay_import_flag(
    ngx_http_claude_relay_import_t *im, cJSON *value, const char *name,
    ngx_uint_t *flag);
static ngx_int_t ngx_http_claude_relay_import_wrong(
    ngx_http_claude_relay_import_t *im, const char *what, const char *wrong);
static ngx_int_t ngx_http_claude_relay_import_doc(
    ngx_http_claude_relay_import_t *im);
static ngx_int_t ngx_http_claude_relay_import_unseal(
    ngx_http_claude_relay_import_t *im);
static ngx_int_t ngx_http_claude_relay_import_open(
    ngx_http_claude_relay_import_t *im, u_char *key);
static void ngx_http_claude_relay_import_read(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_import_looking(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_import_look_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_import_checking(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_import_checked(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_import_writing(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_import_write_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_import_written(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_import_settled(
    ngx_http_claude_relay_call_t *call);
static void ngx_http_claude_relay_import_answer(
    ngx_http_claude_relay_call_t *call);


static const char *const  ngx_http_claude_relay_import_results[] = {
    "made", "replaced", "skipped", "refused"
};


void
ngx_http_claude_relay_api_import(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_claude_relay_import_t  *im;

    im = ngx_pcalloc(call->pool, sizeof(ngx_http_claude_relay_import_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (im == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    cln->handler = ngx_http_claude_relay_import_free;
    cln->data = im;

    im->call = call;
    call->data = im;

    call->job.run = ngx_http_claude_relay_import_work;
    call->next = ngx_http_claude_relay_import_read;

    if (ngx_http_claude_relay_work_post(&call->job) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "this worker is leaving");
    }
}


static void
ngx_http_claude_relay_import_free(void *data)
{
    ngx_http_claude_relay_import_t *im = data;

    ngx_uint_t  i;

    for (i = 0; i < im->n; i++) {
        ngx_http_claude_relay_import_drop(&im->items[i]);
    }

    if (im->port) {
        ncr_port_free(im->port);
        ngx_free(im->port);
    }

    ncr_port_forget(im->own);
    cJSON_Delete(im->own);
}


/* in the thread for work */

static void
ngx_http_claude_relay_import_work(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ngx_http_claude_relay_import_t  *im;

    im = call->data;
    job->rc = NCR_OK;

    if (ngx_http_claude_relay_import_body(im) == NGX_OK
        && ngx_http_claude_relay_import_doc(im) == NGX_OK
        && ngx_http_claude_relay_import_unseal(im) == NGX_OK)
    {
        ngx_http_claude_relay_import_items(im);
    }
}


static ngx_int_t
ngx_http_claude_relay_import_wrong(ngx_http_claude_relay_import_t *im,
    const char *what, const char *wrong)
{
    im->status = NGX_HTTP_BAD_REQUEST;

    (void) ngx_snprintf(im->error, sizeof(im->error), "%s%s%Z", what, wrong);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_claude_relay_import_body(ngx_http_claude_relay_import_t *im)
{
    cJSON       *item, *values[8];
    ngx_uint_t   i;
    const char  *wrong;

    static const char *const  names[] = {
        "document", "format", "passphrase", "conflict", "dry_run", "pool",
        "crs_encryption_key", "new_secrets", NULL
    };

    im->call->body = ngx_http_claude_relay_doc_parse(&im->call->text, &wrong);

    if (im->call->body == NULL) {
        return ngx_http_claude_relay_import_wrong(im, "the body: ", wrong);
    }

    ngx_memzero(values, sizeof(values));

    cJSON_ArrayForEach(item, im->call->body) {

        for (i = 0; names[i]; i++) {
            if (ngx_strcmp(names[i], item->string) == 0) {
                break;
            }
        }

        if (names[i] == NULL) {
            return ngx_http_claude_relay_import_wrong(im, "",
                         "the body takes \"document\", \"format\", "
                         "\"passphrase\", \"conflict\", \"dry_run\", "
                         "\"pool\", \"crs_encryption_key\" and "
                         "\"new_secrets\" only");
        }

        values[i] = cJSON_IsNull(item) ? NULL : item;
    }

    im->document = values[0];

    if (!cJSON_IsObject(im->document) && !cJSON_IsString(im->document)) {
        return ngx_http_claude_relay_import_wrong(im, "",
                         "\"document\" must be an object or a text");
    }

    return ngx_http_claude_relay_import_options(im, values);
}


static ngx_int_t
ngx_http_claude_relay_import_options(ngx_http_claude_relay_import_t *im,
    cJSON **values)
{
    ngx_str_t    pool;
    const char  *wrong, *text;

    text = cJSON_IsString(values[1]) ? values[1]->valuestring : "";

    if (values[1] && ngx_strcmp(text, "auto") != 0) {

        if (ngx_strcmp(text, "claude-relay") != 0
            && ngx_strcmp(text, "crs") != 0 && ngx_strcmp(text, "rs") != 0
            && ngx_strcmp(text, "pluribus") != 0)
        {
            return ngx_http_claude_relay_import_wrong(im, "",
                         "\"format\" must be \"auto\", \"claude-relay\", "
                         "\"crs\", \"rs\" or \"pluribus\"");
        }

        im->format = text;
    }

    if (ngx_http_claude_relay_port_passphrase(values[2], &im->passphrase,
                                              &wrong)
        != NGX_OK)
    {
        return ngx_http_claude_relay_import_wrong(im, "", wrong);
    }

    text = cJSON_IsString(values[3]) ? values[3]->valuestring : "";

    im->replace = (ngx_strcmp(text, "replace") == 0);
    im->fail = (ngx_strcmp(text, "fail") == 0);

    if (values[3] && !im->replace && !im->fail
        && ngx_strcmp(text, "skip") != 0)
    {
        return ngx_http_claude_relay_import_wrong(im, "",
                         "\"conflict\" must be \"skip\", \"replace\" or "
                         "\"fail\"");
    }

    if (values[5]) {
        pool.data = (u_char *) (cJSON_IsString(values[5])
                                ? values[5]->valuestring : "");
        pool.len = ngx_strlen(pool.data);

        if (!ngx_http_claude_relay_valid_name(&pool)) {
            return ngx_http_claude_relay_import_wrong(im, "",
                         "\"pool\" must be a name");
        }

        im->pool = (char *) pool.data;
    }

    if (values[6]) {

        if (!cJSON_IsString(values[6])
            || ngx_strlen(values[6]->valuestring) > 1024)
        {
            return ngx_http_claude_relay_import_wrong(im, "",
                         "\"crs_encryption_key\" must be a text");
        }

        im->crs_key.data = (u_char *) values[6]->valuestring;
        im->crs_key.len = ngx_strlen(values[6]->valuestring);
    }

    if (ngx_http_claude_relay_import_flag(im, values[4], "dry_run", &im->dry)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_claude_relay_import_flag(im, values[7], "new_secrets",
                                             &im->fresh);
}


static ngx_int_t
ngx_http_claude_relay_import_flag(ngx_http_claude_relay_import_t *im,
    cJSON *value, const char *name, ngx_uint_t *flag)
{
    if (value && !cJSON_IsBool(value)) {
        return ngx_http_claude_relay_import_wrong(im, name,
                                                  " must be true or false");
    }

    *flag = (value && cJSON_IsTrue(value));

    return NGX_OK;
}


/* whatever it is, it becomes a document of ours */

static ngx_int_t
ngx_http_claude_relay_import_doc(ngx_http_claude_relay_import_t *im)
{
    u_char      *p;
    cJSON       *version;
    ngx_str_t    text;
    const char  *wrong;

    if (cJSON_IsString(im->document)) {

        for (p = (u_char *) im->document->valuestring;
             *p == ' ' || *p == '\t' || *p == CR || *p == LF; p++)
        {
            /* void */
        }

        if (*p == '{') {
            text.data = p;
            text.len = ngx_strlen(p);

            im->own = ncr_port_json(ncr(&text), &wrong);

            if (im->own == NULL) {
                return ngx_http_claude_relay_import_wrong(im,
                                                  "\"document\": ", wrong);
            }

            im->document = im->own;
        }
    }

    if (im->format == NULL) {
        im->format = ncr_port_format(im->document);
    }

    if (im->format == NULL) {
        return ngx_http_claude_relay_import_wrong(im, "\"document\"",
                         " is of no format that is known here");
    }

    if (ngx_strcmp(im->format, "claude-relay") == 0) {

        version = cJSON_GetObjectItemCaseSensitive(im->document, "version");

        if (!cJSON_IsNumber(version)
            || version->valueint != NGX_HTTP_CLAUDE_RELAY_PORT_VERSION)
        {
            return ngx_http_claude_relay_import_wrong(im, "\"document\"",
                         " has no \"version\", or one that is not 1");
        }

        im->doc = im->document;
        return NGX_OK;
    }

    im->port = ngx_calloc(sizeof(ncr_port_t), ngx_cycle->log);

    if (im->port == NULL) {
        return ngx_http_claude_relay_import_wrong(im, "", "no memory");
    }

    im->port->crs_key = *ncr(&im->crs_key);
    im->port->now = ngx_http_claude_relay_now();

    wrong = ncr_port_read(im->port, im->format, im->document);

    if (wrong) {
        return ngx_http_claude_relay_import_wrong(im, "\"document\": ",
                                                  wrong);
    }

    im->doc = im->port->doc;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_import_unseal(ngx_http_claude_relay_import_t *im)
{
    u_char       salt[64], key[NCR_SEAL_KEY];
    size_t       n;
    cJSON       *sealed, *check, *opened, *value, *kdf;
    ngx_int_t    rc;

    sealed = cJSON_GetObjectItemCaseSensitive(im->doc, "sealed");

    if (sealed == NULL || im->passphrase.len == 0) {
        return NGX_OK;
    }

    kdf = cJSON_GetObjectItemCaseSensitive(sealed, "kdf");
    value = cJSON_GetObjectItemCaseSensitive(sealed, "salt");
    check = cJSON_GetObjectItemCaseSensitive(sealed, "check");

    if (!cJSON_IsString(value) || !cJSON_IsString(check)
        || !cJSON_IsString(kdf)
        || ngx_strcmp(kdf->valuestring, "scrypt-15-8-1") != 0
        || ngx_strlen(value->valuestring) > sizeof(salt)
        || ncr_base64url_decode(salt, &n, value->valuestring,
                                ngx_strlen(value->valuestring))
           != NCR_OK
        || n != NCR_SEAL_SALT)
    {
        return ngx_http_claude_relay_import_wrong(im, "\"document\"",
                         " is sealed in a way that is not known here");
    }

    if (ngx_http_claude_relay_port_key(&im->passphrase, salt, key)
        != NGX_OK)
    {
        return ngx_http_claude_relay_import_wrong(im, "", "no memory");
    }

    opened = ncr_port_unseal(key, "check", "", check->valuestring);

    if (opened == NULL) {
        rc = ngx_http_claude_relay_import_wrong(im, "\"passphrase\"",
                         " is not the one that this was sealed under");

    } else {
        cJSON_Delete(opened);
        rc = ngx_http_claude_relay_import_open(im, key);
    }

    ngx_explicit_memzero(key, sizeof(key));

    return rc;
}


/* "sealed" of each object becomes "secrets" */

static ngx_int_t
ngx_http_claude_relay_import_open(ngx_http_claude_relay_import_t *im,
    u_char *key)
{
    cJSON                            *list, *row, *name, *sealed, *secrets;
    ngx_http_claude_relay_section_t  *s;

    for (s = ngx_http_claude_relay_sections; s->name; s++) {

        list = cJSON_GetObjectItemCaseSensitive(im->doc, s->name);

        if (!cJSON_IsArray(list)) {
            continue;
        }

        cJSON_ArrayForEach(row, list) {

            name = cJSON_GetObjectItemCaseSensitive(row, "name");
            sealed = cJSON_GetObjectItemCaseSensitive(row, "sealed");

            if (!cJSON_IsString(name) || !cJSON_IsString(sealed)) {
                continue;
            }

            secrets = ncr_port_unseal(key, s->kind, name->valuestring,
                                      sealed->valuestring);

            if (secrets == NULL) {
                (void) ngx_snprintf(im->error, sizeof(im->error),
                                    "what is sealed of %s \"%*s\" was "
                                    "changed, or is of another%Z", s->kind,
                                    ngx_min(ngx_strlen(name->valuestring),
                                            64), name->valuestring);
                im->status = NGX_HTTP_BAD_REQUEST;
                return NGX_ERROR;
            }

            cJSON_DeleteItemFromObjectCaseSensitive(row, "secrets");

            if (!cJSON_AddItemToObject(row, "secrets", secrets)) {
                ncr_port_forget(secrets);
                cJSON_Delete(secrets);
                return ngx_http_claude_relay_import_wrong(im, "",
                                                          "no memory");
            }
        }
    }

    return NGX_OK;
}


static void
ngx_http_claude_relay_import_read(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_import_t  *im;

    im = call->data;

    if (im->status) {
        ngx_http_claude_relay_call_error(call, im->status, NULL, "%s",
                                         im->error);
        return;
    }

    call->job.rc = NCR_OK;

    ngx_http_claude_relay_import_looking(call);
}


static void
ngx_http_claude_relay_import_looking(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_import_t  *im;

    im = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    if (im->at < im->n) {
        ngx_http_claude_relay_call_post(call,
                                     ngx_http_claude_relay_import_look_run,
                                     ngx_http_claude_relay_import_looking);
        return;
    }

    im->at = 0;

    ngx_http_claude_relay_import_checking(call);
}


static void
ngx_http_claude_relay_import_look_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                        rc;
    ngx_uint_t                       n, at;
    ngx_http_claude_relay_import_t  *im;

    im = call->data;
    rc = NCR_OK;

    /* it may be run once more with another key of the store */

    at = im->at;

    for (n = 0; n < NGX_HTTP_CLAUDE_RELAY_IMPORT_LOOKS && at < im->n; n++) {
        rc = ngx_http_claude_relay_import_look(store, im, &im->items[at++]);

        if (rc != NCR_OK) {
            break;
        }
    }

    ngx_http_claude_relay_job_rc(store, job, rc);

    if (rc == NCR_OK) {
        im->at = at;
    }
}


static void
ngx_http_claude_relay_import_checking(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t                       n;
    ngx_http_claude_relay_import_t  *im;

    im = call->data;

    for (n = 0; im->at < im->n; n++) {

        if (n == NGX_HTTP_CLAUDE_RELAY_IMPORT_CHECKS) {
            ngx_http_claude_relay_call_timer(call, 1,
                                      ngx_http_claude_relay_import_checking);
            return;
        }

        ngx_http_claude_relay_import_check(im, &im->items[im->at++]);
    }

    ngx_http_claude_relay_import_checked(call);
}


static void
ngx_http_claude_relay_import_checked(ngx_http_claude_relay_call_t *call)
{
    ngx_uint_t                       i, n;
    ngx_http_claude_relay_item_t    *item;
    ngx_http_claude_relay_import_t  *im;

    im = call->data;
    item = NULL;
    n = 0;

    for (i = 0; im->fail && i < im->n; i++) {
        if (im->items[i].exists) {
            item = item ? item : &im->items[i];
            n++;
        }
    }

    if (item) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_CONFLICT, NULL,
                                 "%ui of these are there already, the first "
                                 "is %s \"%s\": nothing was imported", n,
                          ngx_http_claude_relay_sections[item->section].kind,
                                 item->name);
        return;
    }

    if (im->dry) {
        ngx_http_claude_relay_import_answer(call);
        return;
    }

    im->at = 0;
    call->job.rc = NCR_OK;

    ngx_http_claude_relay_import_writing(call);
}


static void
ngx_http_claude_relay_import_writing(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_import_t  *im;

    im = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_store_touched();
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                 NULL, "store: %s; of %ui objects the first "
                                 "%ui are done: import them once more",
                                 call->job.error, im->n, im->at);
        return;
    }

    if (im->at < im->n) {
        ngx_http_claude_relay_call_post(call,
                                     ngx_http_claude_relay_import_write_run,
                                     ngx_http_claude_relay_import_writing);
        return;
    }

    ngx_http_claude_relay_import_written(call);
}


static void
ngx_http_claude_relay_import_write_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    ncr_int_t                        rc;
    ngx_uint_t                       n, at;
    ngx_http_claude_relay_item_t    *item;
    ngx_http_claude_relay_import_t  *im;

    im = call->data;
    at = im->at;

    rc = ncr_store_batch(store);

    if (rc == NCR_OK) {

        for (n = 0; n < NGX_HTTP_CLAUDE_RELAY_IMPORT_WRITES && at < im->n;
             at++)
        {
            item = &im->items[at];

            if (item->result == NGX_HTTP_CLAUDE_RELAY_IMPORT_SKIPPED
                || item->result == NGX_HTTP_CLAUDE_RELAY_IMPORT_REFUSED)
            {
                continue;
            }

            rc = ngx_http_claude_relay_import_write(store, im, item);

            if (rc != NCR_OK) {
                break;
            }

            n++;
        }

        rc = ncr_store_batch_end(store, rc);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);

    if (rc == NCR_OK) {
        im->at = at;
    }
}


static void
ngx_http_claude_relay_import_written(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_import_t  *im;

    im = call->data;

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "%ui objects of the format %s were imported by %V", im->n,
                  im->format, &call->caller.who);

    call->seq = im->accounts;
    call->objects = 0;

    ngx_http_claude_relay_call_settle(call,
                                      ngx_http_claude_relay_import_settled);
}


static void
ngx_http_claude_relay_import_settled(ngx_http_claude_relay_call_t *call)
{
    ngx_http_claude_relay_import_t  *im;

    im = call->data;

    call->seq = im->objects;
    call->objects = 1;

    ngx_http_claude_relay_call_settle(call,
                                      ngx_http_claude_relay_import_answer);
}


static void
ngx_http_claude_relay_import_answer(ngx_http_claude_relay_call_t *call)
{
    cJSON                           *json, *list, *row;
    ngx_uint_t                       i, n;
    ngx_uint_t               counts[NGX_HTTP_CLAUDE_RELAY_IMPORT_RESULTS];
    ngx_http_claude_relay_item_t    *item;
    ngx_http_claude_relay_import_t  *im;

    im = call->data;

    json = cJSON_CreateObject();
    list = cJSON_CreateArray();

    ngx_memzero(counts, sizeof(counts));

    for (i = 0; i < im->n; i++) {
        item = &im->items[i];
        counts[item->result]++;

        row = cJSON_CreateObject();

        (void) cJSON_AddStringToObject(row, "object",
                         ngx_http_claude_relay_sections[item->section].kind);
        (void) cJSON_AddStringToObject(row, "name", item->name);
        (void) cJSON_AddStringToObject(row, "result",
                       ngx_http_claude_relay_import_results[item->result]);

        if (item->reason) {
            (void) cJSON_AddStringToObject(row, "reason", item->reason);
        }

        if (item->secret && im->fresh && !im->dry
            && item->result == NGX_HTTP_CLAUDE_RELAY_IMPORT_MADE)
        {
            (void) cJSON_AddStringToObject(row, "secret", item->secret);
        }

        (void) cJSON_AddItemToArray(list, row);
    }

    (void) cJSON_AddStringToObject(json, "format", im->format);
    (void) cJSON_AddBoolToObject(json, "dry_run", im->dry);

    for (n = 0; n < NGX_HTTP_CLAUDE_RELAY_IMPORT_RESULTS; n++) {
        (void) cJSON_AddNumberToObject(json,
                                    ngx_http_claude_relay_import_results[n],
                                       (double) counts[n]);
    }

    (void) cJSON_AddItemToObject(json, "objects", list);

    if (im->port) {
        (void) cJSON_AddItemToObject(json, "notes", im->port->notes);
        im->port->notes = NULL;

    } else {
        (void) cJSON_AddArrayToObject(json, "notes");
    }

    ngx_http_claude_relay_call_answer(call, NGX_HTTP_OK, json, 0);
}
