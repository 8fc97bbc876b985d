"""Real processes for the tests: llama.cpp servers, and the proxy in front of them.

Every process is started here and ended here, by its own id; what it says goes to a file.
"""

import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import yaml

LLAMA = Path(__file__).with_name("llama.py")
LLMPROXY = Path(sys.executable).with_name("llmproxy")
GROUP = "smollm2"
READY_WITHIN_S = 30


class LlamaServer:
    """A llama.cpp server on a port that stays its own when it is killed and started again."""

    def __init__(self, name, folder):
        self.name = name
        self.port = free_port()
        self._says = folder / f"{name}.log"
        self._process = None

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self):
        """Start it and wait until it answers."""
        with self._says.open("ab") as says:
            self._process = subprocess.Popen(
                [sys.executable, str(LLAMA), str(self.port)],
                stdin=subprocess.PIPE,  # it ends when this does
                stdout=says,
                stderr=says,
            )
        wait_until_ready(f"http://127.0.0.1:{self.port}/health", self._process, self._says)

    def kill(self):
        """SIGKILL: no farewell, connections are reset by the kernel."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()

    def stop(self):
        """End it, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self.kill()


@contextmanager
def llama_servers(folder, *names):
    """Running servers, one for each name."""
    servers = [LlamaServer(name, folder) for name in names]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.stop()


@contextmanager
def proxy_in_front_of(servers, folder):
    """A running `llmproxy serve` whose one group has the servers as endpoints; yields its URL."""
    port = free_port()
    config = folder / "llmproxy.yaml"
    config.write_text(yaml.safe_dump(config_for(servers), sort_keys=False))
    says, calls = folder / "llmproxy.log", folder / "calls.jsonl"
    with says.open("ab") as stderr, calls.open("ab") as stdout:
        process = subprocess.Popen(
            [str(LLMPROXY), "serve", "--config", str(config), "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/readyz", process, says)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def config_for(servers):
    """One group, its endpoints of equal weight; short times, so that a test can watch them pass."""
    return {
        "model_groups": [
            {
                "model_group": GROUP,
                "models": [
                    {
                        "name": server.name,
                        "model": "SmolLM2-135M-Instruct",
                        "provider": "llamacpp",
                        "params": {"base_url": server.base_url, "api_key": "none"},
                    }
                    for server in servers
                ],
            }
        ],
        "general_settings": {
            "cooldown_time": 1,
            "drain_delay_s": 0,
            "drain_timeout_s": 2,
            "log_format": "json",
        },
    }


def wait_until_ready(url, process, says):
    """Wait for a 200. Fails with what the process said when it ends or takes too long."""
    give_up_at = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    process.kill()
    said = says.read_text(errors="replace")[-2000:]
    raise AssertionError(
        f"{url} was not ready within {READY_WITHIN_S} s; the process said:\n{said}"
    )


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]
