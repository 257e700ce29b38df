
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"


#define SBX_CRED_BUCKETS  4096
#define SBX_CRED_MAX      8192


typedef struct {
    uint64_t          id;
    uint64_t          start;
    uint64_t          conn;
    uint64_t          number;
    uint64_t          sent;
    int64_t           received;
    long              ms;
    int               status;
    int               auth;
    unsigned          done:1;
    unsigned          complete:1;
    unsigned          aborted:1;
    unsigned          tls:1;
    unsigned          resumed:1;
    unsigned          hashed:1;
    unsigned          expect:1;
    size_t            head_len;
    size_t            head_size;
    char             *head;
    size_t            body_len;
    char             *credential;
    size_t            credential_len;
    char              sni[128];
    unsigned char     sha[SHA256_DIGEST_LENGTH];
    char              body[SBX_PREVIEW];
} sbx_record_t;


static sbx_record_t   sbx_ring[SBX_RING];
static uint64_t       sbx_last_id;
static sbx_cred_t    *sbx_creds[SBX_CRED_BUCKETS];
static size_t         sbx_ncreds;

static const char    *sbx_auth_names[] = {
    "none", "x-api-key", "authorization", "both", "other"
};


sbx_cred_t *
sbx_cred_find(const char *p, size_t n)
{
    char        *cmds;
    uint64_t     h;
    sbx_cred_t  *cred, **bucket;

    static const char  mark[] = "sandbox-";

    h = sbx_hash(p, n, 0);
    bucket = &sbx_creds[h % SBX_CRED_BUCKETS];

    for (cred = *bucket; cred; cred = cred->next) {
        if (cred->hash == h && cred->len == n
            && memcmp(cred->name, p, n) == 0)
        {
            return cred;
        }
    }

    if (sbx_ncreds >= SBX_CRED_MAX && !(n == 7 && memcmp(p, "(other)", 7) == 0))
    {
        return sbx_cred_find("(other)", 7);
    }

    cred = calloc(1, sizeof(sbx_cred_t) + n + 1);
    if (cred == NULL) {
        abort();
    }

    memcpy(cred->name, p, n);
    cred->len = n;
    cred->hash = h;
    cred->oauth = (n >= 10 && memcmp(p, "sk-ant-oat", 10) == 0);
    cred->org_len = (size_t)
        snprintf(cred->org, sizeof(cred->org), "anthropic-organization-id: "
                 "5a4db0c5-0000-4000-8000-%012llx\r\n",
                 (unsigned long long) (h & 0xffffffffffffULL));

    cmds = strstr(cred->name, mark);
    if (cmds) {
        cred->cmds = cmds + sizeof(mark) - 1;
    }

    cred->next = *bucket;
    *bucket = cred;
    sbx_ncreds++;

    return cred;
}


static sbx_record_t *
sbx_record_of(sbx_conn_t *c)
{
    sbx_record_t  *rec;

    rec = &sbx_ring[c->req.id % SBX_RING];

    return rec->id == c->req.id ? rec : NULL;
}


void
sbx_record_head(sbx_conn_t *c)
{
    size_t         n;
    sbx_req_t     *r;
    const char    *sni;
    sbx_record_t  *rec;

    r = &c->req;
    r->id = ++sbx_last_id;

    if (sbx_quiet) {
        return;
    }

    rec = &sbx_ring[r->id % SBX_RING];
    n = r->head_len;

    if (rec->head_size < n) {
        free(rec->head);
        rec->head_size = n < 2048 ? 2048 : n;
        rec->head = malloc(rec->head_size);
        if (rec->head == NULL) {
            abort();
        }
    }

    memcpy(rec->head, c->in, n);
    rec->head_len = n;
    rec->credential = NULL;
    rec->credential_len = r->credential.len;

    if (r->credential.len) {
        rec->credential = rec->head + (r->credential.data - c->in);
    }

    rec->id = r->id;
    rec->start = r->start;
    rec->conn = c->number;
    rec->number = c->requests;
    rec->sent = 0;
    rec->received = 0;
    rec->ms = 0;
    rec->status = 0;
    rec->auth = r->auth;
    rec->done = 0;
    rec->complete = 0;
    rec->aborted = 0;
    rec->hashed = 0;
    rec->expect = r->expect;
    rec->body_len = 0;
    rec->tls = c->tls;
    rec->sni[0] = '\0';

    if (c->ssl) {
        rec->resumed = (SSL_session_reused(c->ssl) == 1);
        sni = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
        if (sni) {
            snprintf(rec->sni, sizeof(rec->sni), "%s", sni);
        }
    }
}


/* a body which fits into the preview is hashed when it is reported */

static void
sbx_record_keep(sbx_conn_t *c, sbx_record_t *rec)
{
    SHA256_CTX    sha;
    sbx_req_t    *r;

    r = &c->req;

    rec->received = r->received;
    rec->body_len = r->body.len < SBX_PREVIEW ? r->body.len : SBX_PREVIEW;

    if (rec->body_len) {
        memcpy(rec->body, r->body.data, rec->body_len);
    }

    if (r->hashing) {
        sha = c->sha;
        SHA256_Final(rec->sha, &sha);
        rec->hashed = 1;

    } else if (r->received > SBX_PREVIEW) {
        SHA256((const unsigned char *) r->body.data, r->body.len, rec->sha);
        rec->hashed = 1;
    }
}


void
sbx_record_body(sbx_conn_t *c)
{
    sbx_record_t  *rec;

    rec = sbx_quiet ? NULL : sbx_record_of(c);

    if (rec) {
        sbx_record_keep(c, rec);
    }
}


void
sbx_record_done(sbx_conn_t *c, int aborted)
{
    int            status;
    sbx_req_t     *r;
    sbx_record_t  *rec;

    r = &c->req;

    if (c->grant) {
        sbx_oauth_done(c, aborted);
    }

    status = c->rep.started ? c->rep.status : 0;
    sbx_stats.status[status >= 0 && status < 600 ? status : 0]++;

    if (aborted) {
        sbx_stats.aborted++;
    }

    if (sbx_verbose) {
        fprintf(stderr, "%llu %.*s %.*s %d %llu%s\n",
                (unsigned long long) r->id,
                (int) r->method.len, r->method.data,
                (int) r->target.len, r->target.data, status,
                (unsigned long long) c->sent, aborted ? " aborted" : "");
    }

    if (sbx_quiet) {
        return;
    }

    rec = sbx_record_of(c);

    if (rec == NULL) {
        return;
    }

    if (c->state == SBX_ST_BODY || (c->act.flags & SBX_F_EARLY)) {
        if (r->body.data == NULL) {
            r->body.data = c->body.data;
            r->body.len = c->body.len;
        }
        sbx_record_keep(c, rec);
    }

    rec->status = status;
    rec->sent = c->sent;
    rec->ms = (long) (sbx_now - rec->start);
    rec->aborted = (aborted != 0);
    rec->complete = (!aborted && c->finished);
    rec->done = 1;
}


static const char *
sbx_bool(int v)
{
    return v ? "true" : "false";
}


static void
sbx_record_head_json(sbx_buf_t *b, sbx_record_t *rec)
{
    int          n;
    const char  *p, *eol, *end, *sp, *q;

    p = rec->head;
    end = p + rec->head_len;
    n = 0;

    eol = memchr(p, '\r', (size_t) (end - p));
    sp = memchr(p, ' ', (size_t) (eol - p));
    q = memchr(sp + 1, ' ', (size_t) (eol - sp - 1));

    sbx_lit(b, ",\"method\":\"");
    sbx_put_json(b, p, (size_t) (sp - p));
    sbx_lit(b, "\",\"target\":\"");
    sbx_put_json(b, sp + 1, (size_t) (q - sp - 1));
    sbx_lit(b, "\",\"headers\":[");

    for (p = eol + 2; p < end - 2; p = eol + 2) {
        eol = memchr(p, '\r', (size_t) (end - p));
        sbx_put(b, ",\"", n++ ? 2 : 0);
        sbx_put(b, "\"", n == 1);
        sbx_put_json(b, p, (size_t) (eol - p));
        sbx_lit(b, "\"");
    }

    sbx_lit(b, "]");
}


static void
sbx_record_one(sbx_buf_t *b, sbx_record_t *rec)
{
    int            i;
    unsigned char  sha[SHA256_DIGEST_LENGTH];

    sbx_putf(b, "{\"id\":%llu", (unsigned long long) rec->id);
    sbx_record_head_json(b, rec);

    sbx_putf(b, ",\"body_length\":%lld,\"body_sha256\":\"",
             (long long) rec->received);

    if (rec->hashed) {
        memcpy(sha, rec->sha, sizeof(sha));

    } else {
        SHA256((const unsigned char *) rec->body, rec->body_len, sha);
    }

    for (i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        sbx_put_hex(b, sha[i], 2);
    }

    sbx_lit(b, "\",\"body\":\"");
    sbx_put_json(b, rec->body, rec->body_len);
    sbx_lit(b, "\",\"credential\":");

    if (rec->credential) {
        sbx_lit(b, "\"");
        sbx_put_json(b, rec->credential, rec->credential_len);
        sbx_lit(b, "\"");

    } else {
        sbx_lit(b, "null");
    }

    sbx_putf(b, ",\"auth\":\"%s\",\"connection\":%llu,\"request\":%llu,"
             "\"tls\":%s,\"sni\":", sbx_auth_names[rec->auth],
             (unsigned long long) rec->conn, (unsigned long long) rec->number,
             sbx_bool(rec->tls));

    if (rec->sni[0]) {
        sbx_lit(b, "\"");
        sbx_put_json(b, rec->sni, strlen(rec->sni));
        sbx_lit(b, "\"");

    } else {
        sbx_lit(b, "null");
    }

    sbx_putf(b, ",\"resumed\":%s,\"expect\":%s,\"status\":%d,"
             "\"bytes_sent\":%llu,\"done\":%s,\"complete\":%s,"
             "\"aborted\":%s,\"ms\":%ld}",
             sbx_bool(rec->tls && rec->resumed), sbx_bool(rec->expect),
             rec->status, (unsigned long long) rec->sent,
             sbx_bool(rec->done), sbx_bool(rec->complete),
             sbx_bool(rec->aborted), rec->ms);
}


/* the last n requests after "since", the oldest first */

void
sbx_record_json(sbx_buf_t *b, int n, uint64_t since)
{
    int            first;
    uint64_t       id;
    sbx_record_t  *rec;

    if (n < 1) {
        n = 1;
    }

    if (n > SBX_RING) {
        n = SBX_RING;
    }

    id = sbx_last_id >= (uint64_t) n ? sbx_last_id - (uint64_t) n + 1 : 1;
    first = 1;

    sbx_lit(b, "[");

    for ( /* void */ ; id <= sbx_last_id; id++) {
        rec = &sbx_ring[id % SBX_RING];

        if (rec->id != id || id <= since) {
            continue;
        }

        if (!first) {
            sbx_lit(b, ",\n");
        }

        first = 0;
        sbx_record_one(b, rec);
    }

    sbx_lit(b, "]\n");
}


void
sbx_stats_json(sbx_buf_t *b)
{
    int           i, first;
    sbx_cred_t   *cred;
    sbx_stats_t  *s;

    s = &sbx_stats;

    sbx_putf(b, "{\"connections\":%llu,\"open\":%llu,\"used\":%llu,"
             "\"requests\":%llu,\"aborted\":%llu,\"bad\":%llu,"
             "\"tls_handshakes\":%llu,\"tls_errors\":%llu,"
             "\"tls_resumed\":%llu,\"last_id\":%llu,\"status\":{",
             (unsigned long long) s->accepted, (unsigned long long) s->open,
             (unsigned long long) s->used, (unsigned long long) s->requests,
             (unsigned long long) s->aborted, (unsigned long long) s->bad,
             (unsigned long long) s->handshakes,
             (unsigned long long) s->handshake_errors,
             (unsigned long long) s->resumed,
             (unsigned long long) sbx_last_id);

    first = 1;

    for (i = 0; i < 600; i++) {
        if (s->status[i]) {
            sbx_putf(b, "%s\"%d\":%llu", first ? "" : ",", i,
                     (unsigned long long) s->status[i]);
            first = 0;
        }
    }

    sbx_lit(b, "},\"credentials\":{");

    first = 1;

    for (i = 0; i < SBX_CRED_BUCKETS; i++) {
        for (cred = sbx_creds[i]; cred; cred = cred->next) {
            if (cred->requests == 0) {
                continue;
            }
            sbx_puts(b, first ? "\"" : ",\"");
            sbx_put_json(b, cred->name, cred->len);
            sbx_putf(b, "\":%llu", (unsigned long long) cred->requests);
            first = 0;
        }
    }

    sbx_lit(b, "}}\n");
}


/* credentials are kept: connections and objects point to them */

void
sbx_record_forget(void)
{
    int          i;
    uint64_t     open, accepted;
    sbx_cred_t  *cred;

    for (i = 0; i < SBX_RING; i++) {
        free(sbx_ring[i].head);
        memset(&sbx_ring[i], 0, sizeof(sbx_record_t));
    }

    for (i = 0; i < SBX_CRED_BUCKETS; i++) {
        for (cred = sbx_creds[i]; cred; cred = cred->next) {
            cred->requests = 0;
            free(cred->behave);
            cred->behave = NULL;
        }
    }

    open = sbx_stats.open;
    accepted = sbx_stats.accepted;
    memset(&sbx_stats, 0, sizeof(sbx_stats));
    sbx_stats.open = open;
    sbx_stats.accepted = accepted;
}
