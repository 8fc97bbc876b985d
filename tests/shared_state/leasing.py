"""Leases as tests need them."""

from llmproxy.shared_state.quota import Grant, Lease

START = 1000.0  # the beginning of a slot


def shared(rpm=600, tpm=100_000, *, instances=1, **options):
    """A lease that sees the shared window, which has given it nothing yet."""
    lease = Lease(**options)
    lease.shared_by(instances)
    lease.limits(rpm, tpm)
    lease.regain_view()
    lease.ask(START - 60)  # it begins without news
    return lease


def grant(requests=0, tokens=0, *, epoch="e", lost=False, has_room=False, wait_s=0.0):
    return Grant(epoch, lost, requests, tokens, has_room, wait_s)


def supply(lease, requests, tokens, now, *, has_room=False):
    """A call was missing something, and this was granted."""
    lease.missed(1)
    assert lease.ask(now) is not None
    lease.granted(grant(requests, tokens, has_room=has_room), now)
