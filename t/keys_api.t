#!/usr/bin/perl

# Keys, users, groups and limits by the control socket (F033, F036, F041, F042):
# every operation and every error, paging and filters, versions, and that a
# secret is in one answer only.

use warnings;
use strict;

use JSON::PP ();
use POSIX ();
use Test::More;

use ClaudeRelay;


my $up = sandbox();
my @told;

my $nginx = nginx(relay_http(
    http => "claude_relay_store store/relay.db secret=relay.key;
             claude_relay_control unix:control.sock;",
    keys => "claude_relay_key alice { secret $ClaudeRelay::KEY; }
             claude_relay_key owned { secret owned-secret-01; user conf;
                                      description \"of nginx.conf\"; }
             claude_relay_user conf { enabled on; }
             claude_relay_group confgroup { enabled on; }"), workers => 2);

my ($true, $false) = (JSON::PP::true(), JSON::PP::false());


sub call {
    my ($method, $path, $json, @headers) = @_;

    my $r = $nginx->control($method, "/v1$path", $json, @headers);

    push @told, $r->head, $r->body =~ s/"secret":"[^"]*"//r;

    return $r;
}


sub refused {
    my ($r, $status, $name, $message) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %types = (400 => "invalid_request", 404 => "not_found",
                 409 => "conflict", 412 => "precondition_failed",
                 405 => "invalid_request");

    my $ok = $r->status == $status && $r->type eq $types{$status}
             && $r->message =~ $message;

    ok($ok, $name) || diag($r->status, " ", $r->body);
}


sub status {
    my ($secret) = @_;

    return $nginx->request("POST", "/v1/messages", body => message(),
                           key => $secret,
                           headers => ["content-type: application/json",
                                       "anthropic-version: 2023-06-01"])
                 ->status;
}


sub names {
    my ($query, $kind) = @_;

    $kind //= "keys";

    return join " ", map { $_->{name} }
                         @{ call("GET", "/$kind$query")->json->{$kind} };
}


# ---- a key

my $r = call("POST", "/keys", { name => "bob" });

is($r->status, 201, "F033: a key is made");

my $bob = $r->json;
my $secret = $bob->{secret};
my @secrets = ($secret);

like($secret, qr/^cr_[0-9a-f]{64}$/, "with a secret");
is($r->header("etag"), '"1"', "its version");
is_deeply({ map { $_ => $bob->{$_} } qw/ name id source prefix enabled state
                version last_used_at activated_at ends_at / },
          { name => "bob", id => 1, source => "store",
            prefix => substr($secret, 0, 11), enabled => $true,
            state => "active", version => 1, last_used_at => undef,
            activated_at => undef, ends_at => undef }, "and what it is");
like($bob->{created_at}, qr/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/,
     "created_at");

is(status($secret), 200, "it is good when the call returns");

$r = call("GET", "/keys/bob");
is($r->status, 200, "it is shown");
is($r->header("etag"), '"1"', "with its version");
ok(!exists $r->json->{secret}, "without its secret");
like($r->json->{last_used_at}, qr/^20/, "last_used_at");
is_deeply($r->json->{usage}, [], "no limits, no usage");

refused(call("POST", "/keys", { name => "bob" }), 409,
        "a name that is taken", qr/^there is a key "bob" already$/);
refused(call("POST", "/keys", { name => "alice" }), 409,
        "a name of nginx.conf", qr/^there is a key "alice" already$/);

for my $name ("", "a/b", "a b", "x" x 64, "..", "\x{e9}", undef, 7, []) {
    refused(call("POST", "/keys", { name => $name }), 400,
            "no name: " . (encode([$name]) =~ s/^\[|\]$//gr),
            qr/^"name" must have 1 to 63 of the characters/);
}

refused(call("POST", "/keys", {}), 400, "no name at all", qr/^"name" must/);
refused(call("POST", "/keys", "[]"), 400, "no object", qr/JSON object/);
refused(call("POST", "/keys", '{"name":"x","name":"y"}'), 400,
        "a member twice", qr/"name" is repeated/);
refused(call("POST", "/keys", "{"), 400, "no JSON", qr/JSON object/);


# ---- what a key may have

my %full = (
    description => "B\x{f6}b \"the\" <b>", icon => "data:image/png;base64,AA",
    tags => ["a b", "c"], enabled => $true, permissions => ["claude"],
    expires_at => "2099-01-31T00:00:00Z", models => ["claude-*"],
    models_denied => ["*haiku*"], clients => ["claude_code", "*x*"],
    addresses => ["10.0.0.0/8", "::1"],
    map => { opus => { model => "claude-opus-5", effort => "high" } },
    rates => { anthropic => 1.5 }, pool => "default", account => "one",
    account_fallback => $true, limits => ["cost:5/day",
        { unit => "requests", amount => 10, window => "minute" }],
    user => "conf", group => "confgroup", valid_for => "30d",
);

$r = call("POST", "/keys", { name => "full", %full });
is($r->status, 201, "F036: a key with everything") || diag($r->body);
push @secrets, $r->json->{secret};

my $shown = call("GET", "/keys/full")->json;
is_deeply({ map { $_ => $shown->{$_} } keys %full }, \%full,
          "is shown as it was made");
is($shown->{state}, "unused", "state: unused");
is_deeply([map { "$_->{unit} $_->{amount} $_->{used}" } @{ $shown->{usage} }],
          ["cost 5 0", "requests 10 0"], "usage: of each limit");

for ([{ frobnicate => 1 }, qr/"frobnicate" of key "x" is not a field/],
     [{ prefix => "cr_0" }, qr/"prefix" of key "x" is not a field/],
     [{ id => 7 }, qr/"id" of key "x" is not a field/],
     [{ activated_at => 5 }, qr/"activated_at" is not for others to set/],
     [{ enabled => 1 }, qr/"enabled" of key "x" must be true or false/],
     [{ limits => ["cost:5/furlong"] }, qr/error in limit 1/],
     [{ limits => "cost:5/day" }, qr/"limits" of key "x"/],
     [{ expires_at => "soon" }, qr/"expires_at" of key "x" must be a time/],
     [{ addresses => ["300.0.0.1"] }, qr/"addresses" of key "x"/],
     [{ permissions => ["everything"] }, qr/"permissions" of key "x"/],
     [{ description => "x" x 1025 }, qr/"description" of key "x" is too long/],
     [{ user => "nobody" }, qr/^there is no user "nobody"$/],
     [{ group => "nobody" }, qr/^there is no group "nobody"$/])
{
    my ($fields, $message) = @$_;

    refused(call("POST", "/keys", { name => "x", %$fields }), 400,
            "not taken: " . substr(encode($fields), 0, 40), $message);
}

is(call("GET", "/keys/x")->status, 404, "nothing of this was made");


# ---- a secret of the operator's

$r = call("POST", "/keys", { name => "own", secret => "planted-secret-0001" });
push @secrets, "planted-secret-0001";
is($r->status, 201, "an own secret");
ok(!exists $r->json->{secret}, "is not told again");
is($r->json->{prefix}, "plan", "a quarter of it is shown at most");
is(status("planted-secret-0001"), 200, "it is good");

for my $wrong ("short", "x" x 513, "with a blank", "b\x{e9}b\x{e9}b\x{e9}b\x{e9}b",
               7, ["planted-secret-0002"])
{
    refused(call("POST", "/keys", { name => "y", secret => $wrong }), 400,
            "no secret: " . (ref $wrong || substr($wrong, 0, 12)),
            qr/^"secret" must have 10 to 512 visible ASCII characters$/);
}

refused(call("POST", "/keys", { name => "y", secret => "planted-secret-0001" }),
        409, "the secret of another key", qr/^there is a key with this secret/);
refused(call("POST", "/keys", { name => "y", secret => $ClaudeRelay::KEY }),
        409, "the secret of a key of nginx.conf",
        qr/^there is a key with this secret/);
refused(call("PATCH", "/keys/own", { secret => "planted-secret-0003" }), 400,
        "a secret is not patched", qr/"secret" of key "own" is not a field/);


# ---- PATCH

$r = call("PATCH", "/keys/bob", { description => "one", tags => ["t"] });
is($r->status, 200, "PATCH");
is($r->header("etag"), '"2"', "raises the version");
is($r->json->{description}, "one", "what was told");

$r = call("PATCH", "/keys/bob", { tags => undef });
is_deeply([exists $r->json->{tags} ? 1 : 0, $r->json->{description}],
          [0, "one"], "null takes one away, others stay");
is(status($secret), 200, "the secret stays");

refused(call("PATCH", "/keys/bob", {}), 400, "nothing", qr/^nothing is to be/);
refused(call("PATCH", "/keys/bob", { name => "carl" }), 400, "another name",
        qr/"name" of key "bob" is another one/);
refused(call("PATCH", "/keys/bob", { colour => "red" }), 400,
        "an unknown member", qr/"colour" of key "bob" is not a field/);
refused(call("PATCH", "/keys/nobody", { tags => [] }), 404, "no such key",
        qr/^there is no key "nobody"$/);
refused(call("PATCH", "/keys/" . "n" x 200, { tags => [] }), 404,
        "a name that is too long", qr/^there is no key/);
refused(call("PATCH", "/keys/alice", { tags => [] }), 409,
        "one of nginx.conf", qr/is one of nginx\.conf: it is changed there/);

refused(call("PATCH", "/keys/bob", { tags => [] }, 'If-Match: "2"'), 412,
        "If-Match: an older version", qr/has version 3$/);
is(call("PATCH", "/keys/bob", { tags => [] }, 'If-Match: "3"')->status, 200,
   "If-Match: this version");
refused(call("PATCH", "/keys/bob", { tags => [] }, "If-Match: what"), 400,
        "If-Match: no version", qr/"If-Match" must be/);

call("PATCH", "/keys/bob", { enabled => $false });
is(status($secret), 401, "disabled");
is(call("GET", "/keys/bob")->json->{state}, "disabled", "state: disabled");
call("PATCH", "/keys/bob", { enabled => $true,
                             expires_at => "2020-01-01T00:00:00Z" });
is(status($secret), 401, "expired");
is(call("GET", "/keys/bob")->json->{state}, "expired", "state: expired");
is(call("PATCH", "/keys/bob", { expires_at => 4102444800000 })
       ->json->{expires_at}, "2100-01-01T00:00:00Z",
   "a time in milliseconds is shown like all others");
is(status($secret), 200, "F041: extended");


# ---- regenerate, activate

$r = call("POST", "/keys/bob/regenerate");
is($r->status, 200, "F042: regenerate");
my $second = $r->json->{secret};
push @secrets, $second;
like($second, qr/^cr_[0-9a-f]{64}$/, "another secret");
isnt($second, $secret, "really");
is($r->json->{prefix}, substr($second, 0, 11), "and its prefix");
is(status($secret) . " " . status($second), "401 200", "in place of the old");
is(call("GET", "/keys/bob")->json->{id}, $bob->{id}, "F042: the same key");
refused(call("POST", "/keys/bob/regenerate", { secret => "planted-0" }), 400,
        "nothing is taken there", qr/no member "secret"/);
refused(call("POST", "/keys/bob/regenerate", undef, 'If-Match: "1"'), 412,
        "regenerate: another version", qr/was changed meanwhile/);
refused(call("POST", "/keys/nobody/regenerate"), 404, "regenerate: no key",
        qr/no key "nobody"/);
refused(call("POST", "/keys/alice/regenerate"), 409,
        "regenerate: of nginx.conf", qr/one of nginx\.conf/);
is(call("POST", "/users/conf/regenerate")->status, 404,
   "a user has no secret");

refused(call("POST", "/keys/bob/activate"), 409, "activate: no valid_for",
        qr/has no "valid_for"/);
$r = call("POST", "/keys/full/activate");
is($r->status, 200, "F041: activate");
is($r->json->{state}, "active", "it is active");
like($r->json->{activated_at}, qr/^20/, "since now");
like($r->json->{ends_at}, qr/^20/, "and ends some day");
refused(call("POST", "/keys/full/activate"), 409, "activate: twice",
        qr/is activated already/);


# ---- users, groups

is(call("POST", "/groups", { name => "team", limits => ["cost:100/month"] })
       ->status, 201, "F055: a group");
$r = call("POST", "/users", { name => "carl", group => "team",
                              description => "Carl" });
is($r->status, 201, "a user");
ok(!exists $r->json->{secret} && !exists $r->json->{prefix},
   "without a secret");
is(call("GET", "/users/carl")->json->{group}, "team", "of the group");
refused(call("POST", "/users", { name => "x", user => "carl" }), 400,
        "a user has no user", qr/"user" of user "x" is not a field/);
refused(call("POST", "/groups", { name => "x", group => "team" }), 400,
        "a group has no group", qr/"group" of group "x" is not a field/);
refused(call("POST", "/users", { name => "x", secret => "planted-secret" }),
        400, "a user has no secret", qr/"secret" of user "x" is not a field/);
refused(call("POST", "/users", { name => "conf" }), 409,
        "a user of nginx.conf", qr/^there is a user "conf" already$/);
is(call("POST", "/users", { name => "bob" })->status, 201,
   "the name of a key is another thing");

call("PATCH", "/keys/bob", { user => "carl" });
is(status($second), 200, "a key of the user");
call("PATCH", "/users/carl", { enabled => $false });
cmp_ok(status($second), ">=", 401, "the user is disabled, and so is the key");
call("PATCH", "/users/carl", { enabled => $true });
is(status($second), 200, "and enabled");

refused(call("DELETE", "/users/carl"), 409, "a user that has a key",
        qr/^user "carl" has 1 key: with "\?force" it is removed/);
call("PATCH", "/keys/own", { user => "carl" });
refused(call("DELETE", "/users/carl"), 409, "or two", qr/has 2 keys/);
refused(call("DELETE", "/groups/team"), 409, "a group that has a user",
        qr/^group "team" has 1 key or users/);
refused(call("DELETE", "/users/carl?farce"), 400, "another word",
        qr/takes "force"/);
is(call("DELETE", "/users/carl?force")->status, 204, "?force");
cmp_ok(status($second), ">=", 401, "then its key is refused");
refused(call("PATCH", "/keys/bob", { tags => ["x"] }), 400,
        "and cannot be changed but", qr/there is no user "carl"/);
is(call("PATCH", "/keys/bob", { user => undef })->status, 200,
   "without a user");
is(status($second), 200, "which helps");
call("PATCH", "/keys/own", { user => undef });
is(call("DELETE", "/groups/team")->status, 204, "a group without anybody");
refused(call("DELETE", "/users/conf"), 409, "one of nginx.conf",
        qr/one of nginx\.conf/);


# ---- limits of models

$r = call("POST", "/limits", { name => "opus",
                               limits => ["requests:1/day models=*opus*"] });
is($r->status, 201, "a limit for everybody");
is(names("", "limits"), "opus", "is shown");
is(call("GET", "/limits/opus")->json->{usage}[0]{amount}, 1, "with its use");

sub ask {
    return $nginx->post("/v1/messages", message(model => "claude-$_[0]-4-5"),
                        "anthropic-version: 2023-06-01")->status;
}

is(join(" ", ask("opus"), ask("opus"), ask("haiku")), "200 429 200",
   "is in force");
is(call("GET", "/limits/opus")->json->{usage}[0]{used}, 1, "used: 1");
$r = call("POST", "/limits/opus/limits/reset");
is($r->status, 200, "limits/reset");
is($r->json->{usage}[0]{used}, 0, "used: 0");
is(ask("opus"), 200, "there is room again");
call("PATCH", "/limits/opus", { enabled => $false });
is(ask("opus"), 200, "disabled");
is(call("DELETE", "/limits/opus")->status, 204, "removed");
is(ask("opus"), 200, "it is over");


# ---- a key's limits, and their reset

$r = call("PATCH", "/keys/bob", { limits => ["requests:2/day",
                                             "requests:9/month"] });
is(join(" ", map { status($second) } 1 .. 3), "200 200 429",
   "limits of a key");
my $used = call("GET", "/keys/bob")->json->{usage};
is_deeply([map { $_->{used} } @$used], [2, 2], "what is used");
like($used->[0]{reset}, qr/^20/, "until when");
$r = call("POST", "/keys/bob/limits/reset", { limit => "requests:1/day" });
is_deeply([map { $_->{used} } @{ $r->json->{usage} }], [0, 2],
          "one of them is reset");
is(status($second), 200, "a request");
$r = call("POST", "/keys/bob/limits/reset", {});
is_deeply([map { $_->{used} } @{ $r->json->{usage} }], [0, 0],
          "all of them are");
refused(call("POST", "/keys/bob/limits/reset", { limit => "cost:1/day" }), 404,
        "reset: a limit that it has not", qr/has no such limit/);
refused(call("POST", "/keys/bob/limits/reset", { limit => "x" }), 400,
        "reset: no limit", qr/^"limit": /);
refused(call("POST", "/keys/bob/limits/reset", { limit => 7 }), 400,
        "reset: of another type", qr/"limit" must be/);
refused(call("POST", "/keys/nobody/limits/reset"), 404, "reset: no such key",
        qr/no key "nobody"/);
is(call("POST", "/keys/alice/limits/reset")->status, 200,
   "reset: one of nginx.conf, too");


# ---- DELETE

refused(call("DELETE", "/keys/own", undef, 'If-Match: "1"'), 412,
        "DELETE: another version", qr/was changed meanwhile/);
$r = call("DELETE", "/keys/own");
is($r->status . $r->body, "204", "DELETE");
is(status("planted-secret-0001"), 401, "it is good no longer");
refused(call("DELETE", "/keys/own"), 404, "DELETE: twice", qr/no key "own"/);
refused(call("POST", "/keys", { name => "own" }), 409,
        "its name is not free yet", qr/^there is a deleted key "own"/);
refused(call("POST", "/keys", { name => "own2",
                                secret => "planted-secret-0001" }), 409,
        "nor its secret", qr/^there is a key with this secret/);
is(call("DELETE", "/keys/own?permanent=true")->status, 204,
   "DELETE: for ever");
refused(call("DELETE", "/keys/alice"), 409, "DELETE: of nginx.conf",
        qr/one of nginx\.conf/);
is(status($ClaudeRelay::KEY), 200, "which goes on");
$r = call("POST", "/keys", { name => "own", secret => "planted-secret-0001" });
is($r->status, 201, "then name and secret are free again");
cmp_ok($r->json->{version}, ">", 1, "with a version that nobody has seen");
cmp_ok($r->json->{id}, ">", $bob->{id}, "and another id");


# ---- lists

call("DELETE", "/keys/$_") for qw/ own full bob /;
call("DELETE", "/users/bob");

for my $n (1 .. 25) {
    call("POST", "/keys", { name => sprintf("k%02d", $n),
                            tags => $n % 2 ? ["odd one"] : ["even"],
                            enabled => $n % 5 ? $true : $false,
                            description => $n == 7 ? "The Seventh" : "" });
}

is(names("?limit=3"), "alice k01 k02", "F045: a page, with those of nginx.conf");
$r = call("GET", "/keys?limit=3")->json;
is($r->{next}, "k02", "next");
is($r->{total}, 27, "total");
is(names("?limit=3&after=k02"), "k03 k04 k05", "the next page");
is(names("?limit=3&after=k24"), "k25 owned", "the last one");
is(call("GET", "/keys?limit=3&after=k24")->json->{next}, undef,
   "there is no next");
is(call("GET", "/keys?limit=2&after=k24")->json->{next}, undef,
   "nor if it is full to the brim");
is(names("?after=zzz"), "", "behind all of them");
is(names("?after=k0"), join(" ", (map { sprintf "k%02d", $_ } 1 .. 25),
                                 "owned"), "after what is no key's name");

my @walk;
my $after = "";

while (defined $after) {
    my $page = call("GET", "/keys?limit=4&after=$after")->json;
    push @walk, map { $_->{name} } @{ $page->{keys} };
    $after = $page->{next};
}

is(join(" ", @walk), names(""), "page by page they are all of them");

is(names("?source=nginx.conf"), "alice owned", "source");
is(names("?source=store&limit=2"), "k01 k02");
is(names("?tag=odd+one&limit=2&source=store"), "k01 k03", "F037: tag");
is(names("?tag=odd"), "", "a tag is whole");
is(names("?enabled=false"), "k05 k10 k15 k20 k25", "enabled");
is(names("?enabled=true&limit=6&source=store"), "k01 k02 k03 k04 k06 k07");
is(names("?q=sevenTH"), "k07", "F045: q: in a description");
is(names("?q=K1&limit=2"), "k10 k11", "q: in a name");
is(names("?q=of%20nginx"), "owned", "q: of nginx.conf");
is(names("?user=conf"), "owned", "user");
is(names("?group=conf"), "", "group");
is(names("?tag=even&enabled=false"), "k10 k20", "two of them");

for ("?limit=0", "?limit=1001", "?limit=x", "?limit=-1", "?after=a/b",
     "?enabled=yes", "?source=here", "?what=ever", "?q=%", "?q=a&q=b",
     "?q=a%00b")
{
    refused(call("GET", "/keys$_"), 400, "a query that is none: $_",
            qr/limit|after|enabled|query/);
}

is(names("", "users"), "conf", "users");
is(names("", "groups"), "confgroup", "groups");
is(call("GET", "/users/conf")->json->{source}, "nginx.conf",
   "a user of nginx.conf");
ok(!defined call("GET", "/keys/alice")->header("etag"),
   "what is of nginx.conf has no version");
refused(call("GET", "/keys/nobody"), 404, "GET: no such key",
        qr/no key "nobody"/);
is(call("PUT", "/keys/k01", {})->status, 405, "another method");
is(call("GET", "/keys/k01/x")->status, 404, "another path");


# ---- status

$r = call("GET", "/status")->json;
is_deeply([@{$r}{qw/ keys users groups limits /}], [27, 1, 1, 0],
          "status: how many there are");
cmp_ok($r->{zone}{free}, ">", 0, "status: room of the zone");


# ---- writers that meet

my @children;

for my $n (1 .. 4) {
    my $pid = fork // die;

    if (!$pid) {
        alarm 0;

        my $rc = 0;

        for my $i (1 .. 10) {
            my $status = $nginx->control("PATCH", "/v1/keys/k01",
                                         { "description" => "$n-$i" })
                               ->status;
            $rc = 1 if $status != 200;
        }

        POSIX::_exit($rc);
    }

    push @children, $pid;
}

my $failed = 0;

for (@children) {
    waitpid $_, 0;
    $failed++ if $?;
}

is($failed, 0, "forty changes of four writers");
is(call("GET", "/keys/k01")->json->{version}, 41, "none is lost");


# ---- no store

$nginx->stop;

my $bare = nginx(relay_http(http => "claude_relay_control unix:control.sock;"));

is(join(" ", map { $_->{name} }
                 @{ $bare->control("GET", "/v1/keys")->json->{keys} }),
   "alice", "without a store there are those of nginx.conf");
$r = $bare->control("POST", "/v1/keys", { name => "x" });
is($r->status, 503, "none can be made");
like($r->message, qr/claude_relay_store/, "and why");
is($bare->control("GET", "/v1/keys/x")->status, 404, "or found");
is($bare->control("POST", "/v1/keys/alice/limits/reset")->status, 200,
   "limits can be reset");


# ---- secrets

my $told = join "", @told;

is(scalar(grep { index($told, $_) >= 0 } @secrets), 0,
   "no secret is in an answer but the one that made it");
is(scalar(grep { index($nginx->error_log, $_) >= 0 } @secrets), 0,
   "nor in the log");

my $store = join "", map { slurp($_) } glob $nginx->dir . "/store/relay.db*";

is(scalar(grep { index($store, $_) >= 0 } @secrets), 0, "nor in the store");
like($nginx->error_log, qr/\[notice\] .*key "bob" was created by /,
     "what was done is");

finish();
