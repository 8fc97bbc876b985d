"""Decides which calls create, name or list what accounts keep, and what answers them."""

from __future__ import annotations

from llmproxy.batteries.owners.accounts import Accounts
from llmproxy.batteries.owners.context import CallContext
from llmproxy.batteries.owners.glance import may_name_something
from llmproxy.batteries.owners.ids import (
    ITEM_REFERENCE,
    files_named_in,
    ids_named_in,
    items_named_in,
    items_referred_to_in,
    newest_items_in,
    newest_reasoning_in,
    searchable,
    state_named_in,
    top_of,
)
from llmproxy.batteries.owners.inference import InferenceCall, Mentions
from llmproxy.batteries.owners.lists import Cursors
from llmproxy.batteries.owners.registry import Registry
from llmproxy.batteries.owners.stored import StoredCall
from llmproxy.calls import Call
from llmproxy.operations.dialects import CHAT, MESSAGES, OPAQUE, RESPONSES
from llmproxy.protocols import AnswerStateful
from llmproxy.routing import Group, Pool

WITHOUT_BODY = frozenset(("GET", "HEAD", "DELETE"))


class StateOwners:
    """Sends calls to the accounts that keep what they name (an `Owners` of the core).

    `pool`: all groups. A caller's pool, which may be smaller, has no further accounts.
    """

    def __init__(self, registry: Registry, cursors: Cursors, pool: Pool) -> None:
        self.registry = registry
        self._cursors = cursors
        accounts = Accounts(pool)
        self._accounts = {pool: accounts}  # and those of callers
        self._several = accounts.several

    def answering(self, call: Call, pool: Pool) -> AnswerStateful | None:
        """Return what answers a call that creates, names or lists what an account keeps; None for
        all other calls."""
        operation = call.route.operation
        opaque = operation.dialect is OPAQUE
        if call.route.bound_to_account or (opaque and operation.stored):
            return StoredCall(self._context(call, pool), self._cursors).answer
        if call.method == "POST":
            matters = self._several or call.caller is not None or call.bound_to_account
            return self._inference(call, pool) if matters and not opaque else None
        if call.method in WITHOUT_BODY and call.model is None and pool.group_named(None) is None:
            return StoredCall(self._context(call, pool), self._cursors).answer
        return None

    def accounts_of(self, pool: Pool) -> Accounts:
        """Return the accounts of a pool."""
        accounts = self._accounts.get(pool)
        if accounts is None:
            accounts = self._accounts[pool] = Accounts(pool)
        return accounts

    def _context(self, call: Call, pool: Pool) -> CallContext:
        return CallContext(call, pool, self.accounts_of(pool), self.registry)

    def _inference(self, call: Call, pool: Pool) -> AnswerStateful | None:
        body, dialect = call.body, call.route.operation.dialect
        if not isinstance(body, bytes):
            return None
        names = call.bound_to_account or may_name_something(body, dialect)
        if dialect is CHAT and not names:  # which stores nothing unless its body says so
            return None
        group = pool.group_named(call.model)
        if group is None:
            return None
        mentions = self._mentions(call, body, group, self.accounts_of(pool), names=names)
        if mentions is None:
            return None
        return InferenceCall(self._context(call, pool), group, mentions).answer

    def _mentions(
        self, call: Call, body: bytes, group: Group, accounts: Accounts, *, names: bool
    ) -> Mentions | None:
        """Return what a call names and creates; None if any endpoint may answer it and the answer
        need not be searched for ids. `names`: it may name something."""
        dialect, stored = call.route.dialect, call.route.operation.stored
        several = accounts.in_group(group) > 1
        learns = several and dialect is not CHAT
        if not names:
            creates = stored is True
            return Mentions([], [], [], creates, several) if creates or learns else None
        body = searchable(body)
        top = top_of(body)
        creates = stored is not None and top.stores(usually=stored)
        named = top.named
        items: list[str] = []
        reasoning: list[str] = []
        if (several or call.caller is not None) and self.registry:
            named += files_named_in(body) if dialect is CHAT else state_named_in(body)
            if dialect is RESPONSES:
                items = newest_items_in(body)
            if items and body.find(ITEM_REFERENCE) >= 0:
                named, items = named + items_named_in(body), []
            elif items:
                named += items_referred_to_in(body)
            if learns:
                reasoning = newest_reasoning_in(body, signed=dialect is MESSAGES)
        if call.bound_to_account and not named:
            named = ids_named_in(body)
        if not (named or items or reasoning or creates or learns or call.bound_to_account):
            return None
        return Mentions(named, items, reasoning, creates=creates, several=several)
