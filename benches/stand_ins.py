"""Stand-ins for the peers, in a process of their own: ALEX OS as documented, AIWM of generation c, two webhook receivers."""

import asyncio
import json
import multiprocessing
from collections import Counter

AGENT_ID = "0123456789abcdef01234567"
INSTRUCTION = "You are a stand-in. " * 20


def reply(method, path):
    """Status and JSON of the answer."""
    if path == "/api/agents/register":
        return 201, {"agent_id": "alex-0001", "status": "registered"}
    if path == "/api/agents/canon":
        return 200, {"agents": [{"name": "harry", "version": "2.1.0", "description": "d", "capabilities": ["reasoning"]}]}
    if path.startswith("/api/webhooks/chainbot/"):
        return 200, {"status": "success"}
    if path == f"/agents/{AGENT_ID}/connect":
        return 201, {
            "accessToken": "eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoiYWdlbnQifQ.c3RhbmQtaW4", "tokenType": "bearer", "expiresIn": 86400,
            "refreshToken": None, "refreshExpiresIn": 0, "id": AGENT_ID, "name": "Stand-in",
            "instruction": {"id": AGENT_ID, "systemPrompt": f"<system>{INSTRUCTION}</system>"},
            "tools": [{"_id": f"t{n}", "name": f"tool_{n}", "type": "mcp", "description": "d", "status": "active"} for n in range(8)],
            "allowedFunctions": [], "framework": "claude-agent-sdk", "mcpServers": {}, "settings": {"claude_maxTurns": 7}, "channels": [],
        }
    if path == "/agents/heartbeat" or (path.startswith("/agents/") and method == "POST"):
        return 201, {"success": True}
    return (200, {"ok": True}) if path.startswith("/hook/") else (404, {"detail": "Not Found"})


async def attend(reader, writer, seen):
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = head.split("\r\n")
        method, path, _ = lines[0].split(" ")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        await reader.readexactly(int(fields.get("content-length", 0)))
        # Counted by peer: the first part of the path, but /api and /agents by what is asked.
        seen["/".join(path.split("/")[:3]) if path.startswith(("/hook", "/api")) else path.rsplit("/", 1)[1]] += 1
        status, body = reply(method, path)
        text = json.dumps(body).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text
        )
        await writer.drain()
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def serve(pipe):
    seen = Counter()
    server = await asyncio.start_server(lambda reader, writer: attend(reader, writer, seen), "127.0.0.1", 0, backlog=256)
    pipe.send(server.sockets[0].getsockname()[1])
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.fileno(), lambda: (pipe.recv(), pipe.send(dict(seen))))
    await server.serve_forever()


def work(pipe):
    try:
        asyncio.run(serve(pipe))
    except (KeyboardInterrupt, EOFError, OSError):
        pass


class StandIns:
    """All peers behind one port."""

    def __init__(self):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=work, args=(other,), daemon=True)
        self.process.start()
        self.port = self.pipe.recv()

    def config(self, beat_s):
        """Sections for the agent's config: ALEX OS, AIWM, two webhooks."""
        base = f"http://127.0.0.1:{self.port}"
        return (
            f'[alex_os]\nmodule_registry_url = "{base}"\nhealth_check_interval = {beat_s}\n'
            f'[aiwm]\nenabled = true\nbase_url = "{base}"\nagent_id = "{AGENT_ID}"\nagent_secret = "stand-in"\nheartbeat_interval = {beat_s}\n'
            f'[[webhooks]]\nurl = "{base}/hook/1"\n[[webhooks]]\nurl = "{base}/hook/2"\n'
        )

    def seen(self):
        """Requests so far, by path."""
        self.pipe.send(None)
        return self.pipe.recv()

    def stop(self):
        self.process.terminate()
        self.process.join()
