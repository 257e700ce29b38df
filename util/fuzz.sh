#!/bin/bash

# Builds and runs each fuzz/fuzz_*.c, two at a time.
#
#   util/fuzz.sh [SECONDS [NAME]]
#
# fuzz/corpus/NAME/ has the seeds and fuzz/NAME.dict the words, if any; what
# is found on the way is kept in build/fuzz/corpus.  A crash is left in
# build/fuzz/NAME-crash-*.

set -euo pipefail

cd "$(dirname "$0")/.."

seconds=${1:-60}
only=${2:-}

targets=()

for file in fuzz/fuzz_*.c; do
    name=${file#fuzz/fuzz_}
    name=${name%.c}
    [ -n "$only" ] && [ "$name" != "${only#fuzz_}" ] || targets+=("$name")
done

if [ ${#targets[@]} -eq 0 ]; then
    echo "fuzz.sh: no fuzz/fuzz_${only:-*}.c" >&2
    exit 1
fi

make -j2 "${targets[@]/#/build/fuzz/fuzz_}"


one() {
    local name=$1 seconds=$2 log=build/fuzz/$1.log rc=0
    local corpora=("build/fuzz/corpus/$name") options=()

    mkdir -p "${corpora[0]}"
    [ ! -d "fuzz/corpus/$name" ] || corpora+=("fuzz/corpus/$name")
    [ ! -f "fuzz/$name.dict" ] || options+=("-dict=fuzz/$name.dict")

    "build/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -verbosity=1 \
        -artifact_prefix="build/fuzz/$name-" \
        "${options[@]}" "${corpora[@]}" > "$log" 2>&1 || rc=$?

    awk -v name="$name" '
        /stat::number_of_executed_units/  { runs = $2 }
        /stat::average_exec_per_sec/      { speed = $2 }
        match($0, /cov: [0-9]+/)          { cov = substr($0, RSTART + 5,
                                                         RLENGTH - 5) }
        END { printf "%-20s %10d runs, %7d/s, %5d edges\n",
                     name, runs, speed, cov }' "$log"

    if [ $rc -ne 0 ]; then
        echo "$name failed:"
        grep -E -A 30 'ERROR: |runtime error:|SUMMARY' "$log" | head -n 60
        return 1
    fi
}


rc=0
pids=()

for name in "${targets[@]}"; do
    one "$name" "$seconds" &
    pids+=($!)

    if [ ${#pids[@]} -eq 2 ]; then
        wait "${pids[0]}" || rc=1
        pids=("${pids[@]:1}")
    fi
done

for pid in "${pids[@]}"; do
    wait "$pid" || rc=1
done

exit $rc
