"""Programs of Debian's packages without installing them: fetched by apt, unpacked into the user's cache, no script of theirs run."""

import os
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chainbot-debian"
TIME_MAX_S = 300


def unpacked(*packages):
    """The folder in which these packages, and what they need and this machine has not, are unpacked as if it were `/`."""
    try:
        return _unpacked(packages, [])
    except (subprocess.CalledProcessError, LookupError):
        # The system's lists are missing or old. Own ones, so that neither root nor a change of the system is needed.
        lists = CACHE / "lists"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        options = ["-o", f"Dir::State::lists={lists}"]
        _apt("apt-get", options, "update", "-q")
        return _unpacked(packages, options)


def environment(tree):
    """Variables for a program from there: its libraries are looked for beside the system's."""
    folders = [str(folder) for folder in (*tree.glob("usr/lib/*-linux-*"), *tree.glob("lib/*-linux-*"))]
    names = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**names, "LD_LIBRARY_PATH": ":".join(folders)}


def program(tree, name):
    """The path of a program in there."""
    for folder in ("usr/sbin", "usr/bin", "sbin", "bin"):
        if (tree / folder / name).exists():
            return tree / folder / name
    raise LookupError(f"{name} is not in {tree}")


def version(package, options=()):
    """The version that apt would install."""
    told = _apt("apt-cache", options, "policy", package)
    for line in told.splitlines():
        word, _, value = line.strip().partition(": ")
        if word == "Candidate" and value != "(none)":
            return value
    raise LookupError(f"apt knows no package {package}")


def _unpacked(packages, options):
    name = "+".join(f"{package}={version(package, options)}" for package in sorted(packages)).replace(":", "-")
    tree = CACHE / name
    if tree.is_dir():
        return tree
    archives, draft = CACHE / f"{name}.archives", CACHE / f"{name}.draft"
    for folder in (archives, draft):
        shutil.rmtree(folder, ignore_errors=True)
    (archives / "partial").mkdir(parents=True)
    own = [*options, "-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="]
    # Reinstall: also those that the machine has, at the version of the lists.
    _apt("apt-get", own, "install", "-qqy", "--download-only", "--reinstall", "--no-install-recommends", *packages)
    draft.mkdir()
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", archive, draft], check=True, timeout=TIME_MAX_S)
    if not any(draft.iterdir()):
        raise LookupError(f"apt fetched nothing for {', '.join(packages)}")
    shutil.rmtree(archives)
    draft.rename(tree)
    return tree


def _apt(command, options, *arguments):
    # Without a sandbox user: that one could not write into the cache of another.
    line = [command, "-o", "APT::Sandbox::User=root", *options, *arguments]
    ended = subprocess.run(line, check=True, timeout=TIME_MAX_S, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return ended.stdout
