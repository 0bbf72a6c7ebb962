"""A whole Debian on the disk of a machine, made by debootstrap once, and what a test brings along into it."""

import hashlib
import subprocess
import tempfile
import time
from pathlib import Path

import machine
from machine import CACHE, HERE, quiet, say

SUITE = "bookworm"
# Both inits stand side by side: which one runs, the kernel's line says.
PACKAGES = "systemd,openrc,init-system-helpers"
MIRROR = "http://deb.debian.org/debian"

INSIDE = HERE / "inside"
# Lines of the console that are for people.
TOLD = ("HOLDS ", "MEMORY ", "STATUS ", "INSTALL ")

# The second half of debootstrap, on the machine itself: this needs no binfmt_misc on the host.
STAGE2 = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive
/debootstrap/debootstrap --second-stage || { tail -n 20 /debootstrap/debootstrap.log; echo "FAULT the second stage"; }
rm -rf /stage2 /var/cache/apt/archives/*.deb
echo board >/etc/hostname
: >/etc/machine-id
echo 'root::0:0:99999:7:::' >/etc/shadow.root && sed -i '/^root:/d' /etc/shadow && cat /etc/shadow.root >>/etc/shadow && rm /etc/shadow.root
sync
mount -o remount,ro /
echo "STAGE2 done"
echo o >/proc/sysrq-trigger
sleep 60
"""


def rootfs(kind):
    """The image of the root file system, made once: about five minutes."""
    key = hashlib.sha256(f"{SUITE} {PACKAGES} {MIRROR} {kind.debian} {STAGE2}".encode()).hexdigest()[:12]
    image = CACHE / f"rootfs-{kind.debian}-{key}.ext4"
    if not image.exists():
        make_rootfs(kind, image)
    return image


def make_rootfs(kind, image):
    say(f"making a Debian {SUITE} for {kind.debian}, once")
    machine.need({"debootstrap": "debootstrap", "mkfs.ext4": "e2fsprogs"})
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="chainbot-rootfs-") as name:
        tree, half = Path(name) / "tree", Path(name) / "half.ext4"
        # Owners and device files are root's, on the host as on the image.
        quiet(machine.as_root(
            machine.which("debootstrap"), "--foreign", f"--arch={kind.debian}", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(tree), MIRROR
        ))
        stage2 = Path(name) / "stage2"
        stage2.write_text(STAGE2)
        quiet(machine.as_root("install", "-m", "755", str(stage2), str(tree / "stage2")))
        quiet(["truncate", "-s", "1G", str(half)])
        quiet(machine.as_root(machine.which("mkfs.ext4"), "-q", "-d", str(tree), str(half)))
        quiet(machine.as_root("rm", "-rf", str(tree)))
        running = start(kind, half, Path(name), {}, "/stage2", memory_mib=512)
        running.await_line("STAGE2 done", 1800)
        running.wait(120)
        quiet(["mv", str(half), str(image)])


def start(kind, disk, folder, payload, init, memory_mib=256, append=""):
    """Boots this disk with `init`; `payload` is `{path inside: (source, mode)}`, laid into it before."""
    initrd = folder / "initrd"
    files = {"init": (HERE / "root-init", 0o755)}
    files |= {f"payload/{path}": what for path, what in payload.items()}
    machine.initramfs(kind, initrd, files, ["root"])
    return machine.Machine(
        kind,
        ["-initrd", initrd, "-smp", "2", "-drive", f"if=none,id=d0,format=raw,file={disk},cache=unsafe", "-device", "virtio-blk-device,drive=d0"],
        f"chainbot.init={init} {append}", memory_mib=memory_mib,
    )


class Disk:
    """A copy of the Debian that lives over several boots."""

    def __init__(self, kind):
        machine.need({kind.qemu: "qemu-system-arm", "cpio": "cpio", "depmod": "kmod"})
        self.kind = kind
        image = rootfs(kind)
        self.workshop = tempfile.TemporaryDirectory(prefix="chainbot-debian-")
        self.folder = Path(self.workshop.name)
        self.disk = self.folder / "disk"
        subprocess.run(["cp", "--sparse=always", image, self.disk], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.workshop.cleanup()

    def run(self, payload, init, seconds, append=""):
        """Boots it, and tells what the script /test/run told until it was done. Names without a folder are in inside/."""
        payload = {"test/lib": ("lib", 0o644), **payload}
        payload = {path: (INSIDE / source if isinstance(source, str) and "/" not in source else source, mode) for path, (source, mode) in payload.items()}
        running = start(self.kind, self.disk, self.folder, payload, init, append=append)
        try:
            running.await_line("DONE", seconds)
            running.wait(60)
        finally:
            if running.is_up():
                running.cut()
            for line in running.console:
                if line.startswith(TOLD):
                    say(line)
        say(f"{self.kind.name}, {init}: all of it holds, {time.monotonic() - running.begun:.0f} s")
