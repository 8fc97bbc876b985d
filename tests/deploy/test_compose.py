"""The compose file: valid, complete, and what its parts are told is right."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
import yaml

from llmproxy.batteries.config_file import parse_config
from llmproxy.batteries.settings import full
from llmproxy.config import GeneralSettings
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve
from tests.support.process import running
from tests.support.proxy import config_for
from tests.support.run import bounded

FOLDER = Path(__file__).parents[2] / "ops/compose"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
PROXIES = ("proxy-a", "proxy-b")
EXAMPLE = (FOLDER / "env.example").read_text("utf-8")
PROMTOOL = shutil.which("promtool") or shutil.which(
    "promtool", path=str(Path(sys.executable).parent)
)


def test_it_is_valid_by_the_schema_of_compose_files():
    pytest.importorskip("check_jsonschema", reason="see make test-deploy")
    import jsonschema

    vendored = files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(vendored.read_text("utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert list(validator.iter_errors(COMPOSE)) == []
    wrong = {"services": {"x": {"image": "y", "comand": []}}}
    assert list(validator.iter_errors(wrong))


def test_every_file_that_is_mounted_is_there_and_every_volume_declared():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (FOLDER / source).exists(), (name, source)
            else:
                assert source in COMPOSE["volumes"], (name, source)


def test_every_service_says_whether_it_is_healthy():
    assert all("healthcheck" in SERVICES[name] for name in SERVICES.keys() - set(PROXIES))
    assert "HEALTHCHECK" in Path("Dockerfile").read_text("utf-8")
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            assert needed in SERVICES
            assert how == {"condition": "service_healthy"}


def test_nothing_is_published_to_other_machines():
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", PROXIES)
def test_an_instance_is_confined_and_has_time_to_drain(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    settings = GeneralSettings()
    drains_s = settings.drain_delay_s + settings.drain_timeout_s
    assert int(service["stop_grace_period"].removesuffix("s")) > drains_s + 10


def test_the_instances_differ_in_nothing_but_their_state():
    first, second = (dict(SERVICES[name]) for name in PROXIES)
    assert first.pop("volumes")[1] != second.pop("volumes")[1]
    assert first == second


def test_what_instances_share_is_never_evicted():
    command = " ".join(SERVICES["valkey"]["command"])
    assert "--maxmemory-policy noeviction" in command


def test_every_secret_is_in_the_example_and_none_has_a_value():
    assigned = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.M))
    text = (FOLDER / "compose.yaml").read_text("utf-8")
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    config = (FOLDER / "config/llmproxy.yaml").read_text("utf-8")
    given = set(SERVICES["proxy-a"]["environment"])
    asked |= set(re.findall(r"os\.environ/(\w+)", config)) - given
    assert asked == assigned.keys()
    assert set(assigned.values()) == {""}


def test_the_proxy_takes_the_config():
    environ = {
        **dict.fromkeys(("OPENAI_API_KEY", "LLMPROXY_KEY", "LLMPROXY_ADMIN_KEY"), "made-up-secret"),
        **{"LLMPROXY_ADMIN_KEY": "another-made-up-secret"},
        "REDIS_URL": SERVICES["proxy-a"]["environment"]["REDIS_URL"],
        "DATABASE_URL": "postgresql://llmproxy:secret@postgres/llmproxy",
    }
    text = (FOLDER / "config/llmproxy.yaml").read_text("utf-8")
    settings = full(parse_config(text, environ, file="llmproxy.yaml").general_settings)
    assert settings.admin_key is not None
    assert settings.callers


def test_prometheus_reads_both_instances_and_our_alerts():
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"{name}:4000" for name in PROXIES]
    mounted = {volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]}
    assert set(config["rule_files"]) <= mounted


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed; see make test-deploy")
def test_promtool_takes_the_config_and_the_alerts(tmp_path):
    alerts = FOLDER.parent / "alerts.yaml"
    copy = tmp_path / "prometheus.yml"
    text = (FOLDER / "prometheus.yml").read_text("utf-8")
    copy.write_text(text.replace("/etc/prometheus/alerts.yaml", str(alerts)))
    result = subprocess.run(
        [PROMTOOL, "check", "config", str(copy)], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "rules found" in result.stdout


def test_grafana_shows_our_dashboard_with_the_prometheus_that_is_there():
    source = yaml.safe_load((FOLDER / "grafana/datasource.yaml").read_text("utf-8"))
    (prometheus,) = source["datasources"]
    assert prometheus["type"] == "prometheus"
    host = prometheus["url"].removeprefix("http://").partition(":")[0]
    assert host in SERVICES
    (provider,) = yaml.safe_load((FOLDER / "grafana/dashboards.yaml").read_text("utf-8"))[
        "providers"
    ]
    mounted = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home in mounted
    assert home.startswith(provider["options"]["path"])
    dashboard = json.loads((FOLDER.parent / "grafana.json").read_text("utf-8"))
    (variable,) = [v for v in dashboard["templating"]["list"] if v["name"] == "datasource"]
    assert variable["query"] == prometheus["type"]


@contextmanager
def nginx(folder, ports):
    """Run the nginx of the compose file in front of instances here; yield its address."""
    with (
        socket.create_server(("127.0.0.1", 0)) as free,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port, operators = free.getsockname()[1], other.getsockname()[1]
    text = (FOLDER / "nginx.conf").read_text("utf-8")
    for name, there in zip(PROXIES, ports, strict=True):
        assert f"server {name}:4000" in text
        text = text.replace(f"server {name}:4000", f"server 127.0.0.1:{there}")
    for line, there in (("listen 4000;", port), ("listen 4001;", operators)):
        assert line in text
        text = text.replace(line, f"listen 127.0.0.1:{there};")
    text = text.replace("/tmp/", f"{folder}/")
    file = folder / "nginx.conf"
    file.write_text(text)
    command = ["nginx", "-c", str(file), "-p", str(folder), "-g", "daemon off; master_process off;"]
    process = subprocess.Popen(command)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def chat(base, **more):
    body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello"}], **more}
    request = Request(
        f"{base}/v1/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urlopen(request, timeout=30) as answer:
        return answer.read().decode()


async def eventually_up(base):
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(URLError):
                return await asyncio.to_thread(urlopen, f"{base}/readyz", timeout=5)
            await asyncio.sleep(0.05)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
@bounded()
async def test_nginx_spreads_calls_and_loses_none_when_an_instance_stops(tmp_path):
    async with serve(VendorSettings(name="vendor")) as vendor:
        config = config_for(vendor.base_url, drain_delay_s=0, drain_timeout_s=20)
        with tempfile.TemporaryDirectory() as folder:
            async with (
                running(tmp_path / "a", config=config) as first,
                running(tmp_path / "b", config=config) as second,
            ):
                with nginx(Path(folder), (first.port, second.port)) as base:
                    (await eventually_up(base)).close()
                    for _ in range(6):
                        assert "simulated answer" in await asyncio.to_thread(chat, base)
                    streamed = await asyncio.to_thread(chat, base, stream=True)
                    assert streamed.endswith("data: [DONE]\n\n")
                    for instance in (first, second):
                        await instance.written(2)
                    first.signal(signal.SIGTERM)
                    for _ in range(20):
                        assert "simulated answer" in await asyncio.to_thread(chat, base)
                    assert await first.ended() == 0
                    assert "simulated answer" in await asyncio.to_thread(chat, base)
