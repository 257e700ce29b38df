#!/usr/bin/perl

# The store (F105, F107): what a start refuses, what a restart finds, and what
# becomes of accounts while their file is deleted, replaced, full, busy or
# shared by two nginx.

use warnings;
use strict;

use ClaudeRelay;
use ClaudeRelayWire;
use File::Copy qw/ copy /;
use File::Temp qw/ tempdir /;
use Test::More;
use Time::HiRes qw/ time sleep /;


my $up = sandbox();
my $dir = tempdir("claude-relay-store-XXXXXX", TMPDIR => 1, CLEANUP => 1);
my $n = 0;


sub stored {
    my ($name) = @_;
    mkdir "$dir/$name" if $name ne "test";
    return store("$dir/$name");
}


sub http {
    my ($store, @accounts) = @_;

    return "@{[ zone_and_key() ]}\n$store\n@accounts\n"
           . "server { listen 127.0.0.1:%%PORT%%;\n"
           . "location / { claude_relay; claude_relay_retry_wait 2s; }\n"
           . "location = /health { claude_relay_health full=on; } }\n";
}


sub sql {
    my ($name, $sql) = @_;
    my $out = `sqlite3 $dir/$name/db/relay.db "$sql" 2>&1`;
    chomp $out;
    return $out;
}


# a test of the configuration leaves nothing behind

my ($ok, $said) = config(http(stored("test"), login_account("one")));
ok($ok, "-t: fine") || diag($said);
ok(!-e "$dir/test/db" && !-e "$dir/test/secret.key", "-t: makes neither store nor key");

for ([ "claude_relay_store a.db;", qr/needs "secret=" or "passphrase="/ ],
     [ "claude_relay_store a.db secret=k passphrase=env:X;",
       qr/not both|invalid number of arguments/ ],
     [ "claude_relay_store a.db passphrase=hunter2hunter2;",
       qr/takes its passphrase from/ ],
     [ "claude_relay_store a.db what=ever;", qr/invalid parameter "what=ever"/ ])
{
    my ($line, $regex) = @$_;
    ($ok, $said) = config(http($line, account("x")));
    ok(!$ok && $said =~ $regex, "-t: $line") || diag($said);
}


# the first start makes a key and a store, nobody else can read them

my $one = login_account("one");
my $nginx = nginx(http(stored("a"), $one), workers => 2);

is($nginx->post("/v1/messages", message())->status, 200, "first start: serves");
is(sprintf("%o", (stat "$dir/a/secret.key")[2] & 07777), "600", "the key is 0600");
is(sprintf("%o", (stat "$dir/a/db/relay.db")[2] & 07777), "600",
   "the store is 0600");

$up->oauth(do => "revoke-access", chain => "one");
is($nginx->post("/v1/messages", message())->status, 200, "refreshed");

my $pair = $up->oauth_chain("one");

for my $file (glob("$dir/a/db/*"), "$dir/a/secret.key") {
    unlike(ClaudeRelay::slurp($file), qr/\Q$pair->{access}\E|\Q$pair->{refresh}\E
                                        |sk-ant-o[ar]t/x,
           "F105: no token in " . $file =~ s{.*/}{}r);
}

$nginx->stop;


# F107: a restart finds the rotated pair, although nginx.conf has the old one

$nginx = nginx(http(stored("a"), $one), workers => 1);
is($nginx->post("/v1/messages", message())->status, 200, "F107: restarted");
is($up->header("authorization"), "Bearer $pair->{access}",
   "F107: with the pair of the store");
is($up->oauth_report->{counters}{rotations}, 1, "F107: without a refresh");
$nginx->stop;


# keys: of another store, readable by others, a default, none

sub refused {
    my ($what, $regex) = @_;

    my ($fine, $words) = config(http(stored("a"), $one));
    ok(!$fine && $words =~ $regex, "$what: refused") || diag($words);
    unlike($words, qr/[0-9a-f]{64}|sk-ant-o[ar]t/, "$what: without a secret");
}

my $before = ClaudeRelay::slurp("$dir/a/db/relay.db");

copy("$dir/a/secret.key", "$dir/saved");

ClaudeRelay::spew("$dir/a/secret.key", sha256("another") . "\n");
chmod 0600, "$dir/a/secret.key";
refused("another key", qr/store: .*relay\.db.*key/);

copy("$dir/saved", "$dir/a/secret.key");
chmod 0644, "$dir/a/secret.key";
refused("a key for everybody", qr/can be read or changed by others/);

chmod 0600, "$dir/a/secret.key";
ClaudeRelay::spew("$dir/a/secret.key", "00" x 32 . "\n");
refused("a default key", qr/the store's key ".*secret\.key"/);

ClaudeRelay::spew("$dir/a/secret.key", "what is this\n");
refused("no key", qr/the store's key ".*secret\.key"/);

unlink "$dir/a/secret.key";
refused("a key that is gone", qr/there is a store .* but not its key/);

is(ClaudeRelay::slurp("$dir/a/db/relay.db"), $before, "the store is untouched");

copy("$dir/saved", "$dir/a/secret.key");
chmod 0600, "$dir/a/secret.key";


# other files

rename "$dir/a/db/relay.db", "$dir/a/db/kept";
ClaudeRelay::spew("$dir/a/db/relay.db", "this is a text, not a database\n" x 200);
refused("a text", qr/store: .*relay\.db/);
like(ClaudeRelay::slurp("$dir/a/db/relay.db"), qr/^this is a text/,
     "a text: is left alone");
unlink "$dir/a/db/relay.db";
rename "$dir/a/db/kept", "$dir/a/db/relay.db";


# a passphrase

{
    local $ENV{CR_TEST_PASS} = "correct horse battery staple";
    my $line = "claude_relay_store $dir/p/relay.db passphrase=env:CR_TEST_PASS;"
               . "\nclaude_relay_oauth claude-oauth"
               . " token_url=%%UP%%/v1/oauth/token;";
    my $two = login_account("two");

    $nginx = nginx(http($line, $two), workers => 1);
    is($nginx->post("/v1/messages", message())->status, 200,
       "passphrase: serves");
    $nginx->stop;

    $ENV{CR_TEST_PASS} = "wrong horse battery staple";
    ($ok, $said) = config(http($line, $two));
    ok(!$ok && $said =~ /store: .*relay\.db/, "another passphrase: refused")
        || diag($said);
    unlike($said, qr/horse/, "another passphrase: is not shown");
}


# deleted while it runs: what was acknowledged is in the new file

$nginx = nginx(http(stored("a"), $one), workers => 2,
               allow => [qr/\[alert\] .* cannot be stored/]);

$up->oauth(do => "revoke-access", chain => "one");
is($nginx->post("/v1/messages", message())->status, 200, "deleted: before");
$pair = $up->oauth_chain("one");

unlink glob("$dir/a/db/*");

ok(wait_for(sub { -s "$dir/a/db/relay.db" }, 10), "deleted: made anew");
ok(wait_for(sub { sql("a", "select count(*) from accounts") eq "1" }, 10),
   "deleted: with its account") || diag(sql("a", ".tables"));
is($nginx->post("/v1/messages", message())->status, 200, "deleted: serves");
ok(wait_for(sub { $nginx->health->{status} eq "ok" }, 10),
   "deleted: health is fine, by and by");

$up->oauth(do => "revoke-access", chain => "one");
ok(wait_for(sub { $nginx->post("/v1/messages", message())->status == 200 }),
   "deleted: a refresh goes on");
$pair = $up->oauth_chain("one");
$nginx->stop;

$nginx = nginx(http(stored("a"), $one), workers => 1);
is($nginx->post("/v1/messages", message())->status, 200,
   "deleted: a restart serves");
is($up->header("authorization"), "Bearer $pair->{access}",
   "deleted: with the newest pair");
is($up->oauth_report->{counters}{reuses}, 0, "deleted: no token twice");


# replaced by an older copy: memory is newer, and wins

copy("$dir/a/db/relay.db", "$dir/older.db");
$up->oauth(do => "revoke-access", chain => "one");
is($nginx->post("/v1/messages", message())->status, 200, "replaced: before");
$pair = $up->oauth_chain("one");

unlink glob("$dir/a/db/relay.db-*");
rename "$dir/older.db", "$dir/a/db/relay.db";
sleep 2.5;

is($nginx->post("/v1/messages", message())->status, 200, "replaced: serves");
is($up->header("authorization"), "Bearer $pair->{access}",
   "replaced: with the newest pair");
$nginx->stop;

$nginx = nginx(http(stored("a"), $one), workers => 1);
is($nginx->post("/v1/messages", message())->status, 200,
   "replaced: a restart serves");
is($up->header("authorization"), "Bearer $pair->{access}",
   "replaced: the newest pair is in the file");
is($up->oauth_report->{counters}{reuses}, 0, "replaced: no token twice");


# an older copy that was put there while nothing ran, and a reload that finds
# one: the zone is newer

$up->oauth(do => "revoke-access", chain => "one");
is($nginx->post("/v1/messages", message())->status, 200, "older: before");
sleep 0.2;
copy("$dir/a/db/relay.db", "$dir/older.db");
$up->oauth(do => "revoke-access", chain => "one");
is($nginx->post("/v1/messages", message())->status, 200, "older: a new pair");
$pair = $up->oauth_chain("one");

unlink glob("$dir/a/db/relay.db-*");
rename "$dir/older.db", "$dir/a/db/relay.db";
my ($old) = $nginx->workers;
$nginx->reload;
wait_for(sub { !kill 0, $old });

is($nginx->post("/v1/messages", message())->status, 200, "older: a reload");
is($up->header("authorization"), "Bearer $pair->{access}",
   "older: the zone's pair serves");
ok(wait_for(sub { $nginx->stop; 1 }), "older: stopped");

$nginx = nginx(http(stored("a"), $one), workers => 1);
is($nginx->post("/v1/messages", message())->status, 200, "older: a restart");
is($up->header("authorization"), "Bearer $pair->{access}",
   "older: the file has it, too");
is($up->oauth_report->{counters}{reuses}, 0, "older: no token twice");


# corrupt while it runs: served from memory, and no reload takes it; deleted, it
# is made anew

{
    open my $file, "+<", "$dir/a/db/relay.db" or die;
    print $file "\xff" x -s $file;
    close $file;
    unlink glob("$dir/a/db/relay.db-*");

    sleep 2.5;

    is($nginx->post("/v1/messages", message())->status, 200,
       "corrupt: serves from memory");
    my $rotated = $up->oauth_report->{counters}{rotations};
    push @{ $nginx->{opt}{allow} }, qr/\[emerg\]/;
    $nginx->reload;
    ok($nginx->wait_error(qr/\[emerg\].*store: [^\n]*relay\.db/),
       "corrupt: a reload does not take it");
    is($nginx->post("/v1/messages", message())->status, 200,
       "corrupt: the running one goes on");

    $up->oauth(do => "revoke-access", chain => "one");
    isnt($nginx->post("/v1/messages", message())->status, 200,
         "corrupt: no refresh");
    is($up->oauth_report->{counters}{rotations}, $rotated,
       "corrupt: no token is shown that could not be followed");

    ok(wait_for(sub { $nginx->health->{store}{state} eq "failed" }),
       "corrupt: health tells");
    like($nginx->error_log, qr/store: [^\n]*serving from memory/,
         "corrupt: so does the log");

    unlink glob("$dir/a/db/*");
    ok(wait_for(sub { $nginx->post("/v1/messages", message())->status == 200 },
                20), "corrupt: deleted, it goes on with what it remembers");
    ok(wait_for(sub { $nginx->health->{store}{state} eq "ok" }),
       "corrupt: in order again");
    is($up->oauth_report->{counters}{reuses}, 0, "corrupt: no token twice");
}


# busy: another process holds it; the valid token serves, nothing is shown
# to the server that could not be kept

open my $holder, "|-", "sqlite3", "$dir/a/db/relay.db" or die;
$holder->autoflush(1);
print $holder "BEGIN IMMEDIATE;\n";
sleep 0.3;

is($nginx->post("/v1/messages", message())->status, 200,
   "busy: a valid token serves");

my $rotations = $up->oauth_report->{counters}{rotations};
$up->oauth(do => "revoke-access", chain => "one");

my $w = wire(port(), ask(text => "busy"));
pause(0.5);
is($up->oauth_report->{counters}{rotations}, $rotations,
   "busy: no refresh is begun that could not be stored");

print $holder "COMMIT;\n";
close $holder;

ok(pump(sub { $w->{done} }, 15), "busy: then it goes on");
is($w->{status}, 200, "busy: and serves");
$w->close;
$nginx->stop;


# two nginx on one store, each with its own zone: one refresh, both serve

my $pair_before = $up->oauth_report->{counters}{rotations};
my $first = nginx(http(stored("a"), $one), workers => 2);
my $second = nginx(http(stored("a"), $one) =~ s/%%PORT%%/%%PORT2%%/r,
                   workers => 2);

$up->oauth(do => "before=100");
$up->oauth(do => "revoke-access", chain => "one");

my @w = map { wire(port($_ % 2 ? 0 : 2), ask(text => "two $_")) } 1 .. 40;
ok(pump(sub { !grep { !$_->{done} } @w }, 20), "two nginx: all answered");
is(scalar(grep { ($_->{status} // 0) == 200 } @w), 40, "two nginx: all served");
is($up->oauth_report->{counters}{rotations}, $pair_before + 1,
   "two nginx: by one refresh");
is($up->oauth_report->{counters}{reuses}, 0, "two nginx: no token twice");
$_->close for @w;

finish();
