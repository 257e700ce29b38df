
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* What requests to Code Assist are made of; private to ncr_assist_*.c. */


#ifndef _NCR_ASSIST_WAY_H_INCLUDED_
#define _NCR_ASSIST_WAY_H_INCLUDED_


#include "ncr_assist.h"
#include "ncr_gemini.h"
#include "ncr_str.h"
#include "ncr_uri.h"


typedef struct {
    ncr_way_t   *way;
    ncr_str_t    project;               /* with its quotes, or "" */
    ncr_str_t    cut;                   /* what session() has made */
    unsigned     modern:1;              /* Antigravity's envelope (C7) */
    unsigned     own:1;                 /* the client's is of this kind */
} ncr_assist_way_t;


ncr_int_t ncr_assist_refuse(ncr_way_t *way, ncr_uint_t status,
    const char *error);

/* an edit whose text is what is written between these two */
void ncr_assist_edit(ncr_way_t *way, uint64_t offset, uint64_t remove);
void ncr_assist_insert(ncr_way_t *way);

/* of a client that comes with an envelope */
ncr_int_t ncr_assist_envelope(ncr_assist_way_t *aw);
ncr_int_t ncr_assist_control(ncr_assist_way_t *aw);

/* where the contents are that "generateContentRequest" has */
ncr_int_t ncr_assist_contents(ncr_way_t *way, uint64_t *start, uint64_t *end);

/* the model under the name that the platform has for it */
ncr_str_t ncr_assist_model(ncr_assist_way_t *aw);

/* into the text */
void ncr_assist_modern(ncr_assist_way_t *aw, ncr_str_t *model);
void ncr_assist_uuid(ncr_way_t *way);

/* the member that has the session, into cut */
void ncr_assist_session(ncr_assist_way_t *aw);

/* Antigravity's spelling of names; returns the mask of what it takes not */
uint64_t ncr_assist_spell(ncr_assist_way_t *aw, ncr_members_t *members);


#endif /* _NCR_ASSIST_WAY_H_INCLUDED_ */
