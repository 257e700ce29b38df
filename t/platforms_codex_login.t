#!/usr/bin/perl

# Codex with tokens of a login: others.md A13, A14; FEATURES F085, F101.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use ClaudeRelay;

my $up = sandbox();

sub place {
    my (%arg) = @_;

    my $query = ClaudeRelay::Sandbox::query(place => "codex", %arg);

    return $up->control("POST", "/sandbox/places?$query");
}

my $new = place(new => 1);
my $other = place(new => 1);
my $end = int(time + 3600);

my $nginx = relay(
    http => "claude_relay_store %%DIR%%/db/relay.db secret=%%DIR%%/secret.key;
             claude_relay_usage_poll 10m;
             claude_relay_oauth codex token_url=%%UP%%/places/codex/token;
             claude_relay_control unix:%%DIR%%/control.sock;",
    accounts => account("cx", "platform codex; access_token $new->{access};
                         refresh_token $new->{refresh}; expires $end;
                         base_url %%UP%%/backend-api/codex;")
              . account("quiet", "platform codex; pool quiet;
                         access_token $other->{access};
                         refresh_token $other->{refresh}; expires $end;
                         account_id acc-quiet;
                         base_url %%UP%%/backend-api/codex;"),
    workers => 1,
    allow => [qr/refresh of account/, qr/usage of account/]);

my $body = encode({ model => "gpt-6-sol", input => "hi",
                    stream => JSON::PP::true });

is($nginx->control("POST", "/v1/accounts/cx/refresh", {})->status, 200,
   "A14: its tokens are refreshed");

my $r = $nginx->post("/v1/responses", $body);

is($r->status, 200, "F085: a login's account answers") || diag($r->body);

my $id = scalar $up->header("chatgpt-account-id");

ok(length($id // ""), "A10: whose account it is, the id_token has told");

my $token = scalar $up->header("authorization");

isnt($token, "Bearer $new->{access}", "A14: the new token is shown");


# a token that is refused, whoever shows it: the quota may be asked for, too

$up->behave($token =~ s/Bearer //r, "status=401");

my $before = place()->{codex}{refreshes};

$r = $nginx->post("/v1/responses", $body);

is($r->status, 200, "A14: a token that was refused is refreshed");
is(place()->{codex}{refreshes}, $before + 1, "I51: once");
isnt(scalar $up->header("authorization"), $token, "A14: another is shown");
is(scalar $up->header("chatgpt-account-id"), $id, "A10: of the same account");


# quota of an account that nobody has asked anything

sub windows {
    my ($name) = @_;

    my ($account) = grep { $_->{name} eq $name }
                    map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    return $account->{windows} // {};
}

is(windows("cx")->{"5h"}{utilization}, 0.11, "F101: windows of the answers");

ok(wait_for(sub { windows("quiet")->{"5h"} }, 30),
   "A13: usage is polled where no answer tells of it");
is(windows("quiet")->{"5h"}{utilization}, 0.11, "F101: five hours");
is(windows("quiet")->{"7d"}{utilization}, 0.425, "F101: seven days");

finish();
