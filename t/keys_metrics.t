#!/usr/bin/perl

# F189, N08, N11: the metrics.  Each answer is read by a strict parser of the
# text format; series move by the amount that is known from the traffic; what
# comes from outside cannot make more of them; workers may go and come.

use warnings;
use strict;

use Encode ();
use Test::More;
use Time::HiRes qw/ time sleep /;

use ClaudeRelay;


my $up = sandbox();
my $scrapes = 0;


# the text format 0.0.4, or OpenMetrics, with what promtool looks for

sub parse {
    my ($text, $open) = @_;

    my (%family, %sample, @bad, $now, %bucket);

    push @bad, "not UTF-8" if !eval { Encode::decode("UTF-8", my $t = $text, 1); 1 };
    push @bad, "no end of line" if $text !~ /\n\z/;

    my @lines = split /\n/, $text;

    push @bad, "no EOF" if $open && (pop(@lines) // "") ne "# EOF";

    for (@lines) {

        if (/^# HELP (\w+) (\S.*)$/) {
            push @bad, "HELP twice: $1" if $family{$1};
            $now = $1;
            $family{$1} = { help => $2 };
            next;
        }

        if (/^# TYPE (\w+) (counter|gauge|histogram)$/) {
            push @bad, "TYPE without HELP, or twice: $1"
                if $1 ne $now || $family{$1}{type};
            $family{$1}{type} = $2;
            push @bad, "name of a counter: $1"
                if ($open ? 0 : $2 eq "counter") != ($1 =~ /_total$/ ? 1 : 0);
            next;
        }

        my ($name, $labels, $value)
            = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? ([0-9]+(?:\.[0-9]+)?)$/;

        if (!defined $name) {
            push @bad, "no sample: $_";
            next;
        }

        my (%label, $rest);

        $labels //= "";

        while ($labels =~ /\G([a-zA-Z_]\w*)="((?:[^"\\]|\\[\\n"])*)"(?:,|\z)/gc) {
            push @bad, "label twice: $_" if exists $label{$1};
            $label{$1} = $2;
        }

        push @bad, "labels: $_" if (pos $labels // 0) != length $labels;

        my $type = $now ? $family{$now}{type} // "" : "";
        my $le = delete $label{le};
        my $id = join ",", map { "$_=$label{$_}" } sort keys %label;

        push @bad, "sample of another family: $_"
            if !defined $now
               || ($type eq "histogram" ? $name !~ /^\Q$now\E_(bucket|sum|count)$/
                   : $type eq "counter" && $open ? $name ne "${now}_total"
                   : $name ne $now);
        push @bad, "le without a histogram: $_"
            if defined $le && $name !~ /_bucket$/;

        if (defined $le) {
            my $last = $bucket{"$name $id"};

            push @bad, "buckets: $_"
                if $last && ($last->[0] eq "+Inf" || $last->[1] > $value
                             || ($le ne "+Inf" && $le <= $last->[0]));
            $bucket{"$name $id"} = [$le, $value];
            $sample{$name}{"$id,le=$le"} = $value;
            next;
        }

        if ($type eq "histogram" && $name =~ /_count$/) {
            my $last = $bucket{"${now}_bucket $id"};

            push @bad, "no +Inf, or not the count: $_"
                if !$last || $last->[0] ne "+Inf" || $last->[1] != $value;
        }

        push @bad, "series twice: $_" if exists $sample{$name}{$id};
        $sample{$name}{$id} = $value;
    }

    push @bad, map { "no TYPE: $_" } grep { !$family{$_}{type} } keys %family;

    return { family => \%family, sample => \%sample, bad => \@bad };
}


sub scrape {
    my ($nginx, $uri) = @_;

    my $r = $nginx->request("GET", $uri // "/metrics", key => undef);
    my $m = parse($r->body);

    $scrapes++;
    fail("a scrape: $_") for $r->status == 200 ? @{ $m->{bad} } : $r->head;

    return $m;
}


# the sum over all series with these labels

sub value {
    my ($m, $name, %label) = @_;

    my ($sum, $series) = (0, $m->{sample}{$name} // {});

    for my $id (keys %$series) {
        my %have = map { /^(\w+)=(.*)$/s ? ($1, $2) : () } split /,/, $id;

        $sum += $series->{$id}
            if !grep { ($have{$_} // "") ne $label{$_} } keys %label;
    }

    return $sum;
}


sub series { scalar keys %{ $_[0]{sample}{$_[1]} // {} } }


# requests are counted when they are over, a little after the answer

sub settled {
    my ($nginx, $n, $uri) = @_;

    my $m;

    wait_for(sub {
        $m = scrape($nginx, $uri);
        return value($m, "claude_relay_requests_total") >= $n;
    });

    return $m;
}


# until the old workers are gone

sub reload {
    my ($nginx, @http) = @_;

    my %old = map { $_ => 1 } $nginx->workers;

    $nginx->reload(@http);

    return wait_for(sub { !grep { $old{$_} && kill 0, $_ } keys %old });
}


# 1. the directive

for (["accounts=0", qr/invalid parameter "accounts=0"/],
     ["accounts=x", qr/invalid parameter "accounts=x"/],
     ["keys=10001", qr/invalid parameter "keys=10001", it takes "on", "off"/],
     ["labels=on", qr/invalid parameter "labels=on"/],
     ["keys=", qr/invalid parameter "keys="/])
{
    my ($args, $message) = @$_;
    my ($ok, $said) = config(relay_http(server =>
        "location = /metrics { claude_relay_metrics $args; }"));

    ok(!$ok && $said =~ $message, "F189: $args") || diag $said;
}

for ("claude_relay_metrics; claude_relay_metrics;", "claude_relay; claude_relay_metrics;",
     "claude_relay_metrics; claude_relay_health full=on;")
{
    my ($ok, $said) = config(relay_http(server => "location = /m { $_ }"));
    ok(!$ok && $said =~ /duplicate, or conflicts/, "F189: $_") || diag $said;
}

{
    my ($ok, $said) = config("server { listen 127.0.0.1:%%PORT%%; "
                             . "location / { claude_relay_metrics; } }");
    ok(!$ok && $said =~ /needs "claude_relay_zone" before it/,
       "F189: it needs a zone") || diag $said;

    ($ok, $said) = config(relay_http(http => "claude_relay_zone relay:256k;",
        server => "location = /m { claude_relay_metrics keys=10000; }"));
    ok(!$ok && $said =~ /no room for metrics of so many keys in zone "relay"/,
       "F189: keys that the zone has no room for") || diag $said;
}


# 2. what is known of known traffic

my @metrics = map { "location = /$_->[0] { claude_relay_metrics $_->[1]; }" }
    (["metrics", "keys=on"], ["none", "accounts=off"], ["one", "accounts=1"],
     ["keys", "keys=1"]);

my $nginx = relay(
    workers => 2,
    allow => [qr/exited on signal 9/],
    keys => <<'END',
        claude_relay_key alice { secret alice-secret-0001; }
        claude_relay_key bob { secret bob-secret-000001;
                               models claude-haiku-*; }
        claude_relay_key carol { secret carol-secret-0001;
                                 limit requests:2/day;
                                 limit "output:1/day shadow"; }
END
    accounts => account("one", "priority 200; max_concurrency 7;")
                . account("two")
                . account("off", "enabled off;")
                . account("oauth", "platform claude-oauth; pool oauth;"
                                   . " access_token sk-ant-oat01-secret;"),
    location => "claude_relay_heartbeat 50ms;",
    server => "@metrics location /oauth/ { claude_relay;"
              . " claude_relay_pool oauth; }",
);

my $m = scrape($nginx);
my ($r, $before);

is(value($m, "claude_relay_requests_total"), 0, "F189: nothing yet");
ok(wait_for(sub { value(scrape($nginx), "claude_relay_workers") == 2 }),
   "F189: workers");
is(value($m, "claude_relay_build_info", nginx => (split m{/},
   (split " ", `@{[ binary() ]} -v 2>&1`)[2])[1]), 1, "F189: version");
ok(!exists $m->{sample}{claude_relay_cache_read_ratio}{""},
   "N08: a ratio of nothing is none");

my $bytes = 0;
my $usage;

for (1 .. 3) {
    $r = $nginx->post("/v1/messages", message());
    $usage = $r->json->{usage};
    $bytes += length $r->body;
}

for (1 .. 2) {
    $bytes += length $nginx->post("/v1/messages", stream())->body;
}

$nginx->post("/v1/messages/count_tokens", message()) for 1 .. 4;
$nginx->get("/v1/models");
$nginx->get("/api/hello");
$nginx->get("/nothing");
$nginx->request("OPTIONS", "/v1/messages");
$nginx->post("/v1/messages", message(), "x-sandbox: status=400");
$nginx->post("/v1/messages", "{");
$nginx->post("/v1/messages", message(model => "claude-haiku-4-5"));

$m = settled($nginx, 16);

ok(wait_for(sub {
    my $m = scrape($nginx);
    return value($m, "claude_relay_received_bytes_total")
           >= 16 * length("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
              + 11 * length(message())
           && value($m, "claude_relay_sent_bytes_total") > $bytes;
}), "F189: bytes");

my @requests = (
    [3 + 1, op => "messages", code => "2xx", stream => 0],
    [2, op => "messages", code => "2xx", stream => 1],
    [2, op => "messages", code => "4xx"],
    [4, op => "count_tokens", code => "2xx"],
    [1, op => "models", code => "2xx"],
    [1, op => "probe", code => "2xx"],
    [1, op => "(other)", code => "4xx"],
    [1, op => "(other)", code => "2xx"],
    [16],
);

for (@requests) {
    my ($n, @labels) = @$_;
    is(value($m, "claude_relay_requests_total", @labels), $n,
       "F189: requests: @labels");
}

is(value($m, "claude_relay_request_outcomes_total", class => "ok"), 10,
   "F189: outcomes: ok");
is(value($m, "claude_relay_request_outcomes_total", class => "client"), 2,
   "F189: outcomes: the client's");
is(value($m, "claude_relay_request_duration_seconds_count"), 12,
   "F189: a duration for each that is to be relayed");
is(value($m, "claude_relay_request_duration_seconds_count",
         op => "messages", stream => 1), 2, "F189: of streams");
is(value($m, "claude_relay_own_time_seconds_count"), 11,
   "N11: own time, of those that were sent");
cmp_ok(value($m, "claude_relay_own_time_seconds_sum"), ">", 0, "N11: its sum");
cmp_ok(value($m, "claude_relay_own_time_seconds_sum"), "<",
       value($m, "claude_relay_request_duration_seconds_sum") + 1,
       "N11: no more than all of the time");

my %served = (platform => "anthropic", model => "claude-sonnet-4-6");

is(value($m, "claude_relay_model_requests_total", %served), 5,
   "F189: by model");
is(value($m, "claude_relay_model_requests_total"), 6, "F189: of all models");
is(value($m, "claude_relay_tokens_total", %served, type => "input"),
   5 * $usage->{input_tokens}, "F189: input");
is(value($m, "claude_relay_tokens_total", %served, type => "output"),
   5 * $usage->{output_tokens}, "F189: output");
is(value($m, "claude_relay_tokens_total", %served, type => "cache_read"),
   5 * $usage->{cache_read_input_tokens}, "N08: cache reads");
is(value($m, "claude_relay_tokens_total", %served, type => "cache_write_5m")
   + value($m, "claude_relay_tokens_total", %served,
           type => "cache_write_1h"),
   5 * $usage->{cache_creation_input_tokens}, "N08: cache writes");

my $prompt = $usage->{input_tokens} + $usage->{cache_read_input_tokens}
             + $usage->{cache_creation_input_tokens};

is(sprintf("%.6f", value($m, "claude_relay_cache_read_ratio")),
   sprintf("%.6f", $usage->{cache_read_input_tokens} / $prompt),
   "N08: the share that was read");

my %genai = (gen_ai_operation_name => "chat",
             gen_ai_provider_name => "anthropic",
             gen_ai_request_model => "claude-sonnet-4-6",
             gen_ai_response_model => "claude-sonnet-4-6");

is(value($m, "gen_ai_client_token_usage_sum", %genai,
         gen_ai_token_type => "input"), 5 * $prompt, "F189: gen_ai: input");
is(value($m, "gen_ai_client_token_usage_sum", %genai,
         gen_ai_token_type => "output"), 5 * $usage->{output_tokens},
   "F189: gen_ai: output");
is(value($m, "gen_ai_client_token_usage_bucket", %genai,
         gen_ai_token_type => "input", le => "4096.0"),
   $prompt <= 4096 ? 5 : 0, "F189: gen_ai: in its bucket");
is(value($m, "gen_ai_client_token_usage_bucket", %genai,
         gen_ai_token_type => "input", le => "1024.0"),
   $prompt <= 1024 ? 5 : 0, "F189: gen_ai: and not in the one before");
is(value($m, "gen_ai_server_request_duration_seconds_count", %genai), 5,
   "F189: gen_ai: durations");
is(value($m, "gen_ai_server_time_to_first_token_seconds_count", %genai), 2,
   "F189: gen_ai: first tokens");
is(value($m, "gen_ai_server_time_per_output_token_seconds_count", %genai), 2,
   "F189: gen_ai: time per token");

is(value($m, "claude_relay_attempts_total", account => "one", class => "ok"),
   10, "F189: attempts: ok");
is(value($m, "claude_relay_account_requests_total", account => "one"), 11,
   "F189: answers of an account");
is(value($m, "claude_relay_account_tokens_total", account => "one",
         type => "output"), 6 * $usage->{output_tokens},
   "F189: its tokens");
is(value($m, "claude_relay_key_requests_total", key => "alice"), 12,
   "F189: of a key, if wanted");
is(value($m, "claude_relay_key_tokens_total", key => "alice"),
   6 * ($prompt + $usage->{output_tokens}), "F189: its tokens");

# $3, $15, $0.30, $3.75 and $6 for a million of them; each request is rounded

my $cost = int(3 * $usage->{input_tokens} + 15 * $usage->{output_tokens}
               + 0.3 * $usage->{cache_read_input_tokens}
               + 3.75 * $usage->{cache_creation}{ephemeral_5m_input_tokens}
               + 6 * $usage->{cache_creation}{ephemeral_1h_input_tokens}
               + 0.5);

is(value($m, "claude_relay_cost_dollars_total", %served), 5 * $cost / 1e6,
   "F189: cost");
is(value($m, "claude_relay_unpriced_requests_total"), 0,
   "F189: all have a price");

for (["ok", 3], ["disabled", 1], ["resting", 0], ["needs-login", 0]) {
    my ($state, $n) = @$_;
    is(value($m, "claude_relay_accounts", state => $state), $n,
       "F189: accounts: $state");
}

is(value($m, "claude_relay_account_state", account => "off", pool => "default",
         platform => "anthropic", state => "disabled"), 1, "F189: state");
is(value($m, "claude_relay_account_state", account => "off", state => "ok"), 0,
   "F189: only one");
is(value($m, "claude_relay_account_max_concurrency", account => "one"), 7,
   "F189: slots");

unlike($nginx->get("/metrics")->body, qr/secret|sk-ant/, "F189: no secrets");
unlike($nginx->get("/none")->body, qr/alice|account="/,
       "F189: names of keys and accounts only if wanted");
is($nginx->request("HEAD", "/metrics")->status, 200, "F189: HEAD");
is($nginx->request("POST", "/metrics", body => "x")->status, 405,
   "F189: POST");

$r = $nginx->get("/metrics");
is($r->header("content-type"), "text/plain; version=0.0.4; charset=utf-8",
   "F189: type");
is($r->header("cache-control"), "no-store", "F189: not to be cached");

$r = $nginx->get("/metrics", "Accept: application/openmetrics-text;"
                             . "version=1.0.0,text/plain;q=0.5");
is($r->header("content-type"),
   "application/openmetrics-text; version=1.0.0; charset=utf-8",
   "F189: OpenMetrics, if asked for");
is_deeply(parse($r->body, 1)->{bad}, [], "F189: and it is");


# 3. promtool

my ($promtool) = grep { -x } root() . "/build/promtool/usr/bin/promtool",
                             map { "$_/promtool" } split /:/, $ENV{PATH};

SKIP: {
    skip "no promtool here", 1 if !defined $promtool;

    my $file = spew($nginx->dir . "/metrics.txt", $nginx->get("/metrics")->body);
    my $said = `$promtool check metrics < $file 2>&1`;

    ok($? == 0 && $said eq "", "F189: promtool check metrics") || diag $said;
}


# 4. wrong credentials, restrictions, limits

$m = settled($nginx, 16);

my $floods = 60;

$nginx->request("POST", "/v1/messages", body => message(),
                key => "wrong-secret-$_") for 1 .. $floods;

my $n = settled($nginx, 16 + $floods);

is(value($n, "claude_relay_refused_credentials_total"), $floods,
   "F189: a flood of wrong keys is counted");
is(value($n, "claude_relay_requests_total", op => "messages", code => "4xx"),
   2 + $floods, "F189: as requests, too");
is(series($n, "claude_relay_key_requests_total"),
   series($m, "claude_relay_key_requests_total"),
   "F189: and makes no series");
is(value($n, "claude_relay_request_outcomes_total"), 12,
   "F189: nor records");

$nginx->request("POST", "/v1/messages", key => "bob-secret-000001",
                body => message());
$nginx->request("POST", "/v1/messages", key => "carol-secret-0001",
                body => message()) for 1 .. 4;

$m = settled($nginx, 16 + $floods + 5);

is(value($m, "claude_relay_refusals_total", scope => "key", unit => "none"),
   1, "F189: refused for what the key may do");
is(value($m, "claude_relay_refusals_total", scope => "key",
         unit => "requests"), 2, "F189: refused by a limit");
is(value($m, "claude_relay_shadow_refusals_total", scope => "key",
         unit => "output"), value($m, "claude_relay_shadowed_requests_total"),
   "F189: by a shadow limit");
cmp_ok(value($m, "claude_relay_shadowed_requests_total"), ">=", 1,
       "F189: they were not refused");
is(value($m, "claude_relay_key_refusals_total", key => "carol"), 2,
   "F189: of this key");

my $k = scrape($nginx, "/keys");
is(series($k, "claude_relay_key_requests_total"), 2,
   "F189: keys=1: one key, and the row of the rest");


sub moved {
    my ($name, %label) = @_;
    return value($m, $name, %label) - value($before, $name, %label);
}


# 4a. one request, two models: each has its tokens, the cost is that of both

$before = settled($nginx, 0);

$nginx->post("/v1/messages", message(), "x-sandbox: iterations");
$nginx->post("/v1/messages", message(model => "nobody-knows"));
$nginx->post("/v1/messages", message(model => "anthropic/claude-haiku-4-5"));

$m = settled($nginx, value($before, "claude_relay_requests_total") + 3);

cmp_ok(moved("claude_relay_tokens_total", model => "claude-opus-4-8",
             type => "output"), ">", 0, "F189: the second model's tokens");
is(moved("claude_relay_tokens_total"),
   moved("claude_relay_account_tokens_total"), "F189: none is lost");
is(sprintf("%.6f", moved("claude_relay_cost_dollars_total")),
   sprintf("%.6f", moved("claude_relay_account_cost_dollars_total")),
   "F189: nor is money");
cmp_ok(moved("claude_relay_cost_dollars_total", model => "claude-opus-4-8"),
       ">", 0, "F189: the second model's share");
is(moved("claude_relay_unpriced_requests_total"), 1,
   "F189: without a price");
is(moved("claude_relay_unpriced_requests_total", model => "nobody-knows"), 1,
   "F189: which one");
is(moved("claude_relay_model_requests_total", model => "claude-haiku-4-5"), 1,
   "F189: a name as the price table has it");


# 5. failover, sessions, windows, rests

my @session = ("x-claude-code-session-id: 11111111-0000-4000-8000-000000000001");
$before = settled($nginx, 0);

$nginx->post("/v1/messages", message(), @session) for 1 .. 2;
$nginx->post("/v1/messages", message(), @session,
             "x-sandbox: status=529,once,global");
$nginx->post("/oauth/v1/messages", message(), "x-sandbox: util-5h=0.69");

$m = settled($nginx, value($before, "claude_relay_requests_total") + 4);

is(moved("claude_relay_sticky_requests_total", result => "miss"), 2,
   "N08: new sessions");
is(moved("claude_relay_sticky_requests_total", result => "hit"), 1,
   "N08: sessions found");
is(moved("claude_relay_sticky_requests_total", result => "moved"), 1,
   "N08: sessions moved");
is(moved("claude_relay_session_moves_total", reason => "overloaded"), 1,
   "N08: and why");
is(moved("claude_relay_attempts_total", account => "one",
         class => "overloaded"), 1, "F189: attempts: overloaded");
is(moved("claude_relay_attempts_total", account => "two", class => "ok"), 1,
   "F189: attempts: the other one");
is(moved("claude_relay_request_outcomes_total", class => "ok"), 4,
   "F189: all were served");
is(value($m, "claude_relay_account_state", account => "one",
         state => "resting"), 1, "F189: it rests");
cmp_ok(value($m, "claude_relay_account_rest_end_timestamp_seconds",
             account => "one", reason => "overloaded"), ">", time - 5,
       "F189: until then");
is(value($m, "claude_relay_account_window_utilization_ratio",
         account => "oauth", window => "5h"), 0.69, "F189: a window");
cmp_ok(value($m, "claude_relay_account_window_reset_timestamp_seconds",
             account => "oauth", window => "5h"), ">", time,
       "F189: and its end");
cmp_ok(value($m, "claude_relay_sessions"), ">=", 2, "F189: sessions");

my $one = scrape($nginx, "/one");

is(series($one, "claude_relay_account_requests_total"), 2,
   "F189: accounts=1: one account, and the rest of them");
is(value($one, "claude_relay_attempts_total"),
   value($m, "claude_relay_attempts_total"), "F189: together as many");
is(value($one, "claude_relay_accounts"), 4, "F189: all of them by state");


# 6. under way, heartbeats, clients that leave

$before = $m;

my $c = $nginx->connect;

$c->request("POST", "/v1/messages", body => stream(),
            headers => ["x-sandbox: events=3,delay=200,body-delay=10"]);

ok(wait_for(sub { value(scrape($nginx), "claude_relay_in_flight") == 1 }),
   "F189: in flight");
is(value(scrape($nginx), "claude_relay_account_in_flight", account => "two")
   + value(scrape($nginx), "claude_relay_account_in_flight",
           account => "one"), 1, "F189: of an account");
is($c->response->status, 200, "F189: a slow stream");

$c = $nginx->connect;
$c->request("POST", "/v1/messages", body => stream(),
            headers => ["x-sandbox: events=200,delay=50"]);
$c->read_until(qr/content_block_delta/);
$c->reset;

$c = $nginx->connect;
$c->request("POST", "/v1/messages", body => message(),
            headers => ["x-sandbox: first=10000"]);
wait_for(sub { value(scrape($nginx), "claude_relay_in_flight") >= 1 });
$c->reset;

$m = settled($nginx, value($before, "claude_relay_requests_total") + 3);

cmp_ok(moved("claude_relay_heartbeats_total"), ">=", 1, "F189: heartbeats");
is(moved("claude_relay_client_aborts_total", phase => "during"), 1,
   "F189: a client that left during the answer");
is(moved("claude_relay_client_aborts_total", phase => "before"), 1,
   "F189: and one before it");
is(moved("claude_relay_request_outcomes_total", class => "aborted"), 2,
   "F189: outcomes: aborted");
is(moved("claude_relay_estimated_requests_total"), 1,
   "F189: what it has used is a lower bound");
is(value($m, "claude_relay_in_flight"), 0, "F189: nothing is in flight");


# 7. workers and configurations go, counters stay

sub counters {
    my ($m) = @_;

    my %all;

    for my $name (grep { /_(total|sum|count|bucket)$/ } keys %{ $m->{sample} }) {
        $all{"$name $_"} = $m->{sample}{$name}{$_}
            for keys %{ $m->{sample}{$name} };
    }

    return \%all;
}

$before = scrape($nginx);

kill "KILL", ($nginx->workers)[0];

ok(wait_for(sub { value(scrape($nginx), "claude_relay_workers") == 2
                  && $nginx->workers == 2 }), "F189: a worker is killed");
is_deeply(counters(scrape($nginx)), counters($before),
          "F189: and all counters are as they were");

$nginx->post("/v1/messages", message());
$m = settled($nginx, value($before, "claude_relay_requests_total") + 1);
is(moved("claude_relay_model_requests_total", %served), 1,
   "F189: the new worker counts on");

# bytes are counted a moment after the answer was read

wait_for(sub {
    my $last = $m;
    sleep 0.1;
    $m = scrape($nginx);
    return eq_hash(counters($m), counters($last));
});

reload($nginx);

my $after = scrape($nginx);

is(value($after, "claude_relay_config_generation"),
   value($m, "claude_relay_config_generation") + 1, "F189: a reload");
is_deeply(counters($after), counters($m), "F189: keeps counters");

{
    # kill -9 while requests come: no answer that was given is lost, and none
    # is counted twice

    $before = $after;

    my $answered = 0;

    for my $i (1 .. 60) {
        my $r = eval { $nginx->post("/v1/messages/count_tokens", message()) };

        $answered++ if $r && $r->status == 200;

        kill "KILL", ($nginx->workers)[0] if $i % 20 == 10;
    }

    wait_for(sub {
        $m = scrape($nginx);
        return moved("claude_relay_requests_total") >= $answered;
    }, 2);

    my $counted = moved("claude_relay_requests_total");

    # an answer may be out, and its worker killed before it was counted

    ok($counted >= $answered - 3 && $counted <= 60,
       "F189: $counted of $answered answers are counted, over 3 kills");
    is(moved("claude_relay_request_duration_seconds_count"), $counted,
       "F189: in all places alike");
}


# 8. the board asks for what there is

{
    my $board = json(slurp(root() . "/conf/grafana.json"));
    my $text = slurp(root() . "/conf/grafana.json");
    my (@queries, %unknown, %asked);

    my @panels = map { ($_, @{ $_->{panels} // [] }) } @{ $board->{panels} };
    push @queries, map { $_->{expr} } @{ $_->{targets} // [] } for @panels;
    push @queries, map { ref $_->{query} ? $_->{query}{query} : $_->{query} }
                       grep { $_->{type} eq "query" }
                       @{ $board->{templating}{list} };

    my %there = map { $_ => 1 } keys %{ $m->{family} };

    # those of stores and rings are there where these are

    $there{$_} = 1 for qw/ claude_relay_store_up claude_relay_ring_size_bytes
                           claude_relay_ring_used_bytes
                           claude_relay_ring_records_total
                           claude_relay_ring_lost_total /;

    # and those of a fleet

    $there{$_} = 1 for map { "claude_relay_$_" }
        qw/ redis_state redis_commands_total redis_failures_total
            redis_errors_total redis_connects_total fleet_lookups_total
            fleet_grants_total fleet_shorts_total fleet_rows_total
            fleet_beats_total fleet_repairs_total fleet_nodes fleet_synced
            fleet_durable fleet_twin fleet_skew_seconds
            fleet_last_beat_age_seconds /;

    for (@queries) {
        for my $name (/\b((?:claude_relay|gen_ai)_\w+)\b(?!\s*=)/g) {
            next if $name =~ /^gen_ai_(response_model|request_model|token_type
                                       |provider_name|operation_name)$/x;

            (my $family = $name) =~ s/_(bucket|sum|count)$//;
            $asked{$family} = 1;
            $unknown{$name} = 1 if !$there{$name} && !$there{$family};
        }
    }

    cmp_ok(@queries, ">=", 20, "F189: the board: its queries");
    is_deeply([sort keys %unknown], [], "F189: the board: all series exist");
    ok((grep { $_->{type} eq "datasource" } @{ $board->{templating}{list} }),
       "F189: the board: a variable for the data source");

    my @panes = grep { $_->{type} ne "row" } @panels;

    is_deeply([grep { ($_->{datasource}{uid} // "") ne '${datasource}' } @panes],
              [], "F189: the board: which all panels use");
    is(scalar keys %{{ map { $_->{id} => 1 } @panels }}, scalar @panels,
       "F189: the board: ids");

    my $docs = slurp(root() . "/docs/metrics.md");

    SKIP: {
        skip "no promtool here", 2 if !defined $promtool;

        my $n = 0;
        my $rules = "groups:\n  - name: a\n    rules:\n";

        for (grep { !/^label_values/ } @queries,
             $docs =~ /^\| [^|`]+ \| `([^`]*(?:rate|sum)[^`]*)` \|$/mg)
        {
            s/\$__rate_interval/5m/g;
            $rules .= "      - record: a:" . $n++ . "\n        expr: "
                      . encode($_) . "\n";
        }

        my $file = spew($nginx->dir . "/board.yml", $rules);
        my $said = `$promtool check rules $file 2>&1`;
        ok($? == 0 && $said =~ /SUCCESS: $n rules/,
           "F189: the board: promtool check rules") || diag $said;

        $file = spew($nginx->dir . "/alerts.yml",
                     ($docs =~ /```yaml\n(.*?)```/s)[0]);
        $said = `$promtool check rules $file 2>&1`;
        ok($? == 0 && $said =~ /SUCCESS: \d+ rules/,
           "F189: docs/metrics.md: its alerts") || diag $said;
    }

    my @told = grep { $docs =~ /\b\Q$_\E\b/ } keys %there;

    is_deeply([sort @told], [sort keys %there],
              "F189: docs/metrics.md has every series");
}

$nginx->stop;


# 9. hostile names of models, in a zone that is small: they get no series

{
    my $small = relay(workers => 2, http => "claude_relay_zone relay:256k;",
        server => "location = /metrics { claude_relay_metrics keys=2; }",
        keys => join "", map { "claude_relay_key k$_ { secret k$_-secret-0000; }\n" }
                             1 .. 5);
    my $k = "k1-secret-0000";
    my $hostile = 500;

    for my $i (1 .. $hostile) {
        my $model = $i % 2 ? "hostile-$i" : "x\"} 1 $i\\{\\" . ("y" x 90);

        my $r = $small->request("POST", "/v1/messages", key => $k,
            body => message(model => $model), headers =>
            ["x-claude-code-session-id: 22222222-0000-4000-8000-"
             . sprintf("%012d", $i)]);
        die $r->head . $r->body if $r->status != 200;
    }

    for my $i (1 .. 5) {
        $small->request("POST", "/v1/messages/count_tokens", body => message(),
                        key => "k$i-secret-0000");
    }

    # somebody asks for made-up names, and a known one serves

    $small->request("POST", "/v1/messages", key => $k,
                    body => message(model => "asked-$_"),
                    headers => ["x-sandbox: model=claude-sonnet-4-6"])
        for 1 .. 50;

    my $m = settled($small, $hostile + 55);

    is(value($m, "claude_relay_model_requests_total"), $hostile + 50,
       "F189: 500 hostile names: all are counted");
    cmp_ok(series($m, "claude_relay_model_requests_total"), "<=", 18,
           "F189: in few series");
    cmp_ok(value($m, "claude_relay_model_requests_total",
                 model => "(other)"), ">=", $hostile - 9,
           "F189: most as the rest");
    cmp_ok(series($m, "gen_ai_server_request_duration_seconds_count"), "<=",
           18, "F189: of gen_ai, too");
    is(value($m, "claude_relay_model_requests_total",
             model => "claude-sonnet-4-6"), 50,
       "F189: a model with a price has a row all the same");
    is(value($m, "gen_ai_server_request_duration_seconds_count",
             gen_ai_request_model => "(other)",
             gen_ai_response_model => "claude-sonnet-4-6"), 50,
       "F189: not so the names that it was asked for by");
    is(series($m, "claude_relay_key_requests_total"), 3,
       "F189: keys=2: two, and the rest");
    is(value($m, "claude_relay_key_requests_total", key => "(other)"), 3,
       "F189: of which there are three");
    is(value($m, "claude_relay_key_requests_total"), $hostile + 55,
       "F189: nothing is missing");

    # more keys are wanted: what was counted stays

    reload($small, relay_http(http => "claude_relay_zone relay:256k;",
        server => "location = /metrics { claude_relay_metrics keys=4; }",
        keys => join "", map { "claude_relay_key k$_ { secret k$_-secret-0000; }\n" }
                             1 .. 5));

    $small->request("POST", "/v1/messages/count_tokens", body => message(),
                    key => "k$_-secret-0000") for 1 .. 5;

    $m = settled($small, $hostile + 60);

    is(series($m, "claude_relay_key_requests_total"), 5,
       "F189: keys=4 by a reload");
    is(value($m, "claude_relay_key_requests_total", key => "k2"), 2,
       "F189: a key that was known");
    is(value($m, "claude_relay_key_requests_total", key => "k3"), 1,
       "F189: one that has a row now");
    is(value($m, "claude_relay_key_requests_total", key => "(other)"), 4,
       "F189: and the rest");

    # a zone that is full forgets sessions

    my $i = 0;

    ok(wait_for(sub {
        for (1 .. 100) {
            $small->request("POST", "/v1/messages/count_tokens", key => $k,
                body => message(), headers =>
                ["x-claude-code-session-id: 33333333-0000-4000-8000-"
                 . sprintf("%012d", $i++)]);
        }
        return value(scrape($small), "claude_relay_evictions_total") > 0;
    }, 40), "F189: evictions");

    cmp_ok(value(scrape($small), "claude_relay_zone_pages_free"), "<",
           value(scrape($small), "claude_relay_zone_pages"),
           "F189: pages of the zone");
    is(value(scrape($small), "claude_relay_zone_size_bytes"), 256 * 1024,
       "F189: its size");

    $small->stop;
}


# 10. tokens and the store

{
    my $store = nginx(<<"END", workers => 2);
@{[ zone_and_key() ]}
@{[ store() ]}
@{[ login_account("soon", expires => 200, more => "pool soon;") ]}
@{[ login_account("gone", expires => 200, more => "pool gone;") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; claude_relay_pool soon; }
    location = /metrics { claude_relay_metrics; }
}
END

    ok(wait_for(sub { value(scrape($store), "claude_relay_token_refreshes_total",
                            result => "ok") >= 2 }),
       "F189: refreshes");
    is(value(scrape($store), "claude_relay_store_up"), 1, "F189: the store");
    cmp_ok(value(scrape($store),
                 "claude_relay_account_token_expiry_timestamp_seconds",
                 account => "soon"), ">", time + 300,
           "F189: the end of a token");

    $store->stop;
}


# 11. many accounts: bounded, or all of them

{
    my $many = relay(http => "claude_relay_zone relay:8m;",
        accounts => join("", map { account("a$_") } 1 .. 1500),
        server => "location = /all { claude_relay_metrics accounts=on; }"
                  . "location = /metrics { claude_relay_metrics; }");

    is(series(scrape($many, "/all"), "claude_relay_account_requests_total"),
       1500, "F189: 1500 accounts: all, if wanted");
    is(series(scrape($many), "claude_relay_account_requests_total"), 257,
       "F189: 1500 accounts: 256, and the rest");
    is(value(scrape($many), "claude_relay_accounts", state => "ok"), 1500,
       "F189: 1500 accounts: their states");

    $many->stop;
}

cmp_ok($scrapes, ">", 40, "F189: $scrapes scrapes were read");

finish();
