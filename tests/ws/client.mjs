// npm's `ws` against a running agent: connects, brings events, drops its connection and goes on with `since`; then what
// `/ws`, `/ws-test` and a window say. Usage: node client.mjs PORT (with `ws` installed beside it or in NODE_PATH).
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const { WebSocket } = createRequire(process.cwd() + "/")("ws");
const at = `127.0.0.1:${process.argv[2]}`;

function open(path) {
  const socket = new WebSocket(`ws://${at}${path}`);
  const [texts, waiting] = [[], []];
  socket.on("message", (data) => (waiting.shift() ?? ((text) => texts.push(text)))(data.toString()));
  socket.on("error", (error) => { throw error; });
  return { socket, next: () => new Promise((resolve) => texts.length ? resolve(texts.shift()) : waiting.push(resolve)) };
}

async function bring(kind) {
  const body = JSON.stringify({ event_type: kind });
  const headers = { "content-type": "application/json" };
  const reply = await fetch(`http://${at}/api/webhooks/chainbot/event`, { method: "POST", headers, body });
  return (await reply.json()).id;
}

const brought = [];
for (let i = 0; i < 100; i++) brought.push(await bring("ws"));
const seen = [];
for (let connection = 0; seen.length < brought.length; connection++) {
  const reader = open(`/ws/events?type=ws&since=${seen.at(-1) ?? "0"}`);
  for (let i = 0; i < 10; i++) seen.push(JSON.parse(await reader.next()).id);
  reader.socket.terminate();
}
assert.deepEqual(seen, brought);

const echo = open("/ws-test");
assert.equal(JSON.parse(await echo.next()).type, "connected");
echo.socket.send("hello");
assert.deepEqual(JSON.parse(await echo.next()), { type: "echo", message: "hello" });
const closed = new Promise((resolve) => echo.socket.on("close", resolve));
echo.socket.close(1000);
assert.equal(await closed, 1000);

const bot = open("/ws");
assert.equal(JSON.parse(await bot.next()).type, "connection_established");
bot.socket.send("{");
assert.equal(JSON.parse(await bot.next()).payload.error_code, "INVALID_JSON");
bot.socket.terminate();
const map = open("/api/ws/agent-map/ann");
assert.equal(JSON.parse(await map.next()).type, "window_open");
assert.equal(JSON.parse(await map.next()).type, "agent_map_update");
map.socket.terminate();
console.log(`npm ws: ${seen.length} events over ${brought.length / 10} connections`);
