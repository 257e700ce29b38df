
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "sandbox.h"


enum {
    SBX_G_FIRST = 0,
    SBX_G_PINGS,
    SBX_G_START,
    SBX_G_FALLBACK,
    SBX_G_FALLBACK_STOP,
    SBX_G_THINK_START,
    SBX_G_THINK,
    SBX_G_SIGNATURE,
    SBX_G_THINK_STOP,
    SBX_G_BLOCK,
    SBX_G_PING,
    SBX_G_DELTA,
    SBX_G_BLOCK_STOP,
    SBX_G_MESSAGE_DELTA,
    SBX_G_MESSAGE_STOP
};


#define SBX_WORDS        16
#define SBX_THOUGHTS     2
#define SBX_TOOL_PIECE   24
#define SBX_QUOTE_MAX    200
#define SBX_FALLBACK_TO  "claude-opus-4-8"

static const char  *sbx_words[2][SBX_WORDS] = {
    { "This ", "is ", "the ", "sandbox ", "upstream ", "which ", "answers ",
      "every ", "question ", "with ", "the ", "same ", "sixteen ", "words ",
      "in ", "turn. " },
    { "Sm\xc3\xb8rrebr\xc3\xb8" "d ", "\xe4\xb8\x96\xe7\x95\x8c ",
      "\xf0\x9f\xa6\x8a ", "caf\xc3\xa9 ", "\xe2\x82\xac" "5 ",
      "\xd0\x9c\xd0\xb8\xd1\x80 ", "\\u2028 ", "\\ud83d\\ude00 ", "\\\"q\\\" ",
      "\\\\ ", "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb ", "\\n",
      "\xe3\x81\x82 ", "na\xc3\xafve ", "\xc2\xa0", "\xc3\x9f. " }
};

static const char  sbx_filler[] =
    "The quick brown fox jumps over the lazy dog. "
    "The quick brown fox jumps over the lazy dog. ";

#define SBX_FILLER  45


static void
sbx_put_filler(sbx_buf_t *b, size_t from, size_t n)
{
    size_t  k;

    sbx_reserve(b, n);

    from %= SBX_FILLER;

    while (n) {
        k = n < SBX_FILLER ? n : SBX_FILLER;
        sbx_put(b, sbx_filler + from, k);
        n -= k;
    }
}


/* the text of a delta, escaped */

static void
sbx_put_piece(sbx_conn_t *c, sbx_buf_t *b, long i)
{
    size_t       n;
    const char  *word;

    if (c->ask.has_quote && i == 0) {
        n = c->ask.quote.len;
        sbx_lit(b, "The tool said: ");
        sbx_put_json(b, c->ask.quote.data, n < SBX_QUOTE_MAX ? n
                                                             : SBX_QUOTE_MAX);
        sbx_lit(b, " ");
        return;
    }

    if (c->act.size) {
        sbx_put_filler(b, (size_t) i * (size_t) c->act.size,
                       (size_t) c->act.size);
        return;
    }

    word = sbx_words[(c->act.flags & SBX_F_UNICODE) != 0][i % SBX_WORDS];
    sbx_puts(b, word);
}


static long
sbx_output_tokens(sbx_conn_t *c)
{
    long  per;

    if (c->act.output >= 0) {
        return c->act.output;
    }

    per = c->act.size >= 8 ? c->act.size / 4 : 1;

    if (c->ask.tool) {
        return 20 + (long) c->ask.tool_input.len / 4;
    }

    if (c->act.flags & SBX_F_THINKING) {
        return c->act.events * per + 14;
    }

    return c->act.events * per;
}


static void
sbx_put_usage_text(sbx_buf_t *b, const char *name, const char *value)
{
    if (value) {
        sbx_putf(b, ",\"%s\":\"", name);
        sbx_put_json(b, value, strlen(value));
        sbx_lit(b, "\"");
    }
}


/* "start": as in message_start, else as in message_delta */

static void
sbx_put_usage(sbx_conn_t *c, sbx_buf_t *b, long output, int start)
{
    int         zero;
    sbx_act_t  *a;

    a = &c->act;

    if (a->flags & SBX_F_NO_USAGE) {
        return;
    }

    zero = (a->flags & SBX_F_ZERO_USAGE) ? 0 : 1;

    sbx_lit(b, ",\"usage\":{\"input_tokens\":");
    sbx_putn(b, a->input * zero);
    sbx_lit(b, ",\"cache_creation_input_tokens\":");
    sbx_putn(b, (a->cache_5m + a->cache_1h) * zero);
    sbx_lit(b, ",\"cache_read_input_tokens\":");
    sbx_putn(b, a->cache_read * zero);

    if (start && !(a->flags & SBX_F_NO_BREAKDOWN)) {
        sbx_lit(b, ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":");
        sbx_putn(b, a->cache_5m * zero);
        sbx_lit(b, ",\"ephemeral_1h_input_tokens\":");
        sbx_putn(b, a->cache_1h * zero);
        sbx_lit(b, "}");
    }

    sbx_lit(b, ",\"output_tokens\":");
    sbx_putn(b, output * zero);

    if (start) {
        sbx_put_usage_text(b, "service_tier", a->tier ? a->tier : "standard");
        sbx_put_usage_text(b, "speed", a->speed);
        sbx_put_usage_text(b, "inference_geo", a->geo);
    }
}


static void
sbx_put_usage_end(sbx_conn_t *c, sbx_buf_t *b)
{
    int   i;
    long  tokens;

    if (c->act.flags & SBX_F_NO_USAGE) {
        return;
    }

    if (c->act.searches) {
        sbx_putf(b, ",\"server_tool_use\":{\"web_search_requests\":%ld}",
                 c->act.searches);
    }

    if (c->act.flags & SBX_F_THINKING) {
        sbx_lit(b, ",\"output_tokens_details\":{\"thinking_tokens\":14}");
    }

    if (c->act.flags & SBX_F_ITERATIONS) {

        tokens = sbx_output_tokens(c);

        for (i = 0; i < 2; i++) {
            sbx_puts(b, i ? ",{\"type\":\"fallback_message\",\"model\":\""
                            SBX_FALLBACK_TO
                          : ",\"iterations\":[{\"type\":\"message\","
                            "\"model\":\"");
            if (i == 0) {
                sbx_put(b, c->ask.model.data, c->ask.model.len);
            }
            sbx_putf(b, "\",\"input_tokens\":%ld,\"output_tokens\":%ld,"
                     "\"cache_creation_input_tokens\":0,"
                     "\"cache_read_input_tokens\":0,"
                     "\"cache_creation\":null}", c->act.input,
                     i ? tokens : 0);
        }

        sbx_lit(b, "]");
    }

    sbx_lit(b, "}");
}


static void
sbx_put_message_id(sbx_conn_t *c, sbx_buf_t *b, const char *prefix)
{
    sbx_puts(b, prefix);
    sbx_put_hex(b, c->req.id, 13);
}


static const char *
sbx_served_model(sbx_conn_t *c, size_t *n)
{
    if (c->act.flags & SBX_F_ITERATIONS) {
        *n = sizeof(SBX_FALLBACK_TO) - 1;
        return SBX_FALLBACK_TO;
    }

    *n = c->ask.model.len;

    return c->ask.model.data;
}


static void
sbx_put_message_head(sbx_conn_t *c, sbx_buf_t *b)
{
    size_t       n;
    const char  *model;

    model = sbx_served_model(c, &n);

    sbx_lit(b, "{\"id\":\"");
    sbx_put_message_id(c, b, "msg_01Sandbox");
    sbx_lit(b, "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"");
    sbx_put(b, model, n);
    sbx_lit(b, "\",\"content\":[");
}


static const char *
sbx_stop_reason(sbx_conn_t *c)
{
    if (c->act.stop) {
        return c->act.stop;
    }

    return c->ask.tool ? "tool_use" : "end_turn";
}


static void
sbx_put_fallback(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, "{\"type\":\"fallback\",\"from\":{\"model\":\"");
    sbx_put(b, c->ask.model.data, c->ask.model.len);
    sbx_lit(b, "\"},\"to\":{\"model\":\"" SBX_FALLBACK_TO "\"}}");
}


static void
sbx_put_tool(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, "{\"type\":\"tool_use\",\"id\":\"");
    sbx_put_message_id(c, b, "toolu_01Sandbox");
    sbx_lit(b, "\",\"name\":\"");
    sbx_put_json(b, c->ask.tool_name.data, c->ask.tool_name.len);
    sbx_lit(b, "\",\"input\":");
}


static void
sbx_put_text(sbx_conn_t *c, sbx_buf_t *b)
{
    long    i;
    size_t  start;

    start = b->len;

    for (i = 0; i < c->act.events && b->len - start < SBX_TEXT_MAX; i++) {
        sbx_put_piece(c, b, i);
    }
}


/* the answer in one piece */

void
sbx_anthropic_message(sbx_conn_t *c, sbx_buf_t *b)
{
    int         bare;
    size_t      text, n;
    sbx_buf_t   tail;
    sbx_act_t  *a;

    a = &c->act;

    sbx_reserve(b, 1024);
    sbx_put_message_head(c, b);

    bare = (a->flags & SBX_F_NO_CONTENT) != 0;

    if (a->flags & SBX_F_ITERATIONS) {
        sbx_put_fallback(c, b);
        sbx_puts(b, bare ? "" : ",");
    }

    if (a->flags & SBX_F_THINKING) {
        sbx_lit(b, "{\"type\":\"thinking\",\"thinking\":\"thought thought \","
                   "\"signature\":\"RXhhbXBsZVNpZw==\"},");
    }

    if (bare) {
        text = b->len;

    } else if (c->ask.tool) {
        sbx_put_tool(c, b);
        sbx_put(b, c->ask.tool_input.data, c->ask.tool_input.len);
        text = b->len;

    } else {
        sbx_lit(b, "{\"type\":\"text\",\"text\":\"");
        text = b->len;
    }

    memset(&tail, 0, sizeof(tail));
    sbx_puts(&tail, bare ? "" : c->ask.tool ? "}" : "\"}");
    sbx_lit(&tail, "],\"stop_reason\":\"");
    sbx_puts(&tail, sbx_stop_reason(c));
    sbx_lit(&tail, "\",\"stop_sequence\":null");
    sbx_put_usage(c, &tail, sbx_output_tokens(c), 1);
    sbx_put_usage_end(c, &tail);
    sbx_lit(&tail, "}");

    if (!c->ask.tool && !bare) {
        n = text + tail.len;

        if (a->json_size && (size_t) a->json_size > n) {
            sbx_put_filler(b, 0, (size_t) a->json_size - n);

        } else if (a->json_size == 0) {
            sbx_put_text(c, b);
        }
    }

    sbx_put(b, tail.data, tail.len);
    free(tail.data);
}


static void
sbx_event(sbx_conn_t *c, sbx_buf_t *b, const char *name)
{
    const char  *eol, *sp;

    eol = (c->act.flags & SBX_F_CRLF) ? "\r\n" : "\n";
    sp = (c->act.flags & SBX_F_NOSPACE) ? ":" : ": ";

    if (c->act.flags & SBX_F_COMMENTS) {
        sbx_lit(b, ": sandbox comment");
        sbx_puts(b, eol);
        sbx_puts(b, eol);
    }

    sbx_lit(b, "event");
    sbx_puts(b, sp);
    sbx_puts(b, name);
    sbx_puts(b, eol);
    sbx_lit(b, "data");
    sbx_puts(b, sp);
    sbx_lit(b, "{\"type\":\"");
    sbx_puts(b, name);
    sbx_lit(b, "\"");
}


static void
sbx_event_end(sbx_conn_t *c, sbx_buf_t *b)
{
    if (c->act.flags & SBX_F_CRLF) {
        sbx_lit(b, "}\r\n\r\n");

    } else {
        sbx_lit(b, "}\n\n");
    }
}


static void
sbx_event_index(sbx_conn_t *c, sbx_buf_t *b, const char *name)
{
    sbx_event(c, b, name);
    sbx_lit(b, ",\"index\":");
    sbx_putn(b, c->rep.gen.index);
}


static void
sbx_event_error(sbx_conn_t *c, sbx_buf_t *b, const char *type)
{
    sbx_event(c, b, "error");
    sbx_lit(b, ",\"error\":{\"type\":\"");
    sbx_put_json(b, type, strlen(type));
    sbx_lit(b, "\",\"message\":\"");

    if (c->act.message) {
        sbx_put_json(b, c->act.message, strlen(c->act.message));

    } else {
        sbx_puts(b, strcmp(type, "overloaded_error") == 0 ? "Overloaded"
                                                      : "Internal error");
    }

    sbx_lit(b, "\"}");
    sbx_event_end(c, b);
}


static void
sbx_event_start(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_event(c, b, "message_start");
    sbx_lit(b, ",\"message\":");
    sbx_put_message_head(c, b);
    sbx_lit(b, "],\"stop_reason\":null,\"stop_sequence\":null");
    sbx_put_usage(c, b, 1, 1);
    sbx_puts(b, (c->act.flags & SBX_F_NO_USAGE) ? "}" : "}}");
    sbx_event_end(c, b);
}


static void
sbx_event_block(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_event_index(c, b, "content_block_start");
    sbx_lit(b, ",\"content_block\":");

    if (c->ask.tool) {
        sbx_put_tool(c, b);
        sbx_lit(b, "{}}");

    } else {
        sbx_lit(b, "{\"type\":\"text\",\"text\":\"\"}");
    }

    sbx_event_end(c, b);
}


static void
sbx_event_stop(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_event_index(c, b, "content_block_stop");
    sbx_event_end(c, b);
    c->rep.gen.index++;
}


/* an empty fragment first, then the input in pieces */

static int
sbx_event_tool(sbx_conn_t *c, sbx_buf_t *b)
{
    size_t       from, n;
    sbx_gen_t   *g;
    sbx_buf_t   *in;

    g = &c->rep.gen;
    in = &c->ask.tool_input;

    sbx_event_index(c, b, "content_block_delta");
    sbx_lit(b, ",\"delta\":{\"type\":\"input_json_delta\","
               "\"partial_json\":\"");

    from = g->i ? (size_t) (g->i - 1) * SBX_TOOL_PIECE : 0;
    n = g->i ? in->len - from : 0;

    if (n > SBX_TOOL_PIECE) {
        n = SBX_TOOL_PIECE;
    }

    sbx_put_json(b, in->data + from, n);
    sbx_lit(b, "\"}");
    sbx_event_end(c, b);

    g->i++;

    return (size_t) (g->i - 1) * SBX_TOOL_PIECE >= in->len ? SBX_END : SBX_OK;
}


static int
sbx_event_delta(sbx_conn_t *c, sbx_buf_t *b)
{
    size_t      start, used;
    sbx_gen_t  *g;

    g = &c->rep.gen;

    if (c->ask.tool) {
        return sbx_event_tool(c, b);
    }

    if (g->i >= c->act.events) {
        return SBX_END;
    }

    start = b->len;

    sbx_event_index(c, b, "content_block_delta");
    sbx_lit(b, ",\"delta\":{\"type\":\"text_delta\",\"text\":\"");

    if (c->act.long_line && g->i == 0) {

        /* the line ends with "}} */

        start = (size_t) ((char *) memchr(b->data + start, '\n',
                                          b->len - start)
                          - b->data) + 1;
        used = b->len - start + 3;

        if ((size_t) c->act.long_line > used) {
            sbx_put_filler(b, 0, (size_t) c->act.long_line - used);
        }

    } else {
        sbx_put_piece(c, b, g->i);
    }

    sbx_lit(b, "\"}");
    sbx_event_end(c, b);

    g->i++;

    return g->i >= c->act.events ? SBX_END : SBX_OK;
}


static void
sbx_event_message_delta(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_event(c, b, "message_delta");
    sbx_lit(b, ",\"delta\":{\"stop_reason\":\"");
    sbx_puts(b, sbx_stop_reason(c));
    sbx_lit(b, "\",\"stop_sequence\":null}");
    sbx_put_usage(c, b, sbx_output_tokens(c), 0);
    sbx_put_usage_end(c, b);
    sbx_event_end(c, b);
}


static void
sbx_event_ping(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_event(c, b, "ping");
    sbx_event_end(c, b);
}


static void
sbx_event_think(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_gen_t  *g;

    g = &c->rep.gen;

    switch (g->phase) {

    case SBX_G_THINK_START:
        sbx_event_index(c, b, "content_block_start");
        sbx_lit(b, ",\"content_block\":{\"type\":\"thinking\","
                   "\"thinking\":\"\",\"signature\":\"\"}");
        sbx_event_end(c, b);
        g->i = 0;
        break;

    case SBX_G_THINK:
        sbx_event_index(c, b, "content_block_delta");
        sbx_lit(b, ",\"delta\":{\"type\":\"thinking_delta\","
                   "\"thinking\":\"thought \"}");
        sbx_event_end(c, b);
        if (++g->i < SBX_THOUGHTS) {
            return;
        }
        g->i = 0;
        break;

    case SBX_G_SIGNATURE:
        sbx_event_index(c, b, "content_block_delta");
        sbx_lit(b, ",\"delta\":{\"type\":\"signature_delta\","
                   "\"signature\":\"RXhhbXBsZVNpZw==\"}");
        sbx_event_end(c, b);
        break;

    default: /* SBX_G_THINK_STOP */
        sbx_event_stop(c, b);
    }

    g->phase++;
}


static int
sbx_first_block(sbx_conn_t *c)
{
    if (c->act.flags & SBX_F_NO_CONTENT) {
        return SBX_G_MESSAGE_DELTA;
    }

    return (c->act.flags & SBX_F_THINKING) ? SBX_G_THINK_START : SBX_G_BLOCK;
}


/* what comes before the block with the answer */

static int
sbx_anthropic_opening(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_gen_t  *g;

    g = &c->rep.gen;

    switch (g->phase) {

    case SBX_G_FIRST:
        g->phase++;
        if (c->act.error_first) {
            sbx_event_error(c, b, c->act.error_first);
            return SBX_END;
        }
        break;

    case SBX_G_PINGS:
        if (g->i++ < c->act.ping_first) {
            sbx_event_ping(c, b);
            g->paced = 1;
            break;
        }
        g->i = 0;
        g->phase++;
        break;

    case SBX_G_START:
        sbx_event_start(c, b);
        g->phase = (c->act.flags & SBX_F_ITERATIONS) ? SBX_G_FALLBACK
                                                     : sbx_first_block(c);
        break;

    case SBX_G_FALLBACK:
        sbx_event_index(c, b, "content_block_start");
        sbx_lit(b, ",\"content_block\":");
        sbx_put_fallback(c, b);
        sbx_event_end(c, b);
        g->phase++;
        break;

    case SBX_G_FALLBACK_STOP:
        sbx_event_stop(c, b);
        g->phase = sbx_first_block(c);
        break;

    default:
        sbx_event_think(c, b);
    }

    return SBX_OK;
}


/* the next event of a stream: a unit of reply.c */

int
sbx_anthropic_next(sbx_conn_t *c, sbx_buf_t *b)
{
    size_t      start;
    sbx_gen_t  *g;

    g = &c->rep.gen;

    if (g->error) {
        sbx_event_error(c, b, c->act.type ? c->act.type : "overloaded_error");
        return SBX_END;
    }

    if (g->phase < SBX_G_BLOCK) {
        return sbx_anthropic_opening(c, b);
    }

    switch (g->phase) {

    case SBX_G_BLOCK:
        sbx_event_block(c, b);
        g->phase++;
        break;

    case SBX_G_PING:
        sbx_event_ping(c, b);
        g->opened = 1;
        g->phase++;
        break;

    case SBX_G_DELTA:
        start = b->len;

        if (sbx_event_delta(c, b) == SBX_END) {
            g->phase++;
        }

        if (b->len > start) {
            g->deltas++;
            g->paced = 1;
        }
        break;

    case SBX_G_BLOCK_STOP:
        sbx_event_stop(c, b);
        g->phase++;
        break;

    case SBX_G_MESSAGE_DELTA:
        sbx_event_message_delta(c, b);
        g->phase++;
        break;

    default: /* SBX_G_MESSAGE_STOP */
        sbx_event(c, b, "message_stop");
        sbx_event_end(c, b);
        return SBX_END;
    }

    return SBX_OK;
}
