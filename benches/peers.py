"""Daemons to compare with: six of Debian's, fetched and unpacked into the user's cache, and an agent in Python. Nothing is installed.

Each runs as a process of its own on loopback, with a small config in a folder of its own, and does what it does on a board when
nothing happens: its config is Debian's own where that can be had, and who usually talks to it does (`workloads.py`).
"""

import http.client
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import agent as processes
import debian
import kernel
import workloads

PYTHON_AGENT = Path(__file__).resolve().parent / "python_agent"
START_S_MAX = 20


class Daemon:
    """A program in a folder of its own; `answers()` says whether it is up."""

    def __init__(self, folder, command, answers, environment=None):
        self.folder, self.command, self.answers = Path(folder), [str(word) for word in command], answers
        self.environment, self.process, self.port = environment, None, None

    def start(self):
        """Starts it and returns the milliseconds from exec to its first answer."""
        with open(self.folder / "log", "ab") as log:
            begun = time.perf_counter()
            # A session of its own: all its processes are found by that, and ended together.
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, cwd=self.folder, start_new_session=True,
            )
        while time.perf_counter() - begun < START_S_MAX:
            if self.process.poll() is not None:
                raise LookupError(f"it ended with {self.process.returncode}: {self.last_words()}")
            if self.is_healthy():
                return (time.perf_counter() - begun) * 1000
            time.sleep(0.0005)
        raise LookupError(f"no answer within {START_S_MAX} s: {self.last_words()}")

    def is_healthy(self):
        try:
            return self.answers()
        except (OSError, http.client.HTTPException):
            return False

    def last_words(self):
        return (self.folder / "log").read_text(errors="replace")[-300:].strip().replace("\n", " / ")

    def stop(self):
        """Ends all its processes."""
        if self.process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(5)
            except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
                pass
        self.process.wait(5)


# --- how each is asked whether it is up ---


def http_answer(port, path):
    """Whether GET is answered 200."""

    def answers():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        finally:
            connection.close()

    return answers


def said(port, question, expected):
    """Whether bytes over TCP, or over a Unix socket if `port` is a path, are answered by bytes that begin like this."""

    def answers():
        kind = socket.AF_INET if isinstance(port, int) else socket.AF_UNIX
        with socket.socket(kind) as client:
            client.settimeout(5)
            client.connect(("127.0.0.1", port) if isinstance(port, int) else str(port))
            client.sendall(question)
            return client.recv(64).startswith(expected)

    return answers


# --- the six of Debian; each makes its Daemon from the unpacked tree, its folder and a port ---


def monit(tree, folder, port):
    config = folder / "monitrc"
    config.write_text(
        f"set daemon 120\nset log {folder}/monit.log\nset pidfile {folder}/monit.pid\nset idfile {folder}/monit.id\nset statefile {folder}/monit.state\n"
        f"set eventqueue basedir {folder}/events slots 100\nset httpd port {port} and use address 127.0.0.1 allow 127.0.0.1\n"
        "check system board\n  if loadavg (1min) per core > 2 for 5 cycles then alert\n  if memory usage > 75% for 5 cycles then alert\n"
        "check filesystem root with path /\n  if space usage > 90% then alert\n"
    )
    config.chmod(0o600)
    return Daemon(folder, [_own(tree, "monit", folder), "-I", "-c", config], http_answer(port, "/"), debian.environment(tree))


# Debian's collectd.conf has these; its battery and syslog need what a machine may not have.
COLLECTED = ("cpu", "df", "disk", "entropy", "interface", "irq", "load", "memory", "processes", "rrdtool", "swap", "users")


def collectd(tree, folder, port):
    config, socket_path = folder / "collectd.conf", Path(tempfile.gettempdir()) / f"collectd-{port}"
    plugins = next(tree.glob("usr/lib/**/collectd/cpu.so")).parent
    config.write_text(
        f'Hostname "board"\nFQDNLookup false\nBaseDir "{folder}"\nPIDFile "{folder}/pid"\nPluginDir "{plugins}"\nTypesDB "{tree}/usr/share/collectd/types.db"\n'
        + "".join(f"LoadPlugin {name}\n" for name in (*COLLECTED, "unixsock"))
        + f'<Plugin rrdtool>\n  DataDir "{folder}/rrd"\n</Plugin>\n<Plugin unixsock>\n  SocketFile "{socket_path}"\n</Plugin>\n'
    )
    answers = said(socket_path, b"LISTVAL\n", (b"0 ", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"8", b"9"))
    return Daemon(folder, [_own(tree, "collectd", folder), "-f", "-C", config], answers, debian.environment(tree))


def node_exporter(tree, folder, port):
    program = _own(tree, "prometheus-node-exporter", folder)
    return Daemon(folder, [program, f"--web.listen-address=127.0.0.1:{port}"], http_answer(port, "/"), debian.environment(tree))


def zabbix_agent(tree, folder, port):
    config = folder / "zabbix.conf"
    config.write_text(
        f"PidFile={folder}/pid\nLogType=console\nServer=127.0.0.1\nServerActive=\nHostname=board\nListenIP=127.0.0.1\nListenPort={port}\nAllowRoot=1\n"
    )
    ping = b"ZBXD\1" + struct.pack("<Q", 10) + b"agent.ping"
    return Daemon(folder, [_own(tree, "zabbix_agentd", folder), "-f", "-c", config], said(port, ping, b"ZBXD"), debian.environment(tree))


def _zabbix_port():
    """It takes none above 32767, which is where the kernel begins to choose."""
    for port in range(20000, 32768):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise LookupError("no port below 32768 is free")


def webhook(tree, folder, port):
    hooks = folder / "hooks.json"
    hooks.write_text('[{"id":"note","execute-command":"/bin/true"}]')
    command = [_own(tree, "webhook", folder), "-ip", "127.0.0.1", "-port", port, "-hooks", hooks]
    return Daemon(folder, command, http_answer(port, "/"), debian.environment(tree))


def mosquitto(tree, folder, port):
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {folder}/\nlog_dest stderr\n")
    if os.geteuid() == 0:
        config.write_text(config.read_text() + "user root\n")
    connect = workloads.mqtt_connect(b"gate", 60)
    return Daemon(folder, [_own(tree, "mosquitto", folder), "-c", config], said(port, connect, b"\x20\2\0\0"), debian.environment(tree))


def _own(tree, name, folder):
    """A copy of the program, so that no page of it is shared with another one that is measured beside."""
    return kernel.copied(debian.program(tree, name), folder / name)


# --- the agent in Python ---


def python_venv():
    """The packages of the agent in Python, installed if they are not there."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    subprocess.run([PYTHON_AGENT / "run", "--install"], check=True, timeout=600, stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr)
    return Path(os.environ.get("CHAINBOT_BENCH_VENV") or cache / "chainbot-bench")


def python_agent(venv, folder, port):
    own = folder / "venv"
    if not own.exists():
        # With an interpreter of its own: this program runs on the same one, and its pages would be shared.
        shutil.copytree(venv, own, symlinks=True)
        (own / "bin" / "python").unlink()
        kernel.copied(Path(sys.executable).resolve(), own / "bin" / "python")
        for library in own.rglob("*.so"):
            kernel.forget(library)
    names = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment = {**names, "AGENT_DATABASE": str(folder / "agent.sqlite"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [own / "bin" / "python", "-m", "uvicorn", "--app-dir", PYTHON_AGENT, "--host", "127.0.0.1", "--port", port]
    command += ["--workers", "1", "--log-level", "warning", "--no-access-log", "agent:app"]
    return Daemon(folder, command, http_answer(port, "/health"), environment)


# --- all of them ---


class Peer:
    """One to compare with: where it comes from, how it is made, and the workloads it is measured under, of which the first is its idle one."""

    def __init__(self, name, package, make, workloads):
        self.name, self.package, self.make, self.workloads = name, package, make, workloads
        self.tree = self.version = self.installed = None

    def fetch(self):
        """Raises LookupError or a fault of its tools if it cannot be had."""
        if self.package:
            self.tree = debian.unpacked(*self.package)
            self.version = _about(self.package[0], "Version")
            self.installed = sum(int(_about(name, "Installed-Size")) * 1024 for name in self.package)
        else:
            self.tree = python_venv()
            self.version = next(self.tree.glob("lib/*/site-packages/fastapi-*.dist-info")).name.split("-")[1].removesuffix(".dist")
            self.installed = _size(self.tree)

    def daemon(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        port = _zabbix_port() if self.make is zabbix_agent else processes.free_port()
        daemon = self.make(self.tree, folder, port)
        daemon.port = port
        return daemon


def _about(package, field):
    """What the system's lists say of a package, else those that `debian` fetched."""
    for options in ([], ["-o", f"Dir::State::lists={debian.CACHE / 'lists'}"]):
        line = ["apt-cache", *options, "show", "--no-all-versions", package]
        told = subprocess.run(line, capture_output=True, text=True, timeout=60).stdout
        for row in told.splitlines():
            if row.startswith(f"{field}: "):
                return row.partition(": ")[2]
    raise LookupError(f"apt says no {field} of {package}")


def _size(folder):
    return sum(path.lstat().st_size for path in Path(folder).rglob("*") if not path.is_dir())


def every():
    """All of them, the smallest first as it was seen."""
    return [
        Peer("monit", ("monit",), monit, ("idle",)),
        Peer("mosquitto", ("mosquitto",), mosquitto, ("subscribed",)),
        Peer("zabbix-agent", ("zabbix-agent",), zabbix_agent, ("checked",)),
        Peer("webhook", ("webhook",), webhook, ("idle", "hooked")),
        Peer("collectd", ("collectd-core", "librrd8"), collectd, ("idle",)),
        Peer("node exporter", ("prometheus-node-exporter",), node_exporter, ("scraped",)),
        Peer("Python agent", (), python_agent, ("idle", "minutely", "flooded")),
    ]
