"""A client and an endpoint in one, with a proxy between: calls and chunks, one after the other.

One blocking thread holds both ends, so the same bytes come in the same order and in the same reads
in every run: what the proxy does for a call can be counted exactly.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable

WAIT_S = 120.0
PATH = b"/v1/chat/completions"
MODEL = "m"
CONFIG = """\
general_settings: {{bind_address: 127.0.0.1, bind_port: {port}}}
model_groups:
  - model_group: {model}
    models:
      - model: {model}
        params: {{api_key: made-up, base_url: "http://127.0.0.1:{endpoint}/v1/"}}
"""
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Endpoint:
    """The endpoint's end: it waits for requests on one connection, and answers when it is told."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._connection: socket.socket | None = None
        self.port: int = self._listening.getsockname()[1]

    def take(self) -> socket.socket:
        """Read one request; return the connection that it came by."""
        if self._connection is None:
            self._listening.settimeout(WAIT_S)
            self._connection, _ = self._listening.accept()
            self._connection.settimeout(WAIT_S)
        read(self._connection, is_whole)
        return self._connection


class Pair:
    """A client's connection to the proxy, and the endpoint behind it."""

    def __init__(self, port: int, endpoint: Endpoint, *, body_bytes: int) -> None:
        self._client = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._endpoint = endpoint
        self._text = "x" * body_bytes
        self._calls = 0
        self._stream: socket.socket | None = None
        self._chunks = 0

    def call(self) -> None:
        """Send a call, answer it, and read the answer."""
        self._calls += 1
        self._client.sendall(request(self._text, stream=False))
        self._endpoint.take().sendall(answer(self._calls, self._text))
        whole = read(self._client, is_whole)
        if not whole.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"Expected status 200, found {whole[:200]!r}.")

    def chunk(self) -> None:
        """Send a chunk of a stream, at first the stream's beginning, and read it."""
        if self._stream is None:
            self._client.sendall(request(self._text, stream=True))
            self._stream = self._endpoint.take()
            self._stream.sendall(STREAM_HEAD)
        self._chunks += 1
        mark = b"word%08d" % self._chunks
        self._stream.sendall(chunk(mark))
        read(self._client, lambda seen: mark in seen)

    def close(self) -> None:
        self._client.close()


def request(text: str, *, stream: bool) -> bytes:
    """Return a request as openai-python sends it."""
    content = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    body = json.dumps(content | ({"stream": True} if stream else {})).encode()
    lines = (
        b"POST %b HTTP/1.1" % PATH,
        b"Host: 127.0.0.1",
        b"Accept-Encoding: gzip, deflate",
        b"Connection: keep-alive",
        b"Accept: application/json",
        b"Content-Type: application/json",
        b"User-Agent: OpenAI/Python 3.54.0",
        b"X-Stainless-Lang: python",
        b"X-Stainless-Package-Version: 3.54.0",
        b"X-Stainless-OS: Linux",
        b"X-Stainless-Arch: x64",
        b"X-Stainless-Runtime: CPython",
        b"X-Stainless-Runtime-Version: 3.11.2",
        b"Authorization: Bearer sk-made-up",
        b"X-Stainless-Async: false",
        b"x-stainless-retry-count: 0",
        b"x-stainless-read-timeout: 600",
        b"Content-Length: %d" % len(body),
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answer(number: int, text: str) -> bytes:
    """Return the answer to call `number` as OpenAI sends it, with limits that count down."""
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 200, "completion_tokens": 200, "total_tokens": 400}
    content = {
        "id": f"chatcmpl-{number:08}",
        "object": "chat.completion",
        "created": 1_764_000_000,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }
    body = json.dumps(content).encode()
    lines = (
        b"HTTP/1.1 200 OK",
        b"Date: Fri, 27 Nov 2026 12:00:00 GMT",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Connection: keep-alive",
        b"openai-processing-ms: 400",
        b"openai-version: 2020-10-01",
        b"x-ratelimit-limit-requests: 1000000",
        b"x-ratelimit-limit-tokens: 1000000000",
        b"x-ratelimit-remaining-requests: %d" % (1_000_000 - number),
        b"x-ratelimit-remaining-tokens: %d" % (1_000_000_000 - 400 * number),
        b"x-ratelimit-reset-requests: 6ms",
        b"x-ratelimit-reset-tokens: 0s",
        b"x-request-id: req_%032d" % number,
        b"strict-transport-security: max-age=31536000",
        b"Server: cloudflare",
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(mark: bytes) -> bytes:
    """Return one event of a chat stream, as a chunk of HTTP."""
    event = (
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764000000,'
        b'"model":"m","choices":[{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null}]}\n\n'
        % mark
    )
    return b"%x\r\n%b\r\n" % (len(event), event)


def read(connection: socket.socket, is_enough: Callable[[bytes], bool]) -> bytes:
    """Read until it is enough."""
    seen = b""
    while not is_enough(seen):
        piece = connection.recv(1 << 20)
        if not piece:
            raise SystemExit(f"The proxy closed the connection after {seen[-300:]!r}.")
        seen += piece
    return seen


def is_whole(seen: bytes) -> bool:
    """Return whether a message with a content-length is complete."""
    head, end, body = seen.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(end) and length is not None and len(body) >= int(length[1])
