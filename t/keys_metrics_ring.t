#!/usr/bin/perl

# F189: what the metrics tell of the ring and the ledger, with a store.

use warnings;
use strict;

use Test::More;

use ClaudeRelay;


my $up = sandbox();

my $nginx = nginx(<<"END", workers => 2);
claude_relay_zone relay:2m;
@{[ store() ]}
claude_relay_usage on ring=64k;
@{[ zone_key() ]}
@{[ account("one") ]}
server {
    listen 127.0.0.1:%%PORT%%;
    location = /metrics { claude_relay_metrics; }
    location / { claude_relay; }
}
END

sub zone_key { return "claude_relay_key test { secret $ClaudeRelay::KEY; }" }

sub value {
    my ($name) = @_;

    my ($value) = $nginx->request("GET", "/metrics")->body
                  =~ /^claude_relay_\Q$name\E ([-+.\de]+)$/m;

    return $value // diag("no $name");
}

is($nginx->post("/v1/messages", message())->status, 200) for 1 .. 3;

my $now = time;

is(value("ring_records_total"), 3, "F189: ring: records");
is(value("ring_lost_total"), 0, "F189: ring: none is lost");
is(value("usage_refused_total"), 0, "F189: ring: nobody is refused");
cmp_ok(value("ring_size_bytes"), ">", 60000, "F189: ring: its size");
ok(wait_for(sub { value("ring_used_bytes") == 0 }), "F189: ring: is emptied");
ok(wait_for(sub {
    abs(value("ledger_drained_timestamp_seconds") - $now) < 60;
}), "F189: ledger: and when");
is(value("ledger_up"), 1, "F189: ledger: it can be written");
is(value("store_up"), 1, "F189: store: so can this");
is(value("audit_dropped_total"), 0, "F189: audit: nothing was dropped");

finish();
