#!/usr/bin/perl

# Keys of the store (F040, F057): how a change gets into every worker and into
# another nginx, and what becomes of keys while workers are killed, while the
# store's file is deleted or replaced, and over reloads and restarts; and a
# hundred thousand of them in a zone of 64 MB.

use warnings;
use strict;

use ClaudeRelay;
use Digest::SHA qw/ sha256_hex /;
use File::Copy qw/ copy /;
use File::Temp qw/ tempdir /;
use POSIX ();
use Test::More;
use Time::HiRes qw/ sleep time /;


my $up = sandbox();
my $dir = tempdir("claude-relay-keys-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $has_sqlite = `sqlite3 -version 2>&1` =~ /^\d/;


sub http {
    my (%opt) = @_;

    my $name = $opt{store} // "a";

    mkdir "$dir/$name";

    return "claude_relay_zone relay:" . ($opt{zone} // "4m") . ";\n"
           . "claude_relay_key alice { secret $ClaudeRelay::KEY; }\n"
           . store("$dir/$name") . "\n"
           . "claude_relay_control unix:control.sock;\n"
           . account("one")
           . "server { listen 127.0.0.1:%%PORT%% reuseport;\n"
           . "add_header x-worker \$pid always;\n"
           . "location / { claude_relay; } }\n";
}


my $nginx;

sub call {
    my ($method, $path, $body, @headers) = @_;

    return $nginx->control($method, $path, $body, @headers);
}

sub create {
    my ($name, %fields) = @_;

    my $r = call("POST", "/v1/keys", { name => $name, %fields });

    return $r->status == 201 ? $r->json->{secret} // "" : $r->status;
}

sub status {
    my ($secret, $at) = @_;

    return ($at // $nginx)->request("POST", "/v1/messages", body => message(),
                                    key => $secret,
                                    headers => ["anthropic-version: 2023-06-01"
                                                ])->status;
}


# what each worker says of a secret, by connections until all have been asked

sub everywhere {
    my ($secret, $at) = @_;

    $at //= $nginx;

    my (%said, %seen);

    for my $n (1 .. 1000) {

        if ($n % 20 == 0) {
            last if !grep { !$seen{$_} } $at->workers;
            sleep 0.05;
        }

        my $c = connect_to($at->port);

        $c->request("POST", "/v1/messages", body => message(), key => $secret,
                    headers => ["content-type: application/json",
                                "anthropic-version: 2023-06-01",
                                "connection: close"]);

        my $r = $c->response;

        $said{$r->status}++;
        $seen{$r->header("x-worker") // 0} = 1;
    }

    return "not all workers" if grep { !$seen{$_} } $at->workers;

    return join ",", sort keys %said;
}


sub sql {
    my ($name, $sql) = @_;

    my $out = `sqlite3 $dir/$name/db/relay.db "$sql" 2>&1`;
    chomp $out;

    return $out;
}


# ---- every worker, as soon as a call returns

$nginx = nginx(http(), workers => 4, allow => [qr/exited on signal 9/]);

my $bob = create("bob");

is(everywhere($bob), "200", "F057: a key is good in all workers at once");
call("PATCH", "/v1/keys/bob", { enabled => \0 });
is(everywhere($bob), "401", "F057: disabled in all of them");
call("PATCH", "/v1/keys/bob", { enabled => \1 });
is(everywhere($bob), "200", "enabled in all of them");

my $old = $bob;
$bob = call("POST", "/v1/keys/bob/regenerate")->json->{secret};
is(everywhere($old) . " " . everywhere($bob), "401 200",
   "another secret in all of them");

call("POST", "/v1/users", { name => "u" });
call("PATCH", "/v1/keys/bob", { user => "u" });
call("PATCH", "/v1/users/u", { enabled => \0 });
isnt(everywhere($bob), "200", "its user is disabled in all of them");
call("PATCH", "/v1/users/u", { enabled => undef });
is(everywhere($bob), "200", "and enabled");

call("DELETE", "/v1/users/u?force");
isnt(everywhere($bob), "200", "without its user it is refused");
call("PATCH", "/v1/keys/bob", { user => undef });
is(everywhere($bob), "200", "and without naming one it is not");


# until the workers from before are gone

sub reload {
    my %before = map { $_ => 1 } $nginx->workers;

    $nginx->reload(@_);

    wait_for(sub { !grep { $before{$_} } $nginx->workers }, 10);
}


# ---- another nginx with the same store

my $other = nginx(http(), workers => 2);

is(everywhere($bob, $other), "200", "another nginx: from its start on");

my $second = create("second");
ok(wait_for(sub { status($second, $other) == 200 }, 10), "a new key");
call("DELETE", "/v1/keys/second");
ok(wait_for(sub { status($second, $other) == 401 }, 10), "one is removed");

my $third = $other->control("POST", "/v1/keys", { name => "third" })
                  ->json->{secret};
ok(wait_for(sub { status($third) == 200 }, 10), "the other way round");
is(call("GET", "/v1/keys/third")->status, 200, "it is shown");

$other->stop;


# ---- kill -9 while keys are put

my %secret = (bob => $bob, third => $third);
my $changes = 0;

for my $round (1 .. (asan() ? 4 : 12)) {

    my $child = fork // die;

    if (!$child) {
        alarm 0;

        for (1 .. 30) {
            eval {
                call("PATCH", "/v1/keys/bob", { description => "x" x
                                                (10 + int rand 1500) });
                call("POST", "/v1/keys", { name => "k$round-$_" });
                call("DELETE", "/v1/keys/k$round-$_") if $_ % 2;
            };
        }

        POSIX::_exit(0);
    }

    for (1 .. 3) {
        sleep 0.01 + rand 0.05;
        my @workers = $nginx->workers;
        kill "KILL", $workers[rand @workers] if @workers;
    }

    waitpid $child, 0;
}

ok(wait_for(sub { scalar($nginx->workers) == 4 }, 10), "four workers again");
is(everywhere($bob), "200", "N06: after kills a key is good everywhere");

my ($after, @names) = ("");

while (defined $after) {
    my $page = call("GET", "/v1/keys?limit=100&source=store&after=$after")
        ->json;
    push @names, map { $_->{name} } @{ $page->{keys} };
    $after = $page->{next};
}

# all that the store has, the zone has, and no more

is(call("GET", "/v1/status")->json->{keys}, @names + 1,
   "the zone has what the store has: " . @names);

my $new = create("after");
is(everywhere($new), "200", "and goes on");

for my $name (grep { /^k\d/ } @names) {
    call("DELETE", "/v1/keys/$name");
}

is(call("GET", "/v1/status")->json->{keys}, 4, "all of those are removed");

$secret{after} = $new;


# ---- the file is deleted, or replaced by an older one

copy("$dir/a/db/relay.db", "$dir/backup.db");

$bob = $secret{bob} = call("POST", "/v1/keys/bob/regenerate")->json->{secret};
my $id = call("GET", "/v1/keys/bob")->json->{id};
$secret{late} = create("late", description => "made late",
                       limits => ["requests:1000/day"]);

unlink glob "$dir/a/db/relay.db*";

is(everywhere($secret{bob}), "200", "file deleted: keys are good");
ok(wait_for(sub { -s "$dir/a/db/relay.db" }, 10), "there is a file again");
ok(wait_for(sub { call("GET", "/v1/keys/late")->status == 200 }, 10),
   "with the keys");
is_deeply([@{ call("GET", "/v1/keys/late")->json }{qw/ description limits /}],
          ["made late", ["requests:1000/day"]], "as they were");
is(call("GET", "/v1/keys/bob")->json->{id}, $id, "with their ids");
is(join(" ", map { everywhere($secret{$_}) } sort keys %secret),
   "200 200 200 200", "all of them are good");

my $fresh = create("fresh");
is(everywhere($fresh), "200", "and another one can be made");
call("DELETE", "/v1/keys/fresh");

# wait until no worker restores any more

sleep 1.5;

chmod 0600, "$dir/backup.db";
unlink glob "$dir/a/db/relay.db-*";
rename "$dir/backup.db", "$dir/a/db/relay.db";

ok(wait_for(sub { call("GET", "/v1/keys/late")->status == 200 }, 10),
   "an older file: what it did not have is in it");
is(everywhere($old) . " " . everywhere($secret{bob}), "401 200",
   "what is newer here stays");

$nginx->stop;
$nginx = nginx(http(), workers => 2);

is(join(" ", map { everywhere($secret{$_}) } sort keys %secret),
   "200 200 200 200", "a restart finds them");


# ---- reloads

$secret{reload} = create("reload");
reload(http() . "# another text\n");
is(everywhere($secret{reload}), "200", "a reload keeps keys");

reload(http(store => "b"));
is(everywhere($secret{bob}), "401",
   "with another store, the keys of the first one are none");
$fresh = create("bob");
is(everywhere($fresh), "200", "it has its own");
ok(wait_for(sub { call("GET", "/v1/status")->json->{keys} == 2 }, 5),
   "and no others");

reload(http());
is(everywhere($secret{bob}) . " " . everywhere($fresh), "200 401",
   "and back again");


# ---- first use

$secret{timed} = create("timed", valid_for => "2s");
is(call("GET", "/v1/keys/timed")->json->{state}, "unused", "not used yet");
is(status($secret{timed}), 200, "F040: the first use");
my $shown = call("GET", "/v1/keys/timed")->json;
is($shown->{state}, "active", "begins its time");
is($shown->{version}, 1, "without another version");
ok($shown->{last_used_at}, "last_used_at");
ok(wait_for(sub { status($secret{timed}) == 401 }, 10), "and then it ends");
is(call("GET", "/v1/keys/timed")->json->{state}, "expired", "as is shown");

my $activated = $shown->{activated_at};

$nginx->stop;
$nginx = nginx(http(), workers => 2);

is(status($secret{timed}), 401, "after a restart, too");
is(call("GET", "/v1/keys/timed")->json->{activated_at}, $activated,
   "the store knows when it began");


# ---- what is used, and a reset, over a restart

$secret{used} = create("used", limits => ["requests:2/total"]);
$secret{reset} = create("reset", limits => ["requests:2/total"]);

for my $name (qw/ used reset /) {
    is(join(" ", map { status($secret{$name}) } 1 .. 3), "200 200 429",
       "a limit: $name");
}

call("POST", "/v1/keys/reset/limits/reset");
is(status($secret{reset}), 200, "reset");

$nginx->stop;
$nginx = nginx(http(), workers => 2);

is(call("GET", "/v1/keys/used")->json->{usage}[0]{used}, 2,
   "after a restart: what was used");
is(call("GET", "/v1/keys/reset")->json->{usage}[0]{used}, 1,
   "and what was used since the reset");
is(status($secret{used}) . " " . status($secret{reset}), "429 200",
   "which counts");


# ---- a row that cannot be read

SKIP: {
    skip "no sqlite3", 7 if !$has_sqlite;

    sql("a", "UPDATE counters SET value = value + 1 WHERE name = 'seq';"
             . "UPDATE objects SET data = '{', seq = (SELECT value FROM"
             . " counters WHERE name = 'seq') WHERE name = 'late'");
    ok(wait_for(sub { status($secret{late}) == 401 }, 10),
       "a row that cannot be read is in force no longer");
    $nginx->wait_error(qr/settings of key "late" are no JSON/);
    is(call("GET", "/v1/keys/late")->json->{state}, "unusable", "it is shown");
    is(everywhere($secret{bob}), "200", "others are fine");

    $nginx->stop;
    $nginx = nginx(http(), workers => 2);

    is(everywhere($secret{bob}), "200", "it does not keep nginx from starting");
    my @said = $nginx->error_log =~ /(settings of key "late" are no JSON)/g;
    is(scalar @said, 1, "and is told once");

    is(call("PATCH", "/v1/keys/late", { description => "mended" })->status,
       200, "it can be mended");
    is(everywhere($secret{late}), "200", "and is good again");
}


# ---- no room

SKIP: {
    skip "no sqlite3", 3 if !$has_sqlite;

    fill("c", 2000);
    $nginx->stop;
    $nginx = nginx(http(store => "c", zone => "512k"), workers => 2,
                   allow => [qr/no room for key/]);

    my $n = call("GET", "/v1/status")->json->{keys};

    ok($n > 200 && $n < 2000, "a zone that is too small: $n keys fit");
    is(status("secret-number-00001"), 200, "those that do are good");
    is(status("secret-number-02000"), 401, "others are not");
}


# ---- a hundred thousand

sub fill {
    my ($name, $n) = @_;

    # a start makes the file

    my $maker = nginx(http(store => $name), workers => 1);
    $maker->stop;

    open my $sql, "|-", "sqlite3", "$dir/$name/db/relay.db" or die;
    print $sql "BEGIN;\n";

    for my $i (1 .. $n) {
        my $data = encode({ description => "of somebody", tags => ["team"],
                            limits => ["cost:5/day", "requests:100/minute",
                                       "tokens:5m/5h",
                                       "cost:20/week models=*opus*"] });

        printf $sql "INSERT INTO objects VALUES"
            . "(%d, %d, 'key', 'key-%05d', 0, 1, x'%s', '%s', 1, 1, 0, 's');\n",
            $i, $i, $i, sha256_hex(sprintf "secret-number-%05d", $i), $data;
    }

    print $sql "UPDATE counters SET value = $n WHERE name <> 'id';\nCOMMIT;\n";
    close $sql or die;
}

SKIP: {
    skip "no sqlite3", 8 if !$has_sqlite;

    my $n = asan() ? 5000 : 100000;

    fill("d", $n);
    $nginx->stop;

    my $begin = time;

    $nginx = nginx(http(store => "d", zone => "64m"), workers => 2);

    my $took = time - $begin;
    my $st = call("GET", "/v1/status")->json;

    is($st->{keys}, $n + 1, "$n keys are in the zone");
    cmp_ok($st->{zone}{free}, ">", 0, sprintf("of 64 MB, with %d to spare",
                                              $st->{zone}{free}));
    cmp_ok($took, "<", 20, sprintf("nginx started within %.1f s", $took));

    is(status("secret-number-00001"), 200, "the first one is good");
    is(status(sprintf "secret-number-%05d", $n), 200, "and the last");
    is(status("secret-number-xxxxx"), 401, "another one is none");

    # the last page is found as fast as the first

    my $page = call("GET", "/v1/keys?limit=100&after="
                           . sprintf "key-%05d", $n - 101)->json;

    is(scalar @{ $page->{keys} }, 100, "a page near the end");
    is($page->{keys}[0]{name}, sprintf("key-%05d", $n - 100), "begins there");
}

finish();
