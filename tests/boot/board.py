"""A machine of tests/boot with the agent on it, its disk, and the peers that it calls through the machine's network."""

import http.client
import json
import socket
import tempfile
import time
from pathlib import Path

import machine
from machine import fail, quiet
from peers import AGENT_ID, SECRET, Peers, make_authority

# Where the machine finds the peers: a service of QEMU's network, which leads nowhere else.
PEERS_AT = "10.0.2.100"
TOKEN = "only-for-this-machine-0123456789"


class Board:
    """A disk that lives over many boots, and the peers. Leave it by `close`."""

    def __init__(self, kind, program, tls=False, alone=False):
        machine.need({
            kind.qemu: "qemu-system-arm", "socat": "socat", "cpio": "cpio", "depmod": "kmod", "mkfs.ext4": "e2fsprogs",
            "openssl": "openssl", "apt-get": "apt",
        })
        self.kind = kind
        self.workshop = tempfile.TemporaryDirectory(prefix="chainbot-boot-")
        self.folder = Path(self.workshop.name)
        self.machine = None
        if tls:
            make_authority(self.folder, PEERS_AT)
        self.peers = Peers(self.folder if tls else None)
        self.disk = self.folder / "disk"
        with open(self.disk, "wb") as disk:
            disk.truncate(64 << 20)
        quiet([machine.which("mkfs.ext4"), "-q", self.disk])
        (self.folder / "environment").write_text(environment(tls, alone))
        files = {
            "init": (machine.HERE / "init", 0o755),
            "bin/chainbot": (program, 0o755),
            "etc/chainbot/config.toml": (machine.ROOT / "config.toml", 0o644),
            "etc/chainbot/environment": (self.folder / "environment", 0o644),
        }
        if tls:
            files["etc/chainbot/authority.pem"] = (self.folder / "authority.pem", 0o644)
        machine.initramfs(kind, self.folder / "initrd", files, ["var/lib/chainbot"])

    def boot(self, number, clock="utc"):
        """Powers it on and waits until the agent answers; the year that the machine believes in."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        to_peers = f"guestfwd=tcp:{PEERS_AT}:8000-cmd:socat - TCP4:127.0.0.1:{self.peers.port}"
        arguments = [
            "-initrd", self.folder / "initrd", "-netdev",
            f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-10.0.2.15:9000,{to_peers}", "-device", "virtio-net-device,netdev=n0",
            "-drive", f"if=none,id=d0,format=raw,file={self.disk}", "-device", "virtio-blk-device,drive=d0",
        ]
        self.machine = machine.Machine(self.kind, arguments, f"chainbot.boot={number}", clock=clock)
        year = self.machine.await_line("YEAR", 120).split()[1]
        self.machine.await_line("READY", 60)
        self.wait_for("an answer at /health", lambda: self.ask("GET", "/health")[0] == 200, 120)
        return year

    def wait_for(self, what, fact, seconds=60):
        end = time.monotonic() + seconds
        while True:
            try:
                if fact():
                    return
            except OSError:
                pass
            self.machine.check()
            if time.monotonic() > end or not self.machine.is_up():
                if self.machine.is_up():
                    self.machine.ask("log")
                fail(f"waited {seconds} s for {what}:\n{self.machine.tail()}")
            time.sleep(0.05)

    def ask(self, method, path, body=None, seconds=10, **headers):
        """Status and body of the agent's answer, over the forwarded port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            fields = {"Authorization": f"Bearer {TOKEN}", **{name.replace("_", "-"): value for name, value in headers.items()}}
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError(error) from error
        finally:
            connection.close()

    def webhook(self, name):
        """Whether it was acknowledged. The same name is the same id: it may be sent again."""
        body = json.dumps({"event_type": name, "resource_id": "boot"})
        status, _ = self.ask("POST", "/api/webhooks/chainbot/event", body, webhook_id=name, content_type="application/json")
        return status == 200

    def events(self):
        """`{type: [ids]}` of all that the ledger keeps."""
        found, after = {}, "0"
        while True:
            status, text = self.ask("GET", f"/api/events?since={after}&limit=200", seconds=60)
            if status != 200:
                fail(f"/api/events answered {status}: {text!r}")
            page = json.loads(text)
            for event in page["events"]:
                found.setdefault(event["type"], []).append(event["id"])
            if not page["events"]:
                return found
            after = page["next"]

    def memory(self):
        """Rss, Pss and anonymous memory of the agent in KiB, from smaps_rollup: the largest of five readings, because Linux 6.1
        sometimes ends the walk through the mappings early while they change."""
        readings = []
        for _ in range(5):
            readings.append(tuple(int(number) for number in self.machine.ask("memory").split()))
            time.sleep(0.2)
        return max(readings)

    def power_off(self):
        """Asks the agent to stop and the machine to power off; the agent's exit code."""
        code = int(self.machine.ask("stop"))
        self.machine.wait(60)
        return code

    def close(self):
        if self.machine and self.machine.is_up():
            self.machine.cut()
        self.peers.server.shutdown()
        self.workshop.cleanup()


def environment(tls, alone):
    """What a person would add to the packaged config, as variables: to listen beyond loopback, and the peers."""
    variables = {"CHAINBOT_SERVER__HOST": "0.0.0.0", "CHAINBOT_SECURITY__TOKEN": TOKEN}
    if not alone:
        base = f"{'https' if tls else 'http'}://{PEERS_AT}:8000"
        variables |= {
            "CHAINBOT_ALEX_OS__MODULE_REGISTRY_URL": base, "CHAINBOT_ALEX_OS__REGISTRATION_RETRY_INTERVAL": "1",
            "CHAINBOT_AIWM__ENABLED": "true", "CHAINBOT_AIWM__BASE_URL": base, "CHAINBOT_AIWM__AGENT_ID": AGENT_ID,
            "CHAINBOT_AIWM__AGENT_SECRET": SECRET, "CHAINBOT_AIWM__HEARTBEAT_INTERVAL": "5",
        }
    if tls:
        variables["CHAINBOT_SECURITY__AUTHORITIES"] = "/etc/chainbot/authority.pem"
    return "".join(f"{name}='{value}'\n" for name, value in variables.items())
