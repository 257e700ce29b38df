#!/usr/bin/perl

# The control socket and its API (F076, F077, F092, F093, F095, F097, F100,
# F105, F112, N06): accounts, tokens, logins, who may come in.

use warnings;
use strict;

use IO::Socket::UNIX;
use POSIX ();
use Test::More;
use Time::HiRes qw/ sleep time /;

use ClaudeRelay;


my $up = sandbox();
my @told;

# what no answer and no log may show

my @secrets = qw/
    sk-ant-one-000001 sk-ant-api03-planted-1 sk-ant-api03-planted-2
    sk-ant-api03-planted-3 planted-proxy-password planted-odd-key
    sk-ant-oat01-planted-setup-token
/;

my $seed = $up->oauth_seed(name => "seeded");

push @secrets, $seed->{access}, $seed->{refresh};


sub http {
    my %opt = @_;

    return relay_http(
        http => "claude_relay_zone relay:2m;
                 claude_relay_store store/relay.db secret=relay.key;
                 claude_relay_usage_poll off;
                 claude_relay_oauth claude-oauth
                     token_url=%%UP%%/v1/oauth/token
                     authorize_url=%%UP%%/oauth/authorize;
                 auth_basic closed; auth_basic_user_file none; deny all;
                 claude_relay_control unix:control.sock;",
        accounts => account("one")
                    . account("conf", "platform claude-oauth; pool tokens;
                                       access_token $seed->{access};
                                       refresh_token $seed->{refresh};"),
        server => "auth_basic off; allow all;
                   location /tokens/ { claude_relay;
                                       claude_relay_pool tokens; }
                   location /pool/ { claude_relay; claude_relay_pool p; }
                   location /q/ { claude_relay; claude_relay_pool q; }
                   location = /v1/status { claude_relay_control; }",
        %opt,
    );
}


my $nginx = nginx(http(), workers => 2, allow => [qr/sealed under another/]);


sub call {
    my ($method, $path, $json, @headers) = @_;

    my $r = $nginx->control($method, $path, $json, @headers);

    push @told, $r->head, $r->body;

    return $r;
}


sub refused {
    my ($r, $status, $type, $name, $message) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $ok = $r->status == $status && $r->type eq $type
             && $r->header("content-type") eq "application/json"
             && (!defined $message || $r->message =~ $message);

    ok($ok, $name) || diag($r->head . "\n" . $r->body);
}


sub names { join " ", map { $_->{name} } @{ call("GET", $_[0])->json->{accounts} } }

sub bearer { ($up->header("authorization") // "") =~ /^Bearer (.*)/ ? $1 : "" }


sub login {
    my (%arg) = @_;

    my $r = call("POST", "/v1/logins", { platform => "claude-oauth", %arg });

    is($r->status, 201, "F076: a login of $arg{name} begins")
        || diag $r->body;

    return $r->json;
}


# 1. what is there

{
    my ($r, $j);

    # workers come one by one

    wait_for(sub {
        $r = call("GET", "/v1/status");
        $j = $r->json;
        return $j->{workers} == 2;
    });

    is($r->status, 200, "status");
    is($j->{workers}, 2, "status: workers");
    is($j->{pid}, $nginx->pid, "status: the master");
    is($j->{store}{state}, "ok", "status: store");
    like($j->{store}{path}, qr{/store/relay\.db$}, "status: its path");
    is_deeply($j->{accounts}, { total => 2, ok => 2, resting => 0,
                                needs_login => 0, disabled => 0 },
              "status: accounts") || diag $r->body;
    ok(exists $j->{$_}, "status: $_")
        for qw/ version nginx uptime requests sessions /;

    is(call("HEAD", "/v1/status")->status, 200, "status: HEAD");

    is(names("/v1/accounts"), "one conf", "list");
    is(names("/v1/accounts?pool=tokens"), "conf", "list: of a pool");
    is(names("/v1/accounts?platform=anthropic"), "one",
       "list: of a platform");
    is(names("/v1/accounts?state=ok&pool=default"), "one", "list: by state");
    is(names("/v1/accounts?state=needs%2Dlogin"), "", "list: none");
    refused(call("GET", "/v1/accounts?colour=red"), 400, "invalid_request",
            "list: by what there is not");

    $j = call("GET", "/v1/accounts/one")->json;
    is($j->{origin}, "nginx.conf", "one of nginx.conf");
    is($j->{state}, "ok", "one of nginx.conf: state");
    ok(!exists $j->{token}, "one of nginx.conf: no token");
    is(call("GET", "/v1/accounts/one")->header("etag"), undef,
       "one of nginx.conf: no version");

    $j = call("GET", "/v1/accounts/conf")->json;
    ok($j->{token}{refreshable}, "tokens of nginx.conf");
    is($j->{token}{version}, 1, "tokens of nginx.conf: version");

    refused(call("GET", "/v1/accounts/nobody"), 404, "not_found",
            "no such account", qr/"nobody"/);
    refused(call("GET", "/v1/nothing"), 404, "not_found", "no such path");
    refused(call("GET", "/"), 404, "not_found", "no such path, /");
    refused(call("PUT", "/v1/accounts/one"), 405, "invalid_request",
            "a method that there is not");
    refused(call("POST", "/v1/status"), 405, "invalid_request",
            "a method that there is not, POST");
}


# 2. bodies that are of no use change nothing

my $made = { name => "made", platform => "anthropic", pool => "p",
             base_url => $up->url, api_key => "sk-ant-api03-planted-1" };

for (
    ["[]", qr/JSON object/, "an array"],
    ["{", qr/JSON object/, "half of it"],
    ["{} {}", qr/JSON object/, "two of them"],
    ['{"name":"a\u0000b"}', qr/NUL/, "an escaped NUL"],
    ["{\"name\":\"a\0b\"}", qr/NUL/, "a NUL"],
    ["{\"name\":" . "[" x 100 . "]" x 100 . "}", qr/JSON object/, "depth"],
    ["{\"name\":\"\xff\"}", qr/JSON object/, "no UTF-8"],
    ['{"name":"a","name":"b"}', qr/"name" is repeated/, "a repeated member"],
    [{ %$made, colour => 1 }, qr/"colour"/, "an unknown member"],
    [{ %$made, secret => 1 }, qr/"secret"/, "a field of nginx.conf's"],
    [{ %$made, name => undef }, qr/"name"/, "no name"],
    [{ %$made, name => 5 }, qr/"name"/, "a number as a name"],
    [{ %$made, name => "" }, qr/"name"/, "an empty name"],
    [{ %$made, name => "x" x 64 }, qr/"name"/, "a long name"],
    [{ %$made, name => ".." }, qr/"name"/, "a name of dots"],
    [{ %$made, name => "a/b" }, qr/"name"/, "a name with a slash"],
    [{ %$made, platform => "none" }, qr/"platform"/, "a platform of nobody"],
    [{ %$made, priority => "5" }, qr/"priority"/, "a string as a number"],
    [{ %$made, priority => 1.5 }, qr/"priority"/, "a fraction"],
    [{ %$made, weight => 0 }, qr/"weight"/, "out of range"],
    [{ %$made, enabled => 1 }, qr/"enabled"/, "a number as a switch"],
    [{ %$made, models => "x" }, qr/"models"/, "a string as an array"],
    [{ %$made, models => [1] }, qr/"models"/, "an array of numbers"],
    [{ %$made, base_url => "ftp://x" }, qr/base_url/, "a URL of no use"],
    [{ %$made, description => "a\nb" }, qr/"description"/, "two lines"],
    [{ %$made, valid_until => "soon" }, qr/"valid_until"/, "no time"],
    [{ %$made, api_key => "a\r\nX: y" }, qr/"api_key"/, "a header in a key"],
    [{ %$made, api_key => undef }, qr/api_key/, "no key"],
    [{ %$made, proxy => "gopher://u:planted-proxy-password\@h" }, qr/proxy/,
     "a proxy of no use"],
    [{ %$made, proxy => 1 }, qr/"proxy"/, "a number as a proxy"],
    [{ %$made, access_token => $seed->{access} }, qr/not both/,
     "a key and a token"],
    [{ %$made, platform => "claude-oauth" }, qr/takes tokens/,
     "a key where tokens belong"],
)
{
    my ($body, $message, $name) = @$_;

    refused(call("POST", "/v1/accounts", $body), 400, "invalid_request",
            "create: $name", $message);
}

is(call("POST", "/v1/accounts", "x" x 1100000)->status, 413,
   "create: more than a body may have");
refused(call("POST", "/v1/accounts", { %$made, name => "one" }), 409,
        "conflict", "create: a name of nginx.conf", qr/"one"/);
is(names("/v1/accounts"), "one conf", "create: nothing was made");
is($nginx->post("/pool/v1/messages", message())->status, 503,
   "create: its pool is empty");


# 3. an account is made, changed, removed, and used by both workers

{
    my $r = call("POST", "/v1/accounts",
                 { %$made, description => "d\x{e9}j\x{e0}", priority => 7,
                   valid_until => "2090-01-01T00:00:00Z" });

    is($r->status, 201, "F092: created") || diag $r->body;
    is($r->header("etag"), '"1"', "F092: its version");
    is($r->json->{priority}, 7, "F092: priority");
    is($r->json->{description}, "d\x{e9}j\x{e0}", "F092: description");
    is($r->json->{valid_until}, "2090-01-01T00:00:00Z", "F093: an end");
    is($r->json->{origin}, "store", "F092: origin");

    is($nginx->post("/pool/v1/messages", message(text => "$_"))->status, 200,
       "F092: it serves, $_") for 1 .. 6;
    is($up->last->{credential}, "sk-ant-api03-planted-1", "F092: its key");

    refused(call("POST", "/v1/accounts", $made), 409, "conflict",
            "F092: its name is taken", qr/"made"/);

    $r = call("PATCH", "/v1/accounts/made", { priority => 9 }, 'If-Match: "1"');
    is($r->status, 200, "F092: changed");
    is($r->header("etag"), '"2"', "F092: its next version");
    is($r->json->{description}, "d\x{e9}j\x{e0}", "F092: the rest stays");

    refused(call("PATCH", "/v1/accounts/made", { priority => 1 },
                 'If-Match: "1"'),
            412, "precondition_failed", "F092: an old version");
    refused(call("DELETE", "/v1/accounts/made", undef, 'If-Match: "1"'),
            412, "precondition_failed", "F092: an old version, to be removed");
    refused(call("PATCH", "/v1/accounts/made", { priority => 1 },
                 "If-Match: x"),
            400, "invalid_request", "F092: no version at all");
    is(call("GET", "/v1/accounts/made")->json->{priority}, 9,
       "F092: nothing has changed");

    for ([{}, qr/nothing/, "nothing"],
         [{ name => "x" }, qr/"name"/, "its name"],
         [{ platform => "console" }, qr/"platform"/, "its platform"],
         [{ platform => undef }, qr/"platform"/, "its platform to none"],
         [{ weight => -1 }, qr/"weight"/, "a weight out of range"],
         [{ enabled => "off" }, qr/"enabled"/, "a switch that is none"],
         [{ api_key => "" }, qr/"api_key"/, "an empty key"],
         [{ base_url => "http://" }, qr/base_url/, "a URL of no use"])
    {
        my ($body, $message, $name) = @$_;

        refused(call("PATCH", "/v1/accounts/made", $body), 400,
                "invalid_request", "F092: change: $name", $message);
    }

    is(call("GET", "/v1/accounts/made")->header("etag"), '"2"',
       "F092: still nothing has changed");

    call("PATCH", "/v1/accounts/made",
         { priority => undef, api_key => "sk-ant-api03-planted-2" });
    is(call("GET", "/v1/accounts/made")->json->{priority}, 100,
       "F092: back to what is usual");
    $nginx->post("/pool/v1/messages", message());
    is($up->last->{credential}, "sk-ant-api03-planted-2",
       "F092: another key");

    $r = call("PATCH", "/v1/accounts/made", { enabled => JSON::PP::false });
    is($r->json->{state}, "disabled", "F092: disabled");
    is($nginx->post("/pool/v1/messages", message())->status, 503,
       "F092: disabled is out of use");
    call("PATCH", "/v1/accounts/made", { enabled => JSON::PP::true });

    $r = call("PATCH", "/v1/accounts/made",
              { valid_until => "2020-01-01T00:00:00Z" });
    is($r->json->{state}, "disabled", "F093: its time is over");
    call("PATCH", "/v1/accounts/made", { valid_until => undef });

    $r = call("PATCH", "/v1/accounts/made",
              { proxy => "socks5://user:planted-proxy-password\@127.0.0.1:9" });
    is($r->json->{proxy}, "socks5://127.0.0.1:9", "a proxy without its user");
    is(call("GET", "/v1/accounts/made")->json->{description},
       "d\x{e9}j\x{e0}", "a proxy: the rest stays");
    $r = call("PATCH", "/v1/accounts/made", { proxy => "" });
    is($r->json->{proxy}, undef, "no proxy any more");

    # who changes different things at once does not lose any of it

    my %change = (priority => 11, weight => 12, max_concurrency => 13,
                  description => "all");
    my @c = map {
        my $c = connect_to(IO::Socket::UNIX->new(
                              Peer => $nginx->dir . "/control.sock"));
        $c->request("PATCH", "/v1/accounts/made", key => undef,
                    body => encode({ $_ => $change{$_} }));
    } sort keys %change;

    is(join(" ", map { $_->response->status } @c), "200 200 200 200",
       "changes at once");
    $_->close for @c;

    $r = call("GET", "/v1/accounts/made")->json;
    is_deeply({ map { $_ => $r->{$_} } keys %change }, \%change,
              "changes at once: all of them");

    for (["PATCH", { priority => 1 }], ["DELETE"]) {
        refused(call($_->[0], "/v1/accounts/one", $_->[1]), 409, "conflict",
                "$_->[0] of one of nginx.conf", qr/nginx\.conf/);
        refused(call($_->[0], "/v1/accounts/nobody", $_->[1]), 404,
                "not_found", "$_->[0] of nobody");
        refused(call($_->[0], "/v1/accounts/a%20b", $_->[1]), 404,
                "not_found", "$_->[0] of what cannot be a name");
    }

    # what is under way with it comes to its end

    my $stream = $nginx->connect;
    $stream->request("POST", "/pool/v1/messages", body => stream(),
                     headers => ["x-sandbox: events=10,delay=40"]);
    $stream->read_until(qr/message_start/);

    $r = call("DELETE", "/v1/accounts/made");
    is($r->status, 204, "F092: removed");
    is($r->body, "", "F092: nothing to tell");
    refused(call("GET", "/v1/accounts/made"), 404, "not_found",
            "F092: it is gone");
    refused(call("DELETE", "/v1/accounts/made"), 404, "not_found",
            "F092: it is gone only once");
    is($nginx->post("/pool/v1/messages", message(text => "new"))->status, 503,
       "F092: nobody serves");

    my $done = $stream->response;
    ok($done->complete && $done->body =~ /message_stop/,
       "F092: a stream is not cut");
    $stream->close;

    $r = call("POST", "/v1/accounts", $made);
    is($r->status, 201, "F092: made again");
    cmp_ok($r->json->{version}, ">", 8, "F092: its version goes on");
    call("DELETE", "/v1/accounts/made");
}


# 4. imports

{
    my %file = (accessToken => "sk-ant-oat01-imported-0000000001",
                refreshToken => "sk-ant-ort01-imported-0000000001",
                expiresAt => (time + 3600) * 1000 | 0,
                scopes => ["user:inference", "user:profile"],
                subscriptionType => "max");

    push @secrets, @file{qw/ accessToken refreshToken /};

    my $r = call("POST", "/v1/accounts",
                 { name => "file", import => encode({ claudeAiOauth => \%file }),
                   pool => "p", base_url => $up->url });

    is($r->status, 201, "import: credentials") || diag $r->body;
    is($r->json->{platform}, "claude-oauth", "import: their platform");
    is($r->json->{token}{scopes}, "user:inference user:profile",
       "import: their scopes");
    ok($r->json->{token}{refreshable}, "import: to be refreshed");
    is($r->json->{identity}{plan}, "max", "import: the plan");
    $nginx->post("/pool/v1/messages", message());
    is(bearer(), $file{accessToken}, "import: the token is used");
    call("DELETE", "/v1/accounts/file");

    $r = call("POST", "/v1/accounts",
              { name => "year", import => "sk-ant-oat01-planted-setup-token\n",
                base_url => $up->url });
    is($r->status, 201, "F077: import: a setup token");
    ok(!$r->json->{token}{refreshable}, "F077: import: no refresh");
    is($r->json->{state}, "ok", "F077: import: good");
    call("DELETE", "/v1/accounts/year");

    $r = call("POST", "/v1/accounts",
              { name => "key", import => "sk-ant-api03-planted-3" });
    is($r->json->{platform}, "anthropic", "import: a key");
    call("DELETE", "/v1/accounts/key");

    $r = call("POST", "/v1/accounts", { name => "toml", import => <<"END" });
type = "claude_code"

[oauth]
access_token = "$file{accessToken}"
refresh_token = "$file{refreshToken}"
END
    is($r->status, 201, "import: Pluribus") || diag $r->body;
    ok($r->json->{token}{refreshable}, "import: Pluribus: both tokens");
    call("DELETE", "/v1/accounts/toml");

    $r = call("POST", "/v1/accounts",
              { name => "plain", platform => "claude-oauth",
                access_token => $file{accessToken},
                refresh_token => $file{refreshToken},
                expires => "2089-01-01T00:00:00Z", scopes => "user:inference",
                base_url => $up->url });
    is($r->status, 201, "tokens as members") || diag $r->body;
    is($r->json->{token}{expires}, "2089-01-01T00:00:00Z",
       "tokens as members: their end");
    is($r->json->{token}{scopes}, "user:inference",
       "tokens as members: their scopes");
    call("DELETE", "/v1/accounts/plain");

    $r = call("POST", "/v1/accounts",
              { name => "empty", platform => "claude-oauth" });
    is($r->json->{state}, "needs-login", "without tokens");
    like($r->json->{token}{reason}, qr/no tokens/, "without tokens: why");

    # the other worker hears of it a moment later

    ok(wait_for(sub {
        call("GET", "/v1/status")->json->{accounts}{needs_login} == 1
    }), "without tokens: status");
    ok(wait_for(sub {
        names("/v1/accounts?state=needs-login") eq "empty"
    }), "without tokens: list");

    my ($health) = map { grep { $_->{name} eq "empty" } @{ $_->{accounts} } }
                   @{ $nginx->health->{pools} };
    is($health->{state}, "needs-login", "without tokens: health");
    like($health->{token}{reason}, qr/no tokens/, "without tokens: health, why");
    is($nginx->health->{store}{state}, "ok", "health: store");

    call("DELETE", "/v1/accounts/empty");

    for (
        [{ import => "" }, qr/nothing in it/, "nothing"],
        [{ import => 5 }, qr/"import"/, "a number"],
        [{ import => "hello" }, qr/neither/, "anything"],
        [{ import => "{" }, qr/JSON/, "half of JSON"],
        [{ import => "{}" }, qr/no access token/, "no token"],
        [{ import => "a = b" }, qr/TOML/, "TOML that is none"],
        [{ import => encode({ accessToken => $file{refreshToken},
                              refreshToken => $file{accessToken} }) },
         qr/of no use/, "swapped tokens"],
        [{ import => encode({ %file, expiresAt => "never" }) }, qr/expiry/,
         "no time"],
        [{ import => encode({ accessToken => $file{accessToken},
                              expiresAt => 1000 }) },
         qr/of no use/, "dead tokens"],
        [{ import => encode(\%file), access_token => $file{accessToken} },
         qr/beside/, "an import and tokens"],
        [{ refresh_token => $file{refreshToken} }, qr/"access_token"/,
         "a refresh token alone"],
        [{ access_token => $file{refreshToken},
           refresh_token => $file{accessToken} }, qr/of no use/,
         "swapped tokens as members"],
        [{ access_token => $file{accessToken}, expires => [] },
         qr/"expires"/, "an array as a time"],
        [{ access_token => $file{accessToken}, scopes => [1] },
         qr/"scopes"/, "numbers as scopes"],
        [{ platform => "anthropic", access_token => $file{accessToken} },
         qr/api_key/, "tokens for a place of keys"],
    )
    {
        my ($body, $message, $name) = @$_;

        refused(call("POST", "/v1/accounts", { name => "bad", %$body }), 400,
                "invalid_request", "import: $name", $message);
    }

    is(names("/v1/accounts"), "one conf", "import: nothing was left");

    # new tokens for one that is there

    refused(call("POST", "/v1/accounts/conf/tokens", {}), 400,
            "invalid_request", "tokens: none");
    refused(call("POST", "/v1/accounts/conf/tokens",
                 { import => "sk-ant-api03-planted-3" }), 400,
            "invalid_request", "tokens: a key", qr/platform/);
    refused(call("POST", "/v1/accounts/conf/tokens",
                 { import => encode(\%file), pool => "x" }), 400,
            "invalid_request", "tokens: and a setting", qr/"pool"/);
    refused(call("POST", "/v1/accounts/one/tokens",
                 { import => encode(\%file) }), 409, "conflict",
            "tokens: for a key's account");
    refused(call("POST", "/v1/accounts/nobody/tokens",
                 { import => encode(\%file) }), 404, "not_found",
            "tokens: for nobody");

    my $fresh = $up->oauth_seed(name => "fresh");
    push @secrets, $fresh->{access}, $fresh->{refresh};

    $r = call("POST", "/v1/accounts/conf/tokens",
              { access_token => $fresh->{access},
                refresh_token => $fresh->{refresh},
                expires => $fresh->{expires_at} });
    is($r->status, 200, "tokens: for one of nginx.conf") || diag $r->body;
    is($r->json->{token}{version}, 2, "tokens: their version");
    is($nginx->post("/tokens/v1/messages", message(text => $_))->status, 200,
       "tokens: it serves, $_") for 1 .. 4;
    is(bearer(), $fresh->{access}, "tokens: by the new one");
}


# 5. refresh by hand

{
    my $r = call("POST", "/v1/accounts/conf/refresh");
    is($r->status, 200, "F097: refreshed") || diag $r->body;
    is($r->json->{token}{version}, 3, "F097: another version");
    is($r->json->{token}{refreshes}, 1, "F097: counted");
    is($up->oauth_chain("fresh")->{rotations}, 1, "F097: once");

    for (["one", qr/key/], ["nobody", undef]) {
        my ($name, $message) = @$_;

        $r = call("POST", "/v1/accounts/$name/refresh");
        refused($r, $message ? 409 : 404, $message ? "conflict" : "not_found",
                "F097: $name cannot be refreshed", $message);
    }

    refused(call("POST", "/v1/accounts/conf/refresh", { now => 1 }), 400,
            "invalid_request", "F097: it takes nothing", qr/"now"/);

    $up->oauth(do => "fail=503");
    $r = call("POST", "/v1/accounts/conf/refresh");
    refused($r, 502, "upstream", "F097: failed", qr/"conf" failed: .*unavailable/);

    $r = call("GET", "/v1/accounts/conf")->json;
    like($r->{token}{failure}, qr/unavailable/, "F110: what failed is told");
    ok($r->{token}{retry_at}, "F110: and when it is tried again");
    is($r->{state}, "ok", "F109: the old token is good");

    # an operator does not wait for the back-off

    $r = call("POST", "/v1/accounts/conf/refresh");
    is($r->status, 200, "F097: refreshed at once");
    ok(!exists $r->json->{token}{failure}, "F097: the failure is over");

    # dead for good

    $up->oauth(do => "kill", chain => "fresh");
    $r = call("POST", "/v1/accounts/conf/refresh");
    refused($r, 502, "upstream", "F110: needs a login",
            qr/Refresh token not found/);
    $r = call("GET", "/v1/accounts/conf")->json;
    is($r->{state}, "needs-login", "F110: state");
    like($r->{token}{reason}, qr/Refresh token not found/, "F110: reason");
    refused(call("POST", "/v1/accounts/conf/refresh"), 409, "conflict",
            "F110: no refresh without a login", qr/login/);

    $r = call("POST", "/v1/accounts/conf/test")->json;
    ok(!$r->{ok} && $r->{error} =~ /Refresh token not found/,
       "F095: no test without a login");
}


# 6. logins

{
    my $login = login(name => "work", base_url => $up->url, pool => "p",
                      priority => 3);

    like($login->{id}, qr/^[0-9a-f]{32}$/, "F076: id");
    like($login->{url}, qr/code_challenge_method=S256/, "F076: PKCE");
    like($login->{url}, qr/[?&]state=[\w-]{43}(&|$)/, "F076: state");
    like($login->{expires_at}, qr/^\d{4}-.*Z$/, "F076: until");
    like($login->{redirect_uri}, qr/^https:/, "F076: redirect");
    is(names("/v1/accounts?pool=p"), "", "F076: nothing is there yet");

    my $code = $up->oauth_login($login->{url});
    my ($bare, $state) = split /#/, $code;

    refused(call("POST", "/v1/logins/$login->{id}", { code => "$bare#other" }),
            400, "login", "F076: another state", qr/"work": the state/);
    refused(call("POST", "/v1/logins/$login->{id}",
                 { code => "$bare#" . ($state =~ tr/a-z/A-Z/r) }),
            400, "login", "F076: nearly the same state", qr/state/);
    refused(call("POST", "/v1/logins/$login->{id}", { code => "" }),
            400, "login", "F076: no code");
    refused(call("POST", "/v1/logins/$login->{id}", { code => 5 }),
            400, "invalid_request", "F076: a number");
    refused(call("POST", "/v1/logins/$login->{id}",
                 { code => "https://x/callback?error=access_denied" }),
            400, "login", "F076: a refusal", qr/access_denied/);
    refused(call("POST", "/v1/logins/" . "0" x 32, { code => $code }),
            404, "not_found", "F076: no such login");
    refused(call("POST", "/v1/logins/x", { code => $code }),
            404, "not_found", "F076: no id at all");

    # a server that is down does not spoil it

    for my $fail ("503", "rst-before", "html") {
        $up->oauth(do => "fail=$fail");
        refused(call("POST", "/v1/logins/$login->{id}", { code => $code }),
                502, "upstream", "F076: token endpoint: $fail",
                qr/"work".*still good/);
    }

    my $r = call("POST", "/v1/logins/$login->{id}", { code => $code });
    is($r->status, 200, "F076: logged in") || diag $r->body;
    is($r->json->{name}, "work", "F076: the account");
    is($r->json->{priority}, 3, "F076: its settings");
    is($r->json->{state}, "ok", "F076: good");
    ok($r->json->{token}{granted}, "F076: when");
    is($r->json->{identity}{email}, "sandbox\@sandbox.example",
       "F112: who it is") || diag $r->body;
    is($r->json->{identity}{plan}, "max", "F112: its plan");
    is($nginx->post("/pool/v1/messages", message())->status, 200,
       "F076: it serves");

    refused(call("POST", "/v1/logins/$login->{id}", { code => $code }),
            404, "not_found", "F076: a login is over with its end");

    # one that is there gets new tokens, and nothing else

    refused(call("POST", "/v1/logins",
                 { name => "work", platform => "claude-oauth",
                   priority => 1 }), 400, "invalid_request",
            "F076: a setting of one that exists", qr/"priority"/);
    refused(call("POST", "/v1/logins",
                 { name => "one", platform => "claude-oauth" }), 409,
            "conflict", "F076: a key's account");
    refused(call("POST", "/v1/logins", { name => "x", platform => "anthropic" }),
            400, "invalid_request", "F076: a platform without", qr/logins/);
    refused(call("POST", "/v1/logins", { name => "x" }), 400,
            "invalid_request", "F076: no platform", qr/"platform"/);
    refused(call("POST", "/v1/logins",
                 { name => "x y", platform => "claude-oauth" }), 400,
            "invalid_request", "F076: no name", qr/"name"/);
    refused(call("POST", "/v1/logins",
                 { name => "x", platform => "claude-oauth",
                   redirect => "fax" }), 400,
            "invalid_request", "F076: no redirect", qr/"redirect"/);
    refused(call("POST", "/v1/logins",
                 { name => "x", platform => "claude-oauth",
                   setup_token => "yes" }), 400,
            "invalid_request", "F076: a string as a switch", qr/"setup_token"/);

    $login = login(name => "work", redirect => "loopback");
    like($login->{redirect_uri}, qr{^http://localhost:}, "F076: loopback");
    ($bare, $state) = split /#/, $up->oauth_login($login->{url});
    $r = call("POST", "/v1/logins/$login->{id}",
              { code => "$login->{redirect_uri}?code=$bare&state=$state" });
    is($r->status, 200, "F076: the callback's URL") || diag $r->body;
    is($r->json->{token}{version}, 2, "F076: new tokens");
    is($r->json->{priority}, 3, "F076: old settings");

    # one of nginx.conf, which needs it

    $login = login(name => "conf");
    $r = call("POST", "/v1/logins/$login->{id}",
              { code => $up->oauth_login($login->{url}) });
    is($r->json->{state}, "ok", "F110: a login helps") || diag $r->body;
    is($nginx->post("/tokens/v1/messages", message())->status, 200,
       "F110: it serves again");

    # a code that was used, and one that is too old

    my $other = login(name => "second", base_url => $up->url);
    $up->oauth(do => "code-life=1");
    my $old = $up->oauth_login($other->{url});
    sleep 1.3;
    refused(call("POST", "/v1/logins/$other->{id}", { code => $old }),
            400, "login", "F076: an expired code", qr/"second".*invalid_grant/);
    refused(call("POST", "/v1/logins/$other->{id}", { code => $old }),
            404, "not_found", "F076: its login is over");
    $up->oauth(do => "clear");

    $other = login(name => "second", base_url => $up->url);
    refused(call("POST", "/v1/logins/$other->{id}", { code => $bare }),
            400, "login", "F076: a used code", qr/"second".*invalid_grant/);
    refused(call("GET", "/v1/accounts/second"), 404, "not_found",
            "F076: nothing was made");

    # a setup token

    $login = login(name => "year", base_url => $up->url,
                   setup_token => JSON::PP::true);
    like($login->{url}, qr/scope=user%3Ainference(&|$)/, "F077: its scope");
    $r = call("POST", "/v1/logins/$login->{id}",
              { code => $up->oauth_login($login->{url}) });
    is($r->status, 200, "F077: a setup token") || diag $r->body;
    ok(!$r->json->{token}{refreshable}, "F077: no refresh");
    like($r->json->{token}{expires}, qr/^\d{4}-/, "F077: an end");
    refused(call("POST", "/v1/accounts/year/refresh"), 409, "conflict",
            "F077: cannot be refreshed", qr/setup-token/);
    call("DELETE", "/v1/accounts/year");

    # who begins and leaves: it is brought to its end

    $login = login(name => "left", base_url => $up->url);
    $code = $up->oauth_login($login->{url});
    $up->oauth(do => "before=400");

    my $c = connect_to(IO::Socket::UNIX->new(
                          Peer => $nginx->dir . "/control.sock"));
    $c->request("POST", "/v1/logins/$login->{id}", key => undef,
                body => encode({ code => $code }));
    wait_for(sub { $up->oauth_report(n => 1)->{counters}{in_flight} });
    $c->close;

    ok(wait_for(sub { call("GET", "/v1/accounts/left")->status == 200 }),
       "F076: a client that leaves does not cost the login");
    $up->oauth(do => "clear");

    # tokens that have come wait for a store that is held by somebody

    SKIP: {
        skip "no sqlite3", 2 if `sqlite3 -version` !~ /^\d/;

        $login = login(name => "patient", base_url => $up->url);
        $code = $up->oauth_login($login->{url});

        my $db = $nginx->dir . "/store/relay.db";
        my $held = $nginx->dir . "/held";

        system "(echo '.timeout 5000'; echo 'BEGIN IMMEDIATE;'; echo \".shell touch $held\";"
               . " sleep 6; echo 'COMMIT;') | sqlite3 $db &";
        ok(wait_for(sub { -e $held }), "F076: the store is held");

        $r = call("POST", "/v1/logins/$login->{id}", { code => $code });
        is($r->status, 200, "F076: a login waits for the store")
            || diag $r->body;
    }

    push @secrets, map { $_->{access}, $_->{refresh} // () }
                   map { @{ $_->{tokens} // [] } }
                   @{ $up->oauth_report(tokens => 1)->{chains} };
}


# 7. test and reset

{
    my $r = call("POST", "/v1/accounts/work/test")->json;
    ok($r->{ok}, "F095: a test") || diag encode($r);
    is($r->{status}, 200, "F095: status");
    like($r->{model}, qr/haiku/, "F095: a small model");
    is(json($up->last->{body})->{max_tokens}, 1, "F095: a small request");

    $r = call("POST", "/v1/accounts/work/test",
              { model => "claude-opus-5" })->json;
    is($r->{model}, "claude-opus-5", "F095: a model by name");
    is(json($up->last->{body})->{model}, "claude-opus-5", "F095: is asked");

    $r = call("GET", "/v1/accounts/work")->json;
    is($r->{last_test}{status}, 200, "F095: it is remembered");

    # a token that is over is refreshed first; one that is refused, too

    $up->oauth(do => "expire");
    $r = call("POST", "/v1/accounts/work/test")->json;
    ok($r->{ok}, "F095: after a refresh") || diag encode($r);

    my $at = $up->oauth_report(n => 0)->{counters}{rotations};
    my $short = $up->oauth_seed(name => "short", expires_in => 5);
    push @secrets, $short->{access}, $short->{refresh};

    call("POST", "/v1/accounts/conf/tokens",
         { access_token => $short->{access},
           refresh_token => $short->{refresh},
           expires => $short->{expires_at} });
    $r = call("POST", "/v1/accounts/conf/test")->json;
    ok($r->{ok}, "F095: a token that ends soon") || diag encode($r);
    cmp_ok($up->oauth_report(n => 0)->{counters}{rotations}, ">", $at,
           "F095: is refreshed");

    # failures, in the upstream's words

    $up->behave("sk-ant-one-000001",
                "status=529,message=busy%0Awith sk-ant-one-000001");
    $r = call("POST", "/v1/accounts/one/test")->json;
    ok(!$r->{ok}, "F095: a failure");
    is($r->{status}, 529, "F095: its status");
    like($r->{error}, qr/busy/, "F095: its words");
    is(call("GET", "/v1/accounts/one")->json->{last_test}{status}, 529,
       "F095: it is remembered");

    $up->behave("sk-ant-one-000001", "rst-now");
    $r = call("POST", "/v1/accounts/one/test")->json;
    is($r->{status}, 0, "F095: no answer");
    like($r->{error}, qr/connection/, "F095: no answer, in words");
    $up->behave("sk-ant-one-000001", "");

    call("POST", "/v1/accounts",
         { name => "odd", platform => "console", base_url => $up->url,
           api_key => "planted-odd-key", models => ["only-this"] });
    $up->behave("planted-odd-key", "status=401,message=no planted-odd-key");
    $r = call("POST", "/v1/accounts/odd/test")->json;
    is($r->{model}, "only-this", "F095: the model that it has");
    like($r->{error}, qr/^no \*+$/, "F095: no key is repeated");
    call("PATCH", "/v1/accounts/odd", { models => ["other-*"] });
    refused(call("POST", "/v1/accounts/odd/test"), 400, "invalid_request",
            "F095: no model is known", qr/"model"/);
    call("DELETE", "/v1/accounts/odd");

    refused(call("POST", "/v1/accounts/nobody/test"), 404, "not_found",
            "F095: of nobody");
    refused(call("POST", "/v1/accounts/one/test", { prompt => "x" }), 400,
            "invalid_request", "F095: a member that there is not");

    # reset

    $nginx->post("/v1/messages", message(), "x-sandbox: unified=5h");
    $r = call("GET", "/v1/accounts/one")->json;
    is($r->{state}, "resting", "reset: it rests") || diag encode($r);
    ok($r->{why} && $r->{until} && $r->{last_error}{status},
       "reset: why, and until when");
    is($r->{windows}{"5h"}{status}, "rejected", "F100: its window");

    $r = call("POST", "/v1/accounts/one/reset");
    is($r->status, 200, "reset");
    is($r->json->{state}, "ok", "reset: it rests no more");
    is($nginx->post("/v1/messages", message())->status, 200,
       "reset: it serves");

    refused(call("POST", "/v1/accounts/nobody/reset"), 404, "not_found",
            "reset: of nobody");
    refused(call("POST", "/v1/accounts/one/reset", { x => 1 }), 400,
            "invalid_request", "reset: it takes nothing");
}


# 8. quota in the log

{
    my $r = $nginx->post("/tokens/v1/messages", message(),
                         "x-sandbox: util-5h=0.5,util-7d=0.1234");

    is($r->status, 200, "F100: windows are told");
    like($nginx->log->{quota}, qr/^5h=0\.50?,7d=0\.1234(,|$)/,
         "F100: in the log") || diag $nginx->log->{quota};

    $r = call("GET", "/v1/accounts/conf")->json;
    is($r->{windows}{"5h"}{utilization}, 0.5, "F100: in the API");

    call("POST", "/v1/accounts", { %$made, pool => "q" });
    $nginx->post("/q/v1/messages", message(), "x-sandbox: nowindow");
    is($nginx->log->{quota}, "", "F100: an account without windows");
    call("DELETE", "/v1/accounts/made");
}


# 9. another key for the store, while two workers use it

{
    my $old = slurp($nginx->dir . "/relay.key");
    my $new = "# another one\n"
              . sha256("another key")
              . "\n";

    push @secrets, $old =~ /([0-9a-f]{64})/, $new =~ /([0-9a-f]{64})/;

    for (["x", "no key"], ["0" x 64, "zeros"], [5, "a number"],
         [undef, "none"])
    {
        refused(call("POST", "/v1/rekey", { key => $_->[0] }), 400,
                "invalid_request", "F105: rekey: $_->[1]", qr/key/);
    }

    my $r = call("POST", "/v1/rekey", { key => $new });
    is($r->status, 200, "F105: rekey") || diag $r->body;
    is_deeply($r->json, { ok => JSON::PP::true }, "F105: rekey: done");

    # whichever worker it is

    my %status;

    for my $i (1 .. 20) {
        $status{call("PATCH", "/v1/accounts/work",
                     { priority => $i })->status}++;
    }

    is_deeply(\%status, { 200 => 20 }, "F105: both workers go on");
    is(call("POST", "/v1/accounts/work/refresh")->status, 200,
       "F105: a refresh");

    # with the old file nginx does not start, and what runs goes on

    $nginx->signal("HUP");
    ok($nginx->wait_error(qr/emerg.*sealed under another key/),
       "F105: a reload with the old key is refused");
    is(call("GET", "/v1/accounts/work")->json->{state}, "ok",
       "F105: it goes on");

    spew($nginx->dir . "/relay.key", $new);
    ok($nginx->reload, "F105: a reload with the new key");

    is(call("GET", "/v1/accounts/work")->json->{priority}, 20,
       "F105: all is there");
    is($nginx->post("/pool/v1/messages", message())->status, 200,
       "F105: and serves");
    is(call("POST", "/v1/accounts/work/refresh")->status, 200,
       "F105: and is refreshed");
}


# 10. who may come in

my $socket = $nginx->dir . "/control.sock";

is(sprintf("%o", (stat $socket)[2] & 07777), "600", "the socket is for one");

is($nginx->get("/v1/status")->status, 403, "not over TCP");
like($nginx->get("/v1/status")->message // "", qr/unix/, "not over TCP: why");


SKIP: {
    skip "only root can be somebody else", 9 if $> != 0;

    my $group = "nogroup";
    my $nobody = getpwnam("nobody");
    my $gid = getgrnam($group);

    my $as = sub {
        my ($who, $path) = @_;

        my $said = `setpriv $who curl -s -m 10 -w ' %{http_code}' \\
                    --unix-socket $path http://x/v1/status 2>&1`;

        return $said =~ /(\d+)$/ ? $1 : $said;
    };

    my $stranger = "--reuid=$nobody --regid=$gid --clear-groups";

    is($as->($stranger, $socket), "000", "a stranger does not get in");

    chmod 0666, $socket;
    is($as->($stranger, $socket), "403", "nor by a socket for everybody");
    ok($nginx->wait_error(qr/user $nobody of process \d+ was refused/),
       "which is told in the log");
    is($as->("--reuid=0", $socket), "200", "root gets in");

    my $grouped = nginx(zone_and_key() . account("one") . <<"END",
claude_relay_control unix:a$$.sock group=$group;
claude_relay_control "unix:with space; } \$x.sock";

server {
    listen unix:%%DIR%%/own.sock;
    location = /v1/status { claude_relay_control; }
}
END
                        workers => 1);
    my $dir = $grouped->dir;

    my @st = stat "$dir/a$$.sock";
    is(sprintf("%o %d", $st[2] & 07777, $st[5]), "660 $gid",
       "a socket for a group");
    is($as->($stranger, "$dir/a$$.sock"), "200", "its members get in");
    is($as->("--reuid=$nobody --regid=60001 --groups=$gid", "$dir/a$$.sock"),
       "200", "whatever their first group is");

    chmod 0666, "$dir/a$$.sock";
    is($as->("--reuid=$nobody --regid=60001 --clear-groups", "$dir/a$$.sock"),
       "403", "others do not");
    is($as->("--reuid=0", "$dir/own.sock"), "200",
       "a location of an operator's own server");
    is($as->($stranger, "$dir/own.sock"), "403",
       "which nginx lets everybody connect to");
    is($as->("--reuid=0", "'$dir/with space; } \$x.sock'"), "200",
       "a path of any characters");

    # without a store there is nothing to be changed

    my $s = IO::Socket::UNIX->new(Peer => "$dir/a$$.sock");
    my $c = connect_to($s);
    my $r = $c->request("POST", "/v1/accounts", body => "{}", key => undef)
              ->response;
    is($r->status, 503, "without a store: no changes");
    $r = $c->request("GET", "/v1/accounts/one", key => undef)->response;
    is($r->status, 200, "without a store: accounts");
    $r = $c->request("GET", "/v1/status", key => undef)->response;
    is($r->json->{store}, undef, "without a store: status");
    $c->close;

    $grouped->stop;
    ok(!-e "$dir/a$$.sock", "the socket goes with nginx");
}


# 11. reload, nginx -t and kill -9

{
    my @st = stat $socket;

    ok($nginx->reload, "reload");
    is((stat $socket)[1], $st[1], "reload: the same socket");
    is(sprintf("%o", (stat $socket)[2] & 07777), "600", "reload: its mode");
    is(call("GET", "/v1/status")->status, 200, "reload: it answers");

    is($nginx->run("$nginx->{dir}/test", "-t"), 0, "nginx -t");
    is((stat $socket)[1], $st[1], "nginx -t: the same socket");
    is(call("GET", "/v1/status")->status, 200, "nginx -t: it answers");

    # a signal to nginx asks nothing of the store

    rename $nginx->dir . "/relay.key", $nginx->dir . "/away";
    is($nginx->run("$nginx->{dir}/test", "-s", "reopen"), 0, "nginx -s")
        || diag slurp("$nginx->{dir}/test");
    rename $nginx->dir . "/away", $nginx->dir . "/relay.key";
    is((stat $socket)[1], $st[1], "nginx -s: the same socket");

    my @all = ($nginx->pid, $nginx->workers);

    kill "KILL", @all;
    waitpid $all[0], 0;
    wait_for(sub { !kill 0, @all });

    ok(-S $socket, "kill -9: the socket is left");
    unlink $nginx->dir . "/nginx.pid";

    is($nginx->run("$nginx->{dir}/test", "-t"), 0, "kill -9: nginx -t");
    ok(-S $socket, "kill -9: nginx -t changes nothing");

    @ClaudeRelay::NGINXES = grep { $_ != $nginx } @ClaudeRelay::NGINXES;
    $nginx->start;

    is(call("GET", "/v1/accounts/work")->json->{priority}, 20,
       "kill -9: a new nginx has all of it");
    like($nginx->error_log, qr/nobody listens on .*control\.sock/,
         "kill -9: and says what it has found");

    # what is no socket, or somebody's, stays, and nginx does not start there

    my ($file, $live) = map { $nginx->dir . "/$_" } qw/ file live /;
    spew($file, "mine");

    my $listen = IO::Socket::UNIX->new(Local => $live, Listen => 8);

    ok(!eval {
        nginx("claude_relay_zone relay:1m;
               claude_relay_control unix:$file;
               claude_relay_control unix:$live;",
              allow => [qr/bind\(\) to unix:|still could not bind/])
    }, "nginx does not start where somebody else is");

    is(slurp($file), "mine", "a file that is no socket stays");
    ok(IO::Socket::UNIX->new(Peer => $live), "a socket in use stays");
    $listen->close;
}


# 12. the directive

for (
    ["claude_relay_control;", qr/not allowed here|number of arg/, "no path"],
    ["claude_relay_control control.sock;", qr/unix:/, "no unix:"],
    ["claude_relay_control unix:;", qr/unix:/, "an empty path"],
    ["claude_relay_control unix:x owner=root;", qr/owner=root/,
     "an unknown parameter"],
    ["claude_relay_control unix:x group=;", qr/group=/, "an empty group"],
    ["claude_relay_control unix:x group=no-such-group;", qr/no-such-group/,
     "no such group"],
    ["claude_relay_control unix:x; claude_relay_control unix:x;",
     qr/duplicate/, "the same path twice"],
    ["claude_relay_control unix:/" . "x" x 120 . ";", qr/too long/,
     "a long path"],
    ["claude_relay_control \"unix:a\\nb\";", qr/control characters/,
     "a path of two lines"],
)
{
    my ($line, $message, $name) = @$_;

    my ($ok, $said) = config(relay_http(http => $line));

    ok(!$ok && $said =~ $message, "directive: $name") || diag $said;
}

{
    my ($ok, $said) = config("claude_relay_control unix:x;");
    ok(!$ok && $said =~ /needs "claude_relay_zone"/, "directive: no zone")
        || diag $said;

    ($ok, $said) = config("claude_relay_zone relay:1m;"
                          . "claude_relay_control unix:x;");
    ok($ok, "directive: alone") || diag $said;

    ($ok, $said) = config(relay_http(
        server => "location = /c { claude_relay_control; "
                  . "claude_relay_health full=on; }"));
    ok(!$ok && $said =~ /conflicts/, "directive: two handlers") || diag $said;
}


# 13. nothing of all that was told

my $told = join "\n", @told, $nginx->error_log, $nginx->access_log,
                slurp($nginx->dir . "/stderr");

cmp_ok(scalar @secrets, ">", 30, "secrets are planted");
is(join(" ", grep { index($told, $_) >= 0 } @secrets), "",
   "F105: no answer and no log shows one");

my $db = join "", map { slurp($_) } glob $nginx->dir . "/store/*";

cmp_ok(length $db, ">", 4096, "F105: the store is there");
is(join(" ", grep { index($db, $_) >= 0 } @secrets), "",
   "F105: nor does its file");

finish();
