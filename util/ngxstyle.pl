#!/usr/bin/perl

# Checks what a machine can of the style of our C files.
#
#   util/ngxstyle.pl [FILE...]      all of them by default

use warnings;
use strict;

use File::Basename qw/ dirname /;

use constant {
    COLUMNS        => 80,
    FILE_LINES     => 1200,
    FUNCTION_LINES => 150,
};


my @banned = qw/
    malloc calloc realloc free strdup strndup strcpy strncpy strcat strncat
    sprintf vsprintf strtok strtok_r atoi atol atoll alloca gets
/;
my $banned = join "|", @banned;

# src/store allocates, and these, as their headers say

my $allocate = qr/^(?:malloc|calloc|free)$/;
my $errors;

my @files = @ARGV;

if (!@files) {
    chdir dirname($0) . "/.." or die;
    @files = grep { -f } glob "src/*/*.[ch] *.c sandbox/*.[ch] "
                              . "t/unit/*.[ch] fuzz/*.[ch] bench/*.[ch] "
                              . "util/*.c";
}

for my $path (@files) {
    open my $file, "<", $path or die "$path: $!\n";
    my $text = do { local $/; <$file> };

    check_bytes($path, $text);

    my @code = split /\n/, code($text), -1;

    check_lines($path, \@code);
    check_branches($path, join "\n", @code);
    check_functions($path, \@code);
}

exit($errors ? 1 : 0);


# the text as it is

sub check_bytes {
    my ($path, $text) = @_;

    my @lines = split /\n/, $text, -1;

    complain($path, 1, "does not begin with a blank line and the licence")
        if $text !~ m{^\n/\*\n \* Copyright \(C\) .*\n};

    complain($path, scalar @lines, "does not end with a line feed")
        if $text !~ /\n\z/;

    complain($path, $#lines, "blank lines at the end") if $text =~ /\n\n\z/;

    complain($path, scalar @lines, "more than " . FILE_LINES . " lines")
        if @lines > FILE_LINES + 1 && $path !~ /_openapi_text\.c$/;

    for my $i (0 .. $#lines) {
        my ($line, $n) = ($lines[$i], $i + 1);

        complain($path, $n, "tab") if $line =~ /\t/;
        complain($path, $n, "carriage return") if $line =~ /\r/;
        complain($path, $n, "trailing blank") if $line =~ / +\r?$/;
        complain($path, $n, "TODO without the number of an issue")
            if $line =~ /\b(TODO|FIXME|XXX)\b/ && $line !~ /#\d+/;

        utf8::decode($line);
        complain($path, $n, "line of " . length($line) . " columns")
            if length $line > COLUMNS;
    }
}


# The text with what is in comments and quotes blanked out, line by line as
# before; "//" comments are left in.

sub code {
    my ($text) = @_;

    $text =~ s{
        ( /\* .*? \*/
        | " (?: [^"\\\n] | \\. )* "
        | ' (?: [^'\\\n] | \\. )* ' )
    }{ blank($1) }gsex;

    return $text;
}


sub blank {
    my ($quoted) = @_;

    my ($first, $rest) = $quoted =~ m{^(/\*|["'])(.*)}s;
    my $last = $first eq "/*" ? "*/" : $first;

    $rest = substr $rest, 0, -length $last;
    $rest =~ s/[^\n]/./g;

    # a comment leaves nothing, a quote keeps its quotes

    return $first eq "/*" ? "  $rest  " =~ s/\./ /gr : $first . $rest . $last;
}


sub check_lines {
    my ($path, $code) = @_;

    my $floor = $path =~ m{(^|/)src/(?!ngx/)\w+/[^/]+$};
    my $glue = $path =~ m{(^|/)(src/ngx/|ngx_)[^/]+$};
    my $store = $path =~ m{(^|/)src/store/[^/]+$
                           |(^|/)src/(base/ncr_tz|model/ncr_price_file)\.c$}x;

    for my $i (0 .. $#$code) {
        my ($line, $n) = ($code->[$i], $i + 1);

        complain($path, $n, "// comment") if $line =~ m{//};

        next if $line =~ /^\s*#/;

        complain($path, $n, "no space after \"$1\"")
            if $line =~ /\b(if|for|while|switch)\(/;

        complain($path, $n, "no space before \"{\"") if $line =~ /\)\{/;

        complain($path, $n, "\"$1\" is banned here")
            if ($floor || $glue) && $line =~ /(?<![\w.>])($banned)\s*\(/
               && !($store && $1 =~ $allocate);

        complain($path, $n, "else is not after \"} \"")
            if $line =~ /^\s*else\b/;

        complain($path, $n, "no blank line before \"} else\"")
            if $line =~ /^\s*\}\s*else\b/ && $code->[$i - 1] =~ /\S/;
    }
}


# each condition is followed by a brace, or by ";" where a loop ends

sub check_branches {
    my ($path, $text) = @_;

    while ($text =~ /^([ \t]*)(.*?)\b(if|for|while|switch) (?=\()/mg) {
        my ($before, $word) = ($2, $3);
        my $start = pos $text;

        next if $before =~ /^#/;

        my $end = closing($text, $start) // next;
        my $rest = substr $text, $end, 200;

        next if $rest =~ /^\s*\{/;
        next if $word eq "while" && ($before =~ /\}/ || $rest =~ /^;/);

        my $n = 1 + (substr($text, 0, $start) =~ tr/\n//);

        complain($path, $n, "\"$word\" without braces");
    }
}


sub closing {
    my ($text, $i) = @_;

    my $depth = 0;

    for (; $i < length $text; $i++) {
        my $c = substr $text, $i, 1;

        $depth++ if $c eq "(";
        return $i + 1 if $c eq ")" && --$depth == 0;
    }

    return;
}


# Functions are what stands between "{" and "}" of column 0.

sub check_functions {
    my ($path, $code) = @_;

    my ($start, $states);

    for my $i (0 .. $#$code) {
        my $line = $code->[$i];

        if ($line =~ /^\{/) {
            $start = $i;
            $states = 0;
            check_head($path, $code, $i);
            next;
        }

        next if !defined $start;

        $states = 1 if $line =~ /\bswitch \(.*state/;

        next if $line !~ /^\}/;

        my $lines = $i - $start + 1;

        complain($path, $start + 1, "function of $lines lines")
            if $lines > FUNCTION_LINES + 2 && !$states;

        undef $start;

        next if $line =~ /^\}.*;/;

        my $next = $i + 1;
        $next++ while $next <= $#$code && raw_blank($code->[$next]);

        next if $next > $#$code;

        my $blank = $next - $i - 1;

        next if $blank == 2 || $code->[$next] =~ /^#/ && $blank >= 1;

        complain($path, $next + 1, "$blank blank lines after a function")
            if !comment_between($path, $i, $next);
    }
}


# A comment was blanked out: count the blank lines before it instead.

my %source;

sub comment_between {
    my ($path, $i, $next) = @_;

    $source{$path} //= do {
        open my $file, "<", $path or die "$path: $!\n";
        [map { chomp; $_ } <$file>];
    };

    my $lines = $source{$path};
    my $first = $i + 1;

    $first++ while $first < $next && $lines->[$first] eq "";

    return $first < $next && $first - $i - 1 == 2;
}


sub raw_blank {
    return $_[0] =~ /^\s*$/;
}


# the name of a function begins its line, its type stands on one of its own

sub check_head {
    my ($path, $code, $i) = @_;

    my $head = $i - 1;

    $head-- while $head > 0 && $code->[$head] =~ /^\s+\S/;

    complain($path, $head + 1, "the name of a function begins its line")
        if $code->[$head] =~ /^[a-z_][\w \*]*[ \*]\w+\(/i
           && $code->[$head] !~ /^\w+\(/;
}


sub complain {
    my ($path, $line, $text) = @_;

    print "$path:$line: $text\n";
    $errors++;
}
