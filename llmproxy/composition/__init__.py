"""The composition root: connects the installed batteries to the core.

A battery is an optional package, imported only here. If a deployment leaves one out, a config that
uses it is refused (`Batteries.check`).
"""

from llmproxy.composition.batteries import installed
from llmproxy.composition.configs import (
    CONFIG_VARIABLE,
    DEFAULT_CONFIG,
    config_file,
    config_to_serve,
    reloader_of,
    start_token,
)

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_CONFIG",
    "config_file",
    "config_to_serve",
    "installed",
    "reloader_of",
    "start_token",
]
