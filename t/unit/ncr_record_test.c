
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/model/ncr_record.c"

#include "ncr_test.h"

#include <stdlib.h>


#define ncr_test_set(field, text)                                             \
    (field).data = (ncr_char_t *) text; (field).len = strlen(text)


static void
ncr_test_sample(ncr_record_t *rec)
{
    memset(rec, 0, sizeof(ncr_record_t));

    rec->time = 1795262400123;
    rec->key_id = 7;
    rec->owner = UINT64_MAX;

    ncr_test_set(rec->id, "5f2c7d1e9a8b4c3d5f2c7d1e9a8b4c3d");
    ncr_test_set(rec->provider_id, "req_011CSHoEeqs5C35K2UUqR7Fy");
    ncr_test_set(rec->key, "alice");
    ncr_test_set(rec->user, "Alice \xc3\x84.");
    ncr_test_set(rec->group, "");
    ncr_test_set(rec->account, "max-1");
    ncr_test_set(rec->platform, "claude");
    ncr_test_set(rec->dialect, "anthropic");
    ncr_test_set(rec->op, "messages");
    ncr_test_set(rec->model, "claude-opus-4-8");
    ncr_test_set(rec->served, "claude-opus-4-8-20260601");
    ncr_test_set(rec->stop, "end_turn");
    ncr_test_set(rec->class, "ok");
    ncr_test_set(rec->client, "claude-cli/2.1.19");
    ncr_test_set(rec->session, "00112233");
    ncr_test_set(rec->sticky, "hit");
    ncr_test_set(rec->price, "0123456789abcdef");
    ncr_test_set(rec->trail, "max-1:200");

    rec->status = 200;
    rec->attempts = 1;
    rec->duration = 1234;
    rec->ttft = UINT32_MAX;
    rec->own = 88;
    rec->flags = NCR_RECORD_STREAM|NCR_RECORD_ESTIMATED;
    rec->tier = 1;
    rec->permille = 1100;
    rec->rate = 1500;
    rec->usage.input = 10;
    rec->usage.output = 20;
    rec->usage.cache_read = 1ULL << 40;
    rec->usage.web_fetches = 3;
    rec->cost = 123456;
    rec->rated = UINT64_MAX;

    rec->nparts = 2;
    strcpy(rec->parts[0].model, "claude-opus-4-8");
    rec->parts[0].usage.output = 5;
    strcpy(rec->parts[1].model, "");
    rec->parts[1].usage.thinking = 6;

    rec->ncharges = 2;
    rec->charges[0].counter = UINT64_MAX;
    rec->charges[0].start = 1795262400000;
    rec->charges[0].end = INT64_MAX;
    rec->charges[0].amount = -5;
    rec->charges[1].counter = 1;
    rec->charges[1].amount = INT64_MAX;
}


static ncr_uint_t
ncr_test_same_text(ncr_str_t *a, ncr_str_t *b)
{
    return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}


static void
ncr_test_round(void)
{
    size_t        i;
    ncr_str_t     packed, *a, *b;
    ncr_uint_t    bad;
    ncr_char_t    buf[NCR_RECORD_MAX];
    ncr_record_t  rec, got;

    ncr_test_sample(&rec);

    packed.data = buf;
    packed.len = ncr_record_pack(buf, sizeof(buf), &rec);

    ncr_test(packed.len > 100 && packed.len < 500, "packed");
    ncr_test(ncr_record_unpack(&got, &packed) == NCR_OK, "unpacked");

    bad = 0;

    for (i = 0; i < NCR_RECORD_TEXTS; i++) {
        a = (ncr_str_t *) ((ncr_char_t *) &rec + ncr_record_texts[i].offset);
        b = (ncr_str_t *) ((ncr_char_t *) &got + ncr_record_texts[i].offset);
        bad += !ncr_test_same_text(a, b);
        memset(a, 0, sizeof(ncr_str_t));
        memset(b, 0, sizeof(ncr_str_t));
    }

    ncr_test(bad == 0, "all texts");
    ncr_test(memcmp(&rec.usage, &got.usage, sizeof(ncr_usage_t)) == 0,
             "tokens");
    ncr_test(got.nparts == 2
             && strcmp(got.parts[0].model, rec.parts[0].model) == 0
             && memcmp(&rec.parts[1].usage, &got.parts[1].usage,
                       sizeof(ncr_usage_t)) == 0, "parts");
    ncr_test(got.ncharges == 2
             && memcmp(rec.charges, got.charges, 2 * sizeof(ncr_charge_t))
                == 0, "charges");
    ncr_test(memcmp(&rec, &got, sizeof(ncr_record_t)) == 0,
             "everything is the same");

    rec.ttft = 0;
    rec.kind = NCR_RECORD_CHARGE;
    packed.len = ncr_record_pack(buf, sizeof(buf), &rec);
    ncr_test(ncr_record_unpack(&got, &packed) == NCR_OK && got.ttft == 0
             && got.kind == NCR_RECORD_CHARGE, "a ttft of 0 is not none");
}


/* whatever is in it, there is room for it */

static void
ncr_test_largest(void)
{
    size_t        i, j;
    ncr_str_t    *s, packed;
    ncr_uint_t    bad;
    ncr_char_t   *text, buf[NCR_RECORD_MAX];
    ncr_record_t  rec, got;

    text = malloc(10000);

    for (i = 0; i < 10000; i++) {
        text[i] = (ncr_char_t) (i % 2 ? 0xa4 : 0xc3);
    }

    memset(&rec, 0xff, sizeof(rec));
    rec.kind = NCR_RECORD_REQUEST;
    rec.nparts = NCR_PARTS;
    rec.ncharges = NCR_RECORD_CHARGES;

    for (i = 0; i < NCR_PARTS; i++) {
        memset(rec.parts[i].model, 'm', NCR_MODEL_LEN);
        rec.parts[i].model[NCR_MODEL_LEN - 1] = '\0';
    }

    for (i = 0; i < NCR_RECORD_TEXTS; i++) {
        s = (ncr_str_t *) ((ncr_char_t *) &rec + ncr_record_texts[i].offset);
        s->data = text;
        s->len = 10000;
    }

    packed.data = buf;
    packed.len = ncr_record_pack(buf, sizeof(buf), &rec);

    ncr_test(packed.len > 3000 && packed.len <= NCR_RECORD_MAX,
             "the largest fits");
    ncr_test(ncr_record_unpack(&got, &packed) == NCR_OK
             && got.ncharges == NCR_RECORD_CHARGES
             && got.cost == UINT64_MAX, "and is read");

    bad = 0;

    for (i = 0; i < NCR_RECORD_TEXTS; i++) {
        s = (ncr_str_t *) ((ncr_char_t *) &got + ncr_record_texts[i].offset);
        bad += (s->len % 2 != 0 || s->len + 1 < ncr_record_texts[i].max);
        bad += (memcmp(s->data, text, s->len) != 0);
    }

    ncr_test(bad == 0, "long texts are cut between characters");

    bad = 0;

    for (j = 0; j < packed.len; j++) {
        bad += (ncr_record_pack(buf, j, &rec) != 0);
    }

    ncr_test(bad == 0, "no room: nothing");

    free(text);
}


static void
ncr_test_bad(void)
{
    size_t        i, len;
    ncr_str_t     packed;
    ncr_uint_t    bad;
    ncr_char_t    buf[NCR_RECORD_MAX];
    ncr_record_t  rec;

    ncr_test_sample(&rec);

    len = ncr_record_pack(buf, sizeof(buf), &rec);
    bad = 0;

    for (i = 0; i < len; i++) {

        packed.data = malloc(i + 1);
        packed.len = i;
        memcpy(packed.data, buf, i);
        bad += (ncr_record_unpack(&rec, &packed) != NCR_BAD);
        free(packed.data);
    }

    ncr_test(bad == 0, "cut anywhere: refused");

    buf[len] = 0;
    packed.data = buf;
    packed.len = len + 1;
    ncr_test(ncr_record_unpack(&rec, &packed) == NCR_BAD, "more than it has");

    packed.len = len;
    buf[0] = 2;
    ncr_test(ncr_record_unpack(&rec, &packed) == NCR_BAD, "another version");

    memset(buf, 0xff, 64);
    buf[0] = 1;
    ncr_test(ncr_record_unpack(&rec, &packed) == NCR_BAD, "endless numbers");
}


int
main(void)
{
    ncr_test_round();
    ncr_test_largest();
    ncr_test_bad();

    return ncr_test_done();
}
