#!/usr/bin/perl

# The feed of events: what is told, to whom it goes on after a break, what is
# missing, and that listeners hold up nobody.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire qw/ until_true /;
use IO::Select;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();

sub http {
    my ($zone) = @_;

    return <<"END";
claude_relay_zone relay:$zone;
claude_relay_store store/relay.db secret=relay.key;
claude_relay_oauth claude-oauth token_url=%%UP%%/v1/oauth/token;
claude_relay_usage_poll off;
claude_relay_alerts interval=500ms hold=1s calm=1s;
claude_relay_control unix:control.sock;
claude_relay_user anna { }
claude_relay_key alice { secret $ClaudeRelay::KEY; user anna; }
@{[ account("one", "priority 200;") ]}
@{[ account("two") ]}
@{[ login_account("logged", more => "pool other;",
                  expires_in => 3600) ]}
server {
    listen 127.0.0.1:%%PORT%%;
    location = /health { claude_relay_health full=on; }
    location / { claude_relay; claude_relay_retry_wait 0; }
}
END
}

my $nginx = nginx(http("16m"), workers => 2, level => "notice",
                  allow => [qr/exited on signal 9/]);


# a listener: what it has read, by events

sub listen_to {
    my ($query, @headers) = @_;

    my $s = IO::Socket::UNIX->new(Peer => "$nginx->{dir}/control.sock")
        or die "control.sock: $!\n";

    print $s join("\r\n", "GET /v1/events$query HTTP/1.1", "Host: x",
                  @headers, "", "");
    $s->flush;

    my $l = { socket => $s, in => "", head => undef };

    hear($l, sub { defined $l->{head} }, 5);

    return $l;
}


# reads until the condition holds

sub hear {
    my ($l, $until, $seconds) = @_;

    my $end = time + ($seconds // 5);
    my $select = IO::Select->new($l->{socket});

    while (1) {
        return 1 if $until && $until->();
        return 0 if time > $end || $l->{eof};

        if ($select->can_read(0.05)) {
            my $n = sysread $l->{socket}, $l->{in}, 65536, length $l->{in};

            $l->{eof} = 1 if !$n;
        }

        if (!defined $l->{head} && $l->{in} =~ s/^(.*?\r\n\r\n)//s) {
            $l->{head} = $1;
        }
    }
}


# freed of chunks; comments are left out

sub heard {
    my ($l) = @_;

    my ($body, $rest) = ("", $l->{in});

    while ($rest =~ s/^([0-9a-f]+)\r\n//i) {
        my $n = hex $1;

        $l->{clean} = 1 if $n == 0;
        last if length $rest < $n + 2;

        $body .= substr $rest, 0, $n;
        substr $rest, 0, $n + 2, "";
    }

    $l->{body} = $body;

    my @events;

    for (split /\n\n/, $body) {
        my %e;

        for (split /\n/) {
            $e{$1} = $2 if /^(\w+): (.*)$/;
        }

        next if !defined $e{event};

        $e{json} = eval { json($e{data}) };
        push @events, \%e;
    }

    return @events;
}

sub of_type {
    my ($l, $type) = @_;

    return grep { $_->{event} eq $type } heard($l);
}

sub say_something { return $nginx->post("/v1/messages", message(@_)) }


# ---- the form

my $l = listen_to("");

like($l->{head}, qr/^HTTP\/1.1 200/, "events: 200");
like($l->{head}, qr/content-type: text\/event-stream/i, "events: type");
like($l->{head}, qr/cache-control: no-store/i, "events: not to be cached");
like($l->{head}, qr/x-accel-buffering: no/i, "events: not to be buffered");

is($nginx->control("HEAD", "/v1/events")->status, 200, "events: HEAD");
is($nginx->control("POST", "/v1/events")->status, 405, "events: POST");

for ("?types=nothing", "?types=", "?types=request,", "?nonsense=1", "?types") {
    is($nginx->control("GET", "/v1/events$_")->status, 400,
       "events: $_ is refused");
}


# ---- requests

my $r = say_something();

ok(hear($l, sub { of_type($l, "request") >= 1 }), "request: an event");

my ($e) = of_type($l, "request");

like($l->{body}, qr/^retry: \d+\nid: \d+\.\d+\n\n/, "events: where it begins");
like($e->{id}, qr/^\d+\.\d+$/, "request: the event's id");
is($e->{json}{id}, $r->header("x-request-id"), "request: which");
is($e->{json}{status}, 200, "request: status");
is($e->{json}{class}, "ok", "request: class");
is($e->{json}{op}, "messages", "request: op");
is($e->{json}{key}, "alice", "request: key");
is($e->{json}{user}, "anna", "request: user");
is($e->{json}{account}, "one", "request: account");
is($e->{json}{model}, "claude-sonnet-4-6", "request: model");
is($e->{json}{stream}, JSON::PP::false(), "request: no stream");
is($e->{json}{attempts}, 1, "request: attempts");
is($e->{json}{input}, 12, "request: input");
is($e->{json}{cache_read}, 2048, "request: cache");
cmp_ok($e->{json}{cost_micros}, ">", 0, "request: cost");
like($e->{json}{time}, qr/^\d{4}-/, "request: time");

# names as clients like them

say_something(model => "a\"\x{7f}\\\n" x 30);
ok(hear($l, sub { of_type($l, "request") >= 2 }), "request: an odd model");
ok((of_type($l, "request"))[1]{json}, "request: is JSON nevertheless");


# ---- accounts

$up->behave("sk-ant-one-000001", "unified=5h:1800");
say_something();
$up->behave("sk-ant-one-000001", "");

ok(hear($l, sub { of_type($l, "account") >= 1 }), "account: an event");

($e) = of_type($l, "account");

is($e->{json}{account}, "one", "account: which");
is($e->{json}{platform}, "anthropic", "account: platform");
is($e->{json}{state}, "resting", "account: it rests");
is($e->{json}{why}, "limited", "account: why");
like($e->{json}{until}, qr/^\d{4}-/, "account: until");

is($nginx->control("POST", "/v1/accounts/one/reset")->status, 200,
   "account: reset");
ok(hear($l, sub { of_type($l, "account") >= 2 }), "account: another event");
is((of_type($l, "account"))[1]{json}{state}, "ok", "account: it is back");

is($nginx->control("POST", "/v1/accounts/logged/refresh")->status, 200,
   "account: a refresh");
ok(hear($l, sub { of_type($l, "account") >= 3 }), "account: tokens");
is((of_type($l, "account"))[2]{json}{state}, "refreshed", "account: new ones");
is((of_type($l, "account"))[2]{json}{account}, "logged", "account: whose");

$nginx->control("POST", "/v1/accounts", { name => "made", api_key => "sk-x",
                                          platform => "anthropic",
                                          pool => "other" });
ok(hear($l, sub { of_type($l, "account") >= 4 }), "account: one more");
$nginx->control("PATCH", "/v1/accounts/made", { enabled => JSON::PP::false() });
ok(hear($l, sub { of_type($l, "account") >= 5 }), "account: is disabled");
is((of_type($l, "account"))[4]{json}{state}, "disabled", "account: so it says");

hear($l, undef, 1.5);
is(scalar(of_type($l, "account")), 5, "account: each change once");
unlike($l->{in}, qr/sk-ant|secret/, "events: no secrets");


# ---- changes, and alerts

{
    my @acts = of_type($l, "action");
    my ($patch) = grep { $_->{json}{method} eq "PATCH" } @acts;

    is($patch->{json}{path}, "/v1/accounts/made", "action: what");
    is($patch->{json}{status}, 200, "action: how it ended");
    is($patch->{json}{role}, "admin", "action: role");
    like($patch->{json}{who}, qr/^user \d+$/, "action: who");
    like($patch->{json}{time}, qr/^\d{4}-/, "action: when");

    $nginx->control("POST", "/v1/accounts", { name => "../x" });
    ok(hear($l, sub { grep { $_->{json}{status} == 400 }
                           of_type($l, "action") }),
       "action: what was refused, too");

    # everybody of the pool "other" is gone

    $nginx->control("PATCH", "/v1/accounts/logged",
                    { enabled => JSON::PP::false() });
    $up->behave("sk-ant-$_-000001", "status=401") for qw/ one two /;
    say_something();
    $up->behave("sk-ant-$_-000001", "") for qw/ one two /;

    ok(hear($l, sub { of_type($l, "alert") >= 1 }, 60), "alert: an event");

    my ($alert) = of_type($l, "alert");

    is($alert->{json}{state}, "firing", "alert: state");
    like($alert->{json}{$_}, qr/./, "alert: $_")
        for qw/ type level subject title /;

    $nginx->control("POST", "/v1/accounts/$_/reset") for qw/ one two /;

    hear($l, sub { of_type($l, "alert") >= 2 }, 20);
}


# ---- only what is asked for; two workers tell the same

my @two = map { listen_to("?types=request") } 1 .. 4;

say_something() for 1 .. 6;
$up->behave("sk-ant-one-000001", "unified=5h:1800");
say_something();
$up->behave("sk-ant-one-000001", "");
$nginx->control("POST", "/v1/accounts/one/reset");

for my $i (0 .. 3) {
    ok(hear($two[$i], sub { of_type($two[$i], "request") >= 7 }),
       "types: listener $i has all");
    is(scalar(grep { $_->{event} ne "request" } heard($two[$i])), 0,
       "types: and nothing else");
}

is(join(" ", map { $_->{id} } heard($two[0])),
   join(" ", map { $_->{id} } heard($two[3])), "types: by the same ids");

close $_->{socket} for @two;


# ---- on where it was

{
    my @have = heard($l);
    my $from = $have[-3]{id};

    my $m = listen_to("", "Last-Event-ID: $from");

    ok(hear($m, sub { heard($m) >= 2 }), "resume: what came since then");
    is(join(" ", map { $_->{id} } (heard($m))[0, 1]),
       join(" ", map { $_->{id} } @have[-2, -1]), "resume: exactly that");
    is(scalar(of_type($m, "gap")), 0, "resume: nothing is missing");
    close $m->{socket};

    # too long ago, of another zone, or nothing of the kind

    my ($born) = $from =~ /^(\d+)/;

    for ("$born.0", "1.5", "$born.999999999") {
        $m = listen_to("", "Last-Event-ID: $_");
        ok(hear($m, sub { of_type($m, "gap") >= 1 }), "resume: $_: a gap");
        close $m->{socket};
    }

    for ("x", "1", ".", "$born.-1", "") {
        $m = listen_to("", "Last-Event-ID: $_");
        hear($m, undef, 0.4);
        is(scalar(heard($m)), 0, "resume: \"$_\" is none");
        close $m->{socket};
    }
}


# ---- more than the ring has, while nothing is read

{
    my $slow = listen_to("?types=request");
    my ($start) = $slow->{in} =~ /id: (\S+)/;

    # 16m: 682 events

    for (1 .. 8) {
        my @c = map { $nginx->connect } 1 .. 10;

        for my $c (@c) {
            $c->request("POST", "/v1/messages", body => message())
              ->response for 1 .. 10;
        }

        $_->close for @c;
    }

    my $m = listen_to("?types=request", "Last-Event-ID: $start");

    ok(hear($m, sub { of_type($m, "request") >= 680 }, 20),
       "ring: what there is");

    my ($gap) = of_type($m, "gap");

    cmp_ok($gap->{json}{missed}, ">=", 100, "ring: and how many are missing");
    close $m->{socket};

    # one that listened had all of them

    ok(hear($slow, sub { of_type($slow, "request") >= 800 }, 20),
       "ring: a listener has each");
    is(scalar(of_type($slow, "gap")), 0, "ring: without a gap");
    close $slow->{socket};
}


# ---- nobody listens: nothing is written, and it is told

{
    my @have = heard($l);
    my $last = $have[-1]{id};

    hear($l, undef, 0.5);
    $last = (heard($l))[-1]{id};
    close $l->{socket};
    sleep 3.5;

    say_something();

    my $m = listen_to("", "Last-Event-ID: $last");

    ok(hear($m, sub { of_type($m, "gap") >= 1 }), "pause: a gap");
    is((of_type($m, "gap"))[0]{json}{missed}, undef,
       "pause: nobody knows of what");
    say_something();
    ok(hear($m, sub { of_type($m, "request") >= 1 }), "pause: and on");
    close $m->{socket};
}


# ---- a worker is killed with its listeners

for my $round (1 .. 3) {
    my @l = map { listen_to("?types=request") } 1 .. 4;

    my $dead = ($nginx->workers)[$round % 2];

    # it is listed until its master knows

    kill "KILL", $dead;
    until_true(sub {
        my @now = $nginx->workers;
        return @now == 2 && !grep { $_ == $dead } @now;
    }, 20);

    my $m = listen_to("?types=request");

    say_something() for 1 .. 3;
    ok(hear($m, sub { of_type($m, "request") >= 3 }), "kill $round: goes on");
    close $_->{socket} for @l, $m;
}


# ---- a reload is not held up

{
    my @l = map { listen_to("") } 1 .. 4;
    my @old = $nginx->workers;

    $nginx->signal("HUP");

    my $start = time;

    ok(until_true(sub { !grep { kill 0, $_ } @old }, 10),
       "reload: the old workers leave");
    cmp_ok(time - $start, "<", 8, "reload: soon");

    for my $m (@l) {
        hear($m, sub { $m->{eof} || (heard($m), $m->{clean})[-1] }, 5);
        heard($m);
        ok($m->{clean}, "reload: with a clean end");
        close $m->{socket};
    }
}


# ---- not more listeners than a worker has room for

{
    my @l;
    my $refused = 0;

    for (1 .. 140) {
        my $m = listen_to("?types=alert");

        $refused++ if $m->{head} =~ /^HTTP\/1.1 503/;
        push @l, $m;
    }

    cmp_ok($refused, ">=", 140 - 128, "listeners: there is a bound: $refused");
    is(say_something()->status, 200, "listeners: requests go on");
    close $_->{socket} for @l;
}

$nginx->stop;


# ---- a small zone

{
    $nginx = nginx(http("256k"), workers => 1);

    my $m = listen_to("");

    like($m->{head}, qr/^HTTP\/1.1 200/, "256k: there is room for a feed");
    say_something() for 1 .. 5;
    ok(hear($m, sub { of_type($m, "request") >= 5 }), "256k: events");
    close $m->{socket};
}


finish();
