
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Signatures were computed with Python's hmac, hashlib and base64. */


#include "../../src/platform/ncr_notify.c"

#include "ncr_test.h"


#define NCR_TEST_SECRET  "planted-hook-secret"
#define NCR_TEST_NOW     INT64_C(1795262400123)


typedef struct {
    ncr_notify_request_t  request;
    ncr_char_t            path[NCR_NOTIFY_HEAD];
    ncr_char_t            headers[NCR_NOTIFY_HEAD];
    ncr_char_t            body[NCR_NOTIFY_BODY];
} ncr_test_request_t;


static ncr_sha256_t        ncr_test_sha;
static ncr_test_request_t  ncr_test_req;


static void
ncr_test_set(ncr_str_t *s, const char *text)
{
    s->data = (ncr_char_t *) (uintptr_t) text;
    s->len = strlen(text);
}


static void
ncr_test_event(ncr_notify_event_t *event)
{
    memset(event, 0, sizeof(ncr_notify_event_t));

    ncr_test_set(&event->id, "0a1b-1");
    ncr_test_set(&event->type, "quota");
    ncr_test_set(&event->level, "warning");
    ncr_test_set(&event->state, "firing");
    ncr_test_set(&event->subject, "account/one");
    ncr_test_set(&event->title, "Quota of account one at 81%");
    ncr_test_set(&event->text, "The window 5h is used by 81%.");
    ncr_test_set(&event->service, "relay");

    event->time = NCR_TEST_NOW;
    event->nfields = 2;

    ncr_test_set(&event->fields[0].name, "account");
    ncr_test_set(&event->fields[0].value, "one");
    ncr_test_set(&event->fields[1].name, "window");
    ncr_test_set(&event->fields[1].value, "5h");
}


static void
ncr_test_hook(ncr_notify_hook_t *hook, ncr_notify_kind_e kind,
    const char *url, const char *secret)
{
    memset(hook, 0, sizeof(ncr_notify_hook_t));

    hook->kind = kind;

    ncr_test_set(&hook->url, url);
    ncr_test_set(&hook->secret, secret);
    ncr_test_set(&hook->chat, "");
    ncr_test_set(&hook->thread, "");
}


static ncr_int_t
ncr_test_make(ncr_notify_hook_t *hook, ncr_notify_event_t *event)
{
    ncr_test_request_t  *r;

    r = &ncr_test_req;

    ncr_out_init(&r->request.path, r->path, sizeof(r->path) - 1);
    ncr_out_init(&r->request.headers, r->headers, sizeof(r->headers) - 1);
    ncr_out_init(&r->request.body, r->body, sizeof(r->body) - 1);

    if (ncr_notify_request(hook, event, NCR_TEST_NOW, &ncr_test_sha,
                           &r->request)
        != NCR_OK)
    {
        return NCR_ERROR;
    }

    *r->request.path.last = '\0';
    *r->request.headers.last = '\0';
    *r->request.body.last = '\0';

    return NCR_OK;
}


static ncr_uint_t
ncr_test_body(const char *text)
{
    if (strcmp((char *) ncr_test_req.body, text) == 0) {
        return 1;
    }

    printf("# %s\n", (char *) ncr_test_req.body);

    return 0;
}


static ncr_uint_t
ncr_test_path(const char *text)
{
    if (strcmp((char *) ncr_test_req.path, text) == 0) {
        return 1;
    }

    printf("# %s\n", (char *) ncr_test_req.path);

    return 0;
}


#define NCR_TEST_MESSAGE                                                      \
    "[warning] Quota of account one at 81%\\nThe window 5h is used by 81%."   \
    "\\naccount: one\\nwindow: 5h\\nrelay, 2026-11-21T12:00:00Z"


static const char  ncr_test_json[] =
    "{\"id\":\"0a1b-1\",\"type\":\"quota\",\"level\":\"warning\","
    "\"state\":\"firing\",\"subject\":\"account/one\",\"title\""
    ":\"Quota of account one at 81%\",\"text\":\"The windo"
    "w 5h is used by 81%.\",\"time\":\"2026-11-21T12:00:0"
    "0Z\",\"fields\":{\"account\":\"one\",\"window\":\"5h\"},\"se"
    "rvice\":\"relay\"}";


static void
ncr_test_kinds(void)
{
    ncr_str_t           name;
    ncr_uint_t          i, ok;
    ncr_notify_hook_t   hook;
    ncr_notify_event_t  event;

    ncr_test_event(&event);

    for (i = 0, ok = 0; i < NCR_NOTIFY_KINDS; i++) {
        ncr_test_set(&name, ncr_notify_name((ncr_notify_kind_e) i));
        ok += (ncr_notify_kind(&name) == i);
    }

    ncr_test_set(&name, "smtp");
    ncr_test(ok == NCR_NOTIFY_KINDS && ncr_notify_kind(&name)
                                       == NCR_NOTIFY_KINDS, "names");

    ncr_test_hook(&hook, NCR_NOTIFY_JSON, "https://h.example/a/b?c=d", "");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_path("/a/b?c=d")
             && ncr_test_body(ncr_test_json)
             && strcmp((char *) ncr_test_req.headers,
                       "X-Claude-Relay-Event: quota\r\n"
                       "X-Claude-Relay-Delivery: 0a1b-1\r\n") == 0,
             "json");
    ncr_test(ncr_test_str(ncr_test_req.request.place.url.host, "h.example")
             && ncr_test_req.request.place.url.port == 443
             && ncr_test_req.request.place.url.tls, "where it goes");

    ncr_test_hook(&hook, NCR_NOTIFY_JSON, "http://h.example:8080",
                  NCR_TEST_SECRET);
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_path("/")
             && strstr((char *) ncr_test_req.headers,
                       "\r\nX-Claude-Relay-Signature: t=1795262400,v1="
                       "7065f494fdc67ab19a81e753eaa7f641"
                       "ca418b5540a455611a2fa84c6cfc77a7\r\n"),
             "json: its signature");

    ncr_test_hook(&hook, NCR_NOTIFY_SLACK, "https://h.example/services/T",
                  "");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_path("/services/T")
             && ncr_test_body("{\"text\":\"" NCR_TEST_MESSAGE "\","
                              "\"unfurl_links\":false}")
             && ncr_test_req.headers[0] == '\0', "slack");

    ncr_test_hook(&hook, NCR_NOTIFY_DISCORD, "https://h.example/api", "");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_body("{\"content\":\"\\\\[warning\\\\] Quota of"
                              " account one at 81%\\nThe window 5h is used by"
                              " 81%.\\naccount: one\\nwindow: 5h\\nrelay,"
                              " 2026\\\\-11\\\\-21T12:00:00Z\","
                              "\"allowed_mentions\":{\"parse\":[]}}"),
             "discord");

    ncr_test_hook(&hook, NCR_NOTIFY_TELEGRAM, "", "123:ABC");
    ncr_test_set(&hook.chat, "-100");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_path("/bot123:ABC/sendMessage")
             && ncr_test_str(ncr_test_req.request.place.url.host,
                             "api.telegram.org")
             && ncr_test_body("{\"chat_id\":\"-100\",\"text\":\""
                              NCR_TEST_MESSAGE "\",\"link_preview_options\":"
                              "{\"is_disabled\":true}}"), "telegram");

    ncr_test_hook(&hook, NCR_NOTIFY_TELEGRAM,
                  "http://127.0.0.1:81/bot9:Z/sendMessage", "");
    ncr_test_set(&hook.chat, "-100");
    ncr_test_set(&hook.thread, "7");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_path("/bot9:Z/sendMessage")
             && strstr((char *) ncr_test_req.body,
                       ",\"message_thread_id\":7,"),
             "telegram: the token in the URL, a thread");

    ncr_test_hook(&hook, NCR_NOTIFY_FEISHU, "https://h.example/hook/x",
                  NCR_TEST_SECRET);
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_body("{\"timestamp\":\"1795262400\",\"sign\":\""
                              "WeaXFIqIkaU8lqc2lKlEZtU97oiVOltoWuMFhUPfnWw="
                              "\",\"msg_type\":\"text\",\"content\":{"
                              "\"text\":\"" NCR_TEST_MESSAGE "\"}}"),
             "feishu, signed");

    ncr_test_hook(&hook, NCR_NOTIFY_DINGTALK,
                  "https://h.example/robot/send?access_token=x",
                  NCR_TEST_SECRET);
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_path("/robot/send?access_token=x"
                              "&timestamp=1795262400123&sign=prsrpjF%2B"
                              "BuENIU7S1BCilh9A9PimnTL5sTJQteWsBi0%3D")
             && ncr_test_body("{\"msgtype\":\"text\",\"text\":{\"content\":\""
                              NCR_TEST_MESSAGE "\"}}"), "dingtalk, signed");

    ncr_test_hook(&hook, NCR_NOTIFY_DINGTALK, "https://h.example",
                  NCR_TEST_SECRET);
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && strncmp((char *) ncr_test_req.path, "/?timestamp=", 12) == 0,
             "dingtalk without a query of its own");

    ncr_test_hook(&hook, NCR_NOTIFY_WECOM, "https://h.example/send?key=k",
                  "");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_path("/send?key=k")
             && ncr_test_body("{\"msgtype\":\"text\",\"text\":{\"content\":\""
                              NCR_TEST_MESSAGE "\"}}"), "wecom");

    ncr_test_set(&event.level, "critical");
    ncr_test_hook(&hook, NCR_NOTIFY_BARK, "https://h.example/base/?x=y",
                  "devicekey");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_path("/base/push")
             && ncr_test_body("{\"device_key\":\"devicekey\",\"title\":"
                              "\"[critical] Quota of account one at 81%\","
                              "\"body\":\"The window 5h is used by 81%.\\n"
                              "account: one\\nwindow: 5h\\nrelay,"
                              " 2026-11-21T12:00:00Z\",\"group\":\"relay\","
                              "\"level\":\"timeSensitive\"}"), "bark");

    ncr_test_set(&event.state, "resolved");
    ncr_test_hook(&hook, NCR_NOTIFY_BARK, "https://h.example/devicekey", "");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && ncr_test_path("/devicekey")
             && strncmp((char *) ncr_test_req.body, "{\"title\":"
                        "\"[resolved] ", 20) == 0
             && strstr((char *) ncr_test_req.body, "\"level\":\"active\""),
             "bark: the key in the URL, an end");
}


static void
ncr_test_escapes(void)
{
    char                long_text[4096];
    ncr_uint_t          i, ok;
    ncr_notify_hook_t   hook;
    ncr_notify_event_t  event;

    ncr_test_event(&event);
    ncr_test_set(&event.text, "<!here> & @all **x** \"q\" \\ \x01"
                              "\r\n@one \xC3\xA4 \xFF <at user_id=all>");
    event.nfields = 0;

    ncr_test_hook(&hook, NCR_NOTIFY_SLACK, "https://h.example/", "");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && strstr((char *) ncr_test_req.body,
                       "\\n&lt;!here&gt; &amp; @all **x** \\\"q\\\" \\\\    "
                       "@one \xC3\xA4 \xEF\xBF\xBD &lt;at user_id=all&gt;\\n"),
             "slack: nobody is called");

    ncr_test_hook(&hook, NCR_NOTIFY_DISCORD, "https://h.example/", "");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && strstr((char *) ncr_test_req.body,
                       "\\n<!here\\\\> & @all \\\\*\\\\*x\\\\*\\\\* "),
             "discord: no markdown");

    ncr_test_hook(&hook, NCR_NOTIFY_TELEGRAM, "", "t");
    ncr_test_set(&hook.chat, "\"},{\"");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && strstr((char *) ncr_test_req.body, "@\xE2\x80\x8B" "all")
             && strstr((char *) ncr_test_req.body,
                       "\"chat_id\":\"\\\"},{\\\"\""),
             "telegram: no mentions, a chat that tries");

    ncr_test_hook(&hook, NCR_NOTIFY_FEISHU, "https://h.example/", "");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && strstr((char *) ncr_test_req.body,
                       "\xEF\xBC\x9C" "at user_id=all>")
             && strstr((char *) ncr_test_req.body, "sign") == NULL,
             "feishu: no tags, unsigned");

    /* headers have one line each */

    ncr_test_set(&event.type, "a\r\nX: y");
    ncr_test_hook(&hook, NCR_NOTIFY_JSON, "https://h.example/", "");
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK
             && strncmp((char *) ncr_test_req.headers,
                        "X-Claude-Relay-Event: a  X: y\r\n", 31) == 0,
             "a type that tries");

    /* much of everything fits always, and is cut between characters */

    memset(long_text, '*', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';

    for (i = 0; i + 3 < sizeof(long_text); i += 3) {
        memcpy(long_text + i, (i % 2) ? "\xE4\xB8\xAD" : "*<@", 3);
    }

    ncr_test_set(&event.title, long_text);
    ncr_test_set(&event.text, long_text);
    ncr_test_set(&event.service, long_text);
    event.nfields = NCR_NOTIFY_FIELDS;

    for (i = 0; i < NCR_NOTIFY_FIELDS; i++) {
        ncr_test_set(&event.fields[i].name, long_text);
        ncr_test_set(&event.fields[i].value, long_text);
    }

    for (i = NCR_NOTIFY_SLACK, ok = 0; i < NCR_NOTIFY_KINDS; i++) {
        ncr_test_hook(&hook, (ncr_notify_kind_e) i, "https://h.example/x",
                      "s");
        ncr_test_set(&hook.chat, "1");
        ok += (ncr_test_make(&hook, &event) == NCR_OK
               && strstr((char *) ncr_test_req.body, "...")
               && strstr((char *) ncr_test_req.body, "\xEF\xBF\xBD") == NULL
               && strlen((char *) ncr_test_req.body)
                  < (i == NCR_NOTIFY_BARK ? 9000u : 4096u));
    }

    ncr_test(ok == NCR_NOTIFY_KINDS - 1, "long texts");

    ncr_test_hook(&hook, NCR_NOTIFY_JSON, "https://h.example/x", "s");
    ncr_test(ncr_test_make(&hook, &event) == NCR_ERROR, "too long for json");
}


static void
ncr_test_check(void)
{
    char                url[NCR_NOTIFY_URL + 16];
    ncr_uint_t          i, ok;
    ncr_notify_hook_t   hook;
    ncr_notify_event_t  event;
    ncr_notify_place_t  place;

    static const char  *bad[] = {
        "", "ftp://h/", "h.example", "https://", "https:///x", "https://a b/",
        "https://u:p@h/", "https://h/\r\nX: y", "https://h/#f", "https://h:0/",
        "https://h:99999/", "https://[::1/", "http:/h/", "https://h\\x/",
        "javascript:x", "https://h.example/\xC3\xA4"
    };

    for (i = 0, ok = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ncr_test_hook(&hook, NCR_NOTIFY_JSON, bad[i], "");
        ok += (ncr_notify_check(&hook, &place) != NULL);
    }

    ncr_test(ok == sizeof(bad) / sizeof(bad[0]), "URLs that are none");

    ncr_test_hook(&hook, NCR_NOTIFY_JSON, "HTTPS://[::1]:8443?x=1", "s");
    ncr_test(ncr_notify_check(&hook, &place) == NULL
             && ncr_test_str(place.url.host, "[::1]")
             && place.url.port == 8443 && !place.url.default_port
             && ncr_test_str(place.path, "?x=1"), "one that is");

    ncr_test_event(&event);
    ncr_test(ncr_test_make(&hook, &event) == NCR_OK && ncr_test_path("/?x=1"),
             "a query alone");

    ncr_test_hook(&hook, NCR_NOTIFY_JSON, "https://h/", "a\nb");
    ncr_test(ncr_notify_check(&hook, &place) != NULL
             && ncr_test_make(&hook, &event) != NCR_OK, "a secret of lines");

    ncr_test_hook(&hook, NCR_NOTIFY_TELEGRAM, "", "t");
    ncr_test(ncr_notify_check(&hook, &place) != NULL, "no chat");
    ncr_test_hook(&hook, NCR_NOTIFY_TELEGRAM, "", "");
    ncr_test_set(&hook.chat, "1");
    ncr_test(ncr_notify_check(&hook, &place) != NULL, "no token");
    ncr_test_hook(&hook, NCR_NOTIFY_BARK, "https://h.example/", "");
    ncr_test(ncr_notify_check(&hook, &place) != NULL, "no key");

    memset(url, 'x', sizeof(url));
    memcpy(url, "https://h.example/", 18);
    url[sizeof(url) - 1] = '\0';
    ncr_test_hook(&hook, NCR_NOTIFY_JSON, url, "");
    ncr_test(ncr_notify_check(&hook, &place) != NULL, "a URL without end");
}


static void
ncr_test_result(ncr_notify_kind_e kind, ncr_uint_t status, const char *retry,
    const char *body, ncr_notify_result_t *result)
{
    ncr_str_t  r, b;

    ncr_test_set(&r, retry);
    ncr_test_set(&b, body);

    ncr_notify_result(kind, status, &r, &b, NCR_TEST_NOW, result);
}


static void
ncr_test_results(void)
{
    ncr_uint_t           i, ok;
    ncr_notify_result_t  r;

    static const struct {
        ncr_notify_kind_e   kind;
        ncr_uint_t          status;
        const char         *body;
        ncr_uint_t          told;
    } answers[] = {
        { NCR_NOTIFY_JSON, 200, "", 1 },
        { NCR_NOTIFY_JSON, 204, "", 1 },
        { NCR_NOTIFY_JSON, 301, "", 0 },
        { NCR_NOTIFY_JSON, 404, "", 0 },
        { NCR_NOTIFY_JSON, 500, "ok", 0 },
        { NCR_NOTIFY_SLACK, 200, "ok", 1 },
        { NCR_NOTIFY_SLACK, 200, "ok\n", 1 },
        { NCR_NOTIFY_SLACK, 200, "no_service", 0 },
        { NCR_NOTIFY_SLACK, 200, "", 0 },
        { NCR_NOTIFY_SLACK, 404, "ok", 0 },
        { NCR_NOTIFY_DISCORD, 204, "", 1 },
        { NCR_NOTIFY_DISCORD, 400, "{\"code\":0}", 0 },
        { NCR_NOTIFY_TELEGRAM, 200, "{\"ok\":true,\"result\":{}}", 1 },
        { NCR_NOTIFY_TELEGRAM, 200, "{\"ok\":false}", 0 },
        { NCR_NOTIFY_TELEGRAM, 200, "{\"x\":{\"ok\":true}}", 0 },
        { NCR_NOTIFY_TELEGRAM, 200, "", 0 },
        { NCR_NOTIFY_FEISHU, 200, "{\"code\":0,\"msg\":\"success\"}", 1 },
        { NCR_NOTIFY_FEISHU, 200, "{\"StatusCode\":0}", 1 },
        { NCR_NOTIFY_FEISHU, 200, "{\"code\":19021,\"StatusCode\":0}", 0 },
        { NCR_NOTIFY_FEISHU, 200, "<html>", 0 },
        { NCR_NOTIFY_DINGTALK, 200, "{\"errcode\":0,\"errmsg\":\"ok\"}", 1 },
        { NCR_NOTIFY_DINGTALK, 200, "{\"errcode\":310000}", 0 },
        { NCR_NOTIFY_WECOM, 200, "{\"errcode\":0}", 1 },
        { NCR_NOTIFY_WECOM, 200, "{\"errcode\":93000}", 0 },
        { NCR_NOTIFY_WECOM, 200, "{\"errcode\":\"0\"}", 0 },
        { NCR_NOTIFY_BARK, 200, "{\"code\":200,\"message\":\"s\"}", 1 },
        { NCR_NOTIFY_BARK, 200, "{\"code\":400}", 0 },
        { NCR_NOTIFY_BARK, 400, "{\"code\":200}", 0 }
    };

    for (i = 0, ok = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        ncr_test_result(answers[i].kind, answers[i].status, "",
                        answers[i].body, &r);

        if (r.told == answers[i].told && (r.told == (r.error[0] == '\0'))
            && r.after == -1)
        {
            ok++;

        } else {
            printf("# answer %d: told %d, \"%s\"\n", (int) i, (int) r.told,
                   r.error);
        }
    }

    ncr_test(ok == sizeof(answers) / sizeof(answers[0]), "who was told");

    ncr_test_result(NCR_NOTIFY_DINGTALK, 200, "", "{\"errcode\":310000}", &r);
    ncr_test(strcmp(r.error, "the answer has code 310000") == 0, "a code");
    ncr_test_result(NCR_NOTIFY_JSON, 302, "", "", &r);
    ncr_test(strstr(r.error, "302") && strstr(r.error, "redirects"),
             "a redirect");

    ncr_test_result(NCR_NOTIFY_JSON, 429, "7", "", &r);
    ncr_test(r.after == 7000, "retry-after, in seconds");
    ncr_test_result(NCR_NOTIFY_JSON, 503, "Sat, 21 Nov 2026 12:00:30 GMT", "",
                    &r);
    ncr_test(r.after == 30000, "a date");
    ncr_test_result(NCR_NOTIFY_JSON, 503, "Sat, 21 Nov 2025 12:00:30 GMT", "",
                    &r);
    ncr_test(r.after == 0, "one that is past");
    ncr_test_result(NCR_NOTIFY_JSON, 503, "9999999999999", "", &r);
    ncr_test(r.after == NCR_NOTIFY_AFTER, "too long");
    ncr_test_result(NCR_NOTIFY_JSON, 503, "-1", "", &r);
    ncr_test(r.after == -1, "less than nothing");
    ncr_test_result(NCR_NOTIFY_JSON, 503, "soon", "", &r);
    ncr_test(r.after == -1, "a word");
    ncr_test_result(NCR_NOTIFY_TELEGRAM, 429, "", "{\"ok\":false,"
                    "\"parameters\":{\"retry_after\":35}}", &r);
    ncr_test(!r.told && r.after == 35000, "telegram's own way");
    ncr_test_result(NCR_NOTIFY_DISCORD, 429, "", "{\"retry_after\":0.65}",
                    &r);
    ncr_test(!r.told && r.after == 1000, "discord's own way");
}


int
main(void)
{
    if (ncr_sha256_create(&ncr_test_sha) != NCR_OK) {
        return 1;
    }

    ncr_test_kinds();
    ncr_test_escapes();
    ncr_test_check();
    ncr_test_results();

    ncr_sha256_free(&ncr_test_sha);

    return ncr_test_done();
}
