"""Which batteries are installed."""

from importlib.util import find_spec


def has(package: str) -> bool:
    """Return whether a battery is installed."""
    return find_spec(f"llmproxy.batteries.{package}") is not None
