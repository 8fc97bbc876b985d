"""Which batteries are installed."""

from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def has(package: str) -> bool:
    """Return whether a battery is installed."""
    return find_spec(f"llmproxy.batteries.{package}") is not None


def needs(*packages: str) -> Callable[[Callable[P, T]], Callable[P, T | None]]:
    """Let a function that makes a battery return None where one of these packages is missing.

    The function imports the battery itself, so that nothing else does.
    """

    def decorate(make: Callable[P, T]) -> Callable[P, T | None]:
        @wraps(make)
        def made_if_installed(*args: P.args, **kwargs: P.kwargs) -> T | None:
            return make(*args, **kwargs) if all(map(has, packages)) else None

        return made_if_installed

    return decorate
