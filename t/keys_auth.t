#!/usr/bin/perl

# Who comes in: keys, users and groups of nginx.conf, enabled or not, over or
# not; what is written wrong; and that no secret is told.

use warnings;
use strict;

use POSIX qw/ strftime /;
use Test::More;

use ClaudeRelay;


my $up = sandbox();

my %secret = map { $_ => "$_-secret-0001" } qw/
    plain off over ends seconds user_off user_on group_off group_on
    both own_group
/;

my $later = time + 3600;
my $ends = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime $later);

my %keys = (
    plain => "",
    off => "enabled off;",
    over => "expires 2020-01-31T00:00:00Z;",
    ends => "expires $ends;",
    seconds => "expires $later;",
    user_off => "user gone;",
    user_on => "user here;",
    group_off => "group closed;",
    group_on => "group open;",
    both => "user member;",
    own_group => "user member; group open;",
);

my $owners = <<'END';
    claude_relay_user gone { enabled off; description "Left in May"; }
    claude_relay_user here { }
    claude_relay_user member { group closed; }
    claude_relay_group closed { enabled off; }
    claude_relay_group open { enabled on; }
END

my $keys = join " ", map { "claude_relay_key $_ { secret $secret{$_};"
                           . " $keys{$_} }" } sort keys %keys;

my $nginx = relay(keys => "$keys\n$owners", workers => 1);

my $r;

sub ask {
    my ($key, $uri) = @_;

    return $nginx->request("POST", $uri // "/v1/messages", body => message(),
                           key => $secret{$key} // $key);
}


# 1. those that may

for my $key (qw/ plain ends seconds user_on group_on own_group /) {
    $r = ask($key);
    is($r->status, 200, "a key: $key") || diag($r->body);
    is($nginx->log->{key}, $key, "its name: $key");
}


# 2. those that may not, and why

$up->reset;

my @refused = (
    ["off", qr/^API key is disabled/, "F038: disabled"],
    ["over", qr/^API key has expired/, "F039: expired"],
    ["user_off", qr/^the user of this API key is disabled/,
     "F055: its user is disabled"],
    ["group_off", qr/^the group of this API key is disabled/,
     "F055: its group is disabled"],
    ["both", qr/^the group of this API key is disabled/,
     "F055: the group of its user is disabled"],
    ["nobody-secret-0001", qr/^invalid API key/, "F033: no such key"],
);

my $c = $nginx->connect;

for (@refused) {
    my ($key, $words, $name) = @$_;

    $r = $c->request("POST", "/v1/messages", body => message(),
                     key => $secret{$key} // $key)->response;

    is_error($r, 401, "authentication_error", $name, $words);
    is($r->header("x-should-retry"), "false", "not again: $name");
    is($nginx->request("GET", "/v1/models", key => $secret{$key} // $key)
       ->status, 401, "nor the models: $name");
}

ok(!$c->eof, "all on one connection");
is($up->requests, 0, "nothing went upstream");

ask("off");
is($nginx->log->{key}, "off", "a disabled key is named in the log");
is($nginx->log->{error_class}, "auth", "as a matter of keys");


# 3. among many, by a hash

my $many = join " ", map { sprintf "claude_relay_key k%d { secret"
                                   . " many-secret-%05d; }", $_, $_ }
           1 .. 2000;

my @old = $nginx->workers;

$nginx->reload(relay_http(keys => $many));
wait_for(sub { !grep { kill 0, $_ } @old });

for my $n (1, 2, 999, 1999, 2000) {
    is(ask(sprintf "many-secret-%05d", $n)->status, 200, "one of 2000: $n");
    is($nginx->log->{key}, "k$n", "the right one: $n");
}

is(ask("many-secret-02001")->status, 401, "none of 2000");


# 4. a reload takes a key away at once

is(ask("plain")->status, 401, "F057: gone with the reload");


# 5. blocks that are wrong

my @bad = (
    ["claude_relay_key k { secret 1234567890; limit cost:x/day; }",
     qr/"limits" of key "k" has an error in limit 1: .+/, "a limit"],
    ["claude_relay_key k { secret 1234567890;\n\n limit cost:x/day;\n\n }",
     qr/nginx\.conf:\d+/, "with its line"],
    ["claude_relay_key k { secret 1234567890; limit cost:5/day;"
     . " limit cost:6/day; }", qr/limit 2: there is another one/,
     "a limit twice"],
    ["claude_relay_key k { secret 1234567890;"
     . join("", map { " limit requests:9/${_}s;" } 1 .. 17) . " }",
     qr/"limits" of key "k" has more than 16/, "too many limits"],
    ["claude_relay_key k { secret 1234567890; addresses 10.0.0.0/33; }",
     qr{"addresses" of key "k" has "10.0.0.0/33"}, "a network"],
    ["claude_relay_key k { secret 1234567890; permissions claude nix; }",
     qr/"permissions" of key "k" may have "claude"/, "a service"],
    ["claude_relay_key k { secret 1234567890; expires soon; }",
     qr/"expires_at" of key "k" must be a time/, "a time"],
    ["claude_relay_key k { secret 1234567890; expires ''; }",
     qr/"expires" in key "k" is empty/, "an empty one"],
    ["claude_relay_key k { secret 1234567890; enabled maybe; }",
     qr/"enabled" in key "k" must be "on" or "off"/, "a switch"],
    ["claude_relay_key k { secret 1234567890; enabled on; enabled on; }",
     qr/"enabled" in key "k" is duplicate/, "a switch twice"],
    ["claude_relay_key k { secret 1234567890; valid_for 30d; }",
     qr/"valid_for" in key "k" needs a key of the store/, "F040: valid_for"],
    ["claude_relay_key k { secret 1234567890; user nobody; }",
     qr/user "nobody" of key "k" is not defined in .*:\d+/, "no such user"],
    ["claude_relay_key k { secret 1234567890; group nobody; }",
     qr/group "nobody" of key "k" is not defined/, "no such group"],
    ["claude_relay_user k { group nobody; }",
     qr/group "nobody" of user "k" is not defined/, "no group of a user"],
    ["claude_relay_key k { secret 1234567890; pool nix; }",
     qr/pool "nix" of key "k" is not defined/, "no such pool"],
    ["claude_relay_key k { secret 1234567890; account nix; }",
     qr/account "nix" of key "k" is not defined/, "no such account"],
    ["claude_relay_key k { secret 1234567890; rates nix=2; }",
     qr/"rates" of key "k" names no platform/, "a rate of nothing"],
    ["claude_relay_key k { secret 1234567890; rates console; }",
     qr/"rates" in key "k" takes values such as/, "no rate"],
    ["claude_relay_key k { secret 1234567890; rates console=-1; }",
     qr/"rates" in key "k" takes values such as/, "a negative rate"],
    ["claude_relay_key k { secret 1234567890; rates console=1001; }",
     qr/"rates" of key "k" must have numbers from 0 to 1000/, "a high rate"],
    ["claude_relay_key k { secret 1234567890; map fable model=x; }",
     qr/"map" of key "k" may have "opus"/, "a map of something else"],
    ["claude_relay_key k { secret 1234567890; map opus nix=x; }",
     qr/"map" of key "k" may have "platform"/, "a map to something else"],
    ["claude_relay_key k { secret 1234567890; map opus effort=x; }",
     qr/"map" of key "k" has an "effort" other than/, "an effort"],
    ["claude_relay_key k { secret 1234567890; map opus model=a model=b; }",
     qr/"map" in key "k" has the same field twice/, "a map twice"],
    ["claude_relay_key k { secret 1234567890; models ''; }",
     qr/"models" of key "k" has an item that is empty/, "an empty model"],
    ["claude_relay_key k { secret 1234567890; tags; }",
     qr/invalid number of arguments in "tags"/, "no tag"],
    ["claude_relay_key k { secret 1234567890; user a b; }",
     qr/invalid number of arguments in "user"/, "two users"],
    ["claude_relay_user u { secret 1234567890; }",
     qr/unknown directive "secret" in user "u"/, "a user has no secret"],
    ["claude_relay_user u { models x; }",
     qr/unknown directive "models" in user "u"/, "nor models"],
    ["claude_relay_group g { group g; }",
     qr/unknown directive "group" in group "g"/, "a group in a group"],
    ["claude_relay_user u { } claude_relay_user u { }",
     qr/duplicate user "u"/, "a user twice"],
    ["claude_relay_group '' { }", qr/group name must have 1 to 63/,
     "a group without a name"],
    ["claude_relay_group " . "g" x 64 . " { }",
     qr/group name must have 1 to 63/, "a long name"],
    ["claude_relay_clients;",
     qr/invalid number of arguments in "claude_relay_clients"/, "no client"],
    ["claude_relay_clients a; claude_relay_clients b;",
     qr/"claude_relay_clients" directive is duplicate/, "clients twice"],
);

for (@bad) {
    my ($http, $words, $name) = @$_;

    my ($ok, $said) = config(relay_http(http => $http));

    ok(!$ok && $said =~ $words, "refused: $name") || diag($said);
    unlike($said, qr/1234567890/, "without the secret: $name");
}


# 6. everything that there is

my ($ok, $said) = config(relay_http(http => <<'END'));
    claude_relay_group g { description "All"; enabled on; limit cost:100/month;
                           limit requests:60/minute shadow; }
    claude_relay_user u { description "One"; enabled on; group g;
                          limit "tokens:5m/week models=*opus* reset=mon,04"; }
    claude_relay_key k {
        secret 1234567890;
        description "A key";
        icon data:image/png;
        tags one two;
        tags three;
        enabled on;
        user u;
        group g;
        permissions claude gemini;
        expires 2037-01-31T00:00:00+01:00;
        pool default;
        account one;
        account_fallback on;
        models claude-* gpt-*;
        models_denied *opus*;
        clients claude_code codex_cli "my-tool/*";
        addresses 10.0.0.0/8 ::1;
        map opus platform=console model=claude-opus-5 effort=high;
        map haiku model=claude-haiku-5-5;
        rates console=1.5 anthropic=0;
        limit cost:5/day models=*opus* shadow;
        limit concurrency:10;
    }
END

ok($ok, "a key with everything") || diag($said);


# 7. what the logs have

my $log = $nginx->error_log . $nginx->access_log;

unlike($log, qr/\Q$_\E/, "no secret in a log: $_")
    for values(%secret), "many-secret-00001";

finish();
