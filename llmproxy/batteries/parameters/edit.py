"""An edit of the top-level members of a JSON body, by splice. Pure.

Only the bytes of the members that it changes differ in the result: key order, spacing, duplicate
keys and big numbers of all others stay as the client wrote them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import msgspec

from llmproxy.batteries.parameters.members import Member, read_members
from llmproxy.batteries.parameters.unsupported import NOTHING, left_to, unsupported_by
from llmproxy.config import ModelEntry
from llmproxy.providers.base import Endpoint

OUTPUT_BOUNDS = frozenset(("max_completion_tokens", "max_output_tokens", "max_tokens"))

Values = tuple[tuple[str, bytes], ...]  # names, and their values as JSON


class Edit(msgspec.Struct, frozen=True):
    """What one endpoint changes in a body: first it renames, then it drops, bounds, sets and adds.

    `overrides` are set in every body, `defaults` in those that do not have the member.
    `max_output_tokens` lowers the client's output bounds, of whatever name.
    """

    rename: tuple[tuple[str, str], ...] = ()
    drop: frozenset[str] = frozenset()
    overrides: Values = ()
    defaults: Values = ()
    max_output_tokens: int | None = None

    def __call__(self, body: bytes) -> tuple[bytes, str]:
        """Return the body for the endpoint, and the changes in words; "" if nothing changes.

        What is no JSON object stays as it is. Raises ClientError for a body whose members cannot
        be told apart within a bounded time.
        """
        found = read_members(body)
        if found is None:
            return body, ""
        changes: list[str] = []
        names = self._new_names([member.name for member in found.members], changes)
        overrides = dict(self.overrides)
        pieces, kept = [], set()
        for member in found.members:
            name = names.get(member.name, member.name)
            if name is None:
                continue
            kept.add(name)
            piece, start = body[member.start : member.end], member.start
            if name in overrides:
                value = overrides[name]
                if value != body[member.value_start : member.value_end]:
                    piece = _with_value(piece, member, value)
                    _note(changes, f"set {name}")
            elif name in OUTPUT_BOUNDS and self._is_above(member.value(body)):
                piece = _with_value(piece, member, b"%d" % (self.max_output_tokens or 0))
                _note(changes, f"lowered {name} to {self.max_output_tokens}")
            if name != member.name:
                key = _json(name)
                piece = piece[: member.key_start - start] + key + piece[member.key_end - start :]
            pieces.append(piece)
        for name, value in (*self.overrides, *self.defaults):
            if name not in kept:
                pieces.append(_json(name) + b":" + value)
                kept.add(name)
                changes.append(f"set {name}")
        if not changes:
            return body, ""
        return body[: found.start] + b",".join(pieces) + body[found.end :], ", ".join(changes)

    def __str__(self) -> str:
        added = ", ".join(name for name, _ in self.defaults)
        parts = [
            *(f"renames {old} to {new}" for old, new in self.rename),
            f"drops {', '.join(sorted(self.drop))}" if self.drop else "",
            f"lowers output bounds to {self.max_output_tokens}" if self.max_output_tokens else "",
            f"sets {', '.join(name for name, _ in self.overrides)}" if self.overrides else "",
            f"adds {added} if absent" if added else "",
        ]
        return "; ".join(part for part in parts if part)

    def _new_names(self, names: Iterable[str], changes: list[str]) -> dict[str, str | None]:
        """Return the names of members that get another one; None: the member is dropped.

        All renames happen at once. A new name that another member has stays with that one.
        """
        given = dict.fromkeys(names)
        new_names: dict[str, str | None] = {}
        taken = set(given).difference(old for old, _ in self.rename)
        for old, new in self.rename:
            if old not in given:
                continue
            if new in taken:
                new_names[old] = None
                changes.append(f"dropped {old} beside {new}")
            else:
                new_names[old] = new
                taken.add(new)
                changes.append(f"renamed {old} to {new}")
        for old in given:
            name = new_names.get(old, old)
            if name in self.drop:
                new_names[old] = None
                changes.append(f"dropped {name}")
        return new_names

    def _is_above(self, written: bytes) -> bool:
        """Return whether a value is a number above the endpoint's output bound."""
        if self.max_output_tokens is None:
            return False
        try:
            value = msgspec.json.decode(written)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False  # the endpoint judges it
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and value > self.max_output_tokens


def edit_of(entry: ModelEntry, endpoint: Endpoint) -> Edit:
    """Return the edit that an endpoint's entry asks for."""
    unsupported = NOTHING
    if entry.drop_unsupported:
        unsupported = left_to(entry, unsupported_by(endpoint))
    return Edit(
        (*entry.rename.items(), *unsupported.rename),
        frozenset((*entry.drop, *unsupported.drop)),
        _encoded(entry.overrides),
        _encoded(entry.defaults),
        entry.max_output_tokens,
    )


def _encoded(values: Mapping[str, object]) -> Values:
    return tuple((name, _json(value)) for name, value in values.items())


def _json(value: object) -> bytes:
    # msgspec refuses integers above 64 bits and lone surrogates, which a config may have.
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _with_value(piece: bytes, member: Member, value: bytes) -> bytes:
    """Return the text of a member with another value."""
    begin, end = member.value_start - member.start, member.value_end - member.start
    return piece[:begin] + value + piece[end:]


def _note(changes: list[str], change: str) -> None:
    """Note a change once, though a duplicate key makes it twice."""
    if change not in changes:
        changes.append(change)
