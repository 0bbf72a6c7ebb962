"""Stand-ins for the peers, in a process of their own: ALEX OS as documented, AIWM of generation c, two webhook receivers, a model."""

import asyncio
import json
import multiprocessing
import ssl
from collections import Counter
from pathlib import Path

AGENT_ID = "0123456789abcdef01234567"
INSTRUCTION = "You are a stand-in. " * 20
# The certificate of the tests, for localhost, and the authority that signed it.
TLS_FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "tls"
# An answer of the model: so many pieces of a few words, one after the other at the pace of a model of the usual kind.
PIECES, PIECE_S = 250, 0.02


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


async def attend(reader, writer, seen, is_kept):
    try:
        while await answer(reader, writer, seen, is_kept):
            pass
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def answer(reader, writer, seen, is_kept):
    """One request; whether another may follow."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    lines = head.split("\r\n")
    method, path, _ = lines[0].split(" ")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    await reader.readexactly(int(fields.get("content-length", 0)))
    # Counted by peer: the first part of the path, but /api and /agents by what is asked.
    seen["/".join(path.split("/")[:3]) if path.startswith(("/hook", "/api")) else path.rsplit("/", 1)[1]] += 1
    if path == "/v1/chat/completions":
        await stream(writer)
        return False
    status, body = reply(method, path)
    text = json.dumps(body).encode()
    connection = "keep-alive" if is_kept else "close"
    writer.write(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: {connection}\r\n\r\n".encode() + text
    )
    await writer.drain()
    return is_kept


async def stream(writer):
    """A model's answer, piece by piece."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    for number in range(PIECES + 1):
        delta, finish = ({"content": f"word {number} and "}, None) if number < PIECES else ({}, "stop")
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
        writer.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await writer.drain()
        await asyncio.sleep(PIECE_S)
    writer.write(b"data: [DONE]\n\n")
    await writer.drain()


async def serve(pipe, is_tls):
    seen, tls = Counter(), None
    if is_tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(TLS_FOLDER / "server.pem", TLS_FOLDER / "server.key")
    server = await asyncio.start_server(lambda reader, writer: attend(reader, writer, seen, is_tls), "127.0.0.1", 0, backlog=256, ssl=tls)
    pipe.send(server.sockets[0].getsockname()[1])
    loop = asyncio.get_running_loop()
    loop.add_reader(pipe.fileno(), lambda: (pipe.recv(), pipe.send(dict(seen))))
    await server.serve_forever()


def work(pipe, is_tls):
    try:
        asyncio.run(serve(pipe, is_tls))
    except (KeyboardInterrupt, EOFError, OSError):
        pass


def end(process):
    """Ends a process of ours, also one whose event loop took the signal for itself."""
    process.terminate()
    process.join(10)
    if process.is_alive():
        process.kill()
        process.join()


class StandIns:
    """All peers behind one port; under TLS they keep connections, as servers behind TLS do."""

    def __init__(self, is_tls=False):
        self.is_tls = is_tls
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=work, args=(other, is_tls), daemon=True)
        self.process.start()
        self.port = self.pipe.recv()

    def config(self, beat_s=60):
        """Sections for the agent's config: ALEX OS, AIWM, two webhooks; under TLS also a model and whom to trust."""
        base = f"https://localhost:{self.port}" if self.is_tls else f"http://127.0.0.1:{self.port}"
        more = (
            f'[security]\nauthorities = "{TLS_FOLDER}/authority.pem"\n[[brain.provider]]\nname = "m"\nmodel = "m"\nbase_url = "{base}/v1"\n'
            if self.is_tls
            else ""
        )
        return (
            f'[alex_os]\nmodule_registry_url = "{base}"\nhealth_check_interval = {beat_s}\n'
            f'[aiwm]\nenabled = true\nbase_url = "{base}"\nagent_id = "{AGENT_ID}"\nagent_secret = "stand-in"\nheartbeat_interval = {beat_s}\n'
            f'[[webhooks]]\nurl = "{base}/hook/1"\n[[webhooks]]\nurl = "{base}/hook/2"\n{more}'
        )

    def seen(self):
        """Requests so far, by path."""
        self.pipe.send(None)
        return self.pipe.recv()

    def stop(self):
        end(self.process)
