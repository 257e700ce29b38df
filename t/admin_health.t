#!/usr/bin/perl

# F188, F201: the small health report and the full one, readiness, versions,
# and the question whether there is a newer one, which only an operator asks.

use warnings;
use strict;

use ClaudeRelay;
use Test::More;


my $up = sandbox();
my $update = canned(sub {
    my ($head) = @_;

    my ($path) = $head =~ /^GET (\S+)/;
    my %body = (
        "/same" => "0.1.0\n", "/newer" => "v0.10.0\n", "/older" => "0.0.9",
        "/json" => '{"version":"1.0.0","url":"https://example.com/x"}',
        "/release" => '{"tag_name":"v0.1.1","html_url":"https://e.com/r"}',
        "/junk" => "<html>1.0.0</html>", "/empty" => "", "/array" => "[1]",
        "/long" => "1" x 100_000, "/two" => "1.2", "/pre" => "0.2.0-rc.1");
    my $body = $body{$path} // "";

    # nothing else is told to whoever is asked

    $body = "" if $head !~ m{^GET\ \S+\ HTTP/1.1\r\nHost:\ 127.0.0.1:\d+\r\n
                              Accept:\ application/json,\ text/plain\r\n
                              User-Agent:\ claude-relay/[\d.]+\r\n\r\n$}x;

    return "HTTP/1.1 302 Found\r\nLocation: /newer\r\nContent-Length: 0\r\n\r\n"
        if $path eq "/moved";
    return "HTTP/1.1 200 OK\r\nContent-Length: " . length($body)
           . "\r\n\r\n$body";
});

my %http = (
    http => "claude_relay_control unix:control.sock;"
            . "map \$http_x_probe \$probe { me 1; none off; zero 0; }",
    accounts => account("one", "api_key sk-ant-one-secret; priority 200;")
                . account("two", "api_key sk-ant-two-secret;")
                . account("off", "enabled off;"),
    server => "location = /bare { claude_relay_health; }"
              . "location = /off { claude_relay_health full=off; }"
              . "location = /some { claude_relay_health full=\$probe; }");

my $nginx = relay(%http);

sub get { my ($uri, @h) = @_; return $nginx->request("GET", $uri,
                                                      key => undef,
                                                      headers => [@h]) }


# ---- small

my $r = get("/bare");

is($r->status, 200, "F188: small: 200");
is($r->header("content-type"), "application/json", "F188: small: type");
is($r->header("cache-control"), "no-store", "F188: small: not to be cached");
is_deeply($r->json, { status => "ok", version => "0.1.0" },
          "F188: small: a word");
is(get("/bare?x=1&_=2")->status, 200, "F188: small: others may stand there");

for (["/bare", "full", 403], ["/off", "full", 403], ["/health", "full", 200],
     ["/bare", "x&full", 403], ["/some", "full", 403])
{
    my ($uri, $args, $status) = @$_;

    $r = get("$uri?$args");
    is($r->status, $status, "F188: $uri?$args: $status");
    unlike($r->body, qr/"one"|accounts/, "F188: $uri?$args: nothing told")
        if $status == 403;
}

is(get("/some?full", "x-probe: me")->status, 200, "F188: whom a variable lets");
is(get("/some?full", "x-probe: $_")->status, 403, "F188: a variable: $_")
    for qw/ none zero other /;
is(get("/some", "x-probe: me")->json->{pools}, undef,
   "F188: it must be asked for");

$r = get("/health?full");
is(scalar(@{ $r->json->{pools}[0]{accounts} }), 3, "F188: full: accounts");
is($r->json->{status}, "ok", "F188: full: the same word");

my $api = $nginx->control("GET", "/v1/health");

is($api->status, 200, "F188: by the API");
is_deeply([sort keys %{ $api->json }], [sort keys %{ $r->json }],
          "F188: by the API: the same");
is($nginx->control("GET", "/v1/health?x=1")->status, 400,
   "F188: by the API: an unknown parameter");


# ---- ready, live

is(get("/bare?$_")->status, 200, "F188: ?$_") for qw/ ready live /;

$up->behave("sk-ant-one-secret", "status=401");
$nginx->post("/v1/messages", message());

is(get("/bare")->json->{status}, "degraded", "F188: degraded");
is(get("/bare")->status, 200, "F188: degraded: 200");
is(get("/bare?ready")->status, 200, "F188: degraded: ready");

$up->behave("sk-ant-two-secret", "status=401");
$nginx->post("/v1/messages", message());

$r = get("/bare");
is($r->status, 503, "F188: down: 503");
is_deeply($r->json, { status => "down", version => "0.1.0" },
          "F188: down: a word");
is(get("/bare?ready")->status, 503, "F188: down: not ready");
is(get("/bare?live")->status, 200, "F188: down: alive");
is(get("/health?full")->status, 503, "F188: down: full: 503");
is($nginx->control("GET", "/v1/health")->json->{status}, "down",
   "F188: down: by the API");

unlike($api->body . $r->body . get("/health?full")->body, qr/secret|sk-ant/,
       "F188: no secrets");

for (["claude_relay_health full;", qr/invalid parameter "full"/],
     ["claude_relay_health full=;", qr/invalid parameter "full="/],
     ["claude_relay_health full=yes;", qr/"full=on"/],
     ["claude_relay_health on;", qr/invalid parameter "on"/],
     ["claude_relay_health full=\$nowhere;", qr/unknown "nowhere" variable/])
{
    my ($ok, $said) = config(relay_http(server => "location = /h { $_->[0] }"));

    ok(!$ok, "F188: $_->[0]: no");
    like($said, $_->[1], "F188: $_->[0]: why");
}


# ---- versions (F201)

$r = $nginx->control("GET", "/v1/version");

my $v = $r->json;

is($r->status, 200, "F201: version");
is($v->{version}, "0.1.0", "F201: of the module");
like($v->{nginx}, qr/^1\.\d+\.\d+$/, "F201: of nginx");
like($v->{libraries}{openssl}, qr/^OpenSSL /, "F201: of OpenSSL");
like($v->{libraries}{$_}, qr/^\d+\.\d+/, "F201: of $_")
    for qw/ sqlite zlib cjson /;
like($v->{uptime}, qr/^\d+$/, "F201: uptime");
like($v->{layout}, qr/^\d+$/, "F201: layout of the zone");
like($v->{build}{configure}, qr/--/, "F201: how it was built");
is(ref $v->{build}{debug}, "JSON::PP::Boolean", "F201: debug");
is($v->{update_check}, JSON::PP::false(), "F201: nobody is asked by default");
is($nginx->control("GET", "/v1/version?x=1")->status, 400,
   "F201: an unknown parameter");

$r = $nginx->control("POST", "/v1/version/check");
is($r->status, 409, "F201: there is nobody to be asked");
is($r->json->{error}{type}, "conflict", "F201: type");

$nginx->stop;

my $port = $update->port;

sub with {
    my ($url) = @_;

    return relay(%http, http => "$http{http} claude_relay_update_check $url;");
}

my $first = 1;

for (["/same", "0.1.0", 0], ["/newer", "0.10.0", 1], ["/older", "0.0.9", 0],
     ["/json", "1.0.0", 1, "https://example.com/x"],
     ["/release", "0.1.1", 1, "https://e.com/r"], ["/pre", "0.2.0-rc.1", 1],
     ["/junk"], ["/empty"], ["/array"], ["/long"], ["/two"], ["/moved"])
{
    my ($path, $latest, $newer, $url) = @$_;

    $nginx = with("http://127.0.0.1:$port$path");

    is($nginx->control("GET", "/v1/version")->json->{update_check},
       JSON::PP::true(), "F201: somebody may be asked") if $first;
    $first = 0;

    $r = $nginx->control("POST", "/v1/version/check");

    if (defined $latest) {
        is($r->status, 200, "F201: $path");
        is($r->json->{latest}, $latest, "F201: $path: latest");
        is($r->json->{newer}, $newer ? JSON::PP::true() : JSON::PP::false(),
           "F201: $path: newer: $newer");
        is($r->json->{version}, "0.1.0", "F201: $path: this one");
        is($r->json->{url}, $url, "F201: $path: where");
        like($r->json->{checked_at}, qr/^\d{4}-/, "F201: $path: when");

    } else {
        is($r->status, 502, "F201: $path: 502");
        is($r->json->{error}{type}, "upstream", "F201: $path: type");
    }

    is($nginx->control("POST", "/v1/version/check", { x => 1 })->status, 400,
       "F201: an unknown member") if $path eq "/same";

    $nginx->stop;
}

$nginx = with("http://127.0.0.1:1/x");
is($nginx->control("POST", "/v1/version/check")->status, 502,
   "F201: nobody is there");
$nginx->stop;

for (["off", 1], ["http://127.0.0.1:$port/same", 1], ["ftp://x/y", 0],
     ["x", 0], ["http://u:p\@x/", 0])
{
    my ($url, $good) = @$_;
    my ($ok, $said) = config(relay_http(
        http => "claude_relay_update_check $url;"));

    is($ok, $good, "F201: claude_relay_update_check $url") || diag($said);
}

finish();
