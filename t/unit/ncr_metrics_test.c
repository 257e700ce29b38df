
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/model/ncr_metrics.c"
#include "ncr_test.h"

#include <stdlib.h>


static ncr_metrics_t  ncr_test_m;
static ncr_char_t     ncr_test_buf[65536];
static char           ncr_test_text[65536];
static ncr_uint_t     ncr_test_mores;


static void
ncr_test_begin(size_t size)
{
    memset(&ncr_test_m, 0, sizeof(ncr_test_m));
    ncr_out_init(&ncr_test_m.out, ncr_test_buf, size);
}


static const char *
ncr_test_got(void)
{
    size_t  len;

    len = (size_t) (ncr_test_m.out.last - ncr_test_m.out.start);
    memcpy(ncr_test_text, ncr_test_buf, len);
    ncr_test_text[len] = '\0';

    return ncr_test_m.out.overflow ? "overflow" : ncr_test_text;
}


static void
ncr_test_numbers(void)
{
    size_t  i;
    char    name[64], want[64];

    static struct {
        uint64_t     value;
        ncr_uint_t   digits;
        const char  *text;
    } rows[] = {
        { 0, 0, "0" },
        { 0, 3, "0" },
        { 1, 3, "0.001" },
        { 10, 3, "0.01" },
        { 999, 3, "0.999" },
        { 1000, 3, "1" },
        { 1001, 3, "1.001" },
        { 1500, 3, "1.5" },
        { 100000, 4, "10" },
        { 6900, 4, "0.69" },
        { 12345, 6, "0.012345" },
        { 7, 9, "0.000000007" },
        { UINT64_MAX, 0, "18446744073709551615" },
        { UINT64_MAX, 9, "18446744073.709551615" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ncr_test_begin(sizeof(ncr_test_buf));
        ncr_metrics_family(&ncr_test_m, "a", "gauge", "h");
        ncr_test_m.out.last = ncr_test_m.out.start;
        ncr_metrics_value(&ncr_test_m, rows[i].value, rows[i].digits);

        (void) snprintf(want, sizeof(want), "a %s\n", rows[i].text);
        (void) snprintf(name, sizeof(name), "number %s", rows[i].text);
        ncr_test(strcmp(ncr_test_got(), want) == 0, name);
    }
}


static void
ncr_test_escapes(void)
{
    char        name[64], want[512];
    size_t      i;
    ncr_str_t   s;
    ncr_char_t  bytes[512];

    static ncr_histogram_t  empty;

    static struct {
        const char  *value;
        const char  *text;
    } rows[] = {
        { "", "" },
        { "claude-opus-4-6", "claude-opus-4-6" },
        { "a\"b", "a\\\"b" },
        { "a\\b", "a\\\\b" },
        { "a\nb", "a\\nb" },
        { "\"} 1\nevil_total 7\n#", "\\\"} 1\\nevil_total 7\\n#" },
        { "a\rb\tc\x01\x7f", "a?b?c??" },
        { "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80",
          "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80" },
        { "\x80\xC0\x80\xED\xA0\x80\xF5z", "???????z" },
        { "\xE2\x82", "??" }
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {

        /* at the end of its memory, so that a look beyond it is seen */

        s.len = strlen(rows[i].value);
        s.data = malloc(s.len + 1);
        memcpy(s.data, rows[i].value, s.len);
        s.data = realloc(s.data, s.len ? s.len : 1);

        ncr_test_begin(sizeof(ncr_test_buf));
        ncr_test_m.name = "a";
        ncr_metrics_label(&ncr_test_m, "l", &s);
        ncr_metrics_value(&ncr_test_m, 1, 0);

        (void) snprintf(want, sizeof(want), "a{l=\"%s\"} 1\n", rows[i].text);
        (void) snprintf(name, sizeof(name), "label %d", (int) i);
        ncr_test(strcmp(ncr_test_got(), want) == 0, name);

        free(s.data);
    }

    /* cut, but not inside of a character */

    memset(bytes, 'x', sizeof(bytes));

    s.data = bytes;
    s.len = sizeof(bytes);

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test_m.name = "a";
    ncr_metrics_label(&ncr_test_m, "l", &s);
    ncr_metrics_value(&ncr_test_m, 1, 0);
    ncr_test(strlen(ncr_test_got()) == NCR_METRICS_VALUE
                                       + sizeof("a{l=\"\"} 1\n") - 1,
             "a long value is cut");

    memcpy(bytes + NCR_METRICS_VALUE - 2, "\xE2\x82\xAC", 3);

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test_m.name = "a";
    ncr_metrics_label(&ncr_test_m, "l", &s);
    ncr_metrics_value(&ncr_test_m, 1, 0);
    ncr_test(strlen(ncr_test_got()) == NCR_METRICS_VALUE - 2
                                       + sizeof("a{l=\"\"} 1\n") - 1,
             "in front of a character");

    /* five labels of the worst kind are room for */

    memset(bytes, '"', sizeof(bytes));

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test_m.name = "gen_ai_server_time_per_output_token_seconds";

    for (i = 0; i < 5; i++) {
        ncr_metrics_label(&ncr_test_m, "gen_ai_response_model", &s);
    }

    ncr_metrics_histogram(&ncr_test_m, &ncr_scale_duration, &empty);
    ncr_test(!ncr_test_m.out.overflow, "five labels fit");

    for (i = 0; i < 5; i++) {
        ncr_metrics_label(&ncr_test_m, "gen_ai_response_model", &s);
    }

    for (i = 0; i < 5; i++) {
        ncr_metrics_label(&ncr_test_m, "gen_ai_response_model", &s);
    }

    ncr_test(ncr_test_m.out.overflow, "ten do not");
}


static void
ncr_test_families(void)
{
    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_metrics_family(&ncr_test_m, "a_total", "counter", "What a is.");
    ncr_metrics_label_text(&ncr_test_m, "x", "1");
    ncr_metrics_label_text(&ncr_test_m, "y", "2");
    ncr_metrics_value(&ncr_test_m, 3, 0);
    ncr_metrics_value(&ncr_test_m, 4, 0);
    ncr_metrics_end(&ncr_test_m);

    ncr_test(strcmp(ncr_test_got(), "# HELP a_total What a is.\n"
                                    "# TYPE a_total counter\n"
                                    "a_total{x=\"1\",y=\"2\"} 3\n"
                                    "a_total 4\n") == 0, "a counter");

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test_m.open = 1;
    ncr_metrics_family(&ncr_test_m, "a_total", "counter", "What a is.");
    ncr_metrics_value(&ncr_test_m, 4, 0);
    ncr_metrics_family(&ncr_test_m, "b_total", "gauge", "What b is.");
    ncr_metrics_end(&ncr_test_m);

    ncr_test(strcmp(ncr_test_got(), "# HELP a What a is.\n"
                                    "# TYPE a counter\n"
                                    "a_total 4\n"
                                    "# HELP b_total What b is.\n"
                                    "# TYPE b_total gauge\n"
                                    "# EOF\n") == 0, "OpenMetrics");
}


static void
ncr_test_histograms(void)
{
    ncr_uint_t          i, j;
    ncr_histogram_t     h, more;
    const ncr_scale_t  *scale;

    static const ncr_bound_t  bounds[] = { { 10, "0.01" }, { 1000, "1.0" } };
    static const ncr_scale_t  test = { 2, 3, bounds };

    static const ncr_scale_t  *scales[] = {
        &ncr_scale_tokens, &ncr_scale_duration, &ncr_scale_first_token,
        &ncr_scale_per_token, &ncr_scale_own
    };

    memset(&h, 0, sizeof(h));
    memset(&more, 0, sizeof(more));

    ncr_histogram_add(&h, &test, 0);
    ncr_histogram_add(&h, &test, 10);
    ncr_histogram_add(&h, &test, 11);
    ncr_histogram_add(&more, &test, 1000);
    ncr_histogram_add(&more, &test, 1001);
    ncr_histogram_merge(&h, &more);

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_metrics_family(&ncr_test_m, "h", "histogram", "H.");
    ncr_test_m.out.last = ncr_test_m.out.start;
    ncr_metrics_label_text(&ncr_test_m, "x", "1");
    ncr_metrics_histogram(&ncr_test_m, &test, &h);

    ncr_test(strcmp(ncr_test_got(), "h_bucket{x=\"1\",le=\"0.01\"} 2\n"
                                    "h_bucket{x=\"1\",le=\"1.0\"} 4\n"
                                    "h_bucket{x=\"1\",le=\"+Inf\"} 5\n"
                                    "h_sum{x=\"1\"} 2.022\n"
                                    "h_count{x=\"1\"} 5\n") == 0,
             "a histogram");

    ncr_test_begin(sizeof(ncr_test_buf));
    ncr_test_m.name = "h";
    memset(&h, 0, sizeof(h));
    ncr_metrics_histogram(&ncr_test_m, &test, &h);

    ncr_test(strcmp(ncr_test_got(), "h_bucket{le=\"0.01\"} 0\n"
                                    "h_bucket{le=\"1.0\"} 0\n"
                                    "h_bucket{le=\"+Inf\"} 0\n"
                                    "h_sum 0\n"
                                    "h_count 0\n") == 0,
             "one without labels");

    for (i = 0; i < sizeof(scales) / sizeof(scales[0]); i++) {

        scale = scales[i];

        ncr_test(scale->n <= NCR_METRICS_BOUNDS, "its bounds have room");

        for (j = 0; j < scale->n; j++) {

            double  unit;
            ncr_uint_t  k;

            for (unit = 1, k = 0; k < scale->digits; k++) {
                unit *= 10;
            }

            if ((j && scale->bounds[j].bound <= scale->bounds[j - 1].bound)
                || (uint64_t) (strtod(scale->bounds[j].le, NULL) * unit + 0.5)
                   != scale->bounds[j].bound)
            {
                break;
            }
        }

        ncr_test(j == scale->n, "its bounds ascend, and are what they say");

        memset(&h, 0, sizeof(h));
        ncr_histogram_add(&h, scale, UINT64_MAX);
        ncr_test(h.buckets[scale->n] == 1, "all else is in the last bucket");
    }

    ncr_test(ncr_scale_tokens.n == 14
             && ncr_scale_tokens.bounds[13].bound == 67108864,
             "tokens: 4^0 to 4^13, as OpenTelemetry has it");
    ncr_test(ncr_scale_duration.n == 14
             && ncr_scale_duration.bounds[13].bound == 81920,
             "durations: 0.01 s, doubled 13 times");
}


static void
ncr_test_more(ncr_metrics_t *m)
{
    if (++ncr_test_mores == 3) {
        m->out.overflow = 1;
        return;
    }

    m->out.last = m->out.start;
}


static void
ncr_test_buffers(void)
{
    ncr_uint_t  i;

    ncr_test_begin(2 * NCR_METRICS_LINE);
    ncr_test_m.more = ncr_test_more;
    ncr_test_m.name = "a";

    for (i = 0; ncr_test_mores == 0 && i < 10000; i++) {
        ncr_metrics_value(&ncr_test_m, 1, 0);
    }

    ncr_test(i == NCR_METRICS_LINE / sizeof("a 1") + 2,
             "another buffer, before a line might not fit");
    ncr_test(!ncr_test_m.out.overflow, "no overflow");

    for (i = 0; i < 10000; i++) {
        ncr_metrics_value(&ncr_test_m, 1, 0);
    }

    ncr_test(ncr_test_m.out.overflow && ncr_test_mores == 3,
             "no more of them: that sticks, and nobody asks again");
}


int
main(void)
{
    ncr_test_numbers();
    ncr_test_escapes();
    ncr_test_families();
    ncr_test_histograms();
    ncr_test_buffers();

    return ncr_test_done();
}
