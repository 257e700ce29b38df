#!/usr/bin/perl

# What the official Claude Code gateway guide asks of a gateway, line by line
# (N14), what Claude Code calls on its base URL, the retry contract of the
# official SDK, and what real clients were seen to need.  The sandbox tells
# what has arrived, an upstream of exact bytes serves what is compared.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw/ time sleep /;

use ClaudeRelay;
use ClaudeRelayWire ();


my $OAUTH = "sk-ant-oat01-contract";

my $up = sandbox();

my $nginx = relay(
    accounts => account("one") . account("two", "priority 50;")
                . account("alone", "pool alone;")
                . join("", map { account($_, "platform claude-oauth; pool $_;"
                                             . " access_token $OAUTH-$_;") }
                           qw/ oauth w0 w1 w2 w3 w4 w5 w6 w7 /)
                . join("", map { account($_, "pool $_; base_url"
                                             . " http://127.0.0.1:%%PORT2%%;") }
                           qw/ exact wait-error wait-page /)
                . account("void", "pool void; models claude-none-*;"),
    http => <<'END',
        claude_relay_rest unauthorized=0 forbidden=0 edge=0 disabled=0
                          billing=0 limited=0 throttled=0 overloaded=0
                          overloaded_max=0 server=0 server_max=0;
        claude_relay_retry_wait 0;
END
    server => <<'END',
        large_client_header_buffers 4 16k;
        location /alone/ { claude_relay; claude_relay_pool alone;
                           claude_relay_tries 1; }
        location /oauth/ { claude_relay; claude_relay_pool oauth; }
        location /exact/ { claude_relay; claude_relay_pool exact;
                           claude_relay_tries 1; }
        location /wait-error/ { claude_relay; claude_relay_pool wait-error; }
        location /wait-page/ { claude_relay; claude_relay_pool wait-page; }
        location /w0/ { claude_relay; claude_relay_pool w0; }
        location /w1/ { claude_relay; claude_relay_pool w1; }
        location /w2/ { claude_relay; claude_relay_pool w2; }
        location /w3/ { claude_relay; claude_relay_pool w3; }
        location /w4/ { claude_relay; claude_relay_pool w4; }
        location /w5/ { claude_relay; claude_relay_pool w5; }
        location /w6/ { claude_relay; claude_relay_pool w6; }
        location /w7/ { claude_relay; claude_relay_pool w7; }
        location /void/  { claude_relay; claude_relay_pool void; }
        location /beat/  { claude_relay; claude_relay_pool alone;
                           claude_relay_heartbeat 200ms; }
END
);

my $exact = exact(port(2));
my $windows = 0;
my $r;


# the sandbox's own answer and the relay's to the same request; what differs
# from request to request is made equal

sub both {
    my ($body, %o) = @_;

    my @headers = ("Content-Type: application/json",
                   "anthropic-version: 2023-06-01",
                   defined $o{do} ? "x-sandbox: $o{do}" : (),
                   @{ $o{headers} // [] });
    my $path = $o{path} // "/v1/messages?beta=true";
    my $to = connect_to($up->port);

    my $direct = $to->request("POST", $path, body => $body,
                              key => undef, headers => [
                                  @headers, $o{as} // "x-api-key: sk-ant-d" ])
                    ->response;
    $to->close;

    my $relayed = $nginx->post(($o{at} // "/alone") . $path, $body, @headers);

    for ($direct, $relayed) {
        $_->{body} =~ s/(msg_01Sandbox|toolu_01Sandbox|req_011CSbx)\w+/$1/g;
    }

    return ($direct, $relayed);
}


sub target { $up->last->{target} }

sub names { map { /^([^:]+):/ ? lc $1 : () } @_ }


# an upstream which answers with the bytes that the request's path names

my %EXACT;

sub exact {
    my ($port) = @_;

    # odd on purpose: nothing of this survives being read and written anew

    $EXACT{json} = <<'END';
{ "id" : "msg_\u00e9" ,  "type":"message","role":"assistant",
  "model":"claude-fable-5-1","content":[
    {"type":"thinking","thinking":"","signature":"c2ln\/+=="},
    {"type":"text","text":"\ud83d\ude00 caf\u00e9 \/ 1.0e+2"}],
  "input_transformations":[{"type":"thinking_block_dropped",
    "reason":"model_binding_mismatch","message_index":1,"block_index":0}],
  "stop_reason":"end_turn","stop_sequence":null,
  "usage":{"output_tokens":7,"input_tokens":3,"not_yet_known":{"a":[1.50]}}}

END

    $EXACT{sse} = join "", map { "$_\n" } (
        ": a comment", "",
        "event: ping", 'data: {"type": "ping"}', "",
        "id: 17", "retry: 3000", "event: message_start",
        'data: {"type":"message_start","message":{"id":"msg_x","usage":'
        . '{"input_tokens":3,"output_tokens":1},"input_transformations":[]}}',
        "",
        "event: content_block_start",
        'data: {"type":"content_block_start","index":0,"content_block":'
        . '{"type":"text","text":""}}', "",
        "event: not_yet_known_event", 'data: {"type":"not_yet_known_event"}',
        "",
        "data:{\"type\":\"content_block_delta\",\"index\":0,\"delta\":",
        "data: {\"type\":\"text_delta\",\"text\":\"caf\xc3\xa9 \xe2\x80\xa8\"}}",
        "",
        "event: ping", 'data: {"type": "ping"}', "",
        "event: content_block_delta",
        'data: {"type":"content_block_delta","index":0,"delta":'
        . '{"type":"not_yet_known_delta","x":"\ud83d\ude00"}}', "",
        "event: content_block_stop",
        'data: {"type":"content_block_stop","index":0}', "",
        "event: message_delta",
        'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
        . '"usage":{"output_tokens":9}}', "",
        "event: message_stop", 'data: {"type":"message_stop"}', "");

    $EXACT{error} = qq({"type" : "error" , "error":{"type":"not_yet_known",)
                    . qq("message":"\\u0041 \\/ caf\xc3\xa9","details":)
                    . qq({"error_code":"x"}},"request_id":"req_x"}\r\n);

    $EXACT{page} = "<html>\r\n<body>  a page\x00 of the edge \xff</body>";

    return ClaudeRelayWire::upstream($port, sub {
        my ($s, $request) = @_;

        my ($what) = $request =~ /\bexact=(\w+)/;
        my ($status) = $request =~ /\bstatus=(\d+)/;
        my ($extra) = $request =~ /^x-exact: (.*)\r$/m;
        my $type = $what eq "sse" ? "text/event-stream; charset=utf-8"
                   : $what eq "page" ? "text/html; charset=ISO-8859-1"
                   : "application/json;  charset=utf-8";

        $extra = defined $extra
                 ? join "", map { "$_\r\n" } split /\s*\|\s*/, $extra : "";

        my $head = "HTTP/1.1 " . ($status // 200) . " Whatever\r\n"
                   . "Content-Type: $type\r\n$extra";
        my $data = $EXACT{$what};

        if ($what ne "sse") {
            print $s $head . "Content-Length: " . length($data) . "\r\n\r\n"
                     . $data;
            return 1;
        }

        # in pieces of 7 bytes, so that no event comes as a whole

        print $s $head . "Transfer-Encoding: chunked\r\n\r\n";

        while ($data =~ /(.{1,7})/gs) {
            print $s sprintf("%x\r\n", length $1), $1, "\r\n";
        }

        print $s "0\r\n\r\n";
        return 1;
    });
}


# ---- B.3, first: serve messages, with or without beta=true

for my $query ("?beta=true", "") {
    my $with = $query ? "with beta=true" : "without a query";

    $r = $nginx->post("/v1/messages$query", message());
    is($r->status, 200, "B.3 serve messages $with");
    is($r->json->{type}, "message", "B.3 messages $with: a message");
    is(target(), "/v1/messages$query", "B.3 messages $with: same target");

    $r = $nginx->post("/v1/messages$query", stream());
    like($r->header("content-type"), qr{^text/event-stream},
         "B.3 messages $with: a stream");
    is(target(), "/v1/messages$query", "B.3 stream $with: same target");

    $r = $nginx->post("/v1/messages/count_tokens$query", message());
    is_deeply([keys %{ $r->json }], ["input_tokens"],
              "B.3 count_tokens $with: served, though optional");
    is(target(), "/v1/messages/count_tokens$query",
       "B.3 count_tokens $with: same target");
}


# ---- B.3: anthropic-beta and anthropic-version unchanged, no allow-list

my $betas = "claude-code-20250219,interleaved-thinking-2025-05-14,"
            . "context-management-2025-06-27,not-yet-known-2031-12-31,"
            . "UPPER_case-x";

for ([$betas, "many names, some not yet known"],
     ["b-2025-01-01,a-2025-01-01,b-2025-01-01", "order and repetitions"],
     ["a-1 ,  b-2", "spaces"],
     ["x" x 3000, "3000 bytes"])
{
    $nginx->post("/v1/messages", message(), "anthropic-beta: $_->[0]");
    is_deeply([$up->header("anthropic-beta")], [$_->[0]],
              "B.3 anthropic-beta unchanged: $_->[1]");
}

$nginx->post("/v1/messages", message(), "anthropic-beta: a-1",
             "x-between: 1", "Anthropic-Beta: b-2");
is_deeply([grep { /^anthropic-beta|x-between/i } @{ $up->last->{headers} }],
          ["anthropic-beta: a-1", "x-between: 1", "Anthropic-Beta: b-2"],
          "B.3 anthropic-beta unchanged: two lines");

$nginx->post("/v1/messages", message());
is_deeply([$up->header("anthropic-beta")], [],
          "B.3 anthropic-beta unchanged: none is added for a key");

for my $version ("2023-06-01", "2026-10-21", "2031-01-01") {
    $nginx->post("/v1/messages", message(), "anthropic-version: $version");
    is_deeply([$up->header("anthropic-version")], [$version],
              "B.3 anthropic-version unchanged: $version");
}

for ([$betas, "claude-code-20250219,oauth-2025-04-20,"
              . "interleaved-thinking-2025-05-14,"
              . "context-management-2025-06-27,not-yet-known-2031-12-31,"
              . "UPPER_case-x", "added behind Claude Code's"],
     ["a-1,b-2", "oauth-2025-04-20,a-1,b-2", "added in front"],
     ["a-1,oauth-2025-04-20", "a-1,oauth-2025-04-20", "it is there"])
{
    $r = $nginx->post("/oauth/v1/messages", message(),
                      "anthropic-beta: $_->[0]");
    is($r->status, 200, "B.3 oauth beta: accepted, $_->[2]");
    is($up->header("anthropic-beta"), $_->[1],
       "B.3 oauth beta: the only name gained, $_->[2]");
}


# ---- B.3: unknown headers and body fields go on, x-claude-code-* too

my @headers = (
    "Accept: application/json",
    "User-Agent: claude-cli/2.1.329 (external, sdk-cli)",
    "X-Claude-Code-Session-Id: 00000000-0000-4000-8000-000000000001",
    "X-Claude-Code-Agent-Id: a-1",
    "X-Claude-Code-Parent-Agent-Id: a-0",
    "x-claude-code-request-class: main",
    "x-claude-code-agent-type: general",
    "x-claude-code-compaction: auto",
    "x-claude-code-context-compacted: 1",
    "x-claude-code-prev-tool-durations: " . ("Read%20x=12;" x 300),
    "x-claude-code-prompt-id: p-1",
    "x-client-request-id: 00000000-0000-4000-8000-000000000002",
    "X-Stainless-Arch: x64",
    "X-Stainless-Lang: js",
    "X-Stainless-Retry-Count: 0",
    "X-Stainless-Timeout: 600",
    "anthropic-beta: claude-code-20250219",
    "anthropic-dangerous-direct-browser-access: true",
    "anthropic-version: 2023-06-01",
    "anthropic-user-profile-id: up_1",
    "anthropic-workspace-id: ws_1",
    "x-app: cli",
    "X-Not-Yet-Known: a, b; c=\"d\"",
    "x_with_underscore: 1",
    "x-empty:",
);

$nginx->post("/v1/messages?beta=true", message(), @headers);

# a line without a value has a space behind its colon, maybe

my @have = map { s/:\s*$/:/r } @{ $up->last->{headers} };

is_deeply([grep { my $h = $_; grep { $_ eq $h } @headers } @have], \@headers,
          "B.3 unknown and x-claude-code-* headers: all, as sent, in order");

my %sent = map { lc, 1 } names(@headers),
               qw/ host content-type content-length x-api-key accept-encoding /;

is_deeply([grep { !$sent{$_} } names(@have)], [],
          "B.3 headers: nothing but the credential is added");
is_deeply([$up->header("x-api-key")], ["sk-ant-one-000001"],
          "B.3 headers: the credential is the account's, once");
ok(!grep({ /\Q$ClaudeRelay::KEY\E/ } @have), "B.3 headers: not the client's");

# bodies of all kinds, by their hash

my $billing = "x-anthropic-billing-header: cc_version=2.1.329.bf3; "
              . "cc_entrypoint=sdk-cli;";

my %bodies = (
    "unknown fields" => message(not_yet_known => { a => [1, 2.50] },
                                safeguards => { x => undef }),
    "attribution block first" => message(system => [
        { type => "text", text => $billing },
        { type => "text", text => "You are a Claude agent.",
          cache_control => { type => "ephemeral", ttl => "1h" } } ]),
    "attribution block alone" => message(system => [
        { type => "text", text => $billing } ]),
    "no attribution block" => message(system => [
        { type => "text", text => "be brief" } ]),
    "system is a string" => message(system => $billing),
    "role system inside messages" => message(messages => [
        { role => "user", content => "hi" },
        { role => "system", content => "environment" } ]),
    "five cache_control" => message(system => [
        map { { type => "text", text => "t$_",
                cache_control => { type => "ephemeral" } } } 1 .. 5 ]),
    "thinking.block_binding" => message(thinking => {
        type => "adaptive", display => "omitted",
        block_binding => { prefix_mismatch_behavior => "drop_block" } }),
    "thinking blocks with signatures" => message(messages => [
        { role => "user", content => "hi" },
        { role => "assistant", content => [
            { type => "thinking", thinking => "hm", signature => "c2ln+/==" },
            { type => "redacted_thinking", data => "eHg=" },
            { type => "text", text => "yes" } ] },
        { role => "user", content => "go on" } ]),
    "tool_choice none, tools kept" => message(
        tools => [ { name => "t", input_schema => { type => "object" } } ],
        tool_choice => { type => "none" }),
    "deferred tools" => message(tools => [
        { name => "DeferredToolPlaceholder",
          defer_loading => JSON::PP::true } ]),
    "temperature and top_p" => message(temperature => 0.5, top_p => 0.9),
    "max_tokens over any limit" => message(max_tokens => 999999999),
    "metadata.user_id, 2000 bytes" => message(metadata => {
        user_id => "user_" . "a" x 2000 }),
    "orphan tool_result" => message(messages => [
        { role => "user", content => [ { type => "tool_result",
          tool_use_id => "toolu_none", content => "x" } ] } ]),
    "odd spelling" => qq(\r\n{ "model" :"claude-sonnet-4-6" ,"max_tokens":100,)
        . qq(\t"b":1.0,"a":1.10E+05,"messages":[{"content":"\\u00e9\\/ \xc3\xa9)
        . qq( \xe2\x80\xa8 \\ud83d\\ude00","role":"user"} ] , "x":{ } }\n\n),
    "an image of 300 KB" => message(messages => [
        { role => "user", content => [
            { type => "image", source => { type => "base64",
              media_type => "image/png", data => "iVBORw0K" x 38400 } },
            { type => "text", text => "what is it?" } ] } ]),
);

for my $name (sort keys %bodies) {
    for (["", "key"], ["/oauth", "oauth"]) {
        my ($at, $kind) = @$_;

        $r = $nginx->post("$at/v1/messages?beta=true", $bodies{$name});
        is($r->status, 200, "B.3 body served: $name, $kind");
        is($up->last->{body_sha256}, sha256($bodies{$name}),
           "B.3 body unchanged: $name, $kind (N01)");
    }

    $nginx->post("/v1/messages/count_tokens", $bodies{$name});
    is($up->last->{body_sha256}, sha256($bodies{$name}),
       "B.3 body of a count unchanged: $name");
}


# ---- B.3: streams are not buffered; each event once, in order; pings

for my $do ("events=7", "ping-first=3", "thinking", "unicode,split=5",
            "comments", "crlf", "nospace", "iterations", "burst", "coalesce",
            "events=300,size=2000", "long-line=200000", "model=claude-x,stop=x")
{
    my ($direct, $relayed) = both(stream(), do => $do);

    is($relayed->body, $direct->body, "B.3 stream byte for byte: $do (N01)");
}

$r = $nginx->post("/exact/v1/messages?exact=sse", stream());
is($r->body, $EXACT{sse},
   "B.3 stream of the oddest spelling byte for byte (N01)");
is($r->header("content-type"), "text/event-stream; charset=utf-8",
   "B.3 stream: content-type as it was");
is($r->header("x-accel-buffering"), "no",
   "B.3 stream: whatever is in front shall not buffer, too");
ok(!defined $r->header("content-encoding"), "B.3 stream: no gzip");
is(scalar(grep { ($_->[0] // "") eq "ping" } $r->events), 2,
   "B.3 stream: pings are forwarded");

# an event that is written now is read now

my $w = ClaudeRelayWire::wire($nginx->port, ClaudeRelayWire::ask(
    path => "/alone/v1/messages", key => $ClaudeRelay::KEY, stream => 1,
    do => "events=8,delay=100"));

ClaudeRelayWire::pump(sub { $w->{done} }, 10);

my @deltas = $w->deltas;
my @gaps = map { $deltas[$_][0] - $deltas[$_ - 1][0] } 1 .. $#deltas;

is(scalar @deltas, 8, "B.3 no buffering: all events");
ok(!grep({ $_ < 0.04 || $_ > (asan() ? 1 : 0.5) } @gaps),
   "B.3 no buffering: one by one, as they are written (F002)")
    || diag(join " ", map { sprintf "%.3f", $_ } @gaps);

# silence is filled between events, with what every SSE reader skips

$w = ClaudeRelayWire::wire($nginx->port, ClaudeRelayWire::ask(
    path => "/beat/v1/messages", key => $ClaudeRelay::KEY, stream => 1,
    do => "events=2,delay=900"));

ClaudeRelayWire::pump(sub { $w->{done} }, 10);

cmp_ok(scalar(() = $w->{body} =~ /^:/mg), ">=", 3,
       "B.3 gaps: filled by comments where the operator wants it");
is(($w->{body} =~ s/^:[^\n]*\n\n?//mgr) =~ tr/\n//,
   (both(stream(), do => "events=2"))[0]->body =~ tr/\n//,
   "B.3 gaps: never inside of an event");


# the upstream has said 200, and pings or thinks for long: the client hears it

for (["ping-first=4,delay=400,events=1", "upstream's pings"],
     ["body-delay=1500", "comments"])
{
    my ($do, $what) = @$_;

    $w = ClaudeRelayWire::wire($nginx->port, ClaudeRelayWire::ask(
        path => "/beat/v1/messages", key => $ClaudeRelay::KEY,
        stream => 1, do => $do));

    my $start = time;

    ClaudeRelayWire::pump(sub { $w->{done} }, 10);

    cmp_ok($w->{first_at} - $start, "<", 0.9,
           "B.3 before the first event: $what are heard");
}


# ---- B.3: returned unchanged: status, error body, content-type, retry-after,
# ---- x-should-retry, request-id, anthropic-ratelimit-unified-*

for my $status (400, 401, 402, 403, 404, 405, 408, 409, 413, 418, 422, 424,
                429, 499, 500, 501, 502, 503, 504, 507, 520, 524, 529, 599)
{
    for my $what (qw/ error page /) {

        # after a 429 with a wait its account would not be asked again

        my $at = $status == 429 ? "/wait-$what" : "/exact";

        $r = $nginx->post("$at/v1/messages?exact=$what&status=$status",
                          message(), "x-exact: request-id: req_011Exact"
                          . " | retry-after: 7 | x-should-retry: true");

        is($r->status, $status, "B.3 status unchanged: $status, $what");
        is($r->body, $EXACT{$what}, "B.3 body unchanged: $status, $what");
        is($r->header("content-type"), $what eq "page"
           ? "text/html; charset=ISO-8859-1"
           : "application/json;  charset=utf-8",
           "B.3 content-type unchanged: $status, $what");
        is_deeply([$r->header("request-id")], ["req_011Exact"],
                  "B.3 request-id unchanged: $status, $what");
        is_deeply([$r->header("x-should-retry")], ["true"],
                  "B.3 x-should-retry unchanged: $status, $what");
        is_deeply([$r->header("retry-after")], [7],
                  "B.3 retry-after unchanged: $status, $what");
    }
}

for my $value ("true", "false") {
    my (undef, $r) = both(message(), do => "status=529,should-retry=$value");
    is_deeply([$r->header("x-should-retry")], [$value],
              "B.3 x-should-retry unchanged: $value");
}

for my $stream (0, 1) {
    my $with = $stream ? "stream" : "no stream";

    for my $do ("status=400", "status=404,type=not_found_error",
                "status=500", "status=529", "status=502,html", "status=422,gzip")
    {
        my ($direct, $relayed) = both($stream ? stream() : message(),
                                      do => $do);

        is($relayed->status, $direct->status, "B.3 $with, $do: status");

        next if $do =~ /gzip/;

        is($relayed->body, $direct->body, "B.3 $with, $do: body");
        is($relayed->header("content-type"), $direct->header("content-type"),
           "B.3 $with, $do: content-type");
    }

    # windows of a subscription, with good news and with bad

    for my $do ("util-5h=0.42,util-7d=0.13", "util-5h=0.97",
                "unified=5h:1800", "unified=7d_opus:7200")
    {
        # one of these has no other request after it

        my $pool = "w" . $windows++;

        my ($direct, $relayed) = both(
            $stream ? stream() : message(), do => $do, at => "/$pool",
            as => "Authorization: Bearer $OAUTH-$pool",
            headers => ["anthropic-beta: oauth-2025-04-20"]);

        my @unified = map { [grep { /^anthropic-(?:ratelimit|organ)/i }
                                  map { lc } $_->headers] }
                          $direct, $relayed;

        cmp_ok(scalar @{ $unified[0] }, ">", 5, "B.3 $with, $do: there are");
        is_deeply($unified[1], $unified[0],
                  "B.3 $with, $do: every unified header");
        is($relayed->status, $direct->status, "B.3 $with, $do: status");
        is($relayed->body, $direct->body, "B.3 $with, $do: body");
        is($relayed->header("retry-after"), $direct->header("retry-after"),
           "B.3 $with, $do: retry-after");
    }
}

my @extra = ("request-id: req_011Exact", "x-not-yet-known: a, b",
             "anthropic-organization-id: org-1", "anthropic-version: x",
             "anthropic-ratelimit-unified-status: allowed_warning",
             "anthropic-ratelimit-unified-not-yet-known: 1",
             "anthropic-ratelimit-unified-5h-reset: 4102444800",
             "cf-ray: 1-FRA", "x-envoy-upstream-service-time: 5",
             "retry-after-ms: 250", "warning: 299");

for my $what (qw/ json sse /) {
    $r = $nginx->post("/exact/v1/messages?exact=$what", message(),
                      "x-exact: " . join " | ", @extra);

    my %extra = map { $_ => 1 } @extra;

    is_deeply([grep { $extra{$_} } $r->headers], \@extra,
              "B.3 headers of an answer: all, in their order, $what");
}

$r = $nginx->post("/exact/v1/messages?exact=json", message());
is($r->body, $EXACT{json},
   "B.3 input_transformations, and all of the oddest JSON, byte for byte");
is($r->header("content-type"), "application/json;  charset=utf-8",
   "B.3 content-type of a message as it was");

for my $do ("unicode", "thinking", "json-size=100000", "chunked", "sized",
            "close", "iterations", "usage-zero", "no-usage")
{
    my ($direct, $relayed) = both(message(), do => $do);

    is($relayed->body, $direct->body, "B.3 message byte for byte: $do (N01)");
}

# preserved thinking: a refused signature is the client's to solve

my $signature = "messages.1.content.0: Invalid `signature` in `thinking` block";

$up->since;
(undef, $r) = both($bodies{"thinking blocks with signatures"}, at => "",
    do => "status=400,message=" . ($signature =~ s/([ `,:])/
                                   sprintf "%%%02X", ord $1/gexr));
is($r->message, $signature, "B.3 a refused signature is passed on");
is(scalar(grep { $_->{credential} ne "sk-ant-d" } $up->since), 1,
   "B.3 a refused signature: no other try, nothing is stripped");


# ---- D.3: the texts that are the client's to read: one try, same bytes

for ([400, "prompt is too long: 210000 tokens > 200000 maximum"],
     [400, "input length and `max_tokens` exceed context limit: 1 + 2 > 3"],
     [400, "messages.1.content.0: Invalid `signature` in `thinking` block. The"
           . " block is bound to a different conversation."],
     [400, "thinking blocks in the latest assistant message cannot be modified"],
     [400, "unexpected `tool_use_id` found in `tool_result` blocks"],
     [400, "tool_use ids were found without tool_result"],
     [400, "context_management: Extra inputs are not permitted"],
     [400, "A maximum of 4 blocks with cache_control may be provided"],
     [400, "This credential is only authorized for use with Claude Code and"
           . " cannot be used for other API requests."],
     [400, "Third-party apps now draw from your extra usage, not your plan"
           . " limits."],
     [400, "capability_rejected: prompt_too_long"],
     [403, "Output blocked by content filtering policy",
      "permission_error", "content filter (F150)"],
     [404, "model: claude-none", "not_found_error"],
     [413, "Request exceeds the maximum size", "request_too_large"],
     [422, "unprocessable"],
     [429, "Extra usage is required for long context requests.",
      "rate_limit_error"],
     [429, "Usage credits are required for long context requests.",
      "rate_limit_error"],
     [429, "Usage credits are required for fast mode", "rate_limit_error"])
{
    my ($status, $text, $type, $name) = @$_;

    $name //= substr $text, 0, 48;

    $type //= "invalid_request_error";

    $up->since;

    my ($direct, $relayed) = both(stream(), at => "", do =>
        "status=$status,type=$type,nowindow,message="
        . ($text =~ s/([^\w.-])/sprintf "%%%02X", ord $1/ger));

    is($relayed->message, $text, "D.3 passed on: $name");
    is($relayed->body, $direct->body, "D.3 same bytes: $name");
    is($relayed->status, $status, "D.3 same status: $name");
    is(scalar(grep { $_->{credential} ne "sk-ant-d" } $up->since), 1,
       "D.3 one try: $name");
}

is_deeply([map { $_->{state} } map { @{ $_->{accounts} } }
               grep { $_->{name} eq "default" } @{ $nginx->health->{pools} }],
          ["ok", "ok"], "D.3 none of these has harmed an account");


# ---- D.2: answers of the relay itself, for the SDK to retry or not

$r = $nginx->request("POST", "/v1/messages", body => message(),
                     key => "not-a-key-of-ours");
is_error($r, 401, "authentication_error", "D.2 a refused key is a 401");
is($r->header("x-should-retry"), "false",
   "D.2 a refused key: x-should-retry false (clients 4.9)");

$r = $nginx->request("POST", "/v1/messages", body => message(), key => undef);
is_error($r, 401, "authentication_error", "D.2 no key is a 401");
is($r->header("x-should-retry"), "false", "D.2 no key: no retry");

for (["POST", "/v1/complete", 404, "not_found_error", "unknown path"],
     ["GET", "/v1/messages", 405, "invalid_request_error", "wrong method"],
     ["POST", "/v1/messages", 400, "invalid_request_error", "not JSON", "{"],
     ["POST", "/v1/messages", 400, "invalid_request_error", "no model", "{}"],
     ["POST", "/void/v1/messages", 404, "not_found_error", "unknown model"])
{
    my ($method, $uri, $status, $type, $name, $body) = @$_;

    $r = $nginx->request($method, $uri, body => $method eq "GET" ? undef
                                                : $body // message());
    is_error($r, $status, $type, "D.2 $name: $status in the dialect");
    is($r->header("x-should-retry"), "false", "D.2 $name: no retry");
    ok(length($r->json->{request_id} // ""), "D.2 $name: its request_id");
    is($r->header("x-request-id"), $r->json->{request_id},
       "D.2 $name: the same in the header (F028)");
}

$r = $nginx->post("/w2/v1/messages", message());
is_error($r, 429, "rate_limit_error", "D.2 all accounts limited: 429");
like($r->header("retry-after"), qr/^\d+$/,
     "D.2 all accounts limited: retry-after in seconds");
cmp_ok($r->header("retry-after"), ">", 1500,
       "D.2 all accounts limited: as long as the window");
isnt($r->header("x-should-retry") // "", "true",
     "D.2 all accounts limited: not at once");


# ---- F.1: what Claude Code calls on its base URL

$up->since;

for my $path ("/api/hello", "/") {
    for my $method ("HEAD", "GET") {
        $r = $nginx->request($method, $path, key => undef);
        is($r->status, 200, "F.1 $method $path without a key");
        is($r->body, "", "F.1 $method $path: empty");
    }
}

for my $path ("/api/event_logging/batch", "/api/event_logging/v2/batch",
              "/api/claude_code/metrics")
{
    $r = $nginx->request("POST", $path, key => undef,
                         body => '{"events":[' . "1," x 20000 . '1]}');
    is($r->status, 200, "F.1 POST $path without a key (F006)");
    is_deeply($r->json, { success => JSON::PP::true },
              "F.1 POST $path: success");
}

$r = $nginx->get("/api/claude_cli/bootstrap?entrypoint=cli");
is_deeply($r->json, { additional_model_options => [], client_data => {},
                      auto_compact_windows => {} }, "F.1 bootstrap");

$r = $nginx->get("/api/claude_code/policy_limits", 'If-None-Match: "x"');
is($r->status, 200, "F.1 policy_limits");
is_deeply($r->json, { restrictions => {} }, "F.1 policy_limits: none");

$r = $nginx->get("/api/claude_code/organizations/metrics_enabled");
is_deeply($r->json, { metrics_logging_enabled => JSON::PP::false },
          "F.1 metrics_enabled: no");

for (["GET", "/api/claude_code/settings"],
     ["GET", "/api/oauth/account/settings"],
     ["GET", "/api/claude_code_grove"],
     ["GET", "/api/claude_code_penguin_mode"],
     ["GET", "/v1/mcp_servers?limit=1000"],
     ["GET", "/mcp-registry/v0/servers"],
     ["POST", "/api/eval/sdk-abc"],
     ["GET", "/api/organization/claude_code_first_token_date"],
     ["GET", "/api/oauth/profile"],
     ["GET", "/api/oauth/usage"],
     ["GET", "/api/oauth/claude_cli/roles"],
     ["POST", "/v1/oauth/token"],
     ["GET", "/v1/organizations/api_keys"],
     ["POST", "/v1/organizations/invites"],
     ["GET", "/v1/agents"], ["POST", "/v1/sessions"],
     ["GET", "/v1/environments"], ["GET", "/v1/memory_stores"])
{
    my ($method, $path) = @$_;

    $r = $nginx->request($method, $path,
                         body => $method eq "POST" ? "{}" : undef);
    is_error($r, 404, "not_found_error", "F.1 $method $path: 404 (F025)");
}

for my $path ("/v1/messages", "/v1/models", "/api/hello") {
    $r = $nginx->request("OPTIONS", $path, key => undef, headers =>
                         ["Origin: http://localhost",
                          "Access-Control-Request-Method: POST"]);
    is($r->status, 204, "F.1 OPTIONS $path: 204 (F029)");
    is($r->body, "", "F.1 OPTIONS $path: empty");
}


# ---- F.1, F.3: the list of models, as the gateway's discovery reads it

my $start = time;

$r = $nginx->request("GET", "/v1/models?limit=1000", key => undef, headers => [
    "Authorization: Bearer $ClaudeRelay::KEY", "x-api-key: $ClaudeRelay::KEY",
    "anthropic-version: 2023-06-01", "User-Agent: claude-code/2.1.329" ]);

is($r->status, 200, "F.1 models: both credentials at once (F004)");
cmp_ok(time - $start, "<", 3, "F.1 models: within three seconds");

my $models = $r->json;

cmp_ok(scalar @{ $models->{data} }, ">", 5, "F.3 models: a list");
is($models->{has_more}, JSON::PP::false, "F.3 models: has_more");
is($models->{first_id}, $models->{data}[0]{id}, "F.3 models: first_id");
is($models->{last_id}, $models->{data}[-1]{id}, "F.3 models: last_id");
ok(!grep({ $_->{type} ne "model" || $_->{id} !~ /claude|anthropic/
           || !length $_->{display_name}
           || $_->{created_at} !~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/ }
         @{ $models->{data} }),
   "F.3 models: id, display_name, created_at, type of each");

my (@paged, $page);

for (my $after = ""; ; ) {
    $page = $nginx->get("/v1/models?limit=4$after")->json;
    push @paged, @{ $page->{data} };
    last if !$page->{has_more} || @paged > 1000;
    $after = "&after_id=$page->{last_id}";
}

is_deeply(\@paged, $models->{data}, "F.3 models: paged by after_id");

is_deeply($nginx->get("/v1/models/$paged[2]{id}")->json, $paged[2],
          "F.3 models: one");
is_error($nginx->get("/v1/models/claude-none"), 404, "not_found_error",
         "F.3 models: one that is not");

for my $query ("limit=0", "limit=1001", "limit=x", "after_id=claude-none") {
    is_error($nginx->get("/v1/models?$query"), 400, "invalid_request_error",
             "F.3 models: $query is refused");
}

$r = $nginx->request("GET", "/v1/models", key => undef,
                     headers => [ "anthropic-version: 2023-06-01" ]);
is_error($r, 401, "authentication_error", "F.3 models: not without a key");

is_deeply([$up->since], [], "F.1 none of these has reached an account");


# ---- F.2: count_tokens

for my $do ("status=400", "count404") {
    my ($direct, $relayed) = both(message(), do => $do,
                                  path => "/v1/messages/count_tokens");

    is($relayed->status, $direct->status, "F.2 count_tokens, $do: status");
    is($relayed->body, $direct->body, "F.2 count_tokens, $do: as it is");
}


# ---- F.4: batches and files belong to their account

$r = $nginx->post("/v1/messages/batches", encode({ requests => [
    { custom_id => "a", params => json(message()) } ] }));

my $batch = $r->json;

like($batch->{id}, qr/^msgbatch_/, "F.4 a batch");

$r = $nginx->get("/v1/messages/batches/$batch->{id}");

my ($host, $path) = $r->json->{results_url} =~ m{^http://([^/]+)(/.*)$};

is($host, "127.0.0.1", "F.4 results_url points to the relay");
is($nginx->get($path)->json->{custom_id}, "a", "F.4 results of a batch");
like($nginx->request("POST", "/v1/messages/batches/$batch->{id}/cancel",
                     body => "")->json->{id}, qr/^msgbatch_/,
     "F.4 a batch is cancelled");
is($nginx->request("DELETE", "/v1/messages/batches/$batch->{id}")->status, 200,
   "F.4 a batch is deleted");


# ---- clients 4.3: three places for the key

for ("Authorization: Bearer $ClaudeRelay::KEY",
     "authorization: bearer $ClaudeRelay::KEY",
     "x-api-key: $ClaudeRelay::KEY", "x-goog-api-key: $ClaudeRelay::KEY")
{
    my ($name) = /^([^:]+)/;

    $r = $nginx->request("POST", "/v1/messages", body => message(),
                         key => undef, headers => [$_]);
    is($r->status, 200, "clients 4.3 the key in $name (F023)");
    ok(!grep({ /\Q$ClaudeRelay::KEY\E/ } @{ $up->last->{headers} }),
       "clients 4.3 the key in $name is not sent on");
}

$r = $nginx->request("POST", "/v1/messages?key=$ClaudeRelay::KEY&beta=true",
                     body => message(), key => undef);
is($r->status, 200, "clients 4.3 the key in the query (F023)");
is(target(), "/v1/messages?beta=true",
   "clients 4.3 the key in the query is not sent on");


# ---- clients 4.6: a broken stream never ends cleanly

for my $do ("end-at=2", "cut-at=2", "reset-at=2", "delay=20,end-at=2",
            "delay=20,cut-at=2", "delay=20,reset-at=2", "bad-chunk,delay=20",
            "split=11,end-at=2", "gzip,delay=20,cut-at=2",
            "close,delay=20,cut-at=2")
{
    $r = $nginx->post("/alone/v1/messages", stream(), "x-sandbox: $do");

    # nothing may have been sent yet: then it is an error with a status

    ok($r->status >= 500 || !$r->complete
       || ($r->events)[-1][0] eq "error",
       "clients 4.6 broken stream does not end cleanly: $do (F165)")
        || diag($r->body);
    ok(!grep({ ($_->[0] // "") eq "message_stop" } $r->events),
       "clients 4.6 broken stream has no message_stop: $do");
}

for my $do ("cut-at=100", "reset-at=100", "chunked,cut-at=100") {
    $r = $nginx->post("/alone/v1/messages", message(), "x-sandbox: $do");

    ok($r->status >= 500 || !$r->complete,
       "clients 4.6 half a message is not a whole one: $do");
}

$r = $nginx->post("/alone/v1/messages", stream(), "x-sandbox: error-at=2");
is(($r->events)[-1][0], "error", "clients 4.6 an error event stays the last");


# ---- clients 4.7: large bodies

my $large = message(text => "x" x ((32 << 20) - 400));

$r = $nginx->post("/v1/messages", $large);
is($r->status, 200, "clients 4.7 a body of 32 MB");
is($up->last->{body_sha256}, sha256($large), "clients 4.7 32 MB unchanged");

$large = "";

$r = $nginx->post("/v1/messages", message(text => "x" x (33 << 20)));
is_error($r, 413, "request_too_large", "clients 4.7 33 MB: 413 (F026)");
is($r->header("x-should-retry"), "false", "clients 4.7 33 MB: no retry");


# ---- clients 4.8: headers of 8 KB, underscores, the client leaves

$nginx->post("/v1/messages", message(), "x-long: " . "y" x 8000,
             "session_id: s-1");
is(length $up->header("x-long"), 8000, "clients 4.8 a header of 8 KB");
is($up->header("session_id"), "s-1", "clients 4.8 a name with an underscore");

for (["events=200,delay=50", "in a stream", stream()],
     ["first=20000", "before the answer", message()],
     ["body-delay=20000", "before the first event", stream()])
{
    my ($do, $name, $body) = @$_;

    my $c = $nginx->connect;

    $c->request("POST", "/alone/v1/messages", body => $body,
                headers => ["x-sandbox: $do"]);

    my $mine = sub {
        my ($last) = $up->last(1);
        return grep({ $_ eq "x-sandbox: $do" } @{ $last->{headers} })
               ? $last : undef;
    };

    wait_for(sub { $mine->() }, 3);
    $c->read_until(qr/content_block_delta/, 2) if $do =~ /^events/;
    $c->close;

    my $left = time;
    my $last;

    wait_for(sub { $last = $mine->(); $last && $last->{aborted} }, 3);

    ok($last->{aborted}, "clients 4.8 the client leaves $name: so do we (F166)");
    cmp_ok(time - $left, "<", asan() ? 3 : 1.5,
           "clients 4.8 the client leaves $name: at once");
}


ClaudeRelayWire::stop_upstream($exact);
finish();
