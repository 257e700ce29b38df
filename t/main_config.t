#!/usr/bin/perl

# Directives: what nginx -t takes and refuses, and what a setting does.

use warnings;
use strict;

use File::Temp qw/ tempdir /;
use IO::Socket::INET;
use Test::More;

use ClaudeRelay;


# what stands before "@" may be a password, and is not told

sub shown { $_[0] =~ /@/ ? "...@..." : $_[0] }


my $up = sandbox();
my $up_url = $up->url;


# 1. what nginx -t accepts: a piece of the configuration and where it stands

my @good = (
    ["location" => "claude_relay_keys on;"],
    ["location" => "claude_relay_keys off;"],
    ["location" => "claude_relay_keys optional;"],
    ["location" => "claude_relay_platforms all;"],
    ["location" => "claude_relay_platforms anthropic claude-oauth console;"],
    ["location" => "claude_relay_policy least-load;"],
    ["location" => "claude_relay_policy round-robin;"],
    ["location" => "claude_relay_policy least-recently-used;"],
    ["location" => "claude_relay_policy weighted;"],
    ["location" => "claude_relay_policy soonest-reset;"],
    ["location" => "claude_relay_sticky off;"],
    ["location" => "claude_relay_sticky ttl=1h renew=5m wait=250ms strict;"],
    ["location" => "claude_relay_tries 3;"],
    ["location" => "claude_relay_tries 3 timeout=90s;"],
    ["location" => "claude_relay_retry_wait 500ms;"],
    ["location" => "claude_relay_connect_timeout 3s;"],
    ["location" => "claude_relay_send_timeout 3s;"],
    ["location" => "claude_relay_first_byte_timeout 10m;"],
    ["location" => "claude_relay_idle_timeout 5m;"],
    ["location" => "claude_relay_heartbeat off;"],
    ["location" => "claude_relay_heartbeat 15s;"],
    ["location" => "claude_relay_max_body 0;"],
    ["location" => "claude_relay_max_body 500m;"],
    ["location" => "claude_relay_buffer_size 64k;"],
    ["location" => "claude_relay_models a 'b=Model B'; claude_relay_models c;"],
    ["location" => "claude_relay_cors off;"],
    ["location" => "claude_relay_cors *;"],
    ["location" => "claude_relay_cors https://a.example https://b.example;"],
    ["http" => "claude_relay_zone relay:256k;"],
    ["http" => "claude_relay_keepalive 0;"],
    ["http" => "claude_relay_keepalive 64 timeout=90s;"],
    ["http" => "claude_relay_rest unauthorized=1h forbidden=30m edge=1m;"],
    ["http" => "claude_relay_rest disabled=1d billing=1h limited=5m"
               . " throttled=5s overloaded=10s overloaded_max=60s server=5s"
               . " server_max=5m;"],
    ["http" => "claude_relay_ssl_verify off;"],
    ["http" => "claude_relay_ssl_verify_depth 2;"],
    ["http" => "claude_relay_ssl_protocols TLSv1.2 TLSv1.3;"],
    ["http" => "claude_relay_ssl_ciphers HIGH:!aNULL;"],
    ["account" => "priority -5; weight 3; max_concurrency 20;"],
    ["account" => "models claude-* *opus*; models gpt-?;"],
    ["account" => "enabled off;"],
    ["account" => "sanitize_errors on;"],
    ["account" => "credential bearer;"],
    ["account" => "platform console; base_url https://127.0.0.1/x;"],
    ["account" => "platform claude-oauth; access_token sk-ant-oat01-x;"],
);

# most of them in one file: it is quicker

my $i = 0;

my @location = map { "location /" . $i++ . "/ { claude_relay; $_->[1] }" }
                   grep { $_->[0] eq "location" } @good;

my ($ok, $said) = config(relay_http(server => join "\n", @location));

ok($ok, "directives of a location, " . @location . " forms") || diag($said);

for (grep { $_->[0] ne "location" } @good) {
    ($ok, $said) = config(relay_http(@$_));
    ok($ok, "$_->[0]: $_->[1]") || diag($said);
}

for my $level (qw/ http server location /) {
    ($ok, $said) = config(relay_http($level => <<'END'));
        claude_relay_keys on;
        claude_relay_pool default;
        claude_relay_platforms all;
        claude_relay_policy round-robin;
        claude_relay_sticky ttl=1h;
        claude_relay_tries 3;
        claude_relay_retry_wait 1s;
        claude_relay_connect_timeout 1s;
        claude_relay_send_timeout 1s;
        claude_relay_first_byte_timeout 1s;
        claude_relay_idle_timeout 1s;
        claude_relay_heartbeat 1s;
        claude_relay_max_body 1m;
        claude_relay_buffer_size 16k;
        claude_relay_models a;
        claude_relay_cors *;
END

    ok($ok, "the directives of a location in $level") || diag($said);
}


# 2. what it refuses: where, what, the message

my @bad = (
    # a relay that could not work
    [keys => "", qr/no "claude_relay_key" is defined.*"claude_relay_keys off"/,
     "keys on, no key"],
    [accounts => "", qr/no "claude_relay_account" is in pool "default"/,
     "no account"],
    [location => "claude_relay_pool nix;",
     qr/no "claude_relay_account" is in pool "nix"/],
    [location => "claude_relay;", qr/"claude_relay" directive is duplicate/],
    [location => "claude_relay_health;", qr/"claude_relay_health".*handler/],
    [location => "proxy_pass $up_url; claude_relay;", qr/"claude_relay"/,
     "proxy_pass and claude_relay"],
    [server => "claude_relay;", qr/"claude_relay" directive is not allowed/],

    # the zone
    [http => "claude_relay_zone relay:128k;",
     qr/zone "relay:128k" is too small, 256k/],
    [http => "claude_relay_zone relay;", qr/invalid zone "relay".*name:size/],
    [http => "claude_relay_zone :1m;", qr/invalid zone ":1m"/],
    [http => "claude_relay_zone relay:x;", qr/invalid zone size "relay:x"/],
    [http => "claude_relay_zone a:1m; claude_relay_zone b:1m;",
     qr/"claude_relay_zone" directive is duplicate/],
    [server => "claude_relay_zone b:1m;", qr/"claude_relay_zone".*not allowed/],

    # values
    [location => "claude_relay_keys maybe;", qr/invalid value "maybe"/],
    [location => "claude_relay_keys on; claude_relay_keys off;",
     qr/"claude_relay_keys" directive is duplicate/],
    [location => "claude_relay_platforms gemini-x;",
     qr/unknown platform "gemini-x"/],
    [location => "claude_relay_platforms all anthropic;",
     qr/unknown platform "all"|"all"/],
    [location => "claude_relay_platforms all; claude_relay_platforms console;",
     qr/"claude_relay_platforms" directive is duplicate/],
    [location => "claude_relay_policy random;", qr/unknown policy "random"/],
    [location => "claude_relay_sticky on;", qr/invalid parameter "on"/],
    [location => "claude_relay_sticky ttl=0;", qr/invalid parameter "ttl=0"/],
    [location => "claude_relay_sticky ttl=x;", qr/invalid parameter "ttl=x"/],
    [location => "claude_relay_sticky renew=x;", qr/invalid .*"renew=x"/],
    [location => "claude_relay_sticky wait=;", qr/invalid parameter "wait="/],
    [location => "claude_relay_sticky off ttl=1h;", qr/invalid parameter "off"/],
    [location => "claude_relay_sticky off; claude_relay_sticky off;",
     qr/"claude_relay_sticky" directive is duplicate/],
    [location => "claude_relay_tries 0;", qr/invalid number "0"/],
    [location => "claude_relay_tries x;", qr/invalid number "x"/],
    [location => "claude_relay_tries 2 1s;", qr/invalid parameter "1s"/],
    [location => "claude_relay_tries 2 timeout=x;",
     qr/invalid parameter "timeout=x"/],
    [location => "claude_relay_retry_wait x;",
     qr/"claude_relay_retry_wait" directive invalid value/],
    [location => "claude_relay_connect_timeout -1;",
     qr/"claude_relay_connect_timeout" directive invalid value/],
    [location => "claude_relay_first_byte_timeout x;", qr/invalid value/],
    [location => "claude_relay_idle_timeout x;", qr/invalid value/],
    [location => "claude_relay_send_timeout x;", qr/invalid value/],
    [location => "claude_relay_heartbeat on;",
     qr/"claude_relay_heartbeat" directive invalid value/],
    [location => "claude_relay_heartbeat 1s; claude_relay_heartbeat off;",
     qr/"claude_relay_heartbeat" directive is duplicate/],
    [location => "claude_relay_max_body x;",
     qr/"claude_relay_max_body" directive invalid value/],
    [location => "claude_relay_buffer_size 512;",
     qr/"claude_relay_buffer_size" must be 1k at least/],
    [location => "claude_relay_models =x;", qr/invalid model "=x"/],
    [location => "claude_relay_models x=;", qr/invalid model "x="/],
    [location => "claude_relay_models;", qr/invalid number of arguments/],
    [location => "claude_relay_cors *; claude_relay_cors *;",
     qr/"claude_relay_cors" directive is duplicate/],
    [http => "claude_relay_rest limited;", qr/invalid parameter "limited"/],
    [http => "claude_relay_rest limited=x;", qr/invalid parameter "limited=x"/],
    [http => "claude_relay_rest nix=1s;", qr/invalid parameter "nix=1s"/],
    [http => "claude_relay_keepalive x;", qr/invalid number "x"/],
    [http => "claude_relay_keepalive 1 1s;", qr/invalid parameter "1s"/],
    [http => "claude_relay_keepalive 1; claude_relay_keepalive 2;",
     qr/"claude_relay_keepalive" directive is duplicate/],
    [http => "claude_relay_ssl_verify maybe;", qr/invalid value "maybe"/],
    [http => "claude_relay_ssl_verify_depth x;", qr/invalid number/],
    [http => "claude_relay_ssl_protocols SSLv3;", qr/invalid value "SSLv3"/],
    [http => "claude_relay_ssl_ciphers nix;", qr/SSL_CTX_set_cipher_list/],
    [http => "claude_relay_ssl_trusted_certificate nix.pem;", qr/nix\.pem/],
    [http => "claude_relay_nix 1;", qr/unknown directive "claude_relay_nix"/],

    # accounts
    [account => "platform nix;", qr/unknown platform "nix"/],
    [account => "platform console; platform console;",
     qr/"platform" in account "one" is duplicate/],
    [account => "nix 1;", qr/unknown directive "nix" in account "one"/],
    [account => "priority x;", qr/invalid value "x".*number from -1000000/],
    [account => "priority 1000001;", qr/invalid value "1000001"/],
    [account => "priority 1; priority 2;",
     qr/"priority" in account "one" is duplicate/],
    [account => "priority 1 2;", qr/invalid number of arguments in "priority"/],
    [account => "priority;", qr/invalid number of arguments in "priority"/],
    [account => "weight 0;", qr/invalid value "0".*from 1 to/],
    [account => "max_concurrency -1;", qr/invalid value "-1".*from 0 to/],
    [account => "enabled maybe;", qr/invalid value "maybe" in "enabled"/],
    [account => "sanitize_errors 1;", qr/invalid value "1" in "sanitize_errors"/],
    [account => "credential cookie;", qr/"cookie".*"auto", "x-api-key"/],
    [account => "credential auto; credential auto;",
     qr/"credential" in account "one" is duplicate/],
    [account => "models '';", qr/"models" in account "one" has an empty/],
    [account => "pool '';", qr/"pool" in account "one" is empty/],
    [account => "access_token sk-ant-oat01-x;",
     qr/platform "anthropic" of account "one" takes "api_key"/],
    [account => "platform claude-oauth; api_key sk-ant-api03-x;",
     qr/platform "claude-oauth" of account "one" takes "access_token"/],
    [account => "platform claude-oauth; access_token t; api_key k;",
     qr/"api_key" in account "one" is duplicate/],
    [accounts => account("one") . account("one"), qr/duplicate account "one"/],
    [accounts => account("'" . "n" x 64 . "'"), qr/account name must have 1 to/],
    [accounts => account("''"), qr/account name must have 1 to/],
    [accounts => "claude_relay_account a { api_key k; }",
     qr/no "platform" in account "a"/],
    [accounts => "claude_relay_account a { platform anthropic; }",
     qr/no "api_key" in account "a"/],
    [accounts => "claude_relay_account a { platform claude-oauth; }",
     qr/no "access_token" in account "a"/],
    [accounts => "claude_relay_account a { platform console; api_key k; }",
     qr/no "base_url" in account "a"/],
    [accounts => "claude_relay_account { platform console; }",
     qr/invalid number of arguments in "claude_relay_account"/],

    # base_url
    map({ [account => "base_url $_->[0];",
           qr/base_url "\Q${\ shown($_->[0])}\E" in account "one": $_->[1]/] }
        ["ftp://a.example",          qr/.*https:/],
        ["a.example",                qr/.*https:/],
        ["http:/a.example",          qr/.*https:/],
        ["http://",                  qr/no host/],
        ["http://u:p\@a.example",    qr/.*user/],
        ["http://a.example/#x",      qr/.*fragment/],
        ["http://a.example/?x=1",    qr/.*query/],
        ["http://a.example:0/",      qr/.*port/],
        ["http://a.example:65536/",  qr/.*port/],
        ["http://a.example:x/",      qr/.*port/],
        ["http://[::1/",             qr/.*host/],
        ["http://a!b/",              qr/.*host/]),

    # secrets
    [account => "api_key env:CR_NIX;",
     qr/environment variable "CR_NIX" is not set/],
    [account => "api_key env:CR_EMPTY;",
     qr/environment variable "CR_EMPTY" is not set/],
    [account => "api_key file:nix.key;", qr/open\(\) ".*nix\.key" failed/],
    [account => "api_key '';", qr/"api_key" in account "one" has no usable/],
    [account => "api_key 'a b';", qr/"api_key" in account "one" has.*blanks/],
    [account => "api_key env:CR_LINES;", qr/"api_key" in account "one".*blanks/],
    [account => "api_key file:/dev/null;", qr/"api_key".*no usable secret/],

    # keys
    [http => "claude_relay_key bob { }", qr/no "secret" in key "bob"/],
    [http => "claude_relay_key bob { secret short; }",
     qr/secret of key "bob" must have 10 to 512/],
    [http => "claude_relay_key bob { secret " . "x" x 513 . "; }",
     qr/secret of key "bob" must have 10 to 512/],
    [http => "claude_relay_key bob { secret a b; }",
     qr/invalid number of arguments in "secret"/],
    [http => "claude_relay_key bob { secret 1234567890; secret 1234567890; }",
     qr/"secret" in key "bob" is duplicate/],
    [http => "claude_relay_key bob { nix 1; }",
     qr/unknown directive "nix" in key "bob"/],
    [http => "claude_relay_key alice { secret 1234567890; }",
     qr/duplicate key "alice"/],
    [http => "claude_relay_key bob { secret $ClaudeRelay::KEY; }",
     qr/keys "(bob|alice)" and "(bob|alice)" have the same secret/],
    [http => "claude_relay_key bob { secret env:CR_NIX; }",
     qr/environment variable "CR_NIX" is not set/],
    [http => "claude_relay_key '' { secret 1234567890; }",
     qr/key name must have 1 to/],
);

my %env = (CR_EMPTY => "", CR_LINES => "two\nlines");

for my $row (@bad) {
    my ($where, $what, $message, $name) = @$row;

    $name //= length $what > 70 ? substr($what, 0, 70) . "..." : $what;

    ($ok, $said) = config(relay_http($where => $what), env => \%env);

    like($said, qr/\[emerg\] .*$message/, "refused: $name");

    # what OpenSSL says is logged without, as for nginx's own directives

    next if $said =~ /SSL_CTX_/;

    like($said, qr/\[emerg\] .*nginx\.conf:\d+/, "with its line: $name");
}

($ok, $said) = config("server { listen 127.0.0.1:%%PORT%%;"
                      . " location / { claude_relay; } }");
like($said, qr/\[emerg\].*"claude_relay_zone"/, "no zone");
like($said, qr/nginx\.conf:\d+/, "no zone: with its line");

($ok, $said) = config("server { listen 127.0.0.1:%%PORT%%;"
                      . " location / { claude_relay_health; } }");
like($said, qr/"claude_relay_health".*"claude_relay_zone"/, "health, no zone");

($ok, $said) = config(
    "claude_relay_zone relay:1m; limit_req_zone \$uri zone=relay:1m rate=1r/s;");
ok(!$ok, "a zone of another module") || diag($said);

($ok, $said) = config(relay_http(keys => "", location =>
                                 "claude_relay_keys off;"));
ok($ok, "F032: anonymous, as written") || diag($said);


# a message never shows a secret

for my $row ([account => "api_key 'sk-ant-very secret';"],
             [account => "api_key very-secret; api_key very-secret;"],
             [account => "api_key env:CR_SECRET;"],
             [account => "platform claude-oauth; api_key very-secret;"],
             [http => "claude_relay_key bob { secret very-sec; }"],
             [http => "claude_relay_key b { secret very-secret1; }"
                      . " claude_relay_key c { secret very-secret1; }"])
{
    ($ok, $said) = config(relay_http(@$row),
                          env => { CR_SECRET => "very secret" });

    ok(!$ok && $said !~ /very.sec/, "the message has no secret: $row->[1]")
        || diag($said);
}


# 3. secrets: env:, file: and literal, K.2: which header shows them

my $dir = tempdir(CLEANUP => 1);

spew("$dir/key", "sk-ant-file-key\n");
spew("$dir/bob", "bob-secret-0001\r\n");

my @credentials = (
    ["literal", "api_key sk-ant-literal;", "x-api-key: sk-ant-literal"],
    ["env", "api_key env:CR_KEY;", "x-api-key: sk-ant-env-key"],
    ["file", "api_key file:$dir/key;", "x-api-key: sk-ant-file-key"],
    ["other", "api_key some-key;", "Authorization: Bearer some-key"],
    ["console", "platform console; api_key some-key;",
     "Authorization: Bearer some-key"],
    ["console-ant", "platform console; api_key sk-ant-key;",
     "x-api-key: sk-ant-key"],
    ["bearer", "api_key sk-ant-key; credential bearer;",
     "Authorization: Bearer sk-ant-key"],
    ["x-api-key", "api_key some-key; credential x-api-key;",
     "x-api-key: some-key"],
    ["auto", "api_key some-key; credential auto;",
     "Authorization: Bearer some-key"],
    ["oauth", "platform claude-oauth; access_token sk-ant-oat01-t;",
     "Authorization: Bearer sk-ant-oat01-t"],
);

# K.1: what a base URL is joined to

my @joins = (
    ["$up_url", "/v1/messages"],
    ["$up_url/", "/v1/messages"],
    ["$up_url/anthropic", "/anthropic/v1/messages"],
    ["$up_url/anthropic//", "/anthropic/v1/messages"],
    ["$up_url/v1", "/v1/messages"],
    ["$up_url/v1/", "/v1/messages"],
    ["$up_url/api/v1", "/api/v1/messages"],
    ["$up_url/api/v1/messages/", "/api/v1/messages"],
    ["$up_url/api/v1/messages/count_tokens", "/api/v1/messages"],
    ["$up_url/v1beta", "/v1beta/v1/messages"],
    ["HTTP://127.0.0.1:" . $up->port . "/x", "/x/v1/messages"],
);

my $accounts = account("default");
my $locations = "";

for (@credentials) {
    my ($name, $directives) = @$_;

    $accounts .= account($name, "$directives pool $name;");
    $locations .= "location /$name/ { claude_relay; claude_relay_pool $name; }\n";
}

for (0 .. $#joins) {
    $accounts .= account("join$_", "base_url $joins[$_][0]; pool join$_;");
    $locations .= "location /join$_/ { claude_relay; claude_relay_pool join$_; }\n";
}


# 4. inheritance: http, server, location; every level may say something else

$accounts .= account("a", "pool a;") . account("b", "pool b;")
             . account("c", "pool c; platform console;")
             . account("c2", "pool c;")
             . join("", map { account("t$_", "pool tries;") } 1 .. 3)
             . account("off", "pool off; enabled off; priority 200;")
             . account("on", "pool off;")
             . account("glob", "pool glob; models claude-* '*-pro'; priority 9;")
             . account("rest", "pool glob; models gpt-5; priority 8;");

$locations .= <<'END';
    location /keys-off/ { claude_relay; claude_relay_keys off; }
    location /pool-b/ { claude_relay; claude_relay_pool b; }
    location /platforms/ { claude_relay; claude_relay_pool c;
                           claude_relay_platforms anthropic; }
    location /platform-console/ { claude_relay; claude_relay_pool c;
                                  claude_relay_platforms console; }
    location /oauth-only/ { claude_relay; claude_relay_pool c;
                            claude_relay_platforms claude-oauth; }
    location /off/ { claude_relay; claude_relay_pool off; }
    location /glob/ { claude_relay; claude_relay_pool glob; }
    location /small/ { claude_relay; claude_relay_max_body 300; }
    location /big/ { claude_relay; claude_relay_max_body 0; }
    location /sized/ { claude_relay; client_max_body_size 400; }
    location /slow/ { claude_relay; claude_relay_first_byte_timeout 5s; }
    location /sticky/ { claude_relay; claude_relay_sticky ttl=1m; }
    location /sticky-wait/ { claude_relay; claude_relay_sticky wait=1s; }
    location /no-cors/ { claude_relay; claude_relay_cors off; }
    location /models/ { claude_relay; claude_relay_models claude-b; }
    location /one-try/ { claude_relay; claude_relay_pool tries; }
    location /two-tries/ { claude_relay; claude_relay_pool tries;
                           claude_relay_tries 2; }
    location /beats/ { claude_relay; claude_relay_heartbeat 50ms; }
    location /idle/ { claude_relay; claude_relay_idle_timeout 100ms; }
    location /buffer/ { claude_relay; claude_relay_buffer_size 32k; }
    location /nested/ {
        claude_relay;
        claude_relay_pool b;
        claude_relay_max_body 300;

        location /nested/in/ { claude_relay; }
        location /nested/other/ { claude_relay; claude_relay_pool a;
                                  claude_relay_max_body 1m; }
    }
END

$accounts =~ s/%%UP%%/$up_url/g;

# one takes no more connections, the other does not read

my $full = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1);
my $deaf = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 5);

my @fill = map { IO::Socket::INET->new(PeerAddr => "127.0.0.1", Blocking => 0,
                                       PeerPort => $full->sockport) } 1 .. 4;

$accounts .= account("full", "pool full; base_url http://127.0.0.1:"
                             . $full->sockport . ";")
             . account("deaf", "pool deaf; base_url http://127.0.0.1:"
                               . $deaf->sockport . ";");

$locations .= <<'END';
    location /full/ { claude_relay; claude_relay_pool full;
                      claude_relay_connect_timeout 200ms; }
    location /deaf/ { claude_relay; claude_relay_pool deaf;
                      claude_relay_max_body 0;
                      claude_relay_send_timeout 200ms; }
END

my $nginx = relay(
    accounts => $accounts,
    env => { CR_KEY => "sk-ant-env-key" },
    http => <<"END",
        claude_relay_key bob { secret file:$dir/bob; }
        claude_relay_key carol { secret env:CR_KEY; }
        claude_relay_pool a;
        claude_relay_max_body 100k;
        claude_relay_first_byte_timeout 300ms;
        claude_relay_sticky off;
        claude_relay_cors https://a.example;
        claude_relay_models claude-a;
        claude_relay_tries 1;
        claude_relay_retry_wait 0;
        claude_relay_heartbeat off;
        claude_relay_buffer_size 1k;
        claude_relay_rest throttled=0 server=0 overloaded=0;
END
    server => $locations,
);

my $r;

for (@credentials) {
    my ($name, undef, $header) = @$_;

    $nginx->post("/$name/v1/messages", message());

    my @sent = grep { /^(x-api-key|authorization):/i } @{ $up->last->{headers} };

    is("@sent", $header, "F079: credential $name");
}

for (0 .. $#joins) {
    my ($base, $path) = @{ $joins[$_] };

    $nginx->post("/join$_/v1/messages?beta=true", message());
    is($up->last->{target}, "$path?beta=true", "K.1: $base");

    $nginx->post("/join$_/v1/messages/count_tokens", message());
    is($up->last->{target}, "$path/count_tokens", "K.1: $base, count_tokens");
}

is($up->header("host"), $up->addr, "Host is the upstream's, with its port");

for (["alice", $ClaudeRelay::KEY], ["bob", "bob-secret-0001"],
     ["carol", "sk-ant-env-key"])
{
    $nginx->request("POST", "/v1/messages", body => message(), key => $_->[1]);
    is($nginx->log->{key}, $_->[0], "the secret of $_->[0]");
}

sub account_of {
    my ($uri, %field) = @_;

    my $answer = $nginx->post($uri, message(%field));

    return $answer->status == 200 ? $nginx->log->{account} // ""
                                  : $answer->status;
}

is(account_of("/v1/messages"), "a", "the pool of http");
is(account_of("/pool-b/v1/messages"), "b", "the pool of the location");
is(account_of("/nested/v1/messages"), "b", "the pool of a location");
is(account_of("/nested/in/v1/messages"), "b", "the pool of the outer location");
is(account_of("/nested/other/v1/messages"), "a", "the pool of the inner one");
is(account_of("/platforms/v1/messages"), "c2", "platforms");
is(account_of("/platform-console/v1/messages"), "c", "platforms: another");
is(account_of("/off/v1/messages"), "on", "an account with enabled off");
is(account_of("/glob/v1/messages", model => "claude-opus-5"), "glob",
   "F144: models claude-*");
is(account_of("/glob/v1/messages", model => "gpt-5-pro"), "glob",
   "F144: models *-pro");
is(account_of("/glob/v1/messages", model => "gpt-5"), "rest",
   "F144: models gpt-5");

is_error($nginx->post("/glob/v1/messages", message(model => "gpt-5-mini")),
         404, "not_found_error", "F144: no account serves the model",
         qr/gpt-5-mini/);

$r = $nginx->post("/oauth-only/v1/messages", message());
ok($r->status >= 400 && $r->type, "no account of the platform")
    || diag($r->head, $r->body);

is($nginx->request("POST", "/v1/messages", body => message(), key => undef)
         ->status, 401, "F024: keys on is the default");
is($nginx->request("POST", "/keys-off/v1/messages", body => message(),
                   key => undef)->status, 200, "F032: keys off in a location");

sub size { $nginx->post($_[0], message(text => "x" x $_[1]))->status }

is(size("/v1/messages", 1000), 200, "max_body of http: below");
is(size("/v1/messages", 110_000), 413, "F026: max_body of http: above");
is(size("/small/v1/messages", 100), 200, "max_body of a location: below");
is(size("/small/v1/messages", 1000), 413, "F026: max_body of a location: above");
is(size("/big/v1/messages", 2_000_000), 200, "max_body 0: no limit");
is(size("/nested/in/v1/messages", 1000), 413, "max_body of the outer location");
is(size("/nested/other/v1/messages", 1000), 200, "max_body of the inner one");
is(size("/sized/v1/messages", 1000), 200,
   "claude_relay_max_body stands above client_max_body_size");

sub events { $nginx->post($_[0], stream(text => "sandbox($_[1])")) }

$r = events("/v1/messages", "first=600");
is_error($r, 503, "api_error", "F027: first_byte_timeout of http");
like($r->header("retry-after") // "", qr/^[1-9]\d*$/,
     "an answer of our own says when to come back");
is(events("/slow/v1/messages", "first=600")->status, 200,
   "F027: first_byte_timeout of a location");

$r = events("/idle/v1/messages", "stall-at=1");
is(($r->events)[-1][0], "error", "F027: idle_timeout");

like(events("/beats/v1/messages", "events=2,delay=150")->body, qr/^: /m,
     "heartbeat in a location");
unlike(events("/v1/messages", "events=2,delay=150")->body, qr/^: /m,
       "heartbeat off");

$nginx->post("/v1/messages", message());
is($nginx->log->{sticky}, "", "sticky off in http");
$nginx->post("/sticky/v1/messages", message());
is($nginx->log->{sticky}, "miss", "sticky in a location");
$nginx->post("/sticky-wait/v1/messages", message());
like($nginx->log->{sticky}, qr/miss|hit/,
     "sticky in a location without ttl is on");

my $cors = sub {
    my ($uri) = @_;
    return $nginx->request("OPTIONS", $uri,
                           headers => ["Origin: https://a.example"])
                 ->header("access-control-allow-origin") // "";
};

is($cors->("/v1/messages"), "https://a.example", "F029: cors of http");
is($cors->("/no-cors/v1/messages"), "", "F029: cors off in a location");

is_deeply([map { $_->{id} } @{ $nginx->get("/v1/models")->json->{data} }],
          ["claude-a"], "F004: models of http");
is_deeply([map { $_->{id} } @{ $nginx->get("/models/v1/models")->json->{data} }],
          ["claude-b"], "F004: models of a location");

events("/two-tries/v1/messages", "status=500");
is(scalar split(/,/, $nginx->log->{attempts}), 2, "tries 2 in a location");
events("/one-try/v1/messages", "status=500");
is(scalar split(/,/, $nginx->log->{attempts}), 1, "tries 1 in http");

my $wide = "sandbox(extra-header=x-wide:" . "w" x 3000 . ")";

is($nginx->post("/buffer/v1/messages", message(text => $wide))->status, 200,
   "a wide header in a buffer of 32k");
isnt($nginx->post("/v1/messages", message(text => $wide))->status, 200,
     "a wide header in a buffer of 1k");

is(size("/full/v1/messages", 10), 503, "F027: connect_timeout");
like($nginx->log->{attempts}, qr/^full:0:(timeout|network):[23]\d\d$/,
     "connect_timeout in the trail");
is(size("/deaf/v1/messages", 16_000_000), 503, "F027: send_timeout");
like($nginx->log->{attempts}, qr/^deaf:0:timeout:\d+$/,
     "send_timeout in the trail");

finish();
