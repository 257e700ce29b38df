#!/usr/bin/perl

# Limits and slots that several nodes have together: budgets, rates, requests
# at once of a key and of an account; a node that dies, one that begins anew,
# Redis that is emptied, and one that is away.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayFleet;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $file = root() . "/build/fleet-prices.$$.json";

# a dollar for 10,000 tokens of output, and nothing else

spew($file, '{"models":{"dime-1":{"input":0,"output":100}}}');

END { unlink $file if $file }

my $dime = "output=1000,input=0,cache-read=0,cache-5m=0,cache-1h=0";


sub body {
    my (%o) = @_;

    return message(model => "dime-1", max_tokens => $o{max} // 1000,
                   text => "hello sandbox(" . ($o{do} // $dime) . ")");
}


sub key {
    my ($name, $limits) = @_;

    return "claude_relay_key $name { secret $name-secret-0001; $limits }\n";
}


my $redis = redis();

my $fleet = fleet(3, redis => $redis, workers => asan() ? 1 : 2,
    params => "timeout=800ms lease=3s",
    http => "claude_relay_prices $file;",
    accounts => account("one", "max_concurrency 0;")
                . account("four", "max_concurrency 4; priority 1;"),
    keys => join("", map { key("dollar$_", "limit cost:1/total;") } 1 .. 5)
            . key("rate", "limit requests:20/day;")
            . key("five", "limit requests:5/5h;")
            . key("slots", "limit concurrency:6;")
            . key("many", "account four;")
            . key("big", "limit cost:0.01/day;")
            . key("warm", "limit requests:1000000/day; limit cost:1000/day;"),
    location => "claude_relay_retry_wait 0; claude_relay_limit_headers on;"
                . "claude_relay_sticky wait=20s;",
    allow => [qr/exited on signal 9/]);

ok($fleet->ready, "fleet: three nodes");

my @nodes = $fleet->nodes;


sub say_as {
    my ($i, $name, %o) = @_;

    return $nodes[$i]->request("POST", "/v1/messages",
                               key => "$name-secret-0001", body => body(%o),
                               headers => ["Content-Type: application/json"]);
}


# n requests for each of the nodes, all at once

sub many {
    my ($n, $name, %o) = @_;

    my @ports = map { $_->port } @{ $o{nodes} // \@nodes };
    my @todo = map { my $p = $_; map { $p } 1 .. $n } @ports;
    my @w;

    @todo = sort { rand() <=> 0.5 } @todo;

    pump(sub {
        while (@todo && (grep { !$_->{done} } @w) < ($o{most} // 60)) {
            $o{during}->(scalar @w) if $o{during};
            push @w, wire(shift @todo,
                          ask(path => "/v1/messages",
                              key => "$name-secret-0001", close => 1,
                              body => body(%o)));
        }

        return !@todo && !grep { !$_->{done} } @w;
    }, 60);

    return @w;
}


sub served { scalar grep { ($_->{status} // 0) == 200 } @_ }

sub failed { scalar grep { my $s = $_->{status} // 0;
                           $s != 200 && $s != 429 } @_ }


sub ledger {
    my ($node) = @_;

    return @{ $node->control("GET", "/v1/usage?by=key")->json->{sums} };
}


# requests of a key that have an account

sub under_way {
    my ($node, $key) = @_;

    return scalar grep { $_->{key} eq $key && $_->{account} }
                       @{ $node->control("GET", "/v1/requests")->json
                               ->{requests} };
}


# as a node shows it: used, of the first limit

sub used {
    my ($i, $name) = @_;

    return $nodes[$i]->control("GET", "/v1/keys/$name")->json
                     ->{usage}[0]{used};
}


# ---- a dollar for three nodes

{
    my @w = many(30, "dollar1", do => "first=100,$dime");
    my $ok = served(@w);

    is(failed(@w), 0, "fleet: a dollar, 90 requests at once: all are answered");
    cmp_ok($ok, ">=", 6, "fleet: $ok of ten dimes at once");
    cmp_ok($ok, "<=", 11, "fleet: at most one over");

    # and later, by turns: as many as are left

    my $i = 0;
    my $refused = 0;

    while ($refused < 6 && $i < 60) {
        my $r = say_as($i++ % 3, "dollar1");

        if ($r->status == 200) {
            $ok++;
            $refused = 0;
        } else {
            $refused++;
        }
    }

    cmp_ok($ok, ">=", 10, "fleet: a dollar can be used by whatever node");
    cmp_ok($ok, "<=", 11, "fleet: and no more than that");

    my $r = say_as(1, "dollar1");

    is_error($r, 429, "rate_limit_error", "fleet: it is used up at each node",
             qr/cost limit of this key is used up: \$1\.\d+ of \$1\.00/);

    ok(wait_for(sub { !grep { abs(used($_, "dollar1") - $ok / 10) > 0.001 }
                            0 .. 2 }),
       "fleet: each shows what all have used")
        or diag map { used($_, "dollar1") . " " } 0 .. 2;

    # sums of the ledgers are the truth

    my $sum;

    ok(wait_for(sub {
           $sum = 0;
           $sum += $_->{cost} for grep { $_->{key} eq "dollar1" }
                                  map { ledger($_) } @nodes;
           return abs($sum - $ok / 10) < 0.001;
       }), "fleet: the ledgers say the same")
        or diag $sum;
}


# ---- a rate, of which each can have all

{
    my $ok = 0;
    my $r;

    for (1 .. 26) {
        $r = say_as($_ % 3, "rate");
        $ok += ($r->status == 200);
    }

    is($ok, 20, "fleet: 20 requests a day, whatever node they come to");
    is_error($r, 429, "rate_limit_error", "fleet: the others are refused",
             qr/request limit of this key is used up: 20 of 20/);
    is($r->header("anthropic-ratelimit-requests-remaining"), 0,
       "fleet: nothing remains, says the header");
}


# ---- a window that begins with its first use

{
    is($nodes[2]->control("GET", "/v1/keys/five")->json->{usage}[0]{used}, 0,
       "fleet: a window that is not begun");

    my $r = say_as(0, "five");
    my $reset = $r->header("anthropic-ratelimit-requests-reset");

    sleep 2.1;

    is(say_as(1, "five")->header("anthropic-ratelimit-requests-reset"), $reset,
       "fleet: it ends when the first one's ends");
    is(say_as(2, "five")->header("anthropic-ratelimit-requests-reset"), $reset,
       "fleet: at each node");
    is(join(" ", map { say_as($_ % 3, "five")->status } 0 .. 3),
       "200 200 429 429", "fleet: one window");
}


# ---- one request that is larger than its limit

{
    my $ok = 0;

    for (1 .. 6) {
        $ok += (say_as($_ % 3, "big")->status == 200);
    }

    is($ok, 1, "fleet: a limit smaller than a request admits one of them");
}


# ---- requests at once; a node that dies

{
    my $long = "first=" . (asan() ? 40000 : 15000) . ",output=1";
    my $begin = time;

    my @held = map { wire($nodes[$_]->port,
                          ask(path => "/v1/messages", close => 1,
                              key => "slots-secret-0001",
                              body => body(do => $long)))
                   } (0, 0, 0, 0, 1, 1);

    # they are under way when they are shown as such

    ok(wait_for(sub {
           pump(sub { 1 }, 1);
           return under_way($nodes[0], "slots") == 4
                  && under_way($nodes[1], "slots") == 2;
       }, 20), "fleet: six requests at once, at two nodes");

    is_error(say_as(2, "slots"), 429, "rate_limit_error",
             "fleet: a seventh one is refused by the third",
             qr/concurrency limit of this key is reached: 6 at once/);

    ok(wait_for(sub { $nodes[2]->control("GET", "/v1/keys/slots")->json
                               ->{usage}[0]{used} == 6 }),
       "fleet: which shows all of them");

    $nodes[0]->kill9;

    my $killed = time;

    ok(wait_for(sub { say_as(2, "slots")->status == 200 }, 20),
       "fleet: the slots of a node that is killed come back");

    my $took = time - $killed;

    cmp_ok($took, "<", 3 + 2 + (asan() ? 10 : 2), sprintf
           "fleet: within its lease of 3 s: %.1f", $took);
    cmp_ok($killed - $begin, "<", asan() ? 40 : 15,
           "fleet: and not as they have ended");

    $_->close for @held;

    $nodes[0]->start;
    ok($fleet->ready, "fleet: it is back");
    ok(wait_for(sub { say_as(0, "slots")->status == 200 }, 20),
       "fleet: and may have slots again");
}


# ---- a worker that dies takes no share with it

{
    my @held = map { wire($nodes[0]->port,
                          ask(path => "/v1/messages", close => 1,
                              key => "slots-secret-0001",
                              body => body(do => "first=20000,output=1")))
                   } 1 .. 6;

    ok(wait_for(sub { pump(sub { 1 }, 1); under_way($nodes[0], "slots") == 6 },
                20), "fleet: all slots are taken");

    is(say_as(1, "slots")->status, 429, "fleet: there is none for another node");

    if (!asan()) {
        kill "KILL", $nodes[0]->workers;

        ok(wait_for(sub { say_as(1, "slots")->status == 200 }, 20),
           "fleet: its workers are killed, and the slots are there again");
        ok(wait_for(sub { (eval { say_as(0, "slots")->status } // 0) == 200 },
                    20), "fleet: for their own node, too");
    }

    $_->close for @held;
}


# ---- slots of an account

{
    my $long = "first=" . (asan() ? 6000 : 4000) . ",output=1";
    my ($most, @seen) = (0);

    my @held = map { wire($nodes[$_ % 3]->port,
                          ask(path => "/v1/messages", close => 1,
                              key => "many-secret-0001",
                              body => body(do => $long)))
                   } 0 .. 8;

    # an account is told when a slot of it is there

    ok(wait_for(sub {
           pump(sub { 1 }, 1);
           my $n = 0;
           $n += under_way($_, "many") for @nodes;
           $most = $n if $n > $most;
           push @seen, $n;
           return @seen > 10 && $n == 4;
       }, 20), "fleet: four slots of an account, at three nodes")
        or diag "@seen";

    is($most, 4, "fleet: never more than that");

    pump(sub { !grep { !$_->{done} } @held }, 60);

    is(failed(@held), 0, "fleet: the others are answered, too");
    cmp_ok(served(@held), ">", 4, "fleet: one after the other");
}


# ---- a node that begins anew knows what it has used

{
    my @w = many(3, "dollar2", nodes => [$nodes[0]], most => 1);

    is(served(@w), 3, "fleet: three dimes at one node");

    ok(wait_for(sub { abs(used(1, "dollar2") - 0.3) < 0.001 }),
       "fleet: which another one shows");

    $nodes[0]->restart;
    ok($fleet->ready, "fleet: it was restarted");

    ok(wait_for(sub { abs(used(0, "dollar2") - 0.3) < 0.001 }),
       "fleet: and shows the same");

    @w = (many(4, "dollar2"), many(4, "dollar2", most => 1));

    cmp_ok(served(@w), ">=", 5, "fleet: of seven dimes that are left");
    cmp_ok(served(@w), "<=", 8, "fleet: no more than these are used");
}


# ---- an operator resets it

{
    my $r = $nodes[2]->control("POST", "/v1/keys/dollar2/limits/reset", {});

    is($r->status, 200, "fleet: a limit is reset at one node");
    ok(wait_for(sub { !grep { used($_, "dollar2") > 0 } 0 .. 2 }),
       "fleet: and is so at all of them");
    is(say_as($_, "dollar2")->status, 200, "fleet: it can be used again")
        for 0 .. 2;
}


# ---- Redis forgets everything

{
    my $flushed;

    my @w = many(12, "dollar3", do => "first=100,$dime", most => 4,
                 during => sub {
                     $redis->flush if $_[0] == 6 && !$flushed++;
                 });
    my $ok = served(@w);

    is(failed(@w), 0, "fleet: Redis is emptied, all requests are answered");
    cmp_ok($ok, ">=", 8, "fleet: a dollar is used all the same");
    cmp_ok($ok, "<=", 14, "fleet: $ok dimes: what was under way comes over");

    ok(wait_for(sub { abs(used(0, "dollar3") - $ok / 10) < 0.001
                      && abs(used(2, "dollar3") - $ok / 10) < 0.001 }),
       "fleet: what was forgotten was told again")
        or diag used(0, "dollar3"), " ", used(2, "dollar3"), " $ok";
}


# ---- Redis is away

{
    my $stopped;

    my @w = many(20, "dollar4", do => "first=100,$dime", most => 4,
                 during => sub {
                     $redis->stop if $_[0] == 6 && !$stopped++;
                 });
    my $ok = served(@w);

    is(failed(@w), 0, "fleet: Redis goes away, all requests are answered");
    cmp_ok($ok, ">=", 4, "fleet: those that there is room for go on");
    # one request over for each node, and what was granted to the others in
    # the second before

    cmp_ok($ok, "<=", 10 + 3 + 3, "fleet: $ok dimes: within what is stated");

    # nobody has told anything of this one: each node has its part

    @w = many(20, "dollar5", most => 6);
    $ok = served(@w);

    cmp_ok($ok, ">=", 9, "fleet: alone, each node has its part of a limit");
    cmp_ok($ok, "<=", 10 + 3, "fleet: $ok dimes: and one request more");

    is(say_as(1, "warm")->status, 200, "fleet: nobody waits for what is away");

    $redis->start;
    ok($fleet->ready, "fleet: Redis is there again");

    ok(wait_for(sub { !grep { abs(used($_, "dollar5") - $ok / 10) > 0.001 }
                            0 .. 2 }),
       "fleet: what was used meanwhile is known to all");
}

finish();
