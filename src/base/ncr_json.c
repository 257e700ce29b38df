
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_json.h"
#include "ncr_json_block.h"


/* the private flags in json->utf8: what the next byte must be */

#define NCR_JSON_REST     0x07          /* a continuation byte each bit */
#define NCR_JSON_AFTER_E0 0x08          /* A0..BF: not overlong */
#define NCR_JSON_AFTER_ED 0x10          /* 80..9F: no surrogate */
#define NCR_JSON_AFTER_F0 0x20          /* 90..BF: not overlong */
#define NCR_JSON_AFTER_F4 0x40          /* 80..8F: not over U+10FFFF */


/* the order matters: what a quote may begin is first, numbers are last */

typedef enum {
    NCR_JSON_ST_VALUE = 0,
    NCR_JSON_ST_FIRST_ITEM,             /* after "[" */
    NCR_JSON_ST_FIRST_NAME,             /* after "{" */
    NCR_JSON_ST_NAME,
    NCR_JSON_ST_COLON,
    NCR_JSON_ST_NEXT,                   /* after a value in a container */
    NCR_JSON_ST_END,
    NCR_JSON_ST_IN_KEY,
    NCR_JSON_ST_IN_STRING,
    NCR_JSON_ST_IN_LITERAL,
    NCR_JSON_ST_MINUS,
    NCR_JSON_ST_ZERO,
    NCR_JSON_ST_INT,
    NCR_JSON_ST_DOT,
    NCR_JSON_ST_FRACTION,
    NCR_JSON_ST_E,
    NCR_JSON_ST_E_SIGN,
    NCR_JSON_ST_EXPONENT,
    NCR_JSON_ST_NUMBER_END,
    NCR_JSON_ST_NUMBER_BAD
} ncr_json_state_e;


/* what a byte outside of tokens is */

typedef enum {
    NCR_JSON_C_OTHER = 0,
    NCR_JSON_C_SPACE,
    NCR_JSON_C_QUOTE,
    NCR_JSON_C_COLON,
    NCR_JSON_C_COMMA,
    NCR_JSON_C_OBJECT,
    NCR_JSON_C_OBJECT_END,
    NCR_JSON_C_ARRAY,
    NCR_JSON_C_ARRAY_END,
    NCR_JSON_C_SCALAR,                  /* what these begin with */
    NCR_JSON_CLASSES
} ncr_json_class_e;


/* and what it does in a state */

typedef enum {
    NCR_JSON_DO_FAIL = 0,
    NCR_JSON_DO_SKIP,
    NCR_JSON_DO_QUOTE,
    NCR_JSON_DO_COLON,
    NCR_JSON_DO_COMMA,
    NCR_JSON_DO_OBJECT,
    NCR_JSON_DO_ARRAY,
    NCR_JSON_DO_CLOSE,
    NCR_JSON_DO_SCALAR
} ncr_json_action_e;


static ncr_char_t *ncr_json_structure(ncr_json_t *json, ncr_char_t *p,
    ncr_char_t *last);
static inline ncr_char_t *ncr_json_quote(ncr_json_t *json, ncr_char_t *p,
    ncr_char_t *last);
static inline void ncr_json_start(ncr_json_t *json, ncr_char_t *p);
static ncr_char_t *ncr_json_scalar(ncr_json_t *json, ncr_char_t *p);
static inline ncr_char_t *ncr_json_open(ncr_json_t *json, ncr_char_t *p,
    ncr_json_token_e token);
static inline ncr_char_t *ncr_json_close(ncr_json_t *json, ncr_char_t *p);
static ncr_char_t *ncr_json_string(ncr_json_t *json, ncr_char_t *p,
    ncr_char_t *last);
static inline ncr_char_t *ncr_json_string_end(ncr_json_t *json,
    ncr_char_t *p);
static ncr_char_t *ncr_json_literal(ncr_json_t *json, ncr_char_t *p,
    ncr_char_t *last);
static ncr_char_t *ncr_json_number(ncr_json_t *json, ncr_char_t *p,
    ncr_char_t *last);
static ncr_uint_t ncr_json_number_next(ncr_uint_t state, ncr_char_t c);
static ncr_char_t *ncr_json_text(ncr_json_t *json, ncr_json_token_e token,
    ncr_char_t *p, size_t quote);
static inline ncr_char_t *ncr_json_emit(ncr_json_t *json,
    ncr_json_token_e token, ncr_char_t *p);
static ncr_char_t *ncr_json_fail(ncr_json_t *json, ncr_char_t *p,
    const char *error);
static void ncr_json_keep(ncr_json_t *json, ncr_char_t *last);
static void ncr_json_trim(ncr_json_t *json);
static ncr_int_t ncr_json_hex4(ncr_char_t *p, ncr_char_t *last,
    uint32_t *value);
static ncr_char_t *ncr_json_unescape_one(ncr_char_t **dst, ncr_char_t *p,
    ncr_char_t *last);
static ncr_char_t *ncr_json_encode(ncr_char_t *dst, uint32_t c);


static const ncr_char_t  ncr_json_classes[256] = {
    [' '] = NCR_JSON_C_SPACE,
    ['\t'] = NCR_JSON_C_SPACE,
    ['\n'] = NCR_JSON_C_SPACE,
    ['\r'] = NCR_JSON_C_SPACE,
    ['"'] = NCR_JSON_C_QUOTE,
    [':'] = NCR_JSON_C_COLON,
    [','] = NCR_JSON_C_COMMA,
    ['{'] = NCR_JSON_C_OBJECT,
    ['}'] = NCR_JSON_C_OBJECT_END,
    ['['] = NCR_JSON_C_ARRAY,
    [']'] = NCR_JSON_C_ARRAY_END,
    ['t'] = NCR_JSON_C_SCALAR,
    ['f'] = NCR_JSON_C_SCALAR,
    ['n'] = NCR_JSON_C_SCALAR,
    ['-'] = NCR_JSON_C_SCALAR,
    ['0'] = NCR_JSON_C_SCALAR,
    ['1'] = NCR_JSON_C_SCALAR,
    ['2'] = NCR_JSON_C_SCALAR,
    ['3'] = NCR_JSON_C_SCALAR,
    ['4'] = NCR_JSON_C_SCALAR,
    ['5'] = NCR_JSON_C_SCALAR,
    ['6'] = NCR_JSON_C_SCALAR,
    ['7'] = NCR_JSON_C_SCALAR,
    ['8'] = NCR_JSON_C_SCALAR,
    ['9'] = NCR_JSON_C_SCALAR
};


/* what is not told fails */

static const ncr_char_t  ncr_json_actions[][NCR_JSON_CLASSES] = {

    [NCR_JSON_ST_VALUE] = {
        [NCR_JSON_C_SPACE] = NCR_JSON_DO_SKIP,
        [NCR_JSON_C_QUOTE] = NCR_JSON_DO_QUOTE,
        [NCR_JSON_C_OBJECT] = NCR_JSON_DO_OBJECT,
        [NCR_JSON_C_ARRAY] = NCR_JSON_DO_ARRAY,
        [NCR_JSON_C_SCALAR] = NCR_JSON_DO_SCALAR
    },

    [NCR_JSON_ST_FIRST_ITEM] = {
        [NCR_JSON_C_SPACE] = NCR_JSON_DO_SKIP,
        [NCR_JSON_C_QUOTE] = NCR_JSON_DO_QUOTE,
        [NCR_JSON_C_OBJECT] = NCR_JSON_DO_OBJECT,
        [NCR_JSON_C_ARRAY] = NCR_JSON_DO_ARRAY,
        [NCR_JSON_C_ARRAY_END] = NCR_JSON_DO_CLOSE,
        [NCR_JSON_C_SCALAR] = NCR_JSON_DO_SCALAR
    },

    [NCR_JSON_ST_FIRST_NAME] = {
        [NCR_JSON_C_SPACE] = NCR_JSON_DO_SKIP,
        [NCR_JSON_C_QUOTE] = NCR_JSON_DO_QUOTE,
        [NCR_JSON_C_OBJECT_END] = NCR_JSON_DO_CLOSE
    },

    [NCR_JSON_ST_NAME] = {
        [NCR_JSON_C_SPACE] = NCR_JSON_DO_SKIP,
        [NCR_JSON_C_QUOTE] = NCR_JSON_DO_QUOTE
    },

    [NCR_JSON_ST_COLON] = {
        [NCR_JSON_C_SPACE] = NCR_JSON_DO_SKIP,
        [NCR_JSON_C_COLON] = NCR_JSON_DO_COLON
    },

    /* which of the two brackets closes, the container tells */

    [NCR_JSON_ST_NEXT] = {
        [NCR_JSON_C_SPACE] = NCR_JSON_DO_SKIP,
        [NCR_JSON_C_COMMA] = NCR_JSON_DO_COMMA,
        [NCR_JSON_C_OBJECT_END] = NCR_JSON_DO_CLOSE,
        [NCR_JSON_C_ARRAY_END] = NCR_JSON_DO_CLOSE
    },

    [NCR_JSON_ST_END] = {
        [NCR_JSON_C_SPACE] = NCR_JSON_DO_SKIP
    }
};


/*
 * The bytes where UTF-8 breaks.  Lead bytes shifted left tell where
 * continuation bytes have to be; where they are not, or are unasked for, or
 * come in a forbidden range after E0, ED, F0 and F4, is an error.  The state
 * goes from block to block; a block that is filled up in front has its first
 * byte at bit "pad".
 */

static uint64_t
ncr_json_utf8(const ncr_json_block_t *b, size_t pad, uint32_t *state)
{
    uint64_t  high, rest, c2, e0, f0, f5, two, three, four, want, bad;
    uint64_t  lead_e0, lead_ed, lead_f0, lead_f4, low90, lowa0, in, out;

    high = ncr_json_less(b, 0);
    rest = ncr_json_less(b, 0xC0 - 256);
    c2 = ncr_json_less(b, 0xC2 - 256);
    e0 = ncr_json_less(b, 0xE0 - 256);
    f0 = ncr_json_less(b, 0xF0 - 256);
    f5 = ncr_json_less(b, 0xF5 - 256);

    four = f5 & ~f0;
    three = four | (f0 & ~e0);
    two = three | (e0 & ~c2);

    in = *state;

    want = two << 1 | three << 2 | four << 3 | (in & NCR_JSON_REST) << pad;
    bad = (want ^ rest) | (c2 & ~rest) | (high & ~f5);

    out = two >> 63 | three >> 62 | four >> 61
          | (pad ? (in & NCR_JSON_REST) >> (NCR_JSON_BLOCK - pad) : 0);

    if (three | (in & ~(uint64_t) NCR_JSON_REST)) {

        lead_e0 = ncr_json_equal(b, 0xE0);
        lead_ed = ncr_json_equal(b, 0xED);
        lead_f0 = ncr_json_equal(b, 0xF0);
        lead_f4 = ncr_json_equal(b, 0xF4);

        low90 = ncr_json_less(b, 0x90 - 256);
        lowa0 = ncr_json_less(b, 0xA0 - 256);

        bad |= (lead_e0 << 1 | (in >> 3 & 1) << pad) & lowa0;
        bad |= (lead_ed << 1 | (in >> 4 & 1) << pad) & ~lowa0;
        bad |= (lead_f0 << 1 | (in >> 5 & 1) << pad) & low90;
        bad |= (lead_f4 << 1 | (in >> 6 & 1) << pad) & ~low90;

        out |= (lead_e0 >> 63) * NCR_JSON_AFTER_E0
               | (lead_ed >> 63) * NCR_JSON_AFTER_ED
               | (lead_f0 >> 63) * NCR_JSON_AFTER_F0
               | (lead_f4 >> 63) * NCR_JSON_AFTER_F4;
    }

    *state = (uint32_t) out;

    return bad;
}


void
ncr_json_init(ncr_json_t *json)
{
    memset(json, 0, sizeof(ncr_json_t));

    json->max_depth = NCR_JSON_MAX_DEPTH;

#if (NCR_JSON_AVX2)
    json->avx2 = (__builtin_cpu_supports("avx2")
                  && __builtin_cpu_supports("bmi"));
#endif
}


void
ncr_json_begin(ncr_json_t *json, void *data, ncr_json_token_pt token,
    ncr_uint_t report, ncr_char_t *keep, size_t size)
{
    ncr_json_init(json);

    json->data = data;
    json->token = token;
    json->report = report;
    json->keep = keep;
    json->size = size;
}


ncr_int_t
ncr_json_feed(ncr_json_t *json, ncr_char_t *p, size_t len)
{
    ncr_char_t  *last;

    if (json->rc != NCR_OK) {
        return json->rc;
    }

    if (len) {
        last = p + len;
        json->chunk = p;

        do {
            if (json->state < NCR_JSON_ST_IN_KEY) {
                p = ncr_json_structure(json, p, last);

            } else if (json->state < NCR_JSON_ST_IN_LITERAL) {
                p = ncr_json_string(json, p, last);

            } else if (json->state == NCR_JSON_ST_IN_LITERAL) {
                p = ncr_json_literal(json, p, last);

            } else {
                p = ncr_json_number(json, p, last);
            }

            if (p == NULL) {
                return json->rc;
            }

        } while (p < last);

        if (json->state >= NCR_JSON_ST_IN_KEY) {
            ncr_json_keep(json, last);
        }

        json->fed += len;
    }

    return (json->state == NCR_JSON_ST_END) ? NCR_OK : NCR_AGAIN;
}


ncr_int_t
ncr_json_final(ncr_json_t *json)
{
    if (json->rc != NCR_OK) {
        return json->rc;
    }

    json->chunk = json->keep;

    if (json->depth == 0 && json->state >= NCR_JSON_ST_MINUS
        && ncr_json_number_next(json->state, ' ') == NCR_JSON_ST_NUMBER_END)
    {
        json->state = NCR_JSON_ST_END;
        json->text.data = json->keep;
        json->text.len = json->nkeep;

        (void) ncr_json_emit(json, NCR_JSON_NUMBER, json->chunk);

        return json->rc;
    }

    if (json->state != NCR_JSON_ST_END) {
        (void) ncr_json_fail(json, json->chunk, "unexpected end");
    }

    return json->rc;
}


/* all that is outside of tokens, and such strings as are short and plain */

static ncr_char_t *
ncr_json_structure(ncr_json_t *json, ncr_char_t *p, ncr_char_t *last)
{
    do {
        switch (ncr_json_actions[json->state][ncr_json_classes[*p]]) {

        case NCR_JSON_DO_SKIP:
            p++;
            continue;

        case NCR_JSON_DO_QUOTE:
            p = ncr_json_quote(json, p, last);
            break;

        case NCR_JSON_DO_COLON:
            json->state = NCR_JSON_ST_VALUE;
            p++;
            continue;

        case NCR_JSON_DO_COMMA:
            json->state = json->object ? NCR_JSON_ST_NAME : NCR_JSON_ST_VALUE;
            p++;
            continue;

        case NCR_JSON_DO_OBJECT:
            p = ncr_json_open(json, p, NCR_JSON_OBJECT);
            break;

        case NCR_JSON_DO_ARRAY:
            p = ncr_json_open(json, p, NCR_JSON_ARRAY);
            break;

        case NCR_JSON_DO_CLOSE:
            p = ncr_json_close(json, p);
            break;

        case NCR_JSON_DO_SCALAR:
            return ncr_json_scalar(json, p);

        default: /* NCR_JSON_DO_FAIL */
            return ncr_json_fail(json, p, "unexpected character");
        }

        if (p == NULL) {
            return NULL;
        }

    } while (p < last && json->state < NCR_JSON_ST_IN_KEY);

    return p;
}


/*
 * A string starts at p.  If it is short and plain it ends here, too, and so
 * do those that follow with nothing but a colon or a comma between them.
 */

static inline ncr_char_t *
ncr_json_quote(ncr_json_t *json, ncr_char_t *p, ncr_char_t *last)
{
    ncr_uint_t   key;
    ncr_char_t  *start, *end;

    key = (json->state >= NCR_JSON_ST_FIRST_NAME);

    do {
        start = p++;
        end = ncr_json_short(&p, last);

        if (end == NULL) {
            json->state = key ? NCR_JSON_ST_IN_KEY : NCR_JSON_ST_IN_STRING;
            ncr_json_start(json, start);

            return p;
        }

        /* there is at least one more byte, as ncr_json_short() wants it */

        p = end + 1;

        if (json->depth <= json->report) {
            ncr_json_start(json, start);

            json->text.data = start + 1;
            json->text.len = (size_t) (end - start - 1);

            if (ncr_json_emit(json, key ? NCR_JSON_KEY : NCR_JSON_STRING, p)
                == NULL)
            {
                return NULL;
            }
        }

        if (key) {

            if (*p != ':') {
                json->state = NCR_JSON_ST_COLON;
                return p;
            }

            json->state = NCR_JSON_ST_VALUE;
            key = 0;

        } else {

            if (*p != ',' || json->depth == 0) {
                json->state = json->depth ? NCR_JSON_ST_NEXT : NCR_JSON_ST_END;
                return p;
            }

            json->state = json->object ? NCR_JSON_ST_NAME : NCR_JSON_ST_VALUE;
            key = json->object;
        }

        p++;

    } while (p < last && *p == '"');

    return p;
}


/* a token with a text starts at p; one too deep to be told needs nothing */

static inline void
ncr_json_start(ncr_json_t *json, ncr_char_t *p)
{
    if (json->depth > json->report) {
        return;
    }

    json->start = json->fed + (uint64_t) (p - json->chunk);
    json->nkeep = 0;
    json->escaped = 0;
    json->cut = 0;
}


/* a number or a literal starts at p */

static ncr_char_t *
ncr_json_scalar(ncr_json_t *json, ncr_char_t *p)
{
    ncr_json_start(json, p);

    switch (*p) {

    case 't':
        json->literal = "rue";
        json->literal_token = NCR_JSON_TRUE;
        json->state = NCR_JSON_ST_IN_LITERAL;
        break;

    case 'f':
        json->literal = "alse";
        json->literal_token = NCR_JSON_FALSE;
        json->state = NCR_JSON_ST_IN_LITERAL;
        break;

    case 'n':
        json->literal = "ull";
        json->literal_token = NCR_JSON_NULL;
        json->state = NCR_JSON_ST_IN_LITERAL;
        break;

    case '-':
        json->state = NCR_JSON_ST_MINUS;
        break;

    case '0':
        json->state = NCR_JSON_ST_ZERO;
        break;

    default: /* 1 to 9 */
        json->state = NCR_JSON_ST_INT;
    }

    return p + 1;
}


static inline ncr_char_t *
ncr_json_open(ncr_json_t *json, ncr_char_t *p, ncr_json_token_e token)
{
    uint64_t    bit;
    ncr_uint_t  depth;

    depth = json->depth;

    if (depth >= json->max_depth || depth >= NCR_JSON_MAX_DEPTH) {
        return ncr_json_fail(json, p, "nesting too deep");
    }

    if (depth <= json->report) {
        ncr_json_start(json, p);
        ncr_str_null(&json->text);

        if (ncr_json_emit(json, token, p + 1) == NULL) {
            return NULL;
        }
    }

    bit = (uint64_t) 1 << (depth % 64);

    if (token == NCR_JSON_OBJECT) {
        json->stack[depth / 64] |= bit;
        json->object = 1;
        json->state = NCR_JSON_ST_FIRST_NAME;

    } else {
        json->stack[depth / 64] &= ~bit;
        json->object = 0;
        json->state = NCR_JSON_ST_FIRST_ITEM;
    }

    json->depth = depth + 1;

    return p + 1;
}


/* the bracket at p closes the innermost container, if it is of its kind */

static inline ncr_char_t *
ncr_json_close(ncr_json_t *json, ncr_char_t *p)
{
    ncr_uint_t        depth;
    ncr_json_token_e  token;

    token = json->object ? NCR_JSON_OBJECT_END : NCR_JSON_ARRAY_END;

    if (*p != (json->object ? '}' : ']')) {
        return ncr_json_fail(json, p, "unexpected character");
    }

    depth = --json->depth;

    if (depth) {
        json->state = NCR_JSON_ST_NEXT;
        json->object = (ncr_uint_t) (json->stack[(depth - 1) / 64]
                                     >> ((depth - 1) % 64) & 1);

    } else {
        json->state = NCR_JSON_ST_END;
    }

    if (depth > json->report) {
        return p + 1;
    }

    ncr_json_start(json, p);
    ncr_str_null(&json->text);

    return ncr_json_emit(json, token, p + 1);
}


/* what is left of a string, block by block; p is inside the quotes */

static ncr_char_t *
ncr_json_string(ncr_json_t *json, ncr_char_t *p, ncr_char_t *last)
{
    size_t             n, pad;
    uint32_t           utf8;
    uint64_t           slash, special, quote, before, bad, control;
    uint64_t           carry, seen;
    ncr_char_t         tail[NCR_JSON_BLOCK];
    ncr_json_block_t   b;

    seen = 0;
    pad = 0;
    utf8 = json->utf8;
    carry = json->quote_carry;

    do {
        n = (size_t) (last - p);

        if (n >= NCR_JSON_BLOCK) {
            n = NCR_JSON_BLOCK;
            ncr_json_load(&b, p);

        } else {

            /* filled up in front, so that carries still leave at the end */

            pad = NCR_JSON_BLOCK - n;
            memset(tail, ' ', NCR_JSON_BLOCK);
            memcpy(tail + pad, p, n);
            ncr_json_load(&b, tail);
            carry <<= pad;
        }

        slash = ncr_json_equal(&b, '\\');
        special = ncr_json_less(&b, ' ');
        quote = ncr_json_equal(&b, '"') & ~ncr_json_escaped(slash, &carry);

        /* the bytes before the closing quote, all if there is none */

        quote &= ~quote + 1;
        before = quote - 1;

        seen |= slash & before;
        special &= before;

        if (special | utf8) {
            bad = ncr_json_utf8(&b, pad, &utf8) & (before | quote);
            control = special & ~ncr_json_less(&b, 0);

            if (bad | control) {
                n = ncr_json_lowest(bad | control);

                return ncr_json_fail(json, p + n - pad,
                                     (bad >> n & 1) ? "invalid UTF-8"
                                           : "control character in a string");
            }
        }

        if (quote) {
            json->utf8 = 0;
            json->quote_carry = 0;
            json->escaped |= (seen != 0);

            return ncr_json_string_end(json,
                                       p + ncr_json_lowest(quote) - pad);
        }

        p += n;

#if (NCR_JSON_AVX2)

        if ((special | utf8) == 0 && json->avx2) {
            p = ncr_json_plain(p, last, &carry, &seen);
        }

#endif

    } while (p < last);

    json->utf8 = utf8;
    json->quote_carry = (ncr_uint_t) carry;
    json->escaped |= (seen != 0);

    return p;
}


/* p is at the closing quote */

static inline ncr_char_t *
ncr_json_string_end(ncr_json_t *json, ncr_char_t *p)
{
    ncr_json_token_e  token;

    if (json->state == NCR_JSON_ST_IN_KEY) {
        json->state = NCR_JSON_ST_COLON;
        token = NCR_JSON_KEY;

    } else {
        json->state = json->depth ? NCR_JSON_ST_NEXT : NCR_JSON_ST_END;
        token = NCR_JSON_STRING;
    }

    if (json->depth > json->report) {
        return p + 1;
    }

    return ncr_json_text(json, token, p, 1);
}


static ncr_char_t *
ncr_json_literal(ncr_json_t *json, ncr_char_t *p, ncr_char_t *last)
{
    do {
        if (*p != (ncr_char_t) *json->literal) {
            return ncr_json_fail(json, p, "unexpected character");
        }

        p++;

        if (*++json->literal == '\0') {
            json->state = json->depth ? NCR_JSON_ST_NEXT : NCR_JSON_ST_END;

            if (json->depth > json->report) {
                return p;
            }

            ncr_str_null(&json->text);

            return ncr_json_emit(json, json->literal_token, p);
        }

    } while (p < last);

    return p;
}


static ncr_char_t *
ncr_json_number(ncr_json_t *json, ncr_char_t *p, ncr_char_t *last)
{
    ncr_uint_t  state, next;

    state = json->state;

    if (state == NCR_JSON_ST_INT) {

        while (*p >= '0' && *p <= '9') {

            if (++p == last) {
                return p;
            }
        }
    }

    do {
        next = ncr_json_number_next(state, *p);

        if (next == NCR_JSON_ST_NUMBER_BAD) {
            return ncr_json_fail(json, p, "unexpected character");
        }

        if (next == NCR_JSON_ST_NUMBER_END) {
            json->state = json->depth ? NCR_JSON_ST_NEXT : NCR_JSON_ST_END;

            if (json->depth > json->report) {
                return p;
            }

            return ncr_json_text(json, NCR_JSON_NUMBER, p, 0);
        }

        state = next;

    } while (++p < last);

    json->state = state;

    return p;
}


static ncr_uint_t
ncr_json_number_next(ncr_uint_t state, ncr_char_t c)
{
    ncr_uint_t  digit;

    digit = (c >= '0' && c <= '9');

    switch (state) {

    case NCR_JSON_ST_MINUS:
        if (c == '0') {
            return NCR_JSON_ST_ZERO;
        }

        return digit ? NCR_JSON_ST_INT : NCR_JSON_ST_NUMBER_BAD;

    case NCR_JSON_ST_INT:
        if (digit) {
            return state;
        }

        /* fall through */

    case NCR_JSON_ST_ZERO:
        if (c == '.') {
            return NCR_JSON_ST_DOT;
        }

        return (c == 'e' || c == 'E') ? NCR_JSON_ST_E : NCR_JSON_ST_NUMBER_END;

    case NCR_JSON_ST_DOT:
        return digit ? NCR_JSON_ST_FRACTION : NCR_JSON_ST_NUMBER_BAD;

    case NCR_JSON_ST_FRACTION:
        if (digit) {
            return state;
        }

        return (c == 'e' || c == 'E') ? NCR_JSON_ST_E : NCR_JSON_ST_NUMBER_END;

    case NCR_JSON_ST_E:
        if (c == '+' || c == '-') {
            return NCR_JSON_ST_E_SIGN;
        }

        /* fall through */

    case NCR_JSON_ST_E_SIGN:
        return digit ? NCR_JSON_ST_EXPONENT : NCR_JSON_ST_NUMBER_BAD;

    default: /* NCR_JSON_ST_EXPONENT */
        return digit ? state : NCR_JSON_ST_NUMBER_END;
    }
}


/* a token with a text that is to be reported ends at p, quoted or not */

static ncr_char_t *
ncr_json_text(ncr_json_t *json, ncr_json_token_e token, ncr_char_t *p,
    size_t quote)
{
    if (json->start >= json->fed) {
        json->text.data = json->chunk + (json->start - json->fed) + quote;
        json->text.len = (size_t) (p - json->text.data);

    } else {
        ncr_json_keep(json, p);
        ncr_json_trim(json);
    }

    return ncr_json_emit(json, token, p + quote);
}


/*
 * A token that is to be reported ends before p, which is returned unless the
 * caller wants to stop.
 */

static inline ncr_char_t *
ncr_json_emit(ncr_json_t *json, ncr_json_token_e token, ncr_char_t *p)
{
    if (json->token == NULL) {
        return p;
    }

    json->end = json->fed + (uint64_t) (p - json->chunk);
    json->rc = json->token(json, token);

    return (json->rc == NCR_OK) ? p : NULL;
}


static ncr_char_t *
ncr_json_fail(ncr_json_t *json, ncr_char_t *p, const char *error)
{
    json->rc = NCR_BAD;
    json->error = error;
    json->offset = json->fed + (uint64_t) (p - json->chunk);

    return NULL;
}


/* saves the text of an unfinished token, which in this chunk ends at last */

static void
ncr_json_keep(ncr_json_t *json, ncr_char_t *last)
{
    size_t       n, room;
    ncr_char_t  *p;

    if (json->token == NULL || json->depth > json->report) {
        return;
    }

    p = json->chunk;

    if (json->start >= json->fed) {
        p += json->start - json->fed;

        if (json->state < NCR_JSON_ST_IN_LITERAL) {
            p++;
        }
    }

    n = (size_t) (last - p);
    room = json->size - json->nkeep;

    if (n > room) {
        n = room;
        json->cut = 1;
    }

    if (n) {
        memcpy(json->keep + json->nkeep, p, n);
        json->nkeep += n;
    }
}


/* the kept text; if it is cut, then not within an escape or a character */

static void
ncr_json_trim(ncr_json_t *json)
{
    size_t       i, n, len;
    ncr_char_t  *p;

    p = json->keep;
    len = json->nkeep;

    json->text.data = p;
    json->text.len = len;

    if (!json->cut) {
        return;
    }

    for (i = 0; i < len; i += n) {

        if (p[i] == '\\') {
            n = (i + 1 < len && p[i + 1] == 'u') ? 6 : 2;

        } else {
            n = (p[i] < 0xC0) ? 1 : (p[i] < 0xE0) ? 2 : (p[i] < 0xF0) ? 3 : 4;
        }

        if (i + n > len) {
            json->text.len = i;
            return;
        }
    }
}


ncr_int_t
ncr_json_unescape(ncr_str_t *dst, ncr_str_t *text)
{
    size_t       n;
    ncr_char_t  *d, *p, *q, *last;

    d = dst->data;

    if (text->len == 0) {
        dst->len = 0;
        return NCR_OK;
    }

    p = text->data;
    last = p + text->len;

    while (p < last) {
        q = memchr(p, '\\', (size_t) (last - p));

        n = (size_t) ((q ? q : last) - p);

        if (d != p) {
            memmove(d, p, n);
        }

        d += n;
        p += n;

        if (q != NULL) {
            p = ncr_json_unescape_one(&d, p, last);

            if (p == NULL) {
                return NCR_BAD;
            }
        }
    }

    dst->len = (size_t) (d - dst->data);

    return NCR_OK;
}


/* p is at the backslash; the result is after the escape, NULL if it is bad */

static ncr_char_t *
ncr_json_unescape_one(ncr_char_t **dst, ncr_char_t *p, ncr_char_t *last)
{
    uint32_t  c, low;

    static const ncr_char_t  escapes[256] = {
        ['"'] = '"', ['\\'] = '\\', ['/'] = '/', ['b'] = '\b',
        ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'
    };

    if (last - p < 2) {
        return NULL;
    }

    if (p[1] != 'u') {

        if (escapes[p[1]] == 0) {
            return NULL;
        }

        *(*dst)++ = escapes[p[1]];

        return p + 2;
    }

    if (ncr_json_hex4(p + 2, last, &c) != NCR_OK) {
        return NULL;
    }

    p += 6;

    if (c >= 0xD800 && c <= 0xDBFF
        && last - p >= 6 && p[0] == '\\' && p[1] == 'u'
        && ncr_json_hex4(p + 2, last, &low) == NCR_OK
        && low >= 0xDC00 && low <= 0xDFFF)
    {
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        p += 6;
    }

    if (c >= 0xD800 && c <= 0xDFFF) {
        c = 0xFFFD;
    }

    *dst = ncr_json_encode(*dst, c);

    return p;
}


static ncr_int_t
ncr_json_hex4(ncr_char_t *p, ncr_char_t *last, uint32_t *value)
{
    uint32_t    v, c;
    ncr_uint_t  i;

    if (last - p < 4) {
        return NCR_BAD;
    }

    v = 0;

    for (i = 0; i < 4; i++) {
        c = p[i];

        if (c >= '0' && c <= '9') {
            c -= '0';

        } else {
            c |= 0x20;

            if (c < 'a' || c > 'f') {
                return NCR_BAD;
            }

            c -= 'a' - 10;
        }

        v = v << 4 | c;
    }

    *value = v;

    return NCR_OK;
}


static ncr_char_t *
ncr_json_encode(ncr_char_t *dst, uint32_t c)
{
    if (c < 0x80) {
        *dst++ = (ncr_char_t) c;
        return dst;
    }

    if (c < 0x800) {
        *dst++ = (ncr_char_t) (0xC0 | c >> 6);
        *dst++ = (ncr_char_t) (0x80 | (c & 0x3F));
        return dst;
    }

    if (c < 0x10000) {
        *dst++ = (ncr_char_t) (0xE0 | c >> 12);

    } else {
        *dst++ = (ncr_char_t) (0xF0 | c >> 18);
        *dst++ = (ncr_char_t) (0x80 | (c >> 12 & 0x3F));
    }

    *dst++ = (ncr_char_t) (0x80 | (c >> 6 & 0x3F));
    *dst++ = (ncr_char_t) (0x80 | (c & 0x3F));

    return dst;
}


ncr_int_t
ncr_json_int(ncr_str_t *text, int64_t *value)
{
    size_t      i;
    uint64_t    v, max, digit;
    ncr_uint_t  minus, overflow;

    minus = (text->len && text->data[0] == '-');

    if (text->len == minus) {
        return NCR_DECLINED;
    }

    v = 0;
    overflow = 0;
    max = (uint64_t) INT64_MAX + minus;

    for (i = minus; i < text->len; i++) {

        if (text->data[i] < '0' || text->data[i] > '9') {
            return NCR_DECLINED;
        }

        digit = (uint64_t) (text->data[i] - '0');

        if (i > 17 && v > (max - digit) / 10) {
            overflow = 1;

        } else {
            v = v * 10 + digit;
        }
    }

    if (overflow) {
        return NCR_BAD;
    }

    *value = (minus && v) ? -1 - (int64_t) (v - 1) : (int64_t) v;

    return NCR_OK;
}
