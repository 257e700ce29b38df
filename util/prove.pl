#!/usr/bin/perl

# Runs programs that print TAP, shows what prove shows, and appends a line
# "passed failed skipped" to a file: assertions, not programs.
#
#   util/prove.pl [-j JOBS] [-s] [-v] RESULTS PROGRAM...
#
#   -s    each in a slot of its own (ports and server root, util/slot.pl), for
#         at most CR_TIMEOUT seconds
#
# A program that dies, bails out, stops short of its plan, or has none, counts
# as one failure more.

use warnings;
use strict;

use Getopt::Std;

{
    package Harness;

    use parent "TAP::Harness";

    # "Bail out!" ends that program, not the others

    sub _bailout {}
}


my %opt;

getopts("j:sv", \%opt) && @ARGV > 1
    or die "usage: prove.pl [-j JOBS] [-s] [-v] RESULTS PROGRAM...\n";

my ($results, @programs) = @ARGV;

$ENV{CR_TIMEOUT} //= 600;

my $harness = Harness->new({
    jobs      => $opt{j} // 1,
    verbosity => $opt{v} ? 1 : 0,
    failures  => 1,
    color     => 0,
    merge     => 0,
    exec      => \&command,
});

my $sum = $harness->runtests(@programs);

my $failed = $sum->failed;

for my $parser ($sum->parsers) {
    my $broken = $parser->parse_errors || !defined $parser->plan
                 || ($parser->wait && !$parser->failed);

    $failed++ if $broken;
}

my $skipped = $sum->skipped;
my $passed = $sum->passed - $skipped;

# a program skipped as a whole has an empty plan

$skipped += grep { $_->skip_all } $sum->parsers;

open my $out, ">>", $results or die "$results: $!\n";
print $out "$passed $failed $skipped\n";
close $out;

exit($failed ? 1 : 0);


sub command {
    my (undef, $program) = @_;

    my @command = $program =~ /\.(t|pl)$/ ? ("perl", $program)
                  : $program =~ /\.sh$/  ? ("sh", $program)
                  : $program =~ m{^/}    ? ($program)
                                         : ("./$program");

    unshift @command, "perl", "util/slot.pl" if $opt{s};

    return \@command;
}
