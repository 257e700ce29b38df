
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
#include "ncr_way.h"


/* a grant: tokens, and what an account's login tells beside them */

#define NCR_OAUTH_TOKEN   4096
#define NCR_OAUTH_META    1024

typedef struct ncr_oauth_s       ncr_oauth_t;
typedef struct ncr_oauth_talk_s  ncr_oauth_talk_t;

/*
 * One step of a conversation.  NCR_AGAIN: send what was made, after wait ms,
 * and call again with the answer; NCR_OK: it is over, and well; NCR_DECLINED:
 * not yet, ask again after wait ms (poll() alone); NCR_DONE: the answer at
 * hand is the token endpoint's (poll() alone); NCR_BAD: it is over, error
 * says why.
 */
typedef ncr_int_t (*ncr_oauth_step_pt)(ncr_oauth_talk_t *talk);


/*
 * Where a platform's logins happen and how it is spoken there.  The strings
 * may be configured otherwise (claude_relay_oauth); "{region}" in a URL is
 * the account's field of this name.
 */

struct ncr_oauth_s {
    ncr_str_t    authorize_url;         /* "": no login with a browser */
    ncr_str_t    token_url;
    ncr_str_t    client_id;
    ncr_str_t    redirect_uri;          /* a page that shows "code#state" */
    ncr_str_t    loopback_uri;          /* http://localhost:port/path */
    ncr_str_t    scope;                 /* of a login */
    ncr_str_t    setup_scope;           /* of a setup token; "": none */
    ncr_str_t    profile_path;          /* on the API's base_url, or "" */
    ncr_str_t    usage_path;
    ncr_str_t    client_secret;         /* of the configuration alone */
    ncr_str_t    device_url;            /* where codes of devices are made */
    ncr_str_t    poll_url;              /* "": token_url */
    ncr_str_t    verify_url;            /* where they are typed in, or "" if
                                           the server tells it */
    ncr_str_t    info_url;              /* of after(), or "" */
    ncr_str_t    refresh_url;           /* "": token_url */
    ncr_str_t    register_url;          /* of clients (AWS OIDC), or "" */
    ncr_str_t    device_redirect;       /* of a device's code, or "" */

    const char  *authorize_extra;       /* "a=b&c=d", or NULL */

    unsigned     bare:1;                /* no client_id, response_type and
                                           grant_type (Kiro, D1) */
    unsigned     form:1;                /* bodies are forms, not JSON */
    unsigned     refresh_form:1;        /* that of a refresh is */
    unsigned     refresh_scope:1;       /* it has the scope, too */
    unsigned     send_state:1;          /* an exchange has the state, too */
    unsigned     place:1;               /* its refreshes may take the way of
                                           claude_relay_token_location */
    unsigned     secret:1;              /* useless without client_secret */
    unsigned     modern:1;              /* Antigravity's names (C7) */
    unsigned     jwt:1;                 /* the access token's "exp" is its end
                                           where nothing else tells one */

    ncr_msec_t   assume;                /* life of tokens that tell none */
    ncr_msec_t   ahead;                 /* refreshed so long before the end,
                                           0: claude_relay_refresh_ahead */
    ncr_msec_t   life;                  /* they are taken to live for no
                                           longer, or 0 */

    /* errors of the token endpoint that no repetition helps; invalid_grant
     * is one of all; to NULL, or NULL */
    const char *const  *permanent;

    /* what a token answer tells beside tokens, JSON into meta; NULL: as
     * Claude's */
    void       (*tells)(ncr_str_t *body, char *meta, size_t size);

    /* the whole URL, body and form of a refresh; NULL: by the above */
    ncr_int_t  (*refresh)(ncr_oauth_talk_t *talk);

    /* what is stored as refresh token, of the one that came or was there, in
     * place; NULL: the one that came, else the old one */
    ncr_int_t  (*keep)(ncr_oauth_talk_t *talk, char *refresh, size_t size);

    /* logins of devices: device() fills user_code, verify, interval, expires
     * and kept; poll() is called with kept; NULL: none */
    ncr_oauth_step_pt  device;
    ncr_oauth_step_pt  poll;

    /* after a login or an import, with the access token: into meta */
    ncr_oauth_step_pt  after;

    /* the member of meta that after() is for: where it is missing, it is
     * asked for anyway, now and then; NULL: none */
    const char        *needs;

    /* the request of the usage poll (url is a path on the API's host, base of
     * the base URL included; lines); NULL: GET usage_path */
    ncr_int_t  (*usage)(ncr_oauth_talk_t *talk);

    /* its answer; meta, of NCR_OAUTH_META bytes, is "" before and may be
     * filled with JSON of what else it tells (plan, email); NULL: Claude's */
    ncr_int_t  (*usage_read)(ncr_str_t *body, ncr_limits_t *limits,
                             char *meta, ncr_msec_t now);
};


#define NCR_OAUTH_KEPT   6144

struct ncr_oauth_talk_s {

    /* what is given */

    ncr_oauth_t        *oauth;          /* as configured */
    const ncr_param_t  *names;          /* the platform's params, or NULL */
    ncr_str_t          *params;         /* the account's */
    ncr_str_t           meta;           /* what is known of it, JSON or "" */
    ncr_str_t           base;           /* path of the base URL, no last "/" */
    ncr_str_t           access;
    ncr_str_t           refresh;        /* as stored */
    ncr_str_t           scope;
    ncr_msec_t          now;
    ncr_uint_t          step;           /* 0, and one more each time */

    /* the answer to what the step before has made */

    ncr_uint_t          status;         /* 0: there was none */
    ncr_str_t           answer;

    /* what is made, each starts empty */

    const char         *method;         /* "POST" */
    ncr_out_t           url;            /* "https://..."; or "/...": a path on
                                           the account's API's host */
    ncr_out_t           lines;          /* headers, each with its CRLF; the
                                           content's type and length and the
                                           credential on the API's host
                                           belong to the caller */
    ncr_out_t           body;
    unsigned            form:1;         /* what body is */
    unsigned            no_body:1;      /* GET and the like */
    unsigned            api:1;          /* the access token is to be shown */
    ncr_msec_t          wait;

    /* what it is about */

    char                user_code[64];
    char                verify[512];
    char                verify_all[512];    /* with the code in it, or "" */
    ncr_msec_t          interval;
    ncr_msec_t          expires;        /* an instant */
    char                kept[NCR_OAUTH_KEPT];   /* between calls, and steps;
                                                   JSON */
    char                told[NCR_OAUTH_META];   /* after(): the new meta */
    char                error[256];
};


/* a field of the account by its name, "" if there is none */
ncr_str_t ncr_oauth_param(ncr_oauth_talk_t *talk, const char *name);

/* a URL with "{region}" filled in; NCR_BAD: the region is none */
ncr_int_t ncr_oauth_url(ncr_oauth_talk_t *talk, ncr_out_t *out,
    ncr_str_t *url);

/* RFC 8628, for what has no words of its own */
ncr_int_t ncr_oauth_device(ncr_oauth_talk_t *talk);
ncr_int_t ncr_oauth_device_poll(ncr_oauth_talk_t *talk);

/*
 * The descriptors, ncr_oauth_NAME.c.  Members of meta that their logins tell,
 * all of them text unless it is said otherwise:
 *
 *   all            email, plan, tier, name, account_uuid, organization,
 *                  organization_uuid
 *   codex          chatgpt_account_id, chatgpt_user_id, fedramp (true)
 *   code-assist,   project, ineligible ("UNSUPPORTED_CLIENT: its words")
 *   antigravity
 *   droid          organization_id, workos_org_ids (an array)
 *   kiro           profile_arn, auth_method ("social", "idc")
 */
extern ncr_oauth_t  ncr_oauth_claude;
extern ncr_oauth_t  ncr_oauth_codex;
extern ncr_oauth_t  ncr_oauth_code_assist;
extern ncr_oauth_t  ncr_oauth_antigravity;
extern ncr_oauth_t  ncr_oauth_droid;
extern ncr_oauth_t  ncr_oauth_kiro;


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

/* A.4, A.5: bodies of the token endpoint; setup: a token of one year */
void ncr_oauth_exchange(ncr_out_t *out, ncr_oauth_t *oauth, ncr_str_t *code,
    ncr_str_t *redirect_uri, ncr_str_t *verifier, ncr_str_t *state,
    ncr_uint_t setup);
void ncr_oauth_refresh(ncr_out_t *out, ncr_oauth_t *oauth,
    ncr_str_t *refresh_token, ncr_str_t *scope);

/*
 * The whole of it, by what the platform's says: url, body and form.  NCR_OK;
 * NCR_BAD: error says why there is none.
 */
ncr_int_t ncr_oauth_ask_code(ncr_oauth_talk_t *talk, ncr_str_t *code,
    ncr_str_t *redirect_uri, ncr_str_t *verifier, ncr_str_t *state,
    ncr_uint_t setup);
ncr_int_t ncr_oauth_ask_refresh(ncr_oauth_talk_t *talk);

/* what it lacks of its configuration, or NULL */
const char *ncr_oauth_lacks(ncr_oauth_t *oauth);


/* what the token endpoint said */

typedef enum {
    NCR_OAUTH_OK = 0,
    NCR_OAUTH_TRANSIENT,                /* edge, 5xx, 429: try again later */
    NCR_OAUTH_INVALID_GRANT,            /* the token or code is dead */
    NCR_OAUTH_REFUSED                   /* any other refusal: a fault of ours
                                           or of the configuration */
} ncr_oauth_e;


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

/* the same, with a platform's names, errors and facts */
void ncr_oauth_answer_of(ncr_oauth_t *oauth, ncr_oauth_tokens_t *tokens,
    ncr_uint_t status, ncr_str_t *content_type, ncr_str_t *retry_after,
    ncr_str_t *body, ncr_msec_t now);

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
                                           "pluribus", "api-key", "codex",
                                           "gemini", "kiro", "droid" */
    char         platform[24];          /* "claude-oauth", "anthropic" */
    char         access[NCR_OAUTH_TOKEN];
    char         refresh[NCR_OAUTH_TOKEN];
    ncr_msec_t   expires;
    char         scope[512];
    char         base_url[256];         /* "" = the platform's */
    char         region[32];            /* a field of the account, or "" */
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

/*
 * The same, for an account of this platform (NULL: not known), and files of
 * the Codex and Gemini CLIs, of Kiro and Droid.  One with a refresh token
 * alone is an account whose access token is over: it is refreshed first.
 */
const char *ncr_oauth_import_as(ncr_str_t *text, const char *platform,
    ncr_oauth_import_t *import, ncr_msec_t now);


#endif /* _NCR_OAUTH_H_INCLUDED_ */
