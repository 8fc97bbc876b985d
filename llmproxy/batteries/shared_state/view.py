"""The shared view: limits and endpoint states that all instances share. Its parts:

SharedState --- QuotaSync ------- WindowClient --- window.lua     leases of the limits
           \\                 \\-- Lease (one for each account)
            \\-- StateBroadcast -- publish.lua, pub/sub            states of endpoints, purges
            \\-- EndpointStates                                   applies the states here
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from llmproxy.batteries.shared_state.broadcast import ApplyPurge, StateBroadcast
from llmproxy.batteries.shared_state.endpoint_states import EndpointStates
from llmproxy.batteries.shared_state.quota import Lease
from llmproxy.batteries.shared_state.shortage import Shortages
from llmproxy.batteries.shared_state.sync import QuotaSync
from llmproxy.events import EndpointStateChanged, Listener
from llmproxy.protocols import SharedQuota, SharedStatus
from llmproxy.routing import Group, Pool


class SharedState(Listener):
    """The other instances, as this one sees them (`protocols.Peers`).

    Made by `open_shared_state`, which runs its background tasks. As a Listener it publishes what
    happens to endpoints here.
    """

    def __init__(self, sync: QuotaSync, broadcast: StateBroadcast, states: EndpointStates) -> None:
        self._states = states
        self._sync = sync
        self._broadcast = broadcast
        self._shortages = Shortages()

    @property
    def listener(self) -> Listener:
        """Publishes the changes of this instance's endpoints."""
        return self

    def serve(self, pool: Pool) -> None:
        """Apply to this pool what happens to its endpoints on other instances, from now on."""
        self._states.serve(pool)

    def quota_of(self, key: str, quota: SharedQuota | None, *, smooth: bool) -> SharedQuota:
        """Return the quota of the account that has this key on every instance.

        That is `quota`, if it is this account's already. `smooth`: the vendor also judges short
        windows.
        """
        if quota is not None and self._sync.has(key, quota):
            return quota
        lease = Lease(smooth=smooth)
        self._sync.add(key, lease)
        return lease

    def has(self, key: str, quota: SharedQuota | None) -> bool:
        """Return whether this is the quota of an account."""
        return self._sync.has(key, quota)

    def add(self, key: str, lease: Lease) -> None:
        """Use this lease for an account."""
        self._sync.add(key, lease)

    def keep_only(self, keys: Collection[str]) -> None:
        """Drop the quotas of all other accounts."""
        self._sync.keep_only(keys)

    def report_shortage(self, group: Group, now: float) -> None:
        """Report what the waiting calls of a group need, in case other instances can spare it."""
        self._shortages.report(group, now)

    def on_grant(self, callback: Callable[[], None]) -> None:
        """Call back when quota was granted, or the connection was lost or came back."""
        self._sync.on_grant.append(callback)

    def on_purge(self, callback: ApplyPurge) -> None:
        """Call back when another instance purged its cache: group, stored before (Unix time)."""
        self._broadcast.on_purge = callback

    def publish_purge(self, group: str | None, stored_before: float) -> None:
        """Let the other instances purge their caches: answers stored before (Unix time)."""
        self._broadcast.publish_purge(group, stored_before)

    def status(self, now: float) -> SharedStatus:
        """Return the state of the connection. `now`: of `time.monotonic`."""
        return self._sync.status(now)

    def endpoint_state_changed(self, event: EndpointStateChanged) -> None:
        """Send it to the other instances."""
        self._broadcast.publish(event)
