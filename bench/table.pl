#!/usr/bin/perl

# The table of what bench/run.sh has measured: medians of the rounds, with
# the smallest and the largest; ratios are made within a round first.
#
#   bench/table.pl RAW JSON

use warnings;
use strict;

use POSIX qw/ strftime /;


my ($raw, $json) = @ARGV;

my (%runs, @rows);

open my $in, "<", $raw or die "$raw: $!\n";

while (<$in>) {
    my ($name, $variant, $round, @words) = split;

    for my $word (@words) {
        $runs{$name}{$variant}[$round - 1]{$1} = $2
            if $word =~ /^(\w+)=(.*)/;
    }
}

close $in;


# title, name, target; the baseline of a ratio is proxy_pass as it comes

cpu("1 KB call", "call", 1.15);
token("1 KB call, token of a login", "call");
cpu("stream of 200 events, one write", "burst", 1.10);
cpu("stream of 200 events, one by one", "events", 1.10);
cpu("1 MB request body", "body", 1.25);
signed("1 MB request body, signed for AWS", "body", 1.4);
cpu("1 KB call, TLS through a proxy", "tunnel", 1.10);
handshakes("its handshakes", "tunnel", 1.10);
latency("added to the p50 of a call", "latency", 30);
flood("a good key, 9 wrong ones for each", "flood", 1.2);
latency("added to the p50 of an event", "frames", 10);
flood("a call, 50 questions a second", "admin", 1.2);
list("a list of 10,000 keys", "list", 100);
frame("a frame of AWS's to an event", "aws", 2);
fleet("1 KB call, one of three nodes", "fleet", 1.05);
commands("its commands to Redis", "fleet", 0.1);
memory("1,000 idle streams", "memory", 8);

table();
save();


sub median {
    my @sorted = sort { $a <=> $b } @_;

    return @sorted % 2 ? $sorted[$#sorted / 2]
                       : ($sorted[@sorted / 2 - 1] + $sorted[@sorted / 2]) / 2;
}


# the middle, the least and the most of a list

sub spread {
    my @sorted = sort { $a <=> $b } @_;

    return { median => median(@sorted), min => $sorted[0],
             max => $sorted[-1] };
}


sub values_of {
    my ($name, $variant, $word) = @_;

    return map { $_->{$word} } @{ $runs{$name}{$variant} };
}


sub add {
    my (%row) = @_;

    $row{met} = $row{measured}{median} <= $row{target} ? 1 : 0
        if defined $row{target};
    push @rows, \%row;
}


sub cpu {
    my ($title, $name, $target) = @_;

    my $run = $runs{$name} or return;
    my @relay = values_of($name, "relay", "cpu_us");

    for my $base (qw/ proxy unbuffered spooled /) {
        next if !$run->{$base};

        my @base = values_of($name, $base, "cpu_us");

        add(name => "$name/$base", title => $title, unit => "x",
            base => $base, target => $base eq "proxy" ? $target : undef,
            measured => spread(map { $relay[$_] / $base[$_] } 0 .. $#base),
            relay => median(@relay), other => median(@base));
    }
}


# a login's token that is valid, beside an API key

sub token {
    my ($title, $name) = @_;

    my $run = $runs{$name} or return;
    return if !$run->{token};

    my @token = values_of($name, "token", "cpu_us");
    my @relay = values_of($name, "relay", "cpu_us");

    add(name => "$name/token", title => $title, unit => "x", base => "relay",
        measured => spread(map { $token[$_] / $relay[$_] } 0 .. $#relay),
        relay => median(@token), other => median(@relay));
}


# a body that is edited, hashed and signed, beside one that passes by

sub signed {
    my ($title, $name, $target) = @_;

    my $run = $runs{$name} or return;
    return if !$run->{signed};

    my @signed = values_of($name, "signed", "cpu_us");
    my @proxy = values_of($name, "proxy", "cpu_us");

    add(name => "$name/signed", title => $title, unit => "x", base => "proxy",
        target => $target,
        measured => spread(map { $signed[$_] / $proxy[$_] } 0 .. $#proxy),
        relay => median(@signed), other => median(@proxy));
}


# the same relay with Redis and without

sub fleet {
    my ($title, $name, $target) = @_;

    $runs{$name} or return;

    my @node = values_of($name, "node", "cpu_us");
    my @alone = values_of($name, "alone", "cpu_us");

    add(name => $name, title => $title, unit => "x", base => "alone",
        target => $target,
        measured => spread(map { $node[$_] / $alone[$_] } 0 .. $#alone),
        relay => median(@node), other => median(@alone));
}


# of all nodes for each request to one of them, and in a second without any

sub commands {
    my ($title, $name, $target) = @_;

    $runs{$name} or return;

    my @commands = values_of($name, "node", "commands");
    my @asked = values_of($name, "node", "asked");

    add(name => "$name/commands", title => $title, unit => "x", what => "",
        base => "requests", target => $target,
        measured => spread(map { $commands[$_] / $asked[$_] } 0 .. $#asked),
        relay => median(@commands), other => median(@asked));

    my ($idle) = values_of($name, "idle", "commands");
    my ($seconds) = values_of($name, "idle", "asked");

    add(name => "$name/idle", title => "and of three idle nodes", unit => "x",
        what => "", base => "seconds", measured => spread($idle / $seconds),
        relay => $idle, other => $seconds);
}


sub frame {
    my ($title, $name, $target) = @_;

    $runs{$name} or return;

    my @us = values_of($name, "relay", "us");

    add(name => $name, title => $title, unit => "us", base => "nothing",
        target => $target, measured => spread(@us), relay => median(@us),
        other => 0);
}


# of all rounds: a handshake for each connection, not for each request

sub handshakes {
    my ($title, $name, $target) = @_;

    $runs{$name} or return;

    my %sum;

    for my $word (qw/ handshakes connections asked /) {
        $sum{$word} += $_ for values_of($name, "relay", $word);
    }

    return if !$sum{connections};

    add(name => "$name/handshakes", title => "$title, $sum{asked} calls",
        unit => "x", what => "", base => "connections", target => $target,
        measured => spread($sum{handshakes} / $sum{connections}),
        relay => $sum{handshakes}, other => $sum{connections});
}


sub flood {
    my ($title, $name, $target) = @_;

    $runs{$name} or return;

    my @flooded = values_of($name, "flooded", "a_p99");
    my @quiet = values_of($name, "quiet", "a_p99");

    add(name => $name, title => $title, unit => "x", what => "us, p99",
        base => "quiet",
        target => $target,
        measured => spread(map { $flooded[$_] / $quiet[$_] } 0 .. $#quiet),
        relay => median(@flooded), other => median(@quiet));
}


sub list {
    my ($title, $name, $target) = @_;

    $runs{$name} or return;

    my @ms = values_of($name, "list", "ms");

    add(name => $name, title => $title, unit => "ms", base => "nothing",
        target => $target, measured => spread(@ms), relay => median(@ms),
        other => 0);
}


sub latency {
    my ($title, $name, $target) = @_;

    $runs{$name} or return;

    my @relay = values_of($name, "both", "a_p50");
    my @base = values_of($name, "both", "b_p50");

    add(name => $name, title => $title, unit => "us",
        base => $name eq "frames" ? "unbuffered" : "proxy", target => $target,
        measured => spread(map { $relay[$_] - $base[$_] } 0 .. $#base),
        relay => median(@relay), other => median(@base));
}


sub memory {
    my ($title, $name, $target) = @_;

    my $run = $runs{$name} or return;
    my @relay = values_of($name, "relay", "rss_kb");

    for my $base (qw/ proxy unbuffered /) {
        my @base = values_of($name, $base, "rss_kb");

        add(name => "$name/$base", title => $title, unit => "KB",
            base => $base, target => $base eq "proxy" ? $target : undef,
            measured => spread(map { $relay[$_] - $base[$_] } 0 .. $#base),
            relay => median(@relay), other => median(@base));
    }
}


sub table {
    my %bases = (proxy => "proxy_pass", unbuffered => "buffering off",
                 spooled => "body in a file", connections => "connections",
                 relay => "an API key", alone => "without Redis",
                 requests => "requests", seconds => "seconds", quiet => "none of them",
                 nothing => "");

    my $line = "%-33s %-14s %9s %9s %-9s %9s %-13s  %s\n";

    printf $line, "", "against", "relay", "other", "", "relay is",
           "min .. max", "target";

    for my $row (@rows) {
        my ($unit, $m) = ($row->{unit}, $row->{measured});
        my $sign = $unit eq "x" ? "" : "+";
        my $format = $unit eq "x" ? "%.2f" : "%$sign.1f";

        printf $line, $row->{title}, $bases{$row->{base}},
               sprintf("%.1f", $row->{relay}), sprintf("%.1f", $row->{other}),
               $unit eq "x" ? $row->{what} // "us of CPU" : $unit,
               sprintf("$format", $m->{median}) . ($unit eq "x" ? " x" : ""),
               sprintf("$format .. $format", $m->{min}, $m->{max}),
               !defined $row->{target} ? "-"
                   : ($row->{met} ? "met" : "NOT MET")
                     . sprintf(" (%s%s)", $row->{target},
                               $unit eq "x" ? "" : " $unit");
    }
}


# plain numbers and strings only, so it needs no library

sub save {
    my $sep = "";

    open my $out, ">", $json or die "$json: $!\n";

    printf $out qq({\n  "time": "%s",\n  "rows": [\n),
           strftime("%Y-%m-%dT%H:%M:%SZ", gmtime);

    for my $row (@rows) {
        printf $out qq(%s    {"name": "%s", "title": "%s", "unit": "%s", )
               . qq("target": %s, "measured": %.4f, "min": %.4f, )
               . qq("max": %.4f, "relay": %.3f, "baseline": %.3f, )
               . qq("met": %s}),
               $sep, @$row{qw/ name title unit /}, $row->{target} // "null",
               @{ $row->{measured} }{qw/ median min max /},
               @$row{qw/ relay other /},
               defined $row->{met} ? $row->{met} ? "true" : "false" : "null";
        $sep = ",\n";
    }

    print $out "\n  ]\n}\n";
    close $out or die "$json: $!\n";
}
