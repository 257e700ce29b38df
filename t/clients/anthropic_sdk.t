#!/usr/bin/perl

# The official SDK of npm through the relay: anthropic_sdk.mjs prints the TAP.
# util/install.sh clients installs it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use ClaudeRelay;
use ClaudeRelayClients;


my ($node, $sdk) = needed("SDK", ".bin/node", "\@anthropic-ai/sdk");

my $up = sandbox();

my $accounts = join "", map { account($_->[0], <<"END") } (
    api_key sk-ant-client-$_->[0];
    $_->[1]
END
    [one    => "priority 200;"],
    [two    => ""],
    [alone  => "pool alone;"],
    [m1     => "pool many;"],
    [m2     => "pool many;"],
    [m3     => "pool many;"],
    [w1     => "pool window; priority 200;"],
    [w2     => "pool window;"],
    [narrow => "pool narrow; models claude-haiku-*;"],
);

my $nginx = relay(accounts => $accounts, http => <<'END', server => <<'END2');
# no test rests an account for the next one
claude_relay_rest unauthorized=0 forbidden=0 edge=0 disabled=0 billing=0
                  limited=0 throttled=0 overloaded=0 overloaded_max=0
                  server=0 server_max=0;
claude_relay_retry_wait 0;
END
location /alone/ {
    claude_relay;
    claude_relay_pool alone;
    claude_relay_tries 1;
    claude_relay_retry_wait 500ms;
}
location /many/ {
    claude_relay;
    claude_relay_pool many;
    claude_relay_policy round-robin;
    claude_relay_sticky off;
}
location /window/ {
    claude_relay;
    claude_relay_pool window;
}
location /narrow/ {
    claude_relay;
    claude_relay_pool narrow;
}
END2

sdk($nginx, $up, $node, $sdk, "anthropic_sdk.mjs", "^ANTHROPIC_",
    ANTHROPIC_CONFIG_DIR => $nginx->dir);
