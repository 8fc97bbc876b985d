"""Attempts, up to the commit point: the first endpoint that accepts the call."""

from llmproxy.pipeline.failover.attempt import AttemptMaker
from llmproxy.pipeline.failover.stage import Failover, FirstAccepted

__all__ = ["AttemptMaker", "Failover", "FirstAccepted"]
