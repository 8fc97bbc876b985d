"""Reload: serves a new config while calls go on.

The config is read again at a SIGHUP, after a change of its file, and at `POST /admin/reload`.
Without this package, the proxy serves the config of its start, and a SIGHUP ends the process.
"""

from llmproxy.batteries.reload.changes import kept_until_restart
from llmproxy.batteries.reload.reloader import ConfigSource, LoadStatus, Reloader
from llmproxy.batteries.reload.triggers import on_file_change, on_signal_or_file_change

__all__ = [
    "ConfigSource",
    "LoadStatus",
    "Reloader",
    "kept_until_restart",
    "on_file_change",
    "on_signal_or_file_change",
]
