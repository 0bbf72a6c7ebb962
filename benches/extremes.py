"""The agent at its limits: every seat of the port taken, attacked, and after a great many webhooks."""

import subprocess
import time
from itertools import count, repeat

import agent as processes
import budgets
import kernel
import load
from stand_ins import StandIns

BUDGETS = budgets.read()
PEAK_KIB_MAX, THREADS_MAX = BUDGETS["memory"]["peak_kib"], BUDGETS["threads"]["most"]
READS = ("/health", "/metrics", "/api/events?limit=1000", "/openapi.json")


def settle(agent):
    """Waits until every destination has every event, and the disk is quiet."""
    due = time.monotonic() + 300
    while time.monotonic() < due:
        if agent.gauge("chainbot_destination_behind_events") == 0 and agent.gauge("chainbot_ledger_pending_writes") == 0:
            # Cursors are written within two seconds of moving.
            time.sleep(3)
            return
        time.sleep(0.5)
    raise SystemExit(f"events are not delivered after 300 s:\n{agent.log()[-2000:]}")


def memory(report, agent, name):
    now, kinds = agent.memory(), agent.mappings()
    report.row(
        f"{name}: memory",
        f"Rss {now['rss']:,} KiB, Pss {now['pss']:,}, anonymous {now['anon']:,}; threads {agent.status('Threads')}, descriptors {agent.fds()}",
    )
    report.row(f"{name}: resident by mapping, KiB", ", ".join(f"{kind} {kib:,}" for kind, kib in kinds.items() if kib))


def phase(report, agent, name, work):
    """Runs `work` and tells the peak and what it says of itself."""
    agent.reset_peak()
    with processes.Sampler(agent) as sampler:
        told = work()
    peak = max([agent.status("VmHWM"), *sampler.rss])
    threads = max([agent.status("Threads"), *sampler.threads])
    report.row(f"{name}: peak resident", f"{peak:,} KiB; threads {threads}, descriptors {max(sampler.fds, default=0)}")
    for line in told:
        report.row(f"{name}: {line[0]}", line[1])
    return peak, threads


def told_of(tally, seconds):
    return [
        ("webhooks taken (after the commit)", f"{tally.good:,}, {tally.good / seconds:,.0f} per second"),
        ("answered within", f"{tally.percentile(50):.1f} ms median, {tally.percentile(99):.1f} ms p99; others {tally.faults() or 'none'}"),
    ]


def steady(agent, seconds):
    source = load.webhooks("steady", count())
    tallies, took = load.run(agent.port, [source], seconds, 1 / 50)
    return told_of(tallies[0], took)


def busy(agent, seconds):
    """60 that post as fast as they are answered and 4 that read: every seat of the port is taken."""
    posting = [load.webhooks(f"busy-{n}", count()) for n in range(60)]
    reading = [repeat(load.get(path)) for path in READS]
    tallies, took = load.run(agent.port, posting + reading, seconds)
    reads = load.merged(tallies[60:])
    told = ", ".join(f"{path} {tally.good / took:.0f}" for path, tally in zip(READS, tallies[60:]))
    return told_of(load.merged(tallies[:60]), took) + [("reads beside, per second", f"{told}; others {reads.faults() or 'none'}")]


def hostile(agent, seconds):
    told = []
    for name, sent in (("slow heads", load.SLOW_HEAD), ("held bodies", load.HELD_BODY), ("never reading", load.NEVER_READING)):
        held = load.hold(agent.port, 1000, sent, seconds)
        told.append((f"1,000 connections, {name}", f"{held} kept at once"))
        # Seats come free as the agent sees the connections close.
        due = time.monotonic() + 10
        while not agent.is_healthy() and time.monotonic() < due:
            time.sleep(0.05)
    return told


def scenario(report, binary, folder, is_short):
    """Load, attack, and what is left of both afterwards."""
    stand_ins = StandIns()
    (folder / "limits").mkdir(parents=True)
    agent = processes.Agent(kernel.copied(binary, folder / "limits" / "chainbot"), folder / "limits", stand_ins.config())
    try:
        agent.start()
        settle(agent)
        phases = take_to_its_limits(report, agent, is_short)
        finish(report, agent, phases, stand_ins.seen())
    finally:
        end(agent)
        stand_ins.stop()


def take_to_its_limits(report, agent, is_short):
    """Peak and threads of each phase."""
    works = [
        ("50 webhooks a second", lambda: steady(agent, 5 if is_short else 30)),
        ("60 posting, 4 reading", lambda: busy(agent, 6 if is_short else 30)),
        ("attacked", lambda: hostile(agent, 3 if is_short else 8)),
    ]
    phases = [phase(report, agent, name, work) for name, work in works]
    settle(agent)
    memory(report, agent, "afterwards")
    return phases


def finish(report, agent, phases, seen):
    peak, c_library = max(peak for peak, _ in phases), agent.mappings()["C library"]
    report.row("deliveries taken by the stand-ins", ", ".join(f"{path} {n:,}" for path, n in sorted(seen.items())))
    lost = agent.gauge("chainbot_deliveries_lost_total")
    report.row("events the ledger dropped before a destination had them", f"{lost:,.0f}")
    report.row("peak resident over all (VmHWM and samples)", f"{peak:,} KiB")
    report.row("of which the C library maps", f"{c_library:,} KiB")
    report.budget("peak resident beyond the C library", peak - c_library, PEAK_KIB_MAX, " KiB")
    report.budget("threads at most", max(threads for _, threads in phases), THREADS_MAX)
    report.budget("threads more after all than in the first load", agent.status("Threads") - phases[0][1], 0)
    report.row("SIGTERM to gone", f"{agent.stop() * 1000:.0f} ms")


def end(agent):
    if agent.process and agent.process.poll() is None:
        agent.stop()


def baseline(report, folder):
    """A Rust program that does nothing: what any Rust program on this C library has resident."""
    source = folder / "nothing.rs"
    source.write_text('fn main() { println!("up"); std::thread::sleep(std::time::Duration::from_secs(60)); }')
    flags = ["-O", "-C", "panic=abort", "-C", "lto=fat", "-C", "strip=symbols", "-o", str(folder / "nothing")]
    if subprocess.run(["rustc", *flags, str(source)], capture_output=True).returncode != 0:
        return
    nothing = processes.Agent(folder / "nothing", folder / "nothing-run")
    nothing.process = subprocess.Popen([folder / "nothing"], stdout=subprocess.PIPE)
    nothing.process.stdout.readline()
    kinds = nothing.mappings()
    report.row("a Rust program that does nothing", f"Rss {nothing.memory()['rss']:,} KiB, of which the C library maps {kinds['C library']:,}")
    nothing.process.kill()
    nothing.process.wait()


def soak(report, binary, folder, webhooks):
    """Many webhooks with ids over 16 connections: memory and ledger must come to rest."""
    stand_ins = StandIns()
    agent = processes.Agent(binary, folder / "soak", stand_ins.config(), "size_max_mib = 4\nevents_max = 1000000")
    try:
        agent.start()
        settle(agent)
        agent.reset_peak()
        soaked(report, agent, webhooks)
    finally:
        end(agent)
        stand_ins.stop()


def soaked(report, agent, webhooks):
    step, sent, whole, began = max(1, webhooks // 10), 0, [], time.perf_counter()
    with processes.Sampler(agent) as sampler:
        while sent < webhooks:
            shared = load.webhooks("soak", range(sent, min(sent + step, webhooks)))
            tallies, took = load.run(agent.port, [shared] * 16)
            tally = load.merged(tallies)
            whole.append(tally)
            sent += step
            report.row(
                f"after {min(sent, webhooks):,} webhooks",
                f"Rss {agent.memory()['rss']:,} KiB, ledger {agent.ledger.stat().st_size:,} bytes, {tally.good / took:,.0f} webhooks/s,"
                f" p99 {tally.percentile(99):.0f} ms, others {tally.faults() or 'none'}",
            )
    good = sum(tally.good for tally in whole)
    repeated, _ = load.run(agent.port, [load.webhooks("soak", range(webhooks - 1000, webhooks))])
    duplicates = agent.gauge("chainbot_webhooks_duplicate_total")
    report.row("sent, and taken", f"{webhooks:,}, {good:,} in {time.perf_counter() - began:.0f} s")
    report.row("the last 1,000 again", f"{repeated[0].good:,} answered 200, {duplicates:,.0f} known as duplicates")
    report.budget("webhooks not taken", webhooks - good, 0)
    report.budget("ledger file", agent.ledger.stat().st_size // 1024, 4 * 1024, " KiB")
    peak = max([agent.status("VmHWM"), *sampler.rss])
    report.budget("peak resident beyond the C library", peak - agent.mappings()["C library"], PEAK_KIB_MAX, " KiB")
    report.budget("threads at most", max(sampler.threads), THREADS_MAX)
    report.row("written to disk per webhook", f"{agent.written() / webhooks:,.0f} bytes")
    lost = agent.gauge("chainbot_deliveries_lost_total")
    report.row("events the ledger dropped before a destination had them", f"{lost:,.0f}")
