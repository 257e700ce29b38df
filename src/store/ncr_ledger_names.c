
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Names and dimensions, and the hash that these, sums and counters are kept
 * in.  The caches are completed at the beginning of a transaction: others
 * may have added something.
 */


#include "ncr_ledger_int.h"


/* whoever has a key may ask for any model: further ones are "other" */

static const ncr_uint_t  ncr_ledger_most[NCR_LEDGER_KINDS] = {
    4096, UINT32_MAX, 8192
};


static uint64_t ncr_ledger_hash_key(const int64_t *key, ncr_uint_t n);
static ncr_int_t ncr_ledger_hash_grow(ncr_ledger_hash_t *h);
static ncr_int_t ncr_ledger_hash_slots(ncr_ledger_hash_t *h,
    ncr_uint_t nslots);
static ncr_ledger_name_t *ncr_ledger_name_find(ncr_ledger_t *ledger,
    ncr_ledger_kind_e kind, ncr_str_t *text, int64_t *key);
static ncr_ledger_name_t *ncr_ledger_name_add(ncr_ledger_t *ledger,
    int64_t *key, ncr_str_t *text);
static ncr_int_t ncr_ledger_memory(ncr_ledger_t *ledger);


void
ncr_ledger_hash_init(ncr_ledger_hash_t *h, size_t size, ncr_uint_t keys)
{
    memset(h, 0, sizeof(ncr_ledger_hash_t));

    h->size = size;
    h->keys = keys;
}


void
ncr_ledger_hash_free(ncr_ledger_hash_t *h)
{
    free(h->entries);
    free(h->slots);

    h->entries = NULL;
    h->slots = NULL;
    h->n = 0;
    h->alloc = 0;
    h->nslots = 0;
}


static uint64_t
ncr_ledger_hash_key(const int64_t *key, ncr_uint_t n)
{
    uint64_t    hash;
    ncr_uint_t  i;

    hash = 0;

    for (i = 0; i < n; i++) {
        hash = (hash ^ (uint64_t) key[i]) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 29;
    }

    return hash;
}


void *
ncr_ledger_hash_find(ncr_ledger_hash_t *h, const int64_t *key)
{
    char        *entry;
    uint32_t     n;
    ncr_uint_t   slot;

    if (h->nslots == 0) {
        return NULL;
    }

    slot = (ncr_uint_t) ncr_ledger_hash_key(key, h->keys) & (h->nslots - 1);

    for ( ;; ) {

        n = h->slots[slot];

        if (n == 0) {
            return NULL;
        }

        entry = ncr_ledger_hash_entry(h, n - 1);

        if (memcmp(entry, key, h->keys * sizeof(int64_t)) == 0) {
            return entry;
        }

        slot = (slot + 1) & (h->nslots - 1);
    }
}


void *
ncr_ledger_hash_get(ncr_ledger_hash_t *h, const int64_t *key)
{
    char        *entry;
    ncr_uint_t   slot;

    entry = ncr_ledger_hash_find(h, key);

    if (entry) {
        return entry;
    }

    if (h->n == h->alloc && ncr_ledger_hash_grow(h) != NCR_OK) {
        return NULL;
    }

    entry = ncr_ledger_hash_entry(h, h->n);

    memset(entry, 0, h->size);
    memcpy(entry, key, h->keys * sizeof(int64_t));

    slot = (ncr_uint_t) ncr_ledger_hash_key(key, h->keys) & (h->nslots - 1);

    while (h->slots[slot]) {
        slot = (slot + 1) & (h->nslots - 1);
    }

    h->slots[slot] = (uint32_t) ++h->n;

    return entry;
}


/* half of the slots are free at least */

static ncr_int_t
ncr_ledger_hash_grow(ncr_ledger_hash_t *h)
{
    char        *entries;
    ncr_uint_t   alloc;

    alloc = h->alloc ? 2 * h->alloc : 64;

    if (alloc > UINT32_MAX / 4) {
        return NCR_ERROR;
    }

    entries = malloc(alloc * h->size);

    if (entries == NULL) {
        return NCR_ERROR;
    }

    if (h->n) {
        memcpy(entries, h->entries, h->n * h->size);
    }

    free(h->entries);

    h->entries = entries;
    h->alloc = alloc;

    if (ncr_ledger_hash_slots(h, 2 * alloc) != NCR_OK) {
        h->alloc = h->n;
        return NCR_ERROR;
    }

    return NCR_OK;
}


static ncr_int_t
ncr_ledger_hash_slots(ncr_ledger_hash_t *h, ncr_uint_t nslots)
{
    uint32_t    *slots;
    ncr_uint_t   i, slot;

    slots = calloc(nslots, sizeof(uint32_t));

    if (slots == NULL) {
        return NCR_ERROR;
    }

    for (i = 0; i < h->n; i++) {

        slot = (ncr_uint_t) ncr_ledger_hash_key(ncr_ledger_hash_entry(h, i),
                                                h->keys)
               & (nslots - 1);

        while (slots[slot]) {
            slot = (slot + 1) & (nslots - 1);
        }

        slots[slot] = (uint32_t) i + 1;
    }

    free(h->slots);

    h->slots = slots;
    h->nslots = nslots;

    return NCR_OK;
}


void
ncr_ledger_hash_cut(ncr_ledger_hash_t *h, ncr_uint_t n)
{
    ncr_uint_t  i, slot;

    if (n >= h->n) {
        return;
    }

    h->n = n;

    memset(h->slots, 0, h->nslots * sizeof(uint32_t));

    for (i = 0; i < n; i++) {

        slot = (ncr_uint_t) ncr_ledger_hash_key(ncr_ledger_hash_entry(h, i),
                                                h->keys)
               & (h->nslots - 1);

        while (h->slots[slot]) {
            slot = (slot + 1) & (h->nslots - 1);
        }

        h->slots[slot] = (uint32_t) i + 1;
    }
}


ncr_int_t
ncr_ledger_names_load(ncr_ledger_t *ledger)
{
    int                 i, err;
    int64_t             key[3], dim[NCR_LEDGER_DIMS];
    ncr_str_t           text;
    ncr_uint_t          n;
    sqlite3_stmt       *stmt;

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_NAMES);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) ledger->names.n);

    while ((err = sqlite3_step(stmt)) == SQLITE_ROW) {

        n = (ncr_uint_t) sqlite3_column_int64(stmt, 1);

        text.data = (ncr_char_t *) (uintptr_t) sqlite3_column_text(stmt, 2);
        text.len = (size_t) sqlite3_column_bytes(stmt, 2);

        if (sqlite3_column_int64(stmt, 0) != (int64_t) ledger->names.n + 1
            || n >= NCR_LEDGER_KINDS || text.data == NULL)
        {
            sqlite3_reset(stmt);
            return ncr_ledger_say(ledger, "is corrupt: a name is missing");
        }

        (void) ncr_ledger_name_find(ledger, (ncr_ledger_kind_e) n, &text,
                                    key);

        if (ncr_ledger_name_add(ledger, key, &text) == NULL) {
            sqlite3_reset(stmt);
            return ncr_ledger_memory(ledger);
        }
    }

    sqlite3_reset(stmt);

    if (err != SQLITE_DONE) {
        return ncr_ledger_fail(ledger);
    }

    stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_DIMS);

    if (stmt == NULL) {
        return ncr_ledger_fail(ledger);
    }

    sqlite3_bind_int64(stmt, 1, (sqlite3_int64) ledger->dims.n);

    while ((err = sqlite3_step(stmt)) == SQLITE_ROW) {

        for (i = 0; i < NCR_LEDGER_DIMS; i++) {
            dim[i] = sqlite3_column_int64(stmt, i + 1);
        }

        n = ledger->dims.n;

        if (ncr_ledger_hash_get(&ledger->dims, dim) == NULL) {
            sqlite3_reset(stmt);
            return ncr_ledger_memory(ledger);
        }

        if (sqlite3_column_int64(stmt, 0) != (int64_t) n + 1
            || ledger->dims.n != n + 1)
        {
            sqlite3_reset(stmt);
            return ncr_ledger_say(ledger, "is corrupt: a sum's names are"
                                  " missing");
        }
    }

    sqlite3_reset(stmt);

    return (err == SQLITE_DONE) ? NCR_OK : ncr_ledger_fail(ledger);
}


void
ncr_ledger_names_cut(ncr_ledger_t *ledger, ncr_uint_t nnames,
    ncr_uint_t ndims)
{
    ncr_uint_t          i;
    ncr_ledger_name_t  *name;

    for (i = nnames; i < ledger->names.n; i++) {
        name = ncr_ledger_hash_entry(&ledger->names, i);
        ledger->kinds[name->kind]--;
        free(name->text);
    }

    ncr_ledger_hash_cut(&ledger->names, nnames);
    ncr_ledger_hash_cut(&ledger->dims, ndims);
}


void
ncr_ledger_names_free(ncr_ledger_t *ledger)
{
    ncr_ledger_names_cut(ledger, 0, 0);

    ncr_ledger_hash_free(&ledger->names);
    ncr_ledger_hash_free(&ledger->dims);
}


/* key: of the entry that was found, or of the one that is to be made */

static ncr_ledger_name_t *
ncr_ledger_name_find(ncr_ledger_t *ledger, ncr_ledger_kind_e kind,
    ncr_str_t *text, int64_t *key)
{
    size_t              i;
    uint64_t            hash;
    ncr_ledger_name_t  *name;

    hash = 14695981039346656037ULL;

    for (i = 0; i < text->len; i++) {
        hash = (hash ^ text->data[i]) * 1099511628211ULL;
    }

    key[0] = kind;
    key[1] = (int64_t) hash;

    for (key[2] = 0; /* void */ ; key[2]++) {

        name = ncr_ledger_hash_find(&ledger->names, key);

        if (name == NULL
            || (name->len == text->len
                && memcmp(name->text, text->data, text->len) == 0))
        {
            return name;
        }
    }
}


static ncr_ledger_name_t *
ncr_ledger_name_add(ncr_ledger_t *ledger, int64_t *key, ncr_str_t *text)
{
    char               *copy;
    ncr_ledger_name_t  *name;

    copy = ncr_store_dup(text->data, text->len);

    if (copy == NULL) {
        return NULL;
    }

    name = ncr_ledger_hash_get(&ledger->names, key);

    if (name == NULL) {
        free(copy);
        return NULL;
    }

    name->text = copy;
    name->len = text->len;

    ledger->kinds[name->kind]++;

    return name;
}


int64_t
ncr_ledger_name(ncr_ledger_t *ledger, ncr_ledger_kind_e kind,
    ncr_str_t *text)
{
    int64_t             key[3];
    ncr_str_t           other;
    sqlite3_stmt       *stmt;
    ncr_ledger_name_t  *name;

    if (text->len == 0) {
        return 0;
    }

    name = ncr_ledger_name_find(ledger, kind, text, key);

    if (name == NULL) {

        ncr_str_set(&other, "other");

        if (ledger->kinds[kind] >= ncr_ledger_most[kind]
            && !(text->len == other.len
                 && memcmp(text->data, other.data, other.len) == 0))
        {
            return ncr_ledger_name(ledger, kind, &other);
        }

        stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_NAME_PUT);

        if (stmt == NULL) {
            (void) ncr_ledger_fail(ledger);
            return -1;
        }

        sqlite3_bind_int64(stmt, 1, (sqlite3_int64) ledger->names.n + 1);
        sqlite3_bind_int(stmt, 2, kind);
        sqlite3_bind_text(stmt, 3, (char *) text->data, (int) text->len,
                          SQLITE_STATIC);

        if (ncr_ledger_run(ledger, stmt) != NCR_OK) {
            return -1;
        }

        name = ncr_ledger_name_add(ledger, key, text);

        if (name == NULL) {
            (void) ncr_ledger_memory(ledger);
            return -1;
        }
    }

    return (int64_t) (((char *) name - ledger->names.entries)
                      / (ptrdiff_t) sizeof(ncr_ledger_name_t)) + 1;
}


int64_t
ncr_ledger_dim(ncr_ledger_t *ledger, ncr_record_t *rec)
{
    int                i;
    int64_t            id[NCR_LEDGER_DIMS];
    sqlite3_stmt      *stmt;
    ncr_ledger_dim_t  *dim;

    id[NCR_LEDGER_KEY] = ncr_ledger_name(ledger, NCR_LEDGER_NAME, &rec->key);
    id[NCR_LEDGER_USER] = ncr_ledger_name(ledger, NCR_LEDGER_NAME,
                                          &rec->user);
    id[NCR_LEDGER_GROUP] = ncr_ledger_name(ledger, NCR_LEDGER_NAME,
                                           &rec->group);
    id[NCR_LEDGER_ACCOUNT] = ncr_ledger_name(ledger, NCR_LEDGER_NAME,
                                             &rec->account);
    id[NCR_LEDGER_PLATFORM] = ncr_ledger_name(ledger, NCR_LEDGER_WORD,
                                              &rec->platform);
    id[NCR_LEDGER_SERVED] = ncr_ledger_name(ledger, NCR_LEDGER_MODEL,
                                            rec->served.len ? &rec->served
                                                            : &rec->model);

    for (i = 0; i < NCR_LEDGER_DIMS; i++) {
        if (id[i] == -1) {
            return -1;
        }
    }

    dim = ncr_ledger_hash_find(&ledger->dims, id);

    if (dim == NULL) {

        stmt = ncr_ledger_stmt(ledger, NCR_LEDGER_SQL_DIM_PUT);

        if (stmt == NULL) {
            (void) ncr_ledger_fail(ledger);
            return -1;
        }

        sqlite3_bind_int64(stmt, 1, (sqlite3_int64) ledger->dims.n + 1);

        for (i = 0; i < NCR_LEDGER_DIMS; i++) {
            sqlite3_bind_int64(stmt, i + 2, id[i]);
        }

        if (ncr_ledger_run(ledger, stmt) != NCR_OK) {
            return -1;
        }

        dim = ncr_ledger_hash_get(&ledger->dims, id);

        if (dim == NULL) {
            (void) ncr_ledger_memory(ledger);
            return -1;
        }
    }

    return (int64_t) (((char *) dim - ledger->dims.entries)
                      / (ptrdiff_t) sizeof(ncr_ledger_dim_t)) + 1;
}


ncr_str_t
ncr_ledger_text(ncr_ledger_t *ledger, int64_t id)
{
    ncr_str_t           text;
    ncr_ledger_name_t  *name;

    if (id < 1 || (uint64_t) id > ledger->names.n) {
        ncr_str_set(&text, "");
        return text;
    }

    name = ncr_ledger_hash_entry(&ledger->names, id - 1);

    text.data = (ncr_char_t *) name->text;
    text.len = name->len;

    return text;
}


const ncr_ledger_dim_t *
ncr_ledger_dim_of(ncr_ledger_t *ledger, int64_t id)
{
    static const ncr_ledger_dim_t  none;

    if (id < 1 || (uint64_t) id > ledger->dims.n) {
        return &none;
    }

    return ncr_ledger_hash_entry(&ledger->dims, id - 1);
}


static ncr_int_t
ncr_ledger_memory(ncr_ledger_t *ledger)
{
    return ncr_ledger_say(ledger, "cannot be used: out of memory");
}
