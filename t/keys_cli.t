#!/usr/bin/perl

# bin/claude-relay keys, users, groups and limits (F041, F042, F202) with a relay:
# what each option becomes, that what was done is in force, and that no secret
# is in the arguments or the environment of anything that it runs.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;
use ClaudeRelayCommand;


my $up = sandbox();

my $nginx = relay(
    workers => 2,
    http => "claude_relay_store store/relay.db secret=secret.key;
             claude_relay_control unix:%%DIR%%/control.sock;");

my $cli = ClaudeRelayCommand->new(socket => $nginx->dir . "/control.sock");
my $dir = $cli->dir;
my (%seen, @secrets);


# what every run must not have shown is looked at in the end

sub cli {
    my $rc = $cli->run(@_);

    $seen{$cli->seen . $cli->err} = 1;
    diag($cli->err) if $rc == 2;

    return $rc;
}

sub object {
    my ($kind, $name) = @_;

    cli($kind, "show", $name, "--json");
    return json($cli->out);
}

sub status {
    my ($secret) = @_;

    return $nginx->request("POST", "/v1/messages", body => message(),
                           key => $secret,
                           headers => ["content-type: application/json",
                                       "anthropic-version: 2023-06-01"])
                 ->status;
}

sub usage {
    my ($message, @args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $rc = $cli->run(@args);

    ok($rc == 2 && $cli->err =~ $message, "usage: @args")
        or diag("$rc: ", $cli->err);
}


# ---- lists

is(cli("keys", "list"), 0, "F202: keys list");
like($cli->out, qr/^NAME +SOURCE +STATE/, "its head");
like($cli->out, qr/^alice +nginx\.conf +active/m, "a key of nginx.conf");
is(cli("users"), 0);
is($cli->out, "no users\n", "no users");
is(cli("limits", "list", "--json"), 0);
is_deeply(json($cli->out), { limits => [], total => 0 }, "no limits");


# ---- users and groups

is(cli("groups", "create", "team", "--limit", "cost:100/month",
       "--description", "the team"), 0, "groups create");
is($cli->out, "group \"team\": active\n", "what it says");
is(cli("users", "create", "bob", "--group", "team", "--limit",
       "requests:100/day"), 0, "users create");
is_deeply([@{ object("users", "bob") }{qw/ name group source /}],
          ["bob", "team", "store"], "users show");
is(cli("users", "list"), 0);
like($cli->out, qr{^bob +store +active +team +requests:100/day +-$}m,
     "users list");


# ---- a key with everything

is(cli("keys", "create", "all", "--user", "bob", "--limit", "cost:5/day",
       "--limit", "requests:10/minute", "--model", "claude-*", "--model",
       "claude-opus-*", "--deny-model", "*haiku*", "--client", "claude_code",
       "--client", "*curl*", "--address", "127.0.0.0/8", "--address",
       "10.0.0.0/8", "--permission", "claude", "--tag", "one two", "--tag",
       "three", "--expires", "2099-01-31T00:00:00Z", "--pool", "default",
       "--account", "one", "--account-fallback", "on", "--rate",
       "anthropic=1.5", "--map", "opus=claude-opus-5,effort=high",
       "--description", "of \"all\" = kinds", "--enabled", "on"), 0,
   "keys create");

my $secret = $cli->out =~ s/\n\z//r;
push @secrets, $secret;

like($secret, qr/^cr_[0-9a-f]{64}$/, "its secret, alone on standard output");
like($cli->err, qr/^key "all": active, ends 2099-01-31.*this once:$/s,
     "the rest on standard error");

my $key = object("keys", "all");

is_deeply({ map { $_ => $key->{$_} } qw/ user limits models models_denied
                clients addresses permissions tags pool account
                account_fallback rates map description enabled expires_at / },
          { user => "bob", limits => ["cost:5/day", "requests:10/minute"],
            models => ["claude-*", "claude-opus-*"],
            models_denied => ["*haiku*"],
            clients => ["claude_code", "*curl*"],
            addresses => ["127.0.0.0/8", "10.0.0.0/8"],
            permissions => ["claude"], tags => ["one two", "three"],
            pool => "default", account => "one",
            account_fallback => JSON::PP::true(),
            rates => { anthropic => 1.5 },
            map => { opus => { model => "claude-opus-5", effort => "high" } },
            description => "of \"all\" = kinds", enabled => JSON::PP::true(),
            expires_at => "2099-01-31T00:00:00Z" }, "each option");
ok(!exists $key->{secret}, "the secret is not shown again");
is($key->{prefix}, substr($secret, 0, 11), "but its prefix");

is(cli("keys", "show", "all"), 0);
like($cli->out, qr/^prefix +\Q$key->{prefix}\E$/m, "keys show");
like($cli->out, qr{^limits +cost:5/day\nlimits +requests:10/minute$}m,
     "an item a line");

is(cli("keys", "edit", "all", "--limit", "", "--client", "", "--model", "",
       "--deny-model", "", "--permission", "", "--expires", "", "--tag",
       "only", "--rate", "", "--map", "", "--account", "",
       "--account-fallback", "off", "--user", ""), 0, "keys edit");
$key = object("keys", "all");
is_deeply([grep { exists $key->{$_} } qw/ limits clients models models_denied
                permissions expires_at rates map account user /], [],
          "what is empty is taken away");
is_deeply($key->{tags}, ["only"], "a list is another one");

is(cli("keys", "edit", "all", "--if-version", "1", "--tag", "x"), 1);
like($cli->err, qr/changed meanwhile/, "keys edit --if-version");
is(cli("keys", "edit", "all", "--user", "nobody"), 1);
like($cli->err, qr/there is no user "nobody"/, "keys edit: no such user");


# ---- in force

is(status($secret), 200, "a request with it");
is(cli("keys", "disable", "all"), 0, "keys disable");
is($cli->out, "key \"all\": disabled\n");
is(status($secret), 401, "is refused");
is(cli("keys", "enable", "all"), 0, "keys enable");
is(status($secret), 200, "and is not");

is(cli("keys", "regenerate", "all"), 0, "F042: keys regenerate");
my $second = $cli->out =~ s/\n\z//r;
push @secrets, $second;
is(status($secret), 401, "the old secret is none");
is(status($second), 200, "the new one is");

is(cli("keys", "create", "json", "--json"), 0, "keys create --json");
push @secrets, json($cli->out)->{secret};
is(status($secrets[-1]), 200, "the secret is in it");


# ---- a secret of one's own

push @secrets, "planted-own-secret-1", "planted-own-secret-2",
               "planted-own-secret-3";

is(cli({ in => "planted-own-secret-1\n" }, "keys", "create", "own1",
       "--secret", "-"), 0, "keys create --secret -");
is($cli->out, "key \"own1\": active\n", "it is not told again");
spew("$dir/secret", "planted-own-secret-2\n");
is(cli("keys", "create", "own2", "--secret", "\@$dir/secret"), 0, "of a file");
is(cli({ env => { OWN => "planted-own-secret-3" } }, "keys", "create", "own3",
       "--secret=env:OWN"), 0, "of the environment");
delete $seen{$_} for grep { /\bOWN=planted-own-secret-3/ } keys %seen;
is(join(" ", map { status($_) } @secrets[-3 .. -1]), "200 200 200",
   "they are good");
is(cli({ in => "short\n" }, "keys", "create", "own4", "--secret", "-"), 1);
like($cli->err, qr/10 to 512/, "one that is too short");
is(cli({ in => "planted-own-secret-1\n" }, "keys", "create", "own5",
       "--secret", "-"), 1);
like($cli->err, qr/there is a key with this secret/, "one that there is");


# ---- first use

is(cli("keys", "create", "later", "--valid-for", "30d"), 0);
push @secrets, $cli->out =~ s/\n\z//r;
is(cli("keys", "list"), 0);
like($cli->out, qr/^later +store +unused/m, "not used yet");
is(cli("keys", "activate", "later"), 0, "F041: keys activate");
like($cli->out, qr/^key "later": active, ends .*\(in (?:29d|30d)\)$/,
     "it has begun");
is(cli("keys", "activate", "later"), 1);
like($cli->err, qr/is activated already/, "once");


# ---- filters, and more than a page

cli("keys", "edit", "all", "--user", "bob");
is(cli("keys", "list", "--user", "bob", "--json"), 0);
is_deeply([map { $_->{name} } @{ json($cli->out)->{keys} }], ["all"],
          "--user");
is(cli("keys", "list", "--tag", "only", "--search", "AL", "--enabled", "on",
       "--json"), 0);
is_deeply([map { $_->{name} } @{ json($cli->out)->{keys} }], ["all"],
          "--tag, --search, --enabled");
is(cli("keys", "list", "--enabled", "off"), 0);
is($cli->out, "no keys\n", "none");


# ---- limits of models

is(cli("limits", "create", "opus", "--limit",
       "cost:100/week models=*opus* reset=mon,04"), 0, "limits create");
is_deeply(object("limits", "opus")->{limits},
          ["cost:100/week models=*opus* reset=mon,04"], "its limit");
is(cli("limits", "edit", "opus", "--limit", "cost:1/furlong"), 1);
like($cli->err, qr/limit 1/, "a limit that is none");
is(cli("limits", "list"), 0);
like($cli->out, qr/^opus +store +active +cost:100/m, "limits list");


# ---- what is used

is(cli("keys", "create", "used", "--limit", "requests:2/day"), 0);
push @secrets, $cli->out =~ s/\n\z//r;
is(join(" ", map { status($secrets[-1]) } 1 .. 3), "200 200 429",
   "a key is used up");
is(cli("keys", "show", "used"), 0);
like($cli->out, qr{^used +2 of requests:2/day, until 20.*\(in .*\)$}m,
     "keys show: what is used");
is(cli("keys", "reset", "used", "--limit", "requests:5/month"), 1);
like($cli->err, qr/has no such limit/, "keys reset: a limit it has not");
is(cli("keys", "reset", "used", "--limit=requests:1/day"), 0, "keys reset");
is($cli->out, "limits of key \"used\" were reset\n");
is(status($secrets[-1]), 200, "there is room again");
is(cli("keys", "reset", "used", "--json"), 0, "keys reset: all of them");
is(json($cli->out)->{usage}[0]{used}, 0, "nothing is used");


# ---- remove

is(cli("users", "remove", "bob"), 1);
like($cli->err, qr/user "bob" has 1 key: .*\(--force\)$/, "a user with a key");
is(cli("users", "remove", "bob", "--force", "--json"), 0, "--force");
is($cli->out, "{}\n");
is(status($second), 401, "the user's key is refused");
is(cli("keys", "remove", "all"), 0, "keys remove");
is($cli->out, "key \"all\" was removed\n");
is(cli("keys", "show", "all"), 1);
like($cli->err, qr/there is no key "all"/, "it is gone");
is(cli("keys", "remove", "alice"), 1);
like($cli->err, qr/one of nginx\.conf/, "one of nginx.conf stays");
is(cli("limits", "remove", "opus"), 0, "limits remove");
is(cli("groups", "remove", "team"), 0, "groups remove");


# ---- wrong usage

usage(qr/there is no "keys frobnicate"/, "keys", "frobnicate");
usage(qr/there is no "users activate"/, "users", "activate", "x");
usage(qr/needs the name of a key/, "keys", "show");
usage(qr/takes one name/, "keys", "show", "a", "b");
usage(qr/takes no name/, "keys", "list", "a");
usage(qr/something to change/, "keys", "edit", "own1");
usage(qr/no place on a command line/, "keys", "create", "x", "--secret",
      "planted-on-the-line");
usage(qr/--enabled must be on or off|"enabled" must be/, "keys", "edit",
      "own1", "--enabled", "maybe");
usage(qr/--rate takes NAME=VALUE/, "keys", "edit", "own1", "--rate", "1.5");
usage(qr/--proxy is not for/, "keys", "create", "x", "--proxy",
      "http://127.0.0.1:1");
usage(qr/--limit is not for "accounts list"/, "accounts", "list", "--limit",
      "cost:1/day");
usage(qr/keys regenerate/, "keys", "edit", "own1", "--secret", "-");
usage(qr/has no secret/, "users", "create", "x", "--secret", "-");


my $all = join "", keys %seen;

is(scalar(grep { index($all, $_) >= 0 } @secrets), 0,
   "no secret in arguments, environment or messages");

my $store = join "", map { slurp($_) } glob $nginx->dir . "/store/relay.db*";

is(scalar(grep { index($store, $_) >= 0 } @secrets), 0, "nor in the store");
is(scalar(grep { index($nginx->error_log, $_) >= 0 } @secrets), 0,
   "nor in the log");

finish();
