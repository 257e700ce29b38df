#!/usr/bin/perl

# F022, F087 and others.md I 47: platform azure, its forms, and clients of
# Azure's SDKs.

use warnings;
use strict;

use ClaudeRelay;
use Test::More;


my $up = sandbox();

sub one {
    my ($name, $more) = @_;

    $more .= " api_key key-$name;" if $more !~ /api_key/;

    return account($name, "platform azure; pool $name; $more");
}

my @names = qw/ v1 dated versioned entra based /;

my $nginx = relay(
    http => "claude_relay_store %%DIR%%/relay.db secret=%%DIR%%/secret.key;"
            . "claude_relay_usage_poll off;"
            . "claude_relay_allow_private_upstreams on;"
            . "claude_relay_control unix:%%DIR%%/control.sock;",
    accounts => one("v1", "model_map gpt-5.5 my-deployment; models *;")
                . one("dated", "form dated; models *;
                                 model_map gpt-5.5 my-deployment;")
                . one("versioned", "api_version 2025-01-01-preview;")
                . one("entra", "api_key eyJhbGciOiJub25lIn0.e30.x;")
                . one("based", "base_url %%UP%%/openai/v1/;")
                . account("plain", "platform openai; api_key sk-plain;"),
    server => join "", map {
        "location /$_/ { claude_relay; claude_relay_pool $_; }\n"
    } @names);

my ($r, $log);
my $true = JSON::PP::true;

sub chat {
    return encode({ model => "gpt-5.5",
                    messages => [{ role => "user", content => "hi" }], @_ });
}

sub went {
    my ($name, $path, $body, $to) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $r = $nginx->post($path, $body);
    is($r->status, 200, "$name: status") || diag $r->body;
    is($up->last->{target}, $to, "$name: where to");

    return $up->last;
}

my $last;


# the forms

$last = went("F087: v1", "/v1/v1/chat/completions", chat(),
             "/openai/v1/chat/completions");
is(json($last->{body})->{model}, "my-deployment",
   "F087: v1: the deployment is in the body");
is(join("", $up->header("api-key")), "key-v1", "F087: v1: the key");
is($up->header("authorization"), undef, "F087: v1: and no other");
is($nginx->log->{model}, "gpt-5.5", "F087: v1: the public name is logged");
is($nginx->log->{platform}, "azure", "F087: v1: and the platform");

went("F087: dated", "/dated/v1/chat/completions", chat(),
     "/openai/deployments/my-deployment/chat/completions"
     . "?api-version=2024-10-21");
went("F087: dated, embeddings", "/dated/v1/embeddings",
     encode({ model => "emb", input => "x" }),
     "/openai/deployments/emb/embeddings?api-version=2024-10-21");
$last = went("F087: dated, a response", "/dated/v1/responses",
             encode({ model => "gpt-5.5", input => "x" }),
             "/openai/responses?api-version=2025-04-01-preview");
is(json($last->{body})->{model}, "my-deployment",
   "F087: dated, a response: the deployment is in the body");
went("F087: a version of its own", "/versioned/v1/chat/completions", chat(),
     "/openai/deployments/gpt-5.5/chat/completions"
     . "?api-version=2025-01-01-preview");

went("F087: Entra", "/entra/v1/chat/completions", chat(),
     "/openai/v1/chat/completions");
like(join("", $up->header("authorization")), qr/^Bearer eyJ/,
     "F087: Entra: a token is a bearer");
is($up->header("api-key"), undef, "F087: Entra: and no key");

went("F087: a base up to /openai/v1", "/based/v1/chat/completions", chat(),
     "/openai/v1/chat/completions");


# what clients of Azure send

$last = went("F022: a client's deployment",
             "/v1/openai/deployments/client-dep/chat/completions"
             . "?api-version=2024-02-01",
             encode({ messages => [] }), "/openai/v1/chat/completions");
is(json($last->{body})->{model}, "client-dep",
   "F022: a client's deployment: in the body");

went("F022: dated to dated", "/dated/openai/deployments/d%20x/embeddings"
     . "?api-version=2024-02-01", encode({ input => "x" }),
     "/openai/deployments/d%20x/embeddings?api-version=2024-02-01");
went("F022: an image", "/dated/openai/deployments/dall/images/generations"
     . "?api-version=2024-02-01", encode({ prompt => "x" }),
     "/openai/deployments/dall/images/generations?api-version=2024-02-01");
went("F022: a mapped deployment",
     "/dated/openai/deployments/gpt-5.5/chat/completions?api-version=x",
     encode({ messages => [] }),
     "/openai/deployments/my-deployment/chat/completions?api-version=x");
$last = went("F087: a prefix of other gateways", "/v1/v1/chat/completions",
             chat(model => "azure/dep-3"), "/openai/v1/chat/completions");
is(json($last->{body})->{model}, "dep-3", "F087: is no part of a name");

is($nginx->get("/azure/health")->status, 200, "F022: health");

$r = $nginx->post("/v1/azure/openai/deployments/x/chat/completions",
                  encode({ messages => [] }));
is($r->status, 200, "F022: /azure/openai/...");

$r = $nginx->request("POST", "/v1/openai/deployments/x/chat/completions",
                     body => encode({ messages => [] }), key => undef,
                     headers => ["api-key: $ClaudeRelay::KEY",
                                 "content-type: application/json"]);
is($r->status, 200, "F022: the client's key in api-key");
isnt(join("", $up->header("api-key")), $ClaudeRelay::KEY,
     "F022: which goes no further");

$r = $nginx->post("/azure/v1/chat/completions", chat());
is($r->status, 404, "F022: below /azure, accounts of azure alone")
    || diag $r->body;

for my $case (["/v1/openai/deployments/x", 404],
              ["/v1/openai/deployments/x%0Ay/chat/completions", 404],
              ["/v1/openai/deployments/" . "x" x 200 . "/chat/completions",
               404])
{
    $r = $nginx->post($case->[0], encode({ messages => [] }));
    is($r->status, $case->[1], "F022: " . substr $case->[0], 0, 60);
}


# the first chunk, which has no choices, is nothing yet

$r = $nginx->post("/v1/v1/chat/completions", chat(stream => $true));
like($r->body, qr/\Adata: \{"choices":\[\]/, "47: the first chunk as it came");

$log = $nginx->log;
is(join("/", map { $log->{$_} } qw/ input_tokens cache_read_tokens
                                    output_tokens stop_reason /),
   "12/2048/5/stop", "47: usage is that of the last one");

$up->behave("key-v1", "error-first=server_error");
$r = $nginx->post("/v1/v1/chat/completions", chat(stream => $true));
like($r->body, qr/"error":\{/, "47: an error behind it");
is($nginx->log->{error_class}, "server", "47: is seen before the commit")
    || diag explain $nginx->log;
$up->behave("key-v1", "");


# what is wrong is said

for my $case (["resource a/b;", qr/name of a resource/],
              ["form v2;", qr/"auto", "v1" and "dated"/],
              ["api_version 2024&x;", qr/no version/],
              ["stream_usage maybe;", qr/neither "on" nor "off"/])
{
    my ($ok, $said) = config("claude_relay_zone relay:1m;\n"
                             . one("x", $case->[0]));

    ok(!$ok && $said =~ $case->[1], "F087: $case->[0]") || diag $said;
}

my ($ok, $said) = config("claude_relay_zone relay:1m;\n"
                         . "claude_relay_account x { platform azure;"
                         . " api_key k; }\n");
ok(!$ok && $said =~ /base_url/, "F087: neither a resource nor a base_url")
    || diag $said;

($ok, $said) = config("claude_relay_zone relay:1m;\n"
                      . "claude_relay_account x { platform azure;"
                      . " api_key k; resource my-res; }\n");
ok($ok, "F087: a resource is enough") || diag $said;


# the same by the API

$r = $nginx->control("POST", "/v1/accounts",
                     { name => "made", platform => "azure", api_key => "k",
                       resource => "my-res", form => "dated",
                       api_version => "2025-01-01-preview" });
is($r->status, 201, "F087: an account by the API") || diag $r->body;

$r = $nginx->control("GET", "/v1/accounts/made");
is($r->json->{base_url}, "https://my-res.openai.azure.com",
   "F087: its place") || diag $r->body;
is($r->json->{form}, "dated", "F087: its form");
is($r->json->{api_version}, "2025-01-01-preview", "F087: its version");

$r = $nginx->control("PATCH", "/v1/accounts/made", { form => "v3" });
is($r->status, 400, "F087: no such form") || diag $r->body;

$r = $nginx->control("POST", "/v1/accounts",
                     { name => "made2", platform => "openai", api_key => "k",
                       organization => "org-1", project => "proj-1",
                       user_agent => "x/1" });
is($r->status, 201, "F086: an account by the API") || diag $r->body;

$r = $nginx->control("POST", "/v1/accounts",
                     { name => "made3", platform => "openai", api_key => "k",
                       project => "a\r\nb: c" });
is($r->status, 400, "F086: no header in a field");

$r = $nginx->control("POST", "/v1/accounts",
                     { name => "made4", platform => "openai", api_key => "k",
                       resource => "x" });
is($r->status, 400, "F086: no fields of others");


finish();
