#!/usr/bin/perl

# N02, F207: HUP, USR2 and QUIT with streams running cut none, and what the
# zone knows stays known.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $port = port();

sub conf {
    my (%o) = @_;

    my $zone = $o{zone} // "relay:1m";
    my $accounts = $o{accounts}
                   // account("one") . account("two")
                      . account("rest", "pool rest;");
    my $more = $o{more} // "";

    return <<"END";
claude_relay_zone $zone;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
$accounts
server {
    listen 127.0.0.1:%%PORT%%;
    claude_relay_retry_wait 0;
    $more
    location = /health { claude_relay_health full=on; }
    location / { claude_relay; claude_relay_policy round-robin; }
    @{[ $o{norest} ? "" : "location /rest/ { claude_relay; "
                          . "claude_relay_pool rest; }" ]}
}
END
}

my $nginx = nginx(conf(), workers => 2,
                  allow => [qr/unknown policy "nonsense"/, qr/"NOT_THERE"/,
                            qr/"relay:64k" is too small/]);


# HUP with running streams

{
    $up->behave("sk-ant-rest-000001", "status=403");
    exchange($port, path => "/rest/v1/messages");
    my $until = of("rest")->{until};

    is(of("rest")->{state}, "resting", "an account rests");

    my $session = "reload-session";
    my $at = log_of(exchange($port, session => $session))->{account};

    my @w = map { wire($port, ask(stream => 1, do => "events=40,delay=40",
                                  text => "s$_")) } 1 .. 12;

    pump(sub { !grep { !$_->{parts} } @w }, 5);

    my @old = $nginx->workers;

    for my $n (1 .. 3) {
        reload();

        is(exchange($port, text => "after HUP $n")->{status}, 200,
           "HUP $n: new requests are served");
    }

    my $flight = of("one")->{in_flight} + of("two")->{in_flight};

    is($flight, 12, "N02 HUP: slots of the old workers are known");
    ok(scalar(grep { kill 0, $_ } @old), "HUP: old workers stay for them");

    pump(sub { !grep { !$_->{done} } @w }, 10);

    is(scalar(grep { $_->{clean} && $_->{body} =~ /message_stop/ } @w), 12,
       "N02 HUP: no stream is cut");
    is(scalar(grep { deltas($_) == 40 } @w), 12, "N02 HUP: no event is lost");
    $_->close for @w;

    ok(until_true(sub { !grep { kill 0, $_ } @old }, 3),
       "F207 HUP: old workers leave");
    ok(until_true(sub { of("one")->{in_flight} + of("two")->{in_flight} == 0 },
                  1), "HUP: no slot kept");

    is(of("rest")->{state}, "resting", "HUP: rests survive");
    is(of("rest")->{until}, $until, "HUP: to the same end");

    my $log = log_of(exchange($port, session => $session));

    is("$log->{account} $log->{sticky}", "$at hit", "HUP: sessions survive");
}


# a configuration that is broken

{
    my $w = wire($port, ask(stream => 1, do => "events=20,delay=40"));
    pump(sub { $w->{parts} }, 5);

    my @old = $nginx->workers;
    my $good = $nginx->{http};

    for my $bad (conf(more => "claude_relay_policy nonsense;"),
                 conf(accounts => account("one", "api_key env:NOT_THERE;")
                                  . account("rest", "pool rest;")),
                 conf(zone => "relay:64k"))
    {
        $nginx->reload($bad);
        ok($nginx->wait_error(qr/\[emerg\]/), "broken configuration: said");
        is(exchange($port)->{status}, 200, "broken configuration: goes on");
    }

    is(join(",", $nginx->workers), join(",", @old),
       "broken configuration: the same workers");
    pump(sub { $w->{done} }, 5);
    ok($w->{clean}, "broken configuration: no stream is cut");
    $w->close;

    $nginx->write($good);
}


# accounts come, go and change their names while in flight

{
    my @w = map { wire($port, ask(stream => 1, do => "events=40,delay=30",
                                  text => "acc$_")) } 1 .. 8;
    pump(sub { !grep { !$_->{parts} } @w }, 5);

    my $held = of("one")->{in_flight};

    reload(conf(accounts => account("one") . account("three")
                                    . account("rest", "pool rest;")));

    is(of("two"), undef, "accounts: one that is gone");
    is(of("three")->{in_flight}, 0, "accounts: one that is new");
    is(of("one")->{in_flight}, $held,
       "accounts: one that stays, with its slots");

    my %who;
    $who{log_of(exchange($port, session => "n$_"))->{account}}++ for 1 .. 8;
    is(join(",", sort keys %who), "one,three", "accounts: who serves now");

    # order and number change, and the names of what they were

    reload(conf(accounts => account("four", "api_key sk-ant-one-000001;")
                                    . account("three")
                                    . account("rest", "pool rest;")
                                    . account("one", "enabled off;")));

    is(exchange($port, session => "n1")->{status}, 200,
       "accounts: another order");

    pump(sub { !grep { !$_->{done} } @w }, 5);
    is(scalar(grep { $_->{clean} && deltas($_) == 40 } @w), 8,
       "accounts: no stream is cut");
    $_->close for @w;

    reload(conf());
    ok(until_true(sub {
        my @a = map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };
        return @a == 3 && !grep { $_->{in_flight} } @a;
    }, 3), "accounts: nothing is left");

    # a hundred generations of accounts do not fill the zone

    for my $n (1 .. 5) {
        reload(conf(accounts => join("", map { account("g$n-$_") }
                                             1 .. 100)
                                        . account("rest", "pool rest;")));
        is(exchange($port, session => "g$n")->{status}, 200,
           "accounts: 100 other ones, $n");
        sleep 0.1;
    }

    reload(conf());
}


# the zone changes

{
    my $w = wire($port, ask(stream => 1, do => "events=30,delay=40"));
    pump(sub { $w->{parts} }, 5);

    for my $zone ("relay:2m", "relay:512k", "other:1m", "relay:1m") {
        reload(conf(zone => $zone));

        is(exchange($port, text => $zone)->{status}, 200, "zone $zone: served");
        ok($nginx->health->{uptime} >= 0, "zone $zone: health");
    }

    pump(sub { $w->{done} }, 5);
    ok($w->{clean} && deltas($w) == 30, "changed zone: no stream is cut");
    $w->close;
    is(of("one")->{in_flight}, 0, "changed zone: no slot kept");
}


# reloads under load

{
    my ($done, $failed, $cut) = (0, 0, 0);
    my $reloads = asan() ? 5 : 10;
    my $next = time + 0.2;
    my $made = 0;
    my @w = map { wire($port, ask(text => "load$_")) } 1 .. 10;

    my $over;

    pump(sub {
        for my $w (@w) {
            next if !$w->{done} || $w->{over};

            if (($w->{status} // 0) == 200 && $w->{clean}) {
                $done++;

            } else {
                $failed++;
                diag("failed: " . ($w->{head} // "no answer")
                     . ($w->{reset} ? " reset" : "")
                     . ($w->{write_error} // ""));
            }

            $w->close;

            if ($over) {
                $w->{over} = 1;
                next;
            }

            $w = wire($port, ask(text => "load$done", stream => $done % 2,
                                 do => $done % 3 ? "delay=5" : "events=1"));
        }

        if (time > $next && $made < $reloads) {
            $nginx->signal("HUP");
            $made++;
            $next = time + 0.25;
        }

        $over = 1 if $made == $reloads && time > $next + 0.3;

        return $over && !grep { !$_->{over} } @w;
    }, 30);

    ok($done > 50, "N02 $reloads reloads under load: $done requests");
    is($failed, 0, "N02 $reloads reloads under load: none failed");
    ok(until_true(sub { (my @now = $nginx->workers) == 2 }, 5),
       "F207 $reloads reloads under load: the old workers leave");
}


# a worker that leaves finishes those who wait, too

{
    reload(conf(accounts => account("one", "max_concurrency 1;")
                                    . account("rest", "pool rest;")));
    sleep 0.2;

    my $holder = wire($port, ask(stream => 1, do => "events=20,delay=30"));
    pump(sub { $holder->{parts} }, 5);

    my @w = map { wire($port, ask(text => "waits $_")) } 1 .. 4;
    pause(0.1);

    reload();
    pump(sub { !grep { !$_->{done} } @w, $holder }, 5);

    is(scalar(grep { ($_->{status} // 0) == 200 } @w), 4,
       "F207 HUP: those who wait for a slot are served");
    $_->close for @w, $holder;
    reload(conf());
}


# a new binary, which nginx makes only as a daemon

$nginx->stop;
$nginx = ClaudeRelay::Nginx->new(conf(), workers => 2);
$nginx->write;
spew($nginx->file, slurp($nginx->file) =~ s/daemon off/daemon on/r);
is($nginx->run($nginx->dir . "/stderr"), 0, "nginx as a daemon");
push @ClaudeRelay::NGINXES, $nginx;
until_true(sub { $nginx->listens && -s $nginx->dir . "/nginx.pid" }, 10);

{
    my @w = map { wire($port, ask(stream => 1, do => "events=60,delay=40",
                                  text => "usr2 $_")) } 1 .. 6;
    pump(sub { !grep { !$_->{parts} } @w }, 5);

    my $old = $nginx->pid;

    $up->behave("sk-ant-rest-000001", "status=403");
    kill "USR2", $old;

    ok(until_true(sub {
        my $now = $nginx->pid // $old;
        return $now != $old && kill 0, $now;
    }, 10), "USR2: a new master");

    my $new = $nginx->pid;

    ok(until_true(sub { (my @now = $nginx->workers) == 2 }, 5),
       "USR2: with workers");
    kill "QUIT", $old;

    for (1 .. 5) {
        is(exchange($port, text => "new $_")->{status}, 200,
           "USR2 and QUIT: new requests $_");
        pause(0.05);
    }

    pump(sub { !grep { !$_->{done} } @w }, 10);

    is(scalar(grep { $_->{clean} && deltas($_) == 60 } @w), 6,
       "N02 USR2 and QUIT: no stream is cut");
    $_->close for @w;

    ok(until_true(sub { waitpid($old, 1) == $old || !kill 0, $old }, 5),
       "USR2 and QUIT: the old master leaves");
    is($nginx->pid, $new, "USR2 and QUIT: the new one stays");
}


# the end

{
    my @w = map { wire($port, ask(stream => 1, do => "events=20,delay=40",
                                  text => "quit $_")) } 1 .. 6;
    pump(sub { !grep { !$_->{parts} } @w }, 5);

    my $pid = $nginx->pid;

    kill "QUIT", $pid;
    pause(0.2);

    is(scalar(grep { $_->{done} } @w), 0, "F207 QUIT: streams go on");
    ok(!IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port),
       "F207 QUIT: no new ones");

    pump(sub { !grep { !$_->{done} } @w }, 5);
    is(scalar(grep { $_->{clean} && deltas($_) == 20 } @w), 6,
       "F207 QUIT: no stream is cut");
    $_->close for @w;

    ok(until_true(sub { waitpid($pid, 1) == $pid || !kill 0, $pid }, 5),
       "F207 QUIT: nginx leaves");
}


finish();


# the old workers take connections for a moment after the new ones are there

sub reload {
    my @old = $nginx->workers;

    $nginx->reload(@_);

    until_true(sub {
        my $log = $nginx->error_log;
        return !grep { $log !~ /\[notice\] $_#.*gracefully shutting down/ } @old;
    }, 5);
}


sub of {
    my ($name) = @_;

    my ($a) = grep { $_->{name} eq $name }
              map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    return $a;
}


sub log_of {
    my ($w) = @_;

    my $id = $w->{headers}{"x-request-id"} // "none";
    my $line;

    until_true(sub { ($line) = $nginx->access_log =~ /^(.*"\Q$id\E".*)$/m },
               2);

    return $line ? json($line) : {};
}
