"""What an endpoint can still take: learned from its headers, capped by config, reserved ahead."""

from llmproxy.rules.capacity.capacity import Capacity, Reservation, SharedQuota

__all__ = ["Capacity", "Reservation", "SharedQuota"]
