
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Webhooks, what is to be sent to them, and which alerts are on.  Part of the
 * store (ncr_store.h); the same rules hold.
 */


#ifndef _NCR_STORE_HOOK_H_INCLUDED_
#define _NCR_STORE_HOOK_H_INCLUDED_


#include "ncr_store.h"


typedef struct {
    uint64_t      version;
    char          name[NCR_STORE_NAME];
    char          kind[NCR_STORE_KIND]; /* "json", "slack"... */
    unsigned      enabled:1;
    char         *url;                  /* sealed: it often is the secret */
    char         *secret;               /* sealed; "": none */
    char         *settings;             /* JSON object */
    char         *state;                /* JSON: the last delivery */
    ncr_msec_t    created;
    ncr_msec_t    updated;
} ncr_store_hook_t;

typedef ncr_int_t (*ncr_store_hook_pt)(void *data, ncr_store_hook_t *hook);

/*
 * As their likes in ncr_store.h; NULL texts in put: as they are.  Without a
 * tombstone: a hook that is made anew has a version that none of its name had.
 * With a hook goes what was to be told to it.
 */
ncr_int_t ncr_store_hook_find(ncr_store_t *store, const char *name,
    ncr_store_hook_t *hook);
void ncr_store_hook_free(ncr_store_hook_t *hook);

/* another one in place of a text; without memory it stays */
void ncr_store_hook_text(char **text, const char *value);
ncr_int_t ncr_store_hooks(ncr_store_t *store, ncr_store_hook_pt handler,
    void *data);
ncr_int_t ncr_store_hook_put(ncr_store_t *store, ncr_store_hook_t *hook,
    uint64_t *version, ncr_msec_t now);
ncr_int_t ncr_store_hook_remove(ncr_store_t *store, const char *name,
    uint64_t version);

/* how the last delivery went; the version stays */
ncr_int_t ncr_store_hook_state(ncr_store_t *store, const char *name,
    const char *state);


/* something to be told to a hook, until it is, or was tried too often */

typedef struct {
    uint64_t      id;
    char          hook[NCR_STORE_NAME];
    char         *event;                /* JSON, no secrets */
    ncr_msec_t    created;
    ncr_uint_t    attempts;
    ncr_msec_t    next;                 /* not before */
} ncr_store_delivery_t;

/* of a hook; when there are more, the oldest go */
#define NCR_STORE_DELIVERIES  1000

typedef ncr_int_t (*ncr_store_delivery_pt)(void *data,
    ncr_store_delivery_t *delivery);

/* the oldest one of each hook that is due; NCR_DONE of the handler is the end,
 * too.  *next: when the first is that is not yet, or 0 */
ncr_int_t ncr_store_deliveries(ncr_store_t *store, ncr_msec_t due,
    ncr_store_delivery_pt handler, void *data, ncr_msec_t *next);

/* it was not told, or told, or is given up; state is the hook's, or NULL */
ncr_int_t ncr_store_delivery_again(ncr_store_t *store, uint64_t id,
    ncr_uint_t attempts, ncr_msec_t next, const char *hook,
    const char *state);
ncr_int_t ncr_store_delivery_end(ncr_store_t *store, uint64_t id,
    const char *hook, const char *state);


/* an alert; key is its kind and subject */

typedef struct {
    char         *key;
    ncr_msec_t    since;
    ncr_msec_t    told;                 /* the last time, 0: not yet */
    ncr_msec_t    ended;                /* 0: it is on */
    char         *data;                 /* JSON */
} ncr_store_alert_t;

/* that have ended and are kept: the last ones */
#define NCR_STORE_ALERTS  100

typedef ncr_int_t (*ncr_store_alert_pt)(void *data,
    ncr_store_alert_t *alert);

/* those that are on, by "since"; then those that have ended, the last first */
ncr_int_t ncr_store_alerts(ncr_store_t *store, ncr_store_alert_pt handler,
    void *data);

/*
 * What is known of alerts now, and who is to be told (hook and event of each
 * delivery), in one transaction: a process that is killed has done both or
 * neither.
 */
ncr_int_t ncr_store_tell(ncr_store_t *store, ncr_store_alert_t *alerts,
    size_t nalerts, ncr_store_delivery_t *deliveries, size_t ndeliveries,
    ncr_msec_t now);


#endif /* _NCR_STORE_HOOK_H_INCLUDED_ */
