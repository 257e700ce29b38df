#!/bin/bash

# Where the time goes: instructions and system calls per request, counted, so
# that a busy machine does not matter.  Needs valgrind; strace if it is there.
#
#   bench/profile.sh [CASE...]      call burst events body; the first two
#   LINES=30                        functions to show of each

set -euo pipefail

cd "$(dirname "$0")/.."

[ -n "${TEST_NGINX_PORT:-}" ] || exec util/slot.pl "$0" "$@"

. bench/lib.sh

command -v valgrind > /dev/null || fail "no valgrind: apt-get install valgrind"

lines=${LINES:-30}
cases=("$@")
[ $# -gt 0 ] || cases=(call burst)

pick_cores
build_client
write_conf
start_sandbox


load() {
    local case=$1 variant=$2 n=$3
    shift 3

    case $case in
        call)    set -- -c 1 -s 1400 -x json-size=1024 ;;
        burst)   set -- -c 1 -S -x events=200,burst ;;
        events)  set -- -c 1 -S -x events=200,delay=1 ;;
        body)    set -- -c 1 -s 1048576 -x json-size=1024 ;;
        *)       fail "no such case: $case" ;;
    esac

    "${pin_rest[@]}" "$client" load -p "$port" -k "$key" -u "/$variant" \
        -w "$nginx_pid" -t 120 -n "$n" "$@"
}


stop_nginx() {
    kill -TERM "$nginx_pid"
    wait "$nginx_pid" || true
    nginx_pid=
}


instructions() {
    local case=$1 variant=$2 n=$3 out=$dir/callgrind.$1.$2

    rm -f "$out"*

    globals="master_process off;" start_nginx "${pin_nginx[@]}" \
        valgrind --tool=callgrind --callgrind-out-file="$out" \
        --instr-atstart=no --separate-callers=0 -q

    load "$case" "$variant" 20 > /dev/null

    callgrind_control -i on "$nginx_pid" > /dev/null 2>&1
    load "$case" "$variant" "$n" > /dev/null
    callgrind_control -d "$nginx_pid" > /dev/null 2>&1

    stop_nginx

    mv "$out.1" "$out"
    rm -f "$out".[0-9]*

    awk -v n=$((n + 1)) '/^(summary|totals):/ { total = $2 }
        END { printf "%.0f\n", total / n }' "$out"
}


# what callgrind_annotate prints, by request instead of in all

functions() {
    local n=$1 file=$2

    callgrind_annotate --auto=no --threshold=99.9 --show-percs=no \
        ${3:-} "$file" \
        | sed -n 's/^ *\([0-9,]\+\) .*[\/?]\([^\/:]*:[^ ]*\) .*/\1 \2/p' \
        | tr -d ',' | awk -v n=$((n + 1)) '{ print int($1 / n), $2 }'
}


# of the functions in both, what the first one spends more

more() {
    awk 'NR == FNR { other[$2] += $1; next } { mine[$2] += $1 }
         END { for (f in mine) print mine[f] - other[f], f }' \
        <(functions "$1" "$3") <(functions "$1" "$2") \
        | sort -rn | awk -v lines="$lines" 'NR <= lines {
              printf "%10d  %s\n", $1, $2 }'
}


calls() {
    local case=$1 variant=$2 n=$3 out=$dir/strace.$1.$2 tracer

    globals="master_process off;" start_nginx "${pin_nginx[@]}"

    load "$case" "$variant" 20 > /dev/null

    strace -c -f -p "$nginx_pid" -o "$out" 2> /dev/null &
    tracer=$!
    sleep 0.5

    load "$case" "$variant" "$n" > /dev/null

    kill -INT $tracer
    wait $tracer || true
    stop_nginx

    awk -v n=$((n + 1)) '$NF ~ /^[a-z_0-9]+$/ && $4 ~ /^[0-9]+$/ \
        && $NF != "total" && $4 / n >= 0.05 {
            printf " %s %.1f", $NF, $4 / n }' "$out"
    echo
}


for case in "${cases[@]}"; do
    n=200
    [ "$case" = call ] || n=50

    echo "== $case"

    for variant in relay token proxy unbuffered; do
        echo "$variant: $(instructions "$case" $variant $n) instructions"
    done

    if command -v strace > /dev/null; then
        for variant in relay token proxy unbuffered; do
            echo "$variant:$(calls "$case" $variant $n)"
        done
    fi

    echo "instructions per request more than in proxy_pass, by function"
    more $n "$dir/callgrind.$case.relay" "$dir/callgrind.$case.proxy"

    echo "instructions per request, with what it calls"
    functions $n "$dir/callgrind.$case.relay" --inclusive=yes \
        | awk -v lines="$lines" '/ngx_http_claude_relay|ncr_/ && $1 >= 100 \
              && ++i <= lines { printf "%10d  %s\n", $1, $2 }'
done
