#!/usr/bin/perl

# What an operator's page asks, so many times a second on one connection:
#
#   bench/ask.pl PORT TOKEN RATE
#
# until it is killed.  An answer that is not 200 ends it.

use warnings;
use strict;

use IO::Socket::INET;
use Time::HiRes qw/ sleep time /;


my ($port, $token, $rate) = @ARGV;

my @questions = (
    "usage?by=day&since=30d", "usage?by=model&since=30d",
    "usage?by=key&since=7d&limit=20", "usage/top?of=keys&since=30d",
    "keys?limit=50", "accounts", "usage/rows?limit=50", "status",
);

my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port")
    or die "127.0.0.1:$port: $!\n";

my $next = time;

for (my $i = 0; ; $i++) {
    my $question = $questions[$i % @questions];

    print $s "GET /admin/api/v1/$question HTTP/1.1\r\nHost: x\r\n"
             . "Authorization: Bearer $token\r\n\r\n";
    $s->flush;

    my $head = "";

    while ($head !~ /\r\n\r\n/) {
        sysread($s, $head, 4096, length $head) or die "closed\n";
    }

    die "$question: $head\n" if $head !~ /^HTTP\/1.1 200 /;

    my ($length) = $head =~ /\r\nContent-Length: (\d+)/i
        or die "no length\n";
    my $have = length($head) - index($head, "\r\n\r\n") - 4;

    while ($have < $length) {
        $have += sysread($s, my $body, 65536) || die "closed\n";
    }

    $next += 1 / $rate;
    sleep($next - time) if $next > time;
}
