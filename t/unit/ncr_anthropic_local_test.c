
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_test.h"
#include "../../src/codec/ncr_anthropic_local.c"

#define WRITE  NCR_ANTHROPIC_LOCAL_WRITE
#define ASK    NCR_ANTHROPIC_LOCAL_ASK


typedef struct {
    ncr_anthropic_local_e   kind;
    ncr_uint_t              prefilled;
    const char             *name;
    const char             *body;
} local_case_t;


static local_case_t  cases[] = {

    { NCR_ANTHROPIC_LOCAL_WARMUP, 0, "a warm-up of blocks",
      "{\"model\":\"m\",\"tools\":[{\"name\":\"Bash\"}],\"messages\":[{"
      "\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Warmup\","
      "\"cache_control\":{\"type\":\"ephemeral\"}}]}]}" },

    { NCR_ANTHROPIC_LOCAL_WARMUP, 0, "a warm-up as a string",
      "{\"messages\":[{\"content\":\"Warmup\",\"role\":\"user\"}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "Warmup with something else",
      "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
      "\"text\":\"Warmup\"},{\"type\":\"text\",\"text\":\"Hi\"}]}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "Warmup and an image",
      "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
      "\"text\":\"Warmup\"},{\"type\":\"image\",\"source\":{}}]}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "Warmup, long ago",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Warmup\"},"
      "{\"role\":\"assistant\",\"content\":\"Ready.\"},"
      "{\"role\":\"user\",\"content\":\"Hi\"}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "Warmup, answered",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Warmup\"},"
      "{\"role\":\"assistant\",\"content\":\"{\"}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "Warmup of an assistant",
      "{\"messages\":[{\"role\":\"assistant\",\"content\":\"Warmup\"}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "Warmup in a tool",
      "{\"tools\":[{\"text\":\"Warmup\"}],\"messages\":[{\"role\":\"user\","
      "\"content\":\"Hi\"}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "Warmup in the system",
      "{\"system\":\"Warmup\",\"messages\":[{\"role\":\"user\","
      "\"content\":\"Hi\"}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "Warmup as a tool's result",
      "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
      "\"tool_result\",\"content\":[{\"type\":\"text\",\"text\":\"Warmup\"}]"
      "}]}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "another word",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Warmups\"}],"
      "\"x\":\"Warmup\"}" },

    { NCR_ANTHROPIC_LOCAL_TITLE, 0, "a title",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"" WRITE
      "\\n\\nUser: hi\"}]}" },

    { NCR_ANTHROPIC_LOCAL_TITLE, 0, "a title, and no tools",
      "{\"tools\":[],\"messages\":[{\"role\":\"user\",\"content\":[{"
      "\"type\":\"text\",\"text\":\"" WRITE "\"}]}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "a title that is quoted",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"What does '" WRITE
      "' do?\"}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "a title with tools",
      "{\"tools\":[{\"name\":\"Bash\"}],\"messages\":[{\"role\":\"user\","
      "\"content\":\"" WRITE "\"}]}" },

    { NCR_ANTHROPIC_LOCAL_TOPIC, 0, "a topic",
      "{\"system\":[{\"type\":\"text\",\"text\":\"A" ASK ".\"}],"
      "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}" },

    { NCR_ANTHROPIC_LOCAL_TOPIC, 1, "a topic, begun",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},"
      "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
      "\"text\":\"{\"}]}],\"system\":\"A" ASK "\",\"tools\":[]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "a topic, begun in another way",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},"
      "{\"role\":\"assistant\",\"content\":\"The title\"}],"
      "\"system\":\"A" ASK "\"}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "a topic of the user's",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"A" ASK "\"}]}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "no JSON",
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Warmup\"}" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "no messages", "[\"Warmup\"]" },

    { NCR_ANTHROPIC_LOCAL_NONE, 0, "nothing", "" }
};


int
main(void)
{
    size_t             i;
    ncr_out_t          out;
    ncr_str_t          body, id, model;
    ncr_char_t         buf[NCR_ANTHROPIC_LOCAL_ANSWER];
    ncr_uint_t         prefilled, kind;

    static ncr_char_t  large[NCR_ANTHROPIC_LOCAL_BODY + 1];

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {

        body.data = (ncr_char_t *) cases[i].body;
        body.len = strlen(cases[i].body);

        ncr_test(ncr_anthropic_local(&body, &prefilled) == cases[i].kind
                 && (cases[i].kind == NCR_ANTHROPIC_LOCAL_NONE
                     || prefilled == cases[i].prefilled), cases[i].name);
    }

    memset(large, ' ', sizeof(large));
    memcpy(large, cases[1].body, strlen(cases[1].body));

    body.data = large;
    body.len = sizeof(large) - 1;

    ncr_test(ncr_anthropic_local(&body, &prefilled)
             == NCR_ANTHROPIC_LOCAL_WARMUP, "as large as may be");

    body.len++;

    ncr_test(ncr_anthropic_local(&body, &prefilled)
             == NCR_ANTHROPIC_LOCAL_NONE, "too large");

    /* the longest model, each byte of it escaped: answers fit */

    ncr_str_set(&id, "0123456789abcdef01234567deadbeef");
    model.data = large;
    model.len = 127;
    memset(large, '\1', model.len);

    for (kind = NCR_ANTHROPIC_LOCAL_WARMUP;
         kind <= NCR_ANTHROPIC_LOCAL_TOPIC;
         kind++)
    {
        ncr_out_init(&out, buf, sizeof(buf));
        ncr_anthropic_local_answer(&out, (ncr_anthropic_local_e) kind, 0, 1,
                                   &id, &model);
        ncr_test(!out.overflow, "a stream fits");

        ncr_out_init(&out, buf, sizeof(buf));
        ncr_anthropic_local_answer(&out, (ncr_anthropic_local_e) kind, 1, 0,
                                   &id, &model);
        ncr_test(!out.overflow, "a message fits");
    }

    return ncr_test_done();
}
