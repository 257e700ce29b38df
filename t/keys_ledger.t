#!/usr/bin/perl

# The ring and the ledger in trouble: a ledger that cannot be written, a ring
# that is full, files that are replaced; reloads, an upgrade, two nginx on one
# store.  What was acknowledged is in the ledger in the end, once.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $dir = tempdir("claude-relay-ledger-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $ledger = "$dir/db/relay.db-usage";
my $n = 0;


sub http {
    my (%o) = @_;

    my $zone = $o{zone} // "relay:4m";
    my $port = $o{port} // "%%PORT%%";

    return store($o{store} // $dir) . ($o{usage} // "") . "\n"
           . "claude_relay_zone $zone;\n"
           . "claude_relay_key alice { secret alice-secret-0001; }\n"
           . "claude_relay_control unix:%%DIR%%/control.sock;\n"
           . account("one")
           . "server { listen 127.0.0.1:$port;\n"
           . "location / { claude_relay; claude_relay_retry_wait 1s; }\n"
           . "location = /health { claude_relay_health full=on; } }\n";
}


sub sql {
    my ($sql) = @_;
    my $out = `sqlite3 -cmd '.timeout 5000' $ledger "$sql" 2>&1`;
    chomp $out;
    return $out;
}


sub rows {
    my ($nginx) = @_;
    my $r = $nginx->control("GET", "/v1/usage");
    return $r->status == 200 ? $r->json->{sums}[0]{requests} // 0
                             : "status " . $r->status;
}


# somebody holds the ledger

sub hold {
    my ($file) = @_;

    my $pid = open my $pipe, "|-", "sqlite3 -cmd '.timeout 5000' $file"
        or die "no sqlite3: $!\n";

    $pipe->autoflush(1);
    print $pipe "BEGIN IMMEDIATE;\n.shell touch $dir/held\n";

    wait_for(sub { -e "$dir/held" }, 10) or die "the ledger is not held\n";
    unlink "$dir/held";

    return $pipe;
}


sub give {
    my ($pipe) = @_;

    print $pipe "ROLLBACK;\n.quit\n";
    close $pipe;
}


sub status {
    my ($nginx) = @_;
    return $nginx->control("GET", "/v1/status")->json->{usage};
}


my $nginx = nginx(http(usage => "claude_relay_usage on ring=64k;"),
                  workers => 2, allow => [qr/usage: /]);

is($nginx->post("/v1/messages", message())->status, 200, "a message");
$n++;
is(rows($nginx), $n, "a row");

my $status = status($nginx);
is($status->{state}, "ok", "status: ok");
like($status->{path}, qr/relay\.db-usage$/, "status: where");
ok($status->{ring}{size} > 60000 && $status->{ring}{free} > 60000,
   "status: the ring");
is($nginx->health->{usage}{state}, "ok", "health: ok");


# the ledger cannot be written: the ring keeps what comes, and then nothing
# more is relayed

my $pipe = hold($ledger);
my ($served, $r) = (0);

for (1 .. 1000) {
    $r = $nginx->post("/v1/messages", message());
    last if $r->status != 200;
    $served++;
}

cmp_ok($served, ">", 50, "held: $served messages go on");
is_error($r, 503, "api_error", "held: then no more", qr/cannot be recorded/);
is($r->header("retry-after"), 5, "held: when to come again");

my $before = $up->requests;
is($nginx->post("/v1/messages", stream())->status, 503, "held: nor a stream");
is($up->requests, $before, "held: nothing was asked upstream");
is($nginx->get("/v1/models", "x-api-key: alice-secret-0001")->status, 200,
   "held: what costs nothing is served");
is($nginx->health->{usage}{state}, "full", "held: health says so");
is($nginx->request("GET", "/health", key => undef)->status, 200,
   "held: accounts could serve");
is($nginx->request("GET", "/health?ready", key => undef)->status, 503,
   "held: it is not ready");

$status = status($nginx);
is($status->{state}, "full", "held: status, too");
cmp_ok($status->{refused}, ">=", 2, "held: refusals are counted");
is($status->{lost}, 0, "held: nothing is lost");

give($pipe);
$n += $served;

ok(wait_for(sub { $nginx->health->{usage}{state} eq "ok" }, 20),
   "given back: it goes on");
is(rows($nginx), $n, "given back: all that was acknowledged is there");
is($nginx->post("/v1/messages", message())->status, 200,
   "given back: served again");
is(rows($nginx), ++$n, "given back: recorded again");


# the same, but records may be lost

$nginx->reload(http(usage => "claude_relay_usage on ring=64k full=drop;"));
wait_for(sub { $nginx->workers == 2 }, 10);

$pipe = hold($ledger);

my $dropping = 0;

for (1 .. 400) {
    $r = $nginx->post("/v1/messages", message());
    last if $r->status != 200;
    $dropping++;
}

is($dropping, 400, "drop: all are served");

$status = status($nginx);
my $lost = $status->{lost};
cmp_ok($lost, ">", 0, "drop: $lost are lost, and counted");
is($nginx->health->{usage}{lost}, $lost, "drop: health tells it");
give($pipe);

$n += $dropping - $lost;
ok(wait_for(sub { rows($nginx) eq $n }, 20), "drop: the others are there")
    or diag(rows($nginx) . " of $n");


# the ledger's disk is full

my $mount = "$dir/small";
mkdir $mount;

SKIP: {
    skip "no tmpfs of one's own", 8
        if system("mount -t tmpfs -o size=768k,mode=0777 none $mount 2>/dev/null");

    my ($ok) = eval { full($mount); 1 };
    diag($@) if $@;
    system("umount -l $mount");
    ok($ok, "disk full: to its end");
}


# it is deleted, and later replaced by something else

$nginx->reload(http());
is($nginx->post("/v1/messages", message())->status, 200, "before it goes");
$n++;
ok(wait_for(sub { rows($nginx) eq $n }, 10), "it is there");

unlink glob("$ledger*");
is($nginx->post("/v1/messages", message())->status, 200, "deleted: served");
ok(wait_for(sub { rows($nginx) eq 1 }, 10), "deleted: a new one has the row");
$n = 1;


# a reload, an old worker with a long stream, another ring, another zone

my $long = wire(port(), ask(stream => 1, do => "delay=100,events=30"));
pump(sub { length $long->{body} }, 5);

for my $conf (http(), http(usage => "claude_relay_usage on ring=128k;"),
              http(zone => "other:4m"))
{
    $nginx->reload($conf);

    ok(wait_for(sub { $nginx->post("/v1/messages", message())->status == 200 },
                10), "reload: served");
    $n++;
}

pump(sub { $long->{done} }, 20);
ok($long->{clean}, "reload: the long stream ends well");
$n++;

ok(wait_for(sub { rows($nginx) eq $n }, 20), "reload: all of them, once")
    or diag(rows($nginx) . " of $n");


# under load

{
    my @w = map { wire(port(), ask()) } 1 .. 8;
    my ($done, $reloads, $next) = (0, 0, time + 0.2);
    my $end = time + 3;

    pump(sub {
        for my $w (@w) {
            next if !$w->{done} || $w->{counted};
            $done++ if ($w->{status} // 0) == 200;
            $w->{counted} = 1;
            $w->close;
            $w = wire(port(), ask()) if time < $end;
        }

        if (time > $next && time < $end) {
            $nginx->signal("HUP");
            $reloads++;
            $next = time + 0.4;
        }

        return time > $end && !grep { !$_->{done} } @w;
    }, 20);

    $n += $done;

    ok(wait_for(sub { rows($nginx) eq $n }, 20),
       "$reloads reloads under load: $done messages, as many rows")
        or diag(rows($nginx) . " of $n");
}


# the binary is replaced: two masters, each with its ring

SKIP: {
    skip "one process under the sanitizers", 11 if asan();

    # a new binary, which nginx makes only as a daemon

    $nginx->stop;
    $nginx = ClaudeRelay::Nginx->new(http(), workers => 2,
                                     allow => [qr/usage: /]);
    $nginx->write;
    spew($nginx->file, slurp($nginx->file) =~ s/daemon off/daemon on/r);
    is($nginx->run($nginx->dir . "/stderr"), 0, "nginx as a daemon");
    push @ClaudeRelay::NGINXES, $nginx;
    wait_for(sub { $nginx->listens && -s $nginx->dir . "/nginx.pid" }, 10);

    my $old = $nginx->pid;
    $long = wire(port(), ask(stream => 1, do => "delay=100,events=30"));
    pump(sub { length $long->{body} }, 5);

    kill "USR2", $old;

    ok(wait_for(sub { my $now = $nginx->pid // $old;
                      return $now != $old && kill 0, $now }, 10),
       "USR2: a new master") or diag(substr $nginx->error_log, -1500);
    ok(wait_for(sub { (my @now = $nginx->workers) == 2 }, 10),
       "USR2: with workers");

    kill "QUIT", $old;

    for (1 .. 5) {
        is($nginx->post("/v1/messages", message())->status, 200,
           "USR2: served");
        $n++;
    }

    pump(sub { $long->{done} }, 20);
    ok($long->{clean}, "USR2: the old one's stream ends well");
    $n++;

    ok(wait_for(sub { waitpid($old, 1) == $old || !kill 0, $old }, 10),
       "USR2: the old one leaves");
    ok(wait_for(sub { rows($nginx) eq $n }, 20), "USR2: all of them, once")
        or diag(rows($nginx) . " of $n");
}


# another nginx with the same store

my $other = nginx(http(port => "%%PORT2%%", zone => "relay:4m"), workers => 2);

for (1 .. 20) {
    $n += $nginx->post("/v1/messages", message())->status == 200;
    $n += $other->request("POST", "/v1/messages", body => message(),
                          port => port(2))->status == 200;
}

ok(wait_for(sub { rows($nginx) eq $n }, 20), "two nginx: one ledger");
is(rows($other), $n, "two nginx: the same for both");


# one of them is killed, all of it, and the other one takes what it had

my @pids = ($other->pid, $other->workers);
$pipe = hold($ledger);
$n += $other->request("POST", "/v1/messages", body => message(),
                      port => port(2))->status == 200 for 1 .. 5;
kill "KILL", @pids;
wait_for(sub { !grep { ClaudeRelay::slurp("/proc/$_/stat") =~ /\) [^Z]/ }
               @pids }, 10);
give($pipe);

waitpid delete $other->{pid}, 0;
unlink $other->dir . "/nginx.pid";

ok(wait_for(sub { rows($nginx) eq $n }, 30),
   "a killed nginx: another one has its records")
    or diag(rows($nginx) . " of $n");
like($nginx->error_log, qr/usage: \d+ records were left by others/,
     "a killed nginx: it is told");

is(sql("SELECT count(*) FROM rows"), $n, "rows of the file");
is(sql("SELECT count(DISTINCT id) FROM rows"), $n, "none of them twice");
is(sql("PRAGMA integrity_check"), "ok", "a sound file");

finish();


sub full {
    my ($mount) = @_;

    my $small = nginx(http(store => $mount, port => "%%PORT3%%",
                           usage => "claude_relay_usage on ring=256k "
                                    . "file=$dir/ring;"),
                      workers => 2, allow => [qr/usage: |store: /]);
    my $send = sub {
        return $small->request("POST", "/v1/messages", body => message(),
                               port => port(3))->status;
    };

    is($send->(), 200, "disk full: before");
    my $count = 1;
    is(rows($small), $count, "disk full: recorded");
    ok(() = glob("$dir/ring.*"), "disk full: a ring beside it");

    # whatever is left

    open my $file, ">", "$mount/ballast" or die;
    binmode $file;
    1 while syswrite $file, "x" x 4096;
    close $file;

    my $status = 200;

    for (1 .. 2000) {
        $status = $send->();
        last if $status != 200;
        $count++;
    }

    is($status, 503, "disk full: until the ring is");
    like($small->error_log, qr/usage: ledger "[^"]*" cannot be written: the disk is full; the ring keeps it/,
         "disk full: it is told");
    is(status($small)->{lost}, 0, "disk full: nothing is lost");

    unlink "$mount/ballast";

    ok(wait_for(sub { rows($small) eq $count }, 20),
       "disk full: there is room again, and all $count are there")
        or diag(rows($small));
    is($send->(), 200, "disk full: served again");
    $small->stop;
}
