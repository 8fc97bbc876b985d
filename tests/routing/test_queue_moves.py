"""The line in front of a full group: when it is worth a look."""

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.routing import CallDemand
from llmproxy.runtime import pool_of


def group(*, cheap_rpm, dear_rpm=None, spill_wait_s=1.0):
    """Two tiers: `cheap`, then `dear`."""
    limits = f"limits: {{rpm: {dear_rpm}}}, " if dear_rpm else ""
    text = f"""
model_groups:
  - model_group: g
    models:
      - {{model: m, name: cheap, limits: {{rpm: {cheap_rpm}}}, params: {{api_key: key-one}}}}
      - {{model: m, name: dear, tier: 1, {limits}params: {{api_key: key-two}}}}
general_settings: {{queue: {{spill_wait_s: {spill_wait_s}}}}}
"""
    return pool_of(parse_config(text, {}, file="test.yaml")).groups["g"]


def fill(group, calls, now):
    for _ in range(calls):
        group.take(CallDemand(), now)


def test_room_in_a_dearer_tier_does_not_serve_calls_that_wait_for_a_cheaper_one():
    tiers = group(cheap_rpm=2)
    fill(tiers, 2, 0.0)
    demand = CallDemand(spill_at=60.9)
    assert tiers.take(demand, 59.9) is None, "the cheap tier has room within its patience"
    tiers.queue.join(demand)

    assert tiers.queue_moves_in_s(59.9) == pytest.approx(0.6)
    assert [demand for demand, _ in tiers.serve_queue(60.5)] == [demand]


def test_a_call_past_its_spill_time_may_take_the_room_of_any_tier():
    tiers = group(cheap_rpm=2)
    fill(tiers, 2, 0.0)
    tiers.queue.join(CallDemand(spill_at=10.0))

    assert tiers.queue_moves_in_s(11.0) == 0.0


def test_a_tier_that_is_full_for_longer_than_the_patience_does_not_hide_the_next_one():
    tiers = group(cheap_rpm=1, dear_rpm=1)
    fill(tiers, 1, 0.0)
    fill(tiers, 1, 30.0)
    demand = CallDemand(spill_at=32.0)
    tiers.queue.join(demand)

    assert tiers.queue_moves_in_s(31.0) == pytest.approx(1.0), "when the patience ends"
    assert tiers.queue_moves_in_s(33.0) == pytest.approx(60.5 - 33.0), "when the first has room"
