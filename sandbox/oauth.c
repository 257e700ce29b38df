
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "oauth.h"

#include <time.h>


/*
 * The consent page, which always consents (anthropic.md A.2), access tokens
 * at work, and what the service tells of their account (A.7).
 */


typedef struct {
    sbx_buf_t         client;
    sbx_buf_t         type;
    sbx_buf_t         redirect;
    sbx_buf_t         scope;
    sbx_buf_t         challenge;
    sbx_buf_t         method;
    sbx_buf_t         state;
    sbx_buf_t         page;
} sbx_authorize_t;


static const char  *sbx_oa_scopes[] = {
    "org:create_api_key", "user:profile", "user:inference",
    "user:sessions:claude_code", "user:mcp_servers", "user:file_upload", NULL
};


/* a query argument, where a plus is a space */

static void
sbx_authorize_arg(sbx_str_t *args, const char *name, sbx_buf_t *value)
{
    size_t       n;
    const char  *p, *end, *amp;

    n = strlen(name);
    value->len = 0;
    p = args->data;
    end = args->len ? p + args->len : p;

    for ( /* void */ ; p < end; p = amp + 1) {
        amp = memchr(p, '&', (size_t) (end - p));
        if (amp == NULL) {
            amp = end;
        }

        if ((size_t) (amp - p) > n && memcmp(p, name, n) == 0 && p[n] == '=')
        {
            sbx_put(value, p + n + 1, (size_t) (amp - p) - n - 1);
            break;
        }
    }

    for (n = 0; n < value->len; n++) {
        if (value->data[n] == '+') {
            value->data[n] = ' ';
        }
    }

    if (value->len) {
        value->len = sbx_unescape_uri(value->data, value->len);
    }

    sbx_put(value, "", 1);
    value->len--;
}


static int
sbx_authorize_scope(const char *text)
{
    int     i;
    size_t  n;

    do {
        n = strcspn(text, " ");

        for (i = 0; sbx_oa_scopes[i]; i++) {
            if (strlen(sbx_oa_scopes[i]) == n
                && memcmp(sbx_oa_scopes[i], text, n) == 0)
            {
                break;
            }
        }

        if (sbx_oa_scopes[i] == NULL) {
            return SBX_ERROR;
        }

        text += n;
        text += (*text == ' ');

    } while (*text);

    return SBX_OK;
}


/* RFC 8252, 7.3 */

static int
sbx_authorize_loopback(const char *uri)
{
    int     i;
    size_t  n;

    static const char  *hosts[] = {
        "http://localhost", "http://127.0.0.1", "http://[::1]", NULL
    };

    for (i = 0; hosts[i]; i++) {
        n = strlen(hosts[i]);
        if (strncmp(uri, hosts[i], n) == 0
            && (uri[n] == ':' || uri[n] == '/'))
        {
            return 1;
        }
    }

    return 0;
}


/* printable and without spaces: it goes into a header */

static int
sbx_authorize_plain(sbx_buf_t *b)
{
    size_t  i;

    for (i = 0; i < b->len; i++) {
        if (b->data[i] <= 0x20 || b->data[i] >= 0x7f) {
            return 0;
        }
    }

    return b->len > 0;
}


static const char *
sbx_authorize_check(sbx_authorize_t *q)
{
    static const char  base64url[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    if (!sbx_authorize_plain(&q->client)) {
        return "client_id";
    }

    if (!sbx_authorize_plain(&q->redirect)
        || (!sbx_authorize_loopback(q->redirect.data)
            && strncmp(q->redirect.data, "https://", 8) != 0)
        || strchr(q->redirect.data, '#'))
    {
        return "redirect_uri";
    }

    if (strcmp(q->type.data, "code") != 0) {
        return "response_type";
    }

    if (sbx_authorize_scope(q->scope.data) != SBX_OK) {
        return "scope";
    }

    if (strcmp(q->method.data, "S256") != 0) {
        return "code_challenge_method";
    }

    if (q->challenge.len != 43 || strspn(q->challenge.data, base64url) != 43) {
        return "code_challenge";
    }

    if (!sbx_authorize_plain(&q->state)) {
        return "state";
    }

    return NULL;
}


static sbx_code_t *
sbx_authorize_code(sbx_authorize_t *q)
{
    char        *user;
    sbx_code_t  *code;

    user = sbx_oa_text(NULL, SBX_OA_USER);

    code = sbx_code_new();
    code->expires = sbx_now
                    + (uint64_t) sbx_oa_number(NULL, SBX_OA_CODE_LIFE) * 1000;
    code->client = strdup(q->client.data);
    code->redirect = strdup(q->redirect.data);
    code->scope = strdup(q->scope.data);
    code->state = strdup(q->state.data);
    code->challenge = strdup(q->challenge.data);
    code->user = strdup(user ? user : "sandbox");

    sbx_oa_stats.authorized++;

    return code;
}


static void
sbx_authorize_escape(sbx_buf_t *b, const char *text)
{
    static const char  plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    for ( /* void */ ; *text; text++) {

        if (strchr(plain, *text)) {
            sbx_put(b, text, 1);
            continue;
        }

        sbx_lit(b, "%");
        sbx_put_hex(b, (unsigned char) *text, 2);
    }
}


/* the header line lives in a spare buffer of the connection */

static void
sbx_authorize_redirect(sbx_conn_t *c, sbx_authorize_t *q, const char *name,
    const char *value)
{
    sbx_buf_t  *b;

    b = &c->ask.quote;
    b->len = 0;

    sbx_lit(b, "location: ");
    sbx_puts(b, q->redirect.data);
    sbx_puts(b, strchr(q->redirect.data, '?') ? "&" : "?");
    sbx_puts(b, name);
    sbx_lit(b, "=");
    sbx_authorize_escape(b, value);
    sbx_lit(b, "&state=");
    sbx_authorize_escape(b, q->state.data);
    sbx_put(b, "", 1);

    c->act.nextra = 0;
    c->act.extra[c->act.nextra++] = b->data;

    sbx_reply_start(c, 302, NULL);
}


static void
sbx_authorize_answer(sbx_conn_t *c, sbx_authorize_t *q)
{
    int          page;
    sbx_code_t  *code;
    const char  *bad;

    bad = sbx_authorize_check(q);

    if (bad) {
        sbx_putf(&c->text, "{\"error\":\"invalid_request\","
                 "\"error_description\":\"Invalid or missing %s\"}", bad);
        sbx_oauth_json(c, 400);
        return;
    }

    page = strcmp(q->page.data, "true") == 0
           && !sbx_authorize_loopback(q->redirect.data);

    if (!sbx_oa_number(NULL, SBX_OA_CONSENT)) {
        if (page) {
            sbx_lit(&c->text, "access_denied\n");
            sbx_reply_start(c, 403, "text/plain; charset=utf-8");
            return;
        }

        sbx_authorize_redirect(c, q, "error", "access_denied");
        return;
    }

    code = sbx_authorize_code(q);

    if (!page) {
        sbx_authorize_redirect(c, q, "code", code->code);
        return;
    }

    sbx_puts(&c->text, code->code);
    sbx_lit(&c->text, "#");
    sbx_puts(&c->text, code->state);
    sbx_lit(&c->text, "\n");
    sbx_reply_start(c, 200, "text/plain; charset=utf-8");
}


static void
sbx_authorize(sbx_conn_t *c)
{
    sbx_str_t        *args;
    sbx_authorize_t   q;

    memset(&q, 0, sizeof(q));
    args = &c->req.args;

    sbx_authorize_arg(args, "client_id", &q.client);
    sbx_authorize_arg(args, "response_type", &q.type);
    sbx_authorize_arg(args, "redirect_uri", &q.redirect);
    sbx_authorize_arg(args, "scope", &q.scope);
    sbx_authorize_arg(args, "code_challenge", &q.challenge);
    sbx_authorize_arg(args, "code_challenge_method", &q.method);
    sbx_authorize_arg(args, "state", &q.state);
    sbx_authorize_arg(args, "code", &q.page);

    sbx_authorize_answer(c, &q);

    free(q.client.data);
    free(q.type.data);
    free(q.redirect.data);
    free(q.scope.data);
    free(q.challenge.data);
    free(q.method.data);
    free(q.state.data);
    free(q.page.data);
}


/* why an access token does not serve, or NULL */

static const char *
sbx_oauth_refusal(sbx_token_t *t)
{
    if (t->revoked || t->chain->life == SBX_OA_KILLED) {
        return "OAuth token has been revoked. Please obtain a new token or "
               "refresh your existing token.";
    }

    if (t->expires <= sbx_now
        || (t->successor && sbx_oa_number(t->chain, SBX_OA_REVOKE)))
    {
        return "OAuth token has expired. Please obtain a new token or "
               "refresh your existing token.";
    }

    return NULL;
}


static sbx_token_t *
sbx_oauth_bearer(sbx_conn_t *c)
{
    sbx_str_t  *p;

    p = &c->req.bearer;

    return p->len ? sbx_token_access(p->data, p->len) : NULL;
}


/* a bearer of ours must be alive, one of others only if "strict" says so */

int
sbx_oauth_access(sbx_conn_t *c)
{
    sbx_str_t    *p;
    sbx_cred_t   *cred;
    const char   *message;
    sbx_token_t  *t;

    p = &c->req.bearer;
    cred = c->req.cred;

    if (c->req.auth != SBX_AUTH_BEARER || p->len < 10
        || memcmp(p->data, "sk-ant-oat", 10) != 0)
    {
        return SBX_OK;
    }

    t = sbx_oauth_bearer(c);
    message = "Invalid bearer token";

    if (t) {
        t->used = 1;
        message = sbx_oauth_refusal(t);

        if (cred && cred->oauth) {
            cred->org_len = (size_t)
                snprintf(cred->org, sizeof(cred->org),
                         "anthropic-organization-id: %s\r\n", t->chain->org);
        }

    } else if (!sbx_oa_number(NULL, SBX_OA_STRICT)) {
        return SBX_OK;
    }

    if (message == NULL) {
        t->api++;
        t->chain->api++;
        sbx_oa_stats.api++;
        return SBX_OK;
    }

    if (t) {
        t->chain->refused++;
    }

    sbx_oa_stats.refused++;
    sbx_anthropic_error(c, 401, "authentication_error", message);

    return SBX_ERROR;
}


static int
sbx_oauth_has_scope(const char *scopes, const char *scope)
{
    size_t       n;
    const char  *p;

    n = strlen(scope);

    for (p = strstr(scopes, scope); p; p = strstr(p + 1, scope)) {
        if ((p == scopes || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0')) {
            return 1;
        }
    }

    return 0;
}


/* the token of a request for /api/oauth/..., NULL if it was answered */

static sbx_token_t *
sbx_oauth_account(sbx_conn_t *c, int beta)
{
    sbx_req_t    *r;
    const char   *message;
    sbx_token_t  *t;

    r = &c->req;
    t = sbx_oauth_bearer(c);
    message = NULL;

    if (r->auth != SBX_AUTH_BEARER) {
        message = "Invalid authentication credentials";

    } else if (beta && (r->beta.len == 0
                        || memmem(r->beta.data, r->beta.len,
                                  "oauth-2025-04-20", 16) == NULL))
    {
        message = "OAuth authentication is currently not supported.";

    } else if (t == NULL) {
        message = "Invalid bearer token";

    } else {
        t->used = 1;
        message = sbx_oauth_refusal(t);
    }

    if (message) {
        sbx_anthropic_error(c, 401, NULL, message);
        return NULL;
    }

    if (!sbx_oauth_has_scope(t->chain->scope, "user:profile")) {
        sbx_anthropic_error(c, 403, NULL, "OAuth token does not meet scope "
                            "requirement: user:profile");
        return NULL;
    }

    return t;
}


static void
sbx_usage_time(sbx_buf_t *b, sbx_chain_t *chain, int i)
{
    long       in;
    char       text[40];
    time_t     t;
    struct tm  tm;

    in = sbx_oa_number(chain, i);

    if (in >= 0) {
        t = sbx_time + in;

    } else if (i == SBX_OA_FIVE_RESET) {
        t = (sbx_time / 18000 + 1) * 18000;

    } else {
        t = (sbx_time / 604800 + 1) * 604800;
    }

    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "\"%Y-%m-%dT%H:%M:%SZ\"", &tm);
    sbx_puts(b, text);
}


static int
sbx_usage_null(const char *percent)
{
    return percent == NULL || strcmp(percent, "null") == 0;
}


/* a flat member of the classic shape */

static void
sbx_usage_flat(sbx_buf_t *b, sbx_chain_t *chain, const char *name,
    const char *percent, int reset)
{
    sbx_putf(b, "\"%s\":", name);

    if (sbx_usage_null(percent)) {
        sbx_lit(b, "null,");
        return;
    }

    sbx_putf(b, "{\"utilization\":%s,\"resets_at\":", percent);
    sbx_usage_time(b, chain, reset);
    sbx_lit(b, "},");
}


/* an item of "limits", with the name of a model or without */

static void
sbx_usage_limit(sbx_buf_t *b, sbx_chain_t *chain, const char *kind,
    const char *percent, const char *model, size_t n)
{
    if (sbx_usage_null(percent)) {
        return;
    }

    sbx_put(b, ",", b->data[b->len - 1] != '[');
    sbx_putf(b, "{\"kind\":\"%s\",\"percent\":%s,\"resets_at\":", kind,
             percent);
    sbx_usage_time(b, chain, strcmp(kind, "session") ? SBX_OA_SEVEN_RESET
                                                     : SBX_OA_FIVE_RESET);

    if (model == NULL) {
        sbx_lit(b, ",\"scope\":null}");
        return;
    }

    sbx_lit(b, ",\"scope\":{\"model\":{\"display_name\":\"");
    sbx_put_json(b, model, n);
    sbx_lit(b, "\"}}}");
}


static void
sbx_usage_limits(sbx_buf_t *b, sbx_chain_t *chain, const char *five,
    const char *seven)
{
    const char  *scoped, *colon;

    sbx_lit(b, ",\"limits\":[");

    sbx_usage_limit(b, chain, "session", five, NULL, 0);
    sbx_usage_limit(b, chain, "weekly_all", seven, NULL, 0);
    sbx_usage_limit(b, chain, "weekly_scoped",
                    sbx_oa_text(chain, SBX_OA_OPUS), "Opus", 4);
    sbx_usage_limit(b, chain, "weekly_scoped",
                    sbx_oa_text(chain, SBX_OA_SONNET), "Sonnet", 6);

    scoped = sbx_oa_text(chain, SBX_OA_SCOPED);
    colon = scoped ? strrchr(scoped, ':') : NULL;

    if (colon) {
        sbx_usage_limit(b, chain, "weekly_scoped", colon + 1, scoped,
                        (size_t) (colon - scoped));
    }

    sbx_lit(b, "],\"spend\":{\"used\":{\"amount_minor\":120,"
               "\"currency\":\"USD\",\"exponent\":2},"
               "\"limit\":{\"amount_minor\":5000,\"currency\":\"USD\","
               "\"exponent\":2},\"percent\":2,\"enabled\":true}");
}


/* classic: flat members; current: flat ones and limits; limits: only these */

static void
sbx_usage_json(sbx_buf_t *b, sbx_chain_t *chain)
{
    int          flat, models, limits;
    const char  *shape, *five, *seven;

    shape = sbx_oa_text(chain, SBX_OA_SHAPE);
    limits = shape == NULL || strcmp(shape, "classic") != 0;
    flat = shape == NULL || strcmp(shape, "limits") != 0;
    models = !limits;

    five = sbx_oa_text(chain, SBX_OA_FIVE);
    seven = sbx_oa_text(chain, SBX_OA_SEVEN);
    five = five ? five : "12.0";
    seven = seven ? seven : "40.0";

    sbx_lit(b, "{");
    sbx_usage_flat(b, chain, "five_hour", flat ? five : NULL,
                   SBX_OA_FIVE_RESET);
    sbx_usage_flat(b, chain, "seven_day", flat ? seven : NULL,
                   SBX_OA_SEVEN_RESET);
    sbx_usage_flat(b, chain, "seven_day_opus",
                   models ? sbx_oa_text(chain, SBX_OA_OPUS) : NULL,
                   SBX_OA_SEVEN_RESET);
    sbx_usage_flat(b, chain, "seven_day_sonnet",
                   models ? sbx_oa_text(chain, SBX_OA_SONNET) : NULL,
                   SBX_OA_SEVEN_RESET);

    sbx_lit(b, "\"seven_day_oauth_apps\":null,"
               "\"extra_usage\":{\"is_enabled\":true,\"monthly_limit\":5000,"
               "\"used_credits\":120.0,\"utilization\":2.4}");

    if (limits) {
        sbx_usage_limits(b, chain, five, seven);
    }

    sbx_lit(b, "}");
}


static void
sbx_profile_json(sbx_buf_t *b, sbx_chain_t *chain)
{
    const char  *plan, *tier;

    plan = sbx_oa_text(chain, SBX_OA_PLAN);
    tier = sbx_oa_text(chain, SBX_OA_TIER);
    plan = plan ? plan : "max";

    if (tier == NULL) {
        tier = strcmp(plan, "max") ? "default_claude_ai"
                                   : "default_claude_max_20x";
    }

    sbx_putf(b, "{\"account\":{\"uuid\":\"%s\",\"full_name\":\"",
             chain->account);
    sbx_put_json(b, chain->name, strlen(chain->name));
    sbx_lit(b, "\"");
    sbx_oauth_member(b, "display_name", chain->name);
    sbx_lit(b, ",\"email\":\"");
    sbx_put_json(b, chain->name, strlen(chain->name));
    sbx_puts(b, strchr(chain->name, '@') ? "\"" : "@sandbox.example\"");
    sbx_putf(b, ",\"has_claude_max\":%s,\"has_claude_pro\":%s},",
             strcmp(plan, "max") ? "false" : "true",
             strcmp(plan, "pro") ? "false" : "true");

    sbx_putf(b, "\"organization\":{\"uuid\":\"%s\",\"name\":\"Sandbox of ",
             chain->org);
    sbx_put_json(b, chain->name, strlen(chain->name));
    sbx_lit(b, "\",\"organization_type\":\"claude_");
    sbx_put_json(b, plan, strlen(plan));
    sbx_lit(b, "\",\"billing_type\":\"stripe_subscription\"");
    sbx_oauth_member(b, "rate_limit_tier", tier);
    sbx_lit(b, "}}");
}


static void
sbx_oauth_tell(sbx_conn_t *c, int usage)
{
    char           *body;
    sbx_token_t    *t;
    sbx_chain_t    *chain;
    sbx_oa_fail_t   fail;

    c->act.flags |= SBX_F_NOWINDOW;
    t = sbx_oauth_account(c, usage);

    if (t == NULL) {
        return;
    }

    chain = t->chain;
    *(usage ? &chain->usage : &chain->profile) += 1;
    *(usage ? &sbx_oa_stats.usage : &sbx_oa_stats.profile) += 1;

    if (sbx_oa_take(chain, usage ? SBX_OA_FAIL_USAGE : SBX_OA_FAIL_PROFILE,
                    &fail)
        != SBX_OK)
    {
        fail.fault = NULL;
    }

    if (fail.fault && !fail.fault->rotates) {
        sbx_oauth_fail(c, chain, &fail);
        sbx_oauth_spoil(c, &fail);
        return;
    }

    body = sbx_oa_text(chain, usage ? SBX_OA_USAGE_BODY : SBX_OA_PROFILE_BODY);

    if (body) {
        sbx_puts(&c->text, body);

    } else if (usage) {
        sbx_usage_json(&c->text, chain);

    } else {
        sbx_profile_json(&c->text, chain);
    }

    sbx_oauth_json(c, 200);

    if (fail.fault) {
        sbx_oauth_spoil(c, &fail);
    }
}


static int
sbx_oauth_path(sbx_req_t *r, const char *method, const char *path)
{
    size_t  n;

    n = strlen(path);

    return r->method.len == strlen(method)
           && memcmp(r->method.data, method, r->method.len) == 0
           && r->path.len >= n
           && memcmp(r->path.data + r->path.len - n, path, n) == 0;
}


int
sbx_oauth(sbx_conn_t *c)
{
    sbx_req_t  *r;

    r = &c->req;

    if (sbx_oauth_path(r, "POST", "/v1/oauth/token")) {
        sbx_oauth_token(c);
        return SBX_OK;
    }

    if (sbx_oauth_path(r, "GET", "/oauth/authorize")) {
        sbx_authorize(c);
        return SBX_OK;
    }

    if (sbx_oauth_path(r, "GET", "/api/oauth/usage")) {
        sbx_oauth_tell(c, 1);
        return SBX_OK;
    }

    if (sbx_oauth_path(r, "GET", "/api/oauth/profile")) {
        sbx_oauth_tell(c, 0);
        return SBX_OK;
    }

    return SBX_DECLINED;
}
