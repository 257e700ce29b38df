
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_sse.h"


#define NCR_SSE_LF    '\n'
#define NCR_SSE_CR    '\r'

/* around the name in sse->skip */

#define NCR_SSE_EVENT       "event: "
#define NCR_SSE_DATA        "\ndata:"
#define NCR_SSE_EVENT_LEN   (sizeof(NCR_SSE_EVENT) - 1)
#define NCR_SSE_DATA_LEN    (sizeof(NCR_SSE_DATA) - 1)


typedef enum {
    NCR_SSE_ST_START = 0,               /* a byte order mark may follow */
    NCR_SSE_ST_BOM_2,
    NCR_SSE_ST_BOM_3,
    NCR_SSE_ST_LINE,                    /* at the start of a line */
    NCR_SSE_ST_DATA,                    /* in the field name "data" */
    NCR_SSE_ST_DATA_SPACE,              /* after "data:" */
    NCR_SSE_ST_DATA_VALUE,
    NCR_SSE_ST_EVENT,
    NCR_SSE_ST_EVENT_SPACE,
    NCR_SSE_ST_EVENT_VALUE,
    NCR_SSE_ST_SKIP                     /* to the end of the line */
} ncr_sse_state_e;


/*
 * The next LF and CR of the chunk, found when the last ones are passed, so
 * that a chunk is searched for each once, whatever ends its lines.
 */

typedef struct {
    ncr_char_t  *last;
    ncr_char_t  *lf;
    ncr_char_t  *cr;
} ncr_sse_ends_t;


static ncr_int_t ncr_sse_chunk(ncr_sse_t *sse, ncr_char_t *p,
    ncr_char_t *last);
static ncr_char_t *ncr_sse_skip(ncr_sse_t *sse, ncr_sse_ends_t *ends,
    ncr_char_t *p);
static ncr_char_t *ncr_sse_bom(ncr_sse_t *sse, ncr_char_t *p);
static ncr_char_t *ncr_sse_line(ncr_sse_t *sse, ncr_char_t *p,
    ncr_char_t *last);
static ncr_char_t *ncr_sse_field(ncr_sse_t *sse, ncr_char_t *p);
static ncr_char_t *ncr_sse_end(ncr_sse_ends_t *ends, ncr_char_t *p);
static void ncr_sse_value(ncr_sse_t *sse);
static void ncr_sse_name(ncr_sse_t *sse, ncr_char_t *p, size_t len);
static void ncr_sse_data(ncr_sse_t *sse, ncr_char_t *p, size_t len,
    ncr_uint_t end);
static ncr_uint_t ncr_sse_want(ncr_sse_t *sse, ncr_str_t *head);
static void ncr_sse_append(ncr_sse_t *sse, ncr_char_t *p, size_t len);
static void ncr_sse_keep(ncr_sse_t *sse);
static ncr_int_t ncr_sse_blank(ncr_sse_t *sse);


void
ncr_sse_init(ncr_sse_t *sse)
{
    memset(sse, 0, offsetof(ncr_sse_t, name));

    sse->line_start = 1;
}


ncr_int_t
ncr_sse_feed(ncr_sse_t *sse, ncr_char_t *p, size_t len)
{
    ncr_int_t  rc;

    if (len == 0) {
        return NCR_OK;
    }

    rc = ncr_sse_chunk(sse, p, p + len);

    if (sse->line != NULL) {
        ncr_sse_keep(sse);
    }

    return rc;
}


ncr_uint_t
ncr_sse_boundary(ncr_sse_t *sse)
{
    return sse->line_start
           && (sse->state == NCR_SSE_ST_LINE
               || sse->state == NCR_SSE_ST_START);
}


static ncr_int_t
ncr_sse_chunk(ncr_sse_t *sse, ncr_char_t *p, ncr_char_t *last)
{
    ncr_int_t        rc;
    ncr_char_t      *end;
    ncr_uint_t       ended;
    ncr_sse_ends_t   ends;

    ends.last = last;
    ends.lf = NULL;
    ends.cr = NULL;

    while (p < last) {

        switch (sse->state) {

        case NCR_SSE_ST_START:
        case NCR_SSE_ST_BOM_2:
        case NCR_SSE_ST_BOM_3:
            p = ncr_sse_bom(sse, p);
            continue;

        case NCR_SSE_ST_LINE:

            if (sse->nskip && sse->line_start) {
                p = ncr_sse_skip(sse, &ends, p);

                if (p == last) {
                    return NCR_OK;
                }
            }

            if (*p == NCR_SSE_LF && sse->cr) {
                sse->cr = 0;
                p++;
                continue;
            }

            sse->cr = 0;

            if (*p == NCR_SSE_LF || *p == NCR_SSE_CR) {
                sse->cr = (*p++ == NCR_SSE_CR);

                rc = ncr_sse_blank(sse);

                if (rc != NCR_OK) {
                    return rc;
                }

                continue;
            }

            p = ncr_sse_line(sse, p, last);
            continue;

        case NCR_SSE_ST_DATA:
        case NCR_SSE_ST_EVENT:
            p = ncr_sse_field(sse, p);
            continue;

        case NCR_SSE_ST_DATA_SPACE:
        case NCR_SSE_ST_EVENT_SPACE:
            sse->state++;

            if (*p == ' ') {
                p++;
            }

            continue;

        default: /* DATA_VALUE, EVENT_VALUE, SKIP */
            break;
        }

        end = ncr_sse_end(&ends, p);
        ended = (end < last);

        if (sse->state == NCR_SSE_ST_DATA_VALUE) {
            ncr_sse_data(sse, p, (size_t) (end - p), ended);

        } else if (sse->state == NCR_SSE_ST_EVENT_VALUE) {
            ncr_sse_name(sse, p, (size_t) (end - p));
        }

        p = end;

        if (ended) {
            sse->cr = (*p++ == NCR_SSE_CR);
            sse->state = NCR_SSE_ST_LINE;
        }
    }

    return NCR_OK;
}


/*
 * Most of a stream: events of one line of data and a name that is never
 * wanted.  Those that are not whole, or have a CR, are left to the others.
 */

static ncr_char_t *
ncr_sse_skip(ncr_sse_t *sse, ncr_sse_ends_t *ends, ncr_char_t *p)
{
    size_t       n;
    ncr_char_t  *lf, *last;

    n = sse->nskip;
    last = ends->last;

    while ((size_t) (last - p) > n + 1 && memcmp(p, sse->skip, n) == 0) {

        lf = memchr(p + n, NCR_SSE_LF, (size_t) (last - p) - n - 1);

        if (lf == NULL || lf[1] != NCR_SSE_LF) {
            break;
        }

        if (ends->cr == NULL || ends->cr < p) {
            ends->cr = memchr(p, NCR_SSE_CR, (size_t) (last - p));

            if (ends->cr == NULL) {
                ends->cr = last;
            }
        }

        if (ends->cr < lf) {
            break;
        }

        sse->events++;
        sse->cr = 0;

        p = lf + 2;
    }

    return p;
}


static ncr_char_t *
ncr_sse_bom(ncr_sse_t *sse, ncr_char_t *p)
{
    static const ncr_char_t  bom[] = { 0xEF, 0xBB, 0xBF };

    if (*p == bom[sse->state - NCR_SSE_ST_START]) {
        sse->state++;
        return p + 1;
    }

    if (sse->state == NCR_SSE_ST_START) {
        sse->state = NCR_SSE_ST_LINE;

    } else {

        /* it was the start of a strange field name */

        sse->state = NCR_SSE_ST_SKIP;
        sse->line_start = 0;
    }

    return p;
}


/* a line that is not blank starts at p */

static ncr_char_t *
ncr_sse_line(ncr_sse_t *sse, ncr_char_t *p, ncr_char_t *last)
{
    sse->matched = 0;

    if (*p == ':') {
        sse->comment = 1;
        sse->state = NCR_SSE_ST_SKIP;
        return p;
    }

    sse->line_start = 0;

    if (*p == 'd') {
        sse->state = NCR_SSE_ST_DATA;

        if (last - p >= 6 && memcmp(p, "data: ", 6) == 0) {
            ncr_sse_value(sse);
            sse->state = NCR_SSE_ST_DATA_VALUE;
            p += 6;
        }

    } else if (*p == 'e') {
        sse->state = NCR_SSE_ST_EVENT;

        if (last - p >= 7 && memcmp(p, "event: ", 7) == 0) {
            ncr_sse_value(sse);
            sse->state = NCR_SSE_ST_EVENT_VALUE;
            p += 7;
        }

    } else {
        sse->state = NCR_SSE_ST_SKIP;
    }

    return p;
}


/* one byte of a field name that may be "data" or "event" */

static ncr_char_t *
ncr_sse_field(ncr_sse_t *sse, ncr_char_t *p)
{
    size_t       len;
    const char  *name;

    if (sse->state == NCR_SSE_ST_DATA) {
        name = "data";
        len = 4;

    } else {
        name = "event";
        len = 5;
    }

    if (sse->matched < len) {

        if (*p == (ncr_char_t) name[sse->matched]) {
            sse->matched++;
            return p + 1;
        }

        sse->state = NCR_SSE_ST_SKIP;
        return p;
    }

    if (*p == ':') {
        ncr_sse_value(sse);
        sse->state++;
        return p + 1;
    }

    if (*p == NCR_SSE_LF || *p == NCR_SSE_CR) {

        /* no colon: the value is empty */

        ncr_sse_value(sse);
        sse->state += 2;
        return p;
    }

    sse->state = NCR_SSE_ST_SKIP;

    return p;
}


/* the end of the line, or of the chunk */

static ncr_char_t *
ncr_sse_end(ncr_sse_ends_t *ends, ncr_char_t *p)
{
    size_t  n;

    n = (size_t) (ends->last - p);

    if (ends->lf == NULL || ends->lf < p) {
        ends->lf = memchr(p, NCR_SSE_LF, n);

        if (ends->lf == NULL) {
            ends->lf = ends->last;
        }
    }

    if (ends->cr == NULL || ends->cr < p) {
        ends->cr = memchr(p, NCR_SSE_CR, n);

        if (ends->cr == NULL) {
            ends->cr = ends->last;
        }
    }

    return ncr_min(ends->lf, ends->cr);
}


/* the value of the field in sse->state is about to start */

static void
ncr_sse_value(ncr_sse_t *sse)
{
    if (sse->state == NCR_SSE_ST_EVENT) {
        sse->nname = 0;
        return;
    }

    if (!sse->has_data) {
        sse->has_data = 1;
        sse->cut = 0;
        sse->events++;
        return;
    }

    sse->joined = 1;

    if (sse->wanted) {
        ncr_sse_keep(sse);
        ncr_sse_append(sse, (ncr_char_t *) "\n", 1);
    }
}


static void
ncr_sse_name(ncr_sse_t *sse, ncr_char_t *p, size_t len)
{
    len = ncr_min(len, NCR_SSE_NAME - sse->nname);

    memcpy(sse->name + sse->nname, p, len);
    sse->nname += len;
}


/* a piece of a data line; "end" if it is the last */

static void
ncr_sse_data(ncr_sse_t *sse, ncr_char_t *p, size_t len, ncr_uint_t end)
{
    size_t     n;
    ncr_str_t  head;

    if (!sse->asked) {

        head.data = p;
        head.len = ncr_min(len, NCR_SSE_HEAD);

        if (sse->nhead || (head.len < NCR_SSE_HEAD && !end)) {
            n = ncr_min(len, NCR_SSE_HEAD - sse->nhead);

            memcpy(sse->head + sse->nhead, p, n);
            sse->nhead += n;
            p += n;
            len -= n;

            if (sse->nhead < NCR_SSE_HEAD && !end) {
                return;
            }

            head.data = sse->head;
            head.len = sse->nhead;
        }

        sse->asked = 1;
        sse->wanted = (ncr_sse_want(sse, &head) == NCR_SSE_YES);

        if (sse->wanted && sse->nhead) {
            ncr_sse_append(sse, sse->head, sse->nhead);
        }
    }

    if (!sse->wanted) {
        return;
    }

    if (end && sse->len == 0 && !sse->cut && !sse->joined) {
        sse->line = p;
        sse->nline = len;
        return;
    }

    ncr_sse_append(sse, p, len);
}


static ncr_uint_t
ncr_sse_want(ncr_sse_t *sse, ncr_str_t *head)
{
    size_t       n;
    ncr_str_t    name;
    ncr_uint_t   answer;
    ncr_char_t  *p;

    if (sse->want == NULL) {
        return NCR_SSE_YES;
    }

    n = sse->nname;

    if (sse->nskip == NCR_SSE_EVENT_LEN + n + NCR_SSE_DATA_LEN
        && memcmp(sse->skip + NCR_SSE_EVENT_LEN, sse->name, n) == 0)
    {
        return NCR_SSE_NEVER;
    }

    name.data = sse->name;
    name.len = n;

    answer = sse->want(sse, &name, head);

    /* a name that is as long as this may have been cut */

    if (answer == NCR_SSE_NEVER && n > 0 && n < NCR_SSE_NAME) {
        p = sse->skip;

        memcpy(p, NCR_SSE_EVENT, NCR_SSE_EVENT_LEN);
        memcpy(p + NCR_SSE_EVENT_LEN, sse->name, n);
        memcpy(p + NCR_SSE_EVENT_LEN + n, NCR_SSE_DATA, NCR_SSE_DATA_LEN);

        sse->nskip = NCR_SSE_EVENT_LEN + n + NCR_SSE_DATA_LEN;
    }

    return answer;
}


static void
ncr_sse_append(ncr_sse_t *sse, ncr_char_t *p, size_t len)
{
    size_t  room;

    if (sse->part != NULL) {
        sse->len += len;
        sse->part(sse, p, len);
        return;
    }

    room = sse->size - sse->len;

    if (len > room) {
        len = room;
        sse->cut = 1;
    }

    if (len) {
        memcpy(sse->buf + sse->len, p, len);
        sse->len += len;
    }
}


/* saves a line that was only pointed to */

static void
ncr_sse_keep(ncr_sse_t *sse)
{
    if (sse->line != NULL) {
        ncr_sse_append(sse, sse->line, sse->nline);
        sse->line = NULL;
    }
}


static ncr_int_t
ncr_sse_blank(ncr_sse_t *sse)
{
    ncr_int_t   rc;
    ncr_str_t   name, payload;

    rc = NCR_OK;

    if (sse->wanted && sse->event != NULL) {

        name.data = sse->name;
        name.len = sse->nname;

        if (sse->line != NULL) {
            payload.data = sse->line;
            payload.len = sse->nline;

        } else {
            payload.data = sse->buf;
            payload.len = sse->part ? 0 : sse->len;
        }

        rc = sse->event(sse, &name, &payload);
    }

    sse->line_start = 1;
    sse->asked = 0;
    sse->wanted = 0;
    sse->has_data = 0;
    sse->joined = 0;
    sse->line = NULL;
    sse->len = 0;
    sse->nhead = 0;
    sse->nname = 0;

    return rc;
}
