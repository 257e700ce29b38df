
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "oauth.h"


/*
 * The token endpoint: anthropic.md A.4 and A.5.  A request waits ("before"),
 * is decided, which is where tokens are rotated, and is answered after
 * another while ("after"): a client may die in each of these gaps.
 */


static void sbx_grant_due(sbx_conn_t *c);


static const sbx_oa_fault_t  sbx_oa_faults[] = {
    { "status", 0, SBX_OA_STATUS },
    { "invalid-grant", 0, SBX_OA_INVALID },
    { "close-before", 0, SBX_PRE_CLOSE },
    { "close-after", 1, SBX_PRE_CLOSE },
    { "rst-before", 0, SBX_PRE_RST },
    { "rst-after", 1, SBX_PRE_RST },
    { "hang-before", 0, SBX_PRE_NOTHING },
    { "hang-after", 1, SBX_PRE_NOTHING },
    { "garbage", 0, SBX_PRE_GARBAGE },
    { "garbage-after", 1, SBX_PRE_GARBAGE },
    { "cut", 1, SBX_OA_CUT },
    { "body", 1, SBX_OA_BODY },
    { NULL, 0, 0 }
};


static const char  sbx_oa_format[] = "Invalid request format";


/* NNN[:N], NNN-html[:N], html[:N], NAME[:N], none */

int
sbx_oauth_fail_parse(char *value, sbx_oa_fail_t *fail)
{
    char                  *p;
    const sbx_oa_fault_t  *f;

    memset(fail, 0, sizeof(sbx_oa_fail_t));

    if (value == NULL) {
        return SBX_ERROR;
    }

    if (strcmp(value, "none") == 0) {
        return SBX_OK;
    }

    fail->left = 1;
    p = strchr(value, ':');

    if (p) {
        *p++ = '\0';
        if (sbx_number(p, 1000000000, &fail->left) != SBX_OK) {
            return SBX_ERROR;
        }
    }

    p = strchr(value, '-');
    fail->fault = &sbx_oa_faults[0];

    if (strcmp(value, "html") == 0) {
        fail->html = 1;
        fail->status = 403;
        return SBX_OK;
    }

    if (p && strcmp(p, "-html") == 0) {
        fail->html = 1;
        *p = '\0';
    }

    if (sbx_number(value, 599, &fail->status) == SBX_OK) {
        return fail->status < 200 ? SBX_ERROR : SBX_OK;
    }

    if (fail->html) {
        return SBX_ERROR;
    }

    for (f = &sbx_oa_faults[1]; f->name; f++) {
        if (strcmp(f->name, value) == 0) {
            fail->fault = f;
            return SBX_OK;
        }
    }

    return SBX_ERROR;
}


static void
sbx_oauth_headers(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, "request-id: req_011CSbx");
    sbx_put_hex(b, c->req.id, 13);
    sbx_lit(b, "\r\ncache-control: no-store\r\n");
}


/* sends c->text */

void
sbx_oauth_json(sbx_conn_t *c, int status)
{
    sbx_reply_start(c, status, "application/json");
    c->rep.headers = sbx_oauth_headers;
}


/* ,"name":"value" */

void
sbx_oauth_member(sbx_buf_t *b, const char *name, const char *value)
{
    sbx_putf(b, ",\"%s\":\"", name);
    sbx_put_json(b, value, strlen(value));
    sbx_lit(b, "\"");
}


static void
sbx_oauth_refuse(sbx_conn_t *c, const char *error, const char *description)
{
    if (error == NULL) {
        sbx_anthropic_error(c, 400, "invalid_request_error", description);
        return;
    }

    c->text.len = 0;
    sbx_putf(&c->text, "{\"error\":\"%s\"", error);

    if (description) {
        sbx_oauth_member(&c->text, "error_description", description);
    }

    sbx_lit(&c->text, "}");
    sbx_oauth_json(c, 400);
}


/* a failure which is an answer of its own, or of the edge in front */

void
sbx_oauth_fail(sbx_conn_t *c, sbx_chain_t *chain, sbx_oa_fail_t *fail)
{
    sbx_act_t  *a;

    a = &c->act;
    a->retry_after = sbx_oa_number(chain, SBX_OA_RETRY_AFTER);

    if (fail->html) {
        a->flags |= SBX_F_HTML;
    }

    if (fail->fault->kind == SBX_OA_INVALID) {
        sbx_oauth_refuse(c, "invalid_grant",
                         "Refresh token not found or invalid");
        return;
    }

    if (fail->fault->kind != SBX_OA_STATUS) {
        sbx_oauth_json(c, 500);
        return;
    }

    if (fail->status > 300 && fail->status < 309 && a->nextra < 8) {
        a->flags |= SBX_F_HTML;
        a->extra[a->nextra++] = (char *) "location: https://claude.ai/"
                                         "challenge?to=sandbox";
    }

    sbx_anthropic_error(c, (int) fail->status, NULL, NULL);
}


/* what happens to an answer which is ready */

void
sbx_oauth_spoil(sbx_conn_t *c, sbx_oa_fail_t *fail)
{
    switch (fail->fault->kind) {

    case SBX_OA_STATUS:
    case SBX_OA_INVALID:
    case SBX_OA_BODY:
        break;

    case SBX_OA_CUT:
        c->act.fault = SBX_FAULT_CUT;
        c->act.fault_at = (long) c->text.len / 2;
        break;

    default:
        c->act.pre = fail->fault->kind;
    }
}


/* a text member of the body, with a final zero */

static int
sbx_grant_field(sbx_conn_t *c, const char *name, sbx_buf_t *b)
{
    sbx_str_t  body, value;

    b->len = 0;
    body = c->req.body;

    if (body.len == 0 || sbx_json_get(&body, name, &value) != SBX_OK) {
        return SBX_DECLINED;
    }

    if (value.data[0] != '"') {
        return SBX_ERROR;
    }

    sbx_json_string(&value, b);
    sbx_put(b, "", 1);
    b->len--;

    return b->len && strlen(b->data) == b->len ? SBX_OK : SBX_ERROR;
}


static int
sbx_grant_json(sbx_conn_t *c)
{
    int          rc;
    sbx_str_t    body, key, value;
    const char  *pos;

    static const char  type[] = "application/json";

    body = c->req.body;
    pos = NULL;

    if (body.len == 0 || c->req.ctype.len < sizeof(type) - 1
        || strncasecmp(c->req.ctype.data, type, sizeof(type) - 1) != 0)
    {
        return SBX_ERROR;
    }

    do {
        rc = sbx_json_each(&body, &pos, &key, &value);
    } while (rc == SBX_OK);

    return rc == SBX_END ? SBX_OK : SBX_ERROR;
}


static void
sbx_grant_bad(sbx_grant_t *g, const char *error, const char *description)
{
    g->error = error;
    g->description = description;
}


/* what can be said of a request before it is decided */

static void
sbx_grant_parse(sbx_conn_t *c, sbx_grant_t *g)
{
    sbx_buf_t    b;
    const char  *name;

    memset(&b, 0, sizeof(b));
    name = NULL;

    if (sbx_grant_json(c) != SBX_OK
        || sbx_grant_field(c, "grant_type", &b) != SBX_OK)
    {
        sbx_grant_bad(g, NULL, sbx_oa_format);
        goto done;
    }

    if (strcmp(b.data, "refresh_token") == 0) {
        g->grant = SBX_GRANT_REFRESH;
        name = "refresh_token";

    } else if (strcmp(b.data, "authorization_code") == 0) {
        g->grant = SBX_GRANT_CODE;
        name = "code";

    } else {
        sbx_grant_bad(g, "unsupported_grant_type", NULL);
        goto done;
    }

    if (sbx_grant_field(c, name, &b) == SBX_OK) {
        g->presented = strdup(b.data);
    }

    if (g->presented == NULL || sbx_grant_field(c, "client_id", &b) != SBX_OK)
    {
        sbx_grant_bad(g, NULL, sbx_oa_format);
    }

    if (g->grant == SBX_GRANT_REFRESH && g->presented) {
        g->token = sbx_token_refresh(g->presented, strlen(g->presented));
    }

    if (g->token) {
        g->chain = g->token->chain;
        g->number = sbx_token_present(g->token, c->fd);
        g->flying = 1;
    }

    if (g->grant == SBX_GRANT_REFRESH
        && sbx_oa_number(g->chain, SBX_OA_NEED_SCOPE)
        && sbx_grant_field(c, "scope", &b) != SBX_OK)
    {
        sbx_grant_bad(g, NULL, sbx_oa_format);
    }

done:

    free(b.data);
}


/* 1 if a member of the body is this text */

static int
sbx_grant_same(sbx_conn_t *c, const char *name, const char *text)
{
    int        same;
    sbx_buf_t  b;

    memset(&b, 0, sizeof(b));
    same = sbx_grant_field(c, name, &b) == SBX_OK && strcmp(b.data, text) == 0;
    free(b.data);

    return same;
}


/* RFC 7636, 4.1 and 4.6 */

static int
sbx_grant_verify(sbx_conn_t *c, const char *challenge)
{
    int            ok;
    sbx_buf_t      b, hash;
    unsigned char  sha[SHA256_DIGEST_LENGTH];

    static const char  unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

    memset(&b, 0, sizeof(b));
    memset(&hash, 0, sizeof(hash));

    ok = sbx_grant_field(c, "code_verifier", &b) == SBX_OK
         && b.len >= 43 && b.len <= 128
         && strspn(b.data, unreserved) == b.len;

    if (ok) {
        SHA256((unsigned char *) b.data, b.len, sha);
        sbx_oa_base64(&hash, sha, sizeof(sha));
        ok = hash.len == strlen(challenge)
             && memcmp(hash.data, challenge, hash.len) == 0;
    }

    free(b.data);
    free(hash.data);

    return ok;
}


/* "expires_in" of an exchange makes a setup token: A.6; -1 if there is none */

static int
sbx_grant_life(sbx_conn_t *c, sbx_code_t *code, long *life)
{
    char       text[16];
    sbx_str_t  body, value;

    *life = -1;
    body = c->req.body;

    if (sbx_json_get(&body, "expires_in", &value) != SBX_OK) {
        return SBX_OK;
    }

    if (value.len >= sizeof(text) || strcmp(code->scope, SBX_OA_SETUP) != 0) {
        return SBX_ERROR;
    }

    memcpy(text, value.data, value.len);
    text[value.len] = '\0';

    return sbx_number(text, SBX_OA_YEAR, life);
}


static int
sbx_grant_check(sbx_conn_t *c, sbx_grant_t *g, sbx_code_t *code, long *life)
{
    sbx_buf_t  b;

    memset(&b, 0, sizeof(b));

    if (sbx_grant_field(c, "state", &b) != SBX_OK
        || sbx_grant_field(c, "redirect_uri", &b) != SBX_OK
        || sbx_grant_field(c, "code_verifier", &b) != SBX_OK)
    {
        sbx_grant_bad(g, NULL, sbx_oa_format);

    } else if (code == NULL || code->used) {
        sbx_grant_bad(g, "invalid_grant",
                      "Authorization code not found or invalid");

    } else if (code->expires <= sbx_now) {
        sbx_grant_bad(g, "invalid_grant", "Authorization code expired");

    } else if (!sbx_grant_same(c, "client_id", code->client)) {
        sbx_grant_bad(g, "invalid_grant",
                      "Authorization code was issued to another client");

    } else if (!sbx_grant_same(c, "redirect_uri", code->redirect)) {
        sbx_grant_bad(g, "invalid_grant", "Redirect URI does not match");

    } else if (!sbx_grant_same(c, "state", code->state)) {
        sbx_grant_bad(g, "invalid_grant", "State does not match");

    } else if (!sbx_grant_verify(c, code->challenge)) {
        sbx_grant_bad(g, "invalid_grant", "Code verifier does not match");

    } else if (sbx_grant_life(c, code, life) != SBX_OK) {
        sbx_grant_bad(g, "invalid_request",
                      "expires_in is for the scope user:inference alone");
    }

    free(b.data);

    return g->description ? SBX_ERROR : SBX_OK;
}


static void
sbx_grant_code(sbx_conn_t *c, sbx_grant_t *g)
{
    long          life;
    sbx_code_t   *code;
    sbx_chain_t  *chain;

    code = sbx_code_find(g->presented);

    if (sbx_grant_check(c, g, code, &life) != SBX_OK) {
        return;
    }

    code->used = 1;

    chain = sbx_chain_new(code->user, code->scope);
    chain->client = strdup(code->client);
    chain->setup = (life != -1);

    if (life == -1) {
        life = sbx_oa_number(NULL, SBX_OA_EXPIRES_IN);
    }

    g->chain = chain;
    g->issued = sbx_token_new(chain, NULL, chain->setup ? "" : NULL, life);
    g->outcome = SBX_OUT_ISSUED;
    sbx_oa_stats.issued++;
}


/* a refresh token which was consumed before: the account may be lost */

static void
sbx_grant_reused(sbx_grant_t *g, sbx_token_t *t)
{
    sbx_token_t  *next;

    g->reused = 1;
    t->reuses++;
    t->chain->reuses++;
    sbx_oa_stats.reuses++;

    next = t->successor;

    if (next && !next->used && t->chain->life == SBX_OA_ALIVE
        && sbx_oa_number(t->chain, SBX_OA_GRACE))
    {
        g->issued = next;
        g->outcome = SBX_OUT_GRACE;
        t->chain->graces++;
        sbx_oa_stats.graces++;
        return;
    }

    sbx_grant_bad(g, "invalid_grant", "Refresh token not found or invalid");
}


static void
sbx_grant_refresh(sbx_conn_t *c, sbx_grant_t *g)
{
    long          life;
    sbx_token_t  *t;
    sbx_chain_t  *chain;

    t = sbx_token_refresh(g->presented, strlen(g->presented));

    if (t == NULL) {
        sbx_grant_bad(g, "invalid_grant",
                      "Refresh token not found or invalid");
        return;
    }

    chain = t->chain;

    if (chain->client && !sbx_grant_same(c, "client_id", chain->client)) {
        sbx_grant_bad(g, "invalid_grant",
                      "Refresh token was issued to another client");
        return;
    }

    t->used = 1;

    if (t->consumed) {
        sbx_grant_reused(g, t);
        return;
    }

    if (chain->life != SBX_OA_ALIVE) {
        sbx_grant_bad(g, "invalid_grant", chain->life == SBX_OA_WALL
                      ? "Refresh token expired"
                      : "Refresh token not found or invalid");
        return;
    }

    life = sbx_oa_number(chain, SBX_OA_EXPIRES_IN);

    if (sbx_oa_number(chain, SBX_OA_KEEP)) {
        g->issued = sbx_token_new(chain, NULL, "", life);
        sbx_token_keep(t, g->issued);
        g->outcome = SBX_OUT_KEPT;
        return;
    }

    t->consumed = 1;
    g->issued = sbx_token_new(chain, NULL, NULL, life);
    g->outcome = SBX_OUT_ROTATED;
    chain->rotations++;
    sbx_oa_stats.rotations++;
}


static void
sbx_grant_decide(sbx_conn_t *c, sbx_grant_t *g)
{
    g->decided = 1;

    if (g->fail.fault && !g->fail.fault->rotates) {
        g->outcome = SBX_OUT_FAILED;
        sbx_oa_stats.failed++;
        return;
    }

    if (g->error || g->description) {
        g->outcome = SBX_OUT_REFUSED;
        return;
    }

    if (g->grant == SBX_GRANT_CODE) {
        sbx_grant_code(c, g);

    } else {
        sbx_grant_refresh(c, g);
    }

    if (g->issued) {
        return;
    }

    g->outcome = SBX_OUT_REFUSED;

    if (g->error && strcmp(g->error, "invalid_grant") == 0) {
        g->outcome = SBX_OUT_INVALID;
        sbx_oa_stats.invalid++;

        if (g->chain) {
            g->chain->invalid++;
        }
    }
}


/* the members which are named in "omit", with a plus between them */

static int
sbx_grant_omit(sbx_chain_t *chain, const char *name)
{
    size_t       n;
    const char  *p;

    n = strlen(name);
    p = sbx_oa_text(chain, SBX_OA_OMIT);

    while (p) {
        if (strncmp(p, name, n) == 0 && (p[n] == '+' || p[n] == '\0')) {
            return 1;
        }

        p = strchr(p, '+');
        p = p ? p + 1 : NULL;
    }

    return 0;
}


static void
sbx_grant_pair(sbx_buf_t *b, sbx_chain_t *chain, sbx_token_t *t, int kept)
{
    int64_t  left;

    left = (int64_t) (t->expires - sbx_now + 500) / 1000;

    sbx_lit(b, "{\"token_type\":\"Bearer\"");

    if (!sbx_grant_omit(chain, "access_token")) {
        sbx_oauth_member(b, "access_token", t->access);
    }

    if (!sbx_grant_omit(chain, "expires_in")) {
        sbx_putf(b, ",\"expires_in\":%lld", (long long) left);
    }

    if (t->refresh && !kept && !sbx_grant_omit(chain, "refresh_token")) {
        sbx_oauth_member(b, "refresh_token", t->refresh);
    }

    if (!sbx_grant_omit(chain, "scope")) {
        sbx_oauth_member(b, "scope", chain->scope);
    }

    if (!sbx_grant_omit(chain, "organization")) {
        sbx_putf(b, ",\"organization\":{\"uuid\":\"%s\"", chain->org);
        sbx_lit(b, ",\"name\":\"Sandbox of ");
        sbx_put_json(b, chain->name, strlen(chain->name));
        sbx_lit(b, "\"}");
    }

    if (!sbx_grant_omit(chain, "account")) {
        sbx_putf(b, ",\"account\":{\"uuid\":\"%s\",\"email_address\":\"",
                 chain->account);
        sbx_put_json(b, chain->name, strlen(chain->name));
        sbx_puts(b, strchr(chain->name, '@') ? "\"}"
                                             : "@sandbox.example\"}");
    }

    sbx_lit(b, "}");
}


static void
sbx_grant_answer(sbx_conn_t *c, sbx_grant_t *g)
{
    char  *body;

    if (g->outcome == SBX_OUT_FAILED) {
        sbx_oauth_fail(c, g->chain, &g->fail);

    } else if (g->issued == NULL) {
        sbx_oauth_refuse(c, g->error, g->description);

    } else {
        body = sbx_oa_text(g->chain, SBX_OA_TOKEN_BODY);
        c->text.len = 0;

        if (g->fail.fault && g->fail.fault->kind == SBX_OA_BODY && body) {
            sbx_puts(&c->text, body);

        } else {
            sbx_grant_pair(&c->text, g->chain, g->issued,
                           g->outcome == SBX_OUT_KEPT);
        }

        sbx_oauth_json(c, 200);
    }

    if (g->fail.fault) {
        sbx_oauth_spoil(c, &g->fail);
    }

    g->status = c->act.pre ? 0 : c->rep.status;
}


static void
sbx_grant_due(sbx_conn_t *c)
{
    sbx_grant_t  *g;

    g = sbx_grant_find(c->grant);

    if (g == NULL) {
        c->act.first = 0;
        sbx_anthropic_error(c, 500, NULL, "sandbox: forgotten");
        return;
    }

    sbx_grant_decide(c, g);

    c->act.first = g->first;

    if (g->outcome != SBX_OUT_FAILED) {
        c->act.first += sbx_oa_number(g->chain, SBX_OA_AFTER);
    }

    sbx_grant_answer(c, g);
}


/* commands for the answer, as if they had come in a header */

static int
sbx_grant_behave(sbx_conn_t *c, sbx_grant_t *g)
{
    char       *answer;
    sbx_req_t  *r;

    r = &c->req;
    answer = sbx_oa_text(g->chain, SBX_OA_ANSWER);

    if (r->xsandbox.len == 0 && answer) {
        r->xsandbox.data = answer;
        r->xsandbox.len = strlen(answer);
        sbx_behave(c, 0);
        r->xsandbox.len = 0;
    }

    c->act.flags |= SBX_F_NOWINDOW;

    return c->act.bad ? SBX_ERROR : SBX_OK;
}


void
sbx_oauth_token(sbx_conn_t *c)
{
    sbx_grant_t  *g;

    g = sbx_grant_new();
    c->grant = g->id;
    g->conn = c->number;
    g->tls = c->tls;

    sbx_grant_parse(c, g);

    if (sbx_grant_behave(c, g) != SBX_OK) {
        g->decided = 1;
        g->outcome = SBX_OUT_REFUSED;
        g->status = 400;
        sbx_anthropic_error(c, 400, NULL, "sandbox: unknown or bad command");
        return;
    }

    if (sbx_oa_conf.down > sbx_now
        || (g->chain && g->chain->conf.down > sbx_now))
    {
        g->decided = 1;
        g->outcome = SBX_OUT_DOWN;
        g->status = 503;
        sbx_oa_stats.failed++;
        sbx_anthropic_error(c, 503, NULL, NULL);
        return;
    }

    if (sbx_oa_take(g->chain, SBX_OA_FAIL_TOKEN, &g->fail) != SBX_OK) {
        g->fail.fault = NULL;
    }

    g->first = c->act.first;
    c->act.first = sbx_oa_number(g->chain, SBX_OA_BEFORE);

    sbx_reply_start(c, 0, NULL);
    c->rep.due = sbx_grant_due;
}


/*
 * The end of the exchange, whatever it was.  A server which has the request
 * goes on with it when its client dies: the rotation is not waited for, but
 * it does happen, unless "drop" says that it was still on its way.
 */

void
sbx_oauth_done(sbx_conn_t *c, int aborted)
{
    sbx_grant_t  *g;

    g = sbx_grant_find(c->grant);
    c->grant = 0;

    if (g == NULL) {
        return;
    }

    if (!g->decided && sbx_oa_number(g->chain, SBX_OA_DROP)) {
        g->decided = 1;
        g->outcome = SBX_OUT_DROPPED;
    }

    if (!g->decided) {
        sbx_grant_decide(c, g);
    }

    if (g->flying) {
        g->token->in_flight--;
        g->flying = 0;
    }

    sbx_oa_stats.in_flight--;

    g->ms = (long) (sbx_now - g->start);
    g->aborted = (aborted != 0);
    g->whole = (!aborted && c->finished);
    g->done = 1;
}
