#!/usr/bin/perl

# F089: accounts of Kiro: what they have used and their plan, tests, tokens
# that are refused, health; and that no request goes there yet.  Logins and
# files are in platforms_login.t.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw/ time sleep /;

use ClaudeRelay;


my $up = sandbox();

my $nginx = nginx(relay_http(
    http => "claude_relay_zone relay:2m;
             claude_relay_store store/relay.db secret=relay.key;
             claude_relay_usage_poll 10m;
             claude_relay_quota_guard 0.95 strict;
             claude_relay_oauth kiro
                 token_url=%%UP%%/places/kiro/token
                 refresh_url=%%UP%%/places/kiro/refreshToken
                 poll_url=%%UP%%/places/aws/token;
             claude_relay_control unix:control.sock;",
    accounts => account("one"),
    server => "location /kiro/ { claude_relay; claude_relay_pool kiro; }",
), workers => 2);

my @told;


sub call {
    my ($method, $path, $json) = @_;

    my $r = $nginx->control($method, $path, $json);

    push @told, $r->head, $r->body;

    return $r;
}


sub show { call("GET", "/v1/accounts/$_[0]")->json }


sub place {
    my ($place, %arg) = @_;

    return $up->control("POST", "/sandbox/places?"
                        . ClaudeRelay::Sandbox::query(place => $place, %arg));
}


sub make {
    my ($name, $token, %field) = @_;

    my $r = call("POST", "/v1/accounts",
                 { name => $name, platform => "kiro", pool => "kiro",
                   kiro_version => "0.11.63",
                   base_url => $up->url, access_token => $token,
                   refresh_token => "$token-refresh",
                   expires => int(time + 3600), %field });

    is($r->status, 201, "F089: an account: $name") or diag $r->body;

    return $r;
}


sub window { show($_[0])->{windows}{credit} }


# 1. what it has used, and its plan

make("pro", "kiro-pro-token");

ok(wait_for(sub { defined window("pro") }, 20),
   "F089: what it has used is asked for") or diag explain show("pro");

my $w = window("pro");

like($w->{utilization}, qr/^0\.25/, "F089: credits of a month");
ok($w->{reset}, "F089: and when there are new ones");

my ($asked) = grep { $_->{target} =~ /getUsageLimits/ } $up->last(20);

like($asked->{target}, qr{^/getUsageLimits\?isEmailRequired=true&origin=AI_
                          EDITOR&resourceType=AGENTIC_REQUEST$}x,
     "D5: as Kiro asks it");
is($asked->{credential}, "kiro-pro-token", "D2: with the access token");

my %head = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () }
           map { ref $_ ? join(": ", @$_) : $_ } @{ $asked->{headers} };

is($head{"x-amzn-kiro-agent-mode"}, "vibe", "D2: x-amzn-kiro-agent-mode");
is($head{"x-amzn-codewhisperer-optout"}, "true",
   "D2: x-amzn-codewhisperer-optout");
like($head{"user-agent"}, qr/ KiroIDE-0\.11\.63$/, "D2: user-agent");
like($head{"x-amz-user-agent"}, qr/^aws-sdk-js\S+ KiroIDE-0\.11\.63$/,
     "D2: x-amz-user-agent");

ok(wait_for(sub { (show("pro")->{identity}{plan} // "") eq "pro" }, 20),
   "F089: its plan") or diag explain show("pro")->{identity};
is(show("pro")->{identity}{email}, "kiro\@example.com", "F089: its e-mail");


# 2. fields

my $r = make("fields", "kiro-free-token", region => "eu-central-1",
             kiro_version => "0.99.1", machine_id => "m123",
             agent_mode => "spec", optout => "false");

is($r->json->{region}, "eu-central-1", "F089: a region");

ok(wait_for(sub { (show("fields")->{identity}{plan} // "") eq "free" }, 20),
   "F089: another plan");

($asked) = grep { $_->{credential} eq "kiro-free-token" } $up->last(20);

%head = map { /^([^:]+):\s*(.*)$/ ? (lc $1 => $2) : () }
        map { ref $_ ? join(": ", @$_) : $_ } @{ $asked->{headers} };

like($head{"user-agent"}, qr/ KiroIDE-0\.99\.1-m123$/,
     "F089: version and machine are fields");
is($head{"x-amzn-kiro-agent-mode"}, "spec", "F089: the mode is one");

for (["region", "eu.example.com/", qr/must be a region/],
     ["region", "EU", qr/must be a region/],
     ["optout", "maybe", qr/must be "true" or "false"/],
     ["machine_id", "a\nb", qr/control characters/],
     ["project", "p", qr/project/])
{
    $r = call("POST", "/v1/accounts",
              { name => "bad", platform => "kiro", access_token => "t-1",
                $_->[0] => $_->[1] });

    is($r->status, 400, "F089: $_->[0] cannot be " . encode($_->[1]));
    like($r->message, $_->[2], "F089: and it is said why");
}


# 3. tests

$r = call("POST", "/v1/accounts/pro/test", {});
is($r->status, 200, "F089: a test");
ok($r->json->{ok}, "F089: says that it works") or diag $r->body;

make("gone", "kiro-suspended-token");

$r = call("POST", "/v1/accounts/gone/test", {});
ok(!$r->json->{ok}, "F089: or that it does not");
is($r->json->{status}, 403, "F089: with the status");
like($r->json->{error}, qr/not available/, "F089: in its own words");


# 4. a token that is refused is refreshed

my $new = place("kiro", new => 1);

make("stale", "kiro-old-token", refresh_token => $new->{refresh});

$r = call("POST", "/v1/accounts/stale/test", {});
ok($r->json->{ok}, "F089: a refused token is refreshed, and it works")
    or diag $r->body;
is(place("kiro")->{kiro}{refreshes}, 1, "F089: once");


# 5. no request goes there

my $n = grep { $_->{target} !~ /getUsageLimits|places/ } $up->last(200);

$r = $nginx->post("/kiro/v1/messages", message());
is_error($r, 404, "not_found_error", "F089: messages are not served yet",
         qr/^model: claude-sonnet-4-6$/);
is((grep { $_->{target} !~ /getUsageLimits|places/ } $up->last(200)), $n,
   "F089: and nobody is asked");


# 6. health, and no secrets

my $health = $nginx->health;
my ($h) = grep { $_->{name} eq "pro" }
          map { @{ $_->{accounts} } } @{ $health->{pools} };

is($h->{platform}, "kiro", "F089: health has it") or diag explain $h;

unlike(join("", @told, $nginx->error_log, encode($health)),
       qr/kiro-\w+-token|\Q$new->{refresh}\E/, "F089: no secret is shown");


finish();
