#!/usr/bin/perl

# Prices by the API (F066, F206): the table in force with where each row comes
# from, rows of the operator's, tables of LiteLLM's and our own; a change is
# charged at once, in every worker.

use warnings;
use strict;

use File::Temp ();
use JSON::PP ();
use Test::More;

use ClaudeRelay;


my $up = sandbox();
my $file = File::Temp->new;

spew($file->filename, encode({ models => {
    "of-the-file" => { input => 3, output => 4 },
    "shadowed" => { input => 3, output => 4 } } }));

my $http = relay_http(
    http => "claude_relay_store store/relay.db secret=relay.key;
             claude_relay_control unix:control.sock;
             claude_relay_prices $file;");

my $nginx = nginx($http, workers => 2);

my $true = JSON::PP::true();


sub call { $nginx->control(shift, "/v1" . shift, @_) }

sub told {
    my ($r, $status, $message, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($r->status == $status && $r->message =~ $message, $name)
        || diag($r->status, " ", $r->body);
}

sub rows { call("GET", "/prices?$_[0]")->json->{prices} }

# what a message of a model has cost, in any worker

sub cost {
    my ($model) = @_;

    $nginx->post("/v1/messages", message(model => $model));

    return $nginx->log->{cost} // "";
}

sub settled {
    my ($sub, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok(wait_for(sub { for (1 .. 6) { return 0 unless $sub->() } 1 }, 5),
       $name);
}


# ---- the table in force

my $r = call("GET", "/prices?limit=1000");

is($r->status, 200, "F206: prices");
cmp_ok($r->json->{total}, ">", 40, "of many models");
is(scalar @{ $r->json->{prices} }, $r->json->{total}, "on one page");
is($r->json->{web_search}, 0.01, "a web search");
like($r->json->{version}, qr/^[0-9a-f]{16}$/, "the version of the table");
is($r->header("etag"), undef, "the store has none");

my @first = map { $_->{model} . $_->{tier} }
                @{ call("GET", "/prices?limit=10")->json->{prices} };
my @pages = map { @{ call("GET", "/prices?limit=5&page=$_")->json->{prices} } }
                1, 2;

is_deeply([map { $_->{model} . $_->{tier} } @pages], \@first, "by pages");
is_deeply(call("GET", "/prices?limit=1000&page=9")->json->{prices}, [],
          "after the last page there is nothing");

my ($row) = @{ rows("model=claude-opus-5") };
is($row->{source}, "builtin", "a built-in price");
is($row->{tier}, "standard", "its tier");
cmp_ok($row->{input}, ">", 0, "dollars for a million tokens");

($row) = @{ rows("model=of-the-file") };
is_deeply([@$row{qw/ source input output /}], ["file", 3, 4],
          "one of the file");
is(rows("model=us.anthropic.claude-opus-5-v1:0")->[0]{model}, "claude-opus-5",
   "the names of a model are one");
is_deeply(rows("model=priceless"), [], "one without a price");
is_deeply([sort map { $_->{model} } @{ rows("model=*the-f*") }],
          ["of-the-file"], "by a pattern");

for (["limit=0", qr/^"limit" must be/], ["limit=1001", qr/^"limit" must be/],
     ["page=0", qr/^"page" must be/], ["page=x", qr/^"page" must be/],
     ["at=now", qr/^"at" must be a time/], ["x=1", qr/^the query takes/],
     ["model", qr/^the query takes/], ["model=%zz", qr/broken escape/],
     ["model=" . "x" x 200, qr/"model" is too long/])
{
    told(call("GET", "/prices?$_->[0]"), 400, $_->[1],
         "a query: " . substr($_->[0], 0, 20));
}


# ---- a row of the operator's

is(cost("our-model"), "", "before: unpriced");

for ([{ input => 1 }, qr/"input" and "output"/],
     [{ input => -1, output => 1 }, qr/not a number/],
     [{ input => "1", output => 1 }, qr/not a number/],
     [{ input => 0.1234567, output => 1 }, qr/too many decimals/],
     [{ input => 1, output => 1, tax => 1 }, qr/its members are/],
     [{ input => 1, output => 1, tier => "gold" }, qr/it is none of/],
     [{ input => 1, output => 1, over => 5 }, qr/needs "longer"/],
     [{ input => 1, output => 1, from => "soon" }, qr/not a date/],
     [{ rows => [] }, qr/neither a row of prices/],
     [{ rows => 1 }, qr/"rows" must be an array/],
     [{ rows => [{ input => 1, output => 1 }], input => 2 }, qr/be nothing/],
     [{ same_as => "nobody" }, qr/has no price/],
     [{ rows => [{ input => 1, output => 1 }, { input => 1, output => 2 }] },
      qr/two prices at a time/])
{
    told(call("PUT", "/prices/our-model", $_->[0]), 400, $_->[1],
         "refused: " . substr(encode($_->[0]), 0, 50));
}

told(call("PUT", "/prices/" . "x" x 130, { input => 1, output => 1 }), 400,
     qr/no name of a model/, "a name that is too long");
told(call("GET", "/prices/our-model"), 404, qr/has no price of "our-model"/,
     "nothing of this was stored");

$r = call("PUT", "/prices/our-model", { input => 10, output => 100 });
is($r->status, 200, "F066: a price");
is_deeply($r->json, { model => "our-model", source => "store",
                      rows => [{ input => 10, output => 100 }] },
          "as it was put");
is($r->header("etag"), '"1"', "a version");

settled(sub { cost("our-model") ne "" }, "is charged, in all workers");

my $cost = cost("our-model");
cmp_ok($cost, ">", 0, "what it says");

is_deeply([map { $_->{source} } @{ rows("model=our-model") }], ["store"],
          "and shown");

$r = call("GET", "/prices/our-model");
is(call("PUT", "/prices/our-model", $r->json)->status, 200,
   "what is shown can be put");

told(call("PUT", "/prices/our-model", { input => 1, output => 1 },
          'If-Match: "1"'), 412, qr/it has version 2/, "of another version");

call("PUT", "/prices/our-model", { input => 20, output => 200 });
settled(sub { cost("our-model") == 2 * $cost }, "twice the price, twice that");

call("PUT", "/prices/shadowed", { input => 5, output => 6 });
($row) = @{ rows("model=shadowed") };
is_deeply([@$row{qw/ source input /}], ["store", 5], "it is above the file");
is(scalar(grep { $_->{model} eq "shadowed" } @{ rows("limit=1000") }), 1,
   "which is not shown below it");

call("PUT", "/prices/alias", { same_as => "our-model" });
is(rows("model=alias")->[0]{input}, 20, "a model that costs as much");

call("PUT", "/prices/dated", { rows => [
    { input => 1, output => 1, until => "2026-01-01" },
    { input => 2, output => 2, from => "2026-01-01" }] });
is(rows("model=dated&at=2025-06-01T00:00:00Z")->[0]{input}, 1, "at a time");
is(rows("model=dated")->[0]{input}, 2, "and now");

is(call("DELETE", "/prices/alias")->status, 204, "one is taken away");
told(call("DELETE", "/prices/alias"), 404, qr/has no price of "alias"/,
     "once");
is(call("DELETE", "/prices/our-model")->status, 204, "and another one");
settled(sub { cost("our-model") eq "" }, "unpriced again");


# ---- tables

my %litellm = (
    sample_spec => { input_cost_per_token => 0 },
    "lite-model" => { input_cost_per_token => 1e-6,
                      output_cost_per_token => 2e-6,
                      litellm_provider => "x", mode => "chat" },
    "lite-free" => { input_cost_per_token => 0, output_cost_per_token => 0 });

$r = call("POST", "/prices/import",
          { document => \%litellm, dry_run => $true });
is($r->status, 200, "F066: LiteLLM's, for a try") || diag($r->body);
is_deeply([@{ $r->json }{qw/ dry_run models /}], [$true, 1], "one model");
is_deeply(rows("model=lite-model"), [], "nothing was stored");

$r = call("POST", "/prices/import", { document => encode(\%litellm) });
is($r->json->{models}, 1, "as a text");
is_deeply([map { [@$_{qw/ source input output /}] }
               @{ rows("model=lite-model") }], [["store", 1, 2]], "its price");
is(rows("model=shadowed")->[0]{source}, "store", "what was there stays");

$r = call("POST", "/prices/import", { replace => $true, document =>
    "model,tier,input,output,cache_read,note\r\n"
    . "csv-model,,1.5,7.5,0.15,\"a, \"\"b\"\"\"\n"
    . "csv-model,fast,3,15,,\ncsv-none,,,,,\n" });
is($r->status, 200, "our table") || diag($r->body);
is($r->json->{models}, 1, "lines without a price are left out");
is_deeply([map { "$_->{tier} $_->{input}" } @{ rows("model=csv-model") }],
          ["standard 1.5", "fast 3"], "tiers");
is(rows("model=shadowed")->[0]{source}, "file", "what was there is gone");

my $csv = slurp(root() . "/prices/claude.csv");
$r = call("POST", "/prices/import", { document => $csv, dry_run => $true });
is($r->status, 200, "prices/claude.csv") || diag($r->body);
cmp_ok($r->json->{models}, ">", 15, "its models");
$r = call("POST", "/prices/import", { dry_run => $true,
    document => slurp(root() . "/prices/others.csv") });
is($r->status, 200, "prices/others.csv") || diag($r->body);

for (["{", qr/^the body: it is not valid JSON/],
     [{}, qr/^"document" must be a table/],
     [{ document => 1 }, qr/^"document" must be/],
     [{ document => "a,b\n1,2\n" }, qr/its first line must have/],
     [{ document => "model,input,output\nx,1,y\n" }, qr/is not a number/],
     [{ document => "{" }, qr/^the table: it is not valid JSON/],
     [{ document => { models => { x => { input => 1 } } } },
      qr/needs "input" and "output"/],
     [{ document => {}, frobnicate => 1 }, qr/^the body takes/],
     [{ document => {}, replace => 1 }, qr/^"replace" must be true or false/])
{
    told(call("POST", "/prices/import", $_->[0]), 400, $_->[1],
         "refused: " . substr(ref $_->[0] ? encode($_->[0]) : $_->[0], 0, 50));
}

# more than other bodies may have

my %many = map { ("big-$_" => { input_cost_per_token => 1e-6,
                                output_cost_per_token => 2e-6,
                                note => "x" x 300 }) } 1 .. 3000;

$r = call("POST", "/prices/import", { document => \%many });
is($r->status, 200, "a table of a megabyte") || diag(substr($r->body, 0, 200));
is($r->json->{models}, 3000, "all of it");
settled(sub { cost("big-2999") ne "" }, "is charged");
is(call("GET", "/prices?model=big-*&limit=1")->json->{total}, 3000, "and shown");


# ---- a reload has them

$nginx->reload($http);
settled(sub { cost("big-1") ne "" }, "after a reload");

finish();
