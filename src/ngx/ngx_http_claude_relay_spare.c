
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The readers of requests and answers are larger than what a request's pool
 * gives from its blocks; a worker keeps a few of them for the next request,
 * so that none is asked of malloc() in the steady state.
 */


#include "ngx_http_claude_relay.h"


/* kept for later, of each kind */
#define NGX_HTTP_CLAUDE_RELAY_SPARES  256


typedef struct ngx_http_claude_relay_spare_s  ngx_http_claude_relay_spare_t;

struct ngx_http_claude_relay_spare_s {
    ngx_http_claude_relay_spare_t     *next;
};


typedef struct {
    ngx_http_claude_relay_spare_t     *first;
    ngx_uint_t                         n;
} ngx_http_claude_relay_spares_t;


static void *ngx_http_claude_relay_spare_take(
    ngx_http_claude_relay_spares_t *spares, size_t size, ngx_log_t *log);
static ngx_int_t ngx_http_claude_relay_spare_give(
    ngx_http_claude_relay_spares_t *spares, void *p);


static ngx_http_claude_relay_spares_t  ngx_http_claude_relay_readers;
static ngx_http_claude_relay_spares_t  ngx_http_claude_relay_answers;


/* with its hashes made; the caller gives it back */

ngx_http_claude_relay_reader_t *
ngx_http_claude_relay_reader(ngx_log_t *log)
{
    ngx_uint_t                       n;
    ngx_http_claude_relay_reader_t  *reader;

    n = ngx_http_claude_relay_readers.n;

    reader = ngx_http_claude_relay_spare_take(&ngx_http_claude_relay_readers,
                               sizeof(ngx_http_claude_relay_reader_t), log);

    if (reader == NULL || n) {
        return reader;
    }

    if (ncr_sha256_create(&reader->plain) != NCR_OK) {
        ngx_free(reader);
        return NULL;
    }

    if (ncr_sha256_create(&reader->cached) != NCR_OK) {
        ncr_sha256_free(&reader->plain);
        ngx_free(reader);
        return NULL;
    }

    return reader;
}


void
ngx_http_claude_relay_reader_give(ngx_http_claude_relay_reader_t *reader)
{
    if (ngx_http_claude_relay_spare_give(&ngx_http_claude_relay_readers,
                                         reader)
        != NGX_OK)
    {
        ncr_sha256_free(&reader->plain);
        ncr_sha256_free(&reader->cached);
        ngx_free(reader);
    }
}


ncr_anthropic_answer_t *
ngx_http_claude_relay_answer(ngx_log_t *log)
{
    return ngx_http_claude_relay_spare_take(&ngx_http_claude_relay_answers,
                                       sizeof(ncr_anthropic_answer_t), log);
}


void
ngx_http_claude_relay_answer_give(ncr_anthropic_answer_t *answer)
{
    if (ngx_http_claude_relay_spare_give(&ngx_http_claude_relay_answers,
                                         answer)
        != NGX_OK)
    {
        ngx_free(answer);
    }
}


static void *
ngx_http_claude_relay_spare_take(ngx_http_claude_relay_spares_t *spares,
    size_t size, ngx_log_t *log)
{
    ngx_http_claude_relay_spare_t  *spare;

    spare = spares->first;

    if (spare == NULL) {
        return ngx_alloc(size, log);
    }

    spares->first = spare->next;
    spares->n--;

    return spare;
}


static ngx_int_t
ngx_http_claude_relay_spare_give(ngx_http_claude_relay_spares_t *spares,
    void *p)
{
    ngx_http_claude_relay_spare_t  *spare = p;

    if (spares->n >= NGX_HTTP_CLAUDE_RELAY_SPARES) {
        return NGX_DECLINED;
    }

    spare->next = spares->first;
    spares->first = spare;
    spares->n++;

    return NGX_OK;
}
