"""What vendors say in words only, or under codes of their own: one table for each of them.

A server behind another address may speak any of them (a gateway passes on its vendors' words), so
an error is compared with all tables, and words that a vendor further up has are not repeated. Each
row stands for words that were seen in an answer; the tests quote them. Sources: the vendors' API
references and source texts, and reports of their users.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple


class About(Enum):
    """What a refusal is about. The number is the order in which an error is compared."""

    TOO_LARGE = 1  # for the endpoint's limit per minute: a larger one may take it
    TOO_LONG = 2  # for the model's context window
    CREDENTIAL = 3
    OPERATION = 4  # the operation, or a permission or form that only this call needs
    MODEL = 5
    CONTENT = 6  # a filter refused it


class Wording(NamedTuple):
    """One vendor's way to say something. `codes` are in lower case; `words` is an expression."""

    about: About
    words: str = ""
    codes: tuple[str, ...] = ()


_WORDINGS: dict[str, tuple[Wording, ...]] = {
    "openai": (
        Wording(About.TOO_LARGE, r"Request too large for .*Limit \d"),
        Wording(About.TOO_LONG, r"maximum context length|context window"),
        Wording(About.TOO_LONG, codes=("context_length_exceeded",)),
        Wording(
            About.OPERATION, r"organization must be verified|insufficient permissions for this"
        ),
        Wording(About.OPERATION, r"Missing scopes?:", ("missing_scope",)),
        Wording(About.OPERATION, r"^Invalid URL \(|not a chat model", ("unknown_url",)),
        Wording(About.OPERATION, r"only supported in v1/|not allowed to (?:sample|generate)"),
        Wording(About.MODEL, r"^The model\b.{0,200} does not exist", ("model_not_found",)),
        Wording(About.MODEL, r"does not have access to model"),
        Wording(About.CREDENTIAL, r"Incorrect API key provided", ("invalid_api_key",)),
        Wording(About.CONTENT, codes=("content_filter", "content_policy_violation")),
    ),
    "azure": (
        Wording(About.OPERATION, r"^Resource not found$"),
        Wording(About.OPERATION, r"operation does not work with", ("operationnotsupported",)),
        Wording(About.MODEL, codes=("deploymentnotfound", "unknown_model", "unavailable_model")),
        Wording(About.CREDENTIAL, r"invalid subscription key"),
        Wording(About.CONTENT, codes=("responsibleaipolicyviolation",)),
    ),
    "anthropic": (
        Wording(About.TOO_LONG, r"prompt is too long|exceed context limit"),
        Wording(About.OPERATION, codes=("permission_error",)),
        Wording(About.MODEL, r"^model: \S+$"),
        Wording(About.CREDENTIAL, r"invalid x-api-key", ("authentication_error",)),
    ),
    "gemini": (
        Wording(
            About.TOO_LONG, r"token count .*(?:exceeds the maximum number|model only supports)"
        ),
        Wording(About.OPERATION, r"insufficient authentication scopes"),
        Wording(About.MODEL, r"is not found for API version|unexpected model name format"),
        Wording(About.CREDENTIAL, r"API key not (?:valid|found)|API key expired"),
    ),
    "xai": (Wording(About.TOO_LONG, r"maximum prompt length"),),
    "groq": (
        Wording(About.TOO_LONG, r"reduce the length of the messages"),
        Wording(About.MODEL, r"has been decommissioned", ("model_decommissioned",)),
    ),
    "mistral": (
        Wording(About.TOO_LONG, r"tokens? .*too large for model"),
        Wording(About.MODEL, r"^Invalid model: ", ("invalid_model",)),
    ),
    "moonshot": (
        Wording(About.TOO_LONG, r"exceeded model token limit|^Input token length too long"),
        Wording(About.MODEL, r"^Not found the model "),
    ),
    "alibaba": (
        Wording(About.TOO_LONG, r"Range of input length should be"),
        Wording(About.CONTENT, codes=("data_inspection_failed", "datainspectionfailed")),
    ),
    "zai": (
        Wording(About.TOO_LONG, r"^Prompt exceeds max length"),
        Wording(About.MODEL, codes=("1211",)),
        Wording(About.CONTENT, codes=("1301",)),
    ),
    "nvidia": (Wording(About.MODEL, r"^Function \S+ Not found for account"),),
    "cloudflare": (Wording(About.MODEL, r"No such model\b|^The model name is invalid"),),
    "siliconflow": (Wording(About.TOO_LONG, r"prompt_tokens .*must be less than max_seq_len"),),
    "deepseek": (Wording(About.MODEL, r"Model Not Exist"),),
    "cohere": (Wording(About.TOO_LONG, r"too many tokens: total number of tokens"),),
    "perplexity": (Wording(About.MODEL, r"Invalid model '.*Permitted models"),),
    "together": (
        Wording(About.TOO_LONG, r"`inputs` (?:tokens \+ `max_new_tokens` must be|must have less)"),
        Wording(About.MODEL, r"Unable to access model", ("model_not_available",)),
    ),
    "fireworks": (Wording(About.MODEL, r"Model not found, inaccessible, and/or not deployed"),),
    "openrouter": (
        Wording(About.CONTENT, r"requires moderation .*flagged"),
        Wording(About.OPERATION, r"No endpoints found that (?:support|can handle)"),
        Wording(About.MODEL, r"is not a valid model ID|No endpoints found for"),
    ),
    "copilot": (
        Wording(About.TOO_LONG, r"^prompt token count", ("model_max_prompt_tokens_exceeded",)),
        Wording(About.MODEL, r"requested model is not supported", ("model_not_supported",)),
    ),
    "bedrock": (
        Wording(About.TOO_LONG, r"Input is too long for requested model"),
        Wording(About.MODEL, r"provided model identifier|access to the model with the specified"),
        Wording(About.MODEL, r"isn.t supported on this route|with on-demand throughput isn"),
    ),
    "vllm": (
        Wording(About.TOO_LONG, r"longer than the maximum model length|too long to fit into"),
        Wording(About.TOO_LONG, r"the model's context length is only \d"),
        Wording(About.OPERATION, r"^Not Found$|does not support (?:Chat Completions|Embeddings)"),
    ),
    "sglang": (Wording(About.TOO_LONG, r"the model's context length|the maximum allowed length"),),
    "tabbyapi": (Wording(About.TOO_LONG, r"length .*is greater than max_seq_len"),),
    "tensorrt": (Wording(About.TOO_LONG, r"Prompt length .*exceeds maximum (?:input|sequence)"),),
    "llamacpp": (
        Wording(About.TOO_LONG, r"the available context size", ("exceed_context_size_error",)),
        Wording(About.OPERATION, r"^File Not Found$"),
        Wording(About.CREDENTIAL, r"^Invalid API Key$"),
    ),
    "lmstudio": (
        Wording(About.TOO_LONG, r"greater than the context length|context length of only \d"),
        Wording(About.MODEL, r"^Model\b.{0,200} not found|No models loaded"),
    ),
    "ollama": (
        Wording(About.TOO_LONG, r"exceeded max context length"),
        Wording(About.OPERATION, r"^404 page not found$|does not support (?:chat|generate|embed)"),
        Wording(About.MODEL, r"^model\b.{0,200} not found"),
    ),
}


def _compiled(about: About) -> re.Pattern[str]:
    rows = [row for table in _WORDINGS.values() for row in table if row.about is about]
    words = "|".join(f"(?:{row.words})" for row in rows if row.words)
    return re.compile(words or r"(?!)", re.I | re.S)


_BY_CODE = {code: row.about for table in _WORDINGS.values() for row in table for code in row.codes}
_BY_WORDS = tuple((about, _compiled(about)) for about in About)


def about_of(codes: tuple[str, ...], message: str) -> About | None:
    """Return what a refusal is about, by its codes first; None if it is in no table.

    The words of a request that is too large come under the code of a rate, so they go first.
    """
    too_large = _BY_WORDS[0][1]
    if too_large.search(message) is not None:
        return About.TOO_LARGE
    for code in codes:
        if code in _BY_CODE:
            return _BY_CODE[code]
    for about, words in _BY_WORDS:
        if words.search(message) is not None:
            return about
    return None
