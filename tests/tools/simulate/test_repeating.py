"""Repeated runs give the same bytes, and a large run takes seconds."""

from time import process_time

from llmproxy.tools.simulate.picture import as_svg
from llmproxy.tools.simulate.report import as_json, as_text
from tests.support.examples import THOROUGH
from tests.tools.simulate.worlds import calls, cheap_and_dear, run


def test_a_seed_repeats_a_run_exactly():
    outage = {"outages": [{"from_s": 20, "to_s": 30}]}
    first, second = (run(cheap_and_dear(), calls((30, 60)), seed=7, one=outage) for _ in range(2))

    assert as_json(first) == as_json(second)
    assert as_text(first) == as_text(second)
    assert as_svg(first, "a run") == as_svg(second, "a run")


def test_another_seed_is_another_run():
    first, second = (run(cheap_and_dear(), calls((30, 60)), seed=seed) for seed in (1, 2))

    assert as_json(first) != as_json(second)


def test_a_run_with_several_instances_is_repeated_exactly():
    first, second = (run(cheap_and_dear(), calls((30, 30)), instances=4) for _ in range(2))

    assert as_json(first) == as_json(second)


def test_many_calls_take_seconds():
    """A hundred thousand in a thorough run, else a fifth of them."""
    seconds = 100 if THOROUGH else 20
    traffic = calls((1000, seconds))
    began_at = process_time()
    results = run(cheap_and_dear(), traffic)

    assert results.calls > 990 * seconds
    assert process_time() - began_at < 0.3 * seconds
