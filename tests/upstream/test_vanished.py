"""An end that vanishes without a word is noticed. In a network of its own, which can be cut."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

ALONE = ["unshare", "--user", "--map-root-user", "--net"]
# Prints the seconds from the cut to the end of the connection, and the reason.
VANISHES = """
import asyncio, subprocess, sys, time
from llmproxy.aio.vanished import notice_vanished

class End(asyncio.Protocol):
    def connection_made(self, transport):
        notice_vanished(transport, unacknowledged_s=1)
        self.transport, self.lost = transport, asyncio.get_running_loop().create_future()
    def connection_lost(self, error):
        self.lost.set_result(error)

def link(state):
    subprocess.run(["ip", "link", "set", "lo", state], check=True)

async def main():
    link("up")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    _, end = await loop.create_connection(End, *server.sockets[0].getsockname())
    end.transport.write(b"this arrives")
    await asyncio.sleep(0.2)
    assert not end.lost.done()
    link("down")
    end.transport.write(b"this does not")
    cut = time.monotonic()
    error = await asyncio.wait_for(end.lost, 20)
    print(round(time.monotonic() - cut, 1), type(error).__name__)

asyncio.run(main())
"""


def can_be_alone() -> bool:
    return (
        bool(shutil.which("unshare") and shutil.which("ip"))
        and subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_be_alone(), reason="no network namespace can be made here")
def test_an_end_that_acknowledges_nothing_is_given_up() -> None:
    done = subprocess.run(
        [*ALONE, sys.executable, "-c", VANISHES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seconds, reason = done.stdout.split()
    assert 0.5 < float(seconds) < 5, "the system alone takes a quarter of an hour"
    assert reason == "TimeoutError"
