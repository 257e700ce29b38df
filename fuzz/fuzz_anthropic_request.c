
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The reader of request bodies: in random chunks as in one.  And what edits
 * make of a body: read by cJSON it has the block in front of system, the model
 * and the effort, and is what it was in everything else.
 */


#include "../src/codec/ncr_anthropic_request.c"
#include "../src/codec/ncr_anthropic_turn.c"
#include "../src/codec/ncr_anthropic_system.c"
#include "../src/codec/ncr_anthropic_effort.c"
#include "../src/base/ncr_edit.c"
#include "ncr_fuzz_request.h"


#define NCR_FUZZ_LEAD   "You are \"it\"."
#define NCR_FUZZ_BLOCK  "{\"type\":\"text\",\"text\":\"You are \\\"it\\\".\"}"


static ncr_sha256_t             ncr_fuzz_plain, ncr_fuzz_cached;
static ncr_anthropic_request_t  ncr_fuzz_whole, ncr_fuzz_parts;

static ncr_str_t  ncr_fuzz_lead = ncr_string(NCR_FUZZ_LEAD);
static ncr_str_t  ncr_fuzz_block = ncr_string(NCR_FUZZ_BLOCK);


static ncr_int_t
ncr_fuzz_run(ncr_anthropic_request_t *req, const uint8_t *data, size_t size,
    uint32_t seed, ncr_uint_t whole)
{
    memset(req, 0xA5, sizeof(ncr_anthropic_request_t));

    ncr_anthropic_request_init(req, &ncr_fuzz_plain, &ncr_fuzz_cached,
                               seed & 1);
    req->leading = &ncr_fuzz_lead;
    req->told.turns = (seed & 2) ? 1 : 0;

    return ncr_fuzz_read(&ncr_codec_anthropic, &req->told, data, size, seed,
                         whole);
}


/* has this block a text that begins so? */

static ncr_uint_t
ncr_fuzz_begins(cJSON *block, const char *text)
{
    cJSON  *item;

    if (cJSON_IsString(block)) {
        return strncmp(block->valuestring, text, strlen(text)) == 0;
    }

    if (!cJSON_IsObject(block)) {
        return 0;
    }

    cJSON_ArrayForEach(item, block) {
        if (strcmp(item->string, "text") == 0 && cJSON_IsString(item)
            && strncmp(item->valuestring, text, strlen(text)) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static void
ncr_fuzz_same(cJSON *a, cJSON *b)
{
    char  *s, *t;

    s = cJSON_PrintUnformatted(a);
    t = cJSON_PrintUnformatted(b);

    ncr_fuzz_check(s && t && strcmp(s, t) == 0);

    free(s);
    free(t);
}


/* was is the body's system, is that of the body with a block */

static void
ncr_fuzz_system(cJSON *was, cJSON *is)
{
    int     at;
    cJSON  *block;

    ncr_fuzz_check(cJSON_IsArray(is));

    at = cJSON_IsArray(was) && cJSON_IsObject(was->child)
         && ncr_fuzz_begins(was->child, NCR_ANTHROPIC_BILLING);
    block = cJSON_DetachItemFromArray(is, at);

    ncr_fuzz_check(block && cJSON_GetArraySize(block) == 2
                   && ncr_fuzz_begins(block, NCR_FUZZ_LEAD));
    cJSON_Delete(block);

    if (cJSON_IsArray(was)) {
        ncr_fuzz_same(was, is);

        was = was->child;

        ncr_fuzz_check(was == NULL || cJSON_IsString(was)
                       || !ncr_fuzz_begins(was, NCR_FUZZ_LEAD));
        ncr_fuzz_check(was == NULL || was->next == NULL
                       || cJSON_IsString(was->next)
                       || !ncr_fuzz_begins(was->next, NCR_FUZZ_LEAD));
        return;
    }

    if (cJSON_IsString(was) && cJSON_GetArraySize(is)) {
        ncr_fuzz_check(!ncr_fuzz_begins(was, NCR_FUZZ_LEAD));
        ncr_fuzz_check(cJSON_GetArraySize(is) == 1);
        ncr_fuzz_same(was, cJSON_GetObjectItemCaseSensitive(is->child,
                                                            "text"));
        return;
    }

    ncr_fuzz_check(cJSON_GetArraySize(is) == 0);
    ncr_fuzz_check(was == NULL || cJSON_IsNull(was)
                   || (cJSON_IsString(was) && was->valuestring[0] == '\0'));
}


/* nothing was to be done */

static void
ncr_fuzz_left(cJSON *was)
{
    ncr_fuzz_check(was != NULL && !cJSON_IsNull(was));

    if (cJSON_IsString(was)) {
        ncr_fuzz_check(ncr_fuzz_begins(was, NCR_FUZZ_LEAD));

    } else if (cJSON_IsArray(was)) {
        was = was->child;

        ncr_fuzz_check(was != NULL
                       && ((cJSON_IsObject(was)
                            && ncr_fuzz_begins(was, NCR_FUZZ_LEAD))
                           || (was->next && cJSON_IsObject(was->next)
                               && ncr_fuzz_begins(was->next,
                                                  NCR_FUZZ_LEAD))));
    }
}


static void
ncr_fuzz_splice(ncr_anthropic_system_t *system, const uint8_t *data,
    size_t size)
{
    char        *text;
    cJSON       *a, *b, *was, *is;
    size_t       len;
    ncr_edit_t   edits[NCR_ANTHROPIC_LEAD_EDITS];
    ncr_uint_t   n;

    n = ncr_anthropic_lead(system, &ncr_fuzz_block, edits);

    text = malloc(size + 256);
    len = ncr_fuzz_edit(text, data, size, edits, n);

    a = ncr_fuzz_parse(data, size);

    if (a != NULL) {

        b = cJSON_ParseWithLength(text, len);
        ncr_fuzz_check(cJSON_IsObject(b));

        was = cJSON_DetachItemFromObjectCaseSensitive(a, "system");
        is = cJSON_DetachItemFromObjectCaseSensitive(b, "system");

        ncr_fuzz_same(a, b);

        if (n) {
            ncr_fuzz_system(was, is);

        } else {
            ncr_fuzz_left(was);
        }

        cJSON_Delete(was);
        cJSON_Delete(is);
        cJSON_Delete(a);
        cJSON_Delete(b);
    }

    free(text);
}


/* was is the body's output_config, is that of the body with an effort */

static void
ncr_fuzz_effort(cJSON *was, cJSON *is)
{
    cJSON  *effort;

    effort = cJSON_DetachItemFromObjectCaseSensitive(is, "effort");

    ncr_fuzz_check(cJSON_IsString(effort)
                   && strcmp(effort->valuestring, "\"E") == 0);
    cJSON_Delete(effort);

    if (!cJSON_IsObject(was)) {
        ncr_fuzz_check(was == NULL || cJSON_IsNull(was));
        ncr_fuzz_check(cJSON_GetArraySize(is) == 0);
        return;
    }

    cJSON_DeleteItemFromObjectCaseSensitive(was, "effort");

    ncr_fuzz_same(was, is);
}


/* another model and another effort */

static void
ncr_fuzz_remodel(ncr_anthropic_request_t *req, const uint8_t *data,
    size_t size)
{
    char        *text;
    cJSON       *a, *b, *was, *is;
    size_t       len;
    ncr_edit_t   edits[NCR_ANTHROPIC_EFFORT_EDITS + 1];
    ncr_uint_t   n, set;

    static ncr_str_t  effort = ncr_string("\"\\\"E\"");

    set = ncr_anthropic_effort(&req->config, &effort, edits);
    n = set;

    ncr_fuzz_check((set == 0)
                   == (req->config.kind == NCR_ANTHROPIC_CONFIG_OTHER));

    if (req->told.model_end) {
        edits[n].offset = req->told.model_start;
        edits[n].remove = req->told.model_end - req->told.model_start;
        ncr_str_set(&edits[n].insert, "\"M\"");
        n++;
    }

    ncr_edit_sort(edits, n);

    text = malloc(size + 256);
    len = ncr_fuzz_edit(text, data, size, edits, n);

    a = req->config.again ? NULL : ncr_fuzz_parse(data, size);

    if (a != NULL) {

        b = cJSON_ParseWithLength(text, len);
        ncr_fuzz_check(cJSON_IsObject(b));

        was = cJSON_DetachItemFromObjectCaseSensitive(a, "model");
        is = cJSON_DetachItemFromObjectCaseSensitive(b, "model");

        ncr_fuzz_check(req->told.model_end
                       ? cJSON_IsString(is) && !strcmp(is->valuestring, "M")
                       : !cJSON_IsString(is));

        cJSON_Delete(was);
        cJSON_Delete(is);

        was = cJSON_DetachItemFromObjectCaseSensitive(a, "output_config");
        is = cJSON_DetachItemFromObjectCaseSensitive(b, "output_config");

        ncr_fuzz_same(a, b);

        if (set) {
            ncr_fuzz_effort(was, is);

        } else {
            ncr_fuzz_same(was, is);
        }

        cJSON_Delete(was);
        cJSON_Delete(is);
        cJSON_Delete(a);
        cJSON_Delete(b);
    }

    free(text);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t                  seed;
    ncr_int_t                 rc;
    ncr_anthropic_request_t  *w, *p;

    if (size < 1 || size > NCR_FUZZ_INPUT) {
        return 0;
    }

    if (ncr_fuzz_plain.state == NULL) {
        ncr_fuzz_check(ncr_sha256_create(&ncr_fuzz_plain) == NCR_OK
                       && ncr_sha256_create(&ncr_fuzz_cached) == NCR_OK);
    }

    w = &ncr_fuzz_whole;
    p = &ncr_fuzz_parts;
    seed = ncr_fuzz_seed(data, size);

    rc = ncr_fuzz_run(w, data, size, seed, 1);

    ncr_fuzz_check(ncr_fuzz_run(p, data, size, seed, 0) == rc);

    ncr_fuzz_compare(&ncr_codec_anthropic, &w->told, &p->told, rc, data, size);

    if (rc != NCR_OK) {
        return 0;
    }

    ncr_fuzz_check(w->has_user_id == p->has_user_id);
    ncr_fuzz_check(w->told.session.len <= NCR_ANTHROPIC_SESSION);
    ncr_fuzz_check(!w->told.hashed || w->told.session.len == 0);
    ncr_fuzz_check(w->system.kind == p->system.kind
                   && w->system.open == p->system.open
                   && w->system.start == p->system.start
                   && w->system.end == p->system.end
                   && w->system.after == p->system.after
                   && w->system.alone == p->system.alone
                   && w->system.empty == p->system.empty
                   && w->system.leads == p->system.leads
                   && w->system.attributed == p->system.attributed);
    ncr_fuzz_check(w->config.kind == p->config.kind
                   && w->config.open == p->config.open
                   && w->config.start == p->config.start
                   && w->config.end == p->config.end
                   && w->config.effort_start == p->config.effort_start
                   && w->config.effort_end == p->config.effort_end
                   && w->config.alone == p->config.alone
                   && w->config.empty == p->config.empty
                   && w->config.again == p->config.again);
    ncr_fuzz_check(w->told.user == p->told.user
                   && w->told.result == p->told.result
                   && (w->told.turns || (!w->told.user && !w->told.result)));

    ncr_fuzz_splice(&w->system, data, size);
    ncr_fuzz_remodel(w, data, size);

    return 0;
}
