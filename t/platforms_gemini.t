#!/usr/bin/perl

# The Gemini API with API keys: what passes, what is counted, what is refused.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

sub gemini {
    my ($name, $more) = @_;

    return account($name, "platform gemini; api_key AIza-$name-000001; "
                          . ($more // ""));
}

my $TEMPLATE = '"%%UP%%/gateway/{model}:{action}"';

my $nginx = relay(
    http => "claude_relay_key bob { secret bob-secret-0002; "
            . "models gemini-2.5-flash; }",
    accounts => gemini("one") . gemini("two")
                . gemini("template", "pool template; base_url $TEMPLATE;")
                . gemini("versioned", "pool versioned; "
                                      . "base_url %%UP%%/v1beta;")
                . gemini("mapped", "pool mapped; "
                                   . "model_map gemini-2.5-pro g/x%y;")
                . join("", map { gemini("f$_", "pool faults;") } 1 .. 4)
                . account("claude", "pool claude;"),
    server => <<'END',
        location /template/ { claude_relay; claude_relay_pool template; }
        location /versioned/ { claude_relay; claude_relay_pool versioned; }
        location /mapped/ { claude_relay; claude_relay_pool mapped; }
        location /faults/ { claude_relay; claude_relay_pool faults; }
        location /claude/ { claude_relay; claude_relay_pool claude; }
END
);

my $PRO = "/v1beta/models/gemini-2.5-pro";
my ($r, $log, $body);

sub generate {
    my ($text, %field) = @_;

    return encode({ contents => [{ role => "user",
                                   parts => [{ text => $text // "hi" }] }],
                    %field });
}

sub is_google {
    my ($response, $status, $name, $what, $message) = @_;

    my $error = eval { $response->json->{error} } // {};

    ok($response->status == $status
       && $error->{code} == $status && $error->{status} eq $name
       && $error->{message} =~ ($message // qr/./), $what)
        or diag($response->status . " " . $response->body);
}


# 1. requests pass as they are, with the account's key

$body = '{ "contents":[{"parts":[{"text":"h\u0069"}]}], "x_y" : [1e2, null] }';

$r = $nginx->post("$PRO:generateContent", $body,
                  "x-goog-api-client: google-genai-sdk/1.30.0",
                  "X-Server-Timeout: 30");

is($r->status, 200, "F014: generateContent");
is($r->json->{candidates}[0]{finishReason}, "STOP", "F014: its answer");
is($up->last->{body_sha256}, sha256($body), "F014: the body is as it was");
is($up->last->{target}, "$PRO:generateContent", "F014: the path");
like($up->header("x-goog-api-key"), qr/^AIza-(one|two)-000001$/,
     "F084: the key of an account");
is($up->header("x-goog-api-client"), "google-genai-sdk/1.30.0",
   "F014: headers of an SDK pass");
is($up->header("x-server-timeout"), "30", "F014: and its time-out");
is($up->header("anthropic-version"), undef, "no header of another dialect");

$log = $nginx->log;
is($log->{model}, "gemini-2.5-pro", "F014: the model is that of the path");
is($log->{platform}, "gemini", "its platform");
is($log->{dialect}, "gemini", "its dialect");
is($log->{stop_reason}, "STOP", "its end");
is($log->{upstream_model}, "gemini-2.5-pro", "modelVersion");


# 2. usage

$r = $nginx->post("$PRO:generateContent", generate(),
                  "x-sandbox: input=100,cache-read=900,output=20,thinking");
$log = $nginx->log;

is(join("/", @$log{qw/ input_tokens cache_read_tokens output_tokens /}),
   "100/900/34", "F171: cached tokens are apart, thoughts are output");
cmp_ok($log->{cost}, ">", 0, "F171: and cost something");

$r = $nginx->post("$PRO:generateContent", generate(),
                  "x-sandbox: input=199999,cache-read=1,output=0,events=0");
my $short = $nginx->log->{cost};

$r = $nginx->post("$PRO:generateContent", generate(),
                  "x-sandbox: input=200000,cache-read=1,output=0,events=0");
cmp_ok($nginx->log->{cost}, ">", 1.9 * $short,
       "a prompt of more than 200,000 tokens costs more, as a whole");


# 3. streams

$r = $nginx->post("$PRO:streamGenerateContent?alt=sse", generate(),
                  "x-sandbox: input=100,cache-read=900,output=20,thinking");

is($r->status, 200, "F014: streamGenerateContent");
like($r->header("content-type"), qr!^text/event-stream!, "it is a stream");
is($up->last->{target}, "$PRO:streamGenerateContent?alt=sse", "its query");
is($r->complete, 1, "it is whole");

my @chunks = map { json($_->[1]) } $r->events;
is($chunks[-1]{candidates}[0]{finishReason}, "STOP", "its last chunk");

$log = $nginx->log;
is(join("/", @$log{qw/ input_tokens cache_read_tokens output_tokens /}),
   "100/900/34", "F171: usage of a stream, cached and thoughts");
is($log->{stream}, 1, "the log knows a stream");
isnt($log->{ttft}, "", "and when it began");

$r = $nginx->post("$PRO:streamGenerateContent", generate(),
                  "x-sandbox: input=100,cache-read=900,output=20,thinking");

is($r->header("content-type"), "application/json; charset=UTF-8",
   "I34: without alt=sse it is JSON");
is(ref $r->json, "ARRAY", "I34: an array");
is($r->json->[-1]{candidates}[0]{finishReason}, "STOP", "I34: all of it");

$log = $nginx->log;
is(join("/", @$log{qw/ input_tokens cache_read_tokens output_tokens /}),
   "100/900/34", "I31: usage of an array");

$r = $nginx->post("$PRO:streamGenerateContent?alt=sse", generate(),
                  "x-sandbox: crlf,nospace,comments");
is($nginx->log->{stop_reason}, "STOP", "lines as others write them");

$r = $nginx->post("$PRO:streamGenerateContent?alt=sse", generate(),
                  "x-sandbox: no-content");
is($r->complete, 1, "I29: a blocked prompt is an answer");
is($nginx->log->{stop_reason}, "SAFETY", "I29: and says why");

$r = $nginx->post("$PRO:streamGenerateContent?alt=sse", generate(),
                  "x-sandbox: end-at=2");
is($r->complete, 1, "I30: no finishReason, but a proper end: closed properly");
unlike($r->body, qr/"error"/, "I30: and nothing is made up");
is($nginx->log->{error_class}, "ok", "I30: nobody's fault");

for my $how ("cut-at", "reset-at") {
    $r = $nginx->post("/faults$PRO:streamGenerateContent?alt=sse", generate(),
                      "x-sandbox: $how=2");

    my ($error) = map { json($_->[1])->{error} } ($r->events)[-1];

    is($error->{status}, "INTERNAL", "$how: the client is told, as Google "
                                     . "would");
    is($error->{code}, 500, "$how: the code");
    is($nginx->log->{error_class}, "broken", "$how: the log");
}

$r = $nginx->post("/faults$PRO:streamGenerateContent?alt=sse", generate(),
                  "x-sandbox: error-at=2");
is((json(($r->events)[-1][1]))->{error}{status}, "UNAVAILABLE",
   "an error event passes");

# the first chunk and the error may come in one read: it is judged then

like($nginx->log->{error_class}, qr/^(broken|overloaded)$/, "and is one");


# 4. the rest of the API

$r = $nginx->post("$PRO:countTokens", generate(), "x-sandbox: input=31");
is($r->json->{totalTokens}, 31, "F014: countTokens");
is($nginx->log->{input_tokens}, "", "F014: which costs nothing");

$r = $nginx->post("/v1beta/models/gemini-embedding-001:embedContent",
                  '{"model":"models/gemini-embedding-001","content":{}}');
is(scalar @{ $r->json->{embedding}{values} }, 4, "embedContent");
is($nginx->log->{input_tokens}, 12, "and its usage");

$r = $nginx->post("/v1beta/models/gemini-embedding-001:batchEmbedContents",
                  '{"requests":[{},{}]}');
is(scalar @{ $r->json->{embeddings} }, 2, "batchEmbedContents");

$r = $nginx->post("/v1/models/gemini-2.5-flash:generateContent", generate());
is($r->status, 200, "F014: the path of v1");
is($up->last->{target}, "/v1/models/gemini-2.5-flash:generateContent",
   "F014: which stays");

$r = $nginx->post("/gemini/v1beta/models/gemini-2.5-flash:generateContent",
                  generate());
is($r->status, 200, "F014: where another relay has it");
is($up->last->{target}, "/v1beta/models/gemini-2.5-flash:generateContent",
   "F014: the mount stays here");

for my $name ("tuned/model-1", "tuned%2Fmodel-1") {
    $r = $nginx->post("/v1beta/models/$name:generateContent", generate());
    is($nginx->log->{model}, "tuned/model-1", "a model with a slash: $name");
    is($up->last->{target}, "/v1beta/models/tuned/model-1:generateContent",
       "and how it is sent");
}

$r = $nginx->post("/v1beta/files", "{}");
my $file = $r->json->{file}{name};
like($file, qr!^files/!, "a file");
my $owner = $nginx->log->{account};

for (1 .. 4) {
    $r = $nginx->get("/v1beta/$file");
    is($nginx->log->{account}, $owner, "is asked for where it is");
}

$r = $nginx->request("DELETE", "/v1beta/$file");
is($r->status, 200, "and deleted");

is($nginx->get("$PRO:generateContent")->status, 405, "no GET of a call");
is_google($nginx->get("$PRO:generateContent"), 405, "UNIMPLEMENTED",
          "in Google's shape");


# 5. keys: everywhere where clients show one, and never beyond

my @ways = (
    [ "x-goog-api-key", "", "x-goog-api-key: $ClaudeRelay::KEY" ],
    [ "bearer", "", "Authorization: Bearer $ClaudeRelay::KEY" ],
    [ "?key=", "?key=$ClaudeRelay::KEY" ],
    [ "&key=", "?a=b&key=$ClaudeRelay::KEY&c=d" ],
    [ "escaped", "?key=alice%2Dsecret%2D0001" ],
);

for my $way (@ways) {
    my ($name, $args, @headers) = @$way;

    $r = $nginx->request("POST", "$PRO:generateContent$args", key => undef,
                         body => generate(), headers => \@headers);

    is($r->status, 200, "a key in $name");
    unlike(encode($up->last), qr/alice.{1,3}secret/,
           "I54: it is not forwarded ($name)");
    like($up->header("x-goog-api-key"), qr/^AIza-/, "the account's is");
}

is($up->last->{target}, "$PRO:generateContent", "nothing is left of a query");

$nginx->request("POST", "$PRO:generateContent?a=b&key=$ClaudeRelay::KEY&c=d",
                key => undef, body => generate(), headers => []);
is($up->last->{target}, "$PRO:generateContent?a=b&c=d", "I54: the rest is");

unlike($nginx->access_log, qr/alice.{1,3}secret/, "I54: nor logged");
unlike($nginx->error_log, qr/alice.{1,3}secret/, "I54: anywhere");
unlike($nginx->access_log . $nginx->error_log, qr/AIza-/,
       "nor is an account's");

is_google($nginx->request("POST", "$PRO:generateContent?key=wrong",
                          key => undef, body => generate(), headers => []),
          401, "UNAUTHENTICATED", "a wrong key");
is_google($nginx->request("POST", "$PRO:generateContent", key => undef,
                          body => generate(), headers => []),
          401, "UNAUTHENTICATED", "no key");

$nginx->post("$PRO:generateContent", generate(),
             "x-goog-user-project: somebody");
is($up->header("x-goog-user-project"), undef,
   "a project to be billed stays behind");


# 6. a key that is for certain models

sub bob {
    my ($path, $body) = @_;
    return $nginx->request("POST", $path, key => "bob-secret-0002",
                           body => $body // generate(), headers => []);
}

my $n = $up->requests;

is(bob("/v1beta/models/gemini-2.5-flash:generateContent")->status, 200,
   "its model");
is_google(bob("$PRO:generateContent"), 403, "PERMISSION_DENIED",
          "another one", qr/gemini-2\.5-pro/);
is_google(bob("$PRO:generateContent",
              '{"model":"gemini-2.5-flash","request":{"contents":[]}}'),
          403, "PERMISSION_DENIED", "another one, whatever the body says");
is_google(bob("$PRO:countTokens"), 403, "PERMISSION_DENIED",
          "nor are its tokens counted");
is_google(bob("$PRO:predict"), 403, "PERMISSION_DENIED",
          "nor by a method that is not known here");
is_google(bob("/v1beta/interactions"), 403, "PERMISSION_DENIED",
          "nor where models are not looked at");
is($up->requests, $n + 1, "none of these went further");


# 7. bad input

for my $bad ([ "[]", qr/must be an object/ ],
             [ '{"contents":', qr/at byte/ ],
             [ '{"model":"a","model":"b"}', qr/set twice: model/ ],
             [ '{"contents":[{"a":"' . "\xff" . '"}]}', qr/at byte/ ])
{
    is_google($nginx->post("$PRO:generateContent", $bad->[0]), 400,
              "INVALID_ARGUMENT", "refused: $bad->[1]", $bad->[1]);
}


# 8. base URLs

$r = $nginx->post("/template$PRO:streamGenerateContent?alt=sse", generate());
is($r->status, 200, "F084: a template");
is($up->last->{target},
   "/gateway/gemini-2.5-pro:streamGenerateContent?alt=sse",
   "F084: model and action are in their places");

$nginx->post("/template/v1beta/models/a/b%3Fc:countTokens", generate());
is($up->last->{target}, "/gateway/a/b%3Fc:countTokens",
   "F084: a name is escaped");

is_google($nginx->get("/template/v1beta/files"), 404, "NOT_FOUND",
          "F084: it has calls to models only");

$nginx->post("/versioned$PRO:generateContent", generate());
is($up->last->{target}, "$PRO:generateContent",
   "F084: a base URL with the version");

for my $bad ("{model}", "{action}:{model}", "{model}:{action}/{model}",
             "{other}:{action}", "{model:{action}")
{
    my ($ok, $said) = config(relay_http(
        accounts => gemini("bad", "base_url \"http://127.0.0.1:1/$bad\";")));

    ok(!$ok && $said =~ /invalid base_url/, "F084: no template: $bad")
        or diag($said);
}

my ($ok, $said) = config(relay_http(
    accounts => account("bad",
                        'base_url "http://127.0.0.1:1/{model}:{action}";')));
ok(!$ok && $said =~ /takes no template/, "F084: nor of another platform");


# 9. maps

$nginx->post("/mapped$PRO:generateContent", generate());
is($up->last->{target}, "/v1beta/models/g/x%25y:generateContent",
   "a mapped model is written into the path");
is($nginx->log->{model}, "gemini-2.5-pro", "what was asked for");

$nginx->post("/mapped$PRO:embedContent",
             '{"model": "models/gemini-2.5-pro", "content":{}}');
is($up->last->{body_sha256},
   sha256('{"model": "models/g/x%y", "content":{}}'),
   "and where the body says it again");


# 10. Google's own API for clients of OpenAI: by its path alone

for my $mount ("/v1beta/openai", "/gemini/v1beta/openai") {
    $r = $nginx->post("$mount/chat/completions", '{"model":'
                      . '"gemini-2.5-flash","messages":[{"role":"user",'
                      . '"content":"hi"}]}');

    is($r->status, 200, "Chat of Google's: $mount");
    is($up->last->{target}, "/v1beta/openai/chat/completions",
       "Chat of Google's: the path");
    like($up->header("x-goog-api-key"), qr/^AIza-/, "with the account's key");
    is($nginx->log->{model}, "gemini-2.5-flash", "its model is read");
    is($nginx->log->{dialect}, "openai", "it is another dialect");
}

is(bob("/v1beta/openai/chat/completions",
       '{"model":"gemini-2.5-pro","messages":[]}')->status, 403,
   "where keys are for certain models, too");


# 11. other dialects and platforms

is_google($nginx->post("/claude$PRO:generateContent", generate()), 404,
          "NOT_FOUND", "no account of the dialect");
is($nginx->post("/v1/messages", message())->status, 404,
   "nor for others: messages");

is($nginx->post("/v1/chat/completions",
                '{"model":"gemini-2.5-pro","messages":[]}')->status, 404,
   "nor for Chat, unless its path says so");

finish();
