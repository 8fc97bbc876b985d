# ruff: noqa: E501 - rows of configs
"""Configs of agentgateway, Portkey and Bifrost with odd values: nothing breaks, no right is widened."""

import copy
import json

import pytest

from llmproxy.errors import ConfigError
from llmproxy.tools.importing.importer import READERS
from llmproxy.tools.importing.report import ImportReport
from llmproxy.tools.importing.source import SourceFile, read_source
from llmproxy.tools.importing.writing import written
from tests.tools.importing.imported import CONFIGS, imported

NUMBERS = (None, True, -1, 1.5, 10**30, float("inf"))
TEXTS = ("abc", "", "é:{$x", "$X", "http://[x")
SHAPES = ([], [None], ["a", 1], [[1]], [{}], {}, {"a": 1}, {"value": {}})
BIFROST = {
    "providers": {
        "openai": {"keys": [{"name": "a", "value": "env.K", "models": ["gpt-4o", "gpt-4o-mini"]}]},
        "anthropic": {"keys": [{"name": "c", "value": "env.C", "models": ["claude"]}]},
        "nowhere": {"keys": [{"name": "n", "value": "env.N"}]},
    },
}


def places(value, place=()):
    """Every place in a config."""
    if place:
        yield place
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list) else inside
    for key, item in inside:
        yield from places(item, (*place, key))


def changed(config, place, value):
    config = copy.deepcopy(config)
    inside = config
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return config


@pytest.mark.parametrize("odd", [*NUMBERS, *TEXTS, *SHAPES], ids=str)
@pytest.mark.parametrize("name", ["agentgateway.yaml", "bifrost.json", "portkey.json"])
def test_no_value_of_another_form_ends_in_a_traceback(name, odd):
    config = read_source(CONFIGS / name).value
    read = READERS[name.partition(".")[0]]
    for place in places(config):
        report = ImportReport()
        source = SourceFile("odd.json", json.dumps(changed(config, place, odd)))
        try:
            written(read(source, report), [])
        except ConfigError:
            continue
        report.as_text()


def bifrost(tmp_path, *keys, **governance):
    config = {**BIFROST, "governance": {"virtual_keys": list(keys), **governance}}
    return imported(tmp_path, json.dumps(config), name="config.json")


def test_a_key_for_what_is_not_carried_over_may_not_use_everything(tmp_path):
    key = {"id": "1", "name": "app", "value": "env.VK"}
    narrow = {**key, "provider_configs": [{"provider": "nowhere"}]}

    result = bifrost(tmp_path, narrow)

    assert "callers" not in result.settings
    assert "governance.virtual_keys[0]" in result.left_out


def test_the_id_of_a_key_is_no_key(tmp_path):
    result = bifrost(
        tmp_path,
        {"id": "guessable", "name": "app"},
        {"id": "2", "name": "vault", "value": {"type": "vault", "ref": "a/b"}},
        {"id": "3", "name": "off", "value": "env.OFF", "is_active": False},
    )

    assert "callers" not in result.settings
    assert {f"governance.virtual_keys[{number}]" for number in (0, 1, 2)} <= result.left_out
    assert "guessable" not in result.text


def test_a_key_keeps_to_its_models(tmp_path):
    narrow = {"provider": "openai", "allowed_models": ["gpt-4o"]}
    result = bifrost(
        tmp_path,
        {"id": "1", "name": "one", "value": "env.VK1", "provider_configs": [narrow]},
        {"id": "2", "name": "all", "value": {"env_var": "VK2"}},
    )

    one, everything = result.settings["callers"]
    assert one == {"name": "one", "key": "os.environ/VK1", "groups": ["openai/gpt-4o"]}
    assert everything == {"name": "all", "key": "os.environ/VK2"}
    assert result.report.problems == [], "two variables that are not set are two keys"


@pytest.mark.parametrize(("version", "groups"), [(None, 0), (1, 1)])
def test_an_empty_list_of_models_is_none_since_bifrost_1_5(tmp_path, version, groups):
    keys = [{"name": "a", "value": "env.K", "models": []}]
    config = {"providers": {"openai": {"keys": keys}, **BIFROST["providers"]}}
    config["providers"]["groq"] = {"keys": keys}
    if version is not None:
        config["version"] = version

    result = imported(tmp_path, json.dumps(config), name="config.json")

    names = [group["model_group"] for group in result.config["model_groups"]]
    assert names.count("groq/*") == groups


def test_variables_in_headers_of_bifrost_stay_variables(tmp_path):
    network = {"extra_headers": {"x-team": "env.TEAM"}}
    providers = {"openai": {**BIFROST["providers"]["openai"], "network_config": network}}

    result = imported(tmp_path, json.dumps({"providers": providers}), name="config.json")

    params = result.endpoints("openai/gpt-4o")[0]["params"]
    assert params["default_headers"] == {"x-team": "os.environ/TEAM"}


def test_a_provider_of_agentgateway_may_be_named_elsewhere(tmp_path):
    result = imported(
        tmp_path,
        """\
llm:
  providers:
  - {name: ours, provider: openAI, params: {apiKey: $OPENAI_KEY}}
  - {name: round, provider: {reference: round}}
  models:
  - {name: fast, provider: {reference: ours}, params: {model: gpt-4o-mini}}
""",
    )

    (endpoint,) = result.endpoints("fast")
    assert endpoint["model"] == "gpt-4o-mini"
    assert endpoint["params"]["api_key"] == "os.environ/OPENAI_KEY"
