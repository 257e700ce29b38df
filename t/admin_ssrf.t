#!/usr/bin/perl

# N13: where accounts of the store may send the relay.  Public addresses only,
# whatever a URL looks like, whatever a name means later, unless
# claude_relay_allow_private_upstreams is on.

use warnings;
use strict;

use IO::Socket::INET;
use POSIX ();
use Socket qw/ AF_INET AF_INET6 inet_aton inet_ntoa inet_pton /;
use Sys::Hostname qw/ hostname /;
use Test::More;
use Time::HiRes qw/ sleep /;

use ClaudeRelay;


# 2d00::/12 is public by its kind, and nobody's: connecting there ends at once
# or hangs, and no host hears of it

my $nobody = "2d00::1";

# a name server whose answers are in a file: "NAME ADDRESS...", so that they
# can change; a ttl of one second, or none for a query that came twice

my $dns = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.1",
                                LocalPort => 0) or die "udp: $!";
my $dns_port = $dns->sockport;
my $zone = File::Temp->new;

my $test = $$;
my $dns_pid = fork() // die "fork: $!";

if ($dns_pid == 0) {
    alarm 0;
    answer() while getppid() == $test;
    POSIX::_exit(0);
}

END { kill "KILL", $dns_pid if $dns_pid && $$ == $test; }


sub names {
    my (%names) = @_;

    spew("$zone.new", join "", map { "$_ @{ $names{$_} }\n" } keys %names);
    rename "$zone.new", "$zone" or die "rename: $!";
}

sub answer {
    my $peer = $dns->recv(my $q, 512) // return;
    my ($id) = unpack "n", $q;
    my ($name, $at) = ("", 12);

    while ((my $len = ord substr $q, $at, 1) > 0) {
        $name .= ($name eq "" ? "" : ".") . substr $q, $at + 1, $len;
        $at += 1 + $len;
    }

    my $question = substr $q, 12, $at + 5 - 12;
    my $type = unpack "n", substr $q, $at + 1, 2;

    my ($line) = grep { /^\Q$name\E / } split /\n/, slurp("$zone");
    my (undef, @all) = split / /, $line // "";
    my @addrs = grep { ($type == 28) == /:/ } @all;

    my $r = pack "nnnnnn", $id, 0x8180 | (defined $line ? 0 : 3), 1,
                 scalar @addrs, 0, 0;
    $r .= $question;

    for (@addrs) {
        my $bytes = inet_pton(/:/ ? AF_INET6 : AF_INET, $_);
        $r .= pack("nnnNn", 0xc00c, $type, 1, 1, length $bytes) . $bytes;
    }

    $dns->send($r, 0, $peer);
}


my $up = sandbox();
my $port = $up->port;
my @told;

# a proxy that says what it was asked for

my $asked = File::Temp->new;

my $proxy = canned(sub {
    my ($in) = @_;

    open my $out, ">>", "$asked" or return;
    print $out $in =~ /^(\S+ \S+)/ ? "$1\n" : "?\n";
    close $out;

    return "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n";
});


sub http {
    my (%opt) = @_;

    my $accounts = account("conf", "base_url http://inside.example:$port;
                                    pool conf;");

    return relay_http(
        http => "claude_relay_zone relay:2m;
                 claude_relay_store store/relay.db secret=relay.key;
                 claude_relay_usage_poll off;
                 claude_relay_retry_wait 10ms;
                 claude_relay_connect_timeout 2s;
                 claude_relay_keepalive 0;
                 resolver 127.0.0.1:$dns_port; resolver_timeout 2s;
                 claude_relay_control unix:control.sock;" . ($opt{more} // ""),
        accounts => $accounts,
        server => join "", map {
            "location /$_/ { claude_relay; claude_relay_pool $_; }"
        } qw/ conf one two three four /);
}


names("inside.example" => ["127.0.0.1"], "one.example" => ["127.0.0.1"]);

my $nginx = nginx(http(), workers => 1, guard => 1,
                  env => { RES_OPTIONS => "timeout:1 attempts:1" });


sub call {
    my $r = $nginx->control(@_);

    push @told, $r->head, $r->body;

    return $r;
}

sub add {
    my ($name, %field) = @_;

    return call("POST", "/v1/accounts",
                { name => $name, platform => "anthropic", pool => $name,
                  api_key => "sk-ant-$name-000001", %field });
}

# old workers would answer by what was allowed before

sub reload { $nginx->replace(@_) }

sub log_since {
    my ($from) = @_;

    return substr $nginx->error_log, $from;
}


# 1. as it is given

my @private = map { "http://$_" } (
    "127.0.0.1:$port", "127.1:$port", "127.0.1", "2130706433", "0x7f000001",
    "0x7f.0.0.1", "0x7f.1", "0177.0.0.1", "017700000001", "00177.0.0.01",
    "0", "0.0.0.0:$port", "127.255.255.254", "127.0.0.1.",
    "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "167772161",
    "012.1", "100.64.0.1", "100.100.100.200", "169.254.169.254",
    "169.254.169.254/latest/meta-data", "2852039166", "0xa9fea9fe",
    "0251.0376.0251.0376", "169.254.43518", "168.63.129.16", "192.0.0.192",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "[::]", "[::1]:$port", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:a9fe:a9fe]",
    "[64:ff9b::7f00:1]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2001::1]",
    "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]", "[fec0::1]", "[ff02::1]",
    "[2001:db8::1]",
    "localhost:$port", "LOCALHOST", "localhost.", "a.localhost",
    "metadata.google.internal", "host.docker.internal", "printer.local",
);

my @invalid = map { "http://$_" } (
    "127.0.0.256", "4294967297", "08.0.0.1", "1.2.3.4.5", "0x",
    "%31%32%37.0.0.1", "127%2e0.0.1", "[fe80::1%25lo]", "[fe80::1%lo]",
    "a\@127.0.0.1", "127.0.0.1\\\@api.anthropic.com",
    "\x{ff11}27.0.0.1", "127\x{3002}0\x{3002}0\x{3002}1",
    "\x{24db}ocalhost", "127.0.0.1 ", " 127.0.0.1", "127.0.0.1\t",
    "127.0.0.1\r\nHost: a", "[::1", "::1", "[[::1]]", "a..b", "",
), "//127.0.0.1", "file:///etc/passwd", "gopher://127.0.0.1:25",
   "unix:/run/docker.sock", "http:127.0.0.1", "http:/127.0.0.1";

my $before = $up->requests;

for my $url (@private) {
    my $r = add("bad", base_url => $url);

    ok($r->status == 400
       && $r->message =~ /^base_url\ of\ account\ "bad":\ .*\ is\ an?\ .*
                          claude_relay_allow_private_upstreams/x
       && $r->message !~ /is a public/,
       "N13: base_url $url is refused, and why") || diag($r->body);
}

for my $url (@invalid) {
    my $r = add("bad", base_url => $url);

    (my $shown = $url) =~ s/([^ -~])/sprintf "\\x{%x}", ord $1/ge;

    ok($r->status == 400 && $r->message =~ /bad|base_url/,
       "N13: base_url $shown is refused") || diag($r->body);
}

for my $url (qw{ http://127.0.0.1:3128 http://0x7f.1 socks5://[::1]:1080
                 socks5h://localhost:1080 http://169.254.169.254
                 http://[::ffff:10.0.0.1]:3128
                 http://u:planted-proxy-password@2130706433:3128 })
{
    my $r = add("bad", base_url => "https://api.example.com", proxy => $url);

    ok($r->status == 400
       && $r->message =~ /^proxy of account "bad": .*_allow_private_/,
       "N13: so is a proxy " . $url =~ s/:planted.*@/\@/r) || diag($r->body);
}

is(call("GET", "/v1/accounts/bad")->status, 404, "and nothing is there of it");

for my $url ("https://8.8.8.8", "https://api.example.com/v1",
             "https://[2606:4700::1111]:8443", "http://[::ffff:9.9.9.9]",
             "http://[64:ff9b::808:808]", "https://127.0.0.1.example.com",
             "https://localhost.example.com", "http://2002.example")
{
    is(add("good", base_url => $url, enabled => \0)->status, 201,
       "N13: $url is not");
    is(call("DELETE", "/v1/accounts/good")->status, 204, "it is away again");
}

is(add("plain")->status, 201, "a platform's own place is not asked");


# 2. a change

{
    my $version = call("GET", "/v1/accounts/plain")->json->{version};

    my $r = call("PATCH", "/v1/accounts/plain", { base_url => "http://127.1" });
    is($r->status, 400, "N13: a change is asked, too");

    $r = call("PATCH", "/v1/accounts/plain",
              { proxy => "socks5://192.168.1.1", description => "a" });
    is($r->status, 400, "N13: and one of the proxy");

    my $j = call("GET", "/v1/accounts/plain")->json;
    is($j->{version}, $version, "nothing was changed");
    ok(!$j->{description}, "nothing at all");

    is(call("PATCH", "/v1/accounts/plain", { description => "b" })->status,
       200, "another change is free");
    is(call("PATCH", "/v1/accounts/plain",
            { proxy => "http://proxy.example:3128" })->status,
       200, "a proxy with a name is taken");
    is(call("PATCH", "/v1/accounts/plain", { proxy => "off" })->status, 200,
       "and \"off\"");

    is(call("DELETE", "/v1/accounts/plain")->status, 204, "");
}


# 3. a login brings a proxy, too

{
    my $r = call("POST", "/v1/logins",
                 { platform => "claude-oauth", name => "bad",
                   proxy => "http://127.0.0.1:3128" });

    is($r->status, 400, "N13: a login through a private proxy is refused")
        || diag($r->body);
}

# and so does a document, a batch, a webhook

{
    my $row = { name => "doc", enabled => \1,
                settings => { platform => "anthropic",
                              base_url => "http://0x7f.1:$port" },
                secrets => { api_key => "sk-ant-doc-000001" } };
    my $r = call("POST", "/v1/import",
                 { document => { format => "claude-relay", version => 1,
                                 accounts => [$row] } });

    ok($r->status == 200 && $r->body =~ /"result":"refused"/
       && $r->body =~ /_allow_private_/,
       "N13: an account of a document is refused") || diag($r->body);
    is(call("GET", "/v1/accounts/doc")->status, 404, "it is not there");

    is(add("many")->status, 201, "an account");
    $r = call("POST", "/v1/accounts/batch",
              { names => ["many"], do => "patch",
                settings => { base_url => "http://10.0.0.1" } });
    like($r->body, qr/_allow_private_/, "N13: a batch is asked")
        || diag($r->body);
    is(call("DELETE", "/v1/accounts/many")->status, 204, "");

    for my $url ("http://127.0.0.1/x", "https://[::ffff:a9fe:a9fe]/",
                 "https://localhost/x", "https://2130706433/x?y")
    {
        $r = call("POST", "/v1/hooks", { name => "hook", kind => "json",
                                         url => $url });
        ok($r->status == 400, "N13: a webhook to $url is refused")
            || diag($r->body);
    }
}

is($up->requests, $before, "until here nobody was connected to");


# 4. a name: what it means when it is connected to

sub post {
    my ($name) = @_;

    # it has not to rest from what came before

    $nginx->control("POST", "/v1/accounts/$name/reset", {});

    return $nginx->post("/$name/v1/messages", message());
}

is(post("conf")->status, 200,
   "an account of nginx.conf may be anywhere: inside.example is 127.0.0.1");

{
    my $from = length $nginx->error_log;
    my $n = $up->requests;

    is(add("one", base_url => "http://one.example:$port")->status, 201,
       "a name is taken as it is");

    my $r = post("one");
    is($r->status, 503, "N13: but one of 127.0.0.1 is not connected to");
    is($up->requests, $n, "the upstream has heard nothing");
    like(log_since($from),
         qr/"one\.example"\ is\ not\ connected\ to:\ its\ address\ 127\.0\.0\.1:
            \d+\ is\ a\ loopback\ address,.*claude_relay_allow_private_upstreams/x,
         "error.log says why");

    $r = call("POST", "/v1/accounts/one/test", {});
    like($r->body, qr/its address is no public one.*_allow_private_/,
         "N13: and so does a test of the account");
}


# 5. rebinding: public first, private then; both at once

{
    names("inside.example" => ["127.0.0.1"], "two.example" => [$nobody],
          "three.example" => ["127.0.0.1", $nobody, "10.0.0.1"]);

    is(add("two", base_url => "http://two.example:$port")->status, 201, "");

    my $from = length $nginx->error_log;
    is(post("two")->status, 503, "nobody is there");
    ok(wait_for(sub {
        return 1 if log_since($from) =~ /\[\Q$nobody\E\]:$port|timed out/;
        post("two");
        return 0;
    }), "it was tried, the address is a public one")
        || diag(log_since($from));
    unlike(log_since($from), qr/is not connected to/, "and not refused")
        || diag(log_since($from));

    names("inside.example" => ["127.0.0.1"], "two.example" => ["127.0.0.1"],
          "three.example" => ["127.0.0.1", $nobody, "10.0.0.1"]);

    my $n = $up->requests;
    my $refused = wait_for(sub {
        $from = length $nginx->error_log;
        post("two");
        return log_since($from) =~ /"two\.example" is not connected to/;
    });

    ok($refused, "N13: the name means 127.0.0.1 now, and is refused");
    is($up->requests, $n, "N13: the upstream has heard nothing");

    is(add("three", base_url => "http://three.example:$port")->status, 201,
       "");
    $from = length $nginx->error_log;
    is(post("three")->status, 503, "some of its addresses are private");
    my $log = log_since($from);
    is($up->requests, $n, "N13: those are passed over");
    like($log, qr/its address 127\.0\.0\.1/, "one");
    like($log, qr/its address 10\.0\.0\.1.*a private address/, "and the other");

    # the same again, the other way round: nothing was remembered as allowed

    names("inside.example" => ["127.0.0.1"], "two.example" => [$nobody],
          "three.example" => [$nobody]);
}


# 6. through the operator's own proxy: names are the proxy's, hosts that need
#    not be looked up are asked

{
    my $url = $proxy->url;

    ok(reload(http(more => "claude_relay_proxy $url;")), "a proxy");
    ok(wait_for(sub { post("two"); slurp("$asked") =~ /two\.example/ }),
       "N13: the proxy of nginx.conf may be at 127.0.0.1, and gets a name");

    is(add("bad", base_url => "http://127.0.0.1:$port")->status, 400,
       "N13: an address behind it is asked");
    is(add("bad", base_url => "http://metadata.google.internal")->status, 400,
       "N13: and a name that is always local");
    unlike(slurp("$asked"), qr/127\.0\.0\.1|metadata/, "it hears of neither");
}


# 7. the proxy of an account, by a name

{
    names("inside.example" => ["127.0.0.1"], "two.example" => [$nobody],
          "proxy.example" => ["127.0.0.1"]);
    spew("$asked", "");

    ok(reload(http()), "no proxy again");

    my $r = add("four", base_url => "http://four.example",
                proxy => "http://u:planted-proxy-password\@proxy.example:"
                         . $proxy->{port});
    is($r->status, 201, "a proxy with a name") || diag($r->body);

    my $from = length $nginx->error_log;
    is(post("four")->status, 503, "its address is private");
    like(log_since($from), qr/"proxy\.example" is not connected to/,
         "N13: it is not connected to");
    is(slurp("$asked"), "", "the proxy has heard nothing");
    unlike($nginx->error_log, qr/planted-proxy-password/, "no password");
}


# 8. the system's own names, without a resolver

SKIP: {
    my $host = lc hostname();
    my $addr = inet_aton($host) && inet_ntoa(inet_aton($host));

    skip "the name of this machine is of no use", 3
        if !$addr || $addr !~ /^(127|10|192\.168|172\.(1[6-9]|2\d|3[01]))\./
           || $host !~ /^[a-z0-9-]*[a-z-][a-z0-9-]*$/;

    (my $http = http()) =~ s/resolver \S+; resolver_timeout \S+;//;
    ok(reload($http), "no resolver");

    is(call("PATCH", "/v1/accounts/one",
            { base_url => "http://$host:$port" })->status, 200, "its name");

    my $from = length $nginx->error_log;
    ok(wait_for(sub {
        post("one");
        return log_since($from) =~ /"\Q$host\E" is not connected to/;
    }), "N13: what the system has found is asked, too");
}


# 9. what was stored while it was allowed

{
    my $on = http(more => "claude_relay_allow_private_upstreams on;");

    ok(reload($on), "it is allowed now");

    my $r = wait_for(sub {
        my $r = call("PATCH", "/v1/accounts/one",
                     { base_url => "http://127.0.0.1:$port" });
        return $r->status == 200 && $r;
    });
    ok($r, "N13: claude_relay_allow_private_upstreams on") || return;

    ok(wait_for(sub { post("one")->status == 200 }), "N13: it is reached");

    ok(reload(http()), "and not any more");

    my $n = $up->requests;
    my $from = length $nginx->error_log;

    ok(wait_for(sub { post("one"); log_since($from) =~ /not connected to: "127/ }),
       "N13: an account that is there is not connected to");

    $n = $up->requests;
    is(post("one")->status, 503, "again");
    is($up->requests, $n, "the upstream has heard nothing");

    is(call("PATCH", "/v1/accounts/one", { enabled => \0 })->status, 200,
       "it can be switched off");
    is(call("PATCH", "/v1/accounts/one",
            { base_url => "http://127.0.0.2:$port" })->status, 400,
       "but not led elsewhere") || diag(call("GET", "/v1/accounts/one")->body);
    is(call("DELETE", "/v1/accounts/one")->status, 204, "and removed");
}


# 10. redirects lead nowhere

{
    my $target = "http://127.0.0.1:$port/sandbox/stats";

    my $canned = canned(sub {
        return "HTTP/1.1 302 Found\r\nLocation: $target\r\n"
               . "Content-Length: 0\r\nConnection: close\r\n\r\n";
    });

    my $on = http(more => "claude_relay_allow_private_upstreams on;");

    ok(reload($on), "allowed, for an upstream of our own");

    ok(wait_for(sub {
        my $r = add("one", base_url => $canned->url);
        return $r->status == 201 || $r->status == 409;
    }), "an upstream that leads elsewhere");

    my $n = $up->requests;

    my $r = call("POST", "/v1/accounts/one/test", {});
    unlike($r->body, qr/"ok":true/, "N13: a test fails on a redirect")
        || diag($r->body);

    post("one");

    is($up->requests, $n, "N13: nobody has gone there");
}


# 11. the directive

for (["maybe", qr/it must be "on" or "off"/],
     ["on; claude_relay_allow_private_upstreams off", qr/is duplicate/])
{
    my ($value, $message) = @$_;
    my ($ok, $said) = config("claude_relay_allow_private_upstreams $value;");

    ok(!$ok && $said =~ $message,
       "claude_relay_allow_private_upstreams $value") || diag($said);
}


unlike(join("\n", @told), qr/planted-proxy-password/,
       "no answer has the password of a proxy");

finish();
