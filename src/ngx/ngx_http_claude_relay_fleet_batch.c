
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Rows of the fleet in the store's thread. */


#include "ngx_http_claude_relay_fleet_rows.h"


static ncr_int_t ngx_http_claude_relay_batch_one(ncr_store_t *store,
    ngx_http_claude_relay_batch_t *batch, ngx_http_claude_relay_item_t *item);
static ncr_int_t ngx_http_claude_relay_batch_entry(void *data,
    ncr_store_entry_t *entry);
static void ngx_http_claude_relay_batch_said(
    ngx_http_claude_relay_item_t *item, const char *text);
static void ngx_http_claude_relay_batch_forget(
    ngx_http_claude_relay_item_t *item);


ngx_http_claude_relay_batch_t *
ngx_http_claude_relay_batch(ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_uint_t max, ngx_http_claude_relay_run_pt run,
    ngx_http_claude_relay_done_pt done)
{
    ngx_http_claude_relay_batch_t  *batch;

    batch = ngx_calloc(sizeof(ngx_http_claude_relay_batch_t)
                       + max * sizeof(ngx_http_claude_relay_item_t),
                       ngx_cycle->log);

    if (batch) {
        batch->job.run = run;
        batch->job.done = done;
        batch->job.data = batch;
        batch->key = rmcf->redis->rows_key;
        batch->max = max;

        (void) ngx_cpystrn((u_char *) batch->node, rmcf->redis->node.data,
                           ngx_min(sizeof(batch->node),
                                   rmcf->redis->node.len + 1));
    }

    return batch;
}


void
ngx_http_claude_relay_batch_free(ngx_http_claude_relay_batch_t *batch)
{
    ngx_uint_t  i;

    for (i = 0; i < batch->n; i++) {
        ngx_http_claude_relay_batch_forget(&batch->items[i]);
    }

    ngx_free(batch);
}


/* sealed, so there is nothing to be overwritten */

static void
ngx_http_claude_relay_batch_forget(ngx_http_claude_relay_item_t *item)
{
    if (item->text) {
        ngx_free(item->text);
        item->text = NULL;
    }
}


static void
ngx_http_claude_relay_batch_said(ngx_http_claude_relay_item_t *item,
    const char *text)
{
    (void) ngx_cpystrn((u_char *) item->error, (u_char *) text,
                       sizeof(item->error));
}


/* may run twice, if the store was given another key meanwhile */

void
ngx_http_claude_relay_batch_read(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_batch_t *batch = job->data;

    ngx_uint_t                     i;
    ncr_wire_t                     wire;
    ngx_http_claude_relay_item_t  *item;

    for (i = 0; i < batch->n; i++) {
        item = &batch->items[i];

        ngx_http_claude_relay_batch_forget(item);

        item->rc = ncr_wire_find(store, item->name, &wire);

        if (item->rc == NCR_OK) {
            item->order = wire.order;
            item->text = ncr_wire_write(batch->key, &wire, batch->node,
                                        &item->len);
            ncr_wire_free(&wire);

            if (item->text == NULL) {
                item->rc = NCR_BAD;
                ngx_http_claude_relay_batch_said(item, "it is too long");
            }

        } else if (item->rc != NCR_DECLINED) {
            ngx_http_claude_relay_job_rc(store, job, item->rc);
            return;
        }
    }

    job->rc = NCR_OK;
}


void
ngx_http_claude_relay_batch_merge(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_batch_t *batch = job->data;

    ncr_int_t                      rc;
    ngx_uint_t                     i, again;
    ngx_http_claude_relay_item_t  *item;

    rc = ncr_store_batch(store);

    if (rc != NCR_OK) {
        ngx_http_claude_relay_job_rc(store, job, rc);
        return;
    }

    /* twice: what had the secret of another one may have given it back */

    for (again = 0; again < 2 && rc == NCR_OK; again++) {

        for (i = 0; i < batch->n && rc == NCR_OK; i++) {
            item = &batch->items[i];

            if (again == 0 || (item->rc == NCR_BAD && item->tried)) {
                rc = ngx_http_claude_relay_batch_one(store, batch, item);
            }
        }
    }

    ngx_http_claude_relay_job_rc(store, job, ncr_store_batch_end(store, rc));
}


/* NCR_OK: others may follow */

static ncr_int_t
ngx_http_claude_relay_batch_one(ncr_store_t *store,
    ngx_http_claude_relay_batch_t *batch, ngx_http_claude_relay_item_t *item)
{
    ncr_str_t    name, text, blob;
    ncr_wire_t   wire;
    const char  *why;

    name.data = (ncr_char_t *) item->name;
    name.len = ngx_strlen(item->name);
    text.data = (ncr_char_t *) item->text;
    text.len = item->len;

    item->tried = 0;
    item->error[0] = '\0';

    (void) ncr_wire_order(&text, &item->order, &blob);

    item->rc = ncr_wire_read(batch->key, &name, &text, &wire, &why);

    if (item->rc == NCR_OK) {
        item->tried = 1;
        item->rc = ncr_wire_merge(store, &wire);

        if (item->rc == NCR_BAD) {
            ngx_http_claude_relay_batch_said(item, ncr_store_error(store));
        }

    } else {
        ngx_http_claude_relay_batch_said(item, why);
    }

    ncr_wire_free(&wire);

    return (item->rc == NCR_OK || item->rc == NCR_DECLINED
            || item->rc == NCR_BAD)
           ? NCR_OK : item->rc;
}


void
ngx_http_claude_relay_batch_scan(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    ngx_http_claude_relay_batch_t *batch = job->data;

    uint64_t   seq;
    ncr_int_t  rc;

    batch->n = 0;
    batch->last = 0;

    /* an account is two rows */

    seq = batch->seq;
    rc = ncr_store_scan(store, batch->objects, &seq, batch->max / 2,
                        ngx_http_claude_relay_batch_entry, batch);

    if (rc == NCR_OK || rc == NCR_DONE) {
        batch->last = (rc == NCR_DONE);
        batch->seq = seq;
        rc = NCR_OK;
    }

    ngx_http_claude_relay_job_rc(store, job, rc);
}


static ncr_int_t
ngx_http_claude_relay_batch_entry(void *data, ncr_store_entry_t *entry)
{
    ngx_http_claude_relay_batch_t *batch = data;

    ngx_http_claude_relay_item_t  *item;

    if (batch->n == batch->max) {
        return NCR_ERROR;
    }

    item = &batch->items[batch->n++];

    ngx_memcpy(item->name, entry->name, sizeof(item->name));

    item->order = entry->order;
    item->removed = entry->removed;
    item->seq = entry->seq;

    return NCR_OK;
}


/* behind each job the thread looks into the store */

void
ngx_http_claude_relay_batch_look(ncr_store_t *store,
    ngx_http_claude_relay_job_t *job)
{
    job->rc = NCR_OK;
}
