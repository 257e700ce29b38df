#!/usr/bin/perl

# The audit log (F184, F187): what is kept of a request, what is not, and what
# becomes of it when the disk, nginx or an operator does what it does.

use warnings;
use strict;

no warnings qw/ portable /;

use Compress::Zlib ();
use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ sleep time /;

use ClaudeRelay;
use ClaudeRelayCommand;


# whatever happens, nothing stays mounted

my $mounted;

END { local $?; system("umount -l $mounted; rmdir $mounted") if $mounted }


# all that must never be found in the file, its log, an answer or error.log

my $seed_name = "seeded";
my %planted = (
    relay_key => "alice-secret-0001",
    account_key => "sk-ant-one-000001",
    cookie => "planted-cookie-value-77",
    proxy_auth => "planted-proxy-basic-77",
    x_google => "AIzaPlanted0123456789abcdefghijklm",
    body_key => "sk-ant-api03-planted-in-a-body-77",
    body_password => "planted-password-in-a-body-77",
    body_nested => "planted-nested-secret-77",
    body_operator => "acme_planted_operator_77",
    body_licence => "planted-licence-77",
    query => "planted-query-token-77",
    custom_header => "planted-custom-header-77",
    aws => "AKIAPLANTED01234567X",
    jwt => "eyJhbGciOiJIUzI1NiJ9.eyJwbGFudGVkIjoxfQ.plantedSig77",
    set_cookie => "planted-set-cookie-77",
    answer => "ghp_plantedInAnAnswer0123456789",
);

$ClaudeRelay::KEY = $planted{relay_key};

my $up = sandbox();
my $seed = $up->oauth_seed(name => $seed_name);

$planted{access} = $seed->{access};
$planted{refresh} = $seed->{refresh};


sub http {
    my %opt = @_;

    my $log = $opt{log} // "claude_relay_audit_log %%DIR%%/audit.db;";

    return relay_http(
        http => "claude_relay_zone relay:2m;
                 claude_relay_store %%DIR%%/relay.db secret=%%DIR%%/relay.key;
                 claude_relay_usage_poll off;
                 claude_relay_oauth claude-oauth
                     token_url=%%UP%%/v1/oauth/token
                     authorize_url=%%UP%%/oauth/authorize;
                 claude_relay_control unix:control.sock;
                 claude_relay_audit_redact token acme_;
                 claude_relay_audit_redact field licence;
                 claude_relay_audit_redact field X-Custom;
                 $log",
        accounts => account("one", $opt{one} // "")
                    . account("conf", "platform claude-oauth; pool tokens;
                                       access_token $seed->{access};
                                       refresh_token $seed->{refresh};"),
        keys => "claude_relay_key alice { secret $planted{relay_key}; }
                 claude_relay_key bob { secret bob-secret-00000002; }",
        location => $opt{location}
                    // "claude_relay_audit on body=16k response=16k;",
        server => $opt{server}
                  // "location /off/ { claude_relay; claude_relay_audit off; }
                      location /meta/ { claude_relay; claude_relay_audit on; }
                      location /tokens/ { claude_relay;
                          claude_relay_pool tokens;
                          claude_relay_audit on body=16k response=16k; }
                      location /sampled/ { claude_relay;
                          claude_relay_audit on sample=20% errors=off; }
                      location /errors/ { claude_relay;
                          claude_relay_audit on sample=0% body=1k
                                             response=1k; }
                      location /file/ { claude_relay;
                          client_body_buffer_size 1k;
                          claude_relay_audit on body=64k; }
                      location /limited/ { claude_relay;
                          limit_except POST { deny all; }
                          claude_relay_audit on response=4k; }",
    );
}


my $nginx = nginx(http(), workers => 2, allow => [ qr/exited on signal 9/ ]);
my @told;


# JSON of a call, or undef

sub audit {
    my ($path) = @_;

    my $r = $nginx->control("GET", "/v1/audit$path");
    push @told, $r->body;

    diag($r->status . " " . $r->body) if $r->status !~ /^(200|404)$/;

    return $r->status == 200 ? $r->json : undef;
}


# the entry of an answer: what was written takes a moment

sub entry {
    my ($r) = @_;

    my $id = $nginx->log->{request_id};
    my $entry;

    wait_for(sub { $entry = audit("/$id") }, 10);

    return $entry;
}


# what is configured and what is not

for ([ "claude_relay_audit on;", qr/needs "claude_relay_audit_log" or/ ],
     [ "claude_relay_audit maybe;", qr/is "off", or "on"/ ],
     [ "claude_relay_audit off body=1k;", qr/is "off", or "on"/ ],
     [ "claude_relay_audit on sample=200%;", qr/from 0% to 100%/ ],
     [ "claude_relay_audit on sample=10;", qr/from 0% to 100%/ ],
     [ "claude_relay_audit on body=9m;", qr/8m of a body at most/ ],
     [ "claude_relay_audit on errors=perhaps;",
       qr/invalid parameter "errors=perhaps"/ ],
     [ "claude_relay_audit_log a disk=1k;", qr/1m of "disk="/ ],
     [ "claude_relay_audit_log a keep=soon;", qr/invalid parameter "keep=soon"/ ],
     [ "claude_relay_audit_log a buffer=1k;", qr/64k of "buffer="/ ],
     [ "claude_relay_audit_log a; claude_relay_audit_log b;",
       qr/is duplicate/ ],
     [ "claude_relay_audit_redact regex a.*;", qr/takes "token" and/ ],
     [ "claude_relay_audit_redact token ab;", qr/3 characters/ ],
     [ "claude_relay_audit_redact field 'a b';", qr/needs a name/ ])
{
    my ($line, $regex) = @$_;
    my ($ok, $said) = config(relay_http(http => $line));
    ok(!$ok && $said =~ $regex, "-t: $line") || diag($said);
}

my ($fine, $words) = config(relay_http(
    http => "claude_relay_audit_log a keep=1d disk=10m buffer=1m;",
    location => "claude_relay_audit on sample=0.5% body=1k response=1k"
                . " errors=off;"));
ok($fine, "-t: fine") || diag($words);


# metadata

my $r = $nginx->post("/v1/messages?beta=true", message(text => "hello there"),
                     "user-agent: claude-cli/2.0.1 (external, cli)");
my $e = entry($r);

is($e->{status}, 200, "F184: status");
is($e->{key}, "alice", "F184: key");
is($e->{account}, "one", "F184: account");
is($e->{platform}, "anthropic", "F184: platform");
is($e->{method}, "POST", "F184: method");
is($e->{uri}, "/v1/messages?beta=true", "F184: URI");
is($e->{address}, "127.0.0.1", "F184: address");
is($e->{op}, "messages", "F184: operation");
is($e->{class}, "ok", "F184: class");
is($e->{provider_id}, $r->header("request-id"), "F184: the provider's id");
like($e->{trail}, qr/^one:200:/, "F184: attempts");
cmp_ok($e->{tokens}{output}, "==", 5, "F184: tokens");
cmp_ok(abs($e->{time_ms} / 1000 - time), "<", 60, "F184: time");
ok($e->{sampled} && !$e->{stream}, "F184: flags");

is($e->{request}{body}, message(text => "hello there"),
   "F187: the request's body");
is($e->{response}{body}, $r->body, "F187: the answer's body");
is($e->{request}{size}, length message(text => "hello there"), "its size");
ok(!$e->{request}{truncated} && !$e->{response}{truncated}, "all of both");
ok(scalar(grep { /^user-agent: claude-cli/i } @{ $e->{request}{headers} }),
   "headers of the request") || diag(encode($e));
ok(scalar(grep { /^content-type: application\/json/i }
          @{ $e->{response}{headers} }), "headers of the answer");
ok(scalar(grep { lc $_ eq "x-api-key: [redacted]" }
          @{ $e->{request}{headers} }), "the key is left out, by its name")
    || diag(encode($e));


# a stream

$r = $nginx->post("/v1/messages", stream(text => "hello"));
$e = entry($r);

ok($e->{stream}, "F184: a stream");
is($e->{response}{body}, $r->body, "F187: as the client has it");
is($e->{response}{size}, length $r->body, "its size");


# gzip of the upstream's

for my $kind ("message", "stream") {
    $r = $nginx->post("/v1/messages", $kind eq "stream"
        ? stream(text => "sandbox(gzip)") : message(text => "sandbox(gzip)"));
    $e = entry($r);

    ok($e->{decoded}, "gzip, $kind: said so");
    is($e->{response}{body}, Compress::Zlib::memGunzip($r->body),
       "gzip, $kind: is kept plain");
    is($e->{response}{size}, length $r->body, "gzip, $kind: its size is not");
}


# truncation; bodies that nginx puts into a file

$r = $nginx->post("/v1/messages", message(text => "sandbox(json-size=100000)"
                                                  . "x" x 50000));
$e = entry($r);

ok($e->{request}{truncated}, "cut: request");
cmp_ok(length $e->{request}{body}, "<=", 16384, "cut: request, length");
cmp_ok(length $e->{request}{body}, ">", 16000, "cut: and no shorter");
cmp_ok($e->{request}{size}, ">", 50000, "cut: request, true size");
ok($e->{response}{truncated}, "cut: answer");
cmp_ok(length $e->{response}{body}, "<=", 16384, "cut: answer, length");
is($e->{response}{size}, length $r->body, "cut: answer, true size");

$r = $nginx->post("/file/v1/messages", message(text => "y" x 30000));
$e = entry($r);
is($e->{request}{body}, message(text => "y" x 30000), "a body in a file");
is($e->{response}{body}, undef, "none of the answer, as written");


# off, and metadata only

$nginx->post("/off/v1/messages", message());
my $off = $nginx->log->{request_id};
$r = $nginx->post("/meta/v1/messages", message());
$e = entry($r);
is($e->{status}, 200, "metadata only");
is($e->{request}{body}, undef, "metadata only: no request");
is($e->{response}{body}, undef, "metadata only: no answer");
ok(!audit("/$off"), "off: nothing");
is($nginx->control("GET", "/v1/audit/nothing-like-it")->status, 404,
   "not found: 404");


# answers of our own and of nginx

$r = $nginx->post("/v1/messages", "{\"model\":");
is($r->status, 400, "a broken body");
$e = entry($r);
is($e->{status}, 400, "a broken body is kept");
is($e->{request}{body}, "{\"model\":", "as it was");
is($e->{response}{body}, $r->body, "with our answer");

$r = $nginx->post("/v1/messages", message(text => "sandbox(status=400)"));
$e = entry($r);
is($e->{response}{body}, $r->body, "an error of the upstream");
is($e->{class}, "client", "and its class") || diag(encode($e));

$r = $nginx->post("/v1/messages", message(text => "sandbox(status=529)"));
$e = entry($r);
cmp_ok($e->{status}, ">=", 500, "nobody answers");
like($e->{trail}, qr/^one:529:/, "what was tried");
is($e->{response}{body}, $r->body, "what was told");
$nginx->control("POST", "/v1/accounts/one/reset");

my $before = audit("?limit=1")->{last};
is($nginx->request("POST", "/v1/messages", body => message(),
                   key => "a-wrong-key-000")->status, 401, "a wrong key");


# errors only; sampled by the id, the same in whatever worker

$r = $nginx->post("/errors/v1/messages", message());
my $good = $nginx->log->{request_id};
$r = $nginx->post("/errors/v1/messages", message(text => "sandbox(status=400)"
                                                 . "z" x 5000));
$e = entry($r);
ok(!$e->{sampled}, "F184: errors: not sampled, but kept");
is($e->{response}{body}, $r->body, "errors: with its body");
ok($e->{request}{truncated} && length $e->{request}{body} <= 1024,
   "errors: and the begin of the request's");
ok(!audit("/$good"), "errors: not those that went well");
is(audit("?after=$before&status=401")->{entries}[0], undef,
   "wrong keys fill no log");


# FNV-1a and a mix, as ncr_audit_sampled() has it

sub sampled {
    my ($id, $share) = @_;
    use integer;

    my $h = -3750763034362895579;

    $h = ($h ^ ord) * 1099511628211 for split //, $id;

    my $shift = sub { my $x = shift; no integer;
                      return ($x & 0xFFFFFFFFFFFFFFFF) >> 32; };

    $h ^= $shift->($h);
    $h *= -2960836687051489901;
    $h ^= $shift->($h);

    no integer;
    return ($h & 0xFFFFFFFFFFFFFFFF) % 10000 < $share;
}

my %want;

for (1 .. 120) {
    $nginx->post("/sampled/v1/messages", message());
    $want{$nginx->log->{request_id}} = 1;
}

my @expected = sort grep { sampled($_, 2000) } keys %want;
my @kept;

wait_for(sub {
    @kept = sort map { $_->{id} }
            grep { $want{$_->{id}} } @{ audit("?limit=1000")->{entries} };
    return @kept >= @expected;
}, 10);

cmp_ok(scalar @expected, ">", 5, "sampling: some");
cmp_ok(scalar @expected, "<", 60, "sampling: not all");
is("@kept", "@expected", "F184: sampling: those whose id says so");


# F184, F185: planted secrets

sub planted_body {
    return encode({
        model => "claude-sonnet-4-6", max_tokens => 100,
        messages => [ { role => "user", content =>
            "my key is $planted{body_key}, {\"secret\":\"$planted{body_nested}\"}"
            . " $planted{body_operator} $planted{aws} $planted{jwt} and"
            . " Bearer $planted{access} or $planted{relay_key}"
            . " http://me:$planted{proxy_auth}\@proxy:1/"
            . ($_[0] // "") } ],
        metadata => { user_id => "u" },
        password => $planted{body_password},
        licence => $planted{body_licence},
    });
}

my @headers = (
    "cookie: sid=$planted{cookie}; theme=dark",
    "proxy-authorization: Basic $planted{proxy_auth}",
    "x-custom: $planted{custom_header}",
);

for my $where ("", "/tokens") {
    for my $more ("", " " x 3000 . $planted{body_key} . " x" x 3000) {
        $r = $nginx->post("$where/v1/messages?access_token=$planted{query}"
                          . "&key=$planted{relay_key}",
                          planted_body($more), @headers);
        is($r->status, 200, "planted: served$where") || diag($r->body);
        $e = entry($r);
        like($e->{request}{body}, qr/my key is \[redacted\], /,
             "planted: the body is there$where") || diag(encode($e));
    }
}

# an answer with secrets in it: the account's own key, too

my $evil = canned(sub {
    my $body = encode({ type => "error", error => { type => "api_error",
        message => "key $planted{account_key} token $planted{answer}"
                   . " for $planted{relay_key}" } });
    return "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"
           . "Set-Cookie: a=$planted{set_cookie}\r\nX-Note: $planted{answer}\r\n"
           . "Content-Length: " . length($body) . "\r\n\r\n$body";
});

ok($nginx->replace(http(one => "base_url " . $evil->url . ";")),
   "planted: another upstream");

$r = $nginx->post("/v1/messages", message());
is($r->status, 400, "planted: an answer");
$e = entry($r);
like($e->{response}{body} // "", qr/key \[redacted\] token \[redacted\]/,
     "planted: redacted in the answer") || diag(encode($e));

# its answer tells alice's secret to whoever asks: nobody else may

ok($nginx->replace(http()), "planted: the upstream that was");
is($nginx->post("/v1/messages", message())->status, 200, "planted: answers");
$evil->stop;


# every byte of the file, its log, and all texts out of it

sub leaks {
    my ($text, $where) = @_;

    for my $name (sort keys %planted) {
        ok(index($text, $planted{$name}) < 0, "F184: $where: no $name")
            || diag(substr($text, ($_ = index($text, $planted{$name})) > 60
                                  ? $_ - 60 : 0, 120));
    }
}

sub unpacked {
    my ($path) = @_;

    my @blobs = `sqlite3 $path "SELECT hex(request_headers) || ' ' ||
        hex(response_headers) || ' ' || hex(ifnull(request, '')) || ' ' ||
        hex(ifnull(response, '')) FROM entries"`;

    return join "\n", map {
        my $blob = pack "H*", $_;
        $blob eq "" ? ""
            : ord $blob ? Compress::Zlib::uncompress(substr $blob, 5)
                        : substr $blob, 1;
    } map { split } @blobs;
}

my $path = $nginx->dir . "/audit.db";

is(sprintf("%o", (stat $path)[2] & 07777), "600", "the file is 0600");

my $texts = unpacked($path);
like($texts, qr/my key is \[redacted\]/, "there is something to look through");

leaks(join("", map { -e $_ ? slurp($_) : "" } $path, "$path-wal"), "file");
leaks($texts, "texts");
leaks(join("\n", @told), "answers");
leaks($nginx->error_log, "error.log");


# searches

my $all = audit("?limit=1000");
is($all->{next}, undef, "search: all of them");
cmp_ok(scalar @{ $all->{entries} }, ">", 20, "search: many");
cmp_ok($all->{bytes}, ">", 4096, "search: bytes");
is($all->{dropped}, 0, "search: none was dropped");

$r = $nginx->request("POST", "/v1/messages", body => message(),
                     key => "bob-secret-00000002",
                     headers => [ "content-type: application/json" ]);
entry($r);
is(scalar @{ audit("?key=bob")->{entries} }, 1, "search: key");
is(scalar @{ audit("?key=nobody")->{entries} }, 0, "search: another key");
is(scalar(grep { $_->{account} ne "conf" } @{ audit("?account=conf")->{entries} }),
   0, "search: account");
is(scalar(grep { $_->{status} != 400 } @{ audit("?status=400")->{entries} }),
   0, "search: status");
cmp_ok(scalar @{ audit("?status=4xx")->{entries} }, ">=", 4, "search: 4xx");
cmp_ok(scalar @{ audit("?since=1h&limit=1000")->{entries} }, ">", 20,
       "search: since");
is(scalar @{ audit("?until=2020-01-01T00:00:00Z")->{entries} }, 0,
   "search: until");

my ($next, @pages) = (undef);

for (1 .. 200) {
    my $page = audit("?limit=7" . (defined $next ? "&before=$next" : ""));
    push @pages, map { $_->{number} } @{ $page->{entries} };
    $next = $page->{next} // last;
}

is("@pages", join(" ", sort { $b <=> $a } @pages), "search: pages, downwards");
is(scalar @pages, scalar(@{ $all->{entries} }) + 1, "search: pages, all");

my $page = audit("?after=$pages[-1]&limit=3");
is("@{[ map { $_->{number} } @{ $page->{entries} } ]}",
   "@{[ (reverse @pages)[1 .. 3] ]}", "search: after, upwards");

for my $bad (qw/ what=1 status=1 status=42x limit=0 limit=1001 after=x
                 since=yesterday bodies=maybe id= key=%00 key=%zz /)
{
    $r = $nginx->control("GET", "/v1/audit?$bad");
    is($r->status, 400, "search: $bad: 400");
}

$e = audit("?limit=1&bodies=on")->{entries}[0];
ok(exists $e->{request}{headers}, "search: with bodies");
ok(!exists audit("?limit=1")->{entries}[0]{request}, "search: without");


# the command line

my $cli = ClaudeRelayCommand->new(socket => $nginx->dir . "/control.sock");

is($cli->run("logs"), 0, "logs");
like($cli->out, qr/^NUMBER +TIME +STATUS/, "logs: a table");
like($cli->out, qr/alice +one/, "logs: rows");
is($cli->run("logs", "--key", "bob"), 0, "logs --key");
is(scalar(() = $cli->out =~ /^\d+ /mg), 1, "logs --key: one");
is($cli->run("logs", "--status", "4xx", "--since", "1h"), 0, "logs --status");
unlike($cli->out, qr/ 200 /, "logs --status: none else");
is($cli->run("logs", "--json", "--limit", "2"), 0, "logs --json");
is(scalar @{ json($cli->out)->{entries} }, 2, "logs --json --limit");

is($cli->run("logs", "show", $e->{id}), 0, "logs show");
like($cli->out, qr/^id +\Q$e->{id}\E$/m, "logs show: its id");
like($cli->out, qr/"messages"/, "logs show: its body");
is($cli->run("logs", "show", "nothing-like-it"), 1, "logs show: nothing");

is($cli->run("logs", "export"), 0, "F187: logs export");
my @lines = split /\n/, $cli->out;
is(scalar @lines, scalar @pages, "F187: export: all of them, a line each");
is(scalar(grep { !eval { json($_)->{request}{headers} } } @lines), 0,
   "F187: export: JSON, with bodies");
is("@{[ map { json($_)->{number} } @lines ]}", "@{[ reverse @pages ]}",
   "F187: export: the oldest first");
leaks($cli->out, "export");

is($cli->run("logs", "export", "--after", $pages[1]), 0, "logs export --after");
is(scalar(() = $cli->out =~ /\n/g), 1, "logs export --after: the rest");
is($cli->run("logs", "what"), 2, "logs what: usage");
is($cli->run("logs", "--after", "1"), 2, "logs --after: usage");

my $tail = $cli->start("logs", "tail");
sleep 1.5;
$nginx->post("/v1/messages", message(text => "for the tail"));
my $tail_id = $nginx->log->{request_id};
ok(wait_for(sub { $cli->out =~ /\Q$tail_id\E/ }, 10), "logs tail: shows it");
kill "TERM", $tail;
$cli->end;


# a reload, and kill -9: the file is sound, what was answered is there

sub integrity {
    my $said = `sqlite3 $path "PRAGMA integrity_check" 2>&1`;
    chomp $said;
    return $said;
}

$nginx->reload(http());
$r = $nginx->post("/v1/messages", message(text => "after a reload"));
ok(entry($r), "after a reload");

for my $round (1 .. 3) {
    my $pid = fork // die;

    if (!$pid) {
        for (1 .. 200) {
            my $c = eval { $nginx->connect } or next;
            eval { $c->request("POST", "/v1/messages", body => planted_body());
                   $c->response; };
        }
        require POSIX;
        POSIX::_exit(0);
    }

    sleep 0.3 + rand 0.3;
    kill "KILL", $nginx->workers;
    waitpid $pid, 0;

    wait_for(sub { scalar(@{[ $nginx->workers ]}) == 2 }, 10);
    $r = undef;
    wait_for(sub { eval { ($r = $nginx->post("/v1/messages", message()))
                          ->status == 200 } }, 10);
    is($r->status, 200, "kill -9, $round: served");
    ok(entry($r), "kill -9, $round: kept");
    is(integrity(), "ok", "kill -9, $round: the file is sound");
}

leaks(join("", map { -e $_ ? slurp($_) : "" } $path, "$path-wal"),
      "file after kill -9");

$nginx->stop;
is(integrity(), "ok", "stopped: the file is sound");


# deleted and broken while nginx runs

$nginx = nginx(http(), workers => 1);
$path = $nginx->dir . "/audit.db";
ok(entry($nginx->post("/v1/messages", message())), "another one");

unlink $path;
ok(entry($nginx->post("/v1/messages", message())), "deleted: made anew");
is(scalar @{ audit("?limit=10")->{entries} }, 1, "deleted: and empty before");
$nginx->stop;

{
    open my $file, "+<", $path or die;
    for my $at (map { 110 + 16 * $_ } 0 .. 240) {
        seek $file, $at, 0;
        print $file "BROKEN BROKEN";
    }
}

my $dir = $nginx->dir;
$nginx = nginx(http(log => "claude_relay_audit_log $path;"), workers => 1,
               allow => [ qr/audit log/ ]);
ok(entry($nginx->post("/v1/messages", message())), "broken: made anew");
ok(-e "$path-broken", "broken: set aside");
like($nginx->wait_error(qr/audit log: .*was broken/) ? $nginx->error_log : "",
     qr/audit log: "\S+audit\.db" was broken and is set aside/, "broken: told");
$nginx->stop;


# one that is somebody else's is left alone, and requests go on

spew("$dir/diary", "dear diary");
$nginx = nginx(http(log => "claude_relay_audit_log $dir/diary;"), workers => 1);
is($nginx->post("/v1/messages", message())->status, 200, "not ours: served");
ok($nginx->wait_error(qr/audit log: .*diary": .*not a database/),
   "not ours: told");
is(slurp("$dir/diary"), "dear diary", "not ours: left as it is");
is($nginx->control("GET", "/v1/audit")->status, 503, "not ours: 503");
$nginx->stop;


# a budget under load

$nginx = nginx(http(log => "claude_relay_audit_log %%DIR%%/audit.db disk=2m;",
                    location => "claude_relay_audit on body=64k;"),
               workers => 2);
$path = $nginx->dir . "/audit.db";

my $most = 0;
my $served = 0;

for my $round (1 .. 12) {
    my @c = map { $nginx->connect } 1 .. 20;

    for my $c (@c) {
        $c->request("POST", "/v1/messages", body => message(
            text => join "", map { chr 33 + rand 90 } 1 .. 30000));
    }

    $served += ($_->response->status == 200) for @c;

    my $bytes = (-s $path // 0) + (-s "$path-wal" // 0);
    $most = $bytes if $bytes > $most;
}

is($served, 240, "budget: all are served");
my ($settled, $last) = (0, -1);

wait_for(sub {
    my $now = audit("?limit=1");
    $settled = $now->{written} + $now->{dropped};
    return $settled >= 240;
}, 30);

my $bytes = (-s $path // 0) + (-s "$path-wal" // 0);
$most = $bytes if $bytes > $most;

is($settled, 240, "budget: all are written, or counted as dropped");
cmp_ok(-s $path, "<=", 2 * 1024 * 1024, "F184: the budget of disk is held");
cmp_ok($most, "<=", 6 * 1024 * 1024, "F184: with its log, at any time");
cmp_ok(scalar @{ audit("?limit=1000")->{entries} }, ">", 10,
       "budget: the newest are there");
$nginx->stop;


# a queue that is full: nobody waits for it

$nginx = nginx(http(log => "claude_relay_audit_log %%DIR%%/audit.db buffer=64k;",
                    location => "claude_relay_audit on body=64k;"),
               workers => 1, allow => [ qr/audit log/ ]);
$path = $nginx->dir . "/audit.db";
entry($nginx->post("/v1/messages", message()));

# somebody holds the file, so that the thread waits

my $holder = open(my $hold, "|-", "sqlite3", $path) or die;
$hold->autoflush(1);
print $hold "BEGIN IMMEDIATE;\n";
sleep 0.5;

my $start = time;
$served = 0;
$served += ($nginx->post("/v1/messages", message(text => "q" x 20000))->status
            == 200) for 1 .. 10;
is($served, 10, "busy: served");
ok($nginx->wait_error(qr/audit log: 1 entries were dropped: the disk cannot/),
   "busy: told, once");
print $hold "COMMIT;\n";
close $hold;

ok(wait_for(sub {
    my $now = audit("?limit=1");
    return $now && $now->{dropped} && $now->{dropped} + $now->{written} == 11;
}, 20), "busy: what was dropped is counted");
$nginx->stop;


# a disk that is full: requests go on, and so does the log afterwards

SKIP: {
    my $mount = tempdir("claude-relay-disk-XXXXXX", TMPDIR => 1);

    $mounted = $mount
        if !$> && !system("mount -t tmpfs -o size=1m,mode=0777 tmpfs $mount"
                          . " 2> /dev/null");

    skip "needs a file system of its own", 5 if !$mounted;

    $nginx = nginx(http(log => "claude_relay_audit_log $mount/audit.db;",
                        location => "claude_relay_audit on body=64k;"),
                   workers => 1, allow => [ qr/audit log/ ]);

    ok(entry($nginx->post("/v1/messages", message())), "disk: it works");

    system "dd if=/dev/zero of=$mount/ballast bs=4k 2> /dev/null";

    $served = 0;
    $served += ($nginx->post("/v1/messages", message(text => "d" x 20000))
                ->status == 200) for 1 .. 10;
    is($served, 10, "disk full: requests go on");
    ok($nginx->wait_error(qr/audit log: \d+ entries were dropped: .*(full|I\/O)/),
       "disk full: told") || diag($nginx->error_log);
    cmp_ok(scalar(() = $nginx->error_log =~ /entries were dropped/g), "<=", 2,
           "disk full: not for each of them");

    unlink "$mount/ballast";
    ok(entry($nginx->post("/v1/messages", message())), "disk: room again");

    $nginx->stop;
}


finish();
