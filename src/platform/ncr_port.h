
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What other relays have written, as a document of our own form
 * (docs/import.md): CRS's exports, the config.toml of claude-relay-rs,
 * Pluribus' providers/<name>.toml.  Whether a relay could use what is in it
 * is for others to say.  Facts: SEEDS 1.1, 1.2, 1.4.5, 1.4.6.
 *
 * Documents are trees of cJSON, which allocates.  They have secrets: whoever
 * is done with one calls ncr_port_forget().
 */


#ifndef _NCR_PORT_H_INCLUDED_
#define _NCR_PORT_H_INCLUDED_


#include "ncr_base.h"

#include <cjson/cJSON.h>


/* of a text: bytes, nesting, and what is in it at all; a tree of so many
 * values takes some 100 MB at worst */
#define NCR_PORT_BODY      (16 * 1024 * 1024)
#define NCR_PORT_DEPTH     32
#define NCR_PORT_VALUES    1000000

/* of a document */
#define NCR_PORT_ACCOUNTS  2000
#define NCR_PORT_OBJECTS   20000

#define NCR_PORT_SALTS     8            /* at most */
#define NCR_PORT_NAME      64           /* with its NUL */
#define NCR_PORT_SEEN      (128 * 1024)


typedef struct {

    /* set by the caller, the rest is zeroes */

    ncr_str_t        crs_key;           /* ENCRYPTION_KEY, or "" */
    ncr_msec_t       now;

    /* result: {"accounts": [], "keys": [], "users": []}, and an array of
     * {"object": , "name": , "message": } of what was left out */

    cJSON           *doc;
    cJSON           *notes;

    /* private */

    unsigned         memory:1;          /* there was none */
    unsigned         derived[NCR_PORT_SALTS];
    ncr_char_t       keys[NCR_PORT_SALTS][32];  /* made of crs_key, by salt */
    ncr_char_t       seen[NCR_PORT_SEEN];   /* hashes of names */
} ncr_port_t;


/*
 * A whole JSON object, or NULL and *wrong, a constant text.  Stricter than
 * cJSON: the grammar is that of ncr_json, nothing follows, no string has a
 * NUL.
 */
cJSON *ncr_port_json(ncr_str_t *text, const char **wrong);

/* the same, of any value */
cJSON *ncr_port_value(ncr_str_t *text, const char **wrong);

/* "claude-relay", "crs", "rs", "pluribus"; NULL: none of them */
const char *ncr_port_format(cJSON *document);

/*
 * NULL, or what is wrong, a constant text; both results are the caller's in
 * any case, and may be NULL.  format is one of those above but our own.
 */
const char *ncr_port_read(ncr_port_t *port, const char *format,
    cJSON *document);

/* strings are overwritten; NULL is fine */
void ncr_port_forget(cJSON *json);

/* deletes results, overwrites keys */
void ncr_port_free(ncr_port_t *port);


/*
 * Secrets of an object, a JSON object, sealed under a key that is made of a
 * passphrase, for this place only: as a text of base64url, to be released with
 * cJSON_free(), and back.  NULL: no memory, or it is of another key or place,
 * or changed.
 */
char *ncr_port_seal(const ncr_char_t *key, const char *kind,
    const char *name, cJSON *secrets);
cJSON *ncr_port_unseal(const ncr_char_t *key, const char *kind,
    const char *name, const char *text);


/* for the readers of formats */

const char *ncr_port_crs(ncr_port_t *port, cJSON *document);
const char *ncr_port_rs(ncr_port_t *port, cJSON *document);

/* a member of kind, "accounts", named after text as far as that can be a
 * name, or else otherwise; NULL: too many, or no memory */
cJSON *ncr_port_object(ncr_port_t *port, const char *kind, const char *text,
    const char *otherwise);

/* its members "settings" and "secrets", made if they are not there */
cJSON *ncr_port_settings(ncr_port_t *port, cJSON *object);
cJSON *ncr_port_secrets(ncr_port_t *port, cJSON *object);

/* "" and NULL are not put */
void ncr_port_put(ncr_port_t *port, cJSON *object, const char *name,
    const char *value);
void ncr_port_put_number(ncr_port_t *port, cJSON *object, const char *name,
    double value);
void ncr_port_put_bool(ncr_port_t *port, cJSON *object, const char *name,
    ncr_uint_t value);

/* an element of an array, which is made if it is not there */
void ncr_port_add(ncr_port_t *port, cJSON *object, const char *name,
    const char *value);

/* message is a constant text; name may be anything */
void ncr_port_note(ncr_port_t *port, const char *object, const char *name,
    const char *message);

/* "socks5://user:password@host:port"; NULL: it is none */
void ncr_port_proxy(ncr_port_t *port, cJSON *object, const char *type,
    const char *host, const char *number, const char *user,
    const char *password);


#endif /* _NCR_PORT_H_INCLUDED_ */
