
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A request body as Claude Code makes them: the question, then rounds of a
 * tool call and its result, which is source code: about 55,000 escapes in a
 * megabyte.
 */


#include "bench.h"

#include <stdlib.h>
#include <string.h>


typedef struct {
    char    *start;
    char    *last;
    char    *end;
} bench_out_t;


static const char  bench_open[] =
    "{\"model\":\"claude-sonnet-4-5\",\"messages\":[{\"role\":\"user\","
    "\"content\":[{\"type\":\"text\",\"text\":\"Please find out why the "
    "second test fails.\"}]}";

static const char  bench_call[] =
    ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
    "\"I will read the file.\"},{\"type\":\"tool_use\",\"id\":"
    "\"toolu_01A09q90qw90lq917835lq9\",\"name\":\"Read\",\"input\":"
    "{\"file_path\":\"/src/list.c\",\"limit\":200}}]},{\"role\":\"user\","
    "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
    "\"toolu_01A09q90qw90lq917835lq9\",\"content\":\"";

static const char  bench_code[] =
    "    12\\t/* the value is the next one of the list, if there is any */\\n"
    "    13\\tif (strcmp(name, \\\"key\\\") == 0) {\\n"
    "    14\\t    value = list_next(list);\\n"
    "    15\\n    16\\t    printf(\\\"%s: %d\\\\n\\\", name, value->number);\\n"
    "    17\\t    remember(table, name, value->number, value->kind);\\n"
    "    18\\t}\\n";

static const char  bench_result_end[] = "\"}]}";

static const char  bench_close[] =
    "],\"system\":[{\"type\":\"text\",\"text\":\"You are a coding agent.\","
    "\"cache_control\":{\"type\":\"ephemeral\"}}],\"metadata\":{\"user_id\":"
    "\"{\\\"device_id\\\":\\\"0123456789abcdef0123456789abcdef\\\","
    "\\\"account_uuid\\\":\\\"\\\",\\\"session_id\\\":"
    "\\\"00000000-0000-4000-8000-000000000001\\\"}\"},\"max_tokens\":32000,"
    "\"thinking\":{\"type\":\"adaptive\"},\"stream\":";


static void
bench_put(bench_out_t *out, const char *text)
{
    size_t  len;

    len = strlen(text);

    if (out->last + len > out->end) {
        bench_die("body of too few bytes");
    }

    memcpy(out->last, text, len);
    out->last += len;
}


static int
bench_room(bench_out_t *out, size_t need)
{
    return (size_t) (out->end - out->last) >= need;
}


char *
bench_body(size_t size, int stream, size_t *len)
{
    size_t        rest;
    const char   *end;
    bench_out_t   out;

    out.start = malloc(size);
    if (out.start == NULL) {
        bench_die("no memory");
    }

    out.last = out.start;
    out.end = out.start + size;

    end = stream ? "true}" : "false}";
    rest = strlen(bench_close) + strlen(end);

    bench_put(&out, bench_open);

    rest += strlen(bench_result_end);

    while (bench_room(&out, rest + strlen(bench_call) + strlen(bench_code))) {

        char  *round;

        bench_put(&out, bench_call);

        round = out.last;

        while (out.last - round < 4096
               && bench_room(&out, rest + strlen(bench_code)))
        {
            bench_put(&out, bench_code);
        }

        bench_put(&out, bench_result_end);
    }

    bench_put(&out, bench_close);
    bench_put(&out, end);

    *len = (size_t) (out.last - out.start);

    return out.start;
}
