
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_assist_way.c"
#include "../../src/platform/ncr_assist_envelope.c"
#include "ncr_way_test.h"


typedef struct {
    const char   *name;
    ncr_op_e      op;
    unsigned      modern;
    const char   *path;
    const char   *args;
    const char   *meta;
    const char   *project;
    const char   *body;
    const char   *target;
    const char   *sent;                 /* NULL: refused */
    ncr_uint_t    status;
} ncr_test_row_t;


#define NCR_TEST_UUID    "30303030-3030-4030-b030-303030303030"

#define NCR_TEST_ANTI    "\"requestId\":\"agent-" NCR_TEST_UUID "\","         \
                         "\"userAgent\":\"antigravity\",\"requestType\":"     \
                         "\"agent\""

#define NCR_TEST_SESSION "-48358647417488744"


static ncr_gemini_request_t  ncr_test_req;


static ncr_test_row_t  ncr_test_rows[] = {

    { "F015: a body", NCR_OP_GENERATE, 0, "/v1beta/models/m:generateContent",
      "", "", "p", "{\"contents\":[]}", "/v1internal:generateContent",
      "{\"model\":\"m\",\"project\":\"p\",\"user_prompt_id\":\""
      NCR_TEST_UUID "\",\"request\":{\"contents\":[],\"session_id\":"
      "\"0abcdef0123456789\"}}", 0 },

    { "a project of the login", NCR_OP_GENERATE, 0, "/v1beta/models/m:x", "",
      "{\"email\":\"a\",\"project\":\"p\\u0031\"}", "", " {}\n",
      "/v1internal:generateContent",
      "{\"model\":\"m\",\"project\":\"p\\u0031\",\"user_prompt_id\":\""
      NCR_TEST_UUID "\",\"request\": {\"session_id\":\"0abcdef0123456789\"}}\n",
      0 },

    { "no project", NCR_OP_GENERATE, 0, "/v1beta/models/m:x", "", "", "",
      "{}", "/v1internal:generateContent",
      "{\"model\":\"m\",\"user_prompt_id\":\"" NCR_TEST_UUID
      "\",\"request\":{\"session_id\":\"0abcdef0123456789\"}}", 0 },

    { "a model in the body", NCR_OP_GENERATE, 0, "/v1beta/models/m:x", "", "",
      "p", "{\"model\":\"x\",\"contents\":[]}",
      "/v1internal:generateContent",
      "{\"model\":\"m\",\"project\":\"p\",\"user_prompt_id\":\""
      NCR_TEST_UUID "\",\"request\":{\"contents\":[],\"session_id\":"
      "\"0abcdef0123456789\"}}", 0 },

    { "a stream", NCR_OP_STREAM_GENERATE, 0, "/v1beta/models/m:x",
      "alt=sse&x=1", "", "p", "{\"a\":1}",
      "/v1internal:streamGenerateContent?alt=sse",
      "{\"model\":\"m\",\"project\":\"p\",\"user_prompt_id\":\""
      NCR_TEST_UUID "\",\"request\":{\"a\":1,\"session_id\":"
      "\"0abcdef0123456789\"}}", 0 },

    { "F083: a body", NCR_OP_GENERATE, 1, "/v1beta/models/m:x", "", "", "p",
      "{\"safety_settings\":[],\"contents\":[],\"system_instruction\" :{}}",
      "/v1internal:generateContent",
      "{\"model\":\"m\",\"project\":\"p\"," NCR_TEST_ANTI
      ",\"request\":{\"contents\":[],\"systemInstruction\":{},"
      "\"sessionId\":\"" NCR_TEST_SESSION "\"}}", 0 },

    { "F083: all of it goes", NCR_OP_GENERATE, 1, "/v1beta/models/m:x", "",
      "", "p", "{\"labels\":{},\"safetySettings\":[]}",
      "/v1internal:generateContent",
      "{\"model\":\"m\",\"project\":\"p\"," NCR_TEST_ANTI
      ",\"request\":{\"sessionId\":\"" NCR_TEST_SESSION "\"}}", 0 },

    { "F015: counting", NCR_OP_GEMINI_COUNT, 0, "/v1beta/models/m:x", "", "",
      "p", "{\"x\":1, \"contents\": [{}] }\n", "/v1internal:countTokens",
      "{\"request\":{\"model\":\"models/m\",\"contents\":[{}]}}", 0 },

    { "counting a request", NCR_OP_GEMINI_COUNT, 0, "/v1beta/models/m:x", "",
      "", "p", "{\"generate_content_request\":{\"tools\":[{\"contents\":1}],"
      "\"contents\":[{\"parts\":[]}],\"x\":{\"contents\":[]}}}",
      "/v1internal:countTokens",
      "{\"request\":{\"model\":\"models/m\",\"contents\":[{\"parts\":[]}]}}",
      0 },

    { "counting nothing", NCR_OP_GEMINI_COUNT, 0, "/v1beta/models/m:x", "",
      "", "p", "{\"generateContentRequest\":{\"x\":[]},\"a\":{\"contents\":"
      "[]}}", "", NULL, 400 },

    { "another path", NCR_OP_GEMINI, 0, "/v1beta/files", "", "", "p", "{}",
      "", NULL, 404 },

    { "F015: an envelope", NCR_OP_GENERATE, 0, "/v1internal:generateContent",
      "", "", "p", "{\"project\":\"x\",\"request\":{\"session_id\":\"s\"}}",
      "/v1internal:generateContent",
      "{\"project\":\"p\",\"request\":{\"session_id\":\"s\"}}", 0 },

    { "an envelope without a project", NCR_OP_STREAM_GENERATE, 0,
      "/v1internal:streamGenerateContent", "alt=sse", "", "p",
      "{\"request\":{}}", "/v1internal:streamGenerateContent?alt=sse",
      "{\"request\":{},\"project\":\"p\"}", 0 },

    { "an envelope without a request", NCR_OP_GENERATE, 0,
      "/v1internal:generateContent", "", "", "p", "{\"request\":[]}", "",
      NULL, 400 },

    { "F083: the other envelope", NCR_OP_GENERATE, 1,
      "/v1internal:generateContent", "", "", "p",
      "{\"user_prompt_id\":\"u\",\"request\":{\"session_id\":\"s\","
      "\"toolConfig\":{}}}", "/v1internal:generateContent",
      "{\"request\":{\"toolConfig\":{},\"sessionId\":\"" NCR_TEST_SESSION
      "\"},\"project\":\"p\"," NCR_TEST_ANTI "}", 0 },

    { "F083: its own envelope", NCR_OP_GENERATE, 1,
      "/v1internal:generateContent", "", "", "p",
      "{\"requestId\":\"r\",\"project\":1,\"request\":{\"sessionId\":\"s\"}}",
      "/v1internal:generateContent",
      "{\"requestId\":\"r\",\"project\":\"p\",\"request\":{\"sessionId\":"
      "\"s\"}}", 0 },

    { "F083: and the other way round", NCR_OP_GENERATE, 0,
      "/v1internal:generateContent", "", "", "p",
      "{\"requestId\":\"r\",\"userAgent\":\"a\",\"requestType\":\"t\","
      "\"project\":\"x\",\"request\":{\"sessionId\":\"s\"}}",
      "/v1internal:generateContent",
      "{\"project\":\"p\",\"request\":{\"session_id\":\"s\"}}", 0 },

    { "F015: control", NCR_OP_ASSIST, 0, "/v1internal:loadCodeAssist", "", "",
      "p", "{\"metadata\":{\"duetProject\":\"x\",\"y\":{\"duetProject\":1}},"
      "\"cloudaicompanionProject\":null,\"z\":{\"project\":\"x\"}}",
      "/v1internal:loadCodeAssist",
      "{\"metadata\":{\"duetProject\":\"p\",\"y\":{\"duetProject\":1}},"
      "\"cloudaicompanionProject\":\"p\",\"z\":{\"project\":\"x\"}}", 0 },

    { "control: an array has no members", NCR_OP_ASSIST, 0, "/v1internal:x",
      "", "", "p", "{\"metadata\":[\"x\",{\"project\":\"x\"}]}",
      "/v1internal:x", "{\"metadata\":[\"x\",{\"project\":\"x\"}]}", 0 },

    { "control: quota", NCR_OP_ASSIST, 0, "/v1internal:retrieveUserQuota", "",
      "", "p", "{}", "/v1internal:retrieveUserQuota",
      "{\"project\":\"p\"}", 0 },

    { "control: quota and more", NCR_OP_ASSIST, 0,
      "/v1internal:retrieveUserQuota", "", "", "p", "{\"userAgent\":\"x\" }",
      "/v1internal:retrieveUserQuota",
      "{\"userAgent\":\"x\" ,\"project\":\"p\"}", 0 },

    { "control: no project is known", NCR_OP_ASSIST, 0,
      "/v1internal:retrieveUserQuota", "", "", "", "{\"project\":\"x\"}",
      "/v1internal:retrieveUserQuota", "{\"project\":\"x\"}", 0 },

    { "control: no object", NCR_OP_ASSIST, 0, "/v1internal:x", "", "", "p",
      "\"x\"", "", NULL, 400 },

    { "control: a cut one", NCR_OP_ASSIST, 0, "/v1internal:x", "", "", "p",
      "{\"project\":\"x\"", "", NULL, 400 },

    { "control: of the account's settings", NCR_OP_ASSIST, 0,
      "/v1internal:setCodeAssistGlobalUserSetting", "", "", "p", "{}", "",
      NULL, 403 },

    { "a method that cannot be", NCR_OP_ASSIST, 0, "/v1internal:x y", "", "",
      "p", "{}", "", NULL, 404 },

    { NULL, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }
};


static void
ncr_test_given(ncr_test_row_t *row)
{
    ncr_way_t  *way;

    way = ncr_test_way_of(row->op, "/base/v1internal", row->path);
    memset(way->random, '0', sizeof(way->random));

    ncr_test_params[0] = ncr_test_s(row->project);
    ncr_test_params[1] = ncr_test_s("1.2.3");
    ncr_test_params[2] = ncr_test_s("os/arch");

    way->args = ncr_test_s(row->args);
    way->meta = ncr_test_s(row->meta);
    way->model = ncr_test_s("m");
    way->asked = way->model;
    way->session = ncr_test_s("0abcdef0123456789");
}


static ncr_int_t
ncr_test_run(ncr_test_row_t *row)
{
    ncr_test_body = ncr_test_s(row->body);

    ncr_test_given(row);

    if (row->op != NCR_OP_ASSIST && row->op != NCR_OP_GEMINI) {

        ncr_gemini_request_init(&ncr_test_req, NULL, 0);

        if (ncr_gemini_request_feed(&ncr_test_req, ncr_test_body.data,
                                    ncr_test_body.len)
            != NCR_OK
            || ncr_gemini_request_final(&ncr_test_req) != NCR_OK)
        {
            abort();
        }

        ncr_test_way.members = ncr_test_req.told.members;
        ncr_test_way.lists = ncr_test_req.told.lists;
    }

    return row->modern ? ncr_antigravity_way(&ncr_test_way)
                       : ncr_assist_way(&ncr_test_way);
}


static void
ncr_test_models(void)
{
    ncr_uint_t        i;
    ncr_str_t         model;
    ncr_assist_way_t  aw;

    static const char  *rows[][2] = {
        { "gemini-3-pro-preview", "gemini-3.1-pro-high" },
        { "claude-sonnet-4-6-thinking", "claude-sonnet-4-6" },
        { "claude-opus-4-6-thinking", "claude-opus-4-6-thinking" },
        { "claude--thinking", "claude-" },
        { "-thinking", "-thinking" },
        { "claude-", "claude-" },
        { "", "" }
    };

    memset(&aw, 0, sizeof(aw));
    aw.way = &ncr_test_way;
    aw.modern = 1;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ncr_test_way.model = ncr_test_s(rows[i][0]);
        ncr_test_way.asked = ncr_test_way.model;
        model = ncr_assist_model(&aw);
        ncr_test(ncr_test_str(model, rows[i][1]), rows[i][0]);
    }

    ncr_test_way.asked = ncr_test_s("x");
    ncr_test_way.model = ncr_test_s(rows[0][0]);
    model = ncr_assist_model(&aw);
    ncr_test(ncr_test_str(model, rows[0][0]), "an operator's word stays");

    aw.modern = 0;
    ncr_test_way.asked = ncr_test_way.model;
    model = ncr_assist_model(&aw);
    ncr_test(ncr_test_str(model, rows[0][0]), "Code Assist knows all names");
}


static void
ncr_test_lines_of(void)
{
    ncr_str_t         s, model;
    ncr_assist_way_t  aw;

    memset(&aw, 0, sizeof(aw));
    aw.way = &ncr_test_way;

    ncr_test_body = ncr_test_s("{}");
    ncr_test_given(ncr_test_rows);

    model = ncr_test_s("a\r\nX: y/b\xc3\xa4");
    ncr_assist_wrap_lines(&aw, &model);

    s.data = ncr_test_way.lines.start;
    s.len = (size_t) (ncr_test_way.lines.last - s.data);

    ncr_test(ncr_test_str(s, "User-Agent: GeminiCLI/1.2.3/aX:y/b (linux; x64; "
                          "terminal)\r\nContent-Type: application/json\r\n"
                          "Accept: application/json\r\n"),
             "a model makes no header");
}


static void
ncr_test_many(void)
{
    int              i;
    char            *p;
    ncr_test_row_t   row;

    static char  text[65536];

    p = text;
    *p++ = '{';

    for (i = 0; i < 1000; i++) {
        p += sprintf(p, "%s\"project\":\"x\"", i ? "," : "");
    }

    strcpy(p, "}");

    row = ncr_test_rows[0];
    row.op = NCR_OP_ASSIST;
    row.path = "/v1internal:x";
    row.body = text;

    ncr_test(ncr_test_run(&row) == NCR_OK
             && ncr_test_way.nedits < NCR_WAY_EDITS,
             "more projects than there is room for");
}


static void
ncr_test_fields(void)
{
    ncr_str_t  s;
    char       text[130];

    memset(text, 'a', sizeof(text));
    text[129] = '\0';

    s = ncr_test_s(text);
    ncr_test(ncr_assist_check_project(&s) != NULL, "a project: too long");
    s.len = 128;
    ncr_test(ncr_assist_check_project(&s) == NULL, "a project");
    ncr_test(ncr_assist_check_word(&s) != NULL, "a version: too long");
    s = ncr_test_s("2.9.1");
    ncr_test(ncr_assist_check_word(&s) == NULL, "a version");
    s = ncr_test_s("1\r\nX: y");
    ncr_test(ncr_assist_check_word(&s) != NULL, "a version is no header");
    s = ncr_test_s("a\"b");
    ncr_test(ncr_assist_check_project(&s) != NULL, "a project is no JSON");
}


int
main(void)
{
    ncr_int_t        rc;
    ncr_str_t        s;
    ncr_uint_t       fine;
    const char      *sent;
    ncr_test_row_t  *row;

    for (row = ncr_test_rows; row->name; row++) {

        rc = ncr_test_run(row);

        if (row->sent == NULL) {
            fine = (rc == NCR_BAD && ncr_test_way.status == row->status
                    && ncr_test_way.error != NULL);
            ncr_test(fine, row->name);
            continue;
        }

        sent = ncr_test_edited();

        s.data = ncr_test_way.target.start + sizeof("/base") - 1;
        s.len = (size_t) (ncr_test_way.target.last - s.data);

        fine = (rc == NCR_OK && strcmp(sent, row->sent) == 0
                && ncr_test_str(s, row->target));

        ncr_test(fine, row->name);

        if (!fine) {
            printf("# %.*s\n# %s\n", (int) s.len, s.data, sent);
        }
    }

    ncr_test_models();
    ncr_test_lines_of();
    ncr_test_many();
    ncr_test_fields();

    return ncr_test_done();
}
