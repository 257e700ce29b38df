#!/usr/bin/perl

# What is broken gets a clear error in the dialect; nothing of it goes
# upstream, and the next request is served.

use warnings;
use strict;

use MIME::Base64;
use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    http => "claude_relay_rest server=0 overloaded=0;",
    location => "claude_relay_max_body 100k; claude_relay_retry_wait 0;"
                . " claude_relay_tries 2;",
    server => <<'END',
        client_header_timeout 300ms;
        client_body_timeout 300ms;
        location /short/ { claude_relay; claude_relay_tries 1;
                           claude_relay_first_byte_timeout 200ms; }
END
);

my $good = message();
my $connection;


# a connection that is used for as long as it lives

sub on {
    $connection = $nginx->connect if !$connection || $connection->eof;
    return $connection;
}


# the shape of the error, nothing upstream, the next request is answered

sub bad {
    my ($r, $status, $type, $name, $message) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_error($r, $status, $type, $name, $message) or undef $connection;

    my @sent = $up->since;
    is(@sent, 0, "$name: nothing goes upstream");

    my $next = on()->request("POST", "/v1/messages", body => $good)->response;

    if (!$next) {
        # closed after the answer, as it said
        undef $connection;
        $next = on()->request("POST", "/v1/messages", body => $good)->response;
    }

    is($next ? $next->status : 0, 200, "$name: the next request is served");
    $up->since;
}


sub body {
    my ($name, $body, $message, @headers) = @_;

    bad(on()->request("POST", "/v1/messages", body => $body,
                      headers => \@headers)->response,
        400, "invalid_request_error", $name, $message);
}


sub raw {
    my ($status, $type, $name, $bytes) = @_;

    my $c = $nginx->connect;
    my $r = $c->send($bytes)->response(timeout => 2);

    bad($r, $status, $type, $name);
}


# 1. not JSON, or not what it should be

my $m = '"messages":[{"role":"user","content":"hi"}]';

body("empty", "");
body("not JSON", "hello", qr/JSON/);
body("a form", "model=claude&messages=hi", qr/JSON/);
body("HTML", "<html></html>", qr/JSON/);
body("a string", '"model"');
body("an array", '[{"model":"m"}]');
body("null", "null");
body("a number", "1");
body("two values", qq({"model":"m",$m}{"model":"m"}), qr/JSON/);
body("something behind", qq({"model":"m",$m} x), qr/JSON/);
body("a comma behind", qq({"model":"m",$m,}), qr/JSON/);
body("no comma", qq({"model":"m" $m}), qr/JSON/);
body("no colon", qq({"model" "m",$m}), qr/JSON/);
body("no quotes", qq({model:"m",$m}), qr/JSON/);
body("single quotes", q({'model':'m'}), qr/JSON/);
body("a comment", qq({"model":"m",$m/* */}), qr/JSON/);
body("a byte order mark", qq(\xef\xbb\xbf{"model":"m",$m}), qr/JSON/);
body("UTF-16", join("", map { "$_\0" } split //, qq({"model":"m",$m})));
body("gzip", "\x1f\x8b\x08\0\0\0\0\0\0\3" . "x" x 20, qr/decoded/,
     "Content-Encoding: gzip");
body("brackets that do not match", qq({"model":"m","messages":[}]), qr/JSON/);

for my $value (qw/ nul True NaN Infinity -Infinity 01 1. .5 +1 0x1 1e - 1e+ --1
                   'x' undefined /)
{
    body("a value $value", qq({"model":"m",$m,"x":$value}), qr/JSON/);
}

for (["\x01", "a control character"], ["\n", "a line feed"], ["\t", "a tab"])
{
    body("$_->[1] in a string", qq({"model":"m",$m,"x":"$_->[0]"}), qr/JSON/);
}


# 2. truncated anywhere

my $tool = '{"model":"m","max_tokens":1,"tools":[{"name":"\u00e4"}],'
           . '"stream":true,' . $m . '}';
my @wrong;

for my $n (0 .. length($tool) - 1) {
    my $r = on()->request("POST", "/v1/messages", body => substr $tool, 0, $n)
                ->response;

    push @wrong, $n if !$r || $r->status != 400
                       || $r->type ne "invalid_request_error";
}

is("@wrong", "", "truncated anywhere");
is(scalar(() = $up->since), 0, "truncated: nothing goes upstream");

body("truncated at 64 KB", substr(message(text => "x" x 70_000), 0, 65_536),
     qr/JSON/);


# 3. depth, NUL, UTF-8, duplicates, numbers

for my $depth (1_000, 10_000, 45_000) {
    body("$depth arrays deep",
         qq({"model":"m","x":) . "[" x $depth . "]" x $depth . ",$m}", qr/deep/);
}

body("10,000 objects deep",
     qq({"model":"m","x":) . '{"a":' x 10_000 . "1" . "}" x 10_000 . ",$m}",
     qr/deep/);
body("10,000 deep, truncated", "[" x 10_000);

body("NUL in a string", qq({"model":"m\0",$m}));
body("NUL between values", qq({"model":"m",\0$m}));
body("NUL behind", qq({"model":"m",$m}\0));
body("NUL only", "\0" x 100);

for (["\xff", "a byte"], ["\xc3", "half a character"], ["\xc0\xaf", "overlong"],
     ["\xe0\x80\xaf", "overlong, three bytes"], ["\xed\xa0\x80", "a surrogate"],
     ["\xf4\x90\x80\x80", "above U+10FFFF"], ["\xf8\x88\x80\x80\x80", "five bytes"],
     ["\x80", "a continuation"], ["\xe4", "Latin-1"], ["\xf0\x9f\x98", "cut"])
{
    my ($bytes, $what) = @$_;

    body("not UTF-8: $what",
         qq({"model":"m","messages":[{"role":"user","content":"a${bytes}b"}]}),
         qr/UTF-8/);
}

body("not UTF-8, in a name", qq({"model":"m","a\xff":1,$m}), qr/UTF-8/);

body("model twice", qq({"model":"a",$m,"model":"b"}), qr/model/);
body("model twice, the same", qq({"model":"a",$m,"model":"a"}), qr/model/);
body("model twice, one escaped", qq({"model":"a",$m,"mod\\u0065l":"b"}), qr/model/);
body("stream twice", qq({"model":"a",$m,"stream":true,"stream":false}), qr/stream/);
body("messages twice", qq({"model":"a",$m,$m}), qr/messages/);

for my $number ("18446744073709551616", "9223372036854775808",
                "9" x 10_000)
{
    my $name = substr $number, 0, 24;

    body("max_tokens $name", qq({"model":"m",$m,"max_tokens":$number}));
}


# 4. the model

body("no model", qq({$m}), qr/model/);
body("an empty object", "{}", qr/model/);
body("a model inside", qq({"x":{"model":"m"},$m}), qr/model/);
body("model: $_", qq({"model":$_,$m}), qr/model/)
    for 'null', '1', 'true', '["m"]', '{"id":"m"}', '""';
body("a model of 10 KB", qq({"model":") . "m" x 10_000 . qq(",$m}), qr/model/);
body("a model with NUL", qq({"model":"m\\u0000x",$m}), qr/model/);
body("a model with CR and LF", qq({"model":"m\\r\\nX-Evil: 1",$m}), qr/model/);
body("stream: a string", qq({"model":"m",$m,"stream":"yes"}), qr/stream/);

bad(on()->request("POST", "/v1/messages/count_tokens", body => "{")->response,
    400, "invalid_request_error", "F003: count_tokens: not JSON", qr/JSON/);
bad(on()->request("POST", "/v1/messages/count_tokens", body => "{}")->response,
    400, "invalid_request_error", "F003: count_tokens: no model", qr/model/);

my $r = on()->request("POST", "/v1/messages", body => "{")->response;
is($r->header("x-should-retry"), "false", "no retry of bad input");
like($r->json->{request_id}, qr/^[0-9a-f]{32}$/, "F164: request_id in the error");
is($r->header("x-request-id"), $r->json->{request_id}, "F028: and in the header");


# 5. too large (F026)

my $huge = message(text => "x" x 200_000);

bad(on()->request("POST", "/v1/messages", body => $huge)->response,
    413, "request_too_large", "F026: too large, as it says");

my $c = $nginx->connect;
$c->request("POST", "/v1/messages", headers => ["Transfer-Encoding: chunked"]);
$c->send(sprintf("%x\r\n%s\r\n", 20_000, "x" x 20_000)) for 1 .. 8;
$c->send("0\r\n\r\n");
bad($c->response, 413, "request_too_large", "F026: too large, in chunks");

$c = $nginx->connect;
$c->request("POST", "/v1/messages", headers => ["Content-Length: 99999999999"]);
bad($c->response, 413, "request_too_large", "F026: told, not sent");

$c = $nginx->connect;
$c->request("POST", "/v1/messages", headers => [
    "Content-Length: 200000", "Expect: 100-continue" ]);
$r = $c->response;
is_deeply([$r->interim], [], "F026: no 100 Continue for what is too large");
bad($r, 413, "request_too_large", "F026: Expect: 100-continue");

$c = $nginx->connect;
$c->request("POST", "/v1/messages", key => undef, headers => [
    "Content-Length: 20000", "Expect: 100-continue" ]);
$r = $c->response;
is_deeply([$r->interim], [], "F024: no 100 Continue for a stranger");
is($r->status, 401, "F024: Expect: 100-continue");

bad(on()->request("POST", "/v1/messages", body => $huge, key => undef)->response,
    401, "authentication_error", "F024: too large, and no key");
bad(on()->request("POST", "/v1/nix", body => $huge)->response,
    404, "not_found_error", "F025: too large, and no path");


# 6. credentials; more of them in main_keys.t

for (["none"], ["malformed", "Authorization: Basic eDp5"],
     ["unknown", "x-api-key: nix-nix-nix"],
     ["double", "x-api-key: $ClaudeRelay::KEY", "api-key: nix-nix-nix"])
{
    my ($name, @headers) = @$_;

    bad(on()->request("POST", "/v1/messages", body => $good, key => undef,
                      headers => \@headers)->response,
        401, "authentication_error", "F024: credential: $name");
}


# 7. HTTP that is broken

my $key = "x-api-key: $ClaudeRelay::KEY";
my $post = "POST /v1/messages HTTP/1.1\r\nHost: a\r\n$key\r\n";
my $e = "invalid_request_error";

raw(400, $e, "a chunk size that is none",
    $post . "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n");
raw(400, $e, "a chunk that is too short",
    $post . "Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n");
raw(400, $e, "a chunk of 2^70 bytes",
    $post . "Transfer-Encoding: chunked\r\n\r\n400000000000000000\r\nhello");
raw(400, $e, "length and chunks", $post . "Content-Length: 5\r\n"
    . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
raw(400, $e, "two lengths",
    $post . "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello");
raw(400, $e, "a negative length", $post . "Content-Length: -5\r\n\r\n");
raw(400, $e, "a length that is none", $post . "Content-Length: five\r\n\r\n");
raw(501, "api_error", "an unknown transfer encoding",
    $post . "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
raw(400, $e, "CR in a header", $post . "X-A: b\rX-Evil: 1\r\n\r\n");
raw(400, $e, "NUL in a header", $post . "X-A: b\0c\r\n\r\n");
raw(400, $e, "no Host", "POST /v1/messages HTTP/1.1\r\n$key\r\n\r\n");
raw(400, $e, "a request line that is none", "hello world\r\n\r\n");
raw(400, $e, "a method in small letters",
    "post /v1/messages HTTP/1.1\r\nHost: a\r\n\r\n");
raw(400, $e, "a header of 40 KB", $post . "X-A: " . "b" x 40_000 . "\r\n\r\n");
raw(400, $e, "a flood of headers",
    $post . join("", map { "X-$_: " . "y" x 500 . "\r\n" } 1 .. 100) . "\r\n");
raw(414, $e, "a URI of 40 KB",
    "POST /v1/messages?" . "x" x 40_000 . " HTTP/1.1\r\nHost: a\r\n\r\n");

# LF alone ends a line: what follows is a header of its own, or none

$nginx->connect->request("POST", "/v1/messages", body => $good, headers => [
    "X-A: b\nX-After: 1", "X-Fold: c\r\n d\r\n\te"])->response;

is_deeply([map { s/\d+/N/r } grep { !/^X-(A|After|Fold): |^[\w-]+: \S/ }
                                  @{ $up->last->{headers} }], [],
          "no header line goes upstream that nginx has not read");

is($nginx->connect->request("POST", "/v1/messages", body => $good, headers => [
       map { "X-$_: y" } 1 .. 900])->response->status, 200,
   "900 small headers are allowed");
$up->since;


# 8. slow ones

for (["a header", "POST /v1/messages HTTP/1.1\r\nHost: a\r\nX-A"],
     ["a body", $post . "Content-Length: 100\r\n\r\n{\"model\""],
     ["a chunk", $post . "Transfer-Encoding: chunked\r\n\r\n5\r\nhe"],
     ["nothing at all", ""])
{
    my ($what, $bytes) = @$_;

    $c = $nginx->connect;
    $c->send($bytes);
    ok($c->closed(3), "slowloris: $what: closed in time");
    is(scalar(() = $up->since), 0, "slowloris: $what: nothing goes upstream");
}

$c = $nginx->connect;
$c->send($post . "Content-Length: 100\r\n\r\n{\"model\"");
$c->close;
$c = $nginx->connect;
$c->send($post . "Content-Length: 100\r\n\r\n{\"model\"");
$c->reset;

is(on()->request("POST", "/v1/messages", body => $good)->response->status, 200,
   "a client that goes away in the middle of its body");
is(scalar(() = $up->since), 1, "nothing of its body went upstream");


# 9. an upstream that is broken: an error of ours, and the next one works

for my $do ("garbage", "header-forever", "negative-length", "dup-length",
            "close-now", "rst-now", "extra-header=X-A:%00b",
            "extra-header=:nothing")
{
    $r = $nginx->post("/v1/messages", message(text => "sandbox($do)"));

    if ($do =~ /^extra/) {
        ok($r && $r->complete, "upstream: $do: an answer");

    } else {
        is_error($r, 503, "api_error", "upstream: $do");
        like($nginx->log->{attempts}, qr/^one:\d+:(protocol|network):\d+/,
             "upstream: $do: class");
    }

    is($nginx->post("/v1/messages", $good)->status, 200,
       "upstream: $do: the next request");
}

for my $do ("nothing", "slow-header", "stall-at=0,body-delay=5000") {
    my $text = "sandbox($do)";
    my $body = $do =~ /stall/ ? stream(text => $text) : message(text => $text);

    $r = $nginx->post("/short/v1/messages", $body);
    is_error($r, 503, "api_error", "F027: upstream: $do");
    like($nginx->log->{error_class}, qr/^timeout$/, "F027: upstream: $do: class");
}

for my $do ("bad-chunk", "cut-at=2", "reset-at=2") {
    $r = $nginx->post("/v1/messages", stream(text => "sandbox($do,delay=20)"));

    my @events = $r->events;

    ok(!$r->complete || $r->status >= 500
       || @events && $events[-1][0] eq "error",
       "upstream: $do in a stream: never a clean end")
        || diag $r->head, $r->body;
    is($nginx->post("/v1/messages", $good)->status, 200,
       "upstream: $do: the next request");
}

for my $do ("cut-at=100", "reset-at=100") {
    $r = $nginx->post("/v1/messages", message(text => "sandbox($do)"));
    ok(!$r->complete || $r->status >= 500,
       "upstream: $do in JSON: never a clean end") || diag $r->head, $r->body;
}


# 10. an SSE line of 100 MB passes in bounded memory

my $line = 100 << 20;

my $endless = canned(sub {
    my ($request, $socket) = @_;

    syswrite $socket, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                      . "Connection: close\r\n\r\n"
                      . "event: message_start\ndata: {\"type\":";

    my $piece = "x" x 65_536;
    my $left = $line;

    while ($left > 0) {
        $left -= syswrite($socket, $piece) || return;
    }

    return "\n\n";
});

my $other = nginx(zone_and_key() . <<"END");
    claude_relay_account endless {
        platform anthropic; api_key k; base_url @{[ $endless->url ]};
    }
    server {
        listen 127.0.0.1:%%PORT1%%;
        location / { claude_relay; claude_relay_tries 1; }
    }
END

sub memory {
    my $kb = 0;

    for ($other->workers) {
        $kb += $1 if slurp("/proc/$_/status") =~ /^VmRSS:\s+(\d+)/m;
    }

    return $kb;
}

wait_for(sub { $other->workers && memory() });

my ($most, $got) = (0, 0);
my $start = memory();

$c = connect_to(port(1));
$c->request("POST", "/v1/messages", body => stream());

my $socket = $c->socket;

while (my $n = sysread $socket, my $data, 1 << 20) {
    $got += $n;
    $most = memory() if int(($got - $n) / 16e6) != int($got / 16e6)
                        && memory() > $most;
}

cmp_ok($got, ">", $line, "an SSE line of 100 MB arrives");
cmp_ok($most - $start, "<", asan() ? 64_000 : 8_000,
       "an SSE line of 100 MB: memory is bounded, KB");

finish();
