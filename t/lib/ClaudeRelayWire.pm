package ClaudeRelayWire;

# Many raw HTTP/1.1 conversations in one process, each byte with the time of
# its arrival, and an upstream that says what it is told to.

=head1 SYNOPSIS

    use ClaudeRelayWire;

    my $w = wire($port, ask(stream => 1, do => "delay=50"));

    pump(sub { $w->{done} }, 5);

    $w->{status}        # 200
    $w->{headers}       # name in lower case => last value
    $w->{head}          # header, raw
    $w->{body}          # freed of its framing
    $w->{chunks}        # [ [ time, bytes ], ... ] as read from the socket
    $w->{clean}         # ended as its framing says it has to
    $w->{eof}           # the connection was closed
    $w->{reset}         # by a reset
    $w->{done}          # clean or eof

    events($w)          # [ [ time, bytes of an event ], ... ]

    $w->close           # FIN; $w->abort is a reset

C<ask()> makes the bytes of a request: C<stream>, C<model>, C<do> (what
the sandbox is to do, as a marker in the body), C<session>, C<headers> (list
of lines), C<path>, C<body> (raw), C<method>, C<key>, C<close>, C<text>,
C<pad> (bytes of text more).

C<exchange($port, ...)> is C<wire()> and C<pump()> until it is done.

    my $up = upstream($port, sub { my ($s, $request, $n) = @_; ... });

forks a server which calls the code for each request, with the socket, the
raw request and its number on this connection; true keeps the connection.

=cut

use warnings;
use strict;

use Exporter qw/ import /;

use Errno qw/ EAGAIN EWOULDBLOCK EINPROGRESS EINTR ECONNRESET /;
use IO::Poll qw/ POLLIN POLLOUT POLLHUP POLLERR /;
use IO::Socket::INET;
use IO::Handle;
use POSIX ();
use Socket qw/ SOL_SOCKET SO_LINGER SO_RCVBUF IPPROTO_TCP TCP_NODELAY
    pack_sockaddr_in inet_aton PF_INET SOCK_STREAM /;
use Time::HiRes qw/ time sleep /;


our @EXPORT = qw/
    wire exchange pump pause ask events deltas upstream stop_upstream
    rss fds until_true now rate
/;

my %live;
my $count = 0;
my @children;


sub now { time }


sub ask {
    my (%o) = @_;

    my $body = $o{body};

    if (!defined $body) {
        my $text = $o{text} // "hello";
        my $model = $o{model} // "claude-sonnet-4-6";
        my $marker = defined $o{do} ? " sandbox($o{do})" : "";
        my $pad = $o{pad} ? "x" x $o{pad} : "";

        $body = qq({"model":"$model","max_tokens":100,)
                . ($o{stream} ? qq("stream":true,) : "")
                . ($o{user_id} ? qq("metadata":{"user_id":"$o{user_id}"},) : "")
                . ($o{extra} ? "$o{extra}," : "")
                . qq("messages":[{"role":"user","content":"$text$marker$pad"}])
                . "}";
    }

    my $method = $o{method} // "POST";
    my $path = $o{path} // "/v1/messages";

    my @lines = ("$method $path HTTP/1.1", "Host: localhost");

    my $key = exists $o{key} ? $o{key} : "alice-secret-0001";
    push @lines, "x-api-key: $key" if defined $key;
    push @lines, "X-Claude-Code-Session-Id: $o{session}" if defined $o{session};
    push @lines, @{ $o{headers} } if $o{headers};
    push @lines, "Connection: close" if $o{close};

    if ($method ne "GET" && $method ne "HEAD") {
        push @lines, "Content-Type: application/json";
        push @lines, "Content-Length: " . length $body;

    } else {
        $body = "";
    }

    return join("\r\n", @lines) . "\r\n\r\n" . $body;
}


sub wire {
    my ($port, $request, %o) = @_;

    my $w = bless {
        id => ++$count, chunks => [], raw => "", out => $request, body => "",
        state => "head", started => time, port => $port,
    }, __PACKAGE__;

    socket my $s, PF_INET, SOCK_STREAM, 0 or die "socket: $!";

    setsockopt $s, SOL_SOCKET, SO_RCVBUF, pack("i", $o{rcvbuf}) if $o{rcvbuf};

    $s->blocking(0);
    setsockopt $s, IPPROTO_TCP, TCP_NODELAY, pack("i", 1);

    if (!connect $s, pack_sockaddr_in($port, inet_aton("127.0.0.1"))) {
        die "connect to $port: $!" if $! != EINPROGRESS;
    }

    $w->{socket} = $s;
    $w->{keep} = $o{keep};          # bodies are counted, not kept
    $w->{slow} = $o{slow};          # nothing is read
    $w->{method} = $request =~ /^HEAD / ? "HEAD" : "";

    $live{$w->{id}} = $w;
    $w->_write;

    return $w;
}


# another request on the same connection

sub again {
    my ($w, $request) = @_;

    my $s = $w->{socket};
    my %old = %$w;

    %$w = (id => $old{id}, chunks => [], raw => "", out => $request,
           body => "", state => "head", started => time, socket => $s,
           method => $request =~ /^HEAD / ? "HEAD" : "", port => $old{port});

    $live{$w->{id}} = $w;
    $w->_write;

    return $w;
}


sub exchange {
    my ($port, @rest) = @_;

    my $timeout = 10;
    my $request = @rest == 1 ? $rest[0] : ask(@rest);
    my $w = wire($port, $request);

    pump(sub { $w->{done} }, $timeout);
    $w->close;

    return $w;
}


# serves all conversations until the condition is true or time is over

sub pump {
    my ($until, $timeout) = @_;

    my $end = time + ($timeout // 10);

    while (1) {
        return 1 if $until && $until->();

        my $left = $end - time;
        return 0 if $left <= 0;

        my $poll = IO::Poll->new;
        my @w = grep { !$_->{done} && $_->{socket} } values %live;

        for my $w (@w) {
            my $mask = $w->{slow} ? 0 : POLLIN;
            $mask |= POLLOUT if length $w->{out};
            $poll->mask($w->{socket} => $mask) if $mask;
        }

        # the condition may be about time

        $left = 0.02 if $left > 0.02;

        if (!$poll->handles) {
            sleep $left;
            next;
        }

        $poll->poll($left);

        for my $w (@w) {
            my $got = $poll->events($w->{socket}) or next;

            $w->_write if ($got & POLLOUT) && length $w->{out};
            $w->_read if $got & (POLLIN | POLLHUP | POLLERR);
        }
    }
}


sub pause { my ($t) = @_; pump(undef, $t) }


sub _write {
    my ($w) = @_;

    return if !length $w->{out};

    local $SIG{PIPE} = "IGNORE";

    my $n = syswrite $w->{socket}, $w->{out};

    if (defined $n) {
        substr($w->{out}, 0, $n) = "";
        $w->{sent_at} = time if !length $w->{out};

    } elsif ($! != EAGAIN && $! != EWOULDBLOCK && $! != EINTR
             && !$!{ENOTCONN})
    {
        $w->{out} = "";
        $w->{write_error} = "$!";
    }
}


sub _read {
    my ($w) = @_;

    for (1 .. 16) {
        my $n = sysread $w->{socket}, my $data, 262144;

        if (!defined $n) {
            return if $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;

            $w->{reset} = 1 if $! == ECONNRESET;
            $w->_eof;
            return;
        }

        if ($n == 0) {
            $w->_eof;
            return;
        }

        push @{ $w->{chunks} }, [ time, $w->{keep} ? "" : $data ];
        $w->{first_at} //= time;
        $w->{last_at} = time;
        $w->{bytes} += $n;
        $w->{raw} .= $data;
        $w->_parse;

        return if $w->{done};
    }
}


sub _eof {
    my ($w) = @_;

    $w->{eof} = 1;
    $w->{ended_at} = time;
    $w->{clean} = 1 if $w->{state} eq "close";
    $w->{done} = 1;
    delete $live{$w->{id}};
}


sub _finish {
    my ($w) = @_;

    $w->{clean} = 1;
    $w->{ended_at} = time;
    $w->{done} = 1;
    delete $live{$w->{id}};
}


sub _body {
    my ($w, $data) = @_;

    $w->{body_bytes} += length $data;

    if (!$w->{keep}) {
        $w->{body} .= $data;
        push @{ $w->{parts} }, [ time, $data ];
        return;
    }

    $w->{body} = substr $w->{body} . $data, -4096;
}


sub _parse {
    my ($w) = @_;

    while (1) {
        if ($w->{state} eq "head") {
            $w->{raw} =~ s/\A(.*?\r\n)\r\n//s or return;
            $w->{head} = $1;

            my ($line, @lines) = split /\r\n/, $w->{head};

            ($w->{status}) = $line =~ m{^HTTP/1\.[01] (\d+)};

            if (($w->{status} // 0) < 200) {
                $w->{interim}++;
                next;
            }

            $w->{lines} = \@lines;
            $w->{headers} = { map { /^([^:]+):\s*(.*)$/ ? (lc $1, $2) : () }
                              @lines };

            my $h = $w->{headers};

            if ($w->{method} eq "HEAD" || $w->{status} == 204
                || $w->{status} == 304)
            {
                return $w->_finish;
            }

            if (($h->{"transfer-encoding"} // "") eq "chunked") {
                $w->{state} = "size";

            } elsif (defined $h->{"content-length"}) {
                $w->{left} = $h->{"content-length"};
                $w->{state} = "sized";
                return $w->_finish if $w->{left} == 0;

            } else {
                $w->{state} = "close";
            }

        } elsif ($w->{state} eq "size") {
            $w->{raw} =~ s/\A([0-9a-fA-F]+)[^\r\n]*\r\n// or return;
            $w->{left} = hex $1;
            $w->{state} = $w->{left} ? "chunk" : "trailer";

        } elsif ($w->{state} eq "chunk") {
            return if !length $w->{raw};

            my $piece = substr $w->{raw}, 0, $w->{left}, "";
            $w->{left} -= length $piece;
            $w->_body($piece);

            $w->{state} = "crlf" if !$w->{left};

        } elsif ($w->{state} eq "crlf") {
            return if length $w->{raw} < 2;
            substr($w->{raw}, 0, 2) = "";
            $w->{state} = "size";

        } elsif ($w->{state} eq "trailer") {
            return if $w->{raw} !~ s/\A(?:[^\r\n]+\r\n)*\r\n//;
            return $w->_finish;

        } elsif ($w->{state} eq "sized") {
            return if !length $w->{raw};

            my $piece = substr $w->{raw}, 0, $w->{left}, "";
            $w->{left} -= length $piece;
            $w->_body($piece);

            return $w->_finish if !$w->{left};

        } else {
            return if !length $w->{raw};
            $w->_body($w->{raw});
            $w->{raw} = "";
            return;
        }
    }
}


sub close {
    my ($w) = @_;

    delete $live{$w->{id}};
    CORE::close delete $w->{socket} if $w->{socket};
    $w->{done} = 1;
}


sub abort {
    my ($w) = @_;

    setsockopt $w->{socket}, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0)
        if $w->{socket};

    $w->close;
}


# events with the time at which their last byte came

sub events {
    my ($w) = @_;

    my @events;
    my $text = "";
    my $seen = 0;

    for my $part (@{ $w->{parts} // [] }) {
        $text .= $part->[1];

        while (substr($text, $seen) =~ /\n\r?\n/) {
            push @events, [ $part->[0], substr $text, 0, $seen + $+[0], "" ];
            $seen = 0;
        }

        # the end may be in two parts

        $seen = length($text) - 2;
        $seen = 0 if $seen < 0;
    }

    push @events, [ $w->{last_at}, $text ] if length $text;

    return @events;
}


sub deltas { grep { $_->[1] =~ /content_block_delta/ } events(@_) }


sub until_true {
    my ($code, $timeout) = @_;

    my $end = time + ($timeout // 5);

    while (1) {
        my $value = $code->();
        return $value if $value;
        return $value if time > $end;
        pause(0.02);
    }
}


# KB of a process, and how many descriptors it has

sub rss {
    my ($pid) = @_;

    open my $f, "<", "/proc/$pid/status" or return 0;
    my ($kb) = map { /^VmRSS:\s+(\d+)/ ? $1 : () } <$f>;

    return $kb;
}


sub fds {
    my ($pid) = @_;

    opendir my $d, "/proc/$pid/fd" or return 0;
    my $n = grep { /^\d+$/ } readdir $d;

    return $n;
}


# a server of our own: for what the sandbox cannot do

sub upstream {
    my ($port, $code, %o) = @_;

    my $listen = IO::Socket::INET->new(
        LocalAddr => "127.0.0.1", LocalPort => $port, Listen => 128,
        ReuseAddr => 1) or die "listen on $port: $!";

    my $pid = fork // die "fork: $!";

    if ($pid) {
        push @children, $pid;
        CORE::close $listen;
        return $pid;
    }

    $SIG{CHLD} = "IGNORE";
    $SIG{TERM} = sub { POSIX::_exit(0) };

    my $parent = getppid;

    while (1) {
        my $s = $listen->accept or next;

        POSIX::_exit(0) if getppid != $parent;

        if (my $child = fork) {
            CORE::close $s;
            next;
        }

        $SIG{PIPE} = "IGNORE";
        $s->autoflush(1);
        setsockopt $s, IPPROTO_TCP, TCP_NODELAY, pack("i", 1);

        my $buf = "";

        for (my $n = 0; ; $n++) {

            while ($buf !~ /\r\n\r\n/) {
                sysread $s, $buf, 65536, length $buf or POSIX::_exit(0);
            }

            my ($head) = $buf =~ /\A(.*?\r\n\r\n)/s;
            my ($length) = $head =~ /^content-length:\s*(\d+)/mi;
            my $total = length($head) + ($length // 0);

            while (length $buf < $total) {
                sysread $s, $buf, 1 << 20, length $buf or POSIX::_exit(0);
            }

            my $request = substr $buf, 0, $total, "";

            last if !$code->($s, $request, $n);
        }

        CORE::close $s;
        POSIX::_exit(0);
    }
}


sub stop_upstream {
    my ($pid) = @_;

    kill "TERM", $pid;
    waitpid $pid, 0;
    @children = grep { $_ != $pid } @children;
}


END {
    my $status = $?;

    for my $pid (@children) {
        kill "TERM", $pid;
        waitpid $pid, 0;
    }

    $? = $status;
}


1;
