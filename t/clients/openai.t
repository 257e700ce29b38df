#!/usr/bin/perl

# OpenAI's SDK of npm through the relay, for OpenAI and for Azure: openai.mjs
# prints the TAP.  util/install.sh clients installs it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use ClaudeRelay;
use ClaudeRelayClients;


my ($node, $sdk) = needed("SDK", $ENV{CR_NODE} // ".bin/node", "openai");

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

sdk($nginx, $up, $node, $sdk, "openai.mjs", "^OPENAI_|^AZURE_");
