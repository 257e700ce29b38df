
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Names of models, the first party's and AWS's (anthropic.md I.3). */


#include "ncr_bedrock.h"
#include "ncr_str.h"
#include "ncr_uri.h"


#define NCR_BEDROCK_VENDOR   "anthropic."
#define NCR_BEDROCK_LATEST   (sizeof("-latest") - 1)
#define NCR_BEDROCK_DATE     (sizeof("-20250929") - 1)


typedef struct {
    const char   *name;
    const char   *id;
} ncr_bedrock_model_t;


static size_t ncr_bedrock_undated(ncr_str_t *name);
static ncr_uint_t ncr_bedrock_release(ncr_str_t *s);


/* those that are not just "anthropic." and the name; with or without a date */

static const ncr_bedrock_model_t  ncr_bedrock_models[] = {
    { "claude-opus-4-6", "claude-opus-4-6-v1" },
    { "claude-sonnet-4-5", "claude-sonnet-4-5-20250929-v1:0" },
    { "claude-opus-4-5", "claude-opus-4-5-20251101-v1:0" },
    { "claude-haiku-4-5", "claude-haiku-4-5-20251001-v1:0" },
    { "claude-opus-4-1", "claude-opus-4-1-20250805-v1:0" },
    { "claude-opus-4", "claude-opus-4-20250514-v1:0" },
    { "claude-opus-4-0", "claude-opus-4-20250514-v1:0" },
    { "claude-sonnet-4", "claude-sonnet-4-20250514-v1:0" },
    { "claude-sonnet-4-0", "claude-sonnet-4-20250514-v1:0" },
    { "claude-3-7-sonnet", "claude-3-7-sonnet-20250219-v1:0" },
    { "claude-3-5-sonnet", "claude-3-5-sonnet-20241022-v2:0" },
    { "claude-3-5-haiku", "claude-3-5-haiku-20241022-v1:0" },
    { "claude-3-haiku", "claude-3-haiku-20240307-v1:0" },
    { NULL, NULL }
};


ncr_str_t
ncr_bedrock_bare(ncr_str_t *id)
{
    size_t     i;
    ncr_str_t  s;

    s = *id;

    /* of an ARN the last part is the name */

    for (i = s.len; i > 0; i--) {
        if (s.data[i - 1] == '/') {
            s.data += i;
            s.len -= i;
            break;
        }
    }

    s = ncr_bedrock_foundation(&s);

    if (!ncr_str_prefix(&s, NCR_BEDROCK_VENDOR)) {
        return *id;
    }

    s.data += sizeof(NCR_BEDROCK_VENDOR) - 1;
    s.len -= sizeof(NCR_BEDROCK_VENDOR) - 1;

    s.len -= ncr_bedrock_release(&s);

    return s.len ? s : *id;
}


/* the length of "-v1:0", "-v1" or "-v2:0:200k" at the end */

static ncr_uint_t
ncr_bedrock_release(ncr_str_t *s)
{
    size_t      i;
    ncr_char_t  c;

    for (i = s->len; i > 0; i--) {
        c = s->data[i - 1];

        if (!((c >= '0' && c <= '9') || c == ':' || c == 'k')) {
            break;
        }
    }

    if (i < 2 || i == s->len || s->data[i - 1] != 'v'
        || s->data[i - 2] != '-')
    {
        return 0;
    }

    return s->len - (i - 2);
}


ncr_str_t
ncr_bedrock_foundation(ncr_str_t *id)
{
    size_t     i;
    ncr_str_t  s;

    for (i = 0; i + sizeof(NCR_BEDROCK_VENDOR) - 1 <= id->len; i++) {

        s.data = id->data + i;
        s.len = id->len - i;

        if ((i == 0 || s.data[-1] == '.')
            && ncr_str_prefix(&s, NCR_BEDROCK_VENDOR))
        {
            return s;
        }
    }

    return *id;
}


ncr_int_t
ncr_bedrock_id(ncr_out_t *out, ncr_str_t *model, ncr_str_t *prefix)
{
    size_t                      i, len;
    ncr_str_t                   name, latest;
    const ncr_bedrock_model_t  *m;

    if (model->len == 0 || model->len > NCR_BEDROCK_ID
        || ncr_str_eq(model, ".") || ncr_str_eq(model, ".."))
    {
        return NCR_BAD;
    }

    for (i = 0; i < model->len; i++) {
        if (model->data[i] < 0x21 || model->data[i] > 0x7e) {
            return NCR_BAD;
        }
    }

    /* an id, of whatever vendor, or an ARN */

    if (memchr(model->data, '.', model->len)
        || memchr(model->data, ':', model->len)
        || memchr(model->data, '/', model->len))
    {
        ncr_out_str(out, model);
        return NCR_OK;
    }

    if (prefix->len && !ncr_str_eq(prefix, "none")) {
        ncr_out_str(out, prefix);
        ncr_out_text(out, ".");
    }

    ncr_out_text(out, NCR_BEDROCK_VENDOR);

    if (model->len > NCR_BEDROCK_LATEST
        && memcmp(model->data + model->len - NCR_BEDROCK_LATEST, "-latest",
                  NCR_BEDROCK_LATEST)
           == 0)
    {
        latest.data = model->data;
        latest.len = model->len - NCR_BEDROCK_LATEST;
        model = &latest;
    }

    len = ncr_bedrock_undated(model);

    for (m = ncr_bedrock_models; m->name; m++) {

        name.data = (ncr_char_t *) (uintptr_t) m->id;
        name.len = strlen(m->id);

        if (strlen(m->name) != len || memcmp(m->name, model->data, len) != 0) {
            continue;
        }

        /* another date is another model, where AWS's name has one at all */

        if (len == model->len || name.len < len + NCR_BEDROCK_DATE
            || memcmp(model->data, name.data, model->len) == 0)
        {
            ncr_out_str(out, &name);
            return NCR_OK;
        }
    }

    ncr_out_str(out, model);

    if (len < model->len) {
        ncr_out_text(out, "-v1:0");
    }

    return NCR_OK;
}


/* the length without "-20250929" */

static size_t
ncr_bedrock_undated(ncr_str_t *name)
{
    size_t       i;
    ncr_char_t  *p;

    if (name->len <= NCR_BEDROCK_DATE) {
        return name->len;
    }

    p = name->data + name->len - NCR_BEDROCK_DATE;

    if (memcmp(p, "-20", 3) != 0) {
        return name->len;
    }

    for (i = 3; i < NCR_BEDROCK_DATE; i++) {
        if (p[i] < '0' || p[i] > '9') {
            return name->len;
        }
    }

    return name->len - NCR_BEDROCK_DATE;
}
