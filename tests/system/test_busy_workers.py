"""A limit of a minute on a machine whose processors are busy with other work."""

import asyncio
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager

from tests.support.client import CHAT, ask
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted
from tests.system.workers import serving, shared_by

BURN = "while True: pass"


@contextmanager
def busy_processors(count):
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@bounded()
async def test_two_busy_workers_send_exactly_what_the_limit_allows(tmp_path):
    async with scripted(always(0.05, http(chat()))) as vendor:
        settings = {"queue": {"max_wait_s": 3}}
        async with serving(tmp_path, vendor, rpm=20, settings=settings) as proxy:
            await shared_by(proxy, 2)
            with busy_processors(6):
                calls = (ask(proxy.port, body=CHAT) for _ in range(40))
                statuses = Counter(reply.status for reply in await asyncio.gather(*calls))
            assert statuses == {200: 20, 429: 20}
            assert len(vendor.received) == 20
