package ClaudeRelay;

=head1 NAME

ClaudeRelay - nginx, the sandbox upstream and HTTP for the tests

=head1 SYNOPSIS

    use ClaudeRelay;

    my $up = sandbox();
    my $nginx = relay();                     # one key, one account, "/"

    my $r = $nginx->post("/v1/messages", message());

    is($r->status, 200, "F001: a message");
    is($r->json->{type}, "message");
    is($up->last->{body_sha256}, sha256(message()));

    finish();                                # stops, checks logs, plans

=head1 FUNCTIONS

=over

=item sandbox(ARGUMENT...)

Starts build/claude-relay-sandbox on a free port of 127.0.0.1 (more
arguments go to it) and returns an object.  The first one is the default
of nginx() and relay():

    $up->port  $up->addr  $up->url  $up->pid
    $up->ports                       of all its listeners
    $up->last                        the last request, as sandbox/README.md has it
    $up->last(3)                     a list: the last three, the oldest first
    $up->since                       a list: all since the last call of since()
    $up->header("x-app")             in the last request: a list, or the first
    $up->stats                       counters
    $up->requests                    stats->{requests}
    $up->behave($credential, $cmds)  misbehave (empty: behave again)
    $up->reset                       forget everything but OAuth
    $up->stop

It is an authorization server, too:

    $up->oauth_seed(name => , ...)   tokens without a login: a hash of access,
                                     refresh, chain, name, scope, expires_in,
                                     expires_at (ms); see sandbox/README.md
                                     for access, refresh, expires_in, scope,
                                     setup
    $up->oauth(do => $commands)      "before=100,fail=503:2"; what it says
    $up->oauth(do => $commands, chain => $name)
    $up->oauth(do => "usage-body", body => $json)
    $up->oauth_report                counters, chains, requests; takes
                                     chain, n, since, tokens
    $up->oauth_chain($name)          one of chains, the newest of this name
    $up->oauth_login($url)           consents at an authorize URL (of any
                                     host): "CODE#STATE"

=item canned(sub { ... })

An upstream of one's own: the sub gets each request (header and body as they
came) and a socket, and returns the bytes of the answer; the connection is
closed after it, unless the answer has a length and no "Connection: close".
Returns an object with port, url and stop.

=item nginx($http, OPTION => VALUE...)

Writes a nginx.conf with $http inside of "http { }", starts nginx with it,
waits until it listens.  What it replaces in $http:

    %%PORT%%                         port(), where get() and post() go
    %%PORT1%% .. %%PORT9%%           port(1) .. port(9)
    %%UP%%                           URL of the first sandbox
    %%DIR%%                          its directory, for logs and files

Options:

    workers => N       master and N workers; default: 1, or a single process
                       under the sanitizers
    main => "..."      directives outside of "http { }"
    events => "..."    directives in "events { }"
    env => { ... }     environment variables
    port => N          port(N) is its %%PORT%%, for the second one of a test
    level => "info"    of error.log
    allow => [qr//]    alerts that are expected in error.log
    guard => 1         accounts of the store reach public addresses only, as
                       is usual; a test's are on 127.0.0.1, so otherwise
                       claude_relay_allow_private_upstreams is on

The http block has temp paths, underscores_in_headers, and an access.log of
JSON with all variables of the module (log()).

    $nginx->port  $nginx->dir  $nginx->pid
    $nginx->get($uri, @headers)
    $nginx->post($uri, $body, @headers)      with the key and a content-type
    $nginx->request($method, $uri, body => , headers => [], key => , port => )
                       key: undef for none; default: $ClaudeRelay::KEY
    $nginx->connect($port)                   a connection, see below
    $nginx->health                           JSON of /health
    $nginx->control($method, $path, $json)   over %%DIR%%/control.sock, where
                                             "claude_relay_control" must be;
                                             $json is a hash, a text or undef
    $nginx->control($method, $path, $json, @headers)
    $nginx->log        the line of the last get(), post() or request() in
                       access.log, decoded; waits for it
    $nginx->log(N)     a list: the last N lines
    $nginx->wait_log(N)                      until access.log has N lines
    $nginx->access_log                       as text
    $nginx->error_log                        as text
    $nginx->wait_error(qr//)                 until error.log matches
    $nginx->reload($http)                    HUP (with a new http block),
                                             waits for the new workers; write
                                             "workers => 1" for it
    $nginx->signal("HUP")
    $nginx->workers                          pids
    $nginx->stop                             QUIT, later TERM and KILL; returns
                                             the signal it took

=item relay(OPTION => VALUE...)

nginx() with what most tests need: zone, key "alice", account "one" with the
credential sk-ant-one-000001 at the sandbox, "location / { claude_relay; }" and
"location = /health { claude_relay_health full=on; }".  More options:

    http => "..."      more in http { }
    server => "..."    more in server { }
    location => "..."  more in location / { }
    accounts => "..."  instead of account "one"; see account()
    keys => "..."      instead of key "alice"
    account => "..."   more in account "one"

=item relay_http(OPTION => VALUE...)

The same as text, for reload() and config().

=item account($name, $directives)

The text of a block for the sandbox: platform anthropic, api_key
sk-ant-NAME-000001, base_url of the sandbox; $directives come in addition or
instead.

=item login_account($name, OPTION => VALUE...)

A block of platform claude-oauth that begins with the tokens of a new chain of
this name in the first sandbox; more => "..." are more directives, expires is
when its access token ends by nginx.conf (3600 seconds from now), all others go
to oauth_seed().

=item store($path, $directives)

"claude_relay_store" at this path ("%%DIR%%" if there is none) and its key
beside it, logins at the sandbox, and usage not polled; $directives follow.

=item zone_and_key()

"claude_relay_zone" and "claude_relay_key" as text.

=item config($http, OPTION => VALUE...)

Runs nginx -t; returns (1 or 0, what it said).  Same options.

=item message(FIELD => VALUE...), stream(FIELD => VALUE...)

JSON of a body for /v1/messages; text => "..." is the text of the user.

=item connect_to($port)

A connection to 127.0.0.1 (or to "[::1]:PORT", or an IO::Socket):

    $c->send($bytes)
    $c->request($method, $uri, body => , headers => [], key => )
    $c->response(head => 1 for HEAD)         reads one
    $c->read_until(qr//)                     reads, returns all of it
    $c->closed(SECONDS)                      1 if the peer closes
    $c->eof  $c->close  $c->reset  $c->socket

=item A response

    ->status  ->reason  ->body  ->json  ->head
    ->header("name")    the first value, or a list of all
    ->headers           a list of raw lines
    ->type              error.type of a JSON error
    ->message           error.message
    ->events            a list of [event, data] of SSE
    ->complete          0 if the connection broke before the end
    ->trailers          raw lines after the last chunk
    ->chunks            sizes
    ->interim           status codes of 1xx before it

=item is_error($response, $status, $type, $name, $message_regex)

One assertion: status, the shape of an Anthropic error, its type.

=item sha256($bytes), json($text), encode($data), slurp($file), spew($file, $text)

=item port($n)

A port for this test: out of its slot (util/slot.pl), or a free one.

=item wait_for(sub { ... }, SECONDS)

Until it returns true; returns that.

=item root(), binary(), module()

=item asan()

1 under the sanitizers: be patient.

=item finish()

Stops everything, asserts that nginx ends after SIGQUIT, that error.log has no
[alert], [crit] or [emerg], that no sanitizer said anything; prints the plan.

=back

For Test::Nginx::Socket: sandbox() works as it is; it sets
C<$ENV{TEST_NGINX_UP_PORT}>, which is $TEST_NGINX_UP_PORT in blocks.
zone_and_key() and account() are for C<http_config>.

=cut

use warnings;
use strict;

use Cwd qw/ abs_path /;
use Digest::SHA qw/ sha256_hex /;
use Exporter qw/ import /;
use File::Basename qw/ dirname /;
use File::Path qw/ remove_tree /;
use File::Temp qw/ tempdir /;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX qw/ :sys_wait_h /;
use Test::More;
use Time::HiRes qw/ time sleep /;

our @EXPORT = qw/
    sandbox canned nginx relay relay_http config account zone_and_key
    login_account store
    message stream connect_to is_error wait_for
    sha256 json encode slurp spew port root binary module asan finish
/;

our $KEY = "alice-secret-0001";
our $TIMEOUT = $ENV{CR_ASAN} ? 30 : 10;

my $ROOT = $ENV{CR_ROOT} // abs_path(dirname(__FILE__) . "/../..");
my $JSON = JSON::PP->new->utf8->canonical->allow_nonref;

our (@SANDBOXES, @NGINXES, @CONNECTIONS);

my (@ports, $finished);
my $owner = $$;

$SIG{PIPE} = "IGNORE";

# a test that hangs must not hang the suite

$SIG{ALRM} = sub { die "the test takes too long\n" };
alarm($ENV{CR_ASAN} ? 600 : 180);


sub root { $ROOT }

sub asan { $ENV{CR_ASAN} ? 1 : 0 }

sub binary { $ENV{TEST_NGINX_BINARY} // "nginx" }

sub module {
    return $ENV{TEST_NGINX_LOAD_MODULES} // "" if $ENV{TEST_NGINX_BINARY};
    return "$ROOT/build/ngx_http_claude_relay_module.so";
}

sub sha256 { sha256_hex($_[0]) }

sub json { $JSON->decode($_[0]) }

sub encode { $JSON->encode($_[0]) }


sub slurp {
    my ($file) = @_;

    open my $in, "<:raw", $file or return "";
    local $/;
    return <$in> // "";
}


sub spew {
    my ($file, $text) = @_;

    open my $out, ">:raw", $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";

    return $file;
}


sub port {
    my ($n) = @_;
    $n //= 0;

    return $ENV{TEST_NGINX_PORT} + $n if $ENV{TEST_NGINX_PORT};

    $ports[$n] //= do {
        my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1)
            or die "no free port: $!\n";
        $s->sockport;
    };

    return $ports[$n];
}


sub message {
    my %field = @_;
    my $text = delete $field{text} // "hi";

    return encode({
        model => "claude-sonnet-4-6",
        max_tokens => 64,
        messages => [{ role => "user", content => $text }],
        %field,
    });
}


sub stream { message(stream => JSON::PP::true, @_) }


sub zone_and_key {
    return "claude_relay_zone relay:1m;\n"
           . "claude_relay_key alice { secret $KEY; }\n";
}


sub account {
    my ($name, $directives) = @_;
    $directives //= "";

    my $text = "claude_relay_account $name {\n    $directives\n";

    $text .= "    platform anthropic;\n" if $directives !~ /\bplatform\s/;
    $text .= "    api_key sk-ant-$name-000001;\n"
        if $directives !~ /\b(api_key|access_token)\s/;
    $text .= "    base_url %%UP%%;\n" if $directives !~ /\bbase_url\s/;

    return "$text}\n";
}


sub login_account {
    my ($name, %arg) = @_;

    my ($up) = grep { $_->isa("ClaudeRelay::Sandbox") } @SANDBOXES;

    my $more = delete $arg{more} // "";
    my $end = int(time + (delete $arg{expires} // 3600));
    my $seed = $up->oauth_seed(name => $name, %arg);
    my $refresh = $seed->{refresh} ? "refresh_token $seed->{refresh};" : "";

    return account($name, "platform claude-oauth; expires $end; $refresh
                   access_token $seed->{access}; $more");
}


sub store {
    my ($path, $more) = @_;

    $path //= "%%DIR%%";

    return "claude_relay_store $path/db/relay.db secret=$path/secret.key;\n"
           . "claude_relay_oauth claude-oauth"
           . " token_url=%%UP%%/v1/oauth/token;\n"
           . "claude_relay_usage_poll off;\n" . ($more // "");
}


sub relay_http {
    my %opt = @_;

    my ($http, $server, $location, $account)
        = map { $opt{$_} // "" } qw/ http server location account /;
    my $accounts = $opt{accounts} // account("one", $account);
    my $keys = $opt{keys} // "claude_relay_key alice { secret $KEY; }";

    $http = "claude_relay_zone relay:1m;\n$http"
        if $http !~ /\bclaude_relay_zone\s/;

    return <<"END";
$http
$keys
$accounts
server {
    listen 127.0.0.1:%%PORT%%;
    $server
    location / {
        claude_relay;
        $location
    }
    location = /health {
        claude_relay_health full=on;
    }
}
END
}


sub relay {
    my %opt = @_;

    my $http = relay_http(%opt);

    delete @opt{qw/ http server location account accounts keys /};

    return nginx($http, %opt);
}


sub nginx { ClaudeRelay::Nginx->new(@_)->start }


sub config {
    my $nginx = ClaudeRelay::Nginx->new(@_);

    $nginx->write;

    my $rc = $nginx->run("$nginx->{dir}/test", "-t");
    my $said = slurp("$nginx->{dir}/test");

    remove_tree($nginx->{dir});

    return ($rc == 0 ? 1 : 0, $said);
}


sub sandbox {
    my $sandbox = ClaudeRelay::Sandbox->new(@_);

    push @SANDBOXES, $sandbox;

    $ENV{TEST_NGINX_UP_PORT} //= $sandbox->port;

    return $sandbox;
}


sub canned {
    my $canned = ClaudeRelay::Canned->new(@_);

    push @SANDBOXES, $canned;

    return $canned;
}


sub connect_to { ClaudeRelay::Connection->new(@_) }


sub is_error {
    my ($r, $status, $type, $name, $message) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $ok = $r && eval {
        my $e = $r->json;

        $r->status == $status
        && ($r->header("content-type") // "") =~ m{^application/json}
        && $e->{type} eq "error"
        && $e->{error}{type} eq $type
        && length $e->{error}{message}
        && (!defined $message || $e->{error}{message} =~ $message);
    };

    ok($ok, $name)
        || diag($r ? $r->head . "\n" . substr $r->body, 0, 1000 : "no answer");

    return $ok;
}


sub finish {
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @bad;

    # what the test has left open would keep nginx from its end

    $_->close for grep { $_ } @CONNECTIONS;

    for my $nginx (@NGINXES) {
        my $signal = $nginx->stop;

        push @bad, "nginx did not end after SIGQUIT"
            if defined $signal && $signal ne "QUIT";
        push @bad, $nginx->complaints;
    }

    $_->stop for @SANDBOXES;

    $finished = 1;

    ok(!@bad, "an end without alerts, nothing from the sanitizers")
        || diag(join "\n", @bad > 40 ? (@bad[0 .. 39], "...") : @bad);

    done_testing();
}


sub wait_for {
    my ($code, $seconds) = @_;

    my $end = time + ($seconds // $TIMEOUT);

    while (1) {
        my $result = $code->();
        return $result if $result || time > $end;
        sleep 0.005;
    }
}


sub spawn {
    my ($file, $env, @command) = @_;

    my $pid = fork // die "fork: $!\n";

    return $pid if $pid;

    alarm 0;
    $SIG{PIPE} = "DEFAULT";
    @ENV{keys %$env} = values %$env;

    open STDIN, "<", "/dev/null";
    open STDOUT, ">>", $file;
    open STDERR, ">&", \*STDOUT;

    { exec { $command[0] } @command; }
    POSIX::_exit(127);
}


# the signal that ended it and its status

sub end {
    my ($pid, @signals) = @_;

    my $status = 0;

    for my $step (@signals) {
        my ($signal, $seconds) = @$step;

        kill $signal, $pid;

        my $ended = wait_for(sub {
            my $rc = waitpid $pid, WNOHANG;

            $status = $? if $rc == $pid;

            # not our child: a new binary, which has its own parent

            return $rc == $pid || ($rc < 0 && !kill 0, $pid);
        }, $seconds);

        return ($signal, $status) if $ended;
    }

    return ("", $status);
}


END {
    if ($$ == $owner && !$finished) {
        my $status = $?;
        alarm 0;
        $_->stop for @NGINXES, @SANDBOXES;
        $? = $status;
    }
}


package ClaudeRelay::Sandbox;

use warnings;
use strict;


sub new {
    my ($class, @args) = @_;

    my $dir = File::Temp::tempdir("claude-relay-sandbox-XXXXXX",
                                  TMPDIR => 1, CLEANUP => 1);
    my $binary = $ENV{TEST_NGINX_SANDBOX}
                 // ClaudeRelay::root() . "/build/claude-relay-sandbox";

    unshift @args, "-l", "127.0.0.1:0" if !grep { $_ eq "-l" } @args;

    my $n = grep { /^-[lp]$/ } @args;
    my $pid = ClaudeRelay::spawn("$dir/log", {}, $binary, @args);
    my $self = bless { pid => $pid, dir => $dir, seen => 0 }, $class;

    my (@ports, @plain);

    ClaudeRelay::wait_for(sub {
        my $log = ClaudeRelay::slurp("$dir/log");

        @ports = $log =~ /^listening on \S+:(\d+)/mg;
        @plain = $log =~ m{^listening on http://(\S+:\d+)}mg;

        return @ports >= $n;
    }) or die "sandbox: " . ClaudeRelay::slurp("$dir/log");

    # reports are asked for where there is no TLS

    $self->{ports} = \@ports;
    $self->{control} = $plain[0];

    return $self;
}


sub pid { $_[0]{pid} }

sub port { $_[0]{ports}[0] }

sub ports { @{ $_[0]{ports} } }

sub addr { "127.0.0.1:" . $_[0]->port }

sub url { "http://" . $_[0]->addr }


sub control {
    my ($self, $method, $uri, $body) = @_;

    my $c = ClaudeRelay::Connection->new($self->{control});
    my $r = $c->request($method, $uri, key => undef, body => $body,
                        headers => ["Connection: close"])->response;

    die "sandbox: $uri: " . $r->body if $r->status != 200;

    return $r->json;
}


# the answer is out before the sandbox knows that it is done

sub last {
    my ($self, $n) = @_;

    my $list;

    ClaudeRelay::wait_for(sub {
        $list = $self->control("GET", "/sandbox/last?n=" . ($n // 1));
        return !grep { !$_->{done} } @$list;
    }, 0.5);

    return defined $n ? @$list : $list->[-1];
}


sub since {
    my ($self) = @_;

    my $list = $self->control("GET", "/sandbox/last?n=256&since=$self->{seen}");

    $self->{seen} = $list->[-1]{id} if @$list;

    return @$list;
}


sub header {
    my ($self, $name) = @_;

    my @values = map { /^\Q$name\E:[ \t]*(.*?)[ \t]*$/i ? $1 : () }
                     @{ $self->last->{headers} };

    return wantarray ? @values : $values[0];
}


sub stats { $_[0]->control("GET", "/sandbox/stats") }

sub requests { $_[0]->stats->{requests} }


sub reset {
    my ($self) = @_;

    $self->control("POST", "/sandbox/reset");
    $self->{seen} = $self->stats->{last_id};

    return $self;
}


sub behave {
    my ($self, $credential, $do) = @_;

    s/([^A-Za-z0-9_.-])/sprintf "%%%02X", ord $1/ge for $credential, $do;

    $self->control("POST", "/sandbox/behave?credential=$credential&do=$do");

    return $self;
}


sub query {
    my (%arg) = @_;

    delete @arg{grep { !defined $arg{$_} } keys %arg};

    for (values %arg) {
        utf8::encode($_) if utf8::is_utf8($_);
        s/([^A-Za-z0-9_.-])/sprintf "%%%02X", ord $1/ge;
    }

    return join "&", map { "$_=$arg{$_}" } sort keys %arg;
}


sub oauth {
    my ($self, %arg) = @_;

    my $body = delete $arg{body};

    return $self->control("POST", "/sandbox/oauth?" . query(%arg), $body);
}


sub oauth_seed {
    my ($self, %arg) = @_;

    return $self->oauth(do => "seed", %arg);
}


sub oauth_report {
    my ($self, %arg) = @_;

    return $self->control("GET", "/sandbox/oauth?" . query(%arg));
}


sub oauth_chain {
    my ($self, $name) = @_;

    return $self->oauth_report(chain => $name, n => 0)->{chains}[0];
}


sub oauth_login {
    my ($self, $url) = @_;

    my ($uri) = $url =~ m{^\w+://[^/]+(/.*)$} or die "not a URL: $url\n";

    my $c = ClaudeRelay::Connection->new($self->{control});
    my $r = $c->request("GET", $uri, key => undef,
                        headers => ["Connection: close"])->response;

    return $r->body =~ s/\s+$//r if $r->status == 200;

    my %arg = ($r->header("location") // "") =~ /[?&]([^=&]+)=([^&]*)/g;

    die "sandbox: $uri: " . $r->status . " " . $r->body
        if !defined $arg{code};

    s/%([0-9a-fA-F]{2})/chr hex $1/ge for values %arg;

    return "$arg{code}#$arg{state}";
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    ClaudeRelay::end($pid, ["TERM", 2], ["KILL", 2]);
}


package ClaudeRelay::Canned;

use warnings;
use strict;


sub new {
    my ($class, $code) = @_;

    my $listen = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 16)
        or die "listen: $!\n";

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        alarm 0;
        $SIG{TERM} = "DEFAULT";
        $SIG{CHLD} = "IGNORE";

        while (my $s = $listen->accept) {
            next if fork;
            serve($s, $code);
            POSIX::_exit(0);
        }

        POSIX::_exit(0);
    }

    return bless { pid => $pid, port => $listen->sockport }, $class;
}


sub serve {
    my ($s, $code) = @_;

    my $in = "";

    while (1) {
        while (index($in, "\r\n\r\n") < 0) {
            sysread $s, $in, 65536, length $in or return;
        }

        my $all = index($in, "\r\n\r\n") + 4;
        $all += $1 if substr($in, 0, $all) =~ /^content-length: *(\d+)/mi;

        while (length $in < $all) {
            sysread $s, $in, 65536, length $in or return;
        }

        my $out = $code->(substr($in, 0, $all, ""), $s) // return;

        for (my $off = 0; $off < length $out; ) {
            $off += syswrite($s, $out, 65536, $off) || return;
        }

        my ($head) = split /\r\n\r\n/, $out;

        return if $head !~ m{^HTTP/1\.1}
                  || $head !~ /^(content-length|transfer-encoding):/mi
                     && $head !~ /^\S+ (204|304)/
                  || $head =~ /^connection: *close/mi;
    }
}


sub port { $_[0]{port} }

sub url { "http://127.0.0.1:$_[0]{port}" }


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    ClaudeRelay::end($pid, ["TERM", 2], ["KILL", 2]);
}


package ClaudeRelay::Nginx;

use warnings;
use strict;

use Time::HiRes qw/ time sleep /;


# all variables of the module are in access.log

my @VARIABLES = qw/
    key key_id account platform dialect model upstream_model session attempts
    sticky input_tokens output_tokens cache_read_tokens cache_write_tokens
    cost price ttft own_time stop_reason error_class request_id stream profile quota
    limit shadow
/;


sub new {
    my ($class, $http, %opt) = @_;

    my $dir = File::Temp::tempdir("claude-relay-XXXXXX", TMPDIR => 1,
                                  CLEANUP => 1);
    chmod 0755, $dir;

    return bless {
        dir => $dir, http => $http, opt => \%opt,
        port => ClaudeRelay::port($opt{port}),
    }, $class;
}


sub port { $_[0]{port} }

sub dir { $_[0]{dir} }

sub file { "$_[0]{dir}/nginx.conf" }


sub conf {
    my ($self, $http) = @_;

    my $opt = $self->{opt};
    my $workers = $opt->{workers} // (ClaudeRelay::module() ? 1 : 0);
    my $level = $opt->{level} // "info";
    my $events = $opt->{events} // "worker_connections 1024;";
    my $main = $opt->{main} // "";
    my $private = $opt->{guard} || $http =~ /_allow_private_upstreams\s/
                  ? "" : "claude_relay_allow_private_upstreams on;";

    my $variables = join ",", map { "\"$_\":\"\$claude_relay_$_\"" } @VARIABLES;

    my $conf = "";

    $conf .= "load_module " . ClaudeRelay::module() . ";\n"
        if ClaudeRelay::module();
    $conf .= "user root;\n" if $> == 0;
    $conf .= $workers ? "worker_processes $workers;\n"
                      : "master_process off;\n";
    $conf .= join "", map { "env $_;\n" } grep { /SAN_OPTIONS$/ } sort keys %ENV;

    $conf .= <<"END";
daemon off;
pid nginx.pid;
error_log error.log $level;
$main
events { $events }
http {
    underscores_in_headers on; $private
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    log_format json escape=json '{"status":\$status,"request":"\$request",'
        '"uri":"\$request_uri","bytes":\$body_bytes_sent,'
        '"upstream_id":"\$upstream_http_x_request_id",$variables}';
    access_log access.log json;

$http
}
END

    my ($up) = grep { $_->isa("ClaudeRelay::Sandbox") } @ClaudeRelay::SANDBOXES;
    my $url = $up ? $up->url : "http://127.0.0.1:1";

    $conf =~ s/%%UP%%/$url/g;
    $conf =~ s/%%PORT%%/$self->{port}/g;
    $conf =~ s/%%PORT(\d+)%%/ClaudeRelay::port($1)/ge;
    $conf =~ s/%%DIR%%/$self->{dir}/g;

    return $conf;
}


sub write {
    my ($self, $http) = @_;

    $self->{http} = $http if defined $http;

    mkdir "$self->{dir}/temp";
    ClaudeRelay::spew($self->file, $self->conf($self->{http}));
}


sub command {
    my ($self, @more) = @_;

    return (ClaudeRelay::binary(), "-p", "$self->{dir}/", "-c", $self->file,
            "-e", "$self->{dir}/error.log", @more);
}


sub run {
    my ($self, $output, @more) = @_;

    my $pid = ClaudeRelay::spawn($output, $self->{opt}{env} // {},
                                 $self->command(@more));
    waitpid $pid, 0;

    return $?;
}


sub start {
    my ($self) = @_;

    $self->write;

    $self->{pid} = ClaudeRelay::spawn("$self->{dir}/stderr",
                                      $self->{opt}{env} // {}, $self->command);
    push @ClaudeRelay::NGINXES, $self;

    my $ready = ClaudeRelay::wait_for(sub {
        if (waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid}) {
            delete $self->{pid};
            return "ended";
        }

        return -s "$self->{dir}/nginx.pid" && $self->listens;
    });

    if (!$ready || $ready eq "ended") {
        die "nginx does not start:\n"
            . ClaudeRelay::slurp("$self->{dir}/stderr") . $self->error_log;
    }

    return $self;
}


# the first port, if the configuration has it

sub listens {
    my ($self) = @_;

    return 1
        if ClaudeRelay::slurp($self->file) !~ /127\.0\.0\.1:$self->{port}\b/;

    return IO::Socket::INET->new(PeerAddr => "127.0.0.1",
                                 PeerPort => $self->{port}) ? 1 : 0;
}


# of the process that has written nginx.pid

sub pid {
    my ($self) = @_;

    return ClaudeRelay::slurp("$self->{dir}/nginx.pid") =~ /(\d+)/
           ? $1 : $self->{pid};
}


sub signal {
    my ($self, $signal) = @_;

    return kill $signal, $self->pid;
}


sub workers {
    my ($self) = @_;

    my $pid = $self->pid;
    my @pids = split " ", ClaudeRelay::slurp("/proc/$pid/task/$pid/children");

    return @pids ? @pids : $pid;
}


sub reload {
    my ($self, $http) = @_;

    $self->write($http) if defined $http;

    # nginx itself cannot do it in a single process

    die "reload() needs workers => 1\n"
        if ClaudeRelay::slurp($self->file) =~ /^master_process off/m;

    my $count = sub {
        my $n = () = $self->error_log
                     =~ /start worker process \d+|\[emerg\]/g;
        return $n;
    };

    my $before = $count->();

    $self->signal("HUP");

    return ClaudeRelay::wait_for(sub { $count->() > $before });
}


# the old workers are gone, too: they may take connections until then, and go
# on with the ones that they keep to an upstream

sub replace {
    my ($self, $http) = @_;

    my @old = $self->workers;

    return $self->reload($http)
           && ClaudeRelay::wait_for(sub { !grep { kill 0, $_ } @old }, 20);
}


sub connect {
    my ($self, $port) = @_;

    return ClaudeRelay::Connection->new($port // $self->{port});
}


sub request {
    my ($self, $method, $uri, %opt) = @_;

    my $c = $self->connect($opt{port});

    my $r = $c->request($method, $uri, %opt)
              ->response(head => $method eq "HEAD");

    $c->close;

    $self->{id} = $r ? $r->header("x-request-id") : undef;

    return $r;
}


sub get {
    my ($self, $uri, @headers) = @_;

    return $self->request("GET", $uri, headers => \@headers);
}


sub post {
    my ($self, $uri, $body, @headers) = @_;

    return $self->request("POST", $uri, body => $body, headers => \@headers);
}


sub health {
    my ($self) = @_;

    return $self->request("GET", "/health?full", key => undef)->json;
}


sub control {
    my ($self, $method, $path, $json, @headers) = @_;

    my $s = IO::Socket::UNIX->new(Peer => "$self->{dir}/control.sock")
        or die "$self->{dir}/control.sock: $!\n";

    my $c = ClaudeRelay::Connection->new($s);
    my $body = ref $json ? ClaudeRelay::encode($json) : $json;

    # a refresh is waited for

    my $r = $c->request($method, $path, body => $body, key => undef,
                        headers => [@headers, "Connection: close"])
              ->response(head => $method eq "HEAD", timeout => 60);

    $c->close;

    return $r;
}


sub error_log { ClaudeRelay::slurp("$_[0]{dir}/error.log") }

sub access_log { ClaudeRelay::slurp("$_[0]{dir}/access.log") }


sub wait_error {
    my ($self, $regex, $seconds) = @_;

    return ClaudeRelay::wait_for(sub { $self->error_log =~ $regex }, $seconds);
}


sub wait_log {
    my ($self, $n) = @_;

    return ClaudeRelay::wait_for(sub { ($self->access_log =~ tr/\n//) >= $n });
}


# nginx writes the line after the answer is out

sub log {
    my ($self, $n) = @_;

    my $id = $self->{id};

    ClaudeRelay::wait_for(sub {
        my $log = $self->access_log;
        return defined $id ? $log =~ /"\Q$id\E".*\n/
                           : ($log =~ tr/\n//) >= ($n // 1);
    }, 2);

    my @lines = split /\n/, $self->access_log;

    if (defined $id && !defined $n) {
        my ($line) = grep { /"\Q$id\E"/ } @lines;
        return {} if !$line;

        # it was to find the line by

        $line = ClaudeRelay::json($line);
        delete $line->{upstream_id};
        return $line;
    }

    $n //= 1;
    @lines = @lines[-$n .. -1] if @lines > $n;
    @lines = map { ClaudeRelay::json($_) } @lines;

    return wantarray ? @lines : $lines[-1];
}


sub stop {
    my ($self) = @_;

    my $ended;

    # a binary upgrade leaves a process which is not our child

    my $now = ClaudeRelay::slurp("$self->{dir}/nginx.pid") =~ /(\d+)/ ? $1 : 0;
    my $pid = delete $self->{pid} // 0;

    for my $p (grep { $_ } $pid, $now == $pid ? 0 : $now) {
        my ($signal, $status)
            = ClaudeRelay::end($p, ["QUIT", 5],
                               ["TERM", $ClaudeRelay::TIMEOUT], ["KILL", 5]);

        $ended = $signal if !$ended || $signal ne "QUIT";
        $self->{end} = "nginx ended with status $status" if $status;
        $self->{end} = "nginx did not end before SIGKILL" if $signal eq "KILL";
    }

    return $ended;
}


sub complaints {
    my ($self) = @_;

    my @bad = grep { /\[(alert|crit|emerg)\]|AddressSanitizer|LeakSanitizer
                     |runtime\ error:|exited\ on\ signal/x }
                   split /\n/, $self->error_log
                               . ClaudeRelay::slurp("$self->{dir}/stderr");

    my @allowed = @{ $self->{opt}{allow} // [] };

    # who may be killed may be so with the zone's lock, which nginx then opens

    push @allowed, qr/shared memory zone "\w+" was locked by \d+/
        if grep { /exited on signal 9/ } @allowed;

    for my $allowed (@allowed) {
        @bad = grep { !/$allowed/ } @bad;
    }

    push @bad, $self->{end} if $self->{end};

    return @bad;
}


package ClaudeRelay::Connection;

use warnings;
use strict;

use IO::Socket::IP;
use Scalar::Util qw/ weaken /;
use Socket qw/ :all /;
use Time::HiRes qw/ time /;


sub new {
    my ($class, $to) = @_;

    my $s = $to;

    if (!ref $to) {
        my ($host, $port) = $to =~ /^(.*):(\d+)$/ ? ($1, $2)
                                                  : ("127.0.0.1", $to);
        $host =~ tr/[]//d;

        $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port,
                                 Type => SOCK_STREAM)
            or die "cannot connect to $to: $@\n";

        setsockopt $s, IPPROTO_TCP, TCP_NODELAY, 1;
    }

    my $self = bless { s => $s, in => "" }, $class;

    @ClaudeRelay::CONNECTIONS = grep { $_ } @ClaudeRelay::CONNECTIONS, $self;
    weaken($_) for @ClaudeRelay::CONNECTIONS;

    return $self;
}


sub socket { $_[0]{s} }

sub close { CORE::close($_[0]{s}) }

sub eof { $_[0]{eof} }


sub reset {
    my ($self) = @_;

    setsockopt $self->{s}, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0);
    CORE::close($self->{s});
}


# reads meanwhile, so that an early answer does not block both sides

sub send {
    my ($self, $bytes) = @_;

    my $s = $self->{s};
    my $end = time + $ClaudeRelay::TIMEOUT;
    my $off = 0;

    $s->blocking(0) if !$s->isa("IO::Socket::SSL");

    while ($off < length $bytes && time < $end) {
        my $n = syswrite $s, $bytes, 65536, $off;

        if (defined $n) {
            $off += $n;
            next;
        }

        last if !$!{EAGAIN} && !$!{EWOULDBLOCK};

        my ($w, $r) = ("", "");
        vec($w, fileno $s, 1) = 1;
        vec($r, fileno $s, 1) = 1;
        select $r, $w, undef, 1;

        $self->fill(0) if vec $r, fileno $s, 1;
        last if $self->{eof};
    }

    $s->blocking(1) if !$s->isa("IO::Socket::SSL");

    return $self;
}


sub request {
    my ($self, $method, $uri, %opt) = @_;

    my @headers = @{ $opt{headers} // [] };
    my $key = exists $opt{key} ? $opt{key} : $ClaudeRelay::KEY;
    my $body = $opt{body};

    unshift @headers, "Content-Type: application/json"
        if defined $body && !grep { /^content-type:/i } @headers;
    unshift @headers, "x-api-key: $key"
        if defined $key && !grep { /^(x-api-key|authorization):/i } @headers;
    unshift @headers, "Host: 127.0.0.1" if !grep { /^host:/i } @headers;

    push @headers, "Content-Length: " . length $body
        if defined $body
           && !grep { /^(content-length|transfer-encoding):/i } @headers;

    return $self->send(join("\r\n", "$method $uri HTTP/1.1", @headers)
                       . "\r\n\r\n" . ($body // ""));
}


# one read; 0 at the end or when the time is over

sub fill {
    my ($self, $seconds) = @_;

    return 0 if $self->{eof};

    my $s = $self->{s};

    if (!($s->isa("IO::Socket::SSL") && $s->pending)) {
        my $left = $seconds // $ClaudeRelay::TIMEOUT;
        my $r = "";

        vec($r, fileno $s, 1) = 1;

        my $n = select $r, undef, undef, $left > 0 ? $left : 0;

        return 0 if $n <= 0;
    }

    my $n = sysread $s, $self->{in}, 262144, length $self->{in};

    if (!$n && (defined $n || !($!{EAGAIN} || $!{EINTR}))) {
        $self->{eof} = 1;
        $self->{broken} = !defined $n;
    }

    return $n;
}


sub read_until {
    my ($self, $regex, $seconds) = @_;

    my $end = time + ($seconds // $ClaudeRelay::TIMEOUT);

    while ($self->{in} !~ $regex) {
        $self->fill($end - time);
        last if $self->{eof} || time >= $end;
    }

    return $self->{in};
}


sub closed {
    my ($self, $seconds) = @_;

    my $end = time + ($seconds // 2);

    while (!$self->{eof} && time < $end) {
        $self->fill($end - time);
    }

    return $self->{eof} ? 1 : 0;
}


# undef: no answer at all

sub response {
    my ($self, %opt) = @_;

    my @interim;

    while (1) {
        $self->read_until(qr/\r\n\r\n/, $opt{timeout});

        $self->{in} =~ s/^(.*?)\r\n\r\n//s or return undef;

        my $r = ClaudeRelay::Response->new($1);

        if ($r->status < 200 && $r->status != 101) {
            push @interim, $r->status;
            next;
        }

        $r->{interim} = \@interim;
        $self->body($r, %opt);

        return $r;
    }
}


sub body {
    my ($self, $r, %opt) = @_;

    $r->{complete} = 1;

    return if $opt{head} || $r->status == 204 || $r->status == 304;

    if (($r->header("transfer-encoding") // "") =~ /chunked/i) {
        return $self->chunked($r, %opt);
    }

    my $length = $r->header("content-length");

    while (!defined $length || length $self->{in} < $length) {
        last if !$self->fill($opt{timeout});
    }

    $r->{complete} = 0
        if defined $length ? length $self->{in} < $length
                           : !$self->{eof} || $self->{broken};

    $r->{body} = substr $self->{in}, 0, $length // length $self->{in}, "";
}


sub chunked {
    my ($self, $r, %opt) = @_;

    my ($in, $off) = (\$self->{in}, 0);

    while (1) {
        pos($$in) = $off;

        if ($$in =~ /\G([0-9A-Fa-f]+)[^\r\n]*\r\n/g) {
            my ($n, $from) = (hex $1, pos $$in);

            if ($n == 0) {
                if ($$in =~ /\G((?:[^\r\n]+\r\n)*)\r\n/g) {
                    $r->{trailers} = [split /\r\n/, $1];
                    substr $$in, 0, pos $$in, "";
                    return;
                }

            } elsif (length($$in) >= $from + $n + 2) {
                $r->{body} .= substr $$in, $from, $n;
                push @{ $r->{chunks} }, $n;
                $off = $from + $n + 2;
                next;
            }
        }

        if (!$self->fill($opt{timeout})) {
            $r->{complete} = 0;
            return;
        }
    }
}


package ClaudeRelay::Response;

use warnings;
use strict;


sub new {
    my ($class, $head) = @_;

    my ($line, @headers) = split /\r\n/, $head;
    my ($status, $reason) = $line =~ m{^HTTP/1\.[01] (\d{3}) ?(.*)$}
        or die "not an answer: $line\n";

    return bless {
        head => $head, status => $status, reason => $reason,
        headers => \@headers, body => "", trailers => [], chunks => [],
        interim => [],
    }, $class;
}


sub status { $_[0]{status} }

sub reason { $_[0]{reason} }

sub head { $_[0]{head} }

sub body { $_[0]{body} }

sub headers { @{ $_[0]{headers} } }

sub trailers { @{ $_[0]{trailers} } }

sub chunks { @{ $_[0]{chunks} } }

sub interim { @{ $_[0]{interim} } }

sub complete { $_[0]{complete} }

sub json { ClaudeRelay::json($_[0]{body}) }

sub type { eval { $_[0]->json->{error}{type} } }

sub message { eval { $_[0]->json->{error}{message} } }


sub header {
    my ($self, $name) = @_;

    my @values = map { /^\Q$name\E:[ \t]*(.*?)[ \t]*$/i ? $1 : () }
                     @{ $self->{headers} };

    return wantarray ? @values : $values[0];
}


sub events {
    my ($self) = @_;

    my @events;

    for my $block (split /\r?\n\r?\n/, $self->{body}) {
        my ($event) = $block =~ /^event: ?(.*?)\r?$/m;
        my @data = $block =~ /^data: ?(.*?)\r?$/mg;

        push @events, [$event, join "\n", @data] if defined $event || @data;
    }

    return @events;
}


1;
