#!/usr/bin/perl

# N03: $claude_relay_* in log_format, map, limit_req, add_header; the relay
# among the other modules of nginx.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    accounts => account("one") . account("two", "priority 50;")
                . account("oauth", "platform claude-oauth; pool oauth;"
                                   . " access_token sk-ant-oat01-t;"),
    http => <<'END',
        limit_req_zone $http_x_client zone=slow:1m rate=1r/m;
        limit_conn_zone $http_x_client zone=few:1m;
        limit_req_zone $claude_relay_key zone=never:1m rate=1000r/s;

        map $claude_relay_error_class $kind {
            default  bad;
            ok       good;
        }

        map $claude_relay_model $opus {
            default   "";
            ~*opus    yes;
        }

        log_format short '$claude_relay_key $claude_relay_model $kind $remote_addr';
        claude_relay_rest server=0 throttled=0;
END
    server => <<'END',
        location /oauth/ { claude_relay; claude_relay_pool oauth; }

        location /limited/ { claude_relay; limit_req zone=slow; }
        location /limited429/ { claude_relay; limit_req zone=slow;
                                limit_req_status 429; }
        location /few/ { claude_relay; limit_conn few 1;
                         limit_conn_status 429; }

        location /auth/ { claude_relay; auth_request /check; }
        location /auth500/ { claude_relay; auth_request /broken; }
        location = /check { internal; return 204; }
        location = /broken { internal; return 500; }
        location /refused/ { claude_relay; auth_request /no; }
        location = /no { internal; return 403; }

        location /denied/ { claude_relay; deny all; }
        location /allowed/ { claude_relay; allow 127.0.0.1; deny all; }
        location /any/ { claude_relay; satisfy any; deny all;
                         auth_request /check; }
        location /basic/ { claude_relay; auth_basic area;
                           auth_basic_user_file %%DIR%%/users; }

        location /headers/ {
            claude_relay;
            add_header X-Account $claude_relay_account always;
            add_header X-Model $claude_relay_model always;
            add_header X-Kind $kind always;
            add_header X-Key $claude_relay_key;
            add_header X-Trail $claude_relay_attempts;
            expires 1h;
        }

        location /short/ {
            claude_relay;
            access_log %%DIR%%/short.log short;
            access_log %%DIR%%/opus.log short if=$opus;
        }

        location /real/ {
            claude_relay;
            set_real_ip_from 127.0.0.1;
            real_ip_header X-Forwarded-For;
            access_log %%DIR%%/real.log short;
        }

        location /page/ {
            claude_relay;
            error_page 404 401 /sorry;
            error_page 429 =200 /sorry;
        }
        location = /sorry { return 200 "sorry\n"; }

        location /named/ { claude_relay; error_page 403 @named; deny all; }
        location @named { return 418 "named\n"; }

        location /rewritten/ { rewrite ^/rewritten/(.*) /v1/$1 last; }
        location /gzip/ { claude_relay; gzip on; gzip_types *;
                          gzip_min_length 1; gzip_proxied any; }
        location /plain { return 200 "$claude_relay_key|$claude_relay_model"; }
END
);

my $r;

sub ask {
    my ($uri, %field) = @_;
    my @headers = @{ delete $field{headers} // [] };

    return $nginx->post($uri, message(%field), @headers);
}


# 1. all variables in a JSON log (F183): a message, a stream, errors

$r = ask("/v1/messages?beta=true", headers => ["X-Claude-Code-Session-Id: s-1"]);

my $log = $nginx->log;

is($log->{request_id}, $r->header("x-request-id"), "F028: request_id");
like($log->{request_id}, qr/^[0-9a-f]{32}$/, "F028: its form");
like(delete $log->{own_time}, qr/^\d+$/, "F183: own_time, us");
like(delete $log->{ttft}, qr/^\d+\.\d{3}$/, "F183: ttft, s.ms");
like(delete $log->{session}, qr/^[0-9a-f]{16}$/, "F183: session is a hash");
like(delete $log->{attempts}, qr/^one:200:ok:\d+$/, "N07: attempts");
like(delete $log->{key_id}, qr/^[0-9a-f]{16}$/, "F183: key_id");
like(delete $log->{price}, qr/^[0-9a-f-]+$/, "F183: price");
delete @$log{qw/ bytes request_id /};

is_deeply($log, {
    status => 200, request => "POST /v1/messages?beta=true HTTP/1.1",
    uri => "/v1/messages?beta=true", key => "alice", account => "one",
    platform => "anthropic", dialect => "anthropic", stream => "0",
    quota => "", limit => "", shadow => "", model => "claude-sonnet-4-6", upstream_model => "claude-sonnet-4-6",
    sticky => "miss", input_tokens => "12", output_tokens => "5",
    cache_read_tokens => "2048", cache_write_tokens => "300",
    cost => "0.002300", stop_reason => "end_turn", error_class => "ok", profile => "off",
}, "F183: all the others") || diag explain $log;

ask("/v1/messages", headers => ["X-Claude-Code-Session-Id: s-1"]);
is($nginx->log->{sticky}, "hit", "F183: sticky");

$nginx->post("/oauth/v1/messages", stream(text => "sandbox(input=7,events=9,"
             . "cache-read=1,cache-5m=2,cache-1h=3,stop=max_tokens,"
             . "model=claude-other,first=30)"));
$log = $nginx->log;
is($log->{stream}, "1", "F183: stream");
is($log->{platform}, "claude-oauth", "F183: platform");
is($log->{input_tokens}, 7, "F168: input_tokens of a stream");
is($log->{output_tokens}, 9, "F168: output_tokens of a stream");
is($log->{cache_read_tokens}, 1, "F168: cache_read_tokens");
is($log->{cache_write_tokens}, 5, "F169: cache_write_tokens: 5m and 1h");
is($log->{stop_reason}, "max_tokens", "F183: stop_reason");
is($log->{upstream_model}, "claude-other", "F183: upstream_model");
is($log->{model}, "claude-sonnet-4-6", "F183: model");
cmp_ok($log->{ttft}, ">=", 0.03, "F183: ttft of a stream");

ask("/v1/messages", text => "sandbox(usage-zero)");
is($nginx->log->{input_tokens}, "0", "F167: zero is a number");
ask("/v1/messages", text => "sandbox(no-usage)");
is($nginx->log->{input_tokens}, "", "F167: no usage, no number");

ask("/v1/messages", text => "sandbox(status=400)");
$log = $nginx->log;
is($log->{error_class}, "client", "F183: error_class");
like($log->{attempts}, qr/^one:400:client:\d+$/, "N07: the trail of a 400");
is($log->{input_tokens}, "", "F167: no usage of an error");

ask("/v1/messages", text => "sandbox(status=500,once,global)");
like($nginx->log->{attempts}, qr/^one:500:server:\d+,(one|two):200:ok:\d+$/,
     "N07: the trail of two attempts");

ask("/v1/messages", text => "sandbox(status=418)", model => 'a"b\\');
is($nginx->log->{model}, 'a"b\\', "F183: a model is escaped in JSON");

$nginx->post("/v1/messages", "not json");
$log = $nginx->log;
is($log->{error_class}, "client", "F183: bad JSON: error_class");
is($log->{attempts}, "", "N07: bad JSON: no attempt");
is($log->{key}, "alice", "F183: bad JSON: key");

$r = $nginx->get("/plain");
is($r->body, "|", "N03: empty where no relay is");


# 2. map, add_header, conditional logs

$r = ask("/headers/v1/messages");
is($r->header("x-account"), "one", "N03: add_header: account");
is($r->header("x-kind"), "good", "N03: add_header: a map");
is($r->header("x-key"), "alice", "N03: add_header: key");
is($r->header("x-model"), "claude-sonnet-4-6", "N03: add_header: model");
is($r->header("cache-control"), "max-age=3600", "expires works");

$r = ask("/headers/v1/messages", text => "sandbox(status=400)");
is($r->header("x-kind"), "bad", "N03: add_header always on an error");
$r = $nginx->get("/headers/nix");
is($r->header("x-kind"), "bad", "N03: add_header always on an own error");

ask("/short/v1/messages");
ask("/short/v1/messages", model => "claude-opus-5");
wait_for(sub { slurp($nginx->dir . "/short.log") =~ tr/\n// == 2
               && -s $nginx->dir . "/opus.log" });
is(slurp($nginx->dir . "/short.log"),
   "alice claude-sonnet-4-6 good 127.0.0.1\n"
   . "alice claude-opus-5 good 127.0.0.1\n", "N03: log_format and map");
is(slurp($nginx->dir . "/opus.log"), "alice claude-opus-5 good 127.0.0.1\n",
   "N03: a conditional log by model");

ask("/real/v1/messages", headers => ["X-Forwarded-For: 192.0.2.7"]);
wait_for(sub { -s $nginx->dir . "/real.log" });
like(slurp($nginx->dir . "/real.log"), qr/ 192\.0\.2\.7$/m, "realip");
is($up->header("x-forwarded-for"), undef, "realip: nothing goes on");


# 3. what other modules refuse speaks the dialect

spew($nginx->dir . "/users", "eve:{PLAIN}word\n");

$up->reset;

ask("/limited/v1/messages", headers => ["X-Client: a"]);
$r = ask("/limited/v1/messages", headers => ["X-Client: a"]);
is_error($r, 503, "api_error", "N03: limit_req");

ask("/limited429/v1/messages", headers => ["X-Client: b"]);
$r = ask("/limited429/v1/messages", headers => ["X-Client: b"]);
is_error($r, 429, "rate_limit_error", "N03: limit_req_status 429");
like($r->header("x-request-id") // "", qr/^[0-9a-f]{32}$/,
     "F028: even there is a request id");

my $c = $nginx->connect;
$c->request("POST", "/few/v1/messages", headers => ["X-Client: c"],
            body => stream(text => "sandbox(events=3,delay=100)"));
$c->read_until(qr/message_start/);
$r = ask("/few/v1/messages", headers => ["X-Client: c"]);
is_error($r, 429, "rate_limit_error", "N03: limit_conn");
is(($c->response->events)[-1][0], "message_stop", "the other goes on");

my $went = $up->requests;

is_error(ask("/denied/v1/messages"), 403, "permission_error", "N03: deny");
is_error(ask("/refused/v1/messages"), 403, "permission_error",
         "N03: auth_request says no");
is_error(ask("/auth500/v1/messages"), 500, "api_error",
         "N03: auth_request breaks");

$r = ask("/basic/v1/messages");
is_error($r, 401, "authentication_error", "N03: auth_basic");
like($r->header("www-authenticate") // "", qr/area/, "N03: it says how");

is($up->requests, $went, "N03: nothing of this went upstream");

is(ask("/allowed/v1/messages")->status, 200, "N03: allow");
is(ask("/auth/v1/messages")->status, 200, "N03: auth_request");
is($up->last->{body_sha256}, sha256(message()), "N03: and the body is whole");
is(ask("/any/v1/messages")->status, 200, "N03: satisfy any");

is($nginx->get("/denied/v1/messages", "Accept: text/html")
         ->header("content-type"), "application/json", "N03: always JSON");
$r = $nginx->request("HEAD", "/denied/v1/models");
is($r->status, 403, "N03: HEAD of a refused one");


# 4. error_page: the operator's own pages

$r = ask("/page/nix");
is($r->status, 404, "an own error is not intercepted without a page of nginx");
is_error(ask("/page/v1/messages", text => "sandbox(status=404)"), 404,
         "not_found_error", "an error of the upstream is not intercepted");

$r = ask("/named/v1/messages");
is($r->status, 403, "error_page of a refusal") || diag $r->head;
is($r->body, "named\n", "error_page: the operator's own body");


# 5. rewrite, gzip

is(ask("/rewritten/messages?beta=true")->status, 200, "rewrite");
is($up->last->{target}, "/v1/messages?beta=true", "rewrite: the path");

$r = $nginx->post("/gzip/v1/messages", stream(), "Accept-Encoding: gzip");
is($r->header("content-encoding"), undef, "F002: no gzip on event streams");
is(scalar($r->events), 11, "F002: all events");

finish();
