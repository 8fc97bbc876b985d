"""`/admin/reload`: read the config file again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from llmproxy.admin.state import Glance
from llmproxy.errors import ConfigError
from llmproxy.runtime import NoFile

if TYPE_CHECKING:
    from llmproxy.runtime import Live


class Reloaded(BaseModel):
    """The file is served as far as that is possible without a restart. `changes`: in words."""

    reloaded: bool
    changes: list[str]


def reload_routes(live: Live, glance: Glance) -> APIRouter:
    """`/admin/reload`."""
    router = APIRouter()
    live.on_reload.append(glance.forget)

    @router.post("/reload")
    async def reload() -> Reloaded:
        """Take up what the config file says now, in all workers. No call is lost. A file that is
        wrong is refused whole, and the config before it stays."""
        try:
            changes = await live.reload()
        except NoFile:
            raise HTTPException(
                409, "This proxy's config comes from no file: there is nothing to read again."
            ) from None
        except ConfigError as error:
            raise HTTPException(422, str(error)) from error
        finally:
            live.tell_others()
        return Reloaded(reloaded=True, changes=changes)

    return router
