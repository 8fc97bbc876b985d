"""Answers of models that name, or leave behind, what one account keeps.

An id in the call decides: `previous_response_id`, a file, a container. Reasoning that only one
account can read, and items of a conversation, are a preference: while that account is healthy, the
call goes there. If an endpoint refuses the reasoning of another account, the other accounts of the
group are asked.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from llmproxy.batteries.owners.accounts import is_drained
from llmproxy.batteries.owners.context import NOT_KEPT, NOT_MADE, CallContext
from llmproxy.batteries.owners.ids import ids_in_answer, ids_named_in, reasoning_in, searchable
from llmproxy.batteries.owners.learning import LearningClient
from llmproxy.batteries.owners.refusals import (
    other_group,
    owner_gone,
    refuses_reasoning,
    unknown_id,
)
from llmproxy.errors import NoEndpoint, RequestRejected, UpstreamError
from llmproxy.protocols import AnswerIn, Client
from llmproxy.record import CallRecord
from llmproxy.routing import Group


class Mentions(msgspec.Struct, frozen=True):
    """What a call names and leaves behind.

    `named`: ids that only one account can serve. `items`: the newest of a conversation.
    `reasoning`: names of the newest that only the account which made it can read. `creates`: the
    account keeps the answer.
    `several`: the group has more than one account.
    """

    named: list[str]
    items: list[str]
    reasoning: list[str]
    creates: bool
    several: bool


class InferenceCall:
    """A call for an answer of a model of `group`."""

    def __init__(self, context: CallContext, group: Group, mentions: Mentions) -> None:
        self._context = context
        self._group = group
        self._mentions = mentions

    async def answer(self, client: Client, record: CallRecord, ask: AnswerIn) -> None:
        """Ask the account that the call needs, else the group, and note what the answer tells."""
        context, learning = self._context, self._learning(client, record)
        call = context.call
        part = await self._needed_part()
        if part is not None:
            context.pass_over(part, record, NOT_KEPT)
            await ask(replace(call, bound_to_account=True), part, learning, record)
            return
        preferred = await self._preferred_part()
        try:
            if preferred is not None:
                try:
                    context.pass_over(preferred, record, NOT_MADE)
                    await ask(call, preferred, learning, record)
                    return
                except (NoEndpoint, UpstreamError) as failure:
                    if learning.begun or isinstance(failure, RequestRejected):
                        raise
            await ask(call, self._group, learning, record)
        except RequestRejected as refusal:
            if learning.begun or not self._mentions.several or not refuses_reasoning(refusal):
                raise
            await self._ask_others(refusal, learning, record, ask)

    async def _needed_part(self) -> Group | None:
        """Return the part of the group that keeps what the call names; None if any will do."""
        context, named = self._context, self._mentions.named
        bound = context.call.bound_to_account and self._mentions.several
        found = await context.owner_of(named, certain=bound)
        if found is None:
            if bound:
                raise unknown_id(named[0] if named else "the id in this call")
            return None
        id, owner = found
        account = context.accounts.account_now(owner)
        if account is None:
            raise owner_gone(id, owner)
        part = context.accounts.part(self._group, account)
        if part is None:
            raise other_group(id, owner, self._group.name)
        return part

    async def _preferred_part(self) -> Group | None:
        """Return the part of the group that made the newest of what the call brings."""
        context, mentions = self._context, self._mentions
        if not mentions.several:
            return None
        brought = [*mentions.reasoning, *mentions.items]
        found = context.registry.known(brought)
        if brought and not found:
            found = await context.registry.find(brought)
        for id in brought:
            owner = found.get(id)
            account = None if owner is None else context.accounts.account_now(owner)
            part = None if account is None else context.accounts.part(self._group, account)
            if part is not None:
                return None if is_drained(part) else part
        return None

    async def _ask_others(
        self, refusal: RequestRejected, learning: LearningClient, record: CallRecord, ask: AnswerIn
    ) -> None:
        """Ask the accounts that have not refused the reasoning. Raises the first refusal if none
        can read it."""
        accounts = self._context.accounts
        refused = accounts.owner_of(self._group.name, refusal.endpoint, None)
        for account in accounts.of_group(self._group):
            part = accounts.part(self._group, account)
            if part is None or (refused is not None and account == refused.account):
                continue
            try:
                await ask(self._context.call, part, learning, record)
                return
            except (NoEndpoint, UpstreamError):
                if learning.begun:
                    raise
        raise refusal

    def _learning(self, client: Client, record: CallRecord) -> LearningClient:
        ids_in = _all_of if self._mentions.creates else _reasoning_and_named
        return self._context.learning(client, record, ids_in, caller=self._context.call.caller)


def _all_of(text: bytes) -> list[str]:
    return ids_in_answer(text) + reasoning_in(text)


def _reasoning_and_named(text: bytes) -> list[str]:
    return ids_named_in(searchable(text)) + reasoning_in(text)
