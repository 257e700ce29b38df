#!/usr/bin/perl

# N01: the body that the upstream receives is the client's, byte for byte,
# whatever its size and framing.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    http => "claude_relay_rest overloaded=0;",
    location => "claude_relay_max_body 64m;",
    accounts => account("one") . account("two"),
    server => <<'END',
        location /small-buffer/ { claude_relay; client_body_buffer_size 1k; }
        location /in-file/ { claude_relay; client_body_in_file_only clean; }
        location /single/ { claude_relay; client_body_in_single_buffer on; }
END
);

my $r;


# the last attempt at the upstream has the body and its length

sub arrived {
    my ($body, $name) = @_;

    my $last = $up->last;

    is($last->{body_sha256}, sha256($body), "N01: $name");

    my @length = grep { /^(content-length|transfer-encoding):/i }
                      @{ $last->{headers} };
    is(lc "@length", "content-length: " . length $body, "N01: $name: length");
}


sub passes {
    my ($name, $body, @headers) = @_;

    $r = $nginx->post("/v1/messages?beta=true", $body, @headers);
    is($r->status, 200, "N01: $name: status") || diag $r->body;
    arrived($body, $name);
}


# 1. what JSON may look like

my $text = '"messages":[{"role":"user","content":"hi"}]';

passes("a message", message());
passes("blanks", qq( \t\r\n{ "model" :\n"m" ,\r\n $text\t} \n\n));
passes("model last", qq({$text,"model":"m"}));
passes("model among others",
     qq({"x":{"model":"a"},"model":"m",$text,"y":["model","b"]}));
passes("unknown fields",
     qq({"model":"m",$text,"new_field":{"a":[1,{"b":null}]},"speed":"fast"}));
passes("numbers", qq({"model":"m",$text,"max_tokens":64,"temperature":0.10,)
                . q("big":9223372036854775807,"tiny":-1.5E-300,"z":-0}));
passes("escapes", qq({"model":"m\\u0041","messages":[],"system":"\\u00e4\\ud83d)
                . q(\ude00\/\b\f\"\\\\ \u0000"}));
is($nginx->log->{model}, "mA", "an escaped model is understood");
passes("UTF-8", message(text => "\x{e4}\x{1f600}\x{7f}\x{2028}"));
passes("control characters, escaped", message(text => "a\0b\x01\x1f"));
passes("200 levels deep", qq({"model":"m",$text,"x":) . "[" x 200 . "]" x 200
                        . "}");
passes("thinking with a signature", message(messages => [
    { role => "assistant", content => [
        { type => "thinking", thinking => "", signature => "Eq+/=" x 500 },
        { type => "redacted_thinking", data => "AAAA" x 100 } ] },
    { role => "user", content => "go on" } ]));
passes("an attribution block first", message(system => [
    { type => "text",
      text => "x-anthropic-billing-header: cc_version=2; cch=00000;" },
    { type => "text", text => "You are Claude Code.",
      cache_control => { type => "ephemeral", ttl => "1h" } }]));
passes("a model that is empty of meaning", message(model => "m" x 100));
passes("metadata", message(metadata => { user_id => encode({
    device_id => "0" x 64, account_uuid => "", session_id => "s" })}));


# 2. sizes

sub claude_code {
    my ($size) = @_;

    my @tools = map { { name => "tool_$_", description => "does $_ " x 40,
                        input_schema => { type => "object", properties => {
                            path => { type => "string" } } } } } 1 .. 20;
    my @messages;
    my $n = 0;

    while ($n < $size) {
        push @messages, { role => @messages % 2 ? "assistant" : "user",
                          content => [{ type => "text",
                                        text => "line $n \"\\\n" x 100 }] };
        $n += 1400;
    }

    return stream(tools => \@tools, messages => \@messages, system => [
        { type => "text", text => "You are Claude Code. " x 200,
          cache_control => { type => "ephemeral" } } ]);
}

passes("1 KB", message(text => "x" x 900));
passes("a page", message(text => "x" x (4096 - length message(text => ""))));
passes("70 KB, as of Claude Code", claude_code(55_000));
passes("1.5 MB, a temporary file", claude_code(1_400_000));

my $large = message(text => "0123456789abcdef" x (33 * 65536));

passes("33 MB", $large);
undef $large;

my $body = claude_code(100_000);

for my $uri ("/small-buffer", "/in-file", "/single") {
    is($nginx->post("$uri/v1/messages", $body)->status, 200, "N01: $uri: status");
    arrived($body, $uri);
}

is($nginx->post("/v1/messages/count_tokens", $body)->status, 200,
   "F003: count_tokens: status");
arrived($body, "F003: count_tokens");

my $bytes = join "", map { chr($_ % 256) } 0 .. 99_999;

$nginx->post("/v1/files", $bytes, "Content-Type: application/octet-stream");
arrived($bytes, "a file, any bytes");
$nginx->post("/v1/files", "", "Content-Type: application/octet-stream");
arrived("", "a file of 0 bytes");
$nginx->post("/v1/messages/batches", $body);
arrived($body, "a batch");

$nginx->get("/v1/files/x");
is_deeply([grep { /^(content-length|transfer-encoding):/i }
                @{ $up->last->{headers} }], [], "N01: GET has no body");


# 3. framing

sub chunks {
    my ($data, $size, $extension) = @_;

    my $out = "";

    for (my $i = 0; $i < length $data; $i += $size) {
        my $piece = substr $data, $i, $size;
        $out .= sprintf "%x%s\r\n%s\r\n", length $piece, $extension // "",
                        $piece;
    }

    return $out . "0\r\n";
}

sub chunked {
    my ($data, $size, %opt) = @_;

    my $c = $nginx->connect;

    $c->request("POST", "/v1/messages", headers => [
        "Content-Type: application/json", "Transfer-Encoding: chunked",
        @{ $opt{headers} // [] }]);

    $c->send(chunks($data, $size, $opt{extension}));
    $c->send(($opt{trailer} // "") . "\r\n");

    $r = $c->response;

    is($r->status, 200, "N01: $opt{name}: status") || diag $r->head, $r->body;
    arrived($data, $opt{name});
}

$body = claude_code(30_000);

chunked($body, 4096, name => "chunked");
chunked(message(), 1, name => "chunks of one byte");
chunked($body, 1 << 20, name => "one chunk");
chunked($body, 1000, extension => ";name=value", name => "chunk extensions");
chunked($body, 1000, trailer => "X-Trailer: 1\r\n", name => "a trailer");
chunked(claude_code(1_200_000), 60_000, name => "chunked, 1.2 MB");

# slowly, in any pieces

my $c = $nginx->connect;
my $whole = message(text => "\x{e4}\\u00e4" x 20);

$c->send("POST /v1/messages HTTP/1.1\r\nHost: a\r\nx-api-key: "
         . "$ClaudeRelay::KEY\r\nContent-Length: " . length($whole)
         . "\r\n\r\n");

for (split //, $whole) {
    $c->send($_);
    select undef, undef, undef, 0.001;
}

is($c->response->status, 200, "N01: byte by byte: status");
arrived($whole, "byte by byte");


# 4. Expect: 100-continue

$body = claude_code(70_000);

for my $framing ("Content-Length: " . length $body, "Transfer-Encoding: chunked")
{
    $c = $nginx->connect;
    $c->request("POST", "/v1/messages",
                headers => ["Expect: 100-continue", $framing]);

    like($c->read_until(qr/\r\n\r\n/), qr{^HTTP/1.1 100 Continue\r\n\r\n},
         "100 Continue: $framing");

    $c->send($framing =~ /^C/ ? $body : chunks($body, 9999) . "\r\n");
    $r = $c->response;

    is_deeply([$r->interim, $r->status], [100, 200], "and then the answer");
    arrived($body, "Expect: 100-continue");
    is($up->header("expect"), undef, "Expect stays here");
}


# 5. the same body for the second attempt, out of memory and of a file (N09)

for my $size (100, 70_000, 1_400_000) {
    $up->reset;
    $up->behave("sk-ant-one-000001", "status=529,once");
    $up->behave("sk-ant-two-000001", "status=529,once");

    $body = claude_code($size);
    $r = $nginx->post("/v1/messages", $body);

    my @tries = $up->last(3);

    cmp_ok(@tries, ">=", 2, "N09: $size bytes: more than one attempt");
    is($_->{body_sha256}, sha256($body), "N09: $size bytes: each has the body")
        for @tries;
}


# 6. two requests at once on one connection

$c = $nginx->connect;

my ($first, $second) = (message(text => "first"), message(text => "second"));

$c->send(join "", map { "POST /v1/messages HTTP/1.1\r\nHost: a\r\nx-api-key: "
                        . "$ClaudeRelay::KEY\r\nContent-Length: " . length($_)
                        . "\r\n\r\n$_" } $first, $second);

is($c->response->status, 200, "pipelined: the first");
is($c->response->status, 200, "pipelined: the second");
is_deeply([map { $_->{body_sha256} } $up->last(2)],
          [sha256($first), sha256($second)], "pipelined: both bodies");


# 7. HTTP/1.0

$c = $nginx->connect;
$c->send("POST /v1/messages HTTP/1.0\r\nx-api-key: $ClaudeRelay::KEY\r\n"
         . "Content-Length: " . length($first) . "\r\n\r\n$first");
$r = $c->response;
is($r->status, 200, "HTTP/1.0");
is($r->json->{type}, "message", "HTTP/1.0: an answer without chunks");
arrived($first, "HTTP/1.0");

finish();
