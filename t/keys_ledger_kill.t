#!/usr/bin/perl

# kill -9 of a worker, of the drainer among them, of the master, of all, at
# random moments under load: each request whose answer came whole has exactly
# one row in the ledger after a restart, and none has two.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $dir = tempdir("claude-relay-ledger-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $rounds = $ENV{CR_KILLS} // (asan() ? 12 : 60);

my $nginx = nginx(<<"END", workers => 2, allow => [qr/exited on signal 9/]);
@{[ store($dir) ]}
claude_relay_zone relay:4m;
claude_relay_key alice { secret alice-secret-0001; limit requests:1m/total; }
claude_relay_control unix:%%DIR%%/control.sock;
@{[ account("one") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; claude_relay_retry_wait 1s; }
    location = /health { claude_relay_health full=on; }
}
END

my $port = port();
my (%whole, $cut, $refused, $restarts);
$cut = $refused = $restarts = 0;

my @w = map { wire($port, ask()) } 1 .. 12;
my ($worker, $master, $all) = (0) x 3;

for my $round (1 .. $rounds) {

    load(0.03 + rand 0.15);

    my $pid = $nginx->pid;
    my @workers = $nginx->workers;

    if ($round % 6 == 0) {
        $all++;
        kill "KILL", $pid, @workers;
        restart($pid, @workers);

    } elsif ($round % 6 == 3) {

        # the workers go on for a moment, and nobody starts new ones

        $master++;
        kill "KILL", $pid;
        load(rand 0.05);
        kill "KILL", @workers;
        restart($pid, @workers);

    } elsif (@workers) {
        $worker++;
        kill "KILL", $workers[rand @workers];
    }
}

load(0.3);
$_->close for @w;

# the last ones are cut as well

kill "KILL", $nginx->pid, $nginx->workers;
restart($nginx->pid, $nginx->workers);

my (%row, $after, $next);
$after = 0;

for ( ;; ) {
    my $r = $nginx->control("GET", "/v1/usage/events?after=$after");

    if ($r->status != 200) {
        fail("events: " . $r->body);
        last;
    }

    my $events = $r->json->{events};
    last if !@$events;

    for (@$events) {
        $next++ if $_->{number} != $after + 1;
        $after = $_->{number};
        push @{ $row{$_->{id}} }, $_;
    }
}

my @lost = grep { !$row{$_} } keys %whole;
my @twice = grep { @{ $row{$_} } != 1 } keys %row;

cmp_ok(scalar keys %whole, ">", $rounds * 5, "there was a load");
cmp_ok($restarts, ">=", $rounds / 4, "and trouble");
is(scalar @lost, 0, "each answer that came whole has a row")
    or diag("@lost[0 .. ($#lost > 4 ? 4 : $#lost)]");
is(scalar @twice, 0, "and no request has two");
is($next // 0, 0, "numbers have no gap");

my $bad = grep { $row{$_} && ($row{$_}[0]{status} != 200
                              || $row{$_}[0]{input} == 0
                              || $row{$_}[0]{key} ne "alice") } keys %whole;
is($bad, 0, "the rows are those of these requests");

my $json = $nginx->control("GET", "/v1/usage")->json;
is($json->{sums}[0]{requests}, scalar keys %row, "sums: as many");

my $cost = 0;
$cost += $_->[0]{cost_micros} for values %row;
is($json->{sums}[0]{cost_micros}, $cost, "sums: the same cost");

# the counter of the limit is charged with those that have a row and went well

my $charged = `sqlite3 $dir/db/relay.db-usage "SELECT sum(used) FROM counters"`;
chomp $charged;
is($charged, scalar(grep { $_->[0]{status} < 400 } values %row),
   "the counter is charged with exactly these");

diag(scalar(keys %whole) . " whole, $cut cut, $refused not served; "
     . "$worker workers, $master masters, $all times all were killed");

finish();


sub restart {
    my @dead = @_;

    for my $pid (@dead) {
        waitpid $pid, 0;

        # gone, or waiting for an init to notice

        until_true(sub { ClaudeRelay::slurp("/proc/$pid/stat")
                         !~ /\) [^Z]/ }, 5);
    }

    unlink $nginx->dir . "/nginx.pid", $nginx->dir . "/control.sock";

    $nginx->{pid} = ClaudeRelay::spawn($nginx->dir . "/stderr", {},
                                       $nginx->command);
    ClaudeRelay::wait_for(sub { -s $nginx->dir . "/nginx.pid"
                                && $nginx->listens });
    $restarts++;
}


# requests one after the other on each connection

sub load {
    my ($seconds) = @_;

    my $end = time + $seconds;

    pump(sub {
        for my $w (@w) {
            next if !$w->{done};

            if (($w->{status} // 0) == 200 && $w->{clean}) {
                my $id = $w->{headers}{"x-request-id"};
                $whole{$id} = 1 if $id;

            } elsif (defined $w->{status}) {
                $refused++;

            } else {
                $cut++;
            }

            $w->close;
            $w = wire($port, ask());
        }

        return time > $end;
    }, $seconds + 5);
}
