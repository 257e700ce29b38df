
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The Gemini dialect, observing side: the plain API and the envelope that
 * Code Assist puts around it.  Facts: protocols/others.md C1 to C6.
 */


#ifndef _NCR_GEMINI_H_INCLUDED_
#define _NCR_GEMINI_H_INCLUDED_


#include "ncr_codec.h"
#include "ncr_codec_request.h"
#include "ncr_json.h"
#include "ncr_sse.h"


/*
 * Names of members, for edits.  Both spellings of proto-JSON are one name:
 * "systemInstruction" and "system_instruction".  A name that is none of these
 * is NCR_GEMINI_OTHER.
 */

typedef enum {
    NCR_GEMINI_OTHER = 0,

    /* of the envelope (C6, C7) */

    NCR_GEMINI_MODEL,                   /* of an embedding's request, too */
    NCR_GEMINI_PROJECT,
    NCR_GEMINI_USER_PROMPT_ID,
    NCR_GEMINI_REQUEST,
    NCR_GEMINI_REQUEST_ID,
    NCR_GEMINI_REQUEST_TYPE,
    NCR_GEMINI_USER_AGENT,
    NCR_GEMINI_CREDIT_TYPES,

    /* of the request itself (C2) */

    NCR_GEMINI_CONTENTS,
    NCR_GEMINI_SYSTEM,
    NCR_GEMINI_TOOLS,
    NCR_GEMINI_TOOL_CONFIG,
    NCR_GEMINI_GENERATION_CONFIG,
    NCR_GEMINI_SAFETY_SETTINGS,
    NCR_GEMINI_CACHED_CONTENT,
    NCR_GEMINI_LABELS,
    NCR_GEMINI_SESSION_ID,
    NCR_GEMINI_GENERATE_REQUEST,        /* of countTokens */
    NCR_GEMINI_MAX_TOKENS,              /* inside of generationConfig */
    NCR_GEMINI_NAMES
} ncr_gemini_name_e;


/* lists of members: of the body, and of its "request" if it is an envelope */

#define NCR_GEMINI_BODY      0
#define NCR_GEMINI_INNER     1
#define NCR_GEMINI_LISTS     2

#define NCR_GEMINI_SESSION   256

/* of the system instruction, and of the first content */
#define NCR_GEMINI_HASHED    (32 * 1024)


/*
 * told.model is that of an envelope, else "": the path has it then.
 * told.session is session_id or sessionId of the request in an envelope,
 * before any header.  told.digest is that of the system instruction and the
 * first of contents, as they are written.  told.members are two lists if told.
 * lists says so.
 */

typedef struct {
    ncr_request_t   told;
    unsigned        envelope:1;         /* "request" is an object */

    ncr_members_t   members[NCR_GEMINI_LISTS];

    ncr_json_t      json;

    /* private */

    ncr_prefix_t    prefix;
    ncr_uint_t      names[4];           /* the open key at each depth */
    ncr_uint_t      known[3];           /* a bit for each name at a depth */
    const char     *again;              /* which name was told twice */
    unsigned        has_system:1;
    unsigned        has_content:1;
    unsigned        first_done:1;
    uint64_t        model_start;
    uint64_t        model_end;
    size_t          nmodel;
    ncr_char_t      system_digest[NCR_SHA256_LEN];
    ncr_char_t      content_digest[NCR_SHA256_LEN];
    ncr_char_t      model_buf[NCR_MODEL_LEN];
    ncr_char_t      session_buf[NCR_GEMINI_SESSION];
    ncr_char_t      keep[NCR_JSON_TEXT];
} ncr_gemini_request_t;


/* stream: streamGenerateContent; sha is a created context, or NULL */
void ncr_gemini_request_init(ncr_gemini_request_t *req, ncr_sha256_t *sha,
    ncr_uint_t stream);

/* NCR_OK or NCR_BAD */
ncr_int_t ncr_gemini_request_feed(ncr_gemini_request_t *req, ncr_char_t *p,
    size_t len);
ncr_int_t ncr_gemini_request_final(ncr_gemini_request_t *req);

/* the message for NCR_BAD, into buf; returns it as a slice */
ncr_str_t ncr_gemini_request_error(ncr_gemini_request_t *req, char *buf,
    size_t size);

/* of a key, without its quotes and escapes */
ncr_gemini_name_e ncr_gemini_name(ncr_str_t *name);


/*
 * An answer: a stream of events, a JSON array of what would be events, or one
 * of them; each in an envelope or not.
 *
 * A stream has no last event (C3): it is COMPLETE once a candidate has its
 * finishReason, or a prompt was blocked, and what follows is usage at most.
 * One that ends without either is whole if its framing says so, which is for
 * the glue to know (ncr_codec_t, open_end).
 */

#define NCR_GEMINI_TEXT      512        /* the longest text looked at */

/* counters of usageMetadata; those not told are not in the mask */

typedef enum {
    NCR_GEMINI_PROMPT = 0,
    NCR_GEMINI_CACHED,
    NCR_GEMINI_CANDIDATES,
    NCR_GEMINI_THOUGHTS,
    NCR_GEMINI_TOOL_USE,
    NCR_GEMINI_TOTAL,
    NCR_GEMINI_COUNTS
} ncr_gemini_count_e;


typedef struct {
    ncr_answer_t  told;

    /* private */

    unsigned      reading:1;            /* a JSON text has begun */
    unsigned      whole:1;              /* a body's last brace was seen */
    ncr_uint_t    shift;                /* 1: elements of an array */
    ncr_uint_t    counted;              /* bit mask of counts */
    ncr_uint_t    words[8];             /* the open key at each depth */
    uint64_t      counts[NCR_GEMINI_COUNTS];
    int64_t       error_code;
    ncr_sse_t     sse;
    ncr_json_t    json;
    ncr_char_t    keep[NCR_GEMINI_TEXT];
} ncr_gemini_answer_t;


void ncr_gemini_answer_init(ncr_gemini_answer_t *a);

/* bytes of a text/event-stream body; what cannot be read is passed over */
void ncr_gemini_stream_feed(ncr_gemini_answer_t *a, ncr_char_t *p,
    size_t len);

/* bytes of a JSON body: an object, or an array of them */
void ncr_gemini_body_feed(ncr_gemini_answer_t *a, ncr_char_t *p, size_t len);

/* 1 if the stream is between two events */
ncr_uint_t ncr_gemini_boundary(ncr_gemini_answer_t *a);


/*
 * Errors of our own: {"error":{"code","message","status","details"}} (C4);
 * the request's id is a google.rpc.RequestInfo.
 */
void ncr_gemini_error(ncr_out_t *out, ncr_uint_t status, ncr_str_t *message,
    ncr_str_t *request_id);
void ncr_gemini_error_event(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, ncr_str_t *request_id);

/* "RESOURCE_EXHAUSTED" of 429, and back; 0: not such a name */
const char *ncr_gemini_status_name(ncr_uint_t status);
ncr_uint_t ncr_gemini_status(ncr_str_t *name);


/* all of it, for who need not know more */
extern const ncr_codec_t  ncr_codec_gemini;


#endif /* _NCR_GEMINI_H_INCLUDED_ */
