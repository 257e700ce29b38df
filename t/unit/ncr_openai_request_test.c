
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/codec/ncr_openai_request.c"
#include "../../src/codec/ncr_openai_member.c"
#include "ncr_bodies.h"


typedef struct {
    const char  *name;
    ncr_op_e     op;
    const char  *body;
    const char  *told;
} ncr_test_row_t;


static ncr_sha256_t          ncr_test_plain;
static ncr_openai_request_t  ncr_test_req;


#define R  NCR_OP_RESPONSES
#define C  NCR_OP_CHAT
#define M  "\"model\":\"m\""


static ncr_test_row_t  ncr_test_rows[] = {

    { "F011: the shape of Codex", R,
      "{\"model\":\"gpt-5.5\",\"instructions\":\"You\",\"input\":[],\"tools\":"
      "[],\"tool_choice\":\"auto\",\"parallel_tool_calls\":true,\"store\":"
      "false,\"stream\":true,\"include\":[\"reasoning.encrypted_content\"],"
      "\"prompt_cache_key\":\"s-1\",\"client_metadata\":{\"session_id\":"
      "\"s-2\"}}",
      "gpt-5.5 9-18 -1 stream <> [s-1]" },
    { "a stored response is a thread", R, "{" M ",\"input\":\"hi\"}",
      "m 9-12 -1 thread <> []" },
    { "so is one that says so", R, "{" M ",\"store\":true}",
      "m 9-12 -1 thread <> []" },
    { "previous_response_id", R,
      "{" M ",\"previous_response_id\":\"resp_1\",\"store\":false}",
      "m 9-12 -1 <resp_1> []" },
    { "a conversation by its id", R, "{" M ",\"conversation\":\"conv_1\"}",
      "m 9-12 -1 thread <conv_1> []" },
    { "a conversation as an object", R,
      "{" M ",\"conversation\":{\"x\":{\"id\":\"no\"},\"id\":\"conv_2\"}}",
      "m 9-12 -1 thread <conv_2> []" },
    { "A15: session_id of client_metadata", R,
      "{" M ",\"session_id\":\"b\",\"client_metadata\":{\"session_id\":\"a\"},"
      "\"conversation_id\":\"c\"}", "m 9-12 -1 thread <> [a]" },
    { "A15: session_id", C, "{" M ",\"conversation_id\":\"c\",\"session_id\":"
      "\"b\",\"messages\":[]}", "m 9-12 -1 <> [b]" },
    { "A15: conversation_id", C,
      "{" M ",\"conversation_id\":\"c\",\"prompt_cache_key\":\"\"}",
      "m 9-12 -1 <> [c]" },
    { "A15: an escaped session", C,
      "{" M ",\"prompt_cache_key\":\"\\u0061\\/\"}", "m 9-12 -1 <> [a/]" },
    { "numbers are no sessions", C, "{" M ",\"session_id\":5}",
      "m 9-12 -1 <> []" },
    { "max_tokens", C, "{" M ",\"max_tokens\":5}", "m 9-12 5 <> []" },
    { "max_completion_tokens", C,
      "{" M ",\"max_completion_tokens\":7,\"max_tokens\":5}",
      "m 9-12 7 <> []" },
    { "max_output_tokens", R, "{" M ",\"max_output_tokens\":9}",
      "m 9-12 9 thread <> []" },
    { "max_tokens null", C, "{" M ",\"max_tokens\":null}",
      "m 9-12 -1 <> []" },
    { "max_tokens is no integer", C, "{" M ",\"max_tokens\":1.5}",
      "m 9-12 -1 <> []" },
    { "a seed of 64 bits", C, "{" M ",\"seed\":99999999999999999999}",
      "m 9-12 -1 <> []" },
    { "stream null", C, "{" M ",\"stream\":null}", "m 9-12 -1 <> []" },
    { "stream", C, " { \"stream\" : true , \"model\" : \"m\" } ",
      "m 31-34 -1 stream <> []" },
    { "a stored prompt needs no model", R, "{\"prompt\":{\"id\":\"p\"}}",
      " 0-0 -1 thread <> []" },
    { "both, as others send it", C, "{" M ",\"input\":1,\"messages\":[]}",
      "m 9-12 -1 <> []" },

    { "46: a body of Responses on Chat", C, "{" M ",\"input\":[]}",
      "! \"input\" without \"messages\" is a request of the Responses API, "
      "whose path is /v1/responses" },
    { "embeddings have an input", NCR_OP_EMBEDDINGS, "{" M ",\"input\":[1]}",
      "m 9-12 -1 <> []" },
    { "no model", C, "{\"messages\":[]}", "! model: field required" },
    { "model null", R, "{\"model\":null}", "! model must be a string" },
    { "model empty", C, "{\"model\":\"\"}", "! model is empty" },
    { "model with a line", C, "{\"model\":\"a\\nb\"}",
      "! control character in model" },
    { "model with a bad escape", C, "{\"model\":\"\\x\"}",
      "! invalid escape in model" },
    { "stream a string", C, "{" M ",\"stream\":\"true\"}",
      "! stream must be a boolean" },
    { "max_tokens is no number", C, "{" M ",\"max_tokens\":1e}",
      "! request body is not valid JSON: unexpected character at byte 28" },
    { "max_tokens larger than any", C,
      "{" M ",\"max_tokens\":9223372036854775808}",
      "! number of \"max_tokens\" is out of range" },
    { "duplicate of a known key", C, "{" M ",\"\\u006dodel\":\"b\"}",
      "! duplicate key \"model\"" },
    { "duplicate of another", C, "{\"x\":1,\"y\":1,\"x\":1}",
      "! duplicate key \"x\"" },
    { "a bad escape in a key", C, "{\"\\x\":1}",
      "! invalid escape in a key" },
    { "not an object", C, "[1]", "! request body must be an object" },
    { "a number", C, "12", "! request body must be an object" },
    { "nothing", C, "",
      "! request body is not valid JSON: unexpected end at byte 0" },
    { "cut", C, "{" M,
      "! request body is not valid JSON: unexpected end at byte 12" }
};


static void
ncr_test_told(char *buf, size_t size)
{
    size_t                 n, i;
    ncr_member_t          *m;
    ncr_openai_request_t  *req;

    req = &ncr_test_req;

    snprintf(buf, size, "%.*s %d-%d %d%s%s <%.64s> [%.*s]",
             (int) req->told.model.len, (char *) req->told.model.data,
             (int) req->told.model_start, (int) req->told.model_end,
             (int) req->told.max_tokens, req->told.stream ? " stream" : "",
             req->told.thread ? " thread" : "", req->told.previous,
             (int) req->told.session.len, (char *) req->told.session.data);

    n = strlen(buf);
    snprintf(buf + n, size - n, " {%d-%d", (int) req->members.open,
             (int) req->members.close);

    for (i = 0; i < req->members.n; i++) {
        m = &req->members.member[i];
        n = strlen(buf);

        snprintf(buf + n, size - n, " %d:%d:%d-%d", (int) m->name,
                 (int) m->key, (int) m->start, (int) m->end);
    }

    n = strlen(buf);
    snprintf(buf + n, size - n, "}");
}


static void
ncr_test_init(ncr_uint_t op)
{
    ncr_openai_request_init(&ncr_test_req, &ncr_test_plain, (ncr_op_e) op);
}


static const ncr_bodies_t  ncr_bodies = {
    &ncr_codec_openai, &ncr_test_req.told, sizeof(ncr_test_req),
    ncr_test_init, ncr_test_told
};


static void
ncr_test_bodies(void)
{
    size_t           i;
    ncr_test_row_t  *row;

    /* members and hash are other tests' */

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_rows[0]); i++) {
        row = &ncr_test_rows[i];
        ncr_bodies_test(row->name, row->body, row->op, row->told);
    }
}


static void
ncr_test_members(void)
{
    char           buf[32];
    size_t         i;
    uint64_t       seen;
    ncr_int_t      rc;
    ncr_str_t      s;
    ncr_member_t  *m;

    static const char  body[] =
        "{ \"store\" : null ,\"x\":[{\"a\":1}],\"reasoning\":{\"effort\":"
        "\"low\"},\"model\":\"m\",\"generate\":-1.5}";

    rc = ncr_bodies_read(body, sizeof(body) - 1, sizeof(body) - 1, 1, R);

    ncr_test(rc == NCR_OK && ncr_test_req.members.n == 5, "all members");

    m = ncr_members_find(ncr_test_req.told.members, NCR_OPENAI_STORE);

    ncr_test(m && body[m->key] == '"' && m->end - m->start == 4
             && memcmp(body + m->start, "null", 4) == 0, "a literal");

    m = &ncr_test_req.members.member[1];

    ncr_test(m->name == NCR_OPENAI_OTHER && m->end - m->start == 9
             && body[m->start] == '[' && body[m->end - 1] == ']',
             "an array of an unknown member");

    m = ncr_members_find(ncr_test_req.told.members, NCR_OPENAI_REASONING);

    ncr_test(m && body[m->start] == '{' && body[m->end - 1] == '}',
             "an object");

    m = ncr_members_find(ncr_test_req.told.members, NCR_OPENAI_GENERATE);

    ncr_test(m && m->end - m->start == 4 && m->end == m->start + 4
             && ncr_test_req.members.close == m->end, "a number");

    /* each name is found, and is no other's */

    seen = 0;

    for (i = 0; ncr_openai_members[i].name.data; i++) {
        s = ncr_openai_members[i].name;

        if (ncr_openai_member(&s) != ncr_openai_members[i].value
            || ncr_openai_members[i].value == NCR_OPENAI_OTHER
            || ncr_openai_members[i].value >= NCR_OPENAI_NAMES
            || (seen & ncr_openai_bit(ncr_openai_members[i].value))
            || (i && s.len < ncr_openai_members[i - 1].name.len))
        {
            break;
        }

        seen |= ncr_openai_bit(ncr_openai_members[i].value);
    }

    ncr_test(ncr_openai_members[i].name.data == NULL
             && i == NCR_OPENAI_NAMES - 1, "all names");

    for (i = 0; i < 40; i++) {
        memset(buf, 'x', sizeof(buf));
        s.data = (ncr_char_t *) buf;
        s.len = ncr_min(i, sizeof(buf));

        if (ncr_openai_member(&s) != NCR_OPENAI_OTHER) {
            break;
        }
    }

    ncr_test(i == 40, "no name of any length");
}


#define ncr_test_hash(op, body)  ncr_bodies_hash(body, op)

#define ncr_test_same(op, a, b)                                               \
    (strcmp(ncr_test_hash(op, a), ncr_test_hash(op, b)) == 0)

#define S(body)    "{" M "," body "}"
#define SYS        "{\"role\":\"system\",\"content\":\"sys\"}"
#define USER(t)    "{\"role\":\"user\",\"content\":\"" t "\"}"
#define INPUT(t)   "{\"type\":\"message\",\"role\":\"user\",\"content\":["    \
                   "{\"type\":\"input_text\",\"text\":\"" t "\"}]}"


static void
ncr_test_hashes(void)
{
    const char  *chat, *resp;

    chat = S("\"messages\":[" SYS "," USER("hi") "]");
    resp = S("\"instructions\":\"sys\",\"input\":[" INPUT("hi") "]");

    ncr_test(strlen(ncr_test_hash(C, chat)) == 9, "A15: a Chat without one");
    ncr_test(strlen(ncr_test_hash(R, resp)) == 9,
             "A15: a response without one");

    ncr_test(ncr_test_same(C, chat,
        S("\"messages\" : [ " SYS " , " USER("hi") ",{\"role\":\"assistant\","
          "\"content\":null,\"tool_calls\":[{\"id\":\"c\"}]}," USER("more")
          "]")), "hash: the same when the conversation goes on");
    ncr_test(ncr_test_same(C, chat,
        S("\"temperature\":1,\"messages\":[" SYS ",{\"content\":\"hi\","
          "\"role\":\"user\",\"name\":\"n\"}],\"tools\":[{\"text\":\"x\"}]")),
        "hash: the role may come after the content");
    ncr_test(!ncr_test_same(C, chat,
        S("\"messages\":[" SYS "," USER("ho") "]")), "hash: another message");
    ncr_test(!ncr_test_same(C, chat,
        S("\"messages\":[" USER("hi") "]")), "hash: another system");
    ncr_test(ncr_test_same(R, resp,
        S("\"input\":[" INPUT("hi") ",{\"type\":\"function_call_output\","
          "\"call_id\":\"1\",\"output\":\"x\"}],\"instructions\":\"sys\"")),
        "hash: a response in another order, with more behind");
    ncr_test(!ncr_test_same(R, resp,
        S("\"instructions\":\"sys 2\",\"input\":[" INPUT("hi") "]")),
        "hash: other instructions");
    ncr_test(ncr_test_same(R, S("\"input\":\"hi\""), S("\"input\": \"hi\"")),
             "hash: an input that is a text");
    ncr_test(!ncr_test_same(R, S("\"input\":\"hi\""), S("\"input\":\"ho\"")),
             "hash: another text");
    ncr_test(strcmp(ncr_test_hash(NCR_OP_EMBEDDINGS, S("\"input\":\"hi\"")),
                    "") == 0, "hash: texts to embed make no session");
    ncr_test(strcmp(ncr_test_hash(C, S("\"session_id\":\"s\",\"messages\":["
                                       USER("hi") "]")), "") == 0,
             "hash: none where a session is");
    ncr_test(strcmp(ncr_test_hash(C, S("\"messages\":[]")), "") == 0,
             "hash: of nothing is none");
    ncr_test(strlen(ncr_test_hash(C, S("\"messages\":[[\"x\"],5,null,"
             "{\"role\":{\"a\":[]},\"content\":{\"b\":[[{\"text\":1}]]}},"
             USER("x") "]"))) == 9, "hash: of what the API will refuse");
}


static void
ncr_test_long(void)
{
    char    told[4096], other[4096];
    char   *body;
    size_t  i, n;

    n = 200 * 1024;
    body = malloc(n + 4096);

    strcpy(body, "{" M ",\"instructions\":\"");
    i = strlen(body);
    memset(body + i, 'x', n);
    strcpy(body + i + n, "\",\"input\":\"hi\"}");

    ncr_test(ncr_bodies_all(body, strlen(body), R, told, sizeof(told)),
             "long instructions, in pieces");

    body[i + n - 1] = 'y';
    (void) ncr_bodies_read(body, strlen(body), strlen(body), 1, R);
    ncr_bodies_told(NCR_OK, other, sizeof(other));

    ncr_test(strcmp(told, other) == 0, "only their beginning is hashed");

    /* as many members as there is room for, and one more */

    for (n = NCR_MEMBERS; n <= NCR_MEMBERS + 1; n++) {
        strcpy(body, "{" M);

        for (i = 1; i < n; i++) {
            sprintf(body + strlen(body), ",\"k%d\":%d", (int) i, (int) i);
        }

        strcat(body, "}");

        (void) ncr_bodies_all(body, strlen(body), C, told, sizeof(told));

        ncr_test(n == NCR_MEMBERS ? told[0] == 'm'
                                  : strcmp(told, "! too many fields") == 0,
                 "as many members as there is room for");
    }

    /* a key that is longer than what a scanner keeps */

    n = 5000;
    body[0] = '{';
    body[1] = '"';
    memset(body + 2, 'k', n);
    strcpy(body + 2 + n, "\":1}");

    (void) ncr_bodies_all(body, strlen(body), C, told, sizeof(told));
    ncr_test(strncmp(told, "! key \"kkkk", 11) == 0, "a long key");

    free(body);
}


int
main(void)
{
    if (ncr_sha256_create(&ncr_test_plain) != NCR_OK) {
        return 1;
    }

    ncr_test_bodies();
    ncr_test_members();
    ncr_test_hashes();
    ncr_test_long();

    ncr_sha256_free(&ncr_test_plain);

    return ncr_test_done();
}
