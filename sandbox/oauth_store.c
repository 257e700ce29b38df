
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "oauth.h"

#include <openssl/rand.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>


#define SBX_OA_BUCKETS  16384
#define SBX_OA_CODES    1024


sbx_oa_conf_t          sbx_oa_conf;
sbx_oa_stats_t         sbx_oa_stats;
sbx_chain_t           *sbx_oa_chains;
uint64_t               sbx_oa_last;

static const long      sbx_oa_defaults[SBX_OA_NUMBERS] = {
    [SBX_OA_EXPIRES_IN] = 28800,
    [SBX_OA_CODE_LIFE] = 600,
    [SBX_OA_RETRY_AFTER] = -1,
    [SBX_OA_REVOKE] = 1,
    [SBX_OA_CONSENT] = 1,
    [SBX_OA_FIVE_RESET] = -1,
    [SBX_OA_SEVEN_RESET] = -1
};

static sbx_chain_t   **sbx_oa_tail = &sbx_oa_chains;
static uint64_t        sbx_oa_nchains;
static sbx_token_t    *sbx_by_access[SBX_OA_BUCKETS];
static sbx_token_t    *sbx_by_refresh[SBX_OA_BUCKETS];
static sbx_code_t     *sbx_codes;
static int             sbx_ncodes;
static sbx_grant_t    *sbx_log[SBX_OA_LOG];


static void *
sbx_oa_alloc(size_t n)
{
    void  *p;

    p = calloc(1, n);
    if (p == NULL) {
        abort();
    }

    return p;
}


static char *
sbx_oa_copy(const char *text)
{
    char  *p;

    p = strdup(text);
    if (p == NULL) {
        abort();
    }

    return p;
}


static uint64_t
sbx_oa_bucket(const char *p, size_t n)
{
    return sbx_hash(p, n, 0) % SBX_OA_BUCKETS;
}


/* RFC 4648, 5, without padding */

void
sbx_oa_base64(sbx_buf_t *b, const unsigned char *p, size_t n)
{
    int       bits;
    char      ch;
    size_t    i;
    uint32_t  v;

    static const char  map[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    v = 0;
    bits = 0;

    for (i = 0; i < n; i++) {
        v = (v << 8 | p[i]) & 0xffff;
        bits += 8;

        while (bits >= 6) {
            bits -= 6;
            ch = map[(v >> bits) & 63];
            sbx_put(b, &ch, 1);
        }
    }

    if (bits) {
        ch = map[(v << (6 - bits)) & 63];
        sbx_put(b, &ch, 1);
    }
}


void
sbx_oa_random(sbx_buf_t *b, size_t bytes)
{
    unsigned char  raw[96];

    if (bytes > sizeof(raw) || RAND_bytes(raw, (int) bytes) != 1) {
        abort();
    }

    sbx_oa_base64(b, raw, bytes);
}


int64_t
sbx_oa_time(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_REALTIME, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static int sbx_token_dead(int fd);


/* counts a request which presents this token, returns how many there are */

uint64_t
sbx_token_present(sbx_token_t *t, int fd)
{
    uint64_t      n;
    sbx_chain_t  *chain;

    chain = t->chain;
    t->presented++;

    n = ++t->in_flight;

    if (n == 2 && sbx_token_dead(t->fd)) {
        n = 1;
    }

    t->fd = fd;

    if (n > t->max_in_flight) {
        t->max_in_flight = n;
    }

    if (n > chain->max_in_flight) {
        chain->max_in_flight = n;
    }

    if (n > sbx_oa_stats.max_in_flight) {
        sbx_oa_stats.max_in_flight = n;
    }

    return n;
}


/*
 * Whoever presented it before may have been killed, and nobody has looked at
 * its connection yet; the kernel closes it a moment after it lets go of locks.
 */

static int
sbx_token_dead(int fd)
{
    char           byte;
    ssize_t        n;
    struct pollfd  p;

    p.fd = fd;
    p.events = POLLIN;

    (void) poll(&p, 1, 50);

    n = recv(fd, &byte, 1, MSG_PEEK|MSG_DONTWAIT);

    return n == 0 || (n == -1 && errno != EAGAIN);
}


void
sbx_oa_conf_init(sbx_oa_conf_t *conf, int chain)
{
    int  i;

    sbx_oa_conf_free(conf);
    memset(conf, 0, sizeof(sbx_oa_conf_t));

    for (i = 0; i < SBX_OA_NUMBERS; i++) {
        conf->number[i] = chain ? -1 : sbx_oa_defaults[i];
    }
}


void
sbx_oa_conf_free(sbx_oa_conf_t *conf)
{
    int  i;

    for (i = 0; i < SBX_OA_TEXTS; i++) {
        free(conf->text[i]);
        conf->text[i] = NULL;
    }
}


long
sbx_oa_number(sbx_chain_t *chain, int i)
{
    if (chain && chain->conf.number[i] != -1) {
        return chain->conf.number[i];
    }

    return sbx_oa_conf.number[i];
}


char *
sbx_oa_text(sbx_chain_t *chain, int i)
{
    if (chain && chain->conf.text[i]) {
        return chain->conf.text[i];
    }

    return sbx_oa_conf.text[i];
}


/* uses up one failure, if there is one to come */

int
sbx_oa_take(sbx_chain_t *chain, int i, sbx_oa_fail_t *fail)
{
    sbx_oa_fail_t  *f;

    f = &sbx_oa_conf.fail[i];

    if (chain && chain->conf.fail[i].left > 0) {
        f = &chain->conf.fail[i];
    }

    *fail = *f;

    if (f->left == 0) {
        return SBX_DECLINED;
    }

    f->left--;

    return SBX_OK;
}


/* the same name is the same account, whoever logs in */

static void
sbx_oa_uuid(char *uuid, const char *name, uint64_t salt)
{
    uint64_t  h;

    h = sbx_hash(name, strlen(name), salt);

    snprintf(uuid, 37, "%08x-%04x-4000-8000-%012llx",
             (unsigned) (h >> 32), (unsigned) (h >> 16) & 0xffff,
             (unsigned long long) (h * 0x9fb21c651e98df25ULL >> 16));
}


sbx_chain_t *
sbx_chain_new(const char *name, const char *scope)
{
    char          text[32];
    sbx_chain_t  *chain;

    chain = sbx_oa_alloc(sizeof(sbx_chain_t));
    chain->id = ++sbx_oa_nchains;

    snprintf(text, sizeof(text), "chain-%llu", (unsigned long long) chain->id);

    chain->name = sbx_oa_copy(name && *name ? name : text);
    chain->scope = sbx_oa_copy(scope);

    sbx_oa_uuid(chain->account, chain->name, 1);
    sbx_oa_uuid(chain->org, chain->name, 2);
    sbx_oa_conf_init(&chain->conf, 1);

    *sbx_oa_tail = chain;
    sbx_oa_tail = &chain->next;

    return chain;
}


/* by number or by name, the newest of this name */

sbx_chain_t *
sbx_chain_find(const char *name)
{
    char          text[32];
    sbx_chain_t  *chain, *found;

    found = NULL;

    for (chain = sbx_oa_chains; chain; chain = chain->next) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long) chain->id);

        if (strcmp(chain->name, name) == 0 || strcmp(text, name) == 0) {
            found = chain;
        }
    }

    return found;
}


static char *
sbx_token_text(const char *prefix)
{
    sbx_buf_t  b;

    memset(&b, 0, sizeof(b));
    sbx_puts(&b, prefix);
    sbx_oa_random(&b, 71);
    sbx_put(&b, "", 1);

    return b.data;
}


/* NULL: made up here; an empty refresh token: there is none */

sbx_token_t *
sbx_token_new(sbx_chain_t *chain, const char *access, const char *refresh,
    long expires_in)
{
    uint64_t      i;
    sbx_token_t  *t;

    t = sbx_oa_alloc(sizeof(sbx_token_t));
    t->chain = chain;
    t->access = access ? sbx_oa_copy(access)
                       : sbx_token_text("sk-ant-oat01-");
    t->expires = sbx_now + (uint64_t) expires_in * 1000;

    i = sbx_oa_bucket(t->access, strlen(t->access));
    t->next_access = sbx_by_access[i];
    sbx_by_access[i] = t;

    if (refresh == NULL || *refresh) {
        t->refresh = refresh ? sbx_oa_copy(refresh)
                             : sbx_token_text("sk-ant-ort01-");

        i = sbx_oa_bucket(t->refresh, strlen(t->refresh));
        t->next_refresh = sbx_by_refresh[i];
        sbx_by_refresh[i] = t;
    }

    t->older = chain->newest;
    t->generation = 1;

    if (t->older) {
        t->older->successor = t;
        t->generation = t->older->generation + 1;
    }

    chain->newest = t;

    return t;
}


/* "keep": the refresh token of the old pair goes on in the new one */

void
sbx_token_keep(sbx_token_t *old, sbx_token_t *t)
{
    uint64_t       i;
    sbx_token_t  **p;

    i = sbx_oa_bucket(old->refresh, strlen(old->refresh));

    for (p = &sbx_by_refresh[i]; *p != old; p = &(*p)->next_refresh) {
        /* void */
    }

    *p = old->next_refresh;

    t->refresh = old->refresh;
    old->refresh = NULL;

    t->next_refresh = sbx_by_refresh[i];
    sbx_by_refresh[i] = t;
}


sbx_token_t *
sbx_token_access(const char *p, size_t n)
{
    sbx_token_t  *t;

    t = sbx_by_access[sbx_oa_bucket(p, n)];

    while (t && !(strlen(t->access) == n && memcmp(t->access, p, n) == 0)) {
        t = t->next_access;
    }

    return t;
}


sbx_token_t *
sbx_token_refresh(const char *p, size_t n)
{
    sbx_token_t  *t;

    t = sbx_by_refresh[sbx_oa_bucket(p, n)];

    while (t && !(strlen(t->refresh) == n && memcmp(t->refresh, p, n) == 0)) {
        t = t->next_refresh;
    }

    return t;
}


static void
sbx_code_free(sbx_code_t *code)
{
    free(code->code);
    free(code->client);
    free(code->redirect);
    free(code->scope);
    free(code->state);
    free(code->challenge);
    free(code->user);
    free(code);
}


sbx_code_t *
sbx_code_new(void)
{
    sbx_buf_t    b;
    sbx_code_t  *code, **p;

    memset(&b, 0, sizeof(b));
    sbx_oa_random(&b, 32);
    sbx_put(&b, "", 1);

    code = sbx_oa_alloc(sizeof(sbx_code_t));
    code->code = b.data;
    code->next = sbx_codes;
    sbx_codes = code;

    if (++sbx_ncodes > SBX_OA_CODES) {
        for (p = &sbx_codes; (*p)->next; p = &(*p)->next) { /* void */ }
        sbx_code_free(*p);
        *p = NULL;
        sbx_ncodes--;
    }

    return code;
}


sbx_code_t *
sbx_code_find(const char *text)
{
    sbx_code_t  *code;

    code = sbx_codes;

    while (code && strcmp(code->code, text) != 0) {
        code = code->next;
    }

    return code;
}


static void
sbx_grant_free(sbx_grant_t **p)
{
    if (*p) {
        free((*p)->presented);
        free(*p);
        *p = NULL;
    }
}


sbx_grant_t *
sbx_grant_new(void)
{
    sbx_grant_t  *g, **p;

    p = &sbx_log[++sbx_oa_last % SBX_OA_LOG];
    sbx_grant_free(p);

    g = sbx_oa_alloc(sizeof(sbx_grant_t));
    *p = g;

    g->id = sbx_oa_last;
    g->start = sbx_now;
    g->time = sbx_oa_time();

    sbx_oa_stats.requests++;
    sbx_oa_stats.in_flight++;

    return g;
}


/* NULL: it was forgotten meanwhile */

sbx_grant_t *
sbx_grant_find(uint64_t id)
{
    sbx_grant_t  *g;

    g = sbx_log[id % SBX_OA_LOG];

    return g && g->id == id ? g : NULL;
}


static void
sbx_token_forget(sbx_token_t *t)
{
    t->presented = 0;
    t->reuses = 0;
    t->api = 0;
    t->in_flight = 0;
    t->max_in_flight = 0;
}


void
sbx_oa_forget_log(void)
{
    int           i;
    sbx_token_t  *t;
    sbx_chain_t  *chain;

    for (i = 0; i < SBX_OA_LOG; i++) {
        sbx_grant_free(&sbx_log[i]);
    }

    memset(&sbx_oa_stats, 0, sizeof(sbx_oa_stats));

    for (chain = sbx_oa_chains; chain; chain = chain->next) {
        chain->rotations = 0;
        chain->reuses = 0;
        chain->graces = 0;
        chain->invalid = 0;
        chain->api = 0;
        chain->refused = 0;
        chain->usage = 0;
        chain->profile = 0;
        chain->max_in_flight = 0;

        for (t = chain->newest; t; t = t->older) {
            sbx_token_forget(t);
        }
    }
}


void
sbx_oa_forget_all(void)
{
    sbx_code_t   *code;
    sbx_token_t  *t, *older;
    sbx_chain_t  *chain;

    sbx_oa_forget_log();

    while (sbx_oa_chains) {
        chain = sbx_oa_chains;
        sbx_oa_chains = chain->next;

        for (t = chain->newest; t; t = older) {
            older = t->older;
            free(t->access);
            free(t->refresh);
            free(t);
        }

        sbx_oa_conf_free(&chain->conf);
        free(chain->name);
        free(chain->scope);
        free(chain->client);
        free(chain);
    }

    sbx_oa_tail = &sbx_oa_chains;

    while (sbx_codes) {
        code = sbx_codes;
        sbx_codes = code->next;
        sbx_code_free(code);
    }

    sbx_ncodes = 0;

    memset(sbx_by_access, 0, sizeof(sbx_by_access));
    memset(sbx_by_refresh, 0, sizeof(sbx_by_refresh));
}
