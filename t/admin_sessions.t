#!/usr/bin/perl

# F063, N08: sticky sessions are told, with the reason of their last move, and
# forgotten when an operator wants it.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();

my $nginx = relay(
    workers => 2,
    http => "claude_relay_zone relay:16m;"
            . "claude_relay_control unix:control.sock;",
    accounts => account("one", "priority 200;") . account("two")
                . account("three", "pool other;"),
    location => "claude_relay_sticky ttl=600 renew=1;",
    allow => [qr/exited on signal 9/],
    server => "location /short/ { claude_relay; claude_relay_pool other;"
              . " claude_relay_sticky ttl=2 renew=1; }");


sub call { return $nginx->control(@_) }

sub sessions {
    my ($query) = @_;

    return @{ call("GET", "/v1/sessions" . ($query // ""))->json->{sessions} };
}

sub say_as {
    my ($session, %o) = @_;

    my $uri = delete $o{uri} // "/v1/messages";

    return $nginx->post($uri, message(%o),
                        "X-Claude-Code-Session-Id: $session");
}


my $r = call("GET", "/v1/sessions");

is($r->status, 200, "F063: sessions");
is_deeply($r->json, { sessions => [], next => undef, total => 0 },
          "F063: there are none");

say_as("first");

my ($s) = sessions();
my $log = $nginx->log;

like($s->{session}, qr/^[0-9a-f]{16}$/, "F063: a session");
is($s->{session}, $log->{session}, "F063: as in the log");
is($s->{account}, "one", "F063: its account");
like($s->{$_}, qr/^\d{4}-\d\d-\d\dT/, "F063: $_")
    for qw/ created renewed expires /;
is($s->{moves}, 0, "N08: it has not moved");
is($s->{moved}, undef, "N08: never");
is($s->{reason}, undef, "N08: so for no reason");


# a move, and why

$up->behave("sk-ant-one-000001", "unified=5h:1800");
say_as("first");
$up->behave("sk-ant-one-000001", "");

is($nginx->log->{sticky}, "moved:limited", "N08: moved");

my ($t) = sessions();

is($t->{session}, $s->{session}, "N08: the same session");
is($t->{account}, "two", "N08: has another account");
is($t->{moves}, 1, "N08: has moved once");
is($t->{reason}, "limited", "N08: why");
like($t->{moved}, qr/^\d{4}-/, "N08: and when");
is($t->{created}, $s->{created}, "F063: it is not another one");

say_as("first");
($t) = sessions();
is($t->{reason}, "limited", "N08: the reason stays");
is($t->{moves}, 1, "N08: and the number");


# to be forgotten

$r = call("DELETE", "/v1/sessions/$t->{session}");
is($r->status, 204, "F063: forgotten");
is(scalar(sessions()), 0, "F063: it is gone");
is(call("DELETE", "/v1/sessions/$t->{session}")->status, 404,
   "F063: not twice");

for ("0" x 16, "x" x 16, "0", "../x") {
    is(call("DELETE", "/v1/sessions/$_")->status, 404, "F063: no session $_");
}

like($nginx->error_log, qr/control: session [0-9a-f]{16} was forgotten, by/,
     "F063: who did it");


# one that is over is not there

say_as("brief", uri => "/short/v1/messages");
is(scalar(sessions("?account=three")), 1, "F063: a short session");
sleep 2.5;
is(scalar(sessions("?account=three")), 0, "F063: is over");

my $again = time;
say_as("brief", uri => "/short/v1/messages");
($t) = sessions("?account=three");
is($t->{moves}, 0, "F063: and begins anew");
cmp_ok($t->{created}, "gt", $s->{created}, "F063: now");


# many of them, by pages

my $many = asan() ? 300 : 1500;
my $port = port();
my %seen;

for (my $i = 0; $i < $many; $i += 50) {
    my @w = map { wire($port, ask(session => "many-$_",
                                  key => $ClaudeRelay::KEY)) }
            $i .. $i + 49;

    pump(sub { !grep { !$_->{done} } @w }, 20);
    $_->close for @w;
}

my $after = "";
my $pages = 0;

while (1) {
    $r = call("GET", "/v1/sessions?account=two&limit=100$after")->json;

    $seen{ $_->{session} }++ for @{ $r->{sessions} };
    $pages++;

    last unless defined $r->{next} && $pages < 100;
    $after = "&after=$r->{next}";
}

my $one = scalar keys %seen;

is($one, $many, "F063: pages: all sessions of an account");
is(scalar(grep { $_ > 1 } values %seen), 0, "F063: pages: none twice");
is($pages, $many / 100, "F063: pages: full ones");
is($r->{total}, $many + 1, "F063: how many there are");
is(scalar(sessions("?limit=1000")), $many > 1000 ? 1000 : $many + 1,
   "F063: pages: the largest");

for ("?limit=0", "?limit=1001", "?after=x", "?after=00", "?nonsense=1") {
    is(call("GET", "/v1/sessions$_")->status, 400, "F063: $_ is refused");
}

is(call("GET", "/v1/sessions?account=nobody")->status, 404,
   "F063: sessions of nobody");
is(call("DELETE", "/v1/sessions")->status, 400,
   "F063: all of them takes a word more");
is(call("DELETE", "/v1/sessions?account=nobody")->status, 404,
   "F063: sessions of nobody cannot be forgotten");
is(call("DELETE", "/v1/sessions?account=two&x=1")->status, 400,
   "F063: an unknown parameter");


# all of an account, while others come and go

{
    my @w = map { wire($port, ask(session => "busy-$_", do => "first=5",
                                  key => $ClaudeRelay::KEY)) } 1 .. 8;
    my $n = 8;
    my ($bad, $good) = (0, 0);

    my $s = IO::Socket::UNIX->new(Peer => "$nginx->{dir}/control.sock");

    print $s "DELETE /v1/sessions?account=two HTTP/1.1\r\nHost: x\r\n"
             . "Connection: close\r\n\r\n";
    $s->flush;

    my $end = time + 1;

    pump(sub {
        for my $w (@w) {
            next if !$w->{done};

            ($w->{status} // 0) == 200 ? $good++ : $bad++;
            $w->close;
            $w = wire($port, ask(session => "busy-" . ++$n, do => "first=5",
                                 key => $ClaudeRelay::KEY));
        }

        return time > $end;
    }, 5);

    $_->abort for @w;

    my $answer = do { local $/; <$s> };

    like($answer, qr/^HTTP\/1.1 200/, "F063: those of an account");

    my ($removed) = $answer =~ /"removed":(\d+)/;

    cmp_ok($removed, ">=", $many, "F063: are forgotten");
    is($bad, 0, "F063: requests go on meanwhile: $good");

    my %left = map { $_->{session} => 1 } sessions("?account=two&limit=1000");

    is(scalar(grep { $left{$_} } keys %seen), 0, "F063: none of them is left");
    is(scalar(sessions("?account=three")) > 0 || time - $again > 2, 1,
       "F063: but those of others");
}


# a worker dies while they are walked

for my $round (1 .. 3) {
    my @w = map { wire($port, ask(session => "dead-$round-$_",
                                  key => $ClaudeRelay::KEY)) } 1 .. 20;

    pump(sub { !grep { !$_->{done} } @w }, 10);
    $_->close for @w;

    my $dead = ($nginx->workers)[$round % 2];

    # it is listed until its master knows

    kill "KILL", $dead;
    until_true(sub {
        my @now = $nginx->workers;
        return @now == 2 && !grep { $_ == $dead } @now;
    }, 20);

    my @all = eval { sessions("?account=two&limit=1000") };
    my $r = eval { call("DELETE", "/v1/sessions?account=two") };

    # a call may have been with the worker that died

    $r = call("DELETE", "/v1/sessions?account=two")
        if !$r || ($r->status // 0) != 200;

    is($r->status, 200, "kill $round: they can be walked");
    is(scalar(sessions("?account=two&limit=1000")), 0,
       "kill $round: and forgotten");
}


finish();
