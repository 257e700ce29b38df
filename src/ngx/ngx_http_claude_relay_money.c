
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Files that the books are kept by, prices and the zone of days and months,
 * and what they say of a request.
 */


#include "ngx_http_claude_relay_books.h"


#define NGX_HTTP_CLAUDE_RELAY_TZ_DIR   "/usr/share/zoneinfo/"
#define NGX_HTTP_CLAUDE_RELAY_TZ_MAX   (256 * 1024)

/* LiteLLM's whole table has 2 MB */
#define NGX_HTTP_CLAUDE_RELAY_PRICES_MAX   (16 * 1024 * 1024)

#define NGX_HTTP_CLAUDE_RELAY_PRICES_ERROR  512


static ngx_http_claude_relay_bill_t *ngx_http_claude_relay_billed(
    ngx_http_claude_relay_ctx_t *ctx);
static char *ngx_http_claude_relay_read_whole(ngx_conf_t *cf,
    ngx_str_t *path, size_t max, ngx_str_t *text);


/* name|local; */

char *
ngx_http_claude_relay_set_timezone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    char                *rv;
    ncr_tz_t            *tz;
    ngx_str_t           *value, path, text;
    ngx_pool_cleanup_t  *cln;

    if (rmcf->timezone.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!ncr_tz_name(ncr(&value[1]))) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not the name of a time zone", &value[1]);
        return NGX_CONF_ERROR;
    }

    rmcf->timezone = value[1];

    if (ncr_str_eq(ncr(&value[1]), "UTC")) {
        return NGX_CONF_OK;
    }

    if (ncr_str_eq(ncr(&value[1]), "local")) {
        ngx_str_set(&path, "/etc/localtime");

    } else {
        path.len = sizeof(NGX_HTTP_CLAUDE_RELAY_TZ_DIR) - 1 + value[1].len;
        path.data = ngx_pnalloc(cf->pool, path.len + 1);
        if (path.data == NULL) {
            return NGX_CONF_ERROR;
        }

        (void) ngx_sprintf(path.data, NGX_HTTP_CLAUDE_RELAY_TZ_DIR "%V%Z",
                           &value[1]);
    }

    rv = ngx_http_claude_relay_read_whole(cf, &path,
                                          NGX_HTTP_CLAUDE_RELAY_TZ_MAX, &text);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL || ncr_tz_read(&tz, ncr(&text)) != NCR_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is not a file of a time zone", &path);
        return NGX_CONF_ERROR;
    }

    cln->handler = (ngx_pool_cleanup_pt) ncr_tz_free;
    cln->data = tz;

    rmcf->tz = tz;

    return NGX_CONF_OK;
}


/* file; */

char *
ngx_http_claude_relay_set_prices(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    char                 error[NGX_HTTP_CLAUDE_RELAY_PRICES_ERROR];
    char                *rv;
    ngx_str_t           *value, path, text;
    ncr_prices_t        *prices;
    ngx_pool_cleanup_t  *cln;

    if (rmcf->prices != ncr_prices_builtin()) {
        return "is duplicate";
    }

    value = cf->args->elts;
    path = value[1];

    if (path.len == 0) {
        return "has an empty path";
    }

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_claude_relay_read_whole(cf, &path,
                                          NGX_HTTP_CLAUDE_RELAY_PRICES_MAX,
                                          &text);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ncr_prices_read(&prices, ncr(&text), rmcf->prices, error,
                        sizeof(error)) != NCR_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "prices in \"%V\": %s",
                           &path, error);
        return NGX_CONF_ERROR;
    }

    cln->handler = (ngx_pool_cleanup_pt) ncr_prices_free;
    cln->data = prices;

    rmcf->prices = prices;
    rmcf->prices_conf = prices;

    return NGX_CONF_OK;
}


/* the path ends with a NUL; nothing but a file is waited for */

static char *
ngx_http_claude_relay_read_whole(ngx_conf_t *cf, ngx_str_t *path, size_t max,
    ngx_str_t *text)
{
    size_t           size;
    ssize_t          n;
    ngx_file_t       file;
    const char      *wrong;
    ngx_file_info_t  info;

    ngx_memzero(&file, sizeof(ngx_file_t));
    file.name = *path;
    file.log = cf->log;

    file.fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                            NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", path);
        return NGX_CONF_ERROR;
    }

    wrong = NULL;
    size = 0;

    if (ngx_fd_info(file.fd, &info) == NGX_FILE_ERROR
        || !ngx_is_file(&info))
    {
        wrong = "is not a file";

    } else {
        size = (size_t) ngx_file_size(&info);

        if (size > max) {
            wrong = "is too large";
        }
    }

    if (wrong == NULL) {
        text->data = ngx_pnalloc(cf->temp_pool, size + 1);

        n = text->data ? ngx_read_file(&file, text->data, size, 0) : NGX_ERROR;

        if (n == NGX_ERROR) {
            wrong = "cannot be read";

        } else {
            text->len = (size_t) n;
        }
    }

    (void) ngx_close_file(file.fd);

    if (wrong) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\" %s", path, wrong);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* dollars with six decimals; nothing where a price is not known */

void
ngx_http_claude_relay_text_cost(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s)
{
    u_char                        *p;
    ngx_http_claude_relay_bill_t  *bill;

    bill = ngx_http_claude_relay_billed(ctx);

    if (bill == NULL || !bill->priced) {
        return;
    }

    s->data = ngx_pnalloc(ctx->request->pool, NGX_INT64_LEN + 8);
    if (s->data == NULL) {
        return;
    }

    p = ncr_str_decimal(s->data, bill->cost / 1000000);

    /* 1 before the decimals keeps their zeros, and is the point then */

    (void) ncr_str_decimal(p, bill->cost % 1000000 + 1000000);
    *p = '.';

    s->len = p + 7 - s->data;
}


void
ngx_http_claude_relay_text_price(ngx_http_claude_relay_ctx_t *ctx,
    ngx_str_t *s)
{
    ngx_http_claude_relay_main_conf_t  *rmcf;

    if (ngx_http_claude_relay_billed(ctx) == NULL) {
        return;
    }

    rmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_claude_relay_module);

    s->data = (u_char *) rmcf->prices->version;
    s->len = ngx_strlen(s->data);
}


/* NULL: no usage was told, there is nothing to pay for */

static ngx_http_claude_relay_bill_t *
ngx_http_claude_relay_billed(ngx_http_claude_relay_ctx_t *ctx)
{
    if (!ctx->committed) {
        return NULL;
    }

    /* the answer is read no further once it is booked */

    if (ctx->bill == NULL || !ctx->booked) {
        ngx_http_claude_relay_bill(ctx);
    }

    return (ctx->bill && ctx->bill->nparts) ? ctx->bill : NULL;
}
