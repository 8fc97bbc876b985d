"""One call with the accounts that it may use: finds owners, and learns from the answer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from time import monotonic

import msgspec
from msgspec.structs import replace

from llmproxy.batteries.owners.accounts import Accounts, Owner
from llmproxy.batteries.owners.ids import searchable
from llmproxy.batteries.owners.learning import LearningClient
from llmproxy.batteries.owners.refusals import two_accounts, unknown_id
from llmproxy.batteries.owners.registry import Registry
from llmproxy.calls import Call
from llmproxy.protocols import Client
from llmproxy.record import CallRecord
from llmproxy.routing import Group, Pool
from llmproxy.steps import PassedOver

MAX_PASSED_OVER = 8
NOT_KEPT = "its account does not keep what the call names"
NOT_MADE = "another account made what the call brings"


class CallContext(msgspec.Struct, frozen=True):
    """What is needed to answer one call."""

    call: Call
    pool: Pool
    accounts: Accounts
    registry: Registry

    async def owner_of(self, named: Collection[str], *, certain: bool) -> tuple[str, Owner] | None:
        """Return the first of the ids that is known, and its owner; None if none is.

        Raises ClientError for an id of another caller, and for ids of two accounts.
        """
        found = await self.registry.find(named, certain=certain)
        for id, owner in found.items():
            if not self.may_use(owner):
                raise unknown_id(id)
        accounts = {self.accounts.account_now(owner) or owner.account for owner in found.values()}
        if len(accounts) > 1:
            by_account = {owner.account: (id, owner) for id, owner in found.items()}
            raise two_accounts(dict(by_account.values()))
        return next(iter(found.items()), None)

    def may_use(self, owner: Owner) -> bool:
        """Whether something belongs to the call's caller, or to nobody."""
        return owner.caller is None or owner.caller == self.call.caller

    def pass_over(self, part: Group, record: CallRecord, why: str) -> None:
        """Note in a call's trace why it gets no other endpoint of the group."""
        now = monotonic()
        group = self.pool.groups.get(part.name)
        others = [] if group is None else [one for one in group.states if one not in part.states]
        for state in others[:MAX_PASSED_OVER]:
            record.steps.append(PassedOver(state.endpoint.name, now, why))

    def learning(
        self,
        client: Client,
        record: CallRecord,
        ids_in: Callable[[bytes], list[str]],
        *,
        caller: str | None,
    ) -> LearningClient:
        """Return a client that notes the ids in an answer as those of the account that answers.

        `caller`: to whom they belong; None: nobody.
        """

        def learn(text: bytes) -> None:
            self._note(ids_in(text), record, caller)

        def located(header: bytes) -> None:
            id = header.decode("latin-1").partition("?")[0].rpartition("/")[2]
            self._note([id], record, caller)

        return LearningClient(client, learn, located)

    def _note(self, ids: Collection[str], record: CallRecord, caller: str | None) -> None:
        """Note that the account of the endpoint that answered keeps these ids."""
        group = record.fallback or record.group
        owner = self.accounts.owner_of(group, record.endpoint, caller)
        if owner is None:
            return
        if caller is not None and isinstance(self.call.body, bytes):
            # What the call named itself was there before: it belongs to nobody.
            unknown = [id for id in ids if id not in self.registry.known(ids)]
            said = searchable(self.call.body) if unknown else b""
            brought = [id for id in unknown if said.find(id.encode()) >= 0]
            self.registry.note(brought, replace(owner, caller=None))
        self.registry.note(ids, owner)
