
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_alert.h"
#include "ncr_str.h"

#include <stdio.h>


#define NCR_ALERT_MINUTE  60000


static uint32_t ncr_alert_hash(const char *key);
static ncr_alert_t *ncr_alert_find(ncr_alerts_t *alerts, const char *key,
    uint32_t hash);
static ncr_alert_t *ncr_alert_new(ncr_alerts_t *alerts, ncr_alert_kind_e kind,
    const char *subject, const char *key, uint32_t hash);
static void ncr_alert_key(char *key, ncr_alert_kind_e kind,
    const char *subject);
static ncr_uint_t ncr_alert_step(ncr_alert_sample_t *sample, ncr_uint_t was);
static void ncr_alert_observe(ncr_alert_t *row, ncr_uint_t observed,
    ncr_msec_t since, ncr_msec_t now);
static ncr_int_t ncr_alert_judge(ncr_alerts_t *alerts, ncr_alert_t *row,
    ncr_msec_t now, ncr_alert_tell_e *what);
static ncr_uint_t ncr_alert_fold(ncr_alerts_t *alerts, ncr_alert_kind_e kind,
    ncr_msec_t now);
static ncr_msec_t ncr_alert_age(ncr_msec_t since, ncr_msec_t now);


static const char  *ncr_alert_kinds[] = {
    "needs-login", "resting", "quota", "budget", "errors", "pool", "store",
    "ledger", "audit", "security", "fleet"
};

static const char  *ncr_alert_levels[] = { "info", "warning", "critical" };


void
ncr_alert_init(ncr_alerts_t *alerts, ncr_alert_rules_t *rules)
{
    memset(alerts, 0, sizeof(ncr_alerts_t));

    alerts->rules = *rules;
}


ncr_int_t
ncr_alert_kind(ncr_str_t *name)
{
    ncr_int_t  i;

    for (i = 0; i < NCR_ALERT_KINDS; i++) {
        if (ncr_str_eq(name, ncr_alert_kinds[i])) {
            return i;
        }
    }

    return -1;
}


ncr_int_t
ncr_alert_level(ncr_str_t *name)
{
    ncr_int_t  i;

    for (i = 0; i < NCR_ALERT_LEVELS; i++) {
        if (ncr_str_eq(name, ncr_alert_levels[i])) {
            return i;
        }
    }

    return -1;
}


const char *
ncr_alert_kind_name(ncr_alert_kind_e kind)
{
    return ncr_alert_kinds[kind];
}


const char *
ncr_alert_level_name(ncr_alert_level_e level)
{
    return ncr_alert_levels[level];
}


/* FNV-1a */

static uint32_t
ncr_alert_hash(const char *key)
{
    uint32_t  hash;

    for (hash = 2166136261u; *key; key++) {
        hash = (hash ^ (unsigned char) *key) * 16777619u;
    }

    return hash;
}


static void
ncr_alert_key(char *key, ncr_alert_kind_e kind, const char *subject)
{
    snprintf(key, NCR_ALERT_KEY, "%s/%.*s", ncr_alert_kinds[kind],
             NCR_ALERT_SUBJECT - 1, subject);
}


static ncr_alert_t *
ncr_alert_find(ncr_alerts_t *alerts, const char *key, uint32_t hash)
{
    ncr_uint_t  i;

    for (i = 0; i < alerts->n; i++) {
        if (alerts->rows[i].hash == hash
            && strcmp(alerts->rows[i].key, key) == 0)
        {
            return &alerts->rows[i];
        }
    }

    return NULL;
}


static ncr_alert_t *
ncr_alert_new(ncr_alerts_t *alerts, ncr_alert_kind_e kind,
    const char *subject, const char *key, uint32_t hash)
{
    ncr_uint_t    i;
    ncr_alert_t  *row;

    for (i = 0; i < alerts->n; i++) {
        if (alerts->rows[i].key[0] == '\0') {
            break;
        }
    }

    if (i == NCR_ALERT_ROWS) {
        alerts->full = 1;
        return NULL;
    }

    if (i == alerts->n) {
        alerts->n++;
    }

    row = &alerts->rows[i];

    memset(row, 0, sizeof(ncr_alert_t));

    snprintf(row->key, sizeof(row->key), "%s", key);
    snprintf(row->subject, sizeof(row->subject), "%s", subject);
    snprintf(row->fields, sizeof(row->fields), "{}");

    row->hash = hash;
    row->kind = kind;
    row->level = NCR_ALERT_WARNING;

    return row;
}


ncr_alert_t *
ncr_alert_restore(ncr_alerts_t *alerts, ncr_alert_kind_e kind,
    const char *subject, ncr_uint_t step, ncr_msec_t since, ncr_msec_t told)
{
    char          key[NCR_ALERT_KEY];
    uint32_t      hash;
    ncr_alert_t  *row;

    ncr_alert_key(key, kind, subject);
    hash = ncr_alert_hash(key);

    row = ncr_alert_find(alerts, key, hash);

    if (row == NULL) {
        row = ncr_alert_new(alerts, kind, subject, key, hash);
    }

    if (row == NULL) {
        return NULL;
    }

    row->step = step;
    row->observed = step;
    row->since = since;
    row->told = told;
    row->round = alerts->round[kind];

    return row;
}


void
ncr_alert_begin(ncr_alerts_t *alerts, ncr_alert_kind_e kind)
{
    alerts->round[kind]++;
}


ncr_alert_t *
ncr_alert_sample(ncr_alerts_t *alerts, ncr_alert_sample_t *sample,
    ncr_msec_t now)
{
    char          key[NCR_ALERT_KEY];
    uint32_t      hash;
    ncr_uint_t    observed;
    ncr_alert_t  *row;

    ncr_alert_key(key, sample->kind, sample->subject);
    hash = ncr_alert_hash(key);

    row = ncr_alert_find(alerts, key, hash);

    observed = ncr_alert_step(sample, row ? row->observed : 0);

    if (row == NULL && observed) {
        row = ncr_alert_new(alerts, sample->kind, sample->subject, key, hash);
    }

    if (row == NULL) {
        return NULL;
    }

    row->round = alerts->round[sample->kind];
    row->hold = sample->hold;

    ncr_alert_observe(row, observed, sample->since, now);

    /* what is over is told in the words it was told in */

    return observed ? row : NULL;
}


/* the highest step that is reached, or was and is not left yet */

static ncr_uint_t
ncr_alert_step(ncr_alert_sample_t *sample, ncr_uint_t was)
{
    uint32_t     at;
    ncr_uint_t   i;

    if (sample->steps == NULL) {
        return sample->value != 0;
    }

    for (i = sample->steps->n; i; i--) {

        at = sample->steps->at[i - 1];

        if (i <= was) {
            at -= ncr_min(at - 1, sample->margin);
        }

        if (sample->value >= at) {
            break;
        }
    }

    return i;
}


static void
ncr_alert_observe(ncr_alert_t *row, ncr_uint_t observed, ncr_msec_t since,
    ncr_msec_t now)
{
    row->observed = observed;

    if (observed <= row->step) {
        row->rose = 0;

    } else if (row->rose == 0) {
        row->rose = (since && since < now) ? since : now;
    }

    if (observed) {
        row->fell = 0;

    } else if (row->fell == 0) {
        row->fell = now;
    }
}


void
ncr_alert_end(ncr_alerts_t *alerts, ncr_alert_kind_e kind, ncr_msec_t now)
{
    ncr_uint_t    i;
    ncr_alert_t  *row;

    for (i = 0; i < alerts->n; i++) {

        row = &alerts->rows[i];

        if (row->key[0] && row->kind == kind
            && row->round != alerts->round[kind])
        {
            ncr_alert_observe(row, 0, 0, now);
        }
    }
}


void
ncr_alert_keep(ncr_alerts_t *alerts, ncr_alert_kind_e kind,
    const char *subject)
{
    size_t        len;
    ncr_uint_t    i;
    ncr_alert_t  *row;

    len = strlen(subject);

    for (i = 0; i < alerts->n; i++) {

        row = &alerts->rows[i];

        if (row->key[0] && row->kind == kind
            && strncmp(row->subject, subject, len) == 0
            && (len == 0 || row->subject[len] == '\0'
                || row->subject[len] == '/'))
        {
            row->round = alerts->round[kind];
        }
    }
}


void
ncr_alert_rewind(ncr_alerts_t *alerts)
{
    alerts->pos = 0;
}


ncr_int_t
ncr_alert_next(ncr_alerts_t *alerts, ncr_msec_t now, ncr_alert_tell_t *tell)
{
    ncr_int_t     rc;
    ncr_alert_t  *row;

    while (alerts->pos < alerts->n) {

        row = &alerts->rows[alerts->pos++];

        if (row->key[0] == '\0') {
            continue;
        }

        rc = ncr_alert_judge(alerts, row, now, &tell->what);

        if (rc == NCR_OK) {
            tell->alert = row;
            tell->folded = ncr_alert_fold(alerts, row->kind, now);
            return NCR_OK;
        }

        if (rc == NCR_DONE) {
            row->key[0] = '\0';
        }
    }

    return NCR_DONE;
}


/* NCR_OK: it is told, and its state is what was told; NCR_DONE: it is of no
 * use any more */

static ncr_int_t
ncr_alert_judge(ncr_alerts_t *alerts, ncr_alert_t *row, ncr_msec_t now,
    ncr_alert_tell_e *what)
{
    ncr_alert_rules_t  *rules;

    rules = &alerts->rules;

    if (row->observed > row->step) {

        if (ncr_alert_age(row->rose, now) < row->hold) {
            return NCR_DECLINED;
        }

        if (row->step == 0 && row->ended
            && ncr_alert_age(row->ended, now) < rules->calm)
        {
            return NCR_DECLINED;
        }

        *what = row->step ? NCR_ALERT_AGAIN : NCR_ALERT_FIRING;

        if (row->step == 0) {
            row->since = row->rose;
        }

        row->step = row->observed;
        row->rose = 0;
        row->ended = 0;
        row->told = now;

        return NCR_OK;
    }

    if (row->step == 0) {
        return (row->ended && ncr_alert_age(row->ended, now) < rules->calm)
               ? NCR_DECLINED : NCR_DONE;
    }

    if (row->observed == 0) {

        if (ncr_alert_age(row->fell, now) < rules->clear) {
            return NCR_DECLINED;
        }

        *what = NCR_ALERT_RESOLVED;

        row->step = 0;
        row->ended = now;

        return NCR_OK;
    }

    if (rules->remind && ncr_alert_age(row->told, now) >= rules->remind) {
        *what = NCR_ALERT_AGAIN;

        row->told = now;

        return NCR_OK;
    }

    return NCR_DECLINED;
}


/* a clock that was set back is no reason to wait for ever */

static ncr_msec_t
ncr_alert_age(ncr_msec_t since, ncr_msec_t now)
{
    return (since > now) ? INT64_MAX : now - since;
}


static ncr_uint_t
ncr_alert_fold(ncr_alerts_t *alerts, ncr_alert_kind_e kind, ncr_msec_t now)
{
    if (ncr_alert_age(alerts->minute, now) >= NCR_ALERT_MINUTE) {
        alerts->minute = now;
        alerts->count = 0;
        alerts->summed = 0;
    }

    if (alerts->rules.storm == 0 || alerts->count < alerts->rules.storm) {
        alerts->count++;
        return 0;
    }

    alerts->folded[kind]++;

    return 1;
}


ncr_uint_t
ncr_alert_folded(ncr_alerts_t *alerts, ncr_msec_t now, ncr_uint_t *kinds)
{
    ncr_uint_t  i, n;

    for (i = 0, n = 0; i < NCR_ALERT_KINDS; i++) {
        n += alerts->folded[i];
    }

    if (n == 0) {
        return 0;
    }

    if (ncr_alert_age(alerts->minute, now) >= NCR_ALERT_MINUTE) {
        alerts->minute = now;
        alerts->count = 0;
        alerts->summed = 0;
    }

    if (alerts->summed) {
        return 0;
    }

    alerts->summed = 1;

    memcpy(kinds, alerts->folded, sizeof(alerts->folded));
    memset(alerts->folded, 0, sizeof(alerts->folded));

    return n;
}
