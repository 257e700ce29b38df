
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Code Assist and Antigravity: Gemini's requests and answers in an envelope
 * (others.md C6, C7).  Private to this floor.
 */


#ifndef _NCR_ASSIST_H_INCLUDED_
#define _NCR_ASSIST_H_INCLUDED_


#include "ncr_verdict.h"
#include "ncr_json.h"


/* fields of accounts: the same places on both platforms */

#define NCR_ASSIST_PROJECT   0
#define NCR_ASSIST_VERSION   1
#define NCR_ASSIST_OS        2          /* Antigravity's */

const char *ncr_assist_check_project(ncr_str_t *value);
const char *ncr_assist_check_word(ncr_str_t *value);

ncr_credential_e ncr_assist_credential(ncr_str_t *secret);

void ncr_assist_classify(ncr_reply_t *reply, ncr_rests_t *rests,
    ncr_verdict_t *v);

/* requests: the envelope is put on, or made that of the account */

ncr_int_t ncr_assist_way(ncr_way_t *way);
ncr_int_t ncr_antigravity_way(ncr_way_t *way);

/* base URLs are written with "/v1internal" and without: without */
ncr_str_t ncr_assist_trim(ncr_str_t *base);

/* quotas, for ncr_oauth_t */

ncr_int_t ncr_assist_usage(ncr_oauth_talk_t *talk);
ncr_int_t ncr_assist_usage_read(ncr_str_t *body, ncr_limits_t *limits,
    char *meta, ncr_msec_t now);
ncr_int_t ncr_antigravity_usage(ncr_oauth_talk_t *talk);
ncr_int_t ncr_antigravity_usage_read(ncr_str_t *body, ncr_limits_t *limits,
    char *meta, ncr_msec_t now);

/* the text of a member of an object's first level, with its quotes; "" if
 * there is none, or it is no text */
ncr_str_t ncr_assist_member(ncr_str_t *object, const char *name);


/*
 * Answers freed of the envelope: {"response":X,"traceId":...} becomes X, byte
 * for byte, however it was cut; an event with "error" in place of "response"
 * keeps that.
 */

typedef enum {
    NCR_ASSIST_BODY = 0,                /* one JSON text */
    NCR_ASSIST_EVENTS,                  /* events stay events */
    NCR_ASSIST_ARRAY                    /* events become one array (C1) */
} ncr_assist_form_e;


typedef struct {
    ncr_json_t          json;
    ncr_char_t          keep[32];       /* of keys cut by a chunk */
    ncr_assist_form_e   form;
    uint64_t            fed;            /* of this text, before the chunk */
    uint64_t            from;           /* what is passed begins here */
    ncr_char_t         *chunk;
    ncr_translate_pt    write;
    void               *data;
    ncr_int_t           rc;             /* of write() */
    unsigned            state:2;        /* of the line */
    unsigned            matched:3;      /* bytes of "data:" */
    unsigned            cr:1;           /* the last byte was a CR */
    unsigned            text:1;         /* there was a data line */
    unsigned            shift:1;        /* the text is an array */
    unsigned            pick:2;         /* which member a value is of */
    unsigned            inside:1;
    unsigned            passed:1;       /* of this text */
    unsigned            any:1;          /* of all */
} ncr_assist_unwrap_t;


extern const ncr_translation_t  ncr_assist_body;
extern const ncr_translation_t  ncr_assist_events;
extern const ncr_translation_t  ncr_assist_array;

void ncr_assist_unwrap_init(ncr_assist_unwrap_t *u, ncr_assist_form_e form);
ncr_int_t ncr_assist_unwrap_feed(ncr_assist_unwrap_t *u, ncr_char_t *p,
    size_t len, ncr_translate_pt write, void *data);
ncr_int_t ncr_assist_unwrap_end(ncr_assist_unwrap_t *u,
    ncr_translate_pt write, void *data);


#endif /* _NCR_ASSIST_H_INCLUDED_ */
