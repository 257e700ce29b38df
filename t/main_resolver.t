#!/usr/bin/perl

# Names of upstreams looked up at run time: "resolver" of nginx.

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Test::More;

use ClaudeRelay;


# a name server: NAME => [addresses], answers A with a ttl of one second,
# nothing for AAAA; "dead" is never answered

my $dns = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.1",
                                LocalPort => 0) or die "udp: $!";
my $dns_port = $dns->sockport;

my %names = (
    "one.test"   => ["127.0.0.1"],
    "two.test"   => ["127.0.0.2", "127.0.0.1"],
);

my $test = $$;
my $pid = fork() // die "fork: $!";

if ($pid == 0) {
    answer() while getppid() == $test;
    POSIX::_exit(0);
}

END { kill "KILL", $pid if $pid && $$ == $test; }

sub answer {
    my $peer = $dns->recv(my $q, 512) // return;
    my ($id, $flags) = unpack "nn", $q;
    my ($name, $at) = ("", 12);

    while ((my $len = ord substr $q, $at, 1) > 0) {
        $name .= ($name eq "" ? "" : ".") . substr $q, $at + 1, $len;
        $at += 1 + $len;
    }

    my $question = substr $q, 12, $at + 5 - 12;
    my $type = unpack "n", substr $q, $at + 1, 2;

    return if $name eq "dead.test" || $name eq "localhost";

    my @addrs = $type == 1 && $names{$name} ? @{ $names{$name} } : ();
    my $rcode = $names{$name} ? 0 : 3;

    my $r = pack "nnnnnn", $id, 0x8180 | $rcode, 1, scalar @addrs, 0, 0;
    $r .= $question;

    for (@addrs) {
        $r .= pack "nnnNn", 0xc00c, 1, 1, 1, 4;
        $r .= pack "C4", split /\./;
    }

    $dns->send($r, 0, $peer);
}


my $up = sandbox();
my $port = $up->port;

my $accounts = join "", map {
    my ($name, $host) = @$_;
    "claude_relay_account $name { platform anthropic;
         api_key sk-ant-$name-000001; base_url http://$host:$port;
         pool $name; }"
} (["one", "one.test"], ["two", "two.test"], ["none", "none.test"],
   ["dead", "dead.test"], ["known", "localhost"]);

# the names are not known to the system: it is asked at start, briefly

my $nginx = relay(
    env => { RES_OPTIONS => "timeout:1 attempts:1" },
    http => "resolver 127.0.0.1:$dns_port ipv6=off; resolver_timeout 2s;
             claude_relay_keepalive 0;
             claude_relay_connect_timeout 1s;",
    accounts => $accounts,
    location => "claude_relay_pool one;",
    server => join "", map {
        "location /$_/ { claude_relay; claude_relay_pool $_; }"
    } qw(two none dead known));

is($nginx->post("/v1/messages", message())->status, 200,
   "a name that only the resolver knows");
is($up->last->{credential}, "sk-ant-one-000001", "it is the account's");
like(join("\n", @{ $up->last->{headers} }), qr/^Host: one\.test:$port$/mi,
     "the host is its name");

is($nginx->post("/two/v1/messages", message())->status, 200,
   "the second address is tried") for 1 .. 3;

my $r = $nginx->post("/none/v1/messages", message());
is($r->status, 503, "a name that nobody knows");
like($nginx->log->{attempts}, qr/^none:0:network:/, "is a network failure");

my $start = time;
is($nginx->post("/dead/v1/messages", message())->status, 503,
   "a name server that does not answer");
cmp_ok(time - $start, "<", 8, "is not waited for for long");

is($nginx->post("/known/v1/messages", message())->status, 200,
   "the addresses known at start stand in for a dead name server");

finish();
