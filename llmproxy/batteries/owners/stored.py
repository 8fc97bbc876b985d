"""Calls about what accounts keep: files, batches, stored responses, vector stores and the like."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from llmproxy.batteries.owners.accounts import Owner
from llmproxy.batteries.owners.context import NOT_KEPT, CallContext
from llmproxy.batteries.owners.ids import (
    StatePlace,
    ids_in_answer,
    ids_named_in,
    items_named_in,
    model_hint,
    place_of,
    searchable,
)
from llmproxy.batteries.owners.learning import LearningClient
from llmproxy.batteries.owners.listing import ListCall
from llmproxy.batteries.owners.lists import Cursors
from llmproxy.batteries.owners.refusals import (
    HAS_NO_SUCH_LIST,
    other_group,
    owner_gone,
    status_of,
    unknown_id,
)
from llmproxy.errors import GatewayError, NoEndpoint, UpstreamError
from llmproxy.protocols import AnswerIn, Client
from llmproxy.record import CallRecord
from llmproxy.routing import Group

GROUP_HEADER = b"x-llmproxy-group"
SAFE = frozenset(("GET", "HEAD"))
HINT_BYTES = 256 * 1024  # of an upload, in which the first line of a batch is looked for
NOWHERE = StatePlace("")


class StoredCall:
    """A call that creates, reads, changes, deletes or lists what accounts keep."""

    def __init__(self, context: CallContext, cursors: Cursors) -> None:
        call = context.call
        if call.model_in_body is None:  # none is added, whatever the operation
            route = replace(call.route, bound_to_account=True)
            context = replace(context, call=replace(call, route=route))
        self._context = context
        self._cursors = cursors
        self._place = place_of(context.call.route.path) or NOWHERE

    async def answer(self, client: Client, record: CallRecord, ask: AnswerIn) -> None:
        """Answer from the account that keeps what the call names; if none is known, from each in
        turn, from all together, or from the group where new things go."""
        context, call, place = self._context, self._context.call, self._place
        chosen = self._chosen_group()
        if not (context.accounts.several or call.caller is not None):
            await ask(call, await self._group_for_new(chosen), client, record)
            return
        changes = call.method not in SAFE
        found = await context.owner_of(self._named(), certain=changes)
        if found is not None:
            learning = self._learning(client, record, found[1].caller)
            part = self._part_of(*found, chosen)
            context.pass_over(part, record, NOT_KEPT)
            await ask(call, part, learning, record)
        elif place.id is not None or place is NOWHERE or call.method == "DELETE":
            parts = context.accounts.parts_for(call, chosen)
            if changes and len(parts) > 1:
                raise unknown_id(place.id or call.route.path)
            await self._look_for(parts, self._learning(client, record, None), record, ask)
        elif call.method == "GET":
            parts = context.accounts.parts_for(call, chosen)
            await ListCall(context, parts, self._cursors).answer(client, record, ask)
        else:
            learning = self._learning(client, record, call.caller)
            await ask(call, await self._group_for_new(chosen), learning, record)

    # ---- where

    def _named(self) -> list[str]:
        """Return the ids in the path and in the body."""
        body = self._context.call.body
        named = list(self._place.ids)
        if isinstance(body, bytes) and body:
            body = searchable(body)
            named += ids_named_in(body)
            named += items_named_in(body)
        return named

    def _chosen_group(self) -> Group | None:
        """Return the group that the client names, by a model or our header. Raises ClientError."""
        call, pool = self._context.call, self._context.pool
        name = call.model or dict(call.headers).get(GROUP_HEADER, b"").decode("latin-1") or None
        if name is None:
            return None
        group = pool.group_named(name)
        if group is None:
            raise pool.unknown(name)
        return group

    def _part_of(self, id: str, owner: Owner, chosen: Group | None) -> Group:
        """Return the endpoints of an owner's account, those of the chosen group first."""
        accounts = self._context.accounts
        account = accounts.account_now(owner)
        part = None if account is None or chosen is None else accounts.part(chosen, account)
        if part is None and chosen is not None and self._context.call.model_in_body is not None:
            raise other_group(id, owner, chosen.name)
        part = part or accounts.part_of(owner)
        if part is None:
            raise owner_gone(id, owner)
        return part

    async def _group_for_new(self, chosen: Group | None) -> Group:
        """Return the group in which something new is created."""
        accounts, call = self._context.accounts, self._context.call
        if chosen is None and call.method == "POST":
            hint = model_hint(await self._beginning())
            if hint is not None:
                chosen = self._context.pool.group_named(hint)
        return accounts.fitting(chosen or accounts.group_for(call), call)

    async def _beginning(self) -> bytes:
        """Return the beginning of the body, without taking it from who sends it."""
        body = self._context.call.body
        if isinstance(body, bytes):
            return body[:HINT_BYTES]
        beginning = b""
        async for chunk in body.chunks():
            beginning += chunk
            if len(beginning) >= HINT_BYTES:
                break
        return beginning

    # ---- asking

    async def _look_for(
        self,
        parts: Sequence[Group],
        learning: LearningClient,
        record: CallRecord,
        ask: AnswerIn,
    ) -> None:
        """Ask each account in turn. Raises what the last one said if none has it."""
        context = self._context
        last: GatewayError = unknown_id(self._place.id or context.call.route.path)
        trouble: GatewayError | None = None
        for part in parts:
            try:
                await ask(context.call, part, learning, record)
                return
            except (NoEndpoint, UpstreamError) as failure:
                if learning.begun:
                    raise
                if status_of(failure) in HAS_NO_SUCH_LIST:
                    last = failure
                else:
                    trouble = failure
        raise trouble or last

    def _learning(self, client: Client, record: CallRecord, caller: str | None) -> LearningClient:
        return self._context.learning(client, record, self._ids_in, caller=caller)

    def _ids_in(self, text: bytes) -> list[str]:
        """Return the ids of an answer, and those of the path, which it has confirmed."""
        return [*self._place.ids, *ids_in_answer(text)]
