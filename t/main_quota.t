#!/usr/bin/perl

# claude_relay_quota_guard (F143): an account whose window is nearly used up
# comes after all others.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();
my $asked = 0;


sub accounts {
    return account("near", "platform claude-oauth; priority 200;"
                           . " access_token sk-ant-oat01-near;")
           . account("far", "platform claude-oauth;"
                            . " access_token sk-ant-oat01-far;");
}


# who serves, each time in a session of its own or in one that is named

sub who {
    my ($nginx, $do, $session) = @_;

    my $r = $nginx->post("/v1/messages", message(text => "n" . ++$asked),
                         defined $do ? "x-sandbox: $do" : (),
                         defined $session
                         ? "X-Claude-Code-Session-Id: $session" : ());

    return $r->status == 200 ? $nginx->log->{account} : $r->status;
}


for (["", "default", "0.99", "0.996"],
     ["claude_relay_quota_guard 0.8;", "0.8", "0.79", "0.80"])
{
    my ($guard, $name, $below, $above) = @$_;

    $up->reset;

    my $nginx = relay(accounts => accounts(), http => $guard);

    is(who($nginx, "util-5h=$below", "s"), "near", "F143 guard $name: first");
    is(who($nginx, "util-5h=$below", "s"), "near", "F143 guard $name: below");
    is(who($nginx, "util-5h=$above", "s"), "near", "F143 guard $name: told");
    is(who($nginx), "far", "F143 guard $name: the other one");
    is(who($nginx, undef, "s"), "far", "F143 guard $name: a session moves");
    like($nginx->log->{sticky}, qr/^moved:/, "F143 guard $name: and says why");

    # no harm where there is no other

    is(who($nginx, "util-7d=0.999"), "far", "F143 guard $name: both, told");
    is(who($nginx), "near", "F143 guard $name: both: still served");

    $nginx->stop;
}

my $off = relay(accounts => accounts(), http => "claude_relay_quota_guard off;");

is(who($off, "util-5h=0.999"), "near", "F143 guard off: told");
is(who($off), "near", "F143 guard off: goes on until it is refused");

for my $bad ("0", "-1", "x", "0.9 0.8") {
    my ($ok, $said) = config(relay_http(
        http => "claude_relay_quota_guard $bad;"));

    ok(!$ok && $said =~ /quota_guard|invalid value|must be/,
       "F143 guard: \"$bad\" is refused");
}

finish();
