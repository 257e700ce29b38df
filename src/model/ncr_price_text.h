
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Rows of prices as JSON in the form of files (docs/prices.md), and our
 * tables of comma-separated values as such a file.  Trees of cJSON, which are
 * the caller's; NULL is a lack of memory.
 */


#ifndef _NCR_PRICE_TEXT_H_INCLUDED_
#define _NCR_PRICE_TEXT_H_INCLUDED_


#include "ncr_price.h"

#include <cjson/cJSON.h>


/* one row, without its model */
cJSON *ncr_price_row_json(const ncr_price_t *row);

/* {"models": {...}} of this table alone, each model a list of rows */
cJSON *ncr_prices_json(const ncr_prices_t *prices);

/*
 * The columns of prices/claude.csv and prices/others.csv, by the names in the
 * first line; those that are not known are passed over.  NULL and *wrong, a
 * constant text: it is no such table.
 */
cJSON *ncr_price_csv(ncr_str_t *text, const char **wrong);

/* "standard", "fast"... */
const char *ncr_price_tier(ncr_tier_e tier);


#endif /* _NCR_PRICE_TEXT_H_INCLUDED_ */
