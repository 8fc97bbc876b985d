"""The model file: how endpoints behave in a simulation (latency, limits, outages), in YAML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from llmproxy.batteries.config_file import Document, read_document
from llmproxy.config.base import NUMBER, Count, Seconds, SecondsOrZero, Section
from llmproxy.errors import ConfigError, Problem

FORMAT = "docs/guides/simulation.md shows the format."


class Latency(Section):
    """Time from a request to the end of its answer. It is log-normal, roughly as at vendors."""

    median: Seconds = Field(default=1.0, description="Half of the answers take longer.")
    p95: Seconds = Field(default=3.0, description="One answer in twenty takes longer.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.p95 < self.median:
            text = "p95 must be at least the median"
            raise PydanticCustomError("order", "{text}", {"text": text})
        return self


class VendorLimits(Section):
    """The limits that the vendor enforces and reports in its headers."""

    rpm: Count | None = Field(default=None, description="Requests per minute.")
    tpm: Count | None = Field(default=None, description="Tokens per minute.")


class Outage(Section):
    """A period in which the endpoint is down."""

    from_s: SecondsOrZero = Field(description="Start, in seconds since the start of the run.")
    to_s: Seconds = Field(description="End, in seconds since the start of the run.")
    status: Annotated[int, Field(ge=400, le=599), NUMBER] | None = Field(
        default=None, description="Status of every answer; absent = connections are refused."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.to_s <= self.from_s:
            text = "to_s must be greater than from_s"
            raise PydanticCustomError("order", "{text}", {"text": text})
        return self


class Stalls(Section):
    """Calls that the endpoint accepts and leaves unanswered for long."""

    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False), NUMBER] = Field(
        description="The share of its calls that stall."
    )
    seconds: Seconds = Field(description="How much longer such an answer takes.")


class EndpointModel(Section):
    """How one endpoint behaves."""

    latency_s: Latency | None = None
    stalls: Stalls | None = None
    limits: VendorLimits | None = None
    outages: tuple[Outage, ...] = ()


class Model(Section):
    """How all endpoints behave. The keys of `endpoints` are `name` or `group/name`."""

    latency_s: Latency = Latency()
    endpoints: Mapping[str, EndpointModel] = Field(default_factory=dict)

    def of(self, group: str, name: str) -> EndpointModel:
        """Return the model of one endpoint; `group/name` takes precedence over `name`."""
        found = self.endpoints.get(f"{group}/{name}") or self.endpoints.get(name)
        return found or EndpointModel()


def load_model(path: Path, known: Collection[tuple[str, str]]) -> Model:
    """Read and check a model file. `known` holds the group and name of every endpoint.

    Raises ConfigError, which lists every problem with its line.
    """
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(file, 0, f"cannot be read: {error}.", "Check the path.")
        raise ConfigError([problem]) from error
    document = read_document(text, {})
    problems = [error.place.problem(file, error.found, error.remedy) for error in document.errors]
    if problems:
        raise ConfigError(problems)
    try:
        model = Model.model_validate({} if document.value is None else document.value)
    except ValidationError as error:
        problems = [_problem(detail, document, file) for detail in error.errors(include_url=False)]
        raise ConfigError(sorted(problems, key=lambda problem: problem.line)) from error
    unknown = [
        document.place(("endpoints", name), key=True).problem(
            file,
            f"unknown endpoint {name!r}.",
            f"Use one of: {', '.join(sorted({name for _, name in known}))}.",
        )
        for name in model.endpoints
        if not any(name in (known_name, f"{group}/{known_name}") for group, known_name in known)
    ]
    if unknown:
        raise ConfigError(unknown)
    return model


def _problem(detail: Any, document: Document, file: str) -> Problem:
    path = tuple(detail["loc"])
    name = ".".join(str(part) for part in path) or "top level"
    if detail["type"] == "extra_forbidden":
        return document.place(path, key=True).problem(file, f"{name}: unknown key.", FORMAT)
    return document.place(path).problem(file, f"{name}: {detail['msg']}.", FORMAT)
