#!/usr/bin/perl

# Reload, binary upgrade and every way to stop while a refresh is on the wire;
# a disk that is full or read-only; a clock that is set forth and back.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use File::Temp qw/ tempdir /;
use POSIX ();
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $dir = tempdir("claude-relay-store-XXXXXX", TMPDIR => 1, CLEANUP => 1);


sub http {
    my ($db, $account, $more) = @_;
    $more //= "";

    return <<"END";
@{[ zone_and_key() ]}
@{[ store($db, "claude_relay_usage off;") ]}
$account
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; claude_relay_retry_wait 3s; $more }
    location = /health { claude_relay_health full=on; }
}
END
}


sub rotations { return $up->oauth_report(n => 0)->{counters}{rotations} }

sub none_twice {
    my ($what) = @_;

    my $c = $up->oauth_report(n => 0)->{counters};
    is($c->{reuses}, 0, "$what: no token twice");
}


# a request that makes a refresh, and what it is answered

sub begin {
    my ($name) = @_;

    $up->oauth(do => "revoke-access", chain => $name);

    my $w = wire(port(), ask(text => "$name " . rand));
    pump(sub { $up->oauth_report(n => 0)->{counters}{in_flight} }, 5)
        or diag("no refresh has begun");

    return $w;
}


# whatever happens, nothing stays mounted

my $mounted;

END { system("umount $mounted") if $mounted }


my $account = login_account("one");

$up->oauth(do => "before=300,after=300");


# HUP: the old worker ends what it has begun, even past its time to leave

for my $more ("", "worker_shutdown_timeout 100ms;") {

    my $nginx = nginx(http($dir, $account), workers => 2, main => $more);
    my $what = "HUP" . ($more ? ", worker_shutdown_timeout" : "");
    my $before = rotations();

    my $w = begin("one");
    $nginx->reload;

    ok(pump(sub { $up->oauth_report(n => 0)->{counters}{in_flight} == 0 }, 10),
       "$what: the refresh is through");
    pump(sub { $w->{done} }, 5);
    is($w->{status}, 200, "$what: whoever waited is served") if !$more;
    $w->close;

    is($nginx->post("/v1/messages", message())->status, 200, "$what: serves");
    is(rotations(), $before + 1, "$what: by one refresh");
    none_twice($what);
    $nginx->stop;
}


# a call that waits for the store holds the worker that has it

SKIP: {
    skip "no sqlite3", 3 if `sqlite3 -version` !~ /^\d/;

    my $nginx = nginx(http($dir, $account)
                      . "claude_relay_control unix:%%DIR%%/control.sock;",
                      workers => 1);
    my $held = $nginx->dir . "/held";

    system "(echo '.timeout 5000'; echo 'BEGIN IMMEDIATE;'; echo \".shell touch $held\";"
           . " sleep 2; echo 'COMMIT;') | sqlite3 $dir/db/relay.db &";
    ok(until_true(sub { -e $held }, 10), "the store is held");

    my $pid = fork() // die "fork(): $!\n";

    if ($pid == 0) {
        my $r = eval {
            $nginx->control("POST", "/v1/accounts", {
                name => "late", platform => "anthropic", api_key => "sk-late",
            });
        };
        POSIX::_exit($r && $r->status == 201 ? 0 : 1);
    }

    sleep 0.3;
    $nginx->stop;
    waitpid $pid, 0;
    is($?, 0, "QUIT: a call that waits for the store is answered");

    $nginx->start;
    is($nginx->control("DELETE", "/v1/accounts/late")->status, 204,
       "and what it did is there");
    $nginx->stop;
}


# QUIT and TERM: the answer that is on the wire is waited for, and stored

for my $signal (qw/ QUIT TERM /) {

    my $nginx = nginx(http($dir, $account), workers => 2);
    my $before = rotations();

    my $w = begin("one");
    $nginx->signal($signal);

    ok(pump(sub { $up->oauth_report(n => 0)->{counters}{in_flight} == 0 }, 10),
       "$signal: the refresh is through");
    $w->close;
    $nginx->stop;

    $nginx = nginx(http($dir, $account), workers => 2);
    is($nginx->post("/v1/messages", message())->status, 200,
       "$signal: the next start serves");
    is(rotations(), $before + 1, "$signal: without another refresh");
    none_twice($signal);
    $nginx->stop;
}


# USR2: two masters, two zones, one store

SKIP: {
    skip "needs a module to load", 5 if !ClaudeRelay::module();

    my $nginx = ClaudeRelay::Nginx->new(http($dir, $account),
                                        workers => 2);
    $nginx->write;
    spew($nginx->file, slurp($nginx->file) =~ s/daemon off/daemon on/r);
    is($nginx->run($nginx->dir . "/stderr"), 0, "USR2: nginx as a daemon");
    push @ClaudeRelay::NGINXES, $nginx;
    until_true(sub { $nginx->listens && -s $nginx->dir . "/nginx.pid" }, 10);

    my $before = rotations();
    my $old = $nginx->pid;
    my $w = begin("one");

    kill "USR2", $old;
    until_true(sub { my $now = $nginx->pid // $old;
                     return $now != $old && kill 0, $now; }, 10);

    my @w = map { wire($nginx->port, ask(text => "usr2 $_")) } 1 .. 10;

    ok(pump(sub { !grep { !$_->{done} } $w, @w }, 15), "USR2: all answered");
    is(scalar(grep { ($_->{status} // 0) == 200 } $w, @w), 11,
       "USR2: all served");
    kill "QUIT", $old;
    is(rotations(), $before + 1, "USR2: by one refresh");
    none_twice("USR2");
    $_->close for $w, @w;
    $nginx->stop;
}

$up->oauth(do => "before=0,after=0");


# a disk of its own: full, read-only, and in order again

SKIP: {
    my $disk = "$dir/disk";
    mkdir $disk;

    skip "no mount here", 11
        if $> != 0 || system("mount -t tmpfs -o size=1m tmpfs $disk"
                             . " 2>/dev/null");

    $mounted = $disk;

    my $on_disk = login_account("disk");
    my $nginx = nginx(http($disk, $on_disk), workers => 1,
                      allow => [qr/cannot be stored/, qr/No space left/]);

    is($nginx->post("/v1/messages", message())->status, 200, "disk: serves");

    open my $filler, ">", "$disk/filler" or die;
    1 while print $filler "x" x 4096 and $filler->flush;
    close $filler;

    is($nginx->post("/v1/messages", message())->status, 200,
       "full disk: a valid token serves");

    my $before = rotations();
    $up->oauth(do => "revoke-access", chain => "disk");
    my $r = $nginx->post("/v1/messages", message());

    is(rotations(), $before, "full disk: no token is shown that could not be "
       . "followed by a stored one");
    isnt($r->status, 200, "full disk: a refused token serves nobody");
    like($nginx->error_log, qr/store: [^\n]*full/, "full disk: the log says so");

    unlink "$disk/filler";

    ok(until_true(sub { $nginx->post("/v1/messages", message())->status
                        == 200 }, 15), "room again: serves again");
    is(rotations(), $before + 1, "room again: by one refresh");

    none_twice("disk");

    # read-only from the start: there is no use in a store that keeps nothing

    $nginx->stop;
    system("mount -o remount,ro $disk 2>/dev/null");

    $nginx->{opt}{allow} = [qr/\[emerg\]/];
    $nginx->run($nginx->dir . "/stderr2");
    like(slurp($nginx->dir . "/stderr2"), qr/store: [^\n]*read-only/,
         "read-only: a start is refused");

    system("mount -o remount,rw $disk 2>/dev/null");
    $nginx = nginx(http($disk, $on_disk), workers => 1);
    is($nginx->post("/v1/messages", message())->status, 200,
       "writable again: serves");
    none_twice("disk");

    $nginx->stop;
    system("umount $disk") == 0 and undef $mounted;
}


# a clock that is wrong, and then set

SKIP: {
    my ($lib) = glob "/usr/lib/*/faketime/libfaketime.so.1";

    skip "no libfaketime", 6 if !$lib || asan();

    mkdir "$dir/clocks";
    my $clock = "$dir/clock";
    spew($clock, "+0\n");

    my $steady = login_account("steady");
    my $nginx = nginx(http("$dir/clocks", $steady), workers => 2,
                      main => join("", map { "env $_;\n" }
                                       qw/ FAKETIME_TIMESTAMP_FILE
                                           FAKETIME_CACHE_DURATION
                                           FAKETIME_DONT_FAKE_MONOTONIC
                                           FAKETIME_DONT_RESET /),
                      env => { LD_PRELOAD => $lib,
                               FAKETIME_TIMESTAMP_FILE => $clock,
                               FAKETIME_CACHE_DURATION => 1,
                               FAKETIME_DONT_FAKE_MONOTONIC => 1,
                               FAKETIME_DONT_RESET => 1 });

    is($nginx->post("/v1/messages", message())->status, 200, "clock: serves");

    my $before = rotations();
    spew($clock, "+2h\n");
    sleep 2.5;

    is($nginx->post("/v1/messages", message())->status, 200,
       "clock 2 hours on: serves");
    cmp_ok(rotations(), ">=", $before + 1, "clock 2 hours on: refreshed");
    cmp_ok(rotations(), "<=", $before + 2, "clock 2 hours on: not endlessly");

    spew($clock, "-6h\n");
    sleep 2.5;

    is($nginx->post("/v1/messages", message())->status, 200,
       "clock 8 hours back: serves");
    $up->oauth(do => "expire", chain => "steady");
    is($nginx->post("/v1/messages", message())->status, 200,
       "clock 8 hours back: a token that has ended is found out by its 401");
    none_twice("clock");
}

finish();
