
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_oauth_import.c"
#include "../../src/platform/ncr_oauth_text.c"
#include "ncr_test.h"

#include <stdlib.h>


#define NCR_TEST_NOW  ((ncr_msec_t) 1795262400 * 1000)      /* 12:00 UTC */

#define A  "sk-ant-oat01-test-access"
#define R  "sk-ant-ort01-test-refresh"
#define K  "sk-ant-api03-test-key"

#define C(rest)  "{\"claudeAiOauth\":{\"accessToken\":\"" A "\"" rest "}}"
#define F        "credentials claude-oauth " A " "
#define P        "[oauth]\naccess_token = \"" A "\"\n"


typedef struct {
    const char  *name;
    const char  *text;
    const char  *found;                 /* "kind platform access refresh
                                           expires scope base_url meta", or
                                           what is wrong with it */
} ncr_test_import_t;


static ncr_test_import_t  ncr_test_imports[] = {

    { "Claude Code's",
      "{\n  \"claudeAiOauth\": {\n    \"accessToken\": \"" A "\",\n"
      "    \"refreshToken\": \"" R "\",\n    \"expiresAt\": 1795266000000,\n"
      "    \"scopes\": [\"user:inference\", \"user:profile\"],\n"
      "    \"subscriptionType\": \"max\",\n"
      "    \"rateLimitTier\": \"default_claude_max_20x\"\n  },\n"
      "  \"mcpOAuth\": {\"x\": {\"accessToken\": \"other\"}}\n}\n",
      F R " 1795266000000 user:inference user:profile  {\"plan\":\"max\","
      "\"tier\":\"default_claude_max_20x\"}" },
    { "the least", C(""), F " 0   " },
    { "a byte order mark", "\xEF\xBB\xBF" C(""), F " 0   " },
    { "nulls", C(",\"refreshToken\":null,\"expiresAt\":null,"
                 "\"scopes\":null,\"subscriptionType\":null"), F " 0   " },
    { "an SDK's", "{\"access_token\":\"" A "\",\"refresh_token\":\"" R "\","
      "\"expires_at\":1795266000,\"scope\":\"user:inference\"}",
      F R " 1795266000000 user:inference  " },
    { "with RFC 3339", "{\"type\":\"claude\",\"access_token\":\"" A "\","
      "\"refresh_token\":\"" R "\",\"email\":\"e@t.test\","
      "\"expired\":\"2026-11-21T14:00:00+01:00\"}",
      F R " 1795266000000   {\"email\":\"e@t.test\"}" },
    { "seconds as digits", C(",\"expiresAt\":\"1795266000\""),
      F " 1795266000000   " },
    { "100000000001 is ms", C(",\"refreshToken\":\"r\","
                              "\"expiresAt\":100000000001"),
      F "r 100000000001   " },
    { "100000000000 is s", C(",\"expiresAt\":100000000000"),
      F " 100000000000000   " },
    { "expired, with a refresh token",
      C(",\"refreshToken\":\"" R "\",\"expiresAt\":1"), F R " 1000   " },
    { "expired, without",
      C(",\"refreshToken\":\"\",\"expiresAt\":1795262400"),
      "its access token has expired, and there is no refresh token" },

    { "a broken time", C(",\"expiresAt\":\"soon\""),
      "its time of expiry is not a time" },
    { "a negative time", C(",\"expiresAt\":-1"),
      "its time of expiry is not a time" },
    { "a huge time", C(",\"expiresAt\":1e300"),
      "its time of expiry is not a time" },
    { "an endless time", C(",\"expiresAt\":1e999"),
      "its time of expiry is not a time" },
    { "a long time", C(",\"expiresAt\":\"999999999999999999\""),
      "its time of expiry is not a time" },
    { "a time before Christ, nearly",
      C(",\"expiresAt\":\"0001-01-01T00:00:00Z\""),
      "its time of expiry is not a time" },
    { "true for a time", C(",\"expiresAt\":true"),
      "its time of expiry is not a time" },

    { "swapped", "{\"claudeAiOauth\":{\"accessToken\":\"" R "\","
      "\"refreshToken\":\"" A "\"}}",
      "a refresh token stands where the access token belongs" },
    { "access twice", C(",\"refreshToken\":\"" A "\""),
      "an access token stands where the refresh token belongs" },
    { "a key", "{\"claudeAiOauth\":{\"accessToken\":\"" K "\"}}",
      "an API key stands where a token belongs" },
    { "a key for a refresh token", C(",\"refreshToken\":\"" K "\""),
      "an API key stands where a token belongs" },
    { "CR LF", "{\"claudeAiOauth\":{\"accessToken\":\"a\\r\\nb\"}}",
      "the access token has characters that no token has" },
    { "a NUL", "{\"claudeAiOauth\":{\"accessToken\":\"a\\u0000b\"}}",
      "it is not valid JSON" },
    { "no access token", "{\"claudeAiOauth\":{\"refreshToken\":\"" R "\"}}",
      "there is no access token in it" },
    { "another file", "{\"a\":1}", "there is no access token in it" },
    { "an array of it", "{\"claudeAiOauth\":[" C("") "]}",
      "there is no access token in it" },
    { "cut", "{\"claudeAiOauth\":{\"accessToken\":\"" A "\"",
      "it is not valid JSON" },
    { "twice", C("") C(""), "it is not valid JSON" },

    { "a setup token", A, "setup-token claude-oauth " A "  0   " },
    { "with a line feed", "\n " A "\r\n",
      "setup-token claude-oauth " A "  0   " },
    { "a key alone", K "\n", "api-key anthropic " K "  0   " },
    { "a refresh token alone", R,
      "a refresh token stands where the access token belongs" },
    { "another secret", "sk-ant-admin01-test",
      "it is neither an access token nor an API key" },
    { "two tokens", A "\n" A,
      "the access token has characters that no token has" },

    { "Pluribus",
      "type = \"claude_code\"\n\n[oauth]\naccess_token = \"" A "\"\n"
      "refresh_token = \"" R "\"\nexpires_at = 1795266000000\n"
      "scopes = [\n    \"user:profile\",\n    \"user:inference\",\n]\n",
      "pluribus claude-oauth " A " " R
      " 1795266000000 user:profile user:inference  " },
    { "Pluribus: inline", "type = 'claude_code'\n"
      "oauth = { access_token = '" A "', expires_at = 1_795_266_000 }\n"
      "api.base_url = 'http://127.0.0.1:81'",
      "pluribus claude-oauth " A "  1795266000000  http://127.0.0.1:81 " },
    { "Pluribus: a key", "type = \"anthropic\"\n[api]\n"
      "base_url = \"https://api.test/v1\"\napi_key = \"" K "\"\n",
      "pluribus anthropic " K "  0  https://api.test/v1 " },
    { "Pluribus: unknown keys", "type = \"claude_code\"\nx.y = [[1], {a=2}]\n"
      P "z = true\n[[other]]\naccess_token = 'no'\n",
      "pluribus claude-oauth " A "  0   " },
    { "Pluribus: another table's token", "type = \"claude_code\"\n"
      "[[oauth]]\naccess_token = \"" A "\"\n",
      "there is no access token in it" },
    { "Pluribus: no type", P,
      "it is not a provider file of Pluribus: it has no type" },
    { "Pluribus: another type", "type = \"codex\"\n" P,
      "its type is neither claude_code nor anthropic" },
    { "Pluribus: swapped", "type = \"claude_code\"\n[oauth]\n"
      "access_token = \"" R "\"\nrefresh_token = \"" A "\"\n",
      "a refresh token stands where the access token belongs" },
    { "Pluribus: a token for a key", "type = \"anthropic\"\n[api]\n"
      "api_key = \"" A "\"\n", "a token stands where the API key belongs" },
    { "Pluribus: no key", "type = \"anthropic\"\n" P,
      "there is no API key in it" },
    { "Pluribus: a broken key", "type = \"anthropic\"\n"
      "api.api_key = \"a b\"\n", "its API key is not a key" },
    { "Pluribus: a broken URL", "type = \"anthropic\"\n[api]\n"
      "api_key = \"" K "\"\nbase_url = \"ftp://x\"\n",
      "URL is neither https:// nor http://" },
    { "Pluribus: a token twice", "type = \"claude_code\"\n" P
      "access_token = \"" A "\"\n", "a key is in it twice" },
    { "Pluribus: an empty one twice", "type = \"claude_code\"\n[oauth]\n"
      "access_token = \"\"\naccess_token = \"" A "\"\n",
      "a key is in it twice" },
    { "Pluribus: a number", "type = 1\n", "a value in it is not a string" },
    { "Pluribus: a broken time", "type = \"claude_code\"\n" P
      "expires_at = -1\n", "its time of expiry is not a time" },
    { "Pluribus: expired", "type = \"claude_code\"\n" P "expires_at = 1\n",
      "its access token has expired, and there is no refresh token" },
    { "Pluribus: CR LF", "type = \"claude_code\"\n[oauth]\n"
      "access_token = \"a\\r\\nb\"\n",
      "the access token has characters that no token has" },
    { "Pluribus: broken scopes", "type = \"claude_code\"\n" P
      "scopes = [\"a b\"]\n", "its scopes are not scopes" },
    { "Pluribus: broken", "type = \"claude_code\"\n[oauth\n",
      "it is not valid TOML" },
    { "a shell's", "CLAUDE_CODE_OAUTH_TOKEN=" A, "it is not valid TOML" },

    { "nothing", "", "there is nothing in it" },
    { "blanks", " \r\n\t", "there is nothing in it" },
    { "words", "hello there", "it is neither a file of credentials nor a "
      "token" },
    { "binary", "\x7f" "ELF\x02\x01\x01", "it is neither a file of "
      "credentials nor a token" }
};


/* in memory of its exact length, so that a sanitizer sees who overreads */

static ncr_str_t
ncr_test_exact(const char *text, size_t len)
{
    ncr_str_t  s;

    s.len = len;
    s.data = malloc(len + !len);
    memcpy(s.data, text, len);

    return s;
}


static const char *
ncr_test_import(ncr_oauth_import_t *import, const char *text, size_t len)
{
    ncr_str_t    s;
    const char  *err;

    s = ncr_test_exact(text, len);

    memset(import, 0xA5, sizeof(ncr_oauth_import_t));
    err = ncr_oauth_import(&s, import, NCR_TEST_NOW);

    free(s.data);

    return err;
}


static ncr_uint_t
ncr_test_import_is_null(ncr_oauth_import_t *import)
{
    size_t       i;
    const char  *p;

    p = (const char *) import;

    for (i = 0; i < sizeof(ncr_oauth_import_t); i++) {
        if (p[i] != 0) {
            return 0;
        }
    }

    return 1;
}


static void
ncr_test_imported(void)
{
    char                 text[3 * NCR_OAUTH_TOKEN];
    size_t               i, n;
    ncr_uint_t           ok;
    const char          *err;
    ncr_test_import_t   *row;
    ncr_oauth_import_t   import;

    for (i = 0;
         i < sizeof(ncr_test_imports) / sizeof(ncr_test_imports[0]);
         i++)
    {
        row = &ncr_test_imports[i];

        err = ncr_test_import(&import, row->text, strlen(row->text));

        snprintf(text, sizeof(text), "%s %s %s %s %lld %s %s %s",
                 import.kind, import.platform, import.access, import.refresh,
                 (long long) import.expires, import.scope, import.base_url,
                 import.meta);

        ok = strcmp(err ? err : text, row->found) == 0
             && (err == NULL || ncr_test_import_is_null(&import));

        ncr_test(ok, row->name);

        if (!ok) {
            printf("# %s\n", err ? err : text);
        }

        for (n = 0; n < strlen(row->text); n++) {
            (void) ncr_test_import(&import, row->text, n);
        }
    }
}


static void
ncr_test_imported_odd(void)
{
    char                *text, *p;
    const char          *err;
    ncr_oauth_import_t   import;

    text = malloc(NCR_OAUTH_BODY + 64);

    err = ncr_test_import(&import, A "\0x", sizeof(A) + 1);
    ncr_test(err != NULL && strstr(err, "characters") != NULL,
             "import: a NUL");

    memset(text, 'x', NCR_OAUTH_BODY + 64);
    err = ncr_test_import(&import, text, NCR_OAUTH_BODY + 64);
    ncr_test(err != NULL && strcmp(err, "it is too long") == 0,
             "import: too long");

    memcpy(text, "sk-ant-oat01-", 13);
    err = ncr_test_import(&import, text, NCR_OAUTH_TOKEN - 1);
    ncr_test(err == NULL && strlen(import.access) == NCR_OAUTH_TOKEN - 1,
             "import: the longest token");

    err = ncr_test_import(&import, text, NCR_OAUTH_TOKEN);
    ncr_test(err != NULL && strcmp(err, "the access token is too long") == 0,
             "import: a longer one");

    p = text + snprintf(text, 1024, "type = \"claude_code\"\n[oauth]\n"
                        "access_token = \"");
    memset(p, 'x', 6000);
    memcpy(p + 6000, "\"\nrefresh_token = \"", 19);
    memset(p + 6019, 'x', 8000);
    memcpy(p + 14019, "\"\n", 3);
    err = ncr_test_import(&import, text, strlen(text));
    ncr_test(err != NULL && strcmp(err, "a value in it is too long") == 0,
             "import: Pluribus, too long");

    p = text + snprintf(text, 1024, "type = \"claude_code\"\n" P
                        "scopes = [\"");
    memset(p, 'x', 600);
    memcpy(p + 600, "\"]\n", 4);
    err = ncr_test_import(&import, text, strlen(text));
    ncr_test(err != NULL && strcmp(err, "its scopes are not scopes") == 0,
             "import: Pluribus, scopes that are too long");

    free(text);
}


int
main(void)
{
    ncr_test_imported();
    ncr_test_imported_odd();

    return ncr_test_done();
}
