"""The same calls directly and through a proxy: one that runs, or one that doctor starts."""

import yaml

from llmproxy.tools.simulator import VendorSettings, serve
from tests.support.process import command, running
from tests.support.run import bounded
from tests.tools.doctor.live import (
    BYTE_BY_BYTE,
    CALLER_KEY,
    KEY,
    config_of,
    entry,
    examined,
    worse_than_notes,
)
from tests.tools.doctor.plants import events, relay, send_stream, vendor, whole


async def unhurried(writer, request):
    if not request["stream"]:
        writer.write(whole())
        return
    await send_stream(writer, events(), pause_s=0.05)
    writer.write(b"0\r\n\r\n")


@bounded()
async def test_every_dialect_is_the_same_through_a_proxy_that_is_started_for_it(tmp_path):
    settings = VendorSettings(keys=frozenset({KEY}), compress=True)
    async with serve(settings) as simulator:
        config = config_of(
            entry("chat", simulator.port),
            entry("responses", simulator.port, speaks=["responses"]),
            entry("embeddings", simulator.port, "text-embedding-3-small"),
            entry("chat-again", simulator.port),
        )
        report, said = await examined(tmp_path, config)

    assert worse_than_notes(report) == []
    assert said.status == 0
    assert report["notes"] == [BYTE_BY_BYTE]
    endpoints = {endpoint["endpoint"]: endpoint for endpoint in report["endpoints"]}
    assert endpoints["gpt-4.1/chat"]["stream_first_byte_ms"] > 0
    assert endpoints["gpt-4.1/responses"]["dialect"] == "responses"
    assert endpoints["gpt-4.1/responses"]["stream_first_byte_ms"] > 0
    assert endpoints["gpt-4.1/embeddings"]["stream_first_byte_ms"] is None
    assert endpoints["gpt-4.1/chat-again"]["same_as"] == "gpt-4.1/chat"
    assert "--live sends at most 10 small calls, about 600 tokens in all." in said.stderr


@bounded()
async def test_a_running_proxy_is_called_with_the_key_of_a_caller(tmp_path):
    async with vendor() as first, vendor() as second:
        callers = [{"name": "team", "key": CALLER_KEY}]
        config = config_of(entry("a", first), entry("b", second), callers=callers)
        async with running(tmp_path / "proxy", config=config) as proxy:
            report, _ = await examined(tmp_path, config, "--url", proxy.base)
            calls = await proxy.logged(2)

    assert worse_than_notes(report) == []
    in_form = f"Compared in form with the same calls through the proxy at {proxy.base}: gpt-4.1."
    assert report["notes"] == [BYTE_BY_BYTE, in_form]
    assert {call["caller"] for call in calls} == {"team"}


@bounded()
async def test_what_stands_in_front_of_a_running_proxy_is_found(tmp_path):
    def rewrite(piece):
        return piece.replace(b'"usage"', b'"usagf"').replace(b"x-served-by: v1\r\n", b"")

    async with vendor(unhurried) as first, vendor(unhurried) as second:
        config = config_of(entry("a", first), entry("b", second))
        async with (
            running(tmp_path / "proxy", config=config) as proxy,
            relay(proxy.port, collects=True, rewrite=rewrite) as front,
        ):
            report, said = await examined(tmp_path, config, "--url", f"http://127.0.0.1:{front}")

    found = {code: cause for _, code, cause in worse_than_notes(report)}
    assert found.keys() == {"proxy_changes_answer", "proxy_buffers"}
    assert "answer lacks usage" in found["proxy_changes_answer"]
    assert said.status == 2


@bounded()
async def test_a_caller_that_may_not_use_a_group_is_told_of(tmp_path):
    async with vendor() as first, vendor() as second:
        config = config_of(entry("a", first), entry("b", second))
        callers = [{"name": "team", "key": "sk-another-key-0123456789"}]
        served = config_of(entry("a", first), entry("b", second), callers=callers)
        async with running(tmp_path / "proxy", config=served) as proxy:
            report, _ = await examined(tmp_path, config, "--url", proxy.base)

    codes = {code for _, code, _ in worse_than_notes(report)}
    assert codes == {"proxy_fails"}


@bounded()
async def test_check_live_is_the_short_form(tmp_path):
    settings = VendorSettings(keys=frozenset({KEY}), models=("gpt-4.1",))
    async with serve(settings) as simulator:
        config = config_of(entry("good", simulator.port), entry("wrong", simulator.port, "gpt-9"))
        (tmp_path / "llmproxy.yaml").write_text(yaml.safe_dump(config))

        said = await command("check", "--live", cwd=tmp_path)

    assert said.status == 2
    assert "llmproxy.yaml: ok, 1 model group with 2 endpoints." in said.stdout
    assert "--live sends at most 2 small calls" in said.stderr
    assert "gpt-4.1/wrong  (model_not_found)" in said.stdout
    assert "gpt-4.1/good  (" not in said.stdout
    assert KEY not in said.stdout + said.stderr


@bounded()
async def test_an_endpoint_for_every_model_needs_a_name_to_be_tried(tmp_path):
    async with vendor() as port:
        groups = [{"model_group": "*", "models": [entry("any", port) | {"model": None}]}]
        config = config_of() | {"model_groups": groups}

        unnamed, _ = await examined(tmp_path, config)
        named, _ = await examined(tmp_path, config, "--model", "llama-9")

    assert "no_model" in {finding["code"] for finding in unnamed["findings"]}
    assert named["endpoints"][0]["model"] == "llama-9"
    assert named["endpoints"][0]["first_byte_ms"] > 0
