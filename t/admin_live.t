#!/usr/bin/perl

# F063, N07: requests under way are listed, whichever worker has them, with
# what they wait for and what they have tried; an operator ends one, or all of
# an account, and no account is blamed for it.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();

my $http = <<"END";
claude_relay_zone relay:%%ZONE%%;
claude_relay_store store/relay.db secret=relay.key;
claude_relay_usage_poll off;
claude_relay_control unix:control.sock;
claude_relay_user anna { }
claude_relay_key alice { secret alice-secret-0001; user anna; }
claude_relay_key narrow { secret narrow-secret-0001; limit concurrency:1; }
claude_relay_key other { secret other-secret-0001; }
@{[ account("one", "max_concurrency 0; priority 200;") ]}
@{[ account("two", "max_concurrency 0; priority 100;") ]}
@{[ account("small", "max_concurrency 1; pool small;") ]}
server {
    listen 127.0.0.1:%%PORT%% reuseport;
    claude_relay_sticky ttl=600 wait=20s;
    claude_relay_queue 10 wait=20s;
    location = /health { claude_relay_health full=on; }
    location / { claude_relay; }
    %%ADMIN%%
    location /small/ { claude_relay; claude_relay_pool small; }
}
END

my ($door) = config($http =~ s/%%ZONE%%/1m/r
                          =~ s/%%ADMIN%%/location \/admin\/ { claude_relay_admin; }/r);

sub http {
    my ($zone) = @_;

    my $admin = $door ? "location /admin/ { claude_relay_admin; }" : "";

    return $http =~ s/%%ZONE%%/$zone/r =~ s/%%ADMIN%%/$admin/r;
}

my %opt = (workers => 2, events => "worker_connections 4096;",
           main => "worker_rlimit_nofile 16384;",
           allow => [qr/exited on signal 9/]);

my $nginx = nginx(http("16m"), %opt);
my $port = port();


sub call { return $nginx->control(@_) }

sub requests {
    my ($query) = @_;

    my $r = call("GET", "/v1/requests" . ($query // ""));

    return $r->status == 200 ? @{ $r->json->{requests} } : ();
}

# the only one, when it is in this state

sub in_state {
    my ($state, $query) = @_;

    my $found;

    until_true(sub {
        pause(0.02);
        ($found) = grep { $_->{state} eq $state } requests($query);
        return $found;
    }, 10);

    return $found // {};
}

sub begin {
    my ($o) = @_;

    return wire($port, ask(%$o));
}

sub empty { return until_true(sub { pause(0.02); !requests() }, 10) }


# ---- what is told

my $r = call("GET", "/v1/requests");

is($r->status, 200, "F063: a list");
is_deeply($r->json, { requests => [], total => 0, unlisted => 0 },
          "F063: nothing is under way");

my $w = begin({ stream => 1, do => "events=400,delay=25" });
my $one = in_state("answering");

like($one->{id}, qr/^[0-9a-f]{32}$/, "F063: id");
is($one->{op}, "messages", "F063: op");
is($one->{key}, "alice", "F063: key");
is($one->{user}, "anna", "F063: user");
is($one->{pool}, "default", "F063: pool");
is($one->{account}, "one", "F063: account");
is($one->{platform}, "anthropic", "F063: platform");
is($one->{model}, "claude-sonnet-4-6", "F063: model");
is($one->{stream}, JSON::PP::true(), "F063: stream");
is($one->{address}, "127.0.0.1", "F063: the client's address");
like($one->{started}, qr/^\d{4}-\d\d-\d\dT/, "F063: started");
like($one->{age_ms}, qr/^\d+$/, "F063: age");
like($one->{ttft_ms} // "", qr/^\d+$/, "F063: time to the first byte");
is_deeply($one->{attempts}, [], "F063: no attempt has ended");

my $before = $one->{bytes};

ok(until_true(sub { pause(0.02); ((requests())[0] || {})->{bytes} > $before },
              5),
   "F063: bytes grow");
is(call("GET", "/v1/requests/$one->{id}")->json->{id}, $one->{id},
   "F063: one of them");
is(call("GET", "/v1/requests/" . "0" x 32)->status, 404,
   "F063: one that is not there");
is(call("GET", "/v1/requests/x")->status, 404, "F063: no id at all");
is($w->{headers}{"x-request-id"}, $one->{id}, "F063: the id of the answer");


# ---- filters

my $x = begin({ key => "other-secret-0001", model => "claude-opus-5",
                stream => 1, do => "events=400,delay=25" });

until_true(sub { pause(0.02); 2 == grep { $_->{state} eq "answering" }
                                        requests() }, 10);

is(scalar(requests()), 2, "F063: two");
is((requests())[0]{id}, $one->{id}, "F063: the oldest first");

for (["?key=other", 1], ["?key=alice", 1], ["?key=nobody", 0],
     ["?user=anna", 1], ["?account=one", 2], ["?account=two", 0],
     ["?model=claude-opus-5", 1], ["?state=answering", 2],
     ["?state=queued", 0], ["?key=other&model=claude-sonnet-4-6", 0],
     ["?key=oth%65r", 1])
{
    my ($query, $n) = @$_;

    is(scalar(requests($query)), $n, "F063: $query");
}

is(call("GET", "/v1/requests?limit=1")->json->{total}, 2,
   "F063: limit: there are more");
is(scalar(requests("?limit=1")), 1, "F063: limit");

for ("?state=asleep", "?limit=0", "?limit=1001", "?limit=x", "?nonsense=1",
     "?key", "?key=a&key=b", "?key=%zz")
{
    is(call("GET", "/v1/requests$_")->status, 400, "F063: $_ is refused");
}

is(call("GET", "/v1/requests?account=nobody")->status, 404,
   "F063: an account that is not there");

$_->abort for $w, $x;
ok(empty(), "F063: a client that leaves is not listed");


# ---- each state, and its end

sub killed {
    my ($w, $what, %o) = @_;

    my $id = $o{id};
    my $r = call("DELETE", "/v1/requests/$id");

    is($r->status, 200, "$what: ended");
    is($r->json->{ended}, JSON::PP::true(), "$what: it is gone");
    is($r->json->{id}, $id, "$what: this one");

    pump(sub { $w->{done} }, 5);

    is(call("GET", "/v1/requests/$id")->status, 404, "$what: not listed");
}

sub refused {
    my ($w, $what) = @_;

    is($w->{status}, 503, "$what: 503");
    is($w->{headers}{"x-should-retry"}, "false", "$what: not to be repeated");

    my $json = eval { json($w->{body}) } || {};

    is($json->{type}, "error", "$what: in the dialect");
    is($json->{error}{type}, "api_error", "$what: its type");
    like($json->{error}{message}, qr/ended by an operator/, "$what: why");
}

# its body is on its way

$w = wire($port, substr(ask(text => "x" x 5000), 0, 2000));
$one = in_state("body");
is($one->{model}, "", "body: no model yet");
killed($w, "body", id => $one->{id});
refused($w, "body");
$w->close;

# a slot of an account

my $first = begin({ path => "/small/v1/messages", stream => 1,
                    do => "events=400,delay=25" });
in_state("answering");

$w = begin({ path => "/small/v1/messages" });
$one = in_state("waiting");
is($one->{pool}, "small", "waiting: pool");
is($one->{account}, undef, "waiting: no account yet");
killed($w, "waiting", id => $one->{id});
refused($w, "waiting");
$w->close;

is(scalar(grep { $_->{state} eq "answering" } requests()), 1,
   "waiting: the other one goes on");
$first->abort;
empty();

# a limit

$first = begin({ key => "narrow-secret-0001", stream => 1,
                 do => "events=400,delay=25" });
in_state("answering");

$w = begin({ key => "narrow-secret-0001" });
$one = in_state("queued");
is($one->{key}, "narrow", "queued: key");

my $con = call("GET", "/v1/concurrency")->json;
my ($narrow) = grep { $_->{key} eq "narrow" } @{ $con->{keys} };

is($narrow->{requests}, 2, "F063: concurrency: requests of a key");
is($narrow->{queued}, 1, "F063: concurrency: one is in a queue");
is($narrow->{answering}, 1, "F063: concurrency: one is answered");
is($con->{requests}, 2, "F063: concurrency: all");

my ($slots) = grep { $_->{account} eq "one" } @{ $con->{accounts} };
is($slots->{in_flight}, 1, "F063: concurrency: slots of an account");

killed($w, "queued", id => $one->{id});
refused($w, "queued");
$w->close;
$first->abort;
empty();

# how long one waits

$first = begin({ key => "narrow-secret-0001", do => "first=300" });
in_state("first-byte");
$w = begin({ key => "narrow-secret-0001" });
pump(sub { $w->{done} }, 10);
is($w->{status}, 200, "F063: a wait has ended");

$con = call("GET", "/v1/concurrency")->json->{waits};
is($con->{samples}, 1, "F063: concurrency: it is known");
cmp_ok($con->{p50_ms}, ">", 0, "F063: concurrency: p50");
cmp_ok($con->{p99_ms}, ">=", $con->{p50_ms}, "F063: concurrency: p99");
$_->close for $w, $first;

# no byte of an answer

$w = begin({ do => "first=20000" });
$one = in_state("first-byte");
is($one->{account}, "one", "first byte: account");
is($one->{ttft_ms}, undef, "first byte: there is none");
killed($w, "first byte", id => $one->{id});
refused($w, "first byte");
$w->close;

# amid a stream, between two events

$w = begin({ stream => 1, do => "events=400,delay=25" });
$one = in_state("answering");
killed($w, "stream", id => $one->{id});
ok($w->{clean}, "stream: it ends as it has to");

my ($event) = (events($w))[-1];
like($event->[1], qr/^event: error\ndata: \{"type":"error"/,
     "stream: an error as the last event");
like($event->[1], qr/ended by an operator/, "stream: why");
$w->close;

# amid a body that is no stream

$w = begin({ do => "json-size=4000000,dribble=4096,dribble-delay=20" });
$one = in_state("answering");
killed($w, "body of an answer", id => $one->{id});
ok(!$w->{clean} && $w->{eof}, "body of an answer: it is cut");
$w->close;

# one that is half-way through its attempts (N07)

$up->behave("sk-ant-one-000001", "status=500");
$up->behave("sk-ant-two-000001", "first=20000");
$w = begin({});
$one = in_state("first-byte", "?account=two");
is(scalar(@{ $one->{attempts} }), 1, "N07: an attempt has ended")
    || diag(explain($one));
is($one->{attempts}[0]{account}, "one", "N07: whose");
is($one->{attempts}[0]{status}, 500, "N07: status");
is($one->{attempts}[0]{class}, "server", "N07: class");
like($one->{attempts}[0]{ms}, qr/^\d+$/, "N07: how long");
killed($w, "second attempt", id => $one->{id});
refused($w, "second attempt");
$w->close;
$up->behave("sk-ant-$_-000001", "") for qw/ one two /;
call("POST", "/v1/accounts/one/reset");

is(call("DELETE", "/v1/requests/" . "f" x 32)->status, 404,
   "end: one that is not there");
is(call("DELETE", "/v1/requests/$one->{id}")->status, 404, "end: twice");
is(call("DELETE", "/v1/requests/$one->{id}?x=1")->status, 400,
   "end: an unknown parameter");


# ---- nobody is blamed, and all of it is in the books

{
    my %a = map { $_->{name} => $_ }
            map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    is($a{two}{errors}, 0, "end: no account is blamed");
    is($a{$_}{state}, "ok", "end: $_ is ok") for qw/ one two small /;
    is($a{$_}{in_flight}, 0, "end: $_ has no slot in use")
        for qw/ one two small /;

    my @rows;

    until_true(sub {
        @rows = grep { ($_->{stop_reason} // "") eq "operator" }
                @{ call("GET", "/v1/usage/rows?limit=100")
                       ->json->{rows} };
        return @rows >= 7;
    }, 10);

    is(scalar(@rows), 7, "end: each has its row, with a note")
        || diag(explain([map { $_->{stop_reason} } @rows]));
    is(scalar(grep { $_->{class} eq "aborted" } @rows), 7,
       "end: as if the client had left");
    is($nginx->control("GET", "/v1/keys/narrow")->json->{usage}[0]{reserved},
       0, "end: nothing is reserved");
    like($nginx->error_log,
         qr/control: request [0-9a-f]{32} was ended by user \d+/,
         "end: who did it");
}


# ---- all of an account, all of a key

{
    my @w = map { begin({ key => $_ % 2 ? "alice-secret-0001"
                                        : "other-secret-0001",
                          stream => 1, do => "events=400,delay=25" }) } 1 .. 8;

    until_true(sub { pause(0.02); 8 == grep { $_->{state} eq "answering" }
                                            requests() }, 10);

    $r = call("POST", "/v1/concurrency/release", { key => "other" });
    is($r->status, 200, "F063: release");
    is($r->json->{ended}, 4, "F063: release: those of a key");
    is($r->json->{left}, 0, "F063: release: none is left");
    is(scalar(@{ $r->json->{requests} }), 4, "F063: release: which ones");
    is(scalar(requests()), 4, "F063: release: and no others");

    $r = call("POST", "/v1/concurrency/release", { account => "one" });
    is($r->json->{ended}, 4, "F063: release: those of an account");
    ok(empty(), "F063: release: none is there");

    for ({}, { nonsense => 1 }, { account => 7 }, { key => "" }) {
        is(call("POST", "/v1/concurrency/release", $_)->status, 400,
           "F063: release: " . encode($_) . " is refused");
    }

    is(call("POST", "/v1/concurrency/release", { account => "x" })->status,
       404, "F063: release: no such account");
    is(call("GET", "/v1/concurrency?x=1")->status, 400,
       "F063: concurrency: an unknown parameter");

    $_->close for @w;
}


# ---- workers are killed while requests are listed

{
    my $rounds = asan() ? 2 : 6;
    my $free;

    for my $round (1 .. $rounds) {

        my @w = map { begin({ stream => 1, do => "events=4000,delay=25" }) }
                1 .. 24;

        until_true(sub { pause(0.02); 24 == grep { $_->{state} eq "answering" }
                                                 requests() }, 15);

        is(scalar(requests()), 24, "kill $round: all are listed");

        my @workers = $nginx->workers;

        kill "KILL", $workers[$round % @workers];

        my $left = 0;

        until_true(sub {
            pause(0.05);
            $left = grep { !$_->{done} } @w;
            return $left < 24 && scalar(requests()) == $left;
        }, 10);

        is(scalar(requests()), $left, "kill $round: $left are left");

        # the others are ended still, whoever is asked

        $r = call("POST", "/v1/concurrency/release", { key => "alice" });
        is($r->json->{ended}, $left, "kill $round: they are ended");
        pump(sub { !grep { !$_->{done} } @w }, 10);
        is(scalar(grep { !$_->{done} } @w), 0, "kill $round: all are over");
        $_->close for @w;

        ok(until_true(sub { (my @now = $nginx->workers) == 2 }, 5),
           "kill $round: another worker");
        empty();
    }
}


# ---- a user sees its own, and ends its own

SKIP: {
    my %token;

    for (["anna", "user"], ["ben", "user"], ["vera", "viewer"]) {
        my ($name, $role) = @$_;

        $r = call("POST", "/v1/people", { name => $name, role => $role });
        skip("no people", 1) if $r->status == 404;
        is($r->status, 201, "own: $name") || diag($r->body);

        $token{$name} = call("POST", "/v1/people/$name/tokens",
                             { name => "t" })->json->{secret};
    }

    my $as = sub {
        my ($name, $method, $path) = @_;

        my $c = $nginx->connect;

        return $c->request($method, "/admin/api$path", key => undef,
                           headers => ["Authorization: Bearer $token{$name}",
                                       "Connection: close"])->response;
    };

    my @w = map { begin({ key => "$_-secret-0001", stream => 1,
                          do => "events=400,delay=25" }) } qw/ alice other /;

    until_true(sub { pause(0.02); 2 == grep { $_->{state} eq "answering" }
                                            requests() }, 10);

    my ($mine) = requests("?key=alice");
    my ($theirs) = requests("?key=other");

    is_deeply([map { $_->{id} } @{ $as->("anna", "GET", "/v1/requests")
                                       ->json->{requests} }],
              [$mine->{id}], "own: a user sees its own");
    is($as->("ben", "GET", "/v1/requests")->json->{total}, 0,
       "own: and nobody else's");
    is($as->("vera", "GET", "/v1/requests")->json->{total}, 2,
       "own: a viewer sees all");
    is($as->("ben", "GET", "/v1/requests?user=anna")->status, 403,
       "own: not by asking for them");
    is($as->("ben", "GET", "/v1/requests/$mine->{id}")->status, 404,
       "own: not by its id");
    is($as->("ben", "DELETE", "/v1/requests/$mine->{id}")->status, 404,
       "own: and does not end it");
    is($as->("anna", "DELETE", "/v1/requests/$theirs->{id}")->status, 404,
       "own: nor what has no user");
    is($as->("vera", "DELETE", "/v1/requests/$mine->{id}")->status, 403,
       "own: a viewer ends none");
    is($as->("anna", "GET", "/v1/concurrency")->status, 403,
       "own: of all, nothing");
    is($as->("anna", "GET", "/v1/events?types=account")->status, 403,
       "own: no events of accounts");
    is($as->("anna", "DELETE", "/v1/requests/$mine->{id}")->status, 200,
       "own: a user ends its own");

    $_->abort for @w;
    empty();
}


# ---- a reload: what the old workers have is listed, and ended by the new

{
    my @w = map { begin({ stream => 1, do => "events=4000,delay=25" }) } 1 .. 8;

    until_true(sub { pause(0.02); 8 == grep { $_->{state} eq "answering" }
                                            requests() }, 10);

    $nginx->reload;

    is(scalar(requests()), 8, "reload: those of the old workers are listed");

    my $y = begin({ stream => 1, do => "events=400,delay=25" });

    until_true(sub { pause(0.02); 9 == requests() }, 10);

    $r = call("POST", "/v1/concurrency/release", { account => "one" });
    is($r->json->{ended}, 9, "reload: and ended");

    pump(sub { !grep { !$_->{done} } @w, $y }, 5);
    is(scalar(grep { $_->{clean} } @w, $y), 9, "reload: all with an event");
    $_->close for @w, $y;

    ok(until_true(sub { (my @now = $nginx->workers) == 2 }, 10),
       "reload: the old workers have gone");
}


# ---- a thousand at once

{
    my $many = asan() ? 200 : 1000;
    my @w;

    for (1 .. $many / 50) {
        push @w, map { begin({ stream => 1, do => "events=40000,delay=500" }) }
                 1 .. 50;
        pause(0.05);
    }

    my $total = 0;

    until_true(sub {
        pause(0.1);
        $total = call("GET", "/v1/requests?limit=1&state=answering")
                     ->json->{total};
        return $total == $many;
    }, 60);

    is($total, $many, "many: $many are listed");
    is(call("GET", "/v1/requests")->json->{unlisted}, 0,
       "many: none is left out");
    is(scalar(requests("?limit=1000")), $many, "many: all in one answer");

    $r = call("POST", "/v1/concurrency/release", { account => "one" });
    is($r->json->{ended} + $r->json->{left}, $many, "many: all are ended");

    ok(pump(sub { !grep { !$_->{done} } @w }, 30), "many: each is over");
    is(scalar(grep { $_->{clean} } @w), $many, "many: with an event");
    $_->close for @w;

    ok(empty(), "many: nothing is listed");
}

$nginx->stop;


# ---- a small zone: what is not listed is served nevertheless

{
    $nginx = nginx(http("256k"), %opt, workers => 1);

    my @w = map { begin({ stream => 1, do => "events=30,delay=100" }) }
            1 .. 200;

    my $told = {};

    until_true(sub {
        pause(0.05);
        $told = call("GET", "/v1/requests?limit=1000")->json;
        return $told->{total} + $told->{unlisted} == 200;
    }, 20);

    cmp_ok($told->{unlisted}, ">", 0, "256k: some are not listed");
    cmp_ok($told->{total}, ">=", 40, "256k: $told->{total} are");
    is(scalar(@{ $told->{requests} }), $told->{total}, "256k: all of these");

    ok(pump(sub { !grep { !$_->{done} } @w }, 30), "256k: all are answered");
    is(scalar(grep { $_->{clean} && $_->{status} == 200 } @w), 200,
       "256k: whole");
    $_->close for @w;
    ok(empty(), "256k: nothing is listed");
}


finish();
