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
from llmproxy.tools.importing.scenario import Scenario
from llmproxy.tools.importing.source import read_source
from tests.support.process import command
from tests.support.run import bounded

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
CHOICE = Scenario("chat", "chat")


def reader_of(folder, text=CONFIG):
    (folder / "config.yaml").write_text(text)
    reader = LiteLLM(ImportReport(), read_source)
    reader.load(read_source(folder / "config.yaml"))
    return reader


def routed(folder, original):
    found = compare(reader_of(folder), original=original)
    return {one.scenario.about: dict(one.ours) for one in found}, found


def has_litellm():
    python = litellm_python(os.environ)
    known = python and subprocess.run(
        [python, "-c", "import litellm"], capture_output=True, check=False
    )
    return known and known.returncode == 0


def test_ours_routes_as_the_config_of_litellm_says(tmp_path):
    ours, _ = routed(tmp_path, lambda upstream, reader, scenarios: [{"d0": 1}] * len(scenarios))

    assert ours["chat"] == {"d0": 75, "d1": 25}
    assert sum(ours["smart (alias)"].values()) == 5
    assert ours["chat, d0 down"] == {"d1": 100}
    assert ours["chat, all down"] == {"d2": 5}
    assert ours["any/sample"] == {"d3": 5}
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
    ],
)
def test_shares_are_compared_and_statuses_are_one_refusal(original, ours, verdict):
    found = Compared(CHOICE, original, ours)

    assert found.verdict == verdict
    assert verdict in table([found])


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
def test_litellms_own_router_does_the_same(tmp_path):
    original = partial(asked_of_litellm, python=litellm_python(os.environ))

    _, found = routed(tmp_path, original)

    assert [one.scenario.about for one in found if one.verdict == "DIFFERS"] == [], table(found)
