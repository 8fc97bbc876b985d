"""What our things are called in OpenTelemetry's conventions for generative AI.

They are in development and change (open-telemetry/semantic-conventions-genai, November 2026): since
version 1.37 the vendor is `gen_ai.provider.name`, before it was `gen_ai.system`. A value that they
know must be used; where they know none, ours stands.
"""

from __future__ import annotations

import msgspec

from llmproxy.config import Config
from llmproxy.operations import operation_at
from llmproxy.providers import endpoints_of

# Of our provider names those that are called otherwise there.
PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure-classic": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}


class EndpointLabels(msgspec.Struct, frozen=True):
    """Where an endpoint is, as a span tells it. `model`: None = the client's own name."""

    provider: str
    model: str | None
    address: str
    port: int


UNKNOWN_ENDPOINT = EndpointLabels("generic", None, "", 0)


def endpoint_labels(config: Config) -> dict[tuple[str, str], EndpointLabels]:
    """By group and endpoint."""
    return {
        (endpoint.group, endpoint.name): EndpointLabels(
            PROVIDERS.get(endpoint.provider.name, endpoint.provider.name),
            endpoint.model,
            endpoint.host,
            endpoint.port,
        )
        for endpoints in endpoints_of(config).values()
        for endpoint in endpoints
    }


def operation_name(operation: str) -> str:
    """`gen_ai.operation.name`. Of paths without a known one the first part: what follows may be an
    id, and a name must not have endlessly many values."""
    return operation_at(operation).span_name or operation.partition("/")[0]
