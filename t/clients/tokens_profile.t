#!/usr/bin/perl

# The client profile with real clients: the official SDK is another client,
# whatever it sends; Claude Code is a genuine one on each of its requests.
# util/install.sh clients installs them.  As root it runs without a network.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use FindBin;
use lib "$FindBin::Bin/../lib";


BEGIN {
    if (!$ENV{CR_NETNS} && $> == 0
        && system("unshare -n sh -c 'ip link set lo up' > /dev/null 2>&1")
           == 0)
    {
        $ENV{CR_NETNS} = 1;
        exec "unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"',
            "sh", $^X, abs_path($0), @ARGV;
    }
}


use ClaudeRelay;
use ClaudeRelayClients;
use Test::More;


my ($node, $claude, $sdk) = clients();

my $up = sandbox();

my $nginx = relay(
    accounts => account("own", "platform claude-oauth;"
                               . " access_token sk-ant-oat01-own;"),
    http => "include " . root() . "/conf/claude_code_profile.conf;"
            . " claude_relay_client_profile claude-code;",
);

my $work = client_dir();
my $identity = "You are Claude Code, Anthropic's official CLI for Claude.";


# 1. the SDK

spew("$work/sdk.mjs", <<'END');
import { pathToFileURL } from "node:url";

const { default: Anthropic } =
    await import(pathToFileURL(process.env.CR_SDK + "/index.mjs"));

const client = new Anthropic({ baseURL: process.env.CR_BASE,
                               apiKey: process.env.CR_KEY, maxRetries: 0 });
const base = { model: "claude-sonnet-4-6", max_tokens: 64,
               messages: [{ role: "user", content: "hi" }] };

async function print(promise) {
    const m = await promise;
    console.log(m.type ?? "tokens", m.content?.[0].text ?? m.input_tokens);
}

await print(client.messages.create(base));
await print(client.messages.create({ ...base, system: "be brief" }));
await print(client.messages.create({ ...base, system: [
    { type: "text", text: "be brief",
      cache_control: { type: "ephemeral" } } ] }));
await print(client.messages.stream({ ...base, system: "x".repeat(2000000) })
            .finalMessage());
await print(client.beta.messages.create({ ...base, betas: ["a-beta"] }));
await print(client.messages.countTokens({ model: base.model,
                                          messages: base.messages }));
END

$up->since;

is(run({ CR_SDK => $sdk, CR_BASE => "http://127.0.0.1:" . $nginx->port,
         CR_KEY => $ClaudeRelay::KEY }, $node, "$work/sdk.mjs"), 0,
   "the SDK: exit status") || diag slurp("$work/err");
like(slurp("$work/out"), qr/^(message This is the sandbox.*\n){5}tokens \d+\n$/,
     "the SDK: answers");

my @requests = $up->since;

is(scalar @requests, 6, "the SDK: requests");

for my $i (0 .. $#requests) {
    my %header = map { /^([^:]+):\s*(.*)/ ? (lc $1, $2) : () }
                     @{ $requests[$i]{headers} };

    is($header{"user-agent"}, "claude-cli/2.1.220 (external, cli)",
       "the SDK, $i: user-agent");
    is($header{"x-app"}, "cli", "the SDK, $i: x-app");
    like($header{"anthropic-beta"},
         $i == 4 ? qr/^a-beta,claude-code-20250219,oauth-2025-04-20,/
                 : qr/^claude-code-20250219,oauth-2025-04-20,/,
         "the SDK, $i: anthropic-beta");
    like($requests[$i]{target}, qr/\?beta=true$/, "the SDK, $i: query");
    like($requests[$i]{body}, qr/"system":\[\{"type":"text","text":"\Q$identity/,
         "the SDK, $i: system") if $i != 3;
    is($_->{profile}, "applied", "the SDK, $i: \$claude_relay_profile")
        for ($nginx->log(6))[$i];
}


# 2. Claude Code

SKIP: {
    skip "no network namespace for Claude Code", 4 if !$ENV{CR_NETNS};

    my $lines = () = $nginx->access_log =~ /\n/g;

    is(run({ ANTHROPIC_BASE_URL => "http://127.0.0.1:" . $nginx->port,
             ANTHROPIC_AUTH_TOKEN => $ClaudeRelay::KEY,
             DISABLE_AUTOUPDATER => 1, DISABLE_TELEMETRY => 1,
             DISABLE_ERROR_REPORTING => 1,
             CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1 },
           $claude, "-p", "hello there"), 0, "Claude Code: exit status")
        || diag slurp("$work/err");
    like(slurp("$work/out"), qr/^This is the sandbox upstream\s*$/,
         "Claude Code: an answer");

    my @log = map { json($_) } split /\n/, $nginx->access_log;

    splice @log, 0, $lines;
    @log = grep { $_->{uri} =~ m{/v1/messages} } @log;

    cmp_ok(scalar @log, ">=", 1, "Claude Code: requests");
    is_deeply([grep { $_->{profile} ne "genuine" } @log], [],
              "Claude Code: each is a genuine one")
        || diag explain \@log;

    unlike(join("\n", map { @{ $_->{headers} } } $up->since),
           qr/2\.1\.220/, "Claude Code: as itself");
}

finish();
