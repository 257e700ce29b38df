#!/usr/bin/perl

# The door to the admin API (F190, F190): the first admin, logging in and out,
# cookies, CSRF, origins, tokens, bodies that are too large, paths, and where
# the location may stand.

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use ClaudeRelay;
use ClaudeRelayAdmin;


my $up = sandbox();

my $http = relay_http(
    http => store() . "claude_relay_control unix:control.sock;",
    server => "location /admin/ {
                   claude_relay_admin;
                   location /admin/api/v1/nothing { return 418; }
               }
               location /plain { claude_relay_admin; }
               location /subrequest { mirror /admin/api/v1/status;
                                      return 204; }
               location /secure/ { claude_relay_admin;
                                   claude_relay_admin_cookie secure=on; }");

my $nginx = nginx($http, workers => 2);
my $file = "$nginx->{dir}/db/relay.db-admin-password";


sub refused {
    my ($r, $status, $type, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $ok = $r && $r->status == $status && $r->type eq $type
             && ($r->header("content-type") // "") eq "application/json"
             && ($r->header("cache-control") // "") eq "no-store";

    ok($ok, $name) || diag($r ? ($r->head, "\n", $r->body) : "no answer");
}


# ---- the first one

ok(-f $file, "F190: a first password");
is((stat $file)[2] & 07777, 0600, "for nobody else");

my $first = slurp($file);

like($first, qr/^[\w-]{24}\n$/, "of 144 bits");
chomp $first;

like($nginx->error_log, qr/"admin" was made.*\Q$file\E/, "it is told where");

my $nobody = ClaudeRelayAdmin->new($nginx);
my $admin = ClaudeRelayAdmin->new($nginx);

my $r = $admin->login("admin", $first);

is($r->status, 200, "F190: logged in");
is($r->json->{person}, "admin", "as admin");
is($r->json->{role}, "admin", "who is one");
is($r->json->{must_change}, JSON::PP::true(), "and must change it");
like($r->json->{csrf}, qr/^[0-9a-f]{32}$/, "with a CSRF token");
like($r->header("set-cookie"),
     qr{^claude_relay_session=[\w-]{43};\ Path=/admin/;\ Max-Age=43200;
        \ HttpOnly;\ SameSite=Strict$}x, "and a cookie for this path only");

my %headers = ("content-security-policy" => qr/default-src 'none'/,
               "x-frame-options" => qr/^DENY$/,
               "x-content-type-options" => qr/^nosniff$/,
               "referrer-policy" => qr/^no-referrer$/,
               "cache-control" => qr/^no-store$/);

for my $name (sort keys %headers) {
    like($r->header($name), $headers{$name}, "F190: $name");
    like($nobody->call("GET", "/status")->header($name), $headers{$name},
         "$name of a refusal");
}

refused($admin->call("GET", "/status"), 403, "password_change_required",
        "F190: nothing else before");
refused($admin->call("POST", "/keys", { name => "early" }), 403,
        "password_change_required", "no change either");
is($admin->call("GET", "/session")->status, 200, "but who it is");

my %weak = ("short" => qr/good/, "admin" => qr/good/, $first => qr/old one/);

for my $new (sort keys %weak) {
    $r = $admin->call("POST", "/session/password",
                      { old => $first, new => $new });
    refused($r, 400, "weak_password", "no good password");
    like($r->message, $weak{$new}, "and why");
}

my $other = ClaudeRelayAdmin->new($nginx);
is($other->login("admin", $first)->status, 200, "a second session");

refused($admin->call("POST", "/session/password",
                     { old => "wrong", new => "quite another one" }), 403,
        "wrong_password", "the old one must be right");

$r = $admin->call("POST", "/session/password",
                  { old => $first, new => ClaudeRelayAdmin::password("admin") });

is($r->status, 200, "F190: another password");
is($r->json->{must_change}, JSON::PP::false(), "it is done");
ok(wait_for(sub { !-e $file }), "the file is gone");
refused($other->call("GET", "/session"), 401, "unauthorized",
        "the other session is over");
refused($nobody->login("admin", $first), 401, "login_failed",
        "the old password is");
is($admin->call("GET", "/status")->status, 200, "this session is not");


# ---- the cookie

$r = $admin->call("GET", "/session");

is($r->status, 200, "who am I");
is($r->json->{by}, "session", "somebody with a session");
is($r->json->{csrf}, $admin->{csrf}, "whose CSRF token is told again");

refused($nobody->call("GET", "/status"), 401, "unauthorized",
        "F190: nobody gets in");
like($nobody->call("GET", "/status")->header("www-authenticate"), qr/^Bearer/,
     "401 says what it takes");
refused($nobody->call("GET", "/no/such/path"), 401, "unauthorized",
        "nobody hears of paths");

for my $cookie ("claude_relay_session=", "claude_relay_session=x",
                "claude_relay_session=" . "A" x 43,
                "xclaude_relay_session=" . substr($admin->{cookie}, 21),
                "claude_relay_session=x; " . $admin->{cookie},
                "claude_relay_session=\"" . substr($admin->{cookie}, 21) . "\"",
                "claude_relay_session=' OR 1=1 --",
                substr($admin->{cookie}, 0, -1), $admin->{cookie} . "A",
                "claude_relay_session=" . "A" x 4000)
{
    my $thief = ClaudeRelayAdmin->new($nginx, cookie => $cookie);

    refused($thief->call("GET", "/status"), 401, "unauthorized",
            "cookie " . substr $cookie, 0, 40);
}

for my $cookies ("a=b; $admin->{cookie}", "$admin->{cookie}; a=b",
                 "a=b;  $admin->{cookie};c=d")
{
    my $same = ClaudeRelayAdmin->new($nginx, cookie => $cookies);

    is($same->call("GET", "/status")->status, 200, "among other cookies");
}

like(ClaudeRelayAdmin->new($nginx, cookie => "claude_relay_session=x")
         ->call("GET", "/status")->header("set-cookie"),
     qr/^claude_relay_session=; Path=\/admin\/; Max-Age=0;/,
     "a cookie that is no good is taken back");


# ---- other sites

my $addr = "127.0.0.1";
my @good = ("Origin: http://$addr", "Origin: https://$addr",
            "Origin: HTTP://$addr" =~ s/HTTP/http/r,
            "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: none");
my @bad = ("Origin: http://evil.example", "Origin: null", "Origin: ",
           "Origin: http://$addr.evil.example", "Origin: http://$addr:81",
           "Origin: $addr", "Origin: http://evil.example/http://$addr",
           "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site",
           "Sec-Fetch-Site: nonsense");

for (@good) {
    is($admin->call("GET", "/status", undef, $_)->status, 200, $_);
}

for (@bad) {
    next if $_ eq "Origin: ";

    refused($admin->call("GET", "/status", undef, $_), 403, "cross_origin",
            "F190: $_");
    refused($admin->call("POST", "/keys", { name => "evil" }, $_), 403,
            "cross_origin", "to change something: $_");
    refused($nobody->call("POST", "/session",
                          { name => "admin",
                            password => ClaudeRelayAdmin::password("admin") },
                          $_), 403, "cross_origin", "to log in: $_");
}

refused($admin->call("GET", "/status", undef, "Origin: http://$addr",
                     "Origin: http://evil.example"), 403, "cross_origin",
        "two origins");
is($admin->call("GET", "/status", undef, "Host: relay.example:8443",
                "Origin: https://relay.example:8443")->status, 200,
   "the host that was asked for is ours");


# ---- CSRF

{
    local $admin->{csrf} = undef;

    for my $csrf (undef, "", "0" x 32, substr($admin->{csrf} // "x", 0, 5)) {
        my @h = defined $csrf ? "X-CSRF-Token: $csrf" : ();

        refused($admin->call("POST", "/keys", { name => "evil" }, @h), 403,
                "csrf", "F190: POST without its token");
        refused($admin->call("DELETE", "/keys/alice", undef, @h), 403, "csrf",
                "DELETE without its token");
        refused($admin->call("PATCH", "/keys/alice", { enabled => 0 }, @h),
                403, "csrf", "PATCH without its token");
    }

    refused($admin->call("DELETE", "/session"), 403, "csrf",
            "nobody logs others out");
    is($admin->call("GET", "/keys")->status, 200, "GET needs none");
}

{
    my $second = ClaudeRelayAdmin->new($nginx);
    $second->login("admin", ClaudeRelayAdmin::password("admin"));

    isnt($second->{csrf}, $admin->{csrf}, "each session has its own");

    local $second->{csrf} = $admin->{csrf};
    refused($second->call("POST", "/keys", { name => "evil" }), 403, "csrf",
            "the token of another session is none");
}

is($admin->call("POST", "/keys", { name => "good" })->status, 201,
   "with its token something is made");
is($nginx->control("GET", "/v1/keys/evil")->status, 404,
   "without it nothing was");


# ---- tokens

my $bot = ClaudeRelayAdmin->token($nginx, "admin");

like($bot->{token}, qr/^crt_\w{64}$/, "F190: a token");
is($bot->call("GET", "/session")->json->{by}, "token", "tells who it is");
is($bot->call("POST", "/keys", { name => "bots" })->status, 201,
   "needs no CSRF token");
is($bot->call("GET", "/status", undef, "Origin: http://evil.example")->status,
   200, "and has no origin");
refused($bot->call("DELETE", "/session"), 400, "invalid_request",
        "is no session");

{
    local $bot->{cookie} = $admin->{cookie};
    local $bot->{token} = "crt_" . "0" x 64;

    refused($bot->call("GET", "/status"), 401, "unauthorized",
            "a cookie does not help a wrong token");
}

refused(ClaudeRelayAdmin->new($nginx,
                              cookie => "claude_relay_session=$bot->{token}")
            ->call("GET", "/status"), 401, "unauthorized",
        "a token is no cookie");
refused(ClaudeRelayAdmin->new($nginx,
                              token => substr $admin->{cookie}, 21)
            ->call("GET", "/status"), 401, "unauthorized",
        "a cookie is no token");
is(ClaudeRelayAdmin->new($nginx, cookie => $admin->{cookie})
       ->call("GET", "/status", undef, "Authorization: Basic YTpi")->status,
   200, "what nginx itself asks for does not matter");


# ---- bodies

my $large = encode({ name => "x" x (300 * 1024) });

refused($admin->call("POST", "/keys", $large), 413, "too_large",
        "300 KB are too much");
refused($admin->call("POST", "/keys", "x" x (1024 * 1024)), 413, "too_large",
        "1 MB is");
refused($nobody->call("POST", "/keys", "x" x (1024 * 1024)), 401,
        "unauthorized", "nobody's body is not looked at");
refused($nobody->call("POST", "/session",
                      encode({ name => "x" x 5000, password => "y" })), 413,
        "too_large", "a login has 4 KB");
refused($admin->call("POST", "/keys", "[" x 100000), 400, "invalid_request",
        "deep nesting");
refused($admin->call("POST", "/keys",
                     "{" . join(",", map { "\"m$_\":1" } 1 .. 2000) . "}"),
        400, "invalid_request", "many members");

{
    my $c = $nginx->connect;

    $c->send("POST /admin/api/v1/keys HTTP/1.1\r\nHost: x\r\n"
             . "Content-Length: 100000\r\nExpect: 100-continue\r\n\r\n");
    $r = $c->response;
    refused($r, 401, "unauthorized", "a body need not be sent");
    is_deeply([$r->interim], [], "nor is it asked for");
    $c->close;

    $c = $nginx->connect;
    $c->send("POST /admin/api/v1/keys HTTP/1.1\r\nHost: x\r\n"
             . "Authorization: Bearer $bot->{token}\r\n"
             . "Content-Type: application/json\r\n"
             . "Transfer-Encoding: chunked\r\n\r\n"
             . join("", map { "1000\r\n" . ("x" x 4096) . "\r\n" } 1 .. 100)
             . "0\r\n\r\n");
    is($c->response->status, 413, "nor in chunks");
    $c->close;

    $c = $nginx->connect;
    $c->send("POST /admin/api/v1/keys HTTP/1.1\r\nHost: x\r\n"
             . "Authorization: Bearer $bot->{token}\r\n"
             . "Content-Type: application/json\r\n"
             . "Transfer-Encoding: chunked\r\n\r\n"
             . "8\r\n{\"name\":\r\n9\r\n\"chunky\"}\r\n0\r\n\r\n");
    $r = $c->response;
    is($r->status, 201, "small chunks are good") || diag $r->body;

    $c->send("GET /admin/api/v1/keys/chunky HTTP/1.1\r\nHost: x\r\n"
             . "Authorization: Bearer $bot->{token}\r\n\r\n");
    is($c->response->status, 200, "and the connection goes on");
    $c->close;
}


# ---- paths

for my $path ("/admin/", "/admin/api", "/admin/api/", "/admin/api/v1",
              "/admin/api/v2/status", "/admin/index.html", "/admin/API/v1/x",
              "/admin/api/v1/../../api", "/admin/../admin/api/v1x/status",
              "/admin/%61pi/v3/")
{
    $r = $nginx->request("GET", $path, key => undef);
    refused($r, 404, "not_found", "F190: $path");
}

for my $path ("/admin/api/v1/../v1/status", "/admin//api/v1/status",
              "/admin/%61pi/v1/status", "/x/../admin/api/v1/status")
{
    $r = $nginx->request("GET", $path, key => undef,
                         headers => ["Authorization: Bearer $bot->{token}"]);
    is($r->status, 200, "is the same path: $path");

    $r = $nginx->request("GET", $path, key => undef);
    refused($r, 401, "unauthorized", "for nobody: $path");
}

for my $name ("..%2f..%2fstatus", "%2e%2e/%2e%2e/etc/passwd", "a%0d%0aX: y",
              "a%00b", "'; DROP TABLE objects; --", "%ff%fe", "a" x 3000,
              "<script>alert(1)</script>")
{
    (my $uri = $name) =~ s/ /%20/g;

    for my $method (qw/ GET DELETE /) {
        $r = $bot->call($method, "/keys/$uri");
        ok($r->status =~ /^(400|404|405)$/, "$method of a name: "
           . substr $name, 0, 30) || diag $r->head;
        unlike($r->head, qr/^X: y/m, "that is no header");
    }
}

$r = $bot->call("PUT", "/session");
is($r->status, 405, "F190: another method");
is($r->header("allow"), "GET, HEAD, POST, DELETE", "and those that there are");
is($bot->call("HEAD", "/status")->status, 200, "HEAD");
is($bot->call("OPTIONS", "/status")->status, 405, "no preflight is answered");

is($nginx->request("GET", "/plain/api/v1/status", key => undef,
                   headers => ["Authorization: Bearer $bot->{token}"])->status,
   200, "a prefix without a slash");
is($nginx->request("GET", "/plainapi/v1/status", key => undef,
                   headers => ["Authorization: Bearer $bot->{token}"])->status,
   404, "ends where a name does");
is($nginx->request("GET", "/admin/api/v1/nothing", key => undef)->status, 418,
   "what else is there is nginx's");
is($nginx->request("GET", "/subrequest", key => undef)->status, 204,
   "a subrequest");

{
    my $secure = ClaudeRelayAdmin->new($nginx, prefix => "/secure");

    $r = $secure->login("admin", ClaudeRelayAdmin::password("admin"));
    like($r->header("set-cookie"), qr{; Path=/secure/; .*; Secure$},
         "claude_relay_admin_cookie secure=on");
}


# ---- the end of it

$r = $admin->call("DELETE", "/session");

is($r->status, 204, "F190: logged out");
like($r->header("set-cookie"), qr/^claude_relay_session=; .*Max-Age=0/,
     "the cookie is taken back");
refused($admin->call("GET", "/status"), 401, "unauthorized",
        "who has kept it does not get in");


# ---- later

ok($nginx->reload, "a reload");
ok(!-e $file, "makes no other admin");
is($bot->call("GET", "/status")->status, 200, "and tokens go on");

is($nginx->control("POST", "/v1/session",
                   { name => "a", password => "b" })->status, 400,
   "nobody logs in at the control socket");
$r = $nginx->control("GET", "/v1/session");
is($r->json->{by}, "socket", "which knows who it is");
is($r->json->{person}, undef, "and that is no person");
is($nginx->control("POST", "/v1/session/password",
                   { old => "a", new => "quite another one" })->status, 400,
   "who has no password cannot change it");


# ---- configurations

sub configuration {
    my ($server, $message, $http) = @_;

    my ($ok, $said) = config(relay_http(http => $http // store(),
                                        server => $server));

    if ($message) {
        ok(!$ok && $said =~ $message, "refused: $server") || diag $said;

    } else {
        ok($ok, "taken: $server") || diag $said;
    }
}

configuration("location /a/ { claude_relay_admin; }", undef);
configuration("location ^~ /a/ { claude_relay_admin; }", undef);
configuration("location /a/ { claude_relay_admin; limit_except GET { } }",
              undef);
configuration("location /a/ { claude_relay_admin; }",
              qr/"claude_relay_admin" needs "claude_relay_store"/, "");
configuration("location = /a/ { claude_relay_admin; }", qr/needs a location/);
configuration("location ~ /a/ { claude_relay_admin; }", qr/needs a location/);
configuration("location \@a { claude_relay_admin; }", qr/needs a location/);
configuration("location \"/a;b/\" { claude_relay_admin; }",
              qr/visible ASCII/);
configuration("location /a/ { claude_relay_admin; claude_relay_admin; }",
              qr/duplicate/);
configuration("location /a/ { claude_relay; claude_relay_admin; }",
              qr/conflicts/);
configuration("location /a/ { claude_relay_admin;
                              claude_relay_admin_cookie secure=maybe; }",
              qr/invalid parameter/);

for (["failures=5 window=1m session=1h idle=10m", undef],
     ["failures=0", qr/invalid parameter/],
     ["failures=x", qr/invalid parameter/],
     ["window=0", qr/invalid parameter/],
     ["session=", qr/invalid parameter/],
     ["idle=soon", qr/invalid parameter/],
     ["nonsense=1", qr/invalid parameter/])
{
    configuration("location /a/ { claude_relay_admin; }", $_->[1],
                  store() . "claude_relay_admin_login $_->[0];");
}

finish();
