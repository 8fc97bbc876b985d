"""A simulated vendor for `import --check`: each deployment answers with its own name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

from llmproxy.tools.importing.scenario import TIMEOUT_S, DeploymentState, Scenario

SLOW_S = 3 * TIMEOUT_S
# The status and error of each state, in OpenAI's words: routers recognise some by them.
_ERRORS = {
    DeploymentState.DOWN: (500, "server_error", None, "It is down."),
    DeploymentState.BUSY: (429, "requests", "rate_limit_exceeded", "Rate limit reached."),
    DeploymentState.TOO_LONG: (
        *(400, "invalid_request_error", "context_length_exceeded"),
        "This model's maximum context length is 8192 tokens. However, your messages resulted in "
        "9000 tokens. Please reduce the length of the messages.",
    ),
    DeploymentState.FILTERED: (
        *(400, "invalid_request_error", "content_policy_violation"),
        "Your request was rejected as a result of our safety system.",
    ),
    DeploymentState.MISTAKEN: (
        *(400, "invalid_request_error", "invalid_value"),
        "Invalid value: 'hello'. Supported values are: 'low' and 'high'.",
    ),
}


class RoutingUpstream(ThreadingHTTPServer):
    """Serves `/NAME/v1/chat/completions` on loopback.

    A call's message is "scenario N" or "warm-up N": N is the scenario whose states hold for it, so
    that calls of several scenarios may be under way. `attempts`: of each scenario, without warm-up.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.closing = Event()
        self.attempts: list[Counter[str]] = [Counter() for _ in scenarios]
        self._states = [scenario.states for scenario in scenarios]
        self._lock = Lock()

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def state_of(self, name: str, message: str) -> DeploymentState | None:
        """Count an attempt at a deployment, and return what it does with this message."""
        kind, number = message.split()
        if kind == "scenario":
            with self._lock:
                self.attempts[int(number)][name] += 1
        return self._states[int(number)].get(name)


@contextmanager
def routing_upstream(scenarios: Sequence[Scenario]) -> Iterator[RoutingUpstream]:
    """Serve until the block ends."""
    server = RoutingUpstream(scenarios)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: RoutingUpstream

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = self.path.split("/")[1]
        state = self.server.state_of(name, body["messages"][0]["content"])
        if state == DeploymentState.SLOW:
            self.server.closing.wait(SLOW_S)
        if state in _ERRORS:
            status, kind, code, message = _ERRORS[state]
            self._answer(status, {"error": {"message": message, "type": kind, "code": code}})
        else:
            self._answer(200, _completion(name, body["model"]))

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        try:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # the router's timeout was over
            self.close_connection = True


def _completion(name: str, model: str) -> dict[str, object]:
    """Return an answer: the deployment's name, and the model where a wildcard chose it."""
    message = {"role": "assistant", "content": name if model == name else f"{name} as {model}"}
    return {
        **{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model},
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
