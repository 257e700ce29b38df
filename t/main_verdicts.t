#!/usr/bin/perl

# What a reply means: DESIGN 5, anthropic.md C.3 (cases 1 to 9) and D.3.  Each
# case has a pool of its own: an account that misbehaves, which is asked first,
# and a good one.

use warnings;
use strict;

use ClaudeRelay;
use POSIX qw/ strftime /;
use Test::More;
use Time::HiRes qw/ time sleep /;
use Time::Local qw/ timegm /;


my $day = int(time / 86400) * 86400;
my $date = strftime("%Y-%m-%d", gmtime($day + 10 * 86400));
my $until = $day + 10 * 86400 - time;

my $A = "anthropic-ratelimit-unified-";

# name, what the sandbox does, the client gets, class of the verdict, and
# rest => [least, most] seconds (none: it does not rest), family => those of a
# model family, more of the request, and more to be checked

my @cases = (

    # the client's own: unchanged, nobody else is asked, nothing rests

    ["400 ordinary", "status=400", 400, "client"],
    ["404", "status=404,message=model:%20claude-x", 404, "client"],
    ["408", "status=408", 408, "client"],
    ["409", "status=409", 409, "client"],
    ["413", "status=413", 413, "client"],
    ["413 HTML of the edge", "status=413,html", 413, "client"],
    ["422", "status=422", 422, "client"],

    (map { ["400 $_", "status=400,message=" . escape($_), 400, "client"] }
     "prompt is too long: 205011 tokens > 200000 maximum",
     "input length and `max_tokens` exceed context limit: 188240 + 21333 "
     . "> 200000, decrease input length or `max_tokens` and try again",
     "messages.1.content.0: Invalid `signature` in `thinking` block",
     "messages.1.content.0: Invalid `signature` in `thinking` block The block "
     . "is bound to a different conversation. Remove the block.",
     "messages.3.content.0: `thinking` or `redacted_thinking` blocks in the "
     . "latest assistant message cannot be modified",
     "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` "
     . "blocks: toolu_1",
     "messages.2: `tool_use` ids were found without `tool_result` blocks",
     "context_management: Extra inputs are not permitted",
     "capability_rejected: prompt_too_long"),

    # what a client's own words may not do

    ["400 that quotes a text of the client",
     "status=400,message="
     . escape("messages.0.content: 'organization has been disabled' is wrong"),
     400, "client"],

    # refused by policy: no rotation around it

    (map { ["400 $_", "status=400,message=" . escape($_), 400, "policy"] }
     "This credential is only authorized for use with Claude Code and cannot "
     . "be used for other API requests.",
     "Third-party apps now draw from your extra usage, not your plan limits."),

    # 400 of the account

    ["400 organization disabled",
     "status=400,message=" . escape("This organization has been disabled."),
     200, "disabled", rest => [86300, 96000]],
    ["400 API key authentication disabled",
     "status=400,message="
     . escape("Your organization has disabled API key authentication"),
     200, "disabled", rest => [86300, 96000]],
    ["403 API key authentication disabled",
     "status=403,message="
     . escape("Your organization has disabled API key authentication"),
     200, "disabled", rest => [86300, 96000]],
    ["400 credit balance too low",
     "status=400,message="
     . escape("Your credit balance is too low to access the Anthropic API. "
              . "Please go to Plans & Billing to upgrade or purchase "
              . "credits."),
     200, "billing", rest => [3500, 4000]],
    ["400 capped until a date",
     "status=400,message="
     . escape("You have reached your specified API usage limits. You will "
              . "regain access on $date at 00:00 UTC."),
     200, "capped", rest => [$until - 60, $until + 31]],
    ["400 capped workspace",
     "status=400,message="
     . escape("You have reached your specified workspace API usage limits. "
              . "You will regain access on $date at 00:00 UTC."),
     200, "capped", rest => [$until - 60, $until + 31]],
    ["400 capped without a date",
     "status=400,message="
     . escape("You have reached your specified API usage limits."),
     200, "capped", rest => [3500, 4000]],

    # 401

    (map { ["401 $_", "status=401,message=" . escape($_), 200, "auth",
            rest => [1790, 2000]] }
     "invalid x-api-key", "Invalid authentication credentials"),
    (map { ["401 oauth $_", "status=401,message=" . escape($_), 200, "auth",
            rest => [1790, 2000], oauth => 1] }
     "OAuth token has expired. Please obtain a new token or refresh your "
     . "existing token.",
     "OAuth token has been revoked. Please obtain a new token.",
     "Invalid OAuth token", "Invalid bearer token"),
    ["401 OAuth not allowed for this organization (2025)",
     "status=401,should-retry=false,message="
     . escape("OAuth authentication is currently not allowed for this "
              . "organization."),
     200, "disabled", rest => [86300, 96000], oauth => 1],
    ["401 CORS: every account would say the same",
     "status=401,message="
     . escape("CORS requests are not allowed for this Organization because "
              . "of its settings."),
     401, "auth"],
    ["401 HTML", "status=401,html", 200, "auth", rest => [1790, 2000]],

    # 402, 403

    ["402", "status=402", 200, "billing", rest => [3500, 4000]],
    ["403 permission", "status=403", 200, "forbidden", rest => [1790, 2000]],
    ["403 HTML", "status=403,html", 200, "edge", rest => [55, 67]],
    ["403 OAuth not allowed for this organization",
     "status=403,should-retry=false,message="
     . escape("OAuth authentication is currently not allowed for this "
              . "organization."),
     200, "disabled", rest => [86300, 96000], oauth => 1],
    ["403 oauth_org_not_allowed", "status=403,code=oauth_org_not_allowed",
     200, "disabled", rest => [86300, 96000], oauth => 1],
    ["403 scope, which is not death",
     "status=403,message="
     . escape("OAuth token does not meet scope requirement: user:profile"),
     200, "forbidden", oauth => 1],

    # 429, C.3

    ["429 case 1 out of extra usage",
     "status=429,nowindow,message="
     . escape("You're out of extra usage. Add more at "
              . "claude.ai/settings/usage and keep going."),
     429, "entitlement", oauth => 1],
    ["429 case 1 extra usage for long context",
     "status=429,nowindow,message="
     . escape("Extra usage is required for long context requests."),
     429, "entitlement", oauth => 1],
    ["429 case 1 usage credits for long context",
     "status=429,nowindow,message="
     . escape("Usage credits are required for long context requests."),
     429, "entitlement", oauth => 1],
    ["429 case 1 with allowed windows",
     "status=429,message="
     . escape("Extra usage is required for long context requests."),
     429, "entitlement", oauth => 1],
    ["429 case 1 with a rejected window: case 4 as well",
     "unified=5h,message="
     . escape("You're out of extra usage. Add more at claude.ai."),
     200, "limited", rest => [3600, 3632], oauth => 1],
    ["429 case 2 fast request rejected",
     "status=429,nowindow,message=" . escape("Fast request rejected: try "
                                             . "again without it"),
     429, "entitlement", oauth => 1],
    ["429 case 2 usage credits for fast mode",
     "status=429,nowindow,message="
     . escape("Usage credits are required for fast mode."),
     429, "entitlement", oauth => 1],
    ["429 case 3 enforced spend limit, with a date",
     "status=429,nowindow,code=enforced_spend_limit_reached,message="
     . escape("You have reached your API usage limits: you will regain "
              . "access on $date at 00:00 UTC."),
     200, "capped", rest => [$until - 60, $until + 31]],
    ["429 case 3 enforced spend limit by its code",
     "status=429,nowindow,code=enforced_spend_limit_reached",
     200, "capped", rest => [3500, 4000]],
    ["429 case 4 5h", "unified=5h", 200, "limited", rest => [3600, 3632],
     oauth => 1, windows => { "5h" => "rejected", "7d" => "allowed" }],
    ["429 case 4 7d", "unified=7d:90000", 200, "limited",
     rest => [90000, 90032], oauth => 1,
     windows => { "5h" => "allowed", "7d" => "rejected" }],
    ["429 case 4 short reset, long retry-after",
     "unified=5h:60,retry-after=300", 200, "limited", rest => [300, 332],
     oauth => 1],
    ["429 case 4 long reset, short retry-after",
     "unified=5h:300,retry-after=60", 200, "limited", rest => [300, 332],
     oauth => 1],
    ["429 case 4 unified-status alone",
     "status=429,nowindow,extra-header=${A}status:rejected,"
     . "extra-header=${A}reset:" . int(time + 700),
     200, "limited", rest => [660, 740], oauth => 1],
    ["429 case 4 reset alone, as of accounts billed by overage",
     "status=429,nowindow,extra-header=${A}reset:" . int(time + 700),
     200, "limited", rest => [660, 740], oauth => 1],
    ["429 case 5 7d_opus", "unified=7d_opus:7200", 200, "model-limited",
     family => [7200, 7232], oauth => 1, model => "claude-opus-5"],
    ["429 case 5 7d_sonnet", "unified=7d_sonnet:7200", 200, "model-limited",
     family => [7200, 7232], oauth => 1],
    ["429 case 5 7d_oi", "unified=7d_oi:7200", 200, "model-limited",
     family => [7200, 7232], oauth => 1, model => "claude-fable-5"],
    ["429 case 6 by the claim alone",
     "status=429,nowindow,extra-header=${A}status:rejected,"
     . "extra-header=${A}5h-status:allowed,extra-header=${A}7d-status:allowed,"
     . "extra-header=${A}representative-claim:seven_day_opus,"
     . "extra-header=${A}reset:" . int(time + 7200),
     200, "model-limited", family => [7150, 7240], oauth => 1,
     model => "claude-opus-5"],
    ["429 case 7 retry-after", "status=429,nowindow,retry-after=20", 200,
     "throttled", rest => [19, 23]],
    ["429 case 7 acceleration limit",
     "status=429,nowindow,retry-after=20,message="
     . escape("Your org has hit its acceleration limit"), 200,
     "throttled", rest => [19, 23]],
    ["429 case 7 of an OAuth account", "status=429,nowindow,retry-after=20",
     200, "throttled", rest => [19, 23], oauth => 1],
    ["429 case 8 nothing told", "status=429,nowindow", 200, "throttled",
     rest => [1, 5]],
    ["429 long retry-after without windows",
     "status=429,nowindow,retry-after=600", 200, "limited",
     rest => [599, 662]],
    ["429 buckets of an API key", "status=429", 200, "throttled",
     rest => [-1, 67]],
    ["429 case 9 auxiliary request, limit", "unified=5h", 200, "limited",
     oauth => 1, headers => ["x-app: cli-bg"]],
    ["429 case 9 auxiliary request, throttle",
     "status=429,nowindow,retry-after=20", 200, "throttled",
     headers => ["x-app: cli-bg"]],

    # the platform's and the network's

    ["529", "status=529", 200, "overloaded", rest => [9, 12]],
    ["500 overloaded_error", "status=500,type=overloaded_error", 200,
     "overloaded", rest => [9, 12]],
    (map { ["$_", "status=$_", 200, "server", rest => [0, 2]] }
     500, 502, 503, 504),
    (map { ["$_ HTML", "status=$_,html", 200, "server", rest => [0, 2]] }
     502, 520, 524),
    ["302, which no API sends", "status=302,html", 200, "edge",
     rest => [55, 67]],

    # an error as the first event of a 200

    ["first event overloaded_error", "error-first=overloaded_error", 200,
     "overloaded", rest => [9, 12], stream => 1],
    ["first event api_error", "error-first=api_error", 200, "server",
     rest => [0, 2], stream => 1],
    ["first event rate_limit_error", "error-first=rate_limit_error,nowindow",
     200, "throttled", rest => [1, 5], stream => 1],
    ["first event authentication_error", "error-first=authentication_error",
     200, "auth", rest => [1790, 2000], stream => 1],
    ["first event rate_limit_error with a rejected window",
     "error-first=rate_limit_error,nowindow,extra-header=${A}5h-status:rejected,"
     . "extra-header=${A}5h-reset:" . int(time + 700),
     200, "limited", rest => [660, 740], stream => 1, oauth => 1],

    # other relays, which are "console" platforms; the last four come back

    (map { ["console: $_", "status=400,message=" . escape($_), 200,
            "disabled", rest => [86300, 96000], console => 1] }
     "account has been disabled", "account is disabled"),
    (map { ["console: $_", "status=400,message=" . escape($_), 200,
            "forbidden", rest => [1790, 2000], console => 1] }
     "invalid account", "account not found",
     "no account supporting this model", "too many active sessions"),
    ["not a console: account not found",
     "status=400,message=account%20not%20found", 400, "client"],
);


my $up = sandbox();
my $http = "claude_relay_zone relay:8m;\n"
           . "claude_relay_key alice { secret $ClaudeRelay::KEY; }\n";
my $locations = "";

for my $n (0 .. $#cases) {
    my ($name, undef, undef, undef, %o) = @{ $cases[$n] };

    my $more = $o{oauth} ? "platform claude-oauth; "
                           . "access_token sk-ant-oat01-a$n;"
               : $o{console} ? "platform console; api_key sk-ant-a$n-000001;"
                             : "";

    $http .= account("a$n", "$more pool p$n; priority 200;")
             . account("b$n", "pool p$n;");

    $locations .= "location /c$n/ { claude_relay; claude_relay_pool p$n; }\n";
}

my $nginx = nginx(<<"EOF");
$http
server {
    listen 127.0.0.1:%%PORT%%;
    claude_relay_sticky off;
    claude_relay_retry_wait 0;
    location = /health { claude_relay_health full=on; }
    $locations
}
EOF


for my $n (0 .. $#cases) {
    my ($name, $do, $status, $class, %o) = @{ $cases[$n] };

    my $credential = $o{oauth} ? "sk-ant-oat01-a$n" : "sk-ant-a$n-000001";

    $up->behave($credential, $do);
    $up->since;

    my %field = (model => $o{model} // "claude-sonnet-4-6");
    my $body = $o{stream} ? stream(%field) : message(%field);
    my $at = time;
    my $r = $nginx->post("/c$n/v1/messages", $body, @{ $o{headers} // [] });
    my @asked = $up->since;
    my $passed = $status != 200;

    my $upstream = $asked[0]{status} // 0;
    my $trail = "a$n:$upstream:$class:\\d+"
                . ($passed ? "" : ",b$n:200:ok:\\d+");

    subtest "verdict: $name" => sub {
        is($r->status, $status, "status");
        is(scalar @asked, $passed ? 1 : 2, "requests upstream");
        like($nginx->log->{attempts}, qr/^$trail$/, "trail");

        if ($passed) {
            like($r->body, $do =~ /html/ ? qr/cloudflare/ : qr/"type":"error"/,
                 "the upstream's own body");
            is(length $r->body, scalar $r->header("content-length"),
               "whole");
        }

        my $a = of("a$n");
        my $rest = $o{rest};

        if ($rest) {
            is($a->{state}, "resting", "rests");
            is($a->{why}, $class, "why");

            my $for = seconds($a->{until}) - $at;

            cmp_ok($for, ">=", $rest->[0] - 1, "for long enough");
            cmp_ok($for, "<=", $rest->[1] + 2, "and not longer");

        } else {
            is($a->{state}, "ok", "does not rest");
        }

        if ($o{family}) {
            my ($family) = $field{model} =~ /claude-([a-z]+)/;
            my $end = $a->{resting_families}{$family};

            ok($end, "the family $family rests") or return;

            my $for = seconds($end) - $at;
            cmp_ok($for, ">=", $o{family}[0] - 2, "for long enough");
            cmp_ok($for, "<=", $o{family}[1] + 2, "and not longer");

        } else {
            ok(!$a->{resting_families}, "no family rests");
        }

        for my $w (sort keys %{ $o{windows} // {} }) {
            is($a->{windows}{$w}{status}, $o{windows}{$w}, "window $w");
        }

        if ($class ne "client" && $class ne "policy"
            && $class ne "entitlement" && !($passed && $class eq "auth"))
        {
            is($a->{last_error}{class}, $class, "last error in health");
            is($a->{last_error}{status}, $upstream, "and its status");
        }

        is(of("b$n")->{state}, "ok", "the other one is fine");
        is(of("a$n")->{in_flight}, 0, "no slot kept");

        # who rests is not asked again

        return if $o{family} || $class eq "server";

        $up->behave($credential, "");
        $r = $nginx->post("/c$n/v1/messages", $body);

        is($r->status, 200, "next request");
        like($nginx->log->{attempts}, $rest ? qr/^b$n:200/ : qr/^a$n:200/,
             $rest ? "by the other one" : "by the same one");
    };
}


# C.3, 5: the family rests, the account does not

my ($opus) = grep { $cases[$_][0] eq "429 case 5 7d_opus" } 0 .. $#cases;

$up->behave("sk-ant-oat01-a$opus", "");

for (["claude-haiku-4-5", "a"], ["claude-sonnet-4-6", "a"],
     ["claude-opus-5", "b"], ["claude-opus-4-8", "b"])
{
    my ($model, $who) = @$_;

    my $r = $nginx->post("/c$opus/v1/messages", message(model => $model));

    is($r->status, 200, "F153 $model while opus rests");
    like($nginx->log->{attempts}, qr/^$who$opus:200:ok/,
         "F153 $model is served by $who");
}


# F161: a first event that is the client's own fault is the client's

my $r = $nginx->post("/c0/v1/messages", stream(),
                     "x-sandbox: error-first=invalid_request_error");

is($r->status, 200, "first event invalid_request_error is passed on");
like($r->body, qr/^event: error\ndata: .*invalid_request_error/s,
     "first event invalid_request_error unchanged");
ok($r->complete, "and the stream ends well");


# F143: windows of successes are kept too

$up->behave("sk-ant-oat01-a$opus", "util-5h=0.83,util-7d=0.5");
$nginx->post("/c$opus/v1/messages", message(model => "claude-haiku-4-5"));

my $w = of("a$opus")->{windows};

is($w->{"5h"}{status}, "allowed_warning", "F143 5h status of a 200");
is($w->{"5h"}{utilization}, 0.83, "F143 5h utilization of a 200");
is($w->{"7d"}{utilization}, 0.5, "F143 7d utilization of a 200");
ok(seconds($w->{"5h"}{reset}) > time, "F143 5h reset of a 200");


finish();


sub of {
    my ($name) = @_;

    my ($a) = grep { $_->{name} eq $name }
              map { @{ $_->{accounts} } } @{ $nginx->health->{pools} };

    return $a;
}


sub seconds {
    my ($text) = @_;

    my @t = ($text // "") =~ /^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(\.\d+)?Z$/
        or return 0;

    return timegm(@t[5, 4, 3, 2], $t[1] - 1, $t[0]) + ($t[6] // 0);
}


sub escape {
    my ($text) = @_;

    $text =~ s/([^A-Za-z0-9_.])/sprintf "%%%02X", ord $1/ge;
    return $text;
}
