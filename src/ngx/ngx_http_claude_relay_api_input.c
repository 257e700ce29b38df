
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What comes with a call: its body, its members, its query. */


#include "ngx_http_claude_relay_api.h"
#include "ncr_oauth_text.h"


/* more members are not looked through for one that is repeated */
#define NGX_HTTP_CLAUDE_RELAY_MEMBERS_MAX   1024


static ngx_int_t ngx_http_claude_relay_call_gather(
    ngx_http_claude_relay_call_t *call, ngx_str_t *text);


/*
 * Bodies have secrets in them: they stay in memory, in one buffer, which is as
 * large as this way takes.  All of that nginx asks the location for, so this
 * request has one of its own.
 */

ngx_int_t
ngx_http_claude_relay_api_room(ngx_http_request_t *r, size_t max)
{
    void                     **conf;
    ngx_http_core_loc_conf_t  *clcf;

    conf = ngx_palloc(r->pool, ngx_http_max_module * sizeof(void *));
    clcf = ngx_palloc(r->pool, sizeof(ngx_http_core_loc_conf_t));

    if (conf == NULL || clcf == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(conf, r->loc_conf, ngx_http_max_module * sizeof(void *));

    *clcf = *(ngx_http_core_loc_conf_t *)
                ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    clcf->client_max_body_size = max;
    clcf->client_body_buffer_size = max + ngx_pagesize;
    clcf->client_body_in_single_buffer = 1;
    clcf->client_body_in_file_only = 0;

    conf[ngx_http_core_module.ctx_index] = clcf;
    r->loc_conf = conf;

    r->request_body_in_single_buf = 1;
    r->request_body_in_file_only = 0;
    r->request_body_in_persistent_file = 0;
    r->request_body_in_clean_file = 0;

    return NGX_OK;
}


/* "If-Match": a version as it was told by an ETag, or "*" */

ngx_int_t
ngx_http_claude_relay_call_match(ngx_http_claude_relay_call_t *call)
{
    int64_t           n;
    ngx_str_t         value;
    ngx_table_elt_t  *h;

    h = call->request->headers_in.if_match;

    if (h == NULL || ncr_str_eq(ncr(&h->value), "*")) {
        return NGX_OK;
    }

    value = h->value;

    if (value.len > 2 && value.data[0] == '"'
        && value.data[value.len - 1] == '"')
    {
        value.data++;
        value.len -= 2;
    }

    if (ncr_str_int(ncr(&value), &n) != NCR_OK || n <= 0) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "\"If-Match\" must be an \"ETag\" "
                                         "as it was told");
        return NGX_ERROR;
    }

    call->match = (uint64_t) n;

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_call_parse(ngx_http_claude_relay_call_t *call)
{
    cJSON       *item, *other;
    ngx_str_t    text;
    ngx_uint_t   n;

    if (call->way->method != NGX_HTTP_POST
        && call->way->method != NGX_HTTP_PATCH
        && call->way->method != NGX_HTTP_PUT)
    {
        return NGX_OK;
    }

    if (call->way->large == 2) {
        return ngx_http_claude_relay_call_gather(call, &call->text);
    }

    if (ngx_http_claude_relay_call_gather(call, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    if (text.len == 0) {
        call->body = cJSON_CreateObject();

    } else {
        call->body = ncr_oauth_json_large(ncr(&text),
                                          call->way->large
                                          ? NGX_HTTP_CLAUDE_RELAY_BODY_LARGE
                                          : NGX_HTTP_CLAUDE_RELAY_BODY);
        ngx_explicit_memzero(text.data, text.len);
    }

    if (call->body == NULL) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "the body must be a JSON object of "
                                         "at most %s, without NUL",
                                         call->way->large ? "16 MB"
                                                          : "256 KB");
        return NGX_ERROR;
    }

    n = 0;

    cJSON_ArrayForEach(item, call->body) {
        n++;
    }

    if (n > NGX_HTTP_CLAUDE_RELAY_MEMBERS_MAX) {
        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "the body has more than %d members",
                                         NGX_HTTP_CLAUDE_RELAY_MEMBERS_MAX);
        return NGX_ERROR;
    }

    cJSON_ArrayForEach(item, call->body) {
        for (other = item->next; other; other = other->next) {
            if (ngx_strcmp(item->string, other->string) == 0) {
                ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST,
                                        NULL, "the member \"%*s\" is repeated",
                                        ngx_min(ngx_strlen(item->string), 64),
                                        item->string);
                return NGX_ERROR;
            }
        }
    }

    return NGX_OK;
}


/* it is in memory: the buffer is as large as a body may be */

static ngx_int_t
ngx_http_claude_relay_call_gather(ngx_http_claude_relay_call_t *call,
    ngx_str_t *text)
{
    u_char              *p;
    size_t               len, n;
    ngx_buf_t           *b;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    ngx_str_null(text);

    r = call->request;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    len = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {

        /* the last chunk has nothing in it */

        if (!ngx_buf_in_memory(cl->buf) && !ngx_buf_special(cl->buf)) {
            ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                             "the body is too large");
            return NGX_ERROR;
        }

        len += ngx_buf_size(cl->buf);
    }

    p = ngx_pnalloc(call->pool, len + 1);

    if (p == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    text->data = p;
    text->len = len;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        b = cl->buf;
        n = ngx_buf_size(b);

        if (n == 0) {
            continue;
        }

        p = ngx_cpymem(p, b->pos, n);
        ngx_explicit_memzero(b->pos, n);
        b->pos = b->last;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_call_members(ngx_http_claude_relay_call_t *call,
    const char *const *names, cJSON **values, cJSON *settings)
{
    cJSON       *item, *copy;
    ngx_uint_t   i;

    for (i = 0; names[i]; i++) {
        values[i] = NULL;
    }

    cJSON_ArrayForEach(item, call->body) {

        for (i = 0; names[i]; i++) {
            if (ngx_strcmp(names[i], item->string) == 0) {
                values[i] = item;
                break;
            }
        }

        if (names[i]) {
            continue;
        }

        if (settings && ngx_http_claude_relay_is_setting(item->string)) {

            copy = cJSON_Duplicate(item, 1);

            if (copy == NULL) {
                ngx_http_claude_relay_call_memory(call);
                return NGX_ERROR;
            }

            (void) cJSON_AddItemToObject(settings, item->string, copy);
            continue;
        }

        ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                         "there is no member \"%*s\" here",
                                         ngx_min(ngx_strlen(item->string), 64),
                                         item->string);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_call_text(ngx_http_claude_relay_call_t *call,
    cJSON *value, const char *name, size_t max, char **text)
{
    ncr_str_t  s;

    *text = NULL;

    if (value == NULL) {
        return NGX_OK;
    }

    if (cJSON_IsString(value)) {
        s.data = (u_char *) value->valuestring;
        s.len = ngx_strlen(value->valuestring);

        if (ncr_oauth_visible(&s) && s.len <= max) {
            *text = value->valuestring;
            return NGX_OK;
        }
    }

    ngx_http_claude_relay_call_error(call, NGX_HTTP_BAD_REQUEST, NULL,
                                     "\"%s\" must be a string of 1 to %uz "
                                     "visible ASCII characters", name, max);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_claude_relay_call_name(ngx_http_claude_relay_call_t *call,
    ngx_str_t *name)
{
    call->name.len = name->len;
    call->name.data = ngx_pnalloc(call->pool, name->len + 1);

    if (call->name.data == NULL) {
        ngx_http_claude_relay_call_memory(call);
        return NGX_ERROR;
    }

    (void) ngx_cpystrn(call->name.data, name->data, name->len + 1);
    (void) ngx_cpystrn((u_char *) call->row.name, call->name.data,
                       sizeof(call->row.name));

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_call_arg(ngx_http_claude_relay_call_t *call, u_char **p,
    ngx_str_t *arg)
{
    u_char  *last, *end;

    last = call->args.data + call->args.len;

    if (*p >= last) {
        return NGX_DONE;
    }

    end = ngx_strlchr(*p, last, '&');
    end = end ? end : last;

    arg->data = *p;
    arg->len = end - *p;

    *p = end + 1;

    return NGX_OK;
}
