/*
 * The official SDK through the relay, the relay before the sandbox.  Prints
 * TAP.  Started by anthropic_sdk.t, which tells where all of them are:
 *
 *   CR_BASE     the relay; below it
 *               /         accounts one and two, one first
 *               /alone/   account alone, a single attempt
 *               /many/    accounts m1, m2 and m3 in turn, no sticky sessions
 *               /window/  accounts w1 and w2, w1 first
 *               /narrow/  serves claude-haiku-* only
 *   CR_SANDBOX  the sandbox
 *   CR_KEY      a key of the relay
 *   CR_SDK      directory of the SDK
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const base = process.env.CR_BASE;
const sandbox = process.env.CR_SANDBOX;
const key = process.env.CR_KEY;

const require = createRequire(process.env.CR_SDK + "/");
const version = require(process.env.CR_SDK + "/package.json").version;
const sdk = await import(pathToFileURL(process.env.CR_SDK + "/index.mjs"));
const Anthropic = sdk.default;


const model = "claude-sonnet-4-6";
const all = "This is the sandbox upstream ";


/* sessions must not follow what an earlier test has left */

let asked = 0;

function fresh() {
    return ask(`hello ${++asked}`);
}


/* what the SDK really sends */

let sent = [];

async function tee(url, init) {
    sent.push({ url: String(url), body: init?.body, headers: init?.headers });

    return fetch(url, init);
}


function client(options = {}) {
    const { path = "", ...rest } = options;

    return new Anthropic({
        apiKey: key,
        authToken: null,
        baseURL: base + path,
        maxRetries: 0,
        timeout: 10000,
        logLevel: "off",
        fetch: tee,
        ...rest,
    });
}


function ask(text = "hello", more = {}) {
    return {
        model,
        max_tokens: 100,
        messages: [{ role: "user", content: text }],
        ...more,
    };
}


function on(commands) {
    return { headers: { "x-sandbox": commands } };
}


async function control(path, method = "GET") {
    const r = await fetch(sandbox + path, { method });

    return await r.json().catch(() => null);
}


/* requests that the sandbox had since this was called */

async function since() {
    const { last_id } = await control("/sandbox/stats");

    return () => control(`/sandbox/last?n=256&since=${last_id}`);
}


async function until(what, ms = 3000) {
    for (const end = Date.now() + ms; ; ) {
        const value = await what();

        if (value || Date.now() > end) {
            return value;
        }

        await new Promise((done) => setTimeout(done, 20));
    }
}


function header(request, name) {
    const line = request.headers.find(
        (l) => l.toLowerCase().startsWith(name + ":"));

    return line?.slice(name.length + 1).trim();
}


function sha256(data) {
    return createHash("sha256").update(data).digest("hex");
}


async function failure(promise) {
    try {
        await promise;

    } catch (e) {
        return e;
    }

    assert.fail("no error was thrown");
}


async function drain(stream) {
    const events = [];

    for await (const event of stream) {
        events.push(event);
    }

    return events;
}


const tests = [];

function test(name, code) {
    tests.push({ name, code });
}


test("message: text, usage and request id (F001, F167)", async () => {
    const m = await client().messages.create(ask());

    assert.equal(m.content[0].text, all);
    assert.equal(m.model, model);
    assert.equal(m.stop_reason, "end_turn");
    assert.equal(m.usage.input_tokens, 12);
    assert.equal(m.usage.output_tokens, 5);
    assert.equal(m.usage.cache_read_input_tokens, 2048);
    assert.match(m._request_id, /^req_/);
});


test("message: the sandbox has the bytes that the SDK sent (N01)", async () => {
    const seen = await since();

    sent = [];
    await client().messages.create(
        ask("\u00e4\u20ac\u{1f600} \\ \" \n", { metadata: { user_id: "u" } }));

    const [r] = await seen();

    assert.equal(r.body_sha256, sha256(sent[0].body));
    assert.equal(r.body_length, Buffer.byteLength(sent[0].body));
});


test("message: 3 MB arrive as they were sent (N01, N09)", async () => {
    const seen = await since();

    sent = [];
    await client().messages.create(ask("x".repeat(3 << 20)));

    const [r] = await seen();

    assert.equal(r.body_sha256, sha256(sent[0].body));
});


test("message: the SDK's headers go on, its key does not", async () => {
    const seen = await since();

    sent = [];
    await client().messages.create(ask());

    const [r] = await seen();
    const from = new Headers(sent[0].headers);

    for (const name of ["user-agent", "x-stainless-lang", "x-stainless-os",
                        "x-stainless-package-version", "x-stainless-timeout",
                        "x-stainless-retry-count", "anthropic-version",
                        "content-type", "accept"])
    {
        assert.equal(header(r, name), from.get(name), name);
    }

    assert.equal(header(r, "x-api-key"), "sk-ant-client-one");
    assert.equal(header(r, "authorization"), undefined);
    assert.ok(!JSON.stringify(r).includes(key));
});


test("betas and headers of the caller arrive unchanged (N14)", async () => {
    const seen = await since();

    sent = [];
    await client().beta.messages.create({
        ...ask(), betas: ["files-api-2025-04-14", "not-yet-known-2031-01-01"],
    }, { headers: { "X-Not-Yet-Known": "a, b;c" } });

    const [r] = await seen();

    assert.equal(header(r, "anthropic-beta"),
                 "files-api-2025-04-14,not-yet-known-2031-01-01");
    assert.equal(header(r, "x-not-yet-known"), "a, b;c");
    assert.equal(r.target, sent[0].url.slice(base.length));
});


test("apiKey and authToken both open the relay (F023)", async () => {
    const seen = await since();

    await client().messages.create(ask());
    await client({ apiKey: null, authToken: key }).messages.create(ask());
    await client({ apiKey: null, authToken: null,
                   defaultHeaders: { "x-api-key": key } })
        .messages.create(ask());

    assert.deepEqual((await seen()).map((r) => r.auth),
                     ["x-api-key", "x-api-key", "x-api-key"]);
});


test("limits of the account reach the caller", async () => {
    const { response, request_id } =
        await client().messages.create(ask()).withResponse();

    assert.match(request_id, /^req_/);
    assert.ok(response.headers.get("anthropic-ratelimit-requests-remaining"));
    assert.ok(response.headers.get("x-request-id"));
});


test("stream: events in order, each once (F002)", async () => {
    const events = await drain(
        await client().messages.create(ask("hello", { stream: true })));

    assert.deepEqual(events.map((e) => e.type), [
        "message_start", "content_block_start",
        ...Array(5).fill("content_block_delta"),
        "content_block_stop", "message_delta", "message_stop",
    ]);

    assert.equal(events.filter((e) => e.type === "content_block_delta")
                       .map((e) => e.delta.text).join(""), all);
});


test("stream: finalMessage has text, usage and stop reason (F168)",
     async () => {
    const stream = client().messages.stream(ask());
    let text = "";

    stream.on("text", (delta) => { text += delta; });

    const m = await stream.finalMessage();

    assert.equal(text, all);
    assert.equal(m.content[0].text, all);
    assert.equal(m.usage.output_tokens, 5);
    assert.equal(m.usage.cache_read_input_tokens, 2048);
    assert.equal(m.stop_reason, "end_turn");
    assert.match(stream.request_id, /^req_/);
});


test("stream: text comes while the answer is being written (F002)",
     async () => {
    const stream = client().messages.stream(ask(), on("events=6,delay=100"));
    const at = [];

    stream.on("text", () => { at.push(Date.now()); });
    await stream.finalMessage();

    assert.equal(at.length, 6);
    assert.ok(at[5] - at[0] >= 400, `${at[5] - at[0]} ms`);
});


test("stream: thinking and its signature", async () => {
    const m = await client().messages.stream(ask(), on("thinking"))
        .finalMessage();

    assert.equal(m.content[0].type, "thinking");
    assert.ok(m.content[0].signature);
    assert.equal(m.content[1].type, "text");
});


for (const how of ["unicode,events=30", "unicode,events=30,split=3",
                   "unicode,events=30,gzip", "unicode,events=30,coalesce",
                   "unicode,events=30,crlf", "unicode,events=30,comments",
                   "events=3,long-line=1000000"])
{
    test(`stream: the same text as from the sandbox: ${how} (N01)`,
         async () => {
        const direct = new Anthropic({ apiKey: "direct-0001", baseURL: sandbox,
                                       maxRetries: 0 });

        const [a, b] = await Promise.all([direct, client()].map((c) =>
            c.messages.stream(ask(), on(how)).finalMessage()));

        assert.equal(b.content[0].text, a.content[0].text);
        assert.deepEqual(b.usage, a.usage);
    });
}


test("stream: twenty at a time", async () => {
    const c = client();
    const texts = await Promise.all(Array.from({ length: 20 }, () =>
        c.messages.stream(ask(), on("events=10,delay=5")).finalText()));

    assert.equal(new Set(texts).size, 1);
});


const tools = [{
    name: "get_weather",
    description: "Get the weather",
    input_schema: {
        type: "object",
        properties: { city: { type: "string" }, days: { type: "number" } },
        required: ["city"],
    },
}];

const wish = '#tool get_weather {"city":"Z\u00fcrich","days":3}';


test("tools: tool_use, tool_result, answer", async () => {
    const c = client();
    const first = await c.messages.create(ask(wish, { tools }));

    assert.equal(first.stop_reason, "tool_use");

    const use = first.content.find((b) => b.type === "tool_use");

    assert.deepEqual(use.input, { city: "Z\u00fcrich", days: 3 });

    const second = await c.messages.create({
        ...ask(wish, { tools }),
        messages: [
            { role: "user", content: wish },
            { role: "assistant", content: first.content },
            { role: "user", content: [{
                type: "tool_result", tool_use_id: use.id, content: "sunny",
            }] },
        ],
    });

    assert.match(second.content[0].text, /^The tool said: sunny/);
});


test("tools: input streamed in pieces is put together", async () => {
    const stream = client().messages.stream(ask(wish, { tools }));
    let pieces = 0;

    stream.on("inputJson", () => { pieces++; });

    const m = await stream.finalMessage();

    assert.deepEqual(m.content.find((b) => b.type === "tool_use").input,
                     { city: "Z\u00fcrich", days: 3 });
    assert.ok(pieces > 1);
});


function runner(c, more = {}) {
    return c.beta.messages.toolRunner({
        ...ask(wish),
        ...more,
        tools: [{
            ...tools[0],
            type: "custom",
            run: async (input) => `rain in ${input.city}`,
            parse: (input) => input,
        }],
    });
}


test("tools: the SDK's own loop", async () => {
    const seen = await since();
    const m = await runner(client()).runUntilDone();
    const requests = await seen();

    assert.equal(m.content[0].type, "text");
    assert.equal(requests.length, 2);
    assert.match(requests[1].body, /"tool_result".*rain in Z\u00fcrich/);
});


/* the server holds the conversation, so it is at one account only */

for (const stream of [false, true]) {
    test(`tools: a thread stays on its account${stream ? ", streamed" : ""}`,
         async () => {
        const c = client({ path: "/many" });

        /* whichever account is in turn */

        for (let i = 0; i < 4; i++) {
            const seen = await since();

            await runner(c, { stream }).runUntilDone();

            const requests = await seen();

            assert.match(requests[1].body, /"previous_message_id"/);
            assert.equal(requests[0].credential, requests[1].credential);
        }
    });
}


test("count_tokens (F003)", async () => {
    const seen = await since();

    sent = [];

    const { input_tokens } = await client().messages.countTokens({
        model, messages: [{ role: "user", content: "count me" }],
    });

    const [r] = await seen();

    assert.equal(input_tokens, Math.ceil(r.body_length / 4));
    assert.equal(r.body_sha256, sha256(sent[0].body));
    assert.equal(r.target, "/v1/messages/count_tokens");
});


test("models: paged list, nothing asked upstream (F004)", async () => {
    const seen = await since();
    const c = client();
    const whole = await c.models.list({ limit: 1000 });

    sent = [];

    const paged = [];

    for await (const m of c.models.list({ limit: 4 })) {
        paged.push(m.id);
    }

    assert.ok(paged.length > 8);
    assert.deepEqual(paged, whole.data.map((m) => m.id));
    assert.equal(sent.length, Math.ceil(paged.length / 4));
    assert.deepEqual(await seen(), []);
});


test("models: backwards, too", async () => {
    const c = client();
    const ids = (await c.models.list({ limit: 1000 })).data.map((m) => m.id);
    const back = [];

    sent = [];

    for await (const page of
               (await c.models.list({ limit: 3, before_id: ids.at(-1) }))
               .iterPages())
    {
        back.unshift(...page.data.map((m) => m.id));
    }

    assert.deepEqual(back, ids.slice(0, -1));
});


test("models: one, an unknown one, only those that are served", async () => {
    const c = client();

    assert.equal((await c.models.retrieve(model)).id, model);

    const e = await failure(c.models.retrieve("claude-none"));

    assert.ok(e instanceof sdk.NotFoundError);
    assert.equal(e.type, "not_found_error");

    const narrow = await client({ path: "/narrow" })
        .models.list({ limit: 1000 });

    assert.ok(narrow.data.length > 0);
    assert.ok(narrow.data.every((m) => m.id.startsWith("claude-haiku-")));
});


test("a model that no account serves is not found (F144)", async () => {
    const e = await failure(client({ path: "/narrow" })
        .messages.create(ask()));

    assert.ok(e instanceof sdk.NotFoundError);
    assert.equal(e.apiMessage ?? e.error.error.message, `model: ${model}`);
});


test("batches: create, retrieve, list, results, cancel, delete", async () => {
    const c = client({ path: "/many" });
    const batch = await c.messages.batches.create({
        requests: [1, 2].map((n) => ({
            custom_id: `r${n}`, params: ask(`number ${n}`),
        })),
    });

    assert.match(batch.id, /^msgbatch_/);

    const seen = await since();

    for (let i = 0; i < 4; i++) {
        assert.equal((await c.messages.batches.retrieve(batch.id))
                     .processing_status, "ended");
    }

    assert.equal(new Set((await seen()).map((r) => r.credential)).size, 1);

    sent = [];

    const results = await drain(await c.messages.batches.results(batch.id));

    assert.deepEqual(results.map((r) => r.custom_id).sort(), ["r1", "r2"]);
    assert.equal(results[0].result.message.content[0].type, "text");
    assert.ok(sent.every((s) => s.url.startsWith(base)), "went past the relay");

    assert.equal((await c.messages.batches.delete(batch.id)).id, batch.id);
});


test("batches: that of another account is found by none", async () => {
    const e = await failure(client({ path: "/alone" })
        .messages.batches.retrieve("msgbatch_nobody"));

    assert.ok(e instanceof sdk.NotFoundError);
});


for (const [where, files] of [["files", (c) => c.files],
                              ["beta.files", (c) => c.beta.files]])
{
    test(`${where}: upload, metadata, list, download, delete`, async () => {
        const c = client({ path: "/many" });

        if (!files(c)) {
            return;
        }

        const data = Buffer.from([...Array(20000).keys()].map((n) => n % 256));
        const file = await files(c).upload({
            file: await sdk.toFile(data, "data.bin", {
                type: "application/octet-stream",
            }),
        });

        assert.equal(file.size_bytes, data.length);

        const seen = await since();

        for (let i = 0; i < 4; i++) {
            assert.equal((await files(c).retrieveMetadata(file.id)).id,
                         file.id);
        }

        const back = await files(c).download(file.id);

        assert.deepEqual(Buffer.from(await back.arrayBuffer()), data);
        assert.equal(new Set((await seen()).map((r) => r.credential)).size, 1);

        await files(c).list();

        assert.equal((await files(c).delete(file.id)).id, file.id);
    });
}


for (const [status, type, name] of [
    [400, "invalid_request_error", "BadRequestError"],
    [401, "authentication_error", "AuthenticationError"],
    [402, "billing_error", "APIError"],
    [403, "permission_error", "PermissionDeniedError"],
    [404, "not_found_error", "NotFoundError"],
    [409, "conflict_error", "ConflictError"],
    [413, "request_too_large", "APIError"],
    [422, "invalid_request_error", "UnprocessableEntityError"],
    [429, "rate_limit_error", "RateLimitError"],
    [500, "api_error", "InternalServerError"],
    [502, "api_error", "InternalServerError"],
    [503, "api_error", "APIError"],
    [504, "timeout_error", "APIError"],
    [529, "overloaded_error", "APIError"],
])
{
    for (const stream of [false, true]) {
        test(`error ${status}${stream ? " to a stream" : ""}:`
             + ` ${name}, type, message and request id`, async () => {
            const seen = await since();
            const e = await failure(client({ path: "/alone" })
                .messages.create(
                    ask("hello", { stream }),
                    on(`status=${status},type=${type},message=so%20it%20is,`
                       + "nowindow")));

            assert.ok(e instanceof sdk[name], e.constructor.name);
            assert.equal(e.status, status);
            assert.equal(e.error.error.type, type);
            assert.equal(e.error.error.message, "so it is");

            const [r] = await seen();

            assert.equal(e.requestID, e.error.request_id);
            assert.equal(e.requestID.slice(-4),
                         r.id.toString(16).padStart(4, "0").slice(-4));
        });
    }
}


test("error: a page of HTML is passed on as it is", async () => {
    const e = await failure(client({ path: "/alone" })
        .messages.create(ask(), on("status=502,html")));

    assert.equal(e.status, 502);
    assert.match(e.message, /<html/i);
});


test("error: a wrong key is refused at once, once (F024)", async () => {
    const seen = await since();
    const start = Date.now();

    sent = [];

    const e = await failure(client({ apiKey: "not-a-key-000", maxRetries: 5 })
        .messages.create(ask()));

    assert.ok(e instanceof sdk.AuthenticationError);
    assert.equal(e.type ?? e.error.error.type, "authentication_error");
    assert.equal(e.headers.get("x-should-retry"), "false");
    assert.equal(sent.length, 1);
    assert.ok(Date.now() - start < 1000);
    assert.deepEqual(await seen(), []);
});


test("retry: x-should-retry false stops the SDK at a 529", async () => {
    const seen = await since();

    await failure(client({ path: "/alone", maxRetries: 2 })
        .messages.create(ask(), on("status=529,should-retry=false")));

    assert.equal((await seen()).length, 1);
});


test("retry: x-should-retry true makes it repeat a 400", async () => {
    const seen = await since();

    await client({ path: "/alone", maxRetries: 2 })
        .messages.create(ask(), on("status=400,should-retry=true,once"));

    const requests = await seen();

    assert.deepEqual(requests.map((r) => r.status), [400, 200]);
    assert.equal(header(requests[1], "x-stainless-retry-count"), "1");
});


test("retry: retry-after is waited for", async () => {
    const seen = await since();
    const start = Date.now();

    await client({ path: "/alone", maxRetries: 2 })
        .messages.create(ask(), on("status=429,nowindow,retry-after=1,once"));

    const ms = Date.now() - start;

    assert.ok(ms >= 950 && ms < 2500, `${ms} ms`);
    assert.deepEqual((await seen()).map((r) => r.status), [429, 200]);
});


test("retry: none left, the caller is told when (F151)", async () => {
    const e = await failure(client({ path: "/window" })
        .messages.create(ask(), on("unified=5h:1800")));

    assert.ok(e instanceof sdk.RateLimitError);

    const after = Number(e.headers.get("retry-after"));

    assert.ok(after > 1500 && after <= 2100, `retry-after ${after}`);
});


for (const what of ["status=401", "status=402", "status=403", "status=403,html",
                    "status=429,nowindow", "status=500", "status=503", "status=529",
                    "status=502,html", "close-now", "rst-now", "garbage"])
{
    test(`failover: ${what} of the first account is not seen (F145)`,
         async () => {
        const c = client();

        await control("/sandbox/behave?credential=sk-ant-client-one&do="
                      + encodeURIComponent(what), "POST");

        try {
            for (const how of [
                () => c.messages.create(fresh()),
                () => c.messages.stream(fresh()).finalMessage(),
                () => c.messages.countTokens({
                    model, messages: fresh().messages,
                }),
            ]) {
                const seen = await since();
                const answer = await how();

                assert.ok(answer.input_tokens || answer.content[0].text);
                assert.deepEqual([...new Set((await seen())
                                             .map((r) => r.credential))],
                                 ["sk-ant-client-one", "sk-ant-client-two"]);
            }

        } finally {
            await control("/sandbox/behave?credential=sk-ant-client-one&do=",
                          "POST");
        }
    });
}


test("failover: an error as first event of a 200 is not seen (N04)",
     async () => {
    const seen = await since();

    await control("/sandbox/behave?credential=sk-ant-client-one"
                  + "&do=error-first%3Doverloaded_error", "POST");

    try {
        const events = await drain(
            await client().messages.create({ ...fresh(), stream: true }));

        assert.equal(events.filter((e) => e.type === "message_start").length,
                     1);
        assert.equal(events.at(-1).type, "message_stop");
        assert.equal((await seen()).length, 2);

    } finally {
        await control("/sandbox/behave?credential=sk-ant-client-one&do=",
                      "POST");
    }
});


for (const how of ["reset-at=3", "cut-at=3", "end-at=3", "bad-chunk",
                   "body-delay=50,bad-chunk", "split=20,split-delay=5,cut-at=3",
                   "gzip,cut-at=3"])
{
    test(`broken stream: ${how} throws, it does not end (F165)`, async () => {
        const events = [];
        let error;

        try {
            const stream = await client({ path: "/alone" }).messages.create(
                ask("hello", { stream: true }), on(`events=9,delay=20,${how}`));

            for await (const event of stream) {
                events.push(event.type);
            }

        } catch (e) {
            error = e;
        }

        assert.ok(error, `ended after ${events}`);
        assert.ok(!events.includes("message_stop"));

        await failure(client({ path: "/alone" }).messages.stream(
            ask(), on(`events=9,delay=20,${how}`)).finalMessage());
    });
}


test("broken stream: an error event is thrown with its type (F165)",
     async () => {
    const e = await failure(client({ path: "/alone" }).messages.stream(
        ask(), on("events=9,error-at=3,type=overloaded_error")).done());

    assert.ok(e instanceof sdk.APIError);
    assert.equal(e.type ?? e.error.error.type, "overloaded_error");
    assert.match(e.requestID, /^req_/);
});


test("abort: in a stream, the sandbox sees it at once (F166)", async () => {
    const seen = await since();
    const stream = client({ path: "/alone" }).messages.stream(
        ask(), on("events=400,delay=50"));
    let n = 0;

    stream.on("text", () => { if (++n === 3) stream.abort(); });

    const e = await failure(stream.done());
    const end = Date.now();

    assert.ok(e instanceof sdk.APIUserAbortError);

    const r = await until(async () =>
        (await seen()).find((request) => request.aborted));

    assert.ok(r, "not aborted");
    assert.ok(Date.now() - end < 1000, `${Date.now() - end} ms`);
});


test("abort: leaving the loop ends the request, too (F166)", async () => {
    const seen = await since();
    const stream = await client({ path: "/alone" }).messages.create(
        ask("hello", { stream: true }), on("events=400,delay=50"));

    for await (const event of stream) {
        if (event.type === "content_block_delta") {
            break;
        }
    }

    assert.ok(await until(async () =>
        (await seen()).find((request) => request.aborted)));
});


test("abort: before the first byte (F166)", async () => {
    const seen = await since();
    const stop = new AbortController();
    const promise = client({ path: "/alone" }).messages.create(
        ask(), { ...on("first=20000"), signal: stop.signal });

    setTimeout(() => stop.abort(), 200);

    assert.ok(await failure(promise) instanceof sdk.APIUserAbortError);
    assert.ok(await until(async () =>
        (await seen()).find((request) => request.aborted)));
});


test("timeout of the SDK ends the request upstream (F166)", async () => {
    const seen = await since();
    const e = await failure(client({ path: "/alone", timeout: 300 })
        .messages.create(ask(), on("nothing")));

    assert.ok(e instanceof sdk.APIConnectionTimeoutError);
    assert.ok(await until(async () =>
        (await seen()).find((request) => request.aborted)));
});


test("health: no secret, all accounts (F188)", async () => {
    const r = await fetch(base + "/health?full");
    const text = await r.text();

    assert.equal(r.status, 200);
    assert.ok(!text.includes("sk-ant-"));
    assert.equal(JSON.parse(text).pools.flatMap((p) => p.accounts).length, 9);
});


console.log(`1..${tests.length}`);
console.log(`# @anthropic-ai/sdk ${version}, node ${process.version}`);

let failed = 0;

for (const [i, { name, code }] of tests.entries()) {
    const start = Date.now();

    try {
        await code();
        console.log(`ok ${i + 1} - ${name}`);

    } catch (e) {
        failed++;
        console.log(`not ok ${i + 1} - ${name}`);
        console.log(String(e.stack ?? e).replace(/^/gm, "#   "));
    }

    if (Date.now() - start > 2000) {
        console.log(`# ${Date.now() - start} ms`);
    }
}

process.exit(failed ? 1 : 0);
