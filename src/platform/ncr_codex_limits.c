
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Usage windows in response headers (others.md A13).  They come as "primary"
 * and "secondary" of a family of limits, in no fixed order, so a window is
 * what its length says it is.
 */


#include "ncr_codex.h"
#include "ncr_str.h"


/* minutes; the back end tells 299 and 10079 as well */
#define NCR_CODEX_5H       300
#define NCR_CODEX_7D       10080
#define NCR_CODEX_NEAR(minutes, of)                                           \
    ((minutes) > (of) - (of) / 20 && (minutes) < (of) + (of) / 20)

/* more minutes than a year has tell nothing */
#define NCR_CODEX_MINUTES  ((int64_t) 366 * 1440)

/* 100 percent in 1/10000 percent */
#define NCR_CODEX_FULL     1000000


static ncr_int_t ncr_codex_header(ncr_str_t *name, ncr_str_t *family,
    ncr_str_t *place, ncr_str_t *what);
static void ncr_codex_name(ncr_window_t *w, const char *window,
    ncr_str_t *family, int64_t minutes);
static ncr_uint_t ncr_codex_slot(ncr_limits_t *limits, const char *slot);


void
ncr_codex_limits(ncr_limits_t *limits, ncr_str_t *name, ncr_str_t *value,
    ncr_msec_t now)
{
    char         slot[NCR_WINDOW_LEN];
    int32_t      percent;
    int64_t      minutes;
    ncr_str_t    family, place, what;
    ncr_uint_t   primary;
    ncr_msec_t   reset;

    if (!ncr_str_prefix(name, "x-")
        || ncr_codex_header(name, &family, &place, &what) != NCR_OK)
    {
        ncr_limits_header(limits, name, value, now);
        return;
    }

    percent = -1;
    minutes = 0;
    reset = 0;

    if (ncr_str_eq(&what, "used-percent")) {

        if (ncr_str_fraction(value, &percent) != NCR_OK || percent < 0) {
            return;
        }

    } else if (ncr_str_eq(&what, "window-minutes")) {

        if (ncr_str_int(value, &minutes) != NCR_OK || minutes <= 0) {
            return;
        }

    } else if (ncr_str_eq(&what, "reset-at")) {

        if (ncr_str_time(value, &reset) != NCR_OK || reset <= 0) {
            return;
        }

    } else if (ncr_str_eq(&what, "reset-after-seconds")) {

        if (ncr_str_int(value, &reset) != NCR_OK || reset < 0
            || reset > NCR_CODEX_MINUTES * 60)
        {
            return;
        }

        reset = now + reset * 1000;

    } else {
        return;
    }

    primary = ncr_str_eq(&place, "primary");

    slot[0] = primary ? 'p' : 's';
    ncr_str_copy(slot + 1, sizeof(slot) - 1, &family);

    ncr_codex_window(limits, slot, primary ? "5h" : "7d", &family, percent,
                     minutes, reset);
}


/* "x-codex-primary-used-percent" is of no family, "x-codex-NAME-..." of one */

static ncr_int_t
ncr_codex_header(ncr_str_t *name, ncr_str_t *family, ncr_str_t *place,
    ncr_str_t *what)
{
    size_t      i, n;
    ncr_str_t   rest;
    ncr_uint_t  p;

    static const char  *places[] = { "primary-", "secondary-" };

    if (!ncr_str_prefix(name, "x-codex-")) {
        return NCR_DECLINED;
    }

    rest.data = name->data + sizeof("x-codex-") - 1;
    rest.len = name->len - (sizeof("x-codex-") - 1);

    *family = rest;

    for (i = 0; i < rest.len; i++) {

        if (i && rest.data[i - 1] != '-') {
            continue;
        }

        for (p = 0; p < 2; p++) {
            n = strlen(places[p]);

            if (rest.len - i > n
                && memcmp(rest.data + i, places[p], n) == 0)
            {
                family->len = i ? i - 1 : 0;
                place->data = rest.data + i;
                place->len = n - 1;
                what->data = rest.data + i + n;
                what->len = rest.len - i - n;

                return NCR_OK;
            }
        }
    }

    return NCR_DECLINED;
}


void
ncr_codex_window(ncr_limits_t *limits, const char *slot, const char *window,
    ncr_str_t *family, int32_t percent, int64_t minutes, ncr_msec_t reset)
{
    ncr_uint_t     i;
    ncr_window_t  *w;

    i = ncr_codex_slot(limits, slot);

    if (i == NCR_WINDOWS) {
        return;
    }

    w = &limits->windows[i];

    if (w->name[0] == '\0') {
        w->utilization = -1;
        ncr_codex_name(w, window, family, 0);
    }

    if (minutes > 0 && minutes <= NCR_CODEX_MINUTES) {
        ncr_codex_name(w, window, family, minutes);
    }

    if (percent >= 0) {
        w->utilization = percent / 100;
        w->status = (percent >= NCR_CODEX_FULL) ? NCR_WINDOW_REJECTED
                                                : NCR_WINDOW_ALLOWED;
    }

    if (reset > 0) {
        w->reset = reset;
    }
}


/* a family's windows have its name behind that of the window */

static void
ncr_codex_name(ncr_window_t *w, const char *window, ncr_str_t *family,
    int64_t minutes)
{
    size_t      n;
    ncr_out_t   out;
    ncr_char_t  buf[32];

    ncr_out_init(&out, buf, sizeof(buf));

    if (minutes == 0) {
        ncr_out_text(&out, window);

    } else if (NCR_CODEX_NEAR(minutes, NCR_CODEX_5H)) {
        ncr_out_text(&out, "5h");

    } else if (NCR_CODEX_NEAR(minutes, NCR_CODEX_7D)) {
        ncr_out_text(&out, "7d");

    } else if (minutes % 1440 == 0) {
        ncr_out_int(&out, minutes / 1440);
        ncr_out_text(&out, "d");

    } else if (minutes % 60 == 0) {
        ncr_out_int(&out, minutes / 60);
        ncr_out_text(&out, "h");

    } else {
        ncr_out_int(&out, minutes);
        ncr_out_text(&out, "m");
    }

    n = (size_t) (out.last - out.start);

    if (family->len) {
        buf[n++] = '_';
        n += ncr_min(family->len, NCR_WINDOW_LEN - 1 - n);
        memcpy(buf + (out.last - out.start) + 1, family->data,
               n - (size_t) (out.last - out.start) - 1);
    }

    memcpy(w->name, buf, n);
    w->name[n] = '\0';
}


/* its place among the windows, NCR_WINDOWS: there is no room for more */

static ncr_uint_t
ncr_codex_slot(ncr_limits_t *limits, const char *slot)
{
    ncr_uint_t  i;

    for (i = 0; i < limits->nwindows; i++) {
        if (strcmp(limits->slots[i], slot) == 0) {
            return i;
        }
    }

    if (i == NCR_WINDOWS) {
        return i;
    }

    limits->nwindows++;

    memset(&limits->windows[i], 0, sizeof(ncr_window_t));
    memcpy(limits->slots[i], slot, strlen(slot) + 1);

    return i;
}
