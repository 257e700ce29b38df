
/*
 * The official SDK with keys of the relay's store.  Prints TAP.  Started by
 * keys.t:
 *
 *   CR_BASE   the relay
 *   CR_ONCE   a key that is good for one request in some hours
 *   CR_CODE   a key for Claude Code only
 *   CR_SDK    directory of the SDK
 */

import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

const sdk = await import(pathToFileURL(process.env.CR_SDK + "/index.mjs"));
const Anthropic = sdk.default;

let sent = 0;

function client(apiKey) {
    return new Anthropic({
        apiKey,
        authToken: null,
        baseURL: process.env.CR_BASE,
        maxRetries: 3,
        timeout: 20000,
        logLevel: "off",
        fetch: (url, init) => { sent++; return fetch(url, init); },
    });
}

const ask = {
    model: "claude-sonnet-4-6",
    max_tokens: 100,
    messages: [{ role: "user", content: "hello" }],
};

let count = 0, failed = 0;

async function test(name, code) {
    count++;

    try {
        await code();
        console.log(`ok ${count} - ${name}`);

    } catch (e) {
        failed++;
        console.log(`not ok ${count} - ${name}`);
        console.log(String(e.stack).replace(/^/gm, "# "));
    }
}

async function refused(apiKey) {
    sent = 0;

    const from = Date.now();
    const error = await client(apiKey).messages.create(ask)
                        .then(() => null, (e) => e);

    return { error, sent, ms: Date.now() - from };
}


await test("SDK: a limit lets the first request pass", async () => {
    const message = await client(process.env.CR_ONCE).messages.create(ask);

    assert.equal(message.type, "message");
});

await test("SDK: the next one is a RateLimitError, in our words", async () => {
    const r = await refused(process.env.CR_ONCE);

    assert.ok(r.error instanceof Anthropic.RateLimitError, String(r.error));
    assert.equal(r.error.status, 429);
    assert.equal(r.error.error.error.type, "rate_limit_error");
    assert.match(r.error.message, /limit/);
    assert.match(r.error.message, /request/);
    assert.ok(r.error.headers.get("retry-after") > 60);
});

await test("SDK: it does not ask again, nor wait for hours", async () => {
    const r = await refused(process.env.CR_ONCE);

    assert.equal(r.sent, 1);
    assert.ok(r.ms < 10000, `${r.ms} ms`);
});

await test("SDK: a stream is refused in the same way", async () => {
    let error;

    try {
        for await (const event of client(process.env.CR_ONCE).messages
                                  .stream(ask)) {
            assert.fail(`an event: ${event.type}`);
        }

    } catch (e) {
        error = e;
    }

    assert.ok(error instanceof Anthropic.RateLimitError, String(error));
});

await test("SDK: a key for other clients is a PermissionDeniedError",
           async () => {
    const r = await refused(process.env.CR_CODE);

    assert.ok(r.error instanceof Anthropic.PermissionDeniedError,
              String(r.error));
    assert.match(r.error.message, /client not allowed/);
    assert.equal(r.sent, 1);
});

await test("SDK: its key tells what is left", async () => {
    const usage = await client(process.env.CR_ONCE).get("/v1/usage");

    assert.equal(usage.limits[0].remaining, 0);
    assert.equal(usage.limits[0].used, 1);
});

console.log(`1..${count}`);
process.exit(failed ? 1 : 0);
