"""The reload battery: another config is served while calls go on.

It is read again at a SIGHUP, when its file has changed, and at `POST /admin/reload`. Without the
battery, the config of the start is served, and a SIGHUP ends the process.
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
