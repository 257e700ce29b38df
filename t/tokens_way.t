#!/usr/bin/perl

# F102, F103: what is asked about an account goes the account's way, too: token
# endpoint, usage, tests.  Without its proxy nothing goes out.

use warnings;
use strict;

use ClaudeRelay;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/ time sleep /;


my ($program) = grep { -x } "/usr/bin/microsocks", "/usr/sbin/microsocks";

plan(skip_all => "no microsocks here") if !$program;

my $up = sandbox();
my $proxy = "127.0.0.1:" . port(9);
my $pid = socks();

sub socks {
    my $child = ClaudeRelay::spawn("/dev/null", {}, $program, "-i",
                                   "127.0.0.1", "-p", port(9), "-u", "relay",
                                   "-P", "planted-password");
    wait_for(sub { IO::Socket::INET->new(PeerAddr => $proxy) })
        or die "microsocks does not listen\n";
    return $child;
}

sub quit { kill "TERM", $pid; waitpid $pid, 0 }


my $url = "socks5://relay:planted-password\@$proxy";
my ($one, $bad) = map { login_account(@$_) }
    [ "one", more => "pool one; proxy $url;" ],
    [ "bad", expires => 100,
      more => "pool bad; proxy socks5://relay:planted-wrong\@$proxy;" ];

my $nginx = nginx(<<"END", workers => 2);
@{[ zone_and_key() ]}
@{[ store() =~ s/usage_poll off/usage_poll 10m/r ]}
claude_relay_control unix:%%DIR%%/control.sock;
$one
$bad
server {
    listen 127.0.0.1:%%PORT%%;
    claude_relay_retry_wait 0;
    location / { claude_relay; claude_relay_pool one; }
    location /bad/ { claude_relay; claude_relay_pool bad; }
    location = /health { claude_relay_health full=on; }
}
END

sub tokens { return scalar @{ $up->oauth_report(chain => $_[0])->{requests} } }


# through it

ok(wait_for(sub { ($up->oauth_chain("one")->{usage} // 0) == 1 }),
   "F102: usage is asked for");
is($nginx->post("/v1/messages", message())->status, 200, "F102: a request");

$up->oauth(do => "revoke-access", chain => "one");
is($nginx->post("/v1/messages", message())->status, 200, "F102: a refresh");
is(tokens("one"), 1, "F102: which was made");

my $r = $nginx->control("POST", "/v1/accounts/one/test", {});
ok($r->json->{ok}, "F102: a test") || diag($r->body);
$r = $nginx->control("POST", "/v1/accounts/one/refresh", {});
is($r->status, 200, "F102: a refresh by hand");
is(tokens("one"), 2, "F102: which was made, too");


# a password that the proxy does not take: nobody is asked

ok($nginx->wait_error(qr/refresh of account "bad" failed: no connection/),
   "wrong password: the log names account and step");
is(tokens("bad"), 0, "wrong password: the token endpoint was not asked");
is($up->oauth_chain("bad")->{usage} // 0, 0, "wrong password: nor for usage");
$r = $nginx->control("POST", "/v1/accounts/bad/refresh", {});
is($r->status, 502, "wrong password: by hand");
like($r->json->{error}{message}, qr/"bad".*no connection/,
     "wrong password: names the account");

$r = $nginx->control("POST", "/v1/logins", { platform => "claude-oauth",
                                            name => "bad" });
is($r->status, 201, "wrong password: a login begins");
$r = $nginx->control("POST", "/v1/logins/" . $r->json->{id},
                     { code => "whatever" });
is($r->status, 502, "wrong password: a login");
like($r->json->{error}{message}, qr/"bad".*no connection/,
     "wrong password: names account and step");


# without its proxy: nothing goes out by another way

quit();

my ($asked, $usage, $requests) = (tokens("one"), $up->oauth_chain("one")->{usage},
                                  $up->requests);

$up->oauth(do => "revoke-access", chain => "one");
isnt($nginx->post("/v1/messages", message())->status, 200,
     "F103: no proxy, no request");
$r = $nginx->control("POST", "/v1/accounts/one/refresh", {});
is($r->status, 502, "F103: no refresh");
$r = $nginx->control("POST", "/v1/accounts/one/test", {});
ok(!$r->json->{ok}, "F103: no test");
is(tokens("one"), $asked, "F103: the token endpoint was not asked");
is($up->oauth_chain("one")->{usage}, $usage, "F103: nor for usage");
is($up->requests, $requests, "F103: nor the API");


# and it is back

$pid = socks();

ok(wait_for(sub { $nginx->post("/v1/messages", message())->status == 200 }, 20),
   "it is back, and so is the account");
is($up->oauth_report->{counters}{reuses}, 0, "no token was shown twice");

unlike($nginx->error_log . $nginx->access_log, qr/planted/,
       "no password in a log");

quit();
finish();
