"""What the parts of the config have in common: frozen sections, and values with plain refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic.functional_validators import AfterValidator

from llmproxy.config import checks

MIB = 1024 * 1024

# What stands between a YAML value and a field: refusals in plain words (checks.py).
NUMBER = BeforeValidator(checks.not_boolean)
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER]
Count = Annotated[int, Field(ge=1, le=1_000_000_000_000), NUMBER]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER]
SecondsOrZero = Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER]
Secret = Annotated[SecretStr, AfterValidator(checks.credential)]
CallerKey = Annotated[SecretStr, AfterValidator(checks.caller_key)]
KeyDigest = Annotated[str, AfterValidator(checks.key_digest)]
RedisUrl = Annotated[SecretStr, AfterValidator(checks.redis_url)]
RedisHost = Annotated[str, AfterValidator(checks.redis_host)]
RedisPassword = Annotated[SecretStr, AfterValidator(checks.redis_password)]
RedisName = Annotated[str, AfterValidator(checks.redis_namespace)]
SentinelAddress = Annotated[str, AfterValidator(checks.sentinel)]
Url = Annotated[str, AfterValidator(checks.url)]
AzureUrl = Annotated[str, AfterValidator(checks.azure_endpoint)]
Text = Annotated[str, AfterValidator(checks.text)]
HeaderValues = Annotated[Mapping[str, SecretStr], AfterValidator(checks.headers)]
Strategy = Literal["weighted", "least_busy", "cheapest"]
CacheMode = Literal["deterministic", "all", "off"]
TokenProvider = Literal["default", "managed_identity", "workload_identity", "cli"]


class Section(BaseModel):
    """What all parts of the config share: frozen, no unknown keys, no input in error texts."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=()
    )
