"""Endpoints that fail at random: no call fails while one of them is well."""

from itertools import pairwise
from random import Random

import pytest

from tests.support.examples import THOROUGH
from tests.tools.simulate.worlds import calls, config, endpoint, run

NAMES = ("one", "two", "three")
CALLS_PER_S = 20
SECONDS = 5_000 if THOROUGH else 250
DOWN = 0.2
STATUSES = (None, 500, 503)  # None: connections are refused
# No call takes longer, with its attempts and pauses: who is well for so long could have served it.
A_CALL_S = 12.0


def outages(random):
    """Down for 20 % of the time, at random moments, for 1 to 20 s each."""
    found, now = [], 0.0
    while now < SECONDS:
        down_s = random.uniform(1.0, 20.0)
        now += random.expovariate(DOWN / (1 - DOWN) / 10.5)
        outage = {"from_s": now, "to_s": now + down_s, "status": random.choice(STATUSES)}
        found.append(outage)
        now += down_s
    return found


def well_at(behaviour, begins_at, ends_at):
    return all(
        ends_at < outage["from_s"] or begins_at > outage["to_s"] for outage in behaviour["outages"]
    )


@pytest.mark.parametrize("seed", range(3))
def test_no_call_fails_while_an_endpoint_is_well(seed):
    random = Random(seed)
    world = {name: {"outages": outages(random)} for name in NAMES}
    shares = [
        sum(outage["to_s"] - outage["from_s"] for outage in behaviour["outages"]) / SECONDS
        for behaviour in world.values()
    ]
    assert 0.1 < sum(shares) / len(shares) < 0.35

    results = run(
        config(*(endpoint(name) for name in NAMES)),
        calls((CALLS_PER_S, SECONDS), seed=seed),
        seed=seed,
        **world,
    )

    bins = [number * results.bin_s for number in range(len(results.refused_at) + 1)]
    failed_while_well = sum(
        count
        for count, (begins_at, ends_at) in zip(results.refused_at, pairwise(bins), strict=True)
        if any(well_at(behaviour, begins_at - A_CALL_S, ends_at) for behaviour in world.values())
    )
    assert results.calls > 0.9 * CALLS_PER_S * SECONDS
    assert failed_while_well == 0
