
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_price_text.h"
#include "ncr_price_file.h"
#include "ncr_str.h"

#include <stdlib.h>


#define NCR_PRICE_COLUMNS  64
#define NCR_PRICE_CELL     256
#define NCR_PRICE_LINES    5000


/* what a column is for */

typedef enum {
    NCR_CSV_MODEL = 0,
    NCR_CSV_ALIASES,
    NCR_CSV_TIER,
    NCR_CSV_FROM,
    NCR_CSV_UNTIL,                      /* the first day after, or */
    NCR_CSV_LAST,                       /* the last one */
    NCR_CSV_RATES,                      /* five of them, by kind */
    NCR_CSV_OVER = NCR_CSV_RATES + NCR_PRICE_KINDS,
    NCR_CSV_LONGER,                     /* five */
    NCR_CSV_TIERS = NCR_CSV_LONGER + NCR_PRICE_KINDS,
                                        /* three for each of three tiers */
    NCR_CSV_FIELDS = NCR_CSV_TIERS + 9
} ncr_csv_field_e;


typedef struct {
    const char  *name;
    ncr_uint_t   field;
} ncr_csv_name_t;


static ncr_uint_t ncr_csv_spell(cJSON *models);
static ncr_uint_t ncr_csv_line(ncr_str_t *text, ncr_uint_t n,
    char cells[][NCR_PRICE_CELL]);
static void ncr_csv_head(char cells[][NCR_PRICE_CELL], ncr_uint_t n,
    ncr_int_t *columns);
static const char *ncr_csv_row(cJSON *models, char cells[][NCR_PRICE_CELL],
    ncr_int_t *columns);
static const char *ncr_csv_model(cJSON *models, const char *model,
    char cells[][NCR_PRICE_CELL], ncr_int_t *columns);
static void ncr_csv_dates(cJSON *row, char cells[][NCR_PRICE_CELL],
    ncr_int_t *columns);
static const char *ncr_csv_number(cJSON *row, const char *name,
    const char *cell);
static const char *ncr_csv_cell(char cells[][NCR_PRICE_CELL],
    ncr_int_t *columns, ncr_uint_t field);
static ncr_uint_t ncr_csv_add(cJSON *models, const char *model, cJSON *row);


static const char *const  ncr_price_text_tiers[] = {
    "standard", "fast", "priority", "flex", "batch"
};

static const char *const  ncr_price_text_kinds[] = {
    "input", "output", "cache_read", "cache_write_5m", "cache_write_1h"
};


#define NCR_CSV_TIER_OF(tier, kind)  (NCR_CSV_TIERS + 3 * (tier) + (kind))

static ncr_csv_name_t  ncr_csv_names[] = {
    { "model", NCR_CSV_MODEL },
    { "model_id", NCR_CSV_MODEL },
    { "aliases", NCR_CSV_ALIASES },
    { "tier", NCR_CSV_TIER },
    { "variant", NCR_CSV_TIER },
    { "from", NCR_CSV_FROM },
    { "valid_from", NCR_CSV_FROM },
    { "effective_from", NCR_CSV_FROM },
    { "until", NCR_CSV_UNTIL },
    { "valid_to", NCR_CSV_LAST },
    { "input", NCR_CSV_RATES },
    { "input_usd_per_mtok", NCR_CSV_RATES },
    { "output", NCR_CSV_RATES + 1 },
    { "output_usd_per_mtok", NCR_CSV_RATES + 1 },
    { "cache_read", NCR_CSV_RATES + 2 },
    { "cache_write", NCR_CSV_RATES + 3 },
    { "cache_write_5m", NCR_CSV_RATES + 3 },
    { "cache_write_1h", NCR_CSV_RATES + 4 },
    { "over", NCR_CSV_OVER },
    { "tier_over_prompt_tokens", NCR_CSV_OVER },
    { "long_threshold_tokens", NCR_CSV_OVER },
    { "tier_input", NCR_CSV_LONGER },
    { "input_long", NCR_CSV_LONGER },
    { "tier_output", NCR_CSV_LONGER + 1 },
    { "output_long", NCR_CSV_LONGER + 1 },
    { "tier_cache_read", NCR_CSV_LONGER + 2 },
    { "cache_read_long", NCR_CSV_LONGER + 2 },
    { "tier_cache_write_5m", NCR_CSV_LONGER + 3 },
    { "cache_write_long", NCR_CSV_LONGER + 3 },
    { "tier_cache_write_1h", NCR_CSV_LONGER + 4 },
    { "input_priority", NCR_CSV_TIER_OF(0, 0) },
    { "output_priority", NCR_CSV_TIER_OF(0, 1) },
    { "cache_read_priority", NCR_CSV_TIER_OF(0, 2) },
    { "input_flex", NCR_CSV_TIER_OF(1, 0) },
    { "output_flex", NCR_CSV_TIER_OF(1, 1) },
    { "cache_read_flex", NCR_CSV_TIER_OF(1, 2) },
    { "input_batch", NCR_CSV_TIER_OF(2, 0) },
    { "output_batch", NCR_CSV_TIER_OF(2, 1) },
    { NULL, 0 }
};


const char *
ncr_price_tier(ncr_tier_e tier)
{
    return ncr_price_text_tiers[tier];
}


cJSON *
ncr_price_row_json(const ncr_price_t *row)
{
    char          time[NCR_STR_RFC3339];
    cJSON        *json, *longer;
    uint64_t      rate;
    ncr_uint_t    i, n;
    ncr_rates_t   rates;

    json = cJSON_CreateObject();

    if (json == NULL) {
        return NULL;
    }

    if (row->tier != NCR_TIER_STANDARD) {
        (void) cJSON_AddStringToObject(json, "tier",
                                       ncr_price_text_tiers[row->tier]);
    }

    if (row->from) {
        ncr_str_rfc3339(time, row->from);
        (void) cJSON_AddStringToObject(json, "from", time);
    }

    if (row->until) {
        ncr_str_rfc3339(time, row->until);
        (void) cJSON_AddStringToObject(json, "until", time);
    }

    longer = json;
    rates = row->rates;

    for (n = 0; n < 2; n++) {

        for (i = 0; i < NCR_PRICE_KINDS; i++) {
            rate = *ncr_price_kind(&rates, i);

            if (rate != NCR_PRICE_NONE) {
                (void) cJSON_AddNumberToObject(longer,
                                               ncr_price_text_kinds[i],
                                               (double) rate / 1e6);
            }
        }

        if (n || row->over == 0) {
            break;
        }

        (void) cJSON_AddNumberToObject(json, "over", (double) row->over);

        rates = row->longer;
        longer = cJSON_AddObjectToObject(json, "longer");
    }

    return json;
}


cJSON *
ncr_prices_json(const ncr_prices_t *prices)
{
    cJSON       *json, *models, *list, *row;
    ncr_uint_t   i;
    const char  *model;

    json = cJSON_CreateObject();
    models = json ? cJSON_AddObjectToObject(json, "models") : NULL;

    list = NULL;
    model = "";

    for (i = 0; models && i < prices->n; i++) {

        /* rows of a model stand together */

        if (strcmp(prices->rows[i].model, model) != 0) {
            model = prices->rows[i].model;
            list = cJSON_AddArrayToObject(models, model);
        }

        row = ncr_price_row_json(&prices->rows[i]);

        if (row == NULL || !cJSON_AddItemToArray(list, row)) {
            cJSON_Delete(row);
            models = NULL;
        }
    }

    if (models == NULL) {
        cJSON_Delete(json);
        return NULL;
    }

    return json;
}


cJSON *
ncr_price_csv(ncr_str_t *text, const char **wrong)
{
    char         (*cells)[NCR_PRICE_CELL];
    cJSON       *json, *models;
    ncr_str_t    rest;
    ncr_int_t    columns[NCR_CSV_FIELDS];
    ncr_uint_t   n, lines;

    *wrong = "no memory";

    json = cJSON_CreateObject();
    models = json ? cJSON_AddObjectToObject(json, "models") : NULL;
    cells = cJSON_malloc(NCR_PRICE_COLUMNS * NCR_PRICE_CELL);

    if (models == NULL || cells == NULL) {
        goto failed;
    }

    rest = *text;

    if (ncr_str_prefix(&rest, "\xEF\xBB\xBF")) {
        rest.data += 3;
        rest.len -= 3;
    }

    n = ncr_csv_line(&rest, NCR_PRICE_COLUMNS, cells);
    ncr_csv_head(cells, n, columns);

    if (columns[NCR_CSV_MODEL] < 0 || columns[NCR_CSV_RATES] < 0
        || columns[NCR_CSV_RATES + 1] < 0)
    {
        *wrong = "its first line must have the columns \"model\", \"input\" "
                 "and \"output\"";
        goto failed;
    }

    for (lines = 0; rest.len; lines++) {

        if (lines == NCR_PRICE_LINES) {
            *wrong = "it has more than 5000 lines";
            goto failed;
        }

        n = ncr_csv_line(&rest, NCR_PRICE_COLUMNS, cells);

        if (n == 0 || (n == 1 && cells[0][0] == '\0')) {
            continue;
        }

        *wrong = ncr_csv_row(models, cells, columns);

        if (*wrong) {
            goto failed;
        }
    }

    if (!ncr_csv_spell(models)) {
        *wrong = "no memory";
        goto failed;
    }

    cJSON_free(cells);

    return json;

failed:

    cJSON_free(cells);
    cJSON_Delete(json);

    return NULL;
}


/* of several spellings of a model the plain one is taken, or the first */

static ncr_uint_t
ncr_csv_spell(cJSON *models)
{
    char         name[NCR_MODEL_LEN];
    cJSON       *item, *next;
    ncr_str_t    s;

    for (item = models->child; item; item = next) {
        next = item->next;

        s.data = (ncr_char_t *) item->string;
        s.len = strlen(item->string);

        if (s.len >= NCR_MODEL_LEN
            || ncr_price_model(name, sizeof(name), &s) == 0
            || strcmp(name, item->string) == 0)
        {
            continue;
        }

        (void) cJSON_DetachItemViaPointer(models, item);

        if (cJSON_GetObjectItemCaseSensitive(models, name)) {
            cJSON_Delete(item);
            continue;
        }

        if (!cJSON_AddItemToObject(models, name, item)) {
            cJSON_Delete(item);
            return 0;
        }
    }

    return 1;
}


/* RFC 4180; the rest of what is too long is left out */

static ncr_uint_t
ncr_csv_line(ncr_str_t *text, ncr_uint_t max, char cells[][NCR_PRICE_CELL])
{
    size_t       len;
    ncr_char_t   c, *p, *last;
    ncr_uint_t   n, quoted;

    p = text->data;
    last = p + text->len;

    for (n = 0; n < max; n++) {
        cells[n][0] = '\0';
    }

    n = 0;
    len = 0;
    quoted = 0;

    while (p < last) {
        c = *p++;

        if (c == '"') {

            if (quoted && p < last && *p == '"') {
                p++;

            } else {
                quoted = !quoted;
                continue;
            }

        } else if (!quoted && c == '\n') {
            break;

        } else if (!quoted && c == '\r') {
            continue;

        } else if (!quoted && c == ',') {
            n++;
            len = 0;
            continue;
        }

        if (n < max && len < NCR_PRICE_CELL - 1) {
            cells[n][len++] = (char) c;
            cells[n][len] = '\0';
        }
    }

    text->data = p;
    text->len = (size_t) (last - p);

    return ncr_min(n + 1, max);
}


static void
ncr_csv_head(char cells[][NCR_PRICE_CELL], ncr_uint_t n, ncr_int_t *columns)
{
    ncr_uint_t       i;
    ncr_csv_name_t  *name;

    for (i = 0; i < NCR_CSV_FIELDS; i++) {
        columns[i] = -1;
    }

    for (i = 0; i < n; i++) {

        for (name = ncr_csv_names; name->name; name++) {
            if (strcmp(cells[i], name->name) == 0) {
                columns[name->field] = (ncr_int_t) i;
                break;
            }
        }
    }
}


static const char *
ncr_csv_row(cJSON *models, char cells[][NCR_PRICE_CELL], ncr_int_t *columns)
{
    char         name[NCR_PRICE_CELL];
    size_t       len;
    ncr_uint_t   i;
    const char  *model, *alias, *tier, *wrong;

    model = ncr_csv_cell(cells, columns, NCR_CSV_MODEL);
    tier = ncr_csv_cell(cells, columns, NCR_CSV_TIER);

    for (i = 0; i < NCR_PRICE_TIERS; i++) {
        if (strcmp(tier, ncr_price_text_tiers[i]) == 0) {
            break;
        }
    }

    /* what has no price is left out, as everywhere; variants that are no
     * tier are notes for people */

    if (model[0] == '\0' || (tier[0] && i == NCR_PRICE_TIERS)
        || ncr_csv_cell(cells, columns, NCR_CSV_RATES)[0] == '\0'
        || ncr_csv_cell(cells, columns, NCR_CSV_RATES + 1)[0] == '\0')
    {
        return NULL;
    }

    wrong = ncr_csv_model(models, model, cells, columns);
    alias = ncr_csv_cell(cells, columns, NCR_CSV_ALIASES);

    while (wrong == NULL && *alias) {
        len = strcspn(alias, ";");

        if (len) {
            memcpy(name, alias, len);
            name[len] = '\0';
            wrong = ncr_csv_model(models, name, cells, columns);
        }

        alias += len + (alias[len] == ';');
    }

    return wrong;
}


static const char *
ncr_csv_model(cJSON *models, const char *model,
    char cells[][NCR_PRICE_CELL], ncr_int_t *columns)
{
    cJSON       *row, *longer;
    ncr_uint_t   i, tier;
    const char  *wrong, *cell;

    row = cJSON_CreateObject();
    wrong = NULL;

    cell = ncr_csv_cell(cells, columns, NCR_CSV_TIER);

    if (cell[0]) {
        (void) cJSON_AddStringToObject(row, "tier", cell);
    }

    ncr_csv_dates(row, cells, columns);

    for (i = 0; wrong == NULL && i < NCR_PRICE_KINDS; i++) {
        wrong = ncr_csv_number(row, ncr_price_text_kinds[i],
                               ncr_csv_cell(cells, columns,
                                            NCR_CSV_RATES + i));
    }

    cell = ncr_csv_cell(cells, columns, NCR_CSV_OVER);

    if (wrong == NULL && cell[0]
        && ncr_csv_cell(cells, columns, NCR_CSV_LONGER)[0]
        && ncr_csv_cell(cells, columns, NCR_CSV_LONGER + 1)[0])
    {
        wrong = ncr_csv_number(row, "over", cell);
        longer = cJSON_AddObjectToObject(row, "longer");

        for (i = 0; wrong == NULL && i < NCR_PRICE_KINDS; i++) {
            wrong = ncr_csv_number(longer, ncr_price_text_kinds[i],
                                   ncr_csv_cell(cells, columns,
                                                NCR_CSV_LONGER + i));
        }
    }

    if (wrong || !ncr_csv_add(models, model, row)) {
        cJSON_Delete(row);
        return wrong ? wrong : "no memory";
    }

    for (tier = 0; tier < 3; tier++) {

        if (ncr_csv_cell(cells, columns, NCR_CSV_TIER_OF(tier, 0))[0] == '\0'
            || ncr_csv_cell(cells, columns, NCR_CSV_TIER_OF(tier, 1))[0]
               == '\0')
        {
            continue;
        }

        row = cJSON_CreateObject();
        (void) cJSON_AddStringToObject(row, "tier",
                                       ncr_price_text_tiers[tier + 2]);
        ncr_csv_dates(row, cells, columns);

        for (i = 0; wrong == NULL && i < 3; i++) {
            wrong = ncr_csv_number(row, ncr_price_text_kinds[i],
                                   ncr_csv_cell(cells, columns,
                                                NCR_CSV_TIER_OF(tier, i)));
        }

        if (wrong || !ncr_csv_add(models, model, row)) {
            cJSON_Delete(row);
            return wrong ? wrong : "no memory";
        }
    }

    return NULL;
}


/* "2026-08" is its first day, and a day that is the last one holds still */

static void
ncr_csv_dates(cJSON *row, char cells[][NCR_PRICE_CELL], ncr_int_t *columns)
{
    char         buf[NCR_STR_RFC3339];
    size_t       len;
    ncr_str_t    s;
    ncr_uint_t   i;
    ncr_msec_t   t;
    const char  *cell;

    for (i = NCR_CSV_FROM; i <= NCR_CSV_LAST; i++) {

        cell = ncr_csv_cell(cells, columns, i);
        len = strlen(cell);

        if (len != 7 && len != 10) {
            continue;
        }

        memcpy(buf, "0000-00-01T00:00:00Z", sizeof(buf));
        memcpy(buf, cell, len);

        s.data = (ncr_char_t *) buf;
        s.len = sizeof(buf) - 1;

        /* words for people stand in these columns, too */

        if (ncr_str_time(&s, &t) != NCR_OK || t <= 0) {
            continue;
        }

        ncr_str_rfc3339(buf, (i == NCR_CSV_LAST) ? t + 86400 * 1000 : t);

        (void) cJSON_AddStringToObject(row,
                                       (i == NCR_CSV_FROM) ? "from" : "until",
                                       buf);
    }
}


static const char *
ncr_csv_number(cJSON *row, const char *name, const char *cell)
{
    char    *end;
    double   n;

    if (cell[0] == '\0') {
        return NULL;
    }

    n = strtod(cell, &end);

    if (*end != '\0') {
        return "a price in it is not a number";
    }

    return cJSON_AddNumberToObject(row, name, n) ? NULL : "no memory";
}


static const char *
ncr_csv_cell(char cells[][NCR_PRICE_CELL], ncr_int_t *columns,
    ncr_uint_t field)
{
    return (columns[field] < 0) ? "" : cells[columns[field]];
}


static ncr_uint_t
ncr_csv_add(cJSON *models, const char *model, cJSON *row)
{
    cJSON  *list;

    list = cJSON_GetObjectItemCaseSensitive(models, model);

    if (list == NULL) {
        list = cJSON_AddArrayToObject(models, model);
    }

    return list && cJSON_AddItemToArray(list, row);
}
