"""Commands of `llmproxy` in forks of a process that has imported it.

To import it costs a new process up to a second of CPU, and a fork nothing. A fork has a folder, an
environment, output files and an exit status of its own, like every process.
"""

import asyncio
import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Forker:
    """The process that forks, seen from a test. It runs one command at a time."""

    def __init__(self):
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            (sys.executable, "-m", "tests.support.forker"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.end)

    async def run(self, arguments, cwd, environ, within_s):
        """Run a command; return its exit status, its output and its errors."""
        with tempfile.TemporaryDirectory() as folder:
            files = [f"{folder}/stdout", f"{folder}/stderr"]
            asked = json.dumps([arguments, str(cwd or ROOT), environ, *files]).encode()
            try:
                async with asyncio.timeout(within_s):
                    status = await asyncio.to_thread(self._status, asked)
            except TimeoutError:
                self.end()
                raise
            return status, *(_text(file) for file in files)

    def _status(self, asked):
        with self._turn:
            self._process.stdin.write(asked + b"\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def end(self):
        """End the process and the command that it runs."""
        forker.cache_clear()
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def _text(file):
    return Path(file).read_text()


@functools.cache
def forker():
    """Return the forker of this process."""
    return Forker()


def serve():
    """Read commands from stdin, one a line; write the exit status of each."""
    from llmproxy.cli import main
    from llmproxy.composition import installed

    installed()  # imports what is installed
    while line := sys.stdin.readline():
        child = os.fork()
        if child == 0:
            os._exit(_run(main, *json.loads(line)))
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(main, arguments, cwd, environ, *output):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in enumerate(output, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    try:
        return main(arguments)
    except SystemExit as end:  # argparse's
        return end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    serve()
