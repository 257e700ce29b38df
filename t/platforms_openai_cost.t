#!/usr/bin/perl

# F170, F173, F174: what requests in OpenAI's dialect cost: cached tokens at
# their price, tiers, and the whole of a long one at the long price.

use warnings;
use strict;

use ClaudeRelay;
use Test::More;


my $up = sandbox();
my $nginx = relay(account => "platform openai; api_key sk-one;");
my $none = "cache-read=0,cache-5m=0,cache-1h=0";


# as JSON and as a stream, of Chat and of Responses: they cost the same

sub costs {
    my ($name, $model, $commands, $want) = @_;

    for my $path ("/v1/chat/completions", "/v1/responses") {
        for my $stream (0, 1) {
            my $text = "sandbox($commands)";
            my %body = (model => $model,
                        $path =~ /chat/
                        ? (messages => [{ role => "user", content => $text }])
                        : (input => $text),
                        $stream ? (stream => JSON::PP::true) : ());

            $nginx->post($path, encode(\%body));

            my $log = $nginx->log;

            is($log->{cost}, $want, "$name: $path"
                                    . ($stream ? ", as a stream" : ""))
                || diag explain $log;
        }
    }
}


# 1000 * 5 + 2000 * 0.5 + 100 * 30 = 9000 micro-dollars

costs("F174: cached tokens have their price", "gpt-5.5",
      "$none,input=1000,cache-read=2000,output=100", "0.009000");
costs("F170: reasoning is a part of the output", "gpt-5.5",
      "$none,thinking,input=0,output=86", "0.003000");

# 272000 and one: the whole of it

costs("F174: as long as the short price goes", "gpt-5.5",
      "$none,input=72000,cache-read=200000,output=1000", "0.490000");
costs("F174: longer, all of it at the long one", "gpt-5.5",
      "$none,input=72001,cache-read=200000,output=1000", "0.965010");

costs("F173: a dated name", "gpt-5.5-2026-04-23",
      "$none,input=1000,output=100", "0.008000");
costs("F174: a tier", "gpt-5.5", "$none,input=1000,output=100,tier=priority",
      "0.016000");
costs("F174: the usual tier", "gpt-5.5",
      "$none,input=1000,output=100,tier=default", "0.008000");
costs("F174: a cheap one", "gpt-5.5",
      "$none,input=1000,output=100,tier=flex", "0.004000");

# cache writes are billed from gpt-5.6 on (H), and are a part of the input

costs("F174: a cache write", "gpt-5.6-sol",
      "$none,input=0,cache-5m=1000,output=0", "0.005000");

finish();
