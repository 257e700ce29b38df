
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The vocabulary of the plain floors: return codes and the string slice.
 *
 * Nothing on these floors allocates, logs or asks for the time: memory comes
 * from the caller, every buffer has a ceiling, and "now" is an argument.
 * ncr_str_t has the layout of ngx_str_t, so that the glue may pass one for
 * the other.  A slice never owns what it points to.
 */


#ifndef _NCR_BASE_H_INCLUDED_
#define _NCR_BASE_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <string.h>


typedef intptr_t        ncr_int_t;
typedef uintptr_t       ncr_uint_t;
typedef unsigned char   ncr_char_t;


/* milliseconds since the epoch, by the wall clock */
typedef int64_t         ncr_msec_t;


/* may_alias: the glue shows its own strings under this type */

#if defined(__GNUC__)
#define NCR_MAY_ALIAS  __attribute__((__may_alias__))
#else
#define NCR_MAY_ALIAS
#endif

typedef struct NCR_MAY_ALIAS {
    size_t       len;
    ncr_char_t  *data;
} ncr_str_t;


#define NCR_OK           0
#define NCR_ERROR       -1              /* the caller's fault: out of room */
#define NCR_AGAIN       -2              /* feed more */
#define NCR_DONE        -4
#define NCR_DECLINED    -5
#define NCR_BAD         -6              /* the input breaks its grammar */


/* for what is rarely called by a function that is called for each token: in
 * there it would have registers saved and restored each time */

#if defined(__GNUC__)
#define NCR_NOINLINE  __attribute__((__noinline__))
#else
#define NCR_NOINLINE
#endif


#define ncr_string(str)     { sizeof(str) - 1, (ncr_char_t *) str }
#define ncr_null_string     { 0, NULL }
#define ncr_str_set(str, text)                                                \
    (str)->len = sizeof(text) - 1; (str)->data = (ncr_char_t *) text
#define ncr_str_null(str)   (str)->len = 0; (str)->data = NULL

#define ncr_min(a, b)       (((a) < (b)) ? (a) : (b))
#define ncr_max(a, b)       (((a) > (b)) ? (a) : (b))


#endif /* _NCR_BASE_H_INCLUDED_ */
