#!/usr/bin/perl

# Many accounts at once: lists, batches, groups, types, protection that is
# off, notes of failures and tests, quota, plans, sessions that are cleared,
# a test of everything (F090, F091, F094, F095, F096, F099, F159, F162, N12).

use warnings;
use strict;

use Test::More;
use Time::HiRes qw/ sleep /;

use ClaudeRelay;


my $up = sandbox();
my @told;

my @secrets = qw/
    sk-ant-one-000001 sk-ant-two-000001 sk-ant-ded-000001
    sk-ant-api03-planted-1 odd-key
/;

my $nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;
                       claude_relay_usage on;",
    keys => "claude_relay_key alice { secret alice-secret-0001; }
             claude_relay_key bob { secret bob-secret-000002;
                                    account group:team; }
             claude_relay_key carol { secret carol-secret-0003;
                                      account ded; }
             claude_relay_key dave { secret dave-secret-0004;
                                     account group:nobody; }
             claude_relay_key erin { secret erin-secret-0005;
                                     account group:vip;
                                     account_fallback on; }",
    accounts => account("one", "priority 1;")
                . account("two", "pool side; groups team vip; priority 2;")
                . account("ded", "type dedicated; groups team; priority 9;
                                  description Reserved-for-the-Team;"),
    server => "location /side/ { claude_relay; claude_relay_pool side; }"),
    workers => 2);


sub call {
    my ($method, $path, $json, @headers) = @_;

    my $r = $nginx->control($method, $path, $json, @headers);

    push @told, $r->head, $r->body;

    return $r;
}


sub refused {
    my ($r, $status, $type, $name, $message) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $ok = $r->status == $status && $r->type eq $type
             && (!defined $message || $r->message =~ $message);

    ok($ok, $name) || diag($r->head . "\n" . $r->body);
}


sub list { call("GET", "/v1/accounts$_[0]")->json }
sub names { join " ", map { $_->{name} } @{ list($_[0])->{accounts} } }


sub ask {
    my ($key, %opt) = @_;

    my $uri = delete $opt{uri} // "/v1/messages";

    return $nginx->request("POST", $uri, key => $key,
                           body => message(%opt),
                           headers => ["Content-Type: application/json"]);
}


sub used { ($up->last->{credential} // "") =~ /^sk-ant-(.*)-000001$/ ? $1
               : $up->last->{credential} }


# 1. lists (what there is comes from nginx.conf)

{
    my $j = list("");

    is(names(""), "one two ded", "list: as they were written");
    is($j->{total}, 3, "list: total");
    is($j->{pages}, 1, "list: pages");
    is_deeply($j->{states}, { ok => 3, resting => 0, needs_login => 0,
                              disabled => 0 }, "list: states");

    is(names("?sort=name"), "ded one two", "list: by name");
    is(names("?sort=name&order=desc"), "two one ded", "list: the other way");
    is(names("?sort=priority&order=desc"), "ded two one", "list: by priority");
    is(names("?order=desc"), "ded two one", "list: as written, reversed");
    is(names("?sort=name&limit=1&page=2"), "one", "list: a page");
    is(list("?limit=2")->{pages}, 2, "list: pages of two");
    is(list("?limit=2&page=7")->{total}, 3, "list: behind the last page");
    is(names("?limit=2&page=7"), "", "list: is nothing");
    is(names("?search=TEAM"), "ded", "list: search, in descriptions");
    is(names("?search=o&sort=name"), "ded one two", "list: search");
    is(names("?search=tw"), "two", "list: search, in names");
    is(names("?group=team"), "two ded", "F091: list: of a group");
    is(names("?group=tea"), "", "F091: list: a whole name");
    is(names("?type=dedicated"), "ded", "F090: list: of a type");
    is(names("?pool=side&platform=anthropic"), "two", "list: of a pool");

    for (qw/ limit=0 limit=1001 limit=x page=0 sort=color order=up type=none
             state=well colour=red pool=a&pool=b search search=%zz /)
    {
        refused(call("GET", "/v1/accounts?$_"), 400, "invalid_request",
                "list: $_");
    }

    refused(call("GET", "/v1/$_?x=1"), 400, "invalid_request",
            "no query: $_")
        for qw{ status account-groups quota accounts/one accounts/one/errors
                accounts/one/tests accounts/one/balance };
}


# 2. types and groups

{
    my $j = call("GET", "/v1/accounts/ded")->json;

    is($j->{type}, "dedicated", "F090: shown");
    is_deeply($j->{groups}, ["team"], "F091: shown");
    ok($j->{auto_protect}, "F159: on, as it is by itself");

    $j = call("GET", "/v1/account-groups")->json->{groups};

    is_deeply([map { "$_->{name}:"
                     . join(",", map { $_->{name} } @{ $_->{members} }) } @$j],
              ["team:two,ded", "vip:two"], "F091: groups and members");
    is($j->[0]{members}[1]{state}, "ok", "F091: with their states");
    is($j->[0]{states}{ok}, 2, "F091: and how many");

    ask("alice-secret-0001", text => "s$_") for 1 .. 6;
    is(join(" ", do { my %s; grep { !$s{$_}++ }
                      map { $_->{credential} } $up->last(6) }),
       "sk-ant-one-000001", "F090: a dedicated account is not for everybody");

    is(ask("carol-secret-0003")->status, 200, "F090: but for its key");
    is(used(), "ded", "F090: which is bound to it");

    is(ask("bob-secret-000002", text => "b")->status, 200,
       "F091: a key of a group");
    is(used(), "ded", "F091: of any pool, by priority");

    my $r = ask("dave-secret-0004");
    is_error($r, 403, "permission_error", "F091: a group without accounts",
             qr/group of accounts/);
    is($r->header("x-should-retry"), "false", "F091: once is enough");

    is(ask("erin-secret-0005", text => "e")->status, 200,
       "F091: a group, or others");
    is(used(), "two", "F091: its accounts come first, whatever the priority");

    $up->behave("sk-ant-two-000001", "status=529");
    is(ask("erin-secret-0005", text => "e2")->status, 200,
       "F091: others when they fail");
    is(used(), "one", "F091: one of the pool");
    $up->behave("sk-ant-two-000001", "");
    call("POST", "/v1/accounts/two/reset");

    $up->behave("sk-ant-ded-000001", "status=529");
    is(ask("bob-secret-000002", text => "b2")->status, 200,
       "F091: failover within a group");
    is(used(), "two", "F091: to another of it");

    $up->behave("sk-ant-two-000001", "status=529");
    $r = ask("bob-secret-000002", text => "b3");
    is($r->status, 529, "F091: all of a group fail");
    $r = ask("bob-secret-000002", text => "b4");
    like($r->message, qr/the accounts of this API key cannot serve/,
         "F091: and it is told so") || diag $r->body;
    $up->behave("sk-ant-$_-000001", "") for qw/ ded two /;
    call("POST", "/v1/accounts/$_/reset") for qw/ ded two /;

    like($nginx->request("GET", "/v1/models", key => "bob-secret-000002")->body,
         qr/claude-/, "F091: models of a group");
    unlike($nginx->request("GET", "/v1/models",
                           key => "dave-secret-0004")->body,
           qr/claude-/, "F091: none of one without accounts");
}


# 3. what may be written

my $made = { platform => "anthropic", base_url => $up->url, pool => "made",
             api_key => "sk-ant-api03-planted-1" };

for (
    [{ type => "own" }, qr/"type"/, "an unknown type"],
    [{ type => 1 }, qr/"type"/, "a number as a type"],
    [{ groups => "team" }, qr/"groups"/, "a string as groups"],
    [{ groups => [1] }, qr/"groups"/, "a number as a group"],
    [{ groups => [""] }, qr/"groups"/, "an empty group"],
    [{ groups => ["a b"] }, qr/"groups"/, "a blank in a group"],
    [{ groups => ["a/b"] }, qr/"groups"/, "a slash in a group"],
    [{ groups => ["a", "a"] }, qr/twice/, "a group twice"],
    [{ groups => ["x" x 58] }, qr/"groups"/, "a long group"],
    [{ groups => [map { "g$_" } 1 .. 17] }, qr/more than 16/, "many groups"],
    [{ auto_protect => "off" }, qr/"auto_protect"/, "a word as a switch"],
)
{
    my ($body, $message, $name) = @$_;

    refused(call("POST", "/v1/accounts", { name => "bad", %$made, %$body }),
            400, "invalid_request", "create: $name", $message);
}

is(call("POST", "/v1/accounts",
        { name => "m$_", %$made, groups => ["made"],
          description => "number $_" })->status, 201, "m$_ is made")
    for 1 .. 6;


# 4. batches

for (
    [{}, qr/"do"/, "nothing"],
    [{ do => "dance", names => ["m1"] }, qr/"do"/, "an unknown deed"],
    [{ do => ["reset"], names => ["m1"] }, qr/"do"/, "an array as a deed"],
    [{ do => "reset" }, qr/either/, "no accounts"],
    [{ do => "reset", names => ["m1"], filter => {} }, qr/either/, "both"],
    [{ do => "reset", names => [] }, qr/"names"/, "no names"],
    [{ do => "reset", names => "m1" }, qr/"names"/, "a name"],
    [{ do => "reset", names => [1] }, qr/"names"/, "a number as a name"],
    [{ do => "reset", names => ["m1", "m1"] }, qr/different/, "one twice"],
    [{ do => "reset", names => [map { "x$_" } 1 .. 501] }, qr/"names"/,
     "too many"],
    [{ do => "reset", filter => [] }, qr/"filter"/, "an array as a filter"],
    [{ do => "reset", filter => { pool => 1 } }, qr/"filter"/, "a number"],
    [{ do => "reset", filter => { sort => "name" } }, qr/"filter"/,
     "a word of lists"],
    [{ do => "reset", filter => { state => "x" } }, qr/"state"/, "a state"],
    [{ do => "patch", names => ["m1"] }, qr/"settings"/, "no settings"],
    [{ do => "patch", names => ["m1"], settings => 1 }, qr/"settings"/,
     "settings that are none"],
    [{ do => "enable", names => ["m1"], settings => {} }, qr/"settings"/,
     "settings that nobody wants"],
    [{ do => "reset", names => ["m1"], colour => 1 }, qr/"colour"/,
     "an unknown member"],
    [{ do => "reset", names => ["m1"], results => 1 }, qr/"results"/,
     "a member of the answer"],
)
{
    my ($body, $message, $name) = @$_;

    refused(call("POST", "/v1/accounts/batch", $body), 400, "invalid_request",
            "batch: $name", $message);
}


sub batch {
    my ($body, $name) = @_;

    my $r = call("POST", "/v1/accounts/batch", $body);

    is($r->status, 200, $name) || diag $r->body;

    return $r->json;
}


sub results { join " ", map { "$_->{name}:$_->{status}" }
                            @{ $_[0]{results} } }

{
    my $j = batch({ do => "disable", names => ["m1", "nobody", "one", "m2",
                                               "a/b"] },
                  "batch: disable");

    is(results($j), "m1:200 nobody:404 one:409 m2:200 a/b:404",
       "batch: a result for each");
    ok(!$j->{ok}, "batch: not all of it was done");
    is($j->{done}, 2, "batch: done");
    is($j->{failed}, 3, "batch: failed");
    is($j->{results}[0]{state}, "disabled", "batch: its state");
    is($j->{results}[0]{version}, 2, "batch: its version");
    like($j->{results}[2]{error}, qr/nginx\.conf/, "batch: why not");

    is(list("?pool=made")->{states}{disabled}, 2, "batch: they are");
    is(names("?pool=made&state=disabled"), "m1 m2", "list: of a state");

    $j = batch({ do => "enable", filter => { state => "disabled" } },
               "batch: enable those of a filter");
    is(results($j), "m1:200 m2:200", "batch: these");
    ok($j->{ok}, "batch: all of it");

    $j = batch({ do => "patch", filter => { group => "made",
                                            search => "NUMBER" },
                 settings => { priority => 7, groups => ["made", "x"] } },
               "batch: patch");
    is($j->{done}, 6, "batch: six were patched");
    is_deeply([map { "$_->{priority} @{ $_->{groups} }" }
               @{ list("?group=x")->{accounts} }],
              [("7 made x") x 6], "batch: as it was asked");

    $j = batch({ do => "patch", names => ["m1", "m2"],
                 settings => { platform => "console" } },
               "batch: a patch that is refused");
    is(results($j), "m1:400 m2:400", "batch: for each");
    like($j->{results}[1]{error}, qr/cannot be changed/, "batch: and why");

    $j = batch({ do => "refresh", names => ["m1"] }, "batch: refresh");
    is(results($j), "m1:409", "batch: of what has no tokens");

    $j = batch({ do => "reset", filter => { pool => "made" } },
               "batch: reset");
    is($j->{done}, 6, "F096: batch: all of a pool");

    $up->since;
    $up->behave("sk-ant-api03-planted-1", "delay=50");
    $j = batch({ do => "test", names => [map { "m$_" } 1 .. 6] },
               "batch: test");
    is($j->{done}, 6, "batch: six tests");
    is($j->{results}[5]{status}, 200, "batch: the upstream's status");
    ok(exists $j->{results}[5]{ms} && $j->{results}[5]{model},
       "batch: as a test has it");
    is(scalar(my @six = $up->since), 6, "batch: six requests");
    $up->behave("sk-ant-api03-planted-1", "");

    $j = batch({ do => "reset", filter => { pool => "nowhere" } },
               "batch: nothing is meant");
    is_deeply($j->{results}, [], "batch: nothing is done");

    # each of them is in the trail, with what it was before

    my $db = $nginx->dir . "/db/relay.db";
    my $trail = `sqlite3 -cmd '.timeout 5000' $db "SELECT before, after
                     FROM actions WHERE method = 'PATCH' AND status = 200
                     AND path = '/v1/accounts/m3'" 2>&1`;

    like($trail, qr/"priority":100.*\|.*"priority":7/,
         "batch: an account's part of the trail");
    unlike($trail, qr/planted/, "batch: without its key");

    # the client leaves: what was begun is brought to its end

    my $body = encode({ do => "patch", filter => { pool => "made" },
                        settings => { priority => 3 } });
    my $s = IO::Socket::UNIX->new(Peer => $nginx->dir . "/control.sock");

    print $s "POST /v1/accounts/batch HTTP/1.1\r\nHost: x\r\n"
             . "Content-Length: " . length($body) . "\r\n\r\n$body";
    sleep 0.05;
    close $s;

    ok(wait_for(sub {
        !grep { $_->{priority} != 3 } @{ list("?pool=made")->{accounts} };
    }, 10), "batch: to its end without a client");

    $j = batch({ do => "remove", filter => { pool => "made" } },
               "batch: remove");
    is($j->{done}, 6, "batch: six are gone");
    is($j->{results}[0]{status}, 204, "batch: as of one");
    is(names("?pool=made"), "", "batch: none is left");
}


# 5. protection

{
    $up->behave("sk-ant-api03-planted-1", "status=500");

    is(call("POST", "/v1/accounts", { name => "bare", %$made, pool => "side",
                                      priority => 50,
                                      auto_protect => \0 })->status, 201,
       "F159: an account that may not rest");

    my $first = call("GET", "/v1/accounts/bare")->json->{errors};

    for (1 .. 3) {
        is(ask("alice-secret-0001", uri => "/side/v1/messages",
               text => "p$_")->status, 200, "F159: another one serves, $_");
    }

    my $j = call("GET", "/v1/accounts/bare")->json;
    is($j->{state}, "ok", "F159: it does not rest");
    is($j->{errors} - $first, 3, "F159: it was asked each time");

    is(call("PATCH", "/v1/accounts/bare", { auto_protect => \1 })->status,
       200, "F159: on again");
    ask("alice-secret-0001", uri => "/side/v1/messages", text => "q");
    is(call("GET", "/v1/accounts/bare")->json->{state}, "resting",
       "F159: then it rests");
    is(call("PATCH", "/v1/accounts/bare", { auto_protect => \0 })
           ->json->{state}, "ok", "F159: off: and that is over at once");
}


# 6. notes

{
    my $j = call("GET", "/v1/accounts/bare/errors")->json;

    is($j->{total}, 4, "F162: failures") || diag encode($j);
    is(scalar @{ $j->{errors} }, 4, "F162: all of them");
    is($j->{errors}[0]{class}, "server", "F162: their class");
    is($j->{errors}[0]{status}, 500, "F162: their status");
    like($j->{errors}[0]{request_id}, qr/^[0-9a-f]{32}$/, "F162: the request");
    like($j->{errors}[0]{at}, qr/^\d{4}-.*Z$/, "F162: when");
    ok(length $j->{errors}[0]{text}, "F162: what it said");

    # it quotes the key back

    my $fake = canned(sub {
        my ($request) = @_;
        my ($key) = $request =~ /^x-api-key: (.*?)\r/mi;
        my $body = '{"type":"error","error":{"type":"api_error","message":'
                   . '"no ' . ($key // "?") . ' and sk-ant-oat01-'
                   . "A1b2C3d4" x 8 . ' here\u0007 ' . "x" x 300 . '"}}';
        return "HTTP/1.1 500 X\r\nContent-Type: application/json\r\n"
               . "Content-Length: " . length($body) . "\r\n\r\n$body";
    });

    is(call("POST", "/v1/accounts",
            { name => "odd", platform => "console", pool => "odd",
              auto_protect => \0, base_url => $fake->url,
              credential => "x-api-key", groups => ["odd"],
              api_key => "odd-key" })->status, 201, "F162: an odd account");
    is(call("POST", "/v1/keys", { name => "odd", account => "group:odd",
                                  secret => "odd-secret-0006" })->status, 201,
       "F091: a key of the store, of a group");

    ask("odd-secret-0006", text => "o$_") for 1 .. 20;

    $j = call("GET", "/v1/accounts/odd/errors")->json;
    is($j->{total}, 20, "F162: twenty failures");
    is(scalar @{ $j->{errors} }, 16, "F162: the last sixteen");
    like($j->{errors}[0]{text}, qr/^no \*+ and \*\*\*/,
         "F162: no key, no token") || diag $j->{errors}[0]{text};
    cmp_ok(length $j->{errors}[0]{text}, "<", 160, "F162: not all of it");
    unlike($j->{errors}[0]{text}, qr/[\x00-\x1f]/, "F162: one line");

    # whoever fails, all workers know

    is(call("DELETE", "/v1/accounts/odd/errors")->status, 204,
       "F162: forgotten");
    is_deeply(call("GET", "/v1/accounts/odd/errors")->json,
              { errors => [], total => 0 }, "F162: none is left");
    refused(call("GET", "/v1/accounts/nobody/errors"), 404, "not_found",
            "F162: of nobody");
    refused(call("DELETE", "/v1/accounts/nobody/errors"), 404, "not_found",
            "F162: of nobody, to be forgotten");

    call("POST", "/v1/accounts/odd/test", { model => "m" }) for 1 .. 2;
    call("POST", "/v1/accounts/bare/test");
    $up->behave("sk-ant-api03-planted-1", "");
    call("POST", "/v1/accounts/bare/test");

    $j = call("GET", "/v1/accounts/odd/tests")->json;
    is($j->{total}, 2, "F095: tests are kept");
    ok(!$j->{tests}[0]{ok} && $j->{tests}[0]{status} == 500,
       "F095: as they were");
    like($j->{tests}[0]{error}, qr/^no \*+ and/, "F095: and why");

    $j = call("GET", "/v1/accounts/bare/tests")->json->{tests};
    is_deeply([map { $_->{ok} ? 1 : 0 } @$j], [1, 0],
              "F095: the newest first");
    is(call("GET", "/v1/accounts/bare")->json->{last_test}{status}, 200,
       "F095: and the last of them");
    is_deeply(call("GET", "/v1/accounts/one/tests")->json,
              { tests => [], total => 0 }, "F095: none yet");
    refused(call("GET", "/v1/accounts/nobody/tests"), 404, "not_found",
            "F095: of nobody");

    is(call("DELETE", "/v1/accounts/odd")->status, 204, "odd is removed");
    is(call("DELETE", "/v1/accounts/bare")->status, 204, "bare is removed");
}


# 7. quota

{
    my $j = call("GET", "/v1/quota")->json;

    is($j->{total}, 3, "F099: quota: of all accounts");

    my ($one) = grep { $_->{name} eq "one" } @{ $j->{accounts} };
    is($one->{state}, "ok", "F099: state");
    is($one->{plan}, undef, "F099: no plan");
    cmp_ok($one->{today}{requests}, ">=", 6, "F099: today: requests");
    cmp_ok($one->{today}{cost_micros}, ">", 0, "F099: today: cost");
    is($one->{today}{cost} * 1e6, $one->{today}{cost_micros},
       "F099: in dollars");
    cmp_ok($j->{today}{cost_micros}, ">=", $one->{today}{cost_micros},
           "F099: and of all of them");

    my $b = call("GET", "/v1/accounts/one/balance")->json;
    is($b->{source}, "books", "F099: balance: by the books");
    is($b->{balance}, undef, "F099: balance: nobody tells it");
    is($b->{spent}{today}{cost}, $one->{today}{cost}, "F099: balance: today");
    is($b->{spent}{total}{requests}, $one->{today}{requests},
       "F099: balance: in total");
    refused(call("GET", "/v1/accounts/nobody/balance"), 404, "not_found",
            "F099: balance of nobody");
    refused(call("POST", "/v1/quota"), 405, "invalid_request",
            "F099: only to be read");
}


# 8. plans

{
    sub credentials {
        my ($name, $plan) = @_;

        my $seed = $up->oauth_seed(name => $name);

        push @secrets, $seed->{access}, $seed->{refresh};

        return encode({ claudeAiOauth => {
            accessToken => $seed->{access}, refreshToken => $seed->{refresh},
            expiresAt => $seed->{expires_at} + 0, subscriptionType => $plan,
            scopes => ["user:inference", "user:profile"] } });
    }

    for my $plan (qw/ free pro max /) {
        my $r = call("POST", "/v1/accounts",
                     { name => "p-$plan", pool => "side",
                       base_url => $up->url, groups => ["p-$plan"],
                       import => credentials("p-$plan", $plan) });

        is($r->status, 201, "F094: $plan") || diag $r->body;
        is($r->json->{identity}{plan}, $plan, "F094: $plan is known");

        is(call("POST", "/v1/keys",
                { name => $plan, account => "group:p-$plan",
                  secret => "plan-secret-$plan" })->status, 201,
           "F094: a key for $plan");
    }

    my %serves = (
        free => { "claude-sonnet-5" => 200, "claude-opus-5" => 404,
                  "claude-opus-4-1" => 404 },
        pro => { "claude-sonnet-5" => 200, "claude-opus-5" => 200,
                 "claude-opus-4-5-20251101" => 200,
                 "claude-opus-4-1-20250805" => 404 },
        max => { "claude-opus-4-1-20250805" => 200, "claude-opus-5" => 200 },
    );

    for my $plan (sort keys %serves) {
        for my $model (sort keys %{ $serves{$plan} }) {
            my $r = ask("plan-secret-$plan", model => $model, text => $model);

            my $want = $serves{$plan}{$model};

            ok($want == 200 ? $r->status == 200 : $r->status >= 400,
               "F094: $plan, $model")
                || diag($r->status . " " . $r->body);
        }
    }

    is(call("PATCH", "/v1/accounts/p-free", { models => ["claude-*"] })
           ->status, 200, "F094: an operator knows better");
    is(ask("plan-secret-free", model => "claude-opus-5")->status, 200,
       "F094: then it is asked");

    my $j = call("GET", "/v1/quota")->json;
    my ($pro) = grep { $_->{name} eq "p-pro" } @{ $j->{accounts} };
    is($pro->{plan}, "pro", "F094: quota: the plan");
    like($pro->{token_expires}, qr/^20/, "F099: quota: the token's end");
    like($pro->{windows}{"5h"}{reset}, qr/^20/, "F099: quota: a window");

    my $five = $j->{windows}{"5h"};
    is($five->{accounts}, 3, "F099: quota: of three accounts");
    ok($five->{most} >= $five->{mean} && $five->{most} <= 1,
       "F099: quota: what is used of it");
    is((sort map { $_->{windows}{"5h"}{reset} // "z" }
             @{ $j->{accounts} })[0], $five->{next_reset},
       "F099: quota: which is back first");

    batch({ do => "remove", filter => { search => "p-" } },
          "the plans are removed");
}


# 9. sessions

{
    sub session { ("X-Claude-Code-Session-Id: 00000000-0000-4000-8000-"
                   . sprintf("%012d", $_[0])) }

    my $before = call("GET", "/v1/status")->json->{sessions};

    # "two" has priority 2 in its pool, and is alone there

    $nginx->post("/side/v1/messages", message(text => "n$_"), session($_))
        for 1 .. 30;
    $nginx->post("/v1/messages", message(text => "n$_"), session(100 + $_))
        for 1 .. 5;

    my $all = call("GET", "/v1/status")->json->{sessions};
    cmp_ok($all - $before, ">=", 35, "sessions are bound");

    my $j = call("POST", "/v1/accounts/two/sessions/clear")->json;

    cmp_ok($j->{cleared}, ">=", 30, "F096: those of one account are cleared");
    is(call("GET", "/v1/status")->json->{sessions}, $all - $j->{cleared},
       "F096: those of others stay");
    is(call("POST", "/v1/accounts/two/sessions/clear")->json->{cleared}, 0,
       "F096: none is left");

    $nginx->post("/v1/messages", message(), session(101));
    is($nginx->log->{sticky}, "hit", "F096: others are where they were");

    refused(call("POST", "/v1/accounts/nobody/sessions/clear"), 404,
            "not_found", "F096: of nobody");
    refused(call("POST", "/v1/accounts/one/sessions/clear", { x => 1 }), 400,
            "invalid_request", "F096: nothing is to be said");
}


# 10. all of it

{
    my $r = call("POST", "/v1/test");
    is($r->status, 200, "N12: a test of everything") || diag $r->body;

    my $j = $r->json;
    ok($j->{ok}, "N12: all of it works") || diag $r->body;
    is(join(" ", map { $_->{name} } @{ $j->{accounts} }), "one two ded",
       "N12: accounts");
    is($j->{accounts}[0]{status}, 200, "N12: their status");
    is(join(" ", map { "$_->{location}:$_->{route}:$_->{account}" }
                     @{ $j->{routes} }),
       "/side/:messages:two /side/:count_tokens:two "
       . "/:messages:one /:count_tokens:one", "N12: routes") || diag $r->body;
    is($j->{tested}, 7, "N12: so many");

    $up->behave("sk-ant-two-000001", "status=500");
    $j = call("POST", "/v1/test")->json;
    ok(!$j->{ok}, "N12: something does not work");
    is($j->{failed}, 2, "N12: an account, and a location that has no other");
    my ($route) = grep { !$_->{ok} } @{ $j->{routes} };
    is($route->{location}, "/side/", "N12: this one");
    like($route->{error}, qr/no account/, "N12: and why");
    is(call("GET", "/v1/accounts/two")->json->{state}, "ok",
       "N12: a test is no failure");
    $up->behave("sk-ant-two-000001", "");

    $j = call("POST", "/v1/test", { filter => { pool => "side" } })->json;
    is(join(" ", map { $_->{name} } @{ $j->{accounts} }), "two",
       "N12: of some of them");
    refused(call("POST", "/v1/test", { filter => 1 }), 400,
            "invalid_request", "N12: a filter that is none");
    refused(call("POST", "/v1/test", { all => 1 }), 400, "invalid_request",
            "N12: an unknown member");
    refused(call("GET", "/v1/test"), 405, "invalid_request",
            "N12: it is asked for");
}


# no secret anywhere

{
    my $all = join "\n", @told, $nginx->error_log, $nginx->access_log;

    for my $secret (@secrets) {
        ok(index($all, $secret) < 0, "no secret is told: "
                                     . substr($secret, 0, 12) . "...");
    }
}


# what nginx.conf may have

for (
    ["type own;", qr/"type" in account "a" must be/, "a type"],
    ["type shared; type shared;", qr/is duplicate/, "a type, twice"],
    ["groups a/b;", qr/"groups" in account "a" must have names/, "a group"],
    ["groups a a;", qr/twice/, "a group, twice"],
    ["groups a; groups b;", undef, "groups, in two lines"],
    ["auto_protect maybe;", qr/must be "on" or "off"/, "protection"],
)
{
    my ($text, $message, $name) = @$_;
    my ($ok, $said) = config(relay_http(accounts => account("a", $text)));

    if ($message) {
        ok(!$ok, "nginx.conf: $name");
        like($said, $message, "nginx.conf: $name: why");

    } else {
        ok($ok, "nginx.conf: $name") || diag $said;
    }
}

{
    my ($ok, $said) = config(relay_http(
        keys => "claude_relay_key k { secret key-secret-0001;
                                      account group:none; }"));

    ok(!$ok, "nginx.conf: a key of a group without accounts");
    like($said, qr/account "group:none" of key "k" is not defined/,
         "nginx.conf: which is told");
}


finish();
