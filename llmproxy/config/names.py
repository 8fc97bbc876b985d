"""Default names for endpoints: their host, numbered where two are equal.

A name depends only on the entries above it in its group, so appending an endpoint renames no other,
and state survives a reload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from llmproxy.config.raw import get

OPENAI_HOST = "api.openai.com"


def named(group: object) -> object:
    """Return the group with a name for every endpoint. Junk is returned as it is, and refused
    later."""
    if not isinstance(group, Mapping):
        return group
    models = group.get("models")
    if not isinstance(models, Sequence) or isinstance(models, str | bytes):
        return group
    return {**group, "models": tuple(_named_models(models))}


def _named_models(models: Sequence[Any]) -> Iterator[object]:
    taken = {name for entry in models if isinstance(name := get(entry, "name"), str)}
    for entry in models:
        if get(entry, "name") is not None:
            yield entry
            continue
        host = _host(entry)
        name, number = host, 1
        while name in taken:
            number += 1
            name = f"{host}-{number}"
        taken.add(name)
        if isinstance(entry, Mapping):
            yield {**entry, "name": name}
        elif hasattr(entry, "model_copy"):
            yield entry.model_copy(update={"name": name})
        else:
            yield entry


def _host(entry: object) -> str:
    """Return host or host:port of an endpoint, or else its provider."""
    params = get(entry, "params")
    for key in ("azure_endpoint", "base_url"):
        value = get(params, key)
        if isinstance(value, str):
            try:
                host = urlsplit(value).netloc.rpartition("@")[2]
            except ValueError:
                host = ""
            if host and host.isascii() and host.isprintable() and len(host) <= 90:
                return host.replace(" ", "")
    provider = get(entry, "provider")
    fallback = provider if isinstance(provider, str) and provider.isalnum() else ""
    return fallback if fallback.isascii() and 0 < len(fallback) <= 90 else OPENAI_HOST
