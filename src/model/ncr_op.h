
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What is to be known of an operation, whoever serves it. */


#ifndef _NCR_OP_H_INCLUDED_
#define _NCR_OP_H_INCLUDED_


#include "ncr_model.h"


#define NCR_OP_SCANNED   0x01           /* its body is read on its way */
#define NCR_OP_BILLED    0x02           /* its answer tells usage */
#define NCR_OP_EVENTS    0x04           /* a stream of it has a last event,
                                           and its first may be an error */
#define NCR_OP_LOCAL     0x08           /* answered here */
#define NCR_OP_FREE      0x10           /* counts, asks: of no limit of tokens
                                           or concurrency */
#define NCR_OP_LISTS     0x20           /* objects that lie with an account */


typedef struct {
    ncr_str_t      name;                /* of logs and records */
    ncr_dialect_e  dialect;
    ncr_uint_t     flags;
} ncr_op_traits_t;


extern const ncr_op_traits_t  ncr_ops[NCR_OPS];

#define ncr_op_is(op, flag)  ((ncr_ops[op].flags & (flag)) != 0)

/* for the masks of platforms: there are more than 31 */
#define ncr_op_bit(op)       ((uint64_t) 1 << (op))


/* "anthropic", for logs */
ncr_str_t ncr_dialect_name(ncr_dialect_e dialect);


#endif /* _NCR_OP_H_INCLUDED_ */
