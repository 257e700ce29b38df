#!/usr/bin/perl

# What a key may do: services, models, clients, addresses, and the accounts it
# is bound to.  Each refusal has its status, its words and the dialect, and
# nothing of it goes upstream.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my %fields = (
    free => "",
    claude => "permissions claude;",
    all => "permissions all;",
    gemini => "permissions gemini openai droid;",
    haiku => "models *haiku* claude-sonnet-5;",
    no_opus => "models_denied *opus*;",
    both => "models claude-*; models_denied claude-haiku-4*;",
    code => "clients claude_code;",
    tools => "clients codex_cli droid_cli 'my-tool/*';",
    gemini_cli => "clients gemini_cli;",
    here => "addresses 127.0.0.0/8;",
    there => "addresses 192.0.2.0/24 2001:db8::/32;",
    one => "account one;",
    away => "account away;",
    stopped => "account stopped;",
    prefers => "account far; account_fallback on;",
    fallback => "account stopped; account_fallback on;",
    pool => "pool other;",
);

sub secret { return "$_[0]-secret-0001" }

my $keys = join "\n", map { "claude_relay_key $_ { secret " . secret($_)
                            . "; $fields{$_} }" } sort keys %fields;

my $accounts = join "\n", account("one"), account("two"),
    account("away", "pool other;"),
    account("far", "pool third;"),
    account("stopped", "pool third; enabled off;");

my $nginx = relay(
    keys => $keys,
    accounts => $accounts,
    server => <<'END',
        location /real/ {
            claude_relay;
            set_real_ip_from 127.0.0.0/8;
            real_ip_header X-Real-IP;
        }
        location /only/ { claude_relay; claude_relay_clients claude_code; }
        location /only2/ { claude_relay; claude_relay_keys off;
                           claude_relay_clients "my-tool/?*" droid_cli; }
        location /deep/ { claude_relay_clients claude_code;
                          location /deep/open/ { claude_relay;
                                                 claude_relay_clients off; }
                          location /deep/code/ { claude_relay; } }
        location /gemini/ { claude_relay; }
END
);

my $r;

sub ask {
    my ($key, %opt) = @_;

    my $body = $opt{body}
               // message($opt{model} ? (model => $opt{model}) : ());

    return $nginx->request("POST", $opt{uri} // "/v1/messages",
                           key => secret($key), body => $body,
                           headers => $opt{headers} // []);
}

sub allowed {
    my ($key, $name, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $r = ask($key, %opt);

    is($r->status, 200, $name) || diag($r->body);
}

sub refused {
    my ($key, $words, $name, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $n = $up->requests;

    $r = ask($key, %opt);

    is_error($r, 403, "permission_error", $name, $words);
    is($r->header("x-should-retry"), "false", "not again: $name");
    is($up->requests, $n, "nothing upstream: $name");
}


# 1. services

allowed("free", "F046: no permissions are all of them");
allowed("claude", "F046: claude");
allowed("all", "F046: all");
refused("gemini", qr/^this API key has no permission to use this service/,
        "F046: not claude");


# 2. models

my $words = qr/^this API key may not use the model "claude-opus-5"/;

allowed("haiku", "F051: by a pattern", model => "claude-haiku-5-5");
allowed("haiku", "F051: by its name", model => "claude-sonnet-5");
refused("haiku", $words, "F051: another one", model => "claude-opus-5");
refused("no_opus", $words, "F050: denied", model => "claude-opus-5");
refused("no_opus", qr/CLAUDE-Opus-5/, "F050: in other letters",
        model => "CLAUDE-Opus-5");
allowed("no_opus", "F050: not denied", model => "claude-haiku-5-5");
allowed("both", "F050, F051: both allow", model => "claude-haiku-5-5");
refused("both", qr/may not use/, "F050, F051: denied wins",
        model => "claude-haiku-4-5-20251001");
refused("haiku", $words, "F051: count_tokens, too", model => "claude-opus-5",
        uri => "/v1/messages/count_tokens");
refused("haiku", qr/it may not create batches/,
        "F051: batches, whose models are not seen",
        uri => "/v1/messages/batches", body => encode({ requests => [] }));
refused("no_opus", qr/may not use the model/, "F050: escapes do not help",
        body => '{"model":"claude-op\u0075s-5","max_tokens":1,'
                . '"messages":[{"role":"user","content":"x"}]}');

is($nginx->log->{key}, "no_opus", "the key is in the log");
is($nginx->log->{error_class}, "forbidden", "and why");

sub models {
    my $list = $nginx->request("GET", "/v1/models?limit=1000",
                               key => secret($_[0]))->json;

    return map { $_->{id} } @{ $list->{data} };
}

my @all = models("free");

ok((grep { /opus/ } @all) && (grep { /haiku/ } @all), "a list of models");
is("@{[ models('haiku') ]}",
   "@{[ grep { /haiku/ || $_ eq 'claude-sonnet-5' } @all ]}",
   "F051: models that the key may use");
is("@{[ models('no_opus') ]}", "@{[ grep { !/opus/ } @all ]}",
   "F050: without the denied ones");
is($nginx->request("GET", "/v1/models/claude-opus-5", key => secret("no_opus"))
   ->status, 404, "F050: a denied one by its name");


# 3. clients

my @code = ("User-Agent: claude-cli/2.1.0 (external, cli)");
my @more = ("x-app: cli", "anthropic-beta: claude-code-20250219",
            "anthropic-version: 2023-06-01");

$words = qr/^client not allowed/;

allowed("code", "F053: claude_code", headers => [@code, @more]);
refused("code", $words, "F053: no User-Agent");
refused("code", $words, "F053: curl", headers => ["User-Agent: curl/8.0"]);
refused("code", $words, "F053: no x-app", headers => [@code, @more[1, 2]]);
refused("code", $words, "F053: no anthropic-beta",
        headers => [@code, @more[0, 2]]);
refused("code", $words, "F053: no anthropic-version",
        headers => [@code, @more[0, 1]]);
refused("code", $words, "F053: it is not at the beginning",
        headers => ["User-Agent: x claude-cli/2.1.0", @more]);
refused("code", $words, "F053: another client's",
        headers => ["User-Agent: codex_cli_rs/0.1"]);
allowed("tools", "F053: codex_cli",
        headers => ["User-Agent: codex_cli_rs/0.1"]);
allowed("tools", "F053: droid_cli",
        headers => ["User-Agent: factory-cli/0.19.3"]);
allowed("tools", "F053: droid_cli, by another header",
        headers => ["x-factory-client: droid"]);
allowed("tools", "F053: a pattern", headers => ["User-Agent: My-Tool/9"]);
refused("tools", $words, "F053: none of them", headers => [@code, @more]);
refused("gemini_cli", $words, "F053: gemini_cli is for its path",
        headers => ["User-Agent: GeminiCLI/1.0"]);
allowed("gemini_cli", "F053: gemini_cli there", uri => "/gemini/v1/messages");

$words = qr/^client_validation: This endpoint only accepts requests from/;

allowed("free", "F054: claude_code", uri => "/only/v1/messages",
        headers => [@code, @more]);
refused("free", qr/$words claude_code$/, "F054: another client",
        uri => "/only/v1/messages");
refused("tools", $words, "F054: the key's client is not enough",
        uri => "/only/v1/messages", headers => ["User-Agent: my-tool/1"]);
refused("code", $words, "F054: without headers", uri => "/only/v1/messages",
        headers => [@code]);
allowed("nobody", "F054: without keys", uri => "/only2/v1/messages",
        headers => ["User-Agent: my-tool/1"]);
refused("nobody", qr{$words my-tool/\?\*, droid_cli}, "F054: refused there",
        uri => "/only2/v1/messages");
allowed("free", "F054: off in a location", uri => "/deep/open/v1/messages");
refused("free", $words, "F054: inherited", uri => "/deep/code/v1/messages");

is($nginx->request("POST", "/only/v1/messages", key => "nobody-secret",
                   body => message())->status, 401,
   "F054: the key is looked at first");
is($nginx->request("HEAD", "/only/", key => undef)->status, 200,
   "F054: probes are for everybody");


# 4. addresses

$words = qr/^address not allowed/;

allowed("here", "addresses: 127.0.0.1");
refused("there", $words, "addresses: not 127.0.0.1");
refused("there", $words, "addresses: a header that nobody asked for",
        headers => ["X-Real-IP: 192.0.2.7", "X-Forwarded-For: 192.0.2.7"]);
allowed("there", "addresses: by realip", uri => "/real/v1/messages",
        headers => ["X-Real-IP: 192.0.2.7"]);
allowed("there", "addresses: IPv6 by realip", uri => "/real/v1/messages",
        headers => ["X-Real-IP: 2001:db8::7"]);
refused("there", $words, "addresses: another one by realip",
        uri => "/real/v1/messages", headers => ["X-Real-IP: 192.0.3.7"]);
refused("here", $words, "addresses: no longer 127.0.0.1",
        uri => "/real/v1/messages", headers => ["X-Real-IP: 192.0.2.7"]);


# 5. the key's account and pool

sub served {
    my ($key, $account, $name, %opt) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @got = map { ask($key, %opt); $nginx->log->{account} } 1 .. 4;

    is("@got", join(" ", ($account) x 4), $name);
}

served("one", "one", "F047: one account");
served("away", "away", "F047: of another pool");
served("pool", "away", "F048: another pool");
served("prefers", "far", "F047: a preferred account");

# others only if it cannot

my @session = (headers => ["x-claude-code-session-id: s-1"]);

$up->behave("sk-ant-far-000001", "status=529");
ask("prefers", @session);
my $other = $nginx->log->{account};
like($other, qr/^(one|two)$/, "F049: it fails, others of the pool take it")
    || diag($nginx->access_log);
ask("prefers", @session);
is($nginx->log->{account}, $other, "F049: a session stays there meanwhile");
$up->behave("sk-ant-far-000001", "");

# its own one, and no other

$up->behave("sk-ant-one-000001", "status=429,retry-after=30");
$r = ask("one");
is_error($r, 429, "rate_limit_error", "F049: the account's own 429");
cmp_ok($r->header("retry-after"), "<=", 30, "F049: and when");

my $n = $up->requests;

$r = ask("one");
is_error($r, 429, "rate_limit_error", "F049: it rests: 429",
         qr/^the account of this API key cannot serve the request now: \w+/);
cmp_ok($r->header("retry-after"), ">", 0, "F049: with a time");
is($up->requests, $n, "F049: nobody was asked");

ask("free");
is($nginx->log->{account}, "two", "another key goes to the other account");

$up->behave("sk-ant-one-000001", "");

$r = ask("stopped");
is_error($r, 403, "permission_error", "F049: an account that is disabled",
         qr/^the account of this API key cannot serve .*: disabled/);
is($r->header("x-should-retry"), "false", "F049: not again");

ask("fallback");
is($nginx->log->{account}, "two", "F049: or another one, if so written");

my $log = $nginx->error_log . $nginx->access_log;

unlike($log, qr/-secret-0001/, "no secret in a log");

finish();
