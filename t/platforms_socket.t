#!/usr/bin/perl

# Responses over a WebSocket (others.md A7; clients.md 4.2): where no account
# has them, a 426 sends the client to HTTP.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


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

finish();
