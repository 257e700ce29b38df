#!/usr/bin/perl

# Refreshes for a client's request by way of an internal location of
# the operator's (claude_relay_token_location); and that no client takes a
# token along that leaves meanwhile.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $dir = tempdir("claude-relay-location-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $up = sandbox();
my $slow = asan() ? 4 : 1;

system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
       . " -keyout $dir/tls.key -out $dir/tls.pem -days 30"
       . " -subj /CN=token.test -addext subjectAltName=DNS:token.test"
       . " 2> $dir/openssl.log") == 0
    or die slurp("$dir/openssl.log");

my %seed;

sub seeded {
    my ($name, $more) = @_;

    my $seed = $seed{$name} //= $up->oauth_seed(name => $name);
    my $end = int(time + 3600);

    return account($name, "platform claude-oauth; pool $name;
        access_token $seed->{access}; refresh_token $seed->{refresh};
        expires $end; " . ($more // ""));
}


# a pool and a place for each way that a location may be: a request to
# /NAME/v1/... has "claude_relay_token_location /_NAME"

my %ways = (
    good => "",
    h2 => "",
    many => "",
    big => "proxy_buffer_size 4k; proxy_buffers 8 4k;",
    unbuffered => "proxy_buffering off;",
    chunked => "",
    page => "",
    broken => "",
    silent => "",
    missing => undef,
    failing => "return 500;",
    text => 'default_type text/html; return 403 "<html>no</html>";',
    denied => "deny all;",
    closing => "return 444;",
    refused => "proxy_pass http://127.0.0.1:1;",
    again => "proxy_pass http://127.0.0.1:1; error_page 502 = \@second;",
    untrusted => "proxy_pass https://127.0.0.1:%%PORT2%%/v1/oauth/token;
                  proxy_ssl_verify on; proxy_ssl_name token.test;
                  proxy_ssl_session_reuse off;
                  proxy_ssl_trusted_certificate
                      /etc/ssl/certs/ca-certificates.crt;",
    trusted => "proxy_pass https://127.0.0.1:%%PORT2%%/v1/oauth/token;
                proxy_ssl_verify on; proxy_ssl_name token.test;
                proxy_ssl_trusted_certificate $dir/tls.pem;",
    proxied => "",
    exit => "",
    shutdown => "",
);

my @ways = sort keys %ways;

my $proxy = canned(sub { tunnel(@_) });

sub tunnel {
    my ($request, $socket) = @_;
    spew("$dir/tunnels", "yes\n") if $request =~ /^CONNECT /;
    return "HTTP/1.1 502 no\r\nContent-Length: 0\r\n\r\n";
}

sub http {
    my (%opt) = @_;

    my $locations = "";

    for my $name (@ways) {
        $locations .= "location /$name/ { claude_relay; claude_relay_pool"
                      . " $name; claude_relay_token_location /_$name; }\n";
        next if !defined $ways{$name};

        my $pass = $ways{$name} =~ /proxy_pass|return/ ? ""
                   : "proxy_pass %%UP%%/v1/oauth/token;";

        $locations .= "location = /_$name { internal; $ways{$name} $pass
            proxy_set_header X-Operator $name;
            access_log %%DIR%%/token.log token; log_subrequest on; }\n";
    }

    my $accounts = join "", map {
        seeded($_, $_ eq "proxied"
                   ? "proxy http://127.0.0.1:" . $proxy->port . ";" : "")
    } @ways, "loop", "off";

    return <<"END";
@{[ zone_and_key() ]}
claude_relay_store $dir/db/relay.db secret=$dir/secret.key;
claude_relay_oauth claude-oauth token_url=%%UP%%/v1/oauth/token;
claude_relay_usage_poll off;
claude_relay_refresh ahead=1s timeout=2s;
claude_relay_token_location /_good;
$accounts
log_format token '\$uri|\$request_method|\$status|\$http_authorization'
                 '|\$http_cookie|\$content_type|\$content_length|\$args';
$opt{http}
server {
    listen 127.0.0.1:%%PORT%%;
    listen 127.0.0.1:%%PORT1%% http2;
    claude_relay_retry_wait 0;
    add_header X-Server yes;
    location = /health { claude_relay_health full=on; }
    location /loop/ { claude_relay; claude_relay_pool loop;
                      claude_relay_token_location /loop/v1/messages?a=b; }
    location /off/ { claude_relay; claude_relay_pool off;
                     claude_relay_token_location off; }
    $locations
    location \@second { proxy_pass %%UP%%;
                        proxy_set_header X-Operator second;
                        rewrite ^ /v1/oauth/token break; }
}
server {
    listen 127.0.0.1:%%PORT2%% ssl;
    ssl_certificate $dir/tls.pem;
    ssl_certificate_key $dir/tls.key;
    location / { proxy_pass %%UP%%; proxy_set_header X-Operator tls; }
}
END
}

sub start {
    return nginx(http(http => ""), level => "debug", @_);
}

my $nginx = start(workers => 1);

sub ask_for {
    my ($name, @headers) = @_;
    return $nginx->post("/$name/v1/messages", message(), @headers);
}

sub eventually {
    my ($what, $seconds) = @_;

    my $end = time + ($seconds // 5) * $slow;
    sleep 0.02 until $what->() || time > $end;
    return $what->();
}

sub rotations { return $up->oauth_chain($_[0])->{rotations} }

sub revoke { $up->oauth(do => "revoke-access", chain => $_[0]) }

sub tokens { grep { $_->{target} =~ m{^/v1/oauth/token} } $up->last(200) }


# through the location, with nothing of the client's

# (the worker's own timer may find the refused token first, and has no request
# that could go there)

my ($r, $t, $head, $times);

for (1 .. 3) {
    revoke("good");

    $r = ask_for("good", "Cookie: secret=1", "X-Private: yes",
                 "User-Agent: client");
    $times++;

    ($t) = (tokens())[-1];
    $head = join "\n", @{ $t->{headers} };

    last if $head =~ /^X-Operator/m;
}

is($r->status, 200, "a refresh through the location");
is(rotations("good"), $times, "has happened");

is($t->{method}, "POST", "it is a POST");
like($head, qr/^X-Operator: good$/mi, "the location's own header is there");
like($head, qr/^Content-Type: application\/json$/mi, "it is JSON");
like($head, qr/^Content-Length: $t->{body_length}$/mi, "it has a length");
like($head, qr/^User-Agent: claude-relay\/[\d.]+$/mi, "it is the relay's");
unlike($head, qr/cookie|private|authorization|x-api-key|anthropic-/i,
       "nothing of the client's is");
is(scalar @{ $t->{headers} }, scalar(() = $head =~ /^(?:
       X-Operator|Content-Type|Content-Length|User-Agent|Accept|Host|Connection
   ):/gmix), "nor anything else");

sub token_log {
    my @lines;
    my $file = $nginx->dir . "/token.log";
    eventually(sub { -e $file && (@lines = split /\n/, slurp($file)) }, 1);
    return @lines;
}

like((token_log())[-1], qr{^/_good\|POST\|200\|-\|-\|application/json\|\d+\|-$},
     "the location's log has it");

is($nginx->get("/_good")->status, 404, "clients cannot get there");


# "off", and where it is inherited from

revoke("off");
is(ask_for("off")->status, 200, "off: a refresh");
unlike(join("\n", @{ (tokens())[-1]{headers} }), qr/^X-Operator/mi,
       "off: goes without the location");


# forms of answers

$up->oauth(do => "answer=$_->[1]", chain => $_->[0])
    for ["chunked", "chunked"], ["unbuffered", "dribble%3D20"];

# access rules are for clients, as in any subrequest

for my $name ("chunked", "unbuffered", "trusted", "denied", "again") {
    revoke($name);
    is(ask_for($name)->status, 200, "$name: served");
    is(rotations($name), 1, "$name: refreshed");
}

is((grep { /^X-Operator/i } @{ (tokens())[-1]{headers} })[0],
   "X-Operator: second", "again: the second place of error_page");

my $pad = "x" x 30000;
my $body = encode({ token_type => "Bearer", access_token => "sk-ant-oat01-big",
                    refresh_token => "sk-ant-ort01-big", expires_in => 28800,
                    scope => "user:inference", pad => $pad });
$up->oauth(do => "token-body", body => $body, chain => "big");
$up->oauth(do => "fail=body", chain => "big");
revoke("big");
is(ask_for("big")->status, 200, "big: an answer beyond all of its buffers");
is($up->header("authorization"), "Bearer sk-ant-oat01-big",
   "big: is read to its end");


# failures: the client is told, the account is not dead, a timer tries again
# without the location

my %failures = (
    failing => qr/.*500/,
    text => qr/.*403/,
    closing => qr/.*closed before an answer/,
    missing => qr/.*404/,
    refused => qr/.*no connection/,
    untrusted => qr/.*no connection/,
);

for my $name (sort keys %failures) {
    revoke($name);

    my $at = time;
    $r = ask_for($name);
    is($r->status, 401, "$name: the client is told")
        or diag($nginx->log->{attempts});
    ok($nginx->wait_error(
           qr/refresh of account "$name" failed: $failures{$name}/),
       "$name: the log says why")
        or diag(grep { !/debug/ && /$name/ } map { "$_\n" }
                split /\n/, $nginx->error_log);
    is(rotations($name), 0, "$name: the token is as it was") if time - $at < 1;
}

for my $name (sort keys %failures) {
    ok(eventually(sub { rotations($name) == 1 }, 10),
       "$name: a timer refreshes without the location");
    is(ask_for($name)->status, 200, "$name: serves again");
}

revoke("loop");
is(ask_for("loop")->status, 401, "loop: into the relay itself");
ok($nginx->wait_error(qr/"claude_relay_token_location" leads into a location/),
   "loop: the log says why");
ok(eventually(sub { rotations("loop") == 1 }, 10), "loop: a timer helps");

$up->oauth(do => "fail=html", chain => "page");
revoke("page");
is(ask_for("page")->status, 401, "page: the edge's own page");
ok(eventually(sub { rotations("page") == 1 }, 10), "page: is for now only");

# what may have been read is said to be uncertain

$up->oauth(do => "fail=close-before", chain => "broken");
revoke("broken");
is(ask_for("broken")->status, 401, "broken: no answer");
ok($nginx->wait_error(qr/"broken" failed: the connection was closed before/),
   "broken: the log says why");
ok(eventually(sub { rotations("broken") == 1 }, 10), "broken: tried again");
ok($nginx->wait_error(qr/refresh of account "broken" that was begun .* never/),
   "broken: as one that may have been read");

$up->oauth(do => "fail=hang-before", chain => "silent");
revoke("silent");
my $start = time;
is(ask_for("silent")->status, 401, "silent: no answer in time");
cmp_ok(time - $start, "<", 2 + 3 * $slow, "silent: by the relay's own clock");
ok($nginx->wait_error(qr/"silent" failed: no answer in time/),
   "silent: the log says why");
ok(eventually(sub { rotations("silent") == 1 }, 10), "silent: tried again");


# an account with a proxy goes through that, which a location cannot

revoke("proxied");
unlink "$dir/tunnels";
ask_for("proxied");
ok(-e "$dir/tunnels", "an account's proxy is not passed by");
is(rotations("proxied"), 0, "nothing went through the location");


# clients that leave

sub leave {
    my ($name, $rounds, $go) = @_;

    my $before = rotations($name);

    $up->oauth(do => "before=150,after=50", chain => $name);

    for my $n (1 .. $rounds) {
        revoke($name);
        my $client = $go->("/$name/v1/messages");
        eventually(sub { $up->oauth_chain($name)->{in_flight} })
            or diag("$name: no refresh in flight");
        sleep 0.2 * rand;
        $client->();
        eventually(sub { rotations($name) == $before + $n }) or last;
    }

    $up->oauth(do => "clear", chain => $name);

    is(rotations($name), $before + $rounds, "$name: each one rotated once");
    is(ask_for($name)->status, 200, "$name: the newest token serves");
    is($up->header("authorization"),
       "Bearer " . $up->oauth_chain($name)->{access}, "$name: it is that");
    is(rotations($name), $before + $rounds, "$name: none is asked for again");
    is($up->oauth_chain($name)->{reuses}, 0, "$name: none was used twice");
}

my $rounds = asan() ? 8 : 20;

leave("good", $rounds, sub {
    my $c = $nginx->connect;
    $c->request("POST", $_[0], body => message());
    return sub { int(rand 2) ? $c->reset : $c->close };
});

SKIP: {
    skip "no curl with HTTP/2", 5 if `curl -V` !~ /HTTP2/;

    spew("$dir/body", message());

    leave("h2", $rounds, sub {
        my $pid = fork() // die "fork: $!";
        if ($pid == 0) {
            open STDOUT, ">", "/dev/null";
            open STDERR, ">", "/dev/null";
            exec "curl", "-s", "--http2-prior-knowledge", "-m", 10,
                 "-H", "X-Api-Key: $ClaudeRelay::KEY", "--data-binary",
                 "\@$dir/body", "-H", "Content-Type: application/json",
                 "http://127.0.0.1:" . port(1) . $_[0];
            exit 1;
        }
        return sub { kill "KILL", $pid; waitpid $pid, 0 };
    });
}


# who began it leaves, the others wait for it and are served

$up->oauth(do => "before=300", chain => "many");
revoke("many");

my @clients = map {
    my $c = $nginx->connect;
    $c->request("POST", "/many/v1/messages", body => message());
    $c;
} 1 .. 10;

eventually(sub { $up->oauth_chain("many")->{in_flight} });
$clients[0]->reset;
is(scalar(grep { $_->response->status == 200 } @clients[1 .. 9]), 9,
   "many: the first one leaves, all others are served");
is(rotations("many"), 1, "many: by one refresh");
$up->oauth(do => "clear", chain => "many");


# the end of a worker

$up->oauth(do => "before=600", chain => "exit");
revoke("exit");

my $c = $nginx->connect;
$c->request("POST", "/exit/v1/messages", body => message());
eventually(sub { $up->oauth_chain("exit")->{in_flight} });
$c->reset;
$nginx->stop;

is(rotations("exit"), 1, "exit: the worker has waited");
$up->oauth(do => "clear", chain => "exit");

my $main = asan() ? "" : "worker_shutdown_timeout 100ms;";

$nginx = start(workers => 1, main => $main);

is(ask_for("exit")->status, 200, "exit: its token serves after a restart");
is(rotations("exit"), 1, "exit: no other was needed");

SKIP: {
    skip "one process", 4 if asan();

    $up->oauth(do => "before=900", chain => "shutdown");
    revoke("shutdown");

    $c = $nginx->connect;
    $c->request("POST", "/shutdown/v1/messages", body => message());
    eventually(sub { $up->oauth_chain("shutdown")->{in_flight} });
    $nginx->reload;

    ok(eventually(sub { rotations("shutdown") == 1 }),
       "shutdown: a refresh outlives worker_shutdown_timeout");
    $up->oauth(do => "clear", chain => "shutdown");
    ok(eventually(sub { ask_for("shutdown")->status == 200 }),
       "shutdown: its token serves");
    is(rotations("shutdown"), 1, "shutdown: no other was needed");
    is($up->oauth_chain("shutdown")->{reuses}, 0, "shutdown: none used twice");
}

is($up->oauth_report->{counters}{reuses}, 0, "no token was used twice");


# what is never in a log

my $logs = join "", map { slurp($_) } glob($nginx->dir . "/*.log");

unlike($logs, qr/sk-ant-o[ar]t/, "no token in any log");


# bad values

for (["token", qr/is not the URI of a location/],
     ["http://127.0.0.1/", qr/is not the URI of a location/],
     ["\"\"", qr/is not the URI of a location/])
{
    my ($ok, $said) = config(relay_http(
                             location => "claude_relay_token_location $_->[0];"));
    is($ok, 0, "bad value $_->[0]");
    like($said, $_->[1], "is told");
}

my ($ok, $said) = config(relay_http(location => "claude_relay_token_location /a;
                                     claude_relay_token_location /b;"));
like($said, qr/"claude_relay_token_location" directive is duplicate/,
     "duplicate");

finish();
