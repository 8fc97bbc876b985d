"""What an endpoint can still take: learned from its headers, limited by config, reserved ahead."""

from llmproxy.rules.capacity.capacity import Capacity
from llmproxy.rules.capacity.gates import SharedQuota
from llmproxy.rules.capacity.vendor import Reservation

__all__ = ["Capacity", "Reservation", "SharedQuota"]
