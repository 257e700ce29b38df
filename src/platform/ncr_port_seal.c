
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_port.h"
#include "ncr_base64.h"
#include "ncr_seal.h"


static void ncr_port_place(ncr_seal_place_t *place, const char *kind,
    const char *name);


char *
ncr_port_seal(const ncr_char_t *key, const char *kind, const char *name,
    cJSON *secrets)
{
    char              *text, *end;
    ncr_str_t          plain;
    ncr_char_t        *sealed;
    ncr_seal_place_t   place;

    plain.data = (ncr_char_t *) cJSON_PrintUnformatted(secrets);

    if (plain.data == NULL) {
        return NULL;
    }

    plain.len = strlen((char *) plain.data);

    sealed = cJSON_malloc(plain.len + NCR_SEAL_EXTRA);
    text = cJSON_malloc(ncr_base64url_len(plain.len + NCR_SEAL_EXTRA) + 1);

    ncr_port_place(&place, kind, name);

    if (sealed && text && ncr_seal(key, &place, &plain, sealed) == NCR_OK) {
        end = ncr_base64url(text, sealed, plain.len + NCR_SEAL_EXTRA);
        *end = '\0';

    } else {
        cJSON_free(text);
        text = NULL;
    }

    ncr_seal_forget(plain.data, plain.len);
    cJSON_free(plain.data);
    cJSON_free(sealed);

    return text;
}


cJSON *
ncr_port_unseal(const ncr_char_t *key, const char *kind, const char *name,
    const char *text)
{
    size_t             len;
    cJSON             *secrets;
    ncr_str_t          sealed, plain;
    const char        *wrong;
    ncr_seal_place_t   place;

    len = strlen(text);
    secrets = NULL;

    sealed.data = cJSON_malloc(len + 1);

    if (sealed.data == NULL) {
        return NULL;
    }

    plain.data = NULL;

    if (ncr_base64url_decode(sealed.data, &sealed.len, text, len) != NCR_OK
        || sealed.len <= NCR_SEAL_EXTRA)
    {
        goto done;
    }

    plain.len = sealed.len - NCR_SEAL_EXTRA;
    plain.data = cJSON_malloc(plain.len);

    ncr_port_place(&place, kind, name);

    if (plain.data
        && ncr_seal_open(key, &place, &sealed, plain.data) == NCR_OK)
    {
        secrets = ncr_port_json(&plain, &wrong);
    }

    if (plain.data) {
        ncr_seal_forget(plain.data, plain.len);
    }

done:

    cJSON_free(plain.data);
    cJSON_free(sealed.data);

    return secrets;
}


static void
ncr_port_place(ncr_seal_place_t *place, const char *kind, const char *name)
{
    place->table = "export";
    place->row = name;
    place->column = kind;
}
