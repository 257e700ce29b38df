
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The store's file as it is at one moment.  What is sealed in it stays so: it
 * is of use with the key only.
 */


#include "ngx_http_claude_relay_port.h"


#define NGX_HTTP_CLAUDE_RELAY_BACKUP_NAME  sizeof(".backup-0123456789abcdef")


typedef struct {
    int                                fd;
    off_t                              size;
} ngx_http_claude_relay_backup_t;


static void ngx_http_claude_relay_backup_free(void *data);
static void ngx_http_claude_relay_backup_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_backup_done(
    ngx_http_claude_relay_call_t *call);


void
ngx_http_claude_relay_api_backup(ngx_http_claude_relay_call_t *call)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_claude_relay_backup_t  *backup;

    static const char *const  names[] = { NULL };

    if (ngx_http_claude_relay_call_members(call, names, NULL, NULL)
        != NGX_OK)
    {
        return;
    }

    backup = ngx_palloc(call->pool, sizeof(ngx_http_claude_relay_backup_t));
    cln = ngx_pool_cleanup_add(call->pool, 0);

    if (backup == NULL || cln == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return;
    }

    backup->fd = -1;

    cln->handler = ngx_http_claude_relay_backup_free;
    cln->data = backup;

    call->data = backup;

    call->job.run = ngx_http_claude_relay_backup_run;
    call->next = ngx_http_claude_relay_backup_done;

    if (ngx_http_claude_relay_work_post(&call->job) != NGX_OK) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_SERVICE_UNAVAILABLE,
                                         NULL, "this worker is leaving");
    }
}


static void
ngx_http_claude_relay_backup_free(void *data)
{
    ngx_http_claude_relay_backup_t *backup = data;

    if (backup->fd != -1) {
        (void) close(backup->fd);
    }
}


/* in the thread for work: a file beside the store, that has no name any more
 * when it is sent */

static void
ngx_http_claude_relay_backup_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_call_t *call = job->data;

    int                              fd;
    u_char                          *name, *p, random[8];
    ngx_str_t                       *path;
    struct stat                      st;
    ngx_http_claude_relay_backup_t  *backup;

    backup = call->data;
    path = &call->rmcf->store->path;
    job->rc = NCR_ERROR;

    name = ngx_alloc(path->len + NGX_HTTP_CLAUDE_RELAY_BACKUP_NAME,
                     ngx_cycle->log);

    if (name == NULL || ncr_seal_random(random, sizeof(random)) != NCR_OK) {
        (void) ngx_cpystrn((u_char *) job->error, (u_char *) "no memory",
                           sizeof(job->error));
        goto done;
    }

    p = ngx_cpymem(name, path->data, path->len);
    p = ngx_cpymem(p, ".backup-", 8);
    ncr_hash_hex(p, random, sizeof(random));
    p[2 * sizeof(random)] = '\0';

    fd = open((char *) name, O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0600);

    if (fd == -1) {
        (void) ngx_snprintf((u_char *) job->error, sizeof(job->error),
                            "a file beside the store cannot be made (%d)%Z",
                            ngx_errno);
        goto done;
    }

    if (ncr_store_copy((char *) path->data, (char *) name, job->error)
        == NCR_OK
        && fstat(fd, &st) == 0)
    {
        backup->fd = fd;
        backup->size = st.st_size;
        job->rc = NCR_OK;

    } else {
        (void) close(fd);
    }

    (void) unlink((char *) name);

done:

    if (name) {
        ngx_free(name);
    }
}


static void
ngx_http_claude_relay_backup_done(ngx_http_claude_relay_call_t *call)
{
    int                              fd;
    ngx_http_claude_relay_backup_t  *backup;

    backup = call->data;

    if (call->job.rc != NCR_OK) {
        ngx_http_claude_relay_call_store_error(call);
        return;
    }

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "a copy of the store was made for %V", &call->caller.who);

    fd = backup->fd;
    backup->fd = -1;

    ngx_http_claude_relay_call_file(call, fd, backup->size);
}
