"""The cheap endpoints are used to the last call, and clients see none of their limits.

Two cheap endpoints of 600 requests and 100,000 tokens a minute each, and an expensive one
without limits. The proxy learns the limits from headers only. The vendors' reserves are used up
before, so that only what refills counts. Figures are printed: `pytest -s`.
"""

import asyncio
import functools
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic

import pytest

from tests.support.process import running
from tests.support.run import bounded, run_number
from tests.system.arrivals import MEAN_TOKENS, MODEL, Crowd, entry, use_up, vendor

pytestmark = pytest.mark.clock
RPM, TPM = 600, 100_000
FULL = 2 * RPM / 60  # calls per second that two cheap endpoints accept
BROUGHT = [("authorization", "Bearer sk-brought"), ("api-key", "sk-brought")]
CHEAP = ("cheap-1", "cheap-2")


class Place:
    """A proxy in front of its vendors; the expensive one is last."""

    def __init__(self, vendors, proxy):
        self.cheap = [vendor for vendor in vendors if vendor.settings.rpm]
        self.port = proxy.port

    @property
    def refusals(self):
        return sum(vendor.counts.total(429) for vendor in self.cheap)

    @property
    def served(self):
        return sum(vendor.counts.total(200) for vendor in self.cheap)

    async def use_up_reserves(self, seconds):
        """Leave what refills, or (Azure's minute ends at once) its share of the minute."""
        for cheap in self.cheap:
            if cheap.settings.dialect == "openai":
                await use_up(cheap, calls=2 * RPM, tokens=MEAN_TOKENS)
            else:
                await use_up(cheap, calls=1, tokens=TPM - TPM * seconds // 60)
            cheap.counts.requests.clear()


@asynccontextmanager
async def place(folder, dialect, *, cheap=CHEAP, tiers=(0, 0, 1), reads_limits=True, **queue):
    """`reads_limits`: the proxy reads its endpoints' limits. Otherwise clients bring their own
    keys, so that no answer reveals the limits of the next call."""
    folder.mkdir()
    async with AsyncExitStack() as stack:
        vendors = [
            await stack.enter_async_context(vendor(name, dialect, rpm=RPM, tpm=TPM))
            for name in cheap
        ]
        if len(cheap) > 1:
            vendors.append(await stack.enter_async_context(vendor("dear", dialect)))
        key = "sk-upstream" if reads_limits else None
        models = [entry(one, tier=tier, key=key) for one, tier in zip(vendors, tiers, strict=False)]
        config = {
            "model_groups": [{"model_group": MODEL, "models": models}],
            "general_settings": {"queue": queue, "drain_delay_s": 0, "drain_timeout_s": 1},
        }
        yield Place(vendors, await stack.enter_async_context(running(folder, config=config)))


async def in_both_dialects(scenario, folder):
    """The same with vendors that speak and count as OpenAI, and as Azure; at the same time.

    These run by the clock: a machine that stalls for a second while others use it has lost a second
    of cheap calls, and that is not the proxy's doing. So a miss is looked at once more.
    """

    async def patiently(dialect):
        (folder / dialect).mkdir()
        try:
            await scenario(folder / dialect / "first", dialect)
        except AssertionError as missed:
            print_line(f"{dialect}: missed at first: {missed}")
            await scenario(folder / dialect / "again", dialect)

    async with asyncio.TaskGroup() as both:
        for dialect in ("openai", "azure"):
            both.create_task(patiently(dialect))


def print_line(line):
    """Print a figure; shown by pytest -s."""
    sys.stdout.write(f"\n{line}")


def share(crowd):
    return len(crowd.served_by(*CHEAP)) / len(crowd.outcomes)


def summary(crowd, place):
    lasted = sorted(outcome.lasted_s for outcome in crowd.outcomes)
    median, most = lasted[len(lasted) // 2], lasted[len(lasted) * 99 // 100]
    return (
        f"{len(crowd.outcomes)} calls, {share(crowd):.1%} at the cheap tier,"
        f" {len(crowd.refused)} client 429s, {place.refusals} upstream 429s;"
        f" half the calls within {median:.3f} s, 99 % within {most:.3f} s"
    )


async def at_95_percent(folder, dialect, seconds=20):
    folder.mkdir()
    async with (
        place(folder / "knowing", dialect) as knowing,
        place(folder / "trying", dialect, reads_limits=False) as trying,
        place(folder / "turns", dialect, tiers=(0, 0, 0), reads_limits=False) as turns,
    ):
        places = (knowing, trying, turns)
        await asyncio.gather(*(place.use_up_reserves(seconds) for place in places))
        crowds = [Crowd(place.port, headers=BROUGHT) for place in places]
        load = (0.95 * FULL, seconds)
        await asyncio.gather(*(crowd.arrive(load) for crowd in crowds))
    ways = ("the proxy", "cheap first, without the model", "in turns, without the model")
    for way, crowd, here in zip(ways, crowds, places, strict=True):
        print_line(f"95 %, {dialect}, {way}: {summary(crowd, here)}")

    crowd = crowds[0]
    assert {outcome.status for outcome in crowd.outcomes} == {200}
    assert share(crowd) >= 0.95
    assert knowing.refusals <= 0.01 * len(crowd.outcomes)
    assert trying.refusals > knowing.refusals
    assert share(crowds[2]) < 0.75


async def served_per_s(place, seconds):
    """Return the mean over spans that begin within the first second: calls arrive in tens."""
    began_at, served = monotonic(), []
    for tenth in range(10 * seconds):
        await asyncio.sleep(max(0.0, began_at + tenth / 10 - monotonic()))
        served.append(place.served)
    spans = [served[first - 10] - served[first] for first in range(10)]
    return sum(spans) / len(spans) / (seconds - 1)


async def at_120_percent(folder, dialect, settling=2, high=15, low=5):
    async with place(folder, dialect) as here:
        crowd = Crowd(here.port)
        await here.use_up_reserves(settling + high + low)
        load = asyncio.create_task(crowd.arrive((1.2 * FULL, settling + high), (0.8 * FULL, low)))
        await asyncio.sleep(settling)
        refused_before = here.refusals
        full = await served_per_s(here, high) / FULL
        await load
    falls_at = settling + high
    spilled = [outcome.at_s - falls_at for outcome in crowd.served_by("dear", since_s=falls_at)]
    last_s = max(spilled, default=0.0)
    print_line(f"120 %, {dialect}: {summary(crowd, here)}; {refused_before} of the 429s at first;")
    print_line(f"  {full:.1%} full; last spill {last_s:.2f} s after the fall to 80 %")

    assert {outcome.status for outcome in crowd.outcomes} == {200}
    assert full >= 0.97
    assert all(after_s < 2.0 for after_s in spilled)
    assert here.refusals <= 0.01 * len(crowd.outcomes)


async def in_bursts(folder, dialect, rate=RPM / 60):
    async with place(folder, dialect, cheap=("cheap-1",), max_waiting=40) as here:
        crowd = Crowd(here.port)
        await here.use_up_reserves(20)
        burst = (1.5 * rate, 3), (0.1 * rate, 2)
        await crowd.arrive(*burst, *burst)
        bursts = f"bursts of 150 %, {dialect}: {summary(crowd, here)}"
        assert {outcome.status for outcome in crowd.outcomes} == {200}

        crowd.outcomes.clear()
        flood = [asyncio.create_task(crowd.call()) for _ in range(120)]
        while not crowd.refused:
            await asyncio.sleep(0.01)
        reported_s, told_at = crowd.refused[0].reported_s, monotonic()
        early = asyncio.create_task(_come_at(crowd, told_at + 0.8 * reported_s))
        await asyncio.gather(early, *flood)
        true_s = early.result() - told_at
    print_line(f"{bursts}; then a flood of 120: {len(crowd.refused)} refused,")
    print_line(
        f"  reported {reported_s:.2f} s, true {true_s:.2f} s; {here.refusals} upstream 429s in all"
    )

    assert 60 <= len(crowd.refused) <= 80
    assert reported_s == pytest.approx(true_s, rel=0.1)
    assert here.refusals <= 2  # before the limits are known, and no more


async def _come_at(crowd, at):
    """Make a call at a time; return when it was served."""
    await asyncio.sleep(at - monotonic())
    outcome = await crowd.call(tokens=MEAN_TOKENS)
    assert outcome.status == 200
    return monotonic()


SCENARIOS = (at_95_percent, at_120_percent, in_bursts)


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """For each look, what every scenario missed, or None. They happen side by side: each is mostly
    waiting."""

    @functools.cache
    def look(number):
        folder = tmp_path_factory.mktemp("cheap-tier")
        endings = {}

        async def ending(scenario):
            (folder / scenario.__name__).mkdir()
            try:
                await in_both_dialects(scenario, folder / scenario.__name__)
            except ExceptionGroup as missed:
                endings[scenario] = missed
            else:
                endings[scenario] = None

        @bounded(300)
        async def happen():
            async with asyncio.TaskGroup() as scenarios:
                for scenario in SCENARIOS:
                    scenarios.create_task(ending(scenario))

        happen()
        return endings

    return look


@pytest.fixture
def endings(request, looks):
    return looks(run_number(request))


def assert_nothing_was_missed(ending):
    if ending is not None:
        raise ending


def test_at_95_percent_of_the_cheap_tier_nearly_every_call_goes_there(endings):
    assert_nothing_was_missed(endings[at_95_percent])


def test_at_120_percent_the_cheap_tier_is_full_and_the_rest_spills(endings):
    assert_nothing_was_missed(endings[at_120_percent])


def test_one_endpoint_serves_bursts_by_queueing_until_the_queue_is_full(endings):
    assert_nothing_was_missed(endings[in_bursts])
