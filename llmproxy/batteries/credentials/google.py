"""Google access tokens for Vertex AI, from google-auth (the extra `vertex`).

The identity is that of a service account's key file, or what Google's own tools use (application
default credentials): GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`,
workload identity, the metadata server.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from time import time
from typing import Any, NamedTuple

from llmproxy.batteries.credentials.renewed import Lasting

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
RENEW_EARLY_S = 300.0
UNKNOWN_S = 300.0  # how long a token without a known end is used


class GoogleToken(NamedTuple):
    """An access token, and the project that a user's own calls are charged to."""

    token: bytes
    quota_project: bytes | None

    def __repr__(self) -> str:
        return "GoogleToken(...)"


def google_token(
    file: str | None, wall: Callable[[], float] = time
) -> Callable[[], Lasting[GoogleToken]]:
    """Return what fetches tokens. `file`: of a key; None = the default credentials."""
    source: Any = None

    def fetch() -> Lasting[GoogleToken]:
        nonlocal source
        from google.auth.transport.requests import Request  # noqa: PLC0415 - an optional extra

        if source is None:
            source = google_auth(file)
        source.refresh(Request())
        now, project = wall(), getattr(source, "quota_project_id", None)
        end = now + UNKNOWN_S
        if source.expiry is not None:  # naive, in UTC
            end = source.expiry.replace(tzinfo=UTC).timestamp()
        quota_project = None if project is None else project.encode("ascii")
        token = GoogleToken(source.token.encode("ascii"), quota_project)
        return Lasting(token, end - RENEW_EARLY_S, end)

    return fetch


def google_auth(file: str | None) -> Any:
    """Return the credentials of google-auth."""
    import google.auth  # noqa: PLC0415 - an optional extra, and slow to import
    from google.oauth2 import service_account  # noqa: PLC0415

    untyped: Any = service_account.Credentials
    if file is not None:
        return untyped.from_service_account_file(file, scopes=SCOPES)
    return google.auth.default(scopes=SCOPES)[0]
