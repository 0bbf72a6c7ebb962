"""Stand-ins on loopback for what the machine calls: ALEX OS as documented and AIWM of the newest generation, over TLS if asked."""

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

AGENT_ID = "0123456789abcdef01234567"
SECRET = "3b1f0c53a7d94c1e8f2a6b7c8d9e0f1a"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoiYWdlbnQifQ.c3RhbmQtaW4"


class Peers:
    """Both behind one port, as no path of one is a path of the other."""

    def __init__(self, authority=None):
        self.lock = threading.Lock()
        self.registrations = self.connects = self.beats = self.reports = 0
        # Ids of events that ALEX OS was given, each as often as it came.
        self.events = []
        peers = self

        class Handler(BaseHTTPRequestHandler):
            # Its answers go to a machine whose processor is emulated.
            timeout = 60

            def do_GET(self):
                self.answer(b"")

            def do_POST(self):
                self.answer(self.rfile.read(int(self.headers.get("content-length", 0))))

            def answer(self, body):
                status, reply = peers.reply(self.command, self.path, self.headers, body)
                text = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *connection: None
        if authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority / "server.pem", authority / "server.key")
            # The handshake in the connection's own thread: a machine whose power was cut never ends its one.
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reply(self, method, path, headers, body):
        with self.lock:
            if path == "/api/agents/canon":
                return 200, {"agents": [{"name": "harry", "version": "2.1.0", "description": "d", "capabilities": ["reasoning"]}]}
            try:
                said = json.loads(body)
            except ValueError:
                return 422, {"detail": "no JSON"}
            if path == "/api/agents/register":
                self.registrations += 1
                return 201, {"agent_id": "alex-0001", "status": "registered"}
            if path.startswith("/api/webhooks/chainbot/"):
                event = headers.get("webhook-id") or said.get("id") or ""
                if path.endswith("/health_report") or said.get("event_type") == "health_report":
                    self.reports += 1
                else:
                    self.events.append(event)
                return 200, {"status": "success"}
            if path == f"/agents/{AGENT_ID}/connect":
                if said.get("secret") != SECRET:
                    return 401, {"statusCode": 401, "message": "Invalid credentials"}
                self.connects += 1
                return 201, {
                    "accessToken": TOKEN, "tokenType": "bearer", "expiresIn": 86400, "refreshToken": None, "refreshExpiresIn": 0,
                    "id": AGENT_ID, "name": "Stand-in", "instruction": {"id": AGENT_ID, "systemPrompt": "You are a stand-in."},
                    "tools": [], "allowedFunctions": [], "framework": "claude-agent-sdk", "mcpServers": {},
                    "settings": {"claude_maxTurns": 7}, "channels": [],
                }
            if path.startswith("/agents/"):
                if headers.get("authorization", "").lower() != f"bearer {TOKEN}".lower():
                    return 401, {"statusCode": 401, "message": "Unauthorized"}
                self.beats += path.endswith("/heartbeat")
                return 201, {"success": True}
            return 404, {"detail": "Not Found"}


def make_authority(folder, address):
    """An authority of our own, and a server at this address that it vouches for: authority.pem, server.pem, server.key."""
    extensions = folder / "server.ext"
    extensions.write_text(f"subjectAltName=IP:{address}\nbasicConstraints=CA:FALSE\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for words in (
        ["req", "-x509", *new_key, "-keyout", "authority.key", "-out", "authority.pem", "-days", "3650", "-subj", "/CN=Test authority",
         "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"],
        ["req", "-new", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=stand-in"],
        ["x509", "-req", "-in", "server.csr", "-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "3650",
         "-extfile", "server.ext", "-out", "server.pem"],
    ):
        subprocess.run(["openssl", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
