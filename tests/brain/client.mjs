// npm's `openai` against the agent: node client.mjs BASE ANSWER. Three questions: whole, streamed, with a call of a tool.
import assert from "node:assert";
import OpenAI from "openai";

const [base, answer] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: "not looked at", maxRetries: 0 });
const messages = [{ role: "user", content: "hi" }];

const whole = await client.chat.completions.create({ model: "gpt-4o", messages });
assert.equal(whole.choices[0].message.content, answer);

let text = "";
for await (const chunk of await client.chat.completions.create({ model: "mock", messages, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
assert.equal(text, answer);

const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];
const called = await client.chat.completions.create({ model: "tools", messages, tools });
assert.equal(called.choices[0].message.tool_calls[0].function.name, "weather");

await assert.rejects(client.chat.completions.create({ model: "mock", messages: [] }), OpenAI.BadRequestError);
console.log("openai (npm): whole, streamed, tool calls, errors");
