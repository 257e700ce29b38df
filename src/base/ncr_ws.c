
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_ws.h"


typedef enum {
    NCR_WS_IN_HEAD = 0,
    NCR_WS_IN_PAYLOAD,
    NCR_WS_AT_END,                      /* of a frame */
    NCR_WS_DEAD
} ncr_ws_state_e;


static ncr_ws_event_e ncr_ws_read_head(ncr_ws_t *ws, ncr_char_t **p,
    ncr_char_t *last);
static ncr_ws_event_e ncr_ws_first(ncr_ws_t *ws);
static ncr_ws_event_e ncr_ws_length(ncr_ws_t *ws);
static ncr_ws_event_e ncr_ws_payload(ncr_ws_t *ws, ncr_char_t **p,
    ncr_char_t *last);
static ncr_ws_event_e ncr_ws_end(ncr_ws_t *ws);
static ncr_ws_event_e ncr_ws_closed(ncr_ws_t *ws);
static ncr_uint_t ncr_ws_close_code(ncr_uint_t code);
static ncr_ws_event_e ncr_ws_bad(ncr_ws_t *ws, ncr_uint_t code,
    const char *error);
static void ncr_ws_unmask(ncr_char_t *p, size_t len, const ncr_char_t *mask,
    ncr_uint_t *turn);
static ncr_int_t ncr_ws_utf8(ncr_ws_t *ws, ncr_char_t *p, size_t len);
static ncr_int_t ncr_ws_utf8_lead(ncr_ws_t *ws, ncr_char_t c);


void
ncr_ws_init(ncr_ws_t *ws)
{
    memset(ws, 0, sizeof(ncr_ws_t));

    ws->wants = 2;
}


ncr_ws_event_e
ncr_ws_next(ncr_ws_t *ws, ncr_char_t **p, ncr_char_t *last)
{
    ncr_ws_event_e  event;

    for ( ;; ) {

        switch ((ncr_ws_state_e) ws->state) {

        case NCR_WS_IN_HEAD:

            if (*p == last) {
                return NCR_WS_MORE;
            }

            event = ncr_ws_read_head(ws, p, last);
            break;

        case NCR_WS_IN_PAYLOAD:

            if (*p == last) {
                return NCR_WS_MORE;
            }

            event = ncr_ws_payload(ws, p, last);
            break;

        case NCR_WS_AT_END:
            event = ncr_ws_end(ws);
            break;

        case NCR_WS_DEAD:
        default:
            *p = last;
            return NCR_WS_MORE;
        }

        if (event != NCR_WS_MORE) {
            return event;
        }
    }
}


ncr_uint_t
ncr_ws_boundary(ncr_ws_t *ws)
{
    return ws->state == NCR_WS_IN_HEAD && ws->nhead == 0 && ws->message == 0;
}


static ncr_ws_event_e
ncr_ws_read_head(ncr_ws_t *ws, ncr_char_t **p, ncr_char_t *last)
{
    size_t          n;
    ncr_ws_event_e  event;

    while (ws->nhead < ws->wants) {

        n = ncr_min(ws->wants - ws->nhead, (size_t) (last - *p));

        if (n == 0) {
            return NCR_WS_MORE;
        }

        memcpy(ws->head + ws->nhead, *p, n);
        ws->nhead += n;
        *p += n;

        if (ws->nhead == 2) {

            /* what is wrong by these is told by them; they tell its length */

            event = ncr_ws_first(ws);

            if (event != NCR_WS_MORE) {
                return event;
            }
        }
    }

    return ncr_ws_length(ws);
}


/* flags, opcode and the kind of length: 5.2, 5.4, 5.5 */

static ncr_ws_event_e
ncr_ws_first(ncr_ws_t *ws)
{
    ncr_uint_t  len;

    if (ws->head[0] & 0x70) {
        return ncr_ws_bad(ws, NCR_WS_PROTOCOL,
                          "a frame of an extension that was not agreed upon");
    }

    ws->fin = (ws->head[0] >> 7) & 1;
    ws->frame = ws->head[0] & 0x0f;
    len = ws->head[1] & 0x7f;

    if (ws->masked != (ws->head[1] >> 7)) {
        return ncr_ws_bad(ws, NCR_WS_PROTOCOL,
                          ws->masked ? "a frame is not masked"
                                     : "a frame is masked");
    }

    switch (ws->frame) {

    case NCR_WS_CONTINUATION:

        if (ws->message == 0) {
            return ncr_ws_bad(ws, NCR_WS_PROTOCOL,
                              "a continuation of no message");
        }

        break;

    case NCR_WS_TEXT:
    case NCR_WS_BINARY:

        if (ws->message) {
            return ncr_ws_bad(ws, NCR_WS_PROTOCOL,
                              "a message inside of another one");
        }

        break;

    case NCR_WS_CLOSE:
    case NCR_WS_PING:
    case NCR_WS_PONG:

        if (!ws->fin || len > NCR_WS_CONTROL) {
            return ncr_ws_bad(ws, NCR_WS_PROTOCOL,
                              ws->fin ? "a control frame is too long"
                                      : "a control frame is fragmented");
        }

        break;

    default:
        return ncr_ws_bad(ws, NCR_WS_PROTOCOL, "an unknown opcode");
    }

    ws->wants = 2 + (len == 126 ? 2 : len == 127 ? 8 : 0)
                + (ws->masked ? 4 : 0);

    return NCR_WS_MORE;
}


static ncr_ws_event_e
ncr_ws_length(ncr_ws_t *ws)
{
    size_t      i, n;
    uint64_t    len, least;

    len = ws->head[1] & 0x7f;
    n = 2;

    if (len >= 126) {
        n = (len == 126) ? 4 : 10;
        least = (len == 126) ? 126 : 65536;

        for (len = 0, i = 2; i < n; i++) {
            len = (len << 8) | ws->head[i];
        }

        if (len < least || len >> 63) {
            return ncr_ws_bad(ws, NCR_WS_PROTOCOL,
                              "a length is not written as it must be");
        }
    }

    if (ws->masked) {
        memcpy(ws->mask, ws->head + n, 4);
    }

    ws->turn = 0;
    ws->left = len;
    ws->nhead = 0;
    ws->wants = 2;
    ws->state = len ? NCR_WS_IN_PAYLOAD : NCR_WS_AT_END;

    if (ws->frame >= NCR_WS_CLOSE) {
        ws->ncontrol = 0;
        return NCR_WS_MORE;
    }

    if (ws->frame != NCR_WS_CONTINUATION) {
        ws->message = ws->frame;
        ws->total = 0;
        ws->utf8 = 0;
    }

    /* by what is announced: nothing of it needs to be taken first */

    if (ws->max && len > ws->max - ws->total) {
        return ncr_ws_bad(ws, NCR_WS_TOO_BIG, "a message is too big");
    }

    ws->total += len;

    return NCR_WS_MORE;
}


static ncr_ws_event_e
ncr_ws_payload(ncr_ws_t *ws, ncr_char_t **p, ncr_char_t *last)
{
    size_t  n;

    n = (size_t) ncr_min(ws->left, (uint64_t) (last - *p));

    if (ws->masked) {
        ncr_ws_unmask(*p, n, ws->mask, &ws->turn);
    }

    ws->data.data = *p;
    ws->data.len = n;

    *p += n;
    ws->left -= n;

    if (ws->left == 0) {
        ws->state = NCR_WS_AT_END;
    }

    if (ws->frame >= NCR_WS_CLOSE) {
        memcpy(ws->control + ws->ncontrol, ws->data.data, n);
        ws->ncontrol += n;
        return NCR_WS_MORE;
    }

    if (ws->message == NCR_WS_TEXT
        && ncr_ws_utf8(ws, ws->data.data, n) != NCR_OK)
    {
        return ncr_ws_bad(ws, NCR_WS_INVALID, "a text is not UTF-8");
    }

    ws->opcode = ws->message;

    return NCR_WS_DATA;
}


static ncr_ws_event_e
ncr_ws_end(ncr_ws_t *ws)
{
    ws->state = NCR_WS_IN_HEAD;

    if (ws->frame >= NCR_WS_CLOSE) {
        ws->opcode = ws->frame;

        return (ws->frame == NCR_WS_CLOSE) ? ncr_ws_closed(ws) : NCR_WS_FRAME;
    }

    if (!ws->fin) {
        return NCR_WS_MORE;
    }

    if (ws->utf8) {
        return ncr_ws_bad(ws, NCR_WS_INVALID, "a text is not UTF-8");
    }

    ws->opcode = ws->message;
    ws->message = 0;

    return NCR_WS_MESSAGE;
}


/* 5.5.1: nothing follows it */

static ncr_ws_event_e
ncr_ws_closed(ncr_ws_t *ws)
{
    ws->code = NCR_WS_NO_CODE;
    ws->utf8 = 0;

    if (ws->ncontrol) {

        if (ws->ncontrol == 1) {
            return ncr_ws_bad(ws, NCR_WS_PROTOCOL, "half of a close code");
        }

        ws->code = ((ncr_uint_t) ws->control[0] << 8) | ws->control[1];

        if (!ncr_ws_close_code(ws->code)) {
            return ncr_ws_bad(ws, NCR_WS_PROTOCOL, "an invalid close code");
        }

        if (ncr_ws_utf8(ws, ws->control + 2, ws->ncontrol - 2) != NCR_OK
            || ws->utf8)
        {
            return ncr_ws_bad(ws, NCR_WS_INVALID, "a reason is not UTF-8");
        }
    }

    ws->state = NCR_WS_DEAD;
    ws->closed = 1;

    return NCR_WS_FRAME;
}


/* those that may be sent: 7.4, and what was registered later */

static ncr_uint_t
ncr_ws_close_code(ncr_uint_t code)
{
    return (code >= 1000 && code <= 1003)
           || (code >= 1007 && code <= 1014)
           || (code >= 3000 && code <= 4999);
}


static ncr_ws_event_e
ncr_ws_bad(ncr_ws_t *ws, ncr_uint_t code, const char *error)
{
    ws->state = NCR_WS_DEAD;
    ws->code = code;
    ws->error = error;

    return NCR_WS_BAD;
}


size_t
ncr_ws_head(ncr_char_t *p, ncr_uint_t opcode, uint64_t len,
    const ncr_char_t *mask)
{
    size_t      n, i;
    ncr_char_t  bit;

    bit = mask ? 0x80 : 0;
    p[0] = (ncr_char_t) (0x80 | opcode);

    if (len < 126) {
        p[1] = (ncr_char_t) (bit | len);
        n = 2;

    } else if (len < 65536) {
        p[1] = bit | 126;
        n = 4;

    } else {
        p[1] = bit | 127;
        n = 10;
    }

    for (i = n; i > 2; i--) {
        p[i - 1] = (ncr_char_t) len;
        len >>= 8;
    }

    if (mask) {
        memcpy(p + n, mask, 4);
        n += 4;
    }

    return n;
}


void
ncr_ws_mask(ncr_char_t *p, size_t len, const ncr_char_t *mask)
{
    ncr_uint_t  turn;

    turn = 0;

    ncr_ws_unmask(p, len, mask, &turn);
}


size_t
ncr_ws_close(ncr_char_t *p, ncr_uint_t code, const char *reason)
{
    size_t  len;

    len = strlen(reason);
    len = ncr_min(len, NCR_WS_CONTROL - 2);

    p[0] = (ncr_char_t) (code >> 8);
    p[1] = (ncr_char_t) code;
    memcpy(p + 2, reason, len);

    return 2 + len;
}


/* 5.3; a mask is its own inverse */

static void
ncr_ws_unmask(ncr_char_t *p, size_t len, const ncr_char_t *mask,
    ncr_uint_t *turn)
{
    size_t      i;
    uint64_t    word, key;
    ncr_char_t  keys[8];

    for (i = 0; i < 8; i++) {
        keys[i] = mask[(*turn + i) & 3];
    }

    memcpy(&key, keys, 8);

    for (i = 0; len - i >= 8; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= key;
        memcpy(p + i, &word, 8);
    }

    for ( /* void */ ; i < len; i++) {
        p[i] ^= keys[i & 7];
    }

    *turn = (*turn + len) & 3;
}


/* RFC 3629: no surrogates, nothing longer than it need be */

static ncr_int_t
ncr_ws_utf8(ncr_ws_t *ws, ncr_char_t *p, size_t len)
{
    uint64_t     word;
    ncr_char_t  *last;

    last = p + len;

    while (p < last) {

        if (ws->utf8) {

            if (*p < ws->least || *p > ws->most) {
                return NCR_BAD;
            }

            ws->least = 0x80;
            ws->most = 0xbf;
            ws->utf8--;
            p++;
            continue;
        }

        while (last - p >= 8) {
            memcpy(&word, p, 8);

            if (word & UINT64_C(0x8080808080808080)) {
                break;
            }

            p += 8;
        }

        if (p == last) {
            break;
        }

        if (*p >= 0x80 && ncr_ws_utf8_lead(ws, *p) != NCR_OK) {
            return NCR_BAD;
        }

        p++;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_ws_utf8_lead(ncr_ws_t *ws, ncr_char_t c)
{
    ws->least = 0x80;
    ws->most = 0xbf;

    if (c >= 0xc2 && c <= 0xdf) {
        ws->utf8 = 1;

    } else if (c >= 0xe0 && c <= 0xef) {
        ws->utf8 = 2;
        ws->least = (c == 0xe0) ? 0xa0 : 0x80;
        ws->most = (c == 0xed) ? 0x9f : 0xbf;

    } else if (c >= 0xf0 && c <= 0xf4) {
        ws->utf8 = 3;
        ws->least = (c == 0xf0) ? 0x90 : 0x80;
        ws->most = (c == 0xf4) ? 0x8f : 0xbf;

    } else {
        return NCR_BAD;
    }

    return NCR_OK;
}
