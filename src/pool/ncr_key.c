
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_key.h"
#include "ncr_str.h"


/* what follows a record in a row of them is aligned as it is */
#define NCR_KEY_ALIGN  8


typedef struct {
    const char  *name;
    uint32_t     bit;
} ncr_key_bit_t;


static void ncr_key_append(ncr_key_build_t *b, const void *p, size_t len);
static ncr_uint_t ncr_key_any(const ncr_key_t *key, ncr_slice_t globs,
    ncr_str_t *text);
static ncr_uint_t ncr_key_client_allowed(const ncr_key_t *key,
    ncr_key_request_t *req);
static ncr_uint_t ncr_key_address_allowed(const ncr_key_t *key,
    ncr_char_t *address);
static ncr_uint_t ncr_key_within(ncr_char_t *address, ncr_char_t *cidr);
static const char *ncr_key_bit_name(const ncr_key_bit_t *bits, uint32_t n);
static uint32_t ncr_key_bit(const ncr_key_bit_t *bits, ncr_str_t *name);


static const ncr_key_bit_t  ncr_key_services[] = {
    { "claude", NCR_SERVICE_CLAUDE },
    { "gemini", NCR_SERVICE_GEMINI },
    { "openai", NCR_SERVICE_OPENAI },
    { "droid", NCR_SERVICE_DROID },
    { "all", NCR_SERVICE_CLAUDE|NCR_SERVICE_GEMINI|NCR_SERVICE_OPENAI
             |NCR_SERVICE_DROID },
    { NULL, 0 }
};


static const ncr_key_bit_t  ncr_key_clients[] = {
    { "claude_code", NCR_CLIENT_CLAUDE_CODE },
    { "gemini_cli", NCR_CLIENT_GEMINI_CLI },
    { "codex_cli", NCR_CLIENT_CODEX_CLI },
    { "droid_cli", NCR_CLIENT_DROID_CLI },
    { NULL, 0 }
};


void
ncr_key_begin(ncr_key_build_t *b, ncr_char_t *buf, ncr_scope_e scope)
{
    b->buf = buf;
    b->key = (ncr_key_t *) (void *) buf;
    b->size = sizeof(ncr_key_t);
    b->overflow = 0;

    memset(b->key, 0, sizeof(ncr_key_t));

    b->key->scope = (uint8_t) scope;
}


ncr_int_t
ncr_key_limit(ncr_key_build_t *b, ncr_limit_t *limit)
{
    ncr_key_t  *key;

    key = b->key;

    if (key->nlimits == NCR_KEY_LIMITS
        || b->size != sizeof(ncr_key_t) + key->nlimits * sizeof(ncr_limit_t))
    {
        return NCR_DECLINED;
    }

    key->limits[key->nlimits++] = *limit;
    b->size += sizeof(ncr_limit_t);

    return NCR_OK;
}


void
ncr_key_put(ncr_key_build_t *b, ncr_slice_t *slice, ncr_str_t *text)
{
    slice->offset = (uint16_t) b->size;
    slice->len = (uint16_t) text->len;

    ncr_key_append(b, text->data, text->len);
}


void
ncr_key_add(ncr_key_build_t *b, ncr_slice_t *list, ncr_str_t *item)
{
    ncr_char_t  len[2];

    if (list->len == 0) {
        list->offset = (uint16_t) b->size;

    } else if ((size_t) list->offset + list->len != b->size) {
        b->overflow = 1;
        return;
    }

    len[0] = (ncr_char_t) (item->len & 0xff);
    len[1] = (ncr_char_t) ((item->len >> 8) & 0xff);

    ncr_key_append(b, len, 2);
    ncr_key_append(b, item->data, item->len);

    list->len = (uint16_t) (b->size - list->offset);
}


static void
ncr_key_append(ncr_key_build_t *b, const void *p, size_t len)
{
    if (b->overflow || len > NCR_KEY_MAX - b->size) {
        b->overflow = 1;
        return;
    }

    if (len) {
        memcpy(b->buf + b->size, p, len);
    }

    b->size += len;
}


ncr_int_t
ncr_key_end(ncr_key_build_t *b)
{
    static const ncr_char_t  zeros[NCR_KEY_ALIGN];

    /* the maximum is a multiple of it, too */

    ncr_key_append(b, zeros,
                   (NCR_KEY_ALIGN - b->size % NCR_KEY_ALIGN) % NCR_KEY_ALIGN);

    b->key->size = (uint32_t) b->size;

    return b->overflow ? NCR_DECLINED : NCR_OK;
}


ncr_int_t
ncr_key_next(const ncr_key_t *key, ncr_slice_t list, uint32_t *pos,
    ncr_str_t *item)
{
    size_t       len;
    ncr_char_t  *p;

    if (*pos + 2 > list.len) {
        return NCR_DONE;
    }

    p = (ncr_char_t *) ((uintptr_t) key + list.offset + *pos);
    len = (size_t) p[0] + ((size_t) p[1] << 8);

    if (len > list.len - *pos - 2) {
        return NCR_DONE;
    }

    item->data = p + 2;
    item->len = len;

    *pos += 2 + (uint32_t) len;

    return NCR_OK;
}


uint32_t
ncr_key_service(ncr_str_t *name)
{
    return ncr_key_bit(ncr_key_services, name);
}


uint32_t
ncr_key_client(ncr_str_t *name)
{
    return ncr_key_bit(ncr_key_clients, name);
}


static uint32_t
ncr_key_bit(const ncr_key_bit_t *bits, ncr_str_t *name)
{
    for ( /* void */ ; bits->name; bits++) {
        if (ncr_str_eq(name, bits->name)) {
            return bits->bit;
        }
    }

    return 0;
}


const char *
ncr_key_service_name(uint32_t bits)
{
    return ncr_key_bit_name(ncr_key_services, bits);
}


const char *
ncr_key_client_name(uint32_t bits)
{
    return ncr_key_bit_name(ncr_key_clients, bits);
}


static const char *
ncr_key_bit_name(const ncr_key_bit_t *bits, uint32_t n)
{
    for ( /* void */ ; bits->name; bits++) {
        if (bits->bit & n) {
            return bits->name;
        }
    }

    return "";
}


ncr_key_why_e
ncr_key_check(const ncr_key_t *key, ncr_key_request_t *req)
{
    ncr_msec_t  end;

    if (!key->enabled) {
        return NCR_KEY_DISABLED;
    }

    end = ncr_key_ends(key);

    if (end && end <= req->now) {
        return NCR_KEY_EXPIRED;
    }

    if (key->services && !(key->services & req->service)) {
        return NCR_KEY_SERVICE;
    }

    if (!ncr_key_client_allowed(key, req)) {
        return NCR_KEY_CLIENT;
    }

    if (key->addresses.len && !ncr_key_address_allowed(key, req->address)) {
        return NCR_KEY_ADDRESS;
    }

    return NCR_KEY_OK;
}


static ncr_uint_t
ncr_key_client_allowed(const ncr_key_t *key, ncr_key_request_t *req)
{
    if (key->clients == 0 && key->agents.len == 0) {
        return 1;
    }

    return (key->clients & req->client)
           || ncr_key_any(key, key->agents, &req->agent);
}


static ncr_uint_t
ncr_key_address_allowed(const ncr_key_t *key, ncr_char_t *address)
{
    uint32_t   pos;
    ncr_str_t  cidr;

    pos = 0;

    while (ncr_key_next(key, key->addresses, &pos, &cidr) == NCR_OK) {
        if (cidr.len == NCR_KEY_CIDR && ncr_key_within(address, cidr.data)) {
            return 1;
        }
    }

    return 0;
}


static ncr_uint_t
ncr_key_within(ncr_char_t *address, ncr_char_t *cidr)
{
    ncr_uint_t  bits, bytes, rest;

    bits = ncr_min(cidr[16], 128);
    bytes = bits / 8;
    rest = bits % 8;

    if (memcmp(address, cidr, bytes) != 0) {
        return 0;
    }

    return rest == 0
           || ((address[bytes] ^ cidr[bytes]) >> (8 - rest)) == 0;
}


ncr_key_why_e
ncr_key_check_model(const ncr_key_t *key, ncr_str_t *model)
{
    if (model->len == 0) {
        return NCR_KEY_OK;
    }

    if (ncr_key_any(key, key->denied, model)
        || (key->models.len && !ncr_key_any(key, key->models, model)))
    {
        return NCR_KEY_MODEL;
    }

    return NCR_KEY_OK;
}


static ncr_uint_t
ncr_key_any(const ncr_key_t *key, ncr_slice_t globs, ncr_str_t *text)
{
    uint32_t   pos;
    ncr_str_t  glob;

    pos = 0;

    while (ncr_key_next(key, globs, &pos, &glob) == NCR_OK) {
        if (ncr_str_glob(&glob, text)) {
            return 1;
        }
    }

    return 0;
}


ncr_msec_t
ncr_key_ends(const ncr_key_t *key)
{
    ncr_msec_t  end;

    if (key->valid_for == 0 || key->activated == 0) {
        return key->expires;
    }

    end = (key->valid_for < INT64_MAX - key->activated)
          ? key->activated + key->valid_for : INT64_MAX;

    return (key->expires && key->expires < end) ? key->expires : end;
}


ncr_uint_t
ncr_key_rate(const ncr_key_t *key, ncr_str_t *platform)
{
    int64_t    n;
    uint32_t   pos;
    ncr_str_t  rate, value;

    pos = 0;

    while (key && ncr_key_next(key, key->rates, &pos, &rate) == NCR_OK) {

        if (rate.len <= platform->len || rate.data[platform->len] != '='
            || memcmp(rate.data, platform->data, platform->len) != 0)
        {
            continue;
        }

        value.data = rate.data + platform->len + 1;
        value.len = rate.len - platform->len - 1;

        if (ncr_str_int(&value, &n) == NCR_OK && n >= 0) {
            return (ncr_uint_t) n;
        }
    }

    return 1000;
}


ncr_int_t
ncr_key_slot(ncr_str_t *model)
{
    if (ncr_str_contains(model, "opus")) {
        return NCR_SLOT_OPUS;
    }

    if (ncr_str_contains(model, "haiku")) {
        return NCR_SLOT_HAIKU;
    }

    if (ncr_str_contains(model, "sonnet")
        || ncr_str_contains(model, "claude"))
    {
        return NCR_SLOT_SONNET;
    }

    return -1;
}
