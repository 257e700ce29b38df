#!/usr/bin/perl

# Sessions and who takes them: F131-F142, F144, F199, F208.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $serial = 0;

sub pool_of {
    my ($pool, $n, @more) = @_;

    return join "", map {
        account("$pool$_", "pool $pool; " . ($more[$_ - 1] // $more[0] // ""))
    } 1 .. $n;
}

my $http = <<"END";
claude_relay_zone relay:1m;
claude_relay_key alice { secret alice-secret-0001; }
claude_relay_key bob { secret bob-secret-000001; }
claude_relay_rest server=1 server_max=1;
@{[ pool_of("s", 8) ]}
@{[ pool_of("t", 8) ]}
@{[ pool_of("short", 8) ]}
@{[ pool_of("strict", 2) ]}
@{[ pool_of("slot", 2, "max_concurrency 1;") ]}
@{[ join "", map { pool_of("move$_", 2) } 0 .. 4 ]}
@{[ pool_of("ll", 3) ]}
@{[ pool_of("rr", 3) ]}
@{[ pool_of("lru", 3) ]}
@{[ pool_of("w", 2, "weight 3;", "weight 1;") ]}
@{[ pool_of("lw", 2, "weight 3;", "weight 1;") ]}
@{[ pool_of("sr", 3) ]}
@{[ pool_of("pr", 3, "priority 10;", "priority 30;", "priority 20;") ]}
@{[ pool_of("off", 2, "priority 200; enabled off;", "") ]}
@{[ pool_of("mc", 2, "max_concurrency 2; priority 200;", "max_concurrency 3;") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    claude_relay_retry_wait 0;
    claude_relay_policy round-robin;
    location = /health { claude_relay_health full=on; }
    location /s/ { claude_relay; claude_relay_pool s; }
    location /t/ { claude_relay; claude_relay_pool t; }
    location /nosession/ { claude_relay; claude_relay_pool s; claude_relay_sticky off; }
    location /short/ { claude_relay; claude_relay_pool short; claude_relay_sticky ttl=2s renew=1s; }
    location /fixed/ { claude_relay; claude_relay_pool short; claude_relay_sticky ttl=2s renew=1h; }
    location /strict/ { claude_relay; claude_relay_pool strict; claude_relay_sticky strict; }
    location /slot/ { claude_relay; claude_relay_pool slot; claude_relay_sticky wait=1s; }
    @{[ join "", map { "location /move$_/ { claude_relay; "
                       . "claude_relay_pool move$_; }\n" } 0 .. 4 ]}
    location /ll/ { claude_relay; claude_relay_pool ll; claude_relay_sticky off; claude_relay_policy least-load; }
    location /rr/ { claude_relay; claude_relay_pool rr; claude_relay_sticky off; }
    location /lru/ { claude_relay; claude_relay_pool lru; claude_relay_sticky off; claude_relay_policy least-recently-used; }
    location /w/ { claude_relay; claude_relay_pool w; claude_relay_sticky off; claude_relay_policy weighted; }
    location /lw/ { claude_relay; claude_relay_pool lw; claude_relay_sticky off; claude_relay_policy least-load; }
    location /sr/ { claude_relay; claude_relay_pool sr; claude_relay_sticky off; claude_relay_policy soonest-reset; }
    location /sall/ { claude_relay; claude_relay_pool sr; claude_relay_sticky off; }
    location /pr/ { claude_relay; claude_relay_pool pr; claude_relay_sticky off; }
    location /off/ { claude_relay; claude_relay_pool off; }
    location /mc/ { claude_relay; claude_relay_pool mc; claude_relay_sticky off wait=3s; claude_relay_policy least-load; }
}
END

# "off" stands alone

$http =~ s/sticky off wait=3s/sticky off/;

my $nginx = nginx($http, workers => 2);
my $port = port();


# where a session is told, in the order of the ladder

my $uuid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
my $hex = "a" x 64;

my @ladder = (
    ["X-Claude-Code-Session-Id",
     sub { (headers => ["X-Claude-Code-Session-Id: $_[0]"]) }],
    ["metadata.user_id, JSON form",
     sub { (user_id => qq({\\"device_id\\":\\"$hex\\",\\"account_uuid\\":)
                       . qq(\\"\\",\\"session_id\\":\\"$_[0]\\"})) }],
    ["metadata.user_id, old form",
     sub { (user_id => "user_${hex}_account__session_$_[0]") }],
    (map { my $h = $_; ["header $h", sub { (headers => ["$h: $_[0]"]) }] }
     qw/ Session-Id session_id X-Session-ID x-claude-session-id
         X-Session-Affinity conversation_id X-Conversation-Id /),
    (map { my $f = $_; ["body $f", sub { (extra => qq("$f":"$_[0]")) }] }
     qw/ session_id sessionId prompt_cache_key conversation
         conversation_id /),
    ["whole metadata.user_id", sub { (user_id => "me-$_[0]") }],
    ["blocks with cache_control", sub {
        (body => encode({ model => "claude-sonnet-4-6", max_tokens => 9,
            system => [{ type => "text", text => "system $_[0]",
                         cache_control => { type => "ephemeral" } },
                       { type => "text", text => "today " . ++$serial }],
            messages => [{ role => "user", content => "x" },
                         { role => "assistant", content => "y$serial" },
                         { role => "user", content => "z$serial" }] }))
     }],
    ["system", sub {
        (body => encode({ model => "claude-sonnet-4-6", max_tokens => 9,
            system => "system $_[0]",
            messages => [{ role => "user", content => "same" }] }))
     }],
    ["first user message", sub {
        (body => encode({ model => "claude-sonnet-4-6", max_tokens => 9,
            messages => [{ role => "user", content => "first $_[0]" },
                         $serial++ % 2
                         ? ({ role => "assistant", content => "a$serial" },
                            { role => "user", content => "b$serial" }) : ()] }))
     }],
);

for (@ladder) {
    my ($name, $with) = @$_;

    my (%who, @sticky);

    for my $session ("A$serial-$name", "B$serial-$name", "C$serial-$name") {
        for my $n (1 .. 4) {
            my ($account, $log) = who("/s/", text => "text " . ++$serial,
                                      $with->($session));
            $who{$session}{$account}++;
            push @sticky, $log->{sticky};
        }
    }

    is_deeply([map { scalar keys %$_ } values %who], [1, 1, 1],
              "F134 F136 $name: each session on one account");
    is(join(",", @sticky), join(",", ("miss", "hit", "hit", "hit") x 3),
       "F134 $name: miss, then hits");

    my %accounts = map { %$_ } values %who;

    is(scalar keys %accounts, 3, "F140 $name: others elsewhere");
}

# what stands higher in the ladder wins

for my $n (0 .. 3) {
    my ($high, $low) = @ladder[$n == 0 ? 0 : $n == 1 ? 1 : $n == 2 ? 2 : 3,
                               $n == 0 ? 1 : $n == 1 ? 3 : $n == 2 ? 4 : 10];
    my %seen;

    for my $x (1 .. 5) {
        my %h = $high->[1]->("win$n");
        my %l = $low->[1]->("lose$n-$x");
        my @headers = (@{ $h{headers} // [] }, @{ $l{headers} // [] });

        my ($account) = who("/s/", %l, %h, headers => \@headers,
                            text => ++$serial);
        $seen{$account}++;
    }

    is(scalar keys %seen, 1, "F138 $high->[0] before $low->[0]");
}

{
    my %log;

    for my $key ("alice-secret-0001", "bob-secret-000001") {
        for my $path ("/s/", "/t/") {
            my (undef, $log) = who($path, session => $uuid, key => $key);
            is($log->{sticky}, "miss", "F140 namespace $path $log->{key}");
            $log{$log->{session}}++;
        }
    }

    is(scalar keys %log, 4, "F140 the same session of two keys and pools is "
       . "four sessions");
    unlike($nginx->access_log, qr/\Q$uuid\E/, "F140 it is not in the log");

    my (undef, $log) = who("/nosession/", session => $uuid);
    is($log->{sticky}, "", "sticky off: no session");
    is($log->{session}, "", "sticky off: nothing in the log");
}


# time to live, renewal

{
    my ($first) = who("/short/", session => "ttl");
    my ($fixed) = who("/fixed/", session => "ttl2");
    my (@short, @fixed);

    for (1 .. 3) {
        pause(1.1);
        push @short, (who("/short/", session => "ttl"))[1]{sticky};
        push @fixed, (who("/fixed/", session => "ttl2"))[1]{sticky};
    }

    is(join(",", @short), "hit,hit,hit", "F135 a session in use is renewed");
    is(join(",", @fixed), "hit,miss,hit", "F135 but not before renew=");

    pause(2.1);
    is((who("/short/", session => "ttl"))[1]{sticky}, "miss",
       "F134 a session ends after its ttl");
}


# an account that cannot: moved, and why; strict: not moved

my $n = 0;

for (["status=529", "overloaded"], ["status=403", "forbidden"],
     ["unified=5h", "limited"], ["status=500", "server"])
{
    my ($do, $why) = @$_;

    my $pool = "move" . ++$n;
    my $session = "move-$why";
    my ($at) = who("/$pool/", session => $session);
    my $other = $pool . ($at eq "${pool}1" ? 2 : 1);

    $up->behave("sk-ant-$at-000001", "$do,times=1");

    my ($now, $log) = who("/$pool/", session => $session);

    is($now, $other, "F141 $why: another one takes the session");
    is($log->{sticky}, "moved:$why", "F141 $why: moved, and why");
    ($now, $log) = who("/$pool/", session => $session);
    is("$now $log->{sticky}", "$other hit", "F141 $why: and stays there");
}

{
    my ($at) = who("/move0/", session => "later");
    my ($other) = $at eq "move01" ? "move02" : "move01";

    # another session brings it to rest

    $up->behave("sk-ant-$at-000001", "status=403,times=1");
    for (1 .. 4) {
        my ($who, $log) = who("/move0/", session => "x$_");
        last if $log->{attempts} =~ /403/;
    }

    my ($now, $log) = who("/move0/", session => "later");

    is($now, $other, "F141 at rest: another one takes the session");
    is($log->{sticky}, "moved:forbidden", "F141 at rest: moved, and why");
}

{
    my ($at) = who("/strict/", session => "bound");

    $up->behave("sk-ant-$at-000001", "status=403,times=1");
    exchange($port, path => "/strict/v1/messages", session => "bound");
    $up->since;

    my $r = $nginx->post("/strict/v1/messages", message(),
                         "X-Claude-Code-Session-Id: bound");

    is_error($r, 403, "permission_error", "F142 strict: 403",
             qr/session_binding_error/);
    is(scalar(my @none = $up->since), 0, "F142 strict: nobody is asked");

    is(exchange($port, path => "/strict/v1/messages",
                session => "fresh")->{status}, 200,
       "F142 strict: a new session is served");
}


# a wait for the own account's slot

{
    my ($at) = who("/slot/", session => "waits");
    my $w = wire($port, ask(path => "/slot/v1/messages", session => "waits",
                            do => "first=400"));
    pause(0.1);

    my $began = time;
    my ($now, $log) = who("/slot/", session => "waits");
    my $took = time - $began;

    is($now, $at, "a slot within wait=: the same account");
    is($log->{sticky}, "hit", "a slot within wait=: a hit");
    ok($took > 0.15 && $took < 0.6 + (asan() ? 0.3 : 0),
       "a slot within wait=: taken when it is free, $took");
    pump(sub { $w->{done} }, 3);
    $w->close;

    $w = wire($port, ask(path => "/slot/v1/messages", session => "waits",
                         do => "first=3000"));
    pause(0.1);
    $began = time;
    ($now, $log) = who("/slot/", session => "waits");
    $took = time - $began;

    isnt($now, $at, "no slot within wait=: another account");
    is($log->{sticky}, "moved:throttled", "no slot within wait=: moved, why");
    ok($took > 0.9 && $took < 1.4, "no slot within wait=: after it, $took");
    $w->close;
}


# policies

{
    my @order = map { (who("/rr/"))[0] } 1 .. 9;
    is(join(",", @order), join(",", ("rr1", "rr2", "rr3") x 3),
       "F133 round-robin: in the order of accounts");

    my %n;
    $n{(who("/lru/"))[0]}++ for 1 .. 12;
    is_deeply(\%n, { lru1 => 4, lru2 => 4, lru3 => 4 },
              "F132 least-recently-used: each as often");

    %n = ();
    $n{(who("/w/"))[0]}++ for 1 .. 200;
    ok($n{w1} > 120 && $n{w1} < 178, "weighted: 3 to 1, $n{w1} of 200");

    # six at once over three

    my @w = map { wire($port, ask(path => "/ll/v1/messages",
                                  do => "first=300")) } 1 .. 6;
    pause(0.15);
    is(join(",", map { of("ll$_")->{in_flight} } 1 .. 3), "2,2,2",
       "least-load: spread");
    pump(sub { !grep { !$_->{done} } @w }, 5);
    $_->close for @w;

    @w = map { wire($port, ask(path => "/lw/v1/messages",
                               do => "first=300")) } 1 .. 8;
    pause(0.15);
    is(join(",", map { of("lw$_")->{in_flight} } 1, 2), "6,2",
       "least-load: by weight");
    pump(sub { !grep { !$_->{done} } @w }, 5);
    $_->close for @w;

    # the window that ends first is used first

    my $A = "anthropic-ratelimit-unified-";
    my %reset = (sr1 => 5000, sr2 => 900, sr3 => 3000);

    $up->behave("sk-ant-$_-000001", "nowindow,extra-header=${A}5h-status:"
                . "allowed,extra-header=${A}5h-reset:" . int(time + $reset{$_}))
        for keys %reset;
    who("/sall/") for 1 .. 3;

    my @first = map { (who("/sr/"))[0] } 1 .. 4;
    is(join(",", @first), "sr2,sr2,sr2,sr2",
       "F143 soonest-reset: the window that ends first");

    is((who("/pr/"))[0], "pr2", "F131 priority: the highest") for 1 .. 3;
    $up->behave("sk-ant-pr2-000001", "status=403");
    who("/pr/");
    is((who("/pr/"))[0], "pr3", "F131 priority: then the next");
    is((who("/off/"))[0], "off2", "enabled off: never") for 1 .. 2;
    is(of("off1")->{state}, "disabled", "enabled off: in health");
}


# max_concurrency is exact, over all workers

{
    my @w = map { wire($port, ask(path => "/mc/v1/messages", text => "mc$_",
                                  do => "first=250")) } 1 .. 25;
    my (%most, $waited);

    pump(sub {
        my %n;
        my $health = $nginx->health;

        for (map { @{ $_->{accounts} } } @{ $health->{pools} }) {
            $most{$_->{name}} = $_->{in_flight}
                if $_->{in_flight} > ($most{$_->{name}} // 0);
        }

        $waited = $health->{waiting} if $health->{waiting} > ($waited // 0);

        # the sandbox's own count

        for (@{ $up->control("GET", "/sandbox/last?n=60") }) {
            $n{$_->{credential}}++ if !$_->{done};
        }

        for (keys %n) {
            $most{$_} = $n{$_} if $n{$_} > ($most{$_} // 0);
        }

        return !grep { !$_->{done} } @w;
    }, 10);

    is(scalar(grep { $_->{status} == 200 } @w), 25, "F208 max_concurrency: all "
       . "are served");
    is($most{mc1}, 2, "F208 max_concurrency 2: never more, and used");
    is($most{mc2}, 3, "F208 max_concurrency 3: never more, and used");
    is($most{"sk-ant-mc1-000001"}, 2, "F208 max_concurrency 2: at the sandbox");
    is($most{"sk-ant-mc2-000001"}, 3, "F208 max_concurrency 3: at the sandbox");
    ok($waited >= 10, "F208 max_concurrency: $waited waited");
    is($nginx->health->{waiting}, 0, "F208 max_concurrency: nobody waits now");
    ok(until_true(sub { of("mc1")->{in_flight} + of("mc2")->{in_flight} == 0 },
                  1), "F208 max_concurrency: no slot kept");
    $_->close for @w;
}


# a session outlives a reload

{
    my %at = map { $_ => (who("/s/", session => "reload$_"))[0] } 1 .. 6;

    $nginx->reload;
    $nginx->reload;

    my @after = map { [who("/s/", session => "reload$_")] } 1 .. 6;

    is(join(",", map { $_->[0] } @after), join(",", @at{1 .. 6}),
       "sessions survive reloads");
    is(join(",", map { $_->[1]{sticky} } @after), join(",", ("hit") x 6),
       "as hits");
}


# the smallest zone, thousands of sessions: the oldest are forgotten

$nginx->stop;
$nginx = nginx(<<"END", workers => 2);
claude_relay_zone relay:256k;
claude_relay_key alice { secret alice-secret-0001; }
@{[ pool_of("z", 4) ]}
server {
    listen 127.0.0.1:%%PORT%%;
    claude_relay_pool z;
    location = /health { claude_relay_health full=on; }
    location / { claude_relay; }
}
END

{
    my $n = asan() ? 2000 : 4000;
    my ($done, $failed, $next) = (0, 0, 0);
    my @w;

    # 16 connections, each with one request after the other

    push @w, wire($port, ask(session => "lru" . $next++, text => "x"))
        for 1 .. 16;

    my $started = time;

    pump(sub {
        for my $w (@w) {
            next if !$w->{done};
            next if $w->{over};

            $done++;
            $failed++ if ($w->{status} // 0) != 200;

            if ($next >= $n) {
                $w->{over} = 1;
                next;
            }

            my $request = ask(session => "lru" . $next++, text => "x");

            if (!$w->{eof}) {
                $w->again($request);

            } else {
                $w->close;
                $w = wire($port, $request);
            }
        }

        return $done >= $n;
    }, 60);

    is($done, $n, "F199 $n sessions in 256k: all requests");
    is($failed, 0, "F199 $n sessions in 256k: no failures");

    my $sessions = $nginx->health->{sessions};

    ok($sessions > 50 && $sessions < $n, "F199 $sessions of $n are kept");
    is((who("/", session => "lru" . ($n - 1)))[1]{sticky}, "hit",
       "F199 the newest is known");
    is((who("/", session => "lru0"))[1]{sticky}, "miss",
       "F199 the oldest is forgotten");
    unlike($nginx->error_log, qr/no memory/, "F199 without a word");
    $_->close for @w;
}


finish();


# who served it, and the log line

sub who {
    my ($path, %o) = @_;

    $path =~ s{/$}{/v1/messages};

    my $w = exchange($port, path => $path, %o);
    my $id = $w->{headers}{"x-request-id"} // "none";
    my $line;

    until_true(sub { ($line) = $nginx->access_log =~ /^(.*"\Q$id\E".*)$/m },
               2);

    my $log = $line ? json($line) : {};

    return ($log->{account}, $log);
}


sub of {
    my ($name) = @_;

    my ($a) = grep { $_->{name} eq $name }
              map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    return $a;
}
