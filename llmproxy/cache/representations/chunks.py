"""Pieces of a text, as a vendor sends them: small, because one event is one line, and some clients
cannot read lines above 64 KiB."""

from __future__ import annotations

PIECE_CHARACTERS = 200


def chunks_of(text: str) -> list[str]:
    """A text in pieces that add up to it; none of an empty one."""
    return [text[at : at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS)]
