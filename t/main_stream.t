#!/usr/bin/perl

# Streams: each event as it was sent and when it was sent, usage, breaks that
# do not look like an end, silence, clients that are slow or leave.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use IO::Socket::INET;
use IO::Uncompress::Gunzip qw/ gunzip /;
use Socket qw/ SOL_SOCKET SO_LINGER /;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $slack = asan() ? 0.25 : 0.1;
my $up = sandbox();
my $own = port(9);

my %golden = map { m{/([^/]+)\.sse$}; ($1 => slurp($_)) }
             glob(root() . "/t/golden/anthropic/*.sse");

my $start = event("message_start", qq({"type":"message_start","message":{)
    . qq("id":"msg_own","type":"message","role":"assistant","model":"m",)
    . qq("content":[],"usage":{"input_tokens":3,"output_tokens":1}}}))
    . event("content_block_start", qq({"type":"content_block_start","index":0,)
    . qq("content_block":{"type":"text","text":""}}));
my $stop = event("content_block_stop",
                 qq({"type":"content_block_stop","index":0}))
    . event("message_delta", qq({"type":"message_delta","delta":{)
    . qq("stop_reason":"end_turn"},"usage":{"output_tokens":9}}))
    . event("message_stop", qq({"type":"message_stop"}));
my $half = qq(event: content_block_delta\ndata: {"type":"content_block_delta",);
my $rest = qq("index":0,"delta":{"type":"text_delta","text":"x"}}\n\n);

my $mb = 100;

upstream($own, sub {
    my ($s, $request) = @_;

    my ($how, $what) = $request =~ m{^POST /([\w-]+)/(\w+)/v1/};

    my $head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    my $chunk = sub { syswrite $s, sprintf "%x\r\n%s\r\n", length $_[0], $_[0] };

    if ($how eq "golden" || $how eq "pieces") {
        syswrite $s, "${head}Transfer-Encoding: chunked\r\n\r\n";

        my $size = $how eq "pieces" ? 7 : 1 << 20;

        $chunk->($_) for unpack "(a$size)*", $golden{$what};
        syswrite $s, "0\r\n\r\n";
        return 1;
    }

    if ($how eq "untilclose") {
        syswrite $s, "${head}Connection: close\r\n\r\n$golden{$what}";
        return 0;
    }

    if ($how eq "huge") {
        syswrite $s, "${head}Transfer-Encoding: chunked\r\n\r\n";
        $chunk->($start . $half . qq("index":0,"delta":{"text":"));

        my $piece = "y" x (1 << 20);
        my $data = sprintf "%x\r\n%s\r\n", length $piece, $piece;

        for (1 .. $mb) {
            my $at = 0;
            $at += syswrite($s, $data, length($data) - $at, $at) // return 0
                while $at < length $data;
        }

        $chunk->(qq("}}\n\n$stop));
        syswrite $s, "0\r\n\r\n";
        return 1;
    }

    # "half": an event that does not end; "pause": it ends much later

    syswrite $s, "${head}Transfer-Encoding: chunked\r\n\r\n";
    $chunk->($start . $half);

    if ($how eq "pause") {
        sleep 0.5;
        $chunk->($rest);
        sleep 0.35;
        $chunk->($stop);
        syswrite $s, "0\r\n\r\n";
        return 1;
    }

    sleep 0.05;

    if ($what eq "badchunk") {
        $chunk->($rest);
        sleep 0.05;
        syswrite $s, "zzz\r\n";
        sleep 0.05;

    } elsif ($what eq "rst") {
        setsockopt $s, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0);

    } elsif ($what eq "end") {
        syswrite $s, "0\r\n\r\n";
        sleep 0.05;

    } elsif ($what eq "stall") {
        sleep 2;
    }

    return 0;
});


my %at = (
    (map { ("golden-$_" => "golden/$_", "pieces-$_" => "pieces/$_",
            "untilclose-$_" => "untilclose/$_") } keys %golden),
    huge => "huge/x", pause => "pause/x",
    (map { ("half-$_" => "half/$_") } qw/ fin rst end stall badchunk /),
);

my $accounts = join "", map {
    account($_, "pool $_; base_url http://127.0.0.1:$own/$at{$_};")
} sort keys %at;

my $locations = join "", map {
    "location /$_/ { claude_relay; claude_relay_pool $_; }\n"
} sort keys %at;

$locations =~ s{(pause/ \{)}{$1 claude_relay_heartbeat 100ms;};
$locations =~ s{(half-stall/ \{)}{$1 claude_relay_idle_timeout 300ms;};

my $nginx = nginx(<<"END");
claude_relay_zone relay:4m;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
claude_relay_rest server=100ms server_max=100ms;
@{[ account("one") ]}
@{[ account("slot", "pool slot; max_concurrency 1;") ]}
@{[ account("first", "pool first; priority 200;")
    . account("second", "pool first;") ]}
@{[ account("throttled", "pool throttled;") ]}
@{[ account("connecting", "pool connecting; base_url https://127.0.0.1:"
            . $up->port . ";") ]}
$accounts
server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT1%% http2;
    claude_relay_sticky off;
    claude_relay_retry_wait 0;
    location / { claude_relay; }
    location /beat/ { claude_relay; claude_relay_heartbeat 100ms; }
    location /idle/ { claude_relay; claude_relay_idle_timeout 700ms; }
    location /slot/ { claude_relay; claude_relay_pool slot; }
    location /first/ {
        claude_relay;
        claude_relay_pool first;
        claude_relay_first_byte_timeout 300ms;
    }
    location /throttled/ {
        claude_relay;
        claude_relay_pool throttled;
        claude_relay_retry_wait 5s;
    }
    location /connecting/ { claude_relay; claude_relay_pool connecting; }
    location = /health { claude_relay_health full=on; }
    $locations
}
END

my $port = port();


# when and what

{
    my @w = map { wire($_->[0], ask(stream => 1, key => $_->[1],
                                    do => "events=20,delay=40")) }
            [$up->port, "direct"], [$port, $ClaudeRelay::KEY];

    pump(sub { $w[0]{done} && $w[1]{done} }, 10);

    my ($direct, $relayed) = map { [deltas($_)] } @w;

    is($w[1]{status}, 200, "events: status");
    is(same($w[1]), same($w[0]), "events: the very bytes");
    ok($w[1]{clean}, "events: a clean end");
    is($w[1]{headers}{"x-accel-buffering"}, "no", "events: no buffering");

    my ($late, $batched) = (0, 0);

    for my $n (0 .. $#$direct) {
        my $d = abs(($relayed->[$n][0] - $w[1]{started})
                    - ($direct->[$n][0] - $w[0]{started}));

        $late = $d if $d > $late;
        $batched++ if $n && $relayed->[$n][0] - $relayed->[$n - 1][0] < 0.01;
    }

    cmp_ok($late, "<", $slack, "events: each when it was sent");
    is($batched, 0, "events: none waits for another");

    my $log = done_log("one");

    ok($log->{ttft} < 0.1 + $slack, "ttft is that of the first event");
    is($log->{stream}, 1, "it is a stream");
}


# all that the sandbox can say, as it said it, and usage

my @shapes = (
    ["default", "", [12, 5, 2048, 300]],
    ["thinking", "thinking", [12, undef, 2048, 300]],
    ["numbers", "input=7,output=9,cache-read=11,cache-5m=13,cache-1h=17",
     [7, 9, 11, 30]],
    ["zero", "usage-zero", [0, 0, 0, 0]],
    ["no usage", "no-usage", ["", "", "", ""]],
    ["iterations", "iterations", [12, 5, undef, undef]],
    ["crlf", "crlf", [12, 5, 2048, 300]],
    ["nospace", "nospace", [12, 5, 2048, 300]],
    ["comments", "comments", [12, 5, 2048, 300]],
    ["unicode", "unicode", [12, undef, 2048, 300]],
    ["pings first", "ping-first=4", [12, 5, 2048, 300]],
    ["split", "split=5", [12, 5, 2048, 300]],
    ["split and crlf", "split=3,crlf", [12, 5, 2048, 300]],
    ["dribble", "dribble=9", [12, 5, 2048, 300]],
    ["burst", "burst,events=200", [12, 200, 2048, 300]],
    ["coalesce", "coalesce,events=200", [12, 200, 2048, 300]],
    ["until close", "close", [12, 5, 2048, 300]],
    ["until close, split", "close,split=6", [12, 5, 2048, 300]],
    ["trailer", "trailer", [12, 5, 2048, 300]],
    ["early hints", "early-hints", [12, 5, 2048, 300]],
    ["100 continue", "continue-100", [12, 5, 2048, 300]],
    ["stop reason", "stop=max_tokens", [12, 5, 2048, 300]],
    ["other model", "model=claude-opus-4-8", [12, 5, 2048, 300]],
    ["1 MB events", "size=1000000,events=4", [12, undef, 2048, 300]],
    ["a line of 5 MB", "long-line=5000000", [12, undef, 2048, 300]],
);

for my $shape (@shapes) {
    my ($name, $do, $want) = @$shape;

    for my $kind ("stream", "json") {

        next if $kind eq "json" && $do =~ /ping|split|burst|coal|crlf|nosp|comm/
                && $do !~ /close/;

        my @bytes = map {
            exchange($_->[0], stream => $kind eq "stream", do => $do,
                     key => $_->[1])
        } [$up->port, "direct"], [$port, $ClaudeRelay::KEY];

        my $log = done_log("one");

        is(same($bytes[1]), same($bytes[0]), "$name, $kind: the very bytes");
        ok($bytes[1]{clean}, "$name, $kind: a clean end");

        if ($kind eq "json" && $do =~ /size|long/) {
            next;
        }

        my @got = @$log{qw/ input_tokens output_tokens cache_read_tokens
                            cache_write_tokens /};

        $got[$_] = undef for grep { !defined $want->[$_] } 0 .. 3;

        is_deeply(\@got, $want, ($kind eq "json" ? "F167" : "F168")
                                . " $name, $kind: usage");
        is($log->{stop_reason}, $do =~ /stop=(\w+)/ ? $1 : "end_turn",
           "$name, $kind: stop reason");
        is($log->{error_class}, "ok", "$name, $kind: class");
    }
}


# the golden streams, at nginx's level

for my $name (sort keys %golden) {

    my %want = slurp(root() . "/t/golden/anthropic/$name.expect")
               =~ /^(\w+)=(.*)$/mg;

    $want{state} //= "complete";

    for my $how ("golden", "pieces", "untilclose") {

        next if asan() && $how eq "pieces";

        my $w = exchange($port, path => "/$how-$name/v1/messages", stream => 1);
        my $test = "$name, $how";
        my $log = done_log("$how-$name");

        if ($want{state} eq "nothing") {

            # nothing that could be given to a client

            if ($log->{attempts} =~ /:network:/) {
                is($w->{status}, 503, "$test: nothing at all");
            } else {
                is($w->{status}, 200, "$test: passed on");
                like($w->{body}, qr/^\Q$golden{$name}\E/, "$test: the bytes");
            }

            next;
        }

        is($w->{status}, 200, "$test: status");

        if ($want{state} eq "started") {
            like($w->{body}, qr/^\Q$golden{$name}\E(?:event: error\n.*)?$/s,
                 "$test: the bytes");
            ok(!$w->{clean} || $w->{body} =~ /\nevent: error\n[^\n]*\n\n$/,
               "$test: not a clean end");
            is($log->{error_class}, "broken", "$test: class");

        } else {
            is($w->{body}, $golden{$name}, "$test: the bytes");
            ok($w->{clean}, "$test: a clean end");
        }

        for (["input", "input_tokens"], ["output", "output_tokens"],
             ["cache_read", "cache_read_tokens"],
             ["cache_write", "cache_write_tokens"],
             ["stop_reason", "stop_reason"], ["model", "upstream_model"])
        {
            my ($key, $variable) = @$_;

            my $value = $want{$key} // next;

            $value = "" if $key =~ /put$/ && !($want{has_usage} // 1);
            utf8::decode($value);
            is($log->{$variable}, $value, "$test: $key");
        }
    }
}


# gzip'd: nobody asked for it, but it is there

{
    my $w = exchange($port, stream => 1, do => "gzip,events=20");
    my $text = "";

    is($w->{headers}{"content-encoding"}, "gzip", "gzip: as sent");
    gunzip(\$w->{body} => \$text);
    is(scalar(() = $text =~ /^event: content_block_delta$/mg), 20,
       "gzip: whole");
    like($text, qr/message_stop/, "gzip: to its end");
    ok($w->{clean}, "gzip: a clean end");

    $w = exchange($port, stream => 1, do => "gzip,events=20,delay=20,cut-at=9");
    ok(!$w->{clean}, "gzip: a cut is a cut");
}


# a line of 100 MB, in bounded memory

{
    my ($worker) = $nginx->workers;
    my $before = rss($worker);
    my $w = wire($port, ask(path => "/huge/v1/messages", stream => 1));
    my $most = 0;

    $w->{keep} = 1;

    pump(sub {
        my $now = rss($worker);
        $most = $now if $now > $most;
        return $w->{done};
    }, 60);

    is($w->{status}, 200, "N04 a line of 100 MB: status");
    ok($w->{clean}, "N04 a line of 100 MB: a clean end");
    cmp_ok($w->{body_bytes}, ">", $mb << 20, "N04 a line of 100 MB: whole");
    like($w->{body}, qr/message_stop"\}\n\n$/, "N04 a line of 100 MB: its end");
    is(done_log("huge")->{output_tokens}, 9, "N04 a line of 100 MB: usage");

  SKIP: {
        skip "memory under the sanitizers", 1 if asan();
        cmp_ok($most - $before, "<", 4096, "N04 a line of 100 MB: "
               . ($most - $before) . " KB more");
    }

    $w->close;
}


# 50,000 events do not grow a request

SKIP: {
    skip "memory under the sanitizers", 2 if asan();

    my ($worker) = $nginx->workers;
    my $before = rss($worker);
    my $w = exchange($port, stream => 1, do => "events=50000");
    my $after = rss($worker);

    is(scalar deltas($w), 50000, "50,000 events");
    cmp_ok($after - $before, "<", 2048, "50,000 events: memory");
}


# an error in the middle is the upstream's own word

{
    done_log("one", 1);

    my $w = exchange($port, stream => 1,
                     do => "events=9,delay=10,error-at=4,"
                           . "type=overloaded_error");
    my @events = events($w);

    is(scalar deltas($w), 4, "F165 error-at: events before it");
    like($events[-1][1], qr/^event: error\n.*overloaded_error/,
         "F165 error-at: passed on");
    ok($w->{clean}, "F165 error-at: and a clean end");
    unlike($w->{body}, qr/event: error.*event: error/s, "F165 error-at: once");
    is(done_log("one")->{error_class}, "broken", "F165 error-at: class");
}


# breaks

for (["reset-at=4", "RST"], ["cut-at=4", "FIN"], ["end-at=4", "regular end"],
     ["cut-at=0", "FIN before the first delta"],
     ["cut-at=4,close", "FIN without framing"],
     ["end-at=4,close", "end without framing"])
{
    my ($do, $name) = @$_;

    my $w = exchange($port, stream => 1, do => "events=9,delay=10,$do");
    my @events = events($w);
    my $log = done_log("one");

    is($w->{status}, 200, "break by $name: status");
    is(scalar deltas($w), $do =~ /=0/ ? 0 : 4,
       "break by $name: all that came");
    unlike($w->{body}, qr/message_stop/, "break by $name: no message_stop");

    my ($data) = $events[-1][1] =~ /^event: error\ndata: (.*)\n\n$/;
    my $error = eval { json($data) } // {};

    is($error->{type}, "error", "F165 break by $name: an error event");
    is($error->{error}{type}, "api_error", "F165 break by $name: its type");
    ok($w->{eof} || $w->{clean}, "break by $name: it ends");
    is($log->{error_class}, "broken", "break by $name: class");
    like($log->{attempts}, qr/^one:200:broken:\d+$/, "break by $name: trail");
    is($log->{input_tokens}, 12, "break by $name: usage so far");
}

for my $how ("fin", "rst", "end", "stall") {
    my $w = exchange($port, path => "/half-$how/v1/messages", stream => 1);

    is($w->{status}, 200, "break inside of an event, $how: status");
    is($w->{body}, $start . $half,
       "break inside of an event, $how: nothing is added");
    ok(!$w->{clean} && $w->{eof}, "break inside of an event, $how: cut");
    is(done_log("half-$how")->{error_class}, "broken",
       "break inside of an event, $how: class");
}

{
    my $w = exchange($port, path => "/half-badchunk/v1/messages", stream => 1);

    like($w->{body}, qr/^\Q$start$half$rest\Eevent: error\n.*\n\n$/,
         "break by a bad chunk: told");
    unlike($w->{body}, qr/message_stop/, "break by a bad chunk: no end");
}

for my $do ("cut-at=40", "reset-at=40", "cut-at=40,chunked",
            "reset-at=40,chunked")
{
    my $w = exchange($port, do => $do);

    is($w->{status}, 200, "JSON, $do: status");
    ok(!$w->{clean} && $w->{eof}, "JSON, $do: cut");
    is(done_log("one")->{error_class}, "broken", "JSON, $do: class");
}

is(of("one")->{state}, "ok", "breaks are counted, and no more");


# silence

{
    my $at = time;
    my $w = exchange($port, path => "/idle/v1/messages", stream => 1,
                     do => "events=9,stall-at=3");
    my $took = time - $at;
    my @events = events($w);

    is(scalar deltas($w), 3, "idle timeout: all that came");
    like($events[-1][1], qr/^event: error\ndata: .*"timeout_error"/,
         "idle timeout: an error event");
    ok($took > 0.68 && $took < 0.85 + $slack, "idle timeout: in time: $took");

    $w = exchange($port, path => "/idle/v1/messages", stream => 1,
                  do => "events=3,delay=450");
    ok($w->{clean} && $w->{body} =~ /message_stop/,
       "idle timeout: it is silence that counts");

    for my $do ("first=3000", "body-delay=3000", "slow-header") {
        until_true(sub { of("first")->{state} eq "ok" });
        $up->behave("sk-ant-first-000001", $do);
        $at = time;
        $w = exchange($port, path => "/first/v1/messages", stream => 1);
        $took = time - $at;

        is($w->{status}, 200, "first byte timeout, $do: status");
        ok($w->{clean}, "first byte timeout, $do: whole");
        like(done_log("second")->{attempts},
             qr/^first:\d+:timeout:\d+,second:200:ok:\d+$/,
             "first byte timeout, $do: trail");
        ok($took > 0.25 && $took < 0.5 + 2 * $slack,
           "first byte timeout, $do: in time: $took");
    }
}


# heartbeats

{
    my $do = "events=3,delay=350";
    my $off = exchange($port, stream => 1, do => $do);

    unlike($off->{body}, qr/^:/m, "heartbeat: none when off");

    my $on = exchange($port, path => "/beat/v1/messages", stream => 1,
                      do => $do);
    my @beats = grep { $_->[1] =~ /^:/ } events($on);

    ok(@beats >= 6 && @beats <= 12, "heartbeat: " . @beats . " in a second");
    is(scalar(grep { $_->[1] !~ /^: [\w -]+\n\n$/ } @beats), 0,
       "heartbeat: comments of their own");
    is(same($on) =~ s/^: [\w -]+\n\n//mgr, same($off),
       "heartbeat: else the same bytes");

    $on = exchange($port, path => "/beat/v1/messages", stream => 1,
                   do => "events=6,delay=20");
    unlike($on->{body}, qr/^:/m, "heartbeat: none without silence");

    $on = exchange($port, path => "/pause/v1/messages", stream => 1);

    ok(index($on->{body}, $start . $half . $rest) == 0,
       "heartbeat: none inside of an event");
    like($on->{body}, qr/\Q$rest\E(: [\w -]+\n\n){2,4}\Qevent: content_b\E/,
         "heartbeat: but after it");
    ok($on->{clean}, "heartbeat: a clean end");

    # sized answers have no place for them

    $on = exchange($port, path => "/beat/v1/messages", do => "delay=300");
    ok(eval { json($on->{body}) }, "heartbeat: none in JSON");
}


# a client that reads slowly

{
    my ($worker) = $nginx->workers;
    my $before = rss($worker);

    $up->since;

    my $w = wire($port, ask(stream => 1, do => "events=160,size=250000"),
                 slow => 1);
    pause(1);

    my $grown = rss($worker) - $before;
    my ($at) = $up->control("GET", "/sandbox/last")->[-1]{bytes_sent};

    ok(!$up->control("GET", "/sandbox/last")->[-1]{done},
       "slow client: the upstream is stopped");
    cmp_ok($at, "<", 20_000_000, "slow client: after $at bytes");

  SKIP: {
        skip "memory under the sanitizers", 1 if asan();
        cmp_ok($grown, "<", 2048, "slow client: memory, $grown KB");
    }

    $w->{slow} = 0;
    pump(sub { $w->{done} }, 20);

    ok($w->{clean}, "slow client: a clean end");
    is(scalar deltas($w), 160, "slow client: everything came");
    $w->close;
}


# a client that leaves

for (["stream", "stream=1", "events=100,delay=50", 0.3],
     ["JSON", "", "first=3000", 0.2],
     ["JSON body", "", "json-size=40000000", 0.2],
     ["before the first event", "stream=1", "body-delay=3000", 0.2])
{
    my ($name, $stream, $do, $when) = @$_;

    for my $how ("close", "abort") {
        my $w = wire($port, ask(stream => $stream ? 1 : 0, do => $do));

        $w->{slow} = 1 if $name eq "JSON body";
        pause($when);

        my $left = time;
        my $lasted = $left - $w->{started};

        $w->$how;

        my $last = until_true(sub {
            my $l = $up->control("GET", "/sandbox/last")->[-1];
            return $l->{done} ? $l : undef;
        }, 2);

        ok($last && $last->{aborted}, "F166 $name, $how: closes the upstream");

        my $ms = ($last->{ms} // 9999) / 1000 - $lasted;
        cmp_ok($ms, "<", $slack, "F166 $name, $how: at once, $ms");

        my $log = done_log("one");

        is($log->{error_class}, "aborted", "F166 $name, $how: class");
        like($log->{attempts}, qr/^one:\d+:aborted:\d+$/,
             "F166 $name, $how: trail");

        if ($name eq "stream") {
            is($log->{input_tokens}, 12, "F166 $name, $how: input so far");
            cmp_ok($log->{output_tokens}, ">=", 1,
                   "F166 $name, $how: output so far");
        }

        is(of("one")->{in_flight}, 0, "F166 $name, $how: no slot kept");
    }
}

$up->behave("sk-ant-throttled-000001", "status=429,nowindow,retry-after=4");

for (["waiting for a slot", "slot"], ["waiting to try again", "throttled"],
     ["connecting", "connecting"])
{
    my ($name, $path) = @$_;

    my $holder;

    if ($path eq "slot") {
        $holder = wire($port, ask(path => "/slot/v1/messages", stream => 1,
                                  do => "events=100,delay=50"));
        pause(0.1);
    }

    for my $how ("close", "abort") {
        my @w = map { wire($port, ask(path => "/$path/v1/messages")) } 1 .. 5;

        pause(0.25);
        is(scalar(grep { $_->{done} } @w), 0, "$name, $how: they do")
            || diag(map { $_->{raw} . ($_->{head} // "") . $_->{body} } @w);

        $_->$how for @w;

        my $base = $holder ? 1 : 0;

        ok(until_true(sub { of($path)->{in_flight} == $base
                            && $nginx->health->{waiting} == 0 }, $slack),
           "abort while $name, $how: nothing is left");
        is(scalar(grep { m{"uri":"/$path/.*"error_class":"aborted"} }
                  split /\n/, $nginx->access_log), $how eq "close" ? 5 : 10,
           "abort while $name, $how: class");
    }

    if ($holder) {
        $holder->close;
        ok(until_true(sub { of($path)->{in_flight} == 0 }, 0.5),
           "the slot is free");
        is(exchange($port, path => "/slot/v1/messages")->{status}, 200,
           "and taken again");
    }
}


# HTTP/2

SKIP: {
    skip "curl without HTTP/2", 6
        if `curl --version 2>/dev/null` !~ /^Features:.*HTTP2/m;

    my $body = stream(text => "x sandbox(events=10,delay=50)");
    my @curl = ("curl", "-sN", "--http2-prior-knowledge", "-w", "%{http_version}",
                "-H", "x-api-key: $ClaudeRelay::KEY", "-d", $body,
                "http://127.0.0.1:" . port(1) . "/v1/messages");

    my $pid = open my $pipe, "-|", @curl or die "curl: $!";
    my (@times, $text);

    $text = "";

    while (sysread $pipe, my $data, 65536) {
        $text .= $data;
        push @times, time if $data =~ /content_block_delta/;
    }

    close $pipe;

    is(scalar(() = $text =~ /^event: content_block_delta$/mg), 10,
       "N10 HTTP/2: all events");
    like($text, qr/message_stop"\}\n\n2$/, "N10 HTTP/2: a clean end");
    ok(@times >= 9 && $times[-1] - $times[0] > 0.3, "N10 HTTP/2: one by one");

    $pid = open $pipe, "-|", "curl", "-sN", "--http2-prior-knowledge", "-H",
        "x-api-key: $ClaudeRelay::KEY", "-d",
        stream(text => "x sandbox(events=9,cut-at=4)"),
        "http://127.0.0.1:" . port(1) . "/v1/messages";

    $text = do { local $/; <$pipe> };
    close $pipe;
    like($text, qr/\nevent: error\n/, "N10 HTTP/2: a break is told");

    $body =~ s/events=10/events=100/;
    $curl[8] = $body;
    $pid = open $pipe, "-|", @curl or die "curl: $!";
    sysread $pipe, my $data, 65536;
    kill "KILL", $pid;
    close $pipe;

    ok(until_true(sub { of("one")->{in_flight} == 0 }, 0.5),
       "N10 HTTP/2: a client that leaves");
    ok($up->last->{aborted}, "N10 HTTP/2: closes the upstream");
}


# many at once

{
    my $n = 50;
    my @w = map { wire($port, ask(stream => 1, do => "events=20,delay=20",
                                  text => "client $_")) } 1 .. $n;
    my $most = 0;

    pause(0.2);
    is(of("one")->{in_flight}, $n, "$n streams in flight");
    pump(sub { !grep { !$_->{done} } @w }, 20);

    is(scalar(grep { $_->{clean} } @w), $n, "$n streams end well");
    is(scalar(grep { deltas($_) == 20 } @w), $n, "with all events");

    my %bodies = map { same($_) => 1 } @w;

    is(scalar(keys %bodies), 1, "each the same bytes");
    ok(until_true(sub { of("one")->{in_flight} == 0 }, 1), "no slot kept");
    $_->close for @w;
}


is($nginx->health->{waiting}, 0, "nobody waits");

finish();


sub event {
    my ($name, $data) = @_;

    return "event: $name\ndata: $data\n\n";
}


# what differs between two requests is the id

sub same {
    my ($w) = @_;

    return ($w->{body} // "") =~ s/(msg_|req_|toolu_)\w*/$1/gr;
}


sub of {
    my ($name) = @_;

    my ($a) = grep { $_->{name} eq $name }
              map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    return $a;
}


# the line of the last request by this account that we did not see yet

my %seen;

sub done_log {
    my ($account, $any) = @_;

    my $line;

    until_true(sub {
        my @lines = grep { /"account":"\Q$account\E"/ }
                    split /\n/, $nginx->access_log;

        return 0 if !@lines || (!$any && @lines == ($seen{$account} // 0));

        $seen{$account} = @lines;
        $line = $lines[-1];
    }, 2);

    return $line ? json($line) : {};
}
