
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_ledger_test.h"


/* a table with one model: 1 dollar in, 2 dollars out, for a million */

static ncr_price_t   ncr_test_price;
static ncr_prices_t  ncr_test_prices;


typedef struct {
    ncr_uint_t     n;
    uint64_t       number[4096];
    ncr_record_t   rec;
    char           text[18][128];
    ncr_uint_t     stop;
} ncr_test_rows_t;


static ncr_test_rows_t  ncr_test_rows;


static ncr_int_t
ncr_test_row(void *data, uint64_t number, ncr_record_t *rec)
{
    ncr_test_rows_t *rows = data;

    size_t      i;
    ncr_str_t  *s;

    static const size_t  offset[] = {
        offsetof(ncr_record_t, id), offsetof(ncr_record_t, provider_id),
        offsetof(ncr_record_t, key), offsetof(ncr_record_t, user),
        offsetof(ncr_record_t, group), offsetof(ncr_record_t, account),
        offsetof(ncr_record_t, platform), offsetof(ncr_record_t, dialect),
        offsetof(ncr_record_t, op), offsetof(ncr_record_t, model),
        offsetof(ncr_record_t, served), offsetof(ncr_record_t, stop),
        offsetof(ncr_record_t, class), offsetof(ncr_record_t, client),
        offsetof(ncr_record_t, session), offsetof(ncr_record_t, sticky),
        offsetof(ncr_record_t, price), offsetof(ncr_record_t, trail)
    };

    rows->number[rows->n++ % 4096] = number;
    rows->rec = *rec;

    for (i = 0; i < 18; i++) {
        s = (ncr_str_t *) ((char *) rec + offset[i]);
        ncr_str_copy(rows->text[i], 128, s);

        s = (ncr_str_t *) ((char *) &rows->rec + offset[i]);
        s->data = (ncr_char_t *) rows->text[i];
    }

    return (rows->stop && rows->n == rows->stop) ? NCR_DONE : NCR_OK;
}


static ncr_uint_t
ncr_test_find(ncr_ledger_t *ledger, ncr_ledger_query_t *q)
{
    memset(&ncr_test_rows, 0, sizeof(ncr_test_rows));

    if (ncr_ledger_rows(ledger, q, ncr_test_row, &ncr_test_rows) != NCR_OK) {
        printf("# %s\n", ncr_ledger_error(ledger));
        return UINTPTR_MAX;
    }

    return ncr_test_rows.n;
}


static ncr_int_t
ncr_test_sum(void *data, ncr_ledger_sum_t *sum)
{
    *(ncr_ledger_sum_t *) data = *sum;

    return NCR_OK;
}


static ncr_ledger_sum_t
ncr_test_total(ncr_ledger_t *ledger)
{
    ncr_ledger_sum_t    sum;
    ncr_ledger_query_t  q;

    memset(&q, 0, sizeof(q));
    memset(&sum, 0, sizeof(sum));

    if (ncr_ledger_sums(ledger, &q, ncr_test_sum, &sum) != NCR_OK) {
        printf("# %s\n", ncr_ledger_error(ledger));
    }

    return sum;
}


static void
ncr_test_files(void)
{
    FILE                 *file;
    struct stat           st;
    ncr_ledger_t         *ledger, *other;
    ncr_ledger_options_t  options;

    memset(&options, 0, sizeof(options));
    options.path = ncr_test_path;

    ncr_test(ncr_ledger_open(&options, &ledger, ncr_test_error) == NCR_ERROR
             && strstr(ncr_test_error, "No such file"), "it is not made");

    ledger = ncr_test_open(NULL);
    ncr_test(ledger != NULL, "made");
    ncr_test(stat(ncr_test_path, &st) == 0 && (st.st_mode & 07777) == 0600,
             "of mode 0600");

    other = ncr_test_open(NULL);
    ncr_test(other != NULL, "opened twice");
    ncr_ledger_close(other);

    options.readonly = 1;
    ncr_test(ncr_ledger_open(&options, &other, ncr_test_error) == NCR_OK,
             "opened for reading");
    ncr_test(ncr_test_total(other).requests == 0, "nothing in it");
    ncr_test(ncr_ledger_drain(other, ncr_test_ring, 1, &(ncr_uint_t) { 0 })
             == NCR_ERROR, "and nothing is written then");
    ncr_ledger_close(other);

    ncr_ledger_exec(ledger, "PRAGMA user_version = 99");
    ncr_ledger_close(ledger);
    ncr_test(ncr_test_open(NULL) == NULL && strstr(ncr_test_error, "newer"),
             "a newer schema");
    ncr_test_clean();

    file = fopen(ncr_test_path, "w");
    fputs("What is this?", file);
    fclose(file);
    ncr_test(ncr_test_open(NULL) == NULL && stat(ncr_test_path, &st) == 0
             && st.st_size == 13, "what is not ours stays as it is");
    ncr_test_clean();

    (void) !symlink("/nowhere/at/all", ncr_test_path);
    ncr_test(ncr_test_open(NULL) == NULL, "a link to nothing");
    ncr_test_clean();
}


static void
ncr_test_fields(void)
{
    ncr_record_t         rec, *got;
    ncr_ledger_t        *ledger;
    ncr_ledger_query_t   q;

    ledger = ncr_test_open(NULL);

    ncr_test_record(&rec, NCR_TEST_NOW);

    ncr_test_set(&rec.provider_id, "req_1");
    ncr_test_set(&rec.group, "team");
    ncr_test_set(&rec.served, "claude-opus-4-8-20260601");
    ncr_test_set(&rec.stop, "end_turn");
    ncr_test_set(&rec.client, "claude-cli/2.1.19");
    ncr_test_set(&rec.session, "0011");
    ncr_test_set(&rec.sticky, "hit");
    ncr_test_set(&rec.price, "v1");
    ncr_test_set(&rec.trail, "max-1:200");

    rec.own = 5;
    rec.flags = NCR_RECORD_STREAM|NCR_RECORD_SHADOW;
    rec.tier = NCR_TIER_FAST;
    rec.rate = 1500;
    rec.rated = 2250;
    rec.usage.web_fetches = 3;
    rec.nparts = 2;
    rec.parts[1].usage.output = 9;
    strcpy(rec.parts[1].model, "claude-haiku-4-5");

    (void) ncr_test_put(&rec);
    ncr_test(ncr_test_drain(ledger) == 1, "one record");

    memset(&q, 0, sizeof(q));
    ncr_test(ncr_test_find(ledger, &q) == 1, "one row");

    got = &ncr_test_rows.rec;
    ncr_test(ncr_test_rows.number[0] == 1, "its number");
    ncr_test(ncr_test_str(got->id, "5f2c7d1e9a8b4c3d5f2c7d1e9a8b4c3d")
             && ncr_test_str(got->provider_id, "req_1"), "ids");
    ncr_test(ncr_test_str(got->key, "alice")
             && ncr_test_str(got->user, "alice@example.com")
             && ncr_test_str(got->group, "team")
             && ncr_test_str(got->account, "max-1"), "whose");
    ncr_test(ncr_test_str(got->platform, "claude")
             && ncr_test_str(got->dialect, "anthropic")
             && ncr_test_str(got->op, "messages"), "what");
    ncr_test(ncr_test_str(got->model, "claude-opus-4-8")
             && ncr_test_str(got->served, "claude-opus-4-8-20260601"),
             "models");
    ncr_test(ncr_test_str(got->stop, "end_turn")
             && ncr_test_str(got->class, "ok")
             && ncr_test_str(got->client, "claude-cli/2.1.19")
             && ncr_test_str(got->session, "0011")
             && ncr_test_str(got->sticky, "hit")
             && ncr_test_str(got->price, "v1")
             && ncr_test_str(got->trail, "max-1:200"), "texts");
    ncr_test(got->time == rec.time && got->key_id == 7 && got->owner == 8
             && got->status == 200 && got->attempts == 1
             && got->duration == 1000 && got->ttft == 200 && got->own == 5
             && got->flags == rec.flags && got->tier == NCR_TIER_FAST
             && got->permille == 1000 && got->rate == 1500
             && got->cost == 1500 && got->rated == 2250, "numbers");
    ncr_test(memcmp(&got->usage, &rec.usage, sizeof(ncr_usage_t)) == 0,
             "tokens");
    ncr_test(got->nparts == 2
             && memcmp(got->parts, rec.parts, sizeof(rec.parts)) == 0,
             "parts");

    /* a refusal: no answer, no time to it, nothing used */

    ncr_test_record(&rec, NCR_TEST_NOW + 1);
    rec.status = 429;
    rec.ttft = UINT32_MAX;
    rec.flags = NCR_RECORD_REFUSED;
    rec.cost = rec.rated = 0;
    rec.nparts = 0;
    memset(&rec.usage, 0, sizeof(ncr_usage_t));
    ncr_test_set(&rec.served, "");
    ncr_test_set(&rec.account, "");
    ncr_test_set(&rec.platform, "");
    (void) ncr_test_put(&rec);
    (void) ncr_test_drain(ledger);

    ncr_test(ncr_test_find(ledger, &q) == 2 && ncr_test_rows.number[0] == 2,
             "newest first");

    q.limit = 1;
    ncr_test(ncr_test_find(ledger, &q) == 1 && ncr_test_rows.number[0] == 2
             && got->ttft == UINT32_MAX && got->served.len == 0
             && ncr_test_str(got->model, "claude-opus-4-8")
             && got->account.len == 0 && got->nparts == 0
             && got->flags == NCR_RECORD_REFUSED, "a refusal");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


static void
ncr_test_filters(void)
{
    char                 id[40];
    ncr_uint_t           i, bad, all;
    ncr_record_t         rec;
    ncr_ledger_t        *ledger;
    ncr_ledger_query_t   q;

    ledger = ncr_test_open(NULL);

    for (i = 0; i < 1000; i++) {
        ncr_test_record(&rec, NCR_TEST_NOW + (ncr_msec_t) i * 1000);
        snprintf(id, sizeof(id), "id-%d", (int) i);
        ncr_test_set(&rec.id, id);
        ncr_test_set(&rec.key, i % 100 == 7 ? "rare" : "often");
        ncr_test_set(&rec.account, i % 2 ? "a" : "b");
        rec.status = (i % 50 == 3) ? 529 : (i % 50 == 4) ? 429 : 200;
        (void) ncr_test_put(&rec);
    }

    ncr_test(ncr_test_drain(ledger) == 1000, "a thousand");

    memset(&q, 0, sizeof(q));
    ncr_test(ncr_test_find(ledger, &q) == 100
             && ncr_test_rows.number[0] == 1000
             && ncr_test_rows.number[99] == 901, "the newest hundred");

    q.after = 901;
    ncr_test(ncr_test_find(ledger, &q) == 100
             && ncr_test_rows.number[0] == 900, "and the next");

    /* from the oldest to the newest, none left out */

    memset(&q, 0, sizeof(q));
    q.ascending = 1;
    q.limit = 77;
    bad = 0;
    all = 0;

    while (ncr_test_find(ledger, &q) > 0 && ncr_test_rows.n <= 77) {
        for (i = 0; i < ncr_test_rows.n; i++) {
            bad += (ncr_test_rows.number[i] != ++all);
        }

        q.after = all;
    }

    ncr_test(bad == 0 && all == 1000, "a stream without a gap");

    memset(&q, 0, sizeof(q));
    q.key = "rare";
    ncr_test(ncr_test_find(ledger, &q) == 10
             && ncr_test_rows.number[0] == 908
             && ncr_test_rows.number[9] == 8, "of a key");

    q.account = "b";
    ncr_test(ncr_test_find(ledger, &q) == 0, "of a key and an account");

    q.account = "a";
    q.limit = 3;
    q.after = 308;
    q.ascending = 1;
    ncr_test(ncr_test_find(ledger, &q) == 3 && ncr_test_rows.number[0] == 408,
             "going on");

    memset(&q, 0, sizeof(q));
    q.key = "nobody";
    ncr_test(ncr_test_find(ledger, &q) == 0, "of nobody");

    q.key = NULL;
    q.model = "*OPUS*";
    ncr_test(ncr_test_find(ledger, &q) == 100, "models by a glob");

    memset(&q, 0, sizeof(q));
    q.status = 429;
    ncr_test(ncr_test_find(ledger, &q) == 20
             && ncr_test_rows.number[0] == 955, "of a status");
    q.status = 5;
    ncr_test(ncr_test_find(ledger, &q) == 20
             && ncr_test_rows.rec.status == 529, "of 5xx");
    q.status = 2;
    q.limit = 5000;
    ncr_test(ncr_test_find(ledger, &q) == 960, "of 2xx");

    memset(&q, 0, sizeof(q));
    q.id = "id-321";
    ncr_test(ncr_test_find(ledger, &q) == 1 && ncr_test_rows.number[0] == 322,
             "by id");

    memset(&q, 0, sizeof(q));
    q.from = NCR_TEST_NOW + 10000;
    q.until = NCR_TEST_NOW + 20000;
    ncr_test(ncr_test_find(ledger, &q) == 10
             && ncr_test_rows.number[0] == 20, "of a time");
    q.from = NCR_TEST_NOW - 20000;
    q.until = NCR_TEST_NOW;
    ncr_test(ncr_test_find(ledger, &q) == 0, "of another time");

    memset(&q, 0, sizeof(q));
    memset(&ncr_test_rows, 0, sizeof(ncr_test_rows));
    ncr_test_rows.stop = 3;
    ncr_test(ncr_ledger_rows(ledger, &q, ncr_test_row, &ncr_test_rows)
             == NCR_DONE && ncr_test_rows.n == 3, "the callee may stop it");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


/* who is killed between the commit and the tail does all of it again */

static void
ncr_test_once(void)
{
    uint64_t       tail;
    ncr_uint_t     i, n;
    ncr_record_t   rec;
    ncr_ledger_t  *ledger;

    ledger = ncr_test_open(NULL);

    for (i = 0; i < 30; i++) {
        ncr_test_record(&rec, NCR_TEST_NOW);
        rec.ncharges = 1;
        rec.charges[0].counter = 5;
        rec.charges[0].end = INT64_MAX;
        rec.charges[0].amount = 2;
        (void) ncr_test_put(&rec);
    }

    tail = ncr_test_ring->tail;

    ncr_test(ncr_ledger_drain(ledger, ncr_test_ring, 20, &n) == NCR_OK
             && n == 20, "at most so many at once");

    ncr_test_ring->tail = tail;
    ncr_test(ncr_test_drain(ledger) == 10, "what is there is passed over");
    ncr_test(ncr_test_total(ledger).requests == 30, "sums count each once");
    ncr_test(ncr_test_ask(ledger, "SELECT used FROM counters") == 60,
             "counters, too");

    /* a file that is closed and opened, by another process or this one */

    ncr_ledger_close(ledger);
    ledger = ncr_test_open(NULL);
    ncr_test_ring->tail = tail;
    ncr_test(ncr_test_drain(ledger) == 0, "by whoever comes next");
    ncr_test(ncr_ring_room(ncr_test_ring) == ncr_test_ring->size,
             "then the ring is empty");

    /* another ring has numbers of its own */

    ncr_ring_init(ncr_test_ring, NCR_TEST_RING, 4712);
    (void) ncr_test_put(&rec);
    ncr_test(ncr_test_drain(ledger) == 1, "number 1 of another ring");
    ncr_test(ncr_test_total(ledger).requests == 31, "is another one");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


static ncr_counter_t  ncr_test_counted[16];
static ncr_uint_t     ncr_test_ncounted;


static ncr_int_t
ncr_test_counter(void *data, ncr_counter_t *counter)
{
    ncr_test_counted[ncr_test_ncounted++] = *counter;

    return NCR_OK;
}


static uint64_t
ncr_test_used(ncr_ledger_t *ledger, uint64_t id, ncr_msec_t now)
{
    ncr_uint_t  i;

    ncr_test_ncounted = 0;

    if (ncr_ledger_counters(ledger, now, ncr_test_counter, NULL) != NCR_OK) {
        return UINT64_MAX;
    }

    for (i = 0; i < ncr_test_ncounted; i++) {
        if (ncr_test_counted[i].id == id) {
            return ncr_test_counted[i].used;
        }
    }

    return UINT64_MAX;
}


static void
ncr_test_charge(uint64_t id, ncr_msec_t start, ncr_msec_t end,
    int64_t amount)
{
    ncr_record_t  rec;

    memset(&rec, 0, sizeof(rec));

    rec.kind = NCR_RECORD_CHARGE;
    rec.time = NCR_TEST_NOW;
    rec.ncharges = 1;
    rec.charges[0].counter = id;
    rec.charges[0].start = start;
    rec.charges[0].end = end;
    rec.charges[0].amount = amount;

    (void) ncr_test_put(&rec);
}


static void
ncr_test_counters(void)
{
    uint64_t           id;
    ncr_ledger_t      *ledger;
    ncr_ledger_keep_t  keep;

    ledger = ncr_test_open(NULL);
    id = UINT64_MAX - 3;

    ncr_test_charge(id, 1000, 2000, 5);
    ncr_test_charge(id, 1000, 2000, 6);
    ncr_test_charge(7, 0, INT64_MAX, 100);
    (void) ncr_test_drain(ledger);

    ncr_test(ncr_test_used(ledger, id, 1500) == 11, "charged");
    ncr_test(ncr_test_used(ledger, id, 2000) == UINT64_MAX, "it is over");
    ncr_test(ncr_test_used(ledger, 7, 2000) == 100, "for ever");
    ncr_test(ncr_test_counted[0].start == 0
             && ncr_test_counted[0].end == INT64_MAX
             && ncr_test_counted[0].reserved == 0, "its window");

    ncr_test_charge(id, 2000, 3000, 1);
    ncr_test_charge(id, 1000, 2000, 50);
    (void) ncr_test_drain(ledger);
    ncr_test(ncr_test_used(ledger, id, 2500) == 1,
             "a new window, and nothing of the old one that comes late");

    ncr_test_charge(id, 1000, 2000, 50);
    ncr_test_charge(7, 0, INT64_MAX, -100);
    (void) ncr_test_drain(ledger);
    ncr_test(ncr_test_used(ledger, id, 2500) == 1, "in another batch");
    ncr_test(ncr_test_used(ledger, 7, 2500) == 0, "reset by hand");

    ncr_test_charge(7, 0, INT64_MAX, -5);
    ncr_test_charge(7, 0, INT64_MAX, 3);
    (void) ncr_test_drain(ledger);
    ncr_test(ncr_test_used(ledger, 7, 2500) == 0, "never below nothing");

    ncr_test(ncr_test_ask(ledger, "SELECT count(*) FROM rows") == 0
             && ncr_test_total(ledger).requests == 0, "these are no rows");

    memset(&keep, 0, sizeof(keep));
    ncr_test(ncr_ledger_expire(ledger, &keep, NCR_TEST_NOW) == NCR_OK
             && ncr_test_ask(ledger, "SELECT count(*) FROM counters") == 1,
             "windows that are long over are forgotten");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


static void
ncr_test_troubles(void)
{
    FILE          *file;
    char           path[160];
    uint64_t       lost, tail;
    ncr_uint_t     i, n;
    ncr_record_t   rec;
    ncr_ledger_t  *ledger, *other;

    /* the disk is full, and then it is not */

    ledger = ncr_test_open(NULL);
    ncr_test_record(&rec, NCR_TEST_NOW);
    (void) ncr_test_put(&rec);
    (void) ncr_test_drain(ledger);

    snprintf(path, sizeof(path), "PRAGMA max_page_count = %d",
             (int) ncr_test_ask(ledger, "PRAGMA page_count") + 2);
    ncr_ledger_exec(ledger, path);

    for (i = 0; i < 800; i++) {
        ncr_test_record(&rec, NCR_TEST_NOW + (ncr_msec_t) i * 60000);
        ncr_test_set(&rec.key, i % 2 ? "new" : "newer");
        (void) ncr_test_put(&rec);
    }

    tail = ncr_test_ring->tail;
    n = 1;
    ncr_test(ncr_ledger_drain(ledger, ncr_test_ring, 1000, &n) == NCR_ERROR
             && n == 0 && ncr_test_ring->tail == tail, "disk full");
    ncr_test(strstr(ncr_ledger_error(ledger), "disk is full"),
             "disk full: it says so");
    ncr_test(ncr_test_total(ledger).requests == 1,
             "disk full: what is there can be read");

    ncr_ledger_exec(ledger, "PRAGMA max_page_count = 1000000");
    ncr_test(ncr_test_drain(ledger) == 800
             && ncr_test_total(ledger).requests == 801, "then all of it");

    /* somebody else is writing */

    other = ncr_test_open(NULL);
    ncr_ledger_exec(other, "BEGIN IMMEDIATE");
    (void) ncr_test_put(&rec);
    ncr_test(ncr_ledger_drain(ledger, ncr_test_ring, 10, &n) == NCR_ERROR
             && strstr(ncr_ledger_error(ledger), "is busy"), "busy");
    ncr_test(ncr_test_total(ledger).requests == 801, "busy: but to be read");
    ncr_ledger_exec(other, "ROLLBACK");
    ncr_test(ncr_test_drain(ledger) == 1, "and then it is not");
    ncr_test(ncr_test_total(other).requests == 802, "others see it");

    /* names that two have made at once */

    ncr_test_set(&rec.key, "third");
    (void) ncr_test_put(&rec);
    ncr_test(ncr_test_drain(other) == 1, "by the other one");
    ncr_test_set(&rec.key, "fourth");
    (void) ncr_test_put(&rec);
    ncr_test_set(&rec.key, "third");
    (void) ncr_test_put(&rec);
    ncr_test(ncr_test_drain(ledger) == 2 && ncr_test_ask(ledger,
             "SELECT count(*) FROM names WHERE text = 'third'") == 1,
             "names of others are known");
    ncr_ledger_close(other);

    /* a record that is none, and memory that is damaged */

    (void) ncr_ring_put(ncr_test_ring, "?", 1);
    (void) ncr_test_put(&rec);
    lost = ncr_test_ring->lost;
    ncr_test(ncr_test_drain(ledger) == 2 && ncr_test_ring->lost == lost + 1,
             "a record that cannot be read is counted as lost");

    (void) ncr_test_put(&rec);
    (void) ncr_test_put(&rec);
    ncr_test_ring->data[(ncr_test_ring->tail + 40) % ncr_test_ring->size]
                                                                       ^= 1;
    ncr_test(ncr_test_drain(ledger) == 0
             && ncr_test_ring->tail == ncr_test_ring->head
             && ncr_test_ring->lost > lost + 1, "damaged: and it goes on");
    (void) ncr_test_put(&rec);
    ncr_test(ncr_test_drain(ledger) == 1, "with the next one");

    /* times that cannot be, and tokens beyond measure */

    rec.time = -5;
    (void) ncr_test_put(&rec);
    rec.time = INT64_MAX;
    (void) ncr_test_put(&rec);
    rec.time = NCR_TEST_NOW;
    rec.usage.input = UINT64_MAX;
    rec.cost = UINT64_MAX;
    (void) ncr_test_put(&rec);
    ncr_test(ncr_test_drain(ledger) == 3, "nonsense is taken");
    ncr_test(ncr_test_total(ledger).usage.input < 2 * NCR_LEDGER_TOKENS
             && ncr_test_total(ledger).cost < 2 * NCR_LEDGER_MONEY,
             "but does not spoil the sums");

    /* the file goes away under it */

    (void) ncr_test_put(&rec);
    tail = ncr_test_ring->tail;
    ncr_test_clean();
    ncr_test(ncr_ledger_drain(ledger, ncr_test_ring, 10, &n) == NCR_ERROR
             && strstr(ncr_ledger_error(ledger), "deleted")
             && ncr_test_ring->tail == tail, "deleted: nothing is taken");
    ncr_ledger_close(ledger);

    ledger = ncr_test_open(NULL);
    ncr_test(ncr_test_drain(ledger) == 1
             && ncr_test_total(ledger).requests == 1, "a new one is made");

    for (i = 0; i < 2000; i++) {
        ncr_test_record(&rec, NCR_TEST_NOW + (ncr_msec_t) i * 60000);
        (void) ncr_test_put(&rec);
    }

    (void) ncr_test_drain(ledger);
    ncr_ledger_exec(ledger, "PRAGMA wal_checkpoint(TRUNCATE)");
    ncr_ledger_close(ledger);

    /* bad pages */

    file = fopen(ncr_test_path, "r+");
    fseek(file, 4096, SEEK_SET);

    for (i = 0; i < 60 * 4096; i++) {
        fputc('x', file);
    }

    fclose(file);

    ledger = ncr_test_open(NULL);
    (void) ncr_test_put(&rec);
    tail = ncr_test_ring->tail;

    ncr_test(ledger == NULL
             || (ncr_ledger_drain(ledger, ncr_test_ring, 10, &n) == NCR_ERROR
                 && strstr(ncr_ledger_error(ledger), "corrupt")),
             "corrupt: told");
    ncr_test(ncr_test_ring->tail == tail, "corrupt: nothing is taken");

    ncr_ledger_close(ledger);
    ncr_ring_drained(ncr_test_ring, ncr_test_ring->head);
    ncr_test_clean();
}


static void
ncr_test_rerate(void)
{
    ncr_int_t             rc;
    ncr_uint_t            i, pieces;
    ncr_record_t          rec;
    ncr_ledger_t         *ledger;
    ncr_ledger_sum_t      before, sum;
    ncr_ledger_query_t    q;
    ncr_ledger_rerate_t   job;

    ncr_test_price.model = "claude-opus-4-8";
    ncr_test_price.rates.input = 1000000;
    ncr_test_price.rates.output = 2000000;
    ncr_test_price.rates.cache_read = 0;
    ncr_test_price.rates.cache_write_5m = 0;
    ncr_test_price.rates.cache_write_1h = 0;
    ncr_test_prices.rows = &ncr_test_price;
    ncr_test_prices.n = 1;
    strcpy(ncr_test_prices.version, "v2");

    ledger = ncr_test_open(NULL);

    for (i = 0; i < 100; i++) {

        ncr_test_record(&rec, NCR_TEST_NOW + (ncr_msec_t) i * 3600 * 1000);
        ncr_test_set(&rec.price, "v1");

        rec.usage.input = 1000000;
        rec.usage.output = 0;
        rec.parts[0].usage = rec.usage;
        rec.cost = 5000000;
        rec.rated = 10000000;
        rec.rate = 2000;

        if (i % 10 == 3) {

            /* nobody knew its price, and then somebody did */

            rec.cost = rec.rated = 0;
            rec.flags |= NCR_RECORD_UNPRICED;
        }

        if (i % 10 == 4) {
            strcpy(rec.parts[0].model, "claude-unknown");
        }

        (void) ncr_test_put(&rec);
    }

    ncr_test(ncr_test_drain(ledger) == 100, "records by the old table");
    before = ncr_test_total(ledger);
    ncr_test(before.cost == 90 * 5000000ULL && before.unpriced == 10, "sums");

    memset(&job, 0, sizeof(job));
    job.from = NCR_TEST_NOW + 10 * NCR_LEDGER_HOUR;
    job.until = NCR_TEST_NOW + 60 * NCR_LEDGER_HOUR;

    pieces = 0;

    do {
        rc = ncr_ledger_rerate(ledger, &ncr_test_prices, &job, 7);
        pieces++;
    } while (rc == NCR_AGAIN);

    ncr_test(rc == NCR_OK && job.rows == 50 && pieces == 8, "in pieces");
    ncr_test(job.changed == 50 && job.unpriced == 5, "what it did");

    /* 40 from 5 to 1 dollar, 5 from 0 to 1, 5 from 5 to nothing known */

    ncr_test(job.difference == 40 * -4000000LL + 5 * 1000000 - 5 * 5000000,
             "the difference");

    sum = ncr_test_total(ledger);
    ncr_test((int64_t) (sum.cost - before.cost) == job.difference
             && (int64_t) (sum.rated - before.rated) == 2 * job.difference,
             "days are in line");
    ncr_test(sum.unpriced == 10 - 5 + 5, "unpriced, too");
    ncr_test(ncr_test_ask(ledger, "SELECT sum(cost) FROM rows")
             == (int64_t) sum.cost
             && ncr_test_ask(ledger, "SELECT sum(cost) FROM hours")
                == (int64_t) sum.cost
             && ncr_test_ask(ledger, "SELECT sum(cost) FROM minutes")
                == (int64_t) sum.cost, "rows, hours, minutes: the same");

    memset(&q, 0, sizeof(q));
    q.limit = 200;
    q.until = NCR_TEST_NOW + 11 * NCR_LEDGER_HOUR;
    (void) ncr_test_find(ledger, &q);
    ncr_test(ncr_test_rows.rec.cost == 5000000
             && ncr_test_str(ncr_test_rows.rec.price, "v1"),
             "before the period nothing changed");

    q.from = NCR_TEST_NOW + 10 * NCR_LEDGER_HOUR;
    (void) ncr_test_find(ledger, &q);
    ncr_test(ncr_test_rows.rec.cost == 1000000
             && ncr_test_rows.rec.rated == 2000000
             && ncr_test_str(ncr_test_rows.rec.price, "v2"),
             "the row has the new version");

    memset(&job, 0, sizeof(job));
    job.from = NCR_TEST_NOW + 10 * NCR_LEDGER_HOUR;
    job.until = NCR_TEST_NOW + 60 * NCR_LEDGER_HOUR;
    ncr_test(ncr_ledger_rerate(ledger, &ncr_test_prices, &job, 1000) == NCR_OK
             && job.changed == 0 && job.difference == 0, "again: nothing");

    memset(&job, 0, sizeof(job));
    job.until = 1000;
    ncr_test(ncr_ledger_rerate(ledger, &ncr_test_prices, &job, 10) == NCR_OK
             && job.rows == 0, "a time without requests");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


static void
ncr_test_names(void)
{
    char           name[32];
    ncr_uint_t     i;
    ncr_record_t   rec;
    ncr_ledger_t  *ledger;

    ledger = ncr_test_open(NULL);

    for (i = 0; i < 9000; i++) {

        ncr_test_record(&rec, NCR_TEST_NOW);
        snprintf(name, sizeof(name), "model-%d", (int) i);
        ncr_test_set(&rec.model, name);
        ncr_test_set(&rec.served, "");
        rec.status = 404;
        (void) ncr_test_put(&rec);

        if (i % 1000 == 999) {
            (void) ncr_test_drain(ledger);
        }
    }

    ncr_test(ncr_test_ask(ledger, "SELECT count(*) FROM names"
                          " WHERE kind = 2") == 8193
             && ncr_test_total(ledger).requests == 9000,
             "models that are made up end in one");
    ncr_test(ncr_test_ask(ledger, "SELECT count(*) FROM rows"
                          " WHERE model = 'model-8999'") == 1,
             "their row says what was asked for");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


/*
 * Killed amidst a checkpoint: the first page was written and knows of pages
 * that only the log has.
 */

static void
ncr_test_checkpoint(void)
{
    int            status;
    FILE          *file;
    pid_t          pid;
    ncr_uint_t     i;
    ncr_record_t   rec;
    ncr_ledger_t  *ledger;

    ledger = ncr_test_open(NULL);
    ncr_ledger_close(ledger);

    for (i = 0; i < 100; i++) {
        ncr_test_record(&rec, NCR_TEST_NOW + (ncr_msec_t) i);
        (void) ncr_test_put(&rec);
    }

    fflush(stdout);
    pid = fork();

    if (pid == 0) {
        ledger = ncr_test_open(NULL);
        _exit(ledger && ncr_test_drain(ledger) == 100 ? 0 : 1);
    }

    (void) waitpid(pid, &status, 0);

    ncr_test(status == 0, "half a checkpoint: rows in the log");

    file = fopen(ncr_test_path, "r+b");
    (void) fseek(file, 28, SEEK_SET);
    (void) fwrite("\0\0\xff", 1, 3, file);
    (void) fclose(file);

    ledger = ncr_test_open(NULL);

    ncr_test(ledger != NULL, "half a checkpoint: it opens");
    ncr_test(ledger && ncr_test_total(ledger).requests == 100,
             "half a checkpoint: nothing is lost");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


/* drainers that are killed while somebody puts; each record is there once */

static void
ncr_test_kills(void)
{
    int            status;
    pid_t          pid;
    uint32_t       seed;
    ncr_uint_t     i, k, put, refused;
    ncr_record_t   rec;
    ncr_ledger_t  *ledger;

    ledger = ncr_test_open(NULL);
    ncr_ledger_close(ledger);

    put = 0;
    refused = 0;
    seed = 12345;

    for (k = 0; k < 60; k++) {

        fflush(stdout);
        pid = fork();

        if (pid == 0) {
            ledger = ncr_test_open(NULL);

            if (ledger) {
                for ( ;; ) {
                    (void) ncr_ledger_drain(ledger, ncr_test_ring, 20, &i);
                }
            }

            _exit(1);
        }

        seed = seed * 1103515245 + 12345;

        for (i = 0; i < 50 + seed / 65536 % 100; i++) {
            ncr_test_record(&rec, NCR_TEST_NOW + (ncr_msec_t) put * 100);
            rec.ncharges = 1;
            rec.charges[0].counter = 1;
            rec.charges[0].end = INT64_MAX;
            rec.charges[0].amount = 1;

            if (ncr_test_put(&rec)) {
                put++;

            } else {
                refused++;
            }

            (void) usleep(seed / 4096 % 150);
        }

        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, &status, 0);
    }

    ledger = ncr_test_open(NULL);
    (void) ncr_test_drain(ledger);

    ncr_test(put > 1000 && refused == 0, "killed sixty times");
    ncr_test(ncr_test_ask(ledger, "SELECT count(*) FROM rows")
             == (int64_t) put, "each record is a row");
    ncr_test(ncr_test_ask(ledger, "SELECT count(DISTINCT time) FROM rows")
             == (int64_t) put, "none is there twice");
    ncr_test(ncr_test_ask(ledger, "SELECT max(number) FROM rows")
             == (int64_t) put, "numbers have no gap");
    ncr_test(ncr_test_total(ledger).requests == put
             && ncr_test_used(ledger, 1, 0) == put,
             "sums and counters say the same");
    ncr_test(ncr_test_ask(ledger, "SELECT count(*) FROM pragma_quick_check"
                          " WHERE quick_check = 'ok'") == 1, "a sound file");

    ncr_ledger_close(ledger);
    ncr_test_clean();
}


int
main(void)
{
    ncr_test_begin();

    ncr_test_files();
    ncr_test_fields();
    ncr_test_filters();
    ncr_test_once();
    ncr_test_counters();
    ncr_test_troubles();
    ncr_test_rerate();
    ncr_test_names();
    ncr_test_checkpoint();
    ncr_test_kills();

    ncr_test_end();

    return ncr_test_done();
}
