#!/usr/bin/perl

# The client profile (F113 to F117, F123): what requests of other clients are
# given on their way to accounts of claude-oauth where an operator has
# switched it on, and that nothing else is changed, ever.

use warnings;
use strict;

use File::Temp qw/ tempdir /;
use JSON::PP ();
use Test::More;

use ClaudeRelay;


my $identity = "You are Claude Code, Anthropic's official CLI for Claude.";
my $block = qq({"type":"text","text":"$identity"});
my $conf = root() . "/conf/claude_code_profile.conf";

my $up = sandbox();

sub oauth { account($_[0], "platform claude-oauth; access_token "
                           . "sk-ant-oat01-$_[0]; $_[1]") }

my $accounts = account("one")
    . oauth("own", "pool oauth;")
    . oauth("front", "pool mixed; priority 200;")
    . account("back", "pool mixed; priority 100;")
    . account("key", "pool mixed2; priority 200;")
    . oauth("token", "pool mixed2; priority 100;")
    . oauth("first", "pool two; priority 200;")
    . oauth("second", "pool two; priority 100;")
    . account("gateway", "platform console; pool gateway;"
                         . " api_key other-key; credential bearer;");

my $on = "claude_relay; claude_relay_client_profile claude-code;";

my $nginx = relay(
    accounts => $accounts,
    http => "include $conf; claude_relay_rest overloaded=0;",
    server => <<"END",
        listen 127.0.0.1:%%PORT1%% http2;
        claude_relay_retry_wait 0;
        claude_relay_sticky off;

        location /off/ { claude_relay; claude_relay_pool oauth; }
        location /on/ { $on claude_relay_pool oauth; }
        location /on/small/ { $on claude_relay_pool oauth;
                              client_body_buffer_size 1k; }
        location /on/file/ { $on claude_relay_pool oauth;
                             client_body_in_file_only clean; }
        location /on/single/ { $on claude_relay_pool oauth;
                               client_body_in_single_buffer on; }
        location /on/late/ { $on claude_relay_pool oauth; mirror /mirror; }
        location /on/late-file/ { $on claude_relay_pool oauth; mirror /mirror;
                                  client_body_buffer_size 1k; }
        location = /mirror { return 204; }
        location /on/plain/ { $on }
        location /on/gateway/ { $on claude_relay_pool gateway; }
        location /on/mixed/ { $on claude_relay_pool mixed; }
        location /on/mixed2/ { $on claude_relay_pool mixed2; }
        location /on/two/ { $on claude_relay_pool two; }
        location /on/bare/ { $on claude_relay_pool oauth;
                             claude_relay_profile_system ""; }
END
);

my $r;


# the raw lines of a request, and what arrived

sub sends {
    my ($uri, $body, @headers) = @_;

    my $c = $nginx->connect;

    $c->request("POST", $uri, key => undef, body => $body,
                headers => ["x-api-key: $ClaudeRelay::KEY", @headers]);
    $r = $c->response;
    $c->close;

    return $up->last;
}

sub header {
    my ($last, $name) = @_;

    return join "|", map { /^\Q$name\E:[ \t]*(.*)$/i ? $1 : () }
                         @{ $last->{headers} };
}

# the body and its length

sub arrived {
    my ($last, $body, $name) = @_;

    ok($last->{body_sha256} eq sha256($body)
       && header($last, "content-length") eq length $body
       && header($last, "transfer-encoding") eq "", $name)
        || diag "got: ", header($last, "content-length"), " ",
                substr($last->{body}, 0, 600), "\nexpected: ", length $body,
                " ", substr $body, 0, 600;
}


my @python = (
    "Accept: text/event-stream",
    "User-Agent: Anthropic/Python 0.80.0",
    "X-Stainless-Lang: python",
    "X-Stainless-Async: false",
    "x-stainless-timeout: 30",
    "X-Stainless-Unheard-Of: 1",
    "anthropic-version: 2026-10-21",
    "X-Claude-Code-Session-Id: s-1",
    "X-Own: a  b",
    "CF-Ray: 1",
    "X-Forwarded-For: 10.0.0.1",
    "Cookie: a=b",
    "Origin: https://example.com",
    "Accept-Encoding: gzip, br",
    "Content-Type: application/json",
);

my @claude_code = (
    "Accept: application/json",
    "Content-Type: application/json",
    "User-Agent: claude-cli/2.0.1 (external, sdk-ts)",
    "X-Stainless-Lang: js",
    "X-Stainless-Package-Version: 0.60.0",
    "anthropic-beta: interleaved-thinking-2025-05-14",
    "anthropic-version: 2023-06-01",
    "x-app: cli",
);


# 1. off is off: whatever stands in the configuration

my $body = message(system => "be brief");

for my $headers (\@python, \@claude_code) {

    my $last = sends("/off/v1/messages?x=1", $body, @$headers);

    is($r->status, 200, "off: status");
    arrived($last, $body, "off: the body is the client's");
    is($last->{target}, "/v1/messages?x=1", "off: the query");

    my @sent = grep { !/^(cf-ray|x-forwarded-for|cookie|origin):/i } @$headers;

    s/^(Accept-Encoding:).*/$1 identity/ for @sent;
    s/^(anthropic-beta: )/${1}oauth-2025-04-20,/ for @sent;
    unshift @sent, "Authorization: Bearer sk-ant-oat01-own";
    push @sent, "anthropic-beta: oauth-2025-04-20"
        if !grep { /^anthropic-beta/ } @sent;

    is_deeply([grep { !/^(host|content-length):/i } @{ $last->{headers} }],
              \@sent, "off: the headers are the client's");
    is($nginx->log(1)->{profile}, "off", "off: \$claude_relay_profile");
}


# 2. the headers of another client (F115, F116, F123)

my %profile = (
    "accept" => "application/json",
    "user-agent" => "claude-cli/2.1.220 (external, cli)",
    "x-app" => "cli",
    "anthropic-version" => "2023-06-01",
    "anthropic-dangerous-direct-browser-access" => "true",
    "x-stainless-lang" => "js",
    "x-stainless-package-version" => "0.94.0",
    "x-stainless-os" => "Linux",
    "x-stainless-arch" => "x64",
    "x-stainless-runtime" => "node",
    "x-stainless-runtime-version" => "v26.3.0",
    "x-stainless-retry-count" => "0",
    "x-stainless-timeout" => "600",
    "x-stainless-async" => "",
);

my $last = sends("/on/v1/messages", $body, @python);

is($r->status, 200, "on: status") || diag $r->body;

for my $name (sort keys %profile) {
    my $row = $name eq "user-agent" ? "F115" : "F116";
    is(header($last, $name), $profile{$name}, "$row: $name, once");
}

is(header($last, "x-own"), "a  b", "F116: another header is the client's");
is(header($last, "x-stainless-unheard-of"), "1",
   "F116: only what is named is replaced");
is(header($last, "x-claude-code-session-id"), "s-1", "F116: the session too");
is(header($last, "authorization"), "Bearer sk-ant-oat01-own",
   "F116: the credential is the account's");
is(header($last, "x-api-key"), "", "F116: and the only one");
is(header($last, "accept-encoding"), "identity", "F123: accept-encoding");
is(header($last, $_), "", "F123: $_ is dropped")
    for qw/ cf-ray x-forwarded-for cookie origin /;
is($nginx->log(1)->{profile}, "applied", "on: \$claude_relay_profile");

unlike(join("\n", @{ $last->{headers} }, $last->{body}),
       qr/metadata|user_id|x-client-request-id|billing/i,
       "nothing is invented");

$last = sends("/on/v1/messages", $body);
is(header($last, "user-agent"), $profile{"user-agent"},
   "F115: a client without any header");
is(header($last, "anthropic-version"), "2023-06-01", "F116: a version, once");


# 3. betas (F114)

my $messages = "claude-code-20250219,oauth-2025-04-20,"
    . "interleaved-thinking-2025-05-14,context-management-2025-06-27,"
    . "prompt-caching-scope-2026-01-05,effort-2025-11-24,"
    . "extended-cache-ttl-2025-04-11";

sub betas {
    my ($name, $expected, $uri, $request, @lists) = @_;

    my $sent = sends($uri, $request, map { "anthropic-beta: $_" } @lists);

    is(header($sent, "anthropic-beta"), $expected, "F114: $name");
}

betas("none of the client's", $messages, "/on/v1/messages", $body);
betas("the client's in front, as they are", "b, a,"
      . "effort-2025-11-24,b," . $messages =~ s/,effort-2025-11-24//r,
      "/on/v1/messages", $body, "b, a,effort-2025-11-24,b");
betas("two headers are one list", "a,b,$messages", "/on/v1/messages", $body,
      "a", "b");
betas("an empty one", $messages, "/on/v1/messages", $body, "");
betas("all there", $messages, "/on/v1/messages", $body, $messages);
betas("haiku: no claude-code",
      "oauth-2025-04-20,interleaved-thinking-2025-05-14", "/on/v1/messages",
      message(model => "claude-haiku-4-5"));
betas("haiku: the client's own stays",
      "claude-code-20250219,oauth-2025-04-20,interleaved-thinking-2025-05-14",
      "/on/v1/messages", message(model => "claude-haiku-4-5"),
      "claude-code-20250219");
betas("count_tokens", "claude-code-20250219,oauth-2025-04-20,"
      . "interleaved-thinking-2025-05-14,context-management-2025-06-27,"
      . "token-counting-2024-11-01", "/on/v1/messages/count_tokens", $body);

is(header($up->last, "x-stainless-timeout"), "",
   "F116: count_tokens has no x-stainless-timeout");
$last = sends("/on/v1/messages/count_tokens", $body, @python);
is(header($last, "x-stainless-timeout"), "",
   "F116: count_tokens: nor that of the client");
is($r->status, 200, "count_tokens: status");


# 4. the query (F113)

for (["", "?beta=true"], ["?", "?beta=true"], ["?a=b", "?a=b&beta=true"],
     ["?beta=true", "?beta=true"], ["?a=b&beta=true", "?a=b&beta=true"],
     ["?beta=false", "?beta=false"], ["?beta", "?beta"],
     ["?betas=1", "?betas=1&beta=true"], ["?xbeta=1", "?xbeta=1&beta=true"],
     ["?key=$ClaudeRelay::KEY", "?beta=true"])
{
    my ($query, $expected) = @$_;

    is(sends("/on/v1/messages$query", $body)->{target},
       "/v1/messages$expected", "F113: query \"$query\"");
}


# 5. the leading block (F117), in every shape of a body

my $text = qq("messages":[{"role":"user","content":"hi"}]);
my $bill = qq({"type":"text","text":"x-anthropic-billing-header: cc=1;"});
my $a = qq({"type":"text","text":"a\\u0062","cache_control":{"type":)
        . qq("ephemeral"}});

my @shapes = (
    ["no system", qq({"model":"m",$text}),
     qq({"system":[$block],"model":"m",$text})],
    ["no system, blanks", qq(\r\n {\n"model":"m", $text } ),
     qq(\r\n {"system":[$block],\n"model":"m", $text } )],
    ["a string", qq({"model":"m", "system" : "be \\"brief\\" \x{c3}\x{a4}\\n",)
                 . qq($text}),
     qq({"model":"m", "system" : [$block,{"type":"text","text":"be \\"brief\\")
     . qq( \x{c3}\x{a4}\\n"}],$text})],
    ["a string, the last member", qq({"model":"m",$text,"system":"x"}),
     qq({"model":"m",$text,"system":[$block,{"type":"text","text":"x"}]})],
    ["an empty string", qq({"system":"","model":"m",$text}),
     qq({"system":[$block],"model":"m",$text})],
    ["null", qq({"system":null,"model":"m",$text}),
     qq({"system":[$block],"model":"m",$text})],
    ["an empty array", qq({"system": [ ] ,"model":"m",$text}),
     qq({"system": [$block ] ,"model":"m",$text})],
    ["an array", qq({"model":"m","system":[ $a, $a ],$text}),
     qq({"model":"m","system":[$block, $a, $a ],$text})],
    ["an attribution stays the first", qq({"model":"m","system":[$bill,$a],)
                                       . qq($text}),
     qq({"model":"m","system":[$bill,$block,$a],$text})],
    ["the block is there", qq({"model":"m","system":[$block,$a],$text})],
    ["a longer one that begins so", qq({"model":"m","system":[{"text":)
     . qq("$identity And so on.","type":"text"}],$text})],
    ["the block is the second", qq({"model":"m","system":[$bill,$block],)
                                . qq($text})],
    ["a string that begins so", qq({"model":"m","system":"$identity",$text})],
    ["its escapes do not matter", qq({"model":"m","system":"\\u0059)
     . substr($identity, 1) . qq(",$text})],
    ["the block is the third", qq({"model":"m","system":[$a,$a,$block],$text}),
     qq({"model":"m","system":[$block,$a,$a,$block],$text})],
    ["an object is the upstream's to refuse",
     qq({"model":"m","system":{"text":"a"},$text})],
);

my $json = JSON::PP->new->utf8->canonical;

for (@shapes) {
    my ($name, $sent, $expected) = @$_;
    $expected //= $sent;

    for my $uri ("/on", "/on/small", "/on/file", "/on/single", "/on/late",
                 "/on/late-file")
    {
        arrived(sends("$uri/v1/messages", $sent), $expected,
                "F117: $uri: $name");
    }

    arrived(sends("/on/v1/messages/count_tokens", $sent), $expected,
            "F117: count_tokens: $name");
    arrived(sends("/off/v1/messages", $sent), $sent, "off: $name");

    my ($was, $is) = map { $json->decode($_) } $sent, $expected;

    delete @$_{qw/ system /} for $was, $is;
    is($json->encode($is), $json->encode($was), "F117: $name: the rest");
}

arrived(sends("/on/bare/v1/messages", $body, @python), $body,
        "F117: an empty text leaves the body alone");
is(header($up->last, "user-agent"), $profile{"user-agent"},
   "F117: but not the headers");

sends("/on/v1/messages", qq({"model":"m","system":));
is($r->status, 400, "a broken body is refused");
is_deeply([$up->since ? 1 : 0, scalar $up->since], [1, 0],
          "and not sent");


# 6. sizes and framings

sub long {
    my ($size, $where) = @_;

    my $fill = "0123456789abcdef" x ($size / 16);
    my $first = qq("x":"$fill");
    my @parts = ($first, qq("model":"m"), $text);

    return (join(",", "{$first", qq("model":"m","system":"be brief",$text})),
            join(",", "{$first", qq("model":"m","system":[$block,{"type":)
                      . qq("text","text":"be brief"}],$text})))
        if $where eq "behind";

    return (qq({"model":"m","system":"$fill",$text}),
            qq({"model":"m","system":[$block,{"type":"text","text":"$fill"}],)
            . qq($text}));
}

for my $size (900, 5_000, 70_000, 1_500_000) {
    for my $where ("in system", "behind") {
        my ($sent, $expected) = long($size, $where);

        arrived(sends("$_/v1/messages", $sent), $expected,
                "F117: $size bytes $where: $_")
            for "/on", "/on/small", "/on/file", "/on/late-file";
        arrived(sends("/off/v1/messages", $sent), $sent,
                "off: $size bytes $where");
    }
}

my ($large, $larger) = long(24_000_000, "in system");

arrived(sends("/on/v1/messages", $large), $larger, "F117: 24 MB");
undef $_ for $large, $larger;

sub chunks {
    my ($data, $size) = @_;

    my $out = "";

    for (my $i = 0; $i < length $data; $i += $size) {
        my $piece = substr $data, $i, $size;
        $out .= sprintf "%x\r\n%s\r\n", length $piece, $piece;
    }

    return $out . "0\r\n\r\n";
}

for ([40, 1], [5_000, 7], [70_000, 4096], [1_300_000, 60_000]) {
    my ($size, $chunk) = @$_;

    for my $uri ("/on", "/on/small", "/on/file") {
        my ($sent, $expected) = long($size, "in system");
        my $c = $nginx->connect;

        $c->request("POST", "$uri/v1/messages",
                    headers => ["Transfer-Encoding: chunked"]);
        $c->send(chunks($sent, $chunk));

        is($c->response->status, 200, "F117: $uri: chunks of $chunk: status");
        arrived($up->last, $expected, "F117: $uri: chunks of $chunk");
        $c->close;
    }
}

# byte by byte

{
    my ($sent, $expected) = ($shapes[7][1], $shapes[7][2]);
    my $c = $nginx->connect;

    $c->send("POST /on/v1/messages HTTP/1.1\r\nHost: a\r\nx-api-key: "
             . "$ClaudeRelay::KEY\r\nContent-Length: " . length($sent)
             . "\r\n\r\n");

    for (split //, $sent) {
        $c->send($_);
        select undef, undef, undef, 0.001;
    }

    is($c->response->status, 200, "F117: byte by byte: status");
    arrived($up->last, $expected, "F117: byte by byte");
    $c->close;
}

# a connection that is kept goes on with the right length

{
    my $c = $nginx->connect;

    for my $n (1 .. 3) {
        $c->request("POST", "/on/v1/messages", body => $body);
        is($c->response->status, 200, "kept connection: $n");
        like($up->last->{body}, qr/^\{.*\}$/s, "kept connection: body $n");
    }

    $c->close;
}

SKIP: {
    skip "curl without HTTP/2", 2
        if `curl --version 2>/dev/null` !~ /^Features:.*HTTP2/m;

    my ($sent, $expected) = long(70_000, "in system");
    my $file = tempdir("claude-relay-h2-XXXXXX", TMPDIR => 1, CLEANUP => 1)
               . "/body";

    spew($file, $sent);

    my $status = `curl -s -o /dev/null --http2-prior-knowledge -w '%{http_code}' \\
        -H 'x-api-key: $ClaudeRelay::KEY' --data-binary \@$file \\
        http://127.0.0.1:@{[ port(1) ]}/on/v1/messages`;

    is($status, 200, "F117: HTTP/2: status");
    arrived($up->last, $expected, "F117: HTTP/2");
}


# 7. a genuine client is left alone, byte for byte (B.6)

for my $app ("cli", "cli-bg") {
    my @headers = map { s/^x-app: cli$/x-app: $app/r } @claude_code;

    for (@shapes) {
        my ($name, $sent) = @$_;

        my $last = sends("/on/v1/messages?x=1", $sent, @headers);

        arrived($last, $sent, "genuine, $app: $name");
        is($last->{target}, "/v1/messages?x=1", "genuine, $app: the query");

        my $off = sends("/off/v1/messages?x=1", $sent, @headers);

        is_deeply($last->{headers}, $off->{headers},
                  "genuine, $app: the headers are as with \"off\"");
    }

    sends("/on/v1/messages", $body, @headers);
    is($nginx->log(1)->{profile}, "genuine",
       "genuine, $app: \$claude_relay_profile");
}

for my $other (["User-Agent: claude-cli/2.0.1", "x-app: web"],
               ["User-Agent: claude-cli/2.0.1"],
               ["User-Agent: Claude-CLI/2.0.1", "x-app: cli"],
               ["User-Agent: x claude-cli/2.0.1", "x-app: cli"],
               ["x-app: cli"], [])
{
    sends("/on/v1/messages", $body, @$other);
    is($nginx->log(1)->{profile}, "applied", "not genuine: @$other");
}


# 8. other accounts and other operations are left alone

for my $uri ("/on/plain", "/on/gateway") {
    my $last = sends("$uri/v1/messages?x=1", $body, @python);

    is($r->status, 200, "$uri: status");
    arrived($last, $body, "$uri: the body");
    is($last->{target}, "/v1/messages?x=1", "$uri: the query");
    is(header($last, "user-agent"), "Anthropic/Python 0.80.0",
       "$uri: user-agent");
    is(header($last, "anthropic-version"), "2026-10-21", "$uri: version");
    is(header($last, "anthropic-beta"), "", "$uri: no beta");
    is($nginx->log(1)->{profile}, "off", "$uri: \$claude_relay_profile");
}

$last = sends("/on/plain/v1/messages/batches", $body, @python);
arrived($last, $body, "a batch: the body");
is(header($last, "user-agent"), "Anthropic/Python 0.80.0",
   "a batch: user-agent");


# 9. failover: each attempt is decided anew, in both directions

for my $size (100, 70_000, 1_500_000) {

    my ($sent, $expected) = long($size, "in system");

    for my $uri ("mixed", "mixed2") {
        my ($fails, @wanted) = $uri eq "mixed"
            ? ("sk-ant-oat01-front", $expected, $sent)
            : ("sk-ant-key-000001", $sent, $expected);

        $up->reset;
        $up->behave($fails, "status=529,once");

        sends("/on/$uri/v1/messages?x=1", $sent, @python);
        is($r->status, 200, "failover: $uri, $size bytes: status");

        my @tries = $up->last(2);

        is(scalar @tries, 2, "failover: $uri, $size bytes: two attempts");

        for my $i (0, 1) {
            my $edited = $wanted[$i] eq $expected;

            arrived($tries[$i], $wanted[$i],
                    "failover: $uri, $size bytes: body $i");
            is($tries[$i]{target},
               "/v1/messages?x=1" . ($edited ? "&beta=true" : ""),
               "failover: $uri, $size bytes: query $i");
            is(header($tries[$i], "user-agent"),
               $edited ? $profile{"user-agent"} : "Anthropic/Python 0.80.0",
               "failover: $uri, $size bytes: user-agent $i");
        }

        is($nginx->log(1)->{profile}, $uri eq "mixed" ? "off" : "applied",
           "failover: $uri, $size bytes: that of the last attempt");
    }

    $up->reset;
    $up->behave("sk-ant-oat01-first", "status=529,once");
    sends("/on/two/v1/messages", $sent);

    arrived($_, $expected, "failover: two tokens, $size bytes")
        for $up->last(2);
}

# a kept connection that was dead: the same attempt again

$up->reset;
$up->behave("sk-ant-oat01-own", "early-close,once");
sends("/on/v1/messages", $body);

my ($dead, $twice) = long(5_000, "in system");

sends("/on/v1/messages", $dead);
is($r->status, 200, "a dead connection: status");
arrived($up->last, $twice, "a dead connection: the body");


$nginx->stop;


# 10. inheritance

my $levels = relay(
    accounts => $accounts,
    http => <<'END',
        claude_relay_client_profile claude-code;
        claude_relay_profile_header X-Level http;
        claude_relay_profile_header X-Http 1;
        claude_relay_profile_betas messages http-beta;
        claude_relay_profile_betas haiku http-haiku;
        claude_relay_profile_system "From http.";
        claude_relay_pool oauth;
END
    server => <<'END',
        claude_relay_profile_betas messages server-a,server-b server-c;
        location /location/ {
            claude_relay;
            claude_relay_profile_header X-Level location;
            claude_relay_profile_header User-Agent "" messages;
            claude_relay_profile_system 'Say "x\y".';
        }
        location /off/ { claude_relay; claude_relay_client_profile off; }
END
);

sub levels {
    my ($uri, $model) = @_;

    $r = $levels->post($uri, qq({"model":"$model",$text}), "User-Agent: me");

    return $up->last;
}

$last = levels("/v1/messages", "m");
is(header($last, "x-level"), "http", "inherited from http: header");
is(header($last, "x-http"), "1", "inherited from http: another");
is(header($last, "user-agent"), "me", "not in the profile: the client's");
is(header($last, "anthropic-version"), "2023-06-01",
   "not in the profile: the default");
is(header($last, "anthropic-beta"),
   "oauth-2025-04-20,server-a,server-b,server-c",
   "from the server: betas, and the one that the account needs");
is($last->{body}, qq({"system":[{"type":"text","text":"From http."}],)
                  . qq("model":"m",$text}), "inherited from http: system");

$last = levels("/v1/messages", "claude-haiku-4-5");
is(header($last, "anthropic-beta"), "oauth-2025-04-20,http-haiku",
   "betas are inherited each by itself");

$last = levels("/v1/messages/count_tokens", "m");
is(header($last, "anthropic-beta"), "oauth-2025-04-20",
   "no betas of count_tokens");

$last = levels("/location/v1/messages", "m");
is(header($last, "x-level"), "location", "of the location: header");
is(header($last, "x-http"), "", "headers are replaced as a whole");
is(header($last, "user-agent"), "", "an empty value drops the client's");
like($last->{body}, qr/^\{"system":\[\{"type":"text","text":"Say \\"x\\\\y\\"\."\}\],/,
     "of the location: system, escaped");

$last = levels("/off/v1/messages", "m");
is(header($last, "x-level"), "", "off in a location: headers");
is($last->{body}, qq({"model":"m",$text}), "off in a location: body");


$levels->stop;


# 11. over TLS, where bytes of a file are copied to be sent

my $dir = tempdir("claude-relay-tls-XXXXXX", TMPDIR => 1, CLEANUP => 1);

system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
       . " -keyout $dir/key.pem -out $dir/cert.pem -days 3 -subj /CN=test"
       . " > $dir/log 2>&1") == 0 or die slurp("$dir/log");

my $tls = sandbox("-l", "127.0.0.1:0", "-p", "127.0.0.1:0", "-t",
                  "$dir/cert.pem", "-k", "$dir/key.pem");

$nginx = relay(
    accounts => oauth("tls", "base_url https://127.0.0.1:" . $tls->port . ";"),
    http => "include $conf; claude_relay_ssl_verify off;"
            . " claude_relay_client_profile claude-code;",
    server => "location /file/ { claude_relay;"
              . " client_body_in_file_only clean; }",
);

for my $size (100, 70_000, 1_500_000) {
    for my $uri ("", "/file") {
        my ($sent, $expected) = long($size, "behind");

        $r = $nginx->post("$uri/v1/messages", $sent);
        is($r->status, 200, "TLS: $uri, $size bytes: status");
        arrived($tls->last, $expected, "TLS: $uri, $size bytes");
    }
}


# 12. mistakes in the configuration

sub refused {
    my ($name, $regex, %opt) = @_;

    my ($ok, $said) = config(relay_http(accounts => $accounts, %opt));

    ok(!$ok, "refused: $name");
    like($said, $regex, "refused: $name: message");
}

refused("no headers", qr{include conf/claude_code_profile\.conf, for .*:\d+},
        location => "claude_relay_client_profile claude-code;");
refused("an unknown profile", qr/invalid value "yes"/,
        location => "claude_relay_client_profile yes;");
refused("twice", qr/"claude_relay_client_profile" directive is duplicate/,
        location => "claude_relay_client_profile off;" x 2);
refused("a name with a colon", qr/invalid name of a header "X:"/,
        location => "claude_relay_profile_header X: 1;");
refused("an empty name", qr/invalid name of a header ""/,
        location => 'claude_relay_profile_header "" 1;');
refused("a line break", qr/has a control character/,
        location => "claude_relay_profile_header X-A \"a\nX-B: b\";");
refused("the same header twice", qr/duplicate profile header "x-a"/,
        location => "claude_relay_profile_header X-A 1;"
                    . "claude_relay_profile_header x-a 2;");
refused("an unknown operation", qr/"models" is neither/,
        location => "claude_relay_profile_header X-A 1 models;");
refused("$_", qr/"\Q$_\E" is no header for a profile/,
        location => "claude_relay_profile_header $_ 1;")
    for qw/ Authorization X-Api-Key Host Content-Length Transfer-Encoding
            Connection Accept-Encoding anthropic-beta Cookie CF-Ray
            X-Forwarded-For X-Claude-Code-Session-Id session_id /;
refused("betas of what", qr/"models" is none of/,
        location => "claude_relay_profile_betas models a;");
refused("betas \"$_\"", qr/invalid list of betas "\Q$_\E"/,
        location => "claude_relay_profile_betas messages \"$_\";")
    for "", ",", "a,,b", "a,", ",a", "a b", "a\rb";
refused("betas twice", qr/"claude_relay_profile_betas" directive is duplicate/,
        location => "claude_relay_profile_betas haiku a;" x 2);
refused("a long text", qr/the text is longer than 160 bytes/,
        location => "claude_relay_profile_system " . "x" x 161 . ";");
refused("two texts", qr/"claude_relay_profile_system" directive is duplicate/,
        location => 'claude_relay_profile_system "";' x 2);

my ($ok, $said) = config(relay_http(accounts => $accounts, http =>
    "claude_relay_client_profile claude-code;", server => "include $conf;"));
ok($ok, "the file that ships, in a server") || diag $said;

($ok, $said) = config(relay_http(accounts => $accounts, location =>
    "include $conf; claude_relay_client_profile claude-code;"
    . "claude_relay_profile_system " . "x" x 160 . ";"));
ok($ok, "the file that ships, in a location, with a text") || diag $said;

finish();
