#!/usr/bin/perl

# Checks commit messages: "Area: what it does" in 72 columns, a blank line,
# then a body of lines of at most 72.
#
#   util/commit-msg.pl [RANGE]      as git log takes it; HEAD alone by default
#   util/commit-msg.pl FILE         as git's commit-msg hook

use warnings;
use strict;


my $what = $ARGV[0] // "-1 HEAD";
my $errors = 0;

if (-f $what) {
    open my $file, "<", $what or die "$what: $!\n";
    check($what, join "", grep { !/^#/ } <$file>);

} else {
    open my $log, "-|", "git", "log", "--no-merges", "--format=%h%n%B%x00",
        split " ", $what or die "git: $!\n";

    local $/ = "\0";

    while (my $commit = <$log>) {
        chomp $commit;
        my ($id, $text) = $commit =~ /^\n?(\w+)\n(.*)/s or next;
        check($id, $text);
    }

    close $log or die "git log $what failed\n";
}

exit($errors ? 1 : 0);


sub check {
    my ($id, $text) = @_;

    my ($subject, @body) = split /\n/, $text =~ s/\s+\z//r;

    $subject //= "";

    complain($id, 1, "subject of " . length($subject) . " columns")
        if length $subject > 72;

    complain($id, 1, "subject is not \"Area: what it does\"")
        if $subject !~ /^[A-Z][A-Za-z0-9_\/ -]{1,20}: \S/
           && $subject !~ /^Revert "/;

    complain($id, 1, "subject ends in a period") if $subject =~ /\.$/;

    complain($id, 2, "no blank line after the subject")
        if @body && $body[0] ne "";

    for my $i (0 .. $#body) {
        my $line = $body[$i];

        # what cannot be wrapped is quoted: indented, a link, a trailer

        next if $line =~ /^(    |\s*\S+$|[A-Z][A-Za-z-]+: )/;

        complain($id, $i + 2, "line of " . length($line) . " columns")
            if length $line > 72;
    }
}


sub complain {
    my ($id, $line, $text) = @_;

    print "$id:$line: $text\n";
    $errors++;
}
