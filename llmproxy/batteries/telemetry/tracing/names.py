"""Names from OpenTelemetry's conventions for generative AI.

The conventions are in development (open-telemetry/semantic-conventions-genai, November 2026): since
version 1.37 the vendor is `gen_ai.provider.name`, before that it was `gen_ai.system`. A value that
they define must be used; without one, ours is sent.
"""

from __future__ import annotations

import msgspec

from llmproxy.config import Config
from llmproxy.operations import operation_at
from llmproxy.providers import endpoints_of

# Our provider names that the conventions spell otherwise.
PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure-classic": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}


class EndpointLabels(msgspec.Struct, frozen=True):
    """The attributes of an endpoint in a span. `model`: None = the name that the client sent."""

    provider: str
    model: str | None
    address: str
    port: int


UNKNOWN_ENDPOINT = EndpointLabels("generic", None, "", 0)


def endpoint_labels(config: Config) -> dict[tuple[str, str], EndpointLabels]:
    """Return the labels of all endpoints, by group and endpoint."""
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
    """Return `gen_ai.operation.name`.

    Without a name in the conventions it is the path's first part: the rest may be an id, and span
    names must be few.
    """
    return operation_at(operation).span_name or operation.partition("/")[0]
