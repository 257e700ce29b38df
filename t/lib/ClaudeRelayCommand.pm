package ClaudeRelayCommand;

=head1 NAME

ClaudeRelayCommand - runs bin/claude-relay for the tests

=head1 SYNOPSIS

    my $cli = ClaudeRelayCommand->new(socket => $path);

    is($cli->run("accounts", "list"), 0);
    like($cli->out, qr/work/);
    unlike($cli->seen, qr/secret/);

=head1 METHODS

    new(OPTION => VALUE...)
        socket => PATH       of the control socket
        shell => [...]       what runs it, ["sh"]
    run({ OPTION => VALUE... }, ARGUMENT...)     the hash may be left out
        in => TEXT           standard input
        env => { ... }       more environment
        uid => N             run as this user
        path => DIRS         instead of PATH
        socket => PATH       another one
      returns the exit status
    start(...)               the same, but does not wait; returns a pid
    end                      waits for that; returns the exit status
    dir                      a directory of its own; HOME
    out, err                 what it wrote
    {last}                   its pid
    seen                     arguments and environment of each jq, curl and
                             perl that it ran: they tell by themselves, so that
                             nothing is too short for "ps" to see
    write(TEXT), close_in    more standard input, after start(in => undef)

=cut

use warnings;
use strict;

use File::Temp qw/ tempdir /;
use POSIX ();

use ClaudeRelay qw/ root slurp spew /;


sub available {
    my ($program) = @_;

    my ($found) = grep { -x } map { "$_/$program" } split /:/, $ENV{PATH};

    return $found;
}


sub new {
    my ($class, %opt) = @_;

    my $dir = tempdir("claude-relay-cli-XXXXXX", TMPDIR => 1, CLEANUP => 1);

    chmod 0755, $dir;
    mkdir "$dir/bin";

    for my $program (qw/ jq curl perl /) {
        my $real = available($program) or die "no $program\n";

        spew("$dir/bin/$program", <<"END");
#!/bin/sh
{
    printf '%s ' "\$0" "\$@"
    printf '\\n'
    tr '\\000' ' ' < /proc/\$\$/environ
    printf '\\n'
} >> $dir/seen
exec $real "\$@"
END
        chmod 0755, "$dir/bin/$program";
    }

    return bless { shell => ["sh"], %opt, dir => $dir }, $class;
}


sub dir { $_[0]{dir} }

sub out { slurp("$_[0]{dir}/out") }

sub err { slurp("$_[0]{dir}/err") }

sub seen { slurp("$_[0]{dir}/seen") }

sub shell { $_[0]{shell} = $_[1] }


sub start {
    my $self = shift;
    my %opt = ref $_[0] eq "HASH" ? %{ +shift } : (in => "");
    my $dir = $self->{dir};

    unlink "$dir/seen", "$dir/out", "$dir/err";
    pipe my $in, $self->{in} or die "pipe: $!\n";

    # before the fork, so that whoever waits for them finds them

    spew("$dir/$_", "") for qw/ out err /;

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        alarm 0;
        $SIG{PIPE} = "DEFAULT";
        $ENV{PATH} = $opt{path} // "$dir/bin:$ENV{PATH}";
        $ENV{CLAUDE_RELAY_SOCKET} = $opt{socket} // $self->{socket};
        $ENV{HOME} = $dir;

        # must be of no effect

        $ENV{http_proxy} = $ENV{ALL_PROXY} = "http://127.0.0.1:1";
        @ENV{keys %{ $opt{env} }} = values %{ $opt{env} };

        close $self->{in};
        open STDIN, "<&", $in;
        open STDOUT, ">", "$dir/out";
        open STDERR, ">", "$dir/err";

        if ($opt{uid}) {
            POSIX::setgid($opt{uid});
            POSIX::setuid($opt{uid});
        }

        chdir $dir;
        { exec @{ $self->{shell} }, root() . "/bin/claude-relay", @_; }
        POSIX::_exit(127);
    }

    close $in;

    if (exists $opt{in} && !defined $opt{in}) {
        return $self->{pid} = $pid;
    }

    $self->write($opt{in} // "");
    $self->close_in;

    return $self->{pid} = $pid;
}


sub write {
    my ($self, $text) = @_;

    my $off = 0;

    while ($off < length $text) {
        $off += syswrite($self->{in}, $text, length($text) - $off, $off)
                // last;
    }
}


sub close_in { close delete $_[0]{in} if $_[0]{in} }


sub end {
    my ($self) = @_;

    $self->close_in;
    $self->{last} = delete $self->{pid};
    waitpid $self->{last}, 0;

    return $? & 127 ? 128 + ($? & 127) : $? >> 8;
}


sub run {
    my $self = shift;

    $self->start(@_);

    return $self->end;
}


1;
