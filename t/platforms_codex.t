#!/usr/bin/perl

# Codex, a ChatGPT login: others.md A9 to A15, FEATURES F085, F101.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;

use ClaudeRelay;

my $UA = "codex_exec/0.169.0 (Debian 12.0.0; x86_64) dumb";

my $up = sandbox();

sub codex {
    my ($name, $more) = @_;

    return account($name, "platform codex; access_token token-$name-000001;
                   account_id acc-$name;
                   base_url %%UP%%/backend-api/codex; " . ($more // ""));
}

sub responses {
    my %field = @_;

    return encode({
        model => "gpt-6-sol",
        input => [{ type => "message", role => "user", content => [
                    { type => "input_text",
                      text => delete $field{text} // "hi" }] }],
        %field,
    });
}

# what the relay has sent, of the last request

sub sent { json($up->last->{body}) }

my $nginx = relay(accounts => codex("one", "client_version 0.169.0;
                                            originator codex_cli_rs;")
                              . codex("plain", "pool plain;"),
                  server => "location /plain/ { claude_relay;
                                 claude_relay_pool plain; }");


# a genuine client's words pass as they came: its bodies by their members, in
# its order, of a plain model and of one whose tools ride in the input

my $ID = "00000000-0000-4000-8000-000000000011";

my $meta = '"client_metadata":{"session_id":"' . $ID . '",'
           . '"x-codex-turn-metadata":"{\"model\":\"gpt-5\",\"a\":\"\u00e9\"}"'
           . '}';

my @bodies = (
    '{"model":"gpt-5","instructions":"do \"well\"","input":[{"type":"message",'
    . '"role":"developer","content":[{"type":"input_text","text":"x"}]},'
    . '{"type":"message","role":"user","content":[{"type":"input_text",'
    . '"text":"h\u00e9 \\ud83d\\ude00"}]}],"tools":[{"type":"function",'
    . '"name":"shell","strict":false,"parameters":{"type":"object",'
    . '"properties":{"user":{"type":"string"},"store":{"type":"boolean"}}}}],'
    . '"tool_choice":"auto","parallel_tool_calls":true,'
    . '"reasoning":{"summary":"auto"},"store":false,"stream":true,'
    . '"include":["reasoning.encrypted_content"],"prompt_cache_key":"' . $ID
    . '",' . $meta . '}',

    '{"model":"gpt-6.1-sol","input":[{"type":"additional_tools",'
    . '"role":"developer","tools":[{"type":"namespace","name":"n",'
    . '"tools":[]}]},{"type":"message","role":"user","content":[]},'
    . '{"type":"custom_tool_call","id":"ctc_1","call_id":"call_1",'
    . '"name":"exec","input":"1"},{"type":"custom_tool_call_output",'
    . '"call_id":"call_1","output":"1"},{"type":"configuration_update"}],'
    . ' "tool_choice":"auto","parallel_tool_calls":false, '
    . '"reasoning":{"effort":"low","context":"all_turns"},"store":false,'
    . '"stream":true,"stream_options":{"reasoning_summary_delivery":'
    . '"sequential_cutoff"},"include":["reasoning.encrypted_content"],'
    . '"prompt_cache_key":"' . $ID . '","text":{"verbosity":"low"},'
    . $meta . '}',
);

my @headers = ("version: 0.169.0", "x-codex-beta-features: a",
               "x-codex-window-id: $ID:0", "x-codex-turn-state: abc",
               'x-codex-turn-metadata: {"installation_id":"' . $ID . '"}',
               "x-client-request-id: $ID", "session-id: $ID",
               "thread-id: $ID", "accept: text/event-stream",
               "originator: codex_exec", "user-agent: $UA");

# and bodies that were caught, where there are some: CR_SAMPLES=DIRECTORY

push @bodies, map { slurp($_) } glob "$ENV{CR_SAMPLES}/codex-*responses.json"
    if $ENV{CR_SAMPLES};

for my $body (@bodies) {
    my $name = length($body) . " bytes of a genuine client";

    $up->since;

    my $r = $nginx->post("/v1/responses", $body, @headers);
    my @seen = $up->since;

    is($r->status, 200, "F085: $name are answered");
    is(scalar @seen, 1, "F085: at once");
    is($seen[0]{body_sha256}, sha256($body), "F085: as they were sent");
    is($seen[0]{target}, "/backend-api/codex/responses",
       "F085: on this back end's path");

    my %sent = map { lc($_) => 1 } @{ $seen[0]{headers} };

    is(join("", grep { !$sent{lc $_} } @headers), "",
       "F085: with their headers");
}

{
    my $r = $nginx->post("/v1/responses",
                         responses(stream => JSON::PP::true,
                                   store => JSON::PP::false),
                         "User-Agent: $UA", "originator: codex_exec",
                         "Accept: text/event-stream",
                         "ChatGPT-Account-ID: of-the-client",
                         "session_id: 00000000-0000-4000-8000-000000000001");

    is($r->status, 200, "F085: a stream");
    is(scalar $up->header("authorization"), "Bearer token-one-000001",
       "F085: the account's token");
    is_deeply([$up->header("chatgpt-account-id")], ["acc-one"],
              "F085: the account's id, not the client's");
    is(scalar $up->header("version"), "0.169.0",
       "F085: the version that the client did not tell apart");
    is(scalar $up->header("session_id"),
       "00000000-0000-4000-8000-000000000001",
       "I43: a session header with an underscore passes");
    is(($r->events)[-1][0], "response.completed", "F085: to its last event");
    is(scalar $r->header("x-codex-turn-state"), "state-of-the-turn",
       "F085: headers for the client pass");
    is(scalar grep({ $_->[0] eq "response.created" } $r->events), 1,
       "F085: what was held back came once");

    my $log = $nginx->log;

    is($log->{cache_read_tokens}, 2048, "F170: cached tokens of the log");
    is($log->{output_tokens}, 6, "F170: tokens of the answer");
}


# what a client of the API sends is made fit

{
    my $r = $nginx->post("/v1/responses", responses(
        max_output_tokens => 100, temperature => 0.5, top_p => 0.9,
        user => "me", metadata => { a => "b" }, truncation => "auto",
        previous_response_id => "resp_1", safety_identifier => "x",
        prompt_cache_retention => "24h",
        stream => JSON::PP::true, store => JSON::PP::true,
        stream_options => { include_obfuscation => JSON::PP::false }));

    is($r->status, 200, "I39: what it refuses is left out");

    my $sent = sent();

    is(join(" ", sort keys %$sent),
       "input instructions model prompt_cache_key store stream",
       "I39: and nothing else");
    ok($sent->{stream} && !$sent->{store} && $sent->{instructions} eq "",
       "I39: stream, store and instructions");

    my $session = scalar $up->header("session_id");

    like($session, qr/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
         "A15: a session for the cache");
    is($sent->{prompt_cache_key}, $session, "A15: and in the body");
    like(scalar $up->header("user-agent"), qr{^codex_cli_rs/0\.169\.0 \(},
         "A10: a client that it knows");
    is(scalar $up->header("originator"), "codex_cli_rs", "A10: originator");
    is(scalar $up->header("accept"), "text/event-stream", "A10: accept");

    # nobody is said to be Codex unless that is written

    $nginx->post("/plain/v1/responses", responses(), "User-Agent: curl/8");

    is(scalar $up->header("user-agent"), "curl/8",
       "A10: a client is who it says, by default");
    is($up->header("originator") // "", "", "A10: and no originator is");
    is($up->header("version") // "", "", "A10: told, and no version");
}

{
    my $r = $nginx->post("/v1/responses", encode({
        model => "gpt-6-sol", input => "a text",
        stream => JSON::PP::true, instructions => undef,
        stream_options => { reasoning_summary_delivery => "sequential_cutoff",
                            include_obfuscation => JSON::PP::true } }));

    is($r->status, 200, "A12: an input of text, instructions of null");

    my $sent = sent();

    is($sent->{input}[0]{content}[0]{text}, "a text", "A12: is a list");
    is($sent->{instructions}, "", "A12: a string");
    is_deeply($sent->{stream_options},
              { reasoning_summary_delivery => "sequential_cutoff" },
              "A12: the one option that it knows stays");
}

{
    my $r = $nginx->post("/v1/responses", responses(
        stream => JSON::PP::true,
        input => [{ id => "item_1", type => "message", role => "user",
                    content => "hi" },
                  { type => "message", role => "assistant", id => "msg_1",
                    content => "ho" },
                  { type => "reasoning", id => "rs_1", summary => [],
                    encrypted_content => "of somebody else" },
                  { type => "function_call", id => "call_7", call_id => "c",
                    name => "f", arguments => "{}" },
                  { type => "function_call_output", call_id => "c",
                    output => "x" }]));

    is($r->status, 200, "A12: items from elsewhere");

    my $input = sent()->{input};

    is(scalar @$input, 4, "A12: reasoning that is not its own goes");
    ok(!exists $input->[0]{id} && !exists $input->[2]{id},
       "A12: so do ids without their prefix");
    is($input->[1]{id}, "msg_1", "A12: others stay");
}

SKIP: {
    eval { require Compress::Zlib } or skip "no zlib", 2;

    my $r = $nginx->post("/v1/responses",
                         Compress::Zlib::memGzip(responses(
                             text => "x" x 9000, temperature => 1)),
                         "Content-Encoding: gzip");

    is($r->status, 200, "A12: a body that was compressed is made fit, too");
    is(scalar $up->header("content-encoding"), undef, "A12: and sent plain");
}


# a client that wants no stream

{
    my $r = $nginx->post("/v1/responses", responses(),
                         "x-sandbox: events=30");

    is($r->status, 200, "I9: a stream is folded");
    like(scalar $r->header("content-type"), qr{^application/json},
         "I9: into JSON");

    my $j = $r->json;

    is(scalar @{ $j->{output} }, 2, "I9: output is rebuilt");
    like($j->{output}[1]{content}[0]{text}, qr/^word0 .*word29 $/,
         "I9: with its text");
    is($j->{status}, "completed", "I9: and the rest of the response");
    is($j->{usage}{output_tokens}, 31, "I9: usage");
    is($nginx->log->{stream}, "0", "I9: which is no stream to anybody");
    is($nginx->log->{output_tokens}, 31, "I9: which is counted");
    ok(sent()->{stream}, "I9: the upstream is asked for a stream");
}

{
    my $r = $nginx->post("/v1/responses", responses(),
                         "x-sandbox: end-at=2");

    ok(!$r || !$r->complete || $r->status >= 500,
       "I8: a stream without its end is no whole answer");
}


# compact, its neighbours

{
    my $r = $nginx->post("/v1/responses/compact", responses(
        stream => JSON::PP::false, store => JSON::PP::false,
        include => [], tool_choice => "auto", metadata => {}));

    is($r->status, 200, "F012: compact");
    is($r->json->{object}, "response.compaction", "F012: is JSON");
    is($up->last->{target}, "/backend-api/codex/responses/compact",
       "F012: its path");
}

{
    my $r = $nginx->get("/backend-api/wham/usage");

    is($r->status, 200, "A13: GET wham/usage");
    is($r->json->{plan_type}, "plus", "A13: as the account's is");
    is($up->last->{target}, "/backend-api/wham/usage", "A13: its path");

    my $n = $up->requests;

    is($nginx->get("/backend-api/wham/accounts/check")->status, 404,
       "A13: who the account's owner is, is not told");
    is($up->requests, $n, "A13: nor asked");

    $r = $nginx->get("/backend-api/codex/models?client_version=0.169.0");

    is($r->status, 200, "F085: GET models of a client like ChatGPT's");
    ok(scalar(grep { $_->{slug} =~ /^gpt-/ } @{ $r->json->{models} }),
       "F085: in the form that it reads");
    is($up->requests, $n, "F085: answered here");

    $r = $nginx->post("/backend-api/codex/responses",
                      responses(stream => JSON::PP::true));

    is($r->status, 200, "F085: a client whose base URL is like ChatGPT's");
}


# windows

sub health_of {
    my ($nginx, $name) = @_;

    my ($account) = grep { $_->{name} eq $name }
                    map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    return $account;
}

{
    my $w = health_of($nginx, "one")->{windows};

    is($w->{"5h"}{utilization}, 0.11,
       "F101, I41: five hours, which came second");
    is($w->{"7d"}{utilization}, 0.425,
       "F101, I41: seven days, which came first");
}


# failures; the marker in the text says whose they are

$nginx->stop;

sub pair {
    return relay(accounts => codex("one", "priority 50;
                                           client_version 0.169.0;")
                             . codex("two", "priority 1;"),
                 location => "claude_relay_tries 3;", @_);
}

# what the first account does, asked once by a client; a hash of what came

sub ask {
    my ($do, %opt) = @_;

    my $first = "token-one-000001";

    $up->reset;
    $up->behave($first, $do);

    my $nginx = pair();
    my $r = $nginx->post("/v1/responses",
                         responses(stream => JSON::PP::true,
                                   %{ $opt{body} // {} }),
                         @{ $opt{headers} // [] });

    my @asked = map { (grep { /^authorization:/i } @{ $_->{headers} })[0] }
                    $up->last(9);
    my $one = health_of($nginx, "one");

    $nginx->stop;
    $up->behave($first, "");

    return { r => $r, one => $one,
             asked => join " ", map { /token-(\w+)-/ } @asked };
}

{
    my $x = ask("status=429,type=usage_limit_reached,reset=7000");

    is($x->{r}->status, 200, "A13: a limit that is reached");
    is($x->{asked}, "one two", "A13: another account answers");
    is($x->{one}{state}, "resting", "A13: it rests");
    is($x->{one}{why}, "limited", "A13: for its limit");

    # the reset that the body tells, and a minute of jitter at most

    my $left = ($x->{one}{until} =~ /T(\d+):(\d+):(\d+)Z/)
               ? ($1 * 3600 + $2 * 60 + $3 - time % 86400) % 86400 : -1;

    cmp_ok(abs($left - 7000), "<", 400, "A13: until that ends");
}

{
    my $x = ask("error-first=usage_limit_reached");

    is($x->{asked}, "one two", "I6: a failure inside of a 200");
    is(($x->{r}->events)[-1][0], "response.completed", "I6: goes to another");
    is(scalar grep({ $_->[0] eq "response.created" } $x->{r}->events), 1,
       "I6: nothing of it was sent");

    $x = ask("error-first=server_is_overloaded",
             body => { stream => JSON::PP::false });

    is($x->{asked}, "one two", "I6: nor to a client without a stream");
    is($x->{r}->json->{status}, "completed", "I6: which has a whole answer");
}

{
    my $x = ask("error-first=context_length_exceeded");

    is($x->{asked}, "one", "A5: what a client did wrong, no account mends");
    is(($x->{r}->events)[-1][0], "response.failed", "A5: it hears of it");
    is($x->{one}{state}, "ok", "A5: and nobody rests");
}

{
    my $x = ask("error-at=2,delay=150");

    is($x->{asked}, "one", "I7: a failure after text is the client's");
    is(($x->{r}->events)[-1][0], "response.failed", "I7: as it came");
}

{
    my $x = ask("status=403,type=usage_not_included");

    is($x->{asked}, "one two", "A13: a plan without Codex");
    is($x->{one}{why}, "disabled", "A13: for long");

    $x = ask("status=503,message=Selected model is at capacity."
             . " Please try a different model.");

    is($x->{asked}, "one two", "A12: at capacity");
    is($x->{one}{why}, "overloaded", "A12: for a moment");
}

{
    my $x = ask("", body => { model => "gpt-none" });

    is($x->{asked}, "one two", "A12: a model that a plan has not");
    is($x->{r}->status, 400, "A12: nor has another's");
    like($x->{r}->message, qr/not supported when using Codex/,
         "I40: {detail} is an error of the API");
    is($x->{one}{state}, "ok", "A12: its other models are there");

    $x = ask("", body => { model => "gpt-6-astra" },
             headers => ["User-Agent: codex_exec/0.104.0 (x)"]);

    is($x->{asked}, "one", "A12: a client that is too old");
    like($x->{r}->message, qr/newer version of Codex/, "A12: is told");

    $x = ask("", body => { model => "gpt-6-astra" });

    is($x->{r}->status, 200, "A12: one of the API has the account's version");
}


# reasoning that one account has encrypted

{
    $up->reset;

    my $nginx = pair();

    my @headers = ("session-id: 00000000-0000-4000-8000-000000000042",
                   "User-Agent: $UA");

    my $r = $nginx->post("/v1/responses", responses(),
                         @headers);
    my @output = @{ $r->json->{output} };
    my $body = responses(
        stream => JSON::PP::true, store => JSON::PP::false,
        input => [{ type => "message", role => "user", content => "hi" },
                  @output,
                  { type => "message", role => "user", content => "more" }]);

    $up->since;
    $r = $nginx->post("/v1/responses", $body, @headers);

    my @seen = $up->since;

    is($r->status, 200, "I42: a turn with its own reasoning");
    is($seen[0]{body_sha256}, sha256($body), "I42: passes unchanged");
    is(scalar @seen, 1, "I42: at once");

    # the account is at its limit, so the session moves

    my ($token) = map { /(token-\w+-\d+)/ } @{ $seen[0]{headers} };

    $up->behave($token, "status=429,type=usage_limit_reached,reset=600");
    $r = $nginx->post("/v1/responses", $body, @headers);
    @seen = $up->since;

    is($r->status, 200, "I42: the session moves to another account");
    is(scalar @seen, 2, "I42: with one request to each");
    unlike($seen[1]{body}, qr/encrypted_content/,
           "I42: reasoning stays behind");
    like($seen[1]{body}, qr/"more"/, "I42: all else goes with it");

    # which it does not know of the next turn

    $r = $nginx->post("/v1/responses", $body, @headers);
    @seen = $up->since;

    is($r->status, 200, "I42: what the back end refuses");
    is_deeply([map { $_->{status} } @seen], [400, 200],
              "I42: is sent once more without it");
    unlike($seen[1]{body}, qr/encrypted_content/, "I42: not again");

    $nginx->stop;
    $up->behave($token, "");
}



# fields of the account

{
    my $nginx = relay(accounts => codex("one", 'client_version 0.999.0;
                         originator my_codex; user_agent "my codex/1";
                         fedramp on;'));

    my $r = $nginx->post("/v1/responses",
                         responses(model => "gpt-6-astra"),
                         "x-stainless-lang: js");

    is($r->status, 200, "F085: fields of an account");
    is_deeply([map { scalar $up->header($_) }
                   qw/ version originator user-agent x-openai-fedramp /],
              ["0.999.0", "my_codex", "my codex/1", "true"],
              "F085: are what is told");
    is_deeply([$up->header("x-stainless-lang")], [],
              "F085: of other clients nothing is");

    $nginx->stop;

    my ($ok, $said) = config(relay_http(
        accounts => codex("one", "fedramp maybe;")));

    ok(!$ok && $said =~ /"on" or "off"/, "F085: fields are checked");
}


# A15: the thread is a session if there is no other

{
    my $nginx = relay(accounts => codex("one") . codex("two"),
                      location => "claude_relay_policy round-robin;");

    my %seen;

    for my $thread (1 .. 6) {
        my %asked;

        for (1 .. 3) {
            $nginx->post("/v1/responses", responses(text => "$thread $_"),
                         "thread-id: thread-$thread");
            $asked{$up->header("authorization")} = 1;
        }

        is(scalar keys %asked, 1, "A15: thread $thread keeps its account");
        $seen{(keys %asked)[0]}++;
    }

    is(scalar keys %seen, 2, "A15: threads do not share one");

    $nginx->stop;
}


finish();
