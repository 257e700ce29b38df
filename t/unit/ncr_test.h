
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* TAP for unit tests: include it once, end main() with ncr_test_done(). */


#ifndef _NCR_TEST_H_INCLUDED_
#define _NCR_TEST_H_INCLUDED_


#include "ncr_base.h"

#include <stdio.h>
#include <string.h>


static int  ncr_test_count;
static int  ncr_test_failures;


#define ncr_test(cond, name)                                                  \
    do {                                                                      \
        int  passed_ = !!(cond);                                              \
                                                                              \
        ncr_test_count++;                                                     \
        ncr_test_failures += !passed_;                                        \
                                                                              \
        printf("%sok %d - %s\n", passed_ ? "" : "not ", ncr_test_count,       \
               name);                                                         \
                                                                              \
        if (!passed_) {                                                       \
            printf("# %s:%d: %s\n", __FILE__, __LINE__, #cond);               \
        }                                                                     \
    } while (0)

#define ncr_test_str(s, text)                                                 \
    ((s).len == strlen(text)                                                  \
     && ((s).len == 0 || memcmp((s).data, text, (s).len) == 0))


static inline ncr_str_t
ncr_test_s(const char *text)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) (uintptr_t) text;
    s.len = strlen(text);

    return s;
}


#define ncr_test_done()                                                       \
    (printf("1..%d\n", ncr_test_count), ncr_test_failures != 0)


#endif /* _NCR_TEST_H_INCLUDED_ */
