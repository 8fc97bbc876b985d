"""Open resources that successive configs share: one is opened for the first config that needs it,
and closed when the last one has released it."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, TypeVar

T = TypeVar("T")


class SharedResource:
    """An open resource. `settings`: what it was opened with. `users`: how many have acquired it."""

    def __init__(self, kind: str, settings: object, opening: AbstractAsyncContextManager[Any]):
        self.kind = kind
        self.settings = settings
        self.opening = opening
        self.value: Any = None
        self.users = 0


class SharedResources:
    """Owns the open resources. Each is closed when the last config that uses it releases it."""

    def __init__(self) -> None:
        self._open: list[SharedResource] = []

    @property
    def kinds(self) -> list[str]:
        """The kind of each open resource, in the order of opening."""
        return [resource.kind for resource in self._open]

    async def acquire(
        self,
        user: AsyncExitStack,
        key: tuple[str, object],
        opening: AbstractAsyncContextManager[T],
    ) -> T:
        """Return the resource with this key (a kind and its settings), and open it if need be.

        It is released when `user` closes. Two tasks must not call this at the same time.
        """
        resource = next(
            (found for found in self._open if (found.kind, found.settings) == key), None
        )
        if resource is None:
            resource = SharedResource(*key, opening)
            resource.value = await opening.__aenter__()
            self._open.append(resource)
        resource.users += 1
        user.push_async_callback(self._release, resource)
        value: T = resource.value
        return value

    async def _release(self, resource: SharedResource) -> None:
        resource.users -= 1
        if resource.users == 0:
            self._open.remove(resource)
            await resource.opening.__aexit__(None, None, None)
