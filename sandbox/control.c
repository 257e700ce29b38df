
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"


static const sbx_dialect_pt  sbx_dialects[] = {
    sbx_oauth_places,
    sbx_oauth,
    sbx_bedrock,
    sbx_assist,
    sbx_gemini,
    sbx_codex,
    sbx_droid,
    sbx_openai,
    sbx_vertex,
    sbx_kiro,
    sbx_anthropic,
    NULL
};


static void
sbx_control_last(sbx_conn_t *c, sbx_str_t *args)
{
    int        n;
    uint64_t   since;
    sbx_buf_t  v;

    n = 1;
    since = 0;
    memset(&v, 0, sizeof(v));

    if (sbx_arg(args, "n", &v) == SBX_OK) {
        n = atoi(v.data);
    }

    v.len = 0;

    if (sbx_arg(args, "since", &v) == SBX_OK) {
        since = strtoull(v.data, NULL, 10);
    }

    free(v.data);

    sbx_record_json(&c->text, n, since);
}


static int
sbx_control_behave(sbx_conn_t *c, sbx_str_t *args)
{
    size_t       n;
    sbx_buf_t    v;
    sbx_cred_t  *cred;

    memset(&v, 0, sizeof(v));

    if (sbx_arg(args, "credential", &v) != SBX_OK || v.len == 0) {
        free(v.data);
        sbx_lit(&c->text, "{\"error\":\"no credential\"}\n");
        return 400;
    }

    cred = sbx_cred_find(v.data, v.len);

    free(cred->behave);
    cred->behave = NULL;
    cred->generation++;

    n = v.len = 0;

    if (sbx_arg(args, "do", &v) == SBX_OK) {
        n = v.len;
    }

    if (n) {
        cred->behave = strdup(v.data);
    }

    free(v.data);
    sbx_lit(&c->text, "{\"ok\":true}\n");

    return 200;
}


static int
sbx_control(sbx_conn_t *c)
{
    int         post;
    sbx_str_t   p, args;
    sbx_req_t  *r;

    r = &c->req;
    p.data = r->path.data + 9;
    p.len = r->path.len - 9;

    /* arguments may come in the query or in a form */

    args = r->args.len ? r->args : r->body;
    post = sbx_is(&r->method, "POST");

    if (sbx_is(&p, "last")) {
        sbx_control_last(c, &args);
        return 200;
    }

    if (sbx_is(&p, "stats")) {
        sbx_stats_json(&c->text);
        return 200;
    }

    if (sbx_is(&p, "reset") && post) {
        sbx_record_forget();
        sbx_behave_reset();
        sbx_anthropic_forget();
        sbx_openai_forget();
        sbx_lit(&c->text, "{\"ok\":true}\n");
        return 200;
    }

    if (sbx_is(&p, "behave") && post) {
        return sbx_control_behave(c, &args);
    }

    if (sbx_is(&p, "places")) {
        return sbx_oauth_places_control(c, &args);
    }

    if (sbx_is(&p, "oauth")) {
        return sbx_oauth_control(c);
    }

    sbx_lit(&c->text, "{\"error\":\"GET /sandbox/last, GET /sandbox/stats, "
                      "POST /sandbox/reset, POST /sandbox/behave, "
                      "GET or POST /sandbox/oauth\"}\n");

    return 404;
}


void
sbx_route(sbx_conn_t *c)
{
    int  i;

    c->text.len = 0;

    if (c->req.control) {
        sbx_reply_start(c, sbx_control(c), "application/json");
        return;
    }

    for (i = 0; sbx_dialects[i]; i++) {
        if (sbx_dialects[i](c) == SBX_OK) {
            return;
        }
    }

    sbx_anthropic_error(c, 404, NULL, NULL);
}
