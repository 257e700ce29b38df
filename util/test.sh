#!/bin/bash

# make test: everything that CI runs.
#
#   util/test.sh                    all of it
#   util/test.sh AREA               t/<area>_*.t, or one of the suites check,
#                                   unit, sandbox, clients, asan, fuzz, matrix
#   util/test.sh asan AREA          t/<area>_*.t under the sanitizers
#   util/test.sh FILE...            these .t files
#
# Prints TAP as prove does; the last line is "N passed, N failed".
#
#   CR_JOBS=3     .t files at a time: they wait more than they compute
#   CR_VERBOSE=1  each assertion

set -euo pipefail

cd "$(dirname "$0")/.."

root=$PWD
module=$root/build/ngx_http_claude_relay_module.so
asan=$root/build/asan/nginx
reports=$root/build/asan/reports
jobs=${CR_JOBS:-3}
verbose=${CR_VERBOSE:+-v}

mkdir -p build
results=$(mktemp build/results.XXXXXX)
trap 'rm -f "$results"' EXIT

export LC_ALL=C
export CR_ROOT=$root
export PERL5LIB=$root/t/lib:$root/build/test-nginx/usr/share/perl5
export PERL5LIB=$PERL5LIB:$root/build/perl/lib/perl5
export PATH=$PATH:/usr/sbin:/usr/local/sbin
export TEST_NGINX_SANDBOX=$root/build/claude-relay-sandbox
export TEST_NGINX_TIMEOUT=${TEST_NGINX_TIMEOUT:-10}
export CR_CLIENTS=$root/build/clients

# nothing of the caller's may reach a test, least of all a real credential

unset ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN ANTHROPIC_BASE_URL
unset OPENAI_API_KEY OPENAI_BASE_URL GEMINI_API_KEY GOOGLE_API_KEY
unset GOOGLE_GEMINI_BASE_URL AWS_BEARER_TOKEN_BEDROCK AWS_ACCESS_KEY_ID
unset AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
unset CLAUDE_RELAY_KEY CLAUDE_RELAY_ACCOUNTS
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY


title() {
    printf '\n== %s\n' "$*"
}


# one step that either works or does not

step() {
    local name=$1 start=$EPOCHSECONDS
    shift

    title "$name"

    if "$@" < /dev/null; then
        echo "ok - $name ($((EPOCHSECONDS - start)) s)"
        echo "1 0 0" >> "$results"
        return 0
    fi

    echo "not ok - $name ($((EPOCHSECONDS - start)) s)"
    echo "0 1 0" >> "$results"
    return 1
}


# prove.pl has written its line unless it died

prove() {
    local before after

    before=$(wc -l < "$results")
    perl util/prove.pl $verbose "$1" "$results" "${@:2}" < /dev/null || true
    after=$(wc -l < "$results")

    if [ "$before" = "$after" ]; then
        echo "not ok - prove.pl died"
        echo "0 1 0" >> "$results"
    fi
}


finish() {
    awk '
        { passed += $1; failed += $2; skipped += $3 }
        END {
            printf "\n%d passed, %d failed", passed, failed
            if (skipped) printf ", %d skipped", skipped
            printf "\n"
            exit failed > 0 || passed == 0
        }' "$results" && exit 0

    exit 1
}


# a build that fails leaves nothing to test

build() {
    step "build $*" make -j2 "$@" || finish
}


# .t files of an area, or all

tests() {
    local area=${1:-}

    compgen -G "t/${area:+${area}_}*.t" || true
}


run_check() {
    step "check: floors" util/floors.pl || true
    step "check: style" util/ngxstyle.pl || true
    step "check: leaks" util/leaks.pl || true
    step "check: prices" util/prices.pl --check || true
    step "check: api" util/openapi.pl --check || true
    step "check: strict warnings" make -j2 strict || true
}


run_unit() {
    local list

    compgen -G "t/unit/*_test.c" > /dev/null || return 0
    build unit-binaries

    title "unit tests"
    mapfile -t list < <(ls t/unit/*_test.c \
                        | sed 's,t/unit/\(.*\)\.c,build/unit/\1,')
    prove -j"$jobs" "${list[@]}"

    title "unit tests, sanitized"
    sanitizers "${list[@]/build\/unit\//build/unit-asan/}"
}


run_sandbox() {
    [ -f sandbox/check.sh ] || return 0

    title "the sandbox itself"
    prove -j1 sandbox/check.sh
}


run_nginx() {
    [ $# -gt 0 ] || return 0

    title "nginx $(nginx -v 2>&1 | sed 's,.*/,,'), dynamic module"
    TEST_NGINX_BINARY=$(command -v nginx) TEST_NGINX_LOAD_MODULES=$module \
        prove -sj"$jobs" "$@"
}


# they skip themselves where a client is missing, but not in CI

run_clients() {
    local list

    mapfile -t list < <(compgen -G "t/clients/*.t" || true)
    [ ${#list[@]} -gt 0 ] || return 0

    title "real clients"

    PATH=$CR_CLIENTS/node_modules/.bin:$PATH \
    TEST_NGINX_BINARY=$(command -v nginx) TEST_NGINX_LOAD_MODULES=$module \
        prove -sj2 "${list[@]}"
}


# Sanitizers write to files, one for each process that has something to say.

sanitizers() {
    local file n=0 log="log_path=$reports/report"

    rm -rf "$reports"
    mkdir -p "$reports"

    # Test::Nginx adds the name of the test to the first one, and wants commas

    ASAN_OPTIONS=detect_stack_use_after_return=1,$log \
    UBSAN_OPTIONS=print_stacktrace=1,$log \
    LSAN_OPTIONS=suppressions=$root/util/lsan.supp,print_suppressions=0 \
        prove "-${slot:-}j$jobs" "$@"

    for file in "$reports"/*; do
        [ -f "$file" ] || continue
        echo "not ok - sanitizer report $file"
        [ $((n++)) -ge 5 ] || head -n 60 "$file"
        echo "0 1 0" >> "$results"
    done
}


run_asan() {
    [ $# -gt 0 ] || return 0

    step "build asan" util/build-sanitize.sh || return 0

    title "nginx 1.22 with sanitizers, static module"
    unset TEST_NGINX_LOAD_MODULES
    slot=s TEST_NGINX_BINARY=$asan CR_ASAN=1 sanitizers "$@"
}


run_fuzz() {
    compgen -G "fuzz/fuzz_*.c" > /dev/null || return 0
    step "fuzz, ${1:-10} s each" util/fuzz.sh "${1:-10}" || true
}


run_matrix() {
    title "matrix"
    util/matrix.sh "$results" < /dev/null || true
}


install() {
    step "install $1" util/install.sh "$1" || finish
}


all() {
    local list

    install test
    [ ! -d t/clients ] || install clients

    run_check
    build all
    run_unit
    run_sandbox

    mapfile -t list < <(tests)
    run_nginx "${list[@]}"
    run_clients
    run_asan "${list[@]}"
    run_fuzz 5
    run_matrix
}


case ${1:-all} in

    all)        all ;;
    check)      run_check ;;
    unit)       install test; run_unit ;;
    fuzz)       install test; run_fuzz ;;
    sandbox)    install test; build sandbox; run_sandbox ;;
    matrix)     install matrix; run_matrix ;;
    clients)    install test; install clients; build all; run_clients ;;

    asan)
        install test
        build sandbox

        case ${2:-} in
            *.t)    run_asan "${@:2}" ;;
            *)      mapfile -t list < <(tests "${2:-}"); run_asan "${list[@]}" ;;
        esac
        ;;

    *.t)        install test; build all; run_nginx "$@" ;;

    *)
        mapfile -t list < <(tests "$1")

        if [ ${#list[@]} -eq 0 ]; then
            echo "test.sh: no t/$1_*.t" >&2
            exit 1
        fi

        install test
        build all
        run_nginx "${list[@]}"
        ;;
esac

finish
