#!/usr/bin/perl

# bin/claude-relay (F202, F076, F095) with a relay and an authorization
# server: logins from the URL to the first request, imports, all that is done
# with accounts, and a new key for the store while requests go through it.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;
use ClaudeRelayCommand;


my $up = sandbox();

my $nginx = relay(
    workers => 2,
    http => join("\n", "claude_relay_store store/relay.db secret=secret.key;",
        "claude_relay_control unix:%%DIR%%/control.sock;",
        "claude_relay_oauth claude-oauth authorize_url=%%UP%%/oauth/authorize",
        "    token_url=%%UP%%/v1/oauth/token",
        "    redirect_uri=https://claude.example/oauth/code/callback",
        "    loopback_uri=http://localhost:%%PORT3%%/callback;"),
    accounts => account("one")
                . "claude_relay_account block { platform claude-oauth;"
                . " pool block; base_url %%UP%%; }",
    server => join("\n", map {
        "location /$_/ { claude_relay; claude_relay_pool $_;"
        . " claude_relay_retry_wait 0; }"
    } qw/ work listen setup file toml token key block /));

my $cli = ClaudeRelayCommand->new(socket => $nginx->dir . "/control.sock");
my $dir = $cli->dir;
my $key = $nginx->dir . "/secret.key";
my (%seen, @base);

@base = ("--base-url", $up->url);


# what every run must not have shown is looked at in the end

sub cli {
    my $rc = $cli->run(@_);

    $seen{$cli->seen . $cli->out . $cli->err} = 1;
    diag($cli->err) if $rc == 2;

    return $rc;
}

sub account_of {
    cli("accounts", "show", $_[0], "--json");
    return json($cli->out);
}

sub relayed {
    my ($pool) = @_;

    return $nginx->post("/$pool/v1/messages", message(),
                        "anthropic-version: 2023-06-01")->status;
}


# a login: the URL as it is printed goes to the browser, what that shows back

sub login {
    my ($name, @more) = @_;

    $cli->start({ in => undef }, "login", "claude", "--name", $name, @more);
    wait_for(sub { $cli->err =~ /ends at: $|^claude-relay/m });

    my ($url) = $cli->err =~ /^(http\S+)$/m or return diag($cli->err);

    return $url;
}


sub paste {
    my ($text) = @_;

    $cli->write("$text\n");
    my $rc = $cli->end;
    $seen{$cli->seen . $cli->out . $cli->err} = 1;

    return $rc;
}


# ---- status and list, before there is anything

is(cli("status"), 0, "F202: status");
like($cli->out, qr/^accounts +2: 1 ok, 0 resting, 1 need a login, 0 disabl/m);

my ($master) = $cli->out =~ /pid (\d+), 2 workers/;
is($master, $nginx->pid, "the master's pid");

is(cli("accounts", "list"), 0);
like($cli->out, qr/^one +nginx\.conf +anthropic +ok /m, "accounts list");
like($cli->out, qr/^block +nginx\.conf +claude-oauth +needs-login /m);


# ---- login

$up->oauth(do => "user=alice");

my $url = login("work", "--pool", "work", @base, "--priority", 7);
like($url, qr/[?&]code_challenge_method=S256\b/, "login: the URL");

my $code = $up->oauth_login($url);

is(paste($code), 0, "F076: the code is taken");
like($cli->out, qr/^account "work": ok, \S+@\S+.* token expires .*\(in (7h 59m|8h 0m)\)$/,
     "who it is, and how long");

my $account = account_of("work");

is_deeply([@$account{qw/ origin pool priority state /}],
          ["store", "work", 7, "ok"], "an account, as it was asked for");
like($account->{identity}{email}, qr/alice/, "of the one who agreed");
is(relayed("work"), 200, "it serves at once");
is(($up->header("authorization"))[0],
   "Bearer " . $up->oauth_chain("alice")->{access}, "by the new token");

# a wrong state, then the right one

$url = login("work");
$code = $up->oauth_login($url);
my ($only) = $code =~ /^(.*)#/;

$cli->write("$only#other\n");
wait_for(sub { $cli->err =~ /^claude-relay: /m });
like($cli->err, qr/^claude-relay: .*"work".*state/m, "a wrong state");
is(paste($code), 0, "it may be tried again");
is(account_of("work")->{pool}, "work", "an account is as it was");
is(relayed("work"), 200);
is(($up->header("authorization"))[0],
   "Bearer " . $up->oauth_chain("alice")->{access}, "but its tokens are new");

# a code of another login, and one that is used up

$url = login("work");
is(paste($code), 1, "a code of another login");
like($cli->err, qr/"work".*state/);

$url = login("work");
$up->oauth(do => "code-life=0");
is(paste($up->oauth_login($url)), 1, "an expired code");
like($cli->err, qr/"work".*invalid_grant/);
$up->oauth(do => "code-life=600");
is(relayed("work"), 200, "what was there goes on");

# the endpoint is down for a moment: Enter is enough

$url = login("work");
$up->oauth(do => "fail=503:1");
$cli->write($up->oauth_login($url) . "\n");
wait_for(sub { $cli->err =~ /still good/ });
is(paste(""), 0, "the token endpoint was down for a moment");

# an account of nginx.conf

$url = login("block");
is(paste($up->oauth_login($url)), 0, "a login for an account of nginx.conf");
is(account_of("block")->{origin}, "nginx.conf");
is(account_of("block")->{state}, "ok");

is(cli({ in => "x\n" }, "login", "claude", "--name", "one"), 1);
like($cli->err, qr/account "one"/, "no login for one with a key");

# --setup-token

$url = login("setup", "--setup-token", "--pool", "setup", @base);
is(paste($up->oauth_login($url)), 0, "login --setup-token");
like($cli->out, qr/in 36[45]d\), cannot be refreshed$/, "a year");
is(relayed("setup"), 200);

# --listen: a browser that follows what it is told

$cli->start({ in => undef }, "login", "claude", "--name", "listen",
            "--listen", "--pool", "listen", @base);
wait_for(sub { $cli->err =~ /Waiting for it/ });

($url) = $cli->err =~ /^(http\S+)$/m;
my $port = port(3);

is(system("curl", "-qsS", "-o", "/dev/null",
          "http://127.0.0.1:$port/callback?code=evil&state=evil"), 0);
my $page = `curl -qsSL --noproxy '*' '$url'`;
like($page, qr/go back to the terminal/, "F076: login --listen: the last page");
is($cli->end, 0);
like($cli->err, qr/a callback with a wrong state/, "not by a forged callback");
like($cli->out, qr/^account "listen": ok/);
is(relayed("listen"), 200);


# ---- import

my $tokens = $up->oauth_seed(name => "file", expires_in => 3600);

mkdir "$dir/.claude";
spew("$dir/.claude/.credentials.json", encode({ claudeAiOauth => {
    accessToken => $tokens->{access}, refreshToken => $tokens->{refresh},
    expiresAt => $tokens->{expires_at}, scopes => ["user:inference",
    "user:profile"], subscriptionType => "max" } }));

is(cli("import", "--name", "file", "--pool", "file", @base), 0,
   "import of .credentials.json");
like($cli->out, qr/^account "file": ok, .*\(in (59|60)m\)$/);
is(relayed("file"), 200);

is(cli("import", "--name", "file"), 1);
like($cli->err, qr/--replace/, "it is there");

$tokens = $up->oauth_seed(name => "again", expires_in => 7300);
is(cli({ in => encode({ claudeAiOauth => {
            accessToken => $tokens->{access},
            refreshToken => $tokens->{refresh},
            expiresAt => $tokens->{expires_at} } }) },
       "import", "-", "--name", "file", "--replace"), 0, "--replace");
is(relayed("file"), 200);
is(($up->header("authorization"))[0], "Bearer $tokens->{access}");

$tokens = $up->oauth_seed(name => "toml");
spew("$dir/toml", <<"END");
type = "claude_code"

[oauth]
access_token = "$tokens->{access}"
refresh_token = "$tokens->{refresh}"
expires_at = $tokens->{expires_at}
END

is(cli("import", "$dir/toml", "--name", "toml", "--pool", "toml", @base), 0,
   "import of Pluribus TOML");
is(relayed("toml"), 200);

$tokens = $up->oauth_seed(name => "setup", setup => 1);
is(cli({ in => "$tokens->{access}\n" }, "import", "--setup-token", "--name",
       "token", "--pool", "token", @base), 0, "import --setup-token");
like($cli->out, qr/cannot be refreshed/);
is(relayed("token"), 200);

is(cli({ in => "{\"claudeAiOauth\": {\"accessToken\": \"x y\"}}" }, "import",
       "-", "--name", "bad"), 1, "a malformed one");
like($cli->err, qr/^claude-relay: .*import/);
unlike($cli->err, qr/x y/);
is(cli("accounts", "show", "bad"), 1, "no account is made of it");


# ---- accounts

my $secret = "sk-ant-api03-do-not-show";

is(cli({ in => "$secret\n" }, "accounts", "add", "key", "--platform",
       "anthropic", "--api-key", "-", "--pool", "key", @base), 0,
   "accounts add");
is(relayed("key"), 200);
is(($up->header("x-api-key"))[0], $secret, "by its key");

is(cli({ env => { OTHER => "$secret-2" } }, "accounts", "set", "key",
       "api_key=env:OTHER", "priority=3", "models=claude-*",
       "description=the key"), 0, "accounts set");
is(relayed("key"), 200);
is(($up->header("x-api-key"))[0], "$secret-2", "another key");

$account = account_of("key");
is_deeply([@$account{qw/ priority models description /}],
          [3, ["claude-*"], "the key"]);

my $old = $account->{version} - 1;
is(cli("accounts", "set", "key", "priority=4", "--if-version", $old), 1);
is(account_of("key")->{priority}, 3, "--if-version: not this one");

is(cli("accounts", "set", "key", "priority=4", "--if-version",
       $account->{version}), 0, "this one");

is(cli("accounts", "disable", "key"), 0, "accounts disable");
isnt(relayed("key"), 200);
is(account_of("key")->{state}, "disabled");
is(cli("accounts", "enable", "key"), 0, "accounts enable");
is(relayed("key"), 200);

is(cli("accounts", "disable", "one"), 1, "not those of nginx.conf");
like($cli->err, qr/nginx\.conf/);

my $before = $up->oauth_chain("toml")->{access};
is(cli("accounts", "refresh", "toml"), 0, "accounts refresh");
isnt($up->oauth_chain("toml")->{access}, $before);
is(relayed("toml"), 200);
is(($up->header("authorization"))[0],
   "Bearer " . $up->oauth_chain("toml")->{access}, "the new token is used");

is(cli("accounts", "refresh", "token"), 1, "a setup token cannot be");
like($cli->err, qr/"token"/);

$up->behave("$secret-2", "status=429,unified=reset:600");
relayed("key");
is(account_of("key")->{state}, "resting");
$up->behave("$secret-2", "");
isnt(relayed("key"), 200);
is(cli("accounts", "reset", "key"), 0, "accounts reset");
is(relayed("key"), 200);

is(cli("accounts", "list", "--pool", "key"), 0);
is(scalar(split /\n/, $cli->out), 2, "accounts list --pool");


# ---- test

is(cli("test"), 0, "F095: test: all are well") || diag($cli->err);
is(scalar(() = $cli->out =~ /^ok /mg), 9, "each of them");
is(account_of("work")->{last_test}{status}, 200);

$up->oauth(do => "kill", chain => "toml");
is(cli("test", "--quiet"), 1, "one is not");
is($cli->out, "");
like($cli->err, qr/\AFAIL  toml .*\n\z/, "--quiet tells of that one only");
is(cli("test", "work"), 0);

is(cli("accounts", "refresh", "toml"), 1);
like($cli->err, qr/"toml".*needs a login/, "a refresh cannot help");
is(account_of("toml")->{state}, "needs-login");
cli("accounts", "show", "toml");
like($cli->out, qr/^reason .*Refresh token not found/m, "it is told why");
cli("accounts", "list");
like($cli->out, qr/^toml .*needs-login .* needs a login$/m);

$url = login("toml");
is(paste($up->oauth_login($url)), 0, "a login mends it");
is(relayed("toml"), 200);

is(cli("accounts", "remove", "listen"), 0, "accounts remove");
is(cli("accounts", "show", "listen"), 1);
like($cli->err, qr/no account "listen"/);
is(cli("accounts", "remove", "one"), 1, "not of nginx.conf");


# ---- key rotate, under way

my $first = slurp($key);

is(cli("key", "rotate", "--file", $key), 0, "F202: key rotate");
my $second = slurp($key);
isnt($second, $first, "another key");

ok(wait_for(sub { $nginx->error_log =~ /reconfiguring/ }), "nginx reloads");
is(relayed("work"), 200);
is(cli("accounts", "refresh", "work"), 0, "secrets can be read and written");

# it is cut off behind the second step

mkdir "$dir/cut";
symlink "$dir/bin/$_", "$dir/cut/$_" for qw/ jq curl /;
spew("$dir/cut/mv", <<'END');
#!/bin/sh
case $1$2 in
    -f*.new)    kill -KILL $PPID ;;
    *)          exec /bin/mv "$@" ;;
esac
END
chmod 0755, "$dir/cut/mv";

is(cli({ path => "$dir/cut:$ENV{PATH}" }, "key", "rotate", "--file", $key),
   128 + 9, "killed before the renaming");
is(slurp($key), $second, "the old key is there");

my $third = slurp("$key.new");
like($third, qr/^[0-9a-f]{64}$/m, "and the new one");

$nginx->stop;
$nginx->start;

is(slurp($key), $third, "a start finds the key that fits");
ok(!-e "$key.new");
is(relayed("work"), 200);
is(cli("accounts", "refresh", "work"), 0);

# again, and it is finished by hand

is(cli({ path => "$dir/cut:$ENV{PATH}" }, "key", "rotate", "--file", $key),
   128 + 9);
is(cli("key", "rotate", "--file", $key), 0, "or the next rotation goes on");
isnt(slurp($key), $third);
ok(!-e "$key.new");

$nginx->stop;
$nginx->start;
is(relayed("work"), 200, "after a start");


# ---- no secret was shown

my @secrets = ($secret, grep { defined && length } map { @$_{qw/ access refresh /} }
               map { $_, @{ $_->{tokens} // [] } }
               @{ $up->oauth_report(tokens => 1)->{chains} });

push @secrets, map { /^([0-9a-f]{64})$/m } $first, $second, $third, slurp($key);

my $text = join "\n", keys %seen;

# the one that went by the environment is there, and nowhere else

$text =~ s/\bOTHER=\Q$secret\E-2//g;

cmp_ok(scalar @secrets, ">", 20, "secrets");
is(scalar(grep { index($text, $_) >= 0 } @secrets), 0,
   "are in no argument, environment or output");
is(scalar(grep { index($nginx->error_log, $_) >= 0 } @secrets), 0,
   "nor in the error log");

finish();
