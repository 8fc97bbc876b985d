"""What the admin application reads beside the live config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmproxy.batteries.admin.audit import AuditTrail
    from llmproxy.batteries.budgets import Budgets
    from llmproxy.batteries.keys import Keys
    from llmproxy.batteries.reload import Reloader
    from llmproxy.batteries.store import Store
    from llmproxy.batteries.telemetry.call_file import CallFile


@dataclass(frozen=True)
class Sources:
    """None = not installed, or not configured.

    `audit` takes note of who does what. `call_file` holds earlier calls, `reloader` reads the
    config again, `keys` are those made at run time, `store` has what was spent, and `budgets` bound
    it.
    """

    audit: AuditTrail
    call_file: CallFile | None = None
    reloader: Reloader | None = None
    keys: Keys | None = None
    store: Store | None = None
    budgets: Budgets | None = None
