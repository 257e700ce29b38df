#!/usr/bin/perl

# What Gemini accounts say of their quotas, and what follows from it.

use warnings;
use strict;

use Test::More;
use Time::Local;

use ClaudeRelay;


my $up = sandbox();

sub gemini {
    my ($name, $more) = @_;

    return account($name, "platform gemini; api_key AIza-$name-000001; "
                          . ($more // ""));
}

my $nginx = relay(
    accounts => gemini("one", "priority 2;") . gemini("two", "priority 1;"),
);

my ($r, $log);

sub behave { $up->behave("AIza-$_[0]-000001", $_[1]) }

sub ask {
    my ($model, $action, $text) = @_;

    $action //= "generateContent";
    $text //= rand;

    $r = $nginx->post("/v1beta/models/$model:$action",
                      encode({ contents => [{ parts => [{ text => $text }]
                                            }] }));
    $log = $nginx->log;

    return $log->{account};
}

# the rest of account "one" for a family of models, in seconds

sub is_rest {
    my ($family, $least, $most, $what) = @_;

    my ($one) = grep { $_->{name} eq "one" }
                map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };
    my $until = $one->{resting_families}{$family} // "";

    my ($y, $m, $d, $h, $min, $sec)
        = $until =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)/;

    my $rest = $y ? timegm($sec, $min, $h, $d, $m - 1, $y) - time : 0;

    ok($rest >= $least && $rest <= $most, $what)
        or diag("$until: $rest seconds\n" . encode($nginx->health));
}

my %error = (
    minute => "status=429,retry-delay=34.07s,"
              . "quota-id=GenerateRequestsPerMinutePerProjectPerModel",
    day => "status=429,quota-id=GenerateRequestsPerDayPerProjectPerModel",
    zero => "status=429,message=Quota exceeded%2c limit: 0%2c model: x",
    words => "status=429,message=Your quota will reset after 1h2m3s",
    key => "status=400,code=API_KEY_INVALID,message=API key not valid.",
    load => "status=503",
);


# 1. a model rests, not the account

behave("one", $error{minute});

is(ask("gemini-2.5-pro"), "two", "another account answers");
is($r->status, 200, "and the client does not notice");
like($log->{attempts}, qr/^one:429:/, "the trail knows");

behave("one", "");

is(ask("gemini-2.5-pro"), "two", "I35: the model rests there");
is(ask("gemini-2.5-flash"), "one", "I35: others do not");

is_rest("2.5-pro", 4, 39, "I35: RetryInfo");


# 2. what is for longer

for my $how ("day", "zero", "words") {
    my $model = { day => "gemini-3-pro", zero => "gemini-3-flash",
                  words => "gemini-3.1-pro-preview" }->{$how};

    behave("one", $error{$how});
    is(ask($model), "two", "$how: another account");
    like($log->{attempts}, qr/model-limited/, "$how: the model is limited");

    behave("one", "");
    is(ask($model), "two", "$how: it rests");
    is(ask("gemini-2.5-flash"), "one", "$how: others do not");

    my $family = substr($model, 7, 15);

    is_rest($family, 86300, 1.1 * 86400 + 10, "I35: no quota at all")
        if $how eq "zero";
    is_rest($family, 3600, 3760, "I35: the words of the message")
        if $how eq "words";
    is_rest($family, 200, 25 * 3600 + 400, "I35: until a day begins")
        if $how eq "day";
}


# 3. of a stream, with events and without

behave("one", $error{day});

is(ask("gemini-a", "streamGenerateContent?alt=sse"), "two",
   "a stream goes to another account");
is(ask("gemini-b", "streamGenerateContent"), "two",
   "an error in an array is one");

behave("one", "error-first=RESOURCE_EXHAUSTED");
is(ask("gemini-c", "streamGenerateContent?alt=sse"), "two",
   "an error as the first event is one");
is($r->status, 200, "nothing of it was sent");
unlike($r->body, qr/RESOURCE_EXHAUSTED/, "nor is it in the stream");

behave("one", $error{load});
is(ask("gemini-d"), "two", "503: another account");
behave("one", "");
is(ask("gemini-2.5-flash"), "one", "503: other models have machines");


# 4. nobody is left

behave($_, $error{day}) for qw/ one two /;

ask("gemini-e");
is($r->status, 429, "nobody has any quota left");
is($r->json->{error}{status}, "RESOURCE_EXHAUSTED", "Google's own words");
like($r->body, qr/QuotaFailure/, "with what clients look for");

ask("gemini-e");
is($r->status, 429, "and nobody is asked again");
is($r->json->{error}{status}, "RESOURCE_EXHAUSTED", "the relay's words");
is($r->json->{error}{code}, 429, "in Google's shape");

behave($_, "") for qw/ one two /;


# 5. a key that is none

behave("one", $error{key});
is(ask("gemini-2.5-flash"), "two", "a dead key: another account");
behave("one", "");
is(ask("gemini-2.5-flash"), "two", "a dead key: all of it rests");

finish();
