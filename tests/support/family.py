"""Child processes and their sockets, read from /proc."""

import contextlib
from pathlib import Path

ESTABLISHED, LISTENING = "01", "0A"  # the codes of /proc/net/tcp


def children_of(pid):
    """Return the living children of a process, in the order of their ids."""
    return sorted(child for child, (parent, state) in _all() if parent == pid and state != "Z")


def living(pids):
    """Return the processes that have not ended. A zombie has ended."""
    states = {pid: state for pid, (_, state) in _all()}
    return [pid for pid in pids if states.get(pid, "Z") != "Z"]


def program_of(pid):
    """Return the name of a process's program."""
    return Path(f"/proc/{pid}/comm").read_text().strip()


def connections_of(pid, port):
    """Return how many connections a process has accepted on a port."""
    return _sockets_of(pid, port, ESTABLISHED)


def listens(pid, port):
    """Return whether a process listens on a port."""
    return _sockets_of(pid, port, LISTENING) > 0


def _sockets_of(pid, port, state):
    """Return how many TCP sockets a process has open whose local port this is."""
    own = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            own.add(str(descriptor.readlink()))
    found = set()  # the table may repeat a line if it changes while it is read
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
