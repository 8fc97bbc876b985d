"""Names for endpoints that were given none: their host, numbered where two are equal.

A name depends only on what stands above it in its group, so that adding an endpoint at the end
renames no other: state that is carried over a reload is found again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from llmproxy.config.raw import get

OPENAI_HOST = "api.openai.com"


def named(group: object) -> object:
    """The group with a name for every endpoint. Junk goes through as it is, to be refused later.

    `group` is a mapping as YAML gives it, or as a test or another module writes it.
    """
    if not isinstance(group, Mapping):
        return group
    models = group.get("models")
    if not isinstance(models, Sequence) or isinstance(models, str | bytes):
        return group
    return {**group, "models": tuple(_each_named(models))}


def _each_named(models: Sequence[Any]) -> Iterator[object]:
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
    """host or host:port of an endpoint; its provider, if only that was said."""
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
