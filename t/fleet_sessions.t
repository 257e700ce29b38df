#!/usr/bin/perl

# Sessions, batches and files over three nodes.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayFleet;
use Test::More;
use Time::Local qw/ timegm /;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $redis = redis();
my $other = "bob-secret-000001";

my $fleet = fleet(3, redis => $redis,
    params => "timeout=" . (asan() ? 2000 : 500) . "ms"
              . " command_timeout=4s",
    workers => asan() ? 1 : 2,
    http => "claude_relay_key bob { secret $other; }"
            . "claude_relay_rest server=1 server_max=1 overloaded=1;",
    accounts => join("", map { account("a$_") } 1 .. 4)
                . join("", map { account("o$_", "platform openai;"
                                        . " api_key sk-o$_-0001;"
                                        . " pool openai;") } 1 .. 3)
                . account("s1", "pool strict;")
                . account("s2", "pool strict;"),
    location => "claude_relay_sticky ttl=600 renew=300;"
                . "claude_relay_retry_wait 0;",
    server => "location /brief/ { claude_relay;"
              . " claude_relay_sticky ttl=600 renew=1; }"
              . "location /openai/ { claude_relay; claude_relay_pool openai; }"
              . "location /strict/ { claude_relay; claude_relay_pool strict;"
              . " claude_relay_sticky strict; claude_relay_retry_wait 0; }");

my $monitor = $redis->monitor;


sub timegm_of {
    my ($y, $m, $d, $h, $i, $s) =
        $_[0] =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)/;

    return timegm($s, $i, $h, $d, $m - 1, $y);
}

sub session { "X-Claude-Code-Session-Id: $_[0]" }

# account and the log's line of a message of a session

sub by {
    my ($i, $session, $path) = @_;

    my $r = $fleet->node($i)->post(($path // "") . "/v1/messages", message(),
                                   session($session));

    return ("status " . $r->status, {}) if $r->status != 200;

    my $log = $fleet->node($i)->log;

    return ($log->{account}, $log);
}

# what requests have sent, not what nodes send by themselves

sub asked { $monitor->count(qr/:[si]:[0-9a-f]{32}"/) }

sub key_of {
    my ($log) = @_;

    my ($key) = grep { /:s:\Q$log->{session}\E/ } $redis->keys("*:s:*");

    return $key;
}

sub account_in_redis {
    my $key = key_of($_[0]);

    return $key && $redis->cli("GET", $key);
}

my $probes = 0;

# all workers of each node ask Redis for what they do not know

sub ready {
    return wait_for(sub {
        for my $i (map { ($_) x 8 } 0 .. 2) {
            my (undef, $log) = by($i, "probe-" . $probes++);
            return if !$log->{session} || !key_of($log);
        }

        return 1;
    }, 30);
}

ok(ready(), "fleet: three nodes");


# one after the other, through any node

{
    my (%at, @moved, @sticky);

    for my $n (1 .. 24) {
        my ($first, $log) = by($n % 3, "one-$n");

        $at{$first}++;
        push @sticky, $log->{sticky};

        for my $i ($n + 1, $n + 2, $n) {
            my ($account, $log) = by($i % 3, "one-$n");

            push @moved, "one-$n: $first, $account" if $account ne $first;
            push @sticky, $log->{sticky};
        }
    }

    is_deeply(\@moved, [], "fleet: a session has one account through any node");
    is(join(",", @sticky), join(",", ("miss", "hit", "hit", "hit") x 24),
       "fleet: it is new at the first node only");
    is(scalar keys %at, 4, "fleet: sessions are spread over all accounts");
}


# at the same time

{
    my @split;

    for my $n (1 .. 20) {
        my @c = map { $_->connect } $fleet->nodes;

        $_->request("POST", "/v1/messages", body => message(),
                    headers => [session("all-$n")]) for @c;

        my @status = map { $_->response->status } @c;
        my %at = map { $_->log->{account} => 1 } $fleet->nodes;

        push @split, "all-$n: @status, " . join " ", sort keys %at
            if keys %at != 1 || "@status" ne "200 200 200";
    }

    is_deeply(\@split, [],
              "fleet: first requests at once, by three nodes, at one account");
}


# what it costs

{
    $monitor->clear;
    by(0, "cost");
    is(asked(), 1, "fleet: a new session is one command");

    $monitor->clear;
    by(1, "cost");
    is(asked(), 1, "fleet: one that another node has is one command");

    $monitor->clear;
    by($_ % 2, "cost") for 1 .. 20;
    is(asked(), 0, "fleet: one that is known is none");
}


# what a node has found is as old as it is where it was made

{
    my (undef, $log) = by(0, "old");

    $redis->cli("PEXPIRE", key_of($log), 400_000);
    by(1, "old");

    my ($s) = grep { $_->{session} eq $log->{session} }
                  @{ $fleet->node(1)->control("GET", "/v1/sessions?limit=1000")
                         ->json->{sessions} };

    my $ends = abs(timegm_of($s->{expires}) - time);

    ok($ends > 300 && $ends <= 401, "fleet: a session ends for all nodes at "
       . "the same time, in $ends s");
    ok($redis->cli("PTTL", key_of($log)) <= 400_000,
       "fleet: it is not renewed before it is time");

    (undef, $log) = by(0, "older");
    $redis->cli("PEXPIRE", key_of($log), 200_000);
    by(1, "older");

    ok(wait_for(sub { $redis->cli("PTTL", key_of($log)) > 500_000 }, 5),
       "fleet: and then it is, by whoever has it");
}


# an account fails at one node: the others follow

{
    my ($at, $log) = by(0, "move");

    is((by($_, "move"))[0], $at, "fleet: before it moves") for 1, 2;

    $up->behave("sk-ant-$at-000001", "status=529,times=1");

    my ($now, $moved) = by(0, "move");

    isnt($now, $at, "fleet: an account that fails loses its session");
    is($moved->{sticky}, "moved:overloaded", "fleet: and why");

    for my $i (1, 2) {
        my ($who, $why);

        ok(wait_for(sub {
            my ($s) = grep { $_->{session} eq $log->{session} }
                          @{ $fleet->node($i)->control("GET",
                                 "/v1/sessions?limit=1000")->json->{sessions} };
            ($who, $why) = @$s{qw/ account reason /};
            return $who eq $now;
        }, 5), "fleet: node $i hears of it");

        is($why, "overloaded", "fleet: and why, node $i");
        is((by($i, "move"))[0], $now, "fleet: and follows, node $i");
    }

    is(account_in_redis($log), $now, "fleet: Redis has it");
    $up->behave("sk-ant-$at-000001", "");
}


# a proposal that fails binds nobody

{
    # both rest for a moment, or fail

    $up->behave("sk-ant-s$_-000001", "status=400") for 1, 2;
    by(0, "nobody", "/strict");
    $up->behave("sk-ant-s$_-000001", "status=529") for 1, 2;
    by(0, "none", "/strict");
    $up->behave("sk-ant-s$_-000001", "") for 1, 2;
    sleep 1.2;

    my ($at, $log) = by(1, "none", "/strict");

    like($at, qr/^s[12]$/, "fleet: strict: a session without an answer was "
         . "bound to nobody");
    is((by(2, "none", "/strict"))[0], $at, "fleet: strict: bound now");
}


# batches and files

{
    my $r = $fleet->node(0)->post("/v1/messages/batches", encode({ requests => [
        { custom_id => "a", params => { model => "claude-sonnet-4-6" } }] }),
        session("batch"));

    is($r->status, 200, "fleet: a batch");

    my $id = $r->json->{id};
    my $at = $fleet->node(0)->log->{account};

    # bob first: his question must not change anything

    for my $i (0 .. 2) {
        my $n = $up->requests;

        $r = $fleet->node($i)->request("GET", "/v1/messages/batches/$id",
                                       key => $other);
        is($r->status, 404, "fleet: another key's batch is none, node $i");
        is($up->requests, $n, "fleet: nobody is asked for it, node $i");
    }

    for my $i (1, 2, 1, 2) {
        $r = $fleet->node($i)->get("/v1/messages/batches/$id");

        is($r->status, 200, "fleet: it is found by node $i");
        is($fleet->node($i)->log->{account}, $at,
           "fleet: and asked for at its account, node $i");
    }

    $monitor->clear;
    $fleet->node(1)->get("/v1/messages/batches/$id") for 1 .. 5;
    is(asked(), 0, "fleet: one that is known is none");

    is($fleet->node(1)->get("/v1/messages/batches/msgbatch_nix")->status, 404,
       "fleet: one that nobody has");
}


# stored responses, and their threads

{
    my $ask = sub {
        my ($i, $id, @headers) = @_;

        my $r = $fleet->node($i)->post("/openai/v1/responses", encode({
            model => "gpt-5.5", input => "message " . ++$probes,
            $id ? (previous_response_id => $id) : () }), @headers);

        return $r->status == 200 ? ($fleet->node($i)->log->{account},
                                    $r->json->{id}) : $r->status;
    };

    for (["a session", "session_id: thread"], ["no session"]) {
        my ($name, @headers) = @$_;
        my @bad;

        for my $n (1 .. 6) {
            my ($at, $id) = $ask->($n % 3, undef,
                                   map { "$_-$n" } @headers);

            for my $i ($n + 1, $n + 2, $n) {
                my $r;

                # these are told together, after a while

                wait_for(sub {
                    $r = $fleet->node($i % 3)->get("/openai/v1/responses/$id");
                    return $r->status == 200;
                }, 3);

                my ($who, $next) = $ask->($i % 3, $id,
                                          map { "$_-$n" } @headers);

                push @bad, "$n: $at, $who, " . $r->status
                    if $who ne $at || $r->status != 200;
                $id = $next // $id;
            }
        }

        is_deeply(\@bad, [], "fleet: a thread with $name goes on at its "
                  . "account, and is found");
    }

    my (undef, $id) = $ask->(0);
    is($fleet->node(1)->request("GET", "/openai/v1/responses/$id",
                                key => $other)->status, 404,
       "fleet: another key's response is none");

    # many at once are few commands

    $ask->(0, undef, "session_id: many");
    sleep 0.3;
    $monitor->clear;

    my @c = map { $fleet->node(0)->connect } 1 .. 20;

    for my $c (@c) {
        $c->request("POST", "/openai/v1/responses", headers =>
                    ["session_id: many", "Content-Type: application/json"],
                    body => encode({ model => "gpt-5.5", input => "x" }));
    }

    is(join(" ", map { $_->response->status } @c), join(" ", ("200") x 20),
       "fleet: many of one thread");
    sleep 0.3;
    ok($monitor->count(qr/:i:/) <= 8, "fleet: are told together, "
       . $monitor->count(qr/:i:/));
}


# an operator ends sessions

{
    my %log = map { $_ => (by(0, "end-$_"))[1] } 1 .. 6;

    for my $n (1 .. 6) {
        by($_, "end-$n") for 1, 2;
    }

    my $total = sub {
        my ($i, $log) = @_;

        return scalar grep { $_->{session} eq $log->{session} }
            @{ $fleet->node($i)->control("GET", "/v1/sessions?limit=1000")
                   ->json->{sessions} };
    };

    is($fleet->node(1)->control("DELETE", "/v1/sessions/$log{1}{session}")
           ->status, 204, "fleet: a session is ended");
    ok(wait_for(sub { !grep { $total->($_, $log{1}) } 0 .. 2 }, 5),
       "fleet: by all nodes");
    is(key_of($log{1}), undef, "fleet: and Redis");

    # all of an account, of which this node has only some

    by(2, "end-far-$_") for 1 .. 8;
    my $account = $log{2}{account};

    is($fleet->node(1)->control("POST", "/v1/accounts/$account/sessions/clear")
           ->status, 200, "fleet: the sessions of an account are ended");

    ok(wait_for(sub {
        !grep { @{ $_->control("GET", "/v1/sessions?account=$account")
                       ->json->{sessions} } } $fleet->nodes;
    }, 10), "fleet: on all nodes");

    ok(wait_for(sub {
        !grep { $redis->cli("GET", $_) eq $account } $redis->keys("*:s:*");
    }, 5), "fleet: and Redis has none of them");

    ok((grep { @{ $_->control("GET", "/v1/sessions")->json->{sessions} } }
        $fleet->nodes), "fleet: those of others are there");
}


# what is in Redis is of no use

{
    my (undef, $log) = by(0, "gone");
    my $key = key_of($log);

    $redis->cli("SET", $key, "an-account-of-the-past");
    my ($now, $l) = by(1, "gone");

    is($l->{sticky}, "miss", "fleet: an account that is not there is none");
    ok(wait_for(sub { account_in_redis($log) eq $now }, 5),
       "fleet: who has served it takes its place");
    ok(wait_for(sub { (by(0, "gone"))[0] eq $now }, 5), "fleet: for others, too");

    for (["a list", "LPUSH", "x"], ["a hash", "HSET", "x", "y"],
         ["empty", "SET", ""], ["long", "SET", "x" x 100_000],
         ["binary", "SET", join "", map { chr } 0 .. 255],
         ["an id", "SET", "a1\nalice"])
    {
        my ($name, $do, @with) = @$_;
        my (undef, $log) = by(0, "bad $name");
        my $key = key_of($log);

        $redis->cli("DEL", $key);
        $redis->cli($do, $key, @with);

        like((by(1, "bad $name"))[0], qr/^a\d$/, "fleet: $name in Redis is no "
             . "matter for a request");
    }

    for my $text ("", "n9", "n9 m", "n9 m x a1", "n9 m " . "0" x 32,
                  "n9 m " . "zz" x 16 . " a1", "n9 x", "n9 x *", "n9 x * no",
                  "n9 x " . "0" x 31, "n9 x " . "0 " x 40, "n9 y " . "0" x 32,
                  "n9 m " . "0" x 32 . " a1 " . "x" x 70_000)
    {
        my ($prefix) = $key =~ /^(.*)s:/;
        $redis->cli("PUBLISH", $prefix . "bus", $text);
    }

    is((by($_, "gone"))[0], $now, "fleet: wrong messages change nothing")
        for 0 .. 2;
}


# renewal: another account for it is found, the first one is kept

{
    my ($at, $log) = by(0, "late", "/brief");
    my ($want) = grep { $_ ne $at } "a1", "a2";

    my $key;

    # that may come a moment after the answer

    ok(wait_for(sub { (account_in_redis($log) // "") eq $at }, 10),
       "fleet: it is told")
        or diag($fleet->node(0)->get("/health?full")->body);

    $key = key_of($log);
    $redis->cli("SET", $key, $want, "PX", 600_000);
    sleep 1.2;
    my ($w2, $l2) = by(0, "late", "/brief");
    is($w2, $at, "fleet: what is known is not asked");
    my @seen = "$w2 $l2->{sticky}";

    ok(wait_for(sub {
        my ($who, $log) = by(0, "late", "/brief");
        push @seen, "$who $log->{sticky}";
        return $who eq $want;
    }, 5), "fleet: but a renewal finds what the others have")
        or diag "$at, not $want, but $seen[0], $seen[1], $seen[-1]; ",
                account_in_redis($log), " is told\n",
                grep { index($_, $key) != -1 } $monitor->lines;

    # flushed: told again

    by($_, "late", "/brief") for 1, 2;
    $redis->flush;
    sleep 1.2;
    by(1, "late", "/brief");
    ok(wait_for(sub { (account_in_redis($log) // "") eq $want }, 5),
       "fleet: flushed: a renewal makes it again");

    ok(wait_for(sub { my @all = $redis->keys("*:s:*"); @all > 30 }, 10),
       "fleet: flushed: all nodes tell what they have");
    ok(wait_for(sub { my @all = $redis->keys("*:i:*"); @all >= 1 }, 10),
       "fleet: flushed: and batches");

    my ($id) = $redis->keys("*:i:*");
    $id //= "none";
    like($redis->cli("GET", $id), qr/^[ao]\d\nalice$/,
         "fleet: flushed: with their accounts and keys");
}


# Redis stops: a bounded wait, then none

{
    my %at = map { $_ => (by(0, "calm-$_"))[0] } 1 .. 4;

    $redis->pause;

    my ($slowest, @bad) = (0);

    for my $n (1 .. 12) {
        my $began = time;
        my ($who) = by($n % 3, "paused-$n");
        my $took = time - $began;

        $slowest = $took if $took > $slowest;
        push @bad, $who if $who !~ /^a\d$/;
    }

    is_deeply(\@bad, [], "fleet: paused: nothing fails");
    ok($slowest < (asan() ? 6 : 2), "fleet: paused: in time, $slowest s");

    is((by(0, "calm-$_"))[0], $at{$_}, "fleet: paused: what is known stays")
        for 1 .. 4;

    $redis->resume;
    ok(ready(), "fleet: it is back");

    # each worker connects by itself, after a pause of two seconds at most

    sleep 3;

    my ($who, $log) = by(0, "paused-3");

    ok(wait_for(sub { (account_in_redis($log) // "") ne "" }, 10),
       "fleet: back: what was bound meanwhile is told");
    is((by($_, "paused-3"))[0], account_in_redis($log),
       "fleet: back: and found, node $_") for 1, 2;
}

# one round trip and no more, over a wire on which it takes 150 ms

{
    my $wire = slow($redis, 150);
    my $far = fleet(1, redis => $wire,
                    params => '"prefix={far}:" timeout=800ms',
                    accounts => join "", map { account("a$_") } 1 .. 4);
    my $node = $far->node(0);

    my $took = sub {
        my @took;

        for my $session (@_) {
            my $began = time;
            $node->post("/v1/messages", message(), session($session));
            push @took, time - $began;
        }

        return (sort { $a <=> $b } @took)[@took / 2];
    };

    ok($far->ready, "fleet: a node far from Redis");

    my $cold = $took->(map { "cold-$_" } 1 .. 11);
    my $warm = $took->(map { "cold-$_" } 1 .. 11);

    ok($cold > 0.145, "fleet: a session that is new waits for it, $cold s");
    ok($warm < 0.145 || asan(), "fleet: one that is known does not, $warm s");
    ok($cold < 0.295 || asan(), "fleet: it is one round trip");
}

$monitor->stop;
finish();
