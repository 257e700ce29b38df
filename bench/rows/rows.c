
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A ledger with many requests in it, spread over the days until now:
 *
 *     rows PATH NUMBER DAYS
 */


#include "ncr_ledger.h"
#include "ncr_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


#define BENCH_RING     (4 * 1024 * 1024)
#define BENCH_KEYS     200
#define BENCH_MODELS   6


static const char  *bench_models[BENCH_MODELS] = {
    "claude-opus-4-8", "claude-sonnet-4-5", "claude-haiku-4-5",
    "claude-opus-4-5", "claude-sonnet-4-6", "claude-3-5-haiku"
};


static void
bench_set(ncr_str_t *to, const char *text)
{
    to->data = (u_char *) (uintptr_t) text;
    to->len = strlen(text);
}


static void
bench_record(ncr_record_t *rec, uint64_t i, ncr_msec_t time)
{
    const char  *model;

    static char  id[33], key[16], account[16];

    memset(rec, 0, sizeof(ncr_record_t));

    snprintf(id, sizeof(id), "%032llx", (unsigned long long) i);
    snprintf(key, sizeof(key), "key-%u", (unsigned) (i * 7 % BENCH_KEYS));
    snprintf(account, sizeof(account), "account-%u", (unsigned) (i % 8));

    model = bench_models[i % BENCH_MODELS];

    rec->time = time;
    rec->key_id = 1 + i * 7 % BENCH_KEYS;

    bench_set(&rec->id, id);
    bench_set(&rec->key, key);
    bench_set(&rec->user, i % 2 ? "alice" : "bob");
    bench_set(&rec->account, account);
    bench_set(&rec->platform, "anthropic");
    bench_set(&rec->dialect, "anthropic");
    bench_set(&rec->op, "messages");
    bench_set(&rec->model, model);
    bench_set(&rec->served, model);
    bench_set(&rec->class, "ok");

    rec->status = (i % 50) ? 200 : 529;
    rec->attempts = 1;
    rec->duration = 1000 + (uint32_t) (i % 5000);
    rec->ttft = 300;
    rec->permille = 1000;
    rec->usage.input = 1000 + i % 4000;
    rec->usage.output = 200 + i % 900;
    rec->cost = 10000 + i % 3000;
    rec->rated = rec->cost;
    rec->nparts = 1;
    rec->parts[0].usage = rec->usage;
    snprintf(rec->parts[0].model, sizeof(rec->parts[0].model), "%s", model);
}


int
main(int argc, char **argv)
{
    void                  *memory;
    char                   error[NCR_LEDGER_ERROR];
    size_t                 len;
    uint64_t               i, n;
    ncr_uint_t             taken;
    ncr_char_t             buf[NCR_RECORD_MAX];
    ncr_msec_t             now, span;
    ncr_ring_t            *ring;
    ncr_record_t           rec;
    ncr_ledger_t          *ledger;
    ncr_ledger_options_t   options;

    if (argc != 4) {
        fputs("usage: rows PATH NUMBER DAYS\n", stderr);
        return 2;
    }

    n = strtoull(argv[2], NULL, 10);
    span = (ncr_msec_t) strtoull(argv[3], NULL, 10) * 86400000;
    now = (ncr_msec_t) time(NULL) * 1000;

    memset(&options, 0, sizeof(options));
    options.path = argv[1];
    options.busy = 1000;
    options.create = 1;

    memory = aligned_alloc(64, BENCH_RING);

    if (memory == NULL
        || ncr_ledger_open(&options, &ledger, error) != NCR_OK)
    {
        fprintf(stderr, "%s\n", memory ? error : "no memory");
        return 1;
    }

    memset(memory, 0, BENCH_RING);
    ring = memory;
    ncr_ring_init(ring, BENCH_RING, (uint64_t) now);

    for (i = 0; i < n; i++) {
        bench_record(&rec, i, now - span + (ncr_msec_t) (span * i / n));
        len = ncr_record_pack(buf, sizeof(buf), &rec);

        if (i % 2000 == 1999 || i == n - 1 || !ncr_ring_put(ring, buf, len)) {

            do {
                if (ncr_ledger_drain(ledger, ring, 5000, &taken) != NCR_OK) {
                    fprintf(stderr, "%s\n", ncr_ledger_error(ledger));
                    return 1;
                }
            } while (taken);

            (void) ncr_ring_put(ring, buf, len);
        }
    }

    ncr_ledger_close(ledger);
    free(memory);

    return 0;
}
