package ClaudeRelayRedis;

=head1 NAME

ClaudeRelayRedis - how one node sees its Redis

=head1 FUNCTIONS

=over

=item one($text, OPTION => VALUE...)

A node alone; $text is what claude_relay_redis begins with, options are those of
fleet().

=item is_there($node), is_away($node, $regex)

Wait until the node's agent says so, and why.

=item seen($node)

What it says in /health: "there", "slow: ", "away: why"; or "".

=item served($node)

1 if a message is answered.

=item clients($server)

Connections of nodes, a list of lines of CLIENT LIST.

=back

=cut

use warnings;
use strict;

use Exporter qw/ import /;

use ClaudeRelay;
use ClaudeRelayFleet;

our @EXPORT = qw/ one is_there is_away seen served clients /;


sub one {
    my ($text, %opt) = @_;

    return fleet(1, redis => $text, %opt)->node(0);
}


sub seen {
    my ($node) = @_;

    my $fleet = eval { $node->fleet } or return "";

    return "there" if $fleet->{state} eq "up";
    return "$fleet->{state}: " . ($fleet->{error} // "");
}


sub is_there {
    my ($node) = @_;

    return wait_for(sub { seen($node) eq "there" }, 20);
}


sub is_away {
    my ($node, $regex) = @_;

    return wait_for(sub { seen($node) =~ /^away: .*(?:$regex)/ }, 20);
}


sub served {
    my ($node) = @_;

    return $node->post("/v1/messages", message())->status == 200;
}


sub clients {
    my ($server) = @_;

    return grep { /name=claude-relay:/ }
                split /\n/, $server->cli(qw/ CLIENT LIST /);
}


1;
