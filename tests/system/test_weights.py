"""Calls are distributed exactly by weight."""

import pytest

from tests.support.process import running
from tests.support.run import bounded
from tests.system.clients import Load
from tests.system.vendors import group_of, vendors


@pytest.mark.parametrize("clients", [1, 50])
@bounded()
async def test_each_endpoint_gets_exactly_its_share_of_600_calls(tmp_path, clients):
    async with vendors(3) as members:
        config = {"model_groups": [group_of(members, weights=(3, 2, 1))]}
        async with running(tmp_path, config=config) as proxy:
            load = await Load(proxy.port, 600, clients=clients).run()

    assert load.failures == []
    assert [vendor.served for vendor in members] == [300, 200, 100]
    assert load.served_by == {"w3": 300, "w2": 200, "w1": 100}
