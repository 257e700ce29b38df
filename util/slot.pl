#!/usr/bin/perl

# Runs a command with ports and a server root that no other test has:
#
#   util/slot.pl COMMAND [ARGUMENT...]
#
# TEST_NGINX_PORT .. TEST_NGINX_PORT + 39 of 127.0.0.1 belong to the command
# and its children for as long as one of them lives.

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

    exec { $ARGV[0] } @ARGV;
    die "$ARGV[0]: $!\n";
}

die "no free ports from " . FIRST . " on\n";


sub unused {
    my ($port) = @_;

    return IO::Socket::INET->new(
        LocalAddr => "127.0.0.1",
        LocalPort => $port,
        Listen    => 1,
        ReuseAddr => 1,
    );
}
