
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Webhooks of those who listen.  By the documents of
 *
 *   Slack, "Sending messages using incoming webhooks", "Formatting message
 *   text", section on escaping;
 *   Discord, "Webhook", Execute Webhook, and "Message", Allowed Mentions;
 *   Telegram, "Bot API", sendMessage and ResponseParameters;
 *   Feishu (Lark), "Custom bot usage guide", signature verification;
 *   DingTalk, "Custom robots", security settings, additional signature;
 *   WeCom, "Group robots", text messages;
 *   Bark, "API V2".
 */


#include "ncr_notify.h"
#include "ncr_json.h"
#include "ncr_str.h"
#include "ncr_uri.h"

#include <stdio.h>


/* of a message in words, before its escapes; the least that one of them
 * takes is WeCom's 2048 bytes */
#define NCR_NOTIFY_MESSAGE  1500

/* the same with escapes: Discord takes 2000 characters */
#define NCR_NOTIFY_ESCAPED  1990

#define NCR_NOTIFY_BASE64   44          /* of 32 bytes */

/* nobody is left alone for longer, ms */
#define NCR_NOTIFY_AFTER    3600000


/* what matters of an answer in JSON; numbers are INT64_MIN if not told */

typedef struct {
    char          name[16];             /* of the member at hand */
    int64_t       code;
    int64_t       errcode;
    int64_t       status;
    int64_t       after;                /* seconds */
    ncr_uint_t    ok;
} ncr_notify_answer_t;


static const char *ncr_notify_place(ncr_str_t *text,
    ncr_notify_place_t *place);
static void ncr_notify_path(ncr_notify_hook_t *hook,
    ncr_notify_request_t *request);
static ncr_str_t ncr_notify_trimmed(ncr_str_t path);
static void ncr_notify_line(ncr_out_t *out, ncr_str_t *text, size_t max);
static size_t ncr_notify_char(ncr_char_t *p, ncr_char_t *last);
static void ncr_notify_title(ncr_out_t *out, ncr_notify_event_t *event);
static void ncr_notify_text(ncr_out_t *out, ncr_notify_event_t *event);
static void ncr_notify_escape(ncr_notify_kind_e kind, ncr_out_t *out,
    ncr_str_t *text);
static const char *ncr_notify_stand_in(ncr_notify_kind_e kind, ncr_char_t c,
    char *buf);
static void ncr_notify_message(ncr_notify_kind_e kind, ncr_out_t *out,
    ncr_notify_event_t *event);
static void ncr_notify_member(ncr_out_t *out, const char *name,
    ncr_str_t *value);
static void ncr_notify_telegram(ncr_notify_hook_t *hook, ncr_out_t *out,
    ncr_notify_event_t *event);
static void ncr_notify_feishu(ncr_notify_hook_t *hook, ncr_out_t *out,
    ncr_notify_event_t *event, ncr_msec_t now, ncr_sha256_t *sha);
static void ncr_notify_bark(ncr_notify_hook_t *hook, ncr_out_t *out,
    ncr_notify_event_t *event);
static void ncr_notify_sign_header(ncr_notify_hook_t *hook,
    ncr_notify_event_t *event, ncr_msec_t now, ncr_sha256_t *sha,
    ncr_notify_request_t *request);
static void ncr_notify_sign_query(ncr_notify_hook_t *hook, ncr_msec_t now,
    ncr_sha256_t *sha, ncr_out_t *path);
static size_t ncr_notify_stamp(ncr_notify_hook_t *hook, ncr_msec_t t,
    ncr_char_t *buf);
static void ncr_notify_base64(ncr_char_t *dst, ncr_char_t *digest);
static ncr_uint_t ncr_notify_told(ncr_notify_kind_e kind, ncr_str_t *body,
    ncr_notify_result_t *result, ncr_notify_answer_t *answer);
static void ncr_notify_read(ncr_str_t *body, ncr_notify_answer_t *answer);
static ncr_int_t ncr_notify_token(ncr_json_t *json, ncr_json_token_e token);
static ncr_msec_t ncr_notify_after(ncr_str_t *retry_after,
    ncr_notify_answer_t *answer, ncr_msec_t now);


static const char  *ncr_notify_names[] = {
    "json", "slack", "discord", "telegram", "feishu", "dingtalk", "wecom",
    "bark"
};


ncr_notify_kind_e
ncr_notify_kind(ncr_str_t *name)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_NOTIFY_KINDS; i++) {
        if (ncr_str_eq(name, ncr_notify_names[i])) {
            break;
        }
    }

    return (ncr_notify_kind_e) i;
}


const char *
ncr_notify_name(ncr_notify_kind_e kind)
{
    return ncr_notify_names[kind];
}


const char *
ncr_notify_check(ncr_notify_hook_t *hook, ncr_notify_place_t *place)
{
    size_t       i;
    ncr_str_t    url;
    const char  *wrong;

    static ncr_str_t  telegram = ncr_string("https://api.telegram.org");
    static ncr_str_t  bark = ncr_string("https://api.day.app");

    url = hook->url;

    if (url.len == 0 && hook->kind == NCR_NOTIFY_TELEGRAM) {
        url = telegram;

    } else if (url.len == 0 && hook->kind == NCR_NOTIFY_BARK) {
        url = bark;
    }

    if (url.len > NCR_NOTIFY_URL || hook->secret.len > NCR_NOTIFY_URL) {
        return "it is too long";
    }

    wrong = ncr_notify_place(&url, place);

    if (wrong) {
        return wrong;
    }

    for (i = 0; i < hook->secret.len; i++) {
        if (hook->secret.data[i] <= ' ' || hook->secret.data[i] >= 0x7f) {
            return "invalid character in the secret";
        }
    }

    if (hook->kind == NCR_NOTIFY_TELEGRAM && hook->chat.len == 0) {
        return "there is no chat_id";
    }

    if (hook->secret.len == 0 && place->path.len < 2
        && (hook->kind == NCR_NOTIFY_TELEGRAM
            || hook->kind == NCR_NOTIFY_BARK))
    {
        return "there is no token, neither in the URL nor as the secret";
    }

    return NULL;
}


/* unlike a base URL it has a query, and its path is its own */

static const char *
ncr_notify_place(ncr_str_t *text, ncr_notify_place_t *place)
{
    size_t       i;
    ncr_str_t    authority, scheme;
    ncr_url_t   *url;
    const char  *p;

    memset(place, 0, sizeof(ncr_notify_place_t));

    url = &place->url;

    for (i = 0; i < text->len; i++) {

        p = "#\\\"<>^`{|}";

        if (text->data[i] <= ' ' || text->data[i] >= 0x7f
            || strchr(p, text->data[i]))
        {
            return "invalid character in URL";
        }
    }

    scheme.data = text->data;
    scheme.len = (text->len > 8) ? 8 : text->len;

    if (ncr_str_caseeq(&scheme, "https://")) {
        url->tls = 1;
        url->port = 443;

    } else {
        scheme.len = (text->len > 7) ? 7 : text->len;

        if (!ncr_str_caseeq(&scheme, "http://")) {
            return "URL is neither https:// nor http://";
        }

        url->port = 80;
    }

    authority.data = text->data + scheme.len;

    for (i = scheme.len; i < text->len; i++) {
        if (text->data[i] == '/' || text->data[i] == '?') {
            break;
        }
    }

    authority.len = i - scheme.len;

    place->path.data = text->data + i;
    place->path.len = text->len - i;

    return ncr_url_authority(&authority, url);
}


ncr_int_t
ncr_notify_request(ncr_notify_hook_t *hook, ncr_notify_event_t *event,
    ncr_msec_t now, ncr_sha256_t *sha, ncr_notify_request_t *request)
{
    ncr_out_t  *out;

    if (ncr_notify_check(hook, &request->place) != NULL) {
        return NCR_BAD;
    }

    out = &request->body;

    ncr_notify_path(hook, request);

    switch (hook->kind) {

    case NCR_NOTIFY_SLACK:
        ncr_out_text(out, "{\"text\":");
        ncr_notify_message(hook->kind, out, event);
        ncr_out_text(out, ",\"unfurl_links\":false}");
        break;

    case NCR_NOTIFY_DISCORD:
        ncr_out_text(out, "{\"content\":");
        ncr_notify_message(hook->kind, out, event);
        ncr_out_text(out, ",\"allowed_mentions\":{\"parse\":[]}}");
        break;

    case NCR_NOTIFY_TELEGRAM:
        ncr_notify_telegram(hook, out, event);
        break;

    case NCR_NOTIFY_FEISHU:
        ncr_notify_feishu(hook, out, event, now, sha);
        break;

    case NCR_NOTIFY_DINGTALK:
        if (hook->secret.len) {
            ncr_notify_sign_query(hook, now, sha, &request->path);
        }

        /* fall through */

    case NCR_NOTIFY_WECOM:
        ncr_out_text(out, "{\"msgtype\":\"text\",\"text\":{\"content\":");
        ncr_notify_message(hook->kind, out, event);
        ncr_out_text(out, "}}");
        break;

    case NCR_NOTIFY_BARK:
        ncr_notify_bark(hook, out, event);
        break;

    case NCR_NOTIFY_JSON:
    case NCR_NOTIFY_KINDS:
    default:
        ncr_notify_event(out, event);
        ncr_notify_sign_header(hook, event, now, sha, request);
        break;
    }

    return (request->path.overflow || request->headers.overflow
            || out->overflow) ? NCR_ERROR : NCR_OK;
}


/* a token may be in the URL, as it was copied, or stand by itself */

static void
ncr_notify_path(ncr_notify_hook_t *hook, ncr_notify_request_t *request)
{
    ncr_str_t   path;
    ncr_out_t  *out;

    path = request->place.path;
    out = &request->path;

    if (hook->secret.len && hook->kind == NCR_NOTIFY_TELEGRAM) {
        path = ncr_notify_trimmed(path);
        ncr_out_str(out, &path);
        ncr_out_text(out, "/bot");
        ncr_out_str(out, &hook->secret);
        ncr_out_text(out, "/sendMessage");
        return;
    }

    if (hook->secret.len && hook->kind == NCR_NOTIFY_BARK) {
        path = ncr_notify_trimmed(path);
        ncr_out_str(out, &path);
        ncr_out_text(out, "/push");
        return;
    }

    if (path.len == 0 || path.data[0] != '/') {
        ncr_out_text(out, "/");
    }

    ncr_out_str(out, &path);
}


/* of a base: no query, no slash at its end */

static ncr_str_t
ncr_notify_trimmed(ncr_str_t path)
{
    ncr_char_t  *p;

    p = path.len ? memchr(path.data, '?', path.len) : NULL;

    if (p) {
        path.len = (size_t) (p - path.data);
    }

    while (path.len && path.data[path.len - 1] == '/') {
        path.len--;
    }

    return path;
}


void
ncr_notify_event(ncr_out_t *out, ncr_notify_event_t *event)
{
    char        time[NCR_STR_RFC3339];
    ncr_str_t   s;
    ncr_uint_t  i;

    ncr_str_rfc3339(time, event->time);

    s.data = (ncr_char_t *) time;
    s.len = sizeof(time) - 1;

    ncr_out_text(out, "{\"id\":");
    ncr_out_json_string(out, &event->id);
    ncr_notify_member(out, ",\"type\":", &event->type);
    ncr_notify_member(out, ",\"level\":", &event->level);
    ncr_notify_member(out, ",\"state\":", &event->state);
    ncr_notify_member(out, ",\"subject\":", &event->subject);
    ncr_notify_member(out, ",\"title\":", &event->title);
    ncr_notify_member(out, ",\"text\":", &event->text);
    ncr_notify_member(out, ",\"time\":", &s);
    ncr_out_text(out, ",\"fields\":{");

    for (i = 0; i < event->nfields; i++) {
        ncr_out_text(out, i ? "," : "");
        ncr_out_json_string(out, &event->fields[i].name);
        ncr_notify_member(out, ":", &event->fields[i].value);
    }

    ncr_notify_member(out, "},\"service\":", &event->service);
    ncr_out_text(out, "}");
}


static void
ncr_notify_member(ncr_out_t *out, const char *name, ncr_str_t *value)
{
    ncr_out_text(out, name);
    ncr_out_json_string(out, value);
}


/* the length of a character, 1 for what is none */

static size_t
ncr_notify_char(ncr_char_t *p, ncr_char_t *last)
{
    size_t  i, n;

    if (*p < 0xC0) {
        return 1;
    }

    n = (*p < 0xE0) ? 2 : (*p < 0xF0) ? 3 : 4;

    for (i = 1; i < n; i++) {
        if (p + i == last || (p[i] & 0xC0) != 0x80) {
            return 1;
        }
    }

    return n;
}


/* one line, at most so many bytes of it */

static void
ncr_notify_line(ncr_out_t *out, ncr_str_t *text, size_t max)
{
    size_t       n;
    ncr_char_t  *p, *last;

    if (text->len == 0) {
        return;
    }

    p = text->data;
    last = p + text->len;

    while (p < last) {

        n = ncr_notify_char(p, last);

        if (n > max) {
            ncr_out_text(out, "...");
            return;
        }

        if (*p < ' ' || *p == 0x7f) {
            ncr_out_text(out, " ");

        } else {
            ncr_out_bytes(out, p, n);
        }

        p += n;
        max -= n;
    }
}


static void
ncr_notify_title(ncr_out_t *out, ncr_notify_event_t *event)
{
    ncr_out_text(out, "[");

    if (ncr_str_eq(&event->state, "resolved")) {
        ncr_notify_line(out, &event->state, 16);

    } else {
        ncr_notify_line(out, &event->level, 16);
    }

    ncr_out_text(out, "] ");
    ncr_notify_line(out, &event->title, NCR_NOTIFY_TITLE);
}


static void
ncr_notify_text(ncr_out_t *out, ncr_notify_event_t *event)
{
    char        time[NCR_STR_RFC3339];
    ncr_uint_t  i;

    ncr_notify_line(out, &event->text, NCR_NOTIFY_TEXT);

    for (i = 0; i < event->nfields; i++) {

        /* the last line has its room always */

        if ((size_t) (out->last - out->start) > NCR_NOTIFY_MESSAGE - 320) {
            break;
        }

        ncr_out_text(out, "\n");
        ncr_notify_line(out, &event->fields[i].name, 32);
        ncr_out_text(out, ": ");
        ncr_notify_line(out, &event->fields[i].value, NCR_NOTIFY_VALUE);
    }

    ncr_str_rfc3339(time, event->time);

    ncr_out_text(out, "\n");
    ncr_notify_line(out, &event->service, 64);
    ncr_out_text(out, ", ");
    ncr_out_text(out, time);
}


/*
 * All of it as one JSON string, in which nothing is a command of the
 * listener's language.
 */

static void
ncr_notify_message(ncr_notify_kind_e kind, ncr_out_t *out,
    ncr_notify_event_t *event)
{
    ncr_out_t   plain, escaped;
    ncr_str_t   s;
    ncr_char_t  buf[NCR_NOTIFY_MESSAGE], room[NCR_NOTIFY_ESCAPED];

    ncr_out_init(&plain, buf, sizeof(buf));

    ncr_notify_title(&plain, event);
    ncr_out_text(&plain, "\n");
    ncr_notify_text(&plain, event);

    s.data = plain.start;
    s.len = (size_t) (plain.last - plain.start);

    ncr_out_init(&escaped, room, sizeof(room));
    ncr_notify_escape(kind, &escaped, &s);

    s.data = escaped.start;
    s.len = (size_t) (escaped.last - escaped.start);

    ncr_out_json_string(out, &s);
}


/* as much as there is room for, but whole characters */

static void
ncr_notify_escape(ncr_notify_kind_e kind, ncr_out_t *out, ncr_str_t *text)
{
    char         buf[3];
    size_t       n, len;
    ncr_char_t  *p, *last;
    const char  *other;

    p = text->data;
    last = p + text->len;

    while (p < last) {

        n = ncr_notify_char(p, last);
        other = (n == 1) ? ncr_notify_stand_in(kind, *p, buf) : NULL;
        len = other ? strlen(other) : n;

        if (len > (size_t) (out->end - out->last)) {
            return;
        }

        ncr_out_bytes(out, other ? (const void *) other : p, len);

        p += n;
    }
}


static const char *
ncr_notify_stand_in(ncr_notify_kind_e kind, ncr_char_t c, char *buf)
{
    switch (kind) {

    case NCR_NOTIFY_SLACK:
        return (c == '&') ? "&amp;" : (c == '<') ? "&lt;"
               : (c == '>') ? "&gt;" : NULL;

    case NCR_NOTIFY_DISCORD:
        if (c == '\0' || strchr("\\*_~`|>#[]()-", c) == NULL) {
            return NULL;
        }

        buf[0] = '\\';
        buf[1] = (char) c;
        buf[2] = '\0';

        return buf;

    case NCR_NOTIFY_TELEGRAM:

        /* nobody is called by a name in a text of others: a space without
         * width behind it (U+200B) */

        return (c == '@') ? "@\xE2\x80\x8B" : NULL;

    case NCR_NOTIFY_FEISHU:
    case NCR_NOTIFY_WECOM:

        /* "<at ...>" and "<@...>" call people: U+FF1C calls nobody */

        return (c == '<') ? "\xEF\xBC\x9C" : NULL;

    case NCR_NOTIFY_JSON:
    case NCR_NOTIFY_DINGTALK:
    case NCR_NOTIFY_BARK:
    case NCR_NOTIFY_KINDS:
    default:
        return NULL;
    }
}


/* no parse_mode: a text is a text */

static void
ncr_notify_telegram(ncr_notify_hook_t *hook, ncr_out_t *out,
    ncr_notify_event_t *event)
{
    int64_t  thread;

    ncr_out_text(out, "{\"chat_id\":");
    ncr_out_json_string(out, &hook->chat);

    if (ncr_str_int(&hook->thread, &thread) == NCR_OK) {
        ncr_out_text(out, ",\"message_thread_id\":");
        ncr_out_int(out, thread);
    }

    ncr_out_text(out, ",\"text\":");
    ncr_notify_message(hook->kind, out, event);
    ncr_out_text(out, ",\"link_preview_options\":{\"is_disabled\":true}}");
}


/* what is signed is nothing, the key is the time and the secret */

static void
ncr_notify_feishu(ncr_notify_hook_t *hook, ncr_out_t *out,
    ncr_notify_event_t *event, ncr_msec_t now, ncr_sha256_t *sha)
{
    ncr_str_t   key, nothing;
    ncr_char_t  buf[NCR_NOTIFY_URL + 32], digest[NCR_SHA256_LEN];
    ncr_char_t  sign[NCR_NOTIFY_BASE64];

    ncr_out_text(out, "{");

    if (hook->secret.len) {

        key.data = buf;
        key.len = ncr_notify_stamp(hook, now / 1000, buf);
        ncr_str_null(&nothing);

        ncr_hmac_sha256(sha, &key, &nothing, 0, digest);
        ncr_notify_base64(sign, digest);

        memset(buf, 0, sizeof(buf));

        ncr_out_text(out, "\"timestamp\":\"");
        ncr_out_int(out, now / 1000);
        ncr_out_text(out, "\",\"sign\":\"");
        ncr_out_bytes(out, sign, sizeof(sign));
        ncr_out_text(out, "\",");
    }

    ncr_out_text(out, "\"msg_type\":\"text\",\"content\":{\"text\":");
    ncr_notify_message(hook->kind, out, event);
    ncr_out_text(out, "}}");
}


static void
ncr_notify_bark(ncr_notify_hook_t *hook, ncr_out_t *out,
    ncr_notify_event_t *event)
{
    ncr_out_t   plain;
    ncr_str_t   s;
    ncr_char_t  buf[NCR_NOTIFY_MESSAGE];

    ncr_out_text(out, "{");

    if (hook->secret.len) {
        ncr_notify_member(out, "\"device_key\":", &hook->secret);
        ncr_out_text(out, ",");
    }

    ncr_out_init(&plain, buf, sizeof(buf));
    ncr_notify_title(&plain, event);

    s.data = plain.start;
    s.len = (size_t) (plain.last - plain.start);

    ncr_notify_member(out, "\"title\":", &s);

    ncr_out_init(&plain, buf, sizeof(buf));
    ncr_notify_text(&plain, event);

    s.len = (size_t) (plain.last - plain.start);

    ncr_notify_member(out, ",\"body\":", &s);
    ncr_notify_member(out, ",\"group\":", &event->service);

    ncr_out_text(out, (ncr_str_eq(&event->level, "critical")
                       && !ncr_str_eq(&event->state, "resolved"))
                      ? ",\"level\":\"timeSensitive\"}"
                      : ",\"level\":\"active\"}");
}


/* "t.body", so that an old request cannot be told again */

static void
ncr_notify_sign_header(ncr_notify_hook_t *hook, ncr_notify_event_t *event,
    ncr_msec_t now, ncr_sha256_t *sha, ncr_notify_request_t *request)
{
    ncr_out_t   *out, stamp;
    ncr_str_t    parts[2];
    ncr_char_t   buf[32], digest[NCR_SHA256_LEN];
    ncr_char_t   hex[2 * NCR_SHA256_LEN];

    out = &request->headers;

    ncr_out_text(out, "X-Claude-Relay-Event: ");
    ncr_notify_line(out, &event->type, 32);
    ncr_out_text(out, "\r\nX-Claude-Relay-Delivery: ");
    ncr_notify_line(out, &event->id, 64);
    ncr_out_text(out, "\r\n");

    if (hook->secret.len == 0) {
        return;
    }

    ncr_out_init(&stamp, buf, sizeof(buf));
    ncr_out_int(&stamp, now / 1000);

    ncr_out_text(out, "X-Claude-Relay-Signature: t=");
    ncr_out_bytes(out, stamp.start, (size_t) (stamp.last - stamp.start));

    ncr_out_text(&stamp, ".");

    parts[0].data = stamp.start;
    parts[0].len = (size_t) (stamp.last - stamp.start);
    parts[1].data = request->body.start;
    parts[1].len = (size_t) (request->body.last - request->body.start);

    ncr_hmac_sha256(sha, &hook->secret, parts, 2, digest);
    ncr_hash_hex(hex, digest, sizeof(digest));

    ncr_out_text(out, ",v1=");
    ncr_out_bytes(out, hex, sizeof(hex));
    ncr_out_text(out, "\r\n");
}


/* the time and the secret are signed by the secret; in ms */

static void
ncr_notify_sign_query(ncr_notify_hook_t *hook, ncr_msec_t now,
    ncr_sha256_t *sha, ncr_out_t *path)
{
    ncr_str_t   part, s;
    ncr_char_t  buf[NCR_NOTIFY_URL + 32], digest[NCR_SHA256_LEN];
    ncr_char_t  sign[NCR_NOTIFY_BASE64];

    part.data = buf;
    part.len = ncr_notify_stamp(hook, now, buf);

    ncr_hmac_sha256(sha, &hook->secret, &part, 1, digest);
    ncr_notify_base64(sign, digest);

    memset(buf, 0, sizeof(buf));

    s.data = path->start;
    s.len = (size_t) (path->last - path->start);

    ncr_out_text(path, memchr(s.data, '?', s.len) ? "&timestamp="
                                                  : "?timestamp=");
    ncr_out_int(path, now);

    s.data = sign;
    s.len = sizeof(sign);

    ncr_out_text(path, "&sign=");
    ncr_uri_escape(path, &s);
}


/* the time, a line feed, the secret; buf has room for NCR_NOTIFY_URL + 32 */

static size_t
ncr_notify_stamp(ncr_notify_hook_t *hook, ncr_msec_t t, ncr_char_t *buf)
{
    ncr_out_t  out;

    ncr_out_init(&out, buf, NCR_NOTIFY_URL + 32);
    ncr_out_int(&out, t);
    ncr_out_text(&out, "\n");
    ncr_out_str(&out, &hook->secret);

    return (size_t) (out.last - out.start);
}


/* RFC 4648, section 4, of a digest */

static void
ncr_notify_base64(ncr_char_t *dst, ncr_char_t *digest)
{
    size_t      i;
    uint32_t    n;
    ncr_char_t  src[NCR_SHA256_LEN + 1];

    static const char  alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                    "abcdefghijklmnopqrstuvwxyz0123456789+/";

    memcpy(src, digest, NCR_SHA256_LEN);
    src[NCR_SHA256_LEN] = 0;

    for (i = 0; i < sizeof(src); i += 3) {
        n = (uint32_t) src[i] << 16 | (uint32_t) src[i + 1] << 8 | src[i + 2];

        *dst++ = (ncr_char_t) alphabet[n >> 18];
        *dst++ = (ncr_char_t) alphabet[n >> 12 & 63];
        *dst++ = (ncr_char_t) alphabet[n >> 6 & 63];
        *dst++ = (ncr_char_t) alphabet[n & 63];
    }

    dst[-1] = '=';
}


void
ncr_notify_result(ncr_notify_kind_e kind, ncr_uint_t status,
    ncr_str_t *retry_after, ncr_str_t *body, ncr_msec_t now,
    ncr_notify_result_t *result)
{
    ncr_notify_answer_t  answer;

    memset(result, 0, sizeof(ncr_notify_result_t));
    result->after = -1;

    ncr_notify_read(body, &answer);

    if (status >= 200 && status < 300) {
        result->told = ncr_notify_told(kind, body, result, &answer);

    } else if (status >= 300 && status < 400) {

        /* where it leads to was not checked by anybody */

        snprintf(result->error, NCR_NOTIFY_ERROR, "status %d, and redirects"
                 " are not followed", (int) status);

    } else {
        snprintf(result->error, NCR_NOTIFY_ERROR, "status %d", (int) status);
    }

    if (!result->told) {
        result->after = ncr_notify_after(retry_after, &answer, now);
    }
}


/* 2xx; some say "no" by it */

static ncr_uint_t
ncr_notify_told(ncr_notify_kind_e kind, ncr_str_t *body,
    ncr_notify_result_t *result, ncr_notify_answer_t *answer)
{
    int64_t    code;
    ncr_str_t  s;

    switch (kind) {

    case NCR_NOTIFY_SLACK:
        s = *body;

        while (s.len && s.data[s.len - 1] <= ' ') {
            s.len--;
        }

        if (ncr_str_eq(&s, "ok")) {
            return 1;
        }

        snprintf(result->error, NCR_NOTIFY_ERROR, "the answer is not \"ok\"");
        return 0;

    case NCR_NOTIFY_TELEGRAM:
        if (answer->ok) {
            return 1;
        }

        snprintf(result->error, NCR_NOTIFY_ERROR,
                 "the answer has no \"ok\": true");
        return 0;

    case NCR_NOTIFY_FEISHU:
        code = (answer->code != INT64_MIN) ? answer->code : answer->status;
        break;

    case NCR_NOTIFY_DINGTALK:
    case NCR_NOTIFY_WECOM:
        code = answer->errcode;
        break;

    case NCR_NOTIFY_BARK:
        code = (answer->code == 200) ? 0 : answer->code;
        break;

    case NCR_NOTIFY_JSON:
    case NCR_NOTIFY_DISCORD:
    case NCR_NOTIFY_KINDS:
    default:
        return 1;
    }

    if (code == 0) {
        return 1;
    }

    if (code == INT64_MIN) {
        snprintf(result->error, NCR_NOTIFY_ERROR, "the answer has no code");

    } else {
        snprintf(result->error, NCR_NOTIFY_ERROR, "the answer has code %lld",
                 (long long) code);
    }

    return 0;
}


static void
ncr_notify_read(ncr_str_t *body, ncr_notify_answer_t *answer)
{
    ncr_json_t  json;

    memset(answer, 0, sizeof(ncr_notify_answer_t));

    answer->code = INT64_MIN;
    answer->errcode = INT64_MIN;
    answer->status = INT64_MIN;
    answer->after = INT64_MIN;

    if (body->len == 0) {
        return;
    }

    ncr_json_init(&json);

    json.data = answer;
    json.token = ncr_notify_token;
    json.report = 2;
    json.max_depth = 32;

    (void) ncr_json_feed(&json, body->data, body->len);
}


static ncr_int_t
ncr_notify_token(ncr_json_t *json, ncr_json_token_e token)
{
    int64_t              n;
    ncr_str_t            text;
    ncr_char_t          *p;
    ncr_notify_answer_t *answer = json->data;

    if (token == NCR_JSON_KEY) {
        ncr_str_copy(answer->name, sizeof(answer->name), &json->text);
        return NCR_OK;
    }

    if (token == NCR_JSON_TRUE && json->depth == 1
        && strcmp(answer->name, "ok") == 0)
    {
        answer->ok = 1;
        return NCR_OK;
    }

    if (token != NCR_JSON_NUMBER) {
        return NCR_OK;
    }

    text = json->text;

    /* Discord's seconds have a fraction */

    p = memchr(text.data, '.', text.len);

    if (p) {
        text.len = (size_t) (p - text.data);
    }

    if (ncr_json_int(&text, &n) != NCR_OK) {
        return NCR_OK;
    }

    if (strcmp(answer->name, "retry_after") == 0) {
        answer->after = n + (p != NULL);
        return NCR_OK;
    }

    if (json->depth != 1 || p) {
        return NCR_OK;
    }

    if (strcmp(answer->name, "code") == 0) {
        answer->code = n;

    } else if (strcmp(answer->name, "errcode") == 0) {
        answer->errcode = n;

    } else if (strcmp(answer->name, "StatusCode") == 0) {
        answer->status = n;
    }

    return NCR_OK;
}


static ncr_msec_t
ncr_notify_after(ncr_str_t *retry_after, ncr_notify_answer_t *answer,
    ncr_msec_t now)
{
    int64_t     n;
    ncr_msec_t  t;

    if (ncr_str_int(retry_after, &n) == NCR_OK) {

        /* seconds */

    } else if (retry_after->len
               && ncr_str_time(retry_after, &t) == NCR_OK)
    {
        n = (t > now) ? (t - now) / 1000 + 1 : 0;

    } else if (answer->after != INT64_MIN) {
        n = answer->after;

    } else {
        return -1;
    }

    return (n < 0) ? -1 : ncr_min(n, NCR_NOTIFY_AFTER / 1000) * 1000;
}
