#!/usr/bin/perl

# Everything at once for some seconds: accounts that fail in all ways, over
# TLS and without, clients that leave at any time.  Then nothing may be left:
# no slot, no waiter, no descriptor, no memory.  Most of use under the
# sanitizers.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use File::Temp qw/ tempdir /;
use POSIX ();
use Test::More;
use Time::HiRes qw/ time sleep /;


my $seconds = $ENV{CR_STRESS} // 9;
my $dir = tempdir("claude-relay-stress-XXXXXX", TMPDIR => 1, CLEANUP => 1);

system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
       . "-keyout $dir/key -out $dir/cert -days 30 -subj /CN=localhost "
       . "-addext subjectAltName=DNS:localhost > $dir/log 2>&1") == 0
    or die slurp("$dir/log");

my $plain = sandbox();
my $tls = sandbox("-l", "127.0.0.1:0", "-p", "127.0.0.1:0", "-t", "$dir/cert",
                  "-k", "$dir/key");

my $https = "base_url https://localhost:" . $tls->port . ";";

my %bad = (
    a529 => "status=529", a500 => "status=500,close", a503 => "status=503,gzip",
    a429 => "status=429,nowindow,retry-after=1", a403 => "status=403,html",
    a401 => "status=401", rst => "rst-now", gone => "close-now",
    junk => "garbage", hang => "nothing", slow => "slow-header",
    first => "error-first=overloaded_error", stale => "stale",
    early => "early-close", cut => "cut-at=3", reset => "reset-at=2",
    end => "end-at=2", chunk => "bad-chunk", long => "header-forever",
    length => "negative-length", reject => "early,status=503",
);

my $accounts = "";

for my $name (sort keys %bad) {
    $accounts .= account($name)
                 . account("$name-tls", $https);
}

$accounts .= account("good$_", $_ % 2 ? $https : "") for 1 .. 6;
$accounts .= account("narrow", "max_concurrency 3;")
             . account("narrow-tls", "max_concurrency 3; $https")
             . account("dead", "base_url http://127.0.0.1:" . port(8) . ";")
             . account("deaf", "base_url https://localhost:" . $plain->port
                               . ";")
             . account("alone1", "pool tight; max_concurrency 2;")
             . account("alone2", "pool tight; max_concurrency 2; $https");

my $nginx = nginx(<<"END", workers => 2, level => "notice");
claude_relay_zone relay:1m;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
claude_relay_rest unauthorized=1 forbidden=1 edge=1 disabled=1 billing=1
                  limited=1 throttled=100ms overloaded=100ms
                  overloaded_max=200ms server=100ms server_max=200ms;
claude_relay_ssl_trusted_certificate $dir/cert;
claude_relay_keepalive 16 timeout=1s;
$accounts
server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT1%% http2;
    claude_relay_first_byte_timeout 300ms;
    claude_relay_connect_timeout 300ms;
    claude_relay_idle_timeout 500ms;
    claude_relay_tries 8 timeout=5s;
    claude_relay_retry_wait 300ms;
    claude_relay_heartbeat 50ms;
    claude_relay_policy round-robin;
    location = /health { claude_relay_health full=on; }
    location / { claude_relay; }
    location /tight/ { claude_relay; claude_relay_pool tight; }
}
END

my $port = port();

for my $name (keys %bad) {
    $plain->behave("sk-ant-$name-000001", $bad{$name});
    $tls->behave("sk-ant-$name-tls-000001", $bad{$name});
}

# warm, then measured

load(2);
settle();

# kept connections go

pause(1.5);

my @workers = $nginx->workers;
my %fds = map { $_ => fds($_) } @workers;
my %rss = map { $_ => rss($_) } @workers;
my %kinds;

load($seconds);

# HTTP/2 as well, killed in its midst

if (`which h2load`) {
    my $body = "$dir/body";

    spew($body, stream(text => "h2 sandbox(events=20,delay=10)"));

    for (1 .. 2) {
        my $pid = fork // die;

        if (!$pid) {
            open STDOUT, ">", "/dev/null";
            open STDERR, ">", "/dev/null";

            { exec "h2load", "-n", 400, "-c", 4, "-m", 16, "-d", $body, "-H",
                   "x-api-key: $ClaudeRelay::KEY",
                   "http://127.0.0.1:" . port(1) . "/v1/messages"; }

            POSIX::_exit(1);
        }

        sleep 0.8;
        kill "KILL", $pid;
        waitpid $pid, 0;
    }
}

ok(settle(), "no slot is kept, nobody waits") || diag(encode($nginx->health));

diag(join ", ", map { "$_ $kinds{$_}" } sort keys %kinds) if $ENV{CR_VERBOSE};

cmp_ok($kinds{200} // 0, ">", 50, "some were served: "
       . join(", ", map { "$_ $kinds{$_}" } sort keys %kinds));
cmp_ok($kinds{left} // 0, ">", 20, "some left");
is($kinds{bad} // 0, 0, "no stream that was broken looked whole");

is(join(",", $nginx->workers), join(",", @workers), "no worker has died");

for my $pid (@workers) {

    until_true(sub { fds($pid) <= $fds{$pid} + 4 }, 5);
    cmp_ok(fds($pid), "<=", $fds{$pid} + 4, "no descriptor is lost: "
           . fds($pid) . " after $fds{$pid}");

  SKIP: {
        skip "memory under the sanitizers", 1 if asan();
        cmp_ok(rss($pid) - $rss{$pid}, "<", 6 * 1024, "no memory is lost: "
               . (rss($pid) - $rss{$pid}) . " KB more");
    }
}

# all come back

ok(until_true(sub {
    my @w = map { wire($port, ask(path => "/tight/v1/messages",
                                  text => "t$_")) } 1 .. 12;
    pump(sub { !grep { !$_->{done} } @w }, 8);
    my $n = grep { ($_->{status} // 0) == 200 } @w;
    $_->close for @w;
    return $n == 12;
}, 5), "all slots are free");

for my $name (keys %bad) {
    $plain->behave("sk-ant-$name-000001", "");
    $tls->behave("sk-ant-$name-tls-000001", "");
}

sleep 1.3;

my $served = grep {
    exchange($port, text => "after $_")->{status} == 200
} 1 .. 60;

cmp_ok($served, ">=", 58, "everybody serves again: $served of 60");
ok(settle(), "at the end nothing is kept");


finish();


sub load {
    my ($seconds) = @_;

    my $end = time + $seconds;
    my @w;
    my $n = 0;

    my $new = sub {
        my $kind = int rand 10;
        my %o = (text => "stress " . ++$n, stream => $kind < 6);

        $o{do} = "events=" . int(rand 30) . ",delay=" . int(rand 8)
            if $kind < 3;
        $o{pad} = 20000 + int rand 200000 if $kind == 6;
        $o{session} = "session" . int rand 50 if $kind == 7;
        $o{path} = "/tight/v1/messages" if $kind == 8;
        $o{headers} = ["x-app: cli-bg"] if $kind == 9;
        $o{close} = 1 if rand() < 0.2;
        $o{body} = '{"model":' if rand() < 0.02;

        my $w = wire($port, ask(%o));

        $w->{streams} = $o{stream};
        $w->{leaves} = time + rand() ** 2 * 0.4 if rand() < 0.4;

        return $w;
    };

    push @w, $new->() for 1 .. 40;

    pump(sub {
        for my $w (@w) {
            if ($w->{done}) {
                $kinds{$w->{status} // "cut"}++;
                $kinds{bad}++
                    if $w->{streams} && ($w->{status} // 0) == 200
                       && $w->{clean}
                       && $w->{body} !~ /message_stop|\nevent: error\n/
                       && $w->{body} !~ /^event: error\n/;
                $w->close;

            } elsif ($w->{leaves} && time > $w->{leaves}) {
                $kinds{left}++;
                rand() < 0.5 ? $w->close : $w->abort;

            } else {
                next;
            }

            $w = $new->();
        }

        return time > $end;
    }, $seconds + 5);

    rand() < 0.5 ? $_->close : $_->abort for @w;
}


sub settle {
    return until_true(sub {
        my $health = $nginx->health;

        return $health->{waiting} == 0
               && !grep { $_->{in_flight} }
                  map { @{ $_->{accounts} } } @{ $health->{pools} };
    }, 5);
}
