#!/usr/bin/perl

# The Codex CLI with a provider that has WebSockets, by which it asks for one
# first: with an account that has none, and with one that has.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use ClaudeRelay;
use ClaudeRelaySocket;
use File::Temp qw/ tempdir /;
use POSIX ();
use Test::More;


my $clients = $ENV{CR_CLIENTS} // root() . "/build/clients";
my $node = "$clients/node_modules/.bin/node";
my $cli = "$clients/node_modules/\@openai/codex/bin/codex.js";

if (!-x $node || !-f $cli) {
    my $why = "no Codex CLI: run util/install.sh clients";

    plan(skip_all => $why) if !$ENV{CI};
    plan(tests => 1);
    fail($why);
    exit 1;
}

my $work = tempdir("codex-socket-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $runs = 0;

my $up = sandbox();
my $socket = socket_upstream();

sub http {
    my ($more) = @_;

    return (workers => 1,
            server => "large_client_header_buffers 4 32k;",
            location => "claude_relay_buffer_size 64k;",
            accounts => account("one", "platform codex; account_id acc-one;"
                                       . " access_token token-one-000001;"
                                       . " $more"));
}

my $nginx = relay(http("base_url %%UP%%/backend-api/codex;"));

# one turn

sub turn {
    my ($prompt) = @_;

    my $home = "$work/home" . ++$runs;

    mkdir $_ for $home, "$home/.codex", "$home/here";

    spew("$home/.codex/config.toml", <<"END");
model_provider = "relay"
model = "gpt-5.5"
check_for_update_on_startup = false
[features]
responses_websockets = true
plugins = false
apps = false
remote_plugin = false
[analytics]
enabled = false
[model_providers.relay]
name = "relay"
base_url = "http://127.0.0.1:@{[ $nginx->port ]}/v1"
env_key = "RELAY_KEY"
wire_api = "responses"
supports_websockets = true
END

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        POSIX::setpgid(0, 0);

        # nothing of the caller's, and no way out

        %ENV = (PATH => "$clients/node_modules/.bin:/usr/bin:/bin",
                HOME => $home, TMPDIR => $home, LANG => "C.UTF-8",
                TERM => "dumb", RELAY_KEY => $ClaudeRelay::KEY,
                HTTPS_PROXY => "http://127.0.0.1:1",
                NO_PROXY => "127.0.0.1");

        chdir "$home/here";

        open STDIN, "<", "/dev/null";
        open STDOUT, ">", "$home/out";
        open STDERR, ">", "$home/err";

        { exec $node, $cli, "exec", "--skip-git-repo-check", $prompt; }
        POSIX::_exit(127);
    }

    my $status;

    wait_for(sub {
        $status = $? if waitpid($pid, POSIX::WNOHANG()) == $pid;
        return defined $status;
    }, 60);

    # itself and what it has started

    kill "KILL", -$pid;
    waitpid $pid, 0 if !defined $status;

    return { status => $status // -1, out => slurp("$home/out"),
             err => slurp("$home/err") };
}


# 1. over HTTP, after one 426

my $t = turn("hello");

is($t->{status}, 0, "a turn of the Codex CLI")
    || diag($t->{err});
like($t->{out}, qr/^word0 word1 word2/m, "what the model said, over HTTP")
    || diag($t->{out}, $t->{err});

my @asked = $nginx->access_log =~ m{"GET /v1/responses HTTP/1.1"}g;

# to warm up, and for the turn: never five times

cmp_ok(scalar @asked, "<=", 2, "a WebSocket was asked for, and no more");
like($nginx->access_log, qr{"status":426,"request":"GET /v1/responses},
     "and there was none");


# 2. over a WebSocket

$nginx->stop;
$nginx = relay(http("base_url " . $socket->url . "; websocket on;"));

$t = turn("hello");

is($t->{status}, 0, "a turn over a WebSocket") || diag($t->{err});
like($t->{out}, qr/^Hello over a WebSocket$/m, "what the model said")
    || diag($t->{out}, $t->{err});

my @messages = grep { /^\{/ } $socket->messages;

ok(@messages >= 1, "turns went over it");
is(scalar(grep { json($_)->{type} eq "response.create" } @messages),
   scalar @messages, "each of them a response.create");
unlike($nginx->access_log, qr{"POST /v1/responses}, "and none over HTTP");

finish();
