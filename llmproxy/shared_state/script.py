"""A Lua script, sent as its digest, and whole to a server that does not know it yet."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from llmproxy.shared_state.address import Client


class Script:
    """One of the .lua files beside this one."""

    def __init__(self, name: str) -> None:
        self._text = files(__package__).joinpath(name).read_text(encoding="utf-8")
        self._digest = sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    async def run(self, client: Client, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """What the script returns. Raises whatever redis-py raises."""
        try:
            return await client.evalsha(self._digest, len(keys), *keys, *args)
        except NoScriptError:
            return await client.eval(self._text, len(keys), *keys, *args)
