#!/usr/bin/perl

# Limits: each unit in each kind of window, of keys, users, groups, accounts
# and models; refusals, headers, shadows; over a reload and with a clock that
# is set.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my @names = map { "k$_" } 1 .. 9;


sub key {
    my ($name, $directives) = @_;

    return "claude_relay_key $name { secret $name-secret-0001; $directives }\n";
}


sub say_as {
    my ($nginx, $name, %o) = @_;

    my $model = $o{model} // "claude-sonnet-4-6";
    my @do = defined $o{do} ? ("x-sandbox: $o{do}") : ();
    my $path = $o{path} // "/v1/messages";

    return $nginx->request($o{method} // "POST", $path,
                           key => "$name-secret-0001",
                           body => $o{body}
                                   // message(model => $model,
                                              max_tokens => $o{max} // 100),
                           headers => ["Content-Type: application/json", @do]);
}


sub statuses {
    my ($nginx, $name, $n, %o) = @_;

    return join " ", map { say_as($nginx, $name, %o)->status } 1 .. $n;
}


# a window that begins with the clock's must not end within the test

sub far_from_the_end {
    my ($of, $need) = @_;

    sleep 1 while time - int(time / $of) * $of > $of - $need;
}


# ---- what is wrong is found by nginx -t

for (["cost:5/day", 1], ["cost:0.000001/total shadow", 1],
     ["requests:10k/minute models=*opus*", 1],
     ["tokens:1m/week reset=mon,04 per=user", 1],
     ["concurrency:3 per=group", 1], ["output:5/90s per=account", 1],
     ["cost:-5/day", 0], ["cost:5/fortnight", 0], ["dollars:5", 0],
     ["concurrency:3/day", 0], ["cost:5/day per=everybody", 0],
     ["cost:5/day soon", 0], ["cost", 0], ["cost:1e9/day", 0],
     ["requests:1.5/day", 0])
{
    my ($text, $ok) = @$_;
    my ($rc, $said) = config(relay_http(http => "claude_relay_limit $text;"));

    is($rc, $ok, "claude_relay_limit $text");
    like($said, qr/invalid (?:limit|parameter)/, "$text: says so") if !$ok;
}

for (["3", 1], ["off", 1], ["3 wait=500ms multiplier=1.5 overload=off", 1],
     ["0", 0], ["off wait=1s", 0], ["3 wait=0", 0], ["3 multiplier=x", 0],
     ["3 overload=maybe", 0], ["many", 0])
{
    my ($text, $ok) = @$_;
    my ($rc) = config(relay_http(location => "claude_relay_queue $text;"));

    is($rc, $ok, "claude_relay_queue $text");
}

for (["claude_relay_rate anthropic 1.5;", 1],
     ["claude_relay_rate nobody 1.5;", 0],
     ["claude_relay_rate anthropic -1;", 0],
     ["claude_relay_rate anthropic 1; claude_relay_rate anthropic 2;", 0],
     ["claude_relay_limit cost:1/day; claude_relay_limit cost:2/day;", 0],
     ["claude_relay_limit cost:1/day; claude_relay_limit cost:2/week;", 1],
     ["claude_relay_unpriced refuse;", 1], ["claude_relay_unpriced no;", 0])
{
    my ($text, $ok) = @$_;
    my ($rc) = config(relay_http(http => $text));

    is($rc, $ok, $text);
}

for (["limit cost:5/day reset=04; limit tokens:1m/hour;", 1],
     ["limit cost:5/day; limit cost:6/day;", 0], ["limit cost;", 0])
{
    my ($text, $ok) = @$_;
    my ($rc, $said) = config(relay_http(account => $text));

    is($rc, $ok, "account: $text");
    like($said, qr/limit .* in account "one"/, "$text: whose") if !$ok;
}


# ---- units and windows

# a message of the sandbox has 12 + 300 + 2048 tokens in, 5 out

my %windows = (
    minute => [3, 60], hour => [3, 3600], "5h" => [3], day => [3, 86400],
    week => [3, 86400], month => [3, 86400], total => [3], "90s" => [3],
);

my $nginx = relay(workers => 4, keys =>
    join("", map { key("w$_", "limit requests:3/$_;") } sort keys %windows)
    . key("alice", "")
    . key("in", "limit input:4720/day;")
    . key("out", "limit output:10/day;")
    . key("tokens", "limit tokens:4730/day;")
    . key("glob", "limit requests:2/day models=*opus*;")
    . key("two", "limit requests:5/day; limit requests:2/total;")
    . key("short", "limit requests:2/2s;")
    . key("refund", "limit requests:1/day;")
    . key("count", "limit requests:1/day; limit concurrency:1;")
    . key("batch", "limit requests:2/day; limit tokens:2000/day;")
    . key("slots", "limit concurrency:2;")
    . key("shadow", "limit requests:1/day shadow; limit tokens:1m/day;")
    . "claude_relay_user u1 { limit requests:3/day; }\n"
    . "claude_relay_group g1 { limit requests:5/day; }\n"
    . key("a1", "user u1; group g1;")
    . key("a2", "user u1; group g1;")
    . key("b1", "group g1;"),
    location => "claude_relay_retry_wait 0;");

far_from_the_end(60, 8);
far_from_the_end($_, 20) for 3600, 86400;

for my $w (sort keys %windows) {
    is(statuses($nginx, "w$w", 5), "200 200 200 429 429",
       "F064: 3 requests per $w");
}

for (["input", "in"], ["output", "out"], ["token", "tokens"]) {
    my ($unit, $name) = @$_;

    is(statuses($nginx, $name, 4), "200 200 429 429",
       "F065: $unit: what is used up is used up");

    my $r = say_as($nginx, $name);

    is_error($r, 429, "rate_limit_error", "F065: $unit: an error",
             qr/^the \Q$unit\E (?:token )?limit of this key is used up:/);
    like($r->message, qr/\d+ of \d+ per day, until \d{4}-\d\d-\d\dT/,
         "F065: $unit: how much, and until when");
}

is(statuses($nginx, "glob", 3, model => "claude-opus-4-8"), "200 200 429",
   "F069: models of a pattern");
is(statuses($nginx, "glob", 2), "200 200", "F069: but not the others");

{
    is(statuses($nginx, "two", 3), "200 200 429", "all limits must admit it");

    my $r = say_as($nginx, "two");

    is($r->header("retry-after"), undef, "F068: total: no time helps");
    is($r->header("x-should-retry"), "false", "F068: and no other try");
    like($r->message, qr/2 of 2 in total/, "F068: and says so");
}

{
    is(statuses($nginx, "short", 3), "200 200 429", "a window of 2 seconds");

    my $r = say_as($nginx, "short");

    like($r->header("retry-after"), qr/^[12]$/, "short: retry-after");
    is($r->header("x-should-retry"), "true", "short: worth another try");

    sleep 2.2;

    is(statuses($nginx, "short", 3), "200 200 429", "then the next one");
}

{
    my $r = say_as($nginx, "wday");

    cmp_ok($r->header("retry-after"), ">=", 1, "day: retry-after");
    cmp_ok($r->header("retry-after"), "<=", 86400, "day: at most a day");
    is($r->header("x-should-retry"), $r->header("retry-after") >= 60
                                     ? "false" : "true",
       "day: whether to try again");

    my $log = $nginx->log;

    is($log->{limit}, "key:requests/day", "\$claude_relay_limit: who refused");
    is($log->{status}, 429, "logged as such");
    is($log->{account}, "", "nobody was asked");
}


# ---- failures are given back, counting is free

is(statuses($nginx, "refund", 3, do => "status=400"), "400 400 400",
   "refund: an error costs nothing");
is(statuses($nginx, "refund", 2), "200 429", "refund: an answer does");

is(join(" ", map { say_as($nginx, "count",
                          path => "/v1/messages/count_tokens")->status } 1 .. 4),
   "200 200 200 200", "count_tokens: not counted");
is(statuses($nginx, "count", 2), "200 429", "count_tokens: messages are");
is(say_as($nginx, "count", path => "/v1/messages/count_tokens")->status, 200,
   "count_tokens: and is still free");

is(say_as($nginx, "batch", path => "/v1/messages/batches",
          body => '{"requests":[]}')->status, 200, "batches: a request");
is(statuses($nginx, "batch", 1), "200", "batches: one more");
is(say_as($nginx, "batch", path => "/v1/messages/batches",
          body => '{"requests":[]}')->status, 429,
   "batches: nobody makes one whose tokens are used up");


# ---- users and groups

is(statuses($nginx, "a1", 2), "200 200", "a user's keys: one");
is(statuses($nginx, "a2", 2), "200 429", "a user's keys: and the other");

{
    my $r = say_as($nginx, "a1");

    like($r->message, qr/of this key's user is used up: 3 of 3 per day/,
         "a user's limit");
    unlike($r->message, qr/u1|a2/, "a user's limit: no names");
    is($nginx->log->{limit}, "user:requests/day", "a user's limit, logged");
}

is(statuses($nginx, "b1", 3), "200 200 429", "a group's keys");

{
    my $r = say_as($nginx, "b1");

    like($r->message, qr/of this key's group is used up: 5 per day/,
         "a group's limit: not what others have used");
    unlike($r->message, qr/g1|a1|u1/, "a group's limit: no names");
}


# ---- concurrency, over workers

{
    my @w = map { wire(port(), ask(key => "slots-secret-0001", stream => 1,
                                   do => "events=60,delay=25")) } 1 .. 6;

    pump(sub { (grep { $_->{status} } @w) == 6 }, 5);

    is(join(" ", sort map { $_->{status} } @w), "200 200 429 429 429 429",
       "F059: two at once");

    my ($no) = grep { $_->{status} == 429 } @w;

    is($no->{headers}{"retry-after"}, 1, "F059: retry-after");
    is($no->{headers}{"x-should-retry"}, "true", "F059: worth another try");
    like($no->{body}, qr/concurrency limit of this key is reached: 2 at once/,
         "F059: what it is");

    my ($one) = grep { $_->{status} == 200 } @w;
    $one->abort;

    ok(until_true(sub { statuses($nginx, "slots", 1) eq "200" }, 2),
       "F059: a client that leaves makes room");

    $_->close for @w;

    ok(until_true(sub { statuses($nginx, "slots", 3) eq "200 200 200" }, 2),
       "F059: then there is room for all");
}


# ---- a shadow tells, and does nothing

{
    is(statuses($nginx, "shadow", 3), "200 200 200", "shadow: nobody refused");
    is($nginx->log->{shadow}, "key:requests/day", "\$claude_relay_shadow");
    is($nginx->log->{limit}, "key:tokens/day", "shadow: the nearest other one");
    $nginx->wait_error(qr/would refuse/);

    my @lines = $nginx->error_log =~ /(limit "[^\n]* would refuse[^\n]*)/g;

    is(scalar(@lines), 1, "shadow: once a minute");
    like($lines[0], qr/limit "requests:1\/day shadow" of key "shadow"/,
         "shadow: which and whose");

    say_as($nginx, "glob");
    is($nginx->log->{shadow}, "", "\$claude_relay_shadow: of others none");
}


# ---- a reload keeps counters

{
    my ($ok, $bad) = (0, 0);

    my @w = map { wire(port(), ask(key => "tokens-secret-0001")) } 1 .. 4;

    $nginx->reload;

    pump(sub { !grep { !$_->{done} } @w }, 5);

    is(join(" ", map { $_->{status} } @w), "429 429 429 429",
       "reload: meanwhile");
    is(statuses($nginx, "tokens", 1), "429", "reload: counters are kept");
    is(statuses($nginx, "w5h", 1), "429", "reload: of free windows, too");
    is(statuses($nginx, "slots", 1), "200", "reload: no slot is lost");
    $_->close for @w;
}

$nginx->stop;


# ---- more limits than a record has room for

my @globs = map { substr("claude-sonnet-4-6", 0, $_) . "*" } 1 .. 15;

sub many_limits {
    my ($amount) = @_;

    return join "", map { "limit requests:$amount/total models=$_; " } @globs;
}

$nginx = relay(keys => "claude_relay_user u { @{[ many_limits(3) ]} }\n"
                       . key("alice", "user u; " . many_limits(2))
                       . key("bob", "user u; " . many_limits(5)));

is(statuses($nginx, "alice", 3), "200 200 429", "30 limits: of the key");
is(statuses($nginx, "bob", 2), "200 429", "30 limits: of the user");
is(statuses($nginx, "bob", 2, model => "gpt-5"), "200 200",
   "30 limits: none of them");

$nginx->stop;


# ---- a zone that is full: what cannot be counted is refused

$nginx = relay(http => "claude_relay_zone relay:256k;",
               keys => key("alice", "limit requests:1000/total;")
                       . key("free", "")
                       . join("", map { key("z$_", many_limits(9)) } 1 .. 400));

{
    is(say_as($nginx, "alice")->status, 200, "full: not yet");

    my ($n, $r) = (0);

    while ($n++ < 400) {
        $r = say_as($nginx, "z$n");
        last if $r->status != 200;
    }

    cmp_ok($n, ">", 20, "full: room for $n times 15 counters");
    cmp_ok($n, "<", 400, "full: and not for more");
    is_error($r, 503, "api_error", "full: what cannot be counted is refused",
             qr/no memory to count/);
    like($nginx->error_log, qr/no room in zone "relay" to count a request/,
         "full: the log says why");
    is(statuses($nginx, "z1", 2), "200 200", "full: what is counted goes on");
    is(say_as($nginx, "free")->status, 200,
       "full: what need not be counted goes on");
    is(say_as($nginx, "z$n")->status, 503, "full: it stays so");
    is($nginx->health->{status}, "ok", "full: all is well otherwise");
}

$nginx->stop;


# ---- limits that all have

$nginx = relay(keys => key("alice", "") . key("bob", "limit requests:4/day;")
                       . key("eve", ""),
               http => "claude_relay_limit requests:2/day per=key;
                        claude_relay_limit requests:8/total models=*haiku*;");

is(statuses($nginx, "alice", 3), "200 200 429", "per=key: each key has it");
is(statuses($nginx, "eve", 3), "200 200 429", "per=key: of its own");
is(statuses($nginx, "bob", 5), "200 200 200 200 429",
   "per=key: but one with an amount of its own");

$nginx->stop;

$nginx = relay(keys => key("alice", "") . key("eve", ""),
               http => "claude_relay_limit requests:3/day models=*opus*;");

is(statuses($nginx, "alice", 2, model => "claude-opus-4-8"), "200 200",
   "models: one key");
is(statuses($nginx, "eve", 2, model => "claude-opus-4-8"), "200 429",
   "models: another one, all together");
like(say_as($nginx, "alice", model => "claude-opus-4-8")->message,
     qr/of this relay is used up: 3 per day for models \*opus\*/,
     "models: what is said");
is(statuses($nginx, "alice", 1), "200", "models: others are free");

$nginx->stop;

$nginx = relay(keys => "", location => "claude_relay_keys off;",
               http => "claude_relay_limit requests:2/day per=key;");

is(join(" ", map { $nginx->request("POST", "/v1/messages", key => undef,
                                   body => message())->status } 1 .. 3),
   "200 200 429", "without keys: all are one");

$nginx->stop;


# ---- headers, when they are wanted

$nginx = relay(keys => key("alice", "limit requests:5/day;"
                                    . " limit requests:3/hour;"
                                    . " limit tokens:100k/5h;"
                                    . " limit output:1k/total;"),
               server => "location /on/ { claude_relay;
                                          claude_relay_limit_headers on; }");

{
    my $r = say_as($nginx, "alice");

    is($r->header("anthropic-ratelimit-requests-limit"), 4000,
       "headers off: the upstream's");
    is(scalar(() = $r->header("x-ratelimit-limit-requests")), 0,
       "headers off: no others");

    $r = say_as($nginx, "alice", path => "/on/v1/messages");

    my @limits = grep { /^anthropic-ratelimit-|^x-ratelimit-/i } $r->headers;
    my %h = map { /^([^:]+): (.*)/ ? (lc $1 => $2) : () } @limits;

    is(scalar(@limits), scalar(keys %h), "headers on: each once");
    is($h{"anthropic-ratelimit-requests-limit"}, 3, "headers on: the tightest");
    is($h{"anthropic-ratelimit-requests-remaining"}, 1,
       "headers on: this one is counted");
    like($h{"anthropic-ratelimit-requests-reset"},
         qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, "headers on: its end");
    is($h{"anthropic-ratelimit-tokens-limit"}, 100000, "headers on: tokens");
    is($h{"anthropic-ratelimit-output-tokens-limit"}, 1000,
       "headers on: output");
    is($h{"anthropic-ratelimit-output-tokens-reset"}, undef,
       "headers on: a total has no end");
    is($h{"anthropic-ratelimit-input-tokens-limit"}, undef,
       "headers on: nothing of the account's");
    is($h{"x-ratelimit-remaining-requests"}, 1, "headers on: as OpenAI's");
    like($h{"x-ratelimit-reset-tokens"}, qr/^\d+h\d+m\d+s$/,
         "headers on: as OpenAI's, the time");

    say_as($nginx, "alice", path => "/on/v1/messages");
    $r = say_as($nginx, "alice", path => "/on/v1/messages");

    is($r->status, 429, "headers on: refused");
    is($r->header("anthropic-ratelimit-requests-remaining"), 0,
       "headers on: with headers");
}

$nginx->stop;


# ---- accounts

$nginx = relay(accounts => account("small", "priority 200;"
                                            . " limit requests:2/day;")
                           . account("large")
                           . account("tiny", "pool tiny; limit tokens:100/day;"
                                             . " limit cost:5/day shadow;"),
               location => "claude_relay_sticky ttl=1h;",
               server => "location /tiny/ { claude_relay;
                                            claude_relay_pool tiny;
                                            claude_relay_retry_wait 0; }");

{
    my @who = map { say_as($nginx, "alice",
                           body => message(text => "n$_"));
                    $nginx->log->{account} } 1 .. 5;

    is("@who", "small small large large large",
       "F072: an account that is used up is passed over");

    my ($small) = grep { $_->{name} eq "small" }
                  map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    is($small->{limits_used}[0]{used}, 2, "F072: what is used, in the report");
    is($small->{limits_used}[0]{amount}, 2, "F072: of how much");
    is($small->{limits_used}[0]{limit}, "requests:2/day", "F072: which");
    like($small->{limits_used}[0]{reset}, qr/^\d{4}-.*Z$/, "F072: until when");

    is(say_as($nginx, "alice", path => "/tiny/v1/messages")->status, 200,
       "F072: the first one is admitted, however large");

    my $r = say_as($nginx, "alice", path => "/tiny/v1/messages");

    is_error($r, 429, "rate_limit_error", "F072: nobody else is there",
             qr/limits/);
    cmp_ok($r->header("retry-after"), ">=", 1, "F072: retry-after");
    cmp_ok($r->header("retry-after"), "<=", 86400, "F072: of its window");
}

$nginx->stop;


# ---- of the store: everybody's, and accounts

{
    my $nginx = nginx(relay_http(
        http => "claude_relay_store store/relay.db secret=relay.key;
                 claude_relay_usage_poll off;
                 claude_relay_control unix:control.sock;",
        keys => key("alice", "") . key("eve", ""),
        accounts => account("one", "priority 1;"),
        location => "claude_relay_retry_wait 0;"), workers => 2);

    my $r = $nginx->control("POST", "/v1/limits",
                            { name => "opus",
                              limits => ["requests:2/day models=*opus*"] });

    is($r->status, 201, "store: a limit of everybody") || diag($r->body);

    my %opus = (model => "claude-opus-4-8");

    is(statuses($nginx, "alice", 1, %opus), "200", "store: one key");
    is(statuses($nginx, "eve", 2, %opus), "200 429",
       "store: and another one, in any worker");
    is(statuses($nginx, "eve", 1), "200", "store: other models");

    $r = $nginx->control("PATCH", "/v1/limits/opus",
                         { limits => ["requests:3/day models=*opus*"] });
    is($r->status, 200, "store: another amount") || diag($r->body);
    is(statuses($nginx, "alice", 2, %opus), "200 429",
       "store: what was used counts on");

    $r = $nginx->control("DELETE", "/v1/limits/opus");
    is($r->status, 204, "store: no limit any more") || diag($r->body);
    is(statuses($nginx, "alice", 3, %opus), "200 200 200",
       "store: then nobody is refused");

    $r = $nginx->control("POST", "/v1/accounts",
                         { name => "two", platform => "anthropic",
                           base_url => $up->url, api_key => "sk-ant-two-0001",
                           priority => 900,
                           limits => ["requests:2/day",
                                      { unit => "cost", amount => 5,
                                        window => "day", reset => "04" }] });

    is($r->status, 201, "store: an account with limits") || diag($r->body);
    is_deeply($r->json->{limits}, ["requests:2/day", "cost:5/day reset=04"],
              "store: as they are shown");

    my @who = map { say_as($nginx, "alice", body => message(text => "s$_"));
                    $nginx->log->{account} } 1 .. 4;

    is("@who", "two two one one", "F072: of the store");

    $r = $nginx->control("GET", "/v1/accounts/two");
    is($r->json->{limits_used}[0]{used}, 2, "store: what is used");

    $r = $nginx->control("PATCH", "/v1/accounts/two",
                         { limits => ["requests:3/day"] });
    is($r->status, 200, "store: another amount of it") || diag($r->body);

    @who = map { say_as($nginx, "alice", body => message(text => "t$_"));
                 $nginx->log->{account} } 1 .. 2;

    is("@who", "two one", "F072: its counter is kept");

    for (["limits", ["cost"]], ["limits", "cost:5/day"], ["limits", [5]],
         ["limits", [{ unit => "cost" }]],
         ["limits", ["cost:5/day", "cost:6/day"]])
    {
        my ($name, $value) = @$_;

        $r = $nginx->control("PATCH", "/v1/accounts/two", { $name => $value });
        is($r->status, 400, "store: refused: " . encode($value));
    }

    $nginx->stop;
}


# ---- a clock that is set

SKIP: {
    my ($lib) = glob "/usr/lib/*/faketime/libfaketime.so.1";

    skip "no libfaketime", 8 if !$lib || asan();

    my $clock = "$ENV{CR_ROOT}/build/limits-clock.$$";
    spew($clock, "+0\n");

    my $nginx = relay(keys => key("alice", "limit requests:2/day;")
                              . key("bob", "limit requests:2/1h;"),
                      workers => 2,
                      main => join("", map { "env $_;\n" }
                                       qw/ FAKETIME_TIMESTAMP_FILE
                                           FAKETIME_CACHE_DURATION
                                           FAKETIME_DONT_FAKE_MONOTONIC
                                           FAKETIME_DONT_RESET /),
                      env => { LD_PRELOAD => $lib,
                               FAKETIME_TIMESTAMP_FILE => $clock,
                               FAKETIME_CACHE_DURATION => 1,
                               FAKETIME_DONT_FAKE_MONOTONIC => 1,
                               FAKETIME_DONT_RESET => 1 });

    is(statuses($nginx, "alice", 3), "200 200 429", "clock: used up");
    is(statuses($nginx, "bob", 3), "200 200 429", "clock: used up, 1h");

    spew($clock, "-90s\n");
    sleep 2.5;

    is(statuses($nginx, "alice", 1), "429", "clock back: a window goes on");
    is(statuses($nginx, "bob", 1), "429", "clock back: a free one, too");

    spew($clock, "+2h\n");
    sleep 2.5;

    is(statuses($nginx, "bob", 3), "200 200 429", "clock on: the next window");

    # by more than a day from whatever hour it is: what is back by less than a
    # window goes on

    spew($clock, "+54h\n");
    sleep 2.5;

    is(statuses($nginx, "alice", 3), "200 200 429", "clock on: another day");

    spew($clock, "+0\n");
    sleep 2.5;

    is(statuses($nginx, "bob", 2), "200 200",
       "clock back for long: nothing is stuck");
    is(statuses($nginx, "alice", 2), "200 200",
       "clock back for long: a day, too");

    $nginx->stop;
    unlink $clock;
}


finish();
