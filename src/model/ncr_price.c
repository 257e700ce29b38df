
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_price.h"
#include "ncr_str.h"


/* a rate is for a million tokens, a factor is in thousandths, of halves */
#define NCR_PRICE_MILLION  UINT64_C(1000000)
#define NCR_PRICE_SCALE    (NCR_PRICE_MILLION * 1000 * 2)

/* of "us", for models of this version on (anthropic.md H) */
#define NCR_PRICE_US       1100
#define NCR_PRICE_US_MAJOR 4
#define NCR_PRICE_US_MINOR 6


/* 128 bits: tokens are what an upstream says, and its word may be large */

typedef struct {
    uint64_t  high;
    uint64_t  low;
} ncr_price_sum_t;


static ncr_str_t ncr_price_bare(ncr_str_t *model, ncr_uint_t *azure);
static size_t ncr_price_release(ncr_str_t *s);
static ncr_uint_t ncr_price_ends(ncr_str_t *s, const char *end);
static size_t ncr_price_undated(const char *model, size_t len);
static const ncr_price_t *ncr_price_row(const ncr_prices_t *prices,
    const char *model, ncr_tier_e tier, ncr_msec_t time);
static const ncr_price_t *ncr_price_rows_of(const ncr_prices_t *prices,
    char *model, ncr_tier_e tier, ncr_msec_t time);
static ncr_rates_t ncr_price_rates(const ncr_price_t *row, uint64_t prompt);
static uint64_t ncr_price_told(uint64_t rate, uint64_t otherwise);
static void ncr_price_part(ncr_price_sum_t *sum, const ncr_price_t *row,
    ncr_usage_t *u);
static ncr_uint_t ncr_price_version_part(const char **p, ncr_uint_t *n);
static uint64_t ncr_price_plus(uint64_t a, uint64_t b);
static void ncr_price_sum(ncr_price_sum_t *sum, uint64_t a, uint64_t b);
static void ncr_price_add(ncr_price_sum_t *sum, ncr_price_sum_t *more,
    uint32_t times);
static uint64_t ncr_price_round(ncr_price_sum_t *sum);


void
ncr_usage_add(ncr_usage_t *u, const ncr_usage_t *more)
{
    u->input = ncr_price_plus(u->input, more->input);
    u->output = ncr_price_plus(u->output, more->output);
    u->cache_read = ncr_price_plus(u->cache_read, more->cache_read);
    u->cache_write = ncr_price_plus(u->cache_write, more->cache_write);
    u->cache_write_5m = ncr_price_plus(u->cache_write_5m,
                                       more->cache_write_5m);
    u->cache_write_1h = ncr_price_plus(u->cache_write_1h,
                                       more->cache_write_1h);
    u->thinking = ncr_price_plus(u->thinking, more->thinking);
    u->web_searches = ncr_price_plus(u->web_searches, more->web_searches);
    u->web_fetches = ncr_price_plus(u->web_fetches, more->web_fetches);
}


/*
 * The many names of one model (anthropic.md H, I.1): of an ARN and of
 * "vendor/model" the last part counts, of "us.anthropic.model" what follows
 * the vendor.  Azure's prices are its own, so that is a part of the name.
 */

size_t
ncr_price_model(char *dst, size_t size, ncr_str_t *model)
{
    size_t       i, n;
    ncr_str_t    s;
    ncr_uint_t   azure;

    if (size == 0) {
        return 0;
    }

    s = ncr_price_bare(model, &azure);
    n = 0;

    if (azure && s.len) {
        n = ncr_min(sizeof("azure/") - 1, size - 1);
        memcpy(dst, "azure/", n);
    }

    s.len = ncr_min(s.len, size - 1 - n);

    ncr_str_lowcase((ncr_char_t *) dst + n, s.data, s.len);

    /* Google's way to write a date */

    for (i = n; i < n + s.len; i++) {
        if (dst[i] == '@') {
            dst[i] = '-';
        }
    }

    n += s.len;
    dst[n] = '\0';

    return n;
}


/* the part of a name that says which model it is */

static ncr_str_t
ncr_price_bare(ncr_str_t *model, ncr_uint_t *azure)
{
    size_t      i;
    ncr_str_t   s, head;

    s = *model;
    head.data = s.data;
    head.len = ncr_min(s.len, sizeof("azure/") - 1);

    *azure = ncr_str_caseeq(&head, "azure/");

    for (i = s.len; i > 0; i--) {
        if (s.data[i - 1] == '/') {
            s.data += i;
            s.len -= i;
            break;
        }
    }

    for (i = 0; i + sizeof("anthropic.") - 1 <= s.len; i++) {
        head.data = s.data + i;
        head.len = sizeof("anthropic.") - 1;

        if (ncr_str_caseeq(&head, "anthropic.")) {
            s.data += i + head.len;
            s.len -= i + head.len;
            break;
        }
    }

    /* "[1m]" */

    if (s.len && s.data[s.len - 1] == ']') {

        for (i = s.len; i > 0; i--) {
            if (s.data[i - 1] == '[') {
                s.len = i - 1;
                break;
            }
        }
    }

    s.len -= ncr_price_release(&s);

    if (ncr_price_ends(&s, "-latest") || ncr_price_ends(&s, "@latest")) {
        s.len -= sizeof("-latest") - 1;

    } else if (ncr_price_ends(&s, "@default")) {
        s.len -= sizeof("@default") - 1;
    }

    return s;
}


/* the length of "-v1:0", "-v1:0:200k" or, of a Claude, "-v1" at the end */

static size_t
ncr_price_release(ncr_str_t *s)
{
    size_t       i;
    ncr_str_t    head;
    ncr_char_t   c;
    ncr_uint_t   colon;

    colon = 0;

    for (i = s->len; i > 0; i--) {
        c = s->data[i - 1];

        if (c == ':') {
            colon = 1;

        } else if (!((c >= '0' && c <= '9') || c == 'k')) {
            break;
        }
    }

    if (i < 2 || i == s->len || (s->data[i - 1] | 0x20) != 'v'
        || s->data[i - 2] != '-')
    {
        return 0;
    }

    head.data = s->data;
    head.len = ncr_min(s->len, sizeof("claude-") - 1);

    return (colon || ncr_str_caseeq(&head, "claude-")) ? s->len - i + 2 : 0;
}


static ncr_uint_t
ncr_price_ends(ncr_str_t *s, const char *end)
{
    ncr_str_t  tail;

    tail.len = strlen(end);

    if (s->len < tail.len) {
        return 0;
    }

    tail.data = s->data + s->len - tail.len;

    return ncr_str_caseeq(&tail, end);
}


/* the length without "-20251001" or "-2025-10-01" at the end */

static size_t
ncr_price_undated(const char *model, size_t len)
{
    size_t       i, n;
    const char  *form, *p;

    static const char *const  forms[] = { "-20nnnnnn", "-20nn-nn-nn" };

    for (n = 0; n < 2; n++) {
        form = forms[n];
        i = strlen(form);

        if (len <= i) {
            continue;
        }

        p = model + len - i;

        for (i = 0; form[i]; i++) {
            if (form[i] == 'n' ? (p[i] < '0' || p[i] > '9') : p[i] != form[i])
            {
                break;
            }
        }

        if (form[i] == '\0') {
            return len - i;
        }
    }

    return len;
}


const ncr_price_t *
ncr_price_find(const ncr_prices_t *prices, ncr_str_t *model, ncr_tier_e tier,
    ncr_msec_t time)
{
    char                 name[NCR_MODEL_LEN];
    const ncr_price_t   *row;
    const ncr_prices_t  *table;

    if (ncr_price_model(name, sizeof(name), model) == 0) {
        return NULL;
    }

    for ( ;; ) {

        for (table = prices; table; table = table->base) {
            row = ncr_price_rows_of(table, name, tier, time);

            if (row) {
                return row;
            }
        }

        /* a tier that is not sold apart is billed as standard */

        if (tier == NCR_TIER_STANDARD) {
            return NULL;
        }

        tier = NCR_TIER_STANDARD;
    }
}


/* by its name, by that without a date, and both without Azure's */

static const ncr_price_t *
ncr_price_rows_of(const ncr_prices_t *prices, char *model, ncr_tier_e tier,
    ncr_msec_t time)
{
    char                c;
    size_t              len, undated;
    const ncr_price_t  *row;

    for ( ;; ) {
        row = ncr_price_row(prices, model, tier, time);

        if (row) {
            return row;
        }

        len = strlen(model);
        undated = ncr_price_undated(model, len);

        if (undated < len) {
            c = model[undated];
            model[undated] = '\0';

            row = ncr_price_row(prices, model, tier, time);

            model[undated] = c;

            if (row) {
                return row;
            }
        }

        if (strncmp(model, "azure/", 6) != 0) {
            return NULL;
        }

        model += 6;
    }
}


static const ncr_price_t *
ncr_price_row(const ncr_prices_t *prices, const char *model, ncr_tier_e tier,
    ncr_msec_t time)
{
    ncr_uint_t          low, high, mid;
    const ncr_price_t  *row, *last;

    low = 0;
    high = prices->n;

    while (low < high) {
        mid = (low + high) / 2;

        if (strcmp(prices->rows[mid].model, model) < 0) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    last = prices->rows + prices->n;

    for (row = prices->rows + low; row < last; row++) {

        if (strcmp(row->model, model) != 0) {
            break;
        }

        if (row->tier == tier && row->from <= time
            && (row->until == 0 || time < row->until))
        {
            return row;
        }
    }

    return NULL;
}


/* a kind that has no rate of its own costs what the plain one does */

static ncr_rates_t
ncr_price_rates(const ncr_price_t *row, uint64_t prompt)
{
    ncr_rates_t  rates;

    rates = (row->over && prompt > row->over) ? row->longer : row->rates;

    rates.input = ncr_price_told(rates.input, row->rates.input);
    rates.output = ncr_price_told(rates.output, row->rates.output);
    rates.cache_read = ncr_price_told(rates.cache_read, rates.input);
    rates.cache_write_5m = ncr_price_told(rates.cache_write_5m, rates.input);
    rates.cache_write_1h = ncr_price_told(rates.cache_write_1h,
                                          rates.cache_write_5m);
    return rates;
}


static uint64_t
ncr_price_told(uint64_t rate, uint64_t otherwise)
{
    return rate == NCR_PRICE_NONE ? otherwise : rate;
}


ncr_int_t
ncr_price_bill(const ncr_prices_t *prices, ncr_bill_t *bill, uint64_t *cost)
{
    uint32_t             times;
    ncr_int_t            rc;
    ncr_str_t            model;
    ncr_uint_t           i, permille;
    ncr_usage_t         *u;
    ncr_price_sum_t      total, part;
    const ncr_price_t   *row;

    rc = NCR_OK;
    permille = bill->permille ? bill->permille : 1000;

    memset(&total, 0, sizeof(ncr_price_sum_t));

    for (i = 0; i < bill->nparts; i++) {
        u = &bill->parts[i].usage;

        model.data = (ncr_char_t *) bill->parts[i].model;
        model.len = strlen(bill->parts[i].model);

        row = bill->rows ? bill->rows[i]
                         : ncr_price_find(prices, &model, bill->tier,
                                          bill->time);

        if (row == NULL) {
            rc = NCR_DECLINED;
            continue;
        }

        memset(&part, 0, sizeof(ncr_price_sum_t));
        ncr_price_part(&part, row, u);

        /* half the price, where nobody says what a batch costs */

        times = (uint32_t) permille * 2;

        if (bill->tier == NCR_TIER_BATCH && row->tier != NCR_TIER_BATCH) {
            times /= 2;
        }

        ncr_price_add(&total, &part, times);

        /* not a matter of tokens: neither a tier nor a region changes it */

        memset(&part, 0, sizeof(ncr_price_sum_t));
        ncr_price_sum(&part, u->web_searches, prices->search);
        ncr_price_add(&total, &part, NCR_PRICE_SCALE);
    }

    *cost = ncr_price_round(&total);

    return rc;
}


static void
ncr_price_part(ncr_price_sum_t *sum, const ncr_price_t *row, ncr_usage_t *u)
{
    uint64_t      prompt, writes, hour;
    ncr_rates_t   rates;

    /* without a breakdown all writes are of five minutes (E.4) */

    hour = u->cache_write_1h;
    writes = ncr_price_plus(u->cache_write_5m, hour);
    writes = ncr_max(writes, u->cache_write);

    prompt = ncr_price_plus(u->input, u->cache_read);
    prompt = ncr_price_plus(prompt, writes);

    rates = ncr_price_rates(row, prompt);

    ncr_price_sum(sum, u->input, rates.input);
    ncr_price_sum(sum, u->output, rates.output);
    ncr_price_sum(sum, u->cache_read, rates.cache_read);
    ncr_price_sum(sum, writes - hour, rates.cache_write_5m);
    ncr_price_sum(sum, hour, rates.cache_write_1h);
}


ncr_int_t
ncr_price_most(const ncr_prices_t *prices, ncr_str_t *model, ncr_msec_t time,
    uint64_t input, uint64_t output, uint64_t *cost)
{
    uint64_t            dearest, most;
    ncr_str_t           us;
    ncr_uint_t          tier;
    ncr_rates_t         rates;
    ncr_price_sum_t     total, part;
    const ncr_price_t  *row;

    *cost = 0;

    ncr_str_set(&us, "us");

    for (tier = NCR_TIER_STANDARD; tier <= NCR_TIER_BATCH; tier++) {
        row = ncr_price_find(prices, model, (ncr_tier_e) tier, time);

        if (row == NULL) {
            continue;
        }

        rates = ncr_price_rates(row, input);

        dearest = ncr_max(rates.input, rates.cache_read);
        dearest = ncr_max(dearest, rates.cache_write_5m);
        dearest = ncr_max(dearest, rates.cache_write_1h);

        memset(&part, 0, sizeof(ncr_price_sum_t));
        memset(&total, 0, sizeof(ncr_price_sum_t));

        ncr_price_sum(&part, input, dearest);
        ncr_price_sum(&part, output, rates.output);
        ncr_price_add(&total, &part,
                      (uint32_t) ncr_price_permille(model, &us) * 2);

        most = ncr_price_round(&total);
        *cost = ncr_max(*cost, most);
    }

    /* a tier is billed as standard, so there is one for all or for none */

    return ncr_price_find(prices, model, NCR_TIER_STANDARD, time)
           ? NCR_OK : NCR_DECLINED;
}


ncr_uint_t
ncr_price_permille(ncr_str_t *model, ncr_str_t *geo)
{
    char         name[NCR_MODEL_LEN];
    const char  *p;
    ncr_uint_t   major, minor;

    if (!ncr_str_caseeq(geo, "us")) {
        return 1000;
    }

    (void) ncr_price_model(name, sizeof(name), model);

    /* "claude-opus-4-8", "claude-opus-5": not "claude-3-opus" */

    if (strncmp(name, "claude-", 7) != 0) {
        return 1000;
    }

    for (p = name + 7; *p >= 'a' && *p <= 'z'; p++) { /* void */ }

    if (p == name + 7 || !ncr_price_version_part(&p, &major)) {
        return 1000;
    }

    if (!ncr_price_version_part(&p, &minor)) {
        minor = 0;
    }

    return (major > NCR_PRICE_US_MAJOR
            || (major == NCR_PRICE_US_MAJOR && minor >= NCR_PRICE_US_MINOR))
           ? NCR_PRICE_US : 1000;
}


/* "-4", one or two digits: eight are a date */

static ncr_uint_t
ncr_price_version_part(const char **pos, ncr_uint_t *n)
{
    const char  *p;

    p = *pos;

    if (*p != '-') {
        return 0;
    }

    *n = 0;

    for (p++; *p >= '0' && *p <= '9' && p - *pos < 4; p++) {
        *n = *n * 10 + (ncr_uint_t) (*p - '0');
    }

    if (p == *pos + 1 || p > *pos + 3) {
        return 0;
    }

    *pos = p;

    return 1;
}


static uint64_t
ncr_price_plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}


/* sum += a * b */

static void
ncr_price_sum(ncr_price_sum_t *sum, uint64_t a, uint64_t b)
{
    uint64_t  low, mid, other, high;

    low = (a & UINT32_MAX) * (b & UINT32_MAX);
    mid = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
    other = (a & UINT32_MAX) * (b >> 32) + (mid & UINT32_MAX);
    high = (a >> 32) * (b >> 32) + (mid >> 32) + (other >> 32);
    low = (other << 32) | (low & UINT32_MAX);

    sum->low += low;
    high += (sum->low < low);

    /* all is lost above: what is rounded from it is the most there is */

    sum->high = ncr_price_plus(sum->high, high);
}


static void
ncr_price_add(ncr_price_sum_t *sum, ncr_price_sum_t *more, uint32_t times)
{
    ncr_price_sum_t  high;

    memset(&high, 0, sizeof(ncr_price_sum_t));

    ncr_price_sum(sum, more->low, times);
    ncr_price_sum(&high, more->high, times);

    sum->high = ncr_price_plus(sum->high, high.high ? UINT64_MAX : high.low);
}


/* divided by what all is multiplied with, half up */

static uint64_t
ncr_price_round(ncr_price_sum_t *sum)
{
    uint64_t    rest, result;
    ncr_uint_t  i;

    if (sum->high >= NCR_PRICE_SCALE) {
        return UINT64_MAX;
    }

    rest = sum->high;
    result = 0;

    if (rest == 0) {
        result = sum->low / NCR_PRICE_SCALE;
        rest = sum->low % NCR_PRICE_SCALE;

        return result + (rest >= NCR_PRICE_SCALE / 2);
    }

    /* the divisor has 31 bits, so there is room to shift a rest */

    for (i = 64; i-- > 0; /* void */ ) {
        rest = (rest << 1) | ((sum->low >> i) & 1);
        result <<= 1;

        if (rest >= NCR_PRICE_SCALE) {
            rest -= NCR_PRICE_SCALE;
            result |= 1;
        }
    }

    if (rest >= NCR_PRICE_SCALE / 2 && result < UINT64_MAX) {
        result++;
    }

    return result;
}
