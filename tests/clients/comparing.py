"""What a client got, as plain values that can be compared: directly and through the proxy.

Only ids are masked, each by the order in which it first appears, so that two ids which are equal
directly must be equal through the proxy too. The vendor's clock stands still (it has a seed), so
times are compared like everything else.
"""

import dataclasses
import json
import re

from pydantic import BaseModel

# The simulator's ids end in many hex digits; client libraries make UUIDs.
_ID = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{24,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-z])"
)


@dataclasses.dataclass(frozen=True)
class Place:
    """Somewhere a client can be pointed at: a vendor, or a proxy in front of it."""

    root: str
    renames: bool = False

    @property
    def base_url(self):
        return f"{self.root}/v1"

    @property
    def azure_v1_url(self):
        return f"{self.root}/openai/v1/"

    def model(self, name):
        """What the vendor's model of this name is called here."""
        return f"our-{name}" if self.renames else name


def masked(value):
    """A JSON-able value with its ids numbered."""
    seen = {}

    def number(found):
        return seen.setdefault(found[0], f"id-{len(seen) + 1}")

    return json.loads(_ID.sub(number, json.dumps(value, default=plain)))


def plain(value):
    """A client's object as JSON can show it, with its type's name."""
    name = type(value).__name__
    if isinstance(value, BaseModel):
        return {
            "type": name,
            "fields": value.model_dump(mode="json", exclude_unset=True, warnings=False),
        }
    if dataclasses.is_dataclass(value):
        shown = [field for field in dataclasses.fields(value) if field.repr]
        return {"type": name, "fields": {field.name: getattr(value, field.name) for field in shown}}
    if isinstance(value, bytes):
        return {"type": "bytes", "hex": value.hex(" ", 8), "length": len(value)}
    return {"type": name, "repr": repr(value)}


def as_data(value):
    """An answer that has been read to its end: its type, its request id and all of its fields."""
    if hasattr(value, "read") and hasattr(value, "response"):  # audio
        headers = value.response.headers
        return {
            "type": type(value).__name__,
            "request_id": headers.get("x-request-id"),
            "content_type": headers.get("content-type"),
            "content": value.content,
        }
    return {"request_id": getattr(value, "_request_id", None), "value": value}


def stream_as_data(stream, events):
    """A stream that has been read to its end."""
    request_id = stream.response.headers.get("x-request-id")
    return {"type": type(stream).__name__, "request_id": request_id, "events": events}


def failed(error):
    """Everything of an exception that an application can look at."""
    shown = {"class": type(error).__name__, "message": str(error)}
    for name in ("status_code", "code", "param", "type", "body", "request_id"):
        if hasattr(error, name):
            shown[name] = getattr(error, name)
    return shown
