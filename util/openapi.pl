#!/usr/bin/perl

# Makes src/ngx/ngx_http_claude_relay_openapi_text.c and the table of paths in
# docs/admin-api.md of api/*.json.
#
#   util/openapi.pl             writes them
#   util/openapi.pl --check     are they up to date, and are the paths those
#                               that the sources have?
#   util/openapi.pl --print     the description, for people
#
# What every operation may answer (400, 401...) need not be written down in
# api/*.json: it is added here.

use warnings;
use strict;

use File::Basename qw/ dirname /;
use JSON::PP;

chdir dirname($0) . "/.." or die;


my $target = "src/ngx/ngx_http_claude_relay_openapi_text.c";
my $page = "docs/admin-api.md";
my @methods = qw/ get post put patch delete /;
my %roles = map { $_ => 1 } qw/ none user viewer operator admin /;

my @trouble;
my $doc = gather();

complete($doc);

my $mode = $ARGV[0] // "";

if ($mode eq "--print") {
    print JSON::PP->new->canonical->pretty->encode($doc);
    exit 0;
}

my $text = source(JSON::PP->new->canonical->ascii->encode($doc));
my $table = table();

if ($mode eq "--check") {
    compare();

    push @trouble, "$target is not what api/*.json say: run util/openapi.pl"
        if slurp($target) ne $text;
    push @trouble, "the paths in $page are not what api/*.json say:"
                   . " run util/openapi.pl"
        if paste(slurp($page)) ne slurp($page);

    print "$_\n" for @trouble;
    exit(@trouble ? 1 : 0);
}

die join("\n", @trouble) . "\n" if @trouble;

spew($target, $text);
spew($page, paste(slurp($page)));


sub slurp {
    my ($path) = @_;

    open my $in, "<", $path or return "";
    local $/;
    return <$in> // "";
}


sub spew {
    my ($path, $what) = @_;

    open my $out, ">", $path or die "$path: $!\n";
    print $out $what;
    close $out or die "$path: $!\n";
}


# all files in one; no two say the same

sub gather {
    my $all = decode("api/base.json");

    for my $file (sort glob("api/*.json")) {
        next if $file eq "api/base.json";

        my $one = decode($file);

        for my $key (keys %$one) {
            push @trouble, "$file: \"$key\" is not for such a file"
                unless $key eq "paths" || $key eq "components";
        }

        for my $path (keys %{ $one->{paths} || {} }) {
            for my $method (keys %{ $one->{paths}{$path} }) {

                push @trouble, "$file: $method $path is there twice"
                    if $all->{paths}{$path}{$method};

                $all->{paths}{$path}{$method} = $one->{paths}{$path}{$method};
            }
        }

        for my $kind (keys %{ $one->{components} || {} }) {
            for my $name (keys %{ $one->{components}{$kind} }) {

                push @trouble, "$file: $kind $name is there twice"
                    if $all->{components}{$kind}{$name};

                $all->{components}{$kind}{$name}
                    = $one->{components}{$kind}{$name};
            }
        }
    }

    return $all;
}


sub decode {
    my ($file) = @_;

    my $json = eval { JSON::PP->new->relaxed(0)->utf8->decode(slurp($file)) };

    die "$file: $@" unless $json;

    include($json);

    return $json;
}


# "x-include": members that several places have

sub include {
    my ($json) = @_;

    if (ref $json eq "HASH") {
        my $name = delete $json->{"x-include"};

        if (defined $name) {
            my $more = decode("api/include/$name.json");

            $json->{$_} = $more->{$_} for keys %$more;
        }
    }

    include($_) for ref $json eq "HASH" ? values %$json
                    : ref $json eq "ARRAY" ? @$json : ();
}


# what all of them have in common, and what is missing

sub complete {
    my ($doc) = @_;

    my %ids;

    for my $path (sort keys %{ $doc->{paths} }) {
        my $item = $doc->{paths}{$path};
        my @names = $path =~ /\{(\w+)\}/g;
        my @shared = @{ delete $item->{parameters} || [] };

        for my $method (sort keys %$item) {
            my $op = $item->{$method};
            my $what = "$method $path";
            my $id = $op->{operationId} // "";

            unless (grep { $_ eq $method } @methods) {
                push @trouble, "$what: unknown method";
                next;
            }

            push @trouble, "$what: no operationId, or a second time \"$id\""
                if $id eq "" || $ids{$id}++;
            push @trouble, "$what: no summary" unless $op->{summary};
            push @trouble, "$what: no x-role"
                unless $roles{ $op->{"x-role"} // "" };

            $op->{parameters} = [ @{ $op->{parameters} || [] }, @shared ];

            for my $name (@names) {
                next if grep { ($_->{name} // "") eq $name
                               && ($_->{in} // "") eq "path" }
                             @{ $op->{parameters} };

                push @{ $op->{parameters} },
                     { name => $name, in => "path", required => JSON::PP::true,
                       schema => { type => "string" } };
            }

            delete $op->{parameters} unless @{ $op->{parameters} };

            answers($op, $method, @names > 0);
        }
    }

    for my $ref (refs($doc)) {
        my $place = $doc;

        $ref =~ s/^#\///;
        $place = ref $place eq "HASH" ? $place->{$_} : undef
            for split m{/}, $ref;

        push @trouble, "there is no \"#/$ref\"" unless $place;
    }
}


sub answers {
    my ($op, $method, $named) = @_;

    my $ref = sub { { '$ref' => "#/components/responses/$_[0]" } };
    my $out = $op->{responses} ||= {};

    if ($op->{"x-role"} eq "none") {
        $op->{security} //= [];

    } else {
        $out->{401} ||= $ref->("Unauthorized");
        $out->{403} ||= $ref->("Forbidden");
    }

    $out->{400} ||= $ref->("BadRequest");
    $out->{404} ||= $ref->("NotFound") if $named;
    $out->{413} ||= $ref->("TooLarge") if $op->{requestBody};
    $out->{503} ||= $ref->("Unavailable");
}


sub refs {
    my ($json) = @_;

    return map { refs($_) } @$json if ref $json eq "ARRAY";
    return () unless ref $json eq "HASH";

    return map { $_ eq '$ref' && !ref $json->{$_} ? $json->{$_}
                                                  : refs($json->{$_}) }
               keys %$json;
}


# the ways of the sources are the operations

sub compare {
    my (%ways, %ops);

    for my $file (glob("src/ngx/ngx_http_claude_relay_*.c")) {
        my $c = slurp($file);

        next unless $c =~ /ngx_http_claude_relay_way_t\s+\w+\[\]/;

        $c =~ s/\\\n/ /g;

        my %macros;

        while ($c =~ /\#define\s+(\w+)\((\w+),\s*(\w+)\)([^\n]*)/g) {
            $macros{$1} = [ $2, $3, $4 ];
        }

        $c =~ s/\#define[^\n]*//g;

        for my $macro (keys %macros) {
            my ($a, $b, $body) = @{ $macros{$macro} };

            while ($c =~ /\b\Q$macro\E\(("[^"]*"),\s*(\w+)\)/g) {
                my ($name, $see, $copy) = ($1, $2, $body);

                $copy =~ s/\b$a\b/$name/g;
                $copy =~ s/\b$b\b/$see/g;
                rows(\%ways, $copy);
            }
        }

        rows(\%ways, $c);
    }

    for my $path (keys %{ $doc->{paths} }) {
        (my $way = $path) =~ s/\{\w+\}/*/g;

        $ops{uc($_) . " $way"} = $doc->{paths}{$path}{$_}{"x-role"}
            for keys %{ $doc->{paths}{$path} };
    }

    for (sort keys %ways) {
        push @trouble, "api: $_ is not described" unless exists $ops{$_};
        push @trouble, "api: $_ takes the role $ways{$_}, not $ops{$_}"
            if exists $ops{$_} && $ops{$_} ne $ways{$_};
    }

    for (sort keys %ops) {
        push @trouble, "api: there is no way for $_" unless exists $ways{$_};
    }
}


sub rows {
    my ($ways, $c) = @_;

    while ($c =~ /\{\s*NGX_HTTP_(\w+),\s*((?:"[^"]*"\s*)+),\s*\w+,
                  \s*NCR_ROLE_(\w+)/gx)
    {
        my ($method, $path, $role) = ($1, $2, lc $3);

        $path = join "", $path =~ /"([^"]*)"/g;
        $ways->{"$method $path"} = $role;
    }
}


sub source {
    my ($json) = @_;

    my $c = <<'END';

/*
 * Copyright (C) The ngx_http_claude_relay_module authors
 */


/* Made of api/ by util/openapi.pl. */


#include "ngx_http_claude_relay_api.h"


ngx_str_t  ngx_http_claude_relay_openapi[] = {
END

    # compilers need not take strings of more than 4095 bytes

    while (length $json) {
        my $part = substr $json, 0, 3900, "";

        $c .= "\n    ngx_string(";

        while (length $part) {
            my $line = "";

            while (length $part) {
                my $char = substr $part, 0, 1;

                $char =~ s/(["\\?])/\\$1/;
                last if length($line) + length($char) > 60;

                $line .= $char;
                substr($part, 0, 1) = "";
            }

            $c .= "\n        \"$line\"";
        }

        $c .= "),\n";
    }

    $c =~ s/ngx_string\(\n        "/ngx_string("/g;

    return "$c\n    ngx_null_string\n};\n";
}


sub table {
    my %ops;

    for my $path (keys %{ $doc->{paths} }) {
        for my $method (keys %{ $doc->{paths}{$path} }) {
            my $rank = (grep { $methods[$_] eq $method } 0 .. $#methods)[0];

            $ops{"$path " . ($rank // 9)}
                = [ uc $method, $path, $doc->{paths}{$path}{$method} ];
        }
    }

    return join "", "| call | role | |\n|---|---|---|\n",
                map { sprintf "| `%s %s` | %s | %s |\n", $_->[0],
                              $_->[1] =~ s/^\/v1//r, $_->[2]{"x-role"},
                              $_->[2]{summary} =~ s/\|/\\|/gr }
                    map { $ops{$_} } sort keys %ops;
}


sub paste {
    my ($md) = @_;

    $md =~ s/(<!-- paths -->\n).*?(<!-- end of paths -->)/$1$table$2/s;

    return $md;
}
