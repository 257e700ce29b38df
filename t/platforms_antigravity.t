#!/usr/bin/perl

# F083: Antigravity, Code Assist's other envelope (others.md C7).

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    workers => 1,
    accounts =>
        account("anti", "platform antigravity; access_token ya29.one;"
                        . " client_version 2.9.1;"
                        . " project project-one;")
        . account("old", "platform antigravity; access_token ya29.two;"
                         . " project project-two; client_version 1.15.8;"
                         . " client_os windows/amd64; pool old;")
        . account("mapped", "platform antigravity; access_token ya29.three;"
                            . " project project-three; pool mapped;"
                            . " model_map gemini-3-pro-preview my-model;")
        . account("cli", "platform code-assist; access_token ya29.four;"
                         . " project project-four; pool cli;"),
    server => <<'END',
        location /old/ { claude_relay; claude_relay_pool old; }
        location /mapped/ { claude_relay; claude_relay_pool mapped; }
        location /cli/ { claude_relay; claude_relay_pool cli; }
END
);

my $r;
my $contents = '[{"role":"user","parts":[{"text":"hi"}]}]';
my $body = qq({"contents":$contents});

sub gemini {
    my ($path, $body, @more) = @_;
    return $nginx->request("POST", $path, body => $body, headers => \@more);
}

sub models { return "/v1beta/models/$_[0]" }
sub seen { return json($up->last->{body}) }
sub header { return scalar $up->header($_[0]) }


# 1. a client of the Gemini API

$r = gemini(models("gemini-3-flash:generateContent"), $body,
            "User-Agent: google-genai-sdk/1");
is($r->status, 200, "F083: a body in an envelope") || diag($r->body);
is($r->json->{candidates}[0]{finishReason}, "STOP", "F083: without one");

is(seen()->{project}, "project-one", "F083: the project");
is(seen()->{userAgent}, "antigravity", "F083: userAgent");
is(seen()->{requestType}, "agent", "F083: requestType");
like(seen()->{requestId}, qr/^agent-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
     "F083: requestId");
like(seen()->{request}{sessionId}, qr/^-\d{1,19}$/, "F083: sessionId");
is(header("user-agent"), "antigravity/2.9.1 darwin/arm64", "F083: User-Agent");

my $session = seen()->{request}{sessionId};
my $id = seen()->{requestId};

gemini(models("gemini-3-flash:generateContent"), $body);
is(seen()->{request}{sessionId}, $session, "F083: a session is the same");
isnt(seen()->{requestId}, $id, "F083: a request is not");

gemini(models("gemini-3-flash:generateContent"), $body =~ s/hi/ho/r);
isnt(seen()->{request}{sessionId}, $session, "F083: another session");

$r = gemini(models("gemini-3-flash:streamGenerateContent?alt=sse"), $body);
is(scalar $r->events, 5, "F083: a stream");
is(header("accept"), "text/event-stream", "F083: what it accepts");
$r = gemini(models("gemini-3-flash:streamGenerateContent"), $body);
is(scalar @{ $r->json }, 5, "F083: a stream as an array");

$r = gemini(models("gemini-3.1-flash-image:generateContent"), $body);
is(seen()->{requestType}, "image_gen", "F083: an image");

$r = gemini(models("gemini-3-flash:countTokens"), $body);
like($r->body, qr/totalTokens/, "F083: counting");


# 2. what it does not take, and how it is spelled

$r = gemini(models("gemini-3-flash:generateContent"),
            qq({"system_instruction" : {"parts":[{"text":"s"}]},)
            . qq("safetySettings":[],"contents":$contents,"labels":{},)
            . qq("generation_config":{"topK":1},"toolConfig":{}}));
is($r->status, 200, "F083: other spellings") || diag($r->body);
is(join(" ", sort keys %{ seen()->{request} }), "contents generationConfig"
   . " sessionId systemInstruction toolConfig", "F083: as it knows them");
is(seen()->{request}{systemInstruction}{parts}[0]{text}, "s",
   "F083: with what was in them");

$r = gemini(models("gemini-3-flash:generateContent"),
            qq({"contents":$contents,"max_tokens":5}));
is($r->status, 400, "F083: what nobody knows is refused there");
like($r->json->{error}{message}, qr/Unknown name "max_tokens"/,
     "F083: and told");


# 3. models

for (["gemini-3-pro-preview", "gemini-3.1-pro-high"],
     ["gemini-3.1-pro-preview", "gemini-3.1-pro-high"],
     ["claude-sonnet-4-6-thinking", "claude-sonnet-4-6"],
     ["claude-opus-4-6-thinking", "claude-opus-4-6-thinking"],
     ["gpt-oss-120b-medium", "gpt-oss-120b-medium"])
{
    gemini(models("$_->[0]:generateContent"), $body);
    is(seen()->{model}, $_->[1], "F083: $_->[0]");
}

gemini("/mapped" . models("gemini-3-pro-preview:generateContent"), $body);
is(seen()->{model}, "my-model", "F083: an operator's name counts more");

gemini("/mapped" . models("gemini-3-pro-preview:generateContent"), $body,
       "User-Agent: google-genai-sdk/2");
is(header("user-agent"), "google-genai-sdk/2",
   "F083: a client is who it says, unless client_version is written");


# 4. a client with an envelope of its own, and one with the other

my $own = qq({"project":"mine","requestId":"agent-) . "0" x 36
          . qq(","userAgent":"antigravity","requestType":"agent",)
          . qq("model":"gemini-3-flash","request":{"contents":$contents,)
          . qq("sessionId":"-5"}});

$r = gemini("/v1internal:streamGenerateContent?alt=sse", $own,
            "User-Agent: antigravity/2.10.0 linux/amd64");
is($r->status, 200, "F083: its own client") || diag($r->body);
is($up->last->{body}, $own =~ s/mine/project-one/r,
   "F083: another project, nothing else");
is(header("user-agent"), "antigravity/2.10.0 linux/amd64",
   "F083: under its name");
like($r->body, qr/^data: \{"response": /, "F083: with the envelope");

my $cli = qq({"model":"gemini-3-pro-preview","user_prompt_id":"p",)
          . qq("project":"mine","request":{"contents":$contents,)
          . qq("session_id":"s","safetySettings":[]}});

$r = gemini("/v1internal:generateContent", $cli,
            "User-Agent: GeminiCLI/0.61.0/x");
is($r->status, 200, "F083: the Gemini CLI") || diag($r->body);
is(join(" ", sort keys %{ seen() }), "model project request requestId"
   . " requestType userAgent", "F083: in the other envelope");
is(join(" ", sort keys %{ seen()->{request} }), "contents sessionId",
   "F083: and its request");
is(seen()->{model}, "gemini-3.1-pro-high", "F083: and its model");
is(header("user-agent"), "antigravity/2.9.1 darwin/arm64",
   "F083: under another name");

$r = gemini("/cli/v1internal:generateContent", $own,
            "User-Agent: something else");
is($r->status, 200, "F083: the other way round") || diag($r->body);
is(join(" ", sort keys %{ seen() }), "model project request",
   "F083: nothing of it is left");


# 5. the version

$r = gemini("/old" . models("gemini-3-flash:generateContent"), $body);
is(header("user-agent"), "antigravity/1.15.8 windows/amd64",
   "F083: the version is configured");
like($r->body, qr/no longer supported/, "F083: one that is too old");


# 6. quota

$r = gemini("/v1internal:fetchAvailableModels", "{}");
ok($r->json->{models}{"claude-sonnet-4-6"}, "F083: fetchAvailableModels")
    || diag($r->body);

finish();
