
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_card.h"


#define NCR_CARD_CHARS  12


static void ncr_card_print(ncr_char_t *dst, const ncr_char_t *chars);


/* without I, O, 0 and 1; 32 of them, so that a byte has no preference */

static const char  ncr_card_alphabet[] = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";


void
ncr_card_code(ncr_char_t *dst, const ncr_char_t *random)
{
    ncr_char_t  chars[NCR_CARD_CHARS];
    ncr_uint_t  i;

    for (i = 0; i < NCR_CARD_CHARS; i++) {
        chars[i] = (ncr_char_t) ncr_card_alphabet[random[i] & 31];
    }

    ncr_card_print(dst, chars);
}


static void
ncr_card_print(ncr_char_t *dst, const ncr_char_t *chars)
{
    ncr_uint_t  i;

    *dst++ = 'C';
    *dst++ = 'C';

    for (i = 0; i < NCR_CARD_CHARS; i++) {

        if (i % 4 == 0) {
            *dst++ = '_';
        }

        *dst++ = chars[i];
    }
}


ncr_int_t
ncr_card_read(ncr_char_t *dst, ncr_str_t *text)
{
    size_t      i;
    ncr_char_t  c, chars[NCR_CARD_CHARS + 2];
    ncr_uint_t  n, skip;

    n = 0;

    for (i = 0; i < text->len; i++) {

        c = text->data[i];

        if (c == '_' || c == '-' || c == ' ') {
            continue;
        }

        if (c >= 'a' && c <= 'z') {
            c = (ncr_char_t) (c - 'a' + 'A');
        }

        if (n == NCR_CARD_CHARS + 2 || c == '\0'
            || strchr(ncr_card_alphabet, c) == NULL)
        {
            return NCR_BAD;
        }

        chars[n++] = c;
    }

    skip = n - NCR_CARD_CHARS;

    if (n < NCR_CARD_CHARS || skip == 1
        || (skip == 2 && (chars[0] != 'C' || chars[1] != 'C')))
    {
        return NCR_BAD;
    }

    ncr_card_print(dst, chars + skip);

    return NCR_OK;
}
