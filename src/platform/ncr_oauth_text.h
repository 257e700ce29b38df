
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What the readers of OAuth's answers and files share; private to them.
 */


#ifndef _NCR_OAUTH_TEXT_H_INCLUDED_
#define _NCR_OAUTH_TEXT_H_INCLUDED_


#include "ncr_oauth.h"

#include <cjson/cJSON.h>


/* more than any answer or file has; a tree of it takes some 16 MB at worst */
#define NCR_OAUTH_BODY   (256 * 1024)
#define NCR_OAUTH_DEPTH  32


/* what is known of an account, in the order of the members of meta */

typedef enum {
    NCR_OAUTH_ACCOUNT_UUID = 0,
    NCR_OAUTH_EMAIL,
    NCR_OAUTH_ORGANIZATION_UUID,
    NCR_OAUTH_ORGANIZATION,
    NCR_OAUTH_PLAN,
    NCR_OAUTH_TIER,
    NCR_OAUTH_NAME,
    NCR_OAUTH_FACTS
} ncr_oauth_fact_e;


/*
 * A whole JSON object, to be released with cJSON_Delete(), or NULL.  Stricter
 * than cJSON: the grammar is that of ncr_json, nothing follows, and no string
 * has a NUL, so that valuestring is all of it.
 */
cJSON *ncr_oauth_json(ncr_str_t *text);

/* the same, of up to max bytes instead of NCR_OAUTH_BODY */
cJSON *ncr_oauth_json_large(ncr_str_t *text, size_t max);

/* a member: NULL if it is missing or null, or object is none */
cJSON *ncr_oauth_member(cJSON *object, const char *name);

/* a member that is a string; else data is NULL */
ncr_str_t ncr_oauth_string(cJSON *object, const char *name);

/* the first of two names that is a string with something in it */
ncr_str_t ncr_oauth_either(cJSON *object, const char *name,
    const char *other);

/* 1 if it is not empty and all of it is visible ASCII */
ncr_uint_t ncr_oauth_visible(ncr_str_t *s);

/*
 * NULL, or what is wrong with these tokens: whether they can be header values,
 * are of the right kind and fit.  refresh->len 0: there is none.
 */
const char *ncr_oauth_tokens_check(ncr_str_t *access, ncr_str_t *refresh);

/* "a b", or ["a", "b"]; "" if it is neither or does not fit */
void ncr_oauth_scope(cJSON *item, char *dst, size_t size);

/*
 * Others' words for a log: without control characters, "?" for what is not
 * ASCII, "***" for what looks like a token.  Cut to size - 1 bytes.
 */
void ncr_oauth_words(char *dst, size_t size, ncr_str_t *text);

/*
 * An instant: seconds or milliseconds since the epoch as a number or digits,
 * told apart by A.4's rule, or RFC 3339.  NCR_BAD: it is something else.
 */
ncr_int_t ncr_oauth_instant(cJSON *item, ncr_msec_t *value);
ncr_int_t ncr_oauth_instant_text(ncr_str_t *text, ncr_msec_t *value);

/* "claude_max" is the plan "max" */
ncr_str_t ncr_oauth_plan(ncr_str_t name);

/* the facts in a JSON object that was written by the next function */
void ncr_oauth_meta_read(cJSON *meta, ncr_str_t *facts);

/*
 * A JSON object of facts (those with len 0 are not known) and of the members
 * of old (may be NULL) that are not among them.  A member that does not fit
 * is left out.  "" if there are none.
 */
void ncr_oauth_meta_write(ncr_str_t *facts, cJSON *old, char *meta,
    size_t size);

/*
 * A body of members or fields, one after the other: form or JSON; put_end()
 * comes last.  Of JSON the values are strings.
 */
void ncr_oauth_put(ncr_out_t *out, ncr_uint_t form, const char *name,
    ncr_str_t *value);
void ncr_oauth_put_text(ncr_out_t *out, ncr_uint_t form, const char *name,
    const char *text);
void ncr_oauth_put_end(ncr_out_t *out, ncr_uint_t form);

/* NCR_BAD, with these words */
ncr_int_t ncr_oauth_talk_error(ncr_oauth_talk_t *talk, const char *text);

/* NCR_BAD, with what the answer says, in the server's words or our own */
ncr_int_t ncr_oauth_talk_refused(ncr_oauth_talk_t *talk, const char *what);

/* the claims of a JWT, unverified: it came from where it was made, by TLS;
 * to be released with cJSON_Delete(), NULL: it is none */
cJSON *ncr_oauth_claims(ncr_str_t *jwt);

/* {"error": "x"}, {"error": {"code": "x"}}, {"__type": "X"}: its code */
ncr_str_t ncr_oauth_answer_error(cJSON *json);

/* the "exp" of a JWT, an instant; 0: it tells none */
ncr_msec_t ncr_oauth_jwt_end(ncr_str_t *token);

/* the end of an access token, by what is known of the platform's; end: what
 * was told, 0: nothing */
ncr_msec_t ncr_oauth_end(ncr_oauth_t *oauth, ncr_msec_t end, ncr_msec_t now);

/* 1 if it is one of the facts */
ncr_uint_t ncr_oauth_is_fact(const char *name);

/* members that are text, as facts are: without control characters */
void ncr_oauth_copy(cJSON *to, cJSON *from, const char *const *names);

/* talk->told, or what was known before, with these members over it */
void ncr_oauth_meta_put(ncr_oauth_talk_t *talk, cJSON *more);

/* the parts of a device's login */
ncr_int_t ncr_oauth_device_read(ncr_oauth_talk_t *talk, cJSON *json);
ncr_int_t ncr_oauth_device_said(ncr_oauth_talk_t *talk);
cJSON *ncr_oauth_kept(ncr_oauth_talk_t *talk);
ncr_int_t ncr_oauth_kept_put(ncr_oauth_talk_t *talk, const char *name,
    ncr_str_t *value);
ncr_uint_t ncr_oauth_web(ncr_str_t *uri);

/*
 * Files of other clients than Claude's: NULL, what is wrong, or
 * ncr_oauth_import_none.  platform: of the account, NULL if it is to be seen.
 */
extern const char  ncr_oauth_import_none[];
const char *ncr_oauth_import_other(cJSON *json, const char *platform,
    ncr_oauth_import_t *import, ncr_msec_t now);

/*
 * Kiro's refresh token as it is stored: 1 if it has a client of AWS with it.
 * NCR_BAD: these are no such parts, or too long.
 */
ncr_uint_t ncr_oauth_kiro_parts(ncr_str_t *stored, ncr_str_t *id,
    ncr_str_t *secret, ncr_str_t *token);
ncr_int_t ncr_oauth_kiro_join(char *refresh, size_t size, ncr_str_t *id,
    ncr_str_t *secret, ncr_str_t *token);


#endif /* _NCR_OAUTH_TEXT_H_INCLUDED_ */
