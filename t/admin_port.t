#!/usr/bin/perl

# Export, import and backup (F056, F098, F205; F200): a document goes from one
# relay to another one, with and without secrets; CRS, claude-relay-rs and
# Pluribus are taken over; a copy of the store is a store.

use warnings;
use strict;

use JSON::PP ();
use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $store = "claude_relay_store store/relay.db secret=relay.key;
             claude_relay_control unix:control.sock;
             claude_relay_usage_poll off;";

my $one = nginx(relay_http(http => $store), workers => 2);
my $two;

my ($true, $false) = (JSON::PP::true(), JSON::PP::false());

my $PASS = "correct horse battery";
my @planted = ("sk-ant-planted-key-0001", "proxy-password-01",
               "sk-ant-oat01-planted-access", "sk-ant-ort01-planted-refresh",
               "own-secret-00000001", $PASS);
my @told;


sub call {
    my ($nginx, $method, $path, $json, @headers) = @_;

    my $r = $nginx->control($method, "/v1$path", $json, @headers);

    push @told, $r->head, $r->body;

    return $r;
}

sub told {
    my ($r, $status, $message, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($r->status == $status && $r->message =~ $message, $name)
        || diag($r->status, " ", substr($r->body, 0, 300));
}

# "kind name" => result, with the reason behind it

sub results {
    my ($r) = @_;

    return { map { ("$_->{object} $_->{name}", $_->{result}) }
                 @{ $r->json->{objects} } };
}

sub reason {
    my ($r, $name) = @_;

    return (map { $_->{reason} // "" }
            grep { $_->{name} eq $name } @{ $r->json->{objects} })[0];
}

sub import_ { call($_[0], "POST", "/import", $_[1]) }

sub status {
    my ($nginx, $secret, $path) = @_;

    return $nginx->request("POST", ($path // "") . "/v1/messages",
                           body => message(), key => $secret,
                           headers => ["content-type: application/json"])
                 ->status;
}


# ---- something to export

my %made = (
    groups => [{ name => "team" }],
    users => [{ name => "eve", group => "team" }],
    limits => [{ name => "all", limits => ["requests:1000000/day"] }],
    accounts => [{ name => "keyed", platform => "anthropic",
                   base_url => $up->url, api_key => $planted[0],
                   pool => "elsewhere", priority => 7,
                   proxy => "http://u:$planted[1]\@127.0.0.1:1" },
                 { name => "tokens", platform => "claude-oauth",
                   base_url => $up->url, pool => "elsewhere",
                   access_token => $planted[2],
                   refresh_token => $planted[3], enabled => $false,
                   expires => "2099-01-01T00:00:00Z" }],
    keys => [{ name => "bob", user => "eve", tags => ["t"],
               limits => ["cost:5/day"] },
             { name => "own", secret => $planted[4] }],
);

my %secret;

for my $kind (qw/ groups users limits accounts keys /) {
    for (@{ $made{$kind} }) {
        my $r = call($one, "POST", "/$kind", $_);
        $r->status == 201 or diag($r->body);
        $secret{$_->{name}} = $r->json->{secret};
    }
}

pop @told for 1 .. 4;       # those of the keys have their secrets

call($one, "PATCH", "/settings", { unpriced => "refuse" });
call($one, "PUT", "/prices/our-model", { input => 1, output => 2 });


# ---- without secrets

my $r = call($one, "POST", "/export", {});

is($r->status, 200, "F098: an export");
is($r->header("content-type"), "application/json", "is JSON");

my $plain = $r->json;

is_deeply([@$plain{qw/ format version /}], ["claude-relay", 1], "of a form");
is_deeply([sort keys %$plain],
          [sort qw/ format version created groups users limits keys accounts
                    people hooks settings prices /], "has everything");
is(scalar(grep { index($r->body, $_) >= 0 } @planted), 0, "but no secret");
is_deeply([sort map { $_->{name} } @{ $plain->{accounts} }],
          [qw/ keyed tokens /], "accounts, not those of nginx.conf");

my ($bob) = grep { $_->{name} eq "bob" } @{ $plain->{keys} };
my ($own) = grep { $_->{name} eq "own" } @{ $plain->{keys} };

is($bob->{digest}, sha256($secret{bob}), "digests of secrets that are random");
ok(!exists $own->{digest}, "not of one that may be guessed");
is_deeply($bob->{settings}, { user => "eve", tags => ["t"],
                              limits => ["cost:5/day"] }, "settings");

$r = call($one, "POST", "/export", { what => ["users", "prices"] });
is_deeply([sort keys %{ $r->json }],
          [sort qw/ format version created users prices /], "parts of it");

for ([{ what => [] }, qr/"what" must be an array of/],
     [{ what => ["secrets"] }, qr/"what" must be an array of/],
     [{ what => "keys" }, qr/"what" must be an array of/],
     [{ passphrase => "too short" }, qr/10 characters/],
     [{ passphrase => 7 }, qr/10 characters/],
     [{ passphrase => "x" x 1025 }, qr/1024 bytes/],
     [{ directory => "/tmp" }, qr/no member "directory"/])
{
    told(call($one, "POST", "/export", $_->[0]), 400, $_->[1],
         "refused: " . substr(encode($_->[0]), 0, 40));
}


# ---- with them

$r = call($one, "POST", "/export", { passphrase => $PASS });
is($r->status, 200, "F098: an export with secrets");

my $sealed = $r->json;

is(scalar(grep { index($r->body, $_) >= 0 } @planted), 0, "they are sealed");
is($sealed->{sealed}{kdf}, "scrypt-15-8-1", "by what");
like($_->{sealed}, qr/^[A-Za-z0-9_-]{40,}$/, "$_->{name} has something sealed")
    for @{ $sealed->{accounts} };


# ---- a try, then for good

$one->stop;

$two = nginx(relay_http(http => $store . "
    claude_relay_user conf { enabled on; }",
    server => "location /crs/ { claude_relay; claude_relay_pool crs; }"),
    workers => 2);

my %all = ("group team" => "made", "user eve" => "made",
           "limit all" => "made", "account keyed" => "made",
           "account tokens" => "made", "key bob" => "made",
           "key own" => "made", "settings " => "made", "prices " => "made");

$r = import_($two, { document => $sealed, passphrase => $PASS,
                     dry_run => $true });
is($r->status, 200, "F205: an import, for a try") || diag($r->body);
is_deeply(results($r), \%all, "says what it would make");
is($r->json->{made}, 9, "and how many");
is(call($two, "GET", "/accounts/keyed")->status, 404, "it made nothing");

told(import_($two, { document => $sealed, passphrase => "not this one" }), 400,
     qr/"passphrase" is not the one/, "another passphrase");

my $moved = json(encode($sealed));
($moved->{accounts}[0]{sealed}, $moved->{accounts}[1]{sealed}) =
    ($moved->{accounts}[1]{sealed}, $moved->{accounts}[0]{sealed});
told(import_($two, { document => $moved, passphrase => $PASS }), 400,
     qr/was changed, or is of another/, "secrets at another place");

$r = import_($two, { document => $sealed, passphrase => $PASS });
is_deeply(results($r), \%all, "F205: an import");

is(status($two, $secret{bob}), 200, "a key is good there, at once");
is(status($two, $planted[4]), 200, "one with an own secret, too");

my $shown = call($two, "GET", "/accounts/tokens")->json;
is($shown->{enabled}, $false, "an account as it was");
is(call($two, "GET", "/accounts/keyed")->json->{priority}, 7, "settings");
is(call($two, "GET", "/settings")->json->{unpriced}, "refuse", "F200: settings");
is(call($two, "GET", "/prices/our-model")->status, 200, "prices");
is(call($two, "GET", "/keys/bob")->json->{user}, "eve", "whose key it is");

my $again = call($two, "POST", "/export", { passphrase => $PASS })->json;
is_deeply([map { $_->{settings} } @{ $again->{accounts} }],
          [map { $_->{settings} } @{ $sealed->{accounts} }],
          "exported again it is the same");
is_deeply([map { $_->{digest} } @{ $again->{keys} }],
          [map { $_->{digest} } @{ $sealed->{keys} }], "digests, too");


# ---- what is there already

my $document = { format => "claude-relay", version => 1,
                 groups => [{ name => "team", settings => {
                     description => "new" } }] };

$r = import_($two, { document => $document });
is_deeply(results($r), { "group team" => "skipped" }, "skipped");
told(import_($two, { document => $document, conflict => "fail" }), 409,
     qr/group "team": nothing was imported/, "or an error");
$r = import_($two, { document => $document, conflict => "replace" });
is_deeply(results($r), { "group team" => "replaced" }, "or replaced");
is(call($two, "GET", "/groups/team")->json->{description}, "new", "by that");

$document = { format => "claude-relay", version => 1,
              keys => [{ name => "bob", settings => { tags => ["x"] } }],
              accounts => [{ name => "keyed", has => ["api_key"],
                             settings => { platform => "anthropic",
                                           base_url => $up->url } },
                           { name => "tokens", settings => {
                                 platform => "anthropic" } }] };

$r = import_($two, { document => $document, conflict => "replace" });
is_deeply(results($r), { "key bob" => "replaced", "account keyed" => "replaced",
                         "account tokens" => "refused" },
          "a document without secrets");
is(reason($r, "tokens"), "there is one of another platform", "why");
is(status($two, $secret{bob}), 200, "a key keeps its secret");
is_deeply(call($two, "GET", "/keys/bob")->json->{tags}, ["x"], "and is new");


# ---- without secrets, into an empty one

$r = import_($two, { document => { %$plain, accounts => [
        map { { %$_, name => "$_->{name}-2" } } @{ $plain->{accounts} }],
        keys => [{ %$own, name => "own-2" }] } });

is(results($r)->{"account keyed-2"}, "refused", "an account without its key");
is(results($r)->{"account tokens-2"}, "made", "one that needs a login");
like(reason($r, "tokens-2"), qr/needs a login/, "as it says");
is(results($r)->{"key own-2"}, "made", "a key without a secret");
like(reason($r, "own-2"), qr/is disabled until it is given a new one/, "why");
is(call($two, "GET", "/keys/own-2")->json->{enabled}, $false, "it is disabled");


# ---- CRS

my %crs = (metadata => { version => "1.0", sanitized => $false }, data => {
    claudeAccounts => [{
        id => "c1", name => "\x{4f60} CRS one", isActive => "true",
        schedulable => "true", priority => "20", accountType => "shared",
        accessToken => "00112233445566778899aabbccddeeff:08f748cc0c0b5ef104c5"
            . "687aa6fd69d563d62d93d7f83f2242254861eead6360",
        refreshToken => "0f112233445566778899aabbccddeeff:7713ef296dbb14c344743"
            . "daa33f774f064c1082880266af518abb943e8756a27",
        expiresAt => "4102444800000", scopes => "user:inference user:profile",
        proxy => encode({ type => "socks5", host => "127.0.0.1", port => 1080,
                          username => "u", password => "p\@w" }) }],
    claudeConsoleAccounts => [{
        id => "x1", name => "console", isActive => "true", priority => "50",
        apiUrl => $up->url, maxConcurrentTasks => "3", dailyQuota => "5",
        supportedModels => encode({ "claude-opus-5" => "up-opus" }),
        apiKey => "1f112233445566778899aabbccddeeff:1467831b6adea3cafece1863ec"
            . "519850ad37555a1ffc87ab2f0c034ee69818a9" }],
    geminiAccounts => [{ id => "g1", name => "gem" }],
    apiKeys => [{
        id => "k1", name => "Key One", apiKey => "0123456789abcdef" x 4,
        isActive => "true", description => "d", concurrencyLimit => "2",
        rateLimitWindow => "60", rateLimitRequests => "100",
        rateLimitCost => "1.5", dailyCostLimit => "5", totalCostLimit => "50",
        weeklyOpusCostLimit => "20", weeklyResetDay => "4",
        weeklyResetHour => "6", permissions => '["claude"]',
        enableModelRestriction => "true", restrictedModels => '["*haiku*"]',
        enableClientRestriction => "true", allowedClients => '["claude_code"]',
        tags => '["a","b"]', expirationMode => "fixed",
        expiresAt => "2099-01-01T00:00:00.000Z", userUsername => "Ann B",
        claudeConsoleAccountId => "x1" },
        { id => "k2", name => "clear", apiKey => "cr_" . "ab" x 32,
          isActive => "true", expirationMode => "activation",
          activationDays => "7", claudeAccountId => "group:z" },
        { id => "k3", name => "gone", isDeleted => "true" },
        { tags => "not a key" }],
    admins => [{ username => "admin" }] });

my $request = { document => \%crs, pool => "crs",
                crs_encryption_key => "0123456789abcdef0123456789abcdef" };

$r = import_($two, { %$request, new_secrets => $true });
is($r->status, 200, "F205: CRS") || diag($r->body);
is($r->json->{format}, "crs", "is known by its look");
is_deeply(results($r), { "account CRS-one" => "made",
                         "account console" => "made", "key Key-One" => "made",
                         "key clear" => "made", "user Ann-B" => "made" },
          "accounts, keys, users") || diag($r->body);
is(scalar(grep { index($r->body, $_) >= 0 } "sk-crs-console-key", "crs-access",
          "p\@w", "cr_abab"), 0, "no secret is repeated");

my ($fresh) = map { $_->{secret} } grep { $_->{name} eq "Key-One" }
                  @{ $r->json->{objects} };
like($fresh, qr/^cr_[0-9a-f]{64}$/, "a key has a new secret, told once");
pop @told;

my @notes = map { "$_->{object} " . ($_->{name} // "") . ": $_->{message}" }
                @{ $r->json->{notes} };
ok((grep { /^account gem: skipped: its platform/ } @notes),
   "what is of another platform is told");
ok((grep { /^key gone: skipped/ } @notes), "what was deleted");
ok((grep { /^key clear: it is bound to/ } @notes), "what is not bound here");
ok((grep { /^people/ } @notes), "administrators");

my $key = call($two, "GET", "/keys/Key-One")->json;
is_deeply($key->{limits},
          ["requests:100/60m", "cost:1.500000/60m", "concurrency:2",
           "cost:5.000000/day", "cost:50.000000/total",
           "cost:20.000000/week models=*opus* reset=thu,06"], "limits");
is_deeply([@$key{qw/ user account permissions models_denied clients tags
                     description expires_at enabled /}],
          ["Ann-B", "console", ["claude"], ["*haiku*"], ["claude_code"],
           ["a", "b"], "d", "2099-01-01T00:00:00Z", $true], "and the rest");
is(call($two, "GET", "/keys/clear")->json->{valid_for}, "7d", "valid_for");
is(status($two, "cr_" . "ab" x 32), 200, "a key whose secret was in the clear");

$shown = call($two, "GET", "/accounts/console")->json;
is_deeply([@$shown{qw/ platform pool priority max_concurrency models
                       model_map limits /}],
          ["console", "crs", 100, 3, ["claude-opus-5"],
           { "claude-opus-5" => "up-opus" }, ["cost:5/day"]],
          "an account of the console") || diag(explain($shown));
is($two->post("/crs/v1/messages", message(model => "claude-opus-5"))->status,
   200, "is asked");
is($up->last->{credential}, "sk-crs-console-key-01", "with its key, opened");

$shown = call($two, "GET", "/accounts/CRS-one")->json;
is_deeply([@$shown{qw/ platform priority description /}],
          ["claude-oauth", 130, "\x{4f60} CRS one"],
          "an OAuth account: the lowest priority there is the highest here");
is($shown->{proxy}, "socks5://127.0.0.1:1080",
   "its proxy, shown without a password");

$r = import_($two, { %$request, crs_encryption_key => undef,
                     dry_run => $true, conflict => "replace" });
ok((grep { $_->{message} =~ /stay sealed/ } @{ $r->json->{notes} }),
   "without its key: told");

# its export of accounts, in the clear

$r = import_($two, { format => "crs", document => { success => $true, data => {
    claudeAccounts => [{ kind => "claude-account", id => "s1", name => "sync",
        isActive => $true, schedulable => $true, priority => 50, proxy => undef,
        credentials => { access_token => "sk-ant-oat01-sync",
                         refresh_token => "sk-ant-ort01-sync",
                         expires_at => "2099-01-01T00:00:00.000Z",
                         scope => "user:inference" } }],
    claudeConsoleAccounts => [{ id => "s2", name => "sync-console",
        isActive => $true, priority => 10,
        proxy => { protocol => "http", host => "127.0.0.1", port => 3128 },
        credentials => { api_key => "sk-sync", base_url => $up->url } }] } } });
is_deeply(results($r), { "account sync" => "made",
                         "account sync-console" => "made" },
          "F098: CRS's sync export") || diag($r->body);


# ---- claude-relay-rs

my $toml = <<END;
api_keys = [ "rs-client-key-01",
             "short" ]

[server]
host = "127.0.0.1"

[[accounts]]
type = "claude-api"
id = "a1"
name = "rs api"
priority = 150
api_key = "sk-ant-api03-rs"
api_url = "${\$up->url}"

[[accounts]]
type = "claude-oauth"
id = "rs-oauth"
enabled = false
refresh_token = "sk-ant-ort01-rs"

[accounts.proxy]
type = "socks5"
host = "127.0.0.1"
port = 1080
username = "rs"
password = "rs-proxy-password"

[[accounts]]
type = "gemini"
id = "rs-gemini"
refresh_token = "x"
END

$r = import_($two, { document => $toml });
is($r->json->{format}, "rs", "F205: claude-relay-rs") || diag($r->body);
is_deeply(results($r), { "account rs-api" => "made",
                         "account rs-oauth" => "made", "key key-1" => "made",
                         "key key-2" => "refused" }, "accounts and keys")
    || diag($r->body);
like(reason($r, "key-2"), qr/10 to 512/, "why not");
is(status($two, "rs-client-key-01"), 200, "its key is good here");
is(call($two, "GET", "/accounts/rs-api")->json->{priority}, 150,
   "priorities are the same");
is(scalar(grep { index($r->body, $_) >= 0 } "rs-client-key", "rs-proxy"), 0,
   "no secret is repeated");


# ---- Pluribus

$r = import_($two, { document => { files => {
    "plu.toml" => "type = \"claude_code\"\n[oauth]\n"
        . "access_token = \"sk-ant-oat01-plu\"\n"
        . "refresh_token = \"sk-ant-ort01-plu\"\nexpires_at = 4102444800000\n",
    "bad.toml" => "type = \"codex\"\n" } } });
is_deeply(results($r), { "account plu" => "made" }, "F205: Pluribus")
    || diag($r->body);
is($r->json->{notes}[0]{name}, "bad.toml", "what was no use is told");


# ---- what is no document

my $own_form = { format => "claude-relay", version => 1 };

for ([{}, qr/^"document" must be/], [{ document => 1 }, qr/^"document" must/],
     [{ document => {} }, qr/of no format/], [{ document => "x" }, qr/no format/],
     [{ document => "{" }, qr/not valid JSON/],
     [{ document => { format => "claude-relay" } }, qr/no "version"/],
     [{ document => { format => "claude-relay", version => 2 } }, qr/is not 1/],
     [{ document => { %$own_form, keys => {} } }, qr/"keys" is no array/],
     [{ document => { %$own_form, keys => [1] } }, qr/no object with a name/],
     [{ document => { %$own_form, keys => [{ name => "../x" }] } }, qr/a name/],
     [{ document => { %$own_form, things => [] } }, qr/no part of such/],
     [{ document => $own_form, frobnicate => 1 }, qr/^the body takes/],
     [{ document => $own_form, conflict => "merge" }, qr/^"conflict" must/],
     [{ document => $own_form, format => "sub2api" }, qr/^"format" must/],
     [{ document => $own_form, dry_run => 1 }, qr/^dry_run must be/],
     [{ document => $own_form, pool => "a/b" }, qr/^"pool" must be a name/],
     [{ document => $own_form, format => "rs" }, qr/must be a string/],
     [{ document => "[[accounts", format => "rs" }, qr/not valid TOML/],
     [{ document => { data => { apiKeys => [1] } } }, qr/is not an object/])
{
    told(import_($two, $_->[0]), 400, $_->[1],
         "refused: " . substr(encode($_->[0]), 0, 60));
}

told(import_($two, "[1"), 400, qr/^the body: /, "no JSON");
told(import_($two, '{"document":"' . "[" x 100 . '"}'), 400, qr/format/, "deep");
told(import_($two, '{"document":' . "[" x 100 . "]" x 100 . "}"), 400,
     qr/not valid JSON/, "deeper than is taken");
told(import_($two, '{"document":{"data":{"apiKeys":[' . "0," x 1_100_000
                   . "0]}}}"), 400, qr/more than a million/, "many values");

# objects that could not be used are refused, one by one

$r = import_($two, { document => { %$own_form,
    keys => [{ name => "k1", settings => { frobnicate => 1 } },
             { name => "k2", settings => { user => "nobody" } },
             { name => "k3", digest => "00" },
             { name => "k4", settings => { activated_at => 5 } },
             { name => "k5", settings => [] },
             { name => "k6", digest => sha256($ClaudeRelay::KEY) },
             { name => "k7", digest => sha256($secret{bob}) },
             { name => "alice" },
             { name => "twice" }, { name => "twice" }],
    users => [{ name => "conf" }],
    accounts => [{ name => "one" },
                 { name => "a1", settings => { platform => "frob" } },
                 { name => "a2", settings => { platform => "anthropic" },
                   secrets => { api_key => "a b" } },
                 { name => "a3", settings => { platform => "claude-oauth" },
                   secrets => { access_token => "x\ny" } },
                 { name => "a4", settings => { platform => "anthropic" },
                   secrets => { access_token => "sk-ant-oat01-x" } },
                 { name => "a5", settings => { platform => "anthropic" },
                   secrets => { api_key => "k", proxy => "ftp://x" } }],
    people => [{ name => "p1", role => "king" },
               { name => "p2", role => "viewer",
                 secrets => { password => "plain" } }],
    hooks => [{ name => "h1", kind => "json" }],
    settings => { unpriced => "perhaps" },
    prices => { models => { x => 1 } } } });

is($r->status, 200, "objects of no use") || diag($r->body);

my $results = results($r);
is($results->{"key twice"}, "refused", "one of two is refused");
delete $results->{"key twice"};
is_deeply([grep { $results->{$_} ne "refused" } sort keys %$results], [],
          "and all of the others") || diag(explain($r->json->{objects}));
like(reason($r, "k7"), qr/key with this secret/, "the secret of another key");
like(reason($r, "k6"), qr/nginx\.conf has its secret/, "or of nginx.conf");
like(reason($r, "conf"), qr/one of nginx\.conf/, "a name of nginx.conf");

# people, and hooks

$r = import_($two, { document => { %$own_form,
    people => [{ name => "pat", role => "viewer", external => "github:1" }],
    hooks => [{ name => "hook", kind => "json", enabled => $true,
                settings => { }, secrets => {
                    url => "https://hooks.example/x" } },
              { name => "bad", kind => "pigeon", secrets => {
                    url => "https://hooks.example/x" } }] } });
is_deeply(results($r), { "person pat" => "made", "hook hook" => "made",
                         "hook bad" => "refused" }, "people and hooks");

my $people = call($two, "POST", "/export", { what => ["people", "hooks"] });
is_deeply([map { "$_->{name} $_->{role}" } @{ $people->json->{people} }],
          ["pat viewer"], "people are exported");
is($people->json->{hooks}[0]{enabled}, $true, "as are hooks");
unlike($people->body, qr/hooks\.example/, "without their URL");


# ---- many, in transactions of bounded size

my $many = { %$own_form, keys => [map { { name => sprintf("many-%05d", $_),
    digest => sha256("many-secret-$_"), settings => { tags => ["many"] } } }
    1 .. 2500] };

$r = import_($two, { document => $many });
is($r->json->{made}, 2500, "F056: 2500 keys");
is(status($two, "many-secret-2500"), 200, "the last one is good");


# ---- backup

$r = call($two, "POST", "/backup", {});
is($r->status, 200, "F205: a copy of the store");
is($r->header("content-type"), "application/octet-stream", "to be saved");
like($r->body, qr/^SQLite format 3\0/, "a database");
is(scalar(grep { index($r->body, $_) >= 0 } @planted), 0, "secrets are sealed");
is(length $r->body, $r->header("content-length"), "all of it");
is_deeply([grep { /backup/ } glob "$two->{dir}/store/*"], [],
          "nothing is left beside the store");
told(call($two, "POST", "/backup", { directory => "/tmp" }), 400,
     qr/no member "directory"/, "it is not written to where somebody says");

# with the key it is a store

my $copy = $r->body;

call($two, "POST", "/groups", { name => "later" });
$two->stop;

unlink glob "$two->{dir}/store/relay.db*";
spew("$two->{dir}/store/relay.db", $copy);
chmod 0600, "$two->{dir}/store/relay.db";
$two->start;

is(status($two, $secret{bob}), 200, "F205: put in place of the store, it is one");
is(call($two, "GET", "/groups/later")->status, 404, "as it was then");
is($two->post("/crs/v1/messages", message(model => "claude-opus-5"))->status,
   200, "with its secrets");


# ---- no answer and no log has a secret

my $log = $one->error_log . $two->error_log;

push @planted, "sk-crs-console-key-01", "crs-access", "rs-client-key-01",
    "rs-proxy-password", "sk-ant-ort01-rs", "sk-ant-oat01-plu", "hooks.example",
    "0123456789abcdef0123456789abcdef";

is_deeply([grep { my $s = $_; index($log, $s) >= 0
                  || grep { index($_, $s) >= 0 } @told } @planted], [],
          "no answer and no log has a secret");

finish();
