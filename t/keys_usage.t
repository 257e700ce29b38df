#!/usr/bin/perl

# Usage: what is recorded of a request, whatever became of it, and what the
# control API says of it (F175 to F181).

use warnings;
use strict;

use ClaudeRelay;
use Cwd qw/ realpath /;
use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $dir = tempdir("claude-relay-usage-XXXXXX", TMPDIR => 1, CLEANUP => 1);


sub http {
    my ($more, $keys) = @_;

    return store($dir) . ($more // "")
           . "claude_relay_zone relay:4m;\n"
           . ($keys // 'claude_relay_key alice { secret alice-secret-0001; }
                        claude_relay_key bob { secret bob-secret-0002; }
                        claude_relay_key poor { secret poor-secret-0003;
                                                limit requests:1/total; }')
           . "claude_relay_control unix:%%DIR%%/control.sock;\n"
           . account("one") . account("two", "priority 10;")
           . "server { listen 127.0.0.1:%%PORT%%;\n"
           . "location / { claude_relay; claude_relay_retry_wait 1s; }\n"
           . "location = /health { claude_relay_health full=on; } }\n";
}


my $nginx = nginx(http(), workers => 2);
my $rows = 0;


sub usage {
    my ($path) = @_;

    my $r = $nginx->control("GET", "/v1/usage$path");

    is($r->status, 200, "GET /v1/usage$path") || diag($r->body);

    return $r->json;
}


# the row of the last request

sub row {
    my ($name) = @_;

    my $json = $nginx->control("GET", "/v1/usage/rows?limit=5")->json;

    is($json->{rows}[0]{number}, ++$rows, "$name: one row more");

    return $json->{rows}[0];
}


sub has {
    my ($row, $name, %want) = @_;

    for my $k (sort keys %want) {
        if (ref $want{$k}) {
            like($row->{$k}, $want{$k}, "$name: $k");

        } else {
            is($row->{$k}, $want{$k}, "$name: $k");
        }
    }
}


# an answer in JSON

my $r = $nginx->post("/v1/messages", message(model => "claude-opus-4-8"),
                     "x-sandbox: input=100,output=50,cache-read=200",
                     "user-agent: claude-cli/2.1.19 (external, cli)");
is($r->status, 200, "a message");

my $row = row("JSON");

has($row, "JSON", key => "alice", account => qr/^(?:one|two)$/, status => 200,
    platform => "anthropic", dialect => "anthropic", operation => "messages",
    model => "claude-opus-4-8", served_model => "claude-opus-4-8",
    class => "ok", attempts => 1, client => "claude-cli/2.1.19",
    tier => "standard", id => $nginx->log->{request_id} // qr/^[0-9a-f]{32}$/,
    request_id => qr/^req_/, time => qr/^20\d\d-\d\d-\d\dT[\d:.]+Z$/,
    prices => qr/./, stop_reason => qr/./);
ok(!$row->{stream} && !$row->{estimated} && !$row->{refused}
   && !$row->{unpriced} && !$row->{shadow}, "JSON: flags");
ok($row->{input} > 0 && $row->{output} > 0
   && $row->{tokens} == $row->{input} + $row->{output} + $row->{cache_read}
                        + $row->{cache_write}, "JSON: tokens");
ok($row->{duration_ms} >= 0 && defined $row->{own_us}, "JSON: times");
ok($row->{cost_micros} > 0
   && $row->{cost} eq sprintf("%d.%06d", int($row->{cost_micros} / 1e6),
                              $row->{cost_micros} % 1000000),
   "F177: cost in dollars and millionths");
is($row->{rated_micros}, $row->{cost_micros}, "F177: and by the key's rate");


# a stream

$r = $nginx->post("/v1/messages", stream(model => "claude-opus-4-8"));
is($r->status, 200, "a stream");

my $streamed = row("stream");

has($streamed, "stream", key => "alice", status => 200, class => "ok",
    attempts => 1);
ok($streamed->{stream} && !$streamed->{estimated}, "stream: it is one");
ok($streamed->{output} > 0 && $streamed->{cost_micros} > 0
   && defined $streamed->{ttft_ms}, "stream: tokens, cost, ttft");


# another account serves

my ($first, $second) = $streamed->{account} eq "one" ? qw/ one two /
                                                     : qw/ two one /;

$up->behave("sk-ant-$_-000001", "status=529") for $first;
$r = $nginx->post("/v1/messages", message());
is($r->status, 200, "failover: served");
$up->behave("sk-ant-$_-000001", "") for $first;

$row = row("failover");
has($row, "failover", account => $second, attempts => 2, status => 200,
    trail => qr/$first:529.*$second:200/);


# nobody serves

$r = $nginx->post("/v1/messages", message(), "x-sandbox: status=400");
is($r->status, 400, "refused by the provider");

$row = row("failure");
has($row, "failure", status => 400, class => "client", cost_micros => 0,
    tokens => 0);


# a client that leaves in the middle of a stream

my $c = $nginx->connect;
$c->request("POST", "/v1/messages", body => stream(),
            headers => ["content-type: application/json",
                        "x-sandbox: delay=200,events=100"]);
$c->read_until(qr/message_start/);
sleep 0.3;
$c->reset;

wait_for(sub { ($nginx->control("GET", "/v1/usage/rows?limit=1")->json
                ->{rows}[0]{number} // 0) > $rows }, 10);
$row = row("abort");
has($row, "abort", class => "aborted", key => "alice");
ok($row->{stream} && $row->{estimated}, "F166: abort: an estimate");
ok($row->{input} > 0, "F166: abort: what was seen is recorded");


# a limit of ours refuses; the first one is used up

is($nginx->post("/v1/messages", message(), "x-api-key: poor-secret-0003")
   ->status, 200, "limit: the first");
row("limit: the first");
is($nginx->post("/v1/messages", message(), "x-api-key: poor-secret-0003")
   ->status, 429, "limit: the second");

$row = row("refusal");
has($row, "refusal", status => 429, key => "poor", account => undef,
    attempts => 0, cost_micros => 0);
ok($row->{refused}, "refusal: by us");


# a wrong key has no row, count_tokens has one

is($nginx->post("/v1/messages", message(), "x-api-key: wrong")->status, 401,
   "a wrong key");
is($nginx->post("/v1/messages/count_tokens", message(),
                "x-api-key: bob-secret-0002")->status, 200, "count_tokens");
$row = row("count_tokens");
has($row, "count_tokens", operation => "count_tokens", key => "bob",
    cost_micros => 0);


# sums

my $json = usage("?by=key");
my %sum = map { ($_->{key} => $_) } @{ $json->{sums} };

is(join(" ", sort keys %sum), "alice bob poor", "F175: by key");
is($sum{alice}{requests}, 5, "F175: of a key");
is($sum{poor}{refused}, 1, "F175: refused");
is($sum{poor}{failed}, 1, "F175: failed");
is($sum{alice}{estimated}, 1, "F175: estimated");

$json = usage("");
is($json->{sums}[0]{requests}, $rows, "F176: all of them");
is($json->{rates}{now}{requests}, $rows, "F178: of the last five minutes");
is($json->{rates}{now}{rpm} * 1, $rows / 5, "F178: a minute");
ok($json->{rates}{now}{tpm} > 0, "F178: tokens a minute");
ok(!$json->{approximate} && !defined $json->{next}, "exact, and all");

my $total = $json->{sums}[0];

for my $by (qw/ account model platform user group status minute hour day week
                month /)
{
    $json = usage("?by=$by");
    my ($n, $cost) = (0, 0);

    for (@{ $json->{sums} }) {
        $n += $_->{requests};
        $cost += $_->{cost_micros};
    }

    is($n, $rows, "F176: by $by: requests");
    is($cost, $total->{cost_micros}, "F176: by $by: cost");
}

$json = usage("?by=day,model&tz=Asia/Kolkata&since=1d");
like($json->{sums}[0]{day}, qr/^20\d\d-\d\d-\d\dT00:00:00\+05:30$/,
     "F182: a day of another zone");

$json = usage("?since=1d&key=bob");
is($json->{sums}[0]{requests}, 1, "filter by key");
ok($json->{rates}{mean}{rpm} < 1, "F178: mean of a day");

$json = usage("?model=*opus*&status=2xx");
is($json->{sums}[0]{requests}, 2, "filter by model and status");

$json = usage("?from=2001-01-01&until=2001-01-02");
is(@{ $json->{sums} }, 0, "nothing at that time");

$json = usage("?by=key&order=requests&limit=1");
is($json->{sums}[0]{key}, "alice", "ordered");
is($json->{next}, 1, "there are more");
$json = usage("?by=key&order=requests&limit=2&after=1");
is(@{ $json->{sums} }, 2, "which come next");
ok(!defined $json->{next}, "and these are the last");


# leaderboards

$json = usage("/top?of=keys");
is($json->{sums}[0]{key}, "alice", "F181: the most expensive key of the day");
$json = usage("/top?of=models&since=month&order=requests&limit=1");
is(@{ $json->{sums} }, 1, "F181: one model of the month");
$json = usage("/top?since=week");
is($json->{sums}[0]{requests}, $rows, "F181: users of the week");


# rows, and events without a gap

$json = usage("/rows?key=alice&limit=2");
is(@{ $json->{rows} }, 2, "F179: rows of a key");
ok($json->{next}, "F179: more of them");
my $again = usage("/rows?key=alice&limit=200&after=$json->{next}");
is(@{ $again->{rows} }, 3, "F179: the rest");

$json = usage("/rows?id=$streamed->{id}");
is_deeply($json->{rows}[0], $streamed, "by id: the same");
$json = usage("/rows?status=429");
is(@{ $json->{rows} }, 1, "by status");
$json = usage("/rows?order=oldest&limit=1");
is($json->{rows}[0]{number}, 1, "the oldest");

my ($after, @seen) = (0);

for (1 .. 20) {
    $json = $nginx->control("GET", "/v1/usage/events?after=$after&limit=3")->json;
    last if !@{ $json->{events} };
    push @seen, map { $_->{number} } @{ $json->{events} };
    $after = $json->{next};
}

is(join(" ", @seen), join(" ", 1 .. $rows), "F180: each event once, in order");
is($after, $rows, "F180: where to go on");


# CSV

$r = $nginx->control("GET", "/v1/usage?by=key&format=csv");
like($r->header("content-type"), qr{^text/csv}, "CSV");
my @lines = split /\r\n/, $r->body;
like($lines[0], qr/^key,requests,failed,/, "CSV: its head");
like($lines[1], qr/^"alice",5,/, "CSV: a line");
is(@lines, 4, "CSV: lines");

$r = $nginx->control("GET", "/v1/usage/rows?limit=3", undef, "Accept: text/csv");
@lines = split /\r\n/, $r->body;
is(@lines, 4, "CSV of rows, by Accept");
is($r->header("x-next"), $rows - 2, "CSV: where to go on");
is(() = $lines[0] =~ /,/g, () = $lines[1] =~ /,/g, "CSV: as many cells");

$nginx->post("/v1/messages", message(), "user-agent: =cmd|'/c\"calc\"'!A1");
row("formula");
$r = $nginx->control("GET", "/v1/usage/rows?limit=1&format=csv");
like($r->body, qr/,"'=cmd\|'\/c""calc""'!A1",/, "CSV: a formula is none");


# what cannot be asked

for ([ "?by=weather", qr/"by" must be/ ],
     [ "?by=key,model,day", qr/one or two/ ],
     [ "?tz=../../etc/passwd", qr/"tz" must be/ ],
     [ "?tz=Europe/Nowhere", qr/"tz" must be/ ],
     [ "?from=yesterday", qr/"from" must be/ ],
     [ "?until=2026-02-31", qr/"until" must be/ ],
     [ "?since=soon", qr/"since" must be/ ],
     [ "?since=1d&from=2026-01-01", qr/not both/ ],
     [ "?limit=0", qr/"limit" must be/ ],
     [ "?limit=1000000", qr/"limit" must be/ ],
     [ "?status=teapot", qr/"status" must be/ ],
     [ "?format=xml", qr/"format" must be/ ],
     [ "?order=random", qr/"order" must be/ ],
     [ "?what=ever", qr/"what", which is not asked for here/ ],
     [ "?key=a&key=b", qr/repeated/ ],
     [ "?key=%zz", qr/badly escaped/ ],
     [ "/rows?by=key", qr/not asked for here/ ],
     [ "/rows?after=x", qr/"after" must be/ ],
     [ "/top?of=planets", qr/"of" must be/ ])
{
    $r = $nginx->control("GET", "/v1/usage$_->[0]");
    is($r->status, 400, "$_->[0]: refused");
    like($r->json->{error}{message} // "", $_->[1], "$_->[0]: says why");
}


# costs by another table

$r = $nginx->control("POST", "/v1/usage/rerate", {});
is($r->status, 200, "rerate: by the same table");
is($r->json->{changed}, 0, "rerate: nothing changes");
is($r->json->{rows}, $rows, "rerate: all are looked at");

$r = $nginx->control("POST", "/v1/usage/rerate", { from => "today" });
is($r->status, 400, "rerate: no time");
$r = $nginx->control("POST", "/v1/usage/rerate", { since => "7d" });
is($r->status, 400, "rerate: no such member");

spew("$dir/prices.json", encode({ models => { "claude-opus-4-8" =>
    { input => 1000, output => 0, cache_read => 0, cache_write_5m => 0,
      cache_write_1h => 0 } } }));

my $before = usage("?model=claude-opus-4-8")->{sums}[0];
$nginx->reload(http("claude_relay_prices $dir/prices.json;"));

wait_for(sub {
    $r = $nginx->control("POST", "/v1/usage/rerate", {});
    return $r->status == 200 && $r->json->{changed};
}, 10);

my $after_that = usage("?model=claude-opus-4-8")->{sums}[0];

is($after_that->{cost_micros}, 1000 * $after_that->{input},
   "rerate: the sums are of the other table");
is($after_that->{cost_micros} - $before->{cost_micros},
   $r->json->{difference_micros}, "rerate: the difference");
is(usage("/rows?id=$streamed->{id}")->{rows}[0]{prices}, $r->json->{prices},
   "rerate: a row says by which table");
isnt($streamed->{prices}, $r->json->{prices}, "rerate: it is another one");
is($after_that->{requests}, $before->{requests}, "rerate: as many requests");


# a reload, and a restart, go on with the same

$nginx->reload(http("", undef));
is($nginx->post("/v1/messages", message())->status, 200, "after a reload");
row("reload");

sub rings {
    my $hash = substr(sha256(realpath("$dir/db/relay.db")), 0, 16);
    return glob("/dev/shm/claude-relay-*-$hash.*");
}

SKIP: {
    skip "no /dev/shm", 3 if !-w "/dev/shm";

    my @rings = rings();
    is(@rings, 1, "one ring");
    is((stat $rings[0])[2] & 07777, 0600, "the ring: nobody else's to read");
    is(-s $rings[0], 4 * 1024 * 1024, "the ring: 4 MB");
}

$nginx->stop;

is(() = rings(), 0, "no ring is left behind");
is(() = glob("$dir/db/relay.db-usage"), 1, "the ledger is beside the store");
is((stat "$dir/db/relay.db-usage")[2] & 07777, 0600, "nobody else's to read");

$nginx = nginx(http(), workers => 2);
$json = usage("");
is($json->{sums}[0]{requests}, $rows, "after a restart: all of it");
is($nginx->post("/v1/messages", message(), "x-api-key: poor-secret-0003")
   ->status, 429, "after a restart: the limit is still used up");
row("after a restart");


# it can be switched off

$nginx->reload(http("claude_relay_usage off;"));
is($nginx->post("/v1/messages", message())->status, 200, "off: served");
$r = $nginx->control("GET", "/v1/usage");
wait_for(sub { ($r = $nginx->control("GET", "/v1/usage"))->status != 200 },
         10);
is($r->status, 503, "off: nothing to ask");
like($r->json->{error}{message}, qr/no usage is kept/, "off: says so");


# what is wrong is told at the start

for ([ "claude_relay_usage on what=1;", qr/invalid parameter "what=1"/ ],
     [ "claude_relay_usage maybe;", qr/must begin with "on" or "off"/ ],
     [ "claude_relay_usage off ring=1m;", qr/takes nothing after "off"/ ],
     [ "claude_relay_usage on ring=1k;", qr/64k to 1g/ ],
     [ "claude_relay_usage on keep=1s;", qr/an hour at least/ ],
     [ "claude_relay_usage on full=maybe;", qr/invalid parameter/ ],
     [ "claude_relay_usage on; claude_relay_usage on;", qr/is duplicate/ ])
{
    my ($ok, $said) = config(http($_->[0]));
    ok(!$ok && $said =~ $_->[1], "-t: $_->[0]") || diag($said);
}

my ($ok, $said) = config("claude_relay_zone relay:4m; claude_relay_usage on;"
                         . "server { listen 127.0.0.1:%%PORT%%; }");
ok(!$ok && $said =~ /"claude_relay_usage" needs "claude_relay_store"/,
   "-t: without a store") || diag($said);

finish();
