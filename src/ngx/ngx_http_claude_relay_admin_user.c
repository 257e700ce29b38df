
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * Whom nginx vouches for: a variable that auth_request or a client's
 * certificate has set.  People of the store are what they are there, and can
 * be disabled there; others are what the second variable says, for this
 * request.
 */


#include "ngx_http_claude_relay_admin.h"
#include "ngx_http_claude_relay_people.h"


static ngx_int_t ngx_http_claude_relay_vouched(ngx_http_request_t *r,
    ngx_str_t *name, ncr_role_e *role);
static ncr_int_t ngx_http_claude_relay_vouched_find(ncr_store_t *store,
    const char *name, ncr_role_e role, ncr_store_person_t *person,
    ncr_msec_t now);


/* claude_relay_admin_user off | $variable [role=$variable] */

char *
ngx_http_claude_relay_set_admin_user(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_str_t                         *value, s;
    ngx_uint_t                         i;
    ngx_http_complex_value_t          *cv;
    ngx_http_compile_complex_value_t   ccv;

    if (rlcf->admin_user != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    rlcf->admin_user = NULL;
    rlcf->admin_role = NULL;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        s = value[i];

        if (i == 2) {
            if (!ncr_str_prefix(ncr(&s), "role=") || s.len == 5) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid parameter \"%V\"", &s);
                return NGX_CONF_ERROR;
            }

            s.data += 5;
            s.len -= 5;
        }

        cv = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (cv == NULL) {
            return NGX_CONF_ERROR;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = &s;
        ccv.complex_value = cv;

        if (ngx_http_compile_complex_value(&ccv) != NGX_OK) {
            return NGX_CONF_ERROR;
        }

        if (i == 2) {
            rlcf->admin_role = cv;
            continue;
        }

        /* a name that is always the same would let everybody in */

        if (cv->lengths == NULL) {
            return "needs a variable";
        }

        rlcf->admin_user = cv;
    }

    return NGX_CONF_OK;
}


/* when the location is known to be one of the API */

void
ngx_http_claude_relay_admin_vouch(ngx_http_claude_relay_loc_conf_t *conf)
{
    if (conf->admin_user) {
        conf->admin->user = ngx_http_claude_relay_vouched;
        conf->admin->find = ngx_http_claude_relay_vouched_find;
    }
}


static ngx_int_t
ngx_http_claude_relay_vouched(ngx_http_request_t *r, ngx_str_t *name,
    ncr_role_e *role)
{
    ngx_str_t                          text;
    ngx_http_claude_relay_loc_conf_t  *rlcf;

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    *role = NCR_ROLE_NONE;

    if (ngx_http_complex_value(r, rlcf->admin_user, name) != NGX_OK) {
        return NGX_ERROR;
    }

    if (name->len == 0) {
        return NGX_DECLINED;
    }

    if (rlcf->admin_role) {
        if (ngx_http_complex_value(r, rlcf->admin_role, &text) != NGX_OK) {
            return NGX_ERROR;
        }

        *role = ncr_role(ncr(&text));

        if (*role == NCR_ROLE_NONE && text.len) {
            ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                          "admin: \"%*s\" is no role",
                          ngx_min(text.len, 64), text.data);
        }
    }

    if (!ngx_http_claude_relay_valid_name(name)) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "admin: \"%*s\" cannot be anybody's name, \"map\" may "
                      "make one of it", ngx_min(name->len, 128), name->data);
    }

    return NGX_OK;
}


/* in the thread; NCR_DECLINED: nobody here, though nginx knows the name */

static ncr_int_t
ngx_http_claude_relay_vouched_find(ncr_store_t *store, const char *name,
    ncr_role_e role, ncr_store_person_t *person, ncr_msec_t now)
{
    uint64_t            seq;
    ncr_int_t           rc;
    ncr_str_t           text;
    ncr_store_object_t  row;

    text.data = (u_char *) name;
    text.len = ngx_strlen(name);

    if (!ngx_http_claude_relay_valid_name((ngx_str_t *) &text)) {
        return NCR_DECLINED;
    }

    rc = ncr_store_person_find(store, name, person);

    /* a password is not what it came by */

    person->must_change = 0;

    if (rc != NCR_DECLINED || role == NCR_ROLE_NONE) {
        return rc;
    }

    if (role == NCR_ROLE_USER) {

        /* whose keys are to have an owner */

        rc = ncr_store_object_find(store, "user", name, &row);

        ncr_store_object_free(&row);

        if (rc == NCR_DECLINED) {
            rc = ngx_http_claude_relay_person_user(store, name, now, &seq);
        }

        if (rc != NCR_OK) {
            return rc;
        }
    }

    ngx_memcpy(person->name, name, text.len + 1);

    person->role = role;
    person->enabled = 1;

    return NCR_OK;
}
