#!/usr/bin/perl

# What an operator is shown of a fleet: health, metrics, variables, the API,
# the CLI, events and alerts; of three nodes, while Redis and a node go and
# come back, and while somebody writes nonsense into Redis.

use warnings;
use strict;

use IO::Select;
use IO::Socket::UNIX;
use JSON::PP ();
use Test::More;
use Time::HiRes qw/ time sleep /;

use ClaudeRelay;
use ClaudeRelayCommand;
use ClaudeRelayFleet;


# everything takes longer there

my $slow = asan() ? 3 : 1;
my $password = "redis-pass-" . sha256(rand() . $$);

$password = substr $password, 0, 30;

my $up = sandbox();
my $redis = redis(appendonly => "yes", password => $password);

my $http = <<'END';
log_format fleet escape=json '{"node":"$claude_relay_node",'
    '"fleet":"$claude_relay_fleet"}';
claude_relay_alerts interval=500ms hold=1s calm=1s;
END

my $fleet = fleet(3, redis => $redis, workers => 2, level => "notice",
    http => $http, allow => [qr/exited on signal 9/],
    params => "lease=2s password=env:FLEET_PASSWORD",
    env => { FLEET_PASSWORD => $password },
    server => "location = /metrics { claude_relay_metrics; }
               location = /small { claude_relay_health; }
               location = /who { access_log %%DIR%%/fleet.log fleet;
                                 return 200 \"\$claude_relay_node\"; }",
    location => "access_log %%DIR%%/fleet.log fleet;");

my ($n1, $n2, $n3) = $fleet->nodes;

ok($fleet->ready, "fleet: three nodes see each other");


# ---- what is well

{
    my $h = $n1->health;

    is($h->{status}, "ok", "fleet: health: ok");
    is($h->{fleet}{state}, "up", "fleet: health: Redis is up");
    is($h->{fleet}{node}, "n1", "fleet: health: which node this is");
    is($h->{fleet}{nodes}, 3, "fleet: health: three nodes");
    ok(!$h->{fleet}{twin}, "fleet: health: no two of one name");
    ok(!exists $h->{fleet}{error}, "fleet: health: no error");
    like($h->{fleet}{since}, qr/^\d{4}-.*Z$/, "fleet: health: since when");
    cmp_ok(abs $h->{fleet}{skew_ms}, "<", 1000, "fleet: health: one clock");

    my $small = $n1->request("GET", "/small", key => undef);

    is($small->status, 200, "fleet: small health: 200");
    is($small->json->{status}, "ok", "fleet: small health: ok");
    ok(!exists $small->json->{fleet}, "fleet: small health: no more");
}

{
    # what a node tells of itself is as old as a beat

    ok(wait_for(sub { !grep { ($_->{workers} // 0) != 2 }
                          @{ told($n2)->{nodes} } }, 10 * $slow),
       "fleet: API: workers of all");

    my $f = told($n2);

    is($f->{state}, "up", "fleet: API: the state");
    is($f->{node}, "n2", "fleet: API: the node");
    is($f->{alive}, 3, "fleet: API: how many are alive");
    is($f->{lease_ms}, 2000, "fleet: API: the lease");
    is($f->{prefix}, "{claude-relay}:", "fleet: API: the prefix");
    is($f->{error}, undef, "fleet: API: no error");
    cmp_ok($f->{counts}{beats}, ">", 0, "fleet: API: beats are counted");
    cmp_ok($f->{counts}{commands}, ">=", $f->{counts}{beats},
           "fleet: API: so are commands");

    is_deeply([sort map { $_->{name} } @{ $f->{nodes} }], [qw/ n1 n2 n3 /],
              "fleet: API: all nodes by name");
    is_deeply([map { $_->{name} } grep { $_->{this} } @{ $f->{nodes} }],
              ["n2"], "fleet: API: this one is marked");

    for my $node ($fleet->nodes) {
        my $name = $node->name;
        my $one = peer($f, $name);

        is($one->{state}, "alive", "fleet: API: $name is alive");
        is($one->{version}, $node->health->{version},
           "fleet: API: $name: its version");
        is($one->{boot}, told($node)->{boot}, "fleet: API: $name: its boot");
        is($one->{in_flight}, 0, "fleet: API: $name: nothing under way");
        like($one->{started}, qr/^\d{4}-.*Z$/,
             "fleet: API: $name: its start");
        like($one->{heard}, qr/^\d{4}-.*Z$/,
             "fleet: API: $name: when it was heard");
    }

    my %boots = map { $_->{boot} => 1 } @{ $f->{nodes} };

    is(scalar keys %boots, 3, "fleet: API: three boots");
}

{
    my $m = metrics($n3);

    is($m->{'claude_relay_redis_state{state="up"}'}, 1,
       "fleet: metrics: up");
    is($m->{'claude_relay_redis_state{state="away"}'}, 0,
       "fleet: metrics: not away");
    is($m->{claude_relay_fleet_nodes}, 3, "fleet: metrics: nodes");
    is($m->{claude_relay_fleet_twin}, 0, "fleet: metrics: no twin");
    cmp_ok($m->{claude_relay_fleet_beats_total}, ">", 0,
           "fleet: metrics: beats");
    cmp_ok($m->{claude_relay_redis_connects_total}, ">", 0,
           "fleet: metrics: connections");
    cmp_ok($m->{claude_relay_fleet_last_beat_age_seconds}, "<", 5,
           "fleet: metrics: the last beat is young");
    cmp_ok($m->{claude_relay_fleet_skew_seconds}, "<", 1,
           "fleet: metrics: one clock");
    ok(defined $m->{'claude_relay_fleet_lookups_total{result="miss"}'},
       "fleet: metrics: lookups by result");
}

{
    my $r = $n2->request("GET", "/who", key => undef);

    is($r->body, "n2", "fleet: \$claude_relay_node, without a request of ours");

    $n2->post("/v1/messages", message());
    wait_for(sub { slurp("$n2->{dir}/fleet.log") =~ /\n.*\n/ }, 5);

    my ($who, $post) = map { json($_) }
                           split /\n/, slurp("$n2->{dir}/fleet.log");

    is($post->{node}, "n2", "fleet: \$claude_relay_node of a request");
    is($who->{fleet}, "", "fleet: \$claude_relay_fleet: none was asked");
    like($post->{fleet}, qr/^(miss|found|late|granted)?$/,
         "fleet: \$claude_relay_fleet: one of its words");
}


# ---- a repair, whichever worker is asked

for my $node ($n1, $n2) {
    for my $i (1 .. 4) {
        my $before = told($node)->{counts}{repairs};
        my $r = $node->control("POST", "/v1/fleet/repair", {});

        is($r->status, 202, "fleet: repair: " . $node->name . ", $i");
        ok($r->json->{begun}, "fleet: repair: it begins") || diag $r->body;
        cmp_ok($r->json->{repairs}, ">", $before, "fleet: repair: one more");
    }
}

is($n1->control("POST", "/v1/fleet/repair", { now => 1 })->status, 400,
   "fleet: repair: takes nothing");


# ---- the CLI

{
    my $cli = ClaudeRelayCommand->new(socket => "$n1->{dir}/control.sock");

    is($cli->run("fleet"), 0, "fleet: CLI: fleet") || diag $cli->err;

    my $out = $cli->out;

    like($out, qr/^node +n1$/m, "fleet: CLI: this node");
    like($out, qr/^redis +up /m, "fleet: CLI: Redis");
    like($out, qr/^NAME +STATE +VERSION/m, "fleet: CLI: a table");
    like($out, qr/^n3 +alive +\d/m, "fleet: CLI: with a line for each");
    is($cli->run("fleet", "status"), 0, "fleet: CLI: fleet status");
    is($cli->run("fleet", "status", "x"), 2, "fleet: CLI: no arguments");
    is($cli->run("fleet", "repair"), 0, "fleet: CLI: fleet repair")
        || diag $cli->err;
    like($cli->out, qr/^begun +true$/m, "fleet: CLI: has begun");
    is($cli->run("--json", "fleet"), 0, "fleet: CLI: as JSON");
    is(json($cli->out)->{alive}, 3, "fleet: CLI: all of it");
    isnt($cli->run("fleet", "away"), 0, "fleet: CLI: nothing else");
}


# ---- a node is gone, and comes back

my $l = listen_to($n1, "?types=fleet");

{
    my $boot = peer(told($n1), "n3")->{boot};
    my $at = time;

    $n3->kill9;

    ok(wait_for(sub { $n1->fleet->{nodes} == 2 }, 10 * $slow),
       "fleet: a node is killed: the others see it");
    cmp_ok(time - $at, "<", 2 + 2 * $slow + 2,
           "fleet: within its lease and a beat");

    is(peer(told($n1), "n3")->{state}, "gone", "fleet: API: it is gone");
    is(told($n1)->{alive}, 2, "fleet: API: two are left");
    ok(wait_for(sub { metrics($n2)->{claude_relay_fleet_nodes} == 2 },
                10 * $slow), "fleet: metrics: two nodes");
    is($n1->health->{status}, "ok", "fleet: health: this one is well");

    ok(hears($l, { what => "node", node => "n3", state => "gone" }),
       "fleet: events: it is gone") || diag $l->{in};

    ok(wait_for(sub { alert($n1, "node/n3") }, 15 * $slow),
       "fleet: an alert");
    is(alert($n1, "node/n3")->{level}, "warning", "fleet: a warning");

    $n3->start;

    ok($fleet->ready, "fleet: it is started again: three nodes");
    isnt(peer(told($n1), "n3")->{boot}, $boot, "fleet: with another boot");
    ok(hears($l, { what => "node", node => "n3", state => "joined" }),
       "fleet: events: it is there") || diag $l->{in};
    ok(wait_for(sub { !alert($n1, "node/n3") }, 15 * $slow),
       "fleet: the alert is over");
    ok(!$n1->fleet->{twin} && !$n3->fleet->{twin},
       "fleet: its own old boot is no other node");
}


# ---- Redis is killed, and comes back

{
    $redis->kill9;

    ok(wait_for(sub { $fleet->degraded }, 15 * $slow),
       "fleet: Redis is killed: all nodes are degraded");

    my $h = $n1->health;

    is($h->{fleet}{state}, "away", "fleet: health: away");
    ok(length $h->{fleet}{error}, "fleet: health: why");
    unlike($h->{fleet}{error}, qr/\Q$password/, "fleet: health: no password");

    my $small = $n1->request("GET", "/small", key => undef);

    is($small->status, 200, "fleet: small health: 200 all the same");
    is($small->json->{status}, "degraded", "fleet: small health: degraded");

    is($_->post("/v1/messages", message())->status, 200,
       "fleet: " . $_->name . " serves") for $fleet->nodes;

    my $m = metrics($n1);

    is($m->{'claude_relay_redis_state{state="away"}'}, 1,
       "fleet: metrics: away");
    is($m->{'claude_relay_redis_state{state="up"}'}, 0,
       "fleet: metrics: not up");
    is($m->{claude_relay_fleet_nodes}, 3,
       "fleet: metrics: nodes as they were known last");

    is($n1->control("POST", "/v1/fleet/repair", {})->status, 503,
       "fleet: repair: not now");
    is(told($n1)->{state}, "away", "fleet: API: away");
    ok(hears($l, { what => "redis", state => "away" }),
       "fleet: events: away") || diag $l->{in};
    ok(wait_for(sub { alert($n1, "redis") }, 15 * $slow), "fleet: an alert");
    ok(!alert($n1, "node/n2"), "fleet: of other nodes nothing is said");
    like(alert($n1, "redis")->{title}, qr/^Redis is (away|slow)$/,
         "fleet: and which");

    my $cli = ClaudeRelayCommand->new(socket => "$n1->{dir}/control.sock");

    is($cli->run("fleet"), 0, "fleet: CLI: away");
    like($cli->out, qr/^redis +away since .*: ./m, "fleet: CLI: and why");

    my $repairs = metrics($n1)->{claude_relay_fleet_repairs_total};

    $redis->start;

    ok(wait_for(sub { $fleet->up }, 20 * $slow),
       "fleet: Redis is back: all is well");
    ok(!exists $n1->fleet->{error}, "fleet: health: no error any more");
    ok(hears($l, { what => "redis", state => "up" }), "fleet: events: up")
        || diag $l->{in};
    ok(wait_for(sub {
           metrics($n1)->{claude_relay_fleet_repairs_total} > $repairs
       }, 10 * $slow), "fleet: and repaired");
    ok(wait_for(sub { !alert($n1, "redis") }, 15 * $slow),
       "fleet: the alert is over");
}


# ---- it hangs

{
    $redis->pause;

    ok(wait_for(sub { $n1->fleet->{state} ne "up"
                      && $n1->health->{status} eq "degraded" }, 15 * $slow),
       "fleet: Redis hangs: degraded");

    my $at = time;

    is($n1->post("/v1/messages", message())->status, 200,
       "fleet: it hangs: a request is served");
    cmp_ok(time - $at, "<", 2 * $slow, "fleet: it hangs: nobody waits for it");

    $redis->resume;

    ok(wait_for(sub { $fleet->up }, 20 * $slow), "fleet: it goes on");
}


# ---- it cannot be written

{
    $redis->config("min-replicas-to-write", 1);

    ok(wait_for(sub { $fleet->degraded }, 15 * $slow),
       "fleet: Redis takes no writes: degraded");
    ok(length($n1->fleet->{error} // ""), "fleet: no writes: an error is told")
        || diag explain $n1->fleet;
    is($n1->post("/v1/messages", message())->status, 200,
       "fleet: no writes: a request is served");

    $redis->config("min-replicas-to-write", 0);

    ok(wait_for(sub { $fleet->up }, 20 * $slow), "fleet: it can be written");
}


# ---- what others have written there

{
    my $key = "{claude-relay}:nodes";
    my $far = int((time + 3600) * 1000);
    my $hostile = "\"} evil\\\x01\xff";

    $redis->cli("HSET", $key,
        $hostile, "$far boot {\"version\":\"$hostile\"}",
        "no-json", "$far boot not json",
        "types", "$far boot {\"version\":[1],\"started\":\"x\",\"workers\":1e300,"
                 . "\"in_flight\":-1e300,\"skew\":null}",
        "deep", "$far boot " . "[" x 2000,
        "long", "$far boot {\"version\":\"" . "v" x 4000 . "\"}",
        "far", int((time + 365 * 86400) * 1000) . " boot {}",
        "no-deadline", "boot {}",
        "n" x 500, "$far boot {}",
        "huge", "9" x 40 . " boot {}",
        "negative", "-5 boot {}",
        "empty", "");

    ok(wait_for(sub { peer(told($n1), "no-json") }, 10 * $slow),
       "fleet: nonsense in Redis: it is seen");

    my $f = told($n1);

    is($f->{state}, "up", "fleet: nonsense: all is well");
    is(peer($f, "no-json")->{version}, undef, "fleet: nonsense: no JSON");
    is(peer($f, "types")->{$_}, undef, "fleet: nonsense: no such $_")
        for qw/ version started workers in_flight skew_ms /;
    is(peer($f, "n2")->{state}, "alive", "fleet: nonsense: the others are there");
    ok(!peer($f, "far"), "fleet: nonsense: no lease of a year");
    is(scalar(grep { length $_->{name} > 64 } @{ $f->{nodes} }), 0,
       "fleet: nonsense: no name is too long");

    $n1->health;
    metrics($n1);
    is($n1->post("/v1/messages", message())->status, 200,
       "fleet: nonsense: requests are served");

    # who listens and who is told of alerts

    my $more = listen_to($n2, "?types=fleet");

    ok(wait_for(sub { hear($more, undef, 0.1);
                      ok_json($more) }, 3), "fleet: nonsense: events are JSON");
    close $more->{socket};

    $redis->cli("DEL", $key);
    $redis->cli("SET", $key, "a text");

    ok(wait_for(sub { $fleet->degraded }, 15 * $slow),
       "fleet: a text where a hash was: degraded");
    like($n1->fleet->{error}, qr/WRONGTYPE|wrong kind/,
         "fleet: a text where a hash was: it is told")
        || diag explain $n1->fleet;

    $redis->cli("DEL", $key);

    ok($fleet->ready, "fleet: it is gone: all is well")
        || diag explain map { [$_->health->{status}, $_->fleet] }
                            $fleet->nodes;
}


# ---- two nodes of one name

{
    my $two = fleet(2, redis => $redis, workers => 1,
        env => { FLEET_PASSWORD => $password }, http => $http,
        server => "location = /metrics { claude_relay_metrics; }",
        each => sub { http => "claude_relay_redis 127.0.0.1:"
                              . $redis->port . " node=same lease=2s"
                              . " prefix=twins: password=env:FLEET_PASSWORD;" });

    my ($one, $other) = $two->nodes;

    ok(wait_for(sub { $one->fleet->{twin} && $other->fleet->{twin} },
                30 * $slow), "fleet: two of one name: both say so");
    is($one->health->{status}, "degraded", "fleet: two of one name: degraded");
    is(metrics($one)->{claude_relay_fleet_twin}, 1,
       "fleet: two of one name: metrics");
    ok(told($one)->{twin}, "fleet: two of one name: API");
    ok(wait_for(sub { alert($one, "twin") }, 15 * $slow),
       "fleet: two of one name: an alert");
    is(alert($one, "twin")->{level}, "critical",
       "fleet: two of one name: which is critical");
    like(slurp("$one->{dir}/error.log"),
         qr/another node of the fleet is called "same", too/,
         "fleet: two of one name: the error log");

    $other->stop;

    ok(wait_for(sub { !$one->fleet->{twin} }, 30 * $slow),
       "fleet: one of them is stopped: not any more");
}


# ---- no secret anywhere

for my $node ($fleet->nodes) {
    my $all = join "\n", slurp("$node->{dir}/error.log"),
        encode($node->health), encode(told($node)),
        $node->request("GET", "/metrics", key => undef)->body;

    unlike($all, qr/\Q$password/, "fleet: " . $node->name . ": no password");
}

close $l->{socket};


# ---- without a fleet nothing of it is there

{
    my $alone = nginx(relay_http(
        http => store() . "claude_relay_control unix:control.sock;
                           log_format fleet '\$claude_relay_node|\$claude_relay_fleet';",
        server => "location = /metrics { claude_relay_metrics; }",
        location => "access_log %%DIR%%/fleet.log fleet;"));

    ok(!exists $alone->health->{fleet}, "fleet: alone: not in health");
    is_deeply([grep { /redis|fleet/ } keys %{ metrics($alone) }], [],
              "fleet: alone: no metrics");

    my $f = told($alone);

    is($f->{state}, "off", "fleet: alone: the API says so");
    is_deeply($f->{nodes}, [], "fleet: alone: no nodes");
    is($alone->control("POST", "/v1/fleet/repair", {})->status, 409,
       "fleet: alone: no repair");

    $alone->post("/v1/messages", message());
    wait_for(sub { -s "$alone->{dir}/fleet.log" }, 5);
    is(slurp("$alone->{dir}/fleet.log"), "-|-\n", "fleet: alone: variables");

    my $cli = ClaudeRelayCommand->new(socket => "$alone->{dir}/control.sock");

    is($cli->run("fleet"), 0, "fleet: alone: CLI");
    like($cli->out, qr/no fleet/, "fleet: alone: CLI says so");
}

finish();


sub told { return $_[0]->control("GET", "/v1/fleet")->json }


sub peer {
    my ($f, $name) = @_;

    my ($one) = grep { $_->{name} eq $name } @{ $f->{nodes} };

    return $one;
}


# a firing alert of this subject

sub alert {
    my ($node, $subject) = @_;

    my $r = $node->control("GET", "/v1/alerts")->json;

    my ($one) = grep { $_->{type} eq "fleet" && $_->{subject} eq $subject
                       && ($_->{state} // "firing") eq "firing" }
                     @{ $r->{alerts} };

    return $one;
}


# samples by name and labels, as they are written

sub metrics {
    my ($node) = @_;

    my %m;

    for (split /\n/, $node->request("GET", "/metrics", key => undef)->body) {
        $m{$1} = $2 if /^([^#]\S*) (\S+)$/;
    }

    return \%m;
}


sub listen_to {
    my ($node, $query) = @_;

    my $s = IO::Socket::UNIX->new(Peer => "$node->{dir}/control.sock")
        or die "control.sock: $!\n";

    print $s "GET /v1/events$query HTTP/1.1\r\nHost: x\r\n\r\n";
    $s->flush;

    my $l = { socket => $s, in => "" };

    hear($l, qr/\r\n\r\n/, 5) or die "no events\n";

    return $l;
}


sub hear {
    my ($l, $what, $seconds) = @_;

    my $end = time + $seconds;
    my $select = IO::Select->new($l->{socket});

    while (time < $end) {
        return 1 if defined $what && $l->{in} =~ $what;

        if ($select->can_read(0.05)) {
            sysread $l->{socket}, $l->{in}, 65536, length $l->{in}
                or return 0;
        }
    }

    return 0;
}


sub events {
    my ($l) = @_;

    return map { json($_) } $l->{in} =~ /^event: fleet\r?\ndata: (.*?)\r?$/mg;
}


sub ok_json { return defined eval { my @all = events($_[0]); 1 } }


# an event that has at least this

sub hears {
    my ($l, $want) = @_;

    return wait_for(sub {
        hear($l, undef, 0.1);

        for my $e (events($l)) {
            return 1 if !grep { ($e->{$_} // "") ne $want->{$_} } keys %$want;
        }

        return 0;
    }, 10 * $slow);
}
