"""Asks LLMProxy where calls go: a real process, in front of simulated deployments."""

from __future__ import annotations

import copy
import http.client
import json
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from llmproxy.tools.importing.gateway import Gateway
from llmproxy.tools.importing.routing_upstream import RoutingUpstream
from llmproxy.tools.importing.scenario import Scenario
from llmproxy.tools.importing.writing import written

STARTS_WITHIN_S = 60
# What decides where a call goes; all else of a config is replaced.
_KEPT = ("num_retries", "strategy")
_ALONE = {
    **{"allowed_fails": 1_000_000, "cooldown_time": 0, "hedge": "off", "health_check": "off"},
    **{"affinity": "off", "database_url": "off", "state_file": "off", "access_log": False},
    "reload_on_change": False,
}


def asked_of_us(
    upstream: RoutingUpstream, gateway: Gateway, scenarios: Sequence[Scenario]
) -> list[Mapping[str, int]]:
    """Return how many calls each deployment answered, for each scenario."""
    found = []
    with _proxy(_simulated(gateway, upstream.url)) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for scenario in scenarios:
            upstream.failing = frozenset(scenario.failing)
            calls = (_answered(connection, scenario.model) for _ in range(scenario.calls))
            found.append(Counter(calls))
        connection.close()
    return list(found)


def _simulated(gateway: Gateway, upstream: str) -> Gateway:
    """Return the gateway with simulated deployments, and only what decides where a call goes."""
    simulated = copy.deepcopy(gateway)
    settings = {key: value for key, value in gateway.settings.items() if key in _KEPT}
    simulated.settings = {**settings, **_ALONE}
    simulated.comments = {}
    for group in simulated.groups.values():
        group.comment = ""
        for endpoint in group.endpoints:
            base = f"{upstream}/d{endpoint.origin}/v1"
            endpoint.params = {"base_url": base, "api_key": "none"}
            endpoint.extra = {}
            endpoint.comment = ""
    return simulated


@contextmanager
def _proxy(gateway: Gateway) -> Iterator[int]:
    """Serve a gateway until the block ends; its port."""
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        config = Path(folder) / "llmproxy.yaml"
        config.write_text(written(gateway, []), encoding="utf-8")
        command = [sys.executable, "-m", "llmproxy", "serve", "--config", str(config)]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        with (Path(folder) / "log").open("w+b") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - ourselves
            try:
                _wait_for(port, process, Path(folder) / "log")
                yield port
            finally:
                process.kill()
                process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = monotonic() + STARTS_WITHIN_S
    while process.poll() is None and monotonic() < until:
        if _is_alive(port):
            return
        sleep(0.05)
    raise RuntimeError(f"LLMProxy did not start: {log.read_text()[-500:]}")


def _answered(connection: http.client.HTTPConnection, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"content-type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    answer = connection.getresponse()
    read = answer.read()
    if answer.status != 200:
        return f"status {answer.status}"
    return str(json.loads(read)["choices"][0]["message"]["content"])


def _is_alive(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
