
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_platform_bedrock.c"
#include "ncr_way_test.h"


static ncr_limits_t  ncr_test_limits;
static ncr_rests_t   ncr_test_rests;
static ncr_char_t    ncr_test_room[3][8192];


static ncr_verdict_t
ncr_test_verdict(ncr_uint_t status, const char *class, const char *message)
{
    char           body[512];
    ncr_reply_t    reply;
    ncr_str_t      name, value;
    ncr_verdict_t  v;

    memset(&reply, 0, sizeof(ncr_reply_t));
    ncr_limits_reset(&ncr_test_limits);

    if (class) {
        name = ncr_test_s("x-amzn-errortype");
        value = ncr_test_s(class);
        ncr_bedrock_limits(&ncr_test_limits, &name, &value, 0);
    }

    snprintf(body, sizeof(body), "{\"message\":\"%s\"}", message);

    reply.limits = &ncr_test_limits;
    reply.family = ncr_test_s("opus");
    reply.content_type = ncr_test_s("application/json");

    ncr_test_judge(ncr_platform_bedrock.classify, &reply, (ncr_int_t) status,
                   body, &v);

    return v;
}


static void
ncr_test_verdicts(void)
{
    ncr_uint_t     i, ok;
    ncr_verdict_t  v;

    static const struct {
        ncr_uint_t    status;
        const char   *class;
        const char   *message;
        ncr_class_e   verdict;
        ncr_uint_t    retry;
    } rows[] = {
        { 403, "ExpiredTokenException:http://x/", "x", NCR_CLASS_AUTH, 1 },
        { 403, NULL, "The security token included in the request is expired",
          NCR_CLASS_AUTH, 1 },
        { 403, "InvalidSignatureException", "x", NCR_CLASS_AUTH, 1 },
        { 403, NULL, "Signature expired: 1 is now earlier than 2",
          NCR_CLASS_AUTH, 1 },
        { 403, "UnrecognizedClientException", "x", NCR_CLASS_AUTH, 1 },
        { 403, "AccessDeniedException", "You don't have access to the model "
          "with the specified model ID.", NCR_CLASS_FORBIDDEN, 1 },
        { 403, "AccessDeniedException", "User: arn is not authorized",
          NCR_CLASS_FORBIDDEN, 1 },
        { 429, "ThrottlingException", "Too many requests",
          NCR_CLASS_THROTTLED, 1 },
        { 429, "ThrottlingException", "Too many tokens per day, please wait",
          NCR_CLASS_LIMITED, 1 },
        { 429, "ModelNotReadyException", "x", NCR_CLASS_OVERLOADED, 1 },
        { 503, "ServiceUnavailableException", "x", NCR_CLASS_OVERLOADED, 1 },
        { 400, "ServiceQuotaExceededException", "x", NCR_CLASS_LIMITED, 1 },
        { 400, "ValidationException", "Invocation of model ID x with "
          "on-demand throughput isn't supported.", NCR_CLASS_CLIENT, 1 },
        { 400, "ValidationException", "The provided model identifier is "
          "invalid.", NCR_CLASS_CLIENT, 1 },
        { 400, "ValidationException", "Input is too long for requested "
          "model.", NCR_CLASS_CLIENT, 0 },
        { 400, "ValidationException", "messages: say \\\"service quota\\\"",
          NCR_CLASS_CLIENT, 0 },
        { 424, "ModelErrorException", "x", NCR_CLASS_SERVER, 1 },
        { 408, "ModelTimeoutException", "x", NCR_CLASS_SERVER, 1 },
        { 500, "InternalServerException", "x", NCR_CLASS_SERVER, 1 }
    };

    ok = 1;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        v = ncr_test_verdict(rows[i].status, rows[i].class, rows[i].message);

        if (v.class != rows[i].verdict || v.retry != rows[i].retry) {
            printf("# %s: %s\n", rows[i].message, ncr_class_name(v.class));
            ok = 0;
        }
    }

    ncr_test(ok, "F082: verdicts");

    v = ncr_test_verdict(403, NULL, "You don't have access to the model");
    ncr_test(v.family && v.fault == NCR_FAULT_MODEL
             && v.base == ncr_test_rests.edge, "no access: a family, shortly");

    v = ncr_test_verdict(400, NULL, "The provided model identifier is "
                                    "invalid.");
    ncr_test(v.rest == NCR_REST_NONE, "a name that is none rests nobody");

    v = ncr_test_verdict(200, "ThrottlingException", "x");
    ncr_test(v.class == NCR_CLASS_OK, "what is good is good");
}


static void
ncr_test_proof(void)
{
    ncr_out_t  out;
    ncr_str_t  secret, none;

    none = ncr_test_s("");

    ncr_out_init(&out, ncr_test_room[0], sizeof(ncr_test_room[0]));
    secret = ncr_test_s("ABSKexample");
    ncr_bedrock_proof(&out, &secret, NULL, &none);
    *out.last = '\0';
    ncr_test(strcmp((char *) out.start,
                    "Authorization: Bearer ABSKexample\r\n") == 0,
             "F082: a bearer key is shown");

    ncr_out_init(&out, ncr_test_room[0], sizeof(ncr_test_room[0]));
    secret = ncr_test_s("AKID:secret");
    ncr_bedrock_proof(&out, &secret, NULL, &none);
    ncr_test(out.last == out.start, "F082: one that signs is not");
}


static void
ncr_test_fields(void)
{
    ncr_str_t  params[NCR_PARAMS], url, v;

#define bad(check, text)  (v = ncr_test_s(text), check(&v) != NULL)

    ncr_test(bad(ncr_bedrock_check_region, "")
             && bad(ncr_bedrock_check_region, "us-east-1.evil")
             && bad(ncr_bedrock_check_region, "us/east")
             && bad(ncr_bedrock_check_region, "us-east-1\r\nx: y")
             && !bad(ncr_bedrock_check_region, "us-gov-west-1"),
             "a region is no other part of a name");
    ncr_test(bad(ncr_bedrock_check_prefix, "")
             && bad(ncr_bedrock_check_prefix, "us.")
             && !bad(ncr_bedrock_check_prefix, "us-gov"),
             "a prefix has no dot");
    ncr_test(bad(ncr_bedrock_check_betas, "a,\"b\"")
             && bad(ncr_bedrock_check_betas, "a, b")
             && !bad(ncr_bedrock_check_betas, "")
             && !bad(ncr_bedrock_check_betas, NCR_BEDROCK_ACCEPTED),
             "betas need no escape");
    ncr_test(bad(ncr_bedrock_check_workspace, "a b")
             && !bad(ncr_bedrock_check_workspace, "wrkspc_01A"),
             "a workspace is no line");

    params[0] = ncr_test_s("eu-west-1");
    url = ncr_bedrock_base(params, ncr_test_room[0], 1024);
    ncr_test(ncr_test_str(url, "https://bedrock-runtime.eu-west-1."
                               "amazonaws.com"), "F082: I.1: the runtime");
    url = ncr_bedrock_mantle_base(params, ncr_test_room[0], 1024);
    ncr_test(ncr_test_str(url, "https://bedrock-mantle.eu-west-1.api.aws/"
                               "anthropic"), "F082: I.1: Mantle");
    url = ncr_bedrock_aws_base(params, ncr_test_room[0], 1024);
    ncr_test(ncr_test_str(url, "https://aws-external-anthropic.eu-west-1."
                               "api.aws"), "F082: I.1: the platform on AWS");

    params[0] = ncr_test_s("cn-north-1");
    url = ncr_bedrock_base(params, ncr_test_room[0], 1024);
    ncr_test(ncr_test_str(url, "https://bedrock-runtime.cn-north-1."
                               "amazonaws.com.cn"), "F082: I.1: China");
}


static ncr_str_t
ncr_test_header(ncr_way_t *way, const char *name)
{
    (void) way;

    return ncr_test_s(strcmp(name, "anthropic-beta") == 0
                         ? "context-1m-2025-08-07,,x,context-1m-2025-08-07, "
                           "\"evil\"" : "");
}


/* the case A of anthropic.md I.4, by way of the platform */

static void
ncr_test_signature(void)
{
    ncr_str_t   params[NCR_PARAMS];
    ncr_way_t   way;
    ncr_uint_t  i;
    ncr_char_t  digest[NCR_SHA256_LEN];

    static const char  hex[] =
        "08a96b006bcc6da5138fd1f01e0a509fff044d555fe96675970de1686f6c9a67";

    memset(&way, 0, sizeof(ncr_way_t));

    for (i = 0; i < NCR_SHA256_LEN; i++) {
        unsigned  byte;

        sscanf(hex + 2 * i, "%2x", &byte);
        digest[i] = (ncr_char_t) byte;
    }

    params[0] = ncr_test_s("us-east-1");
    params[1] = ncr_test_s("us");
    params[2] = ncr_test_s(NCR_BEDROCK_ACCEPTED);

    way.op = NCR_OP_INVOKE_STREAM;
    way.dialect = NCR_DIALECT_BEDROCK;
    way.method = ncr_test_s("POST");
    way.path = ncr_test_s("/model/us.anthropic.claude-sonnet-4-5-20250929-"
                             "v1:0/invoke-with-response-stream");
    way.model = ncr_test_s("claude-sonnet-4-5-20250929");
    way.asked = way.model;
    way.base = ncr_test_s("");
    way.host = ncr_test_s("bedrock-runtime.us-east-1.amazonaws.com");
    way.secret = ncr_test_s("AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
                               "EXAMPLEKEY:IQoJb3JpZ2luX2VjEXAMPLETOKEN/abc"
                               "+def==");
    way.params = params;
    way.now = (ncr_msec_t) 1795262400 * 1000;
    way.header = ncr_test_header;

    ncr_out_init(&way.target, ncr_test_room[0], sizeof(ncr_test_room[0]));
    ncr_out_init(&way.lines, ncr_test_room[1], sizeof(ncr_test_room[1]));
    ncr_out_init(&way.text, ncr_test_room[2], sizeof(ncr_test_room[2]));

    ncr_test(ncr_bedrock_way(&way) == NCR_OK
             && ncr_bedrock_sign(&way, digest) == NCR_OK,
             "a native request is signed");

    *way.target.last = '\0';
    *way.lines.last = '\0';

    ncr_test(strcmp((char *) way.target.start,
                    "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/"
                    "invoke-with-response-stream") == 0, "its path");
    ncr_test(strstr((char *) way.lines.start,
                    "Signature=fedc1ce5803f9deb3729eb07ebf4f870fa0a19c0d8e5c"
                    "c9e94bafbfc4033b232\r\n") != NULL,
             "F082: I.4, case A");
    ncr_test(strstr((char *) way.lines.start, "wJalr") == NULL,
             "the secret is in no line");
    ncr_test(way.nedits == 0, "nothing of its body is edited");

    way.path = ncr_test_s("/model/../invoke-with-response-stream");
    way.asked = ncr_test_s("..");
    way.model = way.asked;
    ncr_test(ncr_bedrock_way(&way) == NCR_BAD && way.status == 400,
             "dots are no id");

    ncr_out_init(&way.text, ncr_test_room[2], sizeof(ncr_test_room[2]));
    ncr_bedrock_betas(&way, &way.text);
    *way.text.last = '\0';
    ncr_test(strcmp((char *) way.text.start,
                    ",\"anthropic_beta\":[\"context-1m-2025-08-07\"]") == 0,
             "F082: betas, each once and none but those of the list");
}


int
main(void)
{
    ncr_rests_default(&ncr_test_rests);

    ncr_test_verdicts();
    ncr_test_proof();
    ncr_test_fields();
    ncr_test_signature();

    return ncr_test_done();
}
