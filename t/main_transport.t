#!/usr/bin/perl

# N10: HTTP/2, TLS and IPv6 in front; TLS and IPv6 behind.

use warnings;
use strict;

use File::Temp qw/ tempdir /;
use IO::Socket::IP;
use IO::Socket::SSL;
use Test::More;

use ClaudeRelay;


my $dir = tempdir(CLEANUP => 1);


# a CA, and certificates of its own making

sub openssl {
    my ($arguments) = @_;

    return system("cd $dir && openssl $arguments >> log 2>&1") == 0
           || diag(slurp("$dir/log"));
}

sub certificate {
    my ($name, $names, $days) = @_;

    spew("$dir/$name.ext", "subjectAltName=$names\n");
    openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
            . " -keyout $name.key -out $name.csr -subj /CN=$name");
    openssl("x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial"
            . " -days $days -extfile $name.ext -out $name.pem");
    spew("$dir/$name.both", slurp("$dir/$name.pem") . slurp("$dir/$name.key"));
}

openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30"
        . " -keyout ca.key -out ca.pem -subj /CN=ca"
        . " -addext basicConstraints=critical,CA:true");
certificate("good", "DNS:localhost,IP:127.0.0.1", 30);
certificate("named", "DNS:localhost", 30);
certificate("other", "DNS:other.example", 30);
certificate("ended", "DNS:localhost", 0);

my $up = sandbox();

my $has6 = IO::Socket::IP->new(LocalHost => "::1", Listen => 1) ? 1 : 0;

my ($good, $named, $other, $ended)
    = map { sandbox("-l", "127.0.0.1:0", "-t", "$dir/$_.both",
                    "-p", "127.0.0.1:0") } qw/ good named other ended /;

my $sandbox6 = $has6 ? sandbox("-l", "[::1]:0", "-p", "127.0.0.1:0") : $up;

my $accounts = account("one");

for (["good", "https://localhost:" . $good->port],
     ["address", "https://127.0.0.1:" . $good->port],
     ["named", "https://localhost:" . $named->port],
     ["not-named", "https://127.0.0.1:" . $named->port],
     ["other", "https://localhost:" . $other->port],
     ["ended", "https://localhost:" . $ended->port],
     ["plain", "https://127.0.0.1:" . $up->port],
     ["mixed", "http://127.0.0.1:" . $good->port],
     ["six", "http://[::1]:" . $sandbox6->port])
{
    my ($name, $url) = @$_;

    $accounts .= account($name, "pool $name; base_url $url;");
}

my @pools = $accounts =~ /pool (\S+);/g;
my $locations = join "\n", map { "location /$_/ { claude_relay;"
                                 . " claude_relay_pool $_; }" } @pools;

my %common = (
    accounts => $accounts,
    server => <<"END",
        listen 127.0.0.1:%%PORT1%% http2;
        listen 127.0.0.1:%%PORT2%% ssl http2;
        @{[ $has6 ? 'listen [::1]:%%PORT3%%;' : '' ]}
        ssl_certificate $dir/good.pem;
        ssl_certificate_key $dir/good.key;
        claude_relay_tries 1;
        claude_relay_connect_timeout 1s;
        claude_relay_retry_wait 0;
        $locations
END
);

my $nginx = relay(%common, http => <<"END");
    claude_relay_ssl_trusted_certificate $dir/ca.pem;
    claude_relay_keepalive 0;
    claude_relay_rest server=0;
END

my $r;


# 1. HTTP/2 in front, by curl

sub curl {
    my ($uri, $body, @arguments) = @_;

    my $port = port(grep({ $_ eq "-k" } @arguments) ? 2 : 1);
    my $scheme = $port == port(2) ? "https" : "http";

    spew("$dir/body", $body);

    my @command = ("curl", "-sS", "--max-time", 20, "-o", "$dir/out",
                   "-D", "$dir/head", "--http2-prior-knowledge",
                   "-H", "x-api-key: $ClaudeRelay::KEY", @arguments);

    push @command, "--data-binary", "\@$dir/body", "-H",
                   "Content-Type: application/json"
        if length $body && !grep { $_ eq "-T" } @arguments;

    system(@command, "$scheme://127.0.0.1:$port$uri") == 0
        or diag("curl: $?");

    my ($status) = slurp("$dir/head") =~ m{^HTTP/2 (\d+)};

    return ($status // 0, slurp("$dir/out"), slurp("$dir/head"));
}

my ($status, $answer, $head);

for my $size (10, 70_000, 1_500_000) {
    my $body = message(text => "a\n" x ($size / 2));

    ($status, $answer) = curl("/v1/messages?beta=true", $body);
    is($status, 200, "N10: HTTP/2: $size bytes: status");
    is(json($answer)->{type}, "message", "N10: HTTP/2: $size bytes: answer");
    is($up->last->{body_sha256}, sha256($body), "N10: HTTP/2: $size bytes: body");
    is($up->last->{target}, "/v1/messages?beta=true", "N10: HTTP/2: path");
}

my $body = message(text => "another");

($status, $answer, $head) = curl("/v1/messages", stream(text =>
                                 "sandbox(events=50,extra-header=X-Up:Per)"),
                                 "-H", "X-MiXed: a", "-H", "Cookie: a=b",
                                 "-H", "Cookie: c=d", "-H", "TE: trailers");
is(scalar(() = $answer =~ /^event: content_block_delta/mg), 50,
   "N10: HTTP/2: a stream");
like($answer, qr/message_stop/, "N10: HTTP/2: to its end");
like($head, qr/^x-up: Per\r$/m, "N10: HTTP/2: a header of the upstream");
is_deeply([$up->header("x-mixed")], ["a"], "N10: HTTP/2: a header of the client");
is($up->header("cookie"), undef, "N10: HTTP/2: no cookies");
is($up->header("te"), undef, "N10: HTTP/2: no TE");
is_deeply([$up->header("host")], [$up->addr], "N10: HTTP/2: one Host");
is(scalar(grep { /^:/ } @{ $up->last->{headers} }), 0,
   "N10: HTTP/2: no pseudo headers");

for (["/v1/messages", "nope", 400], ["/v1/nix", "", 404],
     ["/v1/messages", "", 405], ["/v1/models", "", 200],
     ["/v1/messages", message(text => "sandbox(status=400)"), 400])
{
    my ($uri, $text, $want) = @$_;

    ($status, $answer) = curl($uri, $text);
    is($status, $want, "N10: HTTP/2: $want");
    ok(json($answer)->{type} || json($answer)->{data}, "N10: HTTP/2: JSON");
}

($status) = curl("/v1/models", "", "-H", "authorization: bearer other-other");
is($status, 401, "N10: HTTP/2: 401");

sub h2load {
    my ($key) = @_;

    my $url = "http://127.0.0.1:" . port(1) . "/v1/messages";

    spew("$dir/body", $body);

    return `h2load -n 40 -c 1 -m 10 -d $dir/body -H 'x-api-key: $key' $url 2>&1`;
}

my $before = $up->requests;

like(h2load("nix-nix-nix"), qr/status codes: 0 2xx, 0 3xx, 40 4xx/,
     "F024: HTTP/2: refused with bodies");
like(h2load($ClaudeRelay::KEY), qr/status codes: 40 2xx/,
     "N10: HTTP/2: streams at once");
is($up->requests - $before, 40, "N10: HTTP/2: all of them");


# 2. TLS in front

($status, $answer) = curl("/v1/messages", $body, "-k");
is($status, 200, "N10: HTTP/2 and TLS");
is($up->last->{body_sha256}, sha256($body), "N10: HTTP/2 and TLS: body");

my $tls = IO::Socket::SSL->new(PeerAddr => "127.0.0.1", PeerPort => port(2),
                               SSL_ca_file => "$dir/ca.pem",
                               SSL_hostname => "localhost");
$r = connect_to($tls)->request("POST", "/v1/messages", body => stream())
                     ->response;
is($r->status, 200, "N10: HTTP/1.1 and TLS");
is(scalar($r->events), 11, "N10: HTTP/1.1 and TLS: a stream");


# 3. IPv6

SKIP: {
    skip "no IPv6", 5 if !$has6;

    $r = connect_to("[::1]:" . port(3))
             ->request("POST", "/v1/messages", body => message())->response;
    is($r->status, 200, "IPv6 in front");

    $r = $nginx->post("/six/v1/messages", message());
    is($r->status, 200, "IPv6 behind");
    is($sandbox6->header("host"), "[::1]:" . $sandbox6->port, "IPv6: Host");
    is($sandbox6->last->{body_sha256}, sha256(message()), "IPv6: body");
    is($sandbox6->last->{target}, "/v1/messages", "IPv6: path");
}


# 4. TLS behind: trust, names, sessions

$r = $nginx->post("/good/v1/messages", stream());
is($r->status, 200, "TLS: a certificate that is right");
is(scalar($r->events), 11, "TLS: a stream");

my $last = $good->last;
ok($last->{tls}, "TLS: it is TLS");
is($last->{sni}, "localhost", "TLS: SNI");
is($last->{body_sha256}, sha256(stream()), "TLS: body");
is_deeply([$good->header("host")], ["localhost:" . $good->port], "TLS: Host");

$nginx->post("/good/v1/messages", message());
isnt($good->last->{connection}, $last->{connection}, "TLS: a new connection");
ok($good->last->{resumed}, "TLS: with the old session");

$r = $nginx->post("/address/v1/messages", message());
is($r->status, 200, "TLS: an address in the certificate");
ok(!$good->last->{sni}, "TLS: no SNI for an address");

is($nginx->post("/named/v1/messages", message())->status, 200,
   "TLS: a name in the certificate");

my $large = message(text => "x" x 1_500_000);
$nginx->post("/good/v1/messages", $large);
is($good->last->{body_sha256}, sha256($large), "TLS: a body of a file");

for (["not-named", $named, "an address that is not in the certificate"],
     ["other", $other, "a certificate of somebody else"],
     ["ended", $ended, "a certificate that has ended"],
     ["plain", $up, "an upstream without TLS"])
{
    my ($name, $sandbox, $what) = @$_;

    my $requests = $sandbox->requests;

    $r = $nginx->post("/$name/v1/messages", message());
    is_error($r, 503, "api_error", "TLS: $what");
    like($nginx->log->{attempts}, qr/^\Q$name\E:0:tls:\d+$/, "TLS: $what: class");
    is($sandbox->requests, $requests, "TLS: $what: nothing was sent");
}

$r = $nginx->post("/mixed/v1/messages", message());
ok($r->status >= 500, "http to a port of TLS") || diag $r->head;

$nginx->stop;

# without the CA: the system's bundle does not know it

$nginx = relay(%common);

$r = $nginx->post("/good/v1/messages", message());
is_error($r, 503, "api_error", "TLS: a CA that nobody trusts");
like($nginx->log->{attempts}, qr/^good:0:tls:/, "TLS: it is class tls");

$nginx->stop;

# not verified, as the operator wishes; kept connections; TLS 1.2

$nginx = relay(%common, http => <<"END");
    claude_relay_ssl_verify off;
    claude_relay_ssl_protocols TLSv1.2;
END

for my $name (qw/ good other ended /) {
    is($nginx->post("/$name/v1/messages", message())->status, 200,
       "TLS: not verified: $name");
}

$nginx->post("/other/v1/messages", message());
is($other->last->{request}, 2, "TLS: a kept connection");

finish();
