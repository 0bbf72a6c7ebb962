"""Load by wrk, of Debian's package: one thread, kept-alive connections, as fast as they are answered."""

import json
import subprocess
from dataclasses import dataclass

import debian
import load

# What wrk tells at its end, as JSON. Times are in microseconds there.
DONE = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests":%d,"us":%d,"p50":%d,"p99":%d,"status":%d,"broken":%d}\\n', summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""
POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = %s
"""
# An id for each request, as most senders give one.
WITH_IDS = """
local number = 0
request = function()
  number = number + 1
  wrk.headers["webhook-id"] = "%s-" .. number
  return wrk.format()
end
"""


@dataclass
class Load:
    """What wrk saw of one measurement."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failed: int

    @property
    def rate(self):
        return self.good / self.seconds

    @property
    def good(self):
        return self.requests - self.failed


def script(folder, body=None, ids=None):
    """The Lua file for GET, or for POST of this body, with an id that begins like this."""
    text = DONE
    if body is not None:
        # A string of JSON is one of Lua too, while it has no escapes but these.
        text += POST % json.dumps(body.decode())
    if ids is not None:
        text += WITH_IDS % ids
    path = folder / f"{'get' if body is None else 'post'}{'' if ids is None else '-' + ids}.lua"
    path.write_text(text)
    return path


def run(port, path, connections, seconds, lua):
    """Asks for so long; at most as many answers are missing at the end as there are connections."""
    tree = debian.unpacked("wrk")
    command = [debian.program(tree, "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", lua, f"http://127.0.0.1:{port}{path}"]
    ended = subprocess.run(
        [str(word) for word in command], env=debian.environment(tree), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds + 60
    )
    told = next((line for line in ended.stdout.splitlines() if line.startswith("RESULT ")), None)
    if told is None:
        raise SystemExit(f"wrk ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    seen = json.loads(told[7:])
    return Load(seen["requests"], seen["us"] / 1e6, seen["p50"] / 1000, seen["p99"] / 1000, seen["status"] + seen["broken"])


BODY = load.BODY % 1
