#!/usr/bin/perl

# People (F190, F194, F195): who may make, change and remove them; passwords,
# sessions, tokens, second factors; nobody ever sees a hash; the trail, and
# whether it is whole.

use warnings;
use strict;

use Digest::SHA qw/ hmac_sha1 /;
use JSON::PP ();
use Test::More;
use Time::HiRes qw/ sleep /;

use ClaudeRelay;
use ClaudeRelayAdmin;


my ($true, $false) = (JSON::PP::true(), JSON::PP::false());

my $up = sandbox();

my $nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;
                       claude_relay_user conf_user { }",
    server => "location /admin/ { claude_relay_admin; }"), workers => 2);

my $has_sqlite = `sqlite3 -version 2>&1` =~ /^\d/;

my $admin = ClaudeRelayAdmin->first($nginx);
my %seen;


# what is expected of an answer; each is remembered, for the end

sub is_status {
    my ($r, $status, $name, $like) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $seen{$r->body} = 1;

    my $ok = $r->status == $status
             && ($status < 400 || eval { length $r->json->{error}{message} })
             && (!defined $like || $r->body =~ $like);

    ok($ok, $name) || diag($r->head, "\n", $r->body);

    return $status < 300 && length $r->body ? $r->json : undef;
}


# RFC 6238, by another program than ours

sub code {
    my ($base32, $steps) = @_;

    my $bits = join "", map { sprintf "%05b", index("ABCDEFGHIJKLMNOPQRSTUV"
                                                    . "WXYZ234567", $_) }
                            split //, $base32;
    my $key = pack "B*", $bits;
    my $mac = hmac_sha1(pack("Q>", int(time / 30) + ($steps // 0)), $key);
    my $at = ord(substr $mac, -1) & 15;

    return sprintf "%06d",
                   (unpack("N", substr $mac, $at, 4) & 0x7fffffff) % 1_000_000;
}


# ---- CRUD

my $p = is_status($admin->call("POST", "/people", { name => "vera",
                                                    role => "viewer" }),
                  201, "F194: a person");

is_deeply({ map { $_ => $p->{$_} } grep { !/_at$|version/ } keys %$p },
          { name => "vera", role => "viewer", enabled => $true,
            has_password => $false, must_change => $false, totp => $false,
            external => undef }, "as it was made");

is_status($admin->call("POST", "/people", { name => "vera",
                                            role => "admin" }),
          409, "a name once", qr/already/);

my %bad = (
    'no name' => [{ role => "user" }, qr/"name\\?"/],
    'a path' => [{ name => "../x", role => "user" }, qr/name/],
    'a number' => [{ name => 7, role => "user" }, qr/name/],
    'a long one' => [{ name => "x" x 64, role => "user" }, qr/name/],
    'no role' => [{ name => "x" }, qr/role/],
    'no such role' => [{ name => "x", role => "root" }, qr/role/],
    'role none' => [{ name => "x", role => "none" }, qr/role/],
    'a hash' => [{ name => "x", role => "user", password => {} },
                 qr/password/],
    'short' => [{ name => "x", role => "user", password => "short" },
                qr/shorter/],
    'its name' => [{ name => "clementine", role => "user",
                     password => "Clementine1" }, qr/name/],
    'a flag' => [{ name => "x", role => "user", enabled => 1 }, qr/enabled/],
    'elsewhere' => [{ name => "x", role => "user", external => "x:1" },
                    qr/external/],
    'no number' => [{ name => "x", role => "user",
                      external => "github:1x" }, qr/external/],
    'unknown' => [{ name => "x", role => "user", is_admin => $true },
                  qr/is_admin/],
    'no JSON' => ["{", qr/JSON/]);

for my $name (sort keys %bad) {
    is_status($admin->call("POST", "/people", $bad{$name}[0]), 400,
              "refused: $name", $bad{$name}[1]);
}

is_status($admin->call("GET", "/people/x"), 404, "nothing has happened");
is_status($admin->call("GET", "/people?role=admin"), 400, "no query");

my $all = is_status($admin->call("GET", "/people"), 200, "all of them");
is_deeply([map { $_->{name} } @{$all->{people}}], ["admin", "vera"],
          "by name");

my $r = $admin->call("GET", "/people/vera");
my $etag = $r->header("etag");

$p = is_status($admin->call("PATCH", "/people/vera", { role => "operator" },
                            "If-Match: $etag"), 200, "a change");
is($p->{role}, "operator", "is one");
is_status($admin->call("PATCH", "/people/vera", { role => "admin" },
                       "If-Match: $etag"), 412, "of what was changed since");
is_status($admin->call("PATCH", "/people/vera", {}), 400, "of nothing");
is_status($admin->call("PATCH", "/people/vera", { name => "x" }), 400,
          "of a name");
is_status($admin->call("PATCH", "/people/vera", { password => "x" }), 400,
          "of a password");
is_status($admin->call("PATCH", "/people/nobody", { enabled => $false }), 404,
          "of nobody");
is_status($admin->call("PATCH", "/people/admin", { role => "user" }), 409,
          "the last admin stays", qr/last admin/);
is_status($admin->call("PATCH", "/people/admin", { enabled => $false }), 409,
          "and in");
is_status($admin->call("DELETE", "/people/admin"), 409, "and here");

is_status($admin->call("PATCH", "/people/vera",
                       { external => "github:4711" }), 200, "elsewhere");
is_status($admin->call("POST", "/people", { name => "twin", role => "user",
                                            external => "github:4711" }),
          409, "is nobody else");

is_status($admin->call("POST", "/people", { name => "gone",
                                            role => "user" }), 201, "another");
is($nginx->control("GET", "/v1/users/gone")->status, 200,
   "F194: with a user of its name");
$etag = $admin->call("GET", "/people/gone")->header("etag");
is_status($admin->call("DELETE", "/people/gone", undef, 'If-Match: "1"'),
          412, "not this version");
is_status($admin->call("DELETE", "/people/gone", undef, "If-Match: $etag"),
          204, "removed");
is_status($admin->call("DELETE", "/people/gone"), 404, "once");

is_status($admin->call("POST", "/people", { name => "conf_user",
                                            role => "user" }), 201,
          "one who is a user of nginx.conf");


# ---- roles

my $vera = ClaudeRelayAdmin->person($nginx, "vera2", "operator");
my $ursula = ClaudeRelayAdmin->person($nginx, "ursula", "user");
my $victor = ClaudeRelayAdmin->person($nginx, "victor", "viewer");

for my $who ($vera, $victor) {
    is_status($who->call("GET", "/people"), 200, "F194: seen by others");
    is_status($who->call("POST", "/people", { name => "x", role => "user" }),
              403, "made by admins");
    is_status($who->call("PATCH", "/people/ursula", { role => "viewer" }),
              403, "changed by admins");
    is_status($who->call("DELETE", "/people/ursula"), 403, "and removed");
    is_status($who->call("POST", "/people/ursula/password",
                         { password => "something quite new" }), 403,
              "no other's password");
    is_status($who->call("GET", "/people/ursula/tokens"), 403,
              "no other's tokens");
    is_status($who->call("GET", "/people/ursula/sessions"), 403,
              "no other's sessions");
    is_status($who->call("DELETE", "/people/ursula/sessions"), 403,
              "which it does not end");
    is_status($who->call("POST", "/people/ursula/totp"), 403,
              "no other's second factor");
}

is_status($ursula->call("GET", "/people"), 403, "a user sees no others");
is_status($ursula->call("GET", "/people/ursula"), 200, "but itself");
is_status($ursula->call("GET", "/people/vera"), 404, "nobody else is there");
is_status($ursula->call("GET", "/people/vera/tokens"), 404, "nor its tokens");
is_status($ursula->call("GET", "/people/no-one/tokens"), 404, "like nobody");
is_status($ursula->call("DELETE", "/people/ursula/totp"), 403,
          "a second factor is taken off by an admin");
is_status($ursula->call("GET", "/actions"), 403, "the trail is not for users");
is_status($victor->call("POST", "/actions/check"), 403, "nor its check");


# ---- passwords

$p = is_status($admin->call("POST", "/people/ursula/password",
                            { password => "quite another one 7" }), 200,
               "F190: another password");
is($p->{must_change}, $true, "to be changed");
is_status($ursula->call("GET", "/people/ursula"), 401,
          "what it was logged in by is over");
is($ursula->login("ursula", ClaudeRelayAdmin::password("ursula"))->status,
   401, "the old one");
is($ursula->login("ursula", "quite another one 7")->status, 200,
   "the new one");
is_status($ursula->call("GET", "/people/ursula"), 403, "first things first",
          qr/password_change_required/);
is_status($admin->call("POST", "/people/ursula/password",
                       { password => ClaudeRelayAdmin::password("ursula"),
                         must_change => $false }), 200, "as it was");
is_status($admin->call("POST", "/people/ursula/password", {}), 400, "none");
is_status($admin->call("POST", "/people/ursula/password",
                       { password => "1234567890" }), 400, "a weak one");
is_status($admin->call("POST", "/people/nobody/password",
                       { password => "quite another one 7" }), 404,
          "nobody's");
is($ursula->login("ursula", ClaudeRelayAdmin::password("ursula"))->status,
   200, "logged in again");


# ---- sessions

my $second = ClaudeRelayAdmin->new($nginx);
$second->login("ursula", ClaudeRelayAdmin::password("ursula"));

my $list = is_status($ursula->call("GET", "/people/ursula/sessions"), 200,
                     "F195: sessions")->{sessions};

is(scalar @$list, 2, "two of them");
is(scalar(grep { $_->{current} } @$list), 1, "one is this one");
is($list->[0]{address}, "127.0.0.1", "from here");

my ($other) = grep { !$_->{current} } @$list;

is_status($ursula->call("DELETE", "/people/ursula/sessions/0123456789abcdef"),
          404, "no such session");
is_status($ursula->call("DELETE", "/people/ursula/sessions/x"), 404,
          "nor this one");
is_status($ursula->call("DELETE", "/people/ursula/sessions/$other->{id}"),
          204, "one is ended");
is($second->call("GET", "/session")->status, 401, "it is over");
is($ursula->call("GET", "/session")->status, 200, "the other is not");
is_status($admin->call("DELETE", "/people/ursula/sessions"), 204,
          "all of them, by an admin");
is($ursula->call("GET", "/session")->status, 401, "are over");
is_status($admin->call("DELETE", "/people/ursula/sessions"), 204,
          "none are left");
is_status($admin->call("DELETE", "/people/nobody/sessions"), 404, "nobody's");
is_status($admin->call("GET", "/people/nobody/sessions"), 404, "nobody's");
$ursula->login("ursula", ClaudeRelayAdmin::password("ursula"));


# ---- tokens

my $t = is_status($vera->call("POST", "/people/vera2/tokens",
                              { name => "ci", valid_for => "90d" }), 201,
                  "F195: a token");

like($t->{secret}, qr/^crt_[0-9a-f]{64}$/, "its secret");
is($t->{role}, "operator", "as its person");
like($t->{expires_at}, qr/^\d{4}-\d\d-\d\dT/, "ends");

my $bot = ClaudeRelayAdmin->new($nginx, token => $t->{secret});

is($bot->call("GET", "/session")->json->{by}, "token", "is a login");
is($bot->call("POST", "/keys", { name => "bots" })->status, 201,
   "without a CSRF token");

$list = is_status($vera->call("GET", "/people/vera2/tokens"), 200, "listed");
is_deeply([map { $_->{name} } @{$list->{tokens}}], ["ci"], "by name");
ok(!exists $list->{tokens}[0]{secret}, "without its secret");

is_status($vera->call("POST", "/people/vera2/tokens", { name => "ci" }), 409,
          "a name once");
is_status($vera->call("POST", "/people/vera2/tokens",
                      { name => "more", role => "admin" }), 403,
          "no more than one is");
is_status($vera->call("POST", "/people/ursula/tokens", { name => "x" }), 403,
          "for nobody else");

for my $bad ({}, { name => "a b" }, { name => "x", role => "x" },
             { name => "x", expires_at => "2001-01-01T00:00:00Z" },
             { name => "x", expires_at => "tomorrow" },
             { name => "x", expires_at => 7 },
             { name => "x", valid_for => "0" },
             { name => "x", valid_for => -1 },
             { name => "x", valid_for => "1d",
               expires_at => "2040-01-01T00:00:00Z" },
             { name => "x", scope => "all" })
{
    is_status($vera->call("POST", "/people/vera2/tokens", $bad), 400,
              "refused: " . encode($bad));
}

$t = is_status($vera->call("POST", "/people/vera2/tokens",
                           { name => "look", role => "viewer" }), 201,
               "a token that has less");
my $look = ClaudeRelayAdmin->new($nginx, token => $t->{secret});

is($look->call("GET", "/accounts")->status, 200, "looks");
is($look->call("POST", "/keys", { name => "no" })->status, 403,
   "and changes nothing");
is_status($look->call("POST", "/people/vera2/tokens",
                      { name => "up", role => "operator" }), 403,
          "nor makes one that has more");
$t = is_status($look->call("POST", "/people/vera2/tokens",
                           { name => "as-much" }), 201, "but one like itself");
is($t->{role}, "viewer", "which has as little");

$t = is_status($bot->call("POST", "/people/vera2/tokens",
                          { name => "later" }), 201, "made by a token");
ok(defined $t->{expires_at}, "it does not outlive that one");

$t = is_status($admin->call("POST", "/people/ursula/tokens",
                            { name => "given" }), 201,
               "by an admin for others");
is($t->{role}, "user", "no more than they are");
is_status($admin->call("POST", "/people/nobody/tokens", { name => "x" }), 404,
          "but for nobody");

my $given = ClaudeRelayAdmin->new($nginx, token => $t->{secret});
is($given->call("GET", "/people/ursula")->status, 200, "it works");
is_status($admin->call("PATCH", "/people/ursula", { enabled => $false }), 200,
          "who is disabled");
is($given->call("GET", "/people/ursula")->status, 401, "is out");
is($ursula->call("GET", "/people/ursula")->status, 401, "everywhere");
is_status($admin->call("POST", "/people/ursula/tokens", { name => "x" }), 409,
          "has no new ones");
is_status($admin->call("PATCH", "/people/ursula", { enabled => $true }), 200,
          "and back");
is($given->call("GET", "/people/ursula")->status, 401,
   "what it had is gone for good");

is_status($vera->call("DELETE", "/people/vera2/tokens/none"), 404, "no token");
is_status($vera->call("DELETE", "/people/vera2/tokens/ci"), 204, "ended");
is($bot->call("GET", "/session")->status, 401, "is of no use");
is_status($admin->call("PATCH", "/people/vera2", { role => "viewer" }), 200,
          "another role");
is($look->call("GET", "/session")->status, 401, "ends tokens");
is($vera->call("GET", "/session")->status, 401, "and sessions");


# ---- a second factor

my $tom = ClaudeRelayAdmin->person($nginx, "tom", "viewer");

my $e = is_status($tom->call("POST", "/people/tom/totp"), 201,
                  "F190: an enrolment of a second factor");

like($e->{secret}, qr/^[A-Z2-7]{32}$/, "160 bits");
is($e->{otpauth_uri}, "otpauth://totp/claude-relay:tom?secret=$e->{secret}"
   . "&issuer=claude-relay&algorithm=SHA1&digits=6&period=30", "its URI");

is($tom->login("tom", ClaudeRelayAdmin::password("tom"))->status, 200,
   "not asked for yet");

my $wrong = sprintf "%06d", (code($e->{secret}, -1) + 1) % 1_000_000;
$wrong = sprintf "%06d", ($wrong + 1) % 1_000_000
    while grep { $wrong eq code($e->{secret}, $_) } -2 .. 2;

is_status($tom->call("POST", "/people/tom/totp", { id => $e->{id} }), 400,
          "no code");
is_status($tom->call("POST", "/people/tom/totp",
                     { id => $e->{id}, code => $wrong }), 400, "a wrong one");
is_status($tom->call("POST", "/people/tom/totp",
                     { id => "0" x 32, code => "123456" }), 404,
          "of no enrolment");
is_status($victor->call("POST", "/people/victor/totp",
                        { id => $e->{id}, code => code($e->{secret}) }), 404,
          "of somebody else's");

my $used = code($e->{secret});

$p = is_status($tom->call("POST", "/people/tom/totp",
                          { id => $e->{id}, code => $used }), 200,
               "confirmed");
is($p->{totp}, $true, "it has one");
is_status($tom->call("POST", "/people/tom/totp",
                     { id => $e->{id}, code => $used }), 404, "once");
is_status($tom->call("POST", "/people/tom/totp"), 409, "and no other");

my $in = ClaudeRelayAdmin->new($nginx);

is($in->login("tom", ClaudeRelayAdmin::password("tom"))->type,
   "code_required", "asked for");
is($in->login("tom", ClaudeRelayAdmin::password("tom"), $used)->status, 401,
   "the code of the enrolment is used up");
is($in->login("tom", ClaudeRelayAdmin::password("tom"),
              code($e->{secret}, 1))->status, 200, "the next one");
is($in->login("tom", ClaudeRelayAdmin::password("tom"),
              code($e->{secret}, 1))->status, 401, "is good once, too");

$p = is_status($admin->call("DELETE", "/people/tom/totp"), 200,
               "removed by an admin");
is($p->{totp}, $false, "it has none");
is($in->login("tom", ClaudeRelayAdmin::password("tom"))->status, 200,
   "and is not asked for one");


# ---- the trail

$r = $admin->call("GET", "/actions?limit=1000");
my $trail = is_status($r, 200, "F194: the trail");
my @actions = @{$trail->{actions}};

is($trail->{next}, undef, "all of it");
is($actions[0]{number}, @actions, "without gaps");
is_deeply([map { $_->{number} } @actions], [reverse 1 .. @actions],
          "newest first");

my ($change) = grep { $_->{path} eq "/v1/people/vera"
                      && $_->{method} eq "PATCH" && $_->{status} == 200 }
               reverse @actions;

is($change->{who}, "admin", "who");
is($change->{role}, "admin", "as what");
is($change->{address}, "127.0.0.1", "from where");
is($change->{before}{role}, "viewer", "before");
is($change->{after}{role}, "operator", "after");

$r = $admin->call("GET", "/actions?limit=2");
is(scalar @{$r->json->{actions}}, 2, "a page");
$r = $admin->call("GET", "/actions?limit=2&below=" . $r->json->{next});
is($r->json->{actions}[0]{number}, @actions - 2, "the next one");

$r = $admin->call("GET", "/actions?who=vera2&path=/v1/people/vera2/tokens");
ok(@{$r->json->{actions}} > 2
   && !grep({ $_->{who} ne "vera2"
              || $_->{path} !~ m{^/v1/people/vera2/tokens} }
            @{$r->json->{actions}}), "filtered");
is_deeply($admin->call("GET", "/actions?until=2001-01-01T00:00:00Z")
                ->json->{actions}, [], "long ago");
is(scalar @{$admin->call("GET", "/actions?since=1h&limit=1000")
                  ->json->{actions}}, scalar @actions, "lately");

for my $bad ("who=", "limit=0", "limit=1001", "below=x", "from=x",
             "format=xml", "x=1", "who=%00", "who=%zz")
{
    is_status($admin->call("GET", "/actions?$bad"), 400, "refused: $bad");
}

$nginx->control("POST", "/v1/people", { name => "x=cmd()", role => "user" });

$r = $admin->call("GET", "/actions?format=csv&limit=3");
like($r->header("content-type"), qr{^text/csv}, "CSV");
is(scalar(split /\r\n/, $r->body), 4, "has a head and rows");
like($r->body, qr/^number,time,who,role,address,method,path,status,before/,
     "a head");
ok(length $r->header("x-next"), "and tells of more");

my $check = is_status($admin->call("POST", "/actions/check"), 200, "checked");
is($check->{whole}, $true, "it is whole");
cmp_ok($check->{checked}, ">=", scalar @actions, "all of it");

SKIP: {
    skip "no sqlite3", 3 if !$has_sqlite;

    system("sqlite3", "$nginx->{dir}/db/relay.db",
           "PRAGMA busy_timeout=5000;"
           . "UPDATE actions SET who = 'mallory' WHERE number = 3");

    $check = is_status($admin->call("POST", "/actions/check"), 200,
                       "a row was changed");
    is($check->{whole}, $false, "it shows");
    is($check->{first_bad}, 3, "and where");
}


# ---- nobody sees a hash, a key or a password

my $secret = qr/scrypt|\$15\$8|correct horse|quite another one|
                $e->{secret}(?!"|&issuer)/x;
my $text = join "\n", map { s/"(?:secret|otpauth_uri)":"[^"]*"//gr }
                          keys %seen;

unlike($text, $secret, "F190: no answer has a hash or a password");
unlike($nginx->error_log, qr/$secret|crt_[0-9a-f]/, "no log has");
unlike(join("\n", map { encode($_) } @actions),
       qr/$secret|crt_[0-9a-f]{8}|otpauth:/, "nor has the trail");

finish();
