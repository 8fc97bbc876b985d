"""What is known of a name while the system's resolver fails."""

import socket

import pytest

from llmproxy.batteries.resolver import CachingResolver
from tests.support.run import bounded


@bounded()
async def test_a_stale_address_is_used_while_the_resolver_fails():
    broken = False
    now = 1000.0

    def lookup(host, port):
        if broken:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return ["127.0.0.1"]

    resolver = CachingResolver(lookup, clock=lambda: now)
    assert await resolver.addresses("some.test", 80) == ["127.0.0.1"]
    broken, now = True, 1100.0
    assert await resolver.addresses("some.test", 80) == ["127.0.0.1"]
    now = 1700.0
    with pytest.raises(OSError, match=r"cannot resolve"):
        await resolver.addresses("some.test", 80)
    resolver.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "fe80::1%lo"])
@bounded()
async def test_an_address_is_not_looked_up(address):
    resolver = CachingResolver(_no_lookup)
    assert await resolver.addresses(address, 80) == [address]
    resolver.close()


@pytest.mark.parametrize("name", ["127.0.0.1.test", "1.2.3", "256.0.0.1", "a\0b"])
@bounded()
async def test_what_is_no_address_is_looked_up(name):
    resolver = CachingResolver(_no_lookup)
    with pytest.raises(OSError, match="this was looked up"):
        await resolver.addresses(name, 80)
    resolver.close()


def _no_lookup(host, port):
    raise OSError("this was looked up")
