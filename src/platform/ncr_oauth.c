
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What is sent to an authorization server: anthropic.md A.2, A.4, A.5. */


#include "ncr_oauth.h"
#include "ncr_base64.h"
#include "ncr_hash.h"
#include "ncr_uri.h"


#define NCR_OAUTH_SETUP_SECONDS  31536000       /* one year (A.4) */


static void ncr_oauth_arg(ncr_out_t *out, const char *name,
    ncr_str_t *value);
static void ncr_oauth_field(ncr_out_t *out, const char *name,
    ncr_str_t *value);


void
ncr_oauth_verifier(const ncr_char_t *random32, char *verifier)
{
    *ncr_base64url(verifier, random32, 32) = '\0';
}


void
ncr_oauth_challenge(const char *verifier, char *challenge)
{
    ncr_char_t    digest[NCR_SHA256_LEN];
    ncr_sha256_t  ctx;

    *challenge = '\0';

    if (ncr_sha256_create(&ctx) != NCR_OK) {
        return;
    }

    ncr_sha256_init(&ctx);
    ncr_sha256_update(&ctx, verifier, strlen(verifier));
    ncr_sha256_final(&ctx, digest);
    ncr_sha256_free(&ctx);

    *ncr_base64url(challenge, digest, sizeof(digest)) = '\0';
}


void
ncr_oauth_authorize_url(ncr_out_t *out, ncr_oauth_t *oauth,
    ncr_str_t *redirect_uri, ncr_str_t *scope, ncr_str_t *state,
    ncr_str_t *challenge)
{
    ncr_out_str(out, &oauth->authorize_url);

    /* an operator's URL may have a query of its own */

    if (oauth->authorize_url.len
        && memchr(oauth->authorize_url.data, '?', oauth->authorize_url.len))
    {
        ncr_out_text(out, "&code=true");

    } else {
        ncr_out_text(out, "?code=true");
    }

    ncr_oauth_arg(out, "client_id", &oauth->client_id);
    ncr_out_text(out, "&response_type=code");
    ncr_oauth_arg(out, "redirect_uri", redirect_uri);
    ncr_oauth_arg(out, "scope", scope);
    ncr_oauth_arg(out, "code_challenge", challenge);
    ncr_out_text(out, "&code_challenge_method=S256");
    ncr_oauth_arg(out, "state", state);
}


static void
ncr_oauth_arg(ncr_out_t *out, const char *name, ncr_str_t *value)
{
    ncr_out_text(out, "&");
    ncr_out_text(out, name);
    ncr_out_text(out, "=");
    ncr_uri_escape(out, value);
}


/* in the order of the native client (A.4) */

void
ncr_oauth_exchange(ncr_out_t *out, ncr_oauth_t *oauth, ncr_str_t *code,
    ncr_str_t *redirect_uri, ncr_str_t *verifier, ncr_str_t *state,
    ncr_uint_t setup)
{
    ncr_out_text(out, "{\"grant_type\":\"authorization_code\"");
    ncr_oauth_field(out, "code", code);
    ncr_oauth_field(out, "redirect_uri", redirect_uri);
    ncr_oauth_field(out, "client_id", &oauth->client_id);
    ncr_oauth_field(out, "code_verifier", verifier);

    if (state->len) {
        ncr_oauth_field(out, "state", state);
    }

    if (setup) {
        ncr_out_text(out, ",\"expires_in\":");
        ncr_out_int(out, NCR_OAUTH_SETUP_SECONDS);
    }

    ncr_out_text(out, "}");
}


void
ncr_oauth_refresh(ncr_out_t *out, ncr_oauth_t *oauth,
    ncr_str_t *refresh_token, ncr_str_t *scope)
{
    ncr_out_text(out, "{\"grant_type\":\"refresh_token\"");
    ncr_oauth_field(out, "refresh_token", refresh_token);
    ncr_oauth_field(out, "client_id", &oauth->client_id);

    if (scope->len) {
        ncr_oauth_field(out, "scope", scope);
    }

    ncr_out_text(out, "}");
}


static void
ncr_oauth_field(ncr_out_t *out, const char *name, ncr_str_t *value)
{
    ncr_out_text(out, ",\"");
    ncr_out_text(out, name);
    ncr_out_text(out, "\":");
    ncr_out_json_string(out, value);
}
