"""Parameters per endpoint: what a call's JSON body gets, loses or has renamed for one endpoint.

The only module of this package that others import. Without it, every endpoint gets the client's
parameters as they are. See docs/decisions/045.
"""

from __future__ import annotations

from msgspec.structs import replace

from llmproxy.batteries.parameters.edit import Edit, edit_of
from llmproxy.batteries.parameters.members import read_members
from llmproxy.batteries.parameters.mixed import mixed_groups
from llmproxy.config import Config
from llmproxy.providers.base import Endpoint, Endpoints

__all__ = ["Edit", "mixed_groups", "read_members", "with_edits"]


def with_edits(config: Config, endpoints: Endpoints) -> Endpoints:
    """Return the endpoints of a config with the edits that their entries ask for."""
    edited: dict[str, tuple[Endpoint, ...]] = {}
    for group in config.model_groups:
        pairs = zip(group.models, endpoints[group.model_group], strict=True)
        edited[group.model_group] = tuple(
            replace(endpoint, edit=edit_of(entry, endpoint))
            if entry.changes_parameters
            else endpoint
            for entry, endpoint in pairs
        )
    return edited
