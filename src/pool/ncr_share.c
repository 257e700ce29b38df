
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_share.h"
#include "ncr_str.h"


#define NCR_SHARE_BASIS  UINT64_C(0xcbf29ce484222325)   /* FNV-1a */
#define NCR_SHARE_PRIME  UINT64_C(0x100000001b3)


static uint64_t ncr_share_hash(uint64_t hash, const void *p, size_t len);
static uint64_t ncr_share_own(ncr_share_t *s, ncr_counter_t *c);
static uint64_t ncr_share_under(ncr_share_t *s, ncr_counter_t *c);
static uint64_t ncr_share_said(ncr_share_t *s, ncr_counter_t *c);
static ncr_uint_t ncr_share_idle(ncr_share_t *s, ncr_msec_t tick);
static void ncr_share_heard(ncr_share_t *s, ncr_share_answer_t *a,
    ncr_msec_t tick);
static uint64_t ncr_share_least(uint64_t n);


uint64_t
ncr_share_id(ncr_scope_e scope, ncr_str_t *owner, uint64_t identity)
{
    uint64_t    hash;
    ncr_uint_t  i;
    ncr_char_t  bytes[9];

    bytes[0] = (ncr_char_t) scope;

    for (i = 1; i < 9; i++) {
        bytes[i] = (ncr_char_t) (identity & 0xff);
        identity >>= 8;
    }

    hash = ncr_share_hash(NCR_SHARE_BASIS, bytes, 9);
    hash = ncr_share_hash(hash, owner->data, owner->len);

    /* FNV leaves the high bits of short texts alike */

    hash = (hash ^ (hash >> 32)) * UINT64_C(0xbf58476d1ce4e5b9);
    hash ^= hash >> 29;

    return hash ? hash : 1;
}


static uint64_t
ncr_share_hash(uint64_t hash, const void *p, size_t len)
{
    size_t             i;
    const ncr_char_t  *c;

    c = p;

    for (i = 0; i < len; i++) {
        hash = (hash ^ c[i]) * NCR_SHARE_PRIME;
    }

    return hash;
}


void
ncr_share_init(ncr_share_t *s, uint64_t id, ncr_uint_t slots)
{
    memset(s, 0, sizeof(ncr_share_t));

    s->id = id;
    s->resets = -1;
    s->slots = (uint8_t) (slots != 0);
    s->start = slots ? 1 : 0;
}


void
ncr_share_sync(ncr_share_t *s, ncr_counter_t *c)
{
    if (s->slots || s->begun == c->start) {
        return;
    }

    s->begun = c->start;
    s->start = c->start;
    s->end = (c->end == INT64_MAX) ? 0 : c->end;
    s->cap = 0;
    s->others_cap = 0;
    s->others_used = 0;
    s->base = 0;
    s->slice = 0;
    s->told = 0;
    s->seq = 0;                         /* what was asked is of no use */
    s->asked = 0;
    s->resets = -1;
    s->answered = 0;
    s->denied = 0;
    s->wanted = 0;
    s->over = 0;
    s->reset = 0;
}


/* slots are used by whoever has reserved them, and by nobody afterwards */

static uint64_t
ncr_share_own(ncr_share_t *s, ncr_counter_t *c)
{
    return s->slots ? 0 : ncr_share_least(c->used) + s->base;
}


static uint64_t
ncr_share_under(ncr_share_t *s, ncr_counter_t *c)
{
    return ncr_share_own(s, c) + ncr_share_least(c->reserved);
}


/* what is told as used */

static uint64_t
ncr_share_said(ncr_share_t *s, ncr_counter_t *c)
{
    return s->slots ? ncr_share_least(c->reserved) : ncr_share_own(s, c);
}


static uint64_t
ncr_share_least(uint64_t n)
{
    return ncr_min(n, NCR_SHARE_MOST);
}


static ncr_uint_t
ncr_share_idle(ncr_share_t *s, ncr_msec_t tick)
{
    return tick - s->busy >= NCR_SHARE_IDLE;
}


ncr_share_e
ncr_share_judge(ncr_share_t *s, ncr_counter_t *c, uint64_t want,
    ncr_msec_t tick)
{
    uint64_t  own, under;

    own = ncr_share_own(s, c);
    under = ncr_share_under(s, c);
    want = ncr_share_least(want);

    s->busy = tick;

    if (!s->slots && own + s->others_used >= s->amount) {

        /* it may have been reset where nothing is heard of */

        return (s->answered && tick - s->answered < NCR_SHARE_FULL)
               ? NCR_SHARE_USED_UP : NCR_SHARE_ASK;
    }

    /* it was for the request that has taken it, and which has used less */

    if (s->over == 2 && c->reserved == 0) {
        s->cap = ncr_min(s->cap, own);
        s->over = 0;
    }

    if (under + want <= s->cap) {
        s->over = s->over ? 2 : 0;
        return NCR_SHARE_OK;
    }

    if (tick < s->denied && under + want >= s->denied_need) {
        return NCR_SHARE_SHORT;
    }

    return NCR_SHARE_ASK;
}


/*
 * The own cap, and an even part of what nobody had when it was heard last.
 * Where all nodes are alone, and have heard the same, that is the limit.
 */

uint64_t
ncr_share_allowance(ncr_share_t *s, ncr_uint_t nodes)
{
    uint64_t  taken, most;

    taken = s->cap + ncr_max(s->others_cap, s->others_used);
    most = s->cap;

    if (taken < s->amount) {
        most += (s->amount - taken) / ncr_max(nodes, 1);
    }

    /* a node that may do nothing at all would be of no use */

    return ncr_max(most, 1);
}


ncr_share_e
ncr_share_alone(ncr_share_t *s, ncr_counter_t *c, uint64_t want,
    ncr_uint_t nodes)
{
    uint64_t  own, under, most;

    own = ncr_share_own(s, c);
    under = ncr_share_under(s, c);
    most = ncr_share_allowance(s, nodes);
    want = ncr_share_least(want);

    if (!s->slots && own + s->others_used >= s->amount) {
        return NCR_SHARE_USED_UP;
    }

    if (under + want <= most
        || (!s->slots && c->reserved == 0 && own < most))
    {
        return NCR_SHARE_OK;
    }

    return NCR_SHARE_SHORT;
}


ncr_uint_t
ncr_share_asked(ncr_share_t *s, ncr_msec_t tick)
{
    return s->seq != 0 && tick < s->asked;
}


ncr_share_due_e
ncr_share_due(ncr_share_t *s, ncr_counter_t *c, ncr_msec_t tick)
{
    uint64_t  under;

    if (ncr_share_asked(s, tick) || tick < s->failed) {
        return NCR_SHARE_NOTHING;
    }

    under = ncr_share_under(s, c);

    if (s->reset || s->anew || (s->wanted > tick && s->cap > under)) {
        return NCR_SHARE_URGENT;
    }

    if (s->slice && s->cap >= under && s->cap - under < s->slice / 2
        && !ncr_share_idle(s, tick) && tick >= s->denied
        && tick >= s->wanted)
    {
        return NCR_SHARE_URGENT;
    }

    if (s->told != ncr_share_said(s, c)
        || (s->cap > under && ncr_share_idle(s, tick))
        || (s->looked > s->answered && tick - s->answered >= NCR_SHARE_OLD))
    {
        return NCR_SHARE_TELL;
    }

    return NCR_SHARE_NOTHING;
}


ncr_uint_t
ncr_share_quiet(ncr_share_t *s, ncr_counter_t *c)
{
    return s->seq == 0 && !s->reset && !s->anew && c->reserved == 0
           && s->told == ncr_share_said(s, c)
           && s->cap <= ncr_share_own(s, c);
}


/* what is given back is given back before that is told */

void
ncr_share_ask(ncr_share_t *s, ncr_counter_t *c, uint64_t want, uint64_t seq,
    ncr_msec_t tick, ncr_msec_t until, ncr_share_ask_t *ask)
{
    uint64_t    under;
    ncr_uint_t  slack;

    under = ncr_share_under(s, c);
    slack = (s->wanted <= tick && !ncr_share_idle(s, tick));
    want = ncr_share_least(want);

    if (!slack) {
        s->cap = ncr_min(s->cap, under);
    }

    s->seq = seq;
    s->asked = until;
    s->telling = ncr_share_said(s, c);
    s->need = under + want;
    s->anew = 0;

    ask->id = s->id;
    ask->start = s->start;
    ask->end = s->end;
    ask->amount = ncr_share_least(s->amount);
    ask->flags = (slack ? NCR_SHARE_FLAG_SLACK : 0)
                 | (s->reset ? NCR_SHARE_FLAG_RESET : 0)
                 | (s->slots ? NCR_SHARE_FLAG_SLOTS : 0);
    ask->used = s->telling;
    ask->cap = ncr_share_least(s->cap);
    ask->fact = under;
    ask->want = want;
    ask->seq = seq;
    ask->resets = s->resets;
}


void
ncr_share_failed(ncr_share_t *s, uint64_t seq, ncr_msec_t tick)
{
    if (s->seq == seq) {
        s->seq = 0;
        s->asked = 0;
        s->failed = tick + NCR_SHARE_FAILED;
        s->anew = 1;
    }
}


size_t
ncr_share_print(ncr_share_ask_t *ask, ncr_char_t *buf)
{
    uint64_t     n[9];
    ncr_uint_t   i;
    ncr_char_t  *p;

    n[0] = (uint64_t) ask->start;
    n[1] = (uint64_t) ask->end;
    n[2] = ask->amount;
    n[3] = ask->flags;
    n[4] = ask->used;
    n[5] = ask->cap;
    n[6] = ask->fact;
    n[7] = ask->want;
    n[8] = ask->seq;

    p = buf;

    for (i = 0; i < 9; i++) {
        p = ncr_str_decimal(p, n[i]);
        *p++ = ' ';
    }

    if (ask->resets < 0) {
        *p++ = '-';
        *p++ = '1';

    } else {
        p = ncr_str_decimal(p, (uint64_t) ask->resets);
    }

    return (size_t) (p - buf);
}


ncr_int_t
ncr_share_read(ncr_share_answer_t *a, const int64_t *n)
{
    ncr_uint_t  i;

    for (i = 0; i < NCR_SHARE_NUMBERS; i++) {
        if (n[i] < 0 || n[i] > INT64_C(1) << 60) {
            return NCR_BAD;
        }
    }

    a->cap = ncr_share_least((uint64_t) n[0]);
    a->others_cap = ncr_share_least((uint64_t) n[1]);
    a->others_used = ncr_share_least((uint64_t) n[2]);
    a->start = n[3];
    a->end = n[4];
    a->denied = (ncr_uint_t) n[5];
    a->used = ncr_share_least((uint64_t) n[6]);
    a->resets = n[7];
    a->seq = (uint64_t) n[8];
    a->flags = (ncr_uint_t) n[9];

    if (a->start < 1 || (a->end && a->end <= a->start)
        || a->denied > NCR_SHARE_IS_STALE)
    {
        return NCR_BAD;
    }

    return NCR_OK;
}


ncr_share_taken_e
ncr_share_take(ncr_share_t *s, ncr_counter_t *c, ncr_share_answer_t *a,
    uint64_t seq, ncr_msec_t tick, uint64_t *was)
{
    if (s->seq != seq) {
        return NCR_SHARE_IGNORED;
    }

    s->seq = 0;
    s->asked = 0;

    if (!s->slots && s->begun != c->start) {

        /* of a window that is over */

        return NCR_SHARE_IGNORED;
    }

    if (a->denied == NCR_SHARE_IS_STALE) {
        s->anew = 1;
        return NCR_SHARE_STALE;
    }

    if (!s->slots && a->start >= c->end) {

        /* others have begun the next one */

        c->used = 0;
        c->start = a->start;
        c->end = a->end ? a->end : INT64_MAX;

        ncr_share_sync(s, c);

        return NCR_SHARE_MOVED;
    }

    if (!s->slots) {
        s->start = a->start;
        s->end = a->end;

        /* the counter keeps its start: what was charged is known by that */

        if (a->end && a->end > c->start) {
            c->end = a->end;
        }
    }

    s->reset = 0;
    s->resets = a->resets;

    if (a->flags & NCR_SHARE_FLAG_ZERO) {
        *was = c->used;
        c->used = 0;
        s->base = 0;
        s->telling = 0;

        ncr_share_heard(s, a, tick);

        return NCR_SHARE_RESET;
    }

    if (!s->slots && a->used > s->telling) {

        /* this node has forgotten what it has told */

        s->base += a->used - s->telling;
        s->telling = a->used;
    }

    ncr_share_heard(s, a, tick);

    return NCR_SHARE_TAKEN;
}


static void
ncr_share_heard(ncr_share_t *s, ncr_share_answer_t *a, ncr_msec_t tick)
{
    s->told = s->telling;
    s->cap = a->cap;
    s->over = (a->flags & NCR_SHARE_FLAG_OVER) != 0;
    s->others_cap = a->others_cap;
    s->others_used = a->others_used;
    s->answered = tick;
    s->slice = (a->cap > s->need) ? a->cap - s->need : 0;
    s->denied = 0;

    if (a->denied) {
        s->denied_need = s->need;
        s->denied = tick + ((a->denied == NCR_SHARE_IS_FULL)
                            ? NCR_SHARE_FULL : NCR_SHARE_BUSY);
    }
}


void
ncr_share_shown(ncr_share_t *s, ncr_counter_t *c)
{
    if (s->slots) {
        c->reserved += s->others_used;

    } else if (s->begun == c->start) {
        c->used += s->base + s->others_used;
    }
}
