
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Who may log in, what they are logged in by, and what they have done.  Part
 * of the store (ncr_store.h); the same rules hold.
 *
 * A person has the name of a user (kind "user"), whose keys are its own; who
 * only administers needs no such user.
 */


#ifndef _NCR_STORE_PERSON_H_INCLUDED_
#define _NCR_STORE_PERSON_H_INCLUDED_


#include "ncr_store.h"
#include "ncr_role.h"
#include "ncr_password.h"


#define NCR_STORE_EXTERNAL  128         /* "github:4711", with its NUL */
#define NCR_STORE_ADDRESS   64
#define NCR_STORE_AGENT     128
#define NCR_STORE_CSRF      33          /* hex */


typedef struct ncr_store_person_s {
    uint64_t      version;              /* for ETags */
    char          name[NCR_STORE_NAME];
    ncr_role_e    role;
    char          password[NCR_PASSWORD_TEXT];      /* a hash; "": none */
    char          external[NCR_STORE_EXTERNAL];     /* "": none */
    ncr_char_t    totp[NCR_TOTP_KEY];   /* sealed in the file */
    uint64_t      totp_step;            /* last one that was used */
    unsigned      enabled:1;
    unsigned      must_change:1;        /* the password, before all else */
    unsigned      has_totp:1;           /* and it is asked for */
    ncr_msec_t    created;
    ncr_msec_t    updated;
    ncr_msec_t    login;                /* the last one, 0: never */
} ncr_store_person_t;

typedef ncr_int_t (*ncr_store_person_pt)(void *data,
    ncr_store_person_t *person);

/* NCR_DECLINED: none.  external: found by that instead of the name */
ncr_int_t ncr_store_person_find(ncr_store_t *store, const char *name,
    ncr_store_person_t *person);
ncr_int_t ncr_store_person_external(ncr_store_t *store, const char *external,
    ncr_store_person_t *person);

/* by name, after this one ("": from the first) */
ncr_int_t ncr_store_people(ncr_store_t *store, const char *after,
    ncr_store_person_pt handler, void *data);

/*
 * All of the row as it is in *person but created; *version as in
 * ncr_store_put(), and never that of another one who had this name.  Of the
 * last enabled admin neither role nor "enabled" can be taken: NCR_DECLINED,
 * ncr_store_error() tells.  Sessions and tokens of a person that is disabled,
 * or has another password or role, end in the same transaction unless they
 * are of digest keep (or NULL); tokens stay if only the password changed.
 */
ncr_int_t ncr_store_person_put(ncr_store_t *store, ncr_store_person_t *person,
    uint64_t *version, const ncr_char_t *keep, ncr_msec_t now);
ncr_int_t ncr_store_person_remove(ncr_store_t *store, const char *name,
    uint64_t version, ncr_msec_t now);

/* version stays: a login has come to its end, by this step of TOTP or 0.
 * NCR_DECLINED: the step was used by somebody else a moment ago */
ncr_int_t ncr_store_person_login(ncr_store_t *store, const char *name,
    uint64_t step, ncr_msec_t now);


/*
 * A session (a cookie) or a token (for scripts): SHA-256 of what its owner
 * has, which is 256 random bits.
 */

typedef struct {
    ncr_char_t    digest[32];
    char          person[NCR_STORE_NAME];
    char          name[NCR_STORE_NAME]; /* of a token; "": a session */
    char          csrf[NCR_STORE_CSRF]; /* of a session */
    ncr_role_e    role;                 /* at most; a token may have less */
    ncr_msec_t    created;
    ncr_msec_t    used;
    ncr_msec_t    expires;              /* 0: never (tokens) */
    ncr_msec_t    idle;                 /* ms without use it lives; 0: any */
    char          address[NCR_STORE_ADDRESS];       /* it was made from */
    char          agent[NCR_STORE_AGENT];
} ncr_store_session_t;

typedef ncr_int_t (*ncr_store_session_pt)(void *data,
    ncr_store_session_t *session);

/*
 * Clears old ones away, and the oldest session of a person that has max of
 * them (0: any number).  NCR_DECLINED, ncr_store_error() tells: the person has
 * a token of this name or max of them, or is disabled or gone.
 */
ncr_int_t ncr_store_session_put(ncr_store_t *store,
    ncr_store_session_t *session, ncr_uint_t max, ncr_msec_t now);

/*
 * The session and its person; NCR_DECLINED: there is none, it is over, or its
 * person is disabled or gone.  Its use is noted, at most once a minute.
 */
ncr_int_t ncr_store_session_use(ncr_store_t *store, const ncr_char_t *digest,
    ncr_store_session_t *session, ncr_store_person_t *person, ncr_msec_t now);

/* of a person, or of all (NULL), newest first */
ncr_int_t ncr_store_sessions(ncr_store_t *store, const char *person,
    ncr_store_session_pt handler, void *data);

/* one by its digest, a token, too; all of a person but keep (NULL: none) and
 * its tokens; a token by name; NCR_DECLINED: there was none */
ncr_int_t ncr_store_session_end(ncr_store_t *store, const ncr_char_t *digest);
ncr_int_t ncr_store_session_end_all(ncr_store_t *store, const char *person,
    const ncr_char_t *keep);
ncr_int_t ncr_store_token_end(ncr_store_t *store, const char *person,
    const char *name);


/*
 * The trail: what somebody has done, before and after as JSON without
 * secrets.  Each row has the hash of the one before it in its own, so that
 * nothing can be taken out unnoticed.
 */

typedef struct {
    uint64_t      number;               /* from 1, without gaps */
    ncr_msec_t    time;
    char         *who;                  /* "admin alice", "user 0" (uid) */
    char         *role;
    char         *address;
    char         *method;
    char         *path;
    ncr_uint_t    status;
    char         *before;               /* JSON, or "" */
    char         *after;
    char          hash[65];             /* hex */
} ncr_store_action_t;

typedef ncr_int_t (*ncr_store_action_pt)(void *data,
    ncr_store_action_t *action);

/* NULL texts are ""; sets number and hash */
ncr_int_t ncr_store_action_add(ncr_store_t *store,
    ncr_store_action_t *action);

/*
 * Newest first, below this number (0: from the newest); times: 0 is any; who,
 * path: NULL, or a prefix.  NCR_DONE of the handler is the end, too.
 *
 * Looks at so many rows at most (0: at all), and sets *below to the last one
 * it has looked at if that was not all: NCR_AGAIN.
 */
ncr_int_t ncr_store_actions(ncr_store_t *store, uint64_t *below,
    ncr_msec_t from, ncr_msec_t until, const char *who, const char *path,
    ncr_uint_t rows, ncr_store_action_pt handler, void *data);

/* NCR_OK: all hashes fit; NCR_DECLINED: *number is the first that does not */
ncr_int_t ncr_store_actions_check(ncr_store_t *store, uint64_t *number);

/* the same in pieces of max rows, from a chain of zeros on; NCR_AGAIN: that
 * was not all, chain->number is the last that was looked at */

typedef struct {
    uint64_t      number;
    char          hash[65];
} ncr_store_chain_t;

ncr_int_t ncr_store_actions_check_some(ncr_store_t *store,
    ncr_store_chain_t *chain, ncr_uint_t max);


#endif /* _NCR_STORE_PERSON_H_INCLUDED_ */
