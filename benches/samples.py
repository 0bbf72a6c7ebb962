"""Samples: kept as CSV, and what they say in a few figures."""

import csv
import statistics

from rounds import COLUMNS

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def keep(path, rows):
    """Writes the rows of all runs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read(path):
    with open(path, newline="") as file:
        return [{name: value if name in ("program", "workload") else int(value) for name, value in row.items()} for row in csv.DictReader(file)]


def percentile(figures, percent):
    """The smallest figure that so many of a hundred do not exceed."""
    ordered = sorted(figures)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1))]


class Summary:
    """One program under one workload over all runs."""

    def __init__(self, rows):
        self.program, self.workload = rows[0]["program"], rows[0]["workload"]
        self.rows = rows
        numbers = sorted({row["run"] for row in rows})
        self.runs = [[row for row in rows if row["run"] == number] for number in numbers]

    def medians(self, name):
        """The median of each run."""
        return [statistics.median(row[name] for row in run) for run in self.runs]

    def median(self, name):
        return statistics.median(self.medians(name))

    def percentile(self, name, percent):
        return percentile([row[name] for row in self.rows], percent)

    def most(self, name):
        return max(row[name] for row in self.rows)

    def rates(self, name, seconds=1):
        """What a counter grew by in so many seconds, for each run."""
        return [(run[-1][name] - run[0][name]) * seconds / max(1, run[-1]["second"] - run[0]["second"]) for run in self.runs]

    def rate(self, name, seconds=1):
        return statistics.median(self.rates(name, seconds))

    def grown(self, name):
        """What a counter grew by in all runs together, while it was sampled."""
        return sum(run[-1][name] - run[0][name] for run in self.runs)

    def bytes_per_webhook(self):
        """What a webhook cost the disk; 0 if there was none."""
        webhooks = self.grown("webhooks")
        return self.grown("written") / webhooks if webhooks else 0.0

    def bytes_per_day(self, webhooks_per_day=0):
        """To the disk in a day of so many webhooks; of none, what was written while there were none."""
        return self.bytes_per_webhook() * webhooks_per_day if webhooks_per_day else self.rate("written", DAY_S)


def summaries(rows):
    """`{(program, workload): Summary}`, in the order of the rows."""
    found = {}
    for row in rows:
        found.setdefault((row["program"], row["workload"]), []).append(row)
    return {key: Summary(some) for key, some in found.items()}


