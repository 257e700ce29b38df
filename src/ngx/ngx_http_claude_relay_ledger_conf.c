
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Usage while nginx is configured: where it is kept, and what the master does
 * before the workers come.  The ledger is closed again before the fork.
 */


#include "ngx_http_claude_relay_ledger.h"

#include <pwd.h>


#define NGX_HTTP_CLAUDE_RELAY_RING_SIZE   (4 * 1024 * 1024)


static char *ngx_http_claude_relay_usage_param(ngx_conf_t *cf,
    ngx_http_claude_relay_usage_conf_t *usage, ngx_str_t *value);
static char *ngx_http_claude_relay_usage_size(
    ngx_http_claude_relay_usage_conf_t *usage, ngx_str_t *value);
static ngx_int_t ngx_http_claude_relay_usage_paths(
    ngx_http_claude_relay_main_conf_t *rmcf);
static ngx_int_t ngx_http_claude_relay_usage_ring(
    ngx_http_claude_relay_main_conf_t *rmcf, const char *path);
static ngx_int_t ngx_http_claude_relay_usage_read(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t counters,
    ngx_log_t *log);
static ncr_int_t ngx_http_claude_relay_usage_counter(void *data,
    ncr_counter_t *counter);
static void ngx_http_claude_relay_usage_cleanup(void *data);


static struct {
    const char  *name;
    size_t       offset;
} ngx_http_claude_relay_usage_keeps[] = {
    { "keep=", offsetof(ncr_ledger_keep_t, rows) },
    { "minutes=", offsetof(ncr_ledger_keep_t, minutes) },
    { "hours=", offsetof(ncr_ledger_keep_t, hours) },
    { "days=", offsetof(ncr_ledger_keep_t, days) },
    { NULL, 0 }
};


/*
 * on|off [ring=size] [file=path] [keep=time] [minutes=time] [hours=time]
 * [days=time] [full=refuse|drop];
 */

char *
ngx_http_claude_relay_set_usage(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    char                                *rv;
    ngx_str_t                           *value;
    ngx_uint_t                           i;
    ngx_http_claude_relay_usage_conf_t  *usage;

    usage = rmcf->usage;

    if (usage->on != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ncr_str_eq(ncr(&value[1]), "on")) {
        usage->on = 1;

    } else if (ncr_str_eq(ncr(&value[1]), "off")) {
        usage->on = 0;

    } else {
        return "must begin with \"on\" or \"off\"";
    }

    usage->conf = cf->conf_file->file.name.data;
    usage->line = cf->conf_file->line;

    for (i = 2; i < cf->args->nelts; i++) {

        if (!usage->on) {
            return "takes nothing after \"off\"";
        }

        rv = ngx_http_claude_relay_usage_param(cf, usage, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_usage_param(ngx_conf_t *cf,
    ngx_http_claude_relay_usage_conf_t *usage, ngx_str_t *value)
{
    ngx_int_t    n;
    ngx_str_t    text;
    ngx_uint_t   i;
    ncr_msec_t  *keep;

    if (ncr_str_prefix(ncr(value), "ring=")) {
        return ngx_http_claude_relay_usage_size(usage, value);
    }

    if (ncr_str_prefix(ncr(value), "file=")) {

        usage->file.data = value->data + 5;
        usage->file.len = value->len - 5;

        if (usage->file.len == 0) {
            return "has an empty \"file=\"";
        }

        usage->written = 1;

        return (ngx_conf_full_name(cf->cycle, &usage->file, 0) == NGX_OK)
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ncr_str_eq(ncr(value), "full=refuse")) {
        usage->drop = 0;
        return NGX_CONF_OK;
    }

    if (ncr_str_eq(ncr(value), "full=drop")) {
        usage->drop = 1;
        return NGX_CONF_OK;
    }

    for (i = 0; ngx_http_claude_relay_usage_keeps[i].name; i++) {

        if (!ncr_str_prefix(ncr(value),
                            ngx_http_claude_relay_usage_keeps[i].name))
        {
            continue;
        }

        keep = (ncr_msec_t *) ((char *) &usage->keep
                               + ngx_http_claude_relay_usage_keeps[i].offset);

        text.data = (u_char *) ngx_strchr(value->data, '=') + 1;
        text.len = value->data + value->len - text.data;

        n = ngx_parse_time(&text, 1);

        if (n == NGX_ERROR || (n != 0 && n < 3600)) {
            return "keeps things for an hour at least; 0 is for ever";
        }

        *keep = (ncr_msec_t) n * 1000;

        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       value);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_claude_relay_usage_size(ngx_http_claude_relay_usage_conf_t *usage,
    ngx_str_t *value)
{
    ssize_t    size;
    ngx_str_t  text;

    text.data = value->data + 5;
    text.len = value->len - 5;

    size = ngx_parse_size(&text);

    if (size < NCR_RING_MIN || size > 1024 * 1024 * 1024) {
        return "takes a ring of 64k to 1g";
    }

    usage->size = ngx_align((size_t) size, ngx_pagesize);

    return NGX_CONF_OK;
}


/* everything is parsed */

char *
ngx_http_claude_relay_usage_init(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_usage_conf_t  *usage;

    usage = rmcf->usage;

    if (usage->on == 1 && rmcf->store == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay_usage\" needs \"claude_relay_store\", "
                      "beside which usage is kept, in %s:%ui", usage->conf,
                      usage->line);
        return NGX_CONF_ERROR;
    }

    if (usage->on == NGX_CONF_UNSET) {
        usage->on = (rmcf->store != NULL);
    }

    if (usage->size == 0) {
        usage->size = NGX_HTTP_CLAUDE_RELAY_RING_SIZE;
    }

    return NGX_CONF_OK;
}


/*
 * A ring goes on with its zone.  Where the zone is another one, or another
 * ring is wanted, there is a new one: old workers go on with theirs, and
 * what they leave in it is taken as a leftover.
 */

ngx_int_t
ngx_http_claude_relay_usage_start(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_main_conf_t *old, ngx_log_t *log)
{
    char                                 error[NCR_LEDGER_ERROR];
    ngx_pool_cleanup_t                  *cln;
    ngx_http_claude_relay_usage_conf_t  *usage;

    usage = rmcf->usage;

    if (!usage->on || ngx_test_config) {
        return NGX_OK;
    }

    if (ngx_http_claude_relay_usage_paths(rmcf) != NGX_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "usage cannot be kept beside the store \"%V\"",
                      &rmcf->store->path);
        return NGX_ERROR;
    }

    if (ngx_http_claude_relay_usage_read(rmcf, old == NULL, log) != NGX_OK) {
        return NGX_ERROR;
    }

    cln = ngx_pool_cleanup_add(rmcf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    if (old && old->ring_file && old->usage->size == usage->size
        && old->usage->file.len == usage->file.len
        && ngx_memcmp(old->usage->file.data, usage->file.data,
                      usage->file.len)
           == 0)
    {
        rmcf->ring_file = old->ring_file;
        rmcf->ring_file->refs++;

    } else {
        rmcf->ring_file = ngx_http_claude_relay_ring_make(usage, &usage->file,
                                                          error);

        /* /dev/shm of a container is small */

        if (rmcf->ring_file == NULL && ngx_errno == NGX_ENOSPC
            && !usage->written)
        {
            ngx_log_error(NGX_LOG_WARN, log, 0,
                          "usage: %s; it is made beside the store", error);

            rmcf->ring_file = ngx_http_claude_relay_ring_make(usage,
                                                       &usage->beside, error);
        }

        if (rmcf->ring_file == NULL) {
            ngx_log_error(NGX_LOG_EMERG, log, 0, "usage: %s", error);
            return NGX_ERROR;
        }
    }

    rmcf->ring = rmcf->ring_file->ring;

    cln->handler = ngx_http_claude_relay_usage_cleanup;
    cln->data = rmcf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_usage_paths(ngx_http_claude_relay_main_conf_t *rmcf)
{
    char                                 real[NGX_MAX_PATH];
    struct passwd                       *pw;
    ngx_core_conf_t                     *ccf;
    ngx_http_claude_relay_usage_conf_t  *usage;

    usage = rmcf->usage;
    usage->uid = geteuid();

    if (usage->uid == 0) {
        ccf = (ngx_core_conf_t *) ngx_get_conf(rmcf->cycle->conf_ctx,
                                               ngx_core_module);
        usage->uid = ccf->user;

        if (ccf->user == (ngx_uid_t) NGX_CONF_UNSET_UINT) {
            pw = getpwnam(NGX_USER);
            usage->uid = pw ? pw->pw_uid : 0;
        }
    }

    /* two ways to one store are one ledger */

    if (realpath((char *) rmcf->store->path.data, real) == NULL) {
        return NGX_ERROR;
    }

    usage->path.len = ngx_strlen(real) + sizeof("-usage") - 1;
    usage->path.data = ngx_pnalloc(rmcf->pool, usage->path.len + 1);

    if (usage->path.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(usage->path.data, "%s-usage%Z", real);

    usage->beside.len = ngx_strlen(real) + sizeof("-ring") - 1;
    usage->beside.data = ngx_pnalloc(rmcf->pool, usage->beside.len + 1);

    if (usage->beside.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_sprintf(usage->beside.data, "%s-ring%Z", real);

    return usage->written ? NGX_OK
                          : ngx_http_claude_relay_usage_ring(rmcf, real);
}


/* memory that outlives processes, but not the machine; else a file */

static ngx_int_t
ngx_http_claude_relay_usage_ring(ngx_http_claude_relay_main_conf_t *rmcf,
    const char *path)
{
    u_char                              *p;
    u_char                               hex[2 * NCR_SHA256_LEN];
    struct stat                          st;
    ncr_char_t                           digest[NCR_SHA256_LEN];
    ngx_http_claude_relay_usage_conf_t  *usage;

    usage = rmcf->usage;

    ncr_sha256_init(&rmcf->sha);
    ncr_sha256_update(&rmcf->sha, path, ngx_strlen(path));
    ncr_sha256_final(&rmcf->sha, digest);
    ncr_hash_hex(hex, digest, NCR_SHA256_LEN);

    usage->file = usage->beside;

    if (stat("/dev/shm", &st) == 0 && S_ISDIR(st.st_mode)
        && access("/dev/shm", W_OK|X_OK) == 0)
    {
        p = ngx_pnalloc(rmcf->pool, sizeof("/dev/shm/claude-relay--")
                                    + NGX_INT64_LEN + 16);
        if (p == NULL) {
            return NGX_ERROR;
        }

        usage->file.data = p;
        usage->file.len = ngx_sprintf(p, "/dev/shm/claude-relay-%uD-%*s%Z",
                                      (uint32_t) usage->uid, (size_t) 16, hex)
                          - p - 1;
    }

    return NGX_OK;
}


/* what others have left, and what the counters were when they did */

static ngx_int_t
ngx_http_claude_relay_usage_read(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t counters, ngx_log_t *log)
{
    char                   error[NCR_LEDGER_ERROR];
    ncr_int_t              rc;
    ngx_uint_t             n;
    ncr_ledger_t          *ledger;
    ncr_ledger_options_t   options;

    ngx_memzero(&options, sizeof(ncr_ledger_options_t));

    options.path = (char *) rmcf->usage->path.data;
    options.tz = rmcf->tz;
    options.busy = 5000;
    options.create = 1;

    if (ncr_ledger_open(&options, &ledger, error) != NCR_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "usage: %s", error);
        return NGX_ERROR;
    }

    rc = ngx_http_claude_relay_ring_leftovers(rmcf->usage, ledger, &n);

    if (n) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "usage: %ui records were left by others", n);
    }

    if (rc != NCR_OK) {

        /* a disk that is full must not keep nginx from starting */

        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "usage: %s; what others have left stays for now",
                      ncr_ledger_error(ledger));
        rc = NCR_OK;
    }

    if (counters) {
        ngx_shmtx_lock(&rmcf->shpool->mutex);

        rc = ncr_ledger_counters(ledger, ngx_http_claude_relay_now(),
                                 ngx_http_claude_relay_usage_counter, rmcf);

        ngx_shmtx_unlock(&rmcf->shpool->mutex);
    }

    if (rc == NCR_DECLINED) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "no room for the counters of limits in zone \"%V\"",
                      &rmcf->shm_zone->shm.name);

    } else if (rc != NCR_OK) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "usage: %s",
                      ncr_ledger_error(ledger));
    }

    ncr_ledger_close(ledger);

    return (rc == NCR_OK) ? NGX_OK : NGX_ERROR;
}


/* nobody else has the zone yet */

static ncr_int_t
ngx_http_claude_relay_usage_counter(void *data, ncr_counter_t *counter)
{
    return (ngx_http_claude_relay_counter_set_locked(data, counter) == NGX_OK)
           ? NCR_OK : NCR_DECLINED;
}


static void
ngx_http_claude_relay_usage_cleanup(void *data)
{
    ngx_http_claude_relay_main_conf_t *rmcf = data;

    ngx_http_claude_relay_ring_close(rmcf->ring_file);
}


void
ngx_http_claude_relay_usage_accepted(ngx_cycle_t *cycle)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_claude_relay_module);

    if (rmcf && rmcf->ring_file) {
        rmcf->ring_file->used = 1;
    }
}


/* all workers have gone, and put what there was into the ledger */

void
ngx_http_claude_relay_usage_exit_master(ngx_cycle_t *cycle)
{
    ngx_uint_t                          n;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_claude_relay_module);

    if (rmcf == NULL || rmcf->store == NULL) {
        return;
    }

    if (rmcf->ring_file) {
        ngx_http_claude_relay_ring_remove(rmcf->ring_file);

    } else if (ngx_http_claude_relay_usage_paths(rmcf) != NGX_OK) {
        return;
    }

    /* those of configurations before this one */

    (void) ngx_http_claude_relay_ring_leftovers(rmcf->usage, NULL, &n);
}
