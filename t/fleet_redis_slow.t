#!/usr/bin/perl

# Redis that is slow, and one that is not reached: what a node says of it, and
# that nobody waits.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ time /;

use ClaudeRelay;
use ClaudeRelayFleet;
use ClaudeRelayRedis;


my $up = sandbox();
my $redis = redis();
my $way = slow($redis, 0);
my $node = one($way->addr . " timeout=50ms command_timeout=2s lease=1s");


# requests of sessions that nobody knows: each would ask

my $n = 0;

sub asks {
    my ($times) = @_;

    my $slowest = 0;

    for (1 .. $times) {
        my $from = time;

        return undef
            if $node->post("/v1/messages", message(text => "new " . $n++),
                           "x-session-id: " . $n)->status != 200;

        my $took = time - $from;
        $slowest = $took if $took > $slowest;
    }

    return $slowest;
}


ok(is_there($node), "fleet: in time");
ok(defined asks(3), "fleet: in time: served");

$way->delay(200);

ok(wait_for(sub { defined(asks(1)) && seen($node) =~ /^slow/ }, 30),
   "fleet: 200 ms: slow");

my $took = asks(10);

cmp_ok($took // 99, "<", 1, "fleet: slow: served, and nobody waits for long");

my $before = $redis->commands;
ok(defined asks(20), "fleet: slow: served");
my $after = $redis->commands;
cmp_ok(($after->{set} // 0) - ($before->{set} // 0), "<", 20,
       "fleet: slow: not asked for each request");

$way->delay(0);
ok(is_there($node), "fleet: in time again");

$way->hole;
ok(is_away($node, "its answer did not come"), "fleet: a hole: away");
ok(defined asks(5), "fleet: a hole: served");
$way->heal;
ok(is_there($node), "fleet: healed: there");

$way->cut;
ok(is_away($node, "."), "fleet: cut: away");
ok(defined asks(5), "fleet: cut: served");
$way->heal;
ok(is_there($node), "fleet: healed: there again");


# somebody's large value under a name of ours is an error, and no more

$redis->cli("DEL", "{claude-relay}:nodes");
$redis->cli("SET", "{claude-relay}:nodes", "x" x 1000000);
ok(is_away($node, "WRONGTYPE"), "fleet: a key of another type");
ok(defined asks(3), "fleet: another type: served");
$redis->cli("DEL", "{claude-relay}:nodes");
ok(is_there($node), "fleet: another type: there again");

$node->stop;

finish();
