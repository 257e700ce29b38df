
/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


#include "ncr_store_test.h"


static char        ncr_test_seen[1024];
static ncr_uint_t  ncr_test_stop;


static ncr_int_t
ncr_test_person_seen(void *data, ncr_store_person_t *person)
{
    size_t       n;
    ncr_uint_t  *count = data;

    n = strlen(ncr_test_seen);
    snprintf(ncr_test_seen + n, sizeof(ncr_test_seen) - n, "%s%s ",
             person->name, person->has_totp ? "+" : "");

    return (++*count == ncr_test_stop) ? NCR_DONE : NCR_OK;
}


static ncr_int_t
ncr_test_session_seen(void *data, ncr_store_session_t *session)
{
    size_t       n;
    ncr_uint_t  *count = data;

    n = strlen(ncr_test_seen);
    snprintf(ncr_test_seen + n, sizeof(ncr_test_seen) - n, "%d%s ",
             session->digest[0], session->name);

    return (++*count == ncr_test_stop) ? NCR_DONE : NCR_OK;
}


static ncr_int_t
ncr_test_action_seen(void *data, ncr_store_action_t *action)
{
    size_t       n;
    ncr_uint_t  *count = data;

    n = strlen(ncr_test_seen);
    snprintf(ncr_test_seen + n, sizeof(ncr_test_seen) - n, "%d%s ",
             (int) action->number, action->who);

    return (++*count == ncr_test_stop) ? NCR_DONE : NCR_OK;
}


static const char *
ncr_test_people(ncr_store_t *store, const char *after)
{
    ncr_uint_t  count;

    count = 0;
    ncr_test_seen[0] = '\0';

    return (ncr_store_people(store, after, ncr_test_person_seen, &count)
            == NCR_OK) ? ncr_test_seen : "error";
}


static const char *
ncr_test_sessions(ncr_store_t *store, const char *person)
{
    ncr_uint_t  count;

    count = 0;
    ncr_test_seen[0] = '\0';

    return (ncr_store_sessions(store, person, ncr_test_session_seen, &count)
            == NCR_OK) ? ncr_test_seen : "error";
}


static void
ncr_test_person(ncr_store_person_t *person, const char *name, ncr_role_e role)
{
    memset(person, 0, sizeof(ncr_store_person_t));

    snprintf(person->name, sizeof(person->name), "%s", name);

    person->role = role;
    person->enabled = 1;
}


static ncr_int_t
ncr_test_put(ncr_store_t *store, const char *name, ncr_role_e role)
{
    uint64_t            version;
    ncr_store_person_t  person;

    version = 0;
    ncr_test_person(&person, name, role);

    return ncr_store_person_put(store, &person, &version, NULL, 1000);
}


static ncr_int_t
ncr_test_session(ncr_store_t *store, const char *person, const char *name,
    int digest, ncr_uint_t max, ncr_msec_t now)
{
    ncr_store_session_t  session;

    memset(&session, 0, sizeof(session));
    memset(session.digest, digest, 32);
    snprintf(session.person, sizeof(session.person), "%s", person);
    snprintf(session.name, sizeof(session.name), "%s", name);
    snprintf(session.csrf, sizeof(session.csrf), "c%d", digest);
    snprintf(session.address, sizeof(session.address), "192.0.2.%d", digest);
    snprintf(session.agent, sizeof(session.agent), "agent %d", digest);

    session.role = NCR_ROLE_OPERATOR;
    session.created = now;
    session.used = now;
    session.expires = now + 1000000;
    session.idle = 500000;

    if (name[0]) {
        session.expires = 0;
        session.idle = 0;
    }

    return ncr_store_session_put(store, &session, max, now);
}


static ncr_int_t
ncr_test_use(ncr_store_t *store, int digest, ncr_store_session_t *session,
    ncr_store_person_t *person, ncr_msec_t now)
{
    ncr_char_t  d[32];

    memset(d, digest, sizeof(d));

    return ncr_store_session_use(store, d, session, person, now);
}


static void
ncr_test_persons(void)
{
    uint64_t             version, first, last;
    ncr_store_t         *store, *other;
    ncr_store_person_t   person, found;

    store = ncr_test_open();
    other = ncr_test_open();

    ncr_test(ncr_store_person_find(store, "alice", &found) == NCR_DECLINED
             && strcmp(ncr_test_people(store, ""), "") == 0, "nobody yet");

    ncr_test_person(&person, "alice", NCR_ROLE_ADMIN);
    snprintf(person.password, sizeof(person.password), "scrypt$1");
    snprintf(person.external, sizeof(person.external), "github:4711");
    memcpy(person.totp, "totp-totp-totp-totp-", NCR_TOTP_KEY);
    person.totp_step = 70;
    person.must_change = 1;
    person.has_totp = 1;

    version = 7;
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 1000)
             == NCR_DECLINED
             && strstr(ncr_store_error(store), "has no person"),
             "put: a version of nobody");
    version = 0;
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 1000)
             == NCR_OK && version && version == person.version,
             "put: somebody new");
    first = version;
    version = 0;
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 2000)
             == NCR_DECLINED
             && strstr(ncr_store_error(store), "has a person"),
             "put: not new");

    ncr_test(ncr_store_person_find(other, "alice", &found) == NCR_OK
             && strcmp(found.name, "alice") == 0
             && found.role == NCR_ROLE_ADMIN && found.enabled
             && found.must_change && found.has_totp
             && memcmp(found.totp, person.totp, NCR_TOTP_KEY) == 0
             && found.totp_step == 70 && found.version == first
             && found.created == 1000 && found.updated == 1000
             && found.login == 0
             && strcmp(found.password, "scrypt$1") == 0
             && strcmp(found.external, "github:4711") == 0,
             "found by another");
    ncr_test(ncr_store_person_external(other, "github:4711", &found) == NCR_OK
             && strcmp(found.name, "alice") == 0, "by what it is elsewhere");
    ncr_test(ncr_store_person_external(other, "github:4712", &found)
             == NCR_DECLINED
             && ncr_store_person_external(other, "", &found) == NCR_DECLINED,
             "nobody else");

    version = first;
    person.must_change = 0;
    ncr_test(ncr_store_person_put(other, &person, &version, NULL, 3000)
             == NCR_OK && version > first, "put: a change");
    version = first;
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 3000)
             == NCR_DECLINED && version == first
             && strstr(ncr_store_error(store), "another version"),
             "put: of what was changed since");
    ncr_test(ncr_store_person_find(store, "alice", &found) == NCR_OK
             && !found.must_change && found.created == 1000
             && found.updated == 3000, "is as it was changed");

    (void) ncr_test_put(store, "bob", NCR_ROLE_USER);
    (void) ncr_test_put(store, "Carol", NCR_ROLE_VIEWER);
    ncr_test(strcmp(ncr_test_people(store, ""), "Carol alice+ bob ") == 0
             && strcmp(ncr_test_people(store, "alice"), "bob ") == 0, "all");
    ncr_test_stop = 2;
    ncr_test(strcmp(ncr_test_people(store, ""), "Carol alice+ ") == 0, "some");
    ncr_test_stop = 0;

    ncr_test_person(&person, "bob", NCR_ROLE_USER);
    snprintf(person.external, sizeof(person.external), "github:4711");
    version = UINT64_MAX;
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 1)
             == NCR_DECLINED
             && strstr(ncr_store_error(store), "external"),
             "nobody is two persons");

    ncr_test_person(&person, "", NCR_ROLE_USER);
    version = 0;
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 1)
             == NCR_ERROR, "a name");
    ncr_test_person(&person, "x", NCR_ROLE_NONE);
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 1)
             == NCR_ERROR, "a role");

    /* the last admin */

    (void) ncr_store_person_find(store, "alice", &person);
    version = UINT64_MAX;
    person.role = NCR_ROLE_OPERATOR;
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 1)
             == NCR_DECLINED
             && strstr(ncr_store_error(store), "no other admin"),
             "the last admin stays one");
    person.role = NCR_ROLE_ADMIN;
    person.enabled = 0;
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 1)
             == NCR_DECLINED
             && ncr_store_person_remove(store, "alice", UINT64_MAX, 1)
                == NCR_DECLINED, "and here");

    (void) ncr_test_put(store, "dave", NCR_ROLE_ADMIN);
    ncr_test(ncr_store_person_put(store, &person, &version, NULL, 1)
             == NCR_OK, "not the last one");
    ncr_test(ncr_store_person_remove(store, "dave", UINT64_MAX, 1)
             == NCR_DECLINED, "who is disabled does not count");
    ncr_test(ncr_store_person_remove(store, "alice", version + 1, 1)
             == NCR_DECLINED
             && ncr_store_person_remove(store, "alice", version, 1) == NCR_OK
             && ncr_store_person_remove(store, "alice", UINT64_MAX, 1)
                == NCR_DECLINED
             && ncr_store_person_find(other, "alice", &found) == NCR_DECLINED,
             "removed");

    last = version;
    (void) ncr_test_put(store, "alice", NCR_ROLE_USER);
    ncr_test(ncr_store_person_find(store, "alice", &found) == NCR_OK
             && found.version > last, "another one of that name");

    /* logins */

    ncr_test(ncr_store_person_login(store, "bob", 0, 5000) == NCR_OK
             && ncr_store_person_find(store, "bob", &found) == NCR_OK
             && found.login == 5000 && found.totp_step == 0, "a login");
    last = found.version;
    ncr_test(ncr_store_person_login(store, "bob", 9, 6000) == NCR_OK
             && ncr_store_person_login(other, "bob", 9, 7000) == NCR_DECLINED
             && ncr_store_person_login(other, "bob", 8, 7000) == NCR_DECLINED
             && ncr_store_person_find(store, "bob", &found) == NCR_OK
             && found.login == 6000 && found.totp_step == 9
             && found.version == last, "a code once");
    ncr_test(ncr_store_person_login(store, "nobody", 0, 1) == NCR_DECLINED,
             "nobody's");

    ncr_store_close(store);
    ncr_store_close(other);
}


static void
ncr_test_logged_in(void)
{
    uint64_t              version;
    ncr_char_t            keep[32];
    ncr_store_t          *store;
    ncr_store_person_t    person;
    ncr_store_session_t   session;

    store = ncr_test_open();

    (void) ncr_test_put(store, "eve", NCR_ROLE_ADMIN);

    ncr_test(ncr_test_session(store, "nobody", "", 1, 3, 1000)
             == NCR_DECLINED, "no person, no session");
    ncr_test(ncr_test_use(store, 1, &session, &person, 1) == NCR_DECLINED,
             "none");
    ncr_test(ncr_test_session(store, "eve", "", 1, 3, 1000) == NCR_OK
             && ncr_test_use(store, 1, &session, &person, 2000) == NCR_OK
             && strcmp(person.name, "eve") == 0
             && strcmp(session.person, "eve") == 0
             && strcmp(session.csrf, "c1") == 0
             && strcmp(session.address, "192.0.2.1") == 0
             && strcmp(session.agent, "agent 1") == 0
             && session.name[0] == '\0' && session.created == 1000
             && session.used == 1000 && session.expires == 1001000
             && session.idle == 500000
             && session.role == NCR_ROLE_OPERATOR, "a session");

    ncr_test(ncr_test_use(store, 1, &session, &person, 61000) == NCR_OK
             && session.used == 61000
             && ncr_test_use(store, 1, &session, &person, 62000) == NCR_OK
             && session.used == 61000, "its use, once a minute");
    ncr_test(ncr_test_use(store, 1, &session, &person, 561000)
             == NCR_DECLINED
             && ncr_test_use(store, 1, &session, &person, 560999) == NCR_OK,
             "not used for too long");
    (void) ncr_test_use(store, 1, &session, &person, 990000);
    ncr_test(ncr_test_use(store, 1, &session, &person, 1000999) == NCR_OK
             && ncr_test_use(store, 1, &session, &person, 1001000)
                == NCR_DECLINED, "too old");

    (void) ncr_test_session(store, "eve", "", 2, 3, 2001);
    (void) ncr_test_session(store, "eve", "", 3, 3, 2002);
    (void) ncr_test_session(store, "eve", "script", 4, 3, 2003);
    (void) ncr_test_put(store, "mallory", NCR_ROLE_USER);
    (void) ncr_test_session(store, "mallory", "", 5, 3, 2004);
    ncr_test(strcmp(ncr_test_sessions(store, "eve"), "4script 3 2 1 ") == 0
             && strcmp(ncr_test_sessions(store, NULL), "5 4script 3 2 1 ")
                == 0, "newest first");
    ncr_test(ncr_test_session(store, "eve", "", 6, 3, 2005) == NCR_OK
             && strcmp(ncr_test_sessions(store, "eve"), "6 4script 3 2 ")
                == 0, "the oldest makes room");
    ncr_test(ncr_test_session(store, "eve", "script", 7, 3, 2005)
             == NCR_DECLINED
             && strstr(ncr_store_error(store), "has a token")
             && ncr_test_session(store, "mallory", "script", 7, 3, 2005)
                == NCR_OK, "a token's name is once a person's");
    ncr_test(ncr_test_session(store, "mallory", "more", 8, 1, 2005)
             == NCR_DECLINED, "there are enough");

    ncr_test(ncr_test_use(store, 5, &session, &person, 3000) == NCR_OK
             && session.role == NCR_ROLE_USER,
             "no role above the person's");
    ncr_test(ncr_test_use(store, 4, &session, &person, (ncr_msec_t) 1 << 50)
             == NCR_OK, "a token without an end");

    /* what ends them */

    memset(keep, 3, sizeof(keep));

    (void) ncr_store_person_find(store, "eve", &person);
    version = UINT64_MAX;
    person.must_change = 1;
    (void) ncr_store_person_put(store, &person, &version, keep, 3000);
    ncr_test(strcmp(ncr_test_sessions(store, "eve"), "6 4script 3 2 ") == 0,
             "a change that ends none");

    version = UINT64_MAX;
    snprintf(person.password, sizeof(person.password), "scrypt$2");
    (void) ncr_store_person_put(store, &person, &version, keep, 3000);
    ncr_test(strcmp(ncr_test_sessions(store, "eve"), "4script 3 ") == 0
             && strcmp(ncr_test_sessions(store, "mallory"), "7script 5 ")
                == 0, "another password");

    (void) ncr_test_put(store, "root", NCR_ROLE_ADMIN);
    version = UINT64_MAX;
    person.role = NCR_ROLE_VIEWER;
    (void) ncr_store_person_put(store, &person, &version, keep, 3000);
    ncr_test(strcmp(ncr_test_sessions(store, "eve"), "3 ") == 0,
             "another role");
    version = UINT64_MAX;
    person.enabled = 0;
    (void) ncr_store_person_put(store, &person, &version, NULL, 3000);
    ncr_test(strcmp(ncr_test_sessions(store, "eve"), "") == 0
             && ncr_test_session(store, "eve", "", 9, 3, 3000)
                == NCR_DECLINED, "disabled");

    (void) ncr_store_person_remove(store, "mallory", UINT64_MAX, 3000);
    ncr_test(strcmp(ncr_test_sessions(store, NULL), "") == 0, "removed");

    (void) ncr_test_session(store, "root", "", 10, 0, 3000);
    (void) ncr_test_session(store, "root", "", 11, 0, 3001);
    (void) ncr_test_session(store, "root", "", 12, 0, 3002);
    (void) ncr_test_session(store, "root", "t", 13, 0, 3003);

    memset(keep, 10, sizeof(keep));
    ncr_test(ncr_store_session_end(store, keep) == NCR_OK
             && ncr_store_session_end(store, keep) == NCR_DECLINED,
             "one ended");
    memset(keep, 11, sizeof(keep));
    ncr_test(ncr_store_session_end_all(store, "root", keep) == NCR_OK
             && strcmp(ncr_test_sessions(store, "root"), "13t 11 ") == 0
             && ncr_store_session_end_all(store, "root", keep)
                == NCR_DECLINED
             && ncr_store_session_end_all(store, "root", NULL) == NCR_OK
             && strcmp(ncr_test_sessions(store, "root"), "13t ") == 0,
             "all but one");
    ncr_test(ncr_store_token_end(store, "root", "") == NCR_DECLINED
             && ncr_store_token_end(store, "root", "u") == NCR_DECLINED
             && ncr_store_token_end(store, "root", "t") == NCR_OK
             && strcmp(ncr_test_sessions(store, "root"), "") == 0,
             "a token ended");

    /* old ones are cleared away */

    (void) ncr_test_session(store, "root", "", 14, 0, 1000);
    (void) ncr_test_session(store, "root", "", 15, 0, 9000000);
    ncr_test(strcmp(ncr_test_sessions(store, "root"), "15 ") == 0, "old");

    ncr_store_close(store);
}


static void
ncr_test_act(ncr_store_t *store, const char *who, const char *path,
    ncr_msec_t time)
{
    ncr_store_action_t  action;

    memset(&action, 0, sizeof(action));

    action.time = time;
    action.who = (char *) (uintptr_t) who;
    action.method = (char *) (uintptr_t) "POST";
    action.path = (char *) (uintptr_t) path;
    action.status = 200;
    action.after = (char *) (uintptr_t) "{\"a\":1}";

    ncr_test(ncr_store_action_add(store, &action) == NCR_OK
             && action.number && strlen(action.hash) == 64, "an action");
}


static const char *
ncr_test_actions(ncr_store_t *store, uint64_t below, ncr_msec_t from,
    ncr_msec_t until, const char *who, const char *path, ncr_uint_t rows)
{
    size_t      n;
    ncr_int_t   rc;
    ncr_uint_t  count;

    count = 0;
    ncr_test_seen[0] = '\0';

    rc = ncr_store_actions(store, &below, from, until, who, path, rows,
                           ncr_test_action_seen, &count);

    if (rc == NCR_AGAIN) {
        n = strlen(ncr_test_seen);
        snprintf(ncr_test_seen + n, sizeof(ncr_test_seen) - n, ">%d",
                 (int) below);
    }

    return (rc == NCR_OK || rc == NCR_AGAIN) ? ncr_test_seen : "error";
}


static void
ncr_test_trail(void)
{
    uint64_t            number;
    ncr_store_t        *store;
    ncr_store_chain_t   chain;

    store = ncr_test_open();

    ncr_test(ncr_store_actions_check(store, &number) == NCR_OK,
             "nothing was done");

    ncr_test_act(store, "alice", "/v1/keys", 1000);
    ncr_test_act(store, "bob", "/v1/users/x", 2000);
    ncr_test_act(store, "alice", "/v1/keys/x", 3000);
    ncr_test_act(store, "albert", NULL, 4000);

    ncr_test(strcmp(ncr_test_actions(store, 0, 0, 0, NULL, NULL, 0),
                    "4albert 3alice 2bob 1alice ") == 0, "newest first");
    ncr_test(strcmp(ncr_test_actions(store, 3, 0, 0, NULL, NULL, 0),
                    "2bob 1alice ") == 0, "below");
    ncr_test(strcmp(ncr_test_actions(store, 0, 2000, 4000, NULL, NULL, 0),
                    "3alice 2bob ") == 0, "from and until");
    ncr_test(strcmp(ncr_test_actions(store, 0, 0, 0, "al", NULL, 0),
                    "4albert 3alice 1alice ") == 0
             && strcmp(ncr_test_actions(store, 0, 0, 0, "al_ce", "%", 0), "")
                == 0, "who");
    ncr_test(strcmp(ncr_test_actions(store, 0, 0, 0, "alice", "/v1/keys", 0),
                    "3alice 1alice ") == 0, "path");
    ncr_test_stop = 2;
    ncr_test(strcmp(ncr_test_actions(store, 0, 0, 0, NULL, NULL, 0),
                    "4albert 3alice ") == 0, "as many as are wanted");
    ncr_test_stop = 0;
    ncr_test(strcmp(ncr_test_actions(store, 0, 0, 0, "bob", NULL, 2), ">3")
             == 0
             && strcmp(ncr_test_actions(store, 3, 0, 0, "bob", NULL, 2),
                       "2bob ") == 0, "a few rows at a time");

    ncr_test(ncr_store_actions_check(store, &number) == NCR_OK, "they fit");

    memset(&chain, 0, sizeof(chain));
    ncr_test(ncr_store_actions_check_some(store, &chain, 3) == NCR_AGAIN
             && chain.number == 3
             && ncr_store_actions_check_some(store, &chain, 3) == NCR_OK,
             "in pieces, too");

    ncr_store_close(store);

    /* each member counts, and so does each row */

    (void) ncr_test_sql(ncr_test_path, "CREATE TABLE saved AS"
                                       " SELECT * FROM actions");

    {
        ncr_uint_t  i;

        static const struct {
            const char  *sql;
            uint64_t     number;
        } forged[] = {
            { "UPDATE actions SET time = 1 WHERE number = 1", 1 },
            { "UPDATE actions SET who = 'mallory' WHERE number = 2", 2 },
            { "UPDATE actions SET role = 'x' WHERE number = 2", 2 },
            { "UPDATE actions SET address = 'x' WHERE number = 2", 2 },
            { "UPDATE actions SET method = 'GET' WHERE number = 3", 3 },
            { "UPDATE actions SET path = '/' WHERE number = 4", 4 },
            { "UPDATE actions SET status = 500 WHERE number = 4", 4 },
            { "UPDATE actions SET before = '{}' WHERE number = 4", 4 },
            { "UPDATE actions SET after = '' WHERE number = 4", 4 },
            { "UPDATE actions SET hash = '' WHERE number = 1", 1 },
            { "DELETE FROM actions WHERE number = 1", 1 },
            { "DELETE FROM actions WHERE number = 3", 3 },
            { "DELETE FROM actions WHERE number = 4", 4 },
            { "DELETE FROM actions", 1 }
        };

        for (i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {

            (void) ncr_test_sql(ncr_test_path, forged[i].sql);

            store = ncr_test_open();
            number = 0;
            ncr_test(ncr_store_actions_check(store, &number) == NCR_DECLINED
                     && number == forged[i].number, forged[i].sql);
            ncr_store_close(store);

            (void) ncr_test_sql(ncr_test_path,
                                "DELETE FROM actions;"
                                "INSERT INTO actions SELECT * FROM saved");
        }
    }

    store = ncr_test_open();
    ncr_test(ncr_store_actions_check(store, &number) == NCR_OK,
             "they fit again");
    ncr_store_close(store);

    (void) ncr_test_sql(ncr_test_path, "DROP TABLE saved");
}


static ncr_int_t
ncr_test_grep(const char *what)
{
    int      found;
    char     buf[1 << 20];
    FILE    *file;
    size_t   i, n, len;

    len = strlen(what);
    file = fopen(ncr_test_path, "r");

    if (file == NULL) {
        return -1;
    }

    n = fread(buf, 1, sizeof(buf), file);
    (void) fclose(file);

    found = 0;

    for (i = 0; i + len <= n; i++) {
        found += (memcmp(buf + i, what, len) == 0);
    }

    return found;
}


static void
ncr_test_rekey(void)
{
    uint64_t             version;
    ncr_str_t            key;
    ncr_store_t         *store;
    ncr_store_person_t   person, found;

    store = ncr_test_open();

    version = 0;
    ncr_test_person(&person, "totp1", NCR_ROLE_ADMIN);
    memcpy(person.totp, "totp-totp-totp-totp-", NCR_TOTP_KEY);
    person.has_totp = 1;
    (void) ncr_store_person_put(store, &person, &version, NULL, 1000);

    version = 0;
    ncr_test_person(&person, "totp2", NCR_ROLE_USER);
    memset(person.totp, 0, NCR_TOTP_KEY);
    person.has_totp = 1;
    (void) ncr_store_person_put(store, &person, &version, NULL, 1000);

    key.data = (ncr_char_t *) NCR_TEST_OTHER_KEY;
    key.len = strlen(NCR_TEST_OTHER_KEY);

    ncr_test(ncr_store_rekey(store, &key, NULL) == NCR_OK, "another key");
    ncr_store_close(store);

    store = ncr_test_open_key(NCR_TEST_OTHER_KEY, NULL);

    ncr_test(ncr_store_person_find(store, "totp1", &found) == NCR_OK
             && found.has_totp
             && memcmp(found.totp, "totp-totp-totp-totp-", NCR_TOTP_KEY) == 0
             && ncr_store_person_find(store, "totp2", &found) == NCR_OK
             && found.has_totp && found.totp[0] == 0 && found.totp[19] == 0
             && found.version == version, "opens them");
    ncr_test(ncr_test_grep("totp1") > 0 && ncr_test_grep("totp-totp") == 0
             && ncr_test_grep("746f74702d746f7470") == 0,
             "they are sealed");

    ncr_store_close(store);

    /* one person's is no other's */

    (void) ncr_test_sql(ncr_test_path, "UPDATE people SET totp = (SELECT totp"
                        " FROM people WHERE name = 'totp2')"
                        " WHERE name = 'totp1'");

    store = ncr_test_open_key(NCR_TEST_OTHER_KEY, NULL);
    ncr_test(ncr_store_person_find(store, "totp1", &found) == NCR_ERROR
             && strstr(ncr_store_error(store), "moved"), "in their places");
    ncr_store_close(store);
}


int
main(void)
{
    ncr_test_begin();

    ncr_test_persons();
    ncr_test_clean();
    ncr_test_logged_in();
    ncr_test_clean();
    ncr_test_trail();
    ncr_test_clean();
    ncr_test_rekey();

    ncr_test_end();

    return ncr_test_done();
}
