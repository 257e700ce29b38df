
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_platform_gemini.c"
#include "ncr_way_test.h"


#define NCR_TEST_MODELS  "/v1beta/models/"


static ncr_members_t  ncr_test_members;


/* what is sent: asked is the model in the path */

static const char *
ncr_test_send(ncr_op_e op, const char *base, const char *path,
    const char *asked, const char *model, const char *args)
{
    (void) ncr_test_way_of(op, base, path);

    ncr_test_way.dialect = ncr_ops[op].dialect;
    ncr_test_way.asked = ncr_test_s(asked);
    ncr_test_way.model = ncr_test_s(model);
    ncr_test_way.args = ncr_test_s(args);
    ncr_test_way.members = &ncr_test_members;
    ncr_test_way.lists = 1;

    if (ncr_platform_gemini.way(&ncr_test_way) != NCR_OK) {
        return "refused";
    }

    return (const char *) ncr_test_target;
}


static void
ncr_test_targets(void)
{
    size_t       i;
    const char  *sent;

    static const struct {
        ncr_op_e     op;
        const char  *base;
        const char  *path;
        const char  *asked;
        const char  *model;
        const char  *args;
        const char  *sent;
    } t[] = {
        { NCR_OP_GENERATE, "", NCR_TEST_MODELS "m:generateContent", "m", "m",
          "", NCR_TEST_MODELS "m:generateContent" },

        { NCR_OP_STREAM_GENERATE, "/p", NCR_TEST_MODELS "m:streamX", "m", "m",
          "alt=sse", "/p" NCR_TEST_MODELS "m:streamX?alt=sse" },

        { NCR_OP_GENERATE, "/v1beta", NCR_TEST_MODELS "m:g", "m", "m", "",
          NCR_TEST_MODELS "m:g" },

        { NCR_OP_GENERATE, "", NCR_TEST_MODELS "a/b c?:g", "a/b c?", "a/b c?",
          "", NCR_TEST_MODELS "a/b%20c%3F:g" },

        { NCR_OP_GENERATE, "", NCR_TEST_MODELS "m:g", "m", "n/o%", "x=1",
          NCR_TEST_MODELS "n/o%25:g?x=1" },

        { NCR_OP_GENERATE, "", "/v1/models/m:g", "m", "longer", "",
          "/v1/models/longer:g" },

        { NCR_OP_GENERATE, "/a/{model}/{action}", NCR_TEST_MODELS "m:g", "m",
          "n", "", "/a/n/g" },

        { NCR_OP_GENERATE, "/{model}:{action}/x", NCR_TEST_MODELS "a/b:g",
          "a/b", "a/b", "k=v", "/a/b:g/x?k=v" },

        { NCR_OP_GEMINI, "/{model}:{action}", "/v1beta/files", "", "", "",
          "refused" },

        { NCR_OP_GEMINI, "", "/v1beta/files/a", "", "", "", "/v1beta/files/a" },

        { NCR_OP_CHAT, "", "/chat/completions", "m", "m", "",
          "/v1beta/openai/chat/completions" },

        { NCR_OP_CHAT, "/v1beta", "/v1/chat/completions", "m", "m", "",
          "/v1beta/openai/chat/completions" },

        { NCR_OP_EMBEDDINGS, "/p", "/embeddings", "m", "n", "",
          "/p/v1beta/openai/embeddings" }
    };

    for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
        sent = ncr_test_send(t[i].op, t[i].base, t[i].path, t[i].asked,
                             t[i].model, t[i].args);

        ncr_test(strcmp(sent, t[i].sent) == 0, t[i].sent);

        if (strcmp(sent, t[i].sent) != 0) {
            printf("# %s\n", sent);
        }
    }
}


/* the member of an embedding that names the model again */

static void
ncr_test_embed(void)
{
    ncr_member_t  *m;

    ncr_test_members.n = 2;

    m = ncr_test_members.member;

    m[0].name = NCR_GEMINI_OTHER;
    m[1].name = NCR_GEMINI_MODEL;
    m[1].key = 10;
    m[1].start = 18;
    m[1].end = 28;

    (void) ncr_test_send(NCR_OP_GEMINI_EMBED, "", NCR_TEST_MODELS "m:embed",
                         "m", "n\"o", "");

    ncr_test(ncr_test_way.nedits == 1 && ncr_test_way.edits[0].offset == 18
             && ncr_test_way.edits[0].remove == 10
             && ncr_test_str(ncr_test_way.edits[0].insert,
                             "\"models/n\\\"o\""),
             "a mapped model is in the body, too");

    (void) ncr_test_send(NCR_OP_GEMINI_EMBED, "", NCR_TEST_MODELS "m:embed",
                         "m", "m", "");

    ncr_test(ncr_test_way.nedits == 0, "one that stays stays as it is");

    ncr_test_members.n = 0;
}


int
main(void)
{
    ncr_test_targets();
    ncr_test_embed();

    return ncr_test_done();
}
