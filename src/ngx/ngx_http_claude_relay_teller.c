
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The teller and the store: what was told before, which hooks there are and
 * what is due for them, what was told just now.
 */


#include "ngx_http_claude_relay_alerts.h"
#include "ncr_oauth_text.h"


/* hooks are read again this often, ms */
#define NGX_HTTP_CLAUDE_RELAY_LOOK  5000


/* what was told, as the store has it */

typedef struct {
    ngx_http_claude_relay_job_t        job;
    ngx_uint_t                         serial;
    ngx_queue_t                        rows;    /* ..._noted_t */
} ngx_http_claude_relay_load_t;


/* hooks and what is due for them */

typedef struct {
    ngx_http_claude_relay_job_t        job;
    ngx_uint_t                         serial;
    ncr_msec_t                         now;
    ncr_msec_t                         next;
    ngx_queue_t                        hooks;
    ngx_queue_t                        due;
} ngx_http_claude_relay_glance_t;


typedef struct {
    ngx_http_claude_relay_job_t        job;
    ngx_uint_t                         serial;
    ncr_msec_t                         now;
    ngx_queue_t                        noted;
    ngx_queue_t                        untold;
    ncr_store_alert_t                 *alerts;
    size_t                             nalerts;
    ncr_store_delivery_t              *deliveries;
    size_t                             ndeliveries;
} ngx_http_claude_relay_save_t;


static void ngx_http_claude_relay_load_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_load_row(void *data,
    ncr_store_alert_t *row);
static void ngx_http_claude_relay_load_done(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_load_alert(
    ngx_http_claude_relay_teller_t *t, ncr_store_alert_t *row);
static void ngx_http_claude_relay_glance_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static ncr_int_t ngx_http_claude_relay_glance_hook(void *data,
    ncr_store_hook_t *row);
static ncr_int_t ngx_http_claude_relay_glance_due(void *data,
    ncr_store_delivery_t *row);
static void ngx_http_claude_relay_glance_done(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_glance_take(
    ngx_http_claude_relay_teller_t *t, ngx_http_claude_relay_glance_t *g);
static ngx_uint_t ngx_http_claude_relay_delivery_known(
    ngx_http_claude_relay_teller_t *t, uint64_t id);
static void ngx_http_claude_relay_glance_free(
    ngx_http_claude_relay_glance_t *g);
static void ngx_http_claude_relay_save_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_save_done(
    ngx_http_claude_relay_job_t *job);
static void ngx_http_claude_relay_save_failed(
    ngx_http_claude_relay_teller_t *t, ngx_http_claude_relay_save_t *s);
static ngx_http_claude_relay_save_t *ngx_http_claude_relay_save_make(
    ngx_http_claude_relay_teller_t *t);
static void ngx_http_claude_relay_save_free(ngx_http_claude_relay_save_t *s);


/* takes data, in any case */

ngx_http_claude_relay_noted_t *
ngx_http_claude_relay_noted(const char *key, char *data)
{
    ngx_http_claude_relay_noted_t  *n;

    n = ngx_calloc(sizeof(ngx_http_claude_relay_noted_t), ngx_cycle->log);

    if (n == NULL) {
        ngx_free(data);
        return NULL;
    }

    n->row.data = data;
    n->row.key = ngx_http_claude_relay_dup(key, ngx_strlen(key));

    if (n->row.key == NULL) {
        ngx_free(data);
        ngx_free(n);
        return NULL;
    }

    return n;
}


/* in place of what was noted of it before */

void
ngx_http_claude_relay_noted_put(ngx_queue_t *noted,
    ngx_http_claude_relay_noted_t *n)
{
    ngx_queue_t                    *q;
    ngx_http_claude_relay_noted_t  *old;

    for (q = ngx_queue_head(noted);
         q != ngx_queue_sentinel(noted);
         q = ngx_queue_next(q))
    {
        old = ngx_queue_data(q, ngx_http_claude_relay_noted_t, queue);

        if (ngx_strcmp(old->row.key, n->row.key) == 0) {
            ngx_queue_remove(q);
            ngx_free(old->row.key);
            ngx_free(old->row.data);
            ngx_free(old);
            break;
        }
    }

    ngx_queue_insert_tail(noted, &n->queue);
}


void
ngx_http_claude_relay_noted_free(ngx_queue_t *noted)
{
    ngx_queue_t                    *q;
    ngx_http_claude_relay_noted_t  *n;

    while (!ngx_queue_empty(noted)) {
        q = ngx_queue_head(noted);
        n = ngx_queue_data(q, ngx_http_claude_relay_noted_t, queue);

        ngx_queue_remove(q);

        ngx_free(n->row.key);
        ngx_free(n->row.data);
        ngx_free(n);
    }
}


void
ngx_http_claude_relay_load(ngx_http_claude_relay_teller_t *t)
{
    ngx_http_claude_relay_load_t  *l;

    if (t->loading) {
        return;
    }

    l = ngx_calloc(sizeof(ngx_http_claude_relay_load_t), ngx_cycle->log);
    if (l == NULL) {
        return;
    }

    ngx_queue_init(&l->rows);

    l->serial = t->serial;
    l->job.data = l;
    l->job.run = ngx_http_claude_relay_load_run;
    l->job.done = ngx_http_claude_relay_load_done;

    if (ngx_http_claude_relay_store_post(&l->job) != NGX_OK) {
        ngx_free(l);
        return;
    }

    t->loading = 1;
}


static void
ngx_http_claude_relay_load_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_load_t *l = job->data;

    ngx_http_claude_relay_noted_free(&l->rows);

    ngx_http_claude_relay_job_rc(store, job,
              ncr_store_alerts(store, ngx_http_claude_relay_load_row, l));
}


static ncr_int_t
ngx_http_claude_relay_load_row(void *data, ncr_store_alert_t *row)
{
    ngx_http_claude_relay_load_t *l = data;

    char                           *text;
    ngx_http_claude_relay_noted_t  *n;

    text = ngx_http_claude_relay_dup(row->data, ngx_strlen(row->data));
    n = text ? ngx_http_claude_relay_noted(row->key, text) : NULL;

    if (n == NULL) {
        return NCR_ERROR;
    }

    n->row.since = row->since;
    n->row.told = row->told;
    n->row.ended = row->ended;

    ngx_queue_insert_tail(&l->rows, &n->queue);

    return NCR_OK;
}


static void
ngx_http_claude_relay_load_done(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_load_t *l = job->data;

    ngx_queue_t                     *q;
    ngx_http_claude_relay_noted_t   *n;
    ngx_http_claude_relay_teller_t  *t;

    t = ngx_http_claude_relay_teller_of(l->serial);

    if (t) {
        t->loading = 0;
    }

    if (t && job->rc == NCR_OK) {

        for (q = ngx_queue_head(&l->rows);
             q != ngx_queue_sentinel(&l->rows);
             q = ngx_queue_next(q))
        {
            n = ngx_queue_data(q, ngx_http_claude_relay_noted_t, queue);
            ngx_http_claude_relay_load_alert(t, &n->row);
        }

        t->loaded = 1;
    }

    ngx_http_claude_relay_noted_free(&l->rows);
    ngx_free(l);
}


static void
ngx_http_claude_relay_load_alert(ngx_http_claude_relay_teller_t *t,
    ncr_store_alert_t *row)
{
    char         *fields;
    cJSON        *json, *item, *step;
    ncr_int_t     kind, level;
    ncr_str_t     s, subject;
    ncr_alert_t  *a;

    json = cJSON_Parse(row->data);

    s = ncr_oauth_string(json, "type");
    kind = ncr_alert_kind(&s);

    s = ncr_oauth_string(json, "level");
    level = ncr_alert_level(&s);

    subject = ncr_oauth_string(json, "subject");
    step = ncr_oauth_member(json, "step");

    if (kind == -1 || level == -1 || subject.data == NULL) {
        cJSON_Delete(json);
        return;
    }

    a = ncr_alert_restore(t->alerts, (ncr_alert_kind_e) kind,
                          (char *) subject.data,
                          row->ended ? 0
                          : cJSON_IsNumber(step)
                            ? (ngx_uint_t) step->valuedouble : 1,
                          row->since, row->told);

    if (a) {
        a->level = (ncr_alert_level_e) level;
        a->ended = row->ended;

        s = ncr_oauth_string(json, "title");
        ncr_str_copy(a->title, sizeof(a->title), &s);

        s = ncr_oauth_string(json, "text");
        ncr_str_copy(a->text, sizeof(a->text), &s);

        item = ncr_oauth_member(json, "fields");
        fields = item ? cJSON_PrintUnformatted(item) : NULL;

        if (fields && ngx_strlen(fields) < sizeof(a->fields)) {
            (void) ngx_cpystrn((u_char *) a->fields, (u_char *) fields,
                               sizeof(a->fields));
        }

        cJSON_free(fields);
    }

    cJSON_Delete(json);
}


void
ngx_http_claude_relay_glance(ngx_http_claude_relay_teller_t *t)
{
    ncr_msec_t                       now;
    ngx_http_claude_relay_glance_t  *g;

    now = ngx_http_claude_relay_now();

    if (t->looking
        || (!t->again && (t->due == 0 || t->due > now)
            && ngx_current_msec - t->looked < NGX_HTTP_CLAUDE_RELAY_LOOK))
    {
        return;
    }

    g = ngx_calloc(sizeof(ngx_http_claude_relay_glance_t), ngx_cycle->log);
    if (g == NULL) {
        return;
    }

    ngx_queue_init(&g->hooks);
    ngx_queue_init(&g->due);

    g->serial = t->serial;
    g->now = now;
    g->job.data = g;
    g->job.run = ngx_http_claude_relay_glance_run;
    g->job.done = ngx_http_claude_relay_glance_done;

    if (ngx_http_claude_relay_store_post(&g->job) != NGX_OK) {
        ngx_free(g);
        return;
    }

    t->looking = 1;
    t->looked = ngx_current_msec;
    t->again = 0;
    t->due = 0;
}


static void
ngx_http_claude_relay_glance_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_glance_t *g = job->data;

    ncr_int_t  rc;

    /* it may be run twice */

    ngx_http_claude_relay_hooks_free(&g->hooks);
    ngx_http_claude_relay_deliveries_free(&g->due);

    rc = ncr_store_hooks(store, ngx_http_claude_relay_glance_hook, g);

    if (rc == NCR_OK) {
        rc = ncr_store_deliveries(store, g->now,
                                  ngx_http_claude_relay_glance_due, g,
                                  &g->next);
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static ncr_int_t
ngx_http_claude_relay_glance_hook(void *data, ncr_store_hook_t *row)
{
    ngx_http_claude_relay_glance_t *g = data;

    ngx_http_claude_relay_hook_t  *hook;

    hook = ngx_http_claude_relay_hook(row);
    if (hook == NULL) {
        return NCR_ERROR;
    }

    ngx_queue_insert_tail(&g->hooks, &hook->queue);

    return NCR_OK;
}


static ncr_int_t
ngx_http_claude_relay_glance_due(void *data, ncr_store_delivery_t *row)
{
    ngx_http_claude_relay_glance_t *g = data;

    ngx_http_claude_relay_delivery_t  *d;

    d = ngx_calloc(sizeof(ngx_http_claude_relay_delivery_t), ngx_cycle->log);
    if (d == NULL) {
        return NCR_ERROR;
    }

    d->event = ngx_http_claude_relay_dup(row->event, ngx_strlen(row->event));

    if (d->event == NULL) {
        ngx_free(d);
        return NCR_ERROR;
    }

    ngx_memcpy(d->hook, row->hook, sizeof(d->hook));

    d->id = row->id;
    d->attempts = row->attempts;
    d->next = row->next;

    ngx_queue_insert_tail(&g->due, &d->queue);

    return NCR_OK;
}


static void
ngx_http_claude_relay_glance_done(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_glance_t *g = job->data;

    ngx_http_claude_relay_teller_t  *t;

    t = ngx_http_claude_relay_teller_of(g->serial);

    if (t) {
        t->looking = 0;

        if (job->rc == NCR_OK) {
            ngx_http_claude_relay_glance_take(t, g);
            ngx_http_claude_relay_deliveries(t);
        }
    }

    ngx_http_claude_relay_glance_free(g);
}


static void
ngx_http_claude_relay_glance_take(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_glance_t *g)
{
    ngx_queue_t                       *q;
    ngx_http_claude_relay_hook_t      *hook, *old;
    ngx_http_claude_relay_delivery_t  *d;

    if (g->next && (t->due == 0 || t->due > g->next)) {
        t->due = g->next;
    }

    for (q = ngx_queue_head(&g->hooks);
         q != ngx_queue_sentinel(&g->hooks);
         q = ngx_queue_next(q))
    {
        hook = ngx_queue_data(q, ngx_http_claude_relay_hook_t, queue);
        old = ngx_http_claude_relay_hook_find(t, hook->row.name);

        if (old) {
            hook->minute = old->minute;
            hook->count = old->count;
            hook->dropped = old->dropped;
        }
    }

    ngx_http_claude_relay_hooks_free(&t->hooks);

    while (!ngx_queue_empty(&g->hooks)) {
        q = ngx_queue_head(&g->hooks);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&t->hooks, q);
    }

    while (!ngx_queue_empty(&g->due)) {

        q = ngx_queue_head(&g->due);
        d = ngx_queue_data(q, ngx_http_claude_relay_delivery_t, queue);

        ngx_queue_remove(q);

        if (ngx_http_claude_relay_delivery_known(t, d->id)) {
            ngx_http_claude_relay_delivery_free(d);
            continue;
        }

        ngx_queue_insert_tail(&t->deliveries, q);
    }
}


static ngx_uint_t
ngx_http_claude_relay_delivery_known(ngx_http_claude_relay_teller_t *t,
    uint64_t id)
{
    ngx_queue_t                       *q;
    ngx_http_claude_relay_delivery_t  *d;

    for (q = ngx_queue_head(&t->deliveries);
         q != ngx_queue_sentinel(&t->deliveries);
         q = ngx_queue_next(q))
    {
        d = ngx_queue_data(q, ngx_http_claude_relay_delivery_t, queue);

        if (d->id == id) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_claude_relay_glance_free(ngx_http_claude_relay_glance_t *g)
{
    ngx_http_claude_relay_hooks_free(&g->hooks);
    ngx_http_claude_relay_deliveries_free(&g->due);

    ngx_free(g);
}


/* one at a time; what comes meanwhile is for the next */

void
ngx_http_claude_relay_teller_save(ngx_http_claude_relay_teller_t *t)
{
    ngx_http_claude_relay_save_t  *s;

    if (t->saving
        || (ngx_queue_empty(&t->noted) && ngx_queue_empty(&t->untold)))
    {
        return;
    }

    s = ngx_http_claude_relay_save_make(t);
    if (s == NULL) {
        return;
    }

    if (ngx_http_claude_relay_store_post(&s->job) != NGX_OK) {
        ngx_http_claude_relay_save_failed(t, s);
        ngx_http_claude_relay_save_free(s);
        return;
    }

    t->saving = 1;
}


static ngx_http_claude_relay_save_t *
ngx_http_claude_relay_save_make(ngx_http_claude_relay_teller_t *t)
{
    size_t                             nalerts, ndeliveries;
    ngx_queue_t                       *q;
    ngx_http_claude_relay_save_t      *s;
    ngx_http_claude_relay_noted_t     *n;
    ngx_http_claude_relay_delivery_t  *d;

    nalerts = 0;
    ndeliveries = 0;

    for (q = ngx_queue_head(&t->noted);
         q != ngx_queue_sentinel(&t->noted);
         q = ngx_queue_next(q))
    {
        nalerts++;
    }

    for (q = ngx_queue_head(&t->untold);
         q != ngx_queue_sentinel(&t->untold);
         q = ngx_queue_next(q))
    {
        ndeliveries++;
    }

    s = ngx_calloc(sizeof(ngx_http_claude_relay_save_t)
                   + nalerts * sizeof(ncr_store_alert_t)
                   + ndeliveries * sizeof(ncr_store_delivery_t),
                   ngx_cycle->log);
    if (s == NULL) {
        return NULL;
    }

    s->alerts = (ncr_store_alert_t *) &s[1];
    s->deliveries = (ncr_store_delivery_t *) &s->alerts[nalerts];

    ngx_queue_init(&s->noted);
    ngx_queue_init(&s->untold);

    /* texts stay where they are */

    while (!ngx_queue_empty(&t->noted)) {
        q = ngx_queue_head(&t->noted);
        n = ngx_queue_data(q, ngx_http_claude_relay_noted_t, queue);

        s->alerts[s->nalerts++] = n->row;

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&s->noted, q);
    }

    while (!ngx_queue_empty(&t->untold)) {
        q = ngx_queue_head(&t->untold);
        d = ngx_queue_data(q, ngx_http_claude_relay_delivery_t, queue);

        ngx_memcpy(s->deliveries[s->ndeliveries].hook, d->hook,
                   sizeof(d->hook));
        s->deliveries[s->ndeliveries++].event = d->event;

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&s->untold, q);
    }

    s->serial = t->serial;
    s->now = ngx_http_claude_relay_now();
    s->job.data = s;
    s->job.run = ngx_http_claude_relay_save_run;
    s->job.done = ngx_http_claude_relay_save_done;

    return s;
}


static void
ngx_http_claude_relay_save_run(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_save_t *s = job->data;

    ngx_http_claude_relay_job_rc(store, job,
                       ncr_store_tell(store, s->alerts, s->nalerts,
                                      s->deliveries, s->ndeliveries, s->now));
}


static void
ngx_http_claude_relay_save_done(ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_save_t *s = job->data;

    ngx_http_claude_relay_teller_t  *t;

    t = ngx_http_claude_relay_teller_of(s->serial);

    if (t) {
        t->saving = 0;

        if (job->rc == NCR_OK) {
            t->again = 1;

        } else {
            ngx_http_claude_relay_save_failed(t, s);
            ngx_http_claude_relay_deliveries(t);
        }
    }

    ngx_http_claude_relay_save_free(s);
}


/* what is to be told is told all the same, what was told is noted later */

static void
ngx_http_claude_relay_save_failed(ngx_http_claude_relay_teller_t *t,
    ngx_http_claude_relay_save_t *s)
{
    ngx_queue_t                    *q;
    ngx_http_claude_relay_noted_t  *n;

    /* what was noted since is newer */

    while (!ngx_queue_empty(&t->noted)) {
        q = ngx_queue_head(&t->noted);
        n = ngx_queue_data(q, ngx_http_claude_relay_noted_t, queue);

        ngx_queue_remove(q);
        ngx_http_claude_relay_noted_put(&s->noted, n);
    }

    while (!ngx_queue_empty(&s->noted)) {
        q = ngx_queue_head(&s->noted);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&t->noted, q);
    }

    while (!ngx_queue_empty(&s->untold)) {
        q = ngx_queue_head(&s->untold);
        ngx_queue_remove(q);
        ngx_queue_insert_tail(&t->deliveries, q);
    }
}


static void
ngx_http_claude_relay_save_free(ngx_http_claude_relay_save_t *s)
{
    ngx_http_claude_relay_noted_free(&s->noted);
    ngx_http_claude_relay_deliveries_free(&s->untold);

    ngx_free(s);
}
