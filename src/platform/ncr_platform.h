
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A platform is a place: where it is, how a credential is shown to it, what
 * its failures mean.  One file a platform, one row in ncr_platform.c.
 */


#ifndef _NCR_PLATFORM_H_INCLUDED_
#define _NCR_PLATFORM_H_INCLUDED_


#include "ncr_op.h"
#include "ncr_codec.h"
#include "ncr_oauth.h"
#include "ncr_way.h"


typedef enum {
    NCR_CREDENTIAL_AUTO = 0,
    NCR_CREDENTIAL_X_API_KEY,
    NCR_CREDENTIAL_BEARER,
    NCR_CREDENTIAL_API_KEY,             /* "api-key", Azure's */
    NCR_CREDENTIAL_GOOGLE               /* "x-goog-api-key" */
} ncr_credential_e;


typedef struct ncr_platform_s {
    ncr_str_t          name;            /* "anthropic" */
    ncr_str_t          base_url;        /* default; "" if it must be told */
    uint64_t           ops;             /* bit mask of ncr_op_e served */
    uint64_t           named;           /* those of them that are only for
                                           requests whose path names it */
    unsigned           templates:1;     /* base URLs with {model}:{action} */
    unsigned           token:1;         /* access_token, not api_key */
    unsigned           key:1;           /* api_key, too: in place of tokens */
    unsigned           profile:1;       /* has a client of its own (B.2) */
    unsigned           by_name:1;       /* for models "NAME,MODEL" alone */

    /* auto: which header shows this secret (anthropic.md K.2) */
    ncr_credential_e (*credential)(ncr_str_t *secret);

    /* a beta that each request must name, or NULL (B.4) */
    ncr_str_t         *beta;

    /* C.3, D.3, K.3, with the lengths of rests as configured */
    void             (*classify)(ncr_reply_t *reply, ncr_rests_t *rests,
                                 ncr_verdict_t *verdict);

    /* logins and refreshes; NULL for platforms without them */
    ncr_oauth_t       *oauth;

    /* who made the models, by OpenTelemetry's gen_ai.provider.name */
    const char        *provider;

    /* what is asked, with GET, to test an account; "": a message is sent */
    ncr_str_t          probe;

    /* fields of its accounts, to a row without a name; or NULL */
    const ncr_param_t *params;

    /* the base URL, if none was written and it follows from them, into buf;
     * or NULL */
    ncr_str_t        (*base)(ncr_str_t *params, ncr_char_t *buf,
                             size_t size);

    /*
     * The header lines that show the credential, in the place of the
     * client's; NULL: one line, by credential().  secret: the key, or an
     * access token; meta: what a login told, JSON, maybe "".
     */
    void             (*proof)(ncr_out_t *out, ncr_str_t *secret,
                              ncr_str_t *params, ncr_str_t *meta);

    /* what is sent in place of what the client sent (ncr_way.h); or NULL */
    ncr_int_t        (*way)(ncr_way_t *way);
    ncr_int_t        (*sign)(ncr_way_t *way, ncr_char_t *digest);

    /* answers that are not in the client's dialect; or NULL */
    const ncr_translation_t  *translation;

    /* a response header that tells of limits; NULL: ncr_limits_header() */
    void             (*limits)(ncr_limits_t *limits, ncr_str_t *name,
                               ncr_str_t *value, ncr_msec_t now);
} ncr_platform_t;


/* by name, NULL if there is none; the list ends with NULL */
ncr_platform_t *ncr_platform_find(ncr_str_t *name);
extern ncr_platform_t  *ncr_platforms[];

/* the judgement that all platforms share; platforms refine it */
void ncr_verdict_default(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *verdict);
void ncr_rests_default(ncr_rests_t *rests);

/* "limited", "network"; for logs, trails and health */
const char *ncr_class_name(ncr_class_e class);

/*
 * Limits from response headers: reset, then one call per header (name in
 * lower case).  Unknown headers are passed over; windows are taken as they
 * come, "anthropic-ratelimit-unified-<window>-{status,reset,utilization}".
 * now resolves dates of retry-after.
 */
void ncr_limits_reset(ncr_limits_t *limits);
void ncr_limits_header(ncr_limits_t *limits, ncr_str_t *name,
    ncr_str_t *value, ncr_msec_t now);

/* what an error says: its error.message, or all of a body that is no JSON; a
 * slice of it with the escapes that it has; "" if it says nothing */
ncr_str_t ncr_reply_message(ncr_str_t *body);

/* "opus", "sonnet", "haiku", "fable", "mythos"; else "" */
ncr_str_t ncr_model_family(ncr_str_t *model);

/*
 * anthropic-beta with one more element, by B.4's merge rule: the list as it
 * is if it has the element; else put after "claude-code-20250219" if that is
 * there, else first.  Into buf (value->len + beta->len + 2 bytes at least).
 */
#define NCR_BETA_CLAUDE_CODE  "claude-code-20250219"
ncr_str_t ncr_beta_merge(ncr_str_t *value, ncr_str_t *beta, ncr_char_t *buf);

/*
 * The list as it is, and the elements of another that it lacks behind it.
 * Into buf (value->len + list->len + 2 bytes at least).
 */
ncr_str_t ncr_beta_union(ncr_str_t *value, ncr_str_t *list, ncr_char_t *buf);

/* 1 if the list has the element */
ncr_uint_t ncr_beta_has(ncr_str_t *value, ncr_str_t *beta);


/* base URLs by K.1 */

typedef struct {
    ncr_str_t    host;                  /* as written; IPv6 in brackets */
    ncr_uint_t   port;
    ncr_str_t    path;                  /* prefix without "/v1", no last "/" */
    unsigned     tls:1;
    unsigned     default_port:1;
    unsigned     model:1;               /* path has {model} and {action} */
} ncr_url_t;

/* NULL, or what is wrong with it; slices point into text */
const char *ncr_url_parse(ncr_str_t *text, ncr_url_t *url);

/* "host[:port]" alone; url->port is what the scheme means by none */
const char *ncr_url_authority(ncr_str_t *s, ncr_url_t *url);


#endif /* _NCR_PLATFORM_H_INCLUDED_ */
