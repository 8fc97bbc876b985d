"""The provider that a wrong name stands for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from llmproxy.errors import Problem
from llmproxy.providers.registry import BY_NAME

# What people write for a provider -> its name here.
_ALIASES = {
    "amazon": "bedrock",
    "aws": "bedrock",
    "bigmodel": "zai",
    "chatgpt": "openai",
    "claude": "anthropic",
    "custom": "generic",
    "dashscope": "alibaba",
    "github_models": "github",
    "glm": "zai",
    "google": "gemini",
    "grok": "xai",
    "hf": "huggingface",
    "hosted_vllm": "vllm",
    "kimi": "moonshot",
    "nim": "nvidia",
    "nvidia_nim": "nvidia",
    "openai_compatible": "generic",
    "qwen": "alibaba",
    "vertex_ai": "vertex",
    "workers_ai": "cloudflare",
    "zhipu": "zai",
}


def with_likely_provider(problem: Problem, config: Any) -> Problem:
    """Return a problem whose remedy names the provider that was probably meant, if it is one of
    an unknown provider. `config`: the raw config."""
    if problem.path[-1:] != ("provider",):
        return problem
    name = config
    for key in problem.path:
        name = name[key]
    if name in BY_NAME or not (meant := _likely(str(name))):
        return problem
    return replace(problem, remedy=f"Did you mean {' or '.join(meant)}?")


def _likely(name: str) -> list[str]:
    """Return the providers that a wrong name may stand for, the likeliest first."""
    from difflib import get_close_matches  # noqa: PLC0415 - only after a mistake

    word = name.lower().replace("-", "_").replace(" ", "_")
    meant = [_ALIASES[word]] if word in _ALIASES else []
    for candidate in get_close_matches(word.replace("_", ""), BY_NAME, n=2, cutoff=0.7):
        if candidate not in meant:
            meant.append(candidate)
    return meant
