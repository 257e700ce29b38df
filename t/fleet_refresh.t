#!/usr/bin/perl

# One refresh in the whole fleet: a token is good for one use, and three nodes
# of four workers have it.  What dies, or stands still, in the middle of one:
# a node, Redis; and what is done while Redis is away.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayFleet;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $LEASE = 3;
my $P = "{claude-relay}:";

my $up = sandbox();
my $redis = redis();
my $way = slow($redis, 0);          # of the third node

sub chain { $up->oauth_chain($_[0] // "many") }

sub rotations { chain(@_)->{rotations} }

sub counter { $up->oauth_report(n => 0)->{counters}{$_[0]} }

sub in_flight { chain()->{in_flight} }


# what a node has, by its own API: version, state

sub shown {
    my ($node, $name) = @_;

    return $node->control("GET", "/v1/accounts/" . ($name // "many"))->json;
}

sub access_of {
    my ($node) = @_;

    my $r = $node->post("/v1/messages", message());
    return "" if !$r || $r->status != 200;

    my ($line) = map { /^authorization: Bearer (\S+)/i ? $1 : () }
                     @{ $up->last->{headers} };
    return $line // "";
}


# an action of a node's API, in a process of its own; its status, later

sub behind {
    my ($node, $method, $path) = @_;

    pipe my $r, my $w or die "pipe: $!";

    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        my $answer = eval { $node->control($method, $path) };
        syswrite $w, $answer ? $answer->status : "gone";
        POSIX::_exit(0);
    }

    close $w;

    return sub {
        waitpid $pid, 0;
        sysread $r, my $status, 16;
        return $status // "";
    };
}

sub force { behind($_[0], "POST", "/v1/accounts/many/refresh") }


# requests at all nodes at once; how many were served

sub storm {
    my ($n, @nodes) = @_;

    my @w = map { wire($nodes[$_ % @nodes]->port, ask(text => "w$_")) }
                1 .. $n;

    pump(sub { !grep { !$_->{done} } @w }, 60);
    my $served = grep { ($_->{status} // 0) == 200 } @w;

    for my $w (grep { ($_->{status} // 0) != 200 } @w) {
        diag("status " . ($w->{status} // "none") . ": "
             . substr($w->{body}, 0, 200));
    }

    $_->close for @w;

    return $served;
}


# an expired token, while the nodes start and at once behind that

my $account = login_account("many", expires => -10, expires_in => 0);

$up->oauth(do => "before=2500");

my $fleet = fleet(3, redis => $redis, workers => 4, accounts => $account,
                  params => "lease=${LEASE}s",
                  each => sub { $_[0] == 2 ? (redis => $way) : () }, location =>
                  "claude_relay_retry_wait 30s;",
                  allow => [qr/exited on signal 9/, qr/Redis is away/,
                            qr/is not refreshed/, qr/needs a login/,
                            qr/begun at .* never ended/,
                            qr/has lost what it knew/]);

my ($n1, $n2, $n3) = $fleet->nodes;

is(storm(30, $fleet->nodes), 30, "fleet: an expired token, 30 are served");
is(rotations(), 1, "fleet: by one refresh of 3 nodes with 4 workers");
is(counter("reuses"), 0, "fleet: no token is shown twice");
cmp_ok(counter("max_in_flight"), "<=", 1, "fleet: never two at a time");

ok($fleet->ready, "fleet: three nodes");
ok(wait_for(sub { !grep { access_of($_) ne chain()->{access} }
                        $fleet->nodes }),
   "fleet: all have the tokens");


# a token that is refused to all of them

$up->oauth(do => "before=300");

for my $round (1 .. 3) {
    $up->oauth(do => "revoke-access", chain => "many");

    is(storm(30, $fleet->nodes), 30, "fleet: 401 for all, round $round");
}

is(rotations(), 4, "fleet: 401 for all, one refresh each");
is(counter("reuses"), 0, "fleet: 401 for all, no token twice");


# two operators

$up->oauth(do => "before=1500");

my @asked = map { force($_) } $n1, $n2;
is(join(" ", map { $_->() } @asked), "200 200",
   "fleet: two operators, both get their refresh");
is(rotations(), 5, "fleet: two operators, one refresh");
is(counter("reuses"), 0, "fleet: two operators, no token twice");


# the fence: what Redis has of it

my ($version, $tie) = split / /, $redis->cli("HGET", "${P}rows", "t/many");
is($version, shown($n1)->{token}{version} // $version,
   "fleet: Redis has the newest tokens");
like($redis->cli("HGET", "${P}rows", "t/many"), qr/^\d+ \d+ [\w-]+$/,
     "fleet: and they are sealed");
ok(wait_for(sub { !defined $redis->cli("GET", "${P}l:many") }),
   "fleet: the lock is given back");


# a node dies in the middle; the server has not rotated

$up->oauth(do => "drop,before=60000");

my $dead = force($n1);
ok(wait_for(sub { in_flight() == 1 }), "fleet: a node is at it");
like($redis->cli("GET", "${P}l:many") // "", qr/^n1 [0-9a-f]{16} \d+$/,
     "fleet: and has the lock");

$n1->kill9;
$dead->();
$up->oauth(do => "before=100");
$up->oauth(do => "revoke-access", chain => "many");

my $begin = time;
is(storm(8, $n2, $n3), 8, "fleet: a node was killed, the others go on");
cmp_ok(time - $begin, "<", 45, "fleet: long before the lock has ended");
is(rotations(), 6, "fleet: a node was killed, by one refresh");
is(counter("reuses"), 0, "fleet: a node was killed, no token is lost");

$n1->start;
is(storm(4, $n1), 4, "fleet: it is back, and serves");
is(rotations(), 6, "fleet: it is back, with the others' tokens");


# Redis stands still in the middle

$up->oauth(do => "drop=off,before=1000");

my $node = force($n2);
ok(wait_for(sub { in_flight() == 1 }), "fleet: a refresh begins");
$redis->pause;
is($node->(), 200, "fleet: Redis stands still, its tokens are there");
is(storm(4, $n2), 4, "fleet: and are used");
is(rotations(), 7, "fleet: Redis stands still, one refresh");
$redis->resume;

ok(wait_for(sub { !grep { access_of($_) ne chain()->{access} }
                        $fleet->nodes }, 30),
   "fleet: Redis goes on, all have the tokens");
is(rotations(), 7, "fleet: Redis goes on, nobody else has refreshed");
is(counter("reuses"), 0, "fleet: Redis goes on, no token twice");
ok($fleet->ready, "fleet: Redis goes on, all is well");


# a node stands still in the middle, another one takes its place: what the
# first one gets is older, whenever it says so

$up->oauth(do => "grace,before=1500");

$node = force($n3);
ok(wait_for(sub { in_flight() == 1 }), "fleet: a refresh, once more");
$n3->pause;
$up->oauth(do => "before=0");
is(force($n1)->(), 200, "fleet: a node stands still, another one goes on");

my $fence = $redis->cli("GET", "${P}fence");
my $row = $redis->cli("HGET", "${P}rows", "t/many");
is((split / /, $row)[1] >> 20, $fence, "fleet: its tokens have the fence");

$n3->resume;
is($node->(), 200, "fleet: the first one goes on, and has tokens");
ok(wait_for(sub { !grep { access_of($_) ne chain()->{access} }
                        $fleet->nodes }, 30),
   "fleet: all serve");
ok($fleet->ready, "fleet: all see each other");
is($redis->cli("HGET", "${P}rows", "t/many"), $row,
   "fleet: older tokens do not take the place of newer ones");
$up->oauth(do => "grace=off");


# Redis is away: who has made the tokens refreshes, nobody else

$up->oauth(do => "before=50");
is(force($n2)->(), 200, "fleet: the second node makes tokens");
ok(wait_for(sub { !grep { access_of($_) ne chain()->{access} }
                        $fleet->nodes }, 30), "fleet: which all have");

my $made = rotations();

$redis->stop;
ok(wait_for(sub { $fleet->degraded }, 30), "fleet: Redis is away");
is(storm(6, $fleet->nodes), 6, "fleet: Redis is away, all serve");

$up->oauth(do => "revoke-access", chain => "many");

isnt($n1->post("/v1/messages", message())->status, 200,
     "fleet: Redis is away, a node does not refresh what another one made");
is(rotations(), $made, "fleet: it does not show the token");
is($n2->post("/v1/messages", message())->status, 200,
   "fleet: Redis is away, who has made it does");
is(rotations(), $made + 1, "fleet: by one refresh");
isnt(force($n3)->(), 200, "fleet: Redis is away, an operator is told no");
is(rotations(), $made + 1, "fleet: nor does an operator's wish do it");

$redis->start;
ok(wait_for(sub { !grep { access_of($_) ne chain()->{access} }
                        $fleet->nodes }, 30),
   "fleet: Redis is back and knows nothing, all have the tokens");
is(rotations(), $made + 1, "fleet: of that one refresh");
is(counter("invalid_grants"), 0, "fleet: nobody has tried an old one");


# a node dies after the rotation, before it has told anybody: its store has
# the tokens

ok($fleet->ready, "fleet: all of them are there again");

$made = rotations();
$up->oauth(do => "before=1000");

$node = force($n3);
ok(wait_for(sub { in_flight() == 1 }), "fleet: the third node is at it");
$way->hole;
is($node->(), 200, "fleet: it has new tokens");
$n3->kill9;
$way->cut;
is(rotations(), $made + 1, "fleet: which nobody else has");

ok(wait_for(sub {
    return !grep { shown($_)->{state} ne "needs-login" }
                 map { $_->post("/v1/messages", message()); $_ } $n1, $n2;
}, 60), "fleet: the others need a login");
is(counter("invalid_grants"), 1, "fleet: the dead token was shown once");

$way->heal;
$n3->start;
ok(wait_for(sub { !grep { access_of($_) ne chain()->{access} }
                        $fleet->nodes }, 60),
   "fleet: it is back, and so are the others, without a login");

unlike($_->error_log, qr/sk-ant-(oat|ort)/, "fleet: no token in a log")
    for $fleet->nodes;

$_->stop for $fleet->nodes;


# nodes that never hear of Redis

$redis->stop;

for my $away (qw/ holder never any /) {
    my $name = "away-$away";
    my $alone = fleet(1, redis => $redis->addr, accounts =>
                      login_account($name, expires => -10, expires_in => 0),
                      params => "lease=1s away_refresh=$away",
                      location => "claude_relay_retry_wait 0;",
                      allow => [qr/Redis/]);
    my ($node) = $alone->nodes;

    if ($away eq "any") {
        is($node->post("/v1/messages", message())->status, 200,
           "fleet: $away, without Redis each node refreshes");
        is(rotations($name), 1, "fleet: $away, once");

    } else {
        sleep 2;
        isnt($node->post("/v1/messages", message())->status, 200,
             "fleet: $away, without Redis it does not");
        is(rotations($name), 0, "fleet: $away, no token is shown");
        like($node->control("POST", "/v1/accounts/$name/refresh")->body,
             $away eq "never" ? qr/nobody refreshes without it/
                              : qr/was not heard since this node was/,
             "fleet: $away, an operator is told why");
    }

    $node->stop;
}

finish();
