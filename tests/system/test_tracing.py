"""Tracing by real processes: failing collectors, workers, and the end of a process."""

import asyncio
import re
import signal
import sys
import threading
import time

from tests.support.client import CHAT, ask
from tests.support.collector import collector
from tests.support.process import command, running
from tests.support.run import bounded
from tests.support.valkey import free_port
from tests.support.vendor import GOOD, always, chat, http, scripted
from tests.support.waiting import until
from tests.system.vendors import group_of
from tests.system.workers import serving

CONFIG = """\
model_groups:
  - model_group: gpt-4.1
    models: [{params: {api_key: k}}]
general_settings:
  bind_port: 0
"""


def traced_by(where, vendor, **settings):
    settings = {"drain_delay_s": 0, "log_format": "json", "tracing": where} | settings
    return {"model_groups": [group_of([vendor], weights=[1])], "general_settings": settings}


def unused_address():
    """Return an address on which no server listens."""
    return {"endpoint": f"http://127.0.0.1:{free_port()}"}


@bounded()
async def test_spans_that_wait_are_sent_after_the_drain(tmp_path):
    async with scripted(always(0.3, http(chat("slow")))) as vendor:
        with collector() as seen:
            async with running(tmp_path, config=traced_by(seen.tracing(), vendor)) as proxy:
                call = asyncio.create_task(ask(proxy.port, body=CHAT))
                while not vendor.received:
                    await asyncio.sleep(0.01)
                proxy.signal(signal.SIGTERM)
                assert (await call).status == 200
                assert await proxy.ended() == 0
            assert [len(call.below) for call in seen.trees()] == [1]
            assert "Trace" not in proxy.stderr


@bounded()
async def test_spans_are_sent_within_seconds_while_the_proxy_runs(tmp_path):
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            async with running(tmp_path, config=traced_by(seen.tracing(), vendor)) as proxy:
                await ask(proxy.port, body=CHAT)
                await until(lambda: len(seen.spans) == 2)


@bounded()
async def test_every_worker_sends_its_own_spans(tmp_path):
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            settings = {"tracing": seen.tracing(service_name="gateway")}
            async with serving(tmp_path, vendor, settings=settings) as proxy:
                replies = await asyncio.gather(*(ask(proxy.port, body=CHAT) for _ in range(40)))
                assert {reply.status for reply in replies} == {200}
                shown = await ask(proxy.port, "/admin/calls", method="GET", host="127.0.0.1")
                assert shown.status == 200
                proxy.signal(signal.SIGTERM)
                assert await proxy.ended() == 0
                assert "Traceback" not in proxy.stderr
            calls = seen.trees()
    assert len(calls) == 40
    assert {len(call.below) for call in calls} == {1}
    assert len({call.trace_id for call in calls}) == 40, "forked workers draw the same ids"
    assert seen.resource["service.name"] == "gateway"


@bounded()
async def test_a_missing_collector_affects_no_call_and_is_logged_once(tmp_path):
    async with scripted(GOOD) as vendor:
        where = unused_address()
        async with running(tmp_path, config=traced_by(where, vendor)) as proxy:
            for _ in range(3):
                began_at = time.monotonic()
                assert (await ask(proxy.port, body=CHAT)).status == 200
                assert time.monotonic() - began_at < 1
                await asyncio.sleep(1.2)
            await until(lambda: "Traces do not reach" in proxy.stderr, within_s=20)
            assert (await ask(proxy.port, body=CHAT)).status == 200
            proxy.signal(signal.SIGTERM)
            stopped_at = time.monotonic()
            assert await proxy.ended(15) == 0
            assert time.monotonic() - stopped_at < 8
            stderr = proxy.stderr
    assert stderr.count("Traces do not reach") == 1
    assert where["endpoint"] in stderr
    assert "refused" in stderr
    assert "Traceback" not in stderr
    assert len(re.findall("WARNING|ERROR", stderr)) == 1


@bounded()
async def test_the_recovery_of_a_collector_is_logged_once(tmp_path):
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            seen.status = 401
            key = {"authorization": "Bearer sk-collector-secret"}
            config = traced_by(seen.tracing(headers=key), vendor)
            async with running(tmp_path, config=config) as proxy:
                await ask(proxy.port, body=CHAT)
                await until(lambda: "Traces do not reach" in proxy.stderr)
                seen.status = 200
                await ask(proxy.port, body=CHAT)
                await until(lambda: "Traces reach" in proxy.stderr)
                await ask(proxy.port, body=CHAT)
                await until(lambda: len(seen.spans) == 4)
                stderr = proxy.stderr
    assert "401" in stderr
    assert "The traces of 1 calls are lost." in stderr
    assert stderr.count("WARNING") == 2
    assert "secret" not in stderr


@bounded()
async def test_a_collector_that_never_answers_delays_neither_calls_nor_the_shutdown(tmp_path):
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            seen.silence = threading.Event()
            async with running(tmp_path, config=traced_by(seen.tracing(), vendor)) as proxy:
                await ask(proxy.port, body=CHAT)
                await until(lambda: seen.requests)
                began_at = time.monotonic()
                assert (await ask(proxy.port, body=CHAT)).status == 200
                assert time.monotonic() - began_at < 1
                proxy.signal(signal.SIGTERM)
                assert await proxy.ended(9) == 0


@bounded()
async def test_lost_traces_are_counted(tmp_path):
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            seen.status = 400
            async with running(tmp_path, config=traced_by(seen.tracing(), vendor)) as proxy:
                await ask(proxy.port, body=CHAT)
                await until(lambda: "Traces do not reach" in proxy.stderr)
                for _ in range(50):
                    shown = await ask(proxy.port, "/metrics", method="GET", host="127.0.0.1")
                    if re.search(rb'calls_lost_total\{log="traces"\} 1(\.0)?\n', shown.body):
                        break
                    await asyncio.sleep(0.1)
                else:
                    raise AssertionError("the lost call was not counted")


@bounded()
async def test_no_package_of_opentelemetry_is_needed(tmp_path):
    for name in ("sdk", "exporter", "proto"):  # FastAPI brings the API
        hidden = tmp_path / "hidden" / "opentelemetry" / name
        hidden.mkdir(parents=True)
        (hidden / "__init__.py").write_text("raise ImportError('not installed')")
    environ = {"PYTHONPATH": str(tmp_path / "hidden")}
    async with scripted(GOOD) as vendor:
        with collector() as seen:
            config = traced_by(seen.tracing(), vendor)
            async with running(tmp_path, config=config, environ=environ) as proxy:
                assert (await ask(proxy.port, body=CHAT)).status == 200
                proxy.signal(signal.SIGTERM)
                assert await proxy.ended() == 0
    assert len(seen.spans) == 2


@bounded()
async def test_without_tracing_nothing_of_it_is_imported(tmp_path):
    program = (
        "import sys\n"
        "from llmproxy.batteries.telemetry.tracing import traced\n"
        "from pathlib import Path\n"
        "from llmproxy.batteries.config_file import load_config\n"
        "import llmproxy.serving\n"
        "with traced(load_config(Path('plain.yaml'), {}), {}) as tracer: print(tracer)\n"
        "parts = 'llmproxy.batteries.telemetry.tracing.'\n"
        "print([name for name in sys.modules if name.startswith(parts)])"
    )
    (tmp_path / "plain.yaml").write_text(CONFIG)
    result = await command("-c", program, cwd=tmp_path, program=sys.executable)
    assert result.stdout == "None\n[]\n"
