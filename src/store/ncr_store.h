
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What must outlive every process: accounts, their tokens, logins that are
 * under way.  SQLite in WAL mode, every change synced before its function
 * returns, secrets sealed.
 *
 * All of these block, and are never called on an event loop: the glue has a
 * thread for them, and the master uses them while it reads its configuration.
 * A handle belongs to one thread at a time, and is never carried over a fork.
 * Several processes may have the same file open.
 *
 * Unlike the floors below, this one allocates, with malloc(): what it fills
 * is released with the function that stands beside it.
 */


#ifndef _NCR_STORE_H_INCLUDED_
#define _NCR_STORE_H_INCLUDED_


#include "ncr_base.h"
#include "ncr_seal.h"


#define NCR_STORE_NAME    64            /* of an account, with its NUL */
#define NCR_STORE_ERROR   256

/* beside NCR_OK, NCR_ERROR (see ncr_store_error()) and NCR_DECLINED */
#define NCR_STORE_GONE    -20           /* the file was deleted or replaced */
#define NCR_STORE_KEY     -21           /* it is sealed under another key */


typedef struct ncr_store_s  ncr_store_t;


typedef struct {
    const char   *path;
    ncr_str_t     key;                  /* a key file's contents, or */
    ncr_str_t     passphrase;           /* this one, if key.data is NULL */
    int           busy;                 /* ms to wait for other writers */
    unsigned      create:1;             /* if there is no file yet */
    unsigned      readonly:1;           /* for a look: nothing is changed */
} ncr_store_options_t;


/*
 * One account.  Texts are NUL terminated and never NULL ("" if there is
 * none), those of NULL in an argument mean: as it is.  Times are
 * milliseconds since the epoch, 0 = none.
 */

typedef struct {
    uint64_t      id;                   /* never used for another account */
    uint64_t      seq;                  /* of the last change of the row */
    char          name[NCR_STORE_NAME];
    unsigned      conf:1;               /* a block of nginx.conf; only its
                                           tokens are kept here */
    unsigned      removed:1;            /* a tombstone, no secrets */

    /* the operator's part; changed by ncr_store_put() */

    uint64_t      version;              /* raised by each put, for ETags */
    char         *settings;             /* a JSON object, no secrets */
    char         *secret;               /* API key; sealed in the file */
    char         *proxy;                /* URL with password; sealed, too */
    ncr_msec_t    created;
    ncr_msec_t    updated;

    /* the provider's part; changed by ncr_store_tokens() and the like */

    uint64_t      tokens;               /* version of them, 0 = never had any */
    char         *access;               /* sealed in the file */
    char         *refresh;              /* sealed, "" for setup tokens */
    ncr_msec_t    expires;              /* of access, 0 = not known */
    ncr_msec_t    granted;              /* of the login they come from */
    char         *scopes;
    char         *meta;                 /* JSON: email, organization, plan... */
    ncr_msec_t    pending;              /* a refresh was begun then */
    ncr_msec_t    failed;               /* needs a login since then */
    char         *reason;               /* of that */
    uint64_t      fence;                /* of the refresh that has brought
                                           them, in a fleet; 0: of none */
    char         *holder;               /* the node that has made them; "":
                                           this one */
} ncr_store_account_t;


/*
 * Called for each row; the row is the callee's to copy from, not to keep.  It
 * calls nothing of the same handle.
 */
typedef ncr_int_t (*ncr_store_row_pt)(void *data, ncr_store_account_t *row);


/*
 * NCR_OK; NCR_STORE_KEY: another key, nothing was touched; NCR_ERROR; error
 * (NCR_STORE_ERROR bytes) has a message for the operator that names the file
 * and holds no secret.  Migrates older schemas; a newer one is an error.  A
 * file that is made is of mode 0600, and belongs to the owner of its
 * directory if this process is root.
 */
ncr_int_t ncr_store_open(ncr_store_options_t *options, ncr_store_t **store,
    char *error);
void ncr_store_close(ncr_store_t *store);

/* of the last function that failed */
const char *ncr_store_error(ncr_store_t *store);

/*
 * NCR_OK: somebody, perhaps this handle, has changed something since the
 * last call, or this is the first one; NCR_DECLINED: nobody; NCR_STORE_GONE:
 * the path leads to another file or to none, open it anew; NCR_ERROR.  Cheap
 * enough for every second.
 */
ncr_int_t ncr_store_changed(ncr_store_t *store);

/*
 * Every row with seq > *seq, tombstones too, in the order of seq, which then
 * is the highest one.  Stops if handler does not return NCR_OK, and returns
 * what it returned.
 */
ncr_int_t ncr_store_load(ncr_store_t *store, uint64_t *seq,
    ncr_store_row_pt handler, void *data);

/* one account into row (release it with ..._row_free()), or NCR_DECLINED */
ncr_int_t ncr_store_find(ncr_store_t *store, const char *name,
    ncr_store_account_t *row);
void ncr_store_row_free(ncr_store_account_t *row);

/*
 * Makes or changes the operator's part: row's name, settings, secret, proxy
 * (NULL: as it is).  *version 0: it must be new; UINT64_MAX: whatever is
 * there; else it must still have this version.  NCR_DECLINED if that does not
 * hold, or the name is an account of nginx.conf and row->conf is not set:
 * ncr_store_error() tells which.  A name that was removed is made anew with
 * another id, its version goes on.  Sets *version and row->id, row->seq,
 * row->version.
 */
ncr_int_t ncr_store_put(ncr_store_t *store, ncr_store_account_t *row,
    uint64_t *version, ncr_msec_t now);

/*
 * Leaves a tombstone; accounts of nginx.conf, too.  NCR_DECLINED: none, or of
 * another version; UINT64_MAX: whatever is there.  The versions of both parts
 * are raised, so that a removal is newer than what it removes.
 */
ncr_int_t ncr_store_remove(ncr_store_t *store, const char *name,
    uint64_t version, ncr_msec_t now);

/*
 * A row for an account of nginx.conf, if there is none yet; sets *id.
 * NCR_DECLINED: the name is an account of the store.
 */
ncr_int_t ncr_store_adopt(ncr_store_t *store, const char *name,
    uint64_t *id, ncr_msec_t now);

/*
 * New tokens: access, refresh (NULL: keep the old one), expires, granted (0:
 * as it is), scopes and meta (NULL: as they are); clears pending, failed and
 * reason, raises row->tokens.  If have is not UINT64_MAX, only if the tokens
 * are still of this version: NCR_DECLINED if not, or if there is no such
 * account.  row->fence and ->holder (NULL: this node) go with them.  Sets
 * row->tokens, ->seq, ->id.
 */
ncr_int_t ncr_store_tokens(ncr_store_t *store, ncr_store_account_t *row,
    uint64_t have, ncr_msec_t now);

/*
 * A refresh begins: what must be known before the old refresh token is shown
 * to anybody is that the store can be written.  Into *row (release it) goes
 * the account as it is now, with row->pending as it was BEFORE: not 0 if an
 * earlier refresh never ended.  If its tokens are newer than have, nothing is
 * written and NCR_DONE returned.  NCR_DECLINED: no such account.
 */
ncr_int_t ncr_store_begin(ncr_store_t *store, const char *name,
    uint64_t have, ncr_store_account_t *row, ncr_msec_t now);

/*
 * A refresh has ended without tokens.  reason NULL: for a passing cause, the
 * old tokens are good (pending is cleared); else it needs a login.
 * NCR_DECLINED: the tokens are of another version; nothing is changed.
 */
ncr_int_t ncr_store_failed(ncr_store_t *store, const char *name,
    uint64_t have, const char *reason, ncr_msec_t now);

/* what is known of the account: meta (JSON) only */
ncr_int_t ncr_store_meta(ncr_store_t *store, const char *name,
    const char *meta, ncr_msec_t now);

/*
 * A login that is under way: data (a JSON text, sealed in the file) under a
 * random id, until it expires.  take() deletes it, so that a code is tried
 * once; keep() only reads; change() puts other data there.  NCR_DECLINED: no
 * such login, or expired.
 */
#define NCR_STORE_LOGIN   33            /* 32 hex digits and a NUL */
ncr_int_t ncr_store_login_put(ncr_store_t *store, char *id, const char *data,
    ncr_msec_t expires, ncr_msec_t now);
ncr_int_t ncr_store_login_change(ncr_store_t *store, const char *id,
    const char *data, ncr_msec_t now);
ncr_int_t ncr_store_login_keep(ncr_store_t *store, const char *id,
    char **data, ncr_msec_t now);
ncr_int_t ncr_store_login_take(ncr_store_t *store, const char *id,
    char **data, ncr_msec_t now);

/* releases data of keep() and take(), and overwrites it */
void ncr_store_login_free(char *data);

/*
 * Another operator's key: a new data key, and every secret sealed anew, in
 * one transaction.  The handle goes on with it; others get NCR_STORE_KEY from
 * their next call until they are opened with it.
 */
ncr_int_t ncr_store_rekey(ncr_store_t *store, ncr_str_t *key,
    ncr_str_t *passphrase);

/*
 * Writes back what a process remembers of rows whose file was lost: each that
 * is missing, or whose version (of the operator's part) or tokens are older,
 * part by part.  A row that is newer in the file stays.  Sets row->id, which
 * is another one if the file has given it away by now, and row->seq.
 */
ncr_int_t ncr_store_restore(ncr_store_t *store, ncr_store_account_t *row,
    ncr_msec_t now);


/*
 * What else an operator makes: keys, users, groups, limits.  One table: a row
 * has a kind, a name that is unique in its kind, and its settings as JSON.
 * seq is of the same count as that of accounts; a key's secret is here as its
 * SHA-256 only, which no two rows share.
 */
#define NCR_STORE_KIND    16
#define NCR_STORE_PREFIX  12            /* what is shown of a secret, and NUL */

typedef struct {
    uint64_t      id;                   /* never used for another row */
    uint64_t      seq;
    uint64_t      version;              /* raised by each put, for ETags */
    char          kind[NCR_STORE_KIND]; /* "key", "user", "group", "limit" */
    char          name[NCR_STORE_NAME];
    unsigned      removed:1;            /* a tombstone: no data, no digest */
    unsigned      has_digest:1;
    ncr_char_t    digest[32];
    char          prefix[NCR_STORE_PREFIX];     /* goes with digest */
    char         *data;                 /* JSON object; "" of a tombstone */
    ncr_msec_t    created;
    ncr_msec_t    updated;
    ncr_msec_t    activated;            /* the first use, or 0 */
} ncr_store_object_t;

typedef ncr_int_t (*ncr_store_object_pt)(void *data,
    ncr_store_object_t *row);

/* as ncr_store_load(), for objects of every kind; row's data is not to be
 * kept either */
ncr_int_t ncr_store_objects(ncr_store_t *store, uint64_t *seq,
    ncr_store_object_pt handler, void *data);

/* those of a kind whose names come after this one, by name; NCR_DONE of the
 * handler is the end, too, and a good one */
ncr_int_t ncr_store_object_list(ncr_store_t *store, const char *kind,
    const char *after, ncr_store_object_pt handler, void *data);

/* those of these ids, in this order; what is gone is passed over */
ncr_int_t ncr_store_object_pick(ncr_store_t *store, const uint64_t *ids,
    size_t n, ncr_store_object_pt handler, void *data);

/* one into row (release it with ..._object_free()), or NCR_DECLINED */
ncr_int_t ncr_store_object_find(ncr_store_t *store, const char *kind,
    const char *name, ncr_store_object_t *row);
ncr_int_t ncr_store_object_digest(ncr_store_t *store, const char *kind,
    const ncr_char_t *digest, ncr_store_object_t *row);
void ncr_store_object_free(ncr_store_object_t *row);

/*
 * Makes or changes row's kind, name, data, digest (data NULL, has_digest 0,
 * activated 0: as it is); *version as in ncr_store_put().  NCR_DECLINED: that
 * does not hold, or the digest is another row's: ncr_store_error() tells.
 * Sets *version, row->id, ->seq, ->version and the times.
 */
ncr_int_t ncr_store_object_put(ncr_store_t *store, ncr_store_object_t *row,
    uint64_t *version, ncr_msec_t now);

/*
 * Many of them in one transaction, all or none.  A row's version is as
 * *version above; a row that is "removed" becomes a tombstone.  What is told
 * of one is set in each, and the digest's prefix.  NCR_DECLINED: *which is
 * the first that does not hold, and no row is of use any more; n: the bound
 * does not hold.
 */

typedef struct {
    const char   *kind;
    const char   *part;                 /* live rows whose data has this, */
    const char   *also;                 /* and this, */
    const char   *without;              /* and not that, */
    size_t        max;                  /* are so many at most, afterwards */
} ncr_store_bound_t;

ncr_int_t ncr_store_objects_put(ncr_store_t *store, ncr_store_object_t *rows,
    size_t n, ncr_store_bound_t *bound, ncr_msec_t now, size_t *which);

/* as ncr_store_remove(); *seq: of the tombstone */
ncr_int_t ncr_store_object_remove(ncr_store_t *store, const char *kind,
    const char *name, uint64_t version, ncr_msec_t now, uint64_t *seq);

/* its first use; the version stays.  NCR_DECLINED: it has been used before,
 * or is gone */
ncr_int_t ncr_store_object_activate(ncr_store_t *store, uint64_t id,
    ncr_msec_t at);

/* as ncr_store_restore(), in one transaction; sets neither id nor seq */
ncr_int_t ncr_store_object_restore(ncr_store_t *store,
    ncr_store_object_t *rows, size_t n);

/*
 * Nodes of a fleet have the same rows, each in a file of its own; see
 * ncr_store_merge.c.  Of two states of a row the one of the higher version is
 * newer, and of one version that of the higher tie; those of which both are
 * equal are the same.  An account is two rows, that of the operator and that
 * of its tokens.
 */

typedef struct {
    uint64_t      version;
    uint64_t      tie;                  /* < 2^63 */
} ncr_store_order_t;

void ncr_store_account_order(ncr_store_account_t *row,
    ncr_store_order_t *order);
void ncr_store_tokens_order(ncr_store_account_t *row,
    ncr_store_order_t *order);
void ncr_store_object_order(ncr_store_object_t *row,
    ncr_store_order_t *order);

/* 1: there are no tokens in it, whatever their version */
ncr_uint_t ncr_store_bare(ncr_store_account_t *row);

/*
 * Puts the row of another node into this file, under an id of this file's,
 * if it is newer than what is here; row->removed is a tombstone.  Of accounts
 * there is the operator's part (of the store, not of nginx.conf; of a
 * tombstone row->tokens, too), or that of the tokens, whose meta goes along,
 * and, of an account of nginx.conf, settings.  NCR_OK: it was; NCR_DECLINED:
 * it is as old, or older, or (of tokens) there is no account of this name;
 * NCR_BAD: it cannot be, an account of nginx.conf or another key's secret is
 * in its way: ncr_store_error() tells, and nothing was changed.
 */
ncr_int_t ncr_store_merge_account(ncr_store_t *store,
    ncr_store_account_t *row);
ncr_int_t ncr_store_merge_tokens(ncr_store_t *store,
    ncr_store_account_t *row);
ncr_int_t ncr_store_merge_object(ncr_store_t *store, ncr_store_object_t *row);

/* objects of this kind are the fleet's, not of one file */
ncr_uint_t ncr_store_shared(const char *kind);

/* what there is of a name: the live one, or the last one that was removed;
 * NCR_DECLINED: there never was one */
ncr_int_t ncr_store_last(ncr_store_t *store, const char *name,
    ncr_store_account_t *row);
ncr_int_t ncr_store_object_last(ncr_store_t *store, const char *kind,
    const char *name, ncr_store_object_t *row);

/* "a/NAME", "t/NAME" or "o/KIND/NAME" */
#define NCR_STORE_ROW     (2 + NCR_STORE_KIND + NCR_STORE_NAME)

typedef struct {
    char               name[NCR_STORE_ROW];
    ncr_store_order_t  order;
    uint64_t           seq;
    unsigned           removed:1;
} ncr_store_entry_t;

typedef ncr_int_t (*ncr_store_entry_pt)(void *data, ncr_store_entry_t *entry);

/*
 * All rows that a fleet shares, by their names, in the order of seq: those of
 * accounts, or objects.  Up to max of them above *seq, which moves on.
 * NCR_OK: there may be more; NCR_DONE: that were all.
 */
ncr_int_t ncr_store_scan(ncr_store_t *store, ncr_uint_t objects,
    uint64_t *seq, size_t max, ncr_store_entry_pt handler, void *data);

/*
 * What is written between these two is one transaction, and synced once.  A
 * function that fails has changed nothing, and those before it stay; rc of
 * the end other than NCR_OK: none of them.  Nothing is read but by functions
 * that write.
 */
ncr_int_t ncr_store_batch(ncr_store_t *store);
ncr_int_t ncr_store_batch_end(ncr_store_t *store, ncr_int_t rc);

/*
 * A copy of the file as it is at one moment, into another one that is empty.
 * Needs no handle: it has a connection of its own, and keeps no writer
 * waiting.  NCR_OK, or NCR_ERROR and error (NCR_STORE_ERROR bytes).
 */
ncr_int_t ncr_store_copy(const char *path, const char *copy, char *error);

/* tells files apart, as long as the last one is open somewhere */
uint64_t ncr_store_file(ncr_store_t *store);


/*
 * Locks that die with their process, whatever kills it: one for each
 * account's id, on a file beside the store, for all processes that share it.
 * Never blocks.  A lock belongs to the descriptor, which must be opened after
 * the fork, and who has it may take it again.  open() returns -1 and sets
 * errno.  NCR_ERROR: no lock at all; errno ESTALE: the file was deleted, open
 * it anew.
 */
int ncr_store_lock_open(const char *path);
ncr_int_t ncr_store_lock(int fd, uint64_t id);      /* NCR_OK, NCR_DECLINED */
void ncr_store_unlock(int fd, uint64_t id);


#endif /* _NCR_STORE_H_INCLUDED_ */
