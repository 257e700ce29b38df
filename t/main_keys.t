#!/usr/bin/perl

# The relay's own keys: who comes in, what it costs to be refused.

use warnings;
use strict;

use MIME::Base64;
use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $alice = $ClaudeRelay::KEY;
my $bob = "bob-secret-" . "0" x 501;                   # the longest: 512

my $nginx = relay(
    keys => "claude_relay_key alice { secret $alice; }"
            . " claude_relay_key bob { secret $bob; }"
            . " claude_relay_key short { secret 0123456789; }",
    server => <<'END',
        location /off/ { claude_relay; claude_relay_keys off; }
        location /optional/ { claude_relay; claude_relay_keys optional; }
END
);

my $r;

sub ask {
    my ($uri, @headers) = @_;

    return $nginx->request("POST", $uri, key => undef, body => message(),
                           headers => \@headers);
}


# 1. five places

for my $header ("x-api-key: $alice", "X-Api-Key: $alice", "X-API-KEY:$alice",
                "Authorization: Bearer $alice", "authorization: bearer $alice",
                "AUTHORIZATION: BEARER   $alice",
                "x-goog-api-key: $alice", "api-key: $alice")
{
    $r = ask("/v1/messages", $header);

    is($r->status, 200, "F023: $header") || diag $r->body;
    is($nginx->log->{key}, "alice", "F023: \$claude_relay_key: $header");

    my @left = grep { /\Q$alice\E/ } @{ $up->last->{headers} };
    is("@left", "", "F023: not forwarded: $header");
    is($up->last->{credential}, "sk-ant-one-000001",
       "F023: the account's credential: $header");
}

for (["?key=$alice", ""], ["?beta=true&key=$alice", "?beta=true"],
     ["?key=$alice&beta=true", "?beta=true"],
     ["?a=1&key=$alice&b=2", "?a=1&b=2"],
     ["?key=$alice&key=$alice", ""])
{
    my ($query, $left) = @$_;

    is(ask("/v1/messages$query")->status, 200, "F023: $query");
    is($up->last->{target}, "/v1/messages$left", "F023: not forwarded: $query");
    is($nginx->log->{key}, "alice", "F023: \$claude_relay_key: $query");
}

like($nginx->access_log, qr/key=\*+/, "F023: ?key= is masked in access.log");

is(ask("/v1/messages?monkey=banana-0001", "x-api-key: $alice")->status, 200,
   "F023: ?monkey= is another argument");
is($up->last->{target}, "/v1/messages?monkey=banana-0001",
   "F023: and goes on");

is(ask("/v1/messages", "x-api-key: $bob")->status, 200,
   "F023: a key of 512 characters");
is($nginx->log->{key}, "bob", "it is bob");
is(ask("/v1/messages", "x-api-key: 0123456789")->status, 200,
   "F023: a key of 10 characters");
is($nginx->log->{key}, "short", "it is short");


# 2. Claude Code's model discovery sends two headers

is(ask("/v1/messages", "x-api-key: $alice", "Authorization: Bearer $alice")
   ->status, 200, "F023: the same key twice");
is(ask("/v1/messages", "x-api-key: $alice", "x-api-key: $alice")->status, 200,
   "F023: the same header twice");
is(ask("/v1/messages?key=$alice", "x-api-key: $alice")->status, 200,
   "F023: the same key in query and header");


# 3. the key's id: stable, not the secret

ask("/v1/messages", "x-api-key: $alice");
my $id = $nginx->log->{key_id};
like($id, qr/^[0-9a-f]{16}$/, "\$claude_relay_key_id");
is(substr(sha256($alice), 0, 16), $id, "it is the begin of the SHA-256");
ask("/v1/messages", "x-api-key: $bob");
isnt($nginx->log->{key_id}, $id, "another one for another key");


# 4. refused: 401 at once, nothing upstream, the connection lives

$up->reset;

my @refused = (
    ["no key"],
    ["unknown", "x-api-key: carol-secret-0001"],
    ["a prefix of a key", "x-api-key: " . substr($alice, 0, -1)],
    ["a key and more", "x-api-key: ${alice}0"],
    ["another case", "x-api-key: \U$alice"],
    ["empty", "x-api-key: "],
    ["too short", "x-api-key: 123456789"],
    ["too long", "x-api-key: ${bob}0"],
    ["much too long", "x-api-key: " . "x" x 6000],
    ["name of a key", "x-api-key: alice-----"],
    ["id of a key", "x-api-key: $id"],
    ["not printable", "x-api-key: alice\x01\xff-secret-0001"],
    ["two keys in one", "x-api-key: $alice, $alice"],
    ["two different", "x-api-key: $alice", "Authorization: Bearer $bob"],
    ["two different headers of one name", "x-api-key: $alice",
     "x-api-key: $bob"],
    ["one good, one bad", "Authorization: Bearer nix-nix-nix",
     "x-api-key: $alice"],
    ["no scheme", "Authorization: $alice"],
    ["Basic", "Authorization: Basic " . encode_base64("alice:$alice", "")],
    ["Bearer alone", "Authorization: Bearer"],
    ["Bearer and a blank", "Authorization: Bearer "],
    ["Bearers", "Authorization: Bearers $alice"],
    ["a cookie", "Cookie: key=$alice"],
    ["proxy-authorization", "Proxy-Authorization: Bearer $alice"],
    ["the account's own key", "x-api-key: sk-ant-one-000001"],
);

my $c = $nginx->connect;

for (@refused) {
    my ($name, @headers) = @$_;

    $r = $c->request("POST", "/v1/messages?beta=true", key => undef,
                     body => message(), headers => \@headers)->response;

    is_error($r, 401, "authentication_error", "F024: $name");
    is($r->header("x-should-retry"), "false", "F024: no retry: $name");
}

ok(!$c->eof, "F024: all on one connection");

for my $query ("?key=", "?key=nix", "?key=carol-secret-0001",
               "?Key=0123456789") {
    is(ask("/v1/messages$query")->status, 401, "F024: $query");
}

is(ask("/v1/messages?key=$bob", "x-api-key: $alice")->status, 401,
   "F024: query and header differ");

for (["GET", "/v1/models"], ["GET", "/v1/models/claude-opus-5"],
     ["POST", "/v1/messages/count_tokens"], ["GET", "/v1/files"],
     ["DELETE", "/v1/files/x"], ["POST", "/v1/messages/batches"],
     ["POST", "/claude/v1/messages"])
{
    is($nginx->request($_->[0], $_->[1], key => undef)->status, 401,
       "F024: $_->[0] $_->[1]");
}

# the body of a refused request is not waited for, and does not end up as
# the next request

$c = $nginx->connect;
$c->send("POST /v1/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"
         . "\r\n");
is($c->response->status, 401, "F024: before the body came");
$c->send("x" x 100_000);
is($c->request("GET", "/v1/models")->response->status, 200,
   "F024: the body is skipped, the connection lives on");

$c->send("POST /v1/messages HTTP/1.1\r\nHost: a\r\n"
         . "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
is($c->response->status, 401, "F024: a chunked body");
is($c->request("GET", "/v1/models")->response->status, 200,
   "F024: a chunked body is skipped, too");

is($up->requests, 0, "F024: nothing of this went upstream");
is($up->stats->{used}, 0, "F024: not even a connection");

my $health = $nginx->health;
cmp_ok($health->{refused_credentials}, ">=", @refused,
       "F024: refused ones are counted");

$nginx->get("/v1/nix");
$nginx->request("POST", "/v1/messages", key => undef, body => message());
is($nginx->log->{error_class}, "auth", "F024: \$claude_relay_error_class");
is($nginx->log->{key}, "", "F024: no \$claude_relay_key");


# 5. off and optional

is(ask("/off/v1/messages")->status, 200, "F032: off: no key");
is($nginx->log->{key}, "", "F032: off: no \$claude_relay_key");

for my $header ("x-api-key: whatever-it-is", "Authorization: Basic eDp5",
                "x-api-key: x", "Authorization: Bearer $alice")
{
    is(ask("/off/v1/messages", $header)->status, 200, "F032: off: $header");
    is($up->last->{credential}, "sk-ant-one-000001",
       "F032: off: not forwarded: $header");

    my $value = (split / /, $header)[-1];
    is(join(" ", grep { / \Q$value\E$/ } @{ $up->last->{headers} }), "",
       "F032: off: nowhere: $header");
}

is(ask("/off/v1/messages?key=sk-ant-mine-0001&a=b")->status, 200,
   "F032: off: ?key=");
is($up->last->{target}, "/v1/messages?a=b", "F032: off: ?key= stays here");

is(ask("/optional/v1/messages")->status, 200, "optional: no key");
is(ask("/optional/v1/messages", "x-api-key: $alice")->status, 200,
   "optional: a key");
is($nginx->log->{key}, "alice", "optional: \$claude_relay_key");
is(ask("/optional/v1/messages", "x-api-key: nix-nix-nix")->status, 401,
   "optional: a wrong key is wrong");
is(ask("/optional/v1/messages", "Authorization: Basic eDp5")->status, 401,
   "optional: a malformed one, too");


# 6. no secret in a log

my $error = $nginx->error_log;
my $access = $nginx->access_log;

for my $secret ($alice, $bob, "sk-ant-one-000001",
                "carol-secret-0001", "sk-ant-mine-0001")
{
    my $name = substr $secret, 0, 20;

    ok(index($error, $secret) < 0, "error.log has no $name");
    ok(index($access, $secret) < 0, "access.log has no $name");
}

finish();
