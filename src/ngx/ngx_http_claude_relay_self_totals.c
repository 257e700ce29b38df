
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a key has used, by the ledger: today, this month, ever.  The request
 * waits for the ledger's thread; a client that leaves meanwhile is forgotten.
 */


#include "ngx_http_claude_relay_self.h"
#include "ngx_http_claude_relay_ledger.h"


/* questions of keys under way in a worker; more are answered without */
#define NGX_HTTP_CLAUDE_RELAY_TOTALS_MAX  16


typedef struct {
    ngx_http_claude_relay_question_t   question;
    ngx_http_request_t                *request;     /* NULL: it has left */
    ngx_http_cleanup_t                *cleanup;
    ncr_msec_t                         now;
    const ncr_tz_t                    *tz;
    ngx_http_claude_relay_totals_t     totals;
    char                               key[NCR_KEY_NAME];
} ngx_http_claude_relay_totals_asked_t;


static void ngx_http_claude_relay_totals_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q);
static ncr_int_t ngx_http_claude_relay_totals_sum(void *data,
    ncr_ledger_sum_t *sum);
static void ngx_http_claude_relay_totals_done(
    ngx_http_claude_relay_question_t *q);
static void ngx_http_claude_relay_totals_left(void *data);


static const ncr_span_e
    ngx_http_claude_relay_totals_spans[NGX_HTTP_CLAUDE_RELAY_TOTALS] = {
    NCR_SPAN_DAY, NCR_SPAN_MONTH, NCR_SPAN_TOTAL
};

static ngx_uint_t  ngx_http_claude_relay_totals_asked;


/*
 * NGX_DONE: ngx_http_claude_relay_self_answer() will be called; NGX_DECLINED:
 * nothing is known.
 */

ngx_int_t
ngx_http_claude_relay_self_totals(ngx_http_request_t *r,
    ngx_http_claude_relay_ctx_t *ctx)
{
    ncr_str_t                              name;
    ngx_http_cleanup_t                    *cln;
    ngx_http_claude_relay_main_conf_t     *rmcf;
    ngx_http_claude_relay_totals_asked_t  *asked;

    if (ngx_http_claude_relay_totals_asked
        >= NGX_HTTP_CLAUDE_RELAY_TOTALS_MAX)
    {
        return NGX_DECLINED;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_DECLINED;
    }

    asked = ngx_calloc(sizeof(ngx_http_claude_relay_totals_asked_t),
                       r->connection->log);
    if (asked == NULL) {
        return NGX_DECLINED;
    }

    rmcf = ngx_http_get_module_main_conf(r, ngx_http_claude_relay_module);
    name = ncr_key_text(ctx->key, ctx->key->name);

    ncr_str_copy(asked->key, sizeof(asked->key), &name);

    asked->request = r;
    asked->cleanup = cln;
    asked->now = ngx_http_claude_relay_now();
    asked->tz = rmcf->tz;

    asked->question.run = ngx_http_claude_relay_totals_run;
    asked->question.done = ngx_http_claude_relay_totals_done;
    asked->question.data = asked;
    asked->question.fresh = 1;

    if (ngx_http_claude_relay_ledger_ask(&asked->question) != NGX_OK) {
        ngx_free(asked);
        return NGX_DECLINED;
    }

    cln->handler = ngx_http_claude_relay_totals_left;
    cln->data = asked;

    ngx_http_claude_relay_totals_asked++;

    r->main->count++;

    return NGX_DONE;
}


/* in the thread */

static void
ngx_http_claude_relay_totals_run(ncr_ledger_t *ledger,
    ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_totals_asked_t *asked = q->data;

    ncr_msec_t           end;
    ngx_uint_t           i;
    ncr_span_e           span;
    ncr_ledger_query_t   query;

    for (i = 0; i < NGX_HTTP_CLAUDE_RELAY_TOTALS; i++) {

        ngx_memzero(&query, sizeof(ncr_ledger_query_t));

        query.key = asked->key;

        span = ngx_http_claude_relay_totals_spans[i];

        if (span != NCR_SPAN_TOTAL) {
            ncr_tz_span(asked->tz, span, 1, 0, asked->now, &query.from, &end);
        }

        q->rc = ncr_ledger_sums(ledger, &query,
                                ngx_http_claude_relay_totals_sum,
                                &asked->totals.sums[i]);

        if (q->rc != NCR_OK) {
            return;
        }
    }
}


static ncr_int_t
ngx_http_claude_relay_totals_sum(void *data, ncr_ledger_sum_t *sum)
{
    ncr_ledger_sum_t *to = data;

    *to = *sum;

    return NCR_OK;
}


static void
ngx_http_claude_relay_totals_done(ngx_http_claude_relay_question_t *q)
{
    ngx_http_claude_relay_totals_asked_t *asked = q->data;

    ngx_int_t            rc;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    ngx_http_claude_relay_totals_asked--;

    r = asked->request;

    if (r) {
        asked->cleanup->handler = NULL;

        c = r->connection;

        rc = ngx_http_claude_relay_self_answer(r,
                                  (q->rc == NCR_OK) ? &asked->totals : NULL);

        ngx_http_finalize_request(r, rc);
        ngx_http_run_posted_requests(c);
    }

    ngx_free(asked);
}


static void
ngx_http_claude_relay_totals_left(void *data)
{
    ngx_http_claude_relay_totals_asked_t *asked = data;

    asked->request = NULL;
}
