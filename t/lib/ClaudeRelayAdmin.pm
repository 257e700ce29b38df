package ClaudeRelayAdmin;

=head1 NAME

ClaudeRelayAdmin - somebody at the admin API

=head1 SYNOPSIS

    use ClaudeRelayAdmin;

    my $nginx = nginx(relay_http(
        http => store() . "claude_relay_control unix:control.sock;",
        server => "location /admin/ { claude_relay_admin; }"));

    my $admin = ClaudeRelayAdmin->first($nginx);

    is($admin->call("GET", "/status")->status, 200, "logged in");

    my $eve = ClaudeRelayAdmin->person($nginx, "eve", "viewer");
    my $bot = ClaudeRelayAdmin->token($nginx, "eve");
    my $who = ClaudeRelayAdmin->new($nginx);      # nobody

=over

=item first($nginx), person($nginx, $name, $role)

Logged in: the first admin, with another password by now, or a person who was
made by the control socket.  Passwords are password($name).

=item token($nginx, $name)

A new token of a person.

=item $who->call($method, $path, $json, @headers)

Path from behind "/admin/api/v1"; $json is a hash, a text or undef.

=item $who->login($name, $password, $code)

Returns the response; cookie and CSRF token are kept.

=item $who->{cookie}, $who->{csrf}, $who->{token}, $who->{from}

May be changed; from is an address on the loopback network.

=back

=cut

use warnings;
use strict;

use IO::Socket::INET;

use ClaudeRelay ();


sub new {
    my ($class, $nginx, %self) = @_;

    return bless { nginx => $nginx, prefix => "/admin", %self }, $class;
}


sub password { "correct horse of $_[0]" }


sub first {
    my ($class, $nginx, %self) = @_;

    my $self = $class->new($nginx, %self);
    my $file = delete $self->{file} // "$nginx->{dir}/db/relay.db";
    my $password = ClaudeRelay::slurp("$file-admin-password");

    chomp $password;

    $self->{first} = $password;

    my $r = $self->login("admin", $password);

    die "no login: " . $r->body . "\n" if $r->status != 200;

    $r = $self->call("POST", "/session/password",
                     { old => $password, new => password("admin") });

    die "no other password: " . $r->body . "\n" if $r->status != 200;

    return $self;
}


sub person {
    my ($class, $nginx, $name, $role, %self) = @_;

    my $r = $nginx->control("POST", "/v1/people",
                            { name => $name, role => $role,
                              password => password($name),
                              must_change => JSON::PP::false() });

    die "no person: " . $r->body . "\n" if $r->status != 201;

    my $self = $class->new($nginx, %self);

    $r = $self->login($name, password($name));

    die "no login: " . $r->body . "\n" if $r->status != 200;

    return $self;
}


sub token {
    my ($class, $nginx, $name, %self) = @_;

    my $r = $nginx->control("POST", "/v1/people/$name/tokens",
                            { name => "t" . int(rand(1_000_000_000)) });

    die "no token: " . $r->body . "\n" if $r->status != 201;

    return $class->new($nginx, token => $r->json->{secret}, %self);
}


sub login {
    my ($self, $name, $password, $code) = @_;

    my %json = (name => $name, password => $password);

    $json{code} = $code if defined $code;

    my $r = $self->call("POST", "/session", \%json);

    if ($r->status == 200) {
        ($self->{cookie}) = $r->header("set-cookie") =~ /^([^;]+)/;
        $self->{csrf} = $r->json->{csrf};
    }

    return $r;
}


sub call {
    my ($self, $method, $path, $json, @headers) = @_;

    unshift @headers, "X-CSRF-Token: $self->{csrf}"
        if defined $self->{csrf} && $method !~ /^(GET|HEAD)$/;
    unshift @headers, "Cookie: $self->{cookie}" if defined $self->{cookie};
    unshift @headers, "Authorization: Bearer $self->{token}"
        if defined $self->{token};

    my $port = $self->{nginx}->port;

    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port,
                                  LocalAddr => $self->{from} // "127.0.0.1")
        or die "no connection: $!\n";

    my $c = ClaudeRelay::Connection->new($s);

    my $r = $c->request($method, "$self->{prefix}/api/v1$path", key => undef,
                        body => ref $json ? ClaudeRelay::encode($json)
                                          : $json,
                        headers => [@headers, "Connection: close"])
              ->response(head => $method eq "HEAD", timeout => 60);

    $c->close;

    return $r;
}


1;
