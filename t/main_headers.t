#!/usr/bin/perl

# Request headers on their way to the upstream (DESIGN 5, protocols B).

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    accounts => account("one")
                . account("oauth", "platform claude-oauth; pool oauth;"
                                   . " access_token sk-ant-oat01-token;"),
    server => "location /oauth/ { claude_relay; claude_relay_pool oauth; }",
);

my $length = length message();


# the raw lines that arrived

sub sent {
    my ($uri, @headers) = @_;

    $nginx->connect->request("POST", $uri, key => undef, body => message(),
                             headers => \@headers)->response;

    return $up->last->{headers};
}

sub key { "x-api-key: $ClaudeRelay::KEY" }


# 1. order, case and blanks as sent; what is replaced keeps its place

my @claude_code = (
    "Accept: application/json",
    "Authorization: Bearer $ClaudeRelay::KEY",
    "Content-Type: application/json",
    "User-Agent: claude-cli/2.1.220 (external, cli)",
    "X-Claude-Code-Session-Id: 00000000-0000-4000-8000-000000000001",
    "X-Stainless-Arch: x64",
    "X-Stainless-Lang: js",
    "X-Stainless-Retry-Count: 0",
    "X-Stainless-Timeout: 600",
    "anthropic-beta: claude-code-20250219,interleaved-thinking-2025-05-14",
    "anthropic-dangerous-direct-browser-access: true",
    "anthropic-version: 2023-06-01",
    "x-app: cli",
    "x-client-request-id: 00000000-0000-4000-8000-000000000002",
    "x-claude-code-request-class: main",
    "x-claude-code-prev-tool-durations: Read=12;Bash=%20",
    "Connection: keep-alive",
    "Host: relay.example",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Content-Length: $length",
);

is_deeply(sent("/v1/messages", @claude_code), [
    map { /^Authorization/ ? "x-api-key: sk-ant-one-000001"
          : /^Host/ ? "Host: " . $up->addr
          : /^Accept-Enc/ ? "Accept-Encoding: identity"
          : /^Connection/ ? () : $_ } @claude_code
], "a request of Claude Code, line by line");

is_deeply(sent("/oauth/v1/messages", @claude_code), [
    map { /^Authorization/ ? "Authorization: Bearer sk-ant-oat01-token"
          : /^Host/ ? "Host: " . $up->addr
          : /^Accept-Enc/ ? "Accept-Encoding: identity"
          : /^Connection/ ? ()
          : s/claude-code-20250219/$&,oauth-2025-04-20/r } @claude_code
], "the same with a subscription: one name more");

is_deeply(sent("/v1/messages", "Host: a", key(), "Content-Length: $length",
               "Content-Type: application/json"),
          ["Host: " . $up->addr, "x-api-key: sk-ant-one-000001",
           "Content-Length: $length", "Content-Type: application/json",
           "anthropic-version: 2023-06-01"],
          "the least: only anthropic-version is added");


# 2. what goes on as it is

my @odd = ("X-Unknown: value", "x-UPPER-lower: MiXed", "X-Empty: ",
           "X-Many: 1", "x-many: 2", "X-Many: 1", "X_Under_Score: 1",
           "X-Utf8: \xc3\xa4", "X-Tabs: a\tb", "X-Colon: a:b: c",
           "X-Quotes: \"a\", 'b'", "Accept: text/event-stream",
           "accept-language: de", "sec-fetch-mode: cors", "Range: bytes=0-1",
           "If-None-Match: \"x\"", "X-Long: " . "l" x 5000,
           "anthropic-user-profile-id: p", "anthropic-workspace-id: w",
           "anthropic-new-thing: 1", "X-Anthropic-Additional-Protection: true",
           "X-Client-App: app", "x-request-id: theirs");

my $lines = sent("/v1/messages", key(), @odd);

for my $header (@odd) {
    my $want = $header =~ s/\xc3\xa4/\x{e4}/r;
    my $name = substr $header, 0, 30;

    ok(scalar(grep { $_ eq $want || "$_ " eq $want } @$lines),
       "goes on: $name");
}

is(scalar(grep { /^x-many:/i } @$lines), 3, "goes on: all of one name");


# 3. what stays here

my @dropped = (
    "Connection: keep-alive", "Keep-Alive: timeout=5", "TE: trailers",
    "Trailer: X-T", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk",
    "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic eDp5",
    "Cookie: session=1", "Origin: https://a.example",
    "Referer: https://a.example/", "Via: 1.1 a", "Forwarded: for=192.0.2.1",
    "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Proto: https",
    "X-Forwarded-Host: a", "X-Forwarded-Anything: 1", "X-Real-IP: 192.0.2.1",
    "True-Client-IP: 192.0.2.1", "X-Client-IP: 192.0.2.1",
    "X-Cluster-Client-IP: 192.0.2.1", "CF-Ray: 1", "cf-connecting-ip: 1",
    "CDN-Loop: cloudflare", "X-Accel-Internal: 1", "X-Accel-Redirect: /x",
    "X-Goog-Api-Key: $ClaudeRelay::KEY", "Api-Key: $ClaudeRelay::KEY",
);

$lines = sent("/v1/messages", key(), @dropped);

for my $header (@dropped) {
    my ($name) = split /:/, $header;

    ok(!(grep { /^\Q$name\E:/i } @$lines), "stays here: $name");
}

is($up->last->{auth}, "x-api-key", "one credential goes on");

for my $connection ("X-Hop", "close, X-Hop", "keep-alive,x-hop , other",
                    "X-HOP,close")
{
    $lines = sent("/v1/messages", key(), "Connection: $connection", "X-Hop: 1",
                  "X-Hope: 2");

    is_deeply([grep { /^x-hop/i } @$lines], ["X-Hope: 2"],
              "Connection: $connection names a hop's header");
}

$lines = sent("/v1/messages", key(), "Connection: keep-alive",
              "Connection: x-hop", "X-Hop: 1");
is_deeply([grep { /^x-hop/i } @$lines], [], "a second Connection counts, too");

$lines = sent("/v1/messages", key(),
              "Connection: anthropic-version, content-type, content-length, "
              . "host, x-api-key", "anthropic-version: 2023-06-01");
is(scalar(grep { /^(content-length|host|x-api-key):/i } @$lines), 3,
   "Connection takes nothing away that must be there");

is($up->last->{connection}, do { sent("/v1/messages", key());
                                 $up->last->{connection} },
   "connections to the upstream are kept");


# 4. anthropic-version

for my $version ("2023-06-01", "2026-10-21", "") {
    sent("/v1/messages", key(), "anthropic-version: $version");
    is_deeply([$up->header("anthropic-version")], [$version],
              "anthropic-version: '$version' goes on");
}

sent("/v1/messages/count_tokens", key());
is($up->header("anthropic-version"), "2023-06-01",
   "anthropic-version: the default for count_tokens");


# 5. anthropic-beta of an API key: the client's, untouched (B.3, B.4)

for my $beta ("x", "oauth-2025-04-20", "a,b,a", " a , b", "unknown-2099-01-01",
              "claude-code-20250219,oauth-2025-04-20", ",")
{
    sent("/v1/messages", key(), "anthropic-beta: $beta");
    is_deeply([$up->header("anthropic-beta")], [$beta =~ s/^ +//r],
              "beta with an API key: '$beta'");
}

sent("/v1/messages", key());
is($up->header("anthropic-beta"), undef, "beta with an API key: none");


# 6. of a subscription: it gains one name at its place

my $o = "oauth-2025-04-20";
my $cc = "claude-code-20250219";

for (
    [[], [$o], "none"],
    [["a"], ["$o,a"], "first"],
    [["a,b"], ["$o,a,b"], "first of many"],
    [[$cc], ["$cc,$o"], "after claude-code"],
    [["$cc,a,b"], ["$cc,$o,a,b"], "after claude-code, before others"],
    [["a,$cc,b"], ["a,$cc,$o,b"], "after claude-code in the middle"],
    [["a,$cc"], ["a,$cc,$o"], "after claude-code at the end"],
    [["$cc, a, b"], ["$cc,$o, a, b"], "blanks stay"],
    [["$cc,a,a"], ["$cc,$o,a,a"], "duplicates stay"],
    [["$cc,$cc"], ["$cc,$o,$cc"], "claude-code twice"],
    [["$cc,$o,a"], ["$cc,$o,a"], "it is there"],
    [["a, $o"], ["a, $o"], "it is there, at the end"],
    [["$o,$cc"], ["$o,$cc"], "it is there, elsewhere"],
    [["${o}x,a"], ["$o,${o}x,a"], "a longer name is another one"],
    [["x$o"], ["$o,x$o"], "a name that ends with it is another one"],
    [["${cc}0"], ["$o,${cc}0"], "a longer claude-code is another one"],
    [[""], [$o], "empty"],
    [["a", $o], ["a", $o], "it is in a second header"],
    [[$o, "a"], [$o, "a"], "it is in the first header"],
    [["a", "x$o"], ["$o,a", "x$o"], "a second header with a similar name"],
    [[$cc, "a"], ["$cc,$o", "a"], "two headers, claude-code in the first"],
    [["a", $cc], ["a", "$cc,$o"], "two headers, claude-code in the second"],
) {
    my ($client, $want, $name) = @$_;

    sent("/oauth/v1/messages", key(), map { "anthropic-beta: $_" } @$client);
    is_deeply([$up->header("anthropic-beta")], $want, "beta: $name");
}

sent("/oauth/v1/messages/count_tokens", key(), "Anthropic-Beta: $cc");
is($up->header("anthropic-beta"), "$cc,$o", "beta: count_tokens");


# 7. accept-encoding

for my $value ("gzip", "gzip, br", "identity", "*", "") {
    sent("/v1/messages", key(), "Accept-Encoding: $value");
    is_deeply([$up->header("accept-encoding")], ["identity"],
              "accept-encoding: '$value'");
}

finish();
