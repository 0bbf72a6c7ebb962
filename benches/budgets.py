#!/usr/bin/env python3
"""The budgets of budgets.toml, of which only sections and numbers are read: Python 3.9 has no reader of TOML.

    benches/budgets.py PROGRAM...    lowers the sizes to what these programs have, and 3 % more
"""

import platform
import re
import sys
from pathlib import Path

FILE = Path(__file__).with_name("budgets.toml")
ROOM = 1.03


def read():
    """`{section: {name: number}}`."""
    sections, section = {}, None
    for line in FILE.read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), {})
        elif line:
            name, _, number = (part.strip() for part in line.partition("="))
            section[name] = float(number) if "." in number else int(number)
    return sections


def is_static(binary):
    """Whether it asks for no loader, and so has no C library beside it."""
    return b"/ld-" not in Path(binary).read_bytes()[:4096]


def triple(binary):
    """The target of a program: that of its name, as `cross/build` calls it, else this machine's."""
    named = next((triple for triple in read()["binary"] if triple in Path(binary).name), None)
    return named or f"{platform.machine()}-unknown-linux-{'musl' if is_static(binary) else 'gnu'}"


def lower(binary):
    """Sets the budget of a program's target to its size and some room, if that is less."""
    name, wanted = triple(binary), int(Path(binary).stat().st_size * ROOM)
    budget = read()["binary"].get(name)
    if budget is None or wanted >= budget:
        return f"{name}: stays at {budget}"
    FILE.write_text(re.sub(rf"^{re.escape(name)} = \d+$", f"{name} = {wanted}", FILE.read_text(), flags=re.MULTILINE))
    return f"{name}: {budget} to {wanted}"


if __name__ == "__main__":
    for given in sys.argv[1:]:
        if not Path(given).is_file():
            raise SystemExit(f"{given}: there is no such file")
        print(lower(given))
