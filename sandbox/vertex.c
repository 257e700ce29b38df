
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Claude on Vertex: the model is in the path and not in the body, which says
 * its version; tokens are Google's.
 */


#include "sandbox.h"


static const char *
sbx_vertex_after(const char *p, const char *end, const char *text)
{
    size_t  n;

    n = strlen(text);

    return (p && (size_t) (end - p) >= n && memcmp(p, text, n) == 0)
           ? p + n : NULL;
}


static const char *
sbx_vertex_segment(const char *p, const char *end)
{
    const char  *s;

    s = p ? memchr(p, '/', (size_t) (end - p)) : NULL;

    return s ? s + 1 : NULL;
}


static void
sbx_vertex_error(sbx_conn_t *c, int status, const char *code,
    const char *message)
{
    c->text.len = 0;

    sbx_putf(&c->text, "{\"error\":{\"code\":%d,\"message\":\"%s\","
             "\"status\":\"%s\"}}", status, message, code);

    sbx_reply_start(c, status, "application/json; charset=UTF-8");
}


/* what is wrong with it, or NULL */

static const char *
sbx_vertex_wrong(sbx_conn_t *c, int stream, int count)
{
    sbx_str_t  v;

    if (sbx_json_get(&c->req.body, "anthropic_version", &v) != SBX_OK
        || !sbx_is(&v, "\"vertex-2023-10-16\""))
    {
        return "anthropic_version: Field required";
    }

    if ((sbx_json_get(&c->req.body, "model", &v) == SBX_OK) != count) {
        return count ? "model: Field required"
                     : "model: Extra inputs are not permitted";
    }

    if (count) {
        return memchr(v.data, '@', v.len) || !memmem(v.data, v.len, "-20", 3)
               ? NULL : "model: not found";
    }

    if (sbx_json_get(&c->req.body, "stream", &v) == SBX_OK
        && sbx_is(&v, "true"))
    {
        return stream ? NULL : "stream: use streamRawPredict";
    }

    return stream ? "stream: must be true" : NULL;
}


int
sbx_vertex(sbx_conn_t *c)
{
    int          stream, count;
    sbx_req_t   *r;
    const char  *p, *end, *colon, *wrong;

    r = &c->req;
    end = r->path.data + r->path.len;

    p = memmem(r->path.data, r->path.len, "/v1/projects/", 13);
    p = p ? p + 13 : NULL;
    p = sbx_vertex_after(sbx_vertex_segment(p, end), end, "locations/");
    p = sbx_vertex_after(sbx_vertex_segment(p, end), end,
                         "publishers/anthropic/models/");
    if (p == NULL) {
        return SBX_DECLINED;
    }

    for (colon = end - 1; colon > p && *colon != ':'; colon--) { /* void */ }

    stream = (end - colon == 17 && memcmp(colon, ":streamRawPredict", 17) == 0);

    if (!stream
        && !(end - colon == 11 && memcmp(colon, ":rawPredict", 11) == 0))
    {
        return SBX_DECLINED;
    }

    if (r->bearer.len < 5 || memcmp(r->bearer.data, "ya29.", 5) != 0) {
        sbx_vertex_error(c, 401, "UNAUTHENTICATED", "Request had invalid "
                         "authentication credentials.");
        return SBX_OK;
    }

    r->model.data = p;
    r->model.len = (size_t) (colon - p);

    count = sbx_is(&r->model, "count-tokens");
    wrong = sbx_vertex_wrong(c, stream, count);

    if (wrong) {
        sbx_anthropic_error(c, 400, NULL, wrong);
        return SBX_OK;
    }

    r->path.data = count ? "/v1/messages/count_tokens" : "/v1/messages";
    r->path.len = strlen(r->path.data);

    return SBX_DECLINED;
}
