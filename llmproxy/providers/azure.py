"""Azure OpenAI: the classic style, with the deployment in the path, and the newer v1 style.

Addresses and keys: docs/project/upstreams.md, "Azure OpenAI" (November 2026).
"""

from __future__ import annotations

from llmproxy.operations import Route
from llmproxy.providers.base import Endpoint, Provider

HOSTS = ("*.openai.azure.com", "*.services.ai.azure.com", "*.cognitiveservices.azure.com")

# Operations whose path names the deployment; all others belong to the resource.
_DEPLOYMENT_OPERATIONS = frozenset(("chat/completions", "completions", "embeddings"))
_DEPLOYMENT_PREFIXES = ("audio/", "images/")


class AzureClassic(Provider):
    """Azure's classic style: `/openai/deployments/{deployment}/{operation}?api-version=...`"""

    def path(self, endpoint: Endpoint, route: Route) -> bytes:
        """Return the path of a route at an endpoint, whose prefix ends in /openai."""
        operation = route.path
        if operation in _DEPLOYMENT_OPERATIONS or operation.startswith(_DEPLOYMENT_PREFIXES):
            return b"%b/deployments/%b/%b" % (
                endpoint.prefix,
                endpoint.deployment,
                operation.encode("ascii"),
            )
        return endpoint.prefix + b"/" + operation.encode("ascii")


AZURE = Provider(
    "azure",
    hosts=HOSTS,
    key_header="api-key",
    fixed_windows=True,
    charges_output_bound=True,
)
AZURE_CLASSIC = AzureClassic(
    "azure-classic",
    key_header="api-key",
    fixed_windows=True,
    charges_output_bound=True,
)
