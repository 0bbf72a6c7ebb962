"""Third-party clients against the real program: Python's `websockets` and `websocket-client` and npm's `ws` follow 50,000
events over ten restarts of the agent under load, half of them kills. Each must see each id once and in order.

Usage: clients.py PATH_OF_CHAINBOT FOLDER_WITH_WS     (`tests/ws/clients` installs what it needs)
       clients.py read LIBRARY PORT COUNT             (one reader; this program starts them)
"""

import asyncio
import hashlib
import http.client
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

EVENTS = 50_000
RESTARTS = 10
# As many commits are under way at once as make a batch, and more.
POSTERS = 40
KIND = "load"
# Above what it takes on two slow cores.
READ_TIME_S = 240


class Agent:
    def __init__(self, program, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.command = [program, "run", "--config", str(folder / "config.toml")]
        ledger = f'[ledger]\npath = "{folder / "ledger.redb"}"\nevents_max = 100000\nsize_max_mib = 64\n'
        (folder / "config.toml").write_text(f"[server]\nport = {self.port}\n{ledger}")
        self.log = open(folder / "log", "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=self.log)
        end = time.monotonic() + 20
        while not self.is_healthy():
            if time.monotonic() > end:
                raise SystemExit("the agent does not answer")
            time.sleep(0.01)

    def is_healthy(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def end(self, is_kill):
        self.process.send_signal(signal.SIGKILL if is_kill else signal.SIGTERM)
        self.process.wait(timeout=10)


class Poster:
    """Posts events over one connection, each until it is acknowledged: its `webhook-id` makes a repetition harmless."""

    def __init__(self, port):
        self.port, self.reader, self.writer = port, None, None

    async def post(self, number):
        body = json.dumps({"event_type": KIND, "data": {"number": number, "text": "x" * (number % 200)}})
        head = (
            f"POST /api/webhooks/chainbot/event HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"webhook-id: n-{number}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        while True:
            try:
                return await asyncio.wait_for(self.ask((head + body).encode()), 15)
            except (OSError, EOFError, ValueError, asyncio.TimeoutError):
                self.close()
                await asyncio.sleep(0.02)

    async def ask(self, request):
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await self.reader.readexactly(length)
        if b"\r\nconnection: close" in head:
            self.close()
        if int(head[9:12]) != 200:
            raise ValueError(head)
        return json.loads(body)["id"]

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.writer = None


async def bring(agent, ids):
    numbers = iter(range(EVENTS))

    async def work():
        poster = Poster(agent.port)
        for number in numbers:
            ids.append(await poster.post(number))
        poster.close()

    async def restart():
        for life in range(1, RESTARTS + 1):
            while len(ids) < EVENTS * life // (RESTARTS + 1):
                await asyncio.sleep(0.01)
            agent.end(is_kill=life % 2 == 0)
            await asyncio.to_thread(agent.start)

    await asyncio.gather(restart(), *(work() for _ in range(POSTERS)))


def digest(ids):
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def connect(library, url):
    """A function that gives the next message."""
    if library == "websockets":
        import websockets.sync.client

        client = websockets.sync.client.connect(url, open_timeout=5, proxy=None).__enter__()
        return lambda: client.recv(timeout=30)
    import websocket

    return websocket.create_connection(url, timeout=30).recv


def read(library, port, count):
    seen, connections = [], 0
    while len(seen) < count:
        since = seen[-1] if seen else "0"
        try:
            receive = connect(library, f"ws://127.0.0.1:{port}/ws/events?type={KIND}&since={since}")
            connections += 1
            while len(seen) < count:
                seen.append(json.loads(receive())["id"])
        except Exception:  # Each library has its own words for a connection that ended.
            time.sleep(0.02)
    print(json.dumps({"library": library, "events": len(seen), "connections": connections, "digest": digest(seen)}))


def main(program, node_modules):
    here = pathlib.Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(program, pathlib.Path(folder))
        agent.start()
        own = [sys.executable, str(here / "clients.py"), "read"]
        arguments = [str(agent.port), str(EVENTS)]
        commands = [own + ["websockets"] + arguments, own + ["websocket-client"] + arguments]
        if node_modules:
            commands.append(["node", str(here / "follow.mjs"), *arguments, KIND])
        readers = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True, cwd=node_modules or None) for each in commands]
        begun = time.monotonic()
        try:
            ids = []
            asyncio.run(bring(agent, ids))
            assert len(set(ids)) == EVENTS, f"{len(set(ids))} ids for {EVENTS} events"
            took = time.monotonic() - begun
            print(f"{EVENTS:,} events acknowledged in {took:.0f} s, {EVENTS / took:,.0f} a second, over {RESTARTS} restarts")
            expected = digest(sorted(ids))
            for reader in readers:
                told = json.loads(reader.communicate(timeout=READ_TIME_S)[0])
                assert told["connections"] > RESTARTS // 2, told
                assert told.pop("digest") == expected, f"not each id once and in order: {told}"
                print(f"{told['library']}: {told['events']:,} events over {told['connections']} connections, each once and in order")
        finally:
            for reader in readers:
                reader.kill()
            agent.end(is_kill=True)


if sys.argv[1] == "read":
    read(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
