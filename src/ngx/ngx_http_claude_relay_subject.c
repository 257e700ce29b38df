
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * The store's keys, users, groups and limits in the zone, in three hash
 * tables: by id, which has all of them, by name, and by a key's digest.  A
 * worker may be killed between any two stores.  So a subject is whole before
 * it is linked, each link is one store, and nothing is freed that a table
 * still leads to; what else may be left then is one of "ids" that is not, or
 * no longer, in another table, and is mended by making these anew.  At worst
 * a block of memory is lost.
 */


#include "ngx_http_claude_relay_books.h"
#include "ncr_pack.h"


#define NGX_HTTP_CLAUDE_RELAY_BUCKETS  128      /* the least */

/* of the zone, new subjects leave this part to requests */
#define NGX_HTTP_CLAUDE_RELAY_RESERVE  16


typedef union {
    ncr_key_t                          key;
    u_char                             buf[NCR_KEY_MAX];
} ngx_http_claude_relay_record_t;


static ngx_http_claude_relay_subject_t *ngx_http_claude_relay_subject_id(
    ngx_http_claude_relay_subjects_t *subjects, ncr_scope_e scope,
    uint64_t id);
static ngx_http_claude_relay_subject_t *ngx_http_claude_relay_subject_name(
    ngx_http_claude_relay_subjects_t *subjects, ncr_scope_e scope,
    u_char *name, size_t len);
static ncr_key_t *ngx_http_claude_relay_subject_key(
    ngx_http_claude_relay_subject_t *subject);
static ngx_http_claude_relay_subject_t *ngx_http_claude_relay_subject_make(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key,
    ncr_store_object_t *row);
static size_t ngx_http_claude_relay_subject_block(size_t size);
static void ngx_http_claude_relay_subject_link(
    ngx_http_claude_relay_subjects_t *subjects,
    ngx_http_claude_relay_subject_t *s);
static void ngx_http_claude_relay_subject_show(
    ngx_http_claude_relay_subjects_t *subjects,
    ngx_http_claude_relay_subject_t *s);
static void ngx_http_claude_relay_subject_unlink(
    ngx_http_claude_relay_subjects_t *subjects,
    ngx_http_claude_relay_subject_t *s);
static void ngx_http_claude_relay_subject_drop(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subjects_t *subjects,
    ngx_http_claude_relay_subject_t *s);
static void ngx_http_claude_relay_subject_free(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subject_t *s);
static void ngx_http_claude_relay_subjects_mend(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subjects_t *subjects);
static void ngx_http_claude_relay_subjects_free(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subjects_t *subjects);


static const char  *ngx_http_claude_relay_kinds[] = {
    "key", "user", "group", NULL, "limit"
};

/* what was found last, by its scope; and one that is being made */

static ngx_http_claude_relay_record_t
                         ngx_http_claude_relay_found[NCR_SCOPE_MODEL + 1];
static ngx_http_claude_relay_record_t  ngx_http_claude_relay_plain;
static u_char  ngx_http_claude_relay_packed[ncr_pack_bound(NCR_KEY_MAX)];


static ngx_inline ngx_uint_t
ngx_http_claude_relay_hash_id(ncr_scope_e scope, uint64_t id)
{
    return (ngx_uint_t) ((id * 0x9e3779b97f4a7c15ull) >> 32) ^ scope;
}


static ngx_inline ngx_uint_t
ngx_http_claude_relay_hash_name(ncr_scope_e scope, u_char *name, size_t len)
{
    return (uint32_t) ngx_hash_key(name, len) ^ (scope * 0x9e3779b9);
}


static ngx_inline ngx_uint_t
ngx_http_claude_relay_hash_digest(u_char *digest)
{
    uint32_t  hash;

    /* a digest's bytes spread well enough */
    ngx_memcpy(&hash, digest, sizeof(hash));

    return hash;
}


const char *
ngx_http_claude_relay_kind(ncr_scope_e scope)
{
    return ngx_http_claude_relay_kinds[scope];
}


ngx_int_t
ngx_http_claude_relay_scope(const char *kind)
{
    ngx_int_t  i;

    for (i = 0; i <= NCR_SCOPE_MODEL; i++) {
        if (ngx_http_claude_relay_kinds[i]
            && ngx_strcmp(ngx_http_claude_relay_kinds[i], kind) == 0)
        {
            return i;
        }
    }

    return -1;
}


ncr_key_t *
ngx_http_claude_relay_subject_by_digest_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, u_char *digest)
{
    ngx_http_claude_relay_subject_t   *s;
    ngx_http_claude_relay_subjects_t  *subjects;

    subjects = rmcf->subjects;

    if (subjects == NULL) {
        return NULL;
    }

    for (s = subjects->digests[ngx_http_claude_relay_hash_digest(digest)
                               & subjects->mask];
         s;
         s = s->by_digest)
    {
        if (ncr_hash_equal(s->digest, digest, NCR_SHA256_LEN)) {
            return ngx_http_claude_relay_subject_key(s);
        }
    }

    return NULL;
}


ncr_key_t *
ngx_http_claude_relay_subject_by_name_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope,
    ncr_str_t *name)
{
    ngx_http_claude_relay_subject_t  *s;

    if (rmcf->subjects == NULL) {
        return NULL;
    }

    s = ngx_http_claude_relay_subject_name(rmcf->subjects, scope, name->data,
                                           name->len);

    return s ? ngx_http_claude_relay_subject_key(s) : NULL;
}


ncr_key_t *
ngx_http_claude_relay_global_limits_locked(
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subject_t **pos)
{
    ncr_key_t  *key;

    if (rmcf->subjects == NULL) {
        return NULL;
    }

    do {
        *pos = *pos ? (*pos)->by_digest : rmcf->subjects->models;

        if (*pos == NULL) {
            return NULL;
        }

        key = ngx_http_claude_relay_subject_key(*pos);

    } while (key == NULL || !key->enabled);

    return key;
}


ncr_key_t *
ngx_http_claude_relay_subject_of_bucket_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t bucket,
    ngx_http_claude_relay_subject_t **pos)
{
    *pos = *pos ? (*pos)->by_id : rmcf->subjects->ids[bucket];

    return *pos ? ngx_http_claude_relay_subject_key(*pos) : NULL;
}


ngx_int_t
ngx_http_claude_relay_subject_used_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key, ncr_msec_t now)
{
    ngx_http_claude_relay_subject_t  *s;

    if (rmcf->subjects == NULL || key->conf) {
        return NGX_DECLINED;
    }

    s = ngx_http_claude_relay_subject_id(rmcf->subjects, key->scope, key->id);

    if (s == NULL) {
        return NGX_DECLINED;
    }

    s->used = now;

    if (key->valid_for == 0 || s->activated) {
        return NGX_DECLINED;
    }

    s->activated = now;
    key->activated = now;

    return NGX_OK;
}


ngx_int_t
ngx_http_claude_relay_subject_times_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope, uint64_t id,
    ncr_msec_t *activated, ncr_msec_t *used)
{
    ngx_http_claude_relay_subject_t  *s;

    s = rmcf->subjects
        ? ngx_http_claude_relay_subject_id(rmcf->subjects, scope, id) : NULL;

    if (s == NULL) {
        return NGX_DECLINED;
    }

    *activated = s->activated;
    *used = s->used;

    return NGX_OK;
}


size_t
ngx_http_claude_relay_subject_text_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope, uint64_t id,
    u_char *name)
{
    ngx_uint_t                        i;
    ngx_array_t                      *array;
    ngx_http_claude_relay_key_t      *key;
    ngx_http_claude_relay_subject_t  *s;

    s = rmcf->subjects
        ? ngx_http_claude_relay_subject_id(rmcf->subjects, scope, id) : NULL;

    if (s) {
        if (s->name >= NCR_KEY_NAME) {
            return 0;
        }

        ngx_memcpy(name, s->data, s->name);
        return s->name;
    }

    array = (scope == NCR_SCOPE_KEY) ? &rmcf->keys
            : (scope == NCR_SCOPE_USER) ? &rmcf->users : &rmcf->groups;

    key = array->elts;

    for (i = 0; i < array->nelts; i++) {
        if (key[i].key->id == id && key[i].name.len < NCR_KEY_NAME) {
            ngx_memcpy(name, key[i].name.data, key[i].name.len);
            return key[i].name.len;
        }
    }

    return 0;
}


ngx_uint_t
ngx_http_claude_relay_subject_uses_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ngx_uint_t *bucket,
    ngx_http_claude_relay_use_t *uses, ngx_uint_t max)
{
    ngx_uint_t                         n, first, looks;
    ngx_http_claude_relay_subject_t   *s;
    ngx_http_claude_relay_subjects_t  *subjects;

    subjects = rmcf->subjects;

    if (subjects == NULL) {
        return 0;
    }

    n = 0;

    /* empty buckets take time, too */

    for (looks = 0; looks < max && *bucket <= subjects->mask; looks++) {

        first = n;

        for (s = subjects->ids[*bucket]; s; s = s->by_id) {

            if (s->scope != NCR_SCOPE_KEY || s->used == 0) {
                continue;
            }

            if (n == max) {

                if (first) {
                    return first;
                }

                break;
            }

            uses[n].id = s->id;
            uses[n].used = s->used;
            n++;
        }

        (*bucket)++;
    }

    return n;
}


static ngx_http_claude_relay_subject_t *
ngx_http_claude_relay_subject_id(ngx_http_claude_relay_subjects_t *subjects,
    ncr_scope_e scope, uint64_t id)
{
    ngx_http_claude_relay_subject_t  *s;

    for (s = subjects->ids[ngx_http_claude_relay_hash_id(scope, id)
                           & subjects->mask];
         s;
         s = s->by_id)
    {
        if (s->id == id && s->scope == scope) {
            return s;
        }
    }

    return NULL;
}


static ngx_http_claude_relay_subject_t *
ngx_http_claude_relay_subject_name(ngx_http_claude_relay_subjects_t *subjects,
    ncr_scope_e scope, u_char *name, size_t len)
{
    ngx_http_claude_relay_subject_t  *s;

    for (s = subjects->names[ngx_http_claude_relay_hash_name(scope, name, len)
                             & subjects->mask];
         s;
         s = s->by_name)
    {
        if (s->scope == scope && s->name == len
            && ngx_memcmp(s->data, name, len) == 0)
        {
            return s;
        }
    }

    return NULL;
}


static ncr_key_t *
ngx_http_claude_relay_subject_key(ngx_http_claude_relay_subject_t *s)
{
    uint32_t                         size;
    ngx_http_claude_relay_record_t  *found;

    found = &ngx_http_claude_relay_found[s->scope];

    /* its size comes first, after it the packed record */

    ngx_memcpy(&size, s->data + s->name, sizeof(size));

    if (size < sizeof(ncr_key_t) || size > NCR_KEY_MAX
        || ncr_unpack(found->buf, size, s->data + s->name + sizeof(size),
                      s->record - sizeof(size))
           != NCR_OK)
    {
        return NULL;
    }

    found->key.id = s->id;
    found->key.seq = s->seq;
    found->key.activated = s->activated;
    ngx_memcpy(found->key.digest, s->digest, NCR_SHA256_LEN);

    return &found->key;
}


ngx_int_t
ngx_http_claude_relay_subject_put_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key,
    ncr_store_object_t *row)
{
    ncr_str_t                          name;
    ngx_http_claude_relay_subject_t   *s, *old, *other;
    ngx_http_claude_relay_subjects_t  *subjects;

    subjects = rmcf->subjects;

    ngx_http_claude_relay_subjects_mend(rmcf, subjects);

    name = ncr_key_text(key, key->name);

    old = ngx_http_claude_relay_subject_id(subjects, key->scope, key->id);
    other = ngx_http_claude_relay_subject_name(subjects, key->scope, name.data,
                                               name.len);
    if (other == old) {
        other = NULL;
    }

    if ((old && old->seq >= key->seq) || (other && other->seq > key->seq)) {
        return NGX_DECLINED;
    }

    /* an older copy of the file was put in its place */

    if (row
        && ((old && old->version > row->version)
            || (other && other->version > row->version)))
    {
        return NGX_ABORT;
    }

    /* what takes the place of another one needs no more room */

    s = NULL;

    if (old || other
        || ngx_http_claude_relay_room_locked(rmcf,
                 rmcf->shm_zone->shm.size / NGX_HTTP_CLAUDE_RELAY_RESERVE))
    {
        s = ngx_http_claude_relay_subject_make(rmcf, key, row);
    }

    if (s && old) {
        s->used = old->used;

        /* the store is told of a first use later than others are */

        if (s->activated == 0 && key->valid_for) {
            s->activated = old->activated;
        }
    }

    subjects->dirty = 1;
    ngx_memory_barrier();

    if (s) {
        ngx_http_claude_relay_subject_link(subjects, s);
    }

    /* without room for the new one, the old one may not stay either */

    if (old) {
        ngx_http_claude_relay_subject_drop(rmcf, subjects, old);
    }

    if (other) {
        ngx_http_claude_relay_subject_drop(rmcf, subjects, other);
    }

    ngx_memory_barrier();
    subjects->dirty = 0;

    return s ? NGX_OK : NGX_ERROR;
}


void
ngx_http_claude_relay_subject_remove_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_scope_e scope, uint64_t id,
    uint64_t seq)
{
    ngx_http_claude_relay_subject_t   *s;
    ngx_http_claude_relay_subjects_t  *subjects;

    subjects = rmcf->subjects;

    ngx_http_claude_relay_subjects_mend(rmcf, subjects);

    s = ngx_http_claude_relay_subject_id(subjects, scope, id);

    if (s == NULL || s->seq > seq) {
        return;
    }

    subjects->dirty = 1;
    ngx_memory_barrier();

    ngx_http_claude_relay_subject_drop(rmcf, subjects, s);

    ngx_memory_barrier();
    subjects->dirty = 0;
}


/*
 * The slab's blocks are powers of two.  What the JSON needs beyond one that
 * has all else is in another one, if that takes less.
 */

static ngx_http_claude_relay_subject_t *
ngx_http_claude_relay_subject_make(ngx_http_claude_relay_main_conf_t *rmcf,
    ncr_key_t *key, ncr_store_object_t *row)
{
    u_char                           *p;
    size_t                            packed, fixed, json, head, size;
    ncr_str_t                         name;
    ncr_key_t                        *plain;
    ngx_http_claude_relay_subject_t  *s;

    plain = &ngx_http_claude_relay_plain.key;

    ngx_memcpy(plain, key, key->size);

    plain->id = 0;
    plain->seq = 0;
    plain->activated = 0;
    ngx_memzero(plain->digest, NCR_SHA256_LEN);

    packed = ncr_pack(ngx_http_claude_relay_packed, (u_char *) plain,
                      key->size);

    name = ncr_key_text(key, key->name);
    json = row ? ngx_strlen(row->data) : 0;

    fixed = offsetof(ngx_http_claude_relay_subject_t, data) + name.len
            + sizeof(key->size) + packed;

    size = ngx_http_claude_relay_subject_block(fixed);
    head = ngx_min(json, size - fixed);

    if (json > head
        && ngx_http_claude_relay_subject_block(fixed + json)
           <= size + ngx_http_claude_relay_subject_block(json - head))
    {
        size = ngx_http_claude_relay_subject_block(fixed + json);
        head = json;
    }

    s = ngx_http_claude_relay_alloc_locked(rmcf, size, NGX_MAX_UINT32_VALUE);

    if (s == NULL) {
        return NULL;
    }

    if (json > head) {
        s->rest = ngx_http_claude_relay_alloc_locked(rmcf, json - head,
                                                     NGX_MAX_UINT32_VALUE);
        if (s->rest == NULL) {
            ngx_slab_free_locked(rmcf->shpool, s);
            return NULL;
        }

        ngx_memcpy(s->rest, row->data + head, json - head);
    }

    s->id = key->id;
    s->seq = key->seq;
    s->activated = key->activated;
    s->scope = key->scope;
    s->deleted = (key->deleted != 0);
    s->name = (uint16_t) name.len;
    s->record = (uint16_t) (sizeof(key->size) + packed);
    s->head = (uint16_t) head;
    s->tail = (uint32_t) (json - head);

    if (row) {
        s->version = row->version;
        s->updated = row->updated;
        s->has_digest = row->has_digest;
        ngx_memcpy(s->prefix, row->prefix, NCR_STORE_PREFIX);
    }

    if (key->scope == NCR_SCOPE_KEY) {
        s->has_digest = 1;
        ngx_memcpy(s->digest, key->digest, NCR_SHA256_LEN);
    }

    p = ngx_cpymem(s->data, name.data, name.len);
    p = ngx_cpymem(p, &key->size, sizeof(key->size));
    p = ngx_cpymem(p, ngx_http_claude_relay_packed, packed);

    if (head) {
        ngx_memcpy(p, row->data, head);
    }

    return s;
}


static size_t
ngx_http_claude_relay_subject_block(size_t size)
{
    size_t  block;

    if (size > ngx_pagesize / 2) {
        return ngx_align(size, ngx_pagesize);
    }

    for (block = 8; block < size; block <<= 1) { /* void */ }

    return block;
}


/* a table leads to the new one when that leads to the rest of it */

static void
ngx_http_claude_relay_subject_link(ngx_http_claude_relay_subjects_t *subjects,
    ngx_http_claude_relay_subject_t *s)
{
    ngx_http_claude_relay_subject_t  **ids;

    ids = &subjects->ids[ngx_http_claude_relay_hash_id(s->scope, s->id)
                         & subjects->mask];

    s->by_id = *ids;
    ngx_memory_barrier();
    *ids = s;

    ngx_http_claude_relay_subject_show(subjects, s);
}


static void
ngx_http_claude_relay_subject_show(ngx_http_claude_relay_subjects_t *subjects,
    ngx_http_claude_relay_subject_t *s)
{
    ngx_http_claude_relay_subject_t  **names, **digests;

    names = &subjects->names[ngx_http_claude_relay_hash_name(s->scope, s->data,
                                                             s->name)
                             & subjects->mask];
    s->by_name = *names;
    ngx_memory_barrier();
    *names = s;

    if (s->scope == NCR_SCOPE_MODEL) {
        digests = &subjects->models;

    } else if (s->has_digest) {
        digests = &subjects->digests[
                                 ngx_http_claude_relay_hash_digest(s->digest)
                                 & subjects->mask];

    } else {
        digests = NULL;
    }

    if (digests) {
        s->by_digest = *digests;
        ngx_memory_barrier();
        *digests = s;
    }

    if (!s->deleted) {
        subjects->n[s->scope]++;
    }
}


#define ngx_http_claude_relay_subject_cut(head, s, next)                      \
                                                                              \
    for (p = head; *p; p = &(*p)->next) {                                     \
        if (*p == s) {                                                        \
            *p = s->next;                                                     \
            break;                                                            \
        }                                                                     \
    }


/* "ids" is first: what is not in there comes into no table again */

static void
ngx_http_claude_relay_subject_unlink(
    ngx_http_claude_relay_subjects_t *subjects,
    ngx_http_claude_relay_subject_t *s)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_subject_t  **p;

    i = ngx_http_claude_relay_hash_id(s->scope, s->id) & subjects->mask;
    ngx_http_claude_relay_subject_cut(&subjects->ids[i], s, by_id);

    i = ngx_http_claude_relay_hash_name(s->scope, s->data, s->name)
        & subjects->mask;
    ngx_http_claude_relay_subject_cut(&subjects->names[i], s, by_name);

    if (s->scope == NCR_SCOPE_MODEL) {
        ngx_http_claude_relay_subject_cut(&subjects->models, s, by_digest);

    } else if (s->has_digest) {
        i = ngx_http_claude_relay_hash_digest(s->digest) & subjects->mask;
        ngx_http_claude_relay_subject_cut(&subjects->digests[i], s, by_digest);
    }
}


static void
ngx_http_claude_relay_subject_drop(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subjects_t *subjects,
    ngx_http_claude_relay_subject_t *s)
{
    ngx_http_claude_relay_subject_unlink(subjects, s);

    if (!s->deleted) {
        subjects->n[s->scope]--;
    }

    ngx_memory_barrier();

    ngx_http_claude_relay_subject_free(rmcf, s);
}


static void
ngx_http_claude_relay_subject_free(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subject_t *s)
{
    if (s->rest) {
        ngx_slab_free_locked(rmcf->shpool, s->rest);
    }

    ngx_slab_free_locked(rmcf->shpool, s);
}


/* all tables of "ids"; of two with one id or name the newer one stays */

static void
ngx_http_claude_relay_subjects_mend(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subjects_t *subjects)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_subject_t   *s, *other, **p;

    if (!subjects->dirty) {
        return;
    }

    ngx_memzero(subjects->names, (subjects->mask + 1) * sizeof(void *));
    ngx_memzero(subjects->digests, (subjects->mask + 1) * sizeof(void *));
    ngx_memzero(subjects->n, sizeof(subjects->n));
    subjects->models = NULL;

    for (i = 0; i <= subjects->mask; i++) {

        p = &subjects->ids[i];

        while (*p) {
            s = *p;

            /* one in front of it was put in its place */

            other = ngx_http_claude_relay_subject_id(subjects, s->scope,
                                                     s->id);

            if (other == s) {
                other = ngx_http_claude_relay_subject_name(subjects, s->scope,
                                                           s->data, s->name);

                if (other && other->seq <= s->seq) {
                    ngx_http_claude_relay_subject_drop(rmcf, subjects, other);
                    other = NULL;

                    for (p = &subjects->ids[i]; *p != s; p = &(*p)->by_id) {
                        /* void */
                    }
                }
            }

            if (other) {
                *p = s->by_id;
                ngx_http_claude_relay_subject_free(rmcf, s);
                continue;
            }

            ngx_http_claude_relay_subject_show(subjects, s);

            p = &s->by_id;
        }
    }

    ngx_memory_barrier();
    subjects->dirty = 0;
}


/*
 * In a zone that is full of other things the tables are smaller, which costs
 * time only.
 */

ngx_int_t
ngx_http_claude_relay_subjects_locked(ngx_http_claude_relay_main_conf_t *rmcf)
{
    uint32_t                           hash;
    ngx_uint_t                         n;
    ngx_http_claude_relay_subjects_t  *subjects;

    rmcf->subjects = NULL;

    if (rmcf->store == NULL) {
        return NGX_OK;
    }

    hash = ngx_crc32_long(rmcf->store->path.data, rmcf->store->path.len);

    for (subjects = rmcf->zone->subjects; subjects; subjects = subjects->next)
    {
        if (subjects->store == hash) {
            goto found;
        }
    }

    for (n = NGX_HTTP_CLAUDE_RELAY_BUCKETS;
         n * 2 <= rmcf->shm_zone->shm.size / 1024;
         n *= 2)
    {
        /* void */
    }

    for ( ;; ) {

        subjects = ngx_slab_calloc_locked(rmcf->shpool,
                                     sizeof(ngx_http_claude_relay_subjects_t)
                                     + 3 * n * sizeof(void *));

        if (subjects || n == NGX_HTTP_CLAUDE_RELAY_BUCKETS) {
            break;
        }

        n /= 2;
    }

    if (subjects == NULL) {
        return NGX_ERROR;
    }

    subjects->store = hash;
    subjects->mask = n - 1;
    subjects->ids = subjects->buckets;
    subjects->names = subjects->ids + n;
    subjects->digests = subjects->names + n;

    subjects->next = rmcf->zone->subjects;
    ngx_memory_barrier();
    rmcf->zone->subjects = subjects;

found:

    subjects->generation = rmcf->zone->generation;
    rmcf->subjects = subjects;

    return NGX_OK;
}


void
ngx_http_claude_relay_subjects_anew_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, uint64_t file)
{
    ngx_uint_t                         i;
    ngx_http_claude_relay_subject_t   *s;
    ngx_http_claude_relay_subjects_t  *subjects;

    subjects = rmcf->subjects;

    /* whoever dies in here is followed by one who does it again */

    for (i = 0; i <= subjects->mask; i++) {
        for (s = subjects->ids[i]; s; s = s->by_id) {
            s->seq = 0;
        }
    }

    subjects->seq = 0;
    ngx_memory_barrier();
    subjects->file = file;
}


void
ngx_http_claude_relay_subjects_sweep_locked(
    ngx_http_claude_relay_main_conf_t *rmcf)
{
    ngx_uint_t                          i;
    ngx_http_claude_relay_zone_t       *zone;
    ngx_http_claude_relay_subjects_t   *subjects, **p;

    zone = rmcf->zone;
    p = &zone->subjects;

    while (*p) {
        subjects = *p;

        if (subjects == rmcf->subjects
            || subjects->generation == zone->generation)
        {
            goto used;
        }

        for (i = 0; i < NGX_MAX_PROCESSES; i++) {
            if (zone->rows[i].pid && zone->rows[i].subjects == subjects) {
                goto used;
            }
        }

        *p = subjects->next;
        ngx_http_claude_relay_subjects_free(rmcf, subjects);
        continue;

    used:

        ngx_http_claude_relay_subjects_mend(rmcf, subjects);

        p = &subjects->next;
    }
}


static void
ngx_http_claude_relay_subjects_free(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_subjects_t *subjects)
{
    ngx_uint_t                        i;
    ngx_http_claude_relay_subject_t  *s;

    for (i = 0; i <= subjects->mask; i++) {

        while (subjects->ids[i]) {
            s = subjects->ids[i];
            subjects->ids[i] = s->by_id;
            ngx_http_claude_relay_subject_free(rmcf, s);
        }
    }

    ngx_slab_free_locked(rmcf->shpool, subjects);
}


ngx_int_t
ngx_http_claude_relay_subject_about_locked(
    ngx_http_claude_relay_main_conf_t *rmcf, ncr_key_t *key,
    ncr_store_object_t *row, ncr_msec_t *used)
{
    ngx_http_claude_relay_subject_t  *s;

    if (rmcf->subjects == NULL) {
        return NGX_DECLINED;
    }

    s = ngx_http_claude_relay_subject_id(rmcf->subjects, key->scope, key->id);

    if (s == NULL) {
        return NGX_DECLINED;
    }

    *used = s->used;

    return ngx_http_claude_relay_subject_row_locked(s, row);
}


ngx_int_t
ngx_http_claude_relay_subject_row_locked(ngx_http_claude_relay_subject_t *s,
    ncr_store_object_t *row)
{
    u_char     *p;
    ncr_key_t  *key;

    ngx_memzero(row, sizeof(ncr_store_object_t));

    key = ngx_http_claude_relay_subject_key(s);

    p = ngx_alloc(s->head + s->tail + 1, ngx_cycle->log);
    if (p == NULL) {
        return NGX_ERROR;
    }

    row->data = (char *) p;

    p = ngx_cpymem(p, s->data + s->name + s->record, s->head);

    if (s->tail) {
        p = ngx_cpymem(p, s->rest, s->tail);
    }

    *p = '\0';

    row->id = s->id;
    row->seq = s->seq;
    row->version = s->version;
    row->created = key ? key->created : 0;
    row->updated = s->updated;
    row->activated = s->activated;
    row->has_digest = s->has_digest;

    ngx_memcpy(row->digest, s->digest, NCR_SHA256_LEN);
    ngx_memcpy(row->prefix, s->prefix, NCR_STORE_PREFIX);
    ngx_memcpy(row->name, s->data, s->name);
    (void) ngx_cpystrn((u_char *) row->kind,
                       (u_char *) ngx_http_claude_relay_kinds[s->scope],
                       sizeof(row->kind));

    return NGX_OK;
}
