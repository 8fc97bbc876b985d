"""This Python: how it was compiled, which decides what a call costs.

Imports nothing of the package, so that `tools/choose_python.sh` can run it as a file with any
Python, before anything is installed.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import NamedTuple

OLDEST, NEWEST = (3, 11), (3, 14)  # that LLMProxy supports
# Debian and Ubuntu optimise without configure's options, and only for these processors.
OPTIMISED_BY_DEBIAN = ("x86_64", "aarch64", "i386", "arm-", "powerpc64", "s390x")
MORE_CPU = "10 to 35 %"  # docs/decisions/079-the-interpreter.md


class PythonBuild(NamedTuple):
    """The optimisations that a Python was compiled with."""

    profile_guided: bool  # PGO
    link_time: bool  # LTO

    def in_words(self) -> str:
        """Return the optimisations as people read them."""
        found = [name for name, has in zip(("PGO", "LTO"), self, strict=True) if has]
        return f"built with {' and '.join(found)}" if found else "built without PGO and LTO"


def build_of(variables: Mapping[str, object], schemes: Collection[str]) -> PythonBuild:
    """Return how a Python was compiled, from its own record. Pure.

    `variables`, `schemes`: as `sysconfig` has them. Everybody but Debian passes options to
    configure, which records them. Debian's rules call `make profile-opt` with flags for LTO, and
    delete these flags from the record: configure for gcc never leaves PGO_PROF_USE_FLAG empty.
    """
    options = str(variables.get("CONFIG_ARGS") or "").replace("'", " ").split()
    if "deb_system" in schemes and not str(variables.get("PGO_PROF_USE_FLAG", "?")).strip():
        processor = str(variables.get("MULTIARCH") or "")
        by_debian = processor.startswith(OPTIMISED_BY_DEBIAN)
        return PythonBuild(by_debian, by_debian)
    return PythonBuild(_has(options, "--enable-optimizations"), _has(options, "--with-lto"))


def _has(options: Collection[str], name: str) -> bool:
    values = [option.partition("=")[2] for option in options if option.partition("=")[0] == name]
    return bool(values) and values[-1] != "no"


def this_build() -> PythonBuild:
    """Return how the running Python was compiled."""
    return build_of(sysconfig.get_config_vars(), sysconfig.get_scheme_names())


def note_of(build: PythonBuild) -> str | None:
    """Return what operators should know of a Python that makes calls dearer."""
    if build.profile_guided:
        return None
    version = ".".join(map(str, sys.version_info[:3]))
    return (
        f"NOTE: this Python {version} was built without profile-guided optimisation: a call takes "
        f"{MORE_CPU} more CPU. Make the environment again with a distribution's Python or uv's: "
        "docs/start/install.md says how."
    )


def _print_for_choice() -> int:
    """Print a number that is higher for a better Python, and what it is; return the status."""
    version, build = sys.version_info, this_build()
    if version[:2] < OLDEST:
        return 1
    makes_venvs = find_spec("ensurepip") is not None
    flags = (version[:2] <= NEWEST, makes_venvs, *build)
    rank = "".join("01"[flag] for flag in flags) + f"{version[1]:03}{version[2]:03}"
    words = f"Python {'.'.join(map(str, version[:3]))}, {build.in_words()}"
    lacking = "" if makes_venvs else ", without its venv module"
    print(f"{rank}\t{words}{lacking}")  # noqa: T201 - the script reads it
    return 0


if __name__ == "__main__":
    sys.exit(_print_for_choice())
