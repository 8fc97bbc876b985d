"""What a client says of a call for the operator's sums: whom it is for, and its tags.

By headers, or by members of the body that vendors define: `user`, `safety_identifier`, and
`user_id`, `user` and `tags` in `metadata`. Clients choose these texts, so their length and their
number a day are bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from time import time
from typing import TypeVar

import msgspec

from llmproxy.batteries.settings import full
from llmproxy.config import GeneralSettings
from llmproxy.protocols import ReadLabels
from llmproxy.record import RequestSummary
from llmproxy.rules.body import Labels

USER_HEADER, TAGS_HEADER = b"x-llmproxy-user", b"x-llmproxy-tags"
MAX_CHARS = 128
MAX_TAGS = 10  # of one call, its key's included
MAX_USERS = 50_000  # a day and process
MAX_DIFFERENT_TAGS = 1_000
OTHER = "(other)"
DAY_S = 86_400
T = TypeVar("T")


class Metadata(msgspec.Struct, frozen=True, gc=False):
    """The members of `metadata` that are read. They may be anything."""

    user_id: object = None
    user: object = None
    tags: object = None


class NamesOfTheDay:
    """Lets a bounded number of different names a day through.

    One caller may add half of them, so that no mistake of it makes all others' names `(other)`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._day = 0
        self._names: set[str] = set()
        self._added: dict[str, int] = {}  # by caller

    def bounded(self, name: str, now: float, caller: str | None = None) -> str:
        """Return the name, or `(other)` if too many others came today. `now`: Unix time."""
        day = int(now) // DAY_S
        if day != self._day:
            self._day = day
            self._names.clear()
            self._added.clear()
        if name in self._names:
            return name
        added = 0 if caller is None else self._added.get(caller, 0)
        if len(self._names) >= self._limit or added >= self._limit // 2:
            return OTHER
        if caller is not None:
            self._added[caller] = added + 1
        self._names.add(name)
        return name


class LabelReader:
    """Reads the labels of calls."""

    def __init__(self, *, users: int = MAX_USERS, tags: int = MAX_DIFFERENT_TAGS) -> None:
        self._users = NamesOfTheDay(users)
        self._tags = NamesOfTheDay(tags)

    def wanted(self, settings: GeneralSettings) -> ReadLabels | None:
        """Return what reads labels under a config; None if nothing keeps them."""
        url = full(settings).database_url
        is_off = url is not None and url.get_secret_value() == "off"
        return None if is_off else self.read

    def read(
        self, summary: RequestSummary, headers: Mapping[bytes, bytes], labels: Labels | None
    ) -> None:
        """Note the labels of a call. A header comes before the body, and tags add up."""
        user: object = None
        tags: list[object] = []
        if USER_HEADER in headers:
            user = headers[USER_HEADER].decode("latin-1")
        if TAGS_HEADER in headers:
            tags += headers[TAGS_HEADER].decode("latin-1").split(",")
        if labels is not None:
            found = _decoded(labels.metadata, _metadata) or Metadata()
            if not user:
                user = (
                    _decoded(labels.safety_identifier, _anything)
                    or _decoded(labels.user, _anything)
                    or found.user_id
                    or found.user
                )
            if isinstance(found.tags, str):
                tags += found.tags.split(",")
            elif isinstance(found.tags, list):
                tags += found.tags
        if user and (name := _text(user)):
            summary.end_user = self._users.bounded(name, time(), summary.caller)
        if tags:
            now, caller = time(), summary.caller
            # Only as many as a call may have: the rest would use up the names of the day.
            said = filter(None, map(_text, tags[: 2 * MAX_TAGS]))
            named = [self._tags.bounded(name, now, caller) for name in islice(said, MAX_TAGS)]
            summary.tags = tuple(dict.fromkeys((*summary.tags, *named)))[:MAX_TAGS]


def _text(value: object) -> str:
    """Return a text that logs can carry; "" for anything else."""
    if not isinstance(value, str):
        return ""
    text = value.strip()[:MAX_CHARS]
    return text if text.isprintable() else ""


def _decoded(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T | None:
    """Return a member; None if it is missing or of another kind: the endpoint judges that."""
    if not bytes(raw):
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_metadata = msgspec.json.Decoder(Metadata)
_anything: msgspec.json.Decoder[object] = msgspec.json.Decoder(object)
