"""The unit of systemd: it can be loaded, it is tight, and the proxy runs in it."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from llmproxy.config import GeneralSettings
from llmproxy.tools.simulator.settings import VendorSettings
from llmproxy.tools.simulator.vendor import serve
from tests.deploy.units import directives
from tests.support.family import children_of
from tests.support.process import LLMPROXY, command, running
from tests.support.proxy import config_for
from tests.support.run import bounded
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "ops/systemd/llmproxy.service"
SOCKET = UNIT.with_suffix(".socket")
SERVICE = directives(UNIT.read_text(encoding="utf-8"))
INSTALLED = "/opt/llmproxy/bin/llmproxy"
MOST_EXPOSURE = 3.0
SANDBOX = ("-m", "tests.deploy.sandbox", str(UNIT))

analyzes = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def can_sandbox():
    """Whether bubblewrap may make namespaces here; inside some containers it may not."""
    if shutil.which("bwrap") is None or shutil.which("systemd-analyze") is None:
        return False
    probe = ["bwrap", "--ro-bind", "/", "/", "--unshare-user", "--proc", "/proc", "true"]
    return subprocess.run(probe, check=False, capture_output=True).returncode == 0


sandboxes = pytest.mark.skipif(
    not can_sandbox(), reason="needs bubblewrap, namespaces and systemd-analyze"
)


@analyzes
def test_the_unit_is_less_exposed_than_was_promised():
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=100", str(UNIT)],
        check=True,
        capture_output=True,
        text=True,
    )
    found = re.search(r"Overall exposure level for llmproxy.service: ([\d.]+)", result.stdout)
    assert float(found[1]) < MOST_EXPOSURE


@analyzes
def test_systemd_can_load_the_unit_and_its_socket(tmp_path):
    text = UNIT.read_text(encoding="utf-8")
    assert INSTALLED in text
    copies = [tmp_path / UNIT.name, tmp_path / SOCKET.name]
    copies[0].write_text(text.replace(INSTALLED, LLMPROXY), encoding="utf-8")
    shutil.copy(SOCKET, copies[1])
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, copies)],
        check=False,
        capture_output=True,
        text=True,
    )
    ours = [line for line in result.stderr.splitlines() if "llmproxy" in line]
    assert (result.returncode, ours) == (0, [])


@analyzes
def test_a_misspelt_directive_would_be_seen(tmp_path):
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text("utf-8").replace("ProtectHome=", "ProtectHouse="), "utf-8")
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "ProtectHouse" in result.stderr


def test_it_waits_for_a_drain_of_the_default_length_and_no_less():
    settings = GeneralSettings()
    drains_s = settings.drain_delay_s + settings.drain_timeout_s
    assert float(SERVICE["TimeoutStopSec"][0].removesuffix("s")) > drains_s + 10


def test_it_is_started_when_it_accepts_calls_and_ended_when_it_hangs():
    assert SERVICE["Type"] == ["notify"]
    assert float(SERVICE["WatchdogSec"][0].removesuffix("s")) > 10
    assert SERVICE["Restart"] == ["on-failure"]  # what the watchdog ends has failed


def test_a_refused_config_is_not_tried_again_and_again():
    """`llmproxy serve` ends with 2 for a config that it refuses."""
    assert SERVICE["RestartPreventExitStatus"] == ["2"]


def post(url, body):
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=20) as answer:
        return json.load(answer)


def get(url):
    with urlopen(url, timeout=20) as answer:
        return json.load(answer)


def sandboxed(state, *arguments):
    """Return what starts a program in the sandbox: its words, and the variables that they need."""
    state.mkdir(mode=0o700, exist_ok=True)
    return (sys.executable, *SANDBOX, str(state), *arguments), {"PYTHONPATH": str(ROOT)}


@sandboxes
@pytest.mark.parametrize("workers", [1, 2])
@bounded()
async def test_the_proxy_runs_in_the_sandbox_of_the_unit(tmp_path, workers):
    """With its database; with workers, the embedded Valkey is a program of its own."""
    state = tmp_path / "state"
    program, environ = sandboxed(state, LLMPROXY)
    environ["NOTIFY_SOCKET"] = str(state / "notify")
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(environ["NOTIFY_SOCKET"])
    async with serve(VendorSettings(name="vendor")) as vendor:
        config = config_for(vendor.base_url, drain_timeout_s=5)
        (state / "config.yaml").write_text(json.dumps(config))
        serves = ("serve", "--port", "0", "--workers", str(workers), "--config", "config.yaml")
        async with running(tmp_path / "out", *serves, program=program, environ=environ) as proxy:
            assert "READY=1" in told.recv(4096).decode().splitlines()
            call = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hello"}]}
            answer = await asyncio.to_thread(post, f"{proxy.base}/v1/chat/completions", call)
            assert "simulated answer" in answer["choices"][0]["message"]["content"]
            await proxy.written(1)
            health = await asyncio.to_thread(get, f"{proxy.base}/health")
            assert health["database"]["why"] is None
            assert (health["shared"] or {}).get("connected") is (True if workers > 1 else None)
            await until((state / "llmproxy.sqlite").exists)
            # bubblewrap stands between us and the proxy, and passes no signal on.
            for process in children_of(proxy.pid):
                os.kill(process, signal.SIGTERM)
            await proxy.ended()
            assert "Traceback" not in proxy.stderr
    told.close()


REFUSED = """
import ctypes, errno, mmap, os, socket
def tried(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "allowed"
libc = ctypes.CDLL(None, use_errno=True)
def unshared():
    if libc.unshare(0x20000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
both = mmap.PROT_WRITE | mmap.PROT_EXEC
print(tried(lambda: mmap.mmap(-1, 4096, prot=both)))
print(tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)))
print(tried(unshared))
print(tried(lambda: os.chroot("/")))
print(tried(lambda: open("/etc/llmproxy-was-here", "w")))
print(tried(lambda: open("state-was-here", "w")))
print(tried(lambda: socket.socket(socket.AF_INET)))
print(os.getuid())
"""


@sandboxes
@bounded()
async def test_the_sandbox_refuses_what_the_unit_refuses(tmp_path):
    program, environ = sandboxed(tmp_path / "state", sys.executable, "-c", REFUSED)
    found = await command(*program[1:], program=program[0], environ=environ)
    assert found.stdout.split() == [
        *("EPERM", "EAFNOSUPPORT", "EPERM", "EPERM", "EROFS", "allowed", "allowed", "61184")
    ], found.stderr


EXTRAS = "azure.identity asyncpg botocore.session google.auth joserfc.jwt"


@sandboxes
@bounded()
async def test_the_packages_of_the_extras_load_in_the_sandbox(tmp_path):
    """Those that compile code at run time would not: memory is never writable and executable."""
    imports = f"import {', '.join(EXTRAS.split())}, cryptography.hazmat.bindings.openssl.binding"
    program, environ = sandboxed(tmp_path / "state", sys.executable, "-c", imports)
    found = await command(*program[1:], program=program[0], environ=environ)
    assert (found.status, found.stderr) == (0, "")
