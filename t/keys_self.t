#!/usr/bin/perl

# F005: what a key is told about itself, and that it is told nothing else.

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use ClaudeRelay;
use ClaudeRelayWire;


my $up = sandbox();

my @paths = ("/v1/me", "/v1/usage", "/v1/key-info",
             "/v1/organizations/any-one/usage");

my $nginx = nginx(<<"END", workers => 1);
claude_relay_zone relay:2m;
@{[ store() ]}
claude_relay_control unix:%%DIR%%/control.sock;
claude_relay_group team { limit cost:100/month; limit requests:50/day; }
claude_relay_user ann { group team; limit tokens:1m/total; }
claude_relay_key alice {
    secret alice-secret-0001;
    description "the one \\"key\\"";
    tags a b;
    user ann;
    pool default;
    models claude-*;
    permissions claude;
    expires 2031-01-31T00:00:00Z;
    limit requests:10/day;
    limit tokens:1m/day;
    limit cost:5/day;
    limit cost:3/total models=*opus*;
    limit output:5k/2h;
    limit concurrency:2;
    limit cost:1/month shadow;
}
claude_relay_key bob { secret bob-secret-0001; limit requests:7/day; }
claude_relay_key gem { secret gem-secret-0001; permissions gemini; }
claude_relay_key late { secret late-secret-0001; expires 1999-01-01T00:00:00Z; }
claude_relay_key cc { secret ccc-secret-0001; clients claude_code; }
@{[ account("one") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    location /health { claude_relay_health full=on; }
    location / { claude_relay; claude_relay_cors https://app.example; }
    location /none/ { claude_relay; claude_relay_keys off; }
    location /free/ { claude_relay; claude_relay_keys optional; }
    location /stored/ { claude_relay; }
}
END

my ($r, $json);

sub about {
    my ($key, $path, @headers) = @_;

    $r = $nginx->request("GET", $path, key => $key, headers => \@headers);
    $json = $r->status == 200 ? $r->json : undef;

    return $r;
}

sub limit_of {
    my ($text) = @_;

    my ($l) = grep { $_->{limit} eq $text } @{ $json->{limits} };
    $l or diag("no $text: " . $r->body);

    return $l;
}


# who may ask

for my $path (@paths) {
    is(about("alice-secret-0001", $path)->status, 200, "F005: $path");
    is($r->header("content-type"), "application/json", "F005: $path: JSON");
    is($r->header("cache-control"), "no-store", "F005: $path: not kept");
    is(about("alice-secret-0001", "/api$path")->status, 200,
       "F005: $path: below a prefix");

    is_error(about("alice-secret-0002", $path), 401, "authentication_error",
             "F005: $path: a wrong key", qr/invalid API key/);
    is_error(about(undef, $path), 401, "authentication_error",
             "F005: $path: no key", qr/no API key/);
    is_error(about("late-secret-0001", $path), 401, "authentication_error",
             "F005: $path: a key that is over", qr/expired/);
    is_error(about(undef, "/free$path"), 401, "authentication_error",
             "F005: $path: keys are optional, there is none", qr/no API key/);
    is_error(about("alice-secret-0001", "/none$path"), 404, "not_found_error",
             "F005: $path: where there are no keys", qr/no keys here/);
    is_error($nginx->request("POST", $path, key => "alice-secret-0001",
                             body => "{}"),
             405, "invalid_request_error", "F005: $path: POST", qr/method/);

    $r = $nginx->request("HEAD", $path, key => "alice-secret-0001");
    is($r->status, 200, "F005: $path: HEAD");
    is($r->body, "", "F005: $path: HEAD has no body");

    $r = $nginx->request("OPTIONS", $path, key => undef,
                         headers => ["Origin: https://app.example"]);
    is($r->status, 204, "F005: $path: OPTIONS");
    is($r->header("access-control-allow-origin"), "https://app.example",
       "F005: $path: CORS");

    about("alice-secret-0001", $path, "Origin: https://app.example");
    is($r->header("access-control-allow-origin"), "https://app.example",
       "F005: $path: CORS of the answer");
}

for my $path ("/v1/organizations", "/v1/organizations/", "/v1/me/x",
              "/v1/organizations/x", "/v1/organizations/x/y",
              "/v1/organizations/x/y/usage", "/v1/organizations/x/usage/",
              "/v1/organizations//usage", "/v1/usage/x", "/v1/key-info/1")
{
    my $status = about("alice-secret-0001", $path)->status;
    is($status, 404, "F005: $path: no such path") || diag($r->body);
    is(about(undef, $path)->status, 404, "F005: $path: nor without a key");
}

is(about("gem-secret-0001", "/v1/me")->status, 200,
   "F005: a key for other services is told, too");
is(about("ccc-secret-0001", "/v1/me")->status, 403,
   "F005: a key for other clients is not");
is($up->requests, 0, "F005: nobody was asked");


# what is told

about("alice-secret-0001", "/v1/me");
my $id = $json->{id};
like($id, qr/^user_[0-9a-f]{16}$/, "F005: me: id");
is($json->{display_name}, "alice", "F005: me: name");
is($json->{type}, "user", "F005: me: type");
is($json->{user}, "ann", "F005: me: user");

about("alice-secret-0001", "/v1/key-info");
my $info = $json->{keyInfo};
is("user_$info->{id}", $id, "F005: key-info: id");
is($info->{name}, "alice", "F005: key-info: name");
is($info->{description}, 'the one "key"', "F005: key-info: description");
is_deeply($info->{tags}, ["a", "b"], "F005: key-info: tags");
is_deeply($info->{models}, ["claude-*"], "F005: key-info: models");
is_deeply($info->{permissions}, ["claude"], "F005: key-info: permissions");
is($info->{source}, "nginx.conf", "F005: key-info: source");
is($info->{expires_at}, "2031-01-31T00:00:00Z", "F005: key-info: expiry");
ok($info->{enabled}, "F005: key-info: enabled");
is($info->{user}, "ann", "F005: key-info: user");
ok(!exists $info->{pool}, "F005: key-info: the pool is the operator's");
unlike($r->body, qr/secret|bob|sk-ant/, "F005: no secret, nobody else");

about("bob-secret-0001", "/v1/key-info");
is($json->{keyInfo}{name}, "bob", "F005: another key is told of itself");
unlike($r->body, qr/alice|ann|team/, "F005: and not of others");
is(scalar(@{ $json->{keyInfo}{limits} }), 1, "F005: its own limit");


# limits, and what is left of them

my ($tokens, $output) = (0, 0);

for (1 .. 3) {
    is($nginx->request("POST", "/v1/messages", key => "alice-secret-0001",
                       body => message(model => "claude-sonnet-4-6"))->status,
       200, "a message");

    my $l = $nginx->log;
    $tokens += $l->{$_} for qw/ input_tokens output_tokens cache_read_tokens
                                cache_write_tokens /;
    $output += $l->{output_tokens};
}

about("alice-secret-0001", "/v1/usage");

my $l = limit_of("requests:10/day");
is_deeply([@$l{qw/ scope owner unit window amount used reserved remaining /}],
          ["key", "alice", "requests", "day", 10, 3, 0, 7],
          "F005: usage: requests");
like($l->{resets_at}, qr/^20\d\d-\d\d-\d\dT00:00:00Z$/,
     "F005: usage: the end of the day");
ok(!$l->{shadow}, "F005: usage: it holds");

is(limit_of("tokens:1m/day")->{used}, $tokens, "F005: usage: tokens");
is(limit_of("tokens:1m/day")->{remaining}, 1000000 - $tokens,
   "F005: usage: what is left of them");

$l = limit_of("output:5k/2h");
is($l->{used}, $output, "F005: usage: a window of two hours");
like($l->{resets_at}, qr/^20\d\d-/, "F005: usage: which has begun");

$l = limit_of("concurrency:2");
is($l->{amount}, 2, "F005: usage: concurrency");
is($l->{resets_at}, undef, "F005: usage: which has no end");
is(limit_of("cost:3 models=*opus*")->{models}, "*opus*",
   "F005: usage: of some models");
ok(limit_of("cost:1/month shadow")->{shadow}, "F005: usage: a shadow");

is(limit_of("tokens:1m")->{scope}, "user", "F005: usage: the user's");
is(limit_of("tokens:1m")->{used}, $tokens, "F005: usage: the same");
is(limit_of("requests:50/day")->{owner}, "team", "F005: usage: the group's");
is(limit_of("requests:50/day")->{used}, 3, "F005: usage: and its use");

is($json->{usage}{day}{requests}, 3, "F005: usage: sums");
is($json->{usage}{day}{tokens}, $tokens, "F005: usage: of each unit");
is($json->{usage}{"2h"}{output}, $output, "F005: usage: and window");
ok(!exists $json->{usage}{total}, "F005: usage: not of some models");

# by the ledger, whatever limits there are

for my $span (qw/ today month total /) {
    my $t = $json->{totals}{$span};

    is($t->{requests}, 3, "F005: totals: $span: requests");
    is($t->{output_tokens}, $output, "F005: totals: $span: output");
    is($t->{input_tokens} + $t->{output_tokens} + $t->{cache_read_tokens}
       + $t->{cache_write_tokens}, $tokens, "F005: totals: $span: tokens");
    is(sprintf("%.6f", $t->{cost}),
       sprintf("%.6f", limit_of("cost:5/day")->{used}),
       "F005: totals: $span: cost");
}

my $cost = limit_of("cost:5/day");
is($cost->{amount}, 5, "F005: usage: dollars");
is($json->{remaining}, $cost->{remaining}, "F005: usage: what is left");
is($json->{unit}, "USD", "F005: usage: of them");
ok($json->{isValid}, "F005: usage: it is valid");
cmp_ok($cost->{remaining}, "<=", 5, "F005: usage: not more than there was");
is(sprintf("%.6f", $cost->{remaining} + $cost->{used}), "5.000000",
   "F005: usage: used and left");

about("alice-secret-0001", "/v1/organizations/42/usage");
is($json->{data}[0]{credit_balance}, $cost->{remaining},
   "F005: organization: a balance");
is($json->{data}[0]{type}, "credit_balance", "F005: organization: its type");

about("bob-secret-0001", "/v1/usage");
is($json->{remaining}, undef, "F005: usage: no limit of costs");
is($json->{usage}{day}{requests}, 0, "F005: usage: another key's is its own");
is($json->{totals}{total}{requests}, 0, "F005: totals: so are these");

# many ask at once, and some do not wait for the answer

{
    my @c = map { $nginx->connect } 1 .. 40;

    $_->request("GET", "/v1/usage", key => "bob-secret-0001") for @c;
    $_->close for splice @c, 0, 15;

    my @r = map { $_->response } @c;

    is(scalar(grep { $_->status == 200 } @r), 25, "F005: totals: many at once");
    ok((grep { $_->json->{totals} } @r) > 0, "F005: totals: some are told");
    $_->close for @c;
}

# what is under way is reserved

my $w = wire(port(), ask(key => "alice-secret-0001", stream => 1,
                         do => "events=100,delay=50"));
pump(sub { $w->{head} }, 10);

about("alice-secret-0001", "/v1/usage");
is(limit_of("concurrency:2")->{reserved}, 1, "F005: usage: one is under way");
is(limit_of("concurrency:2")->{remaining}, 1, "F005: usage: one is left");
is(limit_of("requests:10/day")->{reserved}, 1, "F005: usage: it is reserved");
is(limit_of("requests:10/day")->{remaining}, 6, "F005: usage: and not left");

$w->abort;
ok(until_true(sub { about("alice-secret-0001", "/v1/usage");
                    limit_of("concurrency:2")->{reserved} == 0 }, 10),
   "F005: usage: it is over");


# a key that has nothing left is told so

for (1 .. 20) {
    $r = $nginx->request("POST", "/v1/messages", key => "bob-secret-0001",
                         body => message(model => "claude-sonnet-4-6"));
    last if $r->status == 429;
}

is($r->status, 429, "a limit is reached");
about("bob-secret-0001", "/v1/usage");
is($r->status, 200, "F005: usage: asking costs nothing");
is(limit_of("requests:7/day")->{remaining}, 0, "F005: usage: nothing is left");


# keys of the store

$r = $nginx->control("POST", "/v1/keys", {
    name => "stored", description => "d", valid_for => "30d",
    limits => ["requests:5/day"], icon => "i", tags => ["t"] });
is($r->status, 201, "a key of the store") or diag($r->body);

my $secret = $r->json->{secret};

ok(wait_for(sub { about($secret, "/v1/key-info")->status == 200 }, 5),
   "F005: store: told");

$info = $json->{keyInfo};
is($info->{source}, "store", "F005: store: source");
is($info->{prefix}, substr($secret, 0, length $info->{prefix}),
   "F005: store: the beginning of the secret");
cmp_ok(length $info->{prefix}, "<", 16, "F005: store: and no more of it");
unlike($r->body, qr/\Q$secret/, "F005: store: the secret is not told");
is($info->{valid_for}, "30d", "F005: store: valid for");
is($info->{last_used_at}, undef, "F005: store: to ask is no use");
is($info->{activated_at}, undef, "F005: store: nor a first one");
is($info->{expires_at}, undef, "F005: store: so it has no end");
like($info->{created_at}, qr/^20/, "F005: store: created");
is($info->{limits}[0]{remaining}, 5, "F005: store: limits");

is($nginx->request("POST", "/v1/messages", key => $secret,
                   body => message(model => "claude-sonnet-4-6"))->status,
   200, "store: a message");

about($secret, "/v1/key-info");
$info = $json->{keyInfo};
like($info->{last_used_at} // "", qr/^20/, "F005: store: used");
like($info->{activated_at} // "", qr/^20/, "F005: store: for the first time");
like($info->{expires_at} // "", qr/^20/, "F005: store: it has an end");
is($info->{limits}[0]{remaining}, 4, "F005: store: what is left");

is($nginx->control("DELETE", "/v1/keys/stored")->status, 204, "store: removed");
ok(wait_for(sub { about($secret, "/v1/me")->status == 401 }, 5),
   "F005: store: then it is told nothing");

finish();
