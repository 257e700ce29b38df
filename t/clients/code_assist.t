#!/usr/bin/perl

# F015: the Gemini CLI in Code Assist mode through the relay, and as a client
# of the Gemini API on accounts of Code Assist and Antigravity.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use FindBin;
use lib "$FindBin::Bin/../lib";


# a network namespace of our own: nothing is looked for elsewhere

BEGIN {
    if (!$ENV{CR_NETNS} && $> == 0
        && system("unshare -n true > /dev/null 2>&1") == 0)
    {
        $ENV{CR_NETNS} = 1;
        exec "unshare", "-n", $^X, abs_path($0), @ARGV;
    }
}


use ClaudeRelay;
use ClaudeRelayClients;
use Test::More;


system("ip link set lo up > /dev/null 2>&1") if $ENV{CR_NETNS};

my $clients = $ENV{CR_CLIENTS} // root() . "/build/clients";
my $gemini = "$clients/node_modules/.bin/gemini";

plan(skip_all => "no Gemini CLI: run util/install.sh clients") if !-e $gemini;

alarm 300;

my $up = sandbox();

my $nginx = relay(
    workers => 1,
    accounts =>
        account("ga", "platform code-assist; access_token ya29.one;"
                      . " project project-one;")
        . account("anti", "platform antigravity; access_token ya29.two;"
                          . " client_version 2.9.1;"
                          . " project project-two; pool anti;"),
    server => <<'END',
        location /anti/ { claude_relay; claude_relay_pool anti; }
END
);

my $base = "http://127.0.0.1:" . $nginx->{port};
my $dir = client_dir();

sub ask {
    my ($type, $prompt, %env) = @_;

    mkdir "$dir/.gemini";
    spew("$dir/.gemini/settings.json", encode({
        security => { auth => { selectedType => $type } },
        privacy => { usageStatisticsEnabled => \0 },
        telemetry => { enabled => \0 },
        general => { disableAutoUpdate => \1 },
    }));

    my $status = run({ GEMINI_CLI_TRUST_WORKSPACE => "true", NO_BROWSER => 1,
                       CI => 1, %env }, $gemini, "-m", "gemini-2.5-pro",
                     "-p", $prompt);

    diag(slurp("$dir/err")) if $status;

    return ($status, slurp("$dir/out"));
}

my ($status, $out) = ask("oauth-personal", "Say something.",
    GOOGLE_GENAI_USE_GCA => "true",
    GOOGLE_CLOUD_ACCESS_TOKEN => $ClaudeRelay::KEY,
    CODE_ASSIST_ENDPOINT => $base);

is($status, 0, "F015: the Gemini CLI in Code Assist mode ends well");
like($out, qr/word 0.*word 4/s, "F015: it prints what was said");

my @seen = $up->since;
my %by = map { $_->{target} =~ m{^/v1internal:(\w+)} ? ($1 => $_) : () } @seen;

for my $verb (qw/ loadCodeAssist streamGenerateContent /) {
    ok($by{$verb}, "F015: it asked for $verb");
}

is(scalar(grep { $_->{status} >= 400 } @seen), 0, "F015: nothing was refused")
    || diag(join "\n", map { "$_->{status} $_->{target}" } @seen);

($status, $out) = ask("gemini-api-key", "Say something.",
    GEMINI_API_KEY => $ClaudeRelay::KEY, GOOGLE_GEMINI_BASE_URL => $base);

is($status, 0, "F015: the Gemini CLI of the Gemini API");
like($out, qr/word 0.*word 4/s, "F015: it prints what was said");
@seen = $up->since;
is(scalar(grep { $_->{target} !~ m{^/v1internal:} } @seen), 0,
   "F015: all of it in envelopes");

($status, $out) = ask("gemini-api-key", "Say something.",
    GEMINI_API_KEY => $ClaudeRelay::KEY,
    GOOGLE_GEMINI_BASE_URL => "$base/anti");

is($status, 0, "F083: the Gemini CLI on Antigravity");
like($out, qr/word 0.*word 4/s, "F083: it prints what was said");

finish();
