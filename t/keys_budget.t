#!/usr/bin/perl

# Budgets are reserved at admission and settled in the end (N05): however many
# requests come at once, at most one goes over; what breaks half-way is charged
# with what it has used; what is not priced is said so.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $dir = "$ENV{CR_ROOT}/build";
my $file = "$dir/budget-prices.$$.json";

# a dollar for 10,000 tokens of output, and nothing else

spew($file, '{"models":{"dime-1":{"input":0,"output":100},'
            . '"even-1":{"input":10,"output":10}}}');

END { unlink $file if $file }


# $0.10, and nothing of the cache

my $dime = "output=1000,input=0,cache-read=0,cache-5m=0,cache-1h=0";

sub body {
    my (%o) = @_;

    my $stream = $o{stream} ? '"stream":true,' : "";
    my $max = $o{max} // 1000;
    my $model = $o{model} // "dime-1";

    return qq({"model":"$model","max_tokens":$max,$stream)
           . qq("messages":[{"role":"user","content":"hello )
           . ($o{pad} ? "x" x $o{pad} : "") . qq( sandbox($o{do})"}]});
}


sub many {
    my ($n, $name, %o) = @_;

    my @w;
    my ($next, $port) = (0, port());

    # so many at once as the machine may have open

    pump(sub {
        while ($next < $n && (grep { !$_->{done} } @w) < 200) {
            $next++;
            push @w, wire($port, ask(path => $o{path} // "/v1/messages",
                                     key => "$name-secret-0001", close => 1,
                                     body => body(%o)));
        }

        return $next == $n && !grep { !$_->{done} } @w;
    }, 40);

    return @w;
}


sub served { scalar grep { ($_->{status} // 0) == 200 } @_ }


sub key {
    my ($name, $limits) = @_;

    return "claude_relay_key $name { secret $name-secret-0001; $limits }\n";
}


my $nginx = relay(workers => 4, events => "worker_connections 2048;",
    http => "claude_relay_prices $file;",
    keys => key("alice", "limit cost:1/day;")
            . key("queued", "limit cost:1/day;")
            . key("both", "limit cost:1/day; limit cost:0.5/week;")
            . key("fail", "limit cost:1/day;")
            . key("small", "limit cost:0.01/day;")
            . key("tokens", "limit tokens:10k/day;")
            . key("half", "limit tokens:12000/day; limit cost:10/day;")
            . key("left", "limit output:1000000/day;")
            . key("free", "limit cost:1/day;")
            . key("reserve", "limit cost:1/day; limit tokens:1000k/day;")
            . "claude_relay_user u { limit cost:1/day; }\n"
            . join("", map { key("u$_", "user u;") } 1 .. 5),
    server => "location /q/ { claude_relay; claude_relay_limit_headers on;
                              claude_relay_queue 300 wait=20s overload=off; }",
    location => "claude_relay_retry_wait 0; claude_relay_limit_headers on;");


# ---- a dollar, and 200 at once of a dime each

{
    my @w = many(200, "alice", do => "first=200,$dime");
    my $ok = served(@w);

    is(scalar(@w), 200, "a dollar: 200 requests");
    is(scalar(grep { ($_->{status} // 0) == 429 } @w), 200 - $ok,
       "a dollar: the others are refused");
    cmp_ok($ok, ">=", 9, "a dollar: $ok of ten dimes at once");
    cmp_ok($ok, "<=", 11, "a dollar: at most one over");

    # and later: as many as are left, one by one

    my $more = 0;

    for (1 .. 12) {
        last if served(many(1, "alice", do => $dime)) == 0;
        $more++;
    }

    is($ok + $more, $ok > 10 ? $ok : 10, "a dollar: ten dimes in all");

    my $w = (many(1, "alice", do => $dime))[0];

    is($w->{status}, 429, "a dollar: used up");
    like($w->{body}, qr/cost limit of this key is used up: \$1\.00 of \$1\.00 /,
         "F067: a day's cost, to the cent");
}


# ---- the same, patiently

{
    my @w = many(60, "queued", path => "/q/v1/messages",
                 do => "first=50,$dime");
    my $ok = served(@w);

    is($ok, 10, "a queue: ten dimes, and not one over");
    is(scalar(grep { ($_->{status} // 0) == 429 } @w), 50,
       "a queue: all others are refused as soon as it is used up");
}


# ---- all limits at once, the smaller one decides

{
    my $ok = served(many(60, "both", do => "first=100,$dime"));

    cmp_ok($ok, "<=", 6, "two budgets: at most one over the smaller, $ok");
    cmp_ok($ok, ">=", 4, "two budgets: and not less");
}


# ---- a user's keys together

{
    my @w;
    my $port = port();

    for my $i (1 .. 60) {
        push @w, wire($port, ask(key => "u" . ($i % 5 + 1) . "-secret-0001",
                                 close => 1,
                                 body => body(do => "first=100,$dime")));
    }

    pump(sub { !grep { !$_->{done} } @w }, 20);

    my $ok = served(@w);

    cmp_ok($ok, "<=", 11, "a user's budget: at most one over, $ok");
    cmp_ok($ok, ">=", 9, "a user's budget: and not less");
}


# ---- what fails costs nothing

{
    my @w = many(30, "fail", do => "status=400,$dime");

    is(served(@w), 0, "failures: all of them");

    my @ok = map { served(many(1, "fail", do => $dime)) } 1 .. 11;

    is("@ok", "1 1 1 1 1 1 1 1 1 1 0", "failures: then all of the budget");
}


# ---- less than a single request: one goes through

{
    my $ok = served(many(40, "small", do => "first=100,$dime"));

    is($ok, 1, "a budget smaller than a request: exactly one");
}


# ---- streams that die half-way

{
    # what is told at the beginning of a stream is charged: 2360 of input

    my %cut = (cut => "cut-at=3", reset => "reset-at=3", end => "end-at=3",
               error => "error-at=3");

    for my $how (sort keys %cut) {
        my ($w) = many(1, "half", stream => 1, model => "even-1", max => 100,
                       do => "events=8,delay=10,$cut{$how}");

        is($w->{status}, 200, "half-way: $how");
    }

    my ($w) = many(1, "half", do => "events=1", model => "even-1", max => 10);
    my $left = $w->{headers}{"anthropic-ratelimit-tokens-remaining"};

    # of each 2360 and some output; and this one reserves a little

    cmp_ok($left, "<=", 12000 - 4 * 2360, "half-way: input is charged, $left");
    cmp_ok($left, ">=", 12000 - 4 * (2360 + 8) - 100,
           "half-way: and no more than was seen");

    my @log = $nginx->log(2);

    is(scalar(grep { $_->{error_class} ne "ok" } @log) > 0 ? 1 : 0, 1,
       "half-way: they were broken");
}

{
    # clients that leave half-way: nothing stays reserved

    my $port = port();
    my @w = map { wire($port, ask(key => "left-secret-0001",
                                  body => body(stream => 1, max => 100000,
                                               model => "even-1",
                                               do => "events=500,delay=20"))) }
            1 .. 12;

    pump(sub { !grep { !$_->{parts} && !$_->{done} } @w }, 5);

    is(served(@w), 10, "leave: as many as may be reserved");

    my ($full) = many(1, "left", do => $dime, max => 100);

    is($full->{status}, 429, "leave: more are refused");
    like($full->{body}, qr/requests under way may use up the output token/,
         "leave: why");
    cmp_ok($full->{headers}{"retry-after"}, ">=", 1, "leave: retry-after");
    cmp_ok($full->{headers}{"retry-after"}, "<=", 5, "leave: retry-after, 5");

    $_->abort for @w;

    my $w;

    ok(until_true(sub {
        ($w) = many(1, "left", do => "output=5", max => 100);
        ($w->{headers}{"anthropic-ratelimit-output-tokens-remaining"} // 0)
            > 990_000;
    }, 4), "leave: what was reserved is back");
}


# ---- what is reserved: the size of the body, and max_tokens

{
    my ($w) = many(1, "reserve", do => $dime, max => 500, pad => 30000);
    my $left = $w->{headers}{"anthropic-ratelimit-tokens-remaining"};

    cmp_ok($left, "<=", 1000000 - 500 - 10000, "reserved: a body of 30 KB");
    cmp_ok($left, ">=", 1000000 - 500 - 10200, "reserved: a third of its bytes");

    ($w) = many(1, "tokens", do => $dime, max => 1000000000000);
    is($w->{status}, 200, "reserved: however large, the first one");
    is((many(1, "tokens", do => "output=9000", max => 10))[0]{status}, 200,
       "reserved: it was given back");
    is((many(1, "tokens", do => $dime))[0]{status}, 429,
       "reserved: what is used is used");
}


# ---- a model without a price

{
    my ($w) = many(1, "free", do => "output=1000", model => "nobody-1");

    is($w->{status}, 200, "unpriced: allowed");
    $nginx->wait_error(qr/"nobody-1" has no price/);

    many(8, "free", do => "output=1000", model => "nobody-1");

    my @lines = $nginx->error_log =~ /("nobody-1" has no price)/g;

    cmp_ok(scalar(@lines), "<=", 4, "unpriced: said once a minute, by each");
}

$nginx->stop;

$nginx = relay(http => "claude_relay_prices $file; claude_relay_unpriced refuse;
                        claude_relay_rate anthropic 2;",
               keys => key("alice", "limit cost:1/day;")
                       . key("bob", "limit tokens:1m/day;")
                       . key("eve", "limit cost:1/day models=*opus*;"));

{
    my ($w) = many(1, "alice", do => "output=10", model => "nobody-1");

    is($w->{status}, 403, "unpriced: refused, under a limit of cost");
    like($w->{body}, qr/permission_error.*no price/, "unpriced: says so");
    is($w->{headers}{"x-should-retry"}, "false", "unpriced: no other try");
    is((many(1, "bob", do => "output=10", model => "nobody-1"))[0]{status},
       200, "unpriced: without one it is no matter");
    is((many(1, "eve", do => "output=10", model => "nobody-1"))[0]{status},
       200, "unpriced: nor if it does not count this model");

    # a dime is two of them

    my @ok = map { served(many(1, "alice", do => $dime)) } 1 .. 6;

    is("@ok", "1 1 1 1 1 0", "F070: a rate of 2: half as many");
}

$nginx->stop;


# ---- an account's money is what it is billed, whatever the rates

$nginx = relay(http => "claude_relay_prices $file; claude_relay_rate anthropic 5;",
               accounts => account("purse", "priority 200;"
                                            . " limit cost:0.5/day reset=04;")
                           . account("deep"));

{
    my @who;

    for (1 .. 7) {
        $nginx->post("/v1/messages", body(do => $dime));
        push @who, $nginx->log->{account};
    }

    is("@who", "purse purse purse purse purse deep deep",
       "F072: five dimes a day");

    my ($purse) = grep { $_->{name} eq "purse" }
                  map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    cmp_ok($purse->{limits_used}[0]{used}, "==", 0.5, "F072: used, dollars");
    like($purse->{limits_used}[0]{reset}, qr/T04:00:00Z$/, "F072: its hour");
}


finish();
