#!/usr/bin/perl

# Keys of the store at the door: made, changed and taken away while nginx
# runs, in every worker, without a reload.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    workers => 2,
    keys => "claude_relay_key conf { secret conf-secret-0001; user stored; }"
            . " claude_relay_key plain { secret plain-secret-001; }"
            . " claude_relay_user written { enabled on; }",
    http => store() . " claude_relay_control unix:control.sock;",
    server => "location /none/ { claude_relay; claude_relay_keys on; }",
);

my $r;

sub api {
    my ($method, $path, $body, @headers) = @_;

    return $nginx->control($method, "/v1$path", $body, @headers);
}

sub make {
    my ($kind, $name, %fields) = @_;

    my $made = api("POST", "/$kind", { name => $name, %fields });

    is($made->status, 201, "$kind: $name") || diag($made->body);

    return $made->json->{secret};
}

sub change {
    my ($kind, $name, %fields) = @_;

    my $done = api("PATCH", "/$kind/$name", \%fields);

    is($done->status, 200, "$kind: $name changed") || diag($done->body);
}

# on so many connections that each worker has some

sub statuses {
    my ($key) = @_;

    my %seen;

    $seen{ $nginx->request("POST", "/v1/messages", key => $key,
                           body => message())->status }++ for 1 .. 12;

    return join " ", sort keys %seen;
}

# within a second, in both

sub becomes {
    my ($key, $status, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { statuses($key) eq $status }, 5), $name)
        || diag(statuses($key));
}


# 1. a key comes, changes and goes

my $secret = make("keys", "alice", models_denied => ["*opus*"]);

like($secret, qr/^cr_[0-9a-f]{64}$/, "F033: the secret is shown");
becomes($secret, "200", "F033: it is good in each worker");

$r = $nginx->request("POST", "/v1/messages", key => $secret,
                     body => message(model => "claude-opus-5"));
is_error($r, 403, "permission_error", "F050: a denied model",
         qr/this API key may not use the model "claude-opus-5"/);
is($nginx->log->{key}, "alice", "its name is in the log");

change("keys", "alice", enabled => JSON::PP::false);
becomes($secret, "401", "F038, F057: disabled in each worker");
is_error($nginx->request("POST", "/v1/messages", key => $secret,
                         body => message()),
         401, "authentication_error", "F038: why", qr/^API key is disabled/);

change("keys", "alice", enabled => JSON::PP::true);
becomes($secret, "200", "F038: enabled again");

change("keys", "alice", addresses => ["192.0.2.0/24"]);
becomes($secret, "403", "another address is wanted");

change("keys", "alice", addresses => [], account => "nix");
becomes($secret, "403", "F047: an account that is not there");
is_error($nginx->request("POST", "/v1/messages", key => $secret,
                         body => message()),
         403, "permission_error", "F049: why",
         qr/^the account of this API key does not exist/);

change("keys", "alice", account => "one");
becomes($secret, "200", "F047: one that is");

change("keys", "alice", account => "", pool => "nix");
becomes($secret, "503", "F048: a pool without accounts");

change("keys", "alice", pool => "");
becomes($secret, "200", "and without a pool");

my $new = api("POST", "/keys/alice/regenerate")->json->{secret};

becomes($secret, "401", "F042: the old secret is no good any more");
becomes($new, "200", "F042: the new one is");


# 2. owners, in the store and in nginx.conf

is(statuses("conf-secret-0001"), "401", "F055: a user that is not there");
is_error($nginx->request("POST", "/v1/messages", key => "conf-secret-0001",
                         body => message()),
         401, "authentication_error", "F055: why",
         qr/^the user of this API key does not exist/);

make("groups", "team");
make("users", "stored", group => "team");
becomes("conf-secret-0001", "200",
        "F055: a user of the store, a key of nginx.conf");

change("groups", "team", enabled => JSON::PP::false);
becomes("conf-secret-0001", "401", "F055: the user's group is disabled");
change("groups", "team", enabled => JSON::PP::true);
change("users", "stored", enabled => JSON::PP::false);
becomes("conf-secret-0001", "401", "F055: the user is disabled");
is(statuses("plain-secret-001"), "200", "others are not");

my $written = make("keys", "bob", user => "written");
becomes($written, "200", "a user of nginx.conf, a key of the store");


# 3. a time that starts with the first use

my $short = make("keys", "short", valid_for => "4s");

is(api("GET", "/keys/short")->json->{activated_at}, undef,
   "F040: not used yet");
is($nginx->request("POST", "/v1/messages", key => $short, body => message())
   ->status, 200, "F040: used");
ok(wait_for(sub { api("GET", "/keys/short")->json->{activated_at} }, 2),
   "F040: the first use is stored");
ok(wait_for(sub { statuses($short) eq "401" }, 20), "F040: it is over");
is_error($nginx->request("POST", "/v1/messages", key => $short,
                         body => message()),
         401, "authentication_error", "F040: why", qr/^API key has expired/);

my $long = make("keys", "long", valid_for => "30d",
                addresses => ["192.0.2.1"]);

becomes($long, "403", "not from here");
is(api("GET", "/keys/long")->json->{activated_at}, undef,
   "F040: what was refused is no use");


# 4. counters of nginx.conf's keys go on after a reload: same ids

sub id { return api("GET", "/keys/$_[0]")->json->{id} }

my $id = id("plain");
my @old = $nginx->workers;

ok($id, "nginx.conf's keys have ids");
isnt(id("conf"), $id, "each its own");
$nginx->reload;
wait_for(sub { !grep { kill 0, $_ } @old });
is(id("plain"), $id, "the same after a reload");
becomes($new, "200", "F042: so are the keys of the store");
becomes($short, "401", "F040: and what has begun");


# 5. what the API refuses is not stored

for ([{ addresses => ["10.0.0.0/99"] }, qr/"addresses".*10\.0\.0\.0/],
     [{ limits => ["cost:x/day"] }, qr/"limits".*limit 1/],
     [{ limits => [{ unit => "cost", amount => -1, window => "day" }] },
      qr/"amount"/],
     [{ limits => [{ unit => "cost", amount => 5, window => "day x=1" }] },
      qr/blank/],
     [{ limits => [{ unit => "cost", nix => 5 }] }, qr/"unit", "amount"/],
     [{ limits => "cost:5/day" }, qr/"limits".*array/],
     [{ models => "claude" }, qr/"models".*array/],
     [{ models => [1] }, qr/"models".*array of strings/],
     [{ models => [("x") x 65] }, qr/"models".*64/],
     [{ enabled => "yes" }, qr/"enabled".*true or false/],
     [{ permissions => ["nix"] }, qr/"permissions"/],
     [{ valid_for => "soon" }, qr/"valid_for".*"30d"/],
     [{ expires_at => "soon" }, qr/"expires_at".*time/],
     [{ map => { opus => "x" } }, qr/"map"/],
     [{ rates => { console => "1" } }, qr/"rates".*numbers/],
     [{ user => "x" x 64 }, qr/"user".*too long/],
     [{ user => "a\nb" }, qr/"user".*control/],
     [{ nix => 1 }, qr/"nix"/],
     [{ models => [("x" x 120) x 64], models_denied => [("y" x 120) x 64],
        clients => [("z" x 200) x 64] }, qr/larger than/])
{
    my ($fields, $words) = @$_;

    $r = api("POST", "/keys", { name => "bad", %$fields });

    is($r->status, 400, "refused: " . substr(encode($fields), 0, 60));
    like($r->body =~ s/\\"/"/gr, $words, "in these words");
}

is(api("GET", "/keys/bad")->status, 404, "none of these was stored");

my $log = $nginx->error_log . $nginx->access_log;

unlike($log, qr/\Q$_\E/, "no secret in a log")
    for $secret, $new, $short, "conf-secret-0001";

finish();
