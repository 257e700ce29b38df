#!/usr/bin/perl

# A node of a fleet while its processes come and go: the worker that speaks for
# it is killed or hangs, a reload, one that leaves the fleet and comes back, an
# upgrade of the binary, a stop.  The other node is a single process.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw/ time sleep /;

use ClaudeRelay;
use ClaudeRelayFleet;
use ClaudeRelayWire;


# everything takes longer there

my $slow = asan() ? 3 : 1;
my $lease = 4;

my $up = sandbox();
my $redis = redis(appendonly => "yes");

my $fleet = fleet(2, redis => $redis, level => "notice",
    params => "lease=${lease}s",
    accounts => join("", map { account($_) } qw/ one two three four /),
    each => sub { workers => $_[0] ? 0 : 4 },
    allow => [qr/exited on signal 9/]);

my ($n1, $n2) = $fleet->nodes;

ok($fleet->ready, "fleet: four workers, and a single process");


# ---- who speaks

ok((grep { $_ == told($n1)->{agent} } $n1->workers),
   "fleet: one of the four speaks");
is(told($n2)->{agent}, $n2->pid, "fleet: the single process, too");

same("as it begins");


# ---- the agent is killed

for my $i (1 .. 4) {
    my $old = told($n1)->{agent};
    my $beats = told($n1)->{counts}{beats};
    my $boot = told($n1)->{boot};

    kill "KILL", $old;

    is($n1->post("/v1/messages", message())->status, 200,
       "fleet: agent killed, $i: requests are served");
    ok(wait_for(sub { my $f = told($n1);
                      ($f->{agent} // $old) != $old
                      && $f->{counts}{beats} > $beats },
                5 * $slow), "fleet: agent killed, $i: another one speaks");
    is(told($n1)->{boot}, $boot, "fleet: agent killed, $i: it is one boot");
    is($n2->fleet->{nodes}, 2,
       "fleet: agent killed, $i: the other node has not missed it");
}

is($n1->fleet->{state}, "up", "fleet: agent killed: all is well");
ok(!$n1->fleet->{twin}, "fleet: agent killed: no other node");
same("behind four kills");


# ---- all workers are killed at once

{
    my @old = $n1->workers;

    kill "KILL", @old;

    ok(wait_for(sub { my $f = eval { told($n1) };
                      $f && $f->{agent}
                      && !grep { $_ == $f->{agent} } @old }, 10 * $slow),
       "fleet: all killed: one of the new ones speaks");
    ok($fleet->ready, "fleet: all killed: two nodes");
    same("behind a kill of all");
}


# ---- it hangs, and goes on

{
    my $old = told($n1)->{agent};

    kill "STOP", $old;

    # a connection may come to the one that is stopped: nobody asks it

    my $other;

    ok(wait_for(sub {
        my $now = peer(told($n2), "n1");
        $other = $now && $now->{state};
        return slurp("/proc/$old/stat") =~ /^\d+ \(.*\) T/
               && lease_of($redis, "n1") > $lease * 500;
    }, 10), "fleet: agent stopped");

    # its lease in the zone is over after three seconds, the node's after four

    sleep 4.5;

    cmp_ok(lease_of($redis, "n1"), ">", 0,
           "fleet: agent stopped: another one speaks");

    kill "CONT", $old;
    sleep 1;

    my $agent = told($n1)->{agent};

    isnt($agent, $old, "fleet: it goes on: and does not speak any more");

    my @agents = map { sleep 0.1; told($n1)->{agent} } 1 .. 10;

    is_deeply([grep { $_ != $agent } @agents], [],
              "fleet: it goes on: there is one that speaks");
    is($n2->fleet->{nodes}, 2, "fleet: it goes on: two nodes");
    same("behind a stop");
}


# ---- reloads

my $clients = clients($redis);

{
    my $boot = told($n1)->{boot};
    my $session = "reload-" . rand;
    my $account = $fleet->account(0, message(), session($session));

    for my $i (1 .. 4) {
        my $old = told($n1)->{agent};

        $n1->reload;

        ok(wait_for(sub { (told($n1)->{agent} // $old) != $old }, 5 * $slow),
           "fleet: reload $i: a new worker speaks");
        is($n1->fleet->{state}, "up", "fleet: reload $i: Redis is up");
        is($n2->fleet->{nodes}, 2, "fleet: reload $i: nobody has missed it");
        is($fleet->account(1, message(), session($session)), $account,
           "fleet: reload $i: a session is where it was");
    }

    is(told($n1)->{boot}, $boot, "fleet: reloads: the same boot");
    ok(!$n1->fleet->{twin}, "fleet: reloads: no other node");
    ok(wait_for(sub { clients($redis) <= $clients + 1 }, 10 * $slow),
       "fleet: reloads: no connections are left over")
        || diag "$clients, ", clients($redis);
    same("behind four reloads");
}


# ---- an old worker that has something to do still

{
    my $w = wire($n1->{port}, old_stream());

    ok(pump(sub { $w->{parts} }, 10 * $slow), "fleet: a stream");

    my @old = $n1->workers;

    $n1->reload;

    ok(wait_for(sub { my $a = told($n1)->{agent};
                      $a && !grep { $_ == $a } @old }, 5 * $slow),
       "fleet: a stream in an old worker: a new one speaks");

    # Redis is gone meanwhile

    $redis->pause;
    ok(wait_for(sub { $n1->fleet->{state} ne "up" }, 10 * $slow),
       "fleet: a stream in an old worker: Redis hangs");

    pump(sub { $w->{done} }, 20 * $slow);
    ok($w->{clean}, "fleet: a stream in an old worker: comes to its end");

    ok(wait_for(sub { !grep { kill 0, $_ } @old }, 10 * $slow),
       "fleet: it leaves, though Redis hangs");

    $redis->resume;
    ok($fleet->ready, "fleet: Redis goes on: two nodes");
    $w->close;
}


# ---- changes just in front of a reload and just behind it

for my $i (1 .. 3) {
    my $r = $n1->control("POST", "/v1/keys",
                         { name => "before-$i", secret => "before-$i-" . "x" x 24 });

    is($r->status, 201, "fleet: a key, and a reload, $i") || diag $r->body;
    $n1->reload;
    $r = $n1->control("POST", "/v1/keys",
                      { name => "behind-$i", secret => "behind-$i-" . "x" x 24 });
    is($r->status, 201, "fleet: and another key, $i");

    ok(wait_for(sub {
        $n2->request("POST", "/v1/messages", key => "$_-$i-" . "x" x 24,
                     body => message())->status == 200
    }, 10 * $slow), "fleet: the key $_-$i is known to the other node")
        for qw/ before behind /;
}


# ---- out of the fleet, and in again

{
    my $conf = slurp($n1->file);
    my ($with) = $conf =~ /^(claude_relay_redis .*?;)$/m
        or die "no claude_relay_redis\n";

    (my $without = $conf) =~ s/^\Q$with\E$//m;

    spew($n1->file, $without);
    $n1->reload;

    ok(wait_for(sub { !$n1->health->{fleet} }, 5 * $slow),
       "fleet: a reload without Redis: no fleet");
    ok(wait_for(sub { told($n1)->{state} eq "off" }, 5 * $slow),
       "fleet: without Redis: the API says so");
    is($n1->health->{status}, "ok", "fleet: without Redis: nothing is wrong");
    is($n1->post("/v1/messages", message())->status, 200,
       "fleet: without Redis: requests are served");
    ok(wait_for(sub { $n2->fleet->{nodes} == 1 }, ($lease + 5) * $slow),
       "fleet: without Redis: the other node is alone");

    spew($n1->file, $conf);
    $n1->reload;

    ok($fleet->ready, "fleet: a reload with Redis: two nodes");
    same("as it is back");

    # another prefix is another fleet

    (my $other = $conf) =~ s/^\Q$with\E$/$with =~ s{;$}{ prefix=other:;}r/me;

    spew($n1->file, $other);
    $n1->reload;

    ok(wait_for(sub { my $f = $n1->fleet;
                      $f && $f->{state} eq "up" && $f->{nodes} == 1 },
                10 * $slow), "fleet: another prefix: another fleet");

    spew($n1->file, $conf);
    $n1->reload;

    ok($fleet->ready, "fleet: and back: two nodes");
    same("as its prefix is back");
}


# ---- another binary, which nginx makes only as a daemon

{
    $n1->stop;
    $n1->write;
    spew($n1->file, slurp($n1->file) =~ s/daemon off/daemon on/r);

    is($n1->run("$n1->{dir}/stderr"), 0, "fleet: a node as a daemon");

    ok(wait_for(sub { -s "$n1->{dir}/nginx.pid" && $n1->listens }, 10 * $slow),
       "fleet: which listens");

    my $old = $n1->{pid} = $n1->pid;

    ok($fleet->ready, "fleet: two nodes");

    my $boot = told($n1)->{boot};

    kill "USR2", $old;

    ok(wait_for(sub { my $now = $n1->pid // $old;
                      $now != $old && kill 0, $now }, 10 * $slow),
       "fleet: USR2: a new master");

    $n1->{pid} = $n1->pid;

    ok(wait_for(sub { scalar(my @now = $n1->workers) == 4 }, 10 * $slow),
       "fleet: USR2: with workers");

    kill "QUIT", $old;

    ok(wait_for(sub { !kill 0, $old }, 10 * $slow),
       "fleet: USR2 and QUIT: the old master leaves");
    ok($fleet->ready, "fleet: USR2 and QUIT: two nodes");
    isnt(told($n1)->{boot}, $boot, "fleet: USR2 and QUIT: another boot");
    ok(wait_for(sub { !$n1->fleet->{twin} && $n1->health->{status} eq "ok" },
                20 * $slow), "fleet: USR2 and QUIT: it is not its own twin");
    same("behind an upgrade");

    my $new = delete $n1->{pid};

    kill "QUIT", $new;

    ok(wait_for(sub { !kill 0, $new }, 10 * $slow), "fleet: QUIT: it leaves");
    ok(wait_for(sub { $n2->fleet->{nodes} == 1 }, ($lease + 5) * $slow),
       "fleet: QUIT: the other node is alone");
    is($n2->post("/v1/messages", message())->status, 200,
       "fleet: QUIT: and serves");
}

finish();


sub told { return $_[0]->control("GET", "/v1/fleet")->json }


sub peer {
    my ($f, $name) = @_;

    my ($one) = grep { $_->{name} eq $name } @{ $f->{nodes} };

    return $one;
}


# what is left of a node's lease, in Redis; ms

sub lease_of {
    my ($redis, $name) = @_;

    my $now = $redis->cli("TIME");
    my ($deadline) = ($redis->cli("HGET", "{claude-relay}:nodes", $name) // "0")
                     =~ /^(\d+)/;

    return $deadline - $now->[0] * 1000 - int($now->[1] / 1000);
}


# connections to Redis, without those of this test

sub clients {
    my ($redis) = @_;

    return $redis->info("clients")->{connected_clients};
}


sub session { return "X-Claude-Code-Session-Id: $_[0]" }


# a session of one node is with the same account at the other one

sub same {
    my ($when) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @other;

    for my $i (1 .. 6) {
        my $id = "same-" . rand;
        my $first = $i % 2;
        my $at = $fleet->account($first, message(), session($id));
        my $then = $fleet->account(!$first, message(), session($id));

        push @other, "$at, $then" if $at ne $then;
    }

    is_deeply(\@other, [], "fleet: sessions are shared: $when");
}


sub old_stream {
    my $body = stream(text => "old");

    return join "\r\n", "POST /v1/messages HTTP/1.1", "Host: relay",
        "X-Api-Key: $ClaudeRelay::KEY", "Content-Type: application/json",
        "X-Sandbox: events=60,delay=100", "Content-Length: " . length $body,
        "", $body;
}
