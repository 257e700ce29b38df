#!/usr/bin/perl

# Claude Code in its Vertex mode (clients.md, "Vertex") through the relay: to
# the sandbox's Vertex, by its own paths; and without that mode to the same
# account by those of the Messages API.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;

use ClaudeRelay;
use ClaudeRelayClients;


alarm 300;

my ($node, $claude) = clients();

my $answer = "This is the sandbox upstream";
my $up = sandbox();

my $nginx = relay(
    accounts => account("google", "platform vertex; api_key ya29.token-1;"
                                  . " project p-1; region us-east5;"),
);

my $url = "http://127.0.0.1:" . $nginx->port;

my %quiet = (
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1,
    DISABLE_TELEMETRY => 1,
    DISABLE_AUTOUPDATER => 1,
);

my %modes = (
    "its Vertex mode" => {
        CLAUDE_CODE_USE_VERTEX => 1,
        CLAUDE_CODE_SKIP_VERTEX_AUTH => 1,
        ANTHROPIC_VERTEX_BASE_URL => "$url/vertex/v1",
        ANTHROPIC_VERTEX_PROJECT_ID => "any",
        CLOUD_ML_REGION => "us-east5",
        ANTHROPIC_API_KEY => $ClaudeRelay::KEY,
    },
    "the Messages API" => {
        ANTHROPIC_BASE_URL => $url,
        ANTHROPIC_AUTH_TOKEN => $ClaudeRelay::KEY,
    },
);

for my $mode (sort keys %modes) {
    $up->since;

    my $status = run({ %quiet, %{ $modes{$mode} } }, $claude, "-p",
                     "hello there");

    is($status, 0, "Claude Code, $mode: its exit status")
        or diag(slurp(client_dir() . "/err"));
    like(slurp(client_dir() . "/out"), qr/^$answer\s*$/,
         "Claude Code, $mode: an answer");

    my @asked = $up->since;
    my @other = grep { $_->{target} !~ m{^/v1/projects/p-1/locations/us-east5
                                         /publishers/anthropic/models/
                                         [\w.@-]+:(streamR|r)awPredict(\?|$)}x
                     } @asked;

    ok(scalar(grep { $_->{target} =~ /:streamRawPredict/ } @asked),
       "Claude Code, $mode: a stream");
    is_deeply([map { $_->{target} } @other], [],
              "Claude Code, $mode: all of it to Vertex's paths");
    is((grep { $_->{status} != 200 } @asked), 0,
       "Claude Code, $mode: nothing was refused");
    is((grep { $_->{credential} ne "ya29.token-1" } @asked), 0,
       "Claude Code, $mode: with the account's token");
}


finish();
