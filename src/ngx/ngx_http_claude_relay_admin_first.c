
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Somebody must be the first.  A store without an admin is given one by the
 * master, with a password that nobody knows but the file it is written to,
 * and that is good for nothing but to set another one.
 */


#include "ngx_http_claude_relay_admin.h"
#include "ncr_base64.h"
#include "ncr_seal.h"


#define NGX_HTTP_CLAUDE_RELAY_FIRST_NAME   "admin"
#define NGX_HTTP_CLAUDE_RELAY_FIRST_FILE   "-admin-password"

/* random bytes */
#define NGX_HTTP_CLAUDE_RELAY_FIRST        18


typedef struct {
    ngx_http_claude_relay_job_t        job;
    ngx_err_t                          err;
    char                               path[];
} ngx_http_claude_relay_first_t;


static ncr_int_t ngx_http_claude_relay_first_look(void *data,
    ncr_store_person_t *person);
static char *ngx_http_claude_relay_first_make(ngx_conf_t *cf,
    ncr_store_t *db, ngx_str_t *file);
static ngx_int_t ngx_http_claude_relay_first_file(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_pool_t *pool,
    ngx_str_t *file);
static char *ngx_http_claude_relay_first_write(ngx_conf_t *cf,
    ngx_str_t *file, u_char *text, size_t len);
static void ngx_http_claude_relay_first_remove(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_first_removed(
    ngx_http_claude_relay_job_t *job);


/* the store is open, in the master, and this is no test */

char *
ngx_http_claude_relay_admin_first(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_store_t *db)
{
    ncr_int_t   rc;
    ngx_str_t   file;
    ngx_uint_t  found;

    if (rmcf->admin.locations == 0 || ngx_test_config) {
        return NGX_CONF_OK;
    }

    found = 0;

    rc = ncr_store_people(db, "", ngx_http_claude_relay_first_look, &found);

    if (rc != NCR_OK && rc != NCR_DONE) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "store: %s",
                      ncr_store_error(db));
        return NGX_CONF_ERROR;
    }

    if (found) {
        return NGX_CONF_OK;
    }

    if (ngx_http_claude_relay_first_file(rmcf, cf->pool, &file) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return ngx_http_claude_relay_first_make(cf, db, &file);
}


static ncr_int_t
ngx_http_claude_relay_first_look(void *data, ncr_store_person_t *person)
{
    ngx_uint_t *found = data;

    if (person->role == NCR_ROLE_ADMIN && person->enabled) {
        *found = 1;
        return NCR_DONE;
    }

    return NCR_OK;
}


/* the file first: a password that is nobody's harms nobody */

static char *
ngx_http_claude_relay_first_make(ngx_conf_t *cf, ncr_store_t *db,
    ngx_str_t *file)
{
    char                *rv;
    u_char               bytes[NGX_HTTP_CLAUDE_RELAY_FIRST];
    u_char               salt[NCR_PASSWORD_SALT];
    u_char               text[ncr_base64url_len(NGX_HTTP_CLAUDE_RELAY_FIRST)
                              + 1];
    uint64_t             version;
    ncr_int_t            rc;
    ncr_str_t            password;
    ncr_msec_t           now;
    ncr_store_person_t   person;

    if (ncr_seal_random(bytes, sizeof(bytes)) != NCR_OK
        || ncr_seal_random(salt, sizeof(salt)) != NCR_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "no random numbers");
        return NGX_CONF_ERROR;
    }

    password.data = text;
    password.len = (u_char *) ncr_base64url((char *) text, bytes,
                                            sizeof(bytes))
                   - text;

    ngx_explicit_memzero(bytes, sizeof(bytes));

    now = ngx_http_claude_relay_now();
    version = 0;

    rc = ncr_store_person_find(db, NGX_HTTP_CLAUDE_RELAY_FIRST_NAME, &person);

    if (rc == NCR_OK) {
        version = person.version;

    } else {
        ngx_memzero(&person, sizeof(ncr_store_person_t));
        (void) ngx_cpystrn((u_char *) person.name,
                           (u_char *) NGX_HTTP_CLAUDE_RELAY_FIRST_NAME,
                           sizeof(person.name));
    }

    person.role = NCR_ROLE_ADMIN;
    person.enabled = 1;
    person.must_change = 1;
    person.has_totp = 0;

    if (rc == NCR_OK || rc == NCR_DECLINED) {
        rc = ncr_password_hash(&password, salt, person.password);
    }

    text[password.len] = '\n';

    rv = (rc == NCR_OK)
         ? ngx_http_claude_relay_first_write(cf, file, text,
                                             password.len + 1)
         : NGX_CONF_OK;

    ngx_explicit_memzero(text, sizeof(text));

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (rc == NCR_OK) {
        rc = ncr_store_person_put(db, &person, &version, NULL, now);
    }

    ngx_explicit_memzero(&person, sizeof(ncr_store_person_t));

    if (rc != NCR_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "the first admin cannot be made: store: %s",
                      ncr_store_error(db));
        return NGX_CONF_ERROR;
    }

    ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                  "nobody is an admin: \"" NGX_HTTP_CLAUDE_RELAY_FIRST_NAME
                  "\" was made, whose first password is in \"%V\"", file);

    return NGX_CONF_OK;
}


/* NUL terminated */

static ngx_int_t
ngx_http_claude_relay_first_file(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_pool_t *pool, ngx_str_t *file)
{
    if (rmcf->admin.file.len) {
        *file = rmcf->admin.file;
        return NGX_OK;
    }

    file->len = rmcf->store->path.len
                + sizeof(NGX_HTTP_CLAUDE_RELAY_FIRST_FILE) - 1;

    file->data = ngx_pnalloc(pool, file->len + 1);
    if (file->data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(file->data, "%V%s%Z", &rmcf->store->path,
                       NGX_HTTP_CLAUDE_RELAY_FIRST_FILE);

    return NGX_OK;
}


/* made beside it, and moved there: whatever is there is not followed */

static char *
ngx_http_claude_relay_first_write(ngx_conf_t *cf, ngx_str_t *file,
    u_char *text, size_t len)
{
    int      fd;
    u_char  *temp;

    temp = ngx_pnalloc(cf->pool, file->len + sizeof(".new"));
    if (temp == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_sprintf(temp, "%V.new%Z", file);

    (void) unlink((char *) temp);

    fd = open((char *) temp, O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW|O_CLOEXEC,
              0600);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      ngx_open_file_n " \"%s\" failed", temp);
        return NGX_CONF_ERROR;
    }

    if (write(fd, text, len) != (ssize_t) len || fsync(fd) == -1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      "write() to \"%s\" failed", temp);
        (void) close(fd);
        (void) unlink((char *) temp);
        return NGX_CONF_ERROR;
    }

    (void) close(fd);

    if (rename((char *) temp, (char *) file->data) == -1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, ngx_errno,
                      "rename() to \"%V\" failed", file);
        (void) unlink((char *) temp);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* it has another password now: the file is of no use to anybody */

void
ngx_http_claude_relay_admin_first_done(
    ngx_http_claude_relay_main_conf_t *rmcf, const char *name)
{
    ngx_str_t                       file;
    ngx_pool_t                     *pool;
    ngx_http_claude_relay_first_t  *first;

    if (ngx_strcmp(name, NGX_HTTP_CLAUDE_RELAY_FIRST_NAME) != 0) {
        return;
    }

    pool = ngx_create_pool(1024, ngx_cycle->log);
    if (pool == NULL) {
        return;
    }

    if (ngx_http_claude_relay_first_file(rmcf, pool, &file) == NGX_OK) {

        first = ngx_alloc(sizeof(ngx_http_claude_relay_first_t) + file.len + 1,
                          ngx_cycle->log);

        if (first) {
            ngx_memzero(first, sizeof(ngx_http_claude_relay_first_t));
            ngx_memcpy(first->path, file.data, file.len + 1);

            first->job.run = ngx_http_claude_relay_first_remove;
            first->job.done = ngx_http_claude_relay_first_removed;
            first->job.data = first;

            if (ngx_http_claude_relay_store_post(&first->job) != NGX_OK) {
                ngx_free(first);
            }
        }
    }

    ngx_destroy_pool(pool);
}


/* in the store's thread, which may wait for a disk */

static void
ngx_http_claude_relay_first_remove(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_first_t *first = job->data;

    job->rc = NCR_OK;
    first->err = (unlink(first->path) == -1) ? ngx_errno : 0;
}


static void
ngx_http_claude_relay_first_removed(ngx_http_claude_relay_job_t *job)
{
    ngx_free(job->data);
}
