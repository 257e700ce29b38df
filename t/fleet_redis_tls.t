#!/usr/bin/perl

# Redis by TLS.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;

use ClaudeRelay;
use ClaudeRelayFleet;
use ClaudeRelayRedis;


my $up = sandbox();
my $node;

my $tls = redis(tls => 1);

$node = one($tls->addr . " tls trusted_certificate=" . $tls->ca);
ok(is_there($node), "fleet: by TLS");
$node->stop;

$node = one("localhost:" . $tls->port . " tls trusted_certificate="
            . $tls->ca);
ok(is_there($node), "fleet: by TLS and name");
$node->stop;

$node = one($tls->addr . " tls");
ok(is_away($node, "TLS handshake failed"), "fleet: an unknown certificate");
like($node->error_log, qr/certificate of "127.0.0.1" could not be verified/,
     "fleet: and why");
ok(served($node), "fleet: and requests go on");
$node->stop;

$node = one($tls->addr . " tls verify=off");
ok(is_there($node), "fleet: it is not verified");
$node->stop;

$node = one($tls->addr);
ok(is_away($node, "connection broke|silent|sense|asked for|invalid"),
   "fleet: no TLS where it is wanted");
$node->stop;
$tls->stop;

finish();
