
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/pool/ncr_key_client.c"
#include "ncr_test.h"


static ncr_key_signs_t  ncr_test_signs;


static void
ncr_test_set(ncr_str_t *s, const char *text)
{
    s->data = (ncr_char_t *) (uintptr_t) text;
    s->len = strlen(text);
}


static void
ncr_test_is(const char *path, const char *agent, uint32_t clients)
{
    ncr_test_set(&ncr_test_signs.path, path);
    ncr_test_set(&ncr_test_signs.agent, agent);

    ncr_test(ncr_key_recognize(&ncr_test_signs) == clients, agent);
}


static void
ncr_test_claude_code(void)
{
    memset(&ncr_test_signs, 0, sizeof(ncr_test_signs));

    ncr_test_is("/v1/files", "claude-cli/1.0.110 (external, cli)",
                NCR_CLIENT_CLAUDE_CODE);
    ncr_test_is("/v1/files", "Claude-CLI/1.0.110", NCR_CLIENT_CLAUDE_CODE);
    ncr_test_is("/v1/files", "claude-cli/1.0", 0);
    ncr_test_is("/v1/files", "claude-cli/1.0.", 0);
    ncr_test_is("/v1/files", "claude-cli/.1.0", 0);
    ncr_test_is("/v1/files", "claude-cli/a.1.0", 0);
    ncr_test_is("/v1/files", "claude-cli/", 0);
    ncr_test_is("/v1/files", "claude-cli", 0);
    ncr_test_is("/v1/files", "x claude-cli/1.0.110", 0);
    ncr_test_is("/v1/files", "", 0);

    /* messages need three headers more */

    ncr_test_is("/v1/messages", "claude-cli/1.0.110", 0);
    ncr_test_set(&ncr_test_signs.app, "cli");
    ncr_test_set(&ncr_test_signs.beta, "oauth-2025-04-20");
    ncr_test_is("/v1/messages", "claude-cli/1.0.110", 0);
    ncr_test_set(&ncr_test_signs.version, "2023-06-01");
    ncr_test_is("/v1/messages", "claude-cli/1.0.110", NCR_CLIENT_CLAUDE_CODE);
    ncr_test_set(&ncr_test_signs.app, "");
    ncr_test_is("/claude/v1/messages/count_tokens", "claude-cli/1.0.110", 0);
    ncr_test_set(&ncr_test_signs.app, "cli");
    ncr_test_set(&ncr_test_signs.beta, "");
    ncr_test_is("/v1/messages", "claude-cli/1.0.110", 0);
}


static void
ncr_test_others(void)
{
    memset(&ncr_test_signs, 0, sizeof(ncr_test_signs));

    ncr_test_is("/v1/messages", "GeminiCLI/v1.2", 0);
    ncr_test_is("/gemini/v1", "curl/8.0", NCR_CLIENT_GEMINI_CLI);
    ncr_test_is("/gemini/v1:generateContent", "curl/8.0", 0);
    ncr_test_is("/gemini/v1:generateContent", "GeminiCLI/v1.2",
                NCR_CLIENT_GEMINI_CLI);
    ncr_test_is("/gemini/v1:streamGenerateContent", "geminicli/1",
                NCR_CLIENT_GEMINI_CLI);
    ncr_test_is("/gemini/v1:generateContent", "GeminiCLI/v", 0);
    ncr_test_is("/gemini/v1:generateContent", "GeminiCLI/x1", 0);

    ncr_test_is("/v1/messages", "codex_cli_rs/0.5 (x)", NCR_CLIENT_CODEX_CLI);
    ncr_test_is("/v1/messages", "codex_vscode/1", NCR_CLIENT_CODEX_CLI);
    ncr_test_is("/v1/messages", "CODEX_exec/1", NCR_CLIENT_CODEX_CLI);
    ncr_test_is("/v1/messages", "codex_cli/1", 0);
    ncr_test_is("/v1/messages", "codex_exec/", 0);

    ncr_test_is("/openai/v1/responses", "codex_cli_rs/0.5", 0);
    ncr_test_set(&ncr_test_signs.originator, "codex_cli_rs");
    ncr_test_set(&ncr_test_signs.session, "01234567890123456789");
    ncr_test_is("/openai/v1/responses", "codex_cli_rs/0.5", 0);
    ncr_test_set(&ncr_test_signs.session, "012345678901234567890");
    ncr_test_is("/openai/v1/responses", "codex_cli_rs/0.5",
                NCR_CLIENT_CODEX_CLI);
    ncr_test_is("/azure/v1/responses", "codex_exec/0.5", 0);
    ncr_test_set(&ncr_test_signs.originator, "codex_vscodf");
    ncr_test_is("/azure/v1/responses", "codex_vscode/0.5", 0);

    memset(&ncr_test_signs, 0, sizeof(ncr_test_signs));

    ncr_test_is("/v1/messages", "factory-cli/0.19.3", NCR_CLIENT_DROID_CLI);
    ncr_test_is("/v1/messages", "x factory-cli/ Factory-CLI/0.19.3 y",
                NCR_CLIENT_DROID_CLI);
    ncr_test_is("/v1/messages", "factory-cli/0.19", 0);
    ncr_test_set(&ncr_test_signs.factory, "my-Droid");
    ncr_test_is("/v1/messages", "curl", NCR_CLIENT_DROID_CLI);
    ncr_test_set(&ncr_test_signs.factory, "cli");
    ncr_test_is("/v1/messages", "curl", 0);

    ncr_test_is("/gemini/x", "factory-cli/0.19.3",
                NCR_CLIENT_DROID_CLI|NCR_CLIENT_GEMINI_CLI);
}


int
main(void)
{
    ncr_test_claude_code();
    ncr_test_others();

    return ncr_test_done();
}
