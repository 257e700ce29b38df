#!/usr/bin/perl

# The directive "claude_relay_redis".

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use ClaudeRelay;
use ClaudeRelayFleet;


my $zone = "claude_relay_zone relay:2m; claude_relay_keys off;";
my $secret = ClaudeRelayFleet::secret();

sub said {
    my ($params, $http, %env) = @_;

    my ($ok, $text) = config("$zone claude_relay_redis $params;"
                             . ($http // ""), env => \%env);

    return $ok ? "ok" : $text;
}

is(said("127.0.0.1 secret=$secret"), "ok", "fleet: an address");
is(said("[::1]:7 redis.example.org:8 secret=$secret node=A.b_c-1 nodes=3"
        . " timeout=20ms lease=5s away_refresh=never"), "ok",
   "fleet: some more");
is(said("127.0.0.1 cluster secret=$secret"), "ok", "fleet: a cluster");
is(said("a b c sentinel=relay sentinel_password=env:SP secret=$secret", "",
        SP => "x"), "ok", "fleet: Sentinels");

for (["", "invalid number of arguments"],
     ["secret=$secret", "has no address of a server"],
     ["127.0.0.1", "needs \"secret=\", or a"],
     ["127.0.0.1 secret=/nowhere/key", "the fleet's key .* cannot be read"],
     ["127.0.0.1:99999 secret=$secret", "invalid port"],
     ["127.0.0.1/1 secret=$secret", "parameter \"127.0.0.1/1\""],
     ["a!b secret=$secret", "has no name of a host"],
     ["a colour=red", "parameter \"colour=red\" is none"],
     ["a db=1 db=2", "parameter \"db=2\" is duplicate"],
     ["a db=x", "must be a number from 0"],
     ["a db=", "has no value"],
     ["a nodes=0", "must be a number from 1"],
     ["a timeout=soon", "has an invalid time"],
     ["a timeout=0", "must be from 1ms"],
     ["a lease=10ms", "must be from 1s"],
     ["a timeout=2s", "less than \"timeout=\""],
     ["a node=a/b", "of other characters"],
     ["a node=" . "x" x 64, "63 characters"],
     ["a prefix=" . "x" x 65, "64 characters at most"],
     ["a password=swordfish", "takes passwords from"],
     ["a password=env:NONE", "\"NONE\" is not set"],
     ["a user=relay", "\"user=\" without \"password=\""],
     ["a sentinel_password=env:SP", "without \"sentinel=\""],
     ["a verify=off", "without \"tls\""],
     ["a tls verify=maybe", "must be \"on\" or \"off\""],
     ["a away_refresh=yes", "must be \"holder\""],
     ["a cluster sentinel=b", "not both"],
     ["a cluster db=1", "one database only"],
     ["a cluster prefix=relay:", "with braces"],
     ["unix:/run/redis.sock cluster", "has a unix socket"],
     ["unix:/run/redis.sock tls", "has a unix socket"],
     ["a secret=$secret; claude_relay_redis b", "is duplicate"])
{
    my ($params, $why) = @$_;

    my $text = said($params, "", SP => "x");

    like($text, qr/$why/, "fleet: wrong: $why");
    unlike($text, qr/swordfish/, "fleet: wrong: no password is shown")
        if $params =~ /swordfish/;
}

my ($ok, $text) = config("claude_relay_redis 127.0.0.1 secret=$secret;");
like($text, qr/needs "claude_relay_zone"/, "fleet: wrong: no zone");

finish();
