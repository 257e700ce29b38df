
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The envelope is taken off answers as they pass (others.md C6, "Reply").
 * Nothing is kept of them but a key that a chunk has cut.
 */


#include "ncr_assist.h"
#include "ncr_str.h"


#define NCR_ASSIST_LINE    0            /* "data:" is looked for */
#define NCR_ASSIST_COLON   1            /* behind it: a space may follow */
#define NCR_ASSIST_DATA    2
#define NCR_ASSIST_OTHER   3            /* a line of no use */

#define NCR_ASSIST_RESPONSE  1
#define NCR_ASSIST_ERROR     2


static size_t ncr_assist_needs_body(ncr_op_e op, ncr_str_t *content_type,
    ncr_str_t *type);
static size_t ncr_assist_needs_events(ncr_op_e op, ncr_str_t *content_type,
    ncr_str_t *type);
static size_t ncr_assist_needs_array(ncr_op_e op, ncr_str_t *content_type,
    ncr_str_t *type);
static void ncr_assist_init_body(void *state, ncr_op_e op, ncr_str_t *model);
static void ncr_assist_init_events(void *state, ncr_op_e op,
    ncr_str_t *model);
static void ncr_assist_init_array(void *state, ncr_op_e op, ncr_str_t *model);
static ncr_int_t ncr_assist_feed(void *state, ncr_char_t *p, size_t len,
    ncr_translate_pt write, void *data);
static ncr_int_t ncr_assist_end(void *state, ncr_translate_pt write,
    void *data);
static ncr_int_t ncr_assist_unwrap_events(ncr_assist_unwrap_t *u,
    ncr_char_t *p, size_t len);
static ncr_char_t *ncr_assist_unwrap_line(ncr_assist_unwrap_t *u,
    ncr_char_t *p, ncr_char_t *last);
static ncr_int_t ncr_assist_unwrap_more(ncr_assist_unwrap_t *u);
static ncr_int_t ncr_assist_unwrap_event(ncr_assist_unwrap_t *u);
static void ncr_assist_unwrap_text(ncr_assist_unwrap_t *u);
static ncr_int_t ncr_assist_unwrap_piece(ncr_assist_unwrap_t *u,
    ncr_char_t *p, size_t len);
static ncr_int_t ncr_assist_unwrap_token(ncr_json_t *json,
    ncr_json_token_e token);
static void ncr_assist_unwrap_begin(ncr_assist_unwrap_t *u, uint64_t start);
static void ncr_assist_unwrap_pass(ncr_assist_unwrap_t *u, uint64_t end);
static void ncr_assist_unwrap_write(ncr_assist_unwrap_t *u, const char *text);


/* errors are as the client knows them: without an envelope (C4) */

const ncr_translation_t  ncr_assist_body = {
    .needs = ncr_assist_needs_body,
    .init = ncr_assist_init_body,
    .feed = ncr_assist_feed,
    .end = ncr_assist_end
};


const ncr_translation_t  ncr_assist_events = {
    .needs = ncr_assist_needs_events,
    .init = ncr_assist_init_events,
    .feed = ncr_assist_feed,
    .end = ncr_assist_end
};


const ncr_translation_t  ncr_assist_array = {
    .needs = ncr_assist_needs_array,
    .init = ncr_assist_init_array,
    .feed = ncr_assist_feed,
    .end = ncr_assist_end
};


static size_t
ncr_assist_needs_body(ncr_op_e op, ncr_str_t *content_type, ncr_str_t *type)
{
    *type = *content_type;

    return ncr_str_contains(content_type, "json") ? sizeof(ncr_assist_unwrap_t)
                                                  : 0;
}


static size_t
ncr_assist_needs_events(ncr_op_e op, ncr_str_t *content_type,
    ncr_str_t *type)
{
    *type = *content_type;

    return ncr_str_contains(content_type, "text/event-stream")
           ? sizeof(ncr_assist_unwrap_t) : 0;
}


static size_t
ncr_assist_needs_array(ncr_op_e op, ncr_str_t *content_type, ncr_str_t *type)
{
    ncr_str_set(type, "application/json; charset=UTF-8");

    return ncr_str_contains(content_type, "text/event-stream")
           ? sizeof(ncr_assist_unwrap_t) : 0;
}


static void
ncr_assist_init_body(void *state, ncr_op_e op, ncr_str_t *model)
{
    ncr_assist_unwrap_init(state, NCR_ASSIST_BODY);
}


static void
ncr_assist_init_events(void *state, ncr_op_e op, ncr_str_t *model)
{
    ncr_assist_unwrap_init(state, NCR_ASSIST_EVENTS);
}


static void
ncr_assist_init_array(void *state, ncr_op_e op, ncr_str_t *model)
{
    ncr_assist_unwrap_init(state, NCR_ASSIST_ARRAY);
}


static ncr_int_t
ncr_assist_feed(void *state, ncr_char_t *p, size_t len,
    ncr_translate_pt write, void *data)
{
    return ncr_assist_unwrap_feed(state, p, len, write, data);
}


static ncr_int_t
ncr_assist_end(void *state, ncr_translate_pt write, void *data)
{
    return ncr_assist_unwrap_end(state, write, data);
}


void
ncr_assist_unwrap_init(ncr_assist_unwrap_t *u, ncr_assist_form_e form)
{
    memset(u, 0, sizeof(ncr_assist_unwrap_t));

    u->form = form;

    ncr_assist_unwrap_text(u);
}


ncr_int_t
ncr_assist_unwrap_feed(ncr_assist_unwrap_t *u, ncr_char_t *p, size_t len,
    ncr_translate_pt write, void *data)
{
    ncr_int_t  rc;

    u->write = write;
    u->data = data;

    if (u->form == NCR_ASSIST_BODY) {
        rc = ncr_assist_unwrap_piece(u, p, len);

    } else {
        rc = ncr_assist_unwrap_events(u, p, len);
    }

    return (u->rc != NCR_OK) ? u->rc : rc;
}


ncr_int_t
ncr_assist_unwrap_end(ncr_assist_unwrap_t *u, ncr_translate_pt write,
    void *data)
{
    u->write = write;
    u->data = data;

    if (u->form == NCR_ASSIST_BODY) {

        if (ncr_json_final(&u->json) != NCR_OK) {
            return NCR_BAD;
        }

        /* a response without anything in it */

        if (!u->passed) {
            ncr_assist_unwrap_write(u, "{}");
        }

        return u->rc;
    }

    /* the last blank line may be missing */

    if (u->text && ncr_assist_unwrap_event(u) != NCR_OK) {
        return NCR_BAD;
    }

    if (u->form == NCR_ASSIST_ARRAY) {
        ncr_assist_unwrap_write(u, u->any ? "]" : "[]");
    }

    return u->rc;
}


static ncr_int_t
ncr_assist_unwrap_events(ncr_assist_unwrap_t *u, ncr_char_t *p, size_t len)
{
    ncr_char_t  *last, *end;

    last = p + len;

    while (p < last) {

        if (u->cr && *p == '\n') {
            u->cr = 0;
            p++;
            continue;
        }

        u->cr = 0;

        if (u->state == NCR_ASSIST_LINE) {

            /* a blank line, or how far it is "data:" */

            p = ncr_assist_unwrap_line(u, p, last);

            if (p == NULL) {
                return NCR_BAD;
            }

            continue;
        }

        if (u->state == NCR_ASSIST_COLON) {
            u->state = NCR_ASSIST_DATA;

            if (*p == ' ') {
                p++;
                continue;
            }
        }

        for (end = p; end < last && *end != '\n' && *end != '\r'; end++) {
            /* void */
        }

        if (u->state == NCR_ASSIST_DATA
            && ncr_assist_unwrap_piece(u, p, (size_t) (end - p)) != NCR_OK)
        {
            return NCR_BAD;
        }

        if (end < last) {
            u->cr = (*end == '\r');
            u->state = NCR_ASSIST_LINE;
            u->matched = 0;
            end++;
        }

        p = end;
    }

    return NCR_OK;
}


/* where to go on; NULL: an event has ended that is none */

static ncr_char_t *
ncr_assist_unwrap_line(ncr_assist_unwrap_t *u, ncr_char_t *p,
    ncr_char_t *last)
{
    static const char  field[] = "data:";

    for ( /* void */ ; p < last; p++) {

        if (*p == (ncr_char_t) field[u->matched]) {

            if (++u->matched < sizeof(field) - 1) {
                continue;
            }

            u->state = NCR_ASSIST_COLON;
            u->matched = 0;

            return (ncr_assist_unwrap_more(u) == NCR_OK) ? p + 1 : NULL;
        }

        if (u->matched == 0 && (*p == '\n' || *p == '\r')) {
            u->cr = (*p == '\r');

            return (ncr_assist_unwrap_event(u) == NCR_OK) ? p + 1 : NULL;
        }

        u->state = NCR_ASSIST_OTHER;

        return p;
    }

    return p;
}


/* lines of data are joined by LF, which is white space of JSON */

static ncr_int_t
ncr_assist_unwrap_more(ncr_assist_unwrap_t *u)
{
    ncr_int_t  rc;

    static ncr_char_t  lf[] = "\n";

    if (!u->text) {
        u->text = 1;
        return NCR_OK;
    }

    rc = ncr_assist_unwrap_piece(u, lf, 1);

    if (u->inside && u->form == NCR_ASSIST_EVENTS) {
        ncr_assist_unwrap_write(u, "data: ");
    }

    return rc;
}


static ncr_int_t
ncr_assist_unwrap_event(ncr_assist_unwrap_t *u)
{
    ncr_int_t  rc;

    if (!u->text) {
        return NCR_OK;
    }

    rc = ncr_json_final(&u->json);

    ncr_assist_unwrap_text(u);

    return (rc == NCR_OK) ? NCR_OK : NCR_BAD;
}


static void
ncr_assist_unwrap_text(ncr_assist_unwrap_t *u)
{
    ncr_json_begin(&u->json, u, ncr_assist_unwrap_token, 2,
                   u->keep, sizeof(u->keep));

    u->fed = 0;
    u->text = 0;
    u->shift = 0;
    u->pick = 0;
    u->inside = 0;
    u->passed = 0;
}


static ncr_int_t
ncr_assist_unwrap_piece(ncr_assist_unwrap_t *u, ncr_char_t *p, size_t len)
{
    ncr_int_t  rc;

    if (len == 0) {
        return NCR_OK;
    }

    u->chunk = p;

    rc = ncr_json_feed(&u->json, p, len);

    if (rc != NCR_OK && rc != NCR_AGAIN) {
        return NCR_BAD;
    }

    if (u->inside) {
        ncr_assist_unwrap_pass(u, u->fed + len);
    }

    u->fed += len;

    return NCR_OK;
}


static ncr_int_t
ncr_assist_unwrap_token(ncr_json_t *json, ncr_json_token_e token)
{
    ncr_assist_unwrap_t  *u;

    u = json->data;

    if (json->depth == 0 && token == NCR_JSON_ARRAY) {
        u->shift = 1;
    }

    if (json->depth != 1 + (ncr_uint_t) u->shift) {
        return NCR_OK;
    }

    switch (token) {

    case NCR_JSON_KEY:
        u->pick = ncr_str_eq(&json->text, "response") ? NCR_ASSIST_RESPONSE
                  : ncr_str_eq(&json->text, "error") ? NCR_ASSIST_ERROR : 0;
        return NCR_OK;

    case NCR_JSON_OBJECT:

        if (u->pick && !u->passed) {
            ncr_assist_unwrap_begin(u, json->start);
        }

        return NCR_OK;

    case NCR_JSON_OBJECT_END:

        if (u->inside) {
            ncr_assist_unwrap_pass(u, json->end);

            if (u->pick == NCR_ASSIST_ERROR) {
                ncr_assist_unwrap_write(u, "}");
            }

            if (u->form == NCR_ASSIST_EVENTS) {
                ncr_assist_unwrap_write(u, "\n\n");
            }

            u->inside = 0;
        }

        break;

    case NCR_JSON_ARRAY:
        return NCR_OK;

    case NCR_JSON_ARRAY_END:
    case NCR_JSON_STRING:
    case NCR_JSON_NUMBER:
    case NCR_JSON_TRUE:
    case NCR_JSON_FALSE:
    case NCR_JSON_NULL:
        break;
    }

    u->pick = 0;

    return NCR_OK;
}


static void
ncr_assist_unwrap_begin(ncr_assist_unwrap_t *u, uint64_t start)
{
    u->inside = 1;
    u->passed = 1;
    u->from = start;

    if (u->form == NCR_ASSIST_EVENTS) {
        ncr_assist_unwrap_write(u, "data: ");

    } else if (u->form == NCR_ASSIST_ARRAY) {
        ncr_assist_unwrap_write(u, u->any ? ",\r\n" : "[");
    }

    u->any = 1;

    if (u->pick == NCR_ASSIST_ERROR) {
        ncr_assist_unwrap_write(u, "{\"error\":");
    }
}


/* what of the chunk at hand lies before end */

static void
ncr_assist_unwrap_pass(ncr_assist_unwrap_t *u, uint64_t end)
{
    uint64_t  from;

    from = ncr_max(u->from, u->fed);

    if (u->rc == NCR_OK && end > from) {
        u->rc = u->write(u->data, u->chunk + (from - u->fed),
                         (size_t) (end - from));
    }
}


static void
ncr_assist_unwrap_write(ncr_assist_unwrap_t *u, const char *text)
{
    size_t      len;
    ncr_char_t  buf[sizeof("{\"error\":")];

    len = strlen(text);
    memcpy(buf, text, len);

    if (u->rc == NCR_OK) {
        u->rc = u->write(u->data, buf, len);
    }
}
