
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Steps of logins with any answers: nothing overflows, each ends after so many
 * steps, what is to be shown on a terminal can be, and no URL leaves the host
 * that it belongs to.
 */


#include "ncr_oauth_text.h"
#include "ncr_fuzz.h"


#define NCR_FUZZ_NOW    ((ncr_msec_t) 1795262400 * 1000)
#define NCR_FUZZ_STEPS  40


static ncr_oauth_talk_t  talk;
static ncr_char_t        url[2048], lines[8192], text[3 * NCR_OAUTH_TOKEN];


static void
ncr_fuzz_visible(const char *s, size_t size)
{
    size_t  i;

    ncr_fuzz_check(memchr(s, 0, size) != NULL);

    for (i = 0; s[i]; i++) {
        ncr_fuzz_check(s[i] > 32 && s[i] < 127);
    }
}


static void
ncr_fuzz_reset(void)
{
    ncr_out_init(&talk.url, url, sizeof(url));
    ncr_out_init(&talk.lines, lines, sizeof(lines));
    ncr_out_init(&talk.body, text, sizeof(text));

    talk.form = 0;
    talk.no_body = 0;
    talk.api = 0;
    talk.wait = 0;
}


static void
ncr_fuzz_made(ncr_int_t rc)
{
    size_t  i;

    ncr_fuzz_check(memchr(talk.error, 0, sizeof(talk.error)) != NULL);
    ncr_fuzz_check(memchr(talk.told, 0, sizeof(talk.told)) != NULL);
    ncr_fuzz_check(memchr(talk.kept, 0, sizeof(talk.kept)) != NULL);
    ncr_fuzz_check(rc != NCR_BAD || talk.error[0]);

    if (rc != NCR_AGAIN) {
        return;
    }

    ncr_fuzz_check(talk.url.last > talk.url.start && !talk.url.overflow);
    ncr_fuzz_check(talk.url.start[0] == '/'
                   || memcmp(talk.url.start, "https://", 8) == 0);

    for (i = 0; talk.url.start + i < talk.url.last; i++) {
        ncr_fuzz_check(talk.url.start[i] > 32 && talk.url.start[i] < 127);
    }

    ncr_fuzz_check(talk.wait >= 0 && talk.wait <= 60000);
}


/* the input is a sequence of answers: a status and a line */

static ncr_int_t
ncr_fuzz_run(ncr_oauth_step_pt step, const uint8_t *data, size_t size)
{
    size_t      n;
    ncr_int_t   rc;
    ncr_uint_t  i;

    static ncr_char_t        answer[16 * 1024];
    static const ncr_uint_t  status[] = {
        200, 200, 400, 401, 403, 404, 500, 0
    };

    talk.step = 0;
    talk.status = 0;

    ncr_fuzz_reset();

    for (i = 0; i < NCR_FUZZ_STEPS; i++) {

        rc = step(&talk);
        ncr_fuzz_made(rc);

        if (rc != NCR_AGAIN) {
            return rc;
        }

        talk.status = size ? status[data[0] & 7] : 400;

        if (size) {
            data++;
            size--;
        }

        for (n = 0; n < size && data[n] != 10; n++) { /* void */ }

        memcpy(answer, data, n);

        talk.answer.data = answer;
        talk.answer.len = n;

        data += n + (n < size);
        size -= n + (n < size);

        ncr_fuzz_reset();
        talk.step++;
    }

    ncr_fuzz_check(0);

    return NCR_ERROR;
}


static void
ncr_fuzz_place(ncr_oauth_t *oauth, const uint8_t *data, size_t size)
{
    ncr_int_t  rc;

    memset(&talk, 0, sizeof(talk));

    talk.oauth = oauth;
    talk.now = NCR_FUZZ_NOW;

    if (oauth->device) {
        rc = ncr_fuzz_run(oauth->device, data, size);

        if (rc == NCR_OK) {
            ncr_fuzz_visible(talk.user_code, sizeof(talk.user_code));
            ncr_fuzz_visible(talk.verify, sizeof(talk.verify));
            ncr_fuzz_visible(talk.verify_all, sizeof(talk.verify_all));
            ncr_fuzz_check(talk.user_code[0] && talk.verify[0]);
            ncr_fuzz_check(talk.interval >= 1000 && talk.interval <= 60000);
            ncr_fuzz_check(talk.expires > NCR_FUZZ_NOW);

            rc = ncr_fuzz_run(oauth->poll, data, size);
            ncr_fuzz_check(rc != NCR_OK);
            ncr_fuzz_check(talk.interval <= 65000);
        }
    }

    if (oauth->after) {
        memset(&talk, 0, sizeof(talk));

        talk.oauth = oauth;
        talk.now = NCR_FUZZ_NOW;

        (void) ncr_fuzz_run(oauth->after, data, size);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 8 * 1024) {
        return 0;
    }

    ncr_fuzz_place(&ncr_oauth_codex, data, size);
    ncr_fuzz_place(&ncr_oauth_code_assist, data, size);
    ncr_fuzz_place(&ncr_oauth_antigravity, data, size);
    ncr_fuzz_place(&ncr_oauth_droid, data, size);
    ncr_fuzz_place(&ncr_oauth_kiro, data, size);

    return 0;
}
