
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "../../src/base/ncr_redis.c"

#include "ncr_test.h"


/* whole, and cut at each byte: replies, or -1 */

static int
ncr_test_frames(const char *text)
{
    size_t             i, len;
    ncr_int_t          rc;
    ncr_uint_t         whole, parts;
    ncr_redis_frame_t  a, b;

    memset(&a, 0, sizeof(a));
    memset(&b, 0, sizeof(b));

    len = strlen(text);
    whole = 0;
    parts = 0;

    rc = ncr_redis_frame(&a, (const ncr_char_t *) text, len, &whole);

    for (i = 0; i < len; i++) {
        if (ncr_redis_frame(&b, (const ncr_char_t *) text + i, 1, &parts)
            != NCR_OK)
        {
            break;
        }
    }

    if (whole != parts || (rc == NCR_OK) != (i == len)
        || (rc != NCR_OK) != (a.wrong != NULL))
    {
        return -2;
    }

    return (rc == NCR_OK) ? (int) whole : -1;
}


static void
ncr_test_good(void)
{
    ncr_test(ncr_test_frames("+OK\r\n") == 1, "a status");
    ncr_test(ncr_test_frames("-ERR no\r\n:12\r\n:-3\r\n") == 3,
             "an error, numbers");
    ncr_test(ncr_test_frames("$0\r\n\r\n$3\r\na\r\n\r\n$-1\r\n") == 3,
             "texts, and none");
    ncr_test(ncr_test_frames("*0\r\n*-1\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n")
             == 3, "arrays");
    ncr_test(ncr_test_frames("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n")
             == 1, "seven within each other");
    ncr_test(ncr_test_frames("*2\r\n*2\r\n:1\r\n:2\r\n*0\r\n+A\r\n") == 2,
             "an end of two at once");
    ncr_test(ncr_test_frames("*3\r\n:1\r\n") == 0, "more is to come");
}


static void
ncr_test_bad(void)
{
    size_t             i;
    char               line[1024];
    ncr_redis_frame_t  f;

    ncr_test(ncr_test_frames("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n")
             == -1, "eight are too many");
    ncr_test(ncr_test_frames("*1048577\r\n") == -1, "elements");
    ncr_test(ncr_test_frames("*99999999999999999999\r\n") == -1, "digits");
    ncr_test(ncr_test_frames("$67108865\r\n") == -1, "a text too large");
    ncr_test(ncr_test_frames("$-2\r\n") == -1
             && ncr_test_frames("*-10\r\n") == -1, "a negative length");
    ncr_test(ncr_test_frames("$1\r\nab\r\n") == -1, "another length");
    ncr_test(ncr_test_frames("$1\r\na\rb") == -1, "no end of line");
    ncr_test(ncr_test_frames("$\r\n") == -1 && ncr_test_frames(":-\r\n") == -1
             && ncr_test_frames(":1a\r\n") == -1, "no number");
    ncr_test(ncr_test_frames(",1.5\r\n") == -1
             && ncr_test_frames("HTTP/1.1 400\r\n") == -1
             && ncr_test_frames("\r\n") == -1, "another protocol");

    memset(&f, 0, sizeof(f));
    memset(line, 'x', sizeof(line));
    line[0] = '+';

    for (i = 0; i < 66; i++) {
        if (ncr_redis_frame(&f, (ncr_char_t *) line, sizeof(line), NULL)
            != NCR_OK)
        {
            break;
        }

        line[0] = 'x';
    }

    ncr_test(i == 64, "a line without an end");

    /* elements add up, too */

    memset(&f, 0, sizeof(f));

    (void) ncr_redis_frame(&f, (const ncr_char_t *) "*1000\r\n", 7, NULL);

    for (i = 0; i < 1000; i++) {
        (void) ncr_redis_frame(&f, (const ncr_char_t *) "$1000000\r\n", 10,
                               NULL);

        if (f.wrong) {
            break;
        }

        f.bulk = 0;
        f.size += 1000000;
        f.state = NCR_REDIS_BULK_CR;

        (void) ncr_redis_frame(&f, (const ncr_char_t *) "\r\n", 2, NULL);
    }

    ncr_test(i > 60 && i < 70 && f.wrong, "all of it too large");
    ncr_test(ncr_redis_frame(&f, (const ncr_char_t *) "+OK\r\n", 5, NULL)
             == NCR_BAD, "and it stays so");
}


static ncr_redis_error_e
ncr_test_error(const char *text)
{
    ncr_str_t  s;

    s = ncr_test_s(text);

    return ncr_redis_error(&s);
}


static void
ncr_test_errors(void)
{
    ncr_test(ncr_test_error("NOSCRIPT No matching script.")
             == NCR_REDIS_NOSCRIPT, "no script");
    ncr_test(ncr_test_error("OOM command not allowed") == NCR_REDIS_OOM
             && ncr_test_error("OOMS x") == NCR_REDIS_OTHER
             && ncr_test_error("ERR OOM ") == NCR_REDIS_OTHER
             && ncr_test_error("") == NCR_REDIS_OTHER, "the first word");
    ncr_test(ncr_test_error("ERR Error running script (call to f_1): "
                            "@user_script:1: -READONLY You can't")
             == NCR_REDIS_READONLY, "in a script");
    ncr_test(strstr(ncr_redis_error_text(NCR_REDIS_MISCONF), "disk") != NULL
             && ncr_redis_error_text(NCR_REDIS_OTHER) == NULL
             && ncr_redis_error_text(NCR_REDIS_MOVED) == NULL, "in words");
}


static int
ncr_test_moved_to(const char *text, const char *host, ncr_uint_t port)
{
    ncr_str_t          s;
    ncr_redis_place_t  place;

    s = ncr_test_s(text);

    return ncr_redis_moved(&s, &place) == NCR_OK
           && strcmp(place.host, host) == 0 && place.port == port;
}


static void
ncr_test_places(void)
{
    char               long_host[400];
    ncr_str_t          host, port;
    ncr_redis_place_t  place;

    ncr_test(ncr_test_moved_to("MOVED 3999 127.0.0.1:6381", "127.0.0.1", 6381)
             && ncr_test_moved_to("ASK 0 r1.test:1", "r1.test", 1)
             && ncr_test_moved_to("MOVED 16383 ::1:65535", "::1", 65535)
             && ncr_test_moved_to("MOVED 1 :7000", "", 7000), "moved");

    ncr_test(!ncr_test_moved_to("MOVED 16384 a:1", "a", 1)
             && !ncr_test_moved_to("MOVED -1 a:1", "a", 1)
             && !ncr_test_moved_to("MOVED 1 a:0", "a", 0)
             && !ncr_test_moved_to("MOVED 1 a:65536", "a", 65536)
             && !ncr_test_moved_to("MOVED 1 a", "a", 0)
             && !ncr_test_moved_to("MOVED 1 a:", "a", 0)
             && !ncr_test_moved_to("MOVED 1", "", 0)
             && !ncr_test_moved_to("MOVED ", "", 0)
             && !ncr_test_moved_to("MOVED 1 a b:1", "a b", 1)
             && !ncr_test_moved_to("ERR 1 a:1", "a", 1), "not moved");

    memset(long_host, 'h', sizeof(long_host));
    long_host[255] = '\0';

    host = ncr_test_s(long_host);
    port = ncr_test_s("6379");

    ncr_test(ncr_redis_place(&place, &host, &port, 0) == NCR_OK
             && strlen(place.host) == 255, "the longest host");

    host.len = 256;
    ncr_test(ncr_redis_place(&place, &host, &port, 0) == NCR_BAD,
             "a longer one");

    host.len = 0;
    ncr_test(ncr_redis_place(&place, &host, &port, 0) == NCR_BAD, "none");
}


static void
ncr_test_infos(void)
{
    ncr_str_t  text, value;

    text = ncr_test_s("# Persistence\r\nloading:0\r\naof_enabled:1\r\n"
                        "aof_enabled_x:2\r\nlast:");

    ncr_test(ncr_redis_info(&text, "aof_enabled", &value) == NCR_OK
             && value.len == 1 && value.data[0] == '1', "a line");
    ncr_test(ncr_redis_info(&text, "last", &value) == NCR_OK
             && value.len == 0, "the last one");
    ncr_test(ncr_redis_info(&text, "aof", &value) == NCR_DECLINED
             && ncr_redis_info(&text, "enabled", &value) == NCR_DECLINED,
             "a part of a name");
}


static void
ncr_test_shown(void)
{
    char       buf[16];
    ncr_str_t  text, secret;

    secret = ncr_test_s("swordfish");

    text = ncr_test_s("ERR \"no\"\r\n way at all");
    ncr_test(ncr_redis_shown(buf, sizeof(buf), &text, &secret)
             && strcmp(buf, "ERR .no... way ") == 0, "shown");

    text = ncr_test_s("ERR with args: sword");
    ncr_test(!ncr_redis_shown(buf, sizeof(buf), &text, &secret)
             && buf[0] == '\0', "a part of the secret");

    secret = ncr_test_s("ab");
    text = ncr_test_s("ERR cabin");
    ncr_test(!ncr_redis_shown(buf, sizeof(buf), &text, &secret),
             "a short one");

    secret.len = 0;
    ncr_test(ncr_redis_shown(buf, sizeof(buf), &text, &secret)
             && strcmp(buf, "ERR cabin") == 0, "no secret");
}


int
main(void)
{
    ncr_test_good();
    ncr_test_bad();
    ncr_test_errors();
    ncr_test_places();
    ncr_test_infos();
    ncr_test_shown();

    return ncr_test_done();
}
