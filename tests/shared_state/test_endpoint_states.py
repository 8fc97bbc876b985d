"""What other instances report of an endpoint is applied to it here."""

from time import monotonic

from llmproxy.batteries.shared_state.endpoint_states import EndpointStates, apply_state
from llmproxy.events import EndpointChange
from tests.routing.pools import by_name, fail, pool


def test_an_endpoint_that_cools_or_breaks_elsewhere_is_left_alone_here():
    here = pool(("a", 1, 0), ("b", 1, 0))
    a, b = here.groups["g"].states
    apply_state(here, "g", "a", EndpointChange.COOLING, 7.0, now=1.0)
    assert (a.available(7.9), a.available(8.0)) == (False, True)
    assert a.throttled(5.0)
    apply_state(here, "g", "b", EndpointChange.OPEN, 4.0, now=1.0)
    assert (b.available(4.9), b.available(5.1)) == (False, True)
    apply_state(here, "g", "b", EndpointChange.OPEN, 40.0, now=6.0)
    apply_state(here, "g", "b", EndpointChange.CLOSED, None, now=7.0)
    assert b.available(7.0)
    apply_state(here, "g", "a", EndpointChange.MISCONFIGURED, 300.0, now=10.0)
    assert not a.available(309.0)
    assert not a.throttled(20.0)


def test_changes_of_endpoints_that_are_not_ours_say_nothing():
    here = pool(("a", 1, 0))
    apply_state(here, "other", "a", EndpointChange.COOLING, 7.0, now=1.0)
    apply_state(here, "g", "other", EndpointChange.COOLING, 7.0, now=1.0)
    assert by_name(here.groups["g"])["a"].available(1.0)


def test_news_does_not_shorten_what_we_know_ourselves():
    here = pool(("a", 1, 0), ("b", 1, 0))
    a = here.groups["g"].states[0]
    fail(a, 1.0)
    opens_at = a.ready_at(1.0)
    apply_state(here, "g", "a", EndpointChange.OPEN, 0.5, now=1.0)
    assert a.ready_at(1.0) == opens_at


def test_a_change_of_a_group_that_is_not_served_yet_waits_for_it():
    states, now = EndpointStates(), monotonic()
    states.apply("g", "a", EndpointChange.COOLING, 60.0, now)
    states.apply("g", "b", EndpointChange.COOLING, 60.0, now - 90.0)
    here = pool(("a", 1, 0), ("b", 1, 0))
    states.serve(here)
    a, b = here.groups["g"].states
    assert (a.available(now + 50.0), a.available(now + 70.0)) == (False, True)
    assert b.available(now), "it was over before the group was served"
