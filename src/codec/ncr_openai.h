
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The dialect of OpenAI, Chat Completions and Responses alike, observing
 * side: what a relay must know of a request, a stream and an answer while
 * their bytes pass by.  Facts: protocols/others.md A2 to A8, A15.
 */


#ifndef _NCR_OPENAI_H_INCLUDED_
#define _NCR_OPENAI_H_INCLUDED_


#include "ncr_codec.h"
#include "ncr_codec_request.h"
#include "ncr_json.h"
#include "ncr_sse.h"


/* names of top-level members, for ncr_members_*() */

typedef enum {
    NCR_OPENAI_OTHER = 0,
    NCR_OPENAI_MODEL,
    NCR_OPENAI_INPUT,
    NCR_OPENAI_MESSAGES,
    NCR_OPENAI_INSTRUCTIONS,
    NCR_OPENAI_STREAM,
    NCR_OPENAI_STREAM_OPTIONS,
    NCR_OPENAI_STORE,
    NCR_OPENAI_INCLUDE,
    NCR_OPENAI_TOOLS,
    NCR_OPENAI_TOOL_CHOICE,
    NCR_OPENAI_PARALLEL_TOOL_CALLS,
    NCR_OPENAI_REASONING,
    NCR_OPENAI_REASONING_EFFORT,
    NCR_OPENAI_MAX_TOKENS,
    NCR_OPENAI_MAX_COMPLETION_TOKENS,
    NCR_OPENAI_MAX_OUTPUT_TOKENS,
    NCR_OPENAI_MAX_TOOL_CALLS,
    NCR_OPENAI_TEMPERATURE,
    NCR_OPENAI_TOP_P,
    NCR_OPENAI_TOP_LOGPROBS,
    NCR_OPENAI_USER,
    NCR_OPENAI_METADATA,
    NCR_OPENAI_PREVIOUS_RESPONSE_ID,
    NCR_OPENAI_CONVERSATION,
    NCR_OPENAI_CONVERSATION_ID,
    NCR_OPENAI_SESSION_ID,
    NCR_OPENAI_TRUNCATION,
    NCR_OPENAI_SAFETY_IDENTIFIER,
    NCR_OPENAI_PROMPT,
    NCR_OPENAI_PROMPT_CACHE_KEY,
    NCR_OPENAI_PROMPT_CACHE_RETENTION,
    NCR_OPENAI_PROMPT_CACHE_OPTIONS,
    NCR_OPENAI_GENERATE,
    NCR_OPENAI_SERVICE_TIER,
    NCR_OPENAI_TEXT,
    NCR_OPENAI_CLIENT_METADATA,
    NCR_OPENAI_TYPE,
    NCR_OPENAI_STREAM_ID,
    NCR_OPENAI_BACKGROUND,
    NCR_OPENAI_CONTEXT_MANAGEMENT,
    NCR_OPENAI_MODERATION,
    NCR_OPENAI_NAMES
} ncr_openai_member_e;

#define ncr_openai_bit(name)  ((uint64_t) 1 << (name))


/*
 * The request body, fed as it arrives.
 *
 * told.session is the session by A15: prompt_cache_key, session_id of
 * client_metadata, session_id, conversation_id; told.digest else: of
 * instructions, and of the text of messages or input up to the first one that
 * a user has, each at most half of NCR_OPENAI_HASHED bytes.  told.previous is
 * previous_response_id or conversation, which lie with one account, and
 * told.thread a response that will, unless "store" is false (A4).
 * told.members are valid as long as the reader is.
 */

#define NCR_OPENAI_HASHED    (64 * 1024)
#define NCR_OPENAI_SESSION   512

typedef struct {
    ncr_request_t   told;

    /*
     * A body of Responses on the path of Chat, as Cursor sends them (G3):
     * there is "input" and no "messages"
     */
    unsigned        misplaced:1;

    /* private */

    unsigned        require_model:1;
    unsigned        conversing:1;       /* its messages make a session */
    unsigned        unstored:1;         /* "store" is false */
    unsigned        user:1;             /* the open message is a user's */
    unsigned        role:1;             /* the open key is "role" */
    unsigned        inner:1;            /* the open key is the one wanted */
    unsigned        has_instructions:1;
    unsigned        has_message:1;
    ncr_op_e        op;
    ncr_uint_t      top;                /* the open top-level key */
    ncr_uint_t      rank;               /* of the session */
    ncr_prefix_t    prefix;
    uint64_t        key;                /* where the open one begins */

    ncr_json_t      json;

    /* what needs no value before it has one */

    ncr_keys_t      keys;
    ncr_members_t   members;
    ncr_char_t      instructions_digest[NCR_SHA256_LEN];
    ncr_char_t      message_digest[NCR_SHA256_LEN];
    ncr_char_t      model_buf[NCR_MODEL_LEN];
    ncr_char_t      session_buf[NCR_OPENAI_SESSION];
    ncr_char_t      keep[NCR_JSON_TEXT];
} ncr_openai_request_t;


/* plain is a created context, or NULL if the session is known already */
void ncr_openai_request_init(ncr_openai_request_t *req, ncr_sha256_t *plain,
    ncr_op_e op);

/* NCR_OK or NCR_BAD */
ncr_int_t ncr_openai_request_feed(ncr_openai_request_t *req, ncr_char_t *p,
    size_t len);
ncr_int_t ncr_openai_request_final(ncr_openai_request_t *req);

/* the message for NCR_BAD, into buf; returns it as a slice */
ncr_str_t ncr_openai_request_error(ncr_openai_request_t *req, char *buf,
    size_t size);

/* the number of a top-level member's name */
ncr_openai_member_e ncr_openai_member(ncr_str_t *name);


/* an answer: stream or JSON, fed as it passes; A3, A5, A6 */

#define NCR_OPENAI_KEEP      300        /* the longest text looked at */
#define NCR_OPENAI_PATH      6

typedef enum {
    NCR_OPENAI_IN = 0,
    NCR_OPENAI_OUT,
    NCR_OPENAI_CACHED,
    NCR_OPENAI_CACHE_WRITE,
    NCR_OPENAI_THOUGHT,
    NCR_OPENAI_COUNTS
} ncr_openai_count_e;


/* what one event or body said, whatever the order of its members */

typedef struct {
    ncr_uint_t    path[NCR_OPENAI_PATH];        /* the open key by depth */
    unsigned      counted:1;            /* it has a usage */
    unsigned      choice:1;             /* a choice at least */
    unsigned      failed:1;             /* an error of the answer itself */
    unsigned      typed:1;
    uint64_t      count[NCR_OPENAI_COUNTS];
    char          type[48];
    char          id[NCR_ID];
    char          model[NCR_MODEL_LEN];
    char          service_tier[16];
    char          status[24];           /* of a response */
    char          stop_reason[40];
    char          error_type[48];
    char          error_code[48];
    char          error_message[256];
} ncr_openai_seen_t;


typedef struct {
    ncr_answer_t  told;

    /* private */

    unsigned      reading:1;            /* an event or body has begun */
    unsigned      done:1;               /* "[DONE]" was seen, A3 */
    ncr_op_e      op;
    ncr_sse_t     sse;
    ncr_json_t    json;
    ncr_openai_seen_t  seen;
    ncr_char_t    keep[NCR_OPENAI_KEEP];
} ncr_openai_answer_t;


void ncr_openai_answer_init(ncr_openai_answer_t *a, ncr_op_e op);

/* bytes of a text/event-stream body, of a JSON body */
void ncr_openai_stream_feed(ncr_openai_answer_t *a, ncr_char_t *p,
    size_t len);
void ncr_openai_body_feed(ncr_openai_answer_t *a, ncr_char_t *p, size_t len);

/*
 * An event that comes without its stream, as a message of a WebSocket (A7):
 * its JSON in pieces, and its end.
 */
void ncr_openai_event_feed(ncr_openai_answer_t *a, ncr_char_t *p, size_t len);
void ncr_openai_event_end(ncr_openai_answer_t *a);


/*
 * Errors of our own, A8: {"error":{"message","type","param":null,"code"}},
 * type and code follow the status.  An event of Chat is data alone, one of
 * Responses has a name and its members on top (A6).
 */
void ncr_openai_error(ncr_out_t *out, ncr_uint_t status, ncr_str_t *message);
void ncr_openai_error_chat(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message);
void ncr_openai_error_responses(ncr_out_t *out, ncr_uint_t status,
    ncr_str_t *message, uint64_t number);


/* all of it, for who need not know more */
extern const ncr_codec_t  ncr_codec_openai;


#endif /* _NCR_OPENAI_H_INCLUDED_ */
