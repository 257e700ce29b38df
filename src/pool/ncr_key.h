
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What a key may do, and what its user and its group may: one flat record
 * each, without pointers, so that it can lie in shared memory and be copied
 * with memcpy().  Pure: address, clock and headers are arguments.
 */


#ifndef _NCR_KEY_H_INCLUDED_
#define _NCR_KEY_H_INCLUDED_


#include "ncr_limit.h"
#include "ncr_hash.h"


#define NCR_KEY_NAME      64            /* with its NUL */
#define NCR_KEY_LIMITS    16
#define NCR_KEY_MAX       16384         /* bytes of a record */
#define NCR_KEY_SECRET    67            /* of the relay's own: "cr_", 64 hex */


/* services, a bit each; 0 in a key: all of them (FEATURES F046) */
#define NCR_SERVICE_CLAUDE   0x01
#define NCR_SERVICE_GEMINI   0x02
#define NCR_SERVICE_OPENAI   0x04
#define NCR_SERVICE_DROID    0x08

/* known clients, a bit each (F053; protocols/anthropic.md B.6, SEEDS 1.4.4) */
#define NCR_CLIENT_CLAUDE_CODE  0x01
#define NCR_CLIENT_GEMINI_CLI   0x02
#define NCR_CLIENT_CODEX_CLI    0x04
#define NCR_CLIENT_DROID_CLI    0x08


/* a part of the record, which is smaller than 64 KB; a list is pairs of a
 * length of two bytes, the low one first, and so many bytes */

typedef struct {
    uint16_t      offset;
    uint16_t      len;
} ncr_slice_t;


/* where a slot's requests go; "" leaves it as it is */

typedef struct {
    ncr_slice_t   platform;
    ncr_slice_t   model;
    ncr_slice_t   effort;
} ncr_key_slot_t;

#define NCR_SLOT_OPUS     0
#define NCR_SLOT_SONNET   1
#define NCR_SLOT_HAIKU    2
#define NCR_SLOTS         3


typedef struct {
    uint32_t      size;                 /* of all of it */
    uint8_t       scope;                /* ncr_scope_e: KEY, USER, GROUP */
    uint8_t       enabled;
    uint8_t       conf;                 /* a block of nginx.conf */
    uint8_t       fallback;             /* account is only preferred */
    uint64_t      id;                   /* never another one's */
    uint64_t      seq;                  /* of the store's row */
    ncr_char_t    digest[NCR_SHA256_LEN];   /* of a key's secret */

    ncr_msec_t    created;
    ncr_msec_t    expires;              /* 0 = never */
    ncr_msec_t    valid_for;            /* 0, or: from the first use */
    ncr_msec_t    activated;            /* the first use, or 0 */

    uint32_t      services;
    uint32_t      clients;
    uint32_t      nlimits;
    uint32_t      deleted;              /* it is refused, and may come back */

    ncr_slice_t   name;
    ncr_slice_t   user;                 /* names of its owners, or "" */
    ncr_slice_t   group;
    ncr_slice_t   pool;
    ncr_slice_t   account;              /* bound to it */
    ncr_slice_t   models;               /* lists of globs */
    ncr_slice_t   denied;
    ncr_slice_t   agents;               /* list of globs of a User-Agent */
    ncr_slice_t   addresses;            /* list, packed: see ncr_key_cidr() */
    ncr_slice_t   rates;                /* list: "platform=1500", permille */
    ncr_key_slot_t  slots[NCR_SLOTS];

    ncr_limit_t   limits[];             /* nlimits; then the texts */
} ncr_key_t;


/* a text of the record */

static inline ncr_str_t
ncr_key_text(const ncr_key_t *key, ncr_slice_t slice)
{
    ncr_str_t  text;

    text.len = slice.len;
    text.data = (ncr_char_t *) (uintptr_t) key + slice.offset;

    return text;
}

/* the next of a list: *pos is 0 at first; NCR_DONE after the last */
ncr_int_t ncr_key_next(const ncr_key_t *key, ncr_slice_t list,
    uint32_t *pos, ncr_str_t *item);


/* making one: all texts are copied, into a buffer of NCR_KEY_MAX bytes that
 * is aligned as malloc() does; a ncr_key_room_t is */

typedef union {
    ncr_key_t     key;
    ncr_char_t    buf[NCR_KEY_MAX];
} ncr_key_room_t;

typedef struct {
    ncr_key_t    *key;
    ncr_char_t   *buf;
    size_t        size;                 /* used */
    unsigned      overflow:1;
} ncr_key_build_t;

void ncr_key_begin(ncr_key_build_t *b, ncr_char_t *buf, ncr_scope_e scope);
/* all limits come before the first text; NCR_DECLINED: there are too many,
 * or there is a text already */
ncr_int_t ncr_key_limit(ncr_key_build_t *b, ncr_limit_t *limit);
void ncr_key_put(ncr_key_build_t *b, ncr_slice_t *slice, ncr_str_t *text);
/* items of one list are put one after the other, with nothing between */
void ncr_key_add(ncr_key_build_t *b, ncr_slice_t *list, ncr_str_t *item);
/* NCR_OK, buf is a record of key->size bytes, a multiple of eight;
 * NCR_DECLINED: too large */
ncr_int_t ncr_key_end(ncr_key_build_t *b);

/* "10.0.0.0/8", "::1": 17 bytes, address (v4 mapped, bits that do not count
 * are zero) and prefix length; NCR_BAD: it is neither */
#define NCR_KEY_CIDR   17
ncr_int_t ncr_key_cidr(ncr_str_t *text, ncr_char_t *dst);

/* names of services and clients: a bit, or 0; "all": all of them */
uint32_t ncr_key_service(ncr_str_t *name);
uint32_t ncr_key_client(ncr_str_t *name);

/* the name of the lowest bit, "" if there is none */
const char *ncr_key_service_name(uint32_t bits);
const char *ncr_key_client_name(uint32_t bits);


/*
 * Which known clients a request looks like, as bits, by its path and headers
 * alone (SEEDS 1.4.4): whoever wants to look like one can.  Texts may be "".
 */

typedef struct {
    ncr_str_t     path;                 /* as the client has sent it */
    ncr_str_t     agent;                /* User-Agent */
    ncr_str_t     app;                  /* x-app */
    ncr_str_t     beta;                 /* anthropic-beta */
    ncr_str_t     version;              /* anthropic-version */
    ncr_str_t     originator;
    ncr_str_t     session;              /* session_id */
    ncr_str_t     factory;              /* x-factory-client */
} ncr_key_signs_t;

uint32_t ncr_key_recognize(ncr_key_signs_t *signs);


/* what is known of a request; texts may be "" */

typedef struct {
    ncr_msec_t    now;
    uint32_t      service;              /* one bit, by the route */
    ncr_char_t    address[16];          /* v4 mapped */
    ncr_str_t     agent;                /* User-Agent */
    uint32_t      client;               /* bits, see ncr_key_recognize() */
} ncr_key_request_t;


typedef enum {
    NCR_KEY_OK = 0,
    NCR_KEY_DISABLED,                   /* 401 */
    NCR_KEY_EXPIRED,                    /* 401 */
    NCR_KEY_SERVICE,                    /* 403 from here on */
    NCR_KEY_CLIENT,
    NCR_KEY_ADDRESS,
    NCR_KEY_MODEL
} ncr_key_why_e;

/* all but the model; for users and groups, too (enabled only) */
ncr_key_why_e ncr_key_check(const ncr_key_t *key, ncr_key_request_t *req);
/* "" is the model of what names none */
ncr_key_why_e ncr_key_check_model(const ncr_key_t *key, ncr_str_t *model);

/* when it ends, or 0: expires, or the end of valid_for if it has begun */
ncr_msec_t ncr_key_ends(const ncr_key_t *key);

/* permille; 1000 if the key has no rate for it, or there is no key */
ncr_uint_t ncr_key_rate(const ncr_key_t *key, ncr_str_t *platform);

/* NCR_SLOT_... of a model's name: "opus", "haiku" in it, else sonnet; -1 if
 * it is no Claude model */
ncr_int_t ncr_key_slot(ncr_str_t *model);


#endif /* _NCR_KEY_H_INCLUDED_ */
