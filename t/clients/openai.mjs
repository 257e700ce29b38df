/*
 * OpenAI's SDK through the relay, the relay before the sandbox.  Prints TAP.
 * Started by openai.t, which tells where all of them are:
 *
 *   CR_BASE     the relay; below it
 *               /            accounts one and two of openai, one first
 *               /azure-only/ account east of azure
 *   CR_SANDBOX  the sandbox
 *   CR_KEY      a key of the relay
 *   CR_SDK      directory of the SDK
 */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const base = process.env.CR_BASE;
const sandbox = process.env.CR_SANDBOX;
const key = process.env.CR_KEY;

const require = createRequire(process.env.CR_SDK + "/");
const version = require(process.env.CR_SDK + "/package.json").version;
const sdk = await import(pathToFileURL(process.env.CR_SDK + "/index.mjs"));
const OpenAI = sdk.default;

const model = "gpt-5.5";
const all = "This is the sandbox upstream ";

const client = new OpenAI({ apiKey: key, baseURL: base + "/v1",
                            maxRetries: 0 });
const azure = new sdk.AzureOpenAI({ apiKey: key, apiVersion: "2024-10-21",
                                    endpoint: base + "/azure-only",
                                    maxRetries: 0 });

let count = 0;
let failures = 0;


async function test(name, run) {
    count++;

    try {
        await run();
        console.log(`ok ${count} - ${name}`);

    } catch (e) {
        failures++;
        console.log(`not ok ${count} - ${name}`);
        console.log(`# ${e.stack ?? e}`.replace(/\n/g, "\n# "));
    }
}


async function last() {
    const list = await (await fetch(sandbox + "/sandbox/last")).json();

    return Array.isArray(list) ? list[0] : list.requests?.[0] ?? list;
}


async function behave(credential, commands) {
    await fetch(sandbox + "/sandbox/behave?credential=" + credential + "&do="
                + encodeURIComponent(commands), { method: "POST" });
}


const messages = [{ role: "user", content: "hi" }];

console.log(`# openai ${version}`);


await test("F086: a chat", async () => {
    const r = await client.chat.completions.create({ model, messages });

    assert.equal(r.choices[0].message.content, all);
    assert.equal(r.usage.prompt_tokens_details.cached_tokens, 2048);
    assert.match(r._request_id, /^req_sbx/);
});


await test("F086: a chat as a stream", async () => {
    let text = "";
    let usage = 0;

    for await (const chunk of await client.chat.completions.create(
                   { model, messages, stream: true }))
    {
        text += chunk.choices[0]?.delta?.content ?? "";
        usage += chunk.usage?.completion_tokens ?? 0;
    }

    assert.equal(text, all);
    assert.equal(usage, 5);
});


await test("F086: its helper, that puts a chat together", async () => {
    const r = await client.chat.completions.stream({ model, messages })
                    .finalChatCompletion();

    assert.equal(r.choices[0].message.content, all);
    assert.equal(r.choices[0].finish_reason, "stop");
});


await test("F011: a response", async () => {
    const r = await client.responses.create({ model, input: "hi" });

    assert.equal(r.output_text, all);
    assert.equal(r.usage.output_tokens, 5);

    const again = await client.responses.retrieve(r.id);

    assert.equal(again.id, r.id);
    assert.equal((await client.responses.cancel(r.id)).status, "cancelled");
    await client.responses.delete(r.id);

    await assert.rejects(client.responses.retrieve(r.id),
                         (e) => e.status === 404);
});


await test("F011: a response as a stream", async () => {
    const types = [];

    for await (const event of await client.responses.create(
                   { model, input: "hi", stream: true }))
    {
        types.push(event.type);
    }

    assert.equal(types[0], "response.created");
    assert.equal(types.at(-1), "response.completed");
    assert.equal(types.filter((t) => t === "response.output_text.delta")
                      .length, 5);
});


await test("F011: its helper, that puts a response together", async () => {
    const r = await client.responses.stream({ model, input: "hi" })
                    .finalResponse();

    assert.equal(r.output_text, all);
});


await test("F012: a compaction", async () => {
    const r = await client.responses.compact({ model, input: "hi" });

    assert.equal(r.object, "response.compaction");
});


await test("F011: a response that goes on", async () => {
    const first = await client.responses.create({ model, input: "hi" });
    const next = await client.responses.create({ model, input: "more",
                                         previous_response_id: first.id });

    assert.equal(next.output_text, all);
});


await test("embeddings", async () => {
    const r = await client.embeddings.create(
        { model: "text-embedding-3-small", input: ["a", "b"] });

    assert.equal(r.data.length, 2);
    assert.ok(Math.abs(r.data[1].embedding[2] - 0.3) < 1e-6);
});


await test("F013: an image", async () => {
    const r = await client.images.generate({ model: "gpt-image-1",
                                             prompt: "x" });

    assert.equal(r.data[0].b64_json, "iVBORw0KGgo=");
});


await test("F010: models", async () => {
    const ids = [];

    for await (const m of await client.models.list()) {
        ids.push(m.id);
    }

    assert.ok(ids.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);

    await assert.rejects(client.models.retrieve("gpt-nobody"),
                         sdk.NotFoundError);
});


await test("errors are those that the SDK knows", async () => {
    await assert.rejects(
        new OpenAI({ apiKey: "nobody", baseURL: base + "/v1", maxRetries: 0 })
            .chat.completions.create({ model, messages }),
        (e) => e instanceof sdk.AuthenticationError
               && e.code === "invalid_api_key");

    await assert.rejects(
        client.chat.completions.create(
            { model, messages },
            { headers: { "x-sandbox":
                         "status=400,code=context_length_exceeded" } }),
        (e) => e instanceof sdk.BadRequestError
               && e.code === "context_length_exceeded");
});


await test("another account answers, and the SDK sees nothing", async () => {
    for (const how of ["status=429,code=insufficient_quota", "status=500",
                       "rst-now", "error-first=server_is_overloaded"])
    {
        await behave("sk-one", how);

        const r = await client.responses.stream({ model, input: how })
                        .finalResponse();

        assert.equal(r.output_text, all);
    }

    await behave("sk-one", "");
});


await test("52: an error in the middle of a stream is thrown", async () => {
    for (const make of [
        () => client.chat.completions.create({ model, messages,
                                               stream: true }),
        () => client.responses.create({ model, input: "hi", stream: true })])
    {
        await behave("sk-one", "cut-at=2,delay=60");
        await behave("sk-two", "cut-at=2,delay=60");

        await assert.rejects(async () => {
            for await (const event of await make()) {
                if (event.type === "error") {
                    throw new Error(event.message);
                }
            }
        });
    }

    await behave("sk-one", "");
    await behave("sk-two", "");
});


await test("F022: Azure's client, a chat", async () => {
    const r = await azure.chat.completions.create({ model, messages });

    assert.equal(r.choices[0].message.content, all);
    assert.match((await last()).target,
                 /^\/openai\/deployments\/my-deployment\/chat\/completions/);
});


await test("F022: Azure's client, streams", async () => {
    let text = "";

    for await (const chunk of await azure.chat.completions.create(
                   { model, messages, stream: true }))
    {
        text += chunk.choices[0]?.delta?.content ?? "";
    }

    assert.equal(text, all);

    const r = await azure.responses.stream({ model, input: "hi" })
                    .finalResponse();

    assert.equal(r.output_text, all);
});


await test("F022: Azure's client, embeddings", async () => {
    const r = await azure.embeddings.create({ model: "emb", input: "a" });

    assert.equal(r.data.length, 1);
});


console.log(`1..${count}`);
process.exitCode = failures ? 1 : 0;
