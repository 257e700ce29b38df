
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/codec/ncr_anthropic_request.c"
#include "../../src/codec/ncr_anthropic_system.c"
#include "ncr_bodies.h"


typedef struct {
    const char  *name;
    const char  *body;
    const char  *told;
} ncr_test_row_t;


static ncr_sha256_t             ncr_test_plain, ncr_test_cached;
static ncr_anthropic_request_t  ncr_test_req;
static ncr_str_t                ncr_test_leading;


#define ID    "00000000-0000-4000-8000-000000000001"
#define HEX   "d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0"


static ncr_test_row_t  ncr_test_rows[] = {

    { "the shape of Claude Code",
      "{\"model\":\"claude-opus-5\",\"messages\":[{\"role\":\"user\","
      "\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}],\"system\":[{"
      "\"type\":\"text\",\"text\":\"You are\",\"cache_control\":{\"type\":"
      "\"ephemeral\"}}],\"metadata\":{\"user_id\":\"{\\\"device_id\\\":\\\""
      HEX "\\\",\\\"account_uuid\\\":\\\"\\\",\\\"session_id\\\":\\\"" ID
      "\\\"}\"},\"max_tokens\":128000,\"stream\":true}",
      "claude-opus-5 9-24 128000 stream user [" ID "]" },
    { "the older one",
      "{\"model\":\"m\",\"metadata\":{\"user_id\":\"user_" HEX
      "_account__session_" ID "\"}}", "m 9-12 -1 user [" ID "]" },
    { "white space, and nothing else",
      " {\n\t\"model\" :\r\n \"m\" , \"stream\": false } \n",
      "m 16-19 -1 []" },
    { "an escaped key and model",
      "{\"mo\\u0064el\":\"\\u0063laude\\/\xc3\xa9\"}",
      "claude/\xc3\xa9 14-31 -1 []" },
    { "metadata null", "{\"model\":\"m\",\"metadata\":null}",
      "m 9-12 -1 []" },
    { "user_id null", "{\"model\":\"m\",\"metadata\":{\"user_id\":null}}",
      "m 9-12 -1 []" },
    { "user_id elsewhere",
      "{\"model\":\"m\",\"metadata\":{\"x\":{\"user_id\":\"no\"},"
      "\"user_id\":\"yes\"}}", "m 9-12 -1 user [yes]" },
    { "an opaque user_id",
      "{\"metadata\":{\"user_id\":\"u 1\"},\"model\":\"m\"}",
      "m 38-41 -1 user [u 1]" },
    { "an empty session is none, the whole counts",
      "{\"model\":\"m\",\"metadata\":{\"user_id\":\"user_1_session_\"}}",
      "m 9-12 -1 user [user_1_session_]" },
    { "JSON without a session", "{\"model\":\"m\",\"metadata\":{\"user_id\":"
      "\"{\\\"session_id\\\":\\\"\\\"}\"}}",
      "m 9-12 -1 user [{\"session_id\":\"\"}]" },
    { "JSON that breaks after the session", "{\"model\":\"m\",\"metadata\":{"
      "\"user_id\":\" {\\\"session_id\\\":\\\"s\\\",!\"}}",
      "m 9-12 -1 user [s]" },
    { "a session deeper in JSON is another's", "{\"model\":\"m\",\"metadata\":"
      "{\"user_id\":\"{\\\"a\\\":{\\\"session_id\\\":\\\"s\\\"}}\"}}",
      "m 9-12 -1 user [{\"a\":{\"session_id\":\"s\"}}]" },
    { "session_id", "{\"model\":\"m\",\"session_id\":\"a\"}",
      "m 9-12 -1 [a]" },
    { "row 6 is before the whole user_id", "{\"model\":\"m\",\"metadata\":{"
      "\"user_id\":\"u\"},\"prompt_cache_key\":\"p\"}",
      "m 9-12 -1 user [p]" },
    { "and after the session in it", "{\"model\":\"m\",\"session_id\":\"a\","
      "\"metadata\":{\"user_id\":\"x_session_s\"}}", "m 9-12 -1 user [s]" },
    { "the order within row 6", "{\"model\":\"m\",\"conversation_id\":\"e\","
      "\"conversation\":\"d\",\"prompt_cache_key\":\"c\",\"sessionId\":\"b\"}",
      "m 9-12 -1 [b]" },
    { "an empty one is passed over", "{\"model\":\"m\",\"session_id\":\"\","
      "\"conversation_id\":\"e\"}", "m 9-12 -1 [e]" },
    { "a conversation with an id",
      "{\"model\":\"m\",\"conversation\":{\"x\":\"y\",\"id\":\"c\"}}",
      "m 9-12 -1 [c]" },
    { "numbers are no sessions", "{\"model\":\"m\",\"session_id\":5}",
      "m 9-12 -1 []" },
    { "max_tokens is not judged", "{\"model\":\"m\",\"max_tokens\":-5}",
      "m 9-12 -5 []" },
    { "nor another type of it", "{\"model\":\"m\",\"max_tokens\":\"5\"}",
      "m 9-12 -1 []" },
    { "a float elsewhere", "{\"model\":\"m\",\"temperature\":0.7}",
      "m 9-12 -1 []" },
    { "the largest number", "{\"model\":\"m\",\"x\":9223372036854775807}",
      "m 9-12 -1 []" },
    { "large numbers further down are not ours",
      "{\"model\":\"m\",\"x\":[9223372036854775808]}", "m 9-12 -1 []" },
    { "equal keys further down are not ours",
      "{\"model\":\"m\",\"x\":{\"a\":1,\"a\":2}}", "m 9-12 -1 []" },

    { "duplicate model", "{\"model\":\"a\",\"model\":\"b\"}",
      "! duplicate key \"model\"" },
    { "duplicate of any key", "{\"model\":\"a\",\"x\":1,\"y\":2,\"x\":1}",
      "! duplicate key \"x\"" },
    { "duplicate, escaped", "{\"model\":\"a\",\"\\u006dodel\":\"b\"}",
      "! duplicate key \"model\"" },
    { "duplicate, to be escaped", "{\"\\\"\\n\":1,\"\\\"\\n\":1}",
      "! duplicate key \"\\\"\\n\"" },
    { "not an object", "[1]", "! request body must be an object" },
    { "a string", "\"model\"", "! request body must be an object" },
    { "a number", "12", "! request body must be an object" },
    { "nothing", "", "! request body is not valid JSON: unexpected end at "
      "byte 0" },
    { "cut", "{\"model\":\"m\"",
      "! request body is not valid JSON: unexpected end at byte 12" },
    { "broken", "{\"model\":\"m\",}",
      "! request body is not valid JSON: unexpected character at byte 13" },
    { "no model", "{}", "! model: field required" },
    { "model null", "{\"model\":null}", "! model must be a string" },
    { "model an object", "{\"model\":{}}", "! model must be a string" },
    { "model empty", "{\"model\":\"\"}", "! model is empty" },
    { "model with a control character", "{\"model\":\"a\\nb\"}",
      "! control character in model" },
    { "model with NUL", "{\"model\":\"a\\u0000b\"}",
      "! control character in model" },
    { "model with DEL", "{\"model\":\"a\x7f\"}",
      "! control character in model" },
    { "model with a bad escape", "{\"model\":\"\\x\"}",
      "! invalid escape in model" },
    { "key with a bad escape", "{\"\\x\":1}", "! invalid escape in a key" },
    { "stream a string", "{\"model\":\"m\",\"stream\":\"true\"}",
      "! stream must be a boolean" },
    { "stream a number", "{\"model\":\"m\",\"stream\":1}",
      "! stream must be a boolean" },
    { "stream null", "{\"model\":\"m\",\"stream\":null}",
      "! stream must be a boolean" },
    { "max_tokens too large",
      "{\"model\":\"m\",\"max_tokens\":9223372036854775808}",
      "! number of \"max_tokens\" is out of range" },
    { "any number too large",
      "{\"model\":\"m\",\"thing\":-99999999999999999999}",
      "! number of \"thing\" is out of range" }
};


static void
ncr_test_told(char *buf, size_t size)
{
    ncr_anthropic_request_t  *req;

    req = &ncr_test_req;

    snprintf(buf, size, "%.*s %d-%d %d%s%s [%.*s]", (int) req->told.model.len,
             (char *) req->told.model.data, (int) req->told.model_start,
             (int) req->told.model_end, (int) req->told.max_tokens,
             req->told.stream ? " stream" : "",
             req->has_user_id ? " user" : "",
             (int) req->told.session.len, (char *) req->told.session.data);
}


static void
ncr_test_init(ncr_uint_t require)
{
    ncr_anthropic_request_init(&ncr_test_req, &ncr_test_plain,
                               &ncr_test_cached, require);

    if (ncr_test_leading.len) {
        ncr_test_req.leading = &ncr_test_leading;
    }
}


static const ncr_bodies_t  ncr_bodies = {
    &ncr_codec_anthropic, &ncr_test_req.told, sizeof(ncr_test_req),
    ncr_test_init, ncr_test_told
};


static void
ncr_test_bodies(void)
{
    size_t           i;
    ncr_test_row_t  *row;

    /* the hash is another test's */

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_rows[0]); i++) {
        row = &ncr_test_rows[i];
        ncr_bodies_test(row->name, row->body, 1, row->told);
    }
}


#define ncr_test_hash(body)  ncr_bodies_hash(body, 1)

#define ncr_test_same(a, b)                                                   \
    (strcmp(ncr_test_hash(a), ncr_test_hash(b)) == 0)


#define S(body)  "{\"model\":\"m\"," body "}"
#define T(text)  "{\"type\":\"text\",\"text\":\"" text "\"}"
#define C(text)  "{\"type\":\"text\",\"text\":\"" text "\","                  \
                 "\"cache_control\":{\"type\":\"ephemeral\",\"ttl\":\"1h\"}}"
#define USER(content)  "{\"role\":\"user\",\"content\":" content "}"


static void
ncr_test_hashes(void)
{
    const char  *one;

    one = S("\"system\":[" C("sys") "],\"messages\":[" USER("[" C("hi") "]")
            "]");

    ncr_test(strlen(ncr_test_hash(one)) == 9, "a body without a session");
    ncr_test(ncr_test_same(one,
        S("\"system\":[" C("sys") "],\"messages\":[" USER("[" T("hi") "]")
          ",{\"role\":\"assistant\",\"content\":\"ho\"},"
          USER("[" C("more") "]") "]")),
        "hash: the same when the conversation goes on");
    ncr_test(ncr_test_same(one,
        S("\"system\":[" C("sys") "],\"messages\":[" USER("\"hi\"")
          ",{\"role\":\"assistant\",\"content\":\"ho\"}]")),
        "hash: the same when the block became a string");
    ncr_test(ncr_test_same(one,
        S("\"stream\":true,\"tools\":[1,{\"a\":2}],\"system\" : [ "
          C("sys") " ] ,\"max_tokens\":5,\"messages\" :[ {\"role\": \"user\","
          "\"content\": \"hi\"} ]")),
        "hash: the same whatever else is in the body");
    ncr_test(ncr_test_same(one,
        S("\"messages\":[" USER("[" C("hi") "]") "],\"system\":["
          C("sys") "]")), "hash: the same in another order");
    ncr_test(!ncr_test_same(one,
        S("\"system\":[" C("sys2") "],\"messages\":[" USER("\"hi\"") "]")),
        "hash: another system");
    ncr_test(!ncr_test_same(one,
        S("\"system\":[" C("sys") "],\"messages\":[" USER("\"ho\"") "]")),
        "hash: another message");
    ncr_test(ncr_test_same(
        S("\"system\":[" T("billing 1") "," C("sys") "],\"messages\":["
          USER("\"hi\"") "]"),
        S("\"system\":[" T("billing 2") "," C("sys") "],\"messages\":["
          USER("\"hi\"") "]")),
        "hash: of system only what is cached");
    ncr_test(!ncr_test_same(
        S("\"system\":[" T("a") "," T("sys") "],\"messages\":[]"),
        S("\"system\":[" T("b") "," T("sys") "],\"messages\":[]")),
        "hash: all of it if nothing is");
    ncr_test(ncr_test_same(
        S("\"system\":\"sys\",\"messages\":[" USER("\"hi\"") "]"),
        S("\"system\":[" T("sys") "],\"messages\":[" USER("\"hi\"") "]")),
        "hash: system may be a string");
    ncr_test(!ncr_test_same(
        S("\"messages\":[" USER("[{\"type\":\"image\",\"source\":{\"data\":"
          "[\"a\",{\"b\":{\"c\":1}}]}}," T("x") "]") "]"),
        S("\"messages\":[" USER("[{\"type\":\"image\",\"source\":{\"data\":"
          "[\"a\",{\"b\":{\"c\":2}}]}}," T("x") "]") "]")),
        "hash: the whole of a value");
    ncr_test(ncr_test_same(
        S("\"messages\":[{\"content\":\"hi\",\"x\":{\"y\":[{\"text\":1}]},"
          "\"role\":\"user\"},1]"),
        S("\"messages\":[{\"content\":[" C("hi") "],\"x\":{\"y\":[{\"text\":"
          "1}]},\"role\":\"user\"},[[2]]]")), "hash: strange members");
    ncr_test(strcmp(ncr_test_hash(S("\"messages\":[]")), "") == 0
             && strcmp(ncr_test_hash(S("\"system\":[],\"messages\":5")), "")
                == 0, "hash: of nothing is none");
    ncr_test(strcmp(ncr_test_hash(S("\"system\":\"x\",\"session_id\":\"s\"")),
                    "") == 0, "hash: none where a session is");
    ncr_test(strcmp(ncr_test_hash(S("\"system\":{\"a\":{\"b\":[1]}},"
                                    "\"messages\":[[" T("x") "]]")), "")
             != 0, "hash: of what the API will refuse");
}


static void
ncr_test_long(void)
{
    char    told[4096], other[4096];
    char   *body;
    size_t  i, n;

    /* much longer than what is hashed */

    n = 200 * 1024;
    body = malloc(n + 256);

    strcpy(body, "{\"model\":\"m\",\"system\":\"");
    i = strlen(body);
    memset(body + i, 'x', n);
    strcpy(body + i + n, "\",\"messages\":[{\"role\":\"user\",\"content\":"
           "\"hi\"}]}");

    ncr_test(ncr_bodies_all(body, strlen(body), 1, told, sizeof(told)),
             "a long system, in pieces");

    body[i + n - 1] = 'y';
    (void) ncr_bodies_read(body, strlen(body), strlen(body), 1, 1);
    ncr_bodies_told(NCR_OK, other, sizeof(other));

    ncr_test(strcmp(told, other) == 0, "only its beginning is hashed");

    body[strlen(body) - 5] = 'o';
    (void) ncr_bodies_read(body, strlen(body), strlen(body), 1, 1);
    ncr_bodies_told(NCR_OK, other, sizeof(other));

    ncr_test(strcmp(told, other) != 0, "but the message has its own share");

    /* a user_id without end, cut within an escape */

    strcpy(body, "{\"model\":\"m\",\"metadata\":{\"user_id\":\"x");
    n = strlen(body);

    for (i = 0; i < 500; i++) {
        memcpy(body + n, "\\u00e9", 6);
        n += 6;
    }

    strcpy(body + n, "\"}}");

    ncr_test(ncr_bodies_all(body, strlen(body), 1, told, sizeof(told)),
             "a long user_id, in pieces");
    ncr_test(ncr_test_req.has_user_id
             && ncr_test_req.told.session.len == 1 + 2 * 170,
             "is cut between characters");

    free(body);
}


static void
ncr_test_ceilings(void)
{
    char    body[4096], told[256];
    size_t  i, n;

    n = (size_t) sprintf(body, "{\"model\":\"m\"");

    for (i = 1; i < NCR_ANTHROPIC_KEYS; i++) {
        n += (size_t) sprintf(body + n, ",\"k%d\":1", (int) i);
    }

    strcpy(body + n, "}");
    ncr_bodies_told(ncr_bodies_read(body, n + 1, n + 1, 1, 1), told,
                  sizeof(told));
    ncr_test(strcmp(told, "m 9-12 -1 []") == 0, "64 fields are not too many");

    strcpy(body + n, ",\"x\":1}");
    ncr_bodies_told(ncr_bodies_read(body, n + 7, n + 7, 1, 1), told,
                  sizeof(told));
    ncr_test(strcmp(told, "! too many fields") == 0, "65 are");

    strcpy(body, "{\"");
    memset(body + 2, 'k', 1500);
    strcpy(body + 1502, "\":1}");

    (void) ncr_bodies_all(body, strlen(body), 1, told, sizeof(told));
    ncr_test(strncmp(told, "! key \"kkk", 9) == 0
             && strcmp(told + strlen(told) - 13, "\" is too long") == 0,
             "a key of 1500 bytes is too long");

    strcpy(body, "{\"model\":\"");
    memset(body + 10, 'm', 127);
    strcpy(body + 137, "\"}");

    (void) ncr_bodies_read(body, 139, 139, 1, 1);
    ncr_test(ncr_test_req.told.model.len == 127,
             "a model of 127 bytes is not");

    memset(body + 10, 'm', 128);
    strcpy(body + 138, "\"}");

    ncr_bodies_told(ncr_bodies_read(body, 140, 140, 1, 1), told, sizeof(told));
    ncr_test(strcmp(told, "! model is too long") == 0, "one of 128 is");

    n = (size_t) sprintf(body, "{\"model\":\"m\",\"x\":");
    memset(body + n, '[', 255);
    memset(body + n + 255, ']', 255);
    strcpy(body + n + 510, "}");

    ncr_test(ncr_bodies_read(body, n + 511, 5, 7, 1) == NCR_OK,
             "256 levels are not too deep");

    memset(body + n, '[', 256);

    ncr_bodies_told(ncr_bodies_read(body, n + 511, 5, 7, 1), told,
                  sizeof(told));
    ncr_test(strstr(told, "nesting too deep") != NULL, "257 are");

    strcpy(body, "{\"model\":5,\"x\":\"y\"}");

    ncr_test(ncr_bodies_read(body, strlen(body), 3, 1, 0) == NCR_OK
             && ncr_test_req.told.model.len == 0,
             "a model that is not required may be anything");

    ncr_anthropic_request_init(&ncr_test_req, NULL, NULL, 1);

    strcpy(body, "{\"model\":\"m\",\"system\":[{\"text\":\"x\"}],"
           "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");

    ncr_test(ncr_bodies_feed(body, strlen(body)) == NCR_OK
             && ncr_anthropic_request_final(&ncr_test_req) == NCR_OK
             && !ncr_test_req.told.hashed, "no contexts, no hash");

    (void) ncr_bodies_read("{\"a\":1,\"a\":1}", 13, 13, 1, 1);

    ncr_test(ncr_anthropic_request_error(&ncr_test_req, told, 4).len <= 4,
             "an error fits into what there is");
}


/* a block in front of system: the body, and with it; NULL if it stays */

#define LEAD   "You are \"it\"."
#define LEADJ  "You are \\\"it\\\"."
#define BLOCK  "{\"type\":\"text\",\"text\":\"" LEADJ "\"}"
#define LONG   "a long text of another kind, and more of it "
#define BILL   "x-anthropic-billing-header: cc_version=2; cch=0;"


static const char  *ncr_test_leads[][3] = {

    { "no system", "{\"model\":\"m\"}",
      "{\"system\":[" BLOCK "],\"model\":\"m\"}" },
    { "no system, blanks", " \n{ \"model\" : \"m\" } ",
      " \n{\"system\":[" BLOCK "], \"model\" : \"m\" } " },
    { "no member at all", "{}", "{\"system\":[" BLOCK "]}" },
    { "system elsewhere is another's",
      "{\"x\":{\"system\":\"a\"},\"messages\":[{\"system\":[]}]}",
      "{\"system\":[" BLOCK "],\"x\":{\"system\":\"a\"},"
      "\"messages\":[{\"system\":[]}]}" },
    { "null", "{\"model\":\"m\",\"system\": null ,\"x\":1}",
      "{\"model\":\"m\",\"system\": [" BLOCK "] ,\"x\":1}" },
    { "an empty string", "{\"system\":\"\",\"model\":\"m\"}",
      "{\"system\":[" BLOCK "],\"model\":\"m\"}" },
    { "a string", "{\"model\":\"m\",\"system\":\"be \\u0062rief\"}",
      "{\"model\":\"m\",\"system\":[" BLOCK ",{\"type\":\"text\",\"text\":"
      "\"be \\u0062rief\"}]}" },
    { "a long string", "{\"system\": \"" LONG LONG LONG LONG "\" }",
      "{\"system\": [" BLOCK ",{\"type\":\"text\",\"text\":\"" LONG LONG
      LONG LONG "\"}] }" },
    { "a string that begins with it",
      "{\"system\":\"" LEADJ " And more.\"}", NULL },
    { "a string that begins with most of it",
      "{\"system\":\"You are \\\"it\\\"\"}",
      "{\"system\":[" BLOCK ",{\"type\":\"text\",\"text\":"
      "\"You are \\\"it\\\"\"}]}" },
    { "it is not in the beginning", "{\"system\":\" " LEADJ "\"}",
      "{\"system\":[" BLOCK ",{\"type\":\"text\",\"text\":\" " LEADJ
      "\"}]}" },
    { "an escaped name", "{\"syst\\u0065m\":\"a\"}",
      "{\"syst\\u0065m\":[" BLOCK ",{\"type\":\"text\",\"text\":\"a\"}]}" },
    { "an empty array", "{\"system\":[],\"model\":\"m\"}",
      "{\"system\":[" BLOCK "],\"model\":\"m\"}" },
    { "an empty array with blanks", "{\"system\" : [ \n ] }",
      "{\"system\" : [" BLOCK " \n ] }" },
    { "an array", "{\"system\":[ {\"type\":\"text\",\"text\":\"a\"}]}",
      "{\"system\":[" BLOCK ", {\"type\":\"text\",\"text\":\"a\"}]}" },
    { "an array of three",
      "{\"system\":[{\"text\":\"a\"},{\"text\":\"b\"},{\"text\":\"" LEADJ
      "\"}],\"model\":\"m\"}",
      "{\"system\":[" BLOCK ",{\"text\":\"a\"},{\"text\":\"b\"},{\"text\":\""
      LEADJ "\"}],\"model\":\"m\"}" },
    { "the first block begins with it",
      "{\"system\":[{\"text\":\"" LEADJ LONG "\",\"cache_control\":{}},1]}",
      NULL },
    { "the second block does",
      "{\"system\":[{\"text\":\"a\"},{\"type\":\"text\",\"text\":\"\\u0059ou "
      "are \\u0022it\\u0022.\"}]}", NULL },
    { "text of something inside of a block is not its own",
      "{\"system\":[{\"x\":{\"text\":\"" LEADJ "\"},\"y\":[\"text\",\"" LEADJ
      "\"],\"text\":{\"text\":\"" LEADJ "\"}}]}",
      "{\"system\":[" BLOCK ",{\"x\":{\"text\":\"" LEADJ
      "\"},\"y\":[\"text\",\"" LEADJ "\"],\"text\":{\"text\":\"" LEADJ
      "\"}}]}" },
    { "no blocks", "{\"system\":[\"" LEADJ "\",[\"text\",\"" LEADJ "\"]]}",
      "{\"system\":[" BLOCK ",\"" LEADJ "\",[\"text\",\"" LEADJ "\"]]}" },
    { "an attribution stays the first",
      "{\"system\":[{\"text\":\"" BILL "\"} , {\"text\":\"a\"}]}",
      "{\"system\":[{\"text\":\"" BILL "\"}," BLOCK " , {\"text\":\"a\"}]}" },
    { "an attribution alone", "{\"system\":[{\"text\":\"" BILL "\"}]}",
      "{\"system\":[{\"text\":\"" BILL "\"}," BLOCK "]}" },
    { "an attribution, then it",
      "{\"system\":[{\"text\":\"" BILL "\"},{\"text\":\"" LEADJ "\"}]}",
      NULL },
    { "an attribution that is the second is none",
      "{\"system\":[{\"text\":\"a\"},{\"text\":\"" BILL "\"}]}",
      "{\"system\":[" BLOCK ",{\"text\":\"a\"},{\"text\":\"" BILL "\"}]}" },
    { "an object", "{\"system\":{\"text\":\"a\"},\"model\":\"m\"}", NULL },
    { "a number", "{\"system\":17,\"model\":\"m\"}", NULL },
    { "true", "{\"model\":\"m\",\"system\":true}", NULL }
};


/* the body with its edits, NULL if they are out of order or out of it */

static char *
ncr_test_edited(const char *body, size_t len)
{
    char        *text, *p;
    size_t       pos;
    ncr_str_t    block;
    ncr_edit_t   edits[NCR_ANTHROPIC_LEAD_EDITS];
    ncr_uint_t   i, n;

    block.data = (ncr_char_t *) BLOCK;
    block.len = strlen(BLOCK);

    n = ncr_anthropic_lead(&ncr_test_req.system, &block, edits);

    text = malloc(len + 1024);
    p = text;
    pos = 0;

    for (i = 0; i < n; i++) {

        if (edits[i].offset < pos
            || edits[i].offset + edits[i].remove > len)
        {
            free(text);
            return NULL;
        }

        memcpy(p, body + pos, edits[i].offset - pos);
        p += edits[i].offset - pos;
        memcpy(p, edits[i].insert.data, edits[i].insert.len);
        p += edits[i].insert.len;
        pos = edits[i].offset + edits[i].remove;
    }

    memcpy(p, body + pos, len - pos);
    p[len - pos] = '\0';

    return text;
}


static void
ncr_test_systems(void)
{
    char        *text, name[128];
    size_t       i, cut, len;
    ncr_uint_t   good, hash;
    const char  *body, *wanted;

    ncr_test_leading.data = (ncr_char_t *) LEAD;
    ncr_test_leading.len = strlen(LEAD);

    for (i = 0; i < sizeof(ncr_test_leads) / sizeof(ncr_test_leads[0]); i++) {

        body = ncr_test_leads[i][1];
        wanted = ncr_test_leads[i][2] ? ncr_test_leads[i][2] : body;
        len = strlen(body);
        good = 1;

        /* cut at each byte, the rest whole or byte by byte */

        for (cut = 0; cut <= 2 * len; cut++) {

            good &= (ncr_bodies_read(body, len, cut % (len + 1),
                                    (cut > len) ? 1 : len, 0) == NCR_OK);
            text = ncr_test_edited(body, len);
            good &= (text != NULL && strcmp(text, wanted) == 0);
            free(text);
        }

        /* also where nothing else asks for system */

        for (hash = 0; hash < 2; hash++) {
            ncr_anthropic_request_init(&ncr_test_req,
                                       hash ? &ncr_test_plain : NULL,
                                       hash ? &ncr_test_cached : NULL, 0);
            ncr_test_req.leading = &ncr_test_leading;

            good &= (ncr_bodies_feed(body, len) == NCR_OK
                     && ncr_anthropic_request_final(&ncr_test_req) == NCR_OK);
            text = ncr_test_edited(body, len);
            good &= (text != NULL && strcmp(text, wanted) == 0);
            free(text);
        }

        snprintf(name, sizeof(name), "system: %s", ncr_test_leads[i][0]);
        ncr_test(good, name);
    }
}


/* the longest text, each byte of it escaped, in front of a longer one */

static void
ncr_test_long_system(void)
{
    char        body[8192], lead[NCR_ANTHROPIC_LEADING];
    size_t      i, n, cut;
    ncr_uint_t  good;

    memset(lead, 'L', sizeof(lead));

    ncr_test_leading.data = (ncr_char_t *) lead;
    ncr_test_leading.len = sizeof(lead);

    n = (size_t) sprintf(body, "{\"system\":[{\"text\":\"");

    for (i = 0; i < NCR_ANTHROPIC_LEADING; i++) {
        n += (size_t) sprintf(body + n, "\\u004c");
    }

    memset(body + n, 'x', 4000);
    strcpy(body + n + 4000, "\"}]}");
    n = strlen(body);

    good = 1;

    for (cut = 0; cut < n; cut += 7) {
        good &= (ncr_bodies_read(body, n, cut, n, 0) == NCR_OK
                 && ncr_test_req.system.leads);
    }

    ncr_test(good, "the longest text is found in its longest form");

    body[19 + 1 + 5] = 'd';

    good = 1;

    for (cut = 0; cut < n; cut += 7) {
        good &= (ncr_bodies_read(body, n, cut, n, 0) == NCR_OK
                 && !ncr_test_req.system.leads);
    }

    ncr_test(good, "and another is not");

    ncr_str_null(&ncr_test_leading);

    (void) ncr_bodies_read(body, n, n, 1, 0);

    ncr_test(ncr_test_req.system.kind == NCR_ANTHROPIC_SYSTEM_ARRAY
             && ncr_test_req.system.start == 10
             && ncr_test_req.system.end == n - 1
             && ncr_test_req.system.open == 1
             && !ncr_test_req.system.leads, "where it is, without a text");
}


int
main(void)
{
    if (ncr_sha256_create(&ncr_test_plain) != NCR_OK
        || ncr_sha256_create(&ncr_test_cached) != NCR_OK)
    {
        return 2;
    }

    ncr_test_bodies();
    ncr_test_hashes();
    ncr_test_long();
    ncr_test_ceilings();
    ncr_test_systems();
    ncr_test_long_system();

    ncr_sha256_free(&ncr_test_plain);
    ncr_sha256_free(&ncr_test_cached);

    return ncr_test_done();
}
