#!/usr/bin/perl

# Checks the floors by their #include lines (docs/architecture.md):
#
#   floors 0 to 3 know nothing of nginx;
#   a floor includes itself and lower ones; platform, pool and store do not meet;
#   a codec includes no other codec;
#   nobody includes the roof.

use warnings;
use strict;

use File::Basename qw/ basename dirname /;

chdir dirname($0) . "/.." or die;


my @floors = ([qw/ base /], [qw/ model /], [qw/ codec /],
              [qw/ platform pool store /], [qw/ ngx /]);
my %level = map { my $i = $_; map { $_ => $i } @{$floors[$i]} } 0 .. $#floors;

my $roof = "ngx_http_claude_relay_module";
my (%home, $errors);

for my $path (glob "src/*/*.h") {
    my ($floor, $name) = $path =~ m{^src/(\w+)/(.+)$};

    complain($path, 1, "no floor of this name") if !defined $level{$floor};
    complain($path, 1, "\"$name\" exists on floor $home{$name}, too")
        if defined $home{$name};

    $home{$name} = $floor;
}

check($_) for grep { -f } glob "src/*/*.[ch] sandbox/*.[ch] $roof.c";

exit($errors ? 1 : 0);


sub check {
    my ($path) = @_;

    my ($floor) = $path =~ m{^src/(\w+)/};
    my $level = defined $floor ? $level{$floor} // -1 : @floors;

    open my $file, "<", $path or die "$path: $!\n";

    while (my $line = <$file>) {
        my ($open, $name) = $line =~ /^\s*#\s*include\s*([<"])([^>"]+)[>"]/
            or next;

        if ($name =~ /^ngx_/ && $level < $level{ngx}) {
            complain($path, $., "floor $floor knows nothing of nginx");
            next;
        }

        if ($name =~ /\Q$roof\E|\.c$/) {
            complain($path, $., "nobody includes \"$name\"");
            next;
        }

        if ($path =~ /^sandbox/ && defined $home{basename($name)}) {
            complain($path, $., "the sandbox stands beside the house, and "
                                . "shares no bug with it");
            next;
        }

        next if $open eq "<" || !defined $floor;

        my $other = $home{$name};

        if (!defined $other) {
            complain($path, $., "no floor has \"$name\"");

        } elsif ($level{$other} > $level) {
            complain($path, $., "floor $floor includes \"$name\" of $other, "
                                . "above it");

        } elsif ($level{$other} == $level && $other ne $floor) {
            complain($path, $., "$floor and $other do not see each other");

        } elsif ($floor eq "codec" && $other eq "codec"
                 && strangers(basename($path), $name))
        {
            complain($path, $., "a codec includes another, \"$name\"");
        }
    }
}


# ncr_anthropic_stream.c belongs to anthropic, ncr_codec.c to none

sub strangers {
    my ($one, $other) = map { /^ncr_([a-z0-9]+)/ ? $1 : "" } @_;

    return $one ne $other && $one ne "codec" && $other ne "codec";
}


sub complain {
    my ($path, $line, $text) = @_;

    print "$path:$line: $text\n";
    $errors++;
}
