#!/usr/bin/perl

# F081: a model "ccr,NAME" goes to accounts of platform ccr, and to them
# alone; the upstream hears NAME.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    workers => 1,
    http => <<'END',
        claude_relay_key few { secret few-secret-0002; models claude-*; }
        claude_relay_key not { secret not-secret-0003;
                               models_denied *opus*; }
        claude_relay_key slot { secret slot-secret-0004;
                                map opus platform=anthropic model=other; }
        claude_relay_rest overloaded=0;
END
    accounts => account("one", "models claude-* anything ccr,*;")
        . account("router", "platform ccr;")
        . account("second", "platform ccr; priority 50;"
                            . " model_map deep-* deepest;")
        . account("alone", "platform ccr; pool alone;")
        . account("byname", "platform ccr; pool byname; models a-*;"),
    server => <<'END',
        claude_relay_retry_wait 0;
        claude_relay_sticky off;
        claude_relay_policy least-recently-used;

        location /alone/ { claude_relay; claude_relay_pool alone; }
        location /byname/ { claude_relay; claude_relay_pool byname; }
        location /mapped/ { claude_relay;
                            claude_relay_map fast-* ccr,fastest; }
        location /none/ { claude_relay;
                          claude_relay_platforms anthropic; }
END
);

my $r;

sub body { $up->last->{body} }

sub by { $up->last->{credential} }


# 1. the name is taken off, and only that

my $text = '{ "model" : "ccr,claude-opus-4-8", "x": "ccr,y",'
           . '"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}';

$r = $nginx->post("/v1/messages", $text);

is($r->status, 200, "F081: a model with a name");
like(by(), qr/router|second/, "F081: goes to a router");
is(body(), $text =~ s/"ccr,claude-opus-4-8"/"claude-opus-4-8"/r,
   "F081: all other bytes stay");
is($nginx->log->{model}, "claude-opus-4-8",
   "F081: the log has the model's own name");

for ("CCR,claude-x", "ccr, claude-x", "Ccr,  claude-x") {
    $r = $nginx->post("/v1/messages", message(model => $_));
    is(json(body())->{model}, "claude-x", "F081: \"$_\"");
    like(by(), qr/router|second/, "F081: \"$_\": its account");
}

$r = $nginx->post("/v1/messages", stream(model => "ccr,claude-x"));
is(($r->events)[-1][0], "message_stop", "F081: a stream");

$r = $nginx->post("/v1/messages/count_tokens",
                  message(model => "ccr,claude-x"));
is($r->status, 200, "F081: tokens are counted");
is(json(body())->{model}, "claude-x", "F081: of the model");

$r = $nginx->post("/v1/messages", message(model => "ccr,deep-1"));
like(json(body())->{model}, qr/^deep(-1|est)$/,
     "F081: an account's map is of the model's own name");


# 2. no others go there

my %by;

for (1 .. 6) {
    $nginx->post("/v1/messages", message());
    $by{by()}++;
}

is_deeply([keys %by], ["sk-ant-one-000001"],
          "F081: what has no name goes to no router");

$r = $nginx->post("/alone/v1/messages", message());
isnt($r->status, 200, "F081: not even if there is nobody else");
is($r->type, "not_found_error", "F081: the model is not found")
    or diag $r->body;

$r = $nginx->post("/alone/v1/messages", message(model => "ccr,x"));
is($r->status, 200, "F081: those with a name do");

for ("ccr", "ccr,", "ccr,  ", "xccr,a", "router,a", ",a", "anthropic,a") {
    $r = $nginx->post("/alone/v1/messages", message(model => $_));
    isnt($r->status, 200, "F081: \"$_\" names none");
}

$r = $nginx->post("/byname/v1/messages", message(model => "ccr,b-1"));
isnt($r->status, 200, "F081: a router's list of models holds");
$r = $nginx->post("/byname/v1/messages", message(model => "ccr,a-1"));
is($r->status, 200, "F081: for the model's own name");

$r = $nginx->post("/none/v1/messages", message(model => "ccr,a"));
isnt($r->status, 200, "F081: nor may a location's platforms be left");

$r = $nginx->get("/alone/v1/models");
is_deeply($r->json->{data}, [], "F081: the list has no models of routers");


# 3. failover is among routers

my $n = $up->requests;

$up->behave("sk-ant-router-000001", "status=529");
$up->behave("sk-ant-second-000001", "status=529");

$r = $nginx->post("/v1/messages", message(model => "ccr,m"));
is($r->status, 529, "F081: both routers fail");
is((grep { $_->{credential} =~ /one/ } $up->last($up->requests - $n)), 0,
   "F081: and nobody else is asked");

$up->behave("sk-ant-router-000001", "");

$r = $nginx->post("/v1/messages", message(model => "ccr,m"));
is($r->status, 200, "F081: another router answers");


# 4. keys judge the model

$r = $nginx->request("POST", "/v1/messages", key => "few-secret-0002",
                     body => message(model => "ccr,claude-m"));
is($r->status, 200, "F081: a key for this model may name it");

$r = $nginx->request("POST", "/v1/messages", key => "few-secret-0002",
                     body => message(model => "ccr,gpt-5"));
is($r->status, 403, "F081: others it may not");

$r = $nginx->request("POST", "/v1/messages", key => "not-secret-0003",
                     body => message(model => "ccr,claude-opus-5"));
is($r->status, 403, "F081: a denied model stays denied");

$r = $nginx->request("POST", "/v1/messages", key => "slot-secret-0004",
                     body => message(model => "ccr,claude-opus-5"));
is($r->status, 200, "F081: a key's slot");
is(json(body())->{model}, "claude-opus-5", "F081: is not asked");


# 5. an operator's map may name it

$r = $nginx->post("/mapped/v1/messages", message(model => "fast-1"));
is($r->status, 200, "F081: a location's map names it");
is(json(body())->{model}, "fastest", "F081: and the model");
is(by(), "sk-ant-router-000001", "F081: a router gets it");


finish();
