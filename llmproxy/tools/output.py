"""What a command does when its output cannot be written: end quietly, with the status of its kind.

- A reader that has left, as `head` does: status 141, as for any program that SIGPIPE ends.
- A full disk, a file that cannot be made: one line on stderr, status 1, as coreutils do.
- Characters that the locale lacks: written as \\u escapes, which JSON has as well.
- Streams that were closed before the start: nothing is written, and no socket gets their number.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

INTERRUPTED = 128 + 2
READER_LEFT = 128 + 13
CANNOT_WRITE = 1
ESCAPING = "llmproxy.escaping"  # the name of `_escaped` as a handler of encodings
OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


def with_safe_output(work: Callable[[], int]) -> int:
    """Run a command, and return its status, or the one of an output that failed."""
    _open_closed_streams()
    codecs.register_error(ESCAPING, _escaped)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors=ESCAPING)  # type: ignore[union-attr]
    try:
        status = _status(work)
        # What is written late fails late: here, and not in the interpreter's last moments.
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_what_fails()
        return READER_LEFT
    except OSError as error:
        _drop_what_fails()
        if error.filename is None and error.errno not in OF_WRITING:
            raise
        place = "the output" if error.filename is None else error.filename
        with contextlib.suppress(OSError):
            print(f"llmproxy: {place}: {error.strerror}.", file=sys.stderr)  # noqa: T201
            sys.stderr.flush()
        return CANNOT_WRITE
    except KeyboardInterrupt:
        _drop_what_fails()
        return INTERRUPTED
    return status


def wants_colour(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether colours may be written: to a terminal, unless NO_COLOR is set
    (https://no-color.org) or the terminal is a dumb one."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def _status(work: Callable[[], int]) -> int:
    try:
        return work()
    except SystemExit as end:  # of argparse, after a help or an error
        return end.code if isinstance(end.code, int) else 0


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    units = [lacking[index : index + 2].hex() for index in range(0, len(lacking), 2)]
    return "".join(f"\\u{unit}" for unit in units), error.end


def _open_closed_streams() -> None:
    """Give the standard streams that are closed a place to write to."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest free number is the one that was closed.
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _drop_what_fails() -> None:
    """Turn each output that fails to nowhere: it would fail again when the program ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
