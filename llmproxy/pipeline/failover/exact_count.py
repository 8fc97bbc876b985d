"""Exact token counts of calls whose vendor returned no usage (the extra `llmproxy[exact]`).

A sample of them is counted after the call, in a thread, and the group's estimates learn from it.
No call waits for that or fails of it. The vocabulary is OpenAI's o200k_base; other vendors' models
count otherwise, so what a vendor tells of a kind of call ends the counting of that kind
(decision 017).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic, sleep
from types import ModuleType
from typing import Any

import msgspec

from llmproxy.calls import Call
from llmproxy.errors import ConfigError, Problem
from llmproxy.routing import Group
from llmproxy.rules.estimate import Size

logger = logging.getLogger("llmproxy")

Counter = Callable[[str], int]

MAX_BODY_BYTES = 256 * 1024
EVERY_S = 1.0  # a call of each group
# The tokenizer keeps the interpreter's lock: 12 ms for a text of 256 KiB. So it gets pieces of some
# 0.4 ms, with pauses in which the event loop goes on. A cut costs a token or so.
PIECE_CHARS, PAUSE_S = 8_192, 0.001


def require_counter(*, file: str = "config") -> ModuleType:
    """The package that counts. Raises ConfigError if it is not there; `file` is what to blame."""
    try:
        import bpe_openai  # noqa: PLC0415 - an extra; takes half a second
    except ImportError as error:
        found = "general_settings.exact_token_counts: true, but bpe-openai cannot be imported."
        remedy = "Install it (pip install 'llmproxy[exact]'), or remove the key."
        raise ConfigError([Problem(file, 0, found, remedy)]) from error
    package: ModuleType = bpe_openai
    return package


def o200k_base() -> Counter:
    """Counts the tokens of a text. Special tokens are text like any other."""
    encode = require_counter().get_encoding("o200k_base").encode_ordinary
    return lambda text: len(encode(text))


class ExactCounts:
    """Owns the thread that counts. Never holds more than one body."""

    def __init__(self, count: Counter, clock: Callable[[], float] = monotonic) -> None:
        self._count = count
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmproxy-exact-count")
        self._pending: asyncio.Future[int] | None = None
        self._next_at: dict[str, float] = {}
        self._warned = False

    def consider(self, call: Call, group: Group, size: Size) -> None:
        """Count a call whose vendor did not, if nothing else is being counted and it is time."""
        body, now = call.body, self._clock()
        if self._pending is not None or now < self._next_at.get(group.name, now):
            return
        if not isinstance(body, bytes) or len(body) > MAX_BODY_BYTES or size.kind in group.told:
            return
        self._next_at[group.name] = now + EVERY_S
        loop = asyncio.get_running_loop()
        operation = call.route.operation
        self._pending = loop.run_in_executor(
            self._thread, input_tokens, body, operation, self._count
        )
        self._pending.add_done_callback(partial(self._learn, group, size))

    def _learn(self, group: Group, size: Size, done: asyncio.Future[int]) -> None:
        self._pending = None
        if done.cancelled():
            return
        failure = done.exception()
        if failure is None:
            group.learn_count(size, done.result())
        elif not self._warned:
            self._warned = True  # its message may hold the prompt: only its type is told
            logger.warning(
                "A call's tokens could not be counted exactly (%s). Calls are not affected; "
                "estimates learn less. This is told once.",
                type(failure).__name__,
            )

    async def idle(self) -> None:
        """Wait until nothing is being counted: some milliseconds."""
        if self._pending is not None:
            await asyncio.wait([self._pending])

    async def close(self) -> None:
        """End the thread, after the count that is under way."""
        await self.idle()
        self._thread.shutdown(wait=False)


def input_tokens(body: bytes, operation: str, count: Counter) -> int:
    """The input tokens of a request; 0 if they cannot be told. Slow: for a thread."""
    tokens = chars = 0
    try:
        for counted in _parts(_DECODER.decode(body), operation):
            if isinstance(counted, int):
                tokens += counted
                continue
            for at in range(0, len(counted), PIECE_CHARS):
                piece = counted[at : at + PIECE_CHARS]
                tokens += count(piece)
                chars += len(piece)
                if chars >= PIECE_CHARS:
                    chars = 0
                    sleep(PAUSE_S)
    except (msgspec.DecodeError, _UncountableError):
        return 0
    return tokens


# What OpenAI's cookbook gives ("How to count tokens with tiktoken"): so many for each message
# beside its texts, and as many for the beginning of the reply.
MESSAGE_TOKENS = REPLY_TOKENS = 3


class _UncountableError(Exception):
    """Its tokens are not in its texts: images, files, what the vendor has kept of earlier calls."""


class _Asked(msgspec.Struct):
    """What costs input tokens. Raw: counted as the JSON that it is, which is about right."""

    messages: list[dict[str, Any]] = []
    input: Any = None
    instructions: str | None = None
    prompt: Any = None
    tools: msgspec.Raw = msgspec.Raw()
    functions: msgspec.Raw = msgspec.Raw()
    response_format: msgspec.Raw = msgspec.Raw()
    text: msgspec.Raw = msgspec.Raw()
    previous_response_id: str | None = None
    conversation: Any = None


_DECODER = msgspec.json.Decoder(_Asked)
_TEXT_TYPES = {
    *("text", "input_text", "output_text", "refusal", "message"),
    *("function", "function_call", "function_call_output"),
}
_TEXT_KEYS = (
    *("role", "name", "content", "text", "refusal"),
    *("tool_calls", "function_call", "function", "arguments", "output"),
)


def _parts(asked: _Asked, operation: str) -> Iterator[str | int]:
    """Texts whose tokens count, and numbers of tokens."""
    match operation:
        case "embeddings":
            yield from _plain(asked.input)
            return
        case "completions":
            yield from _plain(asked.prompt)
            return
        case "chat/completions":
            messages = asked.messages
        case "responses" if not (asked.previous_response_id or asked.conversation or asked.prompt):
            messages = _messages(asked)
        case _:
            raise _UncountableError
    for raw in (asked.tools, asked.functions, asked.response_format, asked.text):
        yield bytes(raw).decode()
    for message in messages:
        yield MESSAGE_TOKENS
        yield from _texts(message)
    yield REPLY_TOKENS if messages else 0


def _messages(asked: _Asked) -> list[Any]:
    """The input of a response, as messages of a chat."""
    said = asked.input if isinstance(asked.input, list) else [asked.input]
    messages = [
        {"role": "user", "content": each} if isinstance(each, str) else each for each in said
    ]
    if asked.instructions:
        messages.insert(0, {"role": "system", "content": asked.instructions})
    return messages


def _plain(given: object) -> Iterator[str | int]:
    """A text, token ids, or many of either."""
    match given:
        case str():
            yield given
        case int():
            yield 1
        case list():
            for each in given:
                yield from _plain(each)
        case _:
            raise _UncountableError


def _texts(given: object) -> Iterator[str]:
    match given:
        case str():
            yield given
        case list():
            for each in given:
                yield from _texts(each)
        case dict():
            if given.get("type", "text") not in _TEXT_TYPES:
                raise _UncountableError
            for key in _TEXT_KEYS:
                yield from _texts(given.get(key))
        case None:
            return
        case _:
            raise _UncountableError
