#!/usr/bin/perl

# Whoever guesses passwords (F191): how many are checked, how fast the others
# are refused, who is held up and who is not, what the relay feels of it, and
# what the time of an answer tells.

use warnings;
use strict;

use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Time::HiRes qw/ time sleep /;

use ClaudeRelay;
use ClaudeRelayAdmin;


# each check takes a tenth of a second, and more where others have the CPU

alarm(900);

my $up = sandbox();

my $nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;
                       claude_relay_admin_login failures=1 window=10m
                                                session=1h idle=5m;",
    server => "location /admin/ { claude_relay_admin; }"), workers => 1);

my $admin = ClaudeRelayAdmin->first($nginx);

is(new("127.0.0.9")->login("admin", ClaudeRelayAdmin::password("admin"))
       ->header("set-cookie") =~ /Max-Age=3600;/ ? 1 : 0, 1,
   "session=1h is the age of a cookie");


sub new { ClaudeRelayAdmin->new($nginx, from => $_[0]) }

sub told { join " ", map { $_->status . ":" . $_->type } @_ }


# ---- all are told the same

make("idle");
make("off");
is($nginx->control("PATCH", "/v1/people/off",
                   { enabled => JSON::PP::false() })->status, 200, "disabled");

my (@same, %took);

for (["admin", "no"], ["nobody", "no"],
     ["off", ClaudeRelayAdmin::password("off")],
     ["'; DROP TABLE people; --", "no"], ["idle\n[alert] forged", "no"],
     ["admin", "x" x 256])
{
    my $start = time;

    push @same, new("127.0.1." . (1 + @same))->login(@$_);
    push @{ $took{ $_->[0] eq "admin" ? "known" : "unknown" } },
         time - $start;
}

is(told(@same), join(" ", ("401:login_failed") x 6),
   "F191: who fails is told the same");
is(scalar(keys %{{ map { $_->body => 1 } @same }}), 1, "to the letter");

my ($known, $unknown) = map { (sort { $a <=> $b } @{ $took{$_} })[0] }
                            qw/ known unknown /;

cmp_ok($unknown, ">", $known / 4, sprintf "F191: and it takes as long: "
       . "%.0f ms, of a known name %.0f ms", 1000 * $unknown, 1000 * $known);
cmp_ok($unknown, ">", 0.02, "which is as long as a password takes");

unlike($nginx->error_log, qr/forged|DROP TABLE/, "no name is in the log");
like($nginx->error_log, qr/login as "admin" from 127\.0\.1\.1 has failed/,
     "but those of people");

for (["", "x"], ["x", ""], [undef, "x"], ["x", undef], [["x"], "x"],
     ["x", 17], ["x" x 300, "x"], ["x", "x" x 300])
{
    is(new("127.0.1.8")->login(@$_)->status, 400, "no name, or no password");
}

is(new("127.0.1.8")->call("POST", "/session", { name => "a", password => "b",
                                                remember => 1 })->status, 400,
   "an unknown member");


# ---- an address

my @r = map { new("127.0.3.1")->login("idle", "wrong $_") } 1 .. 4;

is(told(@r[0, 1]), "401:login_failed 401:login_failed",
   "F191: one failure is free, one more is to find out");
is(told(@r[2, 3]), "429:too_many_requests 429:too_many_requests",
   "then it has to wait");
cmp_ok($r[2]->header("retry-after"), ">=", 20, "for half a minute");
cmp_ok($r[2]->header("retry-after"), "<=", 30, "and no more");

is(new("127.0.3.1")->login("idle", ClaudeRelayAdmin::password("idle"))->status,
   429, "with the right one, too");
is(new("127.0.3.1")->login("admin", "no")->status, 401,
   "another name is another matter");
is(new("127.0.3.2")->login("idle", ClaudeRelayAdmin::password("idle"))->status,
   200, "F191: from elsewhere the right one passes");

@r = map { new("127.0.3.3")->login("n$_", "wrong") } 1 .. 6;

is((grep { $_->status == 401 } @r), 4,
   "an address has three times as many, whatever the names");
is($r[5]->status, 429, "and has to wait then");


# ---- who has a login of its own cannot try others in between

make("spy");

my ($checked, $spied) = (0, 0);

for my $i (1 .. 6) {
    $checked++ if new("127.0.3.4")->login("admin$i", "guess")->status == 401;
    $spied++ if new("127.0.3.4")
                ->login("spy", ClaudeRelayAdmin::password("spy"))->status
                == 200;
}

is($checked, 4, "F191: a login of its own frees nobody");
cmp_ok($spied, "<", 6, "and waits as well");


# ---- a name, from many addresses

my $n = 0;

for my $i (1 .. 15) {
    for (1 .. 2) {
        $n++ if new("127.0.4.$i")->login("idle", "guess $_")->status == 401;
    }
}

cmp_ok($n, ">=", 8, "a botnet has some tries for a name");
cmp_ok($n, "<", 24, "F191: but not as many as it has addresses");

is(new("127.0.3.2")->login("idle", ClaudeRelayAdmin::password("idle"))->status,
   200, "F191: who has logged in from there before is not held up");


# ---- ten thousand

my $start = time;
my %status;
my ($worst, $total) = (0, 0);
my $relayed = 0;

for my $round (1 .. 100) {

    my $c = connection("127.0.5.1");

    for (1 .. 100) {
        my $r = $c->request("POST", "/admin/api/v1/session", key => undef,
                            body => '{"name":"admin","password":"guess"}')
                  ->response(timeout => 30);
        $status{ $r->status }++;
    }

    $c->close;

    my $t = time;
    $relayed++ if $nginx->post("/v1/messages", message())->status == 200;
    $t = time - $t;

    $worst = $t if $t > $worst;
    $total += $t;
}

my $spent = time - $start;

is($status{401} + $status{429}, 10000, "F191: 10,000 wrong logins");
cmp_ok($status{401}, "<=", 5, "of which few were looked at");
cmp_ok($spent, "<", asan() ? 400 : 150,
       sprintf "all were answered in %.1f s", $spent);
is($relayed, 100, "the relay went on");
cmp_ok($total / 100, "<", 1,
       sprintf "as fast as ever: %.0f ms, the slowest %.0f ms",
       10 * $total, 1000 * $worst);

is(new("127.0.6.1")->login("admin", ClaudeRelayAdmin::password("admin"))
       ->status, 200, "F191: and the admin gets in from elsewhere");
is($admin->call("GET", "/status")->status, 200, "or is in");

my $failed = () = $nginx->error_log =~ /login as .* has failed/g;
cmp_ok($failed, "<", 300, "the log is not flooded");


sub connection {
    my ($from) = @_;

    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1",
                                  PeerPort => $nginx->port,
                                  LocalAddr => $from) or die "$!\n";

    return ClaudeRelay::Connection->new($s);
}


# ---- at the same time

my @c = map { connection("127.0.7.1") } 1 .. 20;

for my $c (@c) {
    $c->request("POST", "/admin/api/v1/session", key => undef,
                body => '{"name":"admin","password":"guess"}');
}

my %many;
$many{ $_->response(timeout => 60)->status }++ for @c;
$_->close for @c;

cmp_ok($many{401} // 0, "<=", 3, "F191: what comes at once is not checked all");
is(($many{401} // 0) + ($many{429} // 0), 20, "and is answered");

@c = map { connection("127.0.8.$_") } 1 .. 20;

for my $c (@c) {
    $c->request("POST", "/admin/api/v1/session", key => undef,
                body => '{"name":"admin","password":"guess"}');
}

# half of them leave

$_->reset for @c[0 .. 9];

%many = ();
$many{ $_->response(timeout => 60)->status }++ for @c[10 .. 19];
$_->close for @c[10 .. 19];

is(($many{401} // 0) + ($many{429} // 0), 10,
   "neither from many addresses, of which some leave");

ok(wait_for(sub {
    new("127.0.9.1")->login("spy", ClaudeRelayAdmin::password("spy"))->status
        == 200;
}), "then there is room again");


# ---- who steals a session does not guess the password

my $thief = ClaudeRelayAdmin->new($nginx, from => "127.0.6.1",
                                  cookie => $admin->{cookie},
                                  csrf => $admin->{csrf});

@r = map { $thief->call("POST", "/session/password",
                        { old => "guess $_", new => "quite another one" }) }
         1 .. 4;

is(told(@r[0, 1]), "403:wrong_password 403:wrong_password",
   "F191: a thief has two tries");
is(told(@r[2, 3]), "429:too_many_requests 429:too_many_requests",
   "and has to wait then");


# ---- the trail and what a reload leaves

my $trail = $nginx->control("GET", "/v1/actions?limit=1000");

is($trail->status, 200, "the trail");
is((grep { $_->{path} eq "/v1/session" && $_->{status} >= 400 }
         @{ $trail->json->{actions} }), 0,
   "has no failed logins: they would fill it");
cmp_ok((grep { $_->{path} eq "/v1/session" && $_->{status} == 200
               && $_->{who} eq "admin" } @{ $trail->json->{actions} }),
       ">=", 3, "but those that were good");

ok($nginx->reload, "a reload");
is(new("127.0.5.1")->login("admin", "guess")->status, 429,
   "forgets no failures");

finish();


sub make {
    my ($name) = @_;

    my $r = $nginx->control("POST", "/v1/people",
                            { name => $name, role => "viewer",
                              password => ClaudeRelayAdmin::password($name),
                              must_change => JSON::PP::false() });

    is($r->status, 201, "a person") || diag $r->body;
}
