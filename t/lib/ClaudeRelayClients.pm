package ClaudeRelayClients;

# Real clients for t/clients: where util/install.sh clients has put them, and
# a way to run one of them in a home of its own.
#
#   my ($node, $claude, $sdk) = clients();     or the test is skipped
#   run({ NAME => "value" }, $claude, "-p", "hello")     its status
#   client_dir()     its home; what it printed is in "out" and "err" there

use warnings;
use strict;

use Exporter qw/ import /;
use File::Temp qw/ tempdir /;
use POSIX ();
use Test::More;

use ClaudeRelay;


our @EXPORT = qw/ clients run client_dir /;

my ($clients, $work);


sub clients {
    $clients = $ENV{CR_CLIENTS} // root() . "/build/clients";

    my $node = "$clients/node_modules/.bin/node";
    my $claude = "$clients/node_modules/.bin/claude";
    my $sdk = "$clients/node_modules/\@anthropic-ai/sdk";

    return ($node, $claude, $sdk)
        if -x $node && -x $claude && -f "$sdk/package.json";

    my $why = "no clients: run util/install.sh clients";

    plan(skip_all => $why) if !$ENV{CI};
    plan(tests => 1);
    fail($why);
    exit 1;
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


1;
