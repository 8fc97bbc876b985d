"""LiteLLM's configuration keys, from `litellm_keys.toml`, and what to do about one left over."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from llmproxy.tools.importing.report import ImportOutcome
from llmproxy.tools.importing.source import Place

WHOLE_FILE = "the file"
UNKNOWN = "It is not among LiteLLM's documented keys that this version knows. Look it up there."
# Parameters of calls, which LiteLLM adds to calls that do not have them.
CALL_PARAMETERS = frozenset(
    (
        *("temperature", "top_p", "top_k", "min_p", "n", "stop", "seed", "user", "logit_bias"),
        *("max_tokens", "max_completion_tokens", "presence_penalty", "frequency_penalty"),
        *("repetition_penalty", "response_format", "tools", "tool_choice", "parallel_tool_calls"),
        *("logprobs", "top_logprobs", "reasoning_effort", "thinking", "verbosity", "service_tier"),
        *("store", "modalities", "dimensions", "encoding_format", "web_search_options"),
        *("prediction", "audio", "functions", "function_call", "stream_options", "guided_json"),
        *("chat_template_kwargs", "prompt_cache_key", "safety_identifier", "metadata"),
    )
)


@dataclass(frozen=True, slots=True)
class Remedy:
    """What becomes of a key. `kind`: None = it is carried over with its meaning."""

    kind: ImportOutcome | None
    text: str

    @property
    def sentence(self) -> str:
        """Return the text as a sentence."""
        return self.text if self.text.endswith(".") else f"{self.text}."


NOT_UNDERSTOOD = Remedy(
    ImportOutcome.LEFT_OUT, "It was not understood: LiteLLM's documentation has it in another form."
)


@cache
def sections() -> Mapping[str, Mapping[str, Remedy]]:
    """Return the keys of each section of a LiteLLM config."""
    file = Path(__file__).with_name("litellm_keys.toml")
    kinds = {kind.name.lower(): kind for kind in ImportOutcome}
    return {
        section: {key: Remedy(kinds.get(kind), text) for key, (kind, text) in keys.items()}
        for section, keys in tomllib.loads(file.read_text(encoding="utf-8")).items()
    }


def remedy(section: str, key: str) -> Remedy:
    """Return what becomes of a known key."""
    return sections()[section][key]


def remedy_of(place: Place) -> Remedy:
    """Return what to do about a place of a LiteLLM config that nothing was made of."""
    names = [key for key in place if isinstance(key, str)]
    for length in range(len(names), 0, -1):
        section = ".".join(names[: length - 1]).replace("model_list", "model_list[]", 1)
        known = sections().get(section or WHOLE_FILE, {}).get(names[length - 1])
        if known is not None and known.kind is ImportOutcome.CHANGED:
            return NOT_UNDERSTOOD  # nothing has carried it over
        if known is not None and known.kind is not None:
            return known
        if names[:2] == ["model_list", "model_info"]:
            return Remedy(
                ImportOutcome.UNNEEDED, "It describes the model for people, and routes nothing."
            )
        if known is not None:  # a key inside a section that is carried over, or a wrong section
            return _misplaced(names[-1]) if length < len(names) else NOT_UNDERSTOOD
    return Remedy(ImportOutcome.LEFT_OUT, UNKNOWN)


def _misplaced(key: str) -> Remedy:
    """Return what to do about a key that the section around it does not have."""
    for section in ("router_settings", "litellm_settings", "general_settings"):
        if (known := sections()[section].get(key)) is not None:
            text = f"LiteLLM reads it in {section} alone. {known.sentence}"
            return Remedy(ImportOutcome.LEFT_OUT, text)
    return Remedy(ImportOutcome.LEFT_OUT, UNKNOWN)
