#!/bin/bash

# Starts an nginx in DIR, whose nginx.conf listens on TEST_PORT, and asks it
# for /health, for a call that its account cannot make, and at its control
# socket for an account that is made, found again after a reload, and removed.
#
#   util/slot.pl util/smoke.sh DIR NGINX...

set -euo pipefail

dir=$1
shift

sed -i "s/TEST_PORT/$TEST_NGINX_PORT/" "$dir/nginx.conf"

"$@" -e "$dir/error.log" -p "$dir/" -c "$dir/nginx.conf" &
nginx=$!
trap 'kill -KILL $nginx 2>/dev/null || true' EXIT

ask() {
    curl -sS -o "$dir/answer" -w '%{http_code}' --max-time 10 \
        "http://127.0.0.1:$TEST_NGINX_PORT$1" "${@:2}" 2>/dev/null || true
}

for _ in {1..50}; do
    status=$(ask /health)
    [ "$status" = 000 ] && kill -0 $nginx 2>/dev/null || break
    sleep 0.1
done

echo "/health: $status $(cat "$dir/answer" 2>/dev/null)"
[ "$status" = 200 ]

status=$(ask /v1/messages -H 'content-type: application/json' \
         -d '{"model":"claude-sonnet-4-5","max_tokens":1,"messages":[]}')

echo "/v1/messages: $status $(cat "$dir/answer")"
case $status in
    5??)    ;;
    *)      exit 1 ;;
esac

control() {
    curl -sS -o "$dir/answer" -w '%{http_code}' --max-time 10 \
        --unix-socket "$dir/control.sock" "http://control$1" "${@:2}" \
        2>/dev/null || true
}

status=$(control /v1/accounts -H 'content-type: application/json' -d '{
    "name":"made","platform":"claude-oauth","base_url":"http://127.0.0.1:9",
    "access_token":"sk-ant-oat01-made"}')

echo "POST /v1/accounts: $status $(cat "$dir/answer")"
[ "$status" = 201 ]

kill -HUP $nginx
sleep 1

status=$(control /v1/accounts/made)
echo "GET /v1/accounts/made: $status $(cat "$dir/answer")"
[ "$status" = 200 ]
grep -q '"state":"ok"' "$dir/answer"

status=$(control /v1/accounts/made -X DELETE)
echo "DELETE /v1/accounts/made: $status"
[ "$status" = 204 ]

kill -QUIT $nginx
wait $nginx
! grep -E '\[(alert|emerg)\]' "$dir/error.log"
