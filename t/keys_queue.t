#!/usr/bin/perl

# claude_relay_queue: who waits for a slot, in which order, for how long, and
# who may not.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();

my $nginx = relay(workers => 4, keys => <<"END", server => <<"END2");
claude_relay_key alice { secret alice-secret-0001; limit concurrency:1; }
claude_relay_key bob { secret bob-secret-0001; limit concurrency:2; }
claude_relay_key eve { secret eve-secret-0001; limit concurrency:1; }
claude_relay_key sum { secret sum-secret-0001; limit requests:2/day; }
claude_relay_key slow { secret slow-secret-0001; limit concurrency:1; }
END
location /q/ { claude_relay; claude_relay_queue 4 wait=8s overload=off; }
location /tight/ { claude_relay;
                   claude_relay_queue 1 multiplier=1 wait=400ms; }
location /wide/ { claude_relay;
                  claude_relay_queue 1 multiplier=2.5 wait=8s overload=off; }
location /crowd/ { claude_relay; claude_relay_queue 4 wait=100ms; }
location /plain/ { claude_relay; claude_relay_queue off; }
END2

my $port = port();


sub start {
    my ($path, $name, %o) = @_;

    return wire($port, ask(path => "$path/v1/messages",
                           key => "$name-secret-0001", %o));
}


# a request that holds a slot until it is closed

sub hold {
    my ($path, $name) = @_;

    my $w = start($path, $name, stream => 1, do => "events=2000,delay=25");

    pump(sub { $w->{status} }, 5);
    is($w->{status}, 200, "$name holds a slot");

    return $w;
}


sub waiting { $nginx->health->{waiting} }


# ---- without a queue

{
    my $holder = hold("/plain", "alice");
    my $at = time;
    my $w = exchange($port, path => "/plain/v1/messages");

    is($w->{status}, 429, "off: refused");
    is($w->{headers}{"retry-after"}, 1, "off: retry-after");
    cmp_ok(time - $at, "<", 2, "off: at once");
    $holder->abort;
}


# ---- in order, over workers

{
    my $holder = hold("/q", "alice");
    my @w;

    for my $i (1 .. 4) {
        push @w, start("/q", "alice", text => "n$i");
        ok(until_true(sub { waiting() == $i }, 3), "F060: $i wait");
    }

    my $no = exchange($port, path => "/q/v1/messages");

    is($no->{status}, 429, "F062: the fifth finds it full");
    like($no->{body}, qr/the queue is full: 4 of 4 wait/, "F062: and is told");
    cmp_ok($no->{headers}{"retry-after"}, ">=", 5, "F062: retry-after");
    cmp_ok($no->{headers}{"retry-after"}, "<=", 30, "F062: retry-after, 30");
    is($no->{headers}{"x-should-retry"}, "true", "F062: worth another try");

    is(scalar(grep { $_->{done} } @w), 0, "F060: nobody has been served");
    is(join("", map { $_->{raw} } @w), "",
       "F060: and not a byte before the commit");

    $up->since;
    $holder->abort;

    ok(pump(sub { !grep { !$_->{done} } @w }, 8), "F060: then they are");
    is(join(" ", map { $_->{status} } @w), "200 200 200 200",
       "F060: all of them");

    my @order = map { $_->{body} =~ /"content":"n(\d)/ } $up->since;

    is("@order", "1 2 3 4", "F060: in their order");
    is(waiting(), 0, "F060: nobody waits any more");
}


# ---- who comes new comes last, even if there is room just now

{
    my @holders = (hold("/q", "bob"), hold("/q", "bob"));
    my @w = map { start("/q", "bob", text => "m$_",
                        do => "first=150") } 1 .. 3;

    ok(until_true(sub { waiting() == 3 }, 3), "F060: three wait for two slots");

    $_->abort for @holders;

    ok(pump(sub { !grep { !$_->{done} } @w }, 8), "F060: two at a time");
    is(join(" ", map { $_->{status} } @w), "200 200 200", "F060: all of them");
}


# ---- a client that leaves

{
    my $holder = hold("/q", "alice");
    my @w = map { start("/q", "alice", text => "l$_") } 1 .. 4;

    ok(until_true(sub { waiting() == 4 }, 3), "leaves: four wait");

    $_->abort for @w[0, 1];

    ok(until_true(sub { waiting() == 2 }, 3), "leaves: then two");

    my @more = map { start("/q", "alice", text => "l$_") } 5, 6;

    ok(until_true(sub { waiting() == 4 }, 3), "leaves: its place is free");

    $holder->abort;

    ok(pump(sub { !grep { !$_->{done} } @w[2, 3], @more }, 8),
       "leaves: the others are served");
    is(join(" ", map { $_->{status} } @w[2, 3], @more), "200 200 200 200",
       "leaves: all of them");
}


# ---- too late

{
    my $holder = hold("/tight", "alice");
    my $at = time;
    my $w = exchange($port, path => "/tight/v1/messages");
    my $took = time - $at;

    is($w->{status}, 429, "F062: too late");
    cmp_ok($took, ">=", 0.4, "F062: it has waited");
    cmp_ok($took, "<", 4, "F062: and no longer than it had to");
    like($w->{body}, qr/\d+ ms in the queue were not enough/, "F062: says so");
    cmp_ok($w->{headers}{"retry-after"}, ">=", 5, "F062: retry-after, too late");
    is(waiting(), 0, "F062: it has left the queue");
    $holder->abort;
    ok(until_true(sub { exchange($port, path => "/plain/v1/messages")
                        ->{status} == 200 }, 3), "F062: the slot is free");
}


# ---- places by the limit

{
    my @holders = (hold("/wide", "bob"), hold("/wide", "bob"));
    my @w = map { start("/wide", "bob") } 1 .. 7;

    ok(pump(sub { (grep { $_->{done} } @w) == 2 }, 5),
       "F060: 2 times 2.5 are 5 places");
    is(join(" ", map { $_->{status} } grep { $_->{done} } @w), "429 429",
       "F060: for more there are none");
    is(waiting(), 5, "F060: five wait");

    $_->abort for @holders;

    ok(pump(sub { !grep { !$_->{done} } @w }, 8), "F060: and are served");
}


# ---- each key has places of its own

{
    my @holders = (hold("/q", "alice"), hold("/q", "eve"));
    my @w = ((map { start("/q", "alice") } 1 .. 4), start("/q", "eve"));

    ok(until_true(sub { waiting() == 5 }, 3), "F060: of each key");
    $_->abort for @holders;
    ok(pump(sub { !grep { !$_->{done} } @w }, 8), "F060: of each key, served");
    is(join(" ", map { $_->{status} } @w), "200 200 200 200 200",
       "F060: of each key, all of them");
}


# ---- budgets that requests under way have reserved

{
    my $before = $up->requests;
    my $one = start("/q", "sum", do => "first=700");
    my $two = start("/q", "sum", do => "first=700");

    until_true(sub { $up->requests == $before + 2 }, 3);

    my $three = start("/q", "sum");

    ok(until_true(sub { waiting() == 1 }, 3), "reserved: one waits");
    pump(sub { $three->{done} }, 5);
    is($three->{status}, 429, "reserved: what was used is final");
    like($three->{body}, qr/2 of 2 per day/, "reserved: says so");
    pump(sub { $one->{done} && $two->{done} }, 5);
    is("$one->{status} $two->{status}", "200 200", "reserved: both are served");
}

{
    # one that fails gives its slot back, too

    my $before = $up->requests;
    my $bad = start("/q", "slow", do => "first=500,status=400");

    until_true(sub { $up->requests == $before + 1 }, 3);

    my $w = start("/q", "slow");

    ok(until_true(sub { waiting() == 1 }, 3), "refund: it waits");
    pump(sub { $w->{done} && $bad->{done} }, 5);
    is($w->{status}, 200, "refund: and has its turn after a failure");
    is($bad->{status}, 400, "refund: which it was");
}


# ---- waits that are too long

{
    my $holder = hold("/crowd", "slow");

    # ten that wait in vain

    for (1 .. 10) {
        my $w = exchange($port, path => "/crowd/v1/messages",
                         key => "slow-secret-0001");

        is($w->{status}, 429, "F061: waits in vain") if $w->{status} != 429;
    }

    my @w = map { start("/crowd", "slow") } 1 .. 4;

    pump(sub { !grep { !$_->{done} } @w }, 5);

    my @crowded = grep { ($_->{headers}{"retry-after"} // 0) == 30 } @w;

    is(scalar(@crowded), 1, "F061: more than half full, and waits too long");
    like($crowded[0]{body}, qr/waits are too long now: 3 of 4 wait/,
         "F061: says so") if @crowded;
    $holder->abort;
}


# ---- a worker that dies takes its places with it

$nginx->stop;

$nginx = relay(workers => 2, allow => [qr/exited on signal 9/], keys => <<"END",
claude_relay_key alice { secret alice-secret-0001; limit concurrency:1; }
END
    location => "claude_relay_queue 20 wait=8s overload=off;");

for my $round (1 .. 4) {
    my $holder = start("", "alice", stream => 1, do => "events=2000,delay=25");
    pump(sub { $holder->{status} }, 5);

    my @w = map { start("", "alice") } 1 .. 10;

    until_true(sub { (eval { waiting() } // 0) == 10 }, 3);

    my @workers = $nginx->workers;
    kill "KILL", $workers[$round % 2];

    pump(sub { 0 }, 0.2);
    $holder->abort;

    my @alive = grep { !$_->{eof} } @w;

    ok(pump(sub { !grep { !$_->{done} } @alive }, 6),
       "kill $round: " . @alive . " others are served");
    is(scalar(grep { ($_->{status} // 0) != 200 } @alive), 0,
       "kill $round: all of them");
    $_->close for @w;
    until_true(sub { (my @now = $nginx->workers) == 2 }, 3);

    ok(until_true(sub { (eval { exchange(port(), path => "/v1/messages")
                                ->{status} } // 0) == 200 }, 3),
       "kill $round: the slot is free");
}


finish();
