
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Authorization servers of other places, under /places/: ChatGPT's (others.md
 * A14), Google's with what Code Assist does after a login (C6, C7), WorkOS's
 * (anthropic.md J.2), Kiro's and AWS's (others.md D1).  They take requests as
 * these servers do and nothing else.  A refresh token is good once where it
 * rotates: who shows it again loses the whole chain.
 */


#include "oauth.h"


#define SBX_PL_TOKENS  1024


typedef struct {
    const char  *name;
    unsigned     code_form:1;           /* the exchange is a form */
    unsigned     refresh_form:1;
    unsigned     rotates:1;
    unsigned     camel:1;
    unsigned     jwt:1;
    const char  *client;                /* or NULL: a registered one, none */
    const char  *secret;
} sbx_place_t;


typedef struct {
    long         fail;                  /* a status, or 1: close before, 2:
                                           close after */
    long         fails;
    long         delay;                 /* ms, between rotation and answer */
    long         expires_in;
    long         device;                /* 0: pending, 1: approved, 2: denied,
                                           3: expired, 4: slow_down */
    long         onboard;               /* polls until it is done */
    long         tier;                  /* 0: none yet, 1: one, 2: ineligible */
    long         requests;
    long         refreshes;
    long         exchanges;
    long         polls;
    long         reuses;
    long         invalid;
    long         flying;
    char         last[2048];            /* the last body */
} sbx_place_state_t;


typedef struct {
    int          place;
    long         chain;
    long         generation;
    unsigned     used:1;
    unsigned     dead:1;
    char         client[64];
    char         access[1024];
    char         refresh[128];
} sbx_pl_token_t;


typedef struct {
    int          place;
    unsigned     used:1;
    char         code[64];
    char         challenge[64];
    char         redirect[256];
} sbx_pl_code_t;


enum {
    SBX_PL_CODEX = 0,
    SBX_PL_GOOGLE,
    SBX_PL_WORKOS,
    SBX_PL_KIRO,
    SBX_PL_AWS,
    SBX_PL_PLACES
};


static const sbx_place_t  sbx_places[SBX_PL_PLACES] = {
    { "codex", 1, 0, 1, 0, 1, "app_EMoamEEZ73f0CkXaXp7hrann", NULL },
    { "google", 1, 1, 0, 0, 0, "sandbox-client", "sandbox-secret" },
    { "workos", 1, 1, 1, 0, 0, "client_01HNM792M5G5G1A2THWPXKFMXB", NULL },
    { "kiro", 0, 0, 1, 1, 0, NULL, NULL },
    { "aws", 0, 0, 1, 1, 0, NULL, NULL }
};


static sbx_place_state_t  sbx_pl[SBX_PL_PLACES];
static sbx_pl_token_t     sbx_pl_tokens[SBX_PL_TOKENS];
static sbx_pl_code_t      sbx_pl_codes[64];
static long               sbx_pl_ntokens;
static long               sbx_pl_ncodes;
static long               sbx_pl_chains;


static void
sbx_pl_error(sbx_conn_t *c, int place, int status, const char *error)
{
    c->text.len = 0;

    if (place == SBX_PL_CODEX) {
        sbx_putf(&c->text, "{\"error\":{\"message\":\"sandbox: %s\",\"type\":"
                 "\"invalid_request_error\",\"code\":\"%s\"}}", error, error);

    } else if (place == SBX_PL_KIRO) {
        sbx_putf(&c->text, "{\"__type\":\"%s\",\"message\":\"sandbox\"}",
                 error);

    } else {
        sbx_putf(&c->text, "{\"error\":\"%s\"}", error);
    }

    sbx_oauth_json(c, status);
}


/* a member of a JSON body, or a field of a form; "" if it is not there */

static void
sbx_pl_field(sbx_conn_t *c, int form, const char *name, char *dst, size_t size)
{
    sbx_buf_t  b;
    sbx_str_t  body, value;

    memset(&b, 0, sizeof(b));
    dst[0] = '\0';
    body = c->req.body;

    if (body.len == 0) {
        return;
    }

    if (form) {
        if (sbx_arg(&body, name, &b) == SBX_OK && b.len < size) {
            memcpy(dst, b.data, b.len + 1);
        }

    } else if (sbx_json_get(&body, name, &value) == SBX_OK
               && value.data[0] == '"')
    {
        sbx_json_string(&value, &b);

        if (b.len < size) {
            memcpy(dst, b.data, b.len);
            dst[b.len] = '\0';
        }
    }

    free(b.data);
}


/* 1: the type of the body is not what this server takes */

static int
sbx_pl_type(sbx_conn_t *c, int form)
{
    const char  *type;

    type = form ? "application/x-www-form-urlencoded" : "application/json";

    return c->req.ctype.len < strlen(type)
           || strncasecmp(c->req.ctype.data, type, strlen(type)) != 0;
}


static void
sbx_pl_jwt(sbx_buf_t *b, const char *claims)
{
    sbx_buf_t  x;

    memset(&x, 0, sizeof(x));

    sbx_lit(b, "eyJhbGciOiJSUzI1NiJ9.");
    sbx_oa_base64(&x, (const unsigned char *) claims, strlen(claims));
    sbx_put(b, x.data, x.len);
    sbx_lit(b, ".");

    x.len = 0;
    sbx_oa_random(&x, 12);
    sbx_put(b, x.data, x.len);

    free(x.data);
}


static void
sbx_pl_secret(char *dst, size_t size, const char *prefix)
{
    sbx_buf_t  b;

    memset(&b, 0, sizeof(b));
    sbx_oa_random(&b, 18);
    sbx_put(&b, "", 1);
    snprintf(dst, size, "%s%s", prefix, b.data);
    free(b.data);
}


static sbx_pl_token_t *
sbx_pl_token_new(int place, long chain, long generation, const char *client)
{
    char             claims[128];
    sbx_buf_t        b;
    sbx_pl_token_t  *t;

    static const char *const  access[] = { "", "ya29.", "wos_", "aoa:",
                                           "aoa:" };
    static const char *const  refresh[] = { "rt_", "1//", "wor_", "aor:",
                                            "aor:" };

    t = &sbx_pl_tokens[sbx_pl_ntokens++ % SBX_PL_TOKENS];
    memset(t, 0, sizeof(*t));

    t->place = place;
    t->chain = chain;
    t->generation = generation;
    snprintf(t->client, sizeof(t->client), "%s", client);

    sbx_pl_secret(t->refresh, sizeof(t->refresh), refresh[place]);

    if (sbx_places[place].jwt) {
        memset(&b, 0, sizeof(b));
        snprintf(claims, sizeof(claims), "{\"exp\":%lld,\"n\":%ld}",
                 (long long) time(NULL) + sbx_pl[place].expires_in,
                 sbx_pl_ntokens);
        sbx_pl_jwt(&b, claims);
        sbx_put(&b, "", 1);
        snprintf(t->access, sizeof(t->access), "%s", b.data);
        free(b.data);

    } else {
        sbx_pl_secret(t->access, sizeof(t->access), access[place]);
    }

    return t;
}


static sbx_pl_token_t *
sbx_pl_find(int place, const char *refresh)
{
    int  i;

    for (i = 0; i < SBX_PL_TOKENS; i++) {
        if (sbx_pl_tokens[i].refresh[0] && sbx_pl_tokens[i].place == place
            && strcmp(sbx_pl_tokens[i].refresh, refresh) == 0)
        {
            return &sbx_pl_tokens[i];
        }
    }

    return NULL;
}


/* whose access token a request has shown */

static sbx_pl_token_t *
sbx_pl_bearer(sbx_conn_t *c, int place)
{
    int         i;
    sbx_str_t  *p;

    p = &c->req.bearer;

    for (i = 0; p->len && i < SBX_PL_TOKENS; i++) {
        if (sbx_pl_tokens[i].place == place && !sbx_pl_tokens[i].dead
            && strlen(sbx_pl_tokens[i].access) == p->len
            && memcmp(sbx_pl_tokens[i].access, p->data, p->len) == 0)
        {
            return &sbx_pl_tokens[i];
        }
    }

    sbx_pl_error(c, SBX_PL_GOOGLE, 401, "invalid_token");

    return NULL;
}


/* what is to go wrong with this request; 1: it is answered */

static int
sbx_pl_fail(sbx_conn_t *c, int place)
{
    sbx_place_state_t  *s;

    s = &sbx_pl[place];
    s->requests++;

    snprintf(s->last, sizeof(s->last), "%.*s",
             (int) (c->req.body.len < 2000 ? c->req.body.len : 2000),
             c->req.body.len ? c->req.body.data : "");

    c->act.flags |= SBX_F_NOWINDOW;

    if (s->fails == 0 || s->fail == 2) {
        return 0;
    }

    s->fails--;

    if (s->fail == 1) {
        c->act.pre = SBX_PRE_CLOSE;
        sbx_oauth_json(c, 500);
        return 1;
    }

    sbx_pl_error(c, place, (int) s->fail, "server_error");

    return 1;
}


static void
sbx_pl_answer(sbx_conn_t *c, int place, sbx_pl_token_t *t, int fresh)
{
    char                claims[512];
    sbx_place_state_t  *s;
    const sbx_place_t  *p;

    p = &sbx_places[place];
    s = &sbx_pl[place];

    c->text.len = 0;

    if (p->camel) {
        sbx_putf(&c->text, "{\"accessToken\":\"%s\",\"refreshToken\":\"%s\","
                 "\"expiresIn\":%ld", t->access, t->refresh, s->expires_in);

        if (place == SBX_PL_KIRO) {
            sbx_lit(&c->text, ",\"profileArn\":\"arn:aws:codewhisperer:"
                              "us-east-1:1:profile/SANDBOX\"");
        }

    } else {
        sbx_putf(&c->text, "{\"token_type\":\"Bearer\",\"access_token\":"
                 "\"%s\"", t->access);

        if (place != SBX_PL_CODEX) {
            sbx_putf(&c->text, ",\"expires_in\":%ld", s->expires_in);
        }

        if (fresh || p->rotates) {
            sbx_putf(&c->text, ",\"refresh_token\":\"%s\"", t->refresh);
        }
    }

    if (place == SBX_PL_CODEX) {
        snprintf(claims, sizeof(claims), "{\"email\":\"codex-%ld@sandbox."
                 "example\",\"https://api.openai.com/auth\":{"
                 "\"chatgpt_account_id\":\"acc-%ld\",\"chatgpt_plan_type\":"
                 "\"plus\"}}", t->chain, t->chain);
        sbx_lit(&c->text, ",\"id_token\":\"");
        sbx_pl_jwt(&c->text, claims);
        sbx_lit(&c->text, "\"");
    }

    if (place == SBX_PL_WORKOS) {
        sbx_putf(&c->text, ",\"user\":{\"id\":\"user_%ld\",\"email\":"
                 "\"droid-%ld@sandbox.example\",\"first_name\":\"Droid\","
                 "\"last_name\":\"%ld\"},\"organization_id\":\"org_%ld\"",
                 t->chain, t->chain, t->chain, t->chain);
    }

    sbx_lit(&c->text, "}");

    c->act.first += s->delay;
    sbx_oauth_json(c, 200);

    if (s->fails && s->fail == 2) {
        s->fails--;
        c->act.pre = SBX_PRE_CLOSE;
    }
}


static void
sbx_pl_refresh(sbx_conn_t *c, int place)
{
    int              i, form;
    char             text[512], client[128], secret[128];
    sbx_pl_token_t  *t, *next;

    form = sbx_places[place].refresh_form;

    if (sbx_pl_type(c, form)) {
        sbx_pl_error(c, place, 415, "unsupported_type");
        return;
    }

    sbx_pl_field(c, form, sbx_places[place].camel ? "refreshToken"
                                                  : "refresh_token",
                 text, sizeof(text));
    sbx_pl_field(c, form, place == SBX_PL_AWS ? "clientId" : "client_id",
                 client, sizeof(client));
    sbx_pl_field(c, form, place == SBX_PL_AWS ? "clientSecret"
                                              : "client_secret",
                 secret, sizeof(secret));

    t = sbx_pl_find(place, text);

    if ((sbx_places[place].client
         && strcmp(client, sbx_places[place].client) != 0)
        || (sbx_places[place].secret
            && strcmp(secret, sbx_places[place].secret) != 0)
        || (place == SBX_PL_AWS && t && (strcmp(client, t->client) != 0
                                         || secret[0] == '\0')))
    {
        sbx_pl_error(c, place, 401, "invalid_client");
        return;
    }

    if (t && t->used && sbx_places[place].rotates) {
        sbx_pl[place].reuses++;

        for (i = 0; i < SBX_PL_TOKENS; i++) {
            if (sbx_pl_tokens[i].chain == t->chain) {
                sbx_pl_tokens[i].dead = 1;
            }
        }
    }

    if (t == NULL || t->dead) {
        sbx_pl[place].invalid++;

        if (place == SBX_PL_CODEX) {
            sbx_pl_error(c, place, 401, (t && t->used)
                                        ? "refresh_token_reused"
                                        : "refresh_token_invalidated");

        } else {
            sbx_pl_error(c, place, place == SBX_PL_KIRO ? 401 : 400,
                         place == SBX_PL_KIRO ? "InvalidGrantException"
                                              : "invalid_grant");
        }

        return;
    }

    sbx_pl[place].refreshes++;

    t->used = 1;
    next = sbx_pl_token_new(place, t->chain, t->generation + 1, t->client);

    if (!sbx_places[place].rotates) {
        memcpy(next->refresh, t->refresh, sizeof(t->refresh));
        t->refresh[0] = '\0';
    }

    sbx_pl_answer(c, place, next, 0);
}


static int
sbx_pl_verify(const char *verifier, const char *challenge)
{
    int            ok;
    sbx_buf_t      b;
    unsigned char  sha[SHA256_DIGEST_LENGTH];

    memset(&b, 0, sizeof(b));
    SHA256((const unsigned char *) verifier, strlen(verifier), sha);
    sbx_oa_base64(&b, sha, sizeof(sha));

    ok = b.len == strlen(challenge) && memcmp(b.data, challenge, b.len) == 0;
    free(b.data);

    return ok;
}


static void
sbx_pl_exchange(sbx_conn_t *c, int place)
{
    int             i, form;
    char            code[256], verifier[256], redirect[256], client[128];
    sbx_pl_code_t  *found;

    form = sbx_places[place].code_form;

    if (sbx_pl_type(c, form)) {
        sbx_pl_error(c, place, 415, "unsupported_type");
        return;
    }

    sbx_pl_field(c, form, "code", code, sizeof(code));
    sbx_pl_field(c, form, "code_verifier", verifier, sizeof(verifier));
    sbx_pl_field(c, form, "redirect_uri", redirect, sizeof(redirect));
    sbx_pl_field(c, form, "client_id", client, sizeof(client));

    found = NULL;

    for (i = 0; i < 64; i++) {
        if (code[0] && sbx_pl_codes[i].place == place
            && strcmp(sbx_pl_codes[i].code, code) == 0)
        {
            found = &sbx_pl_codes[i];
        }
    }

    if (found == NULL || found->used
        || !sbx_pl_verify(verifier, found->challenge)
        || strcmp(redirect, found->redirect) != 0
        || (sbx_places[place].client
            && strcmp(client, sbx_places[place].client) != 0))
    {
        sbx_pl_error(c, place, 400, "invalid_grant");
        return;
    }

    found->used = 1;
    sbx_pl[place].exchanges++;

    sbx_pl_answer(c, place, sbx_pl_token_new(place, ++sbx_pl_chains, 1, ""),
                  1);
}


static sbx_pl_code_t *
sbx_pl_code(int place, const char *challenge, const char *redirect)
{
    sbx_pl_code_t  *code;

    code = &sbx_pl_codes[sbx_pl_ncodes++ % 64];
    memset(code, 0, sizeof(*code));

    code->place = place;
    snprintf(code->challenge, sizeof(code->challenge), "%s", challenge);
    snprintf(code->redirect, sizeof(code->redirect), "%s", redirect);
    sbx_pl_secret(code->code, sizeof(code->code), "4/");

    return code;
}


/* the browser: it agrees at once */

static void
sbx_pl_authorize(sbx_conn_t *c, int place)
{
    char            location[1024];
    sbx_buf_t       challenge, redirect, state;
    sbx_pl_code_t  *code;

    memset(&challenge, 0, sizeof(challenge));
    memset(&redirect, 0, sizeof(redirect));
    memset(&state, 0, sizeof(state));

    if (sbx_arg(&c->req.args, "code_challenge", &challenge) != SBX_OK
        || sbx_arg(&c->req.args, "redirect_uri", &redirect) != SBX_OK
        || sbx_arg(&c->req.args, "state", &state) != SBX_OK
        || challenge.len != 43)
    {
        sbx_pl_error(c, SBX_PL_GOOGLE, 400, "invalid_request");

    } else {
        code = sbx_pl_code(place, challenge.data, redirect.data);

        snprintf(location, sizeof(location), "%s%scode=%s&state=%s",
                 redirect.data, strchr(redirect.data, '?') ? "&" : "?",
                 code->code, state.data);

        c->text.len = 0;
        sbx_lit(&c->text, "{\"location\":\"");
        sbx_put_json(&c->text, location, strlen(location));
        sbx_lit(&c->text, "\"}");
        sbx_oauth_json(c, 200);
    }

    free(challenge.data);
    free(redirect.data);
    free(state.data);
}


/* codes of devices: one at a time for each place is enough */

static void
sbx_pl_device(sbx_conn_t *c, int place)
{
    char  text[128];

    c->text.len = 0;

    sbx_pl[place].polls = 0;

    switch (place) {

    case SBX_PL_CODEX:
        sbx_lit(&c->text, "{\"device_auth_id\":\"deviceauth_1\","
                          "\"user_code\":\"CODE-X1\",\"interval\":\"1\"}");
        break;

    case SBX_PL_AWS:
        sbx_pl_field(c, 0, "clientSecret", text, sizeof(text));

        if (strcmp(text, "sandbox-aws-secret") != 0) {
            sbx_pl_error(c, place, 401, "invalid_client");
            return;
        }

        sbx_lit(&c->text, "{\"deviceCode\":\"aws-device\",\"userCode\":"
                "\"AWS-1234\",\"verificationUri\":\"https://device.example/\","
                "\"verificationUriComplete\":\"https://device.example/"
                "?user_code=AWS-1234\",\"expiresIn\":600,\"interval\":1}");
        break;

    default:
        sbx_lit(&c->text, "{\"device_code\":\"workos-device\",\"user_code\":"
                "\"DROI-D123\",\"verification_uri\":\"https://device.example"
                "/\",\"expires_in\":300,\"interval\":1}");
    }

    sbx_oauth_json(c, 200);
}


static void
sbx_pl_poll(sbx_conn_t *c, int place)
{
    char            text[128], client[64];
    sbx_pl_code_t  *code;

    sbx_pl_field(c, place == SBX_PL_WORKOS,
                 place == SBX_PL_CODEX ? "device_auth_id"
                 : place == SBX_PL_AWS ? "deviceCode" : "device_code",
                 text, sizeof(text));

    sbx_pl[place].polls++;

    if (text[0] == '\0' || sbx_pl[place].device == 3) {
        sbx_pl_error(c, place, 400, "expired_token");
        return;
    }

    switch (sbx_pl[place].device) {

    case 0:
        sbx_pl_error(c, place, place == SBX_PL_CODEX ? 403 : 400,
                     "authorization_pending");
        return;

    case 2:
        sbx_pl_error(c, place, 400, "access_denied");
        return;

    case 4:
        sbx_pl[place].device = 0;
        sbx_pl_error(c, place, 400, "slow_down");
        return;
    }

    sbx_pl[place].device = 0;

    if (place == SBX_PL_CODEX) {
        code = sbx_pl_code(place,
                           "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
                           "https://auth.openai.com/deviceauth/callback");

        c->text.len = 0;
        sbx_putf(&c->text, "{\"authorization_code\":\"%s\","
                 "\"code_challenge\":\"%s\",\"code_verifier\":"
                 "\"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk\"}",
                 code->code, code->challenge);
        sbx_oauth_json(c, 200);
        return;
    }

    sbx_pl_field(c, 0, "clientId", client, sizeof(client));

    sbx_pl[place].exchanges++;
    sbx_pl_answer(c, place,
                  sbx_pl_token_new(place, ++sbx_pl_chains, 1, client), 1);
}


/* the token endpoint of a place that has one for all */

static void
sbx_pl_token(sbx_conn_t *c, int place)
{
    int   form;
    char  grant[128];

    form = !sbx_pl_type(c, 1);

    sbx_pl_field(c, form, place == SBX_PL_AWS ? "grantType" : "grant_type",
                 grant, sizeof(grant));

    if (strcmp(grant, "refresh_token") == 0) {
        sbx_pl_refresh(c, place);

    } else if (strstr(grant, "device_code")) {
        sbx_pl_poll(c, place);

    } else if (place == SBX_PL_KIRO
               || strcmp(grant, "authorization_code") == 0)
    {
        sbx_pl_exchange(c, place);

    } else {
        sbx_pl_error(c, place, 400, "unsupported_grant_type");
    }
}


/* Code Assist, after a login */

static void
sbx_pl_assist(sbx_conn_t *c, const char *what)
{
    sbx_place_state_t  *s;

    s = &sbx_pl[SBX_PL_GOOGLE];

    if (sbx_pl_bearer(c, SBX_PL_GOOGLE) == NULL) {
        return;
    }

    c->text.len = 0;

    if (strcmp(what, "userinfo") == 0) {
        sbx_lit(&c->text, "{\"email\":\"google@sandbox.example\",\"name\":"
                          "\"Sandbox\"}");

    } else if (strcmp(what, "load") == 0) {

        if (s->tier == 2) {
            sbx_lit(&c->text, "{\"ineligibleTiers\":[{\"reasonCode\":"
                    "\"UNSUPPORTED_CLIENT\",\"reasonMessage\":\"This client "
                    "is no longer supported\",\"tierId\":\"free-tier\"}]}");

        } else if (s->tier == 1) {
            sbx_lit(&c->text, "{\"currentTier\":{\"id\":\"standard-tier\"},"
                    "\"cloudaicompanionProject\":\"sandbox-project\"}");

        } else {
            sbx_lit(&c->text, "{\"allowedTiers\":[{\"id\":\"free-tier\","
                              "\"isDefault\":true}]}");
        }

    } else if (s->onboard > 0) {
        s->onboard--;
        sbx_lit(&c->text, "{\"name\":\"operations/o1\",\"done\":false}");

    } else {
        s->tier = 1;
        sbx_lit(&c->text, "{\"name\":\"operations/o1\",\"done\":true,"
                "\"response\":{\"cloudaicompanionProject\":{\"id\":"
                "\"onboarded-project\"}}}");
    }

    sbx_oauth_json(c, 200);
}


static int
sbx_pl_is(sbx_str_t *p, const char *text)
{
    return p->len == strlen(text) && memcmp(p->data, text, p->len) == 0;
}


/* POST or GET /places/PLACE/WHAT */

int
sbx_oauth_places(sbx_conn_t *c)
{
    int        place;
    size_t     n;
    sbx_str_t  p;

    static const char  prefix[] = "/places/";

    p = c->req.path;
    n = sizeof(prefix) - 1;

    if (p.len < n || memcmp(p.data, prefix, n) != 0) {
        return SBX_DECLINED;
    }

    p.data += n;
    p.len -= n;

    for (place = 0; place < SBX_PL_PLACES; place++) {
        n = strlen(sbx_places[place].name);

        if (p.len > n && memcmp(p.data, sbx_places[place].name, n) == 0
            && p.data[n] == '/')
        {
            break;
        }
    }

    if (place == SBX_PL_PLACES) {
        return SBX_DECLINED;
    }

    p.data += n + 1;
    p.len -= n + 1;

    if (sbx_pl_is(&p, "authorize")) {
        sbx_pl_authorize(c, place);
        return SBX_OK;
    }

    if (sbx_pl_fail(c, place)) {
        return SBX_OK;
    }

    if (sbx_pl_is(&p, "token")) {
        sbx_pl_token(c, place);

    } else if (sbx_pl_is(&p, "refreshToken")) {
        sbx_pl_refresh(c, place);

    } else if (sbx_pl_is(&p, "device")) {
        sbx_pl_device(c, place);

    } else if (sbx_pl_is(&p, "poll")) {
        sbx_pl_poll(c, place);

    } else if (sbx_pl_is(&p, "register")) {
        c->text.len = 0;
        sbx_lit(&c->text, "{\"clientId\":\"sandbox-aws-client\","
                          "\"clientSecret\":\"sandbox-aws-secret\","
                          "\"clientSecretExpiresAt\":4000000000}");
        sbx_oauth_json(c, 200);

    } else if (sbx_pl_is(&p, "userinfo")) {
        sbx_pl_assist(c, "userinfo");

    } else if (sbx_pl_is(&p, "v1internal:loadCodeAssist")) {
        sbx_pl_assist(c, "load");

    } else if (sbx_pl_is(&p, "v1internal:onboardUser")
               || sbx_pl_is(&p, "v1internal/operations/o1"))
    {
        sbx_pl_assist(c, "onboard");

    } else if (sbx_pl_is(&p, "org")) {

        if (sbx_pl_bearer(c, SBX_PL_WORKOS)) {
            c->text.len = 0;
            sbx_lit(&c->text, "{\"workosOrgIds\":[\"org_1\",\"org_2\"]}");
            sbx_oauth_json(c, 200);
        }

    } else {
        sbx_pl_error(c, SBX_PL_GOOGLE, 404, "not_found");
    }

    return SBX_OK;
}


static void
sbx_pl_number(sbx_str_t *args, const char *name, long *value)
{
    sbx_buf_t  b;

    memset(&b, 0, sizeof(b));

    if (sbx_arg(args, name, &b) == SBX_OK) {
        (void) sbx_number(b.data, 1000000000, value);
    }

    free(b.data);
}


static void
sbx_pl_show(sbx_conn_t *c, int place)
{
    sbx_place_state_t  *s;

    s = &sbx_pl[place];

    sbx_putf(&c->text, "\"%s\":{\"requests\":%ld,\"refreshes\":%ld,"
             "\"exchanges\":%ld,\"polls\":%ld,\"reuses\":%ld,\"invalid\":%ld,"
             "\"last\":\"", sbx_places[place].name, s->requests, s->refreshes,
             s->exchanges, s->polls, s->reuses, s->invalid);
    sbx_put_json(&c->text, s->last, strlen(s->last));
    sbx_lit(&c->text, "\"}");
}


/*
 * GET /sandbox/places: what there was.  POST with place=NAME and numbers:
 * device (0 pending, 1 approved, 2 denied, 3 expired, 4 slow_down once),
 * fail (a status; 1: close before, 2: close after a rotation) and fails,
 * delay, expires_in, onboard, tier; reset=1; new=1: another pair of tokens.
 */

int
sbx_oauth_places_control(sbx_conn_t *c, sbx_str_t *args)
{
    int              i;
    long             reset, fresh;
    sbx_buf_t        b;
    sbx_pl_token_t  *t;

    memset(&b, 0, sizeof(b));
    reset = fresh = 0;
    t = NULL;

    if (sbx_arg(args, "place", &b) == SBX_OK) {

        for (i = 0; i < SBX_PL_PLACES; i++) {

            if (strcmp(sbx_places[i].name, b.data) != 0) {
                continue;
            }

            sbx_pl_number(args, "reset", &reset);

            if (reset || sbx_pl[i].expires_in == 0) {
                memset(&sbx_pl[i], 0, sizeof(sbx_pl[i]));
                sbx_pl[i].expires_in = 3600;
            }

            sbx_pl_number(args, "device", &sbx_pl[i].device);
            sbx_pl_number(args, "fail", &sbx_pl[i].fail);
            sbx_pl_number(args, "fails", &sbx_pl[i].fails);
            sbx_pl_number(args, "delay", &sbx_pl[i].delay);
            sbx_pl_number(args, "expires_in", &sbx_pl[i].expires_in);
            sbx_pl_number(args, "onboard", &sbx_pl[i].onboard);
            sbx_pl_number(args, "tier", &sbx_pl[i].tier);
            sbx_pl_number(args, "new", &fresh);

            if (fresh) {
                t = sbx_pl_token_new(i, ++sbx_pl_chains, 1,
                                     "sandbox-aws-client");
            }
        }
    }

    free(b.data);

    sbx_lit(&c->text, "{");

    for (i = 0; i < SBX_PL_PLACES; i++) {

        if (sbx_pl[i].expires_in == 0) {
            sbx_pl[i].expires_in = 3600;
        }

        sbx_pl_show(c, i);
        sbx_lit(&c->text, ",");
    }

    sbx_putf(&c->text, "\"access\":\"%s\",\"refresh\":\"%s\"}\n",
             t ? t->access : "", t ? t->refresh : "");

    return 200;
}
