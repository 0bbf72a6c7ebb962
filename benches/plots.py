#!/usr/bin/env python3
"""The plots that the README shows, drawn from the samples as SVG: memory beside the peers, memory over the soak, bytes to flash in a day.

    benches/plots.py [docs/data/footprint-....csv]

Each is drawn for light and for dark pages, into docs/plots. Needs nothing but Python.
"""

import csv
import math
import sys
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import samples  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PLOTS, SOAK = ROOT / "docs" / "plots", ROOT / "docs" / "data" / "soak.csv"
OURS = "ChainBot"
THEMES = {
    "light": {"text": "#1f2328", "soft": "#59636e", "grid": "#d1d9e0", "ours": "#0a7d55", "ours soft": "#8fd3b6", "other": "#57606a", "other soft": "#b6bfc9"},
    "dark": {"text": "#f0f6fc", "soft": "#9198a1", "grid": "#3d444d", "ours": "#3fb984", "ours soft": "#1f5d45", "other": "#9aa4af", "other soft": "#4b545e"},
}
WIDTH, LEFT, RIGHT, TOP, ROW = 760, 200, 120, 62, 30
NOTE = "Several processes of a daemon are summed, and what they share is counted in each."
PER_DAY = {"minutely": 24 * 60, "flooded": 24 * 60 * 60 * 50}


class Drawing:
    """An SVG under way, in the colours of one theme."""

    def __init__(self, theme, height, title, told):
        self.colours, self.height, self.parts = THEMES[theme], height, []
        self.head = f"<title>{escape(title)}</title>\n<desc>{escape(told)}</desc>"
        self.text(16, 26, title, size=16, weight=600)

    def text(self, x, y, text, colour="text", size=12, anchor="start", weight=400):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{self.colours[colour]}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def bar(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height}" fill="{self.colours[colour]}"/>')

    def line(self, points, colour, width=1.0):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{self.colours[colour]}" stroke-width="{width}"/>')

    def whole(self):
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" width="{WIDTH}" height="{self.height}" role="img"'
        font = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"'
        return "\n".join([f"{head} {font}>", self.head, *self.parts, "</svg>\n"])


def bars(theme, title, under, axis, rows, ticks, place, note=""):
    """Lying bars. A row has a label, its figure, the part of it that is drawn stronger or None, and the words behind it."""
    told = "; ".join(f"{label}: {words}" for label, _, _, words in rows)
    bottom = TOP + ROW * len(rows)
    drawing = Drawing(theme, bottom + (66 if note else 48), title, f"{under}. {told}.")
    drawing.text(16, 46, under, "soft")
    for figure, words in ticks:
        x = LEFT + place(figure)
        drawing.line([(x, TOP - 4), (x, bottom)], "grid")
        drawing.text(x, bottom + 16, words, "soft", 11, "middle")
    for index, (label, figure, strong, words) in enumerate(rows):
        colour, y = "ours" if label.startswith(OURS) else "other", TOP + ROW * index
        drawing.text(LEFT - 10, y + 18, label, anchor="end", weight=600 if colour == "ours" else 400)
        if figure:
            drawing.bar(LEFT, y + 4, place(figure), ROW - 10, colour if strong is None else f"{colour} soft")
        if strong:
            drawing.bar(LEFT, y + 4, place(strong), ROW - 10, colour)
        drawing.text(LEFT + (place(figure) if figure else 0) + 8, y + 18, words, "text" if colour == "ours" else "soft")
    drawing.text(LEFT, bottom + 34, axis, "soft", 11)
    if note:
        drawing.text(LEFT, bottom + 52, note, "soft", 11)
    return drawing.whole()


def round_step(most, count):
    """A step of 1, 2 or 5 times a power of ten, so that at most `count` of them reach `most`."""
    power = 10 ** math.floor(math.log10(most / count))
    return next(power * step for step in (1, 2, 5, 10) if power * step * count >= most)


# --- memory beside the peers ---


def memory_rows(seen):
    """Ours idle and busy first, then the peers at rest, the smallest first."""
    shown = {("idle", True): "registered, idle", ("busy", True): "busy"}
    ours = [(f"{OURS}, {shown[one.workload, True]}", one) for (name, _), one in seen.items() if name == OURS and (one.workload, True) in shown]
    others = [(name, one) for (name, workload), one in seen.items() if name != OURS and workload in ("idle", "subscribed", "checked", "scraped")]
    others.sort(key=lambda row: row[1].median("rss"))
    rows = []
    for label, one in ours + others:
        rss, uss = one.median("rss"), one.median("uss")
        rows.append((label, rss, uss, f"{rss:,.0f} (USS {uss:,.0f})"))
    return rows


def memory_peers(theme, seen):
    rows = memory_rows(seen)
    most = max(figure for _, figure, _, _ in rows)
    step = round_step(most, 6)
    ticks = [(step * number, f"{step * number:,.0f}") for number in range(int(most // step) + 1)]
    span = WIDTH - LEFT - RIGHT - 20
    under = "Resident memory (RSS); the darker part is the program's alone (USS)" if theme == "light" else "Resident memory (RSS); the brighter part is the program's alone (USS)"
    return bars(theme, "Memory beside other daemons", under, "KiB, median of the samples", rows, ticks, lambda figure: figure / most * span, NOTE)


# --- bytes to flash in a day ---


def flash_rows(seen):
    """Ours and the agent in Python, in turn, for each pace."""
    rows = []
    for pace, workloads in (("idle", ("idle",)), ("1 a minute", ("minutely", "normal")), ("50 a second", ("flooded", "busy"))):
        for name in (OURS, "Python agent"):
            one = next((seen[name, workload] for workload in workloads if (name, workload) in seen), None)
            if one is not None:
                paced = {"normal": "minutely", "busy": "flooded"}.get(one.workload, one.workload)
                figure = one.bytes_per_day(PER_DAY.get(paced, 0))
                rows.append((f"{name}, {pace}", figure, None, size(figure)))
    return rows


def size(figure):
    """Bytes in the unit that fits."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if figure < 1024 or unit == "GiB":
            return f"{figure:,.0f} {unit}" if figure >= 10 or figure == int(figure) else f"{figure:.1f} {unit}"
        figure /= 1024
    return ""


def flash_day(theme, seen):
    rows = flash_rows(seen)
    powers = list(range(20, max(31, math.ceil(math.log2(max(figure for _, figure, _, _ in rows) or 1)) + 1)))
    low, high, span = powers[0] - 2, powers[-1], WIDTH - LEFT - RIGHT

    def place(figure):
        return max(0.0, (math.log2(figure) - low) / (high - low)) * span

    ticks = [(2 ** power, size(2 ** power)) for power in powers if power % 10 == 0 or power % 10 == 5]
    note = "Extrapolated from bytes per webhook in the runs; idle as measured."
    return bars(theme, "Bytes to flash in a day", "Idle, and with so many webhooks: what the kernel counts as written by the program", "bytes a day, logarithmic", rows, ticks, place, note)


# --- memory over the soak ---


def memory_soak(theme, rows):
    height, bottom, right = 300, 240, WIDTH - RIGHT
    most_x, most_y = rows[-1]["webhooks"], max(row["rss_kib"] for row in rows)
    step = round_step(most_y * 1.1, 5)
    most_y = step * math.ceil(most_y * 1.1 / step)
    told = f"{rows[0]['rss_kib']:,} KiB resident after {rows[0]['webhooks']:,} webhooks, {rows[-1]['rss_kib']:,} after {most_x:,}"
    drawing = Drawing(theme, height, f"Memory over {most_x:,} webhooks", f"{told}; of them anonymous {rows[0]['anonymous_kib']:,} and {rows[-1]['anonymous_kib']:,}.")
    drawing.text(16, 46, "Resident memory of one process, all clients gone at each sample; sockets and hostile requests among the webhooks", "soft")

    def at(webhooks, kib):
        return 70 + webhooks / most_x * (right - 70), bottom - kib / most_y * (bottom - TOP)

    for number in range(round(most_y / step) + 1):
        (_, y), kib = at(0, step * number), step * number
        drawing.line([(70, y), (right, y)], "grid")
        drawing.text(62, y + 4, f"{kib:,.0f}", "soft", 11, "end")
    for number in range(6):
        webhooks = most_x * number // 5
        drawing.text(at(webhooks, 0)[0], bottom + 18, f"{webhooks:,}", "soft", 11, "middle")
    for name, colour, words in (("rss_kib", "ours", "RSS"), ("anonymous_kib", "other", "anonymous")):
        points = [at(row["webhooks"], row[name]) for row in rows]
        drawing.line(points, colour, 2)
        drawing.text(right + 8, points[-1][1] + 4, f"{words} {rows[-1][name]:,}", "text")
    drawing.text(70, bottom + 40, "upwards KiB, to the right webhooks so far", "soft", 11)
    return drawing.whole()


# --- all of them ---


def draw(data):
    """All plots in both themes."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    seen = samples.summaries(samples.read(data))
    with open(SOAK, newline="") as file:
        soak = [{name: float(value) if name == "seconds" else int(value) for name, value in row.items()} for row in csv.DictReader(file)]
    for theme in THEMES:
        for name, drawn in (("memory-peers", memory_peers(theme, seen)), ("memory-soak", memory_soak(theme, soak)), ("flash-day", flash_day(theme, seen))):
            (PLOTS / f"{name}-{theme}.svg").write_text(drawn)


def main():
    given = sys.argv[1:] or sorted(map(str, (ROOT / "docs" / "data").glob("footprint-*.csv")), key=lambda name: "musl" not in name)
    if not given:
        sys.exit("no samples: benches/footprint --write --peers makes them")
    draw(Path(given[0]))


if __name__ == "__main__":
    main()
