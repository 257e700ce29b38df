
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * WebSocket frames, RFC 6455, of one direction: bytes as they come, in pieces
 * of any size, are made messages and control frames; payload is freed of its
 * mask in place.  No extension is known.  And the way back: a frame's head
 * and mask.
 */


#ifndef _NCR_WS_H_INCLUDED_
#define _NCR_WS_H_INCLUDED_


#include "ncr_base.h"


/* opcodes, 5.2 */

#define NCR_WS_CONTINUATION  0
#define NCR_WS_TEXT          1
#define NCR_WS_BINARY        2
#define NCR_WS_CLOSE         8
#define NCR_WS_PING          9
#define NCR_WS_PONG          10


/* close codes, 7.4.1 */

#define NCR_WS_GOING_AWAY    1001
#define NCR_WS_PROTOCOL      1002
#define NCR_WS_UNSUPPORTED   1003
#define NCR_WS_NO_CODE       1005
#define NCR_WS_INVALID       1007
#define NCR_WS_POLICY        1008
#define NCR_WS_TOO_BIG       1009
#define NCR_WS_INTERNAL      1011


#define NCR_WS_HEAD          14
#define NCR_WS_CONTROL       125


typedef enum {
    NCR_WS_MORE = 0,                    /* all was taken */
    NCR_WS_DATA,                        /* data: of the message */
    NCR_WS_MESSAGE,                     /* the message is whole */
    NCR_WS_FRAME,                       /* a control frame, in control */
    NCR_WS_BAD                          /* code and error tell why */
} ncr_ws_event_e;


typedef struct {

    /* set after init */

    unsigned        masked:1;           /* frames must be; or must not */
    uint64_t        max;                /* bytes of a message; 0: any */

    /* what there is to tell */

    ncr_str_t       data;               /* slice of what was given */
    ncr_uint_t      opcode;             /* of the message, or control frame */
    ncr_char_t      control[NCR_WS_CONTROL + 3];
    size_t          ncontrol;
    ncr_uint_t      code;               /* of a fault, or of a close frame */
    const char     *error;

    /* private */

    unsigned        state:3;
    unsigned        fin:1;
    unsigned        closed:1;
    ncr_uint_t      frame;              /* opcode of this frame */
    ncr_uint_t      message;            /* of the open message, 0: none */
    ncr_char_t      head[NCR_WS_HEAD];
    size_t          nhead;
    size_t          wants;              /* bytes of head */
    ncr_char_t      mask[4];
    ncr_uint_t      turn;               /* of the mask's bytes */
    uint64_t        left;               /* of this frame */
    uint64_t        total;              /* of this message */
    ncr_uint_t      utf8;               /* bytes of a character to come */
    ncr_char_t      least;              /* bounds of the next of them */
    ncr_char_t      most;
} ncr_ws_t;


void ncr_ws_init(ncr_ws_t *ws);

/*
 * Takes bytes from *p on up to what there is to tell, and moves *p behind
 * them; to be called until it says NCR_WS_MORE.  After NCR_WS_BAD, and behind
 * a close frame, all that comes is passed over.
 */
ncr_ws_event_e ncr_ws_next(ncr_ws_t *ws, ncr_char_t **p, ncr_char_t *last);

/* 1 between two messages: a message of another source may be put in */
ncr_uint_t ncr_ws_boundary(ncr_ws_t *ws);

/* the head of an unfragmented frame; mask: 4 bytes, or NULL; its length */
size_t ncr_ws_head(ncr_char_t *p, ncr_uint_t opcode, uint64_t len,
    const ncr_char_t *mask);

/* payload from its first byte on */
void ncr_ws_mask(ncr_char_t *p, size_t len, const ncr_char_t *mask);

/* payload of a close frame (NCR_WS_CONTROL bytes at least); its length */
size_t ncr_ws_close(ncr_char_t *p, ncr_uint_t code, const char *reason);


#endif /* _NCR_WS_H_INCLUDED_ */
