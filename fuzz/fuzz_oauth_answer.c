
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Answers of the token endpoint, profiles and usage: the status, a line each
 * for Content-Type and Retry-After, and the body.  Tokens that are taken can
 * be header values, an error can be logged, what is kept is JSON again.
 */


#include "../src/platform/ncr_oauth_answer.c"
#include "../src/platform/ncr_oauth_text.c"
#include "../src/platform/ncr_oauth_usage.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_NOW  ((ncr_msec_t) 1795262400 * 1000)


/* the next line, in memory of its exact length */

static ncr_str_t
ncr_fuzz_line(const uint8_t **data, size_t *size, int whole)
{
    size_t      len;
    ncr_str_t   s;
    const void *end;

    end = (*size && !whole) ? memchr(*data, '\n', *size) : NULL;
    len = end ? (size_t) ((const uint8_t *) end - *data) : *size;

    s.len = len;
    s.data = malloc(len + !len);

    if (len) {
        memcpy(s.data, *data, len);
    }

    len += (end != NULL);
    *data += len;
    *size -= len;

    return s;
}


static void
ncr_fuzz_text(const char *text, size_t size, int blanks)
{
    size_t  i;

    ncr_fuzz_check(memchr(text, '\0', size) != NULL);

    for (i = 0; text[i]; i++) {
        ncr_fuzz_check((text[i] > ' ' || (blanks && text[i] == ' '))
                       && text[i] < 0x7f);
    }
}


static void
ncr_fuzz_meta(const char *meta, size_t size)
{
    cJSON      *json;
    ncr_str_t   s;

    ncr_fuzz_check(memchr(meta, '\0', size) != NULL);

    s.data = (ncr_char_t *) (uintptr_t) meta;
    s.len = strlen(meta);

    if (s.len) {
        json = ncr_oauth_json(&s);
        ncr_fuzz_check(json != NULL);
        cJSON_Delete(json);
    }
}


static void
ncr_fuzz_tokens(ncr_oauth_tokens_t *t, ncr_uint_t status)
{
    ncr_fuzz_text(t->access, sizeof(t->access), 0);
    ncr_fuzz_text(t->refresh, sizeof(t->refresh), 0);
    ncr_fuzz_text(t->scope, sizeof(t->scope), 1);
    ncr_fuzz_text(t->error, sizeof(t->error), 1);
    ncr_fuzz_meta(t->meta, sizeof(t->meta));

    ncr_fuzz_check(strstr(t->error, "sk-ant-") == NULL);

    if (t->result == NCR_OAUTH_OK) {
        ncr_fuzz_check(status >= 200 && status < 300 && t->access[0]
                       && t->error[0] == '\0');
        ncr_fuzz_check(t->expires == 0
                       || (t->expires >= NCR_FUZZ_NOW
                           && t->expires <= NCR_FUZZ_NOW
                                            + NCR_OAUTH_LONGEST * 1000));

    } else {
        ncr_fuzz_check(t->access[0] == '\0' && t->refresh[0] == '\0'
                       && t->expires == 0 && t->error[0] != '\0');
        ncr_fuzz_check(t->result != NCR_OAUTH_INVALID_GRANT || status == 400
                       || status == 401);
    }

    ncr_fuzz_check(t->retry_after == -1
                   || (t->result == NCR_OAUTH_TRANSIENT
                       && t->retry_after >= NCR_OAUTH_WAIT_MIN
                       && t->retry_after <= NCR_OAUTH_WAIT_MAX));
}


static void
ncr_fuzz_windows(ncr_limits_t *l)
{
    ncr_uint_t  i, j;

    ncr_fuzz_check(l->nwindows <= NCR_WINDOWS);

    for (i = 0; i < l->nwindows; i++) {
        ncr_fuzz_check(l->windows[i].name[0] != '\0');
        ncr_fuzz_text(l->windows[i].name, NCR_WINDOW_LEN, 0);
        ncr_fuzz_check(l->windows[i].utilization >= 0
                       && l->windows[i].reset >= 0);

        for (j = 0; j < i; j++) {
            ncr_fuzz_check(strcmp(l->windows[i].name, l->windows[j].name)
                           != 0);
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char                 meta[NCR_OAUTH_META];
    size_t               room;
    ncr_str_t            type, wait, body, none;
    ncr_uint_t           i, status;
    ncr_limits_t         limits;
    ncr_oauth_tokens_t   tokens;

    static ncr_oauth_t *const  places[] = {
        &ncr_oauth_codex, &ncr_oauth_code_assist, &ncr_oauth_droid,
        &ncr_oauth_kiro
    };

    if (size < 2 || size > 16 * 1024) {
        return 0;
    }

    status = (ncr_uint_t) (data[0] * 4);
    room = (size_t) 2 + data[1] * 4;
    data += 2;
    size -= 2;

    type = ncr_fuzz_line(&data, &size, 0);
    wait = ncr_fuzz_line(&data, &size, 0);
    body = ncr_fuzz_line(&data, &size, 1);

    for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        ncr_oauth_answer_of(places[i], &tokens, status, &type, &wait, &body,
                            NCR_FUZZ_NOW);
        ncr_fuzz_tokens(&tokens, status);
    }

    ncr_oauth_answer(&tokens, status, &type, &wait, &body, NCR_FUZZ_NOW);
    ncr_fuzz_tokens(&tokens, status);

    ncr_str_null(&none);

    if (ncr_oauth_profile(&body, &none, meta, room) == NCR_OK) {
        ncr_fuzz_meta(meta, room);
    }

    if (ncr_oauth_profile(&body, &body, meta, room) == NCR_OK) {
        ncr_fuzz_meta(meta, room);
    }

    ncr_oauth_meta(tokens.meta, &body, meta, room);
    ncr_fuzz_meta(meta, room);

    if (ncr_oauth_usage(&body, &limits, NCR_FUZZ_NOW) == NCR_OK) {
        ncr_fuzz_windows(&limits);
    }

    free(body.data);
    free(wait.data);
    free(type.data);

    return 0;
}
