"""The core serves calls with nothing else of the package on the path."""

import asyncio
import json
import os
import shutil
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import llmproxy
from llmproxy.batteries.settings import FullConfig, full
from llmproxy.config import Config, GeneralSettings
from llmproxy.errors import ConfigError
from llmproxy.serving import Batteries, open_app
from tests.support.client import CHAT, STREAM, ask, question
from tests.support.forms import FORM, FORM_MODEL
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.vendor import (
    DONE,
    LAST_CHUNK,
    always,
    chat,
    chunk,
    delta,
    error_body,
    http,
    scripted,
    sse_head,
)

PACKAGE = Path(llmproxy.__file__).parent
BATTERIES = ("asgi", "batteries", "tools", "workers")
# They put the parts together; a program that embeds the core does that itself.
COMPOSITION = (
    *("__main__.py", "cli.py", "composition", "interpreter.py", "process.py", "sockets.py"),
)

COLLECTOR = "http://127.0.0.1:4318"
TEAM = {"name": "team-a", "key": "sk-0123456789abcdef"}

SERVE = """
import json, socket, sys
from pathlib import Path
import uvloop
import llmproxy
from llmproxy.config import Config
from llmproxy.serving import Batteries, serve_on

assert Path(llmproxy.__file__).parent.parent == Path(sys.argv[1]), llmproxy.__file__
config = Config.model_validate(json.loads(sys.argv[2]))
unwanted = {"redis", "fastapi", "prometheus_client", "opentelemetry", "yaml"} & set(sys.modules)
assert not unwanted, unwanted
listening = socket.create_server(("127.0.0.1", 0))
listening.setblocking(False)
say = lambda: print(listening.getsockname()[1], file=sys.stderr, flush=True)
uvloop.run(serve_on([listening], config, {}, Batteries(), on_started=say))
"""


async def start_core(folder, config):
    """Copy the core to a folder, and start a process that serves a config with it."""
    left_out = shutil.ignore_patterns("__pycache__")
    for part in PACKAGE.iterdir():
        if part.name in (*BATTERIES, *COMPOSITION, "__pycache__"):
            continue
        if part.is_dir():
            shutil.copytree(part, folder / "llmproxy" / part.name, ignore=left_out)
        else:
            (folder / "llmproxy").mkdir(exist_ok=True)
            shutil.copy(part, folder / "llmproxy")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE, str(folder), json.dumps(config)),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)},
        stderr=asyncio.subprocess.PIPE,
    )


async def port_of(process):
    """Return the port of a process that has started."""
    port = (await process.stderr.readline()).decode().strip()
    assert port.isdecimal(), port + (await process.stderr.read()).decode()
    return int(port)


@asynccontextmanager
async def core_alone(folder, config):
    """Serve a config with the core alone, and yield the port."""
    process = await start_core(folder, config)
    try:
        yield await port_of(process)
    finally:
        if process.returncode is None:
            process.terminate()
        status = await process.wait()
    assert status == 0


@bounded()
async def test_without_the_reload_battery_a_hangup_ends_the_process(tmp_path):
    process = await start_core(tmp_path, config_for("http://127.0.0.1:1/v1"))
    await port_of(process)
    process.send_signal(signal.SIGHUP)
    assert await process.wait() == -signal.SIGHUP


@bounded()
async def test_the_core_alone_answers_whole_and_streamed(tmp_path):
    stream = b"".join(map(chunk, [delta(role="assistant"), delta("hello"), DONE]))

    def answer(received, _number):
        if b"too long" in received.body:
            return [http(quoting, status=400)]
        return [sse_head() + stream + LAST_CHUNK] if b'"stream"' in received.body else [whole]

    whole, quoting = http(chat("good")), error_body("x", message="not with sk-upstream")
    async with scripted(answer) as vendor:
        async with core_alone(tmp_path, config_for(vendor.base_url)) as port:
            assert (await ask(port, body=CHAT)).json == chat("good")
            streamed = await ask(port, body=STREAM)
            assert b"hello" in streamed.body
            assert b"[DONE]" in streamed.body
            form = await ask(port, "/v1/audio/transcriptions", body=FORM_MODEL, headers=FORM)
            assert (form.status, form.error["code"]) == (415, "uploads_not_installed")
            assert "install the whole of llmproxy" in form.error["message"]
            refused = await ask(port, body=question("too long"))
            assert (refused.status, refused.json) == (400, quoting)
            alive = await ask(port, "/livez", method="GET")
            assert (alive.status, alive.json) == (200, {"status": "alive"})
            for header in (("origin", "http://127.0.0.1"), ("sec-fetch-site", "none")):
                refused = await ask(port, body=CHAT, headers=[header])
                assert (refused.status, refused.error["code"]) == (403, "origin_not_allowed")
            for path in ("/", "/metrics", "/admin/state", "/dashboard"):
                assert (await ask(port, path, method="GET")).status == 404


@bounded()
async def test_the_core_alone_sends_no_heartbeat_and_a_late_refusal_whole(tmp_path):
    refusal = http(error_body("x", message="x" * 300_000), status=400)
    async with scripted(always(refusal[:1_000], 0.3, refusal[1_000:])) as vendor:
        config = config_for(vendor.base_url, queue={"heartbeat_s": 0.1})
        async with core_alone(tmp_path, config) as port:
            refused = await ask(port, body=STREAM)
            assert refused.status == 400
            assert len(refused.error["message"]) == 300_000


@bounded()
async def test_the_core_alone_counts_the_output_bound_of_a_call_and_then_its_usage(tmp_path):
    config = config_for("-")
    entry = config["model_groups"][0]["models"][0]
    entry["limits"] = {"tpm": 50}
    config["general_settings"]["queue"] = {"max_wait_s": 0}
    question = {"model": "gpt-4.1", "messages": [], "max_tokens": 45}
    async with scripted(always(http(chat("good")))) as vendor:
        entry["params"]["base_url"] = vendor.base_url
        async with core_alone(tmp_path, config) as port:
            statuses = [(await ask(port, body=question)).status for _ in range(3)]
            assert statuses == [200, 200, 429], "each of 5 tokens, and 45 in advance"


@pytest.mark.parametrize(
    ("settings", "key", "package"),
    [
        ({"callers": [TEAM]}, "callers", "llmproxy.batteries.callers"),
        ({"cache": True}, "cache", "llmproxy.batteries.cache"),
        ({"redis_url": "redis://127.0.0.1:1"}, "redis_*", "llmproxy.batteries.shared_state"),
        (
            {"tracing": {"endpoint": "http://127.0.0.1:4318"}},
            "tracing",
            "llmproxy.batteries.telemetry",
        ),
        ({"hedge_after_s": 3}, "hedge_after_s", "llmproxy.batteries.hedging"),
        ({"max_queued": 7}, "max_in_flight", "llmproxy.batteries.admission"),
        ({"strategy": "cheapest"}, "strategy", "llmproxy.batteries.strategies"),
        ({"affinity": "session"}, "affinity", "llmproxy.batteries.affinity"),
        ({"allowed_origins": ["*"]}, "allowed_origins", "llmproxy.batteries.web_pages"),
        ({"allowed_hosts": ["llm.example.com"]}, "allowed_hosts", "llmproxy.batteries.web_pages"),
        ({"admin_key": "sk-0123456789abcdef"}, "admin_key", "llmproxy.batteries.admin"),
        ({"health_check": "/health"}, "health_check", "llmproxy.batteries.health_checks"),
    ],
)
def test_a_config_that_needs_a_missing_battery_is_refused(settings, key, package):
    config = FullConfig.model_validate(config_for("http://127.0.0.1:1/v1", **settings))
    with pytest.raises(ConfigError) as error:
        Batteries().check(config, file="test.yaml")
    (problem,) = error.value.problems
    assert problem.file == "test.yaml"
    assert f"general_settings.{key}" in problem.found
    assert f"`{package}`" in problem.found
    assert f"remove {key}" in problem.remedy


def test_a_config_of_the_core_alone_has_the_defaults_of_batteries():
    given = GeneralSettings(bind_port=4321, num_retries=7)
    settings = full(given)
    assert (settings.bind_port, settings.num_retries) == (4321, 7)
    assert settings.callers == ()
    assert settings.model_fields_set == {"bind_port", "num_retries"}
    assert full(settings) is settings


def test_an_endpoints_own_health_check_needs_the_battery_too():
    config = config_for({"params": {"api_key": "sk-upstream"}, "health_check": "/health"})
    with pytest.raises(ConfigError, match=r"has no `llmproxy\.batteries\.health_checks`"):
        Batteries().check(Config.model_validate(config))


@bounded()
async def test_without_tunnels_the_variable_of_a_proxy_is_refused_not_ignored():
    config = Config.model_validate(config_for("https://127.0.0.1:1/v1"))
    environ = {"HTTPS_PROXY": "http://127.0.0.1:1"}
    with pytest.raises(ConfigError, match=r"has no `llmproxy\.batteries\.tunnel`"):
        async with open_app(config, environ=environ, batteries=Batteries()):
            pass


def test_a_group_with_fallbacks_is_refused_without_them():
    config = config_for("http://127.0.0.1:1/v1")
    (group,) = config["model_groups"]
    spare = {**group, "model_group": "spare"}
    config["model_groups"] = [{**group, "content_filter_fallbacks": ["spare"]}, spare]
    with pytest.raises(ConfigError, match=r"has no `llmproxy\.batteries\.fallbacks`"):
        Batteries().check(Config.model_validate(config))


@pytest.mark.parametrize("where", ["group", "settings", "entry"])
def test_a_config_that_speaks_of_translation_is_refused_without_the_battery(where):
    entry = {"params": {"api_key": "sk-upstream"}}
    group = {"model_group": "m", "models": [entry]}
    config = {"model_groups": [group], "general_settings": {}}
    if where == "entry":
        entry["speaks"] = ["chat"]
    else:
        section = group if where == "group" else config["general_settings"]
        section["on_untranslatable"] = "drop"
    with pytest.raises(ConfigError, match=r"has no `llmproxy\.batteries\.translation`"):
        Batteries().check(Config.model_validate(config))


@pytest.mark.parametrize("key", ["azure_ad_token_provider", "credentials"])
def test_a_config_that_needs_an_identity_is_refused_without_the_battery(key):
    params = {"base_url": "https://r.openai.azure.com/openai/v1/", key: "cli"}
    groups = [{"model_group": "m", "models": [{"params": params}]}]
    config = Config.model_validate({"model_groups": groups})
    with pytest.raises(ConfigError, match=r"has no `llmproxy\.batteries\.credentials`"):
        Batteries().check(config, file="test.yaml")
