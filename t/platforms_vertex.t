#!/usr/bin/perl

# Claude on Vertex and in Foundry, for clients of the Messages API and for
# those that speak Vertex's paths.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

sub vertex {
    my ($name, $more) = @_;

    return account($name, "platform vertex; api_key ya29.$name; project p-1;"
                          . " $more");
}

my $nginx = relay(
    workers => 1,
    http => <<'END',
        claude_relay_control unix:%%DIR%%/control.sock;
        claude_relay_rest overloaded=0 unauthorized=0;
        claude_relay_key few { secret few-secret-0002;
                               models claude-sonnet-*; }
END
    accounts => vertex("main", "region us-east5; priority 200;")
        . vertex("mapped", "pool mapped; base_url %%UP%%/prefix;"
                           . " model_map claude-opus-* \"we ird/x?y\";"
                           . " model_map *haiku* claude-haiku-4-5-20251001;")
        . account("other", "priority 50;")
        . vertex("bad", "pool bad; api_key wrong-token;") =~ s/api_key ya29.bad; //r
        . account("foundry", "platform foundry; pool foundry; resource r1;"
                             . " api_key foundry-key-1;")
        . account("entra", "platform foundry; pool entra;"
                           . " api_key eyJhbGciOi.x.y;"),
    server => <<'END',
        claude_relay_retry_wait 0;

        location /mapped/ { claude_relay; claude_relay_pool mapped; }
        location /bad/ { claude_relay; claude_relay_pool bad; }
        location /foundry/ { claude_relay; claude_relay_pool foundry; }
        location /entra/ { claude_relay; claude_relay_pool entra; }
        location /file/ { claude_relay; client_body_in_file_only clean; }
END
);

my ($r, $line);

sub body { $up->last->{body} }

my $where = "/v1/projects/p-1/locations/us-east5/publishers/anthropic/models";


# 1. clients of the Messages API

my $rest = '"max_tokens":9,"messages":[{"role":"user","content":"hi"}]';

for (["first", "{\"model\":\"claude-sonnet-4-6\",$rest}", "{$rest,%s}"],
     ["last", "{$rest , \"model\" : \"claude-sonnet-4-6\" }", "{$rest ,%s}"],
     ["in the middle", "{\"x\":1,\"model\":\"claude-sonnet-4-6\",$rest}",
      "{\"x\":1,$rest,%s}"])
{
    my ($name, $in, $out) = @$_;

    for my $location ("", "/file") {
        $r = $nginx->post("$location/v1/messages", $in);

        is($r->status, 200, "vertex: the model stands $name")
            or diag $r->body;
        is($up->last->{target}, "$where/claude-sonnet-4-6:rawPredict",
           "vertex: it is in the path");
        is(body(), sprintf($out, '"anthropic_version":"vertex-2023-10-16"'),
           "vertex: and not in the body, of which all other bytes stay");
        is($up->last->{credential}, "ya29.main", "vertex: with its token");
        is($up->last->{auth}, "authorization", "vertex: and no key");
    }
}

$r = $nginx->post("/v1/messages?beta=true", stream(),
                  "anthropic-beta: interleaved-thinking-2025-05-14");
is(($r->events)[-1][0], "message_stop", "vertex: a stream");
is($up->last->{target}, "$where/claude-sonnet-4-6:streamRawPredict",
   "vertex: of another path");
is(join("|", $up->header("anthropic-beta")),
   "interleaved-thinking-2025-05-14", "vertex: betas go on as a header");

$line = $nginx->log;
is($line->{model}, "claude-sonnet-4-6", "vertex: the log has the model");
ok($line->{output_tokens} > 0, "vertex: and its usage");

$nginx->post("/v1/messages", message(model => "claude-opus-4-5-20251101"));
is($up->last->{target}, "$where/claude-opus-4-5\@20251101:rawPredict",
   "vertex: a date is written in its way");

$nginx->post("/v1/messages", message(model => "claude-x-2025110"));
is($up->last->{target}, "$where/claude-x-2025110:rawPredict",
   "vertex: what is no date is not");

$r = $nginx->post("/v1/messages/count_tokens", message());
is($r->status, 200, "vertex: tokens are counted") or diag $r->body;
is($up->last->{target}, "$where/count-tokens:rawPredict",
   "vertex: by a path of its own");
is(json(body())->{model}, "claude-sonnet-4-6", "vertex: with the model");

$r = $nginx->post("/v1/messages/count_tokens",
                  message(model => "claude-opus-4-5-20251101"));
is(json(body())->{model}, "claude-opus-4-5\@20251101",
   "vertex: in its way of writing");


# 2. the account's map, and what a path cannot have

$r = $nginx->post("/mapped/v1/messages", message(model => "claude-haiku-9"));
is($r->status, 200, "vertex: a model that is mapped");
is($up->last->{target},
   "/prefix/v1/projects/p-1/locations/global/publishers/anthropic/models/"
   . "claude-haiku-4-5\@20251001:rawPredict", "vertex: is in the path");
ok(!exists json(body())->{model}, "vertex: and in no body");

$r = $nginx->post("/mapped/v1/messages/count_tokens",
                  message(model => "claude-haiku-9"));
is(json(body())->{model}, "claude-haiku-4-5\@20251001",
   "vertex: mapped and counted");

$nginx->post("/mapped/v1/messages", message(model => "claude-opus-9"));
like($up->last->{target}, qr{/models/we%20ird%2Fx%3Fy:rawPredict$},
     "vertex: a model does not leave its segment");


# 3. clients that speak Vertex's paths

my $native = '{"anthropic_version":"vertex-2023-10-16",' . $rest . '}';
my $streamed = '{"anthropic_version":"vertex-2023-10-16","stream":true,'
               . $rest . '}';

for my $prefix ("/v1", "", "/vertex/v1", "/vertex") {
    my $path = "$prefix/projects/any/locations/europe-west1/publishers"
               . "/anthropic/models";

    $r = $nginx->post("$path/claude-sonnet-4-6:rawPredict", $native);
    is($r->status, 200, "vertex: its own path below \"$prefix\"")
        or diag $r->body;
    is($up->last->{target}, "$where/claude-sonnet-4-6:rawPredict",
       "vertex: with the account's project and region");
    is(body(), $native, "vertex: the body is the client's");

    $r = $nginx->post("$path/claude-sonnet-4-6:streamRawPredict", $streamed);
    is(($r->events)[-1][0], "message_stop", "vertex: a stream");
    is($up->last->{target}, "$where/claude-sonnet-4-6:streamRawPredict",
       "vertex: its path");
}

$line = $nginx->log;
is($line->{model}, "claude-sonnet-4-6", "vertex: the model of a path is told");
ok($line->{output_tokens} > 0, "vertex: and its usage");
is($line->{account}, "main", "vertex: of an account of this platform");

my $path = "/v1/projects/any/locations/x/publishers/anthropic/models";

$r = $nginx->post("$path/count-tokens:rawPredict",
                  '{"anthropic_version":"vertex-2023-10-16","model":"m",'
                  . $rest . '}');
is($r->status, 200, "vertex: tokens are counted at its own path");

for (["few-secret-0002", "claude-sonnet-5", 200],
     ["few-secret-0002", "claude-opus-5", 403])
{
    $r = $nginx->request("POST", "$path/$_->[1]:rawPredict", key => $_->[0],
                         body => $native);
    is($r->status, $_->[2], "vertex: a key's models: $_->[1]");
}

for (["GET", "$path/m:rawPredict", 405], ["POST", "$path/m:predict", 404],
     ["POST", "$path/:rawPredict", 404], ["POST", "$path/m", 404],
     ["POST", "/v1/projects/a/locations/publishers/anthropic/models/m:rawPredict",
      404],
     ["POST", "/v1/projects//locations/b/publishers/anthropic/models/m:x", 404],
     ["POST", "/v1/projects/a/locations/b/publishers/google/models/m:rawPredict",
      404])
{
    my $n = $up->requests;

    $r = $nginx->request($_->[0], $_->[1],
                         body => $_->[0] eq "POST" ? $native : undef);
    is_error($r, $_->[2], $_->[2] == 405 ? "invalid_request_error"
                                         : "not_found_error",
             "vertex: $_->[0] $_->[1]");
    is($up->requests, $n, "vertex: nobody is asked");
}

$r = $nginx->post("$path/m:rawPredict", "{");
is_error($r, 400, "invalid_request_error", "vertex: a broken body");


# 4. failures

$r = $nginx->post("/bad/v1/messages", message());
is($r->status, 401, "vertex: a token that is refused") or diag $r->body;
unlike($r->body . $nginx->error_log, qr/wrong-token/,
       "vertex: is shown to nobody");

$up->behave("ya29.main", "status=529");
$r = $nginx->post("/v1/messages", message());
is($r->status, 200, "vertex: another platform answers in its place");
is($up->last->{target}, "/v1/messages", "vertex: at its own path");
is(body(), message(), "vertex: with the body as it came");
$up->behave("ya29.main", "");


# an operator's test goes the same way

$r = $nginx->control("POST", "/v1/accounts/main/test", {});
ok($r->json->{ok}, "vertex: an account is tested") or diag $r->body;
like($up->last->{target}, qr{^\Q$where\E/claude-haiku-[\w@-]+:rawPredict$},
     "vertex: by its own path");
is(json(body())->{anthropic_version}, "vertex-2023-10-16",
   "vertex: with a body of its own");
ok(!exists json(body())->{model}, "vertex: without a model");

$r = $nginx->control("POST", "/v1/accounts/bad/test", {});
ok(!$r->json->{ok}, "vertex: or that it fails");
is($r->json->{status}, 401, "vertex: with the status");

$r = $nginx->control("POST", "/v1/accounts/foundry/test", {});
ok($r->json->{ok}, "foundry: an account is tested") or diag $r->body;


# 5. Foundry

$r = $nginx->post("/foundry/v1/messages?beta=true", message());
is($r->status, 200, "foundry: a message");
is($up->last->{target}, "/v1/messages?beta=true", "foundry: the path stays");
is($up->last->{auth}, "x-api-key", "foundry: a key");
is(body(), message(), "foundry: and the body");

$r = $nginx->post("/entra/v1/messages", message());
is($up->last->{auth}, "authorization", "foundry: a token is a bearer");


# 6. what cannot be

for (["platform vertex; api_key ya29.x;", qr/no "project" in account/],
     ["platform vertex; api_key ya29.x; project a/b;",
      qr/"project" in account "x" must have/],
     ["platform vertex; api_key ya29.x; project a; region example.com/;",
      qr/"region" in account "x" must have/],
     ["platform vertex; api_key ya29.x; project a; region \"\";",
      qr/no "region" in account/],
     ["platform vertex; api_key ya29.x; project a; resource b;",
      qr/unknown directive "resource"/],
     ["platform foundry; api_key x;", qr/no "base_url" in account/],
     ["platform foundry; api_key x; resource a.b;",
      qr/"resource" in account "x" must have/])
{
    my ($ok, $said) = config("claude_relay_zone relay:1m;\n"
                             . "claude_relay_account x { $_->[0] }\n");

    ok(!$ok, "it does not start: $_->[0]");
    like($said, $_->[1], "and says why");
}

for (["project a; region us-east5;", "us-east5-aiplatform.googleapis.com"],
     ["project a;", "aiplatform.googleapis.com"],
     ["project a; region eu;", "aiplatform.eu.rep.googleapis.com"])
{
    my ($ok, $said) = config("claude_relay_zone relay:1m;\n"
                             . "claude_relay_account x { platform vertex; "
                             . "api_key ya29.x; $_->[0] }\n");

    ok($ok, "it starts: $_->[0]") or diag $said;
}


finish();
