"""Leases as tests need them."""

from llmproxy.shared_state.quota import Lease, QuotaReply

START = 1000.0  # the beginning of a slot


def shared(rpm=600, tpm=100_000, *, instances=1, **options):
    """A lease that sees the shared window, which has given it nothing yet."""
    lease = Lease(**options)
    lease.set_instances(instances)
    lease.set_limits(rpm, tpm)
    lease.go_shared()
    lease.next_request(START - 60)  # it begins without news
    return lease


def grant(requests=0, tokens=0, *, epoch="e", lost=False, has_room=False, wait_s=0.0):
    return QuotaReply(epoch, lost, requests, tokens, has_room, wait_s)


def supply(lease, requests, tokens, now, *, has_room=False):
    """A call was missing something, and this was granted."""
    lease.note_waiting(1)
    assert lease.next_request(now) is not None
    lease.receive(grant(requests, tokens, has_room=has_room), now)
