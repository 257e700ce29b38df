#!/usr/bin/perl

# OpenAI's SDK of npm through the relay, for OpenAI and for Azure: openai.mjs
# prints the TAP.  util/install.sh clients installs it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use ClaudeRelay;
use Test::More;


my $clients = $ENV{CR_CLIENTS} // root() . "/build/clients";
my $node = $ENV{CR_NODE} // "$clients/node_modules/.bin/node";
my $sdk = "$clients/node_modules/openai";

if (!-x $node || !-f "$sdk/package.json") {
    my $why = "no SDK: run util/install.sh clients";

    plan(skip_all => $why) if !$ENV{CI};
    plan(tests => 1);
    fail($why);
    exit 1;
}

my $up = sandbox();

my $nginx = relay(
    accounts => account("one", "platform openai; api_key sk-one;
                                priority 200;")
                . account("two", "platform openai; api_key sk-two;")
                . account("east", "platform azure; api_key key-east;
                                   pool azure; form dated; models *;
                                   model_map gpt-5.5 my-deployment;"),
    http => <<'END', server => <<'END2');
# no test rests an account for the next one
claude_relay_rest unauthorized=0 forbidden=0 edge=0 disabled=0 billing=0
                  limited=0 throttled=0 overloaded=0 overloaded_max=0
                  server=0 server_max=0;
claude_relay_retry_wait 0;
END
location /azure-only/ {
    claude_relay;
    claude_relay_pool azure;
}
END2

$ENV{CR_BASE} = "http://127.0.0.1:" . $nginx->port;
$ENV{CR_SANDBOX} = $up->url;
$ENV{CR_KEY} = $ClaudeRelay::KEY;
$ENV{CR_SDK} = $sdk;

# nothing of the caller's

delete $ENV{$_} for grep { /^OPENAI_|^AZURE_|^NODE_|_proxy$/i } keys %ENV;
$ENV{HOME} = $nginx->dir;

$| = 1;

my $status = system $node, "$FindBin::Bin/openai.mjs";

$nginx->stop;

my @bad = $nginx->complaints;

print "# $_\n" for @bad;

exit($status || @bad ? 1 : 0);
