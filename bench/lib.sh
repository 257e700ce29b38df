# What bench/run.sh and bench/profile.sh share: building the client, the
# sandbox and nginx started and stopped.  Sourced in the root of the sources.

root=$PWD
dir=$root/build/bench
client=$dir/client
nginx=${NGINX:-$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx)}

port=${TEST_NGINX_PORT:?run by util/slot.pl}
sandbox_port=$((port + 1))
frames_port=$((port + 2))
tls_port=$((port + 3))
counts_port=$((port + 4))
hop_port=$((port + 5))
redis_port=$((port + 6))
fleet_port=$((port + 7))        # and the two above
key=bench-key-0123456789

sandbox_pid=
tls_pid=
hop_pid=
nginx_pid=
fleet_pids=


fail() {
    echo "bench: $*" >&2
    exit 1
}


# one core for the worker, another one for all the rest

pick_cores() {
    local allowed mask i

    pin_nginx=() pin_rest=() affinity=

    command -v taskset > /dev/null || return 0

    allowed=$(taskset -pc $$ | sed 's/.*: //' | tr ',' '\n' \
              | awk -F- '{ for (i = $1; i <= ($2 == "" ? $1 : $2); i++)
                               print i }')

    [ "$(wc -l <<< "$allowed")" -ge 2 ] || return 0

    pin_nginx=(taskset -c "$(sed -n 1p <<< "$allowed")")

    for ((mask = 1, i = $(sed -n 1p <<< "$allowed"); i > 0; i--)); do
        mask+=0
    done

    affinity="worker_cpu_affinity $mask;"
    pin_rest=(taskset -c "$(sed -n 2p <<< "$allowed")")
}


build_client() {
    mkdir -p "$dir"/temp

    if [ -n "$(find bench -name '*.[ch]' -newer "$client" 2>&1)" ]; then
        ${CC:-cc} -std=gnu11 -O2 -g -Wall -Wextra -o "$client" bench/*.c
    fi
}


# of "localhost", and its own authority

make_certificate() {
    [ ! -f "$dir/tls.pem" ] || return 0

    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -keyout "$dir/tls.key" -out "$dir/tls.pem" -days 3650 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        2> "$dir/openssl.log" \
        || fail "openssl: $(cat "$dir/openssl.log")"
}


write_conf() {
    make_certificate

    files=$(ulimit -Hn)
    [ "$files" != unlimited ] || files=20000
    connections=$((files < 20000 ? files : 20000))

    fill_conf "$dir" "$port" ""
}


# of the directory, the port and the line for Redis of a node

fill_conf() {
    sed -e "s,@ROOT@,$root,; s,@PORT@,$2,; s,@SANDBOX@,$sandbox_port,
            s,@FRAMES@,$frames_port,; s,@TLS@,$tls_port,; s,@REDIS@,$3,
            s,@HOP@,$hop_port,; s,@DIR@,$1,; s,@KEY@,$key,; s,@FILES@,$files,
            s,@CONNECTIONS@,$connections,; s,@AFFINITY@,$affinity," \
        bench/nginx.conf > "$1/nginx.conf"
}


build_events() {
    make -s build/plain/libncr.a

    ${CC:-cc} -std=gnu11 -O2 -Wall -Wextra -o "$dir/events" -Isrc/base \
        -Isrc/model -Isrc/codec -Isrc/platform bench/rows/events.c \
        build/plain/libncr.a -lcrypto -lz
}


# a ledger with a million requests of the last 40 days in it

fill_ledger() {
    local ledger=$dir/store/relay.db-usage

    [ -z "$only" ] || [ "$only" = admin ] || return 0

    if [ ! -x "$dir/rows" ] || [ bench/rows/rows.c -nt "$dir/rows" ]; then
        make -s build/plain/libncr.a

        ${CC:-cc} -std=gnu11 -O2 -Wall -Wextra -o "$dir/rows" -Isrc/base \
            -Isrc/model -Isrc/store bench/rows/rows.c build/plain/libncr.a \
            -lsqlite3 -lcrypto -lcjson -lz
    fi

    mkdir -p "$dir/store"
    chmod 700 "$dir/store"
    rm -f "$ledger" "$ledger"-*
    "$dir/rows" "$ledger" 1000000 40
    [ "$(id -u)" != 0 ] || chown "$(stat -c %U:%G .)" "$dir/store" "$ledger"*
}


wait_for() {
    local i

    for i in {1..100}; do
        (: < "/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.05
    done

    fail "nothing listens on port $1, see $dir"
}


start_sandbox() {
    "${pin_rest[@]}" build/claude-relay-sandbox -q \
        -l "127.0.0.1:$sandbox_port" > "$dir/sandbox.log" 2>&1 &
    sandbox_pid=$!

    wait_for "$sandbox_port"
}


# an upstream with TLS, and the hop before it

start_tls() {
    "${pin_rest[@]}" build/claude-relay-sandbox -q \
        -l "127.0.0.1:$tls_port" -p "127.0.0.1:$counts_port" \
        -t "$dir/tls.pem" -k "$dir/tls.key" > "$dir/tls.log" 2>&1 &
    tls_pid=$!

    wait_for "$tls_port"

    "${pin_rest[@]}" "$client" hop -l "$hop_port" -p "$tls_port" \
        2> "$dir/hop.log" &
    hop_pid=$!

    wait_for "$hop_port"
}


# handshakes, connections that carried a request, requests

tls_counts() {
    local stats word

    stats=$(curl -sS "http://127.0.0.1:$counts_port/sandbox/stats")

    for word in tls_handshakes used requests; do
        sed "s/.*\"$word\":\([0-9]*\).*/\1/" <<< "$stats"
    done | xargs
}


# $@ in front of nginx, with the globals of $globals

start_nginx() {
    begin_nginx "$dir" "$@"
    nginx_pid=$!

    wait_for "$port"
}


begin_nginx() {
    local where=$1 user=
    shift

    [ "$(id -u)" != 0 ] || user="user $(stat -c '%U %G' .);"

    : > "$where/error.log"
    : > "$where/access.log"

    "$@" "$nginx" -e "$where/error.log" -p "$where/" -c "$where/nginx.conf" \
        -g "daemon off; $user ${globals:-}" 2> "$where/nginx.stderr" &
}


# a Redis, and three nodes of the same configuration

start_fleet() {
    local i where

    mkdir -p "$dir/redis"
    "${pin_rest[@]}" redis-server --port "$redis_port" --bind 127.0.0.1 \
        --save "" --dir "$dir/redis" --loglevel warning \
        > "$dir/redis/log" 2>&1 &
    fleet_pids=$!
    wait_for "$redis_port"

    for i in 0 1 2; do
        where=$dir/node$i
        rm -rf "$where"
        mkdir -p "$where/temp"
        cp -p "$dir/tls.pem" "$dir/secret.key" "$where"
        fill_conf "$where" $((fleet_port + i)) \
            "claude_relay_redis 127.0.0.1:$redis_port node=n$i;"

        begin_nginx "$where"
        fleet_pids+=" $!"
        wait_for $((fleet_port + i))
    done
}


# what the three of them have sent to Redis so far

fleet_commands() {
    local i

    for i in 0 1 2; do
        curl -sS "http://127.0.0.1:$((fleet_port + i))/metrics"
    done | awk '/^claude_relay_redis_commands_total / { n += $2 }
                END { print n + 0 }'
}


# the worker that is not about to leave

worker() {
    pgrep -P "${1:-$nginx_pid}" -f 'worker process$'
}


# a worker with a heap as new as after a start

renew_worker() {
    local old i

    old=$(worker)
    kill -HUP "$nginx_pid"

    for i in {1..200}; do
        sleep 0.05
        kill -0 "$old" 2>/dev/null || break
    done

    for i in {1..100}; do
        worker=$(worker || true)
        [ -n "$worker" ] && [ "$worker" != "$old" ] && return
        sleep 0.05
    done

    fail "no new worker"
}


stop_all() {
    local pid

    trap - EXIT

    for pid in $nginx_pid $fleet_pids $sandbox_pid $tls_pid $hop_pid; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}


trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
