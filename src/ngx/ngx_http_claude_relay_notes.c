
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * What operators are told of an account's failures and tests: a few of each,
 * for those accounts that have any.  They live in the room that nothing else
 * wants, and are the first to go.
 */


#include "ngx_http_claude_relay_zone.h"
#include "ncr_oauth_text.h"


/* of the words that are looked at; of these a note has a beginning */
#define NGX_HTTP_CLAUDE_RELAY_WORDS  1024


static ngx_http_claude_relay_notes_t *ngx_http_claude_relay_notes_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_notes_t **place);
static void ngx_http_claude_relay_note_mask(u_char *p, size_t len,
    u_char *secret, size_t n);


void
ngx_http_claude_relay_note_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_notes_t **place, ngx_http_claude_relay_note_t *note)
{
    ngx_http_claude_relay_notes_t  *notes;

    notes = ngx_http_claude_relay_notes_locked(rmcf, place);

    if (notes == NULL) {
        return;
    }

    notes->note[notes->n % NGX_HTTP_CLAUDE_RELAY_NOTES] = *note;
    notes->n++;

    ngx_queue_remove(&notes->queue);
    ngx_queue_insert_head(&rmcf->zone->notes, &notes->queue);
}


/* a sixteenth of the zone is for requests under way: from there on a ring
 * takes the place of the oldest */

static ngx_http_claude_relay_notes_t *
ngx_http_claude_relay_notes_locked(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_notes_t **place)
{
    ngx_http_claude_relay_notes_t  *notes;

    if (*place) {
        return *place;
    }

    if (rmcf->shpool->pfree * ngx_pagesize <= rmcf->shm_zone->shm.size / 16
        && !ngx_http_claude_relay_notes_evict_locked(rmcf))
    {
        return NULL;
    }

    notes = ngx_slab_calloc_locked(rmcf->shpool,
                                   sizeof(ngx_http_claude_relay_notes_t));
    if (notes == NULL) {
        return NULL;
    }

    notes->place = place;
    ngx_queue_insert_head(&rmcf->zone->notes, &notes->queue);

    *place = notes;

    return notes;
}


void
ngx_http_claude_relay_notes_free_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_notes_t **place)
{
    ngx_http_claude_relay_notes_t  *notes;

    notes = *place;

    if (notes == NULL) {
        return;
    }

    *place = NULL;

    ngx_queue_remove(&notes->queue);
    ngx_slab_free_locked(rmcf->shpool, notes);
}


ngx_uint_t
ngx_http_claude_relay_notes_evict_locked(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_queue_t                    *q;
    ngx_http_claude_relay_notes_t  *notes;

    if (ngx_queue_empty(&rmcf->zone->notes)) {
        return 0;
    }

    q = ngx_queue_last(&rmcf->zone->notes);
    notes = ngx_queue_data(q, ngx_http_claude_relay_notes_t, queue);

    ngx_http_claude_relay_notes_free_locked(rmcf, notes->place);

    return 1;
}


void
ngx_http_claude_relay_note_words(ngx_http_claude_relay_account_t *a,
    char *dst, size_t size, ngx_str_t *text)
{
    u_char     *p, *end, buf[NGX_HTTP_CLAUDE_RELAY_WORDS];
    ncr_str_t   s;

    dst[0] = '\0';

    s.len = ngx_min(text->len, sizeof(buf));

    if (s.len == 0) {
        return;
    }

    s.data = buf;
    ngx_memcpy(buf, text->data, s.len);

    /* what looks like a token is taken out below; a key may look like
     * anything */

    ngx_http_claude_relay_note_mask(buf, s.len, a->secret.data,
                                    a->secret.len);

    /* "Name: [Bearer ]secret" */

    if (a->proof.len) {
        end = a->proof.data + a->proof.len - 2;

        for (p = end; p > a->proof.data && p[-1] != ' '; p--) {
            /* void */
        }

        ngx_http_claude_relay_note_mask(buf, s.len, p, end - p);
    }

    ncr_oauth_words(dst, size, &s);
}


static void
ngx_http_claude_relay_note_mask(u_char *p, size_t len, u_char *secret,
    size_t n)
{
    size_t  i;

    if (n == 0 || n > len) {
        return;
    }

    for (i = 0; i + n <= len; i++) {
        if (p[i] == secret[0] && ngx_memcmp(p + i, secret, n) == 0) {
            ngx_memset(p + i, '*', n);
            i += n - 1;
        }
    }
}
