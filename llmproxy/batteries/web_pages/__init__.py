"""Requests of web pages: which are served, and which pages may read the answers.

The only module of this package that others import. Without it, the core refuses every request of a
browser (docs/decisions/036).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from llmproxy.batteries.addresses import is_loopback
from llmproxy.batteries.settings import full
from llmproxy.batteries.web_pages.origins import OriginPolicy, preflight_headers, reading_origin
from llmproxy.batteries.web_pages.page_client import PageClient
from llmproxy.calls import Headers, Request
from llmproxy.config import GeneralSettings
from llmproxy.protocols import Client

__all__ = ["OriginChecks"]


class OriginChecks:
    """Checks requests by one config's policy. Implements `WebPages`."""

    def __init__(self) -> None:
        self._policy = OriginPolicy()

    def adopt(self, settings: GeneralSettings) -> None:
        """Check requests by these settings from now on."""
        settings = full(settings)
        self._policy = OriginPolicy(
            allowed=frozenset(map(_as_browsers_write, settings.allowed_origins)),
            hosts=frozenset(
                host.lower().removesuffix(".").encode() for host in settings.allowed_hosts
            ),
            keyed=settings.keys_are_required,
            loopback=self._policy.loopback,
        )

    def listens_at(self, addresses: Iterable[str]) -> None:
        """Remember the addresses that the server listens on. Call it before the first request."""
        self._policy = replace(self._policy, loopback=all(map(is_loopback, addresses)))

    def admit(self, request: Request, client: Client) -> tuple[Client, Headers | None]:
        """Return the client to answer through, and the headers of the answer to a preflight.

        Raises ClientError (403) for a request that no page may send.
        """
        origin = reading_origin(request, self._policy)
        if origin is None:
            return client, None
        return PageClient(client, origin), preflight_headers(request)


def _as_browsers_write(origin: str) -> bytes:
    """Return an origin in lower case, without a slash at its end and without a default port."""
    origin = origin.lower()
    default_port = {"http": ":80", "https": ":443"}.get(origin.partition(":")[0], "/")
    return origin.rstrip("/").removesuffix(default_port).encode()
