#!/usr/bin/perl

# Quota of subscriptions (F100): the usage endpoint, asked seldom; windows of
# every kind; a guard that is strict.

use warnings;
use strict;

use ClaudeRelay;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();

sub account_of {
    my ($nginx, $name) = @_;

    for my $pool (@{ $nginx->health->{pools} }) {
        my ($a) = grep { $_->{name} eq $name } @{ $pool->{accounts} };
        return $a if $a;
    }
}


my ($one, $setup, $busy, $classic)
    = map { login_account($_->[0], more => "pool $_->[0];",
                            @$_[1 .. $#$_]) }
          [ "one" ], [ "setup", setup => 1, scope => "user:inference" ],
          [ "busy" ], [ "classic" ];

$up->oauth(do => "five-hour=37,seven-day=52,opus=91,scoped=Fable%3A99.6",
           chain => "one");
$up->oauth(do => "usage=classic,five-hour=12,five-hour-reset=4,sonnet=45",
           chain => "classic");
$up->oauth(do => "usage-fail=429:9,retry-after=2895", chain => "busy");

my $nginx = nginx(<<"END", workers => 2);
@{[ zone_and_key() ]}
@{[ store() =~ s/usage_poll off/usage_poll 10m/r ]}
$one $setup $busy $classic
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; claude_relay_pool one; }
    location /busy/ { claude_relay; claude_relay_pool busy; }
    location = /health { claude_relay_health full=on; }
}
END

ok(wait_for(sub { account_of($nginx, "one")->{windows}{"7d_opus"} }, 10),
   "F100: windows without a request");

my $w = account_of($nginx, "one")->{windows};
is($w->{"5h"}{utilization}, 0.37, "F100: 5 hours");
is($w->{"7d"}{utilization}, 0.52, "F100: 7 days");
is($w->{"7d_opus"}{utilization}, 0.91, "F100: opus");
is($w->{"7d_fable"}{utilization}, 0.996, "F100: a family of tomorrow");
like($w->{"5h"}{reset}, qr/^\d{4}-/, "F100: and when they end");

ok(wait_for(sub { account_of($nginx, "classic")->{windows}{"5h"} }, 10),
   "F100: the classic shape");
is(account_of($nginx, "classic")->{windows}{"7d_sonnet"}{utilization}, 0.45,
   "F100: sonnet is sonnet");

ok(wait_for(sub { $up->oauth_chain("busy")->{usage} }), "429: asked");
sleep 2.5;
is($up->oauth_chain("busy")->{usage}, 1, "429: and not again");
is($up->oauth_chain("one")->{usage}, 1, "by one worker, once");

# what a request tells makes asking needless, and is newer

is($nginx->post("/v1/messages", message(), "X-Sandbox: util-5h=0.5")->status,
   200, "headers: a request");
is(account_of($nginx, "one")->{windows}{"5h"}{utilization}, 0.5,
   "headers: win over what was asked before");

# a window that is over is over

ok(wait_for(sub { !account_of($nginx, "classic")->{windows}{"5h"} }, 6),
   "windows roll over by their reset");
is(account_of($nginx, "classic")->{windows}{"7d_sonnet"}{utilization}, 0.45,
   "each by its own");

is($nginx->post("/v1/messages", message(model => "claude-fable-5"))->status,
   200, "guard: the last account is taken all the same");

$nginx->stop;


# strict: nobody is asked above it, until the reset

$nginx = nginx(<<"END", workers => 1);
@{[ zone_and_key() ]}
claude_relay_quota_guard 0.9 strict;
@{[ account("a", "platform claude-oauth; access_token sk-ant-oat01-aaaa;") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; claude_relay_retry_wait 0; }
    location = /health { claude_relay_health full=on; }
}
END

is($nginx->post("/v1/messages", message(),
                "X-Sandbox: util-7d=0.89")->status, 200, "strict: below");
is($nginx->post("/v1/messages", message(),
                "X-Sandbox: util-7d=0.95")->status, 200, "strict: told");

my $n = $up->requests;
my $r = $nginx->post("/v1/messages", message());
is($r->status, 429, "strict: nobody serves");
is($up->requests, $n, "strict: nobody is asked");
cmp_ok($r->header("retry-after") // 0, ">", 0, "strict: until its reset");

for my $bad ("0.9 lax", "off strict") {
    my ($ok, $said) = config("@{[ zone_and_key() ]}
        claude_relay_quota_guard $bad;");
    ok(!$ok && $said =~ /invalid/, "strict: \"$bad\" is refused") || diag($said);
}

finish();
