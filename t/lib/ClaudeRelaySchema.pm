package ClaudeRelaySchema;

=head1 NAME

ClaudeRelaySchema - JSON against the part of JSON Schema that api/ uses

=head1 SYNOPSIS

    my @wrong = ClaudeRelaySchema::check($doc, $schema, $json);

=head1 DESCRIPTION

C<type> (also a list), C<enum>, C<const>, C<properties>, C<required>,
C<additionalProperties>, C<items>, C<minItems>, C<maxItems>, C<minimum>,
C<maximum>, C<minLength>, C<maxLength>, C<pattern>, C<allOf>, C<anyOf>,
C<oneOf>, C<$ref> within the document.  A keyword that is not known dies, so
that nothing is believed to be checked that is not.

=cut

use warnings;
use strict;

use JSON::PP ();


my %silent = map { $_ => 1 } qw/
    description title default examples example format deprecated readOnly
    writeOnly $schema contentMediaType contentEncoding
/;


sub check {
    my ($doc, $schema, $json, $path) = @_;
    $path //= "";

    return $schema ? () : ("$path: nothing is allowed here")
        if JSON::PP::is_bool($schema) || !ref $schema;

    if (my $ref = $schema->{'$ref'}) {
        return check($doc, resolve($doc, $ref), $json, $path);
    }

    my @wrong;

    for my $key (sort keys %$schema) {
        next if $silent{$key} || $key =~ /^x-/;

        my $rule = __PACKAGE__->can("on_$key") or die "unknown: \"$key\"\n";

        push @wrong, map { /^\// || /^:/ || $_ =~ /^\Q$path\E[\/:]/
                           ? $_ : "$path: $_" }
                         $rule->($doc, $schema, $json, $path);
    }

    return @wrong;
}


sub resolve {
    my ($doc, $ref) = @_;

    my $place = $doc;

    $ref =~ s/^#\/// or die "not within the document: $ref\n";

    for (split m{/}, $ref) {
        $place = $place->{$_} // die "there is no #/$ref\n";
    }

    return $place;
}


sub kind {
    my ($json) = @_;

    return "null" unless defined $json;
    return "boolean" if JSON::PP::is_bool($json);
    return "object" if ref $json eq "HASH";
    return "array" if ref $json eq "ARRAY";

    # JSON::PP keeps apart what was a number and what was a string

    my $flags = B::svref_2object(\$json)->FLAGS;

    return "string" if $flags & B::SVf_POK();
    return $json == int $json ? "integer" : "number";
}


sub on_type {
    my (undef, $schema, $json) = @_;

    my $is = kind($json);
    my @may = ref $schema->{type} ? @{ $schema->{type} } : $schema->{type};

    return () if grep { $_ eq $is || $_ eq "number" && $is eq "integer" } @may;

    return "is $is, not " . join " or ", @may;
}


sub on_enum {
    my (undef, $schema, $json) = @_;

    return () if grep { same($_, $json) } @{ $schema->{enum} };

    return "is none of those that are told: " . text($json);
}


sub on_const {
    my (undef, $schema, $json) = @_;

    return same($schema->{const}, $json) ? () : "is another: " . text($json);
}


sub on_required {
    my (undef, $schema, $json) = @_;

    return () unless ref $json eq "HASH";

    return map { "has no \"$_\"" }
               grep { !exists $json->{$_} } @{ $schema->{required} };
}


sub on_properties {
    my ($doc, $schema, $json, $path) = @_;

    return () unless ref $json eq "HASH";

    return map { check($doc, $schema->{properties}{$_}, $json->{$_},
                       "$path/$_") }
               grep { exists $json->{$_} } sort keys %{ $schema->{properties} };
}


sub on_additionalProperties {
    my ($doc, $schema, $json, $path) = @_;

    return () unless ref $json eq "HASH";

    my @more = grep { !exists(($schema->{properties} || {})->{$_}) }
                    sort keys %$json;

    return map { check($doc, $schema->{additionalProperties}, $json->{$_},
                       "$path/$_") } @more;
}


sub on_items {
    my ($doc, $schema, $json, $path) = @_;

    return () unless ref $json eq "ARRAY";

    return map { check($doc, $schema->{items}, $json->[$_], "$path/$_") }
               0 .. $#$json;
}


sub on_allOf {
    my ($doc, $schema, $json, $path) = @_;

    return map { check($doc, $_, $json, $path) } @{ $schema->{allOf} };
}


sub on_anyOf {
    my ($doc, $schema, $json, $path) = @_;

    my @all;

    for (@{ $schema->{anyOf} }) {
        my @wrong = check($doc, $_, $json, $path);

        return () unless @wrong;
        push @all, @wrong;
    }

    return ("is none of these", @all);
}


sub on_oneOf {
    my ($doc, $schema, $json, $path) = @_;

    my $n = grep { !check($doc, $_, $json, $path) } @{ $schema->{oneOf} };

    return $n == 1 ? () : "is $n of these, not one";
}


sub on_minItems { bound($_[1]{minItems}, undef, $_[2], "ARRAY") }

sub on_maxItems { bound(undef, $_[1]{maxItems}, $_[2], "ARRAY") }

sub on_minLength { bound($_[1]{minLength}, undef, $_[2], "") }

sub on_maxLength { bound(undef, $_[1]{maxLength}, $_[2], "") }

sub on_minimum { ref $_[2] || !defined $_[2] || kind($_[2]) eq "string"
                 || $_[2] >= $_[1]{minimum} ? () : "is too small" }

sub on_maximum { ref $_[2] || !defined $_[2] || kind($_[2]) eq "string"
                 || $_[2] <= $_[1]{maximum} ? () : "is too large" }

sub on_pattern { ref $_[2] || !defined $_[2] || $_[2] =~ /$_[1]{pattern}/
                 ? () : "does not look like /$_[1]{pattern}/" }


sub bound {
    my ($min, $max, $json, $ref) = @_;

    return () if !defined $json || ref $json ne $ref;

    my $n = $ref ? @$json : length $json;

    return "has too few" if defined $min && $n < $min;
    return "has too many" if defined $max && $n > $max;
    return ();
}


sub same { text($_[0]) eq text($_[1]) }

sub text { JSON::PP->new->canonical->allow_nonref->encode($_[0]) }


require B;

1;
