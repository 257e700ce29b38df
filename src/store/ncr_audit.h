
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The audit log: what was asked and answered, for an operator to look up.  A
 * database of its own ("relay.db-audit"), so that neither tokens nor usage
 * ever wait for it, with a budget of disk and an age.  Texts come here
 * redacted.  Blocks; for threads only.
 */


#ifndef _NCR_AUDIT_H_INCLUDED_
#define _NCR_AUDIT_H_INCLUDED_


#include "ncr_base.h"


#define NCR_AUDIT_ERROR      256

/* of one text of an entry; longer ones are not taken out of a file */
#define NCR_AUDIT_TEXT       (16 * 1024 * 1024)

/* a budget that is worth having */
#define NCR_AUDIT_DISK       (1024 * 1024)


/* flags of an entry */
#define NCR_AUDIT_SAMPLED    0x01       /* else: because it failed */
#define NCR_AUDIT_STREAM     0x02
#define NCR_AUDIT_REQUEST    0x04       /* not all of the request's body */
#define NCR_AUDIT_RESPONSE   0x08       /* not all of the answer's */
#define NCR_AUDIT_DECODED    0x10       /* came compressed, is kept plain */
#define NCR_AUDIT_ENCODED    0x20       /* could not be read: no body is kept */
#define NCR_AUDIT_DROPPED    0x40       /* bodies too large for the budget */
#define NCR_AUDIT_ESTIMATED  0x80       /* tokens are a lower bound */
#define NCR_AUDIT_UNPRICED   0x100


typedef struct ncr_audit_s  ncr_audit_t;


typedef struct {
    const char   *path;
    int           busy;                 /* ms to wait for other writers */
    int64_t       disk;                 /* bytes; 0 = no bound */
    ncr_msec_t    keep;                 /* 0 = for ever */
} ncr_audit_options_t;


/* texts are slices; of what was read they live until the handler returns */

typedef struct {
    uint64_t      number;               /* out; never used twice */
    ncr_msec_t    time;
    ncr_uint_t    flags;
    ncr_uint_t    status;
    uint64_t      duration;             /* ms */
    int64_t       ttft;                 /* ms, -1: none */
    uint64_t      attempts;
    uint64_t      input;                /* tokens */
    uint64_t      output;
    uint64_t      cache_read;
    uint64_t      cache_write;
    uint64_t      cost;                 /* micro-dollars */
    uint64_t      request_size;         /* of the whole body */
    uint64_t      response_size;

    ncr_str_t     id;                   /* the relay's */
    ncr_str_t     provider_id;
    ncr_str_t     key;
    ncr_str_t     user;
    ncr_str_t     account;
    ncr_str_t     platform;
    ncr_str_t     class;
    ncr_str_t     op;
    ncr_str_t     model;
    ncr_str_t     served;
    ncr_str_t     method;
    ncr_str_t     uri;
    ncr_str_t     address;              /* the client's */
    ncr_str_t     trail;                /* of attempts */

    ncr_str_t     request_headers;      /* "Name: value\n", each */
    ncr_str_t     response_headers;
    ncr_str_t     request;              /* bodies */
    ncr_str_t     response;
} ncr_audit_entry_t;


typedef struct {
    const char   *id;                   /* the relay's or the provider's */
    const char   *key;
    const char   *user;
    const char   *account;
    uint64_t      number;               /* 0 = any */
    ncr_uint_t    status;               /* 0 = any; 4 = 4xx, 429 = 429 */
    ncr_msec_t    from;                 /* inclusive; 0 = the beginning */
    ncr_msec_t    until;                /* exclusive; 0 = the end */
    uint64_t      after;                /* numbers above, if ascending */
    uint64_t      before;               /* numbers below; 0 = any */
    ncr_uint_t    limit;
    unsigned      ascending:1;          /* the oldest first */
    unsigned      texts:1;              /* headers and bodies, too */
} ncr_audit_query_t;


/* what lies on the disk, and between which numbers */

typedef struct {
    uint64_t      entries;              /* at most: numbers that may be there */
    uint64_t      first;
    uint64_t      last;
    int64_t       bytes;                /* of the file and its log */
    ncr_msec_t    oldest;
} ncr_audit_state_t;


/*
 * 1 for so many of 10000 ids, the same ones always: whoever is asked, in
 * whatever worker, before and after a reload.
 */
ncr_uint_t ncr_audit_sampled(ncr_str_t *id, ncr_uint_t share);


/*
 * Makes the file, of mode 0600, if there is none.  A file that is not an audit
 * log is left as it is: NCR_ERROR; one that is, and is broken, is set aside as
 * "PATH-broken" (in place of an older one of that name), and *broken is 1.
 */
ncr_int_t ncr_audit_open(ncr_audit_options_t *options, ncr_audit_t **audit,
    ncr_uint_t *broken, char *error);
void ncr_audit_close(ncr_audit_t *audit);
const char *ncr_audit_error(ncr_audit_t *audit);


/*
 * All of them in one transaction, or none: NCR_ERROR.  The oldest ones go as
 * far as the budget needs it.  NCR_DECLINED: the file is gone, or was replaced;
 * it must be opened anew.  NCR_BAD: it is broken, the same.
 */
ncr_int_t ncr_audit_put(ncr_audit_t *audit, ncr_audit_entry_t *entries,
    ncr_uint_t n);

/*
 * A bounded piece of what is older than "keep" or over the budget is deleted,
 * and given back to the disk.  NCR_AGAIN: there is more; else as put.
 */
ncr_int_t ncr_audit_tidy(ncr_audit_t *audit, ncr_msec_t now);


/*
 * Stops when handler does not return NCR_OK, and returns what it did.  A
 * search that takes longer than ms milliseconds is given up: NCR_AGAIN.
 */
typedef ncr_int_t (*ncr_audit_entry_pt)(void *data, ncr_audit_entry_t *e);
ncr_int_t ncr_audit_search(ncr_audit_t *audit, ncr_audit_query_t *q, int ms,
    ncr_audit_entry_pt handler, void *data);

ncr_int_t ncr_audit_state(ncr_audit_t *audit, ncr_audit_state_t *state);


#endif /* _NCR_AUDIT_H_INCLUDED_ */
