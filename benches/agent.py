"""The release build as a process: where it is, how it is started, and what the kernel says of it."""

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = ROOT / "target" / "release" / "chainbot"
# Mappings whose pages are the C library's own: loader, libc and what Rust links beside it.
C_LIBRARY = ("/libc.so", "/libc-", "/ld-", "/ld.so", "/libgcc_s", "/libm.so", "/libm-")


def build():
    """The release build of this tree; an existing one is brought up to date."""
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    return BINARY


def program(named):
    """The program to measure: the one that was named, else the release build."""
    binary = Path(named).resolve() if named else build()
    if not binary.is_file():
        raise SystemExit(f"--binary {named}: there is no such file")
    return binary


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Agent:
    """`chainbot run` with a config of its own in a folder of its own."""

    def __init__(self, binary, folder, peers="", ledger=""):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.binary = Path(binary)
        self.port = free_port()
        self.ledger = self.folder / "chainbot.redb"
        self.config = self.folder / "config.toml"
        self.config.write_text(
            f'[server]\nport = {self.port}\n[ledger]\npath = "{self.ledger}"\n{ledger}\n[log]\nlevel = "info"\n{peers}\n'
        )
        self.process = None
        # In memory: what an agent writes to the disk is counted, and its log is whoever's who collects it.
        self.log_file = os.fdopen(os.memfd_create("log"), "r+b", buffering=0)

    def start(self):
        """Starts it and returns the milliseconds from exec to the first answer 200 of /health."""
        # Names of the documents would override the config.
        clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        begun = time.perf_counter()
        self.process = subprocess.Popen(
            [self.binary, "--config", self.config, "run"],
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file, env=clean, cwd=self.folder,
        )
        while time.perf_counter() - begun < 10:
            if self.process.poll() is not None:
                raise SystemExit(f"the agent ended with {self.process.returncode}:\n{self.log()}")
            if self.is_healthy():
                return (time.perf_counter() - begun) * 1000
            time.sleep(0.0002)
        raise SystemExit(f"no /health within 10 s:\n{self.log()}")

    def is_healthy(self):
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def gauge(self, name):
        """The sum of a metric over its labels, as /metrics tells it."""
        total = 0.0
        for line in self.get("/metrics")[1].decode().splitlines():
            if line.split("{")[0].split(" ")[0] == name:
                total += float(line.rsplit(" ", 1)[1])
        return total

    def log(self):
        bytes_max = os.fstat(self.log_file.fileno()).st_size
        return os.pread(self.log_file.fileno(), bytes_max, 0).decode(errors="replace")

    def stop(self):
        """SIGTERM; returns the seconds until it was gone."""
        begun = time.perf_counter()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("the agent did not end within 10 s")
        return time.perf_counter() - begun

    # What the kernel says.

    def proc(self, name):
        return Path(f"/proc/{self.process.pid}/{name}").read_text()

    def memory(self):
        """Rss, Pss and anonymous memory in KiB, of which Rss does not depend on counters that lag."""
        rows = dict(pair for pair in (line.split(":", 1) for line in self.proc("smaps_rollup").splitlines()[1:]))
        kib = {name: int(value.split()[0]) for name, value in rows.items()}
        return {"rss": kib["Rss"], "pss": kib["Pss"], "anon": kib["Anonymous"]}

    def status(self, word):
        return next(int(line.split()[1]) for line in self.proc("status").splitlines() if line.startswith(word + ":"))

    def reset_peak(self):
        """Begins VmHWM anew from the memory in use."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_s(self):
        fields = self.proc("stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def written(self):
        return int(next(line for line in self.proc("io").splitlines() if line.startswith("write_bytes")).split()[1])

    def threads(self):
        """Name and context switches of each thread, by its id."""
        found = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                lines = (task / "status").read_text().splitlines()
            except OSError:
                continue
            name = lines[0].split("\t", 1)[1]
            found[task.name] = (name, sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line))
        return found

    def mappings(self):
        """Resident KiB by kind of mapping."""
        kinds = {"code": 0, "constants": 0, "data": 0, "heap": 0, "stack": 0, "other anonymous": 0, "C library": 0, "kernel": 0}
        kind = "kernel"
        for line in self.proc("smaps").splitlines():
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                kind = self._kind(words[1], words[5] if len(words) > 5 else "")
            elif words[0] == "Rss:":
                kinds[kind] += int(words[1])
        return kinds

    def _kind(self, access, name):
        if name == str(self.binary.resolve()):
            return "code" if "x" in access else "data" if "w" in access else "constants"
        if any(part in name for part in C_LIBRARY):
            return "C library"
        if name == "[heap]":
            return "heap"
        if name == "[stack]":
            return "stack"
        return "kernel" if name.startswith("[v") else "other anonymous"


class Sampler:
    """Watches an agent from a thread of its own: the most Rss and threads seen, ten times a second."""

    def __init__(self, agent, interval_s=0.1):
        self.agent, self.interval_s = agent, interval_s
        self.rss, self.threads, self.fds = [], [], []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.ended.wait(self.interval_s):
            try:
                self.rss.append(self.agent.memory()["rss"])
                self.threads.append(self.agent.status("Threads"))
                self.fds.append(self.agent.fds())
            except (OSError, KeyError, StopIteration):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
