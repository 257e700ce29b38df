
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Keys, users, groups and limits on their way from the store into the zone.
 * Each worker's thread reads what has changed and makes records of it; the
 * loop of whoever comes first puts them in place, in the order of their seq,
 * so they are in force in all workers at once.
 */


#include "ngx_http_claude_relay_settings.h"


/* so many are put in place under one hold of the lock */
#define NGX_HTTP_CLAUDE_RELAY_HELD  32


typedef struct {
    ngx_http_claude_relay_job_t        job;
    uint64_t                           id;
    ncr_msec_t                         at;
} ngx_http_claude_relay_activation_t;


static ngx_uint_t ngx_http_claude_relay_objects_settings(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_queue_t *objects,
    ngx_http_claude_relay_since_t *since, ngx_log_t *log);
static ncr_store_object_t *ngx_http_claude_relay_objects_more(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_store_object_t *rows,
    ngx_uint_t *n);
static void ngx_http_claude_relay_object_apply_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_object_t *object);
static void ngx_http_claude_relay_object_said(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_object_t *object, ngx_log_t *log);
static void ngx_http_claude_relay_activate_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_activate_done(
    ngx_http_claude_relay_job_t *job);


ngx_http_claude_relay_object_t *
ngx_http_claude_relay_object(ncr_store_object_t *row)
{
    size_t                           len;
    ngx_int_t                        scope;
    ngx_http_claude_relay_object_t  *object;

    scope = ngx_http_claude_relay_scope(row->kind);
    len = ngx_strlen(row->data);

    object = ngx_alloc(sizeof(ngx_http_claude_relay_object_t) + len + 1,
                       ngx_cycle->log);
    if (object == NULL) {
        return NULL;
    }

    object->row = *row;
    object->row.data = (char *) (object + 1);
    object->scope = scope;
    object->key = NULL;
    object->error = NULL;
    object->setting = NULL;
    object->rc = NGX_DECLINED;

    ngx_memcpy(object->row.data, row->data, len + 1);

    return object;
}


void
ngx_http_claude_relay_object_free(ngx_http_claude_relay_object_t *object)
{
    if (object->key) {
        ngx_free(object->key);
    }

    if (object->error) {
        ngx_free(object->error);
    }

    ngx_http_claude_relay_setting_free(object->setting);

    ngx_free(object);
}


void
ngx_http_claude_relay_objects_free(ngx_queue_t *objects)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(objects)) {
        q = ngx_queue_head(objects);
        ngx_queue_remove(q);
        ngx_http_claude_relay_object_free(
                     ngx_queue_data(q, ngx_http_claude_relay_object_t, queue));
    }
}


/* for the thread, too: nothing but memory is used */

void
ngx_http_claude_relay_object_read(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_object_t *object)
{
    u_char               error[NGX_HTTP_CLAUDE_RELAY_ERROR];
    ngx_str_t            name, text;
    ncr_key_room_t       room;
    ncr_key_build_t      build;
    ncr_store_object_t  *row;

    row = &object->row;

    if (row->removed || object->key || object->error || object->setting) {
        return;
    }

    if (ngx_http_claude_relay_setting_of(row) >= 0) {

        object->setting = ngx_http_claude_relay_setting_read(
                                             rmcf->prices_conf, row, error);
        if (object->setting == NULL) {
            object->error = ngx_http_claude_relay_dup(error,
                                                      ngx_strlen(error));
        }

        return;
    }

    if (object->scope < 0) {
        return;
    }

    name.data = (u_char *) row->name;
    name.len = ngx_strlen(row->name);
    text.data = (u_char *) row->data;
    text.len = ngx_strlen(row->data);

    build.buf = room.buf;

    if (object->scope == NCR_SCOPE_KEY && !row->has_digest) {
        (void) ngx_snprintf(error, sizeof(error), "key \"%V\" has no secret%Z",
                            &name);

    } else if (ngx_http_claude_relay_key_json(&build, object->scope, &name,
                                              &text, error)
               == NGX_OK)
    {
        build.key->id = row->id;
        build.key->seq = row->seq;
        build.key->created = row->created;

        if (row->activated) {
            build.key->activated = row->activated;
        }

        if (object->scope == NCR_SCOPE_KEY) {
            ngx_memcpy(build.key->digest, row->digest, NCR_SHA256_LEN);
        }

        object->key = ngx_alloc(build.key->size, ngx_cycle->log);

        if (object->key) {
            ngx_memcpy(object->key, build.key, build.key->size);
            return;
        }

        (void) ngx_snprintf(error, sizeof(error), "no memory for \"%V\"%Z",
                            &name);
    }

    object->error = ngx_http_claude_relay_dup(error, ngx_strlen(error));
}


ngx_int_t
ngx_http_claude_relay_objects_apply(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_queue_t *objects, ngx_http_claude_relay_since_t *since,
    ngx_uint_t most, ngx_log_t *log)
{
    ngx_uint_t                         n, all;
    ngx_queue_t                       *q;
    ngx_http_claude_relay_object_t    *object;
    ngx_http_claude_relay_subjects_t  *subjects;

    subjects = rmcf->subjects;

    since->older |= ngx_http_claude_relay_objects_settings(rmcf, objects,
                                                           since, log);

    if (subjects == NULL) {
        return NGX_OK;
    }

    for (all = 0; !ngx_queue_empty(objects); /* void */) {

        if (most && all >= most) {
            return NGX_AGAIN;
        }

        q = ngx_queue_head(objects);

        for (n = 0; n < NGX_HTTP_CLAUDE_RELAY_HELD
                    && q != ngx_queue_sentinel(objects); n++)
        {
            object = ngx_queue_data(q, ngx_http_claude_relay_object_t, queue);
            q = ngx_queue_next(q);

            /* at a reload most are in place */

            if (object->scope >= 0
                && (subjects->file != since->file
                    || object->row.seq > subjects->seq))
            {
                ngx_http_claude_relay_object_read(rmcf, object);
            }
        }

        ngx_shmtx_lock(&rmcf->shpool->mutex);

        if (subjects->file != since->file) {

            if (since->from) {

                /* a worker that has not heard of the new file yet */

                ngx_shmtx_unlock(&rmcf->shpool->mutex);
                return NGX_OK;
            }

            ngx_http_claude_relay_subjects_anew_locked(rmcf, since->file);
        }

        for (q = ngx_queue_head(objects), all += n; n; n--) {
            object = ngx_queue_data(q, ngx_http_claude_relay_object_t, queue);
            ngx_http_claude_relay_object_apply_locked(rmcf, object);
            q = ngx_queue_next(q);
        }

        ngx_shmtx_unlock(&rmcf->shpool->mutex);

        while (ngx_queue_head(objects) != q) {
            object = ngx_queue_data(ngx_queue_head(objects),
                                    ngx_http_claude_relay_object_t, queue);

            since->older |= (object->rc == NGX_ABORT);

            if (object->rc == NGX_ERROR) {
                ngx_http_claude_relay_object_said(rmcf, object, log);
            }

            ngx_queue_remove(&object->queue);
            ngx_http_claude_relay_object_free(object);
        }
    }

    return NGX_OK;
}


/* each worker has its own; 1: what it has is newer */

static ngx_uint_t
ngx_http_claude_relay_objects_settings(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_queue_t *objects,
    ngx_http_claude_relay_since_t *since, ngx_log_t *log)
{
    ngx_uint_t                       older;
    ngx_queue_t                     *q;
    ngx_http_claude_relay_object_t  *object;

    older = 0;

    for (q = ngx_queue_head(objects);
         q != ngx_queue_sentinel(objects);
         q = ngx_queue_next(q))
    {
        object = ngx_queue_data(q, ngx_http_claude_relay_object_t, queue);

        if (ngx_http_claude_relay_setting_of(&object->row) < 0) {
            continue;
        }

        ngx_http_claude_relay_object_read(rmcf, object);

        if (object->setting == NULL && !object->row.removed) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "store: setting \"%s\": %s; it is not used",
                          object->row.name,
                          object->error ? object->error : "no memory");
            continue;
        }

        if (ngx_http_claude_relay_setting_apply(rmcf, since->file,
                                                &object->row,
                                                object->setting)
            == NGX_ABORT)
        {
            older = 1;
        }

        object->setting = NULL;
    }

    return older;
}


/* NGX_ABORT in rc: what the zone has is newer */

static void
ngx_http_claude_relay_object_apply_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_object_t *object)
{
    ncr_store_object_t                *row;
    ngx_http_claude_relay_subjects_t  *subjects;

    row = &object->row;
    subjects = rmcf->subjects;

    object->rc = NGX_DECLINED;

    if (row->seq <= subjects->seq) {
        return;
    }

    if (object->scope >= 0 && !row->removed && object->key == NULL
        && object->error == NULL)
    {
        /* not read: the file was another one a moment ago */

        return;
    }

    if (object->scope >= 0) {

        if (object->key) {
            object->rc = ngx_http_claude_relay_subject_put_locked(rmcf,
                                                          object->key, row);

        } else {

            /* what cannot be read is in force no longer, either */

            ngx_http_claude_relay_subject_remove_locked(rmcf, object->scope,
                                                        row->id, row->seq);

            object->rc = row->removed ? NGX_OK : NGX_ERROR;
        }
    }

    subjects->seq = row->seq;
}


static void
ngx_http_claude_relay_object_said(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_object_t *object, ngx_log_t *log)
{
    if (object->key) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "no room for %s \"%s\" in zone \"%V\"; it is not used",
                      object->row.kind, object->row.name,
                      &rmcf->shm_zone->shm.name);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, log, 0, "store: %s; it is not used",
                  object->error ? object->error : "no memory");
}


/* all that the zone has of the store, one after the other */

ncr_store_object_t *
ngx_http_claude_relay_objects_remember(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t *n)
{
    ngx_uint_t                         i, max;
    ncr_store_object_t                *rows, *more;
    ngx_http_claude_relay_subject_t   *s;
    ngx_http_claude_relay_subjects_t  *subjects;

    subjects = rmcf->subjects;
    rows = NULL;
    max = 0;
    *n = 0;

    if (subjects == NULL) {
        return NULL;
    }

    for (i = 0; i <= subjects->mask; i++) {

        ngx_shmtx_lock(&rmcf->shpool->mutex);

        for (s = subjects->ids[i]; s; s = s->by_id) {

            if (*n == max) {
                max = max ? max * 2 : 64;
                more = ngx_alloc(max * sizeof(ncr_store_object_t),
                                 ngx_cycle->log);
                if (more == NULL) {
                    break;
                }

                if (rows) {
                    ngx_memcpy(more, rows, *n * sizeof(ncr_store_object_t));
                    ngx_free(rows);
                }

                rows = more;
            }

            if (ngx_http_claude_relay_subject_row_locked(s, &rows[*n])
                == NGX_OK)
            {
                (*n)++;
            }
        }

        ngx_shmtx_unlock(&rmcf->shpool->mutex);
    }

    return ngx_http_claude_relay_objects_more(rmcf, rows, n);
}


/* and settings, with texts of their own */

static ncr_store_object_t *
ngx_http_claude_relay_objects_more(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_store_object_t *rows, ngx_uint_t *n)
{
    size_t                            len;
    ngx_uint_t                        i;
    ncr_store_object_t               *more;
    ngx_http_claude_relay_setting_t  *s;

    more = ngx_alloc((*n + NGX_HTTP_CLAUDE_RELAY_SETTINGS)
                     * sizeof(ncr_store_object_t), ngx_cycle->log);
    if (more == NULL) {
        return rows;
    }

    if (rows) {
        ngx_memcpy(more, rows, *n * sizeof(ncr_store_object_t));
        ngx_free(rows);
    }

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_SETTINGS; i++) {

        s = rmcf->settings[i];
        if (s == NULL) {
            continue;
        }

        len = ngx_strlen(s->row.data);

        more[*n] = s->row;
        more[*n].data = ngx_http_claude_relay_dup(s->row.data, len);

        if (more[*n].data) {
            (*n)++;
        }
    }

    return more;
}


/*
 * The zone knows of a first use at once, the store a little later; if it
 * cannot be told, the time begins anew when nginx is started anew.
 */

void
ngx_http_claude_relay_activated(uint64_t id, ncr_msec_t at)
{
    ngx_http_claude_relay_activation_t  *a;

    a = ngx_calloc(sizeof(ngx_http_claude_relay_activation_t),
                   ngx_cycle->log);
    if (a == NULL) {
        return;
    }

    a->id = id;
    a->at = at;
    a->job.data = a;
    a->job.run = ngx_http_claude_relay_activate_run;
    a->job.done = ngx_http_claude_relay_activate_done;

    if (ngx_http_claude_relay_store_post(&a->job) != NGX_OK) {
        ngx_free(a);
    }
}


static void
ngx_http_claude_relay_activate_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_activation_t  *a = job->data;

    ngx_http_claude_relay_job_rc(store, job,
                            ncr_store_object_activate(store, a->id, a->at));
}


static void
ngx_http_claude_relay_activate_done(ngx_http_claude_relay_job_t *job)
{
    if (job->rc == NCR_OK) {
        ngx_http_claude_relay_store_touched();

    } else if (job->rc != NCR_DECLINED) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "the first use of a key cannot be stored: %s",
                      job->error);
    }

    ngx_free(job->data);
}
