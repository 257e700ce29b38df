
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A table of columns for each, which both forms follow.  Names and models are
 * what clients and upstreams have sent: a cell that a spreadsheet would take
 * for a formula has an apostrophe in front.
 */


#include "ngx_http_claude_relay_usage_text.h"


/* the longest value, escaped; of a row, all of them */
#define NGX_HTTP_CLAUDE_RELAY_USAGE_VALUE  4096


typedef enum {
    NGX_HTTP_CLAUDE_RELAY_COLUMN_STR = 0,       /* ncr_str_t */
    NGX_HTTP_CLAUDE_RELAY_COLUMN_U32,
    NGX_HTTP_CLAUDE_RELAY_COLUMN_U64,
    NGX_HTTP_CLAUDE_RELAY_COLUMN_TIME,
    NGX_HTTP_CLAUDE_RELAY_COLUMN_MONEY,         /* as a decimal */
    NGX_HTTP_CLAUDE_RELAY_COLUMN_TTFT,          /* may be none */
    NGX_HTTP_CLAUDE_RELAY_COLUMN_FLAG,          /* offset: the bit */
    NGX_HTTP_CLAUDE_RELAY_COLUMN_TIER,
    NGX_HTTP_CLAUDE_RELAY_COLUMN_TOKENS,        /* of an ncr_usage_t */
    NGX_HTTP_CLAUDE_RELAY_COLUMN_MEAN,          /* of the sum before it */
    NGX_HTTP_CLAUDE_RELAY_COLUMN_MEAN_TTFT
} ngx_http_claude_relay_column_e;


typedef struct {
    const char                        *name;
    ngx_http_claude_relay_column_e     kind;
    size_t                             offset;
} ngx_http_claude_relay_column_t;


static void ngx_http_claude_relay_usage_columns(
    ngx_http_claude_relay_usage_text_t *t,
    ngx_http_claude_relay_column_t *columns, void *data);
static void ngx_http_claude_relay_usage_heads(
    ngx_http_claude_relay_usage_text_t *t,
    ngx_http_claude_relay_column_t *columns);
static void ngx_http_claude_relay_usage_value(
    ngx_http_claude_relay_usage_text_t *t,
    ngx_http_claude_relay_column_t *column, void *data);
static void ngx_http_claude_relay_usage_string(
    ngx_http_claude_relay_usage_text_t *t, ncr_str_t *s);
static void ngx_http_claude_relay_usage_cell(ncr_out_t *out, ncr_str_t *s);
static void ngx_http_claude_relay_usage_parts(
    ngx_http_claude_relay_usage_text_t *t, ncr_record_t *rec);
static ngx_int_t ngx_http_claude_relay_usage_room(
    ngx_http_claude_relay_usage_text_t *t, size_t size);


#define ngx_http_claude_relay_sum_of(name, kind, field)                       \
    { name, NGX_HTTP_CLAUDE_RELAY_COLUMN_ ## kind,                            \
      offsetof(ncr_ledger_sum_t, field) }
#define ngx_http_claude_relay_row_of(name, kind, field)                       \
    { name, NGX_HTTP_CLAUDE_RELAY_COLUMN_ ## kind,                            \
      offsetof(ncr_record_t, field) }
#define ngx_http_claude_relay_usage_of(name, field)                           \
    { name, NGX_HTTP_CLAUDE_RELAY_COLUMN_U64, offsetof(ncr_usage_t, field) }


static ngx_http_claude_relay_column_t  ngx_http_claude_relay_sum_columns[] = {
    ngx_http_claude_relay_sum_of("requests", U64, requests),
    ngx_http_claude_relay_sum_of("failed", U64, failed),
    ngx_http_claude_relay_sum_of("refused", U64, refused),
    ngx_http_claude_relay_sum_of("unpriced", U64, unpriced),
    ngx_http_claude_relay_sum_of("estimated", U64, estimated),
    ngx_http_claude_relay_sum_of("tokens", TOKENS, usage),
    ngx_http_claude_relay_sum_of("input", U64, usage.input),
    ngx_http_claude_relay_sum_of("output", U64, usage.output),
    ngx_http_claude_relay_sum_of("cache_read", U64, usage.cache_read),
    ngx_http_claude_relay_sum_of("cache_write", U64, usage.cache_write),
    ngx_http_claude_relay_sum_of("cache_write_5m", U64, usage.cache_write_5m),
    ngx_http_claude_relay_sum_of("cache_write_1h", U64, usage.cache_write_1h),
    ngx_http_claude_relay_sum_of("thinking", U64, usage.thinking),
    ngx_http_claude_relay_sum_of("web_searches", U64, usage.web_searches),
    ngx_http_claude_relay_sum_of("web_fetches", U64, usage.web_fetches),
    ngx_http_claude_relay_sum_of("cost", MONEY, cost),
    ngx_http_claude_relay_sum_of("cost_micros", U64, cost),
    ngx_http_claude_relay_sum_of("rated", MONEY, rated),
    ngx_http_claude_relay_sum_of("rated_micros", U64, rated),
    ngx_http_claude_relay_sum_of("duration_ms", MEAN, duration),
    ngx_http_claude_relay_sum_of("ttft_ms", MEAN_TTFT, ttft),
    { NULL, NGX_HTTP_CLAUDE_RELAY_COLUMN_STR, 0 }
};


static ngx_http_claude_relay_column_t  ngx_http_claude_relay_row_columns[] = {
    ngx_http_claude_relay_row_of("time", TIME, time),
    ngx_http_claude_relay_row_of("id", STR, id),
    ngx_http_claude_relay_row_of("request_id", STR, provider_id),
    ngx_http_claude_relay_row_of("key", STR, key),
    ngx_http_claude_relay_row_of("user", STR, user),
    ngx_http_claude_relay_row_of("group", STR, group),
    ngx_http_claude_relay_row_of("account", STR, account),
    ngx_http_claude_relay_row_of("platform", STR, platform),
    ngx_http_claude_relay_row_of("dialect", STR, dialect),
    ngx_http_claude_relay_row_of("operation", STR, op),
    ngx_http_claude_relay_row_of("model", STR, model),
    ngx_http_claude_relay_row_of("served_model", STR, served),
    ngx_http_claude_relay_row_of("status", U32, status),
    ngx_http_claude_relay_row_of("class", STR, class),
    ngx_http_claude_relay_row_of("stop_reason", STR, stop),
    { "stream", NGX_HTTP_CLAUDE_RELAY_COLUMN_FLAG, NCR_RECORD_STREAM },
    { "estimated", NGX_HTTP_CLAUDE_RELAY_COLUMN_FLAG, NCR_RECORD_ESTIMATED },
    { "unpriced", NGX_HTTP_CLAUDE_RELAY_COLUMN_FLAG, NCR_RECORD_UNPRICED },
    { "refused", NGX_HTTP_CLAUDE_RELAY_COLUMN_FLAG, NCR_RECORD_REFUSED },
    { "shadow", NGX_HTTP_CLAUDE_RELAY_COLUMN_FLAG, NCR_RECORD_SHADOW },
    ngx_http_claude_relay_row_of("attempts", U32, attempts),
    ngx_http_claude_relay_row_of("trail", STR, trail),
    ngx_http_claude_relay_row_of("duration_ms", U32, duration),
    ngx_http_claude_relay_row_of("ttft_ms", TTFT, ttft),
    ngx_http_claude_relay_row_of("own_us", U32, own),
    ngx_http_claude_relay_row_of("client", STR, client),
    ngx_http_claude_relay_row_of("session", STR, session),
    ngx_http_claude_relay_row_of("sticky", STR, sticky),
    ngx_http_claude_relay_row_of("tokens", TOKENS, usage),
    ngx_http_claude_relay_row_of("input", U64, usage.input),
    ngx_http_claude_relay_row_of("output", U64, usage.output),
    ngx_http_claude_relay_row_of("cache_read", U64, usage.cache_read),
    ngx_http_claude_relay_row_of("cache_write", U64, usage.cache_write),
    ngx_http_claude_relay_row_of("cache_write_5m", U64, usage.cache_write_5m),
    ngx_http_claude_relay_row_of("cache_write_1h", U64, usage.cache_write_1h),
    ngx_http_claude_relay_row_of("thinking", U64, usage.thinking),
    ngx_http_claude_relay_row_of("web_searches", U64, usage.web_searches),
    ngx_http_claude_relay_row_of("web_fetches", U64, usage.web_fetches),
    ngx_http_claude_relay_row_of("tier", TIER, tier),
    ngx_http_claude_relay_row_of("cost", MONEY, cost),
    ngx_http_claude_relay_row_of("cost_micros", U64, cost),
    ngx_http_claude_relay_row_of("rated", MONEY, rated),
    ngx_http_claude_relay_row_of("rated_micros", U64, rated),
    ngx_http_claude_relay_row_of("prices", STR, price),
    { NULL, NGX_HTTP_CLAUDE_RELAY_COLUMN_STR, 0 }
};


static ngx_http_claude_relay_column_t  ngx_http_claude_relay_part_columns[] = {
    ngx_http_claude_relay_usage_of("input", input),
    ngx_http_claude_relay_usage_of("output", output),
    ngx_http_claude_relay_usage_of("cache_read", cache_read),
    ngx_http_claude_relay_usage_of("cache_write_5m", cache_write_5m),
    ngx_http_claude_relay_usage_of("cache_write_1h", cache_write_1h),
    { NULL, NGX_HTTP_CLAUDE_RELAY_COLUMN_STR, 0 }
};


static const char  *ngx_http_claude_relay_usage_tiers[] = {
    "standard", "fast", "priority", "flex", "batch"
};


void
ngx_http_claude_relay_usage_sum(ngx_http_claude_relay_usage_text_t *t,
    const char *const *by, ncr_ledger_sum_t *sum)
{
    ncr_str_t   name;
    ngx_uint_t  i;

    ngx_http_claude_relay_usage_text(t, t->csv ? "" : "{");

    for (i = 0; i < 2 && by[i]; i++) {

        if (i) {
            ngx_http_claude_relay_usage_text(t, ",");
        }

        if (!t->csv) {
            ngx_http_claude_relay_usage_text(t, "\"%s\":", by[i]);
        }

        name.data = (u_char *) sum->name[i];
        name.len = ngx_strlen(sum->name[i]);

        ngx_http_claude_relay_usage_string(t, &name);
    }

    if (i) {
        ngx_http_claude_relay_usage_text(t, ",");
    }

    ngx_http_claude_relay_usage_columns(t, ngx_http_claude_relay_sum_columns,
                                        sum);
    ngx_http_claude_relay_usage_text(t, t->csv ? "\r\n" : "}");
}


void
ngx_http_claude_relay_usage_row(ngx_http_claude_relay_usage_text_t *t,
    uint64_t number, ncr_record_t *rec)
{
    ngx_http_claude_relay_usage_text(t, t->csv ? "%uL," : "{\"number\":%uL,",
                                     number);

    ngx_http_claude_relay_usage_columns(t, ngx_http_claude_relay_row_columns,
                                        rec);

    if (t->csv) {
        ngx_http_claude_relay_usage_text(t, "\r\n");
        return;
    }

    if (rec->nparts > 1) {
        ngx_http_claude_relay_usage_parts(t, rec);
    }

    ngx_http_claude_relay_usage_text(t, "}");
}


/* an answer that has fallen back to another model */

static void
ngx_http_claude_relay_usage_parts(ngx_http_claude_relay_usage_text_t *t,
    ncr_record_t *rec)
{
    ncr_str_t   model;
    ngx_uint_t  i;

    ngx_http_claude_relay_usage_text(t, ",\"parts\":[");

    for (i = 0; i < rec->nparts; i++) {

        model.data = (u_char *) rec->parts[i].model;
        model.len = ngx_strlen(model.data);

        ngx_http_claude_relay_usage_text(t, i ? ",{\"model\":"
                                              : "{\"model\":");
        ngx_http_claude_relay_usage_string(t, &model);
        ngx_http_claude_relay_usage_text(t, ",");
        ngx_http_claude_relay_usage_columns(t,
                                           ngx_http_claude_relay_part_columns,
                                           &rec->parts[i].usage);
        ngx_http_claude_relay_usage_text(t, "}");
    }

    ngx_http_claude_relay_usage_text(t, "]");
}


void
ngx_http_claude_relay_usage_sum_head(ngx_http_claude_relay_usage_text_t *t,
    const char *const *by)
{
    ngx_uint_t  i;

    for (i = 0; i < 2 && by[i]; i++) {
        ngx_http_claude_relay_usage_text(t, "%s,", by[i]);
    }

    ngx_http_claude_relay_usage_heads(t, ngx_http_claude_relay_sum_columns);
}


void
ngx_http_claude_relay_usage_row_head(ngx_http_claude_relay_usage_text_t *t)
{
    ngx_http_claude_relay_usage_text(t, "number,");
    ngx_http_claude_relay_usage_heads(t, ngx_http_claude_relay_row_columns);
}


static void
ngx_http_claude_relay_usage_heads(ngx_http_claude_relay_usage_text_t *t,
    ngx_http_claude_relay_column_t *columns)
{
    ngx_uint_t  i;

    for (i = 0; columns[i].name; i++) {
        ngx_http_claude_relay_usage_text(t, i ? ",%s" : "%s",
                                         columns[i].name);
    }

    ngx_http_claude_relay_usage_text(t, "\r\n");
}


static void
ngx_http_claude_relay_usage_columns(ngx_http_claude_relay_usage_text_t *t,
    ngx_http_claude_relay_column_t *columns, void *data)
{
    ngx_uint_t  i;

    for (i = 0; columns[i].name; i++) {

        if (i) {
            ngx_http_claude_relay_usage_text(t, ",");
        }

        if (!t->csv) {
            ngx_http_claude_relay_usage_text(t, "\"%s\":", columns[i].name);
        }

        ngx_http_claude_relay_usage_value(t, &columns[i], data);
    }
}


static void
ngx_http_claude_relay_usage_value(ngx_http_claude_relay_usage_text_t *t,
    ngx_http_claude_relay_column_t *column, void *data)
{
    char               text[40];
    u_char            *p;
    uint32_t           n;
    ncr_usage_t       *u;
    ncr_ledger_sum_t  *sum;

    p = (u_char *) data + column->offset;

    switch (column->kind) {

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_STR:
        ngx_http_claude_relay_usage_string(t, (ncr_str_t *) (void *) p);
        break;

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_U32:
        ngx_http_claude_relay_usage_text(t, "%uD",
                                         *(uint32_t *) (void *) p);
        break;

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_U64:
        ngx_http_claude_relay_usage_text(t, "%uL",
                                         *(uint64_t *) (void *) p);
        break;

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_TIME:
        ncr_str_rfc3339(text, *(ncr_msec_t *) (void *) p);
        ngx_http_claude_relay_usage_text(t, t->csv ? "%*s.%03uLZ"
                                                   : "\"%*s.%03uLZ\"",
                          (size_t) 19, text,
                          (uint64_t) (*(ncr_msec_t *) (void *) p % 1000));
        break;

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_MONEY:
        ngx_http_claude_relay_usage_money(*(int64_t *) (void *) p, text);
        ngx_http_claude_relay_usage_text(t, t->csv ? "%s" : "\"%s\"", text);
        break;

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_TTFT:
        n = *(uint32_t *) (void *) p;

        if (n == UINT32_MAX) {
            ngx_http_claude_relay_usage_text(t, t->csv ? "" : "null");

        } else {
            ngx_http_claude_relay_usage_text(t, "%uD", n);
        }

        break;

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_FLAG:
        ngx_http_claude_relay_usage_text(t,
                          (((ncr_record_t *) data)->flags & column->offset)
                          ? "true" : "false");
        break;

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_TIER:
        n = ngx_min(*(uint32_t *) (void *) p, NCR_TIER_BATCH);
        ngx_http_claude_relay_usage_text(t, t->csv ? "%s" : "\"%s\"",
                                         ngx_http_claude_relay_usage_tiers[n]);
        break;

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_TOKENS:
        u = (ncr_usage_t *) (void *) p;
        ngx_http_claude_relay_usage_text(t, "%uL", u->input + u->output
                                         + u->cache_read + u->cache_write);
        break;

    case NGX_HTTP_CLAUDE_RELAY_COLUMN_MEAN:
        sum = data;
        ngx_http_claude_relay_usage_text(t, "%uL",
                        sum->requests ? sum->duration / sum->requests : 0);
        break;

    default: /* NGX_HTTP_CLAUDE_RELAY_COLUMN_MEAN_TTFT */
        sum = data;

        if (sum->nttft) {
            ngx_http_claude_relay_usage_text(t, "%uL",
                                             sum->ttft / sum->nttft);

        } else {
            ngx_http_claude_relay_usage_text(t, t->csv ? "" : "null");
        }

        break;
    }
}


/* "" is null: there was none */

static void
ngx_http_claude_relay_usage_string(ngx_http_claude_relay_usage_text_t *t,
    ncr_str_t *s)
{
    ncr_out_t  out;

    if (ngx_http_claude_relay_usage_room(t, NGX_HTTP_CLAUDE_RELAY_USAGE_VALUE)
        != NGX_OK)
    {
        return;
    }

    ncr_out_init(&out, t->data + t->len, t->size - t->len);

    if (t->csv) {
        ngx_http_claude_relay_usage_cell(&out, s);

    } else if (s->len) {
        ncr_out_json_string(&out, s);

    } else {
        ncr_out_text(&out, "null");
    }

    if (out.overflow) {
        t->failed = 1;
        return;
    }

    t->len = out.last - t->data;
}


/* RFC 4180; control characters are blanks */

static void
ngx_http_claude_relay_usage_cell(ncr_out_t *out, ncr_str_t *s)
{
    u_char   c;
    size_t   i;

    if (s->len == 0) {
        return;
    }

    ncr_out_bytes(out, "\"", 1);

    c = s->data[0];

    if (c == '=' || c == '+' || c == '-' || c == '@' || c < ' ') {
        ncr_out_bytes(out, "'", 1);
    }

    for (i = 0; i < s->len; i++) {
        c = s->data[i];

        if (c < ' ' || c == 0x7f) {
            c = ' ';
        }

        if (c == '"') {
            ncr_out_bytes(out, "\"", 1);
        }

        ncr_out_bytes(out, &c, 1);
    }

    ncr_out_bytes(out, "\"", 1);
}


void
ngx_http_claude_relay_usage_money(int64_t micros, char *dst)
{
    uint64_t  n;

    n = (micros < 0) ? 0 - (uint64_t) micros : (uint64_t) micros;

    (void) ngx_sprintf((u_char *) dst, "%s%uL.%06uL%Z", micros < 0 ? "-" : "",
                       n / 1000000, n % 1000000);
}


void
ngx_http_claude_relay_usage_text(ngx_http_claude_relay_usage_text_t *t,
    const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    if (ngx_http_claude_relay_usage_room(t, NGX_HTTP_CLAUDE_RELAY_USAGE_VALUE)
        != NGX_OK)
    {
        return;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(t->data + t->len, t->data + t->size, fmt, args);
    va_end(args);

    t->len = p - t->data;
}


static ngx_int_t
ngx_http_claude_relay_usage_room(ngx_http_claude_relay_usage_text_t *t,
    size_t room)
{
    size_t   size;
    u_char  *data;

    if (t->failed) {
        return NGX_ERROR;
    }

    if (t->size - t->len >= room) {
        return NGX_OK;
    }

    size = t->size ? 2 * t->size : 16 * NGX_HTTP_CLAUDE_RELAY_USAGE_VALUE;
    data = ngx_alloc(size, ngx_cycle->log);

    if (data == NULL) {
        t->failed = 1;
        return NGX_ERROR;
    }

    if (t->len) {
        ngx_memcpy(data, t->data, t->len);
    }

    if (t->data) {
        ngx_free(t->data);
    }

    t->data = data;
    t->size = size;

    return NGX_OK;
}
