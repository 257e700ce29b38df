#!/usr/bin/perl

# Redis that moves: Sentinels name another master, slots of a Cluster go to
# another node.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use ClaudeRelay;
use ClaudeRelayFleet;
use ClaudeRelayRedis;


my $up = sandbox();


# the heartbeat goes on: two deadlines of this node that differ

sub beats {
    my ($server, $node) = @_;

    my $first;

    return wait_for(sub {
        my $now = eval { $server->cli("HGET", "{claude-relay}:nodes", "n1") }
                  or return 0;

        $first //= $now;
        return $now ne $first;
    }, 30);
}

sub holds {
    my ($server) = @_;

    return wait_for(sub { 2 <= (() = eval { clients($server) }) }, 30);
}


# Sentinels, with a password of their own

my $one = redis();
my $two = redis(of => $one);
my $watch = sentinel(of => $one, name => "relay", password => "watch-word");

$ENV{WATCH} = "watch-word";

my $node = one(join(" ", "127.0.0.1:" . port(9), $watch->addrs)
               . " sentinel=relay sentinel_password=env:WATCH lease=2s");

ok(is_there($node), "fleet: the master is the one that Sentinels name");
ok(beats($one, $node), "fleet: Sentinel: the heartbeat is there");
is(scalar(clients($two)), 0, "fleet: Sentinel: not at the replica");

$watch->failover;

ok(holds($two), "fleet: Sentinel: connections go to the new master");
ok(is_there($node), "fleet: Sentinel: a failover that was asked for");
ok(beats($two, $node), "fleet: Sentinel: the heartbeat is at the new master");
ok(served($node), "fleet: Sentinel: requests go on");

# the old one is a replica of it by now, or nobody could take its place

ok(wait_for(sub { my $role = eval { $one->cli("ROLE") } or return 0;
                  $role->[0] eq "slave" && $role->[3] eq "connected" }, 30),
   "fleet: Sentinel: the old master follows the new one");

$two->kill9;

ok(served($node), "fleet: Sentinel: requests go on without a master");
ok(wait_for(sub { (eval { $one->cli("ROLE")->[0] } // "") eq "master" }, 60),
   "fleet: Sentinel: the master was killed, there is another one");
ok(is_there($node), "fleet: Sentinel: there");
ok(beats($one, $node), "fleet: Sentinel: the heartbeat is at the other one");
unlike($node->error_log, qr/watch-word/,
       "fleet: Sentinel: no password in the log");
$node->stop;

$node = one(join(" ", $watch->addrs)
            . " sentinel=other sentinel_password=env:WATCH");
ok(is_away($node, "does not know the master's name"),
   "fleet: Sentinel: another name");
$node->stop;

$node = one(join(" ", $watch->addrs) . " sentinel=relay");
ok(is_away($node, "wants a password"), "fleet: Sentinel: no password");
$node->stop;

$watch->stop;
$one->stop;


# a Cluster, of which one node is known

my $cluster = cluster(n => 3, replicas => 1);
my $key = "{claude-relay}:nodes";
my $owner = $cluster->owner($key);
my ($other) = grep { $_ != $owner && $_->cli("ROLE")->[0] eq "master" }
                   $cluster->servers;

$node = one($other->addr . " cluster lease=2s");

ok(is_there($node), "fleet: Cluster: from any of its nodes");
ok(beats($owner, $node), "fleet: Cluster: to who has the slot");

my $monitor = $other->monitor;
$cluster->move($key, $other);

ok(wait_for(sub { $monitor->count(qr/"evalsha"|"eval"/i) }, 30),
   "fleet: Cluster: the slot has moved, commands follow");
$monitor->stop;
ok(is_there($node), "fleet: Cluster: moved: there");
ok(beats($other, $node), "fleet: Cluster: moved: the heartbeat goes on");
ok(served($node), "fleet: Cluster: moved: requests go on");

# the slot is between two nodes: keys that are there are asked for there

my ($third) = grep { $_ != $other && $_->cli("ROLE")->[0] eq "master" }
                   $cluster->servers;
my $slot = $other->cli(qw/ CLUSTER KEYSLOT /, $key);
my $id = $third->cli(qw/ CLUSTER MYID /);
my @keys = @{ $other->cli(qw/ CLUSTER GETKEYSINSLOT /, $slot, 1000) };

$third->cli(qw/ CLUSTER SETSLOT /, $slot, "IMPORTING",
            $other->cli(qw/ CLUSTER MYID /));
$other->cli(qw/ CLUSTER SETSLOT /, $slot, "MIGRATING", $id);
$other->cli("MIGRATE", "127.0.0.1", $third->port, "", 0, 5000, "KEYS", @keys);

ok(wait_for(sub { 0 < ($third->commands->{asking} // 0) }, 30),
   "fleet: Cluster: ASK is followed");
ok(served($node), "fleet: Cluster: asking: requests go on");

for my $server ($third, $other,
                grep { $_ != $third && $_ != $other } $cluster->servers)
{
    eval { $server->cli(qw/ CLUSTER SETSLOT /, $slot, "NODE", $id) };
}

ok(beats($third, $node), "fleet: Cluster: and it has moved again");
ok(is_there($node), "fleet: Cluster: moved again: there");

# its master is killed

my $failed = $cluster->owner($key);
$failed->kill9;

ok(served($node), "fleet: Cluster: requests go on without a master");
ok(wait_for(sub {
    my $now = eval { $cluster->owner($key) } or return 0;
    $now != $failed && (eval { $now->cli("ROLE")->[0] } // "") eq "master";
}, 60), "fleet: Cluster: a replica has taken its place");

my $new = $cluster->owner($key);

ok(beats($new, $node),
   "fleet: Cluster: failed over: the heartbeat goes on");
ok(is_there($node), "fleet: Cluster: failed over: there");

$node->stop;

finish();
