"""What a call cost: the sum over its attempts, and how far that is known."""

from __future__ import annotations

from functools import partial

from llmproxy.batteries.spend.charging import charge
from llmproxy.errors import NoAnswer, TimedOut
from llmproxy.operations import OPERATIONS, Replay, Usage
from llmproxy.protocols import PriceCall, Prices
from llmproxy.record import Basis, CallRecord, Cost
from llmproxy.steps import ANSWERED, FAILED, OUTRUN, Attempt, FellBack

FREE = Cost()
# Failures of attempts on which the vendor has worked, or may have: with these it charges the input.
# A client can cause the first, by a timeout of its own (`x-llmproxy-timeout-s`).
WORKED_ON = frozenset((TimedOut.reason, NoAnswer.reason))
# A sum is as certain as the least certain of its parts, which comes last here.
CERTAINTY = (Basis.FREE, Basis.EXACT, Basis.ESTIMATED, Basis.UNKNOWN)
_, EXACT, ESTIMATED, UNKNOWN = CERTAINTY  # Python finds a global sooner than an Enum's member
# Inference that vendors do not charge for.
NOT_CHARGED = frozenset(("moderations", "tokenize", "detokenize"))
# What creates a batch, which is charged when the vendor has worked on it.
CHARGED_LATER = frozenset(("batches", "messages/batches"))


def pricing(prices: Prices) -> PriceCall:
    """Return what says the cost of a call, at the prices of a config."""
    return partial(cost_of, prices)


def cost_of(prices: Prices, record: CallRecord) -> Cost:
    """Return the cost of a call that is over.

    The attempt that answered costs its usage. One that another attempt has outrun, that timed out
    or whose answer was empty has read the input, which is an estimate if another one answered. One
    that was under way when the client left has an unknown cost, and one that failed otherwise costs
    nothing. What the answer cache has noted stays.
    """
    if record.cost is not None:
        return record.cost
    if record.attempts == 0:
        return FREE
    parts: list[Cost] = []
    group = record.group or ""
    for step in record.steps:
        if isinstance(step, FellBack):
            group = step.group
        elif isinstance(step, Attempt) and (step.outcome is not FAILED or step.reason in WORKED_ON):
            parts.append(_part(prices, record, (group, step.endpoint), step))
    if len(parts) == 1:
        return parts[0]
    basis = max((part.basis for part in parts), key=CERTAINTY.index, default=Basis.FREE)
    return Cost(sum(part.nano_usd for part in parts), basis)


def _part(prices: Prices, record: CallRecord, endpoint: tuple[str, str], attempt: Attempt) -> Cost:
    usage = record.answer.usage
    if attempt.outcome is not ANSWERED:
        read = attempt.reason == OUTRUN or attempt.outcome is FAILED
        usage = Usage(usage.input_tokens, 0, estimated=True) if read and usage else None
    if usage is None:
        return Cost(basis=UNKNOWN) if _is_charged(record) else FREE
    if usage.estimated and not (usage.input_tokens or usage.output_tokens):
        return Cost(basis=UNKNOWN)  # a session that ended in its first response
    charged = charge(prices.get(endpoint), usage)
    if charged is None:
        return Cost(basis=UNKNOWN)
    nano_usd, exact = charged
    # What was reported before the end of an answer that broke off is not all of it.
    exact = exact and not usage.estimated and record.answer.error is None
    return Cost(nano_usd, EXACT if exact else ESTIMATED)


def _is_charged(record: CallRecord) -> bool:
    """Return whether vendors charge for calls of this kind."""
    path = record.request.operation or ""
    if path in NOT_CHARGED or not record.request.line.startswith("POST "):
        return False
    if path in CHARGED_LATER:
        return True
    operation = OPERATIONS.get(path)
    return operation is not None and operation.uses_tokens and operation.replay is not Replay.UNSAFE
