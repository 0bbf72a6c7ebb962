"""A machine in QEMU, without KVM: Debian's kernel, a disk, and a console whose lines are read."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
# Kept between runs and checkouts, and may be removed at any time.
CACHE = Path(
    os.environ.get("CHAINBOT_CROSS_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chainbot-cross"
)
MODULES = (
    "virtio_mmio virtio_blk failover net_failover virtio_net virtio_rng crc32c_generic libcrc32c crc16 mbcache jbd2 ext4".split()
)


# Whoever is told to stop takes the machine along.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class Kind:
    """What is different between the machines."""

    def __init__(self, name, debian, kernel, qemu, cpu, triple):
        self.name, self.debian, self.kernel = name, debian, kernel
        self.qemu, self.cpu, self.triple = qemu, cpu, triple

    @property
    def program(self):
        """What cross/build left in dist/."""
        return ROOT / "dist" / f"chainbot-{version()}-{self.triple}"


KINDS = {
    kind.name: kind
    for kind in (
        Kind("armv7", "armhf", "linux-image-armmp-lpae", "qemu-system-arm", "cortex-a7", "armv7-unknown-linux-musleabihf"),
        Kind("aarch64", "arm64", "linux-image-arm64", "qemu-system-aarch64", "cortex-a53", "aarch64-unknown-linux-musl"),
    )
}


def version():
    lines = (ROOT / "Cargo.toml").read_text().splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("version = "))


def say(words):
    print(words, flush=True)


def fail(words):
    raise SystemExit(f"FAULT: {words}")


def as_root(*words):
    return list(words) if os.geteuid() == 0 else ["sudo", *words]


def need(programs):
    """`{program: package}`: installs the packages of those that are missing."""
    missing = sorted({package for program, package in programs.items() if not which(program)})
    if missing:
        quiet(as_root("apt-get", "update", "-q"))
        quiet(as_root("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qy", "--no-install-recommends", *missing))


def which(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def quiet(words, **more):
    """Runs it; its output is shown only if it fails."""
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **more)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def kernel(kind):
    """The folder with Debian's kernel, its modules and busybox, fetched once; and the kernel's release."""
    folder = CACHE / f"boot-{kind.name}"
    tree = folder / "tree"
    if not (tree / "boot").is_dir():
        fetch(kind, folder)
    return tree, next((tree / "lib" / "modules").iterdir()).name


def fetch(kind, folder):
    """With lists of its own: the system's apt does not learn of another architecture."""
    say(f"fetching Debian's kernel for {kind.debian}, once")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lists/partial", "archives/partial", "debs"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    settings = {
        "APT::Architecture": kind.debian, "APT::Architectures": kind.debian, "APT::Sandbox::User": "root",
        "Dir::State::Lists": folder / "lists", "Dir::State::Status": folder / "status", "Dir::Cache": folder,
    }
    options = ["-q", *(f"-o{name}={value}" for name, value in settings.items())]
    subprocess.run(["apt-get", *options, "update"], stdout=subprocess.DEVNULL, check=False)
    depends = quiet(["apt-cache", *options, "depends", kind.kernel])
    # The package without a number is an empty one that depends on the newest with a number.
    image = next(word for word in depends.split() if word.startswith("linux-image-") and word != kind.kernel)
    quiet(["apt-get", *options, "download", image, "busybox-static"], cwd=folder / "debs")
    half = folder / "half"
    for deb in (folder / "debs").iterdir():
        quiet(["dpkg-deb", "-x", str(deb), str(half)])
    shutil.rmtree(folder / "debs")
    half.rename(folder / "tree")


def initramfs(kind, target, files, folders):
    """An initramfs at `target` with busybox, the modules, `files` ({path inside: (source, mode)}) and empty folders."""
    tree, release = kernel(kind)
    with tempfile.TemporaryDirectory(prefix="chainbot-image-") as name:
        image = Path(name)
        image.chmod(0o755)
        modules = image / "lib" / "modules" / release
        for folder in ("bin", "proc", "sys", "dev", "tmp", *folders):
            (image / folder).mkdir(parents=True, exist_ok=True)
        modules.mkdir(parents=True)
        for module in MODULES:
            for found in (tree / "lib" / "modules" / release).rglob(f"{module.replace('_', '[-_]')}.ko*"):
                shutil.copy(found, modules)
        quiet([which("depmod"), "-b", str(image), release])
        for inside, (source, mode) in {"bin/busybox": (tree / "bin" / "busybox", 0o755), **files}.items():
            (image / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, image / inside)
            (image / inside).chmod(mode)
        quiet(["sh", "-c", f"find . | cpio -o -H newc --quiet -R 0:0 | gzip -1 >'{target}'"], cwd=image)


class Machine:
    """A machine that runs. Its power is cut by `cut`."""

    def __init__(self, kind, arguments, append, memory_mib=128, clock="utc"):
        tree, release = kernel(kind)
        command = [
            kind.qemu, "-M", "virt", "-cpu", kind.cpu, "-m", str(memory_mib), "-display", "none", "-monitor", "none",
            "-serial", "stdio", "-no-reboot", "-nic", "none", "-rtc", f"base={clock}", "-device", "virtio-rng-device",
            "-kernel", tree / "boot" / f"vmlinuz-{release}", "-append", f"console=ttyAMA0 quiet panic=-1 {append}", *arguments,
        ]
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        # Every line so far; a half line that the power cut off is none.
        self.console = []
        self.fresh = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            if line.endswith(b"\n"):
                text = line.decode(errors="replace").strip()
                self.console.append(text)
                self.fresh.put(text)
        self.fresh.put(None)

    def await_line(self, begin, seconds):
        """The next line that begins so."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self.fresh.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                fail(f'no line "{begin}" within {seconds} s:\n{self.tail()}')
            if line is None:
                fail(f'the machine ended before a line "{begin}":\n{self.tail()}')
            if line.startswith(begin):
                return line
            if line.startswith("FAULT") or "Kernel panic" in line:
                fail(f"on the machine:\n{self.tail()}")

    def tell(self, word):
        """A line to the machine's console."""
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()

    def ask(self, word, seconds=60):
        """The answer to a question that tests/boot/init knows."""
        self.tell(word)
        return self.await_line(f"{word}: ", seconds).split(": ", 1)[1]

    def tail(self, lines=40):
        return "\n".join(self.console[-lines:])

    def is_up(self):
        return self.process.poll() is None

    def check(self):
        """Ends the test if the machine told of a fault."""
        if any(line.startswith("FAULT") or "Kernel panic" in line for line in self.console):
            fail(f"on the machine:\n{self.tail()}")

    def cut(self):
        """As if the plug were pulled: the process is gone before this returns, and nothing more reaches the disk."""
        self.process.kill()
        self.process.wait()

    def wait(self, seconds):
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            fail(f"the machine did not power off within {seconds} s:\n{self.tail()}")
