"""Made-up values of variables that are not set, to check a config as if they were. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from llmproxy.tools.importing.writing import variables

_NUMERIC = re.compile(
    r"(port|_s|rpm|tpm|timeout|db|concurrent|num_retries|in_flight|_fails|_time|ttl)$"
)


class SampleEnviron(dict[str, str]):
    """An environment in which every variable that a config needs is set."""

    def __init__(self, environ: Mapping[str, str], text: str) -> None:
        missing = {name: _sample(name, text) for name in variables(text) if not environ.get(name)}
        super().__init__({**environ, **missing})


def _sample(name: str, text: str) -> str:
    """Return a value that may stand where a variable is used."""
    line = next(
        line for line in text.splitlines() if name in line and not line.lstrip().startswith("#")
    )
    key, _, value = line.partition(":")
    alone = value.strip().strip('"') in (f"os.environ/{name}", f"${{{name}}}")
    if re.search(r"(base_url|azure_endpoint|webhook|url)$", key.strip(" -")) and (
        alone or value.strip(' "').startswith(f"${{{name}}}")
    ):
        return "redis://host" if "redis" in key else "https://host.example"
    if _NUMERIC.search(key.strip(" -")):
        return "1"
    return f"x-{name.lower()}"  # two callers may not have one key
