#!/usr/bin/perl

# Clients of Bedrock through the relay: the SDKs of Anthropic and AWS
# (bedrock.mjs prints their TAP), and Claude Code.  util/install.sh clients
# installs them.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use ClaudeRelay;
use File::Temp qw/ tempdir /;
use Test::More;


my $clients = $ENV{CR_CLIENTS} // root() . "/build/clients";
my $modules = "$clients/node_modules";
my $node = "$modules/.bin/node";

if (!-x $node || !-f "$modules/\@anthropic-ai/bedrock-sdk/package.json"
    || !-f "$modules/\@aws-sdk/client-bedrock-runtime/package.json")
{
    my $why = "no SDKs: run util/install.sh clients";

    plan(skip_all => $why) if !$ENV{CI};
    plan(tests => 1);
    fail($why);
    exit 1;
}

my $up = sandbox();
my $work = tempdir("bedrock-XXXXXX", TMPDIR => 1, CLEANUP => 1);

my $nginx = relay(
    accounts => account("one", "platform bedrock; region us-east-1;"
                        . " api_key AKIDONE:secret-of-AKIDONE;")
        . account("broken", "platform bedrock; pool broken;"
                        . " api_key AKIDBREAK:secret-of-AKIDBREAK;"),
    server => "location /broken/ { claude_relay; claude_relay_pool broken;"
              . " claude_relay_tries 1; }",
);

$up->behave("AKIDBREAK", "error-at=3,delay=100,type=overloaded_error");

$ENV{CR_BASE} = "http://127.0.0.1:" . $nginx->port;
$ENV{CR_KEY} = $ClaudeRelay::KEY;
$ENV{CR_MODULES} = $modules;
delete @ENV{grep { /^AWS_/ } keys %ENV};
$ENV{HOME} = $work;

my $out = `$node $FindBin::Bin/bedrock.mjs 2>&1`;

for (split /\n/, $out) {
    if (/^(not )?ok \d+ - (.*)/) {
        ok(!$1, $2);

    } elsif (!/^1\.\./) {
        diag($_);
    }
}

is($?, 0, "F082: the SDKs are content");
ok(!grep({ $_->{credential} !~ /^AKID/ } $up->since),
   "F082: each request was signed by the relay");


# Claude Code

SKIP: {
    my $claude = "$modules/.bin/claude";

    skip("no Claude Code", 5) if !-x $claude;

    mkdir "$work/here";

    local %ENV = (
        PATH => "$modules/.bin:/usr/bin:/bin",
        HOME => $work,
        CLAUDE_CONFIG_DIR => "$work/config",
        CLAUDE_CODE_USE_BEDROCK => 1,
        CLAUDE_CODE_SKIP_BEDROCK_AUTH => 1,
        ANTHROPIC_BEDROCK_BASE_URL => "$ENV{CR_BASE}/bedrock",
        ANTHROPIC_CUSTOM_HEADERS => "x-api-key: $ENV{CR_KEY}",
        AWS_REGION => "us-east-1",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1,
        DISABLE_AUTOUPDATER => 1,
        DISABLE_TELEMETRY => 1,
    );

    $out = `cd $work/here && timeout 120 $claude -p hello < /dev/null 2>&1`;

    is($?, 0, "F082: Claude Code on Bedrock: its exit status");
    like($out, qr/^This is the sandbox upstream/,
         "F082: Claude Code on Bedrock: an answer");

    my ($last) = grep { $_->{target} =~ m{^/model/} } reverse $up->since;

    like($last->{target}, qr{/invoke-with-response-stream$},
         "F082: Claude Code on Bedrock: a stream of frames");
    is($last->{credential}, "AKIDONE", "F082: signed by the relay");
    is((grep { $_->{uri} =~ /invoke/ } $nginx->log(100))[-1]{account}, "one",
       "F082: in the log");
}

finish();
