"""Who is measured for its throughput: ChainBot, the agent in Python, Debian's webhook and nginx, and a bare loop. Each on loopback, in a folder of its own."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import agent as processes
import debian
import load

START_S_MAX = 30
STOP_S_MAX = 10
HEALTH = '{"status":"healthy","version":"1.0.0"}'
TICKS = os.sysconf("SC_CLK_TCK")


class Rival:
    """One program. `name` is what tables call it; `command` makes its words of its folder and port."""

    name = ""
    health = "/health"
    hook = load.PATH

    def __init__(self, folder):
        self.folder, self.port, self.process = Path(folder), processes.free_port(), None
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self):
        raise NotImplementedError

    def environment(self):
        """Few variables: names of the documents would override the agent's config."""
        return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "XDG_CACHE_HOME") if name in os.environ}

    def start(self, before=()):
        """Starts it, behind the words `before` if there are any, and waits until it answers."""
        with open(self.folder / "log", "ab") as log:
            words = [str(word) for word in (*before, *self.command())]
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment(), cwd=self.folder, start_new_session=True
            )
        due = time.monotonic() + START_S_MAX
        while time.monotonic() < due:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended with {self.process.returncode}:\n{self.log()}")
            try:
                if self.ask("GET", self.health)[0] < 500:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.01)
        raise SystemExit(f"{self.name} does not answer within {START_S_MAX} s:\n{self.log()}")

    def stop(self, number=signal.SIGTERM):
        """Ends all its processes; nothing if it does not run."""
        if self.process is None:
            return
        for number in (number, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(STOP_S_MAX)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        self.process.wait(STOP_S_MAX)
        self.process = None

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def log(self):
        return (self.folder / "log").read_text(errors="replace")[-2000:]

    # What the kernel says of the process and its children.

    def pids(self):
        """Those of its session."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                if entry.isdigit() and os.getsid(int(entry)) == self.process.pid:
                    found.append(int(entry))
            except OSError:
                continue
        return found

    def counters(self):
        """CPU seconds and bytes given to the disk, those of children that ended included as far as the kernel adds them up."""
        cpu, written = 0.0, 0
        for pid in self.pids():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                cpu += sum(int(field) for field in fields[11:15]) / TICKS
                io = Path(f"/proc/{pid}/io").read_text()
                written += int(next(line for line in io.splitlines() if line.startswith("write_bytes")).split()[1])
            except (OSError, StopIteration):
                continue
        return cpu, written

    def reset_peaks(self):
        for pid in self.pids():
            try:
                Path(f"/proc/{pid}/clear_refs").write_text("5")
            except OSError:
                continue

    def peak_kib(self):
        """The peaks of its processes, added up."""
        total = 0
        for pid in self.pids():
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                total += next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
            except OSError:
                continue
        return total

    def c_library_kib(self):
        """What is resident of the C library's own files."""
        total, is_its = 0, False
        for line in Path(f"/proc/{self.process.pid}/smaps").read_text().splitlines():
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                is_its = len(words) > 5 and any(part in words[5] for part in processes.C_LIBRARY)
            elif words[0] == "Rss:" and is_its:
                total += int(words[1])
        return total


class ChainBot(Rival):
    name = "ChainBot"

    def __init__(self, folder, binary, ledger=""):
        super().__init__(folder)
        self.binary = binary
        self.config = self.folder / "config.toml"
        self.config.write_text(
            f'[server]\nport = {self.port}\n[ledger]\npath = "{self.folder}/chainbot.redb"\n{ledger}\n[log]\nlevel = "info"\n'
        )

    def command(self):
        return [self.binary, "--config", self.config, "run"]

    def mark(self):
        """The place of an event that is posted now; later ones have greater places."""
        body = load.BODY % 0
        status, answer = self.ask("POST", self.hook, body, {"Content-Type": "application/json"})
        assert status == 200, (status, answer)
        return json.loads(answer)["id"]

    def count_since(self, mark):
        """The events behind a mark, read to the end."""
        count = 0
        while True:
            answer = json.loads(self.ask("GET", f"/api/events?since={mark}&limit=1000")[1])
            count += len(answer["events"])
            if not answer["events"]:
                return count
            mark = answer["next"]


class Python(Rival):
    name = "Python agent"
    def command(self):
        return [Path(__file__).resolve().parent / "python_agent" / "run", self.port, self.folder]


class Webhook(Rival):
    """Runs a command for each request; this one appends the body to a file and flushes it, and is waited for."""

    name = "webhook"
    health = "/"
    hook = "/hooks/note"

    def __init__(self, folder):
        super().__init__(folder)
        self.tree = debian.unpacked("webhook")
        keep = self.folder / "keep"
        keep.write_text(f'#!/bin/sh\nprintf "%s\\n" "$1" | dd of={self.folder}/events oflag=append conv=notrunc,fsync status=none\n')
        keep.chmod(0o700)
        hook = {
            "id": "note", "execute-command": str(keep), "include-command-output-in-response": True,
            "pass-arguments-to-command": [{"source": "entire-payload"}],
        }
        (self.folder / "hooks.json").write_text(json.dumps([hook]))

    def command(self):
        return [debian.program(self.tree, "webhook"), "-ip", "127.0.0.1", "-port", self.port, "-hooks", self.folder / "hooks.json"]

    def environment(self):
        return {**super().environment(), **debian.environment(self.tree)}


class Nginx(Rival):
    """One worker that answers a constant, and keeps no log of requests."""

    name = "nginx"

    def __init__(self, folder):
        super().__init__(folder)
        self.tree = debian.unpacked("nginx")
        paths = "".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error;\nevents {{ worker_connections 1024; }}\n"
            f"http {{ access_log off; keepalive_requests 100000000; {paths}\n  server {{ listen 127.0.0.1:{self.port};\n"
            f"    location = /health {{ default_type application/json; return 200 '{HEALTH}'; }} }} }}\n"
        )

    def command(self):
        return [debian.program(self.tree, "nginx"), "-e", self.folder / "error", "-p", self.folder, "-c", self.folder / "nginx.conf"]

    def environment(self):
        return {**super().environment(), **debian.environment(self.tree)}


class BareLoop(Rival):
    """`examples/bare_loop.rs`: reads, finds the end of a head, writes a constant. No server can be faster on this kernel by much."""

    name = "bare loop"

    def __init__(self, folder, binary):
        super().__init__(folder)
        self.binary = binary

    def command(self):
        return [self.binary, self.port]


def fresh(folder):
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).mkdir(parents=True)
    return Path(folder)
