
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Parts of AWS's platforms (anthropic.md I): the names of models there,
 * streams of theirs as the client's, and the dialect itself for those who
 * speak it.
 */


#ifndef _NCR_BEDROCK_H_INCLUDED_
#define _NCR_BEDROCK_H_INCLUDED_


#include "ncr_anthropic.h"
#include "ncr_eventstream.h"
#include "ncr_json.h"
#include "ncr_way.h"


/* modelId has 2048 characters at most (I.2); ours are kept shorter */
#define NCR_BEDROCK_ID       512

/* of a type of event */
#define NCR_BEDROCK_TYPE     48

/* "event: TYPE\ndata: " in front of an event */
#define NCR_BEDROCK_LEAD     (NCR_BEDROCK_TYPE + 16)


/*
 * The model of "us.anthropic.claude-opus-4-5-20251101-v1:0" or of an ARN of
 * it, as the first party calls it; a slice of id.
 */
ncr_str_t ncr_bedrock_bare(ncr_str_t *id);

/*
 * The other way (I.3): prefix is "us", "global" and the like, or "none"; what
 * is an id already stays.  NCR_BAD: no name that could go into a path.
 */
ncr_int_t ncr_bedrock_id(ncr_out_t *out, ncr_str_t *model, ncr_str_t *prefix);

/* the id of the foundation model, as it is without a prefix of a profile */
ncr_str_t ncr_bedrock_foundation(ncr_str_t *id);


/* the first party's status for what an exception stands for (I.6); 0: it is
 * not known */
ncr_uint_t ncr_bedrock_exception(ncr_str_t *name);


/*
 * An event stream as the text/event-stream of the Messages API.  An event is
 * held until its checksum was seen, if there is room for it; a longer one
 * goes out as it comes.  write() gets pieces; whole events, for the most part.
 */

typedef struct {
    ncr_translate_pt   write;
    void              *data;
    ncr_char_t        *buf;             /* NCR_BEDROCK_LEAD in front */
    size_t             size;

    /* private */

    size_t             n;               /* bytes of the event in buf */
    ncr_uint_t         state;           /* in the payload's JSON */
    ncr_uint_t         depth;
    ncr_uint_t         nname;
    ncr_uint_t         type_len;
    uint32_t           bits;            /* of base64 */
    ncr_uint_t         nbits;
    unsigned           quoted:1;        /* in a string that is skipped */
    unsigned           escaped:1;
    unsigned           chunk:1;         /* the message is an event */
    unsigned           told:1;          /* it had bytes */
    unsigned           padded:1;
    unsigned           open:1;          /* its beginning went out */
    unsigned           named:1;         /* with its name */
    unsigned           done:1;          /* an error was the last word */
    unsigned           is_type:1;       /* the event's open key */
    unsigned           is_metrics:1;
    uint64_t           last;            /* in it: the end of a value */
    uint64_t           key;
    uint64_t           start;           /* what is to be left out */
    uint64_t           end;
    char               name[8];
    char               type[NCR_BEDROCK_TYPE];
    ncr_char_t         keep[64];
    ncr_json_t         json;            /* of what is open */
    ncr_eventstream_t  es;
} ncr_bedrock_events_t;


void ncr_bedrock_events_init(ncr_bedrock_events_t *ev, ncr_char_t *buf,
    size_t size, ncr_translate_pt write, void *data);
ncr_int_t ncr_bedrock_events_feed(ncr_bedrock_events_t *ev, ncr_char_t *p,
    size_t len);


/* base64 as the standard has it, with padding (RFC 4648, section 4) */
#define ncr_bedrock_base64_len(len)  (((len) + 2) / 3 * 4)
ncr_char_t *ncr_bedrock_base64(ncr_char_t *dst, const ncr_char_t *src,
    size_t len);


/* answers of the runtime, for clients of the Messages API */
extern const ncr_translation_t  ncr_bedrock_translation;


/*
 * The dialect of those who speak it themselves: bodies are those of the
 * Messages API, streams are frames, errors are AWS's.  A stream needs memory
 * that other answers do without, so it is lent.
 */

#define NCR_BEDROCK_HELD     1024

typedef struct {
    ncr_bedrock_events_t  events;
    ncr_char_t            buf[NCR_BEDROCK_LEAD + NCR_BEDROCK_HELD + 2];
} ncr_bedrock_frames_t;


typedef struct {
    ncr_anthropic_lender_t   anthropic;     /* first: it stands for both */
    ncr_bedrock_frames_t  *(*take)(void);
    void                   (*give)(ncr_bedrock_frames_t *frames);
} ncr_bedrock_lender_t;


typedef struct {
    ncr_anthropic_answer_t   anthropic;     /* first, as its own first is */

    const ncr_bedrock_lender_t  *lender;
    ncr_bedrock_frames_t    *frames;        /* lent, or NULL */
    unsigned                 broken:1;
} ncr_bedrock_answer_t;


extern const ncr_codec_t  ncr_codec_bedrock;


#endif /* _NCR_BEDROCK_H_INCLUDED_ */
