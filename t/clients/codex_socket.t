#!/usr/bin/perl

# The Codex CLI with a provider that has WebSockets, by which it asks for one
# first: with an account that has none, and with one that has.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use ClaudeRelay;
use ClaudeRelayClients;
use ClaudeRelaySocket;
use Test::More;


needed_codex();

my $up = sandbox();
my $socket = socket_upstream();

sub http {
    my ($more) = @_;

    return (workers => 1,
            server => "large_client_header_buffers 4 32k;",
            location => "claude_relay_buffer_size 64k;",
            accounts => account("one", "platform codex; account_id acc-one;"
                                       . " access_token token-one-000001;"
                                       . " $more"));
}

my $nginx = relay(http("base_url %%UP%%/backend-api/codex;"));

sub turn { codex($nginx, $_[0], sockets => 1) }


# 1. over HTTP, after one 426

my $t = turn("hello");

is($t->{status}, 0, "a turn of the Codex CLI")
    || diag($t->{err});
like($t->{out}, qr/^word0 word1 word2/m, "what the model said, over HTTP")
    || diag($t->{out}, $t->{err});

my @asked = $nginx->access_log =~ m{"GET /v1/responses HTTP/1.1"}g;

# to warm up, and for the turn: never five times

cmp_ok(scalar @asked, "<=", 2, "a WebSocket was asked for, and no more");
like($nginx->access_log, qr{"status":426,"request":"GET /v1/responses},
     "and there was none");


# 2. over a WebSocket

$nginx->stop;
$nginx = relay(http("base_url " . $socket->url . "; websocket on;"));

$t = turn("hello");

is($t->{status}, 0, "a turn over a WebSocket") || diag($t->{err});
like($t->{out}, qr/^Hello over a WebSocket$/m, "what the model said")
    || diag($t->{out}, $t->{err});

my @messages = grep { /^\{/ } $socket->messages;

ok(@messages >= 1, "turns went over it");
is(scalar(grep { json($_)->{type} eq "response.create" } @messages),
   scalar @messages, "each of them a response.create");
unlike($nginx->access_log, qr{"POST /v1/responses}, "and none over HTTP");

finish();
