"""A list of several accounts reads as one list, whatever the pages."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmproxy.batteries.owners.lists import (
    Cursors,
    Part,
    answer_of,
    page_of,
    query_of,
    read_page,
)
from llmproxy.errors import ClientError, UpstreamFailed
from tests.support.run import bounded


class Accounts:
    """Accounts with lists of their own. `moments`: of creation, by account."""

    def __init__(self, moments, *, ascending, most=3):
        self.ascending = ascending
        self.most = most  # on one page
        self.lists = {
            name: [
                {"id": f"{name}-{number:03d}", "created_at": at}
                for number, at in enumerate(sorted(times, reverse=not ascending))
            ]
            for name, times in moments.items()
        }
        self.fetched = 0

    def parts(self, position):
        def part(name):
            async def fetch(after, limit):
                self.fetched += 1
                listed = self.lists[name]
                at = 0 if after is None else [item["id"] for item in listed].index(after) + 1
                size = min(limit or self.most, self.most)
                page = {"data": listed[at : at + size], "has_more": len(listed) > at + size}
                return page_of(json.dumps({"object": "list", "first_id": "", **page}).encode())

            return Part(name, fetch, position.get(name))

        return [part(name) for name in self.lists]

    def page(self, cursors, **query):
        text = "&".join(f"{key}={value}" for key, value in query.items() if value is not None)
        asked = query_of(text.encode())
        return asyncio.run(read_page(self.parts, asked, cursors, "list"))

    @property
    def merged(self):
        sign = 1 if self.ascending else -1
        everything = [(name, item) for name, items in self.lists.items() for item in items]
        everything.sort(key=lambda pair: (sign * pair[1]["created_at"], pair[0]))
        return [item["id"] for _, item in everything]


moments = st.dictionaries(
    st.sampled_from("abcd"), st.lists(st.integers(1, 6), max_size=9), min_size=1
)
flags = st.booleans()
limits = st.integers(1, 7)


def ids(page):
    return [item.id for item in page.items]


@given(moments, flags, limits, st.lists(flags, min_size=40, max_size=40))
def test_the_pages_of_all_accounts_hold_each_thing_once_in_order(moments, ascending, limit, forget):
    accounts = Accounts(moments, ascending=ascending)
    order = "asc" if ascending else "desc"
    cursors, seen, after = Cursors(), [], None
    for is_forgotten in forget:
        if is_forgotten:  # another instance answers, or this one was restarted
            cursors = Cursors()
        page = accounts.page(cursors, limit=limit, order=order, after=after)
        seen += ids(page)
        assert len(page.items) == limit or not page.has_more
        if not page.has_more:
            break
        after = page.items[-1].id
    assert seen == accounts.merged


@given(moments, flags, limits, st.data())
def test_before_gives_the_page_that_ends_where_it_says(moments, ascending, limit, data):
    accounts = Accounts(moments, ascending=ascending)
    if not accounts.merged:
        return
    at = data.draw(st.integers(0, len(accounts.merged) - 1))
    order = "asc" if ascending else "desc"
    page = accounts.page(Cursors(), limit=limit, order=order, before=accounts.merged[at])
    assert ids(page) == accounts.merged[max(0, at - limit) : at]
    assert page.has_more == (at > limit)


def test_a_remembered_cursor_goes_on_where_each_account_stood():
    accounts = Accounts({"a": range(100), "b": range(100)}, ascending=False, most=10)
    cursors, after = Cursors(), None
    for _ in range(20):
        page = accounts.page(cursors, limit=10, order="desc", after=after)
        after = page.items[-1].id
    assert ids(page) == accounts.merged[190:]
    assert accounts.fetched <= 20 * 3


def test_the_order_that_accounts_have_of_themselves_is_kept():
    for ascending in (True, False):
        accounts = Accounts({"a": [1, 3, 5], "b": [2, 4]}, ascending=ascending)
        assert ids(accounts.page(Cursors(), limit=9)) == accounts.merged


def test_without_a_limit_a_page_is_as_long_as_that_of_an_account():
    accounts = Accounts({"a": range(50), "b": range(50)}, ascending=False, most=20)
    page = accounts.page(Cursors())
    assert (len(page.items), page.has_more) == (20, True)
    few = Accounts({"a": range(4), "b": range(5)}, ascending=False, most=20).page(Cursors())
    assert (len(few.items), few.has_more) == (9, False)


def test_a_cursor_that_is_in_no_list_is_refused():
    accounts = Accounts({"a": [1], "b": [2]}, ascending=False)
    for parameter in ("after", "before"):
        with pytest.raises(ClientError) as caught:
            accounts.page(Cursors(), **{parameter: "nothing"})
        assert caught.value.param == parameter


def test_each_account_gets_the_clients_other_parameters_and_its_own_cursor():
    query = query_of(b"purpose=batch&limit=5&after=x&order=asc&metadata[a]=b%20c")
    assert query.for_account("file-1", 5) == (
        b"purpose=batch&order=asc&metadata%5Ba%5D=b+c&limit=5&after=file-1"
    )
    anthropic = query_of(b"after_id=x&limit=2")
    assert anthropic.for_account("y", None) == b"after_id=y"


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"data": [1]}', b"<html>", b'{"data": {}}'])
def test_an_answer_that_is_no_list_is_a_failure(body):
    with pytest.raises(UpstreamFailed):
        page_of(body)


def test_entries_pass_as_their_account_wrote_them_and_dates_are_read():
    body = (
        b'{"data": [{"id":"a","created_at":"2026-01-02T03:04:05Z", "x": 1.50}],'
        b'"has_more":false,"first_id":"a","last_id":"a"}'
    )
    page = page_of(body)
    assert page.items[0].at == 1767323045.0
    assert b'{"id":"a","created_at":"2026-01-02T03:04:05Z", "x": 1.50}' in answer_of(page)
    assert json.loads(answer_of(page)) == json.loads(body)


@bounded()
async def test_an_account_that_knows_no_cursors_gives_one_page_and_not_the_same_for_ever():
    asked = []

    async def fetch(after, limit):
        asked.append(after)
        page = {"data": [{"id": f"f-{number}"} for number in range(3)], "has_more": True}
        return page_of(json.dumps(page).encode())

    def parts(position):
        return [Part("a", fetch, position.get("a"))]

    page = await read_page(parts, query_of(b"limit=50"), Cursors(), "list")
    assert (ids(page), page.has_more) == (["f-0", "f-1", "f-2"], False)
    assert asked == [None, "f-2"]
    with pytest.raises(ClientError):
        await read_page(parts, query_of(b"after=f-9"), Cursors(), "list")


@pytest.mark.parametrize("limit", ["0", "-1", "+5", "%C2%B2", "1" * 5000, "10001", "", "01"])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(ClientError):
        query_of(f"limit={limit}".encode())


def test_an_answer_that_is_too_deep_is_no_list():
    with pytest.raises(UpstreamFailed):
        page_of(b'{"data": [' + b"[" * 100_000)
