#!/usr/bin/perl

# Logins and imports of other platforms than Claude (F083, F085, F088, F089):
# with a browser, with the code of a device, and with files of their clients;
# what is asked after a login; what is said where a login cannot be.

use warnings;
use strict;

use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ sleep time /;

use ClaudeRelay;
use ClaudeRelayCommand;


my $up = sandbox();
my $dir = tempdir("claude-relay-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my @told;
my @secrets = qw/ sandbox-secret sandbox-aws-secret /;


sub http {
    return relay_http(
        http => "claude_relay_zone relay:2m;
                 claude_relay_store store/relay.db secret=relay.key;
                 claude_relay_usage_poll off;
                 claude_relay_oauth codex
                     authorize_url=%%UP%%/places/codex/authorize
                     token_url=%%UP%%/places/codex/token
                     device_url=%%UP%%/places/codex/device
                     poll_url=%%UP%%/places/codex/poll;
                 claude_relay_oauth code-assist
                     authorize_url=%%UP%%/places/google/authorize
                     token_url=%%UP%%/places/google/token
                     info_url=%%UP%%/places/google/userinfo
                     client_id=sandbox-client
                     client_secret=file:$dir/google.secret;
                 claude_relay_oauth droid
                     device_url=%%UP%%/places/workos/device
                     token_url=%%UP%%/places/workos/token
                     info_url=%%UP%%/places/workos/org;
                 claude_relay_oauth kiro
                     authorize_url=%%UP%%/places/kiro/authorize?idp=Google
                     token_url=%%UP%%/places/kiro/token
                     refresh_url=%%UP%%/places/kiro/refreshToken
                     register_url=%%UP%%/places/aws/register
                     device_url=%%UP%%/places/aws/device
                     poll_url=%%UP%%/places/aws/token;
                 claude_relay_control unix:control.sock;",
        accounts => account("one"));
}


ClaudeRelay::spew("$dir/google.secret", "sandbox-secret\n");

my $nginx = nginx(http(), workers => 2,
                  allow => [qr/is logged in, but|account "\S+": it may/]);


sub call {
    my ($method, $path, $json) = @_;

    my $r = $nginx->control($method, $path, $json);

    push @told, $r->head, $r->body;

    return $r;
}


sub place {
    my ($place, %arg) = @_;

    my $query = ClaudeRelay::Sandbox::query(place => $place, %arg);

    my $j = $up->control("POST", "/sandbox/places?$query");

    push @secrets, grep { length } $j->{access}, $j->{refresh};

    return $j;
}


sub agree {
    my ($url) = @_;

    my ($uri) = $url =~ m{^\w+://[^/]+(/.*)$};

    return $up->control("GET", $uri)->{location};
}


sub show { call("GET", "/v1/accounts/$_[0]")->json }


sub poll {
    my ($id, $seconds) = @_;

    my $end = time + ($seconds // 20);

    for ( ;; ) {
        my $r = call("POST", "/v1/logins/$id/poll", {});

        return $r if $r->status != 202 || time > $end;

        sleep $r->json->{interval};
    }
}


# 1. with a browser

{
    my $r = call("POST", "/v1/logins",
                 { name => "cx", platform => "codex", pool => "cx" });

    is($r->status, 201, "F085: a login of Codex begins") || diag $r->body;
    like($r->json->{url}, qr/[?&]codex_cli_simplified_flow=true&.*
                             redirect_uri=http%3A%2F%2Flocalhost%3A1455/x,
         "F085: with the parameters of its client");

    my $back = agree($r->json->{url});

    like($back, qr{^http://localhost:1455/auth/callback\?code=},
         "F085: the browser is sent back");

    my $bad = call("POST", "/v1/logins/" . $r->json->{id},
                   { code => $back =~ s/state=./state=x/r });

    is($bad->status, 400, "a state of another login is refused");

    $r = call("POST", "/v1/logins/" . $r->json->{id}, { code => $back });

    is($r->status, 200, "F085: and makes an account") || diag $r->body;

    my $meta = show("cx")->{identity};

    is($meta->{email}, "codex-1\@sandbox.example", "F085: whose it is");
    is($meta->{plan}, "plus", "F085: and its plan");
    is($meta->{chatgpt_account_id}, "acc-1", "F085: and the account's id");
}

{
    my $r = call("POST", "/v1/logins", { name => "ki", platform => "kiro" });

    unlike($r->json->{url}, qr/client_id|response_type/,
           "F089: Kiro's URL has its own parameters");

    my $back = agree($r->json->{url});

    like($back, qr{^kiro://kiro\.kiroAgent/authenticate-success\?code=},
         "F089: it comes back to an application");

    $r = call("POST", "/v1/logins/" . $r->json->{id}, { code => $back });

    is($r->status, 200, "F089: what stands in the browser is enough")
        || diag $r->body;
    is(show("ki")->{identity}{auth_method}, "social", "F089: a social login");
    like(show("ki")->{identity}{profile_arn}, qr/^arn:aws:codewhisperer:/,
         "F089: with its profile");
}

# 2. Google: what is asked after a login

{
    place("google", onboard => 1);

    my $r = call("POST", "/v1/logins",
                 { name => "ca", platform => "code-assist",
                   base_url => $up->url . "/places/google" });

    is($r->status, 201, "F083: a login of Code Assist begins")
        || diag $r->body;

    my ($code) = agree($r->json->{url}) =~ /code=([^&]+)/;

    $r = call("POST", "/v1/logins/" . $r->json->{id}, { code => $code });

    is($r->status, 200, "F083: the code that the page shows ends it")
        || diag $r->body;

    my $meta = show("ca")->{identity};

    is($meta->{project}, "onboarded-project",
       "F083: it is onboarded, after a wait, and has a project");
    is($meta->{email}, "google\@sandbox.example", "F083: whose it is");
}

{
    place("google", tier => 2);

    my $r = call("POST", "/v1/logins",
                 { name => "cb", platform => "code-assist",
                   base_url => $up->url . "/places/google" });

    $r = call("POST", "/v1/logins/" . $r->json->{id},
              { code => agree($r->json->{url}) });

    is($r->status, 200, "F083: one that may use no tier is logged in");
    like($r->json->{identity}{ineligible}, qr/^UNSUPPORTED_CLIENT: This client/,
         "F083: and it is told why it serves nothing");

    place("google", tier => 1);
}

# 3. with the code of a device

{
    my $r = call("POST", "/v1/logins",
                 { name => "cd", platform => "codex", device => \1 });

    is($r->status, 201, "F085: a login of a device begins") || diag $r->body;
    is($r->json->{user_code}, "CODE-X1", "F085: a code to be typed in");
    is($r->json->{verification_uri}, "https://auth.openai.com/codex/device",
       "F085: and where");
    is($r->json->{interval}, 1, "F085: and how often to ask");

    my $id = $r->json->{id};
    my $before = place("codex")->{codex}{polls};

    $r = call("POST", "/v1/logins/$id/poll", {});

    is($r->status, 202, "F085: a poll that is too early");
    is(place("codex")->{codex}{polls}, $before, "is not passed on");

    sleep 1.1;
    $r = call("POST", "/v1/logins/$id/poll", {});
    is($r->json->{status}, "pending", "F085: not yet");

    place("codex", device => 4);
    sleep 1.1;
    $r = call("POST", "/v1/logins/$id/poll", {});
    is($r->json->{interval}, 6, "slow_down: 5 seconds more (RFC 8628, 3.5)");

    is(call("POST", "/v1/logins/$id", { code => "x" })->status, 409,
       "it has no code to be pasted");

    # the code comes, and the exchange fails: what has come is kept

    place("codex", device => 1);
    $nginx->reload;

    $r = poll($id, 30);

    is($r->status, 200, "F085: over a reload it goes on, and ends")
        || diag $r->body;
    like($r->json->{identity}{chatgpt_account_id}, qr/^acc-/,
         "F085: with the account's id");
    is(call("POST", "/v1/logins/$id/poll", {})->status, 404,
       "and is not there any more");
}

{
    place("workos", device => 2);

    my $r = call("POST", "/v1/logins",
                 { name => "dr", platform => "droid", device => \1 });

    is($r->json->{user_code}, "DROI-D123", "F088: a login of Droid's");

    sleep 1.1;
    my $id = $r->json->{id};
    $r = call("POST", "/v1/logins/$id/poll", {});

    is($r->status, 400, "the user refuses");
    like($r->message, qr/the user has refused; begin a new login/,
         "and that is told");
    is(call("POST", "/v1/logins/$id/poll", {})->status, 404,
       "the login is over");

    place("workos", device => 1);

    $r = call("POST", "/v1/logins",
              { name => "dr", platform => "droid", device => \1 });
    sleep 1.1;
    $r = poll($r->json->{id});

    is($r->status, 200, "F088: another one succeeds") || diag $r->body;

    my $meta = show("dr")->{identity};

    like($meta->{email}, qr/^droid-\d+\@/, "F088: whose it is");
    is_deeply($meta->{workos_org_ids}, [qw/ org_1 org_2 /],
              "F088: its organisations");
}

{
    place("aws", device => 1);

    my $r = call("POST", "/v1/logins",
                 { name => "kd", platform => "kiro", device => \1 });

    is($r->json->{user_code}, "AWS-1234", "F089: a login at AWS")
        || diag $r->body;
    is($r->json->{url}, "https://device.example/?user_code=AWS-1234",
       "F089: an address with the code in it");

    sleep 1.1;
    $r = poll($r->json->{id});

    is($r->status, 200, "F089: ends") || diag $r->body;
    is(show("kd")->{identity}{auth_method}, "idc", "F089: of this kind");

    # its refresh needs the client that was registered for it

    $r = call("POST", "/v1/accounts/kd/refresh", {});
    is($r->status, 200, "F089: it is refreshed with its client")
        || diag $r->body;
    is(place("aws")->{aws}{refreshes}, 1, "F089: by AWS");
}

# 4. files of clients

{
    my $new = place("codex", new => 1);

    my $r = call("POST", "/v1/accounts",
                 { name => "cf", import => ClaudeRelay::encode({
                     OPENAI_API_KEY => undef,
                     tokens => { id_token => "", access_token => $new->{access},
                                 refresh_token => $new->{refresh},
                                 account_id => "acc-file" },
                     last_refresh => "2026-11-01T00:00:00Z" }) });

    is($r->status, 201, "F085: auth.json of the Codex CLI") || diag $r->body;
    is($r->json->{platform}, "codex", "F085: is an account of Codex");
    is(show("cf")->{identity}{chatgpt_account_id}, "acc-file",
       "F085: with the account's id");
}

{
    my $new = place("google", new => 1);

    my $r = call("POST", "/v1/accounts",
                 { name => "cg", base_url => $up->url . "/places/google",
                   import => ClaudeRelay::encode({
                     access_token => $new->{access},
                     refresh_token => $new->{refresh},
                     scope => "https://www.googleapis.com/auth/cloud-platform",
                     token_type => "Bearer",
                     expiry_date => 1000 * (time + 3600) }) });

    is($r->status, 201, "F083: oauth_creds.json of the Gemini CLI")
        || diag $r->body;

    ok(ClaudeRelay::wait_for(sub {
           (show("cg")->{identity}{project} // "") eq "sandbox-project"
       }, 15), "F083: its project is asked for by itself");
}

{
    my $new = place("aws", new => 1);

    my $r = call("POST", "/v1/accounts",
                 { name => "kf", platform => "kiro",
                   import => ClaudeRelay::encode({
                     refreshToken => $new->{refresh},
                     clientId => "sandbox-aws-client",
                     clientSecret => "sandbox-aws-secret",
                     region => "eu-central-1" }) });

    is($r->status, 201, "F089: refreshToken, clientId, clientSecret, region")
        || diag $r->body;
    is($r->json->{region}, "eu-central-1", "F089: the region is a field");

    ok(ClaudeRelay::wait_for(sub { place("aws")->{aws}{refreshes} == 2 }, 15),
       "F089: a refresh token alone is refreshed at once");

    $r = call("POST", "/v1/accounts",
              { name => "kg", import => ClaudeRelay::encode({
                  accessToken => "aoa:1", refreshToken => "aor:1",
                  authMethod => "IdC", clientIdHash => "abc" }) });

    is($r->status, 400, "F089: without the client's file");
    like($r->message, qr/clientId and clientSecret are missing/,
         "F089: it is told what is missing");
}

{
    my $r = call("POST", "/v1/accounts",
                 { name => "dk", import => "fk-planted-key-1" });

    push @secrets, "fk-planted-key-1";

    is($r->status, 201, "F088: a key of Droid's") || diag $r->body;
    is($r->json->{platform}, "droid", "F088: is an account of Droid");

    $r = call("POST", "/v1/accounts",
              { name => "dt", platform => "droid", access_token => "wos_x",
                refresh_token => "wor_x", expires => time + 3600 });

    is($r->status, 201, "F088: tokens of Droid's, by themselves")
        || diag $r->body;

    is(call("POST", "/v1/accounts",
            { name => "dx", import => "fk-one\nfk-two" })->status, 400,
       "F088: two keys are not one account");
}

# 5. what cannot be

{
    my @no = (
        [ { name => "x1", platform => "droid" }, qr/of devices only/,
          "Droid has no login with a browser" ],
        [ { name => "x1", platform => "antigravity" },
          qr/client_id and client_secret/, "Google's needs a client" ],
        [ { name => "x1", platform => "claude-oauth", device => \1 },
          qr/none of devices/, "Claude has no login of a device" ],
        [ { name => "x1", platform => "codex", setup_token => \1 },
          qr/no setup tokens/, "Codex has no setup tokens" ],
        [ { name => "x1", platform => "kiro", redirect => "loopback" },
          qr/do not come back/, "Kiro does not come back to a port" ],
        [ { name => "x1", platform => "codex", device => "yes" },
          qr/must be true or false/, "a device that is no switch" ],
        [ { name => "x1", platform => "codex", device => \1,
            redirect => "paste" }, qr/goes with neither/,
          "a device with a redirect" ],
        [ { name => "x1", platform => "anthropic" }, qr/one that has logins/,
          "a platform without logins" ],
    );

    for my $n (@no) {
        my $r = call("POST", "/v1/logins", $n->[0]);

        ok($r->status == 400 && $r->message =~ $n->[1], $n->[2])
            || diag $r->body;
    }

    is(call("POST", "/v1/logins/" . "0" x 32 . "/poll", {})->status, 404,
       "a login that is not there");
}

# 6. the program

SKIP: {
    for my $program (qw/ curl jq perl /) {
        skip "no $program", 1 if !ClaudeRelayCommand::available($program);
    }

    my $cli = ClaudeRelayCommand->new(socket => $nginx->{dir}
                                                . "/control.sock");
    my $home = $cli->dir;

    place("codex", device => 1);

    is($cli->run("login", "codex", "--name", "pd", "--device"), 0,
       "F085: claude-relay login codex --device") || diag $cli->err;
    like($cli->err, qr{auth\.openai\.com/codex/device\s+and\ enter\ the\ code
                       \s+CODE-X1}x, "shows where and what");
    like($cli->out, qr/account "pd": ok, codex-\d+\@.*plan plus/,
         "and whose it is");

    place("workos", device => 2);
    isnt($cli->run("login", "droid", "--name", "pr"), 0,
         "F088: a login that is refused");
    like($cli->err, qr/the user has refused/, "is told");

    my $new = place("codex", new => 1);

    mkdir "$home/.codex";
    ClaudeRelay::spew("$home/.codex/auth.json", ClaudeRelay::encode({
        tokens => { id_token => "", access_token => $new->{access},
                    refresh_token => $new->{refresh},
                    account_id => "acc-cli" } }));

    is($cli->run("import", "codex", "--name", "pc"), 0,
       "F085: claude-relay import codex") || diag $cli->err;
    is(show("pc")->{identity}{chatgpt_account_id}, "acc-cli",
       "finds the client's file");

    $new = place("aws", new => 1);
    my $cache = "$home/.aws/sso/cache";

    mkdir $_ for "$home/.aws", "$home/.aws/sso", $cache;
    ClaudeRelay::spew("$cache/kiro-auth-token.json", ClaudeRelay::encode({
        accessToken => $new->{access}, refreshToken => $new->{refresh},
        expiresAt => "2036-01-01T00:00:00Z", authMethod => "IdC",
        provider => "BuilderId", region => "us-east-1",
        clientIdHash => "abc123" }));
    ClaudeRelay::spew("$cache/abc123.json", ClaudeRelay::encode({
        clientId => "sandbox-aws-client",
        clientSecret => "sandbox-aws-secret" }));

    is($cli->run("import", "kiro", "--name", "pk"), 0,
       "F089: claude-relay import kiro") || diag $cli->err;
    is(show("pk")->{identity}{auth_method}, "idc",
       "finds the client's registration beside it");
    is(call("POST", "/v1/accounts/pk/refresh", {})->status, 200,
       "and it can be refreshed");

    is($cli->run({ in => "fk-planted-a1\nfk-planted-a2\n" },
                 "import", "droid", "-", "--name", "pf"), 0,
       "F088: two keys of Droid's") || diag $cli->err;
    is_deeply(show("pf-$_")->{groups}, [ "pf" ],
              "F088: account pf-$_ in group pf") for 1, 2;

    is($cli->run("accounts", "set", "pc", "client_version=1.2.3"), 0,
       "a field of the platform is set") || diag $cli->err;
    is(show("pc")->{client_version}, "1.2.3", "as it was told");

    push @secrets, "fk-planted-a1", "fk-planted-a2";

    is(join(" ", grep { index($cli->seen, $_) >= 0 } @secrets), "",
       "no secret in an argument or the environment");
}


# 7. secrets

{
    my $all = join "\n", @told, $nginx->error_log;

    is(join(" ", grep { index($all, $_) >= 0 } @secrets), "",
       "no secret in an answer or a log");
}

finish();
