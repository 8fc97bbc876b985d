"""A terminal to watch in: the command runs at a pty of its own, and what it draws is read back."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from tests.support.process import BARE, LLMPROXY

WITHIN_S = 60
ENTER, LEAVE, SHOW_CURSOR, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h", "\x1b[H"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """`written` is all that the command wrote, escapes and all."""

    def __init__(self, *arguments, columns=80, rows=24, environ=None, program=LLMPROXY, cwd=None):
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows, tell=False)
        self.before = termios.tcgetattr(self.slave)
        self.written = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.process = subprocess.Popen(
            [program, *arguments],
            cwd=cwd,
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={**BARE, "TERM": "xterm-256color", "LANG": "C.UTF-8", **(environ or {})},
            start_new_session=True,
            preexec_fn=_as_a_shell_starts_it,  # noqa: PLW1509 - system calls alone are safe there
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            if self.process.poll() is None:
                self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def resize(self, columns, rows, *, tell=True):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        if tell:
            self.process.send_signal(signal.SIGWINCH)

    def press(self, keys):
        os.write(self.master, keys.encode())

    def until(self, text, *, within_s=WITHIN_S):
        """The first whole frame that has `text`, in lines."""
        ends = time.monotonic() + within_s
        while time.monotonic() < ends:
            self._read(0.05)
            for frame in self._frames():
                if any(text in line for line in frame):
                    self.written = self.written[-20_000:]
                    return frame
        raise AssertionError(f"{text!r} was not drawn; at last:\n{self.written[-4_000:]!r}")

    def until_written(self, text, *, within_s=WITHIN_S):
        """Read until the command has written `text`, where it draws no frames."""
        ends = time.monotonic() + within_s
        while text not in self.written:
            assert time.monotonic() < ends, f"{text!r} was not written: {self.written!r}"
            self._read(0.05)

    def ended(self, within_s=WITHIN_S):
        """The exit status, when everything that it wrote was read."""
        ends = time.monotonic() + within_s
        while self.process.poll() is None and time.monotonic() < ends:
            self._read(0.05)
        status = self.process.wait(timeout=1)
        self._read(0.1)
        return status

    def ended_by(self, keys):
        """The exit status after `keys`, pressed again as a person does: Python misses a Ctrl+C that
        comes just before it begins to read a line."""
        ends = time.monotonic() + WITHIN_S
        while self.process.poll() is None and time.monotonic() < ends:
            self.press(keys)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)
        return self.ended()

    def said(self):
        """What stands on the terminal after the alternate screen was left."""
        return ESCAPES.sub("", self.written.rpartition(LEAVE)[2]).strip()

    def restored(self):
        """Whether the terminal is as it was."""
        return termios.tcgetattr(self.slave) == self.before

    def _read(self, wait_s):
        while select.select([self.master], [], [], wait_s)[0]:
            self.written += self.decoder.decode(os.read(self.master, 65536))
            wait_s = 0

    def _frames(self):
        """Every frame but the last, which may not be whole yet."""
        return [
            [line.rstrip() for line in ESCAPES.sub("", part).replace("\r", "").split("\n")]
            for part in self.written.split(HOME)[1:-1]
        ]


def _as_a_shell_starts_it():
    """Make the terminal the one that Ctrl+C comes from, which a background job would ignore."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
