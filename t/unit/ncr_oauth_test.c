
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/platform/ncr_oauth.c"
#include "../../src/platform/ncr_oauth_answer.c"
#include "../../src/platform/ncr_oauth_paste.c"
#include "../../src/platform/ncr_oauth_text.c"
#include "../../src/platform/ncr_oauth_usage.c"
#include "ncr_test.h"

#include <stdlib.h>


#define NCR_TEST_NOW  ((ncr_msec_t) 1795262400 * 1000)      /* 12:00 UTC */

#define A  "sk-ant-oat01-test-access"
#define R  "sk-ant-ort01-test-refresh"


typedef struct {
    const char  *text;
    const char  *code;                  /* or what is wrong, state NULL */
    const char  *state;
} ncr_test_paste_t;


typedef struct {
    const char  *name;
    ncr_uint_t   status;
    const char  *type;
    const char  *retry_after;
    const char  *body;
    ncr_oauth_e  result;
    ncr_msec_t   wait;
    const char  *error;
} ncr_test_answer_t;


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


/* PKCE, URL and bodies */

static ncr_oauth_t  ncr_test_oauth = {
    .authorize_url = ncr_string("https://auth.test/authorize"),
    .token_url = ncr_string("https://auth.test/token"),
    .client_id = ncr_string("client-1"),
    .redirect_uri = ncr_string("https://auth.test/callback"),
    .loopback_uri = ncr_string("http://localhost:54545/callback"),
    .scope = ncr_string("user:profile user:inference"),
    .setup_scope = ncr_string("user:inference"),
    .authorize_extra = "code=true",
    .refresh_scope = 1,
    .send_state = 1
};


static ncr_uint_t
ncr_test_out_is(ncr_out_t *out, const char *text)
{
    ncr_str_t  s;

    s.data = out->start;
    s.len = (size_t) (out->last - out->start);

    if (!out->overflow && ncr_test_str(s, text)) {
        return 1;
    }

    printf("# %.*s\n", (int) s.len, (char *) s.data);

    return 0;
}


static void
ncr_test_pkce(void)
{
    char  verifier[NCR_OAUTH_VERIFIER], challenge[NCR_OAUTH_VERIFIER];

    /* RFC 7636, appendix B */

    static const ncr_char_t  octets[32] = {
        116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173,
        187, 186, 22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83,
        132, 141, 121
    };

    ncr_oauth_verifier(octets, verifier);
    ncr_test(strcmp(verifier, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
             == 0, "RFC 7636, appendix B: verifier");

    ncr_oauth_challenge(verifier, challenge);
    ncr_test(strcmp(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
             == 0, "RFC 7636, appendix B: challenge");
}


static void
ncr_test_sent(void)
{
    ncr_str_t    code, state, verifier, refresh, scope, none, challenge;
    ncr_out_t    out;
    ncr_char_t   buf[1024];
    ncr_oauth_t  other;

    code = ncr_test_s("c\"1");
    state = ncr_test_s("s 1&");
    verifier = ncr_test_s("v");
    refresh = ncr_test_s(R);
    scope = ncr_test_s("a b");
    challenge = ncr_test_s("ch-_1");
    none = ncr_test_s("");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_oauth_authorize_url(&out, &ncr_test_oauth,
                            &ncr_test_oauth.redirect_uri,
                            &ncr_test_oauth.scope, &state, &challenge);
    ncr_test(ncr_test_out_is(&out, "https://auth.test/authorize?code=true"
             "&client_id=client-1&response_type=code"
             "&redirect_uri=https%3A%2F%2Fauth.test%2Fcallback"
             "&scope=user%3Aprofile%20user%3Ainference"
             "&code_challenge=ch-_1&code_challenge_method=S256"
             "&state=s%201%26"), "authorize URL");

    other = ncr_test_oauth;
    ncr_str_set(&other.authorize_url, "https://auth.test/a?b=c");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_oauth_authorize_url(&out, &other, &none, &none, &none, &none);
    ncr_test(ncr_test_out_is(&out, "https://auth.test/a?b=c&code=true"
             "&client_id=client-1&response_type=code&redirect_uri=&scope="
             "&code_challenge=&code_challenge_method=S256&state="),
             "authorize URL with a query of its own");

    ncr_out_init(&out, buf, 64);
    ncr_oauth_authorize_url(&out, &ncr_test_oauth, &none, &none, &none, &none);
    ncr_test(out.overflow, "authorize URL: no room");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_oauth_exchange(&out, &ncr_test_oauth, &code,
                       &ncr_test_oauth.redirect_uri, &verifier, &state, 0);
    ncr_test(ncr_test_out_is(&out, "{\"grant_type\":\"authorization_code\","
             "\"code\":\"c\\\"1\","
             "\"redirect_uri\":\"https://auth.test/callback\","
             "\"client_id\":\"client-1\",\"code_verifier\":\"v\","
             "\"state\":\"s 1&\"}"), "exchange");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_oauth_exchange(&out, &ncr_test_oauth, &code,
                       &ncr_test_oauth.loopback_uri, &verifier, &none, 1);
    ncr_test(ncr_test_out_is(&out, "{\"grant_type\":\"authorization_code\","
             "\"code\":\"c\\\"1\","
             "\"redirect_uri\":\"http://localhost:54545/callback\","
             "\"client_id\":\"client-1\",\"code_verifier\":\"v\","
             "\"expires_in\":31536000}"), "exchange for a setup token");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_oauth_refresh(&out, &ncr_test_oauth, &refresh, &scope);
    ncr_test(ncr_test_out_is(&out, "{\"grant_type\":\"refresh_token\","
             "\"refresh_token\":\"" R "\",\"client_id\":\"client-1\","
             "\"scope\":\"a b\"}"), "refresh");

    ncr_out_init(&out, buf, sizeof(buf));
    ncr_oauth_refresh(&out, &ncr_test_oauth, &refresh, &none);
    ncr_test(ncr_test_out_is(&out, "{\"grant_type\":\"refresh_token\","
             "\"refresh_token\":\"" R "\",\"client_id\":\"client-1\"}"),
             "refresh, scope not known");
}


/* what is pasted */

static ncr_test_paste_t  ncr_test_pastes[] = {

    /* anthropic.md A.3 */

    { "abc#st", "abc", "st" },
    { "abc", "abc", "" },
    { "https://platform.claude.com/oauth/code/callback?code=abc&state=st",
      "abc", "st" },
    { " abc#st\n", "abc", "st" },
    { "abc&x=1#st", "abc", "st" },

    { "\r\n\t abc \r\n", "abc", "" },
    { "abc#", "abc", "" },
    { "abc#s#t", "abc", "s#t" },
    { "https://c/?state=st&code=abc", "abc", "st" },
    { "HTTPS://c/?code=abc", "abc", "" },
    { "https://c/?code=abc#st", "abc", "st" },
    { "https://c/?code=abc&state=st#other", "abc", "st" },
    { "https://c/#code=abc&state=st", "abc", "st" },
    { "https://c/?x=1#state=st&code=abc", "abc", "st" },
    { "http://localhost:54545/callback?code=a%2Fb%3D&state=s%20t", NULL,
      NULL },
    { "http://localhost:54545/callback?code=a%2Fb%3D&state=s%2Bt", "a/b=",
      "s+t" },
    { "/callback?code=abc&state=st", "abc", "st" },
    { "?code=abc&state=st", "abc", "st" },
    { "code=abc&state=st", "abc", "st" },
    { "state=st&code=abc", "abc", "st" },
    { "https://c/?xcode=1&code=abc&mystate=2", "abc", "" },

    { "", "nothing was entered", NULL },
    { " \r\n", "nothing was entered", NULL },
    { "#st", "there is no code in it", NULL },
    { "&x#st", "there is no code in it", NULL },
    { "https://c/", "there is no code in it", NULL },
    { "https://c/?code=&state=st", "there is no code in it", NULL },
    { "https://c/code=abc", "there is no code in it", NULL },
    { "https://", "there is no code in it", NULL },
    { "https://c/?code=a%4", "the URL is broken", NULL },
    { "https://c/?code=abc&state=%zz", "the URL is broken", NULL },
    { "https://c/?code=a%00b", NULL, NULL },
    { "https://c/?code=a%0d%0ab", NULL, NULL },
    { "https://c/?code=a%23b", NULL, NULL },
    { "https://c/?code=a+b", NULL, NULL },
    { "abc def", NULL, NULL },
    { "abc\ndef#st", NULL, NULL },
    { "abc\x01", NULL, NULL },
    { "caf\xc3\xa9", NULL, NULL },
    { A, "this is a token or a key, not a code: import it", NULL },

    { "https://c/?error=access_denied&state=st",
      "the authorization server says access_denied", NULL },
    { "https://c/?error=access_denied&error_description=The+user%20said+no"
      "&state=st",
      "the authorization server says access_denied: The user said no", NULL },
    { "https://c/#error=access_denied",
      "the authorization server says access_denied", NULL },
    { "error=invalid_scope", "the authorization server says invalid_scope",
      NULL },
    { "https://c/?code=abc&error=bad%0d%0a%1b[31m",
      "the authorization server says bad[31m", NULL },
    { "https://c/?error=x&error_description=%zz",
      "the authorization server says x", NULL },
    { "https://c/?error=x&error_description=token+" A,
      "the authorization server says x: token ***", NULL }
};


static void
ncr_test_pasted(void)
{
    size_t             i;
    ncr_str_t          text, code, state;
    ncr_uint_t         ok;
    ncr_char_t        *buf;
    const char        *err;
    ncr_test_paste_t  *row;

    for (i = 0; i < sizeof(ncr_test_pastes) / sizeof(ncr_test_pastes[0]); i++)
    {
        row = &ncr_test_pastes[i];

        text = ncr_test_exact(row->text, strlen(row->text));
        buf = malloc(text.len + 1024);

        err = ncr_oauth_paste(&text, buf, text.len + 1024, &code, &state);

        if (row->state != NULL) {
            ok = err == NULL && ncr_test_str(code, row->code)
                 && ncr_test_str(state, row->state);

        } else {
            ok = err != NULL && code.len == 0 && state.len == 0
                 && (row->code == NULL || strcmp(err, row->code) == 0);
        }

        ncr_test(ok, "paste");

        if (!ok) {
            printf("# %s: %s\n", row->text, err ? err : "");
        }

        free(buf);

        /* without room it is refused */

        buf = malloc(1);
        (void) ncr_oauth_paste(&text, buf, 0, &code, &state);
        (void) ncr_oauth_paste(&text, buf, 1, &code, &state);

        free(buf);
        free(text.data);
    }
}


static void
ncr_test_pasted_odd(void)
{
    char        *text;
    ncr_str_t    s, code, state;
    ncr_char_t   buf[64];

    s = ncr_test_exact("abc\0def", 7);
    ncr_test(ncr_oauth_paste(&s, buf, sizeof(buf), &code, &state) != NULL,
             "paste: a NUL");
    free(s.data);

    text = malloc(10001);
    memset(text, 'a', 10000);
    text[10000] = '\0';

    s = ncr_test_s(text);
    ncr_test(ncr_oauth_paste(&s, buf, sizeof(buf), &code, &state) != NULL,
             "paste: very long");

    s.len = NCR_OAUTH_CODE + 1;
    ncr_test(ncr_oauth_paste(&s, buf, sizeof(buf), &code, &state) != NULL,
             "paste: too long");

    s.len = NCR_OAUTH_CODE;
    ncr_test(ncr_oauth_paste(&s, buf, sizeof(buf), &code, &state) == NULL
             && code.len == NCR_OAUTH_CODE, "paste: the longest");

    free(text);

    s = ncr_test_s("https://c/?error=access_denied");
    ncr_test(strcmp(ncr_oauth_paste(&s, buf, 16, &code, &state),
                    "the authorization server refused it") == 0,
             "paste: no room for the server's words");

    s = ncr_test_s("https://c/?code=abc%41&state=%41%41");
    ncr_test(ncr_oauth_paste(&s, buf, 6, &code, &state) != NULL,
             "paste: no room for what is decoded");
    ncr_test(ncr_oauth_paste(&s, buf, 64, &code, &state) == NULL
             && ncr_test_str(code, "abcA") && ncr_test_str(state, "AA"),
             "paste: both decoded");
}


/* answers of the token endpoint */

#define OK(rest)  "{\"access_token\":\"" A "\"" rest "}"

#define T  NCR_OAUTH_TRANSIENT
#define G  NCR_OAUTH_INVALID_GRANT
#define X  NCR_OAUTH_REFUSED


static ncr_test_answer_t  ncr_test_answers[] = {

    { "200", 200, "application/json", "", OK(""), NCR_OAUTH_OK, -1, "" },
    { "201", 201, "", "", OK(""), NCR_OAUTH_OK, -1, "" },
    { "blanks around it", 200, "", "", " \r\n" OK("") "\t\n", NCR_OAUTH_OK,
      -1, "" },

    /* A.5 */

    { "not found", 400, "application/json", "",
      "{\"error\":\"invalid_grant\",\"error_description\":\"Refresh token "
      "not found or invalid\"}", G, -1,
      "invalid_grant: Refresh token not found or invalid" },
    { "expired", 400, "application/json", "",
      "{\"error\":\"invalid_grant\",\"error_description\":\"Refresh token "
      "expired\"}", G, -1, "invalid_grant: Refresh token expired" },
    { "401", 401, "", "7", "{\"error\":\"invalid_grant\"}", G, -1,
      "invalid_grant" },
    { "in the API's form", 400, "", "",
      "{\"type\":\"error\",\"error\":{\"type\":\"invalid_grant\","
      "\"message\":\"gone\"}}", G, -1, "invalid_grant: gone" },
    { "invalid request", 400, "text/plain", "", "Invalid request format", X,
      -1, "HTTP 400" },
    { "invalid request, JSON", 400, "", "",
      "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
      "\"message\":\"Invalid request format\"}}", X, -1,
      "invalid_request_error: Invalid request format" },
    { "another grant's name", 400, "", "", "{\"error\":\"invalid_grants\"}",
      X, -1, "invalid_grants" },
    { "it is only mentioned", 400, "", "",
      "{\"error\":\"invalid_request\",\"error_description\":"
      "\"invalid_grant\"}", X, -1, "invalid_request: invalid_grant" },
    { "invalid_client", 401, "", "", "{\"error\":\"invalid_client\","
      "\"error_uri\":\"https://docs.test/oauth#e1\"}", X, -1,
      "invalid_client, see https://docs.test/oauth#e1" },
    { "400 and cut", 400, "", "", "{\"error\":\"invalid_grant\"", X, -1,
      "HTTP 400" },
    { "400 of an edge", 400, "text/html", "", "<html>", T, -1,
      "HTTP 400, a page of an edge or proxy" },
    { "401 of a proxy", 401, "", "", "\n <!doctype html>", T, -1,
      "HTTP 401, a page of an edge or proxy" },
    { "an old host", 404, "text/html", "", "<html>", X, -1,
      "HTTP 404, a page of an edge or proxy" },
    { "404", 404, "", "", "", X, -1, "HTTP 404" },
    { "403 HTML", 403, "text/html; charset=UTF-8", "30", "<html>", T, 30000,
      "HTTP 403, a page of an edge or proxy" },
    { "403 empty", 403, "", "", "", T, -1, "HTTP 403" },
    { "403 JSON", 403, "application/json", "",
      "{\"error\":\"unauthorized_client\"}", X, -1, "unauthorized_client" },
    { "403 is no word on a grant", 403, "", "",
      "{\"error\":\"invalid_grant\"}", X, -1, "invalid_grant" },
    { "302", 302, "text/html", "", "", T, -1,
      "HTTP 302, a page of an edge or proxy" },
    { "405", 405, "", "", "", X, -1, "HTTP 405" },
    { "422", 422, "", "", "{}", X, -1, "HTTP 422" },
    { "408", 408, "", "", "", T, -1, "HTTP 408" },
    { "425", 425, "", "", "", T, -1, "HTTP 425" },
    { "429", 429, "", "", "", T, -1, "HTTP 429" },
    { "429 of a grant", 429, "", "", "{\"error\":\"invalid_grant\"}", T, -1,
      "invalid_grant" },
    { "500 of a grant", 500, "", "", "{\"error\":\"invalid_grant\"}", T, -1,
      "invalid_grant" },
    { "502", 502, "text/html", "", "<html>", T, -1,
      "HTTP 502, a page of an edge or proxy" },
    { "503", 503, "", "10", "", T, 10000, "HTTP 503" },
    { "529", 529, "", "", "", T, -1, "HTTP 529" },
    { "0", 0, "", "", "", T, -1, "HTTP 0" },
    { "101", 101, "", "", "", T, -1, "HTTP 101" },

    { "wait: seconds", 429, "", "60", "", T, 60000, "HTTP 429" },
    { "wait: little", 429, "", "0", "", T, 5000, "HTTP 429" },
    { "wait: long", 429, "", "2895", "", T, 300000, "HTTP 429" },
    { "wait: huge", 429, "", "99999999999999999999999", "", T, 300000,
      "HTTP 429" },
    { "wait: a date", 429, "", "Sat, 21 Nov 2026 12:01:40 GMT", "", T,
      100000, "HTTP 429" },
    { "wait: a date that is over", 429, "", "Sat, 21 Nov 2026 11:00:00 GMT",
      "", T, 5000, "HTTP 429" },
    { "wait: nonsense", 429, "", "soon", "", T, -1, "HTTP 429" },
    { "wait: negative", 429, "", "-5", "", T, -1, "HTTP 429" },

    /* 2xx that are none */

    { "200 HTML", 200, "text/html", "", "<html>login</html>", T, -1,
      "HTTP 200, but not a JSON object" },
    { "200 empty", 200, "", "", "", T, -1,
      "HTTP 200, but not a JSON object" },
    { "204", 204, "", "9", "", T, 9000, "HTTP 204, but not a JSON object" },
    { "200 array", 200, "", "", "[" OK("") "]", T, -1,
      "HTTP 200, but not a JSON object" },
    { "200 cut", 200, "", "", "{\"access_token\":\"" A "\"", T, -1,
      "HTTP 200, but not a JSON object" },
    { "200 with something after it", 200, "", "", OK("") "x", T, -1,
      "HTTP 200, but not a JSON object" },
    { "200 and a second one", 200, "", "", OK("") OK(""), T, -1,
      "HTTP 200, but not a JSON object" },
    { "200 {}", 200, "", "", "{}", T, -1,
      "HTTP 200, but no access_token in it" },
    { "200 null", 200, "", "", "{\"access_token\":null}", T, -1,
      "HTTP 200, but no access_token in it" },
    { "200 number", 200, "", "", "{\"access_token\":1}", T, -1,
      "HTTP 200, but no access_token in it" },
    { "200 of an error", 200, "", "", "{\"error\":\"invalid_grant\"}", T, -1,
      "invalid_grant" },
    { "200 with a NUL", 200, "", "",
      "{\"access_token\":\"" A "\\u0000x\"}", T, -1,
      "HTTP 200, but not a JSON object" },
    { "200 with a backslash before u0000", 200, "", "",
      OK(",\"scope\":\"\\\\u0000\""), NCR_OAUTH_OK, -1, "" },

    /* tokens that are none */

    { "swapped", 200, "", "",
      "{\"access_token\":\"" R "\",\"refresh_token\":\"" A "\"}", X, -1,
      "a refresh token stands where the access token belongs" },
    { "access twice", 200, "", "", OK(",\"refresh_token\":\"" A "\""), X, -1,
      "an access token stands where the refresh token belongs" },
    { "CR LF", 200, "", "",
      "{\"access_token\":\"a\\r\\nX-Evil: 1\"}", X, -1,
      "the access token has characters that no token has" },
    { "a blank", 200, "", "", "{\"access_token\":\"a b\"}", X, -1,
      "the access token has characters that no token has" },
    { "not ASCII", 200, "", "", "{\"access_token\":\"a\\u00e9\"}", X, -1,
      "the access token has characters that no token has" },
    { "DEL", 200, "", "", "{\"access_token\":\"a\x7f\"}", X, -1,
      "the access token has characters that no token has" },
    { "CR LF of the other", 200, "", "",
      OK(",\"refresh_token\":\"a\\nb\""), X, -1,
      "the refresh token has characters that no token has" },
    { "the other is a number", 200, "", "", OK(",\"refresh_token\":7"), X,
      -1, "the refresh token is not a string" },

    /* the words of others */

    { "tokens are taken out", 400, "", "",
      "{\"error\":\"invalid_request\",\"error_description\":\"bad " R
      " and " A ", eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9\"}", X, -1,
      "invalid_request: bad *** and ***, ***" },
    { "also if they are cut by controls", 400, "", "",
      "{\"error\":\"x\\n\\u001b[1m\",\"error_description\":\"sk-a"
      "\\u0001nt-oat01-abc\\r\\n2026 [error] faked\"}", X, -1,
      "x[1m: *** [error] faked" },
    { "and not ASCII", 400, "", "",
      "{\"error\":\"caf\xc3\xa9\"}", X, -1, "caf??" },
    { "other members are not told", 400, "", "",
      "{\"error\":\"x\",\"refresh_token\":\"secret\",\"message\":\"m\"}", X,
      -1, "x" },
    { "words that are no strings", 400, "", "",
      "{\"error\":[1],\"error_description\":{\"a\":1}}", X, -1, "HTTP 400" },
    { "a long word", 400, "", "",
      "{\"error\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", X, -1,
      "***" },
    { "words with a hyphen", 400, "", "",
      "{\"error\":\"a task-force on risk-taking\"}", X, -1,
      "a task-force on risk-taking" }
};


static void
ncr_test_answer(ncr_oauth_tokens_t *t, ncr_uint_t status, const char *type,
    const char *retry_after, const char *body, size_t len)
{
    ncr_str_t  ct, ra, b;

    ct = ncr_test_exact(type, strlen(type));
    ra = ncr_test_exact(retry_after, strlen(retry_after));
    b = ncr_test_exact(body, len);

    memset(t, 0xA5, sizeof(ncr_oauth_tokens_t));
    ncr_oauth_answer(t, status, &ct, &ra, &b, NCR_TEST_NOW);

    free(b.data);
    free(ra.data);
    free(ct.data);
}


static void
ncr_test_answered(void)
{
    size_t               i, n;
    ncr_uint_t           ok, cut;
    ncr_test_answer_t   *row;
    ncr_oauth_tokens_t   t;

    for (i = 0;
         i < sizeof(ncr_test_answers) / sizeof(ncr_test_answers[0]);
         i++)
    {
        row = &ncr_test_answers[i];

        ncr_test_answer(&t, row->status, row->type, row->retry_after,
                        row->body, strlen(row->body));

        ok = t.result == row->result && t.retry_after == row->wait
             && strcmp(t.error, row->error) == 0
             && (t.result == NCR_OAUTH_OK) == (t.access[0] != '\0')
             && (t.result == NCR_OAUTH_OK || t.refresh[0] == '\0');

        ncr_test(ok, row->name);

        if (!ok) {
            printf("# %d %d \"%s\"\n", (int) t.result, (int) t.retry_after,
                   t.error);
        }

        /* whatever is cut off, no half token is taken for one */

        cut = 1;

        for (n = 0; n < strlen(row->body); n++) {
            ncr_test_answer(&t, row->status, row->type, "", row->body, n);

            if (t.result == NCR_OAUTH_OK && strcmp(t.access, A) != 0) {
                cut = 0;
            }
        }

        if (row->status == 200) {
            ncr_test(cut, "and cut");
        }
    }
}


static void
ncr_test_tokens(void)
{
    ncr_oauth_tokens_t   t;
    const char          *body;

    body = "{\"token_type\":\"Bearer\",\"access_token\":\"" A "\","
           "\"expires_in\":28800,\"refresh_token\":\"" R "\","
           "\"scope\":\"user:inference user:profile\","
           "\"organization\":{\"uuid\":\"o-1\",\"name\":\"O \\\"1\\\"\"},"
           "\"account\":{\"uuid\":\"a-1\",\"email_address\":\"a@b.test\"},"
           "\"subscription\":\"claude_max\",\"tier\":\"t-5x\"}";

    ncr_test_answer(&t, 200, "", "", body, strlen(body));

    ncr_test(t.result == NCR_OAUTH_OK && t.error[0] == '\0', "tokens");
    ncr_test(strcmp(t.access, A) == 0, "access");
    ncr_test(strcmp(t.refresh, R) == 0, "refresh");
    ncr_test(t.expires == NCR_TEST_NOW + 28800 * 1000, "expires");
    ncr_test(strcmp(t.scope, "user:inference user:profile") == 0, "scope");
    ncr_test(strcmp(t.meta, "{\"account_uuid\":\"a-1\","
                    "\"email\":\"a@b.test\",\"organization_uuid\":\"o-1\","
                    "\"organization\":\"O \\\"1\\\"\",\"plan\":\"max\","
                    "\"tier\":\"t-5x\"}") == 0, "meta");

    body = OK("");
    ncr_test_answer(&t, 200, "", "", body, strlen(body));
    ncr_test(t.result == NCR_OAUTH_OK && t.refresh[0] == '\0'
             && t.expires == 0 && t.scope[0] == '\0' && t.meta[0] == '\0',
             "nothing but access");

    body = OK(",\"refresh_token\":null,\"expires_in\":null,\"scope\":null,"
              "\"account\":null,\"organization\":[1],\"plan\":1");
    ncr_test_answer(&t, 200, "", "", body, strlen(body));
    ncr_test(t.result == NCR_OAUTH_OK && t.refresh[0] == '\0'
             && t.expires == 0 && t.scope[0] == '\0' && t.meta[0] == '\0',
             "nulls and nonsense are nothing");

    body = OK(",\"scope\":[\"a\",\"b\"]");
    ncr_test_answer(&t, 200, "", "", body, strlen(body));
    ncr_test(strcmp(t.scope, "a b") == 0, "scope as an array");

    body = OK(",\"scope\":[\"a\",1]");
    ncr_test_answer(&t, 200, "", "", body, strlen(body));
    ncr_test(t.result == NCR_OAUTH_OK && t.scope[0] == '\0',
             "scope with a number in it");

    body = OK(",\"scope\":\"a\\nb\"");
    ncr_test_answer(&t, 200, "", "", body, strlen(body));
    ncr_test(t.scope[0] == '\0', "scope with a line feed in it");
}


static void
ncr_test_expires(void)
{
    char                 text[1024];
    size_t               i;
    ncr_oauth_tokens_t   t;

    static const struct {
        const char  *value;
        int64_t      seconds;           /* -1: not told */
    } lives[] = {
        { "28800", 28800 },
        { "\"28800\"", 28800 },
        { "28800.9", 28800 },
        { "2.88e4", 28800 },
        { "0", 0 },
        { "-1", 0 },
        { "-1e300", 0 },
        { "1e300", NCR_OAUTH_LONGEST },
        { "1e999", NCR_OAUTH_LONGEST },
        { "99999999999999999999999999", NCR_OAUTH_LONGEST },
        { "1795262400000", NCR_OAUTH_LONGEST },
        { "\"9223372036854775807\"", NCR_OAUTH_LONGEST },
        { "\"9999999999999999999999\"", -1 },
        { "\"\"", -1 },
        { "\"-5\"", -1 },
        { "\"soon\"", -1 },
        { "null", -1 },
        { "true", -1 },
        { "[1]", -1 },
        { "{\"a\":1}", -1 }
    };

    for (i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
        snprintf(text, sizeof(text), OK(",\"expires_in\":%s"), lives[i].value);
        ncr_test_answer(&t, 200, "", "", text, strlen(text));

        ncr_test(t.result == NCR_OAUTH_OK
                 && t.expires == ((lives[i].seconds < 0) ? 0
                                  : NCR_TEST_NOW + lives[i].seconds * 1000),
                 lives[i].value);
    }
}


static void
ncr_test_tokens_long(void)
{
    char                *text, *p;
    size_t               i;
    ncr_oauth_tokens_t   t;

    text = malloc(NCR_OAUTH_BODY + 64);

    /* as long as it may be, and longer */

    for (i = NCR_OAUTH_TOKEN - 1; i <= NCR_OAUTH_TOKEN; i++) {
        p = text + snprintf(text, 1024, "{\"access_token\":\"");
        memset(p, 'x', i);
        memcpy(p + i, "\"}", 3);

        ncr_test_answer(&t, 200, "", "", text, strlen(text));
        ncr_test((i < NCR_OAUTH_TOKEN)
                 ? t.result == NCR_OAUTH_OK && strlen(t.access) == i
                 : t.result == NCR_OAUTH_REFUSED && t.access[0] == '\0'
                   && strcmp(t.error, "the access token is too long") == 0,
                 "a long token");
    }

    p = text + snprintf(text, 1024, "{\"access_token\":\"" A "\",\"scope\":\"");
    memset(p, 'x', 512);
    memcpy(p + 512, "\"}", 3);
    ncr_test_answer(&t, 200, "", "", text, strlen(text));
    ncr_test(t.result == NCR_OAUTH_OK && t.scope[0] == '\0',
             "a scope that is too long is not told in half");

    /* deeper than anything real */

    memset(text, '[', 40000);
    memset(text + 40000, ']', 20000);
    ncr_test_answer(&t, 200, "", "", text, 60000);
    ncr_test(t.result == NCR_OAUTH_TRANSIENT, "deep");

    p = text + snprintf(text, 1024, "{\"access_token\":\"" A "\",\"x\":");
    memset(p, '[', 100);
    memset(p + 100, ']', 100);
    memcpy(p + 200, "}", 2);
    ncr_test_answer(&t, 200, "", "", text, strlen(text));
    ncr_test(t.result == NCR_OAUTH_TRANSIENT, "deep in a member");

    ncr_test_answer(&t, 200, "", "", OK("") "\0", sizeof(OK("")));
    ncr_test(t.result == NCR_OAUTH_TRANSIENT, "a NUL after it");

    memset(text, ' ', NCR_OAUTH_BODY + 64);
    memcpy(text, OK(""), sizeof(OK("")) - 1);
    ncr_test_answer(&t, 200, "", "", text, NCR_OAUTH_BODY);
    ncr_test(t.result == NCR_OAUTH_OK, "as long as a body may be");
    ncr_test_answer(&t, 200, "", "", text, NCR_OAUTH_BODY + 1);
    ncr_test(t.result == NCR_OAUTH_TRANSIENT, "a longer one");
    free(text);
}


static void
ncr_test_errors(void)
{
    char                *p, text[8192], words[256];
    size_t               i;
    ncr_str_t            s;
    ncr_uint_t           bad;
    ncr_oauth_tokens_t   t;

    /* a whole error is bounded, and no half of a token is at its end */

    bad = 0;
    p = text + snprintf(text, sizeof(text),
                        "{\"error\":\"x\",\"error_description\":\"");

    for (i = 0; i < 60; i++) {
        p += snprintf(p, 64, "%s " A, (i & 1) ? "." : "and");
    }

    memcpy(p, "\"}", 3);

    for (i = strlen(text); i > 100; i--) {
        memcpy(text + i - 2, "\"}", 3);
        ncr_test_answer(&t, 400, "", "", text, i);

        bad |= (strlen(t.error) >= sizeof(t.error)
                || strstr(t.error, "sk-ant") != NULL
                || strstr(t.error, "oat01") != NULL);
    }

    ncr_test(!bad, "errors of any length");

    /* its end is not looked at, so this one does not look like a token */

    memset(text, 'a', 1014);

    for (i = 1; i < 8; i++) {
        text[i * 128] = ' ';
    }

    text[1013] = ' ';
    memcpy(text + 1014, "verysecret0123456789abcdef", 27);

    s = ncr_test_s(text);
    ncr_oauth_words(words, sizeof(words), &s);
    ncr_test(strcmp(words, "*** *** *** *** *** *** *** *** ***") == 0,
             "a token that is cut in the middle");
}


/* profile and meta */

static ncr_uint_t
ncr_test_profile_is(const char *body, const char *old, const char *found)
{
    char       *meta;
    ncr_str_t   b, o;
    ncr_int_t   rc;
    ncr_uint_t  ok;

    meta = malloc(NCR_OAUTH_META);
    b = ncr_test_exact(body, strlen(body));
    o = ncr_test_exact(old, strlen(old));

    rc = ncr_oauth_profile(&b, &o, meta, NCR_OAUTH_META);

    ok = (found == NULL) ? rc == NCR_BAD
                         : rc == NCR_OK && strcmp(meta, found) == 0;

    if (!ok && rc == NCR_OK) {
        printf("# %s\n", meta);
    }

    free(o.data);
    free(b.data);
    free(meta);

    return ok;
}


static void
ncr_test_profile(void)
{
    char         text[4096], meta[NCR_OAUTH_META];
    cJSON       *json;
    size_t       i;
    ncr_str_t    s, old;
    ncr_uint_t   bad;

    static const char  *plans[] = {
        "claude_max", "max", "claude_pro", "pro", "claude_team", "team",
        "claude_enterprise", "enterprise", "claude_free", "free"
    };

    ncr_test(ncr_test_profile_is(
        "{\"account\":{\"uuid\":\"a\",\"email\":\"e@t.test\","
        "\"full_name\":\"F N\",\"display_name\":\"D\","
        "\"has_claude_max\":true,\"has_claude_pro\":false},"
        "\"organization\":{\"uuid\":\"o\",\"name\":\"O\","
        "\"organization_type\":\"claude_max\",\"billing_type\":\"b\","
        "\"rate_limit_tier\":\"default_claude_max_20x\"}}", "",
        "{\"account_uuid\":\"a\",\"email\":\"e@t.test\","
        "\"organization_uuid\":\"o\",\"organization\":\"O\",\"plan\":\"max\","
        "\"tier\":\"default_claude_max_20x\",\"name\":\"F N\"}"), "profile");

    for (i = 0; i < sizeof(plans) / sizeof(plans[0]); i += 2) {
        snprintf(text, sizeof(text), "{\"organization\":"
                 "{\"organization_type\":\"%s\"}}", plans[i]);
        snprintf(meta, sizeof(meta), "{\"plan\":\"%s\"}", plans[i + 1]);
        ncr_test(ncr_test_profile_is(text, "", meta), plans[i]);
    }

    ncr_test(ncr_test_profile_is("{\"account\":{\"has_claude_max\":true}}",
                                 "", "{\"plan\":\"max\"}"), "has max");
    ncr_test(ncr_test_profile_is("{\"account\":{\"has_claude_pro\":true,"
                                 "\"display_name\":\"D\"}}", "",
                                 "{\"plan\":\"pro\",\"name\":\"D\"}"),
             "has pro");
    ncr_test(ncr_test_profile_is("{\"account\":{}}", "", ""), "empty");

    ncr_test(ncr_test_profile_is(
        "{\"account\":{\"email\":\"new@t.test\"}}",
        "{\"email\":\"old@t.test\",\"plan\":\"pro\",\"z\":[1,\"2\"],"
        "\"n\":null}",
        "{\"email\":\"new@t.test\",\"plan\":\"pro\",\"z\":[1,\"2\"],"
        "\"n\":null}"), "over an old one");
    ncr_test(ncr_test_profile_is("{\"account\":{\"uuid\":\"a\"}}", "broken",
                                 "{\"account_uuid\":\"a\"}"),
             "over a broken one");

    ncr_test(ncr_test_profile_is("", "", NULL), "profile: nothing");
    ncr_test(ncr_test_profile_is("<html>", "", NULL), "profile: HTML");
    ncr_test(ncr_test_profile_is("{}", "", NULL), "profile: {}");
    ncr_test(ncr_test_profile_is("{\"account\":null}", "", NULL),
             "profile: null");
    ncr_test(ncr_test_profile_is(
        "{\"type\":\"error\",\"error\":{\"type\":\"permission_error\","
        "\"message\":\"OAuth token does not meet scope requirement\"}}", "",
        NULL), "profile: an error");

    ncr_test(ncr_test_profile_is(
        "{\"account\":{\"full_name\":\"\\u001b[31m\\r\\n\\u009bx\\u007f\"}}",
        "", "{\"name\":\"[31mx\"}"), "profile: controls are taken out");

    /* in any room it is whole JSON */

    snprintf(text, sizeof(text), "{\"account\":{\"uuid\":\"a\",\"email\":"
             "\"e\\\"\",\"full_name\":\"%0200d\"},\"organization\":"
             "{\"uuid\":\"o\",\"name\":\"\xc3\xa9%0127d\"}}", 0, 0);
    s = ncr_test_s(text);
    old = ncr_test_s("{\"z\":1,\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxxx\"}");
    bad = 0;

    for (i = 2; i < sizeof(meta); i++) {
        memset(meta, 'Z', sizeof(meta));
        bad |= ncr_oauth_profile(&s, &old, meta, i) != NCR_OK;
        bad |= strlen(meta) >= i;

        old.len = strlen(meta);
        old.data = (ncr_char_t *) meta;
        json = ncr_oauth_json(&old);
        bad |= (old.len != 0) != (json != NULL);
        cJSON_Delete(json);

        old = ncr_test_s("{\"z\":1,\"long\":\"xxxxxxxxxxxxxxxxxxxxxxxxx\"}");
    }

    ncr_test(!bad, "profile: whatever room there is");
    ncr_test(strstr(meta, "\"z\":1") != NULL, "profile: and with enough");

    old = ncr_test_s("{\"plan\":\"max\",\"email\":\"old@t.test\",\"z\":1}");
    ncr_oauth_meta("{\"email\":\"new@t.test\"}", &old, meta, sizeof(meta));
    ncr_test(strcmp(meta, "{\"email\":\"new@t.test\",\"plan\":\"max\","
                    "\"z\":1}") == 0, "meta over meta");

    ncr_oauth_meta("", &old, meta, sizeof(meta));
    ncr_test(strcmp(meta, "{\"email\":\"old@t.test\",\"plan\":\"max\","
                    "\"z\":1}") == 0, "nothing over meta");

    old.len = 0;
    ncr_oauth_meta("", &old, meta, sizeof(meta));
    ncr_test(meta[0] == '\0', "nothing over nothing");
}


/* usage */

static ncr_uint_t
ncr_test_usage_is(const char *body, const char *found)
{
    char           text[1024];
    size_t         n;
    ncr_str_t      b;
    ncr_int_t      rc;
    ncr_uint_t     i, ok;
    ncr_window_t  *w;
    ncr_limits_t   limits;

    b = ncr_test_exact(body, strlen(body));

    memset(&limits, 0xA5, sizeof(limits));
    rc = ncr_oauth_usage(&b, &limits, NCR_TEST_NOW);
    free(b.data);

    n = 0;
    text[0] = '\0';

    for (i = 0; i < limits.nwindows; i++) {
        w = &limits.windows[i];
        n += (size_t) snprintf(text + n, sizeof(text) - n, "%s %d %d|",
                               w->name, (int) w->utilization,
                               (int) (w->reset
                                      ? (w->reset - NCR_TEST_NOW) / 1000
                                      : -1));
    }

    ok = (found == NULL) ? rc == NCR_BAD && limits.nwindows == 0
                         : rc == NCR_OK && strcmp(text, found) == 0
                           && limits.unified == (limits.nwindows != 0);

    if (!ok) {
        printf("# %d %s\n", (int) rc, text);
    }

    return ok;
}


static void
ncr_test_usage(void)
{
    ncr_test(ncr_test_usage_is(
        "{\"five_hour\":{\"utilization\":12.0,"
        "\"resets_at\":\"2026-11-21T15:00:00Z\"},"
        "\"seven_day\":{\"utilization\":40.255,"
        "\"resets_at\":\"2026-11-25T09:00:00.123456+00:00\"},"
        "\"seven_day_opus\":null,\"seven_day_sonnet\":{\"utilization\":0,"
        "\"resets_at\":null},\"seven_day_oauth_apps\":null,"
        "\"extra_usage\":{\"is_enabled\":true,\"monthly_limit\":5000,"
        "\"used_credits\":120.0,\"utilization\":2.4}}",
        "5h 1200 10800|7d 4026 334800|7d_sonnet 0 -1|"), "usage: classic");

    ncr_test(ncr_test_usage_is(
        "{\"limits\":[{\"kind\":\"session\",\"percent\":4,"
        "\"resets_at\":\"2026-11-21T15:00:00Z\",\"scope\":null},"
        "{\"kind\":\"weekly_all\",\"percent\":24,"
        "\"resets_at\":\"2026-11-21T16:00:00Z\",\"scope\":null},"
        "{\"kind\":\"weekly_scoped\",\"percent\":119.5,"
        "\"resets_at\":\"2026-11-21T17:00:00Z\","
        "\"scope\":{\"model\":{\"display_name\":\"Fable\"}}},"
        "{\"kind\":\"something\",\"percent\":1}],"
        "\"five_hour\":{\"utilization\":99},"
        "\"seven_day_opus\":{\"utilization\":7},"
        "\"spend\":{\"percent\":2,\"enabled\":true}}",
        "5h 400 10800|7d 2400 14400|7d_fable 11950 18000|7d_opus 700 -1|"),
        "usage: limits, then flat");

    ncr_test(ncr_test_usage_is("{\"five_hour\":null,\"seven_day\":null}", ""),
             "usage: all null");
    ncr_test(ncr_test_usage_is("{\"limits\":[]}", ""), "usage: no limits");
    ncr_test(ncr_test_usage_is(
        "{\"limits\":[1,null,{},{\"kind\":1},{\"kind\":\"weekly_scoped\","
        "\"percent\":1},{\"kind\":\"weekly_scoped\",\"percent\":1,"
        "\"scope\":{\"model\":\"Opus\"}},{\"kind\":\"session\"},"
        "{\"kind\":\"session\",\"percent\":\"4\"},"
        "{\"kind\":\"session\",\"percent\":-4}]}", ""),
        "usage: nonsense in limits");
    ncr_test(ncr_test_usage_is(
        "{\"seven_day_overage_included\":{\"utilization\":1},"
        "\"five_hours\":{\"utilization\":2},\"seven_day_\":"
        "{\"utilization\":3},\"seven_day_of_a_very_long_name\":"
        "{\"utilization\":4},\"seven_day_a b\":{\"utilization\":5},"
        "\"seven_day_new\":{\"utilization\":6}}",
        "7d_oi 100 -1|7d_new 600 -1|"), "usage: names");
    ncr_test(ncr_test_usage_is(
        "{\"five_hour\":{\"utilization\":1e999,"
        "\"resets_at\":\"9999-01-01T00:00:00Z\"},"
        "\"seven_day\":{\"utilization\":1,\"resets_at\":\"soon\"},"
        "\"seven_day_a\":{\"utilization\":1,"
        "\"resets_at\":\"0001-01-01T00:00:00Z\"},"
        "\"seven_day_b\":{\"utilization\":1,\"resets_at\":1795262460}}",
        "5h 2147483647 -1|7d 100 -1|7d_a 100 -1|7d_b 100 60|"),
        "usage: huge");
    ncr_test(ncr_test_usage_is(
        "{\"seven_day_1\":{\"utilization\":1},\"seven_day_2\":"
        "{\"utilization\":1},\"seven_day_3\":{\"utilization\":1},"
        "\"seven_day_4\":{\"utilization\":1},\"seven_day_5\":"
        "{\"utilization\":1},\"seven_day_6\":{\"utilization\":1},"
        "\"seven_day_7\":{\"utilization\":1},\"seven_day_8\":"
        "{\"utilization\":1},\"seven_day_9\":{\"utilization\":1}}",
        "7d_1 100 -1|7d_2 100 -1|7d_3 100 -1|7d_4 100 -1|7d_5 100 -1|"
        "7d_6 100 -1|7d_7 100 -1|7d_8 100 -1|"), "usage: too many");

    ncr_test(ncr_test_usage_is("", NULL), "usage: nothing");
    ncr_test(ncr_test_usage_is("{}", NULL), "usage: {}");
    ncr_test(ncr_test_usage_is("[]", NULL), "usage: an array");
    ncr_test(ncr_test_usage_is("<html>", NULL), "usage: HTML");
    ncr_test(ncr_test_usage_is("{\"five_hour\":1,\"limits\":{}}", NULL),
             "usage: of other types");
    ncr_test(ncr_test_usage_is("{\"type\":\"error\",\"error\":{\"type\":"
                               "\"permission_error\"}}", NULL),
             "usage: an error");
}


int
main(void)
{
    ncr_test_pkce();
    ncr_test_sent();
    ncr_test_pasted();
    ncr_test_pasted_odd();
    ncr_test_answered();
    ncr_test_tokens();
    ncr_test_expires();
    ncr_test_tokens_long();
    ncr_test_errors();
    ncr_test_profile();
    ncr_test_usage();

    return ncr_test_done();
}
