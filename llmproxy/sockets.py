"""Where the proxy listens: a TCP address, a UNIX socket, or sockets that systemd has opened."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from llmproxy.batteries.addresses import UNIX, is_loopback, reachable
from llmproxy.rules.authority import authority
from llmproxy.server import BACKLOG

_FIRST_INHERITED = 3  # sd_listen_fds(3)


class CannotListenError(Exception):
    """The address cannot be listened on. The message names the remedy."""


@contextmanager
def sockets_for(
    host: str, port: int, environ: Mapping[str, str], *, mode: int
) -> Iterator[list[socket.socket]]:
    """Yield the sockets to serve on, which listen: those that systemd passes, else one that is
    bound to the address. The file of a UNIX socket of ours is removed at the end. Raises
    CannotListenError.

    `mode`: of that file.
    """
    if sockets := inherited(environ):
        yield sockets
        return
    listening = bound(host, port, mode=mode)
    try:
        listening.listen(BACKLOG)
        with file_removed(listening):
            yield [listening]
    finally:
        listening.close()


def bound(host: str, port: int, *, mode: int) -> socket.socket:
    """Return a socket that is bound to an address. One of a UNIX socket listens, too, so that
    another proxy finds it alive. Raises CannotListenError with the remedy."""
    try:
        if host.startswith(UNIX):
            listening = _bound_to_file(Path(host.removeprefix(UNIX)), mode)
        else:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
    except OSError as error:
        where = host if host.startswith(UNIX) else authority(host, port)
        why = (error.strerror or str(error)).lower()
        text = f"Cannot listen on {where}: {why}. {_remedy(error, host)}"
        raise CannotListenError(text) from error
    listening.setblocking(False)
    return listening


def _remedy(error: OSError, host: str) -> str:
    if host.startswith(UNIX):
        if error.errno == errno.EADDRINUSE:
            return "Is another proxy running there? Stop it, or choose another path."
        return "Use a path in a folder that exists and that this user may write to."
    if error.errno == errno.EADDRINUSE:
        return "Is another proxy running there? Choose another port with --port."
    if error.errno == errno.EACCES:
        return "Ports below 1024 need a privilege. Choose another port with --port."
    return "Use an address of this machine, for example 127.0.0.1."


def _bound_to_file(path: Path, mode: int) -> socket.socket:
    """Return a listening socket with this file. What a dead process has left there is removed.

    Raises OSError: EADDRINUSE if a process listens there, or if the file is no socket.
    """
    if _is_left_over(path):
        path.unlink()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~mode)  # the file never has more rights than `mode`
    try:
        listening.bind(str(path))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    return listening


def _is_left_over(path: Path) -> bool:
    """Return whether a file is a socket that no process listens on."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
    except FileNotFoundError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:  # its queue is full, or we may not: somebody listens
            return False
    return False


@contextmanager
def file_removed(listening: socket.socket) -> Iterator[None]:
    """Remove the file of a UNIX socket at the end, unless another process has one there by then."""
    path = path_of(listening)
    ours = None if path is None else _identity(path)
    try:
        yield
    finally:
        if path is not None and ours is not None and _identity(path) == ours:
            with contextlib.suppress(OSError):  # the folder is not ours any more
                Path(path).unlink()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = Path(path).lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def inherited(environ: Mapping[str, str]) -> list[socket.socket]:
    """Return the sockets that systemd has opened for this process (sd_listen_fds(3)).

    Raises CannotListenError for one that does not listen.
    """
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    sockets = []
    for number in range(_FIRST_INHERITED, _FIRST_INHERITED + int(count)):
        try:
            found = socket.socket(fileno=number)
            listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError:
            listens = 0
        if not listens:
            raise CannotListenError(
                f"The descriptor {number} that systemd passed is no socket that listens. Use "
                "ListenStream= in the socket unit, without Accept=yes."
            )
        found.setblocking(False)
        found.set_inheritable(False)
        sockets.append(found)
    return sockets


def path_of(listening: socket.socket) -> str | None:
    """Return the path of a UNIX socket; None of another one, or if it has no file."""
    if listening.family != socket.AF_UNIX:
        return None
    name = listening.getsockname()
    return name if isinstance(name, str) and name else None


def hosts_of(sockets: Sequence[socket.socket]) -> list[str]:
    """Return the addresses that sockets listen at, without ports; of a UNIX socket `unix:PATH`."""
    return [
        f"{UNIX}{path_of(listening) or '(no file)'}"
        if listening.family == socket.AF_UNIX
        else listening.getsockname()[0]
        for listening in sockets
    ]


def base_of(sockets: Sequence[socket.socket], *, scheme: str, name: str | None = None) -> str:
    """Return a URL, without a path, by which a client on this machine reaches the first socket that
    has a port; `unix:PATH` if none has. `name`: to use for a socket on every address."""
    for listening in sockets:
        if listening.family != socket.AF_UNIX:
            host, port = listening.getsockname()[:2]
            return f"{scheme}://{authority(reachable(host, name), port)}"
    return hosts_of(sockets)[0]


def is_private(host: str) -> bool:
    """Return whether an address or name to listen on is reachable from this machine only."""
    if host.startswith(UNIX):
        return True
    name = host.lower()
    is_local_name = name.rstrip(".") == "localhost" or name.endswith(".localhost")
    return is_local_name or is_loopback(host.strip("[]"))
