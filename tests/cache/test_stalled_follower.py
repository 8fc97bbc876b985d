"""A client that stops reading its answer ends for itself, not for the others."""

import asyncio
from types import SimpleNamespace

import pytest

from llmproxy.batteries.cache.single_flight import AnswerBuffer, Subscriber
from llmproxy.errors import ClientError
from llmproxy.streams import PourTimes
from llmproxy.upstream.response import Response
from tests.support.run import bounded


class StalledClient:
    """A client whose buffer is always full."""

    connected = True

    def __init__(self):
        self.aborted = False

    def start(self, status, headers, *, length):
        pass

    def write(self, chunk):
        return False

    async def drain(self):
        await asyncio.Event().wait()

    def abort(self):
        self.aborted = True


@bounded()
async def test_a_follower_that_reads_nothing_is_given_up():
    buffer, client = AnswerBuffer(), StalledClient()
    follower = Subscriber(buffer, client, lambda kind: [], stalled_s=0.05)
    buffer.start(200, [(b"content-type", b"text/event-stream")])
    follower.join()
    buffer.append(b"data: 1\n\n")
    follower.give(b"data: 1\n\n")

    with pytest.raises(ClientError) as caught:
        await follower.completed()

    assert caught.value.code == "client_too_slow"
    assert client.aborted


@bounded()
async def test_an_answer_without_an_end_ends_when_its_client_reads_nothing():
    quiet = SimpleNamespace(watch=lambda *_: None, pause=lambda: None, resume=lambda: None)
    response = Response(quiet, asyncio.get_running_loop())
    response.add(b"data: 1\n\n")

    with pytest.raises(ClientError) as caught:
        times = PourTimes(idle_s=9, stalled_s=0.05)
        await response.pour(StalledClient(), times, lambda: None)

    assert caught.value.code == "client_too_slow"
