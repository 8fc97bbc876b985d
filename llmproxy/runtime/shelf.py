"""What is open and used by one config after the other: each thing is opened for the first that
wants it, and closed when the last one has given it back."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

T = TypeVar("T")


class _Thing:
    """`made_from`: the settings that it was opened with."""

    def __init__(self, kind: str, made_from: object, open_: AbstractAsyncContextManager[Any]):
        self.kind = kind
        self.made_from = made_from
        self.open = open_
        self.value: Any = None
        self.users = 0


class Shelf:
    """Owns the things."""

    def __init__(self) -> None:
        self._things: list[_Thing] = []

    async def borrow(
        self,
        user: AsyncExitStack,
        made_from: tuple[str, object],
        opening: AbstractAsyncContextManager[T],
    ) -> T:
        """What was opened with the same settings, else what `opening` opens now; until `user`
        closes. `made_from`: what kind of thing, and the settings. One borrows after the other."""
        kind, settings = made_from
        thing = self._on_shelf(kind, settings)
        if thing is None:
            thing = _Thing(kind, settings, opening)
            thing.value = await opening.__aenter__()
            self._things.append(thing)
        thing.users += 1
        user.push_async_callback(self._give_back, thing)
        value: T = thing.value
        return value

    def _on_shelf(self, kind: str, settings: object) -> _Thing | None:
        same = (each for each in self._things if (each.kind, each.made_from) == (kind, settings))
        return next(same, None)

    async def _give_back(self, thing: _Thing) -> None:
        thing.users -= 1
        if thing.users == 0:
            self._things.remove(thing)
            await thing.open.__aexit__(None, None, None)
