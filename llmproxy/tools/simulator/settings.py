"""The settings of a simulated vendor."""

from __future__ import annotations

from typing import Literal

import msgspec

DialectSetting = Literal["any", "openai", "azure"]

# `GET /models` lists these if every name is accepted.
USUAL_MODELS = (
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4o",
    "gpt-4o-mini",
    "o4-mini",
    "text-embedding-3-small",
    "text-embedding-3-large",
)


class VendorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One vendor: where it listens, what it accepts, how fast and how much it answers.

    `dialect`: the paths that exist, `any` = OpenAI's and Azure's. `port`: 0 = a free one.
    `keys`: the accepted credentials, None = any that is not empty. `models`: the names that
    exist, None = every name. `latency_s`: seconds to the first token. `tokens_per_s`: None = no
    pauses. `jitter`: each pause is scaled by a factor in [1 - jitter, 1 + jitter].
    `rpm`, `tpm`: requests and tokens a minute for each model, None = generous. `answer_tokens`:
    answers are filled up to this many tokens. `prompt_cache`: the beginnings of prompts are cached
    and reported as OpenAI does, from 1,024 tokens, in steps of 128, for 5 minutes. `compress`:
    gzip for clients that accept it. `seed`: makes ids, `created`, jitter and the random faults
    repeatable.
    """

    name: str = "simulator"
    dialect: DialectSetting = "any"
    host: str = "127.0.0.1"
    port: int = 0
    keys: frozenset[str] | None = None
    models: tuple[str, ...] | None = None
    region: str = "East US"
    latency_s: float = 0.0
    tokens_per_s: float | None = None
    jitter: float = 0.0
    rpm: int | None = None
    tpm: int | None = None
    answer_tokens: int | None = None
    prompt_cache: bool = False
    compress: bool = False
    seed: int | None = None
