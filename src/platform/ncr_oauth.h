
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Logins and refreshes by OAuth 2 (RFC 6749) with PKCE (RFC 7636), as far as
 * they are texts: what is sent to an authorization server, what comes back,
 * what an operator pastes or imports.  Facts: anthropic.md A.
 */


#ifndef _NCR_OAUTH_H_INCLUDED_
#define _NCR_OAUTH_H_INCLUDED_


#include "ncr_model.h"
#include "ncr_out.h"


/* where a platform's logins happen; any of it may be configured otherwise */

typedef struct {
    ncr_str_t    authorize_url;
    ncr_str_t    token_url;
    ncr_str_t    client_id;
    ncr_str_t    redirect_uri;          /* a page that shows "code#state" */
    ncr_str_t    loopback_uri;          /* http://localhost:port/path */
    ncr_str_t    scope;                 /* of a login */
    ncr_str_t    setup_scope;           /* of a setup token */
    ncr_str_t    profile_path;          /* on the API's base_url, or "" */
    ncr_str_t    usage_path;
} ncr_oauth_t;


/* RFC 7636: verifier and challenge, 43 characters each and a NUL */
#define NCR_OAUTH_VERIFIER  44
void ncr_oauth_verifier(const ncr_char_t *random32, char *verifier);

/* "" if libcrypto has no SHA-256: then there can be no login */
void ncr_oauth_challenge(const char *verifier, char *challenge);

/* A.2: what the operator opens in a browser */
void ncr_oauth_authorize_url(ncr_out_t *out, ncr_oauth_t *oauth,
    ncr_str_t *redirect_uri, ncr_str_t *scope, ncr_str_t *state,
    ncr_str_t *challenge);

/*
 * A.3: "code#state", "code", or a callback's URL (or its target, or query);
 * slices of text, or of buf where something had to be decoded; state.len 0 if
 * there is none.  NULL, or what is wrong with it; an answer "error=..." of the
 * server is told, in buf.  text->len + 1024 bytes of buf are enough.
 */
const char *ncr_oauth_paste(ncr_str_t *text, ncr_char_t *buf, size_t size,
    ncr_str_t *code, ncr_str_t *state);

/* A.4, A.5: JSON bodies of the token endpoint; setup: a token of one year */
void ncr_oauth_exchange(ncr_out_t *out, ncr_oauth_t *oauth, ncr_str_t *code,
    ncr_str_t *redirect_uri, ncr_str_t *verifier, ncr_str_t *state,
    ncr_uint_t setup);
void ncr_oauth_refresh(ncr_out_t *out, ncr_oauth_t *oauth,
    ncr_str_t *refresh_token, ncr_str_t *scope);


/* what the token endpoint said */

typedef enum {
    NCR_OAUTH_OK = 0,
    NCR_OAUTH_TRANSIENT,                /* edge, 5xx, 429: try again later */
    NCR_OAUTH_INVALID_GRANT,            /* the token or code is dead */
    NCR_OAUTH_REFUSED                   /* any other refusal: a fault of ours
                                           or of the configuration */
} ncr_oauth_e;


#define NCR_OAUTH_TOKEN   4096
#define NCR_OAUTH_META    1024

typedef struct {
    ncr_oauth_e  result;
    ncr_msec_t   retry_after;           /* of TRANSIENT: ms, 5 s to 5 min
                                           (A.5), -1 if not told */
    char         error[256];            /* "invalid_grant: Refresh token ..." */

    char         access[NCR_OAUTH_TOKEN];
    char         refresh[NCR_OAUTH_TOKEN];  /* "" if none came */
    ncr_msec_t   expires;               /* an instant, 0 if not told */
    char         scope[512];
    char         meta[NCR_OAUTH_META];  /* JSON, or "" */
} ncr_oauth_tokens_t;


/*
 * status and body of an answer, at now.  Never copies anything but error,
 * error_description and error_uri (A.5) into error; control characters are
 * taken out of it, and whatever looks like a token.  Tokens that are no HTTP
 * header values, too long, or swapped (an "ort" where an "oat" belongs) make
 * it NCR_OAUTH_REFUSED.
 *
 *   2xx with tokens                                      OK
 *   2xx without, 3xx, 403 that is no JSON object, 408,
 *   425, 429, 5xx, an HTML page of 400 or 401            TRANSIENT
 *   400 and 401 with the error invalid_grant             INVALID_GRANT
 *   any other 4xx                                        REFUSED
 *
 * expires_in that is over (0, negative) makes expires now, one of more than
 * ten years is taken for ten years, and one that is no number is not told.
 */
void ncr_oauth_answer(ncr_oauth_tokens_t *tokens, ncr_uint_t status,
    ncr_str_t *content_type, ncr_str_t *retry_after, ncr_str_t *body,
    ncr_msec_t now);

/*
 * GET profile_path (A.7): into the JSON that is kept as meta: account_uuid,
 * email, name, organization_uuid, organization, plan ("max", "pro", "team",
 * "enterprise", "free"), tier.  old (may be "") is merged under it.  NCR_BAD:
 * not such an answer.
 */
ncr_int_t ncr_oauth_profile(ncr_str_t *body, ncr_str_t *old, char *meta,
    size_t size);

/*
 * The meta of a refresh's answer (may be "") with that of before under it,
 * which knows the plan, where an answer of the token endpoint does not.
 */
void ncr_oauth_meta(const char *fresh, ncr_str_t *old, char *meta,
    size_t size);

/*
 * GET usage_path (A.7): the windows into limits, by the names that response
 * headers have ("5h", "7d", "7d_opus"), utilization in 1/10000; "limits"
 * first, then the flat members.  A weekly window of a model is that of its
 * family, "7d_fable".  limits is reset first.  NCR_BAD: not such an answer.
 */
ncr_int_t ncr_oauth_usage(ncr_str_t *body, ncr_limits_t *limits,
    ncr_msec_t now);


/* what can be imported */

typedef struct {
    char         kind[24];              /* "credentials", "setup-token",
                                           "pluribus", "api-key" */
    char         platform[24];          /* "claude-oauth", "anthropic" */
    char         access[NCR_OAUTH_TOKEN];
    char         refresh[NCR_OAUTH_TOKEN];
    ncr_msec_t   expires;
    char         scope[512];
    char         base_url[256];         /* "" = the platform's */
    char         meta[NCR_OAUTH_META];
} ncr_oauth_import_t;

/*
 * The contents of ~/.claude/.credentials.json, of an official SDK's
 * credential file, of a Pluribus providers/<name>.toml, or a bare token.
 * Seconds and milliseconds are told apart by A.4's rule.  NULL, or what is
 * wrong with it, without any of the text; import then has nothing of it.
 *
 * access is never "".  refresh is "" of setup tokens and keys, expires 0 if
 * the text does not tell.  Tokens that are over at now and have no refresh
 * token beside them are refused.
 */
const char *ncr_oauth_import(ncr_str_t *text, ncr_oauth_import_t *import,
    ncr_msec_t now);


#endif /* _NCR_OAUTH_H_INCLUDED_ */
