"""Shared by the simulator's tests: raw requests, and clients of each API flavour."""

import asyncio
import json
from contextlib import asynccontextmanager

import openai

HELLO = [{"role": "user", "content": "Hello, wörld!"}]


def request(
    path="/v1/chat/completions", body=None, *, method="POST", headers=(), version="1.1", key="sk-x"
):
    """Return a request as bytes. `body`: bytes, or a value that becomes JSON."""
    content = (
        b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    )
    lines = [f"{method} {path} HTTP/{version}", "host: vendor", f"content-length: {len(content)}"]
    if key:
        lines.append(f"authorization: Bearer {key}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def chat_request(*, fault=None, stream=False, limit=None, path="/v1/chat/completions", **more):
    headers = [("x-simulator-fault", fault)] if fault else []
    body = {"model": "gpt-4.1", "messages": HELLO, "stream": stream, "max_tokens": limit}
    return request(path, body, headers=headers, **more)


@asynccontextmanager
async def connected(vendor):
    """Open a raw connection: (reader, writer)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", vendor.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def everything(vendor, sent):
    """Return all bytes of the answer until the vendor closes, or sends nothing for 0.15 s.

    Returns (bytes, ending), ending: "closed", "reset" or "open".
    """
    async with connected(vendor) as (reader, writer):
        writer.write(sent)
        received = b""
        while True:
            try:
                piece = await asyncio.wait_for(reader.read(65536), 0.15)
            except TimeoutError:
                return received, "open"
            except ConnectionResetError:
                return received, "reset"
            if not piece:
                return received, "closed"
            received += piece


def head_and_body(received):
    """Split a response into status, headers as a dict, and body."""
    head, _, body = received.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(line.split()[1]), headers, body


async def answered(vendor, sent):
    """Return status, headers and decoded JSON of a unary answer."""
    closing = sent.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
    received, _ = await everything(vendor, closing)
    status, headers, body = head_and_body(received)
    return status, headers, json.loads(body)


def _http_client():
    """Return a client without the system's certificates, which take 30 ms to read."""
    return openai.DefaultAsyncHttpxClient(verify=False)


def openai_client(vendor, **more):
    more.setdefault("base_url", vendor and vendor.base_url)
    usual = {"api_key": "sk-x", "max_retries": 0, "timeout": 5, "http_client": _http_client()}
    return openai.AsyncOpenAI(**{**usual, **more})


def azure_client(vendor, **more):
    return openai.AsyncAzureOpenAI(
        **{
            "azure_endpoint": vendor.root,
            "api_key": "azure-key",
            "api_version": "2024-10-21",
            "max_retries": 0,
            "timeout": 5,
            "http_client": _http_client(),
            **more,
        }
    )
