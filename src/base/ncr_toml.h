
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A reader of small TOML files, which reports what it finds and builds
 * nothing.  It refuses what it does not know: strings of several lines, and
 * times with a blank in them.
 */


#ifndef _NCR_TOML_H_INCLUDED_
#define _NCR_TOML_H_INCLUDED_


#include "ncr_base.h"


#define NCR_TOML_PATH   128
#define NCR_TOML_TEXT   8192            /* the longest string */
#define NCR_TOML_DEPTH  8


typedef enum {
    NCR_TOML_STRING = 0,                /* escapes undone */
    NCR_TOML_INTEGER,                   /* decimal, "_" taken out */
    NCR_TOML_OTHER                      /* true, 1.5, 0x1F, 1979-05-27 */
} ncr_toml_type_e;


typedef struct ncr_toml_s  ncr_toml_t;

/*
 * One value; path is "table.key", and that of the array for its elements.  A
 * key that cannot be written without quotes is "?" in it.  Any result but
 * NCR_OK ends the reading.
 */
typedef ncr_int_t (*ncr_toml_value_pt)(ncr_toml_t *toml, const char *path,
    ncr_toml_type_e type, ncr_str_t *value);


struct ncr_toml_s {

    /* set by the caller */

    void               *data;
    ncr_toml_value_pt   value;

    /* valid inside value() */

    ncr_uint_t          element;        /* of an array */
    ncr_uint_t          tables;         /* "[[name]]" so far, of any name */

    /* valid after NCR_BAD: never holds a part of the text */

    const char         *error;

    /* private */

    ncr_char_t         *p;
    ncr_char_t         *last;
    ncr_uint_t          depth;
    size_t              len;            /* of the path */
    char                path[NCR_TOML_PATH];
    size_t              ntext;
    ncr_char_t          text[NCR_TOML_TEXT];
};


/* NCR_OK, NCR_BAD, or what value() returned */
ncr_int_t ncr_toml_read(ncr_toml_t *toml, ncr_str_t *text);


#endif /* _NCR_TOML_H_INCLUDED_ */
