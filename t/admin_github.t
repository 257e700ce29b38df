#!/usr/bin/perl

# Logins by GitHub (F193, F074): the way there and back, who may, which name somebody
# new gets, and what is forged, stale, repeated or broken on the way.

use warnings;
use strict;

use JSON::PP ();
use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ sleep /;

use ClaudeRelay;
use ClaudeRelayAdmin;


my $dir = tempdir("claude-relay-github-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $log = "$dir/log";

my $client_secret = "s3cr3t/of+the&client";

spew("$dir/secret", "$client_secret\n");


# A GitHub of our own.  A code says what shall happen: "ok.ID.LOGIN.ORG", and a
# token says the same.

sub answer {
    my ($status, $json, $more) = @_;

    my $body = ref $json ? encode($json) : $json;

    return "HTTP/1.1 $status X\r\nContent-Type: application/json\r\n"
           . ($more // "") . "Content-Length: " . length($body)
           . "\r\nConnection: close\r\n\r\n$body";
}

my $github = canned(sub {
    my ($request) = @_;

    open my $file, ">>", $log or die "$log: $!\n";
    syswrite $file, $request =~ s/\r\n/\n/gr . "\n----\n";
    close $file;

    my ($head, $body) = split /\r\n\r\n/, $request, 2;

    if ($head =~ m{^POST /gh/login/oauth/access_token }) {
        my ($code) = $body =~ /(?:^|&)code=([^&]*)/;

        return answer(200, { error => "bad_verification_code" })
            if $code !~ /^ok/;
        return answer(500, "{}") if $code =~ /^ok500/;
        return answer(200, "not JSON") if $code =~ /^okjunk/;
        return answer(302, "{}", "Location: http://127.0.0.1:1/\r\n")
            if $code =~ /^ok302/;
        return answer(200, { access_token => "gho\r\nX-Evil: 1" })
            if $code =~ /^okcrlf/;
        return answer(200, { access_token => "gho_$code",
                             token_type => "bearer", scope => "" });
    }

    my ($how, $id, $login, $org) =
        $head =~ /^authorization: Bearer gho_(\w+)\.([^.\r]*)\.([^.\r]*)\.(\S*)/mi
            or return answer(401, { message => "Bad credentials" });

    if ($head =~ m{^GET /api/v3/user }) {
        return answer(200, { login => $login, id => ($id || 0) + 0 })
            if $how ne "okstr";
        return answer(200, { login => $login, id => "$id" });
    }

    if ($head =~ m{^GET /api/v3/user/memberships/orgs/(\S+) }) {
        return answer(403, { message => "no" }) if $org eq "";
        return answer(503, { message => "down" }) if $org eq "down";
        return answer(404, { message => "Not Found" }) if lc $1 ne lc $org;
        return answer(200, { state => $how eq "okpending" ? "pending"
                                                          : "active" });
    }

    return answer(404, "{}");
});

my $url = $github->url;


sub start {
    my (%opt) = @_;

    my $github = $opt{github} // "allow=octocat,Hub-Bert,org:good,org:fine";

    return nginx(relay_http(
        http => store() . "claude_relay_control unix:control.sock;
            claude_relay_user taken_by_conf { }
            claude_relay_admin_github client_id=Iv1.abc secret=$dir/secret
                url=$url/gh/ api=$url/api/v3 $github;",
        server => "location /admin/ { claude_relay_admin; }
                   location /secure/ { claude_relay_admin;
                                       claude_relay_admin_cookie secure=on; }"),
        workers => 2);
}

my $up = sandbox();
my $nginx = start();
my $nobody = ClaudeRelayAdmin->new($nginx);
my $hasty;


# a browser: begins, and comes back; returns the last answer

sub begin {
    my ($who) = @_;

    my $r;

    for (1 .. 30) {
        $r = $who->call("GET", "/auth/github", undef, "Sec-Fetch-Site: none");

        last if $r->status != 429 || $hasty;
        sleep 0.5;
    }

    my ($cookie) = ($r->header("set-cookie") // "") =~ /^([^;]+)/;
    my ($state) = ($r->header("location") // "") =~ /[?&]state=(\w+)/;

    return ($r, $cookie, $state);
}

sub back {
    my ($who, $code, $state, $cookie, @headers) = @_;

    my $query = join "&", map { "$_->[0]=$_->[1]" }
                          grep { defined $_->[1] }
                               ["code", $code], ["state", $state];

    push @headers, "Cookie: $cookie" if defined $cookie;

    return $who->call("GET", "/auth/github/callback?$query", undef,
                      "Sec-Fetch-Site: cross-site", @headers);
}

sub login {
    my ($code, $ng) = @_;

    my $who = ClaudeRelayAdmin->new($ng // $nginx);
    my ($r, $cookie, $state) = begin($who);

    die "no way there: " . $r->body if $r->status != 302;

    $r = back($who, $code, $state, $cookie);

    if ($r->status == 302) {
        ($who->{cookie}) = grep { /^claude_relay_session=/ }
                           map { /^([^;]+)/ } cookies($r);
        my $s = $who->call("GET", "/session");
        $who->{csrf} = $s->json->{csrf};
        $who->{person} = $s->json->{person};
        $who->{role} = $s->json->{role};
    }

    $who->{answer} = $r;

    return $who;
}

sub cookies {
    my ($r) = @_;

    return $r->head =~ /^set-cookie: *([^\r\n]+)/gmi;
}

sub refused {
    my ($r, $status, $name, $like) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $ok = $r->status == $status && length $r->json->{error}{message}
             && (!defined $like || $r->json->{error}{message} =~ $like)
             && !grep { /^claude_relay_session=./ } cookies($r);

    ok($ok, $name) || diag($r->head, "\n", $r->body);
}


# ---- there and back

my ($r, $cookie, $state) = begin($nobody);

is($r->status, 302, "F193: sent to GitHub");
like($r->header("location"),
     qr{^\Q$url\E/gh/login/oauth/authorize\?client_id=Iv1\.abc
        &scope=read%3Aorg&allow_signup=false&state=[0-9a-f]{32}$}x,
     "with a state, and for no more than is needed");
like($r->header("set-cookie"),
     qr{^claude_relay_github=[0-9a-f]{32};\ Path=/admin/;\ Max-Age=600;
        \ HttpOnly;\ SameSite=Lax$}x, "in this browser");
unlike($r->header("location") . $r->header("set-cookie"),
       qr/\Q$client_secret\E/, "no secret leaves");

my $octo = login("ok.583231.octocat.");

is($octo->{answer}->status, 302, "F193: back, and logged in");
is($octo->{answer}->header("location"), "/admin/", "where it began");
is($octo->{person}, "octocat", "as a new person");
is($octo->{role}, "user", "who is a user");

my @cookies = cookies($octo->{answer});

ok((grep { m{^claude_relay_github=; Path=/admin/; Max-Age=0;} } @cookies),
   "the state's cookie is gone");
ok((grep { m{^claude_relay_session=[\w-]{43}; .*HttpOnly; SameSite=Strict} }
         @cookies), "the session's is there");

my $p = $nginx->control("GET", "/v1/people/octocat")->json;

is($p->{external}, "github:583231", "known by its number");
is($p->{has_password}, JSON::PP::false(), "without a password");
is($nginx->control("GET", "/v1/users/octocat")->status, 200,
   "with a user of its name");
is($octo->call("GET", "/keys")->status, 200, "sees keys of its own");
is($octo->call("GET", "/accounts")->status, 403, "and no accounts");

my $sent = slurp($log);

like($sent, qr{^POST /gh/login/oauth/access_token HTTP/1.1
Host: 127.0.0.1:@{[ $github->port ]}
}, "exchanged");
like($sent, qr/\n\nclient_id=Iv1\.abc&client_secret=s3cr3t%2Fof%2Bthe%26client
               &code=ok\.583231\.octocat\.\n/x, "with the client's secret");
like($sent, qr{^GET /api/v3/user HTTP/1.1\n(?:.+\n)*Authorization: Bearer gho_}m,
     "and asked who it is");

my $again = login("ok.583231.Octo-Renamed.good");

is($again->{person}, "octocat", "known again, whatever it is called now");
is(scalar(grep { ($_->{external} // "") eq "github:583231" }
          @{$nginx->control("GET", "/v1/people")->json->{people}}), 1,
   "as the same");


# ---- who may

refused(login("ok.99.mallory.")->{answer}, 403, "nobody else may", qr/may not/);
refused(login("ok.99.mallory.evil")->{answer}, 403, "no member of others");
refused(login("okpending.99.mallory.good")->{answer}, 403,
        "nobody who was invited");
is(login("ok.77.HUB-bert.")->{person}, "HUB-bert", "a list has no case");
is(login("ok.78.member.fine")->{person}, "member",
   "a member of the second one");
refused(login("ok.79.member2.down")->{answer}, 502,
        "whose membership is not known");
refused(login("ok.78.member.")->{answer}, 403,
        "who is no member any more is out");
is($nginx->control("GET", "/v1/people/mallory")->status, 404,
   "nobody was made of those");

is($nginx->control("PATCH", "/v1/people/octocat",
                   { enabled => JSON::PP::false() })->status, 200, "disabled");
is($octo->call("GET", "/session")->status, 401, "is out");
refused(login("ok.583231.octocat.")->{answer}, 403, "and does not get in");

is($nginx->control("POST", "/v1/people",
                   { name => "boss", role => "admin",
                     external => "github:4711" })->status, 201,
   "made before by an admin");
my $boss = login("ok.4711.somebody.good");
is($boss->{person}, "boss", "is known by its number");
is($boss->{role}, "admin", "as what it was made");


# ---- names that are taken

$nginx->control("POST", "/v1/people", { name => "alice", role => "admin" });
$nginx->control("POST", "/v1/users", { name => "carol" });

is(login("ok.11.alice.good")->{person}, "alice-2",
   "F193: a person's name is not given away");
is(login("ok.12.alice.good")->{person}, "alice-3", "nor the next one");
is(login("ok.13.carol.good")->{person}, "carol-2",
   "nor a user's, who has keys");
is(login("ok.14.taken_by_conf.good")->{person}, "taken_by_conf-2",
   "nor one of nginx.conf");
is($nginx->control("GET", "/v1/people/alice")->json->{role}, "admin",
   "who had it is as before");


# ---- what is forged, stale or repeated

($r, $cookie, $state) = begin($nobody);
my (undef, $cookie2, $state2) = begin($nobody);

refused(back($nobody, "ok.583232.octocat.", $state), 400,
        "F193: another browser", qr/browser/);
refused(back($nobody, "ok.583232.octocat.", $state, $cookie2), 400,
        "the cookie of another login");
refused(back($nobody, "ok.583232.octocat.", "0" x 32, $cookie), 400,
        "a state that was made up");
refused(back($nobody, "ok.583232.octocat.", undef, $cookie), 400, "none");
refused(back($nobody, undef, $state, $cookie), 400, "no code");
refused(back($nobody, "ok.1%00", $state, $cookie), 400, "a code with NUL");
refused(back($nobody, "x" x 600, $state, $cookie), 400, "a long code");
refused(back($nobody, "ok", "../../x", $cookie), 400, "a path");
refused($nobody->call("GET", "/auth/github/callback?error=access_denied"
                             . "&state=$state"), 403, "GitHub says no",
        qr/access_denied/);

is(back($nobody, "ok.20.member20.good", $state, $cookie)->status, 302,
   "it is still good");
refused(back($nobody, "ok.20.member20.good", $state, $cookie), 400, "once");

# the login of an account is another kind of state

$nginx->control("POST", "/v1/people", { name => "op", role => "operator" });
my $e = $nginx->control("POST", "/v1/people/op/totp")->json;

refused(back($nobody, "ok.21.x.good", $e->{id}, $cookie2), 400,
        "an enrolment is no login");
is($nginx->control("POST", "/v1/people/op/totp",
                   { id => $e->{id}, code => "000000" })->status, 400,
   "and is still there");


# ---- GitHub in trouble

for my $how (["bad", "a code it does not know"], ["ok500.1.x.good", "500"],
             ["okjunk.1.x.good", "no JSON"], ["ok302.1.x.good", "elsewhere"],
             ["okcrlf.1.x.good", "a token with a line feed"],
             ["ok.0.x.good", "no number"], ["ok..x.good", "none at all"],
             ["okstr.5.x.good", "a number that is a text"],
             ["ok.6.a%2Fb.good", "a name that is none"])
{
    refused(login($how->[0])->{answer}, 502, "GitHub: $how->[1]", qr/GitHub/);
}

is($nobody->call("GET", "/auth/github?x=1")->status, 400, "no query");
is($nobody->call("POST", "/auth/github", {})->status, 401,
   "no other method without a login");
is($nginx->control("GET", "/v1/auth/github")->status, 400,
   "nobody logs in at the control socket");

my $secure = ClaudeRelayAdmin->new($nginx, prefix => "/secure");
($r) = begin($secure);
like($r->header("set-cookie"), qr{Path=/secure/.*; Secure$}, "secure=on");

$hasty = 1;
my $many = grep { (begin($nobody))[0]->status == 429 } 1 .. 100;
$hasty = 0;

cmp_ok($many, ">", 0, "F074: not without end");

unlike($nginx->error_log . $nginx->access_log, qr/s3cr3t|gho_/,
       "no log has a secret");
unlike(encode($nginx->control("GET", "/v1/actions")->json),
       qr/s3cr3t|gho_/, "nor has the trail");

$nginx->stop;


# ---- without a list nobody new gets in

$nginx = start(github => "role=viewer");
$nginx->control("POST", "/v1/people", { name => "boss", role => "admin",
                                        external => "github:4711" });

refused(login("ok.583231.octocat.")->{answer}, 403, "no list: nobody new");
is(login("ok.4711.boss.")->{person}, "boss", "who is known does");
$nginx->stop;

$nginx = start(github => "allow=octocat role=viewer");
$nginx->control("POST", "/v1/users", { name => "octocat" });

my $viewer = login("ok.583231.octocat.");
is($viewer->{role}, "viewer", "role=viewer");
is($viewer->{person}, "octocat", "who sees all may have a user's name");
$nginx->stop;

$nginx = nginx(relay_http(
    http => store() . "claude_relay_control unix:control.sock;",
    server => "location /admin/ { claude_relay_admin; }"));
refused(ClaudeRelayAdmin->new($nginx)->call("GET", "/auth/github"), 404,
        "without the directive");
$nginx->stop;


# ---- configurations

my %bad = (
    "claude_relay_admin_github client_id=x;" => qr/needs/,
    "claude_relay_admin_github secret=$dir/secret;" => qr/needs/,
    "claude_relay_admin_github client_id=x secret=$dir/none;" => qr/none/,
    "claude_relay_admin_github client_id=x secret=$dir/secret role=root;"
        => qr/role=root/,
    "claude_relay_admin_github client_id=x secret=$dir/secret allow=a/b;"
        => qr{a/b},
    "claude_relay_admin_github client_id=x secret=$dir/secret allow=a,,b;"
        => qr/invalid name/,
    "claude_relay_admin_github client_id=x secret=$dir/secret url=x;"
        => qr/invalid URL/,
    "claude_relay_admin_github client_id=x secret=$dir/secret api=http://a/?b;"
        => qr/invalid URL/,
    "claude_relay_admin_github client_id=x secret=$dir/secret what=1;"
        => qr/what=1/,
    "claude_relay_admin_github client_id=x secret=$dir/secret;" x 2
        => qr/duplicate/);

for my $conf (sort keys %bad) {
    my $said = config(relay_http(http => store() . $conf)) // "";

    like($said, $bad{$conf}, "refused: $conf");
    unlike($said, qr/s3cr3t/, "without the secret");
}

finish();
