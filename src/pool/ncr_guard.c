
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_guard.h"


static ncr_guard_row_t *ncr_guard_find(ncr_guard_t *guard, uint64_t key,
    ncr_msec_t now);
static ncr_guard_row_t *ncr_guard_room(ncr_guard_t *guard,
    ncr_guard_rule_t *rule, ncr_msec_t now);
static ncr_msec_t ncr_guard_pause(ncr_guard_rule_t *rule,
    ncr_guard_row_t *row);
static ncr_uint_t ncr_guard_over(ncr_guard_rule_t *rule,
    ncr_guard_row_t *row, ncr_msec_t now);


ncr_msec_t
ncr_guard_wait(ncr_guard_t *guard, ncr_guard_rule_t *rule, uint64_t key,
    ncr_msec_t now)
{
    ncr_msec_t        pause;
    ncr_guard_row_t  *row;

    row = ncr_guard_find(guard, key, now);

    if (row == NULL) {
        return 0;
    }

    pause = ncr_guard_pause(rule, row);

    return (now - row->last < pause) ? pause - (now - row->last) : 0;
}


void
ncr_guard_failed(ncr_guard_t *guard, ncr_guard_rule_t *rule, uint64_t key,
    ncr_msec_t now)
{
    ncr_guard_row_t  *row;

    row = ncr_guard_find(guard, key, now);

    if (row == NULL) {
        row = ncr_guard_room(guard, rule, now);
        row->key = key ? key : 1;
        row->failures = 0;

    } else if (ncr_guard_over(rule, row, now)) {
        row->failures = 0;
    }

    if (row->failures == 0) {
        row->first = now;
    }

    if (row->failures < UINT32_MAX) {
        row->failures++;
    }

    row->last = now;
}


void
ncr_guard_passed(ncr_guard_t *guard, uint64_t key)
{
    ncr_guard_row_t  *row;

    row = ncr_guard_find(guard, key, INT64_MAX);

    if (row) {
        memset(row, 0, sizeof(ncr_guard_row_t));
    }
}


/* its times are never after now: a clock that was put back holds nobody up */

static ncr_guard_row_t *
ncr_guard_find(ncr_guard_t *guard, uint64_t key, ncr_msec_t now)
{
    ncr_uint_t        i;
    ncr_guard_row_t  *row;

    /* 0 is what a free row has */

    key = key ? key : 1;

    for (i = 0; i < NCR_GUARD_ROWS; i++) {
        row = &guard->rows[i];

        if (row->key == key) {
            row->first = ncr_min(row->first, now);
            row->last = ncr_min(row->last, now);

            return row;
        }
    }

    return NULL;
}


/*
 * A free one, else the oldest of those that hold nobody up just now: who
 * makes many names up must not free itself by that.
 */

static ncr_guard_row_t *
ncr_guard_room(ncr_guard_t *guard, ncr_guard_rule_t *rule, ncr_msec_t now)
{
    ncr_uint_t        i, held, best_held;
    ncr_guard_row_t  *row, *best;

    best = NULL;
    best_held = 0;

    for (i = 0; i < NCR_GUARD_ROWS; i++) {
        row = &guard->rows[i];

        if (row->key == 0) {
            return row;
        }

        held = now - row->last < ncr_guard_pause(rule, row);

        if (best == NULL || held < best_held
            || (held == best_held && row->last < best->last))
        {
            best = row;
            best_held = held;
        }
    }

    return best;
}


static ncr_msec_t
ncr_guard_pause(ncr_guard_rule_t *rule, ncr_guard_row_t *row)
{
    ncr_uint_t  n;
    ncr_msec_t  pause;

    if (row->failures <= rule->failures) {
        return 0;
    }

    pause = rule->pause;

    for (n = row->failures - rule->failures - 1; n; n--) {

        if (pause >= rule->longest / 2) {
            return rule->longest;
        }

        pause *= 2;
    }

    return ncr_min(pause, rule->longest);
}


/*
 * Those that are free are counted in a window from the first one; who had to
 * wait is forgotten when nothing has been heard of it for so long after that.
 */

static ncr_uint_t
ncr_guard_over(ncr_guard_rule_t *rule, ncr_guard_row_t *row, ncr_msec_t now)
{
    ncr_msec_t  pause;

    pause = ncr_guard_pause(rule, row);

    if (pause == 0) {
        return now - row->first >= rule->window;
    }

    return now - row->last >= pause + rule->window;
}
