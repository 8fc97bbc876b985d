"""Leases in the state that a test needs."""

from llmproxy.batteries.shared_state.quota import Lease, QuotaReply

START = 1000.0  # the beginning of a slot


def shared(rpm=600, tpm=100_000, *, instances=1, **options):
    """A lease in the SHARED state that was granted nothing yet."""
    lease = Lease(**options)
    lease.set_instances(instances)
    lease.set_limits(rpm, tpm)
    lease.go_shared()
    lease.next_request(START - 60)  # nothing is to be requested
    return lease


def grant(requests=0, tokens=0, *, epoch="e", lost=False, has_room=False, wait_s=0.0):
    return QuotaReply(epoch, lost, requests, tokens, has_room, wait_s)


def supply(lease, requests, tokens, now, *, has_room=False):
    """Let a call wait, and grant this."""
    lease.note_waiting(1)
    assert lease.next_request(now) is not None
    lease.receive(grant(requests, tokens, has_room=has_room), now)
