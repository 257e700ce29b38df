#!/usr/bin/perl

# F004: GET /v1/models and /v1/models/{id}, answered by the relay (F.3).

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    accounts => account("one")
                . account("opus", "pool opus; models *opus*;")
                . account("both", "pool both; models claude-haiku-*;")
                . account("sonnet", "pool both; models claude-sonnet-4-6;")
                . account("none", "pool none; models gpt-*;"),
    server => <<'END',
        location /own/ {
            claude_relay;
            claude_relay_models claude-opus-5 'claude-x=Claude X \"the best\"';
            claude_relay_models claude-y;
        }
        location /opus/ { claude_relay; claude_relay_pool opus; }
        location /both/ { claude_relay; claude_relay_pool both; }
        location /none/ { claude_relay; claude_relay_pool none; }
        location /filtered/ {
            claude_relay;
            claude_relay_pool opus;
            claude_relay_models claude-opus-5 claude-sonnet-5 my-opus;
        }
END
);

my $r;

sub ids {
    my ($uri) = @_;

    return map { $_->{id} } @{ $nginx->get($uri)->json->{data} };
}


# the built-in list

my @all = ids("/v1/models?limit=1000");

cmp_ok(@all, ">", 8, "F004: a list");
is(scalar(grep { !/^claude-/ } @all), 0, "F004: of Claude models");

$r = $nginx->get("/v1/models");
is($r->status, 200, "F004: status");
is($r->header("content-type"), "application/json", "F004: type");
is($r->json->{first_id}, $all[0], "F004: first_id");

for my $model (@{ $r->json->{data} }) {
    my $ok = $model->{type} eq "model"
             && length $model->{display_name}
             && $model->{created_at} =~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/
             && $model->{max_input_tokens} >= 200000
             && $model->{max_tokens} >= 32000;

    ok($ok, "F004: the fields of $model->{id}");
}

my @times = map { $_->{created_at} } @{ $nginx->get("/v1/models?limit=1000")
                                        ->json->{data} };
is_deeply(\@times, [sort { $b cmp $a } @times], "F004: newest first");


# paging

my (@pages, $after);

while (@pages < 20) {
    $r = $nginx->get("/v1/models?limit=3" . ($after ? "&after_id=$after" : ""));

    my $page = $r->json;

    push @pages, [map { $_->{id} } @{ $page->{data} }];
    is($page->{first_id}, $pages[-1][0], "F004: page " . @pages . ": first_id");
    is($page->{last_id}, $pages[-1][-1], "F004: page " . @pages . ": last_id");

    $after = $page->{last_id};
    last if !$page->{has_more};
}

is_deeply([map { @$_ } @pages], \@all, "F004: all pages make the list");
cmp_ok(@{ $pages[$_] }, "==", 3, "F004: page $_ is full") for 0 .. $#pages - 1;

is_deeply([ids("/v1/models?before_id=$all[4]&limit=2")], [@all[2, 3]],
          "F004: before_id, the two before it");
is_deeply([ids("/v1/models?before_id=$all[1]&limit=5")], [$all[0]],
          "F004: before_id, what there is");

$r = $nginx->get("/v1/models?before_id=$all[4]&limit=2")->json;
ok($r->{has_more}, "F004: before_id: there are more before");
$r = $nginx->get("/v1/models?before_id=$all[2]&limit=2")->json;
ok(!$r->{has_more}, "F004: before_id: there are no more before");

$r = $nginx->get("/v1/models?after_id=$all[-1]")->json;
is_deeply($r->{data}, [], "F004: nothing after the last");
is($r->{has_more}, JSON::PP::false, "F004: has_more of an empty page");
is($r->{first_id}, undef, "F004: first_id of an empty page");

for my $args ("limit=0", "limit=1001", "limit=x", "limit=-1", "limit=",
              "after_id=nix", "before_id=nix",
              "limit=99999999999999999999999")
{
    is_error($nginx->get("/v1/models?$args"), 400, "invalid_request_error",
             "F004: $args");
}

is($nginx->get("/v1/models?limit=1000&beta=true&x=y")->status, 200,
   "F004: other arguments");


# one

for my $id (@all) {
    $r = $nginx->get("/v1/models/$id");
    is($r->json->{id}, $id, "F004: GET /v1/models/$id");
}

is_deeply($nginx->get("/v1/models/$all[0]")->json,
          $nginx->get("/v1/models")->json->{data}[0], "F004: as in the list");

is_error($nginx->get("/v1/models/nix"), 404, "not_found_error",
         "F004: an unknown one", qr/^model: nix$/);
is_error($nginx->get("/v1/models/a%22%5C%0A"), 404, "not_found_error",
         "F004: an odd one", qr/^model: a"\\\n$/);
is_error($nginx->get("/v1/models/" . "x" x 5000), 404, "not_found_error",
         "F004: a long one", qr/^model: x+$/);
is_error($nginx->get("/v1/models/\xff\xfe"), 404, "not_found_error",
         "F004: not UTF-8");


# the configured list

is_deeply([ids("/own/v1/models")], ["claude-opus-5", "claude-x", "claude-y"],
          "F004: claude_relay_models");

my ($opus, $x, $y) = @{ $nginx->get("/own/v1/models")->json->{data} };

is($opus->{display_name}, "Claude Opus 5", "F004: what is known is known");
is($opus->{max_input_tokens}, 1000000, "F004: its size, too");
is($x->{display_name}, 'Claude X "the best"', "F004: a name");
is($y->{display_name}, "claude-y", "F004: no name");
is($nginx->get("/own/v1/models/claude-x")->json->{id}, "claude-x",
   "F004: one of them");
is($nginx->get("/own/v1/models/claude-sonnet-5")->status, 404,
   "F004: only they");


# what no account of the pool serves is not there (F144)

is_deeply([ids("/opus/v1/models")], [grep { /opus/ } @all],
          "F144: a pool with one family");
is_deeply([ids("/both/v1/models")],
          [grep { /^claude-haiku-|^claude-sonnet-4-6$/ } @all],
          "F144: a pool with two accounts");
is_deeply([ids("/none/v1/models")], [], "F144: a pool with none");
is_deeply([ids("/filtered/v1/models")], ["claude-opus-5", "my-opus"],
          "F144: a configured list is filtered, too");
is($nginx->get("/opus/v1/models/claude-haiku-5-5")->status, 404,
   "F144: one that is not served");

is($up->requests, 0, "F004: nothing went upstream");


# what Claude Code reads: both credentials, 3 s, no redirect

$r = $nginx->request("GET", "/v1/models?limit=1000", key => undef, headers => [
    "Authorization: Bearer $ClaudeRelay::KEY", "x-api-key: $ClaudeRelay::KEY",
    "anthropic-version: 2023-06-01"]);
is($r->status, 200, "F004: model discovery of Claude Code");
is($r->header("cache-control"), "no-store", "F004: not to be cached");

finish();
