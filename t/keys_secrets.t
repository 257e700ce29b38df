#!/usr/bin/perl

# F185: secrets of all kinds, in all places where they may stand, while
# everything goes wrong that can; and none of them in any log, number or
# answer.

use warnings;
use strict;

use File::Temp ();
use Test::More;
use Time::HiRes qw/ sleep /;

use ClaudeRelay;


my $up = sandbox();
my $seed = $up->oauth_seed(name => "seeded");
my $dead = $up->oauth_seed(name => "dead");

my %planted = (
    relay_key => "planted-relay-key-0001",
    file_key => "planted-key-in-a-file-0002",
    wrong_key => "planted-wrong-key-0003",
    store_key => "planted-key-of-the-store-0004",
    account_key => "sk-ant-api03-planted-account-0005",
    odd_key => "planted-odd-account-key-0006",
    api_key => "sk-ant-api03-planted-by-api-0007",
    proxy_password => "planted-proxy-password-0008",
    dead_proxy => "planted-dead-proxy-0009",
    body => "planted-in-a-body-0010",
    cookie => "planted-cookie-0011",
    header => "planted-header-0012",
    query => "planted-query-key-0013",
    passphrase => "planted-store-passphrase-0014",
    basic => "cGxhbnRlZC1iYXNpYzowMDE1",
    other_bearer => "planted-second-bearer-0016",
    access => $seed->{access},
    refresh => $seed->{refresh},
    dead_access => $dead->{access},
    dead_refresh => $dead->{refresh},
);

$ClaudeRelay::KEY = $planted{relay_key};


# an upstream that tells all it was sent, in an error

my %status = (e400 => "400 Bad Request", e401 => "401 Unauthorized",
              e403 => "403 Forbidden", e429 => "429 Too Many Requests",
              e500 => "500 Internal Server Error", e529 => "529 Overloaded");

my $echo = canned(sub {
    my ($request) = @_;

    my ($which) = $request =~ /#(e\d\d\d|header|cut)/;
    $which //= "e400";

    return "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncut"
        if $which eq "cut";
    return "HTTP/1.1 200 OK\r\n" . substr($request, 0, 500)
        if $which eq "header";

    my $body = encode({ type => "error", error => {
                        type => "api_error", message => $request } });

    return "HTTP/1.1 $status{$which}\r\nContent-Type: application/json\r\n"
           . "Retry-After: 0\r\nSet-Cookie: a=$planted{cookie}\r\n"
           . "Content-Length: " . length($body) . "\r\n\r\n$body";
});

my ($has_metrics) = config(relay_http(
    server => "location = /metrics { claude_relay_metrics; }"));

my $here = root();
my $files = File::Temp::tempdir("claude-relay-secrets-XXXXXX", TMPDIR => 1,
                                CLEANUP => 1);

spew("$files/key", "$planted{file_key}\n");
spew("$files/passphrase", "$planted{passphrase}\n");
chmod 0600, "$files/key", "$files/passphrase";

my $nginx = nginx(<<"END", workers => 2, level => "info", allow => [ qr/./ ]);
    claude_relay_zone relay:2m;
    claude_relay_store %%DIR%%/relay.db passphrase=file:$files/passphrase;
    claude_relay_usage_poll off;
    claude_relay_oauth claude-oauth token_url=%%UP%%/v1/oauth/token
                                    authorize_url=%%UP%%/oauth/authorize;
    claude_relay_control unix:%%DIR%%/control.sock;

    claude_relay_key alice { secret $planted{relay_key}; }
    claude_relay_key filed { secret file:$files/key; }

    @{[ account("one", "api_key $planted{account_key};") ]}
    @{[ account("echo", "pool echo; api_key $planted{odd_key};
                         base_url " . $echo->url . ";") ]}
    @{[ account("behind", "pool behind; proxy
         http://me:$planted{dead_proxy}\@127.0.0.1:%%PORT9%%;") ]}
    @{[ account("seeded", "platform claude-oauth; pool tokens;
                           access_token $seed->{access};
                           refresh_token $seed->{refresh};") ]}
    @{[ account("dead", "platform claude-oauth; pool dead;
                         access_token $dead->{access};
                         refresh_token $dead->{refresh};") ]}

    include $here/conf/log_format.conf;
    access_log %%DIR%%/relay.log claude_relay;

    server {
        listen 127.0.0.1:%%PORT%%;
        claude_relay_retry_wait 0;
        location / { claude_relay; }
        location /echo/ { claude_relay; claude_relay_pool echo; }
        location /behind/ { claude_relay; claude_relay_pool behind; }
        location /tokens/ { claude_relay; claude_relay_pool tokens; }
        location /dead/ { claude_relay; claude_relay_pool dead; }
        location = /health { claude_relay_health full=on; }
        @{[ $has_metrics ? "location = /metrics { claude_relay_metrics; }"
                         : "" ]}
    }
END

my (%seen, @answers);


sub ask {
    my ($path, $text, %opt) = @_;

    my $r = $nginx->request("POST", "$path/v1/messages" . ($opt{args} // ""),
        body => message(text => "$text $planted{body}"),
        key => exists $opt{key} ? $opt{key} : $planted{relay_key},
        headers => [ "content-type: application/json",
                     "cookie: sid=$planted{cookie}",
                     "x-private: $planted{header}",
                     @{ $opt{headers} // [] } ]);

    $seen{$r->status}++;
    push @answers, $r->head . $r->body if !$opt{echoes};

    return $r;
}


# all goes well, and all goes wrong

is(ask("", "fine")->status, 200, "served");
is(ask("", "fine", key => $planted{file_key})->status, 200, "a key in a file");
is(ask("", "no", key => $planted{wrong_key})->status, 401, "a wrong key");
is(ask("", "no", key => undef)->status, 401, "no key");
is(ask("", "fine", key => undef, args => "?key=$planted{relay_key}")->status,
   200, "a key in the query");
is(ask("", "no", key => undef, args => "?a=b&key=$planted{query}")->status, 401,
   "a wrong one in the query");
is(ask("", "no", headers => [ "authorization: Bearer $planted{other_bearer}" ])
   ->status, 401, "two keys that differ");
is(ask("", "no", key => undef,
       headers => [ "authorization: Basic $planted{basic}" ])->status, 401,
   "another scheme");

for my $command ("status=400", "status=401", "status=429", "status=500",
                 "status=529", "reset-at=1", "cut-at=1", "garbage",
                 "error-first=overloaded_error", "header-forever")
{
    ask("", "sandbox($command)");
    $nginx->control("POST", "/v1/accounts/one/reset");
}

for my $which (sort(keys %status), "header", "cut") {
    ask("/echo", "#$which", echoes => 1);
    $nginx->control("POST", "/v1/accounts/echo/reset");
}

ask("/behind", "a proxy that is not there");
ask("/tokens", "fine");

$up->oauth(do => "revoke-access", chain => "seeded");
is(ask("/tokens", "a refresh")->status, 200, "a refresh");

my $pair = $up->oauth_chain("seeded");
@planted{qw/ new_access new_refresh /} = @{$pair}{qw/ access refresh /};

$up->oauth(do => "kill", chain => "dead");
ask("/dead", "a refresh that is refused");

# nginx itself quotes the begin of a line that is too long, at level "info"
# (docs/audit.md tells so); what stands before it, it does not

my $c = $nginx->connect;
$c->send("POST /v1/messages HTTP/1.1\r\nHost: a\r\nx-api-key: "
         . "$planted{relay_key}\r\nContent-Length: 10\r\nx: "
         . "y" x 40000 . "$planted{header}\r\n\r\n");
push @answers, $c->read_until(qr/\r\n\r\n/);
$c->close;

$c = $nginx->connect;
$c->send("POST /v1/messages HTTP/1.1\r\nHost: a\r\nx-api-key: "
         . "$planted{relay_key}\r\nContent-Length: 100\r\n\r\n{\"a\":\""
         . $planted{body});
sleep 0.2;
$c->close;

cmp_ok($seen{401}, ">=", 4, "there were refusals");
cmp_ok(scalar(grep { $_ >= 500 } keys %seen), ">=", 1, "and failures");


# the control API: what is made, changed, refused, shown

sub call {
    my ($method, $path, $json) = @_;

    my $r = $nginx->control($method, $path, $json);
    push @answers, $r->head . $r->body;

    return $r;
}

is(call("POST", "/v1/accounts", { name => "made", platform => "anthropic",
        api_key => $planted{api_key}, base_url => $up->url,
        proxy => "http://me:$planted{proxy_password}\@127.0.0.1:1" })->status,
   201, "an account is made");
call("POST", "/v1/accounts", { name => "bad name", platform => "anthropic",
     api_key => $planted{api_key} });
call("POST", "/v1/accounts", { name => "again", platform => "no-such-platform",
     api_key => $planted{api_key} });
call("POST", "/v1/accounts", { name => "made", platform => "anthropic",
     api_key => $planted{api_key} });
call("POST", "/v1/accounts", { name => "worse", platform => "anthropic",
     api_key => $planted{api_key},
     proxy => "gopher://me:$planted{proxy_password}\@a:1" });
call("POST", "/v1/accounts", "{\"api_key\":\"$planted{api_key}\"");
call("PATCH", "/v1/accounts/made", { api_key => "$planted{api_key}\n" });
call("POST", "/v1/accounts/made/test", {});
call("POST", "/v1/accounts/one/test", {});
call("POST", "/v1/accounts/echo/test", {});
call("POST", "/v1/accounts/dead/refresh", {});
call("POST", "/v1/accounts/seeded/refresh", {});

my $r = call("POST", "/v1/keys", { name => "stored",
                                   secret => $planted{store_key} });

# told once, and only by this answer

my $made = pop @answers;

if ($r->status == 201) {
    wait_for(sub { ask("", "fine", key => $planted{store_key})->status == 200 },
             5);
    is(ask("", "fine", key => $planted{store_key})->status, 200,
       "a key of the store");
    call("GET", "/v1/keys");
    call("GET", "/v1/keys/stored");
    call("PATCH", "/v1/keys/stored", { secret => $planted{store_key} });
    call("POST", "/v1/keys", { name => "twice", secret => $planted{store_key} });
    call("POST", "/v1/keys", { name => "short", secret => "planted-0" });
}

call("GET", $_) for qw{ /v1/status /v1/accounts /v1/accounts/made
                        /v1/accounts/one /v1/accounts/seeded
                        /v1/accounts/dead /v1/usage /v1/audit };

push @answers, map { $nginx->get($_)->body } "/health?full", "/health";
push @answers, $nginx->get("/metrics")->body if $has_metrics;

$nginx->reload;
ask("", "after a reload");


# F186: by the script of conf/logrotate.conf

my $dir = $nginx->dir;
my ($script) = slurp("$here/conf/logrotate.conf")
               =~ /postrotate\n(.*?)\n\s*endscript/s;

spew("$dir/pid-to-rotate", $nginx->pid . "\n");
$script =~ s{/run/nginx\.pid}{$dir/pid-to-rotate}g;

rename "$dir/relay.log", "$dir/relay.log.1";
is(system("sh", "-c", $script), 0, "F186: the script of conf/logrotate.conf");
ok(wait_for(sub { -e "$dir/relay.log" }, 10), "F186: a new file");

wait_for(sub {
    ask("", "fine");
    return -s "$dir/relay.log";
}, 10);

like(slurp("$dir/relay.log"), qr/^\{"time":.*\}$/m,
     "F186: rotated: goes on in a new file");
is(scalar(grep { !eval { json($_); 1 } }
          split /\n/, slurp("$dir/relay.log.1")), 0,
   "F186: rotated: no line of the old one is cut");

$nginx->stop;
$echo->stop;


sub clean {
    my ($text, $where) = @_;

    cmp_ok(length $text, ">", 100, "$where: there is something to look at");

    for my $name (sort keys %planted) {
        my $at = index $text, $planted{$name};

        ok($at < 0, "F185: $where: no $name")
            || diag(substr $text, $at > 100 ? $at - 100 : 0, 200);
    }
}

clean($nginx->error_log, "error.log");
clean(slurp("$dir/relay.log.1") . slurp("$dir/relay.log"),
      "access log of conf/log_format.conf");
clean(join("\n", @answers), "answers, health, control"
                            . ($has_metrics ? ", metrics" : ""));
clean(join("", map { slurp($_) } grep { -f } glob "$dir/relay.db*"),
      "the store");

like(slurp("$dir/relay.log.1"), qr/"key":"alice"/, "whose key it was is told");


finish();
