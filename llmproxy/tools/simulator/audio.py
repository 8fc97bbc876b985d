"""audio: speech (bytes or events), transcriptions and translations (forms).

A transcript tells the size of the file and the model that was asked for, so that a test can see
that both arrived.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator

import msgspec

from llmproxy.tools.simulator.errors import VendorError
from llmproxy.tools.simulator.exchange import ApiCall, Json, Reply, json_reply, sse, stream_reply
from llmproxy.tools.simulator.forms import Form, read_form
from llmproxy.tools.simulator.state import VendorState, decoded
from llmproxy.tools.simulator.text import count_tokens, tokens_of

SAMPLE_RATE = 24_000  # Hz, 16 bit, one channel: what OpenAI's pcm is
SAMPLES_PER_CHARACTER = 240
PIECE_BYTES = 4_096

_TYPES = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/opus",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}


class SpeechRequest(msgspec.Struct):
    """Text to be spoken."""

    input: str
    voice: str | Json
    model: str | None = None
    response_format: str = "mp3"
    stream_format: str | None = None


_REQUEST = msgspec.json.Decoder(SpeechRequest)


def speech(call: ApiCall, state: VendorState) -> Reply:
    """Bytes, or events with `stream_format: sse`. Raises VendorError."""
    request = decoded(_REQUEST, call)
    model = state.model(call, request.model)
    if request.response_format not in _TYPES:
        text = f"Invalid 'response_format': '{request.response_format}'."
        raise VendorError(400, text, code="invalid_value", param="response_format")
    tokens = count_tokens(request.input)
    state.admit(call, model, prompt=tokens)
    spoken = _spoken(request.input, request.response_format)
    pieces = [spoken[start : start + PIECE_BYTES] for start in range(0, len(spoken), PIECE_BYTES)]
    if request.stream_format == "sse":
        return stream_reply(_speech_events(pieces, tokens))
    content_type = (b"content-type", _TYPES[request.response_format])
    return Reply(200, [content_type], events=pieces)


def _speech_events(pieces: list[bytes], tokens: int) -> Iterator[bytes]:
    for piece in pieces:
        yield sse({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode("ascii")})
    spoken_tokens = len(pieces) * 10
    usage: Json = {
        "input_tokens": tokens,
        "output_tokens": spoken_tokens,
        "total_tokens": tokens + spoken_tokens,
    }
    yield sse({"type": "speech.audio.done", "usage": usage})


def _spoken(text: str, kind: str) -> bytes:
    """A hum as long as the text; its pitch follows the characters. Only wav and pcm can be heard:
    the other formats have their first bytes right and the rest is the same hum.
    """
    samples = bytearray()
    for character in text[:2_000]:
        period = 40 + ord(character) % 80
        half = struct.pack("<h", 3_000) * (period // 2)
        other = struct.pack("<h", -3_000) * (period - period // 2)
        wave = (half + other) * (SAMPLES_PER_CHARACTER // period + 1)
        samples += wave[: SAMPLES_PER_CHARACTER * 2]
    hum = bytes(samples)
    match kind:
        case "pcm":
            return hum
        case "wav":
            form = struct.pack("<IHHIIHH", 16, 1, 1, SAMPLE_RATE, SAMPLE_RATE * 2, 2, 16)
            size = struct.pack("<I", 36 + len(hum))
            length = struct.pack("<I", len(hum))
            return b"RIFF" + size + b"WAVEfmt " + form + b"data" + length + hum
        case "mp3":
            return b"ID3\x04\x00\x00\x00\x00\x00\x00" + hum
        case "flac":
            return b"fLaC" + hum
        case "opus":
            return b"OggS" + hum
        case _:
            return b"\xff\xf1" + hum


def transcription(call: ApiCall, state: VendorState) -> Reply:
    """Transcriptions and translations. Raises VendorError."""
    form = read_form(call)
    model = state.model(call, form.fields.get("model"))
    file = form.file("file")
    heard = len(file.content) // 100
    state.admit(call, model, prompt=heard)
    text = f"A transcript of {len(file.content)} bytes of {file.name}, as heard by {model}."
    transcript_tokens = count_tokens(text)
    usage: Json = {
        "type": "tokens",
        "input_tokens": heard,
        "output_tokens": transcript_tokens,
        "total_tokens": heard + transcript_tokens,
    }
    if form.is_true("stream"):
        return stream_reply(_transcript_events(text, usage))
    return _transcript(form, text, usage)


def _transcript_events(text: str, usage: Json) -> Iterator[bytes]:
    for token in tokens_of(text):
        yield sse({"type": "transcript.text.delta", "delta": token})
    yield sse({"type": "transcript.text.done", "text": text, "usage": usage})


def _transcript(form: Form, text: str, usage: Json) -> Reply:
    plain = [(b"content-type", b"text/plain; charset=utf-8")]
    match form.fields.get("response_format", "json"):
        case "json":
            return json_reply({"text": text, "usage": usage})
        case "verbose_json":
            segment: Json = {
                "id": 0,
                "seek": 0,
                "start": 0.0,
                "end": 1.0,
                "text": text,
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": -0.1,
                "compression_ratio": 1.0,
                "no_speech_prob": 0.0,
            }
            head: Json = {"task": "transcribe", "language": "english", "duration": 1.0}
            return json_reply({**head, "text": text, "segments": [segment]})
        case "text":
            return Reply(200, plain, f"{text}\n".encode())
        case "srt":
            return Reply(200, plain, f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n".encode())
        case "vtt":
            body = f"WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n{text}\n\n"
            return Reply(200, [(b"content-type", b"text/vtt; charset=utf-8")], body.encode())
        case other:
            text = f"Invalid 'response_format': '{other}'."
            raise VendorError(400, text, code="invalid_value", param="response_format")
