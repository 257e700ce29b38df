#!/usr/bin/perl

# The life of tokens (F106 to F111, N06): refreshed ahead, on demand and after
# a 401; by one worker at a time; stored before they are used; and what
# becomes of accounts whose refresh fails.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $now = time;

# in a pool of its own

sub own {
    my ($name, %arg) = @_;
    return login_account($name, more => "pool $name;", %arg);
}


sub place {
    return join "", map { "location /$_/ { claude_relay; claude_relay_pool $_;"
                          . " claude_relay_retry_wait 0; }\n" } @_;
}


my $nginx = nginx(<<"END", workers => 2);
@{[ zone_and_key() ]}
@{[ store() ]}
claude_relay_control unix:%%DIR%%/control.sock;
@{[ own("ahead", expires => 200) ]}
@{[ own("fresh") ]}
@{[ own("refused") ]}
@{[ own("twice") ]}
@{[ own("dead") ]}
@{[ own("edge", expires => 200) ]}
@{[ own("setup", setup => 1, scope => "user:inference") ]}
@{[ own("kept") ]}
@{[ account("other", "pool dead; priority 1;") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    @{[ place(qw/ ahead fresh refused twice dead edge setup kept /) ]}
    location = /health { claude_relay_health full=on; }
}
END

sub ask_for { return $nginx->post("/$_[0]/v1/messages", message()) }

sub state_of {
    my ($name) = @_;
    for my $pool (@{ $nginx->health->{pools} }) {
        return $_->{state} for grep { $_->{name} eq $name }
                               @{ $pool->{accounts} };
    }
}

# F106, F111: ahead of its end, although nobody asks

ok(wait_for(sub { $up->oauth_chain("ahead")->{rotations} == 1 }),
   "F106: 200 s before its end a token is refreshed, unasked");
is($up->oauth_chain("fresh")->{rotations}, 0,
   "F106: one that lasts an hour is not");
is(ask_for("ahead")->status, 200, "F106: and serves");

# (refreshes of other accounts may have come in between)

my ($asked) = grep { $_->{target} =~ /messages/ } reverse $up->last(9);
my $access = $up->oauth_chain("ahead")->{access};
ok((grep { /^authorization: Bearer \Q$access\E$/i } @{ $asked->{headers} }),
   "F106: with the new token");
is($up->oauth_chain("ahead")->{rotations}, 1, "F106: once");


# F107: what is in the store is what a restart finds, not what nginx.conf has

$nginx->wait_error(qr/account "ahead" has new tokens/);


like($nginx->control("GET", "/v1/accounts/ahead")->json->{identity}{email},
     qr/^ahead@/, "F112: whose tokens they are is told by a refresh, too");


# 401: refreshed once, asked again, the client sees nothing of it

$up->oauth(do => "revoke-access", chain => "refused");

is(ask_for("refused")->status, 200, "401: the client is served all the same");
is($up->oauth_chain("refused")->{rotations}, 1, "401: after one refresh");
like($nginx->log->{attempts}, qr/^refused:401:auth:\d+, ?refused:200/,
     "401: the trail has both attempts")
    || diag($nginx->log->{attempts});

is(ask_for("refused")->status, 200, "401: the next one goes straight on");
is($up->oauth_chain("refused")->{rotations}, 1, "401: without another refresh");


# a 401 that a new token does not help

$up->behave($up->oauth_chain("twice")->{access}, "");
my $r = $nginx->post("/twice/v1/messages", message(),
                     "X-Sandbox: status=401");
is($r->status, 401, "401 again: goes to the client");
is($up->oauth_chain("twice")->{rotations}, 1, "401 again: one refresh only");


# F108: invalid_grant is a login's matter, and others serve

$up->oauth(do => "kill", chain => "dead");

is(ask_for("dead")->status, 200, "invalid_grant: another account serves");
is(state_of("dead"), "needs-login", "invalid_grant: the account needs a login");
$nginx->wait_error(qr/account "dead" needs a login.*invalid_grant/);

my $n = scalar @{ $up->oauth_report(chain => "dead")->{requests} };
is(ask_for("dead")->status, 200, "invalid_grant: served again");
is(scalar @{ $up->oauth_report(chain => "dead")->{requests} }, $n,
   "invalid_grant: nobody shows that token again");


# the edge is not the authorization server: nothing is lost by it

$up->oauth(do => "fail=403-html:2", chain => "edge");

is(ask_for("edge")->status, 200, "F109: while refreshes fail, the token does");
ok(wait_for(sub { $up->oauth_chain("edge")->{rotations} == 1 }, 15),
   "edge: tried again until it works");
is(state_of("edge"), "ok", "edge: the account is in order");


# F077: a setup token

is(ask_for("setup")->status, 200, "F077: a setup token serves");
$up->oauth(do => "revoke-access", chain => "setup");
$r = ask_for("setup");
is($r->status, 401, "F077: refused, there is nothing to refresh");
ok(wait_for(sub { state_of("setup") eq "needs-login" }),
   "F077: it needs a login");


# an answer without a refresh token leaves the old one in place

$up->oauth(do => "keep,revoke-access", chain => "kept");
is(ask_for("kept")->status, 200, "kept: a new access token only");
$up->oauth(do => "revoke-access", chain => "kept");
is(ask_for("kept")->status, 200, "kept: the old refresh token does it again");

is($up->oauth_report->{counters}{reuses}, 0, "no token was shown twice");

unlike($nginx->error_log, qr/sk-ant-(oat|ort)/, "no token in error.log");

$nginx->stop;


# tokens that live for seconds, or have ended when they come: each request is
# served once, or refused, and nobody besieges the server

$up->oauth(do => "reset");

$nginx = nginx(<<"END", workers => 1);
@{[ zone_and_key() ]}
@{[ store() ]}
@{[ own("short", expires => 5) ]}
@{[ own("ended", expires => 5) ]}
server {
    listen 127.0.0.1:%%PORT%%;
    @{[ place(qw/ short ended /) ]}
    location = /health { claude_relay_health full=on; }
}
END

$up->oauth(do => "expires-in=3", chain => "short");
$up->oauth(do => "expires-in=0", chain => "ended");

my $start = time;
is(ask_for("short")->status, 200, "a token of 3 seconds serves");
cmp_ok(time - $start, "<", 5, "a token of 3 seconds: at once");
$start = time;
isnt(ask_for("ended")->status, 200, "a token that has ended serves nobody");
cmp_ok(time - $start, "<", 5, "a token that has ended: at once");
sleep 3;
cmp_ok($up->oauth_chain($_)->{rotations}, "<=", 5, "no siege: $_")
    for qw/ short ended /;
$nginx->stop;


# one refresh for all: 8 workers, 50 requests each, on an expired token

$up->oauth(do => "reset");
$up->reset;

my $expired = own("many", expires => -10, expires_in => 0);
$up->oauth(do => "before=150");

$nginx = nginx(<<"END", workers => 8);
@{[ zone_and_key() ]}
@{[ store() ]}
$expired
server {
    listen 127.0.0.1:%%PORT%% reuseport;
    @{[ place("many") ]}
    location = /health { claude_relay_health full=on; }
}
END

my @w = map { wire(port(), ask(path => "/many/v1/messages", text => "w$_")) }
        1 .. 400;

ok(pump(sub { !grep { !$_->{done} } @w }, 30), "single flight: all answered");
is(scalar(grep { ($_->{status} // 0) == 200 } @w), 400,
   "single flight: 400 requests are served");
is($up->oauth_chain("many")->{rotations}, 1, "single flight: by one refresh");
is($up->oauth_report->{counters}{reuses}, 0, "single flight: no token twice");
$_->close for @w;


# once more for a token that is refused to all of them at once

$up->oauth(do => "revoke-access", chain => "many");

@w = map { wire(port(), ask(path => "/many/v1/messages", text => "x$_")) }
     1 .. 100;

ok(pump(sub { !grep { !$_->{done} } @w }, 30), "401 for all: all answered");
is(scalar(grep { ($_->{status} // 0) == 200 } @w), 100,
   "401 for all: all are served");
is($up->oauth_chain("many")->{rotations}, 2, "401 for all: by one refresh");
$_->close for @w;


# the endpoint is down for a while: served when it is back, nothing lost

$up->oauth(do => "down=1500,expire", chain => "many");
$up->oauth(do => "down=1500");

$r = $nginx->post("/many/v1/messages", message());
cmp_ok($r->status, "==", 401, "down: nobody can serve")
    if $r->status != 200;

ok(wait_for(sub { $nginx->post("/many/v1/messages", message())->status
                  == 200 }, 20), "down: served again when it is back");
is($up->oauth_report->{counters}{reuses}, 0, "down: no token twice");
is(state_of("many"), "ok", "down: the account is in order");

finish();
