#!/bin/bash

# Builds the module for each nginx that it supports, as a dynamic module for
# Debian's package of it and linked into one built from source; any warning
# is a failure.  Then starts what it has built and asks it for its health.
#
#   util/matrix.sh [RESULTS]        RESULTS gets a line "passed failed skipped"
#
# Nothing is installed: packages of other suites are unpacked below build/,
# and their nginx runs with their own libc.

set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
results=${1:-/dev/null}
passed=0
failed=0
skipped=0

mkdir -p build/matrix


ok() {
    echo "ok - $1"
    passed=$((passed + 1))
}


not_ok() {
    echo "not ok - $1"
    [ -z "${2:-}" ] || grep -E 'warning|error|Error' -A 5 "$2" | head -n 40 || true
    failed=$((failed + 1))
}


skip() {
    echo "ok - $1 # SKIP $2"
    skipped=$((skipped + 1))
}


# GET /health of an nginx with the module

smoke() {
    local name=$1 module=$2 dir=$root/build/matrix/smoke
    shift 2

    rm -rf "$dir"
    mkdir -p "$dir/logs" "$dir/temp"

    cat > "$dir/nginx.conf" <<END
${module:+load_module $module;}
daemon off;
worker_processes 1;
$([ "$(id -u)" != 0 ] || echo "user root;")
pid nginx.pid;
error_log $dir/error.log info;
events { }
http {
    access_log off;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    claude_relay_zone relay:8m;
    claude_relay_store store/relay.db secret=secret.key;
    claude_relay_redis 127.0.0.1:9 node=smoke;
    claude_relay_allow_private_upstreams on;
    claude_relay_control unix:control.sock;
    claude_relay_account login {
        platform claude-oauth;
        base_url http://127.0.0.1:9;
        pool login;
    }
    claude_relay_account one {
        platform anthropic;
        api_key sk-ant-test;
        base_url http://127.0.0.1:9;
    }
    server {
        listen 127.0.0.1:TEST_PORT;
        location / { claude_relay; claude_relay_keys off; }
        location = /health { claude_relay_health; }
    }
}
END

    if util/slot.pl util/smoke.sh "$dir" "$@" > "$dir/log" 2>&1; then
        ok "$name: runs"
    else
        not_ok "$name: runs"
        cat "$dir/log"
        tail -n 5 "$dir/error.log" 2>/dev/null || true
    fi
}


# NAME INPUTS...: does the tree have to be configured anew?

stale() {
    local name=$1
    shift

    { echo "$root"; cat config util/matrix.sh util/configure.sh "$@"
      ls src/*/*.[ch]; } > "build/matrix/$name.inputs.new"
    ! cmp -s "build/matrix/$name.inputs.new" "build/matrix/$name.inputs" \
        || [ ! -f "build/matrix/$name/objs/Makefile" ]
}


fresh() {
    mv "build/matrix/$1.inputs.new" "build/matrix/$1.inputs"
}


compiled() {
    local name=$1 target=$2 log=build/matrix/$1.log

    if ! make -j2 -C "build/matrix/$name" -f objs/Makefile "$target" \
        > "$log" 2>&1
    then
        not_ok "$name: builds" "$log"
        return 1
    fi

    if grep -q 'warning:' "$log"; then
        # next time, warn again
        rm -f "build/matrix/$name.inputs"
        not_ok "$name: builds without warnings" "$log"
        return 1
    fi

    ok "$name: builds without warnings"
}


version_of() {
    sed -n 's/^#define NGINX_VERSION *"\(.*\)"/\1/p' "$1/src/core/nginx.h"
}


dynamic() {
    local suite=$1 from=build/root-$1 dev name libs loader hiredis=
    local -x C_INCLUDE_PATH= HIREDIS_LIB=

    # names of the same library in older and newer suites

    case $suite in
        bookworm)   libs="libssl3 libpcre2-8-0 libzstd1" ;;
        *)          libs="libssl3t64 libpcre2-8-0 libzstd1" ;;
    esac

    if ! util/suite.sh deb "$suite" "$from" nginx nginx-dev libc6 libcrypt1 \
        zlib1g $libs
    then
        unavailable "dynamic, nginx of $suite"
        return 0
    fi

    # the newer hiredis, where a suite has it: 1.2 in place of 0.14

    if [ "$suite" != bookworm ]; then
        hiredis=build/hiredis-$suite

        if ! util/suite.sh deb "$suite" $hiredis libhiredis-dev \
            libhiredis1.1.0
        then
            unavailable "dynamic, hiredis of $suite"
            return 0
        fi

        C_INCLUDE_PATH=$root/$hiredis/usr/include
        HIREDIS_LIB=$(dirname "$(find "$root/$hiredis" -name libhiredis.so)")
    fi

    dev=$from/usr/share/nginx/src
    name=dynamic-$(version_of "$dev")

    if stale "$name" "$from/.version"; then
        if ! util/configure.sh "$dev" "build/matrix/$name"; then
            not_ok "$name: configures"
            return 0
        fi
        fresh "$name"
    fi

    compiled "$name" modules || return 0

    loader=$(find "$root/$from" -name 'ld-linux*.so.*' | head -n 1)
    smoke "$name" \
        "$root/build/matrix/$name/objs/ngx_http_claude_relay_module.so" \
        "$loader" --library-path \
        "$(find "$root/$from" ${hiredis:+"$root/$hiredis"} \
           -name 'lib*.so.*' -printf '%h\n' | sort -u | paste -sd:)" \
        "$root/$from/usr/sbin/nginx"
}


# What a mirror does not have cannot be tested; in CI that is still not a
# failure of the module, but it is said and counted.

unavailable() {
    skip "$1" "not on the mirror"
}


static() {
    local source=$1 version name

    version=$(version_of "$source")
    name=static-$version

    if stale "$name" "$source/src/core/nginx.h"; then
        rm -rf "build/matrix/$name"
        cp -r "$source" "build/matrix/$name"

        # upstream's repository has it elsewhere than its tarballs

        [ -x "build/matrix/$name/configure" ] \
            || ln -s auto/configure "build/matrix/$name/configure"

        # -O1: warnings that need data flow, and quicker than -O2

        if ! (cd "build/matrix/$name" && ./configure \
            --prefix="$root/build/matrix/smoke" --with-cc-opt=-O1 \
            --with-http_ssl_module --with-http_v2_module --with-threads \
            --with-debug \
            --without-http_ssi_module --without-http_userid_module \
            --without-http_autoindex_module --without-http_geo_module \
            --without-http_split_clients_module \
            --without-http_referer_module --without-http_memcached_module \
            --without-http_empty_gif_module --without-http_browser_module \
            --without-http_grpc_module --without-http_mirror_module \
            --add-module="$root" > configure.log 2>&1)
        then
            not_ok "$name: configures" "build/matrix/$name/configure.log"
            return 0
        fi
        fresh "$name"
    fi

    compiled "$name" binary || return 0
    smoke "$name" "" "$root/build/matrix/$name/objs/nginx"
}


# The newest stable that the crate "nginx-src" has, where no suite's source
# is to be had.

crate() {
    local dir=build/crate found

    command -v cargo > /dev/null || return 1

    if [ ! -f $dir/.done ]; then
        mkdir -p $dir/src
        : > $dir/src/lib.rs
        printf '[package]\nname = "sources"\nversion = "0.0.0"\n%s\n%s\n' \
            '[dependencies]' 'nginx-src = "1"' > $dir/Cargo.toml
        CARGO_HOME=$root/$dir/home cargo fetch -q \
            --manifest-path $dir/Cargo.toml > $dir/log 2>&1 || return 1
        touch $dir/.done
    fi

    found=$(find "$root/$dir/home/registry/src" -maxdepth 3 -type d \
            -path '*/nginx-src-*/nginx' | head -n 1)
    [ -f "$found/src/core/nginx.h" ] && echo "$found"
}


for suite in bookworm trixie forky; do
    dynamic $suite
done

for suite in bookworm trixie; do
    if util/suite.sh source $suite build/src-$suite nginx; then
        static build/src-$suite/nginx
    else
        unavailable "static, nginx of $suite"
    fi
done

if util/suite.sh source forky build/src-forky nginx 2>/dev/null; then
    static build/src-forky/nginx

else
    unavailable "static, nginx of forky"

    if source=$(crate); then
        static "$source"
    fi
fi

echo "$passed $failed $skipped" >> "$results"
[ $failed -eq 0 ]
