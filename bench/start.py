"""How long LLMProxy takes to start: the help, and from the command to the first answer.

Prints medians of seconds on the clock and of CPU seconds (user and system), which depend less on
what else the machine does. Several environments are measured alternately:

    python bench/start.py [--rounds N] [BIN_FOLDER ...]      # default: this environment's
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

CONFIG = """\
model_groups:
  - model_group: m
    models:
      - params: {{base_url: "http://127.0.0.1:{port}/v1", api_key: none}}
general_settings:
  database_url: {database}
"""
ANSWER = b'{"id": "a", "object": "chat.completion", "model": "m", "choices": []}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
CALL = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
LONGEST_START_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "bins",
        nargs="*",
        type=lambda text: Path(text).absolute(),
        default=[Path(sys.executable).parent],
    )
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    # Many images set it, and then every start would compile every file again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    vendor = start_vendor()
    with tempfile.TemporaryDirectory() as folder:
        cases: dict[str, Callable[[Path], tuple[float, float]]] = {
            "llmproxy --help": help_of,
            "serve, no store": lambda program: served(program, Path(folder), vendor, store=False),
            "serve, new store": lambda program: served(program, Path(folder), vendor, store=True),
        }
        for name, measure in cases.items():
            # The first start of each compiles Python's files, and is not counted.
            rounds = [
                [measure(folder / "llmproxy") for folder in options.bins]
                for _ in range(options.rounds + 1)
            ][1:]
            for number, folder_of_program in enumerate(options.bins):
                clock, cpu = zip(*(measured[number] for measured in rounds), strict=True)
                print(
                    f"{name:18} {folder_of_program}: {statistics.median(clock):.3f} s, "
                    f"CPU {statistics.median(cpu):.3f} s (least {min(cpu):.3f})"
                )


def start_vendor() -> int:
    """Answer calls in a thread; return the port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(HEAD % len(ANSWER) + ANSWER)

    threading.Thread(target=serve, daemon=True).start()
    port: int = listening.getsockname()[1]
    return port


def help_of(program: Path) -> tuple[float, float]:
    """Return the seconds and the CPU seconds of the help."""
    before, started = os.times(), time.monotonic()
    subprocess.run([program, "--help"], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    return time.monotonic() - started, cpu


def served(program: Path, folder: Path, vendor: int, *, store: bool) -> tuple[float, float]:
    """Return the seconds and the CPU seconds from the command to the first answer."""
    database = folder / "store.sqlite"
    for file in folder.glob("store.sqlite*"):
        file.unlink()
    config = folder / "llmproxy.yaml"
    config.write_text(CONFIG.format(port=vendor, database=database if store else '"off"'))
    port = free_port()
    started = time.monotonic()
    command = [program, "serve", "--config", config, "--port", str(port)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
    )
    try:
        first_answer(port, process)
        return time.monotonic() - started, cpu_of(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def first_answer(port: int, process: subprocess.Popen[bytes]) -> None:
    """Call until there is an answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", CALL, {"content-type": "application/json"}
    )
    deadline = time.monotonic() + LONGEST_START_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 200
                return
        except urllib.error.URLError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process, all of its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks: int = os.sysconf("SC_CLK_TCK")
    return (int(fields[11]) + int(fields[12])) / ticks


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
