
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/*
 * A door to the API for those who are on this machine: a unix socket.  Who
 * may come in is said by the permissions of its file, and once more by the
 * kernel's word on who is at the other end.
 */


#include "ngx_http_claude_relay_api.h"

#include <sys/un.h>


#define NGX_HTTP_CLAUDE_RELAY_CONTROL_GROUPS  1024


static char *ngx_http_claude_relay_control_path(ngx_conf_t *cf,
    ngx_str_t *value, ngx_str_t *path);
static char *ngx_http_claude_relay_control_group(ngx_conf_t *cf,
    ngx_str_t *value, gid_t *gid);
static ngx_uint_t ngx_http_claude_relay_control_inherited(ngx_conf_t *cf,
    ngx_str_t *path);
static void ngx_http_claude_relay_control_stale(ngx_conf_t *cf,
    ngx_str_t *path);
static char *ngx_http_claude_relay_control_server(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_control_t *control);
static u_char *ngx_http_claude_relay_control_text(ngx_conf_t *cf,
    ngx_str_t *path, size_t *len);
static ngx_uint_t ngx_http_claude_relay_control_knows(ngx_conf_t *cf,
    const char *directive);
static ngx_int_t ngx_http_claude_relay_control_handler(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_claude_relay_control_allowed(
    ngx_http_request_t *r, ngx_http_claude_relay_control_t *control,
    struct ucred *peer);
static ngx_uint_t ngx_http_claude_relay_control_member(ngx_socket_t fd,
    gid_t gid);
static ngx_int_t ngx_http_claude_relay_control_refuse(ngx_http_request_t *r,
    const char *message);


/*
 * What "http { }" may have for all of its servers and this one must not have;
 * each of another module, which may be missing.
 */

static const char *const  ngx_http_claude_relay_control_off[][2] = {
    { "access_log", "access_log off;" },
    { "allow", "allow all;" },
    { "auth_basic", "auth_basic off;" },
    { "auth_request", "auth_request off;" },
    { "mirror", "mirror off;" },
    { NULL, NULL }
};


static ngx_http_claude_relay_control_t  ngx_http_claude_relay_control_plain = {
    ngx_null_string,
    (gid_t) -1
};

static ngx_str_t  ngx_http_claude_relay_control_type =
    ngx_string("application/json");

static uid_t  ngx_http_claude_relay_master;


/* claude_relay_control unix:PATH [group=NAME]; in http { } */

char *
ngx_http_claude_relay_control(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_claude_relay_main_conf_t *rmcf = conf;

    char                             *rv;
    ngx_str_t                        *value;
    ngx_uint_t                        i;
    ngx_http_claude_relay_control_t  *control, **slot;

    value = cf->args->elts;

    control = ngx_pcalloc(cf->pool, sizeof(ngx_http_claude_relay_control_t));
    if (control == NULL) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_claude_relay_control_path(cf, &value[1], &control->path);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    control->gid = (gid_t) -1;

    if (cf->args->nelts == 3) {
        rv = ngx_http_claude_relay_control_group(cf, &value[2],
                                                 &control->gid);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    slot = rmcf->controls.elts;

    for (i = 0; i < rmcf->controls.nelts; i++) {
        if (ngx_strcmp(slot[i]->path.data, control->path.data) == 0) {
            return "is duplicate";
        }
    }

    slot = ngx_array_push(&rmcf->controls);
    if (slot == NULL) {
        return NGX_CONF_ERROR;
    }

    *slot = control;

    if (!ngx_test_config && ngx_process != NGX_PROCESS_SIGNALLER
        && !ngx_http_claude_relay_control_inherited(cf, &control->path))
    {
        ngx_http_claude_relay_control_stale(cf, &control->path);
    }

    return ngx_http_claude_relay_control_server(cf, rmcf, control);
}


static char *
ngx_http_claude_relay_control_path(ngx_conf_t *cf, ngx_str_t *value,
    ngx_str_t *path)
{
    ngx_uint_t          i;
    struct sockaddr_un  saun;

    if (!ncr_str_prefix(ncr(value), "unix:") || value->len == 5) {
        return "takes \"unix:\" and a path";
    }

    path->data = value->data + 5;
    path->len = value->len - 5;

    for (i = 0; i < path->len; i++) {
        if (path->data[i] < ' ' || path->data[i] == 0x7f) {
            return "has control characters in its path";
        }
    }

    if (ngx_conf_full_name(cf->cycle, path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (path->len >= sizeof(saun.sun_path)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the path \"%V\" is too long for a socket", path);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_claude_relay_control_group(ngx_conf_t *cf, ngx_str_t *value,
    gid_t *gid)
{
    struct group  *group;

    if (!ncr_str_prefix(ncr(value), "group=") || value->len == 6) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           value);
        return NGX_CONF_ERROR;
    }

    ngx_set_errno(0);

    group = getgrnam((char *) value->data + 6);

    if (group == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "there is no group \"%s\"", value->data + 6);
        return NGX_CONF_ERROR;
    }

    *gid = group->gr_gid;

    return NGX_CONF_OK;
}


/* a reload goes on with the socket it has, as does a new binary */

static ngx_uint_t
ngx_http_claude_relay_control_inherited(ngx_conf_t *cf, ngx_str_t *path)
{
    ngx_uint_t           i;
    ngx_cycle_t         *old;
    ngx_listening_t     *ls;
    struct sockaddr_un  *saun;

    old = cf->cycle->old_cycle;

    if (old == NULL) {
        return 0;
    }

    ls = old->listening.elts;

    for (i = 0; i < old->listening.nelts; i++) {

        if (ls[i].sockaddr->sa_family != AF_UNIX) {
            continue;
        }

        saun = (struct sockaddr_un *) ls[i].sockaddr;

        if (ngx_strcmp(saun->sun_path, path->data) == 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * nginx that was killed leaves the file of its socket, and the next one could
 * not listen there.  If nobody does, it is of no use to anybody.
 */

static void
ngx_http_claude_relay_control_stale(ngx_conf_t *cf, ngx_str_t *path)
{
    int                 fd, rc;
    ngx_err_t           err;
    struct stat         st;
    struct sockaddr_un  saun;

    if (lstat((char *) path->data, &st) == -1 || !S_ISSOCK(st.st_mode)) {
        return;
    }

    fd = socket(AF_UNIX, SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return;
    }

    ngx_memzero(&saun, sizeof(struct sockaddr_un));

    saun.sun_family = AF_UNIX;
    (void) ngx_cpystrn((u_char *) saun.sun_path, path->data,
                       sizeof(saun.sun_path));

    rc = connect(fd, (struct sockaddr *) &saun, sizeof(struct sockaddr_un));
    err = ngx_errno;

    (void) close(fd);

    if (rc == -1 && err == NGX_ECONNREFUSED) {

        ngx_log_error(NGX_LOG_NOTICE, cf->log, 0,
                      "nobody listens on \"%V\" any more, it is removed",
                      path);

        if (ngx_delete_file(path->data) == NGX_FILE_ERROR) {
            ngx_log_error(NGX_LOG_ERR, cf->log, ngx_errno,
                          ngx_delete_file_n " \"%V\" failed", path);
        }
    }
}


/*
 * The server is written as text, and read by nginx's own parser: only that
 * one knows how a server is made.  The file it is said to come from is at its
 * end, so nothing but the text is read; its last brace ends the parser's
 * block.
 */

static char *
ngx_http_claude_relay_control_server(ngx_conf_t *cf,
    ngx_http_claude_relay_main_conf_t *rmcf,
    ngx_http_claude_relay_control_t *control)
{
    char             *rv;
    u_char           *text;
    size_t            len;
    ngx_buf_t         buf;
    ngx_conf_t        save;
    ngx_conf_file_t   file;

    text = ngx_http_claude_relay_control_text(cf, &control->path, &len);
    if (text == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&buf, sizeof(ngx_buf_t));

    buf.start = text;
    buf.pos = text;
    buf.last = text + len;
    buf.end = text + len;
    buf.temporary = 1;

    file = *cf->conf_file;

    file.buffer = &buf;
    file.dump = NULL;

    /* any but NGX_INVALID_FILE, which would mean that of option "-g" */

    file.file.fd = STDIN_FILENO;
    file.file.offset = 0;
    ngx_memzero(&file.file.info, sizeof(ngx_file_info_t));

    save = *cf;

    cf->conf_file = &file;
    cf->args = ngx_array_create(cf->pool, 10, sizeof(ngx_str_t));

    if (cf->args == NULL) {
        *cf = save;
        return NGX_CONF_ERROR;
    }

    rmcf->control = control;

    rv = ngx_conf_parse(cf, NULL);

    rmcf->control = NULL;

    *cf = save;

    return rv;
}


static u_char *
ngx_http_claude_relay_control_text(ngx_conf_t *cf, ngx_str_t *path,
    size_t *len)
{
    u_char      *text, *p;
    ngx_uint_t   i;

    text = ngx_pnalloc(cf->pool, 512 + 2 * path->len);
    if (text == NULL) {
        return NULL;
    }

    p = ngx_cpymem(text, "server { listen \"unix:",
                   sizeof("server { listen \"unix:") - 1);

    for (i = 0; i < path->len; i++) {

        if (path->data[i] == '"' || path->data[i] == '\\') {
            *p++ = '\\';
        }

        *p++ = path->data[i];
    }

    p = ngx_sprintf(p, "\"; server_name \"\"; satisfy all; ");

    for (i = 0; ngx_http_claude_relay_control_off[i][0]; i++) {
        if (ngx_http_claude_relay_control_knows(cf,
                                       ngx_http_claude_relay_control_off[i][0]))
        {
            p = ngx_sprintf(p, "%s ", ngx_http_claude_relay_control_off[i][1]);
        }
    }

    p = ngx_sprintf(p, "location / { claude_relay_control; } } }");

    *len = p - text;

    return text;
}


static ngx_uint_t
ngx_http_claude_relay_control_knows(ngx_conf_t *cf, const char *directive)
{
    ngx_uint_t      i;
    ngx_command_t  *cmd;

    for (i = 0; cf->cycle->modules[i]; i++) {

        cmd = cf->cycle->modules[i]->commands;

        if (cmd == NULL || cf->cycle->modules[i]->type != NGX_HTTP_MODULE) {
            continue;
        }

        for ( /* void */ ; cmd->name.len; cmd++) {
            if (ngx_strcmp(cmd->name.data, directive) == 0
                && (cmd->type & NGX_HTTP_SRV_CONF))
            {
                return 1;
            }
        }
    }

    return 0;
}


/* claude_relay_control; in a location */

char *
ngx_http_claude_relay_set_control(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_claude_relay_loc_conf_t *rlcf = conf;

    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);

    if (clcf->handler) {
        return "is duplicate, or conflicts with another handler";
    }

    rlcf->control = rmcf->control ? rmcf->control
                                  : &ngx_http_claude_relay_control_plain;
    rlcf->file = cf->conf_file->file.name.data;
    rlcf->line = cf->conf_file->line;

    clcf->handler = ngx_http_claude_relay_control_handler;

    return NGX_CONF_OK;
}


char *
ngx_http_claude_relay_control_merge(ngx_conf_t *cf,
    ngx_http_claude_relay_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t           *clcf;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_claude_relay_module);
    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (rmcf->shm_zone == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"claude_relay_control\" needs \"claude_relay_zone\" "
                      "in %s:%ui", conf->file, conf->line);
        return NGX_CONF_ERROR;
    }

    /* what is too large for a way is refused by it, in its own words */

    clcf->client_max_body_size = 0;

    return NGX_CONF_OK;
}


/* sockets are open by now, and nginx has let everybody use them */

ngx_int_t
ngx_http_claude_relay_control_init_module(ngx_cycle_t *cycle)
{
    mode_t                              mode;
    ngx_uint_t                          i;
    ngx_http_claude_relay_control_t   **control;
    ngx_http_claude_relay_main_conf_t  *rmcf;

    rmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_claude_relay_module);

    if (rmcf == NULL || ngx_test_config) {
        return NGX_OK;
    }

    ngx_http_claude_relay_master = geteuid();

    control = rmcf->controls.elts;

    for (i = 0; i < rmcf->controls.nelts; i++) {

        mode = 0600;

        if (control[i]->gid != (gid_t) -1) {

            if (chown((char *) control[i]->path.data, (uid_t) -1,
                      control[i]->gid)
                == -1)
            {
                ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                              "chown() \"%V\" failed, its group cannot use it",
                              &control[i]->path);

            } else {
                mode = 0660;
            }
        }

        if (chmod((char *) control[i]->path.data, mode) == -1) {
            ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                          "chmod() \"%V\" failed", &control[i]->path);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_claude_relay_control_handler(ngx_http_request_t *r)
{
    u_char                            buf[NGX_INT_T_LEN + 8];
    struct ucred                      peer;
    ngx_http_claude_relay_caller_t    caller;
    ngx_http_claude_relay_loc_conf_t *rlcf;

    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    if (r->connection->listening->sockaddr->sa_family != AF_UNIX) {
        return ngx_http_claude_relay_control_refuse(r,
                             "control calls are answered on unix sockets only");
    }

    rlcf = ngx_http_get_module_loc_conf(r, ngx_http_claude_relay_module);

    if (!ngx_http_claude_relay_control_allowed(r, rlcf->control, &peer)) {
        return ngx_http_claude_relay_control_refuse(r,
                                            "this user may not control nginx");
    }

    ngx_memzero(&caller, sizeof(ngx_http_claude_relay_caller_t));

    caller.who.data = buf;
    caller.who.len = ngx_sprintf(buf, "user %ui", (ngx_uint_t) peer.uid) - buf;
    caller.role = NCR_ROLE_ADMIN;

    return ngx_http_claude_relay_api(r, &r->uri, &caller);
}


/* root, whom nginx runs as, and the group that was named */

static ngx_uint_t
ngx_http_claude_relay_control_allowed(ngx_http_request_t *r,
    ngx_http_claude_relay_control_t *control, struct ucred *peer)
{
    socklen_t     len;
    ngx_socket_t  fd;

    fd = r->connection->fd;
    len = sizeof(struct ucred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &len) == -1) {
        ngx_log_error(NGX_LOG_ALERT, r->connection->log, ngx_socket_errno,
                      "getsockopt(SO_PEERCRED) failed");
        return 0;
    }

    if (peer->uid == 0 || peer->uid == geteuid()
        || peer->uid == ngx_http_claude_relay_master)
    {
        return 1;
    }

    if (control->gid != (gid_t) -1
        && (peer->gid == control->gid
            || ngx_http_claude_relay_control_member(fd, control->gid)))
    {
        return 1;
    }

    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "control: user %d of process %d was refused",
                  (int) peer->uid, (int) peer->pid);

    return 0;
}


static ngx_uint_t
ngx_http_claude_relay_control_member(ngx_socket_t fd, gid_t gid)
{
#ifdef SO_PEERGROUPS

    gid_t      groups[NGX_HTTP_CLAUDE_RELAY_CONTROL_GROUPS];
    socklen_t  len, i;

    len = sizeof(groups);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == -1) {
        return 0;
    }

    for (i = 0; i < len / sizeof(gid_t); i++) {
        if (groups[i] == gid) {
            return 1;
        }
    }

#endif

    return 0;
}


static ngx_int_t
ngx_http_claude_relay_control_refuse(ngx_http_request_t *r,
    const char *message)
{
    u_char     *p;
    ngx_int_t   rc;
    ngx_str_t   body;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    p = ngx_pnalloc(r->pool, 256);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.data = p;
    body.len = ngx_sprintf(p, "{\"error\":{\"type\":\"forbidden\","
                              "\"message\":\"%s\"}}", message) - p;

    return ngx_http_claude_relay_send(r, NGX_HTTP_FORBIDDEN,
                                      &ngx_http_claude_relay_control_type,
                                      &body);
}
