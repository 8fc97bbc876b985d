"""What a budget costs a call: microseconds to reserve and to settle.

Run: python bench/budgets.py
"""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter, time

from llmproxy.batteries.budgets.budget import from_mapping
from llmproxy.batteries.budgets.permit import BudgetPermit
from llmproxy.batteries.budgets.service import Budgets
from llmproxy.events import CallFinished
from llmproxy.operations import Usage
from llmproxy.pipeline.unbounded import UnboundedAdmission
from llmproxy.record import Basis, CallRecord, Cost, RequestSummary

CALLS = 20_000


async def microseconds(orders: list[dict[str, object]]) -> float:
    """Return the time of one call under these budgets."""
    budgets = Budgets()
    budgets.adopt_made(map(from_mapping, orders))
    summary = RequestSummary(caller="alice", team="search", tags=("batch",))
    records = [CallRecord(summary, group="gpt", attempts=1) for _ in range(CALLS)]
    admit = UnboundedAdmission().admit
    now, began = time(), perf_counter()
    for record in records:
        admitted = admit(None, None, record)  # type: ignore[arg-type] - it looks at neither
        accounts = budgets.accounts.of(record, "gpt")
        if accounts:
            async with BudgetPermit(budgets, accounts, (20_000, 300), record, admitted):
                pass
        else:
            async with admitted:
                pass
        record.answer.usage, record.cost = Usage(100, 100), Cost(10_000, Basis.EXACT)
        budgets.call_finished(CallFinished(record, now, 1.0, 0.5, 0.001))
    return (perf_counter() - began) / CALLS * 1e6


async def main() -> None:
    """Print the time without budgets, with one, and with one of each kind."""
    kinds: list[dict[str, object]] = [
        {"for": it, "usd": 1000, "per": "month"}
        for it in ("all", {"key": "alice"}, {"team": "search"}, {"tag": "batch"}, {"group": "gpt"})
    ]
    for name, orders in (("no budget", []), ("one budget", kinds[:1]), ("five budgets", kinds)):
        best = min([await microseconds(orders) for _ in range(5)])
        sys.stdout.write(f"{name}: {best:.2f} us a call\n")


asyncio.run(main())
