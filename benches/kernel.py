"""What the kernel says of a program: of all its processes together, if it has several."""

import os
import shutil
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# What a sample has, in this order: KiB, counts, and four that only grow.
LEVELS = ("rss", "pss", "uss", "anon", "hwm", "threads", "fds")
COUNTERS = ("cpu_us", "wakes", "written")


def copied(source, target):
    """A copy that lies on the disk alone, as after a boot: of a file that has just been written the kernel maps whole large
    pieces, and more of it is resident than was asked for."""
    shutil.copy2(source, target)
    forget(target)
    return target


def forget(path):
    """Has the kernel drop what it holds of this file."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def sessions():
    """The processes of each session, by the session's id."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                session = int(_stat(entry)[3])
            except (OSError, IndexError):
                continue
            found.setdefault(session, []).append(int(entry))
    return found


def _stat(pid):
    """The fields of /proc/PID/stat behind the name, of which the first is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def _rows(path):
    """Names and first numbers of a file of `name: number` lines."""
    rows = {}
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            rows[name] = int(words[0])
    return rows


def _cpu_us(pid, tasks):
    """Processor time, with that of children that were waited for. The scheduler counts finer, but only of threads that live."""
    fields = _stat(pid)
    own, children = (sum(int(fields[at]) for at in pair) * 1_000_000 // TICKS for pair in ((11, 12), (13, 14)))
    return max(own, sum(cpu for cpu, _ in tasks.values())) + children


def _tasks(pid):
    """Microseconds on a processor and context switches of each thread."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            switches = sum(number for name, number in _rows(task / "status").items() if "ctxt_switches" in name)
            found[task.name] = (_scheduled_us(task), switches)
        except OSError:
            continue
    return found


def _scheduled_us(task):
    try:
        return int((task / "schedstat").read_text().split()[0]) // 1000
    except (OSError, IndexError):
        return 0


class Group:
    """A program by its first process. One that leads a session is counted with every process of it."""

    def __init__(self, pid):
        self.pid, self.switches, self.wakes, self.cpu_us, self.written = pid, {}, 0, {}, {}

    def is_alive(self):
        return Path(f"/proc/{self.pid}/smaps_rollup").exists() and _stat(self.pid)[0] != "Z"

    def sample(self, known=None):
        """One look: sums over its processes. Raises OSError if the first of them is gone."""
        total = dict.fromkeys(LEVELS, 0)
        for pid in {self.pid, *(known or sessions()).get(self.pid, ())}:
            try:
                for name, figure in self._look(pid).items():
                    total[name] += figure
            except (OSError, KeyError, ValueError, IndexError):
                # One of them ended meanwhile; a program whose first one did is gone.
                if pid == self.pid:
                    raise OSError(f"process {pid} is gone") from None
        total.update(cpu_us=sum(self.cpu_us.values()), wakes=self.wakes, written=sum(self.written.values()))
        return total

    def _look(self, pid):
        memory, status = _rows(f"/proc/{pid}/smaps_rollup"), _rows(f"/proc/{pid}/status")
        tasks = _tasks(pid)
        self.cpu_us[pid] = _cpu_us(pid, tasks)
        self.written[pid] = _rows(f"/proc/{pid}/io")["write_bytes"]
        for task, (_, switches) in tasks.items():
            self.wakes += switches - self.switches.get(task, 0)
            self.switches[task] = switches
        return {
            "rss": memory["Rss"], "pss": memory["Pss"], "uss": memory["Private_Clean"] + memory["Private_Dirty"], "anon": memory["Anonymous"],
            # The kernel's own counter may lag by some pages for each thread.
            "hwm": max(status["VmHWM"], memory["Rss"]), "threads": status["Threads"], "fds": len(os.listdir(f"/proc/{pid}/fd")),
        }
