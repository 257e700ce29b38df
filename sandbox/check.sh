#!/bin/sh

# Copyright (C) The ngx_http_claude_relay_module authors

# Exercises the sandbox upstream with curl and prints TAP.
# usage: sandbox/check.sh [path to claude-relay-sandbox] [port]

BIN=${1:-build/claude-relay-sandbox}
PORT=${2:-0}
DIR=$(mktemp -d) || exit 1
N=0
FAILED=0

openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
    -keyout "$DIR/key.pem" -out "$DIR/cert.pem" 2>/dev/null

"$BIN" -l "127.0.0.1:$PORT" -u "$DIR/sock" >"$DIR/out" 2>"$DIR/err" &
PID=$!
"$BIN" -l 127.0.0.1:0 -t "$DIR/cert.pem" -k "$DIR/key.pem" \
    >"$DIR/out.tls" 2>"$DIR/err.tls" &
PID_TLS=$!

trap 'kill $PID $PID_TLS 2>/dev/null; rm -rf "$DIR"' EXIT

for i in 1 2 3 4 5 6 7 8 9 10; do
    grep -q unix "$DIR/out" && grep -q listening "$DIR/out.tls" && break
    sleep 0.2
done

U=$(sed -n 's/^listening on \(http:.*\)/\1/p' "$DIR/out")
S=$(sed -n 's/^listening on \(https:.*\)/\1/p' "$DIR/out.tls")
K="x-api-key: key-one"
MODEL='"model":"claude-sonnet-4-6"'
B='{"model":"claude-sonnet-4-6","max_tokens":9,"messages":[{"role":"user",
"content":"hi"}]}'
BS='{"model":"claude-sonnet-4-6","messages":[],"stream":true}'


# is NAME REGEX TEXT

is() {
    N=$((N + 1))

    if printf '%s\n' "$3" | tr -d '\r' | grep -Eq -- "$2"; then
        echo "ok $N - $1"
    else
        echo "not ok $N - $1"
        printf '%s\n' "$3" | head -n 12 | cut -c 1-300 | sed 's/^/#   /'
        FAILED=$((FAILED + 1))
    fi
}


# isnt NAME REGEX TEXT

isnt() {
    if printf '%s\n' "$3" | tr -d '\r' | grep -Eq -- "$2"; then
        is "$1" '^never matches$' "$3"
    else
        is "$1" '' "$3"
    fi
}


# ask COMMANDS BODY [curl options]: the answer with headers, curl's status

ask() {
    cmds=$1
    body=$2
    shift 2
    curl -sS -i -N -m 3 -H "$K" ${cmds:+-H "x-sandbox: $cmds"} -d "$body" \
        "$@" "$U/v1/messages" 2>&1
    echo "rc=$?"
}


count() {
    printf '%s\n' "$2" | grep -c -- "$1"
}


last() {
    curl -sS "$U/sandbox/last?n=${1:-1}"
}


echo "# messages"

r=$(ask '' "$B")
is 'json' '^HTTP/1.1 200' "$r"
is 'json is sized' '^content-length:' "$r"
is 'json echoes the model' "$MODEL" "$r"
is 'json usage' '"cache_creation":\{"ephemeral_5m_input_tokens":100' "$r"
is 'request id' '^request-id: req_' "$r"
is 'organization id' '^anthropic-organization-id: ' "$r"
is 'key limits' '^anthropic-ratelimit-requests-remaining: 3999' "$r"
isnt 'no unified limits' 'unified' "$r"

r=$(ask '' "$BS")
is 'stream' '^content-type: text/event-stream' "$r"
is 'stream is chunked' '^transfer-encoding: chunked' "$r"
is 'stream has five deltas' '^5$' "$(count '^event: content_block_delta' "$r")"
is 'stream has one ping' '^1$' "$(count '^event: ping' "$r")"
is 'stream ends' '^data: \{"type":"message_stop"\}$' "$r"
is 'stream usage' '"usage":\{.*"output_tokens":5\}\}$' "$r"

r=$(ask '' "$BS" -X POST --request-target '/anthropic/v1/messages?beta=true')
is 'prefix and query' '^event: message_stop' "$r"
is 'bad json' 'not valid JSON' "$(ask '' 'nonsense')"
is 'no model' 'model: Field required' "$(ask '' '{"messages":[]}')"
is 'count_tokens' '^\{"input_tokens":[0-9]+\}' \
    "$(curl -sS -H "$K" -d "$B" "$U/v1/messages/count_tokens")"

r=$(curl -sS -H "$K" -d "$B" -H 'x-sandbox: count404' -w ' %{http_code}' \
    "$U/v1/messages/count_tokens")
is 'count404' 'not_found_error.* 404$' "$r"

is 'hello' '^200$' "$(curl -sS -I -o /dev/null -w '%{http_code}' \
    "$U/api/hello")"
is 'unknown path' '"not_found_error".*404$' \
    "$(curl -sS -w '%{http_code}' "$U/nowhere")"
is 'models' '"type":"model".*"has_more":true' \
    "$(curl -sS -H "$K" "$U/v1/models?limit=2")"
is 'one model' '^\{"type":"model","id":"claude-opus-5"' \
    "$(curl -sS -H "$K" "$U/v1/models/claude-opus-5")"
is 'no such model' '"not_found_error","message":"model: nope"' \
    "$(curl -sS -H "$K" "$U/v1/models/nope")"


echo "# tools"

T='{"model":"m","tools":[{"name":"Read"}],"stream":true,"messages":[{"role":
"user","content":[{"type":"text","text":"do #tool Read {\"file_path\":
\"/tmp/x and a rather long name\"} now"}]},{"role":"system","content":"x"}]}'
r=$(ask '' "$T")
is 'tool_use' '"content_block":\{"type":"tool_use".*"name":"Read"' "$r"
is 'tool input' '"partial_json":"\{\\"file_path\\":' "$r"
is 'tool stop reason' '"stop_reason":"tool_use"' "$r"
r=$(ask '' "$(printf %s "$T" | sed 's/"stream":true/"stream":false/')")
is 'tool_use in json' '"input":\{"file_path":' "$r"

T='{"model":"m","tools":[{"name":"Read"}],"messages":[{"role":"user",
"content":[{"type":"tool_result","content":[{"type":"text","text":
"forty \"two"}]}]}]}'
is 'tool result' 'The tool said: forty .{1,2}"two' "$(ask '' "$T")"


echo "# credentials"

q() {
    curl -sS -w ' %{http_code}' -d "$B" "$@" "$U/v1/messages"
}

OB='anthropic-beta: x,oauth-2025-04-20'
is 'none' 'authentication_error.* 401$' "$(q)"
is 'oauth without beta' 'currently not supported\..* 401$' \
    "$(q -H 'Authorization: Bearer sk-ant-oat01-a')"
is 'oauth' ' 200$' "$(q -H 'Authorization: Bearer sk-ant-oat01-a' -H "$OB")"
is 'oauth limits' 'unified-5h-utilization: 0.11' \
    "$(q -i -H 'Authorization: Bearer sk-ant-oat01-a' -H "$OB")"
is 'oauth in x-api-key' 'invalid x-api-key.* 401$' \
    "$(q -H 'x-api-key: sk-ant-oat01-a')"
is 'origin' 'CORS requests.* 401$' "$(q -H "$K" -H 'Origin: http://a')"
is 'both' ' 200$' "$(q -H "$K" -H 'Authorization: Bearer b')"
is 'both are reported' '"credential":"key-one","auth":"both"' "$(last)"
is 'by key' 'overloaded_error.* 529$' \
    "$(q -H 'x-api-key: sk-ant-sandbox-as=A--status=529')"
is 'by body' 'permission_error.* 403$' \
    "$(q -H "$K" -d '{"a":"sandbox(status=403)"}')"

curl -sS -X POST "$U/sandbox/behave?credential=kb&do=status%3D500,times%3D2" \
    >/dev/null
is 'behave' ' 500$' "$(q -H 'x-api-key: kb')"
is 'behave, another key' ' 200$' "$(q -H 'x-api-key: kc')"
is 'behave twice' ' 500$' "$(q -H 'x-api-key: kb')"
is 'behave no more' ' 200$' "$(q -H 'x-api-key: kb')"
curl -sS -X POST "$U/sandbox/behave?credential=kb&do=status%3D504" >/dev/null
is 'behave changed' ' 504$' "$(q -H 'x-api-key: kb')"
curl -sS -X POST "$U/sandbox/behave?credential=kb&do=" >/dev/null
is 'behave cleared' ' 200$' "$(q -H 'x-api-key: kb')"


echo "# errors"

for s in 400:invalid_request_error 401:authentication_error \
         402:billing_error 403:permission_error 404:not_found_error \
         413:request_too_large 429:rate_limit_error 500:api_error \
         502:api_error 503:api_error 504:timeout_error 529:overloaded_error
do
    code=${s%%:*}
    r=$(ask "status=$code" "$BS")
    is "status=$code" "^HTTP/1.1 $code " "$r"
    is "type of $code" "\"type\":\"${s#*:}\"" "$r"
done

is 'message' '"message":"a, b"' "$(ask 'status=400,message=a%2C%20b' "$B")"
is 'code' '"details":\{"error_code":"x"\}' "$(ask 'status=429,code=x' "$B")"
r=$(ask 'status=502,html' "$B")
is 'html' '^content-type: text/html' "$r"
is 'html body' '<h1>502' "$r"
r=$(ask 'status=429,retry-after=7,should-retry=false' "$B")
is 'retry-after' '^retry-after: 7$' "$r"
is 'should-retry' '^x-should-retry: false$' "$r"
r=$(ask 'unified=7d_opus:60' "$B")
is 'unified' '^HTTP/1.1 429' "$r"
is 'unified window' 'unified-7d_opus-status: rejected' "$r"
is 'unified others' 'unified-5h-status: allowed' "$r"
is 'unified claim' 'representative-claim: seven_day_opus' "$r"
is 'unified retry' '^retry-after: 60$' "$r"
isnt 'nowindow' 'ratelimit' "$(ask 'unified=5h,nowindow' "$B")"
is 'unknown command' 'command ."nonesuch' "$(ask 'nonesuch' "$B")"
is 'bad value' 'command ."status' "$(ask 'status=x' "$B")"
is 'once' '^HTTP/1.1 500' "$(ask 'status=500,once' "$B")"
is 'once only' '^HTTP/1.1 200' "$(ask 'status=500,once' "$B")"
K='x-api-key: key-two'
is 'once for another key' '^HTTP/1.1 500' "$(ask 'status=500,once' "$B")"
is 'once,global' '^HTTP/1.1 503' "$(ask 'status=503,once,global' "$B")"
K='x-api-key: key-one'
is 'once,global only' '^HTTP/1.1 200' "$(ask 'status=503,once,global' "$B")"


echo "# streams"

is 'events' '^3$' "$(count _delta\",\"text "$(ask events=3 "$BS")")"
is 'no events' '^event: message_stop' "$(ask events=0 "$BS")"
is 'size' '"text":"The quick brown fox "' "$(ask size=20 "$BS")"
is 'json-size' '^content-length: 5000$' "$(ask json-size=5000 "$B")"
is 'split' '^event: message_stop' "$(ask split=7 "$BS")"
is 'dribble' '^event: message_stop' "$(ask dribble=9 "$BS")"
is 'coalesce' '^event: message_stop' "$(ask coalesce "$BS")"
is 'burst' '^event: message_stop' "$(ask burst "$BS")"
r=$(ask sized "$BS")
is 'sized stream' '^content-length: [0-9]+$' "$r"
is 'sized stream is whole' '^rc=0$' "$r"
r=$(ask sized,gzip,thinking "$BS" --compressed)
is 'sized and compressed stream' '^event: message_stop' "$r"
is 'sized and compressed stream is whole' '^rc=0$' "$r"
r=$(ask close "$BS")
is 'close' '^connection: close$' "$r"
isnt 'close has no length' '^(content-length|transfer-encoding)' "$r"
is 'close is whole' '^event: message_stop' "$r"
is 'chunked json' '^transfer-encoding: chunked' "$(ask chunked "$B")"
is 'close json' '"stop_reason":"end_turn"' "$(ask close "$B")"
r=$(ask gzip "$BS" --compressed)
is 'gzip' '^content-encoding: gzip' "$r"
is 'gzip stream' '^event: message_stop' "$r"
is 'gzip json' '"end_turn"' "$(ask gzip "$B" --compressed)"
is 'trailer' '^x-sandbox-trailer: yes$' "$(ask trailer "$B" --raw)"
is 'crlf' '^event: message_stop' "$(ask crlf "$BS")"
is 'nospace' '^data:\{"type":"message_stop"\}' "$(ask nospace "$BS")"
is 'comments' '^: sandbox comment' "$(ask comments "$BS")"
is 'unicode' '世界' "$(ask unicode "$BS")"
is 'long-line' '^3000$' "$(ask long-line=3000,events=1 "$BS" \
    | grep text_delta | tr -d '\n' | wc -c)"
is 'thinking' '"signature_delta"' "$(ask thinking "$BS")"
r=$(ask iterations "$BS")
is 'iterations' '"iterations":\[\{"type":"message","model":"claude-s' "$r"
is 'fallback' '"type":"fallback","from":\{"model":"claude-sonnet-4-6"' "$r"
r=$(ask tier=batch,speed=fast,geo=us,searches=2,no-breakdown "$B")
is 'tier, speed, geo' '"batch","speed":"fast","inference_geo":"us"' "$r"
is 'searches' '"server_tool_use":\{"web_search_requests":2\}' "$r"
isnt 'no-breakdown' '"cache_creation":' "$r"
is 'no-content' '"content":\[\],"stop_reason":"end' "$(ask no-content "$B")"
r=$(ask no-content "$BS")
is 'no-content, stream' '^event: message_stop' "$r"
isnt 'no-content, stream: no block' 'content_block' "$r"
isnt 'no-usage' 'usage' "$(ask no-usage "$BS")"
is 'usage-zero' '"output_tokens":0' "$(ask usage-zero "$B")"
is 'usage numbers' '"input_tokens":7,.*read_input_tokens":8,.*tokens":9,"s' \
    "$(ask input=7,cache-read=8,output=9 "$B")"
is 'model' '"model":"other"' "$(ask model=other "$BS")"
is 'stop' '"stop_reason":"refusal"' "$(ask stop=refusal "$BS")"
r=$(ask ping-first=2 "$BS")
is 'ping-first' '^3$' "$(count 'event: ping' "$r")"
is 'ping-first begins' '^event: ping' "$(printf '%s' "$r" | grep event: \
    | head -n 1)"


echo "# delays"

ms() {
    curl -sS -o /dev/null -N -m 9 -H "$K" -H "x-sandbox: $1" -d "$BS" \
        -w '%{time_starttransfer} %{time_total}\n' "$U/v1/messages"
}

is 'first' '^0\.[3-4]' "$(ms first=300)"
is 'body-delay' '^0\.0[0-9]* 0\.[3-4]' "$(ms body-delay=300)"
is 'delay' ' 0\.[5-6]' "$(ms delay=100)"


echo "# faults"

r=$(ask error-first=api_error "$BS")
is 'error-first' '^data: \{"type":"error","error":\{"type":"api_error"' "$r"
r=$(ask error-at=2 "$BS")
is 'error-at' '^2$' "$(count '^event: content_block_delta' "$r")"
is 'error-at ends' '^event: error' "$r"
isnt 'error-at has no end' 'message_stop' "$r"
is 'error-at coalesced' '^event: error' "$(ask error-at=2,coalesce "$BS")"
is 'reset-at' '^rc=56' "$(ask reset-at=2 "$BS")"
r=$(ask cut-at=2 "$BS")
is 'cut-at' '^2$' "$(count '^event: content_block_delta' "$r")"
is 'cut-at is an error' '^rc=18' "$r"
is 'cut-at json' '^rc=18' "$(ask cut-at=20 "$B")"
r=$(ask end-at=2 "$BS")
is 'end-at' '^rc=0' "$r"
isnt 'end-at has no end' 'message_stop' "$r"
is 'end-at compressed' '^rc=0' "$(ask end-at=2,gzip "$BS" --compressed)"
r=$(ask stall-at=1 "$BS" -m 1)
is 'stall-at' '^rc=28' "$r"
sleep 0.2
is 'abort is seen' '"aborted":true' "$(last)"
is 'abort is timed' '"ms":(9|1[0-9])[0-9]+\}' "$(last)"
is 'slow-header' '^rc=28' "$(ask slow-header "$B" -m 1)"
is 'garbage' '^rc=(1|56|8|52)' "$(ask garbage "$B")"
is 'header-forever' '^rc=(28|56|27)' "$(ask header-forever "$B" -m 1)"
is 'negative-length' '^rc=8' "$(ask negative-length "$B")"
is 'dup-length' '^2$' "$(count '^content-length' "$(ask dup-length "$B")")"
is 'bad-chunk' '^rc=56' "$(ask bad-chunk "$BS")"
is 'nothing' '^rc=28' "$(ask nothing "$B" -m 1)"
is 'close-now' '^rc=52' "$(ask close-now "$B")"
is 'rst-now' '^rc=56' "$(ask rst-now "$B")"
is 'early-hints' '^HTTP/1.1 103' "$(ask early-hints "$B")"
is 'continue-100' '^HTTP/1.1 100' "$(ask continue-100 "$B")"
is 'extra-header' '^X-A: b c$' "$(ask 'extra-header=X-A:%20b%20c' "$B")"
is 'set-cookie' '^x-accel-redirect: /etc/passwd' "$(ask set-cookie "$B")"

r=$(curl -sS -H "$K" -H 'x-sandbox: early-close' -d "$B" -o /dev/null \
    -w '%{http_code} ' "$U/v1/messages" --next -sS -H "$K" -d "$B" \
    -o /dev/null -w '%{http_code}' "$U/v1/messages")
is 'early-close' '^200 200$' "$r"
r=$(curl -sS -v -H "$K" -H 'x-sandbox: stale' -d "$B" -o /dev/null \
    "$U/v1/messages" --next -sS -H "$K" -d "$B" -o /dev/null \
    "$U/v1/messages" 2>&1)
is 'stale' '(reset by peer|Empty reply|died)' "$r"

head -c 3000000 /dev/zero | tr '\0' x >"$DIR/big"
r=$(curl -sS -H "$K" -H 'x-sandbox: early,status=413' -T "$DIR/big" -X POST \
    -H 'Expect:' -w '%{http_code}' "$U/v1/messages")
is 'early' '413$' "$r"


echo "# request bodies"

printf '{"model":"m","system":"' >"$DIR/json"
cat "$DIR/big" >>"$DIR/json"
printf '","stream":true}' >>"$DIR/json"
SUM=$(sha256sum "$DIR/json" | cut -d ' ' -f 1)
r=$(curl -sS -H "$K" --data-binary "@$DIR/json" "$U/v1/messages")
is 'long body' '^event: message_stop' "$r"
is 'long body is hashed' "\"body_length\":3000039,\"body_sha256\":\"$SUM\"" \
    "$(last)"
is 'expect was seen' '"expect":true' "$(last)"
r=$(curl -sS -H "$K" --data-binary "@$DIR/json" \
    -H 'Transfer-Encoding: chunked' "$U/v1/messages")
is 'chunked body' '^event: message_stop' "$r"
is 'chunked body is hashed' "\"body_length\":3000039,\"body_sha256\":\"$SUM" \
    "$(last)"
SUM=$(printf '%s' "$B" | sha256sum | cut -d ' ' -f 1)
ask '' "$B" >/dev/null
is 'short body is hashed' "\"body_sha256\":\"$SUM\"" "$(last)"
is 'raw headers' '"headers":\["Host: 127' "$(last)"
is 'raw target' '"target":"/v1/messages\?a=%41"' \
    "$(curl -sS -o /dev/null -H "$K" -d "$B" "$U/v1/messages?a=%41"; last)"
is 'too long' 'request_too_large' \
    "$(curl -sS -H "$K" -d "$B" -H 'Content-Length: 700000000' -m 3 \
    "$U/v1/messages")"
r=$(ask '' "$B" -H 'Transfer-Encoding: chunked' -H 'Content-Length: 3')
is 'two lengths' '^HTTP/1.1 400' "$r"


echo "# batches and files"

one() {
    curl -sS -H 'x-api-key: key-one' "$@"
}

two() {
    curl -sS -H 'x-api-key: key-two' "$@"
}

V=$U/v1/messages/batches
r=$(one -d '{"requests":[{"custom_id":"a","params":{}},{"custom_id":"b"}]}' $V)
is 'batch' '"processing_status":"in_progress".*"processing":2' "$r"
ID=$(printf '%s' "$r" | sed 's/^{"id":"\([^"]*\)".*/\1/')
r=$(one "$V/$ID")
is 'batch ended' '"processing_status":"ended"' "$r"
is 'results_url' "\"https://api.anthropic.com/v1/messages/batches/$ID/res" "$r"
r=$(one "$V/$ID/results")
is 'results' '^2$' "$(count '"succeeded"' "$r")"
is 'batch of another' 'not_found_error' "$(two "$V/$ID")"
is 'list' "$ID" "$(one "$V?limit=5")"
isnt 'list of another' "$ID" "$(two "$V")"
is 'cancel' '"cancel_initiated_at":"' "$(one -X POST "$V/$ID/cancel")"
is 'delete' 'message_batch_deleted' "$(one -X DELETE "$V/$ID")"
is 'deleted' 'not_found_error' "$(one "$V/$ID")"

V=$U/v1/files
echo 'contents of a file' >"$DIR/f.txt"
r=$(one -F purpose=x -F "file=@$DIR/f.txt;type=text/plain" $V)
is 'file' '"type":"file","filename":"f.txt","mime_type":"text/plain"' "$r"
is 'file size' '"size_bytes":19' "$r"
ID=$(printf '%s' "$r" | sed 's/^{"id":"\([^"]*\)".*/\1/')
is 'file of another' 'not_found_error' "$(two "$V/$ID")"
is 'get' "$ID" "$(one "$V/$ID")"
is 'content' '^contents of a file$' "$(one "$V/$ID/content")"
is 'files' '"data":\[\{' "$(one "$V")"
is 'delete' 'file_deleted' "$(one -X DELETE "$V/$ID")"
is 'deleted' 'not_found_error' "$(one "$V/$ID")"


echo "# OAuth: login"

# control COMMANDS [ARGUMENTS [curl options]]

control() {
    do=$1
    args=$2
    shift
    [ $# -gt 0 ] && shift
    curl -sS "$@" -X POST "$U/sandbox/oauth?do=$do${args:+&$args}"
}

report() {
    curl -sS "$U/sandbox/oauth?$1"
}

# member NAME TEXT: the first string of this name in JSON

member() {
    printf '%s\n' "$2" | tr ',{' '\n\n' | sed -n "s/^\"$1\":\"\(.*\)\"}*\$/\1/p" \
        | head -n 1
}

# token JSON [curl options]: what the token endpoint says

token() {
    json=$1
    shift
    curl -sS -i -m 5 -H 'Content-Type: application/json' -d "$json" "$@" \
        "${AUTH:-$U}/v1/oauth/token" 2>&1
    echo "rc=$?"
}

ID=9d1c250a-e61b-44d9-88ed-5944d1962f5e

refresh() {
    text=$1
    shift
    token "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"$text\",
\"client_id\":\"$ID\"}" "$@"
}

# RFC 7636, appendix B

VERIFIER=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk
CHALLENGE=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM
MANUAL=https://platform.claude.com/oauth/code/callback
LOCAL=http://localhost:54545/callback

# authorize REDIRECT [SCOPE [STATE [CHALLENGE]]]

authorize() {
    curl -sS -i -G "$U/oauth/authorize" -d code=true -d "client_id=$ID" \
        -d response_type=code --data-urlencode "redirect_uri=$1" \
        --data-urlencode "scope=${2:-user:profile user:inference}" \
        -d "code_challenge=${4:-$CHALLENGE}" -d code_challenge_method=S256 \
        --data-urlencode "state=${3-st/1}"
}

# the code of a page

code() {
    authorize "$MANUAL" "$@" | tr -d '\r' | sed -n 's/^\([^ ]*\)#.*/\1/p'
}

# exchange CODE [REDIRECT [VERIFIER [STATE [MORE]]]]

exchange() {
    token "{\"grant_type\":\"authorization_code\",\"code\":\"$1\",
\"redirect_uri\":\"${2:-$MANUAL}\",\"client_id\":\"$ID\",
\"code_verifier\":\"${3:-$VERIFIER}\",\"state\":\"${4:-st/1}\"$5}"
}

r=$(authorize "$MANUAL")
is 'a page shows code and state' '^[A-Za-z0-9_-]{43}#st/1$' "$r"
r=$(authorize "$LOCAL")
is 'a loopback redirect' '^HTTP/1.1 302' "$r"
is 'with code and state' \
    "^location: $LOCAL\?code=[A-Za-z0-9_-]{43}&state=st%2[fF]1\$" "$r"
is 'a redirect with a query' '\?a=1&code=' \
    "$(authorize 'http://127.0.0.1:1/x?a=1')"
is 'no challenge' '^HTTP/1.1 400' "$(authorize "$LOCAL" '' '' short)"
is 'no state' 'missing state' "$(authorize "$LOCAL" user:profile '')"
is 'a strange scope' 'missing scope' "$(authorize "$LOCAL" user:evil)"
is 'a strange redirect' 'missing redirect_uri' \
    "$(authorize http://example.com/x)"
is 'a header in a redirect' 'missing redirect_uri' \
    "$(authorize "$LOCAL
x: y")"
is 'no client_id' 'missing client_id' "$(curl -sS "$U/oauth/authorize")"
control consent=off >/dev/null
is 'no consent' '^location: .*\?error=access_denied&state=' \
    "$(authorize "$LOCAL")"
control clear >/dev/null

C=$(code)
is 'a wrong verifier' 'invalid_grant.*verifier' \
    "$(exchange "$C" '' wrong-verifier-which-is-long-enough-for-RFC-7636)"
is 'a short verifier' 'invalid_grant.*verifier' "$(exchange "$C" '' short)"
is 'a wrong redirect' 'invalid_grant.*Redirect' "$(exchange "$C" "$LOCAL")"
is 'a wrong state' 'invalid_grant.*State' "$(exchange "$C" '' '' other)"
is 'a wrong code' 'invalid_grant.*code not found' "$(exchange nonsense)"
control user=a@b.example >/dev/null
C2=$(code)
r=$(exchange "$C2")
is 'exchange' '^HTTP/1.1 200' "$r"
is 'access token' '"access_token":"sk-ant-oat01-[A-Za-z0-9_-]{95}"' "$r"
is 'refresh token' '"refresh_token":"sk-ant-ort01-[A-Za-z0-9_-]{95}"' "$r"
is 'type, life and scope' '"token_type":"Bearer".*"expires_in":28800,.*"scope":"user:profile user:inference"' "$r"
is 'organization' '"organization":\{"uuid":"[0-9a-f-]{36}","name":"' "$r"
is 'account' '"account":\{"uuid":"[0-9a-f-]{36}","email_address":"a@b.ex' "$r"
is 'not to be stored' '^cache-control: no-store$' "$r"
is 'a code is good once' 'invalid_grant.*code not found' "$(exchange "$C2")"
is 'a failure does not use it up' '^HTTP/1.1 200' "$(exchange "$C")"
control code-life=0 >/dev/null
is 'an expired code' 'invalid_grant.*code expired' "$(exchange "$(code)")"
control clear >/dev/null

is 'expires_in of a full scope' 'invalid_request.*expires_in' \
    "$(exchange "$(code)" '' '' '' ',"expires_in":31536000')"
r=$(exchange "$(code user:inference)" '' '' '' ',"expires_in":31536000')
is 'setup token' '"expires_in":31536000,"scope":"user:inference"' "$r"
isnt 'which cannot be refreshed' 'refresh_token' "$r"
SETUP=$(member access_token "$r")


echo "# OAuth: refresh"

seed=$(control seed 'name=work&expires_in=60')
A1=$(member access "$seed")
R1=$(member refresh "$seed")
is 'seed' '^\{"chain":[0-9]+,"name":"work",.*"expires_in":60,' "$seed"
is 'seed by value' '"access":"sk-ant-oat01-x","refresh":"sk-ant-ort01-x"' \
    "$(control seed 'access=sk-ant-oat01-x&refresh=sk-ant-ort01-x')"
is 'seed it again' 'there is such a token' \
    "$(control seed 'name=y&refresh=sk-ant-ort01-x')"

is 'a form' '^HTTP/1.1 400.*' \
    "$(curl -sS -i -d 'grant_type=refresh_token' "$U/v1/oauth/token")"
is 'a form is named' '"message":"Invalid request format"' \
    "$(curl -sS -d 'grant_type=refresh_token' "$U/v1/oauth/token")"
is 'JSON as a form' 'Invalid request format' \
    "$(refresh "$R1" -H 'Content-Type: application/x-www-form-urlencoded')"
is 'no client_id' 'Invalid request format' \
    "$(token "{\"grant_type\":\"refresh_token\",\"refresh_token\":\"$R1\"}")"
is 'a number for a token' 'Invalid request format' \
    "$(token '{"grant_type":"refresh_token","refresh_token":1,"client_id":"a"}')"
is 'broken JSON' 'Invalid request format' "$(token '{"grant_type":"refr')"
is 'another grant' 'unsupported_grant_type' "$(token '{"grant_type":"x"}')"

DEAD='^\{"error":"invalid_grant","error_description":"Refresh token not found or invalid"\}'

r=$(refresh nonsense)
is 'an unknown token' '^HTTP/1.1 400' "$r"
is 'an unknown token is named' "$DEAD" "$r"
r=$(refresh "$R1")
is 'refresh' '^HTTP/1.1 200' "$r"
R2=$(member refresh_token "$r")
A2=$(member access_token "$r")
is 'another pair' '^other$' \
    "$([ -n "$R2" ] && [ "$R1" != "$R2" ] && [ "$A1" != "$A2" ] && echo other)"
is 'the old one is dead' "$DEAD" "$(refresh "$R1")"
r=$(report 'chain=work')
is 'a reuse is reported' '"reused":true' "$r"
is 'and counted' '"rotations":1,"reuses":1,"graces":0,"invalid_grants":1' "$r"
is 'the newest is known' "\"refresh\":\"$R2\",\"expires_in\"" "$r"
is 'with any prefix' '^HTTP/1.1 200' \
    "$(refresh "$R2" --request-target /proxy/v1/oauth/token)"
R3=$(member refresh "$(report 'chain=work&n=0')")
is 'tokens are listed' "\"refresh\":\"$R2\",\"consumed\":true" \
    "$(report 'chain=work&tokens=1')"
is 'requests since' '^1$' \
    "$(report "since=$(report n=0 | sed -n 's/.*"last_id":\([0-9]*\).*/\1/p' \
    | awk '{ print $1 - 1 }')" | grep -c '"presented"')"

control expires-in=7 chain=work >/dev/null
is 'expires-in' '"expires_in":7,' "$(refresh "$R3")"
R4=$(member refresh "$(report 'chain=work&n=0')")
control omit=scope%2Bexpires_in chain=work >/dev/null
r=$(refresh "$R4")
is 'omit' '"refresh_token"' "$r"
isnt 'what was omitted' 'expires_in|"scope"' "$r"
control clear chain=work >/dev/null
R5=$(member refresh "$(report 'chain=work&n=0')")
control keep chain=work >/dev/null
r=$(refresh "$R5")
is 'keep' '"access_token"' "$r"
isnt 'keep has no refresh token' 'refresh_token' "$r"
is 'the old one lives on' '^HTTP/1.1 200' "$(refresh "$R5")"
control clear chain=work >/dev/null
is 'and is used once then' '"refresh_token"' "$(refresh "$R5")"
is 'really' "$DEAD" "$(refresh "$R5")"
control need-scope >/dev/null
is 'need-scope' 'Invalid request format' "$(refresh x)"
control clear >/dev/null


echo "# OAuth: grace"

# oat TOKEN [curl options]

oat() {
    text=$1
    shift
    curl -sS -i -H "Authorization: Bearer $text" \
        -H 'anthropic-beta: oauth-2025-04-20' "$@"
}

G1=$(member refresh "$(control seed name=tolerant)")
control grace chain=tolerant >/dev/null
r=$(refresh "$G1")
is 'the same successor' "\"refresh_token\":\"$(member refresh_token "$r")\"" \
    "$(refresh "$G1")"
is 'which is a reuse' '"outcome":"grace".*"reused":true' \
    "$(report chain=tolerant)"
G2=$(member refresh_token "$r")
oat "$(member access_token "$r")" -d "$B" "$U/v1/messages" >/dev/null
is 'not after it was used' "$DEAD" "$(refresh "$G1")"
is 'the successor lives' '^HTTP/1.1 200' "$(refresh "$G2")"


echo "# OAuth: access tokens"

seed=$(control seed 'name=access')
X1=$(member access "$seed")
r=$(oat "$X1" -d "$B" "$U/v1/messages")
is 'an issued token' '^HTTP/1.1 200' "$r"
is 'has its organization' "^anthropic-organization-id: $(member organization \
    "$(report chain=access)")" "$r"
is 'an unknown token' '^HTTP/1.1 200' \
    "$(oat sk-ant-oat01-unknown -d "$B" "$U/v1/messages")"
control strict >/dev/null
is 'an unknown token, strictly' 'authentication_error.*Invalid bearer token' \
    "$(oat sk-ant-oat01-unknown -d "$B" "$U/v1/messages")"
is 'an issued token, strictly' '^HTTP/1.1 200' \
    "$(oat "$X1" -d "$B" "$U/v1/messages")"
is 'a key, strictly' '^HTTP/1.1 200' "$(ask '' "$B")"
control clear >/dev/null
X2=$(member access_token "$(refresh "$(member refresh "$seed")")")
r=$(oat "$X1" -d "$B" "$U/v1/messages")
is 'a superseded token' '^HTTP/1.1 401' "$r"
is 'is named' '"type":"authentication_error","message":"OAuth token has expired' \
    "$r"
is 'the new one' '^HTTP/1.1 200' "$(oat "$X2" -d "$B" "$U/v1/messages")"
control revoke=off chain=access >/dev/null
is 'revoke=off' '^HTTP/1.1 200' "$(oat "$X1" -d "$B" "$U/v1/messages")"
is 'uses are counted' '"api":4,"api_refused":1' "$(report chain=access)"
control expire chain=access >/dev/null
is 'expired' '^HTTP/1.1 401' \
    "$(oat "$X2" -d "$B" "$U/v1/messages/count_tokens")"
X=$(member access "$(control seed 'name=dead&expires_in=0')")
is 'seeded as expired' 'token has expired' \
    "$(oat "$X" -d "$B" "$U/v1/messages")"
seed=$(control seed 'name=dead')
control revoke-access chain=dead >/dev/null
is 'revoke-access' 'token has been revoked' \
    "$(oat "$(member access "$seed")" -d "$B" "$U/v1/messages")"
is 'but refreshed' '^HTTP/1.1 200' "$(refresh "$(member refresh "$seed")")"
seed=$(control seed 'name=dead')
control wall chain=dead >/dev/null
is 'wall' 'invalid_grant.*Refresh token expired' \
    "$(refresh "$(member refresh "$seed")")"
control kill chain=dead >/dev/null
is 'kill' "$DEAD" "$(refresh "$(member refresh "$seed")")"
is 'is no reuse' '"life":"killed".*"reuses":0' "$(report chain=dead)"


echo "# OAuth: usage and profile"

seed=$(control seed name=quota)
X=$(member access "$seed")
V=$U/api/oauth
r=$(oat "$X" "$V/usage")
is 'usage' '^HTTP/1.1 200' "$r"
is 'has limits' '"limits":\[\{"kind":"session","percent":12.0,"resets_at":"20[0-9T:-]+Z","scope":null\}' "$r"
is 'flat, too' '"five_hour":\{"utilization":12.0,"resets_at":"' "$r"
isnt 'no limits of messages' '^anthropic-ratelimit' "$r"
control 'usage=classic,five-hour=99.5,opus=7,seven-day=null' chain=quota \
    >/dev/null
r=$(oat "$X" "$V/usage")
isnt 'classic' '"limits"' "$r"
is 'classic numbers' '"five_hour":\{"utilization":99.5,.*"seven_day":null,"seven_day_opus":\{"utilization":7,' "$r"
control 'usage=limits,scoped=Fable%3A19' chain=quota >/dev/null
r=$(oat "$X" "$V/usage")
is 'only limits' '"five_hour":null,.*"limits":\[\{"kind":"session","percent":99.5' "$r"
is 'scoped' '"kind":"weekly_scoped","percent":19,.*"display_name":"Fable"' "$r"
control usage-body chain=quota -H 'Content-Type: application/json' \
    -d '{"x":1}' >/dev/null
is 'usage-body' '^\{"x":1\}$' "$(oat "$X" "$V/usage"; echo)"
control 'usage-fail=429:2,retry-after=2895' chain=quota >/dev/null
r=$(oat "$X" "$V/usage")
is 'usage-fail' '^HTTP/1.1 429' "$r"
is 'usage-fail retry' '^retry-after: 2895$' "$r"
is 'profile does not fail' '"organization_type":"claude_max"' \
    "$(oat "$X" "$V/profile")"
is 'usage-fail twice' '^HTTP/1.1 429' "$(oat "$X" "$V/usage")"
is 'usage-fail no more' '^HTTP/1.1 200' "$(oat "$X" "$V/usage")"
control 'plan=pro,tier=t' chain=quota >/dev/null
r=$(oat "$X" "$V/profile")
is 'profile' '"has_claude_max":false,"has_claude_pro":true' "$r"
is 'profile account' '"email":"quota@sandbox.example"' "$r"
is 'profile tier' '"rate_limit_tier":"t"' "$r"
is 'asked how often' '"usage":7,"profile":2' "$(report chain=quota)"
is 'usage without the beta' 'currently not supported' \
    "$(curl -sS -H "Authorization: Bearer $X" "$V/usage")"
is 'profile without the beta' '"account"' \
    "$(curl -sS -H "Authorization: Bearer $X" "$V/profile")"
is 'usage of an unknown token' '^HTTP/1.1 401' \
    "$(oat sk-ant-oat01-unknown "$V/usage")"
is 'usage of a key' '^HTTP/1.1 401' "$(curl -sS -i -H "$K" "$V/usage")"
r=$(oat "$SETUP" "$V/usage")
is 'usage of a setup token' '^HTTP/1.1 403' "$r"
is 'is named' 'permission_error.*OAuth token does not meet scope requirement: user:profile' "$r"
is 'profile of a setup token' '^HTTP/1.1 403' "$(oat "$SETUP" "$V/profile")"
is 'messages of a setup token' '^HTTP/1.1 200' \
    "$(oat "$SETUP" -d "$B" "$U/v1/messages")"
is 'seed a setup token' '"refresh":null,"scope":"user:inference","expires_in":31536000' "$(control seed 'name=s&setup=1')"


echo "# OAuth: failures"

seed=$(control seed name=fail)
F=$(member refresh "$seed")

# newest NAME: its refresh token

newest() {
    member refresh "$(report "chain=$1&n=0")"
}

# moved NAME OLD

moved() {
    new=$(newest "$1")
    [ -n "$new" ] && [ "$new" != "$2" ] && echo moved
}

control 'fail=503:2,retry-after=3' >/dev/null
r=$(refresh "$F")
is 'fail' '^HTTP/1.1 503' "$r"
is 'fail with retry-after' '^retry-after: 3$' "$r"
is 'fail twice' '^HTTP/1.1 503' "$(refresh "$F")"
control fail=html chain=fail >/dev/null
r=$(refresh "$F")
is 'html' '^HTTP/1.1 403' "$r"
is 'html body' '<h1>403' "$r"
control fail=502-html >/dev/null
is '502-html' '<h1>502' "$(refresh "$F")"
control fail=302 >/dev/null
is '302' '^location: https://claude.ai/' "$(refresh "$F")"
control fail=garbage >/dev/null
is 'garbage' '^rc=(1|8|52|56)' "$(refresh "$F")"
control fail=close-before >/dev/null
is 'close-before' '^rc=52' "$(refresh "$F")"
control fail=rst-before >/dev/null
is 'rst-before' '^rc=56' "$(refresh "$F")"
control fail=hang-before >/dev/null
is 'hang-before' '^rc=28' "$(refresh "$F" -m 1)"
control fail=invalid-grant >/dev/null
is 'invalid-grant' "$DEAD" "$(refresh "$F")"
is 'nothing was rotated' "^$F\$" "$(newest fail)"
is 'failures are reported' '^10$' \
    "$(report chain=fail | grep -c '"outcome":"failed"')"
control down=60000 >/dev/null
is 'down' '^HTTP/1.1 503' "$(refresh "$F")"
is 'still down' '^HTTP/1.1 503' "$(refresh "$F")"
control down=0 >/dev/null

for f in close-after:52 rst-after:56 garbage-after:[0-9]* cut:18 hang-after:28; do
    F=$(newest fail)
    control "fail=${f%:*}" >/dev/null
    is "${f%:*}" "rc=${f#*:}\$" "$(refresh "$F" -m 1)"
    is "${f%:*} has rotated" '^moved$' "$(moved fail "$F")"
done

sleep 0.2
r=$(report chain=fail)
is 'half an answer' '"outcome":"rotated".*"whole":false,.*"fault":"cut"' "$r"
is 'a hung answer' '"outcome":"rotated".*"whole":false,"aborted":true,.*"fault":"hang-after"' "$r"
control token-body '' -H 'Content-Type: application/json' -d '{"a":' >/dev/null
control fail=body >/dev/null
is 'body' '^\{"a":' "$(refresh "$(newest fail)"; echo)"
control 'answer=dribble%253D3%252Cchunked' >/dev/null
r=$(refresh "$(newest fail)")
is 'answer' '^transfer-encoding: chunked' "$r"
is 'answer is whole' '"refresh_token":"sk-ant-ort01-' "$r"
is 'whole is reported' '"outcome":"rotated".*"whole":true,"aborted":false' \
    "$(report 'chain=fail&n=1')"
control 'answer=nonsense' >/dev/null
is 'a bad answer' 'unknown or bad command' "$(refresh "$(newest fail)")"
control clear >/dev/null
is 'a bad command' 'bad command: nonsense' "$(control nonsense)"
is 'a bad failure' 'bad command: fail' "$(control fail=99)"
is 'an unknown chain' 'no chain nobody' "$(control grace chain=nobody)"


echo "# OAuth: death in the gaps"

F=$(member refresh "$(control seed name=gap)")
control before=1000 chain=gap >/dev/null
refresh "$F" >"$DIR/one" &
P1=$!
refresh "$F" >"$DIR/two" &
P2=$!
wait $P1 $P2
is 'one of two' '^1$' \
    "$(cat "$DIR/one" "$DIR/two" | grep -c '^HTTP/1.1 200')"
is 'both were in flight' '"in_flight":2,"max_in_flight":2' "$(report chain=gap)"
control before=60000 chain=gap >/dev/null
F=$(newest gap)
refresh "$F" -m 1 >/dev/null
sleep 0.2
is 'gone before the rotation' '^moved$' "$(moved gap "$F")"
is 'is reported' '"outcome":"rotated".*"whole":false,"aborted":true' \
    "$(report 'chain=gap&n=1')"
control drop chain=gap >/dev/null
F=$(newest gap)
refresh "$F" -m 1 >/dev/null
sleep 0.2
is 'drop' "^$F\$" "$(newest gap)"
is 'drop is reported' '"outcome":"dropped"' "$(report 'chain=gap&n=1')"
control before=0,after=60000 chain=gap >/dev/null
refresh "$F" -m 1 >/dev/null
is 'gone before the answer' '^moved$' "$(moved gap "$F")"
sleep 0.2
is 'nothing is in flight' '"in_flight":0' "$(report n=0)"
control after=300 chain=gap >/dev/null
is 'after' '^(0\.[3-9]|[1-9])' "$(refresh "$(newest gap)" \
    -w '\n%{time_total}\n' | tail -n 2)"

is 'forget' '"ok":true' "$(control forget)"
is 'forgotten counters' '"requests":0' "$(report)"
is 'chains are kept' '"name":"gap"' "$(report)"
is 'reset' '"ok":true' "$(control reset)"
is 'no chains' '"chains":\[\]' "$(report)"

r=$(curl -sS -k -X POST "$S/sandbox/oauth?do=seed&name=tls")
r=$(AUTH=$S; refresh "$(member refresh "$r")" -k)
is 'tls' '"access_token":"sk-ant-oat01-' "$r"
is 'tls is reported' '"tls":true' "$(curl -sS -k "$S/sandbox/oauth")"


echo "# listeners and reports"

r=$(curl -sS -k -H "$K" -d "$B" --resolve "a.test:${S##*:}:127.0.0.1" \
    "https://a.test:${S##*:}/v1/messages")
is 'tls' '"end_turn"' "$r"
r=$(curl -sS -k "$S/sandbox/last")
is 'sni' '"tls":true,"sni":"a.test"' "$r"
P=${S##*:}
printf 'GET /api/hello HTTP/1.1\r\nConnection: close\r\n\r\n' >"$DIR/req"
for o in -sess_out -sess_in; do
    (cat "$DIR/req"; sleep 0.3) | openssl s_client -quiet -no_ign_eof \
        -tls1_2 -connect "127.0.0.1:$P" $o "$DIR/sess" >/dev/null 2>&1
done
is 'resumed' '"sni":null,"resumed":true' "$(curl -sS -k "$S/sandbox/last")"
is 'tls stats' '"tls_handshakes":[1-9]' "$(curl -sS -k "$S/sandbox/stats")"
is 'unix' '"end_turn"' \
    "$(curl -sS --unix-socket "$DIR/sock" -H "$K" -d "$B" \
    http://x/v1/messages)"
is 'stats' '"credentials":\{.*"key-one":[1-9]' "$(curl -sS "$U/sandbox/stats")"
is 'last n' '^3$' "$(last 3 | grep -o '"body_sha256"' | wc -l)"
is 'reset' '"ok":true' "$(curl -sS -X POST "$U/sandbox/reset")"
is 'reset stats' '"requests":0' "$(curl -sS "$U/sandbox/stats")"
is 'reset last' '^\[\]$' "$(last)"

kill $PID
wait $PID
is 'clean exit' '^0$' "$?"
kill $PID_TLS
wait $PID_TLS
is 'clean exit of tls' '^0$' "$?"
is 'no messages' '^$' "$(cat "$DIR/err" "$DIR/err.tls")"

echo "1..$N"
[ $FAILED -eq 0 ]
