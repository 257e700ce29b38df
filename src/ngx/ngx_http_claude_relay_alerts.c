
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The worker that tells an operator what is wrong: one of all, by a lease in
 * the zone that is void when its process is gone.  What was told is in the
 * store, with what is still to be told, so another one goes on where a worker
 * has died.
 */


#include "ngx_http_claude_relay_alerts.h"
#include "ngx_http_claude_relay_settings.h"
#include "ngx_http_claude_relay_books.h"
#include "ngx_http_claude_relay_feed.h"


/* a lease lasts this long, unless its worker dies, ms */
#define NGX_HTTP_CLAUDE_RELAY_LEASE  30000

/* how often the teller looks after its work, ms; while it goes through
 * accounts and keys, and otherwise */
#define NGX_HTTP_CLAUDE_RELAY_STEP   10
#define NGX_HTTP_CLAUDE_RELAY_TICK   500

/* how often others look for a teller */
#define NGX_HTTP_CLAUDE_RELAY_WATCH  1000


static void ngx_http_claude_relay_alerts_tick(ngx_event_t *ev);
static ngx_uint_t ngx_http_claude_relay_alerts_lease(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_alerts_release(
    ngx_http_claude_relay_main_conf_t *rmcf);
static ngx_uint_t ngx_http_claude_relay_alerts_held(
    ngx_http_claude_relay_zone_t *zone);
static void ngx_http_claude_relay_teller_start(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_teller_drop(void);
static void ngx_http_claude_relay_teller_work(
    ngx_http_claude_relay_teller_t *t);
static void ngx_http_claude_relay_teller_settings(
    ngx_http_claude_relay_teller_t *t);
static void ngx_http_claude_relay_tell(ngx_http_claude_relay_teller_t *t);
static void ngx_http_claude_relay_tell_one(ngx_http_claude_relay_teller_t *t,
    ncr_alert_tell_t *tell, ncr_msec_t now);
static void ngx_http_claude_relay_tell_sum(ngx_http_claude_relay_teller_t *t,
    ngx_uint_t n, ncr_uint_t *kinds, ncr_msec_t now);
static void ngx_http_claude_relay_event_id(ngx_http_claude_relay_teller_t *t,
    ncr_notify_event_t *event, u_char *buf, ncr_msec_t now);
static void ngx_http_claude_relay_event_set(ncr_str_t *s, const char *text);
static void ngx_http_claude_relay_event_fields(ncr_notify_event_t *event,
    cJSON *json);
static void ngx_http_claude_relay_alert_log(
    ngx_http_claude_relay_teller_t *t, ncr_notify_event_t *event,
    ngx_uint_t folded);
static void ngx_http_claude_relay_alert_feed(
    ngx_http_claude_relay_teller_t *t, ncr_notify_event_t *event);
static void ngx_http_claude_relay_alert_note(
    ngx_http_claude_relay_teller_t *t, ncr_alert_t *a);
static char *ngx_http_claude_relay_alert_data(ncr_alert_t *a);


static ngx_event_t                        ngx_http_claude_relay_watch;
static ngx_connection_t                   ngx_http_claude_relay_none;
static ngx_http_claude_relay_main_conf_t *ngx_http_claude_relay_told_of;
static ngx_http_claude_relay_teller_t    *ngx_http_claude_relay_the_teller;

/* of the last teller: a job of an older one is known by it */
static ngx_uint_t                         ngx_http_claude_relay_serial;


ngx_int_t
ngx_http_claude_relay_alerts_init_process(ngx_cycle_t *cycle,
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_event_t  *ev;

    if (rmcf->store == NULL || rmcf->alerts->off) {
        return NGX_OK;
    }

    ngx_http_claude_relay_told_of = rmcf;
    ngx_http_claude_relay_none.fd = (ngx_socket_t) -1;

    ev = &ngx_http_claude_relay_watch;
    ngx_memzero(ev, sizeof(ngx_event_t));

    ev->handler = ngx_http_claude_relay_alerts_tick;
    ev->log = cycle->log;
    ev->data = &ngx_http_claude_relay_none;
    ev->cancelable = 1;

    ngx_add_timer(ev, 50 + (ngx_msec_t) (ngx_random() % 500));

    return NGX_OK;
}


void
ngx_http_claude_relay_alerts_exit_process(void)
{
    if (ngx_http_claude_relay_told_of) {
        ngx_http_claude_relay_teller_drop();
        ngx_http_claude_relay_alerts_release(ngx_http_claude_relay_told_of);
    }
}


ngx_http_claude_relay_teller_t *
ngx_http_claude_relay_teller(void)
{
    return ngx_http_claude_relay_the_teller;
}


ngx_http_claude_relay_teller_t *
ngx_http_claude_relay_teller_of(ngx_uint_t serial)
{
    ngx_http_claude_relay_teller_t  *t;

    t = ngx_http_claude_relay_the_teller;

    return (t && t->serial == serial) ? t : NULL;
}


static void
ngx_http_claude_relay_alerts_tick(ngx_event_t *ev)
{
    ngx_msec_t                          ms;
    ngx_http_claude_relay_teller_t     *t;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_claude_relay_told_of;

    if (ngx_exiting || ngx_quit || ngx_terminate) {

        /* others go on, with the new configuration */

        ngx_http_claude_relay_teller_drop();
        ngx_http_claude_relay_alerts_release(rmcf);
        return;
    }

    ms = NGX_HTTP_CLAUDE_RELAY_WATCH;

    if (!ngx_http_claude_relay_alerts_lease(rmcf)) {
        ngx_http_claude_relay_teller_drop();

    } else {
        if (ngx_http_claude_relay_the_teller == NULL) {
            ngx_http_claude_relay_teller_start(rmcf);
        }

        t = ngx_http_claude_relay_the_teller;

        if (t) {
            ngx_http_claude_relay_teller_work(t);

            ms = t->pass.roster ? NGX_HTTP_CLAUDE_RELAY_STEP
                 : (t->again && t->loaded && !t->looking)
                   ? 1 : NGX_HTTP_CLAUDE_RELAY_TICK;
        }
    }

    ngx_add_timer(ev, ms);
}


/* is this worker the one that tells? */

static ngx_uint_t
ngx_http_claude_relay_alerts_lease(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                     mine;
    ngx_http_claude_relay_zone_t  *zone;

    zone = rmcf->zone;

    /* a glance without the lock; for most workers it is the only one */

    if (zone->alerter != ngx_pid && ngx_http_claude_relay_alerts_held(zone)) {
        return 0;
    }

    if (zone->alerter == ngx_pid
        && (ngx_msec_int_t) (zone->alert_deadline - ngx_current_msec)
           > NGX_HTTP_CLAUDE_RELAY_LEASE / 2)
    {
        return 1;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    mine = (zone->alerter == ngx_pid
            || !ngx_http_claude_relay_alerts_held(zone));

    if (mine) {
        zone->alert_deadline = ngx_current_msec + NGX_HTTP_CLAUDE_RELAY_LEASE;
        zone->alerter = ngx_pid;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    return mine;
}


static ngx_uint_t
ngx_http_claude_relay_alerts_held(ngx_http_claude_relay_zone_t *zone)
{
    ngx_pid_t  pid;

    pid = zone->alerter;

    return pid
           && (ngx_msec_int_t) (zone->alert_deadline - ngx_current_msec) > 0
           && (kill(pid, 0) == 0 || ngx_errno != ESRCH);
}


static void
ngx_http_claude_relay_alerts_release(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (rmcf->zone->alerter == ngx_pid) {
        rmcf->zone->alerter = 0;
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);
}


static void
ngx_http_claude_relay_teller_start(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_teller_t  *t;

    t = ngx_calloc(sizeof(ngx_http_claude_relay_teller_t), ngx_cycle->log);
    if (t == NULL) {
        return;
    }

    t->alerts = ngx_alloc(sizeof(ncr_alerts_t), ngx_cycle->log);

    if (t->alerts == NULL) {
        ngx_free(t);
        return;
    }

    t->rmcf = rmcf;
    t->own = *rmcf->alerts;
    t->conf = &t->own;

    ncr_alert_init(t->alerts, &t->conf->rules);

    ngx_queue_init(&t->hooks);
    ngx_queue_init(&t->noted);
    ngx_queue_init(&t->untold);
    ngx_queue_init(&t->deliveries);

    t->passed = ngx_current_msec - t->conf->interval;
    t->again = 1;

    t->serial = ++ngx_http_claude_relay_serial;

    ngx_http_claude_relay_the_teller = t;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ngx_cycle->log, 0,
                   "claude relay alerts: this worker tells");
}


/* jobs that are out come back to nobody, and free what they have */

static void
ngx_http_claude_relay_teller_drop(void)
{
    ngx_http_claude_relay_teller_t  *t;

    t = ngx_http_claude_relay_the_teller;

    if (t == NULL) {
        return;
    }

    ngx_http_claude_relay_the_teller = NULL;

    if (t->pass.roster) {
        ngx_http_claude_relay_pass_end(t);
    }

    ngx_http_claude_relay_hooks_free(&t->hooks);
    ngx_http_claude_relay_noted_free(&t->noted);
    ngx_http_claude_relay_deliveries_free(&t->untold);
    ngx_http_claude_relay_deliveries_free(&t->deliveries);

    ngx_free(t->alerts);
    ngx_free(t);
}


void
ngx_http_claude_relay_deliveries_free(ngx_queue_t *deliveries)
{
    ngx_queue_t                       *q;
    ngx_http_claude_relay_delivery_t  *d;

    while (!ngx_queue_empty(deliveries)) {

        q = ngx_queue_head(deliveries);
        d = ngx_queue_data(q, ngx_http_claude_relay_delivery_t, queue);

        ngx_queue_remove(q);

        if (d->posted) {
            q->next = NULL;
            continue;
        }

        ngx_http_claude_relay_delivery_free(d);
    }
}


static void
ngx_http_claude_relay_teller_work(ngx_http_claude_relay_teller_t *t)
{
    /* who knows nothing would tell everything again */

    if (!t->loaded) {
        ngx_http_claude_relay_load(t);
        return;
    }

    if (t->pass.roster) {

        if (ngx_http_claude_relay_pass_step(t) == NGX_OK) {
            ngx_http_claude_relay_pass_end(t);
            ngx_http_claude_relay_tell(t);
        }

    } else if (ngx_current_msec - t->passed >= t->conf->interval) {
        t->passed = ngx_current_msec;
        ngx_http_claude_relay_teller_settings(t);
        ngx_http_claude_relay_pass_begin(t);
    }

    ngx_http_claude_relay_teller_save(t);
    ngx_http_claude_relay_glance(t);
    ngx_http_claude_relay_deliveries(t);
}


/* thresholds of the API, where there are some, over those of nginx.conf */

static void
ngx_http_claude_relay_teller_settings(ngx_http_claude_relay_teller_t *t)
{
    cJSON      *json;
    uint32_t    hash;
    ngx_str_t   text;

    text = ngx_http_claude_relay_setting_alerts(t->rmcf);
    hash = text.len ? ngx_crc32_long(text.data, text.len) : 0;

    if (hash == t->settings) {
        return;
    }

    t->settings = hash;
    t->own = *t->rmcf->alerts;

    json = text.len ? cJSON_ParseWithLength((char *) text.data, text.len)
                    : NULL;

    /* it was checked when it was stored */

    if (json) {
        (void) ngx_http_claude_relay_alerts_object(&t->own, json);
        cJSON_Delete(json);
    }

    t->alerts->rules = t->own.rules;
}


static void
ngx_http_claude_relay_tell(ngx_http_claude_relay_teller_t *t)
{
    ncr_msec_t        now;
    ngx_uint_t        n;
    ncr_uint_t        kinds[NCR_ALERT_KINDS];
    ncr_alert_tell_t  tell;

    now = ngx_http_claude_relay_now();

    ncr_alert_rewind(t->alerts);

    while (ncr_alert_next(t->alerts, now, &tell) == NCR_OK) {
        ngx_http_claude_relay_tell_one(t, &tell, now);
    }

    n = ncr_alert_folded(t->alerts, now, kinds);

    if (n) {
        ngx_http_claude_relay_tell_sum(t, n, kinds, now);
    }

    if (t->alerts->full && !t->warned) {
        t->warned = 1;

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "alerts: there are more than %d of them, the others are "
                      "not told", NCR_ALERT_ROWS);
    }
}


static void
ngx_http_claude_relay_tell_one(ngx_http_claude_relay_teller_t *t,
    ncr_alert_tell_t *tell, ncr_msec_t now)
{
    cJSON               *fields;
    u_char               id[64], text[NCR_NOTIFY_TEXT];
    ncr_alert_t         *a;
    ncr_notify_event_t   event;

    a = tell->alert;

    ngx_http_claude_relay_alert_note(t, a);

    ngx_memzero(&event, sizeof(ncr_notify_event_t));

    ngx_http_claude_relay_event_id(t, &event, id, now);
    ngx_http_claude_relay_event_set(&event.type,
                                    ncr_alert_kind_name(a->kind));
    ngx_http_claude_relay_event_set(&event.level,
                                    ncr_alert_level_name(a->level));
    ngx_http_claude_relay_event_set(&event.state,
                                    (tell->what == NCR_ALERT_RESOLVED)
                                    ? "resolved" : "firing");
    ngx_http_claude_relay_event_set(&event.subject, a->subject);
    ngx_http_claude_relay_event_set(&event.title, a->title);

    if (tell->what == NCR_ALERT_FIRING) {
        ngx_http_claude_relay_event_set(&event.text, a->text);

    } else {
        (void) ngx_snprintf(text, sizeof(text), "%s%L minutes. %s%Z",
                            (tell->what == NCR_ALERT_RESOLVED)
                            ? "This is over; it was so for "
                            : "This has been so for ",
                            (int64_t) (now - a->since) / 60000, a->text);
        ngx_http_claude_relay_event_set(&event.text, (char *) text);
    }

    fields = cJSON_Parse(a->fields);
    ngx_http_claude_relay_event_fields(&event, fields);

    ngx_http_claude_relay_alert_log(t, &event, tell->folded);

    if (!tell->folded) {
        ngx_http_claude_relay_deliver(t, &event, a->kind, a->level);
    }

    cJSON_Delete(fields);
}


/* too many of them in a minute */

static void
ngx_http_claude_relay_tell_sum(ngx_http_claude_relay_teller_t *t,
    ngx_uint_t n, ncr_uint_t *kinds, ncr_msec_t now)
{
    u_char              *p, *last, id[64], title[128], text[512];
    ngx_uint_t           i;
    ncr_notify_event_t   event;

    ngx_memzero(&event, sizeof(ncr_notify_event_t));

    ngx_http_claude_relay_event_id(t, &event, id, now);
    ngx_http_claude_relay_event_set(&event.type, "storm");
    ngx_http_claude_relay_event_set(&event.level, "warning");
    ngx_http_claude_relay_event_set(&event.state, "firing");
    ngx_http_claude_relay_event_set(&event.subject, "alerts");

    (void) ngx_snprintf(title, sizeof(title), "%ui more alerts in a minute%Z",
                        n);
    ngx_http_claude_relay_event_set(&event.title, (char *) title);

    p = text;
    last = text + sizeof(text);

    p = ngx_slprintf(p, last, "They are told as one:");

    for (i = 0; i < NCR_ALERT_KINDS; i++) {
        if (kinds[i]) {
            p = ngx_slprintf(p, last, " %ui %s,", (ngx_uint_t) kinds[i],
                             ncr_alert_kind_name((ncr_alert_kind_e) i));
        }
    }

    (void) ngx_slprintf(p - 1, last, ". All of them are in the list of "
                        "alerts.%Z");
    ngx_http_claude_relay_event_set(&event.text, (char *) text);

    ngx_http_claude_relay_alert_log(t, &event, 0);
    ngx_http_claude_relay_deliver(t, &event, NGX_HTTP_CLAUDE_RELAY_HOOK_STORM,
                                  NCR_ALERT_WARNING);
}


/* buf is of 64 bytes, as long as the event */

static void
ngx_http_claude_relay_event_id(ngx_http_claude_relay_teller_t *t,
    ncr_notify_event_t *event, u_char *buf, ncr_msec_t now)
{
    event->id.data = buf;
    event->id.len = ngx_sprintf(buf, "%xL-%P-%ui", now, ngx_pid, t->events++)
                    - buf;

    event->time = now;
    event->service = *ncr(&t->conf->service);
}


static void
ngx_http_claude_relay_event_set(ncr_str_t *s, const char *text)
{
    s->data = (u_char *) text;
    s->len = ngx_strlen(text);
}


static void
ngx_http_claude_relay_event_fields(ncr_notify_event_t *event, cJSON *json)
{
    cJSON               *item;
    ncr_notify_field_t  *field;

    cJSON_ArrayForEach(item, json) {

        if (event->nfields == NCR_NOTIFY_FIELDS || !cJSON_IsString(item)) {
            continue;
        }

        field = &event->fields[event->nfields++];

        ngx_http_claude_relay_event_set(&field->name, item->string);
        ngx_http_claude_relay_event_set(&field->value, item->valuestring);
    }
}


/* the one place that all of them pass */

static void
ngx_http_claude_relay_alert_log(ngx_http_claude_relay_teller_t *t,
    ncr_notify_event_t *event, ngx_uint_t folded)
{
    ngx_uint_t  level;

    level = (folded || ncr_str_eq(&event->state, "resolved"))
            ? NGX_LOG_NOTICE : NGX_LOG_WARN;

    ngx_log_error(level, ngx_cycle->log, 0, "alert %V %V: %V: %V",
                  (ngx_str_t *) &event->type, (ngx_str_t *) &event->state,
                  (ngx_str_t *) &event->title, (ngx_str_t *) &event->text);

    if (ngx_http_claude_relay_feed_wanted(t->rmcf->zone)) {
        ngx_http_claude_relay_alert_feed(t, event);
    }
}


/* what of it fits into an event of the feed */

static void
ngx_http_claude_relay_alert_feed(ngx_http_claude_relay_teller_t *t,
    ncr_notify_event_t *event)
{
    u_char      buf[NGX_HTTP_CLAUDE_RELAY_FEED_TEXT];
    ncr_out_t   out;
    ngx_str_t   text;
    ngx_uint_t  i;

    struct {
        const char  *name;
        ncr_str_t   *value;
    } members[] = {
        { "{\"type\":", &event->type },
        { ",\"level\":", &event->level },
        { ",\"state\":", &event->state },
        { ",\"subject\":", &event->subject },
        { ",\"title\":", &event->title }
    };

    ncr_out_init(&out, buf, sizeof(buf));

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        ncr_out_text(&out, members[i].name);
        ncr_out_json_string(&out, members[i].value);
    }

    ncr_out_text(&out, "}");

    if (!out.overflow) {
        text.data = buf;
        text.len = out.last - out.start;

        ngx_http_claude_relay_feed(t->rmcf, "alert", &text);
    }
}


static void
ngx_http_claude_relay_alert_note(ngx_http_claude_relay_teller_t *t,
    ncr_alert_t *a)
{
    char                           *data;
    ngx_http_claude_relay_noted_t  *n;

    data = ngx_http_claude_relay_alert_data(a);
    n = data ? ngx_http_claude_relay_noted(a->key, data) : NULL;

    if (n == NULL) {
        return;
    }

    n->row.since = a->since;
    n->row.told = a->told;
    n->row.ended = a->ended;

    ngx_http_claude_relay_noted_put(&t->noted, n);
}


static char *
ngx_http_claude_relay_alert_data(ncr_alert_t *a)
{
    char   *text, *data;
    cJSON  *json;

    json = cJSON_CreateObject();

    (void) cJSON_AddStringToObject(json, "type",
                                   ncr_alert_kind_name(a->kind));
    (void) cJSON_AddStringToObject(json, "level",
                                   ncr_alert_level_name(a->level));
    (void) cJSON_AddStringToObject(json, "subject", a->subject);
    (void) cJSON_AddStringToObject(json, "title", a->title);
    (void) cJSON_AddStringToObject(json, "text", a->text);
    (void) cJSON_AddItemToObject(json, "fields", cJSON_Parse(a->fields));
    (void) cJSON_AddNumberToObject(json, "step", (double) a->step);

    text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);

    data = text ? ngx_http_claude_relay_dup(text, ngx_strlen(text)) : NULL;
    cJSON_free(text);

    return data;
}
