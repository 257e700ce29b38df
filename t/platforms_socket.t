#!/usr/bin/perl

# Responses over a WebSocket (others.md A7; clients.md 4.2): where no account
# has them, a 426 sends the client to HTTP; where one has, it is relayed, and
# each turn is a request of its own.

use warnings;
use strict;

use File::Temp qw/ tempdir /;
use Test::More;

use ClaudeRelay;
use ClaudeRelaySocket;


my $up = sandbox();

my $nginx = relay(
    accounts => account("one"),
    server => "location /bare/ { claude_relay; }",
);

my @upgrade = ("Connection: Upgrade", "Upgrade: websocket",
               "Sec-WebSocket-Version: 13",
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==");

my $r;


# 1. no account has WebSockets

for my $path ("/v1/responses", "/responses", "/openai/v1/responses",
              "/bare/v1/responses", "/backend-api/codex/responses")
{
    $r = $nginx->connect->request("GET", $path, headers => \@upgrade)
               ->response;

    is($r->status, 426, "$path: 426 sends Codex to HTTP");
    like($r->head, qr{^HTTP/1.1 426 Upgrade Required\r\n}, "$path: its line");
    is($r->header("upgrade"), "HTTP/1.1", "$path: to what");
    is(scalar(grep { lc eq "upgrade" } $r->header("connection")), 1,
       "$path: Connection names it");
    is($r->header("x-should-retry"), "false", "$path: not once more");
    like($r->message, qr/WebSockets/, "$path: and why");
}

my $c = $nginx->connect;

is($c->request("GET", "/v1/responses", headers => \@upgrade)->response->status,
   426, "a 426 on a connection");
is($c->request("POST", "/v1/messages", body => message())->response->status,
   200, "which lives on: the fall-back needs no other");

is($nginx->connect->request("GET", "/v1/responses", key => "nobody-000000001",
                            headers => \@upgrade)->response->status, 401,
   "a wrong key is told first");

is($up->requests, 1, "nothing of this went upstream, but the message");


# 2. what is no handshake of a WebSocket

for (["no Upgrade", ["Connection: Upgrade"]],
     ["no Connection", ["Upgrade: websocket"]],
     ["another protocol", ["Connection: Upgrade", "Upgrade: h2c"]],
     ["a plain GET", []])
{
    $r = $nginx->connect->request("GET", "/v1/responses", headers => $_->[1])
               ->response;

    is($r->status, 405, "$_->[0]: 405");
    is($r->header("allow"), "POST", "$_->[0]: Allow");
}

$c = $nginx->connect;
$c->send("GET /v1/responses HTTP/1.0\r\nx-api-key: $ClaudeRelay::KEY\r\n"
         . join("", map { "$_\r\n" } @upgrade) . "\r\n");
is($c->response->status, 405, "HTTP/1.0 has no upgrade");


# 3. an account that has them

my $socket = socket_upstream();

$nginx->stop;

sub openai {
    my ($name, $url, $more) = @_;

    return account($name, "platform openai; api_key sk-$name-000001;"
                          . " base_url $url; websocket on; " . ($more // ""));
}

$nginx = relay(
    workers => 1,
    http => "claude_relay_key poor { secret poor-secret-0003;"
            . " limit tokens:20/day; }"
            . " claude_relay_key bound { secret bound-secret-0004;"
            . " models gpt-5.5; }",
    accounts => openai("ws", $socket->url, "models gpt-*; model_map asked-* gpt-mapped;")
                . openai("other", "%%UP%%", "pool none;"),
    location => "claude_relay_max_body 100k;",
    server => "location /none/ { claude_relay; claude_relay_pool none; }",
);

my $ws = socket_open($nginx, "/v1/responses", "OpenAI-Beta: responses_ws",
                     "Sec-WebSocket-Extensions: permessage-deflate",
                     "session-id: one");

like($ws->head, qr/^upgrade: websocket\r$/mi, "a handshake: Upgrade");
like($ws->head, qr/^connection: upgrade\r$/mi, "a handshake: Connection");
like($ws->head, qr/^sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r$/mi,
     "a handshake: the upstream's own key");
like($ws->head, qr/^x-codex-turn-state: sticky\r$/mi, "a header passes");

my $sent = $socket->handshake;

like($sent, qr{^GET /v1/responses HTTP/1\.1\r\n}, "sent: the path");
like($sent, qr/^Authorization: Bearer sk-ws-000001\r$/m, "sent: a credential");
unlike($sent, qr/$ClaudeRelay::KEY/, "sent: not the client's");
like($sent, qr/^Connection: Upgrade\r$/m, "sent: Connection");
like($sent, qr/^Upgrade: websocket\r$/m, "sent: Upgrade");
like($sent, qr/^Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r$/m,
     "sent: its key");
like($sent, qr/^OpenAI-Beta: responses_ws\r$/m, "sent: a header");
unlike($sent, qr/extensions/i, "sent: no extensions");

my @e = $ws->create(input => "hi", generate => JSON::PP::false)->turn;

is(join(" ", map { $_->{type} } @e), "response.created"
   . " response.output_text.delta response.output_item.done"
   . " response.completed", "a warm-up");

@e = $ws->create(input => "hi", stream_id => "s1")->turn;

is($e[-1]{type}, "response.completed", "a turn");
is($e[-1]{response}{usage}{total_tokens}, 16, "a turn: its usage");
is($e[-1]{stream_id}, "s1", "a turn: its stream");

@e = $ws->create(input => "fragments")->turn;

is($e[-1]{type}, "response.completed", "an answer in fragments");
is($ws->{pings}, 1, "a ping between them passes");

@e = $ws->create(input => "large")->turn;
is(length $e[1]{delta}, 300_000, "a large answer");

@e = $ws->create(input => "hi", instructions => "y" x 90_000)->turn;
is($e[-1]{type}, "response.completed", "a large message");

$ws->frame(1, '{"type":"response.create","model":"gpt', fin => 0);
$ws->frame(9, "ping");
$ws->frame(0, "", fin => 0);
$ws->frame(0, '-5.5","input":"hi"}');
@e = $ws->turn;
is($e[-1]{type}, "response.completed", "a message in fragments");
is($ws->{pongs}[0], "ping", "a ping of the client is answered by the upstream");

@e = $ws->create(model => "asked-x")->turn;
is($e[-1]{response}{model}, "gpt-mapped", "a model that is mapped");

my @m = $socket->messages;
is(json($m[0])->{generate}, JSON::PP::false, "the first as it was sent");
ok(!grep(/unmasked/, @m), "all of it is masked");
is(scalar @m, 7, "nothing else went upstream");


# 4. refusals: a text, and nothing goes upstream

for (["no JSON", "hello", 400, qr/JSON/],
     ["half of it", '{"type":"response.create"', 400, qr/JSON/],
     ["no type", '{"model":"gpt-5.5"}', 400, qr/type/],
     ["an unknown type", '{"type":"response.make","model":"m"}', 400, qr/type/],
     ["an escape in it", '{"type":"response.creat\u0065","model":"m"}', 400,
      qr/type/],
     ["two types", '{"type":"response.cancel","type":"response.create"}', 400,
      qr/type|duplicate/])
{
    my ($name, $text, $status, $message) = @$_;

    my ($e) = $ws->text($text)->turn;

    is($e->{type}, "error", "$name: an error");
    is($e->{status}, $status, "$name: its status");
    like($e->{error}{message}, $message, "$name: its message");
    is($e->{error}{type}, "invalid_request_error", "$name: its type");
}

@e = $ws->create->turn;
is($e[-1]{type}, "response.completed", "and the connection lives on");
is(scalar($socket->messages), 8, "nothing of it went upstream");

# one at a time

$ws->create(input => "created");
is($ws->json->{type}, "response.created", "a turn begins");
my ($e) = $ws->create(stream_id => "two")->turn;
is($e->{error}{code}, "websocket_stream_limit_reached", "another one may not");
is($e->{stream_id}, "two", "and it is told which");
$ws->text('{"type":"response.cancel"}');
$ws->frame(8, pack("n", 1000));
is($ws->closed, 1000, "a close is answered by the upstream");
like(join("\n", $socket->messages), qr/response\.cancel.*\nclose 1000$/s,
     "and what came before it went there");

# a model, a limit, a key

$ws = socket_open($nginx, "/v1/responses", "x-api-key: bound-secret-0004");
($e) = $ws->create(model => "gpt-6")->turn;
is($e->{status}, 403, "a model that the key may not use");
like($e->{error}{message}, qr/may not use the model "gpt-6"/, "says so");
is(($ws->create->turn)[-1]{type}, "response.completed", "but another one");

$ws->create(model => "gpt-6") for 1 .. 30;
is($ws->closed, 1008, "thirty refusals in a row are enough");

$ws = socket_open($nginx, "/v1/responses", "x-api-key: poor-secret-0003");
is(($ws->create(max_output_tokens => 4)->turn)[-1]{type},
   "response.completed", "a turn within a limit");
is(($ws->create(max_output_tokens => 4)->turn)[-1]{type},
   "response.completed", "the one that oversteps it");
($e) = $ws->create(max_output_tokens => 4)->turn;
is($e->{status}, 429, "a turn beyond it");
like($e->{error}{message}, qr/limit of this key/, "says so");
is($e->{error}{code}, "rate_limit_exceeded", "in the dialect");


# 5. what upstreams do

$ws = socket_open($nginx);
($e) = $ws->create(input => "bad")->turn;
is($e->{error}{message}, "no such thing", "an error of the client's passes");
is(($ws->create->turn)[-1]{type}, "response.completed",
   "and the connection goes on");
$ws->create(input => "close");
is($ws->json->{type}, "response.created", "an upstream that closes");
is($ws->closed, 1000, "its code passes");

$ws = socket_open($nginx);
$ws->create(input => "cut");
is($ws->closed, 0, "an upstream that breaks off: so does the relay");

$ws = socket_open($nginx);
$ws->create(input => "masked");
$ws->json;
is($ws->closed, 0, "a masked frame of an upstream");
ok($nginx->wait_error(qr/broke the WebSocket: a frame is masked/),
   "is told in the log");


# 6. faults of the client

my $text = '{"type":"response.create","model":"gpt-5.5","input":"hi"}';

for (["a frame that is not masked", 1002, frame(1, $text)],
     ["a reserved bit", 1002, frame(1, $text, masked => 1, rsv => 4)],
     ["an unknown opcode", 1002, frame(3, $text, masked => 1)],
     ["a fragmented ping", 1002, frame(9, "", masked => 1, fin => 0)],
     ["a ping of 126 bytes", 1002, frame(9, "x" x 126, masked => 1)],
     ["a continuation of nothing", 1002, frame(0, $text, masked => 1)],
     ["a message in a message", 1002,
      frame(1, "{", masked => 1, fin => 0) . frame(1, $text, masked => 1)],
     ["half of a close code", 1002, frame(8, "x", masked => 1)],
     ["a text that is not UTF-8", 1007, frame(1, "\"\xff\"", masked => 1)],
     ["a binary message", 1003, frame(2, $text, masked => 1)],
     ["a message over the limit", 1009,
      frame(1, "x", masked => 1, length => 102_401)],
     ["a message over all limits", 1009,
      frame(1, "x", masked => 1, length => 2 ** 62)],
     ["fragments over the limit", 1009,
      frame(1, "x" x 60_000, masked => 1, fin => 0)
      . frame(0, "x" x 60_000, masked => 1)])
{
    my ($name, $code, $bytes) = @$_;
    my $n = $socket->messages;

    $ws = socket_open($nginx);
    $ws->connection->send($bytes);

    is($ws->closed, $code, "$name: $code");
    is(scalar($socket->messages), $n, "$name: goes nowhere");
}


# 7. books: a record for each turn, none for a connection

my $health = $nginx->health;

is((grep { $_->{name} eq "ws" } @{ $health->{accounts} })[0]{in_flight} // 0,
   0, "all leases are back") if $health->{accounts};

# an account that is used up rests, and the next one hears of HTTP

$ws = socket_open($nginx);
($e) = $ws->create(input => "limit")->turn;
is($e->{error}{type}, "insufficient_quota", "an account that is used up");
is($ws->closed, 1001, "its connection ends: there may be another account");

$r = $nginx->connect->request("GET", "/v1/responses", headers => \@upgrade)
           ->response;
is($r->status, 426, "there is none, so HTTP shall be");


# 8. handshakes that fail

$r = $nginx->connect->request("GET", "/none/v1/responses",
                              headers => \@upgrade)->response;
is($r->status, 426, "an upstream that has no WebSockets: HTTP")
    || diag $r->head;

$r = $nginx->connect->request("GET", "/v1/responses", body => "x",
                              headers => \@upgrade)->response;
is($r->status, 400, "a handshake with a body");

# 9. books: a record for each turn, none for a connection; a key that is
# disabled makes no more of them; an operator ends it

$nginx->stop;

my $dir = tempdir("claude-relay-socket-XXXXXX", TMPDIR => 1, CLEANUP => 1);

$nginx = relay(
    workers => 1,
    http => "claude_relay_zone relay:4m;\n" . store($dir)
            . "claude_relay_control unix:%%DIR%%/control.sock;",
    accounts => openai("ws", $socket->url),
);

sub rows {
    my ($n) = @_;

    my $rows;

    wait_for(sub {
        $rows = $nginx->control("GET", "/v1/usage/rows?limit=50")->json->{rows};
        return @$rows >= $n;
    });

    return @$rows;
}

$r = $nginx->control("POST", "/v1/keys", { name => "carol" });
is($r->status, 201, "a key of the store") || diag $r->body;

my $secret = $r->json->{secret};

$ws = socket_open($nginx, "/v1/responses", "x-api-key: $secret",
                  "User-Agent: codex_exec/0.169.0");

is(($ws->create(model => "gpt-5")->turn)[-1]{type}, "response.completed",
   "a turn");
is(($ws->create(model => "gpt-5-mini")->turn)[-1]{type}, "response.completed",
   "another one");
is(($ws->create(input => "bad")->turn)[-1]{type}, "error", "one that fails");

my @rows = rows(3);

is(scalar @rows, 3, "three turns are three records");
is(join(" ", map { $_->{operation} } @rows), "socket socket socket", "their op");
is(join(" ", map { $_->{status} } @rows), "400 200 200", "their status");
is(join(" ", map { $_->{model} } @rows), "gpt-5.5 gpt-5-mini gpt-5",
   "their models");
is($rows[2]{key}, "carol", "whose they are");
is($rows[2]{account}, "ws", "who has answered");
is($rows[2]{dialect}, "openai", "their dialect");
is($rows[2]{client}, "codex_exec/0.169.0", "their client");
is($rows[2]{input}, 8,
   "input, less what was cached");

$r = $nginx->control("GET", "/v1/requests");
is(scalar @{ $r->json->{requests} }, 1, "a connection is one under way")
    || diag $r->body;
is($r->json->{requests}[0]{model}, "gpt-5.5", "of its last model");

$r = $nginx->control("PATCH", "/v1/keys/carol", { enabled => JSON::PP::false });
ok($r->status < 300, "the key is disabled") || diag $r->body;

($e) = $ws->create->turn;
is($e->{status}, 401, "a turn after that");
like($e->{error}{message}, qr/disabled/, "says so");
is($ws->closed, 1008, "and the connection ends");

# a client that leaves in the middle of a turn

$ws = socket_open($nginx);
$ws->create(input => "created");
is($ws->json->{type}, "response.created", "a turn that");
$ws->connection->close;

@rows = rows(4);
is($rows[0]{class}, "aborted", "is cut short");

# an operator

$ws = socket_open($nginx);
$ws->create(input => "created");
is($ws->json->{type}, "response.created", "a turn under way");

$r = $nginx->control("GET", "/v1/requests");
my ($id) = map { $_->{id} } @{ $r->json->{requests} };
$r = $nginx->control("DELETE", "/v1/requests/$id");
ok($r->status < 300, "is ended by an operator") || diag $r->body;
is($ws->closed, 0, "at once");

@rows = rows(5);
is($rows[0]{stop_reason}, "operator", "and recorded as that");

# 10. an account with a ChatGPT login

$nginx->stop;

$nginx = relay(
    workers => 1,
    accounts => account("chatgpt", "platform codex; access_token at-000001;"
                                   . " account_id acc-1; websocket on;"
                                   . " base_url " . $socket->url
                                   . "/backend-api/codex;"),
);

$ws = socket_open($nginx, "/backend-api/codex/responses", "version: 0.169.0",
                  "User-Agent: codex_exec/0.169.0", "originator: codex_exec");

like($socket->handshake, qr{^GET /backend-api/codex/responses HTTP/1\.1\r\n},
     "codex: its path");
like($socket->handshake, qr/^Authorization: Bearer at-000001\r$/m,
     "codex: its token");
like($socket->handshake, qr/^chatgpt-account-id: acc-1\r$/mi,
     "codex: its account");
is(($ws->create->turn)[-1]{type}, "response.completed", "codex: a turn");

finish();
