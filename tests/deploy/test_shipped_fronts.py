"""The fronts in ops, with the real programs: what clients reach, and what they can forge."""

import asyncio
import re
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which

import pytest

from tests.deploy.fronts import CLIENT, HIDDEN, PATH, free_port, installed
from tests.support.run import bounded
from tests.support.vendor import always, http, scripted

OPS = Path(__file__).parents[2] / "ops"
FILES = {"nginx": OPS / "compose/nginx.conf", "haproxy": OPS / "haproxy/haproxy.cfg"}
SECONDS = {"s": 1, "m": 60, "h": 3600}
TOTAL_S = 3600  # the default of timeouts.total_s


def config_of(front, folder, upstream):
    """Return a shipped config with this machine's ports, and the ports of clients and operators."""
    clients, operators = free_port(), free_port()
    text = FILES[front].read_text()
    if front == "nginx":
        text = re.sub(r"server proxy-[ab]:4000", f"server 127.0.0.1:{upstream}", text)
        text = text.replace("listen 4000", f"listen 127.0.0.1:{clients}")
        text = text.replace("listen 4001", f"listen 127.0.0.1:{operators}")
        return text.replace("/tmp/", f"{folder}/"), clients, operators
    text = re.sub(r"10\.77\.0\.\d+:4000", f"127.0.0.1:{upstream}", text)
    text = text.replace("bind :80", f"bind 127.0.0.1:{clients}")
    return text.replace("maxconn 8000", "maxconn 100"), clients, None


@asynccontextmanager
async def fronted(front, folder, upstream):
    """Run a shipped front; yield the ports of clients and operators."""
    text, clients, operators = config_of(front, folder, upstream)
    file = folder / "front.conf"
    file.write_text(text)
    command = {
        "nginx": (
            "nginx",
            "-c",
            str(file),
            "-p",
            str(folder),
            "-g",
            "daemon off; master_process off;",
        ),
        "haproxy": ("haproxy", "-db", "-f", str(file)),
    }[front]
    with (folder / "front.log").open("wb") as log:
        program = await asyncio.create_subprocess_exec(
            *command, stdout=log, stderr=log, env={"PATH": PATH}
        )
    try:
        async with asyncio.timeout(30):
            while (await status(clients, "/readyz")) != 200:
                assert program.returncode is None, (folder / "front.log").read_text()
                await asyncio.sleep(0.1)
        yield clients, operators
    finally:
        if program.returncode is None:
            program.terminate()
        await program.wait()


async def status(port, path):
    """Ask as a client that forges its address; return the status, 0 if nothing listens."""
    program = await asyncio.create_subprocess_exec(
        "curl", "-s", "--path-as-is", "--interface", CLIENT, "-H", "x-forwarded-for: 203.0.113.7",
        "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port}{path}",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(program.communicate(), 60)
    return int(said)


@pytest.mark.parametrize("front", installed(FILES))
@pytest.mark.skipif(which("curl") is None, reason="curl is not installed")
@bounded()
async def test_clients_reach_no_operators_path_and_cannot_forge_their_address(tmp_path, front):
    async with (
        scripted(always(http(b"{}"))) as upstream,
        fronted(front, tmp_path, upstream.port) as (clients, operators),
    ):
        for path in HIDDEN:
            assert await status(clients, path) == 404, path
        assert await status(clients, "/v1/models") == 200
        if operators is not None:
            assert await status(operators, "/admin/state") == 200
    asked = {received.line.split()[1]: received for received in upstream.received}
    forwarded = [
        value for name, value in asked["/v1/models"].headers if name.lower() == "x-forwarded-for"
    ]
    assert ",".join(forwarded).replace(" ", "") == f"203.0.113.7,{CLIENT}"


@pytest.mark.parametrize(
    ("front", "pattern"),
    [
        ("nginx", r"proxy_read_timeout (\d+)([smh])"),
        ("haproxy", r"timeout server (\d+)([smh])"),
    ],
)
def test_a_front_waits_longer_than_the_proxy(front, pattern):
    number, unit = re.search(pattern, FILES[front].read_text()).groups()
    assert int(number) * SECONDS[unit] > TOTAL_S
