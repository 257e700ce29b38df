#!/usr/bin/perl

# The description of the API (F206) against the server: every operation that
# it tells of, with every error that all of them have, and each answer against
# its schema.  Nothing here knows an operation by name, but for the objects
# that others are called on; what is new in api/ is tested by being there.

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use ClaudeRelay;
use ClaudeRelaySchema;


my $up = sandbox();

my $nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;
                       claude_relay_audit_log %%DIR%%/audit.db;",
    location => "claude_relay_audit on;",
    server => "location /admin/ { claude_relay_admin; }"), workers => 2);

my %token = map { $_ => token($_) } qw/ user viewer operator admin /;
my @roles = qw/ none user viewer operator admin /;
my %rank = map { $roles[$_] => $_ } 0 .. $#roles;

my $answer = api("admin", "GET", "/v1/openapi.json");

is($answer->status, 200, "the description");

my $doc = $answer->json;

like($doc->{openapi}, qr/^3\.1\./, "of OpenAPI 3.1");
unlike($answer->body, qr/127\.0\.0\.1|$nginx->{dir}/, "knows nothing of here");

ok($nginx->post("/v1/messages", message())->status == 200, "some usage")
    for 1 .. 3;

my @ops = operations();

cmp_ok(scalar @ops, ">", 80, "operations");

door($_) for @ops;
methods();
input($_) for @ops;

my %made;

work($_) for sort { order($a) <=> order($b)
                    || $a->{path} cmp $b->{path} } @ops;

finish();


# a person of each role, and a token of its

sub token {
    my ($role) = @_;

    my $r = $nginx->control("POST", "/v1/people",
                            { name => "a$role", role => $role });

    BAIL_OUT("no person: " . $r->body) unless $r->status == 201;

    $r = $nginx->control("POST", "/v1/people/a$role/tokens",
                         { name => "t" });

    BAIL_OUT("no token: " . $r->body) unless $r->status == 201;

    return $r->json->{secret};
}


sub api {
    my ($role, $method, $path, $body, @headers) = @_;

    push @headers, "Authorization: Bearer $token{$role}" if $role ne "none";
    push @headers, "Content-Type: application/json" if defined $body;

    my $c = $nginx->connect;

    my $r = $c->request($method, "/admin/api$path", key => undef,
                        body => ref $body ? encode($body) : $body,
                        headers => [@headers, "Connection: close"])
              ->response(head => $method eq "HEAD", timeout => 30,
                         partial => 1);

    $c->close;

    return $r;
}


sub operations {
    my @all;

    for my $path (sort keys %{ $doc->{paths} }) {
        for my $method (sort keys %{ $doc->{paths}{$path} }) {

            push @all, { path => $path, method => uc $method,
                         what => uc($method) . " $path",
                         op => $doc->{paths}{$path}{$method} };
        }
    }

    return @all;
}


# a path with names that are not there

sub nowhere { $_[0]{path} =~ s/\{\w+\}/nobody-0/gr }


# who may not: without a login, with a wrong one, with a lesser role

sub door {
    my ($o) = @_;

    my $role = $o->{op}{"x-role"};

    return if $role eq "none";

    my $r = api("none", $o->{method}, nowhere($o));

    is($r->status, 401, "$o->{what}: not without a login");
    conforms($o, $r, "without a login");

    $r = api("none", $o->{method}, nowhere($o), undef,
             "Authorization: Bearer crt_" . "0" x 64);
    is($r->status, 401, "$o->{what}: not with a wrong token");

    return if $role eq "user";

    my $less = $roles[$rank{$role} - 1];

    $r = api($less, $o->{method}, nowhere($o));
    is($r->status, 403, "$o->{what}: not as $less");
    conforms($o, $r, "as $less");
}


# methods that a path does not have

sub methods {
    for my $path (sort keys %{ $doc->{paths} }) {

        my $o = { path => $path };

        for (qw/ GET POST PUT PATCH DELETE /) {
            next if $doc->{paths}{$path}{ lc $_ };

            # another path may be meant by it: a name is any text

            next if $_ ne "GET" && other($path, lc $_);
            next if $_ eq "GET" && other($path, "get");

            is(api("admin", $_, nowhere($o))->status, 405,
               "$_ $path: is not there");
        }
    }
}


sub other {
    my ($path, $method) = @_;

    my $here = nowhere({ path => $path });

    for (grep { $_ ne $path } keys %{ $doc->{paths} }) {
        my $re = s/\{\w+\}/[^\/]+/gr;

        return 1 if $here =~ /^$re$/ && $doc->{paths}{$_}{$method};
    }

    return 0;
}


# what is no good in a body and in a query

sub input {
    my ($o) = @_;

    my $role = $o->{op}{"x-role"};
    my $as = $role eq "none" ? "none" : "admin";

    if ($o->{method} eq "GET" && !$o->{op}{"x-any-query"}) {
        my $r = api($as, "GET", nowhere($o) . "?nonsense=1");

        ok($r->status == 400 || $r->status == 404,
           "$o->{what}: an unknown parameter") || diag($r->status);
        conforms($o, $r, "an unknown parameter");
    }

    my $json = ($o->{op}{requestBody} || {})->{content}{"application/json"};

    return unless $json;

    my %bad = ("no JSON" => "{", "an array" => "[]", "a string" => "\"a\"",
               "an unknown member" => { "nonsense-0" => 1 },
               "one twice" => "{\"name\":\"a\",\"name\":\"a\"}");

    my $schema = $json->{schema};

    $schema = ClaudeRelaySchema::resolve($doc, $schema->{'$ref'})
        while $schema->{'$ref'};

    for my $name (sort keys %{ $schema->{properties} || {} }) {
        $bad{"\"$name\" of a wrong type"} = { $name => { "x" => [{}] } };
    }

    for my $name (sort keys %bad) {
        my $r = api($as, $o->{method}, nowhere($o), $bad{$name});

        ok($r->status >= 400 && $r->status < 500, "$o->{what}: $name")
            || diag($r->status, " ", $r->body);
        conforms($o, $r, $name);
    }
}


sub order {
    my ($o) = @_;

    my $n = ($o->{path} =~ tr/{//) + 0;

    return 9 if $o->{method} eq "DELETE";
    return 8 if $o->{op}{"x-last"};
    return $n if $o->{method} eq "POST" && $o->{op}{"x-makes"};
    return 3 if $o->{method} eq "GET";
    return 5;
}


# as it is meant

sub work {
    my ($o) = @_;

    my $op = $o->{op};

    return if $op->{"x-stream"} || $op->{"x-role"} eq "none";

    my $example = (($op->{requestBody} || {})->{content}{"application/json"}
                   || {})->{example};

    return if $op->{requestBody} && !$example && $o->{method} ne "POST";

    my ($path, $known) = named($o);

    my $r = api("admin", $o->{method}, $path, $example);

    conforms($o, $r, "as it is meant");

    if ($known && !$op->{"x-needs"} && ($o->{method} eq "GET" || $op->{"x-makes"})) {
        ok($r->status < 300, "$o->{what}: works")
            || diag($r->status, " ", $r->body);
    }

    if ($op->{"x-makes"} && $r->status < 300) {
        my $json = $r->json;
        my $name = $json->{ $op->{"x-name"} // "name" };

        $made{ $op->{"x-makes"} } = $name;
    }
}


# names of what was made on the way

sub named {
    my ($o) = @_;

    my $path = $o->{path};
    my $known = 1;

    # "/v1/keys/{name}": what "/v1/keys" has made

    while ($path =~ /^([^{]*)\/\{\w+\}/) {
        my $name = $made{$1 =~ s/^\/v1\///r};

        $known = 0 unless defined $name;
        $name //= "nobody-0";
        $path =~ s/\{\w+\}/$name/;
    }

    return ($path, $known);
}


# the status is one that was told of, and the answer what was told of it

sub conforms {
    my ($o, $r, $how) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $told = $o->{op}{responses}{ $r->status };

    $told = ClaudeRelaySchema::resolve($doc, $told->{'$ref'})
        if $told && $told->{'$ref'};

    unless ($told) {
        ok(0, "$o->{what}: $how: " . $r->status . " is not described");
        diag($r->body);
        return;
    }

    my $content = $told->{content};

    if (!$content) {
        is($r->body, "", "$o->{what}: $how: nothing in it");
        return;
    }

    my ($type) = ($r->header("content-type") // "") =~ /^([^;]+)/;

    unless ($content->{ $type // "" }) {
        ok(0, "$o->{what}: $how: " . ($type // "no type")
              . " is not described");
        return;
    }

    return ok(1, "$o->{what}: $how") if $type ne "application/json";

    my $json = eval { JSON::PP->new->allow_nonref->decode($r->body) };

    return ok(0, "$o->{what}: $how: no JSON: " . $r->body) if $@;

    my @wrong = ClaudeRelaySchema::check($doc, $content->{$type}{schema},
                                         $json);

    ok(!@wrong, "$o->{what}: $how: " . $r->status . " is as described")
        || diag(join "\n", @wrong, $r->body);
}
