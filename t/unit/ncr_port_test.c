
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_port.c"
#include "../../src/platform/ncr_port_crs.c"
#include "../../src/platform/ncr_port_rs.c"
#include "../../src/platform/ncr_port_seal.c"
#include "ncr_test.h"


#define NCR_TEST_NOW  ((ncr_msec_t) 1795262400 * 1000)

/* sealed under 0123456789abcdef0123456789abcdef by Node's crypto */

#define NCR_TEST_CRS_KEY  "0123456789abcdef0123456789abcdef"
#define NCR_TEST_SEALED                                                       \
    "00112233445566778899aabbccddeeff:08f748cc0c0b5ef104c5687aa6fd69d563d62d" \
    "93d7f83f2242254861eead6360"


typedef struct {
    const char  *name;
    const char  *format;
    const char  *text;                  /* JSON, or TOML after "=" */
    const char  *key;
    const char  *doc;                   /* or what is wrong */
    const char  *notes;                 /* "object name, ..." */
} ncr_test_port_t;


#define A(row)  "{\"data\":{\"claudeAccounts\":[" row "]}}"
#define C(row)  "{\"data\":{\"claudeConsoleAccounts\":[" row "]}}"
#define K(row)  "{\"data\":{\"apiKeys\":[" row "]}}"
#define ACC     "{\"accounts\":[{\"name\":\"a\",\"settings\":{\"platform\":"   \
                "\"claude-oauth\",\"enabled\":true,\"schedulable\":true"
#define CON     "{\"accounts\":[{\"name\":\"c\",\"settings\":{\"platform\":"   \
                "\"console\",\"enabled\":true,\"schedulable\":true"
#define KEY(x)  "{\"keys\":[{\"name\":\"k\",\"settings\":{\"enabled\":true" x  \
                "}}]}"


static ncr_test_port_t  ncr_test_ports[] = {

    { "nothing", "crs", "{}", NULL, "it has no \"data\"", "" },
    { "an empty export", "crs", "{\"data\":{}}", NULL, "{}", "" },
    { "no list", "crs", "{\"data\":{\"apiKeys\":{}}}", NULL,
      "a list in \"data\" is not an array", "" },
    { "no rows", "crs", K("1"), NULL, "a row in it is not an object", "" },

    { "an account without tokens", "crs", A("{\"name\":\"a\"}"), NULL,
      ACC "},\"secrets\":{}}]}", "account a," },
    { "tokens in the clear", "crs",
      A("{\"name\":\"a\",\"accessToken\":\"x\",\"refreshToken\":\"y\","
        "\"expiresAt\":\"5\",\"scopes\":\"s\"}"), NULL,
      ACC "},\"secrets\":{\"access_token\":\"x\",\"refresh_token\":\"y\","
      "\"expires\":\"5\",\"scopes\":\"s\"}}]}", "" },
    { "tokens that are sealed", "crs",
      A("{\"name\":\"a\",\"accessToken\":\"" NCR_TEST_SEALED "\"}"),
      NCR_TEST_CRS_KEY,
      ACC "},\"secrets\":{\"access_token\":\"sk-ant-oat01-crs-access\"}}]}",
      "" },
    { "under another key", "crs",
      A("{\"name\":\"a\",\"accessToken\":\"" NCR_TEST_SEALED "\"}"),
      "another", ACC "},\"secrets\":{}}]}", "account a," },
    { "without a key", "crs",
      A("{\"name\":\"a\",\"accessToken\":\"" NCR_TEST_SEALED "\"}"), NULL,
      ACC "},\"secrets\":{}}]}", "account a," },
    { "half of it", "crs",
      A("{\"name\":\"a\",\"accessToken\":"
        "\"00112233445566778899aabbccddeeff:08f748\"}"), NCR_TEST_CRS_KEY,
      ACC "},\"secrets\":{\"access_token\":"
      "\"00112233445566778899aabbccddeeff:08f748\"}}]}", "" },
    { "redacted", "crs", A("{\"name\":\"a\",\"accessToken\":\"[REDACTED]\"}"),
      NULL, ACC "},\"secrets\":{}}]}", "account a," },
    { "an object of tokens", "crs",
      A("{\"name\":\"a\",\"claudeAiOauth\":{\"accessToken\":\"x\","
        "\"expiresAt\":5}}"), NULL,
      ACC "},\"secrets\":{\"access_token\":\"x\",\"expires\":5}}]}", "" },
    { "priorities are turned round", "crs",
      A("{\"name\":\"a\",\"accessToken\":\"x\",\"priority\":1}"), NULL,
      ACC ",\"priority\":149},\"secrets\":{\"access_token\":\"x\"}}]}", "" },
    { "a proxy without a host", "crs",
      A("{\"name\":\"a\",\"accessToken\":\"x\",\"proxy\":\"{}\"}"), NULL,
      ACC "},\"secrets\":{\"access_token\":\"x\"}}]}", "account a," },
    { "a password that must be escaped", "crs",
      A("{\"name\":\"a\",\"accessToken\":\"x\",\"proxy\":{\"type\":\"http\","
        "\"host\":\"h\",\"port\":\"80\",\"username\":\"u@\","
        "\"password\":\"p/:\"}}"), NULL,
      ACC "},\"secrets\":{\"proxy\":\"http://u%40:p%2F%3A@h:80\","
      "\"access_token\":\"x\"}}]}", "" },

    { "a console's", "crs",
      C("{\"name\":\"c\",\"apiUrl\":\"https://u\",\"apiKey\":\"k\","
        "\"supportedModels\":[\"m\"]}"), NULL,
      CON ",\"base_url\":\"https://u\",\"models\":[\"m\"]},"
      "\"secrets\":{\"api_key\":\"k\"}}]}", "" },
    { "F084: a Gemini API key's, sealed, with a template", "crs",
      "{\"data\":{\"geminiApiAccounts\":[{\"id\":\"g1\",\"name\":\"g\","
      "\"baseUrl\":\"https://h/{model}:{action}\",\"apiKey\":"
      "\"2f112233445566778899aabbccddeeff:ef8e817569368656f9a854cd9a37d227\","
      "\"supportedModels\":[\"gemini-2.5-pro\"]}],\"apiKeys\":[{\"name\":"
      "\"k\",\"isActive\":\"true\",\"geminiAccountId\":\"api:g1\"}]}}",
      NCR_TEST_CRS_KEY,
      "{\"accounts\":[{\"name\":\"g\",\"crs_id\":\"g1\","
      "\"settings\":{\"platform\":\"gemini\",\"enabled\":true,"
      "\"schedulable\":true,\"base_url\":\"https://h/{model}:{action}\","
      "\"models\":[\"gemini-2.5-pro\"]},"
      "\"secrets\":{\"api_key\":\"AIza-crs-key\"}}],"
      "\"keys\":[{\"name\":\"k\",\"settings\":{\"enabled\":true,"
      "\"account\":\"g\"}}]}", "" },
    { "what is of others", "crs",
      "{\"data\":{\"geminiAccounts\":[{\"name\":\"g\"}],\"droidAccounts\":"
      "[{\"name\":\"d\"}]}}", NULL, "{}", "account g,account d," },

    { "a key", "crs", K("{\"name\":\"k\",\"isActive\":\"true\"}"), NULL,
      KEY(""), "" },
    { "a hash that is no key", "crs", K("{\"x\":\"1\"}"), NULL, "{}", "" },
    { "numbers that are none", "crs",
      K("{\"name\":\"k\",\"dailyCostLimit\":\"x\",\"concurrencyLimit\":-1,"
        "\"rateLimitWindow\":\"0\",\"rateLimitRequests\":\"9\"}"), NULL,
      KEY(""), "" },
    { "a limit out of range", "crs",
      K("{\"name\":\"k\",\"dailyCostLimit\":\"1e14\"}"), NULL, KEY(""),
      "key k," },
    { "services", "crs", K("{\"name\":\"k\",\"permissions\":"
                           "\"claude,gemini,frob\"}"), NULL,
      KEY(",\"permissions\":[\"claude\",\"gemini\"]"), "" },
    { "all services", "crs", K("{\"name\":\"k\",\"permissions\":\"all\"}"),
      NULL, KEY(""), "" },
    { "a list that is not switched on", "crs",
      K("{\"name\":\"k\",\"restrictedModels\":\"[\\\"x\\\"]\"}"), NULL,
      KEY(""), "" },
    { "a time that is none", "crs",
      K("{\"name\":\"k\",\"expiresAt\":\"soon\"}"), NULL,
      "{\"keys\":[{\"name\":\"k\",\"settings\":{\"enabled\":false}}]}",
      "key k," },
    { "two of a name", "crs", K("{\"name\":\"k\"},{\"name\":\"k\"}"), NULL,
      "{\"keys\":[{\"name\":\"k\",\"settings\":{\"enabled\":true}},"
      "{\"name\":\"k-2\",\"settings\":{\"description\":\"k\","
      "\"enabled\":true}}]}", "" },
    { "a name that none can have", "crs",
      K("{\"name\":\"\xE4\xBD\xA0\",\"id\":\"1\"}"), NULL,
      "{\"keys\":[{\"name\":\"key\",\"settings\":{\"description\":"
      "\"\xE4\xBD\xA0\",\"enabled\":true}}]}", "" },

    { "no TOML", "rs", "=[[", NULL, "it is not valid TOML", "" },
    { "no text", "rs", "{}", NULL,
      "it must be a string, the text of config.toml", "" },
    { "two accounts", "rs",
      "=[[accounts]]\ntype=\"claude-api\"\nname=\"a\"\napi_key=\"k\"\n"
      "priority=7\n[[accounts]]\ntype=\"claude-oauth\"\nid=\"b\"\n"
      "refresh_token=\"r\"\nenabled=false\n", NULL,
      "{\"accounts\":[{\"name\":\"a\",\"settings\":{\"platform\":"
      "\"anthropic\",\"priority\":7,\"enabled\":true},\"secrets\":"
      "{\"api_key\":\"k\"}},{\"name\":\"b\",\"settings\":{\"platform\":"
      "\"claude-oauth\",\"enabled\":false},\"secrets\":{\"refresh_token\":"
      "\"r\"}}]}", "" },
    { "a proxy", "rs",
      "=[[accounts]]\ntype=\"claude-api\"\nname=\"a\"\n[accounts.proxy]\n"
      "type=\"socks5\"\nhost=\"h\"\nport=1\nusername=\"u\"\npassword=\"p\"\n",
      NULL, "{\"accounts\":[{\"name\":\"a\",\"settings\":{\"platform\":"
      "\"anthropic\",\"enabled\":true},\"secrets\":{\"proxy\":"
      "\"socks5://u:p@h:1\"}}]}", "" },
    { "others' accounts", "rs",
      "=[[accounts]]\ntype=\"gemini\"\nid=\"g\"\n[server]\nport=1\n", NULL,
      "{}", "settings ,account g," },
    { "keys of clients", "rs", "=api_keys=[\"one\",\"two\"]\n", NULL,
      "{\"keys\":[{\"name\":\"key-1\",\"settings\":{},\"secrets\":"
      "{\"secret\":\"one\"}},{\"name\":\"key-2\",\"settings\":{},\"secrets\":"
      "{\"secret\":\"two\"}}]}", "" },

    { "no files", "pluribus", "{}", NULL, "it has no \"files\"", "" },
    { "no text", "pluribus", "{\"files\":{\"a\":1}}", NULL,
      "a file in it is not a string", "" },
    { "a file", "pluribus",
      "{\"files\":{\"p.toml\":\"type='anthropic'\\n[api]\\napi_key='k'\"}}",
      NULL, "{\"accounts\":[{\"name\":\"p\",\"settings\":{\"platform\":"
      "\"anthropic\"},\"secrets\":{\"api_key\":\"k\"}}]}", "" },
    { "another's", "pluribus", "{\"files\":{\"p.toml\":\"type='codex'\"}}",
      NULL, "{}", "account p.toml," },

    { NULL, NULL, NULL, NULL, NULL, NULL }
};


static void
ncr_test_read(ncr_test_port_t *t)
{
    char               *text, notes[256];
    cJSON              *document, *note;
    ncr_str_t           s;
    const char         *wrong;
    static ncr_port_t   port;

    memset(&port, 0, sizeof(port));

    port.now = NCR_TEST_NOW;
    port.crs_key.data = (ncr_char_t *) (uintptr_t) (t->key ? t->key : "");
    port.crs_key.len = t->key ? strlen(t->key) : 0;

    if (t->text[0] == '=') {
        document = cJSON_CreateString(t->text + 1);

    } else {
        s.data = (ncr_char_t *) (uintptr_t) t->text;
        s.len = strlen(t->text);
        document = ncr_port_json(&s, &wrong);
    }

    wrong = ncr_port_read(&port, t->format, document);
    text = wrong ? NULL : cJSON_PrintUnformatted(port.doc);

    if (strcmp(wrong ? wrong : text, t->doc) != 0) {
        printf("# %s\n", wrong ? wrong : text);
    }

    ncr_test(strcmp(wrong ? wrong : text, t->doc) == 0, t->name);

    notes[0] = '\0';

    cJSON_ArrayForEach(note, port.notes) {
        snprintf(notes + strlen(notes), sizeof(notes) - strlen(notes),
                 "%s %s,",
                 cJSON_GetObjectItem(note, "object")->valuestring,
                 cJSON_GetObjectItem(note, "name")
                 ? cJSON_GetObjectItem(note, "name")->valuestring : "");
    }

    if (strcmp(notes, t->notes) != 0) {
        printf("# %s\n", notes);
    }

    ncr_test(strcmp(notes, t->notes) == 0, "its notes");

    cJSON_free(text);
    ncr_port_free(&port);
    cJSON_Delete(document);
}


static void
ncr_test_json(void)
{
    size_t       i;
    char        *many;
    cJSON       *json;
    ncr_str_t    s;
    const char  *wrong;

    static char  nul[] = "{\"a\":\"\\u0000\"}";

    ncr_str_set(&s, "[1]");
    ncr_test(ncr_port_json(&s, &wrong) == NULL
             && strstr(wrong, "object"), "an array is no document");

    s.data = (ncr_char_t *) nul;
    s.len = sizeof(nul) - 1;
    ncr_test(ncr_port_json(&s, &wrong) == NULL && strstr(wrong, "NUL"),
             "nor is what has a NUL");

    ncr_str_set(&s, "");
    ncr_test(ncr_port_json(&s, &wrong) == NULL, "nor is nothing");

    many = cJSON_malloc(2 * NCR_PORT_VALUES + 64);
    memcpy(many, "{\"a\":[", 6);

    for (i = 0; i < NCR_PORT_VALUES; i++) {
        memcpy(many + 6 + 2 * i, "0,", 2);
    }

    memcpy(many + 6 + 2 * i, "0]}", 4);

    s.data = (ncr_char_t *) many;
    s.len = strlen(many);

    ncr_test(ncr_port_json(&s, &wrong) == NULL && strstr(wrong, "million"),
             "a million values are too many");

    cJSON_free(many);

    s.len = NCR_PORT_BODY + 1;
    ncr_test(ncr_port_json(&s, &wrong) == NULL && strstr(wrong, "16 MB"),
             "16 MB are too many");

    ncr_str_set(&s, "{\"format\":\"claude-relay\"}");
    json = ncr_port_json(&s, &wrong);
    ncr_test(strcmp(ncr_port_format(json), "claude-relay") == 0, "our own");
    cJSON_Delete(json);

    ncr_str_set(&s, "{\"data\":{\"x\":1}}");
    json = ncr_port_json(&s, &wrong);
    ncr_test(ncr_port_format(json) == NULL, "no format");
    cJSON_Delete(json);
}


static void
ncr_test_seal(void)
{
    char        *text;
    cJSON       *json, *back;
    ncr_char_t   key[NCR_SEAL_KEY];

    memset(key, 7, sizeof(key));

    json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "api_key", "secret");

    text = ncr_port_seal(key, "account", "a", json);
    ncr_test(text && strstr(text, "secret") == NULL, "secrets are sealed");

    back = ncr_port_unseal(key, "account", "a", text);
    ncr_test(back && cJSON_Compare(json, back, 1), "and opened");
    cJSON_Delete(back);

    ncr_test(ncr_port_unseal(key, "account", "b", text) == NULL,
             "not at another place");
    ncr_test(ncr_port_unseal(key, "key", "a", text) == NULL,
             "nor of another kind");

    key[0]++;
    ncr_test(ncr_port_unseal(key, "account", "a", text) == NULL,
             "nor by another key");
    key[0]--;

    text[20] = (text[20] == 'A') ? 'B' : 'A';
    ncr_test(ncr_port_unseal(key, "account", "a", text) == NULL,
             "nor if it was changed");
    ncr_test(ncr_port_unseal(key, "account", "a", "") == NULL
             && ncr_port_unseal(key, "account", "a", "!") == NULL,
             "nor what is none");

    cJSON_free(text);
    cJSON_Delete(json);
}


int
main(void)
{
    ncr_test_port_t  *t;

    for (t = ncr_test_ports; t->name; t++) {
        ncr_test_read(t);
    }

    ncr_test_json();
    ncr_test_seal();

    return ncr_test_done();
}
