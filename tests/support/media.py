"""Audio, images, and the multipart forms (RFC 7578) that both take.

A transcript names the file's size and the requested model, so that a test can see that both
arrived. An image is a PNG of one pixel, whose colour follows the prompt.
"""

import base64
import re
import struct
import zlib
from hashlib import blake2b

import msgspec

from llmproxy.tools.simulator.completion import count_tokens, tokens_of
from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import Reply, json_reply, sse, stream_reply
from llmproxy.tools.simulator.state import decoded

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_PARAMETER = re.compile(rb'\b(name|filename)="([^"]*)"')


class FormFile(msgspec.Struct, frozen=True):
    """A file in a form."""

    name: str
    content: bytes


class Form(msgspec.Struct):
    """A parsed form: the last value of each field, and the first file of each name."""

    fields: dict[str, str] = msgspec.field(default_factory=dict)
    files: dict[str, FormFile] = msgspec.field(default_factory=dict)

    def file(self, name):
        """Return the file of a name, in either spelling. Raises VendorError (400)."""
        file = self.files.get(name) or self.files.get(f"{name}[]")
        if file is None:
            raise VendorError(400, f"Missing required file: '{name}'.", param=name)
        return file

    def is_true(self, name):
        """Return whether a field is present and true."""
        return self.fields.get(name, "").lower() in ("true", "1")


def read_form(call):
    """Parse the form in a request's body. Raises VendorError (400)."""
    found = _BOUNDARY.search(call.headers.get("content-type", ""))
    if found is None:
        raise VendorError(400, "Expected multipart/form-data with a boundary.")
    form = Form()
    delimiter = b"\r\n--" + found[1].strip().encode("latin-1")
    parts = (b"\r\n" + call.body).split(delimiter)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise VendorError(400, "The form is not complete: its last boundary is missing.")
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        named = {key: value.decode("utf-8", "replace") for key, value in _PARAMETER.findall(head)}
        name = named.get(b"name", "")
        if b"filename" in named:
            form.files.setdefault(name, FormFile(named[b"filename"], content))
        else:
            form.fields[name] = content.decode("utf-8", "replace")
    return form


# --- audio --------------------------------------------------------------------------------

SAMPLE_RATE = 24_000  # Hz, 16 bit, one channel: what OpenAI's pcm is
SAMPLES_PER_CHARACTER = 240
PIECE_BYTES = 4_096


class SpeechRequest(msgspec.Struct):
    """A text to speak."""

    input: str
    voice: str
    model: str | None = None
    response_format: str = "mp3"


def speech(call, state):
    """Answer with audio, in pieces. Raises VendorError."""
    request = decoded(SpeechRequest, call)
    model = state.model(call, request.model)
    if request.response_format not in ("mp3", "wav", "pcm"):
        text = f"Invalid 'response_format': '{request.response_format}'."
        raise VendorError(400, text, code="invalid_value", param="response_format")
    state.admit(call, model, prompt=count_tokens(request.input))
    spoken = _spoken(request.input, request.response_format)
    pieces = [spoken[start : start + PIECE_BYTES] for start in range(0, len(spoken), PIECE_BYTES)]
    kind = "mpeg" if request.response_format == "mp3" else request.response_format
    return Reply(200, [(b"content-type", f"audio/{kind}".encode())], events=pieces)


def _usage(input_tokens, output_tokens):
    total = input_tokens + output_tokens
    return {"input_tokens": input_tokens, "output_tokens": output_tokens, "total_tokens": total}


def _spoken(text, kind):
    """Return a hum as long as the text, whose pitch follows the characters."""
    samples = bytearray()
    for character in text[:2_000]:
        period = 40 + ord(character) % 80
        half = struct.pack("<h", 3_000) * (period // 2)
        other = struct.pack("<h", -3_000) * (period - period // 2)
        wave = (half + other) * (SAMPLES_PER_CHARACTER // period + 1)
        samples += wave[: SAMPLES_PER_CHARACTER * 2]
    hum = bytes(samples)
    if kind != "wav":
        return hum
    form = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * 2, 2, 16)
    size = struct.pack("<I", 36 + len(hum))
    return b"RIFF" + size + b"WAVEfmt " + form + b"data" + struct.pack("<I", len(hum)) + hum


def transcription(call, state):
    """Answer a transcription or translation. Raises VendorError."""
    form = read_form(call)
    model = state.model(call, form.fields.get("model"))
    file = form.file("file")
    heard = len(file.content) // 100
    state.admit(call, model, prompt=heard)
    text = f"A transcript of {len(file.content)} bytes of {file.name}, as heard by {model}."
    usage = {"type": "tokens", **_usage(heard, count_tokens(text))}
    if form.is_true("stream"):
        return stream_reply(_transcript_events(text, usage))
    return _transcript(form, text, usage)


def _transcript_events(text, usage):
    for token in tokens_of(text):
        yield sse({"type": "transcript.text.delta", "delta": token})
    yield sse({"type": "transcript.text.done", "text": text, "usage": usage})


def _transcript(form, text, usage):
    plain = [(b"content-type", b"text/plain; charset=utf-8")]
    match form.fields.get("response_format", "json"):
        case "json":
            return json_reply({"text": text, "usage": usage})
        case "verbose_json":
            segment = {"id": 0, "seek": 0, "start": 0.0, "end": 1.0, "text": text}
            segment |= {"tokens": [], "temperature": 0.0, "avg_logprob": -0.1}
            segment |= {"compression_ratio": 1.0, "no_speech_prob": 0.0}
            head = {"task": "transcribe", "language": "english", "duration": 1.0}
            return json_reply({**head, "text": text, "segments": [segment]})
        case "srt":
            return Reply(200, plain, f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n".encode())
        case other:
            text = f"Invalid 'response_format': '{other}'."
            raise VendorError(400, text, code="invalid_value", param="response_format")


# --- images -------------------------------------------------------------------------------

OUTPUT_TOKENS_PER_IMAGE = 272


class ImagesRequest(msgspec.Struct):
    """A request for images."""

    prompt: str
    model: str | None = None
    n: int | None = None


def generated_images(call, state):
    """Answer images/generations. Raises VendorError."""
    return _images(call, state, decoded(ImagesRequest, call))


def edited_images(call, state):
    """Answer images/edits, which is a form. Raises VendorError."""
    form = read_form(call)
    form.file("image")
    fields = form.fields
    n = fields.get("n", "")
    request = ImagesRequest(
        fields.get("prompt", ""), fields.get("model"), int(n) if n.isdigit() else None
    )
    return _images(call, state, request)


def _images(call, state, request):
    model = state.model(call, request.model or "gpt-image-1")
    tokens = count_tokens(request.prompt)
    state.admit(call, model, prompt=tokens)
    number = request.n or 1
    picture = base64.b64encode(_png(request.prompt)).decode("ascii")
    usage = _usage(tokens, OUTPUT_TOKENS_PER_IMAGE * number)
    usage["input_tokens_details"] = {"text_tokens": tokens, "image_tokens": 0}
    pictures = [{"b64_json": picture} for _ in range(number)]
    return json_reply({"created": state.created(), "data": pictures, "usage": usage})


def _png(prompt):
    """Return a PNG of one RGB pixel (PNG specification, 5 and 11)."""
    colour = blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=3).digest()

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\x00" + colour))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")
