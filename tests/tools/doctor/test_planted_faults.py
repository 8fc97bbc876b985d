"""`llmproxy doctor` finds each planted fault and says what to do, over real sockets."""

import asyncio
import gzip
import json
from contextlib import AsyncExitStack
from email.utils import formatdate
from time import time

import yaml

from llmproxy.tools.simulator import VendorSettings, serve
from tests.support.certificates import Authority
from tests.support.process import LLMPROXY, command
from tests.support.run import bounded
from tests.support.valkey import free_port, valkey
from tests.tools.doctor.plants import (
    LIMITS,
    answered_well,
    events,
    relay,
    send_stream,
    silent_port,
    vendor,
    whole,
)

KEY = "sk-planted-0123456789abcdef"
WRONG_KEY = "sk-wrong-0123456789abcdef"
PRICE = {"input": 1, "output": 2}


def endpoint(name, port, *, scheme="http", host="127.0.0.1", **more):
    params = {"base_url": f"{scheme}://{host}:{port}/v1", "api_key": more.pop("key", KEY)}
    return {"name": name, "model": "gpt-4.1", "price": PRICE, "params": params, **more}


async def doctor(folder, config, *options, environ=None, program=None):
    file = folder / "llmproxy.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    file.chmod(0o600)
    words = ("doctor", "--json", "--config", str(file), *options)
    environ = {"HOME": str(folder), **(environ or {})}
    if program is None:
        return await command(*words, cwd=folder, environ=environ)
    line = f"{program} && exec {LLMPROXY} {' '.join(words)}"
    return await command("-c", line, cwd=folder, environ=environ, program="/bin/sh")


def codes(said):
    """The codes of a report by subject."""
    found = {}
    for finding in json.loads(said.stdout)["findings"]:
        found.setdefault(finding["subject"], set()).add(finding["code"])
        assert finding["cause"]
        assert finding["remedy"]
    return found


async def broken_stream(writer, request):
    if not request["stream"]:
        writer.write(whole())
        return
    await send_stream(writer, events(3, done=False))
    writer.close()


async def without_end(writer, request):
    if not request["stream"]:
        writer.write(whole())
        return
    await send_stream(writer, events(3, done=False))
    writer.write(b"0\r\n\r\n")


async def slow(writer, request):
    await asyncio.sleep(1.5)
    await answered_well(writer, request)


def answering(content):
    async def answer(writer, request):
        if request["stream"]:
            await answered_well(writer, request)
        else:
            writer.write(content)

    return answer


async def hanging(writer, request):
    await asyncio.sleep(30)


# What is expected of each endpoint; one that is not named has no finding.
EXPECTED = {
    "hanging": {"no_answer"},
    "untrusted": {"certificate_untrusted"},
    "expired": {"certificate_expired"},
    "other-name": {"certificate_of_another_name"},
    "trusted": {"certificate_ends_soon"},
    "no-limits": {"no_limit_headers"},
    "broken-stream": {"stream_broken"},
    "without-end": {"stream_broken"},
    "slow": {"slow_first_byte"},
    "late-clock": {"clock_off"},
    "broken-gzip": {"broken_encoding"},
    "html": {"wrong_dialect"},
    "other-json": {"wrong_dialect"},
    "port-silent": {"port_silent"},
    "no-name": {"name_not_found"},
    "refused": {"port_refused"},
    "no-tls": {"tls_failed"},
    "wrong-key": {"credential_rejected"},
    "wrong-model": {"model_not_found"},
    "collected": {"slow_first_byte", "stream_buffered"},
}
TLS = {"untrusted", "expired", "other-name", "trusted"}


def planted(folder):
    """The servers, by the names of their endpoints; `ca.pem` of the folder is to be trusted."""
    trusted, other = Authority(folder), folder / "other"
    (folder / "ca.pem").write_text(trusted.pem)
    other.mkdir()
    late = {"date": formatdate(time() - 900, usegmt=True)}
    half = gzip.compress(b"{}")[:-9]
    return {
        "healthy": vendor(),
        "hanging": vendor(hanging),
        "untrusted": vendor(tls=Authority(other).server_context("127.0.0.1")),
        "expired": vendor(tls=trusted.server_context("127.0.0.1", expired=True)),
        "other-name": vendor(tls=trusted.server_context("elsewhere.example")),
        "trusted": vendor(tls=trusted.server_context("127.0.0.1")),
        "no-limits": vendor(answering(whole({}))),
        "broken-stream": vendor(broken_stream),
        "without-end": vendor(without_end),
        "slow": vendor(slow),
        "late-clock": vendor(answering(whole(LIMITS | late))),
        "broken-gzip": vendor(answering(whole(LIMITS | {"content-encoding": "gzip"}, body=half))),
        "html": vendor(answering(whole(body=b"<html>Welcome</html>", kind="text/html"))),
        "other-json": vendor(answering(whole(body=b'{"results": []}'))),
        "port-silent": silent_port(),
    }


@bounded()
async def test_each_fault_of_an_endpoint_is_found(tmp_path):
    async with AsyncExitStack() as stack:
        ports = {}
        for name, server in planted(tmp_path).items():
            ports[name] = await stack.enter_async_context(server)
        settings = VendorSettings(keys=frozenset({KEY}), models=("gpt-4.1",))
        simulated = (await stack.enter_async_context(serve(settings))).port
        between = await stack.enter_async_context(relay(ports["slow"], collects=True))
        models = [
            *(
                endpoint(name, port, scheme="https" if name in TLS else "http")
                for name, port in ports.items()
            ),
            endpoint("simulated", simulated),
            endpoint("no-name", 80, host="nowhere.invalid"),
            endpoint("refused", free_port()),
            endpoint("no-tls", ports["healthy"], scheme="https"),
            endpoint("wrong-key", simulated, key=WRONG_KEY),
            endpoint("wrong-model", simulated) | {"model": "gpt-9"},
            endpoint("collected", between),
        ]
        config = {
            "model_groups": [{"model_group": "gpt-4.1", "models": models}],
            "general_settings": {"bind_port": free_port()},  # where no proxy runs
        }
        environ = {"SSL_CERT_FILE": str(tmp_path / "ca.pem")}

        options = ("--live", "--timeout", "6", "--slow", "1")
        said = await doctor(tmp_path, config, *options, environ=environ)

    assert said.status == 2
    assert not any(key in said.stdout + said.stderr for key in (KEY, WRONG_KEY))
    assert "--live sends at most" in said.stderr
    found = {subject.removeprefix("gpt-4.1/"): told for subject, told in codes(said).items()}
    names = {model["name"] for model in models}
    assert {name: found[name] for name in names & found.keys()} == EXPECTED


def expired_certificate(folder):
    """A file with a certificate of ours and its key."""
    Authority(folder).server_context("proxy.example", expired=True)
    (file,) = folder.glob("proxy.example*.pem")
    return str(file)


@bounded()
async def test_each_fault_of_config_machine_and_servers_is_found(tmp_path):
    own = expired_certificate(tmp_path)
    async with (
        valkey(tmp_path, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru") as server,
        relay(server.port, delay_s=0.015) as far,
    ):
        config = {
            "model_groups": [
                {"model_group": "lonely", "models": [endpoint("a", 1)]},
                {
                    "model_group": "spare",
                    "models": [
                        endpoint("b", 2, weight=0),
                        endpoint("c", 1, weight=0, limits={"rpm": 5}),
                        {**endpoint("d", 3), "model": "unpriced", "weight": 0, "price": None},
                    ],
                },
            ],
            "general_settings": {
                "bind_address": "0.0.0.0",
                "cache": True,
                "cooldown_time": 0,
                "num_retries": 0,
                "timeouts": {"total_s": 5, "connect_s": 60},
                "max_in_flight": 5000,
                "tls": {"cert": own, "key": own},
                "redis_url": f"redis://127.0.0.1:{far}/0",
                "database_url": str(tmp_path / "llmproxy.yaml" / "x.sqlite"),
            },
        }
        said = await doctor(tmp_path, config, "--workers", "99", program="ulimit -n 300")

    found = codes(said)
    assert said.status == 2
    assert found["lonely"] == {"one_endpoint"}
    assert found["spare"] == {"all_last_resort"}
    assert found["spare/c"] == {"limits_differ"}
    assert found["spare/d"] == {"no_price"}
    assert found["0.0.0.0:4000"] == {"open_to_all"}
    assert found[own] == {"own_certificate_expired"}
    assert found["cache"] == {"cache_only_deterministic"}
    assert found["general_settings"] == {
        "no_cooldown",
        "no_retries",
        "waits_longer_than_total",
        "slow_connect_timeout",
    }
    assert found["this machine"] == {"few_files", "more_workers_than_cores"}
    assert found[f"redis 127.0.0.1:{far}"] == {"redis_slow", "redis_evicts"}
    assert found[str(tmp_path / "llmproxy.yaml" / "x.sqlite")] == {"database_unusable"}


@bounded()
async def test_what_is_fine_is_told_so_with_status_0(tmp_path):
    groups = [{"model_group": "m", "models": [endpoint("a", 1), endpoint("b", 2)]}]

    settings = {"max_in_flight": 100}

    said = await doctor(tmp_path, {"model_groups": groups, "general_settings": settings})

    report = json.loads(said.stdout)
    severities = {finding["severity"] for finding in report["findings"]}
    assert severities <= {"note"}, report
    assert (said.status, report["status"], report["endpoints"]) == (0, 0, [])


@bounded()
async def test_a_redis_that_is_away_and_a_readable_secret_are_found(tmp_path):
    groups = [{"model_group": "m", "models": [endpoint("a", 1), endpoint("b", 2)]}]
    port = free_port()
    settings = {"redis_url": f"redis://:{KEY}@127.0.0.1:{port}/0"}
    file = tmp_path / "open.yaml"
    file.write_text(yaml.safe_dump({"model_groups": groups, "general_settings": settings}))
    file.chmod(0o644)

    said = await command("doctor", "--config", str(file), cwd=tmp_path, environ={"HOME": "/"})

    assert said.status == 2
    assert f"redis 127.0.0.1:{port}  (redis_unreachable)" in said.stdout
    printed = " ".join(said.stdout.split())  # a long path is on a line of its own
    assert f"{file} (secrets_readable)" in printed
    assert f"-> Run: chmod 600 {file}" in printed
    assert KEY not in said.stdout + said.stderr
