"""A server of tools for tests/brain/mcp: `mcp_server.py json|events FILE_FOR_THE_PORT`.

Beside the tools, `GET /forget` makes the server forget all sessions, as a restart would.
"""

import os
import socket
import sys

import uvicorn

FORM, PORT_FILE = sys.argv[1:]


def tools(server):
    @server.tool(description="Adds two numbers.")
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool(name="notes.read", description="Fails always.")
    def read(name: str) -> str:
        raise ValueError(f"there is no note {name}")

    @server.tool(description="Says much.")
    def much() -> str:
        return "x" * 100_000


def app():
    """A new server, which knows no session."""
    try:
        from mcp.server.mcpserver import MCPServer

        server = MCPServer("test")
        tools(server)
        return server.streamable_http_app(json_response=FORM == "json")
    except ImportError:
        from mcp.server.fastmcp import FastMCP

        server = FastMCP("test", json_response=FORM == "json")
        tools(server)
        return server.streamable_http_app()


class Forgetful:
    """Hands requests to a server, or to a new one after `/forget`."""

    def __init__(self):
        self.inner, self.life = None, None

    async def renew(self):
        if self.life is not None:
            await self.life.__aexit__(None, None, None)
        self.inner = app()
        self.life = self.inner.router.lifespan_context(self.inner)
        await self.life.__aenter__()

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            await self.renew()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["path"] == "/forget":
            await self.renew_in_task()
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self.inner(scope, receive, send)

    async def renew_in_task(self):
        # The old server's tasks end with the process: only the task that began them may end them.
        self.life = None
        await self.renew()


listener = socket.create_server(("127.0.0.1", 0))
with open(PORT_FILE + ".new", "w") as file:
    file.write(str(listener.getsockname()[1]))
os.rename(PORT_FILE + ".new", PORT_FILE)
uvicorn.Server(uvicorn.Config(Forgetful(), log_level="warning")).run(sockets=[listener])
