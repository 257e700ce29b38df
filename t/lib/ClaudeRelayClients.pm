package ClaudeRelayClients;

# Real clients for t/clients: where util/install.sh clients has put them, and
# ways to run one of them in a home of its own.
#
#   my ($node, $claude, $sdk) = clients();     or the test is skipped
#   my ($node, $sdk) = needed("SDK", ".bin/node", "openai");     others
#   run({ NAME => "value" }, $claude, "-p", "hello")     its status
#   client_dir()     its home; what it printed is in "out" and "err" there
#
#   sdk($nginx, $up, $node, $sdk, "openai.mjs", "^OPENAI_", NAME => "value")
#       the rest of a test: a script that prints the TAP, without variables of
#       the caller's that match
#
#   needed_codex();
#   my $t = codex($nginx, $prompt, sockets => 1);
#       one turn of the Codex CLI: its status, out and err

use warnings;
use strict;

use Exporter qw/ import /;
use File::Temp qw/ tempdir /;
use FindBin;
use POSIX ();
use Test::More;

use ClaudeRelay;


our @EXPORT = qw/ clients needed run client_dir sdk codex needed_codex /;

my ($clients, $work, $runs);


# paths below node_modules, or the test is skipped

sub needed {
    my ($what, @paths) = @_;

    $clients = $ENV{CR_CLIENTS} // root() . "/build/clients";

    my @files = map { m{^/} ? $_ : "$clients/node_modules/$_" } @paths;

    return @files if !grep { !-e } @files;

    my $why = "no $what: run util/install.sh clients";

    plan(skip_all => $why) if !$ENV{CI};
    plan(tests => 1);
    fail($why);
    exit 1;
}


sub clients {
    return needed("clients", ".bin/node", ".bin/claude", "\@anthropic-ai/sdk");
}


sub client_dir {
    return $work //= tempdir("claude-relay-client-XXXXXX", TMPDIR => 1,
                             CLEANUP => 1);
}


sub run {
    my ($env, @command) = @_;

    client_dir();
    $clients //= $ENV{CR_CLIENTS} // root() . "/build/clients";

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        alarm 60;
        %ENV = (PATH => "$clients/node_modules/.bin:/usr/bin:/bin",
                HOME => $work, TMPDIR => $work, TERM => "dumb",
                LANG => "C.UTF-8", %$env);
        chdir $work;
        open STDIN, "<", "/dev/null";
        open STDOUT, ">", "$work/out";
        open STDERR, ">", "$work/err";

        { exec { $command[0] } @command; }
        POSIX::_exit(127);
    }

    waitpid $pid, 0;

    return $?;
}


sub sdk {
    my ($nginx, $up, $node, $sdk, $script, $callers, %env) = @_;

    # nothing of the caller's

    delete $ENV{$_} for grep { /$callers|^NODE_|_proxy$/i } keys %ENV;

    $ENV{CR_BASE} = "http://127.0.0.1:" . $nginx->port;
    $ENV{CR_SANDBOX} = $up->url;
    $ENV{CR_KEY} = $ClaudeRelay::KEY;
    $ENV{CR_SDK} = $sdk;
    $ENV{HOME} = $nginx->dir;
    $ENV{$_} = $env{$_} for keys %env;

    $| = 1;

    my $status = system $node, "$FindBin::Bin/$script";

    $nginx->stop;

    my @bad = $nginx->complaints;

    print "# $_\n" for @bad;

    exit($status || @bad ? 1 : 0);
}


my ($node, $cli);


sub needed_codex {
    ($node, $cli) = needed("Codex CLI", ".bin/node",
                           "\@openai/codex/bin/codex.js");
}


sub codex {
    my ($nginx, $prompt, %with) = @_;

    my $home = client_dir() . "/home" . ++$runs;
    my ($feature, $provider) = !$with{sockets} ? ("", "")
        : ("responses_websockets = true\n", "supports_websockets = true\n");

    mkdir $_ for $home, "$home/.codex", "$home/here";

    spew("$home/.codex/config.toml", <<"END");
model_provider = "relay"
model = "gpt-5.5"
check_for_update_on_startup = false
[features]
${feature}plugins = false
apps = false
remote_plugin = false
[analytics]
enabled = false
[model_providers.relay]
name = "relay"
base_url = "http://127.0.0.1:@{[ $nginx->port ]}/v1"
env_key = "RELAY_KEY"
wire_api = "responses"
${provider}
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


1;
