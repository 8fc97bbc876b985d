"""Reads where spans go and how, from the config and from OpenTelemetry's environment variables.

The variables are those of the specification for exporters (specification/protocol/exporter.md in
the repository open-telemetry/opentelemetry-specification). One with `TRACES` in its name goes
before the one without. The config goes before both.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit
from uuid import UUID

import llmproxy
from llmproxy.batteries.settings import Tracing
from llmproxy.batteries.tunnel import proxy_for

Compression = Literal["none", "gzip", "deflate"]
COMPRESSIONS: Mapping[str, Compression] = {"none": "none", "gzip": "gzip", "deflate": "deflate"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

logger = logging.getLogger("llmproxy")


class ExportTarget(NamedTuple):
    """Where spans go and how. The files are paths; None = the system's authorities, and no
    certificate of our own. `headers`: may hold secrets. `proxy`: None = there is none between."""

    url: SplitResult
    headers: Mapping[str, bytes]
    compression: Compression
    certificate: str | None
    client_certificate: str | None
    client_key: str | None
    proxy: SplitResult | None

    def __str__(self) -> str:
        """Its origin, for the log."""
        return f"{self.url.scheme}://{self.url.netloc}"


def target_of(settings: Tracing, environ: Mapping[str, str]) -> ExportTarget:
    """Return where the config sends spans to."""
    url = urlsplit(settings.endpoint)
    if url.path in ("", "/"):
        url = url._replace(path="/v1/traces")
    return ExportTarget(
        url,
        _headers(settings, environ),
        _compression(environ),
        _value(environ, "CERTIFICATE"),
        _value(environ, "CLIENT_CERTIFICATE"),
        _value(environ, "CLIENT_KEY"),
        proxy_for(url.scheme, url.hostname or "", environ),
    )


def resource_of(
    settings: Tracing, environ: Mapping[str, str], *, instance: int
) -> Mapping[str, str]:
    """Return the attributes of this service. `instance`: 128 random bits, which tell processes
    apart."""
    version = llmproxy.__version__
    return {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "llmproxy",
        "telemetry.sdk.version": version,
        "service.instance.id": str(UUID(int=instance, version=4)),
        **dict(_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""), "OTEL_RESOURCE_ATTRIBUTES")),
        "service.name": settings.service_name,
        "service.version": version,
    }


def _headers(settings: Tracing, environ: Mapping[str, str]) -> dict[str, bytes]:
    headers = {
        "content-type": b"application/x-protobuf",
        "user-agent": f"llmproxy/{llmproxy.__version__}".encode(),
    }
    for name, value in _pairs(_value(environ, "HEADERS") or "", "OTEL_EXPORTER_OTLP_HEADERS"):
        if _TOKEN.fullmatch(name) and not _CONTROL.search(value):
            headers[name.lower()] = value.encode()
        else:  # neither may be shown: one of them is a secret
            logger.warning("OTEL_EXPORTER_OTLP_HEADERS: an impossible header is left out.")
    for name, secret in settings.headers.items():
        headers[name.lower()] = secret.get_secret_value().encode()
    return headers


def _compression(environ: Mapping[str, str]) -> Compression:
    asked = (_value(environ, "COMPRESSION") or "none").strip().lower()
    if asked not in COMPRESSIONS:
        logger.warning(
            "OTEL_EXPORTER_OTLP_COMPRESSION: found %r; traces are not compressed. "
            "Write gzip, deflate or none.",
            asked,
        )
    return COMPRESSIONS.get(asked, "none")


def _value(environ: Mapping[str, str], name: str) -> str | None:
    """Return a setting of exporters; None if it is absent or empty."""
    found = environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}") or environ.get(
        f"OTEL_EXPORTER_OTLP_{name}"
    )
    return found or None


def _pairs(listed: str, variable: str) -> Iterator[tuple[str, str]]:
    """Yield names and values of `name=value,name=value`, where values are percent-encoded."""
    for item in listed.split(","):
        name, equals, value = item.partition("=")
        if name.strip() and equals:
            yield name.strip(), unquote(value.strip())
        elif item.strip():
            logger.warning("%s: an entry is left out. Write name=value,name=value.", variable)
