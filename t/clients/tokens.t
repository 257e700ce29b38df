#!/usr/bin/perl

# Claude Code and the official SDK over a login whose tokens end while they
# work: they see nothing of it.  util/install.sh clients installs them.  As
# root it runs without a network.

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
my $nginx = nginx(<<"END", workers => 2);
@{[ zone_and_key() ]}
@{[ store() ]}
@{[ login_account("own") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; }
    location = /health { claude_relay_health full=on; }
}
END

my $work = client_dir();
my $url = "http://127.0.0.1:" . $nginx->port;


# the SDK: 20 calls at once on a token that has just been refused to everybody

spew("$work/sdk.mjs", <<'END');
import { pathToFileURL } from "node:url";

const { default: Anthropic } =
    await import(pathToFileURL(process.env.CR_SDK + "/index.mjs"));

const client = new Anthropic({ baseURL: process.env.CR_BASE,
                               apiKey: process.env.CR_KEY, maxRetries: 0 });
const base = { model: "claude-sonnet-4-6", max_tokens: 64,
               messages: [{ role: "user", content: "hi" }] };

const all = [];

for (let i = 0; i < 20; i++) {
    all.push(i % 2 ? client.messages.create(base)
                   : client.messages.stream(base).finalMessage());
}

for (const m of await Promise.all(all)) {
    console.log(m.type, m.content[0].text);
}
END

$up->oauth(do => "before=200,revoke-access", chain => "own");

is(run({ CR_SDK => $sdk, CR_BASE => $url, CR_KEY => $ClaudeRelay::KEY },
       $node, "$work/sdk.mjs"), 0, "the SDK: exit status")
    || diag slurp("$work/err");
is(scalar(() = slurp("$work/out") =~ /^message This is the sandbox/mg), 20,
   "the SDK: 20 answers");
is($up->oauth_chain("own")->{rotations}, 1, "the SDK: by one refresh");


# Claude Code: the token is refused before its first request, and expires
# between two turns

my %env = (ANTHROPIC_BASE_URL => $url,
           ANTHROPIC_AUTH_TOKEN => $ClaudeRelay::KEY,
           DISABLE_AUTOUPDATER => 1,
           CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1);

for my $trouble (qw/ revoke-access expire /) {

    my $before = $up->oauth_chain("own")->{rotations};

    $up->oauth(do => $trouble, chain => "own");

    is(run(\%env, $claude, "-p", "hello"), 0,
       "Claude Code, $trouble: exit status") || diag slurp("$work/err");
    like(slurp("$work/out"), qr/This is the sandbox upstream/,
         "Claude Code, $trouble: an answer");
    is($up->oauth_chain("own")->{rotations}, $before + 1,
       "Claude Code, $trouble: by one refresh");
}

is($up->oauth_report->{counters}{reuses}, 0, "no token was shown twice");

finish();
