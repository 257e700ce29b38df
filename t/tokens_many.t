#!/usr/bin/perl

# 2,000 accounts of the store: a zone of 4 KB for each has room for them, every
# worker has them all, a change of one is seen by all, and a start has them
# again.  What it takes is told, not judged, here.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $dir = tempdir("claude-relay-store-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $many = asan() ? 300 : 2000;

# what is there without accounts, and 4 KB for each

my $size = (256 + 4 * $many) . "k";

my $http = <<"END";
claude_relay_zone relay:$size;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
@{[ store($dir) ]}
claude_relay_control unix:%%DIR%%/control.sock;
server {
    listen 127.0.0.1:%%PORT%% reuseport;
    location / { claude_relay; claude_relay_sticky off;
                 claude_relay_policy round-robin;
                 claude_relay_retry_wait 0; }
    location = /health { claude_relay_health full=on; }
}
END

my $nginx = nginx($http, workers => 2);
my $token = "sk-ant-oat01-" . "t" x 95;
my $begin = time;

my $made = 0;

for my $i (1 .. $many) {
    my $r = $nginx->control("POST", "/v1/accounts", {
        name => "account-$i", platform => "claude-oauth",
        base_url => $up->url, description => "number $i",
        access_token => "$token$i", refresh_token => "sk-ant-ort01-r$i",
        expires => int(time + 86400),
    });

    $made++ if $r->status == 201;
    diag($r->status . " " . $r->body) if $r->status != 201 && $made < $i - 5;
    last if $made < $i - 5;
}

is($made, $many, "$many accounts");
diag(sprintf "%.1f s to make them, one by one", time - $begin);

sub names {
    my ($n, $page, $got) = (0, 1);

    # a page has a thousand at most

    do {
        my $r = $nginx->control("GET", "/v1/accounts?page=" . $page++);

        $got = @{ $r->json->{accounts} };
        $n += $got;
    } while ($got == 1000);

    return $n;
}

is(names(), $many, "all are listed");

# each answers in its turn, in whatever worker

my %seen;
$up->since;

for (1 .. $many) {
    my $r = $nginx->post("/v1/messages", message(text => "n$_"));
    $seen{$r->status}++;
}

is($seen{200} // 0, $many, "$many requests are served")
    || diag(join ", ", map { "$_: $seen{$_}" } sort keys %seen);

my %asked = map { $_->{account} => 1 } $nginx->log($many);
cmp_ok(scalar keys %asked, ">=", $many * 0.9, "by nearly all of them");


# one is removed, one is switched off

is($nginx->control("DELETE", "/v1/accounts/account-7")->status, 204, "removed");
is($nginx->control("PATCH", "/v1/accounts/account-8",
                   { enabled => JSON::PP::false() })->status, 200,
   "switched off");

ok(wait_for(sub { my @h = map { scalar @{ $nginx->health->{pools}[0]{accounts} }
                              } 1 .. 6;
                  return !grep { $_ != $many - 1 } @h }),
   "every worker has heard of it");

$nginx->stop;


$begin = time;
$nginx = nginx($http, workers => 2);
diag(sprintf "%.2f s to start with them", time - $begin);

is(names(), $many - 1, "a start has them all");
is($nginx->control("GET", "/v1/accounts/account-8")->json->{state}, "disabled",
   "and their settings");
is($nginx->post("/v1/messages", message())->status, 200, "and serves");

finish();
