
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A request's context with the reader of its answer, and the reader of its
 * body: large parts, that would make a request's pool grow by a block or be
 * asked of malloc() each time.  A worker keeps some for the next request.
 */


#include "ngx_http_claude_relay.h"


/* kept for later, of each kind; none where a use after the end is hunted */

#if (NGX_DEBUG_PALLOC)
#define NGX_HTTP_CLAUDE_RELAY_SPARES  0
#else
#define NGX_HTTP_CLAUDE_RELAY_SPARES  256
#endif


typedef struct ngx_http_claude_relay_spare_s  ngx_http_claude_relay_spare_t;

struct ngx_http_claude_relay_spare_s {
    ngx_http_claude_relay_spare_t     *next;
};


typedef struct {
    ngx_http_claude_relay_ctx_t        ctx;     /* first: it stands for both */

    union {
        ncr_answer_t                   told;    /* each begins with it */
        ncr_anthropic_answer_t         anthropic;
        ncr_bedrock_answer_t           bedrock;
        ncr_gemini_answer_t            gemini;
        ncr_openai_answer_t            openai;
    }                                  answer;
} ngx_http_claude_relay_parts_t;


typedef struct {
    ngx_http_claude_relay_spare_t     *first;
    ngx_uint_t                         n;
} ngx_http_claude_relay_spares_t;


static void *ngx_http_claude_relay_spare_take(
    ngx_http_claude_relay_spares_t *spares, size_t size, ngx_log_t *log);
static ngx_int_t ngx_http_claude_relay_spare_give(
    ngx_http_claude_relay_spares_t *spares, void *p);


static ncr_anthropic_reader_t *ngx_http_claude_relay_answer_take(void);
static void ngx_http_claude_relay_answer_give(ncr_anthropic_reader_t *reader);
static ncr_anthropic_bill_t *ngx_http_claude_relay_bill_take(void);
static void ngx_http_claude_relay_bill_give(ncr_anthropic_bill_t *bill);
static ncr_bedrock_frames_t *ngx_http_claude_relay_frames_take(void);
static void ngx_http_claude_relay_frames_give(ncr_bedrock_frames_t *frames);


static ngx_http_claude_relay_spares_t  ngx_http_claude_relay_answers;
static ngx_http_claude_relay_spares_t  ngx_http_claude_relay_bills;
static ngx_http_claude_relay_spares_t  ngx_http_claude_relay_frames;
static ngx_http_claude_relay_spares_t  ngx_http_claude_relay_readers;
static ngx_http_claude_relay_spares_t  ngx_http_claude_relay_contexts;

/* it stands for that of the Messages dialect, too */

const ncr_bedrock_lender_t  ngx_http_claude_relay_lender = {
    {
        ngx_http_claude_relay_answer_take,
        ngx_http_claude_relay_answer_give,
        ngx_http_claude_relay_bill_take,
        ngx_http_claude_relay_bill_give
    },
    ngx_http_claude_relay_frames_take,
    ngx_http_claude_relay_frames_give
};


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


/* zeroed, but for the reader of answers; lasts until it is given back */

ngx_http_claude_relay_ctx_t *
ngx_http_claude_relay_ctx(ngx_log_t *log)
{
    ngx_http_claude_relay_parts_t  *parts;

    parts = ngx_http_claude_relay_spare_take(&ngx_http_claude_relay_contexts,
                                sizeof(ngx_http_claude_relay_parts_t), log);
    if (parts == NULL) {
        return NULL;
    }

    ngx_memzero(&parts->ctx, sizeof(ngx_http_claude_relay_ctx_t));

    ngx_memzero(&parts->answer.told, sizeof(ncr_answer_t));

    parts->ctx.answer = &parts->answer.told;

    return &parts->ctx;
}


void
ngx_http_claude_relay_ctx_give(ngx_http_claude_relay_ctx_t *ctx)
{
    if (ctx->codec) {
        ctx->codec->answer_done(ctx->answer);
    }

    if (ngx_http_claude_relay_spare_give(&ngx_http_claude_relay_contexts, ctx)
        != NGX_OK)
    {
        ngx_free(ctx);
    }
}


/* what a body, or an event in pieces, is read with */

static ncr_anthropic_reader_t *
ngx_http_claude_relay_answer_take(void)
{
    return ngx_http_claude_relay_spare_take(&ngx_http_claude_relay_answers,
                                            sizeof(ncr_anthropic_reader_t),
                                            ngx_cycle->log);
}


static void
ngx_http_claude_relay_answer_give(ncr_anthropic_reader_t *reader)
{
    if (ngx_http_claude_relay_spare_give(&ngx_http_claude_relay_answers,
                                         reader)
        != NGX_OK)
    {
        ngx_free(reader);
    }
}


static ncr_anthropic_bill_t *
ngx_http_claude_relay_bill_take(void)
{
    return ngx_http_claude_relay_spare_take(&ngx_http_claude_relay_bills,
                                            sizeof(ncr_anthropic_bill_t),
                                            ngx_cycle->log);
}


static void
ngx_http_claude_relay_bill_give(ncr_anthropic_bill_t *bill)
{
    if (ngx_http_claude_relay_spare_give(&ngx_http_claude_relay_bills, bill)
        != NGX_OK)
    {
        ngx_free(bill);
    }
}


static ncr_bedrock_frames_t *
ngx_http_claude_relay_frames_take(void)
{
    return ngx_http_claude_relay_spare_take(&ngx_http_claude_relay_frames,
                                            sizeof(ncr_bedrock_frames_t),
                                            ngx_cycle->log);
}


static void
ngx_http_claude_relay_frames_give(ncr_bedrock_frames_t *frames)
{
    if (ngx_http_claude_relay_spare_give(&ngx_http_claude_relay_frames,
                                         frames)
        != NGX_OK)
    {
        ngx_free(frames);
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
