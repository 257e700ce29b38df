#!/usr/bin/perl

# Quota cards (F075): codes that raise a key's budget or move its end, once;
# who redeems them, what is undone, and that no code is told twice.

use warnings;
use strict;

use JSON::PP ();
use POSIX ();
use Test::More;
use Time::Local qw/ timegm /;

use ClaudeRelay;


my $up = sandbox();
my @told;

my $http = relay_http(
    http => "claude_relay_store %%DIR%%/store/relay.db
                                secret=%%DIR%%/relay.key;
             claude_relay_control unix:control.sock;",
    keys => "claude_relay_key alice { secret $ClaudeRelay::KEY; }");

my $nginx = nginx($http, workers => 2);

my ($true, $false) = (JSON::PP::true(), JSON::PP::false());


sub call {
    my ($method, $path, $json, @headers) = @_;

    my $r = $nginx->control($method, "/v1$path", $json, @headers);

    push @told, $r->head, $r->body =~ s/"(?:code|secret)":"[^"]*"//gr;

    return $r;
}


sub refused {
    my ($r, $status, $name, $message) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %types = (400 => "invalid_request", 404 => "not_found",
                 409 => "conflict", 412 => "precondition_failed");

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


sub seconds {
    my ($y, $mon, $d, $h, $m, $s) = ($_[0] // "")
        =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)Z$/ or return 0;

    return timegm($s, $m, $h, $d, $mon - 1, $y);
}


sub iso { POSIX::strftime("%Y-%m-%dT%H:%M:%SZ", gmtime $_[0]) }

sub near { cmp_ok(abs($_[0] - $_[1]), "<", 90, $_[2]) }


my @codes;

sub card {
    my (%fields) = @_;

    my $r = call("POST", "/cards", { %fields });

    $r->status == 201 || diag($r->body);
    push @codes, map { $_->{code} } @{ $r->json->{cards} };

    return $r->json->{cards}[0];
}


sub redeem {
    my ($card, $key) = @_;

    return call("POST", "/cards/redeem", { code => ref $card ? $card->{code}
                                                             : $card,
                                           key => $key });
}


sub limits { join " ", @{ call("GET", "/keys/$_[0]")->json->{limits} // [] } }


# ---- made

my $r = call("POST", "/cards", { type => "quota", amount => 5, count => 3,
                                 description => "spring" });
is($r->status, 201, "F075: three cards") || diag($r->body);

my @cards = @{ $r->json->{cards} };
push @codes, map { $_->{code} } @cards;

is(scalar(grep { $_->{code} =~ /^CC(?:_[A-HJ-NP-Z2-9]{4}){3}$/ } @cards), 3,
   "F075: their codes");
is(scalar(keys %{ { map { $_->{code} => 1 } @cards } }), 3, "each another one");
is_deeply([@{ $cards[0] }{qw/ type amount status description version /}],
          ["quota", 5, "unused", "spring", 1], "and what they are");
like($cards[0]{created_by}, qr/^user \d+$/, "by whom");

$r = call("GET", "/cards");
is_deeply([map { $_->{name} } @{ $r->json->{cards} }],
          [map { $_->{name} } @cards], "F075: a list, in their order");
is($r->json->{total}, 3, "total");
ok(!exists $r->json->{cards}[0]{code}, "F075: without their codes");
$r = call("GET", "/cards?limit=2");
is($r->json->{next}, $cards[1]{name}, "a page");
is(call("GET", "/cards?after=$cards[1]{name}")->json->{cards}[0]{name},
   $cards[2]{name}, "the next one");
$r = call("GET", "/cards/$cards[0]{name}");
is($r->json->{amount}, 5, "one of them");
is($r->header("etag"), '"1"', "with its version");

for ([{}, qr/"type"/], [{ type => "gift" }, qr/"type"/],
     [{ type => "quota" }, qr/"type"/], [{ type => "time" }, qr/"type"/],
     [{ type => "quota", days => 1 }, qr/"type"/],
     [{ type => "quota", amount => 1, days => 1 }, qr/"type"/],
     [{ type => "combo", amount => 1 }, qr/"type"/],
     [{ type => "quota", amount => 0 }, qr/"amount"/],
     [{ type => "quota", amount => -1 }, qr/"amount"/],
     [{ type => "quota", amount => "5" }, qr/"amount"/],
     [{ type => "quota", amount => 1e7 }, qr/"amount"/],
     [{ type => "time", days => 0.5 }, qr/"days"/],
     [{ type => "time", days => 3651 }, qr/"days"/],
     [{ type => "time", days => 1, count => 0 }, qr/"count"/],
     [{ type => "time", days => 1, count => 101 }, qr/"count"/],
     [{ type => "time", days => 1, count => "2" }, qr/"count"/],
     [{ type => "time", days => 1, max_amount => 5 }, qr/"max_amount"/],
     [{ type => "quota", amount => 1, max_days => 5 }, qr/"max_days"/],
     [{ type => "quota", amount => 1, expires_at => "soon" }, qr/"expires_at"/],
     [{ type => "quota", amount => 1, expires_at => "2020-01-01T00:00:00Z" },
      qr/"expires_at"/],
     [{ type => "quota", amount => 1, description => 7 }, qr/"description"/],
     [{ type => "quota", amount => 1, description => "a\nb" },
      qr/"description"/],
     [{ type => "quota", amount => 1, code => "CC_AAAA_AAAA_AAAA" },
      qr/no member "code"/])
{
    refused(call("POST", "/cards", $_->[0]), 400,
            "no card: " . encode($_->[0]), $_->[1]);
}

for ("?limit=0", "?limit=x", "?colour=red", "?type=a&type=b", "?after=a/b") {
    refused(call("GET", "/cards$_"), 400, "no query: $_", qr/limit|query/);
}

refused(call("GET", "/cards/nothing"), 404, "no such card",
        qr/no card "nothing"/);
is(call("GET", "/cards?type=time")->json->{total}, 0, "by type");
is(call("GET", "/cards?status=unused")->json->{total}, 3, "by status");


# ---- a budget

my $secret = call("POST", "/keys", { name => "bob", limits => [
    "requests:1000/day", "cost:0.001/total", "cost:9/total models=*opus*" ] })
    ->json->{secret};

status($secret) for 1 .. 30;

SKIP: {
    is(status($secret), 429, "a budget is used up")
        || skip "the price is another one", 1;

    $r = redeem($cards[0], "bob");
    is($r->status, 200, "F075: redeemed") || diag($r->body);
    is(status($secret), 200, "F075: there is more now");
}

is_deeply($r->json->{key}{limits},
          ["requests:1000/day", "cost:5.001",
           "cost:9/total models=*opus*"], "F075: by the card's amount");
is_deeply([@{ $r->json->{card} }{qw/ status key version /}],
          ["redeemed", "bob", 2], "F075: the card is");
near(seconds($r->json->{card}{redeemed_at}), time, "F075: when");
like($r->json->{card}{redeemed_by}, qr/^user \d+$/, "F075: by whom");

refused(redeem($cards[0], "bob"), 409, "F075: once", qr/this card is redeemed/);
refused(redeem($cards[0], "nobody"), 404, "no such key", qr/no key "nobody"/);
refused(redeem($cards[1], "alice"), 409, "a key of nginx.conf",
        qr/one of nginx\.conf/);
refused(redeem("CC_AAAA_BBBB_CCCC", "bob"), 404, "F075: another code",
        qr/^there is no such card$/);

for ("", "CC_AAAA", "CC_0000_0000_0000", "x" x 10000, "CC_AAAA_BBBB_CCCC' OR 1")
{
    refused(redeem($_, "bob"), 400, "no code: " . substr($_, 0, 20),
            qr/"code" must/);
}

refused(call("POST", "/cards/redeem", {}), 400, "nothing", qr/"code" and "key"/);
refused(call("POST", "/cards/redeem", { code => 1, key => "bob" }), 400,
        "another type", qr/must be texts/);
refused(call("POST", "/cards/redeem", { code => $cards[1]{code}, key => "bob",
                                        more => 1 }), 400, "more",
        qr/no member "more"/);

my $typed = lc $cards[1]{code} =~ s/_/-/gr;

$r = redeem($typed, "bob");
is($r->status, 200, "F075: as somebody types it") || diag($r->body);
is((split " ", limits("bob"))[1], "cost:10.001", "another one on top");

call("POST", "/keys", { name => "free" });
refused(redeem($cards[2], "free"), 409, "without a total all is allowed",
        qr/has no limit such as "cost:5\/total"/);
is(call("GET", "/cards/$cards[2]{name}")->json->{status}, "unused",
   "F075: then it is not used up");

call("POST", "/keys", { name => "object", limits => [
    { unit => "cost", amount => 2, window => "total" }] });
is(redeem($cards[2], "object")->status, 200, "a limit that is an object");
is(limits("object"), "cost:7", "has more");

my $capped = card(type => "quota", amount => 4, max_amount => 10);
refused(redeem($capped, "object"), 409, "F075: more than the card allows",
        qr/more than the card allows/);
is(redeem($capped, "bob")->status, 409, "whoever has it");
call("PATCH", "/keys/object", { limits => ["cost:6/total"] });
is(redeem($capped, "object")->status, 200, "F075: as much as it allows");


# ---- a time

my $time = card(type => "time", days => 30);
call("POST", "/keys", { name => "timed", expires_at => iso(time + 86400) });
$r = redeem($time, "timed");
is($r->status, 200, "F075: time") || diag($r->body);
near(seconds($r->json->{key}{expires_at}), time + 31 * 86400, "F075: is added");

refused(redeem(card(type => "time", days => 1), "bob"), 409,
        "a key without an end", qr/has no end that could be moved/);
refused(redeem(card(type => "time", days => 30, max_days => 40), "timed"), 409,
        "F075: longer than the card allows", qr/for longer than/);
is(redeem(card(type => "time", days => 30, max_days => 90), "timed")->status,
   200, "F075: as long as it allows");

my $combo = card(type => "combo", amount => 1.5, days => 7);
refused(redeem($combo, "timed"), 409, "F075: both or none",
        qr/no limit such as/);
near(seconds(call("GET", "/keys/timed")->json->{expires_at}),
     time + 61 * 86400, "then no time is added");
call("POST", "/keys", { name => "both", valid_for => "10d",
                        limits => ["cost:1/total"] });
$r = redeem($combo, "both");
is_deeply([@{ $r->json->{key} }{qw/ valid_for limits /}],
          ["17d", ["cost:2.5"]], "F075: both");

my $late = card(type => "quota", amount => 1, expires_at => iso(time + 2));
ok(wait_for(sub { call("GET", "/cards/$late->{name}")->json->{status}
                  eq "expired" }, 10), "F075: a card has an end");
refused(redeem($late, "bob"), 409, "F075: then it is none",
        qr/this card is expired/);
is(call("GET", "/cards?status=expired")->json->{total}, 1, "which is told");

call("DELETE", "/keys/free");
refused(redeem(card(type => "quota", amount => 1), "free"), 404,
        "a key that is deleted", qr/"free": it is deleted/);


# ---- undone

$r = call("POST", "/cards/$cards[1]{name}/revoke");
is($r->status, 200, "F075: revoked") || diag($r->body);
is_deeply([@{ $r->json }{qw/ status returned_amount /}], ["revoked", 5],
          "F075: all of it was left");
is((split " ", limits("bob"))[1], "cost:5.001", "F075: it is gone");
refused(call("POST", "/cards/$cards[1]{name}/revoke"), 409, "once",
        qr/is revoked already/);
refused(redeem($cards[1], "bob"), 409, "F075: it is of no use any more",
        qr/this card is revoked/);

status($secret);
my $used = (grep { $_->{limit} =~ /^cost:5\.001$/ }
                @{ call("GET", "/keys/bob")->json->{usage} })[0]{used};
cmp_ok($used, ">", 0, "something was used: $used");

$r = call("POST", "/cards/$cards[0]{name}/revoke");
my $left = 5.001 - $used;
$left = 5 if $left > 5;
cmp_ok(abs($r->json->{returned_amount} - $left), "<", 1e-6,
       "F075: what is left of it");
is(status($secret), 429, "F075: there is nothing left");

$r = call("POST", "/cards/$time->{name}/revoke");
near($r->json->{returned_days} * 86400, 30 * 86400, "F075: time");
near(seconds(call("GET", "/keys/timed")->json->{expires_at}),
     time + 31 * 86400, "F075: is taken back");

$r = call("POST", "/cards/$combo->{name}/revoke");
is_deeply([@{ call("GET", "/keys/both")->json }{qw/ valid_for limits /}],
          ["10d", ["cost:1"]], "F075: both are");

my $short = card(type => "time", days => 5);
call("POST", "/keys", { name => "short", expires_at => iso(time - 1000) });
redeem($short, "short");
call("PATCH", "/keys/short", { expires_at => iso(time + 2 * 86400) });
$r = call("POST", "/cards/$short->{name}/revoke");
near($r->json->{returned_days} * 86400, 2 * 86400,
     "F075: of time no more than is left");
near(seconds(call("GET", "/keys/short")->json->{expires_at}), time,
     "it ends now");

my $unused = card(type => "quota", amount => 1);
is(call("POST", "/cards/$unused->{name}/revoke")->json->{status}, "revoked",
   "F075: one that nobody has redeemed");
refused(redeem($unused, "object"), 409, "cannot be", qr/is revoked/);

my $orphan = card(type => "quota", amount => 1);
redeem($orphan, "object");
call("DELETE", "/keys/object?permanent=true");
call("POST", "/keys", { name => "object", limits => ["cost:50/total"] });
is(call("POST", "/cards/$orphan->{name}/revoke")->json->{status}, "revoked",
   "its key is gone");
is(limits("object"), "cost:50/total", "another one of this name is not it");

refused(call("POST", "/cards/nothing/revoke"), 404, "no such card",
        qr/no card "nothing"/);
refused(call("POST", "/cards/$unused->{name}/revoke", { a => 1 }), 400,
        "revoke takes nothing", qr/no member "a"/);


# ---- removed

my $kept = card(type => "quota", amount => 1);
redeem($kept, "object");
refused(call("DELETE", "/cards/$kept->{name}"), 409, "one that is redeemed",
        qr/revoke it first/);
refused(call("DELETE", "/cards/$unused->{name}", undef, 'If-Match: "1"'), 412,
        "another version", qr/was changed meanwhile/);
is(call("DELETE", "/cards/$unused->{name}")->status, 204, "F075: removed");
refused(call("GET", "/cards/$unused->{name}"), 404, "and gone", qr/no card/);
is(call("GET", "/cards?key=object&status=redeemed")->json->{total}, 3,
   "cards of a key");


# ---- many want one

my $one = card(type => "quota", amount => 1);
call("PATCH", "/keys/object", { limits => ["cost:1/total"] });

my @children;

for (1 .. 6) {
    my $pid = fork // die;

    if (!$pid) {
        alarm 0;

        my $r = eval { $nginx->control("POST", "/v1/cards/redeem",
                                       { code => $one->{code},
                                         key => "object" }) };

        POSIX::_exit($r && $r->status == 200 ? 1 : 0);
    }

    push @children, $pid;
}

my $won = 0;

for (@children) {
    waitpid $_, 0;
    $won++ if $? >> 8 == 1;
}

is($won, 1, "F075: six at once: one of them");
is(limits("object"), "cost:2", "F075: and once");


# ---- over a restart

my $kept_code = card(type => "quota", amount => 3);

$nginx->reload;
is(redeem($kept_code, "object")->status, 200, "F075: a reload keeps cards");
is(limits("object"), "cost:5");


# ---- secrets

my $told = join "", @told;

is(scalar(grep { index($told, $_) >= 0 } @codes), 0,
   "F075: no code is in an answer but the one that made it");
is(scalar(grep { index($nginx->error_log, $_) >= 0 } @codes), 0,
   "nor in the log");

my $store = join "", map { slurp($_) } glob $nginx->dir . "/store/relay.db*";

is(scalar(grep { index($store, $_) >= 0 } @codes), 0, "nor in the store");
is($nginx->request("POST", "/v1/messages", body => message(),
                   key => $kept_code->{code})->status, 401,
   "a card is no key");

finish();
