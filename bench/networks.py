"""Hosts of their own in network namespaces, whose links can be cut.

Everything runs inside a network, mount and process namespace that `inside()` enters first: the
machine's own network is never touched, and nothing is left when the measurement ends, however it
ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from processes import BenchError

NETWORK = "10.77.0"
HERE = f"{NETWORK}.1"  # the address of the measurement itself
_MARK = "LLMPROXY_BENCH_INSIDE"


def inside() -> None:
    """Start this program again inside namespaces of its own, unless it runs there already.

    Raises BenchError if the namespaces may not be made."""
    if os.environ.get(_MARK):
        return
    if os.geteuid() != 0:
        raise BenchError(
            "Network namespaces need root. Run it with sudo, or in a container with CAP_SYS_ADMIN."
        )
    own = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvpe("unshare", ["unshare", *own, sys.executable, *sys.argv], os.environ | {_MARK: "1"})


class Switch:
    """A bridge to which hosts are connected. This process is a host too, at `HERE`."""

    def __init__(self) -> None:
        Path("/run/netns").mkdir(exist_ok=True)
        _run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")  # the names are ours alone
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "switch", "type", "bridge")
        _run("ip", "address", "add", f"{HERE}/24", "dev", "switch")
        _run("ip", "link", "set", "switch", "up")

    def host(self, name: str, number: int) -> Host:
        """Connect a new host with the address `NETWORK.number`."""
        host = Host(name, f"{NETWORK}.{number}")
        _run("ip", "netns", "add", name)
        pair = ["type", "veth", "peer", "name", "eth0", "netns", name]
        _run("ip", "link", "add", host.port, *pair)
        _run("ip", "link", "set", host.port, "master", "switch", "up")
        for command in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{host.address}/24", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
        ):
            _run("ip", "-n", name, *command)
        return host


class Host:
    """One host: a network namespace with one address."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.port = f"to-{name}"  # the switch's end of its cable

    def command(self, *command: str) -> list[str]:
        """Return a command that runs `command` on this host."""
        return ["ip", "netns", "exec", self.name, *command]

    def cut(self) -> None:
        """Lose every packet to and from this host, without a word to anybody."""
        _run("ip", "link", "set", self.port, "nomaster")

    def connect(self) -> None:
        """Undo `cut`."""
        _run("ip", "link", "set", self.port, "master", "switch")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
