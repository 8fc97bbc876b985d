"""Opens URLs without following redirects: what is sent there is meant for no other address.

urllib.request is slow to import, so import this module where it is used.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from http.client import HTTPResponse
from typing import cast


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Follow none."""


_OPENER = urllib.request.build_opener(_NoRedirects)


def opened(
    url: str, body: bytes | None, headers: Mapping[str, str], *, within_s: float
) -> HTTPResponse:
    """Get a URL that was checked, or post to it; return the answer, to be closed. Blocks.

    `within_s`: for each step. Raises HTTPError, URLError, OSError or ValueError.
    """
    request = urllib.request.Request(url, body, dict(headers))  # noqa: S310 - checked by the caller
    return cast("HTTPResponse", _OPENER.open(request, timeout=within_s))
