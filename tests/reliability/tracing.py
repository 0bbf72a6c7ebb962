"""strace on a running program: its system calls fail or wait until the end of `with`."""

import pathlib
import re
import signal
import subprocess
import time

from board import Broken

# What a kernel never refuses: to change or remove what an epoll watches (only what adds asks for memory), and to wake those who wait
# at a futex. strace cannot tell them from their siblings before they have failed.
IMPOSSIBLE = re.compile(r"epoll_ctl\(\d+, EPOLL_CTL_(MOD|DEL)|futex\([^,]*, FUTEX_WAKE")


def is_impossible(text):
    """Whether this trace has a failure that no kernel brings about."""
    begun = {}
    for line in text.splitlines():
        who, _, said = line.partition(" ")
        if line.endswith("<unfinished ...>"):
            begun[who] = said
        elif "(INJECTED)" in line and IMPOSSIBLE.search(begun.get(who, "") if "resumed>" in said else said):
            return True
    return False


class Strace:
    """strace on a running program; the end of `with` is the end of the cause."""

    def __init__(self, pid, injections, folder):
        self.log = pathlib.Path(folder) / f"strace-{pid}"
        # A question mark: not every machine has every call.
        names = ",".join(sorted({f"?{name}" for name, _ in injections}))
        words = [word for name, how in injections for word in ("-e", f"inject=?{name}:{how}")]
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", str(self.log), "-e", f"trace={names}", "-e", "signal=none", *words, "-p", str(pid)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        end = time.monotonic() + 5
        while "TracerPid:\t0" in (pathlib.Path(f"/proc/{pid}/status").read_text()):
            if time.monotonic() > end or self.process.poll() is not None:
                raise Broken("strace does not attach")
            time.sleep(0.001)

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def told(self):
        """What was traced."""
        return self.log.read_text(errors="replace")

    def injected(self):
        return "(INJECTED)" in self.told() or "(DELAYED)" in self.told()
