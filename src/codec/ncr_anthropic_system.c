
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A block in front of "system" (anthropic.md B.7), as edits: where the
 * request's reader has said that it is, and nothing else is touched.
 */


#include "ncr_anthropic.h"


static void ncr_anthropic_lead_put(ncr_edit_t *edit, uint64_t offset,
    uint64_t remove, char *text);


ncr_uint_t
ncr_anthropic_lead(ncr_anthropic_system_t *system, ncr_str_t *block,
    ncr_edit_t *edits)
{
    if (system->leads) {
        return 0;
    }

    edits[1].offset = system->start;
    edits[1].remove = 0;
    edits[1].insert = *block;

    switch (system->kind) {

    case NCR_ANTHROPIC_SYSTEM_NONE:

        ncr_anthropic_lead_put(&edits[0], system->open, 0, "\"system\":[");
        edits[1].offset = system->open;
        ncr_anthropic_lead_put(&edits[2], system->open, 0,
                               system->alone ? "]" : "],");
        return 3;

    case NCR_ANTHROPIC_SYSTEM_STRING:

        if (!system->empty) {
            ncr_anthropic_lead_put(&edits[0], system->start, 0, "[");
            ncr_anthropic_lead_put(&edits[2], system->start, 0,
                                   ",{\"type\":\"text\",\"text\":");
            ncr_anthropic_lead_put(&edits[3], system->end, 0, "}]");
            return 4;
        }

        /* the API refuses an empty block, which an empty string is not */

        /* fall through */

    case NCR_ANTHROPIC_SYSTEM_NULL:

        ncr_anthropic_lead_put(&edits[0], system->start,
                               system->end - system->start, "[");
        edits[1].offset = system->end;
        ncr_anthropic_lead_put(&edits[2], system->end, 0, "]");
        return 3;

    case NCR_ANTHROPIC_SYSTEM_ARRAY:

        if (system->attributed) {

            /* the API takes it out only where it is the first (B.3) */

            ncr_anthropic_lead_put(&edits[0], system->after, 0, ",");
            edits[1].offset = system->after;
            return 2;
        }

        edits[0] = edits[1];
        edits[0].offset = system->start + 1;

        if (system->empty) {
            return 1;
        }

        ncr_anthropic_lead_put(&edits[1], system->start + 1, 0, ",");
        return 2;

    default: /* NCR_ANTHROPIC_SYSTEM_OTHER: the upstream's to refuse */
        return 0;
    }
}


static void
ncr_anthropic_lead_put(ncr_edit_t *edit, uint64_t offset, uint64_t remove,
    char *text)
{
    edit->offset = offset;
    edit->remove = remove;
    edit->insert.data = (ncr_char_t *) text;
    edit->insert.len = strlen(text);
}
