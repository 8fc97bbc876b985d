"""The composition root: puts the batteries that are installed around the core.

A battery is a package with one door. A deployment may leave out any of them: its config then gets
an error for what it asks of it (`Batteries.check`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from llmproxy.serving import Batteries

if TYPE_CHECKING:
    from llmproxy.admin import WorkerSlot


def installed(
    *, write: Callable[[bytes], object] | None = None, slot: WorkerSlot | None = None
) -> Batteries:
    """Return the batteries of one process. Their state is not shared with another call's.

    `write` gets whole lines of the access log; None = no log. `slot`: where the counters of several
    workers meet; None = there is one process.
    """
    caches = connector = telemetry = open_admin = None
    if _has("cache"):
        from llmproxy.cache import Caches  # noqa: PLC0415 - may not be there

        caches = Caches()
    if _has("shared_state"):
        from llmproxy.shared_state import Connector  # noqa: PLC0415 - may not be there

        connector = Connector()
    if _has("telemetry"):
        from llmproxy.telemetry import Exporters  # noqa: PLC0415 - may not be there

        telemetry = Exporters(write)
    # The admin application shows what these two record.
    if _has("admin") and caches is not None and telemetry is not None:
        from llmproxy.admin import open_admin as opening  # noqa: PLC0415 - may not be there

        open_admin = partial(opening, slot=slot)
    return Batteries(caches, connector, telemetry, open_admin)


def _has(package: str) -> bool:
    return find_spec(f"llmproxy.{package}") is not None
