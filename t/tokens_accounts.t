#!/usr/bin/perl

# Fields of accounts that came with the store: valid_until (F093), schedulable
# and description (F092), refresh_token and expires.

use warnings;
use strict;

use ClaudeRelay;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $n = 0;

sub conf {
    my ($text) = @_;

    return config("@{[ zone_and_key() ]}\nclaude_relay_account a { platform "
                  . "claude-oauth; base_url %%UP%%; $text }\nserver { listen "
                  . "127.0.0.1:%%PORT%%; location / { claude_relay; } }");
}

sub who {
    my ($nginx, $session, $uri) = @_;

    my $r = $nginx->post(($uri // "") . "/v1/messages",
                         message(text => "n" . ++$n),
                         defined $session
                         ? "X-Claude-Code-Session-Id: $session" : ());

    return $r->status == 200 ? $nginx->log->{account} : $r->status;
}


# mistakes

for (["expires tomorrow;", qr/invalid time "tomorrow" in "expires"/],
     ["expires 0;", qr/invalid time "0"/],
     ["expires -5;", qr/invalid time "-5"/],
     ["access_token x; expires 5; expires 6;", qr/"expires" in account "a" is/],
     ["access_token x; valid_until never;", qr/invalid time "never"/],
     ["access_token x; schedulable maybe;", qr/must be "on" or "off"/],
     ["access_token x; refresh_token \"a b\";", qr/blanks or unprintable/],
     ["access_token x; refresh_token y;", qr/no "claude_relay_store" for/],
     ["access_token x; expires 2099-01-01T00:00:00Z;",
      qr/no "claude_relay_store" for/],
     ["", qr/no "access_token" in account "a", and no "claude_relay_store"/])
{
    my ($text, $regex) = @$_;
    my ($ok, $said) = conf($text);

    ok(!$ok && $said =~ $regex, "refused: \"$text\"") || diag($said);
}

my ($ok, $said) = config("@{[ zone_and_key() ]}
    claude_relay_account b { platform anthropic; api_key k; base_url %%UP%%;
                             refresh_token y; }");
ok(!$ok && $said =~ /platform "anthropic" of account "b" takes "api_key"/,
   "refused: a refresh_token where there are no logins") || diag($said);


# F093, F092: an account that is over, and one that takes nothing new

my $past = int(time - 1);
my $soon = int(time + 3);

sub http {
    my ($schedulable) = @_;

    return "@{[ zone_and_key() ]}"
           . account("over", "valid_until $past; priority 500;")
           . account("soon", "valid_until $soon; priority 400;")
           . account("main", "priority 300; schedulable $schedulable;"
                             . " description 'the main one';")
           . account("next", "priority 200;")
           . account("gone", "pool gone; valid_until 2020-01-01T00:00:00Z;")
           . account("still", "pool still; schedulable off;")
           . "server { listen 127.0.0.1:%%PORT%%;"
           . " location / { claude_relay; claude_relay_retry_wait 0; }"
           . " location /gone/ { claude_relay; claude_relay_pool gone; }"
           . " location /still/ { claude_relay; claude_relay_pool still; }"
           . " location = /health { claude_relay_health full=on; } }";
}

my $nginx = nginx(http("on"), workers => 1);

is(who($nginx, "s"), "soon", "F093: until its end an account serves");
sleep 0.05 while time < $soon + 1;
is(who($nginx, "s"), "main", "F093: then it does not, sessions move");
is(who($nginx, undef, "/gone"), 503, "F093: alone, nobody is there");
is(who($nginx, undef, "/still"), 503, "F092: one that takes nothing new");

is(who($nginx, "old"), "main", "F092: schedulable");
my ($old) = $nginx->workers;
$nginx->reload(http("off"));
wait_for(sub { !kill 0, $old });

ok(wait_for(sub { who($nginx) eq "next" }),
   "F092: not schedulable: nothing new comes");
is(who($nginx, "old"), "main", "F092: what lives there stays");
is(who($nginx, "new"), "next", "F092: another session does not");

finish();
