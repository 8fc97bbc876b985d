"""What an alert says, in which shapes it is sent, and how it is signed. Pure."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256

import msgspec

SIGNATURE_HEADER = "x-llmproxy-signature"
JUMP = 3  # times the usual
JUMP_FROM_NANO_USD = 1_000_000_000  # a smaller hour is no jump
JUMP_DAYS = 3  # of which at least so many must be known


class AlertKind(StrEnum):
    """What happened."""

    BUDGET = "budget"
    ENDPOINT_OUT = "endpoint_out"
    ENDPOINT_BACK = "endpoint_back"
    SPEND_JUMP = "spend_jump"
    KEY_EXPIRES = "key_expires"


class Alert(msgspec.Struct, frozen=True):
    """One thing that people should know.

    `id`: the same on every instance, so that one of them sends it. `again_after_s`: it may be sent
    again so much later; None: never.
    """

    id: str
    kind: AlertKind
    text: str
    at: float
    details: dict[str, object] = {}
    again_after_s: float | None = None


class Webhook(msgspec.Struct, frozen=True):
    """Where alerts are sent. `secret`: signs them; None: unsigned. Not to be shown."""

    url: str
    slack: bool = False
    secret: str | None = None


def body_of(alert: Alert, target: Webhook) -> bytes:
    """Return what is sent."""
    if target.slack:
        return json.dumps({"text": alert.text}).encode()
    fields = {"id": alert.id, "kind": alert.kind, "at": alert.at, "text": alert.text}
    return json.dumps({**fields, "details": alert.details}).encode()


def signature(secret: str, body: bytes, now: float) -> str:
    """Return the header that proves who sent a body, and when: `t=1795780000,v1=<hex>`."""
    signed = f"{int(now)}.".encode() + body
    return f"t={int(now)},v1={hmac.new(secret.encode(), signed, sha256).hexdigest()}"


def has_jumped(this_hour: int, same_hours_before: Sequence[int]) -> bool:
    """Whether an hour costs far more than the same hour of the days before. Nano-dollars."""
    if len(same_hours_before) < JUMP_DAYS or this_hour < JUMP_FROM_NANO_USD:
        return False
    return this_hour > JUMP * sum(same_hours_before) / len(same_hours_before)
