#!/usr/bin/perl

# Factory's Droid (anthropic.md J): its routes, headers and bodies.  The
# sandbox insists on what J.3 and J.4 tell.  F021, F088.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

sub droid {
    my ($name, $more) = @_;

    $more //= "";
    $more .= " user_agent factory-cli/0.32.1; factory_client cli;"
        if $name !~ /^(own|bare)$/;

    return account($name, "platform droid; api_key fk-$name-000001; $more");
}

my $nginx = relay(
    workers => 1,
    http => <<'END',
        claude_relay_control unix:%%DIR%%/control.sock;
        claude_relay_rest overloaded=0 unauthorized=1h;
        claude_relay_key other { secret other-secret-0002;
                                 permissions claude; }
        claude_relay_key droids { secret droid-secret-0003;
                                  permissions droid; }
END
    accounts => droid("main")
        . droid("own", "pool own; user_agent factory-cli/9.9.9;"
                       . " factory_client desk; api_provider bedrock_anthropic;"
                       . " base_url %%UP%%;")
        . droid("says", "pool says; system_prompt on;")
        . droid("bare", "pool bare;")
        . droid("first", "pool keys; priority 200;")
        . droid("second", "pool keys;")
        . account("claude"),
    server => <<'END',
        claude_relay_retry_wait 0;
        claude_relay_sticky off;

        location /sticky/ { claude_relay; claude_relay_sticky ttl=1h; }
        location /own/ { claude_relay; claude_relay_pool own; }
        location /says/ { claude_relay; claude_relay_pool says; }
        location /bare/ { claude_relay; claude_relay_pool bare; }
        location /keys/ { claude_relay; claude_relay_pool keys; }
END
);

my $r;

sub body { $up->last->{body} }

sub hdr { my $v = $up->header($_[0]); return $v }


# 1. messages

$r = $nginx->post("/droid/claude/v1/messages", message());

is($r->status, 200, "F021: messages");
is($up->last->{target}, "/api/llm/a/v1/messages", "F021: their path");
is($up->last->{credential}, "fk-main-000001", "F088: an API key");
is($up->last->{auth}, "authorization", "F088: as a bearer");
is(hdr("x-api-key"), "placeholder", "J.3: x-api-key shows nothing");
is(hdr("x-factory-client"), "cli", "J.3: x-factory-client");
is(hdr("user-agent"), "factory-cli/0.32.1", "J.3: user-agent");
is(hdr("x-api-provider"), "anthropic", "J.3: x-api-provider");
is(hdr("anthropic-version"), "2023-06-01", "J.3: anthropic-version");
like(hdr("x-session-id"),
     qr/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/,
     "J.3: x-session-id is a UUID");
is(body(), message(), "F021: the body goes on as it is");
unlike(join("", @{ [$up->header("anthropic-beta")] }), qr/interleaved/,
       "J.3: no beta without thinking");

$r = $nginx->post("/droid/claude/v1/messages?beta=true", stream());
is(($r->events)[-1][0], "message_stop", "F021: a stream");
ok($nginx->log->{output_tokens} > 0, "F021: its usage");

my $n = $up->requests;

$r = $nginx->post("/droid/claude/v1/messages/count_tokens", message());
isnt($r->status, 200, "F021: tokens are not counted there");
is($up->requests, $n, "F021: nobody is asked");

$r = $nginx->post("/v1/messages", message());
is($r->status, 200, "F021: without the mount any account may answer");


# 2. bodies, J.4

my $long = "x" x 30000;

for (["metadata in front", '{"metadata":{"user_id":"u"},"model":"m"%s}',
      '{"model":"m"%s}'],
     ["metadata behind", '{"model":"m" , "metadata" : {"a":[1]}%s }',
      '{"model":"m"%s }'],
     ["metadata last", '{"model":"m"%s,"metadata":null}', '{"model":"m"%s}'],
     ["temperature wins",
      '{"model":"m","top_p":0.5,"temperature":1%s}',
      '{"model":"m","temperature":1%s}'],
     ["top_p alone stays", '{"model":"m","top_p":0.5%s}',
      '{"model":"m","top_p":0.5%s}'],
     ["all of it", '{"top_p":1,"metadata":{},"model":"m","temperature":0%s}',
      '{"model":"m","temperature":0%s}'])
{
    my ($name, $in, $out) = @$_;

    for my $text ("hi", $long) {
        my $rest = ',"max_tokens":9,"messages":[{"role":"user","content":"'
                   . $text . '"}]';

        $r = $nginx->post("/droid/claude/v1/messages", sprintf($in, $rest));

        is($r->status, 200, "J.4: $name") or diag $r->body;
        is($up->last->{body_sha256}, sha256(sprintf($out, $rest)),
           "J.4: $name: all other bytes stay");
    }
}

$nginx->post("/droid/claude/v1/messages",
             message(thinking => { type => "enabled", budget_tokens => 1024 }));
is(join(",", $up->header("anthropic-beta")), "interleaved-thinking-2025-05-14",
   "J.3: the beta of thinking");

$nginx->post("/droid/claude/v1/messages",
             message(thinking => { type => "enabled", budget_tokens => 1024 }),
             "anthropic-beta: a, interleaved-thinking-2025-05-14");
is(join("|", $up->header("anthropic-beta")),
   "a, interleaved-thinking-2025-05-14", "J.3: once only");

unlike(body(), qr/You are Droid/, "J.4: no sentence unless it is asked for");


# 3. the sentence

my $sentence = "You are Droid, an AI software engineering agent built by "
               . "Factory.";
my $block = { type => "text", text => $sentence };

for (["none", undef, [$block]],
     ["a string", "Be short.", [$block, { type => "text",
                                          text => "Be short." }]],
     ["an empty one", "", [$block]],
     ["blocks", [{ type => "text", text => "a" }],
      [$block, { type => "text", text => "a" }]],
     ["no blocks", [], [$block]],
     ["it is there", [$block], [$block]],
     ["it is there as a string", "$sentence More.", "$sentence More."])
{
    my ($name, $system, $want) = @$_;

    $r = $nginx->post("/says/droid/claude/v1/messages",
                      message(metadata => { user_id => "u" },
                              defined $system ? (system => $system) : ()));

    is($r->status, 200, "J.4: the sentence: $name") or diag $r->body;
    is_deeply(json(body())->{system}, $want, "J.4: the sentence: $name");
    ok(!exists json(body())->{metadata}, "J.4: and no metadata: $name");
}


# the other two routes

my $chat = '{"model":"MODEL","messages":[{"role":"user","content":"hi"}]}';
my $response = '{"model":"MODEL", "input":"hi"}';

for (["chat", "/droid/comm/v1/chat/completions",
      "/api/llm/o/v1/chat/completions", $chat,
      [["claude-x", "anthropic"], ["gemini-3", "google"],
       ["glm-5", "fireworks"], ["gpt-5", "azure_openai"],
       ["kimi-k3", "baseten"]]],
     ["responses", "/droid/openai/v1/responses", "/api/llm/o/v1/responses",
      $response, [["gpt-5", "azure_openai"], ["gpt-5.1-codex-max",
                                              "openai"]]])
{
    my ($name, $path, $target, $text, $models) = @$_;

    for (@$models) {
        my $body = $text =~ s/MODEL/$_->[0]/r;

        $r = $nginx->post($path, $body);

        is($r->status, 200, "F021: $name: $_->[0]") or diag $r->body;
        is($up->last->{target}, $target, "F021: $name: its path");
        is(body(), $body, "F021: $name: the body goes on as it is");
        is(hdr("x-api-provider"), $_->[1], "J.3: $name: x-api-provider");
        is($up->last->{credential}, "fk-main-000001", "F088: $name: the key");
    }

    my $log = $nginx->log;

    ok($log->{output_tokens} > 0, "F021: $name: its usage");

    my $more = $name eq "chat" ? ',"stream_options":{"include_usage":true}'
                               : "";
    my $body = $text =~ s/MODEL/gpt-5/r =~ s/\}$/,"stream":true$more}/r;

    $r = $nginx->post($path, $body);
    is($r->status, 200, "F021: $name: a stream");
    like($r->body, $name eq "chat" ? qr/data: \[DONE\]\n\n$/
                                   : qr/event: response\.completed\n/,
         "F021: $name: to its end");
    ok($nginx->log->{output_tokens} > 0, "F021: $name: and its usage");
}

for (["none", '"input":"hi"', $sentence],
     ["some", '"instructions":"Be short.","input":"hi"',
      "$sentence\n\nBe short."],
     ["null", '"instructions":null,"input":"hi"', $sentence],
     ["it is there", '"instructions":"' . $sentence . ' x","input":"hi"',
      "$sentence x"])
{
    $r = $nginx->post("/says/droid/openai/v1/responses",
                      "{\"model\":\"gpt-5\",$_->[1]}");

    is($r->status, 200, "J.4: instructions: $_->[0]") or diag $r->body;
    is(json(body())->{instructions}, $_->[2], "J.4: instructions: $_->[0]");
}


# 4. fields of the account, and clients that are Droid

$r = $nginx->post("/own/droid/claude/v1/messages", message());
is($r->status, 200, "F088: fields of an account");
is(hdr("user-agent"), "factory-cli/9.9.9", "F088: user_agent");
is(hdr("x-factory-client"), "desk", "F088: factory_client");
is(hdr("x-api-provider"), "bedrock_anthropic", "F088: api_provider");

$nginx->post("/droid/claude/v1/messages", message(),
             "user-agent: factory-cli/0.215.0", "x-session-id: s-1",
             "x-factory-client: tui", "x-api-provider: bedrock_anthropic");
is(join("|", $up->header("user-agent")), "factory-cli/0.215.0",
   "F021: Droid says who it is");
is(join("|", $up->header("x-session-id")), "s-1", "F021: and its session");
is(join("|", $up->header("x-factory-client")), "tui", "F021: and its kind");
is(join("|", $up->header("x-api-provider")), "bedrock_anthropic",
   "F021: and its provider");

$nginx->post("/bare/droid/claude/v1/messages", message(),
             "user-agent: curl/9");
is(join("|", $up->header("user-agent")), "curl/9",
   "F088: an empty user_agent is the client's");
is(join("|", $up->header("x-factory-client")), "",
   "F088: and no x-factory-client is made up");
ok(!(grep { /^x-factory-client/i } map { ref $_ ? $_->[0] : $_ }
         @{ $up->last->{headers} }), "F088: nor an empty one");


# a session has one UUID

my @ids;

for (1, 1, 2) {
    $nginx->post("/sticky/droid/claude/v1/messages",
                 message(metadata => { user_id => "u_session_$_" }));
    push @ids, hdr("x-session-id");
}

is($ids[0], $ids[1], "J.4: a session's id is the same in each request");
isnt($ids[0], $ids[2], "J.4: another's is not");


# 5. keys of several accounts (J.4): 401, 402, 403 are about the key

$up->behave("fk-first-000001", "status=400");
$r = $nginx->post("/keys/droid/claude/v1/messages", message());
is($r->status, 400, "J.4: a 400 is the client's");
$up->behave("fk-first-000001", "status=401");
$r = $nginx->post("/keys/droid/claude/v1/messages", message());
is($r->status, 200, "J.4: a 401 is the key's: another one answers");
is($up->last->{credential}, "fk-second-000001", "F088: of the same pool");
$up->behave("fk-first-000001", "");

$n = $up->requests;
$r = $nginx->post("/keys/droid/claude/v1/messages", message());
is($up->last->{credential}, "fk-second-000001", "J.4: the key rests");
is($up->requests, $n + 1, "J.4: it is not asked");


# an operator's test goes the same way

$r = $nginx->control("POST", "/v1/accounts/main/test", {});
ok($r->json->{ok}, "F088: an account is tested") or diag $r->body;
is($up->last->{target}, "/api/llm/a/v1/messages", "F088: by its own path");


# 6. permissions

for (["other-secret-0002", 403, "claude"], ["droid-secret-0003", 200, "droid"])
{
    $r = $nginx->request("POST", "/droid/claude/v1/messages", key => $_->[0],
                         body => message());
    is($r->status, $_->[1], "F021: a key with the permission $_->[2]");
}

$r = $nginx->request("POST", "/v1/messages", key => "droid-secret-0003",
                     body => message());
is($r->status, 403, "F021: a key for droid is for these mounts");


finish();
