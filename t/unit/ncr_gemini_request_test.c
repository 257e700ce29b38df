
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/codec/ncr_gemini_request.c"
#include "ncr_bodies.h"


#define NCR_TEST_SYSTEM  "\"systemInstruction\":{\"parts\":[{\"text\":\"S\"}]}"
#define NCR_TEST_FIRST   "{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}"


static ncr_sha256_t          ncr_test_sha;
static ncr_gemini_request_t  ncr_test_req;


static void
ncr_test_init(ncr_uint_t hash)
{
    ncr_gemini_request_init(&ncr_test_req, hash ? &ncr_test_sha : NULL, 1);
}


static const ncr_bodies_t  ncr_bodies = {
    &ncr_codec_gemini, &ncr_test_req.told, sizeof(ncr_test_req),
    ncr_test_init, NULL
};


/* cut: 0 whole, else chunks of that size */

static ncr_int_t
ncr_test_feed(const char *text, size_t cut, ncr_uint_t hash)
{
    size_t  len;

    len = strlen(text);

    return ncr_bodies_read(text, len, 0, cut ? cut : len, hash);
}


static ncr_member_t *
ncr_test_member(ncr_uint_t list, ncr_uint_t name)
{
    ncr_uint_t      i;
    ncr_members_t  *m;

    m = &ncr_test_req.members[list];

    for (i = 0; i < m->n; i++) {
        if (m->member[i].name == name) {
            return &m->member[i];
        }
    }

    return NULL;
}


static ncr_uint_t
ncr_test_span(const char *text, ncr_uint_t list, ncr_uint_t name,
    const char *value)
{
    ncr_member_t  *m;

    m = ncr_test_member(list, name);

    return m && text[m->key] == '"'
           && m->end - m->start == strlen(value)
           && memcmp(text + m->start, value, strlen(value)) == 0;
}


static void
ncr_test_plain(void)
{
    size_t      cut;
    ncr_uint_t  ok;

    static const char  text[] =
        " {\"contents\" : [" NCR_TEST_FIRST ", " NCR_TEST_FIRST "],\n"
        NCR_TEST_SYSTEM ",\"unknown\":[1,{\"model\":\"no\"}],"
        "\"generationConfig\":{\"temperature\":1,\"maxOutputTokens\":512,"
        "\"thinkingConfig\":{\"maxOutputTokens\":9}},\"tools\":[]} ";

    for (cut = 0, ok = 1; cut < 40; cut++) {
        ok &= (ncr_test_feed(text, cut, 1) == NCR_OK);
        ok &= (ncr_test_req.told.max_tokens == 512);
        ok &= (ncr_test_req.told.model.len == 0);
        ok &= (ncr_test_req.told.stream && !ncr_test_req.envelope);
        ok &= (ncr_test_req.told.session.len == 0);
        ok &= (ncr_test_req.told.hashed && ncr_test_req.told.lists == 1);
        ok &= (ncr_test_req.members[0].n == 5);
        ok &= (text[ncr_test_req.members[0].open - 1] == '{');
        ok &= (text[ncr_test_req.members[0].close] == '}');
        ok &= ncr_test_span(text, 0, NCR_GEMINI_CONTENTS,
                            "[" NCR_TEST_FIRST ", " NCR_TEST_FIRST "]");
        ok &= ncr_test_span(text, 0, NCR_GEMINI_OTHER,
                            "[1,{\"model\":\"no\"}]");
        ok &= ncr_test_span(text, 0, NCR_GEMINI_TOOLS, "[]");
    }

    ncr_test(ok, "a plain request, however it is cut");

    ncr_test(ncr_test_feed("{\"generation_config\":"
                           "{\"max_output_tokens\":\"77\"}}", 0, 0) == NCR_OK
             && ncr_test_req.told.max_tokens == 77,
             "snake case, and a number as a string");

    ncr_test(ncr_test_feed("{\"generationConfig\":{\"maxOutputTokens\":"
                           "1.5}}", 0, 0) == NCR_OK
             && ncr_test_req.told.max_tokens == -1,
             "what is no integer is the upstream's");

    ncr_test(ncr_test_feed("{\"model\":\"models/e\",\"content\":{}}", 0, 1)
             == NCR_OK
             && ncr_test_req.told.model.len == 0 && !ncr_test_req.told.hashed
             && ncr_test_member(0, NCR_GEMINI_MODEL) != NULL,
             "the model of an embedding is that of the path");

    ncr_test(ncr_test_feed("{\"\":1}", 0, 1) == NCR_OK
             && ncr_test_req.members[0].n == 1, "an empty name");

    ncr_test(ncr_test_feed("{}", 0, 1) == NCR_OK
             && ncr_test_req.members[0].n == 0 && !ncr_test_req.told.hashed,
             "an empty object");
}


static void
ncr_test_envelope(void)
{
    size_t      cut;
    ncr_uint_t  ok;

    static const char  text[] =
        "{\"model\":\"gemini-2.5-pro\",\"project\":\"p-1\","
        "\"user_prompt_id\":\"u\",\"request\":{\"contents\":["
        NCR_TEST_FIRST "]," NCR_TEST_SYSTEM ",\"session_id\":\"s-\\u0031\","
        "\"generationConfig\":{\"maxOutputTokens\":5}},\"x\":null}";

    for (cut = 0, ok = 1; cut < 40; cut++) {
        ok &= (ncr_test_feed(text, cut, 1) == NCR_OK);
        ok &= (ncr_test_req.envelope && ncr_test_req.told.lists == 2);
        ok &= ncr_test_str(ncr_test_req.told.model, "gemini-2.5-pro");
        ok &= (memcmp(text + ncr_test_req.told.model_start,
                      "\"gemini-2.5-pro\"", 16) == 0
               && ncr_test_req.told.model_end
                  == ncr_test_req.told.model_start + 16);
        ok &= ncr_test_str(ncr_test_req.told.session, "s-1");
        ok &= (ncr_test_req.told.strong && !ncr_test_req.told.hashed);
        ok &= (ncr_test_req.told.max_tokens == 5);
        ok &= (ncr_test_req.members[0].n == 5);
        ok &= (ncr_test_req.members[1].n == 4);
        ok &= ncr_test_span(text, 0, NCR_GEMINI_PROJECT, "\"p-1\"");
        ok &= ncr_test_span(text, 0, NCR_GEMINI_USER_PROMPT_ID, "\"u\"");
        ok &= ncr_test_span(text, 0, NCR_GEMINI_OTHER, "null");
        ok &= ncr_test_span(text, 1, NCR_GEMINI_CONTENTS,
                            "[" NCR_TEST_FIRST "]");
        ok &= ncr_test_span(text, 1, NCR_GEMINI_SESSION_ID, "\"s-\\u0031\"");
        ok &= (text[ncr_test_req.members[1].open - 1] == '{'
               && text[ncr_test_req.members[1].close] == '}'
               && ncr_test_req.members[1].close
                  < ncr_test_req.members[0].close);
    }

    ncr_test(ok, "an envelope, however it is cut");

    ncr_test(ncr_test_feed("{\"request\":{\"sessionId\":\"-375\"},"
                           "\"model\":\"m\"}", 0, 1) == NCR_OK
             && ncr_test_str(ncr_test_req.told.session, "-375")
             && ncr_test_str(ncr_test_req.told.model, "m"),
             "Antigravity's spelling, members in another order");

    ncr_test(ncr_test_feed("{\"request\":{\"model\":\"models/g\","
                           "\"contents\":[]}}", 0, 1) == NCR_OK
             && ncr_test_str(ncr_test_req.told.model, "g")
             && ncr_test_req.told.model_end == 0,
             "Code Assist counts: the model is inside");

    ncr_test(ncr_test_feed("{\"generateContentRequest\":{\"model\":"
                           "\"models/g\",\"contents\":[" NCR_TEST_FIRST "]}}",
                           0, 1) == NCR_OK
             && ncr_test_req.told.model.len == 0 && !ncr_test_req.envelope
             && ncr_test_req.told.hashed && ncr_test_req.told.lists == 1,
             "the plain API counts: it is that of the path");

    ncr_test(ncr_test_feed("{\"request\":[{\"contents\":1}],\"model\":\"m\"}",
                           0, 1) == NCR_OK
             && ncr_test_req.told.model.len == 0 && !ncr_test_req.envelope,
             "a request that is none");

    ncr_test(ncr_test_feed("{\"session_id\":\"s\",\"contents\":[]}", 0, 1)
             == NCR_OK
             && ncr_test_req.told.session.len == 0,
             "the plain API has no such member");
}


/* what is the same from turn to turn, and what is not */

static void
ncr_test_hash(void)
{
    size_t      cut;
    ncr_uint_t  ok;
    ncr_char_t  digest[NCR_SHA256_LEN];

    static const char  one[] =
        "{\"contents\":[" NCR_TEST_FIRST "]," NCR_TEST_SYSTEM "}";
    static const char  two[] =
        "{" NCR_TEST_SYSTEM ",\"contents\": [ " NCR_TEST_FIRST ","
        "{\"role\":\"model\",\"parts\":[{\"text\":\"yes\"}]},"
        NCR_TEST_FIRST "]}";
    static const char  wrapped[] =
        "{\"model\":\"m\",\"request\":{\"contents\":[" NCR_TEST_FIRST "],"
        NCR_TEST_SYSTEM "}}";
    static const char  other[] =
        "{\"contents\":[{\"parts\":[{\"text\":\"ho\"}]}]," NCR_TEST_SYSTEM "}";
    static const char  alone[] = "{\"contents\":[" NCR_TEST_FIRST "]}";

    (void) ncr_test_feed(one, 0, 1);
    memcpy(digest, ncr_test_req.told.digest, sizeof(digest));

    for (cut = 0, ok = 1; cut < 50; cut++) {
        (void) ncr_test_feed(two, cut, 1);
        ok &= (ncr_test_req.told.hashed
               && memcmp(digest, ncr_test_req.told.digest, sizeof(digest))
                  == 0);

        (void) ncr_test_feed(wrapped, cut, 1);
        ok &= (memcmp(digest, ncr_test_req.told.digest, sizeof(digest)) == 0);
    }

    ncr_test(ok, "the next turn has the same hash, however it is cut");

    (void) ncr_test_feed(other, 0, 1);
    ncr_test(ncr_test_req.told.hashed
             && memcmp(digest, ncr_test_req.told.digest, sizeof(digest)) != 0,
             "another first content has another one");

    (void) ncr_test_feed(alone, 0, 1);
    ncr_test(ncr_test_req.told.hashed
             && memcmp(digest, ncr_test_req.told.digest, sizeof(digest)) != 0,
             "no system instruction is another one");

    (void) ncr_test_feed(one, 0, 0);
    ncr_test(!ncr_test_req.told.hashed, "no hash if nobody asks");
}


static void
ncr_test_bad(void)
{
    size_t      i, cut;
    char        buf[256], label[300];
    ncr_str_t   text;
    ncr_uint_t  ok;

    static const struct {
        const char  *text;
        const char  *error;
    } bad[] = {
        { "[]", "must be an object" },
        { "\"x\"", "must be an object" },
        { "{\"contents\":[}", "at byte" },
        { "{\"contents\":[]", "at byte" },
        { "", "at byte" },
        { "{\"model\":\"a\",\"model\":\"b\",\"request\":{}}",
          "set twice: model" },
        { "{\"request\":{},\"request\":{}}", "set twice: request" },
        { "{\"project\":1,\"project\":2}", "set twice: project" },
        { "{\"systemInstruction\":{},\"system_instruction\":{}}",
          "set twice: systemInstruction" },
        { "{\"request\":{\"contents\":[],\"contents\":[]}}",
          "set twice: contents" },
        { "{\"generationConfig\":{\"maxOutputTokens\":1,"
          "\"max_output_tokens\":2}}", "set twice: maxOutputTokens" },
        { "{\"m\\u006fdel\":\"a\",\"model\":\"b\"}", "set twice: model" },
        { "{\"mod\\qel\":1}", "invalid escape" },
        { "{\"model\":\"a\\nb\"}", "control character" },
        { "{\"model\":\"\\u12x4\"}", "at byte" },
        { "{\"generationConfig\":{\"maxOutputTokens\":"
          "99999999999999999999999}}", "out of range" }
    };

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {

        for (cut = 0, ok = 1; cut < 8; cut++) {
            ok &= (ncr_test_feed(bad[i].text, cut, 1) == NCR_BAD);

            text = ncr_gemini_request_error(&ncr_test_req, buf,
                                            sizeof(buf) - 1);
            buf[text.len] = '\0';
        }

        if (strstr(buf, bad[i].error) == NULL
            && strcmp(bad[i].error, "at byte") != 0)
        {
            ok = 0;
        }

        snprintf(label, sizeof(label), "refused: %s (%s)", bad[i].text, buf);
        ncr_test(ok, label);
    }

    memset(label, 'm', sizeof(label));
    memcpy(label, "{\"model\":\"", 10);
    memcpy(label + 200, "\"}", 3);

    ncr_test(ncr_test_feed(label, 0, 1) == NCR_BAD, "a model of 190 bytes");
}


static void
ncr_test_many(void)
{
    int         i, n;
    char        text[4096], buf[256], *p;
    ncr_str_t   error;
    ncr_uint_t  inner, ok;

    for (inner = 0; inner < 2; inner++) {

        for (n = NCR_MEMBERS; n < NCR_MEMBERS + 2; n++) {
            p = text + sprintf(text, inner ? "{\"request\":{" : "{");

            for (i = 0; i < n; i++) {
                p += sprintf(p, "%s\"a%d\":%d", i ? "," : "", i, i);
            }

            strcpy(p, inner ? "}}" : "}");

            ok = (ncr_test_feed(text, 0, 1) == NCR_OK);

            if (n == NCR_MEMBERS) {
                ncr_test(ok && ncr_test_req.members[inner].n == NCR_MEMBERS,
                         "as many members as there are places");
                continue;
            }

            error = ncr_gemini_request_error(&ncr_test_req, buf,
                                             sizeof(buf));

            ncr_test(!ok && ncr_str_contains(&error, "too many fields"),
                     "one more is refused");
        }
    }
}


int
main(void)
{
    if (ncr_sha256_create(&ncr_test_sha) != NCR_OK) {
        return 1;
    }

    ncr_test_plain();
    ncr_test_envelope();
    ncr_test_hash();
    ncr_test_bad();
    ncr_test_many();

    ncr_sha256_free(&ncr_test_sha);

    return ncr_test_done();
}
