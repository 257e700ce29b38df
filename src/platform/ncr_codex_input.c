
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Items of a request's input that this back end refuses (others.md A12): ids
 * must have the prefix of their kind, and what is encrypted must be its own.
 */


#include "ncr_codex.h"
#include "ncr_json.h"
#include "ncr_str.h"


typedef struct {
    ncr_str_t     input;
    ncr_char_t   *out;
    ncr_uint_t    bare;
    ncr_uint_t    ids;

    ncr_uint_t    items;                /* written */
    ncr_uint_t    changed;

    /* the item at hand; offsets in input */

    uint64_t      item;
    uint64_t      before;               /* the end of the member before */
    uint64_t      id_key;
    uint64_t      id_cut;               /* where what goes with it begins */
    uint64_t      id_end;
    ncr_str_t     type;
    ncr_str_t     id;
    ncr_str_t     encrypted;
    ncr_str_t     key;
    ncr_uint_t    has_id;
    ncr_uint_t    first;                /* id is the first member */
    uint64_t      after;                /* the key that follows it, or 0 */
    uint64_t      key_at;
} ncr_codex_items_t;


typedef struct {
    const char   *type;
    const char   *prefix;
} ncr_codex_prefix_t;


static ncr_int_t ncr_codex_items_token(ncr_json_t *json,
    ncr_json_token_e token);
static void ncr_codex_items_open(ncr_codex_items_t *it, uint64_t at);
static void ncr_codex_items_value(ncr_codex_items_t *it, ncr_json_t *json,
    ncr_json_token_e token);
static void ncr_codex_items_close(ncr_codex_items_t *it, uint64_t end);
static ncr_uint_t ncr_codex_items_foreign(ncr_codex_items_t *it);
static ncr_uint_t ncr_codex_items_bad_id(ncr_codex_items_t *it);
static ncr_str_t ncr_codex_items_text(ncr_codex_items_t *it,
    ncr_json_t *json);
static void ncr_codex_items_put(ncr_codex_items_t *it, uint64_t from,
    uint64_t to);


/* items whose kind is not among them keep their ids */

static const ncr_codex_prefix_t  ncr_codex_prefixes[] = {
    { "", "msg_" },
    { "message", "msg_" },
    { "reasoning", "rs_" },
    { "function_call", "fc_" },
    { "function_call_output", "fc" },
    { "custom_tool_call", "ctc_" },
    { "custom_tool_call_output", "ctc" },
    { NULL, NULL }
};


ncr_int_t
ncr_codex_input(ncr_str_t *input, ncr_uint_t bare, ncr_uint_t ids,
    ncr_char_t *buf, size_t *len)
{
    ncr_int_t          rc;
    ncr_json_t         json;
    ncr_codex_items_t  it;

    memset(&it, 0, sizeof(ncr_codex_items_t));

    it.input = *input;
    it.out = buf;
    it.bare = bare;
    it.ids = ids;

    ncr_json_init(&json);

    json.data = &it;
    json.token = ncr_codex_items_token;
    json.report = 2;

    *it.out++ = '[';

    rc = ncr_json_feed(&json, input->data, input->len);

    if (rc != NCR_OK) {
        return NCR_BAD;
    }

    if (!it.changed) {
        return NCR_DECLINED;
    }

    *it.out++ = ']';
    *len = (size_t) (it.out - buf);

    return NCR_OK;
}


static ncr_int_t
ncr_codex_items_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_codex_items_t  *it;

    it = json->data;

    if (json->depth == 0) {
        return (token == NCR_JSON_ARRAY || token == NCR_JSON_ARRAY_END)
               ? NCR_OK : NCR_BAD;
    }

    if (json->depth == 2) {
        ncr_codex_items_value(it, json, token);
        return NCR_OK;
    }

    switch (token) {

    case NCR_JSON_OBJECT:
    case NCR_JSON_ARRAY:
        ncr_codex_items_open(it, json->start);
        break;

    case NCR_JSON_OBJECT_END:
        ncr_codex_items_close(it, json->end);
        break;

    default:

        /* no item at all, for others to judge */

        if (token != NCR_JSON_ARRAY_END) {
            ncr_codex_items_open(it, json->start);
        }

        it->type.data = NULL;
        ncr_codex_items_close(it, json->end);
        break;
    }

    return NCR_OK;
}


static void
ncr_codex_items_open(ncr_codex_items_t *it, uint64_t at)
{
    it->item = at;
    it->before = at + 1;
    it->has_id = 0;
    it->after = 0;

    ncr_str_set(&it->type, "");
    ncr_str_set(&it->id, "");
    ncr_str_set(&it->encrypted, "");
    ncr_str_set(&it->key, "");
}


/* a member of the item */

static void
ncr_codex_items_value(ncr_codex_items_t *it, ncr_json_t *json,
    ncr_json_token_e token)
{
    switch (token) {

    case NCR_JSON_KEY:
        it->key = ncr_codex_items_text(it, json);
        it->key_at = json->start;

        if (it->has_id && it->after == 0) {
            it->after = json->start;
        }

        return;

    case NCR_JSON_OBJECT:
    case NCR_JSON_ARRAY:
        return;

    default:
        break;
    }

    if (ncr_str_eq(&it->key, "id") && !it->has_id
        && token == NCR_JSON_STRING)
    {
        it->id = ncr_codex_items_text(it, json);
        it->has_id = 1;
        it->first = (it->before == it->item + 1);
        it->id_key = it->key_at;
        it->id_cut = it->before;
        it->id_end = json->end;

    } else if (token == NCR_JSON_STRING && ncr_str_eq(&it->key, "type")) {
        it->type = ncr_codex_items_text(it, json);

    } else if (token == NCR_JSON_STRING
               && ncr_str_eq(&it->key, "encrypted_content"))
    {
        it->encrypted = ncr_codex_items_text(it, json);
    }

    it->before = json->end;
}


static void
ncr_codex_items_close(ncr_codex_items_t *it, uint64_t end)
{
    if (it->type.data && ncr_codex_items_foreign(it)) {
        it->changed = 1;
        return;
    }

    if (it->items++) {
        *it->out++ = ',';
    }

    if (it->type.data == NULL || !ncr_codex_items_bad_id(it)) {
        ncr_codex_items_put(it, it->item, end);
        return;
    }

    it->changed = 1;

    if (it->first) {
        ncr_codex_items_put(it, it->item, it->id_key);
        ncr_codex_items_put(it, it->after ? it->after : it->id_end, end);

    } else {
        ncr_codex_items_put(it, it->item, it->id_cut);
        ncr_codex_items_put(it, it->id_end, end);
    }
}


static ncr_uint_t
ncr_codex_items_foreign(ncr_codex_items_t *it)
{
    if (!ncr_str_eq(&it->type, "reasoning")) {
        return 0;
    }

    return it->bare
           || (it->encrypted.len && !ncr_str_prefix(&it->encrypted, "gAAAA"));
}


static ncr_uint_t
ncr_codex_items_bad_id(ncr_codex_items_t *it)
{
    const ncr_codex_prefix_t  *p;

    if (!it->ids || !it->has_id) {
        return 0;
    }

    for (p = ncr_codex_prefixes; p->type; p++) {
        if (ncr_str_eq(&it->type, p->type)) {
            return !ncr_str_prefix(&it->id, p->prefix);
        }
    }

    return 0;
}


/* of a key or a string, in the input, which lasts */

static ncr_str_t
ncr_codex_items_text(ncr_codex_items_t *it, ncr_json_t *json)
{
    ncr_str_t  text;

    text.data = it->input.data + json->start + 1;
    text.len = (size_t) (json->end - json->start - 2);

    return text;
}


static void
ncr_codex_items_put(ncr_codex_items_t *it, uint64_t from, uint64_t to)
{
    memcpy(it->out, it->input.data + from, (size_t) (to - from));
    it->out += to - from;
}
