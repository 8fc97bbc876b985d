"""LiteLLM's habits: the paths, headers and request fields that its clients and scripts rely on.

The only module of this package that others import. Without it, the core serves clients by our own
names only, and refuses a config with `litellm_habits`. See docs/reference/litellm-habits.md.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from llmproxy.app.application import Adapt
from llmproxy.batteries.litellm_habits.answers import LitellmClient
from llmproxy.batteries.litellm_habits.paths import CONTROL_PATHS
from llmproxy.batteries.litellm_habits.requests import in_our_words
from llmproxy.batteries.settings import full
from llmproxy.calls import Request
from llmproxy.config import GeneralSettings
from llmproxy.protocols import Client
from llmproxy.record import CallRecord

if TYPE_CHECKING:
    from fastapi import APIRouter

    from llmproxy.batteries.admin.sources import Sources
    from llmproxy.runtime import LiveConfig

__all__ = ["litellm_habits", "litellm_routes"]


def litellm_habits(settings: GeneralSettings) -> tuple[Adapt | None, Collection[bytes]]:
    """Return what adapts calls, and the paths of the operator's; nothing if they are off."""
    config = full(settings)
    if not config.litellm_habits:
        return None, ()
    return partial(_adapted, keyed=config.keys_are_required), CONTROL_PATHS


def litellm_routes(live: LiveConfig, sources: Sources) -> APIRouter:
    """Return the routes of the admin application."""
    from llmproxy.batteries.litellm_habits.routes import all_routes  # noqa: PLC0415 - FastAPI is slow to import

    return all_routes(live, sources)


def _adapted(
    request: Request, client: Client, record: CallRecord, *, keyed: bool
) -> tuple[Request, Client]:
    return in_our_words(request, keyed=keyed), LitellmClient(client, record)
