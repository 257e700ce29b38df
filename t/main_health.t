#!/usr/bin/perl

# F188: GET /health: what it tells, when it is 503, that it has no secrets.

use warnings;
use strict;

use POSIX ();
use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    accounts => account("oauth", "platform claude-oauth; priority 200;"
                                 . " access_token sk-ant-oat01-secret-token;"
                                 . " max_concurrency 7;")
                . account("plain", "api_key sk-ant-plain-secret;")
                . account("off", "enabled off;")
                . account("other", "pool other; priority -5;"),
    server => <<'END',
        location /other/ { claude_relay; claude_relay_pool other; }
        location /plain/ { claude_relay; claude_relay_platforms anthropic; }
        location = /private { claude_relay_health full=on; deny all; }
END
);

my ($r, $a);

sub told {
    my ($name) = @_;

    for my $pool (@{ $nginx->health->{pools} }) {
        my ($account) = grep { $_->{name} eq $name } @{ $pool->{accounts} };
        return $account if $account;
    }
}

sub misbehave {
    my ($uri, $do, %field) = @_;

    return $nginx->post("$uri/v1/messages", message(text => "sandbox($do)",
                                                    %field));
}


# 1. fresh

$r = $nginx->request("GET", "/health?full", key => undef);
is($r->status, 200, "F188: no key is asked for");
is($r->header("content-type"), "application/json", "F188: type");
is($r->header("cache-control"), "no-store", "F188: not to be cached");

my $h = $r->json;

is($h->{status}, "ok", "F188: status");
like($h->{version}, qr/^\d+\.\d+\.\d+$/, "F188: version");
like($h->{nginx}, qr/^1\.\d+\.\d+$/, "F188: version of nginx");
like($h->{uptime}, qr/^[0-9]$/, "F188: uptime");
is($h->{$_}, 0, "F188: $_")
    for qw/ requests refused_credentials sessions waiting /;
is_deeply([map { $_->{name} } @{ $h->{pools} }], ["default", "other"],
          "F188: pools");
is_deeply([map { $_->{name} } @{ $h->{pools}[0]{accounts} }],
          ["oauth", "plain", "off"], "F188: their accounts");

$a = told("oauth");
is_deeply($a, { name => "oauth", platform => "claude-oauth", state => "ok",
                priority => 200, in_flight => 0, max_concurrency => 7,
                requests => 0, errors => 0, windows => {} },
          "F188: a fresh account") || diag explain $a;
is(told("off")->{state}, "disabled", "F188: a disabled one");
is(told("other")->{priority}, -5, "F188: priority");

is($nginx->request("HEAD", "/health")->status, 200, "F188: HEAD");
is($nginx->request("POST", "/health", body => "x")->status, 405, "F188: POST");
is($nginx->get("/private")->status, 403, "F188: it can be hidden");


# 2. what requests leave behind

misbehave("", "util-5h=0.4321,util-7d=0.8");

$a = told("oauth");
is($a->{requests}, 1, "F188: requests of an account");
is($a->{windows}{"5h"}{status}, "allowed", "F143: 5h: status");
is($a->{windows}{"5h"}{utilization}, 0.4321, "F143: 5h: utilization");
like($a->{windows}{"5h"}{reset}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/,
     "F143: 5h: reset");
is($a->{windows}{"7d"}{status}, "allowed_warning", "F143: 7d: status");
is($a->{windows}{"7d"}{utilization}, 0.8, "F143: 7d: utilization");
is($nginx->health->{sessions}, 1, "F188: sessions");
is($nginx->health->{requests}, 1, "F188: requests");

$nginx->request("POST", "/v1/messages", body => "{}", key => "nix-nix-nix");
is($nginx->health->{refused_credentials}, 1, "F188: refused credentials");

my $c = $nginx->connect;
$c->request("POST", "/v1/messages",
            body => stream(text => "sandbox(events=3,delay=200)"));
$c->read_until(qr/event: content_block_delta/);
is(told("oauth")->{in_flight}, 1, "F188: in flight");
$c->response;
$c->close;
is(told("oauth")->{in_flight}, 0, "F188: no more");


# 3. resting: why and until when

my $now = time;
misbehave("", "unified=5h:1800,once,global");

$a = told("oauth");
is($a->{state}, "resting", "F151: a 429 with a window");
is($a->{why}, "limited", "F151: why");
like($a->{until}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/, "F151: until");
is($a->{windows}{"5h"}{status}, "rejected", "F143: 5h: rejected");
is($a->{last_error}{class}, "limited", "F188: last error");
is($a->{last_error}{status}, 429, "F188: its status");
like($a->{last_error}{at}, qr/^\d{4}-/, "F188: its time");
is($a->{errors}, 1, "F188: errors");
is($nginx->request("GET", "/health")->status, 200,
   "F188: 200: another account serves");

my ($y, $mo, $d, $hh, $mi, $s) = $a->{until} =~ /(\d+)/g;
my $until = POSIX::mktime($s, $mi, $hh, $d, $mo - 1, $y - 1900)
            - POSIX::mktime(gmtime $now);
cmp_ok(abs($until - 1800), "<", 130, "F151: until the reset that was told");


# 4. a family of models rests alone (F153)

misbehave("/plain", "unified=7d_opus:900,once", model => "claude-opus-5");

$a = told("plain");
is($a->{state}, "ok", "F153: one family does not stop an account")
    || diag explain $a;
like($a->{resting_families}{opus} // "", qr/^\d{4}-/, "F153: it rests");


# 5. nothing left: 503

misbehave("/plain", "status=403,once,message=no");
is(told("plain")->{state}, "resting", "F148: a 403 rests");
is(told("plain")->{why}, "forbidden", "F148: why");

$r = $nginx->request("GET", "/health?full", key => undef);
is($r->status, 200, "F188: one pool still serves");

misbehave("/other", "status=401,once");
is(told("other")->{why}, "auth", "F147: a 401 rests");

$r = $nginx->request("GET", "/health?full", key => undef);
is($r->status, 503, "F188: 503: nothing can serve");
is($r->json->{status}, "down", "F188: it says so");

unlike($r->body, qr/secret|sk-ant/, "F188: no secrets");
unlike($r->body, qr/127\.0\.0\.1/, "F188: no addresses");

finish();
