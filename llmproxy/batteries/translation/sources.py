"""Where the bytes of an image or a document are: data URLs, and base64 with a media type. Pure."""

from __future__ import annotations

import re

_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*;base64,", re.IGNORECASE)


def read_data_url(url: str) -> tuple[str, str] | None:
    """Return the media type and the base64 of a data URL; None for any other URL."""
    found = _DATA_URL.match(url)
    return None if found is None else (found[1] or "application/octet-stream", url[found.end() :])


def data_url(media_type: str | None, base64: str) -> str:
    """Return a data URL."""
    return f"data:{media_type or 'application/octet-stream'};base64,{base64}"
