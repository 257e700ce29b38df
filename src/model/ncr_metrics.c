
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_metrics.h"
#include "ncr_str.h"


#define ncr_bounds(b)  sizeof(b) / sizeof(ncr_bound_t)


static void ncr_metrics_label_bytes(ncr_metrics_t *m, const char *name,
    const ncr_char_t *value, size_t size);
static size_t ncr_metrics_utf8(const ncr_char_t *p, const ncr_char_t *last);
static void ncr_metrics_room(ncr_metrics_t *m);
static void ncr_metrics_line(ncr_metrics_t *m, const char *suffix,
    const char *le, uint64_t value, ncr_uint_t digits);
static void ncr_metrics_number(ncr_out_t *out, uint64_t value,
    ncr_uint_t digits);


static const ncr_bound_t  ncr_bounds_tokens[] = {
    { 1, "1.0" },
    { 4, "4.0" },
    { 16, "16.0" },
    { 64, "64.0" },
    { 256, "256.0" },
    { 1024, "1024.0" },
    { 4096, "4096.0" },
    { 16384, "16384.0" },
    { 65536, "65536.0" },
    { 262144, "262144.0" },
    { 1048576, "1048576.0" },
    { 4194304, "4194304.0" },
    { 16777216, "16777216.0" },
    { 67108864, "67108864.0" }
};


static const ncr_bound_t  ncr_bounds_duration[] = {
    { 10, "0.01" },
    { 20, "0.02" },
    { 40, "0.04" },
    { 80, "0.08" },
    { 160, "0.16" },
    { 320, "0.32" },
    { 640, "0.64" },
    { 1280, "1.28" },
    { 2560, "2.56" },
    { 5120, "5.12" },
    { 10240, "10.24" },
    { 20480, "20.48" },
    { 40960, "40.96" },
    { 81920, "81.92" }
};


static const ncr_bound_t  ncr_bounds_first_token[] = {
    { 1, "0.001" },
    { 5, "0.005" },
    { 10, "0.01" },
    { 20, "0.02" },
    { 40, "0.04" },
    { 60, "0.06" },
    { 80, "0.08" },
    { 100, "0.1" },
    { 250, "0.25" },
    { 500, "0.5" },
    { 750, "0.75" },
    { 1000, "1.0" },
    { 2500, "2.5" },
    { 5000, "5.0" },
    { 7500, "7.5" },
    { 10000, "10.0" }
};


static const ncr_bound_t  ncr_bounds_per_token[] = {
    { 10000, "0.01" },
    { 25000, "0.025" },
    { 50000, "0.05" },
    { 75000, "0.075" },
    { 100000, "0.1" },
    { 150000, "0.15" },
    { 200000, "0.2" },
    { 300000, "0.3" },
    { 400000, "0.4" },
    { 500000, "0.5" },
    { 750000, "0.75" },
    { 1000000, "1.0" },
    { 2500000, "2.5" }
};


static const ncr_bound_t  ncr_bounds_own[] = {
    { 10000, "0.00001" },
    { 25000, "0.000025" },
    { 50000, "0.00005" },
    { 100000, "0.0001" },
    { 250000, "0.00025" },
    { 500000, "0.0005" },
    { 1000000, "0.001" },
    { 2500000, "0.0025" },
    { 5000000, "0.005" },
    { 10000000, "0.01" }
};


const ncr_scale_t  ncr_scale_tokens = {
    ncr_bounds(ncr_bounds_tokens), 0, ncr_bounds_tokens
};

const ncr_scale_t  ncr_scale_duration = {
    ncr_bounds(ncr_bounds_duration), 3, ncr_bounds_duration
};

const ncr_scale_t  ncr_scale_first_token = {
    ncr_bounds(ncr_bounds_first_token), 3, ncr_bounds_first_token
};

const ncr_scale_t  ncr_scale_per_token = {
    ncr_bounds(ncr_bounds_per_token), 6, ncr_bounds_per_token
};

const ncr_scale_t  ncr_scale_own = {
    ncr_bounds(ncr_bounds_own), 9, ncr_bounds_own
};


void
ncr_histogram_add(ncr_histogram_t *h, const ncr_scale_t *scale,
    uint64_t value)
{
    ncr_uint_t  i;

    for (i = 0; i < scale->n; i++) {
        if (value <= scale->bounds[i].bound) {
            break;
        }
    }

    h->sum += value;
    h->buckets[i]++;
}


void
ncr_histogram_merge(ncr_histogram_t *h, const ncr_histogram_t *more)
{
    ncr_uint_t  i;

    h->sum += more->sum;

    for (i = 0; i <= NCR_METRICS_BOUNDS; i++) {
        h->buckets[i] += more->buckets[i];
    }
}


void
ncr_metrics_family(ncr_metrics_t *m, const char *name, const char *type,
    const char *help)
{
    size_t  len;

    m->name = name;
    m->len = 0;

    len = strlen(name);

    /* OpenMetrics has the suffix at samples only */

    if (m->open && strcmp(type, "counter") == 0
        && len > sizeof("_total") - 1
        && strcmp(name + len - (sizeof("_total") - 1), "_total") == 0)
    {
        len -= sizeof("_total") - 1;
    }

    ncr_metrics_room(m);

    ncr_out_text(&m->out, "# HELP ");
    ncr_out_bytes(&m->out, name, len);
    ncr_out_text(&m->out, " ");
    ncr_out_text(&m->out, help);
    ncr_out_text(&m->out, "\n# TYPE ");
    ncr_out_bytes(&m->out, name, len);
    ncr_out_text(&m->out, " ");
    ncr_out_text(&m->out, type);
    ncr_out_text(&m->out, "\n");
}


void
ncr_metrics_label(ncr_metrics_t *m, const char *name, ncr_str_t *value)
{
    ncr_metrics_label_bytes(m, name, value->data, value->len);
}


void
ncr_metrics_label_text(ncr_metrics_t *m, const char *name, const char *value)
{
    ncr_metrics_label_bytes(m, name, (const ncr_char_t *) value,
                            strlen(value));
}


static void
ncr_metrics_label_bytes(ncr_metrics_t *m, const char *name,
    const ncr_char_t *value, size_t size)
{
    size_t             n;
    ncr_out_t          out;
    const ncr_char_t  *p, *last;

    ncr_out_init(&out, m->labels + m->len, NCR_METRICS_LABELS - m->len);

    if (m->len) {
        ncr_out_text(&out, ",");
    }

    ncr_out_text(&out, name);
    ncr_out_text(&out, "=\"");

    p = value;
    last = p + size;

    for ( /* void */ ; p < last; p += n) {

        n = ncr_metrics_utf8(p, last);

        if ((size_t) (p - value) + (n ? n : 1) > NCR_METRICS_VALUE) {
            break;
        }

        if (n > 1) {
            ncr_out_bytes(&out, p, n);
            continue;
        }

        if (n == 0 || (*p < ' ' && *p != '\n') || *p == 0x7f) {
            ncr_out_text(&out, "?");
            n = 1;

        } else if (*p == '\n') {
            ncr_out_text(&out, "\\n");

        } else {
            if (*p == '"' || *p == '\\') {
                ncr_out_text(&out, "\\");
            }

            ncr_out_bytes(&out, p, 1);
        }
    }

    ncr_out_text(&out, "\"");

    if (out.overflow) {

        /* too many: a sample that says less would be a lie */

        m->out.overflow = 1;
        return;
    }

    m->len = (size_t) (out.last - m->labels);
}


/* the length of the character at p, 0 if it is none (RFC 3629, 4) */

static size_t
ncr_metrics_utf8(const ncr_char_t *p, const ncr_char_t *last)
{
    size_t      i, n;
    ncr_char_t  low, high;

    low = 0x80;
    high = 0xBF;

    if (*p < 0x80) {
        return 1;
    }

    if (*p >= 0xC2 && *p <= 0xDF) {
        n = 2;

    } else if (*p >= 0xE0 && *p <= 0xEF) {
        n = 3;
        low = (*p == 0xE0) ? 0xA0 : low;
        high = (*p == 0xED) ? 0x9F : high;

    } else if (*p >= 0xF0 && *p <= 0xF4) {
        n = 4;
        low = (*p == 0xF0) ? 0x90 : low;
        high = (*p == 0xF4) ? 0x8F : high;

    } else {
        return 0;
    }

    if ((size_t) (last - p) < n || p[1] < low || p[1] > high) {
        return 0;
    }

    for (i = 2; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }

    return n;
}


void
ncr_metrics_value(ncr_metrics_t *m, uint64_t value, ncr_uint_t digits)
{
    ncr_metrics_line(m, "", NULL, value, digits);

    m->len = 0;
}


void
ncr_metrics_histogram(ncr_metrics_t *m, const ncr_scale_t *scale,
    const ncr_histogram_t *h)
{
    uint64_t    count;
    ncr_uint_t  i;

    count = 0;

    for (i = 0; i < scale->n; i++) {
        count += h->buckets[i];
        ncr_metrics_line(m, "_bucket", scale->bounds[i].le, count, 0);
    }

    count += h->buckets[i];

    ncr_metrics_line(m, "_bucket", "+Inf", count, 0);
    ncr_metrics_line(m, "_sum", NULL, h->sum, scale->digits);
    ncr_metrics_line(m, "_count", NULL, count, 0);

    m->len = 0;
}


void
ncr_metrics_end(ncr_metrics_t *m)
{
    if (m->open) {
        ncr_metrics_room(m);
        ncr_out_text(&m->out, "# EOF\n");
    }
}


static void
ncr_metrics_room(ncr_metrics_t *m)
{
    if (m->more && !m->out.overflow
        && (size_t) (m->out.end - m->out.last) < NCR_METRICS_LINE)
    {
        m->more(m);
    }
}


static void
ncr_metrics_line(ncr_metrics_t *m, const char *suffix, const char *le,
    uint64_t value, ncr_uint_t digits)
{
    ncr_out_t  *out;

    ncr_metrics_room(m);

    out = &m->out;

    ncr_out_text(out, m->name);
    ncr_out_text(out, suffix);

    if (m->len || le) {
        ncr_out_text(out, "{");
        ncr_out_bytes(out, m->labels, m->len);

        if (le) {
            ncr_out_text(out, m->len ? ",le=\"" : "le=\"");
            ncr_out_text(out, le);
            ncr_out_text(out, "\"");
        }

        ncr_out_text(out, "}");
    }

    ncr_out_text(out, " ");
    ncr_metrics_number(out, value, digits);
    ncr_out_text(out, "\n");
}


/* no more digits than it needs */

static void
ncr_metrics_number(ncr_out_t *out, uint64_t value, ncr_uint_t digits)
{
    ncr_char_t  *p, *point, *last, buf[40];

    /* zeros in front, for as many digits as there may be behind the point */

    memset(buf, '0', 20);

    p = buf + 20;
    last = ncr_str_decimal(p, value);
    point = last - digits;

    if (point <= p) {
        p = point - 1;
    }

    ncr_out_bytes(out, p, (size_t) (point - p));

    while (last > point && last[-1] == '0') {
        last--;
    }

    if (last > point) {
        ncr_out_text(out, ".");
        ncr_out_bytes(out, point, (size_t) (last - point));
    }
}
