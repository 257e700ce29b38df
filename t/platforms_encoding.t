#!/usr/bin/perl

# Request bodies that clients compress (others.md A10, I 44): they are made
# plain as they arrive, read, bounded, and go on plain.

use warnings;
use strict;

use Compress::Zlib;
use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    location => "claude_relay_max_body 1m; client_body_buffer_size 128k;",
    server => "location /large/ { claude_relay; client_body_buffer_size 16k; }"
              . " location /mapped/ { claude_relay;"
              . " claude_relay_map claude-sonnet-4-6 claude-opus-5; }",
);

my ($r, $c);


sub zstd {
    my ($text, @options) = @_;

    my $dir = $nginx->dir;

    spew("$dir/plain", $text);
    system("zstd", "-q", "-f", @options, "$dir/plain", "-o", "$dir/packed")
        == 0 or die "zstd\n";

    return slurp("$dir/packed");
}


# by a pipe: without the length of the plain text in its header

sub zstd_stream {
    my ($text) = @_;

    my $dir = $nginx->dir;

    spew("$dir/plain", $text);

    return scalar `zstd -q -c < $dir/plain`;
}


sub gzip { my ($text) = @_; return scalar Compress::Zlib::memGzip(\$text) }

sub deflate { my ($text) = @_; return scalar Compress::Zlib::compress(\$text) }


sub chunked {
    my ($body, $n) = @_;

    return join("", map { sprintf "%x\r\n%s\r\n", length, $_ }
                    unpack "(a$n)*", $body) . "0\r\n\r\n";
}


# 1. what is known

my $text = join " ", map { "word$_" } 1 .. 3000;
my $body = message(text => $text);

my %packed = (
    "zstd" => zstd($body),
    "zstd without its length" => zstd_stream($body),
    "zstd in two frames" => zstd(substr $body, 0, 1000)
                            . zstd(substr $body, 1000),
    "gzip" => gzip($body),
    "gzip in two members" => gzip(substr $body, 0, 1000)
                             . gzip(substr $body, 1000),
    "x-gzip" => gzip($body),
    "deflate" => deflate($body),
);

for my $name (sort keys %packed) {
    my ($coding) = $name =~ /^(\S+)/;

    $r = $nginx->post("/v1/messages", $packed{$name},
                      "Content-Encoding: $coding");
    is($r->status, 200, "I 44: $name") || diag $r->body;

    is($up->last->{body_sha256}, sha256($body), "$name: plain as it goes on");
    is($up->header("content-length"), length $body, "$name: its length");
    is($up->header("content-encoding"), undef, "$name: and no coding");
    is($nginx->log->{model}, "claude-sonnet-4-6", "$name: it was read");
}

$r = $nginx->post("/v1/messages", $body, "Content-Encoding: identity");
is($r->status, 200, "identity is none");
is($up->last->{body_sha256}, sha256($body), "identity: as it came");

$r = $nginx->post("/v1/messages", $packed{zstd}, "content-encoding: ZSTD");
is($r->status, 200, "names of codings are of no case");


# 2. in pieces, whatever the framing

for my $name ("zstd", "gzip") {
    $c = $nginx->connect;

    $c->send("POST /v1/messages HTTP/1.1\r\nHost: x\r\n"
             . "x-api-key: $ClaudeRelay::KEY\r\nContent-Encoding: $name\r\n"
             . "Content-Type: application/json\r\n"
             . "Transfer-Encoding: chunked\r\n\r\n"
             . chunked($packed{$name}, 7));

    is($c->response->status, 200, "$name in chunks");
    is($up->last->{body_sha256}, sha256($body), "$name in chunks: plain");
    is($up->header("transfer-encoding"), undef, "$name in chunks: by length");

    my $head = "POST /v1/messages HTTP/1.1\r\nHost: x\r\n"
               . "x-api-key: $ClaudeRelay::KEY\r\nContent-Encoding: $name\r\n"
               . "Content-Type: application/json\r\nContent-Length: "
               . length($packed{$name}) . "\r\n\r\n";

    for my $piece (unpack "(a997)*", $head . $packed{$name}) {
        $c->send($piece);
        select undef, undef, undef, 0.002;
    }

    is($c->response->status, 200, "$name in packets");
    is($up->last->{body_sha256}, sha256($body), "$name in packets: plain");
}


# 3. edits are made in the plain text; large ones go to a file on their way

$r = $nginx->post("/mapped/v1/messages", $packed{zstd},
                  "Content-Encoding: zstd");
is($r->status, 200, "a model that is mapped");
is($up->header("content-length"), length($body) - 4,
   "a model that is mapped: its length");
is($r->json->{model}, "claude-opus-5", "a model that is mapped: it is sent");

my $large = message(text => "0123456789abcdef" x 40_000);

for my $coding ("zstd", "gzip") {
    $r = $nginx->post("/large/v1/messages",
                      $coding eq "zstd" ? zstd($large)
                                        : gzip($large),
                      "Content-Encoding: $coding");
    is($r->status, 200, "$coding, more than is kept in memory");
    is($up->last->{body_sha256}, sha256($large), "$coding by a file: plain");
}

like($nginx->error_log, qr/buffered to a temporary file/, "a file it was");


# 4. bombs: the bound is that of what comes out

my $bomb = message(text => "a" x 20_000_000);

for (["zstd", zstd($bomb)], ["gzip", gzip($bomb)],
     ["deflate", deflate($bomb)])
{
    my ($coding, $small) = @$_;
    my $n = $up->requests;

    $r = $nginx->post("/v1/messages", $small, "Content-Encoding: $coding");

    is_error($r, 413, "request_too_large", "a bomb of $coding, "
             . length($small) . " bytes", qr/larger than this relay takes/);
    is($up->requests, $n, "a bomb of $coding goes nowhere");
}

# a window of 128 MB is wanted before there is anything to see

$r = $nginx->post("/large/v1/messages",
                  zstd(message(text => join "", map { rand } 1 .. 600_000),
                       "--long=27"), "Content-Encoding: zstd");
is_error($r, 400, "invalid_request_error", "a window of 128 MB",
         qr/cannot be decoded/);


# 5. what is broken

my $flipped = $packed{gzip};
substr $flipped, 200, 1, chr(ord(substr $flipped, 200, 1) ^ 0x55);

my %broken = (
    "zstd, the end is missing" => substr($packed{zstd}, 0, -1),
    "zstd, half of it" => substr($packed{zstd}, 0, 2000),
    "zstd, that is none" => $body,
    "zstd, more behind it" => $packed{zstd} . "more",
    "zstd, that is gzip" => $packed{gzip},
    "gzip, the end is missing" => substr($packed{gzip}, 0, -1),
    "gzip, that is none" => $body,
    "gzip, a bit that fell over" => $flipped,
    "gzip, more behind it" => $packed{gzip} . "more",
    "deflate, that is none" => $body,
    "deflate, half of it" => substr($packed{deflate}, 0, 2000),
);

$up->reset;

for my $name (sort keys %broken) {
    my ($coding) = $name =~ /^(\w+)/;

    $c = $nginx->connect;

    $r = $c->request("POST", "/v1/messages", body => $broken{$name},
                     headers => ["Content-Encoding: $coding"])->response;
    is_error($r, 400, "invalid_request_error", $name, qr/cannot be decoded/);

    is($c->request("POST", "/v1/messages", body => message())->response
         ->status, 200, "$name: the connection lives on");
}

is($up->requests, scalar keys %broken, "nothing of it went upstream");

$r = $nginx->post("/v1/messages", zstd("{\"model\":"),
                  "Content-Encoding: zstd");
is_error($r, 400, "invalid_request_error", "broken JSON inside");

$r = $nginx->post("/v1/messages", "", "Content-Encoding: zstd");
is($r->status, 400, "no bytes are no message");


# 6. what is not known

for my $coding ("br", "compress", "gzip, zstd", "zstd, identity", "nix",
                "gzip;q=1")
{
    $r = $nginx->post("/v1/messages", $packed{gzip},
                      "Content-Encoding: $coding");

    is_error($r, 415, "invalid_request_error", "I 44: $coding: 415",
             qr/zstd, gzip, deflate or none/);
    is($r->header("accept-encoding"), "zstd, gzip, deflate",
       "$coding: what would do");
}

$r = $nginx->post("/v1/messages", $packed{gzip}, "Content-Encoding: gzip",
                  "Content-Encoding: gzip");
is($r->status, 415, "two codings in two headers");


# 7. I 43: both spellings of the session's header

for my $name ("session_id", "session-id") {
    $nginx->post("/v1/messages", message(), "$name: my-session-1");
    ok(length $nginx->log->{session}, "I 43: $name is seen");
}

my @log = $nginx->log(2);
is($log[0]{session}, $log[1]{session}, "I 43: it is one session");

finish();
