
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Tables of prices while their file is read: once, with the configuration, so
 * it is a tree of cJSON.  Of use to ncr_price_file.c and its formats only.
 */


#ifndef _NCR_PRICE_FILE_H_INCLUDED_
#define _NCR_PRICE_FILE_H_INCLUDED_


#include "ncr_price.h"

#include <cjson/cJSON.h>


#define NCR_PRICE_MOST      1e12        /* a million dollars for a token */

#define NCR_PRICE_KINDS     5
#define NCR_PRICE_TIERS     5


typedef struct {
    struct ncr_price_draft_s  *drafts;
    ncr_uint_t                 n;
    ncr_uint_t                 max;
    ncr_uint_t                 search;
    const ncr_prices_t        *base;

    char                      *error;
    size_t                     size;
    const char                *model;   /* where we are, for errors */
    int                        row;     /* -1: not in an array */
    const char                *band;
} ncr_price_file_t;


extern const ncr_rates_t  ncr_price_untold;


/* "claude-opus-5"[1].longer.input: what is wrong; NCR_BAD */
ncr_int_t ncr_price_bad(ncr_price_file_t *f, const char *member,
    const char *wrong);

/*
 * A new row of this model, whose name is in "model" of it.  NULL without an
 * error is a lack of memory.  Rows that were there may have moved.
 */
ncr_price_t *ncr_price_draft(ncr_price_file_t *f, const char *model);

/* input, output, cache_read, cache_write_5m, cache_write_1h */
uint64_t *ncr_price_kind(ncr_rates_t *rates, ncr_uint_t i);

/* all of a table of LiteLLM's */
ncr_int_t ncr_price_litellm(ncr_price_file_t *f, cJSON *root);


#endif /* _NCR_PRICE_FILE_H_INCLUDED_ */
