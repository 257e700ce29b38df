#!/usr/bin/perl

# A Redis that answers and cannot be written: full, without its disk or its
# replicas, a replica itself.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use ClaudeRelay;
use ClaudeRelayFleet;
use ClaudeRelayRedis;


my $up = sandbox();
my $redis = redis(conf => "enable-protected-configs yes");
my $node = one($redis->addr, workers => 2);

ok(is_there($node), "fleet: there");


# full; no replicas; no disk

$redis->config("maxmemory", "1");
ok(is_away($node, "full"), "fleet: full: away");
ok(served($node), "fleet: full: requests go on");
$redis->config("maxmemory", "0");
ok(is_there($node), "fleet: full: and back");

$redis->config("min-replicas-to-write", 1);
ok(is_away($node, "too few replicas"), "fleet: too few replicas: away");
$redis->config("min-replicas-to-write", 0);
ok(is_there($node), "fleet: too few replicas: and back");

mkdir $redis->dir . "/none.rdb" or die;
$redis->config("dbfilename", "none.rdb");
$redis->config("save", "3600 1");
$redis->cli("SET", "x", 1);
$redis->cli("BGSAVE");
ok(is_away($node, "cannot write to its disk"), "fleet: no disk: away");
ok(served($node), "fleet: no disk: requests go on");
$redis->config("save", "");
ok(is_there($node), "fleet: no disk: and back");


# a list: whoever is the master

my $other = redis(of => $redis);
ok(wait_for(sub { $other->cli("ROLE")->[3] eq "connected" }, 20),
   "fleet: a replica");

my $list = one($other->addr . " " . $redis->addr);
ok(is_there($list), "fleet: a list: there");
is(scalar clients($other), 0, "fleet: a list: not at the replica");

$other->replicaof(undef);
$redis->replicaof($other);

ok(wait_for(sub {
    my @now = clients($other);
    @now == 2 && 1 == grep { / sub=1 / } @now;
}, 20), "fleet: a list: both go to the other one, which is the master now");
ok(is_away($node, "replica"), "fleet: a replica is not written to");
ok(is_there($list), "fleet: a list: there");
ok(served($list) && served($node), "fleet: a replica: requests go on");

$node->stop;
$list->stop;
$_->stop for $redis, $other;

finish();
