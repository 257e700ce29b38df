
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Another effort (output_config.effort, anthropic.md B.4, row 11), as edits:
 * where the request's reader has said that it is, and nothing else is touched.
 */


#include "ncr_anthropic.h"


static void ncr_anthropic_effort_put(ncr_edit_t *edit, uint64_t offset,
    uint64_t remove, char *text);


ncr_uint_t
ncr_anthropic_effort(ncr_anthropic_config_t *config, ncr_str_t *effort,
    ncr_edit_t *edits)
{
    edits[1].remove = 0;
    edits[1].insert = *effort;

    switch (config->kind) {

    case NCR_ANTHROPIC_CONFIG_NONE:

        ncr_anthropic_effort_put(&edits[0], config->open, 0,
                                 "\"output_config\":{\"effort\":");
        edits[1].offset = config->open;
        ncr_anthropic_effort_put(&edits[2], config->open, 0,
                                 config->alone ? "}" : "},");
        return 3;

    case NCR_ANTHROPIC_CONFIG_OBJECT:

        if (config->effort_end) {
            edits[0] = edits[1];
            edits[0].offset = config->effort_start;
            edits[0].remove = config->effort_end - config->effort_start;
            return 1;
        }

        ncr_anthropic_effort_put(&edits[0], config->start + 1, 0,
                                 "\"effort\":");
        edits[1].offset = config->start + 1;

        if (config->empty) {
            return 2;
        }

        ncr_anthropic_effort_put(&edits[2], config->start + 1, 0, ",");
        return 3;

    case NCR_ANTHROPIC_CONFIG_NULL:

        ncr_anthropic_effort_put(&edits[0], config->start,
                                 config->end - config->start,
                                 "{\"effort\":");
        edits[1].offset = config->end;
        ncr_anthropic_effort_put(&edits[2], config->end, 0, "}");
        return 3;

    default: /* NCR_ANTHROPIC_CONFIG_OTHER: the upstream's to refuse */
        return 0;
    }
}


static void
ncr_anthropic_effort_put(ncr_edit_t *edit, uint64_t offset, uint64_t remove,
    char *text)
{
    edit->offset = offset;
    edit->remove = remove;
    edit->insert.data = (ncr_char_t *) text;
    edit->insert.len = strlen(text);
}
