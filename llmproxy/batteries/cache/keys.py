"""The key of a cached answer.

The key is a hash of the operation, the model group, the caller, and every field of the body except
a few that are known not to change the answer. A field that is not known to be harmless is hashed,
so two calls that differ in anything that matters never share an answer; at worst an answer is paid
for twice. Bodies are compared as JSON values: the order of keys, spacing, escapes and the notation
of numbers do not matter.
"""

from __future__ import annotations

from hashlib import sha256
from math import isfinite
from typing import Any

import msgspec

from llmproxy.operations import Caching, operation_at

# How an answer is delivered. The model is hashed apart, since Azure's paths name it, too.
_DELIVERY = ("model", "stream", "stream_options")
# For the vendor's statistics, abuse monitoring and prompt cache; the model sees none of them.
_LABELS = ("user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
_IGNORED = frozenset((*_DELIVERY, *_LABELS))
# 17 digits distinguish all doubles; a number with more digits is not compared.
MAX_DIGITS = 17
EXACT_BELOW = 2**53  # doubles do not distinguish all integers from here on
# A bigger body takes some milliseconds to compare, and is hardly sent twice.
MAX_BODY_BYTES = 1024 * 1024
# Tools that the client runs itself. What a vendor runs (a web search) changes from day to day.
_CLIENT_TOOLS = frozenset(("function", "custom"))


class CacheKey(msgspec.Struct, frozen=True, gc=False):
    """The key of a call's answer. `wants_usage`: the call asks for the usage in a stream (OpenAI's
    `stream_options.include_usage`)."""

    digest: bytes
    wants_usage: bool


def cache_key_of(
    body: bytes,
    *,
    operation: str,
    model: str | None,
    query: bytes,
    scope: tuple[str, ...],
    random: bool,
) -> CacheKey | None:
    """Return the key of a POST; None if its answer is not cacheable.

    `model`: the name that the client asked for. `scope`: what else must be equal, such as the model
    group and the caller. `random`: also if the answer may differ each time.
    """
    caching = operation_at(operation).caching
    if caching is Caching.NEVER or len(body) > MAX_BODY_BYTES:
        return None
    try:
        fields = _READ.decode(body)
    except (ValueError, RecursionError):  # no strict JSON: the vendor may judge it
        return None
    if not isinstance(fields, dict):
        return None
    if not (random or caching is Caching.ALWAYS or _is_deterministic(fields)):
        return None
    options = fields.get("stream_options")
    wants_usage = isinstance(options, dict) and options.get("include_usage") is True
    for name in _IGNORED.intersection(fields):
        del fields[name]
    if operation != "responses" and not fields.get("store"):
        fields.pop("store", None)  # nothing is stored; for a response, no value means true
    hashed = [operation, model, query.decode("latin-1"), scope, fields]
    return CacheKey(sha256(_WRITE.encode(hashed)).digest(), wants_usage)


def _is_deterministic(fields: dict[str, Any]) -> bool:
    """Whether a body has a temperature of 0 or a seed, and no tool that the vendor runs."""
    tools = fields.get("tools") or ()
    if fields.get("web_search_options") is not None or not isinstance(tools, list | tuple):
        return False
    if fields.get("mcp_servers") or fields.get("container"):  # what Anthropic runs
        return False
    for tool in tools:
        if not isinstance(tool, dict) or tool.get("type", "function") not in _CLIENT_TOOLS:
            return False
    temperature, seed = fields.get("temperature"), fields.get("seed")
    frozen = isinstance(temperature, int | float) and temperature is not False and not temperature
    return frozen or (isinstance(seed, int) and not isinstance(seed, bool))


def _number(text: str) -> int | float:
    """Return the value of a number with a point or an exponent: 1.0 and 1e0 are 1."""
    if len(text) > MAX_DIGITS and _digits(text) > MAX_DIGITS:
        raise ValueError("more digits than a double has")
    number = float(text)
    if not isfinite(number):
        raise ValueError("more than a double can hold")
    return int(number) if number.is_integer() and abs(number) < EXACT_BELOW else number


def _digits(text: str) -> int:
    return len(text.partition("e")[0].partition("E")[0].strip("-").replace(".", ""))


_READ = msgspec.json.Decoder(float_hook=_number)
_WRITE = msgspec.json.Encoder(order="sorted")
