
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The store while nginx is configured: its key, and what it has then.  This
 * runs in the master, which may wait for a disk; the file is closed again
 * before any worker is forked.  A test of the configuration changes nothing.
 */


#include "ngx_http_claude_relay_admin.h"
#include "ngx_http_claude_relay_settings.h"


static char *ngx_http_claude_relay_store_param(ngx_conf_t *cf,
    ngx_http_claude_relay_store_conf_t *store, ngx_str_t *value);
static char *ngx_http_claude_relay_store_key(ngx_conf_t *cf,
    ngx_http_claude_relay_store_conf_t *store);
static char *ngx_http_claude_relay_store_key_make(ngx_conf_t *cf,
    ngx_http_claude_relay_store_conf_t *store);
static char *ngx_http_claude_relay_store_dir(ngx_conf_t *cf,
    ngx_http_claude_relay_store_conf_t *store);
static char *ngx_http_claude_relay_store_open(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_store_t **db);
static char *ngx_http_claude_relay_store_adopt(ngx_conf_t *cf,
    ncr_store_t *db, ngx_http_claude_relay_account_t *a);
static ngx_int_t ngx_http_claude_relay_store_seed(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a, char *seed);
static ncr_int_t ngx_http_claude_relay_store_row(void *data,
    ncr_store_account_t *row);
static void ngx_http_claude_relay_store_free(void *data);
static ncr_int_t ngx_http_claude_relay_store_object(void *data,
    ncr_store_object_t *row);
static ngx_int_t ngx_http_claude_relay_store_objects(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_log_t *log);


/*
 * claude_relay_store path [secret=file] [passphrase=env:NAME|file:path];
 * claude_relay_store redis [cache=path] secret=...;
 */

char *
ngx_http_claude_relay_store(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    char                                *rv;
    ngx_str_t                           *value;
    ngx_uint_t                           i;
    ngx_pool_cleanup_t                  *cln;
    ngx_http_claude_relay_store_conf_t  *store;

    if (rmcf->store) {
        return "is duplicate";
    }

    value = cf->args->elts;

    store = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_store_conf_t));
    if (store == NULL) {
        return NGX_CONF_ERROR;
    }

    if (value[1].len == 0) {
        return "has an empty path";
    }

    store->path = value[1];

    if (value[1].len == 5 && ngx_strncmp(value[1].data, "redis", 5) == 0) {
        store->record = 1;
        ngx_str_set(&store->path, "claude-relay-cache/relay.db");
    }

    for (i = 2; store->record && i < cf->args->nelts; i++) {

        if (ncr_str_prefix(ncr(&value[i]), "cache=")) {
            store->path.data = value[i].data + 6;
            store->path.len = value[i].len - 6;

            if (store->path.len == 0) {
                return "has an empty \"cache=\"";
            }
        }
    }

    if (ngx_conf_full_name(cf->cycle, &store->path, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    for (i = 2; i < cf->args->nelts; i++) {
        rv = ngx_http_claude_relay_store_param(cf, store, &value[i]);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (store->key_file.len == 0 && store->passphrase.len == 0) {
        return "needs \"secret=\" or \"passphrase=\"";
    }

    if (store->key_file.len && store->passphrase.len) {
        return "takes \"secret=\" or \"passphrase=\", not both";
    }

    ngx_queue_init(&store->rows);
    ngx_queue_init(&store->objects);

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_claude_relay_store_free;
    cln->data = store;

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    cln->handler = ngx_http_claude_relay_settings_free;
    cln->data = rmcf;

    rmcf->store = store;

    return NGX_CONF_OK;
}


/* what was read for a zone, if the configuration failed before that */

static void
ngx_http_claude_relay_store_free(void *data)
{
    ngx_http_claude_relay_store_conf_t *store = data;

    ngx_queue_t  *q;

    while (!ngx_queue_empty(&store->rows)) {
        q = ngx_queue_head(&store->rows);
        ngx_queue_remove(q);
        ngx_http_claude_relay_stored_free(
                     ngx_queue_data(q, ngx_http_claude_relay_stored_t, queue));
    }

    ngx_http_claude_relay_objects_free(&store->objects);
}


static char *
ngx_http_claude_relay_store_param(ngx_conf_t *cf,
    ngx_http_claude_relay_store_conf_t *store, ngx_str_t *value)
{
    char       *rv;
    ngx_str_t   text;

    if (store->record && ncr_str_prefix(ncr(value), "cache=")) {
        return NGX_CONF_OK;
    }

    if (ncr_str_prefix(ncr(value), "secret=")) {

        store->key_file.data = value->data + 7;
        store->key_file.len = value->len - 7;

        if (store->key_file.len == 0) {
            return "has an empty \"secret=\"";
        }

        return (ngx_conf_full_name(cf->cycle, &store->key_file, 1) == NGX_OK)
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ncr_str_prefix(ncr(value), "passphrase=")) {

        text.data = value->data + 11;
        text.len = value->len - 11;

        if (!ncr_str_prefix(ncr(&text), "env:")
            && !ncr_str_prefix(ncr(&text), "file:"))
        {
            return "takes its passphrase from \"env:NAME\" or \"file:path\"";
        }

        rv = ngx_http_claude_relay_secret_text(cf, &text, &store->passphrase);

        if (rv != NGX_CONF_OK) {
            return rv;
        }

        return (store->passphrase.len < 12)
               ? "needs a passphrase of 12 characters at least" : NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       value);

    return NGX_CONF_ERROR;
}


/* everything is parsed: what is in the store joins what is in nginx.conf */

char *
ngx_http_claude_relay_store_load(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    char                               error[NCR_STORE_ERROR];
    char                              *rv;
    uint64_t                           seq;
    ncr_int_t                          rc;
    ngx_uint_t                         i;
    ncr_store_t                       *db;
    ngx_http_claude_relay_account_t  **a;

    a = rmcf->accounts.elts;

    for (i = 0; i < rmcf->accounts.nelts; i++) {

        if (rmcf->store) {
            a[i]->token = a[i]->platform->token
                          && !(a[i]->platform->key && a[i]->secret.len
                               && a[i]->refresh_token.len == 0
                               && a[i]->expires == 0);

        } else if (a[i]->token) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "no \"%s\" %s account \"%V\"%s in %s:%ui",
                          a[i]->secret.len ? "claude_relay_store"
                                           : "access_token",
                          a[i]->secret.len ? "for" : "in", &a[i]->name,
                          a[i]->secret.len
                              ? " whose tokens are to be refreshed"
                              : ", and no \"claude_relay_store\" to keep one",
                          a[i]->file, a[i]->line);
            return NGX_CONF_ERROR;
        }
    }

    if (rmcf->store == NULL) {
        return NGX_CONF_OK;
    }

    if (rmcf->shm_zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay_store\" needs \"claude_relay_zone\"");
        return NGX_CONF_ERROR;
    }

    if (rmcf->store->record && rmcf->redis == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay_store redis\" needs "
                      "\"claude_relay_redis\"");
        return NGX_CONF_ERROR;
    }

    /* "nginx -s" reads the configuration for the path of the pid only */

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    rv = ngx_http_claude_relay_store_open(cf, rmcf, &db);

    if (rv != NGX_CONF_OK || db == NULL) {
        return rv;
    }

    for (i = 0; i < rmcf->accounts.nelts; i++) {

        if (a[i]->token && !ngx_test_config) {

            rv = ngx_http_claude_relay_store_adopt(cf, db, a[i]);

            if (rv != NGX_CONF_OK) {
                ncr_store_close(db);
                return rv;
            }
        }
    }

    seq = 0;

    rc = ncr_store_load(db, &seq, ngx_http_claude_relay_store_row,
                        &rmcf->store->rows);

    if (rc == NCR_OK
        && ngx_http_claude_relay_admin_first(cf, rmcf, db) != NGX_CONF_OK)
    {
        ncr_store_close(db);
        return NGX_CONF_ERROR;
    }

    if (rc == NCR_OK) {
        rmcf->store->file = ncr_store_file(db);

        rc = ncr_store_objects(db, &rmcf->store->seq,
                               ngx_http_claude_relay_store_object,
                               &rmcf->store->objects);
    }

    if (rc != NCR_OK) {
        (void) ngx_cpystrn((u_char *) error, (u_char *) ncr_store_error(db),
                           sizeof(error));
    }

    ncr_store_close(db);

    if (rc != NCR_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "store: %s", error);
        return NGX_CONF_ERROR;
    }

    return (ngx_http_claude_relay_roster_apply(rmcf, &rmcf->store->rows, seq,
                                               cf)
            == NGX_OK)
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/* db NULL: there is nothing yet, and this is a test */

static char *
ngx_http_claude_relay_store_open(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_store_t **db)
{
    char                                 error[NCR_STORE_ERROR];
    char                                *rv;
    ncr_int_t                            rc;
    ngx_str_t                            next;
    ncr_store_options_t                  options;
    ngx_http_claude_relay_store_conf_t  *store;

    store = rmcf->store;
    *db = NULL;

    if (ngx_http_claude_relay_store_dir(cf, store) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_claude_relay_store_key(cf, store);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (ngx_test_config && access((char *) store->path.data, F_OK) == -1) {
        return NGX_CONF_OK;
    }

    ngx_memzero(&options, sizeof(ncr_store_options_t));

    options.path = (char *) store->path.data;
    options.key = *ncr(&store->key);
    options.passphrase = *ncr(&store->passphrase);
    options.busy = 5000;
    options.create = !ngx_test_config;
    options.readonly = ngx_test_config;

    error[0] = '\0';

    rc = ncr_store_open(&options, db, error);

    if (rc == NCR_STORE_KEY && store->key_file.len) {

        /* a rotation that was cut off between its two steps */

        next.len = store->key_file.len + sizeof(".new") - 1;
        next.data = ngx_pnalloc(cf->pool, next.len + 1);
        if (next.data == NULL) {
            return NGX_CONF_ERROR;
        }

        (void) ngx_sprintf(next.data, "%V.new%Z", &store->key_file);

        if (access((char *) next.data, F_OK) == 0
            && ngx_http_claude_relay_key_read(cf, "the store's key", &next,
                                              &store->key)
               == NGX_CONF_OK)
        {
            options.key = *ncr(&store->key);
            rc = ncr_store_open(&options, db, error);

            if (rc == NCR_OK && !ngx_test_config
                && rename((char *) next.data, (char *) store->key_file.data)
                   == 0)
            {
                ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                              "the store's key was being changed, \"%V\" has "
                              "the new one now", &store->key_file);
            }
        }
    }

    if (rc == NCR_OK) {
        return NGX_CONF_OK;
    }

    *db = NULL;

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "store: %s", error);

    return NGX_CONF_ERROR;
}


/* a directory is made for it, workers must be able to write there */

static char *
ngx_http_claude_relay_store_dir(ngx_conf_t *cf,
    ngx_http_claude_relay_store_conf_t *store)
{
    u_char           *p;
    uid_t             uid;
    ngx_str_t         dir;
    ngx_file_info_t   fi;
    struct passwd    *pw;
    ngx_core_conf_t  *ccf;

    p = (u_char *) strrchr((char *) store->path.data, '/');

    dir.len = p - store->path.data;
    dir.data = ngx_pnalloc(cf->pool, dir.len + 1);
    if (dir.data == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_cpystrn(dir.data, store->path.data, dir.len + 1);

    uid = geteuid();

    if (uid == 0) {
        ccf = (ngx_core_conf_t *) ngx_get_conf(cf->cycle->conf_ctx,
                                               ngx_core_module);

        uid = ccf->user;

        if (ccf->user == (ngx_uid_t) NGX_CONF_UNSET_UINT) {
            pw = getpwnam(NGX_USER);
            uid = pw ? pw->pw_uid : 0;
        }
    }

    if (ngx_file_info(dir.data, &fi) == NGX_FILE_ERROR) {

        if (ngx_errno != NGX_ENOENT || ngx_test_config) {

            if (ngx_errno == NGX_ENOENT) {
                return NGX_CONF_OK;
            }

            ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                          "directory \"%V\" of the store cannot be used",
                          &dir);
            return NGX_CONF_ERROR;
        }

        if (mkdir((char *) dir.data, 0700) == -1
            || (geteuid() == 0 && chown((char *) dir.data, uid, -1) == -1))
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                          "directory \"%V\" of the store cannot be made",
                          &dir);
            return NGX_CONF_ERROR;
        }

        return NGX_CONF_OK;
    }

    if (uid == 0 || geteuid() != 0) {
        return NGX_CONF_OK;
    }

    if (!(fi.st_uid == uid && (fi.st_mode & S_IWUSR))
        && !(fi.st_mode & S_IWGRP) && !(fi.st_mode & S_IWOTH))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "workers run as user %d and cannot write in \"%V\", "
                      "where the store is: chown it", (int) uid, &dir);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_store_key(ngx_conf_t *cf,
    ngx_http_claude_relay_store_conf_t *store)
{
    if (store->key_file.len == 0) {
        return NGX_CONF_OK;
    }

    if (access((char *) store->key_file.data, F_OK) == -1
        && ngx_errno == NGX_ENOENT)
    {
        /* a store without its key is lost: no other one is made for it */

        if (access((char *) store->path.data, F_OK) == 0) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "there is a store \"%V\", but not its key \"%V\"",
                          &store->path, &store->key_file);
            return NGX_CONF_ERROR;
        }

        /* nor one for a record that others have, too */

        if (store->record) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "there is no \"%V\": all nodes of a fleet have the "
                          "same key, copy it, or make the first one with "
                          "\"openssl rand -hex 32\"", &store->key_file);
            return NGX_CONF_ERROR;
        }

        return ngx_test_config
               ? NGX_CONF_OK : ngx_http_claude_relay_store_key_make(cf, store);
    }

    return ngx_http_claude_relay_key_read(cf, "the store's key",
                                          &store->key_file, &store->key);
}


static char *
ngx_http_claude_relay_store_key_make(ngx_conf_t *cf,
    ngx_http_claude_relay_store_conf_t *store)
{
    int         fd;
    char        text[NCR_SEAL_KEY_TEXT];
    size_t      len;
    ngx_uint_t  written;
    ncr_char_t  key[NCR_SEAL_KEY];

    if (ncr_seal_key_text(key, text, sizeof(text)) != NCR_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "no random numbers");
        return NGX_CONF_ERROR;
    }

    len = ngx_strlen(text);

    fd = open((char *) store->key_file.data,
              O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0600);

    written = (fd != -1
               && write(fd, text, len) == (ssize_t) len
               && fsync(fd) == 0);

    if (!written) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      "the store's key \"%V\" cannot be written",
                      &store->key_file);
    }

    if (fd != -1) {
        (void) close(fd);
    }

    ncr_seal_forget(key, sizeof(key));

    if (written) {
        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "made \"%V\", the key of the store: keep a copy of it "
                      "elsewhere", &store->key_file);

        store->key.len = len;
        store->key.data = ngx_pnalloc(cf->pool, len);

        if (store->key.data) {
            ngx_memcpy(store->key.data, text, len);
        }
    }

    ncr_seal_forget(text, sizeof(text));

    return (written && store->key.data) ? NGX_CONF_OK : NGX_CONF_ERROR;
}


char *
ngx_http_claude_relay_key_read(ngx_conf_t *cf, const char *whose,
    ngx_str_t *path, ngx_str_t *key)
{
    int           fd;
    char          text[4096];
    ssize_t       n;
    ncr_str_t     s;
    const char   *wrong;
    struct stat   st;
    ncr_char_t    bytes[NCR_SEAL_KEY];

    fd = open((char *) path->data, O_RDONLY|O_CLOEXEC);

    if (fd == -1 || fstat(fd, &st) == -1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      "%s \"%V\" cannot be read", whose, path);

        if (fd != -1) {
            (void) close(fd);
        }

        return NGX_CONF_ERROR;
    }

    if (st.st_mode & (S_IRWXO|S_IWGRP)) {
        (void) close(fd);
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s \"%V\" can be read or changed by others: chmod it "
                      "to 0600", whose, path);
        return NGX_CONF_ERROR;
    }

    n = read(fd, text, sizeof(text));
    (void) close(fd);

    if (n < 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      "%s \"%V\" cannot be read", whose, path);
        return NGX_CONF_ERROR;
    }

    s.data = (ncr_char_t *) text;
    s.len = n;

    wrong = ncr_seal_key_parse(&s, bytes);

    ncr_seal_forget(bytes, sizeof(bytes));

    if (wrong) {
        ncr_seal_forget(text, sizeof(text));
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "%s \"%V\" cannot be used: %s", whose, path, wrong);
        return NGX_CONF_ERROR;
    }

    key->len = n;
    key->data = ngx_pnalloc(cf->pool, n ? n : 1);

    if (key->data) {
        ngx_memcpy(key->data, text, n);
    }

    ncr_seal_forget(text, sizeof(text));

    return key->data ? NGX_CONF_OK : NGX_CONF_ERROR;
}


/*
 * An account of nginx.conf has a row for its tokens.  Those written in
 * nginx.conf are only what it began with: they are taken once, and again
 * when others are written there.
 */

static char *
ngx_http_claude_relay_store_adopt(ngx_conf_t *cf, ncr_store_t *db,
    ngx_http_claude_relay_account_t *a)
{
    char                  seed[2 * NCR_SHA256_LEN + 32];
    char                  name[NCR_STORE_NAME];
    uint64_t              version;
    ncr_int_t             rc;
    ncr_msec_t            now;
    ncr_store_account_t   row, new;

    now = ngx_http_claude_relay_now();

    (void) ngx_cpystrn((u_char *) name, a->name.data,
                       ngx_min(sizeof(name), a->name.len + 1));

    rc = ncr_store_adopt(db, name, &a->id, now);

    if (rc == NCR_DECLINED) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "account \"%V\" is in the store, too: rename or remove "
                      "one of them in %s:%ui", &a->name, a->file, a->line);
        return NGX_CONF_ERROR;
    }

    if (rc == NCR_OK && a->secret.len + a->refresh_token.len) {

        if (ngx_http_claude_relay_store_seed(cf, a, seed) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        /* a store that lost its file must not take them anew, either */

        a->settings.len = ngx_strlen(seed);
        a->settings.data = ngx_pnalloc(cf->pool, a->settings.len + 1);

        if (a->settings.data == NULL) {
            return NGX_CONF_ERROR;
        }

        (void) ngx_cpystrn(a->settings.data, (u_char *) seed,
                           a->settings.len + 1);

        rc = ncr_store_find(db, name, &row);

        if (rc == NCR_OK && ngx_strcmp(row.settings, seed) != 0) {

            ngx_memzero(&new, sizeof(ncr_store_account_t));

            (void) ngx_cpystrn((u_char *) new.name, (u_char *) name,
                               sizeof(new.name));

            new.conf = 1;
            new.settings = seed;
            new.access = a->secret.len ? (char *) a->secret.data : "";
            new.refresh = a->refresh_token.len
                          ? (char *) a->refresh_token.data : "";
            new.granted = now;

            /* without an access token, or a time, a refresh comes first */

            new.expires = a->expires ? a->expires
                                     : a->secret.len ? 0 : 1;

            rc = ncr_store_tokens(db, &new, UINT64_MAX, now);

            if (rc == NCR_OK) {
                version = UINT64_MAX;
                rc = ncr_store_put(db, &new, &version, now);
            }

            ncr_store_row_free(&row);

        } else if (rc == NCR_OK) {
            ncr_store_row_free(&row);
        }
    }

    if (rc != NCR_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "store: %s",
                      ncr_store_error(db));
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* which tokens were written, without them: {"seed":"..."} */

static ngx_int_t
ngx_http_claude_relay_store_seed(ngx_conf_t *cf,
    ngx_http_claude_relay_account_t *a, char *seed)
{
    ncr_char_t                          digest[NCR_SHA256_LEN];
    ncr_char_t                         *p;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_claude_relay_module);

    ncr_sha256_init(&rmcf->sha);
    ncr_sha256_update(&rmcf->sha, a->secret.data, a->secret.len);
    ncr_sha256_update(&rmcf->sha, "\0", 1);
    ncr_sha256_update(&rmcf->sha, a->refresh_token.data,
                      a->refresh_token.len);
    ncr_sha256_final(&rmcf->sha, digest);

    p = ngx_cpymem(seed, "{\"seed\":\"", sizeof("{\"seed\":\"") - 1);
    ncr_hash_hex(p, digest, sizeof(digest));
    (void) ngx_cpymem(p + 2 * sizeof(digest), "\"}", sizeof("\"}"));

    return NGX_OK;
}


static ncr_int_t
ngx_http_claude_relay_store_row(void *data, ncr_store_account_t *row)
{
    ngx_queue_t *rows = data;

    ngx_http_claude_relay_stored_t  *stored;

    stored = ngx_http_claude_relay_stored(row);
    if (stored == NULL) {
        return NCR_ERROR;
    }

    ngx_queue_insert_tail(rows, &stored->queue);

    return NCR_OK;
}


/* a tombstone has nothing to be put into a zone that is new, but may have
 * something to take out of one that is not */

static ncr_int_t
ngx_http_claude_relay_store_object(void *data, ncr_store_object_t *row)
{
    ngx_queue_t *objects = data;

    ngx_http_claude_relay_object_t  *object;

    object = ngx_http_claude_relay_object(row);
    if (object == NULL) {
        return NCR_ERROR;
    }

    ngx_queue_insert_tail(objects, &object->queue);

    return NCR_OK;
}


static ngx_int_t
ngx_http_claude_relay_store_objects(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_log_t *log)
{
    ngx_http_claude_relay_since_t  since;

    since.file = rmcf->store->file;
    since.from = 0;
    since.older = 0;

    (void) ngx_http_claude_relay_objects_apply(rmcf, &rmcf->store->objects,
                                               &since, 0, log);

    if (since.older) {
        rmcf->store->older = 1;
    }

    ngx_http_claude_relay_objects_free(&rmcf->store->objects);

    return NGX_OK;
}


/* the zone is there: tokens go into it, and out of the master's memory */

ngx_int_t
ngx_http_claude_relay_store_publish(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_log_t *log)
{
    uint32_t                          hash;
    ngx_int_t                         rc;
    ngx_str_t                         name;
    ngx_uint_t                        another;
    ngx_queue_t                      *q;
    ngx_http_claude_relay_stored_t   *stored;
    ngx_http_claude_relay_account_t  *a;

    if (rmcf->store == NULL) {
        return NGX_OK;
    }

    rc = NGX_OK;

    /* another path is another store: what the zone has is not of it */

    hash = ngx_crc32_long(rmcf->store->path.data, rmcf->store->path.len);
    another = (rmcf->zone->store && rmcf->zone->store != hash);
    rmcf->zone->store = hash;

    while (!ngx_queue_empty(&rmcf->store->rows)) {

        q = ngx_queue_head(&rmcf->store->rows);
        ngx_queue_remove(q);

        stored = ngx_queue_data(q, ngx_http_claude_relay_stored_t, queue);

        name.data = (u_char *) stored->row.name;
        name.len = ngx_strlen(stored->row.name);

        a = ngx_http_claude_relay_roster_find(rmcf->roster, &name);

        if (a == NULL || (a->own == NULL) != (stored->row.conf == 1)) {
            ngx_http_claude_relay_stored_free(stored);
            continue;
        }

        if (another) {
            ngx_http_claude_relay_node_anew(rmcf, a->node);
        }

        switch (ngx_http_claude_relay_publish(rmcf, a->node, &stored->row, 1))
        {

        case NGX_DECLINED:

            /* an old copy of the file; workers will bring it up to date */

            rmcf->store->older = 1;
            break;

        case NGX_ERROR:
            ngx_log_error(NGX_LOG_EMERG, log, 0,
                          "no room for the tokens of account \"%V\" in zone "
                          "\"%V\"", &name, &rmcf->shm_zone->shm.name);
            rc = NGX_ERROR;
            break;

        default:
            break;
        }

        ngx_http_claude_relay_stored_free(stored);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_claude_relay_store_objects(rmcf, log);
    }

    return rc;
}
