
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_health_share.h"
#include "ncr_str.h"
#include "ncr_uri.h"


/*
 * "1,SINCE,UNTIL,WHY,FLAGS,FAILED_AT,FAILS,PROVED,SUCCESS_AT,CLEARED,RENEWED,
 * WINDOWS_AT", then each family as ";f,NAME,UNTIL,SINCE" and each window as
 * ";w,NAME,STATUS,UTILIZATION,RESET"; names are percent-encoded.
 */

#define NCR_HEALTH_SHARE_FORM       1

#define NCR_HEALTH_SHARE_HEAD       12

#define NCR_HEALTH_SHARE_HALF_OPEN  1
#define NCR_HEALTH_SHARE_WINDOW     2

/* more of them change no back-off */
#define NCR_HEALTH_SHARE_FAILS      64

/* clocks differ by less, once they are corrected */
#define NCR_HEALTH_SHARE_AHEAD      ((ncr_msec_t) 300 * 1000)

/* no rest is longer, with its jitter; no window is */
#define NCR_HEALTH_SHARE_LONGEST    ((ncr_msec_t) 40 * 86400 * 1000)
#define NCR_HEALTH_SHARE_RESET      ((ncr_msec_t) 400 * 86400 * 1000)

#define NCR_HEALTH_SHARE_BASIS      0xcbf29ce484222325u
#define NCR_HEALTH_SHARE_PRIME      0x100000001b3u


static void ncr_health_share_settle(ncr_health_share_t *s);
static ncr_uint_t ncr_health_share_ended(ncr_health_share_t *s,
    ncr_health_share_rest_t *rest);
static ncr_uint_t ncr_health_share_hard(ncr_health_share_rest_t *rest,
    ncr_msec_t now);
static ncr_uint_t ncr_health_share_over(ncr_health_share_rest_t *one,
    ncr_health_share_rest_t *other, ncr_msec_t now);
static void ncr_health_share_families(ncr_health_share_t *to,
    ncr_health_share_t *from, ncr_msec_t now);
static void ncr_health_share_family(ncr_health_share_t *s,
    ncr_family_rest_t *rest);
static ncr_uint_t ncr_health_share_newer(ncr_family_rest_t *one,
    ncr_family_rest_t *other);
static void ncr_health_share_windows_merge(ncr_health_share_t *to,
    ncr_health_share_t *from, ncr_msec_t now);
static int ncr_health_share_compare(ncr_health_share_t *one,
    ncr_health_share_t *other);
static void ncr_health_share_window(ncr_health_share_t *s, ncr_window_t *w);
static void ncr_health_share_put_families(ncr_health_share_t *s,
    ncr_health_t *h, ncr_msec_t now);
static uint64_t ncr_health_share_hash(uint64_t hash, const void *p,
    size_t len);
static uint64_t ncr_health_share_number(uint64_t hash, int64_t n);
static void ncr_health_share_moved(ncr_msec_t *t, ncr_msec_t delta);
static void ncr_health_share_field(ncr_out_t *out, int64_t n);
static void ncr_health_share_name(ncr_out_t *out, const char *kind,
    char *name);
static ncr_uint_t ncr_health_share_split(ncr_str_t *text, ncr_char_t by,
    ncr_str_t *part);
static ncr_int_t ncr_health_share_read_head(ncr_health_share_t *s,
    ncr_str_t *text, ncr_msec_t now);
static ncr_int_t ncr_health_share_read_family(ncr_health_share_t *s,
    ncr_str_t *text, ncr_msec_t now);
static ncr_int_t ncr_health_share_read_window(ncr_health_share_t *s,
    ncr_str_t *text, ncr_msec_t now);
static ncr_int_t ncr_health_share_read_name(ncr_str_t *text, char *name,
    size_t size);
static ncr_int_t ncr_health_share_read_int(ncr_str_t *text, int64_t min,
    int64_t max, int64_t *n);


void
ncr_health_share_get(ncr_health_share_t *s, ncr_health_t *h, ncr_msec_t now)
{
    ncr_uint_t  i;

    memset(s, 0, sizeof(ncr_health_share_t));

    if (h->until != NCR_HEALTH_FOREVER && h->since) {
        s->rest.since = h->since;
        s->rest.until = h->until;
        s->rest.why = h->why;
        s->rest.half_open = h->half_open;
        s->rest.window = h->window;
    }

    if (h->fails) {
        s->failed_at = h->failed_at;
        s->fails = ncr_min(h->fails, NCR_HEALTH_SHARE_FAILS);
    }

    s->proved = h->proved;
    s->success_at = h->success_at;
    s->cleared = h->cleared;
    s->renewed = h->renewed;

    for (i = 0; i < NCR_HEALTH_FAMILIES; i++) {
        if (h->families[i].name[0] && h->families[i].until > now) {
            ncr_health_share_family(s, &h->families[i]);
        }
    }

    for (i = 0; i < h->nwindows && h->windows_at; i++) {
        if (h->windows[i].reset == 0 || h->windows[i].reset > now) {
            ncr_health_share_window(s, &h->windows[i]);
        }
    }

    s->windows_at = s->nwindows ? h->windows_at : 0;

    ncr_health_share_settle(s);
}


ncr_uint_t
ncr_health_share_put(ncr_health_share_t *s, ncr_health_t *h, ncr_msec_t now)
{
    ncr_uint_t  i, rested;

    rested = (h->until > now || h->half_open);

    for (i = 0; i < NCR_HEALTH_FAMILIES; i++) {
        rested |= (h->families[i].name[0] && h->families[i].until > now);
    }

    h->success_at = s->success_at;
    h->proved = s->proved;
    h->renewed = s->renewed;

    if (h->until != NCR_HEALTH_FOREVER || h->since <= s->cleared) {
        h->half_open = s->rest.half_open;
        h->window = s->rest.window;
        h->why = s->rest.since ? s->rest.why : h->why;
        h->since = s->rest.since;
        h->until = s->rest.until;
        h->failed_at = s->failed_at;
        h->fails = s->fails;
    }

    if (h->cleared < s->cleared) {

        /* whoever probes does so for a rest that is over */

        h->probing = 0;
        h->cleared = s->cleared;
    }

    ncr_health_share_put_families(s, h, now);

    memcpy(h->windows, s->windows, s->nwindows * sizeof(ncr_window_t));
    h->nwindows = s->nwindows;
    h->windows_at = s->windows_at;

    return rested;
}


/* those that go on keep their places */

static void
ncr_health_share_put_families(ncr_health_share_t *s, ncr_health_t *h,
    ncr_msec_t now)
{
    ncr_uint_t          i, j;
    ncr_family_rest_t  *rest, *place;

    for (i = 0; i < NCR_HEALTH_FAMILIES; i++) {

        rest = &h->families[i];

        for (j = 0; j < s->nfamilies; j++) {
            if (strcmp(s->families[j].name, rest->name) == 0) {
                break;
            }
        }

        if (j == s->nfamilies) {
            rest->until = 0;
            rest->name[0] = '\0';
        }
    }

    for (j = 0; j < s->nfamilies; j++) {

        place = NULL;

        for (i = 0; i < NCR_HEALTH_FAMILIES; i++) {

            rest = &h->families[i];

            if (strcmp(s->families[j].name, rest->name) == 0) {
                place = rest;
                break;
            }

            if (rest->name[0] == '\0' && place == NULL) {
                place = rest;
            }
        }

        if (place) {
            *place = s->families[j];
        }
    }
}


void
ncr_health_share_merge(ncr_health_share_t *to, ncr_health_share_t *from,
    ncr_msec_t now)
{
    ncr_health_share_t  other;

    other = *from;

    to->proved = other.proved = ncr_max(to->proved, other.proved);
    to->success_at = other.success_at = ncr_max(to->success_at,
                                                other.success_at);
    to->cleared = other.cleared = ncr_max(to->cleared, other.cleared);
    to->renewed = other.renewed = ncr_max(to->renewed, other.renewed);

    ncr_health_share_settle(to);
    ncr_health_share_settle(&other);

    if (ncr_health_share_over(&other.rest, &to->rest, now)) {
        to->rest = other.rest;
    }

    if (other.failed_at > to->failed_at
        || (other.failed_at == to->failed_at && other.fails > to->fails))
    {
        to->failed_at = other.failed_at;
        to->fails = other.fails;
    }

    ncr_health_share_families(to, &other, now);
    ncr_health_share_windows_merge(to, &other, now);
}


/* what is over by what s knows */

static void
ncr_health_share_settle(ncr_health_share_t *s)
{
    ncr_uint_t  i, n;

    if (s->fails
        && (s->failed_at < s->proved || s->failed_at <= s->cleared))
    {
        s->fails = 0;
        s->failed_at = 0;
    }

    if (ncr_health_share_ended(s, &s->rest)) {
        s->rest.until = 0;
        s->rest.half_open = 0;
        s->rest.window = 0;
    }

    for (i = 0, n = 0; i < s->nfamilies; i++) {

        if (s->families[i].since <= s->cleared) {
            continue;
        }

        s->families[n++] = s->families[i];
    }

    s->nfamilies = n;
}


/* as ncr_health_success(), _reset() and _renewed() would have it */

static ncr_uint_t
ncr_health_share_ended(ncr_health_share_t *s, ncr_health_share_rest_t *rest)
{
    if (rest->since <= s->cleared) {
        return 1;
    }

    if (rest->why == NCR_CLASS_AUTH && rest->since <= s->renewed) {
        return 1;
    }

    return rest->since < s->proved
           && (!rest->window || rest->until <= s->success_at);
}


/* a quota's: no success ends it, and nothing that is shorter takes its place */

static ncr_uint_t
ncr_health_share_hard(ncr_health_share_rest_t *rest, ncr_msec_t now)
{
    return rest->window && rest->until > now;
}


/* 1: it is this one that holds, and they are not the same */

static ncr_uint_t
ncr_health_share_over(ncr_health_share_rest_t *one,
    ncr_health_share_rest_t *other, ncr_msec_t now)
{
    ncr_uint_t  a, b;

    a = ncr_health_share_hard(one, now);
    b = ncr_health_share_hard(other, now);

    if (a != b) {
        return a > b;
    }

    if (one->since != other->since) {
        return one->since > other->since;
    }

    if (one->until != other->until) {
        return one->until > other->until;
    }

    /* nothing but an order */

    a = (ncr_uint_t) one->why * 4 + one->half_open * 2 + one->window;
    b = (ncr_uint_t) other->why * 4 + other->half_open * 2 + other->window;

    return a > b;
}


static void
ncr_health_share_families(ncr_health_share_t *to, ncr_health_share_t *from,
    ncr_msec_t now)
{
    ncr_uint_t          i, j, n, known[NCR_HEALTH_FAMILIES];
    ncr_family_rest_t  *rest;

    /* those of both first, so that none comes back that has had to go */

    for (i = 0; i < from->nfamilies; i++) {

        known[i] = 0;
        rest = &from->families[i];

        for (j = 0; j < to->nfamilies; j++) {
            if (strcmp(to->families[j].name, rest->name) == 0) {
                ncr_health_share_family(to, rest);
                known[i] = 1;
                break;
            }
        }
    }

    for (i = 0; i < from->nfamilies; i++) {
        if (!known[i]) {
            ncr_health_share_family(to, &from->families[i]);
        }
    }

    for (i = 0, n = 0; i < to->nfamilies; i++) {
        if (to->families[i].until > now) {
            to->families[n++] = to->families[i];
        }
    }

    to->nfamilies = n;
}


/*
 * In the order of names.  If there are too many the oldest one goes, as it is
 * the newest that holds of two of one name: so none comes back.
 */

static void
ncr_health_share_family(ncr_health_share_t *s, ncr_family_rest_t *rest)
{
    int         order;
    ncr_uint_t  i, least;

    order = 1;

    for (i = 0; i < s->nfamilies; i++) {

        order = strcmp(s->families[i].name, rest->name);

        if (order >= 0) {
            break;
        }
    }

    if (i < s->nfamilies && order == 0) {

        if (rest->since > s->families[i].since
            || (rest->since == s->families[i].since
                && rest->until > s->families[i].until))
        {
            s->families[i] = *rest;
        }

        return;
    }

    if (s->nfamilies == NCR_HEALTH_FAMILIES) {

        least = 0;

        for (i = 1; i < s->nfamilies; i++) {
            if (ncr_health_share_newer(&s->families[least],
                                       &s->families[i]))
            {
                least = i;
            }
        }

        if (!ncr_health_share_newer(rest, &s->families[least])) {
            return;
        }

        s->nfamilies--;

        memmove(&s->families[least], &s->families[least + 1],
                (s->nfamilies - least) * sizeof(ncr_family_rest_t));
    }

    for (i = 0; i < s->nfamilies; i++) {
        if (strcmp(s->families[i].name, rest->name) > 0) {
            break;
        }
    }

    memmove(&s->families[i + 1], &s->families[i],
            (s->nfamilies - i) * sizeof(ncr_family_rest_t));

    s->families[i] = *rest;
    s->nfamilies++;
}


static ncr_uint_t
ncr_health_share_newer(ncr_family_rest_t *one, ncr_family_rest_t *other)
{
    if (one->since != other->since) {
        return one->since > other->since;
    }

    if (one->until != other->until) {
        return one->until > other->until;
    }

    return strcmp(one->name, other->name) < 0;
}


/* the newest hold; of the others what these do not name, until its reset */

static void
ncr_health_share_windows_merge(ncr_health_share_t *to,
    ncr_health_share_t *from, ncr_msec_t now)
{
    ncr_uint_t           i, n;
    ncr_health_share_t   older, *newer;

    newer = from;
    older = *to;

    if (to->windows_at > from->windows_at
        || (to->windows_at == from->windows_at
            && ncr_health_share_compare(to, from) >= 0))
    {
        newer = to;
        older = *from;
    }

    if (newer != to) {
        memcpy(to->windows, newer->windows,
               newer->nwindows * sizeof(ncr_window_t));
        to->nwindows = newer->nwindows;
        to->windows_at = newer->windows_at;
    }

    for (i = 0; i < older.nwindows; i++) {
        ncr_health_share_window(to, &older.windows[i]);
    }

    for (i = 0, n = 0; i < to->nwindows; i++) {
        if (to->windows[i].reset == 0 || to->windows[i].reset > now) {
            to->windows[n++] = to->windows[i];
        }
    }

    to->nwindows = n;

    if (n == 0) {
        to->windows_at = 0;
    }
}


/* of the same age: an order, of whatever kind */

static int
ncr_health_share_compare(ncr_health_share_t *one, ncr_health_share_t *other)
{
    int            order;
    ncr_uint_t     i;
    ncr_window_t  *a, *b;

    if (one->nwindows != other->nwindows) {
        return (one->nwindows > other->nwindows) ? 1 : -1;
    }

    for (i = 0; i < one->nwindows; i++) {

        a = &one->windows[i];
        b = &other->windows[i];

        order = strcmp(a->name, b->name);

        if (order) {
            return order;
        }

        if (a->reset != b->reset) {
            return (a->reset > b->reset) ? 1 : -1;
        }

        if (a->utilization != b->utilization) {
            return (a->utilization > b->utilization) ? 1 : -1;
        }

        if (a->status != b->status) {
            return (a->status > b->status) ? 1 : -1;
        }
    }

    return 0;
}


/* in the order of names, if it is not there and there is room */

static void
ncr_health_share_window(ncr_health_share_t *s, ncr_window_t *w)
{
    int         order;
    ncr_uint_t  i;

    for (i = 0; i < s->nwindows; i++) {

        order = strcmp(s->windows[i].name, w->name);

        if (order == 0) {
            return;
        }

        if (order > 0) {
            break;
        }
    }

    if (s->nwindows == NCR_WINDOWS) {
        return;
    }

    memmove(&s->windows[i + 1], &s->windows[i],
            (s->nwindows - i) * sizeof(ncr_window_t));

    s->windows[i] = *w;
    s->nwindows++;
}


uint64_t
ncr_health_share_rests(ncr_health_share_t *s)
{
    uint64_t            hash;
    ncr_uint_t          i;
    ncr_family_rest_t  *rest;

    if (s->rest.since == 0 && s->fails == 0 && s->cleared == 0
        && s->nfamilies == 0)
    {
        return 0;
    }

    hash = ncr_health_share_number(NCR_HEALTH_SHARE_BASIS, s->rest.since);
    hash = ncr_health_share_number(hash, s->rest.until);
    hash = ncr_health_share_number(hash, s->rest.why);
    hash = ncr_health_share_number(hash, s->rest.half_open);
    hash = ncr_health_share_number(hash, s->rest.window);
    hash = ncr_health_share_number(hash, (int64_t) s->fails);
    hash = ncr_health_share_number(hash, s->cleared);

    for (i = 0; i < s->nfamilies; i++) {

        rest = &s->families[i];

        hash = ncr_health_share_hash(hash, rest->name,
                                     strlen(rest->name) + 1);
        hash = ncr_health_share_number(hash, rest->since);
        hash = ncr_health_share_number(hash, rest->until);
    }

    return hash ? hash : 1;
}


uint64_t
ncr_health_share_windows(ncr_health_share_t *s)
{
    uint64_t       hash;
    ncr_uint_t     i;
    ncr_window_t  *w;

    if (s->nwindows == 0) {
        return 0;
    }

    hash = NCR_HEALTH_SHARE_BASIS;

    for (i = 0; i < s->nwindows; i++) {

        w = &s->windows[i];

        hash = ncr_health_share_hash(hash, w->name, strlen(w->name) + 1);
        hash = ncr_health_share_number(hash, w->status);
        hash = ncr_health_share_number(hash, w->utilization);
        hash = ncr_health_share_number(hash, w->reset);
    }

    return hash ? hash : 1;
}


static uint64_t
ncr_health_share_hash(uint64_t hash, const void *p, size_t len)
{
    size_t             i;
    const ncr_char_t  *c;

    c = p;

    for (i = 0; i < len; i++) {
        hash = (hash ^ c[i]) * NCR_HEALTH_SHARE_PRIME;
    }

    return hash;
}


/* a whole number at once is enough: nobody but this node sees it */

static uint64_t
ncr_health_share_number(uint64_t hash, int64_t n)
{
    hash = (hash ^ (uint64_t) n) * NCR_HEALTH_SHARE_PRIME;

    return hash ^ (hash >> 29);
}


void
ncr_health_share_shift(ncr_health_share_t *s, ncr_msec_t delta)
{
    ncr_uint_t  i;

    if (delta == 0) {
        return;
    }

    ncr_health_share_moved(&s->rest.since, delta);
    ncr_health_share_moved(&s->rest.until, delta);
    ncr_health_share_moved(&s->failed_at, delta);
    ncr_health_share_moved(&s->proved, delta);
    ncr_health_share_moved(&s->success_at, delta);
    ncr_health_share_moved(&s->cleared, delta);
    ncr_health_share_moved(&s->renewed, delta);
    ncr_health_share_moved(&s->windows_at, delta);

    for (i = 0; i < s->nfamilies; i++) {
        ncr_health_share_moved(&s->families[i].since, delta);
        ncr_health_share_moved(&s->families[i].until, delta);
    }

    /* resets are the platform's word, by a clock that is neither's */
}


static void
ncr_health_share_moved(ncr_msec_t *t, ncr_msec_t delta)
{
    if (*t) {
        *t = ncr_max(*t + delta, 1);
    }
}


void
ncr_health_share_write(ncr_out_t *out, ncr_health_share_t *s)
{
    ncr_uint_t  i, flags;

    flags = (s->rest.half_open ? NCR_HEALTH_SHARE_HALF_OPEN : 0)
            | (s->rest.window ? NCR_HEALTH_SHARE_WINDOW : 0);

    ncr_out_int(out, NCR_HEALTH_SHARE_FORM);
    ncr_health_share_field(out, s->rest.since);
    ncr_health_share_field(out, s->rest.until);
    ncr_health_share_field(out, s->rest.why);
    ncr_health_share_field(out, (int64_t) flags);
    ncr_health_share_field(out, s->failed_at);
    ncr_health_share_field(out, (int64_t) s->fails);
    ncr_health_share_field(out, s->proved);
    ncr_health_share_field(out, s->success_at);
    ncr_health_share_field(out, s->cleared);
    ncr_health_share_field(out, s->renewed);
    ncr_health_share_field(out, s->windows_at);

    for (i = 0; i < s->nfamilies; i++) {
        ncr_health_share_name(out, ";f,", s->families[i].name);
        ncr_health_share_field(out, s->families[i].until);
        ncr_health_share_field(out, s->families[i].since);
    }

    for (i = 0; i < s->nwindows; i++) {
        ncr_health_share_name(out, ";w,", s->windows[i].name);
        ncr_health_share_field(out, s->windows[i].status);

        /* -1 is one that was not told; a number has no sign */

        ncr_health_share_field(out, (int64_t) s->windows[i].utilization + 1);
        ncr_health_share_field(out, s->windows[i].reset);
    }
}


static void
ncr_health_share_field(ncr_out_t *out, int64_t n)
{
    ncr_out_text(out, ",");
    ncr_out_int(out, n);
}


static void
ncr_health_share_name(ncr_out_t *out, const char *kind, char *name)
{
    ncr_str_t  s;

    s.data = (ncr_char_t *) name;
    s.len = strlen(name);

    ncr_out_text(out, kind);
    ncr_uri_escape(out, &s);
}


ncr_int_t
ncr_health_share_read(ncr_health_share_t *s, ncr_str_t *text, ncr_msec_t now)
{
    ncr_int_t  rc;
    ncr_str_t  rest, part;

    memset(s, 0, sizeof(ncr_health_share_t));

    if (text->len == 0 || text->len > NCR_HEALTH_SHARE) {
        return NCR_BAD;
    }

    rest = *text;

    (void) ncr_health_share_split(&rest, ';', &part);

    if (ncr_health_share_read_head(s, &part, now) != NCR_OK) {
        return NCR_BAD;
    }

    while (rest.data) {

        (void) ncr_health_share_split(&rest, ';', &part);

        if (ncr_str_prefix(&part, "f,")) {
            part.data += 2;
            part.len -= 2;
            rc = ncr_health_share_read_family(s, &part, now);

        } else if (ncr_str_prefix(&part, "w,")) {
            part.data += 2;
            part.len -= 2;
            rc = ncr_health_share_read_window(s, &part, now);

        } else {
            rc = NCR_BAD;
        }

        if (rc != NCR_OK) {
            return NCR_BAD;
        }
    }

    if (s->nwindows == 0) {
        s->windows_at = 0;
    }

    ncr_health_share_settle(s);

    return NCR_OK;
}


/* the first part; text becomes the rest, its data NULL behind the last one */

static ncr_uint_t
ncr_health_share_split(ncr_str_t *text, ncr_char_t by, ncr_str_t *part)
{
    ncr_char_t  *p;

    if (text->data == NULL) {
        return 0;
    }

    part->data = text->data;
    p = text->len ? memchr(text->data, by, text->len) : NULL;

    if (p == NULL) {
        part->len = text->len;
        ncr_str_null(text);
        return 1;
    }

    part->len = (size_t) (p - text->data);

    text->len -= part->len + 1;
    text->data = p + 1;

    return 1;
}


static ncr_int_t
ncr_health_share_read_head(ncr_health_share_t *s, ncr_str_t *text,
    ncr_msec_t now)
{
    int64_t      n[NCR_HEALTH_SHARE_HEAD], max[NCR_HEALTH_SHARE_HEAD];
    ncr_str_t    part;
    ncr_uint_t   i;

    for (i = 0; i < NCR_HEALTH_SHARE_HEAD; i++) {
        max[i] = now + NCR_HEALTH_SHARE_AHEAD;
    }

    max[0] = NCR_HEALTH_SHARE_FORM;
    max[2] = now + NCR_HEALTH_SHARE_LONGEST;
    max[3] = NCR_CLASSES - 1;
    max[4] = NCR_HEALTH_SHARE_HALF_OPEN | NCR_HEALTH_SHARE_WINDOW;
    max[6] = NCR_HEALTH_SHARE_FAILS;

    for (i = 0; i < NCR_HEALTH_SHARE_HEAD; i++) {
        if (!ncr_health_share_split(text, ',', &part)
            || ncr_health_share_read_int(&part, 0, max[i], &n[i]) != NCR_OK)
        {
            return NCR_BAD;
        }
    }

    if (text->data || n[0] != NCR_HEALTH_SHARE_FORM
        || (n[1] == 0 && (n[2] || n[3] || n[4]))
        || (n[6] == 0) != (n[5] == 0))
    {
        return NCR_BAD;
    }

    s->rest.since = n[1];
    s->rest.until = n[2];
    s->rest.why = (ncr_class_e) n[3];
    s->rest.half_open = (n[4] & NCR_HEALTH_SHARE_HALF_OPEN) != 0;
    s->rest.window = (n[4] & NCR_HEALTH_SHARE_WINDOW) != 0;
    s->failed_at = n[5];
    s->fails = (ncr_uint_t) n[6];
    s->proved = n[7];
    s->success_at = n[8];
    s->cleared = n[9];
    s->renewed = n[10];
    s->windows_at = n[11];

    return NCR_OK;
}


static ncr_int_t
ncr_health_share_read_family(ncr_health_share_t *s, ncr_str_t *text,
    ncr_msec_t now)
{
    int64_t            until, since;
    ncr_str_t          part;
    ncr_uint_t         n;
    ncr_family_rest_t  rest;

    memset(&rest, 0, sizeof(rest));

    if (s->nfamilies == NCR_HEALTH_FAMILIES
        || !ncr_health_share_split(text, ',', &part)
        || ncr_health_share_read_name(&part, rest.name, sizeof(rest.name))
           != NCR_OK
        || !ncr_health_share_split(text, ',', &part)
        || ncr_health_share_read_int(&part, 1,
                                     now + NCR_HEALTH_SHARE_LONGEST, &until)
           != NCR_OK
        || !ncr_health_share_split(text, ',', &part)
        || ncr_health_share_read_int(&part, 1, now + NCR_HEALTH_SHARE_AHEAD,
                                     &since)
           != NCR_OK
        || text->data)
    {
        return NCR_BAD;
    }

    rest.until = until;
    rest.since = since;

    n = s->nfamilies;
    ncr_health_share_family(s, &rest);

    return (s->nfamilies == n + 1) ? NCR_OK : NCR_BAD;
}


static ncr_int_t
ncr_health_share_read_window(ncr_health_share_t *s, ncr_str_t *text,
    ncr_msec_t now)
{
    int64_t       status, utilization, reset;
    ncr_str_t     part;
    ncr_uint_t    n;
    ncr_window_t  w;

    memset(&w, 0, sizeof(w));

    if (s->windows_at == 0
        || !ncr_health_share_split(text, ',', &part)
        || ncr_health_share_read_name(&part, w.name, sizeof(w.name)) != NCR_OK
        || !ncr_health_share_split(text, ',', &part)
        || ncr_health_share_read_int(&part, 0, NCR_WINDOW_REJECTED, &status)
           != NCR_OK
        || !ncr_health_share_split(text, ',', &part)
        || ncr_health_share_read_int(&part, 0, (int64_t) INT32_MAX + 1,
                                     &utilization)
           != NCR_OK
        || !ncr_health_share_split(text, ',', &part)
        || ncr_health_share_read_int(&part, 0, now + NCR_HEALTH_SHARE_RESET,
                                     &reset)
           != NCR_OK
        || text->data)
    {
        return NCR_BAD;
    }

    w.status = (ncr_window_status_e) status;
    w.utilization = (int32_t) (utilization - 1);
    w.reset = reset;

    n = s->nwindows;
    ncr_health_share_window(s, &w);

    return (s->nwindows == n + 1) ? NCR_OK : NCR_BAD;
}


static ncr_int_t
ncr_health_share_read_name(ncr_str_t *text, char *name, size_t size)
{
    ncr_str_t   s;
    ncr_char_t  buf[3 * NCR_FAMILY_LEN];

    s = *text;

    if (s.len == 0 || s.len > sizeof(buf)
        || ncr_uri_unescape(&s, buf) != NCR_OK || s.len >= size
        || memchr(s.data, '\0', s.len))
    {
        return NCR_BAD;
    }

    ncr_str_copy(name, size, &s);

    return NCR_OK;
}


static ncr_int_t
ncr_health_share_read_int(ncr_str_t *text, int64_t min, int64_t max,
    int64_t *n)
{
    return (ncr_str_int(text, n) == NCR_OK && *n >= min && *n <= max)
           ? NCR_OK : NCR_BAD;
}
