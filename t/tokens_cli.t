#!/usr/bin/perl

# bin/claude-relay (F202) by itself: what each command sends to the control
# socket, what it says, its exit status, and that no secret is in the arguments
# or the environment of anything that it runs.  The socket is a mock here;
# t/tokens_cli_relay.t has the real one.

use warnings;
use strict;

use IO::Socket::UNIX;
use JSON::PP ();
use POSIX qw/ strftime /;
use Test::More;
use Time::HiRes qw/ time /;

use ClaudeRelay;
use ClaudeRelayCommand;


# whoever runs this in the background ignores it, and so would all below

$SIG{INT} = "DEFAULT";

my $cli = ClaudeRelayCommand->new;
my $dir = $cli->dir;
my $socket = "$dir/control.sock";

$cli->{socket} = $socket;

my @shells = (["sh"],
              grep { ClaudeRelayCommand::available($_->[0]) }
                   ["bash", "--posix"], ["busybox", "sh"]);


# ---- the mock: answers in turn, and keeps what it was sent

my $mock;

sub mock_start {
    unlink $socket;

    my $listen = IO::Socket::UNIX->new(Local => $socket, Listen => 16)
        or die "$socket: $!\n";

    $mock = fork // die "fork: $!\n";

    if ($mock) {
        close $listen;
        return;
    }

    alarm 0;

    while (my $c = $listen->accept) {
        mock_serve($c);
    }

    POSIX::_exit(0);
}


sub mock_serve {
    my ($c) = @_;

    my $in = "";

    while ($in !~ /\r\n\r\n/) {
        sysread $c, $in, 65536, length $in or return;
    }

    my ($head, $body) = split /\r\n\r\n/, $in, 2;
    my $length = $head =~ /^content-length: (\d+)/mi ? $1 : 0;

    while (length $body < $length) {
        sysread $c, $body, 65536, length $body or return;
    }

    my ($method, $target, @headers)
        = ($head =~ /^(\S+) (\S+)/, split /\r\n/, $head =~ s/.*?\r\n//r);

    open my $log, ">>", "$dir/requests" or die;
    print $log encode({ method => $method, target => $target,
                        headers => \@headers, body => $body }), "\n";
    close $log;

    my $answers = json(slurp("$dir/answers") || "[]");
    my $answer = shift(@$answers) // [500, "no answer is left"];

    spew("$dir/answers", encode($answers));

    return if $answer->[0] == 0;

    $body = ref $answer->[1] ? encode($answer->[1]) : $answer->[1] // "";

    syswrite $c, "HTTP/1.1 $answer->[0] OK\r\n"
                 . "Content-Type: application/json\r\n"
                 . "Content-Length: " . length($body) . "\r\n"
                 . "Connection: close\r\n\r\n$body";
}


sub mock_stop {
    kill "KILL", $mock;
    waitpid $mock, 0;
    undef $mock;
}

END { kill "KILL", $mock if $mock }


# ---- one run of the program

my ($out, $err, $rc, @sent);
my $secrets = qr/do-not-show/;

# input, answers, arguments; options of the run are a hash in front

sub cli {
    my $opt = ref $_[0] eq "HASH" ? shift : {};
    my ($input, $answers, @args) = @_;

    unlink "$dir/requests";
    spew("$dir/answers", encode($answers));

    $rc = $cli->run({ %$opt, in => $input // "" }, @args);
    $out = $cli->out;
    $err = $cli->err;
    @sent = map { json($_) } split /\n/, slurp("$dir/requests");

    for my $sent (@sent) {
        $sent->{json} = eval { json($sent->{body}) };
    }

    leaks("@args[0 .. ($#args < 1 ? $#args : 1)]") if !$opt->{env};

    return $rc;
}


# no assertion of its own, or there would be more of these than of others

sub leaks {
    my ($command) = @_;

    my $text = join "\n", $cli->seen, $out, $err;

    fail("$command shows a secret: $text") if $text =~ $secrets;
}


# the only request

sub sent {
    my ($method, $target, $body, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_deeply([map { [$_->{method}, $_->{target}, $_->{json}] } @sent],
              [[$method, $target, $body]], $name)
        || diag($err);
}


sub refused {
    my ($status, $message, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($rc == $status && $err =~ $message && $out eq "", $name)
        || diag("status $rc: $out$err");
}


sub error {
    my ($status, $type, $message) = @_;

    return [$status, { error => { type => $type, message => $message } }];
}


sub at { strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(time + $_[0])) }

my ($true, $false) = (JSON::PP::true, JSON::PP::false);

sub one_account {
    return {
        name => "work", origin => "store", platform => "claude-oauth",
        pool => "default", description => "mine", credential => "auto",
        base_url => "https://api.anthropic.com", priority => 100, weight => 1,
        max_concurrency => 0, models => [], enabled => $true,
        schedulable => $true, sanitize_errors => $false,
        valid_until => undef, version => 7, proxy => undef, state => "ok",
        in_flight => 2, requests => 5, errors => 1,
        last_error => { class => "limited", status => 429, at => at(-600) },
        token => { expires => at(8 * 3600 + 30), refreshable => $true,
                   version => 3, refreshes => 2, refreshing => $false,
                   granted => at(-86400 * 5), scopes => "user:inference" },
        identity => { email => "me\@example.org", organization => "Mine",
                      plan => "max", tier => "20x" },
        windows => { "5h" => { status => "allowed", utilization => 0.11,
                               reset => at(3630) },
                     "7d" => { status => "rejected", utilization => 1,
                               reset => at(86400 * 3 + 30) } },
        @_,
    };
}


# ---- each shell does all of it

for my $shell (@shells) {
    $cli->shell($shell);
    mock_start();
    subtest(join(" ", @$shell) => \&commands);
    mock_stop();
}

$cli->shell($shells[0]);
at_a_terminal();
nothing_there();
rotation();

finish();


sub commands {

    is(cli(undef, [], "version"), 0);
    my $header = slurp(root() . "/src/ngx/ngx_http_claude_relay.h");
    is($out, "claude-relay $1\n", "the module's version")
        if $header =~ /CLAUDE_RELAY_VERSION\s+"([^"]+)"/;

    is(cli(undef, [], "help"), 0);
    like($out, qr/login claude --name NAME.*key rotate --file/s, "help");

    is(cli(undef, [], "accounts", "list", "--help"), 0, "--help anywhere");

    usage_errors();
    status_of_relay();
    lists();
    changes();
    additions();
    imports();
    logins();
    listening();
    tests_of_accounts();
    bad_answers();
    serving();
}


sub usage_errors {
    my @wrong = (
        [[], qr/^claude-relay: accounts/],
        [["nonsense"], qr/no command "nonsense"/],
        [["accounts", "nonsense"], qr/no "accounts nonsense"/],
        [["key"], qr/key rotate/],
        [["key", "rotate"], qr/needs --file/],
        [["accounts", "show"], qr/needs the name/],
        [["accounts", "show", ""], qr/name of the account is empty/],
        [["accounts", "show", "a", "b"], qr/takes one name/],
        [["accounts", "list", "a"], qr/takes no name/],
        [["status", "a"], qr/takes no arguments/],
        [["status", "--nonsense", "1"], qr/no option "--nonsense"/],
        [["status", "-x"], qr/no option "-x"/],
        [["accounts", "list", "--pool"], qr/--pool needs a value/],
        [["accounts", "list", "--json=1"], qr/--json takes no value/],
        [["accounts", "list", "--listen"], qr/--listen is not for "accounts/],
        [["accounts", "show", "a", "--priority", "1"], qr/--priority is not/],
        [["login", "--name", "a"], qr/log in at what/],
        [["login", "grok", "--name", "a"], qr/no login of "grok"/],
        [["login", "claude"], qr/needs --name/],
        [["login", "claude", "--name", "a", "--platform", "console"],
         qr/--platform is not for "login"/],
        [["import"], qr/needs --name/],
        [["import", "f", "g", "--name", "a"], qr/takes one file/],
        [["import", "f", "--setup-token", "--name", "a"], qr/not both/],
        [["accounts", "add", "a"], qr/needs --platform/],
        [["accounts", "add", "a", "--platform", "anthropic", "--priority",
          "high"], qr/"priority" must be a whole number/],
        [["accounts", "add", "a", "--platform", "anthropic", "--enabled",
          "maybe"], qr/"enabled" must be on or off/],
        [["accounts", "add", "a", "--platform", "a\nname=b"],
         qr/"platform" has more than one line/],
        [["accounts", "set", "a"], qr/needs a name and KEY=VALUE/],
        [["accounts", "set", "a", "priority"], qr/takes KEY=VALUE/],
        [["accounts", "set", "a", "colour=red"], qr/no setting "colour"/],
        [["accounts", "set", "a", "name=b"], qr/no setting "name"/],
        [["test", "a", "b"], qr/takes one name/],

        # a secret on the command line is not repeated either

        [["accounts", "add", "a", "--platform", "anthropic", "--api-key",
          "sk-do-not-show"], qr/no place on a command line.*env:NAME/],
        [["accounts", "set", "a", "api_key=sk-do-not-show"],
         qr/no place on a command line/],
        [["accounts", "set", "a", "proxy=socks5://me:do-not-show\@host:1"],
         qr/a proxy with a password is -, \@FILE or env:NAME/],
        [["accounts", "set", "a", "api_key=env:A B"], qr/no name of a var/],
        [["accounts", "set", "a", "api_key=-", "proxy=-"],
         qr/standard input cannot be both/],
    );

    for my $case (@wrong) {
        my ($args, $message) = @$case;

        cli("sk-do-not-show", [], @$args);
        refused(2, $message, "usage: @$args" =~ s/\n/ /r);
        is(@sent, 0) || diag("something was sent") if @sent;
    }
}


sub status_of_relay {
    my $status = {
        version => "0.1.0", nginx => "1.22.1", pid => 77, workers => 4,
        uptime => 7300, requests => 12, sessions => 3,
        store => { path => "/var/lib/x.db", state => "failed",
                   error => "disk is full", since => at(-100) },
        accounts => { total => 4, ok => 1, resting => 1, needs_login => 1,
                      disabled => 1 },
    };

    is(cli(undef, [[200, $status]], "status"), 0, "status");
    sent("GET", "/v1/status", undef, "asks for it");
    like($out, qr/0\.1\.0, nginx 1\.22\.1, pid 77, 4 workers, up 2h 1m/);
    like($out, qr/store +\S+: failed since .*\(1\d\ds ago\): disk is full/);
    like($out, qr/4: 1 ok, 1 resting, 1 need a login, 1 disabled/);

    cli(undef, [[200, $status]], "--json", "status");
    is_deeply(json($out), $status, "--json: as it came");
}


sub lists {
    my @accounts = (
        one_account(),
        one_account(name => "second", state => "resting", why => "limited",
                    until => at(150), windows => {}, in_flight => 0,
                    token => { expires => at(-200), refreshable => $false }),
        one_account(name => "key", origin => "nginx.conf", token => undef,
                    platform => "anthropic", windows => undef),
        one_account(name => "dead", state => "needs-login",
                    token => { refreshable => $true, expires => at(60),
                               reason => "invalid_grant\e[2J" }),
        one_account(name => "ill", token => { refreshable => $true,
                    expires => at(600), failure => "down" }),
    );

    is(cli(undef, [[200, { accounts => \@accounts }]], "accounts", "list"), 0,
       "F202: accounts list");
    sent("GET", "/v1/accounts", undef, "asks for all");

    my @line = split /\n/, $out;
    is(@line, 6, "a line for each");

    my $column = index $line[0], "PLATFORM";
    is_deeply([map { substr $_, $column - 2, 2 } @line], [("  ") x 6],
              "aligned");

    like($line[1], qr/^work \s+ store \s+ claude-oauth \s+ ok \s+ - \s+ 2
                       \s+ 11% \s+ 100%\ rejected \s+ in\ 8h\ 0m$/x,
         "an account in words");
    like($line[2], qr/resting\ +limited,\ in\ 2m
                      \ .*expired\ 3m\ ago,\ no\ refresh$/x,
         "one that rests");
    like($line[3], qr/^key +nginx\.conf +anthropic +ok +- +2 +- +- +-$/,
         "one with a key");
    like($line[4], qr/invalid_grant\?\[2J .*needs a login$/,
         "no control characters reach the terminal");
    like($line[5], qr/in (10|9)m, refresh failed$/);

    cli(undef, [[200, { accounts => \@accounts }]], "accounts", "list",
        "--json");
    is_deeply(json($out), { accounts => \@accounts }, "--json");

    cli(undef, [[200, { accounts => [] }]], "accounts", "list", "--pool=a&b c",
        "--platform", "console", "--state", "ok");
    sent("GET", "/v1/accounts?pool=a%26b%20c&platform=console&state=ok", undef,
         "filters, escaped");
    is($out, "no accounts\n");

    is(cli(undef, [[200, $accounts[0]]], "accounts", "show", "a/../b c"), 0);
    sent("GET", "/v1/accounts/a%2F..%2Fb%20c", undef,
         "accounts show, the name escaped");
    like($out, qr/^e-mail +me\@example\.org$/m);
    like($out, qr/^plan +max, 20x$/m);
    like($out, qr/^token expires +\d{4}-\S+Z \(in 8h 0m\)$/m);
    like($out, qr/^window 7d +100% rejected, resets \S+ \(in 3d\)$/m);
    like($out, qr/^enabled +true$/m);
    like($out, qr/^sanitize_errors +false$/m);
    like($out, qr/^last error +limited, status 429, \S+ \(10m ago\)$/m);

    cli(undef, [[200, $accounts[0]]], "accounts", "show", "work", "--json");
    is_deeply(json($out), $accounts[0], "--json");

    cli(undef, [error(404, "not_found", "there is no account \"x\"")],
        "accounts", "show", "x");
    refused(1, qr/^claude-relay: there is no account "x"$/, "an unknown one");

    cli(undef, [error(404, "not_found", "there is no account \"x\"")],
        "accounts", "show", "x", "--json");
    is(json($out)->{error}{type}, "not_found", "errors with --json");
    is($rc, 1);
}


sub changes {
    for my $case (["enable", $true], ["disable", $false]) {
        is(cli(undef, [[200, one_account()]], "accounts", $case->[0], "work"),
           0);
        sent("PATCH", "/v1/accounts/work", { enabled => $case->[1] },
             "accounts $case->[0]");
    }

    like($out, qr/^account "work": ok, me\@example.org, plan max, token/);

    for my $action (qw/ refresh reset /) {
        is(cli(undef, [[200, one_account()]], "accounts", $action, "work"), 0);
        sent("POST", "/v1/accounts/work/$action", undef, "accounts $action");
    }

    cli(undef, [error(502, "upstream", "account \"work\": invalid_grant")],
        "accounts", "refresh", "work");
    refused(1, qr/^claude-relay: account "work": invalid_grant$/,
            "a refresh that failed");

    is(cli(undef, [[204, ""]], "accounts", "remove", "work"), 0);
    sent("DELETE", "/v1/accounts/work", undef, "accounts remove");
    is($out, "account \"work\" was removed\n");

    cli(undef, [[204, ""]], "accounts", "remove", "work", "--if-version", 4);
    ok((grep { /^if-match: "4"$/i } @{ $sent[0]{headers} }), "--if-version");

    cli(undef, [error(409, "conflict", "it is in nginx.conf")],
        "accounts", "disable", "work");
    refused(1, qr/it is in nginx\.conf$/, "a conflict");

    is(cli("http://me:do-not-show\@proxy:1\n", [[200, one_account()]],
           "accounts", "set", "work",
           "priority=-5", "weight=3", "models=claude-*, x ,", "enabled=off",
           "description=a=b \"c\" \xc3\xa9", "valid_until=", "proxy=-",
           "--if-version=2"), 0);
    sent("PATCH", "/v1/accounts/work",
         { priority => -5, weight => 3, models => ["claude-*", "x"],
           enabled => $false, description => "a=b \"c\" \x{e9}",
           valid_until => undef, proxy => "http://me:do-not-show\@proxy:1" },
         "accounts set: each with its type");
    ok((grep { /^if-match: "2"$/i } @{ $sent[0]{headers} }), "--if-version");

    cli(undef, [[200, one_account()]], "accounts", "set", "work", "models=",
        "proxy=", "pool=b", "--", "base_url=https://x/--y");
    sent("PATCH", "/v1/accounts/work", { models => [], proxy => undef,
         pool => "b", base_url => "https://x/--y" }, "accounts set: empty");

    cli(undef, [error(412, "precondition_failed", "version 8 is there")],
        "accounts", "set", "work", "pool=b", "--if-version", 7);
    refused(1, qr/version 8 is there/, "another version");
}


sub additions {
    my @add = ("accounts", "add", "new", "--platform", "anthropic");

    is(cli("sk-do-not-show\n", [[201, one_account(token => undef)]], @add,
           "--api-key", "-", "--max-concurrency=4", "--models", "a,b"), 0);
    sent("POST", "/v1/accounts", { name => "new", platform => "anthropic",
         api_key => "sk-do-not-show", max_concurrency => 4,
         models => ["a", "b"] }, "accounts add: a key from standard input");

    spew("$dir/key", "sk-do-not-show\r\n");
    cli(undef, [[201, one_account()]], @add, "--api-key", "\@$dir/key",
        "--proxy", "http://proxy:8080");
    sent("POST", "/v1/accounts", { name => "new", platform => "anthropic",
         api_key => "sk-do-not-show", proxy => "http://proxy:8080" },
         "from a file");

    cli({ env => { A_KEY => "sk-do-not-show" } }, undef,
        [[201, one_account()]], @add, "--api-key", "env:A_KEY");
    sent("POST", "/v1/accounts", { name => "new", platform => "anthropic",
         api_key => "sk-do-not-show" }, "from the environment");

    cli("", [], @add, "--api-key", "-");
    refused(1, qr/the account's api_key: nothing was given/, "no key");

    cli("sk-do-not-show\nsk-do-not-show\n", [], @add, "--api-key", "-");
    refused(1, qr/api_key: there is more than one line/, "two keys");

    cli("", [], @add, "--api-key", "\@$dir/none");
    refused(1, qr/none does not exist/, "no file");

    cli("sk-do-not-show\0x\n", [error(400, "invalid_request", "no key")], @add,
        "--api-key", "-");
    is($sent[0]{json}{api_key}, "sk-do-not-show\x01x", "a NUL is not dropped");
}


sub imports {
    my $file = qq({\n  "claudeAiOauth": {"accessToken": "do-not-show \\u00e9",)
               . qq(\n "refreshToken": "do-not-show"}\n}\n);

    mkdir "$dir/.claude";
    unlink "$dir/.claude/.credentials.json";

    cli(undef, [], "import", "--name", "work");
    refused(1, qr/\.claude\/\.credentials\.json does not exist/, "no file");

    spew("$dir/.claude/.credentials.json", $file);

    is(cli(undef, [[201, one_account()]], "import", "--name", "work"), 0);
    sent("POST", "/v1/accounts",
         { name => "work", import => $file =~ s/\n$//r }, "import");
    like($out, qr/^account "work": ok/);
    like($err, qr/good for one use/, "a warning");

    spew("$dir/a file.toml", "a = \"do-not-show \xe2\x82\xac\"\nb = 1\n\n");

    cli(undef, [[201, one_account(token => { refreshable => $false })]],
        "import", "$dir/a file.toml", "--name", "work", "--pool", "own",
        "--priority", 5, "--platform", "claude-oauth");
    sent("POST", "/v1/accounts",
         { name => "work", pool => "own", priority => 5,
           platform => "claude-oauth",
           import => "a = \"do-not-show \x{20ac}\"\nb = 1" }, "with settings");
    is($err, "", "no warning without a refresh token");

    cli($file, [[200, one_account()]], "import", "-", "--name", "work",
        "--replace", "--json");
    sent("POST", "/v1/accounts/work/tokens", { import => $file =~ s/\n$//r },
         "--replace, from standard input");
    is(json($out)->{name}, "work");

    cli($file, [], "import", "-", "--name", "work", "--replace", "--weight=1");
    refused(2, qr/--replace exchanges tokens only/, "--replace and a setting");

    cli($file, [error(409, "conflict", "account \"work\" exists")],
        "import", "-", "--name", "work");
    refused(1, qr/account "work" exists \(--replace gives new tokens to it\)/,
            "the name is there");

    cli("sk-ant-oat01-do-not-show\n", [[201, one_account()]], "import",
        "--setup-token", "--name", "work");
    sent("POST", "/v1/accounts",
         { name => "work", import => "sk-ant-oat01-do-not-show" },
         "import --setup-token");

    cli("", [], "import", "--setup-token", "--name", "work");
    refused(1, qr/the setup token: nothing was given/, "nothing");

    cli("", [], "import", "-", "--name", "work");
    refused(1, qr/nothing in it to import/, "an empty one");

    cli("x" x 200001, [], "import", "-", "--name", "work");
    refused(1, qr/too large/, "a large one");

    cli("", [], "import", $dir, "--name", "work");
    refused(1, qr/is a directory/, "a directory");

    cli("{}", [error(400, "invalid_request", "account \"work\": no tokens")],
        "import", "-", "--name", "work");
    refused(1, qr/^claude-relay: account "work": no tokens$/, "a wrong one");
}


sub login_answer {
    my ($port) = @_;

    return [201, {
        id => "id/1", expires_at => at($_[1] // 600),
        url => "https://claude.example/oauth/authorize?code=true&state=S%2d1",
        redirect_uri => $port ? "http://localhost:$port/callback"
                              : "https://claude.example/code/callback" }];
}


sub logins {
    my @login = ("login", "claude", "--name", "work");

    is(cli("abc#S-1\n", [login_answer(), [200, one_account()]], @login,
           "--pool", "own"), 0, "login");
    is_deeply([map { [@$_{qw/ method target json /}] } @sent],
              [["POST", "/v1/logins",
                { platform => "claude-oauth", name => "work", pool => "own",
                  setup_token => $false, redirect => "paste" }],
               ["POST", "/v1/logins/id%2F1", { code => "abc#S-1" }]],
              "what it sends");
    like($err, qr{^https://claude\.example/oauth/authorize\?code=true&\S+$}m,
         "the URL");
    like($out, qr/^account\ "work":\ ok,\ me\@example\.org,\ plan\ max,
                   \ token\ expires\ \S+Z\ \(in\ 8h\ 0m\)$/x,
         "whom, which plan, until when");

    cli("do-not-show-\$(id)`id`\\n\"'", [login_answer(), [200, one_account()]],
        @login, "--setup-token", "--json");
    is($sent[0]{json}{setup_token}, $true, "--setup-token");
    is($sent[1]{json}{code}, "do-not-show-\$(id)`id`\\n\"'",
       "what was pasted goes there as it is");
    is(json($out)->{name}, "work", "--json");

    # what the relay refuses may be tried again

    my $wrong = error(400, "login", "account \"work\": another state");

    is(cli("abc#x\n\nabc#S-1\n", [login_answer(), $wrong, $wrong,
           [200, one_account()]], @login), 0, "a second try");
    is_deeply([map { $_->{json}{code} } @sent[1 .. 3]],
              ["abc#x", "abc#x", "abc#S-1"], "an empty line: the same again");
    like($err, qr/claude-relay: account "work": another state\n/);

    is(cli("abc#x\n", [login_answer(), $wrong], @login), 1, "a wrong state");
    is($out, "");
    like($err, qr/another state\n.*there was no code: account "work" is as it/s);

    is(cli("abc\nabc\nabc\n", [login_answer(), $wrong,
           error(404, "not_found", "no such login")], @login), 1);
    is(@sent, 3, "a login that is over is not tried on");
    like($err, qr/no such login\n$/);

    cli("abc\nabc\n", [login_answer(), error(400, "login", "account \"work\":"
        . " the code was refused: invalid_grant; begin a new login")], @login);
    is($rc, 1);
    is(@sent, 2, "nor one whose code is used up");

    cli("", [login_answer()], @login);
    is($rc, 1, "nothing is pasted");
    is(@sent, 1);

    cli("a", [error(409, "conflict", "account \"work\" has an API key")],
        @login);
    refused(1, qr/account "work" has an API key$/, "no login of a key");

    cli("a", [[201, { id => "x" }]], @login);
    refused(1, qr/answer that is not understood/, "no URL");
}


# with a browser that is 30 lines long

sub listening {
    my $port = port(3);
    my @login = ("login", "claude", "--name", "work", "--listen");

    my $browser = browser($port, "/favicon.ico", "/callback?code=x&state=no",
                          "/callback?code=a%23b&state=S-1");

    is(cli(undef, [login_answer($port), [200, one_account()]], @login), 0,
       "login --listen");
    is($sent[0]{json}{redirect}, "loopback");
    is($sent[1]{json}{code}, "/callback?code=a%23b&state=S-1",
       "the target goes to the relay");
    like($err, qr/Waiting\ for\ it\ at\ http:\S+\n
                  claude-relay:\ a\ callback\ with\ a\ wrong\ state/x,
         "a wrong state does not end it");

    is_deeply([$browser->()], ["404", "400", "200"], "what the browser sees");

    # IPv6, if there is any

    SKIP: {
        my $s = IO::Socket::IP->new(LocalHost => "::1", Listen => 1)
            or skip("no IPv6", 1);

        $browser = browser("[::1]:$port", "/callback?state=S-1&code=c");
        cli(undef, [login_answer($port), [200, one_account()]], @login);
        is(($browser->())[0], "200", "at [::1]");
    }

    my $busy = IO::Socket::INET->new(LocalAddr => "127.0.0.1",
                                     LocalPort => $port, Listen => 1,
                                     ReuseAddr => 1) or die "busy: $!\n";
    cli(undef, [login_answer($port)], @login);
    refused(1, qr/^cannot listen at http:\S+: Address already in use$/m,
            "the port is taken");
    unlike($err, qr/authorize/, "and nobody is sent there");
    close $busy;

    cli(undef, [login_answer($port, 1)], @login);
    refused(1, qr/nobody came to http/, "nobody comes");

    cli(undef, [login_answer()], @login);
    refused(1, qr/is not one of this machine/, "a redirect to elsewhere");

    $browser = browser($port, "/callback?error=access_denied&state=S-1");
    cli(undef, [login_answer($port), error(400, "login", "access_denied")],
        @login);
    is($rc, 1, "declined");
    like($err, qr/^claude-relay: access_denied$/m);
    $browser->();
}


# asks for one target after the other; returns a sub that says what came

sub browser {
    my ($to, @targets) = @_;

    pipe my $in, my $out or die;

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        alarm 20;
        $SIG{ALRM} = "DEFAULT";

        my ($host, $port) = $to =~ /^\[(.*)\]:(\d+)$/ ? ($1, $2)
                                                      : ("127.0.0.1", $to);
        my $idle;

        for my $target (@targets) {
            my $s;

            # browsers open connections for which they have no use yet

            until ($idle = IO::Socket::IP->new(PeerHost => $host,
                                               PeerPort => $port))
            {
                select undef, undef, undef, 0.02;
            }

            $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port);
            syswrite $s, "GET $target HTTP/1.1\r\nHost: localhost\r\n";
            syswrite $s, "Accept: */*\r\n\r\n";
            my $line = <$s> // "";
            syswrite $out, ($line =~ /^HTTP\/1\.1 (\d+)/ ? $1 : "none") . "\n";
        }

        POSIX::_exit(0);
    }

    close $out;

    return sub {
        waitpid $pid, 0;
        return map { chomp; $_ } <$in>;
    };
}


sub tests_of_accounts {
    my $good = [200, { ok => $true, status => 200, ms => 12, model => "m" }];
    my $bad = [200, { ok => $false, status => 401, ms => 7, model => "m",
                      error => "OAuth token has expired" }];

    is(cli(undef, [$good], "accounts", "test", "work"), 0, "accounts test");
    sent("POST", "/v1/accounts/work/test", {}, "asks for it");
    is($out, "ok    work  200  12 ms  m\n");

    is(cli(undef, [$bad], "test", "work", "--model", "other"), 1, "test NAME");
    sent("POST", "/v1/accounts/work/test", { model => "other" }, "--model");
    is($out, "");
    is($err, "FAIL  work  401  7 ms  m  OAuth token has expired\n");

    my $list = [200, { accounts => [one_account(), one_account(name => "b c"),
                       one_account(name => "off", enabled => $false)] }];

    is(cli(undef, [$list, $good, $good], "test"), 0, "test: all that are on");
    is_deeply([map { $_->{target} } @sent],
              ["/v1/accounts", "/v1/accounts/work/test",
               "/v1/accounts/b%20c/test"]);
    like($out, qr/^ok    work .*\nok    b c .*\n$/);

    is(cli(undef, [$list, error(503, "unavailable", "needs a login"), $good],
           "test", "--quiet"), 1, "one fails");
    is(@sent, 3, "the others are tested nevertheless");
    is($out, "", "--quiet: failures only");
    is($err, "FAIL  work  needs a login\n");

    cli(undef, [$list, $good, $bad], "test", "--json");
    is_deeply([map { [$_->{name}, $_->{ok}] } @{ json($out) }],
              [["work", $true], ["b c", $false]], "--json");
    is($rc, 1);

    cli(undef, [$good], "test", "work", "--json");
    is(json($out)->{name}, "work", "--json of one");

    cli(undef, [[200, { accounts => [] }]], "test");
    refused(1, qr/no account is enabled/, "none at all is no success");
}


sub bad_answers {
    cli(undef, [[502, "<html>bad gateway</html>"]], "status");
    refused(1, qr/answers with status 502 and no message: is it the socket/,
            "something else listens there");

    cli(undef, [[200, "hello"]], "status");
    refused(1, qr/answer that is not understood/, "no JSON");

    cli(undef, [[200, "[]"]], "accounts", "list", "--json");
    is($rc, 0);

    cli(undef, [[0]], "status");
    refused(1, qr/broke before an answer came/, "no answer at all");

    cli(undef, [error(503, "unavailable", "store:\e]0;x\a full\n")],
        "status");
    refused(1, qr/^claude-relay: store:\?\]0;x\? full\?$/, "an evil message");
}


# nginx takes the place of the program, which hands nothing else down to it

sub serving {
    mkdir "$dir/serve";
    spew("$dir/serve/nginx", "#!/bin/sh\necho \$\$ \"\$@\"\n"
                             . "[ ! -e /proc/\$\$/fd/3 ] || echo fd 3\n");
    chmod 0755, "$dir/serve/nginx";

    spew("$dir/plain.conf", "# daemon off;\nevents { }\n");
    spew("$dir/off.conf", "events { }\n  daemon  off;\n");

    my %path = (path => "$dir/serve:$ENV{PATH}");

    is(cli({ %path }, undef, [], "serve"), 0, "serve");
    is($out, "$cli->{last} -g daemon off;\n", "nginx in its place");

    cli({ %path }, undef, [], "serve", "-c", "plain.conf", "-p", "/x");
    is($out, "$cli->{last} -p /x/ -c $dir/plain.conf -g daemon off;\n",
       "serve -c -p, from where we are");

    cli({ %path }, undef, [], "serve", "-c", "$dir/off.conf");
    is($out, "$cli->{last} -c $dir/off.conf\n", "it is said in the file");

    cli({ %path }, undef, [], "serve", "-c", "none.conf");
    refused(1, qr/none\.conf does not exist/, "no file");
}


# ---- at a terminal, by script(1): what is asked, and what is not echoed

sub at_a_terminal {
    SKIP: {
        skip("no script(1)", 1) if !ClaudeRelayCommand::available("script");

        mock_start();

        is(typed([[201, one_account()]], "import --setup-token --name work",
                 [qr/the setup token: $/, "sk-ant-oat01-do-not-show\n"]), 0,
           "a terminal");
        is($sent[0]{json}{import}, "sk-ant-oat01-do-not-show", "it is taken");
        like($out, qr/^the setup token: \r?\naccount "work"/m);
        unlike($out, $secrets, "without an echo");

        is(typed([[200, one_account()]], "accounts set work api_key=-; stty",
                 [qr/account's api_key: $/, "sk-do-not-show\n"]), 0);
        like($out, qr/speed \d+ baud/);
        unlike($out, qr/$secrets|-echo\b/, "the echo comes back");

        typed([], "accounts set work api_key=-; stty",
              [qr/account's api_key: $/, "\x03"]);
        is(@sent, 0);
        like($out, qr/speed \d+ baud/);
        unlike($out, qr/-echo\b/, "after Ctrl-C, too");

        is(typed([[204, ""]], "accounts remove work", [qr/\[y\/N\] $/, "\n"]),
           1, "remove asks");
        is(@sent, 0, "and Enter is no");
        is(typed([[204, ""]], "accounts remove work",
                 [qr/\[y\/N\] $/, "y\n"]), 0);
        is(@sent, 1, "y is yes");
        is(typed([[204, ""]], "accounts remove --yes work"), 0, "--yes");

        my $wrong = error(400, "login", "another state");
        is(typed([login_answer(), $wrong, [200, one_account()]],
                 "login claude --name work", [qr/ends at: $/, "a#b\n"],
                 [qr/another state\r?\n.* ends at: $/, "a#c\n"]), 0, "login");
        is(@sent, 3);

        mock_stop();
    }
}


sub typed {
    my ($answers, $command, @steps) = @_;

    my $program = root() . "/bin/claude-relay";
    my ($status, $text) = ("", "");

    unlink "$dir/requests";
    spew("$dir/answers", encode($answers));

    pipe my $in, my $keys or die;
    pipe my $screen, my $to or die;

    my $pid = fork // die "fork: $!\n";

    if (!$pid) {
        alarm 0;
        open STDIN, "<&", $in;
        open STDOUT, ">&", $to;
        open STDERR, ">&", $to;
        close $_ for $keys, $screen, $in, $to;

        $ENV{CLAUDE_RELAY_SOCKET} = $socket;
        { exec "script", "-qec", "trap : INT; sh $program $command",
               "/dev/null"; }
        POSIX::_exit(127);
    }

    close $in;
    close $to;

    for my $step (@steps, [undef, ""]) {
        my ($prompt, $type) = @$step;

        while (!$prompt || $text !~ $prompt) {
            last if !sysread $screen, $text, 4096, length $text;
        }

        syswrite $keys, $type;
    }

    waitpid $pid, 0;
    $status = $? >> 8;

    $out = $text;
    @sent = map { json($_) } split /\n/, slurp("$dir/requests");
    $_->{json} = eval { json($_->{body}) } for @sent;

    return $status;
}


# ---- what is not there

sub nothing_there {
    cli({ socket => "$dir/none.sock" }, undef, [], "status");
    refused(1, qr/there is no socket .*none\.sock: nginx is not running/,
            "no socket");

    cli({ socket => "$dir/key" }, undef, [], "status");
    refused(1, qr/key is not a socket/, "a file");

    mock_start();
    mock_stop();
    cli(undef, [], "status");
    refused(1, qr/nobody listens at .*: nginx is not running/, "nobody listens");

    cli({ socket => "$dir/elsewhere" }, undef, [], "status", "--socket",
        $socket);
    refused(1, qr/nobody listens at \Q$socket\E/, "--socket goes first");

    for my $missing (qw/ curl jq perl /) {
        my $path = "$dir/without-$missing";
        mkdir $path;

        for my $program (qw/ sh cat tr head jq curl perl stat dd od mv rm /) {
            my $real = ClaudeRelayCommand::available($program);
            symlink $real, "$path/$program" if $program ne $missing && $real;
        }

        # what the program adds to PATH must not have them either

        SKIP: {
            skip("$missing is in /usr/sbin", 1)
                if grep { -x "$_/$missing" } "/usr/sbin", "/usr/local/sbin";

            cli({ path => $path }, undef, [], $missing eq "perl"
                ? ("login", "claude", "--name", "a", "--listen") : "status");
            refused(1, qr/^claude-relay: $missing is missing/, "no $missing");
        }
    }

    SKIP: {
        skip("needs root", 2) if $> != 0;

        mock_start();
        chmod 0600, $socket;

        cli({ uid => 65534, path => $ENV{PATH} }, undef, [], "status");
        refused(1, qr/control\.sock: permission denied; be root or/,
                "not ours");

        mkdir "$dir/private", 0700;
        cli({ uid => 65534, path => $ENV{PATH},
              socket => "$dir/private/a.sock" }, undef, [], "status");
        refused(1, qr/private: permission denied/, "a directory not ours");

        mock_stop();
    }
}


# ---- a key is changed, or a part of it

sub rotation {
    my $old = "# old\n" . "a1" x 32 . "\n";
    my $key = "$dir/secret.key";
    my @rotate = ("key", "rotate", "--file", $key);

    # a nginx that notes when it is told to reload, and what it then finds

    my $nginx = fork // die;

    if (!$nginx) {
        alarm 60;
        $SIG{ALRM} = "DEFAULT";
        $SIG{HUP} = sub { spew("$dir/hup", slurp($key)) };
        spew("$dir/ready", "1");
        sleep 1 while 1;
    }

    wait_for(sub { -s "$dir/ready" });

    my $status = [200, { pid => $nginx }];

    mock_start();
    spew($key, $old);
    chmod 0600, $key;
    chown 65534, 65534, $key if $> == 0;

    is(cli(undef, [$status, [200, { ok => $true }]], @rotate), 0,
       "key rotate");

    my $new = slurp($key);
    like($new, qr/^# .*\n[0-9a-f]{64}\n$/, "a new key");
    is($sent[1]{json}{key}, $new, "the relay has had it before");
    is((stat $key)[2] & 07777, 0600, "which is ours alone");
    is((stat $key)[4], $> == 0 ? 65534 : $>, "and of the same owner");
    ok(!-e "$key.new", "nothing is left");
    ok(wait_for(sub { slurp("$dir/hup") eq $new }), "nginx is told after that");
    unlike($cli->seen . $out . $err, qr/[0-9a-f]{64}/,
           "the key is not shown");

    # refused: as it was

    cli(undef, [$status, error(409, "conflict", "there is a passphrase")],
        @rotate);
    refused(1, qr/^claude-relay: there is a passphrase$/, "refused");
    is(slurp($key), $new);
    ok(!-e "$key.new");

    # not known whether it took place: both keys stay, the next run goes on

    cli(undef, [$status, [0]], @rotate);
    refused(1, qr/is not known; \S+\.new stays, run this again/, "cut off");
    is(slurp($key), $new);

    my $next = slurp("$key.new");
    like($next, qr/^[0-9a-f]{64}$/m, "the next key stays");

    cli(undef, [$status, error(503, "unavailable", "busy")], @rotate);
    refused(1, qr/busy\n.*stays, as the store may be sealed/, "still not");
    is(slurp("$key.new"), $next, "it is not made anew");

    cli(undef, [$status, error(409, "conflict", "another key")], @rotate);
    is(slurp("$key.new"), $next, "nor taken away");

    is(cli(undef, [$status, [200, { ok => $true }]], @rotate), 0, "at last");
    is(slurp($key), $next, "the one that was begun with");
    is($sent[1]{json}{key}, $next);
    like($err, qr/going on with a rotation/);

    # a pid of one's own

    spew("$dir/pid", "$nginx\n");
    unlink "$dir/hup";
    is(cli(undef, [$status, [200, { ok => $true }]], @rotate, "--pid",
           "$dir/pid", "--json"), 0, "--pid");
    is_deeply(json($out), { ok => $true });
    ok(wait_for(sub { slurp("$dir/hup") eq slurp($key) }));

    cli(undef, [[200, {}], [200, { ok => $true }]], @rotate);
    refused(1, qr/is the key now, but nginx must be reloaded, by you/,
            "nobody to tell");

    cli(undef, [], "key", "rotate", "--file", "$dir/none");
    refused(1, qr/none does not exist/, "no such file");

    symlink $key, "$dir/link";
    cli(undef, [], "key", "rotate", "--file", "$dir/link");
    refused(1, qr/is a symbolic link/, "a link");

    mock_stop();

    $new = slurp($key);
    cli(undef, [], @rotate);
    refused(1, qr/nginx is not running/, "no nginx");
    ok(slurp($key) eq $new && !-e "$key.new", "no key was made");

    kill "KILL", $nginx;
    waitpid $nginx, 0;
}
