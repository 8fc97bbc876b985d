"""What is told of the certificate that the proxy serves."""

from __future__ import annotations

from pydantic import BaseModel

from llmproxy.batteries.admin.stats.collector import StatsCollector


class TlsView(BaseModel):
    """The certificate that this worker serves. Times are Unix seconds. `error`: why the files as
    they are now are not served; null: they are."""

    names: list[str]
    expires_at: float
    loaded_at: float
    error: str | None


def tls_view(collector: StatsCollector) -> TlsView | None:
    """Return None without TLS."""
    status = None if collector.front is None else collector.front().certificate
    if status is None:
        return None
    return TlsView(
        names=list(status.names),
        expires_at=status.not_after,
        loaded_at=status.loaded_at,
        error=status.error,
    )
