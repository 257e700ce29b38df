#!/usr/bin/perl

# F015, F083: accounts of the store, whose project and quotas are asked for.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = nginx(<<"END", workers => 2);
@{[ zone_and_key() ]}
@{[ store() =~ s/usage_poll off/usage_poll 10m/r ]}
claude_relay_oauth code-assist client_id=id client_secret=planted-secret
                   token_url=%%UP%%/token info_url=%%UP%%/userinfo;
claude_relay_oauth antigravity client_id=id client_secret=planted-secret
                   token_url=%%UP%%/token info_url=%%UP%%/userinfo;
claude_relay_control unix:%%DIR%%/control.sock;
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; claude_relay_pool ga; }
    location /anti/ { claude_relay; claude_relay_pool anti; }
    location = /health { claude_relay_health full=on; }
}
END

sub add {
    my ($name, $platform, %more) = @_;

    return $nginx->control("POST", "/v1/accounts", {
        name => $name, platform => $platform, pool => $name,
        base_url => $up->url,
        import => encode({
            access_token => "ya29.$name", refresh_token => "1//planted-$name",
            expiry_date => 1000 * (time + 3600), token_type => "Bearer",
            scope => "https://www.googleapis.com/auth/cloud-platform",
        }), %more });
}

sub account_of {
    my ($name) = @_;
    my ($one) = grep { $_->{name} eq $name }
                map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };
    return $one;
}

my $body = '{"contents":[{"parts":[{"text":"hi"}]}]}';

# the project that a request has, once it is known

sub project {
    my ($path) = @_;

    return wait_for(sub {
        my $r = $nginx->post($path, $body);
        my ($sent) = grep { $_->{target} =~ /generateContent/ } $up->last(1);
        return if $r->status != 200;
        return json($sent->{body})->{project};
    }, 20);
}

my $r = add("ga", "code-assist");
is($r->status, 201, "F015: credentials of the Gemini CLI") || diag($r->body);
is(project("/v1beta/models/gemini-2.5-pro:generateContent"), "project-ga",
   "F015: its project is found out");

ok(wait_for(sub { account_of("ga")->{windows}{"2.5-pro"} }, 20),
   "F015: its quotas are asked for") || diag(encode($nginx->health));
is(account_of("ga")->{windows}{"2.5-pro"}{utilization}, 0.25,
   "F015: and known");

$r = add("anti", "antigravity", client_version => "3.0.0");
is($r->status, 201, "F083: credentials") || diag($r->body);
is(project("/anti/v1beta/models/gemini-3-flash:generateContent"),
   "project-anti", "F083: its project is found out");
is(scalar $up->header("user-agent"), "antigravity/3.0.0 darwin/arm64",
   "F083: with its version");
ok(wait_for(sub { account_of("anti")->{windows}{sonnet} }, 20),
   "F083: its quotas are asked for") || diag(encode($nginx->health));

for my $bad ({ project => "a\"b" }, { project => "a" x 129 },
             { client_version => "1\r\nX: y" }, { client_os => "x" },
             { project => 5 })
{
    $r = add("bad", "code-assist", %$bad);
    is($r->status, 400, "a field that cannot be") || diag($r->body);
}

unlike($nginx->error_log . $nginx->access_log, qr/ya29\.|planted/,
       "no secret in a log");

finish();
