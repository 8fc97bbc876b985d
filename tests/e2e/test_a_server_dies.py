"""One of two real servers is killed, and comes back: the clients of the proxy do not notice.

The exception cannot be hidden: a client that has half a stream gets an error.
"""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.e2e.asking import STORY, client_of, endpoint_of, tell
from tests.e2e.servers import GROUP

CLIENTS = 4
SLOW_START_S = 10  # in which a server that came back gets a growing share


class Traffic:
    """Clients that send one call after the other until they are stopped."""

    def __init__(self, base_url):
        self._base_url = base_url
        self._stopped = threading.Event()
        self._answered = []  # (began, endpoint, attempts); appended by every client
        self.failed = []

    def __enter__(self):
        self._pool = ThreadPoolExecutor(CLIENTS)
        for number in range(CLIENTS):
            self._pool.submit(self._ask_on, number)
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self._pool.shutdown()

    def since(self, moment):
        """The calls that began after a moment, in the order of their answers."""
        return [call for call in self._answered.copy() if call[0] > moment]

    def wait_for(self, reached, *, seconds):
        """Wait until something holds; fails when it does not in time."""
        give_up_at = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < give_up_at, f"not reached within {seconds} s"
            time.sleep(0.05)

    def _ask_on(self, number):
        with client_of(self._base_url) as client:
            while not self._stopped.is_set():
                began = time.monotonic()
                try:
                    raw = self._ask(client, number)
                except (openai.OpenAIError, AssertionError) as error:
                    self.failed.append(repr(error))
                    continue
                attempts = int(raw.headers["x-llmproxy-attempts"])
                self._answered.append((began, endpoint_of(raw), attempts))

    def _ask(self, client, number):
        if number == 0:
            raw = client.responses.with_raw_response.create(
                model=GROUP, input="What is a lighthouse?", max_output_tokens=8
            )
            assert raw.parse().output_text
        else:
            raw = client.chat.completions.with_raw_response.create(
                model=GROUP, messages=STORY, max_tokens=8
            )
            assert raw.parse().choices[0].message.content
        return raw


def shares(calls):
    return Counter(endpoint for _, endpoint, _ in calls)


def test_no_call_fails_while_a_server_is_killed_and_comes_back(proxy, servers):
    _, second = servers
    with Traffic(f"{proxy}/v1") as traffic:
        traffic.wait_for(lambda: len(traffic.since(0)) >= 40, seconds=30)
        together = shares(traffic.since(0))

        second.kill()
        killed_at = time.monotonic()
        traffic.wait_for(lambda: len(traffic.since(killed_at)) >= 30, seconds=30)
        time.sleep(3)  # probes fail, and cool the endpoint for longer
        alone = traffic.since(killed_at)

        second.start()
        back_at = time.monotonic()
        traffic.wait_for(lambda: shares(traffic.since(back_at))["second"] >= 1, seconds=30)
        time.sleep(SLOW_START_S)
        steady_at = time.monotonic()
        traffic.wait_for(lambda: len(traffic.since(steady_at)) >= 40, seconds=30)
        again = shares(traffic.since(steady_at))

    every = traffic.since(0)
    moved_on = sum(attempts > 1 for _, _, attempts in every)
    report = (
        f"{len(every)} calls, {len(traffic.failed)} failed, {moved_on} moved on to the other server"
        f"; before {dict(together)}, while dead {dict(shares(alone))}, afterwards {dict(again)}"
    )
    print(f"\n{report}")  # noqa: T201 - `make e2e` is read by a person
    assert traffic.failed == []
    assert set(shares(alone)) == {"first"}
    assert moved_on >= 1
    for share in (together, again):
        assert abs(share["first"] - share["second"]) <= CLIENTS + 1


def test_a_client_with_half_a_stream_is_told_that_it_broke_and_the_next_call_works(proxy, servers):
    client = client_of(f"{proxy}/v1")
    raw = client.chat.completions.with_raw_response.create(
        model=GROUP, messages=STORY, max_tokens=500, temperature=0, stream=True
    )
    serving = next(server for server in servers if server.name == endpoint_of(raw))
    pieces = []
    with pytest.raises(openai.APIError) as broke:
        for chunk in raw.parse():
            pieces.append(chunk)
            if len(pieces) == 10:
                serving.kill()
    try:
        assert broke.value.code == "upstream_stream_interrupted"
        assert 10 <= len(pieces) < 500
        assert tell(client).usage.completion_tokens == 24
    finally:
        serving.start()
