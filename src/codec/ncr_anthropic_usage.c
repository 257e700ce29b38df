
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* The bill of an answer: anthropic.md E.4. */


#include "ncr_anthropic_usage.h"
#include "ncr_str.h"


static const ncr_usage_t  ncr_anthropic_nothing;


/* what the current message costs; top-level counts are only its last try's */

void
ncr_anthropic_message_usage(ncr_anthropic_answer_t *a, ncr_usage_t *u)
{
    uint64_t  thinking;

    ncr_anthropic_count(u, &a->message);

    if (!a->iterated) {
        return;
    }

    thinking = a->iterations.thinking ? a->iterations.thinking : u->thinking;

    u->input = a->iterations.input;
    u->output = a->iterations.output;
    u->cache_read = a->iterations.cache_read;
    u->cache_write = a->iterations.cache_write;
    u->cache_write_5m = a->iterations.cache_write_5m;
    u->cache_write_1h = a->iterations.cache_write_1h;
    u->thinking = thinking;
}


void
ncr_anthropic_count(ncr_usage_t *u, ncr_anthropic_count_t *c)
{
    uint64_t  *v;

    v = c->value;

    u->input = v[NCR_ANTHROPIC_INPUT];
    u->output = v[NCR_ANTHROPIC_OUTPUT];
    u->cache_read = v[NCR_ANTHROPIC_CACHE_READ];
    u->thinking = v[NCR_ANTHROPIC_THINKING];
    u->web_searches = v[NCR_ANTHROPIC_WEB_SEARCHES];
    u->web_fetches = v[NCR_ANTHROPIC_WEB_FETCHES];

    u->cache_write_5m = v[NCR_ANTHROPIC_CACHE_WRITE_5M];
    u->cache_write_1h = v[NCR_ANTHROPIC_CACHE_WRITE_1H];
    u->cache_write = u->cache_write_5m + u->cache_write_1h;

    if (!(c->told & (ncr_uint_t) 1 << NCR_ANTHROPIC_CACHE_WRITE)) {
        return;
    }

    /*
     * The breakdown comes with message_start only, the sum again later: what
     * it has more is written for five minutes, as is a sum without breakdown.
     */

    u->cache_write = v[NCR_ANTHROPIC_CACHE_WRITE];
    u->cache_write_1h = ncr_min(u->cache_write_1h, u->cache_write);
    u->cache_write_5m = u->cache_write - u->cache_write_1h;
}


void
ncr_anthropic_sum(ncr_usage_t *u, const ncr_usage_t *more)
{
    u->input += more->input;
    u->output += more->output;
    u->cache_read += more->cache_read;
    u->cache_write += more->cache_write;
    u->cache_write_5m += more->cache_write_5m;
    u->cache_write_1h += more->cache_write_1h;
    u->thinking += more->thinking;
    u->web_searches += more->web_searches;
    u->web_fetches += more->web_fetches;
}


ncr_uint_t
ncr_anthropic_parts(ncr_anthropic_answer_t *a, ncr_str_t *asked,
    ncr_part_t *parts)
{
    ncr_uint_t              i;
    ncr_part_t             *part;
    ncr_anthropic_parts_t   all, paid;

    if (!a->told.has_usage) {
        return 0;
    }

    all.n = 0;

    if (a->bill) {
        all = a->bill->paid;
    }

    ncr_anthropic_message_parts(a, &all);

    paid.n = 0;

    for (i = 0; i < all.n; i++) {
        part = &all.part[i];

        if (part->model[0] == '\0') {
            ncr_str_copy(part->model, sizeof(part->model), asked);
        }

        ncr_anthropic_pay(&paid, part->model, &part->usage);
    }

    memcpy(parts, paid.part, paid.n * sizeof(ncr_part_t));

    return paid.n;
}


void
ncr_anthropic_message_parts(ncr_anthropic_answer_t *a,
    ncr_anthropic_parts_t *parts)
{
    ncr_uint_t             i, refused;
    ncr_usage_t            u;
    ncr_anthropic_bill_t  *bill;

    refused = (strcmp(a->told.stop_reason, "refusal") == 0);

    memset(&u, 0, sizeof(u));
    ncr_anthropic_count(&u, &a->message);

    if (!a->iterated || a->bill == NULL) {

        /* E.4: tokens of a refusal before any output are told, not billed */

        if (refused && !a->content) {
            memset(&u, 0, sizeof(u));
        }

        ncr_anthropic_pay(parts, a->told.model, &u);
        return;
    }

    bill = a->bill;

    for (i = 0; i < bill->parts.n; i++) {
        ncr_anthropic_pay(parts, bill->parts.part[i].model,
                          &bill->parts.part[i].usage);
    }

    if (a->held) {
        ncr_anthropic_pay(parts, bill->last.model,
                          refused ? &ncr_anthropic_nothing
                                  : &bill->last.usage);
    }

    /* of what iterations do not tell */

    u.input = 0;
    u.output = 0;
    u.cache_read = 0;
    u.cache_write = 0;
    u.cache_write_5m = 0;
    u.cache_write_1h = 0;

    if (a->iterations.thinking) {
        u.thinking = 0;
    }

    if (u.thinking || u.web_searches || u.web_fetches || parts->n == 0) {
        ncr_anthropic_pay(parts, a->told.model, &u);
    }
}


void
ncr_anthropic_pay(ncr_anthropic_parts_t *parts, const char *model,
    const ncr_usage_t *u)
{
    ncr_uint_t   i;
    ncr_part_t  *part;

    for (i = 0; i < parts->n; i++) {
        if (strcmp(parts->part[i].model, model) == 0) {
            break;
        }
    }

    i = ncr_min(i, NCR_PARTS - 1);
    part = &parts->part[i];

    if (i == parts->n) {
        parts->n++;

        memcpy(part->model, model, strlen(model) + 1);
        memset(&part->usage, 0, sizeof(part->usage));
    }

    ncr_anthropic_sum(&part->usage, u);
}
