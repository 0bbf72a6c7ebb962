"""Peers behind bad weather: stand-ins for ALEX OS, AIWM, a webhook receiver and a model, each behind a proxy that does to a connection what it is told.

All of it runs on one asyncio loop in a thread of its own; the part sets rules and reads lists from its own thread.
"""

import asyncio
import json
import socket
import struct
import threading
import time
from collections import deque, namedtuple

from stand_ins import reply

# What becomes of a connection. `way`: "to" the peer or "back" from it; `at`: the byte where it happens.
Rule = namedtuple("Rule", "kind way at", defaults=("to", 0))
CLEAN = Rule("clean")
DRIP_S = 1.0


class Peers:
    """Every peer on one port; keeps what the webhook receiver got."""

    def __init__(self):
        self.got, self.asked = [], {}

    async def attend(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split("\r\n")[0].split(" ")
            length = [row for row in head.lower().split("\r\n") if row.startswith("content-length:")]
            body = await reader.readexactly(int(length[0].split(":")[1]) if length else 0)
            self.asked[path] = self.asked.get(path, 0) + 1
            if path == "/hook/1":
                self.got.append(json.loads(body)["id"])
            if path == "/v1/chat/completions":
                status, answer = 200, {"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "so it is"}, "finish_reason": "stop"}]}
            else:
                status, answer = reply(method, path)
            text = json.dumps(answer).encode()
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text)
            await writer.drain()
        except (OSError, ValueError, KeyError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()


class Sky:
    """One proxy: what its next connections meet (`rules`, then `always`), when they came (and for what, if they were reset), and how many bytes the longest clean one was."""

    def __init__(self, peer_port):
        self.peer_port, self.rules, self.always = peer_port, deque(), CLEAN
        self.came, self.refused, self.done, self.lengths = [], [], 0, (0, 0)

    async def start(self):
        server = await asyncio.start_server(self._attend, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]

    async def _attend(self, reader, writer):
        self.came.append(time.monotonic())
        rule = self.rules.popleft() if self.rules else self.always
        try:
            await self._meet(rule, reader, writer)
        except (OSError, ValueError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            self.done += rule is not CLEAN

    async def _meet(self, rule, reader, writer):
        if rule.kind == "reset":
            head = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
            self.refused.append((self.came[-1], head.split(b" ")[1].decode("latin-1")))
            return leave_rudely(writer)
        if rule.kind == "silent":
            while await reader.read(65536):
                pass
            return None
        there, back = await asyncio.open_connection("127.0.0.1", self.peer_port)
        try:
            ends = [self._pass(reader, back, rule, "to"), self._pass(there, writer, rule, "back")]
            tasks = [asyncio.ensure_future(end) for end in ends]
            # The answer's end is the connection's; a cut is the end of both ways.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED if rule.kind == "cut" else asyncio.ALL_COMPLETED)
            if rule is CLEAN:
                self.lengths = tuple(max(task.result(), most) for task, most in zip(tasks, self.lengths))
            for task in tasks:
                task.cancel()
            if rule.kind == "cut" and rule.at % 2:
                leave_rudely(writer)
        finally:
            back.close()

    async def _pass(self, reader, writer, rule, way):
        passed, is_mine = 0, rule.way == way
        while data := await reader.read(65536):
            if is_mine and rule.kind == "cut" and passed + len(data) >= rule.at:
                writer.write(data[:rule.at - passed])
                await writer.drain()
                return passed
            if is_mine and rule.kind == "corrupt" and passed <= rule.at < passed + len(data):
                data = bytearray(data)
                data[rule.at - passed] ^= 1 << rule.at % 8
            if is_mine and rule.kind == "drip":
                for byte in data:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(DRIP_S)
            else:
                writer.write(bytes(data))
                await writer.drain()
            passed += len(data)
        if way == "back":
            writer.close()
        return passed


def leave_rudely(writer):
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class NameServer(asyncio.DatagramProtocol):
    """Keeps silent until it is told to answer; then every name is loopback."""

    def __init__(self):
        self.answers, self.asked = False, 0

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.asked += 1
        if self.answers and len(data) > 16:
            end = data.index(b"\0", 12) + 5
            is_a = data[end - 4:end - 2] == b"\0\1"
            record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" if is_a else b""
            self.transport.sendto(data[:2] + b"\x81\x80\0\1" + (b"\0\1" if is_a else b"\0\0") + bytes(4) + data[12:end] + record, address)


class Weather:
    """The thread; `sky[name]` is the proxy before each peer."""

    NAMES = ("alexos", "aiwm", "hook", "model")

    def __init__(self, has_names=True):
        self.peers, self.sky, self.names, self.has_names = Peers(), {}, NameServer(), has_names
        self.loop, ready = asyncio.new_event_loop(), threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait(10)

    def _run(self, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.set_exception_handler(lambda *_: None)

        async def start():
            server = await asyncio.start_server(self.peers.attend, "127.0.0.1", 0, backlog=256)
            for name in self.NAMES:
                self.sky[name] = Sky(server.sockets[0].getsockname()[1])
                await self.sky[name].start()
            if self.has_names:
                await self.loop.create_datagram_endpoint(lambda: self.names, ("127.0.0.1", 53))
            ready.set()

        self.loop.run_until_complete(start())
        self.loop.run_forever()

    def everywhere(self, rule):
        for sky in self.sky.values():
            sky.rules.clear()
            sky.always = rule
