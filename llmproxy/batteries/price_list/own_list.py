"""A list of prices in a file of the operator's, in the format of `genai-prices`.

Format: the JSON of that package's repository (`prices/data.json`), a list of providers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from llmproxy.errors import ConfigError, Problem

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

MAX_BYTES = 64 * 1024 * 1024
REMEDY = (
    "Write a list of providers, as `prices/data.json` of github.com/pydantic/genai-prices, or "
    "remove price_list."
)


def read_list(file: str) -> DataSnapshot:
    """Return the prices in a file. Raises ConfigError if it is missing or not such a list."""
    # Slow to import; and the format is private to the package, whose version may change it.
    try:
        from genai_prices.data_snapshot import DataSnapshot  # noqa: PLC0415
        from genai_prices.types import _providers_from_raw  # noqa: PLC0415
    except ImportError as error:
        raise _refused(file, f"the package genai-prices cannot read lists ({error}).") from None
    try:
        with Path(file).open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise _refused(file, f"the file cannot be read ({error.strerror}).") from None
    if len(text) > MAX_BYTES:
        raise _refused(file, "the file is larger than 64 MiB.")
    try:
        providers = json.loads(text)
        if not isinstance(providers, list) or not providers:
            raise _refused(file, "it is no list of providers.")
        return DataSnapshot(_providers_from_raw(providers), from_auto_update=False)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise _refused(file, f"it is no list of prices ({place}: {first['msg']}).") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _refused(file, f"it is no list of prices ({error}).") from None


def _refused(file: str, found: str) -> ConfigError:
    return ConfigError([Problem(file, 0, found, REMEDY, ("general_settings", "price_list"))])
