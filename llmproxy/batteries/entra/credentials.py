"""Entra ID tokens for Azure endpoints, from azure-identity (the extra `llmproxy[entra]`).

A token is used until five minutes before it expires. One call at a time fetches the next one, in a
thread, because azure-identity's own I/O would block the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import time
from typing import Protocol, cast

from llmproxy.errors import CredentialRejected
from llmproxy.providers.base import Endpoint
from llmproxy.streams import Header

REFRESH_EARLY_S = 300.0


class AccessToken(Protocol):
    """A token as azure-identity returns it. `expires_on` is in Unix seconds."""

    token: str
    expires_on: int


class TokenSource(Protocol):
    """A credential of azure-identity."""

    def get_token(self, *scopes: str) -> AccessToken:
        """Return a token for the scopes; blocks. Raises azure-identity's own exceptions."""


MakeSource = Callable[[str], TokenSource]


def azure_identity(kind: str) -> TokenSource:
    """Return the credential named in the config.

    Raises CredentialRejected if the extra is not installed.
    """
    try:
        from azure import identity  # noqa: PLC0415 - an optional extra, and slow to import
    except ImportError as error:
        raise CredentialRejected(
            "azure_ad_token_provider needs azure-identity: pip install 'llmproxy[entra]'",
            sent=False,
        ) from error
    makers: dict[str, Callable[[], object]] = {
        "default": identity.DefaultAzureCredential,
        "managed_identity": identity.ManagedIdentityCredential,
        "workload_identity": identity.WorkloadIdentityCredential,
        "cli": identity.AzureCliCredential,
    }
    return cast("TokenSource", makers[kind]())


class EntraCredentials:
    """Owns the tokens, one for each source and scope. `close()` it."""

    def __init__(
        self, make_source: MakeSource = azure_identity, wall: Callable[[], float] = time
    ) -> None:
        self._make_source = make_source
        self._wall = wall
        self._sources: dict[str, TokenSource] = {}
        self._tokens: dict[tuple[str, str], AccessToken] = {}
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._thread: ThreadPoolExecutor | None = None

    async def headers(self, endpoint: Endpoint) -> tuple[Header, ...]:
        """Return the header to send now. Raises CredentialRejected if no valid token can be had."""
        key = (endpoint.token_source or "", endpoint.token_scope or "")
        token = self._fresh(key)
        if token is None:
            async with self._locks.setdefault(key, asyncio.Lock()):
                token = self._fresh(key) or await self._fetch(key)
        return ((b"authorization", b"Bearer " + token.token.encode("ascii")),)

    def _fresh(self, key: tuple[str, str]) -> AccessToken | None:
        token = self._tokens.get(key)
        if token is not None and token.expires_on - self._wall() > REFRESH_EARLY_S:
            return token
        return None

    async def _fetch(self, key: tuple[str, str]) -> AccessToken:
        kind, scope = key
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="llmproxy-entra")
        if kind not in self._sources:
            self._sources[kind] = self._make_source(kind)
        loop = asyncio.get_running_loop()
        try:
            token = await loop.run_in_executor(self._thread, self._sources[kind].get_token, scope)
        except CredentialRejected:
            raise
        except Exception as error:
            usable = self._tokens.get(key)
            if usable is not None and usable.expires_on > self._wall():
                return usable  # the old token is still valid; the next call tries again
            why = str(error).splitlines()[0][:200]
            raise CredentialRejected(f"no Entra token: {why}", sent=False) from error
        self._tokens[key] = token
        return token

    def close(self) -> None:
        """End the thread."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
