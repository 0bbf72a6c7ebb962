"""What a bench found: rows for people, budgets that did not hold, and the tables of the documents."""

import os
import platform
import time

import agent as processes

DOCUMENT = processes.ROOT / "docs" / "footprint.md"


class Report:
    """Rows for people, and the budgets that did not hold."""

    def __init__(self):
        self.rows, self.broken = [], []

    def row(self, what, figure, budget=""):
        self.rows.append((what, str(figure), budget))
        print(f"{what:<58} {figure} {f'({budget})' if budget else ''}".rstrip(), flush=True)

    def budget(self, what, figure, limit, unit=""):
        """A figure that must not be above its limit."""
        self._judge(what, figure, figure <= limit, f"at most {limit:,}{unit}", unit)

    def below(self, what, figure, limit, unit=""):
        """A figure that must be below its limit."""
        self._judge(what, figure, figure < limit, f"below {limit:,}{unit}", unit)

    def _judge(self, what, figure, is_kept, limit, unit):
        text = f"{figure:.2f}" if isinstance(figure, float) else f"{figure:,}"
        self.row(what, f"{text}{unit}", limit + ("" if is_kept else ": BROKEN"))
        if not is_kept:
            self.broken.append(f"{what}: {text}{unit}, {limit}")

    def table(self):
        return table(("what", "figure", "budget"), self.rows)


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


TRIAL = " **A trial, shorter than the published form.**"


def machine(is_static):
    """When, where and what, in two sentences."""
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} shared {platform.machine()} cores, Linux {'.'.join(platform.release().split('.')[:2])}. The program is {'static' if is_static else 'linked with glibc'}."


def write_document(name, text):
    """Puts a text between the markers of its name."""
    whole = DOCUMENT.read_text()
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = whole.split(begin)
    DOCUMENT.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")
