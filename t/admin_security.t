#!/usr/bin/perl

# Secrets that come by the admin API (F185) are in one answer at most:
# all kinds are planted by all ways, things go wrong, and then everything is
# searched: answers, logs, the store's file, the trail, exports.  And hostile
# input of all kinds to every way.

use warnings;
use strict;

use Digest::SHA ();
use JSON::PP ();
use Test::More;
use Time::HiRes qw/ sleep /;

use ClaudeRelay;
use ClaudeRelayAdmin;


alarm(600);

my $up = sandbox();

my $nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;
                       claude_relay_audit_log %%DIR%%/audit.db;
                       claude_relay_allow_private_upstreams on;",
    location => "claude_relay_audit on;",
    server => "location /admin/ { claude_relay_admin; }"), workers => 2,
    level => "info");

my $admin = ClaudeRelayAdmin->first($nginx);
my $bot = ClaudeRelayAdmin->token($nginx, "admin");

my %planted = (
    first => $admin->{first},
    password => ClaudeRelayAdmin::password("admin"),
    cookie => substr($admin->{cookie}, 21),
    csrf => $admin->{csrf},
    token => $bot->{token},
    api_key => "sk-ant-api03-planted-by-api-0001",
    odd_key => "planted-odd-account-key-0002",
    proxy => "planted-proxy-password-0003",
    access => "sk-ant-oat01-planted-access-0004",
    refresh => "sk-ant-ort01-planted-refresh-0005",
    key => "planted-key-of-somebody-0006",
    wrong => "planted-wrong-password-0007",
    person => "planted-password-of-a-person-0008",
    reset => "planted-password-anew-0009",
    hook_secret => "planted-hook-secret-0010",
    hook_path => "planted-hook-path-0011",
    name => "planted-password-as-name-0012",
    bad_member => "planted-in-an-unknown-member-0013",
    bad_type => "planted-in-a-wrong-type-0014",
    rekey => Digest::SHA::sha256_hex("planted key of a store 0015"),
    code => "planted-code-0016",
    bearer => "crt_planted-wrong-token-0017",
    wrong_cookie => "planted-wrong-cookie-0018",
    wrong_csrf => "planted-wrong-csrf-0019",
    upstream_key => "planted-in-a-base-url-0020",
);

my @answers;


sub call {
    my ($method, $path, $json, @headers) = @_;

    my $r = $admin->call($method, $path, $json, @headers);

    push @answers, ["$method $path", $r->head . "\n\n" . $r->body];

    return $r;
}


sub made {
    my ($r, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($r->status < 300, $name) || diag($r->status, " ", $r->body);

    return $r;
}


# ---- planting

made(call("POST", "/accounts", { name => "console", platform => "anthropic",
                                 base_url => $up->url,
                                 api_key => $planted{api_key} }), "account");
made(call("POST", "/accounts",
          { name => "odd", platform => "anthropic", base_url => $up->url,
            api_key => $planted{odd_key},
            proxy => "http://me:$planted{proxy}\@127.0.0.1:1" }),
     "with a proxy");
made(call("POST", "/accounts",
          { name => "oauth", platform => "claude-oauth",
            base_url => $up->url, access_token => $planted{access},
            refresh_token => $planted{refresh}, expires => time + 3600 }),
     "with tokens");
made(call("PATCH", "/accounts/console", { api_key => $planted{api_key},
                                          description => "again" }),
     "an account again");
call("PATCH", "/accounts/oauth", { api_key => $planted{api_key} });
call("POST", "/accounts/oauth/tokens",
     { access_token => $planted{access}, refresh_token => $planted{refresh},
       expires => time + 3600 });
call("POST", "/accounts/$_/test", {}) for qw/ console odd oauth /;
call("POST", "/accounts/$_/refresh", {}) for qw/ console oauth /;
call("POST", "/accounts", { name => "bad", platform => "anthropic",
                            base_url => "http://u:$planted{upstream_key}\@x",
                            api_key => $planted{api_key} });

made(call("POST", "/keys", { name => "own", secret => $planted{key} }),
     "a key with an own secret");
call("POST", "/keys", { name => "again", secret => $planted{key} });

my $made = made(call("POST", "/keys", { name => "made" }), "a key");

$planted{made} = $made->json->{secret};
$answers[-1][1] =~ s/"secret":"\Q$planted{made}\E"//
    or fail("a new key is told once");

my $r = call("POST", "/keys/made/regenerate", {});
made($r, "another secret of it");
$planted{again} = $r->json->{secret};
$answers[-1][1] =~ s/"secret":"\Q$planted{again}\E"//
    or fail("the other secret is told once");

$r = call("POST", "/people", { name => "eve", role => "viewer",
                               password => $planted{person} });
made($r, "a person");
$r = call("POST", "/people/eve/password", { password => $planted{reset} });
made($r, "with another password");

$r = made(call("POST", "/people/eve/tokens", { name => "eves" }), "a token");
$planted{eves} = $r->json->{secret};
$answers[-1][1] =~ s/"secret":"\Q$planted{eves}\E"//
    or fail("a token is told once");

$r = made(call("POST", "/people/admin/totp", {}), "a second factor");
$planted{totp} = $r->json->{secret};
$answers[-1][1] =~ s/\Q$planted{totp}\E//g or fail("which is told once");

made(call("POST", "/hooks",
          { name => "hook", kind => "json",
            url => $up->url . "/$planted{hook_path}",
            secret => $planted{hook_secret} }), "a webhook");
call("POST", "/hooks/hook/test", {});

call("POST", "/logins", { platform => "claude-oauth", name => "new" });
call("POST", "/logins/nothing", { code => $planted{code} });

made(call("POST", "/rekey", { key => $planted{rekey} }), "another store key");


# ---- things that go wrong

my $nobody = ClaudeRelayAdmin->new($nginx);

sub wrong {
    my ($who, @call) = @_;

    my $r = $who->call(@call);

    push @answers, ["wrong $call[0] $call[1]", $r->head . "\n\n" . $r->body];
    cmp_ok($r->status, ">=", 400, "wrong: $call[0] $call[1]");
}

for my $json ({ name => "admin", password => $planted{wrong} },
              { name => $planted{name}, password => $planted{wrong} },
              { name => "admin", password => $planted{wrong},
                code => $planted{code} },
              { name => "admin", password => [$planted{bad_type}] },
              { name => "admin", password => $planted{wrong},
                secret => $planted{bad_member} })
{
    wrong($nobody, "POST", "/session", $json);
}

wrong($nobody, "POST", "/session", "{\"password\":\"$planted{wrong}\"");
wrong(ClaudeRelayAdmin->new($nginx, token => $planted{bearer}), "GET",
      "/status");
wrong(ClaudeRelayAdmin->new($nginx,
                            cookie => "claude_relay_session="
                                      . $planted{wrong_cookie}),
      "GET", "/status");
wrong(ClaudeRelayAdmin->new($nginx, cookie => $admin->{cookie},
                            csrf => $planted{wrong_csrf}),
      "POST", "/keys", { name => "x", secret => $planted{key} });
wrong($admin, "POST", "/session/password",
      { old => $planted{wrong}, new => $planted{reset} });
wrong($admin, "POST", "/session/password",
      { old => $planted{password}, new => "short" });
wrong($admin, "POST", "/keys", { name => "x", secret => [$planted{key}] });
wrong($admin, "POST", "/keys", { name => "x", limits => $planted{bad_type} });
wrong($admin, "POST", "/accounts",
      { name => "y", platform => "nothing", api_key => $planted{api_key} });
wrong($admin, "POST", "/accounts",
      { name => "y", platform => "anthropic", base_url => $up->url,
        api_key => { a => $planted{bad_type} } });
wrong($admin, "POST", "/accounts",
      { name => "y", platform => "anthropic", base_url => $up->url,
        api_key => $planted{api_key},
        proxy => "gopher://me:$planted{proxy}\@x" });
wrong($admin, "POST", "/rekey", { key => $planted{rekey} . "0" });
wrong($admin, "POST", "/people",
      { name => "z", role => "king", password => $planted{person} });
wrong($admin, "POST", "/hooks",
      { name => "z", kind => "nothing",
        url => "http://x/$planted{hook_path}",
        secret => $planted{hook_secret} });

$nginx->post("/v1/messages", message());


# ---- hostile input to every way

my @ways;

for my $file (glob(root() . "/src/ngx/ngx_http_claude_relay_*.c")) {
    my $c = slurp($file);

    next if $c !~ /ngx_http_claude_relay_way_t\s+\w+\[\]/;

    while ($c =~ /\{\s*NGX_HTTP_(\w+),\s*((?:"[^"]*"\s*)+),\s*\w+,
                  \s*NCR_ROLE_\w+/gx)
    {
        my ($method, $path) = ($1, $2);

        $path = join "", $path =~ /"([^"]*)"/g;
        push @ways, [$method, $path =~ s/^\/v1//r];
    }
}

my $evil = "'; DROP TABLE objects; --\r\nX-Evil: 1\r\n<script>\0";

my @bodies = (
    "", "{", "[]", "null", "17", "\"text\"", "{\"a\":1}garbage",
    "{\"name\":null}", "{\"name\":17}", "{\"name\":{}}", "{\"name\":[[[]]]}",
    "{\"name\":\"a\\u0000b\"}", "{\"name\":\"\xff\xfe\"}",
    "{\"name\":\"\\ud800\"}", "{\"__proto__\":{}}",
    "{\"name\":\"" . "a" x 10000 . "\"}", "{\"name\":\"../../etc/passwd\"}",
    "{\"name\":\"x'; DROP TABLE objects; --\"}",
    "{\"name\":\"x\\r\\nX-Evil: 1\"}", "{\"names\":[" . "1," x 5000 . "1]}",
    "{\"" . "k" x 60000 . "\":1}", "{\"a\":1e999}", "{\"a\":-0.0}",
    "{\"a\":" . "[" x 30 . "]" x 30 . "}", "[" x 20000,
    "{\"name\":\"ok\",\"name\":\"ok2\"}",
);

my ($asked, $strange) = (0, 0);

for my $way (@ways) {
    my ($method, $path) = @$way;

    next if $path =~ /session|events|rekey|restore|import/;

    for my $name ("nobody-0", "..%2f..%2fx", "%27%20OR%201=1", "x" x 200,
                  "%0d%0aX-Evil:%201", "%ff")
    {
        (my $uri = $path) =~ s/\*/$name/g;

        for my $body ($method eq "GET" ? (undef)
                      : $name eq "nobody-0" ? @bodies : "{\"name\":\"x\"}")
        {
            my $r = $bot->call($method, $uri, $body);

            $asked++;

            next if $r && $r->status < 500 && $r->head !~ /^X-Evil/mi
                    && $r->complete;
            next if $r && $r->status == 503 && $r->type eq "unavailable";

            $strange++;
            diag("$method $uri ", substr($body // "", 0, 60), ": ",
                 $r ? $r->head . $r->body : "no answer");
        }

        last if $path !~ /\*/;
    }

    next if $method ne "GET";

    for my $query ("q=%27%20OR%201=1", "limit=-1", "limit=99999999999999999999",
                   "after=%ff", "user=%00", "=", "&&&", "a" x 4000, "limit=%",
                   "from=yesterday%0d%0aX-Evil:1", "tz=../../etc/passwd",
                   "by=total&by=key", "sort=name;DROP")
    {
        (my $uri = $path) =~ s/\*/nobody-0/g;

        my $r = $bot->call("GET", "$uri?$query");

        $asked++;

        next if $r && $r->status < 500 && $r->head !~ /^X-Evil/mi;
        next if $r && $r->status == 503 && $r->type eq "unavailable";

        $strange++;
        diag("$uri?$query: ", $r ? $r->head . $r->body : "no answer");
    }
}

is($strange, 0, "$asked hostile calls have clear answers");
is($bot->call("GET", "/keys/own")->status, 200, "and nothing else happens");


# ---- searching

call("GET", $_) for qw{ /status /accounts /accounts/console /accounts/odd
                        /accounts/oauth /keys /keys/own /keys/made /users
                        /people /people/eve /people/eve/tokens
                        /people/eve/sessions /people/admin/sessions
                        /hooks /hooks/hook /hooks/hook/deliveries
                        /audit /audit?bodies=on /usage /usage/rows
                        /actions?limit=1000 /openapi.json };

# the CSRF token is told to whom it belongs

$r = $admin->call("GET", "/session");
is($r->json->{csrf}, $planted{csrf}, "the session tells its CSRF token");

my $trail = $admin->call("GET", "/actions?limit=1000");

cmp_ok(scalar @{ $trail->json->{actions} }, ">", 20, "there is a trail");

sleep 0.3;

my %places = ("error.log" => $nginx->error_log,
              "access.log" => $nginx->access_log,
              trail => $trail->body);

for my $file (glob("$nginx->{dir}/db/relay.db*"),
              glob("$nginx->{dir}/audit.db*"))
{
    $places{$file =~ s{.*/}{}r} = slurp($file);
}

$places{$_->[0]} .= $_->[1] for @answers;

# of what is kept to be compared there is no more than a digest

for my $place (sort keys %places) {
    my @found = grep { index($places{$place}, $planted{$_}) >= 0 }
                     sort keys %planted;

    # a store keeps the CSRF token of a session: it is of no use alone

    @found = grep { $_ ne "csrf" } @found if $place =~ /^relay\.db/;

    # who sends a key as an unknown path has told it to everybody

    is("@found", "", "F185: no secret in " . substr $place, 0, 50);
}

my $digest = Digest::SHA::sha256($planted{cookie});

ok((grep { index($places{$_}, $digest) >= 0 } grep { /^relay/ } keys %places),
   "the search finds what is there: the digest of the cookie");

ok(!glob("$nginx->{dir}/temp/body/*"), "no body is on the disk");

finish();
