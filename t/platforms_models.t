#!/usr/bin/perl

# F010, F016 and others.md I 53: GET /v1/models in the words of who asks.

use warnings;
use strict;

use ClaudeRelay;
use Test::More;


my $up = sandbox();

sub one { account($_[0], "$_[1] api_key sk-$_[0];") }

my $nginx = relay(
    accounts => one("claude", "platform anthropic;")
                . one("gpt", "platform openai;")
                . one("google", "platform gemini; models gemini-2.5-*;")
                . one("only", "platform openai; pool only; models gpt-5.*
                               house-model;")
                . one("azure", "platform azure; pool azure;
                                model_map gpt-5.5 dep; model_map x-* y;")
                . one("listed", "platform openai; pool listed;")
                . one("off", "platform openai; pool off; enabled off;"),
    keys => "claude_relay_key alice { secret $ClaudeRelay::KEY; }"
            . "claude_relay_key narrow { secret narrow-secret-01;"
            . " models gpt-4*; }",
    server => <<'END');
        location /only/ { claude_relay; claude_relay_pool only; }
        location /azure-pool/ { claude_relay; claude_relay_pool azure; }
        location /off/ { claude_relay; claude_relay_pool off; }
        location /listed/ {
            claude_relay;
            claude_relay_pool listed;
            claude_relay_models claude-opus-5 gpt-5.5 "own=Own \"M\"";
        }
END

my ($r, $j);

sub ask {
    my ($uri, @headers) = @_;

    $r = $nginx->request("GET", $uri, key => undef,
                         headers => ["authorization: Bearer "
                                     . $ClaudeRelay::KEY, @headers]);

    return $r->json;
}


# the four who ask

for my $case (["anthropic-version", "/v1/models?limit=1000",
               "anthropic-version: 2023-06-01"],
              ["Claude Code", "/v1/models?limit=1000",
               "user-agent: claude-cli/2.0.0 (external, cli)"],
              ["a path of Claude", "/claude/v1/models?limit=1000"])
{
    my ($name, $uri, @headers) = @$case;

    $j = ask($uri, @headers);
    is($r->status, 200, "53: $name");
    ok(!exists $j->{object} && $j->{first_id} =~ /^claude-/
       && $j->{data}[0]{type} eq "model", "53: $name: in Anthropic's words");
    is(scalar(grep { $_->{id} !~ /^claude-/ } @{ $j->{data} }), 0,
       "53: $name: what its clients can use");
}

for my $uri ("/v1/models", "/openai/v1/models", "/models") {
    $j = ask($uri);
    is($r->status, 200, "53: $uri");
    is($j->{object}, "list", "53: $uri: in OpenAI's words");
    is(scalar(grep { $_->{object} ne "model" || $_->{created} !~ /^\d+$/
                     || !length $_->{owned_by} } @{ $j->{data} }), 0,
       "53: $uri: its fields");

    my %id = map { $_->{id} => 1 } @{ $j->{data} };

    ok($id{"gpt-5.5"} && $id{"text-embedding-3-small"},
       "53: $uri: models of OpenAI");
    is(scalar(grep { /^claude/ } keys %id), 0,
       "53: $uri: and none that this dialect has no way to")
        || diag join " ", sort keys %id;
}

$j = ask("/v1/models?client_version=0.169.0");
ok(ref $j->{models} eq "ARRAY" && !exists $j->{data},
   "53: Codex has a list of its own");

$j = ask("/only/v1/models?client_version=0.169.0");
is(scalar(grep { !length $_->{slug} || !length $_->{display_name}
                 || ref $_->{supported_reasoning_levels} ne "ARRAY" }
          @{ $j->{models} }), 0, "53: Codex: its fields");
ok(scalar(grep { $_->{slug} eq "gpt-5.5" } @{ $j->{models} }),
   "53: Codex: a model");
like($r->header("etag"), qr/^"[0-9a-f]{8}"$/, "53: Codex: a tag");

my $tag = $r->header("etag");
ask("/only/v1/models?client_version=0.170.0");
is($r->header("etag"), $tag, "53: Codex: which stays while the list does");

$j = ask("/v1beta/models");
is($r->status, 200, "F016: a list in Gemini's words");
is_deeply([sort map { $_->{name} } @{ $j->{models} }],
          [map { "models/gemini-2.5-$_" } qw/ flash flash-lite pro /],
          "F016: of what the account serves") || diag explain $j;
is($j->{models}[0]{supportedGenerationMethods}[0], "generateContent",
   "F016: what can be done with it");
cmp_ok($j->{models}[0]{inputTokenLimit}, ">", 1000000, "F016: its limits");

$j = ask("/v1beta/models?pageSize=2");
is(scalar(@{ $j->{models} }), 2, "F016: a page");
$j = ask("/v1beta/models?pageSize=2&pageToken=$j->{nextPageToken}");
is(scalar(@{ $j->{models} }), 1, "F016: the last one");
ok(!exists $j->{nextPageToken}, "F016: has no next");

for my $args ("pageSize=0", "pageSize=x", "pageToken=99", "pageToken=-1") {
    ask("/v1beta/models?$args");
    is($r->status, 400, "F016: $args");
}


# one of them

$j = ask("/v1/models/gpt-5.5");
is($j->{id} . $j->{object}, "gpt-5.5model", "F010: one model");

$j = ask("/v1/models/gpt-nobody");
is($r->status, 404, "F010: none");
is($j->{error}{type}, "invalid_request_error", "F010: in this dialect");

$j = ask("/v1beta/models/gemini-2.5-pro");
is($j->{name}, "models/gemini-2.5-pro", "F016: one model");

ask("/v1beta/models/gemini-nobody");
is($r->status, 404, "F016: none");
is($r->json->{error}{status}, "NOT_FOUND", "F016: in this dialect")
    || diag $r->body;


# what accounts, keys and operators say

is_deeply([map { $_->{id} } @{ ask("/azure-pool/v1/models")->{data} }],
          ["gpt-5.5"], "F022: names that are mapped, no patterns");

my @only = map { $_->{id} } @{ ask("/only/v1/models")->{data} };
is(scalar(grep { $_ eq "house-model" } @only), 1,
   "F010: an account's own name");
is(scalar(grep { !/^gpt-5\.|^house-model$/ } @only), 0,
   "F010: what it serves and nothing else") || diag "@only";

is_deeply(ask("/off/v1/models")->{data}, [], "F010: who is off has none");

is_deeply([map { $_->{id} } @{ ask("/listed/v1/models")->{data} }],
          ["gpt-5.5", "own"], "F010: an operator's list, its order");
is(ask("/listed/v1/models?client_version=1")->{models}[1]{display_name},
   'Own "M"', "F010: an operator's name");

$r = $nginx->request("GET", "/v1/models", key => undef,
                     headers => ["authorization: Bearer narrow-secret-01"]);
is(scalar(grep { $_->{id} !~ /^gpt-4/ } @{ $r->json->{data} }), 0,
   "F010: what the key may ask for");
cmp_ok(scalar(@{ $r->json->{data} }), ">", 1, "F010: all of it");

$r = $nginx->request("GET", "/v1/models", key => undef);
is($r->status, 401, "F010: not without a key");


finish();
