#!/usr/bin/perl

# Another model than the one asked for: F080 (by account), F052 (by the key's
# slots) and by location.  Bodies are compared byte for byte, in memory and
# in a file, and after an account has failed where another map holds.

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $accounts = account("one")
    . account("mapped", "pool mapped; model_map claude-OPUS-* up/opus;"
                        . " model_map *haiku* \"q\\\"uote\";"
                        . " model_map *haiku-3* never;"
                        . " model_map same same;")
    . account("both", "pool both; models other*; model_map alias-* big;")
    . account("first", "pool two; priority 200; model_map claude-* one-name;")
    . account("second", "pool two; priority 100; model_map *opus* two-name-x;"
                        . " models claude-*;")
    . account("third", "pool two; priority 50;")
    . account("rest", "pool rest; model_map claude-opus-* claude-sonnet-5;"
                       . " models *;");

my $nginx = relay(
    accounts => $accounts,
    http => "claude_relay_rest overloaded=0;",
    server => <<'END',
        claude_relay_retry_wait 0;
        claude_relay_sticky off;

        location /mapped/ { claude_relay; claude_relay_pool mapped; }
        location /mapped/small/ { claude_relay; claude_relay_pool mapped;
                                  client_body_buffer_size 1k; }
        location /mapped/file/ { claude_relay; claude_relay_pool mapped;
                                 client_body_in_file_only clean; }
        location /mapped/single/ { claude_relay; claude_relay_pool mapped;
                                   client_body_in_single_buffer on; }
        location /mapped/late/ { claude_relay; claude_relay_pool mapped;
                                 mirror /mirror; client_body_buffer_size 1k; }
        location = /mirror { return 204; }
        location /both/ { claude_relay; claude_relay_pool both; }
        location /two/ { claude_relay; claude_relay_pool two;
                         client_body_buffer_size 1k; }
        location /rest/ { claude_relay; claude_relay_pool rest; }
        location /here/ { claude_relay; claude_relay_map fast claude-haiku-9;
                          claude_relay_map FAST* slow;
                          location /here/below/ { claude_relay; }
                          location /here/own/ { claude_relay;
                                     claude_relay_map other else; } }
        location /here2/ { claude_relay; claude_relay_pool mapped;
                           claude_relay_map fast claude-opus-9; }
        location /list/ { claude_relay; claude_relay_pool both;
                          claude_relay_models known alias-1 none;
                          claude_relay_map known other-1; }
END
);

my $r;
my $long = "x" x 200000;


# posts a body, which must arrive as another one

sub arrives {
    my ($uri, $body, $wanted, $name) = @_;

    $r = $nginx->post("$uri/v1/messages", $body);

    # the sandbox knows no escaped names
    is($r->status, $body =~ /mod\\u/ ? 400 : 200, "$name: answered");
    is($up->last->{body_sha256}, sha256($wanted), "$name: as it should be")
        or diag(substr($up->last->{body} // "", 0, 300));
}


# by account: in every place of the body, however it is kept

my @places = (
    ["first", '{"model":%s,"max_tokens":5,"messages":[{"role":"user",'
              . '"content":"%s"}]}'],
    ["last", '{ "max_tokens": 5, "messages":[{"role":"user","content":"%s"}]'
             . ",\n\t\"model\" : %s }\n"],
    ["between", '{"messages":[{"role":"user","content":"%s"}],"model":%s,'
                . '"metadata":{"model":"claude-opus-1"},"max_tokens":5}'],
    ["by an escaped name", '{"mod\u0065l":%s,"max_tokens":5,"messages":[{'
                           . '"role":"user","content":"%s"}]}'],
);

for my $way ("", "/small", "/file", "/single", "/late") {
    for (@places) {
        my ($name, $text) = @$_;

        for my $content ("hi", $long) {
            my $model_first = index($text, "model") < index($text, "content");
            my $fill = sub { $model_first ? sprintf($text, $_[0], $content)
                                          : sprintf($text, $content, $_[0]) };
            my $size = length $content > 2 ? "long" : "short";

            arrives("/mapped$way", $fill->('"claude-opus-4-8"'),
                    $fill->('"up/opus"'), "F080: $name, $size, $way");
        }
    }
}

arrives("/mapped", '{"model":"cl\u0061ude-\u006fpus-5","messages":[]}',
        '{"model":"up/opus","messages":[]}', "F080: an escaped model");
is($nginx->log->{model}, "claude-opus-5", "F080: what was asked is told");
arrives("/mapped", '{"model":"claude-haiku-3","messages":[]}',
        '{"model":"q\"uote","messages":[]}',
        "F080: the first pattern counts, its name is quoted");
arrives("/mapped", '{"model":"s\u0061me","messages":[]}',
        '{"model":"s\u0061me","messages":[]}',
        "F080: a name that stays is spelled as it was");

$r = $nginx->post("/mapped/v1/messages/count_tokens",
                  '{"model":"claude-opus-1","messages":[]}');
is($r->status, 200, "F080: tokens are counted");
is($up->last->{body_sha256}, sha256('{"model":"up/opus","messages":[]}'),
   "F080: of the model that is sent");

$r = $nginx->post("/mapped/v1/messages", '{"model":"claude-opus-4-8",'
                                         . '"messages":[],"stream":true}');
my ($start) = grep { $_->[0] eq "message_start" } $r->events;
is(json($start->[1])->{message}{model}, "up/opus",
   "F080: the answer is the upstream's, unchanged");
is($nginx->log->{upstream_model}, "up/opus", "F080: and what was served");


# it is a filter, too

is_error($nginx->post("/mapped/v1/messages",
                      '{"model":"claude-sonnet-5","messages":[]}'),
         404, "not_found_error", "F080: no pattern, no account", qr/sonnet/);
arrives("/both", '{"model":"ALIAS-7","messages":[]}',
        '{"model":"big","messages":[]}', "F080: beside models");
arrives("/both", '{"model":"other-7","messages":[]}',
        '{"model":"other-7","messages":[]}', "F080: and models beside it");
is($nginx->post("/both/v1/messages", '{"model":"x","messages":[]}')->status,
   404, "F080: neither");

$r = $nginx->get("/list/v1/models");
is(join(" ", map { $_->{id} } @{ $r->json->{data} }), "known alias-1",
   "F080: models are listed if a map leads to an account");


# another account, another map

for my $content ("hi", $long) {
    my $body = '{"messages":[{"role":"user","content":"' . $content
             . '"}],"model":%s}';
    my $size = length $content > 2 ? "in a file" : "in memory";

    $up->behave("sk-ant-first-000001", "status=529");
    arrives("/two", sprintf($body, '"claude-opus-5"'),
            sprintf($body, '"two-name-x"'), "F080: failover, $size");

    arrives("/two", sprintf($body, '"claude-sonnet-5"'),
            sprintf($body, '"claude-sonnet-5"'),
            "F080: failover to an account without a map, $size");

    $up->behave("sk-ant-second-000001", "status=529");
    arrives("/two", sprintf($body, '"claude-opus-5"'),
            sprintf($body, '"claude-opus-5"'),
            "F080: failover, twice, $size");

    $up->behave("sk-ant-$_-000001", "") for qw/ first second /;
    arrives("/two", sprintf($body, '"claude-opus-5"'),
            sprintf($body, '"one-name"'), "F080: no failover, $size");
}


# a limit of one family is that of what was sent

$up->behave("sk-ant-rest-000001", "unified=7d_sonnet:900,once");

sub rests { $nginx->post("/rest/v1/messages", message(model => $_[0]))->status }

is(rests("claude-opus-5"), 429, "F080: the account rests, for a family");
$up->behave("sk-ant-rest-000001", "");
is(rests("claude-opus-5"), 429, "F080: of what it is sent");
is(rests("claude-sonnet-5"), 429, "F080: whoever asks for that");
is(rests("claude-haiku-5-5"), 200, "F080: not for another one");


# by location

arrives("/here", '{"messages":[],"model":"Fast"}',
        '{"messages":[],"model":"claude-haiku-9"}', "claude_relay_map");
arrives("/here", '{"messages":[],"model":"faster"}',
        '{"messages":[],"model":"slow"}', "claude_relay_map, a pattern");
arrives("/here", '{"messages":[],"model":"claude-x"}',
        '{"messages":[],"model":"claude-x"}', "claude_relay_map, another");
arrives("/here/below", '{"messages":[],"model":"fast"}',
        '{"messages":[],"model":"claude-haiku-9"}',
        "claude_relay_map is inherited");
arrives("/here/own", '{"messages":[],"model":"fast"}',
        '{"messages":[],"model":"fast"}', "and replaced");
arrives("/here2", '{"messages":[],"model":"fast"}',
        '{"messages":[],"model":"up/opus"}',
        "the account's map follows the location's");
is($nginx->log->{model}, "fast", "the model asked for is told");


# by the key's slots

my %slots = (
    opus => "map opus model=claude-sonnet-5 effort=high;",
    place => "map sonnet platform=console model=big; map haiku effort=low;",
    both => "map haiku platform=console model=other-small effort=max;",
    deny => "map opus model=claude-sonnet-5; models claude-opus-*;",
);

$nginx->stop;

$nginx = relay(
    keys => join("", map { "claude_relay_key $_ { secret $_-secret-0001;"
                           . " $slots{$_} }\n" } sort keys %slots),
    accounts => account("key", "priority 200;")
        . account("console", "platform console; api_key sk-ant-con-000001;"
                             . " model_map other-* last/name;"
                             . " models *;"),
    server => "claude_relay_retry_wait 0;",
    location => "claude_relay_map swift claude-haiku-5-5;"
                . " client_body_buffer_size 1k;",
);

sub slot {
    my ($key, $body, $wanted, $account, $name, $uri) = @_;

    $uri //= "/v1/messages";

    $r = $nginx->request("POST", $uri, body => $body,
                         key => "$key-secret-0001",
                         headers => ["content-type: application/json"]);

    is($r->status, 200, "F052: $name: answered");
    is($up->last->{body_sha256}, sha256($wanted), "F052: $name: as it should be")
        or diag(substr($up->last->{body} // "", 0, 300));
    is($nginx->log->{account}, $account, "F052: $name: by its account");
}

slot("opus", '{"model":"claude-opus-5","messages":[]}',
     '{"output_config":{"effort":"high"},"model":"claude-sonnet-5",'
     . '"messages":[]}', "key", "model and effort");
is($nginx->log->{model}, "claude-opus-5", "F052: what was asked is told");
slot("opus", '{"messages":[],"output_config":{"effort":"low","x":1},'
     . '"model":"claude-opus-5"}',
     '{"messages":[],"output_config":{"effort":"high","x":1},'
     . '"model":"claude-sonnet-5"}', "key", "an effort is replaced");
slot("opus", '{"messages":[{"role":"user","content":"' . $long
     . '"}],"output_config":{"format":{}},"model":"claude-opus-5"}',
     '{"messages":[{"role":"user","content":"' . $long
     . '"}],"output_config":{"effort":"high","format":{}},'
     . '"model":"claude-sonnet-5"}', "key", "in a file");
slot("opus", '{"model":"claude-haiku-5-5","messages":[]}',
     '{"model":"claude-haiku-5-5","messages":[]}', "key", "another slot");
slot("opus", '{"model":"claude-opus-5","messages":[]}',
     '{"model":"claude-sonnet-5","messages":[]}', "key", "no effort to count",
     "/v1/messages/count_tokens");

slot("place", '{"model":"claude-sonnet-4-6","messages":[]}',
     '{"model":"big","messages":[]}', "console", "another platform");
slot("place", '{"model":"claude-haiku-5-5","messages":[]}',
     '{"output_config":{"effort":"low"},"model":"claude-haiku-5-5",'
     . '"messages":[]}', "key", "effort alone");
slot("place", '{"model":"claude-opus-5","messages":[]}',
     '{"model":"claude-opus-5","messages":[]}', "key", "an empty slot");
slot("both", '{"model":"swift","messages":[],"output_config":null}',
     '{"model":"last/name","messages":[],"output_config":{"effort":"max"}}',
     "console", "the location's map, then the slot, then the account's map");
slot("deny", '{"model":"claude-opus-5","messages":[]}',
     '{"model":"claude-sonnet-5","messages":[]}', "key",
     "the key may ask for what it asks for");

$r = $nginx->request("POST", "/v1/messages", key => "deny-secret-0001",
                     body => '{"model":"claude-sonnet-5","messages":[]}');
is($r->status, 403, "F052: and not for what it is mapped to");

$r = $nginx->request("POST", "/v1/messages", key => "opus-secret-0001",
                     body => '{"model":"claude-opus-5","messages":[],'
                     . '"output_config":{"effort":"low","eff\u006frt":"max"}}');
is_error($r, 400, "invalid_request_error", "F052: an effort told twice",
         qr/duplicate key "effort" in output_config/);

# the only account of the slot's platform fails: nobody else is asked

$up->behave("sk-ant-con-000001", "status=529");
$r = $nginx->request("POST", "/v1/messages", key => "place-secret-0001",
                     body => '{"model":"claude-sonnet-4-6","messages":[]}');
is($r->status, 529, "F052: no other platform is asked");
is($nginx->log->{account}, "console", "F052: no other account");
$up->behave("sk-ant-con-000001", "");


# with a client profile: system, effort and model in one body

$nginx->stop;

my $conf = root() . "/conf/claude_code_profile.conf";
my $identity = qq({"type":"text","text":"You are Claude Code, Anthropic's )
             . qq(official CLI for Claude."});

$nginx = relay(
    http => "include $conf;",
    keys => "claude_relay_key opus { secret opus-secret-0001;"
            . " map opus effort=high; }",
    accounts => account("login", "platform claude-oauth;"
                        . " access_token sk-ant-oat01-login;"
                        . " model_map claude-opus-* up/opus;"),
    location => "claude_relay_client_profile claude-code;",
);

slot("opus", '{"model":"claude-opus-5","system":"be brief","messages":[]}',
     '{"output_config":{"effort":"high"},"model":"up/opus","system":['
     . $identity . ',{"type":"text","text":"be brief"}],"messages":[]}',
     "login", "profile and slot");
slot("opus", '{"messages":[],"system":"be brief","model":"claude-opus-5"}',
     '{"output_config":{"effort":"high"},"messages":[],"system":['
     . $identity . ',{"type":"text","text":"be brief"}],"model":"up/opus"}',
     "login", "profile and slot, another order");
slot("opus", '{"messages":[],"output_config":{},"model":"claude-opus-5"}',
     '{"system":[' . $identity . '],"messages":[],"output_config":{"effort":'
     . '"high"},"model":"up/opus"}', "login", "profile, no system");
slot("opus", '{"model":"claude-opus-5","messages":[]}',
     '{"system":[' . $identity . '],"output_config":{"effort":"high"},'
     . '"model":"up/opus","messages":[]}', "login", "profile, neither");


# configurations

my @bad = (
    ["account", "model_map a;", qr/"model_map" in account "x" must have/],
    ["account", "model_map a b c;", qr/must have a pattern and a name/],
    ["account", "model_map \"\" b;", qr/"model_map" has an empty name/],
    ["account", "model_map a \"\";", qr/"model_map" has an empty name/],
    ["account", "model_map a b; model_map A c;", qr/has a pattern twice/],
    ["account", "model_map a \"b\\nc\";", qr/has control characters/],
    ["account", "model_map a " . "b" x 128 . ";", qr/that is too long/],
    ["account", join("", map { "model_map a$_ b;" } 1 .. 65),
     qr/has too many patterns/],
    ["location", "claude_relay_map a;", qr/invalid number of arguments/],
    ["location", "claude_relay_map a \"\";", qr/"claude_relay_map" has an/],
    ["location", "claude_relay_map a b; claude_relay_map a c;", qr/twice/],
);

for (@bad) {
    my ($where, $text, $like) = @$_;

    my ($rc, $said) = config(relay_http(
        $where eq "account" ? (accounts => account("x", $text))
                            : (location => $text)));

    ok(!$rc, substr("refused: $text", 0, 70));
    like($said, $like, "and told why");
}

ok((config(relay_http(accounts => account("x", join("",
    map { "model_map a$_ b;" } 1 .. 64)))))[0], "64 patterns");

finish();
