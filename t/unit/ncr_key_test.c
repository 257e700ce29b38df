
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/pool/ncr_key.c"
#include "ncr_test.h"


static ncr_key_room_t     ncr_test_room;
static ncr_key_build_t    ncr_test_build;
static ncr_key_request_t  ncr_test_req;


static ncr_str_t
ncr_test_text(const char *text)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) (uintptr_t) text;
    s.len = strlen(text);

    return s;
}


static ncr_key_t *
ncr_test_begin(void)
{
    memset(&ncr_test_room, 0xa5, sizeof(ncr_test_room));
    memset(&ncr_test_req, 0, sizeof(ncr_test_req));

    ncr_test_req.now = 1000000;
    ncr_test_req.service = NCR_SERVICE_CLAUDE;

    ncr_key_begin(&ncr_test_build, ncr_test_room.buf, NCR_SCOPE_KEY);
    ncr_test_build.key->enabled = 1;

    return ncr_test_build.key;
}


static void
ncr_test_add(ncr_slice_t *list, const char *text)
{
    ncr_str_t  s;

    s = ncr_test_text(text);
    ncr_key_add(&ncr_test_build, list, &s);
}


static void
ncr_test_network(ncr_key_t *key, const char *text)
{
    ncr_str_t   s;
    ncr_char_t  cidr[NCR_KEY_CIDR];

    s = ncr_test_text(text);

    ncr_test(ncr_key_cidr(&s, cidr) == NCR_OK, text);

    s.data = cidr;
    s.len = NCR_KEY_CIDR;

    ncr_key_add(&ncr_test_build, &key->addresses, &s);
}


static ncr_key_why_e
ncr_test_from(ncr_key_t *key, const char *address)
{
    ncr_str_t   s;
    ncr_char_t  cidr[NCR_KEY_CIDR];

    s = ncr_test_text(address);

    if (ncr_key_cidr(&s, cidr) != NCR_OK) {
        return NCR_KEY_DISABLED;
    }

    memcpy(ncr_test_req.address, cidr, 16);

    return ncr_key_check(key, &ncr_test_req);
}


static ncr_key_why_e
ncr_test_agent(ncr_key_t *key, const char *agent, uint32_t client)
{
    ncr_test_req.agent = ncr_test_text(agent);
    ncr_test_req.client = client;

    return ncr_key_check(key, &ncr_test_req);
}


static ncr_key_why_e
ncr_test_model(ncr_key_t *key, const char *model)
{
    ncr_str_t  s;

    s = ncr_test_text(model);

    return ncr_key_check_model(key, &s);
}


static void
ncr_test_record(void)
{
    uint32_t      pos, i;
    ncr_str_t     s, item;
    ncr_key_t    *key;
    ncr_limit_t   limit;

    key = ncr_test_begin();

    memset(&limit, 0, sizeof(limit));

    for (i = 0; i < NCR_KEY_LIMITS; i++) {
        limit.amount = i;
        ncr_key_limit(&ncr_test_build, &limit);
    }

    ncr_test(key->nlimits == NCR_KEY_LIMITS, "16 limits");
    ncr_test(ncr_key_limit(&ncr_test_build, &limit) == NCR_DECLINED,
             "not 17");

    s = ncr_test_text("alice");
    ncr_key_put(&ncr_test_build, &key->name, &s);

    ncr_test_add(&key->models, "a");
    ncr_test_add(&key->models, "");
    ncr_test_add(&key->models, "bcd");
    ncr_test_add(&key->denied, "x");

    ncr_test(ncr_key_end(&ncr_test_build) == NCR_OK
             && key->size % 8 == 0 && key->size == ncr_test_build.size,
             "a record");
    ncr_test(ncr_test_str(ncr_key_text(key, key->name), "alice"), "a text");
    ncr_test(key->limits[15].amount == 15, "the last limit");

    pos = 0;
    ncr_test(ncr_key_next(key, key->models, &pos, &item) == NCR_OK
             && ncr_test_str(item, "a"), "the first of a list");
    ncr_test(ncr_key_next(key, key->models, &pos, &item) == NCR_OK
             && item.len == 0, "an empty one");
    ncr_test(ncr_key_next(key, key->models, &pos, &item) == NCR_OK
             && ncr_test_str(item, "bcd"), "the last");
    ncr_test(ncr_key_next(key, key->models, &pos, &item) == NCR_DONE
             && ncr_key_next(key, key->models, &pos, &item) == NCR_DONE,
             "no other");

    key = ncr_test_begin();
    ncr_key_put(&ncr_test_build, &key->name, &s);
    ncr_test(ncr_key_limit(&ncr_test_build, &limit) == NCR_DECLINED,
             "no limit behind a text");

    ncr_test_add(&key->models, "a");
    ncr_key_put(&ncr_test_build, &key->user, &s);
    ncr_test_add(&key->models, "b");
    ncr_test(ncr_key_end(&ncr_test_build) == NCR_DECLINED,
             "a list with something between");
}


static void
ncr_test_large(void)
{
    ncr_str_t         s;
    ncr_key_t        *key;
    ncr_uint_t        i;
    static ncr_char_t  text[70000];

    key = ncr_test_begin();

    s.data = text;
    s.len = NCR_KEY_MAX - sizeof(ncr_key_t);
    ncr_key_put(&ncr_test_build, &key->name, &s);
    ncr_test(ncr_key_end(&ncr_test_build) == NCR_OK
             && key->size == NCR_KEY_MAX, "all of the room");

    key = ncr_test_begin();
    s.len++;
    ncr_key_put(&ncr_test_build, &key->name, &s);
    ncr_test(ncr_key_end(&ncr_test_build) == NCR_DECLINED, "a byte more");

    /* lengths are 16 bits: 65536 + 8 is not 8 */

    key = ncr_test_begin();
    s.len = 65544;
    ncr_key_put(&ncr_test_build, &key->name, &s);
    ncr_test(ncr_key_end(&ncr_test_build) == NCR_DECLINED, "64 KB and more");

    key = ncr_test_begin();
    ncr_key_add(&ncr_test_build, &key->models, &s);
    ncr_test(ncr_key_end(&ncr_test_build) == NCR_DECLINED, "in a list, too");

    key = ncr_test_begin();
    s.len = 100;

    for (i = 0; i < 1000; i++) {
        ncr_key_add(&ncr_test_build, &key->models, &s);
    }

    ncr_test(ncr_key_end(&ncr_test_build) == NCR_DECLINED
             && ncr_test_build.size <= NCR_KEY_MAX, "a list that is too long");
}


static void
ncr_test_enabled(void)
{
    ncr_key_t  *key;

    key = ncr_test_begin();

    ncr_test(ncr_key_check(key, &ncr_test_req) == NCR_KEY_OK,
             "F046: nothing written: everything is allowed");
    ncr_test(ncr_key_ends(key) == 0, "it never ends");

    key->expires = 1000001;
    ncr_test(ncr_key_check(key, &ncr_test_req) == NCR_KEY_OK,
             "F039: before its end");
    key->expires = 1000000;
    ncr_test(ncr_key_check(key, &ncr_test_req) == NCR_KEY_EXPIRED,
             "F039: at its end");

    key->enabled = 0;
    ncr_test(ncr_key_check(key, &ncr_test_req) == NCR_KEY_DISABLED,
             "F038: disabled comes first");

    key = ncr_test_begin();
    key->valid_for = 500;
    ncr_test(ncr_key_ends(key) == 0
             && ncr_key_check(key, &ncr_test_req) == NCR_KEY_OK,
             "F040: not used yet");
    key->activated = 999501;
    ncr_test(ncr_key_ends(key) == 1000001
             && ncr_key_check(key, &ncr_test_req) == NCR_KEY_OK,
             "F040: its time runs");
    key->activated = 999500;
    ncr_test(ncr_key_check(key, &ncr_test_req) == NCR_KEY_EXPIRED,
             "F040: its time is over");
    key->expires = 900000;
    ncr_test(ncr_key_ends(key) == 900000, "the earlier end counts");
    key->expires = 2000000;
    ncr_test(ncr_key_ends(key) == 1000000, "of both");
    key->valid_for = INT64_MAX;
    key->expires = 0;
    ncr_test(ncr_key_ends(key) == INT64_MAX, "no overflow");
}


static void
ncr_test_restrictions(void)
{
    ncr_key_t  *key;

    key = ncr_test_begin();
    key->services = NCR_SERVICE_GEMINI|NCR_SERVICE_OPENAI;
    ncr_test(ncr_key_check(key, &ncr_test_req) == NCR_KEY_SERVICE,
             "F046: another service");
    key->services |= NCR_SERVICE_CLAUDE;
    ncr_test(ncr_key_check(key, &ncr_test_req) == NCR_KEY_OK,
             "F046: one of them");

    key = ncr_test_begin();
    key->clients = NCR_CLIENT_CLAUDE_CODE;
    ncr_test(ncr_test_agent(key, "curl/8", 0) == NCR_KEY_CLIENT,
             "F053: an unknown client");
    ncr_test(ncr_test_agent(key, "x", NCR_CLIENT_CODEX_CLI)
             == NCR_KEY_CLIENT, "F053: another known client");
    ncr_test(ncr_test_agent(key, "x", NCR_CLIENT_CLAUDE_CODE) == NCR_KEY_OK,
             "F053: the client");

    ncr_test_add(&key->agents, "my-tool/*");
    ncr_test(ncr_test_agent(key, "my-tool/1.0", 0) == NCR_KEY_OK,
             "F053: a pattern");
    ncr_test(ncr_test_agent(key, "my-tool", 0) == NCR_KEY_CLIENT,
             "F053: all of the text");

    key = ncr_test_begin();
    ncr_test_add(&key->agents, "?*");
    ncr_test(ncr_test_agent(key, "", 0) == NCR_KEY_CLIENT,
             "no User-Agent");

    key = ncr_test_begin();
    ncr_test_network(key, "10.1.2.3/9");
    ncr_test_network(key, "192.0.2.7");
    ncr_test_network(key, "2001:db8::/33");
    ncr_key_end(&ncr_test_build);

    ncr_test(ncr_test_from(key, "10.0.0.0") == NCR_KEY_OK, "first of a net");
    ncr_test(ncr_test_from(key, "10.127.255.255") == NCR_KEY_OK, "the last");
    ncr_test(ncr_test_from(key, "10.128.0.0") == NCR_KEY_ADDRESS, "next");
    ncr_test(ncr_test_from(key, "192.0.2.7") == NCR_KEY_OK, "one address");
    ncr_test(ncr_test_from(key, "::ffff:192.0.2.7") == NCR_KEY_OK,
             "the same, mapped");
    ncr_test(ncr_test_from(key, "192.0.2.6") == NCR_KEY_ADDRESS, "its like");
    ncr_test(ncr_test_from(key, "2001:db8:7fff::1") == NCR_KEY_OK, "IPv6");
    ncr_test(ncr_test_from(key, "2001:db8:8000::1") == NCR_KEY_ADDRESS,
             "IPv6 outside");
    ncr_test(ncr_test_from(key, "::10.0.0.1") == NCR_KEY_ADDRESS,
             "not mapped");

    key = ncr_test_begin();
    ncr_test_network(key, "0.0.0.0/0");
    ncr_test(ncr_test_from(key, "1.2.3.4") == NCR_KEY_OK
             && ncr_test_from(key, "::1") == NCR_KEY_ADDRESS, "all of IPv4");

    key = ncr_test_begin();
    ncr_test_network(key, "::/0");
    ncr_test(ncr_test_from(key, "1.2.3.4") == NCR_KEY_OK
             && ncr_test_from(key, "::1") == NCR_KEY_OK, "everything");
}


static void
ncr_test_models(void)
{
    ncr_key_t  *key;

    key = ncr_test_begin();
    ncr_test(ncr_test_model(key, "claude-opus-5") == NCR_KEY_OK, "any model");

    ncr_test_add(&key->denied, "*opus*");
    ncr_test(ncr_test_model(key, "claude-opus-5") == NCR_KEY_MODEL,
             "F050: denied");
    ncr_test(ncr_test_model(key, "Claude-OPUS-5") == NCR_KEY_MODEL,
             "F050: whatever its case");
    ncr_test(ncr_test_model(key, "claude-haiku-5") == NCR_KEY_OK,
             "F050: another one");

    key = ncr_test_begin();
    ncr_test_add(&key->models, "claude-haiku-*");
    ncr_test_add(&key->models, "claude-sonnet-5");
    ncr_test_add(&key->denied, "claude-haiku-4*");
    ncr_test(ncr_test_model(key, "claude-haiku-5") == NCR_KEY_OK,
             "F051: allowed");
    ncr_test(ncr_test_model(key, "claude-sonnet-5") == NCR_KEY_OK,
             "F051: by its name");
    ncr_test(ncr_test_model(key, "claude-sonnet-5-5") == NCR_KEY_MODEL,
             "F051: not allowed");
    ncr_test(ncr_test_model(key, "claude-haiku-4-5") == NCR_KEY_MODEL,
             "denied wins");
    ncr_test(ncr_test_model(key, "") == NCR_KEY_OK, "no model");
}


static void
ncr_test_rates(void)
{
    ncr_str_t   s;
    ncr_key_t  *key;

    key = ncr_test_begin();
    ncr_test_add(&key->rates, "console=1500");
    ncr_test_add(&key->rates, "claude-oauth=0");

    s = ncr_test_text("console");
    ncr_test(ncr_key_rate(key, &s) == 1500, "a rate");
    s = ncr_test_text("claude-oauth");
    ncr_test(ncr_key_rate(key, &s) == 0, "for nothing");
    s = ncr_test_text("claude");
    ncr_test(ncr_key_rate(key, &s) == 1000, "not by its beginning");
    s = ncr_test_text("console=1");
    ncr_test(ncr_key_rate(key, &s) == 1000, "nor by more");
    ncr_test(ncr_key_rate(NULL, &s) == 1000, "no key");
}


static void
ncr_test_names(void)
{
    ncr_str_t  s;

    s = ncr_test_text("claude");
    ncr_test(ncr_key_service(&s) == NCR_SERVICE_CLAUDE, "a service");
    s = ncr_test_text("all");
    ncr_test(ncr_key_service(&s) == 15, "all services");
    s = ncr_test_text("Claude");
    ncr_test(ncr_key_service(&s) == 0, "none");
    s = ncr_test_text("claude_code");
    ncr_test(ncr_key_client(&s) == NCR_CLIENT_CLAUDE_CODE, "a client");
    ncr_test(strcmp(ncr_key_service_name(NCR_SERVICE_DROID), "droid") == 0
             && strcmp(ncr_key_client_name(NCR_CLIENT_CODEX_CLI),
                       "codex_cli") == 0
             && *ncr_key_client_name(0) == '\0', "their names");

    s = ncr_test_text("claude-opus-5");
    ncr_test(ncr_key_slot(&s) == NCR_SLOT_OPUS, "opus");
    s = ncr_test_text("claude-3-5-Haiku-x");
    ncr_test(ncr_key_slot(&s) == NCR_SLOT_HAIKU, "haiku");
    s = ncr_test_text("claude-fable-5");
    ncr_test(ncr_key_slot(&s) == NCR_SLOT_SONNET, "sonnet, and others");
    s = ncr_test_text("gpt-5");
    ncr_test(ncr_key_slot(&s) == -1, "no Claude");
}


int
main(void)
{
    ncr_test_record();
    ncr_test_large();
    ncr_test_enabled();
    ncr_test_restrictions();
    ncr_test_models();
    ncr_test_rates();
    ncr_test_names();

    return ncr_test_done();
}
