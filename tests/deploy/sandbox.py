"""Runs a program in the sandbox that a unit of systemd asks for, as far as it can without systemd:

    python -m tests.deploy.sandbox UNIT STATE_FOLDER PROGRAM [ARGUMENT ...]

Filters of system calls are made with libseccomp from the unit's own directives, and loaded by
bubblewrap, which also makes the file system that the process sees. Not imitated: ProtectProc,
DynamicUser's account, cgroups, RestrictSUIDSGID, RestrictRealtime, LockPersonality, KeyringMode.
"""

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.deploy.units import directives, words

# seccomp.h of libseccomp, and linux/sched.h
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
EQUAL, MASKED_EQUAL = 4, 7
PROT_WRITE, PROT_EXEC, SHM_EXEC = 2, 4, 0o100000
NAMESPACES = {
    "CLONE_NEWTIME": 0x80, "CLONE_NEWNS": 0x20000, "CLONE_NEWCGROUP": 0x2000000,
    "CLONE_NEWUTS": 0x4000000, "CLONE_NEWIPC": 0x8000000, "CLONE_NEWUSER": 0x10000000,
    "CLONE_NEWPID": 0x20000000, "CLONE_NEWNET": 0x40000000,
}  # fmt: skip
FAMILIES = 46  # AF_MAX
UID = 61_184  # the first of those that DynamicUser= hands out


class Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`: what an argument of a system call must be for a rule to apply."""

    _fields_ = [
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    ]


@cache
def libseccomp():
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_rule_add_array.argtypes = [
        *(ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint),
        ctypes.POINTER(Comparison),
    ]
    return library


class Filter:
    """A filter of system calls. `otherwise`: what becomes of a call to which no rule applies."""

    def __init__(self, otherwise):
        self._library = libseccomp()
        self._context = self._library.seccomp_init(otherwise)

    def add(self, action, name, *comparisons):
        """Add a rule; a call that this processor does not have is left out."""
        number = self._library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return
        array = (Comparison * len(comparisons))(*comparisons)
        status = self._library.seccomp_rule_add_array(
            self._context, action, number, len(comparisons), array
        )
        if status != 0:
            raise OSError(-status, f"libseccomp takes no rule for {name}")

    def descriptor(self):
        """Return an inheritable descriptor of the filter as a program for the kernel."""
        file = os.memfd_create("filter", 0)
        self._library.seccomp_export_bpf(self._context, file)
        os.lseek(file, 0, os.SEEK_SET)
        return file


@cache
def calls_of(name):
    """Return the system calls of a set such as `@system-service`, as this systemd knows it."""
    if not name.startswith("@"):
        return frozenset([name])
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True
    ).stdout.splitlines()[1:]
    entries = [line.strip() for line in listed if line.strip() and not line.strip().startswith("#")]
    return frozenset().union(*map(calls_of, entries))


def allowed_calls(values):
    """Return the calls that the lines of SystemCallFilter= leave."""
    allowed = set()
    for value in values:
        named = set().union(*map(calls_of, value.removeprefix("~").split()))
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


def filters(unit):
    """Yield the filters of system calls that a unit asks for, each by itself, as systemd does."""
    denied = ERRNO | getattr(errno, unit["SystemCallErrorNumber"][-1])
    if unit["SystemCallFilter"]:
        of_calls = Filter(denied)
        # execve starts the program itself
        for name in allowed_calls(unit["SystemCallFilter"]) | {"execve"}:
            of_calls.add(ALLOW, name)
        yield of_calls
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        yield of_memory()
    if unit["RestrictAddressFamilies"]:
        kept = {getattr(socket, name) for name in words(unit["RestrictAddressFamilies"])}
        of_families = Filter(ALLOW)
        for family in set(range(FAMILIES)) - kept:
            refused = ERRNO | errno.EAFNOSUPPORT
            of_families.add(refused, "socket", Comparison(0, EQUAL, family))
        yield of_families
    if unit["RestrictNamespaces"] == ["yes"]:
        yield of_namespaces()


def of_memory():
    both = PROT_WRITE | PROT_EXEC
    denied = ERRNO | errno.EPERM
    found = Filter(ALLOW)
    found.add(denied, "mmap", Comparison(2, MASKED_EQUAL, both, both))
    found.add(denied, "mprotect", Comparison(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC))
    found.add(denied, "pkey_mprotect", Comparison(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC))
    found.add(denied, "shmat", Comparison(2, MASKED_EQUAL, SHM_EXEC, SHM_EXEC))
    return found


def of_namespaces():
    found = Filter(ALLOW)
    # Its flags are behind a pointer, which a filter cannot follow; programs then try clone.
    found.add(ERRNO | errno.ENOSYS, "clone3")
    for flag in NAMESPACES.values():
        for name in ("clone", "unshare"):
            found.add(ERRNO | errno.EPERM, name, Comparison(0, MASKED_EQUAL, flag, flag))
    found.add(ERRNO | errno.EPERM, "setns")
    return found


def file_system(unit, state):
    """Return the options of bubblewrap for what a unit lets its process see and change."""
    found = ["--ro-bind", "/", "/"]  # ProtectSystem=strict
    if unit["PrivateDevices"] == ["yes"]:
        found += ["--dev", "/dev"]
    found += ["--proc", "/proc"]
    if unit["ProcSubset"] == ["pid"]:
        for name in ("meminfo", "stat", "cpuinfo", "loadavg", "uptime", "mounts"):
            found += ["--ro-bind", "/dev/null", f"/proc/{name}"] if name != "mounts" else []
        found += ["--tmpfs", "/proc/sys"]
    if unit["ProtectHome"] == ["yes"]:
        found += ["--tmpfs", "/home", "--tmpfs", "/root"]
    if unit["PrivateTmp"] == ["yes"]:
        found += ["--tmpfs", "/tmp", "--tmpfs", "/var/tmp"]
    # The program itself may be in one of these folders, where an installed one would not be.
    for folder in {sys.base_prefix, sys.prefix, str(Path(__file__).parents[2])}:
        found += ["--ro-bind", folder, folder]
    return [*found, "--bind", str(state), str(state), "--chdir", str(state)]


def main(arguments):
    unit_file, state, *program = arguments
    unit = directives(Path(unit_file).read_text(encoding="utf-8"))
    loaded = [str(made.descriptor()) for made in filters(unit)]
    command = [
        *("bwrap", "--die-with-parent", "--unshare-user", "--unshare-ipc", "--unshare-uts"),
        *("--uid", str(UID), "--gid", str(UID), "--cap-drop", "ALL"),
        *file_system(unit, state),
        *(option for number in loaded for option in ("--add-seccomp-fd", number)),
        *("--setenv", "STATE_DIRECTORY", state, "--setenv", "TMPDIR", "/tmp"),
        *("--", *program),
    ]
    # systemd starts a process with no signal blocked
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
