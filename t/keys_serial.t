#!/usr/bin/perl

# F073: what users have typed goes to an account one at a time, with a gap;
# results of tools and all else do not wait.

use warnings;
use strict;

use File::Temp qw/ tempdir /;
use JSON::PP ();
use Test::More;
use Time::HiRes qw/ time sleep /;

use ClaudeRelay;
use ClaudeRelayWire;


sandbox();

my $own = port(9);


# The upstream notes "b NAME TIME" when a request has come and "h NAME TIME"
# before it writes a header.  Its body begins with a name and what is waited
# for: header=FILE before the header, body=FILE before the end of a stream.

my $nginx;
my $dir = tempdir(CLEANUP => 1);
my $notes = "$dir/notes";
my $gates = "$dir/gate";

sub note_line {
    my ($what) = @_;

    open my $f, ">>", $notes or die "$notes: $!";
    syswrite $f, sprintf "%s %.6f\n", $what, time;
}

sub gate {
    my ($name) = @_;

    for (1 .. 2000) {
        return if -e "$gates-$name";
        sleep 0.01;
    }
}

sub event { my ($name, $data) = @_; "event: $name\ndata: $data\n\n" }

sub chunk { sprintf "%x\r\n%s\r\n", length $_[0], $_[0] }

my $answer = '{"type":"message","id":"msg_1","role":"assistant","model":"m",'
    . '"content":[],"stop_reason":"end_turn","usage":{"input_tokens":1,'
    . '"output_tokens":1}}';

upstream($own, sub {
    my ($s, $request) = @_;

    my ($name, $do) = $request =~ /run\((\w+)(?:,([\w=,]+))?\)/;
    my %do = map { split /=/ } split /,/, $do // "";

    note_line("b $name");

    gate($do{header}) if $do{header};
    sleep 0.03;

    note_line("h $name");

    if ($do{status}) {
        syswrite $s, "HTTP/1.1 $do{status} No\r\nContent-Length: 2\r\n\r\n{}";
        return 1;
    }

    if (!$do{body}) {
        syswrite $s, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     . "Content-Length: " . length($answer) . "\r\n\r\n$answer";
        return 1;
    }

    syswrite $s, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n"
        . chunk(event("message_start", qq({"type":"message_start","message":)
                                       . $answer . "}"));

    gate($do{body});

    syswrite $s, chunk(event("message_stop", '{"type":"message_stop"}'))
                 . "0\r\n\r\n";
    return 1;
});


my $to = "base_url http://127.0.0.1:$own;";

my $http = <<"END";
claude_relay_zone relay:1m;
claude_relay_key alice { secret $ClaudeRelay::KEY; }
claude_relay_rest server=50ms server_max=50ms;
@{[ store() ]}
claude_relay_control unix:%%DIR%%/control.sock;
@{[ account("one", "$to user_message_queue on gap=150ms wait=20s;") ]}
@{[ account("off", "$to pool off; user_message_queue off;") ]}
@{[ account("short", "$to pool short; user_message_queue on wait=300ms;") ]}
@{[ account("left", "$to pool pair; priority 200;"
                    . " user_message_queue on wait=20s;") ]}
@{[ account("right", "$to pool pair;") ]}
server {
    listen 127.0.0.1:%%PORT%% reuseport;
    claude_relay_retry_wait 0;
    claude_relay_sticky off;
    location /health { claude_relay_health full=on; }
    location / { claude_relay; }
    location /off/ { claude_relay; claude_relay_pool off; }
    location /short/ { claude_relay; claude_relay_pool short; }
    location /pair/ { claude_relay; claude_relay_pool pair; }
    location /stored/ { claude_relay; claude_relay_pool stored; }
}
END

$nginx = nginx($http, workers => 2, allow => [qr/exited on signal 9/]);

my $port = port();


sub typed { ask(path => ($_[1] // "") . "/v1/messages", text => "run($_[0])") }

sub brings {
    ask(body => '{"model":"m","max_tokens":9,"messages":[{"role":"user",'
                . '"content":"hi"},{"role":"assistant","content":[{"type":'
                . '"tool_use"}]},{"role":"user","content":[{"type":'
                . '"tool_result","content":"run(' . $_[0] . ')"}]}]}');
}

sub notes { -e $notes ? map { [split] } split /\n/, slurp($notes) : () }

sub order { join " ", map { "$_->[0]:$_->[1]" } notes() }

sub noted { my ($what) = @_; until_true(sub { order() =~ /\b$what\b/ }, 10) }

sub open_gate { spew("$gates-$_", "") for @_ }

sub clean { unlink $notes, glob "$gates-*" }

sub all_done { my @w = @_; pump(sub { !grep { !$_->{done} } @w }, 20) }


# many at once, over two workers

my @w = map { wire($port, typed("many$_")) } 1 .. 8;
all_done(@w);

is(join(" ", map { $_->{status} // 0 } @w), join(" ", (200) x 8),
   "F073: all are answered");

my @notes = notes();
my ($open, $most, $last, $least) = (0, 0, 0, 9);

for (@notes) {
    my ($what, $name, $at) = @$_;

    if ($what eq "b") {
        $open++;
        $most = $open if $open > $most;
        $least = $at - $last if $last && $at - $last < $least;

    } else {
        $open--;
        $last = $at;
    }
}

is(scalar(@notes), 16, "F073: all have arrived");
is($most, 1, "F073: one at a time");
cmp_ok($least, ">", 0.145, "F073: and a gap after each");


# results of tools, tokens and other accounts do not wait

clean();

my $first = wire($port, typed("first,header=a"));
noted("b:first");

my $tool = exchange($port, brings("tool"));
is($tool->{status}, 200, "F073: the result of a tool does not wait");

my $count = exchange($port, ask(path => "/v1/messages/count_tokens",
                                text => "run(count)"));
is($count->{status}, 200, "F073: nor does counting");

@w = map { wire($port, typed("off$_", "/off")) } 1 .. 3;
all_done(@w);
is($w[2]{status}, 200, "F073: nor who goes to another account");

is(order() =~ /h:first/ ? 1 : 0, 0, "F073: all of this while one has its turn");

my $second = wire($port, typed("second"));
pause(0.4);
unlike(order(), qr/b:second/, "F073: what a user has typed waits");

open_gate("a");
all_done($first, $second);
like(order(), qr/h:first b:second/, "F073: until the first is answered");


# the turn is over when the answer has begun

clean();

my $stream = wire($port, ask(text => "run(stream,body=b)", stream => 1));
noted("h:stream");

my $next = exchange($port, typed("next"));
is($next->{status}, 200, "F073: an answer that goes on does not hold the turn");
ok(!$stream->{done}, "F073: it goes on");

open_gate("b");
all_done($stream);
ok($stream->{clean}, "F073: to its end");


# who leaves, fails or dies gives its turn back

clean();

my $gone = wire($port, typed("gone,header=c"));
noted("b:gone");
$next = wire($port, typed("after"));
$gone->abort;
all_done($next);
is($next->{status}, 200, "F073: a client that leaves gives its turn back");

clean();
$next = exchange($port, typed("fails,status=500"));
is($next->{status}, 500, "F073: one fails");
pause(0.1);
$next = exchange($port, typed("after"));
is($next->{status}, 200, "F073: it has given its turn back");

clean();
my @workers = $nginx->workers;
$gone = wire($port, typed("dies,header=d"));
noted("b:dies");

# of a few that wait, those of the other worker live
my @waiting = map { wire($port, typed("waits$_")) } 1 .. 12;
pause(0.2);

for my $pid (@workers) {
    last if $gone->{done};
    kill "KILL", $pid;
    pump(sub { $gone->{done} }, 1);
}

$next = exchange($port, typed("after"));
is($next->{status}, 200, "F073: a worker that dies gives its turn back");
all_done(@waiting);

unlink "$gates-d";
open_gate("d");


# it has an end

clean();

$first = wire($port, typed("holds,header=e", "/short"));
noted("b:holds");

$next = exchange($port, typed("late", "/short"));
is($next->{status}, 429, "F073: a turn is waited for so long");
like($next->{body}, qr/rate_limit_error/, "F073: then told so");
cmp_ok($next->{headers}{"retry-after"} // 0, ">", 0,
       "F073: and when to come again");

open_gate("e");
all_done($first);
is($first->{status}, 200, "F073: who has its turn keeps it");


# another account of the pool takes it

clean();

$first = wire($port, typed("left,header=f", "/pair"));
noted("b:left");

$next = exchange($port, typed("right", "/pair"));
is($next->{status}, 200, "F073: another account takes what would wait");

open_gate("f");
all_done($first);


# accounts of the store

my %fields = (name => "stored", platform => "anthropic", pool => "stored",
              base_url => "http://127.0.0.1:$own", api_key => "sk-ant-x-0001");

for my $bad ([{ user_message_queue => 1 }, qr/true, false or an object/],
             [{ user_message_queue => { gap => 5 } }, qr/must have times/],
             [{ user_message_queue => { gap => "2h" } }, qr/an hour at most/],
             [{ user_message_queue => { x => 5 } }, qr/has a member/],
             [{ user_message_queue => { enabled => 1 } }, qr/an .*enabled/],
             [{ model_map => [] }, qr/must be an object/],
             [{ model_map => { a => 1 } }, qr/must be a string/],
             [{ model_map => { a => "" } }, qr/is empty/],
             [{ model_map => { "" => "a" } }, qr/has an empty name/],
             [{ model_map => { a => "b\nc" } }, qr/control characters/],
             [{ model_map => { a => "b", A => "c" } }, qr/twice/])
{
    my $r = $nginx->control("POST", "/v1/accounts", { %fields, %{ $bad->[0] } });

    is($r->status, 400, "store: " . encode($bad->[0]) . " is refused");
    like($r->body, $bad->[1], "store: and told why");
}

my $r = $nginx->control("POST", "/v1/accounts", {
    %fields, model_map => { "claude-*" => "mapped-1" },
    user_message_queue => { gap => "10ms", wait => "300ms" } });
is($r->status, 201, "store: an account") or diag($r->body);

$r = $nginx->control("GET", "/v1/accounts/stored", undef);
is_deeply($r->json->{model_map}, { "claude-*" => "mapped-1" },
          "store: its map is told");
is_deeply($r->json->{user_message_queue},
          { enabled => JSON::PP::true, gap => "10ms", wait => "300ms" },
          "store: and its queue");

clean();
$first = wire($port, typed("holds,header=g", "/stored"));
noted("b:holds");
is(exchange($port, typed("late", "/stored"))->{status}, 429,
   "F073: an account of the store has a queue, too");
open_gate("g");
all_done($first);

$r = $nginx->control("PATCH", "/v1/accounts/stored",
                     { user_message_queue => JSON::PP::false });
is($r->status, 200, "store: the queue is taken away") or diag($r->body);

clean();
$first = wire($port, typed("holds,header=h", "/stored"));
noted("b:holds");
is(exchange($port, typed("now", "/stored"))->{status}, 200,
   "F073: and nobody waits");
open_gate("h");
all_done($first);


# configurations

for my $bad (["user_message_queue;", qr/invalid number of arguments/],
             ["user_message_queue maybe;", qr/must be "on" or "off"/],
             ["user_message_queue on; user_message_queue off;", qr/duplicate/],
             ["user_message_queue on gap=x;", qr/invalid time in "gap=x"/],
             ["user_message_queue on wait=2h;", qr/invalid time/],
             ["user_message_queue on foo=1;", qr/invalid parameter "foo=1"/])
{
    my ($rc, $said) = config(relay_http(accounts => account("x", $bad->[0])));

    ok(!$rc, "refused: $bad->[0]");
    like($said, $bad->[1], "and told why");
}

clean();

finish();
