
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Edits of a body's top-level members, by slices. */


#include "ncr_codec.h"


#define ncr_members_named(member, mask)                                       \
    ((member)->name && ((mask) >> (member)->name & 1))


ncr_member_t *
ncr_members_find(ncr_members_t *members, ncr_uint_t name)
{
    ncr_uint_t  i;

    for (i = 0; i < members->n; i++) {
        if (members->member[i].name == name) {
            return &members->member[i];
        }
    }

    return NULL;
}


/*
 * A run of them goes with the comma in front of it; one at the very front
 * with that behind it.
 */

ncr_uint_t
ncr_members_remove(ncr_members_t *members, uint64_t mask, ncr_edit_t *edits)
{
    uint64_t       end;
    ncr_uint_t     i, j, n;
    ncr_edit_t    *edit;
    ncr_member_t  *m;

    n = 0;
    end = 0;
    m = members->member;

    for (i = 0; i < members->n; i = j) {

        j = i;

        while (j < members->n && ncr_members_named(&m[j], mask)) {
            j++;
        }

        if (j == i) {
            end = m[i].end;
            j++;
            continue;
        }

        edit = &edits[n++];

        if (end) {
            edit->offset = end;
            edit->remove = m[j - 1].end - end;

        } else {
            edit->offset = m[i].key;
            edit->remove = ((j < members->n) ? m[j].key : m[j - 1].end)
                           - m[i].key;
        }

        ncr_str_null(&edit->insert);
    }

    return n;
}


void
ncr_members_set(ncr_member_t *member, ncr_str_t *text, ncr_edit_t *edit)
{
    edit->offset = member->start;
    edit->remove = member->end - member->start;
    edit->insert = *text;
}


ncr_uint_t
ncr_members_add(ncr_members_t *members, uint64_t removed, ncr_str_t *text,
    ncr_edit_t *edits)
{
    ncr_uint_t  i, n;

    n = 0;

    for (i = 0; i < members->n; i++) {

        if (ncr_members_named(&members->member[i], removed)) {
            continue;
        }

        edits[n].offset = members->close;
        edits[n].remove = 0;
        ncr_str_set(&edits[n].insert, ",");

        n++;
        break;
    }

    edits[n].offset = members->close;
    edits[n].remove = 0;
    edits[n].insert = *text;

    return n + 1;
}
