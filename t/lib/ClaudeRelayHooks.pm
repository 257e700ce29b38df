package ClaudeRelayHooks;

=head1 NAME

ClaudeRelayHooks - a listener for webhooks

=head1 SYNOPSIS

    my $listener = ClaudeRelayHooks->new;

    $listener->url("/json")             where it listens, at any path
    $listener->say("/json", $n, $answer)
                                        the next $n requests of this path get
                                        this answer, as bytes; "hang": none
    $listener->got("/json")             a list of what came there, in order:
                                        hashes of path (with its query), head,
                                        body, json, time, header => { }
    $listener->wait("/json", $n)        the same, when there are so many
    $listener->forget                   of what came

Without C<say> a path's first word is a kind, and gets the answer by which
that one says yes.

=cut

use warnings;
use strict;

use Fcntl qw/ :flock /;
use File::Temp ();
use Time::HiRes qw/ sleep time /;

use ClaudeRelay ();


my %YES = (
    slack => "ok", telegram => '{"ok":true}', feishu => '{"code":0}',
    dingtalk => '{"errcode":0}', wecom => '{"errcode":0}',
    bark => '{"code":200}',
);


sub new {
    my ($class) = @_;

    my $self = bless { dir => File::Temp->newdir }, $class;
    my $dir = "$self->{dir}";

    $self->{canned} = ClaudeRelay::canned(sub { answer($dir, $_[0]) });

    return $self;
}


sub url { $_[0]{canned}->url . ($_[1] // "") }

sub port { $_[0]{canned}->port }

sub stop { $_[0]{canned}->stop }


sub name { my $s = $_[0]; $s =~ s/\?.*//; $s =~ s/\W/_/g; return $s }


sub http {
    my ($status, $body, @headers) = @_;

    return join("\r\n", "HTTP/1.1 $status", @headers,
                "Content-Length: " . length($body), "Connection: close", "")
           . "\r\n$body";
}


# in a process of its own: one at a time

sub answer {
    my ($dir, $request) = @_;

    open my $lock, ">", "$dir/lock" or die;
    flock $lock, LOCK_EX;

    my ($path) = $request =~ /^POST (\S+) / or return http("405 No", "");
    my $name = name($path);
    my $n = () = glob "$dir/got$name.*";

    ClaudeRelay::spew(sprintf("%s/got%s.%05d", $dir, $name, $n), time . "\n$request");

    my $out = http("200 OK", $YES{($path =~ m{^/(\w+)})[0] // ""} // "");

    if (-s "$dir/say$name") {
        my ($left, $text) = split /\n/, ClaudeRelay::slurp("$dir/say$name"), 2;

        if ($left > 0) {
            $left--;
            ClaudeRelay::spew("$dir/say$name", "$left\n$text");
            $out = $text;
        }
    }

    close $lock;

    sleep 60 if $out eq "hang";

    return $out;
}


sub say {
    my ($self, $path, $n, $answer) = @_;

    open my $lock, ">", "$self->{dir}/lock" or die;
    flock $lock, LOCK_EX;

    ClaudeRelay::spew("$self->{dir}/say" . name($path), "$n\n$answer");
}


sub got {
    my ($self, $path) = @_;

    my @got;

    for my $file (sort glob "$self->{dir}/got" . name($path) . ".*") {
        my ($time, $request) = split /\n/, ClaudeRelay::slurp($file), 2;
        my ($head, $body) = split /\r\n\r\n/, $request // "", 2;

        next if !defined $body;

        my %header = map { /^([^:]+): *(.*)/ ? (lc $1 => $2) : () }
                         split /\r\n/, $head;

        push @got, {
            time => $time, head => $head, body => $body,
            path => ($head =~ /^\S+ (\S+)/)[0], header => \%header,
            json => scalar eval { ClaudeRelay::json($body) },
        };
    }

    return @got;
}


sub wait {
    my ($self, $path, $n, $seconds) = @_;

    my @got;

    ClaudeRelay::wait_for(sub { @got = $self->got($path); @got >= $n }, $seconds);

    return @got;
}


sub forget {
    my ($self) = @_;

    unlink glob "$self->{dir}/got*";
}


1;
