"""OpenAI's clients, and what people type, against the agent; LiteLLM's proxy with mocked answers is the model upstream.

Usage: clients.py PATH_OF_CHAINBOT VENV [FOLDER_WITH_OPENAI]     (`tests/brain/clients` installs what it needs)
"""

import http.server
import json
import os
import pathlib
import pty
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import openai

ANSWER = "Hello from the proxy, word by word: äöü, \"quoted\", and a\nsecond line."
UPSTREAM_KEY = "sk-canary-upstream-5ecret"
PROXY = f"""
model_list:
  - model_name: mock
    litellm_params: {{model: openai/mock, api_key: x, mock_response: {json.dumps(ANSWER)}}}
  - model_name: tools
    litellm_params: {{model: openai/mock, api_key: x, mock_response: "x", mock_tool_calls: [{{id: call_1, type: function, function: {{name: weather, arguments: '{{"city":"Hanoi"}}'}}}}]}}
general_settings: {{master_key: {UPSTREAM_KEY}}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, ready, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{what} did not happen within {seconds} s")


def call(url, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


AGENTS = []


def clean_environment():
    # Names of the documents would override the config.
    return {name: os.environ[name] for name in ("PATH", "HOME", "USER") if name in os.environ}


class Agent:
    def __init__(self, program, folder, proxy_port, extra=""):
        self.program, self.port = program, free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.config = folder / f"agent-{self.port}.toml"
        # The first provider is dead: every question finds its way around it.
        self.config.write_text(
            f"""
[server]
port = {self.port}
[ledger]
path = "{folder}/agent-{self.port}.redb"
{extra}
[[brain.provider]]
name = "dead"
base_url = "http://127.0.0.1:9/v1"
model = "gpt-none"
[[brain.provider]]
name = "proxy"
base_url = "http://127.0.0.1:{proxy_port}/v1"
api_key = "{UPSTREAM_KEY}"
model = "mock"
models = ["mock", "tools", "gpt-4o=mock"]
"""
        )
        self.log = open(folder / f"agent-{self.port}.log", "ab")
        self.process = None
        self.start()

    def start(self):
        command = [self.program, "run", "--config", self.config]
        self.process = subprocess.Popen(command, stderr=self.log, env=clean_environment())
        AGENTS.append(self)
        wait_for("the agent's start", lambda: call(self.base + "/health")[0] == 200, 20)

    def stop(self, how="terminate"):
        getattr(self.process, how)()
        self.process.wait(10)

    def typed(self, *words, text=None):
        command = [self.program, "--config", self.config, *words]
        return subprocess.run(
            command, input=text or "", capture_output=True, text=True, timeout=60, env=clean_environment()
        )


def check_openai(agent):
    client = openai.OpenAI(base_url=agent.base + "/v1", api_key="sk-not-looked-at", max_retries=0)
    assert {"mock", "tools", "gpt-4o"} <= {model.id for model in client.models.list()}
    question = [{"role": "user", "content": "hi"}]
    whole = client.chat.completions.create(model="gpt-4o", messages=question)
    assert whole.choices[0].message.content == ANSWER, whole
    assert whole.usage.total_tokens > 0
    text, usage = "", None
    options = {"include_usage": True}
    for chunk in client.chat.completions.create(model="mock", messages=question, stream=True, stream_options=options):
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        usage = chunk.usage or usage
    assert text == ANSWER, text
    assert usage and usage.completion_tokens > 0, usage
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    calls = client.chat.completions.create(model="tools", messages=question, tools=[tool]).choices[0].message.tool_calls
    assert calls[0].function.name == "weather" and json.loads(calls[0].function.arguments) == {"city": "Hanoi"}
    try:
        client.chat.completions.create(model="mock", messages=[])
        raise SystemExit("a question without messages was taken")
    except openai.BadRequestError as error:
        assert error.body["param"] == "messages", error.body
    print("openai (Python): models, whole, streamed with usage, tool calls, errors")


def check_audit(agent, questions):
    def lines():
        events = json.loads(call(agent.base + "/api/events?type=model_called&limit=1000")[1])["events"]
        return [event["metadata"] for event in events if event["metadata"]["provider"] == "proxy"]

    # A line is durable a moment after its answer.
    wait_for(f"{questions} lines of the audit", lambda: len(lines()) >= questions, 5)
    good = lines()
    assert len(good) == questions, good
    assert all(row["caller"] == "loopback" and int(row["tokens_out"]) > 0 for row in good), good
    status = json.loads(call(agent.base + "/status")[1])["brain"]
    assert [provider["state"] for provider in status["providers"]] == ["down", "up"], status
    for path in ["/status", "/config", "/metrics", "/api/events?limit=1000", "/api/gpt/providers/status"]:
        assert UPSTREAM_KEY not in call(agent.base + path)[1], path
    assert UPSTREAM_KEY not in pathlib.Path(agent.log.name).read_text(), "the key is in the log"
    print(f"audit: {questions} questions, each with its line; the key is nowhere")


def check_conversation(agent):
    status, body = call(agent.base + "/api/chat", {"session_id": "porch", "message": "hi"})
    answer = json.loads(body)
    assert (status, answer["response"], answer["message"]["content"]) == (200, ANSWER, ANSWER), body
    status, body = call(agent.base + "/api/gpt/completion", {"prompt": "again", "agent_id": "porch"})
    answer = json.loads(body)
    assert (status, answer["content"], answer["provider"]) == (200, ANSWER, "proxy"), body
    typed = agent.typed("chat", "--agent", "porch", "from the terminal")
    assert typed.returncode == 0 and typed.stdout.strip() == ANSWER, typed
    typed = agent.typed("chat", "--agent", "porch", text="through a pipe\n")
    assert typed.returncode == 0 and typed.stdout.strip() == ANSWER, typed
    agent.stop("kill")
    agent.start()
    body = json.loads(call(agent.base + "/api/gpt/conversation/porch")[1])
    said = [(message["role"], message["content"]) for message in body["messages"]]
    wanted = [("user", text) for text in ["hi", "again", "from the terminal", "through a pipe"]]
    assert said == [line for user in wanted for line in (user, ("assistant", ANSWER))], said
    assert call(agent.base + "/api/gpt/conversation/porch", method="DELETE")[0] == 200
    assert call(agent.base + "/api/gpt/conversation/porch")[0] == 404
    print("conversation: over HTTP, the terminal and a pipe, kept over kill -9, forgotten when asked")


def check_budget(agent):
    client = openai.OpenAI(base_url=agent.base + "/v1", api_key="x", max_retries=0)
    question = [{"role": "user", "content": "hi"}]
    for _ in range(2):
        client.chat.completions.create(model="mock", messages=question)
    try:
        client.chat.completions.create(model="mock", messages=question)
        raise SystemExit("a third question within a budget of two was taken")
    except openai.RateLimitError as error:
        after = int(error.response.headers["retry-after"])
        # The window moves in steps of five minutes.
        assert 0 < after <= 3_900, after
    print("budget: the third of two is 429, and says when")


def check_queue(agent, stop_proxy, start_proxy):
    stop_proxy()
    body = {"model": "mock", "messages": [{"role": "user", "content": "hi"}], "queue": True}
    status, text = call(agent.base + "/v1/chat/completions", body | {"queue": False})
    assert status == 503 and "error" in json.loads(text), (status, text)
    status, text = call(agent.base + "/v1/chat/completions", body)
    assert status == 202, (status, text)
    place = agent.base + json.loads(text)["conversation"]
    agent.stop()
    start_proxy()
    agent.start()

    def is_answered():
        messages = json.loads(call(place)[1]).get("messages", [])
        return [message["content"] for message in messages] == ["hi", ANSWER]

    wait_for("the answer to a question that waited", is_answered, 90)
    print("queue: kept while nobody answered, over a restart, and answered after it")


class Slow(http.server.BaseHTTPRequestHandler):
    """A model that says `tick` ten times a second until its listener leaves."""

    left = threading.Event()

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        try:
            for _ in range(600):
                chunk = {"choices": [{"index": 0, "delta": {"content": "tick "}}]}
                self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
                time.sleep(0.1)
        except OSError:
            Slow.left.set()

    def log_message(self, *_):
        pass


def check_terminal(program, folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    agent = Agent(program, folder, server.server_address[1])
    child, terminal = pty.fork()
    if child == 0:
        os.execve(program, [program, "--config", str(agent.config), "chat"], clean_environment())
    shown = b""

    def read_until(part):
        nonlocal shown
        until = time.monotonic() + 20
        while part not in shown:
            if time.monotonic() > until:
                raise SystemExit(f"the terminal does not show {part}: {shown}")
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 4_096)

    read_until(b"> ")
    os.write(terminal, b"go on\n")
    read_until(b"tick tick tick")
    shown = b""
    os.write(terminal, b"\x03")
    read_until(b"stopped")
    read_until(b"> ")
    assert Slow.left.wait(10), "the model was not left"
    os.write(terminal, b"\x04")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    kept = json.loads(call(agent.base + "/api/gpt/conversation/terminal")[1])["messages"]
    assert kept[1]["content"].startswith("tick tick") and kept[1]["partial"], kept
    server.shutdown()
    print("terminal: an answer as it comes, Ctrl-C stops it here and upstream, what came is kept")


def main():
    program, venv = sys.argv[1], pathlib.Path(sys.argv[2])
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chainbot-brain-"))
    proxy_port = free_port()
    (folder / "proxy.yaml").write_text(PROXY)
    proxy_log = open(folder / "proxy.log", "wb")
    processes = {}

    def start_proxy():
        words = [venv / "bin/litellm", "--config", folder / "proxy.yaml", "--host", "127.0.0.1", "--port", str(proxy_port)]
        environment = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        processes["proxy"] = subprocess.Popen(
            [*words, "--telemetry", "False"], stdout=proxy_log, stderr=proxy_log, env=environment
        )
        url = f"http://127.0.0.1:{proxy_port}/health/liveliness"
        wait_for("the proxy's start", lambda: call(url)[0] == 200, 120)

    def stop_proxy():
        processes["proxy"].kill()
        processes["proxy"].wait(10)

    try:
        start_proxy()
        agent = Agent(program, folder, proxy_port)
        check_openai(agent)
        questions = 3
        if len(sys.argv) > 3:
            # A module finds its packages from where it lies.
            module = pathlib.Path(sys.argv[3]) / "client.mjs"
            shutil.copy(pathlib.Path(__file__).parent / "client.mjs", module)
            subprocess.run(["node", module, agent.base, ANSWER], check=True, timeout=60)
            questions += 3
        check_audit(agent, questions)
        check_conversation(agent)
        check_queue(agent, stop_proxy, start_proxy)
        small = Agent(program, folder, proxy_port, "[brain]\nrequests_per_hour = 2\n")
        check_budget(small)
        check_terminal(program, folder)
    except BaseException:
        for agent in AGENTS:
            print(pathlib.Path(agent.log.name).read_text()[-4_000:], file=sys.stderr)
        raise
    finally:
        for agent in AGENTS:
            agent.process.kill()
        processes["proxy"].kill()
        shutil.rmtree(folder, ignore_errors=True)


main()
