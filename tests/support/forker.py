"""`llmproxy` in forks of a process that has imported it.

To import it costs a new process one to two seconds of CPU, and a fork nothing. A fork has a folder,
an environment, output files and an exit status of its own, and ends as every Python does.
"""

import asyncio
import atexit
import functools
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_BYTES = 1 << 17  # of one order: arguments and environment
POLL_S = 0.005


class Forker:
    """The process that forks, seen from a test."""

    def __init__(self):
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "tests.support.forker", str(theirs.fileno())),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        atexit.register(self._end)

    async def start(self, arguments, *, cwd, environ, stdout, stderr):
        """Start `llmproxy ARGUMENTS`; `stdout` and `stderr` are file descriptors."""
        order = json.dumps([arguments, str(cwd or ROOT), environ]).encode()
        news, write = os.pipe()
        try:
            socket.send_fds(self._orders, [order], [stdout, stderr, write])
        finally:
            os.close(write)
        # The first one waits until all is imported.
        pid = int(await asyncio.to_thread(os.read, news, 20))
        return Forked(pid, news)

    def _end(self):
        """End the process and all that it has forked."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._orders.close()


class Forked:
    """A process that was forked; used like one of asyncio's."""

    def __init__(self, pid, news):
        self.pid = pid
        self._news = news  # its exit status comes here
        self._status = None
        os.set_blocking(news, False)

    @property
    def returncode(self):
        """Return its exit status; None while it runs."""
        if self._status is None:
            try:
                self._status = int(os.read(self._news, 20))
            except BlockingIOError:
                return None
            os.close(self._news)
        return self._status

    async def wait(self):
        while self.returncode is None:
            await asyncio.sleep(POLL_S)
        return self.returncode

    def send_signal(self, number):
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)


@functools.cache
def forker():
    """Return the forker of this process."""
    return Forker()


def serve(orders):
    """Fork for each order. Returns in the forked processes, with what they are to do."""
    from fastapi import FastAPI

    from llmproxy.batteries.settings import FullSettings
    from llmproxy.composition import import_slow_modules, installed

    installed()  # imports what is installed
    import_slow_modules(FullSettings(database_url="postgresql://nowhere/x"), {})
    FastAPI().get("/")(lambda name: None)  # a first parameter imports 0.1 s of Pydantic
    gc.collect()
    gc.freeze()  # pages that the collector does not write to stay shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the parents
    while True:
        order, received, *_ = socket.recv_fds(orders, MAX_BYTES, 3)
        if not order:
            sys.exit()
        if os.fork() == 0:
            orders.close()
            return _fork_from_a_parent(*json.loads(order), *received)
        for descriptor in received:
            os.close(descriptor)


def _fork_from_a_parent(arguments, cwd, environ, stdout, stderr, news):
    """Return the arguments, in a fork. This process tells its id and, at the end, its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        os.close(stdout)
        os.close(stderr)
        os.write(news, b"%d" % pid)
        _, status = os.waitpid(pid, 0)
        os.write(news, b"%d" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for descriptor in (stdout, stderr, news):
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    tempfile.tempdir = None  # it depends on the environment
    return arguments


if __name__ == "__main__":
    from llmproxy.cli import main

    sys.exit(main(serve(socket.socket(fileno=int(sys.argv[1])))))
