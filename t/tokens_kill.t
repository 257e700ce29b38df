#!/usr/bin/perl

# N06: kill -9 of a worker, of the master, of all, at random moments of a
# refresh.  The authorization server gives out refresh tokens that are good
# for one use.
#
# First with one that repeats its last answer until the new pair was used
# ("grace"): whatever dies and whenever, everything goes on without a hand.
# Then with one that does not: an answer that died with its process, after the
# server had rotated and before it was stored, cannot be had again from
# anybody.  The account then needs a login, says so, and shows its dead token
# once, not more; in all other cases it goes on.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $dir = tempdir("claude-relay-store-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $rounds = $ENV{CR_KILLS} // (asan() ? 24 : 200);

my $nginx = nginx(<<"END", workers => 2, allow => [qr/exited on signal 9/]);
@{[ zone_and_key() ]}
@{[ store($dir) ]}
@{[ login_account("one") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; claude_relay_retry_wait 1s; }
    location = /health { claude_relay_health full=on; }
}
END

$up->oauth(do => "grace,before=8,after=3");

my ($worker, $master, $all, $slow, $restarts) = (0) x 5;

for my $round (1 .. $rounds) {
    kill_round($round) or last;
}

my $report = $up->oauth_report(n => 0);

is($slow, 0, "$rounds kills: each time served again within 10 s");
is($report->{counters}{reuses} - $report->{counters}{graces}, 0,
   "no token was shown twice that the server had not kept open");
is($up->oauth_chain("one")->{life}, "alive", "the account is alive");
cmp_ok($report->{counters}{max_in_flight}, "<=", 1,
       "never two refreshes at a time");
diag("$worker workers, $master masters, $all times all were killed; "
     . "$report->{counters}{rotations} rotations, "
     . "$report->{counters}{graces} repeated");


# a server that forgives nothing; a client that goes before the rotation
# prevents it

my $strict = $ENV{CR_KILLS_STRICT} // (asan() ? 8 : 60);
my ($lost, $silent) = (0, 0);

$up->oauth(do => "grace=off,drop,before=8,after=3");

for my $round (1 .. $strict) {

    kill_round($round, 1);

    next if served(10);

    $lost++;
    $silent++ if $nginx->error_log !~ /"one"\ needs\ a\ login.*cut\ off/x;

    # by hand, as it must be: another login

    my $login = $up->oauth_seed(name => "one");
    login($login);
}

$report = $up->oauth_report(n => 0);

ok($lost <= $strict / 2, "strict: most go on")
    || diag("$lost of $strict are lost");
is($silent, 0, "strict: the log tells of each that is lost");
cmp_ok($report->{counters}{reuses} - $report->{counters}{graces}, "<=", $lost,
       "strict: a token that was used up is shown once more, at most");
cmp_ok($report->{counters}{max_in_flight}, "<=", 1,
       "strict: never two refreshes at a time");
diag("strict: $lost of $strict answers died between the server and the disk");


unlike($nginx->error_log, qr/sk-ant-(oat|ort)/, "no token in error.log");

my $check = `sqlite3 $dir/db/relay.db 'PRAGMA integrity_check' 2>&1`;
like($check, qr/^ok/, "the store is whole");

finish();


# a refresh begins, and somebody dies in it

sub kill_round {
    my ($round, $strict) = @_;

    $up->oauth(do => "revoke-access", chain => "one");

    my $w = wire(port(), ask(text => "round $round"));
    pause(rand 0.035);

    my $master_pid = $nginx->pid;
    my @workers = $nginx->workers;

    if ($round % 4 == 0) {

        # the master, and then its workers, which knew nothing of it

        $master++;
        kill "KILL", $master_pid;
        pause(rand 0.03);
        kill "KILL", @workers;
        restart($master_pid, @workers);

    } elsif ($round % 4 == 1) {
        $all++;
        kill "KILL", $master_pid, @workers;
        restart($master_pid, @workers);

    } else {
        $worker++;
        kill "KILL", $workers[rand @workers];
    }

    $w->close;

    return 1 if $strict;

    if (!served(10)) {
        $slow++;
        diag("round $round: " . substr $nginx->error_log, -600);
        return 0;
    }

    return 1;
}


sub served {
    my ($seconds) = @_;

    my $end = time + $seconds;

    while (time < $end) {
        my $r = eval { $nginx->post("/v1/messages", message()) };
        return 1 if $r && $r->status == 200;
        return 0 if $r && $r->status == 401 && $nginx->error_log
                    =~ /needs a login[^\n]*\n(?!.*has new tokens)/s && $strict;
        sleep 0.05;
    }

    return 0;
}


sub restart {
    my @dead = @_;

    for my $pid (@dead) {
        waitpid $pid, 0;

        # gone, or waiting for an init to notice

        until_true(sub { ClaudeRelay::slurp("/proc/$pid/stat")
                         !~ /\) [^Z]/ }, 5);
    }

    unlink $nginx->dir . "/nginx.pid";

    $nginx->{pid} = ClaudeRelay::spawn($nginx->dir . "/stderr", {},
                                       $nginx->command);
    ClaudeRelay::wait_for(sub { -s $nginx->dir . "/nginx.pid"
                                && $nginx->listens });
    $restarts++;
}


# other tokens in nginx.conf are taken as a new login

sub login {
    my ($login) = @_;

    my $http = $nginx->{http};

    $http =~ s/access_token \S+;/access_token $login->{access};/;
    $http =~ s/refresh_token \S+;/refresh_token $login->{refresh};/;
    $nginx->reload($http);
    served(5) or diag("not served after a login");
}
