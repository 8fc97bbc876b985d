"""Serves the newest pair of certificate and key, while connections go on with theirs.

Files are looked at once a second, as the config is, and read at a SIGHUP. A pair that cannot be
used changes nothing: the one before is served, and the log and `/health` say why.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import time

import msgspec

from llmproxy.batteries.background import background
from llmproxy.batteries.file_stamps import stamp_of
from llmproxy.batteries.settings import TlsSettings
from llmproxy.batteries.tls.certificate import Certificate
from llmproxy.batteries.tls.handshake import RenewedContext
from llmproxy.batteries.tls.loading import FilesRefused, context_of, warnings_of

logger = logging.getLogger("llmproxy")

LOOK_S = 1.0
QUIET_S = 0.5  # a pair is two files, which are written one after the other


class TlsStatus(msgspec.Struct, frozen=True):
    """The certificate that is served. Moments are Unix seconds.

    `error`: why the files as they are now are not served; None: they are.
    """

    not_after: float
    names: tuple[str, ...]
    loaded_at: float
    error: str | None = None


class Tls:
    """The certificate of one process. Raises FilesRefused if there is none at the start.

    `handshake_s`: what a handshake may take.
    """

    def __init__(self, settings: TlsSettings, *, handshake_s: float) -> None:
        self.settings = settings
        self.handshake_s = handshake_s
        self.context = RenewedContext(ssl.PROTOCOL_TLS_SERVER)
        self._seen = self._stamps()
        self.context.current, certificate = context_of(settings)
        self.status = _status(certificate)
        self._warn()

    @asynccontextmanager
    async def renewed(self, *, watched: bool) -> AsyncIterator[None]:
        """Load renewed files until the block ends."""
        async with background(*[self._watch] if watched else []):
            yield

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            stamps = await asyncio.to_thread(self._stamps)
            if stamps == self._seen:
                continue
            await asyncio.sleep(QUIET_S)
            if stamps == await asyncio.to_thread(self._stamps):  # else a program is writing
                self.load()

    async def load_again(self) -> None:
        """Load the files if they have changed."""
        if self._stamps() != self._seen:
            self.load()

    def load(self) -> None:
        """Serve the files as they are now to new connections, or keep those before."""
        self._seen = self._stamps()
        try:
            context, certificate = context_of(self.settings)
        except FilesRefused as error:
            self.status = msgspec.structs.replace(self.status, error=str(error))
            logger.error("The certificate is not renewed; the one before is served. %s", error)
            return
        self.context.current, self.status = context, _status(certificate)
        until = self.status.not_after - time()
        logger.warning("A certificate was loaded; it is valid for %.1f days.", until / 86400)
        self._warn()

    def _warn(self) -> None:
        for wrong in warnings_of(self.settings):
            logger.warning("tls.%s: %s %s", *wrong)

    def _stamps(self) -> list[object]:
        return [stamp_of(path) for path in self.settings.files]


def _status(certificate: Certificate) -> TlsStatus:
    return TlsStatus(certificate.not_after, certificate.dns_names, time())
