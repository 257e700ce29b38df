
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Answers of Chat and Responses, whole and as streams: others.md A3, A5, A6. */


#include "openai.h"


#define SBX_OPENAI_WORDS   8
#define SBX_OPENAI_THOUGHT 14


static const char  *sbx_openai_words[2][SBX_OPENAI_WORDS] = {
    { "This ", "is ", "the ", "sandbox ", "upstream ", "in ", "another ",
      "tongue. " },
    { "Sm\xc3\xb8rrebr\xc3\xb8" "d ", "\xe4\xb8\x96\xe7\x95\x8c ",
      "\xf0\x9f\xa6\x8a ", "caf\xc3\xa9 ", "\\ud83d\\ude00 ", "\\\"q\\\" ",
      "\\\\ ", "\\n" }
};


enum {
    SBX_CHAT_FIRST = 0,
    SBX_CHAT_ROLE,
    SBX_CHAT_DELTA,
    SBX_CHAT_FINISH,
    SBX_CHAT_USAGE,
    SBX_CHAT_DONE
};


enum {
    SBX_RESP_FIRST = 0,
    SBX_RESP_PROGRESS,
    SBX_RESP_FAIL,
    SBX_RESP_THOUGHT,
    SBX_RESP_ITEM,
    SBX_RESP_PART,
    SBX_RESP_DELTA,
    SBX_RESP_TEXT_DONE,
    SBX_RESP_PART_DONE,
    SBX_RESP_ITEM_DONE,
    SBX_RESP_COMPLETED
};


static void
sbx_openai_piece(sbx_conn_t *c, sbx_buf_t *b, long i)
{
    long  n;

    if (c->act.size) {
        sbx_reserve(b, (size_t) c->act.size);

        for (n = 0; n < c->act.size; n++) {
            b->data[b->len++] = (char) ('a' + (i + n) % 26);
        }

        return;
    }

    sbx_puts(b, sbx_openai_words[(c->act.flags & SBX_F_UNICODE) != 0]
                                [i % SBX_OPENAI_WORDS]);
}


static void
sbx_openai_text(sbx_conn_t *c, sbx_buf_t *b)
{
    long    i;
    size_t  n;

    if (c->act.json_size) {
        sbx_reserve(b, (size_t) c->act.json_size);
        n = (size_t) c->act.json_size;
        memset(b->data + b->len, 'x', n);
        b->len += n;
        return;
    }

    for (i = 0; i < c->act.events; i++) {
        sbx_openai_piece(c, b, i);
    }
}


static long
sbx_openai_out(sbx_conn_t *c)
{
    long  n;

    n = (c->act.output >= 0) ? c->act.output : c->act.events;

    return n + ((c->act.flags & SBX_F_THINKING) ? SBX_OPENAI_THOUGHT : 0);
}


/* input and what of it was cached: the same numbers as in the other dialect,
 * told in this one's way */

static void
sbx_openai_usage(sbx_conn_t *c, sbx_buf_t *b, int chat)
{
    long        in, out, thought;
    sbx_act_t  *a;

    a = &c->act;
    in = a->input + a->cache_read + a->cache_5m;
    out = sbx_openai_out(c);
    thought = (a->flags & SBX_F_THINKING) ? SBX_OPENAI_THOUGHT : 0;

    sbx_putf(b, "{\"%s\":%ld,\"%s\":%ld,\"total_tokens\":%ld,"
             "\"%s\":{\"cached_tokens\":%ld,\"cache_write_tokens\":%ld},"
             "\"%s\":{\"reasoning_tokens\":%ld}}",
             chat ? "prompt_tokens" : "input_tokens", in,
             chat ? "completion_tokens" : "output_tokens", out, in + out,
             chat ? "prompt_tokens_details" : "input_tokens_details",
             a->cache_read, a->cache_5m,
             chat ? "completion_tokens_details" : "output_tokens_details",
             thought);
}


static void
sbx_openai_data(sbx_conn_t *c, sbx_buf_t *b, const char *event)
{
    const char  *eol, *sp;

    eol = (c->act.flags & SBX_F_CRLF) ? "\r\n" : "\n";
    sp = (c->act.flags & SBX_F_NOSPACE) ? ":" : ": ";

    if (c->act.flags & SBX_F_COMMENTS) {
        sbx_lit(b, ": sandbox comment");
        sbx_puts(b, eol);
        sbx_puts(b, eol);
    }

    if (event) {
        sbx_lit(b, "event");
        sbx_puts(b, sp);
        sbx_puts(b, event);
        sbx_puts(b, eol);
    }

    sbx_lit(b, "data");
    sbx_puts(b, sp);
}


static void
sbx_openai_data_end(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_puts(b, (c->act.flags & SBX_F_CRLF) ? "\r\n\r\n" : "\n\n");
}


static const char *
sbx_openai_tier(sbx_conn_t *c)
{
    return c->act.tier ? c->act.tier : "default";
}


static void
sbx_chat_head(sbx_conn_t *c, sbx_buf_t *b, const char *object)
{
    sbx_lit(b, "{\"id\":\"chatcmpl-sbx");
    sbx_put_hex(b, c->req.id, 13);
    sbx_putf(b, "\",\"object\":\"%s\",\"created\":1790000000,\"model\":\"",
             object);
    sbx_put(b, c->ask.model.data, c->ask.model.len);
    sbx_putf(b, "\",\"service_tier\":\"%s\",\"system_fingerprint\":"
             "\"fp_sandbox\"", sbx_openai_tier(c));
}


void
sbx_chat_body(sbx_conn_t *c, sbx_buf_t *b, int text)
{
    const char  *stop;

    stop = c->act.stop ? c->act.stop : "stop";

    sbx_chat_head(c, b, text ? "text_completion" : "chat.completion");

    if (text) {
        sbx_lit(b, ",\"choices\":[{\"index\":0,\"text\":\"");
        sbx_openai_text(c, b);
        sbx_putf(b, "\",\"logprobs\":null,\"finish_reason\":\"%s\"}]", stop);

    } else {
        sbx_lit(b, ",\"choices\":[{\"index\":0,\"message\":{\"role\":"
                   "\"assistant\",\"content\":\"");
        sbx_openai_text(c, b);
        sbx_putf(b, "\",\"refusal\":null,\"annotations\":[]},\"logprobs\":"
                 "null,\"finish_reason\":\"%s\"}]", stop);
    }

    if (!(c->act.flags & SBX_F_NO_USAGE)) {
        sbx_lit(b, ",\"usage\":");
        sbx_openai_usage(c, b, 1);
    }

    sbx_lit(b, "}");
}


static void
sbx_chat_chunk(sbx_conn_t *c, sbx_buf_t *b, int text, const char *stop)
{
    sbx_gen_t  *g;

    g = &c->rep.gen;

    sbx_openai_data(c, b, NULL);
    sbx_chat_head(c, b, text ? "text_completion" : "chat.completion.chunk");

    sbx_puts(b, text ? ",\"choices\":[{\"index\":0,\"text\":\""
                     : ",\"choices\":[{\"index\":0,\"delta\":{");

    if (g->phase == SBX_CHAT_ROLE && !text) {
        sbx_lit(b, "\"role\":\"assistant\",\"content\":\"\"");

    } else if (g->phase == SBX_CHAT_DELTA) {
        sbx_puts(b, text ? "" : "\"content\":\"");
        sbx_openai_piece(c, b, g->i);
        sbx_puts(b, text ? "" : "\"");
    }

    sbx_puts(b, text ? "\",\"logprobs\":null,\"finish_reason\":"
                     : "},\"logprobs\":null,\"finish_reason\":");

    if (stop) {
        sbx_putf(b, "\"%s\"}]", stop);

    } else {
        sbx_lit(b, "null}]");
    }

    if (g->index) {
        sbx_lit(b, ",\"usage\":null,\"obfuscation\":\"aB3\"");
    }

    sbx_lit(b, "}");
    sbx_openai_data_end(c, b);
}


static void
sbx_chat_error(sbx_conn_t *c, sbx_buf_t *b, const char *type)
{
    sbx_openai_data(c, b, NULL);
    sbx_openai_error_json(c, b, type, c->act.code,
                          c->act.message ? c->act.message
                                         : "The server had an error");
    sbx_openai_data_end(c, b);
}


static int
sbx_chat(sbx_conn_t *c, sbx_buf_t *b, int text)
{
    sbx_gen_t  *g;

    g = &c->rep.gen;

    if (g->error) {
        sbx_chat_error(c, b, c->act.type ? c->act.type : "server_error");
        return SBX_END;
    }

    switch (g->phase) {

    case SBX_CHAT_FIRST:

        if (c->act.error_first) {
            sbx_chat_error(c, b, c->act.error_first);
            return SBX_END;
        }

        if (sbx_openai_is_azure(c)) {
            sbx_openai_data(c, b, NULL);
            sbx_lit(b, "{\"choices\":[],\"created\":0,\"id\":\"\",\"model\":"
                       "\"\",\"object\":\"\",\"prompt_filter_results\":[{"
                       "\"prompt_index\":0,\"content_filter_results\":{}}]}");
            sbx_openai_data_end(c, b);
        }

        g->phase++;
        break;

    case SBX_CHAT_ROLE:
        sbx_chat_chunk(c, b, text, NULL);
        g->opened = 1;
        g->phase++;
        break;

    case SBX_CHAT_DELTA:

        if (g->i >= c->act.events) {
            g->phase++;
            break;
        }

        sbx_chat_chunk(c, b, text, NULL);
        g->i++;
        g->deltas++;
        g->paced = 1;
        break;

    case SBX_CHAT_FINISH:
        sbx_chat_chunk(c, b, text, c->act.stop ? c->act.stop : "stop");
        g->phase++;
        break;

    case SBX_CHAT_USAGE:

        if (g->index && !(c->act.flags & SBX_F_NO_USAGE)) {
            sbx_openai_data(c, b, NULL);
            sbx_chat_head(c, b, "chat.completion.chunk");
            sbx_lit(b, ",\"choices\":[],\"usage\":");
            sbx_openai_usage(c, b, 1);
            sbx_lit(b, ",\"obfuscation\":\"\"}");
            sbx_openai_data_end(c, b);
        }

        g->phase++;
        break;

    default:
        sbx_openai_data(c, b, NULL);
        sbx_lit(b, "[DONE]");
        sbx_openai_data_end(c, b);
        return SBX_END;
    }

    return SBX_OK;
}


int
sbx_chat_next(sbx_conn_t *c, sbx_buf_t *b)
{
    return sbx_chat(c, b, 0);
}


int
sbx_completions_next(sbx_conn_t *c, sbx_buf_t *b)
{
    return sbx_chat(c, b, 1);
}


static void
sbx_responses_item(sbx_conn_t *c, sbx_buf_t *b, const char *status)
{
    sbx_lit(b, "{\"id\":\"msg_0sbx");
    sbx_put_hex(b, c->req.id, 13);
    sbx_putf(b, "\",\"type\":\"message\",\"status\":\"%s\",\"role\":"
             "\"assistant\",\"content\":[", status);

    if (strcmp(status, "in_progress") != 0) {
        sbx_lit(b, "{\"type\":\"output_text\",\"annotations\":[],"
                   "\"logprobs\":[],\"text\":\"");
        sbx_openai_text(c, b);
        sbx_lit(b, "\"}");
    }

    sbx_lit(b, "]}");
}


/* error: its code, or NULL */

static void
sbx_responses_object(sbx_conn_t *c, sbx_buf_t *b, const char *status,
    const char *error)
{
    const char  *message;

    sbx_lit(b, "{\"id\":\"resp_0sbx");
    sbx_put_hex(b, c->req.id, 13);
    sbx_putf(b, "\",\"object\":\"response\",\"created_at\":1790000000,"
             "\"status\":\"%s\",\"background\":false,\"error\":", status);

    if (error) {
        message = c->act.message ? c->act.message : "The server had an error";

        sbx_putf(b, "{\"code\":\"%s\",\"message\":\"", error);
        sbx_put_json(b, message, strlen(message));
        sbx_lit(b, "\"}");

    } else {
        sbx_lit(b, "null");
    }

    sbx_puts(b, (strcmp(status, "incomplete") == 0)
                ? ",\"incomplete_details\":{\"reason\":\"max_output_tokens\"}"
                : ",\"incomplete_details\":null");

    sbx_lit(b, ",\"instructions\":null,\"max_output_tokens\":null,"
               "\"model\":\"");
    sbx_put(b, c->ask.model.data, c->ask.model.len);
    sbx_lit(b, "\",\"output\":[");

    if (strcmp(status, "completed") == 0 || strcmp(status, "incomplete") == 0)
    {
        sbx_responses_item(c, b, status);
    }

    sbx_putf(b, "],\"parallel_tool_calls\":true,\"previous_response_id\":null,"
             "\"reasoning\":{\"effort\":null,\"summary\":null},"
             "\"service_tier\":\"%s\",\"store\":true,\"temperature\":1.0,"
             "\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":"
             "\"auto\",\"tools\":[],\"top_p\":1.0,\"truncation\":\"disabled\","
             "\"usage\":", sbx_openai_tier(c));

    if (strcmp(status, "in_progress") == 0
        || (c->act.flags & SBX_F_NO_USAGE))
    {
        sbx_lit(b, "null");

    } else {
        sbx_openai_usage(c, b, 0);
    }

    sbx_lit(b, ",\"user\":null,\"metadata\":{}}");
}


static const char *
sbx_responses_status(sbx_conn_t *c)
{
    return (c->act.stop && strcmp(c->act.stop, "max_output_tokens") == 0)
           ? "incomplete" : "completed";
}


void
sbx_responses_body(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_responses_object(c, b, sbx_responses_status(c), NULL);
}


void
sbx_openai_compaction(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, "{\"id\":\"resp_0sbx");
    sbx_put_hex(b, c->req.id, 13);
    sbx_lit(b, "\",\"object\":\"response.compaction\",\"created_at\":"
               "1790000000,\"output\":[{\"id\":\"cmp_0sbx\",\"type\":"
               "\"compaction\",\"encrypted_content\":\"gAAAAsandbox\"}],"
               "\"usage\":");
    sbx_openai_usage(c, b, 0);
    sbx_lit(b, "}");
}


static void
sbx_responses_event(sbx_conn_t *c, sbx_buf_t *b, const char *type)
{
    sbx_openai_data(c, b, type);
    sbx_putf(b, "{\"type\":\"%s\",\"sequence_number\":%d", type,
             c->rep.gen.index++);
}


static void
sbx_responses_event_end(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_lit(b, "}");
    sbx_openai_data_end(c, b);
}


static void
sbx_responses_whole(sbx_conn_t *c, sbx_buf_t *b, const char *type,
    const char *status, const char *error)
{
    sbx_responses_event(c, b, type);
    sbx_lit(b, ",\"response\":");
    sbx_responses_object(c, b, status, error);
    sbx_responses_event_end(c, b);
}


static void
sbx_responses_part(sbx_conn_t *c, sbx_buf_t *b, const char *type)
{
    sbx_responses_event(c, b, type);
    sbx_lit(b, ",\"item_id\":\"msg_0sbx");
    sbx_put_hex(b, c->req.id, 13);
    sbx_lit(b, "\",\"output_index\":0,\"content_index\":0");
}


/* type=event: "error", else "response.failed" */

static void
sbx_responses_error(sbx_conn_t *c, sbx_buf_t *b, const char *code)
{
    const char  *message;

    if (c->act.type == NULL || strcmp(c->act.type, "event") != 0) {
        sbx_responses_whole(c, b, "response.failed", "failed", code);
        return;
    }

    message = c->act.message ? c->act.message : "The server had an error";

    sbx_responses_event(c, b, "error");
    sbx_putf(b, ",\"code\":\"%s\",\"message\":\"", code);
    sbx_put_json(b, message, strlen(message));
    sbx_lit(b, "\",\"param\":null");
    sbx_responses_event_end(c, b);
}


static void
sbx_responses_thought(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_responses_event(c, b, "response.reasoning_summary_text.delta");
    sbx_lit(b, ",\"item_id\":\"rs_0sbx\",\"output_index\":0,"
               "\"summary_index\":0,\"delta\":\"thought \"");
    sbx_responses_event_end(c, b);
}


/* what comes before the first delta */

static int
sbx_responses_opening(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_gen_t  *g;

    g = &c->rep.gen;

    switch (g->phase) {

    case SBX_RESP_FIRST:
        sbx_responses_whole(c, b, "response.created", "in_progress", NULL);
        break;

    case SBX_RESP_PROGRESS:
        sbx_responses_whole(c, b, "response.in_progress", "in_progress",
                            NULL);
        break;

    case SBX_RESP_FAIL:

        if (c->act.error_first) {
            sbx_responses_error(c, b, c->act.error_first);
            return SBX_END;
        }

        break;

    case SBX_RESP_THOUGHT:

        if (c->act.flags & SBX_F_THINKING) {
            sbx_responses_thought(c, b);
        }

        break;

    case SBX_RESP_ITEM:
        sbx_responses_event(c, b, "response.output_item.added");
        sbx_lit(b, ",\"output_index\":0,\"item\":");
        sbx_responses_item(c, b, "in_progress");
        sbx_responses_event_end(c, b);
        break;

    default: /* SBX_RESP_PART */
        sbx_responses_part(c, b, "response.content_part.added");
        sbx_lit(b, ",\"part\":{\"type\":\"output_text\",\"annotations\":[],"
                   "\"logprobs\":[],\"text\":\"\"}");
        sbx_responses_event_end(c, b);
        g->opened = 1;
        break;
    }

    g->phase++;

    return SBX_OK;
}


int
sbx_responses_next(sbx_conn_t *c, sbx_buf_t *b)
{
    sbx_gen_t   *g;
    const char  *status;

    g = &c->rep.gen;

    if (g->error) {
        sbx_responses_error(c, b, c->act.code ? c->act.code : "server_error");
        return SBX_END;
    }

    if (g->phase < SBX_RESP_DELTA) {
        return sbx_responses_opening(c, b);
    }

    switch (g->phase) {

    case SBX_RESP_DELTA:

        if (g->i >= c->act.events) {
            break;
        }

        sbx_responses_part(c, b, "response.output_text.delta");
        sbx_lit(b, ",\"delta\":\"");
        sbx_openai_piece(c, b, g->i);
        sbx_lit(b, "\",\"logprobs\":[],\"obfuscation\":\"x9\"");
        sbx_responses_event_end(c, b);

        g->i++;
        g->deltas++;
        g->paced = 1;

        return SBX_OK;

    case SBX_RESP_TEXT_DONE:
        sbx_responses_part(c, b, "response.output_text.done");
        sbx_lit(b, ",\"logprobs\":[],\"text\":\"");
        sbx_openai_text(c, b);
        sbx_lit(b, "\"");
        sbx_responses_event_end(c, b);
        break;

    case SBX_RESP_PART_DONE:
        sbx_responses_part(c, b, "response.content_part.done");
        sbx_lit(b, ",\"part\":{\"type\":\"output_text\",\"annotations\":[],"
                   "\"logprobs\":[],\"text\":\"");
        sbx_openai_text(c, b);
        sbx_lit(b, "\"}");
        sbx_responses_event_end(c, b);
        break;

    case SBX_RESP_ITEM_DONE:
        sbx_responses_event(c, b, "response.output_item.done");
        sbx_lit(b, ",\"output_index\":0,\"item\":");
        sbx_responses_item(c, b, "completed");
        sbx_responses_event_end(c, b);
        break;

    default: /* SBX_RESP_COMPLETED */
        status = sbx_responses_status(c);

        sbx_responses_whole(c, b, (strcmp(status, "completed") == 0)
                                  ? "response.completed"
                                  : "response.incomplete", status, NULL);
        return SBX_END;
    }

    g->phase++;

    return SBX_OK;
}
