"""Clients: HTTP over raw sockets on one asyncio loop, fast enough to keep the agent busy; and hostile ones."""

import asyncio
import socket
import time

PATH = "/api/webhooks/chainbot/workflow/started"
BODY = (
    b'{"workflow_id":"wf-%06d","workflow_name":"footprint","status":"started","started_at":"2026-01-01T00:00:00Z",'
    b'"metadata":{"step":1,"note":"a webhook of the usual size, about three hundred bytes, so that figures mean something"},'
    b'"agents":["one","two","three"],"tags":["bench","load","webhook"]}'
)


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def webhook(number, name=""):
    """A webhook; `name` makes its id, so that it is taken once."""
    body = BODY % number
    identity = f"webhook-id: {name}-{number}\r\n" if name else ""
    head = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{identity}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def webhooks(name, numbers):
    return (webhook(number, name) for number in numbers)


class Tally:
    """What was answered, and how long it took."""

    def __init__(self):
        self.statuses, self.times_ms, self.broken = {}, [], 0

    def add(self, status, begun):
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.times_ms.append((time.perf_counter() - begun) * 1000)

    @property
    def good(self):
        return self.statuses.get(200, 0)

    def percentile(self, percent):
        times = sorted(self.times_ms)
        return times[min(len(times) - 1, len(times) * percent // 100)] if times else 0.0

    def faults(self):
        """Everything but 200."""
        faults = {str(status): count for status, count in sorted(self.statuses.items()) if status != 200}
        return {**faults, "broken": self.broken} if self.broken else faults


class Connection:
    """One kept-alive connection, opened when needed."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def ask(self, request):
        """The status of the answer, its body read."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=256 * 1024)
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        await self.body(head.lower())
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return int(head[9:12])

    async def body(self, head):
        if b"\r\ncontent-length:" in head:
            await self.reader.readexactly(int(head.split(b"\r\ncontent-length:")[1].split(b"\r\n")[0]))
        elif b"\r\ntransfer-encoding: chunked" in head:
            size = None
            while size != 0:
                size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
                await self.reader.readexactly(size + 2)

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.writer = None


async def ask_until(port, requests, ended, tally, interval_s=0.0):
    """Sends one request after the other until `ended()`; with an interval, no faster than that."""
    connection = Connection(port)
    due = time.perf_counter()
    while not ended():
        begun = time.perf_counter()
        try:
            tally.add(await connection.ask(next(requests)), begun)
        except StopIteration:
            break
        except (OSError, asyncio.IncompleteReadError):
            tally.broken += 1
            connection.close()
            await asyncio.sleep(0.05)
        if interval_s:
            due += interval_s
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
    connection.close()


def run(port, sources, seconds=None, interval_s=0.0):
    """One connection for each source of requests, all at once; a tally for each, and the seconds it took."""
    begun = time.perf_counter()
    tallies = [Tally() for _ in sources]

    def ended():
        return seconds is not None and time.perf_counter() - begun > seconds

    async def all_of_them():
        await asyncio.gather(*(ask_until(port, source, ended, tally, interval_s) for source, tally in zip(sources, tallies)))

    asyncio.run(all_of_them())
    return tallies, time.perf_counter() - begun


def merged(tallies):
    whole = Tally()
    for tally in tallies:
        whole.times_ms += tally.times_ms
        whole.broken += tally.broken
        for status, count in tally.statuses.items():
            whole.statuses[status] = whole.statuses.get(status, 0) + count
    return whole


# What hostile clients send, and then nothing more.
SLOW_HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Filler: " + b"a" * 8000
HELD_BODY = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n".encode() + b"a" * 65535
NEVER_READING = get("/api/events?limit=1000") * 30


def hold(port, count, sent, seconds):
    """Opens `count` connections, sends the same over each, reads nothing, holds them. How many were still open at the end."""
    held = []
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect_ex(("127.0.0.1", port))
        held.append([client, sent])
    begun, is_open = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        for row in held:
            try:
                row[1] = row[1][row[0].send(row[1]):] if row[1] else b""
            except OSError:
                pass
        time.sleep(0.02)
    for client, _ in held:
        is_open += is_kept(client)
        client.close()
    return is_open


def is_kept(client):
    """Whether the agent keeps the connection; one turned away has a 503 to read, or the end."""
    try:
        return client.recv(12) not in (b"", b"HTTP/1.1 503")
    except BlockingIOError:
        return True
    except OSError:
        return False
