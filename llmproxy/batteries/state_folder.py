"""The folder in which a proxy keeps its files, if the config names no other place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def state_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder that systemd, XDG or the home folder give; None = there is none."""
    # systemd may name several, separated by colons.
    if folder := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(folder)
    if state_home := environ.get("XDG_STATE_HOME"):
        return Path(state_home) / "llmproxy"
    if home := environ.get("HOME"):
        return Path(home) / ".local" / "state" / "llmproxy"
    return None
