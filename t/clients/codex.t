#!/usr/bin/perl

# The Codex CLI itself through the relay, before the sandbox that insists on
# what ChatGPT's back end insists on.  util/install.sh clients installs it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use ClaudeRelay;
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

my $work = tempdir("codex-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $runs = 0;

my $up = sandbox();

sub codex {
    my ($name, $more) = @_;

    return account($name, "platform codex; access_token token-$name-000001;
                   account_id acc-$name;
                   base_url %%UP%%/backend-api/codex; $more");
}

my $nginx = relay(accounts => codex("one", "priority 50;")
                              . codex("two", "priority 1;"),
                  server => "large_client_header_buffers 4 32k;");

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


{
    my $t = turn("hello");

    is($t->{status}, 0, "F011, F085: a turn of the Codex CLI")
        || diag($t->{err});
    like($t->{out}, qr/^word0 word1 word2 word3 word4 ?$/m,
         "F011: says what the back end has said");

    my ($r) = grep { $_->{target} eq "/backend-api/codex/responses" }
              $up->last(9);

    ok($r, "F085: it was asked there");
    is($r->{status}, 200, "F085: at once");
    is(scalar $up->header("authorization"), "Bearer token-one-000001",
       "F085: with the account's token");
    like(scalar $up->header("user-agent"), qr/^codex_exec\//,
         "F085: the client is itself");
    like(scalar $up->header("version"), qr/^0\.\d+\.\d+/,
         "F085: and of its version");
}

{
    $up->since;
    $up->behave("token-one-000001",
                "error-first=usage_limit_reached,once");

    my $t = turn("again");
    my @asked = map { my ($h) = grep { /^authorization:/i } @{ $_->{headers} };
                      $h =~ /token-(\w+)-/ } $up->since;

    is($t->{status}, 0, "I6: a limit inside of a 200") || diag($t->{err});
    is("@asked", "one two", "I6: is not seen by the client");
}

{
    $up->behave("token-two-000001", "delay=100,reset-at=2,once");

    my $t = turn("once more");

    is($t->{status}, 0, "I8: a stream that broke") || diag($t->{err});
    like($t->{out}, qr/word4/, "I8: is asked for again");
}

finish();
