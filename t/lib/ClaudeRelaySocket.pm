package ClaudeRelaySocket;

=head1 NAME

ClaudeRelaySocket - WebSockets for the tests: a client, and an upstream

=head1 SYNOPSIS

    use ClaudeRelay;
    use ClaudeRelaySocket;

    my $up = socket_upstream();
    my $ws = socket_open($nginx, "/v1/responses");

    $ws->create(input => "hi");
    is(($ws->turn)[-1]{type}, "response.completed");

=head1 FUNCTIONS

=over

=item socket_open($nginx, $path, HEADER...)

A connection after its handshake; it dies if that fails.

    $ws->head                    of the 101
    $ws->text($text)             a message
    $ws->frame($opcode, $payload, fin => , masked => , rsv => )
    $ws->create(MEMBER => VALUE...)  a response.create
    $ws->read                    [opcode, payload] of the next frame, or undef
    $ws->json                    the next text, decoded; a close frame ends it
    $ws->turn                    all events up to the last one of a response
    $ws->closed                  the code of the close frame, 0 for none
    $ws->code                    the same, after it was read

=item socket_upstream(OPTION => VALUE...)

An upstream that speaks Responses over a WebSocket, and nothing else.
answer => text is its answer to a handshake, instead of a 101; early => text is
sent behind it.  What is asked is in the input of a response.create: "limit",
"fragments", "masked", "created", "close", "cut", "large", "server", else an
answer.

    $up->url  $up->port  $up->stop
    $up->messages       a list of texts that came
    $up->handshake      the last one

=item frame($opcode, $payload, OPTION => VALUE...)

The bytes of a frame.

=back

=cut

use warnings;
use strict;

use Digest::SHA qw/ sha1_base64 /;
use Exporter qw/ import /;
use File::Temp qw/ tempdir /;

use ClaudeRelay;

our @EXPORT = qw/ socket_open socket_upstream frame /;

my $KEY = "dGhlIHNhbXBsZSBub25jZQ==";


sub frame {
    my ($opcode, $payload, %opt) = @_;

    my $n = $opt{length} // length $payload;
    my $bit = $opt{masked} ? 0x80 : 0;
    my $head = pack "C", (($opt{fin} // 1) << 7) | (($opt{rsv} // 0) << 4)
                         | $opcode;

    $head .= $n < 126 ? pack("C", $bit | $n)
             : $n < 65536 ? pack("Cn", $bit | 126, $n)
             : pack("CQ>", $bit | 127, $n);

    if ($bit) {
        my $mask = pack "N", int rand 2 ** 32;

        $payload ^= substr $mask x (1 + length($payload) / 4), 0,
                           length $payload;
        $head .= $mask;
    }

    return $head . $payload;
}


# one frame out of what was read, or undef: there is more to come

sub parse {
    my ($in) = @_;

    return if length $$in < 2;

    my ($first, $n) = unpack "CC", $$in;
    my $masked = $n & 0x80;
    my $head = 2;

    $n &= 0x7f;

    if ($n == 126) {
        return if length $$in < 4;
        $n = unpack "x2n", $$in;
        $head = 4;

    } elsif ($n == 127) {
        return if length $$in < 10;
        $n = unpack "x2Q>", $$in;
        $head = 10;
    }

    my $mask = "";

    if ($masked) {
        $mask = substr $$in, $head, 4;
        $head += 4;
    }

    return if length $$in < $head + $n;

    my $payload = substr $$in, $head, $n;
    substr $$in, 0, $head + $n, "";

    $payload ^= substr $mask x (1 + $n / 4), 0, $n if $masked;

    return [$first & 0x0f, $payload, $first >> 7, $masked ? 1 : 0];
}


sub socket_open {
    my ($nginx, $path, @headers) = @_;

    my $c = $nginx->connect;

    $c->request("GET", $path // "/v1/responses",
                headers => ["Connection: Upgrade", "Upgrade: websocket",
                            "Sec-WebSocket-Version: 13",
                            "Sec-WebSocket-Key: $KEY", @headers]);

    my $head = $c->read_until(qr/\r\n\r\n/);

    die "no handshake: $head\n" if $head !~ m{^HTTP/1\.1 101 };

    $head =~ s/(?<=\r\n\r\n)(.*)//s;

    $c->{in} = $1;

    return bless { c => $c, head => $head }, "ClaudeRelaySocket::Client";
}


sub socket_upstream {
    my %opt = @_;

    my $dir = tempdir(CLEANUP => 1);
    my $canned = canned(sub { serve($dir, \%opt, @_) });

    return bless { canned => $canned, dir => $dir },
                 "ClaudeRelaySocket::Upstream";
}


# runs in a process of its own

sub serve {
    my ($dir, $opt, $head, $s) = @_;

    spew("$dir/handshake", $head);

    return $opt->{answer} if $opt->{answer};

    my ($key) = $head =~ /^sec-websocket-key: *(\S+)/mi;
    my $accept = sha1_base64("${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");

    put($s, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            . "Connection: Upgrade\r\nSec-WebSocket-Accept: $accept=\r\n"
            . "x-codex-turn-state: sticky\r\n\r\n" . ($opt->{early} // ""));

    my ($in, $message) = ("", "");

    while (1) {
        my $f = parse(\$in);

        if (!$f) {
            sysread $s, $in, 65536, length $in or last;
            next;
        }

        note($dir, "unmasked\n") if !$f->[3];

        if ($f->[0] == 8) {
            note($dir, "close " . unpack("n", $f->[1]) . "\n")
                if length $f->[1];
            put($s, frame(8, $f->[1]));
            last;
        }

        put($s, frame(10, $f->[1])) if $f->[0] == 9;

        next if $f->[0] > 2;

        $message .= $f->[1];

        if ($f->[2]) {
            note($dir, "$message\n");
            answer($s, json($message)) or last;
            $message = "";
        }
    }

    close $s;

    return;
}


sub put {
    my ($s, $bytes) = @_;

    for (my $off = 0; $off < length $bytes; ) {
        $off += syswrite($s, $bytes, 65536, $off) || return;
    }
}


sub note {
    my ($dir, $text) = @_;

    open my $out, ">>:raw", "$dir/messages" or die;
    syswrite $out, $text;
    close $out;
}


sub answer {
    my ($s, $m) = @_;

    return 1 if $m->{type} ne "response.create";

    my $what = ref $m->{input} ? "" : $m->{input} // "";
    my $id = "resp_" . int rand 1_000_000;

    my $say = sub {
        my ($type, %more) = @_;
        $more{stream_id} = $m->{stream_id} if $m->{stream_id};
        return encode({ type => $type, %more });
    };

    my $created = $say->("response.created", response =>
                         { id => $id, model => $m->{model},
                           status => "in_progress" });
    my $completed = $say->("response.completed", response =>
        { id => $id, model => $m->{model}, status => "completed",
          usage => { input_tokens => 11, output_tokens => 5,
                     total_tokens => 16,
                     input_tokens_details => { cached_tokens => 3 },
                     output_tokens_details => { reasoning_tokens => 1 } } });

    return if $what eq "cut";

    if ($what eq "limit") {
        put($s, frame(1, $say->("error", status => 429, error =>
            { type => "insufficient_quota", message => "used up",
              code => "insufficient_quota", param => undef })));
        return 1;
    }

    if ($what eq "bad") {
        put($s, frame(1, $say->("error", status => 400, error =>
            { type => "invalid_request_error", message => "no such thing",
              code => "unsupported_parameter", param => "x" })));
        return 1;
    }

    put($s, frame(1, $created));

    return 1 if $what eq "created";

    if ($what eq "close") {
        put($s, frame(8, pack("n", 1000) . "enough"));
        return;
    }

    if ($what eq "masked") {
        put($s, frame(1, $completed, masked => 1));
        return 1;
    }

    put($s, frame(1, $say->("response.output_text.delta",
                            delta => $what eq "large" ? "x" x 300_000
                                                      : "Hello")));

    if ($what eq "fragments") {
        put($s, frame(1, substr($completed, 0, 20), fin => 0)
                . frame(9, "are you there")
                . frame(0, "", fin => 0));
        put($s, frame(0, $_, fin => 0)) for unpack "(a7)*",
                                            substr $completed, 20;
        put($s, frame(0, ""));
        return 1;
    }

    # Codex takes its words from this one (others.md A11)

    put($s, frame(1, $say->("response.output_item.done", output_index => 0,
        item => { type => "message", role => "assistant", id => "msg_1",
                  status => "completed",
                  content => [{ type => "output_text", annotations => [],
                                text => "Hello over a WebSocket" }] })));

    put($s, frame(1, $completed));

    return 1;
}


package ClaudeRelaySocket::Upstream;

use warnings;
use strict;


sub url { $_[0]{canned}->url }

sub port { $_[0]{canned}->port }

sub stop { $_[0]{canned}->stop }

sub handshake { ClaudeRelay::slurp("$_[0]{dir}/handshake") }

sub messages { split /\n/, ClaudeRelay::slurp("$_[0]{dir}/messages") }


package ClaudeRelaySocket::Client;

use warnings;
use strict;


sub head { $_[0]{head} }

sub code { $_[0]{code} }

sub connection { $_[0]{c} }


sub frame {
    my ($self, $opcode, $payload, %opt) = @_;

    $self->{c}->send(ClaudeRelaySocket::frame($opcode, $payload, masked => 1,
                                              %opt));
    return $self;
}


sub text { $_[0]->frame(1, $_[1]) }


sub create {
    my ($self, %more) = @_;

    return $self->text(ClaudeRelay::encode({
        type => "response.create", model => "gpt-5.5", input => "hi", %more
    }));
}


sub read {
    my ($self) = @_;

    my $c = $self->{c};

    while (1) {
        my $f = ClaudeRelaySocket::parse(\$c->{in});

        return $f if $f;
        return if !$c->fill;
    }
}


# pings and pongs are passed over, but counted

sub json {
    my ($self) = @_;

    my $text = "";

    while (my $f = $self->read) {
        if ($f->[0] == 8) {
            $self->{code} = length $f->[1] ? unpack "n", $f->[1] : 1005;
            $self->{reason} = substr $f->[1], 2;
            return;
        }

        $self->{pings}++ if $f->[0] == 9;
        push @{ $self->{pongs} }, $f->[1] if $f->[0] == 10;
        next if $f->[0] > 2;

        $text .= $f->[1];

        return ClaudeRelay::json($text) if $f->[2];
    }

    $self->{code} = 0;

    return;
}


sub turn {
    my ($self) = @_;

    my @events;

    while (my $e = $self->json) {
        push @events, $e;
        last if $e->{type} =~ /^(error|response\.(completed|failed))$/;
    }

    return @events;
}


sub closed {
    my ($self) = @_;

    1 while $self->json;

    return $self->{code};
}


1;
