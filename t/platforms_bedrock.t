#!/usr/bin/perl

# F082: Amazon Bedrock.  Clients of the Messages API on its runtime, on Mantle
# and on Claude Platform on AWS; clients of Bedrock's own; the sandbox verifies
# the signature of each request.

use warnings;
use strict;

use Compress::Zlib qw/ crc32 /;
use MIME::Base64 qw/ encode_base64 decode_base64 /;
use Test::More;

use ClaudeRelay;


# a frame: type of the message, headers beside it, payload

sub frame {
    my ($type, $headers, $payload) = @_;

    my $h = join "", map { pack("C/a* C n/a*", $_->[0], 7, $_->[1]) }
            ([":message-type", $type], @$headers);
    my $m = pack("NN", length($h) + length($payload) + 16, length $h);

    $m .= pack("N", crc32($m)) . $h . $payload;

    return $m . pack("N", crc32($m));
}

sub chunk {
    return frame("event", [[":event-type", "chunk"]],
                 encode({ bytes => encode_base64($_[0], ""), p => "abc" }));
}

sub exception {
    return frame("exception", [[":exception-type", $_[0]]],
                 encode({ message => $_[1] }));
}

my @events = (
    '{"type":"message_start","message":{"id":"msg_own","type":"message",'
    . '"role":"assistant","model":"claude-x","content":[],"usage":{'
    . '"input_tokens":7,"output_tokens":1}}}',
    '{"type":"content_block_start","index":0,"content_block":{"type":"text",'
    . '"text":""}}',
    '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    . '"text":"Hi"}}',
    '{"type":"content_block_stop","index":0}',
    '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{'
    . '"output_tokens":9}}',
    '{"type":"message_stop"}'
);

my $whole = join "", map { chunk($_) } @events;
my $metrics = substr($events[5], 0, -1)
    . ',"amazon-bedrock-invocationMetrics":{"inputTokenCount":7}}';
my $plain = join "", map { my ($t) = /"type":"(\w+)"/;
                           "event: $t\ndata: $_\n\n" } @events;

# an upstream that says what a request's path says, whole or in pieces; a list
# is said when its beginning was passed on

my %said = (
    whole => $whole,
    metrics => join("", map { chunk($_) } @events[0 .. 4], $metrics),
    crc => do { my $f = chunk($events[2]);
                substr($f, -1, 1) ^= "\x01";
                [join("", map { chunk($_) } @events[0, 1]),
                 $f . chunk($events[5])] },
    first => do { my $f = $whole; substr($f, 4, 1) ^= "\x01"; $f },
    length => pack("NNN", 15, 0, crc32(pack("NN", 15, 0))) . $whole,
    huge => pack("NNN", 1 << 31, 9, crc32(pack("NN", 1 << 31, 9))) . $whole,
    type => do { my $h = pack("C/a* C", "a", 99);
                 my $m = pack("NN", length($h) + 16, length $h);
                 $m .= pack("N", crc32($m)) . $h;
                 $m . pack("N", crc32($m)) . $whole },
    cut => [chunk($events[0]), chunk($events[1])
                               . substr(chunk($events[2]), 0, 100)],
    payload => frame("event", [[":event-type", "chunk"]], "nonsense")
               . $whole,
    busy => exception("throttlingException", "Too many requests"),
    later => [join("", map { chunk($_) } @events[0 .. 2]),
              exception("modelStreamErrorException", "it broke")
              . chunk($events[5])],
    big => chunk($events[0])
           . chunk('{"type":"content_block_delta","index":0,"delta":{"type":'
                   . '"text_delta","text":"' . "x" x 200000 . '"}}')
           . chunk($events[5]),
);

my $piece = 1 << 20;

my $own = canned(sub {
    my ($request, $s) = @_;

    my ($what) = $request =~ m{^POST /(\w+)/};
    my $body = $said{$what};

    my $head = "HTTP/1.1 200 OK\r\n"
        . "Content-Type: application/vnd.amazon.eventstream\r\n"
        . "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";

    my $chunked = sub {
        return join "", map { sprintf("%x\r\n%s\r\n", length $_, $_) }
               unpack("(a$piece)*", $_[0]);
    };

    if (ref $body) {
        print $s $head . $chunked->($body->[0]);
        $s->flush;
        select undef, undef, undef, 0.5;

        return $chunked->($body->[1]) . "0\r\n\r\n";
    }

    return $head . $chunked->($body) . "0\r\n\r\n";
});

sub own {
    my ($name, $more) = @_;

    return account($name, "platform bedrock; base_url " . $own->url
                   . "/$name; api_key AKIDOWN:secret; pool $name;"
                   . ($more // ""));
}

my $up = sandbox();

my $signed = "platform bedrock; api_key AKIDONE:secret-of-AKIDONE;";
my $second = "platform bedrock; api_key AKIDTWO:secret-of-AKIDTWO;";

my $nginx = relay(
    workers => 1,
    http => <<'END',
        claude_relay_key few { secret few-secret-0002;
                               models claude-sonnet-*; }
        claude_relay_rest overloaded=0 throttled=0 server=0
                          forbidden=0 edge=0;
END
    accounts => account("one", "$signed region eu-west-1; model_prefix eu;"
                               . " model_map *-mapped us.anthropic.other-v1:0; models *;")
        . account("session", "platform bedrock; pool session; "
              . "api_key ASIATMP:secret-of-ASIATMP:token-of-ASIATMP;")
        . account("bearer", "platform bedrock; pool bearer; "
              . "api_key ABSKexample; betas interleaved-thinking-2025-05-14;")
        . account("wrong", "platform bedrock; pool bad; "
              . "api_key AKIDBAD:secret-of-another;")
        . account("expired", "platform bedrock; pool bad; priority 95;"
              . "api_key AKIDEXPIRED:secret-of-AKIDEXPIRED;")
        . account("good", "pool bad; priority 90; $second")
        . account("two", "pool two; priority 40; $signed")
        . account("three", "pool two; $second")
        . account("mantle", "platform bedrock-mantle; pool mantle; "
              . "base_url %%UP%%/anthropic; region us-west-2;"
              . "api_key AKIDMAN:secret-of-AKIDMAN;")
        . account("aws", "platform claude-aws; pool aws; "
              . "workspace wrkspc_01; api_key AKIDAWS:secret-of-AKIDAWS;")
        . join("", map { own($_) } sort keys %said)
        . account("spare", "platform bedrock; priority 90; pool first;"
                           . "api_key AKIDTWO:secret-of-AKIDTWO;")
        . account("spare2", "platform bedrock; priority 90; pool busy;"
                            . "api_key AKIDTWO:secret-of-AKIDTWO;"),
    server => join("", map {
        "location /$_/ { claude_relay; claude_relay_pool $_;"
        . " claude_relay_retry_wait 0; }\n"
    } qw/ session bearer bad two mantle aws /, keys %said),
);

my $r;

sub body { json($up->last->{body}) }

my @beta = ("anthropic-beta",
            "claude-code-20250219,interleaved-thinking-2025-05-14, "
            . "oauth-2025-04-20,context-1m-2025-08-07,"
            . "advanced-tool-use-2025-11-20,tool-search-tool-2025-10-19");


# 1. the runtime: path, body, headers, signature

$r = $nginx->post("/v1/messages?beta=true",
                  message(model => "claude-sonnet-4-5", temperature => 1,
                          metadata => { user_id => "x" },
                          service_tier => "auto", stream => \0,
                          context_management => { edits => [] },
                          cache_control => { type => "ephemeral" }),
                  "anthropic-version: 2023-06-01", join(": ", @beta),
                  "x-app: cli");

is($r->status, 200, "F082: a message");
is($r->json->{type}, "message", "F082: its answer");
is($up->last->{target}, "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0"
                        . "/invoke", "F082: its path");

my $b = body();

is($b->{anthropic_version}, "bedrock-2023-05-31", "F082: the version");
is_deeply([sort keys %$b], [sort qw/ anthropic_beta anthropic_version
                                     max_tokens messages temperature /],
          "F082: members that Bedrock does not take are left out");
is_deeply($b->{anthropic_beta},
          [qw/ interleaved-thinking-2025-05-14 context-1m-2025-08-07
               tool-search-tool-2025-10-19 /], "F082: betas");
is($up->header("anthropic-beta"), undef, "F082: not in a header");
is($up->header("anthropic-version"), undef, "F082: nor the version");
is($up->header("x-app"), undef, "F082: nor the client");
like($up->header("authorization"),
     qr{^AWS4-HMAC-SHA256 Credential=AKIDONE/\d{8}/eu-west-1/bedrock/},
     "F082: a signature");
unlike(join("\n", @{ $up->last->{headers} }),
       qr/secret-of|alice/, "F082: nothing that is secret");
is($nginx->log->{account}, "one", "F082: by its account");
ok($nginx->log->{input_tokens} > 0, "F082: usage");

$r = $nginx->post("/v1/messages", message(model => "claude-opus-4-8"));
is($up->last->{target}, "/model/eu.anthropic.claude-opus-4-8/invoke",
   "F082: a name without a date");
is_deeply([sort keys %{ body() }], [qw/ anthropic_version max_tokens
                                        messages /], "F082: no betas");

$r = $nginx->post("/v1/messages", message(model => "a-mapped"));
is($up->last->{target}, "/model/us.anthropic.other-v1%3A0/invoke",
   "F082: the account's map");

$r = $nginx->post("/v1/messages", message(model => ".."));
is_error($r, 400, "invalid_request_error", "F082: no part of a path");

$r = $nginx->post("/v1/messages", "{ \"model\" : \"claude-opus-5\" }");
is_error($r, 400, "invalid_request_error", "F082: Bedrock's refusal",
         qr/max_tokens/);

$r = $nginx->post("/v1/messages",
                  message(model => "claude-opus-5",
                          anthropic_beta => ["context-1m-2025-08-07"],
                          anthropic_version => "vertex-2023-10-16"));
is($r->status, 200, "F082: betas in the body");
is_deeply(body()->{anthropic_beta}, ["context-1m-2025-08-07"],
          "F082: are kept");

$r = $nginx->post("/session/v1/messages", message());
is($r->status, 200, "F082: a session's token");
is($up->header("x-amz-security-token"), "token-of-ASIATMP",
   "F082: is sent, and signed");

$r = $nginx->post("/bearer/v1/messages", message(), join(": ", @beta));
is($r->status, 200, "F082: a bearer key");
is($up->header("authorization"), "Bearer ABSKexample", "F082: is shown");
is($up->header("x-amz-date"), undef, "F082: and nothing is signed");
is_deeply(body()->{anthropic_beta}, ["interleaved-thinking-2025-05-14"],
          "F082: betas are a field of the account");

$r = $nginx->post("/v1/messages",
                  message(text => "x" x 1000000, model => "claude-opus-5"));
is($r->status, 200, "F082: a megabyte is signed");


# 2. streams

$r = $nginx->post("/v1/messages", stream(model => "claude-sonnet-4-6"));

is($r->status, 200, "F082: a stream");
like($r->header("content-type"), qr{^text/event-stream},
     "F082: events for a client of events");
is(($r->events)[0][0], "message_start", "F082: its first event");
is(($r->events)[-1][0], "message_stop", "F082: its last");
unlike($r->body, qr/amazon/, "F082: without AWS's metrics");
ok($nginx->log->{output_tokens} > 0, "F082: a stream's usage");
is($up->last->{target}, "/model/eu.anthropic.claude-sonnet-4-6"
                        . "/invoke-with-response-stream", "F082: its path");

for my $size (1, 2, 3, 7, 100, 1 << 20) {
    $piece = $size;
    $r = $nginx->post("/whole/v1/messages", stream());
    is($r->body, $plain, "F082: frames in pieces of $size");
}

$r = $nginx->post("/metrics/v1/messages", stream());
is($r->body, $plain, "F082: metrics are left out");

$r = $nginx->post("/big/v1/messages", stream());
is(length(json(($r->events)[1][1])->{delta}{text}), 200000,
   "F082: a long event");
is(($r->events)[-1][0], "message_stop", "F082: and what follows it");


# 3. broken frames

for my $what (qw/ first length huge type payload /) {
    next if $what eq "first";

    $r = $nginx->post("/$what/v1/messages", stream());
    cmp_ok($r->status, ">=", 500, "F082: wrong $what: an error");
    like($r->json->{error}{type}, qr/^(api|overloaded)_error$/,
         "F082: of the client's dialect");
}

$r = $nginx->post("/first/v1/messages", stream());
is($r->status, 200, "F082: a wrong first frame: another account");
is($nginx->log->{account}, "spare", "F082: by name");

$r = $nginx->post("/crc/v1/messages", stream());
is($r->status, 200, "F082: a wrong checksum in the middle");
is(($r->events)[-1][0], "error", "F082: is told as an error");
unlike($r->body, qr/"Hi"/, "F082: what was in it is not");

$r = $nginx->post("/cut/v1/messages", stream());
is(($r->events)[-1][0], "error", "F082: a frame that is cut off");

for my $size (1, 16, 100) {
    $piece = $size;
    $r = $nginx->post("/crc/v1/messages", stream());
    is(($r->events)[-1][0], "error", "F082: the same in pieces of $size");
}

$piece = 1 << 20;


# 4. exceptions, and errors

$r = $nginx->post("/busy/v1/messages", stream());
is($r->status, 200, "F082: an exception first: another account");
is($nginx->log->{account}, "spare2", "F082: by name");

$r = $nginx->post("/later/v1/messages", stream());
is(($r->events)[-1][0], "error", "F082: an exception later: an error");
is(json(($r->events)[-1][1])->{error}{type}, "api_error",
   "F082: of this type");
is(json(($r->events)[-1][1])->{error}{message}, "it broke",
   "F082: with its words");

$r = $nginx->post("/bad/v1/messages", message());
is($r->status, 200, "F082: a wrong secret, an expired one: the next");
is($nginx->log->{account}, "good", "F082: which is this");

my %health = map { $_->{name} => $_ }
             map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };
is($health{$_}{last_error}{class}, "auth", "F082: $_ rests")
    for qw/ wrong expired /;

for ([400, "ValidationException", 400, "invalid_request_error"],
     [429, "ThrottlingException", 429, "rate_limit_error"],
     [429, "ModelNotReadyException", 529, "overloaded_error"],
     [424, "ModelErrorException", 500, "api_error"],
     [408, "ModelTimeoutException", 504, "timeout_error"],
     [503, "ServiceUnavailableException", 529, "overloaded_error"],
     [403, "AccessDeniedException", 403, "permission_error"])
{
    my ($from, $class, $status, $type) = @$_;

    $r = $nginx->post("/two/v1/messages", message(),
                      "x-sandbox: status=$from,type=$class,message=words");
    is_error($r, $status, $type, "F082: $class", qr/words/);
}

$up->behave("AKIDONE", "status=429,type=ThrottlingException");
$r = $nginx->post("/two/v1/messages", message());
is($r->status, 200, "F082: throttled: another account");
is($nginx->log->{account}, "three", "F082: by name");
$up->behave("AKIDONE", "");


# 5. tokens are counted

$r = $nginx->post("/v1/messages/count_tokens",
                  message(model => "claude-opus-4-5", max_tokens => undef,
                          text => "\x{e9}" x 10));
is($r->status, 200, "F082: a count of tokens");
ok($r->json->{input_tokens} > 10, "F082: in the client's words");
is($up->last->{target}, "/model/anthropic.claude-opus-4-5-20251101-v1%3A0"
                        . "/count-tokens", "F082: of the foundation model");

my $inner = json(decode_base64(body()->{input}{invokeModel}{body}));
is($inner->{anthropic_version}, "bedrock-2023-05-31",
   "F082: a body for invoke is in it");
ok(!exists $inner->{model}, "F082: without a model");

$r = $nginx->post("/v1/messages/count_tokens",
                  '{"model":"claude-opus-4-5","messages":[]}');
is($r->status, 200, "F082: a count without max_tokens");
is(json(decode_base64(body()->{input}{invokeModel}{body}))->{max_tokens}, 1,
   "F082: which Bedrock wants");


# 6. places that speak the Messages API

$r = $nginx->post("/mantle/v1/messages?beta=true",
                  stream(model => "claude-opus-4-5-20251101"),
                  join(": ", @beta));
is($r->status, 200, "F082: Mantle");
is(($r->events)[-1][0], "message_stop", "F082: a stream of its own");
is($up->last->{target}, "/anthropic/v1/messages", "F082: its path");
is(body()->{model}, "anthropic.claude-opus-4-5", "F082: no versions");
like($up->header("authorization"), qr{/us-west-2/bedrock-mantle/},
     "F082: its service is signed for");
is($up->header("anthropic-version"), "2023-06-01", "F082: a version");
is($up->header("anthropic-beta"), $beta[1], "F082: betas as they came");

$r = $nginx->post("/mantle/v1/messages", message(),
                  "x-sandbox: status=429,message=slow");
is_error($r, 429, "rate_limit_error", "F082: errors as they come", qr/slow/);

$r = $nginx->post("/aws/v1/messages", message(model => "claude-opus-5"));
is($r->status, 200, "F082: Claude Platform on AWS");
is(body()->{model}, "claude-opus-5", "F082: the first party's names");
is($up->header("anthropic-workspace-id"), "wrkspc_01", "F082: a workspace");
like($up->header("authorization"), qr{/aws-external-anthropic/},
     "F082: its service is signed for");


# 7. clients of Bedrock's own

my $bearer = "Authorization: Bearer $ClaudeRelay::KEY";
my $invoke = encode({ anthropic_version => "bedrock-2023-05-31",
                      max_tokens => 9,
                      messages => [{ role => "user", content => "hi" }] });

sub native {
    my ($path, $body, @headers) = @_;

    return $nginx->request("POST", $path, body => $body, key => undef,
                           headers => [$bearer,
                                       "Content-Type: application/json",
                                       @headers]);
}

$r = native("/model/us.anthropic.claude-opus-4-8/invoke", $invoke,
            "x-amz-date: 20200101T000000Z");
is($r->status, 200, "F082: invoke");
is($r->json->{type}, "message", "F082: its answer");
is($up->last->{target}, "/model/us.anthropic.claude-opus-4-8/invoke",
   "F082: the client's id");
is($up->last->{body}, $invoke, "F082: the body as it came");
is($nginx->log->{model}, "claude-opus-4-8", "F082: the log has its name");
ok($nginx->log->{cost} > 0, "F082: and a price");

my $id = "us.anthropic.claude-sonnet-4-5-20250929-v1";
$r = native("/bedrock/model/$id:0/invoke-with-response-stream", $invoke);
is($r->status, 200, "F082: a stream of frames");
is($r->header("content-type"), "application/vnd.amazon.eventstream",
   "F082: of this type");
is($r->body =~ s/.*:message-type\x07\x00\x05event//sr =~ /"p"/, 1,
   "F082: frames");
is($up->last->{target}, "/model/$id%3A0/invoke-with-response-stream",
   "F082: a colon is escaped");
ok($nginx->log->{output_tokens} > 0 && $nginx->log->{input_tokens} > 0,
   "F082: its usage is known");

for my $size (1, 13, 1 << 20) {
    $piece = $size;
    $r = native("/whole/model/us.anthropic.claude-opus-5/"
                . "invoke-with-response-stream", $invoke);
    is($r->body, $whole, "F082: the bytes of frames, in pieces of $size");
    is($nginx->log->{output_tokens}, 9, "F082: and what they say");
}

$r = native("/busy/model/us.anthropic.claude-opus-5/"
            . "invoke-with-response-stream", $invoke);
is($r->status, 200, "F082: an exception first: another account");
is($nginx->log->{account}, "spare2", "F082: by name");

$r = native("/cut/model/us.anthropic.claude-opus-5/"
            . "invoke-with-response-stream", $invoke);
is($r->complete, 0, "F082: a stream of frames that is cut has no end");

my $arn = "arn:aws:bedrock:us-east-1:1:inference-profile%2F"
          . "us.anthropic.claude-opus-5";
$r = native("/model/$arn/invoke", $invoke);
is($r->status, 200, "F082: an ARN");
is($up->last->{target}, "/model/" . $arn =~ s/:/%3A/gr . "/invoke",
   "F082: is escaped");

$r = native("/model/anthropic.claude-opus-5/count-tokens",
            encode({ input => { invokeModel => {
                     body => encode_base64($invoke, "") } } }));
ok($r->json->{inputTokens} > 0, "F082: tokens are counted in AWS's words");

$r = $nginx->request("GET", "/bedrock/inference-profiles", key => undef,
                     headers => [$bearer]);
is($r->status, 200, "F082: profiles");
my @ids = map { $_->{inferenceProfileId} }
          @{ $r->json->{inferenceProfileSummaries} };
ok(scalar(grep { $_ eq "global.anthropic.claude-opus-4-8" } @ids),
   "F082: a model among them");

for ([["/model/us.anthropic.claude-opus-5/invoke", "nonsense"], 400,
      "ValidationException"],
     [["/model/us.anthropic.claude-opus-5/invoke", $invoke,
       "x-sandbox: status=429,message=slow"], 429, undef])
{
    my ($args, $status, $class) = @$_;

    $r = native(@$args);
    is($r->status, $status, "F082: AWS's errors: $status");
    ok($r->json->{message}, "F082: in its form");
    is($r->json->{__type}, $class, "F082: with this class");
}

$r = $nginx->request("POST", "/model/us.anthropic.claude-opus-5/invoke",
                     body => $invoke, key => undef,
                     headers => ["Authorization: Bearer nobody"]);
is($r->status, 401, "F082: a key that is none");
is($r->json->{__type}, "UnrecognizedClientException", "F082: in AWS's words");

$r = $nginx->request("POST", "/model/us.anthropic.claude-opus-5/invoke",
                     body => $invoke, key => "few-secret-0002");
is($r->status, 403, "F082: a model that a key may not ask");
is($r->json->{__type}, "AccessDeniedException", "F082: in AWS's words");

$r = $nginx->request("POST", "/model/us.anthropic.claude-opus-5/invoke",
                     body => $invoke =~ s/^\{/{"model":"claude-sonnet-5",/r,
                     key => "few-secret-0002");
is($r->status, 403, "F082: nor by naming another one in the body");

$r = $nginx->request("POST", "/model/us.anthropic.claude-sonnet-5/invoke",
                     body => $invoke, key => "few-secret-0002");
is($r->status, 200, "F082: one that it may, by its bare name");

$r = $nginx->request("GET", "/model/us.anthropic.claude-sonnet-5/invoke");
is($r->status, 405, "F082: another method");

finish();
