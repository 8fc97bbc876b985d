"""Entra ID tokens for Azure endpoints, from azure-identity (the extra `entra`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmproxy.batteries.credentials.renewed import Lasting

# The scope of the tokens that a provider takes: docs/project/upstreams.md, "Azure OpenAI".
SCOPES = {
    "azure": "https://ai.azure.com/.default",
    "azure-classic": "https://cognitiveservices.azure.com/.default",
}
RENEW_EARLY_S = 300.0


def entra_token(kind: str, scope: str) -> Callable[[], Lasting[bytes]]:
    """Return what fetches tokens for a scope. `kind`: a value of `azure_ad_token_provider`."""
    source: Any = None

    def fetch() -> Lasting[bytes]:
        nonlocal source
        if source is None:
            source = azure_identity(kind)
        token = source.get_token(scope)
        expires_at = float(token.expires_on)
        return Lasting(token.token.encode("ascii"), expires_at - RENEW_EARLY_S, expires_at)

    return fetch


def azure_identity(kind: str) -> Any:
    """Return the credential of azure-identity that the config names."""
    from azure import identity  # noqa: PLC0415 - an optional extra, and slow to import

    makers: dict[str, Callable[[], object]] = {
        "default": identity.DefaultAzureCredential,
        "managed_identity": identity.ManagedIdentityCredential,
        "workload_identity": identity.WorkloadIdentityCredential,
        "cli": identity.AzureCliCredential,
    }
    return makers[kind]()
