#!/bin/bash

# Takes packages of a Debian suite, maybe another than this machine's, from
# the mirror that this machine's apt uses.  Nothing of the system's apt is
# changed, nothing is installed: packages are unpacked into a directory.
#
#   util/suite.sh deb SUITE DIR PACKAGE...      unpacked over each other
#   util/suite.sh source SUITE DIR PACKAGE      DIR/PACKAGE, patches applied
#
# DIR/.version tells what is there; if it is there, nothing is done.

set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD

what=$1
suite=$2
dir=$3
shift 3

keyring=/usr/share/keyrings/debian-archive-keyring.gpg
etc=${CR_APT_ETC:-/etc/apt}
state=$root/build/apt-$suite

# signatures are checked; age is not: a mirror frozen at a date will do

options=(
    -qq
    -o Dir::Etc::sourcelist="$state/sources.list"
    -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State="$state/state"
    -o Dir::Cache="$state/cache"
    -o Dir::State::status="$state/status"
    -o Acquire::Languages=none
    -o Acquire::Retries=3
    -o Acquire::Check-Valid-Until=false
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
    -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false
    -o APT::Sandbox::User=root
    -o APT::Get::AllowUnauthenticated=false
    -o Debug::NoLocking=1
)


fail() {
    echo "suite.sh: $*" >&2
    exit 1
}


# the addresses in the system's apt sources, of both formats

addresses() {
    { cat "$etc/sources.list" "$etc"/sources.list.d/*.list 2>/dev/null || true; } \
        | sed -n 's/^ *deb\(-src\)\? \+\(\[[^]]*\] *\)\?\([^ ]\+\).*/\3/p'

    { cat "$etc"/sources.list.d/*.sources 2>/dev/null || true; } | awk '
        /^[^ \t#]/ { uris = tolower($1) == "uris:"; $1 = uris ? "" : $1 }
        /^#/ { next }
        uris { for (i = 1; i <= NF; i++) if ($i ~ /:/) print $i }'
}


# A mirror frozen at a date has no newer suites; the same host's plain path
# may have them.

mirrors() {
    local base=$1

    addresses | sed -n '/^cdrom:/d; /^[a-z+]*:/s,/*$,,p' \
        | awk -v base="$base" '
            {
                tail = $0
                sub(/.*\//, "", tail)
                sub(/\.list$/, "", tail)

                if (tail == base) {
                    print 1, $0
                }

                if (match($0, "/archive/" base "/[0-9]")) {
                    plain = substr($0, 1, RSTART - 1) "/" base
                    print 2, plain
                    print 3, $0
                }

                if (base == "debian" && tail ~ /^debian-security$/) {
                    sub(/debian-security$/, "debian")
                    print 4, $0
                }
            }' | sort -s -n -k1,1 | cut -d' ' -f2- | awk '!seen[$0]++'
}


signed() {
    [ ! -f $keyring ] || echo "[signed-by=$keyring]"
}


update() {
    local mirror security

    if [ -n "$(find "$state/fresh" -mmin -720 2>/dev/null)" ]; then
        return
    fi

    mkdir -p "$state/state/lists/partial" "$state/cache/archives/partial"
    : > "$state/status"

    security=$(mirrors debian-security | head -n 1)

    for mirror in $(mirrors debian); do
        {
            echo "deb $(signed) $mirror $suite main"
            echo "deb-src $(signed) $mirror $suite main"

            case $suite in
                sid|experimental|forky)
                    ;;
                *)
                    [ -z "$security" ] || echo \
                        "deb-src $(signed) $security $suite-security main"
                    ;;
            esac
        } > "$state/sources.list"

        if apt-get "${options[@]}" update > "$state/update.log" 2>&1; then
            touch "$state/fresh"
            return
        fi
    done

    cat "$state/update.log" >&2 2>/dev/null || true
    fail "no mirror in $etc has the suite $suite"
}


deb() {
    local wanted="$suite $*" work

    if [ "$(head -n 1 "$dir/.version" 2>/dev/null)" = "$wanted" ]; then
        return
    fi

    update
    echo "unpacking $* of $suite into $dir"

    work=$(mktemp -d "$state/deb.XXXXXX")
    (cd "$work" && apt-get "${options[@]}" download "$@" > log 2>&1) || {
        cat "$work/log" >&2
        rm -rf "$work"
        fail "cannot download $* of $suite"
    }

    rm -rf "$dir"
    mkdir -p "$dir"

    for file in "$work"/*.deb; do
        dpkg -x "$file" "$dir"
    done

    { echo "$wanted"; (cd "$work" && ls ./*.deb); } > "$dir/.version"
    rm -rf "$work"
}


# The newest version first; a mirror may lack the files of one that its index
# names.

source_of() {
    local package=$1 version dsc work

    if [ -f "$dir/.version" ]; then
        return
    fi

    update
    work=$(mktemp -d "$state/source.XXXXXX")

    for version in $(apt-cache "${options[@]}" showsrc "$package" \
                     | sed -n 's/^Version: //p' | sort -Vru)
    do
        if (cd "$work" && apt-get "${options[@]}" source --download-only \
            "$package=$version" > log 2>&1)
        then
            echo "unpacking the source of $package $version into $dir"

            dsc=$(ls "$work"/*.dsc)
            rm -rf "$dir"
            mkdir -p "$dir"
            dpkg-source --no-check -x "$dsc" "$dir/$package" \
                > "$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }

            echo "$suite $package $version" > "$dir/.version"
            rm -rf "$work"
            return
        fi

        rm -f "$work"/*.dsc
    done

    tail -n 3 "$work/log" 2>/dev/null >&2 || true
    rm -rf "$work"
    fail "the mirror does not have the source of $package in $suite"
}


command -v apt-get > /dev/null || fail "needs Debian's apt-get"

(
    mkdir -p build
    exec 9> "build/.apt-$suite.lock"
    flock 9

    case $what in
        deb)    deb "$@" ;;
        source) source_of "$@" ;;
        *)      fail "deb or source?" ;;
    esac
)
