"""The processes below another one, as the kernel sees them."""

import contextlib
from pathlib import Path

ESTABLISHED, LISTENING = "01", "0A"  # as /proc/net/tcp says it


def children_of(pid):
    """The processes that a process has started and that live, in the order of their numbers."""
    return sorted(child for child, (parent, state) in _all() if parent == pid and state != "Z")


def living(pids):
    """Those that have not ended. One that nobody has waited for has ended all the same."""
    states = {pid: state for pid, (_, state) in _all()}
    return [pid for pid in pids if states.get(pid, "Z") != "Z"]


def program_of(pid):
    """The name of its program."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def connections_of(pid, port):
    """How many connections it has accepted on a port."""
    return _sockets_of(pid, port, ESTABLISHED)


def listens(pid, port):
    """Whether it would accept one."""
    return _sockets_of(pid, port, LISTENING) > 0


def _sockets_of(pid, port, state):
    """How many TCP sockets it has open that have this port on our side."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            own.add(str(descriptor.readlink()))
    found = set()  # a table that changes while it is read may have a line twice
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ours = int(fields[1].rpartition(":")[2], 16) == port
        if ours and fields[3] == state and f"socket:[{fields[9]}]" in own:
            found.add(fields[9])
    return len(found)


def _all():
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                # The name, in brackets, may contain anything.
                rest = (folder / "stat").read_text().rpartition(")")[2].split()
                yield int(folder.name), (int(rest[1]), rest[0])
