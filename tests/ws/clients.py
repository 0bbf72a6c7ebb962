"""Third-party Python clients against the real program: Python `websockets` and `websocket-client` connect, read, and go
on with `since` over restarts of the agent; each sees each event once and in order.

Usage: clients.py PATH_OF_CHAINBOT   (both packages must be installed; `tests/ws/clients` does that in a folder that goes away)
"""

import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import websocket
import websockets.sync.client

RESTARTS = 10
EVENTS_PER_LIFE = 200


class Agent:
    def __init__(self, program, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.command = [program, "run", "--config", str(folder / "config.toml")]
        config = f'[server]\nport = {self.port}\n[ledger]\npath = "{folder / "ledger.redb"}"\n'
        (folder / "config.toml").write_text(config)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                return self.ask("/health")
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def end(self, is_kill):
        self.process.send_signal(signal.SIGKILL if is_kill else signal.SIGTERM)
        self.process.wait(timeout=10)

    def ask(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)

    def bring(self, kind):
        return self.ask("/api/webhooks/chainbot/event", {"event_type": kind})["id"]


def open_websockets(url):
    client = websockets.sync.client.connect(url, open_timeout=5, max_queue=None).__enter__()
    return lambda: client.recv(timeout=10)


def open_websocket_client(url):
    client = websocket.create_connection(url, timeout=10)
    return client.recv


class Reader(threading.Thread):
    """Reads until it has seen `last`, connecting again whenever its connection ends."""

    def __init__(self, agent, connect):
        super().__init__(daemon=True)
        self.agent, self.connect = agent, connect
        self.seen, self.connections, self.last = [], 0, None

    def run(self):
        while not self.is_done():
            since = self.seen[-1] if self.seen else "0"
            try:
                receive = self.connect(f"ws://127.0.0.1:{self.agent.port}/ws/events?since={since}")
                self.connections += 1
                while not self.is_done():
                    self.seen.append(json.loads(receive())["id"])
            except Exception:  # Each library has its own words for a connection that ended.
                time.sleep(0.02)

    def is_done(self):
        return self.last is not None and bool(self.seen) and self.seen[-1] >= self.last


def main():
    with tempfile.TemporaryDirectory() as folder:
        agent = Agent(sys.argv[1], pathlib.Path(folder))
        agent.start()
        readers = [Reader(agent, open_websockets), Reader(agent, open_websocket_client)]
        for reader in readers:
            reader.start()
        brought = []
        try:
            for life in range(RESTARTS + 1):
                brought += [agent.bring(f"e{index}") for index in range(EVENTS_PER_LIFE)]
                if life < RESTARTS:
                    agent.end(is_kill=life % 2 == 1)
                    agent.start()
            for reader in readers:
                reader.last = brought[-1]
            for reader in readers:
                reader.join(timeout=30)
                name = reader.connect.__name__
                assert not reader.is_alive(), f"{name}: {len(reader.seen)} events seen"
                assert reader.seen == sorted(set(reader.seen)), f"{name}: not in order, or twice"
                missing = set(brought) - set(reader.seen)
                assert not missing, f"{name}: {len(missing)} missing"
                print(f"{name}: {len(reader.seen)} events over {reader.connections} connections")
        finally:
            agent.end(is_kill=True)


main()
