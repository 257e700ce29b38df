#!/usr/bin/perl

# Warm-ups, titles and topics answered by the relay itself (F129).

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $write = "Please write a 5-10 word title for the following conversation:";
my $ask = "Analyze if this message indicates a new conversation topic. If it "
          . "does, extract a 2-3 word title that captures the new topic.";

my $nginx = relay(
    http => store() . "claude_relay_control unix:control.sock;
                       claude_relay_usage on;
                       claude_relay_audit_log %%DIR%%/audit.db;",
    keys => "claude_relay_key alice { secret alice-secret-0001;
                                      limit requests:40/day; }
             claude_relay_key eve { secret eve-secret-000002;
                                    models claude-opus-*; }",
    location => "claude_relay_warmup on; claude_relay_audit on;",
    accounts => account("one")
                . account("idle", "pool idle; enabled off;"),
    server => "location /idle/ { claude_relay; claude_relay_pool idle;
                                 claude_relay_warmup on; }
               location /plain/ { claude_relay; }
               location /off/ { claude_relay; claude_relay_warmup off; }
               location /small/ { claude_relay; claude_relay_warmup on;
                                  client_body_buffer_size 1k; }");


sub body {
    my ($text, %more) = @_;

    return encode({ model => "claude-haiku-4-5-20251001", max_tokens => 512,
                    messages => [{ role => "user", content => $text }],
                    %more });
}


sub asked {
    my ($name, $n, $sub) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $before = $up->requests;
    my $r = $sub->();

    is($r->status, 200, "$name: status") || diag $r->body;
    is($up->requests - $before, $n, "$name: "
       . ($n ? "asked upstream" : "no account is asked"));

    return $r;
}


# 1. a message

{
    my $r = asked("warm-up", 0,
                  sub { $nginx->post("/v1/messages", body("Warmup")) });
    my $j = $r->json;

    is($j->{type}, "message", "F129: a message");
    is($j->{role}, "assistant", "F129: of the assistant");
    is($j->{model}, "claude-haiku-4-5-20251001", "F129: of the model");
    is($j->{stop_reason}, "end_turn", "F129: that is finished");
    is($j->{content}[0]{type}, "text", "F129: with a text");
    ok(length $j->{content}[0]{text}, "F129: that says something");
    is($j->{usage}{input_tokens} + $j->{usage}{output_tokens}, 0,
       "F129: for nothing");
    like($j->{id}, qr/^msg_[0-9a-f]{32}$/, "F129: its id");
    is($j->{id}, "msg_" . $r->header("x-request-id"), "F129: is the request's");
    is($r->header("content-type"), "application/json", "F129: JSON");

    my $log = $nginx->log;
    is($log->{status}, 200, "F129: in the log");

    $r = asked("topic", 0, sub {
        $nginx->post("/v1/messages", body("Hi", system => $ask))
    });
    is_deeply(json($r->json->{content}[0]{text}),
              { isNewTopic => JSON::PP::false, title => undef },
              "F129: topic: it stays");

    $r = asked("topic, begun", 0, sub {
        $nginx->post("/v1/messages", encode({
            model => "claude-haiku-4-5-20251001", max_tokens => 100,
            system => [{ type => "text", text => "You are Claude Code." },
                       { type => "text", text => $ask }],
            messages => [{ role => "user", content => "Hi" },
                         { role => "assistant", content => "{" }] }))
    });
    is_deeply(json("{" . $r->json->{content}[0]{text}),
              { isNewTopic => JSON::PP::false, title => undef },
              "F129: topic, begun: the rest of it");

    $r = asked("title", 0, sub {
        $nginx->post("/v1/messages", body("$write\n\nUser: hi"))
    });
    ok(length $r->json->{content}[0]{text}, "F129: title");
}


# 2. a stream

{
    my $r = asked("stream", 0, sub {
        $nginx->post("/v1/messages", body("Warmup", stream => \1))
    });

    like($r->header("content-type"), qr{^text/event-stream}, "F129: events");

    my @events = $r->events;
    is(join(" ", map { $_->[0] } @events),
       "message_start content_block_start content_block_delta "
       . "content_block_stop message_delta message_stop",
       "F129: as a stream has them");
    is(join(" ", map { json($_->[1])->{type} } @events),
       join(" ", map { $_->[0] } @events), "F129: and as they call themselves");
    is(json($events[4][1])->{delta}{stop_reason}, "end_turn",
       "F129: stream: finished");
}


# 3. as Claude Code 2.0 sends it: 40 KB, tools and all

{
    my $warmup = encode({
        model => "claude-haiku-4-5-20251001",
        messages => [{ role => "user", content => [
            { type => "text", text => "Warmup",
              cache_control => { type => "ephemeral" } }] }],
        system => [
            { type => "text", cache_control => { type => "ephemeral" },
              text => "You are Claude Code, Anthropic's official CLI for "
                      . "Claude." },
            { type => "text", text => "lorem ipsum\n" x 500 }],
        tools => [map { { name => "Tool$_", description => "dolor " x 400,
                          input_schema => { type => "object" } } } 1 .. 11],
        metadata => { user_id => "user_1_account__session_2" },
        max_tokens => 32000, stream => \1 });

    cmp_ok(length $warmup, ">", 30000, "F129: Claude Code's is large");

    my $r = asked("Claude Code's own", 0, sub {
        $nginx->post("/v1/messages?beta=true", $warmup)
    });
    is(($r->events)[-1][0], "message_stop", "F129: Claude Code's own");

    asked("its body in a file", 0, sub {
        $nginx->post("/small/v1/messages", $warmup)
    });
}


# 4. what is none of these

for (
    ["a question with the word", body("Warmup, please")],
    ["the word among others", encode({
        model => "claude-haiku-4-5-20251001", max_tokens => 5,
        messages => [{ role => "user", content => "Warmup" },
                     { role => "assistant", content => "Ready." },
                     { role => "user", content => "Now what?" }] })],
    ["a quotation", body("What does '$write' mean?")],
    ["a topic of the user's", body($ask)],
    ["a title with tools", body($write, tools => [
        { name => "t", input_schema => { type => "object" } }])],
    ["a large one", body("Warmup", metadata => { x => "y" x 70000 })],
)
{
    my ($name, $body) = @$_;

    asked("F129: not $name", 1, sub { $nginx->post("/v1/messages", $body) });
}

asked("F129: not where it is not on", 1,
      sub { $nginx->post("/plain/v1/messages", body("Warmup")) });
asked("F129: not where it is off", 1,
      sub { $nginx->post("/off/v1/messages", body("Warmup")) });
asked("F129: not when tokens are counted", 1,
      sub { $nginx->post("/v1/messages/count_tokens", body("Warmup")) });

is_error($nginx->request("POST", "/v1/messages", key => "no-such-key-1",
                         body => body("Warmup"),
                         headers => ["Content-Type: application/json"]),
         401, "authentication_error", "F129: not without a key");
is_error($nginx->request("POST", "/v1/messages", key => "eve-secret-000002",
                         body => body("Warmup"),
                         headers => ["Content-Type: application/json"]),
         403, "permission_error", "F129: not for a model that is not the key's");


# 5. the books, and without any account

{
    call_until_booked();

    my $rows = $nginx->control("GET", "/v1/usage/rows?platform=local&limit=50")
                     ->json->{rows};

    ok(@$rows >= 5, "F129: rows of the platform \"local\"") || diag encode($rows);
    is((grep { $_->{cost_micros} } @$rows), 0, "F129: at no cost");
    is((grep { $_->{account} } @$rows), 0, "F129: of no account");
    is((grep { $_->{key} ne "alice" } @$rows), 0, "F129: of the key");

    my $sum = $nginx->control("GET", "/v1/usage?by=platform")->json->{sums};
    my ($local) = grep { ($_->{platform} // "") eq "local" } @$sum;
    is($local->{requests}, scalar @$rows, "F129: in the sums");
    is($local->{cost_micros}, 0, "F129: at no cost, in sum");

    my $used = $nginx->control("GET", "/v1/keys/alice")->json->{usage}[0];
    my $all = 0;
    $all += $_->{requests} for grep { ($_->{platform} // "") ne "local" } @$sum;
    cmp_ok($used->{used}, "<", $all + 1, "F129: no limit is charged");

    my $entry;

    wait_for(sub {
        $entry = $nginx->control("GET", "/v1/audit/" . $rows->[-1]{id})->json;
        return !$entry->{error};
    });
    is($entry->{platform}, "local", "F129: in the audit log")
        || diag encode($entry);
}

asked("without an account", 0,
      sub { $nginx->post("/idle/v1/messages", body("Warmup")) });
is($nginx->post("/idle/v1/messages", body("Hi"))->status, 503,
   "F129: which all others need");


{
    my ($ok, $said) = config(relay_http(location => "claude_relay_warmup x;"));

    ok(!$ok && $said =~ /must be "on" or "off"/, "F129: on or off");
}

finish();


sub call_until_booked {
    wait_for(sub {
        my $j = $nginx->control("GET", "/v1/usage/rows?limit=1")->json;
        return @{ $j->{rows} };
    });
}
