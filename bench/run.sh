#!/bin/bash

# make bench: the relay beside plain proxy_pass, see bench/README.md.
#
#   ROUNDS=15     interleaved rounds of each measurement
#   ONLY=name     one of them: call burst events body tunnel latency flood
#                 frames admin aws fleet memory
#   README=1      put the table into bench/README.md

set -euo pipefail

cd "$(dirname "$0")/.."

[ -n "${TEST_NGINX_PORT:-}" ] || exec util/slot.pl "$0" "$@"

. bench/lib.sh

rounds=${ROUNDS:-15}
only=${ONLY:-}
raw=$dir/raw

pick_cores
build_client
write_conf

: > "$raw"

start_sandbox
fill_ledger
start_nginx
worker=$(worker)


# name, variants, and what to give the client; a line for each run:
# name, variant, round, and the client's words

rotate() {
    local n=$(($1 % ($# - 1)))

    shift
    echo "${@:n + 1}" "${@:1:n}"
}


measure() {
    local name=$1 variants=$2 round variant words
    shift 2

    [ -z "$only" ] || [ "$only" = "$name" ] || return 0

    printf '%s' "$name" >&2

    for ((round = 1; round <= rounds; round++)); do
        for variant in $(rotate "$round" $variants); do
            words=$("${pin_rest[@]}" "$client" load -p "$port" -k "$key" \
                        -u "/$variant" -w "$worker" "$@") \
                || fail "$name of $variant failed"
            echo "$name $variant $round $words" >> "$raw"
        done

        printf '.' >&2
    done

    echo >&2
}


# with TLS over the same hop: the relay asks it with CONNECT, proxy_pass
# takes it for the upstream; and how many handshakes that takes

tunnel() {
    local name=tunnel round variant words before after

    [ -z "$only" ] || [ "$only" = "$name" ] || return 0

    start_tls

    printf '%s' "$name" >&2

    for ((round = 1; round <= rounds; round++)); do
        for variant in $(rotate "$round" relay proxy); do
            read -ra before <<< "$(tls_counts)"

            words=$("${pin_rest[@]}" "$client" load -p "$port" -k "$key" \
                        -u "/tls/$variant" -w "$worker" "$@") \
                || fail "$name of $variant failed"

            read -ra after <<< "$(tls_counts)"

            echo "$name $variant $round $words" \
                "handshakes=$((after[0] - before[0]))" \
                "connections=$((after[1] - before[1]))" \
                "asked=$((after[2] - before[2]))" >> "$raw"
        done

        printf '.' >&2
    done

    echo >&2
}


# two locations, alternating in one run of the client

alternate() {
    local name=$1 one=$2 two=$3 command=$4 round words
    shift 4

    [ -z "$only" ] || [ "$only" = "$name" ] || return 0

    printf '%s' "$name" >&2

    for ((round = 1; round <= rounds; round++)); do
        words=$("${pin_rest[@]}" "$client" "$command" -p "$port" -k "$key" \
                    -u "$one" -u "$two" "$@") \
            || fail "$name failed"
        echo "$name both $round $words" >> "$raw"
        printf '.' >&2
    done

    echo >&2
}


# the latency of good keys, with and without nine wrong ones for each

flood() {
    local name=flood round variant words bad

    [ -z "$only" ] || [ "$only" = "$name" ] || return 0

    printf '%s' "$name" >&2

    for ((round = 1; round <= rounds; round++)); do
        for variant in $(rotate "$round" quiet flooded); do
            bad=

            if [ "$variant" = flooded ]; then
                "${pin_rest[@]}" "$client" flood -p "$port" -u /relay \
                    -k wrong-key-0000 -X 401 -i 222 -n 1000000 &
                bad=$!
            fi

            words=$("${pin_rest[@]}" "$client" pairs -p "$port" -k "$key" \
                        -u /relay -u /proxy -i 2000 -n 500 "$@") \
                || fail "$name failed"

            if [ -n "$bad" ]; then
                kill "$bad" 2> /dev/null || fail "the flood has ended"
                wait "$bad" 2> /dev/null || :
            fi

            echo "$name $variant $round $words" >> "$raw"
        done

        printf '.' >&2
    done

    echo >&2
}


# the latency of a call while an operator asks 50 times a second about a
# million requests, and how long a list of 10,000 keys takes

admin() {
    local name=admin round variant words token asker

    [ -z "$only" ] || [ "$only" = "$name" ] || return 0

    token=$(admin_token)

    printf '%s' "$name" >&2

    for ((round = 1; round <= rounds; round++)); do
        for variant in $(rotate "$round" quiet flooded); do
            asker=

            if [ "$variant" = flooded ]; then
                "${pin_rest[@]}" bench/ask.pl "$port" "$token" 50 \
                    2> "$dir/ask.log" &
                asker=$!
            fi

            words=$("${pin_rest[@]}" "$client" pairs -p "$port" -k "$key" \
                        -u /relay -u /proxy -i 2000 -n 500 "$@") \
                || fail "$name failed"

            if [ -n "$asker" ]; then
                kill "$asker" 2> /dev/null \
                    || fail "the questions have ended: $(cat "$dir/ask.log")"
                wait "$asker" 2> /dev/null || :
            fi

            echo "$name $variant $round $words" >> "$raw"
        done

        echo "list list $round ms=$(list_keys "$token")" >> "$raw"

        printf '.' >&2
    done

    echo >&2
}


control() {
    curl -sS --unix-socket "$dir/control.sock" "http://x/v1/$1" "${@:2}"
}


# 10,000 keys, and a token to ask with; keys stay for the next time

admin_token() {
    local i

    for ((i = 0; i < 20; i++)); do
        control keys/batch -d "{\"create\":{\"base\":\"bench$i\",
                                \"count\":500}}" > /dev/null
    done

    control people -d '{"name":"bench","role":"viewer"}' > /dev/null
    control people/bench/tokens/bench -X DELETE > /dev/null
    control people/bench/tokens -d '{"name":"bench"}' \
        | sed 's/.*"secret":"\([^"]*\)".*/\1/'
}


# ms for all of them, in pages of a thousand

list_keys() {
    local page urls=()

    for ((page = 1; page <= 10; page++)); do
        urls+=(-o /dev/null "http://127.0.0.1:$port/admin/api/v1/keys?limit=1000&page=$page")
    done

    "${pin_rest[@]}" curl -sSf -H "Authorization: Bearer $1" \
        -w '%{time_total}\n' "${urls[@]}" \
        | awk '{ sum += $1 } END { print 1000 * sum }'
}


# us for a frame of AWS's that becomes an event

aws_events() {
    local name=aws round

    [ -z "$only" ] || [ "$only" = "$name" ] || return 0

    build_events

    for ((round = 1; round <= rounds; round++)); do
        echo "$name relay $round $("${pin_rest[@]}" "$dir/events")" >> "$raw"
    done
}


# A node with Redis and two others beside the nginx without; what the three
# send to Redis for a request, and in a second in which nobody asks anything

fleet() {
    local name=fleet round variant node before after words i

    [ -z "$only" ] || [ "$only" = "$name" ] || return 0

    if ! command -v redis-server > /dev/null; then
        echo "fleet: no redis-server" >&2
        return 0
    fi

    start_fleet
    node=$(worker "$(cut -d' ' -f2 <<< "$fleet_pids")")

    for i in {1..100}; do
        curl -sS "http://127.0.0.1:$fleet_port/health?full" \
            | grep -q '"fleet":{"state":"up".*"nodes":3' && break
        sleep 0.1
        [ "$i" -lt 100 ] || fail "the nodes do not see each other"
    done

    printf '%s' "$name" >&2

    for ((round = 1; round <= rounds; round++)); do
        for variant in $(rotate "$round" alone node); do
            before=$(fleet_commands)

            if [ "$variant" = node ]; then
                words=$("${pin_rest[@]}" "$client" load -p "$fleet_port" \
                            -k "$key" -u /relay -w "$node" -c 32 -n 5000 "$@")
            else
                words=$("${pin_rest[@]}" "$client" load -p "$port" \
                            -k "$key" -u /relay -w "$worker" -c 32 -n 5000 "$@")
            fi || fail "$name of $variant failed"

            after=$(fleet_commands)

            echo "$name $variant $round $words" \
                "commands=$((after - before)) asked=5000" >> "$raw"
        done

        printf '.' >&2
    done

    before=$(fleet_commands)
    sleep 10
    after=$(fleet_commands)
    echo "$name idle 1 commands=$((after - before)) asked=10" >> "$raw"

    echo >&2
}


memory() {
    local name=memory round variant words

    [ -z "$only" ] || [ "$only" = "$name" ] || return 0

    printf '%s' "$name" >&2

    for ((round = 1; round <= 3; round++)); do
        for variant in $(rotate "$round" relay proxy unbuffered); do
            renew_worker

            # what the first requests of a worker allocate for ever

            "${pin_rest[@]}" "$client" load -p "$port" -k "$key" -S \
                -u "/$variant" -w "$worker" -c 8 -n 64 > /dev/null

            words=$("${pin_rest[@]}" "$client" idle -p "$port" -k "$key" -S \
                        -u "/$variant" -w "$worker" -c 1000 -x stall-at=3) \
                || fail "$name of $variant failed"
            echo "$name $variant $round $words" >> "$raw"
        done

        printf '.' >&2
    done

    echo >&2
}


measure call "relay token proxy unbuffered" -c 32 -n 5000 -s 1400 -x json-size=1024
measure burst "relay proxy unbuffered" -c 32 -n 1200 -S -x events=200,burst
measure events "relay proxy unbuffered" -c 40 -n 80 -S -x events=200,delay=2
measure body "relay signed proxy unbuffered spooled" -c 4 -n 80 -s 1048576 \
        -x json-size=1024
tunnel -c 32 -n 5000 -s 1400 -x json-size=1024
alternate latency /relay /proxy pairs -n 1000 -x json-size=1024
flood -x json-size=1024
alternate frames /frames/relay /frames/proxy frames -l "$frames_port" \
          -n 2 -e 100 -d 2
admin -x json-size=1024
aws_events
fleet -s 1400 -x json-size=1024
memory

if grep -E '\[(alert|crit|emerg|error)\]' "$dir/error.log" \
    "$dir"/node?/error.log 2> /dev/null >&2
then
    fail "nginx complained"
fi

bench/table.pl "$raw" build/bench.json > "$dir/table"

{
    echo
    echo "nginx $("$nginx" -v 2>&1 | sed 's,.*/,,'), $(uname -sr)," \
        "$(nproc) cores of $(sed -n 's/^model name.*: //p' /proc/cpuinfo \
            | head -n 1), load $(cut -d' ' -f1 /proc/loadavg)," \
        "$(date -u +%Y-%m-%d), $rounds rounds"
} >> "$dir/table"

cat "$dir/table"

if [ -n "${README:-}" ] && [ -z "$only" ]; then
    awk -v table="$dir/table" '
        /^<!-- figures -->/ {
            print; print "```"
            while ((getline line < table) > 0) print line
            print "```"; skip = 1
        }
        /^<!-- end -->/ { skip = 0 }
        !skip' bench/README.md > "$dir/README.md"

    cat "$dir/README.md" > bench/README.md
fi
