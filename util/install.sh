#!/bin/bash

# Installs what is needed, with apt-get; says nothing when nothing is missing.
#
#   util/install.sh run        to build and start it (the default)
#   util/install.sh test       to test it, too
#   util/install.sh matrix     to build it for other versions of nginx, too
#   util/install.sh clients    real clients for t/clients, from npm
#
# Debian's services of nginx and Redis are not started by this: their ports
# stay free.  Those that run already are left alone.

set -euo pipefail

cd "$(dirname "$0")/.."

level=${1:-run}

run=(
    nginx nginx-dev gcc libc6-dev make libssl-dev zlib1g-dev libpcre2-dev
    libcjson-dev libhiredis-dev libsqlite3-dev libzstd-dev
    curl jq ca-certificates tzdata
)
perl=(
    perl libtest-base-perl libtest-longstring-perl liblist-moreutils-perl
    libipc-run-perl libfilter-perl libtext-diff-perl libwww-perl liburi-perl
    libhttp-message-perl libjson-perl libio-socket-ssl-perl
)
test=(
    "${perl[@]}" procps psmisc openssl git dpkg-dev patch xz-utils
    clang llvm wrk nghttp2-client zstd
    sqlite3 tinyproxy-bin microsocks dante-server faketime
    redis-server redis-tools
)


say() {
    echo "install.sh: $*"
}


fail() {
    echo "install.sh: $*" >&2
    exit 1
}


as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        command -v sudo > /dev/null || fail "be root or install sudo"
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}


installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}


missing() {
    local package

    for package in "$@"; do
        installed "$package" || echo "$package"
    done
}


# apt-get install without starting what it installs

quietly() {
    local policy=/usr/sbin/policy-rc.d fresh=() ours= rc=0 service

    installed nginx-common || fresh+=(nginx)
    installed redis-server || fresh+=(redis-server)

    if [ ${#fresh[@]} -gt 0 ] && [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' \
            | as_root sh -c "cat > $policy && chmod 755 $policy"
        ours=yes
    fi

    as_root apt-get install -qq -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Use-Pty=0 "$@" > build/install.log 2>&1 || rc=$?

    [ -z "$ours" ] || as_root rm -f $policy

    command -v systemctl > /dev/null || return $rc

    for service in "${fresh[@]}"; do
        installed "${service/%nginx/nginx-common}" || continue

        as_root systemctl disable "$service" > /dev/null 2>&1 || true
        say "$service.service was left stopped and disabled;" \
            "systemctl enable --now $service starts it"
    done

    return $rc
}


packages() {
    local list

    mapfile -t list < <(missing "$@")
    [ ${#list[@]} -gt 0 ] || return 0

    command -v apt-get > /dev/null \
        || fail "no apt-get here; install these yourself: ${list[*]}"

    say "installing ${list[*]}"
    mkdir -p build

    if [ -z "$(find build/.apt-updated -mmin -720 2>/dev/null)" ]; then
        as_root apt-get update -qq -o Acquire::Retries=3 \
            -o DPkg::Lock::Timeout=300 > build/install.log 2>&1 \
            || { cat build/install.log >&2; fail "apt-get update failed"; }
        touch build/.apt-updated
    fi

    quietly "${list[@]}" || { tail -n 30 build/install.log >&2
                              fail "apt-get install failed"; }
}


# The sanitizers' and libFuzzer's runtime; a package of its own, and named
# after the version of clang.

clang_runtime() {
    local runtime

    runtime=$(clang -print-file-name=libclang_rt.fuzzer-x86_64.a 2>/dev/null)

    if [ ! -f "$runtime" ] && ! ls "$(clang -print-resource-dir)"/lib/*/*fuzzer* \
        > /dev/null 2>&1
    then
        packages "libclang-rt-$(clang -dumpversion | cut -d. -f1)-dev"
    fi
}


has_test_nginx() {
    perl -Ibuild/test-nginx/usr/share/perl5 -Ibuild/perl/lib/perl5 \
        -e 'use Test::Nginx::Socket 0.29' 2>/dev/null
}


test_nginx() {
    local suite

    has_test_nginx && return

    for suite in forky sid; do
        util/suite.sh deb $suite build/test-nginx libtest-nginx-perl || continue
        has_test_nginx && return
    done

    say "installing Test::Nginx from CPAN"

    if command -v cpanm > /dev/null; then
        cpanm -q -n -L build/perl Test::Nginx < /dev/null
    else
        PERL_MM_USE_DEFAULT=1 PERL_MM_OPT="INSTALL_BASE=$PWD/build/perl" \
            cpan -T Test::Nginx < /dev/null > build/cpan.log 2>&1
    fi || true

    has_test_nginx || fail "cannot get Test::Nginx"
}


# Of prometheus only the checker is of use, and no daemon is wanted.  Tests
# do without it.

checker() {
    local dir=build/promtool suite

    command -v promtool > /dev/null && return
    [ ! -x $dir/usr/bin/promtool ] || return 0

    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)

    util/suite.sh deb "${suite:-stable}" $dir prometheus \
        || { say "promtool will not be used"; return 0; }

    rm -f $dir/usr/bin/prometheus
}


# Each version is one that has been tried; node itself comes as a package.

clients() {
    local where=build/clients list

    list=(
        node@22
        @anthropic-ai/sdk@1.11.0
        @anthropic-ai/bedrock-sdk@1.1.2
        @aws-sdk/client-bedrock-runtime@3.1162.0
        @anthropic-ai/claude-code@2.1.329
        claude-code-2.0@npm:@anthropic-ai/claude-code@2.0.77
        claude-code-1.0@npm:@anthropic-ai/claude-code@1.0.128
        @google/genai@3.3.0
        @google/gemini-cli@0.61.0
        @openai/codex@0.104.0
        openai@7.57.0
    )

    if [ "$(cat $where/.list 2>/dev/null)" = "${list[*]}" ]; then
        return
    fi

    command -v npm > /dev/null || packages npm

    say "installing ${list[*]} into $where"
    rm -rf $where
    mkdir -p $where

    # npm's own node may be too old for what a package runs when installed

    npm install --prefix $where --no-audit --no-fund --no-save \
        --loglevel=error "${list[@]}" < /dev/null > build/npm.log 2>&1 \
        || { tail -n 30 build/npm.log >&2; fail "npm install failed"; }

    $where/node_modules/.bin/node --version > /dev/null \
        || fail "the node package does not run"

    echo "${list[*]}" > $where/.list
}


case $level in

    run)
        packages "${run[@]}"
        ;;

    test|matrix)
        packages "${run[@]}" "${test[@]}"
        clang_runtime
        test_nginx
        checker
        ;;

    clients)
        if ! (clients); then
            [ -z "${CI:-}" ] || exit 1
            say "tests with real clients will be skipped"
        fi
        ;;

    *)
        fail "run, test, matrix or clients?"
        ;;
esac
