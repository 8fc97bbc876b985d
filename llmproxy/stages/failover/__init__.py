"""Attempts, up to the commit point: the first endpoint that accepts the call."""

from llmproxy.stages.failover.attempt import Attempts
from llmproxy.stages.failover.loop import Failover

__all__ = ["Attempts", "Failover"]
