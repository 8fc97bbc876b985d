"""What a call may cost, before it is sent: its tokens at the dearest price of its group.

A bound on the output says how much a call may write, and most write far less. So the output is
taken to be the largest that the group's calls wrote lately, within the bound.
"""

from __future__ import annotations

from llmproxy.calls import Call
from llmproxy.config import Price
from llmproxy.operations import Usage
from llmproxy.routing import Group

FIRST_OUTPUT = 1_000  # tokens that a call writes, before anything is known of its group
MAX_OUTPUT = 1_000_000  # a vendor that reports more is mistaken
FADES = 0.98  # per call, of the largest output
FADES_REFUSED = 0.8  # per refused call: one long answer must not shut a small budget for ever
NANO_PER_TOKEN = 1_000  # of a price of one dollar per million tokens


class CallEstimates:
    """The estimates of all groups. Mutable: it learns from what calls have used."""

    def __init__(self) -> None:
        self._output: dict[str, float] = {}  # the largest of late, by group
        self._prices: dict[str, tuple[float, float]] = {}

    def serve(self, groups: dict[str, Group]) -> None:
        """Use the prices of these groups from now on."""
        self._prices = {name: _dearest(group) for name, group in groups.items()}
        self._output = {name: most for name, most in self._output.items() if name in groups}
        for group in groups.values():
            group.estimates.needed = True

    def of(self, call: Call, group: Group) -> tuple[int, int]:
        """Return what a call may use: nano-dollars and tokens. Without a price, no nano-dollars.

        No tokens: it is of a kind that vendors do not charge for.
        """
        if not call.route.operation.uses_tokens:
            return 0, 0
        bound = call.max_output_tokens
        inputs = group.estimates.of(call)[0] - (bound or 0)
        outputs = self._output.get(group.name, float(bound or FIRST_OUTPUT))
        if bound is not None and outputs > bound:
            outputs = bound
        price_in, price_out = self._prices.get(group.name, (0.0, 0.0))
        nano = (inputs * price_in + outputs * price_out) * NANO_PER_TOKEN
        return int(nano), max(1, int(inputs + outputs))

    def learn(self, group: str, usage: Usage) -> None:
        """Note what a call has used."""
        before = self._output.get(group, 0.0) * FADES
        self._output[group] = max(before, float(min(usage.output_tokens, MAX_OUTPUT)))

    def learn_of_refusal(self, group: str) -> None:
        """Note that a call was refused: the next ones are taken to write less."""
        output = self._output.get(group, 0.0)
        if output > FIRST_OUTPUT:
            self._output[group] = max(FIRST_OUTPUT, output * FADES_REFUSED)


def _dearest(group: Group) -> tuple[float, float]:
    """Return the highest prices of input and output among the endpoints of a group."""
    prices = [state.endpoint.price for state in group.states]
    known = [price for price in prices if isinstance(price, Price)]
    return (
        max((price.input for price in known), default=0.0),
        max((price.output for price in known), default=0.0),
    )
