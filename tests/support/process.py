"""Run `llmproxy` as a process, as an operator would."""

import asyncio
import contextlib
import json
import os
import re
import sys
from asyncio.subprocess import DEVNULL
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import yaml

from tests.support.client import ask
from tests.support.forker import forker

LLMPROXY = str(Path(sys.executable).with_name("llmproxy"))
READY_WITHIN_S = 60
ENDS_WITHIN_S = 30
# The environment without the API keys of the person who runs the tests.
BARE = {
    name: os.environ[name]
    for name in ("PATH", "HOME", "LANG", "XDG_STATE_HOME")
    if name in os.environ
}


@dataclass
class Finished:
    """The result of a command."""

    status: int
    stdout: str
    stderr: str


@dataclass
class Running:
    """A proxy that has announced its address. `folder` holds its config and its output."""

    process: asyncio.subprocess.Process
    folder: Path
    base: str

    @property
    def port(self):
        return int(self.base.rpartition(":")[2])

    @property
    def pid(self):
        return self.process.pid

    @property
    def stdout(self):
        return (self.folder / "stdout").read_text()

    @property
    def stderr(self):
        return (self.folder / "stderr").read_text()

    @property
    def calls(self):
        """The lines of the access log so far, parsed."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    async def written(self, count):
        """Wait until the access log has so many lines; return them."""
        async with asyncio.timeout(READY_WITHIN_S):
            while self.stdout.count("\n") < count:
                await asyncio.sleep(0.02)
        return self.stdout.splitlines()

    async def logged(self, count):
        """The same for its JSON format, parsed."""
        await self.written(count)
        return self.calls

    def signal(self, number):
        self.process.send_signal(number)

    async def ended(self, within_s=ENDS_WITHIN_S):
        """Wait for the process to end; return its exit status."""
        return await asyncio.wait_for(self.process.wait(), within_s)

    def used_s(self):
        """Return how long the process has used a processor."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def settled_kib(self):
        """The same as `resident_kib`, when everything that is loaded after the start is there."""
        assert (await ask(self.port, "/health", method="GET")).status == 200
        return self.resident_kib()

    def resident_kib(self):
        """Return the resident memory of the process."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


@asynccontextmanager
async def running(folder, *arguments, config=None, environ=None, program=None, stdout=None):
    """Run `llmproxy ARGUMENTS` in `folder`. By default it serves a config on a free port.

    `program`: a new process of it, instead of a fork. `stdout`: the descriptor where its output
    goes; by default to a file in the folder.
    """
    folder.mkdir(exist_ok=True)
    if config is not None:
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        (folder / "config.yaml").write_text(text)
        arguments = (*(arguments or ("serve", "--port", "0")), "--config", "config.yaml")
    with (folder / "stdout").open("wb") as file, (folder / "stderr").open("wb") as stderr:
        process = await _start(
            program,
            arguments,
            cwd=folder,
            environ={**BARE, "XDG_STATE_HOME": str(folder / "state"), **(environ or {})},
            stdout=file.fileno() if stdout is None else stdout,
            stderr=stderr.fileno(),
        )
    proxy = Running(process, folder, "")
    try:
        proxy.base = await _announced(proxy)
        yield proxy
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _announced(proxy):
    """Return the address that the proxy announces. Fails with its output."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(READY_WITHIN_S):
            while proxy.process.returncode is None:
                if found := re.search(
                    r"LLMProxy \S+ on (https?://\S+?:\d+|unix:\S+?)[,:].*\n", proxy.stderr
                ):
                    return found[1]
                await asyncio.sleep(0.02)
    raise AssertionError(f"the proxy did not start; its output:\n{proxy.stderr}")


async def command(*arguments, cwd=None, environ=None, program=None):
    """Run a command of `llmproxy`, or of another program; return its result."""
    environ = {**BARE, **(environ or {})}
    with TemporaryFile() as stdout, TemporaryFile() as stderr:
        process = await _start(
            program and (program,),
            arguments,
            cwd=cwd,
            environ=environ,
            stdout=stdout.fileno(),
            stderr=stderr.fileno(),
        )
        try:
            status = await asyncio.wait_for(process.wait(), READY_WITHIN_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        return Finished(status, _text(stdout), _text(stderr))


async def _start(program, arguments, **options):
    """Start `llmproxy`, or another program: a tuple of words."""
    read_at_the_start = any(name.startswith("PYTHON") for name in options["environ"])
    if program is None and not read_at_the_start:
        return await forker().start(arguments, **options)
    environ = options.pop("environ")
    return await asyncio.create_subprocess_exec(
        *(program or (LLMPROXY,)), *arguments, env=environ, stdin=DEVNULL, **options
    )


def _text(file):
    file.seek(0)
    return file.read().decode()
