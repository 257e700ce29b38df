
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What Redis does for a limit that all nodes have together, and the part of
 * the agent in it: it tells what this node has used, asks for more before it
 * is missed, and gives back what is not used.
 */


#include "ngx_http_claude_relay_shares.h"


/* what was used is told this often, ms: one command for all limits */
#define NGX_HTTP_CLAUDE_RELAY_SHARES_TELL   1000

/* looked at with the lock held, of the lists and of the table */
#define NGX_HTTP_CLAUDE_RELAY_SHARES_LOOK   1024


static void ngx_http_claude_relay_shares_begin(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_shares_beat(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_shares_again_locked(
    ngx_http_claude_relay_main_conf_t *rmcf);
static void ngx_http_claude_relay_shares_walk_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t tell);
static ngx_uint_t ngx_http_claude_relay_shares_look_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_share_t *sh, ngx_uint_t tell);
static void ngx_http_claude_relay_shares_wanted(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *args);
static void ngx_http_claude_relay_shares_given(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_str_t *args);
static ngx_int_t ngx_http_claude_relay_shares_id(ngx_str_t *args,
    uint64_t *id);
static void ngx_http_claude_relay_shares_repair(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t flushed);


ngx_http_claude_relay_fleet_part_t  ngx_http_claude_relay_fleet_shares = {
    "w",
    ngx_http_claude_relay_shares_begin,
    NULL,
    ngx_http_claude_relay_shares_beat,
    ngx_http_claude_relay_shares_wanted,
    ngx_http_claude_relay_shares_repair
};


ngx_http_claude_relay_fleet_part_t  ngx_http_claude_relay_fleet_freed = {
    "f",
    NULL,
    NULL,
    NULL,
    ngx_http_claude_relay_shares_given,
    NULL
};


/*
 * Keys: the nodes, and a hash for each limit: "w" has its window, how often it
 * was reset, and when somebody was short of it; "@NODE" what the node may use,
 * has used, the number of what was heeded last, when that was, and how many
 * resets it knows of.  Arguments: this node, the channel, its lease, how many
 * nodes there are, and for each key what ncr_share_print() has written.  The
 * answer has NCR_SHARE_NUMBERS for each, see ncr_share_read().
 *
 * The window that was begun first is everybody's; a node whose clock says
 * that the next one has begun, begins it for all.  A node that is dead has
 * what it has used; it needs no slots.  A want that is larger than all that
 * is left is granted if nobody has anything else: the one request over.
 */

ngx_http_claude_relay_script_t  ngx_http_claude_relay_take = {
    "take",

    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local me, bus = ARGV[1], ARGV[2]\n"
    "local lease, nodes = tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local known = {}\n"
    "\n"
    "local function lives(node, at)\n"
    "    if at + lease > now then\n"
    "        return true\n"
    "    end\n"
    "    if known[node] == nil then\n"
    "        local v = redis.call('HGET', KEYS[1], node) or ''\n"
    "        known[node] = (tonumber(string.match(v, '^%d+')) or 0) > now\n"
    "    end\n"
    "    return known[node]\n"
    "end\n"
    "\n"
    "local function numbers(text)\n"
    "    local n = {}\n"
    "    for w in string.gmatch(text or '', '%S+') do\n"
    "        n[#n + 1] = tonumber(w)\n"
    "    end\n"
    "    return n\n"
    "end\n"
    "\n"
    "local out = {}\n"
    "\n"
    "for i = 2, #KEYS do\n"
    "    local from, to, amount, flags, used, cap, fact, want, seq, resets =\n"
    "        unpack(numbers(ARGV[i + 3]))\n"
    "    local slack, reset, slots =\n"
    "        flags % 2 == 1, flags % 4 >= 2, flags >= 4\n"
    "    local key, id = KEYS[i], string.sub(KEYS[i], -16)\n"
    "    local all, h = redis.call('HGETALL', key), {}\n"
    "    for j = 1, #all, 2 do\n"
    "        h[all[j]] = all[j + 1]\n"
    "    end\n"
    "    local w = numbers(h['w'])\n"
    "    local ws, we, r, short = w[1], w[2], w[3], w[4]\n"
    "    local alone, fresh, behind = false, false, false\n"
    "\n"
    "    if to > 0 and to <= now then\n"
    "        alone = true\n"
    "        ws, we, r = from, to, math.max(resets, 0)\n"
    "    elseif not ws or (we > 0 and (we <= now or from >= we)) then\n"
    "        fresh = true\n"
    "        ws, we, r, short = from, to, math.max(resets, 0), 0\n"
    "    elseif to > 0 and to <= ws then\n"
    "        behind = true\n"
    "    elseif from < ws then\n"
    "        ws, we = from, to\n"
    "    end\n"
    "\n"
    "    local m, denied, over, zero = {}, 0, 0, 0\n"
    "    local oc, ou, held, new = 0, 0, false, 0\n"
    "\n"
    "    if not alone and not fresh then\n"
    "        m = numbers(h['@' .. me])\n"
    "    end\n"
    "\n"
    "    if m[3] and m[3] > seq then\n"
    "        denied, new, used, seq = 3, m[1], m[2], m[3]\n"
    "    elseif not behind then\n"
    "\n"
    "        if reset then\n"
    "            r = math.max(r, resets) + 1\n"
    "        elseif resets > r then\n"
    "            r = resets\n"
    "        elseif resets < r\n"
    "            and not (resets < 0 and (r == 0 or m[5] == r))\n"
    "        then\n"
    "            fact, used, cap, zero = fact - used, 0, 0, 2\n"
    "        end\n"
    "\n"
    "        if not slots and zero == 0 and m[5] == r and m[2] > used then\n"
    "            fact, used = fact + m[2] - used, m[2]\n"
    "        end\n"
    "\n"
    "        if not alone and not fresh then\n"
    "            for f, v in pairs(h) do\n"
    "                local node = string.match(f, '^@(.*)$')\n"
    "                if node and node ~= me then\n"
    "                    local o = numbers(v)\n"
    "                    local c, u = math.max(o[1], o[2]), o[2]\n"
    "                    local live = lives(node, o[4])\n"
    "                    if o[5] ~= r and not slots then\n"
    "                        c, u = c - u, 0\n"
    "                    end\n"
    "                    if not live then\n"
    "                        c, u = slots and 0 or u, slots and 0 or u\n"
    "                    end\n"
    "                    oc, ou = oc + c, ou + u\n"
    "                    held = held or c > u\n"
    "                end\n"
    "            end\n"
    "        end\n"
    "\n"
    "        new = math.max(cap, fact, used)\n"
    "\n"
    "        if want > 0 and fact + want > new then\n"
    "            if oc + fact + want <= amount then\n"
    "                new = fact + want\n"
    "            elseif not slots and not held and fact == used\n"
    "                and ou + used < amount\n"
    "            then\n"
    "                new, over = fact + want, 1\n"
    "            elseif not slots and ou + used >= amount then\n"
    "                denied = 2\n"
    "            else\n"
    "                denied = 1\n"
    "            end\n"
    "        end\n"
    "\n"
    "        if denied == 1 and not alone then\n"
    "            short = now\n"
    "            if oc > (slots and 0 or ou) then\n"
    "                redis.call('PUBLISH', bus, me .. ' w ' .. id)\n"
    "            end\n"
    "        elseif slack and denied == 0 and over == 0 and not alone\n"
    "            and now - short > 1000 and oc + fact + want < amount\n"
    "        then\n"
    "            new = math.max(new, fact + want\n"
    "                + math.floor((amount - oc - fact - want) / (4 * nodes)))\n"
    "        end\n"
    "\n"
    "        if not alone and not (fresh and new == 0 and not reset) then\n"
    "            if fresh then\n"
    "                redis.call('DEL', key)\n"
    "            end\n"
    "            redis.call('HSET', key, 'w', string.format(\n"
    "                '%.0f %.0f %.0f %.0f', ws, we, r, short))\n"
    "            redis.call('HSET', key, '@' .. me, string.format(\n"
    "                '%.0f %.0f %.0f %.0f %.0f', new, used, seq, now, r))\n"
    "            local ttl = slots and 86400000 or 34560000000\n"
    "            if we > 0 then\n"
    "                ttl = math.min(we - now + 60000, ttl)\n"
    "            end\n"
    "            redis.call('PEXPIRE', key, string.format('%.0f', ttl))\n"
    "            if reset then\n"
    "                redis.call('PUBLISH', bus, me .. ' f ' .. id .. ' r')\n"
    "            elseif m[1] and new < m[1] and now - short < 5000 then\n"
    "                redis.call('PUBLISH', bus, me .. ' f ' .. id)\n"
    "            end\n"
    "        end\n"
    "    end\n"
    "\n"
    "    for _, n in ipairs({new, oc, ou, ws, we, denied, used, r, seq,\n"
    "                        over + zero})\n"
    "    do\n"
    "        out[#out + 1] = n\n"
    "    end\n"
    "end\n"
    "\n"
    "return out\n",

    ""
};


static ngx_msec_t  ngx_http_claude_relay_shares_told;

/* buckets that are still to be told anew */
static ngx_uint_t  ngx_http_claude_relay_shares_anew;


static void
ngx_http_claude_relay_shares_begin(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_http_claude_relay_shares_told = ngx_current_msec;
    ngx_http_claude_relay_shares_anew = 0;
}


static void
ngx_http_claude_relay_shares_beat(ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t  tell;

    tell = (ngx_current_msec - ngx_http_claude_relay_shares_told
            >= NGX_HTTP_CLAUDE_RELAY_SHARES_TELL);

    if (tell) {
        ngx_http_claude_relay_shares_told = ngx_current_msec;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    if (ngx_http_claude_relay_shares_anew) {
        ngx_http_claude_relay_shares_again_locked(rmcf);
    }

    ngx_http_claude_relay_shares_walk_locked(rmcf, tell);

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_shares_flush(rmcf);
}


/* what is not needed goes back: while nobody was heard it was perhaps given
 * to others */

static void
ngx_http_claude_relay_shares_again_locked(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                      n, *left;
    ncr_msec_t                      now;
    ncr_counter_t                   counter;
    ngx_http_claude_relay_share_t  *sh;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = rmcf->zone->fleet;
    left = &ngx_http_claude_relay_shares_anew;
    now = ngx_http_claude_relay_now();

    for (n = 0; *left && n < NGX_HTTP_CLAUDE_RELAY_SHARES_LOOK; n++) {

        (*left)--;

        for (sh = fleet->shares[*left & fleet->shares_mask]; sh;
             sh = sh->next)
        {
            ngx_http_claude_relay_share_counter_locked(rmcf, sh, &counter);

            if (!sh->share.slots && counter.end <= now) {
                continue;
            }

            sh->share.cap = ngx_min(sh->share.cap,
                                    (sh->share.slots ? 0 : counter.used
                                                           + sh->share.base)
                                    + counter.reserved);
            sh->share.anew = 1;
            sh->share.failed = 0;

            ngx_http_claude_relay_share_list_locked(rmcf, sh);
        }
    }
}


/* one list, then the other one, which was made of it meanwhile */

static void
ngx_http_claude_relay_shares_walk_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t tell)
{
    ngx_uint_t                      n;
    ngx_http_claude_relay_share_t  *sh;
    ngx_http_claude_relay_fleet_t  *fleet;

    fleet = rmcf->zone->fleet;

    if (fleet->dirty == NULL) {
        fleet->dirty = fleet->later;
        fleet->later = NULL;
    }

    for (n = 0; n < NGX_HTTP_CLAUDE_RELAY_SHARES_LOOK; n++) {

        sh = fleet->dirty;

        if (sh == NULL) {
            break;
        }

        fleet->dirty = sh->behind;

        if (ngx_http_claude_relay_shares_look_locked(rmcf, sh, tell)) {
            sh->behind = fleet->later;
            fleet->later = sh;

        } else {
            sh->listed = 0;
        }
    }
}


/* 1: it is to be looked at again */

static ngx_uint_t
ngx_http_claude_relay_shares_look_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_http_claude_relay_share_t *sh,
    ngx_uint_t tell)
{
    ncr_msec_t       tick;
    ncr_counter_t    counter;
    ncr_share_due_e  due;

    tick = (ncr_msec_t) ngx_current_msec;

    ngx_http_claude_relay_share_counter_locked(rmcf, sh, &counter);

    if (!sh->share.slots
        && (counter.start == 0 || counter.end <= ngx_http_claude_relay_now()))
    {
        return 0;
    }

    due = ncr_share_due(&sh->share, &counter, tick);

    if (due == NCR_SHARE_NOTHING) {
        return tick < sh->share.failed
               || !ncr_share_quiet(&sh->share, &counter);
    }

    if (due == NCR_SHARE_URGENT || tell) {
        (void) ngx_http_claude_relay_share_ask_locked(rmcf, sh, &counter, 0);
    }

    return 1;
}


static void
ngx_http_claude_relay_shares_wanted(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *args)
{
    uint64_t                        id;
    ncr_msec_t                      tick;
    ncr_counter_t                   counter;
    ngx_http_claude_relay_share_t  *sh;

    if (ngx_http_claude_relay_shares_id(args, &id) != NGX_OK) {
        return;
    }

    tick = (ncr_msec_t) ngx_current_msec;

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    sh = ngx_http_claude_relay_share_find_locked(rmcf, id);

    if (sh) {
        sh->share.wanted = tick + NCR_SHARE_WANTED;

        ngx_http_claude_relay_share_list_locked(rmcf, sh);
        ngx_http_claude_relay_share_counter_locked(rmcf, sh, &counter);

        if (ncr_share_due(&sh->share, &counter, tick) == NCR_SHARE_URGENT) {
            (void) ngx_http_claude_relay_share_ask_locked(rmcf, sh, &counter,
                                                          0);
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    ngx_http_claude_relay_shares_flush(rmcf);
}


static void
ngx_http_claude_relay_shares_given(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_str_t *args)
{
    uint64_t                        id;
    ngx_http_claude_relay_share_t  *sh;

    if (ngx_http_claude_relay_shares_id(args, &id) != NGX_OK) {
        return;
    }

    ngx_shmtx_lock(&rmcf->shpool->mutex);

    sh = ngx_http_claude_relay_share_find_locked(rmcf, id);

    if (sh) {
        sh->share.denied = 0;

        if (args->len) {

            /* a reset */

            sh->share.anew = 1;
            ngx_http_claude_relay_share_list_locked(rmcf, sh);
        }
    }

    ngx_shmtx_unlock(&rmcf->shpool->mutex);

    if (sh) {
        ngx_http_claude_relay_ring(rmcf->zone);
    }

    if (sh && args->len) {
        ngx_http_claude_relay_fleet_urgent(rmcf);
    }
}


/* sixteen digits, and maybe a word behind a blank, which is left in args */

static ngx_int_t
ngx_http_claude_relay_shares_id(ngx_str_t *args, uint64_t *id)
{
    u_char      c;
    ngx_uint_t  i;

    if (args->len < 16 || (args->len > 16 && args->data[16] != ' ')) {
        return NGX_ERROR;
    }

    *id = 0;

    for (i = 0; i < 16; i++) {

        c = args->data[i];

        if (c >= '0' && c <= '9') {
            *id = *id << 4 | (uint64_t) (c - '0');

        } else if (c >= 'a' && c <= 'f') {
            *id = *id << 4 | (uint64_t) (c - 'a' + 10);

        } else {
            return NGX_ERROR;
        }
    }

    i = ngx_min(args->len, 17);

    args->data += i;
    args->len -= i;

    return NGX_OK;
}


static void
ngx_http_claude_relay_shares_repair(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t flushed)
{
    ngx_http_claude_relay_shares_anew = rmcf->zone->fleet->shares_mask + 1;
}
