
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Another model and another effort in a body, and whose turn it is: each
 * body is read whole, byte by byte, and cut at every offset.
 */


#include "../../src/codec/ncr_anthropic_request.c"
#include "../../src/codec/ncr_anthropic_turn.c"
#include "../../src/codec/ncr_anthropic_effort.c"
#include "../../src/base/ncr_edit.c"
#include "ncr_bodies.h"


static ncr_sha256_t             ncr_test_plain, ncr_test_cached;
static ncr_anthropic_request_t  ncr_test_req;


/* how: bit 0: with a hash, bit 1: with turns */

static void
ncr_test_init(ncr_uint_t how)
{
    ncr_anthropic_request_init(&ncr_test_req,
                               (how & 1) ? &ncr_test_plain : NULL,
                               (how & 1) ? &ncr_test_cached : NULL, 1);
    ncr_test_req.told.turns = (how & 2) ? 1 : 0;
}


static const ncr_bodies_t  ncr_bodies = {
    &ncr_codec_anthropic, &ncr_test_req.told, sizeof(ncr_test_req),
    ncr_test_init, NULL
};


static ncr_int_t
ncr_test_read(const char *body, size_t cut, size_t step, ncr_uint_t how)
{
    return ncr_bodies_read(body, strlen(body), cut, step, how);
}


/* the body, with model "M" and effort "E": both, or the effort alone */

typedef struct {
    const char  *name;
    const char  *body;
    const char  *effort;
    const char  *both;
} ncr_test_row_t;


static ncr_test_row_t  ncr_test_rows[] = {

    { "nothing but a model", "{\"model\":\"claude-x\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"model\":\"claude-x\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"model\":\"M\"}" },
    { "blanks stay", " {\n \"model\" : \"claude-x\" , \"stream\":true } ",
      " {\"output_config\":{\"effort\":\"E\"},\n \"model\" : \"claude-x\" , "
      "\"stream\":true } ",
      " {\"output_config\":{\"effort\":\"E\"},\n \"model\" : \"M\" , "
      "\"stream\":true } " },
    { "an escaped model", "{\"mod\\u0065l\":\"clau\\u0064e\\\"x\",\"a\":1}",
      "{\"output_config\":{\"effort\":\"E\"},\"mod\\u0065l\":"
      "\"clau\\u0064e\\\"x\",\"a\":1}",
      "{\"output_config\":{\"effort\":\"E\"},\"mod\\u0065l\":\"M\",\"a\":1}" },
    { "effort after the model",
      "{\"model\":\"m\",\"output_config\":{\"effort\":\"low\"},\"a\":1}",
      "{\"model\":\"m\",\"output_config\":{\"effort\":\"E\"},\"a\":1}",
      "{\"model\":\"M\",\"output_config\":{\"effort\":\"E\"},\"a\":1}" },
    { "effort before the model",
      "{\"output_config\":{\"effort\":\"medium\"},\"model\":\"m\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"model\":\"m\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"model\":\"M\"}" },
    { "effort last of its object",
      "{\"output_config\":{\"format\":{\"effort\":1,\"x\":[{}]},\"effort\":"
      "\"low\"},\"model\":\"m\"}",
      "{\"output_config\":{\"format\":{\"effort\":1,\"x\":[{}]},\"effort\":"
      "\"E\"},\"model\":\"m\"}",
      "{\"output_config\":{\"format\":{\"effort\":1,\"x\":[{}]},\"effort\":"
      "\"E\"},\"model\":\"M\"}" },
    { "effort first of its object, then another",
      "{\"model\":\"m\",\"output_config\":{ \"effort\" : \"low\" ,\"format\":"
      "[\"effort\"]}}",
      "{\"model\":\"m\",\"output_config\":{ \"effort\" : \"E\" ,\"format\":"
      "[\"effort\"]}}",
      "{\"model\":\"M\",\"output_config\":{ \"effort\" : \"E\" ,\"format\":"
      "[\"effort\"]}}" },
    { "escaped names", "{\"model\":\"m\",\"output\\u005fconfig\":"
      "{\"\\u0065ffort\":\"low\"}}",
      "{\"model\":\"m\",\"output\\u005fconfig\":{\"\\u0065ffort\":\"E\"}}",
      "{\"model\":\"M\",\"output\\u005fconfig\":{\"\\u0065ffort\":\"E\"}}" },
    { "an effort that is null",
      "{\"model\":\"m\",\"output_config\":{\"effort\":null}}",
      "{\"model\":\"m\",\"output_config\":{\"effort\":\"E\"}}",
      "{\"model\":\"M\",\"output_config\":{\"effort\":\"E\"}}" },
    { "an effort that is an object",
      "{\"model\":\"m\",\"output_config\":{\"effort\":{\"a\":{}},\"b\":1}}",
      "{\"model\":\"m\",\"output_config\":{\"effort\":\"E\",\"b\":1}}",
      "{\"model\":\"M\",\"output_config\":{\"effort\":\"E\",\"b\":1}}" },
    { "an effort that is an array",
      "{\"output_config\":{\"effort\":[1,[2]]},\"model\":\"m\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"model\":\"m\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"model\":\"M\"}" },
    { "an object without one",
      "{\"model\":\"m\",\"output_config\":{\"format\":1}}",
      "{\"model\":\"m\",\"output_config\":{\"effort\":\"E\",\"format\":1}}",
      "{\"model\":\"M\",\"output_config\":{\"effort\":\"E\",\"format\":1}}" },
    { "an empty object", "{\"output_config\":{ },\"model\":\"m\"}",
      "{\"output_config\":{\"effort\":\"E\" },\"model\":\"m\"}",
      "{\"output_config\":{\"effort\":\"E\" },\"model\":\"M\"}" },
    { "null", "{\"output_config\": null ,\"model\":\"m\"}",
      "{\"output_config\": {\"effort\":\"E\"} ,\"model\":\"m\"}",
      "{\"output_config\": {\"effort\":\"E\"} ,\"model\":\"M\"}" },
    { "an array", "{\"output_config\":[\"effort\"],\"model\":\"m\"}",
      "{\"output_config\":[\"effort\"],\"model\":\"m\"}",
      "{\"output_config\":[\"effort\"],\"model\":\"M\"}" },
    { "a string", "{\"output_config\":\"effort\",\"model\":\"m\"}",
      "{\"output_config\":\"effort\",\"model\":\"m\"}",
      "{\"output_config\":\"effort\",\"model\":\"M\"}" },
    { "those further down are another's",
      "{\"x\":{\"model\":\"a\",\"output_config\":{\"effort\":\"b\"}},"
      "\"model\":\"m\",\"effort\":\"c\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"x\":{\"model\":\"a\","
      "\"output_config\":{\"effort\":\"b\"}},\"model\":\"m\","
      "\"effort\":\"c\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"x\":{\"model\":\"a\","
      "\"output_config\":{\"effort\":\"b\"}},\"model\":\"M\","
      "\"effort\":\"c\"}" },
    { "effort in a message",
      "{\"messages\":[{\"role\":\"user\",\"content\":[{\"output_config\":"
      "{\"effort\":\"x\"}}]}],\"model\":\"m\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"messages\":[{\"role\":\"user\","
      "\"content\":[{\"output_config\":{\"effort\":\"x\"}}]}],"
      "\"model\":\"m\"}",
      "{\"output_config\":{\"effort\":\"E\"},\"messages\":[{\"role\":\"user\","
      "\"content\":[{\"output_config\":{\"effort\":\"x\"}}]}],"
      "\"model\":\"M\"}" }
};


/* 1 if the body with its edits is what is wanted */

static ncr_uint_t
ncr_test_edited(const char *body, const char *wanted, ncr_uint_t model)
{
    char         text[4096], *p;
    size_t       pos, len;
    ncr_str_t    s;
    ncr_edit_t   edits[NCR_ANTHROPIC_EFFORT_EDITS + 1];
    ncr_uint_t   i, n;

    static ncr_str_t  effort = ncr_string("\"E\"");

    n = 0;

    if (model) {
        ncr_str_set(&s, "\"M\"");

        edits[0].offset = ncr_test_req.told.model_start;
        edits[0].remove = ncr_test_req.told.model_end
                          - ncr_test_req.told.model_start;
        edits[0].insert = s;
        n = 1;
    }

    n += ncr_anthropic_effort(&ncr_test_req.config, &effort, edits + n);

    ncr_edit_sort(edits, n);

    len = strlen(body);
    p = text;
    pos = 0;

    for (i = 0; i < n; i++) {

        if (edits[i].offset < pos || edits[i].offset + edits[i].remove > len) {
            return 0;
        }

        memcpy(p, body + pos, edits[i].offset - pos);
        p += edits[i].offset - pos;
        memcpy(p, edits[i].insert.data, edits[i].insert.len);
        p += edits[i].insert.len;
        pos = edits[i].offset + edits[i].remove;
    }

    memcpy(p, body + pos, len - pos);
    p[len - pos] = '\0';

    return strcmp(text, wanted) == 0;
}


static void
ncr_test_edits(void)
{
    char             name[128];
    size_t           i, cut, len;
    ncr_uint_t       good, how;
    ncr_test_row_t  *row;

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_rows[0]); i++) {

        row = &ncr_test_rows[i];
        len = strlen(row->body);
        good = 1;

        for (how = 0; how < 4; how++) {
            for (cut = 0; cut <= 2 * len; cut++) {

                good &= (ncr_test_read(row->body, cut % (len + 1),
                                       (cut > len) ? 1 : len, how) == NCR_OK);
                good &= ncr_test_edited(row->body, row->effort, 0);
                good &= ncr_test_edited(row->body, row->both, 1);
                good &= !ncr_test_req.config.again;
            }
        }

        snprintf(name, sizeof(name), "effort and model: %s", row->name);
        ncr_test(good, name);
    }

    ncr_test(ncr_test_read("{\"model\":\"m\",\"output_config\":{\"effort\":1,"
                           "\"eff\\u006frt\":2}}", 0, 1, 0) == NCR_OK
             && ncr_test_req.config.again, "an effort that is told twice");

    ncr_test(ncr_test_read("{\"model\":\"m\",\"output_config\":{},"
                           "\"output\\u005fconfig\":{}}", 0, 1, 0) == NCR_BAD,
             "an output_config that is told twice");
}


static void
ncr_test_sort(void)
{
    ncr_edit_t  edits[5];
    ncr_uint_t  i;

    static uint64_t  offsets[] = { 7, 3, 7, 0, 3 };
    static size_t    order[] = { 3, 1, 4, 0, 2 };

    ncr_edit_sort(edits, 0);

    for (i = 0; i < 5; i++) {
        edits[i].offset = offsets[i];
        edits[i].insert.len = i;
    }

    ncr_edit_sort(edits, 5);

    for (i = 0; i < 5 && edits[i].insert.len == order[i]; i++) {
        /* void */
    }

    ncr_test(i == 5, "edits are sorted, and equal ones stay in order");
}


#define M(messages)  "{\"model\":\"m\",\"messages\":" messages "}"

/* u: the last message is a user's, r: with a result */

static const char  *ncr_test_turns[][3] = {

    { "no messages", "{\"model\":\"m\"}", "" },
    { "an empty list", M("[]"), "" },
    { "no list", M("{\"role\":\"user\"}"), "" },
    { "a string", M("[{\"role\":\"user\",\"content\":\"hi\"}]"), "u" },
    { "content before role", M("[{\"content\":\"hi\",\"role\":\"user\"}]"),
      "u" },
    { "escapes", M("[{\"r\\u006fle\":\"us\\u0065r\",\"content\":\"hi\"}]"),
      "u" },
    { "blocks", M("[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
      "\"text\":\"tool_result\"},{\"type\":\"image\"}]}]"), "u" },
    { "a result", M("[{\"role\":\"user\",\"content\":[{\"type\":\"text\"},"
      "{\"x\":1,\"type\":\"tool_result\",\"content\":[{\"type\":\"text\"}]},"
      "{\"type\":\"text\"}]}]"), "ur" },
    { "a result, content first", M("[{\"content\":[{\"type\":\"tool_result\""
      "}],\"role\":\"user\"}]"), "ur" },
    { "a result of an earlier turn is past", M("[{\"role\":\"user\","
      "\"content\":[{\"type\":\"tool_result\"}]},{\"role\":\"assistant\","
      "\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"}]"), "u" },
    { "the assistant's", M("[{\"role\":\"user\",\"content\":\"a\"},"
      "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\"}]}]"), "" },
    { "the type of something else",
      M("[{\"role\":\"user\",\"meta\":[{\"type\":\"tool_result\"}],"
        "\"content\":[{\"type\":\"text\",\"source\":{\"type\":\"tool_result\"}"
        "}]}]"), "u" },
    { "the last element is no message",
      M("[{\"role\":\"user\",\"content\":\"a\"},7]"), "" },
    { "what follows messages", M("[{\"role\":\"user\",\"content\":\"a\"}],"
      "\"tools\":[{\"role\":\"x\",\"a\":[{\"type\":\"tool_result\"}]}]"),
      "u" }
};


static void
ncr_test_whose(void)
{
    char         name[128], told[4];
    size_t       i, cut, len;
    ncr_uint_t   good, how;
    const char  *body;

    for (i = 0; i < sizeof(ncr_test_turns) / sizeof(ncr_test_turns[0]); i++) {

        body = ncr_test_turns[i][1];
        len = strlen(body);
        good = 1;

        for (how = 0; how < 4; how++) {
            for (cut = 0; cut <= 2 * len; cut++) {

                good &= (ncr_test_read(body, cut % (len + 1),
                                       (cut > len) ? 1 : len, how) == NCR_OK);

                snprintf(told, sizeof(told), "%s%s",
                         ncr_test_req.told.user ? "u" : "",
                         ncr_test_req.told.result ? "r" : "");

                good &= (strcmp(told, (how & 2) ? ncr_test_turns[i][2] : "")
                         == 0);
            }
        }

        snprintf(name, sizeof(name), "whose turn: %s", ncr_test_turns[i][0]);
        ncr_test(good, name);
    }
}


/* a closer look must not change the hash of the prefix */

static void
ncr_test_hash(void)
{
    ncr_char_t  digest[NCR_SHA256_LEN];

    static const char  body[] =
        M("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
          "\"a\",\"cache_control\":{\"type\":\"ephemeral\"}}]},"
          "{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}],"
          "\"system\":[{\"type\":\"text\",\"text\":\"s\"}]");

    ncr_test(ncr_test_read(body, 0, 9, 1) == NCR_OK
             && ncr_test_req.told.hashed,
             "the prefix has a hash");

    memcpy(digest, ncr_test_req.told.digest, sizeof(digest));

    ncr_test(ncr_test_read(body, 0, 9, 3) == NCR_OK && ncr_test_req.told.hashed
             && memcmp(digest, ncr_test_req.told.digest, sizeof(digest)) == 0,
             "it is the same when turns are looked at");
}


int
main(void)
{
    if (ncr_sha256_create(&ncr_test_plain) != NCR_OK
        || ncr_sha256_create(&ncr_test_cached) != NCR_OK)
    {
        return 1;
    }

    ncr_test_edits();
    ncr_test_sort();
    ncr_test_whose();
    ncr_test_hash();

    ncr_sha256_free(&ncr_test_plain);
    ncr_sha256_free(&ncr_test_cached);

    return ncr_test_done();
}
