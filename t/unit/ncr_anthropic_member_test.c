
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Where the members of a body are: whole, and cut at every offset. */


#include "../../src/codec/ncr_anthropic_request.c"
#include "../../src/codec/ncr_anthropic_member.c"
#include "ncr_bodies.h"


typedef struct {
    const char  *name;
    const char  *body;
    const char  *told;                  /* "name key start-end" of each */
} ncr_test_row_t;


static ncr_anthropic_request_t  ncr_test_req;


static ncr_test_row_t  ncr_test_rows[] = {

    { "scalars", "{\"model\":\"m\", \"top_p\" : 0.5}",
      "1 1 9-12; 16 14 24-27; {1 }27" },
    { "containers", "{\"metadata\":{\"a\":[1]},\"tools\":[{}]}",
      "4 1 12-21; 18 22 30-34; {1 }34" },
    { "what means nothing", "{\"x\":null,\"thinking\":{}}",
      "0 1 5-9; 14 10 21-23; {1 }23" },
    { "a name that is escaped", "{\"top\\u005fp\":1}", "16 1 14-15; {1 }15" },
    { "nothing", " { } ", "{2 }3" },
    { "deeper ones are none", "{\"a\":{\"top_p\":{\"b\":1}}}",
      "0 1 5-22; {1 }22" }
};


static void
ncr_test_told(char *buf, size_t size)
{
    size_t          n;
    ncr_uint_t      i;
    ncr_members_t  *members;

    n = 0;
    members = ncr_test_req.told.members;

    for (i = 0; i < members->n; i++) {
        n += (size_t) snprintf(buf + n, size - n, "%d %d %d-%d; ",
                               (int) members->member[i].name,
                               (int) members->member[i].key,
                               (int) members->member[i].start,
                               (int) members->member[i].end);
    }

    snprintf(buf + n, size - n, "{%d }%d", (int) members->open,
             (int) members->close);
}


static void
ncr_test_init(ncr_uint_t how)
{
    ncr_anthropic_request_init(&ncr_test_req, NULL, NULL, how);
}


static const ncr_bodies_t  ncr_bodies = {
    &ncr_codec_anthropic, &ncr_test_req.told, sizeof(ncr_test_req),
    ncr_test_init, NULL
};


static ncr_int_t
ncr_test_read(const char *body, size_t cut)
{
    return ncr_bodies_read(body, strlen(body), cut, strlen(body), 0);
}


int
main(void)
{
    char             told[512], body[2048];
    size_t           n, cut;
    ncr_uint_t       i, good;
    ncr_test_row_t  *row;

    for (i = 0; i < sizeof(ncr_test_rows) / sizeof(ncr_test_row_t); i++) {
        row = &ncr_test_rows[i];
        good = 1;

        for (cut = 0; cut <= strlen(row->body); cut++) {
            good &= (ncr_test_read(row->body, cut) == NCR_OK);

            ncr_test_told(told, sizeof(told));
            good &= (strcmp(told, row->told) == 0);
        }

        ncr_test(good, row->name);
    }

    /* as many as there is room for; a body of more is refused */

    n = 1;
    body[0] = '{';

    for (i = 0; i < NCR_MEMBERS; i++) {
        n += (size_t) sprintf(body + n, "%s\"k%d\":[]", i ? "," : "",
                              (int) i);
    }

    strcpy(body + n, "}");

    ncr_test(ncr_test_read(body, 0) == NCR_OK
             && ncr_test_req.told.members->n == NCR_MEMBERS
             && ncr_test_req.told.members->member[NCR_MEMBERS - 1].end == n,
             "as many as there is room for");

    strcpy(body + n, ",\"z\":1}");

    ncr_test(ncr_test_read(body, 0) == NCR_BAD, "one more is too many");

    return ncr_test_done();
}
