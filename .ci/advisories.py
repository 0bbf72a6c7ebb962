"""Holds .ci/advisories.toml against the tree: every entry is about what is there, and what may only test is not in the program."""

import pathlib
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
MEMBERS = {"crate", "version", "name", "source", "weakness", "only_tests", "why"}


def tree(edges):
    """Every crate and version that these edges reach, for every target."""
    words = ["cargo", "tree", "--locked", "--edges", edges, "--target", "all", "--prefix", "none", "--format", "{p}"]
    text = subprocess.run(words, cwd=HERE.parent, check=True, capture_output=True, text=True).stdout
    return {(name, version.removeprefix("v")) for name, version, *_ in map(str.split, filter(None, text.splitlines()))}


def faults(entries):
    everything, program = tree("normal,build,dev"), tree("normal,build")
    for entry in entries:
        if set(entry) != MEMBERS:
            yield f"{entry.get('crate', 'an entry')}: members are {sorted(entry)}, wanted {sorted(MEMBERS)}"
            continue
        place, name = (entry["crate"], entry["version"]), f"{entry['crate']} {entry['version']}, {entry['name']}"
        if place not in everything:
            yield f"{name}: not in the tree; look whether the weakness is gone with it, and renew the entry"
        elif entry["only_tests"] and place in program:
            yield f"{name}: is part of the program, and was to be in tests only"
        if not entry["source"].startswith("https://") and not (HERE.parent / entry["source"]).exists():
            yield f"{name}: its source {entry['source']} does not exist"


def main():
    entries = tomllib.loads((HERE / "advisories.toml").read_text())["advisory"]
    found = list(faults(entries))
    print(f"{len(entries)} known weaknesses that no database carries, {len(found)} of them not accounted for")
    for fault in found:
        print(f"  {fault}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
