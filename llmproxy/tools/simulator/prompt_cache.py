"""A vendor's prompt cache: the beginnings of prompts that it has read lately.

A prompt is given as keys, one for each length at which it may be cached: the least length, and then
every step. Keys are equal for equal beginnings. What is read is stored; what is not read for a
while is forgotten. Nothing here knows the time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from hashlib import blake2b

MAX_BLOCKS = 200_000  # so that memory stays bounded
CHARACTERS_PER_TOKEN = 4


class PromptCache:
    """The beginnings that one account has read, at one vendor. Mutable.

    `least_tokens`: shorter prompts are not cached; longer ones in steps of `step_tokens`, for
    `kept_s` seconds after the last use. The values are OpenAI's, unless others are given.
    """

    __slots__ = ("_kept_s", "_least_tokens", "_read_at", "_step_tokens")

    def __init__(
        self, least_tokens: int = 1024, step_tokens: int = 128, kept_s: float = 300.0
    ) -> None:
        self._least_tokens = least_tokens
        self._step_tokens = step_tokens
        self._kept_s = kept_s
        self._read_at: dict[Hashable, float] = {}

    def lengths(self, tokens: int) -> range:
        """Return the lengths at which a prompt may be cached, in tokens."""
        return range(self._least_tokens, tokens + 1, self._step_tokens)

    def read(self, keys: Sequence[Hashable], now: float) -> int:
        """Read a prompt; returns how many of its tokens were cached.

        `keys`: of its beginnings at `lengths`, the shortest first.
        """
        cached = 0
        for number, key in enumerate(keys, 1):
            read_at = self._read_at.pop(key, None)
            if read_at is not None and now - read_at <= self._kept_s and cached == number - 1:
                cached = number
            self._read_at[key] = now
        while len(self._read_at) > MAX_BLOCKS:
            del self._read_at[next(iter(self._read_at))]
        return self._least_tokens + (cached - 1) * self._step_tokens if cached else 0

    def read_text(self, text: bytes, now: float) -> int:
        """Read a prompt that is at hand; returns how many of its tokens were cached."""
        return self.read(list(self._keys_of(text)), now)

    def _keys_of(self, text: bytes) -> Iterator[bytes]:
        digest, done = blake2b(digest_size=16), 0
        for tokens in self.lengths(len(text) // CHARACTERS_PER_TOKEN):
            end = tokens * CHARACTERS_PER_TOKEN
            digest.update(text[done:end])
            done = end
            yield digest.digest()
