#!/usr/bin/perl

# Runs a command with ports and a server root that no other test has:
#
#   util/slot.pl COMMAND [ARGUMENT...]
#
# TEST_NGINX_PORT .. TEST_NGINX_PORT + 39 of 127.0.0.1 belong to the command
# and its children for as long as one of them lives.  What is left of its
# process group when it ends, is ended, too: a helper that outlives its test
# would keep the pipe open that the harness reads.  After CR_TIMEOUT seconds
# the command itself is ended.

use warnings;
use strict;

use Cwd qw/ getcwd /;
use Fcntl qw/ :flock F_SETFD /;
use IO::Socket::INET;


use constant {
    FIRST => 18400,
    SLOTS => 200,
    PORTS => 40,
};


die "usage: slot.pl COMMAND [ARGUMENT...]\n" if !@ARGV;

my $dir = ($ENV{TMPDIR} // "/tmp") . "/claude-relay-ports-$<";

mkdir $dir, 0700;

for my $slot (0 .. SLOTS - 1) {
    open my $lock, ">", "$dir/$slot" or die "$dir/$slot: $!\n";
    flock $lock, LOCK_EX|LOCK_NB or next;

    my $port = FIRST + $slot * PORTS;

    next if grep { !unused($_) } $port .. $port + 7;

    fcntl $lock, F_SETFD, 0;

    $ENV{TEST_NGINX_PORT} = $port;
    $ENV{TEST_NGINX_SERVER_PORT} = $port;

    # Test::Nginx makes the last directory only

    mkdir $_ for "build", "build/servroot";
    $ENV{TEST_NGINX_SERVROOT} = getcwd() . "/build/servroot/$slot";

    exit run(@ARGV);
}

die "no free ports from " . FIRST . " on\n";


sub run {
    my (@command) = @_;

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        setpgrp;
        exec { $command[0] } @command;
        die "$command[0]: $!\n";
    }

    for my $signal (qw/ INT TERM HUP /) {
        $SIG{$signal} = sub { kill $signal, -$pid };
    }

    $SIG{ALRM} = sub {
        print STDERR "# @command: no end after $ENV{CR_TIMEOUT} seconds\n";
        kill "KILL", -$pid;
    };

    alarm($ENV{CR_TIMEOUT} // 0);
    1 while waitpid($pid, 0) != $pid;
    alarm 0;

    my $status = $?;

    kill "TERM", -$pid;

    for (1 .. 10) {
        last if !kill 0, -$pid;
        select undef, undef, undef, 0.1;
    }

    kill "KILL", -$pid;

    return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}


sub unused {
    my ($port) = @_;

    return IO::Socket::INET->new(
        LocalAddr => "127.0.0.1",
        LocalPort => $port,
        Listen    => 1,
        ReuseAddr => 1,
    );
}
