"""An instance of the shared view without a proxy: one lease, and calls that are dispatched from it.

`python -m tests.support.instance URL TPM SLOTS` is a process to be killed: it leases all tokens
of a minute, dispatches half of them, prints a line, and waits. It gives nothing back and does not
sign off.
"""

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from llmproxy.batteries.settings import FullSettings
from llmproxy.batteries.shared_state.opening import open_shared_state
from llmproxy.batteries.shared_state.quota import Lease
from llmproxy.batteries.shared_state.view import SharedState

RPM, TPM = 600, 100_000
WAIT_S = 30.0  # far more than the milliseconds that it takes on an idle machine


@dataclass
class Instance:
    """An instance with one lease, and the calls that it dispatches."""

    view: SharedState
    lease: Lease

    async def dispatch(self, tokens=10, *, uses=None, within_s=WAIT_S):
        """Wait for a grant like a waiting call and use it, or a part of it; returns the seconds."""
        began = monotonic()
        while self.lease.share is None and not self.lease.covers(tokens, monotonic()):
            self.lease.note_waiting(tokens)
            assert monotonic() - began < within_s, "nothing was granted"
            await asyncio.sleep(0.002)
        self.lease.reserve(tokens if uses is None else uses, monotonic())
        return monotonic() - began

    async def until(self, condition, within_s=WAIT_S):
        """Wait until the condition holds; returns the seconds."""
        began = monotonic()
        while not condition(self):
            assert monotonic() - began < within_s, self.view.status(monotonic())
            await asyncio.sleep(0.002)
        return monotonic() - began

    @property
    def connected(self):
        return self.view.status(monotonic()).connected

    @property
    def instances(self):
        return self.view.status(monotonic()).instances

    @property
    def why(self):
        return self.view.status(monotonic()).why


@asynccontextmanager
async def instance(server, *, key="account", rpm=RPM, tpm=TPM, **options):
    """One instance that shares the account `key`. `server`: a Valkey or its URL."""
    url = server if isinstance(server, str) else server.url
    settings = FullSettings(redis_url=url)
    async with open_shared_state(settings, apply_state=lambda *_: None, **options) as view:
        lease = Lease(**options)
        lease.set_limits(rpm, tpm)
        view.add(key, lease)
        yield Instance(view, lease)


async def all_that_it_gets(member):
    """Dispatch until nothing is granted for longer than unused units live; returns how often."""
    dispatched = 0
    with pytest.raises(AssertionError, match="nothing was granted"):
        while True:
            # On a busy machine the connection may be lost briefly: then nothing is limited.
            await member.until(lambda member: member.lease.share is None)
            await member.dispatch(within_s=1.5)
            await asyncio.sleep(0)
            dispatched += 1
    return dispatched


@asynccontextmanager
async def holding(server, *, tpm, window_slots):
    """A process that was granted all tokens and has dispatched half of them; yields it."""
    arguments = (server.url, str(tpm), str(window_slots))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.instance", *arguments),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await process.stdout.readline() == b"holds it\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def hold(url, tpm, window_slots):
    async with instance(url, rpm=None, tpm=tpm, window_slots=window_slots) as holder:
        await holder.dispatch(tpm, uses=tpm // 2)
        sys.stdout.write("holds it\n")
        sys.stdout.flush()
        sys.stdin.read()  # nothing else runs in this process any more


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], *map(int, sys.argv[2:])))
