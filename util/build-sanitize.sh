#!/bin/bash

# Builds build/asan/nginx: nginx 1.22 as Debian patches it, with the module
# linked in, under AddressSanitizer and UndefinedBehaviorSanitizer.
#
# clang, because its two sanitizers share one runtime: gcc's second one does
# not write to log_path, and what it writes to stderr ends in an error.log
# that a test removes.
#
# NGX_DEBUG_PALLOC makes every pool allocation a malloc(), so that overruns
# inside a pool are seen.  nginx itself breaks alignment (http/2) and passes
# NULL with a zero length, or adds zero to it (http/2); these checks are off.

set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
tree=build/asan/tree
flags="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined"
flags="$flags -fno-sanitize=alignment,nonnull-attribute,pointer-overflow"

mkdir -p build/asan
exec 8> build/asan/lock
flock 8

util/suite.sh source bookworm build/src-bookworm nginx

{ echo "$root"; cat build/src-bookworm/.version util/lsan.c "$0"; } \
    > build/asan/base.new
{ cat build/asan/base.new config; ls src/*/*.[ch]; } > build/asan/inputs.new

if ! cmp -s build/asan/base.new build/asan/base; then
    rm -rf $tree build/asan/inputs
    cp -r build/src-bookworm/nginx $tree
    clang -O1 -g -Wall -c -o build/asan/lsan.o util/lsan.c
    mv build/asan/base.new build/asan/base
fi

if ! cmp -s build/asan/inputs.new build/asan/inputs; then
    echo "configuring $tree"
    cd $tree

    # nginx's own objects depend on these; configure writes them anew

    for h in objs/ngx_auto_*.h; do
        [ ! -f "$h" ] || cp -p "$h" "$h.old"
    done

    if ! ./configure --with-cc=clang \
        --prefix="$root/build/asan/prefix" \
        --with-cc-opt="$flags -DNGX_DEBUG_PALLOC=1 -DNGX_DEBUG_MALLOC=1" \
        --with-ld-opt="-fsanitize=address,undefined $root/build/asan/lsan.o" \
        --with-debug --with-threads \
        --with-http_ssl_module --with-http_v2_module \
        --with-http_stub_status_module --with-http_realip_module \
        --with-http_auth_request_module \
        --add-module="$root" > configure.log 2>&1
    then
        tail -n 20 configure.log >&2
        exit 1
    fi

    for h in objs/ngx_auto_*.h; do
        ! cmp -s "$h" "$h.old" || mv "$h.old" "$h"
    done

    cd "$root"
    mkdir -p build/asan/prefix/logs
    mv build/asan/inputs.new build/asan/inputs
fi

if ! make -j2 -C $tree -f objs/Makefile binary > build/asan/make.log 2>&1; then
    cat build/asan/make.log >&2
    exit 1
fi

if ! cmp -s $tree/objs/nginx build/asan/nginx; then
    cp $tree/objs/nginx build/asan/nginx.new
    mv build/asan/nginx.new build/asan/nginx
    echo "build/asan/nginx"
fi
