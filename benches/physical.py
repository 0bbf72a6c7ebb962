"""What the machine itself can do: flushes of its disk, as the measure of a promise that is kept by one."""

import os
import time

RECORD = b"x" * 300
PAGE = b"x" * 4096
PAGES = 256


def flushes(folder, seconds):
    """Per second: a record appended and flushed; a page written in place and flushed."""
    return {"append 300 bytes, fdatasync": _appends(folder / "appended", seconds), "write 4 KiB in place, fdatasync": _pages(folder / "pages", seconds)}


def _appends(path, seconds):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return _rate(seconds, descriptor, lambda number: os.write(descriptor, RECORD))


def _pages(path, seconds):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    for number in range(PAGES):
        os.pwrite(descriptor, PAGE, number * len(PAGE))
    os.fsync(descriptor)
    return _rate(seconds, descriptor, lambda number: os.pwrite(descriptor, PAGE, number % PAGES * len(PAGE)))


def _rate(seconds, descriptor, write):
    begun, count = time.perf_counter(), 0
    try:
        while time.perf_counter() - begun < seconds:
            write(count)
            os.fdatasync(descriptor)
            count += 1
        return count / (time.perf_counter() - begun)
    finally:
        os.close(descriptor)


def filesystem(folder):
    """Its kind, so that nobody takes memory for a disk."""
    best = ("", "unknown")
    for line in open("/proc/mounts"):
        _, place, kind = line.split()[:3]
        if str(folder).startswith(place.rstrip("/") + "/") and len(place) > len(best[0]):
            best = (place, kind)
    return best[1]
