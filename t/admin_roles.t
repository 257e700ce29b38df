#!/usr/bin/perl

# Who may do what (F194): every way for every role, before the body is read;
# what users see of usage and of the audit log; that roles and people that
# change do so at once; and what the trail has of all this.

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use ClaudeRelay;
use ClaudeRelayAdmin;


alarm(600);

my $up = sandbox();

my $nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;
                       claude_relay_audit_log %%DIR%%/audit.db;",
    keys => "claude_relay_key alice { secret $ClaudeRelay::KEY; user alice; }
             claude_relay_key bobs { secret bob-secret-0001; user bob; }
             claude_relay_user alice { enabled on; }
             claude_relay_user bob { enabled on; }",
    location => "claude_relay_audit on;",
    server => "location /admin/ { claude_relay_admin; }"), workers => 2);

my @roles = qw/ user viewer operator admin /;
my %rank = map { $roles[$_] => $_ } 0 .. $#roles;
my %who;

for my $role (@roles) {
    my $name = $role eq "user" ? "alice" : "an-$role";

    is($nginx->control("POST", "/v1/people",
                       { name => $name, role => $role })->status, 201, $role);

    $who{$role} = ClaudeRelayAdmin->token($nginx, $name);
}


# ---- every way

my @ways = ways();

cmp_ok(scalar @ways, ">", 80, "ways");

for my $way (@ways) {
    my ($method, $path, $needs) = @$way;

    next if $needs eq "none";

    for my $role (@roles) {
        next if $rank{$role} >= $rank{$needs};

        my $r = $who{$role}->call($method, $path, $method eq "GET" ? undef
                                                               : "{broken");

        is($r->status, 403, "F194: $method $path is not for $role")
            || diag $r->body;
    }
}

# the first of each role that may is not refused for its role

for my $way (@ways) {
    my ($method, $path, $needs) = @$way;

    next if $needs eq "none" || $method eq "GET";

    my $r = $who{$needs}->call($method, $path, "{broken");

    unlike($r->message // "", qr/takes the role/,
           "F194: $method $path is for $needs");
}


# of the description, which util/openapi.pl holds against the sources

sub ways {
    my @all;

    my $paths = $who{user}->call("GET", "/openapi.json")->json->{paths};

    for my $path (sort keys %$paths) {
        for my $method (sort keys %{ $paths->{$path} }) {

            push @all, [uc $method,
                        $path =~ s/^\/v1//r =~ s/\{\w+\}/nobody-0/gr,
                        $paths->{$path}{$method}{"x-role"}];
        }
    }

    return @all;
}


# ---- before the body is read

{
    my $c = $nginx->connect;

    $c->send("POST /admin/api/v1/people HTTP/1.1\r\nHost: x\r\n"
             . "Authorization: Bearer $who{viewer}{token}\r\n"
             . "Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n");

    my $r = $c->response;

    is($r->status, 403, "F194: refused without a body");
    is_deeply([$r->interim], [], "which is not asked for");
    $c->close;
}


# ---- usage of one's own

is($nginx->post("/v1/messages", message())->status, 200, "alice asks")
    for 1 .. 2;
is($nginx->request("POST", "/v1/messages", body => message(),
                   key => "bob-secret-0001",
                   headers => ["Content-Type: application/json",
                               "anthropic-version: 2023-06-01"])->status,
   200, "bob asks");

my $alice = $who{user};
my $all = $who{viewer};

ok(wait_for(sub {
    my $r = $all->call("GET", "/usage/rows");
    return $r->status == 200 && @{ $r->json->{rows} } == 3;
}, 20), "usage is there") || diag $all->call("GET", "/usage/rows")->body;

my $r = $alice->call("GET", "/usage/rows");

is($r->status, 200, "F194: rows of usage");
is(join(" ", map { $_->{user} } @{ $r->json->{rows} }), "alice alice",
   "of its own only");

$r = $alice->call("GET", "/usage/rows?format=csv");
unlike($r->body, qr/bob/, "as CSV, too");

$r = $alice->call("GET", "/usage?by=user");
unlike($r->body, qr/bob/, "sums");
like($r->body, qr/alice/, "have it");

$r = $alice->call("GET", "/usage?by=key");
unlike($r->body, qr/bob/, "sums by key");

$r = $alice->call("GET", "/usage/top?of=users");
is($r->status, 200, "leaderboards");
unlike($r->body, qr/bob/, "have nobody else");

for my $path ("/usage?user=bob", "/usage/rows?user=bob",
              "/usage/top?user=bob", "/audit?user=bob")
{
    is($alice->call("GET", $path)->status, 403, "F194: not $path");
}

for my $path ("/usage?user=alice", "/usage/rows?user=alice",
              "/audit?user=alice")
{
    is($alice->call("GET", $path)->status, 200, "but $path");
}

for my $query ("key=bobs", "by=key&key=bobs", "user=alice&key=bobs") {
    $r = $alice->call("GET", "/usage?$query");
    unlike($r->body, qr/"requests":[1-9]/, "nothing of $query");
}


# ---- the audit log

ok(wait_for(sub { @{ $all->call("GET", "/audit")->json->{entries} } == 3 }),
   "three entries");

$r = $alice->call("GET", "/audit");

is($r->status, 200, "F194: its own log");
is(join(" ", map { $_->{user} } @{ $r->json->{entries} }), "alice alice",
   "has two");
is($r->json->{bytes}, undef, "and not how much there is of others");

for my $e (@{ $all->call("GET", "/audit")->json->{entries} }) {
    my $status = $e->{user} eq "alice" ? 200 : 404;

    for my $id ($e->{number}, $e->{id}) {
        is($alice->call("GET", "/audit/$id")->status, $status,
           "F194: entry of $e->{user}");
    }
}


# ---- what changes does so at once

is($nginx->control("PATCH", "/v1/people/an-operator",
                   { role => "viewer" })->status, 200, "a lesser role");
is($who{operator}->call("POST", "/keys", { name => "late" })->status, 401,
   "F194: ends its tokens")
    || diag $who{operator}->call("GET", "/session")->body;

is($nginx->control("PATCH", "/v1/people/an-viewer",
                   { enabled => JSON::PP::false() })->status, 200, "disabled");
is($all->call("GET", "/status")->status, 401, "F194: is out");

is($nginx->control("DELETE", "/v1/people/alice")->status, 204, "removed");
is($alice->call("GET", "/session")->status, 401, "F194: is out");


# ---- the trail

$r = $who{admin}->call("POST", "/keys", { name => "traced",
                                          description => "before" });
is($r->status, 201, "a key");
$r = $who{admin}->call("PATCH", "/keys/traced", { description => "after" });
is($r->status, 200, "is changed");
is($who{admin}->call("PATCH", "/keys/traced", { nonsense => 1 })->status, 400,
   "and not so");
is($who{admin}->call("DELETE", "/keys/traced")->status, 204, "and removed");

my @trail = grep { $_->{path} =~ m{^/v1/keys} }
                 @{ $who{admin}->call("GET", "/actions?who=an-admin&limit=100")
                        ->json->{actions} };

is(join(" ", map { "$_->{method}:$_->{status}" } @trail[0 .. 3]),
   "DELETE:204 PATCH:400 PATCH:200 POST:201", "trail: all of it, newest first");

my ($delete, $bad, $patch, $post) = @trail;

is($post->{who}, "an-admin", "who");
is($post->{role}, "admin", "as what");
is($post->{address}, "127.0.0.1", "where from");
is($patch->{before}{description}, "before", "trail: what it was");
is($patch->{after}{description}, "after", "and what it is");
is($delete->{before}{description}, "after", "what there was");
ok(!$bad->{before} && !$bad->{after}, "nothing of what was refused");
ok(!$post->{before}, "nothing was there before");
is($post->{after}{name}, "traced", "and then it was");

my @refused = grep { $_->{who} eq "alice" && $_->{status} == 403 }
                   @{ $who{admin}->call("GET", "/actions?limit=1000")
                          ->json->{actions} };

cmp_ok(scalar @refused, ">", 10, "trail: what was refused is there, too");

finish();
