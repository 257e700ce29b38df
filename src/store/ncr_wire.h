
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A row on its way to other nodes: "VERSION TIE BLOB", where the blob is JSON,
 * sealed under the fleet's key, in base64url.  What is in the clear is in the
 * blob, too: who can write to Redis and has no key can delete a row, or bring
 * an old one back, but cannot make one.
 */


#ifndef _NCR_WIRE_H_INCLUDED_
#define _NCR_WIRE_H_INCLUDED_


#include "ncr_store.h"


/* of a text: what is longer is neither written nor read */
#define NCR_WIRE_MAX   (8 * 1024 * 1024)


typedef struct {
    char                  name[NCR_STORE_ROW];  /* see ncr_store_entry_t */
    char                  type;         /* 'a', 't' or 'o', the name's */
    ncr_store_order_t     order;
    ncr_store_account_t   account;      /* of 'a' and 't' */
    ncr_store_object_t    object;       /* of 'o' */
} ncr_wire_t;


/*
 * A name of a row: its type, and name (and kind) of the account or object
 * that it is about; all else is empty.  NCR_BAD: there is no such row, or its
 * kind is not known here.
 */
ncr_int_t ncr_wire_name(ncr_wire_t *wire, ncr_str_t *name);

/* "VERSION TIE", and what follows; NCR_BAD: it is no such text */
ncr_int_t ncr_wire_order(ncr_str_t *text, ncr_store_order_t *order,
    ncr_str_t *blob);

/* 1: a is newer */
ncr_uint_t ncr_wire_newer(ncr_store_order_t *a, ncr_store_order_t *b);

/*
 * malloc()ed, with a NUL, *len bytes; NULL: no memory, or too long.  node: who
 * has made the tokens, if the row does not say so.
 */
char *ncr_wire_write(const ncr_char_t *key, ncr_wire_t *wire,
    const char *node, size_t *len);

/*
 * The way back, of the row of this name; release it with ncr_wire_free(), in
 * any case.  NCR_BAD: it is not to be used, *why tells.
 */
ncr_int_t ncr_wire_read(const ncr_char_t *key, ncr_str_t *name,
    ncr_str_t *text, ncr_wire_t *wire, const char **why);

void ncr_wire_free(ncr_wire_t *wire);

/*
 * What a store has of the row of this name, with its order.  NCR_DECLINED: it
 * has none, or none that others are told of.
 */
ncr_int_t ncr_wire_find(ncr_store_t *store, const char *name,
    ncr_wire_t *wire);

/* ncr_store_merge_...() */
ncr_int_t ncr_wire_merge(ncr_store_t *store, ncr_wire_t *wire);


#endif /* _NCR_WIRE_H_INCLUDED_ */
