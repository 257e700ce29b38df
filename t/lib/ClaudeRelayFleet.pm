package ClaudeRelayFleet;

=head1 NAME

ClaudeRelayFleet - Redis servers, and several nodes, for the tests

=head1 SYNOPSIS

    use ClaudeRelay;
    use ClaudeRelayFleet;

    my $up = sandbox();
    my $redis = redis();
    my $fleet = fleet(3, redis => $redis);       # n1, n2, n3

    is($fleet->post(0, message())->status, 200, "fleet: by the first node");
    is($fleet->node(2)->post("/v1/messages", message())->status, 200);

    $redis->pause;                               # SIGSTOP
    ok(wait_for(sub { $fleet->degraded }), "fleet: they notice");
    $redis->resume;

    finish();                                    # stops these, too

=head1 FUNCTIONS

=over

=item redis(OPTION => VALUE...)

Starts a redis-server of its own, in a directory of its own, on a port of
127.0.0.1 and a unix socket; nothing is saved unless it is asked for.

    appendonly => 1    an append-only file
    of => $redis       a replica of that one
    password => "..."  requirepass; the methods below know it
    acl => "user relay on >secret ~* &* +@all"
                       lines of an ACL file; the default user stays, for the
                       methods below
    tls => 1           TLS on port(), plain text on the socket only;
                       ca() is the certificate to trust, of "localhost" and
                       127.0.0.1
    maxmemory => "8mb" with noeviction
    conf => "..."      more directives
    port => N          this number instead of a free one; 0: the socket only

    $redis->port  $redis->socket  $redis->pid  $redis->dir
    $redis->addr       127.0.0.1:PORT
    $redis->unix       unix:SOCKET
    $redis->ca         file of the certificate
    $redis->cli(@args) sends a command; its answer: a text, a number, undef or
                       a reference to a list; dies of an error, with its text
    $redis->pipeline([@args], ...)   many at once; a list, errors are objects
                       with a method "text"
    $redis->client     a connection of one's own: ->cli, ->send, ->read(s)
    $redis->info("section")          a hash
    $redis->keys($glob)              a sorted list
    $redis->flush      FLUSHALL
    $redis->config($name, $value)    CONFIG SET
    $redis->replicaof($other)        undef: of nobody
    $redis->monitor    what clients send from now on: ->lines, a list
                       without what scripts and this module do; ->count,
                       ->count(qr//); ->clear; ->stop
    $redis->commands   calls by command (INFO commandstats), with those that
                       scripts make; ->reset_stats begins anew
    $redis->stop       SHUTDOWN by SIGTERM
    $redis->kill9      SIGKILL
    $redis->pause  $redis->resume    SIGSTOP, SIGCONT
    $redis->start      again, with what is in its directory
    $redis->restart    stop and start

=item sentinel(OPTION => VALUE...)

    of => $redis       the master that is watched
    name => "relay"    its name
    n => 3             how many, quorum 2; 1: quorum 1
    password => "..."  of the Sentinels themselves

    $s->addrs          a list of 127.0.0.1:PORT
    $s->master         127.0.0.1:PORT of the master, as they say
    $s->failover       asks for one; returns the new master's address
    $s->stop

A replica must be there, redis(of => $redis), and the Sentinels have seen it
when sentinel() returns.

=item cluster(OPTION => VALUE...)

    n => 3             masters, with the slots among them
    replicas => 1      for each
    and what redis() takes

    $c->addrs          a list of 127.0.0.1:PORT, the masters first
    $c->servers        the objects
    $c->owner($key)    the object that has the slot of this key
    $c->move($key, $server)          moves that slot with its keys
    $c->failover($key)               a replica takes the slot's master's place
    $c->stop

=item slow($redis, MILLISECONDS)

A process between a node and Redis, which delays what Redis answers.

    $p->port  $p->addr
    $p->delay(MS)      from now on
    $p->cut            connections break, new ones are refused
    $p->hole           nothing passes, nobody is told: a partition
    $p->heal           as at first
    $p->connections    how many there are
    $p->stop

=item fleet(N, OPTION => VALUE...)

N nodes, "n1" and so on: an nginx each, with a zone, a store and ports of its
own; one key file and one configuration for all.  Options are those of relay(),
and

    redis => $redis    a server, a proxy, a cluster, or the text of
                       addresses and parameters; default: a redis() of its
                       own; 0: none, nodes that do not know each other
    params => "..."    more parameters of claude_relay_redis
    store => "..."     instead of the store in the node's directory; 0: none
    zone => "2m"
    each => sub {...}  gets the number of a node, from 0; returns options for
                       this one: redis, params, store, workers, env, http,
                       server, location (added to those of all)

What is replaced in all texts, in addition to those of nginx(): %%NODE%%, and
%%SECRET%%, the key file.

Each has a control socket ("$node->control(...)"), "/", and "/health".

    $fleet->nodes      a list of objects: those of nginx(), and
                       ->name, ->index, ->kill9 (all of its processes),
                       ->start (again), ->restart, ->pause, ->resume,
                       ->fleet (what /health?full says of the fleet)
    $fleet->node($i)   from 0
    $fleet->redis      the server
    $fleet->secret     the key file
    $fleet->post($i, $body, @headers)        /v1/messages
    $fleet->any($body, @headers)             at one after the other
    $fleet->account($i, $body, @headers)     who served it, by the log; or
                                             the status, if it is not 200
    $fleet->living     nodes that were not killed
    $fleet->up         all of the living say "ok", and Redis "up"
    $fleet->degraded   all of the living say so, and Redis is not "up"
    $fleet->ready($n)  waits until they are up and each sees $n nodes; default:
                       the living

=item load($fleet, OPTION => VALUE...)

Clients in processes of their own, which post until they are told to stop.

    children => 24     one connection at a time each, kept; the nodes by turns
    pause => 0.02      seconds between two requests of one
    body => sub { my ($child, $n) = @_; ... }
    headers => sub { ... a list }
    only => [0, 1]     these nodes

    $l->count          requests so far
    $l->stop           a hash: requests, failed, statuses (a hash), slowest
                       (seconds), errors (the first lines of failures)

A request has failed if its answer is not 200, or not whole.

=back

=cut

use warnings;
use strict;

use ClaudeRelay;
use Exporter qw/ import /;
use File::Temp ();

our @EXPORT = qw/ redis sentinel cluster slow fleet load /;

my $next = 10;
my $names = 0;
my $secret;


# ports 10 to 39 of a test's slot are for what is here

sub next_port { port($next++) }

sub next_number { $next++ }

sub next_name { "$$-" . $names++ }


sub directory {
    my ($name) = @_;

    my $dir = File::Temp::tempdir("claude-relay-$name-XXXXXX", TMPDIR => 1,
                                  CLEANUP => 1);
    chmod 0755, $dir;

    return $dir;
}


sub track {
    my ($object) = @_;

    push @ClaudeRelay::SANDBOXES, $object;

    return $object;
}


sub redis { ClaudeRelayFleet::Redis->new(@_)->start }

sub sentinel { ClaudeRelayFleet::Sentinel->new(@_) }

sub cluster { ClaudeRelayFleet::Cluster->new(@_) }

sub slow { ClaudeRelayFleet::Slow->new(@_) }

sub fleet { ClaudeRelayFleet::Fleet->new(@_) }

sub load { ClaudeRelayFleet::Load->new(@_) }


# one for all fleets of a test

sub secret {
    return $secret //= do {
        my $file = directory("secret") . "/secret.key";

        spew($file, sha256(rand() . $$ . Time::HiRes::time()) . "\n");
        chmod 0600, $file;
        $file;
    };
}


package ClaudeRelayFleet::Client;

# RESP2, as much as is needed

use warnings;
use strict;

use IO::Socket::INET;
use IO::Socket::UNIX;
use Time::HiRes qw/ time /;


sub new {
    my ($class, $to, $password) = @_;

    my $s = $to =~ m{^/}
            ? IO::Socket::UNIX->new(Peer => $to)
            : IO::Socket::INET->new(PeerAddr => $to);

    die "cannot connect to $to: $!\n" if !$s;

    my $self = bless { s => $s, in => "" }, $class;

    $self->cli("AUTH", $password) if defined $password;

    return $self;
}


sub send {
    my ($self, @commands) = @_;

    my $out = "";

    for my $args (@commands) {
        my @args = map { my $a = $_; utf8::encode($a) if utf8::is_utf8($a); $a }
                       @$args;

        $out .= "*" . @args . "\r\n"
                . join "", map { "\$" . length($_) . "\r\n$_\r\n" } @args;
    }

    while (length $out) {
        my $n = syswrite $self->{s}, $out;
        die "redis: write: $!\n" if !$n;
        substr $out, 0, $n, "";
    }
}


sub fill {
    my ($self, $end) = @_;

    my $r = "";
    vec($r, fileno $self->{s}, 1) = 1;

    my $left = $end - time;
    select($r, undef, undef, $left > 0 ? $left : 0) > 0
        or die "redis: no answer in time\n";

    sysread $self->{s}, $self->{in}, 65536, length $self->{in}
        or die "redis: closed\n";
}


sub line {
    my ($self, $end) = @_;

    my $at;
    $self->fill($end) while ($at = index $self->{in}, "\r\n") < 0;

    my $line = substr $self->{in}, 0, $at;
    substr $self->{in}, 0, $at + 2, "";

    return $line;
}


sub read {
    my ($self, $seconds) = @_;

    my $end = time + ($seconds // $ClaudeRelay::TIMEOUT);

    return $self->value($end);
}


sub value {
    my ($self, $end) = @_;

    my ($type, $rest) = $self->line($end) =~ /^(.)(.*)$/s
        or die "redis: an empty line\n";

    return $rest if $type eq "+" || $type eq ":";
    return bless { text => $rest }, "ClaudeRelayFleet::Error" if $type eq "-";

    if ($type eq "\$") {
        return undef if $rest < 0;
        $self->fill($end) while length $self->{in} < $rest + 2;

        my $text = substr $self->{in}, 0, $rest;
        substr $self->{in}, 0, $rest + 2, "";

        return $text;
    }

    die "redis: what is \"$type\"?\n" if $type ne "*";

    return undef if $rest < 0;
    return [map { $self->value($end) } 1 .. $rest];
}


sub cli {
    my ($self, @args) = @_;

    $self->send(\@args);

    my $value = $self->read;

    die "redis: $value->{text}\n"
        if ref $value && ref $value ne "ARRAY";

    return $value;
}


package ClaudeRelayFleet::Error;

sub text { $_[0]{text} }


package ClaudeRelayFleet::Process;

# a redis-server with a configuration file

use warnings;
use strict;


sub begin {
    my ($self) = @_;

    my $dir = $self->{dir};
    my $log = "$dir/log";

    ClaudeRelay::spew($log, "") if !-e $log;

    my $from = -s $log;

    $self->{pid} = ClaudeRelay::spawn("$dir/stderr", {}, "redis-server",
                                      "$dir/redis.conf", @{ $self->{args} });

    my $ready = ClaudeRelay::wait_for(sub {
        if (waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid}) {
            delete $self->{pid};
            return "ended";
        }

        return eval { $self->connection->cli("PING"); 1 };
    }, 20);

    die "redis-server does not start:\n"
        . substr(ClaudeRelay::slurp($log), $from)
        . ClaudeRelay::slurp("$dir/stderr")
        if !$ready || $ready eq "ended";

    return $self;
}


sub pid { $_[0]{pid} }

sub dir { $_[0]{dir} }

sub port { $_[0]{port} }

sub addr { "127.0.0.1:$_[0]{port}" }

sub log { ClaudeRelay::slurp("$_[0]{dir}/log") }


# the first one is kept: a test asks often

sub cli {
    my ($self, @args) = @_;

    my $pid = $self->{pid} // 0;

    delete $self->{client}
        if $self->{client} && $self->{client_of} ne "$$ $pid";

    $self->{client} //= $self->connection;
    $self->{client_of} = "$$ $pid";

    my $value = eval { $self->{client}->cli(@args) };

    if ($@) {
        my $error = $@;

        # an error leaves the connection as it was, all others do not

        delete $self->{client} if $error !~ /^redis: [A-Z]+ /;
        die $error;
    }

    return $value;
}


sub signal { kill $_[1], $_[0]{pid} if $_[0]{pid} }

sub pause { $_[0]->signal("STOP") }

sub resume { $_[0]->signal("CONT") }


sub finish {
    my ($self, @signals) = @_;

    delete $self->{client};

    my $pid = delete $self->{pid} or return;

    kill "CONT", $pid;
    ClaudeRelay::end($pid, @signals);
}


sub stop { $_[0]->finish(["TERM", 10], ["KILL", 5]) }


# SIGKILL ends a process that is stopped, too

sub kill9 {
    my ($self) = @_;

    delete $self->{client};

    my $pid = delete $self->{pid} or return;

    ClaudeRelay::end($pid, ["KILL", 5]);
}


package ClaudeRelayFleet::Redis;

use warnings;
use strict;

our @ISA = "ClaudeRelayFleet::Process";


sub new {
    my ($class, %opt) = @_;

    my $dir = ClaudeRelayFleet::directory("redis");
    my $port = $opt{port} // ClaudeRelayFleet::next_port();

    my $self = bless {
        dir => $dir, port => $port, opt => \%opt, args => [],
        password => $opt{password},
    }, $class;

    my $conf = <<"END";
bind 127.0.0.1
daemonize no
supervised no
dir $dir
logfile $dir/log
unixsocket $dir/redis.sock
unixsocketperm 777
save ""
repl-diskless-sync-delay 0
repl-ping-replica-period 1
enable-debug-command yes
END

    $conf .= $opt{tls} ? $self->tls : "port $port\n";
    $conf .= "appendonly yes\nappendfsync everysec\n" if $opt{appendonly};
    $conf .= "requirepass $opt{password}\n"
        if defined $opt{password} && !$opt{acl};
    $conf .= "masterauth $opt{password}\n" if defined $opt{password};
    $conf .= "maxmemory $opt{maxmemory}\nmaxmemory-policy noeviction\n"
        if $opt{maxmemory};
    $conf .= "replicaof 127.0.0.1 $opt{of}{port}\n" if $opt{of};
    $conf .= "masterauth $opt{of}{password}\n"
        if $opt{of} && defined $opt{of}{password};

    if ($opt{acl}) {
        my $pass = defined $opt{password} ? ">$opt{password}" : "nopass";

        ClaudeRelay::spew("$dir/users.acl",
                          "user default on $pass ~* &* +\@all\n"
                          . $opt{acl} . "\n");
        $conf .= "aclfile $dir/users.acl\n";
    }

    ClaudeRelay::spew("$dir/redis.conf", $conf . ($opt{conf} // "") . "\n");

    return ClaudeRelayFleet::track($self);
}


sub tls {
    my ($self) = @_;

    my $dir = $self->{dir};

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256"
           . " -nodes -keyout $dir/key.pem -out $dir/cert.pem -days 30"
           . " -subj /CN=localhost"
           . " -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
           . " > $dir/openssl.log 2>&1") == 0
        or die ClaudeRelay::slurp("$dir/openssl.log");

    return "port 0\ntls-port $self->{port}\ntls-cert-file $dir/cert.pem\n"
           . "tls-key-file $dir/key.pem\ntls-auth-clients no\n"
           . "tls-ca-cert-file $dir/cert.pem\n";
}


sub start { $_[0]->begin }

sub restart { $_[0]->stop; $_[0]->start }

sub socket { "$_[0]{dir}/redis.sock" }

sub unix { "unix:" . $_[0]->socket }

sub ca { "$_[0]{dir}/cert.pem" }


# by the socket: neither TLS nor a proxy is in between

sub connection {
    my ($self) = @_;

    return ClaudeRelayFleet::Client->new($self->socket, $self->{password});
}


sub client { $_[0]->connection }


sub pipeline {
    my ($self, @commands) = @_;

    my $client = $self->connection;

    $client->send(@commands);

    return map { $client->read } @commands;
}


sub info {
    my ($self, $section) = @_;

    return { $self->cli("INFO", $section // "default") =~ /^(\w+):(.*?)\r?$/mg };
}


sub keys {
    my ($self, $glob) = @_;

    return sort @{ $self->cli("KEYS", $glob // "*") };
}


sub flush { $_[0]->cli("FLUSHALL") }


sub config {
    my ($self, $name, $value) = @_;

    return $self->cli("CONFIG", "SET", $name, $value);
}


sub replicaof {
    my ($self, $other) = @_;

    return $self->cli("REPLICAOF", "NO", "ONE") if !$other;
    return $self->cli("REPLICAOF", "127.0.0.1", $other->port);
}


sub reset_stats { $_[0]->cli("CONFIG", "RESETSTAT") }


sub commands {
    my ($self) = @_;

    my $info = $self->cli("INFO", "commandstats");
    my %calls = $info =~ /^cmdstat_(\S+?):calls=(\d+)/mg;

    return \%calls;
}


sub monitor { ClaudeRelayFleet::Monitor->new(@_) }


package ClaudeRelayFleet::Monitor;

use warnings;
use strict;


# a process reads into a file: a test may be busy, and Redis ends who is slow

sub new {
    my ($class, $redis) = @_;

    my $file = "$redis->{dir}/monitor-" . ClaudeRelayFleet::next_name();
    my $client = $redis->connection;

    $client->cli("MONITOR");
    ClaudeRelay::spew($file, "");

    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        alarm 0;
        $SIG{TERM} = "DEFAULT";

        open my $out, ">>", $file;

        while (sysread $client->{s}, my $bytes, 65536) {
            syswrite $out, $bytes;
        }

        POSIX::_exit(0);
    }

    return ClaudeRelayFleet::track(bless {
        pid => $pid, file => $file, redis => $redis, from => 0,
    }, $class);
}


# a mark, of this module's own connection: what was sent before it is there

sub sync {
    my ($self) = @_;

    my $mark = "mark-" . ClaudeRelayFleet::next_name();

    $self->{redis}->cli("ECHO", $mark);
    ClaudeRelay::wait_for(sub {
        ClaudeRelay::slurp($self->{file}) =~ /"ECHO" "$mark"/;
    });
}


sub lines {
    my ($self) = @_;

    $self->sync;

    my $text = substr ClaudeRelay::slurp($self->{file}), $self->{from};

    return grep { /^\d+\.\d+ \[/ && !/^\S+ \[\d+ lua\]/
                  && !/"ECHO" "mark-/ }
                map { s/^\+//r } split /\r\n/, $text;
}


sub count {
    my ($self, $regex) = @_;

    $regex //= qr/./;

    return scalar grep { $_ =~ $regex } $self->lines;
}


sub clear {
    my ($self) = @_;

    $self->sync;
    $self->{from} = -s $self->{file};
}


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    ClaudeRelay::end($pid, ["TERM", 2], ["KILL", 2]);
}


package ClaudeRelayFleet::Watcher;

# one Sentinel

use warnings;
use strict;

our @ISA = "ClaudeRelayFleet::Process";


sub connection {
    my ($self) = @_;

    return ClaudeRelayFleet::Client->new($self->addr, $self->{password});
}


package ClaudeRelayFleet::Sentinel;

use warnings;
use strict;


sub new {
    my ($class, %opt) = @_;

    my $name = $opt{name} // "relay";
    my $n = $opt{n} // 3;
    my $quorum = $n > 1 ? 2 : 1;
    my $auth = defined $opt{of}{password}
               ? "sentinel auth-pass $name $opt{of}{password}\n" : "";
    my $pass = defined $opt{password} ? "requirepass $opt{password}\n" : "";
    my @list;

    for (1 .. $n) {
        my $dir = ClaudeRelayFleet::directory("sentinel");
        my $port = ClaudeRelayFleet::next_port();

        ClaudeRelay::spew("$dir/redis.conf", <<"END");
port $port
bind 127.0.0.1
daemonize no
dir $dir
logfile $dir/log
$pass
sentinel monitor $name 127.0.0.1 $opt{of}{port} $quorum
$auth
sentinel down-after-milliseconds $name 1000
sentinel failover-timeout $name 4000
END

        push @list, ClaudeRelayFleet::track(bless {
            dir => $dir, port => $port, args => ["--sentinel"],
            password => $opt{password},
        }, "ClaudeRelayFleet::Watcher");

        $list[-1]->begin;
    }

    my $self = bless { list => \@list, name => $name }, $class;

    ClaudeRelay::wait_for(sub {
        return !grep {
            my %state = @{ $_->cli("SENTINEL", "MASTER", $name) };
            $state{"num-other-sentinels"} < $n - 1 || $state{"num-slaves"} < 1
        } @list;
    }, 30) or die "the Sentinels do not find each other, or no replica\n";

    return $self;
}


sub servers { @{ $_[0]{list} } }

sub addrs { map { $_->addr } $_[0]->servers }


sub master {
    my ($self) = @_;

    my $said = $self->{list}[0]->cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME",
                                     $self->{name});
    return join ":", @$said;
}


sub failover {
    my ($self) = @_;

    my $old = $self->master;

    ClaudeRelay::wait_for(sub {
        eval { $self->{list}[0]->cli("SENTINEL", "FAILOVER", $self->{name}) };
    }, 15) or die "no failover: $@";

    ClaudeRelay::wait_for(sub { $self->master ne $old }, 20)
        or die "the master is still $old\n";

    return $self->master;
}


sub stop { $_->stop for $_[0]->servers }


package ClaudeRelayFleet::Cluster;

use warnings;
use strict;


sub new {
    my ($class, %opt) = @_;

    my $n = delete $opt{n} // 3;
    my $replicas = delete $opt{replicas} // 0;
    my $more = delete $opt{conf} // "";
    my @list;

    for (1 .. $n * (1 + $replicas)) {
        my $bus = ClaudeRelayFleet::next_port();

        push @list, ClaudeRelayFleet::redis(%opt, conf => <<"END");
cluster-enabled yes
cluster-config-file nodes.conf
cluster-port $bus
cluster-node-timeout 1000
cluster-replica-validity-factor 0
$more
END
        $list[-1]{bus} = $bus;
    }

    my $self = bless { list => \@list }, $class;
    my $first = $list[0];

    for my $i (0 .. $n - 1) {
        $list[$i]->cli("CLUSTER", "ADDSLOTSRANGE", int(16384 * $i / $n),
                       int(16384 * ($i + 1) / $n) - 1);
    }

    for my $i (0 .. $#list) {
        $list[$i]->cli("CLUSTER", "SET-CONFIG-EPOCH", $i + 1);
    }

    for my $other (@list[1 .. $#list]) {
        $first->cli("CLUSTER", "MEET", "127.0.0.1", $other->port, $other->{bus});
    }

    my $all = sub { my ($lines) = @_; return !grep { $lines != known($_) } @list };

    ClaudeRelay::wait_for(sub { $all->(scalar @list) }, 30)
        or die "the servers of the cluster do not meet\n";

    for my $i ($n .. $#list) {
        $list[$i]->cli("CLUSTER", "REPLICATE", $list[$i % $n]->cli(qw/ CLUSTER
                                                                   MYID /));
    }

    ClaudeRelay::wait_for(sub {
        return !grep { $_->cli(qw/ CLUSTER INFO /) !~ /cluster_state:ok/ } @list;
    }, 30) or die "the cluster is not ok\n";

    ClaudeRelay::wait_for(sub {
        return !grep { my $role = $_->cli("ROLE");
                       $role->[0] eq "slave" && $role->[3] ne "connected" } @list;
    }, 30) or die "the replicas of the cluster are not connected\n";

    return $self;
}


sub known {
    my ($server) = @_;

    my $n = () = $server->cli(qw/ CLUSTER NODES /) =~ / connected/g;

    return $n;
}


sub servers { @{ $_[0]{list} } }

sub addrs { map { $_->addr } $_[0]->servers }

sub addr { join " ", $_[0]->addrs }


sub owner {
    my ($self, $key) = @_;

    my $slot = $self->slot($key);

    for my $range (@{ $self->living->cli(qw/ CLUSTER SLOTS /) }) {
        my ($from, $to, $master) = @$range;
        next if $slot < $from || $slot > $to;

        my ($server) = grep { $_->port == $master->[1] } $self->servers;
        return $server;
    }

    die "nobody has slot $slot\n";
}


sub living { (grep { $_->pid } $_[0]->servers)[0] }

sub slot { $_[0]->living->cli(qw/ CLUSTER KEYSLOT /, $_[1]) }


sub move {
    my ($self, $key, $to) = @_;

    my $slot = $self->slot($key);
    my $from = $self->owner($key);
    my ($source, $target) = map { $_->cli(qw/ CLUSTER MYID /) } $from, $to;

    $to->cli(qw/ CLUSTER SETSLOT /, $slot, "IMPORTING", $source);
    $from->cli(qw/ CLUSTER SETSLOT /, $slot, "MIGRATING", $target);

    while (my @keys = @{ $from->cli(qw/ CLUSTER GETKEYSINSLOT /, $slot, 100) }) {
        $from->cli("MIGRATE", "127.0.0.1", $to->port, "", 0, 5000, "KEYS",
                   @keys);
    }

    $_->cli(qw/ CLUSTER SETSLOT /, $slot, "NODE", $target) for $to, $from;
}


sub failover {
    my ($self, $key) = @_;

    my $old = $self->owner($key);
    my $id = $old->cli(qw/ CLUSTER MYID /);
    my ($line) = map { /:(\d+)@\S+ \S*slave/ ? $1 : () }
                     @{ $old->cli(qw/ CLUSTER REPLICAS /, $id) };
    my ($replica) = grep { $_->port == ($line // 0) } $self->servers;

    die "no replica\n" if !$replica;

    $replica->cli(qw/ CLUSTER FAILOVER /);

    ClaudeRelay::wait_for(sub { $replica->cli("ROLE")->[0] eq "master" }, 20)
        or die "the replica does not take over\n";

    return $replica;
}


sub stop { $_->stop for $_[0]->servers }


package ClaudeRelayFleet::Slow;

use warnings;
use strict;

use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw/ AF_UNIX SOCK_STREAM PF_UNSPEC IPPROTO_TCP TCP_NODELAY /;
use Time::HiRes qw/ time /;


sub new {
    my ($class, $redis, $ms) = @_;

    my $port = ClaudeRelayFleet::next_port();
    my $to = ref $redis ? $redis->addr : $redis;

    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC
        or die "socketpair: $!\n";

    my $listen = listener($port) or die "listen on $port: $!\n";
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        alarm 0;
        $SIG{TERM} = "DEFAULT";
        CORE::close $ours;
        eval { serve($listen, $port, $to, $theirs, ($ms // 0) / 1000) };
        print STDERR "# slow: $@" if $@;
        POSIX::_exit(0);
    }

    CORE::close $theirs;

    return ClaudeRelayFleet::track(bless {
        pid => $pid, port => $port, control => $ours, redis => $redis,
    }, $class);
}


sub listener {
    my ($port) = @_;

    return IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port,
                                 Listen => 64, ReuseAddr => 1);
}


sub port { $_[0]{port} }

sub addr { "127.0.0.1:$_[0]{port}" }


# done when it has said so

sub tell {
    my ($self, $line) = @_;

    syswrite $self->{control}, "$line\n";

    sysread $self->{control}, my $answer, 64 or die "slow: it is gone\n";
    chomp $answer;

    return $answer;
}


sub delay { $_[0]->tell("delay $_[1]") }

sub cut { $_[0]->tell("cut") }

sub hole { $_[0]->tell("hole") }

sub heal { $_[0]->tell("heal") }

sub connections { $_[0]->tell("count") }


sub stop {
    my ($self) = @_;

    my $pid = delete $self->{pid} or return;

    ClaudeRelay::end($pid, ["TERM", 2], ["KILL", 2]);
}


# pairs: client and server, and what waits: [when, bytes] for the client, a
# text for the server

sub serve {
    my ($listen, $port, $to, $control, $delay) = @_;

    my (%pairs, %of, $hole);

    my $drop = sub {
        my ($p) = @_;

        for my $s (@$p{qw/ c s /}) {
            delete $of{fileno $s};
            CORE::close $s;
        }

        delete $pairs{$p};
    };

    while (1) {
        my ($r, $w) = ("", "");
        my $wait = 3600;

        vec($r, fileno $control, 1) = 1;
        vec($r, fileno $listen, 1) = 1 if $listen;

        for my $p ($hole ? () : values %pairs) {
            vec($r, fileno $p->{c}, 1) = 1 if length $p->{up} < 1 << 20;
            vec($r, fileno $p->{s}, 1) = 1 if @{ $p->{down} } < 4096;
            vec($w, fileno $p->{s}, 1) = 1 if length $p->{up};

            next if !@{ $p->{down} };

            my $left = $p->{down}[0][0] - time;

            if ($left <= 0) {
                vec($w, fileno $p->{c}, 1) = 1;
            } elsif ($left < $wait) {
                $wait = $left;
            }
        }

        select $r, $w, undef, $wait;

        if (vec $r, fileno $control, 1) {
            sysread $control, my $line, 256 or return;

            my $said = "ok";

            for (split /\n/, $line) {
                if (/^delay (\d+)/) {
                    $delay = $1 / 1000;

                } elsif (/^count/) {
                    $said = scalar keys %pairs;

                } elsif (/^cut/) {
                    CORE::close $listen if $listen;
                    undef $listen;
                    $drop->($_) for values %pairs;

                } elsif (/^hole/) {
                    $hole = 1;

                } elsif (/^heal/) {
                    $hole = 0;
                    $listen //= listener($port);
                    $said = "no listener: $!" if !$listen;
                }
            }

            syswrite $control, "$said\n";
            next;
        }

        if ($listen && vec $r, fileno $listen, 1) {
            my $c = $listen->accept;
            my $s = $c && IO::Socket::INET->new(PeerAddr => $to);

            if ($s) {
                for ($c, $s) {
                    $_->blocking(0);
                    setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1;
                }

                my $p = { c => $c, s => $s, up => "", down => [] };
                $pairs{$p} = $p;

            } elsif ($c) {
                CORE::close $c;
            }

            next;
        }

        next if $hole;

        for my $p (values %pairs) {
            my ($c, $s) = @$p{qw/ c s /};
            my ($cn, $sn) = (fileno $c, fileno $s);

            if (vec $r, $cn, 1) {
                my $n = sysread $c, $p->{up}, 65536, length $p->{up};
                if (!$n && (defined $n || !$!{EAGAIN})) {
                    $drop->($p);
                    next;
                }
            }

            if (vec $r, $sn, 1) {
                my $n = sysread $s, my $bytes, 65536;
                if (!$n && (defined $n || !$!{EAGAIN})) {
                    $drop->($p);
                    next;
                }
                push @{ $p->{down} }, [time + $delay, $bytes] if $n;
            }

            if (length $p->{up}) {
                my $n = syswrite $s, $p->{up};
                substr $p->{up}, 0, $n, "" if $n;
            }

            while (@{ $p->{down} } && $p->{down}[0][0] <= time) {
                my $n = syswrite $c, $p->{down}[0][1];
                last if !$n;
                substr $p->{down}[0][1], 0, $n, "";
                shift @{ $p->{down} } if !length $p->{down}[0][1];
            }
        }
    }
}


package ClaudeRelayFleet::Node;

use warnings;
use strict;

our @ISA = "ClaudeRelay::Nginx";


sub name { $_[0]{name} }

sub index { $_[0]{index} }


sub conf {
    my ($self, @more) = @_;

    # a file of its own, not what a test has in "http { }"

    return $self->{http} if $self->{whole};

    my $conf = $self->SUPER::conf(@more);

    $conf =~ s/%%NODE%%/$self->{name}/g;
    $conf =~ s/%%SECRET%%/ClaudeRelayFleet::secret()/ge;

    return $conf;
}


sub processes {
    my ($self) = @_;

    my $pid = $self->{pid} or return;

    return ($pid, grep { $_ != $pid } $self->workers);
}


sub kill9 {
    my ($self) = @_;

    # the master first, or it would start others

    my @pids = $self->processes or return;

    # a worker that it has just started

    kill "STOP", $pids[0];
    push @pids, split " ",
        ClaudeRelay::slurp("/proc/$pids[0]/task/$pids[0]/children");
    kill "KILL", @pids;
    waitpid delete $self->{pid}, 0;

    ClaudeRelay::wait_for(sub { !grep { kill 0, $_ } @pids[1 .. $#pids] });
    unlink "$self->{dir}/nginx.pid";
}


# SIGSTOP: it is there and does nothing

sub pause { kill "STOP", $_[0]->processes }

sub resume { kill "CONT", $_[0]->processes }


sub start {
    my ($self) = @_;

    $self->SUPER::start;

    my %seen;
    @ClaudeRelay::NGINXES = grep { !$seen{$_}++ } @ClaudeRelay::NGINXES;

    return $self;
}


sub stop {
    my ($self) = @_;

    $self->resume if $self->{pid};

    return $self->SUPER::stop;
}


sub restart {
    my ($self) = @_;

    $self->stop;

    return $self->start;
}


sub fleet { my $health = $_[0]->health; return $health && $health->{fleet} }


package ClaudeRelayFleet::Fleet;

use warnings;
use strict;


sub new {
    my ($class, $n, %opt) = @_;

    my $each = delete $opt{each} // sub { () };
    my $redis = delete $opt{redis} // ClaudeRelayFleet::redis();
    my $self = bless { redis => $redis, turn => 0 }, $class;

    for my $i (0 .. $n - 1) {
        my %own = $each->($i);
        my %all = (%opt, redis => $redis);

        for my $name (qw/ http server location /) {
            $own{$name} = "$opt{$name}\n$own{$name}"
                if defined $opt{$name} && defined $own{$name};
        }

        push @{ $self->{nodes} }, start_node($i, %all, %own);
    }

    return $self;
}


sub start_node {
    my ($i, %opt) = @_;

    my $http = text(\%opt);

    delete @opt{qw/ redis params store zone http server location account
                    accounts keys /};

    my $node = ClaudeRelayFleet::Node->new($http, %opt,
                            port => ClaudeRelayFleet::next_number());

    $node->{name} = "n" . ($i + 1);
    $node->{index} = $i;

    return $node->start;
}


# what a test has written itself is not written twice

sub text {
    my ($opt) = @_;

    my $redis = $opt->{redis};
    my $addr = ref $redis ? $redis->addr : $redis;
    my $zone = $opt->{zone} // "2m";
    my $store = $opt->{store}
                // "claude_relay_store %%DIR%%/db/relay.db secret=%%SECRET%%;";
    my $http = $opt->{http} // "";

    my @lines = (
        "claude_relay_zone relay:$zone;",
        "claude_relay_usage_poll off;",
        "claude_relay_control unix:%%DIR%%/control.sock;",
        "claude_relay_oauth claude-oauth token_url=%%UP%%/v1/oauth/token;",
    );

    push @lines, $store if $store;
    push @lines, "claude_relay_redis $addr node=%%NODE%% "
                 . ($opt->{params} // "") . ";" if $redis;

    @lines = grep { my ($name) = /^(\w+)/; $http !~ /\b$name\s/ } @lines;

    return ClaudeRelay::relay_http(%$opt, http => join "\n", @lines, $http);
}


sub nodes { @{ $_[0]{nodes} } }

sub node { $_[0]{nodes}[$_[1]] }

sub redis { $_[0]{redis} }

sub secret { ClaudeRelayFleet::secret() }

sub living { grep { $_->{pid} } $_[0]->nodes }


sub post {
    my ($self, $i, $body, @headers) = @_;

    return $self->node($i)->post("/v1/messages", $body, @headers);
}


sub any {
    my ($self, @what) = @_;

    return $self->post($self->{turn}++ % $self->nodes, @what);
}


sub account {
    my ($self, $i, @what) = @_;

    my $r = $self->post($i, @what);

    return $r && $r->status == 200 ? $self->node($i)->log->{account}
                                   : $r && $r->status;
}


# of each that lives: /health?full, or nothing

sub healths {
    my ($self) = @_;

    return map { eval { $_->health } // {} } $self->living;
}


sub up {
    my ($self) = @_;

    return !grep { ($_->{fleet}{state} // "") ne "up"
                   || $_->{status} ne "ok" } $self->healths;
}


sub degraded {
    my ($self) = @_;

    return !grep { ($_->{fleet}{state} // "up") eq "up"
                   || $_->{status} ne "degraded" } $self->healths;
}


sub ready {
    my ($self, $n) = @_;

    $n //= scalar $self->living;

    return ClaudeRelay::wait_for(sub {
        return $self->up
               && !grep { ($_->{fleet}{nodes} // 0) != $n } $self->healths;
    }, 30);
}


package ClaudeRelayFleet::Load;

# each child writes a line for each request into a file of its own

use warnings;
use strict;

use Time::HiRes qw/ time sleep /;


sub new {
    my ($class, $fleet, %opt) = @_;

    my $dir = ClaudeRelayFleet::directory("load");
    my $n = $opt{children} // 24;
    my $only = $opt{only} // [0 .. $#{ $fleet->{nodes} }];
    my (%pids, @files);

    for my $child (0 .. $n - 1) {
        my $file = "$dir/$child";
        my $pid = fork // die "fork: $!\n";

        if ($pid == 0) {
            my @ports = map { $fleet->node($_)->port } @$only;

            eval { run($child, $file, "$dir/stop", \@ports, \%opt) };
            ClaudeRelay::spew("$file.died", $@) if $@;
            POSIX::_exit(0);
        }

        $pids{$pid} = 1;
        push @files, $file;
    }

    return ClaudeRelayFleet::track(bless {
        dir => $dir, pids => \%pids, files => \@files,
    }, $class);
}


sub run {
    my ($child, $file, $stop, $ports, $opt) = @_;

    alarm 0;
    srand $child;
    open my $out, ">>", $file or die "$file: $!\n";

    my $body = $opt->{body} // sub { ClaudeRelay::message() };
    my $headers = $opt->{headers} // sub { () };
    my $pause = $opt->{pause} // 0.02;
    my %open;

    for (my $n = 0; !-e $stop; $n++) {
        my $port = $ports->[($child + $n) % @$ports];
        my $begin = time;
        my $status = 0;
        my $said = "";

        eval {
            my $c = $open{$port} //= ClaudeRelay::Connection->new($port);

            my $r = $c->request("POST", "/v1/messages",
                                body => $body->($child, $n),
                                headers => [$headers->($child, $n)])
                      ->response(timeout => 30);

            $status = $r ? $r->complete ? $r->status : "cut" : "none";
            $said = substr $r->body, 0, 200 if $r && $r->status != 200;

            delete $open{$port}
                if $c->eof || !$r || !$r->complete
                   || ($r->header("connection") // "") =~ /close/i;
        };

        $said = $@ if $@;
        delete $open{$port} if $@;
        $said =~ tr/\r\n\t/ /;

        syswrite $out, sprintf "%s\t%.6f\t%s\n", $status, time - $begin, $said;

        sleep $pause * (0.5 + rand) if $pause;
    }
}


sub rows {
    my ($self) = @_;

    return map { [split /\t/, $_, 3] } map { split /\n/, ClaudeRelay::slurp($_) }
               @{ $self->{files} };
}


sub count { my @rows = $_[0]->rows; return scalar @rows }


sub stop {
    my ($self) = @_;

    ClaudeRelay::spew("$self->{dir}/stop", "");

    for my $pid (keys %{ delete $self->{pids} // {} }) {
        ClaudeRelay::wait_for(sub {
            waitpid($pid, POSIX::WNOHANG()) != 0;
        }, 35) or ClaudeRelay::end($pid, ["KILL", 5]);
    }

    my %sum = (requests => 0, failed => 0, slowest => 0, statuses => {},
               errors => []);

    for my $row ($self->rows) {
        my ($status, $seconds, $said) = @$row;

        $sum{requests}++;
        $sum{statuses}{$status}++;
        $sum{slowest} = $seconds if $seconds > $sum{slowest};

        next if $status eq "200";

        $sum{failed}++;
        push @{ $sum{errors} }, "$status $said" if @{ $sum{errors} } < 10;
    }

    push @{ $sum{errors} }, map { ClaudeRelay::slurp($_) }
                                glob "$self->{dir}/*.died";

    return \%sum;
}


1;
