
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * AWS's places for these models: signatures are verified, bodies must be as
 * Bedrock wants them, streams are frames.  The secret of an access key ID is
 * "secret-of-ID", its session's token "token-of-ID" (an ID that begins with
 * ASIA needs one, one with EXPIRED in it is over); a bearer key begins with
 * "ABSK".  An event stream's exceptions are error events by their names.
 */


#include "sandbox.h"

#include <openssl/hmac.h>
#include <time.h>


#define SBX_AWS_SKEW      300
#define SBX_AWS_HEADERS   32


typedef struct {
    sbx_str_t         id;
    sbx_str_t         date;
    sbx_str_t         region;
    sbx_str_t         service;
    sbx_str_t         headers;
    sbx_str_t         signature;
} sbx_aws_t;


/* betas that the runtime takes, as far as it matters here */

static const char *const  sbx_bedrock_betas[] = {
    "context-1m-2025-08-07", "context-management-2025-06-27",
    "fine-grained-tool-streaming-2025-05-14",
    "interleaved-thinking-2025-05-14", "token-counting-2024-11-01",
    "tool-search-tool-2025-10-19", NULL
};


static sbx_str_t
sbx_bedrock_header(sbx_conn_t *c, const char *name, size_t n)
{
    sbx_str_t    value;
    const char  *p, *end, *line;

    value.data = "";
    value.len = 0;

    end = c->in + c->req.head_len;

    for (p = c->in; p < end; p = line + 1) {

        line = memchr(p, '\n', (size_t) (end - p));
        if (line == NULL) {
            break;
        }

        if ((size_t) (line - p) <= n || strncasecmp(p, name, n) != 0
            || p[n] != ':')
        {
            continue;
        }

        for (p += n + 1; p < line && *p == ' '; p++) { /* void */ }

        value.data = p;
        value.len = (size_t) (line - p);

        while (value.len && (value.data[value.len - 1] == '\r'
                             || value.data[value.len - 1] == ' '))
        {
            value.len--;
        }

        break;
    }

    return value;
}

#define sbx_bedrock_head(c, lit)  sbx_bedrock_header(c, lit, sizeof(lit) - 1)


static void
sbx_bedrock_headers(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, "x-amzn-requestid: ");
    sbx_put_hex(b, c->req.id, 13);
    sbx_lit(b, "\r\n");

    if (c->rep.status >= 400) {
        sbx_putf(b, "x-amzn-errortype: %.*s:http://internal.amazon.com/\r\n",
                 (int) c->ask.quote.len, c->ask.quote.data);

    } else if (c->rep.next == NULL) {
        sbx_lit(b, "x-amzn-bedrock-invocation-latency: 412\r\n");

    } else {
        sbx_lit(b, "x-amzn-bedrock-content-type: application/json\r\n");
    }
}


static int
sbx_bedrock_error(sbx_conn_t *c, int status, const char *type,
    const char *message)
{
    size_t  i;

    static const struct {
        int          status;
        const char  *type;
    } types[] = {
        { 400, "ValidationException" }, { 403, "AccessDeniedException" },
        { 404, "ResourceNotFoundException" }, { 408, "ModelTimeoutException" },
        { 424, "ModelErrorException" }, { 429, "ThrottlingException" },
        { 500, "InternalServerException" },
        { 503, "ServiceUnavailableException" }
    };

    for (i = 0; type == NULL && i < sizeof(types) / sizeof(types[0]); i++) {
        if (types[i].status == status) {
            type = types[i].type;
        }
    }

    /* where the head's writer finds it */

    c->ask.quote.len = 0;
    sbx_puts(&c->ask.quote, type ? type : "InternalServerException");

    c->text.len = 0;
    sbx_lit(&c->text, "{\"message\":\"");
    message = message ? message : "sandbox error";
    sbx_put_json(&c->text, message, strlen(message));
    sbx_lit(&c->text, "\"}");

    sbx_reply_start(c, status, "application/json");
    c->rep.headers = sbx_bedrock_headers;

    return SBX_OK;
}


/* "NAME=value" up to a comma */

static sbx_str_t
sbx_aws_part(sbx_str_t *s, const char *name)
{
    sbx_str_t    v;
    const char  *p, *end;

    v.data = "";
    v.len = 0;

    p = memmem(s->data, s->len, name, strlen(name));

    if (p) {
        v.data = p + strlen(name);
        end = memchr(v.data, ',', (size_t) (s->data + s->len - v.data));
        v.len = (size_t) ((end ? end : s->data + s->len) - v.data);
    }

    return v;
}


static sbx_str_t
sbx_aws_cut(sbx_str_t *s, char c)
{
    sbx_str_t    v;
    const char  *p;

    v = *s;
    p = s->len ? memchr(s->data, c, s->len) : NULL;

    if (p == NULL) {
        s->len = 0;
        return v;
    }

    v.len = (size_t) (p - s->data);
    s->len -= v.len + 1;
    s->data = p + 1;

    return v;
}


static void
sbx_aws_hmac(unsigned char *key, size_t n, const char *p, size_t len,
    unsigned char *out)
{
    unsigned int  size;

    HMAC(EVP_sha256(), key, (int) n, (const unsigned char *) p, len, out,
         &size);
}


static void
sbx_aws_body(sbx_conn_t *c, sbx_buf_t *b)
{
    int            i;
    SHA256_CTX     sha;
    unsigned char  digest[SHA256_DIGEST_LENGTH];

    if (c->req.hashing) {
        sha = c->sha;
        SHA256_Final(digest, &sha);

    } else {
        SHA256((const unsigned char *) c->req.body.data, c->req.body.len,
               digest);
    }

    for (i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        sbx_put_hex(b, digest[i], 2);
    }
}


/* the request as both sides see it; what is signed must have been sent */

static int
sbx_aws_canonical(sbx_conn_t *c, sbx_aws_t *aws, sbx_buf_t *b)
{
    char         q;
    sbx_str_t    names, name, value, target;
    const char  *p, *end;

    p = memchr(c->in, ' ', c->req.head_len);
    end = p ? memchr(p + 1, ' ', (size_t) (c->in + c->req.head_len - p - 1))
            : NULL;

    if (end == NULL) {
        return SBX_ERROR;
    }

    target.data = p + 1;
    target.len = (size_t) (end - p - 1);

    sbx_put(b, c->req.method.data, c->req.method.len);
    sbx_lit(b, "\n");

    for (p = target.data; p < end && *p != '?'; p++) {
        q = *p;

        if ((q >= 'a' && q <= 'z') || (q >= 'A' && q <= 'Z')
            || (q >= '0' && q <= '9') || strchr("-._~/", q))
        {
            sbx_put(b, p, 1);

        } else {
            sbx_putf(b, "%%%02X", (unsigned char) q);
        }
    }

    sbx_lit(b, "\n");

    if (p < end) {
        sbx_put(b, p + 1, (size_t) (end - p - 1));
    }

    sbx_lit(b, "\n");

    names = aws->headers;

    while (names.len) {
        name = sbx_aws_cut(&names, ';');
        value = sbx_bedrock_header(c, name.data, name.len);

        if (value.len == 0) {
            return SBX_ERROR;
        }

        sbx_put(b, name.data, name.len);
        sbx_lit(b, ":");
        sbx_put(b, value.data, value.len);
        sbx_lit(b, "\n");
    }

    sbx_lit(b, "\n");
    sbx_put(b, aws->headers.data, aws->headers.len);
    sbx_lit(b, "\n");
    sbx_aws_body(c, b);

    return SBX_OK;
}


static int
sbx_aws_matches(sbx_aws_t *aws, sbx_str_t *date, sbx_buf_t *canonical)
{
    int            i;
    size_t         n;
    sbx_buf_t      b;
    unsigned char  key[32], next[32];

    memset(&b, 0, sizeof(b));

    sbx_lit(&b, "AWS4secret-of-");
    sbx_put(&b, aws->id.data, aws->id.len);
    sbx_aws_hmac((unsigned char *) b.data, b.len, aws->date.data,
                 aws->date.len, key);
    sbx_aws_hmac(key, 32, aws->region.data, aws->region.len, next);
    sbx_aws_hmac(next, 32, aws->service.data, aws->service.len, key);
    sbx_aws_hmac(key, 32, "aws4_request", 12, next);

    SHA256((unsigned char *) canonical->data, canonical->len, key);

    b.len = 0;
    sbx_putf(&b, "AWS4-HMAC-SHA256\n%.*s\n%.*s/%.*s/%.*s/aws4_request\n",
             (int) date->len, date->data, (int) aws->date.len,
             aws->date.data, (int) aws->region.len, aws->region.data,
             (int) aws->service.len, aws->service.data);

    for (i = 0; i < 32; i++) {
        sbx_put_hex(&b, key[i], 2);
    }

    sbx_aws_hmac(next, 32, b.data, b.len, key);

    b.len = 0;

    for (i = 0; i < 32; i++) {
        sbx_put_hex(&b, key[i], 2);
    }

    n = aws->signature.len;
    i = (n == b.len && memcmp(b.data, aws->signature.data, n) == 0);
    free(b.data);

    return i;
}


static time_t
sbx_aws_time(sbx_str_t *date)
{
    char       text[32];
    struct tm  tm;

    if (date->len != 16) {
        return 0;
    }

    memcpy(text, date->data, 16);
    text[16] = '\0';
    memset(&tm, 0, sizeof(tm));

    if (strptime(text, "%Y%m%dT%H%M%SZ", &tm) == NULL) {
        return 0;
    }

    return timegm(&tm);
}


/* SBX_OK: it was refused, and answered; SBX_DECLINED: all is well */

static int
sbx_aws_verify(sbx_conn_t *c, sbx_str_t *auth, const char *service)
{
    int        ok;
    time_t     t;
    char       token[300];
    sbx_str_t  scope, date, value;
    sbx_aws_t  aws;
    sbx_buf_t  b;

    if (sbx_quiet) {
        return SBX_DECLINED;
    }

    scope = sbx_aws_part(auth, "Credential=");
    aws.headers = sbx_aws_part(auth, "SignedHeaders=");
    aws.signature = sbx_aws_part(auth, "Signature=");

    aws.id = sbx_aws_cut(&scope, '/');
    aws.date = sbx_aws_cut(&scope, '/');
    aws.region = sbx_aws_cut(&scope, '/');
    aws.service = sbx_aws_cut(&scope, '/');

    date = sbx_bedrock_head(c, "x-amz-date");
    t = sbx_aws_time(&date);

    if (!sbx_is(&scope, "aws4_request") || aws.signature.len != 64
        || aws.id.len == 0 || aws.id.len > 128
        || memmem(aws.headers.data, aws.headers.len, "host", 4) == NULL
        || memmem(aws.headers.data, aws.headers.len, "x-amz-date", 10)
           == NULL
        || date.len < 8 || aws.date.len != 8
        || memcmp(date.data, aws.date.data, 8) != 0)
    {
        return sbx_bedrock_error(c, 403, "IncompleteSignature",
                                 "sandbox: the signature lacks something");
    }

    if (t < sbx_time - SBX_AWS_SKEW || t > sbx_time + SBX_AWS_SKEW) {
        return sbx_bedrock_error(c, 403, "InvalidSignatureException",
                                 "Signature expired: it is of another time");
    }

    if (memmem(aws.id.data, aws.id.len, "EXPIRED", 7)) {
        return sbx_bedrock_error(c, 403, "ExpiredTokenException",
                                 "The security token included in the request "
                                 "is expired");
    }

    value = sbx_bedrock_head(c, "x-amz-security-token");
    snprintf(token, sizeof(token), "token-of-%.*s", (int) aws.id.len,
             aws.id.data);

    if ((value.len || memcmp(aws.id.data, "ASIA", 4) == 0)
        && (value.len != strlen(token)
            || memcmp(value.data, token, value.len) != 0
            || memmem(aws.headers.data, aws.headers.len,
                      "x-amz-security-token", 20) == NULL))
    {
        return sbx_bedrock_error(c, 403, "UnrecognizedClientException",
                                 "The security token included in the request "
                                 "is invalid.");
    }

    memset(&b, 0, sizeof(b));

    ok = aws.service.len == strlen(service)
         && memcmp(aws.service.data, service, aws.service.len) == 0
         && sbx_aws_canonical(c, &aws, &b) == SBX_OK
         && sbx_aws_matches(&aws, &date, &b);

    free(b.data);

    if (!ok) {
        return sbx_bedrock_error(c, 403, "InvalidSignatureException",
                                 "The request signature we calculated does "
                                 "not match the signature you provided.");
    }

    return SBX_DECLINED;
}


/* the same for a key that is shown; service: what a signature must be for */

static int
sbx_bedrock_credential(sbx_conn_t *c, const char *service)
{
    sbx_str_t  auth;

    auth = sbx_bedrock_head(c, "authorization");

    if (auth.len > 16 && memcmp(auth.data, "AWS4-HMAC-SHA256", 16) == 0) {
        return sbx_aws_verify(c, &auth, service);
    }

    if (c->req.bearer.len > 4 && memcmp(c->req.bearer.data, "ABSK", 4) == 0) {

        auth = sbx_bedrock_head(c, "x-amz-date");

        if (auth.len) {
            return sbx_bedrock_error(c, 400, NULL,
                                     "sandbox: x-amz-date beside a bearer");
        }

        return SBX_DECLINED;
    }

    return sbx_bedrock_error(c, 403, "UnrecognizedClientException",
                             "The security token included in the request is "
                             "invalid.");
}


/* what of it the runtime does not take (I.3), or NULL */

static const char *
sbx_bedrock_wrong(sbx_str_t *body)
{
    size_t       i;
    sbx_str_t    v, item;
    const char  *pos, *const *beta;

    static const char *const  no[] = {
        "model", "stream", "service_tier", "container", "mcp_servers",
        "fallbacks", "speed", "inference_geo", "diagnostics",
        "cache_control", NULL
    };

    static char  text[64];

    for (i = 0; no[i]; i++) {
        if (sbx_json_get(body, no[i], &v) == SBX_OK) {
            snprintf(text, sizeof(text), "%s: Extra inputs are not permitted",
                     no[i]);
            return text;
        }
    }

    if (sbx_json_get(body, "anthropic_version", &v) != SBX_OK
        || (!sbx_is(&v, "\"bedrock-2023-05-31\"")
            && memcmp(v.data, "\"20", 3) != 0))
    {

        /* the latter is the first party's, as Anthropic's SDK sends it */

        return "anthropic_version: Field required";
    }

    if (sbx_json_get(body, "max_tokens", &v) != SBX_OK) {
        return "max_tokens: Field required";
    }

    if (sbx_json_get(body, "anthropic_beta", &v) != SBX_OK) {
        return NULL;
    }

    pos = NULL;

    while (sbx_json_item(&v, &pos, &item) == SBX_OK) {

        for (beta = sbx_bedrock_betas; *beta; beta++) {
            if (item.len == strlen(*beta) + 2
                && memcmp(item.data + 1, *beta, item.len - 2) == 0)
            {
                break;
            }
        }

        if (*beta == NULL) {
            return "invalid beta flag";
        }
    }

    return NULL;
}


static void
sbx_frame_int(char *p, unsigned long n)
{
    p[0] = (char) (n >> 24);
    p[1] = (char) (n >> 16);
    p[2] = (char) (n >> 8);
    p[3] = (char) n;
}


static void
sbx_frame_header(sbx_buf_t *b, const char *name, const char *value, size_t n)
{
    char  c[4];

    c[0] = (char) strlen(name);
    sbx_put(b, c, 1);
    sbx_puts(b, name);
    c[0] = 7;
    c[1] = (char) (n >> 8);
    c[2] = (char) n;
    sbx_put(b, c, 3);
    sbx_put(b, value, n);
}


/* I.6 */

static void
sbx_frame_put(sbx_buf_t *b, const char *kind, const char *type, size_t n,
    sbx_buf_t *payload)
{
    char    crc[4];
    size_t  from, headers, all;

    from = b->len;
    sbx_put(b, "\0\0\0\0\0\0\0\0\0\0\0\0", 12);

    if (strcmp(kind, "event") == 0) {
        sbx_frame_header(b, ":event-type", type, n);

    } else {
        sbx_frame_header(b, ":exception-type", type, n);
    }

    sbx_frame_header(b, ":content-type", "application/json", 16);
    sbx_frame_header(b, ":message-type", kind, strlen(kind));

    headers = b->len - from - 12;
    sbx_put(b, payload->data, payload->len);
    all = b->len - from + 4;

    sbx_frame_int(b->data + from, all);
    sbx_frame_int(b->data + from + 4, headers);
    sbx_frame_int(b->data + from + 8,
                  crc32(0, (unsigned char *) b->data + from, 8));
    sbx_frame_int(crc, crc32(0, (unsigned char *) b->data + from,
                             (unsigned) all - 4));
    sbx_put(b, crc, 4);
}


static void
sbx_bedrock_base64(sbx_buf_t *b, const char *s, size_t n)
{
    unsigned long         v;
    const unsigned char  *p;

    static const char  digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (p = (const unsigned char *) s; n; p += 3) {
        v = (unsigned long) p[0] << 16 | (n > 1 ? p[1] << 8 : 0)
            | (n > 2 ? p[2] : 0);
        sbx_put(b, &digits[v >> 18], 1);
        sbx_put(b, &digits[v >> 12 & 63], 1);
        sbx_put(b, n > 1 ? &digits[v >> 6 & 63] : "=", 1);
        sbx_put(b, n > 2 ? &digits[v & 63] : "=", 1);
        n -= n > 3 ? 3 : n;
    }
}


static void
sbx_bedrock_chunk(sbx_conn_t *c, sbx_buf_t *b, const char *event, size_t n)
{
    sbx_buf_t  inner, payload;

    memset(&inner, 0, sizeof(inner));
    memset(&payload, 0, sizeof(payload));

    sbx_put(&inner, event, n);

    if (memmem(event, n, "\"type\":\"message_stop\"", 21)) {
        inner.len--;
        sbx_putf(&inner, ",\"amazon-bedrock-invocationMetrics\":{"
                 "\"inputTokenCount\":%ld,\"outputTokenCount\":%ld,"
                 "\"invocationLatency\":412,\"firstByteLatency\":305}}",
                 c->act.input, c->act.events);
    }

    sbx_lit(&payload, "{\"bytes\":\"");
    sbx_bedrock_base64(&payload, inner.data, inner.len);
    sbx_putf(&payload, "\",\"p\":\"%.*s\"}", (int) (c->rep.gen.deltas % 26),
             "abcdefghijklmnopqrstuvwxyz");

    sbx_frame_put(b, "event", "chunk", 5, &payload);

    free(inner.data);
    free(payload.data);
}


static void
sbx_bedrock_exception(sbx_buf_t *b, sbx_str_t *event)
{
    size_t     i;
    sbx_buf_t  payload;
    sbx_str_t  error, type, message;

    static const char *const  names[] = {
        "rate_limit_error", "throttlingException",
        "overloaded_error", "serviceUnavailableException",
        "api_error", "internalServerException",
        "timeout_error", "modelTimeoutException",
        "invalid_request_error", "validationException",
        "permission_error", "accessDeniedException", NULL
    };

    memset(&payload, 0, sizeof(payload));

    if (sbx_json_get(event, "error", &error) != SBX_OK
        || sbx_json_get(&error, "type", &type) != SBX_OK
        || sbx_json_get(&error, "message", &message) != SBX_OK)
    {
        abort();
    }

    type.data++;
    type.len -= 2;

    for (i = 0; names[i]; i += 2) {
        if (type.len == strlen(names[i])
            && memcmp(type.data, names[i], type.len) == 0)
        {
            type.data = names[i + 1];
            type.len = strlen(names[i + 1]);
            break;
        }
    }

    sbx_lit(&payload, "{\"message\":");
    sbx_put(&payload, message.data, message.len);
    sbx_lit(&payload, "}");

    sbx_frame_put(b, "exception", type.data, type.len, &payload);
    free(payload.data);
}


/* events of the other dialect, each as a frame; there are no pings */

static int
sbx_bedrock_next(sbx_conn_t *c, sbx_buf_t *b)
{
    int          rc;
    sbx_str_t    data;
    sbx_buf_t    text;
    const char  *p, *end;

    memset(&text, 0, sizeof(text));

    rc = sbx_anthropic_next(c, &text);

    for (p = text.data; p && p < text.data + text.len; p = end + 1) {

        p = memmem(p, (size_t) (text.data + text.len - p), "\ndata: ", 7);
        if (p == NULL) {
            break;
        }

        data.data = p + 7;
        end = memchr(data.data, '\n',
                     (size_t) (text.data + text.len - data.data));
        data.len = (size_t) (end - data.data);

        if (data.len > 15 && memcmp(data.data, "{\"type\":\"ping\"", 14) == 0)
        {
            continue;
        }

        if (data.len > 15
            && memcmp(data.data, "{\"type\":\"error\"", 15) == 0)
        {
            sbx_bedrock_exception(b, &data);
            continue;
        }

        sbx_bedrock_chunk(c, b, data.data, data.len);
    }

    free(text.data);

    return rc;
}


static int
sbx_bedrock_decode(sbx_str_t *text, sbx_buf_t *out)
{
    size_t         i, n;
    unsigned long  v;
    char           c;
    const char    *p;

    static const char  digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    v = 0;
    n = 0;

    for (i = 0; i < text->len; i++) {

        if (text->data[i] == '=') {
            continue;
        }

        p = memchr(digits, text->data[i], 64);

        if (p == NULL) {
            return SBX_ERROR;
        }

        v = v << 6 | (unsigned long) (p - digits);
        n += 6;

        if (n >= 8) {
            n -= 8;
            c = (char) (v >> n);
            sbx_put(out, &c, 1);
        }
    }

    return text->len % 4 ? SBX_ERROR : SBX_OK;
}


static int
sbx_bedrock_count(sbx_conn_t *c, sbx_str_t *id)
{
    int          rc;
    sbx_buf_t    inner;
    sbx_str_t    input, invoke, body;
    const char  *wrong;

    if (memcmp(id->data, "anthropic.", 10) != 0) {
        return sbx_bedrock_error(c, 400, NULL,
                                 "The provided model identifier is invalid.");
    }

    memset(&inner, 0, sizeof(inner));

    if (sbx_json_get(&c->req.body, "input", &input) != SBX_OK
        || sbx_json_get(&input, "invokeModel", &invoke) != SBX_OK
        || sbx_json_get(&invoke, "body", &body) != SBX_OK
        || body.len < 2)
    {
        return sbx_bedrock_error(c, 400, NULL, "input: Field required");
    }

    body.data++;
    body.len -= 2;

    rc = sbx_bedrock_decode(&body, &inner);
    body.data = inner.data;
    body.len = inner.len;

    wrong = (rc == SBX_OK) ? sbx_bedrock_wrong(&body) : "body: not base64";

    if (wrong == NULL) {
        sbx_putf(&c->text, "{\"inputTokens\":%zu}", (inner.len + 3) / 4);
        sbx_reply_start(c, 200, "application/json");
        c->rep.headers = sbx_bedrock_headers;

    } else {
        sbx_bedrock_error(c, 400, NULL, wrong);
    }

    free(inner.data);

    return SBX_OK;
}


static int
sbx_bedrock_invoke(sbx_conn_t *c, sbx_str_t *id, int stream)
{
    const char  *wrong, *p, *v;

    if (sbx_ask(c) != SBX_OK) {
        return sbx_bedrock_error(c, 400, NULL,
                                 "Malformed input request, please reformat "
                                 "your input and try again.");
    }

    wrong = sbx_quiet ? NULL : sbx_bedrock_wrong(&c->req.body);

    if (wrong) {
        return sbx_bedrock_error(c, 400, NULL, wrong);
    }

    p = memmem(id->data, id->len, "anthropic.", 10);

    c->ask.model = *id;

    if (p) {
        c->ask.model.data = p + 10;
        c->ask.model.len = (size_t) (id->data + id->len - p - 10);

        /* answers have the first party's name */

        v = memmem(p, c->ask.model.len + 10, "-v1", 3);
        if (v) {
            c->ask.model.len = (size_t) (v - p - 10);
        }
    }

    if (c->act.model) {
        c->ask.model.data = c->act.model;
        c->ask.model.len = strlen(c->act.model);
    }

    if (stream) {
        sbx_reply_start(c, 200, "application/vnd.amazon.eventstream");
        c->rep.headers = sbx_bedrock_headers;
        c->rep.next = sbx_bedrock_next;

        return SBX_OK;
    }

    sbx_anthropic_message(c, &c->text);
    sbx_reply_start(c, 200, "application/json");
    c->rep.headers = sbx_bedrock_headers;

    return SBX_OK;
}


/* "/model/ID/ACTION"; an ID of many parts has its slashes escaped */

static int
sbx_bedrock_runtime(sbx_conn_t *c)
{
    sbx_str_t    id, action;
    const char  *p;

    if (sbx_bedrock_credential(c, "bedrock") == SBX_OK) {
        return SBX_OK;
    }

    if (c->act.bad || c->act.status) {
        return sbx_bedrock_error(c, c->act.bad ? 400 : (int) c->act.status,
                                 c->act.type,
                                 c->act.bad ? c->act.bad : c->act.message);
    }

    id.data = c->req.path.data + 7;
    id.len = c->req.path.len - 7;

    p = memrchr(id.data, '/', id.len);

    if (p == NULL || p == id.data || !sbx_is(&c->req.method, "POST")) {
        return sbx_bedrock_error(c, 404, "UnknownOperationException", NULL);
    }

    action.data = p;
    action.len = (size_t) (id.data + id.len - p);
    id.len = (size_t) (p - id.data);

    if (sbx_is(&action, "/count-tokens")) {
        return sbx_bedrock_count(c, &id);
    }

    if (sbx_is(&action, "/invoke")) {
        return sbx_bedrock_invoke(c, &id, 0);
    }

    if (sbx_is(&action, "/invoke-with-response-stream")) {
        return sbx_bedrock_invoke(c, &id, 1);
    }

    return sbx_bedrock_error(c, 404, "UnknownOperationException", NULL);
}


int
sbx_bedrock(sbx_conn_t *c)
{
    sbx_str_t    auth, *path;
    const char  *service;

    static const char  mantle[] = "/anthropic/v1/";

    path = &c->req.path;

    if (path->len > 7 && memcmp(path->data, "/model/", 7) == 0) {
        return sbx_bedrock_runtime(c);
    }

    /* the Messages API behind a signature: the other dialect answers */

    auth = sbx_bedrock_head(c, "authorization");

    if (auth.len <= 16 || memcmp(auth.data, "AWS4-HMAC-SHA256", 16) != 0) {
        return SBX_DECLINED;
    }

    service = "aws-external-anthropic";

    if (path->len > sizeof(mantle) - 1
        && memcmp(path->data, mantle, sizeof(mantle) - 1) == 0)
    {
        service = "bedrock-mantle";
    }

    return sbx_bedrock_credential(c, service);
}
