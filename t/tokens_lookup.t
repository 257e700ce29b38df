#!/usr/bin/perl

# Names that were not known at start, without a "resolver": the system is
# asked, in a thread, and nobody else waits for it.  nginx has an /etc/hosts
# and an /etc/resolv.conf of its own, in a private mount namespace.

use strict;
use warnings;

use ClaudeRelay;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Time::HiRes qw/ time sleep /;


plan skip_all => "needs root, for a private /etc/hosts"
    if $> != 0 || system("unshare -m true 2>/dev/null") != 0;


# a name server that knows nothing, says so at first, and later nothing more

my ($dns, $ns);

for (1 .. 20) {
    $ns = join ".", 127, map { 1 + int rand 250 } 1 .. 3;
    $dns = IO::Socket::INET->new(Proto => "udp", LocalAddr => $ns,
                                 LocalPort => 53);
    last if $dns;
}

plan skip_all => "needs port 53 of some 127.x.y.z" if !$dns;

my $dir = sprintf "/tmp/claude-relay-lookup-%d", $$;
mkdir $dir or die "$dir: $!";

my $test = $$;
my $pid = fork() // die "fork: $!";

if ($pid == 0) {
    while (getppid() == $test) {
        my $peer = $dns->recv(my $q, 512) // last;
        my ($name) = unpack "x12 C/a", $q;
        next if $name =~ /^dead/ && -e "$dir/mute";
        my $r = pack("n6", unpack("n", $q), 0x8183, 1, 0, 0, 0)
                . substr $q, 12, index($q, "\0", 12) + 5 - 12;
        $dns->send($r, 0, $peer);
    }
    POSIX::_exit(0);
}

close $dns;

END {
    if ($$ == ($test // 0)) {
        kill "KILL", $pid if $pid;
        system "rm", "-rf", $dir;
    }
}

my $known = "127.0.0.1 localhost\n";

spew("$dir/hosts", $known);
spew("$dir/resolv.conf", "nameserver $ns\noptions timeout:5 attempts:2\n");
spew("$dir/nginx", <<"END");
#!/bin/sh
exec unshare -m sh -c '
    mount --make-rprivate / &&
    mount --bind $dir/hosts /etc/hosts &&
    mount --bind $dir/resolv.conf /etc/resolv.conf &&
    exec @{[ binary() ]} "\$@"' sh "\$@"
END
chmod 0755, "$dir/nginx";

my $module = module();

$ENV{TEST_NGINX_BINARY} = "$dir/nginx";
$ENV{TEST_NGINX_LOAD_MODULES} = $module;

my $up = sandbox();
my $port = $up->port;
my $connects = canned(sub { tunnel(@_) });

# an HTTP proxy which does not need to be one: it is asked for a tunnel, and
# goes on as the upstream

sub tunnel {
    my ($request, $socket) = @_;
    return "HTTP/1.1 502 no\r\n\r\n" if $request !~ /^CONNECT (\S+)/;
    my ($to) = $1;
    syswrite $socket, "HTTP/1.1 200 ok\r\n\r\n";
    sysread $socket, my $buf, 65536;
    my $body = qq({"type":"message","via":"$to"});
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
           . "Content-Length: " . length($body)
           . "\r\nConnection: close\r\n\r\n$body";
}

sub account_at {
    my ($name, $host, $more) = @_;
    return account($name, "base_url http://$host:$port; pool $name;"
                          . ($more // ""));
}

my @dead = map { "dead$_" } 1 .. 20;
my $seed = $up->oauth_seed(name => "oauth");
my $end = int(time + 2);
my $store = "%%DIR%%/db/relay.db secret=%%DIR%%/secret.key";

my $http = join "", zone_and_key(),
    account_at("one", "one.test"),
    account_at("gone", "gone.test"),
    account_at("late", "late.test"),
    account_at("six", "six.test"),
    account_at("way", "far.test", "proxy http://proxy.test:"
                                  . $connects->port . ";"),
    (map { account_at($_, "$_.test") } @dead),
    account("spare", "pool dead1; priority 200;"),
    account("here", "pool here;"),
    account("oauth", "platform claude-oauth; pool oauth;
        access_token $seed->{access}; refresh_token $seed->{refresh};
        expires $end;"),
    <<"END";
claude_relay_store $store;
claude_relay_oauth claude-oauth token_url=http://token.test:$port/v1/oauth/token;
claude_relay_usage_poll off;
claude_relay_keepalive 0;
claude_relay_connect_timeout 2s;
claude_relay_retry_wait 0;
server {
    listen 127.0.0.1:%%PORT%%;
    location = /health { claude_relay_health full=on; }
    @{[ map { "location /$_/ { claude_relay; claude_relay_pool $_; }\n" }
        qw/ one gone late six way here oauth /, @dead ]}
}
END

my $nginx = nginx($http, workers => 1);

my $quick = asan() ? 4 : 1;

sub ask_for { return $nginx->post("/$_[0]/v1/messages", message()) }

sub hosts { spew("$dir/hosts", $known . join "", map { "$_\n" } @_) }


# not known at start, and not now

my $r = ask_for("gone");
is($r->status, 503, "a name that nobody knows");
like($nginx->log->{attempts}, qr/^gone:0:network:/, "is a network failure");
ok($nginx->wait_error(qr/"gone\.test" could not be resolved \(/), "and the log says why");


# known since

hosts("127.0.0.1 one.test token.test proxy.test", "::1 six.test",
      "127.0.0.1 six.test");

is(ask_for("one")->status, 200, "a name that /etc/hosts has got since");
# (the refresh of another account may have come in between)

my ($asked) = grep { $_->{target} =~ /messages/ } reverse $up->last(5);
is($asked->{credential}, "sk-ant-one-000001", "it is the account's");
ok((grep { /^host: one\.test:$port$/i } @{ $asked->{headers} }),
   "the host is its name");

is(ask_for("six")->status, 200, "all of its addresses are tried");

$r = ask_for("way");
is($r->status, 200, "the name of a proxy");
is($r->json->{via}, "far.test:$port", "which is told the target's");

# refreshes that failed before have their back-off

# (until then the old token may do, in its last seconds)

ok(wait_for(sub { ask_for("oauth")->status == 200
                  && $up->oauth_chain("oauth")->{rotations} }, 20),
   "the name of a token endpoint");
is($up->oauth_chain("oauth")->{rotations}, 1, "where tokens are refreshed");


# remembered, a miss for less long

hosts();

is(ask_for("one")->status, 200, "what was found is remembered");
is(ask_for("late")->status, 503, "what was not");
hosts("127.0.0.1 late.test one.test");
sleep 5.1;
is(ask_for("late")->status, 200, "is looked up again after some seconds");


# a name server that does not answer: nobody else waits

spew("$dir/mute", "");

my @waiting = map {
    my $c = $nginx->connect;
    $c->request("POST", "/$_/v1/messages", body => message());
    $c;
} @dead, @dead;

sleep 0.3;

my $start = time;
is(ask_for("here")->status, 200, "many hang: an account with an address");
is(ask_for("one")->status, 200, "many hang: a name that is known");
cmp_ok(time - $start, "<", $quick, "many hang: neither has waited");

# clients that leave take nothing with them

$_->reset for @waiting[5 .. 19];

$r = $waiting[0]->response;
is($r->status, 200, "the next account serves instead");
is($waiting[$_]->response->status, 503, "the others fail in time")
    for 1, 4, 21, 39;
cmp_ok(time - $start, "<", 2 + 4 * $quick, "which is the time to connect");
ok($nginx->wait_error(qr/connecting to "dead2\.test:\d+" timed out/),
   "the log says so");

$start = time;
$nginx->stop;
cmp_ok(time - $start, "<", 1 + 3 * $quick,
       "an end does not wait for a name server");


# a family

unlink "$dir/mute";
hosts("127.0.0.1 six.test", "::1 one.test");

$nginx = nginx("claude_relay_address_family ipv6;\n" . $http, workers => 1);

hosts("127.0.0.1 six.test late.test", "::1 one.test");

is(ask_for("late")->status, 503, "IPv6 only: a name with another address");
ok($nginx->wait_error(qr/"late\.test" could not be resolved|no IPv6 address/),
   "IPv6 only: the log says why");


# and without a store

(my $plain = $http) =~ s/^claude_relay_(?:store|oauth|usage_poll).*\n//mg;
$plain =~ s/claude_relay_account oauth \{.*?\}//s;
$plain =~ s/location \/oauth\/ \{.*?\}//;

hosts();
$nginx->stop;
$nginx = nginx($plain, workers => 1);
hosts("127.0.0.1 one.test");

is(ask_for("one")->status, 200, "without a store");

finish();
