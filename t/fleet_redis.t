#!/usr/bin/perl

# The connection to Redis: where it is, how it is asked, what is said of it,
# and that it comes back.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use ClaudeRelay;
use ClaudeRelayFleet;


my $up = sandbox();
my $redis = redis();
my $fleet = fleet(1, redis => $redis, workers => 2);
my $node = $fleet->node(0);

ok(wait_for(sub { eval { $redis->cli("HEXISTS", "{claude-relay}:nodes", "n1") } }, 10), "there");
print STDERR join("\n", $redis->cli("CLIENT", "LIST")), "\n";
print STDERR $node->error_log;
finish();
