"""Teams: what their members share, and what is noted of a call."""

from time import monotonic

import pytest
import yaml

from llmproxy.batteries.callers import ConfiguredCallers, Identity, TeamRules
from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.token_estimates import LearnedEstimates
from llmproxy.errors import CallerThrottled, ClientError
from llmproxy.pipeline.unbounded import UnboundedAdmission
from llmproxy.record import CallRecord, RequestSummary
from llmproxy.runtime import pool_of
from tests.support.callers import call
from tests.support.proxy import config_for
from tests.support.run import bounded

ALICE = {"name": "alice", "key": "sk-alice-0123456789"}
BOB = {"name": "bob", "key": "sk-bob-0123456789"}


class Made:
    """Identities and teams that are made while calls go on."""

    in_use = True

    def __init__(self, *identities, teams=()):
        self.by_credential = {identity.name.encode(): identity for identity in identities}
        self.teams = {team.name: team for team in teams}
        self.version = 1

    def serve(self, settings):
        pass

    def identity_of(self, credential):
        return self.by_credential.get(credential)

    def team_named(self, name):
        return self.teams.get(name)

    def change(self, team):
        self.teams[team.name] = team
        self.version += 1


def callers_of(
    *callers, groups=("gpt-4.1", "o3"), aliases=None, made=None, shared=None, **settings
):
    config = config_for("http://127.0.0.1:1/v1", callers=list(callers), **settings)
    (group,) = config["model_groups"]
    config["model_groups"] = [{**group, "model_group": name} for name in groups]
    if aliases:
        config["model_groups"][0]["aliases"] = aliases
    parsed = parse_config(yaml.safe_dump(config), {}, file="test.yaml")
    sources = ((made,), made) if made else ()
    share = (lambda _: None) if shared is None else shared.append
    return ConfiguredCallers(*sources).serve(
        parsed.general_settings, pool_of(parsed, estimates=LearnedEstimates), share
    )


def noted(callers, key):
    summary = RequestSummary()
    callers.identify([(b"authorization", b"Bearer " + key.encode())], summary)
    return summary


async def ask(callers, name, record=None):
    sent = call(caller=name)
    admit = callers.limiting(UnboundedAdmission().admit)
    async with admit(sent, callers.pool_of(name).group_for(sent), record or CallRecord(attempts=1)):
        pass


def test_a_call_is_noted_with_the_team_and_the_tags_of_its_caller():
    callers = callers_of({**ALICE, "team": "search", "tags": ["batch", "eu"]})
    found = noted(callers, ALICE["key"])
    assert (found.caller, found.team, found.tags) == ("alice", "search", ("batch", "eu"))
    assert found.key is None


@bounded()
async def test_the_callers_of_a_team_share_its_limits():
    team = {"name": "search", "limits": {"rpm": 3}}
    callers = callers_of(*({**who, "team": "search"} for who in (ALICE, BOB)), teams=[team])
    for name in ("alice", "bob", "alice"):
        await ask(callers, name)
    with pytest.raises(CallerThrottled, match="Rate limit reached for team 'search' on requests"):
        await ask(callers, "bob")


@bounded()
async def test_a_call_that_its_own_limit_refuses_does_not_count_for_the_team():
    own = {**ALICE, "team": "search", "limits": {"rpm": 1}}
    callers = callers_of(own, teams=[{"name": "search", "limits": {"rpm": 10}}])
    await ask(callers, "alice")
    with pytest.raises(CallerThrottled, match="caller 'alice'"):
        await ask(callers, "alice")
    left = {capacity.key: capacity.left(monotonic())[0] for capacity in callers.capacities()}
    assert left == {"caller:alice": 0, "team:search": 9}


def test_a_caller_may_use_what_both_it_and_its_team_may():
    callers = callers_of(
        {**ALICE, "team": "search", "groups": ["gpt-4.1", "o3"]},
        groups=("gpt-4.1", "o3", "secret"),
        teams=[{"name": "search", "groups": ["o3", "secret"]}],
    )
    noted(callers, ALICE["key"])
    assert callers.pool_of("alice").names == ["o3"]


def test_a_wildcard_of_a_team_in_the_config_is_a_name_and_no_pattern():
    team = {"name": "search", "groups": ["openai/*"]}
    callers = callers_of(
        {**ALICE, "team": "search"}, groups=("openai/*", "openai/o3"), teams=[team]
    )
    pool = callers.pool_of("alice")
    assert pool.group_named("openai/anything").name == "openai/*"
    assert pool.group_named("openai/o3") is None


@pytest.mark.parametrize(
    ("models", "names", "served"),
    [
        (("gpt-4.1*",), ["gpt-4.1", "gpt-4.1-mini", "fast"], ["gpt-4.1-mini", "fast"]),
        (("fast",), ["fast"], ["fast"]),
        (("o?",), ["o3"], ["o3"]),
        (("none-*",), [], []),
        ((), [], []),
        (("*",), ["gpt-4.1", "gpt-4.1-mini", "o3", "fast"], ["o3"]),
    ],
)
def test_patterns_say_which_groups_and_aliases_may_be_used(models, names, served):
    made = Made(Identity("carol", models=models))
    callers = callers_of(groups=("gpt-4.1", "gpt-4.1-mini", "o3"), aliases=["fast"], made=made)
    noted(callers, "carol")
    pool = callers.pool_of("carol")
    assert sorted(pool.names) == sorted(names)
    everything = {"gpt-4.1", "gpt-4.1-mini", "o3", "fast", "unknown"}
    assert {name for name in everything if pool.group_named(name)} == set(names)
    assert set(served) <= set(names)


def test_a_pattern_allows_the_models_of_a_wildcard_that_it_matches_and_no_others():
    made = Made(Identity("carol", models=("gpt-4.1*",)))
    callers = callers_of(groups=("*", "gpt-4.1-secret", "o3"), made=made)
    noted(callers, "carol")
    pool = callers.pool_of("carol")
    assert pool.group_named("gpt-4.1-mini").name == "*"
    assert pool.group_named("gpt-4.1-secret").name == "gpt-4.1-secret"
    assert pool.group_named("o3") is None
    assert pool.group_named("o4") is None


def test_without_configured_callers_a_client_needs_no_key_unless_keys_are_required():
    made = Made(Identity("carol"))
    assert noted(callers_of(made=made), "sk-of-a-vendor").caller is None
    assert noted(callers_of(made=made), "carol").caller == "carol"
    with pytest.raises(ClientError, match="no valid API key") as refused:
        noted(callers_of(made=made, keys_required=True), "sk-of-a-vendor")
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")


@bounded()
async def test_a_limit_that_is_made_while_calls_go_on_is_shared_and_holds():
    made, shared = Made(Identity("carol", rpm=1)), []
    callers = callers_of(made=made, shared=shared)
    noted(callers, "carol")
    assert [capacity.key for capacity in shared] == ["caller:carol"]
    await ask(callers, "carol")
    with pytest.raises(CallerThrottled):
        await ask(callers, "carol")


@bounded()
async def test_a_team_that_changes_is_another_one_for_the_next_call():
    made = Made(Identity("carol", team="search"), teams=[TeamRules("search", ("o3",))])
    callers = callers_of(made=made)
    noted(callers, "carol")
    assert callers.pool_of("carol").names == ["o3"]
    made.change(TeamRules("search", ("gpt*",), rpm=1))
    noted(callers, "carol")
    assert callers.pool_of("carol").names == ["gpt-4.1"]
    await ask(callers, "carol")
    with pytest.raises(CallerThrottled, match="team 'search'"):
        await ask(callers, "carol")
    made.change(TeamRules("search", blocked=True))
    with pytest.raises(ClientError, match="The team 'search' is blocked") as refused:
        noted(callers, "carol")
    assert (refused.value.status, refused.value.code) == (401, "key_blocked")


def test_a_team_of_the_config_comes_before_one_that_was_made():
    made = Made(teams=[TeamRules("search", ("o3",))])
    in_config = {"name": "search", "groups": ["gpt-4.1"]}
    callers = callers_of({**ALICE, "team": "search"}, teams=[in_config], made=made)
    assert callers.pool_of("alice").names == ["gpt-4.1"]


def test_a_made_identity_never_stands_for_a_configured_caller():
    made = Made(Identity("alice", key="key_1"))
    callers = callers_of({**ALICE, "groups": ["o3"]}, made=made)
    with pytest.raises(ClientError, match="has a caller 'alice' of its own"):
        noted(callers, "alice")
