"""One group is asked after the other, and the call's record says so."""

import pytest

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.fallbacks import with_fallbacks
from llmproxy.errors import NoEndpoint, UpstreamFailed
from llmproxy.record import CallRecord
from llmproxy.runtime import pool_of
from llmproxy.steps import FellBack
from tests.routing.pools import call
from tests.support.run import bounded


class Asked:
    """The attempts of a call in one group: they end with an error, or are answered with its name.

    `sent`: an attempt may have taken effect.
    """

    def __init__(self, group, error, *, sent=False):
        self.group = group
        self.error = error
        self.may_go_elsewhere = not sent
        self.exits = 0

    async def __aenter__(self):
        if self.error is not None:
            raise self.error
        return f"the answer of {self.group}"

    async def __aexit__(self, kind, error, trace):
        self.exits += 1


class Groups:
    """What asks the groups a, b and c. `errors`: of those that fail."""

    def __init__(self, errors, *, sent=False):
        self.errors = errors
        self.sent = sent
        self.asked = []

    def ask(self, call, group, record):
        self.asked.append(Asked(group.name, self.errors.get(group.name), sent=self.sent))
        return self.asked[-1]

    @property
    def names(self):
        return [asked.group for asked in self.asked]


def asking(groups, *fallbacks):
    """Return what asks, and the pool. `fallbacks`: those of `a`."""
    own = f", fallbacks: [{', '.join(fallbacks)}]" if fallbacks else ""
    text = "model_groups:\n" + "".join(
        f"  - {{model_group: {name}{own if name == 'a' else ''},"
        f" models: [{{model: m, params: {{api_key: k-{name}}}}}]}}\n"
        for name in "abc"
    )
    config = parse_config(text, {}, file="test.yaml")
    pool = pool_of(config)
    return with_fallbacks(groups.ask, config, pool), pool


async def asked_for(groups, *fallbacks, group="a", sent=None):
    ask, pool = asking(groups, *fallbacks)
    record = CallRecord()
    async with ask(sent or call(group), pool.groups[group], record) as answer:
        return answer, record


def down(group):
    return NoEndpoint(group, [], [], retry_after_s=None)


@bounded()
async def test_the_first_answer_is_the_calls_and_its_attempts_are_left_once():
    groups = Groups({"a": down("a")})
    answer, record = await asked_for(groups, "b", "c")
    assert (answer, groups.names) == ("the answer of b", ["a", "b"])
    assert [asked.exits for asked in groups.asked] == [0, 1]
    assert record.fallback == "b"
    assert [step.group for step in record.steps if isinstance(step, FellBack)] == ["b"]


@bounded()
async def test_a_group_that_answers_has_no_fallback():
    groups = Groups({})
    answer, record = await asked_for(groups, "b")
    assert (answer, groups.names, record.fallback) == ("the answer of a", ["a"], None)


@bounded()
async def test_if_all_fail_the_first_groups_error_names_the_others():
    groups = Groups({"a": down("a"), "b": UpstreamFailed("b is down")})
    with pytest.raises(NoEndpoint) as caught:
        await asked_for(groups, "b")
    assert caught.value.message.endswith(" Fallback 'b': b is down")
    assert caught.value is groups.errors["a"]
    assert groups.names == ["a", "b"]


@bounded()
async def test_a_call_that_may_have_taken_effect_stays():
    groups = Groups({"a": UpstreamFailed("it broke")}, sent=True)
    with pytest.raises(UpstreamFailed, match="it broke"):
        await asked_for(groups, "b")
    assert groups.names == ["a"]


@bounded()
async def test_a_call_with_ids_of_one_account_stays():
    groups = Groups({"a": down("a")})
    with pytest.raises(NoEndpoint):
        await asked_for(groups, "b", sent=call("a", bound_to_account=True))
    assert groups.names == ["a"]


@bounded()
async def test_a_fallbacks_own_calls_have_none():
    groups = Groups({"b": down("b")})
    with pytest.raises(NoEndpoint):
        await asked_for(groups, "c", group="b")
    assert groups.names == ["b"]


@bounded()
async def test_a_failure_of_all_says_whether_yet_another_group_may_serve_the_call():
    for sent in (False, True):
        groups = Groups({"a": UpstreamFailed("it broke")}, sent=sent)
        ask, pool = asking(groups, "b")
        groups.errors["b"] = groups.errors["a"]
        attempts = ask(call("a"), pool.groups["a"], CallRecord())
        with pytest.raises(UpstreamFailed):
            await attempts.__aenter__()
        assert attempts.may_go_elsewhere is not sent


def test_a_config_without_fallbacks_keeps_what_asks():
    groups = Groups({})
    ask, _ = asking(groups)
    assert ask == groups.ask
