"""The composition root: connects the installed batteries to the core.

A battery is an optional package, imported only here. If a deployment leaves one out, a config that
uses it is refused (`Batteries.check`).
"""

from llmproxy.composition.batteries import installed
from llmproxy.composition.configs import (
    DEFAULT_CONFIG,
    config_file,
    config_to_serve,
    reloader_of,
    start_token,
)
from llmproxy.composition.findings import (
    config_warnings,
    store_warnings,
    tls_warnings,
    translation_notes,
)
from llmproxy.composition.preloading import import_slow_modules

__all__ = [
    "DEFAULT_CONFIG",
    "config_file",
    "config_to_serve",
    "config_warnings",
    "import_slow_modules",
    "installed",
    "reloader_of",
    "start_token",
    "store_warnings",
    "tls_warnings",
    "translation_notes",
]
