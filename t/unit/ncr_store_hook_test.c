
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_store_test.h"


#define NCR_TEST_URL     "https://hooks.example/services/planted-url-secret"
#define NCR_TEST_SECRET  "planted-hook-secret"


typedef struct {
    ncr_uint_t   n;
    ncr_uint_t   stop;
    uint64_t     ids[2000];
    char         text[512];
} ncr_test_seen_t;


static void
ncr_test_add(ncr_test_seen_t *seen, const char *text)
{
    size_t  n;

    n = strlen(seen->text);
    snprintf(seen->text + n, sizeof(seen->text) - n, "%s ", text);
}


static ncr_int_t
ncr_test_hook(void *data, ncr_store_hook_t *hook)
{
    ncr_test_seen_t  *seen = data;

    ncr_test_add(seen, hook->name);

    return (++seen->n == seen->stop) ? NCR_DONE : NCR_OK;
}


static ncr_int_t
ncr_test_delivery(void *data, ncr_store_delivery_t *delivery)
{
    ncr_test_seen_t  *seen = data;

    seen->ids[seen->n] = delivery->id;
    ncr_test_add(seen, delivery->event);

    return (++seen->n == seen->stop) ? NCR_DONE : NCR_OK;
}


static ncr_int_t
ncr_test_alert(void *data, ncr_store_alert_t *alert)
{
    ncr_test_seen_t  *seen = data;

    seen->n++;
    ncr_test_add(seen, alert->key);
    ncr_test_add(seen, alert->ended ? "-" : "+");

    return NCR_OK;
}


static ncr_int_t
ncr_test_put(ncr_store_t *store, const char *name, const char *url,
    const char *secret, const char *settings, uint64_t *version)
{
    ncr_store_hook_t  hook;

    memset(&hook, 0, sizeof(ncr_store_hook_t));

    snprintf(hook.name, sizeof(hook.name), "%s", name);
    snprintf(hook.kind, sizeof(hook.kind), "json");

    hook.enabled = 1;
    hook.url = (char *) (uintptr_t) url;
    hook.secret = (char *) (uintptr_t) secret;
    hook.settings = (char *) (uintptr_t) settings;

    return ncr_store_hook_put(store, &hook, version, 1000);
}


static ncr_int_t
ncr_test_tell(ncr_store_t *store, const char *hook, const char *event,
    ncr_msec_t now)
{
    ncr_store_delivery_t  delivery;

    memset(&delivery, 0, sizeof(ncr_store_delivery_t));

    snprintf(delivery.hook, sizeof(delivery.hook), "%s", hook);
    delivery.event = (char *) (uintptr_t) event;

    return ncr_store_tell(store, NULL, 0, &delivery, 1, now);
}


static ncr_uint_t
ncr_test_due(ncr_store_t *store, ncr_msec_t due, ncr_test_seen_t *seen,
    ncr_msec_t *next)
{
    memset(seen, 0, sizeof(ncr_test_seen_t));

    return (ncr_store_deliveries(store, due, ncr_test_delivery, seen, next)
            == NCR_OK) ? seen->n : 9999;
}


/* is this text anywhere in the store's file? */

static ncr_uint_t
ncr_test_in_file(const char *text)
{
    FILE        *f;
    char        *buf;
    size_t       n, i;
    ncr_uint_t   found;

    f = fopen(ncr_test_path, "rb");
    buf = malloc(1024 * 1024);
    n = fread(buf, 1, 1024 * 1024, f);
    found = 0;

    for (i = 0; i + strlen(text) <= n; i++) {
        found |= (memcmp(buf + i, text, strlen(text)) == 0);
    }

    (void) fclose(f);
    free(buf);

    return found;
}


static void
ncr_test_hooks(void)
{
    uint64_t          version, first;
    ncr_int_t         rc;
    ncr_str_t         key;
    ncr_store_t      *store;
    ncr_test_seen_t   seen;
    ncr_store_hook_t  hook;

    store = ncr_test_open();

    ncr_test(ncr_store_hook_find(store, "a", &hook) == NCR_DECLINED,
             "no hook yet");

    version = 0;
    ncr_test(ncr_test_put(store, "a", NCR_TEST_URL, NCR_TEST_SECRET,
                          "{\"limit\":5}", &version)
             == NCR_OK && version, "a hook is made");
    first = version;

    ncr_test(ncr_store_hook_find(store, "a", &hook) == NCR_OK
             && strcmp(hook.url, NCR_TEST_URL) == 0
             && strcmp(hook.secret, NCR_TEST_SECRET) == 0
             && strcmp(hook.settings, "{\"limit\":5}") == 0
             && strcmp(hook.state, "") == 0 && hook.enabled
             && strcmp(hook.kind, "json") == 0 && hook.created == 1000
             && hook.version == first, "and found");
    ncr_store_hook_free(&hook);

    ncr_test(!ncr_test_in_file("planted") && ncr_test_in_file("limit"),
             "its url and its secret are sealed");

    version = 0;
    ncr_test(ncr_test_put(store, "a", NULL, NULL, NULL, &version)
             == NCR_DECLINED, "a name is taken");
    version = 7;
    ncr_test(ncr_test_put(store, "a", NULL, NULL, NULL, &version)
             == NCR_DECLINED
             && strstr(ncr_store_error(store), "another version"),
             "another version");
    version = 7;
    ncr_test(ncr_test_put(store, "b", NULL, NULL, NULL, &version)
             == NCR_DECLINED, "a version of a hook that is not there");

    version = first;
    ncr_test(ncr_test_put(store, "a", NULL, "other", NULL, &version)
             == NCR_OK && version == first + 1, "a part of it is changed");

    ncr_test(ncr_store_hook_state(store, "a", "{\"ok\":true}") == NCR_OK
             && ncr_store_hook_find(store, "a", &hook) == NCR_OK
             && strcmp(hook.url, NCR_TEST_URL) == 0
             && strcmp(hook.secret, "other") == 0
             && strcmp(hook.state, "{\"ok\":true}") == 0
             && hook.version == first + 1,
             "the rest stays, a state is no version");
    ncr_store_hook_free(&hook);

    version = UINT64_MAX;
    ncr_test(ncr_test_put(store, "b", "https://b", "", NULL, &version)
             == NCR_OK, "whatever is there");

    memset(&seen, 0, sizeof(ncr_test_seen_t));
    ncr_test(ncr_store_hooks(store, ncr_test_hook, &seen) == NCR_OK
             && strcmp(seen.text, "a b ") == 0, "all of them");
    memset(&seen, 0, sizeof(ncr_test_seen_t));
    seen.stop = 1;
    ncr_test(ncr_store_hooks(store, ncr_test_hook, &seen) == NCR_OK
             && strcmp(seen.text, "a ") == 0, "or not all");

    key.data = (ncr_char_t *) (uintptr_t) NCR_TEST_OTHER_KEY;
    key.len = strlen(NCR_TEST_OTHER_KEY);

    ncr_test(ncr_store_rekey(store, &key, NULL) == NCR_OK, "another key");
    ncr_store_close(store);

    store = ncr_test_open_key(NCR_TEST_KEY, &rc);
    ncr_test(rc == NCR_STORE_KEY, "the old one is of no use");
    store = ncr_test_open_key(NCR_TEST_OTHER_KEY, NULL);

    ncr_test(ncr_store_hook_find(store, "a", &hook) == NCR_OK
             && strcmp(hook.url, NCR_TEST_URL) == 0
             && strcmp(hook.secret, "other") == 0
             && strcmp(hook.state, "{\"ok\":true}") == 0
             && hook.version == first + 1,
             "under the new one it is as it was");
    ncr_store_hook_free(&hook);

    ncr_test(ncr_store_hook_remove(store, "a", first) == NCR_DECLINED
             && ncr_store_hook_remove(store, "a", first + 1) == NCR_OK
             && ncr_store_hook_remove(store, "a", UINT64_MAX)
                == NCR_DECLINED,
             "it is removed once");

    ncr_store_close(store);

    /* a row that was moved is not read */

    ncr_test(ncr_test_sql(ncr_test_path, "UPDATE hooks SET name = 'c'")
             == SQLITE_OK, "moved by hand");
    store = ncr_test_open_key(NCR_TEST_OTHER_KEY, NULL);
    ncr_test(ncr_store_hook_find(store, "c", &hook) == NCR_ERROR,
             "is noticed");

    ncr_store_close(store);
    ncr_test_clean();
}


static void
ncr_test_deliveries(void)
{
    uint64_t          version, last;
    ncr_uint_t        i;
    ncr_msec_t        next;
    ncr_store_t      *store;
    ncr_test_seen_t   seen;
    ncr_store_hook_t  hook;

    store = ncr_test_open();

    version = 0;
    (void) ncr_test_put(store, "a", "https://a", "", "{}", &version);
    version = 0;
    (void) ncr_test_put(store, "b", "https://b", "", "{}", &version);

    ncr_test(ncr_test_tell(store, "a", "one", 1000) == NCR_OK
             && ncr_test_tell(store, "b", "two", 2000) == NCR_OK
             && ncr_test_tell(store, "nobody", "three", 2000) == NCR_OK,
             "deliveries");

    ncr_test(ncr_test_due(store, 1500, &seen, &next) == 1
             && strcmp(seen.text, "one ") == 0 && next == 2000,
             "one is due, the next one is known");
    ncr_test(ncr_test_due(store, 3000, &seen, &next) == 2 && next == 0,
             "to a hook that is not there nothing is told");

    ncr_test(ncr_store_delivery_again(store, seen.ids[0], 1, 9000, "a", "{}")
             == NCR_OK
             && ncr_test_due(store, 3000, &seen, &next) == 1
             && strcmp(seen.text, "two ") == 0 && next == 9000,
             "later");

    ncr_test(ncr_store_delivery_end(store, seen.ids[0], "b", "{\"n\":1}")
             == NCR_OK
             && ncr_test_due(store, 3000, &seen, &next) == 0
             && ncr_store_hook_find(store, "b", &hook) == NCR_OK
             && strcmp(hook.state, "{\"n\":1}") == 0,
             "told, and said so");
    ncr_store_hook_free(&hook);

    ncr_test(ncr_store_hook_remove(store, "a", UINT64_MAX) == NCR_OK
             && ncr_test_due(store, 99000, &seen, &next) == 0,
             "they go with their hook");

    /* bounded */

    for (i = 0; i < NCR_STORE_DELIVERIES; i++) {
        (void) ncr_test_tell(store, "b", "x", 1000);
    }

    (void) ncr_test_due(store, 2000, &seen, &next);
    last = seen.ids[0];

    ncr_test(seen.n == 1 && next == 0, "the oldest one of a hook");
    ncr_test(ncr_test_tell(store, "b", "y", 1000) == NCR_OK
             && ncr_test_due(store, 2000, &seen, &next) == 1
             && seen.ids[0] == last + 1
             && ncr_test_value(ncr_test_path, "SELECT count(*)"
                               " FROM deliveries") == NCR_STORE_DELIVERIES,
             "the oldest goes when there are too many");

    ncr_store_close(store);
    ncr_test_clean();
}


static void
ncr_test_alerts(void)
{
    char                  keys[NCR_STORE_ALERTS + 20][32];
    size_t                i, n;
    ncr_msec_t            next;
    ncr_store_t          *store;
    ncr_test_seen_t       seen;
    ncr_store_alert_t     alerts[NCR_STORE_ALERTS + 20];
    ncr_store_delivery_t  delivery;

    static char  data[] = "{}", event[] = "event";

    store = ncr_test_open();
    memset(alerts, 0, sizeof(alerts));

    n = NCR_STORE_ALERTS + 20;

    for (i = 0; i < n; i++) {
        snprintf(keys[i], sizeof(keys[i]), "quota/%03d", (int) i);
        alerts[i].key = keys[i];
        alerts[i].since = (ncr_msec_t) (1000 - i);
        alerts[i].data = data;
    }

    ncr_test(ncr_store_tell(store, alerts, 3, NULL, 0, 5000) == NCR_OK,
             "three alerts");

    memset(&seen, 0, sizeof(ncr_test_seen_t));
    ncr_test(ncr_store_alerts(store, ncr_test_alert, &seen) == NCR_OK
             && strcmp(seen.text, "quota/002 + quota/001 + quota/000 + ")
                == 0, "by their age");

    alerts[1].ended = 3000;

    memset(&delivery, 0, sizeof(ncr_store_delivery_t));
    snprintf(delivery.hook, sizeof(delivery.hook), "nobody");
    delivery.event = event;

    ncr_test(ncr_store_tell(store, &alerts[1], 1, &delivery, 1, 5000)
             == NCR_OK, "one ends");

    memset(&seen, 0, sizeof(ncr_test_seen_t));
    ncr_test(ncr_store_alerts(store, ncr_test_alert, &seen) == NCR_OK
             && strcmp(seen.text, "quota/002 + quota/000 + quota/001 - ")
                == 0, "what has ended comes last");

    for (i = 3; i < n; i++) {
        alerts[i].ended = (ncr_msec_t) (4000 + i);
    }

    ncr_test(ncr_store_tell(store, alerts + 3, n - 3, NULL, 0, 5000)
             == NCR_OK, "many end");

    memset(&seen, 0, sizeof(ncr_test_seen_t));
    ncr_test(ncr_store_alerts(store, ncr_test_alert, &seen) == NCR_OK
             && seen.n == 2 + NCR_STORE_ALERTS
             && strstr(seen.text, "quota/119 - quota/118 - ")
             && strstr(seen.text, "quota/001") == NULL,
             "the last ones of them are kept");

    /* both or neither */

    alerts[0].ended = 9000;

    ncr_test(ncr_test_sql(ncr_test_path, "DROP TABLE deliveries")
             == SQLITE_OK
             && ncr_store_tell(store, alerts, 1, &delivery, 1, 5000)
                == NCR_ERROR, "a delivery cannot be written");

    memset(&seen, 0, sizeof(ncr_test_seen_t));
    ncr_test(ncr_store_alerts(store, ncr_test_alert, &seen) == NCR_OK
             && strstr(seen.text, "quota/000 + "),
             "then neither is the alert");
    ncr_test(ncr_store_deliveries(store, 1, ncr_test_delivery, &seen, &next)
             == NCR_ERROR, "an error is told");

    ncr_store_close(store);
    ncr_test_clean();
}


int
main(void)
{
    ncr_test_begin();

    ncr_test_hooks();
    ncr_test_deliveries();
    ncr_test_alerts();

    ncr_test_end();

    return ncr_test_done();
}
