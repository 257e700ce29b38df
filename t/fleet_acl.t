#!/usr/bin/perl

# The user of docs/fleet.md may do what the relay does, and not more: nodes
# that have nothing else share sessions, limits, rests, rows and refreshes, and
# Redis has refused nothing.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayFleet;
use Test::More;


my $up = sandbox();
my $doc = slurp(root() . "/docs/fleet.md");
my ($line) = $doc =~ /^```\n(user relay on .*?)^```/ms;

ok($line, "fleet: the page has a user of Redis");
$line =~ s/\\\n\s*//g;
$line =~ s/\s+$//;
$line =~ s/>PASSWORD/>swordfish-0001/ or fail("fleet: a password to be said");

my $redis = redis(appendonly => 1, acl => $line);

spew("@{[ $redis->dir ]}/password", "swordfish-0001\n");

my $fleet = fleet(2, workers => 1, redis => $redis,
    params => "user=relay password=file:@{[ $redis->dir ]}/password lease=2s",
    keys => "claude_relay_key alice {
                 secret $ClaudeRelay::KEY;
                 limit requests:1000/day; limit concurrency:10;
             }",
    accounts => account("one", "max_concurrency 2;")
                . login_account("login", expires => 1000, more => "pool login;"),
    server => "location /login/ { claude_relay; claude_relay_pool login; }");

ok($fleet->ready(2), "fleet: two nodes")
    or diag explain [map { $_->{fleet} } $fleet->healths];

for my $i (0 .. 5) {
    is($fleet->any(message(), "x-claude-code-session-id: s$i")->status, 200,
       "fleet: a session");
}

# a row, and its end

my ($first, $second) = $fleet->nodes;

my $key = $first->control("POST", "/v1/keys", { name => "made" })->json;

ok(wait_for(sub {
    $second->request("POST", "/v1/messages", body => message(),
                     key => $key->{secret})->status == 200
}), "fleet: a key of the other node");

is($first->control("DELETE", "/v1/keys/made")->status, 204,
   "fleet: it is removed");
ok(wait_for(sub {
    $second->request("POST", "/v1/messages", body => message(),
                     key => $key->{secret})->status == 401
}), "fleet: and is no key any more");

# a rest, and a refresh

$up->behave("sk-ant-one-000001", "status=429,retry-after=60,once");
$first->post("/v1/messages", message());

ok(wait_for(sub {
    my ($pool) = grep { $_->{name} eq "default" } @{ $second->health->{pools} };
    return $pool->{accounts}[0]{state} eq "resting";
}), "fleet: a rest");

is($second->control("POST", "/v1/accounts/login/refresh")->status, 200,
   "fleet: a refresh");
is($_->post("/login/v1/messages", message())->status, 200,
   "fleet: its token is used") for $fleet->nodes;
is($up->oauth_chain("login")->{rotations} // 1, 1, "fleet: one refresh");

# another start knows no scripts

$redis->flush;
$redis->cli("SCRIPT", "FLUSH");
ok(wait_for(sub { $redis->cli("EXISTS", "{claude-relay}:nodes") }),
   "fleet: told again");

my @denied = map { join " ", @{ $_ }[0 .. 9] } @{ $redis->cli("ACL", "LOG") };

is_deeply(\@denied, [], "fleet: Redis has refused nothing");
unlike(join("", map { $_->error_log } $fleet->nodes), qr/NOPERM|no permission/i,
       "fleet: nor was it asked for more");

# and not more

my $client = $redis->client;

$client->cli("AUTH", "relay", "swordfish-0001");

for my $args (["GET", "other"], ["SET", "other", 1], ["KEYS", "*"],
              ["FLUSHALL"], ["CONFIG", "GET", "*"], ["SHUTDOWN"],
              ["PUBLISH", "other", "x"], ["ACL", "LIST"], ["DEBUG", "SLEEP", 0])
{
    eval { $client->cli(@$args) };
    like($@, qr/NOPERM/, "fleet: @$args is not for it");
}

finish();
