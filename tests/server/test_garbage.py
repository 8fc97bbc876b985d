"""A connection that is over is freed at once: it leaves the garbage collector nothing to find."""

import gc
from contextlib import contextmanager

import pytest

from llmproxy.calls import Call
from llmproxy.errors import UpstreamFailed
from llmproxy.frames import forget_frames
from llmproxy.server.connection import ServerConnection
from llmproxy.upstream.connection import UpstreamConnection
from tests.support.client import CHAT, connect, request
from tests.support.groups import group_of
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.vendor import DOWN, GOOD, always, chat, http, scripted
from tests.support.waiting import until


@contextmanager
def without_collector():
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def alive(kind):
    return [found for found in gc.get_objects() if isinstance(found, kind)]


async def is_silent(client):
    """Leave before asking anything."""


async def asks(client):
    await client.send(request(body=CHAT))
    assert (await client.reply()).status == 200


async def asks_for_the_models(client):
    await client.send(request(method="GET", path="/v1/models", body=b""))
    assert (await client.reply()).status == 200


async def asks_the_admin_application(client):
    await client.send(request(method="GET", path="/admin/status", body=b""))
    await client.reply()


async def leaves_in_the_middle_of_its_request(client):
    await client.send(request(body=CHAT)[:-5])


async def is_malformed(client):
    await client.send(b"nonsense\r\n\r\n")
    assert (await client.reply()).status == 400


@pytest.mark.parametrize(
    "client_that",
    [
        is_silent,
        asks,
        asks_for_the_models,
        asks_the_admin_application,
        leaves_in_the_middle_of_its_request,
        is_malformed,
    ],
)
@bounded()
async def test_a_clients_connection_is_freed_when_it_is_over(client_that):
    async with scripted(GOOD) as vendor, serve_proxy(group_of(vendor)) as proxy:
        with without_collector():
            client = await connect(proxy.port)
            await until(lambda: alive(ServerConnection))
            await client_that(client)
            client.writer.close()
            del client
            await until(lambda: not alive(ServerConnection))


@bounded()
async def test_an_endpoints_connection_is_freed_when_it_is_over():
    closing = http(chat("hi"), headers=[("connection", "close")])
    async with scripted(always(closing)) as vendor, serve_proxy(group_of(vendor)) as proxy:
        with without_collector():
            client = await connect(proxy.port)
            await asks(client)
            await until(lambda: not alive(UpstreamConnection))
            client.writer.close()


@pytest.mark.parametrize("fails", [DOWN, always("close"), always(b"nonsense\r\n\r\n")])
@bounded()
async def test_what_a_call_held_that_failed_everywhere_is_freed_when_it_is_over(fails):
    async with scripted(fails) as vendor, serve_proxy(group_of(vendor)) as proxy:
        with without_collector():
            client = await connect(proxy.port)
            await client.send(request(body=CHAT))
            assert (await client.reply()).status >= 500
            client.writer.close()
            del client
            await until(lambda: not alive(ServerConnection) and not alive(Call))


def test_errors_that_are_causes_of_each_other_are_forgotten_once():
    first, second = failed("first"), failed("second")
    first.__cause__, second.__context__ = second, first

    forget_frames(first)

    assert first.__traceback__ is second.__traceback__ is None


def failed(message):
    try:
        raise UpstreamFailed(message)
    except UpstreamFailed as error:
        return error
