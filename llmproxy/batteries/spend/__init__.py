"""What calls cost.

The only module of this package that others import, beside `pricing`, where tokens become money.
Without it, the core says of no call what it cost.
"""

from llmproxy.batteries.spend.cost import pricing

__all__ = ["pricing"]
