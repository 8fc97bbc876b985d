"""Heads that a peer sends again and again: compared at once instead of parsed line by line.

The only module of this package that others import. Without it, httptools parses each head.
"""

from llmproxy.batteries.known_heads.parsers import KNOWING_PARSERS

__all__ = ["KNOWING_PARSERS"]
