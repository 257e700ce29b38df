
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Limits that the store has for everybody.  A worker keeps a copy, which it
 * makes anew when anything in the zone's subjects has changed: a request is
 * not to unpack records under the lock.
 */


#include "ngx_http_claude_relay_limit.h"


typedef struct {
    uint64_t                           owner;
    char                               name[NCR_KEY_NAME];
    ncr_limit_t                        limit;
} ngx_http_claude_relay_everybody_t;


typedef struct {
    ngx_http_claude_relay_subjects_t  *subjects;
    uint64_t                           seq;
    uint64_t                           file;
    ngx_uint_t                         records;
    ngx_uint_t                         n;
    ngx_uint_t                         size;
    ngx_http_claude_relay_everybody_t *limits;
} ngx_http_claude_relay_everybodys_t;


static ngx_int_t ngx_http_claude_relay_everybody_read(
    ngx_http_claude_relay_main_conf_t *rmcf);


static ngx_http_claude_relay_everybodys_t  ngx_http_claude_relay_everybodys;


/* *n: how many there are; NGX_ERROR: no memory */

ngx_int_t
ngx_http_claude_relay_everybody(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t *n)
{
    ngx_http_claude_relay_subjects_t    *s;
    ngx_http_claude_relay_everybodys_t  *all;

    all = &ngx_http_claude_relay_everybodys;
    s = rmcf->subjects;
    *n = 0;

    if (s == NULL || (s->n[NCR_SCOPE_MODEL] == 0 && all->records == 0)) {
        return NGX_OK;
    }

    if (all->subjects != s || all->seq != s->seq || all->file != s->file
        || all->records != s->n[NCR_SCOPE_MODEL])
    {
        if (ngx_http_claude_relay_everybody_read(rmcf) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    *n = all->n;

    return NGX_OK;
}


/* the i-th, whose counter it has, and its name */

ncr_limit_t *
ngx_http_claude_relay_everybody_limit(ngx_uint_t i, uint64_t *owner,
    ncr_str_t *name)
{
    ngx_http_claude_relay_everybody_t  *one;

    one = &ngx_http_claude_relay_everybodys.limits[i];

    *owner = one->owner;

    name->data = (u_char *) one->name;
    name->len = ngx_strlen(one->name);

    return &one->limit;
}


static ngx_int_t
ngx_http_claude_relay_everybody_read(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ncr_key_t                           *key;
    ncr_str_t                            text;
    ngx_uint_t                           i, n;
    ngx_http_claude_relay_subject_t     *pos;
    ngx_http_claude_relay_everybody_t   *limits;
    ngx_http_claude_relay_everybodys_t  *all;

    all = &ngx_http_claude_relay_everybodys;

    for ( ;; ) {

        ngx_shmtx_lock(&rmcf->shpool->mutex);

        pos = NULL;
        n = 0;

        while ((key = ngx_http_claude_relay_global_limits_locked(rmcf, &pos)))
        {
            for (i = 0; i < key->nlimits; i++, n++) {
                if (n < all->size) {
                    text = ncr_key_text(key, key->name);
                    ncr_str_copy(all->limits[n].name, NCR_KEY_NAME, &text);
                    all->limits[n].owner = key->id;
                    all->limits[n].limit = key->limits[i];
                }
            }
        }

        all->subjects = rmcf->subjects;
        all->seq = rmcf->subjects->seq;
        all->file = rmcf->subjects->file;
        all->records = rmcf->subjects->n[NCR_SCOPE_MODEL];

        ngx_shmtx_unlock(&rmcf->shpool->mutex);

        if (n <= all->size) {
            all->n = n;
            return NGX_OK;
        }

        all->subjects = NULL;
        all->n = 0;

        limits = ngx_alloc(2 * n * sizeof(ngx_http_claude_relay_everybody_t),
                           rmcf->log);
        if (limits == NULL) {
            return NGX_ERROR;
        }

        if (all->limits) {
            ngx_free(all->limits);
        }

        all->limits = limits;
        all->size = 2 * n;
    }
}
