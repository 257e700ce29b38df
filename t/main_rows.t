#!/usr/bin/perl

# Rows of the feature list that stand out alone; the files named after their
# subject (sticky, failover, verdicts) go deeper.

use warnings;
use strict;

use Test::More;
use Time::HiRes qw/ time /;

use ClaudeRelay;


my $up = sandbox();

my $nginx = relay(
    http => "claude_relay_policy round-robin; claude_relay_retry_wait 0;",
    accounts => join("", map({ account($_) } qw/ one two /),
        account("console", "platform console; max_concurrency 1;"
                           . " pool console; priority 200;"),
        account("spare", "platform console; pool console;"),
        account("oauth", "platform claude-oauth; pool oauth;"
                         . " access_token sk-ant-oat01-x;"),
        map({ account($_, "pool $_;") } qw/ extra told529 told429 /)),
    server => join("\n", map {
        "location /$_/ { claude_relay; claude_relay_pool $_; }"
    } qw/ console oauth extra told529 told429 /),
);

my $r;

sub ask {
    my ($uri, $body, @headers) = @_;

    $r = $nginx->post("$uri/v1/messages", $body // message(), @headers);
    return $nginx->log->{account};
}

sub failing {
    my ($uri, $do) = @_;

    return ask($uri, message(text => "sandbox($do)"));
}

sub state {
    my ($name) = @_;

    my ($account) = grep { $_->{name} eq $name }
                         map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    return $account->{state}
           . ($account->{why} ? " $account->{why}" : "");
}


# F071: an account at its limit is passed over

my $c = $nginx->connect;
$c->request("POST", "/console/v1/messages",
            body => stream(text => "sandbox(events=3,delay=150)"));
$c->read_until(qr/message_start/);

is(ask("/console"), "spare", "F071: one at its max_concurrency is passed over");
$c->response;
is(ask("/console", message(text => "another")), "console",
   "F071: and used again when it is free");


# F137: what is cacheable makes a session

sub turn {
    my ($prefix, $n) = @_;

    my @messages = map { { role => "user", content => "question $_" },
                         { role => "assistant", content => "answer $_" } }
                       1 .. $n;

    pop @messages;

    return message(messages => \@messages, system => [
        { type => "text", text => $prefix,
          cache_control => { type => "ephemeral" } }]);
}

for my $prefix (qw/ first second third /) {
    my %seen;

    $seen{ ask("", turn($prefix, $_)) }++ for 1 .. 4;
    is(scalar keys %seen, 1, "F137: a prefix stays with one account: $prefix");
    is($nginx->log->{sticky}, "hit", "F137: it is a hit: $prefix");
}


# F139: sessions of other clients

for (["session_id: s1", {}], ["x-session-id: s2", {}],
     ["conversation_id: s3", {}], ["X-None: 1", { prompt_cache_key => "s4" }],
     ["X-None: 1", { conversation => { id => "s5" } }])
{
    my ($header, $field) = @$_;
    my $name = join " ", $header, keys %$field;
    my %seen;

    $seen{ ask("", message(text => "turn $_", %$field), $header) }++ for 1 .. 4;
    is(scalar keys %seen, 1, "F139: a session: $name");
}


# F149: the organization is disabled: out until somebody acts, or for long

failing("/oauth", "status=403,once,code=oauth_org_not_allowed,message="
     . "OAuth%20authentication%20is%20currently%20not%20allowed%20for%20this"
     . "%20organization.");
like(state("oauth"), qr/^(resting|needs-login) disabled$/,
     "F149: 403, organization: disabled");


# F154, F155, F156: what a 429 and a 529 mean

failing("/extra", "status=429,nowindow,retry-after=none,message=Extra%20usage%20is"
     . "%20required%20for%20long%20context%20requests.");
is($r->status, 429, "F154: extra usage: the client's");
is(state("extra"), "ok", "F154: extra usage is no limit of the account");

failing("/told429", "status=429,once,nowindow,retry-after=none");
is(state("told429"), "resting throttled", "F155: 429 without a reset: a pause");
ok(wait_for(sub { state("told429") eq "ok" }, 8), "F155: of seconds");

failing("/told529", "status=529,once");
is(state("told529"), "resting overloaded", "F156: 529 rests");
is($r->status, 529, "F156: the client is told");


# F209: small and quick

SKIP: {
    skip "not under the sanitizers", 2 if asan();

    my @ms;

    $c = $nginx->connect;

    for (1 .. 200) {
        my $start = time;
        $c->request("POST", "/v1/messages", body => message())->response;
        push @ms, 1000 * (time - $start);
    }

    @ms = sort { $a <=> $b } @ms;
    cmp_ok($ms[100], "<", 20, "F209: p50 below 20 ms");

    my ($kb) = sort { $b <=> $a }
                    map { slurp("/proc/$_/status") =~ /^VmRSS:\s+(\d+)/m }
                        $nginx->workers;
    cmp_ok($kb, "<", 70 * 1024, "F209: less than 70 MB");
}

finish();
