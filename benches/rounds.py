"""Runs of the workloads, side by side, and their samples: the method of AWS Greengrass lite's benchmark.

Each run starts every program anew, passes a gate, warms up, and then looks at all of them at the same moments. The rows are what is kept.
"""

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections import namedtuple

import agent as processes
import kernel
from stand_ins import StandIns
from workloads import Clients

COLUMNS = ("run", "program", "workload", "second", *kernel.LEVELS, *kernel.COUNTERS, "webhooks")
OURS = "ChainBot"
# Ours, and which stand-ins it has: none, plain ones, or those behind TLS.
WORKLOADS = (("alone", None), ("idle", False), ("normal", False), ("busy", True))
# Beside peers also what those do that take webhooks, and no more than that.
LIKE_PEERS = (("minutely", None), ("flooded", None))
GATE_S, SETTLE_S = 30, 120
# Of the requests of a workload, at most this share may fail; else its run says nothing.
FAULTS_MAX = 0.001

Plan = namedtuple("Plan", "runs seconds interval_s warm_s starts")


class Void(Exception):
    """A program did not do what was to be measured."""


class Subject:
    """One program under one workload."""

    def __init__(self, name, workload, program, expected=()):
        self.name, self.workload, self.program = name, workload, program
        # Counts that its clients must have seen grow.
        self.expected = expected
        self.group, self.fault = None, None

    @property
    def key(self):
        return f"{self.name}, {self.workload}"

    @property
    def is_ours(self):
        return self.name == OURS


EXPECTED = {
    "normal": ("sockets", "polls"), "busy": ("webhooks", "sockets", "messages", "pieces"), "flooded": ("webhooks",), "hooked": ("webhooks",),
    "minutely": ("webhooks",), "scraped": ("polls",), "checked": ("polls",),
}


# --- ours ---


def ours(binary, folder, workload, stand_ins, beat_s):
    """The agent from a copy of its program: no page of it is shared with one that runs beside."""
    folder.mkdir(parents=True)
    own = kernel.copied(binary, folder / "chainbot")
    agent = processes.Agent(own, folder, stand_ins.config(beat_s) if stand_ins else "")
    return Subject(OURS, workload, agent, EXPECTED.get(workload, ()))


def is_registered(agent):
    """Whether /health says that both peers have it."""
    try:
        services = json.loads(agent.get("/health")[1])["services"]
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return False
    return services["alex_os_registration"] == "registered" and services["aiwm"] == "connected"


def wait_until(what, fact, seconds, pause_s=0.1):
    due = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > due:
            raise Void(f"{what}: not within {seconds} s")
        time.sleep(pause_s)


def is_settled(agent):
    return agent.gauge("chainbot_destination_behind_events") == 0 and agent.gauge("chainbot_ledger_pending_writes") == 0


# --- a run ---


class Run:
    """One run of all subjects; `rows` and `told` are what came of it."""

    def __init__(self, number, plan, binary, folder, others):
        self.number, self.plan, self.binary, self.folder, self.others = number, plan, binary, folder / f"run-{number}", others
        self.subjects, self.rows, self.told, self.idle, self.touched = [], [], {}, {}, set()
        # Beats are at their defaults, once a minute; in a run shorter than that, at most once in it.
        self.minute_s = min(60, plan.seconds + 5)

    def go(self):
        """Raises Void if one of ours does not come up."""
        with contextlib.ExitStack() as ended:
            self.start(ended)
            clients = Clients([(one.key, one.workload, one.program.port) for one in self.subjects], self.minute_s)
            ended.callback(clients.stop)
            time.sleep(self.plan.warm_s)
            self.watch(clients)
            self.judge()
        return self

    def start(self, ended):
        """Starts everything, ours first; a peer that does not come up is left out."""
        stand_ins = {None: None, False: StandIns(), True: StandIns(is_tls=True)}
        for made in (stand_ins[False], stand_ins[True]):
            ended.callback(made.stop)
        wanted = [*WORKLOADS, *LIKE_PEERS] if self.others else WORKLOADS
        for workload, kind in wanted:
            self.subjects.append(ours(self.binary, self.folder / workload, workload, stand_ins[kind], self.minute_s))
        for subject in self.subjects:
            ended.callback(end, subject)
            try:
                subject.program.start()
            except SystemExit as fault:
                raise Void(f"{subject.key}: {fault}") from None
        for subject in self.subjects:
            if subject.workload in ("idle", "normal", "busy"):
                wait_until(f"{subject.key}: registration", lambda: is_registered(subject.program), GATE_S)
            wait_until(f"{subject.key}: quiet disk", lambda: is_settled(subject.program), SETTLE_S)
        for peer in self.others:
            for workload in peer.workloads:
                self.start_peer(ended, peer, workload)
        for subject in self.subjects:
            subject.group = kernel.Group(subject.program.process.pid)

    def start_peer(self, ended, peer, workload):
        daemon = peer.daemon(self.folder / f"{peer.name}-{workload}".replace(" ", "-"))
        ended.callback(daemon.stop)
        try:
            daemon.start()
            self.subjects.append(Subject(peer.name, workload, daemon, EXPECTED.get(workload, ())))
        except (LookupError, OSError) as fault:
            tell(f"run {self.number}: {peer.name}, {workload} is left out: {fault}")

    def watch(self, clients):
        """Looks at all subjects at each moment of the run."""
        before, begun = clients.told(), time.monotonic()
        self.keep_threads(0)
        ledgers = {one.key: one.program.ledger.stat().st_mtime_ns for one in self.subjects if one.is_ours}
        for number in range(round(self.plan.seconds / self.plan.interval_s) + 1):
            time.sleep(max(0.0, begun + number * self.plan.interval_s - time.monotonic()))
            self.look(round(time.monotonic() - begun), clients.told(is_short=True))
        self.keep_threads(1)
        self.touched = {one.key for one in self.subjects if one.is_ours and one.program.ledger.stat().st_mtime_ns != ledgers[one.key]}
        after = clients.told()
        for key, (counts, times) in after.items():
            grown = {name: number - before[key][0].get(name, 0) for name, number in counts.items()}
            self.told[key] = (counts, grown, times[len(before[key][1]):])

    def look(self, second, told):
        known = kernel.sessions()
        for one in self.subjects:
            if one.fault:
                continue
            try:
                figures = one.group.sample(known)
            except OSError as fault:
                one.fault = str(fault)
                continue
            figures.update(run=self.number, program=one.name, workload=one.workload, second=second, webhooks=told[one.key][0].get("webhooks", 0))
            self.rows.append(figures)

    def keep_threads(self, at):
        for one in self.subjects:
            if one.is_ours:
                self.idle.setdefault(one.key, [None, None])[at] = one.program.threads()

    def judge(self):
        """Marks what did not do what was to be measured, and takes its rows out."""
        for one in self.subjects:
            one.fault = one.fault or self.fault_of(one)
            if one.is_ours:
                one.c_library = 0 if one.fault else one.program.mappings()["C library"]
        bad = {one.key for one in self.subjects if one.fault}
        self.rows = [row for row in self.rows if f"{row['program']}, {row['workload']}" not in bad]

    def fault_of(self, one):
        counts, grown, _ = self.told[one.key]
        missing = [name for name in one.expected if not counts.get(name)]
        done = sum(grown.get(name, 0) for name in ("webhooks", "polls", "answers"))
        if missing:
            return f"no {', '.join(missing)} in the run"
        if counts.get("faults", 0) > FAULTS_MAX * done:
            return f"{counts['faults']} requests failed, {done} did not"
        if one.workload in ("idle", "normal", "busy") and one.is_ours and not is_registered(one.program):
            return "it is not registered at the end"
        return None


def end(subject):
    """Ends one of ours, also if it is no more."""
    if subject.program.process and subject.program.process.poll() is None:
        try:
            subject.program.stop()
        except SystemExit as fault:
            tell(str(fault))


def tell(text):
    print(text, file=sys.stderr, flush=True)


# --- starts ---


def start_times(binary, folder, times):
    """Milliseconds from exec to the first /health and to being registered, with a fresh state and with that of the run before."""
    found = {"health, fresh state": [], "health, state of the run before": [], "registered, fresh state": [], "registered, state of the run before": []}
    stand_ins = StandIns()
    try:
        for peers, what in (("", "health"), (stand_ins.config(), "registered")):
            for number in range(times):
                agent = processes.Agent(binary, folder / f"{what}-{number}", peers)
                for state in ("fresh state", "state of the run before"):
                    found[f"{what}, {state}"].append(start_time(agent, bool(peers)))
    finally:
        stand_ins.stop()
    return found


def start_time(agent, is_registering):
    begun = time.perf_counter()
    try:
        took = agent.start()
        if is_registering:
            wait_until("registration", lambda: is_registered(agent), GATE_S, 0.0002)
            took = (time.perf_counter() - begun) * 1000
    finally:
        if agent.process and agent.process.poll() is None:
            agent.stop()
    return took


def peer_start_times(peer, folder, times):
    """Milliseconds from exec to the first answer."""
    found = []
    for number in range(times):
        daemon = peer.daemon(folder / f"start-{peer.name.replace(' ', '-')}")
        try:
            found.append(daemon.start())
        finally:
            daemon.stop()
    return found


def available(every):
    """The peers that can be had and come up; of the others a word."""
    found = []
    for peer in every:
        try:
            peer.fetch()
            found.append(peer)
        except (LookupError, OSError, StopIteration, subprocess.SubprocessError) as fault:
            tell(f"{peer.name} is left out: {words(fault)}")
    return found


def words(fault):
    """A fault in short; that of a command is its name and how it ended."""
    return f"{fault.cmd[0]} ended with {fault.returncode}" if isinstance(fault, subprocess.CalledProcessError) else fault
