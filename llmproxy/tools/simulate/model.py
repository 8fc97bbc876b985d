"""How the endpoints of a simulation behave: latency, the vendors' limits, outages; from YAML."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from llmproxy.config.base import NUMBER, Count, Seconds, SecondsOrZero, Section
from llmproxy.config.document import Document, read
from llmproxy.errors import ConfigError, Problem

FORMAT = "docs/simulation.md shows the format."


class Latency(Section):
    """From a request to the end of its answer: log-normal, as vendors' latencies roughly are."""

    median: Seconds = Field(default=1.0, description="Half of the answers take longer.")
    p95: Seconds = Field(default=3.0, description="One in twenty takes longer.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.p95 < self.median:
            text = "p95 must be at least the median"
            raise PydanticCustomError("order", "{text}", {"text": text})
        return self


class VendorLimits(Section):
    """What the vendor enforces, and tells in its headers."""

    rpm: Count | None = Field(default=None, description="Requests a minute.")
    tpm: Count | None = Field(default=None, description="Tokens a minute.")


class Outage(Section):
    """The endpoint is down from one second to another."""

    from_s: SecondsOrZero = Field(description="Seconds since the beginning.")
    to_s: Seconds = Field(description="Seconds since the beginning.")
    status: Annotated[int, Field(ge=400, le=599), NUMBER] | None = Field(
        default=None, description="What it answers meanwhile; absent: no connection."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.to_s <= self.from_s:
            text = "to_s must be more than from_s"
            raise PydanticCustomError("order", "{text}", {"text": text})
        return self


class EndpointModel(Section):
    """How one endpoint behaves."""

    latency_s: Latency | None = None
    limits: VendorLimits | None = None
    outages: tuple[Outage, ...] = ()


class Model(Section):
    """How all endpoints behave. `endpoints`: by name, or by `group/name`."""

    latency_s: Latency = Latency()
    endpoints: Mapping[str, EndpointModel] = Field(default_factory=dict)

    def of(self, group: str, name: str) -> EndpointModel:
        """How one endpoint behaves."""
        found = self.endpoints.get(f"{group}/{name}") or self.endpoints.get(name)
        return found or EndpointModel()


def load_model(path: Path, known: Collection[tuple[str, str]]) -> Model:
    """Read and check a model file. `known`: group and name of every endpoint there is.

    Raises ConfigError with every problem, each with its line.
    """
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(file, 0, f"cannot be read: {error}.", "Check the path.")
        raise ConfigError([problem]) from error
    document = read(text, {})
    problems = [Problem(file, spot.line, spot.found, spot.remedy) for spot in document.spots]
    if problems:
        raise ConfigError(problems)
    try:
        model = Model.model_validate({} if document.value is None else document.value)
    except ValidationError as error:
        wrong = [_problem(each, document, file) for each in error.errors(include_url=False)]
        raise ConfigError(sorted(wrong, key=lambda problem: problem.line)) from error
    strange = [
        Problem(
            file,
            document.line(("endpoints", name), key=True),
            f"there is no endpoint {name!r}.",
            f"Write one of: {', '.join(sorted({name for _, name in known}))}.",
        )
        for name in model.endpoints
        if not any(name in (known_name, f"{group}/{known_name}") for group, known_name in known)
    ]
    if strange:
        raise ConfigError(strange)
    return model


def _problem(error: Any, document: Document, file: str) -> Problem:
    path = tuple(error["loc"])
    place = ".".join(str(part) for part in path) or "top level"
    if error["type"] == "extra_forbidden":
        return Problem(file, document.line(path, key=True), f"{place}: unknown key.", FORMAT)
    return Problem(file, document.line(path), f"{place}: {error['msg']}.", FORMAT)
