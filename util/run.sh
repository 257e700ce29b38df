#!/bin/bash

# make run: conf/quickstart.conf in the foreground, from build/run.
#
#   ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY
#                          relay to these with their keys
#   CLAUDE_RELAY_ACCOUNTS  or use the claude_relay_account blocks of this file
#                          (with neither, the sandbox answers)
#   CLAUDE_RELAY_KEY       what clients must show; made up if unset
#   CLAUDE_RELAY_LISTEN    127.0.0.1:8080

set -euo pipefail

cd "$(dirname "$0")/.."
root=$PWD
run=$root/build/run
listen=${CLAUDE_RELAY_LISTEN:-127.0.0.1:8080}

export PATH=$PATH:/usr/sbin:/usr/local/sbin

util/install.sh run
make all

mkdir -p "$run/temp"


# the key that clients show

if [ -z "${CLAUDE_RELAY_KEY:-}" ]; then
    if [ ! -s "$run/key" ]; then
        (umask 077
         printf 'cr_%s\n' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')" \
             > "$run/key")
    fi

    CLAUDE_RELAY_KEY=$(cat "$run/key")
    shown="\$(cat build/run/key)"
else
    shown="\$CLAUDE_RELAY_KEY"
fi

export CLAUDE_RELAY_KEY


# whatever happens, leave nothing behind

sandbox=
nginx=

stop() {
    trap - EXIT
    [ -z "$nginx" ] || kill -TERM "$nginx" 2>/dev/null || true
    [ -z "$nginx" ] || wait "$nginx" 2>/dev/null || true
    [ -z "$sandbox" ] || kill -TERM "$sandbox" 2>/dev/null || true
    [ -z "$sandbox" ] || wait "$sandbox" 2>/dev/null || true
}

trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP


# the accounts

if [ -n "${CLAUDE_RELAY_ACCOUNTS:-}" ]; then
    accounts=$(realpath "$CLAUDE_RELAY_ACCOUNTS")
    upstream="the accounts of $accounts"
    printf 'include  %s;\n' "$accounts" > "$run/accounts.conf"

elif [ -n "${ANTHROPIC_API_KEY:-}${OPENAI_API_KEY:-}${GEMINI_API_KEY:-}" ]
then
    upstream=
    : > "$run/accounts.conf"

    for platform in anthropic openai gemini; do
        name=${platform^^}_API_KEY
        [ -n "${!name:-}" ] || continue

        upstream="${upstream:+$upstream, }$platform, with $name"

        cat >> "$run/accounts.conf" <<END
claude_relay_account $platform {
    platform  $platform;
    api_key   env:$name;
}
END
    done

else
    build/claude-relay-sandbox -l 127.0.0.1:0 > "$run/sandbox.log" 2>&1 &
    sandbox=$!

    for _ in {1..50}; do
        url=$(sed -n 's/^listening on \(http:.*\)/\1/p' "$run/sandbox.log")
        [ -z "$url" ] && kill -0 $sandbox 2>/dev/null || break
        sleep 0.1
    done

    if [ -z "$url" ]; then
        cat "$run/sandbox.log" >&2
        echo "run.sh: the sandbox did not start" >&2
        exit 1
    fi

    upstream="the sandbox at $url (set ANTHROPIC_API_KEY for the real thing)"

    cat > "$run/accounts.conf" <<END
claude_relay_account sandbox {
    platform  anthropic;
    api_key   sandbox;
    base_url  $url;
}

claude_relay_account sandbox-openai {
    platform  openai;
    api_key   sandbox;
    base_url  $url;
}

claude_relay_account sandbox-gemini {
    platform  gemini;
    api_key   sandbox;
    base_url  $url;
}

# accounts that are added while it runs may be at the sandbox, too

claude_relay_allow_private_upstreams  on;

# it is an authorization server, too: a login can be tried without an account

claude_relay_account trial {
    platform  claude-oauth;
    base_url  $url;
    priority  50;
}

claude_relay_oauth claude-oauth authorize_url=$url/oauth/authorize
                                token_url=$url/v1/oauth/token;
END

    login="
  bin/claude-relay --socket build/run/control.sock login claude --name trial
"
fi


sed -e "s,^load_module .*,load_module $root/build/ngx_http_claude_relay_module.so;," \
    -e "s,listen  127.0.0.1:8080;,listen  $listen;," \
    conf/quickstart.conf > "$run/nginx.conf"

# Under sudo the workers become the owner of this directory, who can enter it;
# any other user's workers are that user's anyway.

globals="daemon off;"
[ "$(id -u)" != 0 ] || globals="$globals user $(stat -c '%U %G' .);"

nginx -e stderr -p "$run/" -c "$run/nginx.conf" -g "$globals" &
nginx=$!


# listening?

address=${listen/#\*:/127.0.0.1:}
address=${address/#0.0.0.0:/127.0.0.1:}

for _ in {1..50}; do
    kill -0 $nginx 2>/dev/null || break
    curl -s -o /dev/null "http://$address/health" && break
    sleep 0.1
done

if kill -0 $nginx 2>/dev/null; then
    cat <<END

claude relay on http://$address, upstream: $upstream

  curl http://$address/v1/messages \\
      -H "x-api-key: $shown" \\
      -H "content-type: application/json" -H "anthropic-version: 2023-06-01" \\
      -d '{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}'

  ANTHROPIC_BASE_URL=http://$address ANTHROPIC_AUTH_TOKEN="$shown" claude
  OPENAI_BASE_URL=http://$address/v1 OPENAI_API_KEY="$shown"  for OpenAI's SDK
  GOOGLE_GEMINI_BASE_URL=http://$address GEMINI_API_KEY="$shown" gemini

  bin/claude-relay --socket build/run/control.sock status
${login:-}
Ctrl-C stops it.

END
fi

rc=0
wait $nginx || rc=$?
nginx=
exit $rc
