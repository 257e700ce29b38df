
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_codec_request.h"
#include "ncr_json_plain.h"


static ncr_uint_t ncr_request_again(ncr_keys_t *keys, ncr_str_t *name,
    ncr_uint_t number);


void
ncr_request_init(ncr_request_t *told, ncr_members_t *members,
    ncr_keys_t *keys)
{
    told->max_tokens = -1;
    told->members = members;

    members->n = 0;
    members->open = 0;
    members->close = 0;

    keys->known = 0;
    keys->nothers = 0;
    keys->len = 0;
}


ncr_int_t
ncr_request_feed(ncr_json_t *json, ncr_prefix_t *prefix, ncr_char_t *p,
    size_t len)
{
    ncr_int_t  rc;

    prefix->chunk = p;

    rc = ncr_json_feed(json, p, len);

    if (rc != NCR_OK && rc != NCR_AGAIN) {
        return NCR_BAD;
    }

    if (prefix->hashing) {
        ncr_prefix_to(prefix, prefix->base + len);
    }

    prefix->base += len;

    return NCR_OK;
}


ncr_str_t
ncr_request_error(ncr_request_t *told, ncr_json_t *json, ncr_keys_t *keys,
    char *buf, size_t size)
{
    ncr_out_t    out;
    ncr_str_t    text, name;
    const char  *p, *mark;

    ncr_out_init(&out, (ncr_char_t *) buf, size);

    p = told->error;

    if (p == NULL) {
        ncr_out_text(&out, "request body is not valid JSON: ");
        ncr_out_text(&out, json->error ? json->error : "unknown");
        ncr_out_text(&out, " at byte ");
        ncr_out_int(&out, (int64_t) json->offset);

    } else {
        mark = strchr(p, '%');

        if (mark == NULL) {
            ncr_out_text(&out, p);

        } else {
            name.data = keys->text;
            name.len = keys->len;

            ncr_out_bytes(&out, p, (size_t) (mark - p));
            ncr_out_json_string(&out, &name);
            ncr_out_text(&out, mark + 1);
        }
    }

    text.data = out.start;
    text.len = (size_t) (out.last - out.start);

    return text;
}


/* the JSON of two readers that differ here is dangerous */

ncr_int_t
ncr_request_key(ncr_request_t *told, ncr_json_t *json, ncr_keys_t *keys,
    ncr_str_t *name)
{
    ncr_int_t  rc;

    rc = ncr_json_plain(json, name);

    keys->len = ncr_min(name->len, sizeof(keys->text));
    memcpy(keys->text, name->data, keys->len);

    if (rc == NCR_BAD) {
        return ncr_request_bad(told, "invalid escape in a key");
    }

    if (rc == NCR_DECLINED) {
        return ncr_request_bad(told, "key % is too long");
    }

    return NCR_OK;
}


ncr_int_t
ncr_request_member(ncr_request_t *told, ncr_json_t *json, ncr_keys_t *keys,
    ncr_str_t *name, ncr_uint_t number)
{
    if (ncr_request_again(keys, name, number)) {
        return ncr_request_bad(told, "duplicate key %");
    }

    if (told->members->n == NCR_MEMBERS) {
        return ncr_request_bad(told, "too many fields");
    }

    ncr_members_place(told->members, number, json);

    return NCR_OK;
}


/* remembers the key, whose name is known or is one of the others */

static ncr_uint_t
ncr_request_again(ncr_keys_t *keys, ncr_str_t *name, ncr_uint_t number)
{
    size_t    i;
    uint64_t  hash, bit;

    if (number) {
        bit = (uint64_t) 1 << number;

        if (keys->known & bit) {
            return 1;
        }

        keys->known |= bit;

        return 0;
    }

    /* FNV-1a of 64 bits: names collide for those only who look for it */

    hash = 0xcbf29ce484222325;

    for (i = 0; i < name->len; i++) {
        hash = (hash ^ name->data[i]) * 0x100000001b3;
    }

    for (i = 0; i < keys->nothers; i++) {
        if (keys->others[i] == hash) {
            return 1;
        }
    }

    if (keys->nothers < NCR_MEMBERS) {
        keys->others[keys->nothers++] = hash;
    }

    return 0;
}


void
ncr_members_place(ncr_members_t *members, ncr_uint_t name, ncr_json_t *json)
{
    ncr_member_t  *m;

    m = &members->member[members->n++];

    m->name = name;
    m->key = json->start;
    m->start = 0;
    m->end = 0;
}


/* an array where an object should be has values, and no member */

void
ncr_members_span(ncr_members_t *members, ncr_json_t *json,
    ncr_json_token_e token)
{
    ncr_member_t  *m;

    if (members->n == 0) {
        return;
    }

    m = &members->member[members->n - 1];

    if (token != NCR_JSON_OBJECT_END && token != NCR_JSON_ARRAY_END) {
        m->start = json->start;
    }

    m->end = json->end;
}


ncr_int_t
ncr_request_model(ncr_request_t *told, ncr_json_t *json,
    ncr_json_token_e token, ncr_char_t *buf, ncr_uint_t required)
{
    size_t      i;
    ncr_int_t   rc;
    ncr_str_t   s;
    ncr_char_t  text[NCR_JSON_TEXT];

    if (token != NCR_JSON_STRING) {

        if (!required) {
            return NCR_OK;
        }

        return ncr_request_bad(told, "model must be a string");
    }

    s.data = text;

    rc = ncr_json_plain(json, &s);

    if (rc == NCR_BAD) {
        return ncr_request_bad(told, "invalid escape in model");
    }

    if (rc == NCR_DECLINED || s.len >= NCR_MODEL_LEN) {
        return ncr_request_bad(told, "model is too long");
    }

    if (s.len == 0 && required) {
        return ncr_request_bad(told, "model is empty");
    }

    for (i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] == 0x7f) {
            return ncr_request_bad(told, "control character in model");
        }
    }

    memcpy(buf, s.data, s.len);

    told->model.data = buf;
    told->model.len = s.len;
    told->model_start = json->start;
    told->model_end = json->end;

    return NCR_OK;
}


ncr_int_t
ncr_request_number(ncr_json_t *json, int64_t *n)
{
    *n = 0;

    if (json->cut || json->text.len > NCR_JSON_TEXT) {
        return NCR_BAD;
    }

    return ncr_json_int(&json->text, n);
}


void
ncr_request_session(ncr_request_t *told, ncr_char_t *buf, size_t size,
    ncr_str_t *session)
{
    told->session.data = buf;
    told->session.len = ncr_min(session->len, size);

    memcpy(buf, session->data, told->session.len);
}


void
ncr_prefix_part(ncr_prefix_t *prefix)
{
    prefix->n = 0;

    ncr_sha256_init(prefix->sha);
}


void
ncr_prefix_value(ncr_prefix_t *prefix, ncr_json_t *json)
{
    prefix->hashing = 1;
    prefix->lead = 1;
    prefix->depth = json->depth;
    prefix->from = json->end;
}


void
ncr_prefix_to(ncr_prefix_t *prefix, uint64_t end)
{
    uint64_t  from;

    from = ncr_max(prefix->from, prefix->base);

    if (end <= from) {
        return;
    }

    prefix->from = end;

    ncr_prefix_add(prefix, prefix->chunk + (from - prefix->base),
                   (size_t) (end - from));
}


void
ncr_prefix_add(ncr_prefix_t *prefix, ncr_char_t *p, size_t len)
{
    while (prefix->lead && len) {

        if (*p != ':' && *p != ' ' && *p != '\t' && *p != '\r' && *p != '\n')
        {
            prefix->lead = 0;
            break;
        }

        p++;
        len--;
    }

    len = (size_t) ncr_min((uint64_t) len, prefix->max - prefix->n);

    if (len == 0) {
        return;
    }

    ncr_sha256_update(prefix->sha, p, len);

    if (prefix->also) {
        ncr_sha256_update(prefix->also, p, len);
    }

    prefix->n += len;
}


void
ncr_prefix_digest(ncr_prefix_t *prefix, ncr_request_t *told,
    ncr_char_t *first, ncr_char_t *second)
{
    if (first == NULL && second == NULL) {
        return;
    }

    ncr_sha256_init(prefix->sha);

    if (first) {
        ncr_sha256_update(prefix->sha, first, NCR_SHA256_LEN);
    }

    if (second) {
        ncr_sha256_update(prefix->sha, second, NCR_SHA256_LEN);
    }

    ncr_sha256_final(prefix->sha, told->digest);

    told->hashed = 1;
}
