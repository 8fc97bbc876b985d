"""Where the spans of calls are sent: `general_settings.tracing`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from pydantic.functional_validators import AfterValidator

from llmproxy.config import checks
from llmproxy.config.base import NUMBER, HeaderValues, Section, Text

CollectorUrl = Annotated[str, AfterValidator(checks.collector_url)]


class Tracing(Section):
    """Where spans are sent, and of how many calls."""

    endpoint: CollectorUrl = Field(
        description="Where spans are sent: an OpenTelemetry collector, or whatever takes OTLP over "
        "HTTP, for example `http://127.0.0.1:4318`. Without a path, `/v1/traces` is added."
    )
    headers: HeaderValues = Field(
        default_factory=dict,
        description="Headers sent with them, for example `{authorization: os.environ/NAME}`. Their "
        "values count as secrets: they are never shown.",
    )
    service_name: Text = Field(
        default="llmproxy", description="What this proxy is called in traces (`service.name`)."
    )
    sample_ratio: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False), NUMBER] = Field(
        default=1.0,
        description="The share of the calls that are traced. A client that sends `traceparent` "
        "decides for itself whether its call is.",
    )

    def secret_headers(self) -> Mapping[str, str]:
        """The headers as they are sent."""
        return {name: value.get_secret_value() for name, value in self.headers.items()}
