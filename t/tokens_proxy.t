#!/usr/bin/perl

# Egress proxies, F102 and F103: tinyproxy, microsocks and danted in front of
# an upstream with TLS, and proxies of our own that misbehave.  F104: families
# of addresses.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Errno qw/ EAGAIN EINTR /;
use File::Temp qw/ tempdir /;
use IO::Select;
use IO::Socket::IP;
use POSIX ();
use Socket qw/ SOL_SOCKET SO_LINGER SHUT_WR /;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $test = $$;
my $dir = tempdir("claude-relay-proxy-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my @children;

END { if ($$ == $test) { my $rc = $?; end($_) for @children; $? = $rc; } }

my $patience = asan() ? 30 : 10;


# certificates

sub openssl {
    my (@args) = @_;

    system("openssl @args > $dir/openssl.log 2>&1") == 0
        or die "openssl @args: " . slurp("$dir/openssl.log");
}

sub certificate {
    my ($name, $san) = @_;

    spew("$dir/$name.ext", "subjectAltName=$san\n");
    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            "-keyout $dir/$name.key -out $dir/$name.csr -subj '/CN=$name'");
    openssl("x509 -req -in $dir/$name.csr -CA $dir/ca.pem",
            "-CAkey $dir/ca.key -CAcreateserial -days 30",
            "-out $dir/$name.pem -extfile $dir/$name.ext");
}

openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
        "-keyout $dir/ca.key -out $dir/ca.pem -days 30 -subj '/CN=Test ca'");
certificate("good", "DNS:localhost,DNS:api.invalid,IP:127.0.0.1,IP:::1");
certificate("wrong", "DNS:api.example.com");

sub tls {
    my ($name, @more) = @_;

    return sandbox("-l", "127.0.0.1:0", "-p", "127.0.0.1:0", "-t",
                   "$dir/$name.pem", "-k", "$dir/$name.key", @more);
}


# programs, each ended by its own pid

sub program {
    my ($name, $port, @command) = @_;

    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        alarm 0;
        setpgrp;
        open STDIN, "<", "/dev/null";
        open STDOUT, ">>", "$dir/$name.log";
        open STDERR, ">&", \*STDOUT;
        { exec { $command[0] } @command; }
        POSIX::_exit(127);
    }

    push @children, $pid;

    my $up = wait_for(sub {
        return -1 if waitpid($pid, POSIX::WNOHANG()) == $pid;
        return IO::Socket::IP->new(PeerHost => $command[0] =~ /micro/
                                   ? $command[2] : "127.0.0.1",
                                   PeerPort => $port) ? 1 : 0;
    }, $patience);

    return $pid if $up == 1;

    diag("$name does not run: " . slurp("$dir/$name.log"));

    return 0;
}

# danted has children, hence the group

sub end {
    my ($pid) = @_;

    kill "TERM", -$pid, $pid;

    for (1 .. 200) {
        return if waitpid($pid, POSIX::WNOHANG()) != 0;
        sleep 0.01;
    }

    kill "KILL", -$pid, $pid;
    waitpid $pid, 0;
}

sub which {
    my ($name) = @_;

    my ($path) = grep { -x } map { "$_/$name" } split(/:/, $ENV{PATH}),
                 qw{ /usr/bin /usr/sbin /usr/local/bin };

    return $path;
}


# proxies of our own: the code has the socket of one connection

sub fake {
    my ($code) = @_;

    my $listen = IO::Socket::IP->new(LocalHost => "127.0.0.1", Listen => 64)
        or die "fake: $!";
    my $pid = fork() // die "fork: $!";

    if ($pid == 0) {
        alarm 0;
        setpgrp;
        $SIG{CHLD} = "IGNORE";

        while (getppid() == $test) {
            next if !IO::Select->new($listen)->can_read(0.5);
            my $s = $listen->accept or next;

            next if fork();

            alarm 120;
            $code->($s);
            POSIX::_exit(0);
        }

        POSIX::_exit(0);
    }

    push @children, $pid;

    my $port = $listen->sockport;

    close $listen;

    return $port;
}

sub note_down {
    my ($name, $text) = @_;

    open my $out, ">>", "$dir/$name" or return;
    syswrite $out, "$text\n";
}

sub head {
    my ($s) = @_;

    my $head = "";

    1 while $head !~ /\r\n\r\n\z/ && sysread $s, $head, 1, length $head;

    return $head;
}

sub exactly {
    my ($s, $n) = @_;

    my $bytes = "";

    1 while length $bytes < $n
            && sysread $s, $bytes, $n - length $bytes, length $bytes;

    return $bytes;
}

sub gone {
    my ($s) = @_;

    1 while sysread $s, my $byte, 4096;
}

# whatever the name is that was asked for

sub join_to {
    my ($s, $port) = @_;

    my $to = IO::Socket::IP->new(PeerHost => "127.0.0.1", PeerPort => $port)
        or return;

    my %other = ($s => $to, $to => $s);
    my $select = IO::Select->new($s, $to);

    while (1) {
        for my $from ($select->can_read) {
            my $n = sysread $from, my $bytes, 65536;

            return if !$n;

            my $at = 0;

            while ($at < $n) {
                my $w = syswrite $other{$from}, $bytes, $n - $at, $at;
                return if !defined $w;
                $at += $w;
            }
        }
    }
}

sub dribble {
    my ($s, $bytes) = @_;

    for (split //, $bytes) {
        syswrite $s, $_;
        sleep 0.001;
    }
}


my $plain = sandbox();
my $good = tls("good");
my $wrong = tls("wrong");

my $has6 = IO::Socket::IP->new(LocalHost => "::1", Listen => 1) ? 1 : 0;
my $six = $has6 ? sandbox("-l", "[::1]:0", "-p", "127.0.0.1:0", "-t",
                          "$dir/good.pem", "-k", "$dir/good.key") : undef;

my ($to_good, $to_plain) = ($good->port, $plain->port);


# the real ones; passwords that must not be seen anywhere

my ($user, $secret, $bad) = ("egress", 'p%40ss-T0p', "wr0ng-T0p");
my $decoded = 'p@ss-T0p';
my %pid;

if (my $tinyproxy = which("tinyproxy")) {
    spew("$dir/tiny.conf", join "\n", "Port " . port(10), "Listen 127.0.0.1",
         "Allow 127.0.0.1", "BasicAuth $user secret-T0p", "MaxClients 100",
         "Timeout 60", "LogLevel Connect", "");
    $pid{tiny} = program("tiny", port(10), $tinyproxy, "-d", "-c",
                         "$dir/tiny.conf");
}

if (my $microsocks = which("microsocks")) {
    $pid{micro} = program("micro", port(11), $microsocks, "-i", "127.0.0.1",
                          "-p", port(11), "-u", $user, "-P", $decoded);
    $pid{mortal} = program("mortal", port(12), $microsocks, "-i", "127.0.0.1",
                           "-p", port(12));
    $pid{micro6} = program("micro6", port(13), $microsocks, "-i", "::1",
                           "-p", port(13)) if $has6;
}

# its passwords are those of the system: none to let in, one to refuse

if (my $danted = which("danted")) {
    for (["dante", 14, "none"], ["danteuser", 15, "username"]) {
        my ($name, $n, $method) = @$_;
        my $port = port($n);

        spew("$dir/$name.conf", <<"END");
logoutput: stderr
internal: 127.0.0.1 port = $port
external: lo
clientmethod: none
socksmethod: $method
user.privileged: root
user.unprivileged: nobody
client pass {
    from: 127.0.0.0/8 to: 0.0.0.0/0
}
socks pass {
    from: 127.0.0.0/8 to: 0.0.0.0/0
    protocol: tcp
    log: connect
}
END

        $pid{$name} = $> == 0 ? program($name, $port, $danted, "-f",
                                        "$dir/$name.conf") : 0;
    }

    diag("danted wants root for its users") if $> != 0;
}

for (qw/ tiny micro dante danteuser /) {
    diag("without $_: not installed, or it does not run here") if !$pid{$_};
}


# the others

my %fake = (
    connect => fake(sub {
        my ($s) = @_;
        note_down("connect", head($s));
        syswrite $s, "HTTP/1.1 200 OK\r\nVia: 1.1 x\r\n\r\n";
        join_to($s, $to_good);
    }),
    drip => fake(sub {
        my ($s) = @_;
        head($s);
        dribble($s, "HTTP/1.1 100 Continue\r\n\r\n"
                    . "HTTP/1.1 200 OK\r\nVia: 1.1 x\r\n\r\n");
        join_to($s, $to_good);
    }),
    plain => fake(sub {
        my ($s) = @_;
        note_down("plain", head($s));
        syswrite $s, "HTTP/1.0 200 OK\n\n";
        join_to($s, $to_plain);
    }),
    socks => fake(sub {
        my ($s) = @_;
        my $greeting = exactly($s, 3);
        dribble($s, "\5\0");
        my $request = exactly($s, 5);
        $request .= exactly($s, ord(substr $request, 4) + 2);
        note_down("socks", unpack "H*", $greeting . $request);
        dribble($s, "\5\0\0\3\4name\0\1");
        join_to($s, $to_good);
    }),
    page => fake(sub {
        syswrite $_[0], "<!DOCTYPE html><html><h1>It works</h1></html>\n";
        gone(@_);
    }),
    portal => fake(sub {
        head(@_);
        syswrite $_[0], "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
                        . "Content-Length: 13\r\n\r\n<html></html>";
        gone(@_);
    }),
    busy => fake(sub {
        head(@_);
        syswrite $_[0], "HTTP/1.1 503 Busy\r\nContent-Type: text/html\r\n\r\n"
                        . "<html></html>";
    }),
    forbid => fake(sub {
        head(@_);
        syswrite $_[0], "HTTP/1.1 403 Filtered\r\n\r\n";
    }),
    garbage => fake(sub {
        syswrite $_[0], join "", map { chr int rand 256 } 1 .. 5000;
        gone(@_);
    }),
    endless => fake(sub {
        head(@_);
        syswrite $_[0], "HTTP/1.1 200 OK\r\n";
        1 while syswrite $_[0], "X-Header: " . "x" x 100 . "\r\n";
    }),
    close => fake(sub { head(@_) }),
    reset => fake(sub {
        head(@_);
        setsockopt $_[0], SOL_SOCKET, SO_LINGER, pack("ii", 1, 0);
    }),
    half => fake(sub {
        head(@_);
        syswrite $_[0], "HTTP/1.1 200 O";
    }),
    silent => fake(sub {
        note_down("silent", "came");
        gone(@_);
        note_down("silent", "left");
    }),
    mute => fake(sub {
        head(@_);
        syswrite $_[0], "HTTP/1.1 200 OK\r\n\r\n";
        gone(@_);
    }),
    ssh => fake(sub { syswrite $_[0], "SSH-2.0-x\r\n"; gone(@_); }),
);


# name => [proxy, base_url]; a pool and a location each

my $url = "https://localhost:$to_good";

my %account = (
    tiny => ["http://$user:secret-T0p\@127.0.0.1:" . port(10), $url],
    micro => ["socks5://$user:$secret\@127.0.0.1:" . port(11), $url],
    dante => ["socks5h://127.0.0.1:" . port(14), $url],
    danteuser => ["socks5h://$user:$bad\@127.0.0.1:" . port(15), $url],
    mortal => ["socks5://127.0.0.1:" . port(12), $url],
    micro6 => ["socks5://[::1]:" . port(13), $url],
    tinyliteral => ["http://$user:secret-T0p\@127.0.0.1:" . port(10),
                    "https://127.0.0.1:$to_good"],
    tinyplain => ["http://$user:secret-T0p\@127.0.0.1:" . port(10),
                  "http://localhost:$to_plain"],
    tinywrong => ["http://$user:secret-T0p\@127.0.0.1:" . port(10),
                  "https://localhost:" . $wrong->port],
    microwrong => ["socks5://$user:$secret\@127.0.0.1:" . port(11),
                   "https://localhost:" . $wrong->port],
    micronowhere => ["socks5://$user:$secret\@127.0.0.1:" . port(11),
                     "https://localhost:" . port(8)],
    tinybad => ["http://$user:$bad\@127.0.0.1:" . port(10), $url],
    tinynone => ["http://127.0.0.1:" . port(10), $url],
    microbad => ["socks5://$user:$bad\@127.0.0.1:" . port(11), $url],
    micronone => ["socks5://127.0.0.1:" . port(11), $url],
    microhttp => ["http://127.0.0.1:" . port(11), $url],
    dead => ["http://127.0.0.1:" . port(9), $url],
    deadsocks => ["socks5://127.0.0.1:" . port(9), $url],
    invalid => ["http://127.0.0.1:$fake{connect}", "https://api.invalid"],
    invalidsocks => ["socks5://127.0.0.1:$fake{socks}",
                     "https://api.invalid"],
    drip => ["http://127.0.0.1:$fake{drip}", $url],
    plain => ["http://127.0.0.1:$fake{plain}", "http://api.invalid"],
    $has6 ? (tinysix => ["http://$user:secret-T0p\@127.0.0.1:" . port(10),
                         "https://[::1]:" . $six->port],
             microsix => ["socks5://$user:$secret\@127.0.0.1:" . port(11),
                          "https://[::1]:" . $six->port]) : (),
    map({ ($_ => ["http://127.0.0.1:$fake{$_}", $url]) }
        qw/ page portal busy forbid garbage endless close reset half silent
            mute ssh /),
    map({ ("socks$_" => ["socks5://127.0.0.1:$fake{$_}", $url]) }
        qw/ page garbage close silent ssh /),
);

$fake{slow} = $fake{silent};

my $accounts = join "", map {
    my ($proxy, $base) = @{ $account{$_} };
    account($_, "pool $_; base_url $base; proxy $proxy;")
} sort keys %account;

# others to fall back on, through a proxy as well; and two with one proxy

$accounts .= account("saves$_", "pool fall$_; base_url $url; priority 1; "
                     . "proxy http://127.0.0.1:$fake{connect};")
             . account("falls$_", "pool fall$_; base_url $url; "
                       . "proxy $account{$_}[0];")
    for qw/ tinybad microbad dead page /;

$accounts .= account("same$_", "pool same$_; base_url $url; "
                     . "api_key sk-ant-same-000001; "
                     . "proxy http://127.0.0.1:$fake{connect};")
    for 1, 2;

$accounts .= account("patient", "pool patient; base_url $url; "
                     . "proxy http://127.0.0.1:$fake{silent};");

my $locations = join "", map {
    "location /$_/ { claude_relay; claude_relay_pool $_; }\n"
} sort(keys %account), map({ "fall$_" } qw/ tinybad microbad dead page /),
  "same1", "same2";

sub conf {
    my ($accounts, $locations, $more) = @_;

    $more //= "";

    return <<"END";
claude_relay_zone relay:2m;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
claude_relay_rest server=50ms server_max=50ms;
claude_relay_ssl_trusted_certificate $dir/ca.pem;
claude_relay_connect_timeout 20s;
$more
$accounts
server {
    listen 127.0.0.1:%%PORT%%;
    claude_relay_sticky off;
    claude_relay_retry_wait 0;
    location = /health { claude_relay_health full=on; }
    $locations
}
END
}

my $nginx = nginx(conf($accounts, $locations . <<"END"), workers => 1);
    location /slow/ {
        claude_relay;
        claude_relay_pool silent;
        claude_relay_connect_timeout 1s;
    }
    location /slowsocks/ {
        claude_relay;
        claude_relay_pool sockssilent;
        claude_relay_connect_timeout 1s;
    }
    location /slowmute/ {
        claude_relay;
        claude_relay_pool mute;
        claude_relay_connect_timeout 1s;
    }
    location /patient/ {
        claude_relay;
        claude_relay_pool patient;
        claude_relay_connect_timeout 100s;
    }
END

unlike($nginx->error_log, qr/host not found|could not be resolved/,
       "names of targets are not looked up at start");


sub post {
    my ($where, @more) = @_;

    return $nginx->post("/$where/v1/messages", @more ? @more : message());
}

# it failed as a failure of the network, and nothing came to the upstream

sub fails {
    my ($where, $said, $what, $class) = @_;

    my $account = $where =~ s/^slow(.*)/ $1 eq "mute" ? $1 : $1 . "silent"/er;

    $class //= "network";
    $_->reset for $good, $wrong, $plain;

    my $r = post($where);

    is_error($r, 503, "api_error", "F103 $what: 503");
    like($nginx->log->{attempts}, qr/^$account:0:$class:\d+$/,
         "F103 $what: class $class");

    if ($said) {
        my $line = qr/account "$account": [^\n]* through proxy [^\n]*$said/;
        ok($nginx->wait_error($line), "$what: said in the log")
            || diag($nginx->error_log =~ /.*(account "$account".*)/);
    }

    my @asked = map { $_->stats->{requests} } $good, $wrong, $plain;

    is("@asked", "0 0 0", "F103 $what: nobody was asked");

    return $r;
}


# through the real ones

for (["tiny", "tiny", "tinyproxy"], ["micro", "micro", "microsocks"],
     ["dante", "dante", "danted"])
{
    my ($name, $program, $title) = @$_;

    SKIP: {
        skip "no $title here", 16 if !$pid{$program};

        $good->reset;

        my $r = post($name);

        is($r->status, 200, "F102 $title: status");
        is($r->json->{type}, "message", "F102 $title: answer");
        is($nginx->log->{attempts} =~ s/:\d+$//r, "$name:200:ok",
           "F102 $title: attempts");

        my $last = $good->last;

        ok($last->{tls}, "F102 $title: TLS inside of the tunnel");
        is($last->{sni}, "localhost", "F102 $title: SNI of the target");
        is($last->{credential}, "sk-ant-$name-000001",
           "F102 $title: the account's credential");
        is($last->{body_sha256}, sha256(message()), "$title: the body");
        ok(!(grep { /^proxy-/i } @{ $last->{headers} }),
           "$title: the upstream sees nothing of the proxy");

        # danted logs what it made of the name

        my $noted = $name eq "dante" ? qr/tcp\/connect/ : qr/localhost/;

        ok(wait_for(sub { slurp("$dir/$program.log") =~ $noted }, 5),
           "$title: it was asked, for the name")
            || diag(slurp("$dir/$program.log"));

        # steady state: many requests, one connection

        post($name, $_ % 3 ? message() : stream()) for 1 .. 30;

        my @asked = $good->last(31);
        my %connections = map { $_->{connection} => 1 } @asked;

        is(scalar @asked, 31, "$title: 31 requests");
        is(scalar(keys %connections), 1, "$title: in one tunnel");
        is($good->stats->{tls_handshakes}, 1, "$title: with one handshake");

        # a stream, events as they come; a large body, a large answer

        my $w = exchange(port(), path => "/$name/v1/messages", stream => 1,
                         do => "events=20,delay=20");
        my @deltas = deltas($w);

        is(scalar @deltas, 20, "$title: a stream");
        ok($w->{clean} && $deltas[-1][0] - $deltas[0][0] > 0.1,
           "$title: its events are not held back");

        my $body = message(text => "sandbox(json-size=3000000)"
                                   . "tls " x 500000);

        $r = post($name, $body);

        is($good->last->{body_sha256}, sha256($body),
           "$title: 2 MB byte for byte");
        is(length $r->body, 3000000, "$title: 3 MB back");
    }
}

SKIP: {
    skip "no tinyproxy here", 17 if !$pid{tiny};

    is(post("tinyliteral")->status, 200, "tinyproxy: an address");
    is($good->last->{sni}, undef, "tinyproxy: an address has no SNI");

    is(post("tinyplain")->status, 200, "tinyproxy: without TLS");
    is($plain->last->{credential}, "sk-ant-tinyplain-000001",
       "tinyproxy: without TLS, through CONNECT");

    fails("tinybad", "credentials \\(40[17]\\)", "tinyproxy, wrong password");
    fails("tinynone", "credentials \\(40[17]\\)", "tinyproxy, no password");
    fails("tinywrong", "", "certificate through tinyproxy", "tls");
    like($nginx->error_log, qr/certificate does not match "localhost"/,
         "certificate through tinyproxy: said in the log");
}

SKIP: {
    skip "no microsocks here", 19 if !$pid{micro};

    fails("microbad", "proxy (refused the credentials|closed the connection,"
          . " having seen the credentials)", "microsocks, wrong password");
    fails("micronone", "proxy (wants credentials|closed)",
          "microsocks, no password");
    fails("microhttp", "proxy (did not speak HTTP|closed|broke)",
          "microsocks, taken for HTTP");
    fails("microwrong", "", "certificate through microsocks", "tls");
    fails("micronowhere", "proxy could not reach the target",
          "microsocks, nobody there");
}

SKIP: {
    skip "no danted here", 4 if !$pid{danteuser};

    fails("danteuser", "proxy (refused the credentials|closed)",
          "danted, wrong password");
}

SKIP: {
    skip "no ::1 here", 6 if !$has6;

    SKIP: {
        skip "no tinyproxy here", 2 if !$pid{tiny};
        is(post("tinysix")->status, 200, "tinyproxy: IPv6");
        ok($six->last->{tls}, "tinyproxy: IPv6, TLS");
    }

    SKIP: {
        skip "no microsocks here", 4 if !$pid{micro6};
        is(post("microsix")->status, 200, "microsocks: IPv6");
        ok($six->last->{tls}, "microsocks: IPv6, TLS");
        is(post("micro6")->status, 200, "microsocks at an IPv6 address");
        is($good->last->{sni}, "localhost", "microsocks at an IPv6 address");
    }
}


# another account takes over

for my $name (qw/ tinybad microbad dead page /) {
    SKIP: {
        skip "no such proxy here", 2
            if $name =~ /^(tiny|micro)/ && !$pid{$1};

        is(post("fall$name")->status, 200, "F102 $name: another account");
        like($nginx->log->{attempts},
             qr/^falls$name:0:network:\d+,saves$name:200:ok:\d+$/,
             "F102 $name: attempts");
    }
}

{
    my ($a) = grep { $_->{name} eq "fallsdead" }
              map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    is($a->{last_error}{class}, "network", "dead proxy: in health");
}


# names that only the proxy knows

{
    $good->reset;

    for my $name (qw/ invalid invalidsocks /) {
        is(post($name)->status, 200, "F102 $name: status");
        is($good->last->{sni}, "api.invalid", "F102 $name: SNI");
        is(scalar $good->header("host"), "api.invalid", "F102 $name: host");
    }

    like(slurp("$dir/connect"), qr/^CONNECT api\.invalid:443 HTTP\/1\.1\r$/m,
         "CONNECT: it is asked for the name");
    is(slurp("$dir/socks"), "050100" . "0501000" . "30b"
       . unpack("H*", "api.invalid") . "01bb\n",
       "SOCKS5: it is asked for the name");

    is(post("drip")->status, 200, "an answer that comes byte by byte");
    is(post("plain")->status, 200, "CONNECT without TLS inside");
    is($plain->last->{credential}, "sk-ant-plain-000001",
       "CONNECT without TLS inside: credential");
    like(slurp("$dir/plain"), qr/^CONNECT api\.invalid:80 /,
         "CONNECT without TLS inside: the name");
    unlike(slurp("$dir/plain"), qr/sk-ant|Proxy-Auth/,
           "CONNECT without TLS inside: no credential in the handshake");
}


# proxies that are none

fails("dead", "failed while connecting to the proxy", "dead proxy");
fails("deadsocks", "failed while connecting to the proxy", "dead SOCKS5 proxy");
fails("page", "proxy did not speak HTTP", "a page");
fails("portal", "answered with an HTML page", "a page with 200");
fails("busy", "proxy could not reach the target \\(503\\)", "a page with 503");
fails("forbid", "proxy forbids the target \\(403\\)", "403");
fails("garbage", "proxy did not speak HTTP", "garbage");
fails("endless", "proxy's answer is too long", "a header without end");
fails("close", "proxy closed the connection instead of answering",
      "a proxy that closes");
fails("reset", "proxy (closed|broke) the connection", "a proxy that resets");
fails("half", "proxy closed the connection in its answer", "half an answer");
fails("ssh", "proxy did not speak HTTP", "another protocol");
fails("sockspage", "proxy did not speak SOCKS5", "a page for SOCKS5");
fails("socksgarbage", "proxy did not speak SOCKS5|closed",
      "garbage for SOCKS5");
fails("socksssh", "proxy did not speak SOCKS5", "another protocol for SOCKS5");

{
    my $start = time;

    fails("slow", "timed out during the proxy's handshake",
          "a silent proxy");
    fails("slowsocks", "timed out during the proxy's handshake",
          "a silent SOCKS5 proxy");
    fails("slowmute", "timed out during the TLS handshake",
          "silence after the tunnel", "tls");

    my $took = time - $start;

    ok($took >= 2.9 && $took < 18, "one deadline for all of it: $took s");
}


# a proxy that dies: fail closed

SKIP: {
    skip "no microsocks here", 6 if !$pid{mortal};

    is(post("mortal")->status, 200, "F103 a proxy lives");
    is(post("mortal")->status, 200, "F103 a kept tunnel");

    end($pid{mortal});

    fails("mortal", "failed while connecting to the proxy",
          "a proxy that is gone");
}


# two accounts, one proxy, one credential: still two connections

{
    $good->reset;

    my %by;

    for my $n (1 .. 12) {
        my $pool = $n % 2 ? "same1" : "same2";
        is(post($pool)->status, 200, "two accounts with one proxy, $n");
        $by{$good->last->{connection}}{$pool}++;
    }

    is_deeply([sort map { join ",", %$_ } values %by], ["same1,6", "same2,6"],
              "two accounts never share a tunnel");
}


# a client that leaves in the middle of the handshake

{
    unlink "$dir/silent";

    my $w = wire(port(), ask(path => "/patient/v1/messages"));

    pump(sub { slurp("$dir/silent") =~ /came/ }, $patience);
    like(slurp("$dir/silent"), qr/^came\n$/, "a handshake that hangs");

    $w->close;

    ok(wait_for(sub { slurp("$dir/silent") =~ /left/ }, $patience),
       "a client that leaves ends it");
    ok(wait_for(sub { grep { $_->{status} == 499 } $nginx->log(1) },
                $patience), "it is logged as 499");
    is(post("same1")->status, 200, "the worker goes on");
}


# secrets

for my $password ("secret-T0p", $secret, $decoded, $bad) {
    unlike($nginx->error_log . $nginx->access_log, qr/\Q$password\E/,
           "no password in a log");
    unlike(encode($nginx->health), qr/\Q$password\E/, "none in health");
}

$nginx->stop;


# what is written

for (["proxy https://u:$bad\@h:1;", qr/"one": TLS to the proxy itself/],
     ["proxy socks4://u:$bad\@h;", qr/"one": proxy URL is none of/],
     ["proxy h:3128;", qr/"one": proxy URL is none of/],
     ["proxy http://u:$bad\@h:x;", qr/"one": invalid port/],
     ["proxy http://u:$bad\@h/path;", qr/"one": proxy URL has a path/],
     ["proxy http://u:%zz$bad\@h;", qr/"one": invalid % in proxy URL/],
     ["proxy http://u:%0a$bad\@h;", qr/"one": control character/],
     ["proxy socks5://:$bad\@h;", qr/"one": no user/],
     ["proxy \"http://u:$bad\@h x\";", qr/"one" has a secret with blanks/],
     ["proxy \"\";", qr/"one" has no usable secret/],
     ["proxy;", qr/invalid number of arguments in "proxy"/],
     ["proxy off off;", qr/invalid number of arguments in "proxy"/],
     ["proxy off; proxy http://u:$bad\@h;", qr/"one" is duplicate/],
     ["proxy env:CR_NOT_SET;", qr/"CR_NOT_SET" is not set/],
     ["proxy file:$dir/nowhere;", qr/nowhere" failed/])
{
    my ($text, $said) = @$_;
    my ($ok, $log) = config(relay_http(account => $text));

    ok(!$ok, "refused: " . $text =~ s/\Q$bad\E/.../r);
    like($log, $said, "refused: it is said why");
    unlike($log, qr/\Q$bad\E/, "refused: and nothing else");
}

for (["claude_relay_proxy https://u:$bad\@h;", qr/TLS to the proxy itself/],
     ["claude_relay_proxy u:$bad\@h;", qr/proxy URL is none of/],
     ["claude_relay_proxy off; claude_relay_proxy http://u:$bad\@h;",
      qr/"claude_relay_proxy" directive is duplicate/],
     ["claude_relay_proxy;", qr/invalid number of arguments/],
     ["claude_relay_address_family ipv5;", qr/invalid value "ipv5"/],
     ["claude_relay_address_family any; claude_relay_address_family ipv4;",
      qr/is duplicate/])
{
    my ($text, $said) = @$_;
    my ($ok, $log) = config(relay_http(http => $text));

    ok(!$ok, "refused: " . $text =~ s/\Q$bad\E/.../gr);
    like($log, $said, "refused: it is said why");
    unlike($log, qr/\Q$bad\E/, "refused: and nothing else");
}

{
    my ($ok, $log) = config(relay_http(account =>
                                       "proxy http://u:$bad\@no.invalid:1;"),
                            env => { RES_OPTIONS => "timeout:1 attempts:1" });

    ok($ok, "a proxy that is not known at start is a warning");
    like($log, qr/host not found in proxy "no\.invalid:1" of account "one"/,
         "a proxy that is not known at start: it is said");
    unlike($log, qr/\Q$bad\E/, "a proxy that is not known: no password");
}


# defaults, families of addresses; a name server knows some names

my $dns = IO::Socket::IP->new(Type => Socket::SOCK_DGRAM(), LocalHost =>
                              "127.0.0.1", LocalPort => 0) or die "udp: $!";
my $dns_port = $dns->sockport;
my $dns_pid = fork() // die "fork: $!";

if ($dns_pid == 0) {
    alarm 0;
    setpgrp;
    answer() while getppid() == $test;
    POSIX::_exit(0);
}

push @children, $dns_pid;

sub answer {
    return if !IO::Select->new($dns)->can_read(0.5);

    my $peer = $dns->recv(my $q, 512) // return;
    my ($id, $flags) = unpack "nn", $q;
    my ($name, $at) = ("", 12);

    while ((my $len = ord substr $q, $at, 1) > 0) {
        $name .= ($name eq "" ? "" : ".") . substr $q, $at + 1, $len;
        $at += 1 + $len;
    }

    my $question = substr $q, 12, $at + 5 - 12;
    my $type = unpack "n", substr $q, $at + 1, 2;

    note_down("dns", $name);

    my %a = (
        1 => pack("nnnNn", 0xc00c, 1, 1, 1, 4) . "\x7f\0\0\1",
        28 => pack("nnnNn", 0xc00c, 28, 1, 1, 16) . "\0" x 15 . "\1",
    );
    my $known = $name =~ /^(both|proxy)\.test$/ && $a{$type} ? 1 : 0;
    my $rcode = $name =~ /^(both|proxy)\.test$/ ? 0 : 3;

    $dns->send(pack("nnnnnn", $id, 0x8180 | $rcode, 1, $known, 0, 0)
               . $question . ($known ? $a{$type} : ""), 0, $peer);
}

spew("$dir/url", "http://127.0.0.1:$fake{connect}\n");

my %mixed = (
    default => "base_url https://api.invalid;",
    own => "base_url https://api.invalid; "
           . "proxy socks5://127.0.0.1:$fake{socks};",
    off => "base_url $url; proxy off;",
    file => "base_url https://api.invalid; proxy file:$dir/url;",
    env => "base_url https://api.invalid; proxy env:CR_PROXY;",
    named => "base_url https://api.invalid; "
             . "proxy http://proxy.test:$fake{connect};",
    resolved => "base_url http://both.test:$to_plain; proxy off;",
    four => "base_url http://127.0.0.1:$to_plain; proxy off;",
    $has6 ? (six => "base_url https://[::1]:" . $six->port . "; proxy off;",
             sixproxy => "base_url https://api.invalid; "
                         . "proxy socks5://[::1]:" . port(13) . ";") : (),
);

sub mixed {
    my ($more) = @_;

    return nginx(conf(join("", map { account($_, "pool $_; $mixed{$_}") }
                               sort keys %mixed),
                      join("", map { "location /$_/ { claude_relay; "
                                     . "claude_relay_pool $_; }\n" }
                               sort keys %mixed),
                      "resolver 127.0.0.1:$dns_port; "
                      . "claude_relay_keepalive 0; $more"),
                 workers => 1, env => {
                     RES_OPTIONS => "timeout:1 attempts:1",
                     CR_PROXY => "http://127.0.0.1:$fake{connect}" });
}

$nginx = mixed("claude_relay_proxy http://127.0.0.1:" . port(9) . ";");

fails("default", "failed while connecting to the proxy",
      "the proxy of all is dead");

for my $name (qw/ own file env named /) {
    is(post($name)->status, 200, "F102 $name: its own proxy");
    is($good->last->{sni}, "api.invalid", "F102 $name: SNI");
}

is(post("off")->status, 200, "F102 proxy off: directly");
is($good->last->{sni}, "localhost", "F102 proxy off: SNI");
like(slurp("$dir/dns"), qr/^proxy\.test$/m, "a resolver is asked for a proxy");
unlike(slurp("$dir/dns"), qr/invalid/, "and never for what is behind one");

$nginx->stop;

$nginx = mixed("claude_relay_proxy socks5://127.0.0.1:$fake{socks};"
               . "claude_relay_address_family ipv4;");

is(post("default")->status, 200, "F102 the proxy of all");
is($good->last->{sni}, "api.invalid", "F102 the proxy of all: SNI");
is(post("resolved")->status, 200, "F104 ipv4: $_") for 1 .. 4;
unlike($nginx->error_log, qr/connect\(\)/, "F104 ipv4: nothing else is tried");

SKIP: {
    skip "no ::1 here", 4 if !$has6;

    $six->reset;

    is(post("six")->status, 503, "F104 ipv4: not to ::1");
    like($nginx->error_log, qr/no IPv4 address of "::1" known/,
         "F104 ipv4: said in the log");
    is(post("sixproxy")->status, 503, "F104 ipv4: not to a proxy at ::1");
    is($six->stats->{requests}, 0, "F104 ipv4: nobody was asked");
}

$nginx->stop;

$nginx = mixed("claude_relay_proxy off; claude_relay_address_family ipv6;");

$plain->reset;

is(post("four")->status, 503, "F104 ipv6: not to 127.0.0.1");
like($nginx->error_log, qr/no IPv6 address of "127\.0\.0\.1" known/,
     "F104 ipv6: said in the log");
is(post("resolved")->status, 503, "F104 ipv6: not to an A record") for 1 .. 2;
is($plain->stats->{requests}, 0, "F104 ipv6: nobody was asked");

SKIP: {
    skip "no ::1 here", 1 if !$has6;
    is(post("six")->status, 200, "F104 ipv6: to ::1");
}

finish();
