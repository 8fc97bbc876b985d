"""The names that a caller may use, for `llmproxy explain` and `llmproxy simulate`."""

from __future__ import annotations

from llmproxy.batteries.callers import ConfiguredCallers
from llmproxy.batteries.settings import full
from llmproxy.config import Config
from llmproxy.routing import Pool


def pool_for(caller: str | None, config: Config, pool: Pool) -> Pool:
    """Return the groups and aliases of a caller; all groups for None.

    Raises LookupError for an unknown caller.
    """
    callers = full(config.general_settings).callers
    names = [known.name for known in callers]
    if caller is not None and caller not in names:
        known = f"There are: {', '.join(names)}." if names else "The config has none."
        raise LookupError(f"There is no caller {caller!r}. {known}")
    settings = config.general_settings
    return ConfiguredCallers().serve(settings, pool, lambda _: None).pool_of(caller)
