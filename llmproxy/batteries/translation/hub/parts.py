"""The parts that a turn of a conversation consists of.

`path` is where a part stands in the client's request, for a writer that cannot say it; "" in an
answer. Two parts that say the same may differ in it.
"""

from __future__ import annotations

from typing import Literal

import msgspec

# How long a prompt up to here stays in the vendor's cache; "" = the vendor's default time.
# Only a hint about costs: a dialect without such marks leaves it out, and nothing is lost.
CacheMark = Literal["", "5m", "1h"]


class PlainText(msgspec.Struct, frozen=True, kw_only=True):
    """A text."""

    text: str
    cache: CacheMark | None = None
    path: str = ""


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """An image: one of its bytes (as base64, with their media type), a URL and a vendor's file id.

    `detail`: how closely the model is to look: `low`, `high`, `auto`; None = not said.
    """

    media_type: str | None = None
    base64: str | None = None
    url: str | None = None
    file_id: str | None = None
    detail: str | None = None
    cache: CacheMark | None = None
    path: str = ""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A document: one of its bytes (as base64), its text, a URL and a vendor's file id."""

    media_type: str | None = None
    base64: str | None = None
    text: str | None = None
    url: str | None = None
    file_id: str | None = None
    name: str | None = None
    cache: CacheMark | None = None
    path: str = ""


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """The model wants a tool to be called.

    Attributes:
        id: By which the result refers to it; the client's or the vendor's, never changed.
        name: The tool's name.
        arguments: A JSON object as text, as the model wrote it, which may be invalid JSON; of a
            freeform tool, its input.
        freeform: The tool takes a text in place of JSON (OpenAI's custom tools).
    """

    id: str
    name: str
    arguments: str
    freeform: bool = False
    cache: CacheMark | None = None
    path: str = ""


class ToolResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool gave. Stands in a turn of the user. `failed`: it is an error's description."""

    call_id: str
    content: tuple[PlainText | Picture | Attachment, ...]
    failed: bool = False
    freeform: bool = False
    cache: CacheMark | None = None
    path: str = ""


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """What the model thought before it went on. It may have to come back to its vendor unchanged.

    Attributes:
        text: In words, as far as the vendor shows it. What it gives in several pieces (summaries
            of OpenAI) is joined by blank lines.
        signature: Anthropic's seal on the text.
        redacted: Anthropic's thinking that nobody may read.
        encrypted: OpenAI's, the `encrypted_content` of a reasoning item; `id` is that item's.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    encrypted: str | None = None
    id: str | None = None
    path: str = ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The model says that it will not answer, in words."""

    text: str
    path: str = ""


Part = PlainText | Picture | Attachment | ToolCall | ToolResult | Thinking | Refusal
