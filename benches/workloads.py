"""What others do with a program while it is measured: clients of one asyncio loop in a process of its own, so that their cost is not the program's."""

import asyncio
import json
import multiprocessing
import os
import struct
import time
from itertools import count

import load
from stand_ins import end

# Of the busy workload.
WEBHOOKS_PER_S, POSTERS, SOCKETS = 50, 4, 20
MINUTE_S = 60
# What ALEX OS asks every half minute for its page of this agent, each over a connection of its own; the page pings as often.
POLLED = ("/api/health", "/api/chainbot/alex-agents", "/api/chainbot/ai-agents", "/api/chainbot/workflows")
ZABBIX_ITEMS = ("agent.ping", "system.cpu.load", "vm.memory.size[available]", "vfs.fs.size[/,pused]")


class Told:
    """What the clients of one program saw. A count `faults` of a workload that went well is 0."""

    def __init__(self):
        self.counts, self.times_ms = {}, []

    def add(self, name, number=1):
        self.counts[name] = self.counts.get(name, 0) + number

    def took(self, begun):
        self.times_ms.append((time.perf_counter() - begun) * 1000)


# --- what a client does, for ever ---


async def post(told, port, request, interval_s, first_s=0.0):
    """A request each interval, over one connection; `request(number)` makes it."""
    connection = load.Connection(port)
    due = time.perf_counter() + first_s
    for number in count():
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        due += interval_s
        begun = time.perf_counter()
        try:
            status = await asyncio.wait_for(connection.ask(request(number)), 30)
            told.add("webhooks" if status == 200 else "faults")
            told.took(begun)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            # One that a server closed while it was idle is no fault: it is opened again, as any client does.
            is_stale = connection.writer is not None and interval_s > 1
            connection.close()
            told.add("reopened" if is_stale else "faults")
            due -= interval_s if is_stale else 0


async def ask(told, port, path, interval_s):
    """GETs a path each interval, each over a new connection, as a scraper or ALEX OS does."""
    while True:
        connection = load.Connection(port)
        try:
            status = await asyncio.wait_for(connection.ask(load.get(path)), 30)
            told.add("polls" if status == 200 else "faults")
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            told.add("faults")
        connection.close()
        await asyncio.sleep(interval_s)


async def opened(port, path):
    """A WebSocket, its handshake done."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    if b" 101 " not in head:
        raise OSError(f"no WebSocket: {head[:40]!r}")
    return reader, writer


def frame(opcode, payload):
    """A client's frame of less than 126 bytes, masked with zeros."""
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


async def follow(told, port, path, said=(), ping=None, ping_s=0.0):
    """Reads a WebSocket and answers its pings; says something at first and, with `ping`, that again and again."""
    try:
        reader, writer = await opened(port, path)
        told.add("sockets")
        for text in said:
            writer.write(frame(1, text))
        pinging = asyncio.ensure_future(say(writer, ping, ping_s)) if ping else None
        while True:
            opcode, payload = await next_frame(reader)
            if opcode == 9:
                writer.write(frame(10, payload))
            elif opcode == 8:
                raise OSError("closed")
            else:
                told.add("messages")
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        told.add("faults")
        if locals().get("pinging"):
            pinging.cancel()


async def say(writer, text, interval_s):
    while True:
        await asyncio.sleep(interval_s)
        writer.write(frame(1, text))


async def next_frame(reader):
    head = await reader.readexactly(2)
    size = head[1] & 127
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    elif size == 127:
        size = int.from_bytes(await reader.readexactly(8), "big")
    return head[0] & 15, await reader.readexactly(size)


async def converse(told, port):
    """Has a model's answer streamed, and then the next."""
    body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "go on"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    while True:
        is_whole = False
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode() + body)
            while not is_whole:
                line = await asyncio.wait_for(reader.readline(), 30)
                if not line:
                    break
                told.add("pieces", line.startswith(b"data: {"))
                is_whole = line.startswith(b"data: [DONE]")
            writer.close()
        except (OSError, asyncio.TimeoutError):
            pass
        told.add("answers" if is_whole else "faults")
        if not is_whole:
            await asyncio.sleep(1)


async def subscribe(told, port):
    """A client of an MQTT broker that has subscribed and pings once a minute."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(mqtt_connect(b"footprint", 2 * MINUTE_S))
        await reader.readexactly(4)
        writer.write(b"\x82\x0b\0\1\0\6events\0")
        await reader.readexactly(5)
        while True:
            await asyncio.sleep(MINUTE_S)
            writer.write(b"\xc0\0")
            await asyncio.wait_for(reader.readexactly(2), 10)
            told.add("polls")
    except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
        told.add("faults")


def mqtt_connect(name, keep_s):
    """CONNECT of MQTT 3.1.1, with a clean session."""
    rest = b"\0\4MQTT\4\2" + struct.pack(">HH", keep_s, len(name)) + name
    return bytes((0x10, len(rest))) + rest


async def check(told, port, minute_s):
    """Asks a Zabbix agent for some items once a minute, as its server does."""
    while True:
        for item in ZABBIX_ITEMS:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"ZBXD\1" + struct.pack("<Q", len(item)) + item.encode())
                answer = await asyncio.wait_for(reader.read(), 10)
                told.add("polls" if answer.startswith(b"ZBXD") else "faults")
                writer.close()
            except (OSError, asyncio.TimeoutError):
                told.add("faults")
        await asyncio.sleep(minute_s)


# --- workloads: the clients of one program ---


def clients(told, kind, port, minute_s):
    """The coroutines of a workload; none is needed for one that nobody talks to. A short run has shorter minutes."""
    # Ids differ from run to run, or the ledger of the run before would know them.
    name = f"{kind}-{os.getpid()}"
    if kind == "normal":
        return [
            post(told, port, lambda number: load.webhook(number, name), minute_s, minute_s / 3),
            follow(told, port, "/ws", (b'{"action":"subscribe","channels":["events","alerts"]}',), b'{"action":"ping"}', minute_s / 2),
            *(ask(told, port, path, minute_s / 2) for path in POLLED),
        ]
    if kind == "minutely":
        return [post(told, port, lambda number: load.webhook(number, name), minute_s, minute_s / 3)]
    if kind == "flooded":
        return posters(told, port, lambda poster: lambda number: load.webhook(number, f"{name}-{poster}"))
    if kind == "busy":
        return [*clients(told, "flooded", port, minute_s), *(follow(told, port, "/ws/events") for _ in range(SOCKETS)), converse(told, port)]
    if kind == "hooked":
        return posters(told, port, lambda poster: lambda number: load.webhook(number).replace(load.PATH.encode(), b"/hooks/note"))
    alone = {
        "scraped": lambda: ask(told, port, "/metrics", minute_s),
        "subscribed": lambda: subscribe(told, port),
        "checked": lambda: check(told, port, minute_s),
    }
    return [alone[kind]()] if kind in alone else []


def posters(told, port, request):
    """Together they post fifty a second, evenly."""
    interval_s = POSTERS / WEBHOOKS_PER_S
    return [post(told, port, request(poster), interval_s, poster / WEBHOOKS_PER_S) for poster in range(POSTERS)]


# --- their process ---


def work(pipe, wanted, minute_s):
    try:
        asyncio.run(serve(pipe, wanted, minute_s))
    except (KeyboardInterrupt, EOFError, OSError):
        pass


async def serve(pipe, wanted, minute_s):
    told = {name: Told() for name, _, _ in wanted}
    tasks = [asyncio.ensure_future(client) for name, kind, port in wanted for client in clients(told[name], kind, port, minute_s)]

    def tell():
        is_short = pipe.recv()
        pipe.send({name: (one.counts, [] if is_short else one.times_ms) for name, one in told.items()})

    asyncio.get_running_loop().add_reader(pipe.fileno(), tell)
    await asyncio.Event().wait()
    return tasks


class Clients:
    """All clients of a run: `wanted` has the program's name, the kind of its workload and its port."""

    def __init__(self, wanted, minute_s=MINUTE_S):
        self.pipe, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=work, args=(other, wanted, minute_s), daemon=True)
        self.process.start()

    def told(self, is_short=False):
        """By program: counts so far, and if not short the times of answers in milliseconds."""
        self.pipe.send(is_short)
        if not self.pipe.poll(30):
            raise SystemExit("the clients do not answer")
        return self.pipe.recv()

    def stop(self):
        end(self.process)
