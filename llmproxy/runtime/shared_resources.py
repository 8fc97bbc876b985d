"""What is open and used by one config after the other: each thing is opened for the first that
wants it, and closed when the last one has given it back."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

T = TypeVar("T")


class SharedResource:
    """`made_from`: the settings that it was opened with."""

    def __init__(self, kind: str, made_from: object, open_: AbstractAsyncContextManager[Any]):
        self.kind = kind
        self.made_from = made_from
        self.open = open_
        self.value: Any = None
        self.users = 0


class SharedResources:
    """Owns the things."""

    def __init__(self) -> None:
        self._resources: list[SharedResource] = []

    async def acquire(
        self,
        user: AsyncExitStack,
        made_from: tuple[str, object],
        opening: AbstractAsyncContextManager[T],
    ) -> T:
        """What was opened with the same settings, else what `opening` opens now; until `user`
        closes. `made_from`: what kind of thing, and the settings. One borrows after the other."""
        kind, settings = made_from
        thing = self._find(kind, settings)
        if thing is None:
            thing = SharedResource(kind, settings, opening)
            thing.value = await opening.__aenter__()
            self._resources.append(thing)
        thing.users += 1
        user.push_async_callback(self._release, thing)
        value: T = thing.value
        return value

    def _find(self, kind: str, settings: object) -> SharedResource | None:
        same = (each for each in self._resources if (each.kind, each.made_from) == (kind, settings))
        return next(same, None)

    async def _release(self, thing: SharedResource) -> None:
        thing.users -= 1
        if thing.users == 0:
            self._resources.remove(thing)
            await thing.open.__aexit__(None, None, None)
