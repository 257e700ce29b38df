
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Labels of metrics: whatever the values are, a line can be read in one way
 * only, and gives back what was put in, as far as it may.
 */


#include "../src/model/ncr_metrics.c"
#include "ncr_fuzz.h"


static ncr_metrics_t  ncr_fuzz_m;
static ncr_char_t     ncr_fuzz_buf[2 * NCR_METRICS_LINE];


/* the text of one label, its value in plain; returns its end */

static ncr_char_t *
ncr_fuzz_read(ncr_char_t *p, ncr_char_t *last, ncr_char_t *value, size_t *n)
{
    *n = 0;

    ncr_fuzz_check(last - p > 3 && p[0] == 'l' && p[1] == '=' && p[2] == '"');

    for (p += 3; /* void */ ; p++) {

        ncr_fuzz_check(p < last && *n <= NCR_METRICS_VALUE);

        if (*p == '"') {
            return p + 1;
        }

        ncr_fuzz_check(*p >= ' ' && *p != 0x7f);

        if (*p == '\\') {
            p++;
            ncr_fuzz_check(*p == '"' || *p == '\\' || *p == 'n');
            value[(*n)++] = (*p == 'n') ? '\n' : *p;
            continue;
        }

        value[(*n)++] = *p;
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t       i, half, n;
    ncr_str_t    value[2];
    ncr_char_t  *p, *last, plain[NCR_METRICS_VALUE + 8];

    half = size / 2;

    value[0].data = malloc(half + 1);
    value[0].len = half;
    value[1].data = malloc(size - half + 1);
    value[1].len = size - half;

    if (size) {
        memcpy(value[0].data, data, half);
        memcpy(value[1].data, data + half, size - half);
    }

    value[0].data = realloc(value[0].data, half ? half : 1);
    value[1].data = realloc(value[1].data, size - half ? size - half : 1);

    memset(&ncr_fuzz_m, 0, sizeof(ncr_fuzz_m));
    ncr_out_init(&ncr_fuzz_m.out, ncr_fuzz_buf, sizeof(ncr_fuzz_buf));

    ncr_fuzz_m.name = "a";
    ncr_metrics_label(&ncr_fuzz_m, "l", &value[0]);
    ncr_metrics_label(&ncr_fuzz_m, "l", &value[1]);
    ncr_metrics_value(&ncr_fuzz_m, size, 0);

    ncr_fuzz_check(!ncr_fuzz_m.out.overflow);

    p = ncr_fuzz_buf;
    last = ncr_fuzz_m.out.last;

    ncr_fuzz_check(last - p > 3 && memcmp(p, "a{", 2) == 0
                   && last - p < NCR_METRICS_LINE && last[-1] == '\n'
                   && memchr(p, '\n', (size_t) (last - p)) == last - 1);
    p += 2;

    for (i = 0; i < 2; i++) {

        p = ncr_fuzz_read(p, last, plain, &n);

        ncr_fuzz_check(n <= value[i].len
                       && n + 3 >= ncr_min(value[i].len, NCR_METRICS_VALUE));

        while (n--) {
            ncr_fuzz_check(plain[n] == value[i].data[n] || plain[n] == '?');
        }

        ncr_fuzz_check(*p++ == (i ? '}' : ','));
    }

    ncr_fuzz_check(*p == ' ');

    free(value[0].data);
    free(value[1].data);

    return 0;
}
