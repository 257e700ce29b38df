#!/usr/bin/perl

# Keys that users make for themselves (F194), and what they see of keys: their
# own; how many they may have, what they may set, which limits hold; and cards
# that they redeem.

use warnings;
use strict;

use JSON::PP ();
use POSIX ();
use Test::More;

use ClaudeRelay;
use ClaudeRelayAdmin;


my $up = sandbox();

my $nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;",
    keys => "claude_relay_key alices { secret alice-secret-01; user alice; }
             claude_relay_key others { secret $ClaudeRelay::KEY; }",
    server => "location /admin/ { claude_relay_admin; }"), workers => 2);

my ($true, $false) = (JSON::PP::true(), JSON::PP::false());


sub control {
    my ($method, $path, $json) = @_;

    my $r = $nginx->control($method, "/v1$path", $json);

    $r->status < 300 || diag("$method $path: ", $r->body);

    return $r->status == 204 ? undef : $r->json;
}


sub refused {
    my ($r, $status, $name, $message) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $ok = $r->status == $status && $r->message =~ $message;

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
    my ($who, $query) = @_;

    my $r = $who->call("GET", "/keys" . ($query // ""));

    return $r->status . " " . $r->body if $r->status != 200;
    return join " ", map { $_->{name} } @{ $r->json->{keys} };
}


control("POST", "/groups", { name => "team", limits => ["requests:4/total"] });
control("POST", "/users", { name => "alice", group => "team",
                            max_keys => 2 });
control("POST", "/users", { name => "bob" });
control("POST", "/keys", { name => "given", user => "alice",
                           expires_at => "2099-01-01T00:00:00Z",
                           limits => ["cost:1/total"] });
my $bobs = control("POST", "/keys", { name => "bobs", user => "bob" })
    ->{secret};

my %who = map { $_->[0] => ClaudeRelayAdmin->person($nginx, @$_) }
              ["alice", "user"], ["bob", "user"], ["carl", "user"],
              ["olga", "operator"], ["vera", "viewer"];

my ($alice, $bob) = @who{qw/ alice bob /};


# ---- what they see

is(names($alice), "alices given", "a user sees its own");
is(names($bob), "bobs", "each its own");
is(names($who{carl}), "", "or none");
is(names($who{vera}), "alices bobs given others", "a viewer sees all of them");
is($alice->call("GET", "/keys")->json->{total}, 2, "others are not counted");
is(names($alice, "?search=bobs"), "", "nor found");
is(names($alice, "?user=alice"), "alices given", "by its own name");
refused($alice->call("GET", "/keys?user=bob"), 403, "not by another one's",
        qr/own/);
refused($alice->call("GET", "/keys?deleted=true"), 403, "no deleted ones",
        qr/own/);
is($alice->call("GET", "/keys?format=csv")->body =~ tr/\n//, 3, "as CSV");
is($alice->call("GET", "/keys/given")->status, 200, "one of its own");
is($alice->call("GET", "/keys/alices")->status, 200, "one of nginx.conf");

for my $name (qw/ bobs others nobody /) {
    refused($alice->call("GET", "/keys/$name"), 404, "not $name",
            qr/^there is no key "$name"$/);

    for (["PATCH", "", { description => "x" }], ["DELETE", ""],
         ["POST", "/regenerate", {}])
    {
        my ($method, $path, $body) = @$_;

        refused($alice->call($method, "/keys/$name$path", $body), 404,
                "nor $method $path", qr/^there is no key "$name"$/);
    }
}

for (["POST", "/keys/given/extend", { days => 1 }],
     ["POST", "/keys/given/activate"], ["POST", "/keys/given/restore"],
     ["POST", "/keys/given/limits/reset"], ["POST", "/keys/purge"],
     ["POST", "/keys/batch", { delete => ["given"] }],
     ["POST", "/keys/import", { keys => [{ name => "x" }] }],
     ["GET", "/tags"], ["PATCH", "/tags/x", { name => "y" }],
     ["GET", "/users"], ["GET", "/users/alice"], ["GET", "/cards"],
     ["POST", "/cards", { type => "time", days => 1 }])
{
    my ($method, $path, $body) = @$_;

    is($alice->call($method, $path, $body)->status, 403,
       "not for users: $method $path");
}

is($who{vera}->call("POST", "/keys", { name => "x" })->status, 403,
   "a viewer makes none");
is($who{vera}->call("PATCH", "/keys/given", { description => "x" })->status,
   403, "and changes none");
is($who{vera}->call("DELETE", "/keys/given")->status, 403, "nor deletes one");
is($who{vera}->call("POST", "/keys/given/regenerate")->status, 403,
   "nor gives it another secret");
is($who{vera}->call("POST", "/cards/redeem", { code => "CC_AAAA_BBBB_CCCC",
                                               key => "given" })->status, 403,
   "nor redeems a card");


# ---- their own

my $r = $alice->call("POST", "/keys", { name => "first", tags => ["mine"],
                                        description => "my own" });
is($r->status, 201, "a user makes a key") || diag($r->body);
is($r->json->{user}, "alice", "it is its own");
is($r->json->{self_made}, $true, "and it has made it");

my $secret = $r->json->{secret};

is(status($secret), 200, "it is good");

for my $body ({ user => "bob" }, { user => "alice" }, { group => "team" },
              { limits => [] }, { models => ["*"] }, { pool => "x" },
              { account => "one" }, { secret => "planted-secret-0001" },
              { self_made => $true }, { rates => {} }, { addresses => [] })
{
    my ($member) = keys %$body;

    refused($alice->call("POST", "/keys", { name => "x", %$body }), 403,
            "not to be set: $member", qr/"$member" of this key is not for you/);
    refused($alice->call("PATCH", "/keys/first", $body), 403,
            "nor changed: $member", qr/"$member" of this key is not for you/);
}

is($alice->call("GET", "/keys/x")->status, 404, "none of these was made");

refused($alice->call("POST", "/keys", { name => "bobs" }), 409,
        "a name that is taken", qr/already/);

$r = $alice->call("POST", "/keys", { name => "second", valid_for => "30d",
                                     enabled => $false });
is($r->status, 201, "a second one") || diag($r->body);
refused($alice->call("POST", "/keys", { name => "third" }), 403,
        "no more than there may be; what it was given is not among them",
        qr/as many keys of your own/);
refused($bob->call("POST", "/keys", { name => "x" }), 403,
        "a user without an allowance", qr/as many keys of your own/);
refused($who{carl}->call("POST", "/keys", { name => "x" }), 403,
        "a person who is no user of keys", qr/as many keys of your own/);

$r = $alice->call("PATCH", "/keys/second", { enabled => $true,
    description => "changed", tags => ["a"],
    expires_at => "2098-01-01T00:00:00Z", valid_for => undef });
is($r->status, 200, "a user changes its own") || diag($r->body);
is_deeply([@{ $r->json }{qw/ enabled description expires_at user /}],
          [$true, "changed", "2098-01-01T00:00:00Z", "alice"], "as it wants");

$r = $alice->call("POST", "/keys/first/regenerate");
is($r->status, 200, "another secret");
is(join(" ", map { status($_) } $secret, $r->json->{secret}), "401 200",
   "in place of the old");
$secret = $r->json->{secret};

# what an operator has decided about a key stays

$r = $alice->call("PATCH", "/keys/given", { description => "noted",
                                            tags => ["x"],
                                            enabled => $false });
is($r->status, 200, "a key that it was given: words, and a stop")
    || diag($r->body);

for my $body ({ enabled => $true }, { expires_at => undef },
              { expires_at => "2100-01-01T00:00:00Z" }, { valid_for => "1d" })
{
    my ($member) = keys %$body;

    refused($alice->call("PATCH", "/keys/given", $body), 403,
            "but no other end: $member", qr/"$member" of this key is not/);
}

is($alice->call("GET", "/keys/given")->json->{expires_at},
   "2099-01-01T00:00:00Z", "it is as it was");
refused($alice->call("PATCH", "/keys/alices", { description => "x" }), 409,
        "one of nginx.conf", qr/is changed there/);


# ---- the limits of user and group hold

is(status($secret), 200, "the third request of the group");
is(status($secret), 200, "the fourth");
is(status($secret), 429, "F194: and no more");


# ---- deleted

is($alice->call("DELETE", "/keys/first")->status, 204, "a user deletes its own");
is(status($secret), 401, "it is refused");
refused($alice->call("GET", "/keys/first"), 404, "and gone for it",
        qr/no key "first"/);
refused($alice->call("DELETE", "/keys/second?permanent=true"), 403,
        "not for ever", qr/takes the role "operator"/);
is(names($who{olga}, "?deleted=true"), "first", "an operator finds it");
is($alice->call("POST", "/keys", { name => "fourth" })->status, 201,
   "and there is room for another one");
is($who{olga}->call("POST", "/keys/first/restore")->status, 200,
   "an operator restores it");
refused($alice->call("POST", "/keys", { name => "fifth" }), 403,
        "which is one too many", qr/as many keys/);

# deleted ones are bounded, too

my $last = 0;

for my $n (1 .. 40) {
    $alice->call("DELETE", "/keys/" . ($n == 1 ? "fourth" : "loop" . ($n - 1)));
    $alice->call("DELETE", "/keys/first") if $n == 1;

    my $r = $alice->call("POST", "/keys", { name => "loop$n" });

    $last = $n;
    last if $r->status != 201;
}

cmp_ok($last, "<", 30, "so many deleted keys that there may be no more: $last");
$who{olga}->call("POST", "/keys/purge");
is($alice->call("POST", "/keys", { name => "again" })->status, 201,
   "until they are purged");


# ---- four at once

control("PATCH", "/users/bob", { max_keys => 1 });

my @children;

for my $n (1 .. 4) {
    my $pid = fork // die;

    if (!$pid) {
        alarm 0;

        my $r = eval { $bob->call("POST", "/keys", { name => "race$n" }) };

        POSIX::_exit($r && $r->status == 201 ? 1 : 0);
    }

    push @children, $pid;
}

my $won = 0;

for (@children) {
    waitpid $_, 0;
    $won++ if $? >> 8 == 1;
}

is($won, 1, "one may be made, four are wanted");


# ---- cards

my $card = control("POST", "/cards", { type => "quota", amount => 2 });
my $code = $card->{cards}[0]{code};

refused($alice->call("POST", "/cards/redeem", { code => $code,
                                                key => "bobs" }), 404,
        "F075: not for a key of another one", qr/no key "bobs"/);
refused($alice->call("POST", "/cards/redeem", { code => $code,
                                                key => "others" }), 404,
        "nor of nginx.conf", qr/no key "others"/);
$r = $alice->call("POST", "/cards/redeem", { code => $code, key => "given" });
is($r->status, 200, "F075: a user redeems one for a key of its own")
    || diag($r->body);
is_deeply($r->json->{key}{limits}, ["cost:3"], "which has more then");
is($r->json->{card}{redeemed_by}, "alice", "by whom is known");
unlike($nginx->control("GET", "/v1/actions")->body, qr/\Q$code\E/,
       "the trail has no code");

finish();
