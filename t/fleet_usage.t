#!/usr/bin/perl

# What all nodes have used, added up: GET /v1/fleet/usage.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayCommand;
use ClaudeRelayFleet;
use POSIX qw/ strftime /;
use Test::More;
use Time::HiRes qw/ sleep /;


my $P = "{claude-relay}:";
my $BOB = "bob-secret-0001";

my $up = sandbox();
my $redis = redis();
my $fleet = fleet(3, redis => $redis,
                  http => "claude_relay_timezone UTC;",
                  keys => "claude_relay_key alice { secret $ClaudeRelay::KEY; }
                           claude_relay_key bob { secret $BOB; }");


sub used {
    my ($i, $query) = @_;

    my $r = $fleet->node($i)->control("GET", "/v1/fleet/usage"
                                             . ($query ? "?$query" : ""));
    return $r->status == 200 ? $r->json : { status => $r->status,
                                            body => $r->body };
}

sub by {
    my ($what, $query, $i) = @_;

    return { map { $_->{$what} => $_ }
                 @{ used($i // 0, "by=$what" . ($query // ""))->{sums} } };
}

sub requests { join " ", map { "$_:$_[0]{$_}{requests}" } sort keys %{ $_[0] } }

sub total { used($_[0] // 0)->{total}{requests} // -1 }


ok($fleet->ready, "fleet: three nodes are up");

my $day = strftime("%Y%m%d", gmtime);

for (["alice", 0], ["alice", 0], ["alice", 1], ["bob", 1], ["bob", 2]) {
    my ($key, $i) = @$_;

    is($fleet->post($i, message(),
                    $key eq "bob" ? "x-api-key: $BOB" : ())->status, 200,
       "fleet: $key at node $i");
}

ok(wait_for(sub { total() == 5 }, 30), "fleet: all is added up")
    or diag(total());

is(total($_), 5, "fleet: node $_ says the same") for 1 .. 2;


# 1. by whom, where, when

my $keys = by("key");
my $nodes = by("node");

is(requests($keys), "alice:3 bob:2", "fleet: by key");
is(requests($nodes), "n1:2 n2:2 n3:1", "fleet: by node");

# the same numbers as those of each node's own books

for my $i (0 .. 2) {

    my ($own) = @{ $fleet->node($i)->control("GET", "/v1/usage?since=day")
                         ->json->{sums} };
    my $told = $nodes->{"n" . ($i + 1)};

    is_deeply([ @$told{qw/ input output cache_read cache_write cost
                           cost_micros /} ],
              [ @$own{qw/ input output cache_read cache_write cost
                          cost_micros /} ], "fleet: node $i as in its books");
    ok($told->{input} > 0 && $told->{cost_micros} > 0, "fleet: and some");
}

my $days = used(1, "by=day");

is_deeply([ $days->{from}, $days->{to}, $days->{groups} ],
          [ $days->{sums}[0]{day}, $days->{sums}[0]{day}, 1 ],
          "fleet: today, if nothing is said");
is($days->{total}{cost_micros},
   $keys->{alice}{cost_micros} + $keys->{bob}{cost_micros},
   "fleet: the total is that of all");


# 2. other days, and what is no sense

$redis->cli("HSET", "${P}u:20260101", "n1\talice", "1 2 3 4 5 6");
$redis->cli("HSET", "${P}u:20260102", "n1\talice", "10 0 0 0 0 1500000",
            "n9\talice", "5 0 0 0 0 0", "n9\t", "1 0 0 0 0 0",
            "n8", "1 1 1 1 1 1", "n8\tx", "1 1 1", "n8\ty", "x 1 1 1 1 1",
            "n8\tz", "1 1 1 1 1 1 1", "n8\tw", "1 1 1 1 1 -1",
            "n8\tv", "9" x 40 . " 1 1 1 1 1", "x" x 600 . "\tk", "1 1 1 1 1 1");

my $then = used(2, "from=2026-01-01&to=2026-01-02&by=day");

is_deeply([ map { "$_->{day}:$_->{requests}" } @{ $then->{sums} } ],
          ["2026-01-01:1", "2026-01-02:16"], "fleet: days in their order");
is_deeply($then->{sums}[0],
          { day => "2026-01-01", requests => 1, input => 2, output => 3,
            cache_read => 4, cache_write => 5, cost => "0.000006",
            cost_micros => 6 }, "fleet: each number in its place");

is(requests(by("key", "&from=2026-01-01&to=2026-01-02")), ":1 alice:16",
   "fleet: of several days, and of no key");
is(requests(by("node", "&from=2026-01-02&to=2026-01-02")), "n1:10 n9:6",
   "fleet: of one day");
is(used(0, "from=2025-01-01&to=2025-01-03")->{groups}, 0,
   "fleet: days of which nothing is known");

my $first = used(0, "from=2026-01-01&to=2026-01-02&limit=1");

is_deeply([ scalar @{ $first->{sums} }, $first->{sums}[0]{key},
            $first->{groups}, $first->{total}{requests} ],
          [1, "alice", 2, 17], "fleet: the largest one, and what there is");

# so many that Redis tells them in pieces

{
    my @many = map { ("n1\tk$_", "1 0 0 0 0 $_") } 1 .. 3000;

    $redis->cli("HSET", "${P}u:20260103", splice @many, 0, 1000) while @many;

    my $all = used(0, "from=2026-01-03&to=2026-01-03&limit=3");

    is_deeply([ $all->{groups}, $all->{total}{requests},
                $all->{total}{cost_micros},
                map { $_->{key} } @{ $all->{sums} } ],
              [3000, 3000, 3000 * 3001 / 2, "k3000", "k2999", "k2998"],
              "fleet: thousands of keys, each once");
}

for my $bad ("from=x", "to=2026-13-01", "from=2026-01-02&to=2026-01-01",
             "from=2025-01-01&to=2026-01-01", "by=model", "limit=0", "x=1",
             "from=2026-01-01T00:00:00Z")
{
    is(used(0, $bad)->{status}, 400, "fleet: \"$bad\" is refused");
}

$redis->cli("SET", "${P}u:20260104", "no hash");
is(used(0, "from=2026-01-04&to=2026-01-04")->{status}, 503,
   "fleet: what Redis refuses");


# 3. told as it is: again, after a flush, is the same

is($fleet->post(2, message())->status, 200, "fleet: one more");
ok(wait_for(sub { total() == 6 }, 30), "fleet: is added");

$redis->flush;
ok(wait_for(sub { total() == 6 }, 60), "fleet: an emptied Redis knows again")
    or diag(total());
is($redis->cli("HLEN", "${P}u:$day"), 5, "fleet: a field for node and key");
ok($redis->cli("TTL", "${P}u:$day") > 390 * 86400, "fleet: kept for a year");

$fleet->node(0)->kill9;
$fleet->node(0)->start;
ok($fleet->ready, "fleet: a node was killed and is back");
is($fleet->post(0, message())->status, 200, "fleet: it serves");
ok(wait_for(sub { total(1) == 7 }, 60), "fleet: and counts on")
    or diag(total(1));


# 4. the command; without Redis; without a fleet

SKIP: {
    skip "no jq", 2 if !ClaudeRelayCommand::available("jq");

    my $cli = ClaudeRelayCommand->new(
        socket => $fleet->node(1)->dir . "/control.sock");

    is($cli->run("fleet", "usage", "--by", "node"), 0,
       "fleet: claude-relay fleet usage") or diag($cli->err);
    like($cli->out, qr/n1.*n2.*n3/s, "fleet: has all nodes");
}

$redis->stop;

my $r = $fleet->node(1)->control("GET", "/v1/fleet/usage");

is($r->status, 503, "fleet: without Redis");
like($r->body, qr/Redis does not answer/, "fleet: it says so");

my $alone = fleet(1, redis => 0);

$r = $alone->node(0)->control("GET", "/v1/fleet/usage");
is($r->status, 200, "fleet: without claude_relay_redis");
is_deeply([ $r->json->{groups}, $r->json->{total}{requests} ], [0, 0],
          "fleet: there is nothing");

finish();
