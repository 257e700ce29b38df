#!/usr/bin/perl

# F208: a worker that is killed takes nothing with it: slots, probes, places
# in the queue and the zone's lock come back.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $rounds = asan() ? 6 : 20;

my $nginx = nginx(<<"END", workers => 2, allow => [qr/exited on signal 9/]);
claude_relay_zone relay:1m;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
claude_relay_rest overloaded=100ms overloaded_max=100ms
                  server=100ms server_max=100ms;
@{[ account("one", "max_concurrency 12;") ]}
@{[ account("few", "pool few; max_concurrency 6;") ]}
@{[ account("probe", "pool probe;") ]}
@{[ account("busy1", "pool busy; max_concurrency 3;") ]}
@{[ account("busy2", "pool busy;") ]}
server {
    listen 127.0.0.1:%%PORT%% reuseport;
    claude_relay_sticky off;
    claude_relay_retry_wait 0;
    location = /health { claude_relay_health full=on; }
    location / { claude_relay; }
    location /few/ { claude_relay; claude_relay_pool few; }
    location /probe/ { claude_relay; claude_relay_pool probe; }
    location /busy/ { claude_relay; claude_relay_pool busy; }
}
END

my $port = port();


# slots

for my $round (1 .. $rounds) {

    # how many of these does each worker hold?

    my @w = map { wire($port, ask(stream => 1, do => "events=400,delay=25")) }
            1 .. 10;

    pump(sub { !grep { !$_->{parts} } @w }, 5);

    my @workers = $nginx->workers;
    my $victim = $workers[$round % @workers];

    is(of("one")->{in_flight}, 10, "kill $round: 10 in flight") if $round == 1;

    kill "KILL", $victim;
    my $at = time;

    pump(sub { time - $at > 0.1 }, 1);

    my $cut = grep { $_->{done} } @w;
    my $left = 10 - $cut;

    my $ok = until_true(sub { of("one")->{in_flight} == $left }, 1);
    my $took = time - $at;

    ok($ok, "kill $round: $left in flight after $cut were cut, "
       . sprintf "%.2f s", $took)
        || diag(of("one")->{in_flight});

    ok(!(grep { $_->{done} && $_->{clean} } @w), "kill $round: no clean end");

    # the others go on

    my %before = map { $_->{id} => scalar @{ $_->{chunks} } } @w;
    pause(0.15);
    is(scalar(grep { !$_->{done} && @{ $_->{chunks} } > $before{$_->{id}} }
              @w), $left, "kill $round: the other worker's streams go on");

    $_->close for @w;

    ok(until_true(sub { of("one")->{in_flight} == 0 }, 1),
       "kill $round: then none");
    until_true(sub { (my @now = $nginx->workers) == 2 }, 2);
}


# those who wait for a slot of the dead

for my $round (1 .. $rounds / 2) {

    my @holders = map { wire($port, ask(path => "/few/v1/messages", stream => 1,
                                        do => "events=400,delay=25")) } 1 .. 6;

    pump(sub { !grep { !$_->{parts} } @holders }, 5);

    my @waiting = map { wire($port, ask(path => "/few/v1/messages",
                                        text => "w$_")) } 1 .. 8;
    pause(0.1);

    my @workers = $nginx->workers;

    kill "KILL", $workers[$round % 2];

    my $at = time;
    pump(sub { time - $at > 0.1 }, 1);

    my $dead = grep { $_->{done} } @holders;
    my @alive = grep { !$_->{eof} } @waiting;

    if ($dead) {
        ok(pump(sub { !grep { !$_->{done} } @alive }, 1.5),
           "waiting $round: " . @alive . " go on with $dead slots");
        is(scalar(grep { ($_->{status} // 0) == 200 } @alive), scalar @alive,
           "waiting $round: and are served");

    } else {
        # all slots are the other worker's
        pass("waiting $round: nothing is free");
        is(of("few")->{in_flight}, 6, "waiting $round: nothing is free");
    }

    $_->close for @waiting, @holders;

    ok(until_true(sub { of("few")->{in_flight} == 0
                        && $nginx->health->{waiting} == 0 }, 1.5),
       "waiting $round: nobody waits, no slot is kept");
    until_true(sub { (my @now = $nginx->workers) == 2 }, 2);
}


# a probe of the dead

for my $round (1 .. $rounds / 4) {
    $up->behave("sk-ant-probe-000001", "status=529");
    until_true(sub { of("probe")->{state} eq "ok" }, 2);
    exchange($port, path => "/probe/v1/messages");
    until_true(sub { of("probe")->{state} eq "ok" }, 2);
    $up->behave("sk-ant-probe-000001", "first=3000,times=1");

    my $w = wire($port, ask(path => "/probe/v1/messages"));
    pause(0.1);

    my @others = map { wire($port, ask(path => "/probe/v1/messages")) } 1 .. 6;
    pause(0.1);

    is(scalar(grep { $_->{done} } @others), 0,
       "probe $round: the others wait for it");

    # kill the one that probes: it has the connection to the sandbox

    my $request = of("probe")->{in_flight};
    is($request, 1, "probe $round: one in flight");

    my @workers = $nginx->workers;

    for my $pid (@workers) {
        kill "KILL", $pid;
        pump(sub { $w->{done} }, 0.15);
        last if $w->{done};
    }

    ok($w->{done} && $w->{eof}, "probe $round: killed");

    my @alive = grep { !$_->{eof} } @others;

    pump(sub { !grep { !$_->{done} } @alive }, 2);
    is(scalar(grep { ($_->{status} // 0) == 200 } @alive), scalar @alive,
       "probe $round: " . @alive . " others go on");
    is(exchange($port, path => "/probe/v1/messages")->{status}, 200,
       "probe $round: it is free");
    ok(until_true(sub { of("probe")->{in_flight} == 0 }, 1),
       "probe $round: no slot kept");

    $_->close for @others, $w;
    until_true(sub { (my @now = $nginx->workers) == 2 }, 2);
}


# in the middle of everything: the lock is never stuck

{
    my ($done, $broken, $failed) = (0, 0, 0);
    my $end = time + (asan() ? 4 : 3);
    my $next = time + 0.2;
    my $kills = 0;

    my @w = map { wire($port, ask(path => "/busy/v1/messages")) } 1 .. 12;

    pump(sub {
        for my $w (@w) {
            next if !$w->{done};

            if ($w->{eof} && !defined $w->{status}) {
                $broken++;

            } elsif ($w->{status} == 200) {
                $done++;

            } else {
                $failed++;
            }

            $w->close;
            $w = wire($port, ask(path => "/busy/v1/messages"));
        }

        if (time > $next) {
            my @workers = $nginx->workers;

            if (@workers == 2) {
                kill "KILL", $workers[rand 2];
                $kills++;
            }

            $next = time + 0.1 + rand 0.2;
        }

        return time > $end;
    }, 20);

    ok($kills >= 5, "under load: $kills kills");
    ok($done > 100, "under load: $done served, $broken cut");
    is($failed, 0, "under load: none failed otherwise");
    $_->close for @w;

    ok(until_true(sub { (of("busy1")->{in_flight} + of("busy2")->{in_flight}
                         + $nginx->health->{waiting}) == 0 }, 2),
       "under load: nothing is left")
        || diag(encode($nginx->health));

    for (1 .. 20) {
        my $w = exchange($port, path => "/busy/v1/messages");
        is($w->{status}, 200, "the lock is free $_") if $w->{status} != 200
                                                        || $_ == 20;
    }
}


finish();


# a worker that dies may have taken the question

sub of {
    my ($name) = @_;

    for (1 .. 20) {
        my $health = eval { $nginx->health };

        if (!$health) {
            sleep 0.05;
            next;
        }

        my ($a) = grep { $_->{name} eq $name }
                  map { @{ $_->{accounts} } } @{ $health->{pools} };

        return $a;
    }
}
