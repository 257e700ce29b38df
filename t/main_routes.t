#!/usr/bin/perl

# Method and path: what goes on, what is answered here, what is refused.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    workers => 1,
    http => "claude_relay_key bob { secret bob-secret-0002; }",
    accounts => account("one") . account("two")
                . account("oauth", "platform claude-oauth; pool oauth;"
                                   . " access_token sk-ant-oat01-t;"),
    server => <<'END',
        location /relay/ { claude_relay; claude_relay_cors *; }
        location /bare { claude_relay; }
        location /oauth/ { claude_relay; claude_relay_pool oauth; }
        location /turns/ { claude_relay; claude_relay_policy round-robin; }
        location /origins/ { claude_relay;
                             claude_relay_cors https://a.example
                                               https://b.example; }
END
);

my $r;

sub target { $up->last->{target} }


# 1. the five prefixes, DESIGN 4

for my $prefix ("", "/api", "/claude", "/anthropic", "/proxy") {
    my $name = $prefix || "no prefix";

    $r = $nginx->post("$prefix/v1/messages?beta=true", message());
    is($r->status, 200, "F001: messages, $name");
    is(target(), "/v1/messages?beta=true", "F001: the query is kept, $name");

    $r = $nginx->post("$prefix/v1/messages", stream());
    is(($r->events)[-1][0], "message_stop", "F002: a stream, $name");

    $r = $nginx->post("$prefix/v1/messages/count_tokens?beta=true", message());
    like($r->body, qr/^\{"input_tokens":\d+\}$/, "F003: count_tokens, $name");
    is(target(), "/v1/messages/count_tokens?beta=true", "F003: path, $name");

    $r = $nginx->get("$prefix/v1/models");
    ok(@{ $r->json->{data} } > 5, "F004: models, $name");

    $r = $nginx->get("$prefix/v1/messages/batches?limit=3");
    is($r->status, 200, "batches, $name");
    is(target(), "/v1/messages/batches?limit=3", "batches: path, $name");

    $r = $nginx->get("$prefix/v1/files");
    is($r->status, 200, "files, $name");
    is(target(), "/v1/files", "files: path, $name");
}

for my $args ("?", "?a=%20b&c=d+e&%C3%A4=%2F", "?beta=true&beta=true")
{
    $nginx->post("/v1/messages$args", message());
    is(target(), $args eq "?" ? "/v1/messages" : "/v1/messages$args",
       "a query goes on as it is: $args");
}


# 2. mounted below a location

for (["/relay/v1/messages", "a location /relay/"],
     ["/relay/api/v1/messages", "a prefix in a location"],
     ["/bare/v1/messages", "a location /bare"],
     ["/bare/claude/v1/messages", "a prefix in a location /bare"])
{
    $r = $nginx->post("$_->[0]?beta=true", message());
    is($r->status, 200, "F001: $_->[1]");
    is(target(), "/v1/messages?beta=true", "F001: $_->[1]: path");
}

is($nginx->request("HEAD", "/relay/", key => undef)->status, 200,
   "the probe / of a location");
is($nginx->request("HEAD", "/claude/", key => undef)->status, 200,
   "the probe / of a prefix");
is($nginx->request("HEAD", "/relay/api/hello", key => undef)->status, 200,
   "the probe /api/hello in a location");
is_error($nginx->post("/barely/v1/messages", message()), 404,
         "not_found_error", "F025: /barely is not below /bare");


# 3. unknown paths and methods

$up->reset;

for my $path ("/v1", "/v1/", "/v1/nix", "/v1/messages/", "/v1/messages/x",
              "/v1/messages/count_tokens/x", "/v1/message", "/v1/messagesx",
              "/V1/messages", "/v2/messages", "/v1/complete", "/v1/filesystem",
              "/v1/organizations/x/users", "/v1/messages/batchesx",
              "/openai/v1/nix", "/api/api/v1/messages", "/nix/v1/messages",
              "/api/hello/x", "/api/claude_code/settings", "/api", "/claude",
              "/favicon.ico", "/relay/nix", "/relay")
{
    $r = $nginx->get($path);
    is_error($r, 404, "not_found_error", "F025: GET $path");
    is($r->header("x-should-retry"), "false", "F025: no retry of $path");
}

is_error($nginx->post("/v1/nix", "x" x 100_000), 404, "not_found_error",
         "F025: POST with a body");

for (["GET", "/v1/messages", "POST"],
     ["HEAD", "/v1/messages", "POST"],
     ["PUT", "/v1/messages", "POST"],
     ["DELETE", "/v1/messages", "POST"],
     ["PATCH", "/anthropic/v1/messages", "POST"],
     ["GET", "/v1/messages/count_tokens", "POST"],
     ["POST", "/v1/models", "GET, HEAD"],
     ["DELETE", "/v1/models/claude-opus-5", "GET, HEAD"],
     ["PUT", "/v1/messages/batches", "GET, HEAD, POST, DELETE"],
     ["PUT", "/v1/files/x", "GET, HEAD, POST, DELETE"],
     ["POST", "/api/hello", "GET, HEAD"],
     ["POST", "/", "GET, HEAD"],
     ["GET", "/api/event_logging/batch", "POST"],
     ["POST", "/api/claude_cli/bootstrap", "GET, HEAD"],
     ["NIX", "/v1/messages", "POST"])
{
    my ($method, $path, $allow) = @$_;

    $r = $nginx->request($method, $path);

    is($r->status, 405, "$method $path: 405") || diag $r->head;
    is($r->header("allow"), $allow, "$method $path: Allow");
    is($r->header("x-should-retry"), "false", "$method $path: no retry");

    is($r->type, "invalid_request_error", "$method $path: dialect")
        if $method ne "HEAD";
}

is($up->requests, 0, "F025: nothing of this went upstream");

my $c = $nginx->connect;

for (["PUT", "/v1/messages", "x" x 10_000], ["POST", "/nix", "y" x 10_000],
     ["GET", "/nix", undef])
{
    my ($method, $path, $body) = @$_;
    $c->request($method, $path, body => $body)->response;
}

is($c->request("POST", "/v1/messages", body => message())->response->status,
   200, "the connection lives on after 404 and 405");


# 4. probes and telemetry: answered here, without a key (protocols F.1)

$up->reset;

for my $path ("/api/hello", "/") {
    for my $method ("HEAD", "GET") {
        $r = $nginx->request($method, $path, key => undef);
        is($r->status, 200, "probe: $method $path");
        is($r->header("content-length"), 0, "probe: $method $path is empty");
    }
}

for (["POST", "/api/event_logging/batch", '{"success":true}'],
     ["POST", "/api/event_logging/v2/batch", '{"success":true}'],
     ["POST", "/api/claude_code/metrics", '{"success":true}'],
     ["GET", "/api/claude_cli/bootstrap",
      '{"additional_model_options":[],"auto_compact_windows":{},'
      . '"client_data":{}}'],
     ["GET", "/api/claude_code/policy_limits", '{"restrictions":{}}'],
     ["GET", "/api/claude_code/organizations/metrics_enabled",
      '{"metrics_logging_enabled":false}'])
{
    my ($method, $path, $answer) = @$_;

    $r = $nginx->request($method, $path, key => undef,
                         $method eq "POST" ? (body => '{"events":[]}') : ());

    is($r->status, 200, "F006: $method $path");
    is($r->body, $answer, "F006: $method $path: answer");
    is($r->header("content-type"), "application/json", "F006: $path: type");
}

$r = $nginx->request("POST", "/api/event_logging/batch", key => "wrong-key-1",
                     body => "not json" x 50_000);
is($r->status, 200, "F006: any body and any key");

is($up->requests, 0, "F006: nothing of this went upstream");


# 5. OPTIONS and CORS

for my $path ("/v1/messages", "/v1/models", "/api/hello", "/v1/files/x",
              "/claude/v1/messages/count_tokens")
{
    $r = $nginx->request("OPTIONS", $path, key => undef);
    is($r->status, 204, "F029: OPTIONS $path");
    is($r->body . ($r->header("content-length") // ""), "",
       "F029: OPTIONS $path has no body");
    is($r->header("access-control-allow-origin"), undef,
       "F029: no origin is allowed by default");
}

is_error($nginx->request("OPTIONS", "/nix"), 404, "not_found_error",
         "F029: OPTIONS of an unknown path");

my @preflight = ("Origin: https://b.example",
                 "Access-Control-Request-Method: POST",
                 "Access-Control-Request-Headers: x-api-key,content-type");

$r = $nginx->request("OPTIONS", "/origins/v1/messages", key => undef,
                     headers => \@preflight);
is($r->status, 204, "F029: preflight");
is($r->header("access-control-allow-origin"), "https://b.example",
   "F029: an origin of the list");
is($r->header("access-control-allow-headers"), "x-api-key,content-type",
   "F029: the headers that were asked for");
like($r->header("access-control-allow-methods"), qr/\bPOST\b/, "F029: methods");
is($r->header("access-control-max-age"), 86400, "F029: max-age");
like($r->header("vary") // "", qr/Origin/i, "F029: Vary");

$r = $nginx->request("OPTIONS", "/origins/v1/messages",
                     headers => ["Origin: https://b.example.evil"]);
is($r->header("access-control-allow-origin"), undef, "F029: another origin");

for (["/origins/v1/messages", "https://a.example"], ["/relay/v1/messages", "*"])
{
    my ($path, $allowed) = @$_;

    $r = $nginx->post($path, message(text => "sandbox(extra-header="
                               . "Access-Control-Allow-Origin:https%3A//evil)"),
                      "Origin: https://a.example");
    is(join(" ", $r->header("access-control-allow-origin")), $allowed,
       "F029: an answer: $allowed");
    like($r->header("access-control-expose-headers"), qr/request-id/i,
         "F029: an answer exposes headers");
}

$r = $nginx->request("POST", "/relay/v1/messages", body => message(),
                     key => undef, headers => ["Origin: https://a.example"]);
is($r->status, 401, "F029: an error of the relay");
is($r->header("access-control-allow-origin"), "*",
   "F029: an error can be read by the browser, too");

$r = $nginx->post("/v1/messages", message(), "Origin: https://a.example");
is($r->header("access-control-allow-origin"), undef, "F029: off is the default");


# 6. batches and files stay with the account that made them

my %batch;

for (1 .. 6) {
    $r = $nginx->post("/turns/v1/messages/batches", encode({ requests => [
        { custom_id => "c$_", params => { model => "claude-sonnet-4-6" } }] }),
        "session_id: batch-$_");

    is($r->status, 200, "batch $_ is made") || diag $r->body;
    $batch{ $r->json->{id} } = $nginx->log->{account};
}

is(scalar(grep { $_ eq "one" } values %batch), 3, "batches on both accounts");

for my $id (sort keys %batch) {
    my $before = $up->requests;

    $r = $nginx->request("GET", "/v1/messages/batches/$id",
                         key => "bob-secret-0002");
    is_error($r, 404, "not_found_error", "batch: another key's does not exist");
    is($up->requests, $before, "batch: nobody is asked for another key's");
}

for my $id (sort keys %batch) {
    my $uri = "/v1/messages/batches/$id";

    for (["GET", $uri], ["POST", "$uri/cancel"], ["GET", "$uri/results"],
         ["GET", "/turns$uri"], ["DELETE", $uri])
    {
        my ($method, $path) = @$_;

        $r = $nginx->request($method, $path,
                             $method eq "POST" ? (body => "") : ());

        is($r->status, 200, "batch: $method " . $path =~ s/$id/ID/r)
            || diag $r->body;
        is($nginx->log->{account}, $batch{$id}, "batch: by its account");
    }
}

my %file;
my $form = join "\r\n", "--b", 'Content-Disposition: form-data; name="file";'
                               . ' filename="a.txt"',
                "Content-Type: text/plain", "", "content of a file", "--b--", "";

for (1 .. 4) {
    $r = $nginx->post("/turns/v1/files", $form,
                      "Content-Type: multipart/form-data; boundary=b",
                      "anthropic-beta: files-api-2025-04-14",
                      "session_id: file-$_");

    is($r->status, 200, "file $_ is made") || diag $r->body;
    is($up->last->{body_sha256}, sha256($form), "file $_ arrived unchanged");
    $file{ $r->json->{id} } = $nginx->log->{account};
}

is(scalar(grep { $_ eq "one" } values %file), 2, "files on both accounts");

$nginx->reload;

for my $id (sort keys %file) {
    $r = $nginx->get("/v1/files/$id");
    is($r->json->{id}, $id, "file: GET, after a reload");

    $r = $nginx->get("/v1/files/$id/content");
    is($r->body, "content of a file", "file: its content");

    $r = $nginx->request("DELETE", "/v1/files/$id");
    is($r->status, 200, "file: DELETE");
    is($nginx->log->{account}, $file{$id}, "file: by its account");
}

for my $path ("/v1/messages/batches/msgbatch_nix", "/v1/files/file_nix",
              "/v1/files/file_nix/content")
{
    is_error($nginx->get($path), 404, "not_found_error", "unknown id: $path");
}

$nginx->get("/v1/messages/batches?after_id=x");
my $first = $nginx->log->{account};
my @same = grep { $nginx->get("/v1/messages/batches")->status == 200
                  && $nginx->log->{account} eq $first } 1 .. 4;
is(@same, 4, "lists of one key come from one account");

for my $path ("/oauth/v1/messages/batches", "/oauth/v1/files") {
    is_error($nginx->get($path), 404, "not_found_error",
             "$path: a subscription has none");
}


# 7. paths as they are written

for (["/v1/files/a%20b", "/v1/files/a%20b"],
     ["/v1/files/a%3Fb=c", "/v1/files/a%3Fb=c"],
     ["/v1/files/a%23b", "/v1/files/a%23b"],
     ["/v1/files/a%0D%0AX-Evil:%201", "/v1/files/a%0D%0AX-Evil:%201"],
     ["/v1/files/a%25b", "/v1/files/a%25b"],
     ["/v1/files/%C3%A4", "/v1/files/%C3%A4"],
     ["/v1/files/../messages/batches", "/v1/messages/batches"],
     ["/v1//files", "/v1/files"])
{
    my ($path, $target) = @$_;

    $nginx->get($path);
    like(target(), qr/^\Q$target\E$/i, "path: $path");
}

is($up->header("x-evil"), undef, "no header from a path");

is_error($nginx->get("/v1/files/a%00b"), 400, "invalid_request_error",
         "path: a NUL");
is($nginx->get("/v1/files/%2e%2e/%2e%2e/%2e%2e/v1/models")->status, 400,
   "path: above the root");


# 8. HEAD

for my $path ("/v1/models", "/v1/models/claude-opus-5") {
    $r = $nginx->request("HEAD", $path);
    is($r->status, 200, "HEAD $path");
    ok($r->header("content-length") > 10, "HEAD $path: a length, no body");
}

$c = $nginx->connect;

$r = $c->request("HEAD", "/v1/messages/batches")->response(head => 1);
is($up->last->{method}, "HEAD", "HEAD goes on as HEAD");
$r = $c->request("HEAD", "/v1/nix")->response(head => 1);
is($r->status, 404, "HEAD of an unknown path");
$r = $c->request("HEAD", "/v1/models", key => undef)->response(head => 1);
is($r->status, 401, "HEAD without a key");
$r = $c->request("GET", "/v1/models/claude-opus-5")->response;
is($r->json->{id}, "claude-opus-5", "none of them had a body");


# 9. count_tokens of an upstream that has none: its 404, no blame (K.3)

$r = $nginx->post("/v1/messages/count_tokens",
                  message(text => "sandbox(count404)"));
is($r->status, 404, "F003: 404 of the upstream is passed on");
is($nginx->health->{pools}[0]{accounts}[$_]{state}, "ok", "F003: no blame")
    for 0, 1;

finish();
