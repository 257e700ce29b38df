#!/usr/bin/perl

# The Codex CLI itself through the relay, before the sandbox that insists on
# what ChatGPT's back end insists on.  util/install.sh clients installs it.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/../lib";

use ClaudeRelay;
use ClaudeRelayClients;
use Test::More;


needed_codex();

my $up = sandbox();

sub on {
    my ($name, $more) = @_;

    return account($name, "platform codex; access_token token-$name-000001;
                   account_id acc-$name;
                   base_url %%UP%%/backend-api/codex; $more");
}

my $nginx = relay(accounts => on("one", "priority 50;")
                              . on("two", "priority 1;"),
                  server => "large_client_header_buffers 4 32k;");

sub turn { codex($nginx, $_[0]) }


{
    my $t = turn("hello");

    is($t->{status}, 0, "F011, F085: a turn of the Codex CLI")
        || diag($t->{err});
    like($t->{out}, qr/^word0 word1 word2 word3 word4 ?$/m,
         "F011: says what the back end has said");

    my ($r) = grep { $_->{target} eq "/backend-api/codex/responses" }
              $up->last(9);

    ok($r, "F085: it was asked there");
    is($r->{status}, 200, "F085: at once");
    is(scalar $up->header("authorization"), "Bearer token-one-000001",
       "F085: with the account's token");
    like(scalar $up->header("user-agent"), qr/^codex_exec\//,
         "F085: the client is itself");
    like(scalar $up->header("version"), qr/^0\.\d+\.\d+/,
         "F085: and of its version");
}

{
    $up->since;
    $up->behave("token-one-000001",
                "error-first=usage_limit_reached,once");

    my $t = turn("again");
    my @asked = map { my ($h) = grep { /^authorization:/i } @{ $_->{headers} };
                      $h =~ /token-(\w+)-/ } $up->since;

    is($t->{status}, 0, "I6: a limit inside of a 200") || diag($t->{err});
    is("@asked", "one two", "I6: is not seen by the client");
}

{
    $up->behave("token-two-000001", "delay=100,reset-at=2,once");

    my $t = turn("once more");

    is($t->{status}, 0, "I8: a stream that broke") || diag($t->{err});
    like($t->{out}, qr/word4/, "I8: is asked for again");
}

finish();
