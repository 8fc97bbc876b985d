"""Budgets: what the calls of a key, a team, a tag, a model group or all may cost in a period.

The only module of this package that others import. Without it, nothing bounds what calls cost, and
a config that has `budgets` is refused.
"""

from llmproxy.batteries.budgets.accounts import BudgetStatus
from llmproxy.batteries.budgets.budget import (
    Budget,
    BudgetError,
    Kind,
    NoSuchBudgetError,
    Unit,
    amount_in_words,
    from_short,
)
from llmproxy.batteries.budgets.opening import open_budgets
from llmproxy.batteries.budgets.service import Budgets

__all__ = [
    "Budget",
    "BudgetError",
    "BudgetStatus",
    "Budgets",
    "Kind",
    "NoSuchBudgetError",
    "Unit",
    "amount_in_words",
    "from_short",
    "open_budgets",
]
