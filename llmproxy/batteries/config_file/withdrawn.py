"""Keys that are still read, and have no effect any more."""

from __future__ import annotations

from collections.abc import Iterator

from llmproxy.batteries.settings import FullSettings


def notices(settings: FullSettings) -> Iterator[str]:
    """Yield what to do about such keys of a config."""
    if settings.exact_token_counts:
        yield (
            "general_settings.exact_token_counts has no effect any more: calls are counted "
            "from their bytes and the usage that vendors return. Remove the key."
        )
    of_call_file = ("call_file", "call_file_keep_s", "call_file_max_bytes")
    if given := [name for name in of_call_file if getattr(settings, name) is not None]:
        yield (
            f"general_settings.{', '.join(given)}: no effect any more. All calls are kept in the "
            "database (database_url), for call_keep_s. Remove what begins with call_file; the old "
            "file can be deleted."
        )
