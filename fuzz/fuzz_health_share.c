
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What another node tells of an account: read, merged, and put in place. */


#include "../src/pool/ncr_health_share.c"
#include "ncr_fuzz.h"


#define NCR_FUZZ_NOW  ((ncr_msec_t) 1795262400 * 1000)


static void
ncr_fuzz_names(ncr_health_share_t *s)
{
    ncr_uint_t  i;

    ncr_fuzz_check(s->nfamilies <= NCR_HEALTH_FAMILIES
                   && s->nwindows <= NCR_WINDOWS);

    for (i = 0; i < s->nfamilies; i++) {
        ncr_fuzz_check(s->families[i].name[0] != '\0'
                       && memchr(s->families[i].name, '\0', NCR_FAMILY_LEN)
                          != NULL
                       && (i == 0 || strcmp(s->families[i - 1].name,
                                            s->families[i].name) < 0));
    }

    for (i = 0; i < s->nwindows; i++) {
        ncr_fuzz_check(s->windows[i].name[0] != '\0'
                       && memchr(s->windows[i].name, '\0', NCR_WINDOW_LEN)
                          != NULL
                       && s->windows[i].utilization >= -1
                       && (i == 0 || strcmp(s->windows[i - 1].name,
                                            s->windows[i].name) < 0));
    }
}


static ncr_uint_t
ncr_fuzz_same(ncr_health_share_t *a, ncr_health_share_t *b)
{
    ncr_out_t   one, other;
    ncr_char_t  buf[NCR_HEALTH_SHARE], buf2[NCR_HEALTH_SHARE];

    ncr_out_init(&one, buf, sizeof(buf));
    ncr_health_share_write(&one, a);

    ncr_out_init(&other, buf2, sizeof(buf2));
    ncr_health_share_write(&other, b);

    ncr_fuzz_check(!one.overflow && !other.overflow);

    return one.last - buf == other.last - buf2
           && memcmp(buf, buf2, (size_t) (one.last - buf)) == 0;
}


/* two texts with a line's end between them */

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_str_t            text, second;
    ncr_char_t          *p, *end;
    ncr_health_t         h;
    ncr_health_share_t   a, b, ab, ba;

    if (size > 8192) {
        return 0;
    }

    p = malloc(size + 1);
    memcpy(p, data, size);

    end = size ? memchr(p, '\n', size) : NULL;

    text.data = p;
    text.len = end ? (size_t) (end - p) : size;

    if (ncr_health_share_read(&a, &text, NCR_FUZZ_NOW) != NCR_OK) {
        free(p);
        return 0;
    }

    ncr_fuzz_names(&a);

    memset(&b, 0, sizeof(b));

    if (end) {
        second.data = end + 1;
        second.len = size - text.len - 1;

        if (ncr_health_share_read(&b, &second, NCR_FUZZ_NOW) != NCR_OK) {
            memset(&b, 0, sizeof(b));
        }
    }

    /* as of now, as what is merged is */

    ncr_health_share_merge(&a, &a, NCR_FUZZ_NOW);
    ncr_health_share_merge(&b, &b, NCR_FUZZ_NOW);

    ab = a;
    ncr_health_share_merge(&ab, &b, NCR_FUZZ_NOW);

    ba = b;
    ncr_health_share_merge(&ba, &a, NCR_FUZZ_NOW);

    ncr_fuzz_names(&ab);
    ncr_fuzz_check(ncr_fuzz_same(&ab, &ba));

    ncr_health_share_merge(&ba, &b, NCR_FUZZ_NOW);
    ncr_fuzz_check(ncr_fuzz_same(&ab, &ba));

    memset(&h, 0, sizeof(h));
    (void) ncr_health_share_put(&ab, &h, NCR_FUZZ_NOW);
    ncr_health_share_get(&ba, &h, NCR_FUZZ_NOW);

    ncr_fuzz_check(ncr_health_share_rests(&ab) == ncr_health_share_rests(&ba)
                   && ncr_health_share_windows(&ab)
                      == ncr_health_share_windows(&ba));

    free(p);

    return 0;
}
