// The google SDK's part of t/clients/gemini.t: prints TAP.

import { pathToFileURL } from "node:url";

const { CR_SDK, CR_BASE, CR_KEY } = process.env;

const { GoogleGenAI } = await import(pathToFileURL(CR_SDK));

let count = 0;
let failed = 0;


function ok(passed, name, what) {
    count++;

    if (!passed) {
        failed++;
        console.log(`# ${JSON.stringify(what)}`);
    }

    console.log(`${passed ? "" : "not "}ok ${count} - ${name}`);
}


function client(options) {
    return new GoogleGenAI({
        apiKey: CR_KEY,
        httpOptions: { baseUrl: CR_BASE, ...options },
    });
}


async function thrown(call) {
    try {
        await call();
        return {};
    } catch (error) {
        return error;
    }
}


const ai = client();
const model = "gemini-2.5-flash";

const answer = await ai.models.generateContent({
    model, contents: "Hello",
    config: { systemInstruction: "Be brief.", maxOutputTokens: 99 },
});

ok(/^Gemini of the sandbox/.test(answer.text), "F014: generateContent",
   answer);
ok(answer.usageMetadata.candidatesTokenCount === 5, "its usage", answer);
ok(answer.modelVersion === model, "its model", answer);

let text = "";
let finish;

for await (const chunk of await ai.models.generateContentStream({
    model, contents: "Hello",
})) {
    text += chunk.text ?? "";
    finish = chunk.candidates?.[0]?.finishReason ?? finish;
}

ok(text === answer.text, "F014: generateContentStream", text);
ok(finish === "STOP", "its end", finish);

const call = await ai.models.generateContent({
    model, contents: "#tool look",
    config: { tools: [{ functionDeclarations: [{ name: "look" }] }] },
});

ok(call.functionCalls?.[0]?.name === "look", "a function is called", call);

const chat = ai.chats.create({ model });

await chat.sendMessage({ message: "one" });
await chat.sendMessage({ message: "two" });

ok(chat.getHistory().length === 4, "a chat", chat.getHistory());

const tokens = await ai.models.countTokens({ model, contents: "Hello" });

ok(tokens.totalTokens === 12, "F014: countTokens", tokens);

const embedded = await ai.models.embedContent({
    model: "gemini-embedding-001", contents: ["one", "two"],
});

ok(embedded.embeddings.length === 2, "embedContent of two", embedded);

const wrong = await thrown(() => new GoogleGenAI({
    apiKey: "wrong", httpOptions: { baseUrl: CR_BASE },
}).models.generateContent({ model, contents: "Hello" }));

ok(wrong.status === 401 && /UNAUTHENTICATED/.test(wrong.message),
   "a wrong key is an error that the SDK knows", `${wrong}`);

const none = await thrown(() => client({ baseUrl: `${CR_BASE}/none` })
    .models.generateContent({ model: "gemini-9", contents: "Hello" }));

ok(none.status === 404 && /NOT_FOUND/.test(none.message),
   "a model that nobody serves", `${none}`);

const limited = await thrown(() => client({
    headers: { "x-sandbox": "status=429,retry-delay=1s" },
}).models.generateContent({ model: "gemini-x", contents: "Hello" }));

ok(limited.status === 429 && /RetryInfo/.test(limited.message),
   "a limit, in Google's words", `${limited}`);

const cut = await thrown(async () => {
    const stream = await client({ headers: { "x-sandbox": "cut-at=2" } })
        .models.generateContentStream({ model: "gemini-y",
                                        contents: "Hello" });

    for await (const chunk of stream) {
        text = chunk.text;
    }
});

ok(/INTERNAL/.test(cut.message ?? ""), "a stream that broke is an error",
   `${cut}`);

console.log(`1..${count}`);
process.exit(failed ? 1 : 0);
