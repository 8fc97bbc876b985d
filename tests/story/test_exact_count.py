"""Streams that tell no usage teach the estimates all the same, if the operator wants it so."""

import json

import pytest

from tests.story.limited import endpoint, said, until
from tests.support.client import ask
from tests.support.extras import COMMANDS, refused_without
from tests.support.process import command, running
from tests.support.proxy import config_for, serve_proxy
from tests.support.run import bounded
from tests.support.vendor import DONE, LAST_CHUNK, always, chunk, delta, event, scripted, sse_head

# Long words: the first guess is far too high.
LONG = said("international understanding " * 200, stream=True)
SILENT = always(sse_head(), chunk(delta("hello")), chunk(DONE), LAST_CHUNK)
USAGE = event({"choices": [], "usage": {"prompt_tokens": 77, "completion_tokens": 1}})
TELLING = always(sse_head(), chunk(delta("hello")), chunk(USAGE), chunk(DONE), LAST_CHUNK)


@pytest.fixture
def wheel():
    pytest.importorskip("bpe_openai", reason="needs the extra llmproxy[exact]")


def config_of(vendor, *, exact=True):
    entry = endpoint(vendor, "only", limits={"tpm": 1_000_000})
    return config_for(entry, exact_token_counts=exact)


async def stream(proxy):
    assert (await ask(proxy.port, body=LONG)).status == 200


def accuracy(proxy):
    """What the group has learned of the calls of this file."""
    return proxy.runtime.pool.groups["gpt-4.1"].estimator.errors().get("chat text")


@bounded()
async def test_a_stream_without_usage_is_counted_and_the_next_estimate_is_better(wheel):
    async with scripted(SILENT) as vendor, serve_proxy(config_of(vendor)) as proxy:
        group = proxy.runtime.pool.groups["gpt-4.1"]
        call = said(LONG["messages"][0]["content"], stream=True)
        before = estimate(group, call)
        await stream(proxy)
        await until(lambda: accuracy(proxy))

        assert accuracy(proxy).calls == 1
        assert abs(estimate(group, call) - 408) < abs(before - 408)


def estimate(group, asked):
    from llmproxy.rules.estimate import measure

    return group.estimator.tokens(measure(json.dumps(asked).encode(), "chat/completions"))


@bounded()
async def test_a_stream_that_tells_its_usage_is_not_counted(wheel):
    async with scripted(TELLING) as vendor, serve_proxy(config_of(vendor)) as proxy:
        await stream(proxy)
        vendor.answer = SILENT
        await stream(proxy)
        await until(lambda: accuracy(proxy))
        await proxy.runtime.failover.counts.idle()

        assert accuracy(proxy).calls == 1
        assert accuracy(proxy).ratio < 0.1  # the vendor's 77, not the 408 that we should count


@bounded()
async def test_unless_it_is_wanted_nothing_is_counted():
    async with scripted(SILENT) as vendor:
        async with serve_proxy(config_of(vendor, exact=False)) as proxy:
            await stream(proxy)

            assert proxy.runtime.failover.counts is None
            assert accuracy(proxy) is None


# ---- without the wheel

CONFIG = """\
model_groups:
  - model_group: gpt-4.1
    models: [{params: {api_key: k}}]
general_settings: {exact_token_counts: true, bind_port: 0}
"""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@bounded()
async def test_without_the_extra_the_config_is_refused_with_the_remedy(tmp_path, words):
    (tmp_path / "bpe_openai.py").write_text("raise ImportError('not installed')")
    found = "general_settings.exact_token_counts: true"
    await refused_without("exact", words, tmp_path, config=CONFIG, found=found)


@bounded()
async def test_with_the_extra_it_is_served(tmp_path, wheel):
    (tmp_path / "wants.yaml").write_text(CONFIG)

    assert (await command("check", "wants.yaml", cwd=tmp_path)).status == 0
    async with running(tmp_path, "serve", "--config", "wants.yaml") as proxy:
        assert "configured by wants.yaml" in proxy.stderr


@bounded()
async def test_who_does_not_want_it_does_not_pay_for_its_import(tmp_path):
    (tmp_path / "plain.yaml").write_text(CONFIG.replace("true", "false"))
    (tmp_path / "bpe_openai.py").write_text("raise SystemExit('imported')")
    environ = {"PYTHONPATH": str(tmp_path)}

    async with running(tmp_path, "serve", "--config", "plain.yaml", environ=environ) as proxy:
        assert "configured by plain.yaml" in proxy.stderr
