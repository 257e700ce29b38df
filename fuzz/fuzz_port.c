
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Others' exports: whatever they are, what comes out has names that are names,
 * and no note has a part of a text but a name as it may be shown.
 */


#include "../src/platform/ncr_port.c"
#include "../src/platform/ncr_port_crs.c"
#include "../src/platform/ncr_port_rs.c"
#include "../src/platform/ncr_port_seal.c"
#include "ncr_fuzz.h"


static void
ncr_fuzz_name(const char *name, int empty)
{
    const char  *p;

    ncr_fuzz_check((empty || name[0]) && strlen(name) < NCR_PORT_NAME);

    for (p = name; *p; p++) {
        ncr_fuzz_check((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
                       || (*p >= '0' && *p <= '9') || *p == '.' || *p == '_'
                       || *p == '-');
    }
}


static void
ncr_fuzz_document(ncr_port_t *port)
{
    cJSON  *list, *object, *name, *other;

    cJSON_ArrayForEach(list, port->doc) {

        ncr_fuzz_check(cJSON_IsArray(list));

        cJSON_ArrayForEach(object, list) {

            name = cJSON_GetObjectItemCaseSensitive(object, "name");
            ncr_fuzz_check(cJSON_IsString(name));
            ncr_fuzz_name(name->valuestring, 0);

            ncr_fuzz_check(cJSON_IsObject(
                       cJSON_GetObjectItemCaseSensitive(object, "settings")));

            other = object->next
                    ? cJSON_GetObjectItemCaseSensitive(object->next, "name")
                    : NULL;

            ncr_fuzz_check(other == NULL
                           || strcmp(other->valuestring, name->valuestring)
                              != 0);
        }
    }

    cJSON_ArrayForEach(object, port->notes) {
        name = cJSON_GetObjectItemCaseSensitive(object, "name");

        if (name) {
            ncr_fuzz_name(name->valuestring, 1);
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char               *copy;
    cJSON              *document, *back;
    ncr_str_t           text;
    ncr_char_t          key[NCR_SEAL_KEY];
    const char         *format, *wrong;
    static ncr_port_t   port;

    if (size == 0 || size > 64 * 1024) {
        return 0;
    }

    copy = malloc(size + 1);
    memcpy(copy, data, size);
    copy[size] = '\0';

    text.data = (ncr_char_t *) copy;
    text.len = size;

    document = ncr_port_json(&text, &wrong);

    if (document == NULL) {

        /* anything but a NUL may be the text of a file */

        document = cJSON_CreateString(copy);
    }

    format = ncr_port_format(document);

    if (format == NULL || strcmp(format, "claude-relay") == 0) {
        format = cJSON_IsString(document) ? "rs" : "crs";
    }

    memset(&port, 0, sizeof(ncr_port_t));
    port.now = (ncr_msec_t) 1795262400 * 1000;

    /* scrypt would take all of the time */

    port.crs_key.data = (ncr_char_t *) "k";
    port.crs_key.len = 1;
    port.derived[0] = 1;
    port.derived[1] = 1;

    wrong = ncr_port_read(&port, format, document);

    if (wrong == NULL) {
        ncr_fuzz_document(&port);
    }

    memset(key, 1, sizeof(key));
    back = ncr_port_unseal(key, "key", "k", copy);
    ncr_fuzz_check(back == NULL);

    ncr_port_free(&port);
    cJSON_Delete(document);
    free(copy);

    return 0;
}
