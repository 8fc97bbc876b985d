"""A simulated vendor for `import --check`: each deployment answers with its own name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class RoutingUpstream(ThreadingHTTPServer):
    """Serves `/NAME/v1/chat/completions` on loopback. `failing`: names that answer 500."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.failing: frozenset[str] = frozenset()

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def routing_upstream() -> Iterator[RoutingUpstream]:
    """Serve until the block ends."""
    server = RoutingUpstream()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes
    server: RoutingUpstream

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        name = self.path.split("/")[1]
        if name == "control":
            self.server.failing = frozenset(body["failing"])
            self._answer(200, {})
        elif name in self.server.failing:
            error = {"message": "It is down.", "type": "server_error", "code": None}
            self._answer(500, {"error": error})
        else:
            self._answer(200, _completion(name, body["model"]))

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _completion(name: str, model: str) -> dict[str, object]:
    message = {"role": "assistant", "content": name}
    return {
        **{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model},
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
