"""Which group serves a name."""

import pytest

from llmproxy.errors import ClientError
from llmproxy.routing import Pool
from tests.routing.pools import call, pool


def test_a_name_finds_its_group_and_the_wildcard_serves_the_rest():
    one = pool(("a", 1, 0))
    named = one.groups["g"]
    both = Pool({"g": named, "*": named})
    assert one.group_for(call("g")) is named
    assert both.group_for(call("anything")) is named
    assert both.group_for(call(None)) is named
    with pytest.raises(ClientError) as caught:
        one.group_for(call("unknown"))
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert "'unknown'" in caught.value.message
    assert "g" in caught.value.message
    with pytest.raises(ClientError) as caught:
        one.group_for(call(None))
    assert (caught.value.status, caught.value.param) == (400, "model")


def test_ids_that_live_in_one_account_need_a_group_of_one():
    files = {"path": "files/f-1", "bound_to_account": True, "method": "GET"}
    alone, several = pool(("a", 1, 0)), pool(("a", 1, 0), ("b", 1, 0))
    assert alone.group_for(call(None, **files)) is alone.groups["g"]
    two_groups = Pool({"g": alone.groups["g"], "h": alone.groups["g"]})
    for refusing in (several, two_groups):
        with pytest.raises(ClientError) as caught:
            refusing.group_for(call(None, **files))
        assert (caught.value.status, caught.value.code) == (501, "account_bound_path")
        assert "2 endpoints" in caught.value.message or "'*'" in caught.value.message


def test_a_caller_with_some_groups_neither_sees_the_others_nor_reaches_them_by_the_wildcard():
    named, rest = pool(("a", 1, 0)).groups["g"], pool(("b", 1, 0)).groups["g"]
    both = Pool({"g": named, "*": rest})
    limited = both.limited_to(["*"])
    assert limited.group_for(call("anything")) is rest
    with pytest.raises(ClientError) as caught:
        limited.group_for(call("g"))
    assert caught.value.status == 404


def test_an_account_is_listed_once_however_many_groups_use_it():
    one = pool(("a", 1, 0), ("b", 1, 0))
    twice = Pool({"g": one.groups["g"], "h": one.groups["g"]})
    assert len(list(twice.capacities())) == 2


def test_an_alias_finds_its_group_and_is_hidden_with_it():
    named, rest = pool(("a", 1, 0)).groups["g"], pool(("b", 1, 0)).groups["g"]
    both = Pool({"g": named, "*": rest}, {"x": "g", "y": "g"}, unlisted=frozenset(["y"]))
    limited = both.limited_to(["*"])

    assert both.group_for(call("x")) is both.group_named("y") is named
    assert both.names == ["g", "*", "x"]
    assert limited.group_named("z") is rest
    assert limited.group_named("x") is limited.group_named("g") is None
    assert limited.names == ["*"]


def test_an_exact_name_goes_before_a_wildcard_and_a_longer_wildcard_before_a_shorter_one():
    names = ["*", "openai/*", "openai/gpt-4.1", "*-mini"]
    groups = {name: pool(("a", 1, 0)).groups["g"] for name in names}
    all_of_them = Pool(groups, {"small-mini": "openai/gpt-4.1"})

    def serving(model, of=all_of_them):
        group = of.group_named(model)
        return next((name for name in names if groups[name] is group), None)

    assert serving("openai/gpt-4.1") == "openai/gpt-4.1"
    assert serving("small-mini") == "openai/gpt-4.1"
    assert serving("openai/o3-mini") == "openai/*"
    assert serving("o3-mini") == "*-mini"
    assert serving("o3") == serving(None) == "*"
    limited = all_of_them.limited_to(["*", "openai/gpt-4.1"])
    assert serving("openai/gpt-4.1", limited) == "openai/gpt-4.1"
    assert serving("openai/o3", limited) is None, "another wildcard does not serve it either"
    assert serving("o3", limited) == "*"
