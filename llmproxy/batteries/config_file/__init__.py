"""Makes a Config from a file, or from the keys in the environment.

It reads YAML with line numbers and references to the environment, reports every problem with its
line and its remedy, and prints a config or the JSON Schema. The core gets a Config and knows no
file.
"""

from llmproxy.batteries.config_file.accidents import refuse_accidents
from llmproxy.batteries.config_file.document import Document, read_document
from llmproxy.batteries.config_file.environment import VENDORS, config_from_environment
from llmproxy.batteries.config_file.excerpts import with_excerpts
from llmproxy.batteries.config_file.file import ConfigFile
from llmproxy.batteries.config_file.hiding import holds_secret
from llmproxy.batteries.config_file.loading import (
    FILE_NAMES,
    default_file,
    load_config,
    located,
    parse_config,
    served_file,
)
from llmproxy.batteries.config_file.showing import json_schema, masked

__all__ = [
    "FILE_NAMES",
    "VENDORS",
    "ConfigFile",
    "Document",
    "config_from_environment",
    "default_file",
    "holds_secret",
    "json_schema",
    "load_config",
    "located",
    "masked",
    "parse_config",
    "read_document",
    "refuse_accidents",
    "served_file",
    "with_excerpts",
]
