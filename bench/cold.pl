#!/usr/bin/perl

# What a session that a node does not know costs, in milliseconds: the median
# of a message's time, with Redis and without, and of Redis' own PING.
#
#     bench/cold.pl [REQUESTS]

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../t/lib";

use ClaudeRelay;
use ClaudeRelayFleet;
use Test::More;
use Time::HiRes qw/ time /;


my $n = shift // 2000;
my $up = sandbox();
my $redis = redis();

my %fleet = map { $_->[0] => fleet(1, redis => $_->[1], workers => 1,
    accounts => join "", map { account("a$_") } 1 .. 4) }
    ["node", $redis], ["alone", 0];

wait_for(sub {
    take("node", "first-" . time);
    return scalar(my @all = $redis->keys("*:s:*"));
}, 30) or die "no session in Redis\n";


sub take {
    my ($which, $session) = @_;

    my $began = time;
    my $r = $fleet{$which}->post(0, message(),
                                 "X-Claude-Code-Session-Id: $session");

    die "status " . $r->status . "\n" if $r->status != 200;

    return 1000 * (time - $began);
}

sub median { (sort { $a <=> $b } @_)[@_ / 2] }

my %took;

for my $i (1 .. $n) {
    for my $which ($i % 2 ? qw/ node alone / : qw/ alone node /) {
        push @{ $took{"$which, new session"} }, take($which, "s$i");
        push @{ $took{"$which, known session"} }, take($which, "s$i");
    }

    my $began = time;
    $redis->cli("PING");
    push @{ $took{"PING"} }, 1000 * (time - $began);
}

printf "%-24s %7.3f ms\n", $_, median(@{ $took{$_} }) for sort keys %took;

ok(1, "measured");
finish();
