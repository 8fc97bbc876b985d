"""A shared resource is opened for its first user and closed after its last."""

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from llmproxy.batteries.reload.shared_resources import SharedResources
from tests.support.run import bounded


class Opener:
    """Records what is opened and closed, in order."""

    def __init__(self):
        self.log = []

    @asynccontextmanager
    async def opening(self, name):
        self.log.append(f"open {name}")
        yield name
        self.log.append(f"close {name}")


@bounded()
async def test_equal_settings_share_a_resource_until_its_last_user_is_gone():
    shared, opener = SharedResources(), Opener()
    one, other = AsyncExitStack(), AsyncExitStack()
    assert await shared.acquire(one, ("pool", 5), opener.opening("a")) == "a"
    assert await shared.acquire(other, ("pool", 5), opener.opening("b")) == "a"
    await one.aclose()
    assert opener.log == ["open a"]
    await other.aclose()
    assert opener.log == ["open a", "close a"]
    assert await shared.acquire(one, ("pool", 5), opener.opening("c")) == "c"


@bounded()
async def test_other_settings_or_another_kind_open_another_resource():
    shared, opener, user = SharedResources(), Opener(), AsyncExitStack()
    for made_from, name in ((("pool", 5), "a"), (("pool", 6), "b"), (("view", 5), "c")):
        assert await shared.acquire(user, made_from, opener.opening(name)) == name
    await user.aclose()
    assert opener.log == ["open a", "open b", "open c", "close c", "close b", "close a"]


@bounded()
async def test_a_resource_that_cannot_be_opened_is_not_kept():
    @asynccontextmanager
    async def broken():
        raise OSError("no")
        yield

    shared, opener, user = SharedResources(), Opener(), AsyncExitStack()
    with pytest.raises(OSError, match="no"):
        await shared.acquire(user, ("pool", 5), broken())
    assert await shared.acquire(user, ("pool", 5), opener.opening("a")) == "a"
