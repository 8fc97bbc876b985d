"""What an endpoint can still take: learned from its headers, capped by config, reserved ahead."""

from llmproxy.rules.capacity.capacity import Capacity, Reservation, Stock

__all__ = ["Capacity", "Reservation", "Stock"]
