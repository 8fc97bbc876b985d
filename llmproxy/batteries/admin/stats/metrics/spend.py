"""The metrics of what calls have cost, by team, caller and group."""

from __future__ import annotations

from llmproxy.batteries.admin.stats.metrics.subjects import SPEND
from llmproxy.batteries.money import NANO

SPENT = (
    SPEND.counter(
        "llmproxy_spend_usd_total",
        "What calls have cost in US dollars, by the team, the caller and the group that answered "
        "(empty: none), and by how far it is known: exact, estimated, unknown (the part that is "
        "known).",
        lambda spend: {basis.value: nano / NANO for basis, nano in spend.nano_usd.items()},
        "basis",
    ),
    SPEND.counter(
        "llmproxy_spend_calls_total",
        "Calls by how far their cost is known: exact, estimated, unknown, free. The cost of "
        "unknown ones is missing in the sums.",
        lambda spend: {basis.value: number for basis, number in spend.calls.items()},
        "basis",
    ),
    SPEND.counter(
        "llmproxy_spend_tokens_total",
        "Tokens of calls: input, output; cached is a part of input.",
        lambda spend: {
            "input": spend.input_tokens,
            "output": spend.output_tokens,
            "cached": spend.cached_tokens,
        },
        "kind",
    ),
)
