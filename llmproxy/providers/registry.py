"""The providers by name: one row each, because mostly only the address differs.

Base URLs as the vendors' own documentation gives them for OpenAI clients (November 2026). The names
are part of the configuration's contract: rows may be added, not renamed.
"""

from __future__ import annotations

from llmproxy.config import OPENAI_BASE_URL
from llmproxy.providers.anthropic import ANTHROPIC
from llmproxy.providers.azure import AZURE, AZURE_CLASSIC
from llmproxy.providers.base import Provider

OPENAI = Provider(
    "openai",
    OPENAI_BASE_URL,
    hosts=("api.openai.com", ".api.openai.com"),
    charges_output_bound=True,
)
# Any other server that speaks OpenAI's API, and every address that is not recognised.
GENERIC = Provider("generic")

PROVIDERS: tuple[Provider, ...] = (
    OPENAI,
    AZURE,
    AZURE_CLASSIC,
    ANTHROPIC,
    Provider("cerebras", "https://api.cerebras.ai/v1/", hosts=("api.cerebras.ai",)),
    Provider("cohere", "https://api.cohere.ai/compatibility/v1/", hosts=("api.cohere.ai",)),
    Provider("deepinfra", "https://api.deepinfra.com/v1/openai/", hosts=("api.deepinfra.com",)),
    Provider("deepseek", "https://api.deepseek.com/v1/", hosts=("api.deepseek.com",)),
    Provider("fireworks", "https://api.fireworks.ai/inference/v1/", hosts=("api.fireworks.ai",)),
    Provider(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai/",
        hosts=("generativelanguage.googleapis.com",),
    ),
    Provider("groq", "https://api.groq.com/openai/v1/", hosts=("api.groq.com",)),
    Provider("mistral", "https://api.mistral.ai/v1/", hosts=("api.mistral.ai",)),
    Provider("openrouter", "https://openrouter.ai/api/v1/", hosts=("openrouter.ai",)),
    Provider("perplexity", "https://api.perplexity.ai/", hosts=("api.perplexity.ai",)),
    Provider(
        "together",
        "https://api.together.xyz/v1/",
        hosts=("api.together.xyz", "api.together.ai"),
    ),
    Provider("xai", "https://api.x.ai/v1/", hosts=("api.x.ai",)),
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
        for known in provider.hosts:
            if host.endswith(known) if known.startswith(".") else host == known:
                return provider
    return GENERIC
