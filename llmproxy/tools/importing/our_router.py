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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from llmproxy.tools.importing.gateway import Gateway
from llmproxy.tools.importing.routing_upstream import RoutingUpstream
from llmproxy.tools.importing.scenario import (
    TIMEOUT_S,
    Scenario,
    Setup,
)
from llmproxy.tools.importing.writing import written

STARTS_WITHIN_S = 60
# What decides where a call goes; all else of a config is replaced.
_KEPT = ("num_retries", "strategy")
_ALONE = {
    **{"hedge": "off", "health_check": "off", "affinity": "off", "database_url": "off"},
    **{"state_file": "off", "access_log": False, "reload_on_change": False},
}
_NO_COOLDOWN = {"allowed_fails": 1_000_000, "cooldown_time": 0}
_AT_ONCE = 20  # calls of a scenario
_SCENARIOS_AT_ONCE = 6


def asked_of_us(
    upstream: RoutingUpstream, gateway: Gateway, scenarios: Sequence[Scenario]
) -> list[Counter[str]]:
    """Return who answered the calls of each scenario.

    Scenarios without failures come first, call by call, so that shares are exact. The others run at
    once, as most of their time is spent waiting for a retry.
    """
    with _proxy(_simulated(gateway, upstream.url, Setup.PLAIN)) as plain:

        def asked(numbered: tuple[int, Scenario]) -> Counter[str]:
            number, scenario = numbered
            if scenario.setup is Setup.PLAIN:
                return _asked(plain, scenario, number)
            with _proxy(_simulated(gateway, upstream.url, scenario.setup)) as port:
                return _asked(port, scenario, number)

        numbered = list(enumerate(scenarios))
        answers = {pair[0]: asked(pair) for pair in numbered if not pair[1].states}
        failing = [pair for pair in numbered if pair[1].states]
        with ThreadPoolExecutor(_SCENARIOS_AT_ONCE) as threads:
            found = threads.map(asked, failing)
            answers |= {number: counts for (number, _), counts in zip(failing, found, strict=True)}
    return [answers[number] for number, _ in numbered]


def _asked(port: int, scenario: Scenario, number: int) -> Counter[str]:
    with ThreadPoolExecutor(_AT_ONCE if scenario.states else 1) as threads:
        warm_up = partial(_answered, port, message=f"warm-up {number}")
        list(threads.map(warm_up, [scenario.model] * scenario.warm_up_calls))
        answered = partial(_answered, port, message=f"scenario {number}")
        return Counter(threads.map(answered, [scenario.model] * scenario.calls))


def _simulated(gateway: Gateway, upstream: str, setup: Setup) -> Gateway:
    """Return the gateway with simulated deployments, and only what decides where a call goes."""
    simulated = copy.deepcopy(gateway)
    kept = (*_KEPT, "allowed_fails") if setup is Setup.COOLDOWN else _KEPT
    settings = {key: value for key, value in gateway.settings.items() if key in kept}
    simulated.settings = {**settings, **_ALONE}
    if setup is not Setup.COOLDOWN:
        simulated.settings |= _NO_COOLDOWN
    if setup is Setup.TIMEOUT and "timeouts" in gateway.settings:
        simulated.settings["timeouts"] = dict.fromkeys(
            ("unary_first_byte_s", "first_byte_s"), TIMEOUT_S
        )
    simulated.comments = {}
    # A wildcard's model that a fallback names has an endpoint of its own, with the same origin.
    starred = {e.origin for e in gateway.endpoints() if "*" in (e.model or "*")}
    for group in simulated.groups.values():
        group.comment = ""
        for endpoint in group.endpoints:
            name = f"d{endpoint.origin}"
            own_timeout = setup is Setup.TIMEOUT and "timeout" in endpoint.params
            endpoint.params = {"base_url": f"{upstream}/{name}/v1", "api_key": "none"}
            if own_timeout:
                endpoint.params["timeout"] = TIMEOUT_S
            if endpoint.origin not in starred:
                endpoint.model = name
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


def _answered(port: int, model: str, message: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        return _answer(connection, model, message)
    finally:
        connection.close()


def _answer(connection: http.client.HTTPConnection, model: str, message: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": message}]}
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
