
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"


#define SBX_CMDS_MAX     4096
#define SBX_ONCE_SLOTS   8192


typedef struct sbx_cmd_s  sbx_cmd_t;

struct sbx_cmd_s {
    const char       *name;
    int             (*set)(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
    size_t            offset;
    long              value;
};


typedef struct {
    uint64_t          key;
    long              count;
} sbx_once_t;


static int sbx_set_num(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_const(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_flag(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_str(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_bool(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_fault(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_extra(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_unified(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_retry(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_once(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);
static int sbx_set_nothing(sbx_act_t *a, const sbx_cmd_t *cmd, char *value);


#define num(n, field, max)                                                    \
    { n, sbx_set_num, offsetof(sbx_act_t, field), max }
#define str(n, field)                                                         \
    { n, sbx_set_str, offsetof(sbx_act_t, field), 0 }
#define cst(n, field, v)                                                      \
    { n, sbx_set_const, offsetof(sbx_act_t, field), v }
#define flag(n, f)      { n, sbx_set_flag, 0, f }
#define fault(n, f)     { n, sbx_set_fault, 0, f }
#define other(n, fn)    { n, fn, 0, 0 }

#define SBX_MS  3600000


static const sbx_cmd_t  sbx_cmds[] = {
    num("status", status, 599),
    str("message", message),
    str("type", type),
    str("code", code),
    str("quota-id", quota_id),
    str("retry-delay", retry_delay),
    flag("html", SBX_F_HTML),
    other("retry-after", sbx_set_retry),
    other("should-retry", sbx_set_bool),
    other("unified", sbx_set_unified),
    num("reset", reset, 100000000),
    str("util-5h", util_5h),
    str("util-7d", util_7d),
    flag("nowindow", SBX_F_NOWINDOW),

    num("events", events, 100000000),
    num("size", size, 1024 * 1024),
    num("json-size", json_size, SBX_TEXT_MAX),
    num("long-line", long_line, SBX_TEXT_MAX / 4),
    num("ping-first", ping_first, 100000),
    num("first", first, SBX_MS),
    num("body-delay", body_delay, SBX_MS),
    num("delay", delay, SBX_MS),
    num("split", split, SBX_TEXT_MAX),
    num("split-delay", split_delay, SBX_MS),
    num("dribble", dribble, SBX_TEXT_MAX),
    num("dribble-delay", dribble_delay, SBX_MS),
    flag("coalesce", SBX_F_COALESCE),
    flag("burst", SBX_F_BURST),
    flag("gzip", SBX_F_GZIP),
    cst("chunked", frame, SBX_FRAME_CHUNKED),
    cst("sized", frame, SBX_FRAME_SIZED),
    cst("close", frame, SBX_FRAME_CLOSE),
    flag("trailer", SBX_F_TRAILER),
    flag("crlf", SBX_F_CRLF),
    flag("nospace", SBX_F_NOSPACE),
    flag("comments", SBX_F_COMMENTS),
    flag("unicode", SBX_F_UNICODE),
    flag("thinking", SBX_F_THINKING),
    flag("iterations", SBX_F_ITERATIONS),

    str("model", model),
    str("stop", stop),
    num("input", input, 1000000000),
    num("output", output, 1000000000),
    num("cache-read", cache_read, 1000000000),
    num("cache-5m", cache_5m, 1000000000),
    num("cache-1h", cache_1h, 1000000000),
    num("searches", searches, 1000000000),
    str("tier", tier),
    str("speed", speed),
    str("geo", geo),
    flag("no-breakdown", SBX_F_NO_BREAKDOWN),
    flag("no-content", SBX_F_NO_CONTENT),
    flag("no-usage", SBX_F_NO_USAGE),
    flag("usage-zero", SBX_F_ZERO_USAGE),

    str("error-first", error_first),
    fault("error-at", SBX_FAULT_ERROR),
    fault("reset-at", SBX_FAULT_RESET),
    fault("cut-at", SBX_FAULT_CUT),
    fault("end-at", SBX_FAULT_END),
    fault("stall-at", SBX_FAULT_STALL),

    cst("nothing", pre, SBX_PRE_NOTHING),
    cst("close-now", pre, SBX_PRE_CLOSE),
    cst("rst-now", pre, SBX_PRE_RST),
    cst("garbage", pre, SBX_PRE_GARBAGE),
    cst("header-forever", pre, SBX_PRE_FOREVER),
    flag("slow-header", SBX_F_SLOW_HEADER),
    flag("negative-length", SBX_F_NEG_LENGTH),
    flag("dup-length", SBX_F_DUP_LENGTH),
    flag("bad-chunk", SBX_F_BAD_CHUNK),
    flag("early-close", SBX_F_EARLY_CLOSE),
    flag("stale", SBX_F_STALE),
    flag("early", SBX_F_EARLY),
    flag("early-hints", SBX_F_HINTS),
    flag("continue-100", SBX_F_CONTINUE),
    flag("count404", SBX_F_COUNT404),
    other("extra-header", sbx_set_extra),
    flag("set-cookie", SBX_F_SET_COOKIE),

    other("once", sbx_set_once),
    num("times", times, 1000000000),
    flag("global", SBX_F_GLOBAL),
    other("as", sbx_set_nothing),
    { NULL, NULL, 0, 0 }
};


const sbx_act_t  sbx_act_default = {
    .retry_after = -1,
    .should_retry = -1,
    .reset = 3600,
    .events = 5,
    .dribble_delay = 1,
    .input = 12,
    .output = -1,
    .cache_read = 2048,
    .cache_5m = 100,
    .cache_1h = 200
};


static sbx_once_t  sbx_once[SBX_ONCE_SLOTS];


int
sbx_number(const char *value, long max, long *n)
{
    char  *end;

    if (value == NULL || *value < '0' || *value > '9') {
        return SBX_ERROR;
    }

    *n = strtol(value, &end, 10);

    return (*end != '\0' || *n > max) ? SBX_ERROR : SBX_OK;
}


static int
sbx_set_num(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    return sbx_number(value, cmd->value, (long *) ((char *) a + cmd->offset));
}


static int
sbx_set_const(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    *(long *) ((char *) a + cmd->offset) = cmd->value;

    return value ? SBX_ERROR : SBX_OK;
}


static int
sbx_set_flag(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    a->flags |= (unsigned) cmd->value;

    return value ? SBX_ERROR : SBX_OK;
}


static int
sbx_set_str(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    *(char **) ((char *) a + cmd->offset) = value;

    return value ? SBX_OK : SBX_ERROR;
}


static int
sbx_set_bool(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    (void) cmd;

    if (value == NULL) {
        return SBX_ERROR;
    }

    a->should_retry = (strcmp(value, "true") == 0);

    return (a->should_retry || strcmp(value, "false") == 0) ? SBX_OK
                                                            : SBX_ERROR;
}


static int
sbx_set_fault(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    a->fault = cmd->value;

    return sbx_number(value, SBX_TEXT_MAX, &a->fault_at);
}


static int
sbx_set_extra(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    (void) cmd;

    if (value == NULL || strchr(value, ':') == NULL) {
        return SBX_ERROR;
    }

    if (a->nextra < (int) (sizeof(a->extra) / sizeof(a->extra[0]))) {
        a->extra[a->nextra++] = value;
    }

    return SBX_OK;
}


/* 5h, 7d:600, reset:600 */

static int
sbx_set_unified(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    char  *colon;

    (void) cmd;

    if (value == NULL || *value == '\0') {
        return SBX_ERROR;
    }

    colon = strchr(value, ':');

    if (colon) {
        *colon = '\0';
        if (sbx_number(colon + 1, 100000000, &a->reset) != SBX_OK) {
            return SBX_ERROR;
        }
    }

    if (strcmp(value, "reset") != 0) {
        a->unified = value;

    } else if (a->unified == NULL) {
        a->unified = (char *) "5h";
    }

    return SBX_OK;
}


static int
sbx_set_retry(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    (void) cmd;

    if (value && strcmp(value, "none") == 0) {
        a->retry_after = -2;
        return SBX_OK;
    }

    return sbx_number(value, 100000000, &a->retry_after);
}


static int
sbx_set_once(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    (void) cmd;

    a->times = 1;

    return value ? SBX_ERROR : SBX_OK;
}


/* "as=NAME" only makes credentials differ */

static int
sbx_set_nothing(sbx_act_t *a, const sbx_cmd_t *cmd, char *value)
{
    (void) a;
    (void) cmd;
    (void) value;

    return SBX_OK;
}


static void
sbx_command(sbx_act_t *a, char *p)
{
    char             *value;
    const sbx_cmd_t  *cmd;

    value = strchr(p, '=');

    if (value) {
        *value++ = '\0';
        value[sbx_unescape_uri(value, strlen(value))] = '\0';
    }

    for (cmd = sbx_cmds; cmd->name; cmd++) {

        if (strcmp(cmd->name, p) != 0) {
            continue;
        }

        if (cmd->set(a, cmd, value) == SBX_OK) {
            return;
        }

        break;
    }

    if (a->bad == NULL) {
        a->bad = p;
    }
}


/* the count of uses of a command string, by credential or by all */

static long
sbx_once_count(uint64_t key, int peek)
{
    int          i;
    sbx_once_t  *slot;

    key |= 1;
    slot = NULL;

    for (i = 0; i < 64; i++) {
        slot = &sbx_once[(key + (uint64_t) i) % SBX_ONCE_SLOTS];

        if (slot->key == key) {
            slot->count += !peek;
            return slot->count + peek;
        }

        if (slot->key == 0) {
            break;
        }
    }

    if (peek) {
        return 1;
    }

    if (i < 64) {
        slot->key = key;
        slot->count = 1;
        return 1;
    }

    slot = &sbx_once[key % SBX_ONCE_SLOTS];
    slot->key = key;
    slot->count = 1;

    return 1;
}


static void
sbx_source(sbx_conn_t *c, const char *p, size_t n, const char *sep,
    uint64_t salt, int peek)
{
    char       *text, *next, *last;
    size_t      skip;
    uint64_t    key;
    sbx_act_t   saved;

    if (n == 0) {
        return;
    }

    if (n > SBX_CMDS_MAX) {
        c->act.bad = (char *) "(too long)";
        return;
    }

    text = c->cmds.data + c->cmds.len;
    sbx_put(&c->cmds, p, n);
    sbx_put(&c->cmds, "", 1);

    key = sbx_hash(text, n, salt);
    saved = c->act;
    c->act.times = 0;
    c->act.flags &= (unsigned) ~SBX_F_GLOBAL;
    skip = strlen(sep);

    for (next = text; next; next = last ? last + skip : NULL) {
        last = strstr(next, sep);
        if (last) {
            *last = '\0';
        }

        while (*next == ' ') {
            next++;
        }

        if (*next) {
            sbx_command(&c->act, next);
        }
    }

    if (c->act.times == 0) {
        return;
    }

    if (c->req.cred && !(c->act.flags & SBX_F_GLOBAL)) {
        key ^= c->req.cred->hash;
    }

    if (sbx_once_count(key, peek) > c->act.times) {
        c->act = saved;
    }
}


/* the last sandbox(...) of the body's beginning */

static sbx_str_t
sbx_marker(sbx_str_t *body)
{
    sbx_str_t    m;
    const char  *p, *q, *end;

    static const char  mark[] = "sandbox(";

    m.data = NULL;
    m.len = 0;

    if (body->len == 0) {
        return m;
    }

    p = body->data;
    end = p + (body->len < SBX_MARKER_MAX ? body->len : SBX_MARKER_MAX);

    while (p < end) {
        p = memmem(p, (size_t) (end - p), mark, sizeof(mark) - 1);
        if (p == NULL) {
            break;
        }

        p += sizeof(mark) - 1;
        q = memchr(p, ')', (size_t) (end - p));
        if (q == NULL) {
            break;
        }

        m.data = p;
        m.len = (size_t) (q - p);
        p = q;
    }

    return m;
}


/* "peek" tells what would be done and uses nothing up */

void
sbx_behave(sbx_conn_t *c, int peek)
{
    sbx_str_t    m;
    sbx_req_t   *r;
    sbx_cred_t  *cred;

    r = &c->req;
    cred = r->cred;

    c->act = sbx_act_default;
    c->cmds.len = 0;

    if (r->control) {
        return;
    }

    m = sbx_marker(&r->body);

    if (m.len == 0 && r->xsandbox.len == 0
        && (cred == NULL || (cred->cmds == NULL && cred->behave == NULL)))
    {
        return;
    }

    /* enough for all sources: the commands keep pointers to it */

    sbx_reserve(&c->cmds, 4 * (SBX_CMDS_MAX + 1));

    if (cred && cred->cmds) {
        sbx_source(c, cred->cmds, strlen(cred->cmds), "--", 1, peek);
    }

    if (cred && cred->behave) {
        sbx_source(c, cred->behave, strlen(cred->behave), ",",
                   2 + cred->generation, peek);
    }

    if (m.len) {
        sbx_source(c, m.data, m.len, ",", 1, peek);
    }

    sbx_source(c, r->xsandbox.data, r->xsandbox.len, ",", 1, peek);

    if (c->act.status && c->act.status < 300) {
        c->act.status = 0;
    }

    if (c->act.long_line && c->act.events == 0) {
        c->act.events = 1;
    }
}


void
sbx_behave_reset(void)
{
    memset(sbx_once, 0, sizeof(sbx_once));
}
