"""What is asked of two routers, to compare them."""

from __future__ import annotations

from dataclasses import dataclass

FEW_CALLS = 5  # where one endpoint can answer


@dataclass(frozen=True, slots=True)
class Scenario:
    """Calls for one model name while some deployments fail. `about`: for the table."""

    about: str
    model: str
    failing: tuple[str, ...] = ()
    calls: int = FEW_CALLS
