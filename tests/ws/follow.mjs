// npm's `ws` as a reader of `tests/ws/clients.py`: follows events with `since` until it has seen COUNT of them, and tells
// what it saw. Usage: node follow.mjs PORT COUNT TYPE (with `ws` in the working folder's node_modules).
import { createHash } from "node:crypto";
import { createRequire } from "node:module";

const { WebSocket } = createRequire(process.cwd() + "/")("ws");
const [port, count, kind] = process.argv.slice(2);
const seen = [];
let connections = 0;

function connect() {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws/events?type=${kind}&since=${seen.at(-1) ?? "0"}`);
  socket.on("open", () => connections++);
  socket.on("error", () => {});
  socket.on("message", (data) => {
    seen.push(JSON.parse(data).id);
    if (seen.length === Number(count)) tell();
  });
  socket.on("close", () => setTimeout(connect, 20));
}

function tell() {
  const digest = createHash("sha256").update(seen.join("\n")).digest("hex");
  console.log(JSON.stringify({ library: "npm ws", events: seen.length, connections, digest }));
  process.exit(0);
}

connect();
