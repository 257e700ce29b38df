#!/usr/bin/perl

# Real clients with keys of the store: what a limit of the relay's own and a
# restriction to one client look like to the SDK and to Claude Code.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use FindBin;
use lib "$FindBin::Bin/../lib";


# a network namespace of our own

BEGIN {
    if (!$ENV{CR_NETNS} && $> == 0
        && system("unshare -n true > /dev/null 2>&1") == 0)
    {
        $ENV{CR_NETNS} = 1;
        exec "unshare", "-n", $^X, abs_path($0), @ARGV;
    }
}


use ClaudeRelay;
use ClaudeRelayClients;
use Socket qw/ AF_INET SOCK_DGRAM /;
use Test::More;
use Time::HiRes qw/ time /;


alarm 300;

lo_up() if ($ENV{CR_NETNS} // "") eq "1";

my ($node, $claude, $sdk) = clients();

my $up = sandbox();
my $work = client_dir();
my $nginx = relay(http => store()
                          . "claude_relay_control unix:%%DIR%%/control.sock;");

my %secret;

for ([once => { limits => ["requests:1/7h"] }],
     [spent => { limits => ["requests:1/7h"] }],
     [code => { clients => ["claude_code"] }],
     [plain => {}])
{
    my ($name, $fields) = @$_;

    my $r = $nginx->control("POST", "/v1/keys", { name => $name, %$fields });

    is($r->status, 201, "a key: $name") or diag($r->body);
    $secret{$name} = $r->json->{secret};
}


# the SDK

run({ CR_BASE => "http://127.0.0.1:" . $nginx->port, CR_SDK => $sdk,
      CR_ONCE => $secret{once}, CR_CODE => $secret{code},
      ANTHROPIC_CONFIG_DIR => $work },
    $node, "$FindBin::Bin/keys.mjs");

my $out = slurp("$work/out");

my $n = 0;

while ($out =~ /^(not )?ok \d+ - (.*)\n((?:#.*\n)*)/mg) {
    ok(!$1, $2) or diag($3);
    $n++;
}

cmp_ok($n, ">=", 6, "SDK: all of it has run") or diag($out);


# Claude Code

my $answer = "This is the sandbox upstream";
my $r;

$r = code("plain");
like($r->{out}, qr/^$answer/, "Claude Code: a key of the store");

$r = code("code");
like($r->{out}, qr/^$answer/, "Claude Code: F053: a key for it");

for my $agent ("curl/8.0", "claude-cli/2.1.0 (external, cli)") {
    is_error($nginx->request("POST", "/v1/messages", key => $secret{code},
                             body => message(),
                             headers => ["User-Agent: $agent"]),
             403, "permission_error", "F053: not for $agent",
             qr/client not allowed/);
}

is($nginx->request("POST", "/v1/messages", key => $secret{spent},
                   body => message())->status, 200,
   "a limit is used up");

my $lines = () = $nginx->access_log =~ /\n/g;

$r = code("spent");

isnt($r->{status}, 0, "Claude Code: a limit of the relay is an error");
like("$r->{out}$r->{err}", qr/limit/i, "Claude Code: it shows the words")
    or diag("$r->{out}\n$r->{err}");
cmp_ok($r->{time}, "<", 30, "Claude Code: it does not wait for hours");

my @asked = split /\n/, $nginx->access_log;
@asked = grep { m{"POST [^"]*/v1/messages[?" ]} } @asked[$lines .. $#asked];

cmp_ok(scalar @asked, "<=", 3, "Claude Code: nor asks again and again")
    or diag(join "\n", @asked);

finish();


# in a network namespace of our own it is down at first

sub lo_up {
    use constant { SIOCSIFFLAGS => 0x8914, IFF_UP => 1 };

    socket my $s, AF_INET, SOCK_DGRAM, 0 or return 0;

    my $request = pack "a16 s x22", "lo", IFF_UP;

    return ioctl($s, SIOCSIFFLAGS, $request) ? 1 : 0;
}


sub code {
    my ($key) = @_;

    my $start = time;

    my $status = run({
        ANTHROPIC_BASE_URL => "http://127.0.0.1:" . $nginx->port,
        ANTHROPIC_AUTH_TOKEN => $secret{$key},
        DISABLE_AUTOUPDATER => 1,
        DISABLE_TELEMETRY => 1,
        DISABLE_ERROR_REPORTING => 1,
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC => 1,
    }, $claude, "-p", "hello there");

    return { out => slurp("$work/out"), err => slurp("$work/err"),
             time => time - $start, status => $status };
}
