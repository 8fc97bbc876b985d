"""The endpoints' state: breaker, cooldown, capacity, calls in flight; and who is next.

The pool is the one owner of that state. It decides nothing about failures (rules/retry.py does)
and does no I/O; `now` is seconds on the monotonic clock.
"""

from llmproxy.routing.directory import Pool
from llmproxy.routing.endpoint import Checkout, EndpointState
from llmproxy.routing.group import Group
from llmproxy.routing.tier import CallDemand, Tier

__all__ = ["CallDemand", "Checkout", "EndpointState", "Group", "Pool", "Tier"]
