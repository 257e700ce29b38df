
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "oauth.h"


#define SBX_OA_MS  3600000


typedef struct sbx_oa_cmd_s  sbx_oa_cmd_t;

struct sbx_oa_cmd_s {
    const char       *name;
    int             (*set)(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd,
                           char *value);
    int               index;
    long              max;
};


static int sbx_oa_set_number(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd,
    char *value);
static int sbx_oa_set_switch(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd,
    char *value);
static int sbx_oa_set_text(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd,
    char *value);
static int sbx_oa_set_percent(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd,
    char *value);
static int sbx_oa_set_scoped(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd,
    char *value);
static int sbx_oa_set_shape(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd,
    char *value);
static int sbx_oa_set_fail(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd,
    char *value);
static int sbx_oa_set_down(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd,
    char *value);


static const sbx_oa_cmd_t  sbx_oa_cmds[] = {
    { "expires-in", sbx_oa_set_number, SBX_OA_EXPIRES_IN, SBX_OA_YEAR },
    { "code-life", sbx_oa_set_number, SBX_OA_CODE_LIFE, SBX_OA_YEAR },
    { "retry-after", sbx_oa_set_number, SBX_OA_RETRY_AFTER, SBX_OA_YEAR },
    { "before", sbx_oa_set_number, SBX_OA_BEFORE, SBX_OA_MS },
    { "after", sbx_oa_set_number, SBX_OA_AFTER, SBX_OA_MS },
    { "down", sbx_oa_set_down, 0, SBX_OA_MS },
    { "grace", sbx_oa_set_switch, SBX_OA_GRACE, 0 },
    { "strict", sbx_oa_set_switch, SBX_OA_STRICT, 0 },
    { "revoke", sbx_oa_set_switch, SBX_OA_REVOKE, 0 },
    { "consent", sbx_oa_set_switch, SBX_OA_CONSENT, 0 },
    { "keep", sbx_oa_set_switch, SBX_OA_KEEP, 0 },
    { "drop", sbx_oa_set_switch, SBX_OA_DROP, 0 },
    { "need-scope", sbx_oa_set_switch, SBX_OA_NEED_SCOPE, 0 },
    { "fail", sbx_oa_set_fail, SBX_OA_FAIL_TOKEN, 0 },
    { "usage-fail", sbx_oa_set_fail, SBX_OA_FAIL_USAGE, 0 },
    { "profile-fail", sbx_oa_set_fail, SBX_OA_FAIL_PROFILE, 0 },
    { "user", sbx_oa_set_text, SBX_OA_USER, 0 },
    { "omit", sbx_oa_set_text, SBX_OA_OMIT, 0 },
    { "answer", sbx_oa_set_text, SBX_OA_ANSWER, 0 },
    { "usage", sbx_oa_set_shape, SBX_OA_SHAPE, 0 },
    { "five-hour", sbx_oa_set_percent, SBX_OA_FIVE, 0 },
    { "seven-day", sbx_oa_set_percent, SBX_OA_SEVEN, 0 },
    { "opus", sbx_oa_set_percent, SBX_OA_OPUS, 0 },
    { "sonnet", sbx_oa_set_percent, SBX_OA_SONNET, 0 },
    { "scoped", sbx_oa_set_scoped, SBX_OA_SCOPED, 0 },
    { "five-hour-reset", sbx_oa_set_number, SBX_OA_FIVE_RESET, SBX_OA_YEAR },
    { "seven-day-reset", sbx_oa_set_number, SBX_OA_SEVEN_RESET, SBX_OA_YEAR },
    { "plan", sbx_oa_set_text, SBX_OA_PLAN, 0 },
    { "tier", sbx_oa_set_text, SBX_OA_TIER, 0 },
    { NULL, NULL, 0, 0 }
};


static const char  *sbx_oa_grants[] = {
    "other", "authorization_code", "refresh_token"
};

static const char  *sbx_oa_outcomes[] = {
    "pending", "issued", "rotated", "kept", "grace", "invalid_grant",
    "refused", "failed", "down", "dropped"
};

static const char  *sbx_oa_lives[] = { "alive", "killed", "wall" };


static int
sbx_oa_set_number(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd, char *value)
{
    return sbx_number(value, cmd->max, &conf->number[cmd->index]);
}


static int
sbx_oa_set_switch(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd, char *value)
{
    conf->number[cmd->index] = 1;

    if (value == NULL || strcmp(value, "on") == 0) {
        return SBX_OK;
    }

    conf->number[cmd->index] = 0;

    return strcmp(value, "off") == 0 ? SBX_OK : SBX_ERROR;
}


/* empty: unset */

static int
sbx_oa_set_text(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd, char *value)
{
    char  **text;

    text = &conf->text[cmd->index];

    free(*text);
    *text = value && *value ? strdup(value) : NULL;

    return value ? SBX_OK : SBX_ERROR;
}


static int
sbx_oa_set_percent(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd, char *value)
{
    if (value && strcmp(value, "null") != 0
        && strspn(value, "0123456789.") != strlen(value))
    {
        return SBX_ERROR;
    }

    return sbx_oa_set_text(conf, cmd, value);
}


/* NAME:PERCENT */

static int
sbx_oa_set_scoped(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd, char *value)
{
    char  *colon;

    colon = value ? strrchr(value, ':') : NULL;

    if (value && *value
        && (colon == NULL || colon[1] == '\0'
            || strspn(colon + 1, "0123456789.") != strlen(colon + 1)))
    {
        return SBX_ERROR;
    }

    return sbx_oa_set_text(conf, cmd, value);
}


static int
sbx_oa_set_shape(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd, char *value)
{
    if (value == NULL
        || (strcmp(value, "classic") != 0 && strcmp(value, "current") != 0
            && strcmp(value, "limits") != 0))
    {
        return SBX_ERROR;
    }

    return sbx_oa_set_text(conf, cmd, value);
}


static int
sbx_oa_set_fail(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd, char *value)
{
    sbx_oa_fail_t  fail;

    if (sbx_oauth_fail_parse(value, &fail) != SBX_OK) {
        return SBX_ERROR;
    }

    conf->fail[cmd->index] = fail;

    return SBX_OK;
}


static int
sbx_oa_set_down(sbx_oa_conf_t *conf, const sbx_oa_cmd_t *cmd, char *value)
{
    long  ms;

    if (sbx_number(value, cmd->max, &ms) != SBX_OK) {
        return SBX_ERROR;
    }

    conf->down = sbx_now + (uint64_t) ms;

    return SBX_OK;
}


static void
sbx_oa_do_one(const char *name, sbx_chain_t *chain)
{
    sbx_token_t  *t;

    if (strcmp(name, "kill") == 0) {
        chain->life = SBX_OA_KILLED;
        return;
    }

    if (strcmp(name, "wall") == 0) {
        chain->life = SBX_OA_WALL;
        return;
    }

    for (t = chain->newest; t; t = t->older) {
        if (strcmp(name, "expire") == 0) {
            t->expires = sbx_now;

        } else {
            t->revoked = 1;
        }
    }
}


/* what is done to tokens at once, of a chain or of all */

static int
sbx_oa_do(const char *name, sbx_chain_t *chain)
{
    sbx_chain_t  *one;

    if (strcmp(name, "kill") != 0 && strcmp(name, "wall") != 0
        && strcmp(name, "expire") != 0 && strcmp(name, "revoke-access") != 0)
    {
        return SBX_DECLINED;
    }

    if (chain) {
        sbx_oa_do_one(name, chain);
        return SBX_OK;
    }

    for (one = sbx_oa_chains; one; one = one->next) {
        sbx_oa_do_one(name, one);
    }

    return SBX_OK;
}


static int
sbx_oa_command(char *p, sbx_chain_t *chain)
{
    char                *value;
    const sbx_oa_cmd_t  *cmd;

    value = strchr(p, '=');

    if (value == NULL && sbx_oa_do(p, chain) == SBX_OK) {
        return SBX_OK;
    }

    if (value) {
        *value++ = '\0';
        value[sbx_unescape_uri(value, strlen(value))] = '\0';
    }

    for (cmd = sbx_oa_cmds; cmd->name; cmd++) {
        if (strcmp(cmd->name, p) == 0) {
            return cmd->set(chain ? &chain->conf : &sbx_oa_conf, cmd, value);
        }
    }

    return SBX_ERROR;
}


static int
sbx_oa_error(sbx_conn_t *c, int status, const char *text, const char *what)
{
    c->text.len = 0;

    sbx_lit(&c->text, "{\"error\":\"");
    sbx_puts(&c->text, text);
    sbx_put_json(&c->text, what, strlen(what));
    sbx_lit(&c->text, "\"}\n");

    return status;
}


/* settings, one after another until one is bad */

static int
sbx_oa_settings(sbx_conn_t *c, char *list, sbx_chain_t *chain)
{
    char  *p, *next;

    for (p = list; p; p = next) {
        next = strchr(p, ',');
        if (next) {
            *next++ = '\0';
        }

        while (*p == ' ') {
            p++;
        }

        if (*p && sbx_oa_command(p, chain) != SBX_OK) {
            return sbx_oa_error(c, 400, "unknown or bad command: ", p);
        }
    }

    sbx_lit(&c->text, "{\"ok\":true}\n");

    return 200;
}


/* a whole body which is answered as it is; an empty one: no more */

static int
sbx_oa_body(sbx_conn_t *c, sbx_chain_t *chain, int index)
{
    char           **text;
    sbx_buf_t        b;
    sbx_oa_conf_t   *conf;

    conf = chain ? &chain->conf : &sbx_oa_conf;
    text = &conf->text[index];

    free(*text);
    *text = NULL;

    if (c->req.body.len) {
        memset(&b, 0, sizeof(b));
        sbx_put(&b, c->req.body.data, c->req.body.len);
        sbx_put(&b, "", 1);
        *text = b.data;
    }

    sbx_lit(&c->text, "{\"ok\":true}\n");

    return 200;
}


static int
sbx_oa_flag(sbx_str_t *args, const char *name)
{
    int        on;
    sbx_buf_t  b;

    memset(&b, 0, sizeof(b));
    on = sbx_arg(args, name, &b) == SBX_OK && b.len
         && strcmp(b.data, "0") != 0;
    free(b.data);

    return on;
}


static void
sbx_oa_seed_json(sbx_buf_t *b, sbx_chain_t *chain)
{
    int64_t       left;
    sbx_token_t  *t;

    t = chain->newest;
    left = (int64_t) (t->expires - sbx_now);

    sbx_putf(b, "{\"chain\":%llu", (unsigned long long) chain->id);
    sbx_oauth_member(b, "name", chain->name);
    sbx_oauth_member(b, "access", t->access);

    if (t->refresh) {
        sbx_oauth_member(b, "refresh", t->refresh);

    } else {
        sbx_lit(b, ",\"refresh\":null");
    }

    sbx_oauth_member(b, "scope", chain->scope);
    sbx_putf(b, ",\"expires_in\":%lld,\"expires_at\":%lld}\n",
             (long long) (left + 500) / 1000,
             (long long) (sbx_oa_time() + left));
}


/* tokens as if they had been made by a login */

static int
sbx_oa_seed(sbx_conn_t *c, sbx_str_t *args)
{
    int           rc, setup;
    long          life;
    sbx_buf_t     name, access, refresh, scope, number;
    sbx_chain_t  *chain;

    memset(&name, 0, sizeof(name));
    memset(&access, 0, sizeof(access));
    memset(&refresh, 0, sizeof(refresh));
    memset(&scope, 0, sizeof(scope));
    memset(&number, 0, sizeof(number));

    (void) sbx_arg(args, "name", &name);
    (void) sbx_arg(args, "access", &access);
    (void) sbx_arg(args, "refresh", &refresh);
    (void) sbx_arg(args, "scope", &scope);

    setup = sbx_oa_flag(args, "setup");
    life = setup ? SBX_OA_YEAR : sbx_oa_number(NULL, SBX_OA_EXPIRES_IN);
    rc = 200;

    if (sbx_arg(args, "expires_in", &number) == SBX_OK
        && sbx_number(number.data, SBX_OA_YEAR, &life) != SBX_OK)
    {
        rc = sbx_oa_error(c, 400, "bad expires_in", "");

    } else if ((access.len && sbx_token_access(access.data, access.len))
               || (refresh.len
                   && sbx_token_refresh(refresh.data, refresh.len)))
    {
        rc = sbx_oa_error(c, 409, "there is such a token", "");

    } else {
        chain = sbx_chain_new(name.data, scope.len ? scope.data
                                         : setup ? SBX_OA_SETUP
                                                 : SBX_OA_SCOPES);
        chain->setup = setup != 0;
        (void) sbx_token_new(chain, access.len ? access.data : NULL,
                             setup ? "" : refresh.len ? refresh.data : NULL,
                             life);
        sbx_oa_seed_json(&c->text, chain);
    }

    free(name.data);
    free(access.data);
    free(refresh.data);
    free(scope.data);
    free(number.data);

    return rc;
}


static int
sbx_oa_action(sbx_conn_t *c, sbx_str_t *args, char *what, sbx_chain_t *chain)
{
    sbx_chain_t  *one;

    if (strcmp(what, "seed") == 0) {
        return sbx_oa_seed(c, args);
    }

    if (strcmp(what, "token-body") == 0) {
        return sbx_oa_body(c, chain, SBX_OA_TOKEN_BODY);
    }

    if (strcmp(what, "usage-body") == 0) {
        return sbx_oa_body(c, chain, SBX_OA_USAGE_BODY);
    }

    if (strcmp(what, "profile-body") == 0) {
        return sbx_oa_body(c, chain, SBX_OA_PROFILE_BODY);
    }

    if (strcmp(what, "reset") == 0) {
        sbx_oa_forget_all();
        sbx_oa_conf_init(&sbx_oa_conf, 0);

    } else if (strcmp(what, "forget") == 0) {
        sbx_oa_forget_log();

    } else if (strcmp(what, "clear") == 0) {
        for (one = sbx_oa_chains; one; one = one->next) {
            if (chain == NULL || chain == one) {
                sbx_oa_conf_init(&one->conf, 1);
            }
        }

        if (chain == NULL) {
            sbx_oa_conf_init(&sbx_oa_conf, 0);
        }

    } else {
        return sbx_oa_settings(c, what, chain);
    }

    sbx_lit(&c->text, "{\"ok\":true}\n");

    return 200;
}


static const char *
sbx_oa_bool(int v)
{
    return v ? "true" : "false";
}


static void
sbx_oa_count(sbx_buf_t *b, const char *name, uint64_t n)
{
    sbx_put(b, ",", b->len && b->data[b->len - 1] != '{');
    sbx_putf(b, "\"%s\":%llu", name, (unsigned long long) n);
}


static void
sbx_oa_stats_json(sbx_buf_t *b)
{
    sbx_oa_stats_t  *s;

    s = &sbx_oa_stats;

    sbx_lit(b, "\"counters\":{");
    sbx_oa_count(b, "requests", s->requests);
    sbx_oa_count(b, "in_flight", s->in_flight);
    sbx_oa_count(b, "max_in_flight", s->max_in_flight);
    sbx_oa_count(b, "authorized", s->authorized);
    sbx_oa_count(b, "issued", s->issued);
    sbx_oa_count(b, "rotations", s->rotations);
    sbx_oa_count(b, "reuses", s->reuses);
    sbx_oa_count(b, "graces", s->graces);
    sbx_oa_count(b, "invalid_grants", s->invalid);
    sbx_oa_count(b, "failed", s->failed);
    sbx_oa_count(b, "usage", s->usage);
    sbx_oa_count(b, "profile", s->profile);
    sbx_oa_count(b, "api", s->api);
    sbx_oa_count(b, "api_refused", s->refused);
    sbx_oa_count(b, "last_id", sbx_oa_last);
    sbx_lit(b, "}");
}


static void
sbx_oa_text_json(sbx_buf_t *b, const char *name, const char *value)
{
    if (value) {
        sbx_oauth_member(b, name, value);
        return;
    }

    sbx_putf(b, ",\"%s\":null", name);
}


static void
sbx_oa_tokens_json(sbx_buf_t *b, sbx_chain_t *chain)
{
    sbx_token_t  *t;

    sbx_lit(b, ",\"tokens\":[");

    for (t = chain->newest; t; t = t->older) {
        sbx_lit(b, "{");
        sbx_oa_count(b, "generation", t->generation);
        sbx_oa_text_json(b, "access", t->access);
        sbx_oa_text_json(b, "refresh", t->refresh);
        sbx_putf(b, ",\"consumed\":%s,\"revoked\":%s,\"used\":%s",
                 sbx_oa_bool(t->consumed), sbx_oa_bool(t->revoked),
                 sbx_oa_bool(t->used));
        sbx_oa_count(b, "presented", t->presented);
        sbx_oa_count(b, "reuses", t->reuses);
        sbx_oa_count(b, "api", t->api);
        sbx_oa_count(b, "in_flight", t->in_flight);
        sbx_oa_count(b, "max_in_flight", t->max_in_flight);
        sbx_puts(b, t->older ? "},\n" : "}");
    }

    sbx_lit(b, "]");
}


static void
sbx_oa_chain_json(sbx_buf_t *b, sbx_chain_t *chain, int tokens)
{
    sbx_token_t  *t;

    t = chain->newest;

    sbx_lit(b, "{");
    sbx_oa_count(b, "chain", chain->id);
    sbx_oa_text_json(b, "name", chain->name);
    sbx_oa_text_json(b, "account", chain->account);
    sbx_oa_text_json(b, "organization", chain->org);
    sbx_oa_text_json(b, "scope", chain->scope);
    sbx_oa_text_json(b, "life", sbx_oa_lives[chain->life]);
    sbx_putf(b, ",\"setup\":%s", sbx_oa_bool(chain->setup));
    sbx_oa_text_json(b, "access", t->access);
    sbx_oa_text_json(b, "refresh", t->refresh);
    sbx_putf(b, ",\"expires_in\":%lld",
             (long long) (int64_t) (t->expires - sbx_now) / 1000);
    sbx_oa_count(b, "generation", t->generation);
    sbx_oa_count(b, "rotations", chain->rotations);
    sbx_oa_count(b, "reuses", chain->reuses);
    sbx_oa_count(b, "graces", chain->graces);
    sbx_oa_count(b, "invalid_grants", chain->invalid);
    sbx_oa_count(b, "in_flight", t->in_flight);
    sbx_oa_count(b, "max_in_flight", chain->max_in_flight);
    sbx_oa_count(b, "failures_left",
                 (uint64_t) chain->conf.fail[SBX_OA_FAIL_TOKEN].left);
    sbx_oa_count(b, "usage", chain->usage);
    sbx_oa_count(b, "profile", chain->profile);
    sbx_oa_count(b, "api", chain->api);
    sbx_oa_count(b, "api_refused", chain->refused);

    if (tokens) {
        sbx_oa_tokens_json(b, chain);
    }

    sbx_lit(b, "}");
}


static void
sbx_oa_fault_json(sbx_buf_t *b, sbx_oa_fail_t *fail)
{
    if (fail->fault == NULL) {
        sbx_lit(b, ",\"fault\":null");

    } else if (fail->fault->kind == SBX_OA_STATUS) {
        sbx_putf(b, ",\"fault\":\"%ld%s\"", fail->status,
                 fail->html ? "-html" : "");

    } else {
        sbx_oa_text_json(b, "fault", fail->fault->name);
    }
}


static void
sbx_oa_grant_json(sbx_buf_t *b, sbx_grant_t *g)
{
    sbx_lit(b, "{");
    sbx_oa_count(b, "id", g->id);
    sbx_putf(b, ",\"time\":%lld,\"ms\":%ld", (long long) g->time, g->ms);
    sbx_oa_count(b, "connection", g->conn);
    sbx_putf(b, ",\"tls\":%s", sbx_oa_bool(g->tls));
    sbx_oa_text_json(b, "grant", sbx_oa_grants[g->grant]);
    sbx_oa_text_json(b, "presented", g->presented);
    sbx_oa_text_json(b, "outcome", sbx_oa_outcomes[g->outcome]);
    sbx_oa_text_json(b, "chain", g->chain ? g->chain->name : NULL);
    sbx_putf(b, ",\"chain_id\":%llu,\"status\":%d,\"reused\":%s,"
             "\"whole\":%s,\"aborted\":%s,\"done\":%s",
             (unsigned long long) (g->chain ? g->chain->id : 0), g->status,
             sbx_oa_bool(g->reused), sbx_oa_bool(g->whole),
             sbx_oa_bool(g->aborted), sbx_oa_bool(g->done));
    sbx_oa_fault_json(b, &g->fail);
    sbx_oa_count(b, "in_flight", g->number);
    sbx_oa_count(b, "max_in_flight", g->token ? g->token->max_in_flight : 0);
    sbx_oa_text_json(b, "access", g->issued ? g->issued->access : NULL);
    sbx_oa_text_json(b, "refresh", g->issued ? g->issued->refresh : NULL);
    sbx_lit(b, "}");
}


static uint64_t
sbx_oa_report_arg(sbx_str_t *args, const char *name, uint64_t n)
{
    sbx_buf_t  b;

    memset(&b, 0, sizeof(b));

    if (sbx_arg(args, name, &b) == SBX_OK) {
        n = strtoull(b.data, NULL, 10);
    }

    free(b.data);

    return n;
}


/* the requests after "since", at most the last n of them */

static void
sbx_oa_report_log(sbx_buf_t *b, sbx_str_t *args, sbx_chain_t *chain)
{
    int           more;
    uint64_t      id, n;
    sbx_grant_t  *g;

    id = sbx_oa_report_arg(args, "since", 0);
    n = sbx_oa_report_arg(args, "n", UINT64_MAX);

    if (sbx_oa_last > id && sbx_oa_last - id > n) {
        id = sbx_oa_last - n;
    }

    if (sbx_oa_last > SBX_OA_LOG && sbx_oa_last - SBX_OA_LOG > id) {
        id = sbx_oa_last - SBX_OA_LOG;
    }

    more = 0;

    while (id++ < sbx_oa_last) {
        g = sbx_grant_find(id);

        if (g == NULL || (chain && g->chain != chain)) {
            continue;
        }

        sbx_puts(b, more ? ",\n" : "\n");
        sbx_oa_grant_json(b, g);
        more = 1;
    }
}


static int
sbx_oa_report(sbx_conn_t *c, sbx_str_t *args, sbx_chain_t *chain)
{
    int           more, tokens;
    int64_t       down;
    sbx_buf_t    *b;
    sbx_chain_t  *one;

    b = &c->text;
    tokens = sbx_oa_flag(args, "tokens");
    down = sbx_oa_conf.down > sbx_now ? (int64_t) (sbx_oa_conf.down - sbx_now)
                                      : 0;

    sbx_putf(b, "{\"now\":%lld,\"down\":%lld,\"failures_left\":%ld,",
             (long long) sbx_oa_time(), (long long) down,
             sbx_oa_conf.fail[SBX_OA_FAIL_TOKEN].left);
    sbx_oa_stats_json(b);
    sbx_lit(b, ",\n\"chains\":[");

    more = 0;

    for (one = sbx_oa_chains; one; one = one->next) {
        if (chain == NULL || chain == one) {
            sbx_puts(b, more ? ",\n" : "\n");
            sbx_oa_chain_json(b, one, tokens);
            more = 1;
        }
    }

    sbx_lit(b, "],\n\"requests\":[");
    sbx_oa_report_log(b, args, chain);
    sbx_lit(b, "]}\n");

    return 200;
}


int
sbx_oauth_control(sbx_conn_t *c)
{
    int           rc;
    sbx_str_t     args;
    sbx_buf_t     what, name;
    sbx_chain_t  *chain;

    /* without a query the arguments may be a form in the body */

    args = c->req.args.len ? c->req.args : c->req.body;
    chain = NULL;

    memset(&what, 0, sizeof(what));
    memset(&name, 0, sizeof(name));

    if (sbx_arg(&args, "chain", &name) == SBX_OK) {
        chain = sbx_chain_find(name.data);
    }

    if (name.data && chain == NULL) {
        rc = sbx_oa_error(c, 404, "no chain ", name.data);

    } else if (sbx_is(&c->req.method, "GET")) {
        rc = sbx_oa_report(c, &args, chain);

    } else if (sbx_arg(&args, "do", &what) == SBX_OK) {
        rc = sbx_oa_action(c, &args, what.data, chain);

    } else {
        rc = sbx_oa_error(c, 400, "POST /sandbox/oauth?do=", "");
    }

    free(what.data);
    free(name.data);

    return rc;
}


void
sbx_oauth_init(void)
{
    sbx_oa_conf_init(&sbx_oa_conf, 0);
}


void
sbx_oauth_forget(void)
{
    sbx_oa_forget_all();
    sbx_oa_conf_free(&sbx_oa_conf);
}
