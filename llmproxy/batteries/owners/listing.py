"""A list of what accounts keep: each account is asked for its part, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic

from msgspec.structs import replace

from llmproxy.batteries.owners.accounts import Owner
from llmproxy.batteries.owners.context import CallContext
from llmproxy.batteries.owners.learning import CapturingClient
from llmproxy.batteries.owners.lists import (
    NO_PAGE,
    Cursors,
    ListPage,
    ListQuery,
    Part,
    answer_of,
    page_of,
    query_of,
    read_page,
)
from llmproxy.batteries.owners.refusals import HAS_NO_SUCH_LIST, list_incomplete, status_of
from llmproxy.errors import GatewayError, NoEndpoint, UpstreamError
from llmproxy.protocols import AnswerIn, Client
from llmproxy.record import AnswerSummary, CallRecord
from llmproxy.routing import Group

UNREADABLE_PARAMETERS = frozenset((400, 422))


class ListCall:
    """A call for a list. `parts`: one for each account that has a part of it."""

    def __init__(self, context: CallContext, parts: Sequence[Group], cursors: Cursors) -> None:
        self._context = context
        self._parts = parts
        self._cursors = cursors

    async def answer(self, client: Client, record: CallRecord, ask: AnswerIn) -> None:
        """Answer with one page of the whole list. Raises an error if an account fails."""
        context, call = self._context, self._context.call
        if len(self._parts) == 1 and call.caller is None:
            await ask(call, self._parts[0], client, record)
            return
        query = query_of(call.query)
        reading = _Reading(context, query, client, record, ask)

        def make_parts(position: Mapping[str, str | None]) -> list[Part]:
            accounts = [context.accounts.account_of_part(part) for part in self._parts]
            return [
                Part(account, partial(reading.page, part), position.get(account))
                for account, part in zip(accounts, self._parts, strict=True)
            ]

        names = tuple(part.name for part in self._parts)
        key = (call.caller, call.route.path, names, query.others)
        page = await read_page(make_parts, query, self._cursors, key)
        if reading.refusal is not None and not reading.answered:
            raise reading.refusal  # no account has such a list
        body = answer_of(page)
        record.answer.status, record.answer.first_byte_at = 200, monotonic()
        headers = [
            (b"content-type", b"application/json"),
            (b"x-llmproxy-attempts", b"%d" % record.attempts),
            *call.route.dialect.id_of(call.id),
        ]
        client.start(200, headers, length=len(body))
        client.write(body)
        client.finish()


class _Reading:
    """The reading of one list: a page of an account at a time, several accounts at once.

    `answered`: an account has such a list. `refusal`: what one says that has none.
    """

    def __init__(
        self,
        context: CallContext,
        query: ListQuery,
        client: Client,
        record: CallRecord,
        ask: AnswerIn,
    ) -> None:
        self._context = context
        self._query = query
        self._client = client
        self._record = record
        self._ask = ask
        self.answered = False
        self.refusal: GatewayError | None = None

    async def page(self, part: Group, after: str | None, limit: int | None) -> ListPage:
        """Return a page of an account, without what belongs to another caller."""
        call = self._context.call
        # What is read here must not be compressed.
        headers = [header for header in call.headers if header[0] != b"accept-encoding"]
        own = replace(call, query=self._query.for_account(after, limit), headers=headers)
        client, record = CapturingClient(self._client), CallRecord(request=self._record.request)
        record.answer = AnswerSummary()
        endpoint = part.states[0].endpoint.name
        try:
            await self._ask(own, part, client, record)
            page = page_of(bytes(client.body))
        except (NoEndpoint, UpstreamError) as failure:
            status = status_of(failure)
            if status in UNREADABLE_PARAMETERS:
                raise
            if status in HAS_NO_SUCH_LIST and after is not None:
                raise  # it has the list, and no item that a cursor names
            if status in HAS_NO_SUCH_LIST:
                self.refusal = failure
                return NO_PAGE
            raise list_incomplete(endpoint, failure) from failure
        finally:
            self._count(record)
        self.answered = True
        return await self._own_items(page, part)

    def _count(self, record: CallRecord) -> None:
        """Add what one page took to the record of the call."""
        total = self._record
        total.steps = [*total.steps, *record.steps]
        total.attempts += record.attempts
        total.endpoint = record.endpoint or total.endpoint
        total.group = total.group or record.group
        total.waited_s = max(total.waited_s, record.waited_s)

    async def _own_items(self, page: ListPage, part: Group) -> ListPage:
        context, caller = self._context, self._context.call.caller
        ids = [item.id for item in page.items]
        if caller is None:
            account = context.accounts.account_of_part(part)
            endpoint = part.states[0].endpoint.name
            context.registry.note(ids, Owner(account, part.name, endpoint))
            return page
        found = await context.registry.find(ids)
        own = [item for item in page.items if (of := found.get(item.id)) and of.caller == caller]
        return replace(page, items=own)
