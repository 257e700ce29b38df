#!/usr/bin/perl

# "claude_relay_store redis": Redis has the record of accounts and keys, and a
# node may lose all it has.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;
use ClaudeRelayFleet;


my $up = sandbox();
my $redis = redis(appendonly => 1);
my $slow = slow($redis, 0);

my $store = "claude_relay_store redis cache=%%DIR%%/db/cache.db"
            . " secret=%%SECRET%%;";

my $fleet = fleet(3, redis => $redis, workers => 2, zone => "8m",
                  accounts => "", store => $store,
                  each => sub { $_[0] == 2 ? (redis => $slow) : () },
                  server => "location /k/ { claude_relay; claude_relay_keys on;"
                            . " }");

my ($r, $secret);

sub api {
    my ($node, $method, $path, $body, @headers) = @_;

    return $fleet->node($node)->control($method, "/v1$path", $body, @headers);
}

sub ask {
    my ($node, $key, $path, $body) = @_;

    return $fleet->node($node)->request("POST", "/k" . ($path // "/v1/messages"),
                                        key => $key,
                                        body => $body // message());
}

sub row { $redis->cli("HGET", "{claude-relay}:rows", $_[0]) }

sub refused {
    my ($r, $why, $name) = @_;

    is($r->status, 503, "fleet: $name: refused");
    like($r->body, $why, "fleet: $name: and told why") || diag($r->body);
}


# what is configured

for (
    [ "", qr/needs "claude_relay_redis"/, "without Redis",
      "claude_relay_store redis cache=%%DIR%%/c/x.db secret=%%DIR%%/k;" ],
    [ "claude_relay_redis 127.0.0.1:1 node=x;", qr/all nodes of a fleet have/,
      "without a key",
      "claude_relay_store redis cache=%%DIR%%/c/x.db secret=%%DIR%%/k;" ],
    [ "claude_relay_redis 127.0.0.1:1 node=x;", qr/empty "cache="/,
      "an empty path", "claude_relay_store redis cache= secret=%%DIR%%/k;" ],
    [ "claude_relay_redis 127.0.0.1:1 node=x;", qr/needs "secret="/,
      "no key at all", "claude_relay_store redis;" ],
    [ "", qr/invalid parameter "cache=x"/, "a cache of a file",
      "claude_relay_store x.db secret=%%DIR%%/k cache=x;" ],
) {
    my ($more, $why, $name, $text) = @$_;
    my $said = config(relay_http(http => "$text $more"));

    like($said, $why, "fleet: $name");
}


# made: it is answered when Redis has it

ok(wait_for(sub { 3 == grep { $_->{fleet}{synced} } $fleet->healths }, 30),
   "fleet: the nodes have what Redis has, nothing");

ok(wait_for(sub { api(0, "POST", "/groups", { name => "probe" })->status
                  != 503 }), "fleet: Redis may be the record");

my $told = 0;

for my $i (1 .. 10) {
    $r = api($i % 3, "POST", "/keys", { name => "key$i" });
    $told += ($r->status == 201 && defined row("o/key/key$i"));
    $secret = $r->json->{secret};
}

is($told, 10, "fleet: a key is answered when Redis has it");

$r = api(0, "POST", "/accounts",
         { name => "one", platform => "anthropic", base_url => $up->url,
           api_key => "sk-ant-api03-fleet-store-1" });
is($r->status, 201, "fleet: an account is made") || diag($r->body);
ok(defined row("a/one"), "fleet: and Redis has it");

$r = api(1, "PATCH", "/settings", { branding => { name => "Ours" } });
is($r->status, 200, "fleet: settings are changed");
like(row("o/setting/main") // row("o/setting/settings") // "", qr/^1 /,
     "fleet: and Redis has them");

ok(wait_for(sub { !grep { ask($_, $secret)->status != 200 } 0 .. 2 }),
   "fleet: all nodes serve with it");
ok($fleet->ready, "fleet: and are well");


# a node without anything

my $node = $fleet->node(2);

$node->stop;
unlink glob($node->dir . "/db/*");
is(join(" ", glob($node->dir . "/db/*")), "", "fleet: a node has lost all");
$node->start;
ok(wait_for(sub { ask(2, $secret)->status == 200 }),
   "fleet: and serves again");
is(api(2, "GET", "/keys/key3")->status, 200, "fleet: with all keys");


# the same while Redis cannot be reached

$node->stop;
unlink glob($node->dir . "/db/*");
$slow->hole;
$node->start;

$r = ask(2, $secret);
is($r->status, 503, "fleet: without Redis it knows no key");
is($r->json->{error}{type}, "api_error", "fleet: in the client's dialect")
    || diag($r->body);
like($r->json->{error}{message}, qr/keys of the fleet are not here yet/,
     "fleet: and says why");
ok($r->header("retry-after"), "fleet: and when to try again");

$r = ask(2, $secret, "/v1/chat/completions",
         { model => "claude-sonnet-4-5", messages => [] });
is($r->status, 503, "fleet: an OpenAI client, too");
ok(!exists $r->json->{type} && $r->json->{error}{message},
   "fleet: in its dialect");

$r = $node->post("/v1/messages", message());
is($r->status, 503, "fleet: nor an account");
like($r->body, qr/accounts of the fleet are not here yet/,
     "fleet: which is told, too");
ok($r->header("retry-after"), "fleet: with a time");
isnt($node->health->{status}, "ok", "fleet: it is not well");
refused(api(2, "POST", "/keys", { name => "no" }), qr/away/,
        "a change without Redis");
is(api(2, "GET", "/keys")->status, 200, "fleet: what it has is shown");

$slow->heal;
ok(wait_for(sub { ask(2, $secret)->status == 200 }, 30),
   "fleet: with Redis it serves");
ok($fleet->ready, "fleet: and all are well");


# Redis goes away under them

$redis->pause;
ok(wait_for(sub { $fleet->degraded }, 30), "fleet: Redis is away");

is(ask($_, $secret)->status, 200, "fleet: node $_ serves on") for 0 .. 2;

refused(api(0, "PATCH", "/keys/key1", { enabled => JSON::PP::false() }),
        qr/nothing can be changed now: Redis.* is away/, "a key");
refused(api(1, "DELETE", "/accounts/one"), qr/nothing can be changed/,
        "an account");
is(api(1, "GET", "/keys/key1")->status, 200, "fleet: it is shown");
is(api(1, "GET", "/accounts/one")->status, 200, "fleet: and so is that");

$r = api(0, "POST", "/people", { name => "carol", role => "viewer",
                                 password => "correct horse battery" });
isnt($r->status, 503, "fleet: people are each node's own");

$redis->resume;
ok($fleet->ready, "fleet: Redis is there again");

$r = api(0, "PATCH", "/keys/key1", { enabled => JSON::PP::false() });
is($r->status, 200, "fleet: and keys can be changed") || diag($r->body);
like(row("o/key/key1"), qr/^2 /, "fleet: which Redis has");


# Redis that keeps nothing

$redis->config("appendonly", "no");
api($_, "POST", "/fleet/repair") for 0 .. 2;

ok(wait_for(sub { api(0, "POST", "/keys", { name => "k$$" . rand })->status
                  == 503 }), "fleet: without an append-only file");
refused(api(0, "POST", "/keys", { name => "no" }), qr/append-only/,
        "a change that would not last");
is(ask(0, $secret)->status, 200, "fleet: requests go on");
like($fleet->node(0)->error_log,
     qr/cannot be the record of accounts and keys: it has no append-only/,
     "fleet: it is in the log");

$redis->config("appendonly", "yes");
ok(wait_for(sub { api(0, "PATCH", "/keys/key2", { description => "x" })
                  ->status == 200 }, 30), "fleet: with one again");

$redis->config("maxmemory", "100mb");
$redis->config("maxmemory-policy", "allkeys-lru");
api($_, "POST", "/fleet/repair") for 0 .. 2;
ok(wait_for(sub { api(0, "POST", "/keys", { name => "k$$" . rand })->status
                  == 503 }), "fleet: nor one that drops keys");
$redis->config("maxmemory-policy", "volatile-lru");
ok(wait_for(sub { api(0, "PATCH", "/keys/key2", { description => "y" })
                  ->status == 200 }, 30),
   "fleet: but one that drops what has an end");


# all of it restarts

$_->stop for $fleet->nodes;
unlink glob($_->dir . "/db/*") for $fleet->nodes;
$redis->restart;
$_->start for $fleet->nodes;

ok(wait_for(sub { !grep { ask($_, $secret)->status != 200 } 0 .. 2 }, 30),
   "fleet: three new nodes on the Redis that was there");
is(api(1, "GET", "/keys/key1")->json->{enabled}, JSON::PP::false(),
   "fleet: as it was left");

finish();
