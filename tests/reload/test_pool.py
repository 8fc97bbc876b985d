"""Which state an endpoint of the next config gets."""

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.reload.carried_over import CarriedOver
from llmproxy.providers import endpoints_of
from llmproxy.runtime import pool_of

ONE = "{name: one, model: m, weight: %d, limits: {%s}, params: {base_url: 'http://a/v1'}}"


def config(*groups):
    text = "\n".join(f"  - {{model_group: {name}, models: [{models}]}}" for name, models in groups)
    return parse_config(f"model_groups:\n{text}\n", {}, file="c.yaml")


def pool_after(before, config):
    """Return the pool of a config that is served after another one."""
    endpoints = endpoints_of(config)
    states = CarriedOver(config.general_settings, before, endpoints)
    return pool_of(config, endpoints=endpoints, states=states)


def one(weight=1, limits="rpm: 10"):
    return ONE % (weight, limits)


def state(pool, group="g"):
    return pool.groups[group].states[0]


def test_the_same_endpoint_keeps_its_state_and_gets_its_new_settings():
    before = pool_of(config(("g", one())))
    group, known = before.groups["g"], state(before)
    after = pool_after(before, config(("g", one(weight=5))))
    assert after.groups["g"] is group
    assert state(after) is known
    assert known.endpoint.weight == 5


def test_a_breaker_keeps_its_past_and_gets_the_new_settings():
    before = pool_of(config(("g", one())))
    breaker = state(before).breaker
    text = f"model_groups: [{{model_group: g, models: [{one()}]}}]\n"
    settings = "general_settings: {allowed_fails: 7, cooldown_time: 8}\n"
    after = pool_after(before, parse_config(text + settings, {}, file="c.yaml"))
    assert state(after).breaker is breaker
    assert (breaker.allowed_fails, breaker.open_s) == (7, 8)


def test_changed_limits_of_an_account_apply_to_the_same_capacity():
    before = pool_of(config(("g", one())))
    capacity = state(before).capacity
    checkout = state(before).begin(5, now=100.0)
    after = pool_after(before, config(("g", one(limits="rpm: 1, concurrent: 4"))))
    assert state(after).capacity is capacity
    assert (capacity.rpm, capacity.concurrent, capacity.in_flight) == (1, 4, 1)
    assert not state(after).takes(5, now=100.0), "what was sent in the last minute still counts"
    checkout.end(101.0)
    assert (state(after).in_flight, capacity.in_flight) == (0, 0)


def test_removed_limits_do_not_bind_and_start_empty_when_they_come_back():
    before = pool_of(config(("g", one(limits="rpm: 1"))))
    checkout = state(before).begin(5, now=100.0)
    free = pool_after(before, config(("g", one(limits=""))))
    assert not state(free).capacity.bounded
    assert state(free).takes(5, now=100.0)
    checkout.end(100.0)
    bounded = pool_after(free, config(("g", one(limits="rpm: 1"))))
    assert state(bounded).takes(5, now=100.0)


def test_a_call_settles_with_the_capacity_that_it_reserved_from():
    before = pool_of(config(("g", one(limits="rpm: 10")), ("h", one(limits="rpm: 20"))))
    began, others = state(before, "g"), state(before, "h").capacity
    began.drain()
    checkout = began.begin(5, now=100.0)
    breaker = began.breaker
    after = pool_after(before, config(("g", one(limits="rpm: 20")), ("h", one(limits="rpm: 20"))))
    joined = state(after, "g")
    assert joined is not began
    assert joined.capacity is others
    assert joined.breaker is breaker
    assert joined.drained
    checkout.end(101.0)
    assert (others.in_flight, began.capacity.in_flight) == (0, 0)


def test_accounts_that_no_longer_differ_leave_no_trace_of_the_old_limits():
    before = pool_of(config(("g", one(limits="rpm: 10")), ("h", one(limits="rpm: 20"))))
    after = pool_after(before, config(("g", one(limits="rpm: 5")), ("h", one(limits="rpm: 5"))))
    assert state(after, "g").capacity is state(after, "h").capacity
    assert [capacity.rpm for capacity in after.capacities()] == [5]


def test_an_endpoint_with_the_same_name_and_another_address_is_another_one():
    before = pool_of(config(("g", one())))
    known = state(before)
    known.cool(200.0, "throttled")
    elsewhere = one().replace("http://a", "http://b")
    after = pool_after(before, config(("g", elsewhere)))
    assert state(after) is not known
    assert state(after).takes(5, now=100.0)


def test_the_breaker_may_open_once_an_endpoint_is_no_longer_alone():
    before = pool_of(config(("g", one())))
    known = state(before)
    known.breaker.open_elsewhere(100.0, 60.0)
    assert known.available(101.0)
    other = one().replace("name: one", "name: other").replace("http://a", "http://b")
    after = pool_after(before, config(("g", f"{one()}, {other}")))
    assert state(after) is known
    assert not known.available(101.0)
