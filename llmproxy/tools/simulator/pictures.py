"""images: generations and edits answer a PNG of one pixel, whose colour follows the prompt."""

from __future__ import annotations

import base64
import struct
import zlib
from hashlib import blake2b

import msgspec

from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply
from llmproxy.tools.simulator.forms import read_form
from llmproxy.tools.simulator.state import VendorState, decoded
from llmproxy.tools.simulator.text import count_tokens

TOKENS_PER_IMAGE = 272


class ImagesRequest(msgspec.Struct):
    """A picture to be made."""

    prompt: str
    model: str | None = None
    n: int | None = None


_REQUEST = msgspec.json.Decoder(ImagesRequest)


def generated_images(call: ApiCall, state: VendorState) -> Reply:
    """images/generations. Raises VendorError."""
    request = decoded(_REQUEST, call)
    return _answer(call, state, request)


def edited_images(call: ApiCall, state: VendorState) -> Reply:
    """images/edits and images/variations, which are forms. Raises VendorError."""
    form = read_form(call)
    form.file("image")
    fields = form.fields
    n = fields.get("n", "")
    request = ImagesRequest(
        fields.get("prompt", ""), fields.get("model"), int(n) if n.isdigit() else None
    )
    return _answer(call, state, request)


def _answer(call: ApiCall, state: VendorState, request: ImagesRequest) -> Reply:
    model = state.model(call, request.model or "gpt-image-1")
    tokens = count_tokens(request.prompt)
    state.admit(call, model, prompt=tokens)
    number = request.n or 1
    picture = base64.b64encode(_png(request.prompt)).decode("ascii")
    shown = TOKENS_PER_IMAGE * number
    usage: Json = {
        "total_tokens": tokens + shown,
        "input_tokens": tokens,
        "output_tokens": shown,
        "input_tokens_details": {"text_tokens": tokens, "image_tokens": 0},
    }
    pictures = [{"b64_json": picture} for _ in range(number)]
    return json_reply({"created": state.created(), "data": pictures, "usage": usage})


def _png(prompt: str) -> bytes:
    """A PNG of one RGB pixel (PNG specification, 5 and 11)."""
    colour = blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=3).digest()

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\x00" + colour))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")
