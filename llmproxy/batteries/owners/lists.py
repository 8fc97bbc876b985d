"""Merges the lists of several accounts into one list with cursors that work.

The parts are merged by the time of creation; at the same time, by account. Within a part the order
is the account's own. That makes one sequence, in which each id has one place, so `after` and
`before` mean what they mean at one account: each item comes exactly once.

The position in each account at the end of a page is remembered under the id that ends it. A page
that begins elsewhere is found by reading from the start.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

import msgspec

from llmproxy.errors import ClientError, UpstreamFailed
from llmproxy.operations.dialects.base import UNREADABLE

MAX_CURSORS = 4096
DEFAULT_PAGE = 20
WHOLE = 100  # the size of a page while a cursor is looked for
_LIMIT = re.compile("[1-9][0-9]{0,3}|10000")


class ListedItem(msgspec.Struct, frozen=True):
    """One entry of a list. `raw`: as its account wrote it. `at`: when it was created, Unix s."""

    id: str
    at: float
    raw: msgspec.Raw


class ListPage(msgspec.Struct, frozen=True):
    """What an account answers. `others`: the members of the answer beside `data`, as JSON.

    `size`, `last`: the number of items that it gave, and the id of the last one, even if some are
    left out of `items` because they belong to another caller.
    """

    items: list[ListedItem]
    has_more: bool
    others: dict[str, msgspec.Raw] = {}
    size: int = 0
    last: str | None = None


NO_PAGE = ListPage([], has_more=False)


class ListQuery(msgspec.Struct, frozen=True):
    """What a client asks of a list. `others`: the parameters that each account gets as they are.

    `after_key`: how the vendor calls the cursor.
    """

    others: tuple[tuple[str, str], ...]
    after_key: str
    limit: int | None = None
    after: str | None = None
    before: str | None = None

    def for_account(self, after: str | None, limit: int | None) -> bytes:
        """Return the query for one page of an account."""
        parameters = list(self.others)
        if limit is not None:
            parameters.append(("limit", str(limit)))
        if after is not None:
            parameters.append((self.after_key, after))
        return urlencode(parameters).encode("ascii")


def query_of(query: bytes) -> ListQuery:
    """Read a client's query: OpenAI's parameters or Anthropic's. Raises ClientError."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    named = dict(pairs)
    anthropic = "after_id" in named or "before_id" in named
    ours = {"limit", "after", "before", "after_id", "before_id"}
    limit = named.get("limit")
    if limit is not None and not _LIMIT.fullmatch(limit):
        raise ClientError("'limit' must be a number from 1 to 10,000.", param="limit")
    return ListQuery(
        tuple(pair for pair in pairs if pair[0] not in ours),
        "after_id" if anthropic else "after",
        None if limit is None else int(limit),
        named.get("after_id") or named.get("after") or None,
        named.get("before_id") or named.get("before") or None,
    )


class _Envelope(msgspec.Struct):
    data: list[msgspec.Raw] | None = None
    has_more: bool | None = None


class _Described(msgspec.Struct):
    id: str
    created_at: float | str | None = None
    created: float | None = None


_envelope = msgspec.json.Decoder(_Envelope)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_described = msgspec.json.Decoder(_Described)


def page_of(body: bytes) -> ListPage:
    """Read an account's answer. Raises UpstreamFailed if it is no list."""
    try:
        found = _envelope.decode(body)
        if found.data is None:
            raise UpstreamFailed("the answer is no list.")
        items = [_item(raw) for raw in found.data]
        others = _members.decode(body)
    except UNREADABLE as error:
        raise UpstreamFailed(f"the answer is no list that can be read ({error}).") from error
    others.pop("data")
    last = items[-1].id if items else None
    return ListPage(items, found.has_more is True, others, len(items), last)


def _item(raw: msgspec.Raw) -> ListedItem:
    found = _described.decode(raw)
    at = found.created if found.created_at is None else found.created_at
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at).timestamp()
        except ValueError:
            at = 0.0
    return ListedItem(found.id, at or 0.0, msgspec.Raw(bytes(raw)))


# Returns a page of an account that follows an id (None: the first), of at most so many items.
Fetch = Callable[[str | None, int | None], Awaitable[ListPage]]


class Part:
    """The part of one account, read page by page.

    `last`: the id after which the next item follows; None: nothing was taken yet.
    """

    def __init__(self, account: str, fetch: Fetch, last: str | None = None) -> None:
        self.account = account
        self.last = last
        self.items: deque[ListedItem] = deque()
        self.more = True
        self.first_page: ListPage | None = None
        self._fetch = fetch
        self._read_to = last

    @property
    def dry(self) -> bool:
        """Whether a page must be read before the next item is known."""
        return self.more and not self.items

    async def read(self, limit: int | None) -> None:
        """Read the next page. Nothing follows where an account ends two pages with one item: it
        does not know the cursor, and would give the same page for ever."""
        page = await self._fetch(self._read_to, limit)
        self.first_page = self.first_page or page
        if page.last is not None and page.last == self._read_to:
            self.more = False
            return
        self.items.extend(page.items)
        self.more = page.has_more and page.last is not None
        self._read_to = page.last or self._read_to

    def take(self) -> ListedItem:
        """Remove and return the next item."""
        item = self.items.popleft()
        self.last = item.id
        return item


class MergedList:
    """The list of all accounts, from where each part stands. `ascending`: the oldest come first;
    None: as the accounts have it."""

    def __init__(self, parts: Sequence[Part], *, ascending: bool | None, limit: int | None) -> None:
        self._parts = parts
        self._ascending = ascending
        self._limit = limit

    async def next(self) -> ListedItem | None:
        """Return the next item; None at the end."""
        await self._fill()
        full = [part for part in self._parts if part.items]
        if not full:
            return None
        if self._ascending is None:
            self._ascending = _is_ascending(part.items for part in full)
        sign = 1.0 if self._ascending else -1.0
        return min(full, key=lambda part: (sign * part.items[0].at, part.account)).take()

    @property
    def has_more(self) -> bool:
        """Whether an item follows, as far as the accounts say."""
        return any(part.items or part.more for part in self._parts)

    @property
    def page_size(self) -> int:
        """The size of a page where the client asked for none: the accounts' own."""
        pages = [part.first_page for part in self._parts if part.first_page is not None]
        cut = [page.size for page in pages if page.has_more]
        return max(cut, default=max(DEFAULT_PAGE, sum(page.size for page in pages)))

    def position(self) -> dict[str, str | None]:
        """Return where each part stands."""
        return {part.account: part.last for part in self._parts}

    async def _fill(self) -> None:
        """Read a page of every part whose next item is not known, all at once."""
        while dry := [part for part in self._parts if part.dry]:
            read = await asyncio.gather(
                *(part.read(self._limit) for part in dry), return_exceptions=True
            )
            for failure in read:
                if failure is not None:
                    raise failure


def _is_ascending(lists: Iterable[deque[ListedItem]]) -> bool:
    for items in lists:
        if items[0].at != items[-1].at:
            return bool(items[0].at < items[-1].at)
    return False  # most lists begin with the newest


class Cursors:
    """Where each account stood at the end of a page, by the list and the id that ended it."""

    def __init__(self) -> None:
        self._positions: dict[object, dict[str, str | None]] = {}

    def note(self, list_key: object, last: str, position: dict[str, str | None]) -> None:
        """Remember where each account stood after an id."""
        self._positions.pop((list_key, last), None)
        self._positions[list_key, last] = position
        if len(self._positions) > MAX_CURSORS:
            del self._positions[next(iter(self._positions))]

    def find(self, list_key: object, last: str) -> dict[str, str | None] | None:
        """Return where each account stood; None if it is not known."""
        return self._positions.get((list_key, last))


async def read_page(
    make_parts: Callable[[dict[str, str | None]], Sequence[Part]],
    query: ListQuery,
    cursors: Cursors,
    list_key: object,
) -> ListPage:
    """Return the page that a client asks for.

    `make_parts`: makes the parts, from where each stands. Raises ClientError for a cursor that
    stands for nothing.
    """
    order = dict(query.others).get("order")
    ascending = None if order not in ("asc", "desc") else order == "asc"
    position = {} if query.after is None else cursors.find(list_key, query.after)
    parts = make_parts(position or {})
    looks_for = query.before if position is not None else query.after
    limit = query.limit if looks_for is None else max(query.limit or 0, WHOLE)
    merged = MergedList(parts, ascending=ascending, limit=limit)
    if position is None and query.after is not None:
        await _skip_past(merged, query.after)
    if query.before is not None:
        items, has_more = await _before(merged, query.before, query.limit or DEFAULT_PAGE)
    else:
        items = []
        while (query.limit is None or len(items) < query.limit) and (item := await merged.next()):
            items.append(item)
            if query.limit is None and len(items) >= merged.page_size:
                break
        has_more = merged.has_more
        if items and has_more:
            cursors.note(list_key, items[-1].id, merged.position())
    envelope = next((part.first_page.others for part in parts if part.first_page), {})
    return ListPage(items, has_more, envelope)


async def _skip_past(merged: MergedList, id: str) -> None:
    while (item := await merged.next()) is not None:
        if item.id == id:
            return
    raise _no_such_item("after", id)


async def _before(merged: MergedList, id: str, limit: int) -> tuple[list[ListedItem], bool]:
    """Return the items that end before an id, and whether others come before them."""
    kept: deque[ListedItem] = deque(maxlen=limit + 1)
    while (item := await merged.next()) is not None:
        if item.id == id:
            return list(kept)[-limit:], len(kept) > limit
        kept.append(item)
    raise _no_such_item("before", id)


def answer_of(page: ListPage) -> bytes:
    """Return the answer that holds a page, in the shape of the accounts' own."""
    answer: dict[str, object] = {**page.others, "has_more": page.has_more}
    if "first_id" in answer or "last_id" in answer:
        answer["first_id"] = page.items[0].id if page.items else None
        answer["last_id"] = page.items[-1].id if page.items else None
    answer["data"] = [item.raw for item in page.items]
    return msgspec.json.encode(answer)


def _no_such_item(parameter: str, id: str) -> ClientError:
    return ClientError(f"'{parameter}' names '{id}', which is not in this list.", param=parameter)
