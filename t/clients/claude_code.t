#!/usr/bin/perl

# Claude Code itself through the relay, the relay before the sandbox: the
# newest one and two older ones, as far as util/install.sh clients has
# installed them.  As root all of it runs where there is no network but lo,
# and it is told how often something wanted more than that.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use FindBin;
use lib "$FindBin::Bin/../lib";


# a network namespace of our own

BEGIN {
    if (!$ENV{CR_NETNS} && $> == 0
        && system("unshare -n true > /dev/null 2>&1") == 0)
    {
        $ENV{CR_NETNS} = 1;
        exec "unshare", "-n", $^X, abs_path($0), @ARGV;
    }
}


use ClaudeRelay;
use File::Path qw/ remove_tree /;
use File::Temp qw/ tempdir /;
use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw/ AF_INET SOCK_DGRAM IPPROTO_TCP TCP_NODELAY /;
use Test::More;
use Time::HiRes qw/ time sleep /;


alarm 600;

my $isolated = ($ENV{CR_NETNS} // "") eq "1" && lo_up();

my $clients = $ENV{CR_CLIENTS} // root() . "/build/clients";
my $node = "$clients/node_modules/.bin/node";
my $newest = "$clients/node_modules/.bin/claude";

if (!-x $node || !-x $newest) {
    my $why = "no Claude Code: run util/install.sh clients";

    plan(skip_all => $why) if !$ENV{CI};
    plan(tests => 1);
    fail($why);
    exit 1;
}

my @versions = ([ version("\@anthropic-ai/claude-code"), $newest ]);

for my $old (qw/ claude-code-2.0 claude-code-1.0 /) {
    my $cli = "$clients/node_modules/$old/cli.js";

    push @versions, [ version($old), $node, $cli ] if -f $cli;
}

my $answer = "This is the sandbox upstream";
my $work = tempdir("claude-code-XXXXXX", TMPDIR => 1, CLEANUP => 1);

mkdir "$work/here";
spew("$work/here/note.txt", "the note says forty-two\n");

my $up = sandbox();

# the first account of each location misbehaves, as its credential says

my %trouble = (
    429 => "status=429",
    window => "unified=5h:3600",
    529 => "status=529",
    500 => "status=500",
    401 => "status=401",
    403 => "status=403",
    html => "status=502--html",
    first => "error-first=overloaded_error",
    rst => "rst-now",
);

my %breaks = (
    reset => "reset-at=3--once",
    end => "end-at=3--once",
    error => "error-at=3--type=overloaded_error--once",
);

my ($accounts, $locations) = ("", "");

for my $name (sort keys %trouble) {
    $accounts .= account("bad-$name", "pool f$name; priority 200;"
                         . " api_key sk-ant-sandbox-$trouble{$name};")
               . account("good-$name", "pool f$name;");
    $locations .= location("f$name");
}

for my $name (sort keys %breaks) {
    for my $v (0 .. $#versions) {
        $accounts .= account("break-$name-$v", "pool b$name$v; api_key"
                             . " sk-ant-sandbox-$breaks{$name}--as=$v;");
        $locations .= location("b$name$v", "claude_relay_tries 1;");
    }
}

$accounts .= account($_, "pool many;") for qw/ m1 m2 m3 /;
$locations .= location("many", "claude_relay_policy round-robin;");

# one whose window is used up, and TLS in front

$accounts .= account("spent", "pool spent; api_key"
                     . " sk-ant-sandbox-unified=5h:7200;");
$locations .= location("spent");

my $tls = system("openssl req -x509 -newkey ec -pkeyopt"
                 . " ec_paramgen_curve:prime256v1 -nodes -days 2"
                 . " -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
                 . " -keyout $work/key.pem -out $work/cert.pem"
                 . " > $work/openssl.log 2>&1") == 0;

$locations .= "listen 127.0.0.1:%%PORT3%% ssl http2;"
              . " ssl_certificate $work/cert.pem;"
              . " ssl_certificate_key $work/key.pem;\n" if $tls;

my $nginx = relay(
    accounts => $accounts . account("one"),
    server => $locations,
    http => "claude_relay_rest overloaded=500ms overloaded_max=500ms;",
);

my ($tee, $teed) = tee($nginx->port);
my $runs = 0;


for my $v (0 .. $#versions) {
    my ($version, @claude) = @{ $versions[$v] };
    my $new = $v == 0;
    my $r;

    diag("Claude Code $version") if $ENV{CR_VERBOSE};

    $up->since;
    $r = claude(\@claude, "hello there");

    like($r->{out}, qr/^$answer\s*$/, "$version: an answer (N14)");
    is($r->{status}, 0, "$version: its exit status");
    same_bytes($version);
    same_headers($version);

    ok(!grep({ $_->{status} != 200 } $up->since),
       "$version: nothing failed on the way");

    # a tool, in two requests of one session

    $r = claude(\@claude,
                qq(#tool Read {"file_path":"$work/here/note.txt"}),
                path => "/many", args => ["--allowedTools", "Read"]);

    like($r->{out}, qr/^The tool said: .*forty-two/s,
         "$version: a file is read by a tool");

    my @log = messages($r);

    cmp_ok(scalar @log, ">=", 2, "$version: a tool takes two requests");
    is(scalar keys %{{ map { $_->{account} => 1 } @log }}, 1,
       "$version: all of a session on one account (F134)");
    is($log[-1]{sticky}, "hit", "$version: the session is known (F136)");
    same_bytes("$version, tool");

    # the same session in another process

    my $id = sprintf "%08x-0000-4000-8000-%012x", time, $v;

    my $first = claude(\@claude, "one", path => "/many",
                       args => ["--session-id", $id]);
    my $second = claude(\@claude, "two", path => "/many",
                        args => ["--resume", $id]);

    like($second->{out}, qr/^$answer/, "$version: a session is resumed");

    if ($new) {
        my ($a, $b) = ((messages($first))[-1], (messages($second))[-1]);

        is($b->{account}, $a->{account},
           "$version: it stays on its account (F134)");
        is($b->{sticky}, "hit", "$version: it is known (F136)");
    }

    # accounts that fail

    for my $name ($new ? sort keys %trouble : qw/ 529 401 /) {
        $r = claude(\@claude, "hello", path => "/f$name");

        like($r->{out}, qr/^$answer\s*$/,
             "$version: $trouble{$name} of one account is not seen (F145)");

        next if !$new;

        my @m = messages($r);

        is(scalar @m, 1, "$version: $trouble{$name}: asked once");
        like($m[0]{attempts}, qr/^bad-$name:\d+:[\w-]+:\d+,good-$name:200:ok/,
             "$version: $trouble{$name}: the trail tells (N07)");
    }

    # a broken stream is never taken as a whole answer

    for my $name (sort keys %breaks) {
        $r = claude(\@claude, "hello", path => "/b$name$v");

        like($r->{out}, qr/$answer\s*$/,
             "$version: $breaks{$name}: asked again, ends well (F165)");

        my @m = messages($r);

        like($m[0]{attempts} // "", qr/^break-$name-$v:200:(?!ok)/,
             "$version: $breaks{$name}: the stream was broken");
        like($m[-1]{attempts} // "", qr/:200:ok:\d+$/,
             "$version: $breaks{$name}: the next one was not");
    }

    # a key that is not ours

    $up->since;
    $r = claude(\@claude, "hello", key => "not-a-key-of-ours");

    isnt($r->{status}, 0, "$version: a refused key is an error (F024)");
    cmp_ok($r->{time}, "<", 15, "$version: it is over at once (F024)");

    # 2.0 starts with four requests, and asks twice

    cmp_ok(scalar(grep { $_->{line} =~ /messages/ } requests($r)), "<=",
           $new ? 2 : 8, "$version: it is not shown again and again (F024)");
    ok(!$up->since, "$version: nothing went upstream");
}


# what only the newest one can

my ($version, @claude) = @{ $versions[0] };

for my $prefix (qw{ /api /claude /anthropic /proxy }) {
    like(claude(\@claude, "hello", path => $prefix)->{out}, qr/^$answer/,
         "$version: base URL ends in $prefix");
}

like(claude(\@claude, "hello", env => { ANTHROPIC_AUTH_TOKEN => undef,
                                        ANTHROPIC_API_KEY => $ClaudeRelay::KEY })
     ->{out}, qr/^$answer/, "$version: ANTHROPIC_API_KEY (F023)");

my $hints = claude(\@claude, "hello", env => {
    CLAUDE_CODE_GATEWAY_HINT_HEADERS => 1,
    ANTHROPIC_CUSTOM_HEADERS => "X-Of-Ours: something",
});

is($up->header("x-claude-code-request-class"), "main",
   "$version: hint headers go on");
is($up->header("x-of-ours"), "something", "$version: custom headers, too");
same_headers("$version, hints");

my $json = json(claude(\@claude, "hello", args => ["--output-format", "json"])
                ->{out});

is($json->{result}, "$answer ", "$version: the answer as JSON");
is($json->{usage}{output_tokens}, 5, "$version: usage arrives (F168)");
is($json->{usage}{cache_read_input_tokens}, 2048,
   "$version: usage of the cache arrives (F169)");


my $spent = claude(\@claude, "hello", path => "/spent");

isnt($spent->{status}, 0, "$version: a spent window is an error");
cmp_ok($spent->{time}, "<", 15, "$version: it is not waited for (F151)");
cmp_ok(scalar(messages($spent)), "<=", 3, "$version: nor asked for again");

SKIP: {
    skip "no openssl", 1 if !$tls;

    like(claude(\@claude, "hello", env => {
        ANTHROPIC_BASE_URL => "https://127.0.0.1:" . port(3),
        NODE_EXTRA_CA_CERTS => "$work/cert.pem",
    })->{out}, qr/^$answer/, "$version: over TLS (N10)");
}


# all versions count on the relay alone

SKIP: {
    skip "not in a network namespace", 1 if !$isolated;

    is(no_routes(), 0, "no client asked for another address");
}


# with its telemetry, its probe and its list of models

my $noisy = claude(\@claude, "hello", quiet => 0, env => {
    CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY => 1,
});

like($noisy->{out}, qr/^$answer/, "$version: with all that it asks else");

my @asked = requests($noisy);

ok(!grep({ $_->{status} != 200 } @asked),
   "$version: all of it is answered (N14)")
    || diag(join "\n", map { "$_->{status} $_->{line}" } @asked);

ok(scalar(grep { $_->{line} =~ m{^HEAD /(api/hello)? } } @asked),
   "$version: the probe (N14)");

finish();


sub version {
    my ($package) = @_;

    return json(slurp("$clients/node_modules/$package/package.json"))
           ->{version};
}


sub location {
    my ($name, $more) = @_;
    $more //= "";

    return "location /$name/ { claude_relay; claude_relay_pool $name; $more }\n";
}


# one run of "claude -p"

sub claude {
    my ($claude, $prompt, %o) = @_;

    my $home = "$work/home";
    my $lines = lines();
    my $start = time;
    my %env = (
        PATH => "$clients/node_modules/.bin:/usr/bin:/bin",
        HOME => $home,
        TMPDIR => $home,
        LANG => "C.UTF-8",
        TERM => "dumb",
        ANTHROPIC_BASE_URL => "http://127.0.0.1:$tee" . ($o{path} // ""),
        ANTHROPIC_AUTH_TOKEN => $o{key} // $ClaudeRelay::KEY,
        DISABLE_AUTOUPDATER => 1,
        ($o{quiet} // 1) ? (
            DISABLE_TELEMETRY => 1,
            DISABLE_ERROR_REPORTING => 1,
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1,
        ) : (),
        %{ $o{env} // {} },
    );

    delete $env{$_} for grep { !defined $env{$_} } keys %env;

    mkdir $home;
    unlink glob "$teed/*";

    my $out = "$work/out." . ++$runs;
    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        POSIX::setpgid(0, 0);
        %ENV = %env;
        chdir "$work/here";

        # to a file: 2.0 loses the end when it is a pipe

        open STDIN, "<", "/dev/null";
        open STDOUT, ">", $out;
        open STDERR, ">", "$out.err";

        { exec @$claude, "-p", $prompt, @{ $o{args} // [] }; }
        POSIX::_exit(127);
    }

    my $status;

    wait_for(sub {
        $status = $? if waitpid($pid, POSIX::WNOHANG()) == $pid;
        return defined $status;
    }, 40);

    my $time = time - $start;

    # itself and what it has started

    kill "KILL", -$pid;
    waitpid $pid, 0 if !defined $status;

    diag(sprintf "%5.1f s  %s", $time, join " ", $o{path} // "/", $prompt)
        if $ENV{CR_VERBOSE};

    return {
        out => slurp($out), err => slurp("$out.err"), time => $time,
        status => $status // -1, lines => $lines,
    };
}


# access.log since the run began

sub lines { scalar(() = $nginx->access_log =~ /\n/g) }


sub requests {
    my ($r) = @_;

    my @lines = split /\n/, $nginx->access_log;

    return map { my $l = json($_); $l->{line} = $l->{request}; $l }
               @lines[$r->{lines} .. $#lines];
}


sub messages {
    my ($r) = @_;

    # the log is written when the answer is out

    wait_for(sub { grep { $_->{request} =~ m{/v1/messages\?} } requests($r) },
             2);

    return grep { $_->{request} =~ m{/v1/messages\?} } requests($r);
}


# the requests that the client has made in the last run: head and body

sub sent {
    my @sent;

    for my $file (sort glob "$teed/*") {
        my $raw = slurp($file);

        while ($raw =~ s/\A(.*?)\r\n\r\n//s) {
            my $head = $1;
            my ($length) = $head =~ /^content-length:\s*(\d+)/mi;

            push @sent, { head => $head,
                          body => substr($raw, 0, $length // 0, "") };
        }
    }

    return grep { $_->{head} =~ m{^POST \S*/v1/messages} } @sent;
}


# all that was sent by POST has arrived, byte for byte

sub same_bytes {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @sent = sort map { sha256($_->{body}) } sent();
    my %have = map { $_->{body_sha256} => 1 } $up->last(scalar @sent);

    ok(@sent && !grep({ !$have{$_} } @sent),
       "$name: " . "bodies arrive byte for byte (N01)")
        || diag("sent @sent, received @{[keys %have]}");
}


# headers in their order, as the client writes them, less what may not pass

sub same_headers {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $drop = qr/^(?:host|connection|authorization|x-api-key
                    |accept-encoding|content-length|keep-alive):/xi;

    my ($sent) = sent();
    my ($seen) = grep { $_->{body_sha256} eq sha256($sent->{body}) }
                      $up->last(8);

    my (undef, @sent) = split /\r\n/, $sent->{head};
    my @seen = @{ $seen->{headers} };

    is_deeply([grep { !/$drop/ } @seen], [grep { !/$drop/ } @sent],
              "$name: " . "headers arrive in order, as they were sent (N01)");

    is_deeply([map { /^accept-encoding:\s*(.*)/i } @seen], ["identity"],
              "$name: plain answers are asked for");
}


# a forwarder that keeps what the client says, a file for each connection

sub tee {
    my ($port) = @_;

    my $dir = tempdir("claude-code-tee-XXXXXX", TMPDIR => 1, CLEANUP => 1);
    my $listen = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 128,
                                       LocalPort => 0)
        or die "listen: $!\n";

    my $parent = $$;
    my $pid = fork // die "fork: $!\n";

    return ($listen->sockport, $dir) if $pid;

    alarm 0;
    $SIG{PIPE} = "IGNORE";

    my $select = IO::Select->new($listen);
    my ($n, %peer, %file) = (0);

    while (getppid == $parent) {
        for my $s ($select->can_read(0.5)) {

            if ($s == $listen) {
                my $c = $listen->accept or next;
                my $u = IO::Socket::INET->new(PeerAddr => "127.0.0.1",
                                              PeerPort => $port);

                setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1 for $c, $u;
                @peer{$c, $u} = ($u, $c);
                $file{$c} = sprintf "%s/%06d", $dir, ++$n;
                $select->add($c, $u);
                next;
            }

            my $peer = $peer{$s} or next;
            my $got = sysread $s, my $data, 262144;

            if (!$got) {
                # a reset stays a reset

                setsockopt $peer, Socket::SOL_SOCKET(), Socket::SO_LINGER(),
                           pack("ii", 1, 0) if !defined $got;

                $select->remove($s, $peer);
                delete @peer{$s, $peer};
                close $s;
                close $peer;
                next;
            }

            if ($file{$s}) {
                open my $f, ">>:raw", $file{$s};
                print $f $data;
            }

            while (length $data) {
                my $put = syswrite $peer, $data or last;
                substr($data, 0, $put) = "";
            }
        }
    }

    POSIX::_exit(0);
}


# lo of a new namespace is down

sub lo_up {
    use constant { SIOCSIFFLAGS => 0x8914, IFF_UP => 1 };

    socket my $s, AF_INET, SOCK_DGRAM, 0 or return 0;

    my $request = pack "a16 s x22", "lo", IFF_UP;

    return ioctl($s, SIOCSIFFLAGS, $request) ? 1 : 0;
}


# packets that had nowhere to go

sub no_routes {
    my (@names, @values);

    for (split /\n/, slurp("/proc/net/snmp")) {
        next if !s/^Ip: //;
        @names ? (@values = split) : (@names = split);
    }

    my %ip;
    @ip{@names} = @values;

    return $ip{OutNoRoutes};
}
