"""What calls cost, and what was spent: one rule for the cost of a call, and questions about sums.

The only module of this package that others import, beside `charging`, where tokens become money.
Without it, the core says of no call what it cost.
"""

from llmproxy.batteries.spend.answers import SpendReport, cell, csv_text
from llmproxy.batteries.spend.charging import nano_usd
from llmproxy.batteries.spend.cost import pricing
from llmproxy.batteries.spend.header import cost_headers
from llmproxy.batteries.spend.questions import (
    DIMENSIONS,
    SpendQuery,
    SpendQueryError,
    moment,
    spend_query,
)
from llmproxy.batteries.spend.report import read_spend

__all__ = [
    "DIMENSIONS",
    "SpendQuery",
    "SpendQueryError",
    "SpendReport",
    "cell",
    "cost_headers",
    "csv_text",
    "moment",
    "nano_usd",
    "pricing",
    "read_spend",
    "spend_query",
]
