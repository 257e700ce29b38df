
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * AWS's three places for these models (anthropic.md I.1): the runtime, which
 * takes a body of its own and answers with frames; and two that speak the
 * Messages API as it is, behind AWS's signature.
 */


#include "ncr_bedrock.h"
#include "ncr_platform.h"
#include "ncr_sigv4.h"
#include "ncr_str.h"
#include "ncr_uri.h"
#include "ncr_verdict.h"


/* fields of accounts, in their order */

typedef enum {
    NCR_BEDROCK_REGION = 0,
    NCR_BEDROCK_PREFIX,
    NCR_BEDROCK_BETAS
} ncr_bedrock_param_e;

#define NCR_BEDROCK_WORKSPACE  1        /* of Claude Platform on AWS */


#define NCR_BEDROCK_VERSION  "\"bedrock-2023-05-31\""

#define ncr_bedrock_bit(name)  ((uint64_t) 1 << (name))

/* I.3; "stream" and "model" are told by the path */
#define NCR_BEDROCK_REMOVED                                                   \
    (ncr_bedrock_bit(NCR_ANTHROPIC_MODEL)                                     \
     | ncr_bedrock_bit(NCR_ANTHROPIC_STREAM)                                  \
     | ncr_bedrock_bit(NCR_ANTHROPIC_METADATA)                                \
     | ncr_bedrock_bit(NCR_ANTHROPIC_M_SERVICE_TIER)                          \
     | ncr_bedrock_bit(NCR_ANTHROPIC_M_CONTAINER)                             \
     | ncr_bedrock_bit(NCR_ANTHROPIC_M_MCP_SERVERS)                           \
     | ncr_bedrock_bit(NCR_ANTHROPIC_M_FALLBACKS)                             \
     | ncr_bedrock_bit(NCR_ANTHROPIC_M_SPEED)                                 \
     | ncr_bedrock_bit(NCR_ANTHROPIC_M_INFERENCE_GEO)                         \
     | ncr_bedrock_bit(NCR_ANTHROPIC_M_DIAGNOSTICS)                           \
     | ncr_bedrock_bit(NCR_ANTHROPIC_M_CACHE_CONTROL)                         \
     | ncr_bedrock_bit(NCR_ANTHROPIC_M_VERSION))


static ncr_credential_e ncr_bedrock_credential(ncr_str_t *secret);
static const char *ncr_bedrock_check_region(ncr_str_t *value);
static const char *ncr_bedrock_check_prefix(ncr_str_t *value);
static const char *ncr_bedrock_check_betas(ncr_str_t *value);
static const char *ncr_bedrock_check_workspace(ncr_str_t *value);
static ncr_str_t ncr_bedrock_base(ncr_str_t *params, ncr_char_t *buf,
    size_t size);
static ncr_str_t ncr_bedrock_mantle_base(ncr_str_t *params, ncr_char_t *buf,
    size_t size);
static ncr_str_t ncr_bedrock_aws_base(ncr_str_t *params, ncr_char_t *buf,
    size_t size);
static ncr_str_t ncr_bedrock_url(ncr_str_t *params, const char *name,
    const char *domain, ncr_char_t *buf, size_t size);
static void ncr_bedrock_proof(ncr_out_t *out, ncr_str_t *secret,
    ncr_str_t *params, ncr_str_t *meta);
static ncr_uint_t ncr_bedrock_split(ncr_str_t *secret, ncr_str_t *parts);

static ncr_int_t ncr_bedrock_way(ncr_way_t *way);
static ncr_int_t ncr_bedrock_native(ncr_way_t *way);
static ncr_int_t ncr_bedrock_target(ncr_way_t *way, ncr_str_t *id,
    const char *action);
static ncr_int_t ncr_bedrock_body(ncr_way_t *way);
static void ncr_bedrock_betas(ncr_way_t *way, ncr_out_t *out);
static ncr_uint_t ncr_bedrock_there(ncr_str_t *made, ncr_str_t *beta);
static ncr_int_t ncr_bedrock_count(ncr_way_t *way);
static ncr_int_t ncr_bedrock_mantle_way(ncr_way_t *way);
static ncr_int_t ncr_bedrock_aws_way(ncr_way_t *way);
static ncr_int_t ncr_bedrock_messages(ncr_way_t *way);
static ncr_int_t ncr_bedrock_refuse(ncr_way_t *way, ncr_uint_t status,
    const char *error);

static ncr_int_t ncr_bedrock_sign(ncr_way_t *way, ncr_char_t *digest);
static ncr_int_t ncr_bedrock_mantle_sign(ncr_way_t *way,
    ncr_char_t *digest);
static ncr_int_t ncr_bedrock_aws_sign(ncr_way_t *way, ncr_char_t *digest);
static ncr_int_t ncr_bedrock_signed(ncr_way_t *way, ncr_char_t *digest,
    const char *service);
static void ncr_bedrock_header(ncr_sigv4_t *sig, const char *name,
    ncr_str_t *value);

static void ncr_bedrock_limits(ncr_limits_t *limits, ncr_str_t *name,
    ncr_str_t *value, ncr_msec_t now);
static void ncr_bedrock_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v);
static ncr_uint_t ncr_bedrock_by_text(ncr_reply_t *reply,
    ncr_rests_t *rests, ncr_verdict_t *v);


/* I.3, accepted in 2026; the list is a field, as it will not stay so */

#define NCR_BEDROCK_ACCEPTED                                                  \
    "computer-use-2024-10-22,computer-use-2025-01-24,"                        \
    "context-1m-2025-08-07,context-management-2025-06-27,"                    \
    "dev-full-thinking-2025-05-14,"                                           \
    "fine-grained-tool-streaming-2025-05-14,"                                 \
    "interleaved-thinking-2025-05-14,mcp-client-2025-04-04,"                  \
    "mcp-client-2025-11-20,model-context-window-exceeded-2025-08-26,"         \
    "output-128k-2025-02-19,pdfs-2024-09-25,search-results-2025-06-09,"       \
    "token-counting-2024-11-01,token-efficient-tools-2025-02-19,"             \
    "tool-search-tool-2025-10-19,web-search-2025-03-05"


static const ncr_param_t  ncr_bedrock_params[] = {
    { ncr_string("region"), ncr_string("us-east-1"), 0,
      ncr_bedrock_check_region },
    { ncr_string("model_prefix"), ncr_string("global"), 0,
      ncr_bedrock_check_prefix },
    { ncr_string("betas"), ncr_string(NCR_BEDROCK_ACCEPTED), 0,
      ncr_bedrock_check_betas },
    { ncr_null_string, ncr_null_string, 0, NULL }
};


static const ncr_param_t  ncr_bedrock_aws_params[] = {
    { ncr_string("region"), ncr_string("us-east-1"), 0,
      ncr_bedrock_check_region },
    { ncr_string("workspace"), ncr_string(""), 0,
      ncr_bedrock_check_workspace },
    { ncr_null_string, ncr_null_string, 0, NULL }
};


ncr_platform_t  ncr_platform_bedrock = {
    .name = ncr_string("bedrock"),
    .base_url = ncr_string(""),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_COUNT_TOKENS)
           | ncr_op_bit(NCR_OP_MODELS)
           | ncr_op_bit(NCR_OP_INVOKE)
           | ncr_op_bit(NCR_OP_INVOKE_STREAM)
           | ncr_op_bit(NCR_OP_INVOKE_COUNT)
           | ncr_op_bit(NCR_OP_PROFILES),
    .credential = ncr_bedrock_credential,
    .classify = ncr_bedrock_classify,
    .provider = "aws.bedrock",
    .params = ncr_bedrock_params,
    .base = ncr_bedrock_base,
    .proof = ncr_bedrock_proof,
    .way = ncr_bedrock_way,
    .sign = ncr_bedrock_sign,
    .translation = &ncr_bedrock_translation,
    .limits = ncr_bedrock_limits
};


ncr_platform_t  ncr_platform_bedrock_mantle = {
    .name = ncr_string("bedrock-mantle"),
    .base_url = ncr_string(""),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_COUNT_TOKENS)
           | ncr_op_bit(NCR_OP_MODELS),
    .credential = ncr_bedrock_credential,
    .classify = ncr_bedrock_classify,
    .provider = "aws.bedrock",
    .params = ncr_bedrock_aws_params,
    .base = ncr_bedrock_mantle_base,
    .proof = ncr_bedrock_proof,
    .way = ncr_bedrock_mantle_way,
    .sign = ncr_bedrock_mantle_sign,
    .limits = ncr_bedrock_limits
};


ncr_platform_t  ncr_platform_claude_aws = {
    .name = ncr_string("claude-aws"),
    .base_url = ncr_string(""),
    .ops = ncr_op_bit(NCR_OP_MESSAGES)
           | ncr_op_bit(NCR_OP_COUNT_TOKENS)
           | ncr_op_bit(NCR_OP_MODELS),
    .credential = ncr_bedrock_credential,
    .classify = ncr_bedrock_classify,
    .provider = "anthropic",
    .params = ncr_bedrock_aws_params,
    .base = ncr_bedrock_aws_base,
    .proof = ncr_bedrock_proof,
    .way = ncr_bedrock_aws_way,
    .sign = ncr_bedrock_aws_sign,
    .limits = ncr_bedrock_limits
};


/* of AWS's clients, and of the Messages API, what AWS is not to see */

static const char *const  ncr_bedrock_dropped[] = {
    "content-type", "anthropic-version", "anthropic-beta",
    "anthropic-dangerous-direct-browser-access", "anthropic-workspace-id",
    "x-amz-date", "x-amz-security-token", "x-amz-content-sha256",
    "x-app", "x-claude-code-session-id", "x-stainless-arch",
    "x-stainless-helper-method", "x-stainless-lang", "x-stainless-os",
    "x-stainless-package-version", "x-stainless-retry-count",
    "x-stainless-runtime", "x-stainless-runtime-version",
    "x-stainless-timeout", NULL
};


/* where the Messages API is spoken, its headers are understood */

static const char *const  ncr_bedrock_signed_over[] = {
    "content-type", "anthropic-workspace-id", "x-amz-date",
    "x-amz-security-token", "x-amz-content-sha256", NULL
};


static ncr_credential_e
ncr_bedrock_credential(ncr_str_t *secret)
{
    (void) secret;

    return NCR_CREDENTIAL_BEARER;
}


static const char *
ncr_bedrock_check_region(ncr_str_t *value)
{
    size_t      i;
    ncr_char_t  c;

    /* it becomes a part of a host name */

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) {
            return "is no region";
        }
    }

    return (value->len == 0 || value->len > 32) ? "is no region" : NULL;
}


static const char *
ncr_bedrock_check_prefix(ncr_str_t *value)
{
    size_t      i;
    ncr_char_t  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (!((c >= 'a' && c <= 'z') || c == '-')) {
            return "is no prefix of inference profiles";
        }
    }

    return (value->len == 0 || value->len > 16)
           ? "is no prefix of inference profiles" : NULL;
}


static const char *
ncr_bedrock_check_betas(ncr_str_t *value)
{
    size_t      i;
    ncr_char_t  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'
              || c == ',' || c == '_' || c == '.'))
        {
            return "is no list of betas, with commas between them";
        }
    }

    return (value->len > 2048) ? "is too long" : NULL;
}


static const char *
ncr_bedrock_check_workspace(ncr_str_t *value)
{
    size_t      i;
    ncr_char_t  c;

    for (i = 0; i < value->len; i++) {
        c = value->data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9') || c == '-' || c == '_'))
        {
            return "is no id of a workspace";
        }
    }

    return (value->len > 128) ? "is too long" : NULL;
}


static ncr_str_t
ncr_bedrock_base(ncr_str_t *params, ncr_char_t *buf, size_t size)
{
    return ncr_bedrock_url(params, "https://bedrock-runtime.",
                           ncr_str_prefix(&params[NCR_BEDROCK_REGION], "cn-")
                           ? ".amazonaws.com.cn" : ".amazonaws.com",
                           buf, size);
}


static ncr_str_t
ncr_bedrock_mantle_base(ncr_str_t *params, ncr_char_t *buf, size_t size)
{
    return ncr_bedrock_url(params, "https://bedrock-mantle.",
                           ".api.aws/anthropic", buf, size);
}


static ncr_str_t
ncr_bedrock_aws_base(ncr_str_t *params, ncr_char_t *buf, size_t size)
{
    return ncr_bedrock_url(params, "https://aws-external-anthropic.",
                           ".api.aws", buf, size);
}


static ncr_str_t
ncr_bedrock_url(ncr_str_t *params, const char *name, const char *domain,
    ncr_char_t *buf, size_t size)
{
    ncr_out_t  out;
    ncr_str_t  url;

    ncr_out_init(&out, buf, size);
    ncr_out_text(&out, name);
    ncr_out_str(&out, &params[NCR_BEDROCK_REGION]);
    ncr_out_text(&out, domain);

    url.data = buf;
    url.len = out.overflow ? 0 : (size_t) (out.last - out.start);

    return url;
}


/* a key of two or three parts signs (see sign()); one of one is shown (I.5) */

static void
ncr_bedrock_proof(ncr_out_t *out, ncr_str_t *secret, ncr_str_t *params,
    ncr_str_t *meta)
{
    ncr_str_t  parts[3];

    (void) params;
    (void) meta;

    if (ncr_bedrock_split(secret, parts) > 1) {
        return;
    }

    ncr_out_text(out, "Authorization: Bearer ");
    ncr_out_str(out, secret);
    ncr_out_text(out, "\r\n");
}


/* "AKID:SECRET[:TOKEN]": how many parts there are */

static ncr_uint_t
ncr_bedrock_split(ncr_str_t *secret, ncr_str_t *parts)
{
    ncr_uint_t   n;
    ncr_char_t  *p, *last, *colon;

    p = secret->data;
    last = p + secret->len;

    for (n = 0; n < 3; n++) {

        parts[n].data = p;

        colon = (n < 2 && p < last) ? memchr(p, ':', (size_t) (last - p))
                                    : NULL;

        if (colon == NULL) {
            parts[n].len = (size_t) (last - p);
            return n + 1;
        }

        parts[n].len = (size_t) (colon - p);
        p = colon + 1;
    }

    return n;
}


static ncr_int_t
ncr_bedrock_way(ncr_way_t *way)
{
    ncr_str_t   id;
    ncr_out_t   out;
    ncr_char_t  buf[NCR_BEDROCK_ID + 64];

    way->drop = ncr_bedrock_dropped;

    if (way->dialect == NCR_DIALECT_BEDROCK) {
        return ncr_bedrock_native(way);
    }

    ncr_out_init(&out, buf, sizeof(buf));

    if (ncr_bedrock_id(&out, &way->model, &way->params[NCR_BEDROCK_PREFIX])
        != NCR_OK || out.overflow)
    {
        return ncr_bedrock_refuse(way, 400, "model: not a name that Bedrock "
                                            "has");
    }

    id.data = buf;
    id.len = (size_t) (out.last - out.start);

    if (way->op == NCR_OP_COUNT_TOKENS) {
        id = ncr_bedrock_foundation(&id);

        return (ncr_bedrock_target(way, &id, "/count-tokens") == NCR_OK)
               ? ncr_bedrock_count(way) : NCR_ERROR;
    }

    if (ncr_bedrock_target(way, &id,
                           way->stream ? "/invoke-with-response-stream"
                                       : "/invoke")
        != NCR_OK)
    {
        return NCR_ERROR;
    }

    return ncr_bedrock_body(way);
}


/*
 * A client of Bedrock's own: nothing is edited.  Its id goes as it came,
 * unless a map has said otherwise; maps know models by their bare names.
 */

static ncr_int_t
ncr_bedrock_native(ncr_way_t *way)
{
    size_t       tail;
    ncr_str_t    id;
    ncr_out_t    out;
    ncr_char_t   buf[NCR_BEDROCK_ID + 64];
    const char  *action;

    action = (way->op == NCR_OP_INVOKE) ? "/invoke"
             : (way->op == NCR_OP_INVOKE_STREAM)
               ? "/invoke-with-response-stream" : "/count-tokens";

    tail = strlen(action);

    id.data = way->path.data + sizeof("/model/") - 1;
    id.len = way->path.len - (sizeof("/model/") - 1) - tail;

    ncr_out_init(&out, buf, sizeof(buf));

    if (way->model.len != way->asked.len
        || memcmp(way->model.data, way->asked.data, way->model.len) != 0)
    {
        id = way->model;
    }

    if (memchr(id.data, '.', id.len) == NULL) {

        /* the first party's name, in a path of Bedrock's */

        if (ncr_bedrock_id(&out, &id, &way->params[NCR_BEDROCK_PREFIX])
            == NCR_OK)
        {
            id.data = buf;
            id.len = (size_t) (out.last - out.start);
        }
    }

    if (id.len == 0 || id.len > NCR_BEDROCK_ID || ncr_str_eq(&id, ".")
        || ncr_str_eq(&id, "..") || out.overflow)
    {
        return ncr_bedrock_refuse(way, 400,
                                  "the path has no id of a model");
    }

    if (way->op == NCR_OP_INVOKE_COUNT) {
        id = ncr_bedrock_foundation(&id);
    }

    return ncr_bedrock_target(way, &id, action);
}


/* all but unreserved characters escaped: a colon, an ARN's slash (I.2) */

static ncr_int_t
ncr_bedrock_target(ncr_way_t *way, ncr_str_t *id, const char *action)
{
    ncr_out_str(&way->target, &way->base);
    ncr_out_text(&way->target, "/model/");
    ncr_uri_escape(&way->target, id);
    ncr_out_text(&way->target, action);

    ncr_out_text(&way->lines, "Content-Type: application/json\r\n");

    return NCR_OK;
}


/* I.3 */

static ncr_int_t
ncr_bedrock_body(ncr_way_t *way)
{
    uint64_t     removed;
    ncr_out_t   *out;
    ncr_str_t    text, beta;
    ncr_char_t  *start;

    if (way->members == NULL) {
        return NCR_ERROR;
    }

    out = &way->text;
    start = out->last;
    removed = NCR_BEDROCK_REMOVED;

    ncr_out_text(out, "\"anthropic_version\":" NCR_BEDROCK_VERSION);

    if (ncr_members_find(way->members, NCR_ANTHROPIC_M_BETA) == NULL) {
        ncr_bedrock_betas(way, out);
    }

    ncr_str_set(&beta, "context-management-2025-06-27");
    text.data = start;
    text.len = (size_t) (out->last - start);

    if (!ncr_str_contains(&text, (char *) beta.data)
        && ncr_members_find(way->members, NCR_ANTHROPIC_M_BETA) == NULL)
    {
        removed |= ncr_bedrock_bit(NCR_ANTHROPIC_M_CONTEXT_MANAGEMENT);
    }

    way->nedits = ncr_members_remove(way->members, removed, way->edits);
    way->nedits += ncr_members_add(way->members, removed, &text,
                                   way->edits + way->nedits);

    return NCR_OK;
}


/* the client's betas that the account's list has, each once */

static void
ncr_bedrock_betas(ncr_way_t *way, ncr_out_t *out)
{
    ncr_str_t    list, beta, made;
    ncr_uint_t   n;
    ncr_char_t  *p, *last, *start;

    list = way->header(way, "anthropic-beta");

    n = 0;
    p = list.data;
    last = p + list.len;
    start = out->last;

    while (p < last) {

        beta.data = p;

        while (p < last && *p != ',') {
            p++;
        }

        beta.len = (size_t) (p - beta.data);
        p++;

        while (beta.len && (*beta.data == ' ' || *beta.data == '\t')) {
            beta.data++;
            beta.len--;
        }

        while (beta.len && (beta.data[beta.len - 1] == ' '
                            || beta.data[beta.len - 1] == '\t'))
        {
            beta.len--;
        }

        if (ncr_str_eq(&beta, "advanced-tool-use-2025-11-20")) {
            ncr_str_set(&beta, "tool-search-tool-2025-10-19");
        }

        if (beta.len == 0
            || !ncr_beta_has(&way->params[NCR_BEDROCK_BETAS], &beta))
        {
            continue;
        }

        /* twice is once */

        made.data = start;
        made.len = (size_t) (out->last - start);

        if (n && ncr_bedrock_there(&made, &beta)) {
            continue;
        }

        ncr_out_text(out, n++ ? ",\"" : ",\"anthropic_beta\":[\"");
        ncr_out_str(out, &beta);
        ncr_out_text(out, "\"");
    }

    if (n) {
        ncr_out_text(out, "]");
    }
}


static ncr_uint_t
ncr_bedrock_there(ncr_str_t *made, ncr_str_t *beta)
{
    size_t  i;

    for (i = 0; i + beta->len < made->len; i++) {
        if (made->data[i] == '"'
            && made->len - i > beta->len + 1
            && made->data[i + 1 + beta->len] == '"'
            && memcmp(made->data + i + 1, beta->data, beta->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/*
 * {"input":{"invokeModel":{"body":"<base64 of a body for invoke>"}}}, which
 * needs max_tokens (I.2): the whole body in place of the client's.
 */

static ncr_int_t
ncr_bedrock_count(ncr_way_t *way)
{
    size_t        n, made;
    uint64_t      at;
    ncr_str_t     body;
    ncr_uint_t    i;
    ncr_edit_t   *e;
    ncr_char_t   *p, *text, *buf;

    static const char  open[] = "{\"input\":{\"invokeModel\":{\"body\":\"";
    static const char  more[] = ",\"max_tokens\":1";

    if (ncr_bedrock_body(way) != NCR_OK) {
        return NCR_ERROR;
    }

    if (ncr_members_find(way->members, NCR_ANTHROPIC_MAX_TOKENS) == NULL) {
        ncr_out_text(&way->text, more);
        way->edits[way->nedits - 1].insert.len += sizeof(more) - 1;
    }

    body = way->body(way);

    if (body.data == NULL || way->text.overflow) {
        return NCR_ERROR;
    }

    ncr_edit_sort(way->edits, way->nedits);

    made = body.len;

    for (i = 0; i < way->nedits; i++) {
        made += way->edits[i].insert.len;
    }

    text = way->alloc(way, made);

    if (text == NULL) {
        return NCR_ERROR;
    }

    p = text;
    at = 0;

    for (i = 0; i < way->nedits; i++) {
        e = &way->edits[i];

        if (e->offset + e->remove > body.len) {
            return NCR_ERROR;
        }

        memcpy(p, body.data + at, (size_t) (e->offset - at));
        p += e->offset - at;
        memcpy(p, e->insert.data, e->insert.len);
        p += e->insert.len;
        at = e->offset + e->remove;
    }

    memcpy(p, body.data + at, (size_t) (body.len - at));
    p += body.len - at;

    n = (size_t) (p - text);
    buf = way->alloc(way, sizeof(open) - 1 + ncr_bedrock_base64_len(n) + 4);

    if (buf == NULL) {
        return NCR_ERROR;
    }

    memcpy(buf, open, sizeof(open) - 1);
    p = ncr_bedrock_base64(buf + sizeof(open) - 1, text, n);
    memcpy(p, "\"}}}", 4);

    e = &way->edits[0];
    e->offset = 0;
    e->remove = body.len;
    e->insert.data = buf;
    e->insert.len = (size_t) (p + 4 - buf);
    way->nedits = 1;

    return NCR_OK;
}


/* I.1: the ids have no version there */

static ncr_int_t
ncr_bedrock_mantle_way(ncr_way_t *way)
{
    size_t          n;
    ncr_str_t       bare, text;
    ncr_uint_t      i;
    ncr_out_t      *out;
    ncr_char_t     *start;
    ncr_member_t   *m;

    m = way->members ? ncr_members_find(way->members, NCR_ANTHROPIC_MODEL)
                     : NULL;

    if (m == NULL) {
        return NCR_ERROR;
    }

    bare = ncr_bedrock_bare(&way->model);

    /* a date at the end is a version, too */

    n = sizeof("-20250929") - 1;

    if (bare.len > n && memcmp(bare.data + bare.len - n, "-20", 3) == 0) {

        for (i = 3; i < n; i++) {
            if (bare.data[bare.len - n + i] < '0'
                || bare.data[bare.len - n + i] > '9')
            {
                break;
            }
        }

        bare.len -= (i == n) ? n : 0;
    }

    out = &way->text;
    start = out->last;

    ncr_out_text(out, "\"anthropic.");
    ncr_out_json(out, &bare);
    ncr_out_text(out, "\"");

    text.data = start;
    text.len = (size_t) (out->last - start);

    ncr_members_set(m, &text, &way->edits[way->nedits++]);

    return ncr_bedrock_messages(way);
}


static ncr_int_t
ncr_bedrock_aws_way(ncr_way_t *way)
{
    return ncr_bedrock_messages(way);
}


/* the Messages API as it is; "?beta=true" would have to be signed, too */

static ncr_int_t
ncr_bedrock_messages(ncr_way_t *way)
{
    ncr_str_t  version;

    way->drop = ncr_bedrock_signed_over;

    ncr_out_str(&way->target, &way->base);
    ncr_out_str(&way->target, &way->path);

    ncr_out_text(&way->lines, "Content-Type: application/json\r\n");

    version = way->header(way, "anthropic-version");

    if (version.len == 0) {
        ncr_out_text(&way->lines, "Anthropic-Version: 2023-06-01\r\n");
    }

    ncr_way_line(&way->lines, "Anthropic-Workspace-Id",
                 &way->params[NCR_BEDROCK_WORKSPACE]);

    return NCR_OK;
}


static ncr_int_t
ncr_bedrock_refuse(ncr_way_t *way, ncr_uint_t status, const char *error)
{
    way->status = status;
    way->error = error;

    return NCR_BAD;
}


static ncr_int_t
ncr_bedrock_sign(ncr_way_t *way, ncr_char_t *digest)
{
    return ncr_bedrock_signed(way, digest, "bedrock");
}


static ncr_int_t
ncr_bedrock_mantle_sign(ncr_way_t *way, ncr_char_t *digest)
{
    return ncr_bedrock_signed(way, digest, "bedrock-mantle");
}


static ncr_int_t
ncr_bedrock_aws_sign(ncr_way_t *way, ncr_char_t *digest)
{
    return ncr_bedrock_signed(way, digest, "aws-external-anthropic");
}


/* I.4; a process signs one request at a time */

static ncr_int_t
ncr_bedrock_signed(ncr_way_t *way, ncr_char_t *digest, const char *service)
{
    char         date[NCR_SIGV4_DATE];
    ncr_str_t    parts[3], value;
    ncr_uint_t   n;
    ncr_sigv4_t  sig;

    static ncr_sha256_t       sha;
    static ncr_sigv4_cache_t  cache;

    n = ncr_bedrock_split(&way->secret, parts);

    if (n < 2) {
        return NCR_OK;
    }

    if (sha.state == NULL && ncr_sha256_create(&sha) != NCR_OK) {
        return NCR_ERROR;
    }

    ncr_sigv4_date(date, way->now);

    memset(&sig, 0, sizeof(ncr_sigv4_t));

    sig.method = way->method;
    sig.path.data = way->target.start;
    sig.path.len = (size_t) (way->target.last - way->target.start);
    ncr_str_set(&sig.query, "");
    sig.id = parts[0];
    sig.secret = parts[1];
    sig.region = way->params[NCR_BEDROCK_REGION];
    sig.service.data = (ncr_char_t *) (uintptr_t) service;
    sig.service.len = strlen(service);
    sig.date = date;
    sig.digest = digest;

    ncr_bedrock_header(&sig, "host", &way->host);

    ncr_str_set(&value, "application/json");
    ncr_bedrock_header(&sig, "content-type", &value);

    value.data = (ncr_char_t *) date;
    value.len = strlen(date);
    ncr_bedrock_header(&sig, "x-amz-date", &value);

    ncr_way_line(&way->lines, "X-Amz-Date", &value);

    if (n == 3) {
        ncr_bedrock_header(&sig, "x-amz-security-token", &parts[2]);
        ncr_way_line(&way->lines, "X-Amz-Security-Token", &parts[2]);
    }

    ncr_out_text(&way->lines, "Authorization: ");
    ncr_sigv4_sign(&sig, &cache, &sha, &way->lines);
    ncr_out_text(&way->lines, "\r\n");

    return NCR_OK;
}


static void
ncr_bedrock_header(ncr_sigv4_t *sig, const char *name, ncr_str_t *value)
{
    ncr_sigv4_header_t  *h;

    h = &sig->headers[sig->nheaders++];

    h->name.data = (ncr_char_t *) (uintptr_t) name;
    h->name.len = strlen(name);
    h->value = *value;
}


/*
 * The class of a failure is in a header, maybe with an address behind it
 * (I.6); it is kept where other places tell which window was hit.
 */

static void
ncr_bedrock_limits(ncr_limits_t *limits, ncr_str_t *name, ncr_str_t *value,
    ncr_msec_t now)
{
    ncr_str_t    s;
    ncr_char_t  *colon;

    if (!ncr_str_eq(name, "x-amzn-errortype")) {
        ncr_limits_header(limits, name, value, now);
        return;
    }

    s = *value;
    colon = s.len ? memchr(s.data, ':', s.len) : NULL;

    if (colon) {
        s.len = (size_t) (colon - s.data);
    }

    ncr_str_copy(limits->claim, sizeof(limits->claim), &s);
}


static void
ncr_bedrock_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v)
{
    ncr_uint_t        status;
    ncr_reply_text_t  text;

    if (reply->kind == NCR_REPLY_HTTP || reply->kind == NCR_REPLY_STREAM_ERROR)
    {
        ncr_reply_read(&text, reply);
        status = ncr_reply_status(reply, &text);

        if (status >= 300 && ncr_bedrock_by_text(reply, rests, v)) {
            return;
        }

        if (reply->kind == NCR_REPLY_HTTP
            && (status == 424
                || (status == 408 && reply->limits->claim[0])))
        {
            /* a model that failed or was too slow, as AWS says: nobody's
             * fault */

            ncr_verdict_set(v, NCR_FAULT_PLATFORM, NCR_CLASS_SERVER, 1);
            v->rest = NCR_REST_BACKOFF;
            v->base = rests->server;
            v->max = rests->server_max;
            return;
        }
    }

    ncr_verdict_default(reply, rests, v);
}


/* I.3, I.6: by the class of the failure, or by its words */

static ncr_uint_t
ncr_bedrock_by_text(ncr_reply_t *reply, ncr_rests_t *rests, ncr_verdict_t *v)
{
    ncr_uint_t        i;
    ncr_str_t         class;
    ncr_reply_text_t  text;

    static const struct {
        const char   *class;
        const char   *text;
        ncr_class_e   verdict;
    } rows[] = {
        { "expiredtokenexception", "security token included in the request "
                                   "is expired", NCR_CLASS_AUTH },
        { "unrecognizedclientexception", "security token included in the "
                                         "request is invalid",
          NCR_CLASS_AUTH },
        { "invalidsignatureexception", "signature we calculated does not "
                                       "match", NCR_CLASS_AUTH },
        { "signaturedoesnotmatch", "signature expired", NCR_CLASS_AUTH },
        { "servicequotaexceededexception", "service quota",
          NCR_CLASS_LIMITED },
        { NULL, "too many tokens per day", NCR_CLASS_LIMITED },
        { "modelnotreadyexception", "model is not ready",
          NCR_CLASS_OVERLOADED },
        { "serviceunavailableexception", NULL, NCR_CLASS_OVERLOADED },
        { NULL, "have access to the model", NCR_CLASS_FORBIDDEN },
        { NULL, "on-demand throughput", NCR_CLASS_CLIENT },
        { NULL, "model identifier is invalid", NCR_CLASS_CLIENT },
        { NULL, "end of its life", NCR_CLASS_CLIENT },
        { NULL, "could not resolve the foundation model", NCR_CLASS_CLIENT }
    };

    ncr_reply_read(&text, reply);

    class.data = (ncr_char_t *) reply->limits->claim;
    class.len = (reply->kind == NCR_REPLY_HTTP)
                ? strlen(reply->limits->claim) : 0;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((rows[i].class && ncr_str_caseeq(&class, rows[i].class))
            || (rows[i].text && ncr_reply_says(&text, rows[i].text)))
        {
            break;
        }
    }

    if (i == sizeof(rows) / sizeof(rows[0])) {
        return 0;
    }

    switch (rows[i].verdict) {

    case NCR_CLASS_AUTH:
        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_AUTH, 1);
        ncr_verdict_for(v, rests->unauthorized);
        break;

    case NCR_CLASS_LIMITED:
        ncr_verdict_set(v, NCR_FAULT_ACCOUNT, NCR_CLASS_LIMITED, 1);
        ncr_verdict_for(v, rests->limited);
        break;

    case NCR_CLASS_OVERLOADED:
        ncr_verdict_set(v, NCR_FAULT_PLATFORM, NCR_CLASS_OVERLOADED, 1);
        v->rest = NCR_REST_BACKOFF;
        v->base = rests->overloaded;
        v->max = rests->overloaded_max;
        break;

    case NCR_CLASS_FORBIDDEN:

        /* this model on this account; a client may name any, so the rest of
         * its family is a short one */

        ncr_verdict_set(v, NCR_FAULT_MODEL, NCR_CLASS_FORBIDDEN, 1);

        if (reply->family.len) {
            ncr_verdict_for(v, rests->edge);
            v->family = 1;
        }

        break;

    default:

        /* the same name may mean a model to another account */

        ncr_verdict_set(v, NCR_FAULT_MODEL, NCR_CLASS_CLIENT, 1);
        break;
    }

    return 1;
}
