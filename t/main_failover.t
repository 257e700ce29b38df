#!/usr/bin/perl

# Attempts: F145, F146, F158, N04, N07, N09.  Who fails in which way, who is
# asked instead, how often, how long, and what is left for the client.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $dead = port(8);
my $own = port(9);
my (%pool, $locations, $accounts);

$locations = $accounts = "";


# an upstream of our own: what it says is in the path before /v1/

my $big = qq({"type":"error","error":{"type":"api_error","message":")
          . "big " x 5000 . qq("}});

my %says = (
    "empty-stream" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "empty-sized" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Content-Length: 0\r\n\r\n",
    "empty-close" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Connection: close\r\n\r\n",
    "comments-only" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Connection: close\r\n\r\n: nothing\n\n: at all\n\n",
    "pings-only" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Connection: close\r\n\r\n"
        . qq(event: ping\ndata: {"type":"ping"}\n\n) x 3,
    "pings-error" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Connection: close\r\n\r\n"
        . qq(event: ping\ndata: {"type":"ping"}\n\n) x 3
        . qq(event: error\ndata: {"type":"error","error":{"type":)
        . qq("overloaded_error","message":"Overloaded"}}\n\n),
    "half-event" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Connection: close\r\n\r\nevent: message_start\ndata: {\"type\":\"me",
    "bad-chunk" => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "bad-chunk-error" => "HTTP/1.1 500 Oops\r\nContent-Type: application/json"
        . "\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "big-length" => "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        . "Content-Length: 99999999999999999999999\r\n\r\n{}",
    "half-header" => "HTTP/1.1 200 OK\r\nContent-Type: appli",
    "half-status" => "HTTP/1.1 20",
    "no-status" => "\0\0\0\0\0\0\0\0\r\n\r\n",
    "status-999" => "HTTP/1.1 999 Wow\r\nContent-Length: 0\r\n\r\n",
    "switching" => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "http-2" => "\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x80\0\4\0\1\0\0",
    "cut-error" => "HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\n"
        . "Content-Length: 5000\r\n\r\n{\"type\":\"error\",\"error\":{",
    "big-error" => "HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\n"
        . "Content-Length: " . length($big) . "\r\n\r\n$big",
    "big-close" => "HTTP/1.1 500 Oops\r\nContent-Type: application/json\r\n"
        . "Connection: close\r\n\r\n$big",
    "many-headers" => "HTTP/1.1 200 OK\r\n" . "X: y\r\n" x 2000 . "\r\n",
    "long-header" => "HTTP/1.1 200 OK\r\nX: " . "y" x 20000 . "\r\n\r\n",
);

upstream($own, sub {
    my ($s, $request) = @_;

    my ($what) = $request =~ m{^POST /([\w-]+)/v1/};

    syswrite $s, $says{$what};

    # a reset would take away what was said
    sleep 0.05;

    return 0;
});


sub pair {
    my ($name, $bad, %o) = @_;

    $bad = "base_url http://127.0.0.1:$own/$name;" if !defined $bad;

    $accounts .= account("a-$name", "pool $name; priority 200; $bad")
                 . ($o{alone} ? "" : account("b-$name", "pool $name; "
                                             . ($o{second} // "")));
    $locations .= "location /$name/ { claude_relay; claude_relay_pool $name;"
                  . ($o{location} // "") . "}\n";
}


# name, what the sandbox does (or where it is), class of the attempt

my @faults = (
    ["refused", undef, "network", "base_url http://127.0.0.1:$dead;"],
    ["tls", undef, "tls", "base_url https://127.0.0.1:" . $up->port . ";"],
    ["rst", "rst-now", "network"],
    ["close", "close-now", "network"],
    ["garbage", "garbage", "protocol"],
    ["header-forever", "header-forever", "protocol"],
    ["negative-length", "negative-length", "protocol"],
    ["two-lengths", "dup-length", "protocol"],
    ["slow-header", "slow-header", "timeout"],
    ["nothing", "nothing", "timeout"],
    ["slow-first", "first=5000", "timeout"],
    ["close-delimited", "status=500,close", "server"],
    ["chunked-error", "status=529,chunked", "overloaded"],
    ["gzip-error", "status=500,gzip", "server"],
    ["stalled-error", "status=500,stall-at=10", "server"],
    ["reset-error", "status=500,reset-at=10", "server"],
    ["cut-header", "cut-at=0", undef],
    (map { [$_, undef, "network", "-"] }
     qw/ empty-stream empty-sized empty-close comments-only pings-only
         half-event half-header half-status /),
    (map { [$_, undef, "protocol", "-"] }
     qw/ bad-chunk big-length no-status status-999 switching http-2
         many-headers long-header /),
    ["pings-error", undef, "overloaded", "-"],
    ["cut-error", undef, "server", "-"],
    ["bad-chunk-error", undef, undef, "-"],
    ["big-error", undef, "server", "-"],
    ["big-close", undef, "server", "-"],
);

@faults = grep { $_->[0] ne "cut-header" } @faults;

for (@faults) {
    my ($name, undef, undef, $where) = @$_;

    pair($name, defined $where ? ($where eq "-" ? undef : $where) : "",
         location => "claude_relay_first_byte_timeout 300ms;"
                     . "claude_relay_connect_timeout 300ms;");
}

pair("file", "");
pair("stale", "", alone => 1);
pair("early", "", alone => 1);
pair("stalefile", "", alone => 1);

$accounts .= account("t$_", "pool tries; priority " . (200 - $_) . ";")
             . account("u$_", "pool budget; priority " . (200 - $_) . ";")
    for 1 .. 8;

$locations .= <<"END";
location /tries3/ { claude_relay; claude_relay_pool tries; claude_relay_tries 3; }
location /tries1/ { claude_relay; claude_relay_pool tries; claude_relay_tries 1; }
location /budget/ {
    claude_relay; claude_relay_pool budget;
    claude_relay_tries 20 timeout=500ms;
}
END

pair("wait", "", alone => 1, location => "claude_relay_retry_wait 3s;");
pair("wait2", "", alone => 1, location => "claude_relay_retry_wait 3s;");
pair("waitserver", "", alone => 1, location => "claude_relay_retry_wait 3s;");
pair("nowait", "", alone => 1, location => "claude_relay_retry_wait 500ms;");
pair("last", "");
pair("first-told", "", second => "base_url http://127.0.0.1:$dead;");
pair("bigsaved", "base_url http://127.0.0.1:$own/big-error;",
     second => "base_url http://127.0.0.1:$dead;");
pair("bigboth", "base_url http://127.0.0.1:$own/big-error;",
     second => "base_url http://127.0.0.1:$own/big-error;");
pair("bigbothclose", "base_url http://127.0.0.1:$own/big-close;",
     second => "base_url http://127.0.0.1:$own/big-close;");
pair("sooner", "");
pair("own", "", alone => 1);
pair("ownoauth", "platform claude-oauth; access_token sk-ant-oat01-own;",
     alone => 1);
pair("haiku", "models claude-haiku-*;", second => "models claude-haiku-4-5;");
pair("clean", "sanitize_errors on;", alone => 1);
pair("cleansaved", "sanitize_errors on;",
     second => "base_url http://127.0.0.1:$dead;");


my $nginx = nginx(<<"END");
claude_relay_zone relay:4m;
claude_relay_rest server=100ms server_max=100ms
                  overloaded=100ms overloaded_max=100ms;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
$accounts
server {
    listen 127.0.0.1:%%PORT%%;
    claude_relay_sticky off;
    claude_relay_retry_wait 0;
    location = /health { claude_relay_health full=on; }
    $locations
}
END


for (@faults) {
    my ($name, $do, $class) = @$_;

    $up->behave("sk-ant-a-$name-000001", $do) if $do;

    for my $kind ("json", "stream") {

        # an event stream is what these are about

        next if $kind eq "json" && $name =~ /^(empty|comments|pings|half-event)/;

        # the account may rest after the first

        wait_ok("a-$name");

        my $at = time;
        my $r = $nginx->post("/$name/v1/messages",
                             $kind eq "json" ? message() : stream());
        my $took = time - $at;
        my $trail = $nginx->log->{attempts} // "";

        my $want = $class // "(?:server|protocol)";

        ok($r && $r->status == 200 && $r->complete, "$name, $kind: 200");
        like($trail, qr/^a-$name:\d+:$want:\d+,b-$name:200:ok:\d+$/,
             "$name, $kind: the trail");
        cmp_ok($took, "<", 1, "$name, $kind: soon");
        last if $took > 5;
    }

    my $a = of("a-$name");

    ok($a->{errors} >= 1, "$name: counted");
    is($a->{last_error}{class}, $class, "$name: class in health") if $class;
}


# N09: bodies in files

{
    my $body = message(text => "file " x 400000);
    my $sha = sha256($body);

    for my $do ("status=529", "rst-now", "early,status=503") {
        $up->reset;
        $up->behave("sk-ant-a-file-000001", $do);
        wait_ok("a-file", 15);

        my $r = $nginx->post("/file/v1/messages", $body);
        my @asked = $up->since;

        is($r->status, 200, "N09 $do: 2 MB from a file, status");
        ok(@asked >= 2, "N09 $do: two attempts or more");
        is($asked[-1]{body_sha256}, $sha, "N09 $do: byte for byte");
        is($asked[-1]{credential}, "sk-ant-b-file-000001", "N09 $do: by b");
        last if asan();
    }

    # chunked, so nginx does not know the size before

    $up->behave("sk-ant-a-file-000001", "status=503");
    wait_ok("a-file", 15);

    my $chunked = join "", map { sprintf "%x\r\n%s\r\n", length, $_ }
                  $body =~ /(.{1,60000})/gs;
    my $w = exchange(port(), join("\r\n", "POST /file/v1/messages HTTP/1.1",
                     "Host: x", "x-api-key: $ClaudeRelay::KEY",
                     "Transfer-Encoding: chunked", "", "") . $chunked
                     . "0\r\n\r\n");

    is($w->{status}, 200, "N09 a chunked body, status");
    is($up->last->{body_sha256}, $sha, "N09 a chunked body, byte for byte");
}


# a kept connection that is dead is nobody's fault

for (["stale", "stale"], ["early", "early-close"]) {
    my ($name, $do) = @$_;

    $up->behave("sk-ant-a-$name-000001", $do);

    for my $n (1 .. 5) {
        my $r = $nginx->post("/$name/v1/messages", message());

        is($r->status, 200, "$do: request $n");
        like($nginx->log->{attempts}, qr/^a-$name:200:ok:\d+$/,
             "$do: request $n, one attempt");
        sleep 0.01;
    }

    my $a = of("a-$name");

    is($a->{errors}, 0, "$do: not blamed");
    is($a->{state}, "ok", "$do: does not rest");
    is($a->{in_flight}, 0, "$do: no slot kept");
}

{
    my $body = message(text => "file " x 100000);

    $up->behave("sk-ant-a-stalefile-000001", "stale");

    for my $n (1 .. 3) {
        my $r = $nginx->post("/stalefile/v1/messages", $body);

        is($r->status, 200, "stale with a body in a file: request $n");
        is($up->last->{body_sha256}, sha256($body),
           "stale with a body in a file: request $n, byte for byte");
    }
}


# tries and their time

$up->behave("sk-ant-t$_-000001", "status=403,extra-header=X-Who:t$_")
    for 1 .. 8;

{
    my $r = $nginx->post("/tries1/v1/messages", message());

    is($r->status, 403, "F145 one try: status");
    is($nginx->log->{attempts} =~ tr/,//, 0, "F145 one try: one attempt");

    $r = $nginx->post("/tries3/v1/messages", message());

    is($r->status, 403, "F145 three tries: status");
    is($r->header("x-who"), "t4", "F145 three tries: the last one's answer");
    like($nginx->log->{attempts},
         qr/^t2:403:forbidden:\d+,t3:403:forbidden:\d+,t4:403:forbidden:\d+$/,
         "N07 three tries: the trail in order of priority");

    $up->behave("sk-ant-u$_-000001", "first=200,status=403") for 1 .. 8;

    my $at = time;
    $r = $nginx->post("/budget/v1/messages", message());
    my $took = time - $at;

    is($r->status, 403, "time budget: status");
    my $n = 1 + ($nginx->log->{attempts} =~ tr/,//);
    ok($n >= 2 && $n <= 3, "time budget: $n attempts");
    cmp_ok($took, "<", 1, "time budget: over soon");
}


# retry_wait: the same account again if it is back soon enough

{
    $up->behave("sk-ant-a-wait-000001",
                "status=429,nowindow,retry-after=1,times=1");

    my $at = time;
    my $r = $nginx->post("/wait/v1/messages", message());
    my $took = time - $at;

    is($r->status, 200, "F152 retry-after within retry_wait: status");
    like($nginx->log->{attempts},
         qr/^a-wait:429:throttled:\d+,a-wait:200:ok:\d+$/,
         "F152 the same account again");
    cmp_ok($took, ">=", 0.95, "F152 not before its time");
    cmp_ok($took, "<", 1.6, "F152 and soon after it");

    # others that come and go meanwhile wake nobody too soon

    $up->behave("sk-ant-a-wait2-000001",
                "status=429,nowindow,retry-after=2,times=1");

    my $w = wire(port(), ask(path => "/wait2/v1/messages"));

    pause(0.1);

    for (1 .. 10) {
        exchange(port(), path => "/waitserver/v1/messages");
        pause(0.05);
    }

    ok(!$w->{done}, "F152 others come and go: it waits");
    pump(sub { $w->{done} }, 4);
    is($w->{status}, 200, "F152 others come and go: and is served");

    $up->behave("sk-ant-a-waitserver-000001", "status=503,times=1");

    $r = $nginx->post("/waitserver/v1/messages", message());

    is($r->status, 200, "503 within retry_wait: status");
    like($nginx->log->{attempts},
         qr/^a-waitserver:503:server:\d+,a-waitserver:200:ok:\d+$/,
         "503 within retry_wait: the same account again");

    $up->behave("sk-ant-a-nowait-000001",
                "status=429,nowindow,retry-after=2,times=1");

    $at = time;
    $r = $nginx->post("/nowait/v1/messages", message());

    is($r->status, 429, "retry-after over retry_wait: passed on");
    is($r->header("retry-after"), 2, "with its retry-after");
    cmp_ok(time - $at, "<", 0.5, "at once");
}


# nobody is left: the last answer of an upstream, unchanged

for (["status=529,retry-after=1,should-retry=true,extra-header=X-Odd:a%20%20b", ""],
     ["status=500,close", ""], ["status=503,chunked", ""],
     ["status=502,html", ""], ["status=529,gzip", ""])
{
    my ($do) = @$_;

    $up->behave("sk-ant-$_-last-000001", $do) for "a", "b";
    wait_ok("a-last", 25);
    wait_ok("b-last", 25);
    $up->since;

    my $r = $nginx->post("/last/v1/messages", message());
    my @asked = $up->since;
    my $direct = connect_to($up->port)->request("POST", "/v1/messages",
        body => message(), key => "sk-ant-b-last-000001")->response;

    is(scalar @asked, 2, "last error, $do: both were asked");
    is($r->status, $direct->status, "last error, $do: status");

    my $id = sprintf "req_011CSbx%013x", $asked[1]{id};

    is($r->header("request-id"), $id, "last error, $do: it is the last one");
    is_deeply([lines($r)], [lines($direct)],
              "last error, $do: headers in order, byte for byte");

    if ($do !~ /gzip/) {
        my $body = $direct->body;
        my $other = $direct->header("request-id");

        $body =~ s/\Q$other\E/$id/;
        is($r->body, $body, "last error, $do: body byte for byte");

    } else {
        is(length $r->body, $r->header("content-length") // length $r->body,
           "last error, $do: whole");
        is($r->header("content-encoding"), "gzip", "last error, $do: as sent");
    }
}

{
    $up->behave("sk-ant-a-first-told-000001",
                "status=529,extra-header=X-Who:a,retry-after=9");

    my $r = $nginx->post("/first-told/v1/messages", message());

    is($r->status, 529, "an answer is better than none: status");
    is($r->header("x-who"), "a", "an answer is better than none: headers");
    is($r->type, "overloaded_error", "an answer is better than none: body");
    like($nginx->log->{attempts}, qr/^a-first-told:529:overloaded:\d+,
         b-first-told:0:network:\d+/x, "an answer is better than none: trail");

    # errors larger than the buffer

    $r = $nginx->post("/bigboth/v1/messages", message());
    is($r->body, $big, "an error of 20 KB, unchanged");

    $r = $nginx->post("/bigbothclose/v1/messages", message());
    is($r->body, $big, "an error of 20 KB until close, unchanged");

    $r = $nginx->post("/bigsaved/v1/messages", message());
    ok($r->status >= 500 && (!$r->complete || eval { $r->json }),
       "an error of 20 KB, then nobody: no half of it as if it was all")
        or diag($r->status . " " . length $r->body);
}

{
    # a limit of hours here, of seconds there

    $up->behave("sk-ant-a-sooner-000001", "status=429,nowindow,retry-after=50");
    $up->behave("sk-ant-b-sooner-000001",
                "status=429,nowindow,retry-after=3600");

    my $r = $nginx->post("/sooner/v1/messages", message());

    is($r->status, 429, "another account is back sooner: status");
    ok($r->header("retry-after") >= 48 && $r->header("retry-after") <= 56,
       "another account is back sooner: retry-after "
       . $r->header("retry-after"));
}


# nobody can be asked: an answer of our own

for (["status=429,nowindow,retry-after=40", 429, "rate_limit_error", 38, 45],
     ["unified=5h:50", 429, "rate_limit_error", 48, 83, "ownoauth"])
{
    my ($do, $status, $type, $least, $most, $name) = @$_;

    $name //= "own";

    my $key = $name eq "own" ? "sk-ant-a-own-000001" : "sk-ant-oat01-own";

    $up->behave($key, $do);
    $nginx->post("/$name/v1/messages", message());
    $up->since;

    my $r = $nginx->post("/$name/v1/messages", message());
    my $after = $r->header("retry-after") // -1;

    is(scalar(my @none = $up->since), 0, "own answer, $do: nobody is asked");
    is_error($r, $status, $type, "own answer, $do");
    ok($after >= $least && $after <= $most,
       "own answer, $do: retry-after $after");
}

{
    my $r = $nginx->post("/haiku/v1/messages", message());

    is_error($r, 404, "not_found_error", "a model that nobody serves",
             qr/^model: claude-sonnet-4-6$/);

    $r = $nginx->post("/haiku/v1/messages", message(model => "claude-haiku-4-5"));
    is($r->status, 200, "a model that somebody serves");

    $up->behave("sk-ant-a-haiku-000001", "status=403");
    $r = $nginx->post("/haiku/v1/messages", message(model => "claude-haiku-9"));
    is($r->status, 403, "F144 no failover to an account without the model");
}


# F163: another relay's words

{
    my $key = "sk-ant-a-clean-000001";

    $up->behave($key, "status=400,message=secret%20vendor");
    my $r = $nginx->post("/clean/v1/messages", message());
    is_error($r, 400, "invalid_request_error", "F163 400: a text of our own");
    unlike($r->body, qr/vendor/, "F163 400: not theirs");

    $up->behave($key, "status=400,message=secret%20vendor,close");
    $r = $nginx->post("/clean/v1/messages", message());
    unlike($r->body, qr/vendor/, "F163 400 until close: not theirs");
    is($r->status, 400, "F163 400 until close: status");

    $up->behave($key, "status=400,message=prompt%20is%20too%20long:%201%20%3E%200");
    $r = $nginx->post("/clean/v1/messages", message());
    like($r->body, qr/prompt is too long/, "F163 texts that clients need stay");

    $up->behave($key, "status=500,message=secret%20vendor,close");
    $r = $nginx->post("/clean/v1/messages", message());
    unlike($r->body, qr/vendor/, "F163 500 until close: not theirs");
    is($r->status, 500, "F163 500 until close: status");

    $up->behave("sk-ant-a-cleansaved-000001",
                "status=500,message=secret%20vendor");
    $r = $nginx->post("/cleansaved/v1/messages", message());
    unlike($r->body, qr/vendor/, "F163 an answer kept for the end: not theirs");

    wait_ok("a-clean", 3);
    $up->behave($key, "error-first=api_error,message=secret%20vendor");
    $r = $nginx->post("/clean/v1/messages", stream());
    ok(!$r || $r->body !~ /vendor/, "F163 error as first event: not theirs");
}


# one probe ends a rest, and the rests are the operator's

$nginx->stop;
$nginx = nginx(<<"END", workers => 2);
claude_relay_zone relay:1m;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
claude_relay_rest unauthorized=11 forbidden=13 edge=17 disabled=19 billing=23
                  limited=29 throttled=31 overloaded=300ms overloaded_max=1200ms
                  server=0;
@{[ account("p", "pool probe; priority 200;") ]}
@{[ account("q", "pool probe;") ]}
@{[ account("alone", "pool alone;") ]}
@{[ join "", map { account("r$_", "pool r$_;") } 1 .. 8 ]}
@{[ account("z", "pool zero; priority 200;") . account("zz", "pool zero;") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    claude_relay_sticky off;
    claude_relay_retry_wait 0;
    location = /health { claude_relay_health full=on; }
    location /probe/ { claude_relay; claude_relay_pool probe; }
    location /alone/ { claude_relay; claude_relay_pool alone; }
    location /zero/ { claude_relay; claude_relay_pool zero; }
    @{[ join "", map { "location /r$_/ { claude_relay; claude_relay_pool r$_; }" }
        1 .. 8 ]}
}
END


my $port = port();

for my $round (1 .. 3) {

    # a rest is over, and many come at once

    $up->behave("sk-ant-p-000001", "status=529");

    my $r = $nginx->post("/probe/v1/messages", message());

    like($nginx->log->{attempts}, qr/^p:529:overloaded:\d+,q:200:ok:\d+$/,
         "F160 round $round: p fails, q serves");
    is(of("p")->{state}, "resting", "F160 round $round: p rests");

    $up->behave("sk-ant-p-000001", "first=400");
    wait_ok("p", 3);
    $up->since;

    my @w = map { wire($port, ask(path => "/probe/v1/messages")) } 1 .. 12;

    pause(0.25);

    my @asked = grep { $_->{credential} eq "sk-ant-p-000001" } $up->since;

    is(scalar @asked, 1, "F160 round $round: one of 12 probes p");

    pump(sub { !grep { !$_->{done} } @w }, 5);
    is(scalar(grep { $_->{status} == 200 } @w), 12,
       "F160 round $round: all are served");
    $_->close for @w;

    $up->since;
    @w = map { wire($port, ask(path => "/probe/v1/messages")) } 1 .. 3;
    pump(sub { !grep { !$_->{done} } @w }, 5);

    @asked = grep { $_->{credential} eq "sk-ant-p-000001" } $up->since;

    is(scalar @asked, 3, "F160 round $round: then p has all again");
    ok(until_true(sub { of("p")->{in_flight} == 0 }, 1),
       "F160 round $round: no slot kept");
}

{
    # a probe that fails doubles the rest, and lets go

    $up->behave("sk-ant-p-000001", "status=529");
    $nginx->post("/probe/v1/messages", message());

    my @rests;

    for (1 .. 4) {
        my $at = time;
        wait_ok("p", 5);
        push @rests, time - $at;
        $nginx->post("/probe/v1/messages", message());
        like($nginx->log->{attempts}, qr/^p:529/, "a probe that fails $_");
    }

    ok($rests[0] < 0.6 && $rests[1] > 0.4 && $rests[2] > 0.9
       && $rests[3] < 1.6,
       "back-off doubles up to its ceiling: "
       . join ", ", map { sprintf "%.2f", $_ } @rests);
}

{
    # a probe whose client leaves lets another one probe

    $up->behave("sk-ant-alone-000001", "status=529");
    $nginx->post("/alone/v1/messages", message());
    $up->behave("sk-ant-alone-000001", "first=3000,times=1");
    wait_ok("alone", 3);

    my $w = wire($port, ask(path => "/alone/v1/messages"));
    pause(0.1);

    my @rest = map { wire($port, ask(path => "/alone/v1/messages")) } 1 .. 4;
    pause(0.2);
    is(scalar(grep { $_->{done} } @rest), 0, "others wait for the probe");

    $w->close;
    ok(pump(sub { !grep { !$_->{done} } @rest }, 1),
       "the client of a probe leaves: the others go on");
    is(scalar(grep { ($_->{status} // 0) == 200 } @rest), 4, "and are served");
    ok(until_true(sub { of("alone")->{in_flight} == 0 }, 1), "no slot kept");
    is($nginx->health->{waiting}, 0, "nobody waits");
}


# an answer of our own while the platform is overloaded

$up->behave("sk-ant-alone-000001", "status=529");
wait_ok("alone", 3);
$nginx->post("/alone/v1/messages", message());

{
    $up->since;
    my $r = $nginx->post("/alone/v1/messages", message());

    is(scalar(my @none = $up->since), 0, "own answer, 529: nobody is asked");
    is_error($r, 529, "overloaded_error", "own answer, 529");
    is($r->header("retry-after"), 1, "own answer, 529: retry-after");
}

$up->behave("sk-ant-r8-000001", "status=401");
$nginx->post("/r8/v1/messages", message());

{
    my $r = $nginx->post("/r8/v1/messages", message());

    is_error($r, 503, "api_error", "own answer, 503");
    ok($r->header("retry-after") >= 10 && $r->header("retry-after") <= 13,
       "own answer, 503: retry-after");
}


# F157: claude_relay_rest

my @classes = (
    ["unauthorized", "status=401", 11], ["forbidden", "status=403", 13],
    ["edge", "status=403,html", 17],
    ["disabled", "status=400,message=organization%20has%20been%20disabled", 19],
    ["billing", "status=402", 23],
    ["limited", "status=429,nowindow,retry-after=none,extra-header="
     . "anthropic-ratelimit-unified-5h-status:rejected,"
     . "extra-header=anthropic-ratelimit-unified-status:rejected", 29],
    ["throttled", "status=429,nowindow", 31],
);

for my $n (1 .. @classes) {
    my ($class, $do, $seconds) = @{ $classes[$n - 1] };

    $up->behave("sk-ant-r$n-000001", $do);
    $nginx->post("/r$n/v1/messages", message());

    my $rest = seconds(of("r$n")->{until}) - time;

    ok($rest > $seconds - 1 && $rest < $seconds * 1.1 + 1,
       "F157 claude_relay_rest $class: $rest");
}

$up->behave("sk-ant-z-000001", "status=500");

my $r = $nginx->post("/zero/v1/messages", message());

is($r->status, 200, "F157 server=0: the other one is asked");
is(of("z")->{state}, "ok", "F157 server=0: no rest");


finish();


sub of {
    my ($name) = @_;

    my ($a) = grep { $_->{name} eq $name }
              map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    return $a;
}


sub wait_ok {
    my ($name, $seconds) = @_;

    return until_true(sub { of($name)->{state} eq "ok" }, $seconds // 5);
}


sub seconds {
    my ($text) = @_;

    require Time::Local;

    my @t = ($text // "") =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(\.\d+)?Z$/
        or return 0;

    return Time::Local::timegm(@t[5, 4, 3, 2], $t[1] - 1, $t[0]) + ($t[6] // 0);
}


# header lines but for those of the hop and of this one request

sub lines {
    my ($r) = @_;

    return map { s/\s+$//r =~ s/:\s*/: /r }
           grep { !/^(date|server|connection|keep-alive|content-length
                     |transfer-encoding|request-id|x-request-id
                     |content-type):/ix }
           @{ $r->{headers} };
}
