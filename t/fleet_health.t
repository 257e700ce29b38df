#!/usr/bin/perl

# What one node learns of an account is known on all: rests, windows, and what
# an operator has ended.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayFleet;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $P = "{claude-relay}:";

my $up = sandbox();
my $redis = redis();
my $fleet = fleet(3, redis => $redis,
                  accounts => login("one", "priority 200;")
                              . login("two", ""));

sub login {
    my ($name, $more) = @_;

    return account($name, "platform claude-oauth;"
                          . " access_token sk-ant-oat01-$name; $more");
}

my $asked = 0;


# who serves, each time in a session of its own

sub who {
    my ($i, @headers) = @_;

    return $fleet->account($i, message(text => "n" . ++$asked), @headers);
}

sub shown {
    my ($i, $name) = @_;

    my ($a) = grep { $_->{name} eq ($name // "one") }
                   map { @{ $_->{accounts} } }
                       @{ $fleet->node($i)->health->{pools} };
    return $a // {};
}

sub states { join " ", map { shown($_)->{state} // "none" } 0 .. 2 }

sub all_say {
    my ($state, $name) = @_;

    ok(wait_for(sub { states() eq "$state $state $state" }, 20),
       "fleet: $name") or diag(states());
}

# requests that the sandbox has had for account one

sub asked_one {
    return scalar grep { /^authorization: Bearer sk-ant-oat01-one/i }
                      map { @{ $_->{headers} } } $up->since;
}

sub stored { $redis->cli("HGET", "${P}health", $_[0] // "one") }

# a rest of account one, which the node learns from its own request

sub rest {
    my ($i, $do) = @_;

    $up->behave("sk-ant-oat01-one", "$do,times=1");
    return who($i);
}

# all see each other, whatever their accounts do

sub linked {
    return wait_for(sub {
        return !grep { ($_->{fleet}{state} // "") ne "up"
                       || ($_->{fleet}{nodes} // 0) != 3 } $fleet->healths;
    }, 30);
}

sub reset_by {
    my ($i) = @_;

    return $fleet->node($i)->control("POST", "/v1/accounts/one/reset", "{}")
                 ->status;
}


ok($fleet->ready, "fleet: three nodes are up");


# 1. a rest is everybody's

is(who($_), "one", "fleet: node $_ asks the first account") for 0 .. 2;

is(rest(0, "status=429,nowindow,retry-after=600"), "two",
   "fleet: a throttled account, the next one serves");
all_say("resting", "all nodes rest it");

is(shown($_)->{why}, shown(0)->{why}, "fleet: node $_ says why") for 1 .. 2;
is(shown($_)->{until}, shown(0)->{until}, "fleet: node $_ says until when")
    for 1 .. 2;

asked_one();

for my $i (1 .. 2) {
    is(who($i), "two", "fleet: node $i does not ask it") for 1 .. 3;
}

is(asked_one(), 0, "fleet: nor has it been asked");


# 2. an operator's word at one node is for all

is(reset_by(2), 200, "fleet: it is reset at the third node");
all_say("ok", "and free on all");
is(who($_), "one", "fleet: node $_ asks it again") for 0 .. 2;

is(rest(1, "status=529"), "two", "fleet: an overloaded account");
all_say("resting", "all nodes rest it, too");
is(reset_by(0), 200, "fleet: it is reset");
all_say("ok", "and free again");


# 3. a rest that ends by itself

is(rest(2, "status=429,nowindow,retry-after=3"), "two", "fleet: a short rest");
ok(wait_for(sub { shown(0)->{state} eq "resting"
                  && shown(1)->{state} eq "resting" }, 3)
   || $redis->cli("HEXISTS", "${P}health", "one"), "fleet: is told");
all_say("ok", "and over on all");
is(who($_), "one", "fleet: node $_ asks it after its rest") for 0 .. 2;


# 4. windows: the guard of one node knows what another one was told

is(who(0, "x-sandbox: util-5h=0.999"), "one", "fleet: an answer with windows");

for my $i (1 .. 2) {
    ok(wait_for(sub { (shown($i)->{windows}{"5h"}{utilization} // 0)
                      == 0.999 }, 20), "fleet: node $i knows of the window");
    is(who($i), "two", "fleet: node $i spares the account");
}

# when both are nearly used up the first one is asked again, and is told that
# it is not: on all nodes, too

is(who(1, "x-sandbox: util-5h=0.998"), "two", "fleet: of another account");

for my $i (0, 2) {
    ok(wait_for(sub { (shown($i, "two")->{windows}{"5h"}{utilization} // 0)
                      == 0.998 }, 20), "fleet: node $i knows that, too");
}

is(who(2, "x-sandbox: util-5h=0.1"), "one", "fleet: the first one again");

for my $i (0, 1) {
    ok(wait_for(sub { (shown($i)->{windows}{"5h"}{utilization} // 0)
                      == 0.1 }, 20), "fleet: node $i knows the newest");
    is(who($i), "one", "fleet: node $i asks it again");
}

# many answers, few messages

{
    my $bus = $redis->client;

    $bus->send(["SUBSCRIBE", "${P}bus"]);
    $bus->read(5);

    my $begin = time;

    who(0, "x-sandbox: util-5h=0.2" . $_) for 100 .. 139;

    my $seconds = time - $begin;
    my $n = 0;

    sleep 1.2;

    while (my $m = eval { $bus->read(0.5) }) {
        $n++ if $m->[2] =~ /^n1 h one /;
    }

    ok($n >= 1 && $n <= $seconds + 3,
       "fleet: windows alone are told once a second: $n in $seconds s");
}

ok(wait_for(sub { (shown(2)->{windows}{"5h"}{utilization} // 0)
                  == 0.2139 }, 20), "fleet: and the last of them is");

$up->reset;


# 5. Redis is emptied, or a node comes with nothing

is(reset_by(0), 200, "fleet: reset");
is(rest(0, "status=429,nowindow,retry-after=900"), "two",
   "fleet: a long rest");
all_say("resting", "on all");

$redis->flush;
ok(wait_for(sub { stored() }, 30), "fleet: an emptied Redis is told again");
like(stored(), qr/^\d{13} 1,\d+,\d+,\d+,\d+/, "fleet: what it was");

$fleet->node(2)->kill9;
$fleet->node(2)->start;
asked_one();

ok(linked(), "fleet: a node that was killed is back");
all_say("resting", "and learns of the rest");
is(who(2), "two", "fleet: without asking");
is(asked_one(), 0, "fleet: not once");


# 6. what is no sense harms nobody

my $t = int(time * 1000);

$redis->cli("PUBLISH", "${P}bus", "n9 h $_")
    for "", "one", "one x", "one $t", "one $t x", "one 99999999999999999999 1",
        "one " . ($t + 9e9) . " 1,0,0,0,0,0,0,0,0,0,0,0", "none $t 1",
        "%zz $t 1", "o%00e $t 1",
        "one $t 1,0,0,0,0,0,0,0,0," . ($t + 9e9) . ",0,0",
        "one $t 1,0,0,0,0,0,0," . ($t + 9e9) . ",0,0,0,0",
        "one $t 1,9," . ($t + 9e12) . ",5,3,0,0,0,0,0,0,0",
        "one $t " . "1," x 2000, "one $t " . "x" x 100000;

is(who(1), "two", "fleet: nonsense on the channel");
is(states(), "resting resting resting", "fleet: has ended no rest");
ok(linked(), "fleet: nor a node");

is(reset_by(1), 200, "fleet: reset");
all_say("ok", "and all are free");

$redis->cli("HSET", "${P}health", "one", "x" x 5000, "none", "1 1", "two", "");
$redis->cli("PUBLISH", "${P}bus", "n9 h one $t 1,$t," . ($t + 60000)
                                  . ",13,1,0,0,0,0,0,0,0");
sleep 0.5;
is(states(), "ok ok ok", "fleet: what is older than a reset stays ended");

$t = int(time * 1000);
$redis->cli("PUBLISH", "${P}bus", "n9 h one $t 1,$t," . ($t + 60000)
                                  . ",13,1,0,0,0,0,0,0,0");
all_say("resting", "what is newer is heard, of whichever node");
is(reset_by(1), 200, "fleet: reset");
all_say("ok", "free");


# 7. without Redis each node is on its own

$redis->stop;
ok(wait_for(sub { $fleet->degraded }, 30), "fleet: Redis is away");

is(rest(0, "status=429,nowindow,retry-after=900"), "two",
   "fleet: a rest that nobody hears of");
is(shown(0)->{state}, "resting", "fleet: is kept by who knows");
is(who(1), "one", "fleet: another node asks for itself");
is(who(0), "two", "fleet: and nobody fails");

$redis->start;
ok(linked(), "fleet: Redis is back");
ok(wait_for(sub { shown(0)->{state} eq shown(1)->{state}
                  && shown(1)->{state} eq shown(2)->{state} }, 20),
   "fleet: they know the same again") or diag(states());

finish();
