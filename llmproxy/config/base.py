"""The base of all config sections, and the types of their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.functional_validators import AfterValidator

from llmproxy.config import checks

MIB = 1024 * 1024

# Each type checks a YAML value before or after pydantic does, with the error texts of checks.py.
NUMBER = BeforeValidator(checks.not_boolean)
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER]
Count = Annotated[int, Field(ge=1, le=1_000_000_000_000), NUMBER]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER]
SecondsOrZero = Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER]
Secret = Annotated[SecretStr, AfterValidator(checks.credential)]
Url = Annotated[str, AfterValidator(checks.url)]
Text = Annotated[str, AfterValidator(checks.text)]
Pattern = Annotated[str, AfterValidator(checks.group_name)]
Alias = Annotated[Text, AfterValidator(checks.alias)]
HeaderValues = Annotated[Mapping[str, SecretStr], AfterValidator(checks.headers)]
Strategy = Literal["weighted", "least_busy", "latency", "cheapest"]
STRATEGY_HELP: dict[Strategy, str] = {
    "weighted": "distributes calls by weight",
    "least_busy": "takes the endpoint with the fewest calls under way for its weight",
    "latency": "prefers endpoints whose first token comes soon and that have few calls under way",
    "cheapest": "makes each price a tier of its own",
}
Affinity = Literal["off", "prompt_cache", "session"]
OnUntranslatable = Literal["refuse", "drop"]
CacheMode = Literal["deterministic", "all", "off"]
TokenProvider = Literal["default", "managed_identity", "workload_identity", "cli"]


class Section(BaseModel):
    """Base class of all sections: frozen, unknown keys refused, values left out of error texts."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=()
    )
