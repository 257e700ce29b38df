#!/bin/bash

# Configures nginx in a tree of its own for a dynamic build of the module.
#
#   util/configure.sh NGINX_DEV TREE [CONFIGURE_OPTION...]
#
# NGINX_DEV is what Debian's nginx-dev installs as /usr/share/nginx/src:
# headers, configure and the flags of the packaged binary.  Only this makes
# a module that fits it: the package carries patches that change structures
# without changing the version or the signature that nginx compares.

set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
dev=$1
tree=$2
shift 2

if [ ! -f "$dev/conf_flags" ]; then
    echo "configure.sh: no $dev/conf_flags: apt-get install nginx-dev" >&2
    exit 1
fi

rm -rf "$tree"
mkdir -p "$(dirname "$tree")"
cp -r "$dev/." "$tree"
cd "$tree"

. ./conf_flags

# the package's own optimisation and hardening, where conf_flags has none

cc="-g -O2 -fstack-protector-strong -Wformat -Werror=format-security"
cc="$cc -fPIC -Wdate-time -D_FORTIFY_SOURCE=2"

case " ${NGX_CONF_FLAGS[*]} " in
    *" --with-cc-opt="*)
        ;;
    *)
        NGX_CONF_FLAGS+=(
            --with-cc-opt="$cc"
            --with-ld-opt="-Wl,-z,relro -Wl,-z,now -fPIC"
        )
        ;;
esac

if ! ./configure "${NGX_CONF_FLAGS[@]}" --add-dynamic-module="$root" "$@" \
    > configure.log 2>&1
then
    tail -n 20 configure.log >&2
    exit 1
fi
