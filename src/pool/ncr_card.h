
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Codes of quota cards: "CC_XXXX_XXXX_XXXX", X one of 32 characters that are
 * not mistaken for each other, so 60 bits.  Random bytes are an argument.
 */


#ifndef _NCR_CARD_H_INCLUDED_
#define _NCR_CARD_H_INCLUDED_


#include "ncr_base.h"


#define NCR_CARD_CODE    17             /* without a NUL */
#define NCR_CARD_RANDOM  12             /* bytes that one takes */


void ncr_card_code(ncr_char_t *dst, const ncr_char_t *random);

/*
 * A code as somebody has typed it: small letters, blanks and hyphens are
 * fine, "CC" may be missing.  NCR_OK: dst has it as it was printed; NCR_BAD.
 */
ncr_int_t ncr_card_read(ncr_char_t *dst, ncr_str_t *text);


#endif /* _NCR_CARD_H_INCLUDED_ */
