#!/usr/bin/perl

# People whom nginx vouches for (F192): a variable that auth_request has set,
# as with LDAP (docs/people.md), or a client's certificate; who is known, who is
# not, roles, and what goes around it.

use warnings;
use strict;

use JSON::PP ();
use MIME::Base64 qw/ decode_base64 encode_base64 /;
use Test::More;

use ClaudeRelay;
use ClaudeRelayAdmin;


my $up = sandbox();

# The daemon that docs/people.md has behind auth_request: it takes "Basic",
# asks a directory (here: a hash), and says who it is and in which groups.

my %directory = (
    alice => ["wonderland", "relay-admins,staff"],
    bob => ["builder", "staff"],
    vic => ["victory", "relay-viewers"],
    root => ["toor", "relay-admins"],
    'x=cmd' => ["evil", "relay-admins"],
    off => ["offoff", "relay-admins"]);

my $ldap = canned(sub {
    my ($request) = @_;

    my ($basic) = $request =~ /^authorization: Basic (\S+)/mi;
    my ($name, $password) = split /:/, decode_base64($basic // ""), 2;

    my $row = $directory{$name // ""};

    return "HTTP/1.1 401 X\r\nWWW-Authenticate: Basic realm=\"relay\"\r\n"
           . "Content-Length: 0\r\n\r\n"
        if !$row || $row->[0] ne ($password // "");

    return "HTTP/1.1 200 OK\r\nX-Ldap-User: $name\r\n"
           . "X-Ldap-Groups: $row->[1]\r\nContent-Length: 0\r\n\r\n";
});


# the recipe of docs/people.md

my $recipe = slurp(root() . "/docs/people.md");

my ($http) = $recipe =~ /^```nginx\n(# LDAP: http.*?)^```/ms
    or BAIL_OUT("no recipe");
my ($server) = $recipe =~ /^```nginx\n(# LDAP: server.*?)^```/ms
    or BAIL_OUT("no recipe");

$server =~ s{http://127\.0\.0\.1:8888}{@{[ $ldap->url ]}}
    or BAIL_OUT("no daemon in the recipe");

my $nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;
                       claude_relay_user conf_user { }
                       $http
                       map \$http_x_test_user \$test_user {
                           default \$http_x_test_user;
                       }",
    server => "$server
               location /plain/ { claude_relay_admin;
                                  claude_relay_admin_user \$test_user; }
               location /roles/ {
                   claude_relay_admin;
                   claude_relay_admin_user \$test_user
                                           role=\$http_x_test_role;
               }
               location /off/ {
                   claude_relay_admin_user off;
                   location /off/door/ { claude_relay_admin; }
               }"), workers => 2);

$nginx->control("POST", "/v1/people", { name => "root", role => "viewer" });
$nginx->control("POST", "/v1/people", { name => "off", role => "admin",
                                        enabled => JSON::PP::false() });


sub who {
    my ($prefix, @headers) = @_;

    return bless { headers => \@headers,
                   admin => ClaudeRelayAdmin->new($nginx,
                                                  prefix => $prefix) }, "Who";
}

sub Who::call {
    my ($self, $method, $path, $json, @headers) = @_;

    return $self->{admin}->call($method, $path, $json, @{$self->{headers}},
                                @headers);
}

sub ldap {
    my ($name, $password) = @_;

    return who("/admin", "Authorization: Basic "
                         . encode_base64("$name:$password", ""));
}


# ---- LDAP by auth_request

my $r = who("/admin")->call("GET", "/session");

is($r->status, 401, "F192: nobody");
like($r->header("www-authenticate"), qr/^Basic realm=/,
     "the browser asks for a password");
is(ldap("alice", "wrong")->call("GET", "/session")->status, 401,
   "a wrong one");

my $alice = ldap("alice", "wonderland");

$r = $alice->call("GET", "/session");

is($r->status, 200, "F192: LDAP: logged in");
is($r->json->{person}, "alice", "as who it is");
is($r->json->{role}, "admin", "as what its group is");
is($r->json->{by}, "proxy", "nginx has vouched");
like($r->json->{csrf}, qr/^[0-9a-f]{32}$/, "with a CSRF token");

my $csrf = $r->json->{csrf};

is($alice->call("POST", "/keys", { name => "k1" })->status, 403,
   "which is needed");
is($alice->call("POST", "/keys", { name => "k1" }, "X-CSRF-Token: $csrf")
         ->status, 201, "for changes");
is($alice->call("POST", "/keys", { name => "k2" }, "X-CSRF-Token: $csrf",
                "Origin: http://evil.example")->status, 403,
   "not from elsewhere");

my $action = $nginx->control("GET", "/v1/actions?path=/v1/keys")
                   ->json->{actions}[-1];

is($action->{who}, "alice", "the trail knows who it was");

$r = ldap("vic", "victory")->call("GET", "/session");
is($r->json->{role}, "viewer", "another group");

my $bob = ldap("bob", "builder");

$r = $bob->call("GET", "/session");
is($r->json->{role}, "user", "no group of the map's");
is($bob->call("GET", "/accounts")->status, 403, "a user is one");
is($bob->call("GET", "/keys")->status, 200, "with keys of its own");
is($nginx->control("GET", "/v1/users/bob")->status, 200, "which have an owner");
is($nginx->control("GET", "/v1/people/bob")->status, 404,
   "nobody is written down");

is(ldap("root", "toor")->call("GET", "/session")->json->{role}, "viewer",
   "F192: who is known is what it is here");
is(ldap("off", "offoff")->call("GET", "/session")->status, 403,
   "who is disabled stays out");
is(ldap("x=cmd", "evil")->call("GET", "/session")->status, 403,
   "a name that cannot be one");


# ---- a variable alone

is(who("/plain", "X-Test-User: root")->call("GET", "/session")->json->{role},
   "viewer", "a person");
$r = who("/plain", "X-Test-User: stranger")->call("GET", "/session");
is($r->status, 403, "a stranger");
is($r->type, "forbidden", "is told so");
is(who("/plain", "X-Test-User: ../x")->call("GET", "/session")->status, 403,
   "a path");
is(who("/plain", "X-Test-User: " . "x" x 100)->call("GET", "/session")->status,
   403, "a long one");
is(who("/plain", "X-Test-User: conf_user")->call("GET", "/session")->status,
   403, "a user who is no person");

# ---- and a role

my @roles = (["user", 200], ["viewer", 200], ["operator", 200],
             ["admin", 200], ["none", 403], ["root", 403], ["", 403],
             ["Admin", 403], ["admin,user", 403]);

for my $case (@roles) {
    my ($role, $status) = @$case;

    $r = who("/roles", "X-Test-User: stranger",
             "X-Test-Role: $role")->call("GET", "/session");

    is($r->status, $status, "F192: role \"$role\"");
    is($r->json->{role}, $role, "is it") if $status == 200;
}

is(who("/roles", "X-Test-User: root", "X-Test-Role: admin")
       ->call("GET", "/session")->json->{role}, "viewer",
   "it makes nobody more");
is(who("/roles", "X-Test-User: conf_user", "X-Test-Role: user")
       ->call("GET", "/keys")->status, 200, "a user of nginx.conf");

$r = $nginx->control("GET", "/v1/users?limit=100");
ok(!grep({ $_->{name} eq "stranger2" } @{$r->json->{users}}), "nobody yet");
who("/roles", "X-Test-User: stranger2", "X-Test-Role: viewer")
    ->call("GET", "/session");
is($nginx->control("GET", "/v1/users/stranger2")->status, 404,
   "only users own keys");


# ---- other logins beside it

$nginx->control("POST", "/v1/people", { name => "script",
                                        role => "operator" });
my $secret = $nginx->control("POST", "/v1/people/script/tokens",
                             { name => "t" })->json->{secret};

is(who("/plain", "X-Test-User: root", "Authorization: Bearer $secret")
       ->call("GET", "/session")->json->{person}, "script",
   "a token is who it is");
is(who("/plain", "Authorization: Bearer $secret")
       ->call("GET", "/session")->json->{person}, "script",
   "with nobody vouched for");
is(who("/plain")->call("GET", "/session")->status, 401, "nobody");

my $vera = ClaudeRelayAdmin->person($nginx, "vera", "operator",
                                    prefix => "/plain");

is($vera->call("GET", "/session")->json->{person}, "vera", "a session");
is($vera->call("GET", "/session", undef, "X-Test-User: root")
        ->json->{person}, "root", "nginx knows better than a cookie");

is(who("/off/door", "X-Test-User: root")->call("GET", "/session")->status, 401,
   "off");


# ---- configurations

my $door = "location /x/ { claude_relay_admin; %s }";

my %bad = (
    "claude_relay_admin_user alice;" => qr/needs a variable/,
    "claude_relay_admin_user \$a_ role=admin x;" => qr/number of arguments/,
    "claude_relay_admin_user \$remote_user admin;" => qr/invalid parameter/,
    "claude_relay_admin_user \$remote_user role=;" => qr/invalid parameter/,
    "claude_relay_admin_user;" => qr/number of arguments/,
    "claude_relay_admin_user \$remote_user; claude_relay_admin_user off;"
        => qr/duplicate/);

for my $conf (sort keys %bad) {
    my ($ok, $said) = config(relay_http(http => store(),
                                        server => sprintf $door, $conf));

    ok(!$ok, "refused: $conf");
    like($said, $bad{$conf}, "and why");
}

finish();
