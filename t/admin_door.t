#!/usr/bin/perl

# The door to the admin API (F195, F196): the first admin, logging in and out,
# cookies, CSRF, origins, tokens, roles, bodies that are too large, paths.

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;",
    server => "location /admin/ { claude_relay_admin; }"), workers => 2);

my $file = "$nginx->{dir}/db/relay.db-admin-password";


sub admin {
    my ($method, $path, $json, @headers) = @_;

    return $nginx->request($method, "/admin/api/v1$path", key => undef,
                           body => ref $json ? encode($json) : $json,
                           headers => \@headers);
}

ok(-f $file, "a first password");
is((stat $file)[2] & 07777, 0600, "for nobody else");

my $first = slurp($file);
chomp $first;

my $r = admin("POST", "/session", { name => "admin", password => $first });
is($r->status, 200, "login") || diag $r->body;
diag $r->head, $r->body;

my ($cookie) = ($r->header("set-cookie") // "") =~ /^([^;]+)/;
my $csrf = $r->json->{csrf};

$r = admin("GET", "/status", undef, "Cookie: $cookie");
diag $r->status, $r->body;
$r = admin("POST", "/session/password", { old => $first, new => "correct horse battery" }, "Cookie: $cookie", "X-CSRF-Token: $csrf");
diag $r->status, $r->body;
$r = admin("GET", "/status", undef, "Cookie: $cookie");
diag $r->status, $r->body;
$r = admin("POST", "/keys", {name => "k1"}, "Cookie: $cookie", "X-CSRF-Token: $csrf");
diag $r->status, $r->body;
$r = admin("PATCH", "/keys/k1", {description => "x"}, "Cookie: $cookie", "X-CSRF-Token: $csrf");
diag $r->status, $r->body;
$r = admin("DELETE", "/keys/k1", undef, "Cookie: $cookie", "X-CSRF-Token: $csrf");
diag $r->status, $r->body;
$r = admin("DELETE", "/session", undef, "Cookie: $cookie", "X-CSRF-Token: $csrf");
diag $r->status, $r->head;
$r = admin("GET", "/session", undef, "Cookie: $cookie", "X-CSRF-Token: $csrf");
diag $r->status, $r->head, $r->body;
ok(!-f $file, "gone");
diag grep /admin/, split /^/, $nginx->error_log;
diag `sqlite3 -line $nginx->{dir}/db/relay.db 'select * from actions'`;
finish();
