"""Install a wheel into empty environments, start the demo in each, and ask it once.

    python tools/dist_check.py [--installer NAME] [--python PYTHON] WHEEL

Default: pip with each supported Python of this machine; pipx, `uv tool` and uvx with this one.
Prints, for each, the seconds of the installation, those from the command to the demo's first
answer, the megabytes of the environment and the number of packages beside LLMProxy. Nothing is
reused: every environment has its own cache, so that the seconds are those of a first time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
CALL = b'{"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello!"}]}'
WITHIN_S = 120.0


@dataclass(frozen=True)
class Installed:
    """A way to start the demo. `environment`: what it takes of the disk."""

    command: list[str]
    environment: Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--installer", choices=INSTALLERS, action="append")
    parser.add_argument("--python", action="append", help="its path")
    options = parser.parse_args()
    wheel = options.wheel.resolve()
    failed = 0
    print("installer  Python   install s  answer s     MB  packages")
    for installer, python in chosen(options.installer, options.python):
        try:
            print(measured(wheel, installer, python), flush=True)
        except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
            failed += 1
            print(f"{installer:9}  {python}: FAILED. {error}", flush=True)
    for version in SUPPORTED if options.python is None else ():
        if found(version) is None:
            print(f"Python {version}: not on this machine, skipped.")
    return 1 if failed else 0


def chosen(installers: list[str] | None, pythons: list[str] | None) -> Iterator[tuple[str, str]]:
    """Yield the pairs of an installer and a Python that are asked for."""
    own = os.path.realpath(sys.executable)
    every = [python for version in SUPPORTED if (python := found(version))]
    for installer in installers or INSTALLERS:
        for python in pythons or (every if installer == "pip" else [own]):
            yield installer, python


def found(version: str) -> str | None:
    """Return the path of a Python that works: on the PATH, else pyenv's."""
    name = f"python{version}"
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"))
    for path in (shutil.which(name), *map(str, pyenv)):
        if (
            path
            and not subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode
        ):
            return os.path.realpath(path)
    return None


def measured(wheel: Path, installer: str, python: str) -> str:
    """Install, ask the demo once, and return a row. Raises if something fails."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        environ = environment_of(home)
        started = time.monotonic()
        installed = INSTALLERS[installer](wheel, home, python, environ)
        took = time.monotonic() - started
        answered = seconds_to_answer(installed.command, home, environ)
        version = output_of([python, "-c", "import platform; print(platform.python_version())"])
        packages = {path.name for path in installed.environment.rglob("*.dist-info")}
        beside = [
            n for n in packages if not n.startswith(("llmproxy_gateway-", "pip-", "setuptools-"))
        ]
        size = size_of(installed.environment) / 1e6
        return (
            f"{installer:9}  {version.strip():7}  {took:9.1f}  {answered:8.2f}  {size:5.0f}"
            f"  {len(beside):8}"
        )


def environment_of(home: Path) -> dict[str, str]:
    """Return the variables of a user who has nothing: no cache, no tool, no config, no key."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_API_KEY") and name not in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    }
    return kept | {
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "PIP_NO_CACHE_DIR": "1",
        "PIPX_HOME": str(home / "pipx"),
        "PIPX_BIN_DIR": str(home / "bin"),
        "UV_CACHE_DIR": str(home / "uv"),
        "UV_TOOL_DIR": str(home / "tools"),
        "UV_TOOL_BIN_DIR": str(home / "bin"),
        "UV_PYTHON_DOWNLOADS": "never",
    }


def with_pip(wheel: Path, home: Path, python: str, environ: dict[str, str]) -> Installed:
    place = home / "venv"
    output_of([python, "-m", "venv", str(place)], environ)
    output_of([str(place / "bin/python"), "-m", "pip", "install", "-q", str(wheel)], environ)
    return Installed([str(place / "bin/llmproxy"), "demo"], place)


def with_pipx(wheel: Path, home: Path, python: str, environ: dict[str, str]) -> Installed:
    output_of([tool("pipx"), "install", "--quiet", "--python", python, str(wheel)], environ)
    return Installed([str(home / "bin/llmproxy"), "demo"], home / "pipx/venvs")


def with_uv_tool(wheel: Path, home: Path, python: str, environ: dict[str, str]) -> Installed:
    output_of([tool("uv"), "tool", "install", "-q", "--python", python, str(wheel)], environ)
    return Installed([str(home / "bin/llmproxy"), "demo"], home / "tools")


def with_uvx(wheel: Path, home: Path, python: str, environ: dict[str, str]) -> Installed:
    """Nothing is installed beforehand: the demo's command does it."""
    del environ
    command = [tool("uvx"), "-q", "--python", python, "--from", str(wheel), "llmproxy", "demo"]
    return Installed(command, home / "uv")


INSTALLERS = {"pip": with_pip, "pipx": with_pipx, "uv tool": with_uv_tool, "uvx": with_uvx}


def tool(name: str) -> str:
    """Return a program of this environment."""
    return str(Path(sys.executable).parent / name)


def output_of(command: list[str], environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout


def seconds_to_answer(command: list[str], folder: Path, environ: dict[str, str]) -> float:
    """Start the demo; return the seconds until it has answered a call."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    started = time.monotonic()
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=environ,
            cwd=folder,
            start_new_session=True,  # uvx starts it as a child
        )
    try:
        while not answers(port):
            if process.poll() is not None or time.monotonic() - started > WITHIN_S:
                raise RuntimeError(f"No answer. The demo said:\n{(folder / 'said').read_text()}")
            time.sleep(0.01)
        return time.monotonic() - started
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def answers(port: int) -> bool:
    """Call the demo; return whether it answered, in full."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", CALL, {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:
            return b'"choices"' in answer.read()
    except urllib.error.URLError as error:
        if isinstance(error, urllib.error.HTTPError):
            raise RuntimeError(f"The demo answered {error.code}: {error.read()!r}") from error
        return False


def size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder; a file with several names counts once."""
    files = [path.lstat() for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    return sum({(file.st_dev, file.st_ino): file.st_size for file in files}.values())


if __name__ == "__main__":
    sys.exit(main())
