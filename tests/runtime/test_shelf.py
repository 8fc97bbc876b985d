"""Each thing is open once, from the first that wants it until the last that has it."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from llmproxy.runtime.shelf import Shelf
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
    shelf, door = Shelf(), Door()
    one, other = AsyncExitStack(), AsyncExitStack()
    assert await shelf.borrow(one, ("pool", 5), door.opening("a")) == "a"
    assert await shelf.borrow(other, ("pool", 5), door.opening("b")) == "a"
    await one.aclose()
    assert door.log == ["open a"]
    await other.aclose()
    assert door.log == ["open a", "close a"]
    assert await shelf.borrow(one, ("pool", 5), door.opening("c")) == "c"


@bounded()
async def test_other_settings_or_another_kind_are_another_thing():
    shelf, door, user = Shelf(), Door(), AsyncExitStack()
    for made_from, name in ((("pool", 5), "a"), (("pool", 6), "b"), (("view", 5), "c")):
        assert await shelf.borrow(user, made_from, door.opening(name)) == name
    await user.aclose()
    assert door.log == ["open a", "open b", "open c", "close c", "close b", "close a"]


@bounded()
async def test_what_cannot_be_opened_is_not_on_the_shelf():
    @asynccontextmanager
    async def broken():
        raise OSError("no")
        yield

    shelf, door, user = Shelf(), Door(), AsyncExitStack()
    with pytest.raises(OSError, match="no"):
        await shelf.borrow(user, ("pool", 5), broken())
    assert await shelf.borrow(user, ("pool", 5), door.opening("a")) == "a"
