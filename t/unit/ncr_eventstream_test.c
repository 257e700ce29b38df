
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_eventstream.c"
#include "ncr_test.h"
#include "ncr_frames.h"

#include <stdlib.h>


typedef struct {
    ncr_out_t   payload;
    ncr_out_t   headers;
    ncr_uint_t  heads;
    ncr_uint_t  messages;
    ncr_int_t   answer;                 /* of message() */
    char        last[64];
    ncr_char_t  buf[1024];
    ncr_char_t  text[2048];
} ncr_test_seen_t;


static ncr_eventstream_t  ncr_test_es;
static ncr_test_seen_t    ncr_test_seen;


static ncr_int_t
ncr_test_head(ncr_eventstream_t *es)
{
    ((ncr_test_seen_t *) es->data)->heads++;

    return NCR_OK;
}


static ncr_int_t
ncr_test_payload(ncr_eventstream_t *es, ncr_char_t *p, size_t len)
{
    ncr_out_bytes(&((ncr_test_seen_t *) es->data)->payload, p, len);

    return NCR_OK;
}


static ncr_int_t
ncr_test_message(ncr_eventstream_t *es)
{
    ncr_test_seen_t  *seen;

    seen = es->data;
    seen->messages++;
    strcpy(seen->last, es->event_type[0] ? es->event_type
                                         : es->exception_type);
    return seen->answer;
}


static ncr_int_t
ncr_test_header(ncr_eventstream_t *es, ncr_str_t *name, ncr_uint_t type,
    ncr_str_t *value)
{
    ncr_test_seen_t  *seen;

    seen = es->data;

    ncr_out_str(&seen->headers, name);
    ncr_out_text(&seen->headers, "/");
    ncr_out_int(&seen->headers, (int64_t) type);
    ncr_out_text(&seen->headers, "=");
    ncr_out_str(&seen->headers, value);
    ncr_out_text(&seen->headers, ";");

    return NCR_OK;
}


static void
ncr_test_begin(void)
{
    memset(&ncr_test_seen, 0, sizeof(ncr_test_seen));

    ncr_out_init(&ncr_test_seen.payload, ncr_test_seen.text,
                 sizeof(ncr_test_seen.text));
    ncr_out_init(&ncr_test_seen.headers, ncr_test_seen.buf,
                 sizeof(ncr_test_seen.buf));

    ncr_eventstream_init(&ncr_test_es);

    ncr_test_es.data = &ncr_test_seen;
    ncr_test_es.head = ncr_test_head;
    ncr_test_es.payload = ncr_test_payload;
    ncr_test_es.message = ncr_test_message;
    ncr_test_es.header = ncr_test_header;
}


/* in pieces of step bytes, each in memory of its exact length */

static ncr_int_t
ncr_test_feed(const ncr_char_t *p, size_t len, size_t step)
{
    size_t       n;
    ncr_int_t    rc;
    ncr_char_t  *copy;

    rc = NCR_OK;

    while (len && rc == NCR_OK) {
        n = ncr_min(step, len);
        copy = malloc(n);
        memcpy(copy, p, n);

        rc = ncr_eventstream_feed(&ncr_test_es, copy, n);

        free(copy);
        p += n;
        len -= n;
    }

    return rc;
}


static ncr_uint_t
ncr_test_out_is(ncr_out_t *out, const char *text)
{
    return !out->overflow && (size_t) (out->last - out->start) == strlen(text)
           && memcmp(out->start, text, strlen(text)) == 0;
}


#define NCR_TEST_CHUNK                                                        \
    "{\"bytes\":\"eyJ0eXBlIjoiY29udGVudF9ibG9ja19kZWx0YSIsImluZGV4IjowLCJk"   \
    "ZWx0YSI6eyJ0eXBlIjoidGV4dF9kZWx0YSIsInRleHQiOiJIaSJ9fQ==\","             \
    "\"p\":\"abcdefgh\"}"


static void
ncr_test_vectors(void)
{
    size_t      step;
    ncr_uint_t  ok;

    ok = 1;

    for (step = 1; step <= sizeof(ncr_frame_chunk); step++) {
        ncr_test_begin();

        ok &= ncr_test_feed(ncr_frame_chunk, sizeof(ncr_frame_chunk), step)
              == NCR_OK;
        ok &= ncr_test_seen.heads == 1 && ncr_test_seen.messages == 1;
        ok &= ncr_eventstream_boundary(&ncr_test_es);
        ok &= ncr_test_out_is(&ncr_test_seen.payload, NCR_TEST_CHUNK);
        ok &= ncr_test_out_is(&ncr_test_seen.headers,
                              ":event-type/7=chunk;"
                              ":content-type/7=application/json;"
                              ":message-type/7=event;");
    }

    ncr_test(ok, "F082: frame F1 in pieces of each size");
    ncr_test(strcmp(ncr_test_seen.last, "chunk") == 0
             && strcmp(ncr_test_es.message_type, "event") == 0, "its type");

    ncr_test_begin();
    ncr_test(ncr_test_feed(ncr_frame_stop, sizeof(ncr_frame_stop), 7)
             == NCR_OK
             && ncr_test_feed(ncr_frame_exception,
                              sizeof(ncr_frame_exception), 500) == NCR_OK
             && ncr_test_feed(ncr_frame_empty, sizeof(ncr_frame_empty), 500)
                == NCR_OK, "F082: frames F2, F3, F4");
    ncr_test(ncr_test_seen.messages == 3 && ncr_test_es.messages == 3
             && ncr_test_es.size == 0, "three messages, the last one empty");
    ncr_test(ncr_test_es.exception_type[0] == '\0'
             && ncr_test_es.message_type[0] == '\0',
             "nothing is left of the one before");
}


static void
ncr_test_broken(void)
{
    size_t      i;
    ncr_int_t   rc;
    ncr_uint_t  ok;
    ncr_char_t  frame[sizeof(ncr_frame_chunk)];

    ok = 1;

    for (i = 0; i < sizeof(frame); i++) {
        memcpy(frame, ncr_frame_chunk, sizeof(frame));
        frame[i] ^= 0x20;

        ncr_test_begin();
        rc = ncr_test_feed(frame, sizeof(frame), sizeof(frame));
        ok &= rc == NCR_BAD && ncr_test_es.error != NULL
              && ncr_test_seen.messages == 0;
    }

    ncr_test(ok, "a wrong byte, wherever it is");

    memcpy(frame, ncr_frame_chunk, sizeof(frame));
    frame[4] ^= 1;
    ncr_test_begin();
    ncr_test(ncr_test_feed(frame, sizeof(frame), 5) == NCR_BAD
             && strcmp(ncr_test_es.error,
                       "the checksum of a prelude is wrong") == 0,
             "I.6: byte 4 of F1");
    ncr_test(ncr_test_feed(ncr_frame_chunk, sizeof(frame), 5) == NCR_BAD,
             "it stays broken");

    memcpy(frame, ncr_frame_chunk, sizeof(frame));
    frame[sizeof(frame) - 5] ^= 1;
    ncr_test_begin();
    ncr_test(ncr_test_feed(frame, sizeof(frame), 5) == NCR_BAD
             && strcmp(ncr_test_es.error,
                       "the checksum of a message is wrong") == 0,
             "I.6: the last byte of its payload");

    ok = 1;

    for (i = 1; i < sizeof(frame); i++) {
        ncr_test_begin();
        ok &= ncr_test_feed(ncr_frame_chunk, i, i) == NCR_OK
              && ncr_test_seen.messages == 0
              && !ncr_eventstream_boundary(&ncr_test_es);
    }

    ncr_test(ok, "cut at each byte: no message, no boundary");
}


/* a prelude with the right checksum, and headers as they are */

static ncr_int_t
ncr_test_made(uint32_t total, uint32_t length, const char *headers, size_t n)
{
    size_t      all;
    ncr_char_t  buf[512];

    ncr_eventstream_put(buf, total);
    ncr_eventstream_put(buf + 4, length);
    ncr_eventstream_put(buf + 8, (uint32_t) crc32(0, buf, 8));

    memcpy(buf + 12, headers, n);
    all = 12 + n;

    ncr_eventstream_put(buf + all, (uint32_t) crc32(0, buf, (uInt) all));
    all += 4;

    ncr_test_begin();

    return ncr_test_feed(buf, all, 3);
}


#define ncr_test_headers(bytes)                                               \
    ncr_test_made(16 + sizeof(bytes) - 1, sizeof(bytes) - 1, bytes,           \
                  sizeof(bytes) - 1)


static void
ncr_test_lengths(void)
{
    ncr_test(ncr_test_made(16, 0, "", 0) == NCR_OK
             && ncr_test_seen.messages == 1, "16 bytes are the least");
    ncr_test(ncr_test_made(15, 0, "", 0) == NCR_BAD, "15 are too few");
    ncr_test(ncr_test_made(0, 0, "", 0) == NCR_BAD, "none");
    ncr_test(ncr_test_made(16, 1, "", 0) == NCR_BAD,
             "headers beyond the end");
    ncr_test(ncr_test_made(100, 0xffffffff, "", 0) == NCR_BAD,
             "headers of 4 GB");
    ncr_test(ncr_test_made(0xffffffff, 0, "", 0) == NCR_BAD,
             "a message of 4 GB");
    ncr_test(ncr_test_made(NCR_EVENTSTREAM_HEADERS + 17,
                           NCR_EVENTSTREAM_HEADERS + 1, "", 0) == NCR_BAD,
             "headers over 128 KB");
    ncr_test(ncr_test_made(NCR_EVENTSTREAM_PAYLOAD + 17, 0, "", 0)
             == NCR_BAD, "a payload over 24 MB");
    ncr_test(ncr_test_made(NCR_EVENTSTREAM_PAYLOAD + 16, 0, "", 0)
             == NCR_OK, "24 MB are waited for");
}


static void
ncr_test_types(void)
{
    ncr_test(ncr_test_headers("\1a\0" "\1b\1" "\1c\2x" "\1d\3xy"
                              "\1e\4wxyz" "\1f\5stuvwxyz" "\1g\6\0\2xy"
                              "\1h\7\0\0" "\1i\10stuvwxyz"
                              "\1j\11ijklmnopqrstuvwx")
             == NCR_OK
             && ncr_test_out_is(&ncr_test_seen.headers,
                                "a/0=;b/1=;c/2=x;d/3=xy;e/4=wxyz;"
                                "f/5=stuvwxyz;g/6=xy;h/7=;i/8=stuvwxyz;"
                                "j/9=ijklmnopqrstuvwx;"),
             "all types of headers");
    ncr_test(ncr_test_headers("\1a\12") == NCR_BAD, "type 10 is none");
    ncr_test(ncr_test_headers("\1a\377") == NCR_BAD, "type 255 is none");
    ncr_test(ncr_test_headers("\0\1") == NCR_BAD, "a header without a name");
    ncr_test(ncr_test_headers("\5abcd") == NCR_BAD, "a name beyond the end");
    ncr_test(ncr_test_headers("\1a") == NCR_BAD, "no type");
    ncr_test(ncr_test_headers("\1a\7\0") == NCR_BAD, "half of a length");
    ncr_test(ncr_test_headers("\1a\7\0\2x") == NCR_BAD,
             "a value beyond the end");
    ncr_test(ncr_test_headers("\1a\7\377\377x") == NCR_BAD,
             "a value of 64 KB in ten bytes");
    ncr_test(ncr_test_headers("\1a\5wxyz") == NCR_BAD,
             "an integer beyond the end");
    ncr_test(ncr_test_headers("\15:message-type\7\0\5event"
                              "\15:message-type\7\0\5error") == NCR_BAD,
             "a type that is told twice");
    ncr_test(ncr_test_headers("\15:message-type\6\0\5event") == NCR_OK
             && ncr_test_es.message_type[0] == '\0',
             "a type that is no string");
}


static void
ncr_test_long(void)
{
    size_t       begin;
    ncr_str_t    value, payload;
    ncr_out_t    out;
    ncr_char_t  *big, *text;

    big = malloc(8192);
    text = malloc(4096);
    memset(text, 'x', 4096);

    value.data = text;
    value.len = 4096;
    ncr_str_set(&payload, "pay");

    ncr_out_init(&out, big, 8192);
    begin = ncr_eventstream_begin(&out);
    ncr_eventstream_string(&out, ":error-message", &value);
    ncr_eventstream_string(&out, ":error-code", &payload);
    ncr_eventstream_end(&out, begin, &payload);

    ncr_test_begin();
    ncr_test_es.header = NULL;
    ncr_test(!out.overflow
             && ncr_test_feed(big, (size_t) (out.last - big), 1000) == NCR_OK
             && strlen(ncr_test_es.error_message)
                == sizeof(ncr_test_es.error_message) - 1
             && strcmp(ncr_test_es.error_code, "pay") == 0
             && ncr_test_out_is(&ncr_test_seen.payload, "pay"),
             "a long value is cut, what follows is not");

    ncr_test_begin();
    ncr_test_seen.answer = NCR_DONE;
    ncr_test(ncr_test_feed(ncr_frame_chunk, sizeof(ncr_frame_chunk), 500)
             == NCR_DONE
             && ncr_test_feed(ncr_frame_chunk, 1, 1) == NCR_DONE,
             "message() stops it");

    free(big);
    free(text);
}


static void
ncr_test_encoder(void)
{
    size_t      begin;
    ncr_str_t   value, payload;
    ncr_out_t   out;
    ncr_char_t  buf[256];

    payload.data = (ncr_char_t *) NCR_TEST_CHUNK;
    payload.len = sizeof(NCR_TEST_CHUNK) - 1;

    ncr_out_init(&out, buf, sizeof(buf));
    begin = ncr_eventstream_begin(&out);

    ncr_str_set(&value, "chunk");
    ncr_eventstream_string(&out, ":event-type", &value);
    ncr_str_set(&value, "application/json");
    ncr_eventstream_string(&out, ":content-type", &value);
    ncr_str_set(&value, "event");
    ncr_eventstream_string(&out, ":message-type", &value);

    ncr_eventstream_end(&out, begin, &payload);

    ncr_test(!out.overflow
             && (size_t) (out.last - buf) == sizeof(ncr_frame_chunk)
             && memcmp(buf, ncr_frame_chunk, sizeof(ncr_frame_chunk)) == 0,
             "the encoder makes F1");

    ncr_out_init(&out, buf, 100);
    begin = ncr_eventstream_begin(&out);
    ncr_eventstream_end(&out, begin, &payload);
    ncr_test(out.overflow, "no room");
}


int
main(void)
{
    ncr_test_vectors();
    ncr_test_broken();
    ncr_test_lengths();
    ncr_test_types();
    ncr_test_long();
    ncr_test_encoder();

    return ncr_test_done();
}
