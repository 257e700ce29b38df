
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_limit.h"
#include "ncr_str.h"


#define NCR_LIMIT_MILLION  1000000

/* more than anybody's budget, and sums of some of them fit into 64 bits */
#define NCR_LIMIT_MOST     UINT64_C(1000000000000000000)

/* ten years */
#define NCR_LIMIT_LONGEST  (INT64_C(3650) * 86400 * 1000)

#define NCR_LIMIT_BASIS    UINT64_C(0xcbf29ce484222325)     /* FNV-1a */
#define NCR_LIMIT_PRIME    UINT64_C(0x100000001b3)


typedef struct {
    ncr_uint_t   models;
    ncr_uint_t   reset;
} ncr_limit_seen_t;


static ncr_str_t ncr_limit_cut(ncr_str_t *s, const char *stops);
static const char *ncr_limit_parse_amount(ncr_limit_t *limit, ncr_str_t *s);
static const char *ncr_limit_parse_window(ncr_limit_t *limit, ncr_str_t *s);
static const char *ncr_limit_parse_option(ncr_limit_t *limit, ncr_str_t *s,
    ncr_limit_seen_t *seen);
static const char *ncr_limit_parse_models(ncr_limit_t *limit, ncr_str_t *s);
static const char *ncr_limit_parse_reset(ncr_limit_t *limit, ncr_str_t *s);
static size_t ncr_limit_print_amount(ncr_limit_t *limit, char *buf);
static size_t ncr_limit_print_reset(ncr_limit_t *limit, char *buf);
static size_t ncr_limit_add(char *dst, size_t size, size_t len,
    const char *text, size_t n);
static void ncr_limit_identify(ncr_limit_t *limit);
static uint64_t ncr_limit_hash(uint64_t hash, const void *p, size_t len);
static uint64_t ncr_limit_hash_number(uint64_t hash, uint64_t n);
static uint64_t ncr_limit_mix(uint64_t n);
static uint64_t ncr_limit_sum(uint64_t a, uint64_t b);


static const char *const  ncr_limit_units[] = {
    "requests", "input", "output", "tokens", "cost", "concurrency"
};

/* in the order of ncr_span_e */

static const char *const  ncr_limit_spans[] = {
    "minute", "hour", "day", "week", "month", "total"
};

static const char *const  ncr_limit_weekdays[] = {
    "mon", "tue", "wed", "thu", "fri", "sat", "sun"
};


ncr_int_t
ncr_limit_parse(ncr_limit_t *limit, ncr_str_t *text, const char **error)
{
    ncr_str_t         rest, word, part;
    ncr_uint_t        i;
    ncr_limit_seen_t  seen;

    memset(limit, 0, sizeof(ncr_limit_t));
    memset(&seen, 0, sizeof(ncr_limit_seen_t));

    limit->weekday = 1;
    limit->span = NCR_SPAN_TOTAL;

    rest = *text;

    do {
        word = ncr_limit_cut(&rest, " ");
    } while (word.len == 0 && rest.len);

    part = ncr_limit_cut(&word, ":");

    for (i = 0; i < NCR_UNITS; i++) {
        if (ncr_str_eq(&part, ncr_limit_units[i])) {
            break;
        }
    }

    if (i == NCR_UNITS) {
        *error = "the unit is none of requests, input, output, tokens, cost, "
                 "concurrency";
        return NCR_BAD;
    }

    limit->unit = (uint8_t) i;

    part = ncr_limit_cut(&word, "/");

    *error = ncr_limit_parse_amount(limit, &part);

    /* what is cut off is at least the "/" */

    if (*error == NULL && word.data != part.data + part.len) {
        *error = ncr_limit_parse_window(limit, &word);
    }

    while (*error == NULL && rest.len) {
        word = ncr_limit_cut(&rest, " ");

        if (word.len) {
            *error = ncr_limit_parse_option(limit, &word, &seen);
        }
    }

    if (*error) {
        return NCR_BAD;
    }

    ncr_limit_identify(limit);

    return NCR_OK;
}


/* s up to one of the stops; s is what follows it */

static ncr_str_t
ncr_limit_cut(ncr_str_t *s, const char *stops)
{
    size_t     n;
    ncr_str_t  word;

    for (n = 0; n < s->len; n++) {
        if (s->data[n] && strchr(stops, s->data[n])) {
            break;
        }
    }

    word.len = n;
    word.data = s->data;

    n += (n < s->len);

    s->data += n;
    s->len -= n;

    return word;
}


/* a number, maybe with a fraction and k or m; whole in its smallest unit */

static const char *
ncr_limit_parse_amount(ncr_limit_t *limit, ncr_str_t *s)
{
    size_t       i, end;
    uint64_t     value, scale;
    ncr_char_t   c;
    ncr_uint_t   point;

    end = s->len;
    scale = (limit->unit == NCR_UNIT_COST) ? NCR_LIMIT_MILLION : 1;

    if (end && s->data[end - 1] == 'k') {
        scale *= 1000;
        end--;

    } else if (end && s->data[end - 1] == 'm') {
        scale *= NCR_LIMIT_MILLION;
        end--;
    }

    value = 0;
    point = 0;

    for (i = 0; i < end; i++) {
        c = s->data[i];

        if (c == '.' && !point && i > 0 && i + 1 < end) {
            point = 1;
            continue;
        }

        if (c < '0' || c > '9') {
            return "the amount is not a number";
        }

        if (point) {

            if (scale % 10) {
                return "the amount has too many decimals";
            }

            scale /= 10;
        }

        value = value * 10 + (uint64_t) (c - '0');

        if (value > NCR_LIMIT_MOST / scale) {
            return "the amount is too large";
        }
    }

    if (end == 0) {
        return "there is no amount";
    }

    /* is it nothing, or everything, as elsewhere? */

    if (value == 0) {
        return "the amount is 0";
    }

    limit->amount = value * scale;

    return NULL;
}


static const char *
ncr_limit_parse_window(ncr_limit_t *limit, ncr_str_t *s)
{
    int64_t      n, unit;
    ncr_str_t    digits;
    ncr_uint_t   i;

    if (limit->unit == NCR_UNIT_CONCURRENCY) {
        return "concurrency has no window";
    }

    for (i = 0; i <= NCR_SPAN_TOTAL; i++) {
        if (ncr_str_eq(s, ncr_limit_spans[i])) {
            limit->span = (uint8_t) i;
            return NULL;
        }
    }

    n = 0;
    unit = 0;

    if (s->len) {

        switch (s->data[s->len - 1]) {

        case 's':
            unit = 1;
            break;

        case 'm':
            unit = 60;
            break;

        case 'h':
            unit = 3600;
            break;

        case 'd':
            unit = 86400;
            break;
        }
    }

    if (unit) {
        digits.len = s->len - 1;
        digits.data = s->data;

        if (ncr_str_int(&digits, &n) != NCR_OK || n < 1
            || n > NCR_LIMIT_LONGEST / 1000 / unit)
        {
            unit = 0;
        }
    }

    if (unit == 0) {
        return "the window is none of minute, hour, day, week, month, total, "
               "and no time of at most 3650d";
    }

    limit->span = NCR_SPAN_FREE;
    limit->length = n * unit * 1000;

    return NULL;
}


static const char *
ncr_limit_parse_option(ncr_limit_t *limit, ncr_str_t *s,
    ncr_limit_seen_t *seen)
{
    ncr_str_t  name, value;

    if (ncr_str_eq(s, "shadow")) {

        if (limit->shadow) {
            return "\"shadow\" is there twice";
        }

        limit->shadow = 1;
        return NULL;
    }

    value = *s;
    name = ncr_limit_cut(&value, "=");

    if (ncr_str_eq(&name, "models")) {

        if (seen->models++) {
            return "\"models=\" is there twice";
        }

        return ncr_limit_parse_models(limit, &value);
    }

    if (ncr_str_eq(&name, "reset")) {

        if (seen->reset++) {
            return "\"reset=\" is there twice";
        }

        return ncr_limit_parse_reset(limit, &value);
    }

    return "an option is none of models=, reset=, shadow";
}


/* in lower case, as the case of models does not matter */

static const char *
ncr_limit_parse_models(ncr_limit_t *limit, ncr_str_t *s)
{
    size_t  i;

    if (s->len == 0 || s->len >= NCR_LIMIT_MODELS) {
        return "\"models=\" wants a pattern of at most 63 characters";
    }

    for (i = 0; i < s->len; i++) {
        if (s->data[i] <= ' ' || s->data[i] >= 0x7f) {
            return "\"models=\" has characters that no model has";
        }
    }

    ncr_str_lowcase((ncr_char_t *) limit->models, s->data, s->len);

    return NULL;
}


static const char *
ncr_limit_parse_reset(ncr_limit_t *limit, ncr_str_t *s)
{
    int64_t      hour;
    ncr_str_t    day;
    ncr_uint_t   i;

    if (limit->span != NCR_SPAN_DAY && limit->span != NCR_SPAN_WEEK
        && limit->span != NCR_SPAN_MONTH)
    {
        return "\"reset=\" is for windows of a day, a week or a month";
    }

    if (s->len && (s->data[0] < '0' || s->data[0] > '9')) {
        day = ncr_limit_cut(s, ",");

        for (i = 0; i < 7; i++) {
            if (ncr_str_eq(&day, ncr_limit_weekdays[i])) {
                break;
            }
        }

        if (i == 7) {
            return "\"reset=\" wants an hour, or mon..sun, a comma and an "
                   "hour";
        }

        if (limit->span != NCR_SPAN_WEEK) {
            return "\"reset=\" with a day of the week is for windows of a "
                   "week";
        }

        limit->weekday = (uint8_t) (i + 1);
    }

    if (s->len > 2 || ncr_str_int(s, &hour) != NCR_OK || hour > 23) {
        return "\"reset=\" wants an hour of 00 to 23";
    }

    limit->hour = (uint8_t) hour;

    return NULL;
}


size_t
ncr_limit_print(ncr_limit_t *limit, char *dst, size_t size)
{
    char         buf[32];
    size_t       len, n;
    const char  *s;

    if (size == 0) {
        return 0;
    }

    s = ncr_limit_unit(limit->unit);

    len = ncr_limit_add(dst, size, 0, s, strlen(s));
    len = ncr_limit_add(dst, size, len, ":", 1);

    n = ncr_limit_print_amount(limit, buf);
    len = ncr_limit_add(dst, size, len, buf, n);

    if (limit->span != NCR_SPAN_TOTAL) {
        s = ncr_limit_window(limit, buf, sizeof(buf));

        len = ncr_limit_add(dst, size, len, "/", 1);
        len = ncr_limit_add(dst, size, len, s, strlen(s));
    }

    if (limit->models[0]) {
        len = ncr_limit_add(dst, size, len, " models=", 8);
        len = ncr_limit_add(dst, size, len, limit->models,
                            strlen(limit->models));
    }

    n = ncr_limit_print_reset(limit, buf);
    len = ncr_limit_add(dst, size, len, buf, n);

    if (limit->shadow) {
        len = ncr_limit_add(dst, size, len, " shadow", 7);
    }

    dst[len] = '\0';

    return len;
}


static size_t
ncr_limit_print_amount(ncr_limit_t *limit, char *buf)
{
    uint64_t     whole, rest;
    ncr_char_t  *p;

    whole = limit->amount;
    rest = 0;
    p = (ncr_char_t *) buf;

    if (limit->unit == NCR_UNIT_COST) {
        rest = whole % NCR_LIMIT_MILLION;
        whole /= NCR_LIMIT_MILLION;
    }

    if (rest) {
        p = ncr_str_decimal(p, whole);

        /* 1 before the decimals keeps their zeros, and is the point then */

        ncr_str_decimal(p, rest + NCR_LIMIT_MILLION);
        *p = '.';

        for (p += 7; p[-1] == '0'; p--) { /* void */ }

        return (size_t) ((char *) p - buf);
    }

    if (whole && whole % NCR_LIMIT_MILLION == 0) {
        p = ncr_str_decimal(p, whole / NCR_LIMIT_MILLION);
        *p++ = 'm';

    } else if (whole && whole % 1000 == 0) {
        p = ncr_str_decimal(p, whole / 1000);
        *p++ = 'k';

    } else {
        p = ncr_str_decimal(p, whole);
    }

    return (size_t) ((char *) p - buf);
}


static size_t
ncr_limit_print_reset(ncr_limit_t *limit, char *buf)
{
    size_t  n;

    if (limit->weekday == 1 && limit->hour == 0) {
        return 0;
    }

    memcpy(buf, " reset=", 7);
    n = 7;

    if (limit->weekday != 1) {
        memcpy(buf + n, ncr_limit_weekdays[(limit->weekday + 6) % 7], 3);
        n += 3;
        buf[n++] = ',';
    }

    buf[n++] = (char) ('0' + limit->hour / 10 % 10);
    buf[n++] = (char) ('0' + limit->hour % 10);

    return n;
}


/* size is one more, for the NUL */

static size_t
ncr_limit_add(char *dst, size_t size, size_t len, const char *text, size_t n)
{
    n = ncr_min(n, size - 1 - len);

    memcpy(dst + len, text, n);

    return len + n;
}


const char *
ncr_limit_unit(ncr_unit_e unit)
{
    return ncr_limit_units[ncr_min(unit, NCR_UNIT_CONCURRENCY)];
}


const char *
ncr_limit_window(ncr_limit_t *limit, char *buf, size_t size)
{
    char         unit;
    uint64_t     n;
    ncr_str_t    text;
    ncr_char_t  *p, digits[21];

    if (limit->unit == NCR_UNIT_CONCURRENCY) {
        return "";
    }

    if (limit->span < NCR_SPAN_FREE) {
        return ncr_limit_spans[limit->span];
    }

    n = (uint64_t) limit->length / 1000;
    unit = 's';

    if (n % 86400 == 0) {
        n /= 86400;
        unit = 'd';

    } else if (n % 3600 == 0) {
        n /= 3600;
        unit = 'h';

    } else if (n % 60 == 0) {
        n /= 60;
        unit = 'm';
    }

    p = ncr_str_decimal(digits, n);
    *p++ = (ncr_char_t) unit;

    text.data = digits;
    text.len = (size_t) (p - digits);

    ncr_str_copy(buf, size, &text);

    return buf;
}


ncr_uint_t
ncr_limit_matches(ncr_limit_t *limit, ncr_str_t *model)
{
    ncr_str_t  pattern;

    if (limit->models[0] == '\0') {
        return 1;
    }

    pattern.data = (ncr_char_t *) limit->models;
    pattern.len = strlen(limit->models);

    return ncr_str_glob(&pattern, model);
}


static void
ncr_limit_identify(ncr_limit_t *limit)
{
    uint64_t  hash;

    hash = ncr_limit_hash(NCR_LIMIT_BASIS, limit->models,
                          strlen(limit->models));

    hash = ncr_limit_hash_number(hash, (uint64_t) limit->length);
    hash = ncr_limit_hash_number(hash, limit->unit);
    hash = ncr_limit_hash_number(hash, limit->span);
    hash = ncr_limit_hash_number(hash, limit->weekday);
    hash = ncr_limit_hash_number(hash, limit->hour);

    limit->identity = hash;
}


static uint64_t
ncr_limit_hash(uint64_t hash, const void *p, size_t len)
{
    size_t             i;
    const ncr_char_t  *c;

    c = p;

    for (i = 0; i < len; i++) {
        hash = (hash ^ c[i]) * NCR_LIMIT_PRIME;
    }

    return hash;
}


/* counters lie on a disk: the same on a machine of another byte order */

static uint64_t
ncr_limit_hash_number(uint64_t hash, uint64_t n)
{
    ncr_uint_t  i;

    for (i = 0; i < 8; i++) {
        hash = (hash ^ (n & 0xff)) * NCR_LIMIT_PRIME;
        n >>= 8;
    }

    return hash;
}


/* owners are small numbers: each bit of one is to change half of the id */

static uint64_t
ncr_limit_mix(uint64_t n)
{
    n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);

    return n ^ (n >> 31);
}


uint64_t
ncr_limit_counter(ncr_scope_e scope, uint64_t owner, ncr_limit_t *limit)
{
    uint64_t  id;

    id = ncr_limit_mix(limit->identity + UINT64_C(0x9e3779b97f4a7c15)
                                         * ((uint64_t) scope + 1));
    id = ncr_limit_mix(id ^ ncr_limit_mix(owner));

    return id ? id : 1;
}


void
ncr_counter_roll(ncr_counter_t *counter, ncr_limit_t *limit,
    const ncr_tz_t *tz, ncr_msec_t now)
{
    if (limit->unit == NCR_UNIT_CONCURRENCY) {
        counter->end = INT64_MAX;
        return;
    }

    if (counter->start != 0 && now < counter->end) {

        if (now >= counter->start
            || counter->start - now <= counter->end - counter->start)
        {
            return;
        }

        /* made when the clock was wrong, and would last until then */
    }

    counter->used = 0;

    switch (limit->span) {

    case NCR_SPAN_TOTAL:
        counter->start = 1;
        counter->end = INT64_MAX;
        break;

    case NCR_SPAN_FREE:
        counter->start = now - now % 1000;
        counter->end = counter->start + limit->length;
        break;

    default:
        ncr_tz_span(tz, limit->span, limit->weekday, limit->hour, now,
                    &counter->start, &counter->end);
        break;
    }
}


ncr_admits_e
ncr_counter_admits(ncr_counter_t *counter, ncr_limit_t *limit, uint64_t want)
{
    uint64_t  under_way;

    if (limit->unit == NCR_UNIT_CONCURRENCY) {
        return ncr_limit_sum(counter->reserved, want) <= limit->amount
               ? NCR_ADMITS : NCR_ADMITS_BUSY;
    }

    if (counter->used >= limit->amount) {
        return NCR_ADMITS_FULL;
    }

    under_way = ncr_limit_sum(counter->used, counter->reserved);

    if (counter->reserved == 0
        || ncr_limit_sum(under_way, want) <= limit->amount)
    {
        return NCR_ADMITS;
    }

    return NCR_ADMITS_BUSY;
}


static uint64_t
ncr_limit_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}
