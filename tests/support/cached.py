"""Cacheable calls, a vendor whose answers differ, and a proxy config with a cache."""

from itertools import count

from tests.support.client import HELLO, ask
from tests.support.groups import endpoint
from tests.support.proxy import config_for
from tests.support.vendor import chat, http

FIXED = {**HELLO, "temperature": 0}


def numbered_answers():
    """Return a vendor whose answers are numbered."""
    numbers = count(1)
    return lambda received, _: (http(chat(f"answer {next(numbers)}")),)


def with_cache(vendor, *, callers=(), api_key="sk-upstream", **params):
    """Return a config with the cache on. `params` are its `cache_params`."""
    entry = endpoint(vendor, "only")
    entry["params"] = {"base_url": vendor.base_url, **({"api_key": api_key} if api_key else {})}
    more = {"callers": list(callers)} if callers else {}
    return config_for(entry, cache=True, cache_params=params, **more)


def text_of(reply):
    """Return the text of a chat completion."""
    return reply.json["choices"][0]["message"]["content"]


async def ask_with(proxy, directive, body=FIXED, **more):
    """Send a call with a cache directive in its header."""
    return await ask(proxy.port, body=body, headers=[("x-llmproxy-cache", directive)], **more)
