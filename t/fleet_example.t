#!/usr/bin/perl

# conf/fleet.conf, as docs/fleet.md has it run by three nodes, with a Redis,
# a sandbox and ports of the test's own.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayFleet;
use File::Copy qw/ copy /;
use Test::More;


my $up = sandbox();
my $redis = redis(appendonly => 1);
my $doc = slurp(root() . "/docs/fleet.md");
my ($recipe) = $doc =~ /^(for i in 1 2 3; do\n    mkdir.*?^done\n)/ms;

# what the reader is told to write, and what the file says is the same

ok($recipe, "fleet: the page has three nodes to try");
like($recipe, qr/^    echo "claude_relay_redis  127\.0\.0\.1:6390 node=n\$i;" > n\$i\/redis\.conf$/m,
     "fleet: redis.conf of each");
like($recipe, qr/^    echo "listen  127\.0\.0\.1:808\$i;" > n\$i\/listen\.conf$/m,
     "fleet: listen.conf of each");

my $conf = slurp(root() . "/conf/fleet.conf");

# no module to load where it is linked in, and the sandbox for the account

$conf =~ s/^load_module .*\n/module() ? "load_module " . module() . ";\n" : ""/me;
$conf =~ s/^(\s+)(platform\s+anthropic;)/$1$2 base_url @{[ $up->url ]};/m;
$conf =~ s/^http \{/http { claude_relay_allow_private_upstreams on;/m;
$conf =~ s/^worker_processes .*/worker_processes 1;/m;
$conf .= "\nuser root;\n" if $> == 0;
$conf .= "daemon off;\n" . join "",
    map { "env $_;\n" } grep { /SAN_OPTIONS$/ } sort keys %ENV;

my @nodes = map { ClaudeRelayFleet::Node->new($conf, port => 9 - $_, env => {
    ANTHROPIC_API_KEY => "sk-ant-one-000001",
    CLAUDE_RELAY_KEY => $ClaudeRelay::KEY,
}) } 1 .. 3;

for my $i (0 .. $#nodes) {
    my ($node, $name) = ($nodes[$i], "n" . ($i + 1));
    my $dir = $node->dir;

    copy(ClaudeRelayFleet::secret(), "$dir/fleet.key");
    chmod 0600, "$dir/fleet.key";
    spew("$dir/redis.conf", "claude_relay_redis  @{[ $redis->addr ]} node=$name;\n");
    spew("$dir/listen.conf", "listen  127.0.0.1:@{[ $node->port ]};\n");

    $node->{name} = $name;
    $node->{whole} = 1;
    $node->start;
}

my $health;

ok(wait_for(sub {
    $health = [map { $_->health->{fleet} } @nodes];
    return !grep { $_->{state} ne "up" || $_->{nodes} != 3 } @$health;
}, 20), "fleet: three nodes, and each knows the two others")
    or diag explain $health;

is($_->post("/v1/messages", message())->status, 200, "fleet: each serves")
    for @nodes;

my $made = $nodes[0]->control("POST", "/v1/accounts", {
    name => "second", platform => "anthropic", api_key => "sk-ant-two-000002",
    base_url => $up->url });

is($made->status, 201, "fleet: an account is made at the first node");

my $key = $nodes[0]->control("POST", "/v1/keys", {
    name => "alice", limits => ["cost:1/day"] })->json->{secret};

ok($key, "fleet: and a key");
ok(wait_for(sub {
    $nodes[2]->control("GET", "/v1/accounts/second")->status == 200
}), "fleet: the account is at the third");
ok(wait_for(sub {
    $nodes[2]->request("POST", "/v1/messages", body => message(),
                       key => $key)->status == 200
}), "fleet: the key, too");
like($nodes[1]->request("GET", "/metrics", key => undef)->body,
     qr/^claude_relay_redis_state\{state="up"\} 1$/m, "fleet: metrics");

finish();
