
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Edits of members: every set of removed members of bodies of every shape,
 * with and without something added, is JSON with just what is left.
 */


#include "../../src/codec/ncr_members.c"
#include "../../src/base/ncr_edit.c"
#include "ncr_test.h"

#include <stdlib.h>
#include <cjson/cJSON.h>


#define NCR_TEST_MEMBERS  5


static char        ncr_test_body[512];
static char        ncr_test_out[1024];
static ncr_members_t  ncr_test_members;


/* n members "m1" ... of the names 1 ...; odd ones are without a name */

static void
ncr_test_make(ncr_uint_t n, const char *space, ncr_uint_t nameless)
{
    char           *p;
    ncr_uint_t      i;
    ncr_member_t   *m;

    p = ncr_test_body;
    p += sprintf(p, "%s{", space);

    ncr_test_members.open = (uint64_t) (p - ncr_test_body);
    ncr_test_members.n = n;

    for (i = 0; i < n; i++) {
        m = &ncr_test_members.member[i];

        p += sprintf(p, "%s%s", i ? "," : "", space);

        m->name = (nameless >> i & 1) ? 0 : i + 1;
        m->key = (uint64_t) (p - ncr_test_body);

        p += sprintf(p, "\"m%d\"%s:%s", (int) i + 1, space, space);

        m->start = (uint64_t) (p - ncr_test_body);

        p += sprintf(p, "[%d,\"}\"]", (int) i + 1);

        m->end = (uint64_t) (p - ncr_test_body);

        p += sprintf(p, "%s", space);
    }

    ncr_test_members.close = (uint64_t) (p - ncr_test_body);

    sprintf(p, "}%s", space);
}


/* 1 if the edits are in order and none lies in another */

static int
ncr_test_apply(ncr_edit_t *edits, ncr_uint_t n)
{
    char        *p;
    uint64_t     pos;
    ncr_uint_t   i;

    ncr_edit_sort(edits, n);

    p = ncr_test_out;
    pos = 0;

    for (i = 0; i < n; i++) {

        if (edits[i].offset < pos) {
            return 0;
        }

        memcpy(p, ncr_test_body + pos, edits[i].offset - pos);
        p += edits[i].offset - pos;

        if (edits[i].insert.len) {
            memcpy(p, edits[i].insert.data, edits[i].insert.len);
            p += edits[i].insert.len;
        }

        pos = edits[i].offset + edits[i].remove;
    }

    if (pos > strlen(ncr_test_body)) {
        return 0;
    }

    strcpy(p, ncr_test_body + pos);

    return 1;
}


/* what is left is what should be */

static int
ncr_test_left(ncr_uint_t n, ncr_uint_t nameless, uint64_t mask,
    ncr_uint_t added, ncr_uint_t set)
{
    int          ok, left, gone;
    char         name[16], *text;
    cJSON       *json, *item;
    ncr_uint_t   i;

    json = cJSON_ParseWithOpts(ncr_test_out, NULL, 1);
    if (json == NULL) {
        return 0;
    }

    ok = 1;
    left = 0;

    for (i = 0; i < n; i++) {
        sprintf(name, "m%d", (int) i + 1);

        item = cJSON_GetObjectItemCaseSensitive(json, name);
        gone = !(nameless >> i & 1) && (mask >> (i + 1) & 1);

        ok &= ((item == NULL) == gone);
        left += !gone;

        if (item && i + 1 == set) {
            ok &= (item->type == cJSON_String);
        }
    }

    ok &= (cJSON_GetArraySize(json) == left + (added ? 2 : 0));

    if (added) {
        text = cJSON_PrintUnformatted(cJSON_GetObjectItem(json, "store"));
        ok &= (text && strcmp(text, "false") == 0);
        free(text);
    }

    cJSON_Delete(json);

    return ok;
}


static void
ncr_test_all(const char *space, const char *name)
{
    int          ok;
    uint64_t     mask;
    ncr_str_t    text, value;
    ncr_uint_t   n, added, nameless, set, nedits;
    ncr_edit_t   edits[NCR_TEST_MEMBERS + 3];
    ncr_member_t  *m;

    ncr_str_set(&text, "\"store\":false,\"a\":\"b\"");
    ncr_str_set(&value, "\"of another kind\"");

    ok = 1;

    for (n = 0; n <= NCR_TEST_MEMBERS; n++) {
        for (nameless = 0; nameless < (1u << n); nameless++) {

            ncr_test_make(n, space, nameless);

            for (mask = 0; mask < (2u << n); mask++) {
                for (added = 0; added < 2; added++) {

                    nedits = ncr_members_remove(&ncr_test_members, mask,
                                                edits);
                    if (added) {
                        nedits += ncr_members_add(&ncr_test_members, mask,
                                                  &text, edits + nedits);
                    }

                    /* the first that stays and has a name gets a value */

                    for (set = 1; set <= n; set++) {
                        m = ncr_members_find(&ncr_test_members, set);

                        if (m && !(mask >> set & 1)) {
                            ncr_members_set(m, &value, &edits[nedits++]);
                            break;
                        }
                    }

                    ok &= ncr_test_apply(edits, nedits)
                          && ncr_test_left(n, nameless, mask, added, set);
                }
            }
        }
    }

    ncr_test(ok, name);
}


int
main(void)
{
    ncr_test_all("", "all sets of members, no space between");
    ncr_test_all(" ", "all sets of members, spaces");
    ncr_test_all("\r\n\t ", "all sets of members, lines");

    ncr_test_make(2, "", 0);
    ncr_test(ncr_members_find(&ncr_test_members, 3) == NULL, "no such member");
    ncr_test(ncr_members_find(&ncr_test_members, 2)
             == &ncr_test_members.member[1], "a member");

    return ncr_test_done();
}
