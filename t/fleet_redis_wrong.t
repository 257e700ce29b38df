#!/usr/bin/perl

# Who answers is not Redis, or means harm: that is said, and nothing else
# happens.

use warnings;
use strict;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::INET;
use Test::More;

use ClaudeRelay;
use ClaudeRelayFleet;
use ClaudeRelayRedis;


my $up = sandbox();
my ($node, @kept);


sub fake {
    my ($text) = @_;

    my $s = IO::Socket::INET->new(Listen => 16, LocalAddr => "127.0.0.1",
                                  ReuseAddr => 1) or die;
    my $pid = fork // die;

    if ($pid == 0) {
        local $SIG{PIPE} = "IGNORE";
        alarm 120;

        while (my $c = $s->accept) {
            sysread $c, my $in, 65536;
            syswrite $c, $text;
            push @kept, $c;
            close shift @kept if @kept > 8;
        }

        POSIX::_exit(0);
    }

    return ($pid, $s->sockport);
}

for (["HTTP/1.1 400 Bad Request\r\n\r\n", "a type that was not asked for"],
     ["*1\r\n" x 9, "nested too deeply"],
     ["*2147483647\r\n", "too many elements"],
     ["\$999999999999\r\n", "too large"],
     ["+" . "x" x 200000, "a line that is too long"],
     ["+OK\r\n" x 3, "ROLE is answered by"],
     ["+OK\r\n*1\r\n\$5\r\nslave\r\n", "a replica, not a master"],
     ["+OK\r\n*1\r\n\$8\r\nsentinel\r\n", "a Sentinel"],
     ["+OK\r\n*1\r\n\$6\r\nmaster\r\n*0\r\n", "SET is answered by"],
     ["+OK\r\n*1\r\n\$6\r\nmaster\r\n+OK\r\n" . "+OK\r\n" x 5,
      "answers what was not asked"],
     ["-ERR \x1b[31m\"swordfish\r\n" x 3, "ROLE is answered by ERR .[31m.swordfish"],
     ["-LOADING Redis is loading\r\n" x 3, "it is loading its data"],
     ["-MOVED 1 127.0.0.1:1\r\n" x 3, "ROLE is answered by MOVED"],
     [":1", "silent"],
     ["", "silent"])
{
    my ($text, $why) = @$_;

    my ($pid, $port) = fake($text);

    $node = one("127.0.0.1:$port");
    ok(is_away($node, "\Q$why\E"), "fleet: not Redis: $why");
    ok(served($node), "fleet: not Redis: requests go on");
    $node->stop;

    kill "KILL", $pid;
    waitpid $pid, 0;
}

finish();
