/*
 * Clients of Bedrock through the relay, the relay before the sandbox: the
 * Bedrock SDK of Anthropic and AWS's own.  Prints TAP.  Started by bedrock.t,
 * which tells where all of them are:
 *
 *   CR_BASE     the relay, with accounts of platform bedrock
 *   CR_KEY      a key of the relay
 *   CR_MODULES  node_modules
 */

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const base = process.env.CR_BASE;
const key = process.env.CR_KEY;
const require = createRequire(process.env.CR_MODULES + "/");

const model = "us.anthropic.claude-opus-4-8";
const answer = "This is the sandbox upstream ";
const question = [{ role: "user", content: "hello" }];

let n = 0;
let failed = 0;

async function test(name, run) {
    try {
        await run();
        console.log(`ok ${++n} - ${name}`);

    } catch (e) {
        failed++;
        console.log(`not ok ${++n} - ${name}`);
        console.log(String(e.stack).replace(/^/gm, "# "));
    }
}


// Anthropic's

const { AnthropicBedrock } = require("@anthropic-ai/bedrock-sdk");

function bedrock(secret) {
    return new AnthropicBedrock({
        skipAuth: true, awsRegion: "us-east-1", baseURL: base + "/bedrock",
        defaultHeaders: { "x-api-key": secret ?? key }, maxRetries: 0,
    });
}

await test("F082: bedrock-sdk: a message", async () => {
    const m = await bedrock().messages.create({
        model, max_tokens: 50, messages: question });

    assert.equal(m.content[0].text.slice(0, answer.length), answer);
    assert.ok(m.usage.output_tokens > 0);
});

await test("F082: bedrock-sdk: a stream", async () => {
    const types = [];
    let text = "";

    const stream = await bedrock().messages.create({
        model, max_tokens: 50, messages: question, stream: true });

    for await (const event of stream) {
        types.push(event.type);
        text += event.delta?.text ?? "";
    }

    assert.equal(types[0], "message_start");
    assert.equal(types.at(-1), "message_stop");
    assert.equal(text.slice(0, answer.length), answer);
});

await test("F082: bedrock-sdk: a stream gathered", async () => {
    const m = await bedrock().messages.stream({
        model, max_tokens: 50, messages: question }).finalMessage();

    assert.equal(m.stop_reason, "end_turn");
});

await test("F082: bedrock-sdk: a wrong key", async () => {
    await assert.rejects(bedrock("nobody").messages.create({
        model, max_tokens: 50, messages: question }), { status: 401 });
});


// AWS's

const aws = require("@aws-sdk/client-bedrock-runtime");

process.env.AWS_BEARER_TOKEN_BEDROCK = key;
process.env.AWS_EC2_METADATA_DISABLED = "true";

// without TLS it would begin with HTTP/2 all the same

const { NodeHttpHandler } = require("@smithy/node-http-handler");

function runtime(path) {
    return new aws.BedrockRuntimeClient({
        region: "us-east-1", endpoint: base + (path ?? "/bedrock"),
        maxAttempts: 1, requestHandler: new NodeHttpHandler() });
}

function body() {
    return JSON.stringify({ anthropic_version: "bedrock-2023-05-31",
                            max_tokens: 50, messages: question });
}

await test("F082: AWS SDK: InvokeModel", async () => {
    const r = await runtime().send(new aws.InvokeModelCommand({
        modelId: "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        contentType: "application/json", body: body() }));
    const m = JSON.parse(new TextDecoder().decode(r.body));

    assert.equal(m.content[0].text.slice(0, answer.length), answer);
});

await test("F082: AWS SDK: InvokeModelWithResponseStream", async () => {
    const r = await runtime().send(
        new aws.InvokeModelWithResponseStreamCommand({
            modelId: model, contentType: "application/json",
            body: body() }));
    const events = [];

    for await (const item of r.body) {
        events.push(JSON.parse(new TextDecoder().decode(item.chunk.bytes)));
    }

    assert.equal(events[0].type, "message_start");
    assert.equal(events.at(-1).type, "message_stop");
    assert.ok(events.at(-1)["amazon-bedrock-invocationMetrics"]);
});

await test("F082: AWS SDK: an ARN", async () => {
    await runtime().send(new aws.InvokeModelCommand({
        modelId: "arn:aws:bedrock:us-east-1:123456789012:inference-profile/"
                 + model,
        contentType: "application/json", body: body() }));
});

await test("F082: AWS SDK: CountTokens", async () => {
    const r = await runtime().send(new aws.CountTokensCommand({
        modelId: "anthropic.claude-opus-4-8",
        input: { invokeModel: { body: new TextEncoder().encode(body()) } } }));

    assert.ok(r.inputTokens > 0);
});

await test("F082: AWS SDK: errors have their classes", async () => {
    await assert.rejects(runtime().send(new aws.InvokeModelCommand({
        modelId: model, contentType: "application/json",
        body: "nonsense" })), { name: "ValidationException" });
});

await test("F082: AWS SDK: an exception in a stream", async () => {
    const r = await runtime("/broken").send(
        new aws.InvokeModelWithResponseStreamCommand({
            modelId: model, contentType: "application/json",
            body: body() }));

    await assert.rejects(async () => {
        for await (const item of r.body) {
            assert.ok(item.chunk);
        }
    }, { name: "ServiceUnavailableException" });
});

console.log(`1..${n}`);
process.exit(failed ? 1 : 0);
