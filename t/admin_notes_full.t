#!/usr/bin/perl

# Notes of failures and tests in a zone that is too small for them (F162):
# they leave room for requests, and are the first to go.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();
my $accounts = 80;

my $nginx = nginx("claude_relay_zone relay:512k;
                   claude_relay_key alice { secret alice-secret-0001; }
                   claude_relay_control unix:control.sock;"
                  . join("", map { account("a$_", "auto_protect off;") }
                                 1 .. $accounts)
                  . "server { listen %%PORT%%; location / { claude_relay; } }");


sub call { $nginx->control(@_)->json }

sub rings {
    my ($what) = @_;

    return scalar grep { call("GET", "/v1/accounts/a$_/$what")->{total} }
                       1 .. $accounts;
}


sub session {
    my ($n) = @_;

    return $nginx->post("/v1/messages", message(text => "x$n"),
                        "X-Claude-Code-Session-Id: 00000000-0000-4000-8000-"
                        . sprintf("%012d", $n))->status;
}


my $j = call("POST", "/v1/accounts/batch", { do => "test", filter => {} });

is($j->{done}, $accounts, "tests of all accounts");

my $rings = rings("tests");

cmp_ok($rings, ">", 10, "notes of some");
cmp_ok($rings, "<", $accounts, "not of all: there is no room");
cmp_ok(call("GET", "/v1/status")->{zone}{free}, ">=", 512 * 1024 / 16 - 4096,
       "which is left to others");
ok(call("GET", "/v1/accounts/a$accounts/tests")->{total},
   "the newest are there");

my %bad;

$bad{ session($_) }++ for 1 .. 2500;

is_deeply([keys %bad], [200], "requests and sessions go on");
cmp_ok(rings("tests"), "<", $rings, "notes went for them");

finish();
