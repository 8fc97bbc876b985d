"""Each thing is open once, from the first that wants it until the last that has it."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from llmproxy.runtime.shared_resources import SharedResources
from tests.support.run import bounded


class Door:
    """What is opened and closed, in order."""

    def __init__(self):
        self.log = []

    @asynccontextmanager
    async def opening(self, name):
        self.log.append(f"open {name}")
        yield name
        self.log.append(f"close {name}")


@bounded()
async def test_the_same_settings_are_the_same_thing_until_nobody_has_it():
    shared, door = SharedResources(), Door()
    one, other = AsyncExitStack(), AsyncExitStack()
    assert await shared.acquire(one, ("pool", 5), door.opening("a")) == "a"
    assert await shared.acquire(other, ("pool", 5), door.opening("b")) == "a"
    await one.aclose()
    assert door.log == ["open a"]
    await other.aclose()
    assert door.log == ["open a", "close a"]
    assert await shared.acquire(one, ("pool", 5), door.opening("c")) == "c"


@bounded()
async def test_other_settings_or_another_kind_are_another_thing():
    shared, door, user = SharedResources(), Door(), AsyncExitStack()
    for made_from, name in ((("pool", 5), "a"), (("pool", 6), "b"), (("view", 5), "c")):
        assert await shared.acquire(user, made_from, door.opening(name)) == name
    await user.aclose()
    assert door.log == ["open a", "open b", "open c", "close c", "close b", "close a"]


@bounded()
async def test_what_cannot_be_opened_is_not_kept():
    @asynccontextmanager
    async def broken():
        raise OSError("no")
        yield

    shared, door, user = SharedResources(), Door(), AsyncExitStack()
    with pytest.raises(OSError, match="no"):
        await shared.acquire(user, ("pool", 5), broken())
    assert await shared.acquire(user, ("pool", 5), door.opening("a")) == "a"
