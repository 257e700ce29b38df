
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Files of prices, docs/prices.md, and how any file becomes a table. */


#include "ncr_price_file.h"
#include "ncr_str.h"

#include <stdio.h>
#include <stdlib.h>


#define NCR_PRICE_TOKENS    1e12        /* of a threshold */
#define NCR_PRICE_BASIS     UINT64_C(0xcbf29ce484222325)    /* FNV-1a */
#define NCR_PRICE_PRIME     UINT64_C(0x100000001b3)


typedef struct ncr_price_draft_s {
    ncr_price_t    price;               /* its model is what follows */
    char           model[NCR_MODEL_LEN];
    ncr_uint_t     exact;               /* the name was normalized */
} ncr_price_draft_t;


static ncr_int_t ncr_price_parse(ncr_price_file_t *f, ncr_str_t *text,
    cJSON **root);
static ncr_int_t ncr_price_own(ncr_price_file_t *f, cJSON *root);
static ncr_int_t ncr_price_own_model(ncr_price_file_t *f, cJSON *item);
static ncr_int_t ncr_price_own_row(ncr_price_file_t *f, cJSON *row);
static ncr_int_t ncr_price_own_member(ncr_price_file_t *f, cJSON *item,
    ncr_price_t *price);
static ncr_int_t ncr_price_own_band(ncr_price_file_t *f, cJSON *band,
    ncr_rates_t *rates);
static ncr_int_t ncr_price_own_rate(ncr_price_file_t *f, cJSON *item,
    double unit, double most, uint64_t *value);
static ncr_int_t ncr_price_own_tier(ncr_price_file_t *f, cJSON *item,
    ncr_tier_e *tier);
static ncr_int_t ncr_price_own_time(ncr_price_file_t *f, cJSON *item,
    ncr_msec_t *time);
static ncr_int_t ncr_price_alias(ncr_price_file_t *f, cJSON *item);
static ncr_int_t ncr_price_alias_base(ncr_price_file_t *f, const char *name,
    const char *model);
static int ncr_price_order(const void *one, const void *two);
static ncr_int_t ncr_price_dates(ncr_price_file_t *f, ncr_uint_t own);
static ncr_int_t ncr_price_build(ncr_price_file_t *f, ncr_prices_t **prices);
static void ncr_price_version(ncr_prices_t *prices);
static uint64_t ncr_price_hash(uint64_t hash, const char *text);
static uint64_t ncr_price_hash_number(uint64_t hash, uint64_t n);


static const char *const  ncr_price_kinds[NCR_PRICE_KINDS] = {
    "input", "output", "cache_read", "cache_write_5m", "cache_write_1h"
};

static const char *const  ncr_price_tiers[NCR_PRICE_TIERS] = {
    "standard", "fast", "priority", "flex", "batch"
};

const ncr_rates_t  ncr_price_untold = {
    NCR_PRICE_NONE, NCR_PRICE_NONE, NCR_PRICE_NONE, NCR_PRICE_NONE,
    NCR_PRICE_NONE
};


ncr_int_t
ncr_prices_read(ncr_prices_t **prices, ncr_str_t *text,
    const ncr_prices_t *base, char *error, size_t size)
{
    cJSON              *root;
    ncr_int_t           rc;
    ncr_uint_t          own;
    ncr_price_file_t    f;

    memset(&f, 0, sizeof(ncr_price_file_t));

    f.base = base;
    f.search = base ? base->search : 0;
    f.error = error;
    f.size = size;
    f.row = -1;

    error[0] = '\0';

    rc = ncr_price_parse(&f, text, &root);

    if (rc != NCR_OK) {
        return rc;
    }

    own = cJSON_HasObjectItem(root, "models");

    rc = own ? ncr_price_own(&f, root) : ncr_price_litellm(&f, root);

    if (rc == NCR_OK && f.n) {
        qsort(f.drafts, f.n, sizeof(ncr_price_draft_t), ncr_price_order);
        rc = ncr_price_dates(&f, own);
    }

    if (rc == NCR_OK) {
        rc = ncr_price_build(&f, prices);
    }

    if (rc == NCR_ERROR) {
        (void) snprintf(error, size, "no memory");
    }

    cJSON_Delete(root);
    free(f.drafts);

    return rc;
}


void
ncr_prices_free(ncr_prices_t *prices)
{
    free(prices);
}


static ncr_int_t
ncr_price_parse(ncr_price_file_t *f, ncr_str_t *text, cJSON **root)
{
    size_t        i, at;
    const char   *end;
    ncr_uint_t    line, column;

    end = NULL;
    *root = cJSON_ParseWithLengthOpts((const char *) text->data, text->len,
                                      &end, 0);

    at = end ? (size_t) (end - (const char *) text->data) : 0;

    while (*root && at < text->len
           && (text->data[at] == ' ' || text->data[at] == '\t'
               || text->data[at] == '\r' || text->data[at] == '\n'))
    {
        at++;
    }

    if (*root && at == text->len) {

        if (cJSON_IsObject(*root)) {
            return NCR_OK;
        }

        cJSON_Delete(*root);

        return ncr_price_bad(f, NULL, "it is not an object");
    }

    cJSON_Delete(*root);

    line = 1;
    column = 1;

    for (i = 0; i < ncr_min(at, text->len); i++) {
        column++;

        if (text->data[i] == '\n') {
            line++;
            column = 1;
        }
    }

    (void) snprintf(f->error, f->size,
                    "it is not JSON, at line %u, column %u", (unsigned) line,
                    (unsigned) column);

    return NCR_BAD;
}


ncr_int_t
ncr_price_bad(ncr_price_file_t *f, const char *member, const char *wrong)
{
    char  row[16];

    row[0] = '\0';

    if (f->row >= 0) {
        (void) snprintf(row, sizeof(row), "[%d]", f->row);
    }

    (void) snprintf(f->error, f->size, "%s%.*s%s%s%s%s%s%.40s%s%s",
                    f->model ? "\"" : "", NCR_MODEL_LEN,
                    f->model ? f->model : "", f->model ? "\"" : "", row,
                    f->band ? "." : "", f->band ? f->band : "",
                    member && f->model ? "." : "", member ? member : "",
                    member || f->model ? ": " : "", wrong);
    return NCR_BAD;
}


static ncr_int_t
ncr_price_own(ncr_price_file_t *f, cJSON *root)
{
    cJSON      *item, *models;
    uint64_t    search;
    ncr_int_t   rc;

    models = NULL;

    cJSON_ArrayForEach(item, root) {

        if (strcmp(item->string, "models") == 0) {

            if (models || !cJSON_IsObject(item)) {
                return ncr_price_bad(f, "models", "it is not an object, or "
                                     "is there twice");
            }

            models = item;

        } else if (strcmp(item->string, "web_search") == 0) {

            if (ncr_price_own_rate(f, item, 1e6, NCR_PRICE_MOST / 1e6,
                                   &search) != NCR_OK)
            {
                return NCR_BAD;
            }

            f->search = (ncr_uint_t) search;

        } else if (strcmp(item->string, "comment") != 0) {
            return ncr_price_bad(f, "members", "they are \"models\", "
                                 "\"web_search\" and \"comment\"");
        }
    }

    cJSON_ArrayForEach(item, models) {

        if (!cJSON_IsString(item)) {
            rc = ncr_price_own_model(f, item);

            if (rc != NCR_OK) {
                return rc;
            }
        }
    }

    /* aliases are copies of what is there by then */

    cJSON_ArrayForEach(item, models) {

        if (cJSON_IsString(item)) {
            rc = ncr_price_alias(f, item);

            if (rc != NCR_OK) {
                return rc;
            }
        }
    }

    return NCR_OK;
}


static ncr_int_t
ncr_price_own_model(ncr_price_file_t *f, cJSON *item)
{
    cJSON      *row;
    ncr_int_t   rc;

    f->model = item->string;
    f->row = -1;

    if (cJSON_IsObject(item)) {
        return ncr_price_own_row(f, item);
    }

    if (!cJSON_IsArray(item) || item->child == NULL) {
        return ncr_price_bad(f, NULL, "it is neither a row of prices, nor a "
                             "list of rows, nor the name of a model");
    }

    cJSON_ArrayForEach(row, item) {
        f->row++;

        if (!cJSON_IsObject(row)) {
            return ncr_price_bad(f, NULL, "it is not an object");
        }

        rc = ncr_price_own_row(f, row);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    f->row = -1;

    return NCR_OK;
}


static ncr_int_t
ncr_price_own_row(ncr_price_file_t *f, cJSON *row)
{
    cJSON        *item;
    ncr_int_t     rc;
    ncr_price_t   price, *draft;

    memset(&price, 0, sizeof(ncr_price_t));
    price.rates = ncr_price_untold;
    price.longer = ncr_price_untold;

    cJSON_ArrayForEach(item, row) {
        rc = ncr_price_own_member(f, item, &price);

        if (rc != NCR_OK) {
            return rc;
        }
    }

    if (price.rates.input == NCR_PRICE_NONE
        || price.rates.output == NCR_PRICE_NONE)
    {
        return ncr_price_bad(f, NULL, "it needs \"input\" and \"output\"");
    }

    if ((price.over != 0) != (price.longer.input != NCR_PRICE_NONE
                              && price.longer.output != NCR_PRICE_NONE))
    {
        return ncr_price_bad(f, NULL, "\"over\" needs \"longer\" with "
                             "\"input\" and \"output\", and vice versa");
    }

    if (price.until && price.until <= price.from) {
        return ncr_price_bad(f, "until", "it is not after \"from\"");
    }

    draft = ncr_price_draft(f, f->model);

    if (draft == NULL) {
        return f->error[0] ? NCR_BAD : NCR_ERROR;
    }

    price.model = draft->model;
    *draft = price;

    return NCR_OK;
}


static ncr_int_t
ncr_price_own_member(ncr_price_file_t *f, cJSON *item, ncr_price_t *price)
{
    cJSON       *rate;
    ncr_int_t    rc;
    const char  *name;

    name = item->string;

    if (strcmp(name, "source") == 0 || strcmp(name, "comment") == 0) {
        return NCR_OK;
    }

    if (strcmp(name, "tier") == 0) {
        return ncr_price_own_tier(f, item, &price->tier);
    }

    if (strcmp(name, "from") == 0) {
        return ncr_price_own_time(f, item, &price->from);
    }

    if (strcmp(name, "until") == 0) {
        return ncr_price_own_time(f, item, &price->until);
    }

    if (strcmp(name, "over") == 0) {
        return ncr_price_own_rate(f, item, 1, NCR_PRICE_TOKENS, &price->over);
    }

    if (strcmp(name, "longer") == 0) {

        if (!cJSON_IsObject(item)) {
            return ncr_price_bad(f, "longer", "it is not an object");
        }

        f->band = "longer";
        rc = NCR_OK;

        cJSON_ArrayForEach(rate, item) {
            rc = ncr_price_own_band(f, rate, &price->longer);

            if (rc != NCR_OK) {
                return rc;
            }
        }

        f->band = NULL;

        return rc;
    }

    return ncr_price_own_band(f, item, &price->rates);
}


static ncr_int_t
ncr_price_own_band(ncr_price_file_t *f, cJSON *item, ncr_rates_t *rates)
{
    ncr_uint_t   i;

    for (i = 0; i < NCR_PRICE_KINDS; i++) {
        if (strcmp(item->string, ncr_price_kinds[i]) == 0) {
            return ncr_price_own_rate(f, item, 1e6, NCR_PRICE_MOST / 1e6,
                                      ncr_price_kind(rates, i));
        }
    }

    return ncr_price_bad(f, NULL, "its members are \"input\", \"output\", "
                         "\"cache_read\", \"cache_write_5m\", "
                         "\"cache_write_1h\" and, but not in \"longer\", "
                         "\"tier\", \"from\", \"until\", \"over\", "
                         "\"longer\", \"source\", \"comment\"");
}


/* a double has 15 decimal digits, so these are exact */

static ncr_int_t
ncr_price_own_rate(ncr_price_file_t *f, cJSON *item, double unit, double most,
    uint64_t *value)
{
    double    v, off;
    uint64_t  whole;

    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0)
        || item->valuedouble > most)
    {
        return ncr_price_bad(f, item->string, "it is not a number, or is not "
                             "between 0 and a million dollars (or a million "
                             "million tokens)");
    }

    v = item->valuedouble * unit;
    whole = (uint64_t) (v + 0.5);
    off = v - (double) whole;

    if (off > 1e-3 || off < -1e-3) {
        return ncr_price_bad(f, item->string, "it has too many decimals: "
                             "prices have six, tokens none");
    }

    *value = whole;

    return NCR_OK;
}


static ncr_int_t
ncr_price_own_tier(ncr_price_file_t *f, cJSON *item, ncr_tier_e *tier)
{
    ncr_uint_t  i;

    for (i = 0; cJSON_IsString(item) && i < NCR_PRICE_TIERS; i++) {
        if (strcmp(item->valuestring, ncr_price_tiers[i]) == 0) {
            *tier = (ncr_tier_e) i;
            return NCR_OK;
        }
    }

    return ncr_price_bad(f, "tier", "it is none of standard, fast, priority, "
                         "flex, batch");
}


/* "2026-10-07", of UTC, or a time of RFC 3339 */

static ncr_int_t
ncr_price_own_time(ncr_price_file_t *f, cJSON *item, ncr_msec_t *time)
{
    char        buf[NCR_STR_RFC3339];
    ncr_str_t   s;

    s.len = 0;

    if (cJSON_IsString(item)) {
        s.data = (ncr_char_t *) item->valuestring;
        s.len = strlen(item->valuestring);

        if (s.len == 10) {
            memcpy(buf, item->valuestring, 10);
            memcpy(buf + 10, "T00:00:00Z", 11);

            s.data = (ncr_char_t *) buf;
            s.len = 20;
        }
    }

    if (s.len < 20 || ncr_str_time(&s, time) != NCR_OK || *time <= 0) {
        return ncr_price_bad(f, item->string, "it is not a date such as "
                             "2026-10-07");
    }

    return NCR_OK;
}


/* costs what another one costs, of the file or of what is below it */

static ncr_int_t
ncr_price_alias(ncr_price_file_t *f, cJSON *item)
{
    char          name[NCR_MODEL_LEN];
    ncr_int_t     rc;
    ncr_str_t     s;
    ncr_uint_t    i, n, found;
    ncr_price_t   copy, *draft;

    f->model = item->string;
    f->row = -1;

    s.data = (ncr_char_t *) item->valuestring;
    s.len = strlen(item->valuestring);

    (void) ncr_price_model(name, sizeof(name), &s);

    n = f->n;
    found = 0;

    for (i = 0; i < n; i++) {

        if (strcmp(f->drafts[i].model, name) != 0) {
            continue;
        }

        copy = f->drafts[i].price;
        draft = ncr_price_draft(f, f->model);

        if (draft == NULL) {
            return f->error[0] ? NCR_BAD : NCR_ERROR;
        }

        copy.model = draft->model;
        *draft = copy;
        found = 1;
    }

    if (found) {
        return NCR_OK;
    }

    rc = ncr_price_alias_base(f, name, f->model);

    return (rc == NCR_DECLINED)
           ? ncr_price_bad(f, NULL, "the model that it is to cost as much as "
                           "has no price")
           : rc;
}


static ncr_int_t
ncr_price_alias_base(ncr_price_file_t *f, const char *name, const char *model)
{
    ncr_int_t            rc;
    ncr_uint_t           i;
    ncr_price_t          copy, *draft;
    const ncr_prices_t  *base;

    for (base = f->base; base; base = base->base) {
        rc = NCR_DECLINED;

        for (i = 0; i < base->n; i++) {

            if (strcmp(base->rows[i].model, name) != 0) {
                continue;
            }

            copy = base->rows[i];
            draft = ncr_price_draft(f, model);

            if (draft == NULL) {
                return f->error[0] ? NCR_BAD : NCR_ERROR;
            }

            copy.model = draft->model;
            *draft = copy;
            rc = NCR_OK;
        }

        if (rc == NCR_OK) {
            return NCR_OK;
        }
    }

    return NCR_DECLINED;
}


uint64_t *
ncr_price_kind(ncr_rates_t *rates, ncr_uint_t i)
{
    switch (i) {

    case 0:
        return &rates->input;

    case 1:
        return &rates->output;

    case 2:
        return &rates->cache_read;

    case 3:
        return &rates->cache_write_5m;

    default:
        return &rates->cache_write_1h;
    }
}


/* names are checked here: those of LiteLLM's, too */

ncr_price_t *
ncr_price_draft(ncr_price_file_t *f, const char *model)
{
    size_t              i, len;
    ncr_str_t           s;
    ncr_uint_t          max;
    ncr_price_draft_t  *draft;

    s.data = (ncr_char_t *) (uintptr_t) model;
    s.len = strlen(model);

    for (i = 0; i < s.len; i++) {
        if (model[i] <= ' ' || model[i] >= 0x7f || model[i] == '"') {
            break;
        }
    }

    if (s.len == 0 || i < s.len || s.len >= NCR_MODEL_LEN) {
        f->model = NULL;
        f->row = -1;
        (void) ncr_price_bad(f, "models", "a name is empty, too long, or has "
                             "characters that no model has");
        return NULL;
    }

    if (f->n == f->max) {
        max = f->max ? f->max * 2 : 64;
        draft = calloc(max, sizeof(ncr_price_draft_t));

        if (draft == NULL) {
            return NULL;
        }

        if (f->n) {
            memcpy(draft, f->drafts, f->n * sizeof(ncr_price_draft_t));
        }

        free(f->drafts);
        f->drafts = draft;
        f->max = max;
    }

    draft = &f->drafts[f->n];
    memset(draft, 0, sizeof(ncr_price_draft_t));

    len = ncr_price_model(draft->model, NCR_MODEL_LEN, &s);

    if (len == 0) {
        (void) ncr_price_bad(f, NULL, "nothing is left of the name");
        return NULL;
    }

    draft->exact = (len == s.len && memcmp(draft->model, s.data, len) == 0);
    draft->price.model = draft->model;

    f->n++;

    return &draft->price;
}


static int
ncr_price_order(const void *one, const void *two)
{
    int                       order;
    const ncr_price_draft_t  *a, *b;

    a = one;
    b = two;

    order = strcmp(a->model, b->model);

    if (order == 0) {
        order = (a->price.tier > b->price.tier)
                - (a->price.tier < b->price.tier);
    }

    if (order == 0) {
        order = (a->price.from > b->price.from)
                - (a->price.from < b->price.from);
    }

    if (order == 0) {
        order = (int) b->exact - (int) a->exact;
    }

    return order;
}


/*
 * A row holds until the next one.  LiteLLM has a model by several names, of
 * platforms and regions: the plain one is taken.
 */

static ncr_int_t
ncr_price_dates(ncr_price_file_t *f, ncr_uint_t own)
{
    ncr_uint_t          i, n;
    ncr_price_draft_t  *draft, *last;

    n = 0;

    for (i = 0; i < f->n; i++) {
        draft = &f->drafts[i];
        last = n ? &f->drafts[n - 1] : NULL;

        if (last == NULL || strcmp(last->model, draft->model) != 0
            || last->price.tier != draft->price.tier)
        {
            if (i != n) {
                f->drafts[n] = *draft;
            }

            n++;
            continue;
        }

        if (!own) {
            continue;
        }

        f->model = draft->model;
        f->row = -1;

        if (last->price.from == draft->price.from
            || last->price.until > draft->price.from)
        {
            return ncr_price_bad(f, NULL, "there are two prices at a time");
        }

        if (last->price.until == 0) {
            last->price.until = draft->price.from;
        }

        if (i != n) {
            f->drafts[n] = *draft;
        }

        n++;
    }

    f->n = n;

    return NCR_OK;
}


/* one piece of memory: the table, its rows, their names */

static ncr_int_t
ncr_price_build(ncr_price_file_t *f, ncr_prices_t **result)
{
    char          *text;
    size_t         len, size;
    ncr_uint_t     i;
    ncr_price_t   *rows;
    ncr_prices_t  *prices;

    size = sizeof(ncr_prices_t) + f->n * sizeof(ncr_price_t);

    for (i = 0; i < f->n; i++) {
        size += strlen(f->drafts[i].model) + 1;
    }

    prices = calloc(1, size);

    if (prices == NULL) {
        return NCR_ERROR;
    }

    rows = (ncr_price_t *) (prices + 1);
    text = (char *) (rows + f->n);

    for (i = 0; i < f->n; i++) {
        len = strlen(f->drafts[i].model) + 1;

        memcpy(text, f->drafts[i].model, len);

        rows[i] = f->drafts[i].price;
        rows[i].model = text;

        text += len;
    }

    prices->rows = rows;
    prices->n = f->n;
    prices->search = f->search;
    prices->base = f->base;

    ncr_price_version(prices);

    *result = prices;

    return NCR_OK;
}


/* the same table has the same version, whatever else is in its file */

static void
ncr_price_version(ncr_prices_t *prices)
{
    uint64_t            hash;
    ncr_uint_t          i, kind;
    ncr_rates_t         bands[2];
    const ncr_price_t  *row;

    hash = ncr_price_hash(NCR_PRICE_BASIS,
                          prices->base ? prices->base->version : "");
    hash = ncr_price_hash_number(hash, prices->search);

    for (i = 0; i < prices->n; i++) {
        row = &prices->rows[i];

        hash = ncr_price_hash(hash, row->model);
        hash = ncr_price_hash_number(hash, row->tier);
        hash = ncr_price_hash_number(hash, (uint64_t) row->from);
        hash = ncr_price_hash_number(hash, (uint64_t) row->until);
        hash = ncr_price_hash_number(hash, row->over);

        bands[0] = row->rates;
        bands[1] = row->longer;

        for (kind = 0; kind < 2 * NCR_PRICE_KINDS; kind++) {
            hash = ncr_price_hash_number(hash,
                       *ncr_price_kind(&bands[kind / NCR_PRICE_KINDS],
                                       kind % NCR_PRICE_KINDS));
        }
    }

    (void) snprintf(prices->version, sizeof(prices->version), "%08lx%08lx",
                    (unsigned long) (hash >> 32),
                    (unsigned long) (hash & UINT32_MAX));
}


static uint64_t
ncr_price_hash(uint64_t hash, const char *text)
{
    for ( /* void */ ; *text; text++) {
        hash = (hash ^ (ncr_char_t) *text) * NCR_PRICE_PRIME;
    }

    return hash * NCR_PRICE_PRIME;
}


static uint64_t
ncr_price_hash_number(uint64_t hash, uint64_t n)
{
    ncr_uint_t  i;

    for (i = 0; i < 8; i++) {
        hash = (hash ^ (n & 0xff)) * NCR_PRICE_PRIME;
        n >>= 8;
    }

    return hash;
}
