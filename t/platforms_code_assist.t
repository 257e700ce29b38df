#!/usr/bin/perl

# F015: Code Assist, for its own clients and for those of the Gemini API.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    workers => 1,
    accounts =>
        account("ga", "platform code-assist; access_token ya29.one.a;"
                      . " client_version 0.61.0;"
                      . " project project-one;")
        . account("bare", "platform code-assist; access_token ya29.two;"
                          . " pool bare; base_url %%UP%%/v1internal;"
                          . " client_version 1.2.3;")
        . account("key", "pool other; platform anthropic; api_key sk-k;")
        . account("google", "pool keyed; platform gemini; api_key AIza-k;")
        . account("keyed", "pool mixed; platform gemini; api_key AIza-m;"
                           . " priority 9;")
        . account("mixed", "pool mixed; platform code-assist; priority 2;"
                           . " access_token ya29.five; project project-five;")
        . account("first", "platform code-assist; pool both; priority 9;"
                           . " access_token ya29.three; project project-three;")
        . account("second", "platform code-assist; pool both; priority 2;"
                            . " access_token ya29.four; project project-four;"),
    server => <<'END',
        location /ga/ { claude_relay; }
        location /bare/ { claude_relay; claude_relay_pool bare; }
        location /other/ { claude_relay; claude_relay_pool other; }
        location /keyed/ { claude_relay; claude_relay_pool keyed; }
        location /mixed/ { claude_relay; claude_relay_pool mixed; }
        location /both/ { claude_relay; claude_relay_pool both; }
END
);

my ($r, $sent, @events);

my $model = "/v1beta/models/gemini-2.5-pro";
my $contents = '[{"role":"user", "parts":[{"text":"h\u00e9 \ud83d\ude00"}]}]';
my $body = qq({ "contents":$contents,"generationConfig":{"topK":40} });

sub gemini {
    my ($path, $body, @more) = @_;
    return $nginx->request("POST", $path, body => $body, headers => \@more);
}

# what the sandbox saw of the body, and of its "request"
sub seen { return json($up->last->{body}) }


# 1. a client of the Gemini API: JSON

$r = gemini("/ga$model:generateContent", $body, "User-Agent: google-genai-sdk/1",
            "x-goog-user-project: project-mine", "X-Goog-Api-Client: sdk");
is($r->status, 200, "F015: a body in an envelope") || diag($r->body);
is($r->json->{candidates}[0]{content}{role}, "model", "F015: without one");
is($r->json->{modelVersion}, "gemini-2.5-pro", "F015: the model");
unlike($r->body, qr/traceId/, "F015: nothing of the envelope is left");
like($r->body, qr/^\{"candidates": \[\{.*\\u007b\}"\}\]\},"finish.*"\}$/,
     "F015: the bytes of the answer are those of the upstream");

$sent = $up->last;
is($sent->{target}, "/v1internal:generateContent", "F015: the path");
ok(index($sent->{body}, qq("request":) . substr($body, 0, -1)) > 0,
   "F015: the client's body is in it as it was");
like(seen()->{request}{session_id}, qr/^[0-9a-f]+$/, "F015: and a session");
is(seen()->{model}, "gemini-2.5-pro", "F015: the model in the envelope");
is(seen()->{project}, "project-one", "F015: the account's project");
like(seen()->{user_prompt_id}, qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-/,
     "F015: a prompt's id");
is(header("user-agent"), "GeminiCLI/0.61.0/gemini-2.5-pro (linux; x64;"
   . " terminal)", "F015: the client's name");
is(header("authorization"), "Bearer ya29.one.a", "F015: the account's token");
is(header("x-goog-user-project"), undef, "F015: nothing of another project");
is(header("x-goog-api-client"), undef, "F015: nothing of the SDK");

sub header { return scalar $up->header($_[0]) }


# 2. streams

$r = gemini("/ga$model:streamGenerateContent?alt=sse", $body);
is($r->status, 200, "F015: a stream");
like($r->header("Content-Type"), qr{^text/event-stream}, "F015: of events");
@events = map { json($_->[1]) } $r->events;
is(scalar @events, 5, "F015: all of them");
is($events[4]{candidates}[0]{finishReason}, "STOP", "F015: to the last one");
is(scalar(grep { exists $_->{response} } @events), 0, "F015: each is bare");
like($r->body, qr/^data: \{"candidates": \[/, "F015: as it was written");
is($up->last->{target}, "/v1internal:streamGenerateContent?alt=sse",
   "F015: the path of a stream");

$r = gemini("/ga$model:streamGenerateContent", $body);
like($r->header("Content-Type"), qr{^application/json}, "an array");
is(scalar @{ $r->json }, 5, "an array of events");
is($r->json->[0]{candidates}[0]{content}{parts}[0]{text},
   'word 0 {"response":{}', "an array: its first element");
is($up->last->{target}, "/v1internal:streamGenerateContent?alt=sse",
   "an array is made of events");

for my $cmd ("split=1", "split=7", "crlf", "dribble=3", "coalesce") {
    $r = gemini("/ga$model:streamGenerateContent?alt=sse", $body,
                "x-sandbox: $cmd");
    is(join(" ", map { json($_->[1])->{candidates}[0]{content}{parts}[0]{text}
                       =~ /^(word \d)/ } $r->events),
       "word 0 word 1 word 2 word 3 word 4", "a stream, $cmd");
}

$r = gemini("/ga$model:generateContent", $body, "x-sandbox: split=1");
is($r->json->{candidates}[0]{finishReason}, "STOP", "a body in single bytes");


# 3. counting

$r = gemini("/ga$model:countTokens", $body);
like($r->body, qr/^\{"totalTokens": \d+\}$/, "F015: tokens are counted")
    || diag($r->body);
is($up->last->{body}, qq({"request":{"model":"models/gemini-2.5-pro",)
   . qq("contents":$contents}}), "F015: of the contents");

$r = gemini("/ga$model:countTokens",
            qq({"generateContentRequest":{"model":"models/x","contents":)
            . qq($contents,"tools":[]}}));
is($r->status, 200, "F015: of a request") || diag($r->body);
is($up->last->{body}, qq({"request":{"model":"models/gemini-2.5-pro",)
   . qq("contents":$contents}}), "F015: of its contents");

$r = gemini("/ga$model:countTokens", '{"nothing":1}');
is($r->status, 400, "nothing to count");
is($r->json->{error}{status}, "INVALID_ARGUMENT", "nothing to count: Google's");


# 4. a client that has an envelope

my $inner = qq({"contents":$contents,"session_id":"s-1"});

$r = gemini("/ga/v1internal:generateContent",
            qq({"model":"gemini-3-flash","project":"mine","user_prompt_id":"p",)
            . qq("request":$inner}), "User-Agent: GeminiCLI-tui/0.61.0");
is($r->status, 200, "F015: a client of Code Assist") || diag($r->body);
ok($r->json->{response}{candidates}, "F015: gets the envelope");
like($r->json->{traceId}, qr/^\w+$/, "F015: and all that is in it");
is($up->last->{body}, qq({"model":"gemini-3-flash","project":"project-one",)
   . qq("user_prompt_id":"p","request":$inner}),
   "F015: the project is the account's, all else as it was");
is(header("user-agent"), "GeminiCLI-tui/0.61.0", "F015: its own name");

$r = gemini("/ga/v1internal:streamGenerateContent?alt=sse",
            qq({"request":$inner,"model":"gemini-3-flash"}));
is(scalar $r->events, 5, "F015: a stream");
is(seen()->{project}, "project-one", "F015: a project where there was none");
like(($r->events)[0][1], qr/^\{"response": /, "F015: events in envelopes");

$r = gemini("/ga/v1internal:generateContent", '{"model":"m"}');
is($r->status, 400, "no request");
is($r->json->{error}{message}, "request: Field required", "no request: told");

$r = gemini("/ga/v1internal:countTokens",
            qq({"request":{"model":"models/gemini-2.5-pro",)
            . qq("contents":$contents}}));
like($r->body, qr/totalTokens/, "F015: counting");


# 5. what else it asks

my $metadata = '"metadata":{"ideType":"IDE_UNSPECIFIED","duetProject":"mine"}';

$r = gemini("/ga/v1internal:loadCodeAssist",
            qq({"cloudaicompanionProject":"mine",$metadata}));
is($r->json->{cloudaicompanionProject}, "project-one", "F015: loadCodeAssist")
    || diag($r->body);
is($up->last->{body}, '{"cloudaicompanionProject":"project-one",'
   . $metadata =~ s/mine/project-one/r . '}', "F015: its project");

$r = gemini("/ga/v1internal:onboardUser",
            qq({"tierId":"standard-tier","cloudaicompanionProject":"mine"}));
is($r->json->{done}, 1, "F015: onboardUser") || diag($r->body);

$r = $nginx->get("/ga/v1internal/operations/1.x");
is($r->json->{name}, "operations/1.x", "F015: an operation");

$r = gemini("/ga/v1internal:listExperiments", '{"project":"mine"}');
is($r->status, 200, "F015: listExperiments") || diag($r->body);

for my $body ('{"project":"mine"}', '{}', '{"userAgent":"GeminiCLI/1"}',
              '{"project":null}')
{
    $r = gemini("/ga/v1internal:retrieveUserQuota", $body);
    is(scalar @{ $r->json->{buckets} // [] }, 4, "F015: quota, $body")
        || diag($r->body);
    is(seen()->{project}, "project-one", "F015: quota, its project");
}

$r = gemini("/ga/v1internal:fetchAdminControls", '{"project":"mine"}');
is($r->status, 200, "F015: fetchAdminControls");

$r = $nginx->get("/ga/v1internal:getCodeAssistGlobalUserSetting");
is($r->status, 200, "F015: getCodeAssistGlobalUserSetting");

my $id = $up->last->{id};

$r = gemini("/ga/v1internal:setCodeAssistGlobalUserSetting",
            '{"freeTierDataCollectionOptin":true}');
is($r->status, 403, "settings are not a client's to change");
is($r->json->{error}{status}, "PERMISSION_DENIED", "settings: Google's words");

$r = gemini("/ga/v1internal:loadCodeAssist", '{"metadata":');
is($r->status, 400, "a body that is cut");
$r = gemini("/ga/v1internal:loadCodeAssist", '[]');
is($r->status, 400, "a body that is no object");
$r = gemini("/ga/v1internal:load%0d%0aX:1", '{}');
is($r->status, 404, "a method that is none");
$r = gemini("/ga/v1beta/models/x%0d%0aX-Evil:%201:generateContent", $body);
is($r->status, 404, "a model that is none");
is($up->last->{id}, $id, "none of these came through");

$r = gemini("/ga/v1beta/models/x%20X-Evil:%201:generateContent", $body);
is(header("x-evil"), undef, "a model is no header");


# 6. accounts

$r = gemini("/other/v1internal:loadCodeAssist", '{}');
is($r->status, 400, "F015: no account of the kind");
is($r->json->{error}{status}, "INVALID_ARGUMENT", "F015: Google's words");
like($r->json->{error}{message}, qr/^invalid_account_type: /, "F015: why");

$r = gemini("/other/v1internal:generateContent",
            qq({"model":"gemini-3-flash","request":$inner}));
is($r->status, 400, "F015: nor for what is generated");

$r = gemini("/keyed/v1internal:streamGenerateContent?alt=sse",
            qq({"model":"gemini-3-flash","request":$inner}));
is($r->status, 400, "F015: nor for accounts with a key");
like($r->json->{error}{message}, qr/^invalid_account_type: /, "F015: why");

$r = gemini("/mixed/v1internal:generateContent",
            qq({"model":"gemini-3-flash","request":$inner}));
is($r->status, 200, "F015: of several the one that can") || diag($r->body);
is($nginx->log->{account}, "mixed", "F015: although it is not the first");

$r = gemini("/mixed$model:generateContent", $body);
is($nginx->log->{account}, "keyed", "F015: the first of those that can");

$r = gemini("/bare$model:generateContent", $body);
is($r->status, 400, "no project") || diag($r->body);
is($up->last->{target}, "/v1internal:generateContent",
   "a base URL with the version");
like(header("user-agent"), qr{^GeminiCLI/1\.2\.3/}, "another version");

$r = gemini("/bare/v1internal:listExperiments", '{"project":"project-two"}');
is($r->status, 200, "no project: a client's is left");
is($up->last->{body}, '{"project":"project-two"}', "no project: as it was");


# 7. failures

sub state {
    my ($one) = grep { $_->{name} eq $_[0] }
                map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };
    return $one;
}

sub with {
    my ($code, $more, $model) = @_;
    $up->behave("ya29.three", "status=" . ($more // 429) . ",code=$code");
    return another($model);
}

# no session binds it

my $n = 0;

sub another {
    my ($model) = @_;
    $n++;
    return gemini("/both/v1beta/models/$model:generateContent",
                  $body =~ s/"text":"/"text":"$n/r);
}

# a stream that begins with an error is another account's, in either form

for ("?alt=sse", "") {
    my $model = "gemini-d" . length;

    $up->behave("ya29.three", "error-first=x");
    $r = gemini("/both/v1beta/models/$model:streamGenerateContent$_",
                $body =~ s/"text":"/"text":"d/r);
    is($r->status, 200, "a stream that begins with an error, $_");
    is(seen()->{project}, "project-four", "is another account's, $_");
    unlike($r->body, qr/"error"/, "and nothing of it is seen, $_");
}

# account "first" fails once, and rests for this model or as a whole

for (["QUOTA_EXHAUSTED", 429, "model-limited"],
     ["VALIDATION_REQUIRED", 403, "disabled"])
{
    my ($code, $status, $class) = @$_;

    # the second one is about another model

    $r = with($code, $status, $status == 429 ? "gemini-2.5-pro"
                                             : "gemini-3-flash");
    is($r->status, 200, "$code: another account") || diag($r->body);
    is(seen()->{project}, "project-four", "$code: another project");
    is(state("first")->{last_error}{class}, $class, "$code: $class");

    if ($status == 429) {
        ok(state("first")->{resting_families}{"2.5-pro"},
           "$code: a rest for the model") || diag(encode($nginx->health));

        $up->behave("ya29.three", "");
        $r = another("gemini-2.5-flash");
        is(seen()->{project}, "project-three", "$code: not for another");
    }

}

$up->behave("ya29.four", "status=404");
$r = another("gemini-2.5-pro");
is($r->status, 404, "a failure that is the client's");
is($r->json->{error}{status}, "NOT_FOUND", "a failure in Google's words");

$r = gemini("/ga$model:streamGenerateContent?alt=sse", $body,
            "x-sandbox: error-at=2");
like($r->body, qr/"error":\{"code":503/, "a failure in a stream");
is(scalar(() = $r->body =~ /"candidates"/g), 2, "a failure in a stream: late");

# each for another model, as that of the failure rests

$r = gemini("/ga/v1beta/models/gemini-a:streamGenerateContent", $body,
            "x-sandbox: error-at=2");
is($r->json->[2]{error}{code}, 503, "a failure in an array");

$r = gemini("/ga/v1beta/models/gemini-b:streamGenerateContent?alt=sse", $body,
            "x-sandbox: cut-at=2");
ok($r->body =~ /"error"/ || !$r->complete, "a stream that breaks is told");

$r = gemini("/ga/v1beta/models/gemini-c:generateContent", $body,
            "x-sandbox: status=429,html");
is($r->status, 429, "a failure that is not Google's");

finish();
