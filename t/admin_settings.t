#!/usr/bin/perl

# Settings that are changed while nginx runs: maintenance, the global model
# map, unpriced models, thresholds, branding; and what models are replaced by,
# wherever that is said (F206).

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use ClaudeRelay;


my $up = sandbox();
my $http = relay_http(
    http => "claude_relay_store store/relay.db secret=relay.key;
             claude_relay_alerts interval=500ms budget=off;
             claude_relay_control unix:control.sock;",
    keys => "claude_relay_key alice { secret $ClaudeRelay::KEY;
                 map opus model=claude-opus-5; }",
    account => "model_map claude-haiku-4-5 haiku-of-one; models *;",
    location => "claude_relay_map located-* claude-sonnet-5;");

my $nginx = nginx($http, workers => 2);

my ($true, $false) = (JSON::PP::true(), JSON::PP::false());


sub call { $nginx->control(shift, "/v1" . shift, @_) }

sub told {
    my ($r, $status, $message, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($r->status == $status && $r->message =~ $message, $name)
        || diag($r->status, " ", $r->body);
}

sub say_model {
    my ($model) = @_;

    $nginx->post("/v1/messages", message(model => $model));

    my $sent = $up->last->{body_sha256};

    for (qw/ haiku-of-one claude-sonnet-5 claude-haiku-4-5 never /, $model) {
        return $_ if $sent eq sha256(message(model => $_));
    }

    return "?";
}

# in all workers; a request may come to any

sub settled {
    my ($sub, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { for (1 .. 6) { return 0 unless $sub->() } 1 }, 5),
       $name);
}


# ---- what there is at first

my $r = call("GET", "/settings");

is($r->status, 200, "F206: settings");
is_deeply($r->json, { maintenance => { enabled => $false, message => "" },
                      model_map => {}, unpriced => "allow", alerts => {},
                      branding => { name => "", notice => "" } },
          "are what is usual");
is($r->header("etag"), undef, "and have no version yet");


# ---- what is refused changes nothing

for ([{ frobnicate => 1 }, qr/^settings have "maintenance"/],
     [{ maintenance => 1 }, qr/^"maintenance" must be an object$/],
     [{ maintenance => { enabled => 1 } }, qr/"enabled" that is not true/],
     [{ maintenance => { message => "x" x 257 } }, qr/"message" that is not/],
     [{ maintenance => { message => "a\nb" } }, qr/"message" that is not/],
     [{ maintenance => { since => "now" } }, qr/may have "enabled"/],
     [{ model_map => ["a"] }, qr/^"model_map" must be an object of names$/],
     [{ model_map => { a => 1 } }, qr/^"model_map" must be an object/],
     [{ model_map => { "" => "b" } }, qr/^"model_map" has an empty name$/],
     [{ model_map => { a => "b\n" } }, qr/has control characters$/],
     [{ model_map => { map { ("m$_" => "x") } 1 .. 65 } }, qr/too many/],
     [{ unpriced => "perhaps" }, qr/^"unpriced" must be "refuse" or "allow"$/],
     [{ unpriced => $true }, qr/^"unpriced" must be/],
     [{ alerts => [] }, qr/^"alerts" must be an object$/],
     [{ alerts => { quota => 1 } }, qr/^"alerts" takes texts/],
     [{ alerts => { frob => "1" } }, qr/member that is no parameter/],
     [{ alerts => { service => "x" } }, qr/said in nginx.conf/],
     [{ alerts => { budget => "1,0.5" } }, qr/ascending shares/],
     [{ branding => { name => "x" x 65 } }, qr/"name" that is not/],
     [{ branding => { logo => "x" } }, qr/may have "name" and "notice" only/],
     [{}, qr/^nothing is to be changed$/])
{
    my ($body, $message) = @$_;

    told(call("PATCH", "/settings", $body), 400, $message,
         "refused: " . substr(encode($body), 0, 50));
}

told(call("PATCH", "/settings", '{"unpriced":"allow","unpriced":"refuse"}'),
     400, qr/is repeated/, "a member twice");
told(call("GET", "/settings?x=1"), 400, qr/query takes nothing/, "a query");
is(call("GET", "/settings")->header("etag"), undef, "nothing was stored");


# ---- maintenance

is($nginx->post("/v1/messages", message())->status, 200, "before: a message");

$r = call("PATCH", "/settings",
          { maintenance => { enabled => $true, message => "back at \"noon\"" } });
is($r->status, 200, "F206: maintenance begins");
is($r->header("etag"), '"1"', "a version");
is($r->json->{maintenance}{message}, "back at \"noon\"", "as it is now");

settled(sub { $nginx->post("/v1/messages", message())->status == 503 },
        "requests are refused, in all workers");

$r = $nginx->post("/v1/messages", message());
is_error($r, 503, "api_error", "in the dialect's form",
         qr/^back at "noon"$/);
is($r->header("retry-after"), 30, "to be tried again");
is($nginx->get("/v1/models", "x-api-key: $ClaudeRelay::KEY")->status, 200,
   "what is not relayed goes on");
is($nginx->health->{status}, "ok", "and the relay is healthy");

told(call("PATCH", "/settings", { maintenance => undef }, 'If-Match: "7"'),
     412, qr/it has version 1/, "of another version");
is(call("PATCH", "/settings", { maintenance => undef }, 'If-Match: "1"')
       ->header("etag"), '"2"', "null takes it back");

settled(sub { $nginx->post("/v1/messages", message())->status == 200 },
        "requests are relayed again");


# ---- the model map of everybody

is(say_model("client-1"), "client-1", "before: as it was asked for");

$r = call("PATCH", "/settings",
          { model_map => { "client-*" => "claude-haiku-4-5",
                           "located-*" => "never" } });
is($r->status, 200, "F080: a map of everybody");
is_deeply($r->json->{maintenance}, { enabled => $false, message => "" },
          "the other members stay");

settled(sub { say_model("client-1") eq "haiku-of-one" },
        "holds, and the account's after it");
is(say_model("located-1"), "claude-sonnet-5", "the location's is before it");
is(say_model("other"), "other", "what does not match stays");

$r = call("GET", "/model-maps");
is($r->status, 200, "F080: maps");
is_deeply([map { $_->{where} } @{ $r->json->{maps} }],
          [qw/ location settings key account /], "in their order");
is_deeply($r->json->{maps}[1]{map},
          { "client-*" => "claude-haiku-4-5", "located-*" => "never" },
          "what the settings have");
is_deeply($r->json->{maps}[2]{slots}, { opus => { model => "claude-opus-5" } },
          "slots of a key of nginx.conf");

is(call("POST", "/keys", { name => "bob",
                           map => { haiku => { model => "x" } } })->status,
   201, "a key of the store with a slot");
is_deeply([map { $_->{name} } grep { $_->{where} eq "key" }
               @{ call("GET", "/model-maps")->json->{maps} }],
          [qw/ alice bob /], "is there, too");


# ---- the rest

$r = call("PATCH", "/settings",
          { unpriced => "refuse", branding => { name => "R", notice => "a\nb" },
            alerts => { budget => "0.5,1", hold => "0s" } });
is($r->status, 200, "the rest");
is($r->json->{unpriced}, "refuse", "unpriced");
is_deeply($r->json->{branding}, { name => "R", notice => "a\nb" }, "branding");
is_deeply($r->json->{alerts}, { budget => "0.5,1", hold => "0s" },
          "thresholds");

is(call("POST", "/keys", { name => "half", secret => "half-secret-0001",
                           limits => ["requests:4/day"] })->status, 201,
   "a key with a few requests");
$nginx->request("POST", "/v1/messages", key => "half-secret-0001",
                body => message(model => "claude-sonnet-5"),
                headers => ["content-type: application/json"]) for 1 .. 2;
ok(wait_for(sub {
    grep { $_->{subject} =~ m{^key/half/} && $_->{type} eq "budget" }
         @{ call("GET", "/alerts")->json->{alerts} }
}, 20), "an alert by such a threshold") || diag(call("GET", "/alerts")->body);

is(call("POST", "/keys", { name => "poor", secret => "poor-secret-0001",
                           limits => ["cost:5/day"] })->status, 201,
   "a key with a limit of its cost");

settled(sub {
    $nginx->request("POST", "/v1/messages", key => "poor-secret-0001",
                    body => message(model => "priceless"),
                    headers => ["content-type: application/json"])->status
        == 403
}, "F071: a model without a price is refused");


# ---- a reload, and a new process, have them

$nginx->reload($http);
is(call("GET", "/settings")->json->{unpriced}, "refuse", "after a reload");
settled(sub { say_model("client-1") eq "haiku-of-one" }, "and in force");

is(call("GET", "/settings")->header("etag"), '"4"', "of the same version");

finish();
