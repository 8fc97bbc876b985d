"""Which calls are looked up in the cache."""

import sys

import yaml
from msgspec import structs

from llmproxy.batteries.cache.lookup import CachePolicy
from llmproxy.batteries.config_file import parse_config
from llmproxy.record import CacheResult, CallRecord
from llmproxy.runtime import States, pool_of
from tests.routing.pools import call
from tests.support.proxy import config_for

BODY = b'{"model": "gpt-4.1", "temperature": 0, "messages": []}'
KEYED = "http://127.0.0.1:1/v1"
KEYLESS = {"params": {"base_url": "http://127.0.0.1:2/v1"}}


def parsed(*endpoints):
    config = config_for(*endpoints, cache=True)
    return parse_config(yaml.safe_dump(config), {}, file="test.yaml")


def looked_up(config, group, *, caller=None, headers=()):
    """Return whether a call is looked up, and what its record says of the cache."""
    sent = structs.replace(call("gpt-4.1"), body=BODY, caller=caller, headers=list(headers))
    record = CallRecord()
    return CachePolicy(config).lookup(sent, group, record) is not None, record.cache


def test_an_answer_to_the_clients_own_key_is_not_looked_up():
    config = parsed(KEYED, KEYLESS)
    group = pool_of(config).groups["gpt-4.1"]
    assert looked_up(config, group) == (False, CacheResult.BYPASS)
    assert looked_up(config, group, caller="team-a") == (True, CacheResult.MISS)


def test_it_is_once_every_endpoint_of_the_group_has_a_credential():
    before = parsed(KEYED, KEYLESS)
    groups = pool_of(before).groups
    after = parsed(KEYED)
    group = pool_of(after, states=States(after.general_settings, groups)).groups["gpt-4.1"]
    assert group is groups["gpt-4.1"]
    assert looked_up(after, group) == (True, CacheResult.MISS)


def test_a_directive_is_found_among_other_headers():
    config = parsed(KEYED)
    group = pool_of(config).groups["gpt-4.1"]
    headers = [(b"accept", b"*/*"), (b"x-llmproxy-cache", b"bypass"), (b"user-agent", b"a")]
    assert looked_up(config, group, headers=headers) == (False, CacheResult.BYPASS)
    assert looked_up(config, group, headers=headers[::2]) == (True, CacheResult.MISS)


def functions_entered(config, group):
    """Return how many functions of Python a lookup enters."""
    policy, record = CachePolicy(config), CallRecord()
    sent = structs.replace(call("gpt-4.1"), body=BODY)
    entered = 0

    def count(_frame, event, _argument):
        nonlocal entered
        entered += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        assert policy.lookup(sent, group, record)
    finally:
        sys.setprofile(before)
    return entered


def test_a_lookup_costs_the_same_with_1_and_with_300_endpoints():
    few, many = parsed(KEYED), parsed(*(f"http://127.0.0.1:{port}/v1" for port in range(1, 301)))
    costs = [functions_entered(c, pool_of(c).groups["gpt-4.1"]) for c in (few, many)]
    assert costs[0] == costs[1] < 30
