"""What the admin application reads beside the live config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import APIRouter

    from llmproxy.batteries.admin.audit import AuditTrail
    from llmproxy.batteries.budgets import Budgets
    from llmproxy.batteries.front import FrontStatus
    from llmproxy.batteries.keys import Keys
    from llmproxy.batteries.oidc import Oidc
    from llmproxy.batteries.reload import Reloader
    from llmproxy.batteries.store import Store
    from llmproxy.runtime import LiveConfig


@dataclass(frozen=True)
class Sources:
    """None = not installed, or not configured.

    `audit` takes note of who does what. `reloader` reads the config again, `keys` are those made at
    run time, `store` has the calls and what was spent, `budgets` bound it, and `oidc` knows the
    issuer where operators sign in. `habits` makes the routes of another gateway's paths. `front`
    returns how connections are accepted.
    """

    audit: AuditTrail | None = None
    reloader: Reloader | None = None
    keys: Keys | None = None
    store: Store | None = None
    budgets: Budgets | None = None
    oidc: Oidc | None = None
    habits: Callable[[LiveConfig, Sources], APIRouter] | None = None
    front: Callable[[], FrontStatus] | None = None
