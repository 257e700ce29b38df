
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Webhooks: whatever is in a hook, in an event and in an answer, what is sent
 * is one request line, whole headers, one JSON text, and bounded.
 */


#include "../src/platform/ncr_notify.c"
#include "ncr_fuzz.h"


static ncr_str_t ncr_fuzz_part(const uint8_t **data, size_t *size);
static void ncr_fuzz_sent(ncr_notify_request_t *request);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ncr_str_t             body, retry;
    ncr_uint_t            i;
    ncr_char_t            path[NCR_NOTIFY_HEAD], headers[NCR_NOTIFY_HEAD];
    ncr_notify_hook_t     hook;
    ncr_notify_event_t    event;
    ncr_notify_result_t   result;
    ncr_notify_request_t  request;

    static ncr_char_t    buf[NCR_NOTIFY_BODY];
    static ncr_sha256_t  sha;

    if (sha.state == NULL && ncr_sha256_create(&sha) != NCR_OK) {
        abort();
    }

    if (size < 2) {
        return 0;
    }

    memset(&event, 0, sizeof(ncr_notify_event_t));

    hook.kind = data[0] % NCR_NOTIFY_KINDS;
    event.nfields = data[1] % (NCR_NOTIFY_FIELDS + 1);
    event.time = INT64_C(1795262400123);

    data += 2;
    size -= 2;

    hook.url = ncr_fuzz_part(&data, &size);
    hook.secret = ncr_fuzz_part(&data, &size);
    hook.chat = ncr_fuzz_part(&data, &size);
    hook.thread = ncr_fuzz_part(&data, &size);
    event.id = ncr_fuzz_part(&data, &size);
    event.type = ncr_fuzz_part(&data, &size);
    event.level = ncr_fuzz_part(&data, &size);
    event.state = ncr_fuzz_part(&data, &size);
    event.subject = ncr_fuzz_part(&data, &size);
    event.title = ncr_fuzz_part(&data, &size);
    event.text = ncr_fuzz_part(&data, &size);
    event.service = ncr_fuzz_part(&data, &size);

    for (i = 0; i < event.nfields; i++) {
        event.fields[i].name = ncr_fuzz_part(&data, &size);
        event.fields[i].value = ncr_fuzz_part(&data, &size);
    }

    retry = ncr_fuzz_part(&data, &size);
    body = ncr_fuzz_part(&data, &size);

    ncr_out_init(&request.path, path, sizeof(path));
    ncr_out_init(&request.headers, headers, sizeof(headers));
    ncr_out_init(&request.body, buf, sizeof(buf));

    if (ncr_notify_request(&hook, &event, event.time, &sha, &request)
        == NCR_OK)
    {
        ncr_fuzz_sent(&request);
    }

    ncr_notify_result(hook.kind, 200, &retry, &body, event.time, &result);

    if (result.told != (result.error[0] == '\0')) {
        abort();
    }

    ncr_notify_result(hook.kind, 429, &retry, &body, event.time, &result);

    if (result.told || result.after > NCR_NOTIFY_AFTER || result.after < -1) {
        abort();
    }

    return 0;
}


/* up to the next line feed; nothing is behind it */

static ncr_str_t
ncr_fuzz_part(const uint8_t **data, size_t *size)
{
    size_t          n;
    ncr_str_t       part;
    const uint8_t  *p;

    p = *size ? memchr(*data, '\n', *size) : NULL;
    n = p ? (size_t) (p - *data) : *size;

    part.data = (ncr_char_t *) (uintptr_t) *data;
    part.len = n;

    n += (p != NULL);
    *data += n;
    *size -= n;

    return part;
}


static void
ncr_fuzz_sent(ncr_notify_request_t *request)
{
    size_t       i, n;
    ncr_json_t   json;
    ncr_out_t   *out;

    out = &request->path;
    n = (size_t) (out->last - out->start);

    if (n == 0 || out->start[0] != '/') {
        abort();
    }

    for (i = 0; i < n; i++) {
        if (out->start[i] <= ' ' || out->start[i] >= 0x7f) {
            abort();
        }
    }

    out = &request->headers;
    n = (size_t) (out->last - out->start);

    for (i = 0; i < n; i++) {

        if (out->start[i] == '\r') {
            i++;

            if (i == n || out->start[i] != '\n'
                || (i + 1 < n && out->start[i + 1] != 'X'))
            {
                abort();
            }

        } else if (out->start[i] < ' ') {
            abort();
        }
    }

    out = &request->body;

    ncr_json_init(&json);
    json.max_depth = 8;

    if (ncr_json_feed(&json, out->start, (size_t) (out->last - out->start))
        != NCR_OK)
    {
        abort();
    }
}
