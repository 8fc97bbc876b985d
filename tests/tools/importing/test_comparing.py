"""`import --check` compares where LiteLLM's router and ours send the same calls."""

import os
import subprocess
from functools import partial

import pytest

from llmproxy.tools.importing.comparing import (
    Compared,
    asked_of_litellm,
    compare,
    litellm_python,
    table,
)
from llmproxy.tools.importing.litellm import LiteLLM
from llmproxy.tools.importing.report import ImportReport
from llmproxy.tools.importing.scenario import Routed, Scenario, Setup
from llmproxy.tools.importing.scenarios import scenarios_of
from llmproxy.tools.importing.source import read_source
from tests.support.process import command
from tests.support.run import bounded
from tests.tools.importing.imported import CONFIGS

EXAMPLES = ("azure", "balanced", "fallbacks", "shared", "thirty_keys", "wildcards")
CONFIG = """\
model_list:
  - {model_name: chat, litellm_params: {model: gpt-a, weight: 3}}
  - {model_name: chat, litellm_params: {model: gpt-b, weight: 1}}
  - {model_name: spare, litellm_params: {model: azure/x, api_base: "https://x.openai.azure.com"}}
  - {model_name: "any/*", litellm_params: {model: "openai/*"}}
router_settings:
  fallbacks: [{chat: [spare]}]
  model_group_alias: {smart: chat}
"""
CHOOSING = """\
model_list:
  - {model_name: chat, litellm_params: {model: gpt-a, tags: [fast], region_name: eu, timeout: 5}}
  - {model_name: chat, litellm_params: {model: gpt-b, region_name: us}}
  - {model_name: lost, litellm_params: {model: nobody/knows-it}}
  - model_name: of-a-team
    litellm_params: {model: gpt-c}
    model_info: {team_id: t1, team_public_model_name: mine}
router_settings: {enable_tag_filtering: true, enable_pre_call_checks: true}
"""
CHOICE = Scenario("chat", "chat")


def reader_of(folder, text=CONFIG):
    (folder / "config.yaml").write_text(text)
    reader = LiteLLM(ImportReport(), read_source)
    reader.load(read_source(folder / "config.yaml"))
    return reader


def routed(folder, original, text=CONFIG):
    found = compare(reader_of(folder, text), original=original)
    return {one.scenario.about: dict(one.ours.counts) for one in found}, found


def has_litellm():
    python = litellm_python(os.environ)
    known = python and subprocess.run(
        [python, "-c", "import litellm"], capture_output=True, check=False
    )
    return known and known.returncode == 0


def test_ours_routes_as_the_config_of_litellm_says(tmp_path):
    ours, _ = routed(tmp_path, lambda upstream, reader, scenarios: [{"d0": 1}] * len(scenarios))

    assert ours["chat"] == {"d0": 36, "d1": 12}
    assert ours["smart (alias)"] == {"d0": 36, "d1": 12}
    assert ours["chat, d0 down"] == {"d1": 20}
    assert ours["chat, prompt too long"] == ours["chat, content refused"] == {"d2": 5}
    assert ours["chat, call mistaken"] == {"status 400": 5}
    assert ours["chat, tried after d0's 429s"] == {"d1": 48}
    assert ours["chat, tried after d0's 500s"] == {"d1": 48}
    assert ours["chat, all down"] == {"d2": 5}
    assert ours["any/sample"] == {"d3 as sample": 5}
    assert ours["unknown model"] == {"status 404": 5}


@pytest.mark.parametrize(
    ("original", "ours", "verdict"),
    [
        ({"d0": 70, "d1": 30}, {"d0": 75, "d1": 25}, "as before"),
        ({"d0": 50, "d1": 50}, {"d0": 75, "d1": 25}, "DIFFERS"),
        ({"d0": 5}, {"d1": 5}, "DIFFERS"),
        ({"status 400": 5}, {"status 404": 5}, "as before"),
        ({"d0": 5}, {"status 404": 5}, "DIFFERS"),
        ({"d0": 45, "d1": 45, "status 500": 10}, {"d0": 50, "d1": 50}, "fails less"),
        ({"d0": 90, "status 500": 10}, {"d1": 100}, "DIFFERS"),
        ({"d0": 85, "d1": 15}, {"d0": 100}, "DIFFERS"),
        ({"d0": 95, "d1": 5}, {"d0": 100}, "as before"),
    ],
)
def test_shares_are_compared_and_statuses_are_one_refusal(original, ours, verdict):
    found = Compared(CHOICE, Routed(original, 5), Routed(ours, 5))

    assert found.verdict == verdict
    assert verdict in table([found])


def test_a_known_reason_is_named_where_both_differ():
    chosen = Scenario("chat, tag a", "chat", reason="calls are not routed by tags")

    found = [Compared(chosen, Routed({"d0": 5}, 5), Routed({"d1": 5}, 5))]

    assert "otherwise: calls are not routed by tags" in table(found)
    assert "DIFFERS" not in table(found)


@pytest.mark.parametrize(("ours", "verdict"), [("d1", "fails less"), ("d2", "DIFFERS")])
def test_who_stays_in_the_group_where_litellm_falls_back_fails_less(ours, verdict):
    down = Scenario("chat, d0 down", "chat", {"d0": "down"}, members=("d0", "d1"))

    found = Compared(down, Routed({"d1": 14, "d2": 6}, 46), Routed({ours: 20}, 38))

    assert found.verdict == verdict


def test_the_attempts_of_calls_that_failed_are_shown():
    down = Scenario("chat, all down", "chat", {"d0": "down"})

    text = table([Compared(down, Routed({"status 500": 5}, 15), Routed({"status 503": 5}, 20))])

    assert "status 500 100% (3 attempts)" in text
    assert "status 503 100% (4 attempts)" in text


def test_tags_regions_teams_and_timeouts_of_a_config_are_asked_for(tmp_path):
    asked = {one.about: one for one in scenarios_of(reader_of(tmp_path, CHOOSING))}

    assert asked["chat, tag fast"].request == {"metadata": {"tags": ["fast"]}}
    assert asked["chat, region eu"].request == {"allowed_model_region": "eu"}
    assert asked["mine, team t1"].request == {"metadata": {"user_api_key_team_id": "t1"}}
    assert asked["chat, d0 too slow"].setup is Setup.TIMEOUT
    assert asked["lost"].reason == "the import leaves an entry out"


@bounded()
async def test_without_litellm_the_command_says_how_to_get_it(tmp_path):
    (tmp_path / "config.yaml").write_text(CONFIG)
    environ = {"LITELLM_PYTHON": "/nowhere/python"}

    missing = await command("import", "config.yaml", "--check", cwd=tmp_path, environ=environ)

    assert missing.status == 2
    assert "/nowhere/python" in missing.stderr
    assert "Traceback" not in missing.stderr


@pytest.mark.slow
@pytest.mark.skipif(not has_litellm(), reason="LITELLM_PYTHON names no Python that has LiteLLM")
@pytest.mark.parametrize("name", ["small", *EXAMPLES])
def test_litellms_own_router_does_the_same(tmp_path, name):
    original = partial(asked_of_litellm, python=litellm_python(os.environ))
    text = CONFIG if name == "small" else (CONFIGS / f"{name}.yaml").read_text()

    _, found = routed(tmp_path, original, text)

    assert [one.scenario.about for one in found if one.verdict == "DIFFERS"] == [], table(found)
