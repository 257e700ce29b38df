#!/usr/bin/perl

# What requests cost: prices of the built-in table and of files, tiers, bands,
# fallbacks, refusals; $claude_relay_cost and $claude_relay_price; mistakes in
# claude_relay_prices and claude_relay_timezone.

use warnings;
use strict;

use ClaudeRelay;
use File::Temp qw/ tempdir /;
use Test::More;


my $up = sandbox();
my $dir = tempdir("claude-relay-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $nginx = relay();
my $none = "cache-read=0,cache-5m=0,cache-1h=0";


# one request as JSON and as a stream: they cost the same

sub costs {
    my ($name, $model, $commands, $want, %field) = @_;

    for my $stream (0, 1) {
        my %body = (model => $model, text => "sandbox($commands)", %field);
        my $r = $nginx->post("/v1/messages", $stream ? stream(%body)
                                                     : message(%body));
        my $log = $nginx->log;

        is($log->{cost}, $want, $name . ($stream ? ", as a stream" : ""))
            || diag explain $log;
    }
}


# H and E.5, computed by hand

# 12 * 3 + 100 * 3.75 + 200 * 6 + 2048 * 0.3 + 5 * 15 = 2300.4

costs("F174: each kind of tokens at its price", "claude-sonnet-4-6",
      "events=5", "0.002300");
is($nginx->log->{model}, "claude-sonnet-4-6", "and the model");
like($nginx->log->{price}, qr/^20\d\d-\d\d-\d\d-[0-9a-f]{8}$/,
     "F172: the version of the table");

costs("F174: writes without a breakdown are of 5 minutes", "claude-sonnet-4-6",
      "no-breakdown", "0.001850");
costs("F174: thinking is output", "claude-opus-5",
      "thinking,$none,input=40,output=19", "0.000675");
costs("F174: a date is tried with and without", "claude-haiku-4-5-20251001",
      "$none,input=220,output=31", "0.000375");
costs("F173: another form of a name",
      "us.anthropic.claude-haiku-4-5-20251001-v1:0",
      "$none,input=220,output=31", "0.000375");
costs("F173: [1m]", "claude-opus-4-8[1m]", "$none,input=300000,output=0",
      "1.500000");

my $k = "$none,input=1000,output=1000";

costs("F174: standard", "claude-opus-5", $k, "0.030000");
costs("F174: fast", "claude-opus-5", "$k,speed=fast", "0.060000");
costs("F174: fast that is billed as standard", "claude-opus-4-6",
      "$k,speed=fast", "0.030000");
costs("F174: priority", "claude-opus-5", "$k,tier=priority", "0.030000");
costs("F174: batch", "claude-opus-5", "$k,tier=batch", "0.015000");
costs("F174: in the US", "claude-opus-5", "$k,geo=us", "0.033000");
costs("F174: in the US, an older model", "claude-haiku-4-5", "$k,geo=us",
      "0.006000");
costs("F174: anywhere", "claude-opus-5", "$k,geo=global", "0.030000");
costs("F174: factors multiply", "claude-opus-5", "$k,geo=us,tier=batch",
      "0.016500");
costs("F174: web searches", "claude-opus-5", "$k,searches=3,tier=batch",
      "0.045000");
costs("F174: a band of short prompts", "claude-haiku-5-5",
      "$none,input=100000,output=1000", "0.010500");
costs("F174: a band of long prompts", "claude-haiku-5-5",
      "$none,input=60000,cache-read=40001,output=1000", "0.034500");
costs("F174: nothing used", "claude-opus-5", "usage-zero", "0.000000");

# E.4, 5: the first attempt is not charged

costs("F174: a fallback", "claude-fable-5",
      "iterations,$none,input=50,output=4", "0.000350");
is($nginx->log->{upstream_model}, "claude-opus-4-8",
   "F174: the model that answered");

costs("F174: a refusal before any output", "claude-opus-5",
      "stop=refusal,no-content,$none,input=50,output=3", "0.000000");
is($nginx->log->{input_tokens}, 50, "its tokens are told");
costs("F174: a refusal after some", "claude-opus-5",
      "stop=refusal,$none,input=50,output=3", "0.000325");
costs("no content, and no refusal", "claude-opus-5",
      "no-content,$none,input=50,output=3", "0.000325");
costs("F174: all refused", "claude-fable-5",
      "iterations,stop=refusal,no-content,$none,input=50,output=0",
      "0.000000");

costs("a body that is compressed", "claude-opus-5", "$k,gzip", "0.030000");

# never 0 where nobody knows

costs("F173: a model without a price", "claude-sonnet-4-6", "model=gpt-9", "");
is($nginx->log->{input_tokens}, 12, "its tokens are told");
like($nginx->log->{price}, qr/^20/, "and the table that does not have it");

costs("no usage", "claude-opus-5", "no-usage", "");
is($nginx->log->{price}, "", "nor a price");


# the end is missing: what was told until then

my $r = $nginx->post("/v1/messages",
                     stream(text => "sandbox(cut-at=2)"));
is($nginx->log->{cost}, "0.002240", "F174: a stream that breaks");

$nginx->post("/v1/messages/count_tokens", message());
is($nginx->log->{cost}, "", "counting costs nothing");

$nginx->post("/v1/messages", message(text => "sandbox(status=400)"));
is($nginx->log->{cost}, "", "an error costs nothing");

$nginx->get("/v1/models");
is($nginx->log->{cost}, "", "what is answered here costs nothing");

$nginx->stop;


# files of prices

sub prices {
    my ($file, $data) = @_;

    return spew("$dir/$file", ref $data ? encode($data) : $data);
}


prices("own.json", {
    web_search => 0.02,
    models => {
        "gpt-9" => { input => 1.5, output => 6.123456 },
        "Our-Model" => "gpt-9",
        "claude-opus-5" => [
            { input => 100, output => 100, until => "2001-01-01" },
            { input => 4, output => 20, from => "2001-01-01" },
            { tier => "batch", input => 1, output => 1 },
        ],
        "claude-haiku-5-5" => {
            input => 1, output => 2, cache_read => 0.5, over => 1000,
            longer => { input => 10, output => 20 },
        },
    },
});

$nginx = relay(workers => 1, allow => [qr/it is not JSON/],
               http => "claude_relay_prices $dir/own.json;");

$k = "$none,input=1000,output=1000";

costs("F172: a model of the file", "gpt-9", $k, "0.007623");

my $version = $nginx->log->{price};
like($version, qr/^[0-9a-f]{16}$/, "F172: the version of the file");

costs("F172: another name of it", "our-model", $k, "0.007623");
costs("F172: the row of today", "claude-opus-5", $k, "0.024000");
costs("F172: a tier of the file", "claude-opus-5", "$k,tier=batch",
      "0.002000");
costs("F172: a tier that it does not have", "claude-opus-5", "$k,speed=fast",
      "0.060000");
costs("F172: a model that it does not have", "claude-opus-4-8", $k,
      "0.030000");
costs("F172: what a search costs", "claude-opus-4-8", "$k,searches=1",
      "0.050000");
costs("F172: a kind that it does not have", "claude-haiku-5-5",
      "input=0,output=0,cache-read=400,cache-5m=100,cache-1h=200",
      "0.000500");
costs("F172: a band of it", "claude-haiku-5-5",
      "input=0,output=1,cache-read=701,cache-5m=100,cache-1h=200",
      "0.010030");
costs("F172: nobody has it", "claude-sonnet-4-6", "model=gpt-10", "");

# a reload reads it again; one that is broken changes nothing

prices("own.json", { models => { "gpt-9" => { input => 3, output => 6 } } });
$nginx->reload;

# the worker of before may still take requests for a moment

ok(wait_for(sub { my @pids = $nginx->workers; @pids == 1 }),
   "F172: the worker of before is gone");

costs("F172: after a reload", "gpt-9", $k, "0.009000");
isnt($nginx->log->{price}, $version, "F172: another version");

prices("own.json", "{ broken");
$nginx->signal("HUP");
$nginx->wait_error(qr/own\.json": it is not JSON, at line 1, column \d/);
costs("F172: a broken file: as before", "gpt-9", $k, "0.009000");

$nginx->stop;


# LiteLLM's

prices("litellm.json", {
    sample_spec => { input_cost_per_token => 0, output_cost_per_token => 0 },
    "gpt-9" => {
        input_cost_per_token => 1.5e-06, output_cost_per_token => 6e-06,
        cache_read_input_token_cost => 1.5e-07,
        input_cost_per_token_batches => 5e-07,
        output_cost_per_token_batches => 1e-06,
        input_cost_per_token_above_200k_tokens => 3e-06,
        output_cost_per_token_above_200k_tokens => 9e-06,
    },
});

$nginx = relay(http => "claude_relay_prices $dir/litellm.json;");

costs("F172: LiteLLM's table", "gpt-9", "$k,cache-read=1000", "0.007650");
costs("F172: LiteLLM's batches", "gpt-9", "$k,tier=batch", "0.001500");
costs("F172: LiteLLM's long prompts", "gpt-9",
      "$none,input=200001,output=1000", "0.609003");
costs("F172: what it does not have", "claude-opus-4-8", $k, "0.030000");

$nginx->stop;


# mistakes

sub wrong {
    my ($name, $directives, $regex) = @_;

    my ($ok, $said) = config(relay_http(http => $directives));

    ok(!$ok, "$name: refused");
    like($said, $regex, "$name: and why");
}


sub right {
    my ($name, $directives) = @_;

    my ($ok, $said) = config(relay_http(http => $directives));

    ok($ok, $name) || diag $said;
}


my $bad = prices("bad.json", {
    models => { "gpt-9" => [ { input => 1, output => 1, until => "2027-01-01" },
                             { input => "1", output => 1 } ] },
});

wrong("a file that is not there", "claude_relay_prices $dir/none.json;",
      qr/open\(\) "\Q$dir\E\/none\.json" failed/);
wrong("a directory", "claude_relay_prices $dir;",
      qr/"\Q$dir\E" is not a file/);
wrong("no path", "claude_relay_prices '';", qr/has an empty path/);
wrong("F172: a price that is none", "claude_relay_prices $bad;",
      qr/prices in "\Q$bad\E": "gpt-9"\[1\]\.input: it is not a number/);
wrong("two files", "claude_relay_prices $dir/litellm.json;"
      . "claude_relay_prices $dir/litellm.json;", qr/is duplicate/);

prices("bad.json", "{\"models\":{\"a\":{\"input\":1,\"output\":2}}");
wrong("F172: a file that is cut", "claude_relay_prices $bad;",
      qr/it is not JSON, at line 1, column \d+/);

prices("bad.json", "");
wrong("an empty file", "claude_relay_prices $bad;", qr/it is not JSON/);

wrong("no prices at all", "claude_relay_prices /proc/self/status;",
      qr/it is not JSON/);


wrong("F182: a path", "claude_relay_timezone ../../etc/passwd;",
      qr/"\.\.\/\.\.\/etc\/passwd" is not the name of a time zone/);
wrong("F182: a zone that is not there", "claude_relay_timezone Mars/Olympus;",
      qr{zoneinfo/Mars/Olympus" failed});
wrong("F182: two zones", "claude_relay_timezone UTC;claude_relay_timezone UTC;",
      qr/is duplicate/);
right("F182: UTC", "claude_relay_timezone UTC;");

SKIP: {
    skip "no tzdata", 3 if !-f "/usr/share/zoneinfo/Europe/Berlin";

    right("F182: a zone", "claude_relay_timezone Europe/Berlin;");
    wrong("F182: a directory of zones", "claude_relay_timezone Europe;",
          qr{"/usr/share/zoneinfo/Europe" is not a file});
}

SKIP: {
    skip "no /etc/localtime", 1 if !-f "/etc/localtime";

    right("F182: local", "claude_relay_timezone local;");
}


finish();
