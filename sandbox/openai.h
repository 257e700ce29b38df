
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#ifndef _SANDBOX_OPENAI_H_INCLUDED_
#define _SANDBOX_OPENAI_H_INCLUDED_


#include "sandbox.h"


typedef struct {
    sbx_str_t         messages;
    sbx_str_t         input;
    sbx_str_t         previous;      /* with its quotes */
    unsigned          usage:1;       /* stream_options.include_usage */
    unsigned          unstored:1;
    unsigned          base64:1;
} sbx_openai_ask_t;


/* openai.c */

int sbx_openai_is_azure(sbx_conn_t *c);
void sbx_openai_error_json(sbx_conn_t *c, sbx_buf_t *b, const char *type,
    const char *code, const char *message);

/* openai_stream.c */

void sbx_chat_body(sbx_conn_t *c, sbx_buf_t *b, int text);
int sbx_chat_next(sbx_conn_t *c, sbx_buf_t *b);
int sbx_completions_next(sbx_conn_t *c, sbx_buf_t *b);
void sbx_responses_body(sbx_conn_t *c, sbx_buf_t *b);
int sbx_responses_next(sbx_conn_t *c, sbx_buf_t *b);
void sbx_openai_compaction(sbx_conn_t *c, sbx_buf_t *b);


#endif /* _SANDBOX_OPENAI_H_INCLUDED_ */
