"""The metrics of budgets."""

from __future__ import annotations

from llmproxy.batteries.admin.stats.metrics.subjects import BUDGET
from llmproxy.batteries.money import NANO


def _in_unit(unit: str, amount: int) -> float:
    """Return an amount of a budget in dollars, which it counts in billionths, or in tokens."""
    return amount / NANO if unit == "usd" else amount


BUDGETS = (
    BUDGET.gauge(
        "llmproxy_budget_used",
        "Used of a budget in its current period, in dollars or tokens (`unit`). The 200 that "
        "are used most have series.",
        lambda status: _in_unit(status.budget.unit, status.used),
    ),
    BUDGET.gauge(
        "llmproxy_budget_limit",
        "The amount of a budget, in dollars or tokens (`unit`).",
        lambda status: _in_unit(status.budget.unit, status.budget.amount),
    ),
)
