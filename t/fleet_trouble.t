#!/usr/bin/perl

# Three nodes and all that may befall their Redis, while two dozen clients
# ask: killed, stopped, flushed, slow, read-only, full, failed over, and
# unreachable for one node.  No request may fail, each node must say that it
# is degraded and be well again afterwards, and what was known is known again.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayFleet;
use Test::More;
use Time::HiRes qw/ time sleep /;


alarm(asan() ? 900 : 300);

my $up = sandbox();
my $first = redis(appendonly => 1);
my $second = redis(appendonly => 1, of => $first);

# one way to the first server for each node, that may be slow or broken

my @ways = map { slow($first, 0) } 1 .. 3;

my $budget = "budget-secret-0001";

my $fleet = fleet(3, workers => asan() ? 1 : 2, redis => $first,
    params => "lease=3s",
    each => sub {
        my ($i) = @_;
        return (redis => $ways[$i]->addr . " " . $second->addr);
    },
    allow => [qr/exited on signal 9/],
    keys => "claude_relay_key alice {
                 secret $ClaudeRelay::KEY;
                 limit  requests:100m/day;
                 limit  cost:1000000/day;
                 limit  concurrency:200;
             }
             claude_relay_key budget {
                 secret $budget;
                 limit  requests:300/day;
             }",
    accounts => account("a1", "max_concurrency 60;")
                . account("a2", "max_concurrency 60;")
                . account("a3", "max_concurrency 60;"));

ok($fleet->ready(3), "fleet: three nodes see each other, Redis is up")
    or diag explain [map { $_->health } $fleet->nodes];

my @created = map {
    my $r = $fleet->node($_)->control("POST", "/v1/keys",
                                      { name => "made$_" });
    $r->json->{secret} // diag $r->body;
} 0 .. 2;


sub by_session {
    my ($i, $session, $key) = @_;

    my $node = $fleet->node($i);
    my $r = $node->request("POST", "/v1/messages", body => message(),
                           key => $key // $ClaudeRelay::KEY,
                           headers => ["x-claude-code-session-id: $session"]);

    return $r && $r->status == 200 ? $node->log->{account} : "none";
}


# one session is one account, by whichever node; it was made at the first one

sub together {
    my ($session, $name) = @_;

    # each worker connects by itself, after a pause of two seconds at most

    sleep 2.5 if $name =~ /^after/;

    my @by = map { by_session($_, $session) } 0 .. 2;

    is_deeply([@by[1, 2]], [@by[0, 0]], "fleet: $name: one session, one account");

    return $by[0];
}


# clients go on with their sessions and begin new ones; some want streams

my $load = load($fleet,
    children => asan() ? 9 : 24,
    pause => asan() ? 0.1 : 0.03,
    body => sub {
        my ($child, $n) = @_;
        return $n % 3 ? message() : stream();
    },
    headers => sub {
        my ($child, $n) = @_;
        my $session = $n % 4 ? "of-$child" : "new-$child-$n";
        return "x-claude-code-session-id: $session";
    });


# so many requests are made, whatever happens

sub goes_on {
    my ($name) = @_;

    my $before = $load->count;
    my $begin = time;

    ok(wait_for(sub { $load->count > $before + 100 }, 30),
       "fleet: $name: requests go on");

    return time - $begin;
}


# $begin makes the trouble, $end mends it

sub trouble {
    my ($name, $begin, $end, %opt) = @_;

    my $session = "before " . $name;
    my $account = together($session, "before: $name");

    $begin->();

    if (!$opt{unseen}) {
        ok(wait_for(sub { $fleet->degraded }, 20),
           "fleet: $name: all nodes say that they are degraded")
            or diag explain [map { $_->{fleet} } $fleet->healths];
    }

    goes_on($name);

    # what a node knows, it goes on with

    is_deeply([map { by_session($_, $session) } 0 .. 2], [($account) x 3],
              "fleet: $name: a session that is known stays");

    $end->();

    ok($fleet->ready(3), "fleet: $name: all nodes are well again")
        or diag explain [map { $_->{fleet} } $fleet->healths];

    together("after $name", "after: $name");

    is_deeply([map { by_session($_, $session) } 0 .. 2], [($account) x 3],
              "fleet: $name: the session is where it was");

    # keys that were made at run time are for all nodes

    for my $i (0 .. $#created) {
        is(by_session(($i + 1) % 3, $session, $created[$i]) eq "none", "",
           "fleet: $name: a key of another node goes on");
    }
}


goes_on("no trouble");

trouble("killed", sub { $first->kill9 }, sub { $first->start });

trouble("stopped", sub { $first->pause }, sub { $first->resume });

trouble("flushed", sub { $first->flush }, sub {
    ok(wait_for(sub { eval { $first->cli("HLEN", "{claude-relay}:rows") } }),
       "fleet: flushed: rows are told again");
}, unseen => 1);

trouble("slow", sub { $_->delay(200) for @ways }, sub { $_->delay(0) for @ways });

trouble("full", sub { $first->config("maxmemory", 1) },
                sub { $first->config("maxmemory", 0) });

trouble("not writable", sub { $first->config("min-replicas-to-write", 5) },
                        sub { $first->config("min-replicas-to-write", 0) });

trouble("unreachable", sub { $_->cut for @ways[0 .. 2]; $second->pause },
                       sub { $second->resume; $_->heal for @ways });


# one node alone

$ways[0]->hole;

ok(wait_for(sub {
    my @state = map { $_->{fleet}{state} } $fleet->healths;
    return $state[0] ne "up" && $state[1] eq "up" && $state[2] eq "up";
}, 20), "fleet: partition: it is degraded, the others are not");

ok(wait_for(sub {
    my @nodes = map { $_->{fleet}{nodes} } $fleet->healths;
    return $nodes[1] == 2 && $nodes[2] == 2;
}, 20), "fleet: partition: the others are two");

goes_on("partition");
$ways[0]->heal;

ok($fleet->ready(3), "fleet: partition: three again");
together("after partition", "after: partition");


# the replica becomes the leader

trouble("failover", sub {
    ok(wait_for(sub {
        my $a = $first->info("replication");
        my $b = $second->info("replication");
        return ($b->{master_link_status} // "") eq "up"
               && $a->{master_repl_offset} == $b->{master_repl_offset};
    }), "fleet: failover: the replica has it all");

    $second->replicaof(undef);
    $first->replicaof($second);
}, sub { }, unseen => 1);


# A budget while everybody is alone: each node has its share and an N-th of
# what nobody had when it last heard, which it does once a second.  So what was
# served in the second before may be over, and a request of each node.

my $alone = load($fleet, children => 6, pause => 0.2,
                 headers => sub { "x-api-key: $budget" });

sub served { scalar grep { $_->[0] eq "200" } $alone->rows }

ok(wait_for(sub { served() > 50 }, 30), "fleet: a budget is used");

my $late = served();

sleep 1.5;
$second->kill9;
$first->kill9;
$late = served() - $late;

my $refused = wait_for(sub {
    return 60 < grep { $_->[0] eq "429" } $alone->rows;
}, 60);

my $of = $alone->stop;
my $served = $of->{statuses}{200} // 0;

ok($refused, "fleet: a budget ends while Redis is away");
cmp_ok($served, "<=", 300 + $late + 3,
       "fleet: a budget is overshot by what was served in the last second and "
       . "a request for each node at most ($served of 300, $late late)");
cmp_ok($served, ">=", 200, "fleet: nor is it cut short");
is_deeply([sort keys %{ $of->{statuses} }], [200, 429],
          "fleet: a budget: served or refused, nothing else")
    or diag explain $of;

my $sum = $load->stop;

is($sum->{failed}, 0, "fleet: of $sum->{requests} requests none has failed")
    or diag explain $sum;
diag(sprintf "%d requests, the slowest took %.3f s", $sum->{requests},
     $sum->{slowest});

finish();
