#!/usr/bin/perl

# Accounts that change, or go, while a refresh of theirs is on the wire and
# requests wait for it.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();

my $nginx = nginx(<<"END", workers => 1);
@{[ zone_and_key() ]}
@{[ store() ]}
claude_relay_control unix:%%DIR%%/control.sock;
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; claude_relay_retry_wait 0; }
    location = /health { claude_relay_health full=on; }
}
END

$up->oauth(do => "before=300,after=300");

for my $round (1 .. 6) {

    my $name = "one$round";
    my $seed = $up->oauth_seed(name => $name);

    is($nginx->control("POST", "/v1/accounts", {
        name => $name, platform => "claude-oauth", base_url => $up->url,
        access_token => $seed->{access}, refresh_token => $seed->{refresh},
        expires => int(time + 3600) })->status, 201, "$round: an account");

    $up->oauth(do => "revoke-access", chain => $name);

    my @w = map { wire(port(), ask(text => "$round $_")) } 1 .. 5;

    ok(pump(sub { $up->oauth_report(n => 0)->{counters}{in_flight} }, 10),
       "$round: its refresh is on the wire");

    # other settings, and so another roster; then it goes, or its clients do

    is($nginx->control("PATCH", "/v1/accounts/$name", { priority => $_ })
             ->status, 200, "$round: changed") for 1 .. 3;

    if ($round % 3 == 0) {
        $_->abort for @w;
    }

    if ($round % 3 != 1) {
        is($nginx->control("DELETE", "/v1/accounts/$name")->status, 204,
           "$round: removed");
    }

    ok(pump(sub { $up->oauth_report(n => 0)->{counters}{in_flight} == 0 }, 10),
       "$round: the refresh is through");

    if ($round % 3) {
        ok(pump(sub { !grep { !$_->{done} } @w }, 10),
           "$round: whoever waited is answered");
        is(scalar(grep { ($_->{status} // 0) == 200 } @w), 5,
           "$round: and served") if $round % 3 == 1;
        $_->close for @w;
    }

    is($nginx->control("DELETE", "/v1/accounts/$name")->status, 204,
       "$round: removed") if $round % 3 == 1;

    is($nginx->post("/v1/messages", message())->status, 503,
       "$round: then nobody serves");
}

is($up->oauth_report->{counters}{reuses}, 0, "no token was shown twice");

# nothing of them is left in the zone for ever: hundreds come and go

my $failed = 0;

for my $i (1 .. (asan() ? 100 : 400)) {
    my $r = $nginx->control("POST", "/v1/accounts", {
        name => "passing$i", platform => "anthropic", api_key => "sk-ant-x$i",
        base_url => $up->url });
    $failed++ if $r->status != 201;
    $r = $nginx->control("DELETE", "/v1/accounts/passing$i");
    $failed++ if $r->status != 204;
}

is($failed, 0, "accounts come and go in a zone of 1 MB");

finish();
