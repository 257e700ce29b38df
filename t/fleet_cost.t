#!/usr/bin/perl

# What a fleet costs a request: a warm one no round trip to Redis, a session
# that is not known here one at most; and of ten requests at most one sends a
# command, whatever limits count them.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayFleet;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $redis = redis();
my @ways = map { slow($redis, 0) } 1 .. 3;

my $fleet = fleet(3, workers => 1, redis => $redis,
    params => "timeout=2s command_timeout=5s",
    each => sub { my ($i) = @_; return (redis => $ways[$i]) },
    keys => "claude_relay_key alice {
                 secret $ClaudeRelay::KEY;
                 limit  requests:1000m/day;
                 limit  tokens:1000000m/month;
                 limit  cost:1000000/total;
                 limit  concurrency:10000;
             }",
    accounts => account("a1", "max_concurrency 1000;")
                . account("a2", "max_concurrency 1000;"));

ok($fleet->ready(3), "fleet: three nodes");


# one connection each, so that only what the relay does is measured

my @connections = map { $_->connect } $fleet->nodes;

sub ask {
    my ($i, $session) = @_;

    my $begin = time;

    my $r = $connections[$i]->request("POST", "/v1/messages",
                body => message(),
                headers => ["x-claude-code-session-id: $session"])->response;

    my $seconds = time - $begin;

    return $r && $r->status == 200 ? $seconds : diag $r && $r->body;
}


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return $sorted[$#sorted / 2];
}


# shares are there, connections are made

for my $round (1 .. 20) {
    ask($_, "warm $_") for 0 .. 2;
}

my $monitor = $redis->monitor;
my $n = asan() ? 200 : 500;
my $begin = time;

for my $round (1 .. $n) {
    ask($_, "warm $_") for 0 .. 2;
}

my @lines = $monitor->lines;
my $seconds = time - $begin;

# the nodes' hearts beat whether anybody asks or not

my @hearts = grep { /:nodes"/ } @lines;
my $rest = @lines - @hearts;

cmp_ok($rest, "<=", 3 * $n / 10, "fleet: a command for ten requests at most")
    or diag join "\n", @lines[0 .. ($#lines < 40 ? $#lines : 40)];
cmp_ok(scalar @lines, "<=", 3 * $n / 10, "fleet: with the nodes' hearts, too")
    if !asan();

diag(sprintf "%d requests in %.1f s: %d commands, %d more are the hearts'",
     3 * $n, $seconds, $rest, scalar @hearts);


# Round trips are counted by the clock: each takes as long as all the rest of
# many requests.

my $ms = asan() ? 1000 : 300;

my $warm = median(map { ask(0, "warm 0") } 1 .. 9);

$_->delay($ms) for @ways;

my $far = median(map { ask(0, "warm 0") } 1 .. 9);

cmp_ok($far, "<", $ms / 2000, sprintf "fleet: a warm request waits for nothing:"
                                      . " %.1f ms, %.1f with Redis %d ms away",
                              $warm * 1000, $far * 1000, $ms);

my @cold = map { ask(0, "cold $_") } 1 .. 3;
my $cold = median(@cold);

cmp_ok($cold, "<", 1.7 * $ms / 1000,
       sprintf "fleet: a new session waits for one round trip at most: %.1f ms",
               $cold * 1000);
cmp_ok($cold, ">", 0.8 * $ms / 1000, "fleet: and it does wait for one");

my $again = median(map { ask(0, "cold $_") } 1 .. 3);

cmp_ok($again, "<", $ms / 2000, "fleet: but not again");

$_->close for @connections;

finish();
