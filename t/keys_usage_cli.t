#!/usr/bin/perl

# "claude-relay usage" on a running relay (F175, F179, F181).

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayCommand;
use File::Temp qw/ tempdir /;
use Test::More;


my $up = sandbox();
my $dir = tempdir("claude-relay-usage-XXXXXX", TMPDIR => 1, CLEANUP => 1);

my $nginx = nginx(<<"END", workers => 2);
@{[ store($dir) ]}
claude_relay_zone relay:4m;
claude_relay_key alice { secret alice-secret-0001; }
claude_relay_key bob { secret bob-secret-0002; }
claude_relay_control unix:%%DIR%%/control.sock;
@{[ account("one") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    location / { claude_relay; }
    location = /health { claude_relay_health full=on; }
}
END

my $cli = ClaudeRelayCommand->new;
$cli->{socket} = $nginx->dir . "/control.sock";


sub says {
    my ($name, $args, @like) = @_;

    is($cli->run(@$args), 0, "$name: @$args") || diag($cli->err);

    my $out = $cli->out;
    like($out, $_, "$name: $_") for @like;

    return $out;
}


says("empty", ["usage"], qr/^nothing was used$/);
says("empty", ["usage", "rows"], qr/^no requests$/);

is($nginx->post("/v1/messages", message(model => "claude-opus-4-8"))->status,
   200, "alice") for 1 .. 3;
is($nginx->post("/v1/messages", message(model => "claude-haiku-4-5"),
                "x-api-key: bob-secret-0002")->status, 200, "bob");

says("all", ["usage"], qr/^REQUESTS  FAILED  INPUT/,
     qr/^4 +0 +\d+ .*\$0\.\d{6}$/m);
says("by", ["usage", "--by", "key,model", "--since", "7d"],
     qr/^KEY +MODEL +REQUESTS/, qr/^alice +claude-opus-4-8 +3 /m,
     qr/^bob +claude-haiku-4-5 +1 /m);
says("filter", ["usage", "--key", "bob", "--by=day", "--tz", "Asia/Kolkata"],
     qr/^20\d\d-\d\d-\d\dT00:00:00\+05:30 +1 /m);
says("more", ["usage", "--by", "key", "--limit", 1, "--order", "requests"],
     qr/^alice/m, qr/^\.\.\. 1 more: --limit, or --after 1$/m);
says("csv", ["usage", "--by", "key", "--csv"], qr/^key,requests,/,
     qr/^"alice",3,/m);
like(says("json", ["usage", "--json"]), qr/"requests": 4/, "json");

says("rows", ["usage", "rows"], qr/^NUMBER +TIME +STATUS/,
     qr/^4 +20\S+ +200 +ok +bob +one +claude-haiku-4-5 /m);
my $out = says("rows of one", ["usage", "rows", "--model", "*haiku*"]);
is(() = $out =~ /\n/g, 2, "rows of one: one line");
says("rows csv", ["usage", "rows", "--csv", "--limit", 2],
     qr/^number,time,id,/, qr/^4,/m);
says("rows", ["usage", "rows", "--limit", 2], qr/^\.\.\. more: --after 3$/m);

says("top", ["usage", "top", "models", "--order", "requests"],
     qr/^MODEL/, qr/\nclaude-opus-4-8 +3 .*\nclaude-haiku-4-5 +1 /);
says("top", ["usage", "top", "keys", "--since", "month"],
     qr/\nalice .*\nbob /);

says("rerate", ["usage", "rerate"],
     qr/^4 requests, 0 with another cost now: \+\$0\.000000$/m);
says("rerate", ["usage", "rerate", "--from", "2001-01-01T00:00:00Z",
                "--until", "2001-01-02T00:00:00Z"], qr/^0 requests/);

for ([ [qw/ usage --by weather /], 1, qr/"by" must be/ ],
     [ [qw/ usage lines /], 2, qr/usage what\?/ ],
     [ [qw/ usage --name x /], 2, qr/--name is not for "usage"/ ],
     [ [qw/ usage rerate --since 7d /], 2, qr/--since is not for/ ],
     [ [qw/ usage rerate --from soon /], 1, qr/"from" must be a time/ ],
     [ [qw/ usage top planets /], 1, qr/"of" must be/ ])
{
    my ($args, $want, $regex) = @$_;

    is($cli->run(@$args), $want, "@$args: status");
    like($cli->err, $regex, "@$args: says why");
}

finish();
