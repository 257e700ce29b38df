#!/usr/bin/perl

# F011, F012, F086, F170 and others.md I (6, 7, 8, 12, 13, 16, 46, 52, 54):
# platform openai, Chat and Responses relayed byte by byte.

use warnings;
use strict;

use ClaudeRelay;
use Test::More;


my $up = sandbox();

sub one {
    my ($name, $more) = @_;

    return account($name, "platform openai; api_key sk-$name; " . $more);
}

# where which accounts are

my @pools = qw/ org base mapped mixed only canned s t f /;
my @errors = ("status=429,code=insufficient_quota", "status=401",
              "status=404,code=model_not_found",
              "status=429,message=Please%20try%20again%20in%2020ms.",
              "status=503,code=slow_down");
my @classes = qw/ billing auth client throttled overloaded /;

my $own = canned(\&ends);

my $nginx = relay(
    accounts => one("one", "priority 200;")
                . one("two", "priority 50;")
                . one("org", "pool org; organization org-9; project proj-9;
                              user_agent house/1; stream_usage off;")
                . one("base", "pool base; base_url %%UP%%/api/paas/v4;")
                . one("mapped", "pool mapped; base_url %%UP%%/v1/;
                                 model_map gpt-5.5 real-model;")
                . account("claude", "pool mixed;")
                . one("gpt", "pool mixed;")
                . one("only", "pool only;")
                . one("canned", "pool canned; base_url http://127.0.0.1:"
                                . $own->port . ";")
                . one("f1", "pool f; priority 200;")
                . one("f2", "pool f;")
                . join("", map { one("s$_", "pool s;") } 1 .. 3)
                . join("", map { one("t$_", "pool t;") } 1 .. 3)
                . join("", map { one("bad$_", "pool e$_; priority 200;")
                                 . one("good$_", "pool e$_;")
                           } 0 .. $#errors),
    server => join "", map {
        "location /$_/ { claude_relay; claude_relay_pool $_; }\n"
    } @pools, map { "e$_" } 0 .. $#errors);

my ($r, $log, $body);


sub chat {
    my %field = @_;
    my $text = delete $field{text} // "hi";

    return encode({ model => "gpt-5.5",
                    messages => [{ role => "user", content => $text }],
                    %field });
}

sub response {
    my %field = @_;
    my $text = delete $field{text} // "hi";

    return encode({ model => "gpt-5.5", input => $text, %field });
}

my $true = JSON::PP::true;
my $false = JSON::PP::false;


sub ends {
    my ($head) = @_;

    my ($case) = $head =~ /x-case: (\S+)/;
    my $chunk = 'data: {"id":"chatcmpl-1","object":"chat.completion.chunk",'
                . '"model":"gpt-5.5","choices":[{"index":0,"delta":{"content":'
                . '"x"},"finish_reason":FINISH}]}' . "\n\n";
    my $last = $chunk =~ s/FINISH/"stop"/r;

    $chunk =~ s/FINISH/null/;

    my $text = $case eq "done" ? "$chunk${last}data: [DONE]\n\n"
               : $case eq "nodone" ? "$chunk$last"
               : $case eq "after" ? "$chunk${last}data: [DONE]\n\n$chunk"
               : $chunk;

    return "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
           . "connection: close\r\n\r\n$text";
}


# an error in this dialect

sub is_openai_error {
    my ($r, $status, $type, $name, $message) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $ok = eval {
        my $e = $r->json;

        $r->status == $status
        && $r->header("content-type") =~ m{^application/json}
        && !exists $e->{type}
        && $e->{error}{type} eq $type
        && exists $e->{error}{param} && exists $e->{error}{code}
        && length $e->{error}{message}
        && $e->{error}{message} =~ ($message // qr/./)
        && length $r->header("x-request-id");
    };

    ok($ok, $name) || diag($r->head . "\n" . substr $r->body, 0, 1000);
}


# one request, looked at from both ends

$body = chat(temperature => 0.5, extra => [1, { a => "\x{e9}" }]);
$r = $nginx->post("/v1/chat/completions", $body, "x-stainless-lang: js",
                  "openai-organization: org-of-the-client",
                  "openai-project: proj-of-the-client");

is($r->status, 200, "F086: a chat");
is($r->json->{object}, "chat.completion", "F086: its answer");
is($r->header("x-request-id"), "req_sbx" . sprintf("%013x", $up->last->{id}),
   "F086: the upstream's request id") || diag $r->head;
is($up->last->{body_sha256}, sha256($body), "F086: the body as it was sent");
is($up->last->{path} // $up->last->{target}, "/v1/chat/completions",
   "F086: the path");
is($up->header("authorization"), "Bearer sk-one", "F086: the account's key");
is($up->header("x-stainless-lang"), "js", "F086: the client's headers");
is($up->header("openai-organization"), undef,
   "F086: but not whose key it would be");
is($up->header("openai-project"), undef, "F086: nor of which project");
is($up->header("anthropic-version"), undef, "F086: nothing of others");

$log = $nginx->log;
is($log->{dialect}, "openai", "F086: the dialect");
is($log->{account}, "one", "F086: the account");
is($log->{model}, "gpt-5.5", "F086: the model");


# usage: cached tokens are a part of the input

for my $stream (0, 1) {
    my $as = $stream ? "as a stream" : "as JSON";

    $r = $nginx->post("/v1/chat/completions",
                      chat(text => "sandbox(thinking,input=10,cache-read=2000,"
                                   . "cache-5m=30,events=4)",
                           $stream ? (stream => $true) : ()));
    $log = $nginx->log;

    is($r->status, 200, "F170: chat $as");
    is(join("/", map { $log->{$_} } qw/ input_tokens cache_read_tokens
                                        cache_write_tokens output_tokens /),
       "10/2000/30/18", "F170: chat $as: its tokens") || diag explain $log;
    is($log->{stop_reason}, "stop", "F170: chat $as: why it stopped");

    $r = $nginx->post("/v1/responses",
                      response(text => "sandbox(thinking,input=10,"
                                       . "cache-read=2000,cache-5m=30,"
                                       . "events=4)",
                               $stream ? (stream => $true) : ()));
    $log = $nginx->log;

    is($r->status, 200, "F011: a response $as");
    is(join("/", map { $log->{$_} } qw/ input_tokens cache_read_tokens
                                        cache_write_tokens output_tokens /),
       "10/2000/30/18", "F170: a response $as: its tokens")
        || diag explain $log;
    is($log->{stop_reason}, "completed", "F170: a response $as: its status");
}


# streams are the upstream's, byte by byte

sub direct {
    my ($uri, $body) = @_;

    my $c = connect_to($up->port);
    $c->request("POST", $uri, body => $body, key => undef,
                headers => ["authorization: Bearer sk-one",
                            "content-type: application/json"]);
    my $r = $c->response;
    $c->close;

    return $r;
}

sub plain {
    my ($text) = @_;

    $text =~ s/(sbx)[0-9a-f]+/$1/g;

    return $text;
}

for my $how ("", "crlf,unicode,", "nospace,comments,thinking,") {
    for my $path ("/v1/chat/completions", "/v1/responses") {
        my %field = (text => "sandbox(${how}split=3)", stream => $true);

        my $b = $path =~ /chat/
                ? chat(%field, stream_options => { include_usage => $true })
                : response(%field);

        is(plain($nginx->post($path, $b)->body), plain(direct($path, $b)->body),
           "16: $path, $how split");
    }
}

is($up->header("accept-encoding"), undef, "nothing was asked that nobody can "
   . "read");


# whose stream would not tell its usage is made to

$r = $nginx->post("/v1/chat/completions", chat(stream => $true));
is(scalar(grep { $_->[1] =~ /"usage":\{/ } $r->events), 1,
   "12: usage is asked for, and told once");
like($r->body, qr/data: \[DONE\]\n\n\z/, "12: the stream ends as it should");

$r = $nginx->post("/v1/chat/completions",
                  chat(stream => $true,
                       stream_options => { include_usage => $false }));
unlike($r->body, qr/"usage":\{/, "12: who has decided is left alone");
is($nginx->log->{output_tokens}, "", "12: and tells nothing");


# failures: before the first output another account is asked

$up->behave("sk-f1", "error-first=server_is_overloaded");
$r = $nginx->post("/f/v1/responses", response(stream => $true));

is($r->status, 200, "6: response.failed first: another account");
like($nginx->log->{attempts}, qr/^f1:200:overloaded:.*f2:200/,
     "6: which has answered") || diag explain $nginx->log;
is(scalar(grep { $_->[0] eq "response.created" } $r->events), 1,
   "6: and nothing was sent before");

$up->behave("sk-f2", "error-first=server_is_overloaded");
$r = $nginx->post("/f/v1/responses", response(stream => $true));
like($r->body, qr/event: response\.failed\n/,
     "6: of nobody left, the failure as it came");
is($nginx->log->{error_class}, "overloaded", "6: which is known for one");


# in the middle it goes through, and is known for what it is

for my $case (["/v1/chat/completions", chat(stream => $true),
               qr/data: \{"error":\{"message":"The server had an error"/],
              ["/v1/responses", response(stream => $true),
               qr/event: response\.failed\n/])
{
    my ($path, $b, $like) = @$case;

    $up->behave("sk-only", "error-at=2,delay=60");
    $r = $nginx->post("/only$path", $b);

    is($r->status, 200, "52: $path: an error in the middle");
    like($r->body, $like, "52: $path: it is passed on");
    is($nginx->log->{error_class}, "broken", "52: $path: and seen")
        || diag explain $nginx->log;

    $up->behave("sk-only", "cut-at=2,delay=60");
    $r = $nginx->post("/only$path", $b);
    like($r->body, $path =~ /chat/
         ? qr/\n\ndata: \{"error":\{"message":"[^\n]+\}\}\n\n\z/
         : qr/\n\nevent: error\ndata: \{"type":"error"[^\n]+\}\n\n\z/,
         "8: $path: a stream that is cut says so") || diag $r->body;

    $up->behave("sk-only", "");
}

# the end of a stream: with and without its mark

for my $case (qw/ done nodone after /) {
    $r = $nginx->post("/canned/v1/chat/completions", chat(stream => $true),
                     "x-case: $case");
    ok($r->complete && $nginx->log->{error_class} ne "broken",
       "13: a stream that ends with $case") || diag explain $nginx->log;
}

$r = $nginx->post("/canned/v1/chat/completions", chat(stream => $true),
                 "x-case: cut");
like($r->body, qr/"error":\{/, "8: one that has no end is told");



# errors of ours in this dialect

$r = $nginx->request("POST", "/v1/chat/completions", body => chat(),
                     key => undef, headers => ["authorization: Bearer none",
                                               "content-type: "
                                               . "application/json"]);
is_openai_error($r, 401, "invalid_request_error", "a key that nobody knows");
is($r->json->{error}{code}, "invalid_api_key", "and its code");

is_openai_error($nginx->post("/v1/chat/completions", "{"), 400,
                "invalid_request_error", "no JSON", qr/not valid JSON/);
is_openai_error($nginx->post("/v1/responses", '{"model":"a","model":"b"}'),
                400, "invalid_request_error", "a key twice", qr/duplicate/);
is_openai_error($nginx->post("/v1/chat/completions", response()), 400,
                "invalid_request_error",
                "46: a body of Responses on Chat is seen as one",
                qr{/v1/responses});
is_openai_error($nginx->post("/mapped/v1/chat/completions",
                             chat(model => "\x01")), 400,
                "invalid_request_error", "a model with a control character");
is_openai_error($nginx->get("/v1/responses/resp_x/y/z"), 404,
                "invalid_request_error", "an object of nobody");

$r = $nginx->get("/v1/embeddings");
is($r->status, 405, "a method that is not there");
is($r->json->{error}{type}, "invalid_request_error", "in this dialect")
    || diag $r->body;


# errors of the upstream are passed on as they are

for my $case ([400, "status=400,code=context_length_exceeded", "client"],
              [404, "status=404", "client"],
              [422, "status=422", "client"])
{
    my ($status, $commands, $class) = @$case;

    my $n = $up->requests;

    $r = $nginx->post("/v1/responses", response(), "x-sandbox: $commands");
    is($r->status, $status, "$status is the client's");
    is($r->json->{error}{param}, undef, "$status as it came");
    is($up->requests, $n + 1, "$status: nobody else is asked");
}

for my $n (0 .. $#errors) {
    my ($commands, $class) = ($errors[$n], $classes[$n]);

    $up->behave("sk-bad$n", $commands);

    $r = $nginx->post("/e$n/v1/chat/completions", chat());
    is($r->status, 200, "$commands: another account");
    like($nginx->log->{attempts}, qr/^bad$n:\d+:$class:.*good$n:200/,
         "$commands: is $class") || diag $nginx->log->{attempts};
}


# what is stored lies with one account

my $wrong = 0;

for my $n (1 .. 6) {
    my $made = $nginx->post("/s/v1/responses",
                            response(stream => $n % 2 ? $true : $false));
    my ($id) = $made->body =~ /"id":"(resp_\w+)"/;

    $wrong++ if $nginx->get("/s/v1/responses/$id")->status != 200;
    $wrong++ if $nginx->post("/s/v1/responses",
                             response(previous_response_id => $id))
                ->status != 200;
    $wrong++ if $nginx->get("/s/v1/responses/$id/input_items")->status != 200;
    $wrong++ if $nginx->post("/s/v1/responses/$id/cancel", "{}")
                ->json->{status} ne "cancelled";
    $wrong++ if !$nginx->request("DELETE", "/s/v1/responses/$id")
                ->json->{deleted};
}

is($wrong, 0, "F011: stored responses are found where they are");

$r = $nginx->post("/s/v1/responses",
                  response(previous_response_id => "resp_of_nobody"));
is($r->status, 400, "F011: one that nobody knows");
is($r->json->{error}{code}, "previous_response_not_found",
   "F011: in the upstream's words");

# sessions stay

sub who {
    my ($path, $b, @headers) = @_;

    $nginx->post("/t$path", $b, @headers);

    return $nginx->log->{account};
}

for my $case (["prompt_cache_key", "/v1/responses",
               sub { response(prompt_cache_key => "s", text => "n$_[0]",
                              store => $false) }],
              ["client_metadata", "/v1/responses",
               sub { response(client_metadata => { session_id => "m" },
                              text => "n$_[0]", store => $false) }],
              ["the first message", "/v1/chat/completions",
               sub { chat(messages => [{ role => "system", content => "s" },
                                       { role => "user", content => "hi" },
                                       map { ({ role => "assistant",
                                                content => "ho" },
                                              { role => "user",
                                                content => "n$_" })
                                       } 1 .. $_[0]]) }])
{
    my ($name, $path, $make) = @$case;

    my %who = map { who($path, $make->($_)) => 1 } 0 .. 5;
    is(scalar(keys %who), 1, "A15: a session by $name") || diag explain \%who;
}

{
    my %who = map { who("/v1/responses", response(store => $false,
                                                  text => "n$_"),
                        "session_id: underscore") => 1 } 0 .. 5;
    is(scalar(keys %who), 1, "A15: a session by a header");

    %who = map { who("/v1/chat/completions", chat(text => "other $_")) => 1 }
           0 .. 11;
    cmp_ok(scalar(keys %who), ">", 1, "A15: others go elsewhere");
}

# the rest of the API

$r = $nginx->post("/v1/responses/compact", response());
is($r->json->{object}, "response.compaction", "F012: a compaction");
is($nginx->log->{cache_read_tokens}, 2048, "F012: and its usage");

$r = $nginx->post("/openai/v1/responses/input_tokens", response());
is($r->json->{object}, "response.input_tokens", "F011: tokens are counted");

$r = $nginx->post("/v1/embeddings",
                  encode({ model => "text-embedding-3-small",
                           input => ["a", "b"] }));
is(scalar(@{ $r->json->{data} }), 2, "embeddings");
is($nginx->log->{input_tokens}, 12, "and their usage");
is($nginx->log->{model}, "text-embedding-3-small", "and their model");

$r = $nginx->post("/v1/completions", encode({ model => "gpt-5.5",
                                              prompt => "x",
                                              stream => $true }));
like($r->body, qr/"object":"text_completion".*\[DONE\]/s, "completions");

$r = $nginx->post("/v1/images/generations",
                  encode({ model => "gpt-image-1", prompt => "x" }));
is($r->json->{data}[0]{b64_json}, "iVBORw0KGgo=", "F013: an image");
is($nginx->log->{output_tokens}, 1056, "F013: and its usage");

$r = $nginx->post("/v1/moderations", encode({ input => "x" }));
is($r->json->{object}, "sandbox", "any other path of the API");


# where clients write their paths, and operators their bases

for my $case (["/chat/completions", "/v1/chat/completions"],
              ["/openai/v1/chat/completions", "/v1/chat/completions"],
              ["/v1/v1/chat/completions", "/v1/chat/completions"],
              ["/v1/chat/completions/", "/v1/chat/completions"],
              ["/openai/deployments/gpt-5.5/chat/completions?"
               . "api-version=2024-10-21", "/v1/chat/completions"],
              ["/base/v1/chat/completions", "/api/paas/v4/chat/completions"],
              ["/mapped/v1/chat/completions", "/v1/chat/completions"])
{
    my ($from, $to) = @$case;

    $r = $nginx->post($from, chat());
    is($r->status, 200, "F086: $from");
    is($up->last->{path} // $up->last->{target}, $to, "F086: $from: to $to");
}

$nginx->post("/openai/deployments/dep/chat/completions",
             encode({ messages => [] }));
is(json($up->last->{body} // $up->last->{body_head} // "{}")->{model}, "dep",
   "F022: the model of a path comes into the body")
    || diag explain $up->last;

$r = $nginx->post("/mapped/v1/chat/completions", chat());
is($r->json->{model}, "real-model", "F086: a model that is mapped");
is($nginx->log->{model}, "gpt-5.5", "F086: and the one that was asked for");

$nginx->post("/org/v1/chat/completions", chat(stream => $true),
             "user-agent: client/1", "openai-organization: x");
is(join(" ", $up->header("openai-organization")), "org-9",
   "F086: the account's organization");
is(join(" ", $up->header("openai-project")), "proj-9",
   "F086: the account's project");
is(join(" ", $up->header("user-agent")), "house/1",
   "F086: the account's user agent");

$nginx->get("/v1/responses/resp_x?key=$ClaudeRelay::KEY&a=b", "x-a: b");
unlike($up->last->{target} // "", qr/key=/, "54: no key of ours in a query");

{
    my $n = $up->requests;

    $r = $nginx->request("POST", "/v1/chat/completions?key=$ClaudeRelay::KEY"
                         . "&a=b", body => chat(), key => undef,
                         headers => ["content-type: application/json"]);
    is($r->status, 200, "54: a key in the query");
    unlike(encode($up->last), qr/\Q$ClaudeRelay::KEY/, "54: goes nowhere");
    unlike($nginx->access_log, qr/\Q$ClaudeRelay::KEY/, "54: not to the log");
}


# a pool of several dialects: each gets its own

for my $n (1 .. 4) {
    $r = $nginx->post("/mixed/v1/messages", message());
    is($nginx->log->{account}, "claude", "mixed: messages $n");

    $nginx->post("/mixed/v1/chat/completions", chat());
    is($nginx->log->{account}, "gpt", "mixed: a chat $n");
}


finish();
