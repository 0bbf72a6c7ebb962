"""Reads `cargo metadata` and names the crates whose declared rust-version is later than the one given."""

import json
import sys


def version(text):
    return tuple(int(part) for part in text.split("."))[:2]


def main():
    ours = version(sys.argv[1])
    packages = json.load(sys.stdin)["packages"]
    late = [p for p in packages if p["rust_version"] and version(p["rust_version"]) > ours]
    for package in late:
        print(f"  {package['name']} {package['version']} needs {package['rust_version']}")
    print(f"  {len(late)} of {len(packages)}")
    return 1 if late else 0


sys.exit(main())
