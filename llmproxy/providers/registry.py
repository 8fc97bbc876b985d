"""The providers by name: one row each, because mostly only the address differs.

Base URLs as the vendors' own documentation gives them for OpenAI clients (November 2026). The names
are part of the configuration's contract: rows may be added, not renamed.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec.structs import replace

from llmproxy.config import OPENAI_BASE_URL
from llmproxy.providers.anthropic import ANTHROPIC
from llmproxy.providers.azure import AZURE, AZURE_CLASSIC
from llmproxy.providers.base import Provider
from llmproxy.providers.error_responses import ErrorResponse

OPENAI = Provider("openai", OPENAI_BASE_URL, hosts=("*.api.openai.com",), charges_output_bound=True)
# Any other server that speaks OpenAI's API, and every address that is not recognised.
GENERIC = Provider("generic")


class Alibaba(Provider):
    """A vendor that says `insufficient_quota` where a rate was exceeded."""

    def parse_error(self, body: bytes) -> ErrorResponse:
        """Read an error; without the code by which others mean an empty account."""
        error = super().parse_error(body)
        return replace(error, codes=tuple(c for c in error.codes if c != "insufficient_quota"))


PROVIDERS: tuple[Provider, ...] = (
    OPENAI,
    AZURE,
    AZURE_CLASSIC,
    ANTHROPIC,
    Alibaba(
        "alibaba",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/",
        hosts=("*.aliyuncs.com",),
    ),
    Provider(
        "bedrock",
        hosts=("bedrock-runtime*.amazonaws.com", "bedrock-mantle.*.api.aws"),
        charges_output_bound=True,
    ),
    Provider("cerebras", "https://api.cerebras.ai/v1/"),
    Provider("cloudflare", hosts=("api.cloudflare.com", "gateway.ai.cloudflare.com")),
    Provider("cohere", "https://api.cohere.ai/compatibility/v1/"),
    Provider("deepinfra", "https://api.deepinfra.com/v1/openai/"),
    Provider("deepseek", "https://api.deepseek.com/v1/"),
    Provider("fireworks", "https://api.fireworks.ai/inference/v1/"),
    Provider("gemini", "https://generativelanguage.googleapis.com/v1beta/openai/"),
    Provider("github", "https://models.github.ai/inference/"),
    Provider("groq", "https://api.groq.com/openai/v1/"),
    Provider("huggingface", "https://router.huggingface.co/v1/"),
    Provider("mistral", "https://api.mistral.ai/v1/"),
    Provider("moonshot", "https://api.moonshot.ai/v1/", hosts=("api.moonshot.cn",)),
    Provider("nvidia", "https://integrate.api.nvidia.com/v1/"),
    # It lists its models without a key, so the list proves no key; this path does.
    Provider("openrouter", "https://openrouter.ai/api/v1/", free_check="key"),
    Provider("perplexity", "https://api.perplexity.ai/"),
    Provider("sambanova", "https://api.sambanova.ai/v1/"),
    Provider("together", "https://api.together.xyz/v1/", hosts=("api.together.ai",)),
    Provider("vertex", hosts=("*aiplatform.googleapis.com", "aiplatform.*.rep.googleapis.com")),
    Provider("xai", "https://api.x.ai/v1/"),
    Provider("zai", "https://api.z.ai/api/paas/v4/", hosts=("open.bigmodel.cn",)),
    # Self-hosted servers, on their usual ports of this machine.
    Provider("llamacpp", "http://127.0.0.1:8080/v1/"),
    Provider("lmstudio", "http://127.0.0.1:1234/v1/"),
    Provider("ollama", "http://127.0.0.1:11434/v1/"),
    Provider("vllm", "http://127.0.0.1:8000/v1/"),
    GENERIC,
)
BY_NAME = {provider.name: provider for provider in PROVIDERS}


def by_host(host: str) -> Provider:
    """Return the provider of an address by its host, ignoring case."""
    host = host.lower().rstrip(".")
    for provider in PROVIDERS:
        if any(fnmatchcase(host, known) for known in provider.hosts):
            return provider
    return GENERIC
