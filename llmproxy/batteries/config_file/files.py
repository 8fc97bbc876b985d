"""Whether the files that a config names could be written, without writing them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from llmproxy.batteries.settings import FullSettings
from llmproxy.errors import Problem


def unwritable_files(settings: FullSettings, file: str) -> Iterator[Problem]:
    """Yield the files of a config that this process could not write; `file`: the config's name."""
    params = settings.cache_params
    for path, key in (
        (
            params.path if settings.cache and params.type == "disk" else None,
            ("cache_params", "path"),
        ),
    ):
        if path is not None and (wrong := _unwritable(Path(path))) is not None:
            found, remedy = wrong
            place = ".".join(("general_settings", *key))
            yield Problem(file, 0, f"{place}: {found}", remedy, ("general_settings", *key))


def _unwritable(path: Path) -> tuple[str, str] | None:
    """Return why a file could not be written, and the remedy; None if nothing is in the way."""
    folder = path.absolute().parent
    if path.is_dir():
        return f"{path} is a directory.", "Name a file in it."
    if not folder.is_dir():
        if folder.exists():
            return f"{folder} is not a directory.", "Name a file in a directory."
        return f"the directory {folder} does not exist.", "Create it, or name another file."
    if not os.access(folder, os.W_OK | os.X_OK):
        return (
            f"this process may not write to the directory {folder}.",
            "Change its owner or mode, or name another file.",
        )
    if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        return (
            f"this process may not read and write {path}.",
            "Change its owner or mode, or name another file.",
        )
    return None
