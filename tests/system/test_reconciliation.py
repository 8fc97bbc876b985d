"""What the proxy counts is what vendors charge. `pytest -s` prints the figures."""

import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.examples import THOROUGH
from tests.support.postgres import postgres
from tests.support.run import bounded
from tests.support.valkey import valkey
from tests.system.billed_calls import fleet
from tests.system.reconciling import OF_A_ROW, counted, differences, figures


async def compare(place, count, dimensions):
    """Make calls, print the figures, and return the differences."""
    done = await counted(place, count, dimensions)
    for line in figures(done):
        sys.stdout.write(f"\n{line}")
    sys.stdout.write("\n")
    return list(differences(done))


@bounded(300)
async def test_sums_of_two_workers_are_what_vendors_charge(tmp_path):
    url = str(tmp_path / "store.sqlite")
    with tempfile.TemporaryDirectory(prefix="t-") as temporary:
        async with fleet(tmp_path, Path(temporary), url, instances=1, workers=2) as place:
            assert not await compare(place, 300, ("team", "endpoint", "tag"))


@pytest.mark.skipif(not THOROUGH, reason="10,000 calls take minutes")
@bounded(3600)
async def test_sums_of_two_instances_on_postgresql_are_what_vendors_charge(tmp_path):
    async with postgres() as url, AsyncExitStack() as stack:
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="t-")))
        shared = await stack.enter_async_context(valkey(tmp_path))
        instances = fleet(tmp_path, temporary, url, instances=2, workers=4, redis_url=shared.url)
        place = await stack.enter_async_context(instances)
        assert not await compare(place, 10_000, tuple(OF_A_ROW))
