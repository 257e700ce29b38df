
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What Google's errors say, and until when: others.md C4. */


#include "ncr_google_quota.h"
#include "ncr_gemini.h"
#include "ncr_json.h"
#include "ncr_str.h"
#include "ncr_tz.h"


/* a wait of more than this is taken for this, ms */
#define NCR_GOOGLE_LONGEST     ((ncr_msec_t) 35 * 86400 * 1000)

/* counters of a day are not back on the second (C4, 5), ms */
#define NCR_GOOGLE_MIDNIGHT    ((ncr_msec_t) 300 * 1000)

#define NCR_GOOGLE_MINUTE      ((ncr_msec_t) 60 * 1000)


/* keys of an error's JSON */

typedef enum {
    NCR_GOOGLE_K_NONE = 0,
    NCR_GOOGLE_K_ERROR,
    NCR_GOOGLE_K_TYPE,                  /* of an event told again */
    NCR_GOOGLE_K_STATUS,
    NCR_GOOGLE_K_MESSAGE,
    NCR_GOOGLE_K_DETAILS,
    NCR_GOOGLE_K_RETRY_DELAY,
    NCR_GOOGLE_K_REASON,
    NCR_GOOGLE_K_METADATA,
    NCR_GOOGLE_K_RESET_DELAY,
    NCR_GOOGLE_K_RESET_TIME,
    NCR_GOOGLE_K_VIOLATIONS,
    NCR_GOOGLE_K_QUOTA_ID,
    NCR_GOOGLE_K_QUOTA_LIMIT,
    NCR_GOOGLE_K_QUOTA_VALUE,
    NCR_GOOGLE_K_LINKS,
    NCR_GOOGLE_K_URL
} ncr_google_key_e;


#define NCR_GOOGLE_DEPTH  8

typedef struct {
    ncr_google_error_t  *e;
    ncr_google_key_e     path[NCR_GOOGLE_DEPTH + 1];    /* by depth */
    ncr_uint_t           shift;         /* 1: it is in an array */
    ncr_msec_t           retry;         /* RetryInfo.retryDelay */
    ncr_msec_t           reset;         /* quotaResetDelay */
} ncr_google_reader_t;


typedef struct {
    const char          *name;
    ncr_uint_t           value;
} ncr_google_word_t;


static ncr_int_t ncr_google_token(ncr_json_t *json, ncr_json_token_e token);
static void ncr_google_string(ncr_google_reader_t *r, ncr_uint_t depth,
    ncr_str_t *s);
static void ncr_google_detail(ncr_google_reader_t *r, ncr_uint_t depth,
    ncr_str_t *s);
static void ncr_google_quota_id(ncr_google_error_t *e, ncr_str_t *s);
static ncr_uint_t ncr_google_word(ncr_google_word_t *words, ncr_str_t *s,
    ncr_uint_t none);
static void ncr_google_message(ncr_google_error_t *e);
static ncr_uint_t ncr_google_after(ncr_str_t *s, const char *text);


static ncr_google_word_t  ncr_google_keys[] = {
    { "error", NCR_GOOGLE_K_ERROR },
    { "type", NCR_GOOGLE_K_TYPE },
    { "status", NCR_GOOGLE_K_STATUS },
    { "message", NCR_GOOGLE_K_MESSAGE },
    { "details", NCR_GOOGLE_K_DETAILS },
    { "retryDelay", NCR_GOOGLE_K_RETRY_DELAY },
    { "reason", NCR_GOOGLE_K_REASON },
    { "metadata", NCR_GOOGLE_K_METADATA },
    { "quotaResetDelay", NCR_GOOGLE_K_RESET_DELAY },
    { "quotaResetTimeStamp", NCR_GOOGLE_K_RESET_TIME },
    { "violations", NCR_GOOGLE_K_VIOLATIONS },
    { "quotaId", NCR_GOOGLE_K_QUOTA_ID },
    { "quota_limit", NCR_GOOGLE_K_QUOTA_LIMIT },
    { "quotaValue", NCR_GOOGLE_K_QUOTA_VALUE },
    { "links", NCR_GOOGLE_K_LINKS },
    { "url", NCR_GOOGLE_K_URL },
    { NULL, 0 }
};


static ncr_google_word_t  ncr_google_reasons[] = {
    { "RATE_LIMIT_EXCEEDED", NCR_GOOGLE_RATE_LIMIT },
    { "QUOTA_EXHAUSTED", NCR_GOOGLE_QUOTA },
    { "MODEL_CAPACITY_EXHAUSTED", NCR_GOOGLE_CAPACITY },
    { "INSUFFICIENT_G1_CREDITS_BALANCE", NCR_GOOGLE_CREDITS },
    { "VALIDATION_REQUIRED", NCR_GOOGLE_VALIDATION },
    { "SECURITY_POLICY_VIOLATED", NCR_GOOGLE_POLICY },
    { "API_KEY_INVALID", NCR_GOOGLE_KEY },
    { "API_KEY_EXPIRED", NCR_GOOGLE_KEY },
    { "SERVICE_DISABLED", NCR_GOOGLE_DISABLED },
    { "CONSUMER_SUSPENDED", NCR_GOOGLE_DISABLED },
    { "CONSUMER_INVALID", NCR_GOOGLE_DISABLED },
    { "USER_PROJECT_DENIED", NCR_GOOGLE_DISABLED },
    { "BILLING_DISABLED", NCR_GOOGLE_BILLING },
    { NULL, 0 }
};


/*
 * America/Los_Angeles as it has been since 2007, as a file of tzdata: a block
 * that old readers see, the same again, and the rule (RFC 8536).
 */

static ncr_char_t  ncr_google_tz[] =
    "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
    "\xff\xff\x8f\x80\0\0" "PST\0"
    "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\4"
    "\xff\xff\x8f\x80\0\0" "PST\0"
    "\nPST8PDT,M3.2.0,M11.1.0\n";


void
ncr_google_read(ncr_google_error_t *e, ncr_reply_t *reply)
{
    ncr_json_t           json;
    ncr_google_reader_t  r;

    memset(e, 0, sizeof(ncr_google_error_t));
    memset(&r, 0, sizeof(ncr_google_reader_t));

    e->delay = -1;
    r.e = e;
    r.retry = -1;
    r.reset = -1;

    ncr_json_init(&json);

    json.data = &r;
    json.token = ncr_google_token;
    json.report = NCR_GOOGLE_DEPTH;

    /* what was found before it broke, or was cut, counts */

    if (reply->body.len) {
        (void) ncr_json_feed(&json, reply->body.data, reply->body.len);
    }

    e->status = reply->status;

    if (reply->kind == NCR_REPLY_STREAM_ERROR) {
        e->status = ncr_gemini_status(&e->name);

        if (e->status == 0) {
            e->status = 500;
        }
    }

    /* C4's order */

    e->delay = (r.retry >= 0) ? r.retry : r.reset;

    if (e->message.len) {
        ncr_google_message(e);
    }
}


static ncr_int_t
ncr_google_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_uint_t            depth;
    ncr_google_reader_t  *r;

    r = json->data;
    depth = json->depth;

    switch (token) {

    case NCR_JSON_KEY:
        r->path[depth] = ncr_google_word(ncr_google_keys, &json->text,
                                         NCR_GOOGLE_K_NONE);
        break;

    case NCR_JSON_STRING:
        if (depth > r->shift) {
            ncr_google_string(r, depth - r->shift, &json->text);
        }

        break;

    case NCR_JSON_ARRAY:
        if (depth == 0) {
            r->shift = 1;
        }

        /* fall through */

    case NCR_JSON_OBJECT:

        /* elements of an array have no key of their own */

        if (depth < NCR_GOOGLE_DEPTH) {
            r->path[depth + 1] = NCR_GOOGLE_K_NONE;
        }

        if (token == NCR_JSON_OBJECT && depth == 1 + r->shift
            && r->path[depth] == NCR_GOOGLE_K_ERROR)
        {
            r->e->json = 1;
        }

        break;

    default:
        break;
    }

    return NCR_OK;
}


static void
ncr_google_string(ncr_google_reader_t *r, ncr_uint_t depth, ncr_str_t *s)
{
    ncr_google_key_e    *path;
    ncr_google_error_t  *e;

    e = r->e;
    path = r->path + r->shift;

    if (path[1] != NCR_GOOGLE_K_ERROR) {
        return;
    }

    if (depth >= 4 && path[2] == NCR_GOOGLE_K_DETAILS) {
        ncr_google_detail(r, depth, s);
        return;
    }

    if (depth != 2) {
        return;
    }

    switch (path[2]) {

    case NCR_GOOGLE_K_STATUS:
        e->name = *s;
        break;

    case NCR_GOOGLE_K_TYPE:

        if (e->name.len == 0) {
            e->name = *s;
        }

        break;

    case NCR_GOOGLE_K_MESSAGE:
        e->message = *s;
        break;

    default:
        break;
    }
}


/* error.details[].member, and what is inside of members */

static void
ncr_google_detail(ncr_google_reader_t *r, ncr_uint_t depth, ncr_str_t *s)
{
    ncr_msec_t           time;
    ncr_google_key_e    *path;
    ncr_google_error_t  *e;

    e = r->e;
    path = r->path + r->shift;

    if (depth == 4) {

        if (path[4] == NCR_GOOGLE_K_RETRY_DELAY) {
            r->retry = ncr_google_duration(s);

        } else if (path[4] == NCR_GOOGLE_K_REASON) {
            e->reason = ncr_google_word(ncr_google_reasons, s,
                                        NCR_GOOGLE_OTHER);
        }

        return;
    }

    if (depth == 5 && path[4] == NCR_GOOGLE_K_METADATA) {

        if (path[5] == NCR_GOOGLE_K_RESET_DELAY) {
            r->reset = ncr_google_duration(s);

        } else if (path[5] == NCR_GOOGLE_K_RESET_TIME) {

            if (ncr_str_time(s, &time) == NCR_OK && time > 0) {
                e->until = time;
            }

        } else if (path[5] == NCR_GOOGLE_K_QUOTA_LIMIT) {
            ncr_google_quota_id(e, s);
        }

        return;
    }

    if (depth != 6) {
        return;
    }

    if (path[4] == NCR_GOOGLE_K_LINKS && path[6] == NCR_GOOGLE_K_URL) {

        if (e->link.len == 0) {
            e->link = *s;
        }

    } else if (path[4] != NCR_GOOGLE_K_VIOLATIONS) {
        return;

    } else if (path[6] == NCR_GOOGLE_K_QUOTA_ID) {
        ncr_google_quota_id(e, s);

    } else if (path[6] == NCR_GOOGLE_K_QUOTA_VALUE && ncr_str_eq(s, "0")) {
        e->no_quota = 1;
    }
}


/* "GenerateRequestsPerDayPerProjectPerModel-FreeTier" */

static void
ncr_google_quota_id(ncr_google_error_t *e, ncr_str_t *s)
{
    if (ncr_str_contains(s, "perday") || ncr_str_contains(s, "daily")) {
        e->per_day = 1;

    } else if (ncr_str_contains(s, "perminute")) {
        e->per_minute = 1;
    }
}


static ncr_uint_t
ncr_google_word(ncr_google_word_t *words, ncr_str_t *s, ncr_uint_t none)
{
    for ( /* void */ ; words->name; words++) {
        if (ncr_str_eq(s, words->name)) {
            return words->value;
        }
    }

    return none;
}


/* the words of the message, where no field tells */

static void
ncr_google_message(ncr_google_error_t *e)
{
    ncr_str_t     s;
    ncr_uint_t    i;

    static const char  *texts[] = {
        "retry in ", "reset after ", "retry after ", "after ", NULL
    };

    s = e->message;

    while (ncr_google_after(&s, "limit: 0")) {

        /* not that of "limit: 0.5" or "limit: 05" */

        if (s.len == 0
            || (*s.data != '.' && (*s.data < '0' || *s.data > '9'))
            || (*s.data == '.'
                && (s.len == 1 || s.data[1] < '0' || s.data[1] > '9')))
        {
            e->no_quota = 1;
            break;
        }
    }

    if (e->delay >= 0 || e->until) {
        return;
    }

    for (i = 0; texts[i] && e->delay < 0; i++) {

        s = e->message;

        while (e->delay < 0 && ncr_google_after(&s, texts[i])) {
            e->delay = ncr_google_duration(&s);
        }
    }
}


/* s becomes what follows the text (lower case) in it; 0: it is not there */

static ncr_uint_t
ncr_google_after(ncr_str_t *s, const char *text)
{
    size_t      i, len;
    ncr_str_t   here;

    len = strlen(text);

    if (s->len < len) {
        return 0;
    }

    here.len = len;

    for (i = 0; i <= s->len - len; i++) {
        here.data = s->data + i;

        if (ncr_str_caseeq(&here, text)) {
            s->data += i + len;
            s->len -= i + len;
            return 1;
        }
    }

    return 0;
}


ncr_msec_t
ncr_google_duration(ncr_str_t *text)
{
    ncr_str_t   s;
    ncr_uint_t  found;
    ncr_msec_t  unit, whole, part, scale, total;

    s = *text;
    found = 0;
    total = 0;

    while (s.len && *s.data >= '0' && *s.data <= '9') {

        whole = 0;
        part = 0;
        scale = 1;

        for ( /* void */ ; s.len && *s.data >= '0' && *s.data <= '9';
             s.data++, s.len--)
        {
            whole = ncr_min(whole * 10 + (*s.data - '0'),
                            NCR_GOOGLE_LONGEST);
        }

        if (s.len && *s.data == '.') {
            s.data++;
            s.len--;

            for ( /* void */ ; s.len && *s.data >= '0' && *s.data <= '9';
                 s.data++, s.len--)
            {
                if (scale < 1000000) {
                    part = part * 10 + (*s.data - '0');
                    scale *= 10;
                }
            }
        }

        if (ncr_str_prefix(&s, "ms")) {
            unit = 1;
            s.data++;
            s.len--;

        } else if (ncr_str_prefix(&s, "h")) {
            unit = 3600 * 1000;

        } else if (ncr_str_prefix(&s, "m")) {
            unit = 60 * 1000;

        } else if (ncr_str_prefix(&s, "s")) {
            unit = 1000;

        } else {
            break;
        }

        s.data++;
        s.len--;
        found = 1;

        total += ncr_min(whole, NCR_GOOGLE_LONGEST / unit) * unit
                 + (part * unit + scale - 1) / scale;
        total = ncr_min(total, NCR_GOOGLE_LONGEST);
    }

    return found ? total : -1;
}


ncr_msec_t
ncr_google_midnight(ncr_msec_t now)
{
    ncr_str_t    file;
    ncr_tz_t    *tz;
    ncr_msec_t   start, end;

    file.data = ncr_google_tz;
    file.len = sizeof(ncr_google_tz) - 1;

    if (ncr_tz_read(&tz, &file) != NCR_OK) {

        /* no memory: the winter's, which is at most an hour late */

        ncr_tz_span(ncr_tz_utc(), NCR_SPAN_DAY, 1, 8, now, &start, &end);
        return end;
    }

    ncr_tz_span(tz, NCR_SPAN_DAY, 1, 0, now, &start, &end);
    ncr_tz_free(tz);

    return end;
}


ncr_msec_t
ncr_google_reset(ncr_google_error_t *e, ncr_msec_t now)
{
    if (e->delay >= 0) {
        return now + e->delay;
    }

    if (e->until) {
        return e->until;
    }

    if (e->per_day) {
        return ncr_google_midnight(now) + NCR_GOOGLE_MIDNIGHT;
    }

    return e->per_minute ? now + NCR_GOOGLE_MINUTE : 0;
}
