#!/usr/bin/perl

# TLS to the upstream: who is trusted, by which name, and what is kept.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use File::Temp qw/ tempdir /;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $dir = tempdir("claude-relay-tls-XXXXXX", TMPDIR => 1, CLEANUP => 1);

sub openssl {
    my (@args) = @_;

    system("openssl @args > $dir/openssl.log 2>&1") == 0
        or die "openssl @args: " . slurp("$dir/openssl.log");
}

# two authorities, one of which is trusted

for my $ca ("ca", "other") {
    openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            "-keyout $dir/$ca.key -out $dir/$ca.pem -days 30",
            "-subj '/CN=Test $ca'");
}

sub certificate {
    my ($name, $ca, $san, @days) = @_;

    spew("$dir/$name.ext", "subjectAltName=$san\n");
    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
            "-keyout $dir/$name.key -out $dir/$name.csr -subj '/CN=$name'");

    if (@days) {
        mkdir "$dir/db-$name";
        spew("$dir/db-$name/index.txt", "");
        spew("$dir/db-$name/serial", "01\n");
        spew("$dir/$name.cnf", "[ca]\ndefault_ca=d\n[d]\n"
             . "database=$dir/db-$name/index.txt\nserial=$dir/db-$name/serial\n"
             . "new_certs_dir=$dir/db-$name\ndefault_md=sha256\npolicy=p\n"
             . "[p]\ncommonName=supplied\n");
        openssl("ca -batch -config $dir/$name.cnf -cert $dir/$ca.pem",
                "-keyfile $dir/$ca.key -in $dir/$name.csr",
                "-out $dir/$name.pem -extfile $dir/$name.ext",
                "-startdate $days[0] -enddate $days[1]");

    } else {
        openssl("x509 -req -in $dir/$name.csr -CA $dir/$ca.pem",
                "-CAkey $dir/$ca.key -CAcreateserial -days 30",
                "-out $dir/$name.pem -extfile $dir/$name.ext");
    }
}

certificate("good", "ca", "DNS:localhost,IP:127.0.0.1,IP:::1");
certificate("wrong", "ca", "DNS:api.example.com,IP:127.0.0.9");
certificate("untrusted", "other", "DNS:localhost,IP:127.0.0.1");
certificate("expired", "ca", "DNS:localhost,IP:127.0.0.1",
            "20200101000000Z", "20210101000000Z");


sub tls {
    my ($name, @more) = @_;

    return sandbox("-l", "127.0.0.1:0", "-p", "127.0.0.1:0", "-t",
                   "$dir/$name.pem", "-k", "$dir/$name.key", @more);
}

my $ipv6 = IO::Socket::INET->can("new") && eval {
    require IO::Socket::IP;
    IO::Socket::IP->new(LocalHost => "::1", Listen => 1);
};

my $plain = sandbox();
my %up = map { $_ => tls($_) } qw/ good wrong untrusted expired /;
my $six = $ipv6 ? tls("good", "-6") : undef;
my %port = map { $_ => $up{$_}->port } keys %up;

my $accounts = account("backup", "pool tls; priority 1;")
    . account("name", "pool name; base_url https://localhost:$port{good};")
    . account("name2", "pool name2; base_url https://localhost:$port{good};")
    . account("same1", "pool same1; api_key sk-ant-same-000001; "
              . "base_url https://localhost:$port{good};")
    . account("same2", "pool same2; api_key sk-ant-same-000001; "
              . "base_url https://localhost:$port{good};")
    . account("literal", "pool literal; base_url "
              . "https://127.0.0.1:$port{good};")
    . account("gone", "pool gone; base_url https://localhost:" . port(8) . ";")
    . ($six ? account("six", "pool six; base_url https://[::1]:"
                      . $six->port . ";") : "")
    . join "", map {
        account("$_-name", "pool tls-$_; priority 200; "
                . "base_url https://localhost:$port{$_};")
        . account("$_-ip", "pool ip-$_; base_url https://127.0.0.1:$port{$_};")
        . account("$_-other", "pool tls-$_; priority 1;")
    } qw/ wrong untrusted expired /;

my $locations = join "", map {
    "location /$_/ { claude_relay; claude_relay_pool $_; }\n"
} ("name", "name2", "same1", "same2", "literal", "gone", $six ? "six" : (),
   map { ("tls-$_", "ip-$_") } qw/ wrong untrusted expired /);

sub conf {
    my ($ssl) = @_;

    return <<"END";
claude_relay_zone relay:2m;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
claude_relay_rest server=50ms server_max=50ms;
$ssl
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

my $trust = "claude_relay_ssl_trusted_certificate $dir/ca.pem;";
my $nginx = nginx(conf($trust), workers => 1);


# who is trusted

for my $how ("name", "literal") {
    my $r = $nginx->post("/$how/v1/messages", message());

    is($r->status, 200, "$how: verified");

    my $last = $up{good}->last;

    ok($last->{tls}, "$how: it was TLS");
    is($last->{sni}, $how eq "name" ? "localhost" : undef,
       "$how: " . ($how eq "name" ? "SNI" : "no SNI for an address"))
        || diag(encode($last));
}

for my $bad ("wrong", "untrusted", "expired") {
    my $r = $nginx->post("/tls-$bad/v1/messages", message());

    is($r->status, 200, "F158 $bad certificate: another account");
    like($nginx->log->{attempts},
         qr/^$bad-name:0:tls:\d+,$bad-other:200:ok:\d+$/,
         "F158 $bad certificate: class tls");
    is(of("$bad-name")->{last_error}{class}, "tls",
       "$bad certificate: in health");

    my $s = $up{$bad}->stats;

    is($s->{requests}, 0, "$bad certificate: it got no request");

    $r = $nginx->post("/ip-$bad/v1/messages", message());
    is_error($r, 503, "api_error", "$bad certificate, by address: 503");
    is($up{$bad}->stats->{requests}, 0,
       "$bad certificate, by address: it got no request");
}

for (["wrong name", 'certificate does not match "localhost"'],
     ["expired", 'of "localhost" could not be verified: .*expired'],
     ["untrusted", 'of "localhost" could not be verified: .*(verify|issuer)'])
{
    ok($nginx->error_log =~ /$_->[1]/, "$_->[0]: said in the log");
}

{
    my $r = $nginx->post("/gone/v1/messages", message());

    is($r->status, 503, "refused before TLS: 503");
    like($nginx->log->{attempts}, qr/^gone:0:network:/,
         "refused before TLS: class network");
}


# connections are kept, sessions resumed

{
    $up{good}->reset;

    for (1 .. 20) {
        $nginx->post("/name2/v1/messages", $_ % 2 ? message() : stream());
    }

    my @asked = $up{good}->since;
    my %connections = map { $_->{connection} => 1 } @asked;

    is(scalar @asked, 20, "keepalive: 20 requests");
    is(scalar(keys %connections), 1, "keepalive: on one connection");

    # not kept, so there is a handshake each time, but a short one

    for (1 .. 6) {
        my $r = $nginx->post("/name2/v1/messages", message(),
                             "x-sandbox: early-close");
        is($r->status, 200, "connection closed by the upstream $_");
        sleep 0.03;
    }

    @asked = $up{good}->since;

    my $resumed = grep { $_->{resumed} } @asked;

    ok($resumed >= 4, "TLS sessions are resumed: $resumed of " . @asked);

    # a large body and a large answer over TLS

    my $body = message(text => "tls " x 500000 . "sandbox(json-size=3000000)");

    $body = message(text => "sandbox(json-size=3000000)" . "tls " x 500000);

    my $r = $nginx->post("/name2/v1/messages", $body);

    is($r->status, 200, "2 MB over TLS: status");
    is($up{good}->last->{body_sha256}, sha256($body),
       "2 MB over TLS: byte for byte");
    is(length $r->body, 3000000, "3 MB over TLS");

    my $w = exchange(port(), path => "/name2/v1/messages", stream => 1,
                     do => "events=20,delay=20");

    is(scalar deltas($w), 20, "a stream over TLS: all events");
    ok($w->{clean}, "a stream over TLS: a clean end");

    my @at = map { $_->[0] } deltas($w);

    is(scalar(grep { $at[$_] - $at[$_ - 1] < 0.005 } 1 .. $#at), 0,
       "a stream over TLS: one by one");

    for (["reset-at=3", "reset"], ["cut-at=3", "cut"]) {
        $w = exchange(port(), path => "/name2/v1/messages", stream => 1,
                      do => "events=9,delay=10,$_->[0]");
        like($w->{body}, qr/\nevent: error\n/, "a stream over TLS, $_->[1]: told");
    }

    # stale over TLS

    $up{good}->behave("sk-ant-name2-000001", "stale");

    for (1 .. 3) {
        my $r = $nginx->post("/name2/v1/messages", message());
        is($r->status, 200, "stale over TLS $_: status");
        like($nginx->log->{attempts}, qr/^name2:200:ok:\d+$/,
             "stale over TLS $_: one attempt");
    }

    # a client that leaves in the middle of a handshake or a stream

    $w = wire(port(), ask(path => "/name2/v1/messages", stream => 1,
                          do => "events=100,delay=30"));
    pause(0.2);
    $w->close;
    ok(until_true(sub { $up{good}->control("GET", "/sandbox/last")
                        ->[-1]{aborted} }, 1),
       "a client that leaves closes TLS");
}

{
    # the same address, the same credential: still two accounts

    $up{good}->reset;

    my %by;

    for my $n (1 .. 12) {
        my $pool = $n % 2 ? "same1" : "same2";
        $nginx->post("/$pool/v1/messages", message());
        my $last = $up{good}->last;
        $by{$last->{connection}}{$pool}++;
    }

    is_deeply([sort map { join ",", %$_ } values %by], ["same1,6", "same2,6"],
              "two accounts never share a connection");
}


# IPv6

SKIP: {
    skip "no ::1 here", 3 if !$six;

    my $r = $nginx->post("/six/v1/messages", message());

    is($r->status, 200, "IPv6: status");
    ok($six->last->{tls}, "IPv6: it was TLS");
    is(scalar $six->header("host"), "[::1]:" . $six->port, "IPv6: host");
}

$nginx->stop;


# verification off is said so

$nginx = nginx(conf("claude_relay_ssl_verify off;"), workers => 1);

for my $bad ("wrong", "untrusted", "expired") {
    my $r = $nginx->post("/tls-$bad/v1/messages", message());

    is($r->status, 200, "verify off, $bad: status");
    like($nginx->log->{attempts}, qr/^$bad-name:200:ok:\d+$/,
         "verify off, $bad: taken");
}

$nginx->stop;


# the system's bundle does not know our authority

SKIP: {
    skip "no bundle of certificates", 1
        if !-e "/etc/ssl/certs/ca-certificates.crt";

    $nginx = nginx(conf(""), workers => 1);
    $nginx->post("/name/v1/messages", message());
    like($nginx->log->{attempts}, qr/^name:0:tls:/,
         "verification is on by default");
    $nginx->stop;
}

# protocols

$nginx = nginx(conf("$trust claude_relay_ssl_protocols TLSv1.2;"),
               workers => 1);
is($nginx->post("/name/v1/messages", message())->status, 200, "TLS 1.2 only");

for (1 .. 3) {
    $nginx->post("/name/v1/messages", message(), "x-sandbox: early-close");
    sleep 0.03;
}

ok($up{good}->last->{resumed}, "TLS 1.2: sessions are resumed");


finish();


sub of {
    my ($name) = @_;

    my ($a) = grep { $_->{name} eq $name }
              map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    return $a;
}
