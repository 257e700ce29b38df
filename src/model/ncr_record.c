
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Packed: a byte of version, numbers as base 128 with the least bits first,
 * texts with their length in front.  A record that was put by one version of
 * the module may be read by the next one, after an upgrade: whoever changes
 * this raises the version, and goes on reading the old one.
 */


#include "ncr_record.h"


#define NCR_RECORD_VERSION  1

#define NCR_RECORD_TEXTS    18
#define NCR_RECORD_NUMBERS  24

/* of 64 bits, 7 in each byte */
#define NCR_RECORD_DIGITS   10


typedef struct {
    ncr_char_t   *p;
    ncr_char_t   *last;
    unsigned      bad:1;
} ncr_record_cursor_t;


typedef struct {
    size_t        offset;               /* of an ncr_str_t */
    size_t        max;                  /* bytes */
} ncr_record_text_t;


static void ncr_record_numbers(ncr_record_t *rec, uint64_t *n);
static ncr_int_t ncr_record_numbers_set(ncr_record_t *rec, uint64_t *n);
static void ncr_record_put(ncr_record_cursor_t *c, uint64_t n);
static void ncr_record_put_all(ncr_record_cursor_t *c, uint64_t *n,
    ncr_uint_t count);
static void ncr_record_put_bytes(ncr_record_cursor_t *c, const void *data,
    size_t len);
static void ncr_record_put_usage(ncr_record_cursor_t *c, ncr_usage_t *u);
static void ncr_record_put_parts(ncr_record_cursor_t *c, ncr_record_t *rec);
static size_t ncr_record_cut(ncr_str_t *s, size_t max);
static uint64_t ncr_record_get(ncr_record_cursor_t *c);
static void ncr_record_get_usage(ncr_record_cursor_t *c, ncr_usage_t *u);
static void ncr_record_get_parts(ncr_record_cursor_t *c, ncr_record_t *rec);
static void ncr_record_get_charges(ncr_record_cursor_t *c,
    ncr_record_t *rec);


/* with parts and charges at their longest this stays below NCR_RECORD_MAX */

static const ncr_record_text_t  ncr_record_texts[NCR_RECORD_TEXTS] = {
    { offsetof(ncr_record_t, id), 64 },
    { offsetof(ncr_record_t, provider_id), 128 },
    { offsetof(ncr_record_t, key), 64 },
    { offsetof(ncr_record_t, user), 64 },
    { offsetof(ncr_record_t, group), 64 },
    { offsetof(ncr_record_t, account), 64 },
    { offsetof(ncr_record_t, platform), 32 },
    { offsetof(ncr_record_t, dialect), 32 },
    { offsetof(ncr_record_t, op), 32 },
    { offsetof(ncr_record_t, model), 127 },
    { offsetof(ncr_record_t, served), 127 },
    { offsetof(ncr_record_t, stop), 64 },
    { offsetof(ncr_record_t, class), 32 },
    { offsetof(ncr_record_t, client), 127 },
    { offsetof(ncr_record_t, session), 64 },
    { offsetof(ncr_record_t, sticky), 16 },
    { offsetof(ncr_record_t, price), 32 },
    { offsetof(ncr_record_t, trail), 480 }
};


size_t
ncr_record_pack(ncr_char_t *dst, size_t size, ncr_record_t *rec)
{
    uint64_t              n[NCR_RECORD_NUMBERS];
    ncr_str_t            *s;
    ncr_uint_t            i;
    ncr_charge_t         *charge;
    ncr_record_cursor_t   c;

    c.p = dst;
    c.last = dst + size;
    c.bad = 0;

    ncr_record_put(&c, NCR_RECORD_VERSION);
    ncr_record_numbers(rec, n);

    ncr_record_put_all(&c, n, NCR_RECORD_NUMBERS);

    for (i = 0; i < NCR_RECORD_TEXTS; i++) {
        s = (ncr_str_t *) ((ncr_char_t *) rec + ncr_record_texts[i].offset);

        ncr_record_put_bytes(&c, s->data,
                             ncr_record_cut(s, ncr_record_texts[i].max));
    }

    ncr_record_put_parts(&c, rec);
    ncr_record_put(&c, rec->ncharges);

    for (i = 0; i < rec->ncharges; i++) {
        charge = &rec->charges[i];

        ncr_record_put(&c, charge->counter);
        ncr_record_put(&c, (uint64_t) charge->start);
        ncr_record_put(&c, (uint64_t) charge->end);
        ncr_record_put(&c, (uint64_t) charge->amount);
    }

    return c.bad ? 0 : (size_t) (c.p - dst);
}


ncr_int_t
ncr_record_unpack(ncr_record_t *rec, ncr_str_t *packed)
{
    uint64_t              len, n[NCR_RECORD_NUMBERS];
    ncr_str_t            *s;
    ncr_uint_t            i;
    ncr_record_cursor_t   c;

    memset(rec, 0, sizeof(ncr_record_t));

    c.p = packed->data;
    c.last = packed->data + packed->len;
    c.bad = 0;

    if (ncr_record_get(&c) != NCR_RECORD_VERSION) {
        return NCR_BAD;
    }

    for (i = 0; i < NCR_RECORD_NUMBERS; i++) {
        n[i] = ncr_record_get(&c);
    }

    if (ncr_record_numbers_set(rec, n) != NCR_OK) {
        return NCR_BAD;
    }

    for (i = 0; i < NCR_RECORD_TEXTS; i++) {
        s = (ncr_str_t *) ((ncr_char_t *) rec + ncr_record_texts[i].offset);

        len = ncr_record_get(&c);

        if (len > ncr_record_texts[i].max || len > (size_t) (c.last - c.p)) {
            return NCR_BAD;
        }

        s->data = c.p;
        s->len = (size_t) len;
        c.p += len;
    }

    ncr_record_get_parts(&c, rec);
    ncr_record_get_charges(&c, rec);

    return (c.bad || c.p != c.last) ? NCR_BAD : NCR_OK;
}


size_t
ncr_record_pack_parts(ncr_char_t *dst, size_t size, ncr_record_t *rec)
{
    ncr_record_cursor_t  c;

    c.p = dst;
    c.last = dst + size;
    c.bad = 0;

    ncr_record_put_parts(&c, rec);

    return c.bad ? 0 : (size_t) (c.p - dst);
}


ncr_int_t
ncr_record_unpack_parts(ncr_record_t *rec, ncr_str_t *packed)
{
    ncr_record_cursor_t  c;

    c.p = packed->data;
    c.last = packed->data + packed->len;
    c.bad = 0;

    rec->nparts = 0;
    ncr_record_get_parts(&c, rec);

    return (c.bad || c.p != c.last) ? NCR_BAD : NCR_OK;
}


static void
ncr_record_numbers(ncr_record_t *rec, uint64_t *n)
{
    n[0] = rec->kind;
    n[1] = (uint64_t) rec->time;
    n[2] = rec->key_id;
    n[3] = rec->owner;
    n[4] = rec->status;
    n[5] = rec->attempts;
    n[6] = rec->duration;
    n[7] = (rec->ttft == UINT32_MAX) ? 0 : (uint64_t) rec->ttft + 1;
    n[8] = rec->own;
    n[9] = rec->flags;
    n[10] = rec->tier;
    n[11] = rec->permille;
    n[12] = rec->rate;
    n[13] = rec->cost;
    n[14] = rec->rated;
    n[15] = rec->usage.input;
    n[16] = rec->usage.output;
    n[17] = rec->usage.cache_read;
    n[18] = rec->usage.cache_write;
    n[19] = rec->usage.cache_write_5m;
    n[20] = rec->usage.cache_write_1h;
    n[21] = rec->usage.thinking;
    n[22] = rec->usage.web_searches;
    n[23] = rec->usage.web_fetches;
}


static ncr_int_t
ncr_record_numbers_set(ncr_record_t *rec, uint64_t *n)
{
    ncr_uint_t  i;

    for (i = 4; i < 13; i++) {
        if (n[i] > UINT32_MAX) {
            return NCR_BAD;
        }
    }

    if (n[0] > NCR_RECORD_CHARGE) {
        return NCR_BAD;
    }

    rec->kind = (n[0] == NCR_RECORD_CHARGE) ? NCR_RECORD_CHARGE
                                            : NCR_RECORD_REQUEST;
    rec->time = (ncr_msec_t) n[1];
    rec->key_id = n[2];
    rec->owner = n[3];
    rec->status = (uint32_t) n[4];
    rec->attempts = (uint32_t) n[5];
    rec->duration = (uint32_t) n[6];
    rec->ttft = n[7] ? (uint32_t) (n[7] - 1) : UINT32_MAX;
    rec->own = (uint32_t) n[8];
    rec->flags = (uint32_t) n[9];
    rec->tier = (uint32_t) n[10];
    rec->permille = (uint32_t) n[11];
    rec->rate = (uint32_t) n[12];
    rec->cost = n[13];
    rec->rated = n[14];
    rec->usage.input = n[15];
    rec->usage.output = n[16];
    rec->usage.cache_read = n[17];
    rec->usage.cache_write = n[18];
    rec->usage.cache_write_5m = n[19];
    rec->usage.cache_write_1h = n[20];
    rec->usage.thinking = n[21];
    rec->usage.web_searches = n[22];
    rec->usage.web_fetches = n[23];

    return NCR_OK;
}


static void
ncr_record_put(ncr_record_cursor_t *c, uint64_t n)
{
    ncr_record_put_all(c, &n, 1);
}


/* room is looked for once, for the longest there are */

static void
ncr_record_put_all(ncr_record_cursor_t *c, uint64_t *n, ncr_uint_t count)
{
    uint64_t     value;
    ncr_uint_t   i;
    ncr_char_t  *p;

    if (count * NCR_RECORD_DIGITS > (size_t) (c->last - c->p)) {
        c->bad = 1;
        return;
    }

    p = c->p;

    for (i = 0; i < count; i++) {
        value = n[i];

        while (value > 0x7f) {
            *p++ = (ncr_char_t) (value | 0x80);
            value >>= 7;
        }

        *p++ = (ncr_char_t) value;
    }

    c->p = p;
}


static void
ncr_record_put_bytes(ncr_record_cursor_t *c, const void *data, size_t len)
{
    ncr_record_put(c, len);

    if (c->bad || len > (size_t) (c->last - c->p)) {
        c->bad = 1;
        return;
    }

    if (len) {
        memcpy(c->p, data, len);
        c->p += len;
    }
}


static void
ncr_record_put_usage(ncr_record_cursor_t *c, ncr_usage_t *u)
{
    uint64_t  n[9];

    n[0] = u->input;
    n[1] = u->output;
    n[2] = u->cache_read;
    n[3] = u->cache_write;
    n[4] = u->cache_write_5m;
    n[5] = u->cache_write_1h;
    n[6] = u->thinking;
    n[7] = u->web_searches;
    n[8] = u->web_fetches;

    ncr_record_put_all(c, n, 9);
}


static void
ncr_record_put_parts(ncr_record_cursor_t *c, ncr_record_t *rec)
{
    ncr_uint_t  i;

    ncr_record_put(c, rec->nparts);

    for (i = 0; i < rec->nparts; i++) {
        ncr_record_put_bytes(c, rec->parts[i].model,
                             strlen(rec->parts[i].model));
        ncr_record_put_usage(c, &rec->parts[i].usage);
    }
}


/* not in the middle of a character */

static size_t
ncr_record_cut(ncr_str_t *s, size_t max)
{
    size_t  len;

    if (s->len <= max) {
        return s->len;
    }

    for (len = max; len > max - 4; len--) {
        if ((s->data[len] & 0xc0) != 0x80) {
            return len;
        }
    }

    return max;
}


static uint64_t
ncr_record_get(ncr_record_cursor_t *c)
{
    uint64_t    n;
    ncr_uint_t  shift;

    n = 0;

    for (shift = 0; shift < 64; shift += 7) {

        if (c->p == c->last || (shift == 63 && *c->p > 1)) {
            break;
        }

        n |= (uint64_t) (*c->p & 0x7f) << shift;

        if (*c->p++ < 0x80) {
            return n;
        }
    }

    c->bad = 1;

    return 0;
}


static void
ncr_record_get_usage(ncr_record_cursor_t *c, ncr_usage_t *u)
{
    u->input = ncr_record_get(c);
    u->output = ncr_record_get(c);
    u->cache_read = ncr_record_get(c);
    u->cache_write = ncr_record_get(c);
    u->cache_write_5m = ncr_record_get(c);
    u->cache_write_1h = ncr_record_get(c);
    u->thinking = ncr_record_get(c);
    u->web_searches = ncr_record_get(c);
    u->web_fetches = ncr_record_get(c);
}


static void
ncr_record_get_parts(ncr_record_cursor_t *c, ncr_record_t *rec)
{
    uint64_t    n, len;
    ncr_uint_t  i;

    n = ncr_record_get(c);

    if (n > NCR_PARTS) {
        c->bad = 1;
        return;
    }

    for (i = 0; i < n; i++) {

        len = ncr_record_get(c);

        if (len >= NCR_MODEL_LEN || len > (size_t) (c->last - c->p)
            || (len && memchr(c->p, '\0', (size_t) len)))
        {
            c->bad = 1;
            return;
        }

        memcpy(rec->parts[i].model, c->p, (size_t) len);
        rec->parts[i].model[len] = '\0';
        c->p += len;

        ncr_record_get_usage(c, &rec->parts[i].usage);
    }

    rec->nparts = (ncr_uint_t) n;
}


static void
ncr_record_get_charges(ncr_record_cursor_t *c, ncr_record_t *rec)
{
    uint64_t       n;
    ncr_uint_t     i;
    ncr_charge_t  *charge;

    n = ncr_record_get(c);

    if (n > NCR_RECORD_CHARGES) {
        c->bad = 1;
        return;
    }

    for (i = 0; i < n; i++) {
        charge = &rec->charges[i];

        charge->counter = ncr_record_get(c);
        charge->start = (ncr_msec_t) ncr_record_get(c);
        charge->end = (ncr_msec_t) ncr_record_get(c);
        charge->amount = (int64_t) ncr_record_get(c);
    }

    rec->ncharges = (ncr_uint_t) n;
}
