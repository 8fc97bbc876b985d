"""TLS sessions with endpoints: a new connection resumes the last one's, for a third less CPU.

A resumed handshake shows no certificate: it proves only that the server is the one that was
verified. So sessions belong to one context and one host name, and a name is verified anew within
the hour. A server that does not resume shows its certificate, which is verified as ever.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

VERIFY_EVERY_S = 3600.0
MAX_NAMES = 1000


@dataclass(slots=True)
class _Known:
    """What is known of a host name.

    `session`: to resume. `latest`: the TLS of the newest connection. `verified_at`: when the last
    handshake without a session began.
    """

    session: ssl.SSLSession | None = None
    latest: ssl.SSLObject | None = None
    verified_at: float = 0.0

    @property
    def succeeded(self) -> bool:
        """Whether the newest handshake is over, and has not failed."""
        return self.latest is not None and self.latest.version() is not None


class LatestSessions:
    """Implements `TlsSessions`. `clock`: in seconds."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._contexts: list[_ResumingContext] = []

    def resuming(self, settings: ssl.SSLContext) -> ssl.SSLContext:
        """Return a context with these settings that resumes sessions of its own connections."""
        context = _ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
        context.settings, context.clock, context.known = settings, self._clock, {}
        self._contexts.append(context)
        return context

    def forget(self) -> None:
        """Forget the sessions of unfinished handshakes: one may have failed because of it."""
        for context in self._contexts:
            unfinished = [name for name, known in context.known.items() if not known.succeeded]
            for name in unfinished:
                del context.known[name]


class _ResumingContext(ssl.SSLContext):
    """Lends each connection the settings of another context, and the session of its host name."""

    settings: ssl.SSLContext
    clock: Callable[[], float]
    known: dict[str, _Known]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin the TLS of a connection."""
        known = self._known_of(str(server_hostname))
        options: dict[str, Any] = {"server_side": server_side, "server_hostname": server_hostname}
        known.latest = self.settings.wrap_bio(
            incoming, outgoing, **options, session=session or known.session
        )
        return known.latest

    def _known_of(self, name: str) -> _Known:
        """Return what is known of a name now."""
        if name not in self.known and len(self.known) >= MAX_NAMES:
            self.known.clear()
        known = self.known.setdefault(name, _Known())
        # TLS 1.3 brings the ticket with the first answer: it is there when the next connection
        # begins.
        if known.latest is not None and known.succeeded:
            found = known.latest.session
            if found is not None and found.has_ticket:
                known.session = found
        if self.clock() - known.verified_at >= VERIFY_EVERY_S:
            known.session = None
        if known.session is None:
            known.verified_at = self.clock()
        return known
