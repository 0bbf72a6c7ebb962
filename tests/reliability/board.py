"""What the parts that hurt the board share: the program as a process, its peers, those who bring webhooks, and what it keeps."""

import argparse
import fcntl
import http.client
import http.server
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "boot"))

import peers as stand_ins  # noqa: E402

PATH = "/api/webhooks/chainbot/event"


def arguments(document):
    parser = argparse.ArgumentParser(description=document.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the form of .ci/run")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/chainbot", help="the program")
    parser.add_argument("--seed", type=int, help="of what is left to chance; 1 in the short form, so that it can be repeated")
    parser.add_argument("--only", help="one of its cases")
    given = parser.parse_args()
    if given.seed is None:
        given.seed = 1 if given.short else int.from_bytes(os.urandom(4), "big")
    if not given.binary.exists():
        subprocess.run(["cargo", "build", "--locked", "--release", "--bin", "chainbot"], cwd=ROOT, check=True)
    given.binary = given.binary.resolve()
    say(f"seed {given.seed}")
    return given


def say(words):
    print(words, flush=True)


def fact(name, value, limit):
    print(f"FACT {name}: {value} ({limit})", flush=True)


class Broken(Exception):
    """Something does not hold."""


def need(program, package):
    """The program, from the package if it is missing."""
    if shutil.which(program) is None:
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        for words in (["update", "-q"], ["install", "-qy", "--no-install-recommends", package]):
            subprocess.run([*as_root, "apt-get", *words], check=True, stdout=sys.stderr)
    if shutil.which(program) is None:
        raise SystemExit(f"{program} is missing: install the package {package}")


def clean_environment():
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def free_port():
    """A port of loopback that nobody has, and that the system gives to no outgoing connection while the program is away."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(first // 2, first)
        with socket.socket() as taken:
            try:
                taken.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Board:
    """The program with a folder of its own, started as often as one likes."""

    def __init__(self, program, folder=None, peers=None, more="", ledger=""):
        self.program, self.peers = program, peers
        self.own = tempfile.TemporaryDirectory(prefix="chainbot-board-") if folder is None else None
        self.folder = pathlib.Path(self.own.name if self.own else folder)
        self.state = self.folder / "state"
        self.ledger = self.state / "ledger.redb"
        self.port = free_port()
        self.config = self.folder / "config.toml"
        self.more, self.ledger_keys = more, ledger
        self.process = None
        self.log = []
        self.write_config()

    def write_config(self, more=""):
        text = f'[server]\nhost = "127.0.0.1"\nport = {self.port}\n[log]\nlevel = "info"\n'
        text += f'[ledger]\npath = "{self.ledger}"\n{self.ledger_keys}'
        if self.peers:
            url = f"http://127.0.0.1:{self.peers.port}"
            text += f'[alex_os]\nmodule_registry_url = "{url}"\nhealth_check_interval = 1\nregistration_retry_interval = 1\n'
            text += f'[aiwm]\nenabled = true\nbase_url = "{url}"\nagent_id = "{stand_ins.AGENT_ID}"\n'
            text += f'agent_secret = "{stand_ins.SECRET}"\nheartbeat_interval = 1\nretry_interval = 1\n'
        self.config.write_text(text + self.more + more)

    def start(self, before=(), is_waited_for=True, within=20, environment=None, **how):
        """Starts it, behind these words (strace, prlimit), and waits until it answers."""
        self.log.append("--- start")
        self.process = subprocess.Popen(
            [*before, str(self.program), "run", "--config", str(self.config)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, env={**clean_environment(), **(environment or {})}, text=True, errors="replace",
            start_new_session=True, **how,
        )
        process = self.process

        def read():
            for line in process.stderr:
                self.log.append(line.rstrip())
        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        if is_waited_for:
            self.wait_ready(within)

    def wait_ready(self, within=20):
        """Waits for a good answer to /health; how long that took, in seconds."""
        began = time.monotonic()
        while True:
            try:
                if self.ask("GET", "/health", timeout=2)[0] == 200:
                    return time.monotonic() - began
            except OSError:
                pass
            if self.process.poll() is not None:
                raise Broken(f"it ended with {self.process.returncode} instead of starting")
            if time.monotonic() - began > within:
                raise Broken(f"no good /health within {within} s")
            time.sleep(0.004)

    def ask(self, method, path, body=None, headers=(), timeout=10):
        """Status, headers and JSON of the answer; OSError if there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            content = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body, {**content, **dict(headers)})
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise OSError(f"no answer: {error!r}") from error
        finally:
            connection.close()
        try:
            said = json.loads(text)
        except ValueError:
            said = text
        return answer.status, answer.headers, said

    def bring(self, name, body, timeout=10):
        """Brings a webhook with this id."""
        return self.ask("POST", PATH, json.dumps(body), {"webhook-id": name}, timeout)

    def events(self, query=""):
        """All events that are shown, oldest first."""
        shown, since = [], "0"
        while True:
            status, _, said = self.ask("GET", f"/api/events?limit=1000&since={since}{query}", timeout=30)
            if status != 200:
                raise Broken(f"/api/events answers {status}")
            shown += said["events"]
            if not said["events"]:
                return shown
            since = said["next"]

    def say(self, session, words, timeout=30):
        return self.ask("POST", "/api/chat", json.dumps({"session_id": session, "message": words}), timeout=timeout)

    def kill(self):
        """As the power would: no goodbye."""
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.process = None
            self.wait_unlocked()

    def wait_unlocked(self):
        """A child that checks the ledger ends a moment after its parent, and has it until then."""
        if not self.ledger.exists():
            return
        end = time.monotonic() + 5
        with open(self.ledger, "rb") as file:
            while time.monotonic() < end:
                try:
                    return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    time.sleep(0.001)

    def stop(self, within=15):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within)
        self.process = None
        return code

    def close(self):
        self.kill()
        if self.own:
            self.own.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and kind is not KeyboardInterrupt:
            say("--- the end of its log")
            for line in self.log[-40:]:
                say(line)
        self.close()


class Neighbours:
    """A receiver of `[[webhooks]]` and a model on one port of loopback; both can be told to be away."""

    def __init__(self):
        self.lock = threading.Lock()
        self.delivered = []
        self.is_away = False
        neighbours = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if neighbours.is_away:
                    return self.say(503, "application/json", b"{}")
                if self.path == "/hook":
                    with neighbours.lock:
                        neighbours.delivered.append((self.headers.get("webhook-id"), body))
                    return self.say(200, "application/json", b"{}")
                self.say(200, "text/event-stream", neighbours.answer(json.loads(body)))

            def say(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *connection: None
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, question):
        """A model's answer: who says "tool" has one called first."""
        last = question["messages"][-1]
        if last["role"] == "user" and "tool" in str(last["content"]):
            call = {"index": 0, "id": "call_0", "type": "function", "function": {"name": "system-info", "arguments": "{}"}}
            delta, finish = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        else:
            delta, finish = {"role": "assistant", "content": f"so you say: {str(last['content'])[:200]}"}, "stop"
        pieces = [{"choices": [{"index": 0, "delta": delta}]}, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
                  {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}]
        lines = ["data: " + json.dumps({"id": "c", "object": "chat.completion.chunk", "model": "m", **piece}) for piece in pieces]
        return ("\n\n".join([*lines, "data: [DONE]"]) + "\n\n").encode()

    def hook(self):
        return f'[[webhooks]]\nurl = "http://127.0.0.1:{self.port}/hook"\n'

    def provider(self):
        return f'[[brain.provider]]\nname = "near"\nbase_url = "http://127.0.0.1:{self.port}/v1"\nmodel = "m"\n'

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Senders:
    """Clients that bring webhooks one after the other, each again with its id until it is taken, as good clients do."""

    def __init__(self, board, count=8, prefix="load", size=0):
        self.board, self.prefix, self.size = board, prefix, size
        self.lock = threading.Lock()
        self.next = 0
        self.taken, self.open = {}, {}
        self.refusals, self.wrong = {}, []
        self.is_over = False
        self.threads = [threading.Thread(target=self.send, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def body(self, name):
        dice = random.Random(name)
        return {"event_type": self.prefix, "name": name, "fill": "x" * dice.randint(0, self.size)}

    def send(self):
        while not self.is_over:
            with self.lock:
                self.next += 1
                name = f"{self.prefix}-{self.next}"
                self.open[name] = True
            self.send_one(name)

    def send_one(self, name):
        while not self.is_over:
            try:
                status, headers, said = self.board.bring(name, self.body(name), 5)
            except OSError:
                time.sleep(0.002)
                continue
            if status == 200:
                with self.lock:
                    self.taken[name] = said["id"]
                    self.open.pop(name, None)
                return
            with self.lock:
                self.refusals[status] = self.refusals.get(status, 0) + 1
                if status not in (429, 503, 507) or "Retry-After" not in headers:
                    self.wrong.append((status, dict(headers), said))
            time.sleep(0.02)

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join(30)

    def settle(self):
        """Everything that is open is brought again, now that all is well."""
        for name in sorted(self.open):
            status, _, said = self.board.bring(name, self.body(name), 30)
            if status != 200:
                raise Broken(f"{name} is answered {status} although all is well")
            self.taken[name] = said["id"]
        self.open.clear()

    def check(self, shown=None):
        """Whatever was taken is there once, under the id that was told, as it was brought."""
        if self.wrong:
            raise Broken(f"refused in a wrong way: {self.wrong[0]}")
        found = {}
        for event in shown if shown is not None else self.board.events(f"&type={self.prefix}"):
            name = event["metadata"].get("name")
            if event["type"] != self.prefix:
                continue
            if name in found:
                raise Broken(f"{name} has two effects: {found[name]['id']} and {event['id']}")
            found[name] = event
        lost = [name for name in self.taken if name not in found]
        if lost:
            raise Broken(f"{len(lost)} acknowledged and lost, first {lost[0]} as {self.taken[lost[0]]}")
        for name, told in self.taken.items():
            if found[name]["id"] != told:
                raise Broken(f"{name} was told {told} and is {found[name]['id']}")
            if found[name]["metadata"].get("fill", "") != self.body(name)["fill"]:
                raise Broken(f"{name} is there changed")
        return len(found)
