"""Anthropic: its own API beside a chat path for OpenAI's clients.

Headers: docs/project/upstreams.md, "Anthropic" (November 2026).
"""

from __future__ import annotations

from llmproxy.calls import Header, Headers
from llmproxy.operations import CHAT, Route
from llmproxy.providers.base import BARE_KEYS, Endpoint, Provider

VERSION = b"anthropic-version"
DEFAULT_VERSION = (VERSION, b"2023-06-01")
KEY = b"x-api-key"
LOGIN = "sk-ant-oat"  # a token of OAuth, which is no key


class Anthropic(Provider):
    """A vendor with Anthropic's API: `x-api-key`, and a version in each request."""

    def credential_headers(self, api_key: str) -> tuple[Header, ...]:
        """Return the headers that carry a key, or a token of OAuth."""
        if api_key.startswith(LOGIN):
            return super().credential_headers(api_key)
        return ((KEY, api_key.encode("latin-1")),)

    def brought_credential(self, headers: Headers) -> tuple[Header, ...]:
        """Return the client's own key in the header that the client used."""
        for name, value in headers:
            if name == b"authorization" or name in BARE_KEYS:
                return ((name if name == b"authorization" else KEY, value),)
        return ()

    def head(
        self, endpoint: Endpoint, route: Route, headers: Headers, credential: tuple[Header, ...]
    ) -> bytes:
        """Return header lines: of the API's own paths with a version, if the client sent none; of
        the chat path with a Bearer key, as OpenAI's clients send it."""
        if route.dialect is CHAT:
            credential = tuple(map(_as_bearer, credential))
        elif all(name != VERSION for name, _ in headers):
            headers = [*headers, DEFAULT_VERSION]
        return super().head(endpoint, route, headers, credential)


def _as_bearer(header: Header) -> Header:
    name, value = header
    return (b"authorization", b"Bearer " + value) if name == KEY else header


# Its list of models has pages of 20 by default.
ANTHROPIC = Anthropic(
    "anthropic",
    "https://api.anthropic.com/v1/",
    hosts=("aws-external-anthropic.*.api.aws", "claude.googleapis.com"),  # the same API at clouds
    free_check="models?limit=1000",
)
