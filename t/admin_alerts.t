#!/usr/bin/perl

# Alerts and webhooks (F110, F198, N06): what is told, to whom, once, and at
# least once whatever dies on the way.

use warnings;
use strict;

use Digest::SHA qw/ hmac_sha256_hex hmac_sha256_base64 /;
use Test::More;
use Time::HiRes qw/ sleep time /;

use ClaudeRelay;
use ClaudeRelayHooks;


my $SECRET = "planted-hook-secret-0001";
my $TOKEN = "planted-path-token-0002";

my $up = sandbox();
my $listener = ClaudeRelayHooks->new;
my @told;


sub http {
    return relay_http(
        http => "claude_relay_zone relay:2m;
                 claude_relay_store store/relay.db secret=relay.key;
                 claude_relay_usage_poll off;
                 claude_relay_oauth claude-oauth
                     token_url=%%UP%%/v1/oauth/token;
                 claude_relay_allow_private_upstreams on;
                 claude_relay_alerts interval=500ms hold=1s calm=1s min=5
                                     errors=50% resting=3s
                                     service=test-relay;
                 claude_relay_rest server=1s;
                 claude_relay_control unix:control.sock;",
        accounts => account("one")
                    . login_account("two", more => "pool other;")
                    . account("max", "platform claude-oauth; pool max;
                                      access_token sk-ant-oat01-max;"),
        keys => "claude_relay_key alice { secret $ClaudeRelay::KEY;
                                          limit requests:50/day; }
                 claude_relay_key few { secret few-secret-0001;
                                        limit requests:5/day;
                                        limit requests:5/minute; }",
        server => "location /other/ { claude_relay;
                                      claude_relay_pool other; }
                   location /max/ { claude_relay; claude_relay_pool max; }",
    );
}


my $nginx = nginx(http(), workers => 4,
                  allow => [qr/exited on signal 9/]);


sub call {
    my ($method, $path, $json, @headers) = @_;

    my $r = $nginx->control($method, $path, $json, @headers);

    push @told, $r->head, $r->body;

    return $r;
}


sub hook {
    my ($name, %set) = @_;

    my $r = call("POST", "/v1/hooks", { name => $name, kind => "json", %set });

    is($r->status, 201, "hook $name is made") || diag $r->body;

    return $r;
}


sub events {
    my ($path, $type, $state) = @_;

    return grep { $_->{json} && $_->{json}{type} eq $type
                  && (!$state || $_->{json}{state} eq $state) }
                $listener->got($path);
}


# the first of a type and a state

sub event {
    my ($path, $type, $state, $n) = @_;

    my @got;

    wait_for(sub { (@got = events($path, $type, $state)) >= ($n // 1) }, 20);

    return $got[-1] // {};
}


# nobody can use its tokens any more; somebody logs in

sub lose {
    $up->oauth(do => "kill", chain => "two");

    return $nginx->post("/other/v1/messages", message());
}


sub login {
    my $seed = $up->oauth_seed(name => "two");

    is(call("POST", "/v1/accounts/two/tokens",
            { access_token => $seed->{access},
              refresh_token => $seed->{refresh},
              expires => int($seed->{expires_at} / 1000) })->status, 200,
       "a login");
}


# 1. hooks, and what is none

{
    my $url = $listener->url("/json/$TOKEN");
    my $r = hook("main", url => $url, secret => $SECRET);
    my $etag = $r->header("etag");
    my $j = $r->json;

    is($j->{host}, "127.0.0.1:" . $listener->port, "its host is shown");
    is($j->{url_end}, "0002", "and how its URL ends");
    is_deeply($j->{secret}, JSON::PP::true, "that it has a secret");
    is($j->{state}, undef, "nothing was told yet");
    ok(grep({ $_ eq "needs-login" } @{ $j->{types} }), "all types");
    is_deeply($j->{levels}, [qw/ info warning critical /], "all levels");

    for (["name taken", { name => "main", kind => "json", url => $url }, 409],
         ["no name", { kind => "json", url => $url }, 400],
         ["a path for a name",
          { name => "../x", kind => "json", url => $url }, 400],
         ["no kind", { name => "x", url => $url }, 400],
         ["a kind that is none",
          { name => "x", kind => "smtp", url => $url }, 400],
         ["a long kind",
          { name => "x", kind => "j" x 99, url => $url }, 400],
         ["no url", { name => "x", kind => "json" }, 400],
         ["a url that is none",
          { name => "x", kind => "json", url => "ftp://h/" }, 400],
         ["a url with a password",
          { name => "x", kind => "json", url => "http://u:p\@h/" }, 400],
         ["a url of two lines",
          { name => "x", kind => "json", url => "http://h/\r\nX: y" }, 400],
         ["a secret of two lines", { name => "x", kind => "json",
                                     url => $url, secret => "a\nb" }, 400],
         ["no chat", { name => "x", kind => "telegram",
                       secret => "t" }, 400],
         ["a type that is none", { name => "x", kind => "json", url => $url,
                                   types => ["x"] }, 400],
         ["types of none", { name => "x", kind => "json", url => $url,
                             types => [] }, 400],
         ["a level that is none", { name => "x", kind => "json",
                                    url => $url, levels => [1] }, 400],
         ["a limit that is none", { name => "x", kind => "json",
                                    url => $url, limit => -1 }, 400],
         ["resolved: a text", { name => "x", kind => "json", url => $url,
                                resolved => "yes" }, 400],
         ["an unknown member", { name => "x", kind => "json", url => $url,
                                 colour => 1 }, 400],
         ["enabled: a number", { name => "x", kind => "json", url => $url,
                                 enabled => 1 }, 400])
    {
        my ($name, $body, $status) = @$_;

        $r = call("POST", "/v1/hooks", $body);
        is($r->status, $status, "POST: $name") || diag $r->body;
    }

    is(call("GET", "/v1/hooks/x")->status, 404, "none of it was made");
    is(call("GET", "/v1/hooks?x=y")->status, 400, "no parameters");
    is(call("GET", "/v1/alerts?x=y")->status, 400, "none of alerts");
    is(call("GET", "/v1/alerts?type=x")->status, 400, "no such type");

    $r = call("PATCH", "/v1/hooks/main", { limit => 900 },
              'If-Match: "77"');
    is($r->status, 412, "PATCH: another version");
    $r = call("PATCH", "/v1/hooks/main", { limit => 900 },
              "If-Match: $etag");
    is($r->status, 200, "PATCH: this one");
    is($r->json->{limit}, 900, "PATCH: changed");
    is($r->json->{url_end}, "0002", "PATCH: the rest stays");
    isnt($r->header("etag"), $etag, "PATCH: another version now");
    is(call("PATCH", "/v1/hooks/main", { name => "x" })->status, 400,
       "PATCH: not its name");
    is(call("PATCH", "/v1/hooks/main", { url => "nonsense" })->status, 400,
       "PATCH: no URL");
    is(call("PATCH", "/v1/hooks/none", {})->status, 404, "PATCH: none");
    is(call("DELETE", "/v1/hooks/main", undef, "If-Match: $etag")->status,
       412, "DELETE: another version");
    is(call("DELETE", "/v1/hooks/none")->status, 404, "DELETE: none");
    is(call("DELETE", "/v1/hooks/none", undef, 'If-Match: "1"')->status, 404,
       "DELETE: none, of a version");
    is(call("POST", "/v1/hooks/none/test")->status, 404, "test: none");
    is(call("POST", "/v1/hooks/main/test", { x => 1 })->status, 400,
       "test: no members");
}


# 2. a test of each kind: F198

{
    my %set = (
        slack => { url => $listener->url("/slack/$TOKEN") },
        discord => { url => $listener->url("/discord/$TOKEN") },
        telegram => { url => $listener->url("/telegram/"),
                      secret => "123:$TOKEN", chat_id => -100,
                      thread_id => 7 },
        feishu => { url => $listener->url("/feishu/$TOKEN"),
                    secret => $SECRET },
        dingtalk => { url => $listener->url("/dingtalk/?t=$TOKEN"),
                      secret => $SECRET },
        wecom => { url => $listener->url("/wecom/?key=$TOKEN") },
        bark => { url => $listener->url("/bark"), secret => $TOKEN },
    );

    my %path = (
        (map { $_ => "/$_/$TOKEN" } qw/ slack discord feishu /),
        json => "/json/$TOKEN", telegram => "/telegram/bot123:$TOKEN/"
                                            . "sendMessage",
        dingtalk => "/dingtalk/", wecom => "/wecom/", bark => "/bark/push",
    );

    for my $kind ("json", sort keys %set) {

        my $name = $kind eq "json" ? "main" : $kind;

        hook($kind, kind => $kind, types => ["audit"], %{ $set{$kind} })
            if $kind ne "json";

        my $r = call("POST", "/v1/hooks/$name/test");
        my $j = $r->json;

        is($r->status, 200, "F198 $kind: a test");
        ok($j->{ok} && $j->{status} == 200 && $j->{ms} >= 0 && !$j->{error},
           "F198 $kind: was told") || diag $r->body;

        my ($got) = $listener->got($path{$kind});

        like($got->{header}{"content-type"}, qr{^application/json},
             "F198 $kind: JSON");
        is($got->{header}{host}, "127.0.0.1:" . $listener->port,
           "F198 $kind: its host");

        my $text = $got->{body};
        my $lines = qr{This is a test.*If you can read this}s;

        like($text, $lines, "F198 $kind: in words");

        $j = $got->{json};

        if ($kind eq "json") {
            my ($t, $v) = $got->{header}{"x-claude-relay-signature"}
                          =~ /^t=(\d+),v1=([0-9a-f]{64})$/;

            is($v, hmac_sha256_hex("$t.$text", $SECRET), "json: signed");
            cmp_ok(abs($t - time), "<", 60, "json: just now");
            is($got->{header}{"x-claude-relay-event"}, "test", "json: type");
            is($got->{header}{"x-claude-relay-delivery"}, $j->{id},
               "json: id");
            is_deeply([sort keys %$j],
                      [qw/ fields id level service state subject text time
                           title type /], "json: members");
            is($j->{service}, "test-relay", "json: who tells it");
            is_deeply($j->{fields}, { hook => "main" }, "json: fields");

        } elsif ($kind eq "slack") {
            like($j->{text}, $lines, "slack: text");

        } elsif ($kind eq "discord") {
            is_deeply($j->{allowed_mentions}, { parse => [] },
                      "discord: nobody is called");

        } elsif ($kind eq "telegram") {
            is($j->{chat_id}, "-100", "telegram: chat");
            is($j->{message_thread_id}, 7, "telegram: thread");
            ok(!exists $j->{parse_mode}, "telegram: a text");

        } elsif ($kind eq "feishu") {
            is($j->{sign}, hmac_sha256_base64("",
                               "$j->{timestamp}\n$SECRET") . "=",
               "feishu: signed");
            is($j->{msg_type}, "text", "feishu: a text");

        } elsif ($kind eq "dingtalk") {
            my ($t, $sign) = $got->{path} =~ /timestamp=(\d+)&sign=(\S+)/;

            $sign =~ s/%(..)/chr hex $1/ge;

            is($sign, hmac_sha256_base64("$t\n$SECRET", $SECRET) . "=",
               "dingtalk: signed");
            like($got->{path}, qr/\?t=$TOKEN&timestamp=/, "dingtalk: URL");
            is($j->{msgtype}, "text", "dingtalk: a text");

        } elsif ($kind eq "wecom") {
            like($j->{text}{content}, $lines, "wecom: content");

        } elsif ($kind eq "bark") {
            is($j->{device_key}, $TOKEN, "bark: key");
            like($j->{title}, qr/This is a test/, "bark: title");
        }
    }

    # what says no in a 200

    for (["slack", "no_service", qr/not "ok"/],
         ["dingtalk", '{"errcode":310000}', qr/310000/],
         ["feishu", '{"code":19021}', qr/19021/],
         ["wecom", '{"errcode":93000}', qr/93000/],
         ["telegram", '{"ok":false}', qr/ok/])
    {
        my ($kind, $body, $error) = @$_;

        $listener->say($path{$kind}, 1,
                       ClaudeRelayHooks::http("200 OK", $body));

        my $j = call("POST", "/v1/hooks/$kind/test")->json;

        ok(!$j->{ok} && $j->{status} == 200, "F198 $kind: says no");
        like($j->{error}, $error, "F198 $kind: and why");
    }

    $listener->say("/json/$TOKEN", 1, ClaudeRelayHooks::http("302 Found", "",
                   "Location: " . $listener->url("/elsewhere")));

    my $j = call("POST", "/v1/hooks/main/test")->json;

    ok(!$j->{ok} && $j->{status} == 302, "a redirect is a failure");
    is(scalar $listener->got("/elsewhere"), 0, "and is not followed");

    $j = call("GET", "/v1/hooks/main")->json->{state};
    is_deeply([@$j{qw/ told failed given_up /}, $j->{last}{ok},
               $j->{last}{status}],
              [1, 1, 0, JSON::PP::false, 302], "a hook's state");

    $j = call("GET", "/v1/hooks")->json->{hooks};
    is(scalar @$j, 8, "all hooks");

    is(call("DELETE", "/v1/hooks/$_")->status, 204, "$_ goes")
        for sort keys %set;
}


hook("quiet", url => $listener->url("/quiet"), resolved => JSON::PP::false);
hook("quota", url => $listener->url("/quota"), types => [qw/ quota /]);
hook("warnings", url => $listener->url("/warnings"), levels => ["warning"]);
hook("off", url => $listener->url("/off"), enabled => JSON::PP::false);

$listener->forget;

# the teller learns of hooks every five seconds

sleep 6;


# 3. F110: an account that needs a login, once over four workers

my $teller;

{
    my $main = "/json/$TOKEN";

    isnt(lose()->status, 200, "F110: its tokens are gone");

    my $e = event($main, "needs-login", "firing");

    is($e->{json}{subject}, "account/two", "F110: told");
    is($e->{json}{level}, "critical", "F110: level");
    like($e->{json}{title}, qr/two needs a login/, "F110: title");
    is($e->{json}{fields}{account}, "two", "F110: fields");
    ok($e->{header}{"x-claude-relay-signature"}, "F110: signed");

    ($teller) = $e->{json}{id} =~ /-(\d+)-/;

    my $p = event($main, "pool", "firing");

    is($p->{json}{subject}, "pool/other", "nobody serves in its pool: told");

    # many a pass later

    sleep 3;

    is(scalar events($main, "needs-login"), 1, "F110: once over 4 workers");
    is(scalar events($main, "pool"), 1, "the pool: once");
    is(scalar events("/quiet", "needs-login"), 1, "F198: another hook");
    is(scalar $listener->got($_), 0, "F198: not $_")
        for qw{ /quota /warnings /off };

    my $j = call("GET", "/v1/alerts")->json;

    is_deeply([sort map { $_->{subject} } @{ $j->{alerts} }],
              ["account/two", "pool/other"], "the alerts that are on");
    ok(!grep({ exists $_->{step} } @{ $j->{alerts} }), "nothing of ours");
    is_deeply($j->{ended}, [], "none has ended");
    is(scalar @{ call("GET", "/v1/alerts?type=pool")->json->{alerts} }, 1,
       "of a type");

    login();

    $e = event($main, "needs-login", "resolved");
    is($e->{json}{subject}, "account/two", "told to be over");
    like($e->{json}{text}, qr/over/, "in words");
    event($main, "pool", "resolved");

    is(scalar events("/quiet", "needs-login", "resolved"), 0,
       "F198: who does not want the end");

    $j = call("GET", "/v1/alerts")->json;
    is_deeply($j->{alerts}, [], "none is on");
    is(scalar @{ $j->{ended} }, 2, "two have ended");
}


# 4. quota, budget, errors

{
    my $main = "/json/$TOKEN";

    is($nginx->post("/max/v1/messages", message(),
                    "x-sandbox: util-5h=0.85")->status, 200, "quota: 85%");

    my $e = event("/quota", "quota", "firing");

    is($e->{json}{subject}, "account/max/5h", "quota: told");
    is($e->{json}{level}, "warning", "quota: a warning");
    is($e->{json}{fields}{used}, "85%", "quota: how much");

    event("/warnings", "quota", "firing");

    $nginx->post("/max/v1/messages", message(), "x-sandbox: util-5h=0.97");

    $e = event("/quota", "quota", "firing", 2);
    is($e->{json}{level}, "critical", "quota: the second threshold");
    is($e->{json}{fields}{used}, "97%", "quota: how much");
    is(scalar events("/warnings", "quota"), 1, "quota: no warning");

    $nginx->post("/max/v1/messages", message(), "x-sandbox: util-5h=0.10");
    event("/quota", "quota", "resolved");
    is(scalar events("/quota", "quota"), 3, "quota: three times in all");

    for (1 .. 4) {
        $nginx->request("POST", "/v1/messages", key => "few-secret-0001",
                        body => message());
    }

    $e = event($main, "budget", "firing");

    is($e->{json}{subject}, "key/few/requests:5/day", "budget: told");
    is($e->{json}{level}, "warning", "budget: a warning");

    $nginx->request("POST", "/v1/messages", key => "few-secret-0001",
                    body => message());

    $e = event($main, "budget", "firing", 2);
    is($e->{json}{level}, "critical", "budget: used up");
    sleep 2;
    is(scalar events($main, "budget"), 2, "budget: what a minute has is none");

    # of the store, by buckets

    my $key = call("POST", "/v1/keys", { name => "stored",
                                         limits => ["requests:2/week"] });

    pop @told for 1 .. 2;

    is($key->status, 201, "budget: a key of the store");
    $nginx->request("POST", "/v1/messages", key => $key->json->{secret},
                    body => message()) for 1 .. 2;

    ok(wait_for(sub {
        grep { $_->{json}{subject} eq "key/stored/requests:2/week"
               && $_->{json}{level} eq "critical" } events($main, "budget");
    }, 20), "budget: told");

    # one that rests

    $nginx->post("/max/v1/messages", message(),
                 "x-sandbox: status=429,retry-after=600");

    $e = event($main, "resting", "firing");
    is($e->{json}{subject}, "account/max", "resting: told");
    like($e->{json}{fields}{until}, qr/^\d{4}-/, "resting: until when");

    call("POST", "/v1/accounts/max/reset");
    event($main, "resting", "resolved");

    $up->behave("sk-ant-one-000001", "status=400");
    $nginx->post("/v1/messages", message()) for 1 .. 6;
    sleep 2;
    is(scalar events($main, "errors"), 0, "errors: a client's are its own");

    $up->behave("sk-ant-one-000001", "status=500");
    $nginx->post("/v1/messages", message()) for 1 .. 25;
    $up->behave("sk-ant-one-000001", "");

    $e = event($main, "errors", "firing");
    cmp_ok($e->{json}{fields}{failed}, ">=", 5, "errors: told");
}


# 5. what fails is told again, later

{
    my $main = "/retry";

    hook("retry", url => $listener->url($main), types => ["needs-login"]);
    sleep 6;

    wait_for(sub { $nginx->post("/v1/messages", message())->status == 200 },
             20);

    $listener->forget;
    $listener->say($main, 2, ClaudeRelayHooks::http(
                             "500 Internal Server Error", "no"));

    lose();

    my @got = $listener->wait($main, 3, 30);

    is(scalar @got, 3, "F198: told at the third try");
    is(scalar grep({ $_->{json}{id} eq $got[0]{json}{id} } @got), 3,
       "F198: the same thing");
    cmp_ok($got[1]{time} - $got[0]{time}, ">=", 0.9, "F198: a pause");
    cmp_ok($got[2]{time} - $got[1]{time}, ">=", 3.9, "F198: a longer one");

    my $j;

    wait_for(sub {
        $j = call("GET", "/v1/hooks/retry")->json->{state};
        $j->{last}{ok};
    });

    is($j->{failed}, 2, "F198: failures are counted");
    is($j->{told}, 1, "F198: and what was told");
    $nginx->wait_error(qr/hook "retry" was not told, try 2 of 8: status 500/);

    # who says when, is asked then

    $listener->forget;
    $listener->say($main, 1, ClaudeRelayHooks::http(
                             "429 Too Many Requests", "", "Retry-After: 4"));

    login();

    @got = $listener->wait($main, 2, 30);
    cmp_ok($got[1]{time} - $got[0]{time}, ">=", 3.9, "F198: Retry-After");

    event("/json/$TOKEN", $_, "resolved") for qw/ pool needs-login /;
}


# 6. nothing is lost when a worker is killed, nor when nginx is stopped

{
    my $main = "/json/$TOKEN";

    $listener->forget;
    $listener->say($main, 1, "hang");

    lose();

    my ($e) = $listener->wait($main, 1, 20);

    ok(grep({ $_ == $teller } $nginx->workers), "the teller is a worker");
    kill "KILL", $teller;

    my @again;

    ok(wait_for(sub {
        @again = grep { $_->{json}{id} eq $e->{json}{id} }
                      $listener->got($main);
        @again >= 2;
    }, 30), "kill -9: another one tells it again");

    event($main, "pool", "firing");
    sleep 3;

    is(scalar events($main, "needs-login", "firing"), 2,
       "kill -9: nothing is an alert twice");
    is(scalar events($main, "pool", "firing"), 1, "kill -9: the other, too");

    # a listener that is away while nginx stops

    $listener->forget;
    $listener->say($main, 99, ClaudeRelayHooks::http("503 Away", ""));

    login();

    @again = $listener->wait($main, 1, 20);
    $nginx->stop;
    $listener->say($main, 0, "");
    $listener->forget;
    $nginx->start;

    $e = event($main, "needs-login", "resolved");

    is($e->{json}{subject}, "account/two", "told after a restart");
    event($main, "pool", "resolved");
    sleep 2;

    is(scalar events($main, $_, "resolved"), 1, "a restart: $_ once")
        for qw/ pool needs-login /;
    is(scalar events($main, "needs-login", "firing"), 0,
       "a restart: nothing is told anew")
        || diag explain [events($main, "needs-login", "firing")],
                        $nginx->error_log;
}


# 7. a reload: the old workers stop to tell, the new ones begin

{
    my $main = "/json/$TOKEN";

    $listener->forget;

    $nginx->reload;

    lose();
    event($main, "needs-login", "firing");
    sleep 2;
    is(scalar events($main, "needs-login", "firing"), 1, "a reload: once");
}


# 8. the store fails: that is told all the same, and that it is well again

{
    my $main = "/json/$TOKEN";
    my $db = $nginx->dir . "/store/relay.db";

    $listener->forget;

    rename $db, "$db-kept" or die;
    spew($db, "nonsense\n" x 1000);

    my $e = event($main, "store", "firing");

    is($e->{json}{level}, "critical", "the store fails: told");
    like($e->{json}{text}, qr/relay\.db/, "the store fails: which one");
    is(call("GET", "/v1/alerts")->status, 503, "the store fails: no list");

    unlink $db;
    rename "$db-kept", $db or die;

    event($main, "store", "resolved");
    sleep 3;

    is(scalar events($main, "store", $_), 1, "the store: $_ once")
        for qw/ firing resolved /;
    is(call("GET", "/v1/hooks/main")->status, 200, "the store: well again");
}


# 9. private addresses are for nginx.conf to allow

{
    my $http = http();

    $http =~ s/(allow_private_upstreams) on;/$1 off;/;

    my %old = map { $_ => 1 } $nginx->workers;

    $nginx->reload($http);
    ok(wait_for(sub { !grep { $old{$_} } $nginx->workers }, 20),
       "other workers");

    for ("http://127.0.0.1/", "http://127.1:81/", "https://localhost/x",
         "http://169.254.169.254/latest", "http://[::1]/", "http://10.0.0.1/",
         "http://0x7f000001/", "http://[::ffff:127.0.0.1]/")
    {
        my $r = call("POST", "/v1/hooks",
                     { name => "x", kind => "json", url => $_ });

        is($r->status, 400, "refused: $_") || diag $r->body;
    }

    my $r = call("POST", "/v1/hooks/main/test");

    is($r->status, 409, "what was made before is not connected to");
    like($r->message, qr/127\.0\.0\.1/, "and is told why");
}


# 10. the directive

{
    for (["off", 1], ["quota=0.5", 1], ["quota=50%,90%,99% budget=off", 1],
         ["errors=off resting=off remind=off", 1], ["service=a-b interval=1s", 1],
         ["on", 0], ["x=1", 0], ["quota=", 0], ["quota=0.9,0.8", 0],
         ["quota=0.1,0.2,0.3,0.4,0.5", 0], ["quota=x", 0], ["quota=0", 0],
         ["quota=0.8,", 0], ["budget=11", 0], ["errors=101%", 0],
         ["min=0", 0], ["storm=x", 0], ["remind=soon", 0],
         ["interval=1ms", 0], ["interval=off", 0], ["service=", 0],
         ["quota=0.8 quota=0.9", 0], ["off; claude_relay_alerts off", 0])
    {
        my ($args, $good) = @$_;

        my ($ok, $said) = config(relay_http(
            http => "claude_relay_alerts $args;"));

        ok(!$ok == !$good, "claude_relay_alerts $args") || diag $said;
        unlike($said, qr/signal|alert\]/, "claude_relay_alerts $args: said so")
            if !$good;
    }
}


# 11. N06: no secret in what was told, nor in a log

{
    my $all = join "\n", @told, $nginx->error_log, $nginx->access_log;

    unlike($all, qr/\Q$SECRET/, "N06: no secret of a hook");
    unlike($all, qr/\Q$TOKEN/, "N06: no URL of one");

    my $store = slurp($nginx->dir . "/store/relay.db");

    unlike($store, qr/\Q$SECRET\E|\Q$TOKEN/, "N06: sealed in the store");

    # but the events have none either

    unlike(join("", map { $_->{body} } $listener->got("/json/$TOKEN")),
           qr/sk-ant-|\Q$SECRET/, "N06: none in an event");
}

$listener->stop;

finish();
