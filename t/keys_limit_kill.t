#!/usr/bin/perl

# Counters of limits survive what happens to workers: one that is killed takes
# nothing with it, and a reload loses nothing and counts nothing twice.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


# more than a fast machine can use in a test

my $MANY = 100_000_000;

my $up = sandbox();
my $rounds = asan() ? 3 : 8;

my $http = <<"END";
claude_relay_zone relay:1m;
claude_relay_store store/relay.db secret=relay.key;
claude_relay_usage_poll off;
claude_relay_control unix:control.sock;
claude_relay_user u { limit concurrency:8; limit tokens:100000m/day; }
claude_relay_key alice { secret alice-secret-0001; user u;
                         limit requests:$MANY/day; limit output:100000m/total;
                         limit concurrency:12; }
claude_relay_key probe { secret probe-secret-0001;
                         limit requests:$MANY/30d; limit tokens:100000m/5h;
                         limit output:100000m/total; limit concurrency:400; }
@{[ account("one", "max_concurrency 0;") ]}
server {
    listen 127.0.0.1:%%PORT%% reuseport;
    claude_relay_sticky off;
    claude_relay_retry_wait 0;
    claude_relay_limit_headers on;
    location = /health { claude_relay_health full=on; }
    location / { claude_relay; }
}
END

my $nginx = nginx($http, workers => 4,
                  allow => [qr/exited on signal 9/]);

my $port = port();


# what is left of a limit, as an answer tells it; it counts itself

sub left {
    my ($key, $unit) = @_;

    my $w;

    for (1 .. 20) {
        $w = eval { exchange($port, path => "/v1/messages",
                             key => "$key-secret-0001") };

        last if $w && ($w->{status} // 0) == 200;
        sleep 0.1;
    }

    return $w->{headers}{"anthropic-ratelimit-$unit-remaining"};
}


# what requests under way hold of a key's limits

sub reserved {
    my ($key) = @_;

    my $r = $nginx->control("GET", "/v1/keys/$key");

    return join " ", map { $_->{reserved} + 0 } @{ $r->json->{usage} };
}


sub stream_as {
    my ($key, %o) = @_;

    return wire($port, ask(key => "$key-secret-0001", stream => 1,
                           do => "events=4000,delay=25", %o));
}


# ---- slots of a dead worker

for my $round (1 .. $rounds) {

    my @w = map { stream_as("alice") } 1 .. 8;

    pump(sub { !grep { !$_->{parts} && !$_->{done} } @w }, 5);

    is(scalar(grep { ($_->{status} // 0) == 200 } @w), 8,
       "kill $round: eight at once");
    is((exchange($port, path => "/v1/messages")->{status} // 0), 429,
       "kill $round: not nine") if $round == 1;

    my @workers = $nginx->workers;

    kill "KILL", $workers[$round % @workers];

    my $at = time;

    pump(sub { time - $at > 0.1 }, 1);

    my $cut = grep { $_->{done} } @w;
    my @again;

    # as many slots come back as were cut, each in time

    while (@again < $cut && time - $at < 3) {
        my $w = stream_as("alice");

        pump(sub { $w->{status} || $w->{done} }, 2);

        if (($w->{status} // 0) == 200) {
            push @again, $w;

        } else {
            $w->close;
            pump(sub { 0 }, 0.05);
        }
    }

    my $took = time - $at;

    is(scalar(@again), $cut, "kill $round: $cut slots are back");
    cmp_ok($took, "<", asan() ? 3 : 1.5, sprintf "kill $round: in %.2f s",
           $took);

    my $more = exchange($port, path => "/v1/messages");

    is($more->{status}, 429, "kill $round: and no more than these");

    $_->abort for @w, @again;

    ok(until_true(sub { (my @now = $nginx->workers) == 4 }, 3),
       "kill $round: another worker");

    # those of before are gone, too, or the next eight would be too many

    until_true(sub { reserved("alice") eq "0 0 0" }, 5);
}

ok(until_true(sub { reserved("alice") eq "0 0 0" }, 2),
   "kills: nothing is reserved") || diag(reserved("alice"));


# ---- a budget under load and kills: nothing stays reserved

{
    my $begin = left("probe", "requests");
    my $out = left("probe", "output-tokens");

    is($begin, $MANY - 1, "load: the first one counts");

    my ($done, $cut, $kills) = (0, 0, 0);
    my $end = time + (asan() ? 5 : 4);
    my $next = time + 0.3;
    my @w = map { wire($port, ask(key => "probe-secret-0001")) } 1 .. 16;

    pump(sub {
        for my $w (@w) {
            next if !$w->{done};

            if ($w->{clean} && ($w->{status} // 0) == 200) {
                $done++;

            } else {
                $cut++;
            }

            $w->close;
            $w = wire($port, ask(key => "probe-secret-0001"));
        }

        if (time > $next) {
            my @workers = $nginx->workers;

            if (@workers == 4) {
                kill "KILL", $workers[rand 4];
                $kills++;
            }

            $next = time + 0.2 + rand 0.3;
        }

        return time > $end;
    }, 20);

    # those under way end

    pump(sub { !grep { !$_->{done} } @w }, 5);

    for my $w (@w) {
        $w->{clean} && ($w->{status} // 0) == 200 ? $done++ : $cut++;
        $w->close;
    }

    ok($kills >= 3, "load: $kills kills");
    ok($done > 100, "load: $done served, $cut cut");

    ok(until_true(sub { reserved("probe") eq "0 0 0 0" }, 1.5),
       "load: nothing is reserved") || diag(reserved("probe"));

    # two probes above, and the one that asks now

    my $used = $MANY - left("probe", "requests");

    cmp_ok($used, ">=", $done + 3, "load: each answer is counted");
    cmp_ok($used, "<=", $done + $cut + 3,
           "load: and nothing else, nothing is reserved");

    my $now = left("probe", "output-tokens");
    my $tokens = $out - $now;

    # answers have five; what asks reserves its 100 of output

    cmp_ok($tokens, ">=", ($done + 1) * 5,
           "load: the tokens of each answer are counted");
    cmp_ok($tokens, "<=", ($done + $cut + 4) * 5 + 100,
           "load: and nothing else, no reservation is left");
}


# ---- a reload under load: exactly

{
    my $begin = left("probe", "requests");
    my ($done, $bad, $reloads) = (0, 0, 0);
    my $end = time + (asan() ? 5 : 3);
    my $next = time + 0.3;
    my @w = map { wire($port, ask(key => "probe-secret-0001", close => 1)) }
            1 .. 12;

    pump(sub {
        for my $w (@w) {
            next if !$w->{done};

            # a new worker may not listen yet, or an old one not any more

            if (!defined $w->{status}) {
                $bad++;

            } else {
                $done++ if $w->{status} == 200;
            }

            $w->close;
            $w = wire($port, ask(key => "probe-secret-0001", close => 1));
        }

        if (time > $next) {
            $nginx->signal("HUP");
            $reloads++;
            $next = time + 1;
        }

        return time > $end;
    }, 20);

    pump(sub { !grep { !$_->{done} } @w }, 5);
    $done += grep { ($_->{status} // 0) == 200 } @w;
    $bad += grep { !defined $_->{status} } @w;
    $_->close for @w;

    sleep 0.5;

    ok($reloads >= 2, "reload: $reloads of them");
    ok($done > 100, "reload: $done served, $bad not answered");

    my $used = $begin - left("probe", "requests");

    cmp_ok($used, ">=", $done + 1, "reload: each request is counted");
    cmp_ok($used, "<=", $done + 1 + $bad, "reload: once");
}


finish();
