#!/usr/bin/perl

# The connection to Redis: how it is made, how it is asked, and that it comes
# back when Redis was killed or stopped.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use ClaudeRelay;
use ClaudeRelayFleet;
use ClaudeRelayRedis;


my $up = sandbox();
my $redis = redis(password => "the-admin",
                  acl => "user relay on >swordfish-1 ~{mine}:* &{mine}:*"
                         . " +\@all -\@admin");


# a user of its own, a database, a prefix, a socket

spew($redis->dir . "/pass", "swordfish-1\n");
my $pass = "password=file:" . $redis->dir . "/pass";

my $node = one($redis->unix . " user=relay $pass db=3 \"prefix={mine}:\"",
               workers => 2);

ok(is_there($node), "fleet: by a unix socket");
ok(wait_for(sub { clients($redis) == 3 }),
   "fleet: a connection of each worker, and one that listens");
is(scalar(grep { /user=relay / } clients($redis)), 3, "fleet: as this user");
is(scalar(grep { / db=3 .*name=|name=.* db=3 / } clients($redis)), 3,
   "fleet: in this database");

my $client = $redis->client;
$client->cli("SELECT", 3);
ok($client->cli("HEXISTS", "{mine}:nodes", "n1"), "fleet: with this prefix");
is_deeply([$redis->keys], [], "fleet: and nowhere else");
is(scalar(grep { !/^\{mine\}:/ } @{ $client->cli("KEYS", "*") }), 0,
   "fleet: all keys have it");


# scripts are sent once, and again when Redis has forgotten them

my $monitor = $redis->monitor;
is(wait_for(sub { $monitor->count(qr/"evalsha"/i) >= 2 }, 20), 1,
   "fleet: scripts by their SHA-1");
is($monitor->count(qr/\] "eval"/i), 0, "fleet: not by their text");

$redis->cli("SCRIPT", "FLUSH");
$monitor->clear;
ok(wait_for(sub { $monitor->count(qr/\] "eval"/i) }, 20),
   "fleet: by their text after SCRIPT FLUSH");
$monitor->clear;
ok(wait_for(sub { $monitor->count(qr/"evalsha"/i) >= 2 }, 20)
   && !$monitor->count(qr/\] "eval"/i), "fleet: and by the SHA-1 again");
is(seen($node), "there", "fleet: nobody has noticed");
$monitor->stop;


# a reload: old workers leave, new ones come

my %old = map { /^id=(\d+)/ ? ($1 => 1) : () } clients($redis);

$node->reload;
ok(wait_for(sub {
    my @now = clients($redis);
    @now == 3 && !grep { /^id=(\d+)/ && $old{$1} } @now;
}, 20), "fleet: connections of old workers end with them");
ok(served($node), "fleet: served after a reload");


# the user's password changes: what was connected is ended by Redis

$redis->cli("ACL", "SETUSER", "relay", "resetpass", ">swordfish-2");
$redis->cli("CLIENT", "KILL", "USER", "relay");

ok(is_away($node, "refuses the user or the password"),
   "fleet: a password that is not the right one");
ok(served($node), "fleet: and requests go on");
$redis->cli("ACL", "SETUSER", "relay", ">swordfish-1");
ok(is_there($node), "fleet: the right one");

unlike($node->error_log, qr/swordfish/, "fleet: a password is not in a log");

$redis->cli("ACL", "SETUSER", "relay", "off");
$redis->cli("CLIENT", "KILL", "USER", "relay");
ok(is_away($node, "refuses the user or the password"),
   "fleet: a user that is off");
$redis->cli("ACL", "SETUSER", "relay", "on");
ok(is_there($node), "fleet: and on");

$node->stop;
is(scalar clients($redis), 0, "fleet: nothing is left behind");

$node = one($redis->addr);
ok(is_away($node, "wants a password"), "fleet: no password");
$node->stop;
$redis->stop;


# killed, stopped, restarted

$redis = redis();
$node = one($redis->addr, workers => 2);
ok(is_there($node), "fleet: by address and port");

$redis->kill9;
ok(is_away($node, qr/127\.0\.0\.1:\d+: /), "fleet: killed: away");
ok(served($node), "fleet: killed: requests go on");
$redis->start;
ok(is_there($node), "fleet: killed: and back");

$redis->pause;
ok(is_away($node, "its answer did not come|silent"),
   "fleet: stopped: away, though it accepts connections");
ok(served($node), "fleet: stopped: requests go on");
$redis->resume;
ok(is_there($node), "fleet: stopped: and back");

$redis->cli("CLIENT", "KILL", "TYPE", "normal");
$redis->cli("CLIENT", "KILL", "TYPE", "pubsub");
ok(wait_for(sub { clients($redis) == 3 }, 20),
   "fleet: connections that are cut are made again");
ok(is_there($node), "fleet: cut: and back");

finish();
