
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A chain of buffers, in memory or in a file, with edits: pieces of the
 * buffers and what is put between them.  Their bytes are not copied.
 */


#include "ngx_http_claude_relay.h"


static ngx_int_t ngx_http_claude_relay_splice_piece(ngx_pool_t *pool,
    ngx_buf_t *b, off_t from, off_t to, ngx_chain_t ***ll);
static ngx_int_t ngx_http_claude_relay_splice_insert(ngx_pool_t *pool,
    ncr_str_t *s, ngx_chain_t ***ll);
static ngx_int_t ngx_http_claude_relay_splice_link(ngx_pool_t *pool,
    ngx_buf_t *b, ngx_chain_t ***ll);


/*
 * Appends buffers of its own at *ll, whose positions may be moved.  in stays
 * as it is, for the next attempt.  NGX_ERROR also if an edit is not inside of
 * the chain, or begins before the end of the one before.
 */

ngx_int_t
ngx_http_claude_relay_splice(ngx_pool_t *pool, ngx_chain_t *in,
    ncr_edit_t *edit, ngx_uint_t n, ngx_chain_t ***ll)
{
    off_t        pos, start, end;
    ngx_buf_t   *b;
    ncr_edit_t  *last;

    /* pos is what is to be passed on next; offsets are from the beginning */

    pos = 0;
    end = 0;
    last = edit + n;

    for ( /* void */ ; in; in = in->next) {

        b = in->buf;
        start = end;
        end += ngx_buf_size(b);

        for ( /* void */ ; edit < last; edit++) {

            if ((off_t) edit->offset >= end) {
                break;
            }

            if ((off_t) edit->offset < pos) {
                return NGX_ERROR;
            }

            if (ngx_http_claude_relay_splice_piece(pool, b, pos - start,
                                                   edit->offset - start, ll)
                != NGX_OK
                || ngx_http_claude_relay_splice_insert(pool, &edit->insert, ll)
                   != NGX_OK)
            {
                return NGX_ERROR;
            }

            pos = edit->offset + edit->remove;
        }

        if (start == end) {

            /* no bytes but flags */

            if (ngx_http_claude_relay_splice_piece(pool, b, 0, -1, ll)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            continue;
        }

        if (pos < end) {

            if (ngx_http_claude_relay_splice_piece(pool, b, pos - start,
                                                   end - start, ll)
                != NGX_OK)
            {
                return NGX_ERROR;
            }

            pos = end;
        }
    }

    for ( /* void */ ; edit < last; edit++) {

        /* what is put behind the last byte */

        if ((off_t) edit->offset != pos || edit->remove
            || ngx_http_claude_relay_splice_insert(pool, &edit->insert, ll)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return (pos == end) ? NGX_OK : NGX_ERROR;
}


/* how much longer the whole becomes */

off_t
ngx_http_claude_relay_splice_growth(ncr_edit_t *edit, ngx_uint_t n)
{
    off_t       growth;
    ngx_uint_t  i;

    growth = 0;

    for (i = 0; i < n; i++) {
        growth += (off_t) edit[i].insert.len - (off_t) edit[i].remove;
    }

    return growth;
}


/* from and to are offsets in the buffer; to is -1 for a buffer as it is */

static ngx_int_t
ngx_http_claude_relay_splice_piece(ngx_pool_t *pool, ngx_buf_t *b, off_t from,
    off_t to, ngx_chain_t ***ll)
{
    off_t       size;
    ngx_buf_t  *piece;

    if (from == to) {
        return NGX_OK;
    }

    piece = ngx_alloc_buf(pool);
    if (piece == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(piece, b, sizeof(ngx_buf_t));

    size = ngx_buf_size(b);

    if (to != -1) {

        if (ngx_buf_in_memory(b)) {
            piece->pos = b->pos + from;
            piece->last = b->pos + to;
        }

        if (b->in_file) {
            piece->file_pos = b->file_pos + from;
            piece->file_last = b->file_pos + to;
        }

        if (to != size) {

            /* these belong to its last byte */

            piece->flush = 0;
            piece->sync = 0;
            piece->last_buf = 0;
            piece->last_in_chain = 0;
        }
    }

    return ngx_http_claude_relay_splice_link(pool, piece, ll);
}


static ngx_int_t
ngx_http_claude_relay_splice_insert(ngx_pool_t *pool, ncr_str_t *s,
    ngx_chain_t ***ll)
{
    ngx_buf_t  *b;

    if (s->len == 0) {
        return NGX_OK;
    }

    b = ngx_calloc_buf(pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = s->data;
    b->last = s->data + s->len;
    b->start = b->pos;
    b->end = b->last;
    b->memory = 1;

    return ngx_http_claude_relay_splice_link(pool, b, ll);
}


static ngx_int_t
ngx_http_claude_relay_splice_link(ngx_pool_t *pool, ngx_buf_t *b,
    ngx_chain_t ***ll)
{
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    cl->buf = b;
    cl->next = NULL;

    **ll = cl;
    *ll = &cl->next;

    return NGX_OK;
}
