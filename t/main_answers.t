#!/usr/bin/perl

# N01, the way back: status, headers and body of an answer are the upstream's.

use warnings;
use strict;

use Compress::Zlib;
use Test::More;

use ClaudeRelay;


my $up = sandbox();

my %answer;

sub head {
    my ($line, @headers) = @_;
    return join("\r\n", "HTTP/1.1 $line", @headers) . "\r\n\r\n";
}

sub sized {
    my ($line, $body, @headers) = @_;
    return head($line, @headers, "Content-Length: " . length $body) . $body;
}

my $page = "<html>\r\n<h1>502</h1>\n" . "x" x 300 . "</html>\0\xff";
my $wide = '{"type":"error","error":{"type":"x","message":"' . "w" x 50_000
           . '"}}';

%answer = (
    reason => sized("200 All Is Well", "{}"),
    none => head("200", "Content-Length: 2") . "{}",
    accepted => sized("202 Accepted", "{}", "Location: /v1/files/x"),
    "no-content" => head("204 No Content", "X-A: b"),
    "no-content-length" => head("204 No Content", "Content-Length: 0"),
    "not-modified" => head("304 Not Modified", 'ETag: "x"'),
    redirect => sized("302 Found", "", "Location: https://a.example/"),
    empty => sized("200 OK", "", "Content-Type: application/octet-stream"),
    "empty-error" => sized("404 Not Found", ""),
    odd => sized("404 Not Found", "{ \"type\" :\n\"error\" , \"x\":1 }\r\n\n",
                 "Content-Type: application/json; charset=utf-8"),
    "not-json" => sized("400 Bad Request", "oh \xff\x00 no",
                        "Content-Type: text/plain"),
    page => sized("404 Not Found", $page, "Content-Type: text/html"),
    wide => sized("400 Bad Request", $wide, "Content-Type: application/json"),
    teapot => sized("418 I'm a teapot", '{"short":"and stout"}'),
    unassigned => sized("499 Whatever", "x"),
    early => "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 100 "
             . "Continue\r\n\r\n" . sized("200 OK", "after", "X-A: b"),
    headers => sized("200 OK", "{}",
        "X-UPPER-lower: MiXed", "X-Many: 1", "x-many: 2", "X-Empty:",
        "X-Blanks:  a  b  ", "X-Utf8: \xc3\xa4", "X-Long: " . "l" x 3000,
        "X_Under_Score: 1", "Content-Type: application/json; charset=utf-8",
        "Cache-Control: no-cache", "ETag: \"x\"", "Vary: Accept",
        "Last-Modified: Sat, 01 Jan 2022 00:00:00 GMT",
        "Expires: Sat, 01 Jan 2022 00:00:00 GMT", "Age: 5",
        "Content-Disposition: attachment; filename=\"a\"",
        "Content-Language: de", "Accept-Ranges: bytes", "Via: 1.1 theirs",
        "request-id: req_01Abc", "x-request-id: theirs",
        "anthropic-organization-id: org", "x-should-retry: true",
        "retry-after: 7", "anthropic-ratelimit-unified-5h-status: allowed",
        "anthropic-ratelimit-unified-7d_oi-utilization: 0.5",
        "anthropic-ratelimit-requests-remaining: 49",
        "anthropic-new-header: 1", "Server-Timing: x", "CF-RAY: 8-FRA",
        "WWW-Authenticate: Bearer", "Content-Security-Policy: default-src x"),
    hidden => sized("200 OK", "{}", "Server: theirs", "X-Powered-By: them",
        "Set-Cookie: a=b", "Set-Cookie: c=d", "Alt-Svc: h3=\":443\"",
        "Strict-Transport-Security: max-age=1", "X-Accel-Redirect: /health",
        "X-Accel-Buffering: yes", "X-Accel-Limit-Rate: 1",
        "X-Accel-Expires: 1", "X-Accel-Charset: koi8-r",
        "Access-Control-Allow-Origin: *", "Upgrade: h2c", "Trailer: X-T",
        "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic",
        "Connection: keep-alive, x-hop", "X-Hop: 1"),
    close => head("200 OK", "Connection: close",
                  "Content-Type: application/octet-stream") . "until the end",
    old => "HTTP/1.0 200 OK\r\nX-A: b\r\n\r\nof HTTP/1.0",
    chunked => head("200 OK", "Transfer-Encoding: chunked")
               . "5;x=y\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n",
    trailer => head("200 OK", "Transfer-Encoding: chunked", "Trailer: X-T")
               . "5\r\nhello\r\n0\r\nX-T: secret\r\n\r\n",
    "chunked-error" => head("404 Not Found", "Transfer-Encoding: chunked",
                            "Content-Type: application/json")
                       . "3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
);

# an upstream that says exactly what a test wants: its name is in the path

my $canned = canned(sub {
    my ($request) = @_;
    my ($name) = $request =~ m{^\S+ \S*/v1/files/([\w-]+)};

    return $answer{$name};
});

my $nginx = relay(
    http => "claude_relay_rest overloaded=0 server=0 edge=0;",
    accounts => account("one")
                . account("canned", "base_url " . $canned->url . ";"
                                    . " pool canned;"),
    server => <<'END',
        location /canned/ { claude_relay; claude_relay_pool canned; }
        location /wide/ { claude_relay; claude_relay_pool canned;
                          claude_relay_buffer_size 1k; }
END
);

my ($r, $c);

sub canned_answer { $nginx->get("/canned/v1/files/$_[0]") }

sub ask { $nginx->post("/v1/messages", message(text => "sandbox($_[0])")) }

sub streamed { $nginx->post("/v1/messages", stream(text => "sandbox($_[0])")) }


# 1. status lines and bodies

for (["reason", 200, "All Is Well", "{}"],
     ["none", 200, "", "{}"],
     ["accepted", 202, "Accepted", "{}"],
     ["no-content", 204, "No Content", ""],
     ["no-content-length", 204, "No Content", ""],
     ["not-modified", 304, "Not Modified", ""],
     ["redirect", 302, "Found", ""],
     ["empty", 200, "OK", ""],
     ["empty-error", 404, "Not Found", ""],
     ["odd", 404, "Not Found", "{ \"type\" :\n\"error\" , \"x\":1 }\r\n\n"],
     ["not-json", 400, "Bad Request", "oh \xff\x00 no"],
     ["page", 404, "Not Found", $page],
     ["wide", 400, "Bad Request", $wide],
     ["teapot", 418, "I'm a teapot", '{"short":"and stout"}'],
     ["unassigned", 499, "Whatever", "x"],
     ["early", 200, "OK", "after"],
     ["close", 200, "OK", "until the end"],
     ["old", 200, "OK", "of HTTP/1.0"],
     ["chunked", 200, "OK", "hello world"],
     ["trailer", 200, "OK", "hello"],
     ["chunked-error", 404, "Not Found", '{"a":1}'])
{
    my ($name, $status, $reason, $body) = @$_;

    $r = canned_answer($name);

    is($r->status, $status, "N01: $name: status");
    is($r->reason, $reason, "N01: $name: reason");
    ok($r->body eq $body, "N01: $name: body") || diag substr $r->body, 0, 300;
    ok($r->complete, "N01: $name: complete");
    ok(!@{ $r->{interim} }, "N01: $name: no 1xx");
}

is(canned_answer("redirect")->header("location"), "https://a.example/",
   "N01: Location is not rewritten");
is(canned_answer("odd")->header("content-type"),
   "application/json; charset=utf-8", "N01: Content-Type of an error");
is(canned_answer("empty")->header("content-length"), 0, "N01: a length of 0");
is(canned_answer("no-content")->header("content-length"), undef,
   "N01: no length of a 204");
is(canned_answer("wide")->header("content-length"), length $wide,
   "N01: the length of a wide error");
is($nginx->get("/wide/v1/files/wide")->body, $wide,
   "N01: an error of 50 KB in a buffer of 1 KB");
is_deeply([canned_answer("trailer")->trailers], [], "N01: no trailers");
is(canned_answer("trailer")->header("trailer"), undef, "N01: no Trailer");

$c = $nginx->connect;

for my $name (qw/ no-content not-modified empty odd chunked trailer early
                  page old /)
{
    $c->request("GET", "/canned/v1/files/$name");
    is($c->response->status, $answer{$name} =~ m{1\.[01] (?!1)(\d+)} ? $1 : 0,
       "N01: $name on one connection");
}

ok(!$c->eof, "N01: it lives on");

for my $name (qw/ reason odd wide chunked /) {
    $c->request("HEAD", "/canned/v1/files/$name");
    $r = $c->response(head => 1);
    like($answer{$name}, qr/^HTTP\S+ @{[$r->status]}/, "N01: HEAD: $name");
}

is($c->request("GET", "/v1/models")->response->status, 200,
   "N01: HEAD had no bodies");


# 2. headers: what there is, as it is

$r = canned_answer("headers");

my ($head) = $answer{headers} =~ /^(.*?)\r\n\r\n/s;
my @want = (split /\r\n/, $head)[1 .. 32];

for my $header (@want) {
    my ($name, $value) = $header =~ /^([^:]+): *(.*?) *$/;

    my $found = grep { /^\Q$name\E: *(.*?) *$/ && $1 eq $value } $r->headers;
    my $show = substr $header, 0, 40;

    ok($found, "N01: header: $show");
}

my @many = grep { /^x-many/i } $r->headers;
is_deeply(\@many, ["X-Many: 1", "x-many: 2"], "N01: headers of one name");
is_deeply([$r->header("x-request-id")], ["theirs"],
          "F028: an upstream's own goes on, alone") || diag $r->head;
like(($nginx->log(1))[-1]{request_id} // "", qr/^[0-9a-f]{32}$/,
     "F028: ours is in the log all the same");

$r = canned_answer("hidden");

for my $name (qw/ x-powered-by set-cookie alt-svc strict-transport-security
                  x-accel-redirect x-accel-limit-rate x-accel-expires
                  x-accel-charset access-control-allow-origin upgrade trailer
                  keep-alive proxy-authenticate x-hop /)
{
    is_deeply([$r->header($name)], [], "F030: hidden: $name");
}

like($r->header("server"), qr/^nginx/, "F030: Server is this server");
is($r->body, "{}", "F030: X-Accel-Redirect does nothing");
is($r->header("connection"), "keep-alive", "F030: Connection is of this hop");


# 3. what the sandbox says, through the relay and straight

sub straight {
    my ($body) = @_;

    return connect_to($up->port)->request("POST", "/v1/messages", body => $body,
        key => "sk-ant-one-000001", headers => [
            "Accept-Encoding: identity", "anthropic-version: 2023-06-01" ])
        ->response;
}

# ids and times differ by nature

sub plain {
    my ($text) = @_;

    $text =~ s/msg_\w+/msg/g;
    $text =~ s/req_\w+/req/g;
    return $text;
}

sub same_headers {
    my ($r) = @_;

    return [sort map { lc } grep {
        !/^(server|date|connection|transfer-encoding|request-id|x-request-id
            |x-accel-buffering|content-length|x-content-type-options
            |trailer|anthropic-ratelimit-\S+-reset):/xi } $r->headers];
}

for my $do ("", "chunked", "sized", "close", "unicode", "thinking", "crlf",
            "nospace", "comments", "burst", "coalesce", "split=3,events=2",
            "dribble=7,dribble-delay=0,events=2", "ping-first=3",
            "long-line=300000", "events=300", "iterations", "no-usage",
            "trailer", "early-hints", "continue-100", "events=0",
            "stop=max_tokens", "error-at=2")
{
    my $name = $do || "plain";

    for my $body (message(text => "sandbox($do)"),
                  stream(text => "sandbox($do)"))
    {
        my $kind = $body =~ /"stream"/ ? "stream" : "message";

        next if $kind eq "message" && $do =~ /^(ping|error-at)/;

        my $own = straight($body);
        $r = $nginx->post("/v1/messages", $body);

        is($r->status, $own->status, "N01: $name, $kind: status");
        ok(plain($r->body) eq plain($own->body), "N01: $name, $kind: body")
            || diag substr $r->body, 0, 500;
        is_deeply(same_headers($r), same_headers($own),
                  "N01: $name, $kind: headers");
    }
}

for my $status (400, 404, 413, 422) {
    my $body = message(text => "sandbox(status=$status)");
    my $own = straight($body);

    $r = $nginx->post("/v1/messages", $body);
    is($r->status, $status, "F001: $status of the upstream");
    is(plain($r->body), plain($own->body), "F001: $status: body");
    is_deeply(same_headers($r), same_headers($own), "F001: $status: headers");
}


# 4. streams: each event at once (F002)

$r = streamed("events=4");
is($r->header("content-type"), "text/event-stream; charset=utf-8",
   "F002: content-type") if defined $r->header("content-type");
is($r->header("x-accel-buffering"), "no", "F002: X-Accel-Buffering: no");
is($r->header("content-encoding"), undef, "F002: not compressed");

$c = $nginx->connect;
$c->request("POST", "/v1/messages",
            body => stream(text => "sandbox(events=3,delay=150)"));

my $all = $c->read_until(qr/content_block_delta/);
unlike($all, qr/message_stop/, "F002: the first event comes before the last");
my $after = $c->read_until(qr/(content_block_delta.*){4}/s);
unlike($after, qr/message_stop/, "F002: the second, too");
$r = $c->response;
is(($r->events)[-1][0], "message_stop", "F002: and all of them");
cmp_ok(scalar $r->chunks, ">=", 4, "F002: nothing is collected");


# 5. gzip of an upstream that does it unasked: as it is

for my $kind ("message", "stream") {
    $r = $nginx->post("/v1/messages", $kind eq "stream"
        ? stream(text => "sandbox(gzip)") : message(text => "sandbox(gzip)"));

    is($r->header("content-encoding"), "gzip", "N01: gzip, $kind");

    my ($inflate) = inflateInit(-WindowBits => WANT_GZIP);
    my ($text) = $inflate->inflate(my $copy = $r->body);

    like($text, $kind eq "stream" ? qr/message_stop/ : qr/"type":"message"/,
         "N01: gzip, $kind: body");
    is($nginx->log->{output_tokens}, 5, "F167: gzip, $kind: usage is read");
}


# 6. sizes

for my $size (100_000, 5_000_000) {
    $r = ask("json-size=$size");
    is(length $r->body, $size, "N01: an answer of $size bytes");
    is($r->json->{type}, "message", "N01: it is whole");
    is($nginx->log->{input_tokens}, 12, "F167: its usage");
}

$r = streamed("events=20,size=100000");
is(scalar(grep { $_->[0] eq "content_block_delta" } $r->events), 20,
   "N01: a stream of 2 MB");


# 7. connections to the upstream are used again after all of these

$up->reset;
my $before = $up->stats->{used};

ask($_) for "", "chunked", "sized", "status=400", "trailer", "early-hints";
streamed($_) for "", "chunked", "burst", "coalesce";

is($up->stats->{used} - $before, 0, "keepalive: no new connection")
    || diag explain [map { "$_->{connection}:$_->{request}" } $up->last(20)];

ask("close");
ask("");
is($up->last->{request}, 1, "keepalive: a new one after Connection: close");

finish();
