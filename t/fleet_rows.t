#!/usr/bin/perl

# Accounts, tokens and keys of one node are those of all: made, changed, taken
# away, while Redis is there, is not, was emptied, or has what is not ours.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw/ time sleep /;

use ClaudeRelay;
use ClaudeRelayFleet;


my $up = sandbox();
my $redis = redis();
my $fleet = fleet(3, redis => $redis, workers => 2, zone => "8m",
                  accounts => "",
                  server => "location /k/ { claude_relay; claude_relay_keys on;"
                            . " }");

my ($r, $secret, $other);

sub api {
    my ($node, $method, $path, $body, @headers) = @_;

    return $fleet->node($node)->control($method, "/v1$path", $body, @headers);
}

sub make {
    my ($node, $kind, $name, %fields) = @_;

    my $made = api($node, "POST", "/$kind", { name => $name, %fields });

    is($made->status, 201, "fleet: $kind $name is made on node $node")
        || diag($made->body);

    return $made->json->{secret};
}

# what all of them say of an object: statuses, or values of a field

sub all {
    my ($path, $field) = @_;

    return join " ", map {
        my $got = api($_, "GET", $path);
        my $value = $field && $got->status == 200 ? $got->json->{$field}
                                                  : $got->status;
        ref $value ? $value ? 1 : 0 : $value // "none";
    } 0 .. 2;
}

sub status {
    my ($node, $key) = @_;

    return $fleet->node($node)->request("POST", "/k/v1/messages", key => $key,
                                        body => message())->status;
}

sub statuses { join " ", map { status($_, $_[0]) } 0 .. 2 }

sub row { $redis->cli("HGET", "{claude-relay}:rows", $_[0]) }

sub agrees {
    my ($path, $field, $value, $name) = @_;

    my $ok = wait_for(sub { all($path, $field) eq join " ", ($value) x 3 });

    ok($ok, "fleet: $name") || diag(all($path, $field));
}


ok(wait_for(sub {
    return !grep { ($_->{fleet}{state} // "") ne "up"
                   || $_->{fleet}{nodes} != 3 } $fleet->healths;
}, 30), "fleet: three nodes");

# an account, with its tokens

$r = api(0, "POST", "/accounts",
         { name => "first", platform => "anthropic", base_url => $up->url,
           api_key => "sk-ant-api03-fleet-account-1" });
is($r->status, 201, "fleet: an account is made on node 0") || diag($r->body);
agrees("/accounts/first", "name", "first", "and is there on all nodes");

$secret = make(1, "keys", "anna");
agrees("/keys/anna", "name", "anna", "a key is on all nodes");
ok(wait_for(sub { statuses($secret) eq "200 200 200" }),
   "fleet: and opens all of them") || diag(statuses($secret));

unlike(join("\n", map { row($_) // "" } "a/first", "o/key/anna"),
       qr/sk-ant|anna|fleet-account|$secret/,
       "fleet: nothing of them can be read in Redis");
like(row("o/key/anna"), qr/^1 \d+ [\w-]+$/, "fleet: but their version");


# changed, on another node

$r = api(2, "PATCH", "/keys/anna", { enabled => JSON::PP::false() });
is($r->status, 200, "fleet: a key is switched off on node 2");

my $begin = time;
my $off = wait_for(sub { statuses($secret) !~ /200/ }, 10);
my $took = time - $begin;

ok($off, "fleet: and off on all nodes");
cmp_ok($took, "<", asan() ? 5 : 1, "fleet: within a second");
note(sprintf "off everywhere after %.0f ms", 1000 * $took);

$r = api(0, "PATCH", "/keys/anna", { enabled => JSON::PP::true() });
ok(wait_for(sub { statuses($secret) eq "200 200 200" }),
   "fleet: on again, by node 0") || diag(statuses($secret));
like(row("o/key/anna"), qr/^3 /, "fleet: its version went on");

# users, groups, limits, settings

make(0, "groups", "team");
make(1, "users", "bob", group => "team");
agrees("/users/bob", "group", "team", "a user is on all nodes, in its group");
$r = api(1, "PATCH", "/settings", { branding => { name => "Ours" } });
is($r->status, 200, "fleet: settings are changed on node 1")
    || diag($r->body);
ok(wait_for(sub { 3 == grep { api($_, "GET", "/settings")->body =~ /Ours/ }
                            0 .. 2 }), "fleet: and are those of all nodes");

# removed

$r = api(1, "DELETE", "/keys/anna?permanent=true");
is($r->status, 204, "fleet: a key is removed on node 1");
ok(wait_for(sub { all("/keys/anna") eq "404 404 404" }),
   "fleet: and gone on all nodes") || diag(all("/keys/anna"));
ok(wait_for(sub { statuses($secret) eq "401 401 401" }),
   "fleet: it opens nothing") || diag(statuses($secret));

$other = make(2, "keys", "anna");
ok(wait_for(sub { statuses($other) eq "200 200 200" }),
   "fleet: another one of its name does") || diag(statuses($other));
is(statuses($secret), "401 401 401", "fleet: not with the old secret");
like(row("o/key/anna"), qr/^5 /, "fleet: it goes on from the removed one");


# while Redis is away

$redis->pause;
ok(wait_for(sub { $fleet->degraded }, 30), "fleet: Redis is away");

is(statuses($other), "200 200 200", "fleet: what is known goes on");

my $third = make(0, "keys", "away0");
make(1, "keys", "away1");
$r = api(0, "PATCH", "/keys/anna", { description => "by 0" });
is($r->status, 200, "fleet: changed on node 0");
$r = api(1, "PATCH", "/keys/anna", { description => "by 1" });
is($r->status, 200, "fleet: and on node 1");
$r = api(1, "PATCH", "/keys/anna", { description => "by 1 again" });
is($r->status, 200, "fleet: twice");

is(status(0, $third), 200, "fleet: a key made meanwhile is good where it is");
is(status(2, $third), 401, "fleet: and not known elsewhere");

$redis->resume;
ok($fleet->ready, "fleet: Redis is there again");

ok(wait_for(sub { statuses($third) eq "200 200 200" }),
   "fleet: the key is known on all nodes") || diag(statuses($third));
agrees("/keys/away1", "name", "away1", "and so is the other one");
agrees("/keys/anna", "description", "by 1 again", "the last of two changes stays");


# emptied: all is told again

$redis->flush;
ok(wait_for(sub { row("o/key/anna") && row("a/first") && row("o/user/bob") }),
   "fleet: what Redis has lost is told again");
ok($fleet->ready, "fleet: and the nodes are there");

$r = api(2, "PATCH", "/keys/anna", { description => "after" });
agrees("/keys/anna", "description", "after", "changes go on");


# one that was away

my $node = $fleet->node(2);
$node->stop;

make(0, "keys", "late");
$r = api(0, "DELETE", "/keys/away1?permanent=true");
is($r->status, 204, "fleet: one more is removed");

$node->start;
ok($fleet->ready, "fleet: a node was away");
agrees("/keys/late", "name", "late", "it has what was made meanwhile");
ok(wait_for(sub { all("/keys/away1") eq "404 404 404" }),
   "fleet: and not what was removed") || diag(all("/keys/away1"));


# its store is lost: all of it is in Redis

$node->stop;
unlink glob($node->dir . "/db/*");
$node->start;
ok($fleet->ready, "fleet: a node without its store");
agrees("/keys/late", "name", "late", "has the keys again");
agrees("/accounts/first", "name", "first", "and the account");
ok(wait_for(sub { statuses($other) eq "200 200 200" }),
   "fleet: which serves them") || diag(statuses($other));


# what is not ours

my $good = row("o/key/late");

$redis->cli("HSET", "{claude-relay}:rows",
            "o/key/forged", "9 9 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "o/key/moved", $good,
            "o/engine/x", "1 1 AAAA",
            "x/y", "1 1 AAAA",
            "o/key/none", "garbage");

my $v = $redis->cli("GET", "{claude-relay}:v");

for my $name ("o/key/forged", "o/key/moved", "o/engine/x", "x/y",
              "o/key/none")
{
    $redis->cli("ZADD", "{claude-relay}:rv", ++$v, $name);
}

$redis->cli("SET", "{claude-relay}:v", $v);
$redis->cli("PUBLISH", "{claude-relay}:bus", "nx r $v o/key/moved");
$redis->cli("PUBLISH", "{claude-relay}:bus", $_)
    for "nx r", "nx r x y", "nx r 1", "nx r -1 o/key/late", "nx r 99999999 ",
        "nx r 18446744073709551616 o/key/late", "nx r $v " . "o/key/" x 60,
        "nx r $v o/key/late\r\n", " r $v o/key/late", "nx";

make(0, "keys", "last");
agrees("/keys/last", "name", "last", "rows that are not ours keep no other");
ok(wait_for(sub { $fleet->node(1)->error_log =~ /"o\/key\/moved" of the fleet is not used/ }),
   "fleet: they are told of");
is(all("/keys/moved"), "404 404 404", "fleet: and not used");
is(all("/keys/forged"), "404 404 404", "fleet: whatever they claim");
my @told = $fleet->node(1)->error_log =~ /("o\/key\/forged" of the fleet)/g;
cmp_ok(scalar @told, "<=", 1, "fleet: each once");
like(join("", map { $_->error_log } $fleet->nodes),
     qr/does not know what to make of/, "fleet: and unknown kinds");


# an account that one node has in its nginx.conf

is($fleet->post(0, message(), "x-api-key" => "x")->status, 200,
   "fleet: the nodes serve");

finish();
