
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"


#define SBX_STORE     1024
#define SBX_IDS_MAX   16384
#define SBX_FILE_MAX  65536


typedef enum {
    SBX_OBJ_NONE = 0,
    SBX_OBJ_BATCH,
    SBX_OBJ_FILE
} sbx_obj_e;


/* batches and files belong to the credential which made them */

typedef struct {
    int               kind;
    sbx_cred_t       *cred;
    time_t            created;
    int               polls;
    int               canceled;
    int64_t           size;
    long              requests;
    sbx_buf_t         data;          /* custom ids or contents */
    size_t            content;       /* offset of the contents in data */
    char              id[40];
    char              type[64];
} sbx_obj_t;


typedef struct {
    const char       *id;
    const char       *name;
    const char       *created;
} sbx_model_t;


static sbx_obj_t  sbx_store[SBX_STORE];
static uint64_t   sbx_last;

static const sbx_model_t  sbx_models[] = {
    { "claude-opus-5", "Claude Opus 5", "2026-07-24" },
    { "claude-opus-4-8", "Claude Opus 4.8", "2026-04-30" },
    { "claude-sonnet-4-6", "Claude Sonnet 4.6", "2026-02-17" },
    { "claude-opus-4-5-20251101", "Claude Opus 4.5", "2025-11-24" },
    { "claude-haiku-4-5-20251001", "Claude Haiku 4.5", "2025-10-15" },
    { "claude-sonnet-4-5-20250929", "Claude Sonnet 4.5", "2025-09-29" },
    { NULL, NULL, NULL }
};


static void
sbx_put_date(sbx_buf_t *b, const char *name, time_t t)
{
    char       text[32];
    struct tm  tm;

    sbx_putf(b, ",\"%s\":", name);

    if (t == 0) {
        sbx_lit(b, "null");
        return;
    }

    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    sbx_putf(b, "\"%s\"", text);
}


static sbx_obj_t *
sbx_obj_new(sbx_conn_t *c, int kind, const char *prefix)
{
    sbx_obj_t  *o;

    o = &sbx_store[++sbx_last % SBX_STORE];

    free(o->data.data);
    memset(o, 0, sizeof(sbx_obj_t));

    o->kind = kind;
    o->cred = c->req.cred;
    o->created = sbx_time;

    snprintf(o->id, sizeof(o->id), "%s_01Sandbox%012llx", prefix,
             (unsigned long long) sbx_last);

    return o;
}


/* an unknown id and the id of another credential look the same */

static sbx_obj_t *
sbx_obj_find(sbx_conn_t *c, int kind, sbx_str_t *id)
{
    int         i;
    sbx_obj_t  *o;

    for (i = 0; i < SBX_STORE; i++) {
        o = &sbx_store[i];

        if (o->kind == kind && o->cred == c->req.cred
            && strlen(o->id) == id->len
            && memcmp(o->id, id->data, id->len) == 0)
        {
            return o;
        }
    }

    return NULL;
}


static void
sbx_obj_free(sbx_obj_t *o)
{
    free(o->data.data);
    memset(o, 0, sizeof(sbx_obj_t));
}


static long
sbx_limit(sbx_conn_t *c)
{
    long       n;
    sbx_buf_t  v;

    n = 20;
    memset(&v, 0, sizeof(v));

    if (sbx_arg(&c->req.args, "limit", &v) == SBX_OK) {
        n = atol(v.data);
    }

    free(v.data);

    return n < 1 ? 1 : n;
}


static void
sbx_list_end(sbx_buf_t *b, int more, const char *first, const char *last)
{
    sbx_putf(b, "],\"has_more\":%s", more ? "true" : "false");

    if (first) {
        sbx_putf(b, ",\"first_id\":\"%s\",\"last_id\":\"%s\"}", first, last);

    } else {
        sbx_lit(b, ",\"first_id\":null,\"last_id\":null}");
    }
}


static void
sbx_list(sbx_conn_t *c, int kind, void (*put)(sbx_buf_t *b, sbx_obj_t *o))
{
    long         n, limit;
    uint64_t     i;
    sbx_obj_t   *o;
    const char  *first, *last;

    n = 0;
    limit = sbx_limit(c);
    first = last = NULL;

    sbx_lit(&c->text, "{\"data\":[");

    for (i = 0; i < SBX_STORE && i < sbx_last; i++) {
        o = &sbx_store[(sbx_last - i) % SBX_STORE];

        if (o->kind != kind || o->cred != c->req.cred) {
            continue;
        }

        if (n++ == limit) {
            break;
        }

        if (first == NULL) {
            first = o->id;

        } else {
            sbx_lit(&c->text, ",");
        }

        last = o->id;
        put(&c->text, o);
    }

    sbx_list_end(&c->text, n > limit, first, last);
    sbx_anthropic_json(c);
}


static void
sbx_put_batch(sbx_buf_t *b, sbx_obj_t *o)
{
    int   ended;
    long  done, canceled;

    ended = o->polls > 0;
    done = ended && !o->canceled ? o->requests : 0;
    canceled = ended && o->canceled ? o->requests : 0;

    sbx_putf(b, "{\"id\":\"%s\",\"type\":\"message_batch\","
             "\"processing_status\":\"%s\",\"request_counts\":{"
             "\"processing\":%ld,\"succeeded\":%ld,\"errored\":0,"
             "\"canceled\":%ld,\"expired\":0}", o->id,
             ended ? "ended" : o->canceled ? "canceling" : "in_progress",
             ended ? 0 : o->requests, done, canceled);

    sbx_put_date(b, "created_at", o->created);
    sbx_put_date(b, "expires_at", o->created + 86400);
    sbx_put_date(b, "ended_at", ended ? o->created : 0);
    sbx_put_date(b, "archived_at", 0);
    sbx_put_date(b, "cancel_initiated_at", o->canceled ? o->created : 0);

    if (ended) {
        sbx_putf(b, ",\"results_url\":\"https://api.anthropic.com/v1/messages/"
                 "batches/%s/results\"}", o->id);

    } else {
        sbx_lit(b, ",\"results_url\":null}");
    }
}


static void
sbx_batch_results(sbx_conn_t *c, sbx_obj_t *o)
{
    size_t       n;
    sbx_buf_t    message;
    const char  *p, *end;

    memset(&message, 0, sizeof(message));

    c->ask.model.data = "claude-sonnet-4-5";
    c->ask.model.len = sizeof("claude-sonnet-4-5") - 1;
    c->ask.tool = 0;
    c->ask.has_quote = 0;
    sbx_anthropic_message(c, &message);

    p = o->data.data;
    end = p + o->data.len;

    for ( /* void */ ; p < end; p += n + 1) {
        n = strlen(p);

        sbx_lit(&c->text, "{\"custom_id\":\"");
        sbx_put(&c->text, p, n);

        if (o->canceled) {
            sbx_lit(&c->text, "\",\"result\":{\"type\":\"canceled\"}}\n");
            continue;
        }

        sbx_lit(&c->text, "\",\"result\":{\"type\":\"succeeded\","
                          "\"message\":");
        sbx_put(&c->text, message.data, message.len);
        sbx_lit(&c->text, "}}\n");
    }

    free(message.data);

    sbx_anthropic_json(c);
    c->rep.ctype = "application/x-jsonl";
}


static void
sbx_batch_create(sbx_conn_t *c)
{
    sbx_obj_t   *o;
    sbx_str_t    list, item, id;
    const char  *pos;

    if (sbx_json_get(&c->req.body, "requests", &list) != SBX_OK
        || list.data[0] != '[')
    {
        sbx_anthropic_error(c, 400, NULL, "requests: Field required");
        return;
    }

    o = sbx_obj_new(c, SBX_OBJ_BATCH, "msgbatch");
    pos = NULL;

    while (sbx_json_item(&list, &pos, &item) == SBX_OK) {
        o->requests++;

        if (sbx_json_get(&item, "custom_id", &id) == SBX_OK && id.len > 2
            && o->data.len + id.len < SBX_IDS_MAX)
        {
            sbx_put(&o->data, id.data + 1, id.len - 2);
            sbx_put(&o->data, "", 1);
        }
    }

    sbx_put_batch(&c->text, o);
    sbx_anthropic_json(c);
}


static int
sbx_obj_path(sbx_str_t *rest, sbx_str_t *id, sbx_str_t *verb)
{
    const char  *p, *end, *slash;

    p = rest->data + 1;
    end = rest->data + rest->len;
    slash = memchr(p, '/', (size_t) (end - p));

    id->data = p;
    id->len = (size_t) ((slash ? slash : end) - p);
    verb->data = slash ? slash + 1 : end;
    verb->len = (size_t) (end - verb->data);

    return id->len ? SBX_OK : SBX_ERROR;
}


static void
sbx_deleted(sbx_conn_t *c, sbx_obj_t *o, const char *type)
{
    sbx_putf(&c->text, "{\"id\":\"%s\",\"type\":\"%s\"}", o->id, type);
    sbx_obj_free(o);
    sbx_anthropic_json(c);
}


/* a batch has ended when it is asked for the first time */

int
sbx_anthropic_batches(sbx_conn_t *c, sbx_str_t *rest)
{
    int         get, post;
    sbx_str_t   id, verb;
    sbx_obj_t  *o;

    get = sbx_is(&c->req.method, "GET") || c->req.head;
    post = sbx_is(&c->req.method, "POST");

    if (rest->len == 0) {

        if (post) {
            sbx_batch_create(c);
            return SBX_OK;
        }

        if (get) {
            sbx_list(c, SBX_OBJ_BATCH, sbx_put_batch);
            return SBX_OK;
        }

        return SBX_DECLINED;
    }

    if (sbx_obj_path(rest, &id, &verb) != SBX_OK) {
        return SBX_DECLINED;
    }

    o = sbx_obj_find(c, SBX_OBJ_BATCH, &id);
    if (o == NULL) {
        return SBX_DECLINED;
    }

    if (get && verb.len == 0) {
        o->polls++;

    } else if (get && sbx_is(&verb, "results")) {
        o->polls++;
        sbx_batch_results(c, o);
        return SBX_OK;

    } else if (post && sbx_is(&verb, "cancel")) {
        o->canceled = 1;

    } else if (sbx_is(&c->req.method, "DELETE") && verb.len == 0) {
        sbx_deleted(c, o, "message_batch_deleted");
        return SBX_OK;

    } else {
        return SBX_DECLINED;
    }

    sbx_put_batch(&c->text, o);
    sbx_anthropic_json(c);

    return SBX_OK;
}


static void
sbx_put_file(sbx_buf_t *b, sbx_obj_t *o)
{
    sbx_putf(b, "{\"id\":\"%s\",\"type\":\"file\",\"filename\":\"", o->id);
    sbx_put_json(b, o->data.data, o->content);
    sbx_lit(b, "\",\"mime_type\":\"");
    sbx_put_json(b, o->type, strlen(o->type));
    sbx_putf(b, "\",\"size_bytes\":%lld,\"downloadable\":true",
             (long long) o->size);
    sbx_put_date(b, "created_at", o->created);
    sbx_lit(b, "}");
}


/* the value of a parameter or of a header in the head of a part */

static sbx_str_t
sbx_part_value(const char *p, const char *end, const char *name, char stop)
{
    sbx_str_t    v;
    const char  *q;

    v.data = "";
    v.len = 0;

    p = memmem(p, (size_t) (end - p), name, strlen(name));

    if (p) {
        p += strlen(name);
        q = memchr(p, stop, (size_t) (end - p));
        v.data = p;
        v.len = (size_t) ((q ? q : end) - p);
    }

    return v;
}


/* the first part with a file name; a long file is kept only partly */

static int
sbx_file_part(sbx_conn_t *c, sbx_obj_t *o)
{
    size_t       n, line;
    sbx_str_t    body, name, type, mark;
    const char  *p, *head, *end, *stop;

    body = c->req.body;
    end = body.data + body.len;
    p = body.len ? memmem(body.data, body.len, "\r\n", 2) : NULL;

    if (p == NULL || p == body.data || body.data[0] != '-') {
        return SBX_ERROR;
    }

    mark.data = body.data;
    mark.len = (size_t) (p - body.data);
    line = mark.len + 2;

    for (head = p + 2; head < end; head = stop + 2 + mark.len + 2) {

        p = memmem(head, (size_t) (end - head), "\r\n\r\n", 4);
        if (p == NULL) {
            return SBX_ERROR;
        }

        name = sbx_part_value(head, p, "filename=\"", '"');
        type = sbx_part_value(head, p, "Content-Type: ", '\r');

        if (type.len == 0) {
            type = sbx_part_value(head, p, "content-type: ", '\r');
        }

        p += 4;

        for (stop = p; stop < end; stop++) {
            stop = memmem(stop, (size_t) (end - stop), "\r\n--", 4);
            if (stop == NULL
                || ((size_t) (end - stop) >= line
                    && memcmp(stop + 2, mark.data, mark.len) == 0))
            {
                break;
            }
        }

        if (stop == NULL || stop >= end) {
            stop = end;
            o->size = c->req.received - (p - body.data)
                      - (int64_t) (mark.len + 6);

        } else {
            o->size = stop - p;
        }

        if (name.len) {
            n = (size_t) (stop - p);
            sbx_put(&o->data, name.data, name.len);
            o->content = name.len;
            sbx_put(&o->data, p, n < SBX_FILE_MAX ? n : SBX_FILE_MAX);
            snprintf(o->type, sizeof(o->type), "%.*s",
                     type.len ? (int) type.len : 24,
                     type.len ? type.data : "application/octet-stream");
            return SBX_OK;
        }

        if ((size_t) (end - stop) < line + 2) {
            break;
        }
    }

    return SBX_ERROR;
}


static void
sbx_file_create(sbx_conn_t *c)
{
    sbx_obj_t  *o;

    if (c->req.ctype.len < 10
        || strncasecmp(c->req.ctype.data, "multipart/", 10) != 0)
    {
        sbx_anthropic_error(c, 400, NULL, "file: Field required");
        return;
    }

    o = sbx_obj_new(c, SBX_OBJ_FILE, "file");

    if (sbx_file_part(c, o) != SBX_OK) {
        sbx_obj_free(o);
        sbx_anthropic_error(c, 400, NULL, "file: Field required");
        return;
    }

    sbx_put_file(&c->text, o);
    sbx_anthropic_json(c);
}


static void
sbx_file_content(sbx_conn_t *c, sbx_obj_t *o)
{
    sbx_put(&c->text, o->data.data + o->content, o->data.len - o->content);
    sbx_anthropic_json(c);
    c->rep.ctype = "application/octet-stream";
}


int
sbx_anthropic_files(sbx_conn_t *c, sbx_str_t *rest)
{
    int         get;
    sbx_str_t   id, verb;
    sbx_obj_t  *o;

    get = sbx_is(&c->req.method, "GET") || c->req.head;

    if (rest->len == 0) {

        if (sbx_is(&c->req.method, "POST")) {
            sbx_file_create(c);
            return SBX_OK;
        }

        if (get) {
            sbx_list(c, SBX_OBJ_FILE, sbx_put_file);
            return SBX_OK;
        }

        return SBX_DECLINED;
    }

    if (sbx_obj_path(rest, &id, &verb) != SBX_OK) {
        return SBX_DECLINED;
    }

    o = sbx_obj_find(c, SBX_OBJ_FILE, &id);
    if (o == NULL) {
        return SBX_DECLINED;
    }

    if (get && verb.len == 0) {
        sbx_put_file(&c->text, o);
        sbx_anthropic_json(c);

    } else if (get && sbx_is(&verb, "content")) {
        sbx_file_content(c, o);

    } else if (sbx_is(&c->req.method, "DELETE") && verb.len == 0) {
        sbx_deleted(c, o, "file_deleted");

    } else {
        return SBX_DECLINED;
    }

    return SBX_OK;
}


static void
sbx_put_model(sbx_buf_t *b, const sbx_model_t *m)
{
    sbx_putf(b, "{\"type\":\"model\",\"id\":\"%s\",\"display_name\":\"%s\","
             "\"created_at\":\"%sT00:00:00Z\",\"max_input_tokens\":200000,"
             "\"max_tokens\":64000}", m->id, m->name, m->created);
}


static void
sbx_models_list(sbx_conn_t *c)
{
    long          i, n, limit, from;
    sbx_buf_t     v;
    const char   *first, *last;

    memset(&v, 0, sizeof(v));
    limit = sbx_limit(c);
    first = last = NULL;
    from = 0;

    if (sbx_arg(&c->req.args, "after_id", &v) == SBX_OK) {
        for (i = 0; sbx_models[i].id; i++) {
            if (strcmp(sbx_models[i].id, v.data) == 0) {
                from = i + 1;
            }
        }
    }

    free(v.data);

    sbx_lit(&c->text, "{\"data\":[");

    for (i = from, n = 0; sbx_models[i].id && n < limit; i++, n++) {
        if (n) {
            sbx_lit(&c->text, ",");

        } else {
            first = sbx_models[i].id;
        }

        last = sbx_models[i].id;
        sbx_put_model(&c->text, &sbx_models[i]);
    }

    sbx_list_end(&c->text, sbx_models[i].id != NULL, first, last);
    sbx_anthropic_json(c);
}


int
sbx_anthropic_models(sbx_conn_t *c, sbx_str_t *rest)
{
    int   i;
    char  text[160];

    if (!sbx_is(&c->req.method, "GET") && !c->req.head) {
        return SBX_DECLINED;
    }

    if (rest->len == 0) {
        sbx_models_list(c);
        return SBX_OK;
    }

    for (i = 0; sbx_models[i].id; i++) {
        if (strlen(sbx_models[i].id) == rest->len - 1
            && memcmp(sbx_models[i].id, rest->data + 1, rest->len - 1) == 0)
        {
            sbx_put_model(&c->text, &sbx_models[i]);
            sbx_anthropic_json(c);
            return SBX_OK;
        }
    }

    snprintf(text, sizeof(text), "model: %.*s", (int) rest->len - 1,
             rest->data + 1);
    sbx_anthropic_error(c, 404, NULL, text);

    return SBX_OK;
}


void
sbx_anthropic_forget(void)
{
    int  i;

    for (i = 0; i < SBX_STORE; i++) {
        sbx_obj_free(&sbx_store[i]);
    }
}
