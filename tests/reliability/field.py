"""What the parts that attack the program share: their command line, their facts, a network of their own, and the program in it."""

import argparse
import http.client
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "benches"))
sys.dont_write_bytecode = True

import agent as processes  # noqa: E402
import budgets  # noqa: E402

# In a network of its own a part chooses its ports itself, below those that the kernel gives to clients.
PORTS = count(9100)
PEAK_KIB_MAX = budgets.read()["memory"]["peak_kib"]
THREADS_MAX = budgets.read()["threads"]["most"]
TOKEN = "a-token-for-a-day-in-the-field"
# Where the program listens beyond loopback; the whole of 10.99.0.0/16 is at home in the part's own network.
OPEN_HOST = "10.99.0.1"
TLS_FOLDER = ROOT / "tests" / "fixtures" / "tls"


def arguments(document):
    parser = argparse.ArgumentParser(description=document.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="the form of .ci/run")
    parser.add_argument("--binary", type=Path, help="the program; the release build if not given")
    given = parser.parse_args()
    if given.binary is None:
        given.binary = ROOT / "target" / "release" / "chainbot"
        if not given.binary.exists():
            processes.build()
    given.binary = given.binary.resolve()
    return given


def need(program, package):
    """The program; from the package of the distribution if it is missing."""
    place = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    if shutil.which(program, path=place) is None:
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        clean = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-q"], ["install", "-qy", "--no-install-recommends", package]):
            subprocess.run([*as_root, "apt-get", *words], check=True, env=clean, stdout=sys.stderr)
    found = shutil.which(program, path=place)
    if found is None:
        raise SystemExit(f"{program} is missing: install the package {package}")
    return found


def enter_own_network():
    """Starts this part again in namespaces of its own; returns inside them. There nothing but loopback is, and no process outlives the part."""
    if os.environ.get("CHAINBOT_FIELD") != "inside":
        words = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"] + ([] if os.geteuid() == 0 else ["--map-root-user"])
        os.environ["CHAINBOT_FIELD"] = "inside"
        os.execvp(words[0], [*words, sys.executable, *sys.argv])
    del os.environ["CHAINBOT_FIELD"]
    subprocess.run([need("ip", "iproute2"), "link", "set", "lo", "up"], check=True)
    # Every address of it is this machine's own and yet not loopback: strangers without another machine.
    subprocess.run([need("ip", "iproute2"), "addr", "add", "10.99.0.0/16", "dev", "lo"], check=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Path("/proc/sys/net/core/somaxconn").write_text("4096")
    Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("10000 65000")


class Facts:
    """The figures of a part; `end` is its exit status."""

    def __init__(self):
        self.broken = []

    def tell(self, name, value, limit="no limit"):
        print(f"FACT {name}: {value} ({limit})", flush=True)

    def at_most(self, name, value, limit, unit=""):
        self._judge(name, value, value <= limit, f"at most {_text(limit)}{unit}", unit)

    def at_least(self, name, value, limit, unit=""):
        self._judge(name, value, value >= limit, f"at least {_text(limit)}{unit}", unit)

    def is_equal(self, name, value, expected, unit=""):
        self._judge(name, value, value == expected, f"{_text(expected)}{unit}", unit)

    def _judge(self, name, value, is_kept, limit, unit):
        self.tell(name, f"{_text(value)}{unit}", limit if is_kept else f"{limit}: BROKEN")
        if not is_kept:
            self.broken.append(name)

    def end(self):
        for name in self.broken:
            print(f"does not hold: {name}", file=sys.stderr)
        return 1 if self.broken else 0


def _text(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


class Agent(processes.Agent):
    """The program, listening also beyond loopback if `is_open`, under TLS if `is_tls`."""

    def __init__(self, binary, folder, more="", ledger="", is_open=False, is_tls=False, level="info"):
        super().__init__(binary, folder)
        self.port = next(PORTS)
        host = 'host = "0.0.0.0"\n' if is_open else ""
        tls = f'tls_cert = "{TLS_FOLDER}/server.pem"\ntls_key = "{TLS_FOLDER}/server.key"\n' if is_tls else ""
        # Without the limit of requests: it would answer for the program before anything is seen of it. The part `access` has it.
        security = "[security]\nrate_limit_requests = 0\n" + (f'token = "{TOKEN}"\n' if is_open else "")
        more = more.replace("[security]\n", security) if "[security]\n" in more else security + more
        self.config.write_text(
            f'[server]\n{host}port = {self.port}\n{tls}[ledger]\npath = "{self.ledger}"\n{ledger}\n[log]\nlevel = "{level}"\n{more}\n'
        )

    def is_alive(self):
        return self.process.poll() is None

    def beyond_libc(self):
        """Peak resident KiB since the start or the last reset, less what the C library maps."""
        return self.status("VmHWM") - self.mappings()["C library"]

    def wait_until_quiet(self, seconds=60):
        """Waits until it answers again and no connection is left; returns the seconds it took."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            if self.is_healthy() and self.seated() == 0:
                break
            time.sleep(0.2)
        return time.monotonic() - begun

    def seated(self):
        """Open connections to its port, as its kernel counts them."""
        place = f":{self.port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(place) and row[3] in ("01", "08") for row in rows)


class Probing:
    """Asks loopback's /health once after the other from a thread's own loop; keeps how long each took."""

    ASK = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    def __init__(self, port, host="127.0.0.1"):
        self.port, self.host, self.times_ms, self.faults = port, host, [], []

    def ask(self):
        begun = time.perf_counter()
        try:
            with socket.create_connection((self.host, self.port), timeout=10) as client:
                client.sendall(self.ASK)
                answer = client.recv(64)
        except OSError as fault:
            answer = repr(fault).encode()
        self.times_ms.append((time.perf_counter() - begun) * 1000)
        if not answer.startswith(b"HTTP/1.1 200 "):
            self.faults.append(answer[:60])

    def run(self, count, interval_s):
        for _ in range(count):
            self.ask()
            time.sleep(interval_s)
        return self

    @property
    def good(self):
        """How many were answered 200 within 100 ms."""
        slow = sum(took > 100 for took in self.times_ms)
        return len(self.times_ms) - slow - len(self.faults)


def http_connection(port, timeout=10):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)


def stop(process):
    """Ends a process that a part started, and waits for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait(what, fact, seconds=20):
    due = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > due:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def is_listening(port, host="127.0.0.1"):
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


def folder():
    return tempfile.TemporaryDirectory(prefix="field-", ignore_cleanup_errors=True)
