#!/usr/bin/perl

# The google SDK (gemini.mjs prints its TAP) and Gemini CLI of npm through the
# relay, the relay before the sandbox.  util/install.sh clients installs them.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use ClaudeRelay;
use ClaudeRelayClients;
use File::Path qw/ make_path /;
use Test::More;


my ($node) = clients();

my $modules = ($ENV{CR_CLIENTS} // root() . "/build/clients")
              . "/node_modules";
my $sdk = "$modules/\@google/genai/dist/node/index.mjs";
my $cli = "$modules/.bin/gemini";

if (!-f $sdk || !-x $cli) {
    my $why = "no Gemini clients: run util/install.sh clients";

    plan(skip_all => $why) if !$ENV{CI};
    plan(tests => 1);
    fail($why);
    exit 1;
}

alarm 300;

my $up = sandbox();

sub gemini {
    my ($name, $more) = @_;

    return account($name, "platform gemini; api_key AIza-$name-000001; "
                          . ($more // ""));
}

my $nginx = relay(
    accounts => gemini("one", "priority 200;") . gemini("two")
                . gemini("narrow", "pool none; models gemini-2.5-pro;"),
    http => <<'END',
# no test rests an account for the next one
claude_relay_rest unauthorized=0 forbidden=0 edge=0 disabled=0 billing=0
                  limited=0 throttled=0 overloaded=0 overloaded_max=0
                  server=0 server_max=0;
claude_relay_retry_wait 0;
END
    server => "location /none/ { claude_relay; claude_relay_pool none; }",
);

my $base = "http://127.0.0.1:" . $nginx->port;

sub output { slurp(client_dir() . "/$_[0]") }


# 1. the SDK

my $status = run({ CR_BASE => $base, CR_KEY => $ClaudeRelay::KEY,
                   CR_SDK => $sdk },
                 $node, "$FindBin::Bin/gemini.mjs");

my $told = 0;

for (split /\n/, output("out")) {
    if (/^(not )?ok \d+ - (.*)/) {
        ok(!$1, "SDK: $2");
        $told++;

    } else {
        diag($_) if /^# /;
    }
}

cmp_ok($told, ">=", 13, "the SDK has told all it should");
is($status, 0, "SDK: its status") or diag(output("err"));

like(encode([$up->last(1)]), qr/AIza-(one|two)-000001/,
     "it was an account's key that went on");


# 2. Gemini CLI

make_path(client_dir() . "/.gemini");

spew(client_dir() . "/.gemini/settings.json", encode({
    security => { auth => { selectedType => "gemini-api-key" } },
    privacy => { usageStatisticsEnabled => JSON::PP::false() },
    telemetry => { enabled => JSON::PP::false() },
    general => { disableAutoUpdate => JSON::PP::true() },
}));

my %env = (GEMINI_API_KEY => $ClaudeRelay::KEY,
           GOOGLE_GEMINI_BASE_URL => $base,
           GEMINI_CLI_TRUST_WORKSPACE => "true",
           NO_BROWSER => 1, CI => 1);

$up->since;

$status = run(\%env, $cli, "-m", "gemini-2.5-pro", "-p", "hello there");

is($status, 0, "CLI: its status") or diag(output("err"), output("out"));
like(output("out"), qr/Gemini of the sandbox says/, "CLI: the answer");

my @seen = $up->since;

ok((grep { $_->{target} =~ /gemini-2\.5-pro:streamGenerateContent\?alt=sse$/ }
        @seen), "CLI: it streams") or diag(map { "$_->{target}\n" } @seen);
is(scalar(grep { encode($_) =~ /\Q$ClaudeRelay::KEY\E/ } @seen), 0,
   "CLI: the relay's key goes no further");

# the first account that is asked has no quota

$up->behave("AIza-one-000001", "status=429,quota-id=PerDay");

$status = run(\%env, $cli, "-m", "gemini-2.5-pro", "-p", "hello again");

is($status, 0, "CLI: an account without quota is not noticed")
    or diag(output("err"));
like(output("out"), qr/Gemini of the sandbox says/, "CLI: the answer");
like($nginx->access_log, qr/one:429:[^"]*,two:200:/, "CLI: but it was asked");

finish();
