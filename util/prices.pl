#!/usr/bin/perl

# Makes src/model/ncr_price_table.c of prices/*.csv.
#
#   util/prices.pl              writes it
#   util/prices.pl --check      is it up to date?
#
# What a file does not say is not made up, with these exceptions, as the rules
# of providers are factors: of the tiers priority, flex and batch, kinds of
# tokens and the band of long prompts that have no column cost as much more or
# less than those of the standard tier as input does, or output.

use warnings;
use strict;

use Digest::SHA qw/ sha256_hex /;
use File::Basename qw/ dirname /;
use Time::Local qw/ timegm /;

chdir dirname($0) . "/.." or die;


my $target = "src/model/ncr_price_table.c";

my @kinds = qw/ input output cache_read cache_write_5m cache_write_1h /;
my @tiers = qw/ STANDARD FAST PRIORITY FLEX BATCH /;
my %rank = map { $tiers[$_] => $_ } 0 .. $#tiers;

my (%rows, $newest);

claude($_) for csv("prices/claude.csv");
others($_) for csv("prices/others.csv");

my $text = table();

if (@ARGV && $ARGV[0] eq "--check") {
    exit 0 if slurp($target) eq $text;

    print "$target is not what prices/*.csv say: run util/prices.pl\n";
    exit 1;
}

open my $out, ">", $target or die "$target: $!\n";
print $out $text;
close $out or die "$target: $!\n";


sub slurp {
    my ($path) = @_;

    open my $in, "<", $path or return "";
    local $/;
    return <$in> // "";
}


# rows as hashes by the names of the first one

sub csv {
    my ($path) = @_;

    my (@names, @rows);

    for my $line (split /\n/, slurp($path)) {
        my @fields;

        while ($line =~ /\G(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)/g) {
            push @fields, defined $1 ? $1 =~ s/""/"/gr : $2;
            last if pos $line == length $line && $line !~ /,$/;
        }

        if (!@names) {
            @names = @fields;
            next;
        }

        my %row = (path => $path);
        @row{@names} = @fields;

        dated($row{source_date});
        push @rows, \%row;
    }

    die "$path: no rows\n" if !@rows;

    return @rows;
}


# of the facts, the newest that names a day

sub dated {
    my ($date) = @_;

    return if !defined $date || $date !~ /^\d{4}-\d\d-\d\d$/;

    $newest = $date if !defined $newest || $date gt $newest;
}


sub claude {
    my ($row) = @_;

    # a surcharge for a beta header that answers do not tell of, gone by now

    return if $row->{variant} eq "long-context-historic";

    my %price = (
        tier  => uc $row->{variant},
        from  => day($row->{valid_from}, 0),
        until => day($row->{valid_to}, 1),
        rates => rates(@$row{qw/ input_usd_per_mtok output_usd_per_mtok
                                 cache_read cache_write_5m cache_write_1h /}),
        over  => $row->{tier_over_prompt_tokens} || 0,
    );

    $price{longer} = rates(@$row{map { "tier_$_" } @kinds}) if $price{over};

    die "$row->{model_id}: $row->{variant}\n"
        if !defined $rank{$price{tier}};

    add($_, %price) for $row->{model_id}, split /;/, $row->{aliases};
}


sub others {
    my ($row) = @_;

    my %price = (
        tier  => "STANDARD",
        from  => day($row->{effective_from}, 0),
        rates => rates(@$row{qw/ input output cache_read cache_write /}),
        over  => $row->{long_threshold_tokens} || 0,
    );

    $price{longer} = rates(map { $row->{$_ . "_long"} }
                           qw/ input output cache_read cache_write /)
        if $price{over};

    add($row->{model}, %price);

    for my $tier (qw/ priority flex batch /) {
        my $told = rates(map { $row->{$_ . "_$tier"} // "" }
                         qw/ input output cache_read /);

        # a row of half a price is none

        next if !defined $told->{input} || !defined $told->{output};

        my %other = (%price, tier => uc $tier);

        for my $band (qw/ rates longer /) {
            next if !$price{$band};
            $other{$band} = scaled($price{$band}, $price{rates}, $told);
        }

        $other{rates}{cache_read} = $told->{cache_read}
            if defined $told->{cache_read};

        add($row->{model}, %other);
    }
}


# a band of the standard tier in that of another

sub scaled {
    my ($band, $from, $to) = @_;

    my %scaled;

    for my $kind (@kinds) {
        my $by = $kind eq "output" ? "output"
                 : $kind eq "cache_read" && $from->{$kind} && $to->{$kind}
                   ? $kind : "input";

        $scaled{$kind} = $band->{$kind};

        next if !defined $band->{$kind} || !$from->{$by};

        $scaled{$kind} = int(($band->{$kind} * $to->{$by}
                              + int($from->{$by} / 2)) / $from->{$by});
    }

    return \%scaled;
}


# micro-dollars for a million tokens

sub rates {
    my %rates;

    for my $i (0 .. $#_) {
        next if !defined $_[$i] || $_[$i] eq "";

        my ($whole, $part) = $_[$i] =~ /^(\d+)(?:\.(\d{1,6}))?$/
            or die "\"$_[$i]\" is no price\n";

        $rates{$kinds[$i]} = $whole * 1_000_000
                             + substr(($part // "") . "000000", 0, 6);
    }

    return \%rates;
}


# ms of the beginning of a day, or of the one after it

sub day {
    my ($date, $after) = @_;

    return 0 if !defined $date || $date eq "";

    my ($year, $month, $day) = $date =~ /^(\d{4})-(\d\d)(?:-(\d\d))?$/
        or die "\"$date\" is no day\n";

    return (timegm(0, 0, 0, $day // 1, $month - 1, $year) + $after * 86400)
           * 1000;
}


# as ncr_price_model() does; a unit test compares them

sub normalized {
    my ($model) = @_;

    $model = lc $model;

    my $azure = $model =~ s{^azure/}{} ? "azure/" : "";

    $model =~ s{^.*/}{};
    $model =~ s/-latest$//;

    return $azure . $model;
}


sub add {
    my ($model, %price) = @_;

    my $name = normalized($model);

    # what is given away while it is tried has no price that anybody knows

    return if !$price{rates}{input} && !$price{rates}{output};

    $price{from} //= 0;
    $price{until} //= 0;
    $price{model} = $name;

    my $rows = $rows{$name}{$price{tier}} //= [];

    # one model by two names

    for my $row (@$rows) {
        next if $row->{from} != $price{from};
        return if told($row) eq told(\%price);
        die "$model: two prices at once\n";
    }

    push @$rows, \%price;
}


sub told {
    my ($row) = @_;

    return join " ", $row->{over},
                map { my $band = $row->{$_};
                      map { $band->{$_} // "NONE" } @kinds } qw/ rates longer /;
}


sub table {
    my @lines;

    for my $model (sort keys %rows) {
        for my $tier (sort { $rank{$a} <=> $rank{$b} } keys %{$rows{$model}}) {
            my @dated = sort { $a->{from} <=> $b->{from} }
                        @{$rows{$model}{$tier}};

            for my $i (0 .. $#dated) {
                my $next = $dated[$i + 1];

                die "$model: days without a price, or with two\n"
                    if $next && $dated[$i]{until}
                       && $dated[$i]{until} != $next->{from};

                $dated[$i]{until} ||= $next ? $next->{from} : 0;
            }

            # the first day of a model is not one of its price: a clock that
            # is behind must not make it unknown

            $dated[0]{from} = 0;

            push @lines, row($_) for @dated;
        }
    }

    my $rows = join "\n", @lines;
    my $version = "$newest-" . substr sha256_hex($rows), 0, 8;

    return <<END;

/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Made by util/prices.pl of prices/claude.csv and prices/others.csv, which
 * name their sources.  Change those. */


#include "ncr_price.h"


#define NONE    NCR_PRICE_NONE
#define UNTOLD  { NONE, NONE, NONE, NONE, NONE }


static const ncr_price_t  ncr_price_rows[] = {

$rows
};


static const ncr_prices_t  ncr_price_table = {
    ncr_price_rows,
    sizeof(ncr_price_rows) / sizeof(ncr_price_rows[0]),
    "$version",
    10000,
    NULL
};


const ncr_prices_t *
ncr_prices_builtin(void)
{
    return &ncr_price_table;
}
END
}


sub row {
    my ($row) = @_;

    my @dates = map { $_ ? "INT64_C($_)" : "0" } @$row{qw/ from until /};

    my $head = "    { \"$row->{model}\", NCR_TIER_$row->{tier},";
    my $rest = " $dates[0], $dates[1],";

    $head .= length "$head$rest" > 79 ? "\n     $rest" : $rest;

    return "$head\n      " . band($row->{rates}) . ", 0, UNTOLD },"
        if !$row->{over};

    return "$head\n      " . band($row->{rates}) . ", $row->{over},\n      "
           . band($row->{longer}) . " },";
}


sub band {
    my ($rates) = @_;

    return "{ " . join(", ", map { $rates->{$_} // "NONE" } @kinds) . " }";
}
