"""Codex itself, unchanged, in front of a group whose only endpoint speaks Anthropic's messages.

`make test-agents` gives the path of its program in CODEX.
"""

import os
import subprocess

import pytest

from llmproxy.tools.simulator import VendorSettings, serve
from tests.support.anthropic_loop import ToolLoop, text, thinking, tool_use
from tests.support.background import in_background
from tests.support.proxy import config_for, serve_proxy
from tests.support.vendor import scripted

CONFIG = """
model_provider = "proxy"
[model_providers.proxy]
name = "proxy"
base_url = "{root}/v1"
env_key = "PROXY_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""
FIRST = thinking("A file is to be made.", "Zmlyc3Q=")
SECOND = thinking("I should look at it.", "c2Vjb25k")


def run_codex(root, folder, model, *options):
    """Run `codex exec` once. Raises if it fails or takes too long."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    (home / "config.toml").write_text(CONFIG.format(root=root))
    environment = {**os.environ, "CODEX_HOME": str(home), "PROXY_KEY": "sk-any"}
    command = [os.environ["CODEX"], "exec", "--model", model, "--skip-git-repo-check"]
    command += ["--dangerously-bypass-approvals-and-sandbox", "--cd", str(work), *options]
    done = subprocess.run(
        [*command, "Make a file."],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answered(turns, folder, model, *options, **general):
    """Run Codex in front of an endpoint that plays these turns; return both sides of it."""
    loop = ToolLoop(turns)

    def in_front(vendor):
        params = {"base_url": vendor.base_url, "api_key": "sk-ant-ours"}
        entry = {"provider": "anthropic", "model": "claude-opus-4-8", "params": params}
        return serve_proxy(config_for(entry, group=model, **general))

    with in_background(lambda: scripted(loop), in_front) as (_, proxy):
        said = run_codex(proxy.root, folder, model, *options)
    assert loop.refusals == []
    return loop, said


WITHOUT_SEARCH = ("--config", 'web_search="disabled"')


@pytest.mark.parametrize(
    ("options", "general"),
    [(WITHOUT_SEARCH, {}), ((), {"on_untranslatable": "drop"})],
    ids=["without web search", "unchanged, dropping"],
)
def test_codex_runs_a_tool_loop_with_thinking(tmp_path, options, general):
    turns = [
        [
            FIRST,
            text("I make it."),
            tool_use("toolu_1", "exec_command", {"cmd": "echo hi > a.txt"}),
        ],
        [SECOND, tool_use("toolu_2", "exec_command", {"cmd": "cat a.txt"})],
        [text("It says hi.")],
    ]
    loop, said = answered(turns, tmp_path, "claude", *options, **general)
    assert said.strip().endswith("It says hi.")
    assert (tmp_path / "work" / "a.txt").read_text() == "hi\n"
    assert "hi" in loop.results(2)[0]
    thoughts = [message["content"][0] for message in loop.asked[2]["messages"][1::2]]
    assert thoughts == [FIRST, SECOND]


def test_codex_calls_two_tools_at_once(tmp_path):
    turns = [
        [
            tool_use("toolu_1", "exec_command", {"cmd": "echo one"}),
            tool_use("toolu_2", "exec_command", {"cmd": "echo two"}),
        ],
        [text("Done.")],
    ]
    loop, _ = answered(turns, tmp_path, "claude", *WITHOUT_SEARCH)
    assert [result.split()[-1] for result in loop.results(1)] == ["one", "two"]


def test_codex_knows_a_tool_in_a_namespace_again(tmp_path):
    name = "multi_agent_v1__close_agent"
    turns = [[tool_use("toolu_1", name, {"target": "nobody"})], [text("Done.")]]
    loop, _ = answered(turns, tmp_path, "claude", *WITHOUT_SEARCH)
    assert name in [tool["name"] for tool in loop.asked[0]["tools"]]
    (result,) = loop.results(1)
    assert "unsupported" not in result
    assert "nobody" in result


def test_codex_applies_a_patch_of_its_freeform_tool(tmp_path):
    patch = "*** Begin Patch\n*** Add File: b.txt\n+hello\n*** End Patch\n"
    turns = [[tool_use("toolu_1", "apply_patch", {"input": patch})], [text("Done.")]]
    # A name that Codex knows, and has this tool for.
    loop, _ = answered(turns, tmp_path, "gpt-5.5", on_untranslatable="drop")
    assert (tmp_path / "work" / "b.txt").read_text() == "hello\n"
    assert "Success" in loop.results(1)[0]


def test_codex_searches_for_tools_and_calls_what_it_found(tmp_path):
    name = "multi_agent_v1__close_agent"
    turns = [
        [tool_use("toolu_1", "tool_search", {"query": "agents"})],
        [tool_use("toolu_2", name, {"target": "nobody"})],
        [text("Done.")],
    ]
    loop, _ = answered(turns, tmp_path, "gpt-5.5", on_untranslatable="drop")
    assert name not in [tool["name"] for tool in loop.asked[0]["tools"]]
    assert name in [tool["name"] for tool in loop.asked[1]["tools"]]
    assert "nobody" in loop.results(2)[0]


def test_codex_in_front_of_an_endpoint_that_speaks_chat(tmp_path):
    def in_front(vendor):
        params = {"base_url": vendor.base_url, "api_key": "sk-any"}
        entry = {"model": "gpt-4.1", "speaks": ["chat"], "params": params}
        return serve_proxy(config_for(entry, group="any"))

    with in_background(lambda: serve(VendorSettings(seed=7)), in_front) as (_, proxy):
        assert run_codex(proxy.root, tmp_path, "any", *WITHOUT_SEARCH).strip()
