#!/usr/bin/perl

# Refreshes of other platforms than Claude (others.md I 51, C6, D1): four
# workers and one refresh token that is good once; a token endpoint that
# fails, before and after the rotation; a worker that is killed; a token that
# is dead; one that is never given anew.

use warnings;
use strict;

use POSIX ();
use Test::More;
use Time::HiRes qw/ sleep time /;

use ClaudeRelay;


my $up = sandbox();


sub place {
    my ($place, %arg) = @_;

    my $query = ClaudeRelay::Sandbox::query(place => $place, %arg);

    return $up->control("POST", "/sandbox/places?$query");
}


sub one {
    my ($name, $place, %arg) = @_;

    my $new = place($place, new => 1);
    my $end = int(time + ($arg{expires} // 3600));
    my $refresh = ($arg{refresh} // "%s") =~ s/%s/$new->{refresh}/r;

    return account($name, "platform $arg{platform}; pool $name;
                           access_token $new->{access};
                           refresh_token $refresh; expires $end;
                           base_url $arg{base};");
}


my $nginx = nginx(relay_http(
    http => "claude_relay_zone relay:2m;
             claude_relay_store store/relay.db secret=relay.key;
             claude_relay_usage_poll off;
             claude_relay_refresh ahead=30s;
             claude_relay_oauth codex
                 token_url=%%UP%%/places/codex/token;
             claude_relay_oauth antigravity
                 token_url=%%UP%%/places/google/token
                 client_id=sandbox-client client_secret=sandbox-secret
                 info_url=%%UP%%/places/google/userinfo;
             claude_relay_oauth droid
                 token_url=%%UP%%/places/workos/token
                 info_url=%%UP%%/places/workos/org;
             claude_relay_oauth kiro
                 refresh_url=%%UP%%/places/kiro/refreshToken
                 poll_url=%%UP%%/places/aws/token;
             claude_relay_control unix:control.sock;",
    accounts => account("one")
        . one("cx", "codex", platform => "codex", base => $up->url)
        . one("an", "google", platform => "antigravity",
              base => $up->url . "/places/google")
        . one("dr", "workos", platform => "droid", base => $up->url,
              expires => 28800)
        . one("ki", "kiro", platform => "kiro", base => $up->url)
        . one("kd", "aws", platform => "kiro", base => $up->url,
              refresh => "idc:sandbox-aws-client:sandbox-aws-secret:%s")),
    workers => 4,
    allow => [qr/exited on signal 9/, qr/refresh of account/,
              qr/needs a login/, qr/its token is tried once more/]);


sub show { $nginx->control("GET", "/v1/accounts/$_[0]")->json }

sub refresh { $nginx->control("POST", "/v1/accounts/$_[0]/refresh", {}) }

sub of { place($_[0])->{$_[0]} }


sub quiet {
    my ($name) = @_;

    return ClaudeRelay::wait_for(sub { !show($name)->{token}{refreshing} },
                                 20);
}


# 1. each of them: who asks, is given a new pair, and it is kept

for my $t ([ "cx", "codex" ], [ "an", "google" ], [ "dr", "workos" ],
           [ "ki", "kiro" ], [ "kd", "aws" ])
{
    my ($name, $place) = @$t;

    my $version = show($name)->{token}{version};

    for my $n (1 .. 3) {
        my $r = refresh($name);

        is($r->status, 200, "$place: refresh $n") || diag $r->body;
    }

    my $of = of($place);

    is($of->{refreshes}, 3, "$place: three of them");
    is($of->{reuses} + $of->{invalid}, 0, "$place: none shown twice");
    is(show($name)->{token}{version}, $version + 3, "$place: all are kept");
}

like(of("workos")->{last}, qr/organization_id=org_/,
     "droid: the organisation goes with it");
is(show("cx")->{identity}{plan}, "plus",
   "F085: a refresh tells the plan, too");


# 2. others.md I 51: 4 workers, one single-use refresh token

{
    my $before = of("codex");
    my $r = refresh("cx");

    place("codex", delay => 500);

    my @pids = map {
        my $pid = fork // die "fork: $!\n";

        if ($pid == 0) {
            my $status = refresh("cx")->status;
            POSIX::_exit($status == 200 ? 0 : 1);
        }

        $pid;
    } 1 .. 8;

    my $failed = 0;

    for my $pid (@pids) {
        waitpid $pid, 0;
        $failed++ if $?;
    }

    my $of = of("codex");

    is($failed, 0, "I 51: eight ask at the same time, all are served");
    is($of->{reuses} + $of->{invalid}, 0,
       "I 51: no token was shown twice");
    cmp_ok($of->{refreshes} - $before->{refreshes} - 1, "<=", 8,
           "I 51: and not more than were asked for");

    place("codex", delay => 0);
}


# 3. all workers find a token near its end: exactly one refresh

{
    place("codex", expires_in => 20, delay => 300);

    refresh("cx");                      # lives for less than "ahead"

    my $before = of("codex")->{refreshes};

    place("codex", expires_in => 3600);

    ok(ClaudeRelay::wait_for(sub {
           of("codex")->{refreshes} > $before
       }, 30), "I 51: a token near its end is refreshed by itself");

    quiet("cx");
    sleep 2;

    my $of = of("codex");

    is($of->{refreshes}, $before + 1, "I 51: exactly once, by four workers");
    is($of->{reuses}, 0, "I 51: and no token was shown twice");

    place("codex", delay => 0);
}


# 4. an endpoint that fails

{
    my $before = of("workos");

    place("workos", fail => 503, fails => 1);

    my $r = refresh("dr");

    isnt($r->status, 200, "a 503 is told");
    is(show("dr")->{state}, "ok", "and does the account no harm");

    is(refresh("dr")->status, 200, "the token is as good as before");

    my $of = of("workos");
    is($of->{reuses}, $before->{reuses}, "and was not used up");
}


# 5. the answer is lost after the rotation: the token may be dead, which the
#    next attempt finds out, once

{
    place("kiro", fail => 2, fails => 1);

    my $r = refresh("ki");

    isnt($r->status, 200, "an answer that is lost");

    $r = refresh("ki");

    isnt($r->status, 200, "the token that was used up is dead");
    is(show("ki")->{state}, "needs-login",
       "InvalidGrantException: a login is needed");
    is(of("kiro")->{reuses}, 1, "it was shown once more, not again");

    refresh("ki");
    is(of("kiro")->{reuses}, 1, "and a dead one is not shown at all");
}


# 6. a worker is killed while it waits for the answer

{
    place("codex", delay => 3000);

    my $before = of("codex");
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        eval { refresh("cx") };
        POSIX::_exit(0);
    }

    ok(ClaudeRelay::wait_for(sub {
           of("codex")->{refreshes} > $before->{refreshes}
       }, 10), "a refresh is on its way");

    kill 9, $nginx->workers;
    waitpid $pid, 0;

    place("codex", delay => 0);

    ok(ClaudeRelay::wait_for(sub { $nginx->workers >= 4 }, 10),
       "its worker was killed, and all others");

    # whoever comes next tries the token that may be dead, once

    ClaudeRelay::wait_for(sub {
        eval { refresh("cx") };
        show("cx")->{state} eq "needs-login";
    }, 20);

    is(show("cx")->{state}, "needs-login",
       "refresh_token_reused: a login is needed");
    is(of("codex")->{reuses}, $before->{reuses} + 1,
       "the token was shown once more, not again");
}


# 7. Google's refresh token stays, and dies with an error

{
    my $last = of("google")->{last};

    like($last, qr/refresh_token=1%2F%2F/, "google: it is a form")
        || diag $last;

    place("google", fail => 400, fails => 1);

    isnt(refresh("an")->status, 200, "google: an error");
    is(show("an")->{state}, "ok", "google: that is not for ever");
    is(refresh("an")->status, 200, "google: the same token again");
}

finish();
