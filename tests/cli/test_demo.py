"""The demo: the printed request succeeds without any configuration."""

import itertools
import json
import re
import shutil
import signal
import sys

import pytest

from tests.support.client import CHAT, ask
from tests.support.process import command, running
from tests.support.run import bounded

SERVE = ("serve", "--or-demo", "--port", "0")


def printed_block(said, after):
    """The lines that follow a line, exactly as they were printed."""
    lines = iter(said.splitlines())
    assert any(line.startswith(after) for line in lines)
    rest = itertools.dropwhile(lambda line: not line, lines)
    return "\n".join(itertools.takewhile(bool, rest)) + "\n"


async def run_python(text, folder):
    (folder / "pasted.py").write_text(text)
    return await command("pasted.py", cwd=folder, program=sys.executable)


@bounded()
async def test_answers_that_are_made_up_are_not_served_by_accident(tmp_path):
    said = await command("serve", "--port", "0", cwd=tmp_path)

    assert (said.status, said.stdout) == (2, "")
    assert f"no llmproxy.yaml or llmproxy.yml in {tmp_path}" in said.stderr
    assert "no API key in the environment" in said.stderr
    assert "`llmproxy demo`" in said.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@bounded()
async def test_without_config_and_keys_the_demo_starts_and_its_curl_line_works_as_pasted(tmp_path):
    async with running(tmp_path, *SERVE) as proxy:
        line = printed_block(proxy.stderr, "Try it:")
        said = await command("-c", line, program="sh")

    assert "DEMO" in proxy.stderr.splitlines()[0]
    assert said.status == 0
    head, _, body = said.stdout.replace("\r", "").partition("\n\n")
    (explained,) = re.findall(r"^x-llmproxy-explain: (.*)$", head, re.MULTILINE)
    assert re.search(r"failed 503 .*answered 200", explained), "its first call shows a failover"
    answer = json.loads(body)
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"].startswith("Hello!")


@bounded()
async def test_the_demo_keeps_what_calls_would_cost_until_it_ends(tmp_path):
    async with running(tmp_path, *SERVE, environ={"TMPDIR": str(tmp_path)}) as proxy:
        await ask(proxy.port, body=CHAT)
        address = f"http://127.0.0.1:{proxy.port}"
        made = await command("keys", "create", "--team", "search", "--url", address)
        spent = await command("spend", "--by", "model", "--url", address)
        assert list(tmp_path.glob("llmproxy-demo-*"))
        proxy.signal(signal.SIGINT)
        assert await proxy.ended() == 0
    assert made.stdout.startswith("sk-llmproxy-")
    assert "gpt-4.1" in spent.stdout
    assert not list(tmp_path.glob("llmproxy-demo-*"))


@bounded()
async def test_the_printed_python_works_as_pasted_and_is_five_lines(tmp_path):
    async with running(tmp_path, *SERVE) as proxy:
        snippet = printed_block(proxy.stderr, "Or from Python")
        said = await run_python(snippet, tmp_path)

    assert snippet.count("\n") == 5
    assert (said.status, said.stderr) == (0, "")
    assert said.stdout.startswith("Hello!")


@bounded()
async def test_the_demo_can_be_asked_for_even_with_a_config_and_keys(tmp_path):
    (tmp_path / "llmproxy.yaml").write_text("not: [a config")
    environ = {"OPENAI_API_KEY": "sk-real"}
    async with running(tmp_path, "demo", "--port", "0", environ=environ) as proxy:
        models = (await ask(proxy.port, "/v1/models", method="GET")).json["data"]

    assert "DEMO" in proxy.stderr
    assert "gpt-4.1" in [model["id"] for model in models]


@bounded()
async def test_the_demo_answers_every_request_although_one_vendor_fails_now_and_then(tmp_path):
    body = {"model": "text-embedding-3-small", "input": "x"}
    async with running(tmp_path, *SERVE) as proxy:
        replies = [await ask(proxy.port, "/v1/embeddings", body) for _ in range(20)]

    assert [reply.status for reply in replies] == [200] * 20
    assert len({reply.header("x-llmproxy-endpoint") for reply in replies}) == 3


@bounded()
async def test_the_demo_ends_with_ctrl_c_without_a_word_too_many(tmp_path):
    async with running(tmp_path, *SERVE) as proxy:
        await ask(proxy.port, "/livez", method="GET")
        announced = proxy.stderr
        proxy.signal(signal.SIGINT)
        assert await proxy.ended() == 0

    assert proxy.stderr == announced
    assert proxy.stdout == ""
