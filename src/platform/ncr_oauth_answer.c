
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What the token endpoint and the profile say: anthropic.md A.4, A.5, A.7. */


#include "ncr_oauth_text.h"
#include "ncr_platform.h"
#include "ncr_str.h"


/* a token that lives longer than this is taken to live so long */
#define NCR_OAUTH_LONGEST    (INT64_C(10) * 365 * 86400)

/* the least and the most that a server's word for a wait is worth (A.5) */
#define NCR_OAUTH_WAIT_MIN   (INT64_C(5) * 1000)
#define NCR_OAUTH_WAIT_MAX   (INT64_C(5) * 60 * 1000)


static void ncr_oauth_answer_ok(ncr_oauth_t *oauth,
    ncr_oauth_tokens_t *tokens, ncr_uint_t status, cJSON *json,
    ncr_msec_t now);
static void ncr_oauth_answer_tokens(ncr_oauth_t *oauth,
    ncr_oauth_tokens_t *tokens, cJSON *json, ncr_msec_t now);
static ncr_msec_t ncr_oauth_answer_end(ncr_oauth_t *oauth, cJSON *json,
    ncr_str_t *access, ncr_msec_t now);
static ncr_oauth_e ncr_oauth_answer_refusal(ncr_oauth_t *oauth,
    ncr_uint_t status, ncr_str_t *content_type, ncr_str_t *body,
    cJSON *json);
static ncr_uint_t ncr_oauth_answer_dead(ncr_oauth_t *oauth,
    ncr_str_t *error);
static ncr_uint_t ncr_oauth_answer_page(ncr_str_t *content_type,
    ncr_str_t *body);
static void ncr_oauth_answer_words(ncr_oauth_tokens_t *tokens, cJSON *json);
static void ncr_oauth_answer_status(ncr_oauth_tokens_t *tokens,
    ncr_uint_t status, const char *text);
static void ncr_oauth_answer_text(ncr_oauth_tokens_t *tokens,
    const char *between, const char *text);
static ncr_msec_t ncr_oauth_answer_wait(ncr_str_t *value, ncr_msec_t now);
static ncr_msec_t ncr_oauth_answer_expires(cJSON *item, ncr_msec_t now);
static void ncr_oauth_answer_meta(cJSON *json, char *meta, size_t size);


void
ncr_oauth_answer(ncr_oauth_tokens_t *tokens, ncr_uint_t status,
    ncr_str_t *content_type, ncr_str_t *retry_after, ncr_str_t *body,
    ncr_msec_t now)
{
    ncr_oauth_answer_of(&ncr_oauth_claude, tokens, status, content_type,
                        retry_after, body, now);
}


void
ncr_oauth_answer_of(ncr_oauth_t *oauth, ncr_oauth_tokens_t *tokens,
    ncr_uint_t status, ncr_str_t *content_type, ncr_str_t *retry_after,
    ncr_str_t *body, ncr_msec_t now)
{
    cJSON  *json;

    memset(tokens, 0, sizeof(ncr_oauth_tokens_t));
    tokens->retry_after = -1;

    json = ncr_oauth_json(body);

    if (status >= 200 && status < 300) {
        ncr_oauth_answer_ok(oauth, tokens, status, json, now);

        if (tokens->result == NCR_OAUTH_OK && oauth->tells) {
            tokens->meta[0] = '\0';
            oauth->tells(body, tokens->meta, sizeof(tokens->meta));
        }

    } else {
        tokens->result = ncr_oauth_answer_refusal(oauth, status, content_type,
                                                  body, json);
        ncr_oauth_answer_words(tokens, json);

        if (tokens->error[0] == '\0') {
            ncr_oauth_answer_status(tokens, status,
                                    ncr_oauth_answer_page(content_type, body)
                                    ? ", a page of an edge or proxy" : "");
        }
    }

    if (tokens->result == NCR_OAUTH_TRANSIENT) {
        tokens->retry_after = ncr_oauth_answer_wait(retry_after, now);
    }

    cJSON_Delete(json);
}


static void
ncr_oauth_answer_ok(ncr_oauth_t *oauth, ncr_oauth_tokens_t *tokens,
    ncr_uint_t status, cJSON *json, ncr_msec_t now)
{
    if (json == NULL) {
        tokens->result = NCR_OAUTH_TRANSIENT;
        ncr_oauth_answer_status(tokens, status, ", but not a JSON object");
        return;
    }

    if (ncr_oauth_either(json, "access_token", "accessToken").len == 0) {
        tokens->result = NCR_OAUTH_TRANSIENT;
        ncr_oauth_answer_words(tokens, json);

        if (tokens->error[0] == '\0') {
            ncr_oauth_answer_status(tokens, status,
                                    ", but no access_token in it");
        }

        return;
    }

    ncr_oauth_answer_tokens(oauth, tokens, json, now);
}


/* snake case is RFC 6749's, the other Kiro's and AWS's (others.md D1) */

static void
ncr_oauth_answer_tokens(ncr_oauth_t *oauth, ncr_oauth_tokens_t *tokens,
    cJSON *json, ncr_msec_t now)
{
    cJSON       *item;
    ncr_str_t    access, refresh;
    const char  *err;

    access = ncr_oauth_either(json, "access_token", "accessToken");
    refresh = ncr_oauth_either(json, "refresh_token", "refreshToken");
    item = ncr_oauth_member(json, "refresh_token");

    if (item == NULL) {
        item = ncr_oauth_member(json, "refreshToken");
    }

    err = ncr_oauth_tokens_check(&access, &refresh);

    if (err == NULL && item != NULL && !cJSON_IsString(item)) {
        err = "the refresh token is not a string";
    }

    if (err != NULL) {
        tokens->result = NCR_OAUTH_REFUSED;
        ncr_oauth_answer_text(tokens, "", err);
        return;
    }

    tokens->result = NCR_OAUTH_OK;

    ncr_str_copy(tokens->access, sizeof(tokens->access), &access);
    ncr_str_copy(tokens->refresh, sizeof(tokens->refresh), &refresh);

    tokens->expires = ncr_oauth_answer_end(oauth, json, &access, now);

    item = ncr_oauth_member(json, "scope");
    ncr_oauth_scope(item, tokens->scope, sizeof(tokens->scope));

    ncr_oauth_answer_meta(json, tokens->meta, sizeof(tokens->meta));
}


/* expires_in, expires_at, what the token itself says, or what is known */

static ncr_msec_t
ncr_oauth_answer_end(ncr_oauth_t *oauth, cJSON *json, ncr_str_t *access,
    ncr_msec_t now)
{
    cJSON       *item;
    ncr_msec_t   end;

    item = ncr_oauth_member(json, "expires_in");

    if (item == NULL) {
        item = ncr_oauth_member(json, "expiresIn");
    }

    end = ncr_oauth_answer_expires(item, now);
    item = ncr_oauth_member(json, "expires_at");

    if (end == 0
        && (item == NULL || ncr_oauth_instant(item, &end) != NCR_OK))
    {
        end = oauth->jwt ? ncr_oauth_jwt_end(access) : 0;
    }

    /* as above: what is over is so from now on */

    if (end) {
        end = ncr_max(end, now);
    }

    return ncr_oauth_end(oauth, end, now);
}


ncr_msec_t
ncr_oauth_end(ncr_oauth_t *oauth, ncr_msec_t end, ncr_msec_t now)
{
    if (end == 0 && oauth->assume) {
        end = now + oauth->assume;
    }

    if (oauth->life) {
        end = end ? ncr_min(end, now + oauth->life) : now + oauth->life;
    }

    return ncr_min(end, now + NCR_OAUTH_LONGEST * 1000);
}


ncr_msec_t
ncr_oauth_jwt_end(ncr_str_t *token)
{
    cJSON       *item, *claims;
    ncr_msec_t   end;

    claims = ncr_oauth_claims(token);
    item = ncr_oauth_member(claims, "exp");

    if (item == NULL || ncr_oauth_instant(item, &end) != NCR_OK) {
        end = 0;
    }

    cJSON_Delete(claims);

    return end;
}


static ncr_oauth_e
ncr_oauth_answer_refusal(ncr_oauth_t *oauth, ncr_uint_t status,
    ncr_str_t *content_type, ncr_str_t *body, cJSON *json)
{
    ncr_str_t  error;

    /* redirects are an edge's, too (A.5); what is not HTTP is nobody's */

    if (status < 400 || status >= 500) {
        return NCR_OAUTH_TRANSIENT;
    }

    switch (status) {

    case 400:
    case 401:
        error = ncr_oauth_answer_error(json);

        if (ncr_oauth_answer_dead(oauth, &error)) {
            return NCR_OAUTH_INVALID_GRANT;
        }

        return ncr_oauth_answer_page(content_type, body)
               ? NCR_OAUTH_TRANSIENT : NCR_OAUTH_REFUSED;

    case 403:
        return (json == NULL) ? NCR_OAUTH_TRANSIENT : NCR_OAUTH_REFUSED;

    case 408:
    case 425:
    case 429:
        return NCR_OAUTH_TRANSIENT;

    default:
        return NCR_OAUTH_REFUSED;
    }
}


static ncr_uint_t
ncr_oauth_answer_dead(ncr_oauth_t *oauth, ncr_str_t *error)
{
    const char *const  *p;

    if (ncr_str_eq(error, "invalid_grant")) {
        return 1;
    }

    for (p = oauth->permanent; p && *p; p++) {
        if (ncr_str_eq(error, *p)) {
            return 1;
        }
    }

    return 0;
}


/* HTML, by what it says to be or by what it is */

static ncr_uint_t
ncr_oauth_answer_page(ncr_str_t *content_type, ncr_str_t *body)
{
    size_t  i;

    if (ncr_str_contains(content_type, "html")) {
        return 1;
    }

    for (i = 0; i < body->len; i++) {
        if (body->data[i] > ' ') {
            return body->data[i] == '<';
        }
    }

    return 0;
}


/*
 * RFC 6749, section 5.2; the API's own form is an object with a type (D.1),
 * OpenAI's has a code, too (A8), WorkOS's names it "code", and AWS's
 * exceptions have a type that may be qualified (D1)
 */

ncr_str_t
ncr_oauth_answer_error(cJSON *json)
{
    size_t      i;
    cJSON      *object;
    ncr_str_t   error;

    error = ncr_oauth_string(json, "error");

    if (error.len) {
        return error;
    }

    object = ncr_oauth_member(json, "error");
    error = ncr_oauth_either(object, "code", "type");

    if (error.len) {
        return error;
    }

    error = ncr_oauth_either(json, "__type", "code");

    for (i = error.len; i > 0; i--) {
        if (error.data[i - 1] == '#') {
            error.data += i;
            error.len -= i;
            break;
        }
    }

    return error;
}


static void
ncr_oauth_answer_words(ncr_oauth_tokens_t *tokens, cJSON *json)
{
    char       words[256];
    ncr_str_t  text;

    text = ncr_oauth_answer_error(json);
    ncr_oauth_words(words, sizeof(words), &text);
    ncr_oauth_answer_text(tokens, "", words);

    text = ncr_oauth_string(json, "error_description");

    if (text.len == 0) {
        text = ncr_oauth_string(ncr_oauth_member(json, "error"), "message");
    }

    /* of AWS and WorkOS, whose errors are no OAuth's */

    if (text.len == 0 && ncr_oauth_either(json, "__type", "code").len) {
        text = ncr_oauth_either(json, "message", "Message");
    }

    ncr_oauth_words(words, sizeof(words), &text);
    ncr_oauth_answer_text(tokens, ": ", words);

    text = ncr_oauth_string(json, "error_uri");
    ncr_oauth_words(words, sizeof(words), &text);
    ncr_oauth_answer_text(tokens, ", see ", words);
}


/* words of our own: "HTTP 502, a page of an edge or proxy" */

static void
ncr_oauth_answer_status(ncr_oauth_tokens_t *tokens, ncr_uint_t status,
    const char *text)
{
    char       buf[32];
    ncr_out_t  out;

    ncr_out_init(&out, (ncr_char_t *) buf, sizeof(buf) - 1);
    ncr_out_text(&out, "HTTP ");
    ncr_out_int(&out, (int64_t) status);
    *out.last = '\0';

    ncr_oauth_answer_text(tokens, "", buf);
    ncr_oauth_answer_text(tokens, "", text);
}


/* appended as far as it fits, between only after something */

static void
ncr_oauth_answer_text(ncr_oauth_tokens_t *tokens, const char *between,
    const char *text)
{
    size_t     len;
    ncr_str_t  s;

    if (*text == '\0') {
        return;
    }

    len = strlen(tokens->error);

    if (len) {
        s.data = (ncr_char_t *) (uintptr_t) between;
        s.len = strlen(between);

        ncr_str_copy(tokens->error + len, sizeof(tokens->error) - len, &s);
        len = strlen(tokens->error);
    }

    s.data = (ncr_char_t *) (uintptr_t) text;
    s.len = strlen(text);

    ncr_str_copy(tokens->error + len, sizeof(tokens->error) - len, &s);
}


static ncr_msec_t
ncr_oauth_answer_wait(ncr_str_t *value, ncr_msec_t now)
{
    ncr_str_t     name;
    ncr_limits_t  limits;

    ncr_limits_reset(&limits);

    if (value->len == 0) {
        return -1;
    }

    ncr_str_set(&name, "retry-after");
    ncr_limits_header(&limits, &name, value, now);

    if (limits.retry_after < 0) {
        return -1;
    }

    return ncr_min(ncr_max(limits.retry_after, NCR_OAUTH_WAIT_MIN),
                   NCR_OAUTH_WAIT_MAX);
}


/* seconds from now on, as a number or as digits */

static ncr_msec_t
ncr_oauth_answer_expires(cJSON *item, ncr_msec_t now)
{
    double     value;
    int64_t    seconds;
    ncr_str_t  s;

    if (cJSON_IsNumber(item)) {
        value = item->valuedouble;

    } else if (cJSON_IsString(item)) {
        s.data = (ncr_char_t *) item->valuestring;
        s.len = strlen(item->valuestring);

        if (ncr_str_int(&s, &seconds) != NCR_OK) {
            return 0;
        }

        value = (double) seconds;

    } else {
        return 0;
    }

    /* what is over already is so from now on: 0 would mean "not told" */

    value = ncr_max(value, 0);
    value = ncr_min(value, (double) NCR_OAUTH_LONGEST);

    return now + (ncr_msec_t) value * 1000;
}


static void
ncr_oauth_answer_meta(cJSON *json, char *meta, size_t size)
{
    cJSON      *account, *organization;
    ncr_str_t   facts[NCR_OAUTH_FACTS];

    memset(facts, 0, sizeof(facts));

    account = ncr_oauth_member(json, "account");
    organization = ncr_oauth_member(json, "organization");

    facts[NCR_OAUTH_ACCOUNT_UUID] = ncr_oauth_string(account, "uuid");
    facts[NCR_OAUTH_EMAIL] = ncr_oauth_either(account, "email_address",
                                              "email");
    facts[NCR_OAUTH_ORGANIZATION_UUID] = ncr_oauth_string(organization,
                                                          "uuid");
    facts[NCR_OAUTH_ORGANIZATION] = ncr_oauth_string(organization, "name");

    facts[NCR_OAUTH_PLAN] = ncr_oauth_either(json, "subscription", "plan");

    if (facts[NCR_OAUTH_PLAN].len == 0) {
        facts[NCR_OAUTH_PLAN] = ncr_oauth_string(json, "account_type");
    }

    facts[NCR_OAUTH_PLAN] = ncr_oauth_plan(facts[NCR_OAUTH_PLAN]);
    facts[NCR_OAUTH_TIER] = ncr_oauth_string(json, "tier");

    ncr_oauth_meta_write(facts, NULL, meta, size);
}


ncr_int_t
ncr_oauth_profile(ncr_str_t *body, ncr_str_t *old, char *meta, size_t size)
{
    cJSON      *json, *other, *account, *organization;
    ncr_str_t   facts[NCR_OAUTH_FACTS];

    json = ncr_oauth_json(body);

    account = ncr_oauth_member(json, "account");
    organization = ncr_oauth_member(json, "organization");

    if (!cJSON_IsObject(account) && !cJSON_IsObject(organization)) {
        cJSON_Delete(json);
        return NCR_BAD;
    }

    memset(facts, 0, sizeof(facts));

    facts[NCR_OAUTH_ACCOUNT_UUID] = ncr_oauth_string(account, "uuid");
    facts[NCR_OAUTH_EMAIL] = ncr_oauth_either(account, "email",
                                              "email_address");
    facts[NCR_OAUTH_NAME] = ncr_oauth_either(account, "full_name",
                                             "display_name");
    facts[NCR_OAUTH_ORGANIZATION_UUID] = ncr_oauth_string(organization,
                                                          "uuid");
    facts[NCR_OAUTH_ORGANIZATION] = ncr_oauth_string(organization, "name");
    facts[NCR_OAUTH_TIER] = ncr_oauth_string(organization,
                                             "rate_limit_tier");
    facts[NCR_OAUTH_PLAN] =
        ncr_oauth_plan(ncr_oauth_string(organization, "organization_type"));

    if (facts[NCR_OAUTH_PLAN].len == 0) {

        if (cJSON_IsTrue(ncr_oauth_member(account, "has_claude_max"))) {
            ncr_str_set(&facts[NCR_OAUTH_PLAN], "max");

        } else if (cJSON_IsTrue(ncr_oauth_member(account, "has_claude_pro")))
        {
            ncr_str_set(&facts[NCR_OAUTH_PLAN], "pro");
        }
    }

    other = ncr_oauth_json(old);

    ncr_oauth_meta_write(facts, other, meta, size);

    cJSON_Delete(other);
    cJSON_Delete(json);

    return NCR_OK;
}


void
ncr_oauth_meta(const char *fresh, ncr_str_t *old, char *meta, size_t size)
{
    cJSON      *json, *other, *item, *next;
    ncr_str_t   s, facts[NCR_OAUTH_FACTS];

    s.data = (ncr_char_t *) (uintptr_t) fresh;
    s.len = strlen(fresh);

    json = ncr_oauth_json(&s);
    other = ncr_oauth_json(old);

    ncr_oauth_meta_read(json, facts);

    /* members of a platform's own: the old ones that have no fresh ones */

    if (json != NULL && other != NULL) {

        for (item = json->child; item != NULL; item = next) {
            next = item->next;

            cJSON_DeleteItemFromObjectCaseSensitive(other, item->string);

            if (ncr_oauth_is_fact(item->string)) {
                continue;
            }

            (void) cJSON_AddItemReferenceToObject(other, item->string, item);
        }
    }

    ncr_oauth_meta_write(facts, other ? other : json, meta, size);

    cJSON_Delete(other);
    cJSON_Delete(json);
}


ncr_int_t
ncr_oauth_talk_refused(ncr_oauth_talk_t *talk, const char *what)
{
    ncr_str_t           none;
    ncr_out_t           out;
    ncr_oauth_tokens_t  tokens;

    ncr_str_null(&none);

    memset(&tokens, 0, sizeof(ncr_oauth_tokens_t));

    if (talk->status) {
        ncr_oauth_answer_of(talk->oauth, &tokens,
                            (talk->status < 300) ? 599 : talk->status, &none,
                            &none, &talk->answer, talk->now);
    }

    ncr_out_init(&out, (ncr_char_t *) talk->error, sizeof(talk->error) - 1);
    ncr_out_text(&out, what);
    ncr_out_text(&out, ": ");

    if (talk->status == 0) {
        ncr_out_text(&out, "there was no answer");

    } else if (talk->status < 300) {
        ncr_out_text(&out, "the answer is of no use");

    } else {
        none.data = (ncr_char_t *) tokens.error;
        none.len = ncr_min(strlen(tokens.error),
                           (size_t) (out.end - out.last));
        ncr_out_str(&out, &none);
    }

    *out.last = '\0';

    return NCR_BAD;
}
