
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Files to import: what is taken can be a header value, what is refused
 * leaves nothing behind, and no message has a part of the text.
 */


#include "../src/base/ncr_toml.c"
#include "../src/platform/ncr_oauth_import.c"
#include "../src/platform/ncr_oauth_text.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_NOW  ((ncr_msec_t) 1795262400 * 1000)


static void
ncr_fuzz_text(const char *text, size_t size, int blanks)
{
    size_t  i;

    ncr_fuzz_check(memchr(text, '\0', size) != NULL);

    for (i = 0; text[i]; i++) {
        ncr_fuzz_check((text[i] > ' ' || (blanks && text[i] == ' '))
                       && text[i] < 0x7f);
    }
}


static void
ncr_fuzz_import(ncr_oauth_import_t *import)
{
    cJSON      *json;
    ncr_str_t   s;

    ncr_fuzz_check(import->kind[0] && import->platform[0]
                   && import->access[0]);

    ncr_fuzz_text(import->access, sizeof(import->access), 0);
    ncr_fuzz_text(import->refresh, sizeof(import->refresh), 0);
    ncr_fuzz_text(import->scope, sizeof(import->scope), 1);
    ncr_fuzz_text(import->base_url, sizeof(import->base_url), 0);

    ncr_fuzz_check(strncmp(import->access, "sk-ant-ort", 10) != 0
                   && strncmp(import->refresh, "sk-ant-oat", 10) != 0);
    ncr_fuzz_check(import->expires >= 0);
    ncr_fuzz_text(import->region, sizeof(import->region), 0);

    ncr_fuzz_check(import->refresh[0] || import->expires == 0
                   || import->expires > NCR_FUZZ_NOW);

    ncr_fuzz_check(memchr(import->meta, '\0', sizeof(import->meta)) != NULL);

    s.data = (ncr_char_t *) import->meta;
    s.len = strlen(import->meta);

    if (s.len) {
        json = ncr_oauth_json(&s);
        ncr_fuzz_check(json != NULL);
        cJSON_Delete(json);
    }
}


static void
ncr_fuzz_as(ncr_str_t *s, const char *platform)
{
    size_t               i;
    const char          *err, *p;
    ncr_oauth_import_t   import;

    err = ncr_oauth_import_as(s, platform, &import, NCR_FUZZ_NOW);

    if (err == NULL) {
        ncr_fuzz_import(&import);

    } else {
        p = (const char *) &import;

        for (i = 0; i < sizeof(import); i++) {
            ncr_fuzz_check(p[i] == 0);
        }

        /* it is a literal, and lives longer than the text */

        memset(s->data, 0xA5, s->len);
        ncr_fuzz_check(strlen(err) > 0 && strchr(err, 0xA5) == NULL);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_str_t   s;
    ncr_uint_t  n;

    /* NULL: what it is for is to be seen */

    static const char *const  platforms[] = {
        NULL, "claude-oauth", "codex", "code-assist", "antigravity", "kiro",
        "droid"
    };

    if (size > 16 * 1024) {
        return 0;
    }

    s.len = size;
    s.data = malloc(size + !size);

    if (size) {
        memcpy(s.data, data, size);
    }

    for (n = 0; n < sizeof(platforms) / sizeof(platforms[0]); n++) {

        if (size) {
            memcpy(s.data, data, size);
        }

        ncr_fuzz_as(&s, platforms[n]);
    }

    free(s.data);

    return 0;
}
