"""The tables of docs/footprint.md about workloads and peers."""

import re
import statistics

import agent as processes
import budgets
import report
import rounds
import samples

# Runs, and seconds of each; less is a trial.
PUBLISHED = (3, 600)
LEVELS = (("rss", "RSS"), ("pss", "PSS"), ("uss", "USS"), ("anon", "anonymous"), ("hwm", "VmHWM"), ("threads", "threads"), ("fds", "descriptors"))
WHAT = {
    "idle": "idle", "subscribed": "idle, a client subscribed", "checked": "idle, checked once a minute", "scraped": "idle, scraped once a minute",
    "minutely": "1 webhook a minute", "flooded": "50 webhooks a second", "hooked": "50 webhooks a second", "alone": "alone, idle", "normal": "normal", "busy": "busy",
}
# Of ours, what is compared with each workload of the others.
LIKE = {"minutely": "minutely", "flooded": "flooded", "hooked": "flooded"}


def number(figure, digits=0):
    return f"{figure:,.{digits}f}"


def spread(figures, digits=0):
    """The median, and the least and the most if they differ."""
    text, ends = number(statistics.median(figures), digits), [number(end(figures), digits) for end in (min, max)]
    return text if ends[0] == ends[1] else f"{text} ({ends[0]} to {ends[1]})"


def how(found):
    plan = found.plan
    length = f"{plan.seconds // 60} min" if plan.seconds % 60 == 0 else f"{plan.seconds} s"
    trial = "" if (plan.runs, plan.seconds) >= PUBLISHED else report.TRIAL
    runs = "1 run" if plan.runs == 1 else f"{plan.runs} runs"
    return f"{report.machine(found.is_static)} {runs.capitalize()} of {length}, a sample each {plan.interval_s} s after a warm-up of {plan.warm_s} s.{trial}"


def told(found):
    """All tables as lines for the terminal."""
    parts = [goals(found), levels(found), work(found), starts(found)]
    if found.peers:
        parts += [beside(found), loaded(found)]
    return "\n\n".join(["", how(found), *parts, ""]).split("\n")


def write(found, data):
    place = data.relative_to(processes.ROOT / "docs")
    source = f"Each sample: [{place}]({place})."
    report.write_document("workloads", "\n\n".join([f"{how(found)} {source}", goals(found), levels(found), work(found), starts(found)]))
    if found.peers:
        report.write_document("peers", "\n\n".join([how(found), beside(found), "Under load:", loaded(found)]))


# --- ours ---


def our(found):
    seen = samples.summaries(found.rows)
    names = [name for name, _ in (*rounds.WORKLOADS, *rounds.LIKE_PEERS)]
    return [seen[rounds.OURS, name] for name in names if (rounds.OURS, name) in seen]


def goals(found):
    """What is aimed at, and whether it is reached: the most of all samples, the slower of the two medians."""
    aims, rows = budgets.read()["goals"], []
    for workload in ("idle", "busy"):
        one, aim = measured(found, rounds.OURS, workload), aims[f"{workload}_rss_kib"]
        if one is not None:
            rows.append((f"{workload}: most resident (RSS)", f"{number(one.most('rss'))} KiB", f"below {number(aim)} KiB", reached(one.most("rss") < aim)))
    took = max(statistics.median(times) for what, times in found.starts.items() if what.startswith("health"))
    rows.append(("exec to the first /health", f"{took:.1f} ms", f"below {aims['health_ms']} ms", reached(took < aims["health_ms"])))
    return report.table(("goal", "figure", "aim", "reached"), rows)


def reached(is_reached):
    return "yes" if is_reached else "**no**"


def levels(found):
    rows = []
    for one in our(found):
        # It is as alone is, but for a moment each minute.
        for name, word in LEVELS if one.workload != "minutely" else ():
            what = word if name in ("threads", "fds") else f"{word}, KiB"
            ends = [number(one.percentile(name, percent)) for percent in (95, 99)]
            rows.append((one.workload, what, spread(one.medians(name)), *ends, number(one.most(name))))
    return report.table(("workload", "what", "median (of each run)", "p95", "p99", "most"), rows)


def work(found):
    rows = []
    for one in our(found):
        told = found.told[f"{one.program}, {one.workload}"]
        times = [took for _, times in told for took in times]
        answered = f"{number(samples.percentile(times, 50), 1)}, {number(samples.percentile(times, 99), 1)} ms" if times else ""
        webhooks = one.grown("webhooks")
        written = f"{number(one.bytes_per_webhook())}" if webhooks else ""
        rows.append((
            one.workload, spread(one.rates("cpu_us", samples.MINUTE_S / 1000), 1), spread(one.rates("wakes"), 2), number(one.grown("written")),
            number(webhooks), answered, written, others(told),
        ))
    head = ("workload", "CPU, ms per minute", "wake-ups per second", "bytes written", "webhooks", "answered, median and p99", "bytes per webhook", "besides")
    return report.table(head, rows)


def others(told):
    """What else the clients saw, over all runs."""
    names = ("polls", "messages", "pieces", "answers")
    counts = {name: sum(grown.get(name, 0) for grown, _ in told) for name in names}
    return ", ".join(f"{name} {number(count)}" for name, count in counts.items() if count)


def starts(found):
    rows = [(f"exec to {what}", f"{statistics.median(times):.1f} ms", f"{min(times):.1f} to {max(times):.1f} ms") for what, times in found.starts.items()]
    rows.append(("binary, stripped", f"{number(found.binary.stat().st_size)} bytes", ""))
    rows.append(("installed: program, config, manual, completions, unit", f"{number(installed(found.binary))} bytes", ""))
    return report.table(("what", f"median of {found.plan.starts}", "least and most"), rows)


def installed(binary):
    """What the .deb puts onto a board."""
    text = (processes.ROOT / "Cargo.toml").read_text()
    files = re.findall(r'^    \["([^"]+)", "(?:usr|etc)/', text, re.MULTILINE)
    paths = [processes.ROOT / file for file in files if not file.startswith("target/")]
    paths.append(processes.ROOT / "packaging" / "systemd" / "chainbot.service")
    return binary.stat().st_size + sum(path.stat().st_size for path in paths)


def wakes_by_thread(found, workload):
    """Of the last run."""
    run = found.runs[-1]
    before, after = run.idle[f"{rounds.OURS}, {workload}"]
    rates = {}
    for task, (name, switches) in after.items():
        rates[name] = rates.get(name, 0) + (switches - before.get(task, ("", 0))[1]) / run.plan.seconds
    return ", ".join(f"{name} {rate:.2f}" for name, rate in sorted(rates.items()))


# --- the peers ---


def cell(figure, base, digits=0):
    """A figure, and how many times ours it is."""
    times = figure / base if base else None
    told = "" if times is None else f" ({times:.1f} x)" if times < 9.95 else f" ({times:,.0f} x)"
    return number(figure, digits) + told


def measured(found, name, workload):
    return samples.summaries(found.rows).get((name, workload))


def figures_of(one, ours):
    """RSS, PSS, USS, threads, CPU, wake-ups and bytes written, each with its ratio to ours."""
    return [
        *(cell(one.median(name), ours.median(name)) for name in ("rss", "pss", "uss")),
        cell(one.median("threads"), ours.median("threads")),
        cell(one.rate("cpu_us", samples.MINUTE_S) / 1000, ours.rate("cpu_us", samples.MINUTE_S) / 1000, 1),
        cell(one.rate("wakes"), ours.rate("wakes"), 2),
        cell(one.rate("written", samples.HOUR_S) / 1024, ours.rate("written", samples.HOUR_S) / 1024),
    ]


HEAD = ("RSS, KiB", "PSS, KiB", "USS, KiB", "threads", "CPU, ms per minute", "wake-ups per second", "written, KiB per hour")


def beside(found):
    """Everybody idle."""
    base = measured(found, rounds.OURS, "idle")
    if base is None:
        return "Ours has no run that counts."
    first = statistics.median(found.starts["health, state of the run before"])
    size = installed(found.binary) / 1024
    rows = [(f"**{rounds.OURS}**, registered", *figures_of(base, base), cell(size, size), cell(first, first, 1))]
    for peer in found.peers:
        one = measured(found, peer.name, peer.workloads[0])
        if one is None:
            continue
        start = statistics.median(found.peer_starts[peer.name])
        rows.append((f"{peer.name} {peer.version}, {WHAT[one.workload]}", *figures_of(one, base), cell(peer.installed / 1024, size), cell(start, first, 1)))
    return report.table(("program", *HEAD, "installed, KiB", "exec to first answer, ms"), rows)


def loaded(found):
    """Those that have an endpoint for webhooks, beside ours at the like."""
    rows = []
    shown = [(rounds.OURS, workload) for workload in LIKE if workload != "hooked"]
    shown += [(peer.name, workload) for peer in found.peers for workload in peer.workloads if workload in LIKE]
    for name, workload in shown:
        one, base = measured(found, name, workload), measured(found, rounds.OURS, LIKE[workload])
        if one is None or base is None:
            continue
        times = [took for _, some in found.told[f"{name}, {workload}"] for took in some]
        answered = f"{samples.percentile(times, 50):.1f}, {samples.percentile(times, 99):.1f}" if times else ""
        rows.append((f"{name}, {WHAT[workload]}", *figures_of(one, base), number(one.bytes_per_webhook()), answered))
    return report.table(("program", *HEAD, "bytes per webhook", "answered, median and p99, ms"), rows)
