#!/usr/bin/perl

# bin/claude-relay for all of the API (F202, F205): commands of the table and
# those that have a function, over the socket and over claude_relay_admin with
# a token; doctor, backup and restore, completion, the manual page.

use warnings;
use strict;

use File::Temp qw/ tempdir /;
use POSIX ();
use Test::More;
use Time::HiRes qw/ sleep time /;

use ClaudeRelay;
use ClaudeRelayCommand;


my $up = sandbox();

my $nginx = relay(
    workers => 2,
    http => store() . "claude_relay_usage on;
             claude_relay_control unix:%%DIR%%/control.sock;",
    server => "location /admin/ { claude_relay_admin; }");

my $cli = ClaudeRelayCommand->new(socket => $nginx->dir . "/control.sock");
my $dir = $cli->dir;
my $admin = "http://127.0.0.1:" . $nginx->port . "/admin";
my (%seen, @secrets);


# what every run must not have shown is looked at in the end

sub cli {
    my $rc = $cli->run(@_);

    $seen{$cli->seen . $cli->err} = 1;

    return $rc;
}

sub ok_cli {
    my ($name, @args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $rc = cli(@args);

    is($rc, 0, $name) || diag("@args: " . $cli->out . $cli->err);

    return $cli->out;
}

sub usage {
    my ($message, @args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $rc = cli(@args);
    my ($first) = split /\n/, $cli->err;

    ok($rc == 2 && ($first // "") =~ $message, "usage: @args")
        || diag("$rc: " . $cli->err);
}

sub object {
    cli(@_, "--json");
    return json($cli->out || "null");
}


# ---- the table, the help, the manual and the description say the same

my $source = slurp(root() . "/bin/claude-relay");
my ($table) = $source =~ /^table\(\) \{\n    cat <<'END'\n(.*?)^END$/ms;
my @table = map { [split /\|/, $_, -1] } split /\n/, $table;

cmp_ok(scalar @table, ">", 100, "a table of commands");
is_deeply([grep { @$_ != 6 } @table], [], "each line has six fields");

{
    my %double;
    is_deeply([grep { $double{$_->[0]}++ } @table], [], "no command twice");

    my $help = ok_cli("help", "help");
    my $docs = slurp(root() . "/docs/cli.md");
    my $manual = slurp(root() . "/man/claude-relay.1") =~ s/\\-/-/gr;

    for my $c (@table) {
        my ($words, undef, undef, $options) = @$c;
        my ($first, $second) = split / /, $words;

        for (["help", $help], ["docs/cli.md", $docs], ["manual", $manual]) {
            my ($where, $text) = @$_;
            my $line = defined $second
                ? qr/\b\Q$first\E\b[^\n;]*\b\Q$second\E(?![\w-])|
                     \b\Q$first\E[ ][^\n]*[ ;|]\Q$second\E(?![\w-])/x
                : qr/\b\Q$first\E\b/;

            fail("$where does not know \"$words\"") if $text !~ $line;
        }

        for my $option (split / /, $options) {
            next if $option =~ /=/;
            my ($name) = $option =~ /^([a-z-]+)/ or next;
            fail("the manual has no --$name of \"$words\"")
                if $manual !~ /--\Q$name\E(?![\w-])/
                   && $name !~ /^(SETTINGS|FIELDS)$/;
        }
    }

    pass("help, docs/cli.md and the manual have all commands");
}


# every operation of the description has a command

{
    my $r = $nginx->control("GET", "/v1/openapi.json")->json;
    my %functions = map { $_ => 1 } split /\n/, <<'END';
GET /v1/openapi.json
GET /v1/status
GET /v1/health
GET /v1/events
GET /v1/accounts
POST /v1/accounts
POST /v1/accounts/batch
GET /v1/accounts/{}
PATCH /v1/accounts/{}
DELETE /v1/accounts/{}
POST /v1/accounts/{}/tokens
POST /v1/accounts/{}/refresh
POST /v1/accounts/{}/reset
POST /v1/accounts/{}/test
POST /v1/logins
POST /v1/logins/{}
POST /v1/logins/{}/poll
POST /v1/rekey
POST /v1/keys/batch
POST /v1/keys/import
POST /v1/keys/{}/activate
POST /v1/keys/{}/regenerate
GET /v1/audit
GET /v1/audit/{}
GET /v1/fleet
GET /v1/usage
GET /v1/usage/rows
GET /v1/usage/top
GET /v1/usage/events
POST /v1/usage/rerate
POST /v1/people/{}/totp
DELETE /v1/requests/{}
POST /v1/concurrency/release
PATCH /v1/settings
POST /v1/export
POST /v1/import
POST /v1/backup
POST /v1/session
DELETE /v1/session
POST /v1/session/password
GET /v1/auth/github
GET /v1/auth/github/callback
END

    # those of a browser have none: a program has a token

    for my $kind (qw/ keys users groups limits /) {
        $functions{"$_ /v1/$kind"} = 1 for qw/ GET POST /;
        $functions{"$_ /v1/$kind/{}"} = 1 for qw/ GET PATCH DELETE /;
        $functions{"POST /v1/$kind/{}/limits/reset"} = 1;
    }

    my %ways = map { $_->[2] =~ s/\{\d\}/{}/gr => $_->[0] }
               grep { length $_->[2] } @table;

    # without its second argument it is another one

    $ways{"DELETE /v1/people/{}/sessions"} = "people logout";

    my @without;

    for my $path (sort keys %{ $r->{paths} }) {
        for my $method (grep { /^(get|post|put|patch|delete)$/ }
                        keys %{ $r->{paths}{$path} })
        {
            my $way = uc($method) . " " . $path =~ s/\{\w+\}/{}/gr;
            push @without, $way if !$ways{$way} && !$functions{$way};
        }
    }

    is_deeply(\@without, [], "F202: each operation has a command");

    # and no command asks for what is not there

    my @gone;

    for my $way (sort keys %ways) {
        my ($method, $path) = split / /, $way;
        my $r = $nginx->control($method, $path =~ s/\{\}/nobody/gr,
                                $method =~ /^P/ ? {} : undef);

        push @gone, "$way: " . $r->status . " " . $r->body
            if $r->status == 405
               || $r->status == 404 && $r->message =~ /no such (path|way)|^there is nothing/;
    }

    is_deeply(\@gone, [], "F202: and each command its operation");
    is($nginx->control("GET", "/v1/nonsense")->status, 404);
    like($nginx->control("GET", "/v1/nonsense")->message,
         qr/no such (path|way)|^there is nothing/,
         "which is how a wrong one would be told");
}


# ---- people and tokens, then by URL

ok_cli("people create", "people", "create", "op", "--role", "operator");
like(ok_cli("people list", "people", "list"), qr/^op +operator +true /m,
     "a table");
is(ok_cli("people", "people") =~ /^op /m, 1, "\"people\" is its list");
like(ok_cli("people show", "people", "show", "op"), qr/^role +operator$/m,
     "a line for each member");

push @secrets, "a-long-password-0001";

ok_cli("people password", { env => { PW => $secrets[0] } }, "people",
       "password", "op", "--password", "env:PW");
is(object("people", "show", "op")->{has_password}, JSON::PP::true,
   "a password");
ok_cli("by standard input", { in => "$secrets[0]\n" }, "people", "password",
       "op", "--password", "-", "--must-change", "off");
usage(qr/no place on a command line/, "people", "password", "op",
      "--password", "12345678901234");
usage(qr/needs --role/, "people", "create", "x");
usage(qr/takes NAME$/, "people", "show");
usage(qr/takes NAME TOKEN$/, "people", "token", "op");
usage(qr/--role is not for "people show"/, "people", "show", "op", "--role",
      "user");
usage(qr/no option "--nonsense"/, "people", "list", "--nonsense", "1");
usage(qr/must be on or off/, "people", "edit", "op", "--enabled", "maybe");

is(cli("people", "create", "op", "--role", "user"), 1, "a name twice");
like($cli->err, qr/^claude-relay: .*"op"/, "it says so");

my $token = object("people", "token", "op", "ci", "--valid-for", "90d");

like($token->{secret}, qr/^crt_/, "people token");
push @secrets, $token->{secret};
spew("$dir/token", "$token->{secret}\n");
like(ok_cli("people tokens", "people", "tokens", "op"), qr/^ci +operator /m,
     "its name, not the token");
unlike($cli->out, qr/\Q$token->{secret}\E/, "which is told once");

my @url = ("--url", $admin, "--token", "\@$dir/token");

like(ok_cli("F202: --url, --token", @url, "whoami"), qr/^who +op$/m,
     "one is somebody");
like(ok_cli("F202: status by URL", @url, "status"), qr/^accounts +1: 1 ok/m);
ok_cli("by the environment",
       { env => { CLAUDE_RELAY_URL => "$admin/", CLAUDE_RELAY_TOKEN =>
                  $token->{secret} } }, "accounts", "list");
is(cli(@url, "people", "create", "x", "--role", "admin"), 1,
   "F202: the role holds");
like($cli->err, qr/role "admin"/, "it says so");
usage(qr/use https/, "--url", "http://relay.example/admin", "--token",
      "\@$dir/token", "status");
usage(qr/use https/, "--url", "http://127.0.0.1.relay.example/admin",
      "--token", "\@$dir/token", "status");
usage(qr/needs --token/, "--url", $admin, "status");
usage(qr/no place on a command line/, "--url", $admin, "--token", "crt_x",
      "status");
usage(qr/is an URL/, "--url", "ftp://x", "--token", "\@$dir/token", "status");

spew("$dir/wrong", "crt_" . "0" x 64 . "\n");
is(cli("--url", $admin, "--token", "\@$dir/wrong", "status"), 1,
   "a wrong token");

ok_cli("people revoke", "people", "revoke", "op", "ci");
is(cli(@url, "status"), 1, "F202: a token that was revoked");
$token = object("people", "token", "op", "ci");
push @secrets, $token->{secret};
spew("$dir/token", "$token->{secret}\n");

# a redirect would take the token elsewhere

{
    my $thief = canned(sub {
        return "HTTP/1.1 307 Temporary Redirect\r\nLocation: "
               . $up->url . "/sandbox/stats\r\nContent-Length: 0\r\n"
               . "Connection: close\r\n\r\n";
    });
    my $n = $up->requests;

    is(cli("--url", $thief->url, "--token", "\@$dir/token", "status"), 1,
       "F202: a redirect is not followed");
    is($up->requests, $n, "nobody has got the token");
}

ok_cli("people edit", "people", "edit", "op", "--enabled", "off");
is(object("people", "show", "op")->{enabled}, JSON::PP::false);
ok_cli("people edit", "people", "edit", "op", "--enabled", "on");
ok_cli("people logout", "people", "logout", "op");

$token = object("people", "token", "op", "again");
push @secrets, $token->{secret};
spew("$dir/token", "$token->{secret}\n");

like(ok_cli("actions", "actions", "--path", "/v1/people", "--limit", "5"),
     qr{^\d+ .* admin +POST +/v1/people/op/token}m, "F202: the trail");
ok_cli("actions check", "actions", "check");


# ---- keys

like(ok_cli("F202: keys create --name", "keys", "create", "--name", "alice2",
            "--limit", "cost:5/day", "--tag", "red", "--tag", "blue"),
     qr/^(cr_[0-9a-f]{64})$/m, "its secret");
push @secrets, $cli->out =~ /^(cr_\S+)/m;
is_deeply(object("keys", "show", "alice2")->{limits}, ["cost:5/day"],
          "its limit");
like(ok_cli("tags", "tags"), qr/^blue +1$/m, "how many keys have one");
ok_cli("tags rename", "tags", "rename", "blue", "green");
ok_cli("tags remove", "tags", "remove", "red");
is_deeply(object("keys", "show", "alice2")->{tags}, ["green"], "of all keys");

ok_cli("keys batch create", "keys", "batch", "create", "team", "--count", 3,
       "--tag", "team");
push @secrets, $cli->out =~ /\b(cr_[0-9a-f]{64})$/mg;
is(scalar(() = $cli->out =~ /^team_\d +cr_/mg), 3, "three secrets");
ok_cli("keys batch edit --where", "keys", "batch", "edit", "--where",
       "tag=team", "--description", "many");
is(object("keys", "show", "team_2")->{description}, "many", "it was done");
ok_cli("keys batch edit", "keys", "batch", "edit", "team_1", "--enabled",
       "off");
is(object("keys", "show", "team_1")->{enabled}, JSON::PP::false);
usage(qr/cannot be both/, "keys", "batch", "remove", "a", "--where", "tag=b");
usage(qr/^claude-relay: whom/, "keys", "batch", "remove");
usage(qr/takes KEY=VALUE/, "keys", "batch", "remove", "--where", "tag");
usage(qr/needs --count/, "keys", "batch", "create", "x");

is_deeply([map { $_->{name} } @{ object("keys", "list", "--tag", "team",
                                        "--sort", "name", "--order", "desc")
                                 ->{keys} }],
          ["team_3", "team_2", "team_1"], "keys list --sort --order");
is(scalar @{ object("keys", "list", "--limit", 2)->{keys} }, 2, "--limit");
is(scalar @{ object("keys", "list", "--search", "team")->{keys} }, 3,
   "--search");

ok_cli("keys remove", "keys", "remove", "team_3");
unlike(ok_cli("keys list", "keys", "list"), qr/team_3/, "gone");
like(ok_cli("keys list --deleted", "keys", "list", "--deleted"),
     qr/^team_3 +store +deleted/m, "and to be had again");
ok_cli("keys restore", "keys", "restore", "team_3");
is(object("keys", "show", "team_3")->{state}, "active", "it is");
ok_cli("keys batch remove", "keys", "batch", "remove", "team_2", "team_3");
ok_cli("keys extend", "keys", "extend", "team_1", "--until",
       "2031-01-01T00:00:00Z");
is(object("keys", "show", "team_1")->{expires_at}, "2031-01-01T00:00:00Z");

# to a file and back

ok_cli("keys export", "keys", "export");
my $exported = $cli->out;
is_deeply([sort map { $_->{name} } @{ json($exported)->{keys} }],
          ["alice2", "team_1"], "those of the store");
unlike($exported, qr/cr_/, "no secret, nor a part of it");
ok_cli("keys export --csv", "keys", "export", "--csv");
my $csv = $cli->out;
like($csv, qr/^"alice2","true","","","","green","cost:5\/day",/m, "a line");

ok_cli("keys remove --permanent", "keys", "remove", $_, "--permanent")
    for qw/ alice2 team_1 /;
spew("$dir/keys.json", $exported);
ok_cli("keys import", "keys", "import", "$dir/keys.json");
push @secrets, $cli->out =~ /\b(cr_[0-9a-f]{64})\b/g;
is_deeply(object("keys", "show", "alice2")->{limits}, ["cost:5/day"],
          "F205: as it was");

ok_cli("again", "keys", "import", "$dir/keys.json", "--skip-existing");
like($cli->out . $cli->err, qr/skipped.*alice2/s, "those that are there");
is(cli("keys", "import", "$dir/keys.json"), 1, "or none");

ok_cli("gone", "keys", "remove", "alice2", "--permanent");
spew("$dir/keys.csv", $csv =~ s/"team_1"/"o""dd, x"/r
                           =~ s/^"alice","true".*?\n//mr);
is(cli("keys", "import", "$dir/keys.csv"), 1, "quotes in CSV are read");
like($cli->err, qr/name/, "and what is wrong with it is said");
spew("$dir/keys.csv", "name,tags,limits,description\r\n"
                      . "csv1,a;b,\"cost:1/day;requests:5/hour\","
                      . "\"two \"\"words\"\",\nlines\"\r\ncsv2,,,\r\n"
                        =~ s/,\nlines/, commas/r);
ok_cli("F205: keys import of CSV", "keys", "import", "$dir/keys.csv");
push @secrets, $cli->out =~ /\b(cr_[0-9a-f]{64})\b/g;
{
    my $j = object("keys", "show", "csv1");
    is_deeply([@$j{qw/ tags description /}], [["a", "b"],
              "two \"words\", commas"], "lists and quotes");
    is(scalar @{ $j->{limits} }, 2, "two limits");
}
usage(qr/takes one file/, "keys", "import");
is(cli("keys", "import", "$dir/none"), 1, "a file that is not there");
spew("$dir/bad.json", "{ ");
is(cli("keys", "import", "$dir/bad.json"), 1, "no JSON");
like($cli->err, qr/is no JSON/, "it says so");


# ---- cards, hooks, settings, prices

{
    ok_cli("a key with a total", "keys", "edit", "csv1", "--limit",
           "cost:5/total");

    my $card = object("cards", "create", "--type", "quota", "--amount", 5);
    my $code = ($card->{cards} // [$card])->[0]{code};
    push @secrets, $code;

    like(ok_cli("cards list", "cards", "list"), qr/quota +unused +5 /, "one");
    unlike($cli->out, qr/\Q$code\E/, "its code is told once");
    ok_cli("cards redeem", { in => "$code\n" }, "cards", "redeem", "csv1",
           "--code", "-");
    like(ok_cli("cards list", "cards", "list", "--status", "redeemed"),
         qr/csv1/, "it is of csv1 now");
    usage(qr/no place on a command line/, "cards", "redeem", "csv1", "--code",
          "CC_X");
    usage(qr/needs --type/, "cards", "create");
    usage(qr/takes a number/, "cards", "create", "--type", "quota",
          "--amount", "much");
}

{
    push @secrets, "planted-hook-part";

    ok_cli("hooks create", { in => "https://hooks.example/planted-hook-part" },
           "hooks", "create", "chat", "--kind", "slack", "--hook-url", "-",
           "--levels", "warning,critical", "--limit", 10);
    is_deeply([@{ object("hooks", "show", "chat") }{qw/ kind host levels
                                                        limit /}],
              ["slack", "hooks.example", ["warning", "critical"], 10],
              "as it was asked for");
    like(ok_cli("hooks list", "hooks"), qr/^chat +slack +true +hooks\.example/m);
    ok_cli("hooks edit", "hooks", "edit", "chat", "--enabled", "off");
    is(object("hooks", "show", "chat")->{enabled}, JSON::PP::false);
    my $v = object("hooks", "show", "chat")->{version};
    is(cli("hooks", "edit", "chat", "--limit", 1, "--if-version", $v + 1), 1,
       "--if-version");
    ok_cli("the right one", "hooks", "edit", "chat", "--limit", 1,
           "--if-version", $v);
    ok_cli("hooks remove", "hooks", "remove", "chat");
    like(ok_cli("hooks list", "hooks"), qr/^no hooks$/m);
    ok_cli("alerts", "alerts");
}

ok_cli("settings set", "settings", "set", "branding.name=My relay",
       "maintenance.enabled=false");
is(object("settings")->{branding}{name}, "My relay", "settings show");
usage(qr/takes KEY=JSON/, "settings", "set", "x");
is(cli("settings", "set", "nonsense=1"), 1, "an unknown one is refused");

like(ok_cli("prices list", "prices", "list", "--model", "claude-sonnet-4-6"),
     qr/^claude-sonnet-4-6 +standard +3 +15 /m, "a row");
spew("$dir/price.json", '{"input":1,"output":2}');
ok_cli("prices set", "prices", "set", "vendor-x", "$dir/price.json");
like(ok_cli("prices list", "prices", "list", "--model", "vendor-x"),
     qr/^vendor-x .*store$/m, "of the store");
ok_cli("prices remove", "prices", "remove", "vendor-x");
ok_cli("maps", "maps");


# ---- accounts: live, many at once

$nginx->post("/v1/messages", message());

like(ok_cli("F202: accounts top --once", "accounts", "top", "--once"),
     qr/^NAME +STATE .*\none +ok +- +0 +- +\S+ +1 /m, "a table");
unlike($cli->out, qr/\e/, "no escapes but for a terminal");

$cli->start("accounts", "top", "--interval", 1);
ok(wait_for(sub { (() = $cli->out =~ /^NAME/mg) >= 2 }), "again and again");
kill "TERM", $cli->{pid};
$cli->end;

usage(qr/whole seconds/, "accounts", "top", "--interval", "often");
is(cli("accounts", "batch", "reset", "one", "nobody"), 1,
   "a batch of which one failed");
like($cli->out, qr/^one +true +200.*^nobody +false +404/ms, "which one");
ok_cli("accounts batch --where", "accounts", "batch", "test", "--where",
       "pool=default");
usage(qr/accounts batch what/, "accounts", "batch", "explode", "one");
usage(qr/set: what/, "accounts", "batch", "set", "one");
ok_cli("accounts $_", "accounts", $_, "one")
    for qw/ errors tests balance unbind forgive /;
ok_cli("accounts groups", "accounts", "groups");
like(ok_cli("quota", "quota"), qr/^one +anthropic +ok /m, "quota");
ok_cli("accounts add", { env => { K => "sk-ant-planted-0001" } }, "accounts",
       "add", "new", "--platform", "anthropic", "--api-key", "env:K",
       "--base-url", $up->url, "--groups", "a,b", "--type", "shared",
       "--limits", "cost:5/day");
push @secrets, "sk-ant-planted-0001";
is_deeply(object("accounts", "show", "new")->{groups}, ["a", "b"],
          "F202: groups");
like(ok_cli("F202: test all", "test", "all"), qr/^new +true +200 /m,
     "each account");
like($cli->out, qr/^LOCATION.*^\/ +default +messages /ms, "each location");
ok_cli("accounts batch set", "accounts", "batch", "set", "new",
       "--description", "x", "--auto-protect", "off");
is(object("accounts", "show", "new")->{description}, "x", "it was done");
ok_cli("accounts batch remove", "accounts", "batch", "remove", "new");


# ---- what happens now

like(ok_cli("usage tail --once", "usage", "tail", "--once"),
     qr/^\d\d:\d\d:\d\d  200  alice  one  claude-sonnet-4-6  \d+ in /m,
     "F202: a line for each request");
ok_cli("usage --by key --since 7d", "usage", "--by", "key", "--since", "7d");
like($cli->out, qr/^alice +1 /m, "F202: sums");
ok_cli("F202: usage tail --for", "usage", "tail", "--for", "1s", "--json");
is($cli->out, "", "nothing came");
is(cli("logs", "tail", "--once"), 1, "logs tail");
like($cli->err, qr/claude_relay_audit_log/, "needs an audit log");
usage(qr/takes a time such as/, "usage", "tail", "--for", "ever");

{
    $cli->start("events", "--once", "--types", "request");
    ok(wait_for(sub {
        $nginx->post("/v1/messages", message());
        return $cli->out =~ /\S/;
    }), "F202: events") || diag($cli->err);
    is($cli->end, 0, "--once: and it ends");
    like($cli->out, qr/^\d\d:\d\d:\d\d  request  .*key=alice.*\n\z/,
         "a line");

    my $begin = time;
    ok_cli("events --for", "events", "--for", "2s", "--json", "--types",
           "alert");
    cmp_ok(time - $begin, ">", 1.5, "so long");
    is($cli->out, "", "nothing came");

    is(cli(@url, "events", "--once", "--types", "nonsense"), 1,
       "an error of a stream");
    like($cli->err, qr/types|nonsense/, "is told");
}

like(ok_cli("requests", "requests"), qr/^no requests$/m);
is(cli("requests", "kill", "0" x 32), 1, "requests kill: there is none");
ok_cli("requests kill --key", "requests", "kill", "--key", "alice");
usage(qr/requests kill ID/, "requests", "kill");
ok_cli($_, $_) for qw/ concurrency sessions fleet /;
ok_cli("sessions clear", "sessions", "clear", "--account", "one");
usage(qr/needs --account/, "sessions", "clear");
like(ok_cli("health", "health"), qr/^status +ok$/m);
ok_cli("health --ready", "health", "--ready");
like(ok_cli("version server", "version", "server"), qr/^nginx +\d/m);
like(ok_cli("version", "version"), qr/^claude-relay \d/);
like(ok_cli("api", "api", "GET", "/v1/status"), qr/"version":/, "any call");
usage(qr/begins with \/v1/, "api", "GET", "/etc/passwd");
usage(qr/odd character/, "api", "GET", "/v1/a b");
usage(qr/no method/, "api", "TRACE", "/v1/status");
spew("$dir/body.json", '{"name":"byapi"}');
ok_cli("with a body", "api", "POST", "/v1/keys", "$dir/body.json");
push @secrets, json($cli->out)->{secret};


# ---- documents, backup and restore

{
    my @pass = ({ env => { PASS => "correct-horse-battery" } });
    push @secrets, "correct-horse-battery";

    ok_cli("F205: export", @pass, "export", "--passphrase", "env:PASS",
           "--output", "$dir/all.json");
    is((stat "$dir/all.json")[2] & 07777, 0600, "a file of one's own");
    is(json(slurp("$dir/all.json"))->{format}, "claude-relay", "a document");
    is(cli("export", "--output", "$dir/all.json"), 1, "it is not overwritten");
    ok_cli("but by --force", @pass, "export", "--passphrase", "env:PASS",
           "--force", "--output", "$dir/all.json", "--what", "keys");
    ok(!json(slurp("$dir/all.json"))->{people}, "--what");

    ok_cli("to standard output", "export");
    is(json($cli->out)->{format}, "claude-relay");

    cli("keys", "remove", "csv2", "--permanent");
    ok_cli("import --dry-run", @pass, "import", "$dir/all.json",
           "--passphrase", "env:PASS", "--dry-run");
    like($cli->out, qr/^key +csv2 +made/m, "what would be");
    is(cli("keys", "show", "csv2"), 1, "and is not yet");
    ok_cli("F205: import", @pass, "import", "$dir/all.json", "--passphrase",
           "env:PASS");
    is(object("keys", "show", "csv2")->{name}, "csv2", "it is back");
    is(cli({ env => { PASS => "another-passphrase" } }, "import",
           "$dir/all.json", "--passphrase", "env:PASS"), 1,
       "a wrong passphrase");

    # of others

    spew("$dir/crs.json", encode({ metadata => { version => "1.0" }, data => {
        apiKeys => [{ id => "k", name => "from crs", isActive => "true",
                      apiKey => "cr_" . "cd" x 32 }] } }));
    push @secrets, "cr_" . "cd" x 32, "rs-client-key-01", "sk-ant-api03-rs",
         "sk-ant-oat01-plu", "sk-ant-ort01-plu";
    ok_cli("import of CRS", "import", "$dir/crs.json");
    like($cli->out, qr/^key +from-crs +made/m, "F205: CRS");

    spew("$dir/config.toml", "api_keys = [ \"rs-client-key-01\" ]\n"
         . "[[accounts]]\ntype = \"claude-api\"\nid = \"a1\"\n"
         . "name = \"rs api\"\napi_key = \"sk-ant-api03-rs\"\n"
         . "api_url = \"" . $up->url . "\"\n");
    ok_cli("import of claude-relay-rs", "import", "$dir/config.toml",
           "--pool", "old");
    like($cli->out, qr/^account +rs-api +made/m, "F205: claude-relay-rs");
    is(object("accounts", "show", "rs-api")->{pool}, "old", "--pool");

    mkdir "$dir/plu";
    spew("$dir/plu/plu.toml", "type = \"claude_code\"\n[oauth]\n"
         . "access_token = \"sk-ant-oat01-plu\"\n"
         . "refresh_token = \"sk-ant-ort01-plu\"\n"
         . "expires_at = 4102444800000\n");
    ok_cli("import of Pluribus", { in => "" }, "import", "$dir/plu",
           "--dry-run");
    like($cli->out, qr/^account +plu +made/m, "F205: Pluribus");
    ok_cli("by standard input", { in => slurp("$dir/crs.json") }, "import",
           "-", "--conflict", "skip");
    like($cli->out, qr/^key +from-crs +skipped/m, "it is there already");

    usage(qr/needs --name/, "import");
    is(cli("import", "$dir/none"), 1, "a file that is not there");
    mkdir "$dir/empty";
    is(cli("import", "$dir/empty"), 1, "a directory without files");
    like($cli->err, qr/no \.toml files/, "it says so");
}

ok_cli("F202: backup", "backup", "$dir/backup.db");
is((stat "$dir/backup.db")[2] & 07777, 0600, "a file of one's own");
is(cli("backup", "$dir/backup.db"), 1, "it is not overwritten");
like($cli->err, qr/exists: --force/, "it says so");
usage(qr/takes the name of a file/, "backup");
is(cli("backup", "/nonexistent/x"), 1, "nowhere");

my $db = $nginx->dir . "/db/relay.db";

is(cli("restore", "$dir/backup.db", "--store", $db), 1,
   "F202: restore while it runs");
like($cli->err, qr/is in use: stop nginx first/, "is refused");
usage(qr/needs --store/, "restore", "$dir/backup.db");
spew("$dir/text.db", "x" x 1000);
is(cli("restore", "$dir/text.db", "--store", "$dir/new.db"), 1, "no database");
like($cli->err, qr/is no database/, "it says so");
spew("$dir/text.db", "SQLite format 3\0" . "\0" x 1000);
is(cli("restore", "$dir/text.db", "--store", "$dir/new.db"), 1,
   "another database");
ok(!-e "$dir/new.db", "nothing was made");


# ---- doctor

sub doctor {
    my (@args) = @_;

    my $rc = cli("doctor", "-p", $nginx->dir, "-c", $nginx->file, @args);

    return ($rc, $cli->out);
}

{
    local $ENV{PATH} = $ENV{PATH};
    my ($binary) = binary() =~ m{^(/.*)/};
    $ENV{PATH} = "$binary:$ENV{PATH}" if $binary;

    my ($rc, $out) = doctor();

    is($rc, 0, "F202: doctor") || diag($out);
    like($out, qr/^ok    nginx -t: the configuration is good$/m, "nginx -T");
    like($out, qr/^ok    underscores_in_headers is on$/m, "directives");
    like($out, qr/^ok    the store \S+: mode 600$/m, "permissions");
    like($out, qr/^ok    the zone has \d+% of its memory left$/m, "the zone");
    like($out, qr/^ok    \S+127\.0\.0\.1:\d+ answers/m, "upstreams");
    like($out, qr/^warn  claude_relay_allow_private_upstreams is on\n\s+\S/m,
         "a warning, and what it means");
    like($out, qr/^warn  the first password is still in use/m,
         "the first password");
    unlike($out, qr/alice-secret|sk-ant-one/, "no secret of nginx.conf");

    ok_cli("an account that is nowhere", { env => { K => "sk-nowhere" } },
           "accounts", "add", "nowhere", "--platform", "console", "--api-key",
           "env:K", "--base-url", "https://nowhere.invalid");
    ($rc, $out) = doctor();
    is($rc, 1, "F202: an upstream without a name");
    like($out, qr{^fail  https://nowhere\.invalid: }m, "is found");
    ok_cli("and removed", "accounts", "remove", "nowhere");

    my $key = $nginx->dir . "/secret.key";
    my $first = $nginx->dir . "/db/relay.db-admin-password";

    chmod 0644, $key;
    ($rc, $out) = doctor("--offline");
    is($rc, 1, "F202: a key that others may read") || diag($out);
    like($out, qr/^fail  nginx -t: .*\Q$key\E/m, "nginx says so itself");
    chmod 0600, $key;

    chmod 0644, $first;
    ($rc, $out) = doctor("--offline");
    is($rc, 1, "F202: a password that others may read") || diag($out);
    like($out, qr/^fail  the first password \Q$first\E: mode 644\n +chmod go= /m,
         "and what to do");
    unlike($out, qr/answers, the clocks/, "--offline");
    chmod 0600, $first;

    ($rc, $out) = doctor("--offline", "--json");
    my $j = json($out);
    is($j->{ok}, JSON::PP::true, "doctor --json");
    ok((grep { $_->{result} eq "ok" } @{ $j->{checks} }) > 5, "its checks");

    spew("$dir/bad.conf", slurp($nginx->file)
                          =~ s/underscores_in_headers on;/nonsense on;/r);
    is(cli("doctor", "-p", $nginx->dir, "-c", "$dir/bad.conf", "--offline"),
       1, "a configuration that is wrong");
    like($cli->out, qr/^fail  nginx -t: unknown directive "nonsense"/m,
         "F202: as nginx says it");

    spew("$dir/bad.conf", slurp($nginx->file)
                          =~ s/underscores_in_headers on;/underscores_in_headers off; claude_relay_ssl_verify off;/r
                          =~ s/worker_connections 1024/worker_connections 100/r);
    is(cli("doctor", "-p", $nginx->dir, "-c", "$dir/bad.conf", "--offline"),
       1, "one that is dangerous");
    like($cli->out, qr/^fail  claude_relay_ssl_verify is off$/m, "TLS");
    like($cli->out, qr/^warn  underscores_in_headers is off$/m, "headers");
    like($cli->out, qr/^warn  worker_connections is 100$/m, "connections");

    is(cli({ socket => "$dir/none.sock" }, "doctor", "--offline", "-p",
           $nginx->dir, "-c", $nginx->file, "--socket", "$dir/none.sock"), 1,
       "a relay that does not run");
    like($cli->out, qr/^fail  there is no socket/m, "F202: is told");

    is(cli(@url, "doctor"), 0, "doctor by URL") || diag($cli->out);
    unlike($cli->out, qr/nginx -t/, "does not look at this machine");
}


# ---- completion

sub complete {
    my ($shell, @words) = @_;

    cli("completion", "bash");
    spew("$dir/complete.bash", $cli->out);

    my $list = join " ", map { "'$_'" } "claude-relay", @words;
    my $out = `bash -c 'source $dir/complete.bash
                        COMP_WORDS=(@{[ join " ", "claude-relay", map { $_ eq "" ? q("") : $_ } @words ]})
                        COMP_CWORD=@{[ scalar @words ]}
                        _claude_relay; echo "\${COMPREPLY[\@]}"'`;
    chomp $out;

    return $out;
}

is(complete("bash", "quo"), "quota", "F202: bash: a command");
is(complete("bash", "keys", "re"), "regenerate reset remove restore",
   "one of its words");
is(complete("bash", "people", "create", "x", "--ro"), "--role", "an option");
like(complete("bash", "accounts", "add", "--ba"), qr/^--base-url$/,
     "a setting");
is(complete("bash", "quota", "--by"), "", "none of another");

for my $shell (["zsh", "-n"], ["fish", "-n"]) {
    my ($name, $check) = @$shell;

    ok_cli("completion $name", "completion", $name);
    spew("$dir/complete.$name", $cli->out);

    SKIP: {
        skip "no $name", 1 if !ClaudeRelayCommand::available($name);
        is(system("$name $check $dir/complete.$name > $dir/$name.log 2>&1"),
           0, "$name reads it") || diag(slurp("$dir/$name.log"));
    }
}

usage(qr/completion of what/, "completion", "csh");


# ---- the manual

SKIP: {
    my $manual = root() . "/man/claude-relay.1";
    my $said = ClaudeRelayCommand::available("mandoc")
        ? `mandoc -Tlint -Wwarning $manual 2>&1`
        : ClaudeRelayCommand::available("groff")
        ? `groff -man -Tutf8 -ww -z $manual 2>&1`
        : undef;

    skip "no mandoc, no groff", 1 if !defined $said;
    is($said, "", "F202: the manual page has no faults");
}


# ---- other shells

for my $shell (["bash", "--posix"], ["busybox", "sh"]) {
    next if !ClaudeRelayCommand::available($shell->[0]);

    $cli->shell($shell);

    ok_cli("@$shell: people", "people");
    ok_cli("@$shell: a body", "keys", "batch", "edit", "csv1",
           "--description", "by @$shell");
    is(object("keys", "show", "csv1")->{description}, "by @$shell");
    like(ok_cli("@$shell: by URL", @url, "whoami"), qr/^who +op$/m);
    like(ok_cli("@$shell: top", "accounts", "top", "--once"), qr/^one +ok/m);
    ok_cli("@$shell: completion", "completion", "bash");
}

$cli->shell(["sh"]);


# ---- restore, while it does not run

my $n = object("keys", "list")->{total};

ok_cli("a key more", "keys", "create", "later");
push @secrets, $cli->out =~ /^(cr_\S+)/m;
is($nginx->stop, "QUIT", "nginx ends");

ok_cli("F202: restore", "restore", "$dir/backup.db", "--store", $db);
like($cli->out, qr/^\Q$db\E is in place, the old one is \S+before-/m,
     "the old one stays");
my ($old) = glob "$db.before-*";
ok($old && -s $old, "it is there");
is((stat $db)[2] & 07777, 0600, "a file of its own");

$nginx->start;

is(cli("keys", "show", "later"), 1, "what came after the backup is gone");
is(object("keys", "show", "csv1")->{name}, "csv1", "what was before is there");


# ---- no secret in arguments, in the environment, in errors

my $all = join "\n", keys %seen;

for my $secret (grep { length } @secrets) {

    # who put it into the environment is the test

    (my $text = $all) =~ s/^(PW|PASS|K|CLAUDE_RELAY_TOKEN)=\S*//mg;
    $text =~ s/ (PW|PASS|K|CLAUDE_RELAY_TOKEN)=\S*//g;

    unlike($text, qr/\Q$secret\E/,
           "no secret in \"ps\": " . substr($secret, 0, 6));
}

finish();
