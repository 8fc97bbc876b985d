"""A caller's limits are shared by the proxies of one shared state."""

import pytest

from tests.support.callers import KEY_A, bearer, team_a, with_callers
from tests.support.client import CHAT, ask
from tests.support.proxy import serve_proxy
from tests.support.run import bounded
from tests.support.under_way import sharing
from tests.support.valkey import valkey
from tests.support.vendor import GOOD, scripted

RPM = 30


@pytest.mark.clock
@bounded()
async def test_two_proxies_together_allow_a_caller_its_limit_and_no_more(tmp_path):
    async with valkey(tmp_path) as server, scripted(GOOD) as vendor:
        config = with_callers(vendor, team_a(limits={"rpm": RPM}), redis_url=server.url)
        async with serve_proxy(config) as one, serve_proxy(config) as other:
            await sharing(one, other)
            statuses = []
            for number in range(2 * RPM):
                port = (one, other)[number % 2].port
                reply = await ask(port, body=CHAT, headers=bearer(KEY_A))
                statuses.append(reply.status)
            assert statuses[: RPM - 2] == [200] * (RPM - 2)
            assert RPM - 2 <= statuses.count(200) <= RPM + 1
            assert statuses[-1] == 429
