
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Parts of the platform "codex", ChatGPT's back end for the Codex CLI
 * (others.md A9 to A15); private to this floor.
 */


#ifndef _NCR_CODEX_H_INCLUDED_
#define _NCR_CODEX_H_INCLUDED_


#include "ncr_platform.h"


/* A13: "x-codex-primary-used-percent" and its like, also of families */
void ncr_codex_limits(ncr_limits_t *limits, ncr_str_t *name,
    ncr_str_t *value, ncr_msec_t now);

/*
 * A13: a window as headers and the usage endpoint tell it; slot is what they
 * call it, and unclassified it is window, "5h" or "7d".  percent is in
 * 1/10000 percent, -1 if it is not told; minutes and reset 0 if not.
 */
void ncr_codex_window(ncr_limits_t *limits, const char *slot,
    const char *window, ncr_str_t *family, int32_t percent, int64_t minutes,
    ncr_msec_t reset);

/* the usage poll of a login (ncr_oauth.h): GET wham/usage (A13) */
ncr_int_t ncr_codex_usage_ask(ncr_oauth_talk_t *talk);
ncr_int_t ncr_codex_usage(ncr_str_t *body, ncr_limits_t *limits, char *meta,
    ncr_msec_t now);

/* "/backend-api" of "/backend-api/codex", where the neighbours are (A13) */
ncr_str_t ncr_codex_root(ncr_str_t *base);


/* an error in any of its forms (A8, A12, A13): slices of the body */

typedef struct {
    ncr_str_t    type;
    ncr_str_t    code;
    ncr_str_t    message;
    ncr_str_t    detail;                /* {"detail":"text"}, its text */
    ncr_msec_t   resets_at;             /* an instant, 0 if not told */
    ncr_msec_t   resets_in;             /* ms, 0 if not told */
    unsigned     json:1;
    unsigned     error:1;               /* it has "error":{} */
} ncr_codex_words_t;

void ncr_codex_words(ncr_codex_words_t *words, ncr_str_t *body);

void ncr_codex_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v);


/* what an attempt sends, A10 to A12 */
ncr_int_t ncr_codex_way(ncr_way_t *way);

/*
 * The input array of a request without what this back end refuses (A12): ids
 * of items without their prefix, reasoning that others have encrypted; with
 * bare, all reasoning.  Into buf, which has input->len bytes.  NCR_OK;
 * NCR_DECLINED: nothing has to go; NCR_BAD: it is no array.
 */
ncr_int_t ncr_codex_input(ncr_str_t *input, ncr_uint_t bare, ncr_uint_t ids,
    ncr_char_t *buf, size_t *len);


/* streams folded into the JSON that a client wants, errors in its form */
extern const ncr_translation_t  ncr_codex_translation;


#endif /* _NCR_CODEX_H_INCLUDED_ */
